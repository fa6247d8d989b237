/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this process uses, as the kernel tells: the process_* metrics that every exporter has.
 */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include <stdint.h>

struct process_usage {
	uint64_t cpu_microseconds; /* user and system, all threads */
	uint64_t resident_bytes;
	uint64_t open_fds;
	uint64_t max_fds; /* RLIMIT_NOFILE */
};

/* Needs /proc. What can't be read is 0. */
void process_usage_read(struct process_usage *ret);

#endif
