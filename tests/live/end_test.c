// SPDX-License-Identifier: BSD-2-Clause
/*
 * How an attachment ends, whoever ends it and however: the queue is free again, the reason is told
 * and counted, and the others notice nothing.
 */
#include "tests/live/harness.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_xdp.h>
#include <net/if.h>
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
#define CONFIG(queues)                                                   \
	"access: { attach: { users: [\"*\"] } }\n"                       \
	"interfaces:\n"                                                  \
	"  - name: near\n"                                               \
	"    queues: [{ id: " queues ", frames: 1024, frame_size: 2048," \
	"               rings: { rx: 512, tx: 128, fill: 1024, completion: 128 } }]\n"

static struct instance *start_daemon(uint32_t queues)
{
	assert_ok(
		veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = queues}));
	return instance_start(queues == 1   ? CONFIG("0")
			      : queues == 2 ? CONFIG("0-1")
					    : CONFIG("0-3"));
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

static struct stepper *new_stepper(const struct instance *daemon, uint32_t queue,
				   enum protocol_step step)
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
	return (uint64_t)instance_metric(daemon, "xdpd_consumer_disconnects_total", "reason",
					 reason);
}

/* The id of the XDP program on a device; 0: none. */
static uint32_t program_on(const char *device)
{
	uint32_t id = 0;

	assert_int_equal(bpf_xdp_query_id((int)if_nametoindex(device), 0, &id), 0);
	return id;
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
	static const enum protocol_step steps[] = {PROTOCOL_GRANTED, PROTOCOL_READY_SENT,
						   PROTOCOL_STARTED};
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

static bool is_empty(int memfd)
{
	struct stat status;

	return fstat(memfd, &status) == 0 && status.st_blocks == 0;
}

/* Kept memfds are no way to take memory without end: the pages go with the attachment. */
static void a_kept_umem_is_emptied(void **state)
{
	struct instance *daemon = start_daemon(1);
	cleanup_probe struct probe probe = probe_open(daemon, "near", "far", 0);
	const struct protocol_target target = protocol_target(probe.socket, "near", 0, "keeper");
	cleanup_protocol struct protocol protocol;

	(void)state;
	protocol_init(&protocol, &target);
	assert_ok(protocol_go(&protocol, PROTOCOL_STARTED));
	assert_false(is_empty(protocol.fds[0]));
	protocol_hang_up(&protocol);
	assert_becomes(is_empty(protocol.fds[0]), 5000);
	assert_true(protocol.fds[1] >= 0);
	protocol_close(&protocol);
	probe_delivers(&probe);
	instance_stop(daemon);
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
	assert_becomes(disconnects(daemon, "died") == 2, 5000);
	/* The first waits while the kernel may still be at it, and is then told; the second at once. */
	for (uint32_t i = 0; i < 2; i++)
		assert_refused_naming(probes[i], child_pid(children[i]));
	assert_true(child_is_alive(children[0]));
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

/* The daemon finds the ends and the requests of four queues at once, in whatever order. */
static void swap_four(struct instance *daemon, int round)
{
	struct child *formers[4];
	struct protocol next[4];

	for (uint32_t i = 0; i < 4; i++) {
		const struct protocol_target target =
			protocol_target(instance_socket(daemon), "near", i, "next");

		formers[i] = start_arrived(new_stepper(daemon, i, PROTOCOL_STARTED));
		protocol_init(&next[i], &target);
		assert_ok(protocol_go(&next[i], PROTOCOL_WELCOMED));
	}
	(void)kill(instance_pid(daemon), SIGSTOP);
	for (int i = 0; i < 4; i++)
		child_kill(formers[(i + round) % 4]);
	for (int i = 0; i < 4; i++)
		assert_ok(protocol_go(&next[i], PROTOCOL_ATTACH_SENT));
	(void)kill(instance_pid(daemon), SIGCONT);
	for (int i = 0; i < 4; i++) {
		int r = protocol_go(&next[i], PROTOCOL_STARTED);

		if (r < 0)
			fail_msg("queue %d: %s: %s", i, strerror(-r), next[i].reason);
		(void)child_end(formers[i]);
	}
	for (int i = 0; i < 4; i++)
		protocol_close(&next[i]);
}

static void an_attach_right_after_anothers_end_is_served(void **state)
{
	struct instance *daemon = start_daemon(4);

	(void)state;
	for (int round = 0; round < 8; round++)
		swap_four(daemon, round);
	instance_stop(daemon);
}

static void of_two_at_once_one_is_told_who_has_the_queue(void **state)
{
	struct instance *daemon = start_daemon(1);
	struct stepper *steppers[2];
	struct child *children[2];
	char winner[64];

	(void)state;
	(void)kill(instance_pid(daemon), SIGSTOP);
	for (int i = 0; i < 2; i++) {
		steppers[i] = new_stepper(daemon, 0, PROTOCOL_STARTED);
		children[i] = start_stepper(steppers[i]);
	}
	(void)kill(instance_pid(daemon), SIGCONT);
	for (int i = 0; i < 2; i++)
		assert_becomes(stepper_read(&steppers[i]->arrived), PROTOCOL_PATIENCE);
	assert_int_equal(steppers[0]->arrived + steppers[1]->arrived, 1 - EBUSY);
	for (int i = 0; i < 2; i++) {
		(void)snprintf(winner, sizeof(winner), "`stepper`, uid %d, pid %d", CHILD_NOBODY,
			       child_pid(children[!i]));
		if (steppers[i]->arrived == -EBUSY)
			assert_non_null(strstr(steppers[i]->reason, winner));
	}
	instance_stop(daemon);
}

/* ---- broken protocol ---- */

static void who_falls_silent_is_let_go_while_another_is_served(void **state)
{
	struct instance *daemon = start_daemon(2);
	cleanup_probe struct probe silent = probe_open(daemon, "near", "far", 0);
	cleanup_probe struct probe other = probe_open(daemon, "near", "far", 1);
	const struct protocol_target target = protocol_target(silent.socket, "near", 0, "silent");
	cleanup_protocol struct protocol granted, speechless;
	struct child *consumer;
	uint64_t begun = live_now_ms(), took;

	(void)state;
	consumer = probe_attach(&other, 1000);
	protocol_init(&speechless, &target);
	assert_ok(protocol_go(&speechless, PROTOCOL_CONNECTED));
	protocol_init(&granted, &target);
	assert_ok(protocol_go(&granted, PROTOCOL_MAPPED));
	for (int i = 0; i < 1000; i++) {
		struct pollfd end = {.fd = granted.fd, .events = POLLIN};

		if (i == 999)
			assert_int_equal(poll(&end, 1, PROTOCOL_PATIENCE), 1);
		else
			(void)poll(&end, 1, 9);
		probe_send(&other, 1);
	}
	assert_ok(protocol_await_end(&granted));
	took = live_now_ms() - begun;
	assert_non_null(strstr(granted.reason, "no READY within 10 seconds"));
	assert_true(took >= 9900 && took < 15000);
	assert_ok(protocol_await_end(&speechless));
	assert_int_equal(disconnects(daemon, "timeout"), 1);
	probe_finish(consumer);
	protocol_close(&granted);
	probe_passes(&silent);
	probe_delivers(&silent);
	instance_stop(daemon);
}

static int say_ready(struct protocol *protocol)
{
	return protocol_say(protocol, XDPD_READY);
}

static int say_an_unknown_word(struct protocol *protocol)
{
	return protocol_say(protocol, XDPD_GRANT);
}

static int say_hello_again(struct protocol *protocol)
{
	struct xdpd_hello hello = {.version_min = 1, .version_max = 1, .name = "again"};

	return protocol_send(protocol, XDPD_HELLO, &hello, sizeof(hello));
}

static int send_garbage(struct protocol *protocol)
{
	return protocol_send_raw(protocol, "garbage after all this?", 23, NULL, 0);
}

static int send_a_wrong_length(struct protocol *protocol)
{
	struct xdpd_header header = {XDPD_PROTOCOL_MAGIC, XDPD_PROTOCOL_VERSION, XDPD_READY, 999,
				     1};

	return protocol_send_raw(protocol, &header, sizeof(header), NULL, 0);
}

static int send_a_short_message(struct protocol *protocol)
{
	return protocol_say(protocol, XDPD_LIST);
}

static int send_an_unasked_fd(struct protocol *protocol)
{
	struct xdpd_header header = {XDPD_PROTOCOL_MAGIC, XDPD_PROTOCOL_VERSION, XDPD_SUBSCRIBE,
				     sizeof(header), 77};

	return protocol_send_raw(protocol, &header, sizeof(header), &(int){STDERR_FILENO}, 1);
}

static void who_breaks_the_protocol_is_let_go_and_counted(void **state)
{
	static const struct {
		enum protocol_step after;
		int (*offend)(struct protocol *);
	} offences[] = {
		{PROTOCOL_STARTED, say_ready},		{PROTOCOL_GRANTED, send_garbage},
		{PROTOCOL_MAPPED, say_hello_again},	{PROTOCOL_GRANTED, say_an_unknown_word},
		{PROTOCOL_MAPPED, send_a_wrong_length}, {PROTOCOL_STARTED, send_a_short_message},
		{PROTOCOL_STARTED, send_an_unasked_fd}, {PROTOCOL_STARTED, send_garbage},
	};
	const size_t n_offences = sizeof(offences) / sizeof(offences[0]);
	struct instance *daemon = start_daemon(1);
	cleanup_probe struct probe probe = probe_open(daemon, "near", "far", 0);
	const struct protocol_target target = protocol_target(probe.socket, "near", 0, "offender");

	(void)state;
	for (size_t i = 0; i < n_offences; i++) {
		cleanup_protocol struct protocol offender;

		protocol_init(&offender, &target);
		assert_ok(protocol_go(&offender, offences[i].after));
		assert_ok(offences[i].offend(&offender));
		assert_ok(protocol_await_end(&offender));
		assert_non_null(strstr(offender.reason, "protocol error"));
		assert_int_equal(disconnects(daemon, "violation"), i + 1);
		protocol_close(&offender);
		probe_passes(&probe);
	}
	probe_delivers(&probe);
	instance_stop(daemon);
}

static void a_second_attach_is_refused_and_the_first_remains(void **state)
{
	struct instance *daemon = start_daemon(2);
	cleanup_probe struct probe probe = probe_open(daemon, "near", "far", 0);
	const struct protocol_target target = protocol_target(probe.socket, "near", 0, "twice");
	struct xdpd_attach_request request = {.device = "near", .queue = 1};
	cleanup_protocol struct protocol protocol;
	struct protocol_message message;

	(void)state;
	protocol_init(&protocol, &target);
	assert_ok(protocol_go(&protocol, PROTOCOL_STARTED));
	assert_ok(protocol_send(&protocol, XDPD_ATTACH, &request, sizeof(request)));
	assert_error(protocol_await(&protocol, XDPD_GRANT, &message), EISCONN);
	probe_becomes(&probe, XDPD_QUEUE_ATTACHED, 0);
	probe_send(&probe, 8);
	assert_ok(protocol_go(&protocol, PROTOCOL_RECEIVED));
	instance_stop(daemon);
}

static void who_asks_again_while_it_waits_breaks_the_protocol(void **state)
{
	struct instance *daemon = start_daemon(1);
	struct stepper *stepper = new_stepper(daemon, 0, PROTOCOL_STARTED);
	const struct protocol_target target =
		protocol_target(instance_socket(daemon), "near", 0, "impatient");
	struct xdpd_attach_request request = {.device = "near"};
	cleanup_probe struct probe probe = probe_open(daemon, "near", "far", 0);
	cleanup_protocol struct protocol protocol;

	(void)state;
	/* Held by somebody, the queue is being released for two seconds. */
	stepper->then = await_word_without_connection;
	(void)start_arrived(stepper);
	probe_becomes(&probe, XDPD_QUEUE_RELEASING, 5000);
	protocol_init(&protocol, &target);
	assert_ok(protocol_go(&protocol, PROTOCOL_ATTACH_SENT));
	assert_ok(protocol_send(&protocol, XDPD_ATTACH, &request, sizeof(request)));
	assert_ok(protocol_await_end(&protocol));
	assert_non_null(strstr(protocol.reason, "another is under way"));
	stepper_write(&stepper->word, 1);
	probe_delivers(&probe);
	instance_stop(daemon);
}

/* ---- a hostile consumer ---- */

static uint64_t random_state = 88172645463325252ull;

static uint64_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void scribble(const struct protocol *protocol)
{
	/* All but the frames: rings with their indices and flags, and the account. */
	for (size_t i = 1; i < protocol->n_maps; i++) {
		uint32_t *words = protocol->maps[i].address;
		size_t n = protocol->maps[i].length / sizeof(*words);

		for (size_t j = random_number() % 7; j < n; j += 1 + random_number() % 7)
			words[j] = (uint32_t)random_number() >> random_number() % 32;
	}
}

static void abuse_socket(int fd, int umem_fd)
{
	static const int ring_options[] = {XDP_RX_RING, XDP_TX_RING, XDP_UMEM_FILL_RING,
					   XDP_UMEM_COMPLETION_RING};
	struct sockaddr_xdp address = {.sxdp_family = AF_XDP,
				       .sxdp_ifindex = (uint32_t)random_number() % 4,
				       .sxdp_queue_id = (uint32_t)random_number() % 4,
				       .sxdp_shared_umem_fd = (uint32_t)fd,
				       .sxdp_flags = (uint16_t)(random_number() & 0x1f)};
	uint32_t size = 1u << random_number() % 20;
	char byte = 0;

	(void)bind(fd, (const struct sockaddr *)&address, sizeof(address));
	(void)setsockopt(fd, SOL_XDP, ring_options[random_number() % 4], &size, sizeof(size));
	(void)setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
	(void)shutdown(fd, SHUT_RDWR);
	(void)!sendto(fd, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
	(void)!recv(fd, &byte, 0, MSG_DONTWAIT);
	(void)!ftruncate(umem_fd, (off_t)(random_number() % 100000));
	(void)fallocate(umem_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 20);
	(void)fchmod(umem_fd, 0777);
}

/* From before READY on, until it is killed. */
static int wreck(struct stepper *stepper, struct protocol *protocol)
{
	random_state += (uint64_t)getpid();
	if (stepper->step == PROTOCOL_MAPPED) {
		scribble(protocol);
		abuse_socket(protocol->fds[1], protocol->fds[0]);
		(void)protocol_say(protocol, XDPD_READY);
	}
	for (int rounds = 1; rounds < INT_MAX; rounds++) {
		scribble(protocol);
		abuse_socket(protocol->fds[1], protocol->fds[0]);
		stepper_write(&stepper->word, rounds);
	}
	return 0;
}

static bool is_series_of_totals(const char *line)
{
	size_t name = strcspn(line, "{ ");

	return line[0] != '#' && name > 6 && !strncmp(line + name - 6, "_total", 6);
}

/* The line that begins as `line` does for `length` bytes. */
static const char *find_line(const char *text, const char *line, size_t length)
{
	for (; *text; text += strcspn(text, "\n") + 1)
		if (!strncmp(text, line, length))
			return text;
	return NULL;
}

/* No counter has gone back, or away but for those of a consumer that has left. */
static void assert_monotonic(const char *before, const char *after)
{
	size_t series = 0;

	for (const char *line = before; *line; line += strcspn(line, "\n") + 1) {
		size_t length = strcspn(line, "\n");
		size_t key = length;
		const char *found;

		if (!is_series_of_totals(line))
			continue;
		while (key && line[key - 1] != ' ')
			key--;
		found = find_line(after, line, key);
		if (!found || strtod(found + key, NULL) < strtod(line + key, NULL))
			fail_msg("a counter went back: %.*s, then %.*s", (int)length, line,
				 found ? (int)strcspn(found, "\n") : 4, found ? found : "gone");
		series++;
	}
	assert_true(series > 10);
}

static void a_consumer_that_wrecks_its_rings_harms_nobody_else(void **state)
{
	static const enum protocol_step steps[] = {PROTOCOL_MAPPED, PROTOCOL_STARTED,
						   PROTOCOL_STARTED, PROTOCOL_TRANSMITTING};
	cleanup_free char *before = NULL;
	cleanup_probe struct probe victim = {.far_fd = -1, .near_fd = -1};
	cleanup_probe struct probe other = victim;
	struct instance *daemon;
	struct traffic *traffic;
	struct child *consumer;

	(void)state;
	require_live_frames();
	daemon = start_daemon(2);
	victim = probe_open(daemon, "near", "far", 0);
	other = probe_open(daemon, "near", "far", 1);
	traffic = start_traffic();
	consumer = probe_attach(&other, 200 * sizeof(steps) / sizeof(steps[0]));
	before = instance_metrics(daemon);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct stepper *stepper = new_stepper(daemon, 0, steps[i]);
		struct child *wrecker;

		(void)snprintf(stepper->target.name, sizeof(stepper->target.name), "wrecker%zu", i);
		stepper->then = wreck;
		wrecker = start_arrived(stepper);
		for (int j = 1; j <= 20; j++) {
			char *after;

			assert_becomes(stepper_read(&stepper->word) >= j * 10, 10000);
			probe_send(&other, 10);
			after = instance_metrics(daemon);
			assert_monotonic(before, after);
			free(before);
			before = after;
		}
		child_kill(wrecker);
		(void)child_end(wrecker);
		probe_passes(&victim);
		probe_delivers(&victim);
	}
	probe_finish(consumer);
	assert_true(metric_value(before, "xdpd_queue_receive_packets_total", "queue", "0") <=
		    metric_value(before, "xdpd_xdp_verdicts_total", "queue", "0", "action",
				 "redirect"));
	assert_ok(traffic_stop(traffic, NULL));
	instance_stop(daemon);
}

/* ---- the daemon ends ---- */

static void a_daemon_that_is_stopped_tells_its_consumers_and_leaves_nothing(void **state)
{
	struct instance *daemon = start_daemon(2);
	cleanup_probe struct probe first = probe_open(daemon, "near", "far", 0);
	cleanup_probe struct probe second = probe_open(daemon, "near", "far", 1);
	struct footprint footprint;
	struct child *consumers[2];
	uint64_t begun;

	(void)state;
	consumers[0] = probe_stay(&first, true);
	consumers[1] = probe_stay(&second, false);
	assert_int_not_equal(program_on("near"), 0);
	assert_ok(footprint_take(&footprint, instance_pid(daemon)));
	assert_true(footprint.bpf_links && footprint.bpf_maps && footprint.bpf_programs);
	begun = live_now_ms();
	instance_stop(daemon);
	print_message("it stopped within %lu ms\n", live_now_ms() - begun);
	for (int i = 0; i < 2; i++)
		probe_ended(consumers[i], ECANCELED, "xdpd is stopping", 5000);
	assert_int_equal(program_on("near"), 0);
	assert_becomes(footprint_bpf_left(&footprint) == 0, 5000);
}

static void a_killed_daemon_is_noticed_and_can_be_started_again(void **state)
{
	struct instance *daemon = start_daemon(1);
	cleanup_probe struct probe probe = probe_open(daemon, "near", "far", 0);
	const char *argv[] = {built("xdpd"), "--config", instance_config(daemon), NULL};
	struct footprint footprint;
	struct child *consumer, *again;

	(void)state;
	consumer = probe_stay(&probe, true);
	assert_ok(footprint_take(&footprint, instance_pid(daemon)));
	child_kill(instance_child(daemon));
	probe_ended(consumer, ECONNRESET, "", 5000);
	assert_becomes(footprint_bpf_left(&footprint) == 0, 5000);
	assert_int_equal(program_on("near"), 0);
	assert_int_equal(access(probe.socket, F_OK), 0);
	assert_ok(child_start(&again, &(struct child_options){.argv = argv}));
	assert_ok(child_wait_output(again, "is ready", 10000));
	probe_passes(&probe);
	probe_delivers(&probe);
	assert_ok(child_signal(again, SIGTERM));
	assert_int_equal(child_wait(again, 5000), 0);
	assert_int_not_equal(access(probe.socket, F_OK), 0);
	(void)child_end(again);
	instance_kill(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(a_consumer_killed_at_any_step_leaves_a_ready_queue),
		live_test(who_says_goodbye_is_counted_as_left),
		live_test(who_is_ejected_is_told_why),
		live_test(a_kept_umem_is_emptied),
		live_test(a_held_socket_makes_the_queue_busy_until_its_holder_lets_go),
		live_test(the_end_of_a_former_consumer_is_noticed_at_once),
		live_test(an_attach_right_after_anothers_end_is_served),
		live_test(of_two_at_once_one_is_told_who_has_the_queue),
		live_test(who_falls_silent_is_let_go_while_another_is_served),
		live_test(who_breaks_the_protocol_is_let_go_and_counted),
		live_test(a_second_attach_is_refused_and_the_first_remains),
		live_test(who_asks_again_while_it_waits_breaks_the_protocol),
		live_test(a_consumer_that_wrecks_its_rings_harms_nobody_else),
		live_test(a_daemon_that_is_stopped_tells_its_consumers_and_leaves_nothing),
		live_test(a_killed_daemon_is_noticed_and_can_be_started_again),
	};

	return live_run("end", tests, 120);
}
