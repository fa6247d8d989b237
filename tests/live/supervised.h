/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdpd run by xdpd-supervise, which keeps its fds: it can die and go on. It is an instance [instance.h] whose child is
 * the supervisor: instance_stop() ends both, instance_reload() and instance_notifies() are not for it.
 *
 *     struct instance *daemon = supervised_start(config);
 *     ...
 *     supervised_dies(daemon, SIGKILL);
 *     ...
 *     supervised_stop(daemon);
 *
 * Where $XDPD_UNIT is set, it is systemd that runs it, as its xdpd.service: then the instance has no child [unit.h].
 *
 * All functions fail the test when something is not as it should be.
 */
#ifndef TESTS_LIVE_SUPERVISED_H
#define TESTS_LIVE_SUPERVISED_H

#include <stdint.h>
#include <sys/types.h>

#include "tests/live/instance.h"

/* As the supervisor, or systemd, tells it. */
struct supervised {
	char state[16];
	pid_t pid; /* the daemon's; 0: it does not run */
	uint64_t restarts;
	uint64_t fds; /* that it keeps */
	uint64_t refused;
	uint64_t started_us, ready_us; /* of the process, by CLOCK_MONOTONIC; 0: the supervisor does not tell */
};

/* Returns when it is ready. */
struct instance *supervised_start(const char *config);

struct supervised supervised_look(const struct instance *daemon);

/* Returns when it is ready after so many restarts at least. */
void supervised_awaits(const struct instance *daemon, uint64_t restarts);

/* By SIGUSR1 to the supervisor, or `systemctl restart`. Returns when the next process is ready. */
void supervised_restart(const struct instance *daemon);

/* By this signal to the daemon. Returns when the next process is ready. */
void supervised_dies(const struct instance *daemon, int signal);

/* SIGTERM to the supervisor, or `systemctl stop`; all end with 0, and nothing is kept. Returns the milliseconds; frees the instance. */
uint64_t supervised_stop(struct instance *daemon);

#endif
