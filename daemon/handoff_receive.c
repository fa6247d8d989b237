// SPDX-License-Identifier: BSD-2-Clause
#include <string.h>

#include "daemon/handoff_parts.h"

/* How many of `count` frames the member gets; the others are counted by what stood in the way. */
static uint32_t allow(struct handoff *h, uint32_t slot, uint32_t count)
{
	struct handoff_member *member = h->roster->member[slot];
	const uint32_t left = left_to_lend(h);
	uint32_t share = left > member->held ? left - member->held : 0;
	uint32_t quota = __atomic_load_n(&member->quota, __ATOMIC_RELAXED);

	quota = quota > member->held ? quota - member->held : 0;
	member->staged = 0;
	member->staged_bytes = 0;
	member->room = xdpd_ring_room(&member->rx, count);
	if (unlikely(!xdpd_producer_peer_is_sane(&member->rx))) {
		handoff_violate(h, slot, VIOLATION_RX_INDEX);
		member->room = 0;
	}
	if (quota > share)
		quota = share;
	if (quota > member->room)
		quota = member->room;
	return quota < count ? quota : count;
}

/* What the burst makes of a member that got the staged entries and not `dropped` others. */
static void write_down(struct handoff *h, uint32_t slot, uint32_t held, uint32_t dropped)
{
	struct handoff_member *member = h->roster->member[slot];
	const struct member_counters *now = &member->counters;
	/* Of both in the way, what the member can mend first is said. */
	const bool ring_full = member->staged >= member->room;

	member->next.rx = member->rx.own + member->staged;
	member->next.held = member->held + held;
	member->next.receive_packets = now->receive_packets + member->staged;
	member->next.receive_bytes = now->receive_bytes + member->staged_bytes;
	member->next.dropped_ring_full = now->dropped_ring_full + (ring_full ? dropped : 0);
	member->next.dropped_quota = now->dropped_quota + (ring_full ? 0 : dropped);
	h->step.slots |= SLOT(slot);
}

/* Makes the staged entries the member's. */
static void publish(struct handoff_member *member)
{
	const struct handoff_next *next = &member->next;

	move_to(&member->rx, next->rx);
	set(&member->held, next->held);
	put(&member->counters.receive_packets, next->receive_packets);
	put(&member->counters.receive_bytes, next->receive_bytes);
	put(&member->counters.dropped_ring_full, next->dropped_ring_full);
	put(&member->counters.dropped_quota, next->dropped_quota);
}

/*
 * A tap's entry, which its reader may be reading meanwhile. Before those of a burst are written, all readers can know
 * which they are: the producer was published before [the fence in handoff_lend_burst()].
 */
static inline void write_tap_entry(struct handoff *h, struct handoff_member *member,
				   const struct xdp_desc *desc)
{
	const uint32_t sequence = h->sequences[frame_of(h, desc->addr)];
	struct xdp_desc *entry = xdpd_ring_desc(&member->rx, member->rx.own + member->staged++);

	__atomic_store_n(&entry->addr, desc->addr, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->len, desc->len, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->options, sequence, __ATOMIC_RELAXED);
	member->staged_bytes += desc->len;
}

/* A frame that nobody was lent is free at once. */
static inline void lend(struct handoff *h, uint32_t frame, uint64_t holders)
{
	if (holders)
		h->lent++;
	else
		enqueue(h, frame);
	h->holders[frame] = holders;
}

/* The burst that is written down: the ledger first, as what a member may see it may give back at once. */
void handoff_lend_burst(struct handoff *h)
{
	const struct handoff_step *step = &h->step;
	uint64_t *const holders = h->holders;
	const uint64_t alike = step->alike;
	uint32_t slot;

	XDPD_UNROLL
	for (uint32_t i = 0; i < step->least; i++)
		holders[step->frames[i]] = alike;
	h->lent += step->least;
	for (uint32_t i = step->least; i < step->count; i++)
		lend(h, step->frames[i], step->holders[i]);
	FOR_EACH_SLOT(slot, step->slots)
		publish(h->roster->member[slot]);
	put(&h->counters.bursts, step->counters.bursts);
	put(&h->counters.packets, step->counters.packets);
	put(&h->counters.unclaimed, step->counters.unclaimed);
	/* A tap's entries of the next burst are not seen before the index of this one. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Members are woken after the fence that follows. */
static void take_receive_step(struct handoff *h)
{
	handoff_lend_burst(h);
	move_to(&h->rx, h->step.kernel + h->step.count);
}

/* For copies of 16 bytes. */
typedef uint64_t pair __attribute__((vector_size(16), aligned(8), may_alias));

static_assert(sizeof(struct xdp_desc) == sizeof(pair), "a descriptor is copied at once");

/*
 * From the last to the first: after stores that go upwards a processor fetches the lines beyond them too, which the
 * member's own processor, reading upwards, fetches back.
 */
static void copy_downwards(struct xdp_desc *to, const struct xdp_desc *from, uint32_t count)
{
	pair *const t = (pair *)to;
	const pair *const f = (const pair *)from;

	XDPD_UNROLL
	while (count--)
		t[count] = f[count];
}

/* A member's part of a burst. */
static void copy_entries(struct handoff_member *member, const struct xdp_desc *from, uint32_t count)
{
	const uint32_t first = at_most(count, until_wrap(&member->rx));

	copy_downwards(xdpd_ring_desc(&member->rx, member->rx.own), from, first);
	if (unlikely(first < count))
		copy_downwards(member->rx.entries, from + first, count - first);
}

/* Which frames the entries from the next one on name, for when they come back by a run. */
static void keep_received(const struct handoff *h, const struct handoff_member *member,
			  uint32_t count)
{
	const uint32_t mask = received_mask(h), at = member->rx.own & mask;
	const uint32_t first = at_most(count, mask + 1 - at);
	const uint32_t *const frames = h->step.frames;

	copy_frames(member->received + at, frames, first);
	copy_frames(member->received, frames + first, count - first);
}

/* Writes down which frames the burst has; returns how many bytes. */
static uint64_t note_frames(struct handoff *h, const struct xdp_desc *burst, uint32_t count)
{
	const uint32_t shift = h->frame_shift;
	uint32_t *const frames = h->step.frames;
	uint64_t bytes = 0;

	XDPD_UNROLL
	for (uint32_t i = 0; i < count; i++) {
		frames[i] = (uint32_t)(burst[i].addr >> shift);
		bytes += burst[i].len;
	}
	return bytes;
}

static uint64_t count_bytes(const struct xdp_desc *burst, uint32_t count)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++)
		bytes += burst[i].len;
	return bytes;
}

/* All of the burst, for a tap. */
static void write_tap_burst(struct handoff *h, uint32_t slot, const struct xdp_desc *burst,
			    uint32_t count)
{
	struct handoff_member *member = h->roster->member[slot];

	member->staged = 0;
	member->staged_bytes = 0;
	for (uint32_t i = 0; i < count; i++)
		write_tap_entry(h, member, &burst[i]);
	write_down(h, slot, 0, 0);
}

/* Each of the members gets the whole burst, of so many bytes, or as much of its beginning as it may. */
static void receive_alike(struct handoff *h, const struct xdp_desc *burst, uint32_t count,
			  uint64_t bytes, uint64_t takers)
{
	const uint64_t taps = takers & h->roster->taps;
	const uint64_t borrowers = takers & ~taps;
	uint32_t got[ROSTER_MEMBERS];
	uint32_t least = borrowers ? count : 0, slot;

	FOR_EACH_SLOT(slot, borrowers) {
		struct handoff_member *member = h->roster->member[slot];

		got[slot] = allow(h, slot, count);
		if (got[slot] < least)
			least = got[slot];
		copy_entries(member, burst, got[slot]);
		keep_received(h, member, got[slot]);
		member->staged = got[slot];
		member->staged_bytes = got[slot] == count ? bytes : count_bytes(burst, got[slot]);
		write_down(h, slot, got[slot], count - got[slot]);
	}
	h->step.alike = borrowers;
	h->step.least = least;
	for (uint32_t i = least; i < count; i++) {
		h->step.holders[i] = 0;
		FOR_EACH_SLOT(slot, borrowers)
			if (i < got[slot])
				h->step.holders[i] |= SLOT(slot);
	}
	FOR_EACH_SLOT(slot, taps)
		write_tap_burst(h, slot, burst, count);
	if (!takers)
		h->step.counters.unclaimed += count;
}

/* Who gets what of a burst whose frames go different ways: by frame the members, and by member the frames. */
struct routing {
	uint64_t takers[HANDOFF_BURST];
	uint64_t frames[ROSTER_MEMBERS]; /* valid for the slots in `any` */
	uint64_t any, all;		 /* slots that get any frame, that get all */
};

static_assert(HANDOFF_BURST <= 64, "a bit for each frame");

/* What the program left before the frame; the memory may be a writable UMEM's. */
static inline struct xdpd_metadata read_metadata(const struct handoff *h, uint64_t address)
{
	struct xdpd_metadata metadata;

	memcpy(&metadata, h->umem + address - sizeof(metadata), sizeof(metadata));
	return metadata;
}

/* Of each group that gets the frame the member that has the flow's bucket, there or not. */
static inline uint64_t find_takers(const struct roster *roster,
				   const struct xdpd_metadata *metadata)
{
	const uint32_t bucket = metadata->hash & (ROSTER_BUCKETS - 1);
	uint64_t takers = 0;

	for (uint32_t groups = metadata->groups & roster->groups; groups; groups &= groups - 1)
		takers |= SLOT(roster->choice[__builtin_ctz(groups)][bucket]);
	return takers;
}

/* How often a frame is not taken that was meant to be. */
static inline uint32_t count_unclaimed(uint64_t takers, uint64_t serving)
{
	return takers ? (uint32_t)__builtin_popcountll(takers & ~serving) : 1;
}

/*
 * How far ahead of the reading a mark is fetched. Not the whole burst at once: marks lie a frame's size apart, so they
 * all meet in one set of the nearest cache, which has 8 to 12 lines.
 */
#define MARKS_AHEAD 4

static inline void prefetch_mark(const struct handoff *h, const struct xdp_desc *desc)
{
	__builtin_prefetch(h->umem + desc->addr - sizeof(struct xdpd_metadata));
}

static void read_marks(struct handoff *h, const struct xdp_desc *burst, uint32_t count,
		       struct routing *routing)
{
	const struct roster *roster = h->roster;
	const uint64_t serving = h->serving, unmarked = roster->unmarked & serving;
	const uint32_t epoch = roster->epoch, balanced = h->balanced;
	uint64_t any = 0, all = ~UINT64_C(0), same = 0;
	uint32_t unclaimed = 0, groups = 0; /* groups whose takers are `same` */

	for (uint32_t i = 0; i < at_most(count, MARKS_AHEAD); i++)
		prefetch_mark(h, &burst[i]);
	for (uint32_t i = 0; i < count; i++) {
		const struct xdpd_metadata metadata = read_metadata(h, burst[i].addr);
		uint64_t takers;

		if (i + MARKS_AHEAD < count)
			prefetch_mark(h, &burst[i + MARKS_AHEAD]);
		if (unlikely(metadata.epoch != epoch)) {
			takers = unmarked;
		} else if (metadata.groups & balanced) {
			takers = find_takers(roster, &metadata);
		} else {
			if (metadata.groups != groups) {
				groups = metadata.groups;
				same = find_takers(roster, &metadata);
			}
			takers = same;
		}
		if (unlikely(!takers || takers & ~serving))
			unclaimed += count_unclaimed(takers, serving);
		takers &= serving;
		routing->takers[i] = takers;
		any |= takers;
		all &= takers;
	}
	routing->any = any;
	routing->all = all;
	h->step.counters.unclaimed += unclaimed;
}

/* From a column for each frame to a row for each member. */
static void turn_routing(struct routing *routing, uint32_t count)
{
	uint32_t slot;

	FOR_EACH_SLOT(slot, routing->any)
		routing->frames[slot] = 0;
	for (uint32_t i = 0; i < count; i++) {
		FOR_EACH_SLOT(slot, routing->takers[i])
			routing->frames[slot] |= UINT64_C(1) << i;
	}
}

/* The frames of the burst that may be lent at all: the first ones that somebody borrows, as many as are left. */
static uint64_t find_lendable(const struct handoff *h, const struct routing *routing,
			      uint64_t borrowers)
{
	const uint32_t left = left_to_lend(h);
	uint64_t wanted = 0, rest;
	uint32_t slot;

	FOR_EACH_SLOT(slot, borrowers)
		wanted |= routing->frames[slot];
	if (left >= HANDOFF_BURST)
		return wanted;
	rest = wanted;
	for (uint32_t i = 0; i < left; i++)
		rest &= rest - 1;
	return wanted & ~rest;
}

/* Lends a member its frames of the burst, as many of the lendable ones as it may have. */
static void distribute(struct handoff *h, struct routing *routing, uint32_t slot,
		       const struct xdp_desc *burst, uint64_t lendable)
{
	struct handoff_member *member = h->roster->member[slot];
	const uint64_t frames = routing->frames[slot];
	const uint64_t within = frames & lendable;
	const uint32_t wanted = (uint32_t)__builtin_popcountll(frames);
	const uint32_t possible = (uint32_t)__builtin_popcountll(within);
	uint32_t allowed = allow(h, slot, wanted), i, at;

	if (allowed > possible)
		allowed = possible;
	FOR_EACH_SLOT(i, within) {
		if (member->staged == allowed)
			break;
		at = member->rx.own + member->staged++;
		*xdpd_ring_desc(&member->rx, at) = burst[i];
		member->received[at & received_mask(h)] = h->step.frames[i];
		member->staged_bytes += burst[i].len;
		h->step.holders[i] |= SLOT(slot);
	}
	write_down(h, slot, allowed, wanted - allowed);
}

static void distribute_to_tap(struct handoff *h, const struct routing *routing, uint32_t slot,
			      const struct xdp_desc *burst)
{
	struct handoff_member *member = h->roster->member[slot];
	uint32_t i;

	member->staged = 0;
	member->staged_bytes = 0;
	FOR_EACH_SLOT(i, routing->frames[slot])
		write_tap_entry(h, member, &burst[i]);
	write_down(h, slot, 0, 0);
}

static void receive_marked(struct handoff *h, const struct xdp_desc *burst, uint32_t count,
			   uint64_t bytes)
{
	struct routing routing;
	uint64_t borrowers, lendable;
	uint32_t slot;

	read_marks(h, burst, count, &routing);
	if (routing.any == routing.all && routing.any) {
		receive_alike(h, burst, count, bytes, routing.any);
		return;
	}
	turn_routing(&routing, count);
	borrowers = routing.any & ~h->roster->taps;
	lendable = find_lendable(h, &routing, borrowers);
	h->step.least = 0;
	memset(h->step.holders, 0, count * sizeof(*h->step.holders));
	FOR_EACH_SLOT(slot, borrowers)
		distribute(h, &routing, slot, burst, lendable);
	FOR_EACH_SLOT(slot, routing.any & h->roster->taps)
		distribute_to_tap(h, &routing, slot, burst);
}

uint32_t handoff_receive(struct handoff *h)
{
	const uint32_t count =
		xdpd_ring_available(&h->rx, at_most(until_wrap(&h->rx), HANDOFF_BURST));
	const struct xdp_desc *burst = xdpd_ring_desc(&h->rx, h->rx.own);
	uint64_t bytes;

	if (!count)
		return 0;
	h->step.kernel = h->rx.own;
	h->step.count = count;
	h->step.slots = 0;
	h->step.counters.bursts = h->counters.bursts + 1;
	h->step.counters.packets = h->counters.packets + count;
	h->step.counters.unclaimed = h->counters.unclaimed;
	bytes = note_frames(h, burst, count);
	if (h->roster->classified)
		receive_marked(h, burst, count, bytes);
	else
		receive_alike(h, burst, count, bytes, h->roster->unmarked & h->serving);
	begin_step(h, STEP_RECEIVE);
	take_receive_step(h);
	end_step(h);
	h->with_kernel -= count;
	handoff_note_sleepers(h, h->step.slots);
	return count;
}
