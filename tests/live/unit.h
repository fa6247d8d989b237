/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdpd as xdpd.service of the real systemd, in a container that is there for that [tests/systemd/run]. Not called by
 * tests: supervised.h does all of this where $XDPD_UNIT is set.
 *
 * The unit is as it was installed, but for a drop-in: it runs in the test's network namespace, and any number of
 * starts is allowed. All functions fail the test when something is not as it should be.
 */
#ifndef TESTS_LIVE_UNIT_H
#define TESTS_LIVE_UNIT_H

#include <stdbool.h>

#include "tests/live/supervised.h"

bool unit_is_meant(void);

/* Starts it, and returns when it is ready. */
struct instance *unit_start(const char *config);

struct supervised unit_look(void);

/* `systemctl restart` and `stop`: they return when that is done. */
void unit_restart(void);
void unit_stop(void);

#endif
