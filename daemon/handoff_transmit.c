// SPDX-License-Identifier: BSD-2-Clause
#include <string.h>

#include "daemon/handoff_parts.h"

/* What a member may send in one turn, in bytes: some 20 long packets. */
#define TURN_BYTES 32768

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
		handoff_violate(h, slot, VIOLATION_COMPLETION_INDEX);
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
			handoff_violate(h, slot, violation);
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
		handoff_violate(h, slot, VIOLATION_TX_INDEX);
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

void handoff_take_from_senders(struct handoff *h)
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
void handoff_take_transmit_step(struct handoff *h)
{
	const struct handoff_step *step = &h->step;

	move_to(&h->tx, step->kernel + step->count);
	for (uint32_t i = 0; i < step->count; i++)
		h->free[step->frames[i]] = 0;
	handoff_take_from_senders(h);
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
	handoff_take_transmit_step(h);
	end_step(h);
	handoff_note_sleepers(h, h->step.slots);
	return total;
}

/* ---- what the kernel has sent ---- */

void handoff_prepare_completion(struct handoff *h, uint32_t frame, uint64_t address)
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

void handoff_stack_frame(struct handoff *h, uint32_t frame)
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
void handoff_end_transmissions(struct handoff *h)
{
	const struct handoff_step *step = &h->step;

	for (uint32_t i = 0; i < step->count; i++) {
		if (step->frames[i] >= h->receive_frames)
			handoff_stack_frame(h, step->frames[i]);
		else
			end_transmission(h, step->frames[i]);
	}
	tell_senders(h);
}

void handoff_take_complete_step(struct handoff *h)
{
	handoff_end_transmissions(h);
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
			handoff_prepare_completion(h, frame, address);
	}
	begin_step(h, STEP_COMPLETE);
	handoff_take_complete_step(h);
	end_step(h);
	if (h->step.slots)
		handoff_note_sleepers(h, h->step.slots);
	return count;
}

/* ---- before a sleep ---- */

bool handoff_has_to_send(struct handoff *h, uint32_t slot)
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
