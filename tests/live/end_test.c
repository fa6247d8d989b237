// SPDX-License-Identifier: BSD-2-Clause
/*
 * How an attachment ends, whoever ends it and however: the queue is free again, the reason is told and
 * counted, and the others notice nothing.
 */
#include "tests/live/harness.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/live/footprint.h"
#include "tests/live/instance.h"
#include "tests/live/packet.h"
#include "tests/live/probe.h"
#include "tests/live/protocol.h"
#include "tests/live/traffic.h"

/* Small queues, open to anybody. */
#define CONFIG(queues)                                                                       \
	"access: { attach: { users: [\"*\"] } }\n"                                           \
	"interfaces:\n"                                                                      \
	"  - name: near\n"                                                                   \
	"    queues: [{ id: " queues ", frames: 1024, frame_size: 2048,"                     \
	"               rings: { rx: 512, tx: 128, fill: 1024, completion: 128 } }]\n"

static struct instance *start_daemon(uint32_t queues)
{
	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = queues}));
	return instance_start(queues == 1 ? CONFIG("0") : CONFIG("0-1"));
}

/* A gentle stream into queue 0. */
static struct traffic *start_traffic(void)
{
	struct traffic *traffic;
	uint8_t frame[100];

	packet_udp(frame, sizeof(frame), NULL);
	assert_ok(traffic_start(&traffic, &(struct traffic_options){.device = "far",
								    .frame = frame,
								    .length = sizeof(frame),
								    .rate = 2000}));
	return traffic;
}

static struct stepper *new_stepper(const struct instance *daemon, uint32_t queue, enum protocol_step step)
{
	struct stepper *stepper = live_shared(sizeof(*stepper));

	stepper->target = protocol_target(instance_socket(daemon), "near", queue, "stepper");
	stepper->target.transmit = true;
	stepper->step = step;
	return stepper;
}

static struct child *start_stepper(struct stepper *stepper)
{
	struct child *child;

	assert_ok(child_start(&child, &(struct child_options){.call = stepper_run,
							      .argument = stepper,
							      .uid = CHILD_NOBODY}));
	return child;
}

/* It has taken all its steps and lives. */
static struct child *start_arrived(struct stepper *stepper)
{
	struct child *child = start_stepper(stepper);

	assert_becomes(stepper_read(&stepper->arrived), PROTOCOL_PATIENCE);
	if (stepper->arrived < 0)
		fail_msg("not at step %d: %s: %s", stepper->step, strerror(-stepper->arrived),
			 stepper->reason);
	return child;
}

static uint64_t disconnects(const struct instance *daemon, const char *reason)
{
	return (uint64_t)instance_metric(daemon, "xdpd_consumer_disconnects_total", "reason", reason);
}

static bool xdp_is_on(const char *device)
{
	struct bpf_xdp_query_opts {
		uint32_t id;
	};
	cleanup_ran struct ran ran = {0};
	const char *const argv[] = {"ip", "link", "show", "dev", device, NULL};

	assert_ok(child_run(&ran, &(struct child_options){.argv = argv}, 5000));
	assert_int_equal(ran.status, 0);
	return strstr(ran.output, "xdp") != NULL;
}

/* ---- the consumer ends ---- */

static void a_consumer_killed_at_any_step_leaves_a_ready_queue(void **state)
{
	struct instance *daemon;
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct traffic *traffic;
	uint64_t granted = 0;

	(void)state;
	require_live_frames();
	daemon = start_daemon(1);
	probe = probe_open(daemon, "near", "far", 0);
	traffic = start_traffic();
	for (enum protocol_step step = PROTOCOL_CONNECTED; step < PROTOCOL_STEPS; step++) {
		struct stepper *stepper = new_stepper(daemon, 0, step);
		struct child *child = start_arrived(stepper);

		if (step >= PROTOCOL_ATTACH_SENT) {
			probe_becomes(&probe, XDPD_QUEUE_ATTACHED, 5000);
			granted++;
		}
		child_kill(child);
		assert_becomes(disconnects(daemon, "died") == granted, 5000);
		probe_passes(&probe);
		probe_delivers(&probe);
		(void)child_end(child);
	}
	assert_becomes(disconnects(daemon, "left") == PROTOCOL_STEPS - 1, 5000);
	assert_ok(traffic_stop(traffic, NULL));
	instance_stop(daemon);
}

static int say_goodbye(struct stepper *stepper, struct protocol *protocol)
{
	(void)stepper;
	return protocol_say(protocol, XDPD_DETACH) < 0 || protocol_await_end(protocol) < 0;
}

static void who_says_goodbye_is_counted_as_left(void **state)
{
	static const enum protocol_step steps[] = {PROTOCOL_GRANTED, PROTOCOL_READY_SENT, PROTOCOL_STARTED};
	const size_t n_steps = sizeof(steps) / sizeof(steps[0]);
	struct instance *daemon = start_daemon(1);
	cleanup_probe struct probe probe = probe_open(daemon, "near", "far", 0);

	(void)state;
	for (size_t i = 0; i < n_steps; i++) {
		struct stepper *stepper = new_stepper(daemon, 0, steps[i]);
		struct child *child;

		stepper->then = say_goodbye;
		child = start_stepper(stepper);
		assert_int_equal(child_wait(child, PROTOCOL_PATIENCE), 0);
		(void)child_end(child);
		probe_passes(&probe);
	}
	assert_int_equal(disconnects(daemon, "left"), n_steps);
	assert_int_equal(disconnects(daemon, "died"), 0);
	probe_delivers(&probe);
	instance_stop(daemon);
}

static void who_is_ejected_is_told_why(void **state)
{
	struct instance *daemon = start_daemon(1);
	cleanup_probe struct probe probe = probe_open(daemon, "near", "far", 0);
	struct child *consumer;

	(void)state;
	consumer = probe_stay(&probe, true);
	assert_ok(protocol_eject(probe.socket, "near", 0, "the cleaners are coming"));
	probe_ended(consumer, ECANCELED, "the cleaners are coming", 5000);
	assert_int_equal(disconnects(daemon, "ejected"), 1);
	assert_error(protocol_eject(probe.socket, "near", 0, "once more"), ENOENT);
	probe_passes(&probe);
	probe_delivers(&probe);
	instance_stop(daemon);
}

/* ---- a former consumer that keeps the socket ---- */

static int await_word_without_connection(struct stepper *stepper, struct protocol *protocol)
{
	protocol_hang_up(protocol);
	while (!stepper_read(&stepper->word))
		(void)poll(NULL, 0, 1);
	protocol_close(protocol);
	stepper_write(&stepper->word, 0);
	pause();
	return 0;
}

/* Leaves a grandchild that has a copy of every fd but the connection. */
static int leave_a_holder(struct stepper *stepper, struct protocol *protocol)
{
	pid_t holder = fork();

	if (holder == 0) {
		protocol_hang_up(protocol);
		while (!stepper_read(&stepper->word))
			(void)poll(NULL, 0, 1);
		_exit(0);
	}
	return holder < 0;
}

static void assert_refused_naming(const struct probe *probe, pid_t pid)
{
	const struct protocol_target target =
		protocol_target(probe->socket, probe->near, probe->queue, "latecomer");
	cleanup_protocol struct protocol protocol;
	struct xdpd_queue_record record;
	char who[64];

	(void)snprintf(who, sizeof(who), "`stepper` (uid %d, pid %d)", CHILD_NOBODY, pid);
	protocol_init(&protocol, &target);
	assert_error(protocol_go(&protocol, PROTOCOL_GRANTED), EBUSY);
	assert_non_null(strstr(protocol.reason, who));
	probe_becomes(probe, XDPD_QUEUE_BUSY, 1000);
	assert_ok(protocol_find_queue(probe->socket, probe->near, probe->queue, &record));
	assert_string_equal(record.reason, protocol.reason);
}

static void a_held_socket_makes_the_queue_busy_until_its_holder_lets_go(void **state)
{
	static int (*const ways[2])(struct stepper *, struct protocol *) = {
		await_word_without_connection,
		leave_a_holder,
	};
	struct instance *daemon = start_daemon(2);
	struct stepper *steppers[2];
	struct child *children[2];
	cleanup_probe struct probe closes = probe_open(daemon, "near", "far", 0);
	cleanup_probe struct probe exits = probe_open(daemon, "near", "far", 1);
	struct probe *const probes[2] = {&closes, &exits};

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		steppers[i] = new_stepper(daemon, i, PROTOCOL_STARTED);
		steppers[i]->then = ways[i];
		children[i] = start_arrived(steppers[i]);
	}
	assert_int_equal(child_wait(children[1], 5000), 0);
	/* The first waits while the kernel may still be at it, and is then told; the second at once. */
	for (uint32_t i = 0; i < 2; i++)
		assert_refused_naming(probes[i], child_pid(children[i]));
	assert_true(child_is_alive(children[0]));
	assert_int_equal(disconnects(daemon, "died"), 2);
	for (uint32_t i = 0; i < 2; i++) {
		stepper_write(&steppers[i]->word, 1);
		probe_passes(probes[i]);
		probe_delivers(probes[i]);
	}
	assert_true(child_is_alive(children[0]));
	instance_stop(daemon);
}

static void the_end_of_a_former_consumer_is_noticed_at_once(void **state)
{
	struct instance *daemon = start_daemon(1);
	struct stepper *stepper = new_stepper(daemon, 0, PROTOCOL_STARTED);
	cleanup_probe struct probe probe = probe_open(daemon, "near", "far", 0);
	struct child *child;
	uint64_t killed;

	(void)state;
	stepper->then = await_word_without_connection;
	child = start_arrived(stepper);
	probe_becomes(&probe, XDPD_QUEUE_BUSY, 10000);
	killed = live_now_ms();
	child_kill(child);
	probe_passes(&probe);
	print_message("ready %lu ms after its end\n", live_now_ms() - killed);
	probe_delivers(&probe);
	instance_stop(daemon);
}

/* ---- one comes as another goes ---- */

static void an_attach_right_after_anothers_end_is_served(void **state)
{
	struct instance *daemon = start_daemon(1);
	const struct protocol_target target = protocol_target(instance_socket(daemon), "near", 0, "next");

	(void)state;
	for (int round = 0; round < 20; round++) {
		struct child *former = start_arrived(new_stepper(daemon, 0, PROTOCOL_STARTED));
		cleanup_protocol struct protocol next;
		int r;

		protocol_init(&next, &target);
		assert_ok(protocol_go(&next, PROTOCOL_HELLO_SENT));
		/* In half of the rounds the daemon sees the end and the request at once. */
		if (round % 2)
			(void)kill(instance_pid(daemon), SIGSTOP);
		child_kill(former);
		(void)child_end(former);
		r = protocol_go(&next, round % 2 ? PROTOCOL_HELLO_SENT : PROTOCOL_GRANTED);
		if (round % 2) {
			struct xdpd_attach_request request = {.device = "near"};

			assert_ok(protocol_send(&next, XDPD_ATTACH, &request, sizeof(request)));
			(void)kill(instance_pid(daemon), SIGCONT);
			next.step = PROTOCOL_HELLO_SENT;
		}
		if (r < 0)
			fail_msg("round %d: %s: %s", round, strerror(-r), next.reason);
	}
	instance_stop(daemon);
}
