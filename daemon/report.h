/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines for the person who asked for a reload, each ended by a newline: what changed, or what is wrong.
 */
#ifndef DAEMON_REPORT_H
#define DAEMON_REPORT_H

#include <stdio.h>

#include "config/config.h"

void report_errors(FILE *report, const struct config_errors *errors);

/*
 * What the step from one config to the other changes, as an operator would say it; that nothing changed is a line,
 * too. `report` is at its start.
 */
void report_difference(FILE *report, const struct config *before, const struct config *after);

#endif
