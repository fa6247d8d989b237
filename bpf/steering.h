/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * An interface's rules as the XDP program evaluates them: at a cost that hardly depends on how many there are.
 *
 * A set of rules is a u64, bit i being rule i. For each field there is a table from the frame's value to the set of
 * rules that this value satisfies, in which a rule that does not look at the field is in every set. The sets of all
 * fields are ANDed, and the lowest bit that is left is the first rule that matches.
 *
 *     all but ports, addresses     kinds[family << 8 | protocol]        of common frames: struct xdpd_bpf_kind
 *     ethertype, VLAN id, ports    high[field][value >> 8] --> pages[..][value & 255] --> classes[..]
 *     protocol                     proto[value]
 *     addresses                    roots[family] --> nodes[..] --> nodes[..] --> leaves[..] --> classes[..]
 *
 * Ports and addresses are looked up if one of the rules that the frame's kind leaves asks for them; addresses last, and
 * only if the ports leave any rule.
 *
 * A class is what values of a field that satisfy the same rules have in common: with one look-up it tells which rules
 * are satisfied as the frame's source, as its destination, or as either.
 *
 * An address is searched in words of 32 bits. A node divides a word's values into as many as 8 intervals:
 *
 *     last[0]  last[1]  ...  last[6]      the last value of each interval but the last one, ascending
 *        |        |             |         (those that are not needed: UINT32_MAX, which no value exceeds)
 *      next + 0, next + 1 ... next + 7    children: nodes, or with XDPD_NEXT_LEAVES leaves
 *
 * A leaf is a class, or with XDPD_LEAF_NODE the node that goes on with the address's next word. Pages, leaves and
 * classes are shared by all fields; steering_compile() refuses rules for which they do not suffice.
 */
#ifndef BPF_STEERING_H
#define BPF_STEERING_H

#include <linux/types.h>

#include "bpf/xdpd_bpf.h"

/* Powers of two: the program masks what it indexes with, which the verifier asks for. */
#define XDPD_CLASSES_MAX 1024
#define XDPD_PAGES_MAX	 256
#define XDPD_NODES_MAX	 1024
#define XDPD_LEAVES_MAX	 4096
#define XDPD_NODE_LASTS	 7

/* Nodes on the longest way: four for each of an address's four words, as there are no more than 8^4 leaves. */
#define XDPD_NODE_VISITS 16

#define XDPD_NEXT_LEAVES (1u << 31)
#define XDPD_LEAF_NODE	 (1u << 15)

struct xdpd_bpf_class {
	__u64 source; /* also of fields that there is one of */
	__u64 destination;
	__u64 either; /* ports: rules with `port` */
	__u64 zero;
};

struct xdpd_bpf_node {
	__u32 last[XDPD_NODE_LASTS];
	__u32 next;
};

/* Fields whose values have 16 bits. */
enum xdpd_bpf_field {
	XDPD_FIELD_ETHERTYPE,
	XDPD_FIELD_VLAN,
	XDPD_FIELD_PORT,
	XDPD_FIELD_COUNT,
};

/* What some rule looks at, and the frame has: only of these a value is looked up. */
enum xdpd_bpf_part {
	XDPD_PART_ETHERTYPE = 1 << 0,
	XDPD_PART_VLAN = 1 << 1,
	XDPD_PART_PROTO = 1 << 2,
	XDPD_PART_SOURCE_PORT = 1 << 3,
	XDPD_PART_DESTINATION_PORT = 1 << 4,
	XDPD_PART_EITHER_PORT = 1 << 5,
	XDPD_PART_SOURCE_IPV4 = 1 << 6,
	XDPD_PART_DESTINATION_IPV4 = 1 << 7,
	XDPD_PART_SOURCE_IPV6 = 1 << 8,
	XDPD_PART_DESTINATION_IPV6 = 1 << 9,
};

#define XDPD_PARTS_PORTS \
	(XDPD_PART_SOURCE_PORT | XDPD_PART_DESTINATION_PORT | XDPD_PART_EITHER_PORT)
#define XDPD_PARTS_IPV4	       (XDPD_PART_SOURCE_IPV4 | XDPD_PART_DESTINATION_IPV4)
#define XDPD_PARTS_IPV6	       (XDPD_PART_SOURCE_IPV6 | XDPD_PART_DESTINATION_IPV6)
#define XDPD_PARTS_SOURCE      (XDPD_PART_SOURCE_IPV4 | XDPD_PART_SOURCE_IPV6)
#define XDPD_PARTS_DESTINATION (XDPD_PART_DESTINATION_IPV4 | XDPD_PART_DESTINATION_IPV6)

/* Those whose header begins with the ports. */
#define XDPD_HAS_PORTS(proto)                                                                     \
	((proto) == IPPROTO_TCP || (proto) == IPPROTO_UDP || (proto) == IPPROTO_UDPLITE ||        \
	 (proto) == IPPROTO_SCTP || (proto) == IPPROTO_DCCP)

/*
 * What IP frames have in common that have the same protocol and no VLAN tag, and are no fragments: one look-up tells
 * what all their fields but ports and addresses say.
 */
struct xdpd_bpf_kind {
	__u64 rules; /* that such a frame can satisfy */
	__u32 asks;  /* enum xdpd_bpf_part: ports and addresses that these rules look at */
	__u32 zero;
};

#define XDPD_KIND(family, proto) ((family) << 8 | (proto))
#define XDPD_KINDS		 512

/* enum xdpd_action, whose header the program can't include. */
enum xdpd_bpf_action {
	XDPD_BPF_REDIRECT = 1,
	XDPD_BPF_PASS = 2,
	XDPD_BPF_DROP = 3,
};

/* What is done with a frame. */
struct xdpd_bpf_rule {
	__u32 action; /* enum xdpd_bpf_action */
	__u32 groups; /* REDIRECT: a bit each, to all of them: all ones */
	__u32 rule;   /* its place; XDPD_RULES_MAX: the default */
	__u32 counter; /* index into `rule_counters`, of redirect_steer() */
};

/*
 * BPF has no instruction that finds the lowest bit, so rules stand where a multiplication puts them: the upper six bits
 * of the product of a lone bit and a de Bruijn sequence are different for each of the 64 bits.
 */
#define XDPD_RULE_SLOT(lone_bit) (((lone_bit) * 0x0218a392cd3d5dbfull) >> 58)

/* Value of the one element of an array, which is the one element of the array of maps `steering`. */
struct xdpd_bpf_steering {
	__u32 uses; /* enum xdpd_bpf_part */
	__u32 zero;
	__u32 roots[2]; /* nodes: IPv4, IPv6 */

	/* The rules that do not look at a field: those that a frame without it satisfies. */
	__u64 without_ethertype, without_vlan, without_proto, without_ports;
	__u64 without_source, without_destination;
	__u64 fragment[2]; /* the rules that are satisfied by what is no fragment, by a fragment */

	struct xdpd_bpf_rule otherwise;
	struct xdpd_bpf_rule rules[XDPD_RULES_MAX]; /* by XDPD_RULE_SLOT() */
	__u64 proto[256];
	struct xdpd_bpf_kind kinds[XDPD_KINDS]; /* by XDPD_KIND() */
	__u8 high[XDPD_FIELD_COUNT][256];
	__u16 pages[XDPD_PAGES_MAX][256];
	__u16 leaves[XDPD_LEAVES_MAX];
	struct xdpd_bpf_node nodes[XDPD_NODES_MAX];
	struct xdpd_bpf_class classes[XDPD_CLASSES_MAX];
};

/*
 * Grows with every change of struct xdpd_bpf_steering. It is how many elements the map of maps has, of which the first
 * counts: nothing else of a program that another process left tells how large a set of rules it takes.
 */
#define XDPD_STEERING_LAYOUT 2

/*
 * Index into the per-CPU array `rule_counters`. Each set of rules counts in the other bank than the one before, so
 * that what the old ones counted to their end can be read.
 */
static inline __u32 xdpd_bpf_rule_index(__u32 bank, __u32 rule)
{
	return bank * (XDPD_RULES_MAX + 1) + rule;
}

#define XDPD_RULE_COUNTERS (2 * (XDPD_RULES_MAX + 1))

/* Value of the one element of `trace`: a question to the program xdpd_trace, and what it found. */
struct xdpd_bpf_trace {
	__u32 queue, bytes;
	__u32 verdict; /* enum xdpd_verdict */
	__u32 action;  /* enum xdpd_bpf_action */
	__u32 groups; /* that have a member on the queue */
	__u32 rule, hash;
	__u32 zero;
};

#endif
