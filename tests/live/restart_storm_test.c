// SPDX-License-Identifier: BSD-2-Clause
/*
 * The daemon is killed at random moments, again and again, under traffic and while consumers join, leave and misbehave:
 * each time the next one goes on, every frame is in one place, and nothing grows.
 *
 *     far ---> near queue 0, shared: `steady`, and the group `split` with an anchor and joiners
 *     right ---> left queue 0, exclusive: `alone`; queue 1, exclusive: joiners
 */
#include "tests/live/harness.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/live/balance.h"
#include "tests/live/consumer.h"
#include "tests/live/holdings.h"
#include "tests/live/joiner.h"
#include "tests/live/protocol.h"
#include "tests/live/random.h"
#include "tests/live/shared.h"
#include "tests/live/spread.h"
#include "tests/live/supervised.h"
#include "tests/live/traffic.h"
#include "tests/live/witness.h"

#define KILLS	    1000  /* $RESTART_STORM_KILLS, if that is set ... */
#define SECONDS_MAX 75	  /* ... or as many as fit in so many seconds, $RESTART_STORM_SECONDS */
#define RATE	    10000 /* to each of `near` and `left`, $RESTART_STORM_RATE */
#define WARM_UP	    20
#define LENGTH	    64	      /* of the frames to `left` queue 0 */
#define COUNT_MAX   (1 << 30) /* of them */
#define PATIENCE    30000     /* milliseconds for what shall come */
#define PAUSE_US    20000     /* a kill comes within so long after the daemon before is ready */

/* Small, as some containers can't raise the limit of locked memory over 8 MiB. */
#define CONFIG                                                                      \
	"access: { attach: { users: [\"*\"] } }\n"                                  \
	"interfaces:\n"                                                             \
	"  - name: near\n"                                                          \
	"    queues:\n"                                                             \
	"      - { id: 0, delivery: shared, frames: 1024, frame_size: 2048,"        \
	" rings: { rx: 1024, tx: 128, fill: 1024, completion: 128 } }\n"            \
	"    groups: [{ name: steady, quota: 512 }, { name: split, quota: 128 }]\n" \
	"  - name: left\n"                                                          \
	"    queues:\n"                                                             \
	"      - { id: 0-1, frames: 256, frame_size: 2048,"                         \
	" rings: { rx: 256, tx: 64, fill: 256, completion: 64 } }\n"

/* ---- the storm ---- */

struct storm {
	struct instance *daemon;
	struct witness *steady;
	uint64_t random;
	uint64_t most, seconds, rate; /* kills, time, frames a second */
	uint64_t kills, took_ms;
	uint64_t restarts; /* that the last kill leads to */
	pid_t killed;	   /* by it */
	/* From the kill, and where it is known from the start of the next process, to its READY and the first frame. */
	struct spread kill_to_ready, kill_to_frame, start_to_ready, start_to_frame;
};

static void note_times(struct storm *storm, uint64_t killed_us)
{
	const uint64_t ready_us = live_now_us();
	const struct supervised look = supervised_look(storm->daemon);
	const uint64_t since_us = look.started_us > killed_us ? look.started_us : killed_us;
	const struct witness_silence silence = witness_silence(storm->steady, since_us);

	spread_add(&storm->kill_to_ready, (look.ready_us ? look.ready_us : ready_us) - killed_us);
	spread_add(&storm->kill_to_frame, silence.until_us - killed_us);
	if (look.started_us) {
		spread_add(&storm->start_to_ready, look.ready_us - look.started_us);
		spread_add(&storm->start_to_frame, silence.until_us - look.started_us);
	}
}

/* All frames are somewhere, whoever holds them, and those that always were there are there. */
static void look(struct storm *storm)
{
	struct balance balance;

	supervised_awaits(storm->daemon, storm->restarts);
	balance = balance_take(storm->daemon);
	balance_of_places(&balance);
	(void)shared_consumer(storm->daemon, "witness-steady");
	(void)shared_consumer(storm->daemon, "anchor");
	(void)shared_consumer(storm->daemon, "alone");
}

/* Returns what was to be seen right before; pid 0: there was none to kill. */
static struct supervised send_kill(const struct instance *daemon)
{
	struct supervised before;

	/* One that has been reaped, but is told of yet, is looked for again. */
	do
		before = supervised_look(daemon);
	while (before.pid > 0 && kill(before.pid, SIGKILL) < 0 && errno == ESRCH);
	return before;
}

/* One that may be amid anything: also in its own start, as not every one is waited for. */
static void kill_one(struct storm *storm)
{
	const uint64_t begun = live_now_us();
	const struct supervised before = send_kill(storm->daemon);

	/* One that was killed before, and not seen to be dead, is no other. */
	storm->kills += before.pid > 0 && before.pid != storm->killed;
	storm->killed = before.pid;
	storm->restarts = before.restarts + (before.pid > 0);
	if (random_below(&storm->random, 8) == 0) {
		(void)usleep(random_below(&storm->random, 15000));
		return;
	}
	supervised_awaits(storm->daemon, storm->restarts);
	if (before.pid > 0)
		note_times(storm, begun);
	look(storm);
	(void)usleep(random_below(&storm->random, PAUSE_US));
}

static void rage(struct storm *storm)
{
	const uint64_t begun = live_now_ms();
	const uint64_t deadline = begun + storm->seconds * 1000;
	const uint64_t restarts = supervised_look(storm->daemon).restarts;
	struct joiners *joiners = joiners_start(storm->daemon, storm->random);

	storm->kills = 0;
	while (storm->kills < storm->most && live_now_ms() < deadline)
		kill_one(storm);
	look(storm);
	storm->took_ms = live_now_ms() - begun;
	print_message("# %" PRIu64 " kills and %" PRIu64 " recoveries in %" PRIu64 " ms\n",
		      storm->kills, supervised_look(storm->daemon).restarts - restarts,
		      storm->took_ms);
	joiners_stop(joiners);
	assert_becomes(shared_consumers(storm->daemon) == 3, PATIENCE);
}

/* ---- what is sent, and what became of it ---- */

struct senders {
	struct traffic *far, *right, *guest;
};

/* The source's CPU is what chooses the queue of `left`. */
static struct senders start_senders(uint64_t rate)
{
	const bool two = live_cpus() > 1;

	return (struct senders){
		.far = witness_traffic_from(two, "far", rate),
		.right = consumer_traffic("right", 0, LENGTH, 0, 0, rate),
		.guest = two ? witness_traffic_from(1, "right", rate / 20) : NULL,
	};
}

struct sent {
	struct traffic_result far, right, guest;
};

static void print_rate(const char *where, const struct traffic_result *sent)
{
	print_message("# to %s: %" PRIu64 " frames, %.0f a second, %" PRIu64
		      " of them lost on the wire\n",
		      where, sent->attempted,
		      (double)sent->attempted * 1e9 / (double)sent->nanoseconds, sent->lost);
}

static struct sent stop_senders(const struct senders *senders)
{
	struct sent sent = {};

	assert_ok(traffic_stop(senders->far, &sent.far));
	assert_ok(traffic_stop(senders->right, &sent.right));
	if (senders->guest)
		assert_ok(traffic_stop(senders->guest, &sent.guest));
	print_rate("near", &sent.far);
	print_rate("left queue 0", &sent.right);
	if (senders->guest)
		print_rate("left queue 1", &sent.guest);
	return sent;
}

static uint64_t group_frames(const struct xdpd_group_record *group)
{
	return group->receive_packets + group->dropped_ring_full + group->dropped_quota;
}

/* The two queues of `left`: what was sent to both, and what became of it. */
struct exclusive {
	struct balance alone, guest;
};

static struct exclusive exclusive_take(const struct instance *daemon)
{
	return (struct exclusive){
		.guest = balance_take_of(daemon, "left", 1),
		.alone = balance_take_of(daemon, "left", 0),
	};
}

static uint64_t arrived(const struct exclusive *exclusive)
{
	return exclusive->alone.queue.receive_packets + balance_kernel_drops(&exclusive->alone) +
	       exclusive->guest.queue.receive_packets + balance_kernel_drops(&exclusive->guest);
}

static void exclusive_holds(const struct storm *storm, const struct exclusive *before,
			    const struct sent *sent, struct consumer *alone)
{
	struct consumer_report report;
	struct exclusive after;
	uint64_t drops, redirected, counted;

	assert_becomes((after = exclusive_take(storm->daemon),
			after.alone.redirected - before->alone.redirected + after.alone.passed -
					before->alone.passed ==
				sent->right.sent + sent->guest.sent),
		       PATIENCE);
	redirected = after.alone.redirected - before->alone.redirected;
	counted = arrived(&after) - arrived(before);
	drops = balance_kernel_drops(&after.alone) - balance_kernel_drops(&before->alone);
	assert_becomes(consumer_report(alone).packets + drops == sent->right.sent, PATIENCE);
	report = consumer_stop(alone);
	print_message("# exclusive: %" PRIu64 " received, %" PRIu64 " dropped as its rings name\n",
		      report.packets, drops);
	/* When a consumer leaves, the program may have redirected frames of a burst that the socket has not got yet. */
	print_message("# guests: %" PRIu64 " frames passed on while there was none, %" PRIu64
		      " under way when one left\n",
		      after.alone.passed - before->alone.passed, redirected - counted);
	assert_true(counted <= redirected);
	assert_true(redirected - counted <= 64 + redirected / 10000);
	assert_int_equal(report.seen, report.packets);
	assert_int_equal(report.again + report.strange + report.backwards + report.damaged, 0);
}

static void shared_holds(const struct storm *storm, const struct xdpd_group_record *group,
			 const struct balance *before, const struct balance *after)
{
	const struct xdpd_group_record group_after = shared_group(storm->daemon, "steady");
	struct witness_report report;

	assert_int_equal(after->worker.violations, 0);
	assert_int_equal(group_frames(&group_after) - group_frames(group),
			 after->worker.packets - before->worker.packets);
	assert_becomes(witness_report(storm->steady).packets ==
			       group_after.receive_packets - group->receive_packets,
		       PATIENCE);
	shared_lends_nothing(storm->daemon);
	assert_becomes(shared_worker(storm->daemon).frames[XDPD_PLACE_TRANSMIT] == 0, PATIENCE);
	report = witness_stop(storm->steady);
	print_message("# steady: %" PRIu64 " received, %" PRIu64 " dropped as its group counts\n",
		      report.packets,
		      group_frames(&group_after) - group_frames(group) - report.packets);
	assert_int_equal(report.strange, 0);
	assert_int_equal(report.damaged, 0);
}

/* Between the two, all frames of `steady` and `alone` arrived there or were counted as dropped. */
static void weather(struct storm *storm)
{
	struct consumer *alone = consumer_start(&(struct consumer_options){
		.instance = storm->daemon,
		.device = "left",
		.name = "alone",
		.length = LENGTH,
		.count = COUNT_MAX,
	});
	struct xdpd_group_record group;
	struct exclusive exclusive;
	struct balance before, after;
	struct senders senders;
	struct sent sent;

	storm->steady = witness_start(
		&(struct witness_options){.instance = storm->daemon, .group = "steady"});
	group = shared_group(storm->daemon, "steady");
	before = balance_take(storm->daemon);
	exclusive = exclusive_take(storm->daemon);
	senders = start_senders(storm->rate);
	assert_becomes(witness_report(storm->steady).packets, PATIENCE);
	rage(storm);
	sent = stop_senders(&senders);
	assert_becomes((after = balance_take(storm->daemon),
			after.worker.packets + balance_kernel_drops(&after) -
					before.worker.packets - balance_kernel_drops(&before) ==
				after.redirected - before.redirected),
		       PATIENCE);
	balance_holds(&before, &after, &sent.far);
	shared_holds(storm, &group, &before, &after);
	exclusive_holds(storm, &exclusive, &sent, alone);
}

static uint64_t wanted(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void print_times(struct storm *storm)
{
	spread_print(&storm->kill_to_ready, "from the kill to READY");
	spread_print(&storm->start_to_ready, "from the next process's start to READY");
	spread_print(&storm->kill_to_frame, "from the kill to the first frame handed on");
	spread_print(&storm->start_to_frame, "from the next process's start to the first frame");
}

static void add_pairs(void)
{
	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far"}));
	assert_ok(veth_add(&(struct veth_options){.name = "left", .peer = "right", .queues = 2}));
}

static void the_daemon_always_goes_on_after_a_thousand_kills_and_nothing_grows(void **state)
{
	static struct storm storm;
	struct holdings before, after;
	struct consumer *anchor;

	(void)state;
	require_live_frames();
	storm = (struct storm){.random = live_now_ms(), .rate = wanted("RESTART_STORM_RATE", RATE)};
	print_message("# seed %" PRIu64 "\n", storm.random);
	add_pairs();
	storm.daemon = supervised_start(CONFIG);
	require(!receive_only_is_refused(storm.daemon),
		"this kernel does not map a bound socket's rings again");
	anchor = consumer_start(&(struct consumer_options){
		.instance = storm.daemon, .device = "near", .name = "anchor", .group = "split"});
	storm.most = WARM_UP;
	storm.seconds = SECONDS_MAX;
	weather(&storm);
	before = holdings_at_rest(storm.daemon);
	storm.most = wanted("RESTART_STORM_KILLS", KILLS);
	storm.seconds = wanted("RESTART_STORM_SECONDS", SECONDS_MAX);
	weather(&storm);
	print_times(&storm);
	/* One that has just started is compared with one that had, too. */
	after = holdings_at_rest(storm.daemon);
	holdings_have_not_grown(&before, &after);
	assert_int_equal(consumer_stop(anchor).ended, 0);
	(void)supervised_stop(storm.daemon);
	assert_becomes(footprint_bpf_left(&after.footprint) == 0, PATIENCE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(the_daemon_always_goes_on_after_a_thousand_kills_and_nothing_grows),
	};

	return live_run("restart_storm", tests, 3900);
}
