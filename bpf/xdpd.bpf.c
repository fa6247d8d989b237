// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * The XDP program: one per interface. It redirects a frame to the AF_XDP socket in the queue's slot of the
 * XSKMAP; where the slot is empty the frame passes to the kernel's stack as if no program were there.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/xdpd_bpf.h"

/* All are resized to the interface's queues before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xdpd_bpf_queue);
} queues SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XDPD_VERDICT_COUNT);
	__type(key, __u32);
	__type(value, struct xdpd_bpf_counter);
} counters SEC(".maps");

static __always_inline enum xdpd_verdict judge(__u32 index, __u64 bytes)
{
	struct xdpd_bpf_queue *queue = bpf_map_lookup_elem(&queues, &index);

	if (!queue || !queue->capacity)
		return XDPD_VERDICT_PASS;
	/* The socket is bound without XDP_USE_SG and would drop it. */
	if (bytes > queue->capacity)
		return XDPD_VERDICT_PASS_OVERSIZE;
	/* The flags are what is returned for an empty slot, as when the consumer's last fd has gone [Linux 5.3]. */
	if (bpf_redirect_map(&sockets, index, XDP_PASS) != XDP_REDIRECT)
		return XDPD_VERDICT_PASS;
	return XDPD_VERDICT_REDIRECT;
}

/*
 * Loadable with CAP_BPF and CAP_NET_ADMIN alone: without CAP_PERFMON the verifier takes neither the difference
 * of two packet pointers, nor a variable offset from one, nor an offset that differs between paths; Linux 6.1
 * looks for them also in a branch that a constant rules out.
 *
 * The section's flag makes it fit for frames of several buffers; the daemon clears it where AF_XDP sockets are not.
 */
SEC("xdp.frags")
int xdpd_redirect(struct xdp_md *ctx)
{
	__u32 queue = ctx->rx_queue_index;
	__u64 bytes = bpf_xdp_get_buff_len(ctx);
	enum xdpd_verdict verdict = judge(queue, bytes);
	__u32 index = xdpd_bpf_counter_index(queue, verdict);
	struct xdpd_bpf_counter *counter = bpf_map_lookup_elem(&counters, &index);

	if (counter) {
		counter->packets++;
		counter->bytes += bytes;
	}
	return verdict == XDPD_VERDICT_REDIRECT ? XDP_REDIRECT : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
