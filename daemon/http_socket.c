/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/http_socket.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/cleanup.h"
#include "daemon/socket_file.h"

#define BACKLOG 64

static const char *next_step(int code, sa_family_t family)
{
	switch (code) {
	case EADDRINUSE:
		return "stop the program that listens there, or choose another address";
	case EADDRNOTAVAIL:
		return "no interface has this address; choose one that is there, or 0.0.0.0 or "
		       "[::] for all";
	case EACCES:
		return family == AF_UNIX ? "let xdpd's user write to the folder"
					 : "choose a port of 1024 or above";
	case ENOENT:
	case ENOTDIR:
		return "make the folder first";
	case EEXIST:
		return "the path is taken by something that is not a socket; choose another one";
	default:
		return "choose another address";
	}
}

static int fail_to_listen(struct failure *why, int code, const struct config_metrics *where)
{
	return failure(why, code,
		       "metrics: can't listen on %s: %s (%s); %s (`metrics: { listen: ... }`)",
		       where->text, strerror(code), strerrorname_np(code),
		       next_step(code, where->address.ss_family));
}

static int bind_path(struct http_socket *made, const struct config_metrics *where)
{
	const struct sockaddr *address = (const struct sockaddr *)&where->address;
	const struct sockaddr_un *un = (const struct sockaddr_un *)&where->address;
	struct stat file;
	int r;

	memcpy(made->path, un->sun_path,
	       where->address_length - offsetof(struct sockaddr_un, sun_path));
	r = socket_file_remove_stale(un, where->address_length, SOCK_STREAM);
	if (r == 0 && bind(made->fd, address, where->address_length) < 0)
		r = -errno;
	if (r < 0) {
		made->path[0] = '\0'; /* whatever is there, it is not ours to remove */
		return r;
	}
	/* Nobody can connect before listen(), so the mode comes in time. */
	if (chmod(made->path, 0666) < 0 || lstat(made->path, &file) < 0)
		return -errno;
	made->device = file.st_dev;
	made->inode = file.st_ino;
	return 0;
}

static int open_socket(struct http_socket *made, const struct config_metrics *where)
{
	sa_family_t family = where->address.ss_family;

	made->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (made->fd < 0)
		return -errno;
	if (family == AF_UNIX) {
		int r = bind_path(made, where);

		if (r < 0)
			return r;
	} else {
		/* or a restart would have to wait for the last scrape's TIME_WAIT to end */
		if (setsockopt(made->fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0)
			return -errno;
		if (bind(made->fd, (const struct sockaddr *)&where->address,
			 where->address_length) < 0)
			return -errno;
	}
	return listen(made->fd, BACKLOG) < 0 ? -errno : 0;
}

int http_socket_open(struct http_socket *ret, const struct config_metrics *where,
		     struct failure *why)
{
	struct http_socket made = HTTP_SOCKET_NONE;
	int r = open_socket(&made, where);

	if (r < 0) {
		http_socket_close(&made);
		return fail_to_listen(why, -r, where);
	}
	*ret = made;
	return 0;
}

void http_socket_close(struct http_socket *socket)
{
	struct stat file;

	if (socket->path[0] && lstat(socket->path, &file) == 0 && file.st_dev == socket->device &&
	    file.st_ino == socket->inode)
		(void)unlink(socket->path);
	close_fd(socket->fd);
	*socket = HTTP_SOCKET_NONE;
}
