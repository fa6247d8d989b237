/* SPDX-License-Identifier: BSD-2-Clause */
/* What one thread of a process did so far. */
#ifndef TESTS_LIVE_ACTIVITY_H
#define TESTS_LIVE_ACTIVITY_H

#include <stdint.h>
#include <sys/types.h>

struct activity {
	uint64_t ticks, wake_ups;
};

/* A thread that is not there fails the test. */
struct activity activity_of(pid_t pid, pid_t tid);

#endif
