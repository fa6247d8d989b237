// SPDX-License-Identifier: BSD-2-Clause
/* What members of shared delivery send, how they share the way out, and when the worker may sleep. */
#include "tests/unit/handoff_steps.h"

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

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, tear_down)
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests_name("handoff, transmission", tests, NULL, NULL);
}
