// SPDX-License-Identifier: BSD-2-Clause
/* Members that stop, die, hoard or dawdle: it costs the others nothing, and each frame is accounted for. */
#include "tests/live/harness.h"

#include <signal.h>
#include <stdlib.h>

#include "tests/live/consumer.h"
#include "tests/live/instance.h"
#include "tests/live/shared.h"
#include "tests/live/traffic.h"

#define RATE	 20000
#define RATE_MAX 100000 /* beyond that the machine's other work decides what is lost */
#define LENGTH	 100

/* How long a member is stopped, in seconds. $LIVE_TEST_STOP_SECONDS and $LIVE_TEST_RATE_MAX are other choices. */
#define STOP_SECONDS 4

static struct consumer *start(const struct instance *daemon, const char *name,
			      enum consumer_task task, uint64_t count)
{
	return consumer_start(&(struct consumer_options){.instance = daemon,
							 .device = "near",
							 .name = name,
							 .task = task,
							 .length = LENGTH,
							 .count = count});
}

static void got_all(struct consumer *consumer, uint64_t count)
{
	struct consumer_report report;

	consumer_awaits(consumer, count);
	report = consumer_stop(consumer);
	consumer_got_all(&report, count);
	assert_int_equal(report.backwards, 0);
}

static uint64_t dropped(const struct instance *daemon, const char *name)
{
	return shared_consumer(daemon, name).dropped;
}

/* Received or, by cause, dropped: what it was given since it attached. */
static uint64_t given(const struct xdpd_consumer_record *record)
{
	assert_int_equal(record->dropped,
			 record->dropped_ring_full + record->dropped_quota + record->overrun);
	return record->receive_packets + record->dropped_ring_full + record->dropped_quota;
}

static uint64_t chosen(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);
	long value = text ? atol(text) : 0;

	return value > 0 ? (uint64_t)value : otherwise;
}

/* Frames a second that the worker hands to so many groups, on the CPUs that there are. */
static uint64_t measure_rate(const struct instance *daemon)
{
	struct consumer *consumers[3];
	struct traffic_result result;
	struct traffic *traffic;
	uint64_t before, rate;

	for (size_t i = 0; i < 3; i++)
		consumers[i] =
			start(daemon, (const char *[]){"a", "b", "c"}[i], CONSUMER_RECEIVES, 0);
	before = shared_worker(daemon).packets;
	traffic = consumer_traffic("far", 0, LENGTH, 0, 0, 0);
	live_sleep_ms(500);
	assert_ok(traffic_stop(traffic, &result));
	rate = (shared_worker(daemon).packets - before) * 1000000000 / result.nanoseconds;
	for (size_t i = 0; i < 3; i++)
		(void)consumer_stop(consumers[i]);
	return rate;
}

static void a_stopped_member_costs_others_no_frame_at_half_of_the_maximum_rate(void **state)
{
	const uint64_t most = chosen("LIVE_TEST_RATE_MAX", RATE_MAX);
	uint64_t rate, count, lost_before;
	struct consumer *stopped, *others[2];
	struct xdpd_consumer_record record;
	struct consumer_report report;
	struct instance *daemon;
	uint64_t packets;

	(void)state;
	require_live_frames();
	daemon = shared_start("frames: 65536, frame_size: 2048, "
			      "rings: { rx: 32768, fill: 32768, tx: 64, completion: 64 }",
			      "");
	rate = measure_rate(daemon);
	print_message("%lu frames a second arrive at most\n", rate);
	rate = rate / 2 < most ? rate / 2 : most;
	count = rate * chosen("LIVE_TEST_STOP_SECONDS", STOP_SECONDS);
	assert_becomes(shared_consumers(daemon) == 0, 5000);
	lost_before = shared_queue(daemon).receive_dropped + shared_queue(daemon).receive_ring_full;
	packets = shared_worker(daemon).packets;

	/* Its numbers go on: after the stop it shall get more. */
	stopped = start(daemon, "stopped", CONSUMER_RECEIVES, count + 1000);
	others[0] = start(daemon, "other", CONSUMER_RECEIVES, count + 1000);
	others[1] = start(daemon, "another", CONSUMER_RECEIVES, count + 1000);
	consumer_signal(stopped, SIGSTOP);
	shared_sent_all(consumer_traffic("far", 0, LENGTH, 0, count, rate), count);
	assert_becomes(shared_worker(daemon).packets - packets == count, 5000);
	assert_int_equal(dropped(daemon, "other"), 0);
	assert_int_equal(dropped(daemon, "another"), 0);
	consumer_awaits(others[0], count);
	consumer_awaits(others[1], count);
	assert_int_equal(shared_queue(daemon).receive_dropped +
				 shared_queue(daemon).receive_ring_full - lost_before,
			 0);
	record = shared_consumer(daemon, "stopped");
	print_message("%lu frames at %lu a second; the stopped one got %lu and lost %lu to its "
		      "ring, %lu to its quota\n",
		      count, rate, record.receive_packets, record.dropped_ring_full,
		      record.dropped_quota);
	assert_true(record.dropped > 0);
	assert_int_equal(given(&record), count);

	consumer_signal(stopped, SIGCONT);
	consumer_awaits(stopped, record.receive_packets);
	shared_sent_all(consumer_traffic("far", 0, LENGTH, count, 1000, RATE), 1000);
	consumer_awaits(stopped, record.receive_packets + 1000);
	assert_int_equal(shared_worker(daemon).packets - packets, count + 1000);
	report = consumer_stop(stopped);
	assert_int_equal(report.again + report.strange + report.damaged, 0);
	got_all(others[0], count + 1000);
	got_all(others[1], count + 1000);
	instance_stop(daemon);
}

static void the_frames_of_a_killed_member_come_back_and_others_see_no_gap(void **state)
{
	const uint64_t count = 30000;
	struct consumer *other, *tap;
	struct instance *daemon;
	struct traffic *traffic;
	unsigned int times = 0;
	uint64_t held = 0;

	(void)state;
	require_live_frames();
	daemon = shared_start(SHARED_ROOMY, "    groups: [{ name: doomed, quota: 2000 }]\n");
	other = start(daemon, "other", CONSUMER_RECEIVES, count);
	tap = consumer_start(&(struct consumer_options){.instance = daemon,
							.device = "near",
							.name = "tap",
							.flags = XDPD_ATTACH_TAP,
							.length = LENGTH,
							.count = count});
	traffic = consumer_traffic("far", 0, LENGTH, 0, count, RATE);
	for (; traffic_is_sending(traffic); times++) {
		struct consumer *doomed =
			consumer_start(&(struct consumer_options){.instance = daemon,
								  .device = "near",
								  .name = "doomed",
								  .task = CONSUMER_HOLDS,
								  .transmit = times % 2});

		live_sleep_ms(100);
		held += shared_consumer(daemon, "doomed").held;
		consumer_kill(doomed);
		assert_becomes(shared_consumers(daemon) == 2, 5000);
	}
	print_message("%u were killed, with %lu frames\n", times, held);
	assert_true(held > 0);
	shared_sent_all(traffic, count);
	assert_int_equal(shared_group(daemon, "doomed").held, 0);
	got_all(other, count);
	/* Nobody holds any more, and the worker goes on for the tap. */
	shared_lends_nothing(daemon);
	got_all(tap, count);
	shared_kernel_lost_nothing(daemon);
	instance_stop(daemon);
}

static void who_holds_all_that_it_may_loses_the_rest_alone(void **state)
{
	const uint64_t count = 20000;
	const char *const names[] = {"bounded", "greedy", "greedier"};
	struct consumer *hoarders[3], *other;
	struct instance *daemon;
	uint32_t lent;

	(void)state;
	require_live_frames();
	daemon = shared_start(SHARED_ROOMY, "    groups: [{ name: bounded, quota: 512 }]\n");
	other = start(daemon, "other", CONSUMER_RECEIVES, count);
	for (size_t i = 0; i < 3; i++)
		hoarders[i] = start(daemon, names[i], CONSUMER_HOLDS, count);
	shared_sent_all(consumer_traffic("far", 0, LENGTH, 0, count, RATE), count);
	consumer_awaits(other, count);
	assert_int_equal(dropped(daemon, "other"), 0);
	shared_kernel_lost_nothing(daemon);
	for (size_t i = 0; i < 3; i++) {
		struct xdpd_consumer_record record = shared_consumer(daemon, names[i]);

		assert_int_equal(given(&record), count);
		assert_int_equal(record.held, record.receive_packets);
		assert_true(record.held <= record.quota);
		assert_int_equal(record.dropped_ring_full, 0);
	}
	assert_int_equal(shared_consumer(daemon, "bounded").quota, 512);
	assert_int_equal(shared_consumer(daemon, "bounded").held, 512);
	/* What the kernel fills from has a part that is never lent. */
	lent = shared_worker(daemon).frames[XDPD_PLACE_LENT];
	assert_in_range(lent, shared_consumer(daemon, "greedy").held,
			shared_queue(daemon).frames * 3 / 4);

	/* Given back, they go on. */
	for (size_t i = 0; i < 3; i++)
		consumer_turns_to(hoarders[i], CONSUMER_RECEIVES);
	for (size_t i = 0; i < 3; i++)
		assert_becomes(consumer_report(hoarders[i]).packets ==
				       shared_consumer(daemon, names[i]).receive_packets,
			       5000);
	for (size_t i = 0; i < 3; i++) {
		struct consumer_report report = consumer_stop(hoarders[i]);

		assert_int_equal(report.again + report.strange + report.damaged, 0);
	}
	got_all(other, count);
	instance_stop(daemon);
}

static bool has_taken(const struct instance *daemon, uint64_t sent)
{
	const struct xdpd_queue_record queue = shared_queue(daemon);

	return shared_worker(daemon).packets + queue.receive_dropped + queue.receive_ring_full ==
	       sent;
}

static void every_frame_is_accounted_for_at_full_rate_with_slow_members(void **state)
{
	const char *const names[] = {"fast", "slow", "hoarder", "tap"};
	const enum consumer_task tasks[] = {CONSUMER_RECEIVES, CONSUMER_DAWDLES, CONSUMER_HOLDS,
					    CONSUMER_DAWDLES};
	struct consumer *consumers[4];
	struct xdpd_queue_record queue;
	struct traffic_result result;
	struct instance *daemon;
	struct traffic *traffic;
	uint64_t packets;

	(void)state;
	require_live_frames();
	daemon = shared_start("", "");
	for (size_t i = 0; i < 4; i++)
		consumers[i] = consumer_start(&(struct consumer_options){
			.instance = daemon,
			.device = "near",
			.name = names[i],
			.flags = i == 3 ? XDPD_ATTACH_TAP : XDPD_ATTACH_HOLD,
			.task = tasks[i]});
	traffic = consumer_traffic("far", 0, LENGTH, 0, 0, 0);
	live_sleep_ms(1500);
	assert_ok(traffic_stop(traffic, &result));
	if (!wait_until(has_taken(daemon, result.sent), 5000))
		fail_msg("%lu sent; the worker took %lu, the kernel dropped %lu and %lu",
			 result.sent, shared_worker(daemon).packets,
			 shared_queue(daemon).receive_dropped,
			 shared_queue(daemon).receive_ring_full);
	queue = shared_queue(daemon);
	packets = shared_worker(daemon).packets;
	print_message("%lu sent: %lu taken, %lu dropped, %lu met a full ring\n", result.sent,
		      packets, queue.receive_dropped, queue.receive_ring_full);
	assert_int_equal(queue.passed_packets, 0);
	assert_int_equal(queue.receive_packets, packets);
	assert_int_equal(shared_worker(daemon).unclaimed, 0);
	for (size_t i = 0; i < 4; i++) {
		const struct xdpd_group_record group = shared_group(daemon, names[i]);
		const struct xdpd_consumer_record record = shared_consumer(daemon, names[i]);

		print_message("%s: %lu received, %lu to its ring, %lu to its quota, %lu overrun\n",
			      names[i], record.receive_packets, record.dropped_ring_full,
			      record.dropped_quota, record.overrun);
		assert_int_equal(given(&record), packets);
		assert_int_equal(group.receive_packets, record.receive_packets);
		assert_int_equal(group.dropped_ring_full, record.dropped_ring_full);
		assert_int_equal(group.dropped_quota, record.dropped_quota);
	}
	/* And what the program was given is what it says that it got. */
	for (size_t i = 0; i < 3; i++)
		assert_becomes(consumer_report(consumers[i]).packets ==
				       shared_consumer(daemon, names[i]).receive_packets,
			       15000);
	assert_becomes(consumer_report(consumers[3]).packets +
				       shared_consumer(daemon, "tap").overrun ==
			       packets,
		       15000);
	for (size_t i = 0; i < 4; i++)
		(void)consumer_stop(consumers[i]);
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(a_stopped_member_costs_others_no_frame_at_half_of_the_maximum_rate),
		live_test(the_frames_of_a_killed_member_come_back_and_others_see_no_gap),
		live_test(who_holds_all_that_it_may_loses_the_rest_alone),
		live_test(every_frame_is_accounted_for_at_full_rate_with_slow_members),
	};

	return live_run("shared_stall", tests, 120);
}
