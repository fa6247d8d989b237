/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the receivers whose latency is compared have in common: each frame's age when it is in hand, by the time that
 * the generator has written into it. By SIGUSR1 a receiver says what it has had since the last one.
 */
#ifndef TESTS_BENCH_LATENCY_H
#define TESTS_BENCH_LATENCY_H

#include <endian.h>

#include "tests/bench/clock.h"
#include "tests/bench/histogram.h"
#include "tests/bench/receiver.h"

#define LATENCY_TIME_AT 42 /* in a frame, u64 in network order [tests/live/traffic.h] */

struct latency {
	struct receiver receiver;
	struct histogram histogram;
};

static volatile sig_atomic_t latency_asked;

static inline void latency_ask(int signal_number)
{
	(void)signal_number;
	latency_asked = 1;
}

static inline void latency_begin(struct latency *latency, int argc, char **argv)
{
	struct sigaction action = {.sa_handler = latency_ask};

	latency->receiver = receiver_begin(argc, argv);
	histogram_clear(&latency->histogram);
	(void)sigaction(SIGUSR1, &action, NULL);
}

static inline void latency_take(struct latency *latency, const void *frame, uint32_t length)
{
	uint64_t sent;

	if (length < LATENCY_TIME_AT + sizeof(sent))
		return;
	memcpy(&sent, (const char *)frame + LATENCY_TIME_AT, sizeof(sent));
	histogram_add(&latency->histogram, clock_now() - be64toh(sent));
	latency->receiver.frames++;
}

static inline void latency_tell_if_asked(struct latency *latency)
{
	if (!latency_asked)
		return;
	latency_asked = 0;
	histogram_print(&latency->histogram, "age");
	histogram_clear(&latency->histogram);
}

#endif
