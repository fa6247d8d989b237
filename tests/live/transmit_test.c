// SPDX-License-Identifier: BSD-2-Clause
/* Transmitting in exclusive delivery: what is sent leaves once and whole, and every frame comes back to its owner. */
#include "tests/live/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "client/xdpd.h"
#include "tests/live/consumer.h"
#include "tests/live/instance.h"
#include "tests/live/packet.h"
#include "tests/live/traffic.h"

#define PATIENCE 10000

#define FOR_NOBODY "access: { attach: { users: [nobody] } }\n"

static struct instance *start_near(const char *queue)
{
	char config[512];

	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far"}));
	(void)snprintf(config, sizeof(config),
		       FOR_NOBODY "interfaces: [{ name: near, queues: [{ %s }] }]\n", queue);
	return instance_start(config);
}

static uint64_t figure(const struct instance *daemon, const char *name, const char *label,
		       const char *value)
{
	return (uint64_t)instance_metric(daemon, name, "device", "near", "queue", "0", label,
					 value);
}

static void transmit_metrics_are(const struct instance *daemon, uint64_t packets, uint64_t bytes)
{
	assert_int_equal(figure(daemon, "xdpd_queue_transmit_packets_total", NULL, NULL), packets);
	assert_int_equal(figure(daemon, "xdpd_queue_transmit_bytes_total", NULL, NULL), bytes);
	assert_int_equal(
		figure(daemon, "xdpd_queue_transmit_invalid_descriptors_total", NULL, NULL), 0);
}

/* None is missing and none is there twice. */
static void frames_settle(const struct consumer *consumer)
{
	if (!wait_until(consumer_report(consumer).settled == consumer_report(consumer).frames,
			PATIENCE))
		fail_msg("%u of %u frames came back", consumer_report(consumer).settled,
			 consumer_report(consumer).frames);
}

static void frames_of_all_sizes_arrive_at_the_peer_once_and_whole(void **state)
{
	static const size_t lengths[] = {60, 512, 1514};
	const uint64_t count = 3000;
	uint64_t packets = 0, bytes = 0;
	struct instance *daemon;
	cleanup_fd int far = -1;

	(void)state;
	daemon = start_near("id: 0, frame_size: 2048");
	far = (int)assert_ok(packet_open("far"));
	for (size_t i = 0; i < 3; i++) {
		struct consumer *consumer = consumer_start(&(struct consumer_options){
			.instance = daemon,
			.device = "near",
			.transmit = true,
			.task = CONSUMER_SENDS,
			.length = lengths[i],
			.to_send = count,
			.burst = 32,
		});

		consumer_awaits_sent(consumer, count);
		consumer_frames_arrive(far, lengths[i], 0, count);
		frames_settle(consumer);
		packets += count;
		bytes += count * lengths[i];
		transmit_metrics_are(daemon, packets, bytes);
		(void)consumer_stop(consumer);
		transmit_metrics_are(daemon, packets, bytes);
	}
	instance_stop(daemon);
}

static void who_may_not_transmit_is_refused_or_gets_no_tx_ring(void **state)
{
	struct consumer_report report;
	struct instance *daemon;
	struct consumer *consumer;
	struct xdpd_raw raw;
	struct xdpd *x;

	(void)state;
	daemon = start_near("id: 0, attach: { transmit: false }");
	require_receive_only(daemon);
	consumer_is_refused(
		&(struct consumer_options){.instance = daemon, .device = "near", .transmit = true},
		EACCES, "transmit");
	consumer = consumer_start(&(struct consumer_options){.instance = daemon, .device = "near"});
	assert_int_equal(figure(daemon, "xdpd_queue_ring_capacity_entries", "ring", "tx"), 0);
	report = consumer_stop(consumer);
	assert_false(report.may_transmit);
	transmit_metrics_are(daemon, 0, 0);

	/* Nor has the socket one, whoever asks it. */
	assert_ok(xdpd_connect(&x, instance_socket(daemon), "root"));
	assert_ok(xdpd_attach(x, "near", 0, NULL));
	assert_ok(xdpd_raw(x, &raw));
	assert_int_equal(raw.tx.size, 0);
	assert_int_equal(sendto(raw.fd, NULL, 0, MSG_DONTWAIT, NULL, 0), -1);
	assert_int_equal(errno, ENOBUFS);
	xdpd_close(x);
	instance_stop(daemon);
}

static void who_does_not_ask_to_transmit_can_not(void **state)
{
	struct consumer_report report;
	struct instance *daemon;

	(void)state;
	daemon = start_near("id: 0");
	report = consumer_stop(
		consumer_start(&(struct consumer_options){.instance = daemon, .device = "near"}));
	assert_false(report.may_transmit);
	report = consumer_stop(consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .transmit = true}));
	assert_true(report.may_transmit);
	instance_stop(daemon);
}

static void a_reflector_sends_many_times_more_frames_than_the_umem_has(void **state)
{
	const uint64_t count = 19200, step = 64;
	struct consumer_report report;
	struct instance *daemon;
	struct consumer *consumer;
	cleanup_fd int far = -1;

	(void)state;
	daemon = start_near("id: 0, frames: 256, frame_size: 2048, "
			    "rings: { rx: 128, tx: 64, fill: 128, completion: 64 }");
	far = (int)assert_ok(packet_open("far"));
	consumer = consumer_start(&(struct consumer_options){
		.instance = daemon,
		.device = "near",
		.transmit = true,
		.task = CONSUMER_REFLECTS,
		.length = 200,
		.count = count,
	});
	/* At once half of the frames that it receives with: the other half may be on its way back. */
	for (uint64_t first = 0; first < count; first += step) {
		uint8_t frame[200];

		for (uint64_t i = first; i < first + step; i++) {
			consumer_frame(frame, sizeof(frame), i);
			assert_ok(packet_send(far, frame, sizeof(frame)));
		}
		consumer_frames_arrive(far, sizeof(frame), first, step);
	}
	consumer_awaits_sent(consumer, count);
	transmit_metrics_are(daemon, count, count * 200);
	assert_int_equal(figure(daemon, "xdpd_queue_receive_packets_total", NULL, NULL), count);
	report = consumer_stop(consumer);
	consumer_got_all(&report, count);
	assert_int_equal(report.sent_bytes, count * 200);
	/* The kernel tells late what it took from the fill ring, so a frame can seem to be there still. */
	assert_true(report.settled >= report.frames);
	instance_stop(daemon);
}

static void bursts_larger_than_the_tx_ring_are_sent_and_every_frame_comes_back(void **state)
{
	const uint64_t count = 5000;
	struct instance *daemon;
	struct consumer *consumer;
	cleanup_fd int far = -1;

	(void)state;
	daemon = start_near("id: 0, frames: 512, frame_size: 2048, "
			    "rings: { rx: 64, tx: 64, fill: 64, completion: 32 }");
	far = (int)assert_ok(packet_open("far"));
	consumer = consumer_start(&(struct consumer_options){
		.instance = daemon,
		.device = "near",
		.transmit = true,
		.task = CONSUMER_SENDS,
		.length = 100,
		.to_send = count,
		.burst = 300,
	});
	consumer_awaits_sent(consumer, count);
	consumer_frames_arrive(far, 100, 0, count);
	frames_settle(consumer);
	assert_int_equal(figure(daemon, "xdpd_queue_ring_entries", "ring", "tx"), 0);
	transmit_metrics_are(daemon, count, count * 100);
	(void)consumer_stop(consumer);
	instance_stop(daemon);
}

static void what_is_sent_while_the_link_is_down_is_told_and_leaves_when_it_is_up_again(void **state)
{
	const uint64_t count = 48;
	struct consumer_report report;
	struct instance *daemon;
	struct consumer *consumer;
	cleanup_fd int far = -1;

	(void)state;
	daemon = start_near(
		"id: 0, frames: 256, rings: { rx: 64, tx: 64, fill: 64, completion: 64 }");
	consumer = consumer_start(&(struct consumer_options){
		.instance = daemon,
		.device = "near",
		.transmit = true,
		.length = 100,
		.to_send = count,
		.burst = 16,
	});
	assert_ok(device_down("near"));
	consumer_awaits_event(consumer, XDPD_EVENT_LINK_DOWN);
	consumer_turns_to(consumer, CONSUMER_SENDS);
	consumer_awaits_sent(consumer, count);
	assert_becomes(consumer_report(consumer).transmit_error == -ENETDOWN, PATIENCE);
	transmit_metrics_are(daemon, 0, count * 100);

	far = (int)assert_ok(packet_open("far"));
	assert_ok(device_up("near"));
	consumer_frames_arrive(far, 100, 0, count);
	frames_settle(consumer);
	transmit_metrics_are(daemon, count, count * 100);
	report = consumer_stop(consumer);
	assert_true(report.events & 1U << XDPD_EVENT_LINK_UP);
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(frames_of_all_sizes_arrive_at_the_peer_once_and_whole),
		live_test(who_may_not_transmit_is_refused_or_gets_no_tx_ring),
		live_test(who_does_not_ask_to_transmit_can_not),
		live_test(a_reflector_sends_many_times_more_frames_than_the_umem_has),
		live_test(bursts_larger_than_the_tx_ring_are_sent_and_every_frame_comes_back),
		live_test(
			what_is_sent_while_the_link_is_down_is_told_and_leaves_when_it_is_up_again),
	};

	return live_run("transmit", tests, 120);
}
