/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Single-producer, single-consumer rings in the kernel's AF_XDP layout.
 *
 *   shared with the other side                     private to this side
 *   +----------+     +----------+                  +---------------------+
 *   | producer |     | consumer |  own line each   | own   (free-running)|
 *   +----------+     +----------+                  | peer  (last seen)   |
 *   | entries[0 .. size - 1]    |  index & mask    | mask, size          |
 *   +---------------------------+                  +---------------------+
 *
 * Indices are free-running u32, masked only when an entry is touched, so that `producer - consumer` is the
 * number of entries in the ring, also across the wrap at 2^32 [net/xdp/xsk_queue.h]. The entries are
 * `struct xdp_desc` in RX and TX rings, `u64` frame addresses in fill and completion rings.
 *
 * Ordering, as in the kernel: a side publishes its index by a store-release after it has written (producer)
 * or read (consumer) the entries; the other side reads it by a load-acquire before it touches them. Each
 * side reads the other's index only when the value last seen does not suffice.
 *
 * The same struct serves either side: `own` is the index that this side moves, `peer` the one it follows.
 * `own` never comes from shared memory after the set-up, and a shared word is read once per refresh. A side
 * that does not trust its peer checks xdpd_consumer_peer_is_sane() or xdpd_producer_peer_is_sane() after a
 * refresh.
 *
 * Threads: a ring's side belongs to one thread at a time.
 */
#ifndef XDPD_RING_H
#define XDPD_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <linux/if_xdp.h>

#ifdef __cplusplus
extern "C" {
#endif

struct xdpd_ring {
	uint32_t own;	   /* the next entry that this side touches */
	uint32_t peer;	   /* the other side's index as last read */
	uint32_t mask;	   /* size - 1 */
	uint32_t size;	   /* entries, a power of two */
	void *entries;	   /* struct xdp_desc[size] or uint64_t[size] */
	uint32_t *shared_own;  /* where this side publishes `own` */
	uint32_t *shared_peer; /* where the other side publishes */
	uint32_t *flags;	   /* XDP_RING_NEED_WAKEUP, written by the side that sleeps */
};

/* Joins a ring, which may be live: starts from the shared indices, never from 0. `size` is a power of two. */
static inline void xdpd_ring_join(struct xdpd_ring *ring, void *entries, uint32_t size,
				  uint32_t *shared_own, uint32_t *shared_peer, uint32_t *flags)
{
	ring->mask = size - 1;
	ring->size = size;
	ring->entries = entries;
	ring->shared_own = shared_own;
	ring->shared_peer = shared_peer;
	ring->flags = flags;
	ring->own = __atomic_load_n(shared_own, __ATOMIC_RELAXED);
	ring->peer = __atomic_load_n(shared_peer, __ATOMIC_ACQUIRE);
}

/* The acquire orders the entries that the other side published before its index. */
static inline void xdpd_ring_refresh(struct xdpd_ring *ring)
{
	ring->peer = __atomic_load_n(ring->shared_peer, __ATOMIC_ACQUIRE);
}

/* Consumer: how many entries, at most `want`, can be taken. */
static inline uint32_t xdpd_ring_available(struct xdpd_ring *ring, uint32_t want)
{
	uint32_t available = ring->peer - ring->own;

	if (available < want) {
		xdpd_ring_refresh(ring);
		available = ring->peer - ring->own;
		/* No honest peer's index: as of one that has ended, whose memory reads as zeros. */
		if (__builtin_expect(available > ring->size, 0))
			return 0;
	}
	return available < want ? available : want;
}

/* Producer: how many entries, at most `want`, can be put. */
static inline uint32_t xdpd_ring_room(struct xdpd_ring *ring, uint32_t want)
{
	uint32_t room = ring->size - (ring->own - ring->peer);

	if (room < want) {
		xdpd_ring_refresh(ring);
		room = ring->size - (ring->own - ring->peer);
	}
	return room < want ? room : want;
}

/*
 * Either side, after a refresh: false if the peer's index is one that no honest peer can publish. A
 * consumer sees more than `size` entries then, a producer more than `size` of its own not yet taken.
 */
static inline bool xdpd_consumer_peer_is_sane(const struct xdpd_ring *ring)
{
	return ring->peer - ring->own <= ring->size;
}

static inline bool xdpd_producer_peer_is_sane(const struct xdpd_ring *ring)
{
	return ring->own - ring->peer <= ring->size;
}

/* Either side: makes the `count` entries that were just written or read the other side's. */
static inline void xdpd_ring_advance(struct xdpd_ring *ring, uint32_t count)
{
	ring->own += count;
	__atomic_store_n(ring->shared_own, ring->own, __ATOMIC_RELEASE);
}

/* The entry at a free-running index. */
static inline struct xdp_desc *xdpd_ring_desc(const struct xdpd_ring *ring, uint32_t index)
{
	return (struct xdp_desc *)ring->entries + (index & ring->mask);
}

static inline uint64_t *xdpd_ring_address(const struct xdpd_ring *ring, uint32_t index)
{
	return (uint64_t *)ring->entries + (index & ring->mask);
}

/*
 * Producer, after xdpd_ring_advance(): true if the other side sleeps and has to be woken by a system call.
 * The full barrier orders the store of the index before the load of the flag; without it both sides can
 * miss each other: we read an old flag while the sleeper reads an old index.
 */
static inline bool xdpd_ring_needs_wakeup(const struct xdpd_ring *ring)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(ring->flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP;
}

#ifdef __cplusplus
}
#endif

#endif
