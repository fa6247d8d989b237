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

/* What a member of a queue with shared delivery can write into its memory that no honest one does. */
#define VIOLATIONS(X)                                                                            \
	X(VIOLATION_NONE, "none", "nothing")                                                     \
	X(VIOLATION_RX_INDEX, "rx_index", "its RX ring's consumer index is out of bounds")       \
	X(VIOLATION_FILL_INDEX, "fill_index", "its fill ring's producer index is out of bounds") \
	X(VIOLATION_TX_INDEX, "tx_index", "its TX ring's producer index is out of bounds")       \
	X(VIOLATION_COMPLETION_INDEX, "completion_index",                                        \
	  "its completion ring's consumer index is out of bounds")                               \
	X(VIOLATION_RETURN_FOREIGN, "return_foreign", "it gave back an address beyond the UMEM") \
	X(VIOLATION_RETURN_NOT_HELD, "return_not_held",                                          \
	  "it gave back a frame that it did not hold")                                           \
	X(VIOLATION_RETURN_RUN, "return_run",                                                    \
	  "it gave back a run of frames that it did not receive")                                \
	X(VIOLATION_TX_ADDRESS, "tx_address", "it sent from an address that is not its own")     \
	X(VIOLATION_TX_LENGTH, "tx_length", "it sent a packet that does not lie within a frame") \
	X(VIOLATION_TX_OPTIONS, "tx_options",                                                    \
	  "it sent a descriptor with options that it may not use")

enum violation {
#define X(constant, name, text) constant,
	VIOLATIONS(X)
#undef X
		VIOLATION_COUNT,
};

extern const char *const violation_names[VIOLATION_COUNT];
extern const char *const violation_texts[VIOLATION_COUNT];

/* What can change about an interface under the daemon, and what it did about it; the names are the metric's labels. */
#define INTERFACE_CHANGES(X)                         \
	X(CHANGE_APPEARED, "appeared")               \
	X(CHANGE_GONE, "gone")                       \
	X(CHANGE_LINK_UP, "link_up")                 \
	X(CHANGE_LINK_DOWN, "link_down")             \
	X(CHANGE_QUEUES, "receive_queues")           \
	X(CHANGE_MTU, "mtu")                         \
	X(CHANGE_PROGRAM_LOST, "program_lost")       \
	X(CHANGE_PROGRAM_RESTORED, "program_restored") \
	X(CHANGE_PROGRAM_REPLACED, "program_replaced")

enum interface_change {
#define X(constant, name) constant,
	INTERFACE_CHANGES(X)
#undef X
		INTERFACE_CHANGE_COUNT,
};

extern const char *const interface_change_names[INTERFACE_CHANGE_COUNT];

/* Of one interface, since the daemon's start; what was there when it was first looked at is no change. */
struct change_record {
	char device[XDPD_DEVICE_MAX];
	uint64_t counts[INTERFACE_CHANGE_COUNT];
};

/* Requests of the control protocol, in the order of enum xdpd_message: index = type - 1. */
#define REQUEST_COUNT XDPD_TRACE

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
	struct change_record *changes; /* one for each interface, sorted as they */
	size_t n_changes;
	struct xdpd_queue_record *queues; /* sorted as the interfaces, then by id */
	size_t n_queues;
	struct xdpd_consumer_record *consumers;
	size_t n_consumers;
	struct verdict_record *verdicts;
	size_t n_verdicts;
	struct xdpd_group_record *groups; /* sorted as the queues */
	size_t n_groups;
	struct xdpd_rule_record *rules; /* sorted as the interfaces, each one's default last */
	size_t n_rules;
	struct xdpd_worker_record
		*workers; /* one for each queue with shared delivery, sorted as the queues */
	size_t n_workers;
	uint64_t disconnects[DETACH_REASON_COUNT];
	uint64_t violations
		[VIOLATION_COUNT]; /* members ejected, by what they did; [VIOLATION_NONE] is 0 */
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
	STATUS_GROUPS = 1 << 4,
	STATUS_RULES = 1 << 5,
	STATUS_WORKERS = 1 << 6,
	STATUS_ALL = (1 << 7) - 1,
};

struct daemon;

/*
 * A fresh snapshot, valid until the next, with those of the arrays that `parts` (enum status_part) names; the others
 * are empty. Returns 0 or -ENOMEM.
 */
int status_take(struct daemon *daemon, unsigned int parts, const struct status **ret);

#endif
