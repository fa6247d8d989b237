/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A consumer's grant of a queue, from the moment that it is handed the fds until its end. Its connection is
 * the lease: the session that owns it ends it.
 */
#ifndef DAEMON_ATTACHMENT_H
#define DAEMON_ATTACHMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-event.h>

#include "client/xdpd_protocol.h"
#include "config/config.h"
#include "daemon/failure.h"
#include "daemon/status.h"

struct attachment;
struct member;
struct peer;
struct queue;

/* How the attachment speaks to the session that holds it. */
struct attachment_owner {
	void *context;
	/* attachment_start() is through: frames flow (`why` NULL), or the attachment has ended. */
	void (*started)(void *context, const struct failure *why);
	/* Whether the peer may (still) attach where these may. */
	bool (*allowed)(void *context, const struct access_list *who);
	/* It was ended by the daemon; the attachment is gone when this returns. */
	void (*revoked)(void *context, int code, const char *why);
	/* It will be ended a little later: no more frames come, those that are there can still be looked at. */
	void (*stopping)(void *context, const char *why);
	/* The connection that is its lease, which outlives the process with it. */
	int (*connection)(void *context);
};

struct attachment {
	struct queue *queue;
	struct attachment_owner owner;
	char name[XDPD_NAME_MAX];
	uid_t uid;
	pid_t pid;
	bool transmit;
	bool running;	   /* frames flow */
	uint64_t attached; /* seconds since the epoch */
	uint64_t receive_bytes_before, transmit_packets_before, transmit_bytes_before;
	sd_event_source
		*timer;	  /* while it starts: its time limit or next try; then: the sampling */
	uint64_t give_up; /* CLOCK_MONOTONIC, microseconds */
	uint64_t key;	  /* in the store; 0: it is not there */
	struct attachment *next; /* of the queue */
	struct member *member;	 /* shared delivery; NULL: exclusive */
	uint32_t starting; /* for the owner: the request that is answered when it runs; 0: it was */
};

#define ATTACHMENT_FDS 4 /* that a grant may have */

struct attachment_wish {
	const char *name;  /* the consumer's */
	const char *group; /* that it joins with shared delivery */
	uint32_t flags;	   /* enum xdpd_attach_flags */
};

/*
 * Grants the queue to a peer and fills in the message and its fds, which stay the daemon's and of which the message
 * says how many there are. The queue is READY, or ATTACHED with shared delivery. Returns 0 or -errno with a sentence:
 * -EACCES, -ENOMEM, -EOPNOTSUPP, -EUSERS.
 */
int attachment_grant(struct attachment **ret, struct queue *queue, const struct peer *peer,
		     const struct attachment_wish *wish, struct attachment_owner owner,
		     struct xdpd_grant *grant, int fds[ATTACHMENT_FDS], struct failure *why);

/* The grant is on its way: what was made for the consumer alone is closed here, and what it will need is begun. */
void attachment_handed_over(struct attachment *attachment);

/* The consumer has mapped the rings: binds if need be and lets frames flow. The owner hears of the outcome. */
void attachment_start(struct attachment *attachment);

/* [share.c] Its frames flow (`why` NULL), or can't. */
void attachment_joined(struct attachment *attachment, const struct failure *why);

/* The queue's settings may have changed: revokes it, and returns false, if its peer may not attach any more. */
bool attachment_recheck(struct attachment *attachment);

/* Ends it: slot cleared, fds closed, the queue made ready for the next. Does not call the owner. */
void attachment_end(struct attachment *attachment, enum detach_reason reason);

/* The same, and the owner is told why. */
void attachment_revoke(struct attachment *attachment, enum detach_reason reason, int code,
		       const char *why);

struct member_remains;
struct saved_consumer;

/* What the next process has to know of one that is running. */
void attachment_save(const struct attachment *attachment, struct saved_consumer *ret);

/*
 * Takes up one that another process had running, on a queue that was taken up. `remains` are a member's, with shared
 * delivery (its fds are closed if this fails). The owner is not told. Returns 0 or -errno.
 */
int attachment_adopt(struct attachment **ret, struct queue *queue, const struct peer *peer,
		     struct attachment_owner owner, const struct saved_consumer *saved,
		     const struct member_remains *remains);

void attachment_describe(struct attachment *attachment, struct xdpd_consumer_record *ret);

#endif
