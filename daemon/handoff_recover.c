// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <string.h>

#include "daemon/handoff_parts.h"

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
		handoff_lend_burst(h);
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
			handoff_take_from_senders(h);
		else
			handoff_take_transmit_step(h);
		break;
	case STEP_COMPLETE:
		if (fresh)
			handoff_end_transmissions(h);
		else
			handoff_take_complete_step(h);
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
		handoff_prepare_completion(h, frame, (uint64_t)frame << h->frame_shift);
		h->step.frames[h->step.count++] = frame;
	}
	begin_step(h, STEP_COMPLETE);
	handoff_end_transmissions(h);
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
	struct handoff now = handoff_describe(memory, rx, fill, tx, completion);
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
	handoff_place_arrays(&now, memory->arrays);
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
	handoff_record_given(h);
	forget_leavers(h, stay);
	if (fresh)
		take_from_kernel(h);
	count_frames(h);
	FOR_EACH_SLOT(slot, stay)
		count_held(h, slot);
	h->roster = &handoff_nobody;
	h->serving = 0;
	return agrees_with_rings(h) ? 0 : -EBADMSG;
}
