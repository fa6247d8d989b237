/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a supervised daemon holds, and what is kept for it, with nothing under way: for tests that let nothing grow. All
 * functions fail the test when something is not as it should be.
 */
#ifndef TESTS_LIVE_HOLDINGS_H
#define TESTS_LIVE_HOLDINGS_H

#include <stdint.h>

#include "tests/live/footprint.h"

struct instance;

struct holdings {
	struct footprint footprint;
	uint64_t kept; /* fds in the store */
};

/* Waits until two looks see the same. */
struct holdings holdings_at_rest(const struct instance *daemon);

/* Of fds, BPF objects and locked memory there is as much as before, and of other memory at most a megabyte more. */
void holdings_have_not_grown(const struct holdings *before, const struct holdings *after);

#endif
