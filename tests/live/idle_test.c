// SPDX-License-Identifier: BSD-2-Clause
/* What a daemon costs that has nothing to do: no processor time, no wake-ups, little memory. */
#include "tests/live/harness.h"

#include <inttypes.h>

#include "tests/live/activity.h"
#include "tests/live/footprint.h"
#include "tests/live/instance.h"
#include "tests/live/protocol.h"

#define QUEUES	       8
#define LOOK_SECONDS   3
#define TICKS_MAX      1 /* of 10 ms, in the time of a look */
#define WAKE_UPS_MAX   3
#define PRIVATE_MAX_KB (10 * 1024)

#define CONFIG                                     \
	"access: { attach: { users: [\"*\"] } }\n" \
	"interfaces:\n"                            \
	"  - name: near\n"                         \
	"    queues: [{ id: 0-7, frames: 4096, frame_size: 4096 }]\n"

/* Of the main thread, which is all of them but for a sanitizer's own. */
static struct activity look(pid_t pid)
{
	return activity_of(pid, pid);
}

/*
 * The memory that is the daemon's alone. Of a UMEM it maps the page beside the frames; while there
 * is no consumer /proc calls that private, too.
 */
static uint64_t private_without_umems(pid_t pid)
{
	cleanup_file FILE *maps = NULL;
	bool umem = false;
	char path[64], line[512];
	uint64_t sum = 0, kb;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	maps = fopen(path, "re");
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		/* A mapping's first line begins with its addresses, those about it with a capital. */
		if (line[0] < 'A' || line[0] > 'Z')
			umem = strstr(line, "/memfd:xdpd-umem") != NULL;
		else if (!umem && (sscanf(line, "Private_Clean: %" SCNu64, &kb) == 1 ||
				   sscanf(line, "Private_Dirty: %" SCNu64, &kb) == 1))
			sum += kb;
	}
	return sum;
}

static void assert_idle(struct instance *daemon)
{
	const pid_t pid = instance_pid(daemon);
	struct activity before, after;
	uint64_t private_kb;

	before = look(pid);
	live_sleep_ms(LOOK_SECONDS * 1000);
	after = look(pid);
	private_kb = private_without_umems(pid);
	print_message("%" PRIu64 " ticks and %" PRIu64 " wake-ups in %d s, %" PRIu64
		      " kB private\n",
		      after.ticks - before.ticks, after.wake_ups - before.wake_ups, LOOK_SECONDS,
		      private_kb);
	assert_true(after.ticks - before.ticks <= TICKS_MAX);
	assert_true(after.wake_ups - before.wake_ups <= WAKE_UPS_MAX);
	if (!FOOTPRINT_SANITIZED)
		assert_true(private_kb < PRIVATE_MAX_KB);
}

/* Announcements of the new devices and the first connections' ends have been dealt with. */
static void await_quiet(const struct instance *daemon)
{
	struct activity last, now = look(instance_pid(daemon));

	do {
		last = now;
		live_sleep_ms(300);
		now = look(instance_pid(daemon));
	} while (now.wake_ups != last.wake_ups);
}

static struct instance *start_daemon(void)
{
	struct instance *daemon;

	assert_ok(
		veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = QUEUES}));
	daemon = instance_start(CONFIG);
	for (uint32_t queue = 0; queue < QUEUES; queue++)
		assert_int_equal(protocol_queue_state(instance_socket(daemon), "near", queue),
				 XDPD_QUEUE_READY);
	return daemon;
}

static void a_daemon_with_eight_idle_queues_sleeps(void **state)
{
	struct instance *daemon = start_daemon();

	(void)state;
	await_quiet(daemon);
	assert_idle(daemon);
	instance_stop(daemon);
}

static void a_daemon_with_eight_idle_consumers_sleeps(void **state)
{
	struct instance *daemon = start_daemon();

	(void)state;
	for (uint32_t queue = 0; queue < QUEUES; queue++) {
		struct stepper *stepper = live_shared(sizeof(*stepper));
		struct child *child;

		stepper->target = protocol_target(instance_socket(daemon), "near", queue, "idler");
		stepper->step = PROTOCOL_STARTED;
		assert_ok(child_start(&child, &(struct child_options){.call = stepper_run,
								      .argument = stepper,
								      .uid = CHILD_NOBODY}));
		assert_becomes(stepper_read(&stepper->arrived), PROTOCOL_PATIENCE);
		assert_int_equal(stepper->arrived, 1);
	}
	await_quiet(daemon);
	assert_idle(daemon);
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(a_daemon_with_eight_idle_queues_sleeps),
		live_test(a_daemon_with_eight_idle_consumers_sleeps),
	};

	return live_run("idle", tests, 60);
}
