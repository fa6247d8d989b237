/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon as it is now, in the form in which it is left to the next process. */
#ifndef DAEMON_KEEP_CAPTURE_H
#define DAEMON_KEEP_CAPTURE_H

#include "daemon/state.h"

struct daemon;

/* Starts as {}; ends with capture_clear(). Its memory serves one capture after the other. */
struct capture {
	struct state state; /* its arrays are the capture's; its texts the daemon's */
	struct {
		size_t interfaces, rules, totals, queues, groups, consumers;
	} room;
};

/* `*ret` is valid until the next call or change. Returns 0 or -ENOMEM. */
int capture_take(struct capture *capture, struct daemon *daemon, const struct state **ret);

void capture_clear(struct capture *capture);

#endif
