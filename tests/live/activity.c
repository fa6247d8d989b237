// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/activity.h"

#include <inttypes.h>
#include <stdio.h>

#include "daemon/cleanup.h"
#include "tests/live/harness.h"

struct activity activity_of(pid_t pid, pid_t tid)
{
	struct activity activity = {};
	uint64_t user, system;
	char path[64], line[256];
	cleanup_file FILE *stat = NULL, *status = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	stat = fopen(path, "re");
	assert_non_null(stat);
	assert_int_equal(fscanf(stat,
				"%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64
				" %" SCNu64,
				&user, &system),
			 2);
	activity.ticks = user + system;
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	status = fopen(path, "re");
	assert_non_null(status);
	while (fgets(line, sizeof(line), status))
		(void)sscanf(line, "voluntary_ctxt_switches: %" SCNu64, &activity.wake_ups);
	return activity;
}
