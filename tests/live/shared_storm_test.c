// SPDX-License-Identifier: BSD-2-Clause
/*
 * Thousands of joins, leaves, kills and violations on a queue with shared delivery under traffic, with reloads among
 * them: every frame is accounted for, and nothing is left of any member.
 */
#include "tests/live/harness.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/live/crowd.h"
#include "tests/live/footprint.h"
#include "tests/live/instance.h"
#include "tests/live/traffic.h"
#include "tests/live/witness.h"

#define STEPS		     10000 /* $SHARED_STORM_STEPS, if that is set */
#define WARM_UP		     400
#define KILLS_PER_STEPS	     20 /* a kill at least for so many steps, however fast the others are */
#define RATE		     20000
#define FRAMES		     4096
#define BURST		     64 /* of the driver */
#define VICTIMS		     4
#define PATIENCE	     30000 /* milliseconds for what shall come */
#define ANSWER_MS	     5000  /* that the daemon may take to answer */
#define MEMORY_GROWTH_MAX_KB 1024

#define QUEUE                                                                \
	"access: { attach: { users: [\"*\"] } }\n"                           \
	"interfaces:\n"                                                      \
	"  - name: near\n"                                                   \
	"    queues:\n"                                                      \
	"      - { id: 0, delivery: shared, frames: 4096, frame_size: 2048," \
	" rings: { rx: 1024, tx: 256, fill: 2048, completion: 512 } }\n"

/* Whatever the rules are: what is redirected goes to `steady` and `split`, which always have a member. */
static const char *const configs[] = {
	QUEUE "    groups: [{ name: steady, quota: 1024 }, { name: split, quota: 256 },"
	      " { name: pair, quota: 64 }]\n",
	QUEUE "    groups: [{ name: steady, quota: 1024 }, { name: split },"
	      " { name: pair, mode: tap }]\n"
	      "    steer:\n"
	      "      - { match: { proto: udp, sport: 7000-7007 }, action: drop }\n"
	      "      - { match: { proto: udp, sport: 7008-7015 }, action: pass }\n"
	      "      - { match: { proto: udp, sport: 7016-7039 }, action: redirect,"
	      " groups: [steady, split] }\n",
	QUEUE
	"    groups: [{ name: pair }, { name: split, quota: 512 }, { name: free-0, quota: 16 },"
	" { name: steady, quota: 1024 }]\n"
	"    steer:\n"
	"      - { match: { proto: udp, sport: [7001, 7003, 7005] }, action: redirect,"
	" groups: [split, pair, steady] }\n"
	"      - { match: { proto: udp, sport: 7040-7043 }, action: drop }\n"
	"    default: { action: redirect, groups: [free-0, steady, split] }\n",
	QUEUE "    groups: [{ name: split, quota: 256 }, { name: steady, quota: 1024 },"
	      " { name: pair, attach: { users: [root] } }]\n",
};

#define CONFIGS (sizeof(configs) / sizeof(configs[0]))

/* ---- what is counted ---- */

struct figures {
	struct xdpd_worker_record worker;
	struct xdpd_queue_record queue;
	struct xdpd_group_record steady, split;
	double redirected, passed, dropped;
};

static struct figures take_figures(const struct instance *daemon)
{
	const char *socket = instance_socket(daemon);
	struct figures figures = {};
	char *text;

	assert_ok(protocol_find_worker(socket, "near", 0, &figures.worker));
	assert_ok(protocol_find_queue(socket, "near", 0, &figures.queue));
	assert_ok(protocol_find_group(socket, "near", 0, "steady", &figures.steady));
	assert_ok(protocol_find_group(socket, "near", 0, "split", &figures.split));
	text = instance_metrics(daemon);
#define VERDICTS(name) \
	metric_sum(text, (const char *const[]){"xdpd_xdp_verdicts_total", "action", name, NULL})
	figures.redirected = VERDICTS("redirect");
	figures.passed = VERDICTS("pass") + VERDICTS("pass_oversize") + VERDICTS("pass_rule") +
			 VERDICTS("pass_unmarked");
	figures.dropped = VERDICTS("drop_rule");
#undef VERDICTS
	free(text);
	return figures;
}

static uint64_t kernel_drops(const struct figures *figures)
{
	return figures->queue.receive_dropped + figures->queue.receive_ring_full;
}

static uint64_t group_frames(const struct xdpd_group_record *group)
{
	return group->receive_packets + group->dropped_ring_full + group->dropped_quota;
}

static uint32_t sum_of_places(const struct xdpd_worker_record *record)
{
	uint32_t sum = 0;

	for (int place = 0; place < XDPD_PLACE_COUNT; place++)
		sum += record->frames[place];
	return sum;
}

/* All that was sent between the two. */
static void account_for(const struct figures *before, const struct figures *after,
			const struct traffic_result *sent, const struct witness_report *steady)
{
	const uint64_t redirected = (uint64_t)(after->redirected - before->redirected);
	const uint64_t passed = (uint64_t)(after->passed - before->passed);
	const uint64_t dropped = (uint64_t)(after->dropped - before->dropped);
	const uint64_t taken = after->worker.packets - before->worker.packets;
	const uint64_t unclaimed = after->worker.unclaimed - before->worker.unclaimed;
	const uint64_t in_kernel = kernel_drops(after) - kernel_drops(before);
	const uint64_t for_steady = group_frames(&after->steady) - group_frames(&before->steady);
	const uint64_t for_split = group_frames(&after->split) - group_frames(&before->split);

	print_message("%lu frames, %lu lost before xdpd; %lu redirected, %lu passed, %lu dropped "
		      "by rules; %lu taken, %lu dropped by the kernel, %lu unclaimed; for `steady` "
		      "%lu, for `split` %lu\n",
		      sent->attempted, sent->lost, redirected, passed, dropped, taken, in_kernel,
		      unclaimed, for_steady, for_split);
	assert_int_equal(sent->attempted, sent->sent + sent->lost);
	assert_int_equal(sent->sent, redirected + passed + dropped);
	assert_int_equal(redirected, taken + in_kernel);
	assert_int_equal(for_steady, taken);
	assert_true(for_split <= taken && for_split + unclaimed >= taken);
	assert_int_equal(steady->packets,
			 after->steady.receive_packets - before->steady.receive_packets);
}

/* ---- who is killed ---- */

/* A process that attached, at some step of its way; now and then it is stopped for a while. */
struct victim {
	struct stepper *stepper;
	struct child *child;
	bool stopped;
};

/* In its stepper's word. */
enum { TAKES = 1, SENDS = 2 };

struct storm {
	struct instance *daemon;
	struct crowd *crowd;
	struct victim victims[VICTIMS];
	uint64_t random;
	uint64_t steps, kills, stops, reloads, ejects, looks; /* of this process */
};

static uint32_t below(struct storm *storm, uint32_t limit)
{
	storm->random = storm->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(storm->random >> 33) % limit;
}

/* What is not read of what xdpd tells would wait in its memory. */
static int take_and_listen(struct stepper *stepper, struct protocol *protocol)
{
	struct protocol_message message;
	int got;

	do {
		struct xdp_desc frames[32];
		uint32_t count = 0;

		if (stepper->word & TAKES)
			count = protocol_take(protocol, frames, 32, 5);
		if (count)
			protocol_give_back(protocol, frames, count);
		if (stepper->word & SENDS)
			(void)protocol_transmit(protocol);
		got = protocol_receive(protocol, &message, stepper->word ? 0 : 5);
	} while (got >= 0 || got == -ETIMEDOUT || got == -EAGAIN);
	return 0;
}

static void start_victim(struct storm *storm, struct victim *victim)
{
	static const enum protocol_step steps[] = {
		PROTOCOL_ATTACH_SENT, PROTOCOL_GRANTED,	 PROTOCOL_READY_SENT, PROTOCOL_STARTED,
		PROTOCOL_RECEIVED,    PROTOCOL_RECEIVED, PROTOCOL_HOLDING,
	};
	struct stepper *stepper = victim->stepper;

	*stepper = (struct stepper){
		.target = protocol_target(instance_socket(storm->daemon), "near", 0, "victim"),
		.step = steps[below(storm, sizeof(steps) / sizeof(steps[0]))],
		.then = take_and_listen,
	};
	stepper->target.transmit = true;
	stepper->target.flags = XDPD_ATTACH_HOLD;
	(void)snprintf(stepper->target.group, sizeof(stepper->target.group), "split");
	if (stepper->step >= PROTOCOL_STARTED && stepper->step != PROTOCOL_HOLDING)
		stepper->word = (int)below(storm, 4);
	assert_ok(child_start(&victim->child, &(struct child_options){.call = stepper_run,
								      .argument = stepper,
								      .uid = CHILD_NOBODY}));
	victim->stopped = false;
}

static void act_on(struct storm *storm, struct victim *victim)
{
	if (!victim->child) {
		start_victim(storm, victim);
	} else if (victim->stopped && below(storm, 2)) {
		(void)child_signal(victim->child, SIGCONT);
		victim->stopped = false;
	} else if (!victim->stopped && below(storm, 3) == 0) {
		(void)child_signal(victim->child, SIGSTOP);
		victim->stopped = true;
		storm->stops++;
	} else {
		victim->child = child_end(victim->child);
		storm->kills++;
	}
	storm->steps++;
}

/* ---- what an administrator does ---- */

static void reload(struct storm *storm)
{
	instance_write_config(storm->daemon, configs[below(storm, CONFIGS)]);
	instance_reload(storm->daemon);
	storm->reloads++;
	storm->steps++;
}

/* It may just have left. */
static void eject_somebody(struct storm *storm)
{
	cleanup_ran struct ran ran = {};
	char name[XDPD_NAME_MAX];

	if (below(storm, 4))
		(void)snprintf(name, sizeof(name), "crowd-%u", below(storm, CROWD_SEATS));
	else
		(void)snprintf(name, sizeof(name), "victim");
	instance_ctl(storm->daemon, &ran, "eject", "near", "0", name, "--reason", "weather");
	if (ran.status != 0 && ran.status != 2)
		fail_msg("xdpctl eject: status %d: %s", ran.status, ran.errors);
	storm->ejects++;
	storm->steps++;
}

/* At every moment each frame is in one place, and xdpd answers. */
static void look(struct storm *storm)
{
	const uint64_t begun = live_now_ms();
	struct xdpd_worker_record worker;
	struct xdpd_group_record split;

	assert_ok(protocol_find_worker(instance_socket(storm->daemon), "near", 0, &worker));
	assert_ok(protocol_find_group(instance_socket(storm->daemon), "near", 0, "split", &split));
	if (sum_of_places(&worker) != FRAMES)
		fail_msg("%u frames in all places", sum_of_places(&worker));
	if (live_now_ms() - begun > ANSWER_MS)
		fail_msg("xdpd took %lu ms to answer", live_now_ms() - begun);
	storm->looks++;
}

/* ---- the storm ---- */

static uint64_t steps_of(const struct storm *storm)
{
	return storm->steps + __atomic_load_n(&storm->crowd->steps, __ATOMIC_ACQUIRE);
}

static void rage(struct storm *storm, uint64_t steps)
{
	struct child *crowd;

	*storm->crowd = (struct crowd){
		.target = protocol_target(instance_socket(storm->daemon), "near", 0, "crowd"),
		.seed = storm->random | 1,
	};
	assert_ok(child_start(&crowd, &(struct child_options){.call = crowd_run,
							      .argument = storm->crowd,
							      .uid = CHILD_NOBODY}));
	while ((steps_of(storm) < steps || storm->kills < steps / KILLS_PER_STEPS) &&
	       child_is_alive(crowd)) {
		act_on(storm, &storm->victims[below(storm, VICTIMS)]);
		if (below(storm, 24) == 0)
			reload(storm);
		if (below(storm, 8) == 0)
			eject_somebody(storm);
		if (below(storm, 4) == 0)
			look(storm);
		live_sleep_ms(2);
	}
	__atomic_store_n(&storm->crowd->stop, 1, __ATOMIC_RELEASE);
	if (child_wait(crowd, PATIENCE) != 0)
		fail_msg("the crowd: status %d: %s", child_wait(crowd, 0), storm->crowd->failure);
	(void)child_end(crowd);
	for (int i = 0; i < VICTIMS; i++)
		storm->victims[i].child = child_end(storm->victims[i].child);
}

static void show(const struct storm *storm)
{
	const struct crowd *crowd = storm->crowd;

	print_message("%lu steps: %lu joins, %lu half, %lu refused, %lu leaves, %lu hung up, %lu "
		      "violations, %lu told, %lu revoked; %lu received, %lu sent; %lu kills, %lu "
		      "stops, %lu reloads, %lu ejects, %lu looks\n",
		      steps_of(storm), crowd->joins, crowd->halves, crowd->refused, crowd->leaves,
		      crowd->cuts, crowd->violations, crowd->told, crowd->revoked, crowd->received,
		      crowd->sent, storm->kills, storm->stops, storm->reloads, storm->ejects,
		      storm->looks);
}

/* With a tap as the last member, which is lent nothing, the worker goes on. */
static void check_that_nothing_is_lent(const struct storm *storm, struct witness *steady,
				       struct witness *anchor, struct witness_report *ret)
{
	struct witness *tap = witness_start(
		&(struct witness_options){.instance = storm->daemon, .group = "last", .tap = true});
	const char *socket = instance_socket(storm->daemon);
	struct xdpd_worker_record worker = {};

	*ret = witness_stop(steady);
	(void)witness_stop(anchor);
	if (!wait_until(protocol_find_worker(socket, "near", 0, &worker) == 0 &&
				worker.frames[XDPD_PLACE_LENT] == 0 &&
				worker.frames[XDPD_PLACE_TRANSMIT] == 0,
			PATIENCE))
		fail_msg("%u frames are lent, %u in transmission", worker.frames[XDPD_PLACE_LENT],
			 worker.frames[XDPD_PLACE_TRANSMIT]);
	assert_int_equal(sum_of_places(&worker), FRAMES);
	(void)witness_stop(tap);
	assert_becomes(instance_metric(storm->daemon, "xdpd_consumers") == 0, PATIENCE);
}

static void weather(struct storm *storm, uint64_t steps)
{
	struct witness *steady, *anchor;
	struct witness_report report;
	struct figures before, after;
	struct traffic_result sent;
	struct traffic *traffic;

	storm->steps = storm->kills = 0;
	steady = witness_start(
		&(struct witness_options){.instance = storm->daemon, .group = "steady"});
	anchor = witness_start(
		&(struct witness_options){.instance = storm->daemon, .group = "split"});
	before = take_figures(storm->daemon);
	traffic = witness_traffic("far", RATE);
	rage(storm, steps);
	assert_ok(traffic_stop(traffic, &sent));
	/* What is on its way to who remains. */
	assert_becomes(instance_metric(storm->daemon, "xdpd_consumers") == 2, PATIENCE);
	assert_becomes((after = take_figures(storm->daemon),
			witness_report(steady).packets ==
				after.steady.receive_packets - before.steady.receive_packets),
		       PATIENCE);
	check_that_nothing_is_lent(storm, steady, anchor, &report);
	show(storm);
	account_for(&before, &after, &sent, &report);
	assert_int_equal(report.damaged, 0);
	assert_int_equal(report.strange, 0);
	/* Whoever broke the rules was told, but for those that were ejected for another reason just then. */
	assert_true(storm->crowd->told <= storm->crowd->violations);
	assert_true(storm->crowd->told >= storm->crowd->violations / 2);
}

/* What it holds when nothing is under way: the same in two looks. */
static struct footprint at_rest(const struct instance *daemon)
{
	struct footprint last, footprint;

	/* Memory of members that did not leave by themselves is kept for two seconds [sealed.h]. */
	live_sleep_ms(2500);
	assert_ok(footprint_take(&footprint, instance_pid(daemon)));
	do {
		last = footprint;
		live_sleep_ms(50);
		assert_ok(footprint_take(&footprint, instance_pid(daemon)));
	} while (*footprint_difference(&last, &footprint) || last.threads != footprint.threads);
	return footprint;
}

static uint64_t wanted_steps(void)
{
	const char *wanted = getenv("SHARED_STORM_STEPS");

	return wanted ? strtoull(wanted, NULL, 10) : STEPS;
}

static void every_frame_is_accounted_for_after_ten_thousand_random_steps(void **state)
{
	struct storm storm = {.random = live_now_ms(), .crowd = live_shared(sizeof(*storm.crowd))};
	struct footprint before, after;
	uint64_t begun;

	(void)state;
	require_live_frames();
	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far"}));
	for (int i = 0; i < VICTIMS; i++)
		storm.victims[i].stepper = live_shared(sizeof(*storm.victims[i].stepper));
	print_message("seed %lu\n", storm.random);
	storm.daemon = instance_start(configs[0]);
	weather(&storm, WARM_UP);
	instance_write_config(storm.daemon, configs[0]);
	instance_reload(storm.daemon);
	before = at_rest(storm.daemon);

	begun = live_now_ms();
	weather(&storm, wanted_steps());
	instance_write_config(storm.daemon, configs[0]);
	instance_reload(storm.daemon);
	after = at_rest(storm.daemon);
	print_message("%lu ms, memory %lu -> %lu kB\n", live_now_ms() - begun, before.anonymous_kb,
		      after.anonymous_kb);
	if (*footprint_difference(&before, &after))
		fail_msg("left behind: %s", footprint_difference(&before, &after));
	assert_int_equal(after.threads, before.threads);
	if (!FOOTPRINT_SANITIZED)
		assert_true(after.anonymous_kb <= before.anonymous_kb + MEMORY_GROWTH_MAX_KB);
	instance_stop(storm.daemon);
}

/* Each time with frames on their way, of which some are left in its ring. */
static void frames_are_accounted_for_when_the_last_member_leaves_under_traffic(void **state)
{
	enum { LEAVES = 100 };
	struct figures before, after;
	struct traffic_result sent;
	struct instance *daemon;
	struct traffic *traffic;
	uint64_t redirected, taken;

	(void)state;
	require_live_frames();
	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far"}));
	daemon = instance_start(configs[0]);
	before = take_figures(daemon);
	traffic = witness_traffic("far", 50000);
	for (int i = 0; i < LEAVES; i++) {
		struct protocol_target target =
			protocol_target(instance_socket(daemon), "near", 0, "only");
		cleanup_protocol struct protocol protocol;

		protocol_init(&protocol, &target);
		assert_ok(protocol_go(&protocol, PROTOCOL_RECEIVED));
		protocol_hang_up(&protocol);
		assert_becomes(protocol_queue_state(target.socket, "near", 0) == XDPD_QUEUE_READY,
			       PATIENCE);
	}
	assert_ok(traffic_stop(traffic, &sent));
	after = take_figures(daemon);
	redirected = (uint64_t)(after.redirected - before.redirected);
	taken = after.worker.packets - before.worker.packets;
	print_message(
		"%lu frames, %lu redirected, %lu taken, %lu of them unclaimed, %lu dropped by "
		"the kernel\n",
		sent.attempted, redirected, taken, after.worker.unclaimed, kernel_drops(&after));
	assert_int_equal(sent.sent, redirected + (uint64_t)(after.passed - before.passed));
	taken += kernel_drops(&after) - kernel_drops(&before);
	/* But for a burst that the program was amid when it was told that nobody is there. */
	assert_true(taken <= redirected && redirected - taken <= BURST);
	assert_int_equal(sum_of_places(&after.worker), FRAMES);
	assert_int_equal(after.worker.frames[XDPD_PLACE_LENT], 0);
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(frames_are_accounted_for_when_the_last_member_leaves_under_traffic),
		live_test(every_frame_is_accounted_for_after_ten_thousand_random_steps),
	};

	return live_run("shared_storm", tests, 400);
}
