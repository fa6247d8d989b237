// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/roster.h"

/* The finalizer of MurmurHash3, of which each bit of the input changes each bit of the output with about even odds. */
static uint64_t mix(uint64_t value)
{
	value ^= value >> 33;
	value *= 0xff51afd7ed558ccdull;
	value ^= value >> 33;
	value *= 0xc4ceb9fe1a85ec53ull;
	return value ^ value >> 33;
}

void roster_choose(uint8_t choice[ROSTER_BUCKETS], const struct roster_candidate *candidates,
		   uint32_t n)
{
	for (uint32_t bucket = 0; bucket < ROSTER_BUCKETS; bucket++) {
		uint64_t greatest = 0;

		for (uint32_t i = 0; i < n; i++) {
			uint64_t weight = mix(candidates[i].key + bucket * 0x9e3779b97f4a7c15ull);

			if (i == 0 || weight > greatest) {
				greatest = weight;
				choice[bucket] = candidates[i].slot;
			}
		}
	}
}
