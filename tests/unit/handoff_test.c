// SPDX-License-Identifier: BSD-2-Clause
/* What shared delivery does with frames, members and the kernel, one behaviour after the other. */
#include "tests/unit/handoff_fixture.h"

static struct rig rig;

static void make(const struct rig_options *options)
{
	rig_make(&rig, options);
}

static void make_receiving(uint32_t frames)
{
	make(&(struct rig_options){.frames = frames});
}

/* 64 frames to receive into, 32 to transmit from. */
static void make_transmitting(bool writable)
{
	make(&(struct rig_options){
		.frames = 96, .receive_frames = 64, .tx = 64, .writable = writable});
}

static struct player *add(uint32_t slot)
{
	return rig_add(&rig, slot, &(struct player_options){});
}

static struct player *add_sender(uint32_t slot)
{
	return rig_add(&rig, slot, &(struct player_options){.transmits = true});
}

static struct player *add_tap(uint32_t slot)
{
	return rig_add(&rig, slot, &(struct player_options){.tap = true, .rx = 128});
}

static void adopt(void)
{
	rig_adopt(&rig);
	rig_check(&rig);
}

static uint32_t run(void)
{
	uint32_t moved = handoff_run(&rig.handoff);

	rig_check(&rig);
	return moved;
}

/* Frames arrive and are handed out. */
static void receive(uint32_t count)
{
	assert_int_equal(rig_arrive(&rig, count), count);
	while (count) {
		uint32_t taken = handoff_receive(&rig.handoff);

		assert_int_not_equal(taken, 0);
		count -= taken;
	}
	rig_check(&rig);
}

static void collect(void)
{
	while (handoff_collect(&rig.handoff))
		rig_check(&rig);
}

static uint32_t transmit(void)
{
	uint32_t taken = handoff_transmit(&rig.handoff);

	rig_check(&rig);
	return taken;
}

/* The kernel sends what it has and says so. */
static void finish_transmission(void)
{
	rig_take_tx(&rig, FRAMES_MAX);
	while (rig_complete_tx(&rig, FRAMES_MAX) ||
	       rig.completion.producer != rig.completion.consumer)
		handoff_complete(&rig.handoff);
	assert_int_equal(rig.n_sending, 0);
	rig_check(&rig);
}

static uint32_t place(enum xdpd_frame_place which)
{
	uint32_t places[XDPD_PLACE_COUNT];

	handoff_places(&rig.handoff, places);
	return places[which];
}

static uint32_t entries_of(const struct line *line)
{
	return line->producer - line->consumer;
}

static uint64_t serial_at(uint64_t address)
{
	uint64_t serial;

	memcpy(&serial, rig.umem + address, sizeof(serial));
	return serial;
}

/* It and nobody else is passed over from now on, for this reason. */
static void assert_violated(uint32_t slot, enum violation violation)
{
	const struct roster *roster = rig.handoff.roster;

	assert_int_equal(roster->member[slot]->violation, violation);
	assert_int_equal(rig.handoff.violated, BIT(slot));
	assert_int_equal(rig.handoff.serving, roster->members & ~BIT(slot));
	rig_check(&rig);
}

static void assert_all_serve(void)
{
	assert_int_equal(rig.handoff.violated, 0);
	assert_int_equal(rig.handoff.serving, rig.handoff.roster->members);
}

/* What others hold comes back, and then all is as it was at the start. */
static void assert_nothing_is_lost(void)
{
	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++)
		if (rig.player[slot])
			free(rig_remove(&rig, slot));
	adopt();
	if (rig.handoff.tx.size)
		finish_transmission();
	assert_int_equal(place(XDPD_PLACE_LENT), 0);
	assert_int_equal(place(XDPD_PLACE_TRANSMIT), 0);
	assert_int_equal(place(XDPD_PLACE_KERNEL) + place(XDPD_PLACE_FREE), rig.handoff.frames);
}

static int tear_down(void **state)
{
	(void)state;
	rig_end(&rig);
	return 0;
}

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
		{UINT64_C(1) << 63, VIOLATION_RETURN_FOREIGN},
		{UINT64_MAX, VIOLATION_RETURN_FOREIGN},
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

/* ---- transmit ---- */

static void a_packet_of_its_own_memory_is_copied_and_completed_at_once(void **state)
{
	struct player *one;
	struct xdp_desc desc;
	uint64_t address;

	(void)state;
	make_transmitting(false);
	one = add_sender(4);
	adopt();
	for (uint32_t i = 0; i < 500; i++) {
		const uint32_t offset = below(FRAME_SIZE), length = below(FRAME_SIZE - offset) + 1;
		unsigned char expected[FRAME_SIZE];

		for (uint32_t k = 0; k < length; k++)
			expected[k] = one->own[i % OWN_FRAMES * FRAME_SIZE + offset + k] =
				(unsigned char)below(256);
		player_send(one, own_address(&rig, i % OWN_FRAMES) + offset, length);
		assert_int_equal(transmit(), 1);
		assert_true(line_take_address(&one->completion, &address));
		assert_int_equal(address, own_address(&rig, i % OWN_FRAMES) + offset);
		/* It is the sender's again. */
		memset(one->own, 0, sizeof(one->own));
		assert_int_equal(rig_take_tx(&rig, 1), 1);
		desc = rig.sending[0];
		assert_true(desc.addr >= 64 * FRAME_SIZE && desc.addr < 96 * FRAME_SIZE);
		assert_int_equal(desc.len, length);
		assert_int_equal(desc.options, 0);
		assert_memory_equal(rig.umem + desc.addr, expected, length);
		finish_transmission();
	}
	assert_int_equal(one->member.counters.transmit_packets, 500);
	assert_int_equal(rig.handoff.counters.transmit_packets, 500);
	assert_int_equal(rig.handoff.counters.transmit_bytes, one->member.counters.transmit_bytes);
}

static void a_held_frame_is_copied_and_still_held(void **state)
{
	struct player *one;
	uint64_t address, completed;

	(void)state;
	make_transmitting(false);
	one = add_sender(0);
	adopt();
	receive(1);
	address = player_read(one);
	player_send(one, address, 64);
	player_send(one, address + 8, 56);
	assert_int_equal(transmit(), 2);
	rig_take_tx(&rig, 2);
	assert_int_not_equal(rig.sending[0].addr, address);
	assert_memory_equal(rig.umem + rig.sending[0].addr, rig.umem + address, 64);
	assert_memory_equal(rig.umem + rig.sending[1].addr, rig.umem + address + 8, 56);
	assert_true(line_take_address(&one->completion, &completed));
	assert_int_equal(completed, address);
	assert_true(line_take_address(&one->completion, &completed));
	assert_int_equal(completed, address + 8);
	assert_int_equal(one->member.held, 1);
	/* Also before the kernel has sent the copies. */
	player_return(one, address);
	collect();
	assert_int_equal(place(XDPD_PLACE_LENT), 0);
	assert_all_serve();
}

static void where_the_umem_is_writable_a_held_frame_goes_out_as_it_is(void **state)
{
	struct player *one;
	uint64_t address, completed;

	(void)state;
	make_transmitting(true);
	one = add_sender(0);
	add_sender(1);
	adopt();
	receive(1);
	address = player_read(one);
	player_send(one, address + 2, 62);
	player_send(one, own_address(&rig, 0), 60);
	assert_int_equal(transmit(), 2);
	assert_int_equal(place(XDPD_PLACE_TRANSMIT), 2);
	assert_int_equal(place(XDPD_PLACE_LENT), 0);
	/* The copy is done with, the frame is not. */
	assert_true(line_take_address(&one->completion, &completed));
	assert_int_equal(completed, own_address(&rig, 0));
	assert_false(line_take_address(&one->completion, &completed));
	rig_take_tx(&rig, 2);
	assert_int_equal(rig.sending[0].addr, address + 2);
	assert_int_equal(rig.sending[0].len, 62);
	finish_transmission();
	assert_true(line_take_address(&one->completion, &completed));
	assert_int_equal(completed, address + 2);
	assert_int_equal(entries_of(&rig.player[1]->completion), 0);
	/* Held as before. */
	assert_int_equal(place(XDPD_PLACE_LENT), 1);
	assert_int_equal(one->member.held, 1);
	player_return(one, address);
	collect();
	assert_all_serve();
}

static void frames_in_transmission_as_they_are_count_as_lent(void **state)
{
	struct player *one;
	uint64_t addresses[65];
	uint32_t n;

	(void)state;
	make_transmitting(true);
	one = add_sender(0);
	adopt();
	receive(24);
	n = player_read_all(one, addresses);
	assert_int_equal(n, 24);
	while (n)
		player_send(one, addresses[--n], 64);
	assert_int_equal(transmit(), 24);
	assert_int_equal(rig.handoff.lendable, 48);
	receive(30);
	assert_int_equal(place(XDPD_PLACE_LENT), 0);
	assert_int_equal(one->member.counters.dropped_quota, 30);
	finish_transmission();
	assert_int_equal(place(XDPD_PLACE_LENT), 24);
}

static void a_frame_in_transmission_cannot_be_given_back_by_its_sender(void **state)
{
	uint64_t address;

	(void)state;
	make_transmitting(true);
	add_sender(0);
	add(1);
	adopt();
	receive(1);
	address = player_read(rig.player[0]);
	player_send(rig.player[0], address, 64);
	transmit();
	/* By the other holder it can, and stays in transmission. */
	player_return(rig.player[1], address);
	collect();
	assert_all_serve();
	assert_int_equal(place(XDPD_PLACE_TRANSMIT), 1);
	player_return(rig.player[0], address);
	collect();
	assert_violated(0, VIOLATION_RETURN_NOT_HELD);
	/* Its completion finds a sender that is passed over; the frame waits for its end. */
	finish_transmission();
	assert_int_equal(entries_of(&rig.player[0]->completion), 0);
	assert_int_equal(place(XDPD_PLACE_LENT), 1);
	assert_nothing_is_lost();
}

static void a_frame_that_another_is_sending_is_copied(void **state)
{
	uint64_t address, completed;

	(void)state;
	make_transmitting(true);
	add_sender(0);
	add_sender(1);
	adopt();
	receive(1);
	address = player_read(rig.player[0]);
	player_send(rig.player[0], address, 64);
	player_send(rig.player[1], address, 64);
	assert_int_equal(transmit(), 2);
	assert_all_serve();
	assert_true(line_take_address(&rig.player[1]->completion, &completed));
	assert_int_equal(completed, address);
	assert_int_equal(entries_of(&rig.player[0]->completion), 0);
	rig_take_tx(&rig, 2);
	assert_int_equal(rig.sending[0].addr, address);
	assert_memory_equal(rig.umem + rig.sending[1].addr, rig.umem + address, 64);
	/* Also when the other has left meanwhile. */
	rig_leave(&rig, 0);
	player_send(rig.player[1], address, 64);
	assert_int_equal(transmit(), 1);
	assert_all_serve();
	player_return(rig.player[1], address);
	collect();
	assert_all_serve();
	finish_transmission();
	assert_int_equal(place(XDPD_PLACE_LENT), 0);
	assert_nothing_is_lost();
}

static void a_frame_in_transmission_cannot_be_sent_again_by_its_sender(void **state)
{
	uint64_t address;

	(void)state;
	make_transmitting(true);
	add_sender(0);
	adopt();
	receive(1);
	address = player_read(rig.player[0]);
	player_send(rig.player[0], address, 64);
	player_send(rig.player[0], address, 64);
	assert_int_equal(transmit(), 1);
	assert_violated(0, VIOLATION_TX_ADDRESS);
	assert_nothing_is_lost();
}

static void who_leaves_with_frames_in_transmission_has_them_completed_to_nobody(void **state)
{
	struct player *old, *new;
	uint64_t addresses[3];

	(void)state;
	make_transmitting(true);
	add_sender(0);
	add(1);
	adopt();
	receive(3);
	for (uint32_t i = 0; i < 3; i++) {
		addresses[i] = player_read(rig.player[0]);
		player_send(rig.player[0], addresses[i], 64);
	}
	player_send(rig.player[0], own_address(&rig, 0), 64);
	assert_int_equal(transmit(), 4);
	player_return(rig.player[1], addresses[0]);
	collect();
	old = rig_remove(&rig, 0);
	new = add_sender(0);
	adopt();
	free(old);
	assert_int_equal(place(XDPD_PLACE_TRANSMIT), 4);
	/* One while it is under way, one not at all. */
	player_return(rig.player[1], addresses[1]);
	collect();
	finish_transmission();
	assert_all_serve();
	assert_int_equal(entries_of(&new->completion), 0);
	assert_int_equal(new->member.in_flight, 0);
	assert_int_equal(place(XDPD_PLACE_LENT), 1);
	assert_int_equal(rig.handoff.holders[addresses[2] / FRAME_SIZE], BIT(1));
	assert_nothing_is_lost();
}

/* Sent by slot 2, after a good one. What it holds: the first frame. */
static void send_badly(const struct xdp_desc *desc, enum violation violation, bool writable)
{
	struct player *bad;

	make_transmitting(writable);
	bad = add_sender(2);
	add_sender(3);
	rig_group(&rig, 2, 2);
	rig_group(&rig, 3, 3);
	adopt();
	rig_arrives_marked(&rig, 1u << 2, 0);
	rig_arrives_marked(&rig, 1u << 3, 0);
	run();
	player_send(bad, own_address(&rig, 0), 60);
	line_put_desc(&bad->tx, *desc);
	player_send(bad, own_address(&rig, 1), 60);
	player_send(rig.player[3], own_address(&rig, 1), 60);
	assert_int_equal(transmit(), 2);
	assert_violated(2, violation);
	assert_int_equal(bad->member.counters.transmit_invalid, 1);
	assert_int_equal(bad->member.counters.transmit_packets, 1);
	assert_int_equal(entries_of(&bad->completion), 1);
	assert_int_equal(entries_of(&rig.tx), 2);
	assert_int_equal(transmit(), 0);
	assert_nothing_is_lost();
	rig_end(&rig);
}

static void a_descriptor_that_is_no_packet_of_its_ejects_the_sender_alone(void **state)
{
	const uint64_t fs = FRAME_SIZE, own = 96 * fs, end = own + OWN_FRAMES * fs;
	const struct {
		struct xdp_desc desc;
		enum violation violation;
	} bad[] = {
		/* its own memory: before the length's end, across a frame's, after the last */
		{{.addr = own, .len = 0}, VIOLATION_TX_LENGTH},
		{{.addr = own, .len = FRAME_SIZE + 1}, VIOLATION_TX_LENGTH},
		{{.addr = own + 100, .len = FRAME_SIZE - 99}, VIOLATION_TX_LENGTH},
		{{.addr = end - 1, .len = 2}, VIOLATION_TX_LENGTH},
		{{.addr = own, .len = UINT32_MAX}, VIOLATION_TX_LENGTH},
		{{.addr = end, .len = 60}, VIOLATION_TX_ADDRESS},
		{{.addr = end + fs, .len = 60}, VIOLATION_TX_ADDRESS},
		{{.addr = UINT64_C(1) << 63, .len = 60}, VIOLATION_TX_ADDRESS},
		{{.addr = UINT64_MAX, .len = 1}, VIOLATION_TX_ADDRESS},
		{{.addr = UINT64_MAX - fs + 1, .len = 60}, VIOLATION_TX_ADDRESS},
		/* the kernel's offset in the upper bits of unaligned mode */
		{{.addr = own | UINT64_C(64) << 48, .len = 60}, VIOLATION_TX_ADDRESS},
		/* options: metadata, fragments, whatever */
		{{.addr = own, .len = 60, .options = 1}, VIOLATION_TX_OPTIONS},
		{{.addr = own, .len = 60, .options = 2}, VIOLATION_TX_OPTIONS},
		{{.addr = own, .len = 60, .options = 0x80000000u}, VIOLATION_TX_OPTIONS},
		/* frames: another's, the kernel's, one for transmission, beyond its own's end */
		{{.addr = fs + HEADROOM, .len = 60}, VIOLATION_TX_ADDRESS},
		{{.addr = 20 * fs, .len = 60}, VIOLATION_TX_ADDRESS},
		{{.addr = 64 * fs, .len = 60}, VIOLATION_TX_ADDRESS},
		{{.addr = 96 * fs - 60, .len = 60}, VIOLATION_TX_ADDRESS},
		{{.addr = HEADROOM, .len = FRAME_SIZE}, VIOLATION_TX_LENGTH},
		{{.addr = fs - 1, .len = 2}, VIOLATION_TX_LENGTH},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		for (int writable = 0; writable < 2; writable++)
			send_badly(&bad[i].desc, bad[i].violation, writable);
}

static void a_free_frame_cannot_be_sent_either(void **state)
{
	uint64_t address;

	(void)state;
	make_transmitting(true);
	add_sender(0);
	add_tap(1);
	adopt();
	receive(1);
	address = player_read(rig.player[0]);
	player_return(rig.player[0], address);
	collect();
	assert_int_equal(place(XDPD_PLACE_FREE), 33);
	player_send(rig.player[0], address, 64);
	assert_int_equal(transmit(), 0);
	assert_violated(0, VIOLATION_TX_ADDRESS);
}

/* Keeps the ring full of packets of one length; its completions are taken. */
static void flood(struct player *player, uint32_t length)
{
	uint64_t address;

	while (line_put_desc(&player->tx,
			     (struct xdp_desc){.addr = own_address(&rig, 0), .len = length}))
		;
	while (line_take_address(&player->completion, &address))
		;
}

/* The device takes a few packets at a time. */
static void slow_device(uint32_t packets)
{
	rig_take_tx(&rig, packets);
	rig_complete_tx(&rig, packets);
	handoff_complete(&rig.handoff);
}

static void flooders_share_bytes(const uint32_t *lengths, uint32_t n, uint32_t first_slot,
				 uint32_t device, bool together)
{
	uint64_t least = UINT64_MAX, most = 0;

	make(&(struct rig_options){
		.frames = 64 + 128, .receive_frames = 64, .tx = 32, .completion = 128});
	for (uint32_t i = 0; i < n; i++)
		rig_add(&rig, first_slot + i * 9,
			&(struct player_options){.transmits = true, .tx = 256});
	adopt();
	for (uint32_t round = 0; round < 20000; round++) {
		for (uint32_t i = 0; i < n; i++)
			if (together || round % n == i || round < n)
				flood(rig.player[first_slot + i * 9], lengths[i]);
		slow_device(device);
		handoff_transmit(&rig.handoff);
	}
	rig_check(&rig);
	for (uint32_t i = 0; i < n; i++) {
		const struct player *player = rig.player[first_slot + i * 9];

		if (player->member.counters.transmit_bytes < least)
			least = player->member.counters.transmit_bytes;
		if (player->member.counters.transmit_bytes > most)
			most = player->member.counters.transmit_bytes;
	}
	assert_true(least > 0);
	assert_true((double)most / (double)least < 1.1);
	rig_end(&rig);
}

static void flooders_get_equal_bytes_whatever_their_packets_and_slots(void **state)
{
	static const uint32_t up[] = {64, 1500, 300}, down[] = {1500, 64},
			      same[] = {64, 64, 64, 64}, extremes[] = {60, 2048, 60, 60};

	(void)state;
	for (uint32_t device = 1; device <= 32; device = device * 2 + 1) {
		flooders_share_bytes(up, 3, 0, device, true);
		flooders_share_bytes(down, 2, 0, device, true);
		flooders_share_bytes(same, 4, 30, device, true);
		flooders_share_bytes(extremes, 4, 36, device, true);
	}
}

/* A device with more room than a round's burst: then the round is what is shared. */
static void a_round_is_shared_by_bytes_also_where_the_device_is_fast(void **state)
{
	struct player *small, *large;

	(void)state;
	make(&(struct rig_options){
		.frames = 64 + 256, .receive_frames = 64, .tx = 256, .completion = 256});
	small = rig_add(&rig, 0, &(struct player_options){.transmits = true, .tx = 512});
	large = rig_add(&rig, 1, &(struct player_options){.transmits = true, .tx = 512});
	adopt();
	for (uint32_t round = 0; round < 20000; round++) {
		flood(small, 64);
		flood(large, 1500);
		handoff_transmit(&rig.handoff);
		slow_device(256);
	}
	assert_in_range(small->member.counters.transmit_bytes * 100 /
				large->member.counters.transmit_bytes,
			95, 105);
}

static void a_light_sender_waits_for_no_more_than_a_turn_of_each_flooder(void **state)
{
	uint64_t before, longest = 0, bytes;
	uint32_t rounds = 0;

	(void)state;
	make(&(struct rig_options){
		.frames = 64 + 64, .receive_frames = 64, .tx = 16, .completion = 64});
	for (uint32_t slot = 0; slot < 6; slot++)
		add_sender(slot);
	adopt();
	for (uint32_t sample = 0; sample < 300; sample++) {
		const uint64_t sent = rig.player[3]->member.counters.transmit_packets;

		before = rig.handoff.counters.transmit_bytes;
		player_send(rig.player[3], own_address(&rig, 0), 60);
		do {
			for (uint32_t slot = 0; slot < 6; slot++)
				if (slot != 3)
					flood(rig.player[slot], 1000);
			slow_device(8);
			handoff_transmit(&rig.handoff);
			assert_true(++rounds < 300 * 100);
		} while (rig.player[3]->member.counters.transmit_packets == sent);
		bytes = rig.handoff.counters.transmit_bytes - before;
		if (bytes > longest)
			longest = bytes;
		flood(rig.player[3], FRAME_SIZE + 1);
		rig.player[3]->tx.in.own = rig.player[3]->tx.producer = rig.player[3]->tx.consumer;
		for (uint32_t i = below(40); i; i--) {
			slow_device(8);
			handoff_transmit(&rig.handoff);
		}
	}
	/* Five turns of some 32 KiB, and what the last of them began. */
	assert_true(longest < 6 * 36000);
}

static void a_full_ring_of_the_kernel_makes_senders_wait_and_loses_nothing(void **state)
{
	struct player *one;

	(void)state;
	make(&(struct rig_options){.frames = 96, .receive_frames = 64, .tx = 8, .completion = 64});
	one = add_sender(0);
	adopt();
	for (uint32_t i = 0; i < 20; i++)
		player_send(one, own_address(&rig, i % OWN_FRAMES), 60 + i);
	assert_int_equal(transmit(), 8);
	assert_int_equal(transmit(), 0);
	assert_int_equal(entries_of(&one->tx), 12);
	assert_true(handoff_has_transmission(&rig.handoff));
	rig_take_tx(&rig, 3);
	assert_int_equal(transmit(), 3);
	rig_take_tx(&rig, 8);
	assert_int_equal(transmit(), 8);
	rig_take_tx(&rig, 8);
	assert_int_equal(transmit(), 1);
	rig_take_tx(&rig, 8);
	assert_int_equal(rig.n_sending, 20);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(rig.sending[i].len, 60 + i);
	finish_transmission();
	assert_false(handoff_has_transmission(&rig.handoff));
}

static void without_a_free_frame_senders_wait_for_completions_in_any_order(void **state)
{
	struct player *one;
	uint32_t sent;

	(void)state;
	make(&(struct rig_options){.frames = 68, .receive_frames = 64, .tx = 64, .completion = 64});
	rig.shuffles = true;
	one = add_sender(0);
	adopt();
	for (uint32_t i = 0; i < 40; i++)
		player_send(one, own_address(&rig, i % OWN_FRAMES), 60 + i);
	sent = transmit();
	assert_int_equal(sent, 4);
	assert_int_equal(transmit(), 0);
	while (sent < 40) {
		rig_take_tx(&rig, 4);
		rig_complete_tx(&rig, 1);
		assert_int_equal(handoff_complete(&rig.handoff), 1);
		assert_int_equal(transmit(), 1);
		sent++;
	}
	assert_all_serve();
	assert_int_equal(entries_of(&one->completion), 40);
}

static void where_frames_go_out_as_they_are_no_free_one_is_needed(void **state)
{
	(void)state;
	make(&(struct rig_options){
		.frames = 66, .receive_frames = 64, .tx = 16, .completion = 64, .writable = true});
	add_sender(0);
	add_sender(1);
	adopt();
	/* The first has its copies on the way, and waits; the second need not. */
	for (uint32_t i = 0; i < 3; i++)
		player_send(rig.player[0], own_address(&rig, 0), 60);
	assert_int_equal(transmit(), 2);
	receive(2);
	player_send(rig.player[1], player_read(rig.player[1]), 64);
	assert_int_equal(transmit(), 1);
	assert_int_equal(rig.player[1]->member.in_flight, 1);
	finish_transmission();
	assert_int_equal(transmit(), 1);
	assert_all_serve();
}

static void a_full_completion_ring_makes_that_sender_wait_alone(void **state)
{
	struct player *lazy, *other;
	uint64_t address;

	(void)state;
	make_transmitting(false);
	lazy = rig_add(&rig, 0, &(struct player_options){.transmits = true, .completion = 4});
	other = add_sender(1);
	adopt();
	for (uint32_t i = 0; i < 10; i++) {
		player_send(lazy, own_address(&rig, i), 60);
		player_send(other, own_address(&rig, i), 60);
	}
	assert_int_equal(transmit(), 14);
	assert_int_equal(transmit(), 0);
	assert_int_equal(entries_of(&lazy->completion), 4);
	for (uint32_t i = 0; i < 10; i++) {
		assert_true(line_take_address(&lazy->completion, &address));
		assert_int_equal(address, own_address(&rig, i));
		transmit();
	}
	assert_int_equal(lazy->member.counters.transmit_packets, 10);
	assert_all_serve();
}

/* What the kernel still owes has its place, whatever else is completed meanwhile. */
static void completions_owed_keep_their_room(void **state)
{
	struct player *one;
	uint64_t addresses[65];

	(void)state;
	make_transmitting(true);
	one = rig_add(&rig, 0, &(struct player_options){.transmits = true, .completion = 4});
	adopt();
	receive(10);
	player_read_all(one, addresses);
	for (uint32_t i = 0; i < 3; i++)
		player_send(one, addresses[i], 64);
	for (uint32_t i = 0; i < 3; i++)
		player_send(one, own_address(&rig, i), 64);
	player_send(one, addresses[3], 64);
	assert_int_equal(transmit(), 4);
	assert_int_equal(transmit(), 0);
	assert_int_equal(entries_of(&one->completion), 1);
	finish_transmission();
	assert_int_equal(entries_of(&one->completion), 4);
	assert_int_equal(one->member.in_flight, 0);
	assert_int_equal(transmit(), 0);
	assert_int_equal(player_read_all(one, addresses + 10), 0);
	while (line_take_address(&one->completion, addresses))
		;
	assert_int_equal(transmit(), 3);
}

static void a_sender_that_takes_back_its_index_loses_only_its_own_completion(void **state)
{
	struct player *one;

	(void)state;
	make_transmitting(true);
	one = rig_add(&rig, 0, &(struct player_options){.transmits = true, .completion = 2});
	adopt();
	receive(1);
	player_send(one, player_read(one), 64);
	assert_int_equal(transmit(), 1);
	one->completion.consumer -= 2;
	for (uint32_t i = 0; i < 3; i++)
		player_send(one, own_address(&rig, 0), 60);
	assert_int_equal(transmit(), 0);
	finish_transmission();
	assert_int_equal(one->completion.producer, START);
	assert_int_equal(one->member.in_flight, 0);
	assert_int_equal(place(XDPD_PLACE_LENT), 1);
	assert_nothing_is_lost();
}

static void a_queue_without_transmission_takes_nothing_to_send(void **state)
{
	(void)state;
	make_receiving(64);
	add_sender(0);
	adopt();
	player_send(rig.player[0], own_address(&rig, 0), 60);
	assert_int_equal(run(), 0);
	assert_false(handoff_has_transmission(&rig.handoff));
	assert_true(handoff_doze(&rig.handoff));
}

/* ---- sleep ---- */

static void doze(bool expected)
{
	assert_int_equal(handoff_doze(&rig.handoff), expected);
	handoff_awake(&rig.handoff);
	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++)
		if (rig.player[slot]) {
			assert_int_equal(rig.player[slot]->tx.flags, 0);
			assert_int_equal(rig.player[slot]->fill.flags, 0);
		}
}

static void a_worker_may_sleep_exactly_when_there_is_nothing_to_do(void **state)
{
	struct player *one;
	uint64_t address;

	(void)state;
	make_transmitting(false);
	one = add_sender(0);
	add_tap(1);
	adopt();
	while (run())
		;
	doze(true);
	rig_arrive(&rig, 1);
	doze(false);
	run();
	/* What is lent is not to be waited for while the kernel has many. */
	doze(true);
	address = player_read(one);
	player_return(one, address);
	doze(true);
	run();
	player_send(one, own_address(&rig, 0), 60);
	doze(false);
	run();
	doze(true);
	rig_take_tx(&rig, 1);
	rig_complete_tx(&rig, 1);
	doze(false);
	run();
	doze(true);
}

static void while_the_worker_sleeps_flags_ask_members_to_ring_for_what_it_waits_for(void **state)
{
	struct player *one;
	uint64_t addresses[65];

	(void)state;
	make_transmitting(false);
	one = add_sender(0);
	add(1);
	rig.next.unmarked = BIT(0);
	adopt();
	receive(20);
	player_read_all(one, addresses);
	assert_true(handoff_doze(&rig.handoff));
	assert_int_equal(one->tx.flags, XDP_RING_NEED_WAKEUP);
	assert_int_equal(one->fill.flags, 0);
	doze(true);

	/* The kernel has few: returns are wanted, too. */
	rig.next.unmarked = BIT(1);
	adopt();
	receive(20);
	assert_true(handoff_doze(&rig.handoff));
	assert_int_equal(one->tx.flags, XDP_RING_NEED_WAKEUP);
	assert_int_equal(one->fill.flags, XDP_RING_NEED_WAKEUP);
	doze(true);
	player_return(one, addresses[0]);
	doze(false);
}

static void what_can_not_be_sent_now_keeps_no_worker_awake(void **state)
{
	struct player *lazy;

	(void)state;
	make(&(struct rig_options){.frames = 68, .receive_frames = 64, .tx = 8, .completion = 64});
	lazy = rig_add(&rig, 0, &(struct player_options){.transmits = true, .completion = 2});
	adopt();
	/* It does not take its completions. */
	for (uint32_t i = 0; i < 3; i++)
		player_send(lazy, own_address(&rig, i), 60);
	while (run())
		;
	doze(true);
	assert_true(handoff_has_transmission(&rig.handoff));
	/* No frame to copy to. */
	add_sender(1);
	adopt();
	for (uint32_t i = 0; i < 3; i++)
		player_send(rig.player[1], own_address(&rig, i), 60);
	while (run())
		;
	assert_int_equal(rig.handoff.stacked, 0);
	doze(true);
	finish_transmission();
	doze(false);
	/* No room in the kernel's ring. */
	while (run())
		;
	while (line_put_desc(&rig.player[1]->tx,
			     (struct xdp_desc){.addr = own_address(&rig, 0), .len = 60}))
		;
	for (int i = 0; i < 4; i++) {
		rig_take_tx(&rig, 1);
		rig_complete_tx(&rig, 1);
		run();
	}
	while (run())
		;
	doze(true);
}

static void a_frame_that_goes_out_as_it_is_keeps_the_worker_awake_without_free_ones(void **state)
{
	(void)state;
	make(&(struct rig_options){
		.frames = 65, .receive_frames = 64, .tx = 8, .completion = 64, .writable = true});
	add_sender(0);
	add_sender(1);
	adopt();
	player_send(rig.player[0], own_address(&rig, 0), 60);
	player_send(rig.player[0], own_address(&rig, 0), 60);
	receive(1);
	while (run())
		;
	doze(true);
	player_send(rig.player[1], player_read(rig.player[1]), 64);
	doze(false);
	assert_int_equal(run(), 1);
	doze(true);
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
		TEST(a_packet_of_its_own_memory_is_copied_and_completed_at_once),
		TEST(a_held_frame_is_copied_and_still_held),
		TEST(where_the_umem_is_writable_a_held_frame_goes_out_as_it_is),
		TEST(frames_in_transmission_as_they_are_count_as_lent),
		TEST(a_frame_in_transmission_cannot_be_given_back_by_its_sender),
		TEST(a_frame_that_another_is_sending_is_copied),
		TEST(a_frame_in_transmission_cannot_be_sent_again_by_its_sender),
		TEST(who_leaves_with_frames_in_transmission_has_them_completed_to_nobody),
		TEST(a_descriptor_that_is_no_packet_of_its_ejects_the_sender_alone),
		TEST(a_free_frame_cannot_be_sent_either),
		TEST(flooders_get_equal_bytes_whatever_their_packets_and_slots),
		TEST(a_round_is_shared_by_bytes_also_where_the_device_is_fast),
		TEST(a_light_sender_waits_for_no_more_than_a_turn_of_each_flooder),
		TEST(a_full_ring_of_the_kernel_makes_senders_wait_and_loses_nothing),
		TEST(without_a_free_frame_senders_wait_for_completions_in_any_order),
		TEST(where_frames_go_out_as_they_are_no_free_one_is_needed),
		TEST(a_full_completion_ring_makes_that_sender_wait_alone),
		TEST(completions_owed_keep_their_room),
		TEST(a_sender_that_takes_back_its_index_loses_only_its_own_completion),
		TEST(a_queue_without_transmission_takes_nothing_to_send),
		TEST(a_worker_may_sleep_exactly_when_there_is_nothing_to_do),
		TEST(while_the_worker_sleeps_flags_ask_members_to_ring_for_what_it_waits_for),
		TEST(what_can_not_be_sent_now_keeps_no_worker_awake),
		TEST(a_frame_that_goes_out_as_it_is_keeps_the_worker_awake_without_free_ones),
		TEST(all_rings_go_round_for_long_without_loss),
	};

	return cmocka_run_group_tests_name("handoff", tests, NULL, NULL);
}
