/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who gets which frames of a queue with shared delivery, at one moment: made whole by the main thread, never
 * changed, and taken over by the worker between two bursts.
 *
 * A member has a slot, its bit in the ledger; a group has a bit, its place in the masks that the XDP program
 * writes. Within a group a flow's hash names a bucket and the bucket names a member, by rendezvous hashing: of all
 * members the one whose hash with the bucket is greatest has it. So who joins takes buckets from all and no others
 * move, and who leaves gives back only its own.
 */
#ifndef DAEMON_ROSTER_H
#define DAEMON_ROSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/xdpd_bpf.h"

#define ROSTER_MEMBERS 64
#define ROSTER_BUCKETS 1024 /* a power of two */

struct handoff_member;

struct roster {
	struct roster *older; /* the main thread's list of those that the worker may still read */
	uint64_t generation;
	uint64_t members;			       /* slots in use, a bit each */
	uint64_t taps;				       /* those of them that are lent nothing */
	struct handoff_member *member[ROSTER_MEMBERS]; /* by slot; NULL: not in use */

	/*
	 * Whether frames are marked with groups and hash. Where they are not, or a frame was on its way before, everyone
	 * in `unmarked` gets it: the one member of each group, as more would have needed the mark.
	 */
	bool classified;
	uint32_t epoch; /* of the marks that count */
	uint64_t unmarked;

	uint32_t groups;				 /* with members, a bit each */
	uint8_t choice[XDPD_GROUPS_MAX][ROSTER_BUCKETS]; /* by group and bucket: a slot */
};

/* One member, for roster_choose(). */
struct roster_candidate {
	uint8_t slot;
	uint64_t
		key; /* its own as long as it stays, and not another's: what its place in the hashing follows from */
};

/* Fills in a group's buckets. `n` is at least 1. */
void roster_choose(uint8_t choice[ROSTER_BUCKETS], const struct roster_candidate *candidates,
		   uint32_t n);

#endif
