// SPDX-License-Identifier: BSD-2-Clause
/*
 * The worker's thread with real members and consumers of libxdpd in one process, around a kernel of the test's own:
 * what ThreadSanitizer is to see of the daemon and the client together.
 */
#include "tests/unit/worker_members.h"

#define GROUP(group) (1u << (group))

/* Members whose group is not strict; all others lose nothing. */
enum { MANY = 1, TAPS = 2, CHURN = 4, SENDING = 5, FORWARDING = 6 };

static uint64_t chance = 0x2545f4914f6cdd1dull;

static void configure(uint32_t spin_usecs, int scheduler)
{
	master.settings.spin_usecs = spin_usecs;
	master.settings.scheduler = scheduler;
	worker_configure(master.worker, &master.settings, &master.denied);
	assert_string_equal(master.denied.text, "");
}

/* One who may be there or not; some of them are let go of while they are at it. */
static void change_members(void)
{
	struct seat *seat = &seats[8 + below(&chance, 4)];
	const uint32_t slot = (uint32_t)(seat - seats);
	const bool tap = below(&chance, 4) == 0;

	if (!seat->member) {
		sit((struct sitter){.slot = slot,
				    .group = CHURN,
				    .role = tap || below(&chance, 2) ? WAITS : HOARDS,
				    .tap = tap,
				    .quota = LITTLE});
	} else if (seat->role == HOARDS && below(&chance, 2)) {
		eject(seat);
	} else {
		stand_up(seat);
		/* Not each roster is waited for. */
		publish();
		if (below(&chance, 2))
			publish();
	}
}

/* What a tap that has read all was given is what it got or knows that it lost. */
static void await_tap(const struct seat *seat)
{
	const uint64_t *given = &seat->member->handoff->counters.receive_packets;

	await(load(&seat->received) + member_overrun(seat->member) == load(given),
	      "the tap in slot %u has %llu packets of %llu", seat->slot,
	      (unsigned long long)load(&seat->received), (unsigned long long)load(given));
}

static void frames_come_whole_once_and_to_every_group_while_members_come_and_go(void **state)
{
	const uint64_t end_at = milliseconds() + 3500;
	struct seat *sender, *forwarder;
	struct xdpd_worker_record record;

	(void)state;
	begin(50, false);
	kernel.groups = ~GROUP(SENDING);
	kernel.strict = GROUP(0) | GROUP(MANY);
	kernel.pauses = true;
	prepare((struct sitter){.slot = 0, .group = 0, .role = WAITS});
	prepare((struct sitter){.slot = 1, .group = MANY, .role = WAITS});
	prepare((struct sitter){.slot = 2, .group = MANY, .role = POLLS});
	prepare((struct sitter){.slot = 3, .group = MANY, .role = SPINS});
	prepare((struct sitter){.slot = 4, .group = TAPS, .role = WAITS, .tap = true});
	prepare((struct sitter){.slot = 5, .group = TAPS + 1, .role = DAWDLES, .tap = true});
	prepare((struct sitter){.slot = 7, .group = TAPS, .role = POLLS, .tap = true});
	sender = prepare(
		(struct sitter){.slot = 6, .group = SENDING, .role = SENDS, .transmits = true});
	forwarder = sit((struct sitter){
		.slot = 12, .group = FORWARDING, .role = FORWARDS, .transmits = true, .quota = 64});
	start_kernel();
	let_receive(UINT64_MAX);
	while (milliseconds() < end_at && !blamed) {
		change_members();
		(void)describe();
		configure(below(&chance, 3) * 40, below(&chance, 2) ? SCHED_OTHER : SCHED_BATCH);
		nap(below(&chance, 4000));
	}
	stop_kernel();
	settle();
	await_strict_groups();
	await_tap(&seats[4]);
	await_tap(&seats[5]);
	await_tap(&seats[7]);
	for (uint32_t slot = 0; slot < 4; slot++) {
		const struct member_counters *counters = &seats[slot].member->handoff->counters;

		assert_int_equal(load(&counters->dropped_ring_full), 0);
		assert_int_equal(load(&counters->dropped_quota), 0);
		assert_int_equal(load(&counters->receive_packets), load(&seats[slot].received));
	}
	await(load(&kernel.transmitted[0]) == load(&forwarder->sent),
	      "of %llu forwarded packets %llu were transmitted",
	      (unsigned long long)load(&forwarder->sent),
	      (unsigned long long)load(&kernel.transmitted[0]));
	__atomic_store_n(&sender->hush, true, __ATOMIC_RELEASE);
	await(load(&kernel.transmitted[6]) == load(&sender->sent),
	      "of %llu sent packets %llu were transmitted", (unsigned long long)load(&sender->sent),
	      (unsigned long long)load(&kernel.transmitted[6]));
	assert_true(load(&sender->sent) > 0 && load(&forwarder->sent) > 0);
	record = describe();
	assert_int_equal(record.packets, load(&kernel.received));
	assert_int_equal(master.violated, 0);
	print_message("# %llu packets, %llu sleeps, %llu rosters, %llu sent, %llu forwarded\n",
		      (unsigned long long)record.packets, (unsigned long long)record.sleeps,
		      (unsigned long long)master.generation,
		      (unsigned long long)load(&sender->sent),
		      (unsigned long long)load(&forwarder->sent));
	end();
}

/* ---- who wakes whom ---- */

static void nobody_makes_a_system_call_for_a_frame_while_both_sides_are_awake(void **state)
{
	const uint64_t packets = 60000;
	const struct member_counters *counters;
	struct xdpd_worker_record before, after;

	(void)state;
	begin(10000000, false);
	kernel.groups = kernel.strict = GROUP(0);
	counters = &sit((struct sitter){.slot = 0, .role = SPINS})->member->handoff->counters;
	start_kernel();
	let_receive(1000);
	await_strict_groups();
	before = describe();
	let_receive(packets);
	await(load(&kernel.received) == packets, "only %llu packets were received",
	      (unsigned long long)load(&kernel.received));
	await_strict_groups();
	after = describe();
	/* A roster or a setting may have been what woke it, not a frame. */
	assert_in_range(after.sleeps - before.sleeps, 0, 1);
	assert_int_equal(load(&counters->wakeups), 0);
	assert_int_equal(load(&counters->doorbells), 0);
	assert_int_equal(kernel.transmit_wakes, 0);
	/* The kernel asks for it where it finds too few to fill, which is for it to know. */
	assert_in_range(kernel.receive_wakes, 0, packets / 100);
	end();
}

static void nobody_is_woken_while_nothing_happens(void **state)
{
	struct xdpd_worker_record before, after;
	uint64_t wakeups = 0, again = 0;

	(void)state;
	begin(0, false);
	kernel.groups = GROUP(0) | GROUP(MANY) | GROUP(TAPS);
	kernel.strict = GROUP(0) | GROUP(MANY);
	prepare((struct sitter){.slot = 0, .group = 0, .role = WAITS});
	prepare((struct sitter){.slot = 1, .group = MANY, .role = POLLS, .transmits = true});
	sit((struct sitter){.slot = 2, .group = TAPS, .role = WAITS, .tap = true});
	start_kernel();
	let_receive(2000);
	await(load(&kernel.received) == 2000, "only %llu packets were received",
	      (unsigned long long)load(&kernel.received));
	await_strict_groups();
	await_tap(&seats[2]);
	nap(100000);
	before = describe();
	for (uint32_t slot = 0; slot < 3; slot++)
		wakeups += load(&seats[slot].member->handoff->counters.wakeups);
	nap(300000);
	after = describe();
	for (uint32_t slot = 0; slot < 3; slot++)
		again += load(&seats[slot].member->handoff->counters.wakeups);
	assert_int_equal(after.sleeps, before.sleeps);
	assert_int_equal(after.bursts, before.bursts);
	assert_int_equal(again, wakeups);
	assert_true(wakeups > 0);
	/* Awake for next to nothing of the 0.3 s. */
	assert_in_range(after.idle_ns - before.idle_ns, 0, 1000000);
	assert_int_equal(after.busy_ns, before.busy_ns);
	end();
}

/* What is lost in between two looks is not made good by what follows: nothing does until it has come. */
static void each_single_frame_wakes_all_who_sleep(void **state)
{
	const uint64_t end_at = milliseconds() + 1500;

	(void)state;
	begin(0, false);
	kernel.groups = GROUP(0) | GROUP(1) | GROUP(2);
	kernel.strict = GROUP(0) | GROUP(1) | GROUP(2);
	kernel.window = 2;
	kernel.dribbles = true;
	kernel.appetite = FRAMES;
	prepare((struct sitter){.slot = 0, .group = 0, .role = WAITS});
	prepare((struct sitter){.slot = 1, .group = 1, .role = POLLS, .transmits = true});
	sit((struct sitter){.slot = 2, .group = 2, .role = SPINS});
	start_kernel();
	let_receive(UINT64_MAX);
	while (milliseconds() < end_at) {
		const uint64_t received = load(&kernel.received);

		await(load(&kernel.received) > received,
		      "after %llu packets somebody sleeps: %llu, %llu and %llu were taken",
		      (unsigned long long)received, (unsigned long long)load(&kernel.acked[0]),
		      (unsigned long long)load(&kernel.acked[1]),
		      (unsigned long long)load(&kernel.acked[2]));
		configure(below(&chance, 2) * 100, SCHED_OTHER);
		nap(10000);
	}
	stop_kernel();
	await_strict_groups();
	end();
}

static void each_single_packet_to_be_sent_wakes_the_worker(void **state)
{
	/* It sleeps at once; it may be about to; it never does, and the kernel is the one to be woken. */
	static const uint32_t spins[] = {0, 10, 60000000};

	(void)state;
	for (size_t i = 0; i < sizeof(spins) / sizeof(spins[0]); i++) {
		const uint64_t end_at = milliseconds() + 500;
		struct seat *seat;

		begin(spins[i], false);
		/* Who waits for completions looks again by itself. */
		__atomic_store_n(&kernel.prompt, true, __ATOMIC_RELAXED);
		seat = sit((struct sitter){.slot = 1, .role = PINGS, .transmits = true});
		while (milliseconds() < end_at) {
			const uint64_t sent = load(&seat->sent);

			await(load(&seat->sent) > sent, "after %llu packets nothing is sent",
			      (unsigned long long)sent);
			nap(10000);
		}
		assert_true(load(&seat->sent) > 0);
		end();
	}
}

static void a_member_that_asks_once_is_woken_once(void **state)
{
	struct member_counters *counters;
	struct member *member;

	(void)state;
	begin(0, false);
	kernel.groups = GROUP(0);
	member = sit((struct sitter){.slot = 0, .role = NOBODY})->member;
	counters = &member->handoff->counters;
	start_kernel();
	for (uint64_t limit = 50; limit <= 500; limit += 50) {
		let_receive(limit);
		await(load(&counters->receive_packets) + load(&counters->dropped_quota) +
				      load(&counters->dropped_ring_full) ==
			      limit,
		      "of %llu packets %llu were lent", (unsigned long long)limit,
		      (unsigned long long)load(&counters->receive_packets));
		nap(500);
		assert_int_equal(load(&counters->wakeups), limit > 100);
		if (limit == 100)
			__atomic_store_n(member->handoff->rx.flags, XDP_RING_NEED_WAKEUP,
					 __ATOMIC_RELAXED);
	}
	end();
}

static void who_rings_without_end_is_heard_and_holds_up_nobody(void **state)
{
	static const char bytes[256];
	const uint64_t end_at = milliseconds() + 300;
	struct member *member;
	uint64_t sleeps;

	(void)state;
	begin(0, false);
	kernel.groups = kernel.strict = GROUP(0);
	prepare((struct sitter){.slot = 0, .group = 0, .role = WAITS});
	member = sit((struct sitter){.slot = 1, .group = MANY, .role = NOBODY})->member;
	start_kernel();
	let_receive(UINT64_MAX);
	while (milliseconds() < end_at)
		(void)!write(member->consumer_socket, bytes, sizeof(bytes));
	stop_kernel();
	await_strict_groups();
	assert_true(load(&kernel.received) > 1000);
	assert_true(load(&member->handoff->counters.doorbells) > 1000);
	/* Whose end is closed is not heard any more, and the worker sleeps. */
	member_handed_over(member);
	nap(50000);
	sleeps = describe().sleeps;
	nap(100000);
	assert_int_equal(describe().sleeps, sleeps);
	end();
}

/* ---- the others ---- */

static void who_cheats_is_told_of_once_and_the_others_lose_nothing(void **state)
{
	(void)state;
	begin(20, false);
	kernel.groups = GROUP(0) | GROUP(MANY) | GROUP(CHURN);
	kernel.strict = GROUP(0) | GROUP(MANY);
	prepare((struct sitter){.slot = 0, .group = 0, .role = WAITS});
	prepare((struct sitter){.slot = 1, .group = MANY, .role = POLLS});
	sit((struct sitter){.slot = 2, .group = MANY, .role = SPINS});
	start_kernel();
	let_receive(UINT64_MAX);
	for (int i = 0; i < 40; i++) {
		const uint32_t slot = 8 + (uint32_t)i % 4;

		master.violated = 0;
		sit((struct sitter){.slot = slot, .group = CHURN, .role = CHEATS, .quota = LITTLE});
		await((take_news(), master.violated), "nobody told of the member that cheats");
		assert_int_equal(master.violated, UINT64_C(1) << slot);
		assert_int_equal(
			__atomic_load_n(&seats[slot].member->handoff->violation, __ATOMIC_RELAXED),
			VIOLATION_RETURN_NOT_HELD);
		assert_int_equal(load(&seats[slot].member->handoff->counters.invalid_returns), 1);
		nap(500);
		take_news();
		assert_int_equal(master.violated, UINT64_C(1) << slot);
		eject(&seats[slot]);
		(void)describe();
	}
	stop_kernel();
	await_strict_groups();
	end();
}

/* `umem: writable`: what was received goes out from where it lies, and comes back to who holds it. */
static void frames_that_are_sent_as_they_are_come_back(void **state)
{
	const uint64_t end_at = milliseconds() + 1000;
	const struct seat *first, *second;
	struct xdpd_worker_record record;

	(void)state;
	begin(20, true);
	kernel.groups = ~0u;
	kernel.strict = GROUP(0);
	kernel.pauses = true;
	prepare((struct sitter){.slot = 0, .group = 0, .role = WAITS});
	first = prepare((struct sitter){
		.slot = 1, .group = 1, .role = FORWARDS, .transmits = true, .quota = 64});
	second = sit((struct sitter){
		.slot = 2, .group = 2, .role = FORWARDS, .transmits = true, .quota = 64});
	start_kernel();
	let_receive(UINT64_MAX);
	while (milliseconds() < end_at) {
		change_members();
		(void)describe();
		nap(below(&chance, 4000));
	}
	stop_kernel();
	settle();
	await_strict_groups();
	for (uint32_t slot = 8; slot < 12; slot++)
		if (seats[slot].member)
			stand_up(&seats[slot]);
	publish();
	settle();
	take_news();
	assert_int_equal(master.violated, 0);
	await(load(&kernel.transmitted[0]) == load(&first->sent) + load(&second->sent),
	      "of %llu forwarded packets %llu were transmitted",
	      (unsigned long long)(load(&first->sent) + load(&second->sent)),
	      (unsigned long long)load(&kernel.transmitted[0]));
	/* What comes back while the kernel has enough is looked at when the worker wakes for something else. */
	await((configure(20, SCHED_OTHER), record = describe(),
	       record.frames[XDPD_PLACE_LENT] + record.frames[XDPD_PLACE_TRANSMIT] == 0),
	      "%u frames are lent and %u in transmission although nobody has any",
	      record.frames[XDPD_PLACE_LENT], record.frames[XDPD_PLACE_TRANSMIT]);
	end();
}

static void it_can_be_stopped_at_any_moment(void **state)
{
	(void)state;
	for (int i = 0; i < 60; i++) {
		begin(below(&chance, 2) * 50, false);
		kernel.groups = ~0u;
		kernel.pauses = below(&chance, 2);
		let_receive(UINT64_MAX);
		start_kernel();
		prepare((struct sitter){.slot = 0, .group = 0, .role = WAITS});
		if (below(&chance, 2))
			publish();
		prepare((struct sitter){.slot = 1, .group = 0, .role = HOARDS, .quota = LITTLE});
		if (below(&chance, 2))
			publish();
		nap(below(&chance, 3000));
		end();
	}
}

static void what_can_not_be_had_of_its_settings_is_told_with_a_remedy(void **state)
{
	struct config_worker settings = {.cpu = 1023};

	(void)state;
	begin(0, false);
	worker_configure(master.worker, &settings, &master.denied);
	assert_non_null(strstr(master.denied.text, "there is no such CPU"));
	assert_int_equal(describe().cpu, UINT32_MAX);
	settings = (struct config_worker){.cpu = -1, .busy_poll = 64};
	worker_configure(master.worker, &settings, &master.denied);
	assert_non_null(strstr(master.denied.text, "(ENOTSOCK)"));
	settings = (struct config_worker){.cpu = 0, .spin_usecs = 7, .scheduler = SCHED_BATCH};
	worker_configure(master.worker, &settings, &master.denied);
	assert_string_equal(master.denied.text, "");
	assert_int_equal(describe().cpu, 0);
	assert_int_equal(describe().spin_usecs, 7);
	assert_int_equal(describe().scheduler, SCHED_BATCH);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			frames_come_whole_once_and_to_every_group_while_members_come_and_go),
		cmocka_unit_test(nobody_makes_a_system_call_for_a_frame_while_both_sides_are_awake),
		cmocka_unit_test(nobody_is_woken_while_nothing_happens),
		cmocka_unit_test(each_single_frame_wakes_all_who_sleep),
		cmocka_unit_test(each_single_packet_to_be_sent_wakes_the_worker),
		cmocka_unit_test(a_member_that_asks_once_is_woken_once),
		cmocka_unit_test(who_rings_without_end_is_heard_and_holds_up_nobody),
		cmocka_unit_test(who_cheats_is_told_of_once_and_the_others_lose_nothing),
		cmocka_unit_test(frames_that_are_sent_as_they_are_come_back),
		cmocka_unit_test(it_can_be_stopped_at_any_moment),
		cmocka_unit_test(what_can_not_be_had_of_its_settings_is_told_with_a_remedy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
