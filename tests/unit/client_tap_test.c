// SPDX-License-Identifier: BSD-2-Clause
/* A tap: whole frames or none, whatever is written over them, and all that were lost are counted. */
#include "client_worker.h"

static struct xdpd *tapped_with(uint32_t snap_length, uint32_t flags)
{
	const struct xdpd_attach_options options = {
		.size = sizeof(options),
		.flags = XDPD_ATTACH_TAP | flags,
		.snap_length = snap_length,
	};
	struct xdpd *x = connected();

	assert_int_equal(xdpd_attach(x, "eth0", 3, &options), 0);
	assert_true(xdpd_is_tap(x));
	return x;
}

static struct xdpd *begin_tap(uint32_t snap_length)
{
	begin_shared(XDPD_GRANT_TAP, false);
	return tapped_with(snap_length, 0);
}

static uint64_t overrun_of(struct xdpd *x)
{
	struct xdpd_stats stats = {.size = sizeof(stats)};

	assert_int_equal(xdpd_stats(x, &stats), 0);
	assert_int_equal(stats.overrun, worker.account->overrun);
	return stats.overrun;
}

/* Receives all that is there: frames that are whole, with numbers that only grow. */
static uint32_t receive_all(struct xdpd *x, uint32_t *last)
{
	struct xdp_desc frames[24];
	uint32_t n, count = 0;

	while ((n = xdpd_rx(x, frames, 24)) > 0) {
		for (uint32_t i = 0; i < n; i++) {
			uint32_t number = number_of(x, &frames[i]);

			assert_true(number > *last);
			*last = number;
		}
		xdpd_release(x, frames, n);
		count += n;
	}
	return count;
}

static void a_tap_gets_copies_of_its_own(void **state)
{
	struct xdp_desc frames[8];
	struct xdpd *x;

	(void)state;
	x = begin_tap(0);
	assert_int_equal(xdpd_rx(x, frames, 8), 0);
	show(5, 100);
	assert_int_equal(xdpd_wait(x, 0), XDPD_WAIT_RX);
	assert_int_equal(xdpd_rx(x, frames, 8), 5);
	assert_int_equal(worker.account->consumer, *word_of(RX, 0));
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(number_of(x, &frames[i]), i + 1);
		assert_int_equal(frames[i].len, 100);
		assert_int_equal(frames[i].options, 0);
		assert_int_equal(frames[i].addr % FRAME_SIZE, TAP_OFFSET);
		assert_int_equal(xdpd_full_length(x, &frames[i]), 100);
	}
	/* What is done to one does nothing to the other. */
	overwrite(0, 77, TAP_OFFSET, 100);
	assert_int_equal(number_of(x, &frames[0]), 1);
	memset(xdpd_frame(x, frames[1].addr), 0, 100);
	assert_int_equal(*(uint32_t *)(worker.umem + FRAME_SIZE + TAP_OFFSET), 2);
	assert_int_equal(xdpd_make_writable(x, frames, 5), 5);
	xdpd_release(x, frames, 5);
	assert_int_equal(xdpd_rx(x, frames, 8), 0);
	assert_int_equal(overrun_of(x), 0);
	end_shared(x);
}

static void the_lean_pair_works_on_a_tap(void **state)
{
	const struct xdp_desc *frames;
	uint32_t seen = 0, n;
	struct xdpd *x;

	(void)state;
	x = begin_tap(0);
	for (int round = 0; round < 100; round++) {
		show(1 + below(40), 64 + below(1000));
		while ((n = xdpd_rx_peek(x, &frames, 16)) > 0) {
			for (uint32_t i = 0; i < n; i++)
				assert_int_equal(number_of(x, &frames[i]), ++seen);
			xdpd_rx_done(x, n);
		}
		assert_int_equal(seen, worker.next_sequence);
	}
	end_shared(x);
}

static void frames_that_are_kept_lessen_what_can_be_received(void **state)
{
	struct xdp_desc frames[FRAMES + 8];
	struct xdpd_stats stats = {.size = sizeof(stats)};
	uint32_t n = 0;
	struct xdpd *x;

	(void)state;
	x = begin_tap(0);
	for (int i = 0; i < 8; i++) {
		show(10, 64);
		n += xdpd_rx(x, frames + n, 10);
	}
	assert_int_equal(n, FRAMES);
	for (uint32_t i = 0; i < FRAMES; i++)
		assert_int_equal(number_of(x, &frames[i]), i + 1);
	assert_int_equal(xdpd_rx(x, frames, 8), 0);
	/* It can't be woken for what it can't take. */
	assert_int_equal(xdpd_wait(x, 5), 0);
	assert_true(xdpd_fd(x) >= 0);
	assert_false(worker.account->flags & XDP_RING_NEED_WAKEUP);
	assert_int_equal(xdpd_stats(x, &stats), 0);
	assert_int_equal(stats.held, FRAMES);
	assert_int_equal(stats.quota, FRAMES);
	assert_int_equal(stats.rx_entries, 16);
	xdpd_release(x, frames + 20, 5);
	assert_int_equal(xdpd_rx(x, frames, 8), 5);
	assert_int_equal(number_of(x, &frames[0]), FRAMES + 1);
	/* Twice, or nothing that there is: let go. */
	for (int i = 0; i < 20; i++)
		xdpd_release(x, frames, 5);
	frames[0].addr = LENT_END - 1;
	frames[1].addr = UINT64_MAX;
	xdpd_release(x, frames, 2);
	n = 0;
	while (n < 30 && xdpd_rx(x, frames + n, 8)) {
		n++;
		show(1, 64);
	}
	assert_true(n <= 30);
	end_shared(x);
}

static void a_frame_that_was_overwritten_is_skipped_and_counted(void **state)
{
	struct xdp_desc frames[8];
	struct xdpd *x;

	(void)state;
	x = begin_tap(0);
	show(6, 64);
	overwrite(1, 1000, TAP_OFFSET, 64);
	/* Only announced, not a byte of it written yet. */
	worker.sequences[3]++;
	assert_int_equal(xdpd_rx(x, frames, 8), 4);
	assert_int_equal(number_of(x, &frames[0]), 1);
	assert_int_equal(number_of(x, &frames[1]), 3);
	assert_int_equal(number_of(x, &frames[2]), 5);
	assert_int_equal(number_of(x, &frames[3]), 6);
	assert_int_equal(overrun_of(x), 2);
	/* All lost: nothing, and no wait says otherwise. */
	xdpd_release(x, frames, 4);
	show(3, 64);
	for (uint32_t i = 0; i < FRAMES; i++)
		worker.sequences[i] += 5000;
	assert_int_equal(xdpd_wait(x, 0), 0);
	assert_int_equal(xdpd_rx(x, frames, 8), 0);
	assert_int_equal(overrun_of(x), 5);
	end_shared(x);
}

static void entries_that_name_no_frame_are_skipped_and_counted(void **state)
{
	static const struct xdp_desc bad[] = {
		{.addr = LENT_END, .len = 64},		 {.addr = UINT64_MAX, .len = 64},
		{.addr = 1ull << 63, .len = 64},	 {.addr = FRAME_SIZE - 64, .len = 65},
		{.addr = TAP_OFFSET, .len = UINT32_MAX}, {.addr = LENT_END - 1, .len = 2},
	};
	struct xdp_desc frames[8];
	struct xdpd *x;

	(void)state;
	x = begin_tap(0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		put_entry(bad[i]);
	/* To the last byte, and nothing at all. */
	put_entry((struct xdp_desc){.addr = LENT_END - 1, .len = 1});
	put_entry((struct xdp_desc){.addr = LENT_END - 7, .len = 0});
	publish_entries();
	assert_int_equal(xdpd_rx(x, frames, 8), 2);
	assert_int_equal(frames[0].len, 1);
	assert_int_equal(frames[1].len, 0);
	assert_int_equal(overrun_of(x), 6);
	end_shared(x);
}

/* Entries only, all of one frame that stays. */
static void put_entries(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		put_entry((struct xdp_desc){.addr = TAP_OFFSET, .len = 64, .options = 9});
		if (i % XDPD_TAP_BURST == XDPD_TAP_BURST - 1)
			publish_entries();
	}
	publish_entries();
}

static uint32_t count_all(struct xdpd *x)
{
	struct xdp_desc frames[24];
	uint32_t n, count = 0;

	while ((n = xdpd_rx(x, frames, 24)) > 0) {
		xdpd_release(x, frames, n);
		count += n;
	}
	return count;
}

static void what_may_be_being_written_is_not_read_and_the_next_is_not_the_oldest(void **state)
{
	(void)state;
	/* Across the indices' wrap, too. */
	for (uint32_t start = 0; start < 600; start += 100) {
		const uint32_t kept = TAP_WINDOW - TAP_WINDOW / 4;
		struct xdpd *x;

		begin_shared_with(script_shared, XDPD_GRANT_TAP, false, 0 - start);
		x = tapped_with(0, 0);
		overwrite(0, 9, TAP_OFFSET, 64);
		put_entries(TAP_WINDOW);
		assert_int_equal(count_all(x), TAP_WINDOW);
		assert_int_equal(overrun_of(x), 0);
		put_entries(TAP_WINDOW + 1);
		assert_int_equal(count_all(x), kept);
		assert_int_equal(overrun_of(x), TAP_WINDOW + 1 - kept);
		put_entries(10 * TAP_SIZE + 7);
		assert_int_equal(count_all(x), kept);
		assert_int_equal(overrun_of(x), TAP_WINDOW + 1 - kept + 10 * TAP_SIZE + 7 - kept);
		end_shared(x);
	}
}

static void a_tap_can_ask_for_the_beginning_of_each_frame_only(void **state)
{
	struct xdp_desc frames[8];
	struct xdpd *x;

	(void)state;
	x = begin_tap(96);
	show(1, 1500);
	show(1, 96);
	show(1, 60);
	assert_int_equal(xdpd_rx(x, frames, 8), 3);
	assert_int_equal(frames[0].len, 96);
	assert_int_equal(xdpd_full_length(x, &frames[0]), 1500);
	assert_int_equal(frames[1].len, 96);
	assert_int_equal(xdpd_full_length(x, &frames[1]), 96);
	assert_int_equal(frames[2].len, 60);
	assert_int_equal(xdpd_full_length(x, &frames[2]), 60);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(number_of(x, &frames[i]), i + 1);
	/* Nothing behind it was copied. */
	assert_int_equal(*(uint64_t *)xdpd_frame(x, frames[0].addr + 96), 0);
	end_shared(x);
}

static void a_packet_may_begin_and_end_anywhere_in_its_frame(void **state)
{
	struct xdp_desc frame;
	struct xdpd *x;

	(void)state;
	x = begin_tap(0);
	for (uint32_t i = 0; i < LENT_END; i++)
		worker.umem[i] = (unsigned char)(i * 7 + i / 256);
	for (uint32_t offset = 0; offset < 17; offset++)
		for (uint32_t length = 0; length < 40; length++) {
			uint64_t address = (FRAMES - 1) * FRAME_SIZE +
					   (below(2) ? offset : FRAME_SIZE - length - offset);

			put_entry((struct xdp_desc){.addr = address, .len = length});
			publish_entries();
			assert_int_equal(xdpd_rx(x, &frame, 1), 1);
			assert_int_equal(frame.len, length);
			assert_memory_equal(xdpd_frame(x, frame.addr), worker.umem + address,
					    length);
			xdpd_release(x, &frame, 1);
		}
	end_shared(x);
}

/* ---- at the worst moment: what is being read is written to while a fault holds up the reader ---- */

static struct {
	char *page;
	void (*meanwhile)(void);
	int faults;
} trap;

static void sprung(int signal_number)
{
	(void)signal_number;
	trap.faults++;
	mprotect(trap.page, PAGE, PROT_READ);
	trap.meanwhile();
}

/* The tap's own mapping of a memfd. */
static char *find_mapping(const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], *found = NULL;

	while (fgets(line, sizeof(line), maps))
		if (strstr(line, name) && strstr(line, "r--s"))
			found = (char *)strtoull(line, NULL, 16);
	fclose(maps);
	assert_non_null(found);
	return found;
}

/* memcheck takes a read that faults for an error. */
static void skip_under_memcheck(void)
{
	if (getenv("MEMCHECK")) {
		print_message("skipped: memcheck reports the fault that the test lays as a trap\n");
		skip();
	}
}

static void set_trap(char *page, void (*meanwhile)(void))
{
	const struct sigaction action = {.sa_handler = sprung};

	trap.page = page;
	trap.meanwhile = meanwhile;
	trap.faults = 0;
	assert_int_equal(sigaction(SIGSEGV, &action, NULL), 0);
	assert_int_equal(mprotect(page, PAGE, PROT_NONE), 0);
}

static void close_trap(void)
{
	signal(SIGSEGV, SIG_DFL);
	assert_int_equal(trap.faults, 1);
}

static void overwrite_the_first(void)
{
	overwrite(0, 2000, TAP_OFFSET, 64);
}

static void a_frame_that_is_overwritten_while_it_is_copied_is_skipped(void **state)
{
	struct xdp_desc frames[8];
	struct xdpd *x;

	(void)state;
	skip_under_memcheck();
	x = begin_tap(0);
	show(3, 64);
	/* The number was looked at before the first byte is. */
	set_trap(find_mapping("memfd:umem"), overwrite_the_first);
	assert_int_equal(xdpd_rx(x, frames, 8), 2);
	close_trap();
	assert_int_equal(number_of(x, &frames[0]), 2);
	assert_int_equal(number_of(x, &frames[1]), 3);
	assert_int_equal(overrun_of(x), 1);
	end_shared(x);
}

static void overtake(void)
{
	put_entries(TAP_WINDOW);
}

static void entries_that_are_overwritten_while_they_are_read_are_skipped(void **state)
{
	/* The last entries are in a page without the producer's index. */
	const uint32_t first = (PAGE - ENTRIES_AT) / sizeof(struct xdp_desc);
	const uint32_t kept = TAP_WINDOW - TAP_WINDOW / 4;
	struct xdp_desc frames[64];
	struct xdpd *x;
	uint32_t n;

	(void)state;
	skip_under_memcheck();
	begin_shared_with(script_shared, XDPD_GRANT_TAP, false, first - 3 * TAP_SIZE);
	x = tapped_with(0, 0);
	overwrite(0, 9, TAP_OFFSET, 64);
	put_entries(5);
	set_trap(find_mapping("memfd:rings") + PAGE, overtake);
	n = xdpd_rx(x, frames, 64);
	close_trap();
	assert_int_equal(n, 64);
	assert_int_equal(overrun_of(x), 5 + TAP_WINDOW - kept);
	xdpd_release(x, frames, n);
	assert_int_equal(n + count_all(x), kept);
	end_shared(x);
}

/* ---- while it is being overwritten ---- */

static volatile bool enough;

/* As fast as it can, with a pause now and then that lets the tap catch up. */
static void *storm(void *context)
{
	uint64_t random = 7;

	(void)context;
	while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		show(1 + (uint32_t)(random >> 58), 64 + (uint32_t)(random >> 40) % 1400);
		(void)wake_sleeper(sleep_flags());
		if (random >> 61 == 0)
			sched_yield();
		if (random >> 56 == 0)
			usleep(50);
	}
	return NULL;
}

static void whole_frames_only_come_out_of_a_storm_and_all_are_counted(void **state)
{
	uint64_t received = 0;
	uint32_t last = 0;
	pthread_t thread;
	struct xdpd *x;

	(void)state;
	begin_shared_with(script_shared, XDPD_GRANT_TAP, false, UINT32_MAX - 5000);
	x = tapped_with(0, 0);
	__atomic_store_n(&enough, false, __ATOMIC_RELAXED);
	assert_int_equal(pthread_create(&thread, NULL, storm, NULL), 0);
	while (received < 200000) {
		received += receive_all(x, &last);
		if (below(4) == 0)
			assert_int_equal(xdpd_wait(x, 10000), XDPD_WAIT_RX);
		if (below(64) == 0)
			usleep(200);
	}
	__atomic_store_n(&enough, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	received += receive_all(x, &last);
	assert_int_equal(last, worker.next_sequence);
	assert_true(overrun_of(x) > 0);
	assert_int_equal(received + overrun_of(x), worker.next_sequence);
	end_shared(x);
}

/* Frames that stay, and entries of them as fast as can be: of each, the length tells the frame. */
static void *entry_storm(void *context)
{
	uint32_t frame = 0;

	(void)context;
	while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
		for (uint32_t i = 0; i < XDPD_TAP_BURST; i++, frame = (frame + 13) % FRAMES)
			put_entry((struct xdp_desc){
				.addr = (uint64_t)frame * FRAME_SIZE + TAP_OFFSET,
				.len = 16 * (frame + 1),
				.options = frame + 1,
			});
		publish_entries();
	}
	return NULL;
}

static void no_entry_is_half_of_one_and_half_of_another(void **state)
{
	struct xdp_desc frames[64];
	uint64_t received = 0;
	pthread_t thread;
	struct xdpd *x;
	uint32_t n;

	(void)state;
	begin_shared_with(script_shared, XDPD_GRANT_TAP, false, UINT32_MAX - 5000);
	x = tapped_with(0, 0);
	for (uint32_t i = 0; i < FRAMES; i++)
		overwrite(i, i + 1, TAP_OFFSET, 16 * (i + 1));
	__atomic_store_n(&enough, false, __ATOMIC_RELAXED);
	assert_int_equal(pthread_create(&thread, NULL, entry_storm, NULL), 0);
	while (received < 200000) {
		n = xdpd_rx(x, frames, 64);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(number_of(x, &frames[i]) * 16, frames[i].len);
		xdpd_release(x, frames, n);
		received += n;
	}
	__atomic_store_n(&enough, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	end_shared(x);
}

/* ---- sending ---- */

static void a_tap_sends_from_memory_of_its_own_and_forwards_by_a_copy(void **state)
{
	struct xdp_desc frames[40];
	struct xdpd_stats stats = {.size = sizeof(stats)};
	struct xdpd *x;

	(void)state;
	begin_shared(XDPD_GRANT_TAP, true);
	x = tapped_with(0, XDPD_ATTACH_TRANSMIT);
	assert_int_equal(xdpd_tx_alloc(x, frames, 1), 1);
	memset(xdpd_frame(x, frames[0].addr), 0x5a, 64);
	frames[0].len = 64;
	assert_int_equal(xdpd_tx(x, frames, 1), 1);
	assert_int_equal(worker.own[TRANSMIT_AT +
				    xdpd_ring_desc(&kernel.ring[TX], kernel.ring[TX].own)->addr -
				    LENT_END + 63],
			 0x5a);
	kernel_transmit(1);

	show(40, 200);
	assert_int_equal(xdpd_rx(x, frames, 40), 40);
	assert_int_equal(xdpd_forward(x, frames, 40), OWN_FRAMES);
	for (uint32_t i = 0; i < OWN_FRAMES; i++) {
		const struct xdp_desc *sent =
			xdpd_ring_desc(&kernel.ring[TX], kernel.ring[TX].own + i);

		assert_true(sent->addr >= LENT_END);
		assert_int_equal(sent->addr % FRAME_SIZE, TAP_OFFSET);
		assert_int_equal(number_of(x, sent), number_of(x, &frames[i]));
	}
	assert_int_equal(xdpd_stats(x, &stats), 0);
	assert_int_equal(stats.held, 40 - OWN_FRAMES);
	/* One's own frames among the released find their way. */
	kernel_transmit(64);
	assert_int_equal(xdpd_tx_alloc(x, frames, 4), 4);
	xdpd_release(x, frames, 40);
	assert_int_equal(xdpd_rx(x, frames, 40), 0);
	assert_int_equal(x->spares, OWN_FRAMES);
	assert_int_equal(xdpd_stats(x, &stats), 0);
	end_shared(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tap_gets_copies_of_its_own),
		cmocka_unit_test(the_lean_pair_works_on_a_tap),
		cmocka_unit_test(frames_that_are_kept_lessen_what_can_be_received),
		cmocka_unit_test(a_frame_that_was_overwritten_is_skipped_and_counted),
		cmocka_unit_test(entries_that_name_no_frame_are_skipped_and_counted),
		cmocka_unit_test(
			what_may_be_being_written_is_not_read_and_the_next_is_not_the_oldest),
		cmocka_unit_test(a_tap_can_ask_for_the_beginning_of_each_frame_only),
		cmocka_unit_test(a_packet_may_begin_and_end_anywhere_in_its_frame),
		cmocka_unit_test(a_frame_that_is_overwritten_while_it_is_copied_is_skipped),
		cmocka_unit_test(entries_that_are_overwritten_while_they_are_read_are_skipped),
		cmocka_unit_test(whole_frames_only_come_out_of_a_storm_and_all_are_counted),
		cmocka_unit_test(no_entry_is_half_of_one_and_half_of_another),
		cmocka_unit_test(a_tap_sends_from_memory_of_its_own_and_forwards_by_a_copy),
	};

	return cmocka_run_group_tests_name("client tap", tests, NULL, NULL);
}
