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

static __always_inline int redirect(__u32 queue, __u64 bytes)
{
	enum xdpd_verdict verdict = judge(queue, bytes);
	__u32 index = xdpd_bpf_counter_index(queue, verdict);
	struct xdpd_bpf_counter *counter = bpf_map_lookup_elem(&counters, &index);

	if (counter) {
		counter->packets++;
		counter->bytes += bytes;
	}
	return verdict == XDPD_VERDICT_REDIRECT ? XDP_REDIRECT : XDP_PASS;
}

/*
 * One of the following is loaded; they differ in how they learn a frame's length and in whether it may have several
 * buffers.
 */
#ifndef XDPD_DIRECT

/*
 * These two load with CAP_BPF and CAP_NET_ADMIN alone: without CAP_PERFMON the verifier takes neither the
 * difference of two packet pointers, nor a variable offset from one, nor an offset that differs between paths; Linux
 * 6.1 looks for them also in a branch that a constant rules out. So they call a helper [Linux 5.18].
 */
SEC("xdp.frags")
int xdpd_redirect(struct xdp_md *ctx)
{
	return redirect(ctx->rx_queue_index, bpf_xdp_get_buff_len(ctx));
}

/* Where AF_XDP sockets do not take frames of several buffers (before 6.6). */
SEC("xdp")
int xdpd_redirect_linear(struct xdp_md *ctx)
{
	return redirect(ctx->rx_queue_index, bpf_xdp_get_buff_len(ctx));
}

#else

/* What is read of the kernel's own struct; the offsets are found by its BTF. */
struct xdp_buff {
	void *data;
	void *data_end;
	__u32 flags;
} __attribute__((preserve_access_index));

#define XDP_FLAGS_HAS_FRAGS (1 << 0) /* [include/net/xdp.h] */

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;

/*
 * Without the helper's call, a fifth of the program's time; needs CAP_PERFMON and Linux 6.2. An object of its own:
 * where the kernel lacks the function, libbpf looks for it in modules, which takes CAP_SYS_ADMIN, and gives up.
 */
SEC("xdp.frags")
int xdpd_redirect(struct xdp_md *ctx)
{
	struct xdp_buff *buffer = bpf_cast_to_kern_ctx(ctx);
	__u64 bytes = (__u64)buffer->data_end - (__u64)buffer->data;

	if (buffer->flags & XDP_FLAGS_HAS_FRAGS)
		bytes = bpf_xdp_get_buff_len(ctx);
	return redirect(ctx->rx_queue_index, bytes);
}

#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";
