/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program's log: to the journal with fields (XDPD_DEVICE, XDPD_QUEUE, XDPD_CONSUMER) when stderr is
 * connected to it [$JOURNAL_STREAM], else plain lines on stderr. Only the program logs, never library code:
 * once per event, with what was tried, on what, and what to do. Main thread only.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stdint.h>
#include <syslog.h>

/* Messages above `level` (LOG_ERR ... LOG_DEBUG) are dropped. */
void log_open(int level);

struct log_context {
	const char *device;   /* NULL: none */
	const char *consumer; /* NULL: none */
	uint32_t queue;	      /* UINT32_MAX: none */
};

#define LOG_NOTHING ((struct log_context){.queue = UINT32_MAX})

__attribute__((format(printf, 3, 4))) void log_write(int priority, struct log_context about,
						     const char *format, ...);

#define log_debug(...)	 log_write(LOG_DEBUG, LOG_NOTHING, __VA_ARGS__)
#define log_info(...)	 log_write(LOG_INFO, LOG_NOTHING, __VA_ARGS__)
#define log_notice(...)	 log_write(LOG_NOTICE, LOG_NOTHING, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, LOG_NOTHING, __VA_ARGS__)
#define log_error(...)	 log_write(LOG_ERR, LOG_NOTHING, __VA_ARGS__)

#endif
