/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A family is drawn from a scope: an array of records of one kind in the snapshot, each with the labels that
 * tell it from the others, and perhaps a dimension inside the record (its rings, its states, the reasons).
 * A value is a member of the record, a stride further for each step in the dimension, or is computed.
 */
#include "daemon/metrics.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "daemon/names.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct source {
	const struct status *status;
	const struct process_usage *process;
};

/* A member of a record as the text of a label. */
struct label {
	const char *name;
	size_t offset;
	size_t length;		   /* of a char array; 0: it is a u32 */
	const struct names *names; /* of the u32; NULL: as a number */
	const char *highest;	   /* what UINT32_MAX reads then; NULL: as a number, too */
};

struct labels {
	const struct label *of;
	size_t n;
};

struct scope {
	const void *(*records)(const struct source *source, size_t *n);
	size_t size; /* of a record */
	struct labels labels;
	bool (*has)(const void *record); /* NULL: all of them */
	bool shares_names; /* two records of a queue may have the same labels, and are one series */
};

/* The steps first ... names->n - 1, each with its name as the label's value. */
struct dimension {
	const char *label;
	const struct names *names;
	size_t first;
};

struct family {
	const char *name; /* without the `_total` or `_info` of its samples */
	const char *unit; /* how the name ends; NULL: it counts things */
	const char *help; /* NULL: goes on with the family before, from another scope */
	enum { GAUGE, COUNTER, INFO } type;
	const struct scope *scope;
	const struct dimension *dimension; /* NULL: none */
	struct labels labels;		   /* more of them, of an INFO */

	/* The value: computed, or a member of the record; of an INFO it is 1. */
	uint64_t (*compute)(const void *record, size_t step);
	size_t offset, stride, width;
	unsigned decimals; /* the member's unit is 10^-decimals of the metric's */
	bool first_stands; /* for all records of a series; else they are added up */
};

/* ---- scopes ---- */

static const void *daemon_records(const struct source *source, size_t *n)
{
	*n = 1;
	return source->status;
}

static const void *process_records(const struct source *source, size_t *n)
{
	*n = 1;
	return source->process;
}

static const void *interface_records(const struct source *source, size_t *n)
{
	*n = source->status->n_interfaces;
	return source->status->interfaces;
}

static const void *change_records(const struct source *source, size_t *n)
{
	*n = source->status->n_changes;
	return source->status->changes;
}

static const void *queue_records(const struct source *source, size_t *n)
{
	*n = source->status->n_queues;
	return source->status->queues;
}

static const void *verdict_records(const struct source *source, size_t *n)
{
	*n = source->status->n_verdicts;
	return source->status->verdicts;
}

static const void *consumer_records(const struct source *source, size_t *n)
{
	*n = source->status->n_consumers;
	return source->status->consumers;
}

static const void *group_records(const struct source *source, size_t *n)
{
	*n = source->status->n_groups;
	return source->status->groups;
}

static const void *rule_records(const struct source *source, size_t *n)
{
	*n = source->status->n_rules;
	return source->status->rules;
}

static const void *worker_records(const struct source *source, size_t *n)
{
	*n = source->status->n_workers;
	return source->status->workers;
}

/* A shared queue's rings tell of no frame that members hold: its worker's ledger does. */
static bool queue_is_exclusive(const void *record)
{
	const struct xdpd_queue_record *queue = record;

	return queue->delivery != XDPD_SHARED;
}

static bool consumer_is_member(const void *record)
{
	const struct xdpd_consumer_record *consumer = record;

	return consumer->mode != 0;
}

#define MEMBER(type, member) sizeof(((struct type *)0)->member)
#define TEXT_LABEL(label_name, type, member)                                   \
	{                                                                      \
		.name = (label_name), .offset = offsetof(struct type, member), \
		.length = MEMBER(type, member)                                 \
	}
#define NUMBER_LABEL(label_name, type, member)                                \
	{                                                                     \
		.name = (label_name), .offset = offsetof(struct type, member) \
	}
#define NAMED_LABEL(label_name, type, member, table)                                             \
	{                                                                                        \
		.name = (label_name), .offset = offsetof(struct type, member), .names = &(table) \
	}
#define INDEX_LABEL(label_name, type, member, highest_text)                    \
	{                                                                      \
		.name = (label_name), .offset = offsetof(struct type, member), \
		.highest = (highest_text)                                      \
	}
#define LABELS(...)                                                                      \
	{                                                                                \
		.of = (const struct label[]){__VA_ARGS__},                               \
		.n = sizeof((const struct label[]){__VA_ARGS__}) / sizeof(struct label), \
	}

static const struct scope the_daemon = {.records = daemon_records, .size = sizeof(struct status)};

static const struct scope the_process = {
	.records = process_records,
	.size = sizeof(struct process_usage),
};

static const struct scope interfaces = {
	.records = interface_records,
	.size = sizeof(struct xdpd_interface_record),
	.labels = LABELS(TEXT_LABEL("device", xdpd_interface_record, device)),
};

static const struct scope changes = {
	.records = change_records,
	.size = sizeof(struct change_record),
	.labels = LABELS(TEXT_LABEL("device", change_record, device)),
};

static const struct scope queues = {
	.records = queue_records,
	.size = sizeof(struct xdpd_queue_record),
	.labels = LABELS(TEXT_LABEL("device", xdpd_queue_record, device),
			 NUMBER_LABEL("queue", xdpd_queue_record, queue)),
};

static const struct scope exclusive_queues = {
	.records = queue_records,
	.size = sizeof(struct xdpd_queue_record),
	.labels = LABELS(TEXT_LABEL("device", xdpd_queue_record, device),
			 NUMBER_LABEL("queue", xdpd_queue_record, queue)),
	.has = queue_is_exclusive,
};

static const struct scope verdicts = {
	.records = verdict_records,
	.size = sizeof(struct verdict_record),
	.labels = LABELS(TEXT_LABEL("device", verdict_record, device),
			 NUMBER_LABEL("queue", verdict_record, queue)),
};

static const struct scope consumers = {
	.records = consumer_records,
	.size = sizeof(struct xdpd_consumer_record),
	.labels = LABELS(TEXT_LABEL("device", xdpd_consumer_record, device),
			 NUMBER_LABEL("queue", xdpd_consumer_record, queue),
			 TEXT_LABEL("consumer", xdpd_consumer_record, name)),
	.shares_names = true,
};

static const struct scope members = {
	.records = consumer_records,
	.size = sizeof(struct xdpd_consumer_record),
	.labels = LABELS(TEXT_LABEL("device", xdpd_consumer_record, device),
			 NUMBER_LABEL("queue", xdpd_consumer_record, queue),
			 TEXT_LABEL("group", xdpd_consumer_record, group),
			 TEXT_LABEL("consumer", xdpd_consumer_record, name)),
	.has = consumer_is_member,
	.shares_names = true,
};

static const struct scope groups = {
	.records = group_records,
	.size = sizeof(struct xdpd_group_record),
	.labels = LABELS(TEXT_LABEL("device", xdpd_group_record, device),
			 NUMBER_LABEL("queue", xdpd_group_record, queue),
			 TEXT_LABEL("group", xdpd_group_record, name)),
};

/* With the match, so that the series of a place in the list does not go on with another rule. */
static const struct scope rules = {
	.records = rule_records,
	.size = sizeof(struct xdpd_rule_record),
	.labels = LABELS(TEXT_LABEL("device", xdpd_rule_record, device),
			 INDEX_LABEL("rule", xdpd_rule_record, rule, "default"),
			 NAMED_LABEL("action", xdpd_rule_record, action, action_names),
			 TEXT_LABEL("match", xdpd_rule_record, match)),
};

static const struct scope workers = {
	.records = worker_records,
	.size = sizeof(struct xdpd_worker_record),
	.labels = LABELS(TEXT_LABEL("device", xdpd_worker_record, device),
			 NUMBER_LABEL("queue", xdpd_worker_record, queue)),
};

/* ---- dimensions ---- */

static const struct names reason_names = {.of = detach_reason_names, .n = DETACH_REASON_COUNT};
static const struct names change_names = {.of = interface_change_names,
					  .n = INTERFACE_CHANGE_COUNT};
static const struct names kind_names = {.of = violation_names, .n = VIOLATION_COUNT};
static const struct names command_names = {.of = request_names, .n = REQUEST_COUNT};

/* Where a frame is: the rings in their order, then ... */
enum { ELSEWHERE = 4, PLACES };
static const struct names place_names = {
	.of = (const char *const[]){"rx", "tx", "fill", "completion", "elsewhere"},
	.n = PLACES,
};

static const struct dimension by_state = {"state", &queue_state_names, XDPD_QUEUE_WAITING};
static const struct dimension by_place = {"state", &place_names, 0};
static const struct dimension by_ring = {"ring", &ring_names, 0};
static const struct dimension by_action = {"action", &verdict_names, 0};
static const struct dimension by_reason = {"reason", &reason_names, 0};
static const struct dimension by_command = {"command", &command_names, 0};
static const struct dimension by_kind = {"kind", &kind_names, VIOLATION_NONE + 1};
static const struct dimension by_change = {"kind", &change_names, 0};
static const struct dimension by_cause = {"cause", &drop_cause_names, 0};
static const struct dimension by_frame_place = {"state", &frame_place_names, 0};

/* ---- computed values ---- */

static uint64_t interface_present(const void *record, size_t step)
{
	const struct xdpd_interface_record *interface = record;

	(void)step;
	return interface->ifindex != 0;
}

static uint64_t interface_as_wanted(const void *record, size_t step)
{
	const struct xdpd_interface_record *interface = record;

	(void)step;
	return interface->reason[0] == '\0';
}

static uint64_t queue_is_in_state(const void *record, size_t step)
{
	const struct xdpd_queue_record *queue = record;

	return queue->state == step;
}

static uint64_t umem_size(const void *record, size_t step)
{
	const struct xdpd_queue_record *queue = record;

	(void)step;
	return (uint64_t)queue->frames * queue->frame_size;
}

/*
 * The rings are read one after the other while frames move between them, and a consumer can write anything
 * into its own: together they may hold more than there are frames. So each place takes at most what the
 * places before it left, and the sum is always the number of frames.
 */
static uint64_t frames_in_place(const void *record, size_t step)
{
	const struct xdpd_queue_record *queue = record;
	const struct xdpd_ring_record rings[ELSEWHERE] = {queue->rx, queue->tx, queue->fill,
							  queue->completion};
	uint32_t left = queue->frames;

	for (size_t place = 0; place < ELSEWHERE; place++) {
		uint32_t here = rings[place].entries < left ? rings[place].entries : left;

		if (place == step)
			return here;
		left -= here;
	}
	return left;
}

static uint64_t worker_runs(const void *record, size_t step)
{
	const struct xdpd_worker_record *worker = record;

	(void)step;
	return worker->tid != 0;
}

/* ---- the table ---- */

#define RING_STRIDE sizeof(struct xdpd_ring_record)

_Static_assert(offsetof(struct xdpd_queue_record, tx) ==
			       offsetof(struct xdpd_queue_record, rx) + RING_STRIDE &&
		       offsetof(struct xdpd_queue_record, fill) ==
			       offsetof(struct xdpd_queue_record, rx) + 2 * RING_STRIDE &&
		       offsetof(struct xdpd_queue_record, completion) ==
			       offsetof(struct xdpd_queue_record, rx) + 3 * RING_STRIDE,
	       "the rings of a queue are an array in ring_names' order");

_Static_assert(offsetof(struct xdpd_group_record, dropped_quota) ==
			       offsetof(struct xdpd_group_record, dropped_ring_full) +
				       sizeof(uint64_t) &&
		       offsetof(struct xdpd_group_record, overrun) ==
			       offsetof(struct xdpd_group_record, dropped_ring_full) +
				       2 * sizeof(uint64_t),
	       "what a group lost is an array in drop_cause_names' order");

#define VALUE(type, member) .offset = offsetof(struct type, member), .width = MEMBER(type, member)
#define VALUES(type, array)                                                                    \
	.offset = offsetof(struct type, array), .width = sizeof(((struct type *)0)->array[0]), \
	.stride = sizeof(((struct type *)0)->array[0])
#define RING_VALUE(member)                                                                  \
	.offset = offsetof(struct xdpd_queue_record, rx.member), .width = sizeof(uint32_t), \
	.stride = RING_STRIDE
#define VERDICT_VALUE(member)                                                                     \
	.offset = offsetof(struct verdict_record, counters[0].member), .width = sizeof(uint64_t), \
	.stride = sizeof(struct xdpd_bpf_counter)

#define DROP_VALUE                                                       \
	.offset = offsetof(struct xdpd_group_record, dropped_ring_full), \
	.width = sizeof(uint64_t), .stride = sizeof(uint64_t)

/* clang-format off */
static const struct family families[] = {
	/* the daemon */
	{"xdpd_build", NULL, "The running xdpd's version.", INFO, &the_daemon,
	 .labels = LABELS(TEXT_LABEL("version", status, daemon.release))},
	{"xdpd_start_time_seconds", "seconds", "When xdpd started, since the epoch.", GAUGE, &the_daemon,
	 VALUE(status, daemon.started)},
	{"xdpd_restarts", NULL,
	 "Times that another process of xdpd went on with everything, after a restart or a crash.",
	 COUNTER, &the_daemon, VALUE(status, daemon.restarts)},
	{"xdpd_config_last_reload_successful", NULL,
	 "1 if the last load of the configuration succeeded.", GAUGE, &the_daemon,
	 VALUE(status, daemon.last_reload_ok)},
	{"xdpd_config_last_reload_success_timestamp_seconds", "seconds",
	 "When the configuration was last loaded with success, since the epoch.", GAUGE, &the_daemon,
	 VALUE(status, daemon.last_reload)},
	{"xdpd_config_runtime_changes", NULL,
	 "Queues that are not as the configuration file has them; a reload undoes these changes.",
	 GAUGE, &the_daemon, VALUE(status, daemon.runtime_changes)},
	{"xdpd_sessions", NULL, "Connections to the control socket.", GAUGE, &the_daemon,
	 VALUE(status, sessions)},
	{"xdpd_consumers", NULL, "Consumers that are attached to a queue.", GAUGE, &the_daemon,
	 VALUE(status, n_consumers)},
	{"xdpd_consumer_disconnects", NULL, "Attachments that ended, by the reason.", COUNTER,
	 &the_daemon, &by_reason, VALUES(status, disconnects)},
	{"xdpd_consumer_violations", NULL,
	 "Members of queues with shared delivery that were ejected for what they wrote into their rings, by what it was.",
	 COUNTER, &the_daemon, &by_kind, VALUES(status, violations)},
	{"xdpd_control_requests", NULL, "Requests on the control socket.", COUNTER, &the_daemon,
	 &by_command, VALUES(status, requests)},
	{"xdpd_control_request_failures", NULL, "Requests on the control socket that were refused.",
	 COUNTER, &the_daemon, &by_command, VALUES(status, request_failures)},

	/* interfaces */
	{"xdpd_interface", NULL, "An interface's driver, and how the XDP program is attached.", INFO,
	 &interfaces,
	 .labels = LABELS(TEXT_LABEL("driver", xdpd_interface_record, driver),
			  NAMED_LABEL("mode", xdpd_interface_record, mode, xdp_mode_names),
			  NAMED_LABEL("wanted_mode", xdpd_interface_record, wanted_mode, xdp_mode_names))},
	{"xdpd_interface_present", NULL, "1 if the interface exists.", GAUGE, &interfaces,
	 .compute = interface_present},
	{"xdpd_interface_up", NULL, "1 if the interface is administratively up and has carrier.", GAUGE,
	 &interfaces, VALUE(xdpd_interface_record, up)},
	{"xdpd_interface_as_wanted", NULL, "1 if all that is configured for the interface is in place.",
	 GAUGE, &interfaces, .compute = interface_as_wanted},
	{"xdpd_interface_changes", NULL,
	 "What changed about the interface, and what xdpd did about its XDP program.", COUNTER, &changes,
	 &by_change, VALUES(change_record, counts)},
	{"xdpd_interface_mtu_bytes", "bytes", "The interface's MTU.", GAUGE, &interfaces,
	 VALUE(xdpd_interface_record, mtu)},
	{"xdpd_interface_receive_queues", NULL, "Receive queues that the interface has.", GAUGE,
	 &interfaces, VALUE(xdpd_interface_record, channels)},
	{"xdpd_interface_configured_queues", NULL, "Queues of the interface that xdpd shall own.", GAUGE,
	 &interfaces, VALUE(xdpd_interface_record, queues)},
	{"xdpd_interface_ready_queues", NULL,
	 "Queues of the interface that are ready for a consumer or have one.", GAUGE, &interfaces,
	 VALUE(xdpd_interface_record, queues_ready)},

	/* queues */
	{"xdpd_queue", NULL, "How a queue's frames are delivered and its socket is bound.", INFO, &queues,
	 .labels = LABELS(NAMED_LABEL("delivery", xdpd_queue_record, delivery, delivery_names),
			  NAMED_LABEL("bind", xdpd_queue_record, bind, bind_mode_names),
			  NAMED_LABEL("wanted_bind", xdpd_queue_record, wanted_bind, bind_mode_names),
			  NAMED_LABEL("classified", xdpd_queue_record, classified, truth_names))},
	{"xdpd_queue_state", NULL, "1 for the state that the queue is in, 0 for the others.", GAUGE,
	 &queues, &by_state, .compute = queue_is_in_state},
	{"xdpd_queue_receive_packets", "packets", "Frames received by the queue's consumers.", COUNTER,
	 &queues, VALUE(xdpd_queue_record, receive_packets)},
	{"xdpd_queue_receive_bytes", "bytes",
	 "Bytes redirected to the queue's consumers; those of frames that the rings dropped are among them.",
	 COUNTER, &queues, VALUE(xdpd_queue_record, receive_bytes)},
	{"xdpd_queue_transmit_packets", "packets", "Frames transmitted by the queue's consumers, as their rings tell.", COUNTER,
	 &queues, VALUE(xdpd_queue_record, transmit_packets)},
	{"xdpd_queue_transmit_bytes", "bytes",
	 "Bytes transmitted by the queue's consumers, as they tell.", COUNTER, &queues,
	 VALUE(xdpd_queue_record, transmit_bytes)},
	{"xdpd_queue_receive_dropped", NULL,
	 "Frames dropped for reasons other than a full RX ring (XDP_STATISTICS rx_dropped). In copy mode it "
	 "counts those without a fill entry too: do not add it to xdpd_queue_fill_ring_empty_total.",
	 COUNTER, &queues, VALUE(xdpd_queue_record, receive_dropped)},
	{"xdpd_queue_receive_ring_full", NULL,
	 "Frames dropped as the RX ring was full: the consumer is too slow (XDP_STATISTICS rx_ring_full).",
	 COUNTER, &queues, VALUE(xdpd_queue_record, receive_ring_full)},
	{"xdpd_queue_fill_ring_empty", NULL,
	 "Times that the fill ring had no frame for what arrived: the consumer does not give frames back "
	 "fast enough (XDP_STATISTICS rx_fill_ring_empty_descs).",
	 COUNTER, &queues, VALUE(xdpd_queue_record, fill_ring_empty)},
	{"xdpd_queue_receive_invalid_descriptors", NULL,
	 "Invalid addresses that the consumer put into the fill ring (XDP_STATISTICS rx_invalid_descs).",
	 COUNTER, &queues, VALUE(xdpd_queue_record, receive_invalid_descriptors)},
	{"xdpd_queue_transmit_invalid_descriptors", NULL,
	 "Invalid descriptors that the consumer put into the TX ring (XDP_STATISTICS tx_invalid_descs).",
	 COUNTER, &queues, VALUE(xdpd_queue_record, transmit_invalid_descriptors)},
	{"xdpd_queue_transmit_ring_empty", NULL,
	 "Times that the kernel found the TX ring empty (XDP_STATISTICS tx_ring_empty_descs).", COUNTER,
	 &queues, VALUE(xdpd_queue_record, transmit_ring_empty)},
	{"xdpd_queue_ring_entries", "entries", "Entries that are in the ring now.", GAUGE, &queues, &by_ring,
	 RING_VALUE(entries)},
	{"xdpd_queue_ring_capacity_entries", "entries",
	 "Entries that fit into the ring; 0: no such ring.", GAUGE, &queues, &by_ring, RING_VALUE(size)},
	{"xdpd_umem_size_bytes", "bytes", "Size of the queue's UMEM.", GAUGE, &queues,
	 .compute = umem_size},
	{"xdpd_frames", NULL,
	 "The frames of the queue's UMEM by where they are. Exclusive delivery: the ring, or elsewhere, which is with "
	 "the consumer or the kernel. Shared: in the kernel to be filled or received, to be transmitted, free, or lent "
	 "to members. The sum is the number of frames.",
	 GAUGE, &exclusive_queues, &by_place, .compute = frames_in_place},
	{"xdpd_frames", NULL, NULL, GAUGE, &workers, &by_frame_place, VALUES(xdpd_worker_record, frames)},

	/* the XDP program */
	{"xdpd_xdp_verdicts", NULL, "Frames seen by the XDP program, by what became of them.", COUNTER,
	 &verdicts, &by_action, VERDICT_VALUE(packets)},
	{"xdpd_xdp_verdict_bytes", "bytes", "Bytes seen by the XDP program, by what became of them.",
	 COUNTER, &verdicts, &by_action, VERDICT_VALUE(bytes)},

	/* consumers */
	/* What it receives and transmits is the queue's: counters of its own would go back when it attaches anew. */
	{"xdpd_consumer_attached_timestamp_seconds", "seconds",
	 "When the consumer attached, since the epoch.", GAUGE, &consumers,
	 VALUE(xdpd_consumer_record, attached), .first_stands = true},

	/* Members that share a name are one series: what they may hold is a sum like what they hold. */
	{"xdpd_consumer_held_frames", "frames", "Frames that are lent to the group's member now.", GAUGE, &members,
	 VALUE(xdpd_consumer_record, held)},
	{"xdpd_consumer_quota_frames", "frames", "Frames that the group's member may hold at once; 0: a tap.", GAUGE,
	 &members, VALUE(xdpd_consumer_record, quota)},

	/* groups, on each queue with shared delivery */
	{"xdpd_group", NULL, "How members of a group hold frames that ask for nothing else, and whether the "
	 "configuration names the group.", INFO, &groups,
	 .labels = LABELS(NAMED_LABEL("mode", xdpd_group_record, mode, hold_mode_names),
			  NAMED_LABEL("configured", xdpd_group_record, configured, truth_names))},
	{"xdpd_group_members", NULL, "Consumers that are in the group.", GAUGE, &groups,
	 VALUE(xdpd_group_record, members)},
	{"xdpd_group_held_frames", "frames", "Frames that are lent to the group's members now.", GAUGE, &groups,
	 VALUE(xdpd_group_record, held)},
	{"xdpd_group_quota_frames", "frames", "Frames that each member of the group may hold at once.", GAUGE, &groups,
	 VALUE(xdpd_group_record, quota)},
	{"xdpd_group_receive_packets", "packets", "Frames received by the group's members.", COUNTER, &groups,
	 VALUE(xdpd_group_record, receive_packets)},
	{"xdpd_group_receive_bytes", "bytes", "Bytes received by the group's members.", COUNTER, &groups,
	 VALUE(xdpd_group_record, receive_bytes)},
	{"xdpd_group_dropped", NULL,
	 "Frames that the group did not get: its member's RX ring was full, it held as many as it may (quota), or, of a "
	 "tap, as it tells itself, they were overwritten before it had read them (overrun).",
	 COUNTER, &groups, &by_cause, DROP_VALUE},
	{"xdpd_group_transmit_packets", "packets", "Frames transmitted by the group's members.", COUNTER, &groups,
	 VALUE(xdpd_group_record, transmit_packets)},
	{"xdpd_group_transmit_bytes", "bytes", "Bytes transmitted by the group's members.", COUNTER, &groups,
	 VALUE(xdpd_group_record, transmit_bytes)},

	/* steering */
	{"xdpd_rule", NULL, "The groups that a rule redirects to; none: all, or it does not redirect.", INFO, &rules,
	 .labels = LABELS(TEXT_LABEL("groups", xdpd_rule_record, groups))},
	{"xdpd_rule_packets", "packets", "Frames that the rule was the first to match.", COUNTER, &rules,
	 VALUE(xdpd_rule_record, packets)},
	{"xdpd_rule_bytes", "bytes", "Bytes of frames that the rule was the first to match.", COUNTER, &rules,
	 VALUE(xdpd_rule_record, bytes)},

	/* workers */
	{"xdpd_worker", NULL, "Where and how the thread of a queue with shared delivery is scheduled.", INFO, &workers,
	 .labels = LABELS(INDEX_LABEL("cpu", xdpd_worker_record, cpu, "any"),
			  NAMED_LABEL("scheduler", xdpd_worker_record, scheduler, scheduler_names))},
	{"xdpd_worker_running", NULL, "1 if the thread runs; it does while the queue has consumers.", GAUGE, &workers,
	 .compute = worker_runs},
	{"xdpd_worker_bursts", NULL, "Times that the worker found frames in the RX ring.", COUNTER, &workers,
	 VALUE(xdpd_worker_record, bursts)},
	{"xdpd_worker_packets", "packets", "Frames that the worker took from the RX ring.", COUNTER, &workers,
	 VALUE(xdpd_worker_record, packets)},
	{"xdpd_worker_busy_seconds", "seconds", "Time that the worker was awake and had something to do.", COUNTER,
	 &workers, VALUE(xdpd_worker_record, busy_ns), .decimals = 9},
	{"xdpd_worker_idle_seconds", "seconds",
	 "Time that the worker was awake and looked for something to do.", COUNTER, &workers,
	 VALUE(xdpd_worker_record, idle_ns), .decimals = 9},
	{"xdpd_worker_sleeps", NULL, "Times that the worker went to sleep.", COUNTER, &workers,
	 VALUE(xdpd_worker_record, sleeps)},
	{"xdpd_worker_unclaimed", NULL,
	 "Frames whose member had left between the XDP program and the worker.", COUNTER, &workers,
	 VALUE(xdpd_worker_record, unclaimed)},
	{"xdpd_worker_violations", NULL,
	 "Members of the queue that were ejected for what they wrote into their rings.", COUNTER, &workers,
	 VALUE(xdpd_worker_record, violations)},

	/* the process, under the names that all exporters have */
	{"process_cpu_seconds", "seconds", "User and system CPU time spent.", COUNTER, &the_process,
	 VALUE(process_usage, cpu_microseconds), .decimals = 6},
	{"process_resident_memory_bytes", "bytes", "Resident memory.", GAUGE, &the_process,
	 VALUE(process_usage, resident_bytes)},
	{"process_open_fds", NULL, "Open file descriptors.", GAUGE, &the_process,
	 VALUE(process_usage, open_fds)},
	{"process_max_fds", NULL, "How many file descriptors may be open.", GAUGE, &the_process,
	 VALUE(process_usage, max_fds)},
};
/* clang-format on */

/* ---- rendering ---- */

const char *const metrics_content_type[] = {
	[METRICS_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
	[METRICS_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/* What the samples' name adds to the family's. */
static const char *suffix(const struct family *family)
{
	switch (family->type) {
	case COUNTER:
		return "_total";
	case INFO:
		return "_info";
	default:
		return "";
	}
}

/*
 * OpenMetrics names the family without the suffix and has a type for infos; the older format knows but the
 * samples' names, and infos as gauges.
 */
static void header(struct text *out, const struct family *family, enum metrics_format format)
{
	const char *tail = format == METRICS_OPENMETRICS ? "" : suffix(family);
	const char *type = family->type == COUNTER ? "counter" : "gauge";

	if (family->type == INFO && format == METRICS_OPENMETRICS)
		type = "info";
	text_format(out, "# HELP %s%s %s\n", family->name, tail, family->help);
	text_format(out, "# TYPE %s%s %s\n", family->name, tail, type);
	if (family->unit && format == METRICS_OPENMETRICS)
		text_format(out, "# UNIT %s %s\n", family->name, family->unit);
}

static uint32_t u32_at(const char *member)
{
	uint32_t value;

	memcpy(&value, member, sizeof(value));
	return value;
}

/* `n` is how many labels the sample has so far. */
static void label_open(struct text *out, const char *name, size_t n)
{
	text_bytes(out, n == 0 ? "{" : ",", 1);
	text_string(out, name);
	text_bytes(out, "=\"", 2);
}

static void label_close(struct text *out)
{
	text_bytes(out, "\"", 1);
}

static size_t write_labels(struct text *out, const char *record, const struct labels *labels,
			   size_t n)
{
	for (size_t i = 0; i < labels->n; i++) {
		const struct label *label = &labels->of[i];
		const char *member = record + label->offset;

		label_open(out, label->name, n++);
		if (label->length)
			text_label(out, member, label->length);
		else if (label->names)
			text_string(out, name_of(label->names, u32_at(member)));
		else if (label->highest && u32_at(member) == UINT32_MAX)
			text_string(out, label->highest);
		else
			text_number(out, u32_at(member));
		label_close(out);
	}
	return n;
}

static uint64_t value_of(const struct family *family, const char *record, size_t step)
{
	const char *member = record + family->offset + step * family->stride;
	uint64_t value;

	if (family->type == INFO)
		return 1;
	if (family->compute)
		return family->compute(record, step);
	if (family->width == sizeof(uint32_t))
		return u32_at(member);
	memcpy(&value, member, sizeof(value));
	return value;
}

/* What the first `n` labels show is the same of both. */
static bool same_labels(const struct labels *labels, size_t n, const char *a, const char *b)
{
	for (size_t i = 0; i < n; i++) {
		const struct label *label = &labels->of[i];
		const char *of_a = a + label->offset, *of_b = b + label->offset;

		if (label->length ? strncmp(of_a, of_b, label->length) != 0
				  : u32_at(of_a) != u32_at(of_b))
			return false;
	}
	return true;
}

/* The labels that tell a queue from others come first, and the records of one queue stand together. */
#define QUEUE_LABELS 2

static bool same_queue(const struct scope *scope, const char *a, const char *b)
{
	return same_labels(&scope->labels, QUEUE_LABELS, a, b);
}

static bool same_series(const struct scope *scope, const char *a, const char *b)
{
	return same_labels(&scope->labels, scope->labels.n, a, b);
}

/* Whether record `i` has a sample: it counts, and none before it is of the same series. */
static bool begins_series(const struct scope *scope, const char *records, size_t i)
{
	const char *record = records + i * scope->size;

	if (scope->has && !scope->has(record))
		return false;
	while (scope->shares_names && i-- > 0) {
		const char *before = records + i * scope->size;

		if (!same_queue(scope, record, before))
			break;
		if (same_series(scope, record, before))
			return false;
	}
	return true;
}

static uint64_t series_value(const struct family *family, const char *records, size_t n, size_t i,
			     size_t step)
{
	const struct scope *scope = family->scope;
	const char *record = records + i * scope->size;
	uint64_t value = value_of(family, record, step);

	if (!scope->shares_names || family->first_stands)
		return value;
	while (++i < n) {
		const char *after = records + i * scope->size;

		if (!same_queue(scope, record, after))
			break;
		if (same_series(scope, record, after))
			value += value_of(family, after, step);
	}
	return value;
}

/* What all samples of the record begin with. Returns how many labels that has. */
static size_t begin_sample(struct text *out, const struct family *family, const char *record)
{
	size_t n = 0;

	text_string(out, family->name);
	text_string(out, suffix(family));
	n = write_labels(out, record, &family->scope->labels, n);
	return write_labels(out, record, &family->labels, n);
}

static void end_sample(struct text *out, const struct family *family, size_t n_labels, size_t step,
		       uint64_t value)
{
	const struct dimension *dimension = family->dimension;

	if (dimension) {
		label_open(out, dimension->label, n_labels++);
		text_string(out, name_of(dimension->names, (uint32_t)step));
		label_close(out);
	}
	text_string(out, n_labels > 0 ? "} " : " ");
	text_decimal(out, value, family->decimals);
	text_bytes(out, "\n", 1);
}

static void render_family(struct text *out, const struct family *family,
			  const struct source *source, enum metrics_format format)
{
	const struct dimension *dimension = family->dimension;
	const struct scope *scope = family->scope;
	size_t first = dimension ? dimension->first : 0;
	size_t end = dimension ? dimension->names->n : 1;
	const char *records;
	size_t n;

	records = scope->records(source, &n);
	if (family->help)
		header(out, family, format);
	for (size_t i = 0; i < n && !out->error; i++) {
		const size_t start = out->length;
		size_t labels, length;

		if (!begins_series(scope, records, i))
			continue;
		labels = begin_sample(out, family, records + i * scope->size);
		length = out->length - start;
		for (size_t step = first; step < end; step++) {
			if (step > first)
				text_repeat(out, start, length);
			end_sample(out, family, labels, step,
				   series_value(family, records, n, i, step));
		}
	}
}

int metrics_render(struct text *out, const struct status *status,
		   const struct process_usage *process, enum metrics_format format)
{
	const struct source source = {.status = status, .process = process};

	text_clear(out);
	for (size_t i = 0; i < COUNT(families); i++)
		render_family(out, &families[i], &source, format);
	if (format == METRICS_OPENMETRICS)
		text_string(out, "# EOF\n");
	return out->error;
}
