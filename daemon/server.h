/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: sessions with consumers and administrators. What a session may hold is bounded by the
 * quotas of its uid, a message at a time is taken from each, and nothing that a peer does blocks the daemon:
 * one that does not read what it is sent is disconnected.
 */
#ifndef DAEMON_SERVER_H
#define DAEMON_SERVER_H

#include <stdint.h>

#include "client/xdpd_protocol.h"
#include "daemon/daemon.h"
#include "daemon/failure.h"

struct server;

/*
 * Listens on `listen_fd` (from socket activation, taken over; its path is then somebody else's to remove), or,
 * if that is -1, on the config's path. Returns 0 or -errno with a sentence: -EADDRINUSE (another xdpd).
 */
int server_start(struct server **ret, struct daemon *daemon, int listen_fd, struct failure *why);

/* Disconnects all and removes the socket that it made. NULL is fine. Returns NULL. */
struct server *server_stop(struct server *server);

/* To subscribers, and to consumers of that queue or interface. The header is filled in here. */
void server_broadcast(struct server *server, const struct xdpd_event *event);

void server_count(const struct server *server, uint64_t requests[REQUEST_COUNT],
		  uint64_t failures[REQUEST_COUNT], uint32_t *sessions);

#endif
