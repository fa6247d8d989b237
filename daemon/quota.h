/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every limit that a peer can push against, per uid: nobody can use up what the daemon needs to serve others.
 * Requests under way are one a connection, and an exclusive queue has one attachment, so both are bounded by
 * the connections. On a queue with shared delivery a uid other than 0 has at most half of the members, and half of
 * the groups that no config names; a member's memory is bounded by its rings' sizes
 * and the UMEM's frames.
 *
 * Connections, where Q is the number of queues and N the process's RLIMIT_NOFILE:
 *
 *     of one uid     64 + 2 Q              it can hold every queue, and reconnect before the old ends are seen
 *     of all         N - (64 + 10 Q)       what is left when each queue can be replaced; N / 4 if that is more
 *     of uid 0       as of all             no limit of its own, and the last 32 are for it alone
 */
#ifndef DAEMON_QUOTA_H
#define DAEMON_QUOTA_H

#include <stddef.h>
#include <sys/types.h>

#include "daemon/failure.h"

#define QUOTA_CONNECTIONS	    64
#define QUOTA_CONNECTIONS_PER_QUEUE 2
#define QUOTA_CONNECTIONS_OF_ROOT   32

/* What the daemon itself opens: the HTTP clients, maps and programs; and the sockets and UMEMs of a queue, old and new. */
#define QUOTA_FDS	    64
#define QUOTA_FDS_PER_QUEUE 10

/* An event is one send() to each subscriber, on the thread that serves all. */
#define QUOTA_SUBSCRIPTIONS 16

/* Bytes that wait to be read by one uid's connections: the longest listing some times over. */
#define QUOTA_QUEUED_BYTES (16u << 20)

#define QUOTA_MEMBERS 32 /* of ROSTER_MEMBERS */
#define QUOTA_GROUPS  16 /* of XDPD_GROUPS_MAX */

struct quota_user {
	uid_t uid;
	size_t connections;
	size_t subscriptions;
	size_t queued_bytes;
};

struct quota {
	size_t fds; /* that the process may open */
	size_t connections;
	struct quota_user **users; /* those with a connection */
	size_t n_users;
};

/* Reads RLIMIT_NOFILE, which the process has set by then. */
void quota_init(struct quota *quota);

/* All connections have ended. */
void quota_clear(struct quota *quota);

/*
 * A connection more while there are that many queues. Returns 0 and the user, to be given back by
 * quota_disconnect(); or with a sentence -EUSERS (too many), -ENOMEM.
 */
int quota_connect(struct quota *quota, uid_t uid, size_t queues, struct quota_user **ret,
		  struct failure *why);

void quota_disconnect(struct quota *quota, struct quota_user *user);

/* Returns 0, or -EUSERS with a sentence and nothing was charged. */
int quota_subscribe(struct quota_user *user, struct failure *why);

void quota_unsubscribe(struct quota_user *user);

/* Returns 0, or -EDQUOT and nothing was charged. */
int quota_queue(struct quota_user *user, size_t bytes);

void quota_unqueue(struct quota_user *user, size_t bytes);

#endif
