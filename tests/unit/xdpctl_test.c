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
	assert_has(out, "restarts: 3 (consumers went on)\n");
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
	assert_has(out,
		   "suricata  eth0        3  -      -        -           0           0        0  "
		   "992  815  2023-11-14 22:13:20\n");
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

/* ---- shared delivery ---- */

/* A queue that three share, and one that a fourth has alone. */
static void lay_out_shared_delivery(void)
{
	struct xdpd_queue_record *queue = add_record("eth0", 0, XDPD_QUEUE_ATTACHED);

	queue->delivery = XDPD_SHARED;
	queue->bind = XDPD_BIND_ZERO_COPY;
	queue->consumers = 3;
	queue->classified = 1;
	queue->dropped_by_rule = 17;
	queue->receive_packets = 123456789012;
	strcpy(queue->consumer, "suricata-1");
	queue = add_record("eth0", 1, XDPD_QUEUE_ATTACHED);
	queue->consumers = 1;
	strcpy(queue->consumer, "alone");

	fake->consumers[fake->n_consumers++] =
		(struct xdpd_consumer_record){.name = "suricata-1",
					      .device = "eth0",
					      .uid = 992,
					      .pid = 28151,
					      .attached = 1700000000,
					      .receive_packets = 61728394506,
					      .dropped = 1249,
					      .group = "ids",
					      .mode = XDPD_HOLD,
					      .quota = 1024,
					      .held = 12,
					      .dropped_ring_full = 1200,
					      .dropped_quota = 49,
					      .returned = 61728394494,
					      .invalid_returns = 3,
					      .transmit_invalid = 4,
					      .wakeups = 5000,
					      .doorbells = 6000};
	fake->consumers[fake->n_consumers] = fake->consumers[0];
	strcpy(fake->consumers[fake->n_consumers++].name, "suricata-2");
	fake->consumers[fake->n_consumers++] =
		(struct xdpd_consumer_record){.name = "capture",
					      .device = "eth0",
					      .uid = 1000,
					      .pid = 28160,
					      .attached = 1700000000,
					      .receive_packets = 123456789012,
					      .dropped = 77,
					      .group = "capture",
					      .mode = XDPD_TAP,
					      .overrun = 77};
	fake->consumers[fake->n_consumers++] = (struct xdpd_consumer_record){.name = "alone",
									     .device = "eth0",
									     .queue = 1,
									     .uid = 1000,
									     .pid = 28170,
									     .attached = 1700000000,
									     .transmit = 1};
	fake->groups[fake->n_groups++] = (struct xdpd_group_record){.name = "ids",
								    .device = "eth0",
								    .mode = XDPD_HOLD,
								    .members = 2,
								    .configured = 1,
								    .quota = 1024,
								    .held = 24,
								    .receive_packets = 123456789012,
								    .receive_bytes = 7901234496768,
								    .dropped_ring_full = 2400,
								    .dropped_quota = 98};
	fake->groups[fake->n_groups++] = (struct xdpd_group_record){
		.name = "capture", .device = "eth0", .mode = XDPD_TAP, .members = 1, .overrun = 77};
	fake->rules[fake->n_rules++] = (struct xdpd_rule_record){.device = "eth0",
								 .action = XDPD_ACTION_PASS,
								 .packets = 4711,
								 .bytes = 301504,
								 .match = "proto: tcp, port: 22"};
	fake->rules[fake->n_rules++] =
		(struct xdpd_rule_record){.device = "eth0",
					  .rule = 1,
					  .action = XDPD_ACTION_REDIRECT,
					  .packets = 99,
					  .match = "proto: udp, dport: 53, dst: 192.0.2.0/24",
					  .groups = "ids, dns"};
	fake->rules[fake->n_rules++] = (struct xdpd_rule_record){.device = "eth0",
								 .rule = UINT32_MAX,
								 .action = XDPD_ACTION_REDIRECT,
								 .packets = 123456789012,
								 .groups = "ids"};
	fake->workers[fake->n_workers++] = (struct xdpd_worker_record){.device = "eth0",
								       .tid = 28099,
								       .cpu = 2,
								       .spin_usecs = 50,
								       .scheduler = 1,
								       .priority = 10,
								       .frames = {3900, 8, 164, 24},
								       .bursts = 4000000000,
								       .packets = 123456789012,
								       .busy_ns = 750000000,
								       .idle_ns = 250000000,
								       .sleeps = 81000,
								       .unclaimed = 5,
								       .violations = 1};
	fake->workers[fake->n_workers++] = (struct xdpd_worker_record){
		.device = "eth0", .queue = 2, .cpu = UINT32_MAX, .frames = {0, 0, 4096, 0}};
}

static void assert_readable(size_t columns)
{
	for (const char *line = out; *line; line += strcspn(line, "\n") + 1)
		if (strcspn(line, "\n") > columns)
			fail_msg("a line has more than %zu columns: %s", columns, out);
}

static void a_queue_that_many_share_says_how_many_they_are(void **state)
{
	(void)state;
	lay_out_shared_delivery();
	start_daemon();
	assert_int_equal(xdpctl("status"), 0);
	assert_has(out, "zero-copy  3 consumers  123456789012");
	assert_has(out, "  alone  ");
	assert_has_not(out, "suricata-1");
	assert_readable(120);
	assert_int_equal(xdpctl("show", "queues"), 0);
	assert_has(out, "    consumer                      3 consumers\n");
	assert_has(out, "    classified                    yes\n");
	assert_has(out, "    dropped by rules              17\n");
}

static void consumers_are_a_table_and_by_name_all_details(void **state)
{
	(void)state;
	lay_out_shared_delivery();
	start_daemon();
	assert_int_equal(xdpctl("show", "consumers"), 0);
	assert_has(out,
		   "suricata-1  eth0        0  ids      hold  12/1024   61728394506           0  "
		   "   1249   992  28151  2023-11-14 22:13:20\n");
	assert_has(out, "capture     eth0        0  capture  tap         -  ");
	assert_has(out, "alone       eth0        1  -        -           -  ");
	assert_readable(120);
	assert_int_equal(xdpctl("show", "consumers", "suricata-1"), 0);
	assert_has(out, "suricata-1 on eth0 queue 0\n    group                         ids\n");
	assert_has(out, "    dropped by cause              ring full 1200, quota 49, overrun 0\n");
	assert_has(out, "    held                          12 of 1024 frames\n");
	assert_has(out, "    invalid returns               3\n");
	assert_has(out, "    transmit invalid descriptors  4\n");
	assert_has(out, "    wake-ups                      5000\n");
	assert_has(out, "    doorbells                     6000\n");
	assert_has_not(out, "suricata-2");
	assert_int_equal(xdpctl("show", "consumers", "alone"), 0);
	assert_has(out, "    may transmit                  yes\n");
	assert_has_not(out, "group");
	assert_has_not(out, "quota");
	assert_has_not(out, "doorbells");
	assert_int_equal(xdpctl("show", "consumers", "nobody"), 2);
	assert_has(err, "none of the consumers goes by the name of `nobody`");
	assert_int_equal(xdpctl("show", "rules", "alone"), 1);
	assert_has(err, "takes no name");
}

static void groups_rules_and_workers_are_tables(void **state)
{
	(void)state;
	lay_out_shared_delivery();
	start_daemon();
	assert_int_equal(xdpctl("show", "groups"), 0);
	assert_has(out,
		   "ids      eth0        0  hold        2    24   1024  123456789012           0  "
		   "     2400          98        0\n");
	assert_readable(120);
	assert_int_equal(xdpctl("show", "groups", "ids"), 0);
	assert_has(out, "ids on eth0 queue 0\n");
	assert_has(out, "    from         file\n");
	assert_has(out, "    held         24 frames, quota 1024 each\n");
	assert_int_equal(xdpctl("show", "rules"), 0);
	assert_has(out, "eth0    0                4711  301504  pass                  proto: tcp, "
			"port: 22\n");
	assert_has(out, "redirect to ids, dns  proto: udp, dport: 53, dst: 192.0.2.0/24\n");
	assert_has(out, "eth0    default  123456789012       0  redirect to ids       all else\n");
	assert_readable(120);
	assert_int_equal(xdpctl("show", "workers"), 0);
	assert_has(out,
		   "eth0        0  28099    2   75%  123456789012       30.9   81000    3900   8   "
		   "164    24          5        1\n");
	assert_has(out, "eth0        2      -  any     -             0          -  ");
	assert_readable(120);
}

static void json_of_shared_delivery_has_all_members(void **state)
{
	json_t *json, *record;

	(void)state;
	lay_out_shared_delivery();
	start_daemon();
	assert_int_equal(xdpctl("-j", "show", "workers"), 0);
	json = parse_output();
	record = json_array_get(json_object_get(json, "workers"), 0);
	assert_string_equal(json_string_value(json_object_get(record, "scheduler")), "fifo");
	assert_int_equal(json_integer_value(json_object_get(record, "busy_ns")), 750000000);
	record = json_object_get(record, "frames");
	assert_int_equal(json_integer_value(json_object_get(record, "lent")), 24);
	record = json_array_get(json_object_get(json, "workers"), 1);
	assert_true(json_is_null(json_object_get(record, "cpu")));
	assert_true(json_is_null(json_object_get(record, "tid")));
	json_decref(json);

	assert_int_equal(xdpctl("-j", "show", "rules"), 0);
	json = parse_output();
	record = json_array_get(json_object_get(json, "rules"), 2);
	assert_true(json_is_null(json_object_get(record, "rule")));
	assert_true(json_is_null(json_object_get(record, "match")));
	assert_string_equal(json_string_value(json_object_get(record, "action")), "redirect");
	json_decref(json);

	assert_int_equal(xdpctl("-j", "show", "consumers", "alone"), 0);
	json = parse_output();
	assert_int_equal(json_array_size(json_object_get(json, "consumers")), 1);
	record = json_array_get(json_object_get(json, "consumers"), 0);
	assert_true(json_is_null(json_object_get(record, "group")));
	assert_true(json_is_null(json_object_get(record, "quota")));
	json_decref(json);
}

static void what_an_older_daemon_does_not_tell_is_absent(void **state)
{
	json_t *json, *record;

	(void)state;
	lay_out_shared_delivery();
	fake->misbehaviour = OLDER_RECORDS;
	start_daemon();
	assert_int_equal(xdpctl("-j"), 0);
	json = parse_output();
	record = json_array_get(json_object_get(json, "queues"), 0);
	assert_true(json_is_null(json_object_get(record, "consumers")));
	assert_true(json_is_null(json_object_get(record, "classified")));
	record = json_array_get(json_object_get(json, "consumers"), 0);
	assert_true(json_is_null(json_object_get(record, "group")));
	assert_true(json_is_null(json_object_get(record, "doorbells")));
	assert_int_equal(json_integer_value(json_object_get(record, "dropped")), 1249);
	json_decref(json);
	assert_int_equal(xdpctl("status"), 0);
	assert_has(out, "suricata-1");
	assert_int_equal(xdpctl("show", "consumers"), 0);
	assert_has(out, "suricata-1  eth0        0  -      -        -  ");
}

/* ---- trace ---- */

static struct xdpd_trace_record *add_trace(uint32_t queue, uint32_t rule, uint32_t action,
					   const char *group, const char *consumer,
					   const char *text)
{
	struct xdpd_trace_record *record = &fake->traces[fake->n_traces++];

	*record = (struct xdpd_trace_record){
		.device = "eth0", .queue = queue, .action = action, .rule = rule, .hash = 7};
	strcpy(record->group, group);
	strcpy(record->consumer, consumer);
	strcpy(record->text, text);
	return record;
}

static void trace_says_rule_groups_and_members(void **state)
{
	json_t *json, *record;

	(void)state;
	lay_out_shared_delivery();
	add_trace(0, 1, XDPD_ACTION_REDIRECT, "ids", "suricata-1", "");
	add_trace(0, 1, XDPD_ACTION_REDIRECT, "capture", "", "no consumer on this queue");
	start_daemon();
	assert_int_equal(
		xdpctl("trace", "eth0", "udp 10.0.0.1:5000 > 192.0.2.1:53", "--queue", "0"), 0);
	assert_string_equal(err, "");
	assert_string_equal(out, "eth0 queue 0: rule 1 (proto: udp, dport: 53, dst: 192.0.2.0/24): "
				 "redirect\n"
				 "    group ids      consumer suricata-1\n"
				 "    group capture  no consumer on this queue\n");
	assert_string_equal(fake->trace_device, "eth0");
	assert_int_equal(fake->trace_queue, 0);
	assert_int_equal(xdpctl("-j", "trace", "eth0", "udp 10.0.0.1:5000 > 192.0.2.1:53"), 0);
	assert_int_equal(fake->trace_queue, UINT32_MAX);
	json = parse_output();
	assert_int_equal(json_integer_value(json_object_get(json, "length")), 60);
	record = json_array_get(json_object_get(json, "trace"), 1);
	assert_string_equal(json_string_value(json_object_get(record, "group")), "capture");
	assert_true(json_is_null(json_object_get(record, "consumer")));
	assert_int_equal(json_integer_value(json_object_get(record, "hash")), 7);
	assert_string_equal(json_string_value(json_object_get(record, "match")),
			    "proto: udp, dport: 53, dst: 192.0.2.0/24");
	json_decref(json);
}

static void trace_shows_queues_that_answer_alike_together(void **state)
{
	(void)state;
	lay_out_shared_delivery();
	add_trace(0, 0, XDPD_ACTION_PASS, "", "", "");
	add_trace(1, 0, XDPD_ACTION_PASS, "", "", "")->hash = 8;
	add_trace(2, 0, XDPD_ACTION_PASS, "", "", "");
	add_trace(4, 0, XDPD_ACTION_PASS, "", "", "");
	add_trace(5, UINT32_MAX, XDPD_ACTION_PASS, "", "", "no consumer is attached to the queue");
	add_trace(6, UINT32_MAX, XDPD_ACTION_REDIRECT, "", "alone", "");
	start_daemon();
	assert_int_equal(xdpctl("trace", "eth0", "tcp 10.0.0.1:5000 > 192.0.2.1:22"), 0);
	assert_string_equal(out, "eth0 queues 0-2: rule 0 (proto: tcp, port: 22): pass\n"
				 "eth0 queue 4: rule 0 (proto: tcp, port: 22): pass\n"
				 "eth0 queue 5: default: pass\n"
				 "    no consumer is attached to the queue\n"
				 "eth0 queue 6: default: redirect\n"
				 "    consumer alone\n");
}

static void a_refused_trace_is_on_stderr(void **state)
{
	(void)state;
	fake->refuse = XDPD_TRACE;
	fake->code = ENOENT;
	fake->reason = "eth7: no such interface is configured";
	start_daemon();
	assert_int_equal(xdpctl("trace", "eth7", "arp 10.0.0.1 > 10.0.0.2"), 2);
	assert_string_equal(err, "xdpctl: eth7: no such interface is configured\n");
}

/* The frame that a sentence makes. */
static const uint8_t *frame_of(const char *sentence)
{
	if (xdpctl("trace", "eth0", sentence) != 0)
		fail_msg("`%s`: %s", sentence, err);
	assert_true(fake->frame_length >= 14);
	return fake->frame;
}

static unsigned at16(size_t offset)
{
	return (unsigned)fake->frame[offset] << 8 | fake->frame[offset + 1];
}

/* The Internet checksum's sum over what has its checksum in it: 0xffff if that is right. */
static unsigned sum(unsigned sum, size_t from, size_t to)
{
	for (size_t i = from; i < to; i += 2)
		sum += (unsigned)fake->frame[i] << 8 |
		       (i + 1 < to ? (unsigned)fake->frame[i + 1] : 0);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void sentences_become_frames_of_ipv4(void **state)
{
	const uint8_t *frame;

	(void)state;
	start_daemon();
	frame = frame_of("udp 10.0.0.1:53 > 10.0.0.2:4242");
	assert_int_equal(fake->frame_length, 60);
	assert_int_equal(at16(12), 0x0800);
	assert_int_equal(frame[14], 0x45);
	assert_int_equal(at16(16), 46);
	assert_int_equal(at16(20), 0);
	assert_int_equal(frame[23], 17);
	assert_int_equal(sum(0, 14, 34), 0xffff);
	assert_memory_equal(frame + 26, "\x0a\0\0\x01\x0a\0\0\x02", 8);
	assert_int_equal(at16(34), 53);
	assert_int_equal(at16(36), 4242);
	assert_int_equal(at16(38), 26);
	assert_int_equal(sum(17 + 26, 26, 60), 0xffff);

	frame = frame_of("  length 1501 tcp 10.0.0.1:53>10.0.0.2:0xffff ");
	assert_int_equal(fake->frame_length, 1501);
	assert_int_equal(at16(16), 1487);
	assert_int_equal(at16(36), 0xffff);
	assert_int_equal(frame[46], 0x50);
	assert_int_equal(sum(0, 14, 34), 0xffff);
	assert_int_equal(sum(6 + 1467, 26, 1501), 0xffff);

	frame = frame_of("icmp 10.0.0.1 > 10.0.0.2");
	assert_int_equal(frame[23], 1);
	assert_int_equal(frame[34], 8);
	assert_int_equal(sum(0, 34, 60), 0xffff);

	frame = frame_of("proto 47 10.0.0.1 > 10.0.0.2");
	assert_int_equal(frame[23], 47);
	assert_int_equal(sum(0, 34, 60), 0);

	frame = frame_of("udplite 10.0.0.1:1 > 10.0.0.2:2");
	assert_int_equal(frame[23], 136);
	assert_int_equal(at16(38), 0);
	assert_int_equal(sum(136 + 26, 26, 60), 0xffff);

	frame = frame_of("dccp 10.0.0.1:1 > 10.0.0.2:2");
	assert_int_equal(frame[23], 33);
	assert_int_equal(sum(33 + 26, 26, 60), 0xffff);

	/* CRC32c by another program */
	frame = frame_of("sctp 10.0.0.1:1 > 10.0.0.2:2 length 46");
	assert_int_equal(frame[23], 132);
	assert_memory_equal(frame + 42, "\xfd\x98\x80\x51", 4);

	frame = frame_of("arp 10.0.0.1 > 10.0.0.2");
	assert_memory_equal(frame, "\xff\xff\xff\xff\xff\xff", 6);
	assert_int_equal(at16(12), 0x0806);
	assert_memory_equal(frame + 14, "\0\x01\x08\0\x06\x04\0\x01", 8);
	assert_memory_equal(frame + 28, "\x0a\0\0\x01\0\0\0\0\0\0\x0a\0\0\x02", 14);

	(void)frame_of("ethertype 0x88cc");
	assert_int_equal(at16(12), 0x88cc);
	assert_int_equal(fake->frame_length, 60);
	(void)frame_of("ethertype 0x88cc length 14");
	assert_int_equal(fake->frame_length, 14);
}

static void sentences_become_frames_of_ipv6(void **state)
{
	const uint8_t *frame;

	(void)state;
	start_daemon();
	frame = frame_of("tcp [2001:db8::1]:443 > [2001:db8::2]:5000");
	assert_int_equal(fake->frame_length, 74);
	assert_int_equal(at16(12), 0x86dd);
	assert_int_equal(at16(14), 0x6000);
	assert_int_equal(at16(18), 20);
	assert_int_equal(frame[20], 6);
	assert_memory_equal(frame + 22, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
	assert_int_equal(at16(54), 443);
	assert_int_equal(at16(56), 5000);
	assert_int_equal(sum(6 + 20, 22, 74), 0xffff);

	frame = frame_of("icmp 2001:db8::1 > [2001:db8::2]");
	assert_int_equal(frame[20], 58);
	assert_int_equal(frame[54], 128);
	assert_int_equal(sum(58 + 8, 22, 62), 0xffff);

	frame = frame_of("udp [::1]:1 > [::2]:2 fragment length 80");
	assert_int_equal(frame[20], 44);
	assert_int_equal(at16(18), 8 + 16); /* of the 18 bytes left a multiple of 8 */
	assert_int_equal(frame[54], 17);
	assert_int_equal(at16(56), 1);
	assert_int_equal(at16(62), 1);

	frame = frame_of("udp ::1 > ::2 fragment");
	assert_int_equal(frame[54], 17);
	assert_int_equal(at16(56), 185 << 3);
}

static void tags_and_fragments_go_before_or_behind(void **state)
{
	const uint8_t *frame;

	(void)state;
	start_daemon();
	frame = frame_of("vlan 7 udp 10.0.0.1:53 > 10.0.0.2:4242");
	assert_int_equal(at16(12), 0x8100);
	assert_int_equal(at16(14), 7);
	assert_int_equal(at16(16), 0x0800);
	assert_int_equal(frame[18], 0x45);
	assert_int_equal(sum(0, 18, 38), 0xffff);

	frame = frame_of("vlan 100 arp 10.0.0.1 > 10.0.0.2 vlan 7");
	assert_int_equal(at16(12), 0x88a8);
	assert_int_equal(at16(14), 100);
	assert_int_equal(at16(16), 0x8100);
	assert_int_equal(at16(18), 7);
	assert_int_equal(at16(20), 0x0806);
	assert_int_equal(frame[22 + 7], 1);

	(void)frame_of("fragment udp 10.0.0.1:53 > 10.0.0.2:4242");
	assert_int_equal(at16(20), 0x2000);
	assert_int_equal((at16(16) - 20) % 8, 0);
	assert_int_equal(at16(34), 53);
	(void)frame_of("udp 10.0.0.1 > 10.0.0.2 fragment");
	assert_int_equal(at16(20), 185);
	assert_int_equal(sum(0, 14, 34), 0xffff);
	assert_int_equal(at16(34), 0);
}

static void a_sentence_that_is_none_says_what_is_wrong_and_how_it_goes(void **state)
{
	static const char *const cases[][2] = {
		{"", "the frame has no packet"},
		{"vlan 7", "the frame has no packet"},
		{"upd 10.0.0.1:53 > 10.0.0.2:4242", "`upd`: expected a packet (udp, tcp,"},
		{"udp", "comes from is missing"},
		{"udp 10.0.0.1:53", "expected `>`"},
		{"udp 10.0.0.1:53 10.0.0.2:53", "after the first address, not `10.0.0.2:53`"},
		{"udp 10.0.0.1:53 >", "goes to is missing"},
		{"udp 10.0.0.1 > 10.0.0.2", "the ports are missing"},
		{"udp 10.0.0.1:53 > 10.0.0.2", "only one of the addresses has a port"},
		{"udp 10.0.0:53 > 10.0.0.2:1", "`10.0.0` is not an address"},
		{"udp 10.0.0.1:x > 10.0.0.2:1", "`x` is not a port: expected a number up to 65535"},
		{"udp 10.0.0.1:65536 > 10.0.0.2:1", "`65536` is not a port"},
		{"udp 10.0.0.1: > 10.0.0.2:1", "`` is not a port"},
		{"udp 10.0.0.1:1 > [::1]:1", "one of IPv4 and one of IPv6"},
		{"udp [::1:1 > [::1]:1", "expected [2001:db8::1]:443"},
		{"udp [::1]1 > [::1]:1", "expected [2001:db8::1]:443"},
		{"icmp 10.0.0.1:1 > 10.0.0.2:1", "there is a port, and such a packet has none"},
		{"arp ::1 > ::2", "ARP is of IPv4 alone"},
		{"arp 10.0.0.1 > 10.0.0.2 fragment", "only IP has fragments"},
		{"proto 256 10.0.0.1 > 10.0.0.2", "`256` is not an IP protocol"},
		{"proto 10.0.0.1 > 10.0.0.2", "`10.0.0.1` is not an IP protocol"},
		{"ethertype 88cc", "`88cc` is not an ethertype: expected a number from 0x600"},
		{"ethertype 100", "`100` is not an ethertype"},
		{"ethertype 0x88cc arp 10.0.0.1 > 10.0.0.2", "`arp` begins a second packet"},
		{"vlan 4095 ethertype 0x88cc", "`4095` is not a VLAN"},
		{"vlan 1 vlan 2 vlan 3 ethertype 0x88cc", "2 VLAN tags at most"},
		{"udp 10.0.0.1:1 > 10.0.0.2:1 length", "a frame's length is missing"},
		{"udp 10.0.0.1:1 > 10.0.0.2:1 length 41",
		 "`length 41` is too short: its headers have 42"},
		{"udp 10.0.0.1:1 > 10.0.0.2:1 length 16345", "`16345` is not a frame's length"},
		{"udp "
		 "1111111111111111111111111111111111111111111111111111111111111111111111111111111",
		 "is not an address"},
	};

	(void)state;
	start_daemon();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(xdpctl("trace", "eth0", cases[i][0]), 1);
		assert_has(err, cases[i][1]);
		assert_has(err, "; an example: `udp 10.0.0.1:53 > 10.0.0.2:4242`\n");
		assert_string_equal(out, "");
	}
	assert_int_equal(xdpctl("trace", "eth0", "ethertype 0x88cc", "--queue", "0-3"), 1);
	assert_has(err, "`0-3` is not one queue");
	assert_int_equal(xdpctl("trace", "eth0"), 1);
	assert_int_equal(xdpctl("status", "--queue", "3"), 1);
	assert_has(err, "takes no --queue");
	assert_string_equal(fake->asked, "");
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

static void the_note_of_an_interface_stands_below_it(void **state)
{
	(void)state;
	(void)add_record("eth0", 0, XDPD_QUEUE_READY);
	(void)snprintf(fake->interfaces[0].note, sizeof(fake->interfaces[0].note),
		       "its MTU is large");
	start_daemon();
	assert_int_equal(xdpctl("status"), 0);
	assert_has(out, "\n    its MTU is large\n");
	assert_int_equal(xdpctl("show", "interfaces"), 0);
	assert_has(out, "its MTU is large\n");
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
	assert_has(out, "show interfaces|queues|consumers|groups|rules|workers|config [NAME]\n");
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
		test(a_queue_that_many_share_says_how_many_they_are),
		test(consumers_are_a_table_and_by_name_all_details),
		test(groups_rules_and_workers_are_tables),
		test(json_of_shared_delivery_has_all_members),
		test(what_an_older_daemon_does_not_tell_is_absent),
		test(trace_says_rule_groups_and_members),
		test(trace_shows_queues_that_answer_alike_together),
		test(a_refused_trace_is_on_stderr),
		test(sentences_become_frames_of_ipv4),
		test(sentences_become_frames_of_ipv6),
		test(tags_and_fragments_go_before_or_behind),
		test(a_sentence_that_is_none_says_what_is_wrong_and_how_it_goes),
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
		test(the_note_of_an_interface_stands_below_it),
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
