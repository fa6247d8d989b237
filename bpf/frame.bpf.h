/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * A frame's headers: what rules look at and what makes a flow. What the frame is too short for, it does not have.
 *
 * A fragment has no ports, the first one neither, and of IPv6 the protocol that its fragment header names, so that all
 * fragments of a datagram are found to be the same.
 */
#ifndef BPF_FRAME_BPF_H
#define BPF_FRAME_BPF_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/steering.h"

#define VLAN_TAGS_MAX	2
#define EXTENSIONS_MAX	6 /* IPv6 headers; behind more the protocol is not looked for */
#define IPV4_FRAGMENT	0x3fff /* MF and the offset */

struct address {
	__u64 high, low; /* host order; IPv4 in the upper half of `high` */
	__u32 found;	 /* see find_address() */
	__u32 zero;
};

/* All in host order. */
struct frame {
	__u32 has; /* enum xdpd_bpf_part */
	__u32 fragment; /* 0 or 1 */
	__u16 ethertype, vlan;
	__u16 source_port, destination_port;
	__u32 proto;
	__u32 family; /* 0: IPv4, 1: IPv6 */
	__u32 next, offset; /* of the header that is read next, while IPv6 headers are read */
	__u32 asks; /* enum xdpd_bpf_part: what is to be looked up */
	__u64 rules; /* that match by what was looked up so far */
	struct address source, destination;
};

static __always_inline bool has_ports(__u32 proto)
{
	return XDPD_HAS_PORTS(proto);
}

#define EXTENSIONS                                                                         \
	(1ull << IPPROTO_HOPOPTS | 1ull << IPPROTO_ROUTING | 1ull << IPPROTO_FRAGMENT |    \
	 1ull << IPPROTO_AH | 1ull << IPPROTO_DSTOPTS)

static __always_inline bool is_extension(__u32 proto)
{
	return proto < 64 && EXTENSIONS >> proto & 1;
}

static __always_inline void set_ports(struct frame *frame, __be32 ports)
{
	__u32 both = bpf_ntohl(ports);

	frame->has |= XDPD_PARTS_PORTS;
	frame->source_port = both >> 16;
	frame->destination_port = both;
}

static __always_inline void set_ipv4(struct frame *frame, const struct iphdr *ip)
{
	frame->has |= XDPD_PARTS_IPV4 | XDPD_PART_PROTO;
	frame->fragment = (ip->frag_off & bpf_htons(IPV4_FRAGMENT)) != 0;
	frame->proto = ip->protocol;
	frame->family = 0;
	frame->source.high = (__u64)bpf_ntohl(ip->saddr) << 32;
	frame->source.low = 0;
	frame->destination.high = (__u64)bpf_ntohl(ip->daddr) << 32;
	frame->destination.low = 0;
}

static __always_inline __u64 two_words(const __be32 *words)
{
	return (__u64)bpf_ntohl(words[0]) << 32 | bpf_ntohl(words[1]);
}

static __always_inline void set_ipv6_addresses(struct frame *frame, const struct ipv6hdr *ip)
{
	frame->has |= XDPD_PARTS_IPV6;
	frame->family = 1;
	frame->source.high = two_words(&ip->saddr.in6_u.u6_addr32[0]);
	frame->source.low = two_words(&ip->saddr.in6_u.u6_addr32[2]);
	frame->destination.high = two_words(&ip->daddr.in6_u.u6_addr32[0]);
	frame->destination.low = two_words(&ip->daddr.in6_u.u6_addr32[2]);
}

/*
 * What most frames are, read where it lies: IPv4 without options, IPv6 without extension headers, no fragment, and all
 * of it in the first buffer. False: it is something else.
 */
static __always_inline bool read_ip(const void *after_addresses, const void *end,
				    struct frame *frame)
{
	const __be16 *type = after_addresses;
	const struct iphdr *ipv4 = (const void *)(type + 1);
	const struct ipv6hdr *ipv6 = (const void *)(type + 1);

	if ((const void *)(ipv4 + 1) + sizeof(__be32) > end)
		return false;
	if (*type == bpf_htons(ETH_P_IP)) {
		if (ipv4->version != 4 || ipv4->ihl != 5 ||
		    ipv4->frag_off & bpf_htons(IPV4_FRAGMENT))
			return false;
		frame->has = XDPD_PART_ETHERTYPE;
		frame->ethertype = ETH_P_IP;
		set_ipv4(frame, ipv4);
		if (has_ports(frame->proto))
			set_ports(frame, *(const __be32 *)(ipv4 + 1));
		return true;
	}
	if (*type != bpf_htons(ETH_P_IPV6) || (const void *)(ipv6 + 1) + sizeof(__be32) > end)
		return false;
	if (ipv6->version != 6 || is_extension(ipv6->nexthdr))
		return false;
	frame->has = XDPD_PART_ETHERTYPE | XDPD_PART_PROTO;
	frame->fragment = 0;
	frame->ethertype = ETH_P_IPV6;
	frame->proto = ipv6->nexthdr;
	set_ipv6_addresses(frame, ipv6);
	if (has_ports(frame->proto))
		set_ports(frame, *(const __be32 *)(ipv6 + 1));
	return true;
}

/* If it has no VLAN tag. */
static __always_inline bool read_common(const struct xdp_md *ctx, struct frame *frame)
{
	const struct ethhdr *ethernet = (const void *)(long)ctx->data;

	return read_ip((const void *)ethernet + offsetof(struct ethhdr, h_proto),
		       (const void *)(long)ctx->data_end, frame);
}

static __always_inline bool is_tag(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

struct tag {
	__be16 control;
	__be16 type; /* of what follows */
};

static __always_inline void set_vlan(struct frame *frame, __be16 control)
{
	frame->has |= XDPD_PART_VLAN;
	frame->vlan = bpf_ntohs(control) & 0xfff;
}

/*
 * If it has one. A function that the verifier looks at once and for itself, so that its ways through a frame are not
 * multiplied by those of its callers.
 */
__noinline int read_tagged(struct xdp_md *ctx, struct frame *frame)
{
	const void *end = (const void *)(long)ctx->data_end;
	const struct ethhdr *ethernet = (const void *)(long)ctx->data;
	const struct tag *tag = (const void *)(ethernet + 1);

	if (!frame || (const void *)(tag + 1) > end || !is_tag(ethernet->h_proto) ||
	    !read_ip(&tag->type, end, frame))
		return 0;
	set_vlan(frame, tag->control);
	return 1;
}

static __always_inline bool read_bytes(struct xdp_md *ctx, __u32 offset, void *to, __u32 length)
{
	return bpf_xdp_load_bytes(ctx, offset, to, length) == 0;
}

static __always_inline void read_ports(struct xdp_md *ctx, struct frame *frame, __u32 offset)
{
	__be32 ports;

	if (has_ports(frame->proto) && read_bytes(ctx, offset, &ports, sizeof(ports)))
		set_ports(frame, ports);
}

static __always_inline void read_ipv4(struct xdp_md *ctx, struct frame *frame, __u32 offset)
{
	struct iphdr ip;

	if (!read_bytes(ctx, offset, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return;
	set_ipv4(frame, &ip);
	if (!frame->fragment)
		read_ports(ctx, frame, offset + ip.ihl * 4u);
}

struct extension {
	__u8 next;
	__u8 length; /* of the rest, in units of 8 bytes; AH: of all of it but 8 bytes, in units of 4 */
};

/*
 * Goes on to the next header; false: it can't be had. Where that is stands in the frame's memory, which the verifier
 * does not follow (`volatile`), so that it need not look at each way through six headers.
 */
static __always_inline bool skip_extension(struct xdp_md *ctx, volatile struct frame *frame)
{
	struct extension extension;
	__u32 length;

	if (!read_bytes(ctx, frame->offset, &extension, sizeof(extension)))
		return false;
	length = frame->next == IPPROTO_AH ? (extension.length + 2u) * 4 :
					     (extension.length + 1u) * 8;
	frame->offset += length;
	frame->next = extension.next;
	return true;
}

static __always_inline void read_ipv6(struct xdp_md *ctx, struct frame *frame)
{
	volatile struct frame *at = frame;
	struct ipv6hdr ip;

	if (!read_bytes(ctx, at->offset, &ip, sizeof(ip)) || ip.version != 6)
		return;
	set_ipv6_addresses(frame, &ip);
	at->offset += sizeof(ip);
	at->next = ip.nexthdr;
#pragma unroll
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		if (!is_extension(at->next))
			break;
		if (at->next == IPPROTO_FRAGMENT)
			at->fragment = 1;
		if (!skip_extension(ctx, at))
			return;
		if (at->fragment)
			break;
	}
	if (!at->fragment && is_extension(at->next))
		return;
	at->has |= XDPD_PART_PROTO;
	at->proto = at->next;
	if (!at->fragment)
		read_ports(ctx, frame, at->offset);
}

/* Any frame, by helper calls, 25 ns each. A function like the one above. */
__noinline int read_any(struct xdp_md *ctx, struct frame *frame)
{
	__u32 offset = ETH_HLEN;
	struct tag tag;

	if (!frame)
		return 0;
	frame->has = 0;
	frame->fragment = 0;
	if (!read_bytes(ctx, offsetof(struct ethhdr, h_proto), &tag.type, sizeof(tag.type)))
		return 0;
	for (int i = 0; i < VLAN_TAGS_MAX && is_tag(tag.type); i++) {
		if (!read_bytes(ctx, offset, &tag, sizeof(tag)))
			return 0;
		if (i == 0)
			set_vlan(frame, tag.control);
		offset += sizeof(tag);
	}
	frame->has |= XDPD_PART_ETHERTYPE;
	frame->ethertype = bpf_ntohs(tag.type);
	if (tag.type == bpf_htons(ETH_P_IP)) {
		read_ipv4(ctx, frame, offset);
	} else if (tag.type == bpf_htons(ETH_P_IPV6)) {
		frame->offset = offset;
		read_ipv6(ctx, frame);
	}
	return 0;
}

/* Odd numbers without a pattern. */
#define FACTOR_1 0x9e3779b97f4a7c15ull
#define FACTOR_2 0xbf58476d1ce4e5b9ull
#define FACTOR_3 0x94d049bb133111ebull
#define FACTOR_4 0xd6e8feb86659fd93ull

static __always_inline __u64 hash_end(const struct address *address, __u16 port)
{
	__u64 hash = address->high * FACTOR_1;

	hash ^= hash >> 32;
	hash += address->low + port * FACTOR_4;
	hash *= FACTOR_2;
	return hash ^ hash >> 32;
}

/*
 * The same for both directions, as a sum does not tell which end is which. The low bits choose among members, so they
 * are taken from the middle of a product, where all bits of the ends have come together. 0: no flow.
 */
static __always_inline __u32 flow_hash(const struct frame *frame)
{
	bool ports = frame->has & XDPD_PARTS_PORTS;
	__u64 hash;
	__u32 half;

	if (!(frame->has & (XDPD_PARTS_IPV4 | XDPD_PARTS_IPV6)))
		return 0;
	hash = hash_end(&frame->source, ports ? frame->source_port : 0) +
	       hash_end(&frame->destination, ports ? frame->destination_port : 0);
	if (frame->has & XDPD_PART_PROTO)
		hash += frame->proto;
	hash *= FACTOR_3;
	hash ^= hash >> 32;
	hash *= FACTOR_1;
	half = hash >> 32;
	return half ? half : 1;
}

#endif
