/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/records.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "ctl/say.h"
#include "daemon/cleanup.h"

struct field {
	const char *key;
	json_t *(*value)(const struct field *field, const void *member);
	size_t offset;
	size_t size;
	const char *const *words; /* NULL ends them; word 0 is NULL where 0 means none */
};

static uint64_t number(const struct field *field, const void *member)
{
	uint32_t narrow;
	uint64_t wide;

	if (field->size == sizeof(narrow)) {
		memcpy(&narrow, member, sizeof(narrow));
		return narrow;
	}
	memcpy(&wide, member, sizeof(wide));
	return wide;
}

static json_t *number_value(const struct field *field, const void *member)
{
	uint64_t value = number(field, member);

	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/* 0 says that there is none. */
static json_t *number_or_null(const struct field *field, const void *member)
{
	return number(field, member) ? number_value(field, member) : json_null();
}

static json_t *flag_value(const struct field *field, const void *member)
{
	return json_boolean(number(field, member));
}

static json_t *word_value(const struct field *field, const void *member)
{
	uint64_t value = number(field, member);
	size_t n = 1;

	while (field->words[n])
		n++;
	if (value >= n)
		return json_string("unknown");
	return field->words[value] ? json_string(field->words[value]) : json_null();
}

/* A set of bits, the words in their order; null if it is empty. */
static json_t *words_value(const struct field *field, const void *member)
{
	uint64_t value = number(field, member);
	const char *const *word = field->words;
	json_t *array;

	if (!value)
		return json_null();
	array = json_array();
	for (unsigned bit = 0; bit < 64; bit++) {
		if (value >> bit & 1)
			json_array_append_new(array, *word ? json_string(*word)
							   : json_sprintf("bit%u", bit));
		if (*word)
			word++;
	}
	return array;
}

json_t *text_value(const char *text, size_t max)
{
	size_t length = strnlen(text, max);
	cleanup_free char *ascii = NULL;
	json_t *value;

	if (!length)
		return json_null();
	value = json_stringn(text, length);
	if (value)
		return value;
	ascii = allocate(length);
	for (size_t i = 0; i < length; i++)
		ascii[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
	return json_stringn(ascii, length);
}

static json_t *string_value(const struct field *field, const void *member)
{
	return text_value(member, field->size);
}

/* Nanoseconds as seconds; a double holds today's to the microsecond. */
static json_t *time_value(const struct field *field, const void *member)
{
	return json_real((double)(number(field, member) / 1000) / 1e6);
}

/* An event of no queue, the default rule, any CPU. */
static json_t *index_or_null(const struct field *field, const void *member)
{
	return number(field, member) == UINT32_MAX ? json_null() : number_value(field, member);
}

static json_t *ring_value(const struct field *field, const void *member)
{
	struct xdpd_ring_record ring;

	(void)field;
	memcpy(&ring, member, sizeof(ring));
	if (!ring.size)
		return json_null();
	return json_pack("{s:I, s:I}", "size", (json_int_t)ring.size, "entries",
			 (json_int_t)ring.entries);
}

/* An object with a number for each of the words. */
static json_t *numbers_value(const struct field *field, const void *member)
{
	json_t *object = json_object();

	for (size_t i = 0; field->words[i]; i++) {
		uint32_t value;

		memcpy(&value, (const char *)member + i * sizeof(value), sizeof(value));
		json_object_set_new(object, field->words[i], json_integer(value));
	}
	return object;
}

static const char *const delivery_words[] = {NULL, "exclusive", "shared", NULL};
static const char *const mode_words[] = {NULL, "auto", "native", "generic", NULL};
static const char *const bind_words[] = {NULL, "auto", "zero-copy", "copy", NULL};
static const char *const state_words[] = {NULL,	       "waiting", "ready",  "attached",
					  "releasing", "busy",	  "failed", NULL};
static const char *const hold_words[] = {NULL, "hold", "tap", NULL};
static const char *const action_words[] = {NULL, "redirect", "pass", "drop", NULL};
static const char *const scheduler_words[] = {"other", "fifo", "rr", "batch",
					      NULL}; /* SCHED_* [sched.h] */
static const char *const place_words[XDPD_PLACE_COUNT + 1] = {[XDPD_PLACE_KERNEL] = "kernel",
							      [XDPD_PLACE_TRANSMIT] = "transmit",
							      [XDPD_PLACE_FREE] = "free",
							      [XDPD_PLACE_LENT] = "lent"};
/* NETDEV_XDP_ACT_* [linux/netdev.h] */
static const char *const feature_words[] = {"basic",	  "redirect", "ndo-xmit",    "xsk-zerocopy",
					    "hw-offload", "rx-sg",    "ndo-xmit-sg", NULL};
static const char *const event_words[] = {
	NULL,	     "interface-appeared", "interface-gone", "link-up",
	"link-down", "queue-state",	   "attached",	     "detached",
	"reloaded",  "reload-failed",	   "stopping",	     "interface-changed",
	NULL};

#define FIELD(type, member, value_, ...)                                                  \
	{                                                                                 \
		.key = #member, .value = value_, .offset = offsetof(struct type, member), \
		.size = sizeof(((struct type *)0)->member), __VA_ARGS__                   \
	}

#define D(member, ...) FIELD(xdpd_daemon_record, member, __VA_ARGS__)
static const struct field daemon_fields[] = {
	D(release, string_value),	  D(pid, number_value),
	D(started, number_value),	  D(config, string_value),
	D(last_reload_ok, flag_value),	  D(last_reload, number_or_null),
	D(runtime_changes, number_value), D(restarts, number_value),
};

#define I(member, ...) FIELD(xdpd_interface_record, member, __VA_ARGS__)
static const struct field interface_fields[] = {
	I(device, string_value),
	I(driver, string_value),
	I(ifindex, number_or_null),
	I(up, flag_value),
	I(mtu, number_or_null),
	I(channels, number_value),
	I(wanted_mode, word_value, .words = mode_words),
	I(mode, word_value, .words = mode_words),
	I(wanted_bind, word_value, .words = bind_words),
	I(program_id, number_or_null),
	I(xdp_features, words_value, .words = feature_words),
	I(zero_copy_segments, number_or_null),
	I(multi_buffer, flag_value),
	I(queues, number_value),
	I(queues_ready, number_value),
	I(reason, string_value),
	I(note, string_value),
};

#define Q(member, ...) FIELD(xdpd_queue_record, member, __VA_ARGS__)
static const struct field queue_fields[] = {
	Q(device, string_value),
	Q(queue, number_value),
	Q(state, word_value, .words = state_words),
	Q(reason, string_value),
	Q(consumer, string_value),
	Q(delivery, word_value, .words = delivery_words),
	Q(wanted_bind, word_value, .words = bind_words),
	Q(bind, word_value, .words = bind_words),
	Q(runtime, flag_value),
	Q(frames, number_value),
	Q(frame_size, number_value),
	Q(headroom, number_value),
	Q(rx, ring_value),
	Q(tx, ring_value),
	Q(fill, ring_value),
	Q(completion, ring_value),
	Q(receive_packets, number_value),
	Q(receive_bytes, number_value),
	Q(transmit_packets, number_value),
	Q(transmit_bytes, number_value),
	Q(passed_packets, number_value),
	Q(passed_bytes, number_value),
	Q(receive_dropped, number_value),
	Q(receive_ring_full, number_value),
	Q(fill_ring_empty, number_value),
	Q(receive_invalid_descriptors, number_value),
	Q(transmit_invalid_descriptors, number_value),
	Q(transmit_ring_empty, number_value),
	Q(consumers, number_value),
	Q(classified, flag_value),
	Q(dropped_by_rule, number_value),
};

#define C(member, ...) FIELD(xdpd_consumer_record, member, __VA_ARGS__)
static const struct field consumer_fields[] = {
	C(name, string_value),
	C(device, string_value),
	C(queue, number_value),
	C(uid, number_value),
	C(pid, number_value),
	C(transmit, flag_value),
	C(attached, number_value),
	C(receive_packets, number_value),
	C(receive_bytes, number_value),
	C(transmit_packets, number_value),
	C(transmit_bytes, number_value),
	C(dropped, number_value),
	C(group, string_value),
	C(mode, word_value, .words = hold_words),
	C(quota, number_value),
	C(held, number_value),
	C(dropped_ring_full, number_value),
	C(dropped_quota, number_value),
	C(overrun, number_value),
	C(returned, number_value),
	C(invalid_returns, number_value),
	C(transmit_invalid, number_value),
	C(wakeups, number_value),
	C(doorbells, number_value),
};

#define G(member, ...) FIELD(xdpd_group_record, member, __VA_ARGS__)
static const struct field group_fields[] = {
	G(name, string_value),
	G(device, string_value),
	G(queue, number_value),
	G(mode, word_value, .words = hold_words),
	G(members, number_value),
	G(configured, flag_value),
	G(quota, number_value),
	G(held, number_value),
	G(receive_packets, number_value),
	G(receive_bytes, number_value),
	G(dropped_ring_full, number_value),
	G(dropped_quota, number_value),
	G(overrun, number_value),
	G(transmit_packets, number_value),
	G(transmit_bytes, number_value),
};

#define R(member, ...) FIELD(xdpd_rule_record, member, __VA_ARGS__)
static const struct field rule_fields[] = {
	R(device, string_value), R(rule, index_or_null),
	R(match, string_value),	 R(action, word_value, .words = action_words),
	R(groups, string_value), R(packets, number_value),
	R(bytes, number_value),
};

#define W(member, ...) FIELD(xdpd_worker_record, member, __VA_ARGS__)
static const struct field worker_fields[] = {
	W(device, string_value),
	W(queue, number_value),
	W(tid, number_or_null),
	W(cpu, index_or_null),
	W(scheduler, word_value, .words = scheduler_words),
	W(priority, number_value),
	W(spin_usecs, number_value),
	W(bursts, number_value),
	W(packets, number_value),
	W(busy_ns, number_value),
	W(idle_ns, number_value),
	W(sleeps, number_value),
	W(unclaimed, number_value),
	W(violations, number_value),
	W(frames, numbers_value, .words = place_words),
};

#define T(member, ...) FIELD(xdpd_trace_record, member, __VA_ARGS__)
static const struct field trace_fields[] = {
	T(device, string_value),   T(queue, number_value),
	T(rule, index_or_null),	   T(action, word_value, .words = action_words),
	T(hash, number_or_null),   T(group, string_value),
	T(consumer, string_value), T(text, string_value),
};

#define E(member, ...) FIELD(xdpd_event, member, __VA_ARGS__)
static const struct field event_fields[] = {
	E(time, time_value),	 E(kind, word_value, .words = event_words),
	E(device, string_value), E(queue, index_or_null),
	E(text, string_value),
};

/* Members that lie beyond `length` are not the record's. */
static json_t *object_of(const struct field *fields, size_t n, const void *record, size_t length)
{
	json_t *object = json_object();

	for (size_t i = 0; i < n; i++) {
		const struct field *field = &fields[i];
		bool has = field->offset + field->size <= length;

		json_object_set_new(object, field->key,
				    has ? field->value(field, (const char *)record + field->offset)
					: json_null());
	}
	return object;
}

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))

json_t *event_object(const struct xdpd_event *event)
{
	return object_of(event_fields, SIZE(event_fields), event, sizeof(*event));
}

/* An older daemon's records end before what was added since. */
static const struct kind {
	const struct field *fields;
	size_t n_fields;
	size_t size; /* of version 1's record as it first was */
} kinds[] = {
	[XDPD_LIST_DAEMON] = {daemon_fields, SIZE(daemon_fields),
			      sizeof(struct xdpd_daemon_record)},
	[XDPD_LIST_INTERFACES] = {interface_fields, SIZE(interface_fields),
				  sizeof(struct xdpd_interface_record)},
	[XDPD_LIST_QUEUES] = {queue_fields, SIZE(queue_fields),
			      offsetof(struct xdpd_queue_record, consumers)},
	[XDPD_LIST_CONSUMERS] = {consumer_fields, SIZE(consumer_fields),
				 offsetof(struct xdpd_consumer_record, group)},
	[XDPD_LIST_GROUPS] = {group_fields, SIZE(group_fields), sizeof(struct xdpd_group_record)},
	[XDPD_LIST_RULES] = {rule_fields, SIZE(rule_fields), sizeof(struct xdpd_rule_record)},
	[XDPD_LIST_WORKERS] = {worker_fields, SIZE(worker_fields),
			       sizeof(struct xdpd_worker_record)},
	[XDPD_LIST_TRACE] = {trace_fields, SIZE(trace_fields), sizeof(struct xdpd_trace_record)},
};

/* What belongs to shared delivery is absent where the consumer has the queue alone. */
static void take_from_exclusive(json_t *consumer)
{
	if (!json_is_null(json_object_get(consumer, "mode")))
		return;
	for (size_t i = 0; i < SIZE(consumer_fields); i++)
		if (consumer_fields[i].offset >= offsetof(struct xdpd_consumer_record, group))
			json_object_set_new(consumer, consumer_fields[i].key, json_null());
}

/* What the record's members say only together. */
static void complete(enum xdpd_list list, json_t *object, const void *record)
{
	const struct xdpd_queue_record *queue = record;

	if (list == XDPD_LIST_CONSUMERS)
		take_from_exclusive(object);
	/* fill_ring_empty is not added: the kernel counts those frames as dropped, too */
	if (list == XDPD_LIST_QUEUES)
		json_object_set_new(object, "dropped",
				    json_integer((json_int_t)(queue->receive_dropped +
							      queue->receive_ring_full)));
}

int request_records(struct connection *connection, enum xdpd_message type,
		    struct xdpd_header *request, size_t length, enum xdpd_list list, json_t **ret,
		    struct failure *why)
{
	const struct kind *kind = &kinds[list];
	cleanup_json json_t *array = json_array();
	struct answer answer;
	int r;

	r = connection_request(connection, type, request, length, why);
	if (r < 0)
		return r;
	while ((r = connection_answer(connection, &answer, why)) > 0) {
		if (answer.type != XDPD_RECORD || answer.kind != list)
			return connection_lose(
				connection, why, EPROTO,
				"protocol error: the list has what was not asked for");
		if (answer.length < kind->size)
			return connection_lose(
				connection, why, EPROTO,
				"protocol error: a record has %zu bytes, expected %zu or more",
				answer.length, kind->size);

		json_t *object =
			object_of(kind->fields, kind->n_fields, answer.body, answer.length);

		complete(list, object, answer.body);
		json_array_append_new(array, object);
	}
	if (r < 0)
		return r;
	*ret = json_incref(array);
	return 0;
}

int fetch_records(struct connection *connection, enum xdpd_list kind, json_t **ret,
		  struct failure *why)
{
	struct xdpd_list_request request = {.kind = kind};

	return request_records(connection, XDPD_LIST, &request.header, sizeof(request), kind, ret,
			       why);
}

int fetch_daemon(struct connection *connection, json_t **ret, struct failure *why)
{
	cleanup_json json_t *array = NULL;
	int r = fetch_records(connection, XDPD_LIST_DAEMON, &array, why);

	if (r < 0)
		return r;
	if (json_array_size(array) != 1)
		return connection_lose(connection, why, EPROTO,
				       "protocol error: %zu records about the daemon",
				       json_array_size(array));
	*ret = json_incref(json_array_get(array, 0));
	return 0;
}
