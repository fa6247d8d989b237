/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The metrics and the page over HTTP, on the daemon's event loop, without a thread:
 *
 *     /metrics   for Prometheus: text 0.0.4, or OpenMetrics 1.0 when the Accept header prefers it
 *     /          the page for a person
 *     /healthz   200 while the loop lives
 *     /readyz    200 when ready, else 503
 *
 * Clients are not trusted: a connection is one request and ends after 15 s, done or not; there is a limit of
 * them, in all and by address. Nothing that a client does, or does not, blocks the loop, and without
 * a connection no timer runs. They take turns with the sessions of the control socket: neither can starve the other.
 */
#ifndef DAEMON_HTTP_H
#define DAEMON_HTTP_H

#include <stdbool.h>

#include <systemd/sd-event.h>

#include "config/config.h"
#include "daemon/failure.h"
#include "daemon/status.h"

struct http;

/* Sets `*ret` to a fresh snapshot, which stays the callee's and valid until the next call; or -errno. */
typedef int (*http_collect)(void *context, const struct status **ret);

struct http_sources {
	http_collect collect;
	bool (*ready)(void *context);
	void *context;
};

/* Listens and serves from now on. Returns 0, or -errno with a sentence in `why`. */
int http_start(struct http **ret, sd_event *event, const struct config_metrics *where,
	       const struct http_sources *sources, struct failure *why);

/* Cuts what is under way. NULL is fine. Returns NULL. */
struct http *http_stop(struct http *http);

#endif
