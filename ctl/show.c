/* SPDX-License-Identifier: BSD-2-Clause */
/* xdpctl status, show and version: what the daemon has, beside what was wanted. */
#include "ctl/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/suggest.h"
#include "ctl/command.h"
#include "ctl/table.h"
#include "daemon/cleanup.h"

/* ---- cells that more than one member makes ---- */

static char *moment(json_int_t seconds)
{
	time_t time = (time_t)seconds;
	struct tm local;
	char text[32];

	if (!seconds || !localtime_r(&time, &local) ||
	    !strftime(text, sizeof(text), "%F %T", &local))
		return text_of("-");
	return text_of("%s", text);
}

static char *span(json_int_t seconds)
{
	json_int_t s = seconds > 0 ? seconds : 0;
	cleanup_free char *days =
		s >= 86400 ? text_of("%" PRId64 "d ", (int64_t)s / 86400) : text_of("%s", "");

	return text_of("%s%02d:%02d:%02d", days, (int)(s / 3600 % 24), (int)(s / 60 % 60),
		       (int)(s % 60));
}

/* What is there, and what was wanted where that is something else. */
static char *against(const json_t *record, const char *actual_key, const char *wanted_key)
{
	const json_t *wanted = json_object_get(record, wanted_key);
	const json_t *actual = json_object_get(record, actual_key);
	const char *word = json_string_value(wanted);
	cleanup_free char *actual_text = cell_text(actual);
	cleanup_free char *wanted_text = cell_text(wanted);

	if (!json_is_string(actual) || !word || !strcmp(word, "auto") || json_equal(wanted, actual))
		return TAKE_PTR(actual_text);
	return text_of("%s (wanted %s)", actual_text, wanted_text);
}

static char *mode_text(const json_t *record)
{
	return against(record, "mode", "wanted_mode");
}

static char *bind_text(const json_t *queue)
{
	return against(queue, "bind", "wanted_bind");
}

static char *link_text(const json_t *interface)
{
	if (json_is_null(json_object_get(interface, "ifindex")))
		return text_of("absent");
	return text_of(record_flag(interface, "up") ? "up" : "down");
}

static char *ready_text(const json_t *interface)
{
	return text_of("%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " ready",
		       record_number(interface, "queues_ready"),
		       record_number(interface, "queues"));
}

static char *source_text(const json_t *queue)
{
	return text_of(record_flag(queue, "runtime") ? "runtime" : "file");
}

static char *reason_text(const json_t *record)
{
	const json_t *reason = json_object_get(record, "reason");

	return json_is_null(reason) ? NULL : cell_text(reason);
}

static char *attached_text(const json_t *consumer)
{
	return moment(record_number(consumer, "attached"));
}

static char *memory_text(const json_t *queue)
{
	return text_of("%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
		       " bytes, headroom %" JSON_INTEGER_FORMAT,
		       record_number(queue, "frames"), record_number(queue, "frame_size"),
		       record_number(queue, "headroom"));
}

static char *ring_text(const json_t *queue, const char *key)
{
	const json_t *ring = json_object_get(queue, key);

	if (!json_is_object(ring))
		return text_of("-");
	return text_of("%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " entries",
		       record_number(ring, "entries"), record_number(ring, "size"));
}

static char *rx_text(const json_t *queue)
{
	return ring_text(queue, "rx");
}

static char *tx_text(const json_t *queue)
{
	return ring_text(queue, "tx");
}

static char *fill_text(const json_t *queue)
{
	return ring_text(queue, "fill");
}

static char *completion_text(const json_t *queue)
{
	return ring_text(queue, "completion");
}

static char *traffic_text(const json_t *queue, const char *packets_key, const char *bytes_key)
{
	return text_of("packets %" JSON_INTEGER_FORMAT ", bytes %" JSON_INTEGER_FORMAT,
		       record_number(queue, packets_key), record_number(queue, bytes_key));
}

static char *received_text(const json_t *queue)
{
	return traffic_text(queue, "receive_packets", "receive_bytes");
}

static char *transmitted_text(const json_t *queue)
{
	return traffic_text(queue, "transmit_packets", "transmit_bytes");
}

static char *passed_text(const json_t *queue)
{
	return traffic_text(queue, "passed_packets", "passed_bytes");
}

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
	{"CONSUMER", .key = "consumer"},
	{"RX PACKETS", .key = "receive_packets", .right = true},
	{"TX PACKETS", .key = "transmit_packets", .right = true},
	{"DROPPED", .key = "dropped", .right = true},
	{"FROM", .text = source_text},
};

static const struct column consumer_row[] = {
	{"CONSUMER", .key = "name"},
	{"DEVICE", .key = "device"},
	{"QUEUE", .key = "queue", .right = true},
	{"UID", .key = "uid", .right = true},
	{"PID", .key = "pid", .right = true},
	{"ATTACHED", .text = attached_text},
	{"RX PACKETS", .key = "receive_packets", .right = true},
	{"RX BYTES", .key = "receive_bytes", .right = true},
	{"TX PACKETS", .key = "transmit_packets", .right = true},
	{"TX BYTES", .key = "transmit_bytes", .right = true},
	{"DROPPED", .key = "dropped", .right = true},
	{"MAY TRANSMIT", .key = "transmit"},
};

static const struct column interface_block[] = {
	{"reason", .text = reason_text},
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
	{"consumer", .key = "consumer"},
	{"from", .text = source_text},
	{"delivery", .key = "delivery"},
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
	{"receive dropped", .key = "receive_dropped"},
	{"receive ring full", .key = "receive_ring_full"},
	{"fill ring empty", .key = "fill_ring_empty"},
	{"receive invalid descriptors", .key = "receive_invalid_descriptors"},
	{"transmit invalid descriptors", .key = "transmit_invalid_descriptors"},
	{"transmit ring empty", .key = "transmit_ring_empty"},
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

void print_queue_rows(const json_t *queues)
{
	print_table(queue_row, SIZE(queue_row), queues, "reason");
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

	printf("xdpd %s, pid %" JSON_INTEGER_FORMAT ", up %s\n", release,
	       record_number(daemon, "pid"), up);
	printf("config %s, loaded %s\n", config, loaded);
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
		print_table(interface_row, SIZE(interface_row), interfaces, "reason");
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

static const struct subject {
	const char *name; /* also the key in JSON */
	int (*fetch)(struct connection *connection, json_t **ret, struct failure *why);
	void (*print)(const json_t *what);
} subjects[] = {
	{"interfaces", fetch_interfaces, print_interfaces},
	{"queues", fetch_queues_with_mode, print_queues},
	{"consumers", fetch_consumers, print_consumers},
	{"config", fetch_config, print_config},
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
	return say_usage("can't show `%s`: expected interfaces, queues, consumers or config", name);
}

int command_show(const struct invocation *invocation)
{
	const struct subject *subject = find_subject(invocation->words[0]);
	cleanup_connection struct connection connection = CONNECTION_CLOSED;
	cleanup_json json_t *document = json_object();
	json_t *what = NULL;
	struct failure why;
	int r;

	if (!subject)
		return unknown_subject(invocation->words[0]);
	r = connection_open(&connection, invocation->socket, &why);
	if (r >= 0)
		r = subject->fetch(&connection, &what, &why);
	if (r < 0)
		return connection_give_up(&connection, &why);
	json_object_set_new(document, subject->name, what);
	if (invocation->json)
		print_json(document, false);
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
