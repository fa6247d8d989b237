/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of daemon/handoff.h share: its figures and steps, and what each part leaves to another.
 *
 *     handoff.c            free frames, rosters, a whole round, places; its beginning and end
 *     handoff_receive.c    what the kernel received, to members
 *     handoff_return.c     what members give back
 *     handoff_transmit.c   what members send, and what the kernel has sent
 *     handoff_recover.c    what another process left
 */
#ifndef DAEMON_HANDOFF_PARTS_H
#define DAEMON_HANDOFF_PARTS_H

#include "client/xdpd.h"
#include "daemon/handoff.h"

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

static inline void put(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELAXED);
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

/* Moves this side's index to where it shall be, which it may be already. */
static inline void move_to(struct xdpd_ring *ring, uint32_t index)
{
	xdpd_ring_advance(ring, index - ring->own);
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

/* ---- frames ---- */

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

/*
 * Takes a bit off a frame that has it; with the last one the frame is free, unless it is in transmission as it is: that
 * ends later, and frees it then.
 */
static inline void take_bit(struct handoff *h, uint32_t slot, uint32_t frame)
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

/* Frames that may still be lent. Those in transmission as they are come back to who holds them. */
static inline uint32_t left_to_lend(const struct handoff *h)
{
	const uint32_t out = h->lent + h->forwarded;

	return out < h->lendable ? h->lendable - out : 0;
}

static inline uint32_t received_mask(const struct handoff *h)
{
	return h->queue_mask;
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

static inline bool has_entries(struct xdpd_ring *ring)
{
	return ring->size && xdpd_ring_available(ring, 1);
}

/* ---- [handoff.c] ---- */

/* Whoever runs before the first roster serves nobody. */
extern const struct roster handoff_nobody;

/* From now on the member is passed over. */
void handoff_violate(struct handoff *h, uint32_t slot, enum violation violation);

/* Of those that got something: who sleeps is to be woken. */
void handoff_note_sleepers(struct handoff *h, uint64_t slots);

/* What the fill ring has got is not free any more. */
void handoff_record_given(struct handoff *h);

/* A hand-off without arrays in which no frame has a place yet. */
struct handoff handoff_describe(const struct handoff_memory *memory, const struct xdpd_ring *rx,
				const struct xdpd_ring *fill, const struct xdpd_ring *tx,
				const struct xdpd_ring *completion);

void handoff_place_arrays(struct handoff *h, void *arrays);

/* ---- [handoff_return.c] ---- */

/* In a round that has frames to receive: only what others may lack. */
uint32_t handoff_collect_due(struct handoff *h);

/* ---- [handoff_receive.c] ---- */

/* Takes the step, but for the kernel's RX ring. */
void handoff_lend_burst(struct handoff *h);

/* ---- [handoff_transmit.c] ---- */

/* Whether a round would take an entry off the member's TX ring, or the member for what is there. */
bool handoff_has_to_send(struct handoff *h, uint32_t slot);

/* A frame that was copied to; free already, if the step is taken once more. */
void handoff_stack_frame(struct handoff *h, uint32_t frame);

/* Writes down that a frame comes back to who sent it as it is; who has left gets nothing. */
void handoff_prepare_completion(struct handoff *h, uint32_t frame, uint64_t address);

/* Take their steps; handoff_take_from_senders() and handoff_end_transmissions() leave the kernel's ring as it is. */
void handoff_take_transmit_step(struct handoff *h);
void handoff_take_from_senders(struct handoff *h);
void handoff_take_complete_step(struct handoff *h);
void handoff_end_transmissions(struct handoff *h);

#endif
