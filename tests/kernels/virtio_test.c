// SPDX-License-Identifier: BSD-2-Clause
/*
 * A queue of a NIC whose driver is not veth: two virtio NICs, `near` and `far`, on one hub. Where virtio_net can
 * do zero-copy (since Linux 6.13, given the DMA API and no offloads that join frames) everything here runs on
 * it, elsewhere on the fall-back to copy.
 *
 * $XDPD_BIND says which is expected: `zero-copy` or `copy`. Not set: there are no such NICs, and all is skipped.
 */
#include "tests/live/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/xdpd.h"
#include "tests/live/instance.h"
#include "tests/live/numbers.h"
#include "tests/live/packet.h"
#include "tests/live/probe.h"
#include "tests/live/protocol.h"

#define CONFIG(bind)                                                                              \
	"access: { attach: { users: [\"*\"] } }\n"                                                \
	"interfaces:\n"                                                                           \
	"  - name: near\n"                                                                        \
	"    bind: " bind "\n"                                                                    \
	"    queues: [{ id: 0, frames: 2048, rings: { rx: 512, tx: 512, fill: 1024, completion: " \
	"512 } }]\n"

#define BURST	  64 /* less than the NIC's ring holds */
#define REFLECTED 2000

static bool expects_zero_copy(void)
{
	const char *bind = getenv("XDPD_BIND");

	return bind && strcmp(bind, "zero-copy") == 0;
}

#define require_nics() require(getenv("XDPD_BIND"), "there are no virtio NICs for it")

/* From where the first process is, as nobody else wants them. */
static int take_nic(const char *name)
{
	cleanup_fd int here = netns_current();
	cleanup_fd int there = open("/proc/1/ns/net", O_RDONLY | O_CLOEXEC);
	int r, back;

	if (here < 0 || there < 0)
		return -EBADF;
	r = netns_enter(there);
	if (r < 0)
		return r;
	r = device_move(name, here);
	back = netns_enter(here);
	return r < 0 ? r : back;
}

static struct instance *start_daemon(const char *config)
{
	/* They come back from the test before when the kernel has done away with its namespace. */
	assert_becomes(take_nic("near") == 0, 10000);
	assert_becomes(take_nic("far") == 0, 10000);
	assert_ok(device_up("near"));
	assert_ok(device_up("far"));
	return instance_start(config);
}

static double metric(const struct instance *daemon, const char *name)
{
	return instance_metric(daemon, name, "device", "near", "queue", "0");
}

static void assert_bound(const struct probe *probe, enum xdpd_bind_mode mode)
{
	struct xdpd_queue_record queue;
	struct xdpd_interface_record interface;

	probe_becomes(probe, XDPD_QUEUE_READY, 5000);
	assert_ok(protocol_find_queue(probe->socket, "near", 0, &queue));
	assert_int_equal(queue.bind, mode);
	assert_ok(protocol_find_interface(probe->socket, "near", &interface));
	assert_string_equal(interface.driver, "virtio_net");
	assert_int_equal(interface.mode, XDPD_MODE_NATIVE);
}

/* Numbered frames in bursts, each awaited by the count of those that were received before. */
static void send_in_bursts(const struct instance *daemon, struct probe *probe, uint32_t count)
{
	double before = metric(daemon, "xdpd_queue_receive_packets_total");

	for (uint32_t sent = 0; sent < count;) {
		uint32_t burst = count - sent < BURST ? count - sent : BURST;

		probe_send(probe, burst);
		sent += burst;
		assert_becomes(metric(daemon, "xdpd_queue_receive_packets_total") >= before + sent,
			       5000);
	}
}

/* ---- how it is bound ---- */

static void auto_gets_the_best_that_the_driver_has(void **state)
{
	struct instance *daemon;
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	cleanup_ran struct ran ran = {};

	(void)state;
	require_nics();
	daemon = start_daemon(CONFIG("auto"));
	probe = probe_open(daemon, "near", "far", 0);
	assert_bound(&probe, expects_zero_copy() ? XDPD_BIND_ZERO_COPY : XDPD_BIND_COPY);
	instance_ctl(daemon, &ran, "status");
	assert_int_equal(ran.status, 0);
	assert_non_null(strstr(ran.output, expects_zero_copy() ? "zero-copy" : "copy"));
	probe_delivers(&probe);
	instance_stop(daemon);
}

static void zero_copy_that_can_not_be_had_is_refused_in_a_sentence(void **state)
{
	struct instance *daemon;
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct xdpd_queue_record record;

	(void)state;
	require_nics();
	require(!expects_zero_copy(), "the driver has zero-copy");
	daemon = start_daemon(CONFIG("zero-copy"));
	probe = probe_open(daemon, "near", "far", 0);
	probe_becomes(&probe, XDPD_QUEUE_FAILED, 5000);
	assert_ok(protocol_find_queue(probe.socket, "near", 0, &record));
	assert_string_equal(
		record.reason,
		"near queue 0: the driver has no zero-copy (EOPNOTSUPP); set `bind: copy` "
		"or `auto`");
	instance_write_config(daemon, CONFIG("auto"));
	instance_reload(daemon);
	assert_bound(&probe, XDPD_BIND_COPY);
	probe_delivers(&probe);
	instance_stop(daemon);
}

static void copy_is_copy_where_zero_copy_could_be_had(void **state)
{
	struct instance *daemon;
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};

	(void)state;
	require_nics();
	require(expects_zero_copy(), "the driver has no zero-copy");
	daemon = start_daemon(CONFIG("copy"));
	probe = probe_open(daemon, "near", "far", 0);
	assert_bound(&probe, XDPD_BIND_COPY);
	probe_delivers(&probe);
	instance_write_config(daemon, CONFIG("zero-copy"));
	instance_reload(daemon);
	assert_bound(&probe, XDPD_BIND_ZERO_COPY);
	probe_delivers(&probe);
	instance_stop(daemon);
}

/* ---- frames ---- */

static void a_consumer_that_sleeps_between_bursts_gets_every_frame(void **state)
{
	struct instance *daemon;
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct child *consumer;

	(void)state;
	require_nics();
	daemon = start_daemon(CONFIG("auto"));
	probe = probe_open(daemon, "near", "far", 0);
	consumer = probe_attach(&probe, 5000);
	send_in_bursts(daemon, &probe, 5000);
	probe_finish(consumer);
	assert_true(metric(daemon, "xdpd_queue_receive_packets_total") == 5000);
	assert_true(metric(daemon, "xdpd_queue_receive_bytes_total") == 5000 * 60);
	assert_true(instance_metric(daemon, "xdpd_xdp_verdicts_total", "action", "redirect") ==
		    5000);
	assert_true(metric(daemon, "xdpd_queue_receive_dropped_total") == 0);
	assert_true(metric(daemon, "xdpd_queue_receive_ring_full_total") == 0);
	instance_stop(daemon);
}

/* A consumer on libxdpd that sends every frame back. The argument is the target. */
static int reflect(void *argument)
{
	const struct protocol_target *target = argument;
	const struct xdpd_attach_options options = {.size = sizeof(options),
						    .flags = XDPD_ATTACH_TRANSMIT};
	uint32_t reflected = 0;
	struct xdpd *x = NULL;
	int r = xdpd_connect(&x, target->socket, "reflector");

	if (r == 0)
		r = xdpd_attach(x, "near", 0, &options);
	while (r >= 0 && (reflected < REFLECTED || xdpd_tx_pending(x))) {
		struct xdp_desc frames[BURST];
		uint32_t count, done;

		r = xdpd_wait(x, reflected < REFLECTED ? 10000 : 1);
		count = xdpd_rx(x, frames, BURST);
		done = xdpd_forward(x, frames, count);
		xdpd_release(x, frames + done, count - done);
		reflected += done;
	}
	/* The last ones are with the NIC until their completion. */
	for (int i = 0; r >= 0 && i < 1000 && x->owed; i++) {
		(void)xdpd_reap(x);
		live_sleep_ms(1);
	}
	if (r < 0)
		(void)fprintf(stderr, "%s: %s\n", strerror(-r), x ? xdpd_reason(x) : "");
	xdpd_close(x);
	return r < 0;
}

static void what_a_consumer_sends_back_arrives_and_is_counted(void **state)
{
	struct instance *daemon;
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	cleanup_numbers struct numbers numbers = {};
	struct protocol_target target;
	struct child *consumer;
	uint8_t frame[60];

	(void)state;
	require_nics();
	daemon = start_daemon(CONFIG("auto"));
	probe = probe_open(daemon, "near", "far", 0);
	probe_becomes(&probe, XDPD_QUEUE_READY, 5000);
	target = protocol_target(probe.socket, "near", 0, "reflector");
	assert_ok(child_start(&consumer, &(struct child_options){.call = reflect,
								 .argument = &target,
								 .uid = CHILD_NOBODY}));
	probe_becomes(&probe, XDPD_QUEUE_ATTACHED, 10000);
	assert_becomes(instance_metric(daemon, "xdpd_consumers") == 1, 5000);
	assert_ok(numbers_open(&numbers, probe.next, REFLECTED));
	send_in_bursts(daemon, &probe, REFLECTED);
	while (numbers.seen < REFLECTED) {
		ssize_t length =
			assert_ok(packet_receive(probe.far_fd, frame, sizeof(frame), 5000));

		assert_int_equal(length, sizeof(frame));
		numbers_see_frame(&numbers, frame, PACKET_UDP_PAYLOAD);
	}
	assert_int_equal(numbers.again + numbers.strange + numbers.backwards, 0);
	assert_int_equal(child_wait(consumer, 10000), 0);
	assert_becomes(instance_metric(daemon, "xdpd_consumers") == 0, 5000);
	assert_true(metric(daemon, "xdpd_queue_receive_packets_total") == REFLECTED);
	assert_true(metric(daemon, "xdpd_queue_transmit_packets_total") == REFLECTED);
	assert_true(metric(daemon, "xdpd_queue_transmit_bytes_total") == REFLECTED * 60);
	assert_true(metric(daemon, "xdpd_queue_transmit_invalid_descriptors_total") == 0);
	(void)child_end(consumer);
	instance_stop(daemon);
}

/* ---- one after the other ---- */

static void a_killed_consumers_queue_serves_the_next(void **state)
{
	static const enum protocol_step steps[] = {PROTOCOL_GRANTED, PROTOCOL_STARTED,
						   PROTOCOL_HOLDING, PROTOCOL_TRANSMITTING};
	struct instance *daemon;
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};

	(void)state;
	require_nics();
	daemon = start_daemon(CONFIG("auto"));
	probe = probe_open(daemon, "near", "far", 0);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct stepper *stepper = live_shared(sizeof(*stepper));
		struct child *child;

		probe_passes(&probe);
		stepper->target = protocol_target(probe.socket, "near", 0, "stepper");
		stepper->target.transmit = true;
		stepper->step = steps[i];
		assert_ok(child_start(&child, &(struct child_options){.call = stepper_run,
								      .argument = stepper,
								      .uid = CHILD_NOBODY}));
		if (steps[i] >= PROTOCOL_RECEIVED) {
			assert_becomes(instance_metric(daemon, "xdpd_consumers") == 1, 10000);
			while (!stepper_read(&stepper->arrived)) {
				probe_send(&probe, 8);
				live_sleep_ms(10);
			}
		}
		assert_becomes(stepper_read(&stepper->arrived), PROTOCOL_PATIENCE);
		if (stepper->arrived < 0)
			fail_msg("at step %d: %s: %s", steps[i], strerror(-stepper->arrived),
				 stepper->reason);
		child_kill(child);
		(void)child_end(child);
		probe_passes(&probe);
		probe_delivers(&probe);
	}
	instance_stop(daemon);
}

static void the_nic_is_as_before_when_the_daemon_has_gone(void **state)
{
	struct instance *daemon;
	uint8_t frame[60];
	int far, near;

	(void)state;
	require_nics();
	daemon = start_daemon(CONFIG("auto"));
	instance_kill(daemon);
	far = (int)assert_ok(packet_open("far"));
	near = (int)assert_ok(packet_open("near"));
	packet_udp(frame, sizeof(frame), NULL);
	/* The driver resets its queues meanwhile. */
	assert_becomes(({
			       assert_ok(packet_send(far, frame, sizeof(frame)));
			       packet_receive(near, frame, sizeof(frame), 100) == sizeof(frame);
		       }),
		       5000);
	(void)close_fd(far);
	(void)close_fd(near);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(auto_gets_the_best_that_the_driver_has),
		live_test(zero_copy_that_can_not_be_had_is_refused_in_a_sentence),
		live_test(copy_is_copy_where_zero_copy_could_be_had),
		live_test(a_consumer_that_sleeps_between_bursts_gets_every_frame),
		live_test(what_a_consumer_sends_back_arrives_and_is_counted),
		live_test(a_killed_consumers_queue_serves_the_next),
		live_test(the_nic_is_as_before_when_the_daemon_has_gone),
	};

	return live_run("virtio", tests, 180);
}
