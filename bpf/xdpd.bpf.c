// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * The XDP program: one per interface. The interface's rules say of each frame whether it is dropped, passes to the
 * kernel's stack, or is redirected to the AF_XDP socket in the queue's slot of the XSKMAP; where the slot is empty the
 * frame passes as if no program were there. Where the queue asks for it, what was found out about the frame is written
 * right before it.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/frame.bpf.h"
#include "bpf/match.bpf.h"
#include "bpf/steering.h"
#include "bpf/xdpd_bpf.h"

/* These three are resized to the interface's queues before the load. */
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

/* By sizes, as clang leaves out the types that only an inner map has. */
struct steering_value {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct xdpd_bpf_steering));
};

/*
 * The rules in force; none: all frames are redirected, to all groups. They are one value that is replaced as a whole:
 * a frame sees the old one or the new one, and the kernel returns from the update when no frame sees the old one.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct steering_value);
} steering SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XDPD_RULE_COUNTERS);
	__type(key, __u32);
	__type(value, struct xdpd_bpf_counter);
} rule_counters SEC(".maps");

/*
 * A frame and what is to be done with it. Not on the stack: without CAP_PERFMON each first write to a place there
 * comes with a barrier against speculation, and a value that the verifier has to follow there is one in which two ways
 * through the program differ.
 */
struct judgement {
	struct frame frame;
	struct search search;
	__u32 action, groups, rule, hash;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct judgement);
} judgements SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xdpd_bpf_trace);
} trace SEC(".maps");

static __always_inline void count(void *map, __u32 index, __u64 bytes)
{
	struct xdpd_bpf_counter *counter = bpf_map_lookup_elem(map, &index);

	if (counter) {
		counter->packets++;
		counter->bytes += bytes;
	}
}

static __always_inline const struct xdpd_bpf_steering *rules_in_force(void)
{
	const __u32 only = 0;
	void *value = bpf_map_lookup_elem(&steering, &only);

	return value ? bpf_map_lookup_elem(value, &only) : NULL;
}

/* NULL can't be, but the verifier does not know. */
static __always_inline struct judgement *
look_at(struct xdp_md *ctx, const struct xdpd_bpf_steering *rules, bool hash)
{
	const __u32 only = 0;
	struct judgement *judgement = bpf_map_lookup_elem(&judgements, &only);

	if (!judgement)
		return NULL;
	if (!read_common(ctx, &judgement->frame))
		read_any(ctx, &judgement->frame);
	if (rules) {
		const struct xdpd_bpf_rule *rule = first_match(rules, &judgement->frame,
							      &judgement->search);

		judgement->action = rule->action;
		judgement->groups = rule->groups;
		judgement->rule = rule->rule;
	} else {
		judgement->action = XDPD_BPF_REDIRECT;
		judgement->groups = ~0u;
		judgement->rule = XDPD_RULES_MAX;
	}
	if (hash)
		judgement->hash = flow_hash(&judgement->frame);
	return judgement;
}

/* Whether the queue's consumers can have a frame that is for these groups. */
static __always_inline enum xdpd_verdict judge(const struct xdpd_bpf_queue *queue, __u32 groups,
					       __u64 bytes)
{
	if (!queue || !queue->capacity || !(groups & queue->groups))
		return XDPD_VERDICT_PASS;
	/* The socket is bound without XDP_USE_SG and would drop it. */
	if (bytes > queue->capacity)
		return XDPD_VERDICT_PASS_OVERSIZE;
	return XDPD_VERDICT_REDIRECT;
}

/* The flags are what is returned for an empty slot, as when the consumer's last fd has gone [Linux 5.3]. */
static __always_inline bool send(__u32 index)
{
	return bpf_redirect_map(&sockets, index, XDP_PASS) == XDP_REDIRECT;
}

/* Drivers that have no room for metadata refuse. What a driver may have left there itself must not lie in between. */
static __always_inline bool mark(struct xdp_md *ctx, const struct judgement *judgement,
				 const struct xdpd_bpf_queue *queue)
{
	struct xdpd_metadata *metadata = (void *)(long)ctx->data_meta;

	if ((void *)(metadata + 1) > (void *)(long)ctx->data) {
		if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*metadata)))
			return false;
		metadata = (void *)(long)ctx->data_meta;
	}
	if ((void *)(metadata + 1) > (void *)(long)ctx->data)
		return false;
	/* Not as one comparison, which without CAP_PERFMON packet pointers may not be asked for. */
	asm volatile("" : "+r"(metadata));
	if ((void *)(metadata + 1) < (void *)(long)ctx->data)
		return false;
	metadata->epoch = queue->epoch;
	metadata->groups = judgement->groups & queue->groups;
	metadata->hash = judgement->hash;
	metadata->rule = judgement->rule;
	return true;
}

/* Where there are neither rules nor members to tell apart, nobody looks at the frame. */
static __always_inline enum xdpd_verdict handle_plainly(const struct xdpd_bpf_queue *queue,
							__u32 index, __u64 bytes)
{
	enum xdpd_verdict verdict = judge(queue, ~0u, bytes);

	if (verdict == XDPD_VERDICT_REDIRECT && !send(index))
		return XDPD_VERDICT_PASS;
	return verdict;
}

static __always_inline enum xdpd_verdict handle(struct xdp_md *ctx,
						const struct xdpd_bpf_steering *rules,
						const struct xdpd_bpf_queue *queue, __u32 index,
						__u64 bytes)
{
	const struct judgement *judgement = look_at(ctx, rules, queue && queue->epoch);
	enum xdpd_verdict verdict;

	if (!judgement)
		return XDPD_VERDICT_PASS;
	if (rules)
		count(&rule_counters, xdpd_bpf_rule_index(rules->bank, judgement->rule), bytes);
	if (judgement->action == XDPD_BPF_DROP)
		return XDPD_VERDICT_DROP_RULE;
	if (judgement->action == XDPD_BPF_PASS)
		return XDPD_VERDICT_PASS_RULE;
	verdict = judge(queue, judgement->groups, bytes);
	if (verdict != XDPD_VERDICT_REDIRECT)
		return verdict;
	if (!send(index))
		return XDPD_VERDICT_PASS;
	if (queue->epoch && !mark(ctx, judgement, queue))
		return XDPD_VERDICT_PASS_UNMARKED;
	return XDPD_VERDICT_REDIRECT;
}

static __always_inline int steer(struct xdp_md *ctx, __u32 index, __u64 bytes)
{
	const struct xdpd_bpf_queue *queue = bpf_map_lookup_elem(&queues, &index);
	const struct xdpd_bpf_steering *rules = rules_in_force();
	enum xdpd_verdict verdict;

	if (!rules && !(queue && queue->epoch))
		verdict = handle_plainly(queue, index, bytes);
	else
		verdict = handle(ctx, rules, queue, index, bytes);
	count(&counters, xdpd_bpf_counter_index(index, verdict), bytes);
	if (verdict == XDPD_VERDICT_REDIRECT)
		return XDP_REDIRECT;
	return verdict == XDPD_VERDICT_DROP_RULE ? XDP_DROP : XDP_PASS;
}

/*
 * One of the following is attached; they differ in how they learn a frame's length and in whether it may have several
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
	return steer(ctx, ctx->rx_queue_index, bpf_xdp_get_buff_len(ctx));
}

/* Where AF_XDP sockets do not take frames of several buffers (before 6.6). */
SEC("xdp")
int xdpd_redirect_linear(struct xdp_md *ctx)
{
	return steer(ctx, ctx->rx_queue_index, bpf_xdp_get_buff_len(ctx));
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
	return steer(ctx, ctx->rx_queue_index, bytes);
}

#endif

/*
 * Never attached: what the other would do with a frame that comes by BPF_PROG_TEST_RUN, as of the queue and length
 * that `trace` asks about. It counts nothing and sends nothing.
 */
SEC("xdp")
int xdpd_trace(struct xdp_md *ctx)
{
	const __u32 only = 0;
	struct xdpd_bpf_trace *question = bpf_map_lookup_elem(&trace, &only);
	const struct xdpd_bpf_steering *rules = rules_in_force();
	const struct judgement *judgement = look_at(ctx, rules, true);
	const struct xdpd_bpf_queue *queue;
	__u32 index;

	if (!question || !judgement)
		return XDP_ABORTED;
	index = question->queue;
	queue = bpf_map_lookup_elem(&queues, &index);
	question->action = judgement->action;
	question->groups = queue ? judgement->groups & queue->groups : 0;
	question->rule = judgement->rule;
	question->hash = judgement->hash;
	if (judgement->action == XDPD_BPF_DROP) {
		question->verdict = XDPD_VERDICT_DROP_RULE;
	} else if (judgement->action == XDPD_BPF_PASS) {
		question->verdict = XDPD_VERDICT_PASS_RULE;
	} else {
		question->verdict = judge(queue, judgement->groups, question->bytes);
		if (question->verdict == XDPD_VERDICT_REDIRECT &&
		    !bpf_map_lookup_elem(&sockets, &index))
			question->verdict = XDPD_VERDICT_PASS;
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
