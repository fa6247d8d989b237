/* SPDX-License-Identifier: BSD-2-Clause */
/* What a struct share is, for the files that it is in: share, share_describe and share_saved. */
#ifndef DAEMON_SHARE_INTERNAL_H
#define DAEMON_SHARE_INTERNAL_H

#include "daemon/interface.h"
#include "daemon/ledger.h"
#include "daemon/member.h"
#include "daemon/queue.h"
#include "daemon/share.h"
#include "daemon/worker.h"

struct group_totals {
	uint64_t receive_packets, receive_bytes, dropped_ring_full, dropped_quota, overrun;
	uint64_t transmit_packets, transmit_bytes;
};

struct group {
	char name[XDPD_NAME_MAX];	   /* empty: the bit is free */
	const struct config_group *config; /* NULL: made by attaching */
	uint32_t members;		   /* attached */
	uint32_t references;		   /* and those that the worker may still touch */
	struct group_totals totals;	   /* of members that are gone */
};

/* Not a bit: where a group goes whose bit the config needs. Its members are revoked. */
#define LIMBO XDPD_GROUPS_MAX

struct share {
	struct queue *queue;
	struct group groups[XDPD_GROUPS_MAX + 1]; /* by bit, and LIMBO */
	struct member *members[ROSTER_MEMBERS];	  /* by slot */
	uint32_t n_members;
	struct member *leaving;

	struct ledger
		ledger; /* what its members and its worker live in; NONE: nobody is attached */
	struct worker *worker;	       /* NULL: nobody is attached, or it could not be started */
	struct config_worker settings; /* that it was told */
	sd_event_source *news;
	unsigned char *umem; /* mapped while the worker runs */
	size_t umem_length;

	struct roster *roster; /* the last that was published; NULL: none */
	struct roster *older;  /* that the worker may still read */
	uint64_t generation;
	uint32_t epoch;
	bool stale; /* members have changed since */
	bool moved; /* a group has another bit since: what marks of before say is not true any more */

	bool renewed;	  /* the socket is another than the one that the ledger tells of */
	uint64_t arrived; /* on that one, and was not dropped by the kernel */

	bool redirected;	      /* the socket is in its slot */
	struct xdpd_bpf_queue record; /* as the program has it */

	/* of workers that have ended */
	struct xdpd_worker_record past;
	struct worker_transmitted transmitted;
	uint64_t violations;
};

static inline const char *device_of(const struct share *share)
{
	return share->queue->interface->name;
}

/* [share.c] The bit of a group of that name; XDPD_GROUPS_MAX: none. */
uint32_t share_find_group(const struct share *share, const char *name);

/* [share.c] As configured, or as large as the kernel's needs leave. */
uint32_t share_quota_of(const struct share *share, const struct group *group);

/* [share.c] Takes the socket out of its slot. */
void share_stop_redirecting(struct share *share);

/* [share.c] Starts the worker, anew or (`recover`) with what is in the ledger. Returns 0 or -errno with a sentence. */
int share_start_worker(struct share *share, bool recover, struct failure *why);

#endif
