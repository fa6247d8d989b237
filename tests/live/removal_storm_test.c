// SPDX-License-Identifier: BSD-2-Clause
/*
 * Interfaces are removed and made again, again and again, under traffic and with consumers attached: each time they are
 * armed again, consumers that ask for that come back and others are told, and nothing grows.
 *
 *     far ---> near queue 0, exclusive: one that comes back; queue 1: one that ends with it
 *     right ---> left queue 0, shared: one of each
 */
#include "tests/live/harness.h"

#include <inttypes.h>
#include <net/if.h>
#include <stdlib.h>

#include "tests/live/consumer.h"
#include "tests/live/holdings.h"
#include "tests/live/packet.h"
#include "tests/live/protocol.h"
#include "tests/live/spread.h"
#include "tests/live/supervised.h"
#include "tests/live/traffic.h"

#define ROUNDS	  100
#define WARM_UP	  10	    /* of them */
#define RATE	  20000	    /* to each interface, $REMOVAL_STORM_RATE */
#define LENGTH	  100	    /* of each frame */
#define ROUND_MAX (1 << 22) /* frames that a round can send to an interface */
#define SOON	  8000	    /* milliseconds */
#define PATIENCE  30000
#define SOME	  50  /* frames after which a consumer is one that receives */
#define BLOW_MS	  100 /* of traffic, before the interfaces go */

#define CONFIG                                                                   \
	"access: { attach: { users: [\"*\"] } }\n"                               \
	"interfaces:\n"                                                          \
	"  - name: near\n"                                                       \
	"    queues: [{ id: 0-1, frames: 256, frame_size: 2048,"                 \
	" rings: { rx: 256, tx: 64, fill: 256, completion: 64 } }]\n"            \
	"  - name: left\n"                                                       \
	"    queues: [{ id: 0, frames: 512, frame_size: 2048, delivery: shared," \
	" rings: { rx: 512, tx: 64, fill: 512, completion: 64 } }]\n"

struct storm {
	struct instance *daemon;
	struct consumer *alone, *member; /* that come back */
	uint64_t rate;			 /* frames a second */
	uint64_t round; /* the number of its first frame is its multiple of ROUND_MAX */
	uint64_t sent;
	uint64_t blew_us; /* in all rounds */
	struct spread back,
		resumed; /* from when the interfaces are there again to the attachments, and frames */
};

/* ---- consumers ---- */

static struct consumer *start_consumer(const struct storm *storm, const char *device,
				       uint32_t queue, const char *name, bool comes_back)
{
	return consumer_start(&(struct consumer_options){
		.instance = storm->daemon,
		.device = device,
		.queue = queue,
		.name = name,
		.length = LENGTH,
		.count = (uint64_t)ROUND_MAX * ROUNDS,
		.reattach_ms = comes_back ? PATIENCE : 0,
	});
}

static bool is_back(const struct storm *storm, const struct consumer *consumer)
{
	return consumer_report(consumer).reattached == storm->round;
}

/* No frame that was never sent, none twice and none before an earlier one, whatever became of the others. */
static void got_each_once(const char *who, const struct consumer_report *report)
{
	print_message("# %s: %" PRIu64 " frames received\n", who, report->packets);
	assert_int_equal(report->seen, report->packets);
	assert_int_equal(report->damaged + report->again + report->strange + report->backwards, 0);
}

/* By the kernel or by xdpd; or, if that died right then, by the next one. */
static void is_told(struct consumer *consumer)
{
	const struct consumer_report report = consumer_ends(consumer, "");

	if (!strstr(report.reason, "the interface ") &&
	    !strstr(report.reason, "xdpd was restarted"))
		fail_msg("it was told `%s`", report.reason);
}

/* ---- a round ---- */

static void await_state(const struct storm *storm, const char *device, enum xdpd_queue_state state)
{
	assert_becomes(protocol_queue_state(instance_socket(storm->daemon), device, 0) ==
			       (int)state,
		       SOON);
}

static void come(struct storm *storm)
{
	uint64_t begun;

	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = 2}));
	assert_ok(veth_add(&(struct veth_options){.name = "left", .peer = "right"}));
	begun = live_now_us();
	if (!storm->alone) {
		await_state(storm, "near", XDPD_QUEUE_READY);
		await_state(storm, "left", XDPD_QUEUE_READY);
		storm->alone = start_consumer(storm, "near", 0, "alone", true);
		storm->member = start_consumer(storm, "left", 0, "member", true);
	}
	assert_becomes(is_back(storm, storm->alone) && is_back(storm, storm->member), PATIENCE);
	spread_add(&storm->back, live_now_us() - begun);
}

/* Until both get some, and for a while more. Returns how many were sent by one of the two. */
static void blow(struct storm *storm)
{
	const uint64_t begun = live_now_us();
	const uint64_t alone = consumer_report(storm->alone).packets;
	const uint64_t member = consumer_report(storm->member).packets;

	consumer_awaits(storm->alone, alone + SOME);
	consumer_awaits(storm->member, member + SOME);
	spread_add(&storm->resumed, live_now_us() - begun);
	live_sleep_ms(BLOW_MS);
	storm->blew_us += live_now_us() - begun;
}

static uint64_t sent_so_far(const struct traffic *traffic)
{
	struct traffic_result sent;

	traffic_so_far(traffic, &sent);
	assert_true(sent.attempted < ROUND_MAX);
	return sent.attempted;
}

/* Both interfaces come, are used, and go under traffic. What is held is looked at in between, if that is asked for. */
static void come_and_go(struct storm *storm, struct holdings *ret)
{
	const uint64_t first = storm->round * ROUND_MAX;
	struct consumer *guest, *visitor;
	struct traffic *far, *right;

	come(storm);
	guest = start_consumer(storm, "near", 1, "guest", false);
	visitor = start_consumer(storm, "left", 0, "visitor", false);
	far = consumer_traffic("far", 0, LENGTH, first, 0, storm->rate);
	right = consumer_traffic("right", live_cpus() > 1, LENGTH, first, 0, storm->rate);
	blow(storm);
	storm->sent += sent_so_far(far) + sent_so_far(right);
	if (ret)
		*ret = holdings_at_rest(storm->daemon);
	assert_ok(device_delete("near"));
	assert_ok(device_delete("left"));
	is_told(guest);
	is_told(visitor);
	(void)traffic_stop(far, NULL);
	(void)traffic_stop(right, NULL);
	await_state(storm, "near", XDPD_QUEUE_WAITING);
	await_state(storm, "left", XDPD_QUEUE_WAITING);
	storm->round++;
}

/* ---- all of them ---- */

static double counted(const struct storm *storm, const char *name, const char *label,
		      const char *value)
{
	return instance_metric(storm->daemon, name, label, value);
}

static void all_was_told(const struct storm *storm)
{
	consumer_awaits_event(storm->alone, XDPD_EVENT_INTERFACE_GONE);
	consumer_awaits_event(storm->member, XDPD_EVENT_INTERFACE_GONE);
	assert_true(instance_metric(storm->daemon, "xdpd_interface_changes_total", "device", "near",
				    "kind", "gone") == ROUNDS);
	assert_true(counted(storm, "xdpd_consumer_disconnects_total", "reason", "interface_gone") ==
		    4 * ROUNDS);
}

static void print_report(struct storm *storm)
{
	print_message("# %d removals of each of two interfaces; %" PRIu64
		      " frames sent to both, %.0f a second\n",
		      ROUNDS, storm->sent, (double)storm->sent * 1e6 / (double)storm->blew_us);
	spread_print(&storm->back, "from the interfaces to the consumers that come back");
	spread_print(&storm->resumed, "from the first frame sent to the first ones received");
}

static void a_hundred_removals_under_traffic_leave_nothing_behind(void **state)
{
	const char *rate = getenv("REMOVAL_STORM_RATE");
	static struct storm storm;
	struct consumer_report alone, member;
	struct holdings early, late;
	double restarts;

	(void)state;
	require_live_frames();
	storm = (struct storm){
		.daemon = supervised_start(CONFIG),
		.rate = rate ? strtoull(rate, NULL, 10) : RATE,
	};
	restarts = instance_metric(storm.daemon, "xdpd_restarts_total");
	while (storm.round < WARM_UP)
		come_and_go(&storm, NULL);
	come_and_go(&storm, &early);
	while (storm.round < ROUNDS - 1)
		come_and_go(&storm, NULL);
	come_and_go(&storm, &late);
	print_report(&storm);
	holdings_have_not_grown(&early, &late);
	assert_becomes(footprint_bpf_left(&late.footprint) == 0, SOON);
	all_was_told(&storm);
	assert_true(instance_metric(storm.daemon, "xdpd_restarts_total") == restarts);
	alone = consumer_stop(storm.alone);
	member = consumer_stop(storm.member);
	got_each_once("exclusive", &alone);
	got_each_once("shared", &member);
	(void)supervised_stop(storm.daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(a_hundred_removals_under_traffic_leave_nothing_behind),
	};

	return live_run("removal_storm", tests, 400);
}
