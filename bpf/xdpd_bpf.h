/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * What the XDP program and the daemon share: the maps' keys and values.
 */
#ifndef BPF_XDPD_BPF_H
#define BPF_XDPD_BPF_H

#include <linux/types.h>

/* What became of a frame. The names are the metric's `action` label. */
enum xdpd_verdict {
	XDPD_VERDICT_REDIRECT, /* to the consumer's socket, whose own drops XDP_STATISTICS counts */
	XDPD_VERDICT_PASS,     /* to the kernel's stack: no consumer is attached to the queue */
	XDPD_VERDICT_PASS_OVERSIZE, /* to the kernel's stack: longer than a frame of the consumer's UMEM can hold */
	XDPD_VERDICT_PASS_RULE, /* to the kernel's stack: steering says so */
	XDPD_VERDICT_DROP_RULE, /* steering says so */
	XDPD_VERDICT_PASS_UNMARKED, /* to the kernel's stack: the driver has no room for metadata, and the queue needs it */
	XDPD_VERDICT_COUNT,
};

/* Value of the per-CPU array `counters`, whose index is xdpd_bpf_counter_index(). */
struct xdpd_bpf_counter {
	__u64 packets;
	__u64 bytes;
};

static inline __u32 xdpd_bpf_counter_index(__u32 queue, enum xdpd_verdict verdict)
{
	return queue * XDPD_VERDICT_COUNT + verdict;
}

/* The counters of one queue. */
struct xdpd_bpf_counters {
	struct xdpd_bpf_counter verdict[XDPD_VERDICT_COUNT];
};

/* Value of the array `queues`, whose index is the receive queue. */
struct xdpd_bpf_queue {
	__u32 capacity; /* bytes that a frame of the consumer's UMEM can hold; 0: there is no consumer */
	__u32 groups; /* those with a member on this queue, a bit each; all bits: exclusive */
	__u32 epoch;  /* of the metadata that is written before each frame; 0: none is */
	__u32 zero; /* padding */
};

#define XDPD_GROUPS_MAX 32
#define XDPD_RULES_MAX	64

/*
 * What the program found out about a frame, right before its first byte in the UMEM (the XDP metadata), where a
 * queue has members to tell apart. Frames that were on their way before the program wrote any carry something else
 * there: they are known by their epoch, which is new each time that it begins to write, and never 0.
 */
struct xdpd_metadata {
	__u32 epoch;
	__u32 groups; /* that get it; those without a member here are not among them */
	__u32 hash;   /* of the flow, the same in both directions; 0: the frame has none */
	__u32 rule;   /* that matched; XDPD_RULES_MAX: the default */
};

#endif
