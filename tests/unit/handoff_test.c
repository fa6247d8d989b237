// SPDX-License-Identifier: BSD-2-Clause
/* How shared delivery lends frames and takes them back, one behaviour after the other; taps; who leaves. */
#include "tests/unit/handoff_steps.h"

/* ---- receive ---- */

static void a_member_alone_gets_every_frame_in_order(void **state)
{
	struct player *one;

	(void)state;
	make_receiving(64);
	one = add(5);
	adopt();
	for (uint64_t serial = 1; serial < 1000; serial++) {
		uint64_t address;

		receive(1);
		address = player_read(one);
		assert_int_equal(serial_at(address), serial);
		player_return(one, address);
		run();
	}
	assert_int_equal(one->member.counters.receive_packets, 999);
	assert_int_equal(one->member.counters.receive_bytes, 999 * 64);
	assert_int_equal(one->member.counters.returned, 999);
	assert_int_equal(rig.handoff.counters.packets, 999);
	assert_int_equal(rig.handoff.counters.unclaimed, 0);
}

static void every_group_gets_every_frame_and_the_last_to_return_it_frees_it(void **state)
{
	struct player *members[3];
	uint64_t addresses[3][65];

	(void)state;
	make_receiving(64);
	for (uint32_t slot = 0; slot < 3; slot++)
		members[slot] = add(slot * 31);
	adopt();
	receive(20);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(player_read_all(members[i], addresses[i]), 20);
	assert_memory_equal(addresses[0], addresses[1], 20 * sizeof(uint64_t));
	assert_memory_equal(addresses[0], addresses[2], 20 * sizeof(uint64_t));
	assert_int_equal(place(XDPD_PLACE_LENT), 20);
	for (uint32_t i = 0; i < 3; i++) {
		for (uint32_t k = 0; k < 20; k++)
			player_return(members[i], addresses[i][k]);
		collect();
		assert_int_equal(place(XDPD_PLACE_LENT), i < 2 ? 20 : 0);
	}
	assert_all_serve();
}

static void marked_frames_go_to_the_groups_of_their_mark_and_there_by_flow(void **state)
{
	struct player *members[3];
	uint32_t got[3] = {};

	(void)state;
	make_receiving(64);
	for (uint32_t slot = 0; slot < 3; slot++)
		members[slot] = add(slot);
	/* Group 0: slots 0 and 1 by turns; group 9: slot 2. */
	rig_group(&rig, 0, 0);
	rig_group(&rig, 9, 2);
	for (uint32_t bucket = 1; bucket < ROSTER_BUCKETS; bucket += 2)
		rig.next.choice[0][bucket] = 1;
	adopt();
	for (uint32_t i = 0; i < 500; i++) {
		const uint32_t hash = below(UINT32_MAX);
		const uint32_t groups = below(3) == 0 ? 1 : below(2) ? 1u << 9 : 1 | 1u << 9;
		const uint64_t takers =
			(groups & 1 ? BIT(hash % 2) : 0) | (groups >> 9 ? BIT(2) : 0);
		const uint64_t address = rig_arrives_marked(&rig, groups, hash);

		run();
		for (uint32_t slot = 0; slot < 3; slot++) {
			const bool takes = takers & BIT(slot);

			got[slot] += takes;
			assert_int_equal(player_read(members[slot]), takes ? address : NO_FRAME);
			if (takes)
				player_return(members[slot], address);
		}
	}
	for (uint32_t slot = 0; slot < 3; slot++)
		assert_int_equal(members[slot]->member.counters.receive_packets, got[slot]);
	assert_int_equal(rig.handoff.counters.unclaimed, 0);
}

static void frames_without_a_mark_that_counts_go_to_the_one_member_of_each_group(void **state)
{
	struct player *alone, *shares;
	uint64_t address;

	(void)state;
	make_receiving(64);
	alone = add(0);
	shares = add(1);
	rig.next.unmarked = BIT(0);
	rig_group(&rig, 0, 0);
	rig_group(&rig, 1, 1);
	adopt();
	address =
		rig_arrives(&rig, &(struct packet){.metadata = {.epoch = EPOCH - 1, .groups = 2}});
	run();
	assert_int_equal(player_read(alone), address);
	assert_int_equal(player_read(shares), NO_FRAME);

	/* The mark is of an epoch to come, until the roster is of it, too. */
	rig.next.epoch = EPOCH + 1;
	address = rig_arrives_marked(&rig, 2, 0);
	adopt();
	run();
	assert_int_equal(player_read(shares), address);
	assert_int_equal(player_read(alone), NO_FRAME);
}

static void in_a_burst_each_frame_goes_its_own_way(void **state)
{
	struct player *members[4];
	uint64_t sent[64], got[65];

	(void)state;
	make_receiving(128);
	for (uint32_t slot = 0; slot < 4; slot++) {
		members[slot] = add(slot);
		rig_group(&rig, slot, slot);
	}
	adopt();
	rig.shuffles = true;
	rig_take_fill(&rig, 64);
	for (uint32_t i = 0; i < 64; i++)
		sent[i] = rig_arrives_marked(&rig, 1u << i % 4, 0);
	assert_int_equal(handoff_receive(&rig.handoff), 64);
	for (uint32_t slot = 0; slot < 4; slot++) {
		assert_int_equal(player_read_all(members[slot], got), 16);
		for (uint32_t i = 0; i < 16; i++)
			assert_int_equal(got[i], sent[4 * i + slot]);
	}
}

static void what_nobody_takes_is_free_again_and_counted(void **state)
{
	(void)state;
	make_receiving(64);
	receive(10);
	assert_int_equal(rig.handoff.counters.unclaimed, 10);
	assert_int_equal(place(XDPD_PLACE_FREE), 10);
	run();
	assert_int_equal(place(XDPD_PLACE_KERNEL), 64);

	/* A group that has no member here, and one whose member broke the rules. */
	add(3);
	rig_group(&rig, 3, 3);
	adopt();
	rig.player[3]->fill.producer -= 1;
	collect();
	rig_arrives_marked(&rig, 1u << 4, 0);
	rig_arrives_marked(&rig, 1u << 3, 0);
	run();
	assert_int_equal(rig.handoff.counters.unclaimed, 12);
	assert_int_equal(place(XDPD_PLACE_LENT), 0);
}

static void a_full_ring_drops_for_that_member_alone(void **state)
{
	struct player *small, *other;
	uint64_t addresses[65];

	(void)state;
	for (int marked = 0; marked < 2; marked++) {
		make_receiving(64);
		small = rig_add(&rig, 0, &(struct player_options){.rx = 8});
		other = add(1);
		rig.next.classified = marked;
		adopt();
		receive(20);
		assert_int_equal(player_read_all(small, addresses), 8);
		assert_int_equal(serial_at(addresses[7]), 8);
		assert_int_equal(player_read_all(other, addresses), 20);
		assert_int_equal(small->member.counters.dropped_ring_full, 12);
		assert_int_equal(small->member.counters.dropped_quota, 0);
		assert_int_equal(other->member.counters.dropped_ring_full, 0);
		/* What it has read makes room. */
		receive(1);
		assert_int_equal(player_read_all(small, addresses), 1);
		assert_int_equal(serial_at(addresses[0]), 21);
		assert_nothing_is_lost();
		rig_end(&rig);
	}
}

static void a_spent_quota_drops_for_that_member_alone(void **state)
{
	struct player *poor, *other;
	uint64_t addresses[65];

	(void)state;
	for (int marked = 0; marked < 2; marked++) {
		make_receiving(64);
		poor = rig_add(&rig, 0, &(struct player_options){.quota = 5});
		other = add(1);
		rig.next.classified = marked;
		adopt();
		receive(20);
		assert_int_equal(player_read_all(poor, addresses), 5);
		assert_int_equal(player_read_all(other, addresses + 5), 20);
		assert_int_equal(poor->member.counters.dropped_quota, 15);
		assert_int_equal(poor->member.counters.dropped_ring_full, 0);
		assert_int_equal(other->member.counters.dropped_quota, 0);
		/* Reading does not help, returning does. */
		receive(1);
		assert_int_equal(player_read(poor), NO_FRAME);
		player_return(poor, addresses[2]);
		player_return(poor, addresses[0]);
		collect();
		receive(3);
		assert_int_equal(player_read_all(poor, addresses), 2);
		assert_int_equal(poor->member.counters.dropped_quota, 17);
		rig_end(&rig);
	}
}

static void of_a_full_ring_and_a_spent_quota_the_ring_is_said(void **state)
{
	struct player *one;

	(void)state;
	make_receiving(64);
	one = rig_add(&rig, 0, &(struct player_options){.rx = 8, .quota = 8});
	adopt();
	receive(12);
	assert_int_equal(one->member.counters.dropped_ring_full, 4);
	assert_int_equal(one->member.counters.dropped_quota, 0);
}

static void a_quota_lowered_below_what_is_held_takes_nothing_away(void **state)
{
	struct player *one;
	uint64_t addresses[65];

	(void)state;
	make_receiving(64);
	one = add(0);
	adopt();
	receive(10);
	one->member.quota = 4;
	receive(5);
	assert_int_equal(player_read_all(one, addresses), 10);
	assert_int_equal(one->member.counters.dropped_quota, 5);
	for (uint32_t i = 0; i < 7; i++)
		player_return(one, addresses[i]);
	collect();
	receive(5);
	assert_int_equal(one->member.held, 4);
}

/* Each takes what it can get and gives nothing back; the kernel goes on receiving all the time. */
static void hoard(bool marked, uint32_t hoarders)
{
	uint32_t before = 0, reserve;

	make_receiving(256);
	reserve = 256 - rig.handoff.lendable;
	for (uint32_t slot = 0; slot < hoarders; slot++) {
		rig_add(&rig, slot, &(struct player_options){.rx = 512});
		rig_group(&rig, slot, slot);
	}
	rig.next.classified = marked;
	if (!marked)
		rig.next.unmarked = BIT(0);
	adopt();
	for (uint32_t i = 0; i < 2000; i++) {
		if (marked)
			rig_arrives_marked(&rig, 1u << below(hoarders), 0);
		else
			rig_arrive(&rig, 1);
		run();
		assert_true(place(XDPD_PLACE_KERNEL) + place(XDPD_PLACE_FREE) >= reserve);
	}
	assert_int_equal(rig.handoff.counters.packets, 2000);
	for (uint32_t slot = 0; slot < (marked ? hoarders : 1); slot++) {
		const uint32_t left = rig.handoff.lendable - rig.handoff.lent;

		assert_true(rig.player[slot]->member.held > 0);
		/* It got no more once it held as much as was left. */
		assert_true(rig.player[slot]->member.held >= left);
		before += rig.player[slot]->member.held;
	}
	assert_int_equal(before, rig.handoff.lent);
	assert_true(rig.handoff.lent < rig.handoff.lendable);

	/* Who comes late gets something. */
	rig_add(&rig, 40, &(struct player_options){});
	rig.next.classified = false;
	rig.next.unmarked = BIT(40);
	adopt();
	receive(1);
	assert_int_equal(rig.player[40]->member.held, 1);
}

static void who_keeps_all_that_it_gets_leaves_as_much_for_others(void **state)
{
	(void)state;
	hoard(false, 1);
	assert_int_equal(rig.player[0]->member.held, rig.handoff.lendable / 2);
}

static void many_who_keep_all_leave_something_and_a_reserve_is_never_lent(void **state)
{
	(void)state;
	hoard(true, 2);
	rig_end(&rig);
	hoard(true, 7);
}

/* All are allowed what was left when the burst began: together it would be more than there is. */
static void members_of_one_burst_are_not_lent_more_than_is_left_together(void **state)
{
	(void)state;
	make_receiving(64);
	for (uint32_t slot = 0; slot < 4; slot++) {
		add(slot);
		rig_group(&rig, slot, slot);
	}
	adopt();
	for (uint32_t i = 0; i < 64; i++)
		assert_int_not_equal(rig_arrives_marked(&rig, 1u << i % 4, 0), NO_FRAME);
	assert_int_equal(handoff_receive(&rig.handoff), 64);
	rig_check(&rig);
	assert_int_equal(rig.handoff.lent, rig.handoff.lendable);
	for (uint32_t slot = 0; slot < 4; slot++) {
		assert_int_equal(rig.player[slot]->member.held, 12);
		assert_int_equal(rig.player[slot]->member.counters.dropped_quota, 4);
	}
}

static void only_who_sleeps_is_to_be_woken_when_it_gets_something(void **state)
{
	(void)state;
	for (int marked = 0; marked < 2; marked++) {
		make_transmitting(false);
		for (uint32_t slot = 0; slot < 4; slot++)
			add_sender(slot);
		rig.next.classified = marked;
		rig.next.unmarked = BIT(0) | BIT(1);
		adopt();
		rig.player[1]->rx.flags = rig.player[2]->rx.flags = XDP_RING_NEED_WAKEUP;
		receive(3);
		assert_int_equal(rig.handoff.wake, BIT(1));
		rig.handoff.wake = 0;
		/* A completion wakes, too. */
		player_send(rig.player[2], own_address(&rig, 0), 60);
		player_send(rig.player[3], own_address(&rig, 0), 60);
		transmit();
		assert_int_equal(rig.handoff.wake, BIT(2));
		rig_end(&rig);
	}
}

/* ---- returns ---- */

static void frames_come_back_in_any_order_in_part_and_by_any_address_within(void **state)
{
	struct player *one;
	uint64_t addresses[65], swap;
	uint32_t n;

	(void)state;
	make_receiving(64);
	one = add(0);
	adopt();
	receive(24);
	n = player_read_all(one, addresses);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = below(n);

		swap = addresses[i];
		addresses[i] = addresses[k];
		addresses[k] = swap;
	}
	for (uint32_t i = 0; i < 10; i++)
		player_return(one, addresses[i] / FRAME_SIZE * FRAME_SIZE +
					   (i == 0   ? 0
					    : i == 1 ? FRAME_SIZE - 1
						     : below(FRAME_SIZE)));
	collect();
	assert_int_equal(one->member.held, 14);
	assert_int_equal(place(XDPD_PLACE_LENT), 14);
	assert_all_serve();
	for (uint32_t i = 10; i < n; i++)
		player_return(one, addresses[i]);
	collect();
	assert_int_equal(one->member.held, 0);
	assert_int_equal(one->member.counters.returned, 24);
}

/* The kernel gets whole frames, wherever in them the returned address pointed: rig_arrives() asserts it. */
static void a_returned_frame_is_the_kernels_again_with_the_next_round(void **state)
{
	struct player *one;

	(void)state;
	make_receiving(8);
	one = add(0);
	adopt();
	receive(3);
	assert_int_equal(place(XDPD_PLACE_KERNEL), 5);
	player_return(one, player_read(one) + 99);
	collect();
	assert_int_equal(place(XDPD_PLACE_KERNEL), 6);
	assert_int_equal(entries_of(&rig.fill) + rig.n_hidden, 6);
	receive(3);
}

static void a_thousand_frames_come_back_in_several_rounds_over_the_rings_end(void **state)
{
	static uint64_t addresses[FRAMES_MAX + 1];
	struct player *one;

	(void)state;
	make(&(struct rig_options){.frames = 512, .rx = 512, .fill = 512});
	one = rig_add(&rig, 0, &(struct player_options){.rx = 512});
	adopt();
	for (int i = 0; i < 40; i++) {
		uint32_t n = below(180) + 1;

		receive(n);
		assert_int_equal(player_read_all(one, addresses), n);
		for (uint32_t k = 0; k < n; k++)
			player_return(one, addresses[k]);
		collect();
		assert_int_equal(place(XDPD_PLACE_LENT), 0);
		handoff_stock(&rig.handoff);
	}
	assert_int_equal(one->member.counters.returned, one->member.counters.receive_packets);
	assert_int_equal(place(XDPD_PLACE_KERNEL), 512);
}

/* A flood of returns is taken in pieces, so that others get their turn. */
static void no_more_returns_are_taken_in_a_round_than_keep_nobody_waiting(void **state)
{
	(void)state;
	make(&(struct rig_options){.frames = 512, .rx = 512, .fill = 512});
	rig.handoff.lendable = 512;
	for (uint32_t slot = 0; slot < 2; slot++)
		rig_add(&rig, slot, &(struct player_options){.rx = 512});
	adopt();
	for (uint32_t i = 0; i < 5; i++)
		receive(60);
	for (uint32_t i = 0; i < rig.player[0]->member.held; i++)
		player_return(rig.player[0], player_read(rig.player[0]));
	player_return(rig.player[1], player_read(rig.player[1]));
	assert_int_equal(entries_of(&rig.player[0]->fill), 256);
	assert_int_equal(handoff_collect(&rig.handoff), 257);
}

/* Goes through up to so many, and gives them back by runs. */
static uint32_t go_through(struct player *player, uint32_t most)
{
	uint32_t total = 0, n = 0;

	do {
		for (n = 0; n < XDPD_RUN_MAX && total < most && player_read(player) != NO_FRAME;
		     n++)
			total++;
		if (n)
			player_return_run(player, n, n);
	} while (n);
	return total;
}

/* Rings and what is kept of them have other sizes, so all ends are met in all ways. */
static void what_was_received_in_a_row_comes_back_by_runs(void **state)
{
	struct player *one, *other;
	uint64_t kept, returned = 0;

	(void)state;
	make(&(struct rig_options){.frames = 200, .rx = 256, .fill = 128});
	one = rig_add(&rig, 0, &(struct player_options){.rx = 32, .fill = 256});
	other = rig_add(&rig, 5, &(struct player_options){.rx = 256, .fill = 256});
	adopt();
	for (int i = 0; i < 2000; i++) {
		rig_arrive(&rig, below(70));
		kept = player_read(one);
		returned += go_through(one, below(40));
		if (kept != NO_FRAME) {
			player_return(one, kept);
			returned++;
		}
		go_through(other, below(150));
		run();
	}
	go_through(one, 200);
	go_through(other, 200);
	collect();
	assert_true(one->member.counters.returned >= returned && returned > 10000);
	assert_int_equal(one->member.counters.returned, one->member.counters.receive_packets);
	assert_all_serve();
	assert_nothing_is_lost();
}

static void a_run_has_a_members_own_frames_of_each_burst(void **state)
{
	struct player *one, *other;

	(void)state;
	make_receiving(64);
	one = add(0);
	other = add(1);
	rig_group(&rig, 0, 0);
	rig_group(&rig, 1, 1);
	adopt();
	for (int i = 0; i < 20; i++)
		rig_arrives_marked(&rig, 1u << i % 2, 0);
	run();
	assert_int_equal(go_through(one, 10), 10);
	collect();
	assert_int_equal(one->member.held, 0);
	assert_int_equal(other->member.held, 10);
	assert_int_equal(place(XDPD_PLACE_LENT), 10);
	assert_all_serve();
}

/* The ring is the member's to write, also while the frames that its entries named come back. */
static void a_run_gives_back_what_was_received_whatever_the_ring_says_by_then(void **state)
{
	struct player *one;

	(void)state;
	make_receiving(64);
	one = add(0);
	adopt();
	receive(30);
	for (uint32_t i = 0; i < 64; i++)
		one->rx.descs[i] = (struct xdp_desc){.addr = 63 * FRAME_SIZE};
	for (uint32_t i = 0; i < 30; i++)
		(void)player_read(one);
	player_return_run(one, 30, 30);
	collect();
	assert_int_equal(one->member.held, 0);
	assert_all_serve();
	assert_nothing_is_lost();
}

/* With a tap, or a frame in transmission as it is, what comes back is queued. */
static void runs_come_back_with_a_tap_too(void **state)
{
	struct player *one;

	(void)state;
	make_receiving(64);
	one = add(0);
	add_tap(3);
	adopt();
	for (int i = 0; i < 100; i++) {
		receive(20);
		assert_int_equal(go_through(one, 20), 20);
		run();
		run();
		assert_int_equal(one->member.held, 0);
	}
	assert_all_serve();
	assert_nothing_is_lost();
}

/* Entries at START and the next 9; the first two have come back, so has the sixth. */
static void return_run_badly(uint32_t first, uint32_t count, enum violation violation,
			     uint32_t returned)
{
	struct player *bad;
	uint64_t addresses[65];

	make_receiving(64);
	bad = add(0);
	add(1);
	adopt();
	receive(10);
	player_read_all(bad, addresses);
	player_return(bad, xdpd_run(START, 2));
	player_return(bad, addresses[5]);
	player_return(bad, xdpd_run(START + first, count));
	player_return(bad, addresses[9]);
	collect();
	assert_violated(0, violation);
	assert_int_equal(bad->member.counters.returned, returned);
	assert_int_equal(bad->member.held, 10 - returned);
	rig_leave(&rig, 0);
	assert_all_serve();
	assert_nothing_is_lost();
	rig_end(&rig);
}

static void a_bad_run_ejects_its_member_alone_and_loses_nothing(void **state)
{
	(void)state;
	return_run_badly(2, 0, VIOLATION_RETURN_RUN, 3);
	return_run_badly(2, XDPD_RUN_MAX + 1, VIOLATION_RETURN_RUN, 3);
	return_run_badly(2, 0x7fffffff, VIOLATION_RETURN_RUN, 3);
	/* Of what it has not received, one and all. */
	return_run_badly(9, 2, VIOLATION_RETURN_RUN, 3);
	return_run_badly(10, 1, VIOLATION_RETURN_RUN, 3);
	return_run_badly(0x80000000, 1, VIOLATION_RETURN_RUN, 3);
	/* Before its first one: of who had the place, if anybody. */
	return_run_badly(-1u, 1, VIOLATION_RETURN_RUN, 3);
	return_run_badly(-1u, 3, VIOLATION_RETURN_RUN, 3);
	/* Longer ago than is kept. */
	return_run_badly(10u - 65u, 1, VIOLATION_RETURN_RUN, 3);
	/* Back already: the first, the last, one of them. */
	return_run_badly(1, 3, VIOLATION_RETURN_NOT_HELD, 3);
	return_run_badly(2, 4, VIOLATION_RETURN_NOT_HELD, 6);
	return_run_badly(4, 5, VIOLATION_RETURN_NOT_HELD, 4);
}

static void a_flood_of_runs_is_taken_in_pieces_too(void **state)
{
	struct player *one;

	(void)state;
	make(&(struct rig_options){.frames = 512, .rx = 512, .fill = 512});
	rig.handoff.lendable = 1024;
	one = rig_add(&rig, 0, &(struct player_options){.rx = 512});
	adopt();
	for (uint32_t i = 0; i < 8; i++)
		receive(60);
	assert_int_equal(go_through(one, 480), 480);
	assert_int_equal(handoff_collect(&rig.handoff), 256);
	assert_int_equal(handoff_collect(&rig.handoff), 224);
	assert_all_serve();
	assert_nothing_is_lost();
}

struct bad_return {
	uint64_t address;
	enum violation violation;
};

/* By one member, after good ones and before more; another member is as it was. */
static void return_badly(uint64_t address, enum violation violation, bool with_tap)
{
	struct player *bad, *other;
	uint64_t addresses[65];

	make(&(struct rig_options){.frames = 96, .receive_frames = 64, .tx = 8});
	bad = add(0);
	other = add(63);
	if (with_tap)
		add_tap(7);
	adopt();
	receive(10);
	player_read_all(bad, addresses);
	player_return(bad, addresses[0]);
	player_return(bad, addresses[1]);
	player_return(bad, address == NO_FRAME - 1 ? addresses[0] : address);
	player_return(bad, addresses[2]);
	collect();
	assert_violated(0, violation);
	assert_int_equal(bad->member.counters.invalid_returns, 1);
	assert_int_equal(bad->member.counters.returned, 2);
	assert_int_equal(bad->member.held, 8);
	/* From now on it gets nothing, and nothing of it is looked at. */
	receive(2);
	collect();
	assert_int_equal(bad->member.counters.invalid_returns, 1);
	assert_int_equal(bad->member.held, 8);
	assert_int_equal(other->member.held, 12);
	for (uint32_t i = 0; i < 12; i++)
		player_return(other, player_read(other));
	collect();
	assert_int_equal(place(XDPD_PLACE_LENT), 8);
	/* Once it is gone all it held is there. */
	rig_leave(&rig, 0);
	rig_check(&rig);
	assert_int_equal(place(XDPD_PLACE_LENT), 0);
	assert_all_serve();
	assert_nothing_is_lost();
	rig_end(&rig);
}

static void what_comes_back_waits_only_while_frames_arrive_and_its_member_holds_little(void **state)
{
	struct player *player;

	(void)state;
	make_receiving(256);
	player = rig_add(&rig, 0, &(struct player_options){.quota = 96});
	adopt();
	receive(4);
	player_return(player, player_read(player));
	rig_arrive(&rig, 4);
	run();
	assert_int_equal(player->member.counters.returned, 0);
	/* Nothing arrived: there is time. */
	run();
	assert_int_equal(player->member.counters.returned, 1);
	/* A quarter of its quota. */
	receive(17);
	player_return(player, player_read(player));
	rig_arrive(&rig, 1);
	run();
	assert_int_equal(player->member.counters.returned, 2);
	assert_all_serve();
	assert_nothing_is_lost();
}

static void who_holds_little_of_a_long_quota_waits_no_longer_when_frames_are_few(void **state)
{
	struct player *one, *other;

	(void)state;
	make_receiving(256);
	one = add(0);
	other = add(1);
	(void)add(2);
	for (uint32_t slot = 0; slot < 3; slot++)
		rig_group(&rig, slot, slot);
	adopt();
	rig_arrives_marked(&rig, 1, 0);
	run();
	player_return(one, player_read(one));
	/* All that one may have besides the first. */
	for (int i = 0; i < 63; i++)
		rig_arrives_marked(&rig, 2, 0);
	run();
	assert_int_equal(other->member.held, 63);
	assert_int_equal(one->member.counters.returned, 0);
	/* And more than half, with a third one. */
	while (rig.handoff.lent <= rig.handoff.lendable / 2) {
		assert_int_equal(one->member.counters.returned, 0);
		rig_arrives_marked(&rig, 4, 0);
		run();
	}
	assert_int_equal(one->member.counters.returned, 0);
	rig_arrives_marked(&rig, 4, 0);
	run();
	assert_int_equal(one->member.counters.returned, 1);
	assert_all_serve();
	assert_nothing_is_lost();
}

static void a_bad_return_ejects_its_member_alone_and_loses_nothing(void **state)
{
	static const struct bad_return bad[] = {
		/* the one before it, a second time */
		{NO_FRAME - 1, VIOLATION_RETURN_NOT_HELD},
		/* with the kernel: no frame so high was received yet */
		{63 * FRAME_SIZE, VIOLATION_RETURN_NOT_HELD},
		/* of the frames for transmission, the first and the last */
		{64 * FRAME_SIZE, VIOLATION_RETURN_FOREIGN},
		{96 * FRAME_SIZE - 1, VIOLATION_RETURN_FOREIGN},
		/* beyond the UMEM */
		{96 * FRAME_SIZE, VIOLATION_RETURN_FOREIGN},
		{UINT64_C(1) << 32, VIOLATION_RETURN_FOREIGN},
		{UINT64_C(1) << 63, VIOLATION_RETURN_RUN},
		{UINT64_MAX, VIOLATION_RETURN_RUN},
		/* as 32 bits it would be frame 0 */
		{UINT64_C(1) << (32 + 11), VIOLATION_RETURN_FOREIGN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		for (int with_tap = 0; with_tap < 2; with_tap++)
			return_badly(bad[i].address, bad[i].violation, with_tap);
}

static void a_frame_that_another_holds_cannot_be_given_back(void **state)
{
	uint64_t address;

	(void)state;
	make_receiving(64);
	add(0);
	add(1);
	rig_group(&rig, 0, 0);
	rig_group(&rig, 1, 1);
	adopt();
	rig_arrives_marked(&rig, 1, 0);
	address = rig_arrives_marked(&rig, 2, 0);
	run();
	player_return(rig.player[0], address);
	collect();
	assert_violated(0, VIOLATION_RETURN_NOT_HELD);
	assert_int_equal(rig.handoff.holders[address / FRAME_SIZE], BIT(1));
	assert_int_equal(rig.player[1]->member.held, 1);
}

/* ---- indices ---- */

enum which { RX, FILL, TX, COMPLETION };

/* Moves the index that the member publishes; what is beyond it is whatever the memory holds. */
static void tamper(enum which which, uint32_t to, enum violation expected)
{
	struct player *bad, *other;
	struct line *lines[4];

	make_transmitting(false);
	bad = rig_add(&rig, 9,
		      &(struct player_options){.rx = 8, .transmits = true, .completion = 2});
	other = add_sender(10);
	lines[RX] = &bad->rx;
	lines[FILL] = &bad->fill;
	lines[TX] = &bad->tx;
	lines[COMPLETION] = &bad->completion;
	adopt();
	receive(5);
	player_send(bad, own_address(&rig, 0), 60);
	transmit();
	if (which == RX || which == COMPLETION)
		lines[which]->consumer += to;
	else
		lines[which]->producer += to;
	/* More than the index last seen leaves room for, so it is read again. */
	if (which == COMPLETION)
		for (int i = 0; i < 2; i++)
			player_send(bad, own_address(&rig, 0), 60);
	rig_arrive(&rig, 4);
	for (int i = 0; i < 3; i++)
		run();
	assert_violated(9, expected);
	/* The other is served. */
	receive(1);
	player_send(other, own_address(&rig, 1), 60);
	assert_int_equal(transmit(), 1);
	while (entries_of(&other->rx))
		player_return(other, player_read(other));
	run();
	assert_int_equal(other->member.held, 0);
	assert_int_equal(other->member.counters.receive_packets, 10);
	assert_nothing_is_lost();
	rig_end(&rig);
}

static void an_index_out_of_bounds_of_any_ring_ejects_its_member_alone(void **state)
{
	(void)state;
	/* Consumers: of RX, 5 entries are to be read; of completions, one. */
	tamper(RX, 6, VIOLATION_RX_INDEX);
	tamper(RX, 0x80000000u, VIOLATION_RX_INDEX);
	tamper(RX, UINT32_MAX - 64, VIOLATION_RX_INDEX);
	tamper(COMPLETION, 2, VIOLATION_COMPLETION_INDEX);
	tamper(COMPLETION, 0x80000000u, VIOLATION_COMPLETION_INDEX);
	tamper(COMPLETION, UINT32_MAX - 64, VIOLATION_COMPLETION_INDEX);
	/* Producers: the rings are empty, and have RING_MAX and 64 entries. */
	tamper(FILL, RING_MAX + 1, VIOLATION_FILL_INDEX);
	tamper(FILL, 0x80000000u, VIOLATION_FILL_INDEX);
	tamper(FILL, UINT32_MAX, VIOLATION_FILL_INDEX);
	tamper(TX, 65, VIOLATION_TX_INDEX);
	tamper(TX, 0x80000000u, VIOLATION_TX_INDEX);
	tamper(TX, UINT32_MAX, VIOLATION_TX_INDEX);
}

static void an_index_that_goes_back_within_bounds_takes_only_its_members_own_room(void **state)
{
	struct player *one;
	uint64_t addresses[65];

	(void)state;
	make_receiving(64);
	one = rig_add(&rig, 0, &(struct player_options){.rx = 16});
	adopt();
	receive(12);
	assert_int_equal(player_read_all(one, addresses), 12);
	one->rx.consumer -= 12;
	receive(8);
	assert_int_equal(one->member.counters.dropped_ring_full, 4);
	assert_all_serve();
}

/* ---- leaving ---- */

static void who_leaves_gives_back_all_it_held_also_what_others_hold(void **state)
{
	uint64_t addresses[65];

	(void)state;
	make_receiving(64);
	for (uint32_t slot = 0; slot < 3; slot++)
		add(slot);
	adopt();
	receive(10);
	player_read_all(rig.player[1], addresses);
	for (uint32_t i = 0; i < 4; i++)
		player_return(rig.player[1], addresses[i]);
	collect();
	rig_leave(&rig, 0);
	rig_check(&rig);
	assert_int_equal(place(XDPD_PLACE_LENT), 10);
	rig_leave(&rig, 2);
	rig_check(&rig);
	assert_int_equal(place(XDPD_PLACE_LENT), 6);
	rig_leave(&rig, 1);
	rig_check(&rig);
	assert_int_equal(place(XDPD_PLACE_LENT), 0);
	run();
	assert_int_equal(place(XDPD_PLACE_KERNEL), 64);
}

static void a_slot_taken_over_in_one_step_starts_with_nothing(void **state)
{
	struct player *old, *new;
	uint64_t address;

	(void)state;
	make_receiving(64);
	add(0);
	add(1);
	adopt();
	receive(10);
	rig.handoff.wake = BIT(0);
	address = player_read(rig.player[0]);
	old = rig_remove(&rig, 0);
	new = add(0);
	adopt();
	free(old);
	assert_int_equal(new->member.held, 0);
	assert_int_equal(rig.handoff.wake, 0);
	assert_int_equal(player_read(new), NO_FRAME);
	player_return(new, address);
	collect();
	assert_violated(0, VIOLATION_RETURN_NOT_HELD);
	/* Nor does a violation stay behind. */
	old = rig_remove(&rig, 0);
	new = add(0);
	adopt();
	free(old);
	assert_all_serve();
	receive(2);
	assert_int_equal(new->member.held, 2);
	assert_int_equal(rig.player[1]->member.held, 12);
}

static void who_stays_over_a_change_keeps_what_it_holds(void **state)
{
	uint64_t addresses[65];
	uint32_t n;

	(void)state;
	make_receiving(64);
	add(0);
	adopt();
	receive(10);
	add(1);
	adopt();
	receive(5);
	rig_leave(&rig, 1);
	n = player_read_all(rig.player[0], addresses);
	assert_int_equal(n, 15);
	while (n)
		player_return(rig.player[0], addresses[--n]);
	collect();
	assert_all_serve();
	assert_int_equal(place(XDPD_PLACE_LENT), 0);
}

/* ---- taps ---- */

static void a_tap_sees_all_and_holds_nothing(void **state)
{
	struct player *tap, *holder;

	(void)state;
	for (int marked = 0; marked < 2; marked++) {
		make_receiving(64);
		tap = add_tap(0);
		holder = add(1);
		rig.next.classified = marked;
		adopt();
		for (uint64_t serial = 1; serial <= 300; serial++) {
			struct xdp_desc seen = {}, lent = {};

			receive(1);
			assert_true(line_take_desc(&tap->rx, &seen));
			assert_true(line_take_desc(&holder->rx, &lent));
			assert_int_equal(seen.addr, lent.addr);
			assert_int_equal(seen.len, lent.len);
			assert_int_equal(seen.options, rig.sequences[seen.addr / FRAME_SIZE]);
			assert_int_equal(serial_at(seen.addr), serial);
			player_return(holder, lent.addr);
			run();
		}
		assert_int_equal(tap->member.held, 0);
		assert_int_equal(tap->member.counters.receive_packets, 300);
		assert_int_equal(tap->member.counters.receive_bytes, 300 * 64);
		assert_int_equal(rig.handoff.counters.unclaimed, 0);
		/* Without the holder frames are free at once. */
		rig_leave(&rig, 1);
		receive(5);
		assert_int_equal(place(XDPD_PLACE_LENT), 0);
		rig_end(&rig);
	}
}

static void a_frames_sequence_grows_when_the_kernel_gets_it_and_not_before(void **state)
{
	uint32_t before[64], grown = 0;
	uint64_t address;

	(void)state;
	make_receiving(64);
	add_tap(0);
	add(1);
	adopt();
	receive(40);
	memcpy(before, rig.sequences, sizeof(before));
	for (uint32_t i = 0; i < 10; i++) {
		address = player_read(rig.player[1]);
		player_return(rig.player[1], address);
	}
	collect();
	assert_memory_equal(before, rig.sequences, sizeof(before));
	assert_int_equal(place(XDPD_PLACE_FREE), 10);
	handoff_stock(&rig.handoff);
	rig_check(&rig);
	/* 24 were with the kernel, 32 may be. */
	for (uint32_t i = rig.fill.producer - 8; i != rig.fill.producer; i++)
		before[*xdpd_ring_address(&rig.fill.out, i) / FRAME_SIZE]++;
	assert_memory_equal(before, rig.sequences, sizeof(before));
	for (uint32_t frame = 0; frame < 64; frame++)
		grown += rig.sequences[frame] != 0;
	assert_int_equal(grown, 8);
}

static void with_taps_half_of_the_frames_wait_their_turn_outside_the_kernel(void **state)
{
	uint32_t last_seen[64] = {};

	(void)state;
	make_receiving(64);
	add_tap(0);
	adopt();
	receive(40);
	for (uint32_t i = 1; i < 2000; i++) {
		uint64_t address;

		run();
		handoff_stock(&rig.handoff);
		assert_int_equal(place(XDPD_PLACE_KERNEL), 32);
		address = rig_arrives(&rig, &(struct packet){});
		assert_int_not_equal(address, NO_FRAME);
		/* Since this frame was received, half of all others were, at least. */
		if (last_seen[address / FRAME_SIZE])
			assert_true(i - last_seen[address / FRAME_SIZE] > 32);
		last_seen[address / FRAME_SIZE] = i;
	}
	/* The last tap's end ends it. */
	rig_leave(&rig, 0);
	run();
	run();
	assert_int_equal(place(XDPD_PLACE_KERNEL), 64);
}

static void without_taps_no_sequence_is_kept(void **state)
{
	static const uint32_t zero[64];

	(void)state;
	make_receiving(64);
	add(0);
	adopt();
	for (uint32_t i = 0; i < 200; i++) {
		receive(1);
		player_return(rig.player[0], player_read(rig.player[0]));
		run();
	}
	assert_memory_equal(rig.sequences, zero, sizeof(zero));
}

static void a_tap_that_does_not_read_costs_nobody_anything(void **state)
{
	struct player *tap;

	(void)state;
	make_receiving(64);
	tap = add_tap(0);
	add(1);
	adopt();
	for (uint32_t i = 0; i < 1000; i++) {
		/* Nor does what it says of itself. */
		tap->rx.consumer = below(UINT32_MAX);
		receive(1);
		player_return(rig.player[1], player_read(rig.player[1]));
		run();
	}
	assert_all_serve();
	assert_int_equal(rig.player[1]->member.counters.receive_packets, 1000);
	assert_int_equal(tap->member.counters.receive_packets, 1000);
	assert_int_equal(tap->member.counters.dropped_ring_full, 0);
	assert_int_equal(tap->rx.producer, START + 1000);
	/* Its ring holds the last ones. */
	for (uint32_t i = 0; i < 128; i++) {
		const struct xdp_desc *entry =
			xdpd_ring_desc(&tap->rx.out, tap->rx.producer - 1 - i);

		if (entry->options == rig.sequences[entry->addr / FRAME_SIZE])
			assert_int_equal(serial_at(entry->addr), 1000 - i);
	}
}

/* ---- all at once ---- */

/* Each ring goes several times over its end, and its index over 2^32. */
static void all_rings_go_round_for_long_without_loss(void **state)
{
	struct player *one;
	uint64_t address;
	uint32_t received = 0, sent = 0;

	(void)state;
	make(&(struct rig_options){.frames = 48,
				   .receive_frames = 32,
				   .tx = 8,
				   .completion = 16,
				   .rx = 16,
				   .fill = 32,
				   .filled = 20,
				   .writable = true});
	rig.shuffles = true;
	one = rig_add(&rig, 63,
		      &(struct player_options){
			      .rx = 16, .fill = 32, .tx = 8, .completion = 64, .transmits = true});
	adopt();
	for (uint32_t i = 0; i < 5000; i++) {
		received += rig_arrive(&rig, below(4));
		while ((address = player_read(one)) != NO_FRAME) {
			if (i % 3 &&
			    line_put_desc(&one->tx, (struct xdp_desc){.addr = address, .len = 64}))
				sent++;
			else
				player_return(one, address);
		}
		while (line_take_address(&one->completion, &address))
			player_return(one, address);
		rig_take_tx(&rig, below(4));
		rig_complete_tx(&rig, below(4));
		run();
	}
	assert_true(sent > 2000);
	assert_int_equal(one->member.counters.receive_packets + one->member.counters.dropped_quota +
				 one->member.counters.dropped_ring_full + entries_of(&rig.rx),
			 received);
	assert_all_serve();
	assert_nothing_is_lost();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_member_alone_gets_every_frame_in_order),
		TEST(every_group_gets_every_frame_and_the_last_to_return_it_frees_it),
		TEST(marked_frames_go_to_the_groups_of_their_mark_and_there_by_flow),
		TEST(frames_without_a_mark_that_counts_go_to_the_one_member_of_each_group),
		TEST(in_a_burst_each_frame_goes_its_own_way),
		TEST(what_nobody_takes_is_free_again_and_counted),
		TEST(a_full_ring_drops_for_that_member_alone),
		TEST(a_spent_quota_drops_for_that_member_alone),
		TEST(of_a_full_ring_and_a_spent_quota_the_ring_is_said),
		TEST(a_quota_lowered_below_what_is_held_takes_nothing_away),
		TEST(who_keeps_all_that_it_gets_leaves_as_much_for_others),
		TEST(many_who_keep_all_leave_something_and_a_reserve_is_never_lent),
		TEST(members_of_one_burst_are_not_lent_more_than_is_left_together),
		TEST(only_who_sleeps_is_to_be_woken_when_it_gets_something),
		TEST(frames_come_back_in_any_order_in_part_and_by_any_address_within),
		TEST(a_returned_frame_is_the_kernels_again_with_the_next_round),
		TEST(a_thousand_frames_come_back_in_several_rounds_over_the_rings_end),
		TEST(no_more_returns_are_taken_in_a_round_than_keep_nobody_waiting),
		TEST(what_was_received_in_a_row_comes_back_by_runs),
		TEST(a_run_has_a_members_own_frames_of_each_burst),
		TEST(a_run_gives_back_what_was_received_whatever_the_ring_says_by_then),
		TEST(runs_come_back_with_a_tap_too),
		TEST(a_flood_of_runs_is_taken_in_pieces_too),
		TEST(a_bad_run_ejects_its_member_alone_and_loses_nothing),
		TEST(what_comes_back_waits_only_while_frames_arrive_and_its_member_holds_little),
		TEST(who_holds_little_of_a_long_quota_waits_no_longer_when_frames_are_few),
		TEST(a_bad_return_ejects_its_member_alone_and_loses_nothing),
		TEST(a_frame_that_another_holds_cannot_be_given_back),
		TEST(an_index_out_of_bounds_of_any_ring_ejects_its_member_alone),
		TEST(an_index_that_goes_back_within_bounds_takes_only_its_members_own_room),
		TEST(who_leaves_gives_back_all_it_held_also_what_others_hold),
		TEST(a_slot_taken_over_in_one_step_starts_with_nothing),
		TEST(who_stays_over_a_change_keeps_what_it_holds),
		TEST(a_tap_sees_all_and_holds_nothing),
		TEST(a_frames_sequence_grows_when_the_kernel_gets_it_and_not_before),
		TEST(with_taps_half_of_the_frames_wait_their_turn_outside_the_kernel),
		TEST(without_taps_no_sequence_is_kept),
		TEST(a_tap_that_does_not_read_costs_nobody_anything),
		TEST(all_rings_go_round_for_long_without_loss),
	};

	return cmocka_run_group_tests_name("handoff", tests, NULL, NULL);
}
