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

static json_t *queue_or_null(const struct field *field, const void *member)
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

static const char *const delivery_words[] = {NULL, "exclusive", "shared", NULL};
static const char *const mode_words[] = {NULL, "auto", "native", "generic", NULL};
static const char *const bind_words[] = {NULL, "auto", "zero-copy", "copy", NULL};
static const char *const state_words[] = {NULL,	       "waiting", "ready",  "attached",
					  "releasing", "busy",	  "failed", NULL};
/* NETDEV_XDP_ACT_* [linux/netdev.h] */
static const char *const feature_words[] = {"basic",	  "redirect", "ndo-xmit",    "xsk-zerocopy",
					    "hw-offload", "rx-sg",    "ndo-xmit-sg", NULL};
static const char *const event_words[] = {
	NULL,	     "interface-appeared", "interface-gone", "link-up",
	"link-down", "queue-state",	   "attached",	     "detached",
	"reloaded",  "reload-failed",	   "stopping",	     NULL};

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
	D(runtime_changes, number_value),
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
};

#define E(member, ...) FIELD(xdpd_event, member, __VA_ARGS__)
static const struct field event_fields[] = {
	E(time, time_value),	 E(kind, word_value, .words = event_words),
	E(device, string_value), E(queue, queue_or_null),
	E(text, string_value),
};

static json_t *object_of(const struct field *fields, size_t n, const void *record)
{
	json_t *object = json_object();

	for (size_t i = 0; i < n; i++) {
		const struct field *field = &fields[i];

		json_object_set_new(object, field->key,
				    field->value(field, (const char *)record + field->offset));
	}
	return object;
}

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))

json_t *event_object(const struct xdpd_event *event)
{
	return object_of(event_fields, SIZE(event_fields), event);
}

static const struct kind {
	const struct field *fields;
	size_t n_fields;
	size_t size; /* of version 1's record */
} kinds[] = {
	[XDPD_LIST_DAEMON] = {daemon_fields, SIZE(daemon_fields),
			      sizeof(struct xdpd_daemon_record)},
	[XDPD_LIST_INTERFACES] = {interface_fields, SIZE(interface_fields),
				  sizeof(struct xdpd_interface_record)},
	[XDPD_LIST_QUEUES] = {queue_fields, SIZE(queue_fields), sizeof(struct xdpd_queue_record)},
	[XDPD_LIST_CONSUMERS] = {consumer_fields, SIZE(consumer_fields),
				 sizeof(struct xdpd_consumer_record)},
};

/* What the record's numbers say only together. */
static void add_sums(enum xdpd_list list, json_t *object, const void *record)
{
	const struct xdpd_queue_record *queue = record;

	/* fill_ring_empty is not added: the kernel counts those frames as dropped, too */
	if (list == XDPD_LIST_QUEUES)
		json_object_set_new(object, "dropped",
				    json_integer((json_int_t)(queue->receive_dropped +
							      queue->receive_ring_full)));
}

int fetch_records(struct connection *connection, enum xdpd_list list, json_t **ret,
		  struct failure *why)
{
	const struct kind *kind = &kinds[list];
	struct xdpd_list_request request = {.kind = list};
	cleanup_json json_t *array = json_array();
	struct answer answer;
	int r;

	r = connection_request(connection, XDPD_LIST, &request.header, sizeof(request), why);
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

		json_t *object = object_of(kind->fields, kind->n_fields, answer.body);

		add_sums(list, object, answer.body);
		json_array_append_new(array, object);
	}
	if (r < 0)
		return r;
	*ret = json_incref(array);
	return 0;
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
