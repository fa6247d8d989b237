/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a queue works from end to end, with frames that are told from all other traffic: that
 * they reach the kernel's stack while there is no consumer, and that an honest one, on libxdpd and
 * without rights, gets each of them exactly once. Fails the test if not.
 *
 *     far ===== near --> XDP program --> the stack, or a consumer
 */
#ifndef TESTS_LIVE_PROBE_H
#define TESTS_LIVE_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/xdpd_protocol.h"

struct child;
struct instance;

/* Ready for use with `instance`'s queue on `near`, whose frames are sent by `far`, its peer. */
struct probe {
	const char *socket, *near;
	uint32_t queue;
	int far_fd, near_fd;
	uint64_t next; /* the next frame's number */
};

struct probe probe_open(const struct instance *instance, const char *near, const char *far,
			uint32_t queue);
void probe_close(struct probe *probe);

#define cleanup_probe __attribute__((cleanup(probe_close)))

/* The queue is in this state within `timeout_ms`. */
void probe_becomes(const struct probe *probe, enum xdpd_queue_state state, int timeout_ms);

/* The queue becomes ready, and frames pass to the stack. */
void probe_passes(struct probe *probe);

/* A consumer attaches, gets all frames, and leaves. */
void probe_delivers(struct probe *probe);

/*
 * The same in steps, for what happens meanwhile: a consumer that has attached and shall get `count`
 * frames, the sending of some of them, and its end, which fails the test if a frame came twice or
 * not at all.
 */
struct child *probe_attach(struct probe *probe, uint64_t count);
void probe_send(struct probe *probe, uint64_t count);
void probe_finish(struct child *consumer);

/*
 * A consumer on libxdpd that has attached and takes in frames until it is told that the attachment
 * has ended. It then prints the sentence and exits with the errno.
 */
struct child *probe_stay(const struct probe *probe, bool transmit);

/*
 * Within `timeout_ms` it exits with `code` (0: with any errno), having been told `reason`, or a
 * sentence with that in it.
 */
void probe_ended(struct child *consumer, int code, const char *reason, int timeout_ms);

#endif
