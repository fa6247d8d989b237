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

#define likely(condition)   __builtin_expect(!!(condition), 1)
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

static inline uint32_t at_most(uint32_t count, uint32_t limit)
{
	return count < limit ? count : limit;
}

/* Entries in a row, from the next one on. */
static inline uint32_t until_wrap(const struct xdpd_ring *ring)
{
	return ring->size - (ring->own & ring->mask);
}

/*
 * What a crash leaves is what was stored before it, in the order of the machine's instructions; so all that is needed
 * between two stores whose order matters is that the compiler keeps it.
 */
static inline void in_this_order(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void begin_step(struct handoff *h, enum handoff_step_kind kind)
{
	in_this_order();
	h->step.kind = kind;
	in_this_order();
}

static inline void end_step(struct handoff *h)
{
	in_this_order();
	h->step.kind = STEP_NONE;
	in_this_order();
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

/* The frame is said to be free before it ceases to be what it was: of both, that one counts. */
static inline void enqueue(struct handoff *h, uint32_t frame)
{
	h->free[frame] = 1;
	h->queue[h->queue_tail++ & h->queue_mask] = frame;
}

/* From here on the kernel may write into it: whoever reads it unasked has to find that out. */
static inline void outdate(struct handoff *h, uint32_t frame)
{
	__atomic_store_n(&h->sequences[frame], h->sequences[frame] + 1, __ATOMIC_RELAXED);
}

/* What the fill ring has got is not free any more. */
static void record_given(struct handoff *h)
{
	in_this_order();
	for (; h->recorded != h->fill.own; h->recorded++)
		h->free[frame_of(h, *xdpd_ring_address(&h->fill, h->recorded))] = 0;
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
	in_this_order();
	xdpd_ring_advance(&h->fill, count);
	record_given(h);
	h->with_kernel += count;
}

/* ---- what members give back ---- */

/* Frames that may still be lent. Those in transmission as they are come back to who holds them. */
static inline uint32_t left_to_lend(const struct handoff *h)
{
	const uint32_t out = h->lent + h->forwarded;

	return out < h->lendable ? h->lendable - out : 0;
}

/* An entry of another's ring: it may be written again while we look, so it is read once. */
static inline uint64_t read_address(const struct xdpd_ring *ring, uint32_t index)
{
	return __atomic_load_n(xdpd_ring_address(ring, index), __ATOMIC_RELAXED);
}

static void reject_return(struct handoff *h, uint32_t slot, enum violation violation)
{
	add(&h->roster->member[slot]->counters.invalid_returns, 1);
	violate(h, slot, violation);
}

static inline uint32_t received_mask(const struct handoff *h)
{
	return h->queue_mask;
}

static_assert(XDPD_RUN_MAX <= HANDOFF_BURST, "a run is taken in one step");

/* The member got these entries, and which frames they named is not overwritten yet. */
static inline bool is_run_of(const struct handoff *h, const struct handoff_member *member,
			     uint64_t entry)
{
	const uint32_t count = xdpd_run_count(entry);
	const uint32_t age = member->rx.own - xdpd_run_first(entry);

	return count - 1 < XDPD_RUN_MAX && count <= age && age <= received_mask(h) + 1;
}

/* As memcpy() would, without its start, which takes longer than a burst. */
static inline void copy_frames(uint32_t *to, const uint32_t *from, uint32_t count)
{
	typedef uint32_t four __attribute__((vector_size(16), aligned(4), may_alias));

	for (; count >= 4; count -= 4, to += 4, from += 4)
		*(four *)to = *(const four *)from;
	for (; count; count--)
		*to++ = *from++;
}

static inline void copy_run(const struct handoff *h, const struct handoff_member *member,
			    uint64_t entry, uint32_t *to)
{
	const uint32_t mask = received_mask(h), at = xdpd_run_first(entry) & mask;
	const uint32_t count = xdpd_run_count(entry), first = at_most(count, mask + 1 - at);

	copy_frames(to, member->received + at, first);
	copy_frames(to + first, member->received, count - first);
}

/* What was read of a member's fill ring: so many frames, which are in the step. */
struct returns {
	uint32_t entries, frames;
	enum violation violation; /* of the entry after them */
};

/* A burst, of at most so many entries; of none only if the first one is not valid. */
static struct returns read_returns(struct handoff *h, const struct handoff_member *member,
				   uint32_t entries)
{
	const uint32_t shift = h->frame_shift, end = h->receive_frames;
	uint32_t *const to = h->step.frames;
	struct returns ret = {.violation = VIOLATION_NONE};

	for (; ret.entries < entries && ret.frames < HANDOFF_BURST; ret.entries++) {
		const uint64_t entry = read_address(&member->fill, member->fill.own + ret.entries);

		if (xdpd_is_run(entry)) {
			if (unlikely(!is_run_of(h, member, entry))) {
				ret.violation = VIOLATION_RETURN_RUN;
				break;
			}
			if (xdpd_run_count(entry) > HANDOFF_BURST - ret.frames)
				break;
			copy_run(h, member, entry, to + ret.frames);
			ret.frames += xdpd_run_count(entry);
		} else {
			if (unlikely(entry >> shift >= end)) {
				ret.violation = VIOLATION_RETURN_FOREIGN;
				break;
			}
			to[ret.frames++] = (uint32_t)(entry >> shift);
		}
	}
	return ret;
}

/* The holders of all of them together; 0 if there is one that the member does not hold. */
static uint64_t find_holders(const struct handoff *h, uint32_t slot, uint32_t count)
{
	const uint64_t *const holders = h->holders;
	const uint32_t *const frames = h->step.frames;
	uint64_t each = SLOT(slot), any = 0;

	XDPD_UNROLL
	for (uint32_t i = 0; i < count; i++) {
		const uint64_t held = holders[frames[i]];

		each &= held;
		any |= held;
	}
	return each ? any : 0;
}

/*
 * Takes the member off the frames and writes their addresses. Returns false if one was named twice: the second time it
 * had gone.
 */
static bool clear_bits(struct handoff *h, uint32_t slot, uint64_t *to, uint32_t count)
{
	uint64_t *const holders = h->holders;
	const uint32_t *const frames = h->step.frames;
	const uint32_t shift = h->frame_shift;
	const uint64_t keep = ~SLOT(slot);
	uint64_t each = SLOT(slot);

	XDPD_UNROLL
	for (uint32_t i = 0; i < count; i++) {
		const uint64_t frame = frames[i], held = holders[frame];

		each &= held;
		holders[frame] = held & keep;
		to[i] = frame << shift;
	}
	return each;
}

static void set_bits(struct handoff *h, uint32_t slot, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		h->holders[h->step.frames[i]] |= SLOT(slot);
}

/* Drops the staged frames that others hold. Returns how many are left. */
static uint32_t keep_free(const struct handoff *h, uint64_t *staged, uint32_t count)
{
	uint32_t freed = 0;

	XDPD_UNROLL
	for (uint32_t i = 0; i < count; i++) {
		const uint64_t address = staged[i];

		/* Overwritten by the next unless nobody holds it. */
		staged[freed] = address;
		freed += !h->holders[address >> h->frame_shift];
	}
	return freed;
}

/*
 * Straight into the kernel's fill ring, which has room for all of them in a row. Returns false, and nothing has changed,
 * if not all are valid. Before one loses its last holder, the step says of all of them that it may be so, which is what
 * handoff_recover() goes by.
 */
static bool refill(struct handoff *h, uint32_t slot, uint32_t count)
{
	uint64_t *const to = xdpd_ring_address(&h->fill, h->fill.own);
	const uint64_t any = find_holders(h, slot, count);
	uint32_t freed = count;

	if (unlikely(!any))
		return false;
	in_this_order();
	h->step.held = 1;
	in_this_order();
	if (unlikely(!clear_bits(h, slot, to, count))) {
		set_bits(h, slot, count);
		return false;
	}
	if (any != SLOT(slot))
		freed = keep_free(h, to, count);
	in_this_order();
	xdpd_ring_advance(&h->fill, freed);
	h->recorded = h->fill.own;
	h->with_kernel += freed;
	h->lent -= freed;
	return true;
}

/*
 * Takes a bit off a frame that has it; with the last one the frame is free, unless it is in transmission as it is: that
 * ends later, and frees it then.
 */
static void take_bit(struct handoff *h, uint32_t slot, uint32_t frame)
{
	const uint64_t left = h->holders[frame] & ~SLOT(slot);

	if (!left && h->senders[frame] == HANDOFF_NOBODY) {
		enqueue(h, frame);
		h->lent--;
	}
	in_this_order();
	h->holders[frame] = left;
}

/* While a frame is in transmission as it is, its sender holds it. */
static inline bool can_take_back(const struct handoff *h, uint32_t slot, uint64_t frame)
{
	return frame < h->receive_frames && h->holders[frame] & SLOT(slot) &&
	       h->senders[frame] != slot;
}

/* The same onto the queue of free frames, up to the first one that is not valid; returns how many. */
static uint32_t set_free(struct handoff *h, uint32_t slot, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count && can_take_back(h, slot, h->step.frames[i]); i++)
		take_bit(h, slot, h->step.frames[i]);
	return i;
}

/* Nothing else is to be minded when a frame comes back: no tap, no frame in transmission as it is. */
static bool can_refill(struct handoff *h, uint32_t count)
{
	return !h->roster->taps && !h->forwarded && count <= until_wrap(&h->fill) &&
	       xdpd_ring_room(&h->fill, count) == count;
}

static void begin_collecting(struct handoff *h, uint32_t slot, const struct returns *returns)
{
	h->step.kernel = h->fill.own;
	h->step.slot = slot;
	h->step.member = h->roster->member[slot]->fill.own;
	h->step.count = returns->entries;
	h->step.named = returns->frames;
	h->step.held = 0;
	begin_step(h, STEP_COLLECT);
}

/*
 * A burst, of at most so many entries; returns how many it had. Of one with an invalid frame those before that are
 * taken, and the entries stay where they are, as nobody looks at them again.
 */
static uint32_t collect_some(struct handoff *h, uint32_t slot, uint32_t entries)
{
	struct handoff_member *member = h->roster->member[slot];
	const struct returns returns = read_returns(h, member, entries);
	const uint32_t count = returns.frames;
	uint32_t taken;

	begin_collecting(h, slot, &returns);
	taken = can_refill(h, count) && refill(h, slot, count) ? count : set_free(h, slot, count);
	set(&member->held, member->held - taken);
	add(&member->counters.returned, taken);
	if (unlikely(taken < count))
		reject_return(h, slot, VIOLATION_RETURN_NOT_HELD);
	else if (unlikely(returns.violation != VIOLATION_NONE))
		reject_return(h, slot, returns.violation);
	in_this_order();
	if (taken == count)
		xdpd_ring_advance(&member->fill, returns.entries);
	end_step(h);
	return returns.entries;
}

/* All at once: they come from another CPU's cache, and it takes as long for many as for one. */
static void prefetch_returns(const struct xdpd_ring *returns, uint32_t count)
{
	for (uint32_t i = 0; i < count; i += 64 / sizeof(uint64_t))
		__builtin_prefetch(xdpd_ring_address(returns, returns->own + i));
}

static uint32_t collect_from(struct handoff *h, uint32_t slot)
{
	struct xdpd_ring *returns = &h->roster->member[slot]->fill;
	const uint32_t count = xdpd_ring_available(returns, COLLECT_MAX);
	uint32_t total = 0;

	if (unlikely(!xdpd_consumer_peer_is_sane(returns))) {
		violate(h, slot, VIOLATION_FILL_INDEX);
		return 0;
	}
	prefetch_returns(returns, count);
	while (total < count && is_serving(h, slot))
		total += collect_some(h, slot, count - total);
	return total;
}

uint32_t handoff_collect(struct handoff *h)
{
	uint32_t total = 0, slot;

	FOR_EACH_SLOT(slot, h->serving & ~h->roster->taps)
		total += collect_from(h, slot);
	return total;
}

/*
 * What the member gave back can wait for more, as it holds little of what it may, a burst fits all the same, and most frames
 * are in nobody's hands.
 * Each look at its index takes a cache line from under its writes, so there is one for some hundred frames, not for each
 * burst.
 */
static bool can_wait(const struct handoff *h, uint32_t slot)
{
	const struct handoff_member *member = h->roster->member[slot];
	const uint32_t quota = __atomic_load_n(&member->quota, __ATOMIC_RELAXED);
	const uint32_t left = left_to_lend(h);
	const uint32_t most = at_most(quota, left);

	return left >= h->lendable / 2 && member->held < most / 4 &&
	       most - member->held >= HANDOFF_BURST;
}

/* In a round that has frames to receive: what others may lack. */
static uint32_t collect_due(struct handoff *h)
{
	uint32_t total = 0, slot;

	FOR_EACH_SLOT(slot, h->serving & ~h->roster->taps)
		if (!can_wait(h, slot))
			total += collect_from(h, slot);
	return total;
}

/* ---- what the kernel received ---- */

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

static void put(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

/* Moves this side's index to where it shall be, which it may be already. */
static void move_to(struct xdpd_ring *ring, uint32_t index)
{
	xdpd_ring_advance(ring, index - ring->own);
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
 * which they are: the producer was published before [the fence in lend_burst()].
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
static void lend_burst(struct handoff *h)
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
	lend_burst(h);
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
	note_sleepers(h, h->step.slots);
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
	if (!outlet->staged) {
		h->step.kernel = h->tx.own;
		h->step.count = 0;
		h->step.slots = 0;
		begin_step(h, STEP_PREPARE);
	}
	h->step.frames[outlet->staged] = frame_of(h, address);
	*xdpd_ring_desc(&h->tx, h->tx.own + outlet->staged++) =
		(struct xdp_desc){.addr = address, .len = length};
	in_this_order();
	h->step.count = outlet->staged;
	in_this_order();
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
	put_on_wire(h, outlet, desc->addr, desc->len);
	h->senders[frame_of(h, desc->addr)] = (uint8_t)slot;
	h->lent--;
	h->forwarded++;
	h->roster->member[slot]->next.in_flight++;
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

	member->next.in_flight = member->in_flight;
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
	member->next.tx = member->tx.own + taken;
	member->next.completion = member->completion.own + completed;
	member->next.transmit_packets = member->counters.transmit_packets + taken;
	member->next.transmit_bytes = member->counters.transmit_bytes + bytes;
	h->step.slots |= SLOT(slot);
	/* The round's burst is over, not the turn of a member that has more. */
	if (taken == count && !outlet->room && xdpd_ring_available(&member->tx, taken + 1) > taken)
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

static void take_from_senders(struct handoff *h)
{
	uint32_t slot;

	FOR_EACH_SLOT(slot, h->step.slots) {
		struct handoff_member *member = h->roster->member[slot];
		const struct handoff_next *next = &member->next;

		member->in_flight = next->in_flight;
		move_to(&member->tx, next->tx);
		move_to(&member->completion, next->completion);
		put(&member->counters.transmit_packets, next->transmit_packets);
		put(&member->counters.transmit_bytes, next->transmit_bytes);
	}
	put(&h->counters.transmit_packets, h->step.counters.transmit_packets);
	put(&h->counters.transmit_bytes, h->step.counters.transmit_bytes);
}

/* What was prepared: the packets are the kernel's and the senders' entries are taken. */
static void take_transmit_step(struct handoff *h)
{
	const struct handoff_step *step = &h->step;

	move_to(&h->tx, step->kernel + step->count);
	for (uint32_t i = 0; i < step->count; i++)
		h->free[step->frames[i]] = 0;
	take_from_senders(h);
}

/*
 * Deficit round robin: each turn adds TURN_BYTES to what a member may send. Some of what it could not use, as when the
 * next packet was longer, it keeps; what it had no packets for is lost. Where the kernel has no more room, the next
 * round goes on with the turn that was interrupted, so all get the same share of bytes however slow the device is.
 */
uint32_t handoff_transmit(struct handoff *h)
{
	const uint64_t first_half = ~(SLOT(h->turn) - 1);
	struct outlet outlet = {};
	uint32_t total = 0, slot;

	if (!h->tx.size)
		return 0;
	for (int half = 0; half < 2; half++) {
		FOR_EACH_SLOT(slot, h->serving & (half ? ~first_half : first_half)) {
			uint32_t taken = take_turn(h, &outlet, slot);

			total += taken;
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
	h->step.counters.transmit_packets = h->counters.transmit_packets + outlet.staged;
	h->step.counters.transmit_bytes = h->counters.transmit_bytes + outlet.bytes;
	begin_step(h, STEP_TRANSMIT);
	take_transmit_step(h);
	end_step(h);
	note_sleepers(h, h->step.slots);
	return total;
}

/* ---- what the kernel has sent ---- */

/* Writes down that a frame comes back to who sent it as it is; who has left gets nothing. */
static void prepare_completion(struct handoff *h, uint32_t frame, uint64_t address)
{
	const uint8_t slot = h->senders[frame];
	struct handoff_member *member;
	uint32_t staged;

	if (slot >= ROSTER_MEMBERS || !is_serving(h, slot))
		return;
	member = h->roster->member[slot];
	if (!(h->step.slots & SLOT(slot))) {
		h->step.slots |= SLOT(slot);
		member->next.completion = member->completion.own;
		member->next.in_flight = member->in_flight;
	}
	member->next.in_flight--;
	/* There was room for it when it was taken, unless the member moved its index back. */
	staged = member->next.completion - member->completion.own;
	if (xdpd_ring_room(&member->completion, staged + 1) <= staged ||
	    !xdpd_producer_peer_is_sane(&member->completion))
		return;
	*xdpd_ring_address(&member->completion, member->next.completion++) = address;
}

/* Others may hold it still, or may have given it back meanwhile. */
static void end_transmission(struct handoff *h, uint32_t frame)
{
	if (h->senders[frame] == HANDOFF_NOBODY)
		return;
	if (h->holders[frame])
		h->lent++;
	else
		enqueue(h, frame);
	in_this_order();
	h->senders[frame] = HANDOFF_NOBODY;
	h->forwarded--;
}

/* A frame that was copied to; free already, if the step is taken once more. */
static void stack_frame(struct handoff *h, uint32_t frame)
{
	if (h->free[frame])
		return;
	h->stack[h->stacked++] = frame;
	h->free[frame] = 1;
}

static void tell_senders(struct handoff *h)
{
	uint32_t slot;

	FOR_EACH_SLOT(slot, h->step.slots) {
		struct handoff_member *member = h->roster->member[slot];

		member->in_flight = member->next.in_flight;
		move_to(&member->completion, member->next.completion);
	}
}

/* Taken once more, what has ended does not end again. */
static void end_transmissions(struct handoff *h)
{
	const struct handoff_step *step = &h->step;

	for (uint32_t i = 0; i < step->count; i++) {
		if (step->frames[i] >= h->receive_frames)
			stack_frame(h, step->frames[i]);
		else
			end_transmission(h, step->frames[i]);
	}
	tell_senders(h);
}

static void take_complete_step(struct handoff *h)
{
	end_transmissions(h);
	move_to(&h->completion, h->step.kernel + h->step.count);
}

uint32_t handoff_complete(struct handoff *h)
{
	uint32_t count;

	if (!h->completion.size)
		return 0;
	count = xdpd_ring_available(&h->completion, HANDOFF_BURST);
	if (!count)
		return 0;
	h->step.kernel = h->completion.own;
	h->step.count = count;
	h->step.slots = 0;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t address = *xdpd_ring_address(&h->completion, h->completion.own + i);
		uint32_t frame = frame_of(h, address);

		h->step.frames[i] = frame;
		if (frame < h->receive_frames)
			prepare_completion(h, frame, address);
	}
	begin_step(h, STEP_COMPLETE);
	take_complete_step(h);
	end_step(h);
	if (h->step.slots)
		note_sleepers(h, h->step.slots);
	return count;
}

/* ---- rosters ---- */

/* Whoever runs before the first roster serves nobody. */
static const struct roster nobody;

static void take_all_back(struct handoff *h, uint32_t slot)
{
	for (uint32_t frame = 0; frame < h->receive_frames; frame++) {
		if (h->senders[frame] == slot)
			h->senders[frame] = HANDOFF_ORPHAN;
		if (h->holders[frame] & SLOT(slot))
			take_bit(h, slot, frame);
	}
}

/* What the loop may have owed them when it died: to wake them, to tell of them, not to be woken itself. */
static void greet(struct handoff *h)
{
	uint32_t slot;

	note_sleepers(h, h->serving);
	FOR_EACH_SLOT(slot, h->roster->members)
		if (h->roster->member[slot]->violation != VIOLATION_NONE)
			h->violated |= SLOT(slot);
	handoff_awake(h);
}

/* Groups whose frames do not all go to the same member. */
static uint32_t find_balanced(const struct roster *roster)
{
	uint32_t balanced = 0;

	for (uint32_t groups = roster->groups; groups; groups &= groups - 1) {
		const uint32_t group = (uint32_t)__builtin_ctz(groups);
		const uint8_t *choice = roster->choice[group];

		if (memcmp(choice, choice + 1, ROSTER_BUCKETS - 1))
			balanced |= 1u << group;
	}
	return balanced;
}

void handoff_adopt(struct handoff *h, const struct roster *roster)
{
	const struct roster *before = h->roster;
	uint64_t stay = 0;

	h->serving = 0;
	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++) {
		struct handoff_member *member = roster->member[slot];

		if (before->member[slot] && before->member[slot] != member)
			take_all_back(h, slot);
		if (before->member[slot] == member)
			stay |= SLOT(slot);
		if (member && member->violation == VIOLATION_NONE)
			h->serving |= SLOT(slot);
		/* From here on the column is its own, not of who had the slot before. */
		in_this_order();
		if (member)
			member->joined = 1;
	}
	/* What was to be said of who had a slot before is not said of who has it now. */
	h->wake &= stay & roster->members;
	h->violated &= stay & roster->members;
	if (!(stay & SLOT(h->turn)))
		h->interrupted = false;
	h->stock = roster->taps ? h->stock_with_taps : h->stock_all;
	h->unmarked = roster->unmarked;
	h->balanced = find_balanced(roster);
	h->roster = roster;
	if (before == &nobody)
		greet(h);
}

/* ---- all of it ---- */

static bool has_entries(struct xdpd_ring *ring)
{
	return ring->size && xdpd_ring_available(ring, 1);
}

uint32_t handoff_run(struct handoff *h)
{
	uint32_t moved = has_entries(&h->rx) ? collect_due(h) : handoff_collect(h);

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

static uint32_t power_of_two_from(uint32_t least)
{
	uint32_t power = 1;

	while (power < least)
		power *= 2;
	return power;
}

size_t handoff_received_size(uint32_t receive_frames)
{
	return (power_of_two_from(receive_frames) * sizeof(uint32_t) + 63) / 64 * 64;
}

/* By frame: who holds it, whether it is free, who sends it; the queue and the stack. */
size_t handoff_arrays_size(const struct handoff_memory *memory)
{
	const size_t received = memory->receive_frames, frames = memory->frames;
	const size_t size = received * sizeof(uint64_t) +
			    power_of_two_from(memory->receive_frames) * sizeof(uint32_t) +
			    (frames - received + 1) * sizeof(uint32_t) + frames + received;

	return (size + 63) / 64 * 64;
}

static void place_arrays(struct handoff *h, void *arrays)
{
	const uint32_t queue_size = power_of_two_from(h->receive_frames);

	h->holders = arrays;
	h->queue = (uint32_t *)(h->holders + h->receive_frames);
	h->queue_mask = queue_size - 1;
	h->stack = h->queue + queue_size;
	h->free = (uint8_t *)(h->stack + (h->frames - h->receive_frames) + 1);
	h->senders = h->free + h->frames;
}

static struct handoff describe(const struct handoff_memory *memory, const struct xdpd_ring *rx,
			       const struct xdpd_ring *fill, const struct xdpd_ring *tx,
			       const struct xdpd_ring *completion)
{
	const uint32_t received = memory->receive_frames;
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
		.roster = &nobody,
		.stock_all = received < fill->size ? received : fill->size,
		.recorded = fill->own,
	};

	/* A quarter is never lent; with taps half of the frames stay out of the kernel's hands for a while. */
	h.lendable = received - received / 4;
	h.stock_with_taps = received / 2 < h.stock_all ? received / 2 : h.stock_all;
	h.stock = h.stock_all;
	return h;
}

int handoff_init(struct handoff *ret, const struct handoff_memory *memory,
		 const struct xdpd_ring *rx, const struct xdpd_ring *fill,
		 const struct xdpd_ring *tx, const struct xdpd_ring *completion)
{
	struct handoff h = describe(memory, rx, fill, tx, completion);

	if (!memory->arrays) {
		h.arrays = calloc(1, handoff_arrays_size(memory));
		if (!h.arrays)
			return -ENOMEM;
	}
	place_arrays(&h, memory->arrays ? memory->arrays : h.arrays);
	memset(h.senders, HANDOFF_NOBODY, h.receive_frames);
	h.with_kernel = memory->filled;
	for (uint32_t frame = memory->filled; frame < h.receive_frames; frame++)
		enqueue(&h, frame);
	for (uint32_t frame = memory->frames; frame-- > h.receive_frames;)
		stack_frame(&h, frame);
	/* Whoever takes it up sees it whole or not at all. */
	h.frames = 0;
	*ret = h;
	in_this_order();
	ret->frames = memory->frames;
	return 0;
}

void handoff_clear(struct handoff *h)
{
	free(h->arrays);
	*h = (struct handoff){.roster = &nobody};
}

/* ---- after a crash ---- */

void handoff_rejoin(struct xdpd_ring *ring, const struct xdpd_ring *joined)
{
	ring->peer = joined->peer;
	ring->mask = joined->mask;
	ring->size = joined->size;
	ring->entries = joined->entries;
	ring->shared_own = joined->shared_own;
	ring->shared_peer = joined->shared_peer;
	ring->flags = joined->flags;
}

/* Whether there is anything to go on with, and a step that is one. What is left of a step that is done may be anything. */
static bool is_plausible(const struct handoff *h, const struct handoff_memory *memory)
{
	const struct handoff_step *step = &h->step;

	if (h->frames != memory->frames || h->receive_frames != memory->receive_frames ||
	    h->frame_size != memory->frame_size)
		return false;
	switch (step->kind) {
	case STEP_NONE:
		return true;
	case STEP_RECEIVE:
		return step->count <= HANDOFF_BURST && step->least <= step->count;
	case STEP_COLLECT:
		return step->count <= HANDOFF_BURST && step->named <= HANDOFF_BURST &&
		       step->slot < ROSTER_MEMBERS;
	case STEP_PREPARE:
	case STEP_TRANSMIT:
	case STEP_COMPLETE:
		return step->count <= HANDOFF_BURST;
	default:
		return false;
	}
}

/* What we published is ours; between the two lies at most what the other side can have put there. */
static bool can_go_on(const struct xdpd_ring *ring, uint32_t own, bool consumes)
{
	const uint32_t moved = own - ring->own;

	if (!ring->size)
		return true;
	return consumes ? ring->peer - ring->own <= ring->size && moved <= ring->peer - ring->own
			: moved <= ring->size && own - ring->peer <= ring->size;
}

/* Takes the kernel's rings up where they were left. */
static bool go_on_in_rings(struct handoff *now, const struct handoff *before)
{
	if (!can_go_on(&now->rx, before->rx.own, true) ||
	    !can_go_on(&now->fill, before->fill.own, false) ||
	    !can_go_on(&now->tx, before->tx.own, false) ||
	    !can_go_on(&now->completion, before->completion.own, true))
		return false;
	now->rx.own = before->rx.own;
	now->fill.own = before->fill.own;
	now->tx.own = before->tx.own;
	now->completion.own = before->completion.own;
	now->recorded = before->recorded;
	return true;
}

/* Frames for reception at `count` indices of the fill ring, from `from` on. */
static bool are_frames(const struct handoff *h, uint32_t from, uint32_t count)
{
	if (count > h->fill.size)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (*xdpd_ring_address(&h->fill, from + i) >> h->frame_shift >= h->receive_frames)
			return false;
	return true;
}

/* Whether our index is where the step began, or where it ends. */
static bool is_where(const struct handoff_step *step, uint32_t own)
{
	return own == step->kernel || own == step->kernel + step->count;
}

static bool names_frames(const struct handoff *h, uint32_t count, uint32_t end)
{
	for (uint32_t i = 0; i < count; i++)
		if (h->step.frames[i] >= end)
			return false;
	return true;
}

/* The entries were the kernel's when the step began, and are until it ends. */
static bool is_received(const struct handoff *h)
{
	const struct handoff_step *step = &h->step;

	if (h->rx.own != step->kernel)
		return true;
	if (step->count > h->rx.peer - h->rx.own)
		return false;
	for (uint32_t i = 0; i < step->count; i++)
		if (xdpd_ring_desc(&h->rx, step->kernel + i)->addr >> h->frame_shift !=
		    step->frames[i])
			return false;
	return true;
}

static bool is_ahead(const struct xdpd_ring *ring, uint32_t next, uint32_t limit)
{
	return ring->size && next - ring->own <= limit;
}

/* No index of a member moves further than a burst. */
static bool members_are_ahead(const struct handoff *h)
{
	uint32_t slot;

	FOR_EACH_SLOT(slot, h->step.slots) {
		const struct handoff_member *member = h->roster->member[slot];
		const struct handoff_next *next = &member->next;
		const bool receives = h->step.kind == STEP_RECEIVE;

		if (receives && !is_ahead(&member->rx, next->rx, h->step.count))
			return false;
		if (h->step.kind == STEP_TRANSMIT &&
		    !is_ahead(&member->tx, next->tx, h->step.count))
			return false;
		if (!receives && !is_ahead(&member->completion, next->completion, h->step.count))
			return false;
	}
	return true;
}

/* Whether the step is about what is there. Of a new socket's rings it never is. */
static bool step_is_sound(const struct handoff *h, bool fresh)
{
	const struct handoff_step *step = &h->step;

	switch (step->kind) {
	case STEP_RECEIVE:
		return names_frames(h, step->count, h->receive_frames) && members_are_ahead(h) &&
		       (fresh || (is_where(step, h->rx.own) && is_received(h)));
	case STEP_COLLECT:
		return names_frames(h, step->named, h->receive_frames);
	case STEP_PREPARE:
		return names_frames(h, step->count, h->frames) &&
		       (fresh || (h->tx.size && h->tx.own == step->kernel));
	case STEP_TRANSMIT:
		return names_frames(h, step->count, h->frames) && members_are_ahead(h) &&
		       (fresh || (h->tx.size && is_where(step, h->tx.own) &&
				  step->kernel + step->count - h->tx.peer <= h->tx.size));
	case STEP_COMPLETE:
		return names_frames(h, step->count, h->frames) && members_are_ahead(h) &&
		       (fresh || (h->completion.size && is_where(step, h->completion.own) &&
				  step->kernel + step->count - h->completion.own <=
					  h->completion.peer - h->completion.own));
	default:
		return true;
	}
}

/* Not published in the fill ring: what has no holder any more is in no ring and with nobody. */
static void free_returned(struct handoff *h)
{
	if (h->fill.own != h->step.kernel || !h->step.held)
		return;
	for (uint32_t i = 0; i < h->step.named; i++)
		if (!h->holders[h->step.frames[i]])
			h->free[h->step.frames[i]] = 1;
}

/* Some of the frames were taken: what the member does not hold any more is no lie of its. */
static void collect_rest(struct handoff *h)
{
	const struct handoff_step *step = &h->step;
	struct handoff_member *member = h->roster->member[step->slot];

	if (!member || !member->fill.size || member->fill.own != step->member)
		return;
	for (uint32_t i = 0; i < step->named; i++)
		if (can_take_back(h, step->slot, step->frames[i]))
			take_bit(h, step->slot, step->frames[i]);
	in_this_order();
	move_to(&member->fill, step->member + step->count);
}

/* The packets are not sent; who wanted that finds its entries where they were. */
static void undo_preparing(struct handoff *h)
{
	for (uint32_t i = 0; i < h->step.count; i++)
		if (h->step.frames[i] < h->receive_frames)
			h->senders[h->step.frames[i]] = HANDOFF_NOBODY;
}

/* Of a new socket's rings nothing is moved. */
static void finish_step(struct handoff *h, bool fresh)
{
	switch (h->step.kind) {
	case STEP_RECEIVE:
		lend_burst(h);
		if (!fresh)
			move_to(&h->rx, h->step.kernel + h->step.count);
		break;
	case STEP_COLLECT:
		if (!fresh)
			free_returned(h);
		collect_rest(h);
		break;
	case STEP_PREPARE:
		undo_preparing(h);
		break;
	case STEP_TRANSMIT:
		if (fresh)
			take_from_senders(h);
		else
			take_transmit_step(h);
		break;
	case STEP_COMPLETE:
		if (fresh)
			end_transmissions(h);
		else
			take_complete_step(h);
		break;
	default:
		break;
	}
	end_step(h);
}

/* Between the moving of our index and its publishing the process may have ended. */
static void publish_index(const struct xdpd_ring *ring)
{
	if (ring->size)
		__atomic_store_n(ring->shared_own, ring->own, __ATOMIC_RELEASE);
}

static void publish_indices(const struct handoff *h, uint64_t slots)
{
	uint32_t slot;

	publish_index(&h->rx);
	publish_index(&h->fill);
	publish_index(&h->tx);
	publish_index(&h->completion);
	FOR_EACH_SLOT(slot, slots) {
		const struct handoff_member *member = h->roster->member[slot];

		publish_index(&member->rx);
		publish_index(&member->fill);
		publish_index(&member->tx);
		publish_index(&member->completion);
	}
}

/* Only who holds a frame sends it as it is. */
static bool is_sender(const struct handoff *h, uint32_t slot, uint32_t frame, uint64_t stay)
{
	return slot < ROSTER_MEMBERS && stay & SLOT(slot) && h->holders[frame] & SLOT(slot) &&
	       h->roster->member[slot]->completion.size;
}

/* Who has left holds nothing; what it sent as it is, nobody did. A frame is free before its last holder is forgotten. */
static void forget_leavers(struct handoff *h, uint64_t stay)
{
	uint64_t can_hold = 0;
	uint32_t slot;

	FOR_EACH_SLOT(slot, stay)
		if (h->roster->member[slot]->fill.size)
			can_hold |= SLOT(slot);
	for (uint32_t frame = 0; frame < h->receive_frames; frame++) {
		const uint64_t held = h->holders[frame], left = held & can_hold;
		const uint8_t sender = h->senders[frame];

		if (sender != HANDOFF_NOBODY && !is_sender(h, sender, frame, stay))
			h->senders[frame] = HANDOFF_ORPHAN;
		if (held && !left)
			h->free[frame] = 1;
		in_this_order();
		h->holders[frame] = left;
	}
}

/* Frames in transmission as they are, from `from` on: a burst of them is completed. Returns where to go on. */
static uint32_t complete_some(struct handoff *h, uint32_t from)
{
	uint32_t frame = from;

	h->step.count = 0;
	h->step.slots = 0;
	for (; frame < h->receive_frames && h->step.count < HANDOFF_BURST; frame++) {
		if (h->senders[frame] == HANDOFF_NOBODY)
			continue;
		prepare_completion(h, frame, (uint64_t)frame << h->frame_shift);
		h->step.frames[h->step.count++] = frame;
	}
	begin_step(h, STEP_COMPLETE);
	end_transmissions(h);
	end_step(h);
	return frame;
}

/* A new socket has none of the frames that the old one had. */
static void take_from_kernel(struct handoff *h)
{
	for (uint32_t frame = 0; frame < h->receive_frames;)
		frame = complete_some(h, frame);
	for (uint32_t frame = 0; frame < h->frames; frame++)
		if (frame >= h->receive_frames || !h->holders[frame])
			h->free[frame] = 1;
}

/* By elimination, from what each frame says of itself. Of several, the first of these counts. */
static void count_frames(struct handoff *h)
{
	h->queue_head = h->queue_tail = h->stacked = 0;
	h->lent = h->forwarded = h->with_kernel = 0;
	for (uint32_t frame = 0; frame < h->receive_frames; frame++) {
		const bool sent = h->senders[frame] != HANDOFF_NOBODY;

		if (h->holders[frame] || sent)
			h->free[frame] = 0;
		if (sent)
			h->forwarded++;
		else if (h->holders[frame])
			h->lent++;
		else if (h->free[frame])
			enqueue(h, frame);
		else
			h->with_kernel++;
	}
	for (uint32_t frame = h->frames; frame-- > h->receive_frames;)
		if (h->free[frame])
			h->stack[h->stacked++] = frame;
}

/* By the ledger, the frame is the kernel's to receive into. */
static bool is_with_kernel(const struct handoff *h, uint64_t address)
{
	const uint64_t frame = address >> h->frame_shift;

	return frame < h->receive_frames && !h->holders[frame] && !h->free[frame] &&
	       h->senders[frame] == HANDOFF_NOBODY;
}

static bool is_in_transmission(const struct handoff *h, uint64_t address)
{
	const uint64_t frame = address >> h->frame_shift;

	return frame < h->receive_frames ? h->senders[frame] != HANDOFF_NOBODY
					 : frame < h->frames && !h->free[frame];
}

/*
 * What lies in the rings is the kernel's, by the ledger too. The kernel goes on meanwhile, so what has been seen in one
 * ring may be in the next one already.
 */
static bool agrees_with_rings(const struct handoff *h)
{
	const uint32_t received = h->rx.peer - h->rx.own, filled = h->fill.own - h->fill.peer;
	const uint32_t sent = h->tx.own - h->tx.peer;
	const uint32_t completed = h->completion.peer - h->completion.own;

	if (received > h->rx.size || filled > h->fill.size || received > h->with_kernel ||
	    filled > h->with_kernel || sent > h->tx.size || completed > h->completion.size)
		return false;
	for (uint32_t i = 0; i < received; i++)
		if (!is_with_kernel(h, xdpd_ring_desc(&h->rx, h->rx.own + i)->addr))
			return false;
	for (uint32_t i = 0; i < filled; i++)
		if (!is_with_kernel(h, *xdpd_ring_address(&h->fill, h->fill.peer + i)))
			return false;
	for (uint32_t i = 0; i < sent; i++)
		if (!is_in_transmission(h, xdpd_ring_desc(&h->tx, h->tx.peer + i)->addr))
			return false;
	for (uint32_t i = 0; i < completed; i++)
		if (!is_in_transmission(h,
					*xdpd_ring_address(&h->completion, h->completion.own + i)))
			return false;
	return !h->forwarded || h->completion.size;
}

/* What it got and does not hold any more, it gave back. */
static void count_held(struct handoff *h, uint32_t slot)
{
	struct handoff_member *member = h->roster->member[slot];
	uint32_t held = 0, in_flight = 0;

	for (uint32_t frame = 0; frame < h->receive_frames; frame++) {
		held += (h->holders[frame] & SLOT(slot)) != 0;
		in_flight += h->senders[frame] == slot;
	}
	set(&member->held, held);
	member->in_flight = in_flight;
	if (member->fill.size)
		put(&member->counters.returned, member->counters.receive_packets - held);
}

/* What runs name are frames. */
static bool received_is_sound(const struct handoff *h, const struct handoff_member *member)
{
	bool sound = true;

	for (uint32_t i = 0; i <= received_mask(h) && member->fill.size; i++)
		sound &= member->received[i] < h->receive_frames;
	return sound;
}

/* Those of them whose column is their own. The others begin: that they hold nothing need not be found. */
static uint64_t find_joined(const struct roster *stayers)
{
	uint64_t joined = 0;
	uint32_t slot;

	FOR_EACH_SLOT(slot, stayers->members) {
		struct handoff_member *member = stayers->member[slot];

		if (!member)
			continue;
		if (member->joined)
			joined |= SLOT(slot);
		else
			member->held = member->in_flight = 0;
	}
	return joined;
}

int handoff_recover(struct handoff *h, const struct handoff_memory *memory,
		    const struct xdpd_ring *rx, const struct xdpd_ring *fill,
		    const struct xdpd_ring *tx, const struct xdpd_ring *completion, bool fresh,
		    struct handoff_member *const members[ROSTER_MEMBERS], uint64_t stay)
{
	struct roster stayers; /* for its members alone */
	struct handoff now = describe(memory, rx, fill, tx, completion);
	uint32_t slot;

	if (!memory->arrays || !is_plausible(h, memory))
		return -EBADMSG;
	stayers.members = stay;
	memcpy(stayers.member, members, sizeof(stayers.member));
	stay = find_joined(&stayers);
	now.roster = &stayers;
	now.serving = stay;
	now.turn = h->turn % ROSTER_MEMBERS;
	now.stock = 0;
	now.counters = h->counters;
	now.step = h->step;
	now.step.slots &= stay;
	now.before_socket = h->before_socket;
	now.unmarked = h->unmarked & stay;
	if (now.step.kind == STEP_COLLECT && !(stay & SLOT(now.step.slot)))
		stayers.member[now.step.slot] = NULL;
	place_arrays(&now, memory->arrays);
	if ((!fresh && !go_on_in_rings(&now, h)) || !step_is_sound(&now, fresh) ||
	    !are_frames(&now, now.recorded, now.fill.own - now.recorded))
		return -EBADMSG;
	FOR_EACH_SLOT(slot, stay)
		if (!received_is_sound(&now, members[slot]))
			return -EBADMSG;
	/* Nothing of what was written down is another value from here to the end of the step. */
	*h = now;
	publish_indices(h, stay);
	finish_step(h, fresh);
	record_given(h);
	forget_leavers(h, stay);
	if (fresh)
		take_from_kernel(h);
	count_frames(h);
	FOR_EACH_SLOT(slot, stay)
		count_held(h, slot);
	h->roster = &nobody;
	h->serving = 0;
	return agrees_with_rings(h) ? 0 : -EBADMSG;
}
