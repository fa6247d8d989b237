/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The listening socket behind `metrics: { listen: ... }`: TCP over IPv4 or IPv6, or a UNIX socket.
 */
#ifndef DAEMON_HTTP_SOCKET_H
#define DAEMON_HTTP_SOCKET_H

#include <sys/stat.h>
#include <sys/un.h>

#include "config/config.h"
#include "daemon/failure.h"

struct http_socket {
	int fd; /* -1: none. Listens, non-blocking, closed on exec */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) +
		  1]; /* of a UNIX socket, else empty */
	dev_t device; /* of the file at `path`, to know it again */
	ino_t inode;
};

#define HTTP_SOCKET_NONE ((struct http_socket){.fd = -1})

/*
 * A UNIX socket's file is made for everybody (mode 0666); one that is left over, so that nobody listens on
 * it, is replaced. Returns 0, or -errno with a sentence in `why`.
 */
int http_socket_open(struct http_socket *ret, const struct config_metrics *where,
		     struct failure *why);

/* Closes the socket and removes its file, if it is still this socket's. */
void http_socket_close(struct http_socket *socket);

#endif
