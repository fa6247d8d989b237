// SPDX-License-Identifier: BSD-2-Clause
/* Taps: they see what members that hold see, lose what they are too slow for, and can neither stall nor change anything. */
#include "tests/live/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/live/child.h"
#include "tests/live/consumer.h"
#include "tests/live/instance.h"
#include "tests/live/protocol.h"
#include "tests/live/shared.h"
#include "tests/live/traffic.h"

#define RATE   20000
#define LENGTH 300

static struct consumer *start(const struct instance *daemon, const char *name, uint32_t flags,
			      uint64_t count)
{
	return consumer_start(&(struct consumer_options){.instance = daemon,
							 .device = "near",
							 .name = name,
							 .flags = flags,
							 .length = LENGTH,
							 .count = count});
}

static void got_all(struct consumer *consumer, uint64_t count)
{
	struct consumer_report report;

	consumer_awaits(consumer, count);
	report = consumer_stop(consumer);
	consumer_got_all(&report, count);
}

static void a_tap_that_keeps_up_sees_what_a_holder_sees(void **state)
{
	const uint64_t count = 20000;
	struct consumer *holder, *tap;
	struct instance *daemon;

	(void)state;
	require_live_frames();
	daemon = shared_start(SHARED_ROOMY, "");
	holder = start(daemon, "holder", XDPD_ATTACH_HOLD, count);
	tap = start(daemon, "tap", XDPD_ATTACH_TAP, count);
	assert_int_equal(shared_consumer(daemon, "tap").mode, XDPD_TAP);
	assert_int_equal(shared_consumer(daemon, "holder").mode, XDPD_HOLD);
	shared_sent_all(consumer_traffic("far", 0, LENGTH, 0, count, RATE), count);
	consumer_awaits(tap, count);
	assert_int_equal(shared_consumer(daemon, "tap").overrun, 0);
	assert_int_equal(shared_consumer(daemon, "tap").held, 0);
	got_all(tap, count);
	got_all(holder, count);
	shared_kernel_lost_nothing(daemon);
	instance_stop(daemon);
}

static bool has_seen_or_lost(const struct instance *daemon, const struct consumer *tap,
			     uint64_t count)
{
	const struct xdpd_consumer_record record = shared_consumer(daemon, "tap");
	const struct consumer_report report = consumer_report(tap);

	return record.receive_packets == count && report.packets + record.overrun == count &&
	       report.overrun == record.overrun;
}

/* It was given all of them; it saw some, each whole and once, and counts the others. */
static void seen_and_overrun_are_all(const struct instance *daemon, struct consumer *tap,
				     uint64_t count)
{
	struct consumer_report report;

	assert_becomes(has_seen_or_lost(daemon, tap, count), 10000);
	report = consumer_stop(tap);
	print_message("%lu seen, %lu overrun\n", report.packets, report.overrun);
	assert_true(report.packets > 0 && report.overrun > 0);
	assert_int_equal(report.seen, report.packets);
	assert_int_equal(report.again + report.strange + report.damaged + report.backwards, 0);
}

static void a_slow_tap_counts_what_it_missed_and_sees_the_rest_whole(void **state)
{
	const uint64_t count = 40000;
	struct consumer *holder, *tap;
	struct instance *daemon;

	(void)state;
	require_live_frames();
	daemon = shared_start(SHARED_ROOMY, "");
	holder = start(daemon, "holder", XDPD_ATTACH_HOLD, count);
	tap = start(daemon, "tap", XDPD_ATTACH_TAP, count);
	consumer_turns_to(tap, CONSUMER_DAWDLES);
	shared_sent_all(consumer_traffic("far", 0, LENGTH, 0, count / 2, RATE), count / 2);
	/* Slower than that it must be to miss some for sure. */
	consumer_turns_to(tap, CONSUMER_SLEEPS);
	shared_sent_all(consumer_traffic("far", 0, LENGTH, count / 2, count / 2, RATE), count / 2);
	consumer_turns_to(tap, CONSUMER_DAWDLES);
	seen_and_overrun_are_all(daemon, tap, count);
	got_all(holder, count);
	shared_kernel_lost_nothing(daemon);
	instance_stop(daemon);
}

static void a_stopped_tap_costs_nobody_a_frame(void **state)
{
	const uint64_t count = 40000;
	struct consumer *holder, *tap, *other;
	struct instance *daemon;

	(void)state;
	require_live_frames();
	daemon = shared_start(SHARED_ROOMY, "");
	holder = start(daemon, "holder", XDPD_ATTACH_HOLD, count);
	tap = start(daemon, "tap", XDPD_ATTACH_TAP, count);
	other = start(daemon, "other", XDPD_ATTACH_TAP, count);
	consumer_signal(tap, SIGSTOP);
	shared_sent_all(consumer_traffic("far", 0, LENGTH, 0, count, RATE), count);
	got_all(holder, count);
	got_all(other, count);
	consumer_signal(tap, SIGCONT);
	seen_and_overrun_are_all(daemon, tap, count);
	shared_kernel_lost_nothing(daemon);
	instance_stop(daemon);
}

static void a_tap_with_a_snap_length_gets_so_much_of_each_frame(void **state)
{
	const uint64_t count = 1000;
	struct consumer *tap;
	struct instance *daemon;

	(void)state;
	require_live_frames();
	daemon = shared_start("", "");
	tap = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .flags = XDPD_ATTACH_TAP, .snap_length = 96});
	shared_sent_all(consumer_traffic("far", 0, LENGTH, 0, count, RATE), count);
	consumer_awaits(tap, count);
	assert_int_equal(shared_consumer(daemon, "consumer").receive_bytes, count * LENGTH);
	assert_int_equal(consumer_stop(tap).bytes, count * 96);
	instance_stop(daemon);
}

/* ---- what a member can do to memory that it shall only read ---- */

struct intruder {
	struct protocol_target target;
	uint32_t flags; /* enum xdpd_attach_flags */
	bool writable;	/* the UMEM may be written to */
	int r;		/* 0, or why it could not even attach */
	char got[64];	/* what it could do; "": nothing */
};

static void note(struct intruder *intruder, int place, const char *what)
{
	if (!intruder->got[0])
		(void)snprintf(intruder->got, sizeof(intruder->got), "fd %d: %s", place, what);
}

static void try_mapping(struct intruder *intruder, int place, int fd, size_t length)
{
	void *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char path[64];
	int again;

	if (map != MAP_FAILED)
		note(intruder, place, "mmap for writing");
	map = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		note(intruder, place, "not even mmap for reading");
		return;
	}
	if (mprotect(map, length, PROT_READ | PROT_WRITE) == 0)
		note(intruder, place, "mprotect");
	if (madvise(map, length, MADV_REMOVE) == 0)
		note(intruder, place, "MADV_REMOVE");
	(void)snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)map,
		       (unsigned long)map + length);
	again = open(path, O_RDWR | O_CLOEXEC);
	if (again >= 0)
		note(intruder, place, "open by /proc/self/map_files");
}

static void try_file(struct intruder *intruder, int place, int fd)
{
	static const int flags[] = {O_RDWR, O_WRONLY, O_RDWR | O_TRUNC};
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (size_t i = 0; i < 3; i++)
		if (open(path, flags[i] | O_CLOEXEC) >= 0)
			note(intruder, place, "open by /proc/self/fd");
	if (fchmod(fd, 0666) == 0 || chmod(path, 0666) == 0)
		note(intruder, place, "chmod");
	if (pwrite(fd, "x", 1, 0) >= 0)
		note(intruder, place, "write");
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0 ||
	    fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4096) == 0)
		note(intruder, place, "a hole");
	if (ftruncate(fd, 0) == 0 || truncate(path, 0) == 0)
		note(intruder, place, "truncate");
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0)
		note(intruder, place, "seals");
}

static void try_region(struct intruder *intruder, const struct protocol *protocol,
		       const struct xdpd_region *region)
{
	const int fd = protocol->fds[region->fd];

	try_file(intruder, (int)region->fd, fd);
	try_mapping(intruder, (int)region->fd, fd, region->length & ~4095UL);
}

static int intrude(void *context)
{
	struct intruder *intruder = context;
	struct xdpd_attach_request request = {.flags = intruder->flags};
	cleanup_protocol struct protocol protocol;
	struct protocol_message message;
	int r;

	protocol_init(&protocol, &intruder->target);
	(void)snprintf(request.device, sizeof(request.device), "%s", intruder->target.device);
	r = protocol_go(&protocol, PROTOCOL_WELCOMED);
	if (r == 0)
		r = protocol_send(&protocol, XDPD_ATTACH, &request, sizeof(request));
	if (r == 0)
		r = protocol_await(&protocol, XDPD_GRANT, &message);
	intruder->r = r;
	if (r < 0)
		return 0;
	if (!intruder->writable)
		try_region(intruder, &protocol, &message.grant.umem);
	if (intruder->flags & XDPD_ATTACH_TAP) {
		try_region(intruder, &protocol, &message.grant.rx.region);
		if (!(message.grant.umem.flags & message.grant.sequences.flags &
		      message.grant.rx.region.flags & XDPD_REGION_READ_ONLY))
			note(intruder, 0, "a region that is not called read-only");
	}
	/* Its own memory it may write to, but not take away from under the daemon. */
	if (ftruncate(protocol.fds[message.grant.account.fd], 0) == 0)
		note(intruder, (int)message.grant.account.fd, "truncate");
	return 0;
}

static void intruder_gets_nothing(const struct instance *daemon, uint32_t flags, bool writable)
{
	struct intruder *intruder = live_shared(sizeof(*intruder));
	struct child *child;

	intruder->target = protocol_target(instance_socket(daemon), "near", 0, "intruder");
	intruder->flags = flags;
	intruder->writable = writable;
	assert_ok(child_start(&child, &(struct child_options){.call = intrude,
							      .argument = intruder,
							      .uid = CHILD_NOBODY}));
	assert_int_equal(child_wait(child, 10000), 0);
	assert_ok(intruder->r);
	assert_string_equal(intruder->got, "");
	(void)child_end(child);
}

static void members_can_write_to_no_frame_and_taps_to_no_ring(void **state)
{
	struct instance *daemon;

	(void)state;
	daemon = shared_start("", "");
	intruder_gets_nothing(daemon, XDPD_ATTACH_TAP, false);
	intruder_gets_nothing(daemon, XDPD_ATTACH_HOLD, false);
	intruder_gets_nothing(daemon, XDPD_ATTACH_TAP | XDPD_ATTACH_TRANSMIT, false);
	instance_stop(daemon);
}

static void a_tap_can_not_write_even_where_members_that_hold_may(void **state)
{
	struct instance *daemon;

	(void)state;
	daemon = shared_start("umem: writable", "");
	intruder_gets_nothing(daemon, XDPD_ATTACH_TAP, false);
	intruder_gets_nothing(daemon, XDPD_ATTACH_HOLD, true);
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(a_tap_that_keeps_up_sees_what_a_holder_sees),
		live_test(a_slow_tap_counts_what_it_missed_and_sees_the_rest_whole),
		live_test(a_stopped_tap_costs_nobody_a_frame),
		live_test(a_tap_with_a_snap_length_gets_so_much_of_each_frame),
		live_test(members_can_write_to_no_frame_and_taps_to_no_ring),
		live_test(a_tap_can_not_write_even_where_members_that_hold_may),
	};

	return live_run("shared_tap", tests, 90);
}
