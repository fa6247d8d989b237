// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/sealed.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/cleanup.h"

int sealed_create(const char *name, size_t length, int *ret)
{
	cleanup_fd int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)length) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	*ret = TAKE_FD(fd);
	return 0;
}

int sealed_open_for_reading(int fd, int *ret)
{
	char path[32];
	int opened;

	if (fchmod(fd, 0400) < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	opened = open(path, O_RDONLY | O_CLOEXEC);
	if (opened < 0)
		return -errno;
	*ret = opened;
	return 0;
}

int sealed_map(int fd, size_t length, void **ret)
{
	void *address = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (address == MAP_FAILED)
		return -errno;
	*ret = address;
	return 0;
}

void sealed_close(int fd, size_t length)
{
	if (fd >= 0 && length)
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)length);
	close_fd(fd);
}

/* ---- later ---- */

#define LATER_USEC 2000000

struct retired {
	int fd;
	size_t length;
};

static size_t retired_bytes;

static void close_retired(void *context)
{
	struct retired *retired = context;

	retired_bytes -= retired->length;
	sealed_close(retired->fd, retired->length);
	free(retired);
}

static int on_later(sd_event_source *source, uint64_t now, void *context)
{
	(void)now;
	(void)context;
	/* The loop's was the last reference: it goes when this returns. */
	return sd_event_source_set_floating(source, false);
}

static int retire(int fd, size_t length, sd_event *event)
{
	struct retired *retired = malloc(sizeof(*retired));
	sd_event_source *source = NULL;
	int r = retired ? sd_event_add_time_relative(event, &source, CLOCK_MONOTONIC, LATER_USEC, 0,
						     on_later, retired)
			: -ENOMEM;

	if (r < 0) {
		free(retired);
		return r;
	}
	*retired = (struct retired){.fd = fd, .length = length};
	retired_bytes += length;
	(void)sd_event_source_set_destroy_callback(source, close_retired);
	(void)sd_event_source_set_floating(source, true);
	sd_event_source_unref(source);
	return 0;
}

void sealed_close_later(int fd, size_t length, sd_event *event)
{
	if (fd < 0 || length > SEALED_LATER_MAX - retired_bytes || retire(fd, length, event) < 0)
		sealed_close(fd, length);
}
