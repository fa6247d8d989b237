/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory that a shared queue's hand-off lives in: a memfd that only the daemon maps, so that it outlives the
 * process in the service manager's store and the next one can take up the work [handoff_recover()].
 *
 *     | magic, layout, sizes | struct handoff | struct handoff_member, LEDGER_MEMBERS of them
 *     | by frame: handoff's arrays | by member and RX entry: what it received |
 *
 * Pointers in it are those of the process that wrote them, and set anew by whoever takes it up; all else goes on. The
 * layout is that of the program: another one's can be taken up only if it has the same LEDGER_LAYOUT.
 *
 * There are more places for members than a queue has slots, as one that has left keeps its own until the worker has let
 * go of it.
 */
#ifndef DAEMON_LEDGER_H
#define DAEMON_LEDGER_H

#include <stdint.h>

#include "daemon/handoff.h"

/* Grows with every change of struct handoff, struct handoff_member or the arrays. */
#define LEDGER_LAYOUT 3

#define LEDGER_MEMBERS (2 * ROSTER_MEMBERS)

struct ledger_content {
	uint64_t magic;
	uint32_t layout;
	uint32_t frames, receive_frames, frame_size;
	uint64_t size; /* of all of it */
	struct handoff handoff;
	struct handoff_member members[LEDGER_MEMBERS];
};

struct ledger {
	int fd; /* -1: none */
	struct ledger_content *content;
	size_t length;
	uint64_t used[LEDGER_MEMBERS / 64]; /* places that are taken, a bit each */
};

#define LEDGER_NONE ((struct ledger){.fd = -1})

/* For frames as in `memory`; all zero but for the sizes. Ends with ledger_close(). Returns 0 or -errno. */
int ledger_create(struct ledger *ret, const struct handoff_memory *memory);

/* One like this is likely to be created, and shall be sooner [spare.h]. */
void ledger_expect(const struct handoff_memory *memory);

/*
 * One that was left, for the same frames: takes the fd over (it is closed if this fails), which may be any fd. Returns
 * 0, or -EBADMSG (not a ledger, or of other frames), -EPROTONOSUPPORT (of another layout), -errno.
 */
int ledger_open(struct ledger *ret, int fd, const struct handoff_memory *memory);

/* For a LEDGER_NONE too; leaves LEDGER_NONE. */
void ledger_close(struct ledger *ledger);

/* Where handoff_memory.arrays are. */
void *ledger_arrays(const struct ledger *ledger);

/* A place for a member, zeroed; NULL: none is left. Ends with ledger_release(). */
struct handoff_member *ledger_reserve(struct ledger *ledger);

/* The place of a member that was there before; NULL: there is no such place, or it is taken. */
struct handoff_member *ledger_reclaim(struct ledger *ledger, uint32_t place);

void ledger_release(struct ledger *ledger, struct handoff_member *member);

uint32_t ledger_place(const struct ledger *ledger, const struct handoff_member *member);

#endif
