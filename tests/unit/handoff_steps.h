/* SPDX-License-Identifier: BSD-2-Clause */
/* Steps that the tests of behaviours take on one rig, which is checked after each. */
#ifndef TESTS_UNIT_HANDOFF_STEPS_H
#define TESTS_UNIT_HANDOFF_STEPS_H

#include "tests/unit/handoff_fixture.h"

static struct rig rig;

static inline void make(const struct rig_options *options)
{
	rig_make(&rig, options);
}

static inline void make_receiving(uint32_t frames)
{
	make(&(struct rig_options){.frames = frames});
}

/* 64 frames to receive into, 32 to transmit from. */
static inline void make_transmitting(bool writable)
{
	make(&(struct rig_options){
		.frames = 96, .receive_frames = 64, .tx = 64, .writable = writable});
}

static inline struct player *add(uint32_t slot)
{
	return rig_add(&rig, slot, &(struct player_options){});
}

static inline struct player *add_sender(uint32_t slot)
{
	return rig_add(&rig, slot, &(struct player_options){.transmits = true});
}

static inline struct player *add_tap(uint32_t slot)
{
	return rig_add(&rig, slot, &(struct player_options){.tap = true, .rx = 128});
}

static inline void adopt(void)
{
	rig_adopt(&rig);
	rig_check(&rig);
}

static inline uint32_t run(void)
{
	uint32_t moved = handoff_run(&rig.handoff);

	rig_check(&rig);
	return moved;
}

/* Frames arrive and are handed out. */
static inline void receive(uint32_t count)
{
	assert_int_equal(rig_arrive(&rig, count), count);
	while (count) {
		uint32_t taken = handoff_receive(&rig.handoff);

		assert_int_not_equal(taken, 0);
		count -= taken;
	}
	rig_check(&rig);
}

static inline void collect(void)
{
	while (handoff_collect(&rig.handoff))
		rig_check(&rig);
}

static inline uint32_t transmit(void)
{
	uint32_t taken = handoff_transmit(&rig.handoff);

	rig_check(&rig);
	return taken;
}

/* The kernel sends what it has and says so. */
static inline void finish_transmission(void)
{
	rig_take_tx(&rig, FRAMES_MAX);
	while (rig_complete_tx(&rig, FRAMES_MAX) ||
	       rig.completion.producer != rig.completion.consumer)
		handoff_complete(&rig.handoff);
	assert_int_equal(rig.n_sending, 0);
	rig_check(&rig);
}

static inline uint32_t place(enum xdpd_frame_place which)
{
	uint32_t places[XDPD_PLACE_COUNT];

	handoff_places(&rig.handoff, places);
	return places[which];
}

static inline uint32_t entries_of(const struct line *line)
{
	return line->producer - line->consumer;
}

static inline uint64_t serial_at(uint64_t address)
{
	uint64_t serial;

	memcpy(&serial, rig.umem + address, sizeof(serial));
	return serial;
}

/* It and nobody else is passed over from now on, for this reason. */
static inline void assert_violated(uint32_t slot, enum violation violation)
{
	const struct roster *roster = rig.handoff.roster;

	assert_int_equal(roster->member[slot]->violation, violation);
	assert_int_equal(rig.handoff.violated, BIT(slot));
	assert_int_equal(rig.handoff.serving, roster->members & ~BIT(slot));
	rig_check(&rig);
}

static inline void assert_all_serve(void)
{
	assert_int_equal(rig.handoff.violated, 0);
	assert_int_equal(rig.handoff.serving, rig.handoff.roster->members);
}

/* What others hold comes back, and then all is as it was at the start. */
static inline void assert_nothing_is_lost(void)
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

static inline int tear_down(void **state)
{
	(void)state;
	rig_end(&rig);
	return 0;
}

#endif
