/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libxdpd: receive and transmit a NIC queue's frames through xdpd, without any privilege.
 *
 *     struct xdpd *x;
 *     int r = xdpd_connect(&x, NULL, "mytool");
 *     r = xdpd_attach(x, "eth0", 3, NULL);
 *     for (;;) {
 *             struct xdp_desc frames[64];
 *             struct xdpd_event event;
 *             uint32_t n = xdpd_rx(x, frames, 64);
 *             for (uint32_t i = 0; i < n; i++)
 *                     look_at(xdpd_frame(x, frames[i].addr), frames[i].len);
 *             xdpd_release(x, frames, n);
 *             while (xdpd_next_event(x, &event))
 *                     fprintf(stderr, "%s\n", event.text);
 *             if (n == 0 && (r = xdpd_wait(x, -1)) < 0)
 *                     break;
 *     }
 *     fprintf(stderr, "%s\n", xdpd_reason(x));
 *     xdpd_close(x);
 *
 * A frame goes round: what is taken from RX is given back by xdpd_release() (or sent on by xdpd_forward()),
 * what is sent by xdpd_tx() comes back by itself. A consumer that does not give frames back stops receiving
 * when all frames are with it; that harms nobody else.
 *
 * The same program works whether it has the queue for itself or shares it (that is the administrator's
 * `delivery`). In shared delivery each group of consumers gets every frame that steering gives it, and the
 * members of a group split them by flow. A member holds frames in one of two ways:
 *
 *   - hold: frames are lent, without a copy, up to its quota. They can be read only, unless the queue says
 *     `umem: writable`; xdpd_make_writable() is for programs that change them.
 *   - tap: it looks on, and holds up nobody. xdpd_rx() copies each frame into memory of the attachment and
 *     hands out only those that were whole after the copy; the others are counted as `overrun`. So a frame of
 *     a tap can be kept, and changed, like any other.
 *
 * An attachment that has ended, as the daemon or the interface went away, is had again by xdpd_wait() where that is
 * asked for: see `reattach_ms`.
 *
 * Functions return 0 or a count, or -errno; outputs are touched only on success. The library never logs,
 * starts no thread, installs no signal handler and needs no capability.
 *
 * Threads: a `struct xdpd` belongs to one thread at a time. Different ones are independent.
 */
#ifndef XDPD_H
#define XDPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xdpd_protocol.h"
#include "xdpd_ring.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef XDPD_API
#define XDPD_API __attribute__((visibility("default")))
#endif

/*
 * An attachment. The members are for the inline functions below and may move between minor versions (the
 * library's soname then changes too); programs use the functions.
 */
struct xdpd {
	struct xdpd_ring rx;   /* consumer side */
	struct xdpd_ring fill; /* producer side */
	unsigned char *umem;
	uint64_t frame_mask; /* ~(frame_size - 1): from an address to its frame */
	uint64_t *spare;     /* stack of frames that are in no ring and not with the program */
	uint32_t spares;
	uint32_t owed; /* frames that the fill ring still lacks; shared: not 0 if released ones have to be sorted */
	struct xdpd_ring tx;	     /* producer side; size 0 without the right to transmit */
	struct xdpd_ring completion; /* consumer side */
	uint64_t transmit_bytes;
	struct xdpd_account *account;
	uint32_t spare_size; /* entries of `spare` */
	uint32_t frame_size;
	/* shared: addresses below are of frames received, those from there on of its own to transmit with; else 0 */
	uint64_t lent;
	uint32_t frames;
	bool read_only; /* received frames can't be written to */
	bool takes_runs;  /* the fill ring does [XDPD_RUN] */
	uint32_t in_runs; /* free-running: frames given back by runs, less one for each, which is its entry in the fill ring */
};

/* ---- set-up and end ---- */

/*
 * Connects to the daemon that listens on `path` (NULL: $XDPD_SOCKET, or else /run/xdpd/xdpd.sock) and says
 * hello as `name`, which people and metrics will see (NULL: the program's name; letters, digits and "_.:-",
 * at most 31). `*ret` is then owned by the caller, who ends it with xdpd_close().
 * Errors: -ENOENT, -ECONNREFUSED (no daemon there), -EACCES (the socket's mode), -EUSERS (too many
 * connections of this uid), -EPROTONOSUPPORT (no protocol version in common), -EINVAL (name), -ETIMEDOUT.
 */
XDPD_API int xdpd_connect(struct xdpd **ret, const char *path, const char *name);

/*
 * The structs that carry their `size` only ever grow at the end, and program and library may be of different
 * versions. These are the sizes of the first version, which never change.
 */
#define XDPD_ATTACH_OPTIONS_SIZE_V1 \
	(offsetof(struct xdpd_attach_options, group) + sizeof(const char *))
#define XDPD_STATS_SIZE_V1 80

struct xdpd_attach_options {
	uint32_t size;	    /* sizeof(struct xdpd_attach_options) of the program */
	uint32_t flags;	    /* enum xdpd_attach_flags */
	int32_t timeout_ms; /* for the whole attach; 0: 5 seconds, negative: for ever */
	const char *group; /* shared delivery: the group to join; NULL: a group of one's own name */
	uint32_t snap_length; /* of a tap: copies only so many bytes of each frame; 0: all */
	uint32_t zero;
	/* how long to try to have an attachment again that has ended; negative: for ever, 0: not at all */
	int32_t reattach_ms;
	uint32_t coalesce_usecs; /* how long xdpd_wait() lets frames gather; 0: not at all */
};

/*
 * With `coalesce_usecs` a program that keeps receiving sleeps so long between two looks at its RX ring, and is not woken
 * for what arrives meanwhile, as a NIC with interrupt coalescing does for its driver: less CPU time for each frame, up to
 * so much more latency. Nothing is put off for a program that had nothing to receive last time: it is woken by the first
 * frame. The RX ring has to hold what arrives in that time, and the kernel's timer slack (50 us; prctl(2),
 * PR_SET_TIMERSLACK) comes on top. Neither do events wait, nor a sleep on xdpd_fd(). At most 1,000,000.
 */

/*
 * With `reattach_ms`, xdpd_wait() does not end when the daemon or the interface has gone, but asks for the same
 * queue again, at once and then after 10 ms to 1 s, until it is attached or the time is over:
 *
 *   1. What has arrived can be received: XDPD_WAIT_RX as usual, as long as the program takes some, at most 100 ms.
 *   2. XDPD_WAIT_DETACHED, once: xdpd_reason() says why. The frames that the program holds, received ones and
 *      those of xdpd_tx_alloc(), are void. They can be looked at until the next xdpd_wait(), which unmaps them, and
 *      may be released, forwarded (none are taken) or forgotten until then, but not after it: their addresses would
 *      name frames of the next attachment. A program that holds none across xdpd_wait() has nothing to do.
 *   3. Without an attachment nothing is received, and xdpd_tx_alloc() gives none. xdpd_frames() is 0. Events that
 *      came before are still there; none come meanwhile.
 *   4. XDPD_WAIT_REATTACHED, once. All that was granted may be other than before: xdpd_frames(),
 *      xdpd_frame_size(), whether the queue is shared. xdpd_stats() has what was lost.
 *
 * Memory is unmapped and mapped nowhere but in xdpd_wait(), which never takes longer than its timeout says. What
 * time can't mend ends it as without `reattach_ms`: -ECANCELED (ejected by an administrator, or for what it wrote
 * into its rings), -EACCES, -EOPNOTSUPP, -EPROTO, -EPROTONOSUPPORT and other refusals of xdpd_attach() but
 * -ENODEV, -ENOENT, -EBUSY, -EUSERS, -ENETDOWN, -ETIMEDOUT and -ECONNRESET. When the time is over, xdpd_wait()
 * returns the last of those. Then one may call xdpd_attach() again; until then it is -EISCONN. A link that is only
 * down is waited out, with the attachment that there is.
 */

/*
 * Attaches to a queue and maps its UMEM and rings; frames may arrive from here on. Without
 * XDPD_ATTACH_TRANSMIT the attachment only receives. NULL options: receive only, the defaults. Whether the queue
 * is shared need not be known: without XDPD_ATTACH_HOLD and XDPD_ATTACH_TAP it becomes what its group is
 * configured for.
 * On failure the connection remains, xdpd_reason() has the sentence, and one may try again:
 * -ENODEV (no such interface), -ENOENT (no such queue), -EBUSY (taken: the sentence names uid and pid),
 * -EACCES (not allowed: on this queue, in this group, to transmit, or to hold where one may only tap),
 * -EOPNOTSUPP (a tap on a queue that is not shared), -EUSERS or -ENOSPC (no more groups, or members, fit),
 * -ENETDOWN (the link is gone), -EISCONN (attached already), -ETIMEDOUT,
 * -ECONNRESET (the daemon ended), -EPROTO (it broke the protocol). After one of the last three the next
 * attempt connects anew, so that it may find a daemon that was restarted. Of `options` itself: -EINVAL (a size
 * below the first version's, a group that is no name, both hold and tap, more than a second to coalesce), -E2BIG (something is asked by a member
 * that only a newer library knows).
 */
XDPD_API int xdpd_attach(struct xdpd *x, const char *device, uint32_t queue,
			 const struct xdpd_attach_options *options);

/* Detaches, unmaps and frees; no pointer into a frame is valid afterwards. NULL is fine. Returns NULL. */
XDPD_API struct xdpd *xdpd_close(struct xdpd *x);

/* ---- waiting ---- */

enum xdpd_wait {
	XDPD_WAIT_RX = 1 << 0,	  /* frames can be received */
	XDPD_WAIT_EVENT = 1 << 1, /* xdpd_next_event() has something */

	/* with `reattach_ms` */
	XDPD_WAIT_DETACHED = 1 << 2,   /* the attachment has ended; its frames are void from the next call on */
	XDPD_WAIT_REATTACHED = 1 << 3, /* there is another one */
};

/*
 * Sleeps until frames or an event have arrived, at most `timeout_ms` (-1: for ever, 0: only looks). Returns
 * a set of enum xdpd_wait, 0 after the timeout, or why it ended: -ECANCELED (revoked: xdpd_reason() says
 * why), -ECONNRESET (the daemon is gone), -ENETDOWN, -ENXIO (the link or the interface is gone), -EINTR (a
 * signal). Frames that have arrived can be taken and looked at after any of these. For a tap with no memory left
 * to copy into, because the program keeps all of it, no frames arrive.
 */
XDPD_API int xdpd_wait(struct xdpd *x, int timeout_ms);

/*
 * An fd for one's own poll or epoll loop: readable when xdpd_wait(x, 0) would not return 0. It belongs to
 * `x`, and stays the same. After it was readable, call xdpd_wait(x, 0), which also takes in what the daemon said, and
 * goes on with attaching again, also where it then returns 0. Receiving is a
 * little slower from the first call on, so a loop that never sleeps, or only by xdpd_wait(), leaves it.
 * What comes back after transmission does not make it readable: a program that forwards all that it holds sleeps
 * with a timeout.
 * Errors: -ENOMEM, -ENOSPC (the user's limit of epoll watches).
 */
XDPD_API int xdpd_fd(const struct xdpd *x);

/* Takes the oldest event about the queue or its interface: 1, or 0 if there is none. At most 16 are kept. */
XDPD_API int xdpd_next_event(struct xdpd *x, struct xdpd_event *ret);

/* The daemon's last refusal or the reason of the end, one sentence; "" if there is none. Valid until the next call. */
XDPD_API const char *xdpd_reason(const struct xdpd *x);

/* ---- figures ---- */

/*
 * The kernel's counters since xdpd_attach() [XDP_STATISTICS], and what is where now. In shared delivery the former
 * are 0: what was dropped for a member only the daemon knows, `xdpctl show consumers` tells.
 */
struct xdpd_stats {
	uint64_t size;	     /* set by the caller: its sizeof(struct xdpd_stats) */
	uint64_t dropped;    /* frames: none in the fill ring, or too long */
	uint64_t ring_full;  /* frames that met a full RX ring */
	uint64_t fill_empty; /* times that the fill ring was found empty: not frames */
	uint64_t rx_invalid;
	uint64_t tx_invalid;
	uint64_t tx_empty;
	/* in the rings now; shared: of the fill ring each may stand for several frames */
	uint32_t rx_entries, tx_entries, fill_entries, completion_entries;
	uint32_t spare; /* frames that xdpd_tx_alloc() could hand out now */
	uint32_t zero;

	/* of shared delivery, else 0 */
	uint64_t overrun; /* of a tap: frames that were overwritten before they had been copied */
	uint32_t held;	  /* frames received and not given back */
	uint32_t quota;	  /* of which there can be so many; of a tap, of frames to copy into */

	/* with `reattach_ms`, else 0. The counters above then go on over all attachments. */
	uint64_t reattached; /* times */
	uint64_t gap_ms;     /* without an attachment, in all, the present gap included */
	uint64_t abandoned;  /* frames that had arrived and were not received before their attachment was void */
	uint64_t unsent;     /* frames of xdpd_tx() or xdpd_forward() that nobody had taken by then */
};

/*
 * Fills in what a `ret` of that size has; members that only a newer library knows become 0.
 * Errors: -EINVAL (a size below the first version's), -ENOTCONN (not attached).
 */
XDPD_API int xdpd_stats(struct xdpd *x, struct xdpd_stats *ret);

/* The group that was joined, "" if the queue is not shared or before an attach. Valid until the next call. */
XDPD_API const char *xdpd_group(const struct xdpd *x);

XDPD_API bool xdpd_is_tap(const struct xdpd *x);

/* What was granted; 0 before an attach. Sizes in bytes. `frames` are those of the UMEM. */
static inline uint32_t xdpd_frames(const struct xdpd *x)
{
	return x->frames;
}

static inline uint32_t xdpd_frame_size(const struct xdpd *x)
{
	return x->frame_size;
}

static inline bool xdpd_may_transmit(const struct xdpd *x)
{
	return x->tx.size != 0;
}

/* ---- the slow parts of the per-frame path ---- */

/*
 * Wakes a sleeping kernel; 0, or -ENETDOWN, -ENXIO when the link or the interface is gone. Shared: wakes xdpd if
 * it asks for that and there is something new for it.
 */
XDPD_API int xdpd_wake_rx(struct xdpd *x);
XDPD_API int xdpd_wake_tx(struct xdpd *x);

/* xdpd_release() when the fill ring has no room for all of them, or lacks some, or some may be of another kind. */
XDPD_API void xdpd_release_slowly(struct xdpd *x, const struct xdp_desc *frames, uint32_t count);

/* Moves spare frames to a fill ring that lacks some. */
XDPD_API void xdpd_refill(struct xdpd *x);

/*
 * Nothing was there to receive: gives the fill ring what it lacks, and wakes a driver that found it empty. For a
 * tap, copies what has arrived. Returns how many frames, at most `max`, are there after all.
 */
XDPD_API uint32_t xdpd_rx_starved(struct xdpd *x, uint32_t max);

/* xdpd_take_completions(), xdpd_forward() and xdpd_make_writable() in shared delivery. */
XDPD_API uint32_t xdpd_sort_completions(struct xdpd *x);
XDPD_API uint32_t xdpd_forward_lent(struct xdpd *x, const struct xdp_desc *frames, uint32_t count);
XDPD_API uint32_t xdpd_replace_lent(struct xdpd *x, struct xdp_desc *frames, uint32_t count);

/* ---- receiving ---- */

/* Where an address of a descriptor lies in this process. */
static inline void *xdpd_frame(const struct xdpd *x, uint64_t address)
{
	return x->umem + address;
}

/*
 * For the loops that touch every frame: unrolled. gcc would make the copy of descriptors a string instruction,
 * whose start takes longer than a short burst; that it can't see through the pointer prevents it.
 */
#if defined(__clang__)
#define XDPD_UNROLL	     _Pragma("clang loop vectorize(disable) unroll_count(4)")
#define XDPD_OPAQUE(value) ((void)0)
#elif defined(__GNUC__) && __GNUC__ >= 8
#define XDPD_UNROLL	     _Pragma("GCC unroll 4")
#define XDPD_OPAQUE(value) __asm__("" : "+r"(value))
#else
#define XDPD_UNROLL
#define XDPD_OPAQUE(value) ((void)0)
#endif

/* True if the next `count` entries go on past the ring's end at its start. */
static inline bool xdpd_ring_wraps(const struct xdpd_ring *ring, uint32_t count)
{
	return __builtin_expect((ring->own & ring->mask) + count > ring->size, 0);
}

static inline void xdpd_copy_descriptors(struct xdp_desc *to, const struct xdpd_ring *ring,
					 uint32_t count)
{
	const struct xdp_desc *from = xdpd_ring_desc(ring, ring->own);

	if (xdpd_ring_wraps(ring, count)) {
		for (uint32_t i = 0; i < count; i++)
			to[i] = *xdpd_ring_desc(ring, ring->own + i);
		return;
	}
	XDPD_UNROLL
	for (uint32_t i = 0; i < count; i++) {
		to[i] = from[i];
		XDPD_OPAQUE(to);
	}
}

static inline void xdpd_copy_addresses(const struct xdpd_ring *ring, const struct xdp_desc *from,
				       uint32_t count)
{
	uint64_t *to = xdpd_ring_address(ring, ring->own);

	if (xdpd_ring_wraps(ring, count)) {
		for (uint32_t i = 0; i < count; i++)
			*xdpd_ring_address(ring, ring->own + i) = from[i].addr;
		return;
	}
	for (; count >= 4; count -= 4, to += 4, from += 4) {
		to[0] = from[0].addr;
		to[1] = from[1].addr;
		to[2] = from[2].addr;
		to[3] = from[3].addr;
	}
	for (; count; count--)
		*to++ = (from++)->addr;
}

/*
 * Takes up to `max` received frames: copies their descriptors and returns how many. The frames are the
 * caller's until released or forwarded, in any order and at any later time. `options` of a descriptor may
 * have XDP_PKT_CONTD: the packet goes on in the next one.
 *
 * A driver that found the fill ring empty, or a worker of xdpd that needs frames back, sleeps until it is woken,
 * which is done when nothing is left to receive: so receive until this returns 0, or call xdpd_wait(), before
 * sleeping by other means.
 *
 * A tap gets copies, up to 64 at once, all of them whole. What it keeps lessens what there is to copy into; when
 * nothing is left of that, this returns 0 until frames are released.
 */
static inline uint32_t xdpd_rx(struct xdpd *x, struct xdp_desc *frames, uint32_t max)
{
	uint32_t count = xdpd_ring_available(&x->rx, max);

	if (!count) {
		count = xdpd_rx_starved(x, max);
		if (!count)
			return 0;
	}
	xdpd_copy_descriptors(frames, &x->rx, count);
	xdpd_ring_advance(&x->rx, count);
	return count;
}

/*
 * Gives received frames back for the kernel to fill. Only `addr` is looked at; any address within a frame names it.
 * Once each: who gives back to a shared queue what it does not hold is ejected.
 */
static inline void xdpd_release(struct xdpd *x, const struct xdp_desc *frames, uint32_t count)
{
	if (!count)
		return;
	if (__builtin_expect(x->owed || xdpd_ring_room(&x->fill, count) < count, 0)) {
		xdpd_release_slowly(x, frames, count);
		return;
	}
	xdpd_copy_addresses(&x->fill, frames, count);
	xdpd_ring_advance(&x->fill, count);
}

/*
 * The leaner pair, for a loop that is through with each burst before the next: xdpd_rx_peek() points `*frames`
 * at up to `max` descriptors in the RX ring itself and returns how many (fewer where the ring wraps), and
 * xdpd_rx_done() gives the first `count` of them back. They are read-only and valid until then. Not to be mixed
 * with xdpd_rx() between a peek and its done. In shared delivery it is leaner still, as what is given back in the order
 * in which it came is told by one entry for up to 64 frames.
 */
static inline uint32_t xdpd_rx_peek(struct xdpd *x, const struct xdp_desc **frames, uint32_t max)
{
	const uint32_t first = x->rx.own & x->rx.mask;
	const uint32_t until_wrap = x->rx.size - first;
	uint32_t count;

	*frames = (const struct xdp_desc *)x->rx.entries + first;
	if (max > until_wrap)
		max = until_wrap;
	count = xdpd_ring_available(&x->rx, max);
	if (__builtin_expect(!count, 0))
		count = xdpd_rx_starved(x, max);
	/* As two values, the count would cost the caller's loop an instruction a frame. */
	XDPD_OPAQUE(count);
	return count;
}

/* Gives back what is next in the RX ring, where xdpd knows what that is. The fill ring has room, as for each frame. */
static inline void xdpd_release_runs(struct xdpd *x, uint32_t count)
{
	uint32_t first = x->rx.own;

	while (count) {
		const uint32_t some = count < XDPD_RUN_MAX ? count : XDPD_RUN_MAX;

		if (__builtin_expect(!xdpd_ring_room(&x->fill, 1), 0))
			return;
		*xdpd_ring_address(&x->fill, x->fill.own) = xdpd_run(first, some);
		xdpd_ring_advance(&x->fill, 1);
		x->in_runs += some - 1;
		first += some;
		count -= some;
	}
}

static inline void xdpd_rx_done(struct xdpd *x, uint32_t count)
{
	/* The ring's entries are read before they are given back. */
	if (x->takes_runs)
		xdpd_release_runs(x, count);
	else
		xdpd_release(x, xdpd_ring_desc(&x->rx, x->rx.own), count);
	if (count)
		xdpd_ring_advance(&x->rx, count);
}

/*
 * Before received packets are changed: makes them the caller's to write to; returns how many, from the first on.
 * Nothing is to be done for them where the queue is not shared, in a tap, and with `umem: writable`. Else each
 * packet is copied into a frame of xdpd_tx_alloc()'s, which takes the place of the received one in `frames`, and
 * that is given back: so it needs the right to transmit, and frames that are spare. They end as received frames
 * do, by xdpd_forward() or xdpd_release().
 */
static inline uint32_t xdpd_make_writable(struct xdpd *x, struct xdp_desc *frames, uint32_t count)
{
	return x->read_only ? xdpd_replace_lent(x, frames, count) : count;
}

/*
 * Bytes that the frame had when it arrived: more than `len` where a tap's snap_length has cut it. To be asked
 * before the frame is released, with its descriptor as received.
 */
XDPD_API uint32_t xdpd_full_length(const struct xdpd *x, const struct xdp_desc *frame);

/* ---- transmitting ---- */

/*
 * Empties the completion ring onto the stack of spare frames (shared: those that were lent go on to the fill ring).
 * A program that gave frames back twice has more
 * of them than there are: what exceeds the stack is let go.
 */
static inline uint32_t xdpd_take_completions(struct xdpd *x)
{
	uint32_t count = xdpd_ring_available(&x->completion, x->completion.size);
	uint32_t room = x->spare_size - x->spares;
	uint32_t keep = count < room ? count : room;

	if (!count)
		return 0;
	if (__builtin_expect(x->lent != 0, 0))
		return xdpd_sort_completions(x);
	for (uint32_t i = 0; i < keep; i++)
		x->spare[x->spares + i] =
			*xdpd_ring_address(&x->completion, x->completion.own + i) & x->frame_mask;
	x->spares += keep;
	xdpd_ring_advance(&x->completion, count);
	return count;
}

/* Takes back the frames that were transmitted; returns how many. xdpd_tx_alloc() does it when it has to. */
static inline uint32_t xdpd_reap(struct xdpd *x)
{
	uint32_t count = xdpd_take_completions(x);

	if (__builtin_expect(count && x->owed, 0))
		xdpd_refill(x);
	return count;
}

/*
 * Takes up to `max` empty frames to be filled in and sent; returns how many. `addr` is the frame's start
 * and `len` its size; write the packet anywhere within and set both to it. They must end in xdpd_tx() or
 * xdpd_tx_free().
 */
static inline uint32_t xdpd_tx_alloc(struct xdpd *x, struct xdp_desc *frames, uint32_t max)
{
	if (x->spares < max)
		(void)xdpd_reap(x);

	uint32_t count = x->spares < max ? x->spares : max;

	for (uint32_t i = 0; i < count; i++) {
		frames[i].addr = x->spare[--x->spares];
		frames[i].len = x->frame_size;
		frames[i].options = 0;
	}
	return count;
}

/* Gives back frames of xdpd_tx_alloc() unsent. */
static inline void xdpd_tx_free(struct xdpd *x, const struct xdp_desc *frames, uint32_t count)
{
	uint32_t room = x->spare_size - x->spares;

	if (count > room)
		count = room;
	for (uint32_t i = 0; i < count; i++)
		x->spare[x->spares++] = frames[i].addr & x->frame_mask;
}

/* Puts as many as there is room for into the TX ring. */
static inline uint32_t xdpd_tx_queue(struct xdpd *x, const struct xdp_desc *frames, uint32_t count)
{
	uint64_t bytes = 0;

	/* A full completion ring would stop the kernel's transmission. */
	(void)xdpd_reap(x);
	count = xdpd_ring_room(&x->tx, count);
	if (!count)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		*xdpd_ring_desc(&x->tx, x->tx.own + i) = frames[i];
		bytes += frames[i].len;
	}
	xdpd_ring_advance(&x->tx, count);
	x->transmit_bytes += bytes;
	__atomic_store_n(&x->account->transmit_bytes, x->transmit_bytes, __ATOMIC_RELAXED);
	return count;
}

static inline void xdpd_tx_wake_sleeper(struct xdpd *x)
{
	if (xdpd_may_transmit(x) && xdpd_ring_needs_wakeup(&x->tx))
		(void)xdpd_wake_tx(x);
}

/*
 * Queues frames of xdpd_tx_alloc() for transmission and wakes the kernel if it sleeps; returns how many
 * were queued, fewer when the TX ring is full. The rest remain the caller's. A packet must lie within its
 * frame. A link that is gone shows in xdpd_wait().
 */
static inline uint32_t xdpd_tx(struct xdpd *x, const struct xdp_desc *frames, uint32_t count)
{
	count = xdpd_tx_queue(x, frames, count);
	xdpd_tx_wake_sleeper(x);
	return count;
}

/*
 * Sends received frames back out of the same queue, without a copy; returns how many were queued, the
 * caller still holds the rest. The packet may have been changed and moved within its frame. For each, a spare
 * frame takes its place in the fill ring, at the latest when the transmission has completed.
 *
 * Shared: a frame that was lent is held until its transmission has completed, and then given back by the library.
 * xdpd copies the packet unless the queue has `umem: writable`. A tap's frames are copied to its own to transmit
 * with, and count as released.
 */
static inline uint32_t xdpd_forward(struct xdpd *x, const struct xdp_desc *frames, uint32_t count)
{
	if (__builtin_expect(x->lent != 0, 0))
		return xdpd_forward_lent(x, frames, count);
	count = xdpd_tx_queue(x, frames, count);
	x->owed += count;
	/* Before the wake, in which the kernel may transmit all of them: more are arriving meanwhile. */
	if (count)
		xdpd_refill(x);
	xdpd_tx_wake_sleeper(x);
	/* What was transmitted right then may be what the fill ring still lacks. */
	if (__builtin_expect(x->owed, 0))
		xdpd_refill(x);
	return count;
}

/* How many queued frames the kernel has not taken yet. Wakes it; 0 means that all were taken. */
static inline uint32_t xdpd_tx_pending(struct xdpd *x)
{
	if (!xdpd_may_transmit(x))
		return 0;
	(void)xdpd_reap(x);
	xdpd_ring_refresh(&x->tx);
	if (x->tx.own != x->tx.peer) {
		(void)xdpd_wake_tx(x);
		xdpd_ring_refresh(&x->tx);
	}
	return x->tx.own - x->tx.peer;
}

/* ---- for a program that already has AF_XDP ring code ---- */

/*
 * A ring as such programs keep it: the members, order and meaning of libxdp's `struct xsk_ring_prod` and
 * `struct xsk_ring_cons` [xdp/xsk.h], so that one can be copied into the other.
 */
struct xdpd_raw_ring {
	uint32_t cached_prod;
	uint32_t cached_cons; /* of a producer: the consumer's index plus size */
	uint32_t mask;
	uint32_t size; /* 0: no such ring */
	uint32_t *producer;
	uint32_t *consumer;
	void *ring;
	uint32_t *flags;
};

struct xdpd_raw {
	struct xdpd_raw_ring rx, tx, fill, completion;
	void *umem;
	uint64_t umem_size;
	uint32_t frames, frame_size, headroom;
	uint32_t filled; /* frames [0, filled) are in the fill ring, the others are free */
	int fd;		 /* the AF_XDP socket: poll(), sendto(), recvfrom(), getsockopt() */
};

/*
 * Fills in `ret` for an attachment that has not been used yet, and gives up the per-frame path to the
 * caller: from then on only xdpd_wait(), xdpd_fd(), xdpd_next_event(), xdpd_reason() and xdpd_close() may be
 * called. All pointers and the fd stay `x`'s. Transmitted bytes are then unknown to xdpd's metrics.
 * Errors: -ENOTCONN (not attached), -EBUSY (used already), -EOPNOTSUPP (not exclusive, or attached with
 * `reattach_ms`: nothing could be unmapped under such a program).
 */
XDPD_API int xdpd_raw(struct xdpd *x, struct xdpd_raw *ret);

#ifdef __cplusplus
}
#endif

#endif
