/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared delivery, frame by frame: from the kernel's four rings to each member's and back. It knows rings and
 * memory and makes no system call, so a test can drive it over plain arrays.
 *
 *                       receive                                     collect
 *      kernel RX  ------------------>  member RX       member fill ---------.
 *          ^         or, untaken, |                                         | the last holder's bit clears
 *          | filled               v                                         v
 *      kernel fill  <----------  free frames, first in, first out  <--------'
 *
 *      member TX  ------------------>  kernel TX       kernel completion -->  free frames for transmission
 *                 copied: transmit                                            (or the sender, if sent as it is)
 *
 * The ledger. Each frame is in one place: with the kernel (the fill or RX ring, or a list within it that nobody
 * can read: known by elimination), in transmission, free, or lent. Frames below `receive_frames` go round the
 * upper circle, the others the lower one. Of the lent ones `holders` has a bit for each member: set when it is
 * delivered, cleared when it comes back on the member's fill ring. Only a set bit can be cleared, so a frame that
 * is given back twice, or was never lent, is told at once. `holders` and all counts are in memory that no member
 * maps.
 *
 * A member gives frames back one by one, or by runs [XDPD_RUN]: those of so many RX entries in a row. Which frames
 * these named is kept by the loop, as the ring's own entries are the member's to write.
 *
 * What a member can write (its indices, entries, flags, frames to send) may hold anything at any time. Each word
 * is read once; `producer - consumer > size`, an address that is not the member's, a packet beyond its frame: that
 * is a violation, and from then on the member is passed over until a roster without it is adopted.
 *
 * How much a member can hold: at most its quota, and never more than is left to be lent. So however many members
 * keep what they got, something is left for each other, and `receive_frames - lendable` frames are never lent:
 * the kernel goes on receiving.
 *
 * Frames that a tap may be reading are given to the kernel late: with taps there are only `stock` frames with the
 * kernel, and the free ones wait in a queue. A frame's sequence number grows when it is given to the kernel.
 *
 * A crash. All that is needed to go on lies in memory that survives the process [ledger.h], and is written so that a
 * death between any two stores can be told. What a round does in several places at once is first written down as a step
 * (struct handoff_step, and each member's `next`), all of it as values to be set, none as something to be added; then
 * it is taken, and then it is done. handoff_recover() takes a step that was written down and not done once more, which
 * changes nothing where it had been taken already; that it dies itself is a crash like any other. What is not part of a
 * step is found again by elimination: a frame is lent if it has holders, in transmission if it has a sender, free if
 * `free` says so, and else with the kernel.
 *
 * Threads: all of it belongs to the worker's thread, but for the counters, which are written by relaxed stores and
 * may be read from any.
 */
#ifndef DAEMON_HANDOFF_H
#define DAEMON_HANDOFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/xdpd_protocol.h"
#include "client/xdpd_ring.h"
#include "daemon/roster.h"
#include "daemon/status.h"

#define HANDOFF_BURST 64

#define HANDOFF_NOBODY 0xff /* of a frame's sender: the frame is not in transmission */
#define HANDOFF_ORPHAN 0xfe /* it is, and its sender has left */

static_assert(HANDOFF_BURST <= XDPD_TAP_BURST, "a tap's reader counts on it");

/* Free-running; see struct xdpd_consumer_record. */
struct member_counters {
	uint64_t receive_packets, receive_bytes;
	uint64_t dropped_ring_full, dropped_quota;
	uint64_t returned, invalid_returns;
	uint64_t transmit_packets, transmit_bytes, transmit_invalid;
	uint64_t wakeups, doorbells;
};

/* What a step makes of a member. */
struct handoff_next {
	uint32_t rx, tx, completion; /* indices of its rings */
	uint32_t held, in_flight;
	uint64_t receive_packets, receive_bytes, dropped_ring_full, dropped_quota;
	uint64_t transmit_packets, transmit_bytes;
};

/* What the loop keeps of a member. The rings are joined by whoever makes it; sizes are powers of two. */
struct handoff_member {
	struct xdpd_ring
		rx; /* producer side. Of a tap: xdpd_ring.peer is not used, flags lie in its account */
	struct xdpd_ring fill;	       /* consumer side; size 0 for a tap */
	struct xdpd_ring tx;	       /* consumer side; size 0 if it may not transmit */
	struct xdpd_ring completion;   /* producer side; likewise */
	uint32_t *received; /* the frames of its last RX entries [handoff_received_size()]; not used of a tap */
	const unsigned char *transmit; /* its own memory */
	uint64_t transmit_size;	       /* bytes */
	int socket_fd;		       /* the worker's end of its bell; not used here */

	uint32_t quota;
	uint32_t held;
	uint32_t in_flight; /* frames that it sent as they are and the kernel has not completed */
	uint32_t deficit;   /* bytes that it may send in this turn */
	enum violation violation; /* not NONE: it is passed over */

	/* of the burst under way */
	uint32_t staged; /* entries written beyond rx.own */
	uint32_t room;	 /* entries that its RX ring had left at the start */
	uint64_t staged_bytes;

	uint32_t joined; /* 1: it was adopted, so its slot's column of the ledger is its own */

	struct handoff_next next;
	struct member_counters counters;
} __attribute__((aligned(64)));

enum handoff_step_kind {
	STEP_NONE,
	STEP_RECEIVE,
	STEP_COLLECT,
	STEP_PREPARE, /* packets are put into the TX ring beyond tx.own: taken back after a crash, not taken again */
	STEP_TRANSMIT,
	STEP_COMPLETE,
};

struct handoff_counters {
	uint64_t bursts, packets;
	uint64_t unclaimed;
	uint64_t transmit_packets, transmit_bytes; /* given to the kernel */
};

/* The step that is being taken. */
struct handoff_step {
	uint32_t kind;	 /* enum handoff_step_kind: written last, and first when it is done */
	uint32_t kernel; /* our index of the kernel's ring that it is about, when it began */
	uint32_t count;	 /* entries of that ring; COLLECT: of the member's fill ring */
	uint32_t slot;	 /* COLLECT */
	uint32_t member; /* COLLECT: our index of the member's fill ring, when it began */
	uint32_t named;	 /* COLLECT: frames that those entries give back */
	uint32_t held;	 /* COLLECT: 1: the member held them all, so those that nobody holds any more are free */
	uint64_t slots; /* whose `next` counts */
	uint64_t alike; /* RECEIVE: who is lent the first `least` frames */
	uint32_t least;
	uint32_t frames[HANDOFF_BURST];	  /* of the kernel's entries; COLLECT: that the member's give back */
	uint64_t holders[HANDOFF_BURST];  /* RECEIVE: who is lent the others */
	struct handoff_counters counters; /* RECEIVE, TRANSMIT: what it makes of them */
};

struct handoff {
	/* the other sides of the kernel's rings; tx and completion of size 0: no transmission */
	struct xdpd_ring rx, fill, tx, completion;
	unsigned char *umem;
	uint32_t frame_size, frame_shift;
	uint32_t frames, receive_frames;
	bool writable; /* members send held frames as they are */

	uint64_t *holders; /* by frame, [receive_frames] */
	uint8_t *free;	   /* by frame, [frames]: 1 if it is in the queue or on the stack below */
	uint8_t *
		senders; /* by frame, [receive_frames]: the slot that sent it as it is, or HANDOFF_NOBODY */
	uint32_t *sequences; /* by frame, [receive_frames]: shared with taps */

	/* free frames: a queue of numbers, and a stack of those for transmission */
	uint32_t *queue;			     /* [queue_mask + 1], at least receive_frames */
	uint32_t queue_head, queue_tail, queue_mask; /* free-running */
	uint32_t *stack;			     /* [frames - receive_frames] */
	uint32_t stacked;

	uint32_t with_kernel; /* frames given to the fill ring and not received yet */
	uint32_t lent;
	uint32_t forwarded;			    /* frames in transmission as they are */
	uint32_t lendable;			    /* the most that may be lent */
	uint32_t stock, stock_all, stock_with_taps; /* the most that are with the kernel */
	uint32_t
		recorded; /* entries of the kernel's fill ring before it are recorded in `free` as gone */
	void *arrays; /* that it allocated; NULL: they are the caller's */
	struct handoff_step step;

	const struct roster *roster;
	uint64_t before_socket; /* packets that were received by sockets before this one */
	uint64_t unmarked; /* of the roster, for the first one after a crash: see roster.h */
	uint32_t balanced; /* groups of the roster that split their frames among members */
	uint64_t serving; /* slots of members without violation */
	uint64_t wake; /* slots of members that asked to be woken: whoever wakes them clears it */
	uint64_t
		violated; /* slots of members that broke the rules since: whoever tells clears it */
	uint32_t turn;	  /* slot that transmits first */
	bool interrupted; /* in the middle of its turn */
	struct handoff_counters counters;
};

struct handoff_memory {
	unsigned char *umem;
	uint32_t *sequences;
	uint32_t frames, receive_frames, frame_size;
	uint32_t
		filled; /* frames [0, filled) are in the fill ring already: at most receive_frames */
	bool writable;
	void *arrays; /* handoff_arrays_size() bytes for what it keeps by frame, 0; NULL: it allocates them */
};

/* A multiple of 64. Only `frames` and `receive_frames` are looked at. */
size_t handoff_arrays_size(const struct handoff_memory *memory);

/*
 * Bytes of a member's `received`, a multiple of 64: by RX index, which frame each entry named. As many as there are
 * frames, as what lies between a frame that a member holds and its newest one it holds as well, if it gives back in
 * turn: so what it names by a run is there still.
 */
size_t handoff_received_size(uint32_t receive_frames);

/*
 * The rings are the kernel's, joined on this side; but for the filled frames they are empty, and all other frames are
 * free. Allocates what it keeps: returns 0, and ends with handoff_clear(), or -ENOMEM.
 */
int handoff_init(struct handoff *ret, const struct handoff_memory *memory,
		 const struct xdpd_ring *rx, const struct xdpd_ring *fill,
		 const struct xdpd_ring *tx, const struct xdpd_ring *completion);

void handoff_clear(struct handoff *handoff);

/*
 * Joins a member's ring anew that another process left, but for `own`, which is what it was at each moment: this too can
 * be interrupted for good.
 */
void handoff_rejoin(struct xdpd_ring *ring, const struct xdpd_ring *joined);

/*
 * Goes on with what another process left: `handoff` and `memory->arrays` are as they were when it ended, at any
 * instruction, also of this function, and are not trusted to be sound; the rings are the kernel's, joined anew. Members
 * that are in `stay` are in `members` by slot, with their rings joined anew [handoff_rejoin()]; one that has not been
 * adopted yet (`joined`) starts with nothing, whoever had its slot. All others have left. Then a roster with those who
 * stay has to be adopted before anything else; until then the kernel is given nothing.
 *
 * `fresh`: the rings are a new socket's, all empty. What was with the kernel is free now, and what was in transmission
 * is completed, sent or not. If the process ends before this returns, the next one has to do the same.
 *
 * Returns 0 or -EBADMSG, and nothing can be gone on with: what is there contradicts itself or the rings.
 */
int handoff_recover(struct handoff *handoff, const struct handoff_memory *memory,
		    const struct xdpd_ring *rx, const struct xdpd_ring *fill,
		    const struct xdpd_ring *tx, const struct xdpd_ring *completion, bool fresh,
		    struct handoff_member *const members[ROSTER_MEMBERS], uint64_t stay);

/* Takes a roster over: those that left have their frames taken back. It lives until the next is adopted. */
void handoff_adopt(struct handoff *handoff, const struct roster *roster);

/*
 * One round of everything: what members gave back, what the kernel received, what members send, what the kernel
 * has sent. Returns how many entries were moved; 0: there was nothing to do.
 *
 * As long as frames arrive, what a member gave back waits until it counts as holding a quarter of what it may.
 */
uint32_t handoff_run(struct handoff *handoff);

/* The parts of it. Each returns how many entries it took. */
uint32_t handoff_collect(struct handoff *handoff);
uint32_t handoff_receive(struct handoff *handoff);
uint32_t handoff_transmit(struct handoff *handoff);
uint32_t handoff_complete(struct handoff *handoff);

/* Gives the kernel free frames up to its stock. */
void handoff_stock(struct handoff *handoff);

/*
 * Before the worker sleeps: asks members to wake it when they send, and when they give frames back if the kernel has
 * few. Returns false if there is something to do now; then, and after the sleep, handoff_awake() takes that back.
 */
bool handoff_doze(struct handoff *handoff);
void handoff_awake(struct handoff *handoff);

/*
 * Frames that members want to send and that have to wait: for room in the kernel's ring or in the member's completion
 * ring, for a free frame to copy to; or that the kernel has not completed. A worker that dozes looks again after a while.
 */
bool handoff_has_transmission(const struct handoff *handoff);

/* After the last round: what has been received since is taken, and free, as nobody claims it. */
void handoff_abandon(struct handoff *handoff);

/* Frames by place (enum xdpd_frame_place); their sum is `frames`. */
void handoff_places(const struct handoff *handoff, uint32_t ret[XDPD_PLACE_COUNT]);

#endif
