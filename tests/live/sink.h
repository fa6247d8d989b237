/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plainest receiver: an XDP program that counts frames by queue and drops them or passes them to the
 * stack. Attached to a veth it also turns its NAPI on, so that the peer can redirect frames to it.
 */
#ifndef TESTS_LIVE_SINK_H
#define TESTS_LIVE_SINK_H

#include <linux/bpf.h>
#include <stdint.h>

struct sink;

/* `verdict` is XDP_DROP or XDP_PASS. It lasts until sink_detach() or the end of the process. */
int sink_attach(struct sink **ret, const char *device, enum xdp_action verdict);

/* Frames received on a queue; UINT32_MAX: on all. */
uint64_t sink_frames(const struct sink *sink, uint32_t queue);
uint64_t sink_bytes(const struct sink *sink, uint32_t queue);

/* NULL is fine. Returns NULL. */
struct sink *sink_detach(struct sink *sink);

#endif
