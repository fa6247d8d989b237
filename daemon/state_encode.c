// SPDX-License-Identifier: BSD-2-Clause
#include <string.h>

#include "daemon/state_format.h"

static size_t length_of(size_t n, size_t each)
{
	return n * (sizeof(struct state_record) + each);
}

static size_t length_of_text(const char *text)
{
	return text ? length_of(1, strlen(text)) : 0;
}

size_t state_encoded_length(const struct state *state)
{
	const struct saved_daemon *daemon = &state->daemon;

	return length_of(1, STATE_DAEMON_LENGTH) + length_of(1, sizeof(daemon->disconnects)) +
	       length_of(1, sizeof(daemon->violations)) + length_of(1, sizeof(daemon->requests)) +
	       length_of(1, sizeof(daemon->request_failures)) + length_of_text(state->running) +
	       length_of_text(state->file) +
	       length_of(state->n_interfaces, sizeof(*state->interfaces)) +
	       length_of(state->n_rules, sizeof(*state->rules)) +
	       length_of(state->n_totals, sizeof(*state->totals)) +
	       length_of(state->n_queues, sizeof(*state->queues)) +
	       length_of(state->n_groups, sizeof(*state->groups)) +
	       length_of(state->n_consumers, sizeof(*state->consumers));
}

static unsigned char *put(unsigned char *to, enum state_kind kind, const void *body, size_t length)
{
	const struct state_record record = {.kind = kind, .length = (uint32_t)length};

	memcpy(to, &record, sizeof(record));
	memcpy(to + sizeof(record), body, length);
	return to + sizeof(record) + length;
}

static unsigned char *put_text(unsigned char *to, enum state_kind kind, const char *text)
{
	return text ? put(to, kind, text, strlen(text)) : to;
}

static unsigned char *put_daemon(unsigned char *to, const struct saved_daemon *daemon)
{
	to = put(to, STATE_DAEMON, daemon, STATE_DAEMON_LENGTH);
	to = put(to, STATE_DISCONNECTS, daemon->disconnects, sizeof(daemon->disconnects));
	to = put(to, STATE_VIOLATIONS, daemon->violations, sizeof(daemon->violations));
	to = put(to, STATE_REQUESTS, daemon->requests, sizeof(daemon->requests));
	return put(to, STATE_REQUEST_FAILURES, daemon->request_failures,
		   sizeof(daemon->request_failures));
}

static unsigned char *put_interfaces(unsigned char *to, const struct state *state)
{
	size_t rule = 0;

	for (size_t i = 0; i < state->n_interfaces; i++) {
		to = put(to, STATE_INTERFACE, &state->interfaces[i], sizeof(*state->interfaces));
		for (; rule < state->n_rules && state->rule_parents[rule] == i; rule++)
			to = put(to, STATE_RULE, &state->rules[rule], sizeof(*state->rules));
	}
	return to;
}

static unsigned char *put_queues(unsigned char *to, const struct state *state)
{
	size_t group = 0, consumer = 0;

	for (size_t i = 0; i < state->n_queues; i++) {
		to = put(to, STATE_QUEUE, &state->queues[i], sizeof(*state->queues));
		for (; group < state->n_groups && state->group_parents[group] == i; group++)
			to = put(to, STATE_GROUP, &state->groups[group], sizeof(*state->groups));
		for (; consumer < state->n_consumers && state->consumer_parents[consumer] == i;
		     consumer++)
			to = put(to, STATE_CONSUMER, &state->consumers[consumer],
				 sizeof(*state->consumers));
	}
	return to;
}

size_t state_encode(const struct state *state, unsigned char *bytes)
{
	unsigned char *to = bytes;

	to = put_daemon(to, &state->daemon);
	to = put_text(to, STATE_RUNNING, state->running);
	to = put_text(to, STATE_FILE, state->file);
	to = put_interfaces(to, state);
	for (size_t i = 0; i < state->n_totals; i++)
		to = put(to, STATE_TOTALS, &state->totals[i], sizeof(*state->totals));
	to = put_queues(to, state);
	return (size_t)(to - bytes);
}
