// SPDX-License-Identifier: BSD-2-Clause
/*
 * The way of a socket into a consumer's hands where the rings of a bound one can't be mapped: unbound. So what a
 * consumer could do with it before it says READY has to be found out when xdpd binds it.
 *
 * $XDPD_HANDOVER says what the kernel is expected to want: `unbound`, or else these tests are skipped.
 */
#include "tests/live/harness.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/live/instance.h"
#include "tests/live/packet.h"
#include "tests/live/probe.h"
#include "tests/live/protocol.h"

#define CONFIG(options)                                                                     \
	"access: { attach: { users: [\"*\"] } }\n"                                          \
	"interfaces:\n"                                                                     \
	"  - name: near\n"                                                                  \
	"    queues: [{ id: 0-1, frames: 1024, frame_size: 2048,"                           \
	"               rings: { rx: 512, tx: 128, fill: 1024, completion: 128 }, " options \
	" }]\n"

#define ANY	     "handover: auto"
#define RECEIVE_ONLY "attach: { transmit: false }"
#define BOUND_ONLY   "handover: bound"

static struct instance *start_daemon(const char *config)
{
	const char *handover = getenv("XDPD_HANDOVER");

	if (!handover || strcmp(handover, "unbound") != 0)
		return NULL;
	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = 2}));
	return instance_start(config);
}

#define require_unbound(daemon) require(daemon, "this kernel maps the rings of bound sockets")

static uint64_t disconnects(const struct instance *daemon, const char *reason)
{
	return (uint64_t)instance_metric(daemon, "xdpd_consumer_disconnects_total", "reason",
					 reason);
}

static struct protocol_target target_of(const struct probe *probe, bool transmit)
{
	struct protocol_target target =
		protocol_target(probe->socket, probe->near, probe->queue, "byhand");

	target.transmit = transmit;
	return target;
}

static int bind_to(int fd, const char *device, uint32_t queue)
{
	const struct sockaddr_xdp address = {.sxdp_family = AF_XDP,
					     .sxdp_flags = XDP_COPY,
					     .sxdp_ifindex = if_nametoindex(device),
					     .sxdp_queue_id = queue};

	return bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

/* ---- honest consumers ---- */

static void an_unprivileged_consumer_gets_every_frame(void **state)
{
	struct instance *daemon = start_daemon(CONFIG(ANY));
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};

	(void)state;
	require_unbound(daemon);
	probe = probe_open(daemon, "near", "far", 1);
	for (int round = 0; round < 3; round++) {
		struct child *consumer;

		probe_passes(&probe);
		consumer = probe_attach(&probe, 100);
		probe_send(&probe, 100);
		probe_finish(consumer);
	}
	assert_true(instance_metric(daemon, "xdpd_queue_receive_packets_total", "queue", "1") ==
		    3 * 100);
	assert_int_equal(disconnects(daemon, "left"), 3);
	instance_stop(daemon);
}

static void what_a_consumer_transmits_arrives_and_is_counted(void **state)
{
	struct instance *daemon = start_daemon(CONFIG(ANY));
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	cleanup_protocol struct protocol protocol;
	struct protocol_target target;
	uint32_t sent = 0;
	uint8_t frame[60];

	(void)state;
	require_unbound(daemon);
	probe = probe_open(daemon, "near", "far", 0);
	target = target_of(&probe, true);
	protocol_init(&protocol, &target);
	assert_ok(protocol_go(&protocol, PROTOCOL_STARTED));
	while (sent < 100)
		sent += protocol_transmit(&protocol);
	for (uint32_t i = 0; i < sent; i++)
		assert_int_equal(
			assert_ok(packet_receive(probe.far_fd, frame, sizeof(frame), 5000)), 60);
	assert_true(instance_metric(daemon, "xdpd_queue_transmit_packets_total", "queue", "0") ==
		    sent);
	instance_stop(daemon);
}

static void the_next_consumer_waits_out_the_release_of_a_killed_ones_socket(void **state)
{
	struct instance *daemon = start_daemon(CONFIG(ANY));
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};

	(void)state;
	require_unbound(daemon);
	probe = probe_open(daemon, "near", "far", 0);
	for (int round = 0; round < 20; round++) {
		struct child *consumer = probe_stay(&probe, true);

		child_kill(consumer);
		(void)child_end(consumer);
		probe_delivers(&probe);
	}
	assert_int_equal(disconnects(daemon, "died"), 20);
	instance_stop(daemon);
}

/* ---- others ---- */

/* It is refused as a violation, with that in the sentence, and the queue serves the next. */
static void assert_violation(const struct instance *daemon, struct probe *probe,
			     struct protocol *protocol, const char *reason)
{
	assert_error(protocol_go(protocol, PROTOCOL_STARTED), EPROTO);
	if (!strstr(protocol->reason, reason))
		fail_msg("it was told: %s", protocol->reason);
	assert_ok(protocol_await_end(protocol));
	assert_int_equal(disconnects(daemon, "violation"), 1);
	protocol_close(protocol);
	probe_passes(probe);
	probe_delivers(probe);
}

static void who_binds_the_socket_to_another_queue_is_let_go(void **state)
{
	struct instance *daemon = start_daemon(CONFIG(ANY));
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1}, other = probe;
	cleanup_protocol struct protocol protocol;
	struct protocol_target target;

	(void)state;
	require_unbound(daemon);
	probe = probe_open(daemon, "near", "far", 0);
	other = probe_open(daemon, "near", "far", 1);
	target = target_of(&probe, true);
	protocol_init(&protocol, &target);
	assert_ok(protocol_go(&protocol, PROTOCOL_MAPPED));
	assert_becomes(bind_to(protocol.fds[1], "near", 1) == 0, 2000);
	assert_violation(daemon, &probe, &protocol, "bound or changed the socket");
	probe_delivers(&other);
	instance_stop(daemon);
}

static void a_handed_over_socket_can_be_bound_to_no_other_interface(void **state)
{
	struct instance *daemon = start_daemon(CONFIG(ANY));
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	cleanup_protocol struct protocol protocol;
	struct protocol_target target;

	(void)state;
	require_unbound(daemon);
	probe = probe_open(daemon, "near", "far", 0);
	target = target_of(&probe, true);
	protocol_init(&protocol, &target);
	assert_ok(protocol_go(&protocol, PROTOCOL_MAPPED));
	assert_error(bind_to(protocol.fds[1], "far", 0), EINVAL);
	/* It did no harm: the attachment goes on. */
	assert_ok(protocol_go(&protocol, PROTOCOL_STARTED));
	probe_send(&probe, 8);
	assert_ok(protocol_go(&protocol, PROTOCOL_RECEIVED));
	instance_stop(daemon);
}

/* What such a queue is refused for, until its config is another. */
static void assert_hands_over_nothing(const char *config, const char *reason)
{
	struct instance *daemon = start_daemon(config);
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	cleanup_protocol struct protocol protocol;
	struct protocol_target target;

	require_unbound(daemon);
	probe = probe_open(daemon, "near", "far", 0);
	probe_becomes(&probe, XDPD_QUEUE_FAILED, 1000);
	target = target_of(&probe, false);
	protocol_init(&protocol, &target);
	assert_error(protocol_go(&protocol, PROTOCOL_STARTED), EOPNOTSUPP);
	assert_string_equal(protocol.reason, reason);
	/* Not by a change of the interface either, but by one of the config. */
	assert_ok(device_set_mtu("near", 1400));
	live_sleep_ms(200);
	probe_becomes(&probe, XDPD_QUEUE_FAILED, 1000);
	instance_write_config(daemon, CONFIG(ANY));
	instance_reload(daemon);
	probe_passes(&probe);
	probe_delivers(&probe);
	instance_stop(daemon);
}

static void a_queue_that_hands_over_bound_sockets_only_says_why_it_can_not(void **state)
{
	(void)state;
	assert_hands_over_nothing(CONFIG(BOUND_ONLY),
				  "near queue 0: this kernel can't map a bound socket's rings, and "
				  "`handover: bound` rules out the other way; use a newer kernel "
				  "or set `handover: auto`");
}

static void a_queue_that_nobody_may_transmit_on_says_why_it_can_not_be_had(void **state)
{
	(void)state;
	assert_hands_over_nothing(CONFIG(RECEIVE_ONLY),
				  "near queue 0: this kernel can't map a bound socket's rings, and "
				  "an unbound one does not keep to `transmit: false`; use a newer "
				  "kernel or allow it to transmit");
}

static void a_queue_in_another_programs_hands_is_named_busy(void **state)
{
	struct instance *daemon = start_daemon(CONFIG(ANY));
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1}, other = probe;
	cleanup_protocol struct protocol thief, protocol;
	struct protocol_target target;

	(void)state;
	require_unbound(daemon);
	probe = probe_open(daemon, "near", "far", 0);
	other = probe_open(daemon, "near", "far", 1);
	target = target_of(&probe, true);
	protocol_init(&thief, &target);
	assert_ok(protocol_go(&thief, PROTOCOL_MAPPED));
	assert_becomes(bind_to(thief.fds[1], "near", 1) == 0, 2000);
	protocol_hang_up(&thief);

	target = target_of(&other, true);
	protocol_init(&protocol, &target);
	/* The bind finds it out. At first it could be a socket that is being released. */
	assert_error(protocol_go(&protocol, PROTOCOL_STARTED), EBUSY);
	protocol_close(&protocol);
	probe_becomes(&other, XDPD_QUEUE_BUSY, 10000);
	assert_error(protocol_go(&protocol, PROTOCOL_STARTED), EBUSY);
	if (!strstr(protocol.reason, "another program's AF_XDP socket"))
		fail_msg("it was told: %s", protocol.reason);
	protocol_close(&thief);
	probe_passes(&other);
	probe_delivers(&other);
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(an_unprivileged_consumer_gets_every_frame),
		live_test(what_a_consumer_transmits_arrives_and_is_counted),
		live_test(the_next_consumer_waits_out_the_release_of_a_killed_ones_socket),
		live_test(who_binds_the_socket_to_another_queue_is_let_go),
		live_test(a_handed_over_socket_can_be_bound_to_no_other_interface),
		live_test(a_queue_that_hands_over_bound_sockets_only_says_why_it_can_not),
		live_test(a_queue_that_nobody_may_transmit_on_says_why_it_can_not_be_had),
		live_test(a_queue_in_another_programs_hands_is_named_busy),
	};

	return live_run("late bind", tests, 180);
}
