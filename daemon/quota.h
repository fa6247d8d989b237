/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every limit that a peer can push against, per uid: nobody can use up what the daemon needs to serve others.
 * Requests under way are one a connection, and an exclusive queue has one attachment, so both are bounded by
 * the connections.
 */
#ifndef DAEMON_QUOTA_H
#define DAEMON_QUOTA_H

#include <stddef.h>
#include <sys/types.h>

/* Bytes that wait to be read by one uid's connections: the longest listing some times over. */
#define QUOTA_QUEUED_BYTES (16u << 20)

struct quota_user {
	uid_t uid;
	size_t connections;
	size_t queued_bytes;
};

struct quota {
	size_t connections_per_uid;
	struct quota_user **users; /* those with a connection */
	size_t n_users;
};

/* The limit on connections is a quarter of the fds that the process may open. */
void quota_init(struct quota *quota);

/* All connections have ended. */
void quota_clear(struct quota *quota);

/* Returns 0 and the user, to be given back by quota_disconnect(); -EUSERS (too many), -ENOMEM. */
int quota_connect(struct quota *quota, uid_t uid, struct quota_user **ret);

void quota_disconnect(struct quota *quota, struct quota_user *user);

/* Returns 0, or -EDQUOT and nothing was charged. */
int quota_queue(struct quota_user *user, size_t bytes);

void quota_unqueue(struct quota_user *user, size_t bytes);

#endif
