// SPDX-License-Identifier: BSD-2-Clause
/* Sleep and waking in shared delivery: nobody uses the processor while nothing comes, and a burst wakes a sleeper once. */
#include "tests/live/harness.h"

#include <inttypes.h>
#include <signal.h>
#include <time.h>

#include "client/xdpd.h"
#include "tests/live/activity.h"
#include "tests/live/child.h"
#include "tests/live/consumer.h"
#include "tests/live/instance.h"
#include "tests/live/packet.h"
#include "tests/live/shared.h"

#define LOOK_SECONDS 3
#define TICKS_MAX    1 /* of 10 ms, in the time of a look */
#define WAKE_UPS_MAX 3
#define SLEEPERS     4
#define BURSTS	     50
#define BURST	     16
#define LENGTH	     100

/* A consumer that only ever waits in xdpd_wait(), without a timeout. */
struct sleeper {
	char socket[108], name[XDPD_NAME_MAX];
	uint32_t flags;
	int attached; /* 0: not yet, 1, or -errno */
	uint64_t packets, waits;
	uint64_t woken_ns; /* when it last came back from the wait, CLOCK_MONOTONIC */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int sleep_and_count(void *context)
{
	struct sleeper *sleeper = context;
	const struct xdpd_attach_options how = {.size = sizeof(how), .flags = sleeper->flags};
	struct xdpd *x;
	int r = xdpd_connect(&x, sleeper->socket, sleeper->name);

	if (r == 0)
		r = xdpd_attach(x, "near", 0, &how);
	__atomic_store_n(&sleeper->attached, r < 0 ? r : 1, __ATOMIC_RELEASE);
	while (r >= 0) {
		struct xdp_desc frames[BURST];
		uint32_t n = xdpd_rx(x, frames, BURST);

		xdpd_release(x, frames, n);
		__atomic_store_n(&sleeper->packets, sleeper->packets + n, __ATOMIC_RELEASE);
		if (n)
			continue;
		__atomic_store_n(&sleeper->waits, sleeper->waits + 1, __ATOMIC_RELEASE);
		r = xdpd_wait(x, -1);
		__atomic_store_n(&sleeper->woken_ns, now_ns(), __ATOMIC_RELEASE);
	}
	return 0;
}

static struct sleeper *start_sleeper(const struct instance *daemon, uint32_t number,
				     struct child **ret)
{
	struct sleeper *sleeper = live_shared(sizeof(*sleeper));

	(void)snprintf(sleeper->socket, sizeof(sleeper->socket), "%s", instance_socket(daemon));
	(void)snprintf(sleeper->name, sizeof(sleeper->name), "sleeper-%u", number);
	sleeper->flags = number % 2 ? XDPD_ATTACH_TAP : XDPD_ATTACH_HOLD;
	assert_ok(child_start(ret, &(struct child_options){.call = sleep_and_count,
							   .argument = sleeper,
							   .uid = CHILD_NOBODY}));
	assert_becomes(__atomic_load_n(&sleeper->attached, __ATOMIC_ACQUIRE), 15000);
	assert_int_equal(sleeper->attached, 1);
	return sleeper;
}

struct sleepers {
	pid_t pid, tid;
	struct activity before;
};

static void assert_asleep(const struct sleepers *sleepers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct activity after = activity_of(sleepers[i].pid, sleepers[i].tid);
		const uint64_t ticks = after.ticks - sleepers[i].before.ticks;
		const uint64_t wake_ups = after.wake_ups - sleepers[i].before.wake_ups;

		print_message("%" PRIu64 " ticks and %" PRIu64 " wake-ups in %d s\n", ticks,
			      wake_ups, LOOK_SECONDS);
		assert_true(ticks <= TICKS_MAX);
		assert_true(wake_ups <= WAKE_UPS_MAX);
	}
}

static void send_frames(int far, uint64_t first, uint64_t count)
{
	uint8_t frame[LENGTH];

	for (uint64_t i = first; i < first + count; i++) {
		consumer_frame(frame, sizeof(frame), i);
		assert_ok(packet_send(far, frame, sizeof(frame)));
	}
}

static bool has_waited(const struct sleeper *sleeper, uint64_t packets, uint64_t waits)
{
	return __atomic_load_n(&sleeper->packets, __ATOMIC_ACQUIRE) == packets &&
	       __atomic_load_n(&sleeper->waits, __ATOMIC_ACQUIRE) > waits;
}

static void a_queue_with_sleeping_members_uses_no_processor(void **state)
{
	struct sleepers asleep[SLEEPERS + 2];
	struct sleeper *sleepers[SLEEPERS];
	struct child *children[SLEEPERS];
	struct instance *daemon;
	cleanup_fd int far = -1;
	pid_t pid;

	(void)state;
	daemon = shared_start("worker: { spin_usecs: 100 }", "");
	far = (int)assert_ok(packet_open("far"));
	for (uint32_t i = 0; i < SLEEPERS; i++)
		sleepers[i] = start_sleeper(daemon, i, &children[i]);
	/* They have been busy before. */
	send_frames(far, 0, 100);
	for (uint32_t i = 0; i < SLEEPERS; i++) {
		assert_becomes(has_waited(sleepers[i], 100, 1), 5000);
		asleep[i].pid = asleep[i].tid = child_pid(children[i]);
	}
	pid = instance_pid(daemon);
	asleep[SLEEPERS] = (struct sleepers){.pid = pid, .tid = pid};
	asleep[SLEEPERS + 1] =
		(struct sleepers){.pid = pid, .tid = (pid_t)shared_worker(daemon).tid};
	live_sleep_ms(300);
	for (size_t i = 0; i < SLEEPERS + 2; i++)
		asleep[i].before = activity_of(asleep[i].pid, asleep[i].tid);
	live_sleep_ms(LOOK_SECONDS * 1000);
	assert_asleep(asleep, SLEEPERS + 2);
	instance_stop(daemon);
}

static void the_first_frame_wakes_a_sleeping_member_at_once(void **state)
{
	struct sleeper *sleepers[2];
	struct child *children[2];
	struct instance *daemon;
	uint64_t slowest = 0;
	cleanup_fd int far = -1;

	(void)state;
	daemon = shared_start("worker: { spin_usecs: 0 }", "");
	far = (int)assert_ok(packet_open("far"));
	for (uint32_t i = 0; i < 2; i++)
		sleepers[i] = start_sleeper(daemon, i, &children[i]);
	for (uint64_t sent = 0; sent < 100; sent++) {
		uint64_t before;

		for (uint32_t i = 0; i < 2; i++)
			assert_becomes(has_waited(sleepers[i], sent, 0), 5000);
		live_sleep_ms(2);
		before = now_ns();
		send_frames(far, sent, 1);
		for (uint32_t i = 0; i < 2; i++) {
			uint64_t woken;

			assert_becomes(__atomic_load_n(&sleepers[i]->packets, __ATOMIC_ACQUIRE) ==
					       sent + 1,
				       5000);
			woken = __atomic_load_n(&sleepers[i]->woken_ns, __ATOMIC_ACQUIRE);
			if (woken > before && woken - before > slowest)
				slowest = woken - before;
		}
	}
	print_message("at the latest after %lu us\n", slowest / 1000);
	instance_stop(daemon);
}

/* All of a burst are there before anybody looks: the worker is stopped with its process. */
static void a_burst_wakes_a_sleeping_member_once(void **state)
{
	struct sleeper *sleepers[2];
	struct child *children[2];
	struct instance *daemon;
	cleanup_fd int far = -1;

	(void)state;
	daemon = shared_start("worker: { spin_usecs: 0 }", "");
	far = (int)assert_ok(packet_open("far"));
	for (uint32_t i = 0; i < 2; i++)
		sleepers[i] = start_sleeper(daemon, i, &children[i]);
	for (uint64_t sent = 0; sent < BURSTS * BURST; sent += BURST) {
		for (uint32_t i = 0; i < 2; i++)
			assert_becomes(has_waited(sleepers[i], sent, 0), 5000);
		live_sleep_ms(2);
		assert_ok(child_signal(instance_child(daemon), SIGSTOP));
		send_frames(far, sent, BURST);
		assert_ok(child_signal(instance_child(daemon), SIGCONT));
		for (uint32_t i = 0; i < 2; i++)
			assert_becomes(__atomic_load_n(&sleepers[i]->packets, __ATOMIC_ACQUIRE) ==
					       sent + BURST,
				       5000);
	}
	for (uint32_t i = 0; i < 2; i++) {
		const struct xdpd_consumer_record record =
			shared_consumer(daemon, sleepers[i]->name);

		print_message("%s: woken %lu times for %d bursts of %d, rang %lu times\n",
			      sleepers[i]->name, record.wakeups, BURSTS, BURST, record.doorbells);
		assert_int_equal(record.receive_packets, BURSTS * BURST);
		assert_in_range(record.wakeups, BURSTS / 2, 2 * BURSTS);
		/* Nothing that it gave back was missed by the kernel. */
		assert_true(record.doorbells <= BURSTS);
	}
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(a_queue_with_sleeping_members_uses_no_processor),
		live_test(the_first_frame_wakes_a_sleeping_member_at_once),
		live_test(a_burst_wakes_a_sleeping_member_once),
	};

	return live_run("shared_idle", tests, 60);
}
