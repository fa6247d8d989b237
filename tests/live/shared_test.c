// SPDX-License-Identifier: BSD-2-Clause
/* Shared delivery: each group gets every frame, and members of a group split them by flow. */
#include "tests/live/harness.h"

#include <stdlib.h>

#include "tests/live/consumer.h"
#include "tests/live/flow.h"
#include "tests/live/instance.h"
#include "tests/live/packet.h"
#include "tests/live/shared.h"
#include "tests/live/traffic.h"

#define RATE	20000
#define MEMBERS 3
#define FLOWS	128

static struct consumer *start_member(const struct instance *daemon, const char *name,
				     const char *group, uint64_t count)
{
	return consumer_start(&(struct consumer_options){.instance = daemon,
							 .device = "near",
							 .name = name,
							 .group = group,
							 .length = 300,
							 .flows = FLOWS,
							 .count = count});
}

static void one_consumer_gets_every_frame_once_and_gives_all_back(void **state)
{
	static const size_t lengths[] = {60, 512, 1514};
	const uint64_t count = 10000;
	struct consumer *witness;
	struct instance *daemon;

	(void)state;
	require_live_frames();
	daemon = shared_start(SHARED_ROOMY, "");
	/* The worker goes on as long as somebody is there. */
	witness = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .name = "witness", .flags = XDPD_ATTACH_TAP});
	for (size_t i = 0; i < 3; i++) {
		struct consumer *consumer = consumer_start(&(struct consumer_options){
			.instance = daemon,
			.device = "near",
			.way = i % 2 ? CONSUMER_BY_EPOLL : CONSUMER_BY_WAIT,
			.length = lengths[i],
			.count = count});
		struct consumer_report report;

		shared_sent_all(consumer_traffic("far", 0, lengths[i], 0, count, RATE), count);
		consumer_awaits(consumer, count);
		assert_int_equal(shared_consumer(daemon, "consumer").receive_packets, count);
		assert_int_equal(shared_consumer(daemon, "consumer").receive_bytes,
				 count * lengths[i]);
		report = consumer_stop(consumer);
		consumer_got_all(&report, count);
		shared_lends_nothing(daemon);
	}
	shared_kernel_lost_nothing(daemon);
	assert_int_equal(shared_worker(daemon).packets, 3 * count);
	assert_int_equal(shared_worker(daemon).unclaimed, 0);
	(void)consumer_stop(witness);
	instance_stop(daemon);
}

static void three_groups_each_get_every_frame(void **state)
{
	const uint64_t count = 20000;
	const char *const names[] = {"one", "two", "three"};
	struct consumer *consumers[3], *witness;
	struct instance *daemon;

	(void)state;
	require_live_frames();
	daemon = shared_start(SHARED_ROOMY, "");
	witness = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .name = "witness", .flags = XDPD_ATTACH_TAP});
	for (size_t i = 0; i < 3; i++)
		consumers[i] = start_member(daemon, names[i], NULL, count);
	shared_sent_all(consumer_flows("far", 0, 300, FLOWS, 0, count, RATE), count);
	for (size_t i = 0; i < 3; i++) {
		struct consumer_report report;

		consumer_awaits(consumers[i], count);
		report = consumer_stop(consumers[i]);
		consumer_got_all(&report, count);
		assert_int_equal(report.backwards, 0);
	}
	shared_kernel_lost_nothing(daemon);
	shared_lends_nothing(daemon);
	(void)consumer_stop(witness);
	instance_stop(daemon);
}

/* ---- flows and members ---- */

struct group_of_three {
	struct consumer *members[MEMBERS];
	struct consumer *alone; /* a group of one beside it */
};

static struct group_of_three start_three(const struct instance *daemon,
					 const struct consumer_options *options)
{
	static const char *const names[] = {"first", "second", "third"};
	struct group_of_three three;
	struct consumer_options member = *options;

	member.instance = daemon;
	member.device = "near";
	for (size_t i = 0; i < MEMBERS; i++) {
		member.name = names[i];
		member.group = "three";
		three.members[i] = consumer_start(&member);
	}
	member.name = "alone";
	member.group = NULL;
	three.alone = consumer_start(&member);
	return three;
}

static uint64_t packets_of_three(const struct group_of_three *three)
{
	uint64_t packets = 0;

	for (size_t i = 0; i < MEMBERS; i++)
		packets += consumer_report(three->members[i]).packets;
	return packets;
}

static void await_three(const struct group_of_three *three, uint64_t count)
{
	consumer_awaits(three->alone, count);
	if (!wait_until(packets_of_three(three) >= count, 10000))
		fail_msg("the three got %lu frames of %lu", packets_of_three(three), count);
	assert_int_equal(packets_of_three(three), count);
}

/* The member that got all frames of a flow, `each` in number. */
static int owner_of(const struct group_of_three *three, uint32_t flow, uint64_t each)
{
	int owner = -1;

	for (int i = 0; i < MEMBERS; i++) {
		uint64_t packets = consumer_flow(three->members[i], flow);

		if (packets && packets != each)
			fail_msg("of flow %u a member got %lu frames instead of %lu", flow, packets,
				 each);
		if (packets && owner >= 0)
			fail_msg("two members got flow %u", flow);
		if (packets)
			owner = i;
	}
	assert_true(owner >= 0);
	return owner;
}

static void each_owns_some(const struct group_of_three *three, uint32_t first, uint32_t count,
			   uint64_t each)
{
	uint32_t owned[MEMBERS] = {};

	for (uint32_t flow = first; flow < first + count; flow++)
		owned[owner_of(three, flow, each)]++;
	for (int i = 0; i < MEMBERS; i++)
		if (!owned[i])
			fail_msg("member %d got none of %u flows", i, count);
}

static void stop_three(struct group_of_three *three)
{
	for (size_t i = 0; i < MEMBERS; i++)
		assert_int_equal(consumer_stop(three->members[i]).damaged, 0);
	assert_int_equal(consumer_stop(three->alone).damaged, 0);
}

static void three_members_split_flows_and_together_get_every_frame_once(void **state)
{
	const uint64_t count = 120 * FLOWS;
	struct group_of_three three;
	struct consumer_report sum = {};
	struct instance *daemon;

	(void)state;
	require_live_frames();
	daemon = shared_start(SHARED_ROOMY, "");
	three = start_three(
		daemon, &(struct consumer_options){.length = 300, .flows = FLOWS, .count = count});
	assert_int_equal(shared_queue(daemon).classified, 1);
	shared_sent_all(consumer_flows("far", 0, 300, FLOWS, 0, count, RATE), count);
	await_three(&three, count);
	each_owns_some(&three, 0, FLOWS, count / FLOWS);
	for (size_t i = 0; i < MEMBERS; i++) {
		struct consumer_report report = consumer_stop(three.members[i]);

		sum.packets += report.packets;
		sum.seen += report.seen;
		sum.again += report.again;
		sum.strange += report.strange;
		sum.damaged += report.damaged;
		assert_int_equal(report.backwards, 0);
	}
	consumer_got_all(&sum, count);
	sum = consumer_stop(three.alone);
	consumer_got_all(&sum, count);
	shared_kernel_lost_nothing(daemon);
	instance_stop(daemon);
}

static void send_flow(int far, const struct flow *flow)
{
	uint8_t frame[FLOW_LENGTH];

	flow_frame(frame, flow);
	assert_ok(packet_send(far, frame, sizeof(frame)));
}

static void both_directions_of_a_flow_go_to_one_member(void **state)
{
	const uint32_t flows = 48;
	struct group_of_three three;
	struct instance *daemon;
	cleanup_fd int far = -1;

	(void)state;
	daemon = shared_start("", "");
	far = (int)assert_ok(packet_open("far"));
	three = start_three(daemon, &(struct consumer_options){.labels = true});
	for (uint32_t i = 0; i < flows * FLOW_KINDS; i++) {
		struct flow flow = {.kind = (enum flow_kind)(i / flows), .number = i, .label = i};

		for (int times = 0; times < 3; times++) {
			flow.backwards = times % 2;
			send_flow(far, &flow);
		}
	}
	await_three(&three, 3ULL * flows * FLOW_KINDS);
	for (uint32_t kind = 0; kind < FLOW_KINDS; kind++)
		each_owns_some(&three, kind * flows, flows, 3);
	stop_three(&three);
	instance_stop(daemon);
}

static void all_fragments_of_a_datagram_go_to_one_member(void **state)
{
	const uint32_t datagrams = 48;
	struct group_of_three three;
	struct instance *daemon;
	cleanup_fd int far = -1;

	(void)state;
	daemon = shared_start("", "");
	far = (int)assert_ok(packet_open("far"));
	three = start_three(daemon, &(struct consumer_options){.labels = true});
	for (uint32_t i = 0; i < 2 * datagrams; i++) {
		struct flow flow = {.kind = i < datagrams ? FLOW_FRAGMENT4 : FLOW_FRAGMENT6,
				    .number = i,
				    .label = i};

		send_flow(far, &flow);
		flow.later = true;
		send_flow(far, &flow);
		send_flow(far, &flow);
	}
	await_three(&three, 6ULL * datagrams);
	each_owns_some(&three, 0, datagrams, 3);
	each_owns_some(&three, datagrams, datagrams, 3);
	stop_three(&three);
	instance_stop(daemon);
}

static void frames_without_a_flow_go_to_one_member_always_the_same(void **state)
{
	const uint32_t count = 100;
	struct group_of_three three;
	struct instance *daemon;
	cleanup_fd int far = -1;

	(void)state;
	daemon = shared_start("", "");
	far = (int)assert_ok(packet_open("far"));
	three = start_three(daemon, &(struct consumer_options){.labels = true});
	for (uint32_t i = 0; i < count; i++)
		send_flow(far, &(struct flow){.kind = FLOW_ARP, .number = i, .label = 1});
	await_three(&three, count);
	(void)owner_of(&three, 1, count);
	stop_three(&three);
	instance_stop(daemon);
}

/* ---- who comes and goes ---- */

/* Sends some frames of each flow and finds out who of the members gets it; the others are NULL. */
static void find_owners(struct consumer *const members[MEMBERS], int ret[FLOWS])
{
	const uint64_t each = 4;
	uint64_t before[MEMBERS][FLOWS] = {};
	uint64_t missing = FLOWS;

	for (int i = 0; i < MEMBERS; i++)
		for (uint32_t flow = 0; members[i] && flow < FLOWS; flow++)
			before[i][flow] = consumer_flow(members[i], flow);
	shared_sent_all(consumer_flows("far", 0, 300, FLOWS, 0, each * FLOWS, RATE), each * FLOWS);
	for (uint32_t flow = 0; flow < FLOWS; flow++)
		ret[flow] = -1;
	for (uint64_t until = live_now_ms() + 10000; missing && live_now_ms() < until;) {
		missing = FLOWS;
		for (uint32_t flow = 0; flow < FLOWS; flow++) {
			for (int i = 0; i < MEMBERS; i++) {
				if (!members[i] ||
				    consumer_flow(members[i], flow) == before[i][flow])
					continue;
				assert_true(ret[flow] < 0 || ret[flow] == i);
				ret[flow] = i;
				if (consumer_flow(members[i], flow) == before[i][flow] + each)
					missing--;
			}
		}
	}
	if (missing)
		fail_msg("%lu flows are not complete", missing);
}

static void who_joins_or_leaves_moves_only_the_flows_that_must(void **state)
{
	struct consumer *members[MEMBERS] = {};
	int two[FLOWS], three[FLOWS], again[FLOWS];
	uint32_t moved = 0;
	struct instance *daemon;

	(void)state;
	require_live_frames();
	daemon = shared_start("", "");
	members[0] = start_member(daemon, "first", "g", FLOWS * 100);
	members[1] = start_member(daemon, "second", "g", FLOWS * 100);
	find_owners(members, two);
	members[2] = start_member(daemon, "third", "g", FLOWS * 100);
	find_owners(members, three);
	for (uint32_t flow = 0; flow < FLOWS; flow++) {
		assert_true(three[flow] == two[flow] || three[flow] == 2);
		moved += three[flow] == 2;
	}
	assert_true(moved > 0 && moved < 2 * FLOWS / 3);

	(void)consumer_stop(members[2]);
	members[2] = NULL;
	assert_becomes(shared_consumers(daemon) == 2, 5000);
	find_owners(members, again);
	assert_memory_equal(again, two, sizeof(two));

	members[2] = start_member(daemon, "third", "g", FLOWS * 100);
	find_owners(members, three);
	consumer_kill(members[0]);
	members[0] = NULL;
	assert_becomes(shared_consumers(daemon) == 2, 5000);
	find_owners(members, again);
	for (uint32_t flow = 0; flow < FLOWS; flow++)
		assert_true(again[flow] == three[flow] || three[flow] == 0);
	(void)consumer_stop(members[1]);
	(void)consumer_stop(members[2]);
	instance_stop(daemon);
}

static void joins_and_leaves_under_load_cost_the_others_no_frame(void **state)
{
	const uint64_t count = 40000;
	struct consumer *steady, *alone;
	struct consumer_report report;
	struct xdpd_group_record group;
	struct instance *daemon;
	struct traffic *traffic;
	unsigned int times = 0;

	(void)state;
	require_live_frames();
	daemon = shared_start(SHARED_ROOMY, "");
	alone = start_member(daemon, "alone", NULL, count);
	steady = start_member(daemon, "steady", "busy", count);
	traffic = consumer_flows("far", 0, 300, FLOWS, 0, count, RATE);
	for (; traffic_is_sending(traffic); times++) {
		struct consumer *member =
			start_member(daemon, "member", times % 3 ? "busy" : "passing", count);

		live_sleep_ms(20);
		if (times % 2)
			(void)consumer_stop(member);
		else
			consumer_kill(member);
	}
	print_message("%u came and went\n", times);
	shared_sent_all(traffic, count);
	consumer_awaits(alone, count);
	shared_kernel_lost_nothing(daemon);
	assert_becomes(shared_consumers(daemon) == 2, 5000);
	/* All of the group's together, those that are gone included, were given each frame once. */
	group = shared_group(daemon, "busy");
	assert_int_equal(group.receive_packets + group.dropped_ring_full + group.dropped_quota,
			 shared_worker(daemon).packets - shared_worker(daemon).unclaimed);
	assert_int_equal(shared_worker(daemon).packets, count);
	assert_int_equal(shared_worker(daemon).violations, 0);
	report = consumer_stop(alone);
	consumer_got_all(&report, count);
	report = consumer_stop(steady);
	assert_int_equal(report.damaged + report.again + report.strange, 0);
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(one_consumer_gets_every_frame_once_and_gives_all_back),
		live_test(three_groups_each_get_every_frame),
		live_test(three_members_split_flows_and_together_get_every_frame_once),
		live_test(both_directions_of_a_flow_go_to_one_member),
		live_test(all_fragments_of_a_datagram_go_to_one_member),
		live_test(frames_without_a_flow_go_to_one_member_always_the_same),
		live_test(who_joins_or_leaves_moves_only_the_flows_that_must),
		live_test(joins_and_leaves_under_load_cost_the_others_no_frame),
	};

	return live_run("shared", tests, 120);
}
