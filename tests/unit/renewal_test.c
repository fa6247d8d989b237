// SPDX-License-Identifier: BSD-2-Clause
/* daemon/renewal.h: sockets and UMEMs are made while the event loop goes on, and what nobody waits for is closed. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "daemon/cleanup.h"
#include "daemon/renewal.h"

#define FRAMES 64

struct outcome {
	unsigned int calls;
	struct umem umem;
	struct xsk xsk;
	int r;
};

static const struct renewal_wish wish = {
	.old_umem = UMEM_NONE,
	.old_xsk = XSK_NONE,
	.frames = FRAMES,
	.frame_size = 4096,
	.rings = {.rx = FRAMES, .tx = FRAMES, .fill = FRAMES, .completion = FRAMES},
	.device = "lo",
};

static unsigned int open_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	(void)closedir(folder);
	return count;
}

static void on_done(void *context, struct umem umem, struct xsk xsk, int r)
{
	struct outcome *outcome = context;

	*outcome = (struct outcome){outcome->calls + 1, umem, xsk, r};
}

static void need_af_xdp(void)
{
	cleanup_fd int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		print_message("skipped: no AF_XDP socket can be had here: %s\n", strerror(errno));
		skip();
	}
}

struct fixture {
	sd_event *event;
	struct renewer *renewer;
	struct renewal *renewal;
	struct outcome outcome;
	unsigned int fds; /* before all of it */
};

static struct fixture begin(const struct renewal_wish *what)
{
	struct fixture f = {.fds = open_fds()};

	assert_true(sd_event_new(&f.event) >= 0);
	assert_int_equal(renewer_new(&f.renewer, f.event), 0);
	assert_int_equal(renewal_begin(&f.renewal, f.renewer, what, on_done, NULL), 0);
	(void)renewal_abandon(f.renewal);
	return f;
}

static void end(struct fixture *f)
{
	f->renewer = renewer_free(f->renewer);
	sd_event_unref(f->event);
	assert_int_equal(open_fds(), f->fds);
}

static void await(struct fixture *f, unsigned int calls)
{
	for (int i = 0; f->outcome.calls < calls && i < 1000; i++)
		assert_true(sd_event_run(f->event, 10000) >= 0);
	assert_int_equal(f->outcome.calls, calls);
}

static void ask(struct fixture *f, const struct renewal_wish *what)
{
	assert_int_equal(renewal_begin(&f->renewal, f->renewer, what, on_done, &f->outcome), 0);
}

static void what_is_made_is_handed_over_unbound(void **state)
{
	struct fixture f;

	(void)state;
	need_af_xdp();
	f = begin(&wish);
	ask(&f, &wish);
	await(&f, 1);
	assert_int_equal(f.outcome.r, 0);
	assert_int_equal(f.outcome.umem.frames, FRAMES);
	assert_true(xsk_has_rings(&f.outcome.xsk));
	assert_false(xsk_is_bound(&f.outcome.xsk));
	assert_int_equal(f.outcome.xsk.rings[XSK_TX].size, 0);
	xsk_close(&f.outcome.xsk);
	umem_close(&f.outcome.umem);
	end(&f);
}

static void the_old_ones_are_closed(void **state)
{
	struct renewal_wish next = wish;
	struct fixture f;

	(void)state;
	need_af_xdp();
	f = begin(&wish);
	for (unsigned int i = 1; i < 20; i++) {
		ask(&f, &next);
		await(&f, i);
		assert_int_equal(f.outcome.r, 0);
		next.old_umem = f.outcome.umem;
		next.old_xsk = f.outcome.xsk;
	}
	ask(&f, &next);
	(void)renewal_abandon(f.renewal);
	end(&f);
}

static void what_cannot_be_made_says_why(void **state)
{
	struct renewal_wish wrong = wish;
	struct fixture f;

	(void)state;
	need_af_xdp();
	wrong.rings.rx = 3; /* not a power of two */
	f = begin(&wish);
	ask(&f, &wrong);
	await(&f, 1);
	assert_int_equal(f.outcome.r, -EINVAL);
	assert_int_equal(f.outcome.umem.fd, -1);
	assert_int_equal(f.outcome.xsk.fd, -1);
	end(&f);
}

static void what_is_abandoned_is_closed_and_not_told(void **state)
{
	struct fixture f;

	(void)state;
	need_af_xdp();
	f = begin(&wish);
	for (int i = 0; i < 10; i++) {
		ask(&f, &wish);
		(void)renewal_abandon(f.renewal);
	}
	ask(&f, &wish);
	await(&f, 1);
	xsk_close(&f.outcome.xsk);
	umem_close(&f.outcome.umem);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_made_is_handed_over_unbound),
		cmocka_unit_test(the_old_ones_are_closed),
		cmocka_unit_test(what_cannot_be_made_says_why),
		cmocka_unit_test(what_is_abandoned_is_closed_and_not_told),
	};

	return cmocka_run_group_tests_name("renewal", tests, NULL, NULL);
}
