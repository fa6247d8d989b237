// SPDX-License-Identifier: BSD-2-Clause
/* Transmitting in shared delivery: from memory of one's own, of held frames with and without a copy, and in fair shares. */
#include "tests/live/harness.h"

#include <errno.h>

#include "tests/live/consumer.h"
#include "tests/live/instance.h"
#include "tests/live/packet.h"
#include "tests/live/shared.h"
#include "tests/live/sink.h"
#include "tests/live/traffic.h"

#define ENDLESS 1000000000

static struct consumer *start_sender(const struct instance *daemon, const char *name, size_t length,
				     uint64_t count)
{
	return consumer_start(&(struct consumer_options){.instance = daemon,
							 .device = "near",
							 .name = name,
							 .transmit = true,
							 .task = CONSUMER_SENDS,
							 .length = length,
							 .to_send = count,
							 .burst = 32});
}

static struct consumer *start_witness(const struct instance *daemon)
{
	return consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .name = "witness", .flags = XDPD_ATTACH_TAP});
}

static void what_a_member_sends_from_its_own_memory_arrives_whole(void **state)
{
	static const size_t lengths[] = {60, 512, 1514};
	const uint64_t count = 3000;
	struct consumer *witness;
	struct instance *daemon;
	uint64_t bytes = 0;
	cleanup_fd int far = -1;

	(void)state;
	daemon = shared_start("frame_size: 2048", "");
	far = (int)assert_ok(packet_open("far"));
	witness = start_witness(daemon);
	for (size_t i = 0; i < 3; i++) {
		struct consumer *sender = start_sender(daemon, "sender", lengths[i], count);
		struct xdpd_consumer_record record;

		consumer_awaits_sent(sender, count);
		consumer_frames_arrive(far, lengths[i], 0, count);
		bytes += count * lengths[i];
		record = shared_consumer(daemon, "sender");
		assert_int_equal(record.transmit_packets, count);
		assert_int_equal(record.transmit_bytes, count * lengths[i]);
		assert_int_equal(record.transmit_invalid, 0);
		assert_int_equal(shared_queue(daemon).transmit_packets, (i + 1) * count);
		assert_int_equal(shared_queue(daemon).transmit_bytes, bytes);
		assert_becomes(shared_worker(daemon).frames[XDPD_PLACE_TRANSMIT] == 0, 5000);
		(void)consumer_stop(sender);
	}
	assert_int_equal(shared_queue(daemon).transmit_invalid_descriptors, 0);
	(void)consumer_stop(witness);
	instance_stop(daemon);
}

/* What comes goes back as it is, many times more frames than there are. */
static void reflect(const char *queue, uint32_t flags, bool witnessed)
{
	const uint64_t count = 6400, step = 64;
	struct consumer *reflector, *other, *witness = NULL;
	struct consumer_report report;
	struct instance *daemon;
	cleanup_fd int far = -1;
	uint8_t frame[200];

	daemon = shared_start(queue, "");
	far = (int)assert_ok(packet_open("far"));
	if (witnessed)
		witness = start_witness(daemon);
	/* Another holds the same frames. */
	other = consumer_start(&(struct consumer_options){.instance = daemon,
							  .device = "near",
							  .name = "other",
							  .length = sizeof(frame),
							  .count = count});
	reflector = consumer_start(&(struct consumer_options){.instance = daemon,
							      .device = "near",
							      .name = "reflector",
							      .flags = flags,
							      .transmit = true,
							      .task = CONSUMER_REFLECTS,
							      .length = sizeof(frame),
							      .count = count});
	for (uint64_t first = 0; first < count; first += step) {
		for (uint64_t i = first; i < first + step; i++) {
			consumer_frame(frame, sizeof(frame), i);
			assert_ok(packet_send(far, frame, sizeof(frame)));
		}
		consumer_frames_arrive(far, sizeof(frame), first, step);
		consumer_awaits(other, first + step);
	}
	consumer_awaits_sent(reflector, count);
	assert_int_equal(shared_consumer(daemon, "reflector").transmit_packets, count);
	assert_int_equal(shared_worker(daemon).violations, 0);
	report = consumer_stop(reflector);
	consumer_got_all(&report, count);
	report = consumer_stop(other);
	consumer_got_all(&report, count);
	if (witness) {
		shared_lends_nothing(daemon);
		assert_int_equal(shared_worker(daemon).frames[XDPD_PLACE_TRANSMIT], 0);
		(void)consumer_stop(witness);
	}
	instance_stop(daemon);
}

#define SMALL                              \
	"frames: 1024, frame_size: 2048, " \
	"rings: { rx: 256, tx: 128, fill: 512, completion: 128 }"

static void held_frames_are_sent_back_copied(void **state)
{
	(void)state;
	reflect(SMALL, 0, true);
}

static void held_frames_are_sent_back_as_they_are_where_members_may_write(void **state)
{
	(void)state;
	reflect(SMALL ", umem: writable", 0, true);
	assert_ok(device_delete("near"));
	/* Without a tap frames go to the kernel sooner again. */
	reflect(SMALL ", umem: writable", 0, false);
}

static void a_tap_sends_what_it_saw(void **state)
{
	(void)state;
	reflect(SMALL, XDPD_ATTACH_TAP, false);
}

/* Whether both have sent about as much in the time of a look. */
static bool share_evenly(const struct instance *daemon)
{
	uint64_t sent[2];

	sent[0] = shared_consumer(daemon, "flood").transmit_packets;
	sent[1] = shared_consumer(daemon, "deluge").transmit_packets;
	live_sleep_ms(500);
	sent[0] = shared_consumer(daemon, "flood").transmit_packets - sent[0];
	sent[1] = shared_consumer(daemon, "deluge").transmit_packets - sent[1];
	print_message("%lu and %lu sent\n", sent[0], sent[1]);
	return sent[0] > 1000 && sent[0] * 5 > sent[1] * 4 && sent[1] * 5 > sent[0] * 4;
}

static void a_flooding_sender_takes_no_more_than_its_share(void **state)
{
	const uint64_t count = 5000;
	struct consumer *floods[2], *receiver;
	struct consumer_report report;
	struct instance *daemon;
	struct sink *sink;

	(void)state;
	require_live_frames();
	daemon = shared_start("frame_size: 2048", "");
	assert_ok(sink_attach(&sink, "far", XDP_DROP));
	receiver = consumer_start(&(struct consumer_options){.instance = daemon,
							     .device = "near",
							     .name = "receiver",
							     .length = 100,
							     .count = count});
	floods[0] = start_sender(daemon, "flood", 1000, ENDLESS);
	floods[1] = start_sender(daemon, "deluge", 1000, ENDLESS);
	consumer_awaits_sent(floods[0], 1000);
	consumer_awaits_sent(floods[1], 1000);
	/* A flood that the machine keeps from running has nothing to send: then it is looked at again. */
	assert_becomes(share_evenly(daemon), 8000);

	/* Nor does receiving stop. What the kernel has no time for it counts. */
	assert_ok(traffic_finish(consumer_traffic("far", 0, 100, 0, count, 5000), 20000, NULL));
	assert_becomes(shared_consumer(daemon, "receiver").receive_packets +
				       shared_consumer(daemon, "receiver").dropped +
				       shared_queue(daemon).receive_dropped +
				       shared_queue(daemon).receive_ring_full ==
			       count,
		       5000);
	assert_true(consumer_report(receiver).packets > count / 2);
	report = consumer_stop(receiver);
	assert_int_equal(report.again + report.strange + report.damaged, 0);
	(void)consumer_stop(floods[0]);
	(void)consumer_stop(floods[1]);
	sink_detach(sink);
	instance_stop(daemon);
}

static void who_may_not_transmit_is_refused(void **state)
{
	struct instance *daemon;

	(void)state;
	daemon = shared_start("attach: { transmit: false }",
			      "    groups:\n"
			      "      - { name: may, attach: { transmit: true } }\n"
			      "      - { name: neither }\n");
	consumer_is_refused(
		&(struct consumer_options){
			.instance = daemon, .device = "near", .name = "anyone", .transmit = true},
		EACCES, "transmit");
	consumer_is_refused(
		&(struct consumer_options){
			.instance = daemon, .device = "near", .group = "neither", .transmit = true},
		EACCES, "transmit");
	assert_false(consumer_stop(consumer_start(&(struct consumer_options){.instance = daemon,
									     .device = "near"}))
			     .may_transmit);
	assert_true(consumer_stop(consumer_start(&(struct consumer_options){.instance = daemon,
									    .device = "near",
									    .group = "may",
									    .transmit = true}))
			    .may_transmit);
	assert_false(consumer_stop(consumer_start(&(struct consumer_options){
					   .instance = daemon, .device = "near", .group = "may"}))
			     .may_transmit);
	instance_stop(daemon);
}

static void a_group_may_be_kept_from_transmitting_where_others_may(void **state)
{
	const uint64_t count = 500;
	struct consumer *sender;
	struct instance *daemon;
	cleanup_fd int far = -1;

	(void)state;
	daemon = shared_start("", "    groups: [{ name: quiet, attach: { transmit: false } }]\n");
	far = (int)assert_ok(packet_open("far"));
	consumer_is_refused(
		&(struct consumer_options){
			.instance = daemon, .device = "near", .group = "quiet", .transmit = true},
		EACCES, "transmit");
	sender = start_sender(daemon, "loud", 100, count);
	consumer_awaits_sent(sender, count);
	consumer_frames_arrive(far, 100, 0, count);
	(void)consumer_stop(sender);
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(what_a_member_sends_from_its_own_memory_arrives_whole),
		live_test(held_frames_are_sent_back_copied),
		live_test(held_frames_are_sent_back_as_they_are_where_members_may_write),
		live_test(a_tap_sends_what_it_saw),
		live_test(a_flooding_sender_takes_no_more_than_its_share),
		live_test(who_may_not_transmit_is_refused),
		live_test(a_group_may_be_kept_from_transmitting_where_others_may),
	};

	return live_run("shared_transmit", tests, 120);
}
