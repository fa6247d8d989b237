// SPDX-License-Identifier: BSD-2-Clause
/* Steering from the config's text to whoever gets the frame, what is counted on the way, and what trace says of it. */
#include "tests/live/harness.h"

#include <stdlib.h>

#include "tests/live/child.h"
#include "tests/live/consumer.h"
#include "tests/live/flow.h"
#include "tests/live/instance.h"
#include "tests/live/packet.h"
#include "tests/live/shared.h"
#include "tests/live/traffic.h"

#define PATIENCE 5000

#define RULES                                                                               \
	"    steer:\n"                                                                      \
	"      - { match: { proto: tcp, port: 22 }, action: pass }\n"                       \
	"      - { match: { proto: udp, dport: 53, dst: 192.0.2.0/24 }, action: redirect, " \
	"groups: [ids, dns] }\n"                                                            \
	"      - { match: { ethertype: arp }, action: pass }\n"                             \
	"      - { match: { vlan: 66 }, action: drop }\n"                                   \
	"      - { match: { proto: tcp, dport: [80, 8000-8080], src: \"2001:db8::/32\" }, " \
	"action: redirect }\n"                                                              \
	"    default: { action: redirect, groups: [ids] }\n"

#define GROUPS                                                                          \
	"    groups:\n"                                                                 \
	"      - { name: ids, mode: hold, quota: 1024, attach: { users: [nobody] } }\n" \
	"      - { name: dns, mode: hold }\n"

#define RULE_COUNT 5

/* Who gets a frame. */
enum receiver { IDS, DNS, SNOOP, RECEIVERS };

#define TO_IDS	 (1 << IDS)
#define TO_DNS	 (1 << DNS)
#define TO_SNOOP (1 << SNOOP)
#define TO_STACK (1 << RECEIVERS)

/* Each with its place in the table as label. `rule` is UINT32_MAX for the default. */
static const struct {
	struct flow flow;
	uint32_t rule;
	uint32_t to;
} cases[] = {
	{{.kind = FLOW_TCP4, .other_port = 22}, 0, TO_STACK},
	{{.kind = FLOW_TCP4, .other_port = 22, .backwards = true}, 0, TO_STACK},
	{{.kind = FLOW_TCP6, .port = 22, .other_port = 5000}, 0, TO_STACK},
	{{.kind = FLOW_UDP4, .other_port = 22}, UINT32_MAX, TO_IDS},
	{{.kind = FLOW_UDP4, .other_port = 53}, 1, TO_IDS | TO_DNS},
	{{.kind = FLOW_UDP4, .other_port = 53, .backwards = true}, UINT32_MAX, TO_IDS},
	{{.kind = FLOW_VLAN_UDP4, .other_port = 53}, 1, TO_IDS | TO_DNS},
	{{.kind = FLOW_UDP6, .other_port = 53}, UINT32_MAX, TO_IDS},
	{{.kind = FLOW_FRAGMENT4, .other_port = 53}, UINT32_MAX, TO_IDS},
	{{.kind = FLOW_ARP}, 2, TO_STACK},
	{{.kind = FLOW_VLAN_UDP4, .vlan = 66}, 3, 0},
	{{.kind = FLOW_VLAN_TCP6, .vlan = 66}, 3, 0},
	{{.kind = FLOW_TCP6}, 4, TO_IDS | TO_DNS | TO_SNOOP},
	{{.kind = FLOW_TCP6, .other_port = 8042}, 4, TO_IDS | TO_DNS | TO_SNOOP},
	{{.kind = FLOW_TCP6, .other_port = 8081}, UINT32_MAX, TO_IDS},
	{{.kind = FLOW_TCP4}, UINT32_MAX, TO_IDS},
	{{.kind = FLOW_VLAN_TCP6, .other_port = 8081}, UINT32_MAX, TO_IDS},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

static void send_flow(int far, const struct flow *flow)
{
	uint8_t frame[FLOW_LENGTH];

	flow_frame(frame, flow);
	assert_ok(packet_send(far, frame, sizeof(frame)));
}

/* Each case i so often: i + 1 times. Returns how many that are. */
static uint64_t send_cases(int far)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < CASES; i++) {
		struct flow flow = cases[i].flow;

		flow.label = i;
		flow.number = i;
		for (uint32_t times = 0; times <= i; times++, count++)
			send_flow(far, &flow);
	}
	return count;
}

/* Frames that reach the stack, by label. */
static void take_passed(int near, uint64_t ret[CASES], int timeout_ms)
{
	uint8_t frame[2048];
	ssize_t length;

	while ((length = packet_receive(near, frame, sizeof(frame), timeout_ms)) >= 0) {
		uint32_t label;

		/* The kernel takes a VLAN tag off the front. */
		if (length < FLOW_LENGTH && length >= FLOW_LENGTH - 8)
			memmove(frame + FLOW_LENGTH - length, frame, (size_t)length);
		if (flow_label(frame, FLOW_LENGTH, &label) && label < CASES)
			ret[label]++;
	}
}

static uint64_t expected_of(uint32_t to)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < CASES; i++)
		sum += cases[i].to & to ? i + 1 : 0;
	return sum;
}

static void check_rules(const struct instance *daemon)
{
	uint64_t packets[RULE_COUNT + 1] = {};

	for (uint32_t i = 0; i < CASES; i++)
		packets[cases[i].rule == UINT32_MAX ? RULE_COUNT : cases[i].rule] += i + 1;
	assert_int_equal(shared_rules(daemon), RULE_COUNT + 1);
	for (uint32_t i = 0; i <= RULE_COUNT; i++) {
		const uint32_t id = i == RULE_COUNT ? UINT32_MAX : i;
		const struct xdpd_rule_record rule = shared_rule(daemon, id);
		char label[16];

		(void)snprintf(label, sizeof(label), "%u", i);
		assert_int_equal(rule.packets, packets[i]);
		assert_int_equal(rule.bytes, packets[i] * FLOW_LENGTH);
		assert_int_equal(instance_metric(daemon, "xdpd_rule_packets_total", "device",
						 "near", "rule",
						 i == RULE_COUNT ? "default" : label),
				 packets[i]);
	}
}

static void frames_go_where_the_rules_say_and_are_counted_there(void **state)
{
	static const char *const groups[RECEIVERS] = {"ids", "dns", "snoop"};
	struct consumer *consumers[RECEIVERS];
	uint64_t passed[CASES] = {}, count;
	struct xdpd_queue_record queue;
	cleanup_ran struct ran ran = {};
	struct instance *daemon;
	cleanup_fd int far = -1, near = -1;

	(void)state;
	daemon = shared_start("", GROUPS RULES);
	far = (int)assert_ok(packet_open("far"));
	near = (int)assert_ok(packet_open("near"));
	for (int i = 0; i < RECEIVERS; i++)
		consumers[i] = consumer_start(
			&(struct consumer_options){.instance = daemon,
						   .device = "near",
						   .name = groups[i],
						   .group = groups[i],
						   .flags = i == SNOOP ? XDPD_ATTACH_TAP : 0,
						   .labels = true});
	count = send_cases(far);
	for (int i = 0; i < RECEIVERS; i++)
		consumer_awaits(consumers[i], expected_of(1U << i));
	take_passed(near, passed, 300);
	for (uint32_t i = 0; i < CASES; i++) {
		for (int j = 0; j < RECEIVERS; j++)
			if (consumer_flow(consumers[j], i) != (cases[i].to & 1U << j ? i + 1 : 0))
				fail_msg("case %u: `%s` got %lu", i, groups[j],
					 consumer_flow(consumers[j], i));
		if (passed[i] != (cases[i].to & TO_STACK ? i + 1 : 0))
			fail_msg("case %u: the stack got %lu", i, passed[i]);
	}
	check_rules(daemon);
	queue = shared_queue(daemon);
	assert_int_equal(queue.passed_packets, expected_of(TO_STACK));
	assert_int_equal(queue.dropped_by_rule, 11 + 12);
	assert_int_equal(shared_worker(daemon).packets + queue.passed_packets +
				 queue.dropped_by_rule,
			 count);
	instance_ctl(daemon, &ran, "-j", "show", "rules");
	assert_int_equal(ran.status, 0);
	assert_non_null(strstr(ran.output, "dst: 192.0.2.0/24"));
	assert_non_null(strstr(ran.output, "ids, dns"));
	for (int i = 0; i < RECEIVERS; i++)
		assert_int_equal(consumer_stop(consumers[i]).damaged, 0);
	instance_stop(daemon);
}

static void what_is_for_a_group_without_members_passes_to_the_stack(void **state)
{
	uint64_t passed[CASES] = {};
	struct consumer *dns;
	struct instance *daemon;
	cleanup_fd int far = -1, near = -1;

	(void)state;
	daemon = shared_start("", GROUPS RULES);
	far = (int)assert_ok(packet_open("far"));
	near = (int)assert_ok(packet_open("near"));
	dns = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .group = "dns", .labels = true});
	(void)send_cases(far);
	consumer_awaits(dns, expected_of(TO_DNS));
	take_passed(near, passed, 300);
	for (uint32_t i = 0; i < CASES; i++) {
		const bool passes = cases[i].to && !(cases[i].to & TO_DNS);

		assert_int_equal(consumer_flow(dns, i), cases[i].to & TO_DNS ? i + 1 : 0);
		if (passed[i] != (passes ? i + 1 : 0))
			fail_msg("case %u: the stack got %lu", i, passed[i]);
	}
	check_rules(daemon);
	assert_int_equal(consumer_stop(dns).packets, expected_of(TO_DNS));
	instance_stop(daemon);
}

static void rules_hold_for_an_exclusive_queue_too(void **state)
{
	uint64_t passed[CASES] = {};
	struct consumer *consumer;
	struct instance *daemon;
	uint64_t expected = expected_of(TO_IDS | TO_DNS | TO_SNOOP);
	cleanup_fd int far = -1, near = -1;

	(void)state;
	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far"}));
	daemon = instance_start("access: { attach: { users: [nobody] } }\n"
				"interfaces:\n"
				"  - name: near\n"
				"    queues: [{ id: 0 }]\n" GROUPS RULES);
	far = (int)assert_ok(packet_open("far"));
	near = (int)assert_ok(packet_open("near"));
	consumer = consumer_start(
		&(struct consumer_options){.instance = daemon, .device = "near", .labels = true});
	(void)send_cases(far);
	consumer_awaits(consumer, expected);
	take_passed(near, passed, 300);
	for (uint32_t i = 0; i < CASES; i++) {
		const bool taken = cases[i].to & (TO_IDS | TO_DNS | TO_SNOOP);

		assert_int_equal(consumer_flow(consumer, i), taken ? i + 1 : 0);
		assert_int_equal(passed[i], cases[i].to & TO_STACK ? i + 1 : 0);
	}
	check_rules(daemon);
	assert_int_equal(shared_queue(daemon).dropped_by_rule, 11 + 12);
	assert_int_equal(consumer_stop(consumer).packets, expected);
	instance_stop(daemon);
}

/* ---- trace ---- */

/* The sentence for a flow, as xdpctl has it. */
static const char *sentence_of(const struct flow *flow)
{
	static char text[256];
	const bool tcp = flow->kind == FLOW_TCP4 || flow->kind == FLOW_TCP6;
	const bool six = flow->kind == FLOW_UDP6 || flow->kind == FLOW_TCP6;
	const unsigned int port = flow->port ? flow->port : 10000 + flow->number;
	const unsigned int other = flow->other_port ? flow->other_port : 80;
	char near[64], far[64];

	if (flow->kind == FLOW_ARP)
		return "arp 10.0.0.1 > 10.0.0.2";
	if (six) {
		(void)snprintf(near, sizeof(near), "[2001:db8::%x:1]:%u", flow->number, port);
		(void)snprintf(far, sizeof(far), "[2001:db8::100]:%u", other);
	} else {
		(void)snprintf(near, sizeof(near), "10.0.0.%u:%u", flow->number, port);
		(void)snprintf(far, sizeof(far), "192.0.2.1:%u", other);
	}
	(void)snprintf(text, sizeof(text), "%s %s > %s%s", tcp ? "tcp" : "udp",
		       flow->backwards ? far : near, flow->backwards ? near : far,
		       flow->kind == FLOW_VLAN_UDP4 ? " vlan 7" : "");
	return text;
}

static bool names(const char *json, const char *name)
{
	char quoted[64];

	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", name);
	return strstr(json, quoted) != NULL;
}

#define TRACED 6

static void trace_names_who_really_gets_the_frame(void **state)
{
	static const struct {
		const char *name, *group;
	} members[TRACED] = {{"ids-1", "ids"}, {"ids-2", "ids"}, {"ids-3", "ids"},
			     {"dns-1", "dns"}, {"dns-2", "dns"}, {"snoop-1", "snooping"}};
	static const struct flow kinds[] = {
		{.kind = FLOW_UDP4},
		{.kind = FLOW_UDP4, .other_port = 53},
		{.kind = FLOW_VLAN_UDP4, .other_port = 53},
		{.kind = FLOW_TCP4, .backwards = true},
		{.kind = FLOW_TCP6},
		{.kind = FLOW_UDP6, .backwards = true},
		{.kind = FLOW_TCP4, .other_port = 22},
		{.kind = FLOW_ARP},
	};
	const uint32_t n_kinds = sizeof(kinds) / sizeof(kinds[0]), each = 6;
	struct consumer *consumers[TRACED];
	uint64_t received[TRACED] = {};
	struct instance *daemon;
	cleanup_fd int far = -1;

	(void)state;
	daemon = shared_start("", GROUPS RULES);
	far = (int)assert_ok(packet_open("far"));
	for (int i = 0; i < TRACED; i++)
		consumers[i] = consumer_start(&(struct consumer_options){.instance = daemon,
									 .device = "near",
									 .name = members[i].name,
									 .group = members[i].group,
									 .labels = true});
	for (uint32_t i = 0; i < n_kinds * each; i++) {
		const uint64_t before =
			shared_worker(daemon).packets + shared_queue(daemon).passed_packets;
		struct flow flow = kinds[i % n_kinds];
		cleanup_ran struct ran ran = {};
		bool redirected;

		flow.number = i + 1;
		flow.label = i;
		instance_ctl(daemon, &ran, "-j", "trace", "near", sentence_of(&flow));
		if (ran.status != 0)
			fail_msg("%s: %s", sentence_of(&flow), ran.errors);
		redirected = names(ran.output, "redirect");
		assert_true(redirected != names(ran.output, "pass"));
		send_flow(far, &flow);
		assert_becomes(shared_worker(daemon).packets +
					       shared_queue(daemon).passed_packets ==
				       before + 1,
			       PATIENCE);
		for (int j = 0; j < TRACED; j++) {
			const bool traced = names(ran.output, members[j].name);
			uint64_t packets;

			assert_true(redirected || !traced);
			received[j] += traced;
			packets = shared_consumer(daemon, members[j].name).receive_packets;
			if (packets != received[j])
				fail_msg("%s: `%s` has got %lu frames instead of %lu: %s",
					 sentence_of(&flow), members[j].name, packets, received[j],
					 ran.output);
			consumer_awaits(consumers[j], received[j]);
			assert_int_equal(consumer_flow(consumers[j], i), traced);
		}
	}
	/* Each was named for some. */
	for (int j = 0; j < TRACED; j++) {
		assert_true(received[j] > 0);
		(void)consumer_stop(consumers[j]);
	}
	instance_stop(daemon);
}

/* ---- reload under load ---- */

#define FLOWS  8 /* source ports 7 to 14 */
#define RATE   20000
#define LENGTH 100

#define TWO_GROUPS "    groups: [{ name: one }, { name: two }]\n"
#define RULE_A	   "      - { match: { sport: 7-10 }, action: drop }\n"
#define RULE_B	   "      - { match: { sport: 9-12 }, action: redirect, groups: [one] }\n"
#define OTHERWISE  "    default: { action: redirect, groups: [two] }\n"

static const char *const orders[] = {
	TWO_GROUPS "    steer:\n" RULE_A RULE_B OTHERWISE,
	TWO_GROUPS "    steer:\n" RULE_B RULE_A OTHERWISE,
};

struct pair {
	struct consumer *one, *two;
};

static struct pair start_pair(const struct instance *daemon, uint64_t count)
{
	struct consumer_options options = {.instance = daemon,
					   .device = "near",
					   .length = LENGTH,
					   .flows = FLOWS,
					   .count = count};
	struct pair pair;

	options.name = options.group = "one";
	pair.one = consumer_start(&options);
	options.name = options.group = "two";
	pair.two = consumer_start(&options);
	return pair;
}

static uint64_t given(const struct instance *daemon, const char *name)
{
	const struct xdpd_consumer_record record = shared_consumer(daemon, name);

	return record.receive_packets + record.dropped;
}

/* A group lost nothing that its member was given. */
static void lost_nothing(const struct instance *daemon, const char *name)
{
	const struct xdpd_consumer_record record = shared_consumer(daemon, name);

	if (record.dropped)
		fail_msg("`%s` got %lu frames, and lost %lu to its ring and %lu to its quota of %u",
			 name, record.receive_packets, record.dropped_ring_full,
			 record.dropped_quota, record.quota);
}

static void stop_pair(const struct instance *daemon, struct pair *pair)
{
	struct consumer_report report;

	consumer_awaits(pair->one, shared_consumer(daemon, "one").receive_packets);
	consumer_awaits(pair->two, shared_consumer(daemon, "two").receive_packets);
	report = consumer_stop(pair->one);
	assert_int_equal(report.again + report.strange + report.damaged, 0);
	report = consumer_stop(pair->two);
	assert_int_equal(report.again + report.strange + report.damaged, 0);
}

static void rules_that_change_places_under_load_count_every_frame(void **state)
{
	const uint64_t count = 32000, each = count / FLOWS;
	uint64_t dropping, redirecting, otherwise;
	unsigned int reloads = 0;
	struct instance *daemon;
	struct traffic *traffic;
	struct pair pair;

	(void)state;
	require_live_frames();
	daemon = shared_start(SHARED_ROOMY, orders[0]);
	pair = start_pair(daemon, count);
	traffic = consumer_flows("far", 0, LENGTH, FLOWS, 0, count, RATE);
	for (; traffic_is_sending(traffic); live_sleep_ms(5))
		shared_reload(daemon, SHARED_ROOMY, orders[++reloads % 2]);
	if (reloads % 2)
		shared_reload(daemon, SHARED_ROOMY, orders[++reloads % 2]);
	print_message("%u reloads\n", reloads);
	shared_sent_all(traffic, count);
	assert_becomes(shared_worker(daemon).packets + shared_queue(daemon).dropped_by_rule ==
			       count,
		       PATIENCE);
	dropping = shared_rule(daemon, 0).packets;
	redirecting = shared_rule(daemon, 1).packets;
	otherwise = shared_rule(daemon, UINT32_MAX).packets;
	assert_int_equal(dropping + redirecting + otherwise, count);
	assert_int_equal(shared_queue(daemon).dropped_by_rule, dropping);
	assert_int_equal(given(daemon, "one"), redirecting);
	assert_int_equal(given(daemon, "two"), otherwise);
	assert_int_equal(shared_worker(daemon).unclaimed, 0);
	shared_kernel_lost_nothing(daemon);
	lost_nothing(daemon, "one");
	lost_nothing(daemon, "two");

	/* Each frame saw one of both orders as a whole. */
	consumer_awaits(pair.one, redirecting);
	consumer_awaits(pair.two, otherwise);
	for (uint32_t flow = 0; flow < FLOWS; flow++) {
		const uint64_t one = consumer_flow(pair.one, flow);

		assert_int_equal(consumer_flow(pair.two, flow), flow >= 6 ? each : 0);
		if (flow < 2 || flow >= 6)
			assert_int_equal(one, 0);
		else if (flow < 4)
			assert_in_range(one, 1, each - 1);
		else
			assert_int_equal(one, each);
	}
	stop_pair(daemon, &pair);
	instance_stop(daemon);
}

static void who_gets_a_flow_by_old_and_new_rules_gets_every_frame_of_it(void **state)
{
	static const char *const configs[] = {
		TWO_GROUPS "    steer:\n" RULE_A RULE_B OTHERWISE,
		TWO_GROUPS, /* frames are not marked */
		TWO_GROUPS "    steer:\n" RULE_B,
		"",
		"    groups: [{ name: none }, { name: two }, { name: one }]\n"
		"    steer:\n"
		"      - { match: { sport: 9-12 }, action: redirect, groups: [one, two] }\n"
		"      - { match: { sport: 13 }, action: redirect, groups: [two, none] "
		"}\n" OTHERWISE,
	};
	const uint64_t count = 32000, each = count / FLOWS;
	unsigned int reloads = 0;
	struct instance *daemon;
	struct traffic *traffic;
	struct pair pair;

	(void)state;
	require_live_frames();
	daemon = shared_start(SHARED_ROOMY, configs[0]);
	pair = start_pair(daemon, count);
	traffic = consumer_flows("far", 0, LENGTH, FLOWS, 0, count, RATE);
	for (; traffic_is_sending(traffic); live_sleep_ms(5))
		shared_reload(daemon, SHARED_ROOMY, configs[++reloads % 5]);
	print_message("%u reloads\n", reloads);
	shared_sent_all(traffic, count);
	assert_becomes(shared_worker(daemon).packets + shared_queue(daemon).dropped_by_rule ==
			       count,
		       PATIENCE);
	assert_int_equal(shared_worker(daemon).unclaimed, 0);
	shared_kernel_lost_nothing(daemon);
	consumer_awaits(pair.one, shared_consumer(daemon, "one").receive_packets);
	consumer_awaits(pair.two, shared_consumer(daemon, "two").receive_packets);
	lost_nothing(daemon, "one");
	lost_nothing(daemon, "two");
	/* Ports 11 and 12 go to `one` in each of the configs, 13 and 14 to `two`. */
	for (uint32_t flow = 4; flow < 6; flow++)
		assert_int_equal(consumer_flow(pair.one, flow), each);
	for (uint32_t flow = 6; flow < FLOWS; flow++)
		assert_int_equal(consumer_flow(pair.two, flow), each);
	stop_pair(daemon, &pair);
	instance_stop(daemon);
}

static void a_reload_with_wrong_rules_changes_nothing(void **state)
{
	const uint64_t count = 800;
	struct instance *daemon;
	struct pair pair;

	(void)state;
	require_live_frames();
	daemon = shared_start("", orders[0]);
	pair = start_pair(daemon, count);
	shared_reload(daemon, "",
		      TWO_GROUPS "    steer: [{ match: { sport: 7-14 }, action: redirect, "
				 "groups: [three] }]\n");
	assert_int_equal(shared_rules(daemon), 3);
	shared_sent_all(consumer_flows("far", 0, LENGTH, FLOWS, 0, count, RATE), count);
	consumer_awaits(pair.two, count / 4);
	assert_int_equal(shared_rule(daemon, 0).packets, count / 2);
	assert_int_equal(shared_rule(daemon, 1).packets, count / 4);
	stop_pair(daemon, &pair);
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(frames_go_where_the_rules_say_and_are_counted_there),
		live_test(what_is_for_a_group_without_members_passes_to_the_stack),
		live_test(rules_hold_for_an_exclusive_queue_too),
		live_test(trace_names_who_really_gets_the_frame),
		live_test(rules_that_change_places_under_load_count_every_frame),
		live_test(who_gets_a_flow_by_old_and_new_rules_gets_every_frame_of_it),
		live_test(a_reload_with_wrong_rules_changes_nothing),
	};

	return live_run("shared_steer", tests, 120);
}
