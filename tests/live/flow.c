// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/flow.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

#define MAGIC	 0x6c616265u
#define LABEL_AT (FLOW_LENGTH - 8)

/* What of the frame is written so far. */
struct out {
	uint8_t *frame;
	size_t length;
};

static void put(struct out *out, const void *bytes, size_t length)
{
	memcpy(out->frame + out->length, bytes, length);
	out->length += length;
}

static void put_ethernet(struct out *out, const struct flow *flow, uint16_t type)
{
	static const uint8_t addresses[2][ETH_ALEN] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
	const uint16_t vlan = htons(flow->vlan ? flow->vlan : 7);
	const uint16_t service[] = {htons(0x88a8), vlan},
		       inner[] = {htons(ETHERTYPE_VLAN), htons(66)};
	const uint16_t only[] = {htons(ETHERTYPE_VLAN), vlan};

	put(out, addresses[!flow->backwards], ETH_ALEN);
	put(out, addresses[flow->backwards], ETH_ALEN);
	if (flow->kind == FLOW_VLAN_UDP4)
		put(out, only, sizeof(only));
	if (flow->kind == FLOW_VLAN_TCP6) {
		put(out, service, sizeof(service));
		put(out, inner, sizeof(inner));
	}
	type = htons(type);
	put(out, &type, sizeof(type));
}

static uint16_t checksum(const void *header, size_t length)
{
	const uint8_t *bytes = header;
	uint32_t sum = 0;

	for (size_t i = 0; i < length; i += 2)
		sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void put_ip4(struct out *out, const struct flow *flow, uint8_t protocol)
{
	const uint32_t near = htonl(0x0a000000 + flow->number), far = htonl(0xc0000201);
	const bool fragment = flow->kind == FLOW_FRAGMENT4;
	struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = protocol};

	ip.tot_len = htons((uint16_t)(FLOW_LENGTH - out->length));
	ip.id = htons((uint16_t)flow->number);
	if (fragment)
		ip.frag_off = htons(flow->later ? 64 : IP_MF);
	ip.saddr = flow->backwards ? far : near;
	ip.daddr = flow->backwards ? near : far;
	ip.check = checksum(&ip, sizeof(ip));
	put(out, &ip, sizeof(ip));
}

static void put_ip6(struct out *out, const struct flow *flow, uint8_t protocol)
{
	struct in6_addr addresses[2] = {{.s6_addr = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}},
					{.s6_addr = {0x20, 0x01, 0x0d, 0xb8, [14] = 1}}};
	const bool fragment = flow->kind == FLOW_FRAGMENT6;
	struct ip6_frag header = {.ip6f_nxt = protocol, .ip6f_ident = htonl(flow->number)};
	struct ip6_hdr ip = {.ip6_nxt = fragment ? IPPROTO_FRAGMENT : protocol, .ip6_hops = 64};

	addresses[0].s6_addr[12] = (uint8_t)(flow->number >> 8);
	addresses[0].s6_addr[13] = (uint8_t)flow->number;
	ip.ip6_vfc = 6 << 4;
	ip.ip6_plen = htons((uint16_t)(FLOW_LENGTH - out->length - sizeof(ip)));
	ip.ip6_src = addresses[flow->backwards];
	ip.ip6_dst = addresses[!flow->backwards];
	put(out, &ip, sizeof(ip));
	header.ip6f_offlg = flow->later ? htons(64 << 3) : IP6F_MORE_FRAG;
	if (fragment)
		put(out, &header, sizeof(header));
}

static void put_ports(struct out *out, const struct flow *flow, uint8_t protocol)
{
	const uint16_t near = htons(flow->port ? flow->port : (uint16_t)(10000 + flow->number));
	const uint16_t far = htons(flow->other_port ? flow->other_port : 80);
	const uint16_t ports[] = {flow->backwards ? far : near, flow->backwards ? near : far};
	const struct udphdr udp = {.source = ports[0],
				   .dest = ports[1],
				   .len = htons((uint16_t)(FLOW_LENGTH - out->length))};
	const struct tcphdr tcp = {.source = ports[0], .dest = ports[1], .doff = 5, .ack = 1};

	if (flow->later)
		return;
	if (protocol == IPPROTO_TCP)
		put(out, &tcp, sizeof(tcp));
	else
		put(out, &udp, sizeof(udp));
}

static void put_arp(struct out *out, const struct flow *flow)
{
	struct ether_arp arp = {.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
					   .ar_pro = htons(ETHERTYPE_IP),
					   .ar_hln = ETH_ALEN,
					   .ar_pln = 4,
					   .ar_op = htons(ARPOP_REQUEST)}};
	const uint32_t asks = htonl(0x0a000000 + flow->number);

	memcpy(arp.arp_spa, &asks, sizeof(asks));
	put(out, &arp, sizeof(arp));
}

void flow_frame(uint8_t ret[FLOW_LENGTH], const struct flow *flow)
{
	const bool six = flow->kind == FLOW_UDP6 || flow->kind == FLOW_TCP6 ||
			 flow->kind == FLOW_VLAN_TCP6 || flow->kind == FLOW_FRAGMENT6;
	const bool tcp =
		flow->kind == FLOW_TCP4 || flow->kind == FLOW_TCP6 || flow->kind == FLOW_VLAN_TCP6;
	const uint8_t protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP;
	const uint32_t label[] = {htonl(MAGIC), htonl(flow->label)};
	struct out out = {.frame = ret};

	memset(ret, 0, FLOW_LENGTH);
	memcpy(ret + LABEL_AT, label, sizeof(label));
	if (flow->kind == FLOW_ARP) {
		put_ethernet(&out, flow, ETHERTYPE_ARP);
		put_arp(&out, flow);
		return;
	}
	put_ethernet(&out, flow, six ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
	if (six)
		put_ip6(&out, flow, protocol);
	else
		put_ip4(&out, flow, protocol);
	put_ports(&out, flow, protocol);
}

bool flow_label(const uint8_t *frame, size_t length, uint32_t *ret)
{
	uint32_t label[2];

	if (length != FLOW_LENGTH)
		return false;
	memcpy(label, frame + LABEL_AT, sizeof(label));
	if (label[0] != htonl(MAGIC))
		return false;
	*ret = ntohl(label[1]);
	return true;
}
