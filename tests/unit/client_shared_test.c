// SPDX-License-Identifier: BSD-2-Clause
/* Shared delivery, a consumer that holds frames: lending, returning, sending, waking each other, refused grants. */
#include "client_worker.h"

#define START (UINT32_MAX - 70)

static struct xdpd *attached_with(const struct xdpd_attach_options *options)
{
	struct xdpd *x = connected();

	assert_int_equal(xdpd_attach(x, "eth0", 3, options), 0);
	await(&fake.said);
	return x;
}

/* The kernel says EFAULT where a program would be killed. */
static bool is_writable(const void *address)
{
	int pipe_fds[2];
	bool writable;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(write(pipe_fds[1], "x", 1), 1);
	writable = syscall(SYS_read, pipe_fds[0], address, 1) == 1;
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return writable;
}

/* ---- attaching ---- */

static struct xdpd_attach_request asked;

static void script_keep_request(struct fake *it)
{
	if (!welcome() || !expect(XDPD_ATTACH))
		return;
	asked = it->in.attach;
	say_error(XDPD_ERROR, it->in.header.id, EUSERS, "the group is full");
	until_it_goes();
}

static void flags_and_group_are_passed_on_and_both_modes_at_once_are_refused(void **state)
{
	struct xdpd_attach_options options = {.size = sizeof(options),
					      .flags = XDPD_ATTACH_HOLD | XDPD_ATTACH_TRANSMIT,
					      .group = "ids"};
	struct xdpd *x;

	(void)state;
	begin_shared_with(script_keep_request, 0, false, 0);
	x = connected();
	assert_int_equal(xdpd_attach(x, "eth0", 3, &options), -EUSERS);
	assert_int_equal(asked.flags, XDPD_ATTACH_HOLD | XDPD_ATTACH_TRANSMIT);
	assert_string_equal(asked.group, "ids");
	assert_string_equal(xdpd_reason(x), "the group is full");
	options.flags = XDPD_ATTACH_HOLD | XDPD_ATTACH_TAP;
	assert_int_equal(xdpd_attach(x, "eth0", 3, &options), -EINVAL);
	assert_string_equal(xdpd_group(x), "");
	end_shared(x);
}

static void what_was_granted_can_be_asked(void **state)
{
	struct xdpd_stats stats = {.size = sizeof(stats)};
	struct xdpd_raw raw;
	struct xdpd *x;

	(void)state;
	begin_shared(0, true);
	x = attached_with(NULL);
	assert_string_equal(xdpd_group(x), "ids");
	assert_false(xdpd_is_tap(x));
	assert_true(xdpd_may_transmit(x));
	assert_int_equal(xdpd_frames(x), FRAMES);
	assert_int_equal(xdpd_raw(x, &raw), -EOPNOTSUPP);
	assert_int_equal(xdpd_stats(x, &stats), 0);
	assert_int_equal(stats.quota, 48);
	assert_int_equal(stats.held, 0);
	assert_int_equal(stats.spare, OWN_FRAMES);
	assert_false(is_writable(xdpd_frame(x, 0)));
	assert_true(is_writable(xdpd_frame(x, LENT_END)));
	assert_true(is_writable(xdpd_frame(x, LENT_END + OWN_FRAMES * FRAME_SIZE - 1)));
	end_shared(x);

	begin_shared(XDPD_GRANT_WRITABLE, false);
	x = attached_with(NULL);
	assert_true(is_writable(xdpd_frame(x, 0)));
	assert_false(xdpd_may_transmit(x));
	end_shared(x);
}

/* Members of struct xdpd_grant that would lead astray. */
struct bad_member {
	size_t offset, size;
	uint64_t value;
};

#define BAD(member, value)                                                                     \
	{                                                                                      \
		offsetof(struct xdpd_grant, member), sizeof(((struct xdpd_grant *)0)->member), \
			value                                                                  \
	}

static const struct bad_member bad_when_held[] = {
	BAD(flags, XDPD_GRANT_EXCLUSIVE | XDPD_GRANT_TAP),
	BAD(wait_fd, UMEM_FD),
	BAD(umem.length, LENT_END - PAGE),
	BAD(umem.length, LENT_END + 8),
	BAD(umem.length, UINT64_MAX - PAGE + 1),
	BAD(umem.fd, WAIT_FD),
	BAD(umem.offset, UMEM_SIZE + PAGE),
	BAD(frame_size, 4),
	BAD(frame_size, 0),
	BAD(account.length, 8),
	BAD(account.length, OWN_SIZE + 1),
	BAD(fill.size, FRAMES / 2),
	BAD(fill.size, 0),
	BAD(fill.region.flags, XDPD_REGION_READ_ONLY),
	BAD(rx.consumer, UINT64_MAX),
	BAD(rx.region.length, RINGS *RING_SPAN + PAGE),
	BAD(tx.size, 0),
	BAD(completion.size, 0),
	BAD(transmit.length, 0),
	BAD(transmit.length, OWN_SIZE + PAGE),
	BAD(transmit.length, UINT64_MAX),
	BAD(transmit.length, 1ull << 47),
	BAD(transmit.offset, OWN_SIZE),
	BAD(transmit.fd, WORKER_FDS),
	BAD(transmit.fd, WAIT_FD),
	BAD(transmit.flags, XDPD_REGION_READ_ONLY),
	BAD(transmit_frames, 0),
	BAD(transmit_frames, OWN_FRAMES + 1),
	BAD(transmit_frames, UINT32_MAX),
};

static const struct bad_member bad_when_tapped[] = {
	BAD(rx.size, XDPD_TAP_BURST),
	BAD(rx.size, TAP_SIZE - 1),
	BAD(rx.size, TAP_SIZE * 4),
	BAD(rx.producer, UINT64_MAX),
	BAD(rx.producer, 2),
	BAD(rx.entries, ENTRIES_AT + 8),
	BAD(rx.entries, UINT64_MAX - 7),
	BAD(rx.region.length, 0),
	BAD(rx.region.length, 3),
	BAD(sequences.length, 0),
	BAD(sequences.length, FRAMES * 4 - 4),
	BAD(sequences.length, OWN_SIZE),
	BAD(sequences.fd, WORKER_FDS),
	BAD(umem.length, LENT_END - PAGE),
	BAD(umem.fd, WAIT_FD),
	BAD(account.length, 8),
	BAD(account.flags, XDPD_REGION_READ_ONLY),
	BAD(transmit.offset, OWN_SIZE),
};

static void a_grant_that_would_lead_astray_is_refused(void **state)
{
	static const struct {
		uint32_t flags;
		const struct bad_member *members;
		size_t n;
	} sets[] = {
		{0, bad_when_held, sizeof(bad_when_held) / sizeof(*bad_when_held)},
		{XDPD_GRANT_TAP, bad_when_tapped, sizeof(bad_when_tapped) / sizeof(*bad_when_held)},
	};

	(void)state;
	for (int set = 0; set < 2; set++)
		for (size_t i = 0; i < sets[set].n; i++) {
			const struct bad_member *bad = &sets[set].members[i];
			struct xdpd *x;

			begin_shared(sets[set].flags, true);
			memcpy((char *)&fake.grant + bad->offset, &bad->value, bad->size);
			x = connected();
			if (attach_within(x, 0) != -EPROTO)
				fail_msg("bad member %zu of set %d was taken", i, set);
			end_shared(x);
		}
}

static void a_grant_of_an_older_daemon_is_that_of_an_exclusive_queue(void **state)
{
	struct xdpd *x;

	(void)state;
	/* Shared, it lacks what it has to have. */
	begin_shared(0, true);
	worker.grant_length = XDPD_GRANT_V1;
	x = connected();
	assert_int_equal(attach_within(x, 0), -EPROTO);
	end_shared(x);

	begin_shared(0, true);
	fake.grant.flags = XDPD_GRANT_EXCLUSIVE;
	fake.grant.account.length = 8;
	worker.grant_length = XDPD_GRANT_V1;
	x = attached_with(NULL);
	assert_string_equal(xdpd_group(x), "");
	end_shared(x);
}

/* ---- frames ---- */

static void frames_are_lent_and_come_back(void **state)
{
	struct xdpd_stats stats = {.size = sizeof(stats)};
	struct xdp_desc frames[FRAMES];
	struct xdpd *x;
	uint32_t next = UINT32_MAX - 40;

	(void)state;
	begin_shared(0, false);
	x = attached_with(NULL);
	for (int round = 0; round < 20; round++) {
		assert_int_equal(lend(40), 40);
		assert_int_equal(xdpd_rx(x, frames, FRAMES), 40);
		for (int i = 0; i < 40; i++, next++) {
			assert_memory_equal(xdpd_frame(x, frames[i].addr), &next, sizeof(next));
			assert_int_equal(frames[i].len, 60 + next % 64);
		}
		assert_int_equal(xdpd_stats(x, &stats), 0);
		assert_int_equal(stats.held, 40);
		xdpd_release(x, frames, 15);
		xdpd_release(x, frames + 15, 25);
		assert_int_equal(take_returns(), 40);
	}
	assert_int_equal(worker.n_lent, 0);
	end_shared(x);
}

static void what_is_gone_through_in_place_comes_back_by_a_run_where_that_is_granted(void **state)
{
	struct xdpd_stats stats = {.size = sizeof(stats)};
	const struct xdp_desc *peeked;
	struct xdp_desc kept[4];
	struct xdpd *x;

	(void)state;
	for (int runs = 0; runs < 2; runs++) {
		begin_shared(runs ? XDPD_GRANT_RUNS : 0, runs);
		x = attached_with(NULL);
		for (int round = 0; round < 20; round++) {
			assert_int_equal(lend(40), 40);
			assert_int_equal(xdpd_rx(x, kept, 4), 4);
			for (uint32_t left = 36, n; left; left -= n) {
				n = xdpd_rx_peek(x, &peeked, left);
				assert_int_not_equal(n, 0);
				assert_int_equal(peeked->addr / FRAME_SIZE,
						 worker.given[x->rx.own % FRAMES]);
				xdpd_rx_done(x, n);
				xdpd_rx_done(x, 0);
			}
			assert_int_equal(xdpd_stats(x, &stats), 0);
			assert_int_equal(stats.held, 4);
			/* Two where the ring began anew. */
			if (runs)
				assert_in_range(stats.fill_entries, 1, 2);
			else
				assert_int_equal(stats.fill_entries, 36);
			assert_int_equal(take_returns(), 36);
			xdpd_release(x, kept, 4);
			assert_int_equal(take_returns(), 4);
		}
		assert_int_equal(worker.n_lent, 0);
		end_shared(x);
	}
}

static void a_long_run_goes_back_as_several(void **state)
{
	static struct xdp_desc entries[256];
	static uint64_t returns[256];
	uint32_t words[5] = {[1] = START + 150, [2] = START, [3] = START};
	struct xdpd x = {.takes_runs = true};

	(void)state;
	words[0] = START;
	xdpd_ring_join(&x.rx, entries, 256, &words[0], &words[1], &words[4]);
	xdpd_ring_join(&x.fill, returns, 256, &words[2], &words[3], &words[4]);
	xdpd_rx_done(&x, 150);
	assert_int_equal(words[0], START + 150);
	assert_int_equal(words[2], START + 3);
	assert_int_equal(*xdpd_ring_address(&x.fill, START), xdpd_run(START, 64));
	assert_int_equal(*xdpd_ring_address(&x.fill, START + 1), xdpd_run(START + 64, 64));
	assert_int_equal(*xdpd_ring_address(&x.fill, START + 2), xdpd_run(START + 128, 22));
	assert_int_equal(x.in_runs, 147);
}

/* Own frames are in one place each: spare, with the program, or being transmitted. */
static void assert_own_accounted(const struct xdpd *x, const struct xdp_desc *mine, uint32_t n_mine)
{
	unsigned char seen[OWN_FRAMES] = {};
	const struct xdpd_ring *tx = &kernel.ring[TX], *completion = &kernel.ring[COMPLETION];
	uint32_t in_all = 0;

#define SEE(address)                                       \
	if ((address) >= LENT_END) {                       \
		seen[((address)-LENT_END) / FRAME_SIZE]++; \
		in_all++;                                  \
	}
	for (uint32_t i = 0; i < n_mine; i++)
		SEE(mine[i].addr);
	for (uint32_t i = 0; i < x->spares; i++)
		SEE(x->spare[i]);
	for (uint32_t i = tx->own; i != x->tx.own; i++)
		SEE(xdpd_ring_desc(tx, i)->addr);
	for (uint32_t i = x->completion.own; i != completion->own; i++)
		SEE(*xdpd_ring_address(completion, i));
#undef SEE
	assert_int_equal(in_all, OWN_FRAMES);
	for (uint32_t i = 0; i < OWN_FRAMES; i++)
		assert_int_equal(seen[i], 1);
}

static uint32_t pick(struct xdp_desc *mine, uint32_t *n_mine, struct xdp_desc *ret, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = below(*n_mine);

		ret[i] = mine[at];
		mine[at] = mine[--*n_mine];
	}
	return count;
}

/* take_returns() fails at the first return of what is not lent, so at each frame of one's own, too. */
static void each_frame_goes_back_once_and_where_it_belongs_in_a_long_random_run(void **state)
{
	(void)state;
	for (int turn = 0; turn < 4; turn++) {
		const bool writable = turn & 1, runs = turn & 2;
		struct xdp_desc mine[FRAMES + OWN_FRAMES], some[FRAMES + OWN_FRAMES];
		uint32_t n_mine = 0, n, done;
		uint64_t received = 0, sent = 0, replaced = 0;
		const struct xdp_desc *peeked;
		struct xdpd *x;

		begin_shared_with(script_shared,
				  (writable ? XDPD_GRANT_WRITABLE : 0) |
					  (runs ? XDPD_GRANT_RUNS : 0),
				  true, UINT32_MAX - 5000);
		x = attached_with(NULL);
		for (uint32_t round = 0; round < 60000; round++) {
			uint32_t want = below(24);
			uint32_t give = below((n_mine < 24 ? n_mine : 24) + 1);

			switch (below(10)) {
			case 0:
			case 1:
				n = xdpd_rx(x, mine + n_mine, want);
				received += n;
				n_mine += n;
				break;
			case 2:
				n = pick(mine, &n_mine, some, give);
				xdpd_release(x, some, n);
				break;
			case 3:
				n = pick(mine, &n_mine, some, give);
				done = xdpd_make_writable(x, some, n);
				for (uint32_t i = 0; i < done; i++)
					replaced += some[i].addr >= LENT_END;
				assert_true(!writable || done == n);
				done = xdpd_forward(x, some, below(2) ? done : n);
				sent += done;
				xdpd_release(x, some + done, n - done);
				break;
			case 4:
				n = xdpd_tx_alloc(x, some, want);
				done = xdpd_tx(x, some, below(n + 1));
				sent += done;
				xdpd_tx_free(x, some + done, n - done);
				break;
			case 5:
				(void)xdpd_tx_pending(x);
				break;
			case 6:
				assert_true(xdpd_wait(x, 0) >= 0);
				break;
			case 7:
				n = xdpd_rx_peek(x, &peeked, want);
				received += n;
				xdpd_rx_done(x, n);
				break;
			case 8:
				take_returns();
				kernel_transmit(want);
				break;
			default:
				lend(want);
			}
			if (round % 16 == 0)
				assert_own_accounted(x, mine, n_mine);
		}
		assert_true(received > 1000 && sent > 1000 && (writable || replaced > 1000));
		xdpd_release(x, mine, n_mine);
		for (int i = 0; i < 10; i++) {
			kernel_transmit(256);
			xdpd_release(x, mine, xdpd_rx(x, mine, FRAMES));
			xdpd_reap(x);
			take_returns();
		}
		assert_int_equal(worker.n_lent, 0);
		assert_int_equal(x->spares, OWN_FRAMES);
		end_shared(x);
	}
}

static void what_is_sent_lies_behind_the_umem_and_comes_back_to_be_sent_again(void **state)
{
	struct xdp_desc frames[OWN_FRAMES + 1];
	const struct xdp_desc *entry;
	struct xdpd *x;

	(void)state;
	begin_shared(0, true);
	x = attached_with(NULL);
	for (int round = 0; round < 40; round++) {
		assert_int_equal(xdpd_tx_alloc(x, frames, OWN_FRAMES + 1), OWN_FRAMES);
		assert_int_equal(xdpd_tx_alloc(x, frames, 1), 0);
		for (uint32_t i = 0; i < OWN_FRAMES; i++) {
			assert_true(frames[i].addr >= LENT_END);
			memset(xdpd_frame(x, frames[i].addr), round, 100);
			frames[i].len = 100;
		}
		assert_int_equal(xdpd_tx(x, frames, OWN_FRAMES), OWN_FRAMES);
		entry = xdpd_ring_desc(&kernel.ring[TX], kernel.ring[TX].own);
		assert_int_equal(worker.own[TRANSMIT_AT + entry->addr - LENT_END + 99], round);
		assert_int_equal(kernel_transmit(64), OWN_FRAMES);
		assert_int_equal(xdpd_tx_pending(x), 0);
	}
	assert_int_equal(take_returns(), 0);
	assert_int_equal(worker.account->transmit_bytes, 40 * OWN_FRAMES * 100);
	end_shared(x);
}

static void what_is_forwarded_is_held_until_it_was_sent_and_is_then_given_back(void **state)
{
	struct xdpd_stats stats = {.size = sizeof(stats)};
	struct xdp_desc frames[20];
	struct xdpd *x;

	(void)state;
	begin_shared(0, true);
	x = attached_with(NULL);
	lend(20);
	assert_int_equal(xdpd_rx(x, frames, 20), 20);
	assert_int_equal(xdpd_forward(x, frames, 20), 20);
	assert_int_equal(xdpd_ring_desc(&kernel.ring[TX], kernel.ring[TX].own)->addr,
			 frames[0].addr);
	assert_int_equal(take_returns(), 0);
	assert_int_equal(xdpd_stats(x, &stats), 0);
	assert_int_equal(stats.held, 20);
	assert_int_equal(kernel_transmit(12), 12);
	assert_int_equal(xdpd_rx(x, frames, 1), 0);
	assert_int_equal(take_returns(), 12);
	assert_int_equal(kernel_transmit(12), 8);
	assert_int_equal(xdpd_reap(x), 8);
	assert_int_equal(take_returns(), 8);
	assert_int_equal(x->spares, OWN_FRAMES);
	end_shared(x);
}

static void *transmit_later(void *context)
{
	(void)context;
	usleep(30000);
	kernel_transmit(64);
	return NULL;
}

/* Nobody announces completions; but for the frames in them the worker might have nothing to lend. */
static void a_wait_gives_back_what_is_sent_meanwhile(void **state)
{
	struct xdp_desc frames[32];
	pthread_t thread;
	struct xdpd *x;

	(void)state;
	begin_shared(0, true);
	x = attached_with(NULL);
	lend(32);
	assert_int_equal(xdpd_rx(x, frames, 32), 32);
	assert_int_equal(xdpd_forward(x, frames, 32), 32);
	assert_int_equal(pthread_create(&thread, NULL, transmit_later, NULL), 0);
	assert_int_equal(xdpd_wait(x, 1000), 0);
	pthread_join(thread, NULL);
	assert_int_equal(take_returns(), 32);
	end_shared(x);
}

static void packets_are_copied_to_be_changed_where_the_umem_is_not_to_be_written_to(void **state)
{
	struct xdp_desc frames[FRAMES], received[FRAMES];
	struct xdpd *x;

	(void)state;
	begin_shared(0, true);
	x = attached_with(NULL);
	lend(20);
	assert_int_equal(xdpd_rx(x, frames, 20), 20);
	memcpy(received, frames, sizeof(received));
	/* As many as there are frames of one's own. */
	assert_int_equal(xdpd_make_writable(x, frames, 20), OWN_FRAMES);
	assert_int_equal(take_returns(), OWN_FRAMES);
	for (uint32_t i = 0; i < 20; i++) {
		const unsigned char *from = worker.umem + received[i].addr;

		assert_int_equal(frames[i].len, received[i].len);
		assert_int_equal(frames[i].addr >= LENT_END, i < OWN_FRAMES);
		assert_int_equal(frames[i].addr % FRAME_SIZE, received[i].addr % FRAME_SIZE);
		assert_memory_equal(xdpd_frame(x, frames[i].addr), from, frames[i].len);
	}
	/* Both kinds may be sent or given back. */
	assert_int_equal(xdpd_make_writable(x, frames, OWN_FRAMES), OWN_FRAMES);
	assert_int_equal(xdpd_forward(x, frames, 8), 8);
	xdpd_release(x, frames + 8, 12);
	assert_int_equal(take_returns(), 4);
	assert_int_equal(x->spares, OWN_FRAMES - 8);
	kernel_transmit(8);
	xdpd_reap(x);
	assert_int_equal(x->spares, OWN_FRAMES);
	assert_int_equal(worker.n_lent, 0);
	end_shared(x);

	/* Without the right to transmit there is nowhere to copy to. */
	begin_shared(0, false);
	x = attached_with(NULL);
	lend(1);
	assert_int_equal(xdpd_rx(x, frames, 1), 1);
	assert_int_equal(xdpd_make_writable(x, frames, 1), 0);
	end_shared(x);
}

static void frames_given_back_twice_overflow_nothing(void **state)
{
	struct xdp_desc frames[FRAMES];
	struct xdpd *x;

	(void)state;
	begin_shared(0, true);
	x = attached_with(NULL);
	lend(FRAMES);
	assert_int_equal(xdpd_rx(x, frames, FRAMES), FRAMES);
	for (int i = 0; i < 5; i++)
		xdpd_release(x, frames, FRAMES);
	assert_int_equal(*word_of(FILL, 0) - *word_of(FILL, 64), FRAMES);
	assert_int_equal(take_returns(), FRAMES);
	end_shared(x);
}

/* ---- waking the worker ---- */

static void the_worker_is_woken_by_a_byte_only_when_it_asks_for_one(void **state)
{
	struct xdp_desc frames[8];
	struct xdpd *x;

	(void)state;
	begin_shared(0, true);
	x = attached_with(NULL);
	lend(8);
	assert_int_equal(xdpd_rx(x, frames, 8), 8);
	xdpd_release(x, frames, 4);
	for (int i = 0; i < 3; i++)
		assert_int_equal(xdpd_rx(x, frames, 4), 0);
	assert_int_equal(xdpd_wait(x, 0), 0);
	assert_int_equal(take_knocks(), 0);

	/* It sleeps, and frames came back: once. */
	*word_of(FILL, 128) = XDP_RING_NEED_WAKEUP;
	for (int i = 0; i < 3; i++)
		assert_int_equal(xdpd_rx(x, frames, 4), 0);
	assert_int_equal(xdpd_wait(x, 0), 0);
	assert_int_equal(take_knocks(), 1);
	xdpd_release(x, frames + 4, 4);
	assert_int_equal(xdpd_wait(x, 1), 0);
	assert_int_equal(take_knocks(), 1);
	*word_of(FILL, 128) = 0;

	assert_int_equal(xdpd_tx_alloc(x, frames, 4), 4);
	assert_int_equal(xdpd_tx(x, frames, 1), 1);
	assert_int_equal(xdpd_tx_pending(x), 1);
	assert_int_equal(xdpd_wait(x, 0), 0);
	assert_int_equal(take_knocks(), 0);
	*word_of(TX, 128) = XDP_RING_NEED_WAKEUP;
	for (int i = 0; i < 3; i++)
		assert_int_equal(xdpd_tx_pending(x), 1);
	assert_int_equal(take_knocks(), 1);
	assert_int_equal(xdpd_tx(x, frames + 1, 3), 3);
	assert_int_equal(take_knocks(), 1);
	end_shared(x);
}

static void nothing_is_sent_to_wake_one_who_is_idle(void **state)
{
	struct xdp_desc frame;
	struct xdpd *x;

	(void)state;
	begin_shared(0, true);
	*word_of(FILL, 128) = *word_of(TX, 128) = XDP_RING_NEED_WAKEUP;
	x = attached_with(NULL);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(xdpd_rx(x, &frame, 1), 0);
		assert_int_equal(xdpd_tx(x, &frame, 0), 0);
		assert_int_equal(xdpd_tx_pending(x), 0);
		assert_int_equal(xdpd_wait(x, 0), 0);
	}
	assert_int_equal(take_knocks(), 0);
	end_shared(x);
}

/* ---- being woken ---- */

static bool is_readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

static bool asks_for_wakeup(void)
{
	return __atomic_load_n(sleep_flags(), __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP;
}

static void who_does_not_sleep_asks_for_nothing(void **state)
{
	struct xdp_desc frames[8];
	struct xdpd *x;

	(void)state;
	begin_shared(0, false);
	x = attached_with(NULL);
	assert_int_equal(xdpd_rx(x, frames, 8), 0);
	assert_false(asks_for_wakeup());
	assert_int_equal(xdpd_wait(x, 0), 0);
	assert_int_equal(xdpd_wait(x, 2), 0);
	assert_false(asks_for_wakeup());
	lend(3);
	/* Bytes that come late are read and mean nothing. */
	assert_int_equal(send(kernel.sockets[1], "abc", 3, 0), 3);
	assert_int_equal(xdpd_wait(x, -1), XDPD_WAIT_RX);
	assert_int_equal(xdpd_rx(x, frames, 8), 3);
	assert_int_equal(xdpd_wait(x, 2), 0);
	assert_false(is_readable(kernel.sockets[0]));
	end_shared(x);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* A worker that lends in the midst of a wait; `asks`: whether it was to wake the consumer for that. */
static void *lend_later(void *asks)
{
	(void)usleep(10000);
	*(bool *)asks = asks_for_wakeup();
	lend(2);
	if (*(bool *)asks)
		(void)wake_sleeper(sleep_flags());
	return NULL;
}

static uint64_t wait_for_lent(struct xdpd *x, bool *asks)
{
	const uint64_t begun = now_ns();
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, lend_later, asks), 0);
	assert_int_equal(xdpd_wait(x, 5000), XDPD_WAIT_RX);
	pthread_join(thread, NULL);
	return now_ns() - begun;
}

static void what_arrives_gathers_for_who_keeps_receiving(void **state)
{
	struct xdpd_attach_options options = {.size = sizeof(options), .coalesce_usecs = 1000001};
	struct xdp_desc frames[8];
	struct xdpd *x;
	bool asks;

	(void)state;
	begin_shared(0, false);
	x = connected();
	assert_int_equal(xdpd_attach(x, "eth0", 3, &options), -EINVAL);
	options.coalesce_usecs = 100000;
	assert_int_equal(xdpd_attach(x, "eth0", 3, &options), 0);
	await(&fake.said);
	/* It had nothing to receive before: the first frame wakes it. */
	(void)wait_for_lent(x, &asks);
	assert_true(asks);
	assert_int_equal(xdpd_rx(x, frames, 8), 2);
	/* After that nothing does, until the time is over. */
	assert_true(wait_for_lent(x, &asks) >= 100000000);
	assert_false(asks);
	lend(1);
	assert_int_equal(xdpd_rx(x, frames, 8), 3);
	/* The wait's own timeout comes first. */
	assert_int_equal(xdpd_wait(x, 1), 0);
	assert_int_equal(xdpd_wait(x, 0), 0);
	(void)wait_for_lent(x, &asks);
	assert_true(asks);
	end_shared(x);
}

static void ones_own_poll_loop_is_woken(void **state)
{
	struct xdp_desc frames[8];
	struct xdpd *x;
	int fd;

	(void)state;
	begin_shared(0, false);
	x = attached_with(NULL);
	/* Nothing there: the flag is set from the beginning. */
	fd = xdpd_fd(x);
	assert_false(is_readable(fd));
	assert_true(asks_for_wakeup());
	lend(5);
	assert_true(wake_sleeper(sleep_flags()));
	assert_true(is_readable(fd));
	assert_int_equal(xdpd_wait(x, 0), XDPD_WAIT_RX);
	assert_false(asks_for_wakeup());
	/* Readable as long as frames are there. */
	assert_int_equal(xdpd_rx(x, frames, 2), 2);
	assert_true(is_readable(fd));
	assert_int_equal(xdpd_wait(x, 0), XDPD_WAIT_RX);
	assert_int_equal(xdpd_rx(x, frames, 8), 3);
	/* Whoever looks finds nothing, and is woken again; by xdpd_rx() ... */
	assert_int_equal(xdpd_rx(x, frames, 8), 0);
	assert_false(is_readable(fd));
	assert_true(asks_for_wakeup());
	/* ... also without the byte, as the worker was between its two steps ... */
	lend(1);
	assert_int_equal(xdpd_wait(x, 0), XDPD_WAIT_RX);
	assert_true(is_readable(fd));
	assert_int_equal(xdpd_rx(x, frames, 8), 1);
	/* ... or by xdpd_wait(). */
	assert_int_equal(xdpd_wait(x, 0), 0);
	assert_false(is_readable(fd));
	assert_true(asks_for_wakeup());
	end_shared(x);

	begin_shared(0, false);
	x = attached_with(NULL);
	lend(1);
	assert_true(is_readable(xdpd_fd(x)));
	assert_int_equal(xdpd_rx(x, frames, 8), 1);
	assert_int_equal(xdpd_rx(x, frames, 8), 0);
	assert_false(is_readable(xdpd_fd(x)));
	end_shared(x);

	/* Asked for before there was an attachment. */
	begin_shared(0, false);
	x = connected();
	fd = xdpd_fd(x);
	assert_int_equal(attach_within(x, 0), 0);
	assert_false(is_readable(fd));
	lend(1);
	assert_true(wake_sleeper(sleep_flags()));
	assert_true(is_readable(fd));
	end_shared(x);
}

/* ---- a race between one who goes to sleep and one who has something ---- */

#define RACE 10000

/* Mostly one frame at a time, so that one that goes unnoticed is not announced by the next. */
static void *deliver(void *context)
{
	const bool tap = fake.grant.flags & XDPD_GRANT_TAP;
	const uint32_t *consumed = tap ? &worker.account->consumer : word_of(RX, 64);
	uint64_t random = 1;

	(void)context;
	for (uint32_t i = 0; i < RACE;) {
		uint32_t ahead;

		random = random * 6364136223846793005ull + 1442695040888963407ull;
		ahead = random >> 61 ? 0 : FRAMES / 4;
		while (*word_of(RX, 0) - __atomic_load_n(consumed, __ATOMIC_ACQUIRE) > ahead)
			sched_yield();
		for (uint32_t spin = (uint32_t)(random >> 40) % 2048; spin; spin--)
			__asm__ volatile("");
		if (tap) {
			show(1, 64);
			i++;
		} else {
			take_returns();
			i += lend(1);
		}
		(void)wake_sleeper(sleep_flags());
	}
	return NULL;
}

static int sleep_by_wait(struct xdpd *x)
{
	return xdpd_wait(x, 10000);
}

/* Never more than a look at what the library says between two sleeps. */
static int sleep_by_poll(struct xdpd *x)
{
	struct pollfd poll_fd = {.fd = xdpd_fd(x), .events = POLLIN};
	int r = 0;

	while (r == 0) {
		if (poll(&poll_fd, 1, 10000) != 1)
			return 0;
		r = xdpd_wait(x, 0);
	}
	return r;
}

static int sleep_by_poll_alone(struct xdpd *x)
{
	struct pollfd poll_fd = {.fd = xdpd_fd(x), .events = POLLIN};

	return poll(&poll_fd, 1, 10000);
}

static void nobody_sleeps_while_frames_are_there(void **state)
{
	static const struct {
		uint32_t flags;
		int (*sleep)(struct xdpd *x);
		bool only_when_empty;
	} ways[] = {
		{0, sleep_by_wait, false},
		{0, sleep_by_poll, false},
		{0, sleep_by_poll_alone, true},
		{XDPD_GRANT_TAP, sleep_by_wait, false},
		{XDPD_GRANT_TAP, sleep_by_poll, false},
		{XDPD_GRANT_TAP, sleep_by_poll_alone, true},
	};

	(void)state;
	for (size_t way = 0; way < sizeof(ways) / sizeof(*ways); way++) {
		struct xdp_desc frames[FRAMES];
		uint32_t received = 0, n;
		pthread_t thread;
		struct xdpd *x;

		begin_shared(ways[way].flags, false);
		x = attached_with(NULL);
		if (ways[way].sleep != sleep_by_wait)
			assert_true(xdpd_fd(x) >= 0);
		assert_int_equal(pthread_create(&thread, NULL, deliver, NULL), 0);
		while (received < RACE) {
			n = xdpd_rx(x, frames, 1 + below(8));
			xdpd_release(x, frames, n);
			received += n;
			if (received == RACE || (n && ways[way].only_when_empty))
				continue;
			if (ways[way].sleep(x) <= 0)
				fail_msg("way %zu: asleep after %u frames", way, received);
		}
		pthread_join(thread, NULL);
		assert_int_equal(xdpd_rx(x, frames, 1), 0);
		end_shared(x);
	}
}

/* ---- the end ---- */

static void script_end(struct fake *it)
{
	script_shared(it);
}

static void script_revoke(struct fake *it)
{
	const int fds[WORKER_FDS] = {worker.umem_read_fd, kernel.rings_fd, kernel.sockets[0],
				     worker.own_fd, worker.rings_read_fd};

	if (!welcome() || !expect(XDPD_ATTACH))
		return;
	say_with_fds(XDPD_GRANT, fake.in.header.id, &it->grant, worker.grant_length, fds,
		     WORKER_FDS);
	if (!start())
		return;
	post(&it->said);
	await(&it->go_on);
	usleep(20000);
	say_error(XDPD_REVOKE, 0, ECANCELED, "it gave back a frame that it did not hold");
}

static void hang_up(void)
{
	assert_int_equal(shutdown(kernel.sockets[1], SHUT_RDWR), 0);
}

static void the_end_of_the_wakeups_is_the_end_and_the_connection_says_why(void **state)
{
	struct xdp_desc frame;
	struct xdpd *x;

	(void)state;
	for (int by_fd = 0; by_fd < 2; by_fd++) {
		begin_shared_with(script_revoke, 0, true, 0);
		x = attached_with(NULL);
		lend(2);
		assert_int_equal(xdpd_rx(x, &frame, 1), 1);
		if (by_fd)
			assert_true(xdpd_fd(x) >= 0);
		hang_up();
		post(&fake.go_on);
		/* Frames first. */
		assert_int_equal(xdpd_wait(x, -1), XDPD_WAIT_RX);
		assert_int_equal(xdpd_rx(x, &frame, 1), 1);
		if (by_fd)
			assert_true(is_readable(xdpd_fd(x)));
		assert_int_equal(xdpd_wait(x, -1), -ECANCELED);
		assert_string_equal(xdpd_reason(x), "it gave back a frame that it did not hold");
		/* What wakes nobody any longer is no error. */
		*word_of(TX, 128) = XDP_RING_NEED_WAKEUP;
		assert_int_equal(xdpd_tx_alloc(x, &frame, 1), 1);
		assert_int_equal(xdpd_tx(x, &frame, 1), 1);
		end_shared(x);
	}

	begin_shared_with(script_end, 0, true, 0);
	x = attached_with(NULL);
	hang_up();
	assert_int_equal(xdpd_wait(x, -1), -ECONNRESET);
	assert_true(xdpd_reason(x)[0]);
	end_shared(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_and_group_are_passed_on_and_both_modes_at_once_are_refused),
		cmocka_unit_test(what_was_granted_can_be_asked),
		cmocka_unit_test(a_grant_that_would_lead_astray_is_refused),
		cmocka_unit_test(a_grant_of_an_older_daemon_is_that_of_an_exclusive_queue),
		cmocka_unit_test(frames_are_lent_and_come_back),
		cmocka_unit_test(
			what_is_gone_through_in_place_comes_back_by_a_run_where_that_is_granted),
		cmocka_unit_test(a_long_run_goes_back_as_several),
		cmocka_unit_test(
			each_frame_goes_back_once_and_where_it_belongs_in_a_long_random_run),
		cmocka_unit_test(what_is_sent_lies_behind_the_umem_and_comes_back_to_be_sent_again),
		cmocka_unit_test(
			what_is_forwarded_is_held_until_it_was_sent_and_is_then_given_back),
		cmocka_unit_test(a_wait_gives_back_what_is_sent_meanwhile),
		cmocka_unit_test(
			packets_are_copied_to_be_changed_where_the_umem_is_not_to_be_written_to),
		cmocka_unit_test(frames_given_back_twice_overflow_nothing),
		cmocka_unit_test(the_worker_is_woken_by_a_byte_only_when_it_asks_for_one),
		cmocka_unit_test(nothing_is_sent_to_wake_one_who_is_idle),
		cmocka_unit_test(who_does_not_sleep_asks_for_nothing),
		cmocka_unit_test(what_arrives_gathers_for_who_keeps_receiving),
		cmocka_unit_test(ones_own_poll_loop_is_woken),
		cmocka_unit_test(nobody_sleeps_while_frames_are_there),
		cmocka_unit_test(the_end_of_the_wakeups_is_the_end_and_the_connection_says_why),
	};

	return cmocka_run_group_tests_name("client shared", tests, NULL, NULL);
}
