// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/handoff_parts.h"

/* Frames that are taken back from a member in one round, or a burst more, so that a flood keeps nobody else waiting. */
#define COLLECT_MAX 256

/* An entry of another's ring: it may be written again while we look, so it is read once. */
static inline uint64_t read_address(const struct xdpd_ring *ring, uint32_t index)
{
	return __atomic_load_n(xdpd_ring_address(ring, index), __ATOMIC_RELAXED);
}

static void reject_return(struct handoff *h, uint32_t slot, enum violation violation)
{
	add(&h->roster->member[slot]->counters.invalid_returns, 1);
	handoff_violate(h, slot, violation);
}

static_assert(XDPD_RUN_MAX <= HANDOFF_BURST, "a run is taken in one step");

/* The member itself got these entries, and which frames they named is not overwritten yet. */
static inline bool is_run_of(const struct handoff *h, const struct handoff_member *member,
			     uint64_t entry)
{
	const uint32_t count = xdpd_run_count(entry);
	const uint32_t age = member->rx.own - xdpd_run_first(entry);

	return count - 1 < XDPD_RUN_MAX && count <= age && age <= received_mask(h) + 1 &&
	       age <= member->counters.receive_packets;
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

/* So many entries in a row that are addresses of frames; false if one of them is something else. */
static bool read_addresses(const struct handoff *h, const uint64_t *from, uint32_t count,
			   uint32_t *to)
{
	const uint32_t shift = h->frame_shift;
	uint64_t greatest = 0;

	XDPD_UNROLL
	for (uint32_t i = 0; i < count; i++) {
		const uint64_t frame = __atomic_load_n(&from[i], __ATOMIC_RELAXED) >> shift;

		greatest = frame > greatest ? frame : greatest;
		to[i] = (uint32_t)frame;
	}
	return greatest < h->receive_frames;
}

/* One entry, if there is room for what it gives back; false if not, or if it is not valid. */
static bool read_entry(struct handoff *h, const struct handoff_member *member, uint64_t entry,
		       struct returns *returns)
{
	uint32_t *const to = h->step.frames + returns->frames;
	const uint64_t frame = entry >> h->frame_shift;

	if (xdpd_is_run(entry)) {
		if (unlikely(!is_run_of(h, member, entry))) {
			returns->violation = VIOLATION_RETURN_RUN;
			return false;
		}
		if (xdpd_run_count(entry) > HANDOFF_BURST - returns->frames)
			return false;
		copy_run(h, member, entry, to);
		returns->frames += xdpd_run_count(entry);
	} else {
		if (unlikely(frame >= h->receive_frames)) {
			returns->violation = VIOLATION_RETURN_FOREIGN;
			return false;
		}
		*to = (uint32_t)frame;
		returns->frames++;
	}
	returns->entries++;
	return true;
}

/*
 * A burst, of at most so many entries; of none only if the first one is not valid. Most members give back by runs alone,
 * or by addresses alone.
 */
static struct returns read_returns(struct handoff *h, const struct handoff_member *member,
				   uint32_t entries)
{
	const struct xdpd_ring *ring = &member->fill;
	const uint32_t in_a_row = at_most(at_most(entries, HANDOFF_BURST), until_wrap(ring));
	struct returns ret = {.violation = VIOLATION_NONE};

	if (!xdpd_is_run(read_address(ring, ring->own)) &&
	    read_addresses(h, xdpd_ring_address(ring, ring->own), in_a_row, h->step.frames)) {
		ret.entries = ret.frames = in_a_row;
		return ret;
	}
	while (ret.entries < entries && ret.frames < HANDOFF_BURST &&
	       read_entry(h, member, read_address(ring, ring->own + ret.entries), &ret))
		;
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
 * A burst, of at most so many entries; returns what it had. Of one with an invalid frame those before that are taken, and
 * the entries stay where they are, as nobody looks at them again.
 */
static struct returns collect_some(struct handoff *h, uint32_t slot, uint32_t entries)
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
	return returns;
}

/* All at once: they come from another CPU's cache, and it takes as long for many as for one. */
static void prefetch_returns(const struct xdpd_ring *returns, uint32_t count)
{
	for (uint32_t i = 0; i < count; i += 64 / sizeof(uint64_t))
		__builtin_prefetch(xdpd_ring_address(returns, returns->own + i));
}

/* Returns how many frames came back. */
static uint32_t collect_from(struct handoff *h, uint32_t slot)
{
	struct xdpd_ring *ring = &h->roster->member[slot]->fill;
	uint32_t entries = xdpd_ring_available(ring, COLLECT_MAX), frames = 0;

	if (unlikely(!xdpd_consumer_peer_is_sane(ring))) {
		handoff_violate(h, slot, VIOLATION_FILL_INDEX);
		return 0;
	}
	prefetch_returns(ring, entries);
	while (entries && frames < COLLECT_MAX && is_serving(h, slot)) {
		const struct returns returns = collect_some(h, slot, entries);

		entries -= returns.entries;
		frames += returns.frames;
	}
	return frames;
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

uint32_t handoff_collect_due(struct handoff *h)
{
	uint32_t total = 0, slot;

	FOR_EACH_SLOT(slot, h->serving & ~h->roster->taps)
		if (!can_wait(h, slot))
			total += collect_from(h, slot);
	return total;
}
