/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A queue with shared delivery in a test: `near` queue 0, whose frames `far` sends, and what the daemon tells of it.
 * All functions fail the test when something is not as it should be.
 */
#ifndef TESTS_LIVE_SHARED_H
#define TESTS_LIVE_SHARED_H

#include <stddef.h>
#include <stdint.h>

#include "client/xdpd_protocol.h"

struct instance;
struct traffic;
struct traffic_result;

/*
 * Memory for half a second of frames at the rates of these tests, so that a machine with other work loses none of
 * them.
 */
#define SHARED_ROOMY                              \
	"frames: 32768, frame_size: 2048, rings: " \
	"{ rx: 16384, fill: 16384, tx: 1024, completion: 1024 }"

/*
 * The config of `near`: `queue` are more keys of its queue, "" for none, `more` lines of the interface ("    groups:
 * ..."), indented as such; "" for none. nobody may attach.
 */
void shared_config(char *ret, size_t size, const char *queue, const char *more);

/* Makes the veth pair and starts xdpd with that config. */
struct instance *shared_start(const char *queue, const char *more);
void shared_reload(struct instance *daemon, const char *queue, const char *more);

/* What it tells now. Names are told apart by consumers' names. */
struct xdpd_worker_record shared_worker(const struct instance *daemon);
struct xdpd_consumer_record shared_consumer(const struct instance *daemon, const char *name);
struct xdpd_group_record shared_group(const struct instance *daemon, const char *name);
struct xdpd_queue_record shared_queue(const struct instance *daemon);
struct xdpd_rule_record shared_rule(const struct instance *daemon, uint32_t rule);
size_t shared_rules(const struct instance *daemon); /* how many, the default included */
size_t shared_consumers(const struct instance *daemon);

/* All frames are somewhere, and within a while none is lent. */
void shared_lends_nothing(const struct instance *daemon);

/* The sender has sent all that it shall, and none was lost on the wire. */
struct traffic_result shared_sent_all(struct traffic *traffic, uint64_t count);

/* The kernel dropped no frame that was redirected, and passed on none. */
void shared_kernel_lost_nothing(const struct instance *daemon);

#endif
