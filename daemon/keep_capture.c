// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/keep_capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/attachment.h"
#include "daemon/daemon.h"
#include "daemon/interface.h"
#include "daemon/rules.h"
#include "daemon/server.h"
#include "daemon/share.h"

void capture_clear(struct capture *capture)
{
	struct state *state = &capture->state;

	free(state->interfaces);
	free(state->rules);
	free(state->rule_parents);
	free(state->totals);
	free(state->queues);
	free(state->groups);
	free(state->group_parents);
	free(state->consumers);
	free(state->consumer_parents);
	*capture = (struct capture){};
}

/* Room for `more` elements behind the `n` that there are, in an array and the array of its parents, if it has one. */
static int make_room(void *array_pointer, uint32_t **parents, size_t *room, size_t n, size_t more,
		     size_t size)
{
	void **array = array_pointer;
	size_t wanted = *room ? *room : 16;
	void *grown;

	if (n + more <= *room)
		return 0;
	while (wanted < n + more)
		wanted *= 2;
	grown = reallocarray(*array, wanted, size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	if (parents) {
		grown = reallocarray(*parents, wanted, sizeof(**parents));
		if (!grown)
			return -ENOMEM;
		*parents = grown;
	}
	*room = wanted;
	return 0;
}

/* ---- queues ---- */

static int take_groups(struct capture *capture, const struct queue *queue, uint32_t parent)
{
	struct state *state = &capture->state;
	size_t n;
	int r = make_room(&state->groups, &state->group_parents, &capture->room.groups,
			  state->n_groups, XDPD_GROUPS_MAX + 1, sizeof(*state->groups));

	if (r < 0)
		return r;
	n = share_save_groups(queue->share, &state->groups[state->n_groups]);
	for (size_t i = 0; i < n; i++)
		state->group_parents[state->n_groups++] = parent;
	return 0;
}

static int take_consumer(struct capture *capture, const struct attachment *attachment,
			 uint32_t parent)
{
	struct state *state = &capture->state;
	int r = make_room(&state->consumers, &state->consumer_parents, &capture->room.consumers,
			  state->n_consumers, 1, sizeof(*state->consumers));

	if (r < 0)
		return r;
	attachment_save(attachment, &state->consumers[state->n_consumers]);
	state->consumer_parents[state->n_consumers++] = parent;
	return 0;
}

/* Only those that somebody is attached to are there for the next process; what all have counted is in the totals. */
static int take_queue(struct capture *capture, struct queue *queue)
{
	struct state *state = &capture->state;
	const uint32_t parent = (uint32_t)state->n_queues;
	int r;

	queue_sample(queue);
	if (!queue->key)
		return 0;
	r = make_room(&state->queues, NULL, &capture->room.queues, state->n_queues, 1,
		      sizeof(*state->queues));
	if (r < 0)
		return r;
	queue_save(queue, &state->queues[state->n_queues++]);
	if (queue->settings->delivery == XDPD_SHARED)
		r = take_groups(capture, queue, parent);
	for (const struct attachment *at = queue->attachments; at && r == 0; at = at->next)
		if (at->key)
			r = take_consumer(capture, at, parent);
	return r;
}

/* ---- interfaces ---- */

static int take_interface(struct capture *capture, struct interface *interface)
{
	struct state *state = &capture->state;
	const uint32_t parent = (uint32_t)state->n_interfaces;
	size_t n;
	int r = make_room(&state->interfaces, NULL, &capture->room.interfaces, state->n_interfaces,
			  1, sizeof(*state->interfaces));

	if (r == 0)
		r = make_room(&state->rules, &state->rule_parents, &capture->room.rules,
			      state->n_rules, XDPD_RULES_MAX + 1, sizeof(*state->rules));
	if (r < 0)
		return r;
	interface_save(interface, &state->interfaces[state->n_interfaces++]);
	n = rules_save(&interface->rules, &state->rules[state->n_rules]);
	for (size_t i = 0; i < n; i++)
		state->rule_parents[state->n_rules++] = parent;
	for (size_t i = 0; i < interface->n_queues && r == 0; i++)
		r = take_queue(capture, interface->queues[i]);
	return r;
}

/* ---- what is counted ---- */

static void save_totals(const char *device, uint32_t queue, const struct totals *totals,
			struct saved_totals *ret)
{
	*ret = (struct saved_totals){
		.queue = queue,
		.receive_packets = totals->receive_packets,
		.transmit_packets = totals->transmit_packets,
		.transmit_bytes = totals->transmit_bytes,
		.statistics = totals->statistics,
	};
	(void)snprintf(ret->device, sizeof(ret->device), "%s", device);
	for (int i = 0; i < XDPD_VERDICT_COUNT; i++)
		ret->verdicts[i] = (struct saved_counter){totals->verdicts.verdict[i].packets,
							  totals->verdicts.verdict[i].bytes};
}

static int take_totals(struct capture *capture, const struct totals_device *device)
{
	struct state *state = &capture->state;
	int r = make_room(&state->totals, NULL, &capture->room.totals, state->n_totals,
			  device->n_queues, sizeof(*state->totals));

	for (uint32_t queue = 0; queue < device->n_queues && r == 0; queue++)
		if (device->queues[queue])
			save_totals(device->name, queue, device->queues[queue],
				    &state->totals[state->n_totals++]);
	return r;
}

static void take_daemon(struct state *state, const struct daemon *daemon)
{
	uint32_t sessions;

	state->daemon = (struct saved_daemon){
		.started = daemon->started,
		.restarts = daemon->restarts,
		.last_reload = daemon->last_reload,
		.last_reload_ok = daemon->last_reload_ok,
		.last_key = daemon->last_key,
	};
	memcpy(state->daemon.disconnects, daemon->disconnects, sizeof(state->daemon.disconnects));
	memcpy(state->daemon.violations, daemon->violations, sizeof(state->daemon.violations));
	if (daemon->server)
		server_count(daemon->server, state->daemon.requests, state->daemon.request_failures,
			     &sessions);
	state->running = daemon->config->source;
	state->file = daemon->file == daemon->config ? NULL : daemon->file->source;
}

int capture_take(struct capture *capture, struct daemon *daemon, const struct state **ret)
{
	struct state *state = &capture->state;
	int r = 0;

	state->n_interfaces = state->n_rules = state->n_totals = state->n_queues = 0;
	state->n_groups = state->n_consumers = 0;
	take_daemon(state, daemon);
	for (size_t i = 0; i < daemon->n_interfaces && r == 0; i++)
		r = take_interface(capture, daemon->interfaces[i]);
	for (size_t i = 0; i < daemon->totals.n_devices && r == 0; i++)
		r = take_totals(capture, &daemon->totals.devices[i]);
	*ret = state;
	return r;
}
