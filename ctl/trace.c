/* SPDX-License-Identifier: BSD-2-Clause */
/* xdpctl trace: what would become of a frame. */
#include "ctl/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/cells.h"
#include "ctl/connection.h"
#include "ctl/fragment.h"
#include "ctl/frame.h"
#include "ctl/records.h"
#include "ctl/table.h"
#include "daemon/cleanup.h"

static int parse_request(const struct invocation *invocation, struct xdpd_trace_request **ret,
			 size_t *ret_length)
{
	const char *device = invocation->words[0];
	cleanup_free struct xdpd_trace_request *request = NULL;
	cleanup_free struct frame *frame = allocate(sizeof(*frame));
	uint32_t queue = UINT32_MAX;
	struct failure why;
	int r;

	if (!*device || strlen(device) >= XDPD_DEVICE_MAX)
		return say_usage("`%s` can't be an interface's name", device);
	r = frame_parse(invocation->words[1], frame, &why);
	if (r >= 0 && invocation->queue)
		r = queue_id_parse(invocation->queue, &queue, &why);
	if (r < 0)
		return say_usage("%s", why.text);
	request = allocate(sizeof(*request) + frame->length);
	memset(request, 0, sizeof(*request));
	memcpy(request->device, device, strlen(device));
	request->queue = queue;
	memcpy(request->frame, frame->bytes, frame->length);
	*ret_length = sizeof(*request) + frame->length;
	*ret = TAKE_PTR(request);
	return EXIT_DONE;
}

/* The match of the rule that a record names by its place. */
static json_t *match_of(const json_t *record, const json_t *rules)
{
	for (size_t i = 0; i < json_array_size(rules); i++) {
		const json_t *rule = json_array_get(rules, i);

		if (json_equal(json_object_get(rule, "device"),
			       json_object_get(record, "device")) &&
		    json_equal(json_object_get(rule, "rule"), json_object_get(record, "rule")))
			return json_object_get(rule, "match");
	}
	return json_null();
}

static int fetch_trace(struct connection *connection, struct xdpd_trace_request *request,
		       size_t length, json_t **ret, struct failure *why)
{
	cleanup_json json_t *trace = NULL;
	cleanup_json json_t *rules = NULL;
	int r = request_records(connection, XDPD_TRACE, &request->header, length, XDPD_LIST_TRACE,
				&trace, why);

	if (r >= 0)
		r = fetch_records(connection, XDPD_LIST_RULES, &rules, why);
	if (r < 0)
		return r;
	for (size_t i = 0; i < json_array_size(trace); i++) {
		json_t *record = json_array_get(trace, i);

		json_object_set(record, "match", match_of(record, rules));
	}
	*ret = json_incref(trace);
	return 0;
}

/* ---- as text ---- */

/* Those of one queue, which stand together. */
struct fate {
	const json_t *trace;
	size_t first, n;
};

static const json_t *record_of(const struct fate *fate, size_t i)
{
	return json_array_get(fate->trace, fate->first + i);
}

static struct fate fate_from(const json_t *trace, size_t first)
{
	struct fate fate = {trace, first, 1};

	while (first + fate.n < json_array_size(trace) &&
	       json_equal(json_object_get(record_of(&fate, 0), "queue"),
			  json_object_get(record_of(&fate, fate.n), "queue")))
		fate.n++;
	return fate;
}

/* The same but for the queue, and the flow's hash, which is not shown. */
static bool same_fate(const struct fate *a, const struct fate *b)
{
	static const char *const keys[] = {"device", "rule", "action", "group", "consumer", "text"};

	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		for (size_t j = 0; j < sizeof(keys) / sizeof(keys[0]); j++)
			if (!json_equal(json_object_get(record_of(a, i), keys[j]),
					json_object_get(record_of(b, i), keys[j])))
				return false;
	return true;
}

/* `eth0 queue 0: rule 1 (proto: udp, dport: 53): redirect`, with `queues 0-3` where they are alike. */
static void print_verdict(const json_t *record, json_int_t last_queue)
{
	cleanup_free char *device = cell_text(json_object_get(record, "device"));
	cleanup_free char *rule = rule_text(record);
	cleanup_free char *match = match_text(record);
	cleanup_free char *action = cell_text(json_object_get(record, "action"));
	json_int_t queue = record_number(record, "queue");

	if (queue == last_queue)
		printf("%s queue %" JSON_INTEGER_FORMAT ": ", device, queue);
	else
		printf("%s queues %" JSON_INTEGER_FORMAT "-%" JSON_INTEGER_FORMAT ": ", device,
		       queue, last_queue);
	if (json_is_null(json_object_get(record, "rule")))
		printf("%s: %s\n", rule, action);
	else
		printf("rule %s (%s): %s\n", rule, match, action);
}

static char *group_text(const json_t *record)
{
	cleanup_free char *group = cell_text(json_object_get(record, "group"));

	return text_of("group %s", group);
}

/* Who gets it, and what there is to say. */
static char *receiver_text(const json_t *record)
{
	cleanup_free char *consumer = cell_text(json_object_get(record, "consumer"));
	cleanup_free char *text = cell_text(json_object_get(record, "text"));
	bool has_consumer = !json_is_null(json_object_get(record, "consumer"));
	bool has_text = !json_is_null(json_object_get(record, "text"));

	if (!has_consumer)
		return text_of("%s", has_text ? text : "no consumer");
	return text_of("consumer %s%s%s", consumer, has_text ? ": " : "", has_text ? text : "");
}

/* A line for each group, or for what there is without one; none if the verdict says it all. */
static void print_receivers(const struct fate *fate)
{
	int width = 0;

	for (size_t i = 0; i < fate->n; i++) {
		int length = (int)strlen(record_word(record_of(fate, i), "group"));

		width = length > width ? length : width;
	}
	for (size_t i = 0; i < fate->n; i++) {
		const json_t *record = record_of(fate, i);
		cleanup_free char *group = group_text(record);
		cleanup_free char *receiver = receiver_text(record);

		if (*record_word(record, "group"))
			printf("    %-*s  %s\n", width + (int)strlen("group "), group, receiver);
		else if (*record_word(record, "consumer") || *record_word(record, "text"))
			printf("    %s\n", receiver);
	}
}

static void print_trace(const json_t *trace)
{
	for (size_t at = 0; at < json_array_size(trace);) {
		struct fate fate = fate_from(trace, at), last = fate;

		for (at += fate.n; at < json_array_size(trace); at += last.n) {
			struct fate next = fate_from(trace, at);
			json_int_t gap = record_number(record_of(&next, 0), "queue") -
					 record_number(record_of(&last, 0), "queue");

			if (gap != 1 || !same_fate(&fate, &next))
				break;
			last = next;
		}
		print_verdict(record_of(&fate, 0), record_number(record_of(&last, 0), "queue"));
		print_receivers(&fate);
	}
}

int command_trace(const struct invocation *invocation)
{
	cleanup_connection struct connection connection = CONNECTION_CLOSED;
	cleanup_free struct xdpd_trace_request *request = NULL;
	cleanup_json json_t *document = NULL;
	cleanup_json json_t *trace = NULL;
	struct failure why;
	size_t length = 0;
	int status = parse_request(invocation, &request, &length);
	int r;

	if (status != EXIT_DONE)
		return status;
	r = connection_open(&connection, invocation->socket, &why);
	if (r >= 0)
		r = fetch_trace(&connection, request, length, &trace, &why);
	if (r < 0)
		return connection_give_up(&connection, &why);
	document = json_pack("{s:o, s:o, s:I, s:O}", "device",
			     text_value(invocation->words[0], SIZE_MAX), "frame",
			     text_value(invocation->words[1], SIZE_MAX), "length",
			     (json_int_t)(length - sizeof(*request)), "trace", trace);
	if (invocation->json)
		print_json(document, false);
	else
		print_trace(json_object_get(document, "trace"));
	return EXIT_DONE;
}
