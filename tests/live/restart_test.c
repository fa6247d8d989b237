// SPDX-License-Identifier: BSD-2-Clause
/*
 * The daemon restarts, crashes and stops, and what its consumers see of it: numbered frames under way all the time, and
 * what was lost of them is what the counters say.
 */
#include "tests/live/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/xdpd.h"
#include "daemon/crc64.h"
#include "daemon/state_format.h"
#include "tests/live/balance.h"
#include "tests/live/consumer.h"
#include "tests/live/footprint.h"
#include "tests/live/protocol.h"
#include "tests/live/shared.h"
#include "tests/live/sink.h"
#include "tests/live/supervised.h"
#include "tests/live/traffic.h"

#define LENGTH	 300
#define FLOWS	 64
#define PATIENCE 15000

#define EXCLUSIVE                                   \
	"access: { attach: { users: [nobody] } }\n" \
	"interfaces:\n"                             \
	"  - name: near\n"                          \
	"    queues: [{ id: 0, " SHARED_ROOMY " }]\n"

#define RESTART 0 /* not by a signal to it, but as it is asked to */

static const int deaths[] = {RESTART, SIGKILL, SIGABRT, SIGSEGV};

#define DEATHS (sizeof(deaths) / sizeof(deaths[0]))

static void end_one_life(const struct instance *daemon, int death)
{
	if (death == RESTART)
		supervised_restart(daemon);
	else
		supervised_dies(daemon, death);
}

static void add_veth(void)
{
	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far"}));
}

static struct instance *start_shared(const char *queue, const char *more)
{
	char config[4096];

	add_veth();
	shared_config(config, sizeof(config), queue, more);
	return supervised_start(config);
}

/* Where the rings of a bound socket can't be mapped again (Linux 6.1), what lay in them is lost. */
static bool got_another_socket(const struct instance *daemon)
{
	cleanup_free char *log = instance_log(daemon);

	return strstr(log, "goes on with another socket") != NULL;
}

/* ---- counters ---- */

static double value_of(const char *metrics, const char *series, size_t length)
{
	for (const char *at = metrics; at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
		if (!strncmp(at, series, length) && at[length] == ' ')
			return strtod(at + length, NULL);
	return -1;
}

/* Each series that counts is still there, and shows as much as before at least. The process's own begin anew. */
static void nothing_counts_back(const char *before, const char *after)
{
	size_t n = 0;

	for (const char *at = before; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		const size_t line = strcspn(at, "\n");
		const char *name_end = at + strcspn(at, "{ \n"), *end = at + line;
		double was, is;

		if (*at == '#' || !strncmp(at, "process_", 8) || name_end - at < 6 ||
		    strncmp(name_end - 6, "_total", 6) != 0)
			continue;
		while (end > at && *end != ' ')
			end--;
		was = strtod(end, NULL);
		is = value_of(after, at, (size_t)(end - at));
		if (is < was)
			fail_msg("%.*s was %f and is %f", (int)(end - at), at, was, is);
		n++;
	}
	assert_true(n > 20);
}

static void end_one_life_and_compare(const struct instance *daemon, int death)
{
	const double restarts = instance_metric(daemon, "xdpd_restarts_total");
	cleanup_free char *before = instance_metrics(daemon);
	cleanup_free char *after = NULL;

	end_one_life(daemon, death);
	after = instance_metrics(daemon);
	nothing_counts_back(before, after);
	assert_true(metric_value(after, "xdpd_restarts_total") == restarts + 1);
}

/* ---- exclusive delivery ---- */

static void check_the_connection(const struct instance *daemon, struct consumer *consumer)
{
	cleanup_ran struct ran status = {}, ran = {};

	instance_ctl(daemon, &status, "status");
	assert_int_equal(status.status, 0);
	assert_non_null(strstr(status.output, "restarts: 4 (consumers went on)"));
	assert_ok(device_down("far"));
	consumer_awaits_event(consumer, XDPD_EVENT_LINK_DOWN);
	assert_ok(device_up("far"));
	consumer_awaits_event(consumer, XDPD_EVENT_LINK_UP);
	instance_ctl(daemon, &ran, "eject", "near", "0", "--reason", "enough of it");
	assert_int_equal(ran.status, 0);
	(void)consumer_ends(consumer, "enough of it");
}

static void an_exclusive_consumer_misses_no_frame_when_the_daemon_ends(void **state)
{
	const uint64_t count = 800000, rate = 300000;
	struct consumer_report report;
	struct traffic_result sent;
	struct consumer *consumer;
	struct instance *daemon;
	struct traffic *traffic;
	struct balance balance;
	uint64_t attached;

	(void)state;
	require_live_frames();
	require_cpus(2);
	add_veth();
	daemon = supervised_start(EXCLUSIVE);
	consumer = consumer_start(&(struct consumer_options){.instance = daemon,
							     .device = "near",
							     .transmit = true,
							     .length = LENGTH,
							     .count = count});
	attached = shared_consumer(daemon, "consumer").attached;
	traffic = consumer_traffic("far", 0, LENGTH, 0, count, rate);
	for (size_t i = 0; i < DEATHS; i++) {
		consumer_awaits(consumer, consumer_report(consumer).packets + rate / 10);
		end_one_life_and_compare(daemon, deaths[i]);
	}
	assert_true(traffic_is_sending(traffic));
	assert_ok(traffic_finish(traffic, PATIENCE, &sent));
	balance = balance_take(daemon);
	assert_int_equal(balance.redirected, sent.sent);
	consumer_awaits(consumer, balance.redirected - balance_kernel_drops(&balance));
	report = consumer_report(consumer);
	print_message("# %" PRIu64 " frames, %" PRIu64 " lost before xdpd, %" PRIu64
		      " dropped by the consumer's rings, %" PRIu64 " received\n",
		      count, sent.lost, balance_kernel_drops(&balance), report.packets);
	consumer_got_all(&report, balance.redirected - balance_kernel_drops(&balance));
	assert_int_equal(report.backwards, 0);
	assert_int_equal(shared_consumer(daemon, "consumer").attached, attached);
	assert_int_equal(shared_consumer(daemon, "consumer").receive_packets, report.packets);
	check_the_connection(daemon, consumer);
	(void)supervised_stop(daemon);
}

/* ---- shared delivery ---- */

enum { ALONE, FIRST_OF_PAIR, SECOND_OF_PAIR, TAP, MIRROR, SENDER, MEMBERS };

static const struct consumer_options members[MEMBERS] = {
	[ALONE] = {.name = "alone"},
	[FIRST_OF_PAIR] = {.name = "first", .group = "pair"},
	[SECOND_OF_PAIR] = {.name = "second", .group = "pair"},
	[TAP] = {.name = "tap", .flags = XDPD_ATTACH_TAP},
	[MIRROR] = {.name = "mirror",
		    .transmit = true,
		    .task = CONSUMER_REFLECTS,
		    .flags = XDPD_ATTACH_HOLD},
	[SENDER] = {.name = "sender", .transmit = true, .task = CONSUMER_SENDS, .burst = 8},
};

static void start_members(const struct instance *daemon, struct consumer *ret[MEMBERS],
			  uint64_t count, uint64_t to_send)
{
	for (int i = 0; i < MEMBERS; i++) {
		struct consumer_options options = members[i];

		options.instance = daemon;
		options.device = "near";
		options.length = LENGTH;
		options.flows = FLOWS;
		options.count = count;
		options.to_send = i == SENDER ? to_send : 0;
		ret[i] = consumer_start(&options);
	}
}

static struct xdpd_group_record group_of(const struct instance *daemon, int member)
{
	return shared_group(daemon,
			    members[member].group ? members[member].group : members[member].name);
}

/* Of the frames that were for it, each member has those that its group's counters do not name as dropped. */
static void check_group(const struct instance *daemon, struct consumer *const *consumers,
			int member, int n, uint64_t taken)
{
	const struct xdpd_group_record group = group_of(daemon, member);
	struct consumer_report report;
	uint64_t packets = 0, overrun = 0;

	print_message("# `%s`: %" PRIu64 " delivered, %" PRIu64
		      " dropped for want of room, %" PRIu64 " by quota, %" PRIu64 " overrun\n",
		      group.name, group.receive_packets, group.dropped_ring_full,
		      group.dropped_quota, group.overrun);
	assert_int_equal(group.receive_packets + group.dropped_ring_full + group.dropped_quota,
			 taken);
	if (!wait_until((packets = 0, overrun = 0, ({
				 for (int i = member; i < member + n; i++) {
					 report = consumer_report(consumers[i]);
					 packets += report.packets;
					 overrun += report.overrun;
				 }
			 }),
			 packets + overrun == group.receive_packets),
			PATIENCE))
		fail_msg("`%s` was delivered %" PRIu64 " frames, and got %" PRIu64 " and %" PRIu64
			 " overrun",
			 group.name, group.receive_packets, packets, overrun);
	for (int i = member; i < member + n; i++) {
		report = consumer_report(consumers[i]);
		consumer_got_all(&report, report.packets);
	}
}

static void check_transmission(const struct instance *daemon, struct consumer *const *consumers,
			       const struct sink *far)
{
	const struct consumer_report mirror = consumer_report(consumers[MIRROR]);
	const struct consumer_report sender = consumer_report(consumers[SENDER]);
	const uint64_t sent = mirror.sent + sender.sent;
	uint64_t drops = 0;

	assert_becomes(group_of(daemon, MIRROR).transmit_packets == mirror.sent, PATIENCE);
	assert_becomes(group_of(daemon, SENDER).transmit_packets == sender.sent, PATIENCE);
	assert_becomes(shared_worker(daemon).frames[XDPD_PLACE_TRANSMIT] == 0, PATIENCE);
	/* What found the far end's ring full. */
	(void)device_statistic("far", "rx_queue_*_drops", &drops);
	print_message("# %" PRIu64 " sent, %" PRIu64 " arrived, %" PRIu64 " dropped there\n", sent,
		      sink_frames(far, UINT32_MAX), drops);
	if (got_another_socket(daemon))
		assert_true(shared_queue(daemon).transmit_packets <= sent);
	else
		assert_int_equal(shared_queue(daemon).transmit_packets, sent);
	assert_true(sink_frames(far, UINT32_MAX) <= sent);
}

static void shared_groups_lose_what_the_counters_say_when_the_daemon_ends(void **state)
{
	const uint64_t count = 300000, rate = 50000, to_send = 100000;
	struct consumer *consumers[MEMBERS];
	struct consumer_report report;
	struct traffic_result sent;
	struct instance *daemon;
	struct traffic *traffic;
	struct balance before = {}, after;
	struct sink *far;

	(void)state;
	require_live_frames();
	daemon = start_shared(SHARED_ROOMY ", umem: writable", "");
	assert_ok(sink_attach(&far, "far", XDP_DROP));
	start_members(daemon, consumers, count, to_send);
	traffic = consumer_flows("far", 0, LENGTH, FLOWS, 0, count, rate);
	for (size_t i = 0; i < 2 * DEATHS; i++) {
		consumer_awaits(consumers[ALONE],
				consumer_report(consumers[ALONE]).packets + rate / 10);
		end_one_life_and_compare(daemon, deaths[i % DEATHS]);
	}
	assert_ok(traffic_finish(traffic, PATIENCE, &sent));
	/* What waits in the socket's RX ring is taken. */
	assert_becomes((after = balance_take(daemon),
			after.worker.packets + balance_kernel_drops(&after) == after.redirected),
		       PATIENCE);
	balance_holds(&before, &after, &sent);
	assert_int_equal(after.worker.unclaimed, 0);
	assert_int_equal(after.worker.violations, 0);
	check_group(daemon, consumers, ALONE, 1, after.worker.packets);
	check_group(daemon, consumers, FIRST_OF_PAIR, 2, after.worker.packets);
	check_group(daemon, consumers, TAP, 1, after.worker.packets);
	check_group(daemon, consumers, MIRROR, 1, after.worker.packets);
	check_group(daemon, consumers, SENDER, 1, after.worker.packets);
	consumer_awaits_sent(consumers[SENDER], to_send);
	check_transmission(daemon, consumers, far);
	shared_lends_nothing(daemon);
	for (int i = 0; i < MEMBERS; i++) {
		report = consumer_stop(consumers[i]);
		assert_int_equal(report.ended, 0);
	}
	(void)sink_detach(far);
	(void)supervised_stop(daemon);
}

/* ---- how long it takes ---- */

static double now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* Milliseconds from the start of the next process until a frame is handed on by it. */
static double time_to_resume(const struct instance *daemon, const struct consumer *consumer,
			     int death)
{
	const struct supervised before = supervised_look(daemon);
	struct supervised now;
	uint64_t packets;
	double started;

	if (death == RESTART)
		assert_ok(child_signal(instance_child(daemon), SIGUSR1));
	else
		assert_int_equal(kill(before.pid, death), 0);
	do {
		packets = consumer_report(consumer).packets;
		(void)usleep(200);
		now = supervised_look(daemon);
	} while (!now.pid || now.pid == before.pid);
	started = now_ms();
	while (consumer_report(consumer).packets == packets) {
		assert_true(now_ms() - started < PATIENCE);
		(void)usleep(100);
	}
	started = now_ms() - started;
	supervised_awaits(daemon, before.restarts + 1);
	return started;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void shared_delivery_goes_on_within_a_tenth_of_a_second(void **state)
{
	enum { TIMES = 20 };
	struct consumer *consumer, *other;
	struct instance *daemon;
	struct traffic *traffic;
	double times[TIMES];

	(void)state;
	require_live_frames();
	require_cpus(2);
	daemon = start_shared(SHARED_ROOMY, "");
	consumer = consumer_start(
		&(struct consumer_options){.instance = daemon, .device = "near", .name = "one"});
	other = consumer_start(
		&(struct consumer_options){.instance = daemon, .device = "near", .name = "other"});
	traffic = consumer_traffic("far", 0, LENGTH, 0, 0, 20000);
	for (int i = 0; i < TIMES; i++) {
		consumer_awaits(consumer, consumer_report(consumer).packets + 200);
		times[i] = time_to_resume(daemon, consumer, i % 2 ? SIGKILL : RESTART);
	}
	assert_ok(traffic_stop(traffic, NULL));
	qsort(times, TIMES, sizeof(times[0]), compare);
	print_message("# from the new process's start to its first frame: %.1f ms at best, median "
		      "%.1f ms, %.1f ms at worst, of %d restarts\n",
		      times[0], times[TIMES / 2], times[TIMES - 1], TIMES);
	if (!FOOTPRINT_SANITIZED)
		assert_true(times[TIMES / 2] < 100);
	(void)consumer_stop(consumer);
	(void)consumer_stop(other);
	(void)supervised_stop(daemon);
}

/* ---- joins and leaves around it ---- */

/* Attaches and leaves again and again, by libxdpd and by hand. In memory that it shares with the test. */
struct joiner {
	struct protocol_target target;
	int stop;
	uint64_t joins, refusals, hangs;
	int strange; /* -errno that nobody should be told by a restart */
};

static int join_by_library(const struct joiner *joiner)
{
	const struct xdpd_attach_options options = {
		.size = sizeof(options), .flags = XDPD_ATTACH_HOLD, .timeout_ms = PATIENCE / 3};
	struct xdpd *x = NULL;
	int r = xdpd_connect(&x, joiner->target.socket, joiner->target.name);

	if (r == 0)
		r = xdpd_attach(x, joiner->target.device, joiner->target.queue, &options);
	xdpd_close(x);
	return r;
}

static int join_by_hand(const struct joiner *joiner)
{
	cleanup_protocol struct protocol protocol;

	protocol_init(&protocol, &joiner->target);
	return protocol_go(&protocol, PROTOCOL_STARTED);
}

static int join_again_and_again(void *argument)
{
	struct joiner *joiner = argument;

	for (unsigned int i = 0; !__atomic_load_n(&joiner->stop, __ATOMIC_ACQUIRE); i++) {
		const int r = i % 2 ? join_by_library(joiner) : join_by_hand(joiner);

		if (r == 0)
			joiner->joins++;
		else if (r == -ETIMEDOUT)
			joiner->hangs++;
		else if (r == -ECONNRESET || r == -EPIPE || r == -ENOTCONN || r == -ECANCELED ||
			 r == -ESHUTDOWN)
			joiner->refusals++;
		else
			joiner->strange = r;
		(void)usleep(200);
	}
	return 0;
}

static void an_attach_under_way_ends_in_success_or_an_error_and_never_hangs(void **state)
{
	enum { JOINERS = 3, KILLS = 25 };
	struct joiner *joiners = live_shared(JOINERS * sizeof(*joiners));
	struct child *children[JOINERS];
	uint64_t joins = 0, refusals = 0;
	struct consumer *steady;
	struct instance *daemon;
	struct traffic *traffic;

	(void)state;
	require_live_frames();
	daemon = start_shared(SHARED_ROOMY, "");
	steady = consumer_start(
		&(struct consumer_options){.instance = daemon, .device = "near", .name = "steady"});
	traffic = consumer_traffic("far", 0, LENGTH, 0, 0, 5000);
	for (int i = 0; i < JOINERS; i++) {
		joiners[i].target = protocol_target(instance_socket(daemon), "near", 0, "joiner-?");
		joiners[i].target.name[7] = (char)('0' + i);
		joiners[i].target.flags = XDPD_ATTACH_HOLD;
		assert_ok(child_start(&children[i],
				      &(struct child_options){.call = join_again_and_again,
							      .argument = &joiners[i],
							      .uid = CHILD_NOBODY}));
	}
	for (unsigned int i = 0; i < KILLS; i++) {
		live_sleep_ms(i * 7 % 23);
		supervised_dies(daemon, SIGKILL);
	}
	for (int i = 0; i < JOINERS; i++) {
		__atomic_store_n(&joiners[i].stop, 1, __ATOMIC_RELEASE);
		assert_int_equal(child_wait(children[i], PATIENCE), 0);
		joins += joiners[i].joins;
		refusals += joiners[i].refusals;
		assert_int_equal(joiners[i].hangs, 0);
		if (joiners[i].strange)
			fail_msg("an attach ended with %s", strerrorname_np(-joiners[i].strange));
	}
	print_message("# %d kills, %" PRIu64 " joins, %" PRIu64 " ended by a kill\n", KILLS, joins,
		      refusals);
	assert_true(joins > 0);
	assert_ok(traffic_stop(traffic, NULL));
	assert_becomes(shared_consumers(daemon) == 1, PATIENCE);
	shared_lends_nothing(daemon);
	(void)consumer_stop(steady);
	(void)supervised_stop(daemon);
}

static void a_consumer_that_died_while_the_daemon_was_down_is_noticed(void **state)
{
	struct consumer *steady, *holder;
	struct supervised before;
	struct instance *daemon;

	(void)state;
	require_live_frames();
	daemon = start_shared(SHARED_ROOMY, "");
	steady = consumer_start(
		&(struct consumer_options){.instance = daemon, .device = "near", .name = "steady"});
	holder = consumer_start(&(struct consumer_options){.instance = daemon,
							   .device = "near",
							   .name = "holder",
							   .task = CONSUMER_HOLDS,
							   .flags = XDPD_ATTACH_HOLD});
	(void)shared_sent_all(consumer_traffic("far", 0, LENGTH, 0, 1000, 20000), 1000);
	consumer_awaits(holder, 1000);
	assert_becomes(shared_consumer(daemon, "holder").held == 1000, PATIENCE);
	before = supervised_look(daemon);
	/* The supervisor sleeps, so that nothing is started meanwhile. */
	assert_ok(child_signal(instance_child(daemon), SIGSTOP));
	assert_int_equal(kill(before.pid, SIGKILL), 0);
	consumer_kill(holder);
	assert_ok(child_signal(instance_child(daemon), SIGCONT));
	supervised_awaits(daemon, before.restarts + 1);
	assert_becomes(shared_consumers(daemon) == 1, PATIENCE);
	shared_lends_nothing(daemon);
	assert_becomes(supervised_look(daemon).fds < before.fds, PATIENCE);
	(void)consumer_stop(steady);
	(void)supervised_stop(daemon);
}

/* ---- the config ---- */

static void runtime_queues_stay_as_long_as_the_file_does(void **state)
{
	static const char *const file = "access: { attach: { users: [nobody] } }\n"
					"interfaces:\n"
					"  - name: near\n"
					"    queues: [{ id: 0, frames: 1024, frame_size: 2048 }]\n";
	static const char *const changed =
		"access: { attach: { users: [nobody] } }\n"
		"interfaces:\n"
		"  - name: near\n"
		"    queues: [{ id: 0, frames: 1024, frame_size: 2048 }]\n"
		"# nothing but the queue that was added is not in it\n";
	struct xdpd_queue_record record;
	struct consumer *kept, *added;
	cleanup_ran struct ran ran = {};
	struct instance *daemon;

	(void)state;
	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = 2}));
	daemon = supervised_start(file);
	instance_ctl(daemon, &ran, "add-queue", "near", "1", "frames=1024", "frame_size=2048");
	assert_int_equal(ran.status, 0);
	kept = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .name = "kept", .transmit = true});
	added = consumer_start(&(struct consumer_options){.instance = daemon,
							  .device = "near",
							  .queue = 1,
							  .name = "added",
							  .transmit = true});
	supervised_restart(daemon);
	supervised_dies(daemon, SIGKILL);
	assert_ok(protocol_find_queue(instance_socket(daemon), "near", 1, &record));
	assert_int_equal(record.runtime, 1);
	assert_int_equal(record.state, XDPD_QUEUE_ATTACHED);
	assert_int_equal(shared_consumers(daemon), 2);

	instance_write_config(daemon, changed);
	supervised_restart(daemon);
	(void)consumer_ends(added, "removed");
	assert_error(protocol_find_queue(instance_socket(daemon), "near", 1, &record), ENOENT);
	assert_int_equal(shared_consumers(daemon), 1);
	(void)consumer_stop(kept);
	(void)supervised_stop(daemon);
}

/* Its ifindex is another one then, and so are its queues. */
static void comes_to_another_interface(const char *config)
{
	struct consumer_options options = {.device = "near", .transmit = true};
	struct consumer *consumer;
	struct instance *daemon = supervised_start(config);

	options.instance = daemon;
	consumer = consumer_start(&options);
	assert_int_equal(kill(supervised_look(daemon).pid, SIGSTOP), 0);
	assert_ok(device_delete("near"));
	add_veth();
	supervised_dies(daemon, SIGKILL);
	(void)consumer_ends(consumer, "attach again");
	assert_true(instance_metric(daemon, "xdpd_restarts_total") == 1);
	assert_true(instance_metric(daemon, "xdpd_consumers") == 0);

	consumer = consumer_start(&options);
	consumer_traffic("far", 0, LENGTH, 0, 100, 0);
	consumer_awaits(consumer, 100);
	(void)consumer_stop(consumer);
	(void)supervised_stop(daemon);
}

static void an_interface_made_anew_while_the_daemon_was_down_is_taken_up(void **state)
{
	char shared[1024];

	(void)state;
	require_live_frames();
	add_veth();
	comes_to_another_interface(EXCLUSIVE);
	shared_config(shared, sizeof(shared), "", "");
	comes_to_another_interface(shared);
}

static void with_a_file_that_is_not_valid_a_restart_changes_nothing(void **state)
{
	static const char *const bad = "interfaces:\n"
				       "  - name: near\n"
				       "    queues: [{ id: 0, frames: many }]\n";
	struct consumer *consumer;
	struct instance *daemon;
	cleanup_free char *log = NULL;

	(void)state;
	require_live_frames();
	add_veth();
	daemon = supervised_start(EXCLUSIVE);
	consumer = consumer_start(
		&(struct consumer_options){.instance = daemon, .device = "near", .transmit = true});
	instance_write_config(daemon, bad);
	for (int i = 0; i < 2; i++) {
		end_one_life(daemon, i == 0 ? RESTART : SIGKILL);
		assert_true(instance_metric(daemon, "xdpd_config_last_reload_successful") == 0);
		assert_int_equal(shared_consumers(daemon), 1);
	}
	log = instance_log(daemon);
	assert_non_null(strstr(log, "frames"));
	assert_non_null(strstr(log, "goes on with the config that it had"));
	consumer_traffic("far", 0, LENGTH, 0, 100, 0);
	consumer_awaits(consumer, 100);

	instance_write_config(daemon, EXCLUSIVE);
	end_one_life(daemon, RESTART);
	assert_true(instance_metric(daemon, "xdpd_config_last_reload_successful") == 1);
	assert_int_equal(shared_consumers(daemon), 1);
	(void)consumer_stop(consumer);
	(void)supervised_stop(daemon);
}

/* ---- what can't be gone on with ---- */

/* A memfd of a daemon that stands still, through its own fd of it: the one that is kept is of the same memory. */
static int open_memory_of(pid_t pid, const char *name)
{
	char path[64], target[64];

	for (int fd = 3; fd < 256; fd++) {
		ssize_t length;

		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		length = readlink(path, target, sizeof(target) - 1);
		target[length < 0 ? 0 : length] = '\0';
		if (strstr(target, name))
			return open(path, O_RDWR | O_CLOEXEC);
	}
	return -ENOENT;
}

static void write_garbage(int state)
{
	unsigned char garbage[512];

	memset(garbage, 0xa5, sizeof(garbage));
	assert_int_equal(pwrite(state, garbage, sizeof(garbage), 0), sizeof(garbage));
}

static void write_garbage_records(int state)
{
	unsigned char garbage[64];
	struct stat status;

	memset(garbage, 0xa5, sizeof(garbage));
	assert_int_equal(fstat(state, &status), 0);
	for (off_t at = STATE_RECORDS_FROM; at < status.st_size; at += 64)
		assert_int_equal(pwrite(state, garbage, sizeof(garbage), at), sizeof(garbage));
}

static void write_newer_version(int state)
{
	struct state_header header;

	assert_int_equal(pread(state, &header, sizeof(header), 0), sizeof(header));
	for (int i = 0; i < 2; i++) {
		struct state_slot *slot = &header.slots[i];

		slot->version = STATE_VERSION + 1;
		slot->checksum = crc64(slot, offsetof(struct state_slot, checksum));
	}
	assert_int_equal(pwrite(state, &header, sizeof(header), 0), sizeof(header));
}

static void write_nothing(int state)
{
	assert_int_equal(ftruncate(state, 0), 0);
}

static void keeps_as_much_as_before(const struct instance *daemon, const struct supervised *before)
{
	if (!wait_until(supervised_look(daemon).fds == before->fds, PATIENCE / 3))
		fail_msg("%" PRIu64 " fds are kept instead of %" PRIu64,
			 supervised_look(daemon).fds, before->fds);
}

/* The supervisor has taken in all that it was told: the same in two looks. */
static struct supervised at_rest(const struct instance *daemon)
{
	struct supervised last, look = supervised_look(daemon);

	do {
		last = look;
		live_sleep_ms(50);
		look = supervised_look(daemon);
	} while (last.fds != look.fds);
	return look;
}

static const struct spoil {
	void (*spoil)(int state);
	const char *told;
} spoils[] = {
	{write_newer_version, "newer version; attach again"},
	{write_garbage_records, "could not be read; attach again"},
	{write_garbage, "could not be read; attach again"},
	{write_nothing, "attach again"},
};

/* Its consumers are told why, others can come, and what these are goes on again. */
static void begins_anew(const char *config, const struct spoil *spoil)
{
	struct consumer_options options = {.device = "near", .transmit = true};
	struct consumer_report report;
	struct consumer *consumer;
	struct instance *daemon;
	struct supervised before;
	cleanup_fd int fd = -1;

	daemon = supervised_start(config);
	options.instance = daemon;
	consumer = consumer_start(&options);
	before = at_rest(daemon);
	assert_int_equal(kill(before.pid, SIGSTOP), 0);
	fd = (int)assert_ok(open_memory_of(before.pid, "memfd:xdpd-state"));
	spoil->spoil(fd);
	supervised_dies(daemon, SIGKILL);
	report = consumer_ends(consumer, spoil->told);
	assert_int_equal(report.ended, -ECANCELED);
	assert_true(instance_metric(daemon, "xdpd_consumers") == 0);
	assert_true(instance_metric(daemon, "xdpd_restarts_total") == 0);

	consumer = consumer_start(&options);
	keeps_as_much_as_before(daemon, &before);
	for (int i = 1; i <= 2; i++) {
		supervised_dies(daemon, SIGKILL);
		assert_int_equal(shared_consumers(daemon), 1);
		assert_true(instance_metric(daemon, "xdpd_restarts_total") == i);
		keeps_as_much_as_before(daemon, &before);
	}
	consumer_traffic("far", 0, LENGTH, 0, 100, 0);
	consumer_awaits(consumer, 100);
	(void)consumer_stop(consumer);
	(void)supervised_stop(daemon);
}

static void with_a_state_that_it_can_t_read_the_daemon_begins_anew(void **state)
{
	char shared[1024];

	(void)state;
	require_live_frames();
	add_veth();
	shared_config(shared, sizeof(shared), "", "");
	for (size_t i = 0; i < sizeof(spoils) / sizeof(spoils[0]); i++) {
		begins_anew(EXCLUSIVE, &spoils[i]);
		begins_anew(shared, &spoils[i]);
	}
}

static void a_queue_that_can_t_be_gone_on_with_ends_and_can_be_had_again(void **state)
{
	struct consumer_options options = {.device = "near", .transmit = true};
	struct supervised before;
	struct consumer *consumer;
	struct instance *daemon;
	cleanup_fd int fd = -1;

	(void)state;
	require_live_frames();
	daemon = start_shared("", "");
	options.instance = daemon;
	consumer = consumer_start(&options);
	before = at_rest(daemon);
	assert_int_equal(kill(before.pid, SIGSTOP), 0);
	fd = (int)assert_ok(open_memory_of(before.pid, "memfd:xdpd-ledger"));
	write_garbage(fd);
	supervised_dies(daemon, SIGKILL);
	(void)consumer_ends(consumer, "attach again");
	assert_true(instance_metric(daemon, "xdpd_restarts_total") == 1);
	assert_becomes(instance_metric(daemon, "xdpd_consumers") == 0, PATIENCE);

	consumer = consumer_start(&options);
	keeps_as_much_as_before(daemon, &before);
	consumer_traffic("far", 0, LENGTH, 0, 100, 0);
	consumer_awaits(consumer, 100);
	(void)consumer_stop(consumer);
	(void)supervised_stop(daemon);
}

static void without_a_store_a_restart_ends_the_consumers_and_tells_them(void **state)
{
	struct consumer *consumer;
	struct instance *daemon;

	(void)state;
	add_veth();
	daemon = instance_launch(EXCLUSIVE, NULL);
	assert_becomes(protocol_queue_state(instance_socket(daemon), "near", 0) == XDPD_QUEUE_READY,
		       PATIENCE);
	consumer = consumer_start(
		&(struct consumer_options){.instance = daemon, .device = "near", .transmit = true});
	assert_ok(child_signal(instance_child(daemon), SIGUSR1));
	(void)consumer_ends(consumer, "xdpd is stopping");
	assert_int_equal(child_wait(instance_child(daemon), PATIENCE), 0);
	instance_kill(daemon);
}

/* ---- it stops ---- */

#define WAITING 500 /* frames in its RX ring */

/* Is told, takes what is there then, and does not leave. Its word: 1, and then 2 more than the frames that it had. */
static int linger(struct stepper *stepper, struct protocol *protocol)
{
	struct protocol_message message;
	struct xdp_desc frames[64];
	uint32_t had = 0, count;
	int r;

	do
		r = protocol_receive(protocol, &message, PROTOCOL_PATIENCE);
	while (r >= 0 && r != XDPD_REVOKE);
	if (r != XDPD_REVOKE || !strstr(protocol->reason, "xdpd is stopping"))
		return 1;
	stepper_write(&stepper->word, 1);
	while ((count = protocol_take(protocol, frames, 64, 100)) > 0)
		for (uint32_t i = 0; i < count; i++)
			had += consumer_frame_is_whole(protocol->umem + frames[i].addr,
						       frames[i].len);
	stepper_write(&stepper->word, 2 + (int)had);
	for (;;)
		pause();
}

static void stops_in_time(const char *config)
{
	struct stepper *stepper = live_shared(sizeof(*stepper));
	struct footprint footprint;
	struct instance *daemon;
	struct child *child;
	uint64_t begun;

	daemon = supervised_start(config);
	stepper->target = protocol_target(instance_socket(daemon), "near", 0, "stepper");
	stepper->target.transmit = true;
	stepper->step = PROTOCOL_STARTED;
	stepper->then = linger;
	assert_ok(child_start(&child, &(struct child_options){.call = stepper_run,
							      .argument = stepper,
							      .uid = CHILD_NOBODY}));
	assert_becomes(stepper_read(&stepper->arrived), PATIENCE);
	assert_int_equal(stepper->arrived, 1);
	(void)shared_sent_all(consumer_traffic("far", 0, LENGTH, 0, WAITING, 20000), WAITING);
	live_sleep_ms(100);
	/* What is stopped is the second process: nothing of the first is left either. */
	supervised_dies(daemon, SIGKILL);
	assert_ok(footprint_take(&footprint, supervised_look(daemon).pid));
	assert_true(footprint.bpf_programs && footprint.bpf_maps);
	begun = live_now_ms();
	assert_int_equal(kill(supervised_look(daemon).pid, SIGTERM), 0);
	assert_becomes(stepper_read(&stepper->word) >= 1, 300);
	assert_becomes(stepper_read(&stepper->word) >= 2, 900);
	assert_int_equal(stepper_read(&stepper->word), 2 + WAITING);
	assert_true(child_is_alive(child));
	/* It ended with 0, and so the supervisor does. */
	assert_int_equal(child_wait(instance_child(daemon), PATIENCE), 0);
	print_message("# stopped within %" PRIu64 " ms\n", live_now_ms() - begun);
	assert_true(live_now_ms() - begun < 2000);
	assert_int_equal(supervised_look(daemon).fds, 0);
	assert_becomes(footprint_bpf_left(&footprint) == 0, PATIENCE);
	(void)child_end(child);
	instance_kill(daemon);
}

static void it_stops_in_time_and_consumers_can_read_what_they_have(void **state)
{
	char shared[1024];

	(void)state;
	require_live_frames();
	add_veth();
	stops_in_time(EXCLUSIVE);
	shared_config(shared, sizeof(shared), SHARED_ROOMY, "");
	stops_in_time(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(an_exclusive_consumer_misses_no_frame_when_the_daemon_ends),
		live_test(shared_groups_lose_what_the_counters_say_when_the_daemon_ends),
		live_test(shared_delivery_goes_on_within_a_tenth_of_a_second),
		live_test(an_attach_under_way_ends_in_success_or_an_error_and_never_hangs),
		live_test(a_consumer_that_died_while_the_daemon_was_down_is_noticed),
		live_test(runtime_queues_stay_as_long_as_the_file_does),
		live_test(an_interface_made_anew_while_the_daemon_was_down_is_taken_up),
		live_test(with_a_file_that_is_not_valid_a_restart_changes_nothing),
		live_test(with_a_state_that_it_can_t_read_the_daemon_begins_anew),
		live_test(a_queue_that_can_t_be_gone_on_with_ends_and_can_be_had_again),
		live_test(without_a_store_a_restart_ends_the_consumers_and_tells_them),
		live_test(it_stops_in_time_and_consumers_can_read_what_they_have),
	};

	return live_run("restart", tests, 300);
}
