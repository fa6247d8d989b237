// SPDX-License-Identifier: BSD-2-Clause
/* Frames on their way between the kernel and the program. */
#include "client_fakes.h"

/* ---- frames ---- */

static void without_an_attachment_the_per_frame_functions_do_nothing(void **state)
{
	struct xdp_desc frames[4] = {};
	struct xdpd_stats stats = {.size = sizeof(stats)};
	const struct xdp_desc *peeked;
	struct xdpd_raw raw;
	struct xdpd *x;

	(void)state;
	begin(script_idle, 0);
	x = connected();
	assert_int_equal(xdpd_rx(x, frames, 4), 0);
	assert_int_equal(xdpd_rx_peek(x, &peeked, 4), 0);
	xdpd_rx_done(x, 0);
	assert_int_equal(xdpd_tx_alloc(x, frames, 4), 0);
	assert_int_equal(xdpd_tx(x, frames, 4), 0);
	assert_int_equal(xdpd_forward(x, frames, 4), 0);
	assert_int_equal(xdpd_reap(x), 0);
	assert_int_equal(xdpd_tx_pending(x), 0);
	xdpd_release(x, frames, 4);
	xdpd_tx_free(x, frames, 4);
	assert_int_equal(xdpd_wait(x, 10), 0);
	assert_false(xdpd_may_transmit(x));
	assert_int_equal(xdpd_stats(x, &stats), -ENOTCONN);
	assert_int_equal(xdpd_raw(x, &raw), -ENOTCONN);
	end(x);
}

/* Counts each frame of a stretch of a ring as seen once more. */
static void see_ring(unsigned char *seen, int ring, uint32_t from, uint32_t to)
{
	const struct xdpd_ring *it = &kernel.ring[ring];

	for (uint32_t i = from; i != to; i++)
		seen[(entry_sizes[ring] == 8 ? *xdpd_ring_address(it, i)
					     : xdpd_ring_desc(it, i)->addr) /
		     FRAME_SIZE]++;
}

/* Every frame is in one place: with the program, spare, in a ring, or in the kernel. */
static void assert_all_accounted(const struct xdpd *x, const struct xdp_desc *mine, uint32_t n_mine)
{
	unsigned char seen[FRAMES_MAX] = {};

	for (uint32_t i = 0; i < n_mine; i++)
		seen[mine[i].addr / FRAME_SIZE]++;
	for (uint32_t i = 0; i < x->spares; i++)
		seen[x->spare[i] / FRAME_SIZE]++;
	for (uint32_t i = 0; i < kernel.n_held; i++)
		seen[kernel.held[i] / FRAME_SIZE]++;
	see_ring(seen, RX, x->rx.own, kernel.ring[RX].own);
	see_ring(seen, COMPLETION, x->completion.own, kernel.ring[COMPLETION].own);
	see_ring(seen, FILL, kernel.ring[FILL].own, x->fill.own);
	if (xdpd_may_transmit(x))
		see_ring(seen, TX, kernel.ring[TX].own, x->tx.own);
	for (uint32_t i = 0; i < x->frames; i++)
		assert_int_equal(seen[i], 1);
}

/* Takes `count` frames at random out of those that the program has. */
static uint32_t pick(struct xdp_desc *mine, uint32_t *n_mine, struct xdp_desc *ret, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = below(*n_mine);

		ret[i] = mine[at];
		mine[at] = mine[--*n_mine];
	}
	return count;
}

static void random_run(struct xdpd *x)
{
	struct xdp_desc mine[FRAMES_MAX], some[FRAMES_MAX];
	uint64_t received = 0, sent = 0;
	uint32_t n_mine = 0, n, done;
	const struct xdp_desc *peeked;

	for (uint32_t round = 0; round < 60000; round++) {
		uint32_t want = below(48);
		uint32_t give = below((n_mine < 48 ? n_mine : 48) + 1);

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
			done = xdpd_forward(x, some, n);
			sent += done;
			xdpd_release(x, some + done, n - done);
			break;
		case 4:
			n = xdpd_tx_alloc(x, some, want);
			done = xdpd_tx(x, some, n);
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
			done = below(n + 1);
			for (uint32_t i = 0; i < n; i++)
				assert_true(peeked[i].addr < (uint64_t)FRAMES_MAX * FRAME_SIZE);
			received += done;
			xdpd_rx_done(x, done);
			break;
		case 8:
			kernel.lazy = below(2);
			kernel_fetch(want);
			break;
		default:
			kernel_receive(want);
		}
		if (round % 16 == 0)
			assert_all_accounted(x, mine, n_mine);
	}
	xdpd_release(x, mine, n_mine);
	assert_all_accounted(x, NULL, 0);
	assert_true(received > 1000 && (!xdpd_may_transmit(x) || sent > 1000));

	/* And all come back to where they were: those for receiving to be filled, the others spare. */
	kernel.lazy = false;
	for (int i = 0; i < 100; i++) {
		xdpd_tx_pending(x);
		xdpd_reap(x);
		kernel_fetch(FRAMES_MAX);
		xdpd_release(x, mine, xdpd_rx(x, mine, FRAMES_MAX));
	}
	kernel_fetch(FRAMES_MAX);
	assert_int_equal(x->owed, 0);
	assert_int_equal(kernel.n_held, fake.grant.filled);
	assert_int_equal(x->spares, x->frames - fake.grant.filled);
}

static void every_frame_is_in_one_place_after_a_long_random_run(void **state)
{
	static const struct {
		uint32_t frames, filled, sizes[RINGS];
	} shapes[] = {
		{96, 48, {[RX] = 64, [TX] = 64, [FILL] = 64, [COMPLETION] = 64}},
		{200, 128, {[RX] = 32, [TX] = 16, [FILL] = 128, [COMPLETION] = 256}},
		{64, 64, {[RX] = 128, [TX] = 128, [FILL] = 64, [COMPLETION] = 8}},
		{33, 16, {[RX] = 8, [TX] = 256, [FILL] = 16, [COMPLETION] = 2}},
		{96, 64, {[RX] = 64, [TX] = 0, [FILL] = 64, [COMPLETION] = 64}},
		{256, 1, {[RX] = 1, [TX] = 1, [FILL] = 1, [COMPLETION] = 1}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		struct xdpd *x;

		fds_before = count_fds();
		start_daemon(script_good, 0);
		fake.grant = make_kernel(shapes[i].frames, shapes[i].filled, shapes[i].sizes,
					 UINT32_MAX - 5000);
		run_daemon();
		x = attached();
		random_run(x);
		end(x);
	}
}

static void frames_given_back_twice_overflow_nothing(void **state)
{
	struct xdp_desc frames[FRAMES_MAX];
	struct xdpd *x;
	uint32_t n;

	(void)state;
	begin(script_good, 0);
	x = attached();
	n = xdpd_tx_alloc(x, frames, FRAMES_MAX);
	assert_int_equal(n, 48);
	for (int i = 0; i < 5; i++) {
		xdpd_tx_free(x, frames, n);
		xdpd_release(x, frames, n);
		xdpd_tx(x, frames, n);
		xdpd_reap(x);
		assert_true(x->spares <= x->frames && x->owed <= x->frames);
	}
	end(x);
}

/* In lazy publication the fill ring looks full when the frames come back; they must get there all the same. */
static void who_only_polls_does_not_starve(void **state)
{
	static const uint32_t sizes[RINGS] = {[RX] = 64, [TX] = 64, [FILL] = 64, [COMPLETION] = 64};
	struct xdp_desc frames[64];
	struct xdpd *x;

	(void)state;
	fds_before = count_fds();
	start_daemon(script_good, 0);
	fake.grant = make_kernel(64, 64, sizes, 0);
	run_daemon();
	x = attached();
	kernel.lazy = true;
	for (int round = 0; round < 10; round++) {
		assert_int_equal(kernel_receive(64), 64);
		assert_int_equal(xdpd_rx(x, frames, 64), 64);
		xdpd_release(x, frames, 64);
		/* The kernel finds no frame, and only then publishes that it took the others. */
		xdpd_ring_advance(&kernel.ring[FILL], 0);
		assert_int_equal(xdpd_rx(x, frames, 64), 0);
	}
	end(x);
}

static void what_is_forwarded_is_replaced_before_the_kernel_is_woken_to_send_it(void **state)
{
	struct xdp_desc frames[20];
	struct xdpd *x;

	(void)state;
	begin(script_good, 0);
	x = attached();
	kernel_receive(20);
	assert_int_equal(xdpd_rx(x, frames, 20), 20);
	assert_int_equal(xdpd_forward(x, frames, 20), 20);
	assert_int_equal(kernel.tx_wakes, 1);
	assert_int_equal(kernel.to_fill, 48);
	end(x);
}

static void a_burst_larger_than_the_kernels_budget_is_sent_by_one_call(void **state)
{
	struct xdp_desc frames[FRAMES_MAX];
	uint64_t bytes;
	struct xdpd *x;
	uint32_t n;

	(void)state;
	begin(script_good, 0);
	x = attached();
	n = xdpd_tx_alloc(x, frames, 48);
	for (uint32_t i = 0; i < n; i++)
		frames[i].len = 100;
	assert_int_equal(xdpd_tx(x, frames, n), 48);
	assert_int_equal(x->tx.own, kernel.ring[TX].own);
	assert_int_equal(kernel.tx_wakes, 2);
	assert_int_equal(xdpd_tx_pending(x), 0);
	assert_int_equal(pread(kernel.umem_fd, &bytes, sizeof(bytes), (off_t)UMEM_SIZE), 8);
	assert_int_equal(bytes, 4800);
	end(x);
}

static void a_kernel_that_sleeps_is_woken_and_a_link_that_is_gone_shows_in_the_wait(void **state)
{
	struct xdp_desc frames[4];
	struct xdpd *x;

	(void)state;
	begin(script_good, 0);
	x = attached();
	*word_of(FILL, 128) = XDP_RING_NEED_WAKEUP;
	kernel_receive(4);
	assert_int_equal(xdpd_rx(x, frames, 4), 4);
	xdpd_release(x, frames, 4);
	assert_int_equal(kernel.rx_wakes, 0);
	assert_int_equal(xdpd_rx(x, frames, 4), 0);
	assert_int_equal(kernel.rx_wakes, 1);
	assert_int_equal(xdpd_wait(x, 0), 0);
	assert_int_equal(kernel.rx_wakes, 2);
	*word_of(FILL, 128) = 0;
	kernel.link_down = true;
	assert_int_equal(xdpd_tx_alloc(x, frames, 4), 4);
	assert_int_equal(xdpd_tx(x, frames, 4), 4);
	assert_int_equal(xdpd_wait(x, 1000), -ENETDOWN);
	kernel.link_down = false;
	assert_int_equal(xdpd_wait(x, 0), 0);
	assert_int_equal(xdpd_tx_pending(x), 0);
	end(x);
}

/* ---- figures, and rings for others ---- */

static void figures_count_from_the_attach(void **state)
{
	struct xdpd_stats stats = {.size = XDPD_STATS_SIZE_V1 - 1};
	struct xdpd *x;

	(void)state;
	begin(script_good, 0);
	kernel.statistics = (struct xdp_statistics){.rx_dropped = 7, .rx_ring_full = 8};
	x = attached();
	kernel.statistics.rx_dropped += 3;
	assert_int_equal(xdpd_stats(x, &stats), -EINVAL);
	stats.size = sizeof(stats);
	kernel_receive(5);
	assert_int_equal(xdpd_stats(x, &stats), 0);
	assert_int_equal(stats.dropped, 3);
	assert_int_equal(stats.ring_full, 0);
	assert_int_equal(stats.rx_entries, 5);
	assert_int_equal(stats.fill_entries, 43);
	assert_int_equal(stats.spare, 48);
	end(x);
}

static void figures_fit_a_program_that_is_older_or_newer(void **state)
{
	struct {
		struct xdpd_stats known;
		uint64_t newer[2];
	} stats;
	struct xdpd *x;

	(void)state;
	begin(script_good, 0);
	x = attached();
	memset(&stats, 0xff, sizeof(stats));
	stats.known.size = XDPD_STATS_SIZE_V1;
	assert_int_equal(xdpd_stats(x, &stats.known), 0);
	assert_int_equal(stats.known.size, XDPD_STATS_SIZE_V1);
	assert_int_equal(stats.known.spare, 48);
	for (size_t i = XDPD_STATS_SIZE_V1; i < sizeof(stats); i++)
		assert_int_equal(((unsigned char *)&stats)[i], 0xff);
	stats.known.size = sizeof(stats);
	assert_int_equal(xdpd_stats(x, &stats.known), 0);
	assert_int_equal(stats.known.size, sizeof(stats));
	assert_int_equal(stats.known.spare, 48);
	assert_int_equal(stats.newer[0] | stats.newer[1], 0);
	end(x);
}

static void raw_rings_start_where_the_attachment_is(void **state)
{
	struct xdp_desc frame;
	struct xdpd_raw raw;
	struct xdpd *x;

	(void)state;
	begin(script_good, 0);
	x = attached();
	assert_int_equal(xdpd_raw(x, &raw), 0);
	assert_int_equal(raw.rx.size, 64);
	assert_int_equal(raw.rx.cached_cons, UINT32_MAX - 40);
	assert_int_equal(raw.fill.cached_prod, UINT32_MAX - 40 + 48);
	assert_int_equal(raw.fill.cached_cons - raw.fill.cached_prod, 64 - 48);
	assert_int_equal(raw.filled, 48);
	assert_int_equal(raw.umem_size, 96 * FRAME_SIZE);
	kernel_receive(2);
	assert_int_equal(xdpd_wait(x, 0), XDPD_WAIT_RX);
	assert_int_equal(*raw.rx.producer - *raw.rx.consumer, 2);
	*raw.rx.consumer += 2;
	assert_int_equal(xdpd_wait(x, 0), 0);
	assert_int_equal(xdpd_raw(x, &raw), -EBUSY);
	end(x);

	begin(script_good, 0);
	x = attached();
	kernel_receive(1);
	assert_int_equal(xdpd_rx(x, &frame, 1), 1);
	assert_int_equal(xdpd_raw(x, &raw), -EBUSY);
	end(x);

}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_an_attachment_the_per_frame_functions_do_nothing),
		cmocka_unit_test(every_frame_is_in_one_place_after_a_long_random_run),
		cmocka_unit_test(frames_given_back_twice_overflow_nothing),
		cmocka_unit_test(who_only_polls_does_not_starve),
		cmocka_unit_test(
			what_is_forwarded_is_replaced_before_the_kernel_is_woken_to_send_it),
		cmocka_unit_test(a_burst_larger_than_the_kernels_budget_is_sent_by_one_call),
		cmocka_unit_test(
			a_kernel_that_sleeps_is_woken_and_a_link_that_is_gone_shows_in_the_wait),
		cmocka_unit_test(figures_count_from_the_attach),
		cmocka_unit_test(figures_fit_a_program_that_is_older_or_newer),
		cmocka_unit_test(raw_rings_start_where_the_attachment_is),
	};

	return cmocka_run_group_tests_name("client frames", tests, NULL, NULL);
}
