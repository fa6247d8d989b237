/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers that can be had again from their seed. */
#ifndef TESTS_LIVE_RANDOM_H
#define TESTS_LIVE_RANDOM_H

#include <stdint.h>

/* One of [0, limit). */
static inline uint32_t random_below(uint64_t *state, uint32_t limit)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33) % limit;
}

#endif
