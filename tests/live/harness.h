/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frame of a live test program:
 *
 *     static void a_frame_arrives(void **state)
 *     {
 *             ...
 *     }
 *
 *     int main(void)
 *     {
 *             const struct CMUnitTest tests[] = {live_test(a_frame_arrives)};
 *
 *             return live_run("receive", tests, 30);
 *     }
 *
 * Each test starts in a fresh network namespace (see netns.h), with an empty folder of its own, and without
 * children. After it, also when it failed, its children are killed and both are gone. The whole program runs
 * in a child process under a time limit, so that a crash or a hang cleans up as well.
 *
 * Where live tests can't be run (no root, no namespaces, no veth), each is reported as
 * `skipped: NAME: REASON` and the program succeeds. $LIVE_TEST, a pattern of names, picks tests,
 * $LIVE_TEST_SKIP leaves some out.
 */
#ifndef TESTS_LIVE_HARNESS_H
#define TESTS_LIVE_HARNESS_H

/* cmocka.h wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "daemon/cleanup.h"
#include "tests/live/netns.h"

#define live_test(function) cmocka_unit_test_setup_teardown(function, live_begin, live_end)

/* Returns what main() shall return. */
#define live_run(group, tests, seconds) \
	live_run_tests(group, tests, sizeof(tests) / sizeof((tests)[0]), seconds)

int live_run_tests(const char *group, const struct CMUnitTest *tests, size_t count,
		   unsigned int seconds);

int live_begin(void **state);
int live_end(void **state);

/* The test's folder: everybody may read it, and a socket's path in it is short enough. */
const char *live_folder(void);

/* Zeroed memory that the test's children share with it; it lasts as long as the program. */
void *live_shared(size_t size);

/* Skips the test, naming it and the reason, unless the condition holds. */
#define require(condition, ...)                                   \
	do {                                                      \
		if (!(condition)) {                               \
			print_message("skipped: %s: ", __func__); \
			print_message(__VA_ARGS__);               \
			print_message("\n");                      \
			skip();                                   \
		}                                                 \
	} while (0)

#define require_root() require(geteuid() == 0, "needs root")

/* What traffic.h needs; include it too. */
#define require_live_frames()                                                      \
	do {                                                                       \
		int probed_ = traffic_probe();                                     \
		require(probed_ == 0, "the kernel can't send live XDP frames: %s", \
			strerror(-probed_));                                       \
	} while (0)

/* A CPU for each: a sender that keeps one busy starves a receiver on the same. */
#define require_cpus(count) \
	require(live_cpus() >= (count), "needs %d CPUs, there are %d", count, live_cpus())

int live_cpus(void);

/* For functions that return 0 or a count, or -errno: fails with the error's name. Gives the result. */
#define assert_ok(call)                                                     \
	({                                                                  \
		long result_ = (long)(call);                                \
		if (result_ < 0)                                            \
			fail_msg("%s: %s", #call, strerror((int)-result_)); \
		result_;                                                    \
	})

#define assert_error(call, code)                                                    \
	({                                                                          \
		long result_ = (long)(call);                                        \
		if (result_ != -(code))                                             \
			fail_msg("%s: %s instead of %s", #call,                     \
				 result_ < 0 ? strerror((int)-result_) : "success", \
				 strerror(code));                                   \
	})

/*
 * Waits until a condition holds, looking every millisecond; false if it does not within `timeout_ms`. The
 * condition is looked at once more after the time is over.
 */
#define wait_until(condition, timeout_ms)                                    \
	({                                                                   \
		uint64_t deadline_ = live_now_ms() + (uint64_t)(timeout_ms); \
		bool late_ = false, holds_;                                  \
		while (!(holds_ = (condition)) && !late_) {                  \
			late_ = live_now_ms() >= deadline_;                  \
			live_sleep_ms(1);                                    \
		}                                                            \
		holds_;                                                      \
	})

#define assert_becomes(condition, timeout_ms)                                            \
	do {                                                                             \
		if (!wait_until(condition, timeout_ms))                                  \
			fail_msg("not within %d ms: %s", (int)(timeout_ms), #condition); \
	} while (0)

uint64_t live_now_ms(void);
uint64_t live_now_us(void);
void live_sleep_ms(unsigned int ms);

#endif
