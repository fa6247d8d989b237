/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state's form in its memfd [state.h].
 *
 *     0                        4096
 *     | magic | slot A | slot B |   records of one   |      | records of the other |
 *                `- generation, version, where its records are, checksums of them and of itself
 *
 * This much is the same in every version, so that a reader can tell a newer one. All integers are the machine's: no
 * other reads it.
 *
 * Records follow one another without padding: kind, length of what follows, and that. What belongs to something comes
 * after it and before the next of its kind: rules after their interface, groups and consumers after their queue.
 */
#ifndef DAEMON_STATE_FORMAT_H
#define DAEMON_STATE_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/state.h"

#define STATE_MAGIC	   UINT64_C(0x7461747364706478) /* "xdpdstat" */
#define STATE_RECORDS_FROM 4096 /* a page: the slots in one, so that each is written at once */

struct state_slot {
	uint64_t generation; /* from 1 on; 0: nothing was written to it yet */
	uint32_t version;
	uint32_t zero;
	uint64_t offset, length; /* of its records, in bytes from the memfd's start */
	uint64_t records_checksum;
	uint64_t zero64[2];
	uint64_t checksum; /* of all before it */
};

struct state_header {
	uint64_t magic;
	uint64_t zero[7];
	struct state_slot slots[2];
};

enum state_kind {
	STATE_DAEMON = 1, /* struct saved_daemon up to `disconnects` */
	/* Its arrays, whose lengths are enumerations' that can grow. */
	STATE_DISCONNECTS = 2,
	STATE_VIOLATIONS = 3,
	STATE_REQUESTS = 4,
	STATE_REQUEST_FAILURES = 5,
	STATE_RUNNING = 6, /* text, not terminated */
	STATE_FILE = 7,	   /* likewise */
	STATE_INTERFACE = 8,
	STATE_RULE = 9,
	STATE_TOTALS = 10,
	STATE_QUEUE = 11,
	STATE_GROUP = 12,
	STATE_CONSUMER = 13,
	STATE_KINDS,
};

struct state_record {
	uint32_t kind; /* enum state_kind */
	uint32_t length;
};

#define STATE_DAEMON_LENGTH offsetof(struct saved_daemon, disconnects)

/* A struct that changes other than by members at its end is another version's, and so is a constant within it. */
static_assert(STATE_DAEMON_LENGTH == 40, "version 1");
static_assert(offsetof(struct saved_interface, groups) == 88, "version 1");
static_assert(offsetof(struct saved_rule, groups) == 1048, "version 1");
static_assert(offsetof(struct saved_totals, verdicts) == 96, "version 1");
static_assert(offsetof(struct saved_queue, generation) == 112, "version 1");
static_assert(offsetof(struct saved_queue, violations) == 200, "version 1");
static_assert(offsetof(struct saved_group, transmit_bytes) == 88, "version 1");
static_assert(offsetof(struct saved_consumer, group) == 88, "version 1");
static_assert(offsetof(struct saved_consumer, overrun) == 136, "version 1");
static_assert(XDPD_DEVICE_MAX == 16 && XDPD_NAME_MAX == 32 && XDPD_REASON_MAX == 256 &&
		      XDPD_GROUPS_MAX == 32,
	      "version 1");

/* Bytes of all records. */
size_t state_encoded_length(const struct state *state);

/* Writes and returns as many; fewer if `parents` are not sorted or name what is not there. */
size_t state_encode(const struct state *state, unsigned char *bytes);

/*
 * Whether all in it is within its limits, and told apart from its like. Clears what is behind the end of a text, and
 * raises `last_key` to the greatest key. Returns 0 or -errno: -EBADMSG, -ENOMEM.
 */
int state_check(struct state *state);

#endif
