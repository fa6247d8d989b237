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
	__uint(max_entries, XDPD_STEERING_LAYOUT);
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
 * A frame and what is to be done with it. In a map's memory rather than on the stack: see bpf/match.bpf.h.
 */
struct judgement {
	struct frame frame;
	__u64 bytes;
	__u32 queue;
	__u32 action, groups, rule, hash;
	struct xdpd_bpf_queue record; /* the queue's, as it was found */
	__u32 counter;		      /* an index */
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

/* The key of maps of one element. Not on the stack either. */
static const __u32 only = 0;

/*
 * The same pointer, without clang's knowing so. Else it keeps what was written by way of the first one, and sums of it,
 * for later, and then has no register for them.
 */
#define apart(pointer)                              \
	({                                          \
		typeof(pointer) apart_ = (pointer); \
		asm volatile("" : "+r"(apart_));    \
		apart_;                             \
	})

static __always_inline void count(void *map, const __u32 *index, __u64 bytes)
{
	struct xdpd_bpf_counter *counter = bpf_map_lookup_elem(map, index);

	if (counter) {
		counter->packets++;
		counter->bytes += bytes;
	}
}

#ifndef XDPD_DIRECT

static __always_inline __u64 length_of(struct xdp_md *ctx)
{
	return bpf_xdp_get_buff_len(ctx);
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

static __always_inline __u64 length_of(struct xdp_md *ctx)
{
	const struct xdp_buff *buffer = bpf_cast_to_kern_ctx(ctx);

	if (buffer->flags & XDP_FLAGS_HAS_FRAGS)
		return bpf_xdp_get_buff_len(ctx);
	return (__u64)buffer->data_end - (__u64)buffer->data;
}

#endif

static __always_inline const struct xdpd_bpf_steering *rules_in_force(void)
{
	void *value = bpf_map_lookup_elem(&steering, &only);

	return value ? bpf_map_lookup_elem(value, &only) : NULL;
}

/* Whether it is a common frame: see read_common(). */
static __always_inline bool look_at(struct xdp_md *ctx, struct judgement *judgement)
{
	if (read_common(ctx, &judgement->frame))
		return true;
	if (!read_tagged(ctx, &judgement->frame))
		read_any(ctx, &judgement->frame);
	return false;
}

static __always_inline void set_hash(struct judgement *judgement)
{
	judgement->hash = flow_hash(&judgement->frame);
}

/* Where the registers would not suffice for it. */
static __noinline int find_hash(struct judgement *judgement)
{
	set_hash(judgement);
	return 0;
}

static __always_inline void find_rule(const struct xdpd_bpf_steering *rules,
				      struct judgement *judgement, bool is_common)
{
	const struct xdpd_bpf_rule *rule;

	if (is_common)
		take_kind(rules, &judgement->frame);
	else
		find_kind(rules, &judgement->frame);
	rule = first_match(rules, &judgement->frame);
	judgement->action = rule->action;
	judgement->groups = rule->groups;
	judgement->rule = rule->rule;
	judgement->counter = rule->counter;
}

static __always_inline void redirect_to_all(struct judgement *judgement)
{
	judgement->action = XDPD_BPF_REDIRECT;
	judgement->groups = ~0u;
	judgement->rule = XDPD_RULES_MAX;
}

/* Whether the queue's consumers can have a frame that is for these groups. */
static __always_inline enum xdpd_verdict judge(const struct xdpd_bpf_queue *queue, __u32 groups,
					       __u64 bytes)
{
	if (!queue->capacity || !(groups & queue->groups))
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
static __always_inline bool mark(struct xdp_md *ctx, const struct judgement *judgement)
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
	metadata->epoch = judgement->record.epoch;
	metadata->groups = judgement->groups & judgement->record.groups;
	metadata->hash = judgement->hash;
	metadata->rule = judgement->rule;
	return true;
}

/* What the rule, if there was one, leaves to the queue. */
static __always_inline enum xdpd_verdict hand_over(struct xdp_md *ctx,
						   const struct judgement *judgement)
{
	enum xdpd_verdict verdict =
		judge(&apart(judgement)->record, judgement->groups, judgement->bytes);

	if (verdict != XDPD_VERDICT_REDIRECT)
		return verdict;
	if (!send(apart(judgement)->queue))
		return XDPD_VERDICT_PASS;
	if (judgement->record.epoch && !mark(ctx, judgement))
		return XDPD_VERDICT_PASS_UNMARKED;
	return XDPD_VERDICT_REDIRECT;
}

static __always_inline int end(struct judgement *judgement, int verdict)
{
	judgement->counter = xdpd_bpf_counter_index(judgement->queue, verdict);
	count(&counters, &apart(judgement)->counter, apart(judgement)->bytes);
	if (verdict == XDPD_VERDICT_REDIRECT)
		return XDP_REDIRECT;
	return verdict == XDPD_VERDICT_DROP_RULE ? XDP_DROP : XDP_PASS;
}

static __always_inline int handle_by_rules(struct xdp_md *ctx,
					   const struct xdpd_bpf_steering *rules,
					   struct judgement *judgement)
{
	bool is_common = look_at(ctx, judgement);

	if (judgement->record.epoch)
		find_hash(judgement);
	find_rule(rules, judgement, is_common);
	count(&rule_counters, &apart(judgement)->counter, apart(judgement)->bytes);
	if (judgement->action == XDPD_BPF_DROP)
		return end(judgement, XDPD_VERDICT_DROP_RULE);
	if (judgement->action == XDPD_BPF_PASS)
		return end(judgement, XDPD_VERDICT_PASS_RULE);
	return end(judgement, hand_over(ctx, judgement));
}

static __always_inline int handle_for_members(struct xdp_md *ctx, struct judgement *judgement)
{
	look_at(ctx, judgement);
	set_hash(judgement);
	redirect_to_all(judgement);
	return end(judgement, hand_over(ctx, judgement));
}

/* Where there are neither rules nor members to tell apart, nobody looks at the frame. */
static __always_inline int handle_plainly(struct judgement *judgement)
{
	enum xdpd_verdict verdict = judge(&apart(judgement)->record, ~0u, judgement->bytes);

	if (verdict == XDPD_VERDICT_REDIRECT && !send(apart(judgement)->queue))
		verdict = XDPD_VERDICT_PASS;
	return end(judgement, verdict);
}

/* No judgement: can't be, but the verifier does not know. No queue: it is one that was added since. */
static __always_inline int steer(struct xdp_md *ctx)
{
	struct judgement *judgement = bpf_map_lookup_elem(&judgements, &only);
	const struct xdpd_bpf_steering *rules;
	const struct xdpd_bpf_queue *queue;

	if (!judgement)
		return XDP_PASS;
	judgement->queue = ctx->rx_queue_index;
	queue = bpf_map_lookup_elem(&queues, &apart(judgement)->queue);
	if (!queue)
		return XDP_PASS;
	judgement->record = *queue;
	judgement->bytes = length_of(ctx);
	rules = rules_in_force();
	if (rules)
		return handle_by_rules(ctx, rules, judgement);
	if (judgement->record.epoch)
		return handle_for_members(ctx, judgement);
	return handle_plainly(judgement);
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
	return steer(ctx);
}

/* Where AF_XDP sockets do not take frames of several buffers (before 6.6). */
SEC("xdp")
int xdpd_redirect_linear(struct xdp_md *ctx)
{
	return steer(ctx);
}

#else

/*
 * Without the helper's call, a sixth of the program's time; needs CAP_PERFMON and Linux 6.2. An object of its own:
 * where the kernel lacks the function, libbpf looks for it in modules, which takes CAP_SYS_ADMIN, and gives up.
 */
SEC("xdp.frags")
int xdpd_redirect(struct xdp_md *ctx)
{
	return steer(ctx);
}

#endif

/*
 * Never attached: what the other would do with a frame that comes by BPF_PROG_TEST_RUN, as of the queue and length
 * that `trace` asks about. It counts nothing and sends nothing.
 */
SEC("xdp")
int xdpd_trace(struct xdp_md *ctx)
{
	struct xdpd_bpf_trace *question = bpf_map_lookup_elem(&trace, &only);
	struct judgement *judgement = bpf_map_lookup_elem(&judgements, &only);
	const struct xdpd_bpf_steering *rules;
	const struct xdpd_bpf_queue *queue;
	bool is_common;

	if (!question || !judgement)
		return XDP_ABORTED;
	is_common = look_at(ctx, judgement);
	find_hash(judgement);
	redirect_to_all(judgement);
	rules = rules_in_force();
	if (rules)
		find_rule(rules, judgement, is_common);
	queue = bpf_map_lookup_elem(&queues, &question->queue);
	if (!queue)
		return XDP_ABORTED;
	question->action = judgement->action;
	question->groups = judgement->groups & queue->groups;
	question->rule = judgement->rule;
	question->hash = judgement->hash;
	if (judgement->action == XDPD_BPF_DROP) {
		question->verdict = XDPD_VERDICT_DROP_RULE;
		return XDP_PASS;
	}
	if (judgement->action == XDPD_BPF_PASS) {
		question->verdict = XDPD_VERDICT_PASS_RULE;
		return XDP_PASS;
	}
	question->verdict = judge(queue, judgement->groups, question->bytes);
	if (question->verdict == XDPD_VERDICT_REDIRECT &&
	    !bpf_map_lookup_elem(&sockets, &question->queue))
		question->verdict = XDPD_VERDICT_PASS;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
