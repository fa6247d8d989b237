/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames of many kinds and flows, in both directions, each with a label at its end by which a receiver tells them
 * apart whatever they are. For packet_send(). Links without cmocka.
 */
#ifndef TESTS_LIVE_FLOW_H
#define TESTS_LIVE_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum flow_kind {
	FLOW_UDP4,
	FLOW_TCP4,
	FLOW_UDP6,
	FLOW_TCP6,
	FLOW_VLAN_UDP4, /* in one VLAN tag */
	FLOW_VLAN_TCP6, /* in two, of which the inner one is 66 */
	FLOW_KINDS,	/* those above have flows with two directions */
	FLOW_FRAGMENT4, /* the first fragment of a datagram, or a later one if `later` */
	FLOW_FRAGMENT6,
	FLOW_ARP, /* has no flow */
};

struct flow {
	enum flow_kind kind;
	uint32_t number; /* which one of its kind: addresses and ports are its own */
	bool backwards;	 /* from the second to the first */
	bool later;
	uint16_t vlan; /* of the outer tag; 0: 7 */
	uint32_t label;
	/* Of IPv4 and IPv6, in host order; 0: 10000 + number and 80. The first is the source, unless backwards. */
	uint16_t port, other_port;
};

#define FLOW_LENGTH 130 /* of each frame */

void flow_frame(uint8_t ret[FLOW_LENGTH], const struct flow *flow);

/* False if there is none. */
bool flow_label(const uint8_t *frame, size_t length, uint32_t *ret);

#endif
