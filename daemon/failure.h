/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why something could not be had: an errno for programs and one sentence for people, which names the
 * interface and queue, the errno and the next step. Modules fill it in and return; whoever answers the
 * request or runs the plan says it, once.
 */
#ifndef DAEMON_FAILURE_H
#define DAEMON_FAILURE_H

#include <stdarg.h>
#include <stdio.h>

#include "client/xdpd_protocol.h"

struct failure {
	int code; /* errno, positive */
	char text[XDPD_REASON_MAX];
};

/* Returns -code, so that `return failure(why, EBUSY, "...")` is a function's last word. `why` may be NULL. */
__attribute__((format(printf, 3, 4))) static inline int failure(struct failure *why, int code,
								const char *format, ...)
{
	if (why) {
		va_list args;

		why->code = code;
		va_start(args, format);
		(void)vsnprintf(why->text, sizeof(why->text), format, args);
		va_end(args);
	}
	return -code;
}

#endif
