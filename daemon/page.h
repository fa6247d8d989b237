/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A snapshot of the daemon -> one HTML page for a person: the interfaces, their queues, the consumers. The
 * page loads nothing, runs no script and refreshes itself.
 */
#ifndef DAEMON_PAGE_H
#define DAEMON_PAGE_H

#include <stdint.h>

#include "daemon/status.h"
#include "daemon/text.h"

/* Replaces what is in `out`; `now` is in seconds since the epoch. Returns 0 or -ENOMEM. */
int page_render(struct text *out, const struct status *status, uint64_t now);

#endif
