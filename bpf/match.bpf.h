/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Which rule a frame matches first: see bpf/steering.h.
 *
 * Without CAP_PERFMON the verifier also follows what a CPU would do that guessed a branch wrong, and each place on the
 * stack costs a barrier when it is first written, some 7 ns. So does each return where the kernel guards it (Safe RET),
 * with CAP_PERFMON, too. Hence:
 *
 * - What most frames go through is one function, and what the others need are functions that it calls.
 * - Over a helper's call a function has the context, the rules and the judgement in registers and reads all else from
 *   memory again (`volatile`, apart()), so that clang puts nothing on the stack.
 * - Where ways through a search meet, what they found is any number to the verifier: it is of an AND, or was written
 *   into a map's memory, which is not followed. So they are the same way from there on, and ways add up instead of
 *   being multiplied.
 * - An array's constant offset is added before the index (`array_at()`), and the index is masked right before, so that
 *   each place that indexes does so within the same bounds on all ways to it.
 */
#ifndef BPF_MATCH_BPF_H
#define BPF_MATCH_BPF_H

#include "bpf/frame.bpf.h"
#include "bpf/steering.h"

/*
 * The array's start, as a value that clang neither joins with the index's offset nor keeps for later at the cost of a
 * register: it can't see through either step.
 */
#define array_at(rules, array)                                           \
	({                                                               \
		const struct xdpd_bpf_steering *rules_ = (rules);        \
		asm volatile("" : "+r"(rules_));                         \
		typeof(&(rules)->array[0]) start_ = &rules_->array[0];   \
		asm volatile("" : "+r"(start_));                         \
		start_;                                                  \
	})

static __always_inline const struct xdpd_bpf_class *class_at(const struct xdpd_bpf_steering *rules,
							     __u32 index)
{
	return &array_at(rules, classes)[index & (XDPD_CLASSES_MAX - 1)];
}

static __always_inline const struct xdpd_bpf_class *
class_of_value(const struct xdpd_bpf_steering *rules, enum xdpd_bpf_field field, __u16 value)
{
	__u32 page = array_at(rules, high[field])[value >> 8];

	return class_at(rules, array_at(rules, pages)[page][value & 255]);
}

/*
 * Adds 1 to `sum` if the node's last value `i` is less than the word. Not in C, of which clang would make a branch,
 * and each one doubles the verifier's ways.
 */
#define ADD_IF_LESS(sum, node, i, word)                                           \
	({                                                                        \
		__u64 last_;                                                      \
		asm volatile("%[last] = *(u32 *)(%[from] + %[at])\n"              \
			     "%[last] -= %[than]\n"                               \
			     "%[last] >>= 63\n"                                   \
			     "%[to] += %[last]"                                   \
			     : [to] "+r"(sum), [last] "=&r"(last_)                \
			     : [from] "r"(node), [than] "r"(word),                \
			       [at] "i"(offsetof(struct xdpd_bpf_node, last[i])));  \
	})

static __always_inline __u32 child_of(const struct xdpd_bpf_node *node, __u64 word)
{
	__u64 a = 0, b = 0;

	ADD_IF_LESS(a, node, 0, word);
	ADD_IF_LESS(b, node, 1, word);
	ADD_IF_LESS(a, node, 2, word);
	ADD_IF_LESS(b, node, 3, word);
	ADD_IF_LESS(a, node, 4, word);
	ADD_IF_LESS(b, node, 5, word);
	ADD_IF_LESS(a, node, 6, word);
	return a + b;
}

/*
 * Finds the address's class, in address->found. The address is turned on, one word at a time. Unrolled, as the verifier
 * seldom finds two ways through a short loop to be the same.
 */
static __noinline int find_address(const struct xdpd_bpf_steering *rules, __u32 root,
				   volatile struct address *address)
{
	__u32 at = root;

#pragma unroll
	for (int i = 0; i < XDPD_NODE_VISITS; i++) {
		const struct xdpd_bpf_node *node =
			&array_at(rules, nodes)[at & (XDPD_NODES_MAX - 1)];
		__u32 next = node->next;
		__u64 high, low;

		at = next + child_of(node, address->high >> 32);
		if (!(next & XDPD_NEXT_LEAVES))
			continue;
		address->found = array_at(rules, leaves)[at & (XDPD_LEAVES_MAX - 1)];
		at = address->found;
		if (!(at & XDPD_LEAF_NODE))
			break;
		high = address->high;
		low = address->low;
		address->high = high << 32 | low >> 32;
		address->low = low << 32 | high >> 32;
	}
	return 0;
}

/* The same of an address of one word. */
static __always_inline __u32 find_ipv4(const struct xdpd_bpf_steering *rules, __u64 address)
{
	__u32 at = array_at(rules, roots)[0];

#pragma unroll
	for (int i = 0; i < XDPD_NODE_VISITS / 4; i++) {
		const struct xdpd_bpf_node *node =
			&array_at(rules, nodes)[at & (XDPD_NODES_MAX - 1)];
		__u32 next = node->next;

		at = next + child_of(node, address);
		if (next & XDPD_NEXT_LEAVES)
			break;
	}
	return array_at(rules, leaves)[at & (XDPD_LEAVES_MAX - 1)];
}

static __always_inline const struct xdpd_bpf_class *
class_of_address(const struct xdpd_bpf_steering *rules, __u32 family,
		 volatile struct address *address)
{
	if (!family)
		return class_at(rules, find_ipv4(rules, address->high >> 32));
	find_address(rules, array_at(rules, roots)[1], address);
	return class_at(rules, address->found);
}

/* What all fields but addresses and ports leave of the rules, and which of these are to be looked up. Of any frame. */
static __noinline int find_kind(const struct xdpd_bpf_steering *rules,
				volatile struct frame *frame)
{
	__u32 both = rules->uses & frame->has;
	__u64 found = array_at(rules, fragment)[frame->fragment & 1];

	if (both & XDPD_PART_ETHERTYPE)
		found &= class_of_value(rules, XDPD_FIELD_ETHERTYPE, frame->ethertype)->source;
	else
		found &= rules->without_ethertype;
	if (both & XDPD_PART_VLAN)
		found &= class_of_value(rules, XDPD_FIELD_VLAN, frame->vlan)->source;
	else
		found &= rules->without_vlan;
	if (both & XDPD_PART_PROTO)
		found &= array_at(rules, proto)[frame->proto & 255];
	else
		found &= rules->without_proto;
	if (!(both & XDPD_PARTS_PORTS))
		found &= rules->without_ports;
	if (!(both & XDPD_PARTS_SOURCE))
		found &= rules->without_source;
	if (!(both & XDPD_PARTS_DESTINATION))
		found &= rules->without_destination;
	frame->rules = found;
	frame->asks = both;
	return 0;
}

/* The same of a common one: see read_common(). */
static __always_inline void take_kind(const struct xdpd_bpf_steering *rules,
				      volatile struct frame *frame)
{
	const struct xdpd_bpf_kind *kind = &array_at(
		rules, kinds)[XDPD_KIND(frame->family, frame->proto) & (XDPD_KINDS - 1)];

	frame->rules = kind->rules;
	frame->asks = kind->asks;
}

static __always_inline void narrow_by_ports(const struct xdpd_bpf_steering *rules,
					    volatile struct frame *frame)
{
	if (frame->asks & XDPD_PART_DESTINATION_PORT)
		frame->rules &= class_of_value(rules, XDPD_FIELD_PORT, frame->destination_port)
					->destination;
	if (frame->asks & XDPD_PART_SOURCE_PORT)
		frame->rules &=
			class_of_value(rules, XDPD_FIELD_PORT, frame->source_port)->source;
	if (frame->asks & XDPD_PART_EITHER_PORT) {
		__u64 either = class_of_value(rules, XDPD_FIELD_PORT, frame->source_port)->either;

		either |= class_of_value(rules, XDPD_FIELD_PORT, frame->destination_port)->either;
		frame->rules &= either;
	}
}

/* The frame's addresses are not what they were after it. */
static __always_inline void narrow_by_addresses(const struct xdpd_bpf_steering *rules,
						volatile struct frame *frame)
{
	if (frame->asks & XDPD_PARTS_SOURCE)
		frame->rules &=
			class_of_address(rules, frame->family, &frame->source)->source;
	if (frame->asks & XDPD_PARTS_DESTINATION)
		frame->rules &=
			class_of_address(rules, frame->family, &frame->destination)->destination;
}

static __always_inline const struct xdpd_bpf_rule *
first_match(const struct xdpd_bpf_steering *rules, volatile struct frame *frame)
{
	__u64 found;

	if (frame->asks & XDPD_PARTS_PORTS)
		narrow_by_ports(rules, frame);
	if (frame->rules && frame->asks & (XDPD_PARTS_SOURCE | XDPD_PARTS_DESTINATION))
		narrow_by_addresses(rules, frame);
	found = frame->rules;
	if (!found)
		return &rules->otherwise;
	return &array_at(rules, rules)[XDPD_RULE_SLOT(found & -found)];
}

#endif
