/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/process.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/cleanup.h"

static uint64_t cpu_microseconds(void)
{
	struct timespec used;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) < 0)
		return 0;
	return (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
}

static uint64_t resident_bytes(void)
{
	cleanup_file FILE *file = fopen("/proc/self/statm", "re");
	uint64_t pages;

	if (!file || fscanf(file, "%*u %" SCNu64, &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t open_fds(void)
{
	struct stat folder;
	uint64_t n = 0;
	DIR *dir;

	/* The folder's size is the number of fds [Linux 6.2]; before that it is 0 and they have to be counted. */
	if (stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0)
		return (uint64_t)folder.st_size;

	dir = opendir("/proc/self/fd");
	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n > 3 ? n - 3 : 0; /* `.`, `..` and the folder's own */
}

void process_usage_read(struct process_usage *ret)
{
	struct rlimit fds;

	*ret = (struct process_usage){
		.cpu_microseconds = cpu_microseconds(),
		.resident_bytes = resident_bytes(),
		.open_fds = open_fds(),
		.max_fds = getrlimit(RLIMIT_NOFILE, &fds) == 0 ? fds.rlim_cur : 0,
	};
}
