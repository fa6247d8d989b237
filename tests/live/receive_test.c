// SPDX-License-Identifier: BSD-2-Clause
/* Receiving in exclusive delivery: every frame arrives once and whole, or is counted where it went instead. */
#include "tests/live/harness.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#include "client/xdpd.h"
#include "tests/live/consumer.h"
#include "tests/live/instance.h"
#include "tests/live/numbers.h"
#include "tests/live/packet.h"
#include "tests/live/traffic.h"

#define RATE	 40000 /* frames a second that no receiver here has trouble with */
#define PATIENCE 10000

#define FOR_NOBODY "access: { attach: { users: [nobody] } }\n"

static void add_pair(const char *near, const char *far, uint32_t queues)
{
	assert_ok(veth_add(&(struct veth_options){.name = near, .peer = far, .queues = queues}));
}

static struct instance *start_near(const char *queue)
{
	char config[512];

	(void)snprintf(config, sizeof(config),
		       FOR_NOBODY "interfaces: [{ name: near, queues: [{ %s }] }]\n", queue);
	return instance_start(config);
}

/* A queue's metric; `more` may be a further label's name and value. */
static uint64_t figure(const struct instance *daemon, const char *name, const char *device,
		       uint32_t queue, const char *label, const char *value)
{
	char id[16];

	(void)snprintf(id, sizeof(id), "%u", queue);
	return (uint64_t)instance_metric(daemon, name, "device", device, "queue", id, label, value);
}

static uint64_t received(const struct instance *daemon, const char *device, uint32_t queue)
{
	return figure(daemon, "xdpd_queue_receive_packets_total", device, queue, NULL, NULL);
}

static uint64_t dropped(const struct instance *daemon, const char *device, uint32_t queue)
{
	return figure(daemon, "xdpd_queue_receive_dropped_total", device, queue, NULL, NULL) +
	       figure(daemon, "xdpd_queue_receive_ring_full_total", device, queue, NULL, NULL);
}

static uint64_t verdict(const struct instance *daemon, uint32_t queue, const char *action)
{
	return figure(daemon, "xdpd_xdp_verdicts_total", "near", queue, "action", action);
}

/* All frames were sent, entered the peer's ring, and none was lost before. */
static void finish_whole(struct traffic *traffic, uint64_t count)
{
	struct traffic_result result;

	assert_ok(traffic_finish(traffic, PATIENCE, &result));
	assert_int_equal(result.lost, 0);
	assert_int_equal(result.sent, count);
}

static void metrics_agree(const struct instance *daemon, const char *device, uint32_t queue,
			  const struct consumer_report *report)
{
	assert_int_equal(received(daemon, device, queue), report->packets);
	assert_int_equal(
		figure(daemon, "xdpd_queue_receive_bytes_total", device, queue, NULL, NULL),
		report->bytes);
	assert_int_equal(dropped(daemon, device, queue), 0);
}

/* ---- exactly once, byte for byte ---- */

static const char *const nears[] = {"near", "near2"}, *const fars[] = {"far", "far2"};

/* Two interfaces at once, as in generic mode all frames of a veth count as queue 0's. */
static void receive_all_sizes(const char *mode)
{
	static const size_t lengths[] = {64, 512, 1514};
	const uint32_t headrooms[] = {192, 0};
	const uint64_t count = 6000;
	struct consumer_report all[2] = {};
	struct instance *daemon;
	char config[512];

	require_live_frames();
	require_cpus(2);
	for (int i = 0; i < 2; i++) {
		add_pair(nears[i], fars[i], 1);
		/* Without a native program a veth needs it to receive redirected frames. */
		assert_ok(device_set_gro(nears[i], true));
	}
	(void)snprintf(config, sizeof(config),
		       FOR_NOBODY
		       "interfaces:\n"
		       "  - name: near\n"
		       "    mode: %s\n"
		       "    bind: copy\n"
		       "    queues: [{ id: 0, frame_size: 2048, headroom: 192 }]\n"
		       "  - { name: near2, mode: %s, queues: [{ id: 0, frame_size: 4096 }] }\n",
		       mode, mode);
	daemon = instance_start(config);
	for (size_t length = 0; length < 3; length++) {
		struct consumer *consumers[2];
		struct traffic *traffic[2];

		for (int i = 0; i < 2; i++)
			consumers[i] = consumer_start(&(struct consumer_options){
				.instance = daemon,
				.device = nears[i],
				.length = lengths[length],
				.headroom = headrooms[i],
				.first = (uint64_t)i * count,
				.count = count,
			});
		for (int i = 0; i < 2; i++)
			traffic[i] = consumer_traffic(fars[i], i, lengths[length],
						      (uint64_t)i * count, count, RATE);
		for (int i = 0; i < 2; i++) {
			struct consumer_report report;

			finish_whole(traffic[i], count);
			consumer_awaits(consumers[i], count);
			report = consumer_stop(consumers[i]);
			consumer_got_all(&report, count);
			assert_int_equal(report.backwards, 0);
			all[i].packets += report.packets;
			all[i].bytes += report.bytes;
		}
	}
	for (int i = 0; i < 2; i++)
		metrics_agree(daemon, nears[i], 0, &all[i]);
	assert_true(instance_metric(daemon, "xdpd_interface_info", "mode", mode) == 2);
	assert_true(instance_metric(daemon, "xdpd_queue_info", "bind", "copy") == 2);
	instance_stop(daemon);
}

static void frames_of_all_sizes_arrive_once_and_whole_in_native_mode(void **state)
{
	(void)state;
	receive_all_sizes("native");
}

static void frames_of_all_sizes_arrive_once_and_whole_in_generic_mode(void **state)
{
	(void)state;
	receive_all_sizes("generic");
}

static void several_queues_of_several_interfaces_receive_their_own_frames_alone(void **state)
{
	const uint64_t count = 100;
	struct consumer *consumers[2][4];
	struct instance *daemon;

	(void)state;
	for (int i = 0; i < 2; i++)
		add_pair(nears[i], fars[i], 4);
	daemon = instance_start(FOR_NOBODY
				"interfaces:\n"
				"  - { name: near, queues: [{ id: 0-3, frames: 512 }] }\n"
				"  - { name: near2, queues: [{ id: all, frames: 512 }] }\n");
	for (int i = 0; i < 2; i++)
		for (uint32_t queue = 0; queue < 4; queue++)
			consumers[i][queue] = consumer_start(&(struct consumer_options){
				.instance = daemon,
				.device = nears[i],
				.queue = queue,
				.length = 100,
				.first = 1000 * (uint64_t)i + count * queue,
				.count = count,
			});
	for (int i = 0; i < 2; i++) {
		cleanup_fd int far = (int)assert_ok(packet_open(fars[i]));

		for (uint64_t n = 0; n < 4 * count; n++) {
			uint8_t frame[100];

			if (n % count == 0)
				assert_ok(packet_choose_queue(far, fars[i], (uint32_t)(n / count)));
			consumer_frame(frame, sizeof(frame), 1000 * (uint64_t)i + n);
			assert_ok(packet_send(far, frame, sizeof(frame)));
		}
	}
	for (int i = 0; i < 2; i++)
		for (uint32_t queue = 0; queue < 4; queue++) {
			struct consumer_report report;

			consumer_awaits(consumers[i][queue], count);
			report = consumer_stop(consumers[i][queue]);
			consumer_got_all(&report, count);
			metrics_agree(daemon, nears[i], queue, &report);
		}
	instance_stop(daemon);
}

/* ---- rings ---- */

/* Whatever the timing: each frame was received once, or it is counted as dropped. */
static void wrap_rings(enum consumer_way way, const char *rings)
{
	const uint64_t count = 40000;
	struct consumer_report report;
	struct instance *daemon;
	struct consumer *consumer;
	struct traffic_result result;
	struct traffic *traffic;
	char queue[128];

	require_live_frames();
	add_pair("near", "far", 1);
	(void)snprintf(queue, sizeof(queue), "id: 0, frames: 512, rings: { %s }", rings);
	daemon = start_near(queue);
	consumer = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .way = way, .length = 200, .count = count});
	traffic = consumer_traffic("far", 0, 200, 0, count, RATE);
	assert_ok(traffic_finish(traffic, PATIENCE, &result));
	assert_becomes(consumer_report(consumer).packets + dropped(daemon, "near", 0) ==
			       result.sent,
		       PATIENCE);
	report = consumer_stop(consumer);
	assert_int_equal(report.seen, report.packets);
	assert_int_equal(report.damaged + report.again + report.strange + report.backwards, 0);
	assert_true(report.packets > 32 * 100);
	assert_int_equal(received(daemon, "near", 0), report.packets);
	instance_stop(daemon);
}

static void rings_of_unequal_sizes_wrap_many_times(void **state)
{
	(void)state;
	wrap_rings(CONSUMER_BY_WAIT, "rx: 64, fill: 256, tx: 32, completion: 128");
}

static void a_fill_ring_smaller_than_the_others_still_takes_every_frame_back(void **state)
{
	(void)state;
	wrap_rings(CONSUMER_BY_WAIT, "rx: 1024, fill: 64, tx: 256, completion: 32");
}

static void a_program_with_ring_code_of_its_own_receives(void **state)
{
	(void)state;
	wrap_rings(CONSUMER_BY_RAW, "rx: 128, fill: 512, tx: 64, completion: 64");
}

static void a_consumer_that_sleeps_in_epoll_gets_every_frame(void **state)
{
	(void)state;
	wrap_rings(CONSUMER_BY_EPOLL, "rx: 512, fill: 512, tx: 64, completion: 64");
}

/* As a shell's job control and a debugger do it: no handler runs, so nothing is to be noticed. */
static void a_consumer_that_was_stopped_in_its_sleep_goes_on(void **state)
{
	const uint64_t count = 1000;
	struct traffic_result result;
	struct instance *daemon;
	struct consumer *consumer;

	(void)state;
	require_live_frames();
	add_pair("near", "far", 1);
	daemon = start_near("id: 0");
	consumer = consumer_start(
		&(struct consumer_options){.instance = daemon, .device = "near", .length = 200});
	for (int i = 0; i < 3; i++) {
		live_sleep_ms(20);
		consumer_signal(consumer, SIGSTOP);
		live_sleep_ms(20);
		consumer_signal(consumer, SIGCONT);
		live_sleep_ms(20);
		assert_ok(traffic_finish(consumer_traffic("far", 0, 200, i * count, count, RATE),
					 PATIENCE, &result));
		consumer_awaits(consumer, (i + 1) * count);
	}
	assert_int_equal(consumer_stop(consumer).packets, 3 * count);
	instance_stop(daemon);
}

/* ---- too much ---- */

static void what_a_consumer_cannot_take_is_counted_to_the_frame(void **state)
{
	const uint64_t count = 200000;
	struct consumer_report report;
	struct instance *daemon;
	struct consumer *consumer;
	struct traffic_result result;
	struct traffic *traffic;

	(void)state;
	require_live_frames();
	add_pair("near", "far", 1);
	daemon = start_near("id: 0, frames: 512, rings: { rx: 32, fill: 512 }");
	consumer = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .length = 64, .count = count});
	/* As fast as can be, and part of the time nobody looks at the RX ring. */
	traffic = consumer_traffic("far", 0, 64, 0, count, 0);
	consumer_turns_to(consumer, CONSUMER_SLEEPS);
	assert_ok(traffic_finish(traffic, PATIENCE, &result));
	consumer_turns_to(consumer, CONSUMER_RECEIVES);
	assert_becomes(consumer_report(consumer).packets + dropped(daemon, "near", 0) ==
			       result.sent,
		       PATIENCE);
	assert_true(figure(daemon, "xdpd_queue_receive_ring_full_total", "near", 0, NULL, NULL) >
		    0);
	assert_int_equal(verdict(daemon, 0, "redirect"), result.sent);
	report = consumer_stop(consumer);
	assert_int_equal(report.seen, report.packets);
	assert_int_equal(report.damaged + report.again + report.strange, 0);
	assert_int_equal(received(daemon, "near", 0), report.packets);
	assert_int_equal(received(daemon, "near", 0) + dropped(daemon, "near", 0), result.sent);
	instance_stop(daemon);
}

static void send_slowly(uint64_t first, uint64_t count)
{
	finish_whole(consumer_traffic("far", 0, 100, first, count, 20000), count);
}

static void a_consumer_that_holds_all_frames_stops_receiving_and_goes_on_when_it_gives_them_back(
	void **state)
{
	const uint64_t frames = 64;
	struct consumer_report report;
	struct instance *daemon;
	struct consumer *consumer;

	(void)state;
	require_live_frames();
	add_pair("near", "far", 1);
	daemon = start_near(
		"id: 0, frames: 64, rings: { rx: 128, fill: 128 }, attach: { transmit: false }");
	require_receive_only(daemon);
	consumer = consumer_start(&(struct consumer_options){.instance = daemon,
							     .device = "near",
							     .task = CONSUMER_HOLDS,
							     .length = 100,
							     .count = 2000});
	send_slowly(0, 500);
	consumer_awaits(consumer, frames);
	assert_becomes(dropped(daemon, "near", 0) == 500 - frames, PATIENCE);
	assert_true(figure(daemon, "xdpd_queue_fill_ring_empty_total", "near", 0, NULL, NULL) > 0);
	assert_int_equal(figure(daemon, "xdpd_frames", "near", 0, "state", "elsewhere"), frames);
	consumer_turns_to(consumer, CONSUMER_RECEIVES);
	for (uint64_t i = 0; i < 20; i++) {
		send_slowly(1000 + 40 * i, 40);
		consumer_awaits(consumer, frames + 40 * (i + 1));
	}
	report = consumer_stop(consumer);
	assert_int_equal(report.packets, frames + 800);
	assert_int_equal(report.seen, report.packets);
	assert_int_equal(report.damaged, 0);
	assert_int_equal(dropped(daemon, "near", 0), 500 - frames);
	instance_stop(daemon);
}

/* ---- to the stack ---- */

static void stack_gets_all(int near, uint64_t first, uint64_t count)
{
	cleanup_numbers struct numbers numbers = {};

	assert_ok(numbers_open(&numbers, first, count));
	while (numbers.seen < count) {
		uint8_t frame[200];

		assert_int_equal(assert_ok(packet_receive(near, frame, sizeof(frame), PATIENCE)),
				 100);
		assert_true(consumer_frame_is_whole(frame, 100));
		numbers_see_frame(&numbers, frame, PACKET_UDP_PAYLOAD);
	}
	assert_int_equal(numbers.again + numbers.strange, 0);
}

static void stack_gets_nothing(int near)
{
	uint8_t frame[200];

	assert_error(packet_receive(near, frame, sizeof(frame), 0), ETIMEDOUT);
}

static void frames_pass_to_the_stack_before_and_after_a_consumer(void **state)
{
	struct consumer_report report;
	struct instance *daemon;
	struct consumer *consumer;
	cleanup_fd int near = -1;

	(void)state;
	require_live_frames();
	add_pair("near", "far", 1);
	near = (int)assert_ok(packet_open("near"));
	daemon = start_near("id: 0");
	send_slowly(0, 300);
	stack_gets_all(near, 0, 300);
	assert_int_equal(verdict(daemon, 0, "pass"), 300);

	consumer = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .length = 100, .first = 300, .count = 400});
	send_slowly(300, 400);
	consumer_awaits(consumer, 400);
	report = consumer_stop(consumer);
	consumer_got_all(&report, 400);
	stack_gets_nothing(near);

	assert_becomes(instance_metric(daemon, "xdpd_queue_state", "state", "ready") == 1,
		       PATIENCE);
	send_slowly(700, 300);
	stack_gets_all(near, 700, 300);
	assert_int_equal(verdict(daemon, 0, "pass"), 600);
	assert_int_equal(verdict(daemon, 0, "redirect"), 400);
	instance_stop(daemon);
}

static void a_queue_that_is_not_configured_passes_beside_one_that_is_redirected(void **state)
{
	struct consumer_report report;
	struct instance *daemon;
	struct consumer *consumer;
	cleanup_fd int near = -1, far = -1;
	uint8_t frame[100];

	(void)state;
	add_pair("near", "far", 2);
	near = (int)assert_ok(packet_open("near"));
	far = (int)assert_ok(packet_open("far"));
	daemon = start_near("id: 0");
	consumer = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .length = 100, .count = 50});
	for (uint32_t queue = 0; queue < 2; queue++) {
		assert_ok(packet_choose_queue(far, "far", queue));
		for (uint64_t i = 0; i < 50; i++) {
			consumer_frame(frame, sizeof(frame), queue * 1000 + i);
			assert_ok(packet_send(far, frame, sizeof(frame)));
		}
	}
	stack_gets_all(near, 1000, 50);
	consumer_awaits(consumer, 50);
	report = consumer_stop(consumer);
	consumer_got_all(&report, 50);
	stack_gets_nothing(near);
	assert_int_equal(verdict(daemon, 1, "pass"), 50);
	instance_stop(daemon);
}

static void frames_too_long_for_the_umem_pass_to_the_stack(void **state)
{
	static uint8_t frame[9000], copy[9000];
	struct consumer_report report;
	struct instance *daemon;
	struct consumer *consumer;
	cleanup_fd int near = -1, far = -1;

	(void)state;
	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far", .mtu = 9000}));
	near = (int)assert_ok(packet_open("near"));
	far = (int)assert_ok(packet_open("far"));
	daemon = start_near("id: 0, frame_size: 4096");
	/* 3600 bytes come in more than one buffer, too, and have room in a frame. */
	consumer = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .length = 3600, .count = 20});
	for (uint64_t i = 0; i < 20; i++) {
		packet_udp(frame, 8000, NULL);
		frame[7999] = (uint8_t)i;
		assert_ok(packet_send(far, frame, 8000));
		assert_int_equal(assert_ok(packet_receive(near, copy, sizeof(copy), PATIENCE)),
				 8000);
		assert_memory_equal(copy, frame, 8000);
		consumer_frame(frame, 3600, i);
		assert_ok(packet_send(far, frame, 3600));
	}
	consumer_awaits(consumer, 20);
	assert_int_equal(verdict(daemon, 0, "pass_oversize"), 20);
	assert_int_equal(figure(daemon, "xdpd_xdp_verdict_bytes_total", "near", 0, "action",
				"pass_oversize"),
			 20 * 8000);
	report = consumer_stop(consumer);
	consumer_got_all(&report, 20);
	stack_gets_nothing(near);
	metrics_agree(daemon, "near", 0, &report);
	instance_stop(daemon);
}

/* ---- counters ---- */

static bool lasts(const char *series)
{
	return strstr(series, "_total") != NULL;
}

/* Each counter of `before` is in `after` (but for a queue that is removed now), and not lower. */
static void no_counter_went_back(const char *before, const char *after, bool removed)
{
	cleanup_free char *lines = strdup(before);
	char *rest = lines;

	for (char *line; (line = strtok_r(rest, "\n", &rest));) {
		char *value = strrchr(line, ' '), *now;
		char series[256];

		if (line[0] == '#' || !value || !lasts(line))
			continue;
		(void)snprintf(series, sizeof(series), "\n%.*s", (int)(value - line + 1), line);
		now = strstr(after, series);
		if (!now && removed)
			continue;
		if (!now)
			fail_msg("gone:%s", series);
		else if (atof(now + strlen(series)) < atof(value))
			fail_msg("lower than %s:%.*s", value, (int)strcspn(now + 1, "\n"), now + 1);
	}
}

static void counters_never_go_back_over_attachments_and_the_queues_removal(void **state)
{
	enum { ROUNDS = 4, COUNT = 500 };
	cleanup_free char *last = NULL;
	struct instance *daemon;

	(void)state;
	require_live_frames();
	add_pair("near", "far", 1);
	daemon = start_near("id: 0, frames: 64, rings: { rx: 64, fill: 64 }");
	last = instance_metrics(daemon);
	for (uint64_t round = 1; round <= ROUNDS; round++) {
		struct consumer *consumer =
			consumer_start(&(struct consumer_options){.instance = daemon,
								  .device = "near",
								  .task = CONSUMER_HOLDS,
								  .length = 100});
		cleanup_free char *during = NULL, *after = NULL;

		send_slowly(0, COUNT);
		assert_becomes(received(daemon, "near", 0) + dropped(daemon, "near", 0) ==
				       round * COUNT,
			       PATIENCE);
		during = instance_metrics(daemon);
		no_counter_went_back(last, during, false);
		(void)consumer_stop(consumer);
		if (round % 2 == 0) {
			cleanup_ran struct ran ran = {};
			cleanup_ran struct ran again = {};
			cleanup_free char *without = NULL;

			instance_ctl(daemon, &ran, "remove-queue", "near", "0");
			assert_int_equal(ran.status, 0);
			without = instance_metrics(daemon);
			no_counter_went_back(during, without, true);
			instance_ctl(daemon, &again, "add-queue", "near", "0", "frames=64",
				     "rings.rx=64", "rings.fill=64");
			assert_int_equal(again.status, 0);
		}
		assert_becomes(instance_metric(daemon, "xdpd_queue_state", "state", "ready") == 1,
			       PATIENCE);
		after = instance_metrics(daemon);
		no_counter_went_back(during, after, false);
		free(last);
		last = TAKE_PTR(after);
	}
	assert_int_equal(received(daemon, "near", 0) + dropped(daemon, "near", 0), ROUNDS * COUNT);
	assert_int_equal(verdict(daemon, 0, "redirect"), ROUNDS * COUNT);
	instance_stop(daemon);
}

static void the_places_of_frames_add_up_at_any_time(void **state)
{
	static const char *const rings[] = {"rx", "tx", "fill", "completion"};
	struct instance *daemon;
	struct consumer *consumer;
	struct traffic *traffic;

	(void)state;
	require_live_frames();
	add_pair("near", "far", 1);
	daemon = start_near(
		"id: 0, frames: 1024, rings: { rx: 512, tx: 128, fill: 1024, completion: 128 }");
	consumer = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .transmit = true, .task = CONSUMER_REFLECTS});
	traffic = consumer_traffic("far", 0, 100, 0, 0, RATE);
	consumer_awaits(consumer, 100);
	for (int i = 0; i < 50; i++) {
		cleanup_free char *text = instance_metrics(daemon);

		assert_true(metric_value(text, "xdpd_frames") == 1024);
		for (int ring = 0; ring < 4; ring++)
			assert_true(metric_value(text, "xdpd_queue_ring_entries", "ring",
						 rings[ring]) <=
				    metric_value(text, "xdpd_queue_ring_capacity_entries", "ring",
						 rings[ring]));
	}
	assert_ok(traffic_stop(traffic, NULL));
	(void)consumer_stop(consumer);
	assert_true(instance_metric(daemon, "xdpd_frames") == 1024);
	instance_stop(daemon);
}

/* ---- waiting and events ---- */

static bool is_readable(int fd)
{
	struct pollfd readable = {.fd = fd, .events = POLLIN};

	return poll(&readable, 1, 0) == 1;
}

static void waiting_ends_with_a_frame_or_the_timeout_and_the_fd_agrees(void **state)
{
	struct instance *daemon;
	struct xdp_desc frames[4];
	cleanup_fd int far = -1;
	uint8_t frame[64];
	uint64_t start;
	struct xdpd *x;

	(void)state;
	add_pair("near", "far", 1);
	far = (int)assert_ok(packet_open("far"));
	daemon = start_near("id: 0");
	assert_ok(xdpd_connect(&x, instance_socket(daemon), "waiter"));
	assert_ok(xdpd_attach(x, "near", 0, NULL));
	for (uint64_t i = 0; i < 20; i++) {
		assert_int_equal(xdpd_wait(x, 0), 0);
		assert_false(is_readable(xdpd_fd(x)));
		start = live_now_ms();
		assert_int_equal(xdpd_wait(x, 10), 0);
		assert_true(live_now_ms() - start >= 9);
		consumer_frame(frame, sizeof(frame), i);
		assert_ok(packet_send(far, frame, sizeof(frame)));
		assert_int_equal(xdpd_wait(x, -1), XDPD_WAIT_RX);
		assert_true(is_readable(xdpd_fd(x)));
		assert_int_equal(xdpd_rx(x, frames, 4), 1);
		assert_memory_equal(xdpd_frame(x, frames[0].addr), frame, sizeof(frame));
		xdpd_release(x, frames, 1);
	}
	xdpd_close(x);
	instance_stop(daemon);
}

static void a_consumer_hears_that_its_link_goes_down_and_up_and_receives_again(void **state)
{
	struct consumer_report report;
	struct instance *daemon;
	struct consumer *consumer;

	(void)state;
	require_live_frames();
	add_pair("near", "far", 1);
	daemon = start_near("id: 0");
	consumer = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .length = 100, .count = 200});
	send_slowly(0, 100);
	consumer_awaits(consumer, 100);
	assert_ok(device_down("near"));
	consumer_awaits_event(consumer, XDPD_EVENT_LINK_DOWN);
	assert_ok(device_up("near"));
	consumer_awaits_event(consumer, XDPD_EVENT_LINK_UP);
	send_slowly(100, 100);
	consumer_awaits(consumer, 200);
	report = consumer_stop(consumer);
	consumer_got_all(&report, 200);
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(frames_of_all_sizes_arrive_once_and_whole_in_native_mode),
		live_test(frames_of_all_sizes_arrive_once_and_whole_in_generic_mode),
		live_test(several_queues_of_several_interfaces_receive_their_own_frames_alone),
		live_test(rings_of_unequal_sizes_wrap_many_times),
		live_test(a_fill_ring_smaller_than_the_others_still_takes_every_frame_back),
		live_test(a_program_with_ring_code_of_its_own_receives),
		live_test(a_consumer_that_sleeps_in_epoll_gets_every_frame),
		live_test(a_consumer_that_was_stopped_in_its_sleep_goes_on),
		live_test(what_a_consumer_cannot_take_is_counted_to_the_frame),
		live_test(
			a_consumer_that_holds_all_frames_stops_receiving_and_goes_on_when_it_gives_them_back),
		live_test(frames_pass_to_the_stack_before_and_after_a_consumer),
		live_test(a_queue_that_is_not_configured_passes_beside_one_that_is_redirected),
		live_test(frames_too_long_for_the_umem_pass_to_the_stack),
		live_test(counters_never_go_back_over_attachments_and_the_queues_removal),
		live_test(the_places_of_frames_add_up_at_any_time),
		live_test(waiting_ends_with_a_frame_or_the_timeout_and_the_fd_agrees),
		live_test(a_consumer_hears_that_its_link_goes_down_and_up_and_receives_again),
	};

	return live_run("receive", tests, 120);
}
