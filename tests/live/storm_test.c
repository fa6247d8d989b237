// SPDX-License-Identifier: BSD-2-Clause
/*
 * Many ends, and many broken messages, in a short time: nothing is left of them in the daemon, and
 * a consumer beside them does not lose a frame.
 */
#include "tests/live/harness.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/live/footprint.h"
#include "tests/live/instance.h"
#include "tests/live/packet.h"
#include "tests/live/probe.h"
#include "tests/live/protocol.h"
#include "tests/live/traffic.h"

#define QUEUES		     4
#define ROUNDS		     1000
#define WARM_UP		     40
#define MEMORY_GROWTH_MAX_KB 1024

#define CONFIG(frames, rings)                      \
	"access: { attach: { users: [\"*\"] } }\n" \
	"interfaces:\n"                            \
	"  - name: near\n"                         \
	"    queues: [{ id: 0-3, frames: " frames ", frame_size: 2048, rings: " rings " }]\n"

/* A UMEM takes 128 KB; 1,000 of them would take eight times what the daemon may lock. */
#define SMALL CONFIG("64", "{ rx: 64, tx: 32, fill: 64, completion: 32 }")

/* For a consumer that a busy machine may keep waiting for a while. */
#define LARGE CONFIG("4096", "{ rx: 2048, tx: 64, fill: 4096, completion: 64 }")

#define LOCKED_MAX (16u << 20)

/* Of its own: locked memory is counted by user, over all processes. */
#define DAEMON_UID	    61234
#define DAEMON_CAPABILITIES (1ull << 12 | 1ull << 13 | 1ull << 39) /* NET_ADMIN, NET_RAW, BPF */

static uint64_t random_state = 0x9e3779b97f4a7c15ull;

static uint64_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static struct traffic *start_traffic(uint64_t rate)
{
	struct traffic *traffic;
	uint8_t frame[100];

	packet_udp(frame, sizeof(frame), NULL);
	assert_ok(traffic_start(&traffic, &(struct traffic_options){.device = "far",
								    .frame = frame,
								    .length = sizeof(frame),
								    .rate = rate}));
	return traffic;
}

/* ---- attach and kill ---- */

/*
 * One seat at each queue: a consumer that is on its way to a step, and is killed when it is there.
 */
struct seat {
	struct stepper *stepper;
	struct child *child;
};

struct storm {
	struct instance *daemon;
	struct seat seats[QUEUES];
	uint64_t started, attached;
};

static void start_consumer(struct storm *storm, uint32_t queue)
{
	struct seat *seat = &storm->seats[queue];
	/* Beyond STARTED a step takes traffic, and that reaches queue 0 alone. */
	uint64_t steps = queue ? PROTOCOL_STARTED : PROTOCOL_TRANSMITTING;

	*seat->stepper = (struct stepper){
		.target = protocol_target(instance_socket(storm->daemon), "near", queue, "storm"),
		.step = PROTOCOL_CONNECTED + random_number() % steps,
	};
	seat->stepper->target.transmit = true;
	assert_ok(child_start(&seat->child, &(struct child_options){.call = stepper_run,
								    .argument = seat->stepper,
								    .uid = CHILD_NOBODY}));
	storm->started++;
}

/* Returns true if it was there, and is gone now. */
static bool end_consumer(struct storm *storm, uint32_t queue)
{
	struct seat *seat = &storm->seats[queue];
	int arrived = stepper_read(&seat->stepper->arrived);

	if (!arrived)
		return false;
	if (arrived < 0)
		fail_msg("queue %u, step %d: %s: %s", queue, seat->stepper->step,
			 strerror(-arrived), seat->stepper->reason);
	storm->attached += seat->stepper->step >= PROTOCOL_GRANTED;
	seat->child = child_end(seat->child);
	return true;
}

static void run_storm(struct storm *storm, uint64_t rounds)
{
	const uint64_t target = storm->started + rounds;
	uint32_t under_way = 0;

	for (uint32_t queue = 0; queue < QUEUES; queue++, under_way++)
		start_consumer(storm, queue);
	while (under_way) {
		for (uint32_t queue = 0; queue < QUEUES; queue++) {
			if (!storm->seats[queue].child || !end_consumer(storm, queue))
				continue;
			if (storm->started < target)
				start_consumer(storm, queue);
			else
				under_way--;
		}
		(void)poll(NULL, 0, 1);
	}
}

/* What it holds when nothing is under way: the same in two looks. */
static struct footprint at_rest(const struct instance *daemon)
{
	struct footprint last, footprint;

	assert_ok(footprint_take(&footprint, instance_pid(daemon)));
	do {
		last = footprint;
		live_sleep_ms(20);
		assert_ok(footprint_take(&footprint, instance_pid(daemon)));
	} while (*footprint_difference(&last, &footprint));
	return footprint;
}

/* All queues are ready, and the daemon holds what it did before. */
static void await_rest(const struct instance *daemon, const struct footprint *before,
		       struct footprint *ret)
{
	for (uint32_t queue = 0; queue < QUEUES; queue++)
		assert_becomes(protocol_queue_state(instance_socket(daemon), "near", queue) ==
				       XDPD_QUEUE_READY,
			       10000);
	/* The ends of the last connections are taken in a moment later. */
	if (!wait_until(footprint_take(ret, instance_pid(daemon)) == 0 &&
				!*footprint_difference(before, ret),
			5000))
		fail_msg("left behind: %s", footprint_difference(before, ret));
}

/* As a service would be: with a limit on what it may lock, which stays with this program, too. */
static struct instance *start_limited_daemon(void)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	if (limit.rlim_max > LOCKED_MAX)
		limit.rlim_max = LOCKED_MAX;
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	return instance_start_as(
		SMALL,
		&(struct child_options){.uid = DAEMON_UID, .capabilities = DAEMON_CAPABILITIES});
}

static void a_thousand_consumers_are_killed_and_nothing_is_left_of_them(void **state)
{
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct footprint start, before, after;
	struct storm storm = {};
	struct traffic *traffic;
	uint64_t begun;

	(void)state;
	require_live_frames();
	assert_ok(
		veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = QUEUES}));
	for (uint32_t queue = 0; queue < QUEUES; queue++)
		storm.seats[queue].stepper = live_shared(sizeof(*storm.seats[queue].stepper));
	storm.daemon = start_limited_daemon();
	traffic = start_traffic(10000);

	start = at_rest(storm.daemon);
	run_storm(&storm, WARM_UP);
	await_rest(storm.daemon, &start, &before);
	begun = live_now_ms();
	run_storm(&storm, ROUNDS);
	await_rest(storm.daemon, &start, &after);
	print_message("%d rounds in %lu ms, memory %lu -> %lu kB\n", ROUNDS, live_now_ms() - begun,
		      before.anonymous_kb, after.anonymous_kb);

	if (!FOOTPRINT_SANITIZED)
		assert_true(after.anonymous_kb <= before.anonymous_kb + MEMORY_GROWTH_MAX_KB);
	assert_true(instance_metric(storm.daemon, "xdpd_consumer_disconnects_total", "reason",
				    "died") >= (double)storm.attached);
	assert_true(instance_metric(storm.daemon, "xdpd_consumer_disconnects_total") <=
		    (double)storm.started);
	assert_true(instance_metric(storm.daemon, "xdpd_consumers") == 0);
	assert_ok(traffic_stop(traffic, NULL));
	for (uint32_t queue = 0; queue < QUEUES; queue++) {
		probe = probe_open(storm.daemon, "near", "far", queue);
		probe_passes(&probe);
		probe_delivers(&probe);
		probe_close(&probe);
	}
	instance_stop(storm.daemon);
}

/* ---- random messages ---- */

static size_t message_size(uint16_t type)
{
	switch (type) {
	case XDPD_HELLO:
		return sizeof(struct xdpd_hello);
	case XDPD_ATTACH:
		return sizeof(struct xdpd_attach_request);
	case XDPD_LIST:
		return sizeof(struct xdpd_list_request);
	case XDPD_ADD_QUEUE:
	case XDPD_REMOVE_QUEUE:
		return sizeof(struct xdpd_queue_request) + 40;
	case XDPD_EJECT:
		return sizeof(struct xdpd_eject_request);
	default:
		return sizeof(struct xdpd_header);
	}
}

static void fill_randomly(unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (unsigned char)random_number();
}

/* A message that is right in all but, mostly, something. */
static size_t make_message(unsigned char bytes[XDPD_MESSAGE_MAX + 64])
{
	struct xdpd_header *header = (struct xdpd_header *)bytes;
	uint16_t type = (uint16_t)(1 + random_number() % (XDPD_RELOAD + 1));
	size_t length = message_size(type);

	fill_randomly(bytes, length);
	if (random_number() % 2)
		memset(bytes + sizeof(*header), 0, length - sizeof(*header));
	if (type == XDPD_ATTACH && random_number() % 2) {
		struct xdpd_attach_request *request = (struct xdpd_attach_request *)bytes;

		*request = (struct xdpd_attach_request){.device = "near",
							.queue = (uint32_t)random_number() % 5};
	}
	switch (random_number() % 8) {
	case 0:
		length = random_number() % (XDPD_MESSAGE_MAX + 64);
		fill_randomly(bytes, length);
		return length;
	case 1:
		length = random_number() % XDPD_MESSAGE_MAX;
		break;
	}
	*header = (struct xdpd_header){
		.magic = XDPD_PROTOCOL_MAGIC,
		.version = XDPD_PROTOCOL_VERSION,
		.type = type,
		.length = (uint32_t)length,
		.id = (uint32_t)random_number() % 100,
	};
	if (random_number() % 16 == 0)
		bytes[random_number() % sizeof(*header)] ^=
			(unsigned char)(1 + random_number() % 255);
	return length;
}

/* Fds of all kinds, from one to more than the daemon has room for. */
static size_t choose_fds(int fds[32])
{
	size_t count = random_number() % 16 ? 0 : 1 + random_number() % 32;

	for (size_t i = 0; i < count; i++)
		fds[i] = (int)(random_number() % 3);
	return count;
}

/* Speaks until the daemon has had enough of it, now and then reading what it says. */
static void babble(struct protocol *protocol)
{
	static struct protocol_message answer;
	static unsigned char bytes[XDPD_MESSAGE_MAX + 64];
	int fds[32];

	for (int i = 0; i < 50; i++) {
		size_t n_fds = choose_fds(fds);
		size_t length = make_message(bytes);

		if (protocol_send_raw(protocol, bytes, length, fds, n_fds) < 0)
			return;
		while (random_number() % 4 && protocol_receive(protocol, &answer, 1) >= 0)
			;
	}
}

static int babble_until_told(void *argument)
{
	struct stepper *stepper = argument;

	random_state += (uint64_t)getpid();
	while (!stepper_read(&stepper->word)) {
		cleanup_protocol struct protocol protocol;

		protocol_init(&protocol, &stepper->target);
		if (protocol_go(&protocol,
				random_number() % 4 ? PROTOCOL_WELCOMED : PROTOCOL_CONNECTED) < 0)
			continue;
		(void)__atomic_add_fetch(&stepper->arrived, 1, __ATOMIC_RELAXED);
		babble(&protocol);
	}
	return 0;
}

static void random_messages_from_many_disturb_nobody(void **state)
{
	enum { BABBLERS = 4, CONNECTIONS = 800 };
	struct stepper *stepper = live_shared(sizeof(*stepper));
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct child *babblers[BABBLERS], *consumer;
	struct footprint before, after;
	struct instance *daemon;
	uint64_t sent = 0;

	(void)state;
	assert_ok(
		veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = QUEUES}));
	daemon = instance_start(LARGE);
	probe = probe_open(daemon, "near", "far", 0);
	stepper->target = protocol_target(probe.socket, "near", 0, "babbler");
	before = at_rest(daemon);
	consumer = probe_stay(&probe, false);
	for (int i = 0; i < BABBLERS; i++)
		assert_ok(
			child_start(&babblers[i], &(struct child_options){.call = babble_until_told,
									  .argument = stepper,
									  .uid = CHILD_NOBODY}));
	while (stepper_read(&stepper->arrived) < CONNECTIONS) {
		uint64_t received = (uint64_t)instance_metric(
			daemon, "xdpd_queue_receive_packets_total", "queue", "0");

		assert_true(received <= sent && sent - received <= 16);
		if (received == sent) {
			probe_send(&probe, 16);
			sent += 16;
		}
	}
	stepper_write(&stepper->word, 1);
	for (int i = 0; i < BABBLERS; i++) {
		assert_int_equal(child_wait(babblers[i], 10000), 0);
		(void)child_end(babblers[i]);
	}
	assert_becomes(instance_metric(daemon, "xdpd_queue_receive_packets_total", "queue", "0") ==
			       (double)sent,
		       5000);
	print_message(
		"%d connections, %lu frames beside them, %.0f requests, %.0f of them refused\n",
		stepper->arrived, sent, instance_metric(daemon, "xdpd_control_requests_total"),
		instance_metric(daemon, "xdpd_control_request_failures_total"));
	assert_ok(protocol_eject(probe.socket, "near", 0, "enough"));
	probe_ended(consumer, ECANCELED, "enough", 5000);
	await_rest(daemon, &before, &after);
	probe_passes(&probe);
	probe_delivers(&probe);
	instance_stop(daemon);
}

static void fds_that_nobody_asked_for_are_closed_with_their_sender(void **state)
{
	static const size_t counts[] = {1, 2, 4, 5, 64, 253};
	const size_t n_counts = sizeof(counts) / sizeof(counts[0]);
	struct xdpd_header message = {XDPD_PROTOCOL_MAGIC, XDPD_PROTOCOL_VERSION, XDPD_SUBSCRIBE,
				      sizeof(message), 9};
	struct footprint before, after;
	struct instance *daemon;
	int fds[253];

	(void)state;
	assert_ok(
		veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = QUEUES}));
	daemon = instance_start(LARGE);
	before = at_rest(daemon);
	for (size_t i = 0; i < n_counts; i++) {
		const struct protocol_target target =
			protocol_target(instance_socket(daemon), "near", 0, "giver");
		cleanup_protocol struct protocol giver;
		cleanup_fd int end = -1;
		struct pollfd closed;
		int ends[2];

		assert_int_equal(pipe(ends), 0);
		end = ends[0];
		for (size_t j = 0; j < counts[i]; j++)
			fds[j] = ends[1];
		protocol_init(&giver, &target);
		assert_ok(protocol_go(&giver, PROTOCOL_WELCOMED));
		assert_ok(protocol_send_raw(&giver, &message, sizeof(message), fds, counts[i]));
		(void)close(ends[1]);
		assert_ok(protocol_await_end(&giver));
		assert_non_null(strstr(giver.reason, "fds that nobody asked for"));
		/* The pipe's other end tells when the last copy is closed. */
		closed = (struct pollfd){.fd = end};
		assert_int_equal(poll(&closed, 1, 5000), 1);
		assert_true(closed.revents & POLLHUP);
	}
	await_rest(daemon, &before, &after);
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(random_messages_from_many_disturb_nobody),
		live_test(fds_that_nobody_asked_for_are_closed_with_their_sender),
		live_test(a_thousand_consumers_are_killed_and_nothing_is_left_of_them),
	};

	return live_run("storm", tests, 240);
}
