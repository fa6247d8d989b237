// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/status.h"

#include <string.h>
#include <unistd.h>

#include "daemon/attachment.h"
#include "daemon/cleanup.h"
#include "daemon/daemon.h"
#include "daemon/keep.h"
#include "daemon/server.h"
#include "daemon/share.h"

/* How many of each thing there can be in the snapshot now. */
struct sizes {
	size_t interfaces, queues, consumers, verdicts, groups, rules, workers;
};

static size_t count_attachments(const struct queue *queue)
{
	size_t count = 0;

	for (const struct attachment *at = queue->attachments; at; at = at->next)
		count++;
	return count;
}

static struct sizes measure(const struct daemon *daemon)
{
	struct sizes sizes = {.interfaces = daemon->n_interfaces};

	for (size_t i = 0; i < daemon->n_interfaces; i++) {
		const struct interface *interface = daemon->interfaces[i];

		sizes.queues += interface->n_queues;
		sizes.verdicts += interface->redirect ? interface->redirect->queues : 0;
		sizes.rules += XDPD_RULES_MAX + 1;
		for (size_t j = 0; j < interface->n_queues; j++) {
			sizes.consumers += count_attachments(interface->queues[j]);
			sizes.workers += interface->queues[j]->share != NULL;
		}
	}
	sizes.groups = sizes.workers * XDPD_GROUPS_MAX;
	return sizes;
}

/* Zero elements need no memory, and the array may be kept from the snapshot before. */
static int make_room(void *array_pointer, size_t count, size_t size)
{
	void **array = array_pointer;
	void *grown;

	if (!count)
		return 0;
	grown = reallocarray(*array, count, size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	return 0;
}

static bool any_counted(const struct xdpd_bpf_counters *counters)
{
	for (int i = 0; i < XDPD_VERDICT_COUNT; i++)
		if (counters->verdict[i].packets)
			return true;
	return false;
}

static void take_verdicts(struct status *status, const struct interface *interface)
{
	for (uint32_t queue = 0; interface->redirect && queue < interface->redirect->queues;
	     queue++) {
		struct verdict_record *record = &status->verdicts[status->n_verdicts];
		struct totals *totals =
			totals_get(&interface->daemon->totals, interface->name, queue);
		struct xdpd_bpf_counters counters;

		if (!totals)
			continue;
		counters = totals->verdicts;
		verdicts_add(&counters, &interface->redirect->seen[queue]);
		/* Slots beyond today's channels matter only if they have been channels. */
		if (queue >= interface->details.channels && !any_counted(&counters))
			continue;
		(void)snprintf(record->device, sizeof(record->device), "%s", interface->name);
		record->queue = queue;
		memcpy(record->counters, counters.verdict, sizeof(record->counters));
		status->n_verdicts++;
	}
}

static void take_consumers(struct status *status, const struct queue *queue)
{
	for (struct attachment *at = queue->attachments; at; at = at->next)
		attachment_describe(at, &status->consumers[status->n_consumers++]);
}

static void take_rules(struct status *status, struct interface *interface)
{
	struct xdpd_rule_record *records = &status->rules[status->n_rules];
	const struct xdpd_bpf_counter seen = interface_frames_seen(interface);
	size_t n = rules_describe(&interface->rules, interface->redirect, &seen, records);

	for (size_t i = 0; i < n; i++)
		(void)snprintf(records[i].device, sizeof(records[i].device), "%s", interface->name);
	status->n_rules += n;
}

static void take_changes(struct change_record *ret, const struct interface *interface)
{
	memcpy(ret->device, interface->name, sizeof(ret->device));
	memcpy(ret->counts, interface->changes, sizeof(ret->counts));
}

/* The rings before the program's counters, so that no queue has received what was not redirected to it. */
static void read_counters(struct interface *interface)
{
	for (size_t i = 0; i < interface->n_queues; i++)
		queue_sample(interface->queues[i]);
	if (interface->redirect)
		(void)redirect_read_counters(interface->redirect);
}

static void take_interface(struct status *status, unsigned int parts, struct interface *interface)
{
	if (parts & (STATUS_QUEUES | STATUS_CONSUMERS | STATUS_RULES | STATUS_VERDICTS))
		read_counters(interface);
	if (parts & STATUS_INTERFACES) {
		interface_describe(interface, &status->interfaces[status->n_interfaces++]);
		take_changes(&status->changes[status->n_changes++], interface);
	}
	for (size_t i = 0; i < interface->n_queues; i++) {
		struct queue *queue = interface->queues[i];

		if (parts & STATUS_QUEUES)
			queue_describe(queue, &status->queues[status->n_queues++]);
		if (parts & STATUS_CONSUMERS)
			take_consumers(status, queue);
		if (parts & STATUS_GROUPS && queue->share)
			status->n_groups += share_describe_groups(
				queue->share, &status->groups[status->n_groups]);
		if (parts & STATUS_WORKERS && queue->share)
			share_describe_worker(queue->share, &status->workers[status->n_workers++]);
	}
	if (parts & STATUS_RULES)
		take_rules(status, interface);
	if (parts & STATUS_VERDICTS)
		take_verdicts(status, interface);
}

/* Queues that are not as the file has them. */
static uint32_t count_changed(const struct daemon *daemon)
{
	uint32_t count = 0;

	for (size_t i = 0; i < daemon->n_interfaces; i++) {
		const struct interface *interface = daemon->interfaces[i];

		for (size_t j = 0; j < interface->n_queues; j++)
			count += daemon_is_runtime(daemon, interface->name,
						   interface->queues[j]->id);
	}
	return count;
}

/* Queues that the file has and the running config has not, which no queue record can tell. */
static uint32_t count_removed(const struct daemon *daemon)
{
	uint32_t count = 0;

	for (size_t i = 0; i < daemon->file->n_interfaces; i++) {
		const struct config_interface *of_file = &daemon->file->interfaces[i];
		const struct config_interface *running =
			config_find_interface(daemon->config, of_file->name);

		for (size_t j = 0; j < of_file->n_queues; j++)
			count += !running || !config_find_queue(running, of_file->queues[j].id);
		count += of_file->all && (!running || !running->all);
	}
	return count;
}

static void take_daemon(struct status *status, const struct daemon *daemon)
{
	status->daemon = (struct xdpd_daemon_record){
		.started = daemon->started,
		.last_reload = daemon->last_reload,
		.last_reload_ok = daemon->last_reload_ok,
		.pid = (uint32_t)getpid(),
		.runtime_changes = count_changed(daemon) + count_removed(daemon),
		.restarts = daemon->restarts,
	};
	(void)snprintf(status->daemon.release, sizeof(status->daemon.release), "%s", XDPD_RELEASE);
	(void)snprintf(status->daemon.config, sizeof(status->daemon.config), "%s",
		       daemon->config_path);
	memcpy(status->disconnects, daemon->disconnects, sizeof(status->disconnects));
	memcpy(status->violations, daemon->violations, sizeof(status->violations));
	if (daemon->server)
		server_count(daemon->server, status->requests, status->request_failures,
			     &status->sessions);
}

int status_take(struct daemon *daemon, unsigned int parts, const struct status **ret)
{
	struct status *status = &daemon->status;
	struct sizes sizes = measure(daemon);

	if (make_room(&status->interfaces, sizes.interfaces, sizeof(*status->interfaces)) < 0 ||
	    make_room(&status->changes, sizes.interfaces, sizeof(*status->changes)) < 0 ||
	    make_room(&status->queues, sizes.queues, sizeof(*status->queues)) < 0 ||
	    make_room(&status->consumers, sizes.consumers, sizeof(*status->consumers)) < 0 ||
	    make_room(&status->verdicts, sizes.verdicts, sizeof(*status->verdicts)) < 0 ||
	    make_room(&status->groups, sizes.groups, sizeof(*status->groups)) < 0 ||
	    make_room(&status->rules, sizes.rules, sizeof(*status->rules)) < 0 ||
	    make_room(&status->workers, sizes.workers, sizeof(*status->workers)) < 0)
		return -ENOMEM;
	status->n_interfaces = status->n_changes = status->n_queues = status->n_consumers =
		status->n_verdicts = 0;
	status->n_groups = status->n_rules = status->n_workers = 0;
	for (size_t i = 0; i < daemon->n_interfaces; i++)
		take_interface(status, parts, daemon->interfaces[i]);
	take_daemon(status, daemon);
	/* What is about to be seen is saved before. */
	keep_soon(daemon->keep);
	(void)keep_now(daemon->keep);
	*ret = status;
	return 0;
}

int daemon_snapshot(struct daemon *daemon, const struct status **ret)
{
	return status_take(daemon, STATUS_ALL, ret);
}
