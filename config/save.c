/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "daemon/cleanup.h"

static int write_all(int fd, const char *text)
{
	size_t length = strlen(text);

	while (length) {
		ssize_t n = write(fd, text, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		length -= (size_t)n;
	}
	return 0;
}

/* The owner first: chown(2) may clear mode bits. */
static int fill_like(int fd, const struct stat *original, const char *text)
{
	if (fchown(fd, original->st_uid, original->st_gid) < 0 ||
	    fchmod(fd, original->st_mode & 07777) < 0)
		return -errno;
	if (write_all(fd, text) < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int open_folder(const char *path)
{
	cleanup_free char *copy = strdup(path);
	int fd;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int config_save(const char *path, const char *text)
{
	cleanup_free char *target = realpath(path, NULL);
	cleanup_free char *temporary = NULL;
	cleanup_fd int fd = -1, folder = -1;
	struct stat original;
	int r;

	if (!target || stat(target, &original) < 0)
		return -errno;
	if (!S_ISREG(original.st_mode))
		return -EINVAL;
	folder = open_folder(target);
	if (folder < 0)
		return folder;
	if (asprintf(&temporary, "%s.XXXXXX", target) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fill_like(fd, &original, text);
	if (r == 0 && rename(temporary, target) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(temporary);
		return r;
	}
	/* The file is replaced, whether or not this makes sure that it stays so over a power cut. */
	(void)fsync(folder);
	return 0;
}
