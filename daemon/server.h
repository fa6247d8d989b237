/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: sessions with consumers and administrators. What a session may hold is bounded by the
 * quotas of its uid, a message at a time is taken from each, and nothing that a peer does blocks the daemon:
 * one that does not read what it is sent is disconnected.
 */
#ifndef DAEMON_SERVER_H
#define DAEMON_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "client/xdpd_protocol.h"
#include "daemon/daemon.h"
#include "daemon/failure.h"

struct server;
struct session;

/*
 * Listens on `listen_fd` (taken over), or, if that is -1, on the config's path. `owns_path`: the file is the daemon's to
 * remove at its end, not a service manager's; of a `listen_fd`, whether another process of this daemon made it. Returns 0 or -errno with a sentence: -EADDRINUSE (another xdpd).
 */
int server_start(struct server **ret, struct daemon *daemon, int listen_fd, bool owns_path,
		 struct failure *why);

/* Disconnects all and removes the socket that it made. NULL is fine. Returns NULL. */
struct server *server_stop(struct server *server);

/*
 * A connection that another process had: takes it over (it is closed if this fails), as one that has said hello under
 * this name and has nothing under way. Returns 0 or -errno.
 */
int server_adopt(struct server *server, int fd, const char *name, struct session **ret);

/* One that can't be gone on with: tells it why, also over its user's quotas, and closes it. Takes the fd. */
void server_dismiss(int fd, const char *why);

/* The listening socket, and whether its file is the daemon's to remove. */
int server_fd(const struct server *server);
bool server_owns_path(const struct server *server);

/* The counters go on from those of another process. */
void server_adopt_counts(struct server *server, const uint64_t requests[REQUEST_COUNT],
			 const uint64_t failures[REQUEST_COUNT]);

/* To subscribers, and to consumers of that queue or interface. The header is filled in here. */
void server_broadcast(struct server *server, const struct xdpd_event *event);

void server_count(const struct server *server, uint64_t requests[REQUEST_COUNT],
		  uint64_t failures[REQUEST_COUNT], uint32_t *sessions);

#endif
