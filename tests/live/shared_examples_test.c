// SPDX-License-Identifier: BSD-2-Clause
/* The examples are the same programs whether they have the queue for themselves or share it. */
#include "tests/live/harness.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/live/child.h"
#include "tests/live/consumer.h"
#include "tests/live/instance.h"
#include "tests/live/packet.h"

#define PATIENCE 15000
#define LENGTH	 200
#define COUNT	 "300"
#define FRAMES	 300
#define TWICE	 "600"

static const char *const queues[] = {
	"id: 0",
	"id: 0, delivery: shared",
	"id: 0, delivery: shared, umem: writable",
};

static struct instance *start_daemon(const char *queue)
{
	char config[512];

	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far"}));
	(void)snprintf(config, sizeof(config),
		       "access: { attach: { users: [nobody] } }\n"
		       "interfaces: [{ name: near, queues: [{ %s }] }]\n",
		       queue);
	return instance_start(config);
}

/* Runs `EXAMPLE -s SOCKET ARGUMENTS... near 0` as nobody and waits until it has attached. */
#define start_example(daemon, example, ...) \
	start_program(daemon, example, (const char *const[]){__VA_ARGS__, NULL})

static struct child *start_program(const struct instance *daemon, const char *example,
				   const char *const *arguments)
{
	const char *argv[24] = {built(example), "-s", instance_socket(daemon), "-q", "-v"};
	struct child *child;
	size_t n = 5;

	while (*arguments)
		argv[n++] = *arguments++;
	argv[n++] = "near";
	argv[n++] = "0";
	assert_ok(child_start(&child, &(struct child_options){.argv = argv, .uid = CHILD_NOBODY}));
	if (child_wait_output(child, "attached to near queue 0", PATIENCE) < 0)
		fail_msg("%s did not attach: %s", example, child_errors(child));
	return child;
}

static void ends_well(struct child *child, const char *says)
{
	cleanup_free char *output = NULL, *errors = NULL;
	int status = child_wait(child, PATIENCE);

	output = child_output(child);
	errors = child_errors(child);
	if (status != 0 || !strstr(output, says))
		fail_msg("status %d: `%s` instead of `%s`: %s", status, output, says, errors);
	(void)child_end(child);
}

static void send_frames(int far)
{
	uint8_t frame[LENGTH];

	for (uint64_t i = 0; i < FRAMES; i++) {
		consumer_frame(frame, sizeof(frame), i);
		frame[0] = 2; /* the destination, by which a reflected frame is told */
		assert_ok(packet_send(far, frame, sizeof(frame)));
		if (i % 32 == 31)
			live_sleep_ms(2);
	}
}

static uint32_t receive_frames(int far, size_t length, uint32_t count, size_t swapped_at)
{
	uint8_t frame[2048];
	uint32_t n = 0;
	ssize_t got;

	while (n < count && (got = packet_receive(far, frame, sizeof(frame), PATIENCE)) >= 0)
		n += (size_t)got == length && (!swapped_at || frame[swapped_at] == 2);
	return n;
}

static void the_receiver_counts_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct instance *daemon = start_daemon(queues[i]);
		cleanup_fd int far = (int)assert_ok(packet_open("far"));
		struct child *rx = start_example(daemon, "examples/xdpd-rx", "-c", COUNT);

		send_frames(far);
		ends_well(rx, "received " COUNT " frames");
		instance_stop(daemon);
		assert_ok(device_delete("near"));
	}
}

static void the_reflector_swaps_addresses_and_sends_all_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct instance *daemon = start_daemon(queues[i]);
		cleanup_fd int far = (int)assert_ok(packet_open("far"));
		struct child *reflector =
			start_example(daemon, "examples/xdpd-reflect", "-c", COUNT);

		send_frames(far);
		assert_int_equal(receive_frames(far, LENGTH, FRAMES, 6), FRAMES);
		ends_well(reflector, COUNT);
		instance_stop(daemon);
		assert_ok(device_delete("near"));
	}
}

static void the_sender_sends_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct instance *daemon = start_daemon(queues[i]);
		cleanup_fd int far = (int)assert_ok(packet_open("far"));
		struct child *tx =
			start_example(daemon, "examples/xdpd-tx", "-d", "02:00:00:00:00:02", "-r",
				      "2000", "-z", "222", "-c", COUNT);

		assert_int_equal(receive_frames(far, 222, FRAMES, 0), FRAMES);
		ends_well(tx, COUNT);
		instance_stop(daemon);
		assert_ok(device_delete("near"));
	}
}

/* Starts a receiver that is to have all frames of two rounds, between which something is away. */
static struct child *start_persistent(const struct instance *daemon)
{
	cleanup_fd int far = (int)assert_ok(packet_open("far"));
	struct child *rx = start_example(daemon, "examples/xdpd-rx", "--reattach", "-c", TWICE);

	send_frames(far);
	/* What xdpd has not handed on is lost with it, where nobody keeps its fds. */
	assert_becomes(instance_metric(daemon, "xdpd_queue_receive_packets_total") == FRAMES,
		       PATIENCE);
	return rx;
}

static void ends_well_once_more(struct child *rx)
{
	cleanup_fd int far = (int)assert_ok(packet_open("far"));

	if (child_wait_output(rx, "attached again", PATIENCE) < 0)
		fail_msg("not attached again: %s", child_errors(rx));
	send_frames(far);
	ends_well(rx, "received " TWICE " frames");
}

static void the_receiver_is_there_again_when_xdpd_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct instance *daemon = start_daemon(queues[i]);
		struct child *rx = start_persistent(daemon);

		assert_ok(child_signal(instance_child(daemon), i ? SIGKILL : SIGTERM));
		assert_true(child_wait(instance_child(daemon), PATIENCE) >= 0);
		instance_start_again(daemon);
		ends_well_once_more(rx);
		instance_stop(daemon);
		assert_ok(device_delete("near"));
	}
}

static void the_receiver_is_there_again_when_the_interface_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct instance *daemon = start_daemon(queues[i]);
		struct child *rx = start_persistent(daemon);

		assert_ok(device_delete("near"));
		assert_ok(child_wait_output(rx, "trying to attach again", PATIENCE));
		assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far"}));
		ends_well_once_more(rx);
		instance_stop(daemon);
		assert_ok(device_delete("near"));
	}
}

static void all_of_them_share_one_queue(void **state)
{
	struct child *rx, *tap, *reflector, *dump;
	struct instance *daemon;
	cleanup_fd int far = -1;
	struct stat pcap;
	char folder[128], file[160];

	(void)state;
	daemon = start_daemon(queues[1]);
	far = (int)assert_ok(packet_open("far"));
	(void)snprintf(folder, sizeof(folder), "%s/pcap", live_folder());
	(void)snprintf(file, sizeof(file), "%s/frames.pcap", folder);
	assert_int_equal(mkdir(folder, 0755), 0);
	assert_int_equal(chown(folder, CHILD_NOBODY, CHILD_NOBODY), 0);
	rx = start_example(daemon, "examples/xdpd-rx", "-c", COUNT);
	tap = start_example(daemon, "examples/xdpd-rx", "-c", COUNT, "--tap", "-n", "looker");
	reflector = start_example(daemon, "examples/xdpd-reflect", "-c", COUNT);
	dump = start_example(daemon, "examples/xdpd-dump", "-c", COUNT, "-w", file);
	send_frames(far);
	assert_int_equal(receive_frames(far, LENGTH, FRAMES, 6), FRAMES);
	ends_well(rx, "received " COUNT " frames");
	ends_well(tap, "overrun 0");
	ends_well(reflector, COUNT);
	assert_int_equal(child_wait(dump, PATIENCE), 0);
	(void)child_end(dump);
	assert_int_equal(stat(file, &pcap), 0);
	assert_int_equal(pcap.st_size, 24 + FRAMES * (16 + LENGTH));
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(the_receiver_counts_all),
		live_test(the_reflector_swaps_addresses_and_sends_all_back),
		live_test(the_sender_sends_all),
		live_test(the_receiver_is_there_again_when_xdpd_is),
		live_test(the_receiver_is_there_again_when_the_interface_is),
		live_test(all_of_them_share_one_queue),
	};

	return live_run("shared_examples", tests, 120);
}
