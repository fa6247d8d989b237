/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many members of a queue with shared delivery in one process without rights, which does one random thing after the
 * other with one of them: joins a random group in a random way, or only half; leaves in any state; breaks the rules;
 * sends; keeps frames for a while; says that it sleeps. All of them take what they get meanwhile.
 */
#ifndef TESTS_LIVE_CROWD_H
#define TESTS_LIVE_CROWD_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/live/protocol.h"

#define CROWD_SEATS  20
#define CROWD_GROUPS 6

extern const char *const crowd_groups[CROWD_GROUPS];

/* In memory that it shares with the test. */
struct crowd {
	struct protocol_target target; /* the name gets the seat's number */
	uint64_t seed;
	int stop; /* it ends with all that it has */

	uint64_t steps;		/* the sum of the next five and the violations */
	uint64_t joins, halves; /* whole ones, and those that stopped before READY was answered */
	uint64_t refused;	/* as the config or the quota says */
	uint64_t leaves, cuts;	/* said goodbye, or hung up */
	uint64_t violations, told; /* broke the rules; was told so */
	uint64_t revoked;	   /* for another reason */
	uint64_t received, sent;
	char failure[XDPD_REASON_MAX]; /* what should not have happened; "" */
};

/* For struct child_options' `call`: 0, or 1 with `failure`. */
int crowd_run(void *crowd);

#endif
