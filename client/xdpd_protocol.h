/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control protocol of xdpd, version 1: enough to write a client from.
 *
 * Transport: a UNIX SOCK_SEQPACKET socket, one message a packet. All integers are little-endian and fixed in
 * width, all structs are free of padding, strings are NUL-terminated inside a fixed array unless said
 * otherwise. Every message starts with `struct xdpd_header`; `length` counts the whole message and equals
 * the packet's. A body longer than the receiver knows is cut, so that members can be added at the end; a
 * body shorter than version 1's is a protocol error.
 *
 * A client speaks first, with HELLO; the daemon answers WELCOME. After that each request carries an id of
 * the client's choice (not 0), and everything that answers it carries the same id: any number of RECORD or
 * TEXT messages and then one DONE, or one ERROR. A client has one request under way at a time. EVENT and
 * REVOKE come unasked, with id 0. So may an ERROR, before the daemon closes the connection: whoever connects
 * can be turned away, and what is no message of the protocol has no id.
 *
 * Attaching:
 *
 *     consumer                          xdpd
 *        | -- ATTACH ------------------> |  credentials, queue free?
 *        | <-------- GRANT + fds ------- |  UMEM and rings, see struct xdpd_grant
 *        |  maps them                    |
 *        | -- READY -------------------> |  binds the socket if it was not yet, puts it into the XSKMAP
 *        | <------------------ STARTED - |  frames flow
 *        |              ...              |
 *        | -- DETACH, or just close ---> |  the connection is the lease
 *
 * What is not trusted: the daemon trusts nothing that a client sends. Lengths and enumerations are checked,
 * unterminated strings refused, fds that nobody asked for closed and the sender disconnected, likewise a
 * sender of truncated control data. Access is decided by the kernel's word on the peer (SO_PEERCRED,
 * SO_PEERGROUPS), never by anything in a message. A client trusts the daemon.
 */
#ifndef XDPD_PROTOCOL_H
#define XDPD_PROTOCOL_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define XDPD_DEFAULT_SOCKET "/run/xdpd/xdpd.sock"

#define XDPD_PROTOCOL_MAGIC   0x64706478u /* "xdpd" */
#define XDPD_PROTOCOL_VERSION 1

#define XDPD_DEVICE_MAX	 16  /* IFNAMSIZ */
#define XDPD_NAME_MAX	 32  /* a consumer's or group's name: [A-Za-z0-9_.:-]+ */
#define XDPD_REASON_MAX	 256 /* a sentence for a person */
#define XDPD_MESSAGE_MAX 16384

enum xdpd_message {
	/* to the daemon */
	XDPD_HELLO = 1,
	XDPD_ATTACH = 2,    /* struct xdpd_attach_request; answered by GRANT or ERROR */
	XDPD_READY = 3,	    /* no body; answered by STARTED or ERROR */
	XDPD_DETACH = 4,    /* no body, no answer: the daemon closes the connection */
	XDPD_SUBSCRIBE = 5, /* no body; DONE, then EVENTs until the connection ends */
	XDPD_LIST = 6,	    /* struct xdpd_list_request; RECORDs (or TEXTs), DONE */
	XDPD_ADD_QUEUE =
		7, /* struct xdpd_queue_request; DONE or ERROR. Administrators only, as all below */
	XDPD_REMOVE_QUEUE = 8, /* struct xdpd_queue_request; DONE or ERROR */
	XDPD_EJECT = 9,	       /* struct xdpd_eject_request; DONE or ERROR */
	XDPD_RELOAD =
		10, /* no body; TEXTs that say what changed, DONE; or TEXTs with the errors, ERROR */
	XDPD_TRACE =
		11, /* struct xdpd_trace_request; RECORDs of kind XDPD_LIST_TRACE, DONE; or ERROR */

	/* from the daemon */
	XDPD_WELCOME = 0x8001,
	XDPD_GRANT = 0x8002,   /* struct xdpd_grant, with its fds in one SCM_RIGHTS */
	XDPD_STARTED = 0x8003, /* no body; twice if xdpd is restarted just then */
	XDPD_DONE = 0x8004,    /* no body */
	XDPD_ERROR = 0x8005,   /* struct xdpd_error */
	XDPD_RECORD = 0x8006,  /* u32 kind (enum xdpd_list), u32 zero, then that kind's struct */
	XDPD_TEXT = 0x8007, /* the rest of the message is text, not terminated; pieces are joined */
	XDPD_EVENT = 0x8008, /* struct xdpd_event */
	XDPD_REVOKE =
		0x8009, /* struct xdpd_error: why the attachment ends; the connection closes after it */
};

struct xdpd_header {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t length;
	uint32_t id;
};

/* The daemon picks the highest version that both speak. Feature bits are for what a version leaves optional. */
struct xdpd_hello {
	struct xdpd_header header;
	uint16_t version_min;
	uint16_t version_max;
	uint32_t zero;
	uint64_t features;
	char name[XDPD_NAME_MAX]; /* the client's name for people and metrics, e.g. "suricata" */
};

struct xdpd_welcome {
	struct xdpd_header header;
	uint16_t version;
	uint16_t zero16;
	uint32_t zero32;
	uint64_t features;
	char release[32]; /* the daemon's version, e.g. "0.1.0" */
};

/*
 * In a REVOKE, the code says whether attaching again may help: ESHUTDOWN (xdpd stops, or was restarted and could not
 * go on with this attachment), ENETDOWN (the interface or the queue is gone, or is set up anew), EUSERS, ETIMEDOUT; or
 * not: ECANCELED (ejected by an administrator), EACCES (not allowed any more), EPROTO (what the consumer did).
 */
struct xdpd_error {
	struct xdpd_header header;
	uint32_t code; /* an errno of Linux */
	uint32_t zero;
	char reason[XDPD_REASON_MAX];
};

/* ---- attaching ---- */

struct xdpd_attach_request {
	struct xdpd_header header;
	char device[XDPD_DEVICE_MAX];
	uint32_t queue;
	uint32_t flags;		   /* enum xdpd_attach_flags */
	char group[XDPD_NAME_MAX]; /* shared delivery; empty: the client's own name */
};

enum xdpd_attach_flags {
	XDPD_ATTACH_TRANSMIT =
		1 << 0, /* wants the TX ring; refused with EACCES where it may not transmit */
	/* Shared delivery, at most one of them; neither: as the group is configured. */
	XDPD_ATTACH_HOLD =
		1 << 1, /* borrows frames; refused with EACCES where the group may only tap */
	XDPD_ATTACH_TAP = 1 << 2, /* observes; refused with EOPNOTSUPP on an exclusive queue */
};

/* A stretch of one of the fds, to be mapped shared, and for reading and writing unless said otherwise. */
struct xdpd_region {
	uint32_t fd;	/* its place in the SCM_RIGHTS array */
	uint32_t flags; /* enum xdpd_region_flags */
	uint64_t offset;
	uint64_t length;
};

enum xdpd_region_flags {
	XDPD_REGION_READ_ONLY = 1 << 0,
};

/* Offsets are within the region. Entries are struct xdp_desc (RX, TX) or u64 (fill, completion). */
struct xdpd_ring_place {
	struct xdpd_region region;
	uint32_t size; /* entries; 0: there is no such ring */
	uint32_t zero;
	uint64_t producer;
	uint64_t consumer;
	uint64_t flags;
	uint64_t entries;
};

enum xdpd_grant_flags {
	/* the rings are the kernel's own, and wait and wake are calls on the AF_XDP socket */
	XDPD_GRANT_EXCLUSIVE = 1 << 0,
	/* told by XDP_OPTIONS when the socket is bound already, else in no grant */
	XDPD_GRANT_ZERO_COPY = 1 << 1,
	XDPD_GRANT_TAP = 1 << 2,
	/* shared: the UMEM may be mapped for writing, and a frame that is held may be sent as it is */
	XDPD_GRANT_WRITABLE = 1 << 3,
	/* shared: the fill ring takes runs, too */
	XDPD_GRANT_RUNS = 1 << 4,
};

/*
 * An entry of a fill ring with XDPD_GRANT_RUNS that gives back `count` frames at once, 1 to XDPD_RUN_MAX: those that
 * came in the RX ring at index `first` and the ones after it. All of them are held, as if each address were named.
 *
 *     63   62 .. 32   31 .. 0
 *     | 1 | count    | first  |
 */
#define XDPD_RUN     (UINT64_C(1) << 63)
#define XDPD_RUN_MAX 64

static inline uint64_t xdpd_run(uint32_t first, uint32_t count)
{
	return XDPD_RUN | (uint64_t)count << 32 | first;
}

static inline bool xdpd_is_run(uint64_t entry)
{
	return entry & XDPD_RUN;
}

static inline uint32_t xdpd_run_first(uint64_t entry)
{
	return (uint32_t)entry;
}

static inline uint32_t xdpd_run_count(uint64_t entry)
{
	return (uint32_t)((entry & ~XDPD_RUN) >> 32);
}

/*
 * Exclusive: frames [0, filled) are in the fill ring already, frames [filled, frames) are the consumer's to transmit
 * with; frame i is at umem + i * frame_size. A received descriptor's address points `256 + headroom` or more
 * into its frame, and any address within a frame names that frame on the fill ring.
 *
 * Shared: the rings are xdpd's, in the same layout and with the same meaning, and `wait_fd` is one end of a stream
 * socket. What it carries has no meaning but that one side wakes the other: a consumer that is about to sleep sets
 * XDP_RING_NEED_WAKEUP in the flags of its RX ring, looks at the ring again, and polls for POLLIN; one that has put
 * entries into the fill or TX ring and finds the flag set there sends a byte. No side waits for the other to read.
 *
 * What is received is lent: it is read where it lies, and its address goes back on the fill ring (or a run does: see
 * XDPD_RUN), which has an entry for each frame of the UMEM and so is never full. `filled` is `frames`, and none of them is
 * the consumer's to send.
 * It transmits from `transmit`, memory of its own: a TX descriptor's address below umem.length names a frame that the
 * consumer holds (the packet is copied; the frame comes back on the completion ring and is held until it is put on
 * the fill ring), one from there on names offset `address - umem.length` of `transmit`, which is cut into
 * `transmit_frames` frames of frame_size, and comes back on the completion ring. A packet lies within one frame.
 *
 * A tap (XDPD_GRANT_TAP) is lent nothing and has no fill ring. Its RX ring is read-only: the producer goes on over
 * entries that were not read, so entry i is whole only if, after it was read, `producer - i` is at most
 * `size - XDPD_TAP_BURST`. `options` of an entry is a sequence number: the frame is what was received only if, after
 * its last byte was read, `sequences[address / frame_size]` is that number still. The consumer's index and the flags
 * for its sleep are in struct xdpd_account.
 */
struct xdpd_grant {
	struct xdpd_header header;
	uint32_t flags;	  /* enum xdpd_grant_flags */
	uint32_t n_fds;	  /* how many came with this message */
	uint32_t wait_fd; /* place of the fd to poll and, exclusive, to wake the kernel with */
	uint32_t frames;
	uint32_t frame_size;
	uint32_t headroom;
	uint32_t filled;
	uint32_t zero;
	struct xdpd_region umem;
	struct xdpd_region account; /* struct xdpd_account */
	struct xdpd_ring_place rx;
	struct xdpd_ring_place tx; /* size 0 where the consumer may not transmit */
	struct xdpd_ring_place fill;
	struct xdpd_ring_place completion;

	/* of shared delivery; all 0 in an exclusive grant */
	struct xdpd_region transmit;  /* length 0: it may not transmit */
	struct xdpd_region sequences; /* of a tap: u32 for each frame */
	uint32_t transmit_frames;
	uint32_t quota;		   /* frames that it can hold at once, at most; 0 for a tap */
	char group[XDPD_NAME_MAX]; /* that it has joined */
};

/* Entries of a tap's RX ring, from the producer's index on, that may be being written at any moment. */
#define XDPD_TAP_BURST 64

/* What only the consumer can count, in memory that it shares with the daemon: shown, never acted on. */
struct xdpd_account {
	uint64_t
		transmit_bytes; /* free-running, written by the consumer after it published the descriptors */
	/* of a tap */
	uint64_t overrun;  /* free-running: frames that were overwritten before it had read them */
	uint32_t consumer; /* the index of the next RX entry that it reads */
	uint32_t flags;	   /* XDP_RING_NEED_WAKEUP: it sleeps */
};

/* ---- administration ---- */

enum xdpd_list {
	XDPD_LIST_DAEMON = 1,	  /* one struct xdpd_daemon_record */
	XDPD_LIST_INTERFACES = 2, /* struct xdpd_interface_record each */
	XDPD_LIST_QUEUES = 3,	  /* struct xdpd_queue_record each */
	XDPD_LIST_CONSUMERS = 4,  /* struct xdpd_consumer_record each */
	XDPD_LIST_CONFIG = 5,	  /* the running config's YAML, as TEXT; administrators only */
	XDPD_LIST_GROUPS = 6,  /* struct xdpd_group_record each: of queues with shared delivery */
	XDPD_LIST_RULES = 7,   /* struct xdpd_rule_record each, an interface's default last */
	XDPD_LIST_WORKERS = 8, /* struct xdpd_worker_record each */
	XDPD_LIST_TRACE = 9,   /* struct xdpd_trace_record each: answers TRACE only */
};

struct xdpd_list_request {
	struct xdpd_header header;
	uint32_t kind; /* enum xdpd_list */
	uint32_t zero;
};

/*
 * ADD_QUEUE: `fragment` is one item of the config's `queues:` list in YAML's flow style, parsed and checked
 * as in the file: `{ id: 3, frames: 8192, rings: { rx: 1024 } }`. REMOVE_QUEUE: only `id` is looked at. The
 * text takes the rest of the message and is not terminated.
 */
struct xdpd_queue_request {
	struct xdpd_header header;
	char device[XDPD_DEVICE_MAX];
	char fragment[];
};

struct xdpd_eject_request {
	struct xdpd_header header;
	char device[XDPD_DEVICE_MAX];
	uint32_t queue;
	uint32_t zero;
	char consumer[XDPD_NAME_MAX]; /* empty: whoever is attached */
	char reason[XDPD_REASON_MAX]; /* told to the consumer */
};

/* What would become of a frame: the XDP program itself is asked, by BPF_PROG_TEST_RUN. */
struct xdpd_trace_request {
	struct xdpd_header header;
	char device[XDPD_DEVICE_MAX];
	uint32_t queue; /* that it would arrive on; UINT32_MAX: each configured queue */
	uint32_t zero;
	uint8_t frame
		[]; /* from the Ethernet header on, at least 14 bytes; takes the rest of the message */
};

enum xdpd_delivery {
	XDPD_EXCLUSIVE = 1,
	XDPD_SHARED = 2,
};

enum xdpd_hold_mode {
	XDPD_HOLD = 1,
	XDPD_TAP = 2,
};

enum xdpd_action {
	XDPD_ACTION_REDIRECT = 1,
	XDPD_ACTION_PASS = 2, /* to the kernel's stack */
	XDPD_ACTION_DROP = 3,
};

enum xdpd_xdp_mode {
	XDPD_MODE_NONE = 0, /* no program attached */
	XDPD_MODE_AUTO = 1, /* only as what is wanted */
	XDPD_MODE_NATIVE = 2,
	XDPD_MODE_GENERIC = 3,
};

enum xdpd_bind_mode {
	XDPD_BIND_NONE = 0, /* not bound */
	XDPD_BIND_AUTO = 1, /* only as what is wanted */
	XDPD_BIND_ZERO_COPY = 2,
	XDPD_BIND_COPY = 3,
};

enum xdpd_queue_state {
	XDPD_QUEUE_WAITING = 1,	 /* the interface, or the queue on it, does not exist (yet) */
	XDPD_QUEUE_READY = 2,	 /* a consumer can attach; frames pass to the kernel's stack */
	XDPD_QUEUE_ATTACHED = 3, /* a consumer receives */
	XDPD_QUEUE_RELEASING =
		4,	     /* the last consumer's socket is still being released by the kernel */
	XDPD_QUEUE_BUSY = 5, /* somebody else holds the queue, see the reason */
	XDPD_QUEUE_FAILED = 6, /* it can't be had, see the reason */
};

struct xdpd_daemon_record {
	char release[32];
	char config[512];     /* the file's absolute path */
	uint64_t started;     /* seconds since the epoch */
	uint64_t last_reload; /* seconds since the epoch of the last successful load */
	uint32_t pid;
	uint32_t last_reload_ok;  /* 0 or 1 */
	uint32_t runtime_changes; /* queues that are not as the file has them */
	uint32_t zero;
	uint64_t restarts; /* of the process since `started`, over which everything was kept */
};

struct xdpd_interface_record {
	char device[XDPD_DEVICE_MAX];
	char driver[32];  /* empty while absent */
	uint32_t ifindex; /* 0: absent */
	uint32_t up;	  /* administratively up and with carrier */
	uint32_t mtu;
	uint32_t channels;    /* receive queues that the interface has now */
	uint32_t wanted_mode; /* enum xdpd_xdp_mode */
	uint32_t mode;	      /* enum xdpd_xdp_mode */
	uint32_t wanted_bind; /* enum xdpd_bind_mode */
	uint32_t program_id;  /* of xdpd's XDP program; 0: not attached */
	uint64_t
		xdp_features; /* NETDEV_XDP_ACT_* [linux/netdev.h]; 0 where the kernel can't tell (< 6.3) */
	uint32_t zero_copy_segments;  /* xdp-zc-max-segs; 0: not told */
	uint32_t multi_buffer;	      /* the program was loaded fit for multi-buffer frames */
	uint32_t queues;	      /* configured */
	uint32_t queues_ready;	      /* ready or attached */
	char reason[XDPD_REASON_MAX]; /* empty: all is as wanted */
	char note[XDPD_REASON_MAX];   /* what else there is to know, with all as wanted; empty: nothing */
};

struct xdpd_ring_record {
	uint32_t size;	  /* entries; 0: no such ring */
	uint32_t entries; /* in it now */
};

struct xdpd_queue_record {
	char device[XDPD_DEVICE_MAX];
	uint32_t queue;
	uint32_t state;	      /* enum xdpd_queue_state */
	uint32_t delivery;    /* enum xdpd_delivery */
	uint32_t wanted_bind; /* enum xdpd_bind_mode */
	uint32_t bind;	      /* enum xdpd_bind_mode */
	uint32_t runtime;     /* 1: added or changed since the file was read */
	uint32_t frames;
	uint32_t frame_size;
	uint32_t headroom;
	uint32_t zero;
	struct xdpd_ring_record rx, tx, fill, completion;
	uint64_t receive_packets, receive_bytes;
	uint64_t transmit_packets, transmit_bytes;
	uint64_t receive_dropped, receive_ring_full,
		fill_ring_empty; /* XDP_STATISTICS, since the daemon's start */
	uint64_t receive_invalid_descriptors, transmit_invalid_descriptors, transmit_ring_empty;
	uint64_t passed_packets, passed_bytes; /* to the kernel's stack */
	char consumer[XDPD_NAME_MAX]; /* empty: none; shared: the one that attached first */
	char reason[XDPD_REASON_MAX]; /* why the state is not `ready` or `attached` */
	uint32_t consumers;	      /* attached now */
	uint32_t classified; /* 1: the program marks frames with their groups and flow's hash */
	uint64_t dropped_by_rule; /* frames that steering dropped */
};

struct xdpd_consumer_record {
	char name[XDPD_NAME_MAX];
	char device[XDPD_DEVICE_MAX];
	uint32_t queue;
	uint32_t uid;
	uint32_t pid;
	uint32_t transmit;			 /* 1: may transmit */
	uint64_t attached;			 /* seconds since the epoch */
	uint64_t receive_packets, receive_bytes; /* since it attached */
	uint64_t transmit_packets, transmit_bytes;
	uint64_t
		dropped; /* meant for it and lost: no frame in the fill ring, or RX ring full; shared: the sum of those below */

	/* of shared delivery, since it attached; else 0 */
	char group[XDPD_NAME_MAX]; /* empty: exclusive */
	uint32_t mode;		   /* enum xdpd_hold_mode; 0: exclusive */
	uint32_t quota;
	uint32_t held; /* frames that it holds now */
	uint32_t zero;
	uint64_t dropped_ring_full; /* its RX ring had no room */
	uint64_t dropped_quota;	    /* it held as much as it may */
	uint64_t overrun;  /* of a tap, as it tells itself: overwritten before they were read */
	uint64_t returned; /* frames given back */
	uint64_t invalid_returns;  /* of frames that it did not hold */
	uint64_t transmit_invalid; /* descriptors that were no packet of its */
	uint64_t wakeups;	   /* times that it was woken */
	uint64_t doorbells;	   /* times that it woke the worker */
};

/*
 * A group on one queue, with what its members ever received there. The counters go on when members leave, and end
 * with the group: when its last member has left and no config names it.
 */
struct xdpd_group_record {
	char name[XDPD_NAME_MAX];
	char device[XDPD_DEVICE_MAX];
	uint32_t queue;
	uint32_t mode; /* enum xdpd_hold_mode: what a member gets that asks for nothing else */
	uint32_t members;
	uint32_t configured; /* 1: named in the config; 0: made by attaching */
	uint32_t quota;	     /* of each member */
	uint32_t held;	     /* by all members, now */
	uint64_t receive_packets, receive_bytes;
	uint64_t dropped_ring_full, dropped_quota, overrun;
	uint64_t transmit_packets, transmit_bytes;
};

/* A rule of an interface in the order of its evaluation. */
struct xdpd_rule_record {
	char device[XDPD_DEVICE_MAX];
	uint32_t rule;		 /* its place, from 0 on; UINT32_MAX: the default */
	uint32_t action;	 /* enum xdpd_action */
	uint64_t packets, bytes; /* that it was the first to match */
	char match
		[XDPD_REASON_MAX]; /* as in the config: `proto: tcp, port: 22`; cut if it is longer */
	char groups[XDPD_REASON_MAX]; /* `ids, dns`; empty: all, or not a redirect */
};

enum xdpd_frame_place { /* each frame of a UMEM is in one of them */
			XDPD_PLACE_KERNEL =
				0, /* to be filled, or filled and not taken from the RX ring yet */
			XDPD_PLACE_TRANSMIT = 1, /* in the kernel's TX ring or not completed yet */
			XDPD_PLACE_FREE = 2,
			XDPD_PLACE_LENT = 3, /* one or more members hold it */
			XDPD_PLACE_COUNT = 4,
};

/* The thread of a queue with shared delivery that has consumers. */
struct xdpd_worker_record {
	char device[XDPD_DEVICE_MAX];
	uint32_t queue;
	uint32_t tid; /* 0: it does not run, as nobody is attached */
	uint32_t cpu; /* UINT32_MAX: any */
	uint32_t spin_usecs;
	uint32_t scheduler; /* SCHED_OTHER, SCHED_BATCH, SCHED_FIFO, SCHED_RR */
	uint32_t priority;
	uint32_t frames
		[XDPD_PLACE_COUNT]; /* by place, at one moment: their sum is the UMEM's frames */
	uint64_t bursts, packets;   /* taken from the RX ring */
	uint64_t busy_ns, idle_ns;  /* awake with and without something to do */
	uint64_t sleeps;
	uint64_t unclaimed;  /* frames whose member had left between the program and the worker */
	uint64_t violations; /* members ejected for what they wrote into their rings */
};

/* One for each group that would get the frame, or one with an empty group if none would. */
struct xdpd_trace_record {
	char device[XDPD_DEVICE_MAX];
	uint32_t queue;
	uint32_t action; /* enum xdpd_action; PASS also where a redirect finds no consumer */
	uint32_t rule;	 /* UINT32_MAX: the default */
	uint32_t hash;	 /* of the flow; 0: it has none */
	char group[XDPD_NAME_MAX];    /* empty with a consumer: exclusive */
	char consumer[XDPD_NAME_MAX]; /* empty: none */
	char text[XDPD_REASON_MAX];   /* why there is no consumer, or what else there is to say */
};

enum xdpd_event_kind {
	XDPD_EVENT_INTERFACE_APPEARED = 1,
	XDPD_EVENT_INTERFACE_GONE = 2,
	XDPD_EVENT_LINK_UP = 3,
	XDPD_EVENT_LINK_DOWN = 4,
	XDPD_EVENT_QUEUE_STATE = 5,
	XDPD_EVENT_ATTACHED = 6,
	XDPD_EVENT_DETACHED = 7,
	XDPD_EVENT_RELOADED = 8,
	XDPD_EVENT_RELOAD_FAILED = 9,
	XDPD_EVENT_STOPPING = 10,
	XDPD_EVENT_INTERFACE_CHANGED = 11, /* its receive queues, MTU or XDP program, as the text says */
};

/* An attached consumer gets those of its own interface and queue, but not who attaches and detaches; a subscriber all. */
struct xdpd_event {
	struct xdpd_header header;
	uint64_t time;		      /* nanoseconds since the epoch */
	uint32_t kind;		      /* enum xdpd_event_kind */
	uint32_t queue;		      /* UINT32_MAX: not about one queue */
	char device[XDPD_DEVICE_MAX]; /* empty: not about one interface */
	char text[XDPD_REASON_MAX];
};

/* The least that a request has to have, for ever: version 1's sizes, whatever members are added to the structs. */
#define XDPD_HEADER_V1	       16
#define XDPD_HELLO_V1	       64
#define XDPD_ATTACH_REQUEST_V1 72
#define XDPD_LIST_REQUEST_V1   24
#define XDPD_QUEUE_REQUEST_V1  32 /* and the fragment */
#define XDPD_EJECT_REQUEST_V1  328
#define XDPD_TRACE_REQUEST_V1  40 /* and the frame */
#define XDPD_GRANT_V1              \
	offsetof(                  \
		struct xdpd_grant, \
		transmit) /* what a client may rely on; the members after it read 0 from an older daemon */

/* A struct that gets longer has outgrown its line here. */
static_assert(sizeof(struct xdpd_header) == XDPD_HEADER_V1, "version 1");
static_assert(sizeof(struct xdpd_hello) == XDPD_HELLO_V1, "version 1");
static_assert(sizeof(struct xdpd_attach_request) == XDPD_ATTACH_REQUEST_V1, "version 1");
static_assert(sizeof(struct xdpd_list_request) == XDPD_LIST_REQUEST_V1, "version 1");
static_assert(sizeof(struct xdpd_queue_request) == XDPD_QUEUE_REQUEST_V1, "version 1");
static_assert(sizeof(struct xdpd_eject_request) == XDPD_EJECT_REQUEST_V1, "version 1");
static_assert(sizeof(struct xdpd_trace_request) == XDPD_TRACE_REQUEST_V1, "version 1");

#ifdef __cplusplus
}
#endif

#endif
