// SPDX-License-Identifier: BSD-2-Clause
/* The operator's side: xdpctl, reload, and that consumers notice nothing of what is not about them. */
#include "tests/live/harness.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/live/consumer.h"
#include "tests/live/instance.h"
#include "tests/live/traffic.h"

#define PATIENCE 10000
#define ADMIN	 4711

#define ACCESS "access: { admin: { users: [4711] }, attach: { users: [nobody] } }\n"
#define SMALL  "frames: 256, frame_size: 2048, rings: { rx: 256, tx: 64, fill: 256, completion: 64 }"
#define NEAR   ACCESS "interfaces: [{ name: near, queues: [{ id: 0, " SMALL " }] }]\n"

enum { DONE = 0, USAGE = 1, REFUSED = 2, NO_DAEMON = 3 };

static void free_json(json_t **json)
{
	json_decref(*json);
}

#define cleanup_json __attribute__((cleanup(free_json)))

static struct instance *start(const char *config)
{
	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = 4}));
	return instance_start(config);
}

/* xdpctl ends with `status`, and has `text` in what it says. */
#define ctl(daemon, status, text, ...) \
	run_ctl(daemon, 0, status, text, (const char *const[]){__VA_ARGS__, NULL})
#define ctl_as(daemon, uid, status, text, ...) \
	run_ctl(daemon, uid, status, text, (const char *const[]){__VA_ARGS__, NULL})

static void run_ctl(const struct instance *daemon, uid_t uid, int status, const char *text,
		    const char *const *arguments)
{
	cleanup_ran struct ran ran = {};

	instance_run_ctl(daemon, &ran, uid, arguments);
	if (ran.status != status || (!strstr(ran.output, text) && !strstr(ran.errors, text)))
		fail_msg("xdpctl %s ...: %d instead of %d, or without `%s`: %s%s", arguments[0],
			 ran.status, status, text, ran.output, ran.errors);
}

#define ctl_json(...)		 ctl_json_of(__VA_ARGS__, NULL)
#define ctl_json_of(daemon, ...) run_ctl_json(daemon, (const char *const[]){"-j", __VA_ARGS__})

static json_t *run_ctl_json(const struct instance *daemon, const char *const *arguments)
{
	cleanup_ran struct ran ran = {};
	json_error_t error;
	json_t *json;

	instance_run_ctl(daemon, &ran, 0, arguments);
	assert_int_equal(ran.status, DONE);
	json = json_loads(ran.output, 0, &error);
	if (!json)
		fail_msg("xdpctl -j %s: %s: %s", arguments[1] ? arguments[1] : "", error.text,
			 ran.output);
	return json;
}

static const json_t *element(const json_t *document, const char *array, size_t index)
{
	const json_t *found = json_array_get(json_object_get(document, array), index);

	if (!found)
		fail_msg("`%s` has no element %zu", array, index);
	return found;
}

static void has_word(const json_t *object, const char *key, const char *word)
{
	assert_true(json_is_string(json_object_get(object, key)));
	assert_string_equal(json_string_value(json_object_get(object, key)), word);
}

static void has_number(const json_t *object, const char *key, json_int_t number)
{
	assert_true(json_is_integer(json_object_get(object, key)));
	assert_int_equal(json_integer_value(json_object_get(object, key)), number);
}

static json_int_t runtime_changes(const struct instance *daemon)
{
	cleanup_json json_t *status = ctl_json(daemon, "status");

	return json_integer_value(
		json_object_get(json_object_get(status, "daemon"), "runtime_changes"));
}

/* ---- looking ---- */

static void has_sizes(const json_t *document, size_t interfaces, size_t queues, size_t consumers)
{
	assert_true(json_is_object(json_object_get(document, "daemon")));
	assert_true(json_is_array(json_object_get(document, "interfaces")));
	assert_true(json_is_array(json_object_get(document, "queues")));
	assert_true(json_is_array(json_object_get(document, "consumers")));
	assert_int_equal(json_array_size(json_object_get(document, "interfaces")), interfaces);
	assert_int_equal(json_array_size(json_object_get(document, "queues")), queues);
	assert_int_equal(json_array_size(json_object_get(document, "consumers")), consumers);
}

static void the_status_has_the_same_shape_for_none_one_and_many(void **state)
{
	cleanup_json json_t *none = NULL;
	cleanup_json json_t *many = NULL;
	struct instance *daemon;
	struct consumer *consumer;
	const json_t *queue;

	(void)state;
	daemon = start(ACCESS);
	none = ctl_json(daemon, "status");
	has_sizes(none, 0, 0, 0);
	instance_write_config(daemon,
			      ACCESS "interfaces:\n"
				     "  - { name: near, queues: [{ id: 0-2, " SMALL " }] }\n"
				     "  - { name: ghost, queues: [{ id: 0, " SMALL " }] }\n");
	ctl(daemon, DONE, "near: added", "reload");
	consumer = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .queue = 1, .name = "ids", .transmit = true});
	many = ctl_json(daemon); /* the bare command */
	has_sizes(many, 2, 4, 1);
	has_number(json_object_get(many, "daemon"), "pid", instance_pid(daemon));
	has_word(json_object_get(many, "daemon"), "config", instance_config(daemon));
	has_number(json_object_get(many, "daemon"), "runtime_changes", 0);

	has_word(element(many, "interfaces", 0), "device", "near");
	has_word(element(many, "interfaces", 0), "driver", "veth");
	has_word(element(many, "interfaces", 0), "wanted_mode", "auto");
	has_word(element(many, "interfaces", 0), "mode", "native");
	has_number(element(many, "interfaces", 0), "channels", 4);
	has_number(element(many, "interfaces", 0), "queues", 3);
	has_number(element(many, "interfaces", 0), "queues_ready", 3);
	assert_true(json_is_null(json_object_get(element(many, "interfaces", 1), "ifindex")));
	has_word(element(many, "interfaces", 1), "reason", "ghost: there is no such interface yet");

	queue = element(many, "queues", 1);
	has_number(queue, "queue", 1);
	has_word(queue, "state", "attached");
	has_word(queue, "consumer", "ids");
	has_word(queue, "bind", "copy");
	has_word(queue, "wanted_bind", "auto");
	has_number(queue, "frames", 256);
	has_number(json_object_get(queue, "tx"), "size", 64);
	assert_true(json_is_false(json_object_get(queue, "runtime")));
	assert_true(json_is_null(json_object_get(queue, "reason")));
	has_word(element(many, "queues", 2), "state", "ready");
	has_word(element(many, "queues", 3), "state", "waiting");

	has_word(element(many, "consumers", 0), "name", "ids");
	has_number(element(many, "consumers", 0), "uid", CHILD_NOBODY);
	has_number(element(many, "consumers", 0), "pid", consumer_pid(consumer));
	assert_true(json_is_true(json_object_get(element(many, "consumers", 0), "transmit")));
	(void)consumer_stop(consumer);
	instance_stop(daemon);
}

static void show_prints_each_kind_with_the_figures_of_the_metrics(void **state)
{
	static const char *const kinds[] = {"interfaces", "queues", "consumers"};
	cleanup_json json_t *queues = NULL;
	struct instance *daemon;
	struct consumer *consumer;

	(void)state;
	require_live_frames();
	daemon = start(NEAR);
	consumer = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .length = 100, .count = 500});
	assert_ok(traffic_finish(consumer_traffic("far", 0, 100, 0, 500, 20000), PATIENCE, NULL));
	consumer_awaits(consumer, 500);
	for (size_t i = 0; i < 3; i++) {
		cleanup_json json_t *shown = ctl_json(daemon, "show", kinds[i]);

		assert_int_equal(json_object_size(shown), 1);
		has_word(element(shown, kinds[i], 0), "device", "near");
		ctl(daemon, DONE, "near", "show", kinds[i]);
	}
	queues = ctl_json(daemon, "show", "queues");
	has_number(element(queues, "queues", 0), "receive_packets", 500);
	has_number(element(queues, "queues", 0), "receive_bytes", 50000);
	has_number(element(queues, "queues", 0), "passed_packets", 0);
	ctl(daemon, DONE, "packets 500, bytes 50000", "show", "queues");
	ctl(daemon, DONE, "interfaces: [{ name: near", "show", "config");
	(void)consumer_stop(consumer);
	instance_stop(daemon);
}

/* ---- changing queues ---- */

static void queues_are_added_with_options_and_removed_while_others_run(void **state)
{
	cleanup_json json_t *added = NULL;
	struct instance *daemon;
	struct consumer *stays, *goes;

	(void)state;
	daemon = start(NEAR);
	stays = consumer_start(&(struct consumer_options){.instance = daemon, .device = "near"});
	added = ctl_json(daemon, "add-queue", "near", "1-2", "frames=128", "frame_size=2048",
			 "headroom=64", "rings.rx=32", "rings.fill=128", "bind=copy",
			 "attach.transmit=false");
	assert_int_equal(json_array_size(json_object_get(added, "queues")), 2);
	require_receive_only(daemon);
	for (size_t i = 0; i < 2; i++) {
		const json_t *queue = element(added, "queues", i);

		has_number(queue, "queue", (json_int_t)i + 1);
		has_word(queue, "state", "ready");
		has_word(queue, "wanted_bind", "copy");
		has_number(queue, "frames", 128);
		has_number(queue, "headroom", 64);
		has_number(json_object_get(queue, "rx"), "size", 32);
		assert_true(json_is_null(json_object_get(queue, "tx")));
		assert_true(json_is_true(json_object_get(queue, "runtime")));
	}
	assert_int_equal(runtime_changes(daemon), 2);
	goes = consumer_start(
		&(struct consumer_options){.instance = daemon, .device = "near", .queue = 2});

	ctl(daemon, REFUSED, "queue 1", "add-queue", "near", "1");
	ctl(daemon, REFUSED, "frames", "add-queue", "near", "3", "frames=0");
	ctl(daemon, REFUSED, "power of two", "add-queue", "near", "3", "rings.rx=100");
	ctl(daemon, DONE, "the interface has only queues 0 to 3", "add-queue", "near", "9");
	ctl(daemon, REFUSED, "queue 7", "remove-queue", "near", "7");
	ctl(daemon, DONE, "", "remove-queue", "near", "1,2,9");
	(void)consumer_ends(goes, "near queue 2: the queue was removed");
	assert_int_equal(runtime_changes(daemon), 0);
	consumer_is_refused(
		&(struct consumer_options){.instance = daemon, .device = "near", .queue = 2},
		ENOENT, "not a queue of xdpd's");
	assert_int_equal(consumer_report(stays).events & ~(1U << XDPD_EVENT_ATTACHED), 0);
	(void)consumer_stop(stays);
	instance_stop(daemon);
}

static void a_reload_takes_changes_at_run_time_back(void **state)
{
	struct instance *daemon;

	(void)state;
	daemon = start(NEAR);
	ctl(daemon, DONE, "", "add-queue", "near", "3", "frames=64");
	ctl(daemon, DONE, "", "remove-queue", "near", "0");
	assert_int_equal(instance_metric(daemon, "xdpd_config_runtime_changes"),
			 runtime_changes(daemon));
	ctl(daemon, DONE, "near queue 3: removed", "reload");
	assert_int_equal(runtime_changes(daemon), 0);
	ctl(daemon, DONE, "near queue 0", "show", "queues");
	ctl(daemon, DONE, "nothing changed", "reload");
	instance_stop(daemon);
}

static char *read_config(const struct instance *daemon)
{
	cleanup_file FILE *file = fopen(instance_config(daemon), "re");
	char *text = calloc(1, 8192);

	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, 8191, file) > 0);
	return text;
}

static void a_saved_queue_is_in_the_file_beside_all_comments_and_a_reload_changes_nothing(
	void **state)
{
	static const char *const comments[] = {"# The office's uplink.\n",
					       "# for the intrusion detection\n",
					       "# this is the end\n"};
	cleanup_free char *before = NULL;
	cleanup_free char *saved = NULL;
	cleanup_free char *after = NULL;
	struct instance *daemon;

	(void)state;
	daemon = start(ACCESS "# The office's uplink.\n"
			      "interfaces:\n"
			      "  - name: near   # for the intrusion detection\n"
			      "    queues:\n"
			      "      - { id: 0, frames: 64 }\n"
			      "# this is the end\n");
	before = read_config(daemon);
	ctl(daemon, DONE, "", "add-queue", "near", "1-2", "frames=128", "headroom=32", "--save");
	saved = read_config(daemon);
	for (int i = 0; i < 3; i++)
		assert_non_null(strstr(saved, comments[i]));
	assert_true(strlen(saved) > strlen(before));
	assert_int_equal(runtime_changes(daemon), 0);
	ctl(daemon, DONE, "nothing changed", "reload");
	ctl(daemon, DONE, "near queue 2", "show", "queues");
	ctl(daemon, DONE, "", "remove-queue", "near", "2", "--save");
	ctl(daemon, DONE, "nothing changed", "reload");
	ctl(daemon, DONE, "", "remove-queue", "near", "1", "--save");
	ctl(daemon, DONE, "nothing changed", "reload");
	after = read_config(daemon);
	assert_string_equal(after, before);
	instance_stop(daemon);
}

static void an_ejected_consumer_is_told_the_reason(void **state)
{
	struct consumer_report report;
	struct instance *daemon;
	struct consumer *consumer;

	(void)state;
	daemon = start(NEAR);
	const struct consumer_options options = {
		.instance = daemon, .device = "near", .name = "greedy"};

	ctl(daemon, REFUSED, "near queue 0: no consumer is attached (ENOENT)", "eject", "near",
	    "0");
	consumer = consumer_start(&options);
	ctl(daemon, REFUSED, "the consumer is `greedy`, not `modest` (ENOENT)", "eject", "near",
	    "0", "modest");
	ctl(daemon, REFUSED, "near queue 3: not a queue of xdpd's (ENOENT)", "eject", "near", "3");
	ctl(daemon, DONE, "", "eject", "near", "0", "greedy", "--reason", "the cable is moved");
	report = consumer_ends(consumer,
			       "near queue 0: ejected by an administrator: the cable is moved");
	assert_int_equal(report.ended, -ECANCELED);
	assert_true(instance_metric(daemon, "xdpd_consumer_disconnects_total", "reason",
				    "ejected") == 1);
	(void)consumer_stop(consumer_start(&options));
	instance_stop(daemon);
}

/* ---- reload ---- */

static void a_consumer_that_a_reload_bars_is_told_so_and_let_go(void **state)
{
	struct consumer_report report;
	struct instance *daemon;
	struct consumer *consumer;

	(void)state;
	daemon = start(NEAR);
	consumer = consumer_start(&(struct consumer_options){.instance = daemon, .device = "near"});
	instance_write_config(daemon, "interfaces: [{ name: near, queues: [{ id: 0, " SMALL " }] }]\n");
	instance_reload(daemon);
	report = consumer_ends(consumer, "near queue 0: uid 65534 may not attach any more (EACCES): the "
					 "config was changed");
	assert_int_equal(report.ended, -ECANCELED);
	assert_true(instance_metric(daemon, "xdpd_consumer_disconnects_total", "reason",
				    "not_allowed") == 1);
	instance_stop(daemon);
}

static void an_invalid_config_changes_nothing_and_its_lines_are_named(void **state)
{
	struct instance *daemon;
	struct consumer *consumer;

	(void)state;
	daemon = start(NEAR);
	consumer = consumer_start(&(struct consumer_options){.instance = daemon, .device = "near"});
	instance_write_config(daemon, ACCESS "interfaces:\n"
					     "  - name: near\n"
					     "    queues:\n"
					     "      - { id: 1, frames: 64 }\n"
					     "      - { id: 2, rings: { rx: 100 } }\n"
					     "      - { id: 2, framez: 64 }\n");
	ctl(daemon, REFUSED, "xdpd.yaml:8:", "reload");
	ctl(daemon, REFUSED, "xdpd.yaml:9:", "reload");
	ctl(daemon, REFUSED, "did you mean `frames`?", "reload");
	ctl(daemon, REFUSED, "is not valid, nothing changed (EINVAL)", "reload");
	ctl(daemon, REFUSED, "xdpd.yaml:8:", "check", instance_config(daemon));
	instance_reload(daemon); /* by SIGHUP */
	assert_true(instance_metric(daemon, "xdpd_config_last_reload_successful") == 0);
	assert_true(instance_metric(daemon, "xdpd_interface_configured_queues") == 1);
	assert_true(instance_metric(daemon, "xdpd_consumers") == 1);
	ctl(daemon, DONE, "the last reload failed", "status");

	instance_write_config(daemon, ACCESS "interfaces:\n"
					     "  - name: near\n"
					     "    queues:\n"
					     "      - { id: 0, " SMALL " }\n"
					     "      - { id: 1, frames: 64 }\n");
	ctl(daemon, DONE, "", "check", instance_config(daemon));
	ctl(daemon, DONE, "near queue 1: added", "reload");
	assert_true(instance_metric(daemon, "xdpd_config_last_reload_successful") == 1);
	assert_true(instance_metric(daemon, "xdpd_interface_ready_queues") == 2);
	(void)consumer_stop(consumer);
	instance_stop(daemon);
}

/* A socket that xdpd itself has just closed is nobody else's. */
static void has_raised_no_alarm(const struct instance *daemon)
{
	cleanup_free char *log = instance_log(daemon);

	assert_null(strstr(log, "warning:"));
	assert_null(strstr(log, "another program"));
}

static void a_queue_whose_settings_change_ends_its_consumer_and_has_them_then(void **state)
{
	struct consumer_report report;
	struct instance *daemon;
	struct consumer *consumer;

	(void)state;
	daemon = start(NEAR);
	const struct consumer_options options = {.instance = daemon, .device = "near"};

	consumer = consumer_start(&options);
	instance_write_config(daemon, ACCESS
			      "interfaces: [{ name: near, queues: [{ id: 0, frames: 64 }] }]\n");
	ctl(daemon, DONE, "near queue 0: settings changed", "reload");
	(void)consumer_ends(consumer, "near queue 0: the queue's or interface's settings changed");
	report = consumer_stop(consumer_start(&options));
	assert_int_equal(report.frames, 64);
	has_raised_no_alarm(daemon);
	instance_stop(daemon);
}

static void a_queue_that_nobody_has_can_be_attached_to_right_after_it_was_changed_or_added_again(
	void **state)
{
	struct consumer_report report;
	struct instance *daemon;

	(void)state;
	daemon = start(NEAR);
	const struct consumer_options options = {.instance = daemon, .device = "near"};

	instance_write_config(daemon, ACCESS
			      "interfaces: [{ name: near, queues: [{ id: 0, frames: 64 }] }]\n");
	instance_reload(daemon);
	report = consumer_stop(consumer_start(&options));
	assert_int_equal(report.frames, 64);
	ctl(daemon, DONE, "", "remove-queue", "near", "0");
	ctl(daemon, DONE, "", "add-queue", "near", "0", "frames=128");
	report = consumer_stop(consumer_start(&options));
	assert_int_equal(report.frames, 128);
	has_raised_no_alarm(daemon);
	instance_stop(daemon);
}

static void reloads_that_are_not_about_a_consumer_cost_it_no_frame(void **state)
{
	static const char *const configs[] = {
		ACCESS "interfaces:\n"
		       "  - { name: near, queues: [{ id: 0 }, { id: 1, frames: 64 }] }\n"
		       "  - { name: lo, mode: generic, queues: [{ id: 0, frames: 64 }] }\n",
		"access: { attach: { users: [root, nobody] } }\n"
		"interfaces: [{ name: near, queues: [{ id: 0 }, { id: 1-3, frames: 128 }] }]\n",
		ACCESS "interfaces: [{ name: near, queues: [{ id: 0 }] }]\n",
	};
	const uint64_t count = 40000;
	struct consumer_report report;
	struct traffic_result result;
	struct instance *daemon;
	struct consumer *consumer;
	struct traffic *traffic;
	unsigned int reloads = 0;

	(void)state;
	require_live_frames();
	daemon = start(configs[2]);
	consumer = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .length = 200, .count = count});
	traffic = consumer_traffic("far", 0, 200, 0, count, 20000);
	consumer_awaits(consumer, 100);
	while (traffic_is_sending(traffic)) {
		instance_write_config(daemon, configs[reloads++ % 3]);
		instance_reload(daemon);
		ctl(daemon, DONE, "", "add-queue", "near", "1000", "frames=64");
		ctl(daemon, DONE, "", "remove-queue", "near", "1000");
	}
	assert_ok(traffic_finish(traffic, PATIENCE, &result));
	assert_int_equal(result.sent, count);
	assert_true(reloads >= 3);
	consumer_awaits(consumer, count);
	report = consumer_stop(consumer);
	consumer_got_all(&report, count);
	assert_int_equal(report.backwards, 0);
	assert_true(instance_metric(daemon, "xdpd_queue_receive_packets_total", "queue", "0") ==
		    (double)count);
	assert_true(instance_metric(daemon, "xdpd_consumer_disconnects_total") == 1);
	instance_stop(daemon);
}

/* ---- watch ---- */

static void watch_prints_what_happens_until_the_daemon_ends(void **state)
{
	static const char *const words[] = {"attached",	   "detached", "link-down", "link-up",
					    "queue-state", "reloaded", "stopping"};
	const char *variable = getenv("XDPCTL");
	struct child *watches[2];
	struct instance *daemon;

	(void)state;
	daemon = start(NEAR);
	for (int json = 0; json < 2; json++) {
		const char *const argv[] = {variable ? variable : built("xdpctl"),
					    "-s",
					    instance_socket(daemon),
					    "watch",
					    json ? "-j" : NULL,
					    NULL};

		assert_ok(child_start(&watches[json],
				      &(struct child_options){.argv = argv, .uid = CHILD_NOBODY}));
	}
	assert_becomes(
		instance_metric(daemon, "xdpd_control_requests_total", "command", "subscribe") == 2,
		PATIENCE);
	(void)consumer_stop(consumer_start(
		&(struct consumer_options){.instance = daemon, .device = "near", .name = "seen"}));
	assert_ok(child_wait_output(watches[0], "detached", PATIENCE));
	assert_ok(device_down("near"));
	assert_ok(child_wait_output(watches[0], "link-down", PATIENCE));
	assert_ok(device_up("near"));
	assert_ok(child_wait_output(watches[0], "link-up", PATIENCE));
	ctl(daemon, DONE, "", "add-queue", "near", "2", "frames=64");
	ctl(daemon, DONE, "", "reload");
	assert_ok(child_wait_output(watches[0], "reloaded", PATIENCE));
	instance_stop(daemon);
	for (int json = 0; json < 2; json++) {
		cleanup_free char *output = NULL;
		char *rest;

		assert_int_equal(child_wait(watches[json], PATIENCE), NO_DAEMON);
		output = rest = child_output(watches[json]);
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (!strstr(output, words[i]))
				fail_msg("no event `%s` in:\n%s", words[i], output);
		assert_non_null(strstr(output, "consumer `seen` attached (uid 65534"));
		for (char *line; json && (line = strtok_r(rest, "\n", &rest));) {
			cleanup_json json_t *event = json_loads(line, 0, NULL);

			assert_true(json_is_string(json_object_get(event, "kind")));
			assert_true(json_is_number(json_object_get(event, "time")));
		}
		(void)child_end(watches[json]);
	}
}

/* ---- who may what ---- */

static void the_exit_status_tells_usage_refusal_and_no_daemon_apart(void **state)
{
	struct instance *daemon;

	(void)state;
	daemon = start(NEAR);
	ctl(daemon, DONE, "near", "status");
	ctl(daemon, DONE, "xdpd   0.", "version");
	ctl(daemon, USAGE, "did you mean `status`?", "statsu");
	ctl(daemon, USAGE, "usage: xdpctl eject", "eject", "near");
	ctl(daemon, USAGE, "", "add-queue", "near", "x");
	ctl(daemon, USAGE, "takes no --save", "status", "--save");
	ctl(daemon, REFUSED, "eth7: not an interface of xdpd's (ENODEV); it has: near", "eject",
	    "eth7", "0");
	assert_true(instance_metric(daemon, "xdpd_control_request_failures_total", "command",
				    "eject") == 1);
	assert_true(instance_metric(daemon, "xdpd_control_requests_total", "command", "eject") ==
		    1);
	child_kill(instance_child(daemon));
	ctl(daemon, NO_DAEMON, "", "status");
	ctl(daemon, NO_DAEMON, "", "-s", "/nonexistent/xdpd.sock", "reload");
	instance_kill(daemon);
}

static void who_is_no_administrator_may_look_but_change_nothing(void **state)
{
	static const char *const forbidden[][5] = {
		{"add-queue", "near", "1"}, {"remove-queue", "near", "0"},
		{"eject", "near", "0"},	    {"reload"},
		{"show", "config"},	    {"add-queue", "near", "1", "--save"},
	};
	struct instance *daemon;
	struct consumer *consumer;

	(void)state;
	daemon = start(NEAR);
	consumer = consumer_start(&(struct consumer_options){.instance = daemon, .device = "near"});
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		run_ctl(daemon, CHILD_NOBODY, REFUSED, "only administrators may", forbidden[i]);
	ctl_as(daemon, CHILD_NOBODY, REFUSED, "(EACCES); uid 65534 is not in", "reload");
	ctl_as(daemon, CHILD_NOBODY, DONE, "near", "status");
	ctl_as(daemon, CHILD_NOBODY, DONE, "consumer", "show", "consumers");
	assert_int_equal(runtime_changes(daemon), 0);

	ctl_as(daemon, ADMIN, DONE, "", "add-queue", "near", "1", "frames=64");
	ctl_as(daemon, ADMIN, DONE, "interfaces", "show", "config");
	ctl_as(daemon, ADMIN, DONE, "", "reload");
	ctl_as(daemon, ADMIN, DONE, "", "eject", "near", "0");
	(void)consumer_ends(consumer, "ejected by an administrator");
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(the_status_has_the_same_shape_for_none_one_and_many),
		live_test(show_prints_each_kind_with_the_figures_of_the_metrics),
		live_test(queues_are_added_with_options_and_removed_while_others_run),
		live_test(a_reload_takes_changes_at_run_time_back),
		live_test(
			a_saved_queue_is_in_the_file_beside_all_comments_and_a_reload_changes_nothing),
		live_test(an_ejected_consumer_is_told_the_reason),
		live_test(a_consumer_that_a_reload_bars_is_told_so_and_let_go),
		live_test(an_invalid_config_changes_nothing_and_its_lines_are_named),
		live_test(a_queue_whose_settings_change_ends_its_consumer_and_has_them_then),
		live_test(
			a_queue_that_nobody_has_can_be_attached_to_right_after_it_was_changed_or_added_again),
		live_test(reloads_that_are_not_about_a_consumer_cost_it_no_frame),
		live_test(watch_prints_what_happens_until_the_daemon_ends),
		live_test(the_exit_status_tells_usage_refusal_and_no_daemon_apart),
		live_test(who_is_no_administrator_may_look_but_change_nothing),
	};

	return live_run("control", tests, 180);
}
