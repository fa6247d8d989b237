/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A snapshot of the daemon -> the text that Prometheus scrapes. Pure: no kernel, no HTTP. Every metric's name,
 * help, type, unit, labels and value stand in the one table of metrics.c.
 */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include "daemon/process.h"
#include "daemon/status.h"
#include "daemon/text.h"

enum metrics_format {
	METRICS_TEXT,	     /* Prometheus text 0.0.4 */
	METRICS_OPENMETRICS, /* OpenMetrics 1.0 */
};

extern const char *const metrics_content_type[]; /* by enum metrics_format */

/* Replaces what is in `out`. Returns 0 or -ENOMEM, then `out` is not to be shown. */
int metrics_render(struct text *out, const struct status *status,
		   const struct process_usage *process, enum metrics_format format);

#endif
