/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "daemon/metrics.h"
#include "daemon/page.h"

#define MANY 1024

/* Two interfaces: one at work, one that is not there. */
static struct xdpd_interface_record interfaces[] = {
	{
		.device = "eth0",
		.driver = "ixgbe",
		.ifindex = 2,
		.up = 1,
		.mtu = 1500,
		.channels = 4,
		.wanted_mode = XDPD_MODE_AUTO,
		.mode = XDPD_MODE_NATIVE,
		.queues = 2,
		.queues_ready = 2,
	},
	{
		.device = "eth1",
		.wanted_mode = XDPD_MODE_NATIVE,
		.queues = 1,
		.reason = "eth1: there is no such interface",
	},
};

static struct xdpd_queue_record queues[] = {
	{
		.device = "eth0",
		.queue = 0,
		.state = XDPD_QUEUE_ATTACHED,
		.delivery = XDPD_EXCLUSIVE,
		.wanted_bind = XDPD_BIND_AUTO,
		.bind = XDPD_BIND_ZERO_COPY,
		.frames = 4096,
		.frame_size = 2048,
		.rx = {2048, 7},
		.tx = {1024, 11},
		.fill = {2048, 2000},
		.completion = {1024, 13},
		.receive_packets = 18446744073709551615u,
		.receive_bytes = 6400,
		.transmit_packets = 5,
		.transmit_bytes = 320,
		.receive_dropped = 1,
		.receive_ring_full = 2,
		.fill_ring_empty = 3,
		.receive_invalid_descriptors = 4,
		.transmit_invalid_descriptors = 6,
		.transmit_ring_empty = 8,
		.consumer = "suricata",
	},
	{
		.device = "eth0",
		.queue = 1,
		.state = XDPD_QUEUE_READY,
		.delivery = XDPD_EXCLUSIVE,
		.wanted_bind = XDPD_BIND_AUTO,
		.frames = 4096,
		.frame_size = 4096,
		/* more than there are frames: no honest consumer, or read while they moved */
		.rx = {2048, 2048},
		.fill = {2048, 2048},
		.completion = {2048, 1000},
	},
	{
		.device = "eth0",
		.queue = 2,
		.state = XDPD_QUEUE_ATTACHED,
		.delivery = XDPD_SHARED,
		.wanted_bind = XDPD_BIND_AUTO,
		.bind = XDPD_BIND_ZERO_COPY,
		.frames = 4096,
		.frame_size = 2048,
		.rx = {2048, 100},
		.fill = {4096, 1900},
		.consumer = "ids",
		.consumers = 4,
		.classified = 1,
	},
	{
		.device = "eth1",
		.queue = 0,
		.state = XDPD_QUEUE_WAITING,
		.delivery = XDPD_EXCLUSIVE,
		.wanted_bind = XDPD_BIND_COPY,
		.frames = 4096,
		.frame_size = 4096,
		.reason = "eth1: there is no such interface",
	},
};

static struct xdpd_consumer_record consumers[] = {
	{
		.name = "suricata",
		.device = "eth0",
		.queue = 0,
		.uid = 1000,
		.pid = 424242,
		.attached = 1700000100,
		.receive_packets = 100,
		.receive_bytes = 6400,
		.dropped = 5,
	},
	/* two that go by one name, and another between them */
	{
		.name = "ids",
		.device = "eth0",
		.queue = 2,
		.pid = 11,
		.attached = 1700000200,
		.group = "ids",
		.mode = XDPD_HOLD,
		.quota = 1024,
		.held = 100,
	},
	{
		.name = "dump",
		.device = "eth0",
		.queue = 2,
		.pid = 12,
		.attached = 1700000250,
		.group = "dump",
		.mode = XDPD_TAP,
		.overrun = 55,
	},
	{
		.name = "ids",
		.device = "eth0",
		.queue = 2,
		.pid = 13,
		.attached = 1700000300,
		.group = "ids",
		.mode = XDPD_HOLD,
		.quota = 1024,
		.held = 23,
	},
	{
		.name = "ids",
		.device = "eth0",
		.queue = 2,
		.pid = 14,
		.attached = 1700000300,
		.group = "trial",
		.mode = XDPD_HOLD,
		.quota = 64,
		.held = 7,
	},
};

static struct xdpd_group_record groups[] = {
	{
		.name = "ids",
		.device = "eth0",
		.queue = 2,
		.mode = XDPD_HOLD,
		.members = 2,
		.configured = 1,
		.quota = 1024,
		.held = 123,
		.receive_packets = 5000,
		.receive_bytes = 320000,
		.dropped_ring_full = 31,
		.dropped_quota = 32,
		.transmit_packets = 41,
		.transmit_bytes = 2624,
	},
	{
		.name = "dump",
		.device = "eth0",
		.queue = 2,
		.mode = XDPD_TAP,
		.members = 1,
		.overrun = 55,
	},
};

static struct xdpd_rule_record rules[] = {
	{
		.device = "eth0",
		.rule = 0,
		.action = XDPD_ACTION_PASS,
		.packets = 61,
		.bytes = 6161,
		.match = "proto: tcp, port: 22",
	},
	{
		.device = "eth0",
		.rule = 1,
		.action = XDPD_ACTION_REDIRECT,
		.packets = 62,
		.match = "proto: udp, dport: 53",
		.groups = "ids, dns",
	},
	{
		.device = "eth0",
		.rule = UINT32_MAX,
		.action = XDPD_ACTION_DROP,
		.packets = 63,
	},
};

static struct xdpd_worker_record workers[] = {
	{
		.device = "eth0",
		.queue = 2,
		.tid = 4321,
		.cpu = UINT32_MAX,
		.spin_usecs = 50,
		.frames = {3000, 16, 957, 123},
		.bursts = 71,
		.packets = 72,
		.busy_ns = 1500000000,
		.idle_ns = 1,
		.sleeps = 73,
		.unclaimed = 74,
		.violations = 3,
	},
	{.device = "eth0", .queue = 5, .cpu = 7, .scheduler = 1, .priority = 10},
};

static struct verdict_record verdicts[] = {
	{
		.device = "eth0",
		.queue = 0,
		.counters = {[XDPD_VERDICT_REDIRECT] = {100, 6400},
			     [XDPD_VERDICT_PASS] = {20, 1300},
			     [XDPD_VERDICT_PASS_OVERSIZE] = {1, 9000}},
	},
	{.device = "eth0", .queue = 3},
};

static struct change_record changes[] = {
	{.device = "eth0", .counts = {[CHANGE_GONE] = 2, [CHANGE_PROGRAM_REPLACED] = 1}},
	{.device = "eth1"},
};

static const struct status example = {
	.daemon = {.release = "0.1.0",
		   .config = "/etc/xdpd/xdpd.yaml",
		   .started = 1700000000,
		   .restarts = 2,
		   .last_reload = 1700000050,
		   .pid = 4711,
		   .last_reload_ok = 1},
	.interfaces = interfaces,
	.n_interfaces = 2,
	.changes = changes,
	.n_changes = 2,
	.queues = queues,
	.n_queues = 4,
	.consumers = consumers,
	.n_consumers = 5,
	.verdicts = verdicts,
	.n_verdicts = 2,
	.groups = groups,
	.n_groups = 2,
	.rules = rules,
	.n_rules = 3,
	.workers = workers,
	.n_workers = 2,
	.violations = {[VIOLATION_RETURN_NOT_HELD] = 3},
	.disconnects = {[DETACH_EJECTED] = 9},
	.requests = {[XDPD_ATTACH - 1] = 12},
	.request_failures = {[XDPD_ATTACH - 1] = 3},
	.sessions = 4,
};

static const struct process_usage usage = {
	.cpu_microseconds = 1250000,
	.resident_bytes = 1 << 20,
	.open_fds = 20,
	.max_fds = 1024,
};

/* The text, terminated, to be freed. */
static char *render(const struct status *status, enum metrics_format format)
{
	struct text text = {};
	char *string;

	assert_int_equal(metrics_render(&text, status, &usage, format), 0);
	string = strndup(text.data, text.length);
	assert_non_null(string);
	assert_int_equal(strlen(string), text.length);
	text_free(&text);
	return string;
}

static bool has_line(const char *text, const char *line)
{
	size_t length = strlen(line);

	for (const char *at = text; (at = strstr(at, line)); at += length) {
		if ((at == text || at[-1] == '\n') && at[length] == '\n')
			return true;
	}
	return false;
}

static void assert_line(const char *text, const char *line)
{
	if (!has_line(text, line))
		fail_msg("no line: %s", line);
}

static void assert_lines(const struct status *status, const char *const *lines, size_t n)
{
	char *text = render(status, METRICS_TEXT);

	for (size_t i = 0; i < n; i++)
		assert_line(text, lines[i]);
	free(text);
}

#define ASSERT_LINES(status, ...)                                \
	assert_lines(status, (const char *const[]){__VA_ARGS__}, \
		     sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void what_the_daemon_is_and_did_is_there(void **state)
{
	(void)state;
	ASSERT_LINES(&example, "xdpd_build_info{version=\"0.1.0\"} 1",
		     "xdpd_start_time_seconds 1700000000", "xdpd_restarts_total 2",
		     "xdpd_config_last_reload_successful 1",
		     "xdpd_config_last_reload_success_timestamp_seconds 1700000050",
		     "xdpd_consumers 5", "xdpd_sessions 4",
		     "xdpd_consumer_disconnects_total{reason=\"ejected\"} 9",
		     "xdpd_consumer_disconnects_total{reason=\"left\"} 0",
		     "xdpd_control_requests_total{command=\"attach\"} 12",
		     "xdpd_control_request_failures_total{command=\"attach\"} 3",
		     "xdpd_control_requests_total{command=\"reload\"} 0",
		     "process_cpu_seconds_total 1.250000", "process_open_fds 20");
}

static void an_interface_says_how_it_is_used_and_an_absent_one_is_there_too(void **state)
{
	(void)state;
	ASSERT_LINES(&example,
		     "xdpd_interface_info{device=\"eth0\",driver=\"ixgbe\",mode=\"native\","
		     "wanted_mode=\"auto\"} 1",
		     "xdpd_interface_up{device=\"eth0\"} 1", "xdpd_interface_up{device=\"eth1\"} 0",
		     "xdpd_interface_present{device=\"eth1\"} 0",
		     "xdpd_interface_as_wanted{device=\"eth0\"} 1",
		     "xdpd_interface_as_wanted{device=\"eth1\"} 0",
		     "xdpd_interface_changes_total{device=\"eth0\",kind=\"gone\"} 2",
		     "xdpd_interface_changes_total{device=\"eth0\",kind=\"program_replaced\"} 1",
		     "xdpd_interface_changes_total{device=\"eth1\",kind=\"link_down\"} 0",
		     "xdpd_interface_receive_queues{device=\"eth0\"} 4");
}

static void a_queue_has_all_its_counters_to_the_last_digit(void **state)
{
#define Q "{device=\"eth0\",queue=\"0\"} "
	(void)state;
	ASSERT_LINES(
		&example,
		"xdpd_queue_info{device=\"eth0\",queue=\"0\",delivery=\"exclusive\","
		"bind=\"zero-copy\",wanted_bind=\"auto\",classified=\"no\"} 1",
		"xdpd_queue_receive_packets_total" Q "18446744073709551615",
		"xdpd_queue_receive_bytes_total" Q "6400",
		"xdpd_queue_transmit_packets_total" Q "5",
		"xdpd_queue_transmit_bytes_total" Q "320", "xdpd_queue_receive_dropped_total" Q "1",
		"xdpd_queue_receive_ring_full_total" Q "2",
		"xdpd_queue_fill_ring_empty_total" Q "3",
		"xdpd_queue_receive_invalid_descriptors_total" Q "4",
		"xdpd_queue_transmit_invalid_descriptors_total" Q "6",
		"xdpd_queue_transmit_ring_empty_total" Q "8", "xdpd_umem_size_bytes" Q "8388608",
		"xdpd_queue_ring_entries{device=\"eth0\",queue=\"0\",ring=\"tx\"} 11",
		"xdpd_queue_ring_entries{device=\"eth0\",queue=\"0\",ring=\"fill\"} 2000",
		"xdpd_queue_ring_capacity_entries{device=\"eth0\",queue=\"0\",ring=\"rx\"} 2048",
		"xdpd_queue_ring_capacity_entries{device=\"eth0\",queue=\"0\",ring=\"completion\"} "
		"1024");
#undef Q
}

static void a_queue_is_in_exactly_one_state(void **state)
{
	char *text = render(&example, METRICS_TEXT);
	size_t ones = 0, all = 0;

	(void)state;
	assert_line(text, "xdpd_queue_state{device=\"eth0\",queue=\"0\",state=\"attached\"} 1");
	assert_line(text, "xdpd_queue_state{device=\"eth0\",queue=\"1\",state=\"ready\"} 1");
	assert_line(text, "xdpd_queue_state{device=\"eth1\",queue=\"0\",state=\"waiting\"} 1");
	for (const char *at = text; (at = strstr(at, "\nxdpd_queue_state{")); at++) {
		all++;
		ones += strchr(at, '}')[2] == '1';
	}
	assert_int_equal(all, 4 * 6);
	assert_int_equal(ones, 4);
	free(text);
}

static void the_frames_of_a_umem_add_up_whatever_the_rings_say(void **state)
{
	char *text = render(&example, METRICS_TEXT);
	uint64_t sums[3] = {};

	(void)state;
	assert_line(text, "xdpd_frames{device=\"eth0\",queue=\"0\",state=\"elsewhere\"} 2065");
	assert_line(text, "xdpd_frames{device=\"eth0\",queue=\"1\",state=\"elsewhere\"} 0");
	for (const char *at = text; (at = strstr(at, "\nxdpd_frames{device=\"eth0\"")); at++) {
		size_t queue = strtoul(strstr(at, "queue=\"") + 7, NULL, 10);

		if (queue < 3)
			sums[queue] += strtoull(strchr(at, '}') + 1, NULL, 10);
	}
	assert_int_equal(sums[0], 4096);
	assert_int_equal(sums[1], 4096);
	assert_int_equal(sums[2], 4096);
	free(text);
}

static void frames_of_a_shared_queue_are_where_its_worker_says_and_nowhere_else(void **state)
{
	char *text = render(&example, METRICS_TEXT);

	(void)state;
	assert_line(text, "xdpd_frames{device=\"eth0\",queue=\"2\",state=\"kernel\"} 3000");
	assert_line(text, "xdpd_frames{device=\"eth0\",queue=\"2\",state=\"transmit\"} 16");
	assert_line(text, "xdpd_frames{device=\"eth0\",queue=\"2\",state=\"free\"} 957");
	assert_line(text, "xdpd_frames{device=\"eth0\",queue=\"2\",state=\"lent\"} 123");
	assert_null(strstr(text, "xdpd_frames{device=\"eth0\",queue=\"2\",state=\"rx\"}"));
	assert_null(strstr(text, "xdpd_frames{device=\"eth0\",queue=\"0\",state=\"lent\"}"));
	free(text);
}

static void verdicts_are_told_by_action_also_on_queues_that_are_not_configured(void **state)
{
	(void)state;
	ASSERT_LINES(&example,
		     "xdpd_xdp_verdicts_total{device=\"eth0\",queue=\"0\",action=\"redirect\"} 100",
		     "xdpd_xdp_verdict_bytes_total{device=\"eth0\",queue=\"0\",action=\"redirect\"}"
		     " 6400",
		     "xdpd_xdp_verdicts_total{device=\"eth0\",queue=\"0\",action=\"pass\"} 20",
		     "xdpd_xdp_verdict_bytes_total{device=\"eth0\",queue=\"0\",action=\"pass_"
		     "oversize\"} 9000",
		     "xdpd_xdp_verdicts_total{device=\"eth0\",queue=\"3\",action=\"pass\"} 0");
}

static void a_consumer_goes_by_its_name_and_never_by_its_pid(void **state)
{
#define C "{device=\"eth0\",queue=\"0\",consumer=\"suricata\"} "
	char *text = render(&example, METRICS_TEXT);

	(void)state;
	assert_line(text, "xdpd_consumer_attached_timestamp_seconds" C "1700000100");
	assert_null(strstr(text, "424242"));
	free(text);
#undef C
}

static void members_that_share_a_name_are_one_series(void **state)
{
#define M(group, name) "{device=\"eth0\",queue=\"2\",group=\"" group "\",consumer=\"" name "\"} "
	char *text = render(&example, METRICS_TEXT);

	(void)state;
	assert_line(text, "xdpd_consumer_held_frames" M("ids", "ids") "123");
	assert_line(text, "xdpd_consumer_quota_frames" M("ids", "ids") "2048");
	assert_line(text, "xdpd_consumer_held_frames" M("trial", "ids") "7");
	assert_line(text, "xdpd_consumer_held_frames" M("dump", "dump") "0");
	assert_line(text, "xdpd_consumer_attached_timestamp_seconds{device=\"eth0\",queue=\"2\","
			  "consumer=\"ids\"} 1700000200");
	/* exclusive consumers hold what they like */
	assert_null(strstr(text, "_held_frames{device=\"eth0\",queue=\"0\""));
	free(text);
#undef M
}

static void a_group_tells_what_it_got_and_what_it_lost_by_cause(void **state)
{
#define G	     "{device=\"eth0\",queue=\"2\",group=\"ids\"} "
#define CAUSE(cause) "{device=\"eth0\",queue=\"2\",group=\"ids\",cause=\"" cause "\"} "
	(void)state;
	ASSERT_LINES(&example,
		     "xdpd_group_info{device=\"eth0\",queue=\"2\",group=\"ids\",mode=\"hold\","
		     "configured=\"yes\"} 1",
		     "xdpd_group_info{device=\"eth0\",queue=\"2\",group=\"dump\",mode=\"tap\","
		     "configured=\"no\"} 1",
		     "xdpd_group_members" G "2", "xdpd_group_held_frames" G "123",
		     "xdpd_group_quota_frames" G "1024",
		     "xdpd_group_receive_packets_total" G "5000",
		     "xdpd_group_receive_bytes_total" G "320000",
		     "xdpd_group_transmit_packets_total" G "41",
		     "xdpd_group_transmit_bytes_total" G "2624",
		     "xdpd_group_dropped_total" CAUSE("ring_full") "31",
		     "xdpd_group_dropped_total" CAUSE("quota") "32",
		     "xdpd_group_dropped_total" CAUSE("overrun") "0",
		     "xdpd_group_dropped_total{device=\"eth0\",queue=\"2\",group=\"dump\",cause="
		     "\"overrun\"} 55");
#undef G
#undef CAUSE
}

static void a_rule_goes_by_its_place_and_its_match_and_the_default_by_its_name(void **state)
{
	(void)state;
	ASSERT_LINES(&example,
		     "xdpd_rule_packets_total{device=\"eth0\",rule=\"0\",action=\"pass\",match="
		     "\"proto: tcp, port: 22\"} 61",
		     "xdpd_rule_bytes_total{device=\"eth0\",rule=\"0\",action=\"pass\",match="
		     "\"proto: tcp, port: 22\"} 6161",
		     "xdpd_rule_info{device=\"eth0\",rule=\"1\",action=\"redirect\",match=\"proto: "
		     "udp, dport: 53\",groups=\"ids, dns\"} 1",
		     "xdpd_rule_packets_total{device=\"eth0\",rule=\"default\",action=\"drop\","
		     "match=\"\"} 63");
}

static void a_worker_tells_its_time_and_who_was_ejected_for_what(void **state)
{
#define W "{device=\"eth0\",queue=\"2\"} "
	char *text = render(&example, METRICS_TEXT);

	(void)state;
	ASSERT_LINES(
		&example,
		"xdpd_worker_info{device=\"eth0\",queue=\"2\",cpu=\"any\",scheduler=\"other\"} "
		"1",
		"xdpd_worker_info{device=\"eth0\",queue=\"5\",cpu=\"7\",scheduler=\"fifo\"} 1",
		"xdpd_worker_running" W "1", "xdpd_worker_running{device=\"eth0\",queue=\"5\"} 0",
		"xdpd_worker_bursts_total" W "71", "xdpd_worker_packets_total" W "72",
		"xdpd_worker_busy_seconds_total" W "1.500000000",
		"xdpd_worker_idle_seconds_total" W "0.000000001", "xdpd_worker_sleeps_total" W "73",
		"xdpd_worker_unclaimed_total" W "74", "xdpd_worker_violations_total" W "3",
		"xdpd_consumer_violations_total{kind=\"return_not_held\"} 3",
		"xdpd_consumer_violations_total{kind=\"tx_options\"} 0",
		"xdpd_queue_info{device=\"eth0\",queue=\"2\",delivery=\"shared\",bind=\"zero-"
		"copy\",wanted_bind=\"auto\",classified=\"yes\"} 1");
	assert_null(strstr(text, "kind=\"none\""));
	free(text);
#undef W
}

static void names_are_escaped_made_utf8_and_read_no_further_than_their_array(void **state)
{
	struct xdpd_interface_record odd = {
		.device = "a\"b\\c\nd\xff\xe2\x82",
		.driver = "exactly thirty-two bytes long!!",
	};
	const struct status status = {.interfaces = &odd, .n_interfaces = 1};

	(void)state;
	odd.driver[31] = '!'; /* no terminator left */
	odd.ifindex = 0x41414141;
	ASSERT_LINES(&status, "xdpd_interface_info{device="
			      "\"a\\\"b\\\\c\\nd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\","
			      "driver=\"exactly thirty-two bytes "
			      "long!!!\",mode=\"none\",wanted_mode=\"none\"} 1");
}

static void numbers_that_have_no_name_read_unknown(void **state)
{
	struct xdpd_interface_record odd = {
		.device = "eth0", .mode = 77, .wanted_mode = UINT32_MAX};
	const struct status status = {.interfaces = &odd, .n_interfaces = 1};

	(void)state;
	ASSERT_LINES(&status, "xdpd_interface_info{device=\"eth0\",driver=\"\",mode=\"unknown\","
			      "wanted_mode=\"unknown\"} 1");
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void no_series_is_there_twice_and_families_are_in_one_piece(void **state)
{
	char *text = render(&example, METRICS_TEXT), *rest = text, *line;
	char *series[1000], *types[200];
	size_t n_series = 0, n_types = 0;

	(void)state;
	while ((line = strsep(&rest, "\n"))) {
		if (strncmp(line, "# TYPE ", 7) == 0) {
			assert_true(n_types < 200);
			types[n_types] = line + 7;
			*strchr(types[n_types++], ' ') = '\0';
		} else if (*line && *line != '#') {
			char *end = strrchr(line, ' ');
			size_t name = strcspn(line, "{ ");

			/* what follows belongs to the family that was opened last */
			assert_int_equal(name, strlen(types[n_types - 1]));
			assert_memory_equal(line, types[n_types - 1], name);
			assert_true(n_series < 1000);
			*end = '\0';
			series[n_series++] = line;
		}
	}
	qsort(series, n_series, sizeof(series[0]), by_text);
	for (size_t i = 1; i < n_series; i++)
		assert_string_not_equal(series[i - 1], series[i]);
	qsort(types, n_types, sizeof(types[0]), by_text);
	for (size_t i = 1; i < n_types; i++)
		assert_string_not_equal(types[i - 1], types[i]);
	free(text);
}

static void openmetrics_names_families_without_total_has_units_and_ends(void **state)
{
	char *text = render(&example, METRICS_OPENMETRICS);
	size_t length = strlen(text);

	(void)state;
	assert_string_equal(text + length - 6, "# EOF\n");
	assert_line(text, "# TYPE xdpd_queue_receive_packets counter");
	assert_line(text, "# UNIT xdpd_queue_receive_packets packets");
	assert_line(text, "# TYPE xdpd_build info");
	assert_line(text, "xdpd_build_info{version=\"0.1.0\"} 1");
	assert_line(text, "# UNIT xdpd_umem_size_bytes bytes");
	for (const char *at = text; (at = strstr(at, "\n# ")); at++) {
		char what[8] = "", name[100] = "", rest[200] = "";

		if (strncmp(at, "\n# EOF", 6) == 0)
			break;
		assert_int_equal(sscanf(at, "\n# %7s %99s %199[^\n]", what, name, rest), 3);
		assert_null(strstr(name, "_total"));
		if (strcmp(what, "UNIT") == 0) { /* the name ends with the unit */
			assert_true(strlen(name) > strlen(rest));
			assert_int_equal(name[strlen(name) - strlen(rest) - 1], '_');
			assert_string_equal(name + strlen(name) - strlen(rest), rest);
		}
	}
	free(text);
}

/* What a command says of the text on its standard input. */
static void assert_command_has_no_complaint(const char *command, const char *text)
{
	char path[] = "/tmp/xdpd-metrics-XXXXXX", line[1024], said[4096] = "";
	int fd = mkstemp(path);
	FILE *pipe;
	int status;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	(void)snprintf(line, sizeof(line), "%s <%s 2>&1", command, path);
	pipe = popen(line, "r");
	assert_non_null(pipe);
	said[fread(said, 1, sizeof(said) - 1, pipe)] = '\0';
	status = pclose(pipe);
	unlink(path);
	assert_string_equal(said, "");
	assert_int_equal(status, 0);
}

static void promtool_finds_nothing(void **state)
{
	char *text;

	(void)state;
	if (system("command -v promtool >/dev/null 2>&1") != 0) {
		print_message("skipped: promtool_finds_nothing: promtool is not installed\n");
		skip();
	}
	text = render(&example, METRICS_TEXT);
	assert_command_has_no_complaint("promtool check metrics", text);
	free(text);
	text = render(&(struct status){}, METRICS_TEXT);
	assert_command_has_no_complaint("promtool check metrics", text);
	free(text);
}

/* Skips where the tests do not run in the source tree's root. */
static void assert_names_only_metrics_that_exist(const char *path)
{
	static char text[1 << 18];
	char *metrics = render(&example, METRICS_TEXT);
	FILE *file = fopen(path, "re");
	size_t n = 0;

	if (!file) {
		print_message("skipped: %s is not there: the tests do not run in the source tree's "
			      "root\n",
			      path);
		free(metrics);
		skip();
	}
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	assert_true(feof(file));
	(void)fclose(file);

	for (char *at = text; (at = strstr(at, "xdpd_")); n++) {
		char type[160];

		(void)snprintf(type, sizeof(type), "\n# TYPE %.*s ",
			       (int)strspn(at, "abcdefghijklmnopqrstuvwxyz_"), at);
		if (!strstr(metrics, type))
			fail_msg("%s speaks of a metric that does not exist:%s", path, type + 7);
		at += strlen(type) - 9;
	}
	assert_true(n > 10);
	free(metrics);
}

static void the_alerts_name_only_metrics_that_exist(void **state)
{
	(void)state;
	assert_names_only_metrics_that_exist("config/alerts/xdpd.rules.yaml");
}

static void the_dashboard_names_only_metrics_that_exist(void **state)
{
	(void)state;
	assert_names_only_metrics_that_exist("config/dashboards/xdpd.json");
}

static void promtool_accepts_the_alerts(void **state)
{
	(void)state;
	if (system("command -v promtool >/dev/null 2>&1") != 0 ||
	    access("config/alerts/xdpd.rules.yaml", R_OK) < 0) {
		print_message("skipped: promtool_accepts_the_alerts: promtool is not installed, or "
			      "this is not "
			      "the source tree's root\n");
		skip();
	}
	assert_int_equal(system("promtool check rules config/alerts/xdpd.rules.yaml >/dev/null"),
			 0);
}

/* A machine with as many queues as anybody has, all at work. */
static struct status *large(void)
{
	static struct xdpd_queue_record many_queues[MANY];
	static struct verdict_record many_verdicts[MANY];
	static struct xdpd_consumer_record many_consumers[MANY];
	static struct xdpd_group_record many_groups[MANY];
	static struct xdpd_worker_record many_workers[MANY];
	static struct status status;

	status = example;
	for (uint32_t i = 0; i < MANY; i++) {
		many_queues[i] = queues[0];
		many_queues[i].queue = i;
		many_verdicts[i] = verdicts[0];
		many_verdicts[i].queue = i;
		many_consumers[i] = consumers[0];
		many_consumers[i].queue = i;
		many_groups[i] = groups[0];
		many_groups[i].queue = i;
		many_workers[i] = workers[0];
		many_workers[i].queue = i;
	}
	status.queues = many_queues;
	status.verdicts = many_verdicts;
	status.consumers = many_consumers;
	status.groups = many_groups;
	status.workers = many_workers;
	status.n_queues = status.n_verdicts = status.n_consumers = MANY;
	status.n_groups = status.n_workers = MANY;
	return &status;
}

static void the_second_scrape_allocates_nothing(void **state)
{
	const struct status *status = large();
	struct text text = {};
	size_t length, capacity;
	char *data;

	(void)state;
	assert_int_equal(metrics_render(&text, status, &usage, METRICS_TEXT), 0);
	data = text.data;
	length = text.length;
	capacity = text.capacity;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(metrics_render(&text, status, &usage, METRICS_TEXT), 0);
		assert_ptr_equal(text.data, data);
		assert_int_equal(text.length, length);
		assert_int_equal(text.capacity, capacity);
	}
	text_free(&text);
}

static double milliseconds(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (double)used.tv_sec * 1e3 + (double)used.tv_nsec / 1e6;
}

static bool slowed_down(void)
{
	const char *preload = getenv("LD_PRELOAD");

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	return true;
#endif
#endif
	return preload && strstr(preload, "valgrind");
}

static void a_thousand_queues_render_in_under_20_ms(void **state)
{
	const struct status *status = large();
	struct text text = {};
	double best = 1e9;

	(void)state;
	if (slowed_down()) {
		print_message("skipped: a_thousand_queues_render_in_under_20_ms: not under a "
			      "sanitizer or "
			      "valgrind\n");
		skip();
	}
	for (int i = 0; i < 10; i++) {
		double start = milliseconds(), took;

		assert_int_equal(metrics_render(&text, status, &usage, METRICS_TEXT), 0);
		took = milliseconds() - start;
		best = took < best ? took : best;
	}
	print_message("%d queues: %.2f ms, %zu bytes\n", MANY, best, text.length);
	text_free(&text);
	assert_true(best < 20);
}

static void decimals_are_written_with_all_their_zeros(void **state)
{
	struct text text = {};

	(void)state;
	text_decimal(&text, 0, 6);
	text_string(&text, " ");
	text_decimal(&text, 1, 6);
	text_string(&text, " ");
	text_decimal(&text, 12345678, 6);
	text_string(&text, " ");
	text_decimal(&text, UINT64_MAX, 6);
	text_string(&text, " ");
	text_number(&text, 0);
	text_bytes(&text, "", 1);
	assert_string_equal(text.data, "0.000000 0.000001 12.345678 18446744073709.551615 0");
	text_free(&text);
}

static char *render_page(const struct status *status)
{
	struct text text = {};
	char *string;

	assert_int_equal(page_render(&text, status, 1700003600), 0);
	string = strndup(text.data, text.length);
	assert_non_null(string);
	text_free(&text);
	return string;
}

static void the_page_shows_every_interface_queue_and_consumer(void **state)
{
	char *page = render_page(&example);

	(void)state;
	assert_non_null(strstr(page, "<h2>eth0</h2>"));
	assert_non_null(strstr(page, "<h2>eth1</h2>"));
	assert_non_null(strstr(page, ">attached<"));
	assert_non_null(strstr(page, ">waiting<"));
	assert_non_null(strstr(page, "suricata"));
	assert_non_null(strstr(page, "there is no such interface"));
	assert_non_null(strstr(page, "up 1 h 0 min"));
	free(page);
	page = render_page(&(struct status){});
	assert_non_null(strstr(page, "No interface is configured"));
	free(page);
}

static void the_page_shows_groups_rules_and_members(void **state)
{
	char *page = render_page(&example);
	const struct status unsteered = {
		.interfaces = interfaces,
		.n_interfaces = 1,
		.rules = &(struct xdpd_rule_record){.device = "eth0",
						    .rule = UINT32_MAX,
						    .action = XDPD_ACTION_REDIRECT},
		.n_rules = 1};

	(void)state;
	assert_non_null(strstr(page, "<td class=\"name\">4 consumers<td>shared"));
	assert_non_null(strstr(page, "<tr><td class=\"name\">ids<td>2<td>2<small>hold</small>"));
	assert_non_null(strstr(page, "<td>123 <span class=\"quiet\">/ 2048</span>"));
	assert_non_null(strstr(page, "dump<small>made by attaching</small>"));
	assert_non_null(strstr(page,
			       "<td>1<td class=\"name\">proto: udp, dport: 53<td class=\"name\">"
			       "redirect to ids, dns<td"));
	assert_non_null(strstr(page, "<td>default<td class=\"name\"><span class=\"quiet\">all else"
				     "</span><td class=\"name\">drop<td"));
	assert_non_null(strstr(page, "ids<small>holds 100 of 1024</small>"));
	assert_non_null(strstr(page, "dump<small>tap</small>"));
	/* once, and before the next interface */
	assert_true(strstr(page, "<th>Rule<") < strstr(page, "<h2>eth1</h2>"));
	assert_null(strstr(strstr(page, "<th>Rule<") + 1, "<th>Rule<"));
	free(page);
	page = render_page(&unsteered);
	assert_null(strstr(page, "<th>Rule<"));
	free(page);
}

static void the_page_loads_nothing_and_runs_no_script(void **state)
{
	char *page = render_page(&example);

	(void)state;
	assert_null(strcasestr(page, "<script"));
	assert_null(strcasestr(page, "http:"));
	assert_null(strcasestr(page, "https:"));
	assert_null(strcasestr(page, "src="));
	assert_null(strcasestr(page, "url("));
	assert_null(strcasestr(page, "@import"));
	free(page);
}

static void names_can_not_break_out_of_the_page(void **state)
{
	struct xdpd_interface_record interface = {.device = "<b>&\"'\xff",
						  .ifindex = 1,
						  .driver = "<script>",
						  .reason = "<img onerror=x>",
						  .note = "<img onload=y>"};
	struct xdpd_queue_record queue = {
		.device = "<b>&\"'\xff", .consumer = "<script>", .reason = "<script>"};
	struct xdpd_consumer_record consumer = {
		.name = "<script>", .device = "<script>", .group = "<script>", .mode = XDPD_HOLD};
	struct xdpd_group_record group = {.device = "<b>&\"'\xff", .name = "<script>"};
	struct xdpd_rule_record rule = {
		.device = "<b>&\"'\xff", .match = "<script>", .groups = "<script>"};
	const struct status status = {
		.daemon = {.release = "<script>", .config = "<script>"},
		.interfaces = &interface,
		.n_interfaces = 1,
		.queues = &queue,
		.n_queues = 1,
		.consumers = &consumer,
		.n_consumers = 1,
		.groups = &group,
		.n_groups = 1,
		.rules = &rule,
		.n_rules = 1,
	};
	char *page = render_page(&status);

	(void)state;
	assert_null(strcasestr(page, "<script"));
	assert_null(strcasestr(page, "<img"));
	assert_non_null(strstr(page, "to &lt;script&gt;"));
	assert_non_null(strstr(page, "<h2>&lt;b&gt;&amp;&quot;&#39;\xef\xbf\xbd</h2>"));
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_daemon_is_and_did_is_there),
		cmocka_unit_test(an_interface_says_how_it_is_used_and_an_absent_one_is_there_too),
		cmocka_unit_test(a_queue_has_all_its_counters_to_the_last_digit),
		cmocka_unit_test(a_queue_is_in_exactly_one_state),
		cmocka_unit_test(the_frames_of_a_umem_add_up_whatever_the_rings_say),
		cmocka_unit_test(
			frames_of_a_shared_queue_are_where_its_worker_says_and_nowhere_else),
		cmocka_unit_test(
			verdicts_are_told_by_action_also_on_queues_that_are_not_configured),
		cmocka_unit_test(a_consumer_goes_by_its_name_and_never_by_its_pid),
		cmocka_unit_test(members_that_share_a_name_are_one_series),
		cmocka_unit_test(a_group_tells_what_it_got_and_what_it_lost_by_cause),
		cmocka_unit_test(
			a_rule_goes_by_its_place_and_its_match_and_the_default_by_its_name),
		cmocka_unit_test(a_worker_tells_its_time_and_who_was_ejected_for_what),
		cmocka_unit_test(names_are_escaped_made_utf8_and_read_no_further_than_their_array),
		cmocka_unit_test(numbers_that_have_no_name_read_unknown),
		cmocka_unit_test(no_series_is_there_twice_and_families_are_in_one_piece),
		cmocka_unit_test(openmetrics_names_families_without_total_has_units_and_ends),
		cmocka_unit_test(promtool_finds_nothing),
		cmocka_unit_test(the_alerts_name_only_metrics_that_exist),
		cmocka_unit_test(the_dashboard_names_only_metrics_that_exist),
		cmocka_unit_test(promtool_accepts_the_alerts),
		cmocka_unit_test(the_second_scrape_allocates_nothing),
		cmocka_unit_test(a_thousand_queues_render_in_under_20_ms),
		cmocka_unit_test(decimals_are_written_with_all_their_zeros),
		cmocka_unit_test(the_page_shows_every_interface_queue_and_consumer),
		cmocka_unit_test(the_page_shows_groups_rules_and_members),
		cmocka_unit_test(the_page_loads_nothing_and_runs_no_script),
		cmocka_unit_test(names_can_not_break_out_of_the_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
