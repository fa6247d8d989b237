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
};

#endif
