// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * The XDP program: one per interface. It redirects a frame to the AF_XDP socket in the queue's slot of the
 * XSKMAP; where the slot is empty the frame passes to the kernel's stack as if no program were there.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/xdpd_bpf.h"

/* False where the kernel or the driver can't take a program for multi-buffer frames. */
const volatile _Bool multi_buffer = 1;

/* Both are resized to the interface's queues before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xdpd_bpf_counters);
} counters SEC(".maps");

static __always_inline void count(__u32 queue, enum xdpd_verdict verdict, __u64 bytes)
{
	struct xdpd_bpf_counters *of_queue = bpf_map_lookup_elem(&counters, &queue);

	if (of_queue) {
		of_queue->verdict[verdict].packets++;
		of_queue->verdict[verdict].bytes += bytes;
	}
}

SEC("xdp.frags")
int xdpd_redirect(struct xdp_md *ctx)
{
	__u32 queue = ctx->rx_queue_index;
	__u64 linear = ctx->data_end - ctx->data;
	__u64 bytes = multi_buffer ? bpf_xdp_get_buff_len(ctx) : linear;

	/* The sockets are bound without XDP_USE_SG: one would drop the frame for its length. */
	if (bytes != linear) {
		count(queue, XDPD_VERDICT_PASS_FRAGMENTS, bytes);
		return XDP_PASS;
	}

	/* The flags are what is returned for an empty slot [Linux 5.3]. */
	if (bpf_redirect_map(&sockets, queue, XDP_PASS) != XDP_REDIRECT) {
		count(queue, XDPD_VERDICT_PASS, bytes);
		return XDP_PASS;
	}
	count(queue, XDPD_VERDICT_REDIRECT, bytes);
	return XDP_REDIRECT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
