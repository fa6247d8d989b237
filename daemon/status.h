/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's state at one moment, for whoever shows it: the control socket sends the records as they are,
 * `metrics` renders them. All counters go on from the daemon's start, across attach and detach, which reset
 * the kernel's own.
 */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/xdpd_bpf.h"
#include "client/xdpd_protocol.h"

/* Why an attachment ended; the names are the metric's labels and part of log lines. */
#define DETACH_REASONS(X)                                                             \
	X(DETACH_LEFT, "left", "said goodbye")                                        \
	X(DETACH_DIED, "died", "its connection closed")                               \
	X(DETACH_EJECTED, "ejected", "by an administrator")                           \
	X(DETACH_REMOVED, "removed", "the queue was removed or changed")              \
	X(DETACH_NOT_ALLOWED, "not_allowed", "the config does not allow it any more") \
	X(DETACH_INTERFACE_GONE, "interface_gone", "the interface went away")         \
	X(DETACH_VIOLATION, "violation", "it broke the protocol")                     \
	X(DETACH_TIMEOUT, "timeout", "it did not finish attaching in time")           \
	X(DETACH_FAILED, "failed", "the daemon could not finish the attach")          \
	X(DETACH_SHUTDOWN, "shutdown", "the daemon stopped")

enum detach_reason {
#define X(constant, name, text) constant,
	DETACH_REASONS(X)
#undef X
		DETACH_REASON_COUNT,
};

extern const char *const detach_reason_names[DETACH_REASON_COUNT];

/* Requests of the control protocol, in the order of enum xdpd_message: index = type - 1. */
#define REQUEST_COUNT XDPD_RELOAD

extern const char *const request_names[REQUEST_COUNT]; /* "hello", "attach", ... */

/* The XDP program's verdicts on one channel of an interface, configured or not. */
struct verdict_record {
	char device[XDPD_DEVICE_MAX];
	uint32_t queue;
	struct xdpd_bpf_counter counters[XDPD_VERDICT_COUNT];
};

struct status {
	struct xdpd_daemon_record daemon;
	struct xdpd_interface_record *interfaces;
	size_t n_interfaces;
	struct xdpd_queue_record *queues; /* sorted as the interfaces, then by id */
	size_t n_queues;
	struct xdpd_consumer_record *consumers;
	size_t n_consumers;
	struct verdict_record *verdicts;
	size_t n_verdicts;
	uint64_t disconnects[DETACH_REASON_COUNT];
	uint64_t requests[REQUEST_COUNT];
	uint64_t request_failures[REQUEST_COUNT];
	uint32_t sessions; /* connections to the control socket */
};

/* What costs system calls to find out, by interface, queue, consumer and channel. */
enum status_part {
	STATUS_INTERFACES = 1 << 0,
	STATUS_QUEUES = 1 << 1,
	STATUS_CONSUMERS = 1 << 2,
	STATUS_VERDICTS = 1 << 3,
	STATUS_ALL = STATUS_INTERFACES | STATUS_QUEUES | STATUS_CONSUMERS | STATUS_VERDICTS,
};

struct daemon;

/*
 * A fresh snapshot, valid until the next, with those of the arrays that `parts` (enum status_part) names; the others
 * are empty. Returns 0 or -ENOMEM.
 */
int status_take(struct daemon *daemon, unsigned int parts, const struct status **ret);

#endif
