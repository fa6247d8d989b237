// SPDX-License-Identifier: BSD-2-Clause
/* Who may join which group, how many can, and what a reload changes for those who are there. */
#include "tests/live/harness.h"

#include <errno.h>

#include "daemon/quota.h"
#include "daemon/roster.h"
#include "tests/live/child.h"
#include "tests/live/consumer.h"
#include "tests/live/instance.h"
#include "tests/live/shared.h"
#include "tests/live/traffic.h"

#define RATE   10000
#define LENGTH 100

#define ONE_UID	    1001
#define ANOTHER_UID 1002
#define THIRD_UID   1003

static struct consumer_options wish(const struct instance *daemon, const char *group,
				    uint32_t flags)
{
	return (struct consumer_options){
		.instance = daemon, .device = "near", .group = group, .flags = flags};
}

static void is_refused(const struct instance *daemon, const char *group, uid_t uid, uint32_t flags,
		       int code, const char *text)
{
	struct consumer_options options = wish(daemon, group, flags);

	options.uid = uid;
	consumer_is_refused(&options, code, text);
}

static void is_let_in(const struct instance *daemon, const char *group, uid_t uid)
{
	struct consumer_options options = wish(daemon, group, 0);

	options.uid = uid;
	(void)consumer_stop(consumer_start(&options));
}

static void a_group_lets_in_whom_it_lists_and_no_others(void **state)
{
	struct instance *daemon;

	(void)state;
	daemon = shared_start("", "    groups:\n"
				  "      - { name: one, attach: { users: [1001] } }\n"
				  "      - { name: root-only, attach: { users: [root] } }\n"
				  "      - { name: open }\n");
	is_let_in(daemon, "one", ONE_UID);
	is_refused(daemon, "one", CHILD_NOBODY, 0, EACCES, "may not attach");
	is_refused(daemon, "root-only", CHILD_NOBODY, 0, EACCES, "may not attach");
	is_refused(daemon, "root-only", CHILD_NOBODY, XDPD_ATTACH_TAP, EACCES, "may not attach");
	is_let_in(daemon, "open", CHILD_NOBODY);
	is_let_in(daemon, "made", CHILD_NOBODY);
	is_refused(daemon, "open", ONE_UID, 0, EACCES, "may not attach");
	is_refused(daemon, "made", ONE_UID, 0, EACCES, "may not attach");
	is_refused(daemon, NULL, ONE_UID, 0, EACCES, "may not attach");
	instance_stop(daemon);
}

static void a_group_that_may_only_tap_lets_nobody_hold(void **state)
{
	struct consumer_options options;
	struct instance *daemon;
	struct consumer *tap;

	(void)state;
	daemon = shared_start("", "    groups: [{ name: recorder, mode: tap }]\n");
	is_refused(daemon, "recorder", 0, XDPD_ATTACH_HOLD, EACCES, "may only tap");
	options = wish(daemon, "recorder", 0);
	tap = consumer_start(&options);
	assert_int_equal(shared_consumer(daemon, "consumer").mode, XDPD_TAP);
	assert_int_equal(shared_group(daemon, "recorder").mode, XDPD_TAP);
	(void)consumer_stop(tap);
	instance_stop(daemon);
}

static bool is_listed(const struct instance *daemon, const char *group)
{
	cleanup_ran struct ran ran = {};

	instance_ctl(daemon, &ran, "show", "groups");
	assert_int_equal(ran.status, 0);
	return strstr(ran.output, group) != NULL;
}

static void a_group_that_no_config_names_is_made_by_attaching_and_ends_with_its_last(void **state)
{
	struct consumer *first, *second;
	struct consumer_options options;
	struct instance *daemon;

	(void)state;
	daemon = shared_start("", "    groups: [{ name: configured }]\n");
	assert_true(is_listed(daemon, "configured"));
	options = wish(daemon, "madeup", 0);
	options.name = "first";
	first = consumer_start(&options);
	options.name = "second";
	second = consumer_start(&options);
	assert_int_equal(shared_group(daemon, "madeup").members, 2);
	assert_int_equal(shared_group(daemon, "madeup").configured, 0);
	assert_int_equal(shared_group(daemon, "configured").configured, 1);
	assert_int_equal(shared_group(daemon, "configured").members, 0);
	(void)consumer_stop(first);
	assert_becomes(shared_group(daemon, "madeup").members == 1, 5000);
	(void)consumer_stop(second);
	assert_becomes(!is_listed(daemon, "madeup"), 5000);
	instance_stop(daemon);
}

static void an_exclusive_queue_can_not_be_tapped(void **state)
{
	struct instance *daemon;

	(void)state;
	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far"}));
	daemon = instance_start("access: { attach: { users: [nobody] } }\n"
				"interfaces: [{ name: near, queues: [{ id: 0 }] }]\n");
	is_refused(daemon, NULL, 0, XDPD_ATTACH_TAP, EOPNOTSUPP, "can't be tapped");
	is_let_in(daemon, "group", CHILD_NOBODY);
	instance_stop(daemon);
}

/* ---- how many ---- */

/* So many groups of this user, each with `of_each` members. */
static uint32_t crowd(const struct instance *daemon, struct consumer **members, uid_t uid,
		      uint32_t groups, uint32_t of_each)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < of_each * groups; i++) {
		struct consumer_options options = wish(daemon, NULL, 0);
		char group[32], name[32];

		(void)snprintf(group, sizeof(group), "g%u-%u", uid, i % groups);
		(void)snprintf(name, sizeof(name), "m%u-%u", uid, i);
		options.group = group;
		options.name = name;
		options.uid = uid;
		options.length = LENGTH;
		options.count = 1000;
		members[n++] = consumer_start(&options);
	}
	return n;
}

static void a_queue_has_64_members_in_32_groups_of_which_one_user_has_half(void **state)
{
	struct consumer *members[ROSTER_MEMBERS];
	const uint64_t count = 300;
	struct instance *daemon;
	uint64_t packets = 0;
	uint32_t n;

	(void)state;
	require_live_frames();
	assert_int_equal(2 * QUOTA_MEMBERS, ROSTER_MEMBERS);
	daemon = shared_start("attach: { users: [\"*\"] }", "");
	n = crowd(daemon, members, ONE_UID, QUOTA_GROUPS, QUOTA_MEMBERS / QUOTA_GROUPS - 1);
	is_refused(daemon, "more", ONE_UID, 0, EUSERS, "groups");
	n += crowd(daemon, members + n, ANOTHER_UID, QUOTA_GROUPS, QUOTA_MEMBERS / QUOTA_GROUPS);
	is_refused(daemon, "g1002-0", ANOTHER_UID, 0, EUSERS, "as many as one user may");
	is_refused(daemon, "more", THIRD_UID, 0, EUSERS, "32 groups, which is the most");
	for (uint32_t i = 0; n < ROSTER_MEMBERS; i++) {
		struct consumer_options options = wish(daemon, "g1001-3", 0);
		char name[32];

		(void)snprintf(name, sizeof(name), "late-%u", i);
		options.name = name;
		options.uid = THIRD_UID;
		options.length = LENGTH;
		options.count = 1000;
		members[n++] = consumer_start(&options);
	}
	assert_int_equal(shared_consumers(daemon), ROSTER_MEMBERS);
	is_refused(daemon, "g1001-3", THIRD_UID, 0, EUSERS, "64 consumers, which is the most");

	/* And all of them are served: one member of each of the groups gets the flow's frames. */
	shared_sent_all(consumer_traffic("far", 0, LENGTH, 0, count, 1000), count);
	assert_becomes(shared_worker(daemon).packets == count, 5000);
	for (uint64_t until = live_now_ms() + 10000; packets < 32 * count && live_now_ms() < until;
	     live_sleep_ms(10)) {
		packets = 0;
		for (uint32_t i = 0; i < n; i++)
			packets += consumer_report(members[i]).packets;
	}
	assert_int_equal(packets, 32 * count);
	for (uint32_t i = 0; i < n; i++) {
		struct consumer_report report = consumer_stop(members[i]);

		assert_true(report.packets == 0 || report.seen == count);
		assert_int_equal(report.damaged, 0);
	}
	instance_stop(daemon);
}

/* ---- reload ---- */

static void a_member_goes_on_when_a_reload_changes_its_group_and_the_worker(void **state)
{
	static const struct {
		const char *queue, *more;
		uint32_t quota, configured, spin_usecs, cpu;
	} steps[] = {
		{"worker: { spin_usecs: 10 }", "", 0, 0, 10, UINT32_MAX},
		{"worker: { spin_usecs: 0, cpu: 1 }",
		 "    groups: [{ name: other }, { name: mine, quota: 7000 }]\n", 7000, 1, 0, 1},
		{"worker: { spin_usecs: 200, cpu: 0 }",
		 "    groups: [{ name: mine, quota: 9000 }]\n"
		 "    steer: [{ match: { proto: udp }, action: redirect, groups: [mine] }]\n",
		 9000, 1, 200, 0},
		{"worker: { spin_usecs: 50 }", "    groups: [{ name: third }]\n", 0, 0, 50,
		 UINT32_MAX},
	};
	const uint64_t count = 20000;
	struct consumer_options options;
	struct consumer_report report;
	struct consumer *consumer;
	struct instance *daemon;
	struct traffic *traffic;

	(void)state;
	require_live_frames();
	require_cpus(2);
	daemon = shared_start(SHARED_ROOMY, "");
	options = wish(daemon, "mine", 0);
	options.length = LENGTH;
	options.count = count;
	consumer = consumer_start(&options);
	traffic = consumer_traffic("far", 0, LENGTH, 0, count, RATE);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct xdpd_group_record group;
		char queue[512];

		consumer_awaits(consumer, count / 10 * (i + 1));
		(void)snprintf(queue, sizeof(queue), SHARED_ROOMY ", %s", steps[i].queue);
		shared_reload(daemon, queue, steps[i].more);
		group = shared_group(daemon, "mine");
		assert_int_equal(group.members, 1);
		assert_int_equal(group.configured, steps[i].configured);
		if (steps[i].quota)
			assert_int_equal(group.quota, steps[i].quota);
		else
			assert_true(group.quota > 9000);
		assert_int_equal(shared_consumer(daemon, "consumer").quota, group.quota);
		assert_int_equal(shared_worker(daemon).spin_usecs, steps[i].spin_usecs);
		assert_int_equal(shared_worker(daemon).cpu, steps[i].cpu);
	}
	shared_sent_all(traffic, count);
	consumer_awaits(consumer, count);
	shared_kernel_lost_nothing(daemon);
	report = consumer_stop(consumer);
	consumer_got_all(&report, count);
	instance_stop(daemon);
}

/* Whether a config names it or not, and whichever others it names, a group with members keeps its bit. */
static void a_group_may_be_named_in_the_config_and_not_under_load(void **state)
{
	static const char *const configs[] = {
		"    groups: [{ name: other }, { name: mine }]\n",
		"    groups: [{ name: third }, { name: fourth }]\n",
		("    groups: [{ name: mine }]\n"
		 "    default: { action: redirect, groups: [mine] }\n"),
		"",
	};
	const uint64_t count = 30000;
	struct consumer_options options;
	struct consumer_report report;
	struct consumer *consumer;
	struct instance *daemon;
	struct traffic *traffic;
	unsigned int reloads = 0;

	(void)state;
	require_live_frames();
	daemon = shared_start(SHARED_ROOMY, "");
	options = wish(daemon, "mine", 0);
	options.length = LENGTH;
	options.count = count;
	consumer = consumer_start(&options);
	traffic = consumer_traffic("far", 0, LENGTH, 0, count, 2 * RATE);
	for (; traffic_is_sending(traffic); reloads++)
		shared_reload(daemon, SHARED_ROOMY, configs[reloads % 4]);
	print_message("%u reloads\n", reloads);
	shared_sent_all(traffic, count);
	assert_becomes(shared_worker(daemon).packets + shared_queue(daemon).passed_packets == count,
		       5000);
	shared_kernel_lost_nothing(daemon);
	consumer_awaits(consumer, count);
	report = consumer_stop(consumer);
	consumer_got_all(&report, count);
	instance_stop(daemon);
}

#define TWO_QUEUES                                  \
	"access: { attach: { users: [nobody] } }\n" \
	"interfaces:\n"                             \
	"  - name: near\n"                          \
	"    queues: [{ id: all, delivery: shared, " SHARED_ROOMY " }]\n"

/* On each queue groups are made in another order: one name has one place on all. */
static void groups_of_all_queues_may_be_named_in_the_config_under_load(void **state)
{
	static const char *const configs[] = {
		TWO_QUEUES "    groups: [{ name: c }, { name: b }, { name: a }]\n",
		TWO_QUEUES,
		TWO_QUEUES "    groups: [{ name: d }, { name: b }]\n",
	};
	static const char *const names[2][2] = {{"a", "b"}, {"b", "a"}};
	const uint64_t count = 20000;
	struct consumer *consumers[2][2];
	struct traffic *traffic[2];
	struct instance *daemon;
	unsigned int reloads = 0;

	(void)state;
	require_live_frames();
	require_cpus(2);
	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = 2}));
	daemon = instance_start(TWO_QUEUES);
	for (uint32_t queue = 0; queue < 2; queue++) {
		for (int i = 0; i < 2; i++) {
			struct consumer_options options = wish(daemon, names[queue][i], 0);

			options.queue = queue;
			options.length = LENGTH;
			options.count = count;
			consumers[queue][i] = consumer_start(&options);
		}
	}
	for (int queue = 0; queue < 2; queue++)
		traffic[queue] = consumer_traffic("far", queue, LENGTH, 0, count, RATE);
	for (; traffic_is_sending(traffic[0]) || traffic_is_sending(traffic[1]); reloads++) {
		instance_write_config(daemon, configs[reloads % 3]);
		instance_reload(daemon);
	}
	print_message("%u reloads\n", reloads);
	for (int queue = 0; queue < 2; queue++)
		shared_sent_all(traffic[queue], count);
	for (int queue = 0; queue < 2; queue++) {
		for (int i = 0; i < 2; i++) {
			struct consumer_report report;

			consumer_awaits(consumers[queue][i], count);
			report = consumer_stop(consumers[queue][i]);
			consumer_got_all(&report, count);
		}
	}
	instance_stop(daemon);
}

static void a_reload_revokes_whom_a_group_lets_in_no_more(void **state)
{
	struct consumer *shut_out, *not_holding, *not_sending, *stays;
	struct consumer_options options;
	struct instance *daemon;

	(void)state;
	daemon = shared_start("", "    groups: [{ name: a }, { name: b }, { name: c }]\n");
	options = wish(daemon, "a", 0);
	shut_out = consumer_start(&options);
	options = wish(daemon, "b", 0);
	not_holding = consumer_start(&options);
	options = wish(daemon, "c", 0);
	options.transmit = true;
	not_sending = consumer_start(&options);
	options = wish(daemon, "c", XDPD_ATTACH_TAP);
	stays = consumer_start(&options);
	shared_reload(daemon, "",
		      "    groups:\n"
		      "      - { name: a, attach: { users: [root] } }\n"
		      "      - { name: b, mode: tap }\n"
		      "      - { name: c, mode: tap, attach: { transmit: false } }\n");
	assert_int_equal(consumer_ends(shut_out, "may not attach any more").ended, -ECANCELED);
	assert_int_equal(consumer_ends(not_holding, "may not hold frames any more").ended,
			 -ECANCELED);
	assert_int_equal(consumer_ends(not_sending, "any more").ended, -ECANCELED);
	assert_int_equal(shared_consumers(daemon), 1);
	(void)consumer_stop(stays);
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(a_group_lets_in_whom_it_lists_and_no_others),
		live_test(a_group_that_may_only_tap_lets_nobody_hold),
		live_test(a_group_that_no_config_names_is_made_by_attaching_and_ends_with_its_last),
		live_test(an_exclusive_queue_can_not_be_tapped),
		live_test(a_queue_has_64_members_in_32_groups_of_which_one_user_has_half),
		live_test(a_member_goes_on_when_a_reload_changes_its_group_and_the_worker),
		live_test(a_group_may_be_named_in_the_config_and_not_under_load),
		live_test(groups_of_all_queues_may_be_named_in_the_config_under_load),
		live_test(a_reload_revokes_whom_a_group_lets_in_no_more),
	};

	return live_run("shared_access", tests, 120);
}
