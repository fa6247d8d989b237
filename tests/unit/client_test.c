// SPDX-License-Identifier: BSD-2-Clause
/* Connecting, attaching, waiting and the end, and a daemon that misbehaves. */
#include "client_fakes.h"

#include <sys/resource.h>

/* ---- connecting ---- */

static void connecting_says_what_is_wrong(void **state)
{
	char long_path[200];
	struct xdpd *x = NULL;
	int fd, before = count_fds();
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)state;
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(xdpd_connect(&x, "/tmp/there-is-no-such-socket", NULL), -ENOENT);
	assert_int_equal(xdpd_connect(&x, long_path, NULL), -ENAMETOOLONG);
	assert_int_equal(xdpd_connect(&x, "/tmp/x", ""), -EINVAL);
	assert_int_equal(xdpd_connect(&x, "/tmp/x", "no spaces"), -EINVAL);
	assert_int_equal(xdpd_connect(&x, "/tmp/x", "a-name-that-is-one-byte-too-long"), -EINVAL);

	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/xdpd-dead.%d", getpid());
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(xdpd_connect(&x, address.sun_path, NULL), -ECONNREFUSED);
	unlink(address.sun_path);
	assert_null(x);
	assert_int_equal(count_fds(), before);
}

static char heard_name[XDPD_NAME_MAX];

static void script_hear_name(struct fake *it)
{
	(void)it;
	if (welcome())
		memcpy(heard_name, fake.in.hello.name, sizeof(heard_name));
	until_it_goes();
}

static void the_programs_name_is_made_fit_and_the_environment_names_the_socket(void **state)
{
	char *name = program_invocation_short_name;
	char odd[] = "my tool/2 (with a very long name)";
	struct xdpd *x = NULL;

	(void)state;
	begin(script_hear_name, 0);
	program_invocation_short_name = odd;
	setenv("XDPD_SOCKET", fake.path, 1);
	assert_int_equal(xdpd_connect(&x, NULL, NULL), 0);
	unsetenv("XDPD_SOCKET");
	program_invocation_short_name = name;
	end(x);
	assert_string_equal(heard_name, "my_tool_2__with_a_very_long_nam");
}

static void script_turn_away(struct fake *it)
{
	(void)it;
	/* Without reading HELLO, so that the client's first look finds ECONNRESET. */
	say_error(XDPD_ERROR, 0, EUSERS, "too many");
}

static void who_is_turned_away_at_the_door_learns_why(void **state)
{
	struct xdpd *x = NULL;

	(void)state;
	begin(script_turn_away, 0);
	for (int i = 0; i < 50; i++)
		assert_int_equal(xdpd_connect(&x, fake.path, "test"), -EUSERS);
	end(NULL);
}

/* ---- refusals ---- */

static void script_refuse_then_grant(struct fake *it)
{
	static const int codes[] = {ENODEV, ENOENT, EBUSY, EACCES, ENETDOWN};

	(void)it;
	if (!welcome())
		return;
	for (int i = 0; i < 5 && expect(XDPD_ATTACH); i++) {
		say_event("by the way");
		say_error(XDPD_ERROR, fake.in.header.id, codes[i], strerrorname_np(codes[i]));
	}
	/* A refusal after READY, too. */
	if (expect(XDPD_ATTACH)) {
		say_grant();
		if (expect(XDPD_READY))
			say_error(XDPD_ERROR, fake.in.header.id, EBUSY, "at the bind");
	}
	if (expect(XDPD_ATTACH))
		say_grant();
	if (start())
		until_it_goes();
}

static void a_refusal_has_its_errno_and_reason_and_one_may_try_again(void **state)
{
	static const int codes[] = {ENODEV, ENOENT, EBUSY, EACCES, ENETDOWN};
	struct xdpd_event event;
	struct xdpd *x;
	int fds;

	(void)state;
	begin(script_refuse_then_grant, 0);
	x = connected();
	fds = count_fds();
	for (int i = 0; i < 5; i++) {
		assert_int_equal(attach_within(x, 0), -codes[i]);
		assert_string_equal(xdpd_reason(x), strerrorname_np(codes[i]));
	}
	assert_int_equal(attach_within(x, 0), -EBUSY);
	assert_string_equal(xdpd_reason(x), "at the bind");
	assert_int_equal(xdpd_frames(x), 0);
	assert_int_equal(count_fds(), fds);
	assert_int_equal(attach_within(x, 0), 0);
	assert_string_equal(xdpd_reason(x), "");
	assert_int_equal(fake.connections, 1);
	for (int i = 0; i < 5; i++)
		assert_int_equal(xdpd_next_event(x, &event), 1);
	assert_int_equal(xdpd_next_event(x, &event), 0);
	assert_int_equal(attach_within(x, 0), -EISCONN);
	end(x);
	assert_true(fake.said_detach);
}

static void what_cannot_be_asked_is_refused_before_asking(void **state)
{
	struct xdpd_attach_options options = {.size = XDPD_ATTACH_OPTIONS_SIZE_V1 - 1};
	struct xdpd *x;

	(void)state;
	begin(script_idle, 0);
	x = connected();
	assert_int_equal(xdpd_attach(x, "", 0, NULL), -ENODEV);
	assert_int_equal(xdpd_attach(x, "a-name-of-sixteen", 0, NULL), -ENODEV);
	assert_int_equal(xdpd_attach(x, "eth0", 0, &options), -EINVAL);
	options = (struct xdpd_attach_options){.size = sizeof(options), .group = "no spaces"};
	assert_int_equal(xdpd_attach(x, "eth0", 0, &options), -EINVAL);
	end(x);
}

static void options_of_a_newer_program_are_taken_as_far_as_they_say_what_is_known(void **state)
{
	struct {
		struct xdpd_attach_options known;
		uint32_t newer[4];
	} options = {
		.known = {.size = sizeof(options), .flags = XDPD_ATTACH_TRANSMIT},
		.newer = {0, 0, 0, 1},
	};
	struct xdpd *x;

	(void)state;
	begin(script_good, 0);
	x = connected();
	assert_int_equal(xdpd_attach(x, "eth0", 3, &options.known), -E2BIG);
	options.newer[3] = 0;
	assert_int_equal(xdpd_attach(x, "eth0", 3, &options.known), 0);
	end(x);
}

/* ---- what a daemon may not say ---- */

enum { AT_HELLO, AT_ATTACH, AT_READY, STEPS };
enum {
	BAD_MAGIC,
	BAD_LENGTH,
	SHORT_HEADER,
	SHORT_BODY,
	WRONG_TYPE,
	WRONG_ID,
	UNASKED_FDS,
	MANY_FDS,
	TOO_LONG,
	ERROR_ZERO,
	BAD_EVENT,
	EVENT_FDS,
	HANG_UP,
	BADS
};

static void say_bad(int bad)
{
	struct xdpd_error error = {.code = 0};
	char body[XDPD_MESSAGE_MAX + 64] = {};
	struct xdpd_header *header = (struct xdpd_header *)body;
	const int fds[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
	uint32_t id = fake.in.header.id;
	uint16_t type = fake.in.header.type == XDPD_HELLO    ? XDPD_WELCOME
			: fake.in.header.type == XDPD_ATTACH ? XDPD_GRANT
							     : XDPD_STARTED;

	*header = (struct xdpd_header){XDPD_PROTOCOL_MAGIC, 1, type, 600, id};
	switch (bad) {
	case BAD_MAGIC:
		header->magic++;
		(void)!send(fake.fd, body, 600, MSG_NOSIGNAL);
		break;
	case BAD_LENGTH:
		(void)!send(fake.fd, body, 599, MSG_NOSIGNAL);
		break;
	case SHORT_HEADER:
		(void)!send(fake.fd, body, 7, MSG_NOSIGNAL);
		break;
	case SHORT_BODY:
		/* STARTED has no body to be short of. */
		say(type == XDPD_STARTED ? XDPD_GRANT : type, id, body, sizeof(*header));
		break;
	case WRONG_TYPE:
		say(XDPD_DONE, id, body, 600);
		break;
	case WRONG_ID:
		say(type, id + 1, body, 600);
		break;
	case UNASKED_FDS:
		/* To GRANT they belong, but not so many of them. */
		say_with_fds(type, id, body, 600, fds, 2);
		break;
	case MANY_FDS:
		say_with_fds(type, id, body, 600, fds, 16);
		break;
	case TOO_LONG:
		say(type, id, body, sizeof(body));
		break;
	case ERROR_ZERO:
		say(XDPD_ERROR, id, &error, sizeof(error));
		break;
	case BAD_EVENT:
		say(XDPD_EVENT, 0, body, 64);
		break;
	case EVENT_FDS:
		say_with_fds(XDPD_EVENT, 0, body, sizeof(struct xdpd_event), fds, 2);
		break;
	default: /* HANG_UP */
		break;
	}
}

static void script_bad(struct fake *it)
{
	int step = it->variant / BADS, bad = it->variant % BADS;

	/* The second connection is served well. */
	if (it->connections > 1) {
		script_good(it);
		return;
	}
	if (step == AT_HELLO) {
		if (expect(XDPD_HELLO))
			say_bad(bad);
	} else if (welcome() && expect(XDPD_ATTACH)) {
		if (step == AT_ATTACH) {
			say_bad(bad);
		} else {
			say_grant();
			if (expect(XDPD_READY))
				say_bad(bad);
		}
	}
}

static void what_is_not_in_the_protocol_ends_the_connection_and_leaks_nothing(void **state)
{
	(void)state;
	for (int variant = 0; variant < STEPS * BADS; variant++) {
		int expected = variant % BADS == HANG_UP ? -ECONNRESET : -EPROTO;
		struct xdpd *x = NULL;
		int fds;

		begin(script_bad, variant);
		if (variant / BADS == AT_HELLO) {
			assert_int_equal(xdpd_connect(&x, fake.path, "test"), expected);
			assert_null(x);
		} else {
			x = connected();
			fds = count_fds();
			assert_int_equal(attach_within(x, 0), expected);
			assert_true(xdpd_reason(x)[0]);
			assert_int_equal(xdpd_wait(x, 0), expected);
			assert_int_equal(xdpd_frames(x), 0);
			/* The connection and the daemon's end of it may be closed, nothing else. */
			assert_true(count_fds() <= fds);
			assert_int_equal(attach_within(x, 0), 0);
			assert_int_equal(fake.connections, 2);
		}
		end(x);
	}
}

static void change_version(struct fake *it)
{
	struct xdpd_welcome message = {.version = 2};

	(void)it;
	if (expect(XDPD_HELLO))
		say(XDPD_WELCOME, fake.in.header.id, &message, sizeof(message));
}

static void a_daemon_of_another_version_is_refused(void **state)
{
	struct xdpd *x = NULL;

	(void)state;
	begin(change_version, 0);
	assert_int_equal(xdpd_connect(&x, fake.path, "test"), -EPROTONOSUPPORT);
	end(NULL);
}

/* Each makes a grant that would lead the client astray. */
static const struct {
	size_t offset, size;
	uint64_t value;
} bad_members[] = {
#define BAD(member, value)                                                                     \
	{                                                                                      \
		offsetof(struct xdpd_grant, member), sizeof(((struct xdpd_grant *)0)->member), \
			value                                                                  \
	}
	BAD(n_fds, 2),
	BAD(n_fds, 4),
	BAD(wait_fd, 3),
	BAD(frames, 0),
	BAD(frames, 97),
	BAD(frames, UINT32_MAX),
	BAD(frame_size, 0),
	BAD(frame_size, 2047),
	BAD(frame_size, 1u << 31),
	BAD(headroom, 2048),
	BAD(filled, 97),
	BAD(filled, 65),
	BAD(umem.fd, 3),
	BAD(umem.fd, UINT32_MAX),
	BAD(umem.offset, UMEM_SIZE + PAGE),
	BAD(umem.offset, UINT64_MAX - PAGE + 1),
	BAD(umem.offset, 8192 * 100),
	BAD(umem.length, 0),
	BAD(umem.length, UINT64_MAX),
	BAD(umem.length, UMEM_SIZE + PAGE + 1),
	BAD(account.length, 4),
	BAD(account.flags, XDPD_REGION_READ_ONLY),
	BAD(account.offset, UMEM_SIZE + PAGE),
	BAD(rx.size, 0),
	BAD(rx.size, 63),
	BAD(rx.size, 128),
	BAD(rx.size, 1u << 31),
	BAD(rx.producer, 2),
	BAD(rx.producer, 1 << 20),
	BAD(rx.consumer, UINT64_MAX - 3),
	BAD(rx.flags, ENTRIES_AT + 64 * 16),
	BAD(rx.entries, ENTRIES_AT + 8),
	BAD(rx.entries, UINT64_MAX - 7),
	BAD(rx.entries, 4),
	BAD(rx.region.flags, XDPD_REGION_READ_ONLY),
	BAD(rx.region.length, 0),
	BAD(rx.region.length, 3),
	BAD(rx.region.length, RINGS *RING_SPAN + PAGE),
	BAD(rx.region.offset, 1ull << 63),
	BAD(tx.entries, ENTRIES_AT + 8),
	BAD(fill.size, 0),
	BAD(fill.size, 32),
	BAD(fill.entries, ENTRIES_AT + 8),
	BAD(completion.size, 0),
	BAD(completion.size, 3),
#undef BAD
};

static void script_bad_grant(struct fake *it)
{
	if (it->connections == 1) {
		memcpy((char *)&it->grant + bad_members[it->variant].offset,
		       &bad_members[it->variant].value, bad_members[it->variant].size);
		if (!welcome() || !expect(XDPD_ATTACH))
			return;
		say_grant();
		until_it_goes();
	}
}

static void a_grant_that_would_lead_astray_is_refused_and_the_lease_given_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_members) / sizeof(*bad_members); i++) {
		struct xdpd *x;

		begin(script_bad_grant, (int)i);
		x = connected();
		if (attach_within(x, 0) != -EPROTO)
			fail_msg("bad member %zu was taken", i);
		assert_non_null(strstr(xdpd_reason(x), "can't be mapped"));
		assert_int_equal(xdpd_wait(x, 0), -EPROTO);
		end(x);
		assert_true(fake.said_detach);
	}
}

/* ---- waiting, and the end ---- */

static void script_events_then_end(struct fake *it)
{
	if (!welcome() || !expect(XDPD_ATTACH))
		return;
	say_grant();
	if (!start())
		return;
	for (int i = 0; i < 20; i++) {
		char text[32];

		snprintf(text, sizeof(text), "event %d", i);
		say_event(text);
	}
	post(&it->said);
	await(&it->go_on);
	if (it->variant == 0)
		say_error(XDPD_REVOKE, 0, ECANCELED, "an administrator ended it");
}

static bool is_readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

static void events_are_kept_up_to_16_and_then_the_reason_of_the_end(void **state)
{
	static const char *const reasons[] = {"an administrator ended it", "xdpd has ended"};
	static const int results[] = {-ECANCELED, -ECONNRESET};

	(void)state;
	for (int variant = 0; variant < 2; variant++) {
		struct xdpd_event event;
		struct xdpd *x;
		int n = 0, r;

		begin(script_events_then_end, variant);
		x = attached();
		await(&fake.said);
		assert_true(is_readable(xdpd_fd(x)));
		assert_int_equal(xdpd_wait(x, 1000), XDPD_WAIT_EVENT);
		assert_int_equal(xdpd_next_event(x, &event), 1);
		assert_string_equal(event.text, "event 4");
		assert_true(is_readable(xdpd_fd(x)));
		while (xdpd_next_event(x, &event))
			n++;
		assert_int_equal(n, 15);
		assert_false(is_readable(xdpd_fd(x)));
		post(&fake.go_on);
		r = xdpd_wait(x, -1);
		assert_int_equal(r, results[variant]);
		assert_non_null(strstr(xdpd_reason(x), reasons[variant]));
		assert_int_equal(xdpd_wait(x, -1), results[variant]);
		assert_true(is_readable(xdpd_fd(x)));
		/* What lies in the rings may still be looked at. */
		kernel_receive(3);
		assert_int_equal(xdpd_rx(x, &(struct xdp_desc){}, 1), 1);
		assert_int_equal(attach_within(x, 0), -EISCONN);
		end(x);
	}
}

static void an_interface_that_was_removed_shows_once_the_daemon_speaks(void **state)
{
	struct xdpd_event event;
	struct xdpd *x;

	(void)state;
	begin(script_events_then_end, 0);
	kernel.removed = ENETDOWN;
	x = attached();
	assert_int_equal(xdpd_wait(x, -1), -ENETDOWN);
	assert_string_equal(xdpd_reason(x), "the interface is gone (ENETDOWN)");
	assert_int_equal(xdpd_next_event(x, &event), 1);
	post(&fake.go_on);
	end(x);
}

static void *receive_later(void *context)
{
	(void)context;
	/* Most likely the test sleeps by then. */
	usleep(50000);
	kernel_receive(5);
	assert_int_equal(send(kernel.sockets[1], "", 1, 0), 1);
	return NULL;
}

static void a_wait_ends_by_frames_or_its_timeout(void **state)
{
	struct xdp_desc frames[8];
	struct timespec from, to;
	pthread_t thread;
	struct xdpd *x;

	(void)state;
	begin(script_good, 0);
	x = attached();
	clock_gettime(CLOCK_MONOTONIC, &from);
	assert_int_equal(xdpd_wait(x, 30), 0);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_true((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000 >= 29);
	assert_int_equal(pthread_create(&thread, NULL, receive_later, NULL), 0);
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_RX);
	pthread_join(thread, NULL);
	assert_true(is_readable(xdpd_fd(x)));
	assert_int_equal(xdpd_wait(x, 0), XDPD_WAIT_RX);
	assert_int_equal(xdpd_rx(x, frames, 8), 5);
	end(x);
}

static int64_t milliseconds_since(const struct timespec *from)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - from->tv_sec) * 1000 + (now.tv_nsec - from->tv_nsec) / 1000000;
}

static void assert_waits_out(struct xdpd *x, int timeout_ms)
{
	struct timespec from;

	clock_gettime(CLOCK_MONOTONIC, &from);
	assert_int_equal(xdpd_wait(x, timeout_ms), 0);
	assert_true(milliseconds_since(&from) >= timeout_ms - 1);
	assert_true(milliseconds_since(&from) < timeout_ms + 1000);
}

/* One whose time is not over when frames come, so that its end is in the middle of the next one. */
static void assert_is_cut_short(struct xdpd *x, int timeout_ms)
{
	struct xdp_desc frames[5];
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, receive_later, NULL), 0);
	assert_int_equal(xdpd_wait(x, timeout_ms), XDPD_WAIT_RX);
	pthread_join(thread, NULL);
	assert_int_equal(xdpd_rx(x, frames, 5), 5);
	xdpd_release(x, frames, 5);
}

static void each_of_many_waits_has_its_own_timeout(void **state)
{
	struct xdpd *x;

	(void)state;
	begin(script_good, 0);
	x = attached();
	assert_is_cut_short(x, 5000);
	assert_waits_out(x, 30);
	assert_waits_out(x, 3);
	assert_is_cut_short(x, 100);
	assert_waits_out(x, 200);
	assert_is_cut_short(x, 100);
	assert_waits_out(x, 9);
	assert_is_cut_short(x, -1);
	assert_is_cut_short(x, 100);
	assert_is_cut_short(x, -1);
	end(x);
}

/* The lasting set takes two. */
static void a_program_without_fds_left_can_still_wait(void **state)
{
	struct rlimit before, none;
	struct xdpd *x;

	(void)state;
	begin(script_good, 0);
	x = attached();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_waits_out(x, 30);
	assert_is_cut_short(x, 5000);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	end(x);
}

static void script_late(struct fake *it)
{
	if (it->connections > 1) {
		script_good(it);
		return;
	}
	if (!welcome() || !expect(XDPD_ATTACH))
		return;
	if (it->variant == 0)
		await(&it->go_on);
	say_grant();
	until_it_goes();
}

static void an_answer_that_comes_too_late_leases_nothing(void **state)
{
	(void)state;
	for (int variant = 0; variant < 2; variant++) {
		struct xdpd *x;

		begin(script_late, variant);
		x = connected();
		assert_int_equal(attach_within(x, 30), -ETIMEDOUT);
		assert_true(xdpd_reason(x)[0]);
		post(&fake.go_on);
		assert_int_equal(attach_within(x, 0), 0);
		assert_int_equal(fake.connections, 2);
		end(x);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connecting_says_what_is_wrong),
		cmocka_unit_test(
			the_programs_name_is_made_fit_and_the_environment_names_the_socket),
		cmocka_unit_test(who_is_turned_away_at_the_door_learns_why),
		cmocka_unit_test(a_refusal_has_its_errno_and_reason_and_one_may_try_again),
		cmocka_unit_test(what_cannot_be_asked_is_refused_before_asking),
		cmocka_unit_test(
			options_of_a_newer_program_are_taken_as_far_as_they_say_what_is_known),
		cmocka_unit_test(what_is_not_in_the_protocol_ends_the_connection_and_leaks_nothing),
		cmocka_unit_test(a_daemon_of_another_version_is_refused),
		cmocka_unit_test(
			a_grant_that_would_lead_astray_is_refused_and_the_lease_given_back),
		cmocka_unit_test(events_are_kept_up_to_16_and_then_the_reason_of_the_end),
		cmocka_unit_test(an_interface_that_was_removed_shows_once_the_daemon_speaks),
		cmocka_unit_test(a_wait_ends_by_frames_or_its_timeout),
		cmocka_unit_test(each_of_many_waits_has_its_own_timeout),
		cmocka_unit_test(a_program_without_fds_left_can_still_wait),
		cmocka_unit_test(an_answer_that_comes_too_late_leases_nothing),
	};

	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
