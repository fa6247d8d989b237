/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The real xdpctl against a daemon of the test's own. XDPCTL names the program, by default the one of the same
 * build.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "client/xdpd_protocol.h"
#include "config/config.h"
#include "daemon/cleanup.h"
#include "tests/unit/fake_daemon.h"

/* ---- xdpctl ---- */

static char program[4096];
static char out[65536], err[65536];

static void take_output(int fd, char *to, size_t size)
{
	ssize_t n = pread(fd, to, size - 1, 0);

	assert_return_code(n, errno);
	to[n] = '\0';
	close(fd);
}

/* Runs it with these words and returns what it exits with; the output is in `out` and `err`. */
static int run_to(int to, const char *const *words)
{
	const char *argv[32] = {"xdpctl"};
	int errors = memfd_create("stderr", MFD_CLOEXEC);
	int status;
	pid_t pid;

	for (size_t i = 0; words[i]; i++)
		argv[i + 1] = words[i];
	pid = fork();
	if (pid == 0) {
		setenv("XDPD_SOCKET", fake->path, 1);
		setenv("TZ", "UTC", 1);
		dup2(to, STDOUT_FILENO);
		dup2(errors, STDERR_FILENO);
		execv(program, (char *const *)argv);
		_exit(127);
	}
	assert_return_code(pid, errno);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	take_output(errors, err, sizeof(err));
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int run_words(const char *const *words)
{
	int to = memfd_create("stdout", MFD_CLOEXEC);
	int status = run_to(to, words);

	take_output(to, out, sizeof(out));
	return status;
}

#define xdpctl(...) run_words((const char *const[]){__VA_ARGS__, NULL})

static json_t *parse_output(void)
{
	json_error_t error;
	json_t *json = json_loads(out, 0, &error);

	if (!json)
		fail_msg("not JSON: %s: %s", error.text, out);
	return json;
}

#define assert_has(text, part)                                        \
	do {                                                          \
		if (!strstr(text, part))                              \
			fail_msg("expected `%s` in: %s", part, text); \
	} while (0)

#define assert_has_not(text, part)                                         \
	do {                                                               \
		if (strstr(text, part))                                    \
			fail_msg("`%s` should not be in: %s", part, text); \
	} while (0)

/* ---- what is shown ---- */

static void status_shows_wanted_against_actual(void **state)
{
	struct xdpd_queue_record *queue;

	(void)state;
	queue = add_record("eth0", 3, XDPD_QUEUE_ATTACHED);
	queue->wanted_bind = XDPD_BIND_ZERO_COPY;
	queue->bind = XDPD_BIND_COPY;
	queue->receive_packets = 18446744073709ull;
	queue->receive_dropped = 5;
	queue->receive_ring_full = 7;
	queue->fill_ring_empty = 100;
	strcpy(queue->consumer, "suricata");
	queue = add_record("eth9", 0, XDPD_QUEUE_WAITING);
	queue->runtime = 1;
	strcpy(queue->reason, "there is no interface eth9 (yet)");
	fake->daemon.runtime_changes = 1;
	fake->daemon.last_reload_ok = 0;
	start_daemon();
	assert_int_equal(xdpctl("status"), 0);
	assert_string_equal(err, "");
	assert_has(out, "xdpd 9.8.7, pid 4711, up 1d 01:01:0");
	assert_has(out, "loaded 2023-11-14 22:13:20\n");
	assert_has(out, "the last reload failed");
	assert_has(out, "runtime changes: 1");
	assert_has(out, "generic (wanted native)");
	assert_has(out, "copy (wanted zero-copy)");
	assert_has(out, "suricata  18446744073709           0       12  file\n");
	assert_has(out, "runtime\n    there is no interface eth9 (yet)\n");
}

static void the_bare_command_is_status(void **state)
{
	char before[sizeof(out)];

	(void)state;
	fake->daemon.started =
		(uint64_t)time(NULL) + 1000; /* the clock went back: up 0, and the same twice */
	start_daemon();
	assert_int_equal(xdpctl("status"), 0);
	strcpy(before, out);
	assert_int_equal(run_words((const char *const[]){NULL}), 0);
	assert_string_equal(out, before);
	assert_has(out, "up 00:00:00");
}

static void json_has_one_shape_for_none_one_and_many(void **state)
{
	(void)state;
	start_daemon();
	for (size_t n = 0; n < 3; n++) {
		fake->n_queues = 0;
		for (uint32_t id = 0; id < n; id++)
			add_record("eth0", id, XDPD_QUEUE_READY);
		assert_int_equal(xdpctl("-j", "show", "queues"), 0);

		json_t *json = parse_output();

		assert_true(json_is_array(json_object_get(json, "queues")));
		assert_int_equal(json_array_size(json_object_get(json, "queues")), n);
		json_decref(json);
	}
}

static void json_has_numbers_words_flags_and_null(void **state)
{
	struct xdpd_queue_record *queue;
	json_t *json, *record;
	const char *feature;

	(void)state;
	queue = add_record("eth0", 0, XDPD_QUEUE_READY);
	queue->transmit_bytes = UINT64_MAX;
	queue->rx = (struct xdpd_ring_record){2048, 17};
	queue->runtime = 1;
	start_daemon();
	assert_int_equal(xdpctl("--json"), 0);
	json = parse_output();
	record = json_array_get(json_object_get(json, "queues"), 0);
	assert_string_equal(json_string_value(json_object_get(record, "state")), "ready");
	assert_string_equal(json_string_value(json_object_get(record, "mode")), "generic");
	assert_true(json_is_null(json_object_get(record, "bind")));
	assert_true(json_is_null(json_object_get(record, "consumer")));
	assert_true(json_is_null(json_object_get(record, "tx")));
	assert_true(json_is_true(json_object_get(record, "runtime")));
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(record, "rx"), "entries")), 17);
	assert_true(json_integer_value(json_object_get(record, "transmit_bytes")) == INT64_MAX);
	record = json_array_get(json_object_get(json, "interfaces"), 0);
	feature = json_string_value(json_array_get(json_object_get(record, "xdp_features"), 2));
	assert_string_equal(feature, "xsk-zerocopy");
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(json, "daemon"), "last_reload")),
		1700000000);
	json_decref(json);
}

static void show_has_all_details(void **state)
{
	struct xdpd_queue_record *queue;

	(void)state;
	queue = add_record("eth0", 3, XDPD_QUEUE_ATTACHED);
	queue->fill = (struct xdpd_ring_record){4096, 4000};
	queue->transmit_ring_empty = 31;
	fake->consumers[fake->n_consumers++] =
		(struct xdpd_consumer_record){.name = "suricata",
					      .device = "eth0",
					      .queue = 3,
					      .uid = 992,
					      .pid = 815,
					      .attached = 1700000000};
	start_daemon();
	assert_int_equal(xdpctl("show", "queues"), 0);
	assert_has(out, "eth0 queue 3\n");
	assert_has(out, "    fill ring                     4000 of 4096 entries\n");
	assert_has(out, "    transmit ring empty           31\n");
	assert_int_equal(xdpctl("show", "consumers"), 0);
	assert_has(out, "suricata  eth0        3  992  815  2023-11-14 22:13:20 ");
	assert_int_equal(xdpctl("show", "interfaces"), 0);
	assert_has(out, "basic,redirect,xsk-zerocopy\n");
	assert_int_equal(xdpctl("show", "config"), 0);
	assert_string_equal(out, sample);
	assert_int_equal(xdpctl("show", "queus"), 1);
	assert_has(err, "did you mean `queues`?");
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
	struct xdpd_queue_record *queue;

	(void)state;
	queue = add_record("eth0", 0, XDPD_QUEUE_BUSY);
	strcpy(queue->consumer, "\033]0;evil\a");
	strcpy(queue->reason, "line\nbreak \xc2\x9b"
			      "1m caf\xc3\xa9");
	start_daemon();
	assert_int_equal(xdpctl("status"), 0);
	assert_has_not(out, "\033");
	assert_has_not(out, "\a");
	assert_has(out, "\\x1b]0;evil\\x07");
	assert_has(out, "    line\\x0abreak \\xc2\\x9b1m caf\xc3\xa9\n");
	assert_int_equal(xdpctl("status", "-j"), 0);
	assert_has_not(out, "\033");
	assert_has(out, "\\u001B]0;evil\\u0007");
	fake->refuse = XDPD_EJECT;
	fake->code = EACCES;
	fake->reason = "no\033[2J";
	assert_int_equal(xdpctl("eject", "eth0", "0"), 2);
	assert_string_equal(err, "xdpctl: no\\x1b[2J\n");
}

/* ---- the daemon's faults ---- */

static void without_a_daemon_the_socket_is_named(void **state)
{
	(void)state;
	assert_int_equal(xdpctl("status"), 3);
	assert_has(err, fake->path);
	assert_has(err, "is xdpd running?");
	assert_string_equal(out, "");
	assert_int_equal(xdpctl("-s", "/nowhere/xdpd.sock", "reload"), 3);
	assert_has(err, "no daemon at /nowhere/xdpd.sock");
}

static void a_misbehaving_daemon_gives_a_clear_error(void **state)
{
	static const struct {
		enum misbehaviour misbehaviour;
		const char *error;
	} cases[] = {
		{CLOSES, "closed the connection"},
		{OTHER_MAGIC, "does not speak xdpd's protocol"},
		{OTHER_ID, "an answer to request 3, not to 2"},
		{WRONG_LENGTH, "bytes says that it has"},
		{SHORT_RECORDS, "a record has"},
		{OTHER_RECORDS, "what was not asked for"},
	};

	(void)state;
	start_daemon();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake->misbehaviour = cases[i].misbehaviour;
		assert_int_equal(xdpctl("status"), 3);
		assert_has(err, cases[i].error);
		assert_string_equal(out, "");
	}
}

static void a_daemon_that_does_not_answer_is_given_up_after_5_seconds(void **state)
{
	struct timespec before, after;

	(void)state;
	fake->misbehaviour = SILENT;
	start_daemon();
	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(xdpctl("status"), 3);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_has(err, "did not answer within 5 seconds");
	assert_in_range(after.tv_sec - before.tv_sec, 4, 8);
}

static void records_of_a_later_version_are_cut(void **state)
{
	(void)state;
	fake->misbehaviour = LONG_RECORDS;
	add_record("eth0", 3, XDPD_QUEUE_READY);
	start_daemon();
	assert_int_equal(xdpctl("status"), 0);
	assert_has(out, "eth0        3  ready");
}

static void strings_without_an_end_are_cut(void **state)
{
	struct xdpd_queue_record *queue;
	static char reason[XDPD_REASON_MAX + 1];

	(void)state;
	queue = add_record("eth0", 3, XDPD_QUEUE_FAILED);
	memset(queue->device, 'd', sizeof(queue->device));
	memset(queue->reason, 'r', sizeof(queue->reason));
	memset(reason, 'x', sizeof(reason) - 1);
	start_daemon();
	assert_int_equal(xdpctl("status"), 0);
	assert_has(out, "\ndddddddddddddddd      3  failed");
	fake->refuse = XDPD_RELOAD;
	fake->code = EINVAL;
	fake->reason = reason;
	assert_int_equal(xdpctl("reload"), 2);
	assert_has(err, "xdpctl: xxxxx");
	assert_in_range(strlen(err), 250, 270);
}

/* ---- requests ---- */

static void add_queue_sends_the_options_as_one_fragment(void **state)
{
	(void)state;
	fake->running[0] = '\0';
	start_daemon();
	assert_int_equal(xdpctl("add-queue", "eth0", "0,2", "rings.rx=1024", "frames=8192",
				"rings.fill=4096", "attach.users=[suricata, 100]", "bind=copy",
				"attach.transmit=false"),
			 0);
	assert_string_equal(out, "");
	assert_int_equal(xdpctl("add-queue", "eth0", "4-7"), 0);
	assert_int_equal(xdpctl("add-queue", "eth0", "3"), 0);
	assert_int_equal(xdpctl("remove-queue", "eth0", "all"), 0);
	assert_string_equal(fake->asked,
			    "add eth0 { id: [0, 2], rings: { rx: 1024, fill: 4096 }, frames: 8192, "
			    "attach: { users: [suricata, 100], transmit: false }, bind: copy }\n"
			    "add eth0 { id: 4-7 }\n"
			    "add eth0 { id: 3 }\n"
			    "remove eth0 { id: all }\n");
}

static void options_that_are_none_are_usage_errors(void **state)
{
	static const char *const cases[][2] = {
		{"frames", "expected key=value"},
		{"=3", "expected key=value"},
		{"rings..rx=3", "expected key=value"},
		{"rings.=3", "expected key=value"},
		{"Frames=3", "expected key=value"},
		{"frames=", "has no value"},
		{"attach.users=a,b", "in brackets: attach.users=[...]"},
		{"attach.users=[a", "leaves a bracket open"},
		{"frames=3 }, { id: 4", "closes a bracket"},
		{"id=4", "named before the options"},
		{"frames=1\nid: 4", "a character that a value can't have"},
	};

	(void)state;
	start_daemon();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(xdpctl("add-queue", "eth0", "3", cases[i][0]), 1);
		assert_has(err, cases[i][1]);
	}
	assert_int_equal(xdpctl("add-queue", "eth0", "3", "rings.rx=1", "rings=2"), 1);
	assert_has(err, "set the same");
	assert_int_equal(xdpctl("add-queue", "eth0", "3", "frames=1", "frames=2"), 1);
	assert_has(err, "set the same");
	assert_int_equal(xdpctl("add-queue", "eth0", "3-"), 1);
	assert_has(err, "names no queues");
	assert_int_equal(xdpctl("add-queue", "an-interface-too-long", "3"), 1);
	assert_string_equal(fake->asked, "");
}

static void added_queues_that_are_not_ready_are_shown(void **state)
{
	(void)state;
	strcpy(add_record("eth1", 0, XDPD_QUEUE_WAITING)->reason, "not there yet");
	add_record("eth1", 1, XDPD_QUEUE_READY);
	strcpy(add_record("eth0", 0, XDPD_QUEUE_FAILED)->reason, "of another interface");
	add_record("", 0, 99);
	start_daemon();
	assert_int_equal(xdpctl("add-queue", "eth1", "0-1"), 0);
	assert_has(out, "    not there yet\n");
	assert_has_not(out, "eth1        1");
	assert_has_not(out, "another");
}

static void a_refusal_is_on_stderr_and_exits_2(void **state)
{
	(void)state;
	fake->refuse = XDPD_ADD_QUEUE;
	fake->code = EACCES;
	fake->reason = "only administrators may add queues";
	start_daemon();
	assert_int_equal(xdpctl("add-queue", "eth0", "9"), 2);
	assert_string_equal(err, "xdpctl: only administrators may add queues\n");
	fake->refuse = XDPD_HELLO;
	fake->code = EUSERS;
	fake->reason = "too many connections of this user";
	assert_int_equal(xdpctl("status"), 2);
	assert_has(err, "too many connections of this user");
}

static void eject_says_whom_and_why(void **state)
{
	(void)state;
	start_daemon();
	assert_int_equal(xdpctl("eject", "eth0", "3", "suricata", "--reason", "upgrade at noon"),
			 0);
	assert_string_equal(fake->eject.device, "eth0");
	assert_int_equal(fake->eject.queue, 3);
	assert_string_equal(fake->eject.consumer, "suricata");
	assert_string_equal(fake->eject.reason, "upgrade at noon");
	assert_int_equal(xdpctl("eject", "eth0", "0-3"), 1);
	assert_int_equal(xdpctl("eject", "eth0", "3", "a-name-that-is-longer-than-a-name-can-be"),
			 1);
	assert_string_equal(fake->asked, "eject\n");
}

static void reload_says_what_changed_or_what_is_wrong(void **state)
{
	json_t *json;

	(void)state;
	fake->text = "eth0 queue 3: added\neth0 queue 4: removed\n";
	start_daemon();
	assert_int_equal(xdpctl("reload"), 0);
	assert_string_equal(out, fake->text);
	assert_int_equal(xdpctl("-j", "reload"), 0);
	json = parse_output();
	assert_int_equal(json_array_size(json_object_get(json, "lines")), 2);
	json_decref(json);
	fake->text = "/etc/xdpd/xdpd.yaml:3:1: unknown key `metrix`";
	fake->refuse = XDPD_RELOAD;
	fake->code = EINVAL;
	fake->reason = "the file has errors: nothing was changed";
	assert_int_equal(xdpctl("reload"), 2);
	assert_string_equal(out, "");
	assert_string_equal(err, "/etc/xdpd/xdpd.yaml:3:1: unknown key `metrix`\n"
				 "xdpctl: the file has errors: nothing was changed\n");
}

static void watch_prints_a_line_for_each_event(void **state)
{
	json_t *json;
	char *second;

	(void)state;
	fake->events[fake->n_events++] = (struct xdpd_event){.time = 1700000000123456789ull,
							     .kind = XDPD_EVENT_ATTACHED,
							     .queue = 3,
							     .device = "eth0",
							     .text = "by suricata"};
	fake->events[fake->n_events++] = (struct xdpd_event){
		.time = 1700000001000000000ull, .kind = XDPD_EVENT_STOPPING, .queue = UINT32_MAX};
	start_daemon();
	assert_int_equal(xdpctl("watch"), 3);
	assert_string_equal(out,
			    "2023-11-14T22:13:20.123  attached            eth0 3  by suricata\n"
			    "2023-11-14T22:13:21.000  stopping            - -\n");
	assert_has(err, "closed the connection");
	assert_int_equal(xdpctl("watch", "-j"), 3);
	assert_has(out, "{\"time\":1700000000.123456,\"kind\":\"attached\",\"device\":\"eth0\","
			"\"queue\":3,");
	second = strchr(out, '\n') + 1;
	json = json_loads(second, 0, NULL);
	assert_non_null(json);
	assert_true(json_is_null(json_object_get(json, "queue")));
	assert_true(json_is_null(json_object_get(json, "device")));
	json_decref(json);
}

static void version_is_both_sides(void **state)
{
	(void)state;
	assert_int_equal(xdpctl("version"), 3);
	assert_has(out, "xdpctl " XDPD_RELEASE "\n");
	start_daemon();
	assert_int_equal(xdpctl("version"), 0);
	assert_string_equal(out, "xdpctl " XDPD_RELEASE "\nxdpd   9.8.7\n");
}

/* ---- --save ---- */

static void save_writes_the_file_and_keeps_its_comments(void **state)
{
	(void)state;
	start_daemon();
	assert_int_equal(xdpctl("add-queue", "eth1", "3", "frames=8192", "--save"), 0);
	assert_string_equal(err, "");
	assert_string_equal(out, "");
	assert_string_equal(fake->asked, "add eth1 { id: 3, frames: 8192 }\nreload\n");
	assert_has(read_config(), "# queues of the big NIC\n");
	assert_has(read_config(), "# four\n");
	assert_has(read_config(), "8192");
	fake->asked[0] = '\0';
	assert_int_equal(xdpctl("remove-queue", "eth1", "3", "--save"), 0);
	assert_string_equal(fake->asked, "remove eth1 { id: 3 }\nreload\n");
	assert_has_not(read_config(), "8192");
	assert_has(read_config(), "# four\n");
}

static void save_keeps_what_was_a_runtime_change(void **state)
{
	json_t *json;

	(void)state;
	fake->text = "nothing changed";
	start_daemon();
	assert_int_equal(xdpctl("add-queue", "eth1", "3"), 0);
	assert_string_equal(read_config(), sample);
	assert_int_equal(xdpctl("add-queue", "eth1", "3"), 2);
	assert_int_equal(xdpctl("add-queue", "eth1", "3", "--save", "-j"), 0);
	json = parse_output();
	assert_true(json_is_true(json_object_get(json, "saved")));
	assert_true(json_is_true(json_object_get(json, "reloaded")));
	json_decref(json);
	assert_string_equal(read_config(), fake->running);
}

static void save_does_not_reload_away_other_runtime_changes(void **state)
{
	(void)state;
	start_daemon();
	assert_int_equal(xdpctl("add-queue", "eth1", "7"), 0);
	fake->asked[0] = '\0';
	assert_int_equal(xdpctl("add-queue", "eth1", "3", "--save"), 0);
	assert_string_equal(fake->asked, "add eth1 { id: 3 }\n");
	assert_has(out, "not reloaded");
	assert_has(out, "eth1 queue 7");
	/* in the other order, so that the texts differ and the settings do not */
	assert_int_equal(xdpctl("add-queue", "eth1", "7", "--save"), 0);
	assert_has(fake->asked, "reload\n");
	assert_string_equal(out, "");
}

static void save_does_not_bring_other_edits_of_the_file_into_force(void **state)
{
	char edited[sizeof(sample) + 64];

	(void)state;
	snprintf(edited, sizeof(edited), "%smetrics: { listen: off }\n", sample);
	write_config(edited);
	start_daemon();
	assert_int_equal(xdpctl("add-queue", "eth1", "3", "--save"), 0);
	assert_string_equal(fake->asked, "add eth1 { id: 3 }\n");
	assert_has(out,
		   "not reloaded, as that would also change the settings beside the interfaces");
	assert_has(read_config(), "id: 3");
	assert_has(read_config(), "metrics: { listen: off }\n");
}

static void save_changes_nothing_where_the_file_is_in_the_way(void **state)
{
	(void)state;
	start_daemon();
	assert_int_equal(xdpctl("add-queue", "eth0", "2-5", "--save"), 2);
	assert_has(err, "nothing was changed");
	assert_has(err, "already");
	assert_string_equal(read_config(), sample);
	write_config("interfaces: [\n");
	assert_int_equal(xdpctl("add-queue", "eth1", "3", "--save"), 2);
	assert_int_equal(xdpctl("remove-queue", "eth0", "3", "--save"), 2);
	unlink(fake->config);
	assert_int_equal(xdpctl("add-queue", "eth1", "3", "--save"), 2);
	assert_string_equal(fake->asked, "");
	strcpy(fake->daemon.config, "xdpd.yaml");
	assert_int_equal(xdpctl("add-queue", "eth1", "3", "--save"), 2);
	assert_has(err, "full path");
	assert_string_equal(fake->asked, "");
}

static void a_file_that_cannot_be_written_leaves_the_queue_added_but_not_saved(void **state)
{
	(void)state;
	fake->lose_config = true;
	start_daemon();
	assert_int_equal(xdpctl("add-queue", "eth1", "3", "--save"), 2);
	assert_has(err, "added, but not saved");
	assert_string_equal(fake->asked, "add eth1 { id: 3 }\n");
}

static void remove_takes_from_the_file_what_the_file_has(void **state)
{
	(void)state;
	start_daemon();
	assert_int_equal(xdpctl("add-queue", "eth0", "4-5"), 0);
	assert_int_equal(xdpctl("remove-queue", "eth0", "3-5", "--save"), 0);
	assert_string_equal(out, "");
	assert_has(read_config(), "four");
	assert_has(fake->asked, "reload\n");
	/* gone from the daemon only: the file still has it */
	assert_int_equal(xdpctl("remove-queue", "eth0", "2"), 0);
	assert_int_equal(xdpctl("remove-queue", "eth0", "2"), 2);
	assert_int_equal(xdpctl("remove-queue", "eth0", "2", "--save"), 0);
	assert_string_equal(read_config(), fake->running);
	/* in the daemon only */
	assert_int_equal(xdpctl("add-queue", "eth0", "7"), 0);
	assert_int_equal(xdpctl("remove-queue", "eth0", "7", "--save"), 0);
	assert_has(out, "nothing to save");
	/* in neither */
	assert_int_equal(xdpctl("remove-queue", "eth0", "7", "--save"), 2);
}

/* ---- without a daemon ---- */

static void check_names_every_error(void **state)
{
	json_t *json;

	(void)state;
	assert_int_equal(xdpctl("check", fake->config), 0);
	assert_has(out, "is valid\n");
	write_config("metrix: off\ninterfaces:\n  - name: eth0\n    queues:\n      - id: 3\n       "
		     " frame_size: 7\n");
	assert_int_equal(xdpctl("check", fake->config), 2);
	assert_has(err, "xdpd.yaml:1:");
	assert_has(err, "xdpd.yaml:6:");
	assert_string_equal(out, "");
	assert_int_equal(xdpctl("check", fake->config, "-j"), 2);
	json = parse_output();
	assert_true(json_is_false(json_object_get(json, "valid")));
	assert_int_equal(json_array_size(json_object_get(json, "errors")), 2);
	json_decref(json);
	assert_int_equal(xdpctl("check", "/nowhere/xdpd.yaml"), 2);
	assert_has(err, "/nowhere/xdpd.yaml");
}

static void wrong_usage_exits_1_and_suggests(void **state)
{
	static const char *const cases[][5] = {
		{"statsu", NULL},
		{"add-queue", "eth0", NULL},
		{"status", "eth0", NULL},
		{"status", "--save", NULL},
		{"reload", "--reason", "x", NULL},
		{"--nonsense", NULL},
		{"help", "nothing-like-it", NULL},
		{"nothing-like-it", "--help", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(run_words(cases[i]), 1);
		assert_string_not_equal(err, "");
		assert_string_equal(out, "");
	}
	assert_int_equal(xdpctl("relaod"), 1);
	assert_has(err, "did you mean `reload`?");
}

static void help_is_everywhere(void **state)
{
	(void)state;
	assert_int_equal(xdpctl("help"), 0);
	assert_has(out, "show interfaces|queues|consumers|config\n");
	assert_int_equal(xdpctl("-h"), 0);
	assert_has(out, "Exit status: 0 done");
	assert_int_equal(xdpctl("help", "add-queue"), 0);
	assert_has(out, "rings.rx=1024");
	assert_int_equal(xdpctl("watch", "--help"), 0);
	assert_has(out, "usage: xdpctl watch\n");
}

static void output_that_cannot_be_written_is_an_error(void **state)
{
	cleanup_fd int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	if (full < 0)
		skip();
	start_daemon();
	assert_int_equal(run_to(full, (const char *const[]){"status", NULL}), 2);
	assert_has(err, "can't write the output");
}

static int find_program(void)
{
	const char *given = getenv("XDPCTL");
	ssize_t n;

	if (given) {
		snprintf(program, sizeof(program), "%s", given);
		return access(program, X_OK);
	}
	/* BUILD/tests/unit/xdpctl_test -> BUILD/xdpctl */
	n = readlink("/proc/self/exe", program, sizeof(program) - sizeof("/xdpctl"));
	if (n < 0)
		return -1;
	program[n] = '\0';
	strcat(dirname(dirname(dirname(program))), "/xdpctl");
	return access(program, X_OK);
}

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(status_shows_wanted_against_actual),
		test(the_bare_command_is_status),
		test(json_has_one_shape_for_none_one_and_many),
		test(json_has_numbers_words_flags_and_null),
		test(show_has_all_details),
		test(control_characters_do_not_reach_the_terminal),
		test(without_a_daemon_the_socket_is_named),
		test(a_misbehaving_daemon_gives_a_clear_error),
		test(a_daemon_that_does_not_answer_is_given_up_after_5_seconds),
		test(records_of_a_later_version_are_cut),
		test(strings_without_an_end_are_cut),
		test(add_queue_sends_the_options_as_one_fragment),
		test(options_that_are_none_are_usage_errors),
		test(added_queues_that_are_not_ready_are_shown),
		test(a_refusal_is_on_stderr_and_exits_2),
		test(eject_says_whom_and_why),
		test(reload_says_what_changed_or_what_is_wrong),
		test(watch_prints_a_line_for_each_event),
		test(version_is_both_sides),
		test(save_writes_the_file_and_keeps_its_comments),
		test(save_keeps_what_was_a_runtime_change),
		test(save_does_not_reload_away_other_runtime_changes),
		test(save_does_not_bring_other_edits_of_the_file_into_force),
		test(save_changes_nothing_where_the_file_is_in_the_way),
		test(a_file_that_cannot_be_written_leaves_the_queue_added_but_not_saved),
		test(remove_takes_from_the_file_what_the_file_has),
		test(check_names_every_error),
		test(wrong_usage_exits_1_and_suggests),
		test(help_is_everywhere),
		test(output_that_cannot_be_written_is_an_error),
	};

	if (find_program() < 0) {
		fprintf(stderr, "%s: %s; XDPCTL can name another\n", program, strerror(errno));
		return 1;
	}
	return cmocka_run_group_tests_name("xdpctl", tests, NULL, NULL);
}
