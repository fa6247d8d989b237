/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Which rule a frame matches first: see bpf/steering.h.
 *
 * What was found is written into memory that the verifier does not follow (hence `volatile`), so that all ways through
 * one search are the same to it when the next begins: they add up instead of being multiplied. Without CAP_PERFMON it
 * also wants each place that indexes to do so within the same bounds on all ways to it, so all indices are masked
 * right before their use.
 */
#ifndef BPF_MATCH_BPF_H
#define BPF_MATCH_BPF_H

#include "bpf/frame.bpf.h"
#include "bpf/steering.h"

/* The rules that each field satisfies, and where the search of an address is: a node or a leaf. */
struct search {
	volatile __u64 ethertype, vlan, proto, ports, source, destination;
	volatile __u32 at;
	__u32 zero;
};

static __always_inline const struct xdpd_bpf_class *
class_of_value(const struct xdpd_bpf_steering *steering, enum xdpd_bpf_field field, __u16 value)
{
	__u32 page = steering->high[field][value >> 8];

	return &steering->classes[steering->pages[page][value & 255] & (XDPD_CLASSES_MAX - 1)];
}

/* 1 or 0. Not in C, of which clang would make a branch, and each one doubles the verifier's ways. */
static __always_inline __u64 is_less(__u64 a, __u64 b)
{
	asm("%0 -= %1\n"
	    "%0 >>= 63"
	    : "+r"(a)
	    : "r"(b));
	return a;
}

static __always_inline __u32 child_of(const struct xdpd_bpf_node *node, __u64 word)
{
	__u64 a = 0, b = 0, c = 0;

#pragma unroll
	for (int i = 0; i < XDPD_NODE_LASTS; i += 3) {
		a += is_less(node->last[i], word);
		b += is_less(node->last[i + 1], word);
		c += is_less(node->last[i + 2], word);
	}
	return a + b + c;
}

static __always_inline void find_address(const struct xdpd_bpf_steering *steering, struct search *search,
					 __u32 family, const volatile struct address *address)
{
	__u64 high = address->high, low = address->low, turned;

	search->at = steering->roots[family & 1];
	for (int i = 0; i < XDPD_NODE_VISITS; i++) {
		const struct xdpd_bpf_node *node =
			&steering->nodes[search->at & (XDPD_NODES_MAX - 1)];
		__u32 next = node->next + child_of(node, high >> 32);

		if (!(next & XDPD_NEXT_LEAVES)) {
			search->at = next;
			continue;
		}
		search->at = steering->leaves[next & (XDPD_LEAVES_MAX - 1)];
		if (!(search->at & XDPD_LEAF_NODE))
			break;
		turned = high << 32 | low >> 32;
		low = low << 32 | high >> 32;
		high = turned;
	}
}

static __always_inline const struct xdpd_bpf_class *
class_found(const struct xdpd_bpf_steering *steering, const struct search *search)
{
	return &steering->classes[search->at & (XDPD_CLASSES_MAX - 1)];
}

static __always_inline const struct xdpd_bpf_rule *
first_match(const struct xdpd_bpf_steering *steering, const volatile struct frame *frame,
	    struct search *search)
{
	__u32 both = steering->uses & frame->has;
	__u64 rules;

	search->ethertype = steering->without_ethertype;
	search->vlan = steering->without_vlan;
	search->proto = steering->without_proto;
	search->ports = steering->without_ports;
	search->source = steering->without_source;
	search->destination = steering->without_destination;
	if (both & XDPD_PART_ETHERTYPE)
		search->ethertype =
			class_of_value(steering, XDPD_FIELD_ETHERTYPE, frame->ethertype)->source;
	if (both & XDPD_PART_VLAN)
		search->vlan = class_of_value(steering, XDPD_FIELD_VLAN, frame->vlan)->source;
	if (both & XDPD_PART_PROTO)
		search->proto = steering->proto[frame->proto & 255];
	if (both & XDPD_PARTS_PORTS) {
		const struct xdpd_bpf_class *source =
			class_of_value(steering, XDPD_FIELD_PORT, frame->source_port);
		const struct xdpd_bpf_class *destination =
			class_of_value(steering, XDPD_FIELD_PORT, frame->destination_port);

		search->ports = source->source & destination->destination &
				(source->either | destination->either);
	}
	if (both & (XDPD_PART_SOURCE_IPV4 | XDPD_PART_SOURCE_IPV6)) {
		find_address(steering, search, frame->family, &frame->source);
		search->source = class_found(steering, search)->source;
	}
	if (both & (XDPD_PART_DESTINATION_IPV4 | XDPD_PART_DESTINATION_IPV6)) {
		find_address(steering, search, frame->family, &frame->destination);
		search->destination = class_found(steering, search)->destination;
	}
	rules = steering->fragment[frame->fragment & 1] & search->ethertype & search->vlan &
		search->proto & search->ports & search->source & search->destination;
	if (!rules)
		return &steering->otherwise;
	return &steering->rules[XDPD_RULE_SLOT(rules & -rules)];
}

#endif
