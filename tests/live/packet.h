/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A slow and precise source and receiver: single frames by AF_PACKET, at the far end of a veth pair. Frames
 * sent here reach the near end through the stack, so that the near end needs no NAPI. Needs CAP_NET_RAW.
 * Links without cmocka.
 */
#ifndef TESTS_LIVE_PACKET_H
#define TESTS_LIVE_PACKET_H

#include <net/ethernet.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* An fd that sends by a device and receives what comes in there (not what others send by it); or -errno. */
int packet_open(const char *device);

/* 0 or -errno: -ENETDOWN, -EMSGSIZE (over the MTU). */
int packet_send(int fd, const void *frame, size_t length);

/*
 * Makes what is sent by `fd` leave by the device's transmit queue `queue`, and so arrive on the peer's
 * receive queue of that number, also where there are fewer CPUs than queues. Needs CAP_BPF.
 */
int packet_choose_queue(int fd, const char *device, uint32_t queue);

/* Receives one frame, cut to `size`: its full length, or -ETIMEDOUT, -ENETDOWN. */
ssize_t packet_receive(int fd, void *frame, size_t size, int timeout_ms);

/* Frames that this socket missed since the last call, as its buffer (64 MB) was full. */
uint32_t packet_missed(int fd);

/* A UDP datagram in IPv4, in its Ethernet frame. Ports are in host order. */
struct packet_udp {
	struct ether_addr to, from;
	const char *source, *destination;	/* NULL: 192.0.2.1 and 192.0.2.2 */
	uint16_t source_port, destination_port; /* 0: 1024 and 9 */
};

#define PACKET_UDP_PAYLOAD 42 /* offset of the payload */

/*
 * Writes a frame of `length` bytes, 42 at the least, payload zero, without a UDP checksum: the source port
 * and payload can be changed later. NULL options: all zero.
 */
void packet_udp(void *frame, size_t length, const struct packet_udp *options);

#endif
