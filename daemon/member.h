/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory and the bell of one member of a queue with shared delivery. Both memfds are made, sized, mapped and
 * sealed here, and the daemon maps nothing that a member made.
 *
 *     its own memfd, mapped for writing by both sides
 *     | account | RX ring (hold) | fill ring (hold) | TX, completion rings | frames to transmit |
 *
 *     a tap's RX ring, in a memfd of which the tap gets a description that can only be read
 *     | RX ring |
 *
 * Each ring begins on a page: producer, consumer and flags on a cache line each, then the entries.
 */
#ifndef DAEMON_MEMBER_H
#define DAEMON_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "client/xdpd_protocol.h"
#include "config/config.h"
#include "daemon/handoff.h"
#include "daemon/umem.h"

struct attachment;
struct ledger;

#define MEMBER_FDS 4 /* that its grant may have */

enum member_state {
	MEMBER_GRANTED, /* it has its fds */
	MEMBER_JOINING, /* in a roster that the worker has not adopted yet */
	MEMBER_RUNNING,
};

struct member {
	struct handoff_member *handoff; /* the worker's from the first roster on */
	struct ledger *ledger;		/* that it lies in; NULL: in memory of its own */
	struct member *next;		/* of those that the worker may still touch */
	uint64_t until;			/* the generation that is the first without it */

	struct attachment *attachment; /* NULL: it has left */
	bool reads_on;		       /* not by itself: it may be reading what has arrived */
	enum member_state state;
	uint32_t slot, group;
	uint64_t key; /* never another member's */
	bool tap;

	int fd, tap_fd, tap_read_only_fd; /* -1: none */
	int consumer_socket; /* the consumer's end of the bell, until it is handed over */
	unsigned char *memory, *tap_memory;
	size_t length, tap_length;
	struct xdpd_account *account; /* in `memory`: shown, never acted on */
	uint64_t overrun_seen;	      /* of the account, as it was last believed */
	struct xdpd_grant places;     /* regions and rings, as they will be granted */
};

struct member_options {
	bool tap, transmit;
	const struct ring_sizes *rings;
	uint32_t frames; /* of the UMEM */
	uint32_t frame_size;
	uint32_t quota;
	struct ledger *
		ledger; /* that outlives it and keeps a place for it; NULL: none needs to be found again */
};

/* Owned by the caller, ends with member_free(). Returns 0 or -errno: -ENOMEM, -EMFILE. */
int member_create(struct member **ret, const struct member_options *options);

/* One like this is likely to be created, and shall be sooner [spare.h]. */
void member_expect(const struct member_options *options);

/* What another process made of a member, and left. */
struct member_remains {
	int fd, tap_fd, socket_fd; /* tap_fd -1: none */
	uint32_t place;		   /* in the ledger */
	uint64_t key, overrun;
};

void member_close_remains(const struct member_remains *remains);

/*
 * One that was there before, with the same options: takes the fds over (they are closed if this fails). Its rings go on
 * where they were. Returns 0 or -errno: -EBADMSG (not its memory, or its place is no such).
 */
int member_adopt(struct member **ret, const struct member_options *options,
		 const struct member_remains *remains);

/*
 * Fills in the grant and its fds, which stay the daemon's: the UMEM's (for writing if `writable`, else for reading
 * alone, as a tap in any case), the member's, its end of the bell and a tap's ring. Returns how many.
 */
size_t member_describe_grant(struct member *member, const struct umem *umem, bool writable,
			     struct xdpd_grant *ret, int fds[MEMBER_FDS]);

/* The grant was sent: the consumer's end of the bell is its own from here on. */
void member_handed_over(struct member *member);

/* Frames that a tap says it lost: bounded by what it was given. 0 for others. */
uint64_t member_overrun(struct member *member);

/*
 * Its memory is given back by `event` in a while, as it may be reading what has arrived, or at once if that is NULL
 * [sealed.h]. NULL is fine. Returns NULL.
 */
struct member *member_free(struct member *member, sd_event *event);

#endif
