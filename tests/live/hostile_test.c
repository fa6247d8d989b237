// SPDX-License-Identifier: BSD-2-Clause
/*
 * A member that writes garbage everywhere it can, while the frames of others are checked byte for byte: it loses its
 * attachment, they lose nothing.
 */
#include "tests/live/harness.h"

#include <stdlib.h>

#include "tests/live/footprint.h"
#include "tests/live/hostile.h"
#include "tests/live/instance.h"
#include "tests/live/traffic.h"
#include "tests/live/witness.h"

#define FRAMES	   16384
#define RATE	   4000
#define AFTERWARDS 2000 /* frames that shall still arrive when all is over */
#define ANSWER_MS \
	3000 /* that the daemon may take to answer, on a machine that is busy with the test itself */
#define PATIENCE 30000 /* milliseconds for what shall come */
#define MIX_MS	 12000
#define MIX_MIN	 20 /* members, however slow they are */

/* What is lent to `split` can't be had by others, so it is little; and still half a second's. */
#define CONFIG(umem)                                                                          \
	"access: { attach: { users: [\"*\"] } }\n"                                            \
	"interfaces:\n"                                                                       \
	"  - name: near\n"                                                                    \
	"    queues:\n"                                                                       \
	"      - { id: 0, delivery: shared, frames: 16384, frame_size: 2048, umem: " umem "," \
	" rings: { rx: 4096, tx: 512, fill: 8192, completion: 1024 } }\n"                     \
	"    groups: [{ name: split, quota: 2048 }, { name: other }, { name: watch }]\n"

/* ---- the daemon, its honest members, and one that is not ---- */

struct arena {
	struct instance *daemon;
	struct traffic *traffic;
	struct witness *mate;  /* of the hostile's group: gets the flows that it does not */
	struct witness *other; /* of another group */
	struct witness *tap;
	struct hostile *hostile;
	uint64_t rounds, told;
};

static struct arena arena_open_with(const char *config)
{
	struct arena arena = {.hostile = live_shared(sizeof(*arena.hostile))};

	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far"}));
	arena.daemon = instance_start(config);
	arena.mate = witness_start(
		&(struct witness_options){.instance = arena.daemon, .group = "split"});
	arena.other = witness_start(
		&(struct witness_options){.instance = arena.daemon, .group = "other"});
	arena.tap = witness_start(
		&(struct witness_options){.instance = arena.daemon, .group = "watch", .tap = true});
	arena.traffic = witness_traffic("far", RATE);
	witness_judge(arena.other);
	witness_judge(arena.tap);
	return arena;
}

static struct arena arena_open(void)
{
	return arena_open_with(CONFIG("read-only"));
}

/* It answers in good time, whatever goes on. */
static struct xdpd_worker_record ask_worker(const struct instance *daemon)
{
	const uint64_t begun = live_now_ms();
	struct xdpd_worker_record record = {};
	uint64_t took;

	assert_ok(protocol_find_worker(instance_socket(daemon), "near", 0, &record));
	took = live_now_ms() - begun;
	if (took > ANSWER_MS)
		fail_msg("xdpd took %lu ms to answer", took);
	return record;
}

static bool all_places_are_there(const struct xdpd_worker_record *record)
{
	uint32_t sum = 0;

	for (int place = 0; place < XDPD_PLACE_COUNT; place++)
		sum += record->frames[place];
	return sum == FRAMES;
}

static bool is_all_back(const struct instance *daemon)
{
	const struct xdpd_worker_record record = ask_worker(daemon);

	assert_true(all_places_are_there(&record));
	return record.frames[XDPD_PLACE_LENT] == 0 && record.frames[XDPD_PLACE_TRANSMIT] == 0;
}

static double violations(const struct instance *daemon, const char *kind)
{
	return kind ? instance_metric(daemon, "xdpd_consumer_violations_total", "kind", kind)
		    : instance_metric(daemon, "xdpd_consumer_violations_total");
}

/* From its attach to its end; the daemon is asked all the while. */
static void let_act(struct arena *arena)
{
	struct hostile *hostile = arena->hostile;
	struct child *child;

	witness_pardon(arena->mate);
	assert_ok(child_start(&child, &(struct child_options){.call = hostile_run,
							      .argument = hostile,
							      .uid = CHILD_NOBODY}));
	assert_becomes(stepper_read(&hostile->stepper.arrived), PATIENCE);
	if (hostile->stepper.arrived < 0)
		fail_msg("%s: %s: %s", hostile_deed_names[hostile->deed],
			 strerror(-hostile->stepper.arrived), hostile->stepper.reason);
	witness_judge(arena->mate);
	stepper_write(&hostile->stepper.word, 1);
	while (child_wait(child, 20) == -ETIMEDOUT) {
		const struct xdpd_worker_record record = ask_worker(arena->daemon);

		assert_true(all_places_are_there(&record));
	}
	if (child_wait(child, 0) != 0)
		fail_msg("%s: exit status %d: %s", hostile_deed_names[hostile->deed],
			 child_wait(child, 0), child_errors(child));
	(void)child_end(child);
	if (hostile->gained[0])
		fail_msg("%s: it gained %s", hostile_deed_names[hostile->deed], hostile->gained);
	assert_becomes(instance_metric(arena->daemon, "xdpd_consumers") == 3, PATIENCE);
	arena->rounds++;
	arena->told += hostile->reason[0] != '\0';
}

static void prepare(struct arena *arena, enum hostile_deed deed)
{
	const struct protocol_target target =
		protocol_target(instance_socket(arena->daemon), "near", 0, "hostile");

	hostile_init(arena->hostile, &target, deed);
	(void)snprintf(arena->hostile->stepper.target.group,
		       sizeof(arena->hostile->stepper.target.group), "split");
}

static void endure(struct arena *arena, enum hostile_deed deed)
{
	prepare(arena, deed);
	let_act(arena);
}

/* The same, and it must be told a violation of this kind; NULL: of any kind. */
static void endure_violation(struct arena *arena, const char *name, const char *kind)
{
	const double before = violations(arena->daemon, kind);
	const uint64_t worker = ask_worker(arena->daemon).violations;
	const char *reason = arena->hostile->reason;

	let_act(arena);
	if (!reason[0] || !strstr(reason, kind ? kind : "EPROTO"))
		fail_msg("%s: it was told \"%s\" instead of %s", name, reason,
			 kind ? kind : "a violation");
	if (violations(arena->daemon, kind) != before + 1)
		fail_msg("%s: it was not counted", name);
	assert_int_equal(ask_worker(arena->daemon).violations, worker + 1);
}

/* Honest members have lost nothing but what the wire or their own sleep took from them. */
static void acquit(const char *who, const struct witness_report *report, uint64_t lost)
{
	if (report->damaged || report->strange || report->missed > lost + report->overrun)
		fail_msg("%s: %lu frames, %lu missed (%lu lost before, %lu overrun), %lu strange, "
			 "%lu damaged",
			 who, report->packets, report->missed, lost, report->overrun,
			 report->strange, report->damaged);
	assert_true(report->packets > 0);
}

static void show_workers(const struct arena *arena)
{
	cleanup_ran struct ran ran = {};

	instance_ctl(arena->daemon, &ran, "show", "workers");
	assert_int_equal(ran.status, 0);
	assert_non_null(strstr(ran.output, "near"));
	ran_clear(&ran);
	ran = (struct ran){};
	instance_ctl(arena->daemon, &ran, "show", "consumers");
	assert_int_equal(ran.status, 0);
	assert_null(strstr(ran.output, "hostile"));
}

/* With no traffic and no hostile member there is nothing that it could be busy with. */
static void check_idle(const struct arena *arena)
{
	const pid_t pid = instance_pid(arena->daemon);
	struct footprint before, after;

	assert_ok(footprint_take(&before, pid));
	live_sleep_ms(400);
	assert_ok(footprint_take(&after, pid));
	if (after.cpu_ns - before.cpu_ns > 200000000)
		fail_msg("idle, and %lu ms of 400 on the CPU",
			 (after.cpu_ns - before.cpu_ns) / 1000000);
}

static void arena_close(struct arena *arena)
{
	const uint64_t before = witness_report(arena->other).packets;
	struct witness_report mate, other, tap;
	struct traffic_result sent;

	show_workers(arena);
	assert_becomes(witness_report(arena->other).packets >= before + AFTERWARDS, PATIENCE);
	assert_ok(traffic_stop(arena->traffic, &sent));
	(void)wait_until(witness_report(arena->other).packets == sent.sent &&
				 witness_report(arena->tap).packets +
						 witness_report(arena->tap).overrun ==
					 sent.sent,
			 PATIENCE);
	check_idle(arena);
	/* What honest members gave back last waits to be collected with more, or with their end. */
	mate = witness_stop(arena->mate);
	other = witness_stop(arena->other);
	assert_becomes(is_all_back(arena->daemon), PATIENCE);
	tap = witness_stop(arena->tap);
	print_message("%lu hostile members, %lu of them told so; %lu frames, %lu lost before xdpd, "
		      "%lu overrun at the tap\n",
		      arena->rounds, arena->told, sent.attempted, sent.lost, tap.overrun);
	acquit("the hostile's mate", &mate, sent.lost);
	acquit("the member of another group", &other, sent.lost);
	acquit("the tap", &tap, sent.lost);
	assert_int_equal(other.packets, sent.sent);
	assert_int_equal(tap.packets + tap.overrun, sent.sent);
	instance_stop(arena->daemon);
}

/* ---- tests ---- */

static void each_lie_is_told_to_its_teller_and_counted_by_its_kind(void **state)
{
	struct arena arena;

	(void)state;
	require_live_frames();
	arena = arena_open();
	for (uint32_t lie = 0; lie < hostile_n_lies; lie++) {
		prepare(&arena, HOSTILE_LIE);
		arena.hostile->lie = lie;
		endure_violation(&arena, hostile_lies[lie].name, hostile_lies[lie].violation);
	}
	arena_close(&arena);
}

static void random_words_all_over_its_memory_harm_nobody_else(void **state)
{
	struct arena arena;

	(void)state;
	require_live_frames();
	arena = arena_open();
	for (uint64_t seed = 1; seed <= 5; seed++) {
		prepare(&arena, HOSTILE_RANDOM_WORDS);
		arena.hostile->seed = seed;
		arena.hostile->ms = PATIENCE;
		endure_violation(&arena, "random words", NULL);
	}
	arena_close(&arena);
}

static void plausible_words_in_its_rings_harm_nobody_else(void **state)
{
	struct arena arena;

	(void)state;
	require_live_frames();
	arena = arena_open();
	for (uint64_t seed = 1; seed <= 10; seed++) {
		prepare(&arena, HOSTILE_PLAUSIBLE_WORDS);
		arena.hostile->seed = seed;
		arena.hostile->ms = PATIENCE;
		endure_violation(&arena, "plausible words", NULL);
	}
	arena_close(&arena);
}

static void what_changes_while_the_worker_reads_it_harms_nobody_else(void **state)
{
	struct arena arena;

	(void)state;
	require_live_frames();
	arena = arena_open();
	for (uint64_t seed = 1; seed <= 5; seed++) {
		prepare(&arena, HOSTILE_CHANGES);
		arena.hostile->seed = seed;
		arena.hostile->ms = 1000;
		let_act(&arena);
	}
	arena_close(&arena);
}

static void holes_in_its_memory_harm_nobody_else(void **state)
{
	struct arena arena;

	(void)state;
	require_live_frames();
	arena = arena_open();
	for (int i = 0; i < 3; i++)
		endure(&arena, HOSTILE_HOLES);
	arena_close(&arena);
}

static void nothing_that_it_was_granted_can_be_resized_or_become_writable(void **state)
{
	struct arena arena;

	(void)state;
	require_live_frames();
	arena = arena_open();
	endure(&arena, HOSTILE_GREED);
	prepare(&arena, HOSTILE_GREED);
	arena.hostile->stepper.target.flags = XDPD_ATTACH_TAP;
	let_act(&arena);
	arena_close(&arena);
}

static void a_bell_that_is_filled_flooded_blocked_or_shut_keeps_nobody_waiting(void **state)
{
	struct arena arena;

	(void)state;
	require_live_frames();
	arena = arena_open();
	for (int i = 0; i < 2; i++) {
		endure(&arena, HOSTILE_BELL);
		endure(&arena, HOSTILE_FLOOD);
	}
	arena_close(&arena);
}

/* It has sent without taking what came back, until nothing more goes, and is asleep now. */
static void a_member_that_takes_no_completion_keeps_no_cpu_busy(void **state)
{
	struct footprint before, after;
	struct arena arena;
	struct child *child;

	(void)state;
	require_live_frames();
	arena = arena_open();
	witness_pardon(arena.mate);
	prepare(&arena, HOSTILE_STUCK);
	stepper_write(&arena.hostile->stepper.word, 1);
	arena.hostile->ms = PATIENCE;
	assert_ok(child_start(&child, &(struct child_options){.call = hostile_run,
							      .argument = arena.hostile,
							      .uid = CHILD_NOBODY}));
	assert_becomes(stepper_read(&arena.hostile->stepper.word) == 2, PATIENCE);
	assert_ok(footprint_take(&before, instance_pid(arena.daemon)));
	live_sleep_ms(500);
	assert_ok(footprint_take(&after, instance_pid(arena.daemon)));
	if (after.cpu_ns - before.cpu_ns > 300000000)
		fail_msg("%lu ms of 500 on the CPU", (after.cpu_ns - before.cpu_ns) / 1000000);
	(void)child_end(child);
	arena_close(&arena);
}

static void a_member_that_does_not_listen_or_gives_nothing_back_keeps_nobody_waiting(void **state)
{
	struct arena arena;

	(void)state;
	require_live_frames();
	arena = arena_open();
	prepare(&arena, HOSTILE_MUTE);
	arena.hostile->ms = 1500;
	let_act(&arena);
	prepare(&arena, HOSTILE_HOARD);
	arena.hostile->ms = 3000;
	let_act(&arena);
	endure(&arena, HOSTILE_CLOSES);
	endure(&arena, HOSTILE_VANISH);
	arena_close(&arena);
}

static void memory_that_outlives_its_member_is_nobodys(void **state)
{
	struct arena arena;

	(void)state;
	require_live_frames();
	arena = arena_open();
	for (int i = 0; i < 3; i++) {
		endure(&arena, HOSTILE_FORK);
		endure(&arena, HOSTILE_GHOST);
	}
	arena_close(&arena);
}

static void a_tap_that_writes_where_it_can_harms_nobody(void **state)
{
	struct arena arena;

	(void)state;
	require_live_frames();
	arena = arena_open();
	for (int i = 0; i < 3; i++)
		endure(&arena, HOSTILE_TAP);
	arena_close(&arena);
}

/* Whose members trust each other with their bytes still have their frames, and xdpd does not believe what it reads. */
static void in_a_writable_umem_nothing_but_bytes_suffers(void **state)
{
	struct arena arena;

	(void)state;
	require_live_frames();
	arena = arena_open_with(CONFIG("writable"));
	for (uint64_t seed = 1; seed <= 3; seed++) {
		prepare(&arena, HOSTILE_FRAMES);
		arena.hostile->seed = seed;
		arena.hostile->ms = 1000;
		let_act(&arena);
		assert_true(arena.hostile->done > 0);
		assert_int_equal(arena.told, 0);
	}
	(void)witness_stop(arena.mate);
	assert_ok(traffic_stop(arena.traffic, NULL));
	(void)witness_stop(arena.other);
	assert_becomes(is_all_back(arena.daemon), PATIENCE);
	(void)witness_stop(arena.tap);
	instance_stop(arena.daemon);
}

static void one_hostile_member_after_the_other_leaves_nothing_behind(void **state)
{
	struct footprint before, after;
	struct arena arena;
	uint64_t random = live_now_ms(), until;

	(void)state;
	require_live_frames();
	arena = arena_open();
	print_message("seed %lu\n", random);
	assert_ok(footprint_take(&before, instance_pid(arena.daemon)));
	until = live_now_ms() + MIX_MS;
	while (live_now_ms() < until || arena.rounds < MIX_MIN) {
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		prepare(&arena, (enum hostile_deed)((random >> 33) % HOSTILE_DEEDS));
		arena.hostile->lie = (uint32_t)(random >> 40) % hostile_n_lies;
		arena.hostile->seed = random >> 20;
		arena.hostile->ms = 50 + (random >> 50) % 150;
		let_act(&arena);
	}
	if (!wait_until(footprint_take(&after, instance_pid(arena.daemon)) == 0 &&
				!*footprint_difference(&before, &after),
			PATIENCE))
		fail_msg("left behind: %s", footprint_difference(&before, &after));
	assert_int_equal(after.threads, before.threads);
	arena_close(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(each_lie_is_told_to_its_teller_and_counted_by_its_kind),
		live_test(random_words_all_over_its_memory_harm_nobody_else),
		live_test(plausible_words_in_its_rings_harm_nobody_else),
		live_test(what_changes_while_the_worker_reads_it_harms_nobody_else),
		live_test(holes_in_its_memory_harm_nobody_else),
		live_test(nothing_that_it_was_granted_can_be_resized_or_become_writable),
		live_test(a_bell_that_is_filled_flooded_blocked_or_shut_keeps_nobody_waiting),
		live_test(a_member_that_takes_no_completion_keeps_no_cpu_busy),
		live_test(a_member_that_does_not_listen_or_gives_nothing_back_keeps_nobody_waiting),
		live_test(memory_that_outlives_its_member_is_nobodys),
		live_test(a_tap_that_writes_where_it_can_harms_nobody),
		live_test(in_a_writable_umem_nothing_but_bytes_suffers),
		live_test(one_hostile_member_after_the_other_leaves_nothing_behind),
	};

	return live_run("hostile", tests, 300);
}
