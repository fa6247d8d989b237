/* SPDX-License-Identifier: BSD-2-Clause */
/* What the sessions need of their server. */
#ifndef DAEMON_SERVER_INTERNAL_H
#define DAEMON_SERVER_INTERNAL_H

#include <stdint.h>

struct server;

/* Doomed sessions are freed when the event loop comes round. */
void server_bury_later(struct server *server);

void server_count_request(struct server *server, uint16_t type);
void server_count_failure(struct server *server, uint16_t type);

#endif
