// SPDX-License-Identifier: BSD-2-Clause
/*
 * The daemon is killed at random moments, again and again, under traffic and while consumers join, leave and misbehave:
 * each time the next one goes on, every frame is in one place, and nothing grows.
 */
#include "tests/live/harness.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/live/balance.h"
#include "tests/live/consumer.h"
#include "tests/live/footprint.h"
#include "tests/live/protocol.h"
#include "tests/live/shared.h"
#include "tests/live/supervised.h"
#include "tests/live/traffic.h"
#include "tests/live/witness.h"

#define KILLS		     1000 /* $RESTART_STORM_KILLS, if that is set ... */
#define SECONDS_MAX	     75	  /* ... else as many as fit in so many seconds */
#define WARM_UP		     20
#define RATE		     10000
#define JOINERS		     3
#define READY_MS	     5000  /* that a daemon may take until it is ready */
#define PATIENCE	     30000 /* milliseconds for what shall come */
#define PAUSE_US	     20000 /* a kill comes within so long after the daemon before is ready */
#define MEMORY_GROWTH_MAX_KB 1024

#define CONFIG                                                               \
	"access: { attach: { users: [\"*\"] } }\n"                           \
	"interfaces:\n"                                                      \
	"  - name: near\n"                                                   \
	"    queues:\n"                                                      \
	"      - { id: 0, delivery: shared, frames: 8192, frame_size: 2048," \
	" rings: { rx: 2048, tx: 256, fill: 4096, completion: 512 } }\n"     \
	"    groups: [{ name: steady }, { name: split, quota: 1024 }]\n"

/* ---- who joins and leaves ---- */

/* In memory that it shares with the test. */
struct joiner {
	struct protocol_target target;
	uint64_t random;
	int stop;
	uint64_t joins, failures, received, sent;
	int strange; /* -errno that no kill of the daemon explains */
};

static uint32_t below(uint64_t *random, uint32_t limit)
{
	*random = *random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*random >> 33) % limit;
}

/* Takes, gives back or keeps, and sends, over any number of kills, until it has had enough. */
static void stay_a_while(struct joiner *joiner, struct protocol *protocol)
{
	for (uint32_t left = below(&joiner->random, 60); left; left--) {
		struct xdp_desc frames[32];
		const uint32_t count = protocol_take(protocol, frames, 32, 1);

		joiner->received += count;
		if (count && !protocol_is_tap(protocol) && below(&joiner->random, 20))
			protocol_give_back(protocol, frames, count);
		if (protocol->tx.size && below(&joiner->random, 4) == 0)
			joiner->sent += protocol_transmit(protocol);
		if (below(&joiner->random, 8) == 0)
			protocol_ring(protocol);
	}
}

/* Some go without a word, others say goodbye, and some stop halfway. */
static int join(struct joiner *joiner)
{
	static const enum protocol_step steps[] = {
		PROTOCOL_CONNECTED,  PROTOCOL_WELCOMED, PROTOCOL_ATTACH_SENT, PROTOCOL_GRANTED,
		PROTOCOL_READY_SENT, PROTOCOL_STARTED,	PROTOCOL_STARTED,     PROTOCOL_STARTED,
		PROTOCOL_STARTED,    PROTOCOL_STARTED,
	};
	const enum protocol_step step =
		steps[below(&joiner->random, sizeof(steps) / sizeof(steps[0]))];
	cleanup_protocol struct protocol protocol;
	int r;

	joiner->target.transmit = below(&joiner->random, 2);
	joiner->target.flags = below(&joiner->random, 4) ? XDPD_ATTACH_HOLD : XDPD_ATTACH_TAP;
	(void)snprintf(joiner->target.group, sizeof(joiner->target.group), "%s",
		       joiner->target.flags == XDPD_ATTACH_TAP ? "" : "split");
	protocol_init(&protocol, &joiner->target);
	r = protocol_go(&protocol, step);
	if (r == 0 && step == PROTOCOL_STARTED) {
		joiner->joins++;
		stay_a_while(joiner, &protocol);
		if (below(&joiner->random, 2))
			(void)protocol_say(&protocol, XDPD_DETACH);
	}
	return r;
}

static int join_again_and_again(void *argument)
{
	struct joiner *joiner = argument;

	while (!__atomic_load_n(&joiner->stop, __ATOMIC_ACQUIRE)) {
		const int r = join(joiner);

		if (r == 0)
			continue;
		joiner->failures++;
		if (r != -ECONNRESET && r != -EPIPE && r != -ECANCELED && r != -ENOTCONN)
			joiner->strange = r;
		(void)usleep(500);
	}
	return 0;
}

/* ---- the storm ---- */

struct storm {
	struct instance *daemon;
	struct joiner *joiners;
	uint64_t random;
	uint64_t kills, seconds;
	uint64_t restarts; /* that the last kill leads to */
	uint64_t slowest;  /* milliseconds until a daemon was ready */
};

/* One that may be amid anything: also in its own start, as not every one is waited for. */
static void kill_one(struct storm *storm)
{
	const struct supervised before = supervised_look(storm->daemon);
	const uint64_t begun = live_now_ms();
	uint64_t took;

	if (before.pid > 0)
		assert_true(kill(before.pid, SIGKILL) == 0 || errno == ESRCH);
	storm->kills++;
	storm->restarts = before.restarts + (before.pid > 0);
	if (below(&storm->random, 8) == 0) {
		(void)usleep(below(&storm->random, 15000));
		return;
	}
	supervised_awaits(storm->daemon, storm->restarts);
	took = live_now_ms() - begun;
	storm->slowest = took > storm->slowest ? took : storm->slowest;
	if (took > READY_MS)
		fail_msg("not ready within %" PRIu64 " ms", took);
	(void)usleep(below(&storm->random, PAUSE_US));
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
}

static void start_joiners(struct storm *storm, struct child *children[JOINERS])
{
	for (int i = 0; i < JOINERS; i++) {
		struct joiner *joiner = &storm->joiners[i];

		*joiner = (struct joiner){
			.target = protocol_target(instance_socket(storm->daemon), "near", 0,
						  "joiner"),
			.random = storm->random + (uint64_t)i,
		};
		assert_ok(child_start(&children[i],
				      &(struct child_options){.call = join_again_and_again,
							      .argument = joiner,
							      .uid = CHILD_NOBODY}));
	}
}

static void stop_joiners(struct storm *storm, struct child *children[JOINERS])
{
	uint64_t joins = 0, failures = 0, received = 0, sent = 0;

	for (int i = 0; i < JOINERS; i++) {
		struct joiner *joiner = &storm->joiners[i];

		__atomic_store_n(&joiner->stop, 1, __ATOMIC_RELEASE);
		assert_int_equal(child_wait(children[i], PATIENCE), 0);
		children[i] = child_end(children[i]);
		if (joiner->strange)
			fail_msg("a join ended with %s", strerrorname_np(-joiner->strange));
		joins += joiner->joins;
		failures += joiner->failures;
		received += joiner->received;
		sent += joiner->sent;
	}
	print_message("# %" PRIu64 " kills, ready after %" PRIu64 " ms at worst; %" PRIu64
		      " joins, %" PRIu64 " ended by a kill; they received %" PRIu64
		      " frames, sent %" PRIu64 "\n",
		      storm->kills, storm->slowest, joins, failures, received, sent);
	assert_true(joins > 0);
}

static void rage(struct storm *storm, uint64_t kills)
{
	const uint64_t deadline = live_now_ms() + storm->seconds * 1000;
	struct child *children[JOINERS];

	storm->kills = storm->slowest = 0;
	start_joiners(storm, children);
	while (storm->kills < kills && live_now_ms() < deadline) {
		kill_one(storm);
		if (storm->kills % 8 == 0)
			look(storm);
	}
	look(storm);
	stop_joiners(storm, children);
	assert_becomes(shared_consumers(storm->daemon) == 2, PATIENCE);
}

static uint64_t group_frames(const struct xdpd_group_record *group)
{
	return group->receive_packets + group->dropped_ring_full + group->dropped_quota;
}

/* Between the two, all frames of `steady` arrived at its one member or were counted as dropped. */
static void weather(struct storm *storm, uint64_t kills)
{
	struct witness *steady = witness_start(
		&(struct witness_options){.instance = storm->daemon, .group = "steady"});
	const struct xdpd_group_record group = shared_group(storm->daemon, "steady");
	const struct balance before = balance_take(storm->daemon);
	struct xdpd_group_record group_after;
	struct witness_report report;
	struct traffic_result sent;
	struct traffic *traffic = witness_traffic("far", RATE);
	struct balance after;

	rage(storm, kills);
	assert_ok(traffic_stop(traffic, &sent));
	assert_becomes((after = balance_take(storm->daemon),
			after.worker.packets + balance_kernel_drops(&after) -
					before.worker.packets - balance_kernel_drops(&before) ==
				after.redirected - before.redirected),
		       PATIENCE);
	balance_holds(&before, &after, &sent);
	assert_int_equal(after.worker.violations, 0);
	group_after = shared_group(storm->daemon, "steady");
	assert_int_equal(group_frames(&group_after) - group_frames(&group),
			 after.worker.packets - before.worker.packets);
	assert_becomes(witness_report(steady).packets ==
			       group_after.receive_packets - group.receive_packets,
		       PATIENCE);
	shared_lends_nothing(storm->daemon);
	assert_becomes(shared_worker(storm->daemon).frames[XDPD_PLACE_TRANSMIT] == 0, PATIENCE);
	report = witness_stop(steady);
	assert_int_equal(report.strange, 0);
	assert_int_equal(report.damaged, 0);
}

/* Of the daemon and what the supervisor keeps, when nothing is under way: the same in two looks. */
struct holdings {
	struct footprint footprint;
	uint64_t kept;
};

static struct holdings at_rest(const struct instance *daemon)
{
	struct holdings last, now = {};

	do {
		last = now;
		live_sleep_ms(100);
		assert_ok(footprint_take(&now.footprint, supervised_look(daemon).pid));
		now.kept = supervised_look(daemon).fds;
	} while (*footprint_difference(&last.footprint, &now.footprint) || last.kept != now.kept);
	return now;
}

static uint64_t wanted_kills(struct storm *storm)
{
	const char *wanted = getenv("RESTART_STORM_KILLS");

	storm->seconds = wanted ? 3600 : SECONDS_MAX;
	return wanted ? strtoull(wanted, NULL, 10) : KILLS;
}

static void the_daemon_always_goes_on_after_a_thousand_kills_and_nothing_grows(void **state)
{
	struct storm storm = {.random = live_now_ms(),
			      .joiners = live_shared(JOINERS * sizeof(*storm.joiners))};
	const uint64_t kills = wanted_kills(&storm);
	struct holdings before, after;
	struct consumer *anchor;

	(void)state;
	require_live_frames();
	print_message("# seed %" PRIu64 "\n", storm.random);
	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far"}));
	storm.daemon = supervised_start(CONFIG);
	require(!receive_only_is_refused(storm.daemon),
		"this kernel does not map a bound socket's rings again");
	anchor = consumer_start(&(struct consumer_options){
		.instance = storm.daemon, .device = "near", .name = "anchor", .group = "split"});
	weather(&storm, WARM_UP);
	before = at_rest(storm.daemon);
	weather(&storm, kills);
	/* One that has just started is compared with one that had, too. */
	after = at_rest(storm.daemon);
	print_message("# kept fds %" PRIu64 " -> %" PRIu64 ", memory %" PRIu64 " -> %" PRIu64
		      " kB\n",
		      before.kept, after.kept, before.footprint.anonymous_kb,
		      after.footprint.anonymous_kb);
	if (*footprint_difference(&before.footprint, &after.footprint))
		fail_msg("left behind: %s",
			 footprint_difference(&before.footprint, &after.footprint));
	assert_int_equal(after.kept, before.kept);
	if (!FOOTPRINT_SANITIZED)
		assert_true(after.footprint.anonymous_kb <=
			    before.footprint.anonymous_kb + MEMORY_GROWTH_MAX_KB);
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
