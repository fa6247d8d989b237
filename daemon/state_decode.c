// SPDX-License-Identifier: BSD-2-Clause
#include <stdbool.h>
#include <string.h>

#include "daemon/cleanup.h"
#include "daemon/state_format.h"

/*
 * What there can be any number of. `least` is what a record has to have, for ever: so what is made of the bytes is not
 * much more than they are.
 */
static const struct shape {
	size_t size, least;
	enum state_kind parent; /* 0: none */
} shapes[STATE_KINDS] = {
#define SHAPE(type, without, of)                                        \
	{                                                               \
		sizeof(struct type), offsetof(struct type, without), of \
	}
	[STATE_INTERFACE] = SHAPE(saved_interface, groups[XDPD_GROUPS_MAX], 0),
	[STATE_RULE] = SHAPE(saved_rule, groups[XDPD_REASON_MAX], STATE_INTERFACE),
	[STATE_TOTALS] = SHAPE(saved_totals, verdicts, 0),
	[STATE_QUEUE] = SHAPE(saved_queue, generation, 0),
	[STATE_GROUP] = SHAPE(saved_group, receive_packets, STATE_QUEUE),
	[STATE_CONSUMER] = SHAPE(saved_consumer, group, STATE_QUEUE),
#undef SHAPE
};

/* What there is one of at most. */
struct single {
	const unsigned char *body; /* NULL: it is not there */
	size_t length;
};

struct list {
	unsigned char *items;
	uint32_t *parents;
	size_t n;
};

struct decoding {
	struct single singles[STATE_KINDS];
	size_t counts[STATE_KINDS];
	struct list lists[STATE_KINDS];
};

static void cleanup_decoding(struct decoding *decoding)
{
	for (int kind = 0; kind < STATE_KINDS; kind++) {
		free(decoding->lists[kind].items);
		free(decoding->lists[kind].parents);
	}
}

static void cleanup_state(struct state *state)
{
	state_clear(state);
}

void state_clear(struct state *state)
{
	free(state->running);
	free(state->file);
	free(state->interfaces);
	free(state->rules);
	free(state->rule_parents);
	free(state->totals);
	free(state->queues);
	free(state->groups);
	free(state->group_parents);
	free(state->consumers);
	free(state->consumer_parents);
	*state = (struct state){};
}

/* ---- records ---- */

struct reader {
	const unsigned char *at;
	size_t left;
};

/* Returns 1 and moves on, 0 at the end, or -EBADMSG. */
static int next_record(struct reader *reader, struct state_record *record,
		       const unsigned char **ret_body)
{
	if (!reader->left)
		return 0;
	if (reader->left < sizeof(*record))
		return -EBADMSG;
	memcpy(record, reader->at, sizeof(*record));
	if (record->length > reader->left - sizeof(*record))
		return -EBADMSG;
	*ret_body = reader->at + sizeof(*record);
	reader->at += sizeof(*record) + record->length;
	reader->left -= sizeof(*record) + record->length;
	return 1;
}

static int note_record(struct decoding *decoding, const struct state_record *record,
		       const unsigned char *body)
{
	if (record->kind == 0)
		return -EBADMSG;
	if (record->kind >= STATE_KINDS)
		return 0;
	if (shapes[record->kind].size) {
		const enum state_kind parent = shapes[record->kind].parent;

		if (record->length < shapes[record->kind].least ||
		    (parent && !decoding->counts[parent]))
			return -EBADMSG;
		decoding->counts[record->kind]++;
		return 0;
	}
	if (decoding->singles[record->kind].body)
		return -EBADMSG;
	decoding->singles[record->kind] = (struct single){body, record->length};
	return 0;
}

/* Counts what is there, before anything is allocated for it. */
static int note_records(struct decoding *decoding, struct reader reader)
{
	struct state_record record;
	const unsigned char *body;
	int r;

	while ((r = next_record(&reader, &record, &body)) > 0) {
		r = note_record(decoding, &record, body);
		if (r < 0)
			return r;
	}
	return r;
}

/* ---- singles ---- */

static void take_known(const struct single *single, void *to, size_t known)
{
	if (single->body)
		memcpy(to, single->body, single->length < known ? single->length : known);
}

static int take_text(const struct single *single, char **ret)
{
	if (!single->body)
		return 0;
	if (memchr(single->body, '\0', single->length))
		return -EBADMSG;
	*ret = strndup((const char *)single->body, single->length);
	return *ret ? 0 : -ENOMEM;
}

static int take_singles(const struct decoding *decoding, struct state *state)
{
	const struct single *singles = decoding->singles;
	struct saved_daemon *daemon = &state->daemon;
	int r;

	take_known(&singles[STATE_DAEMON], daemon, STATE_DAEMON_LENGTH);
	take_known(&singles[STATE_DISCONNECTS], daemon->disconnects, sizeof(daemon->disconnects));
	take_known(&singles[STATE_VIOLATIONS], daemon->violations, sizeof(daemon->violations));
	take_known(&singles[STATE_REQUESTS], daemon->requests, sizeof(daemon->requests));
	take_known(&singles[STATE_REQUEST_FAILURES], daemon->request_failures,
		   sizeof(daemon->request_failures));
	r = take_text(&singles[STATE_RUNNING], &state->running);
	if (r < 0)
		return r;
	return take_text(&singles[STATE_FILE], &state->file);
}

/* ---- lists ---- */

static int allocate_lists(struct decoding *decoding)
{
	for (int kind = 0; kind < STATE_KINDS; kind++) {
		struct list *list = &decoding->lists[kind];

		if (!decoding->counts[kind])
			continue;
		list->items = calloc(decoding->counts[kind], shapes[kind].size);
		if (shapes[kind].parent)
			list->parents = calloc(decoding->counts[kind], sizeof(*list->parents));
		if (!list->items || (shapes[kind].parent && !list->parents))
			return -ENOMEM;
	}
	return 0;
}

/* All have been noted: each has its place, and its parent is before it. */
static void fill_lists(struct decoding *decoding, struct reader reader)
{
	struct state_record record;
	const unsigned char *body;

	while (next_record(&reader, &record, &body) > 0) {
		const struct shape *shape;
		struct list *list;

		if (record.kind >= STATE_KINDS || !shapes[record.kind].size)
			continue;
		shape = &shapes[record.kind];
		list = &decoding->lists[record.kind];
		memcpy(list->items + list->n * shape->size, body,
		       record.length < shape->size ? record.length : shape->size);
		if (shape->parent)
			list->parents[list->n] = (uint32_t)(decoding->lists[shape->parent].n - 1);
		list->n++;
	}
}

static void hand_over_lists(struct decoding *decoding, struct state *state)
{
	struct list *lists = decoding->lists;

#define HAND_OVER(kind, array, count)                       \
	state->array = (void *)TAKE_PTR(lists[kind].items); \
	state->count = lists[kind].n

	HAND_OVER(STATE_INTERFACE, interfaces, n_interfaces);
	HAND_OVER(STATE_RULE, rules, n_rules);
	HAND_OVER(STATE_TOTALS, totals, n_totals);
	HAND_OVER(STATE_QUEUE, queues, n_queues);
	HAND_OVER(STATE_GROUP, groups, n_groups);
	HAND_OVER(STATE_CONSUMER, consumers, n_consumers);
#undef HAND_OVER
	state->rule_parents = TAKE_PTR(lists[STATE_RULE].parents);
	state->group_parents = TAKE_PTR(lists[STATE_GROUP].parents);
	state->consumer_parents = TAKE_PTR(lists[STATE_CONSUMER].parents);
}

int state_decode(const unsigned char *bytes, size_t length, struct state *ret)
{
	__attribute__((cleanup(cleanup_decoding))) struct decoding decoding = {};
	__attribute__((cleanup(cleanup_state))) struct state state = {};
	const struct reader reader = {bytes, length};
	int r = note_records(&decoding, reader);

	if (r == 0)
		r = take_singles(&decoding, &state);
	if (r == 0)
		r = allocate_lists(&decoding);
	if (r < 0)
		return r;
	fill_lists(&decoding, reader);
	hand_over_lists(&decoding, &state);
	r = state_check(&state);
	if (r < 0)
		return r;
	*ret = state;
	state = (struct state){};
	return 0;
}
