/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/socket_file.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/cleanup.h"

/* Only a connection attempt tells whether somebody still listens: refused means that the file is left over. */
int socket_file_remove_stale(const struct sockaddr_un *address, socklen_t length, int type)
{
	char path[sizeof(address->sun_path) + 1] = {}; /* the longest has no NUL of its own */
	cleanup_fd int probe = -1;
	struct stat file;

	memcpy(path, address->sun_path, length - offsetof(struct sockaddr_un, sun_path));
	if (lstat(path, &file) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(file.st_mode))
		return -EEXIST;
	probe = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return -errno;
	if (connect(probe, (const struct sockaddr *)address, length) == 0)
		return -EADDRINUSE;
	/* EAGAIN: its backlog is full; EPROTOTYPE: it is of another type */
	if (errno == EAGAIN || errno == EPROTOTYPE)
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}
