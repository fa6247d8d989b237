// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/handoff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/handoff_parts.h"

void handoff_violate(struct handoff *h, uint32_t slot, enum violation violation)
{
	__atomic_store_n(&h->roster->member[slot]->violation, violation, __ATOMIC_RELAXED);
	h->serving &= ~SLOT(slot);
	h->violated |= SLOT(slot);
}

/* The full barrier is as in xdpd_ring_needs_wakeup(), once for all of them. */
void handoff_note_sleepers(struct handoff *h, uint64_t slots)
{
	uint32_t slot;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	FOR_EACH_SLOT(slot, slots)
		if (__atomic_load_n(h->roster->member[slot]->rx.flags, __ATOMIC_RELAXED) &
		    XDP_RING_NEED_WAKEUP)
			h->wake |= SLOT(slot);
}

/* ---- free frames ---- */

/* From here on the kernel may write into it: whoever reads it unasked has to find that out. */
static inline void outdate(struct handoff *h, uint32_t frame)
{
	__atomic_store_n(&h->sequences[frame], h->sequences[frame] + 1, __ATOMIC_RELAXED);
}

void handoff_record_given(struct handoff *h)
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
	handoff_record_given(h);
	h->with_kernel += count;
}

/* ---- rosters ---- */

const struct roster handoff_nobody;

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

	handoff_note_sleepers(h, h->serving);
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
	if (before == &handoff_nobody)
		greet(h);
}

/* ---- all of it ---- */

uint32_t handoff_run(struct handoff *h)
{
	uint32_t moved = has_entries(&h->rx) ? handoff_collect_due(h) : handoff_collect(h);

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

		if ((sends && handoff_has_to_send(h, slot)) || (few && has_entries(&member->fill)))
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

void handoff_place_arrays(struct handoff *h, void *arrays)
{
	const uint32_t queue_size = power_of_two_from(h->receive_frames);

	h->holders = arrays;
	h->queue = (uint32_t *)(h->holders + h->receive_frames);
	h->queue_mask = queue_size - 1;
	h->stack = h->queue + queue_size;
	h->free = (uint8_t *)(h->stack + (h->frames - h->receive_frames) + 1);
	h->senders = h->free + h->frames;
}

struct handoff handoff_describe(const struct handoff_memory *memory, const struct xdpd_ring *rx,
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
		.roster = &handoff_nobody,
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
	struct handoff h = handoff_describe(memory, rx, fill, tx, completion);

	if (!memory->arrays) {
		h.arrays = calloc(1, handoff_arrays_size(memory));
		if (!h.arrays)
			return -ENOMEM;
	}
	handoff_place_arrays(&h, memory->arrays ? memory->arrays : h.arrays);
	memset(h.senders, HANDOFF_NOBODY, h.receive_frames);
	h.with_kernel = memory->filled;
	for (uint32_t frame = memory->filled; frame < h.receive_frames; frame++)
		enqueue(&h, frame);
	for (uint32_t frame = memory->frames; frame-- > h.receive_frames;)
		handoff_stack_frame(&h, frame);
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
	*h = (struct handoff){.roster = &handoff_nobody};
}
