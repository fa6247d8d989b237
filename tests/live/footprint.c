// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/footprint.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/cleanup.h"

static void cleanup_close_folder(DIR **folder)
{
	if (*folder)
		(void)closedir(*folder);
}

#define cleanup_folder __attribute__((cleanup(cleanup_close_folder)))

/* The number after `key` in a file of `key: number` lines; 0 if it is not there. */
static uint64_t number_in(const char *path, const char *key)
{
	cleanup_file FILE *file = fopen(path, "re");
	size_t length = strlen(key);
	uint64_t value = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, length) == 0 && line[length] == ':' &&
		    sscanf(line + length + 1, "%" SCNu64, &value) == 1)
			return value;
	}
	return 0;
}

static void note_bpf(uint32_t *count, uint32_t *ids, const char *fdinfo, const char *key)
{
	if (*count < FOOTPRINT_IDS_MAX)
		ids[*count] = (uint32_t)number_in(fdinfo, key);
	(*count)++;
}

static void note_fd(struct footprint *footprint, const char *target, const char *fdinfo)
{
	footprint->fds++;
	if (strncmp(target, "socket:", 7) == 0)
		footprint->sockets++;
	else if (strncmp(target, "/memfd:", 7) == 0)
		footprint->memfds++;
	else if (strstr(target, "bpf-map"))
		note_bpf(&footprint->bpf_maps, footprint->map_ids, fdinfo, "map_id");
	else if (strstr(target, "bpf-prog"))
		note_bpf(&footprint->bpf_programs, footprint->program_ids, fdinfo, "prog_id");
	else if (strstr(target, "bpf_link") || strstr(target, "bpf-link"))
		note_bpf(&footprint->bpf_links, footprint->link_ids, fdinfo, "link_id");
}

static int take_fds(struct footprint *footprint, pid_t pid)
{
	char path[64], entry[sizeof(path) + 256], fdinfo[sizeof(path) + 256], target[256];
	cleanup_folder DIR *folder = NULL;
	const struct dirent *fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	folder = opendir(path);
	if (!folder)
		return -errno;
	while ((fd = readdir(folder))) {
		ssize_t length;

		(void)snprintf(entry, sizeof(entry), "%s/%s", path, fd->d_name);
		length = readlink(entry, target, sizeof(target) - 1);
		if (length < 0)
			continue; /* "." and "..", or closed meanwhile */
		target[length] = '\0';
		(void)snprintf(fdinfo, sizeof(fdinfo), "/proc/%d/fdinfo/%s", pid, fd->d_name);
		note_fd(footprint, target, fdinfo);
	}
	if (pid == getpid())
		footprint->fds--; /* the folder's own */
	return 0;
}

static uint64_t cpu_time(pid_t pid)
{
	cleanup_folder DIR *folder = NULL;
	const struct dirent *task;
	char path[64 + 256];
	uint64_t sum = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
	folder = opendir(path);
	while (folder && (task = readdir(folder))) {
		cleanup_file FILE *file = NULL;
		uint64_t ns;

		(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, task->d_name);
		file = fopen(path, "re");
		if (file && fscanf(file, "%" SCNu64, &ns) == 1)
			sum += ns;
	}
	return sum;
}

int footprint_take(struct footprint *ret, pid_t pid)
{
	struct footprint footprint = {0};
	char path[64];
	int r = take_fds(&footprint, pid);

	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	footprint.threads = (uint32_t)number_in(path, "Threads");
	footprint.locked_kb = number_in(path, "VmLck");
	footprint.pinned_kb = number_in(path, "VmPin");
	footprint.anonymous_kb = number_in(path, "RssAnon");
	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	footprint.private_kb = number_in(path, "Private_Clean") + number_in(path, "Private_Dirty");
	footprint.cpu_ns = cpu_time(pid);
	*ret = footprint;
	return 0;
}

static int count_left(const uint32_t *ids, uint32_t count, int (*open_by_id)(uint32_t id))
{
	int left = 0;

	for (uint32_t i = 0; i < count && i < FOOTPRINT_IDS_MAX; i++) {
		cleanup_fd int fd = open_by_id(ids[i]);

		if (fd < 0 && errno == EPERM)
			return -EPERM;
		if (fd >= 0)
			left++;
	}
	return left;
}

int footprint_bpf_left(const struct footprint *footprint)
{
	int maps = count_left(footprint->map_ids, footprint->bpf_maps, bpf_map_get_fd_by_id);
	int programs =
		count_left(footprint->program_ids, footprint->bpf_programs, bpf_prog_get_fd_by_id);
	int links = count_left(footprint->link_ids, footprint->bpf_links, bpf_link_get_fd_by_id);

	if (maps < 0 || programs < 0 || links < 0)
		return -EPERM;
	return maps + programs + links;
}

const char *footprint_difference(const struct footprint *before, const struct footprint *after)
{
	static char text[512];
	const struct {
		const char *name;
		uint64_t before, after;
	} figures[] = {
		{"fds", before->fds, after->fds},
		{"sockets", before->sockets, after->sockets},
		{"memfds", before->memfds, after->memfds},
		{"BPF maps", before->bpf_maps, after->bpf_maps},
		{"BPF programs", before->bpf_programs, after->bpf_programs},
		{"BPF links", before->bpf_links, after->bpf_links},
		{"threads", before->threads, after->threads},
		{"kB locked", before->locked_kb, after->locked_kb},
		{"kB pinned", before->pinned_kb, after->pinned_kb},
	};
	size_t length = 0;

	text[0] = '\0';
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		if (figures[i].before != figures[i].after)
			length += (size_t)snprintf(text + length, sizeof(text) - length,
						   "%s%s %" PRIu64 " -> %" PRIu64,
						   length ? ", " : "", figures[i].name,
						   figures[i].before, figures[i].after);
	}
	return text;
}
