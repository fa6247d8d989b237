/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a sentence to an Ethernet frame, as it would come from the wire (without its check sequence):
 *
 *     udp 10.0.0.1:53 > 10.0.0.2:4242           tcp, udp, udplite, sctp, dccp: with ports
 *     tcp [2001:db8::1]:443 > [2001:db8::2]:5000
 *     icmp 10.0.0.1 > 10.0.0.2                  an echo request, of IPv6 too
 *     proto 47 10.0.0.1 > 10.0.0.2              nothing behind the IP header; with ports where the protocol has them
 *     arp 10.0.0.1 > 10.0.0.2                   who has 10.0.0.2, tell 10.0.0.1
 *     ethertype 0x88cc                          nothing behind the Ethernet header
 *
 * and before or behind that, in any order:
 *
 *     vlan 7       a tag; a second one is the inner of two
 *     fragment     with ports the first fragment of a datagram, without a later one
 *     length 1500  of the whole frame; the rest is zeros. Without it the frame is as short as Ethernet has them
 */
#ifndef CTL_FRAME_H
#define CTL_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "client/xdpd_protocol.h"
#include "daemon/failure.h"

#define FRAME_MAX (XDPD_MESSAGE_MAX - XDPD_TRACE_REQUEST_V1) /* what a request has room for */

struct frame {
	uint8_t bytes[FRAME_MAX];
	size_t length;
};

/* Returns 0, or -EINVAL and a sentence with an example, then `ret` is not to be used. */
int frame_parse(const char *sentence, struct frame *ret, struct failure *why);

#endif
