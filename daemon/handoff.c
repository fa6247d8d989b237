// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/handoff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/xdpd.h"

/* Entries of a member's fill ring that are looked at in one round, so that a flood keeps nobody else waiting. */
#define COLLECT_MAX 256

/* What a member may send in one turn, in bytes: some 20 long packets. */
#define TURN_BYTES 32768

#define SLOT(slot) (UINT64_C(1) << (slot))
#define FOR_EACH_SLOT(slot, mask)                                                              \
	for (uint64_t rest_ = (mask); rest_ && ((slot) = (uint32_t)__builtin_ctzll(rest_), 1); \
	     rest_ &= rest_ - 1)

#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* Written by this thread alone, read by any. */
static inline void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline void set(uint32_t *figure, uint32_t value)
{
	__atomic_store_n(figure, value, __ATOMIC_RELAXED);
}

static inline bool is_serving(const struct handoff *h, uint32_t slot)
{
	return h->serving & SLOT(slot);
}

static inline uint32_t frame_of(const struct handoff *h, uint64_t address)
{
	return (uint32_t)(address >> h->frame_shift);
}

static void violate(struct handoff *h, uint32_t slot, enum violation violation)
{
	__atomic_store_n(&h->roster->member[slot]->violation, violation, __ATOMIC_RELAXED);
	h->serving &= ~SLOT(slot);
	h->violated |= SLOT(slot);
}

/* ---- free frames ---- */

static inline uint32_t queued(const struct handoff *h)
{
	return h->queue_tail - h->queue_head;
}

static inline void enqueue(struct handoff *h, uint32_t frame)
{
	h->queue[h->queue_tail++ & h->queue_mask] = frame;
}

/* From here on the kernel may write into it: whoever reads it unasked has to find that out. */
static inline void outdate(struct handoff *h, uint32_t frame)
{
	__atomic_store_n(&h->sequences[frame], h->sequences[frame] + 1, __ATOMIC_RELAXED);
}

void handoff_stock(struct handoff *h)
{
	uint32_t count = queued(h);

	if (h->with_kernel >= h->stock)
		return;
	if (count > h->stock - h->with_kernel)
		count = h->stock - h->with_kernel;
	count = xdpd_ring_room(&h->fill, count);
	if (!count)
		return;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t frame = h->queue[h->queue_head++ & h->queue_mask];

		if (h->roster->taps)
			outdate(h, frame);
		*xdpd_ring_address(&h->fill, h->fill.own + i) = (uint64_t)frame << h->frame_shift;
	}
	xdpd_ring_advance(&h->fill, count);
	h->with_kernel += count;
}

/* ---- what members give back ---- */

/*
 * Takes the member's bit off the frame; false, and nothing has changed, if it has none there. While a frame is in
 * transmission as it is, its sender holds it.
 */
static inline bool take_back(struct handoff *h, uint32_t slot, uint64_t frame)
{
	if (unlikely(frame >= h->receive_frames || !(h->holders[frame] & SLOT(slot))))
		return false;
	if (unlikely(h->forwarded && h->senders[frame] == slot))
		return false;
	h->holders[frame] &= ~SLOT(slot);
	return true;
}

static void reject_return(struct handoff *h, uint32_t slot, uint64_t frame)
{
	add(&h->roster->member[slot]->counters.invalid_returns, 1);
	violate(h, slot,
		frame < h->receive_frames ? VIOLATION_RETURN_NOT_HELD : VIOLATION_RETURN_FOREIGN);
}

/* An entry of another's ring: it may be written again while we look, so it is read once. */
static inline uint64_t read_address(const struct xdpd_ring *ring, uint32_t index)
{
	return __atomic_load_n(xdpd_ring_address(ring, index), __ATOMIC_RELAXED);
}

/* Straight into the kernel's fill ring, which has room for all of them in a row. Returns how many were valid. */
static uint32_t refill(struct handoff *h, uint32_t slot, uint32_t count)
{
	const struct xdpd_ring *returns = &h->roster->member[slot]->fill;
	const uint32_t shift = h->frame_shift, end = h->receive_frames;
	const uint64_t keep = ~SLOT(slot);
	uint64_t *const holders = h->holders;
	uint64_t *to = xdpd_ring_address(&h->fill, h->fill.own);
	uint32_t freed = 0, i;

	for (i = 0; i < count; i++) {
		uint64_t frame = read_address(returns, returns->own + i) >> shift;
		uint64_t held;

		if (unlikely(frame >= end))
			break;
		held = holders[frame];
		if (unlikely(!(held & ~keep)))
			break;
		holders[frame] = held & keep;
		/* Overwritten by the next unless this was the last holder. */
		to[freed] = frame << shift;
		freed += !(held & keep);
	}
	xdpd_ring_advance(&h->fill, freed);
	h->with_kernel += freed;
	h->lent -= freed;
	return i;
}

/* The same onto the queue of free frames. */
static uint32_t set_free(struct handoff *h, uint32_t slot, uint32_t count)
{
	const struct xdpd_ring *returns = &h->roster->member[slot]->fill;
	uint32_t i;

	for (i = 0; i < count; i++) {
		uint64_t frame = read_address(returns, returns->own + i) >> h->frame_shift;

		if (!take_back(h, slot, frame))
			break;
		if (h->holders[frame])
			continue;
		/* Somebody else's transmission of it ends later, and frees it then. */
		if (h->senders[frame] != HANDOFF_NOBODY)
			continue;
		h->lent--;
		enqueue(h, (uint32_t)frame);
	}
	return i;
}

/* Nothing else is to be minded when a frame comes back: no tap, no frame in transmission as it is. */
static bool can_refill(struct handoff *h, uint32_t count)
{
	return !h->roster->taps && !h->forwarded && xdpd_ring_room(&h->fill, count) == count &&
	       !xdpd_ring_wraps(&h->fill, count);
}

static uint32_t collect_from(struct handoff *h, uint32_t slot)
{
	struct handoff_member *member = h->roster->member[slot];
	struct xdpd_ring *returns = &member->fill;
	uint32_t count, valid;
	bool direct;

	count = xdpd_ring_available(returns, COLLECT_MAX);
	if (!count)
		return 0;
	if (unlikely(!xdpd_consumer_peer_is_sane(returns))) {
		violate(h, slot, VIOLATION_FILL_INDEX);
		return 0;
	}
	direct = can_refill(h, count);
	valid = direct ? refill(h, slot, count) : set_free(h, slot, count);
	if (unlikely(valid < count))
		reject_return(h, slot,
			      read_address(returns, returns->own + valid) >> h->frame_shift);
	if (!valid)
		return 0;
	xdpd_ring_advance(returns, valid);
	set(&member->held, member->held - valid);
	add(&member->counters.returned, valid);
	return valid;
}

uint32_t handoff_collect(struct handoff *h)
{
	uint32_t total = 0, slot;

	FOR_EACH_SLOT(slot, h->serving & ~h->roster->taps)
		total += collect_from(h, slot);
	return total;
}

/* ---- what the kernel received ---- */

/* Frames that may still be lent. Those in transmission as they are come back to who holds them. */
static inline uint32_t left_to_lend(const struct handoff *h)
{
	const uint32_t out = h->lent + h->forwarded;

	return out < h->lendable ? h->lendable - out : 0;
}

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
		violate(h, slot, VIOLATION_RX_INDEX);
		member->room = 0;
	}
	if (quota > share)
		quota = share;
	if (quota > member->room)
		quota = member->room;
	return quota < count ? quota : count;
}

static void count_dropped(struct handoff_member *member, uint32_t count)
{
	/* Of both in the way, what the member can mend first is said. */
	add(member->staged >= member->room ? &member->counters.dropped_ring_full
					   : &member->counters.dropped_quota,
	    count);
}

/* Makes the staged entries the member's. Whoever wants to be woken is noted after the fence that follows. */
static void publish(struct handoff_member *member)
{
	xdpd_ring_advance(&member->rx, member->staged);
	add(&member->counters.receive_packets, member->staged);
	add(&member->counters.receive_bytes, member->staged_bytes);
	member->staged = 0;
	member->staged_bytes = 0;
}

/* The full barrier is as in xdpd_ring_needs_wakeup(), once for all of them. */
static void note_sleepers(struct handoff *h, uint64_t slots)
{
	uint32_t slot;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	FOR_EACH_SLOT(slot, slots)
		if (__atomic_load_n(h->roster->member[slot]->rx.flags, __ATOMIC_RELAXED) &
		    XDP_RING_NEED_WAKEUP)
			h->wake |= SLOT(slot);
}

/*
 * A tap's entry, which its reader may be reading meanwhile. Before those of a burst are written, all readers can know
 * which they are: the producer was published before [the fence in publish_tap()].
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

static void publish_tap(struct handoff_member *member)
{
	publish(member);
	/* No entry of the next burst is seen before this index. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* A frame that nobody was lent is free at once. */
static inline void lend(struct handoff *h, uint32_t frame, uint64_t holders)
{
	h->holders[frame] = holders;
	if (holders)
		h->lent++;
	else
		enqueue(h, frame);
}

/* Copies a member's part of a burst in one go; returns the sum of all lengths. */
static uint64_t copy_entries(struct handoff_member *member, const struct xdp_desc *from,
			     uint32_t count)
{
	struct xdp_desc *to = xdpd_ring_desc(&member->rx, member->rx.own);
	uint64_t bytes = 0;

	if (xdpd_ring_wraps(&member->rx, count)) {
		for (uint32_t i = 0; i < count; i++) {
			*xdpd_ring_desc(&member->rx, member->rx.own + i) = from[i];
			bytes += from[i].len;
		}
		return bytes;
	}
	XDPD_UNROLL
	for (uint32_t i = 0; i < count; i++) {
		to[i] = from[i];
		bytes += from[i].len;
	}
	return bytes;
}

/* Each of the members gets the whole burst, or as much of its beginning as it may. */
static void receive_alike(struct handoff *h, const struct xdp_desc *burst, uint32_t count,
			  uint64_t takers)
{
	const uint64_t taps = takers & h->roster->taps;
	uint64_t borrowers = takers & ~taps;
	uint32_t got[ROSTER_MEMBERS];
	uint32_t least = count, slot;

	FOR_EACH_SLOT(slot, borrowers) {
		struct handoff_member *member = h->roster->member[slot];

		got[slot] = allow(h, slot, count);
		if (got[slot] < least)
			least = got[slot];
		member->staged_bytes = copy_entries(member, burst, got[slot]);
		member->staged = got[slot];
		set(&member->held, member->held + got[slot]);
		if (unlikely(got[slot] < count))
			count_dropped(member, count - got[slot]);
	}
	if (!borrowers)
		least = 0;
	for (uint32_t i = 0; i < least; i++)
		h->holders[frame_of(h, burst[i].addr)] = borrowers;
	h->lent += least;
	for (uint32_t i = least; i < count; i++) {
		uint64_t holders = 0;

		FOR_EACH_SLOT(slot, borrowers)
			if (i < got[slot])
				holders |= SLOT(slot);
		lend(h, frame_of(h, burst[i].addr), holders);
	}
	FOR_EACH_SLOT(slot, borrowers)
		publish(h->roster->member[slot]);
	FOR_EACH_SLOT(slot, taps) {
		struct handoff_member *member = h->roster->member[slot];

		for (uint32_t i = 0; i < count; i++)
			write_tap_entry(h, member, &burst[i]);
		publish_tap(member);
	}
	if (!takers)
		add(&h->counters.unclaimed, count);
	note_sleepers(h, takers);
}

/* Who gets what of a burst whose frames go different ways: by frame the members, and by member the frames. */
struct routing {
	uint64_t takers[HANDOFF_BURST];
	uint64_t frames[ROSTER_MEMBERS]; /* valid for the slots in `any` */
	uint64_t holders[HANDOFF_BURST];
	uint64_t any, all; /* slots that get any frame, that get all */
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

static void read_marks(struct handoff *h, const struct xdp_desc *burst, uint32_t count,
		       struct routing *routing)
{
	const struct roster *roster = h->roster;
	const uint64_t serving = h->serving;
	uint64_t any = 0, all = ~UINT64_C(0);
	uint32_t unclaimed = 0;

	for (uint32_t i = 0; i < count; i++)
		__builtin_prefetch(h->umem + burst[i].addr - sizeof(struct xdpd_metadata));
	for (uint32_t i = 0; i < count; i++) {
		const struct xdpd_metadata metadata = read_metadata(h, burst[i].addr);
		uint64_t takers = roster->unmarked & serving;

		if (metadata.epoch == roster->epoch)
			takers = find_takers(roster, &metadata);
		if (unlikely(!takers || takers & ~serving))
			unclaimed += count_unclaimed(takers, serving);
		takers &= serving;
		routing->takers[i] = takers;
		any |= takers;
		all &= takers;
	}
	routing->any = any;
	routing->all = all;
	if (unlikely(unclaimed))
		add(&h->counters.unclaimed, unclaimed);
}

/* From a column for each frame to a row for each member. */
static void turn_routing(struct routing *routing, uint32_t count)
{
	uint32_t slot;

	FOR_EACH_SLOT(slot, routing->any)
		routing->frames[slot] = 0;
	for (uint32_t i = 0; i < count; i++) {
		routing->holders[i] = 0;
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
	uint32_t allowed = allow(h, slot, wanted), i;

	if (allowed > possible)
		allowed = possible;
	FOR_EACH_SLOT(i, within) {
		if (member->staged == allowed)
			break;
		*xdpd_ring_desc(&member->rx, member->rx.own + member->staged++) = burst[i];
		member->staged_bytes += burst[i].len;
		routing->holders[i] |= SLOT(slot);
	}
	if (unlikely(allowed < wanted))
		count_dropped(member, wanted - allowed);
	set(&member->held, member->held + allowed);
	publish(member);
}

static void distribute_to_tap(struct handoff *h, const struct routing *routing, uint32_t slot,
			      const struct xdp_desc *burst)
{
	struct handoff_member *member = h->roster->member[slot];
	uint32_t i;

	FOR_EACH_SLOT(i, routing->frames[slot])
		write_tap_entry(h, member, &burst[i]);
	publish_tap(member);
}

static void receive_marked(struct handoff *h, const struct xdp_desc *burst, uint32_t count)
{
	struct routing routing;
	uint64_t borrowers, lendable;
	uint32_t slot;

	read_marks(h, burst, count, &routing);
	if (routing.any == routing.all && routing.any) {
		receive_alike(h, burst, count, routing.any);
		return;
	}
	turn_routing(&routing, count);
	borrowers = routing.any & ~h->roster->taps;
	lendable = find_lendable(h, &routing, borrowers);
	FOR_EACH_SLOT(slot, borrowers)
		distribute(h, &routing, slot, burst, lendable);
	FOR_EACH_SLOT(slot, routing.any & h->roster->taps)
		distribute_to_tap(h, &routing, slot, burst);
	for (uint32_t i = 0; i < count; i++)
		lend(h, frame_of(h, burst[i].addr), routing.holders[i]);
	note_sleepers(h, routing.any);
}

uint32_t handoff_receive(struct handoff *h)
{
	const uint32_t until_wrap = h->rx.size - (h->rx.own & h->rx.mask);
	uint32_t count = xdpd_ring_available(&h->rx, until_wrap < HANDOFF_BURST ? until_wrap
										: HANDOFF_BURST);
	const struct xdp_desc *burst = xdpd_ring_desc(&h->rx, h->rx.own);

	if (!count)
		return 0;
	h->with_kernel -= count;
	if (h->roster->classified)
		receive_marked(h, burst, count);
	else
		receive_alike(h, burst, count, h->roster->unmarked & h->serving);
	xdpd_ring_advance(&h->rx, count);
	add(&h->counters.bursts, 1);
	add(&h->counters.packets, count);
	return count;
}

/* ---- what members send ---- */

/* The kernel's side of it, for as long as a round lasts. */
struct outlet {
	uint32_t room;	  /* in the kernel's TX ring */
	bool closed;	  /* it had no room, or nothing can go out without a frame to copy to */
	uint64_t starved; /* slots that found no frame to copy to, while others can send as it is */
	uint32_t staged;  /* entries written beyond tx.own */
	uint64_t bytes;
};

static inline struct xdp_desc read_desc(const struct xdpd_ring *ring, uint32_t index)
{
	const struct xdp_desc *entry = xdpd_ring_desc(ring, index);

	return (struct xdp_desc){
		.addr = __atomic_load_n(&entry->addr, __ATOMIC_RELAXED),
		.len = __atomic_load_n(&entry->len, __ATOMIC_RELAXED),
		.options = __atomic_load_n(&entry->options, __ATOMIC_RELAXED),
	};
}

/* Below this are the frames of the UMEM, from here on the member's own memory. */
static inline uint64_t umem_end(const struct handoff *h)
{
	return (uint64_t)h->frames << h->frame_shift;
}

static enum violation judge_packet(const struct handoff *h, uint32_t slot,
				   const struct xdp_desc *desc)
{
	const uint64_t end = umem_end(h), frame = desc->addr >> h->frame_shift;
	const uint64_t offset = desc->addr & (h->frame_size - 1);

	if (desc->options)
		return VIOLATION_TX_OPTIONS;
	if (!desc->len || desc->len > h->frame_size - offset)
		return VIOLATION_TX_LENGTH;
	if (desc->addr >= end)
		return desc->addr - end < h->roster->member[slot]->transmit_size
			       ? VIOLATION_NONE
			       : VIOLATION_TX_ADDRESS;
	if (frame >= h->receive_frames || !(h->holders[frame] & SLOT(slot)) ||
	    h->senders[frame] == slot)
		return VIOLATION_TX_ADDRESS;
	return VIOLATION_NONE;
}

/*
 * Of a packet that was judged. What another is sending already is copied: a frame is in transmission once, and neither
 * of the two can know of the other.
 */
static bool goes_as_it_is(const struct handoff *h, const struct xdp_desc *desc)
{
	return h->writable && desc->addr < umem_end(h) &&
	       h->senders[frame_of(h, desc->addr)] == HANDOFF_NOBODY;
}

static void put_on_wire(struct handoff *h, struct outlet *outlet, uint64_t address, uint32_t length)
{
	*xdpd_ring_desc(&h->tx, h->tx.own + outlet->staged++) =
		(struct xdp_desc){.addr = address, .len = length};
	outlet->bytes += length;
	outlet->room--;
}

/* The memory that the packet lies in is the sender's again when this returns. */
static void send_copy(struct handoff *h, struct outlet *outlet, uint32_t slot,
		      const struct xdp_desc *desc)
{
	const uint64_t end = umem_end(h);
	const unsigned char *from =
		desc->addr < end ? h->umem + desc->addr
				 : h->roster->member[slot]->transmit + (desc->addr - end);
	const uint64_t address = (uint64_t)h->stack[--h->stacked] << h->frame_shift;

	memcpy(h->umem + address, from, desc->len);
	put_on_wire(h, outlet, address, desc->len);
}

static void send_as_it_is(struct handoff *h, struct outlet *outlet, uint32_t slot,
			  const struct xdp_desc *desc)
{
	h->senders[frame_of(h, desc->addr)] = (uint8_t)slot;
	h->lent--;
	h->forwarded++;
	h->roster->member[slot]->in_flight++;
	put_on_wire(h, outlet, desc->addr, desc->len);
}

/* Completions that the member's ring has room for, less those that the kernel still owes it. */
static uint32_t completion_room(struct handoff *h, uint32_t slot, uint32_t count)
{
	struct handoff_member *member = h->roster->member[slot];
	uint32_t room = xdpd_ring_room(&member->completion, count + member->in_flight);

	if (unlikely(!xdpd_producer_peer_is_sane(&member->completion))) {
		violate(h, slot, VIOLATION_COMPLETION_INDEX);
		return 0;
	}
	return room > member->in_flight ? room - member->in_flight : 0;
}

/* Whether the kernel can take one more packet, of this round or at all. */
static bool is_open(struct handoff *h, struct outlet *outlet)
{
	if (!outlet->room && !outlet->staged)
		outlet->room = xdpd_ring_room(&h->tx, HANDOFF_BURST);
	return outlet->room && (h->stacked || h->writable);
}

/* The member's turn: returns how many of its entries were taken. */
static uint32_t transmit_for(struct handoff *h, struct outlet *outlet, uint32_t slot,
			     uint32_t count)
{
	struct handoff_member *member = h->roster->member[slot];
	const uint32_t room = completion_room(h, slot, count);
	uint32_t taken = 0, completed = 0;
	uint64_t bytes = 0;

	while (taken < count && taken < room) {
		const struct xdp_desc desc = read_desc(&member->tx, member->tx.own + taken);
		enum violation violation = judge_packet(h, slot, &desc);

		if (unlikely(violation != VIOLATION_NONE)) {
			add(&member->counters.transmit_invalid, 1);
			violate(h, slot, violation);
			break;
		}
		if (desc.len > member->deficit)
			break;
		outlet->closed = !is_open(h, outlet);
		if (outlet->closed)
			break;
		if (goes_as_it_is(h, &desc)) {
			send_as_it_is(h, outlet, slot, &desc);
		} else if (h->stacked) {
			send_copy(h, outlet, slot, &desc);
			*xdpd_ring_address(&member->completion,
					   member->completion.own + completed++) = desc.addr;
		} else {
			outlet->starved |= SLOT(slot);
			break;
		}
		member->deficit -= desc.len;
		bytes += desc.len;
		taken++;
	}
	if (!taken)
		return 0;
	xdpd_ring_advance(&member->tx, taken);
	if (completed)
		xdpd_ring_advance(&member->completion, completed);
	add(&member->counters.transmit_packets, taken);
	add(&member->counters.transmit_bytes, bytes);
	/* The round's burst is over, not the turn of a member that has more. */
	if (taken == count && !outlet->room && xdpd_ring_available(&member->tx, 1))
		outlet->closed = true;
	return taken;
}

/* How many entries the member wants to have sent now. */
static uint32_t wants_to_send(struct handoff *h, uint32_t slot)
{
	struct handoff_member *member = h->roster->member[slot];
	uint32_t count = xdpd_ring_available(&member->tx, HANDOFF_BURST);

	if (unlikely(!xdpd_consumer_peer_is_sane(&member->tx))) {
		violate(h, slot, VIOLATION_TX_INDEX);
		return 0;
	}
	return count;
}

/* Returns how many entries were taken; `outlet` is closed then, or the member's turn is over. */
static uint32_t take_turn(struct handoff *h, struct outlet *outlet, uint32_t slot)
{
	struct handoff_member *member = h->roster->member[slot];
	uint32_t count = member->tx.size ? wants_to_send(h, slot) : 0;
	bool goes_on = h->interrupted && slot == h->turn;

	if (!count) {
		member->deficit = 0;
		return 0;
	}
	if (!goes_on)
		member->deficit = member->deficit / 2 + TURN_BYTES;
	return transmit_for(h, outlet, slot, count);
}

/*
 * Deficit round robin: each turn adds TURN_BYTES to what a member may send. Some of what it could not use, as when the
 * next packet was longer, it keeps; what it had no packets for is lost. Where the kernel has no more room, the next
 * round goes on with the turn that was interrupted, so all get the same share of bytes however slow the device is.
 */
uint32_t handoff_transmit(struct handoff *h)
{
	const uint64_t first_half = ~(SLOT(h->turn) - 1);
	uint64_t sleepers = 0;
	struct outlet outlet = {};
	uint32_t total = 0, slot;

	if (!h->tx.size)
		return 0;
	for (int half = 0; half < 2; half++) {
		FOR_EACH_SLOT(slot, h->serving & (half ? ~first_half : first_half)) {
			uint32_t taken = take_turn(h, &outlet, slot);

			total += taken;
			if (taken)
				sleepers |= SLOT(slot);
			/* Only who has more to send is interrupted. */
			if (outlet.closed) {
				h->turn = slot;
				h->interrupted = true;
				goto full;
			}
			if (slot == h->turn)
				h->interrupted = false;
		}
	}
	/* Completions give back frames to copy to, and the first that lacked one goes on then. */
	if (outlet.starved) {
		uint64_t first = outlet.starved & first_half;

		h->turn = (uint32_t)__builtin_ctzll(first ? first : outlet.starved);
		h->interrupted = true;
	}
full:
	if (!total)
		return 0;
	xdpd_ring_advance(&h->tx, outlet.staged);
	add(&h->counters.transmit_packets, outlet.staged);
	add(&h->counters.transmit_bytes, outlet.bytes);
	note_sleepers(h, sleepers);
	return total;
}

/* ---- what the kernel has sent ---- */

/* Its sender may have left; other holders may have given it back meanwhile. */
static void end_transmission(struct handoff *h, uint32_t frame, uint64_t address,
			     uint64_t *sleepers)
{
	const uint8_t slot = h->senders[frame];

	h->senders[frame] = HANDOFF_NOBODY;
	h->forwarded--;
	if (slot < ROSTER_MEMBERS && is_serving(h, slot)) {
		struct handoff_member *member = h->roster->member[slot];

		member->in_flight--;
		/* There was room for it when it was taken, unless the member moved its index back. */
		if (xdpd_ring_room(&member->completion, 1) &&
		    xdpd_producer_peer_is_sane(&member->completion)) {
			*xdpd_ring_address(&member->completion, member->completion.own) = address;
			xdpd_ring_advance(&member->completion, 1);
			*sleepers |= SLOT(slot);
		}
	}
	if (h->holders[frame])
		h->lent++;
	else
		enqueue(h, frame);
}

uint32_t handoff_complete(struct handoff *h)
{
	uint64_t sleepers = 0;
	uint32_t count;

	if (!h->completion.size)
		return 0;
	count = xdpd_ring_available(&h->completion, HANDOFF_BURST);
	for (uint32_t i = 0; i < count; i++) {
		uint64_t address = *xdpd_ring_address(&h->completion, h->completion.own + i);
		uint32_t frame = frame_of(h, address);

		if (frame >= h->receive_frames)
			h->stack[h->stacked++] = frame;
		else
			end_transmission(h, frame, address, &sleepers);
	}
	if (!count)
		return 0;
	xdpd_ring_advance(&h->completion, count);
	if (sleepers)
		note_sleepers(h, sleepers);
	return count;
}

/* ---- rosters ---- */

static void take_all_back(struct handoff *h, uint32_t slot)
{
	for (uint32_t frame = 0; frame < h->receive_frames; frame++) {
		if (h->senders[frame] == slot)
			h->senders[frame] = HANDOFF_ORPHAN;
		if (!(h->holders[frame] & SLOT(slot)))
			continue;
		h->holders[frame] &= ~SLOT(slot);
		if (h->holders[frame] || h->senders[frame] != HANDOFF_NOBODY)
			continue;
		h->lent--;
		enqueue(h, frame);
	}
}

void handoff_adopt(struct handoff *h, const struct roster *roster)
{
	const struct roster *before = h->roster;
	uint64_t stay = 0;

	h->serving = 0;
	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++) {
		const struct handoff_member *member = roster->member[slot];

		if (before->member[slot] && before->member[slot] != member)
			take_all_back(h, slot);
		if (before->member[slot] == member)
			stay |= SLOT(slot);
		if (member && member->violation == VIOLATION_NONE)
			h->serving |= SLOT(slot);
	}
	/* What was to be said of who had a slot before is not said of who has it now. */
	h->wake &= stay & roster->members;
	h->violated &= stay & roster->members;
	if (!(stay & SLOT(h->turn)))
		h->interrupted = false;
	h->stock = roster->taps ? h->stock_with_taps : h->stock_all;
	h->roster = roster;
}

/* ---- all of it ---- */

uint32_t handoff_run(struct handoff *h)
{
	uint32_t moved = handoff_collect(h);

	handoff_stock(h);
	moved += handoff_receive(h);
	moved += handoff_complete(h);
	moved += handoff_transmit(h);
	return moved;
}

static void set_flags(const struct xdpd_ring *ring, uint32_t flags)
{
	if (ring->size)
		__atomic_store_n(ring->flags, flags, __ATOMIC_RELAXED);
}

static bool has_entries(struct xdpd_ring *ring)
{
	return ring->size && xdpd_ring_available(ring, 1);
}

/* Whether a round would take an entry off the member's TX ring, or the member for what is there. */
static bool has_to_send(struct handoff *h, uint32_t slot)
{
	struct handoff_member *member = h->roster->member[slot];
	struct xdp_desc desc;

	if (!has_entries(&member->tx))
		return false;
	if (!completion_room(h, slot, 1))
		return !is_serving(h, slot);
	if (h->stacked)
		return true;
	desc = read_desc(&member->tx, member->tx.own);
	return judge_packet(h, slot, &desc) != VIOLATION_NONE || goes_as_it_is(h, &desc);
}

bool handoff_doze(struct handoff *h)
{
	const bool few = h->with_kernel < h->stock / 2;
	const bool sends = h->tx.size && xdpd_ring_room(&h->tx, 1);
	uint32_t slot;

	FOR_EACH_SLOT(slot, h->serving) {
		set_flags(&h->roster->member[slot]->tx, XDP_RING_NEED_WAKEUP);
		if (few)
			set_flags(&h->roster->member[slot]->fill, XDP_RING_NEED_WAKEUP);
	}
	/* Either a member sees the flag after it moved its index, or we see the index here. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (has_entries(&h->rx) || has_entries(&h->completion))
		return false;
	FOR_EACH_SLOT(slot, h->serving) {
		struct handoff_member *member = h->roster->member[slot];

		if ((sends && has_to_send(h, slot)) || (few && has_entries(&member->fill)))
			return false;
	}
	return true;
}

void handoff_awake(struct handoff *h)
{
	uint32_t slot;

	FOR_EACH_SLOT(slot, h->serving) {
		set_flags(&h->roster->member[slot]->tx, 0);
		set_flags(&h->roster->member[slot]->fill, 0);
	}
}

bool handoff_has_transmission(const struct handoff *h)
{
	uint32_t slot;

	if (!h->tx.size)
		return false;
	if (h->forwarded || h->stacked < h->frames - h->receive_frames)
		return true;
	FOR_EACH_SLOT(slot, h->serving)
		if (h->roster->member[slot]->tx.peer != h->roster->member[slot]->tx.own)
			return true;
	return false;
}

void handoff_abandon(struct handoff *h)
{
	const uint32_t count = xdpd_ring_available(&h->rx, h->rx.size);

	for (uint32_t i = 0; i < count; i++)
		enqueue(h, frame_of(h, xdpd_ring_desc(&h->rx, h->rx.own + i)->addr));
	h->with_kernel -= count;
	xdpd_ring_advance(&h->rx, count);
	add(&h->counters.packets, count);
	add(&h->counters.unclaimed, count);
}

void handoff_places(const struct handoff *h, uint32_t ret[XDPD_PLACE_COUNT])
{
	ret[XDPD_PLACE_KERNEL] = h->with_kernel;
	ret[XDPD_PLACE_TRANSMIT] = h->frames - h->receive_frames - h->stacked + h->forwarded;
	ret[XDPD_PLACE_FREE] = queued(h) + h->stacked;
	ret[XDPD_PLACE_LENT] = h->lent;
}

/* ---- life ---- */

/* Whoever runs before the first roster serves nobody. */
static const struct roster nobody;

static uint32_t power_of_two_from(uint32_t least)
{
	uint32_t power = 1;

	while (power < least)
		power *= 2;
	return power;
}

int handoff_init(struct handoff *ret, const struct handoff_memory *memory,
		 const struct xdpd_ring *rx, const struct xdpd_ring *fill,
		 const struct xdpd_ring *tx, const struct xdpd_ring *completion)
{
	const uint32_t received = memory->receive_frames;
	const uint32_t queue_size = power_of_two_from(received);
	struct handoff h = {
		.rx = *rx,
		.fill = *fill,
		.tx = *tx,
		.completion = *completion,
		.umem = memory->umem,
		.sequences = memory->sequences,
		.frame_size = memory->frame_size,
		.frame_shift = (uint32_t)__builtin_ctz(memory->frame_size),
		.frames = memory->frames,
		.receive_frames = received,
		.writable = memory->writable,
		.queue_mask = queue_size - 1,
		.with_kernel = memory->filled,
		.roster = &nobody,
		.stock_all = received < fill->size ? received : fill->size,
	};

	/* A quarter is never lent; with taps half of the frames stay out of the kernel's hands for a while. */
	h.lendable = received - received / 4;
	h.stock_with_taps = received / 2 < h.stock_all ? received / 2 : h.stock_all;
	h.stock = h.stock_all;
	h.holders = calloc(received, sizeof(*h.holders));
	h.senders = malloc(received);
	h.queue = calloc(queue_size, sizeof(*h.queue));
	h.stack = calloc(memory->frames - received + 1, sizeof(*h.stack));
	if (!h.holders || !h.senders || !h.queue || !h.stack) {
		handoff_clear(&h);
		return -ENOMEM;
	}
	memset(h.senders, HANDOFF_NOBODY, received);
	for (uint32_t frame = memory->filled; frame < received; frame++)
		enqueue(&h, frame);
	for (uint32_t frame = memory->frames; frame-- > received;)
		h.stack[h.stacked++] = frame;
	*ret = h;
	return 0;
}

void handoff_clear(struct handoff *h)
{
	free(h->holders);
	free(h->senders);
	free(h->queue);
	free(h->stack);
	*h = (struct handoff){.roster = &nobody};
}
