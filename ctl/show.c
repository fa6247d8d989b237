/* SPDX-License-Identifier: BSD-2-Clause */
/* xdpctl status, show and version: what the daemon has, beside what was wanted. */
#include "ctl/show.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/suggest.h"
#include "ctl/cells.h"
#include "ctl/command.h"
#include "ctl/table.h"
#include "daemon/cleanup.h"

/* ---- the tables ---- */

static const struct column interface_row[] = {
	{"DEVICE", .key = "device"}, {"DRIVER", .key = "driver"},
	{"LINK", .text = link_text}, {"CHANNELS", .key = "channels", .right = true},
	{"MODE", .text = mode_text}, {"QUEUES", .text = ready_text},
};

static const struct column queue_row[] = {
	{"DEVICE", .key = "device"},
	{"QUEUE", .key = "queue", .right = true},
	{"STATE", .key = "state"},
	{"MODE", .text = mode_text},
	{"BIND", .text = bind_text},
	{"CONSUMER", .text = consumers_text},
	{"RX PACKETS", .key = "receive_packets", .right = true},
	{"TX PACKETS", .key = "transmit_packets", .right = true},
	{"DROPPED", .key = "dropped", .right = true},
	{"FROM", .text = source_text},
};

/* The rest is in the blocks. */
static const struct column consumer_row[] = {
	{"CONSUMER", .key = "name"},
	{"DEVICE", .key = "device"},
	{"QUEUE", .key = "queue", .right = true},
	{"GROUP", .key = "group"},
	{"MODE", .key = "mode"},
	{"HELD", .text = held_text, .right = true},
	{"RX PACKETS", .key = "receive_packets", .right = true},
	{"TX PACKETS", .key = "transmit_packets", .right = true},
	{"DROPPED", .key = "dropped", .right = true},
	{"UID", .key = "uid", .right = true},
	{"PID", .key = "pid", .right = true},
	{"ATTACHED", .text = attached_text},
};

static const struct column group_row[] = {
	{"GROUP", .key = "name"},
	{"DEVICE", .key = "device"},
	{"QUEUE", .key = "queue", .right = true},
	{"MODE", .key = "mode"},
	{"MEMBERS", .key = "members", .right = true},
	{"HELD", .key = "held", .right = true},
	{"QUOTA", .key = "quota", .right = true},
	{"RX PACKETS", .key = "receive_packets", .right = true},
	{"TX PACKETS", .key = "transmit_packets", .right = true},
	{"RING FULL", .key = "dropped_ring_full", .right = true},
	{"OVER QUOTA", .key = "dropped_quota", .right = true},
	{"OVERRUN", .key = "overrun", .right = true},
};

/* What may be long comes last. */
static const struct column rule_row[] = {
	{"DEVICE", .key = "device"},
	{"RULE", .text = rule_text},
	{"PACKETS", .key = "packets", .right = true},
	{"BYTES", .key = "bytes", .right = true},
	{"ACTION", .text = action_text},
	{"MATCH", .text = match_text},
};

static const struct column worker_row[] = {
	{"DEVICE", .key = "device"},
	{"QUEUE", .key = "queue", .right = true},
	{"TID", .key = "tid", .right = true},
	{"CPU", .text = cpu_text, .right = true},
	{"BUSY", .text = busy_text, .right = true},
	{"PACKETS", .key = "packets", .right = true},
	{"PER BURST", .text = per_burst_text, .right = true},
	{"SLEEPS", .key = "sleeps", .right = true},
	{"KERNEL", .text = kernel_text, .right = true},
	{"TX", .text = transmit_text, .right = true},
	{"FREE", .text = free_text, .right = true},
	{"LENT", .text = lent_text, .right = true},
	{"UNCLAIMED", .key = "unclaimed", .right = true},
	{"EJECTED", .key = "violations", .right = true},
};

static const struct column interface_block[] = {
	{"reason", .text = reason_text},
	{"note", .text = note_text},
	{"link", .text = link_text},
	{"ifindex", .key = "ifindex"},
	{"driver", .key = "driver"},
	{"mtu", .key = "mtu"},
	{"channels", .key = "channels"},
	{"mode", .text = mode_text},
	{"wanted mode", .key = "wanted_mode"},
	{"wanted bind", .key = "wanted_bind"},
	{"program id", .key = "program_id"},
	{"multi-buffer", .key = "multi_buffer"},
	{"xdp features", .key = "xdp_features"},
	{"zero-copy segments", .key = "zero_copy_segments"},
	{"queues", .text = ready_text},
};

static const struct column queue_block[] = {
	{"state", .key = "state"},
	{"reason", .text = reason_text},
	{"consumer", .text = consumers_text},
	{"from", .text = source_text},
	{"delivery", .key = "delivery"},
	{"classified", .key = "classified"},
	{"mode", .text = mode_text},
	{"bind", .text = bind_text},
	{"wanted bind", .key = "wanted_bind"},
	{"frames", .text = memory_text},
	{"rx ring", .text = rx_text},
	{"tx ring", .text = tx_text},
	{"fill ring", .text = fill_text},
	{"completion ring", .text = completion_text},
	{"received", .text = received_text},
	{"transmitted", .text = transmitted_text},
	{"passed to the kernel", .text = passed_text},
	{"dropped by rules", .key = "dropped_by_rule"},
	{"receive dropped", .key = "receive_dropped"},
	{"receive ring full", .key = "receive_ring_full"},
	{"fill ring empty", .key = "fill_ring_empty"},
	{"receive invalid descriptors", .key = "receive_invalid_descriptors"},
	{"transmit invalid descriptors", .key = "transmit_invalid_descriptors"},
	{"transmit ring empty", .key = "transmit_ring_empty"},
};

static const struct column consumer_block[] = {
	{"group", .key = "group", .optional = true},
	{"mode", .key = "mode", .optional = true},
	{"uid", .key = "uid"},
	{"pid", .key = "pid"},
	{"attached", .text = attached_text},
	{"may transmit", .key = "transmit"},
	{"received", .text = received_text},
	{"transmitted", .text = transmitted_text},
	{"dropped", .key = "dropped"},
	{"dropped by cause", .text = loss_text},
	{"held", .text = held_of_text},
	{"returned", .key = "returned", .optional = true},
	{"invalid returns", .key = "invalid_returns", .optional = true},
	{"transmit invalid descriptors", .key = "transmit_invalid", .optional = true},
	{"wake-ups", .key = "wakeups", .optional = true},
	{"doorbells", .key = "doorbells", .optional = true},
};

static const struct column group_block[] = {
	{"mode", .key = "mode"},
	{"from", .text = group_source_text},
	{"members", .key = "members"},
	{"held", .text = group_held_text},
	{"received", .text = received_text},
	{"transmitted", .text = transmitted_text},
	{"dropped", .text = loss_text},
};

static char *device_title(const json_t *interface)
{
	return cell_text(json_object_get(interface, "device"));
}

static char *queue_title(const json_t *queue)
{
	cleanup_free char *device = device_title(queue);

	return text_of("%s queue %" JSON_INTEGER_FORMAT, device, record_number(queue, "queue"));
}

static char *named_title(const json_t *record)
{
	cleanup_free char *name = cell_text(json_object_get(record, "name"));
	cleanup_free char *queue = queue_title(record);

	return text_of("%s on %s", name, queue);
}

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))

static void print_interfaces(const json_t *interfaces)
{
	print_blocks(device_title, interface_block, SIZE(interface_block), interfaces);
}

static void print_queues(const json_t *queues)
{
	print_blocks(queue_title, queue_block, SIZE(queue_block), queues);
}

static void print_consumers(const json_t *consumers)
{
	if (json_array_size(consumers))
		print_table(consumer_row, SIZE(consumer_row), consumers, NULL);
}

static void print_consumer_blocks(const json_t *consumers)
{
	print_blocks(named_title, consumer_block, SIZE(consumer_block), consumers);
}

static void print_groups(const json_t *groups)
{
	if (json_array_size(groups))
		print_table(group_row, SIZE(group_row), groups, NULL);
}

static void print_group_blocks(const json_t *groups)
{
	print_blocks(named_title, group_block, SIZE(group_block), groups);
}

static void print_rules(const json_t *rules)
{
	if (json_array_size(rules))
		print_table(rule_row, SIZE(rule_row), rules, NULL);
}

static void print_workers(const json_t *workers)
{
	if (json_array_size(workers))
		print_table(worker_row, SIZE(worker_row), workers, NULL);
}

void print_queue_rows(const json_t *queues)
{
	print_table(queue_row, SIZE(queue_row), queues, (const char *const[]){"reason", NULL});
}

/* ---- status ---- */

/* The member of that device's interface, null if it is not there. */
static json_t *of_interface(const json_t *interfaces, const json_t *device, const char *key)
{
	for (size_t i = 0; i < json_array_size(interfaces); i++) {
		const json_t *interface = json_array_get(interfaces, i);

		if (json_equal(json_object_get(interface, "device"), device))
			return json_object_get(interface, key);
	}
	return json_null();
}

int fetch_queues(struct connection *connection, const json_t *interfaces, json_t **ret,
		 struct failure *why)
{
	static const char *const keys[] = {"wanted_mode", "mode"};
	int r = fetch_records(connection, XDPD_LIST_QUEUES, ret, why);

	if (r < 0)
		return r;
	for (size_t i = 0; i < json_array_size(*ret); i++) {
		json_t *queue = json_array_get(*ret, i);
		const json_t *device = json_object_get(queue, "device");

		for (size_t j = 0; j < SIZE(keys); j++)
			json_object_set(queue, keys[j], of_interface(interfaces, device, keys[j]));
	}
	return 0;
}

/* Everything, as one document. */
static int fetch_all(struct connection *connection, json_t **ret, struct failure *why)
{
	cleanup_json json_t *daemon = NULL;
	cleanup_json json_t *interfaces = NULL;
	cleanup_json json_t *queues = NULL;
	cleanup_json json_t *consumers = NULL;
	int r = fetch_daemon(connection, &daemon, why);

	if (r >= 0)
		r = fetch_records(connection, XDPD_LIST_INTERFACES, &interfaces, why);
	if (r >= 0)
		r = fetch_queues(connection, interfaces, &queues, why);
	if (r >= 0)
		r = fetch_records(connection, XDPD_LIST_CONSUMERS, &consumers, why);
	if (r < 0)
		return r;
	*ret = json_pack("{s:O, s:O, s:O, s:O}", "daemon", daemon, "interfaces", interfaces,
			 "queues", queues, "consumers", consumers);
	return 0;
}

static void print_daemon(const json_t *daemon)
{
	cleanup_free char *release = cell_text(json_object_get(daemon, "release"));
	cleanup_free char *config = cell_text(json_object_get(daemon, "config"));
	cleanup_free char *loaded = moment(record_number(daemon, "last_reload"));
	cleanup_free char *up = span((json_int_t)time(NULL) - record_number(daemon, "started"));
	json_int_t changes = record_number(daemon, "runtime_changes");
	json_int_t restarts = record_number(daemon, "restarts");

	printf("xdpd %s, pid %" JSON_INTEGER_FORMAT ", up %s\n", release,
	       record_number(daemon, "pid"), up);
	printf("config %s, loaded %s\n", config, loaded);
	if (restarts)
		printf("restarts: %" JSON_INTEGER_FORMAT " (consumers went on)\n", restarts);
	if (!record_flag(daemon, "last_reload_ok"))
		printf("the last reload failed: what was loaded before is in force; `xdpctl check "
		       "%s` says why\n",
		       config);
	if (changes)
		printf("runtime changes: %" JSON_INTEGER_FORMAT " (a reload takes them back)\n",
		       changes);
}

static void print_status(const json_t *document)
{
	const json_t *interfaces = json_object_get(document, "interfaces");
	const json_t *queues = json_object_get(document, "queues");

	print_daemon(json_object_get(document, "daemon"));
	if (json_array_size(interfaces)) {
		putchar('\n');
		print_table(interface_row, SIZE(interface_row), interfaces,
			    (const char *const[]){"reason", "note", NULL});
	}
	if (json_array_size(queues)) {
		putchar('\n');
		print_queue_rows(queues);
	}
}

int command_status(const struct invocation *invocation)
{
	cleanup_connection struct connection connection = CONNECTION_CLOSED;
	cleanup_json json_t *document = NULL;
	struct failure why;
	int r = connection_open(&connection, invocation->socket, &why);

	if (r >= 0)
		r = fetch_all(&connection, &document, &why);
	if (r < 0)
		return connection_give_up(&connection, &why);
	if (invocation->json)
		print_json(document, false);
	else
		print_status(document);
	return EXIT_DONE;
}

/* ---- show ---- */

int fetch_config_text(struct connection *connection, char **ret, struct failure *why)
{
	struct xdpd_list_request request = {.kind = XDPD_LIST_CONFIG};
	cleanup_free char *text = NULL;
	int r = connection_call(connection, XDPD_LIST, &request.header, sizeof(request), &text,
				why);

	if (r < 0)
		return r;
	*ret = TAKE_PTR(text);
	return 0;
}

static int fetch_config(struct connection *connection, json_t **ret, struct failure *why)
{
	cleanup_free char *text = NULL;
	int r = fetch_config_text(connection, &text, why);

	if (r < 0)
		return r;
	*ret = text_value(text, SIZE_MAX);
	return 0;
}

static void print_config(const json_t *config)
{
	const char *text = json_string_value(config);

	print_lines(stdout, text ? text : "");
}

static int fetch_interfaces(struct connection *connection, json_t **ret, struct failure *why)
{
	return fetch_records(connection, XDPD_LIST_INTERFACES, ret, why);
}

static int fetch_queues_with_mode(struct connection *connection, json_t **ret, struct failure *why)
{
	cleanup_json json_t *interfaces = NULL;
	int r = fetch_interfaces(connection, &interfaces, why);

	return r < 0 ? r : fetch_queues(connection, interfaces, ret, why);
}

static int fetch_consumers(struct connection *connection, json_t **ret, struct failure *why)
{
	return fetch_records(connection, XDPD_LIST_CONSUMERS, ret, why);
}

static int fetch_groups(struct connection *connection, json_t **ret, struct failure *why)
{
	return fetch_records(connection, XDPD_LIST_GROUPS, ret, why);
}

static int fetch_rules(struct connection *connection, json_t **ret, struct failure *why)
{
	return fetch_records(connection, XDPD_LIST_RULES, ret, why);
}

static int fetch_workers(struct connection *connection, json_t **ret, struct failure *why)
{
	return fetch_records(connection, XDPD_LIST_WORKERS, ret, why);
}

static const struct subject {
	const char *name; /* also the key in JSON */
	int (*fetch)(struct connection *connection, json_t **ret, struct failure *why);
	void (*print)(const json_t *what);
	void (*print_named)(const json_t *what); /* NULL: nothing of it is looked up by a name */
} subjects[] = {
	{"interfaces", fetch_interfaces, print_interfaces, NULL},
	{"queues", fetch_queues_with_mode, print_queues, NULL},
	{"consumers", fetch_consumers, print_consumers, print_consumer_blocks},
	{"groups", fetch_groups, print_groups, print_group_blocks},
	{"rules", fetch_rules, print_rules, NULL},
	{"workers", fetch_workers, print_workers, NULL},
	{"config", fetch_config, print_config, NULL},
};

static const struct subject *find_subject(const char *name)
{
	for (size_t i = 0; i < SIZE(subjects); i++)
		if (!strcmp(subjects[i].name, name))
			return &subjects[i];
	return NULL;
}

static int unknown_subject(const char *name)
{
	const char *names[SIZE(subjects)];
	const char *meant;

	for (size_t i = 0; i < SIZE(subjects); i++)
		names[i] = subjects[i].name;
	meant = suggest_word(name, names, SIZE(subjects));
	if (meant)
		return say_usage("can't show `%s`; did you mean `%s`?", name, meant);
	return say_usage("can't show `%s`: expected interfaces, queues, consumers, groups, rules, "
			 "workers or config",
			 name);
}

/* Keeps those of that name; -ENOENT if there is none. */
static int keep_named(const struct subject *subject, json_t *records, const char *name,
		      struct failure *why)
{
	for (size_t i = json_array_size(records); i-- > 0;)
		if (strcmp(record_word(json_array_get(records, i), "name"), name))
			json_array_remove(records, i);
	if (json_array_size(records))
		return 0;
	return failure(why, ENOENT, "none of the %s goes by the name of `%s`", subject->name, name);
}

int command_show(const struct invocation *invocation)
{
	const struct subject *subject = find_subject(invocation->words[0]);
	cleanup_connection struct connection connection = CONNECTION_CLOSED;
	cleanup_json json_t *document = json_object();
	cleanup_json json_t *what = NULL;
	const char *name = invocation->n_words > 1 ? invocation->words[1] : NULL;
	struct failure why;
	int r;

	if (!subject)
		return unknown_subject(invocation->words[0]);
	if (name && !subject->print_named)
		return say_usage("`show %s` takes no name", subject->name);
	r = connection_open(&connection, invocation->socket, &why);
	if (r >= 0)
		r = subject->fetch(&connection, &what, &why);
	if (r >= 0 && name)
		r = keep_named(subject, what, name, &why);
	if (r < 0)
		return connection_give_up(&connection, &why);
	json_object_set(document, subject->name, what);
	if (invocation->json)
		print_json(document, false);
	else if (name)
		subject->print_named(what);
	else
		subject->print(what);
	return EXIT_DONE;
}

/* ---- version ---- */

int command_version(const struct invocation *invocation)
{
	cleanup_connection struct connection connection = CONNECTION_CLOSED;
	cleanup_json json_t *document = json_object();
	cleanup_free char *release = NULL;
	struct failure why;
	int r = connection_open(&connection, invocation->socket, &why);

	json_object_set_new(document, "xdpctl", json_string(XDPD_RELEASE));
	json_object_set_new(document, "xdpd",
			    text_value(connection.release, sizeof(connection.release)));
	release = cell_text(json_object_get(document, "xdpd"));
	if (invocation->json)
		print_json(document, false);
	else
		printf("xdpctl %s\nxdpd   %s\n", XDPD_RELEASE, release);
	return r < 0 ? connection_give_up(&connection, &why) : EXIT_DONE;
}
