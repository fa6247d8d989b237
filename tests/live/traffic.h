/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fast source of frames without a packet generator: a small XDP program, run by BPF_PROG_TEST_RUN with
 * BPF_F_TEST_XDP_LIVE_FRAMES [Linux 5.18], redirects frames to a veth, and they arrive at its peer:
 *
 *     traffic_send() --redirect--> veth0 ===== veth1 --> XDP program, or the stack
 *
 * The peer receives them on queue `cpu % queues`, as a veth does with redirected frames, so a machine with
 * two CPUs can reach two queues this way (packet_send() reaches all). It must have its NAPI on: an XDP
 * program, or GRO (device_set_gro()); else every frame is lost.
 *
 * What was sent is counted by the veth itself (ethtool -S, tx_queue_*_xdp_xmit): frames that entered the
 * peer's ring of 256. What found the ring full is `lost`. So frames can be accounted for to the last one:
 * attempted = sent + lost, and sent = what the peer's programs and sockets count, drops included.
 *
 * Needs CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN. Links without cmocka (-lbpf -lmnl). Of the frame only the
 * first 64 bytes, the number and the time are written anew each time: a receiver that changes more of it in place, and
 * lets it go, may see that again.
 */
#ifndef TESTS_LIVE_TRAFFIC_H
#define TESTS_LIVE_TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct traffic_options {
	/* The veth to send by, in the caller's namespace; the frames arrive at its peer. */
	const char *device;
	/* Where to send from, which decides the peer's queue. */
	int cpu;
	/* At least 14 bytes, at most about 3,400: a page less the kernel's share. */
	const void *frame;
	size_t length;
	/* 0: until stopped. */
	uint64_t count;
	/* Frames a second, evenly in bursts of a millisecond, never faster; 0: as fast as can be. */
	uint64_t rate;
	/*
	 * One by one instead, each received before the next is sent; as fast as can be without a rate. From 20,000 a
	 * second on it is the program that waits between them, and its CPU does nothing else.
	 */
	bool singly;
	/* Where in the frame a u64 in network order numbers the frames, from first_number on; 0: nowhere. */
	uint32_t number_at;
	uint64_t first_number;
	/* Where a u64 in network order tells when it was sent, CLOCK_MONOTONIC in nanoseconds; 0: nowhere. */
	uint32_t time_at;
	/* > 1: the UDP or TCP source port goes round this many, from the frame's own on. */
	uint32_t flows;
	/* Ends the sending when it becomes true, between two bursts; NULL: never. */
	const bool *stop;
};

struct traffic_result {
	uint64_t attempted; /* frames redirected: what `count` and the numbers count */
	uint64_t sent;	    /* frames that entered the peer's receive ring */
	uint64_t lost;	    /* frames that found it full, or no ring, or are over the MTU */
	uint64_t nanoseconds;
};

/*
 * Sends, and returns when all frames have entered the peer's ring or were lost. `sent` and `lost` of two
 * senders at one device are told apart by their queues, given that both ends have the same number of them.
 * Errors: -EINVAL (options), -EMSGSIZE (frame too long), -ENODEV, -EOPNOTSUPP (not a veth), -EPERM.
 */
int traffic_send(const struct traffic_options *options, struct traffic_result *ret);

/* The same in the background, in a child process (child.h). The frame is copied, `stop` is ignored. */
struct traffic;

int traffic_start(struct traffic **ret, const struct traffic_options *options);

/* So far; may be asked for at any time. Only `attempted` is kept up to date while it runs. */
void traffic_so_far(const struct traffic *traffic, struct traffic_result *ret);

/* False once it has sent its count, or failed. */
bool traffic_is_sending(const struct traffic *traffic);

/* Ends it if it has not ended by its count; NULL `ret` is fine. Returns what traffic_send() returned. */
int traffic_stop(struct traffic *traffic, struct traffic_result *ret);

/* Waits until it has sent its count, at most `timeout_ms` (then -ETIMEDOUT); ends as traffic_stop(). */
int traffic_finish(struct traffic *traffic, int timeout_ms, struct traffic_result *ret);

/* 0 if this kernel and process can do it, else -errno. */
int traffic_probe(void);

#endif
