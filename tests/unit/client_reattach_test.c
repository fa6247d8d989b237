// SPDX-License-Identifier: BSD-2-Clause
/* An attachment that has ended and is had again: when, when not, what the program sees, and what is counted. */
#include "client_worker.h"

#include <sys/epoll.h>

/* ---- a daemon that comes and goes ---- */

/*
 * Grants each connection what `fake.grant` has by then; ends an attachment when the test says go_on, with a REVOKE of
 * `revoke_code` if there is one. `refusals` attempts before are refused with `refusal`.
 */
static struct {
	int revoke_code;
	int refusal, refusals, refused;
	bool mute; /* says nothing from the ATTACH on */
	bool hold_started;
	bool keeps_open; /* after the REVOKE, until the client goes */
	bool shared;
} daemon_does;

static void say_any_grant(void)
{
	const int fds[WORKER_FDS] = {worker.umem_read_fd, kernel.rings_fd, kernel.sockets[0],
				     worker.own_fd, worker.rings_read_fd};

	if (daemon_does.shared)
		say_with_fds(XDPD_GRANT, fake.in.header.id, &fake.grant, sizeof(fake.grant), fds,
			     WORKER_FDS);
	else
		say_grant();
}

static void script_come_and_go(struct fake *it)
{
	if (!welcome())
		return;
	while (expect(XDPD_ATTACH)) {
		if (daemon_does.refusals) {
			daemon_does.refusals--;
			__atomic_add_fetch(&daemon_does.refused, 1, __ATOMIC_RELAXED);
			say_error(XDPD_ERROR, it->in.header.id, daemon_does.refusal, "not now");
			continue;
		}
		if (__atomic_load_n(&daemon_does.mute, __ATOMIC_RELAXED)) {
			until_it_goes();
			return;
		}
		say_any_grant();
		if (daemon_does.hold_started) {
			if (expect(XDPD_READY))
				post(&it->said);
			until_it_goes();
			return;
		}
		if (!start())
			return;
		post(&it->said);
		await(&it->go_on);
		if (daemon_does.revoke_code)
			say_error(XDPD_REVOKE, 0, daemon_does.revoke_code, "it ends here");
		if (daemon_does.keeps_open)
			until_it_goes();
		return;
	}
}

static struct xdpd *attached_for(int reattach_ms)
{
	const struct xdpd_attach_options options = {.size = sizeof(options),
						    .flags = XDPD_ATTACH_TRANSMIT,
						    .timeout_ms = 1000,
						    .reattach_ms = reattach_ms};
	struct xdpd *x = connected();

	assert_int_equal(xdpd_attach(x, "eth0", 3, &options), 0);
	await(&fake.said);
	return x;
}

static struct xdpd *begin_attached(int reattach_ms)
{
	memset(&daemon_does, 0, sizeof(daemon_does));
	begin(script_come_and_go, 0);
	return attached_for(reattach_ms);
}

/* The daemon's attachment ends, as `daemon_does` has it. */
static void end_attachment(void)
{
	post(&fake.go_on);
}

/* The last attachment is let go of, so that the daemon's thread ends. */
static void end_all(struct xdpd *x)
{
	post(&fake.go_on);
	end(x);
}

static char away[sizeof(fake.path) + 8];

static void hide_daemon(void)
{
	snprintf(away, sizeof(away), "%s.away", fake.path);
	assert_int_equal(rename(fake.path, away), 0);
}

static void show_daemon(void)
{
	assert_int_equal(rename(away, fake.path), 0);
}

/* The machine on which all was attached is replaced by another one. */
static void change_kernel(uint32_t frames, uint32_t ring)
{
	const uint32_t sizes[RINGS] = {
		[RX] = ring, [TX] = ring, [FILL] = ring, [COMPLETION] = ring};

	remove_kernel();
	fake.grant = make_kernel(frames, ring / 2, sizes, 7);
}

static struct xdpd_stats stats_of(struct xdpd *x)
{
	struct xdpd_stats stats = {.size = sizeof(stats)};

	assert_int_equal(xdpd_stats(x, &stats), 0);
	return stats;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool is_readable_within(int fd, int timeout_ms)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, timeout_ms) == 1;
}

/* ---- it comes back ---- */

static void when_the_daemon_is_back_so_is_the_attachment(void **state)
{
	static const int codes[] = {0, ESHUTDOWN, ENETDOWN};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct xdpd *x = begin_attached(-1);
		const struct xdp_desc *peeked;
		struct xdp_desc frames[8];

		daemon_does.revoke_code = codes[i];
		end_attachment();
		assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_DETACHED);
		assert_string_equal(xdpd_reason(x),
				    codes[i] ? "it ends here"
					     : "xdpd has ended or closed the connection "
					       "(ECONNRESET)");
		assert_int_equal(xdpd_rx(x, frames, 8), 0);
		assert_int_equal(xdpd_rx_peek(x, &peeked, 8), 0);
		xdpd_rx_done(x, 0);
		assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_REATTACHED);
		assert_string_equal(xdpd_reason(x), "");
		assert_int_equal(fake.connections, 2);
		await(&fake.said);
		assert_int_equal(stats_of(x).reattached, 1);
		assert_int_equal(xdpd_frames(x), 96);
		assert_int_equal(kernel_receive(3), 3);
		assert_int_equal(xdpd_wait(x, 1000), XDPD_WAIT_RX);
		assert_int_equal(xdpd_rx(x, frames, 8), 3);
		xdpd_release(x, frames, 3);
		end_all(x);
	}
}

static void what_is_granted_then_may_be_smaller_or_larger(void **state)
{
	static const uint32_t sizes[][2] = {{32, 16}, {200, 128}};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct xdpd *x = begin_attached(-1);
		struct xdp_desc frames[64];
		uint32_t n;

		hide_daemon();
		end_attachment();
		assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_DETACHED);
		assert_int_equal(xdpd_frames(x), 96);
		assert_int_equal(xdpd_wait(x, 0), 0);
		assert_int_equal(xdpd_frames(x), 0);
		assert_null(x->umem);
		change_kernel(sizes[i][0], sizes[i][1]);
		show_daemon();
		assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_REATTACHED);
		await(&fake.said);
		assert_int_equal(xdpd_frames(x), sizes[i][0]);
		n = sizes[i][1] / 2;
		n = kernel_receive(n < 64 ? n : 64);
		assert_int_equal(xdpd_rx(x, frames, 64), n);
		assert_int_equal(xdpd_forward(x, frames, n), n);
		/* The kernel's checks of what is in the rings are those of the new ones. */
		kernel_fetch(sizes[i][1]);
		for (uint32_t j = 0; j < kernel.n_held; j++)
			assert_true(kernel.held[j] < (uint64_t)sizes[i][0] * FRAME_SIZE);
		end_all(x);
	}
}

/* One that was shared by then, and back. */
static void a_queue_that_has_become_shared_is_taken_as_that(void **state)
{
	struct xdpd *x = begin_attached(-1);

	(void)state;
	hide_daemon();
	end_attachment();
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_DETACHED);
	assert_int_equal(xdpd_wait(x, 0), 0);
	remove_kernel();
	fake.grant = make_worker(0, true, 9);
	daemon_does.shared = true;
	show_daemon();
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_REATTACHED);
	await(&fake.said);
	assert_string_equal(xdpd_group(x), "ids");
	assert_int_equal(stats_of(x).quota, 48);
	assert_int_equal(lend(5), 5);
	assert_int_equal(xdpd_wait(x, 0), XDPD_WAIT_RX);
	post(&fake.go_on);
	end_shared(x);
}

/* ---- while it is away ---- */

static void refusals_are_tried_again_ever_more_slowly_and_on_one_connection(void **state)
{
	static const int codes[] = {EBUSY, ENODEV, ENOENT, ENETDOWN, ESHUTDOWN, EUSERS};
	const uint64_t start = now_ms();

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		struct xdpd *x = begin_attached(-1);

		daemon_does.refusal = codes[i];
		daemon_does.refusals = 4;
		end_attachment();
		assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_DETACHED);
		assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_REATTACHED);
		await(&fake.said);
		assert_int_equal(daemon_does.refused, 4);
		assert_int_equal(fake.connections, 2);
		/* 10 + 20 + 40 + 80 */
		assert_true(stats_of(x).gap_ms >= 140);
		end_all(x);
	}
	assert_true(now_ms() - start < 60000);
}

static void what_time_can_not_mend_ends_it(void **state)
{
	static const int codes[] = {EACCES, EINVAL, EOPNOTSUPP, EPROTONOSUPPORT};

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		struct xdpd *x = begin_attached(-1);

		daemon_does.refusal = codes[i];
		daemon_does.refusals = 1;
		end_attachment();
		assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_DETACHED);
		assert_int_equal(xdpd_wait(x, 5000), -codes[i]);
		assert_string_equal(xdpd_reason(x), "not now");
		assert_true(is_readable_within(xdpd_fd(x), 0));
		assert_int_equal(xdpd_wait(x, -1), -codes[i]);
		assert_int_equal(xdpd_frames(x), 0);
		assert_int_equal(stats_of(x).reattached, 0);
		/* From there on it is the program's turn. */
		assert_int_equal(attach_within(x, 1000), 0);
		await(&fake.said);
		assert_int_equal(stats_of(x).gap_ms, 0);
		end_all(x);
	}
}

static void who_is_ejected_stays_out_and_so_does_who_did_not_ask(void **state)
{
	static const int codes[] = {ECANCELED, EPROTO, EACCES, ESHUTDOWN};

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct xdpd *x = begin_attached(codes[i] == ESHUTDOWN ? 0 : -1);

		daemon_does.revoke_code = codes[i];
		end_attachment();
		assert_int_equal(xdpd_wait(x, 5000), -ECANCELED);
		assert_string_equal(xdpd_reason(x), "it ends here");
		assert_int_equal(xdpd_wait(x, 5000), -ECANCELED);
		/* What lies in the rings may still be looked at. */
		assert_int_equal(xdpd_frames(x), 96);
		assert_int_equal(fake.connections, 1);
		assert_int_equal(stats_of(x).reattached, 0);
		end(x);
	}
}

static void a_wait_ends_in_time_though_the_daemon_is_away_or_mute(void **state)
{
	struct xdpd *x = begin_attached(-1);
	uint64_t start;

	(void)state;
	hide_daemon();
	end_attachment();
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_DETACHED);
	for (int i = 0; i < 2; i++) {
		start = now_ms();
		assert_int_equal(xdpd_wait(x, 0), 0);
		assert_true(now_ms() - start < 500);
		start = now_ms();
		assert_int_equal(xdpd_wait(x, 60), 0);
		assert_in_range(now_ms() - start, 59, 900);
		assert_string_equal(xdpd_reason(x),
				    i ? xdpd_reason(x) : "can't connect to xdpd again (ENOENT)");
		if (i == 0) {
			__atomic_store_n(&daemon_does.mute, true, __ATOMIC_RELAXED);
			show_daemon();
		}
	}
	assert_true(stats_of(x).gap_ms >= 118);
	assert_int_equal(attach_within(x, 0), -EISCONN);
	/* One that does not answer within the attach's timeout is given up, and asked again. */
	while (!strstr(xdpd_reason(x), "ETIMEDOUT"))
		assert_int_equal(xdpd_wait(x, 20), 0);
	__atomic_store_n(&daemon_does.mute, false, __ATOMIC_RELAXED);
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_REATTACHED);
	await(&fake.said);
	end_all(x);
}

static void after_the_time_that_was_given_the_last_refusal_ends_it(void **state)
{
	struct xdpd *x = begin_attached(100);
	uint64_t start;

	(void)state;
	hide_daemon();
	end_attachment();
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_DETACHED);
	start = now_ms();
	assert_int_equal(xdpd_wait(x, -1), -ENOENT);
	assert_in_range(now_ms() - start, 95, 5000);
	assert_in_range(stats_of(x).gap_ms, 100, 5000);
	assert_int_equal(xdpd_wait(x, -1), -ENOENT);
	show_daemon();
	end(x);

	x = begin_attached(100);
	daemon_does.refusal = EBUSY;
	daemon_does.refusals = 1000;
	end_attachment();
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_DETACHED);
	assert_int_equal(xdpd_wait(x, -1), -EBUSY);
	assert_string_equal(xdpd_reason(x), "not now");
	end(x);
}

static void on_alarm(int signal_number)
{
	(void)signal_number;
}

static void a_signal_ends_the_wait_for_a_daemon(void **state)
{
	struct xdpd *x = begin_attached(-1);
	struct sigaction action = {.sa_handler = on_alarm};

	(void)state;
	hide_daemon();
	end_attachment();
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_DETACHED);
	sigaction(SIGALRM, &action, NULL);
	for (int r = 0, i = 0; r != -EINTR; i++) {
		assert_true(i < 50);
		alarm(1);
		r = xdpd_wait(x, -1);
		assert_true(r == -EINTR || r == 0);
	}
	alarm(0);
	show_daemon();
	end(x);
}

static void it_can_be_closed_in_each_step(void **state)
{
	(void)state;
	for (int step = 0; step < 6; step++) {
		struct xdpd *x = begin_attached(-1);

		if (step <= 1)
			assert_int_equal(kernel_receive(3), 3);
		if (step == 3)
			hide_daemon();
		daemon_does.mute = step == 4;
		daemon_does.hold_started = step == 5;
		end_attachment();
		/* Draining, void, about to try, backed off, asking, starting. */
		if (step > 0) {
			int r;

			/* Who takes nothing hears the rest when it only looks. */
			do
				r = xdpd_wait(x, step == 1 ? 0 : 5000);
			while (r & XDPD_WAIT_RX);
			assert_int_equal(r, XDPD_WAIT_DETACHED);
		}
		if (step > 2)
			assert_int_equal(xdpd_wait(x, 60), 0);
		if (step == 5) {
			while (sem_trywait(&fake.said) < 0)
				assert_int_equal(xdpd_wait(x, 10), 0);
			/* It is mapped, and not to be seen yet. */
			assert_int_equal(xdpd_frames(x), 0);
			assert_int_equal(kernel_receive(2), 2);
			assert_int_equal(xdpd_rx(x, &(struct xdp_desc){}, 1), 0);
		}
		if (step == 3)
			show_daemon();
		if (step < 3)
			end_all(x);
		else
			end(x);
	}
}

/* ---- what the program holds ---- */

static void what_has_arrived_can_be_received_first(void **state)
{
	struct xdpd *x = begin_attached(-1);
	struct xdp_desc frame;

	(void)state;
	daemon_does.revoke_code = ESHUTDOWN;
	daemon_does.keeps_open = true;
	assert_int_equal(kernel_receive(5), 5);
	end_attachment();
	while (xdpd_fd(x) >= 0 && !*xdpd_reason(x))
		assert_int_equal(xdpd_wait(x, 0), XDPD_WAIT_RX);
	/* As long as it takes some: then the others are lost. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(xdpd_rx(x, &frame, 1), 1);
		xdpd_release(x, &frame, 1);
		assert_true(is_readable_within(xdpd_fd(x), 0));
		assert_int_equal(xdpd_wait(x, 1000), XDPD_WAIT_RX);
	}
	assert_int_equal(xdpd_wait(x, 1000), XDPD_WAIT_DETACHED);
	assert_int_equal(stats_of(x).abandoned, 2);
	change_kernel(96, 64);
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_REATTACHED);
	assert_true(fake.said_detach);
	await(&fake.said);
	end_all(x);
}

static void draining_ends_under_traffic_that_does_not(void **state)
{
	struct xdpd *x = begin_attached(-1);
	struct xdp_desc frames[64];
	uint64_t start;
	int r;

	(void)state;
	daemon_does.revoke_code = ESHUTDOWN;
	daemon_does.keeps_open = true;
	end_attachment();
	start = now_ms();
	do {
		uint32_t n;

		kernel_receive(4);
		r = xdpd_wait(x, 0);
		n = xdpd_rx(x, frames, 64);
		xdpd_release(x, frames, n);
	} while (!(r & XDPD_WAIT_DETACHED));
	assert_in_range(now_ms() - start, 90, 5000);
	change_kernel(96, 64);
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_REATTACHED);
	await(&fake.said);
	end_all(x);
}

static void frames_that_are_held_can_be_read_and_given_back_until_the_next_wait(void **state)
{
	struct xdpd *x = begin_attached(-1);
	struct xdp_desc held[8], unsent[4], copies[8];

	(void)state;
	assert_int_equal(kernel_receive(8), 8);
	assert_int_equal(xdpd_rx(x, held, 8), 8);
	assert_int_equal(xdpd_tx_alloc(x, unsent, 4), 4);
	memset(xdpd_frame(x, held[7].addr), 0x5a, 60);
	end_attachment();
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_DETACHED);

	assert_int_equal(((unsigned char *)xdpd_frame(x, held[7].addr))[59], 0x5a);
	memcpy(copies, held, sizeof(held));
	assert_int_equal(xdpd_make_writable(x, copies, 8), 8);
	assert_int_equal(xdpd_forward(x, held, 4), 0);
	assert_int_equal(xdpd_tx(x, unsent, 4), 0);
	xdpd_tx_free(x, unsent, 4);
	xdpd_release(x, held, 8);
	xdpd_release(x, held, 8);
	assert_int_equal(xdpd_tx_pending(x), 0);
	assert_int_equal(xdpd_wake_rx(x), 0);
	assert_int_equal(xdpd_wake_tx(x), 0);
	xdpd_refill(x);
	assert_int_equal(stats_of(x).spare, 0);

	change_kernel(96, 64);
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_REATTACHED);
	await(&fake.said);
	/* Each frame is in the fill ring or spare, once. */
	assert_int_equal(stats_of(x).spare, 96 - 32);
	kernel_fetch(96);
	assert_int_equal(kernel.n_held, 32);
	assert_int_equal(xdpd_tx_alloc(x, held, 1), 1);
	assert_int_equal(held[0].addr, 32 * FRAME_SIZE);
	end_all(x);
}

static void void_frames_of_a_shared_queue_are_harmless_too(void **state)
{
	static const uint32_t kinds[] = {0, XDPD_GRANT_TAP};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct xdp_desc held[8];
		struct xdpd *x;
		int r;

		memset(&daemon_does, 0, sizeof(daemon_does));
		daemon_does.shared = true;
		begin_shared_with(script_come_and_go, kinds[i], true, 5);
		x = attached_for(-1);
		if (kinds[i])
			show(8, 100);
		else
			lend(8);
		assert_int_equal(xdpd_wait(x, 0), XDPD_WAIT_RX);
		assert_int_equal(xdpd_rx(x, held, 6), 6);
		hide_daemon();
		/* As a process that is gone: its ends are closed. */
		shutdown(kernel.sockets[1], SHUT_RDWR);
		end_attachment();
		while ((r = xdpd_wait(x, 0)) == XDPD_WAIT_RX)
			;
		assert_int_equal(r, XDPD_WAIT_DETACHED);
		assert_int_equal(stats_of(x).abandoned, 2);
		assert_true(xdpd_is_tap(x) == (kinds[i] != 0));
		assert_int_equal(xdpd_full_length(x, held), held[0].len);
		if (!kinds[i])
			assert_int_equal(*(uint32_t *)xdpd_frame(x, held[2].addr), 7);
		/* A tap's are its own; what was lent can't be written to, and nothing is there to copy it into. */
		assert_int_equal(xdpd_make_writable(x, held, 6), kinds[i] ? 6 : 0);
		assert_int_equal(xdpd_forward(x, held, 6), 0);
		xdpd_release(x, held, 6);
		assert_int_equal(xdpd_rx(x, held, 6), 0);
		assert_int_equal(xdpd_wait(x, 0), 0);
		assert_int_equal(xdpd_rx(x, held, 6), 0);
		assert_false(xdpd_is_tap(x));
		show_daemon();
		end_shared(x);
	}
}

/* ---- the figures ---- */

static void counters_go_on_over_all_attachments(void **state)
{
	struct xdpd *x = begin_attached(-1);
	struct xdpd_stats stats;
	uint64_t gap = 0;

	(void)state;
	for (uint32_t i = 1; i <= 3; i++) {
		struct xdp_desc frames[4];

		kernel.statistics.rx_dropped += 5;
		kernel.statistics.rx_ring_full += 2;
		kernel.statistics.tx_invalid_descs += 1;
		assert_int_equal(stats_of(x).dropped, 5 * i);
		/* Nobody takes them. */
		assert_int_equal(xdpd_tx_alloc(x, frames, 4), 4);
		assert_int_equal(xdpd_tx_queue(x, frames, 4), 4);
		kernel.link_down = true;
		end_attachment();
		assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_DETACHED);
		stats = stats_of(x);
		assert_int_equal(stats.dropped, 5 * i);
		assert_int_equal(stats.reattached, i - 1);
		assert_int_equal(stats.unsent, 4 * i);
		assert_int_equal(stats.tx_entries, 0);
		/* A socket of its own counts anew. */
		change_kernel(96, 64);
		kernel.statistics.rx_dropped = 1000;
		assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_REATTACHED);
		await(&fake.said);
		stats = stats_of(x);
		assert_int_equal(stats.dropped, 5 * i);
		assert_int_equal(stats.ring_full, 2 * i);
		assert_int_equal(stats.tx_invalid, i);
		assert_int_equal(stats.reattached, i);
		assert_true(stats.gap_ms >= gap);
		gap = stats.gap_ms;
		usleep(5000);
		assert_int_equal(stats_of(x).gap_ms, gap);
	}
	/* A program of before has no room for what is new. */
	stats = (struct xdpd_stats){.size = XDPD_STATS_SIZE_V1, .reattached = 77};
	assert_int_equal(xdpd_stats(x, &stats), 0);
	assert_int_equal(stats.reattached, 77);
	end_all(x);
}

static void an_attachment_that_does_not_last_is_not_asked_for_in_a_hurry(void **state)
{
	struct xdpd *x = begin_attached(-1);
	uint64_t start;

	(void)state;
	daemon_does.refusal = EBUSY;
	daemon_does.refusals = 3;
	end_attachment();
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_DETACHED);
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_REATTACHED);
	await(&fake.said);
	end_attachment();
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_DETACHED);
	start = now_ms();
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_REATTACHED);
	assert_in_range(now_ms() - start, 30, 5000);
	await(&fake.said);
	end_all(x);
}

/* ---- other ways to find out ---- */

static void the_fd_stays_the_same_and_calls_for_each_step(void **state)
{
	struct xdpd *x = begin_attached(-1);
	struct xdp_desc frames[4];
	int fd = xdpd_fd(x);
	int seen = 0;

	(void)state;
	daemon_does.refusal = EBUSY;
	daemon_does.refusals = 2;
	hide_daemon();
	assert_false(is_readable_within(fd, 0));
	end_attachment();
	for (int i = 0; !(seen & XDPD_WAIT_REATTACHED); i++) {
		int r;

		assert_true(i < 1000);
		assert_true(is_readable_within(fd, 2000));
		r = xdpd_wait(x, 0);
		assert_true(r >= 0);
		seen |= r;
		if (i == 6)
			show_daemon();
	}
	assert_int_equal(seen, XDPD_WAIT_DETACHED | XDPD_WAIT_REATTACHED);
	await(&fake.said);
	assert_int_equal(xdpd_fd(x), fd);
	assert_false(is_readable_within(fd, 0));
	/* It is the new socket that wakes now. */
	kernel_receive(3);
	assert_int_equal(send(kernel.sockets[1], "", 1, 0), 1);
	assert_true(is_readable_within(fd, 1000));
	assert_int_equal(xdpd_wait(x, 0), XDPD_WAIT_RX);
	assert_int_equal(xdpd_rx(x, frames, 4), 3);
	end_all(x);
}

static void a_removed_interface_is_an_end_and_a_link_that_is_down_none(void **state)
{
	struct xdpd *x = begin_attached(-1);
	struct xdp_desc frames[2];

	(void)state;
	assert_int_equal(xdpd_tx_alloc(x, frames, 2), 2);
	kernel.link_down = true;
	assert_int_equal(xdpd_tx(x, frames, 2), 2);
	assert_int_equal(xdpd_wait(x, 30), 0);
	assert_int_equal(stats_of(x).reattached, 0);
	kernel.link_down = false;
	assert_int_equal(xdpd_wait(x, 30), 0);
	assert_int_equal(xdpd_tx_pending(x), 0);

	kernel.removed = ENETDOWN;
	daemon_does.revoke_code = ENETDOWN;
	daemon_does.refusal = ENODEV;
	daemon_does.refusals = 2;
	end_attachment();
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_DETACHED);
	kernel.removed = 0;
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_REATTACHED);
	await(&fake.said);
	end_all(x);
}

static void rings_that_are_the_programs_own_are_not_had_again(void **state)
{
	struct xdpd *x = begin_attached(-1);
	struct xdpd_raw raw;

	(void)state;
	assert_int_equal(xdpd_raw(x, &raw), -EOPNOTSUPP);
	end_all(x);
	x = begin_attached(0);
	assert_int_equal(xdpd_raw(x, &raw), 0);
	end_all(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(when_the_daemon_is_back_so_is_the_attachment),
		cmocka_unit_test(what_is_granted_then_may_be_smaller_or_larger),
		cmocka_unit_test(a_queue_that_has_become_shared_is_taken_as_that),
		cmocka_unit_test(refusals_are_tried_again_ever_more_slowly_and_on_one_connection),
		cmocka_unit_test(what_time_can_not_mend_ends_it),
		cmocka_unit_test(who_is_ejected_stays_out_and_so_does_who_did_not_ask),
		cmocka_unit_test(a_wait_ends_in_time_though_the_daemon_is_away_or_mute),
		cmocka_unit_test(after_the_time_that_was_given_the_last_refusal_ends_it),
		cmocka_unit_test(a_signal_ends_the_wait_for_a_daemon),
		cmocka_unit_test(it_can_be_closed_in_each_step),
		cmocka_unit_test(what_has_arrived_can_be_received_first),
		cmocka_unit_test(draining_ends_under_traffic_that_does_not),
		cmocka_unit_test(
			frames_that_are_held_can_be_read_and_given_back_until_the_next_wait),
		cmocka_unit_test(void_frames_of_a_shared_queue_are_harmless_too),
		cmocka_unit_test(counters_go_on_over_all_attachments),
		cmocka_unit_test(an_attachment_that_does_not_last_is_not_asked_for_in_a_hurry),
		cmocka_unit_test(the_fd_stays_the_same_and_calls_for_each_step),
		cmocka_unit_test(a_removed_interface_is_an_end_and_a_link_that_is_down_none),
		cmocka_unit_test(rings_that_are_the_programs_own_are_not_had_again),
	};

	return cmocka_run_group_tests_name("client re-attaching", tests, NULL, NULL);
}
