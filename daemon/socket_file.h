/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of a UNIX socket, which outlives a program that was killed. */
#ifndef DAEMON_SOCKET_FILE_H
#define DAEMON_SOCKET_FILE_H

#include <sys/socket.h>
#include <sys/un.h>

/*
 * Makes way for a new socket of `type` at the address: removes the file if nobody listens on it. Returns 0,
 * -EADDRINUSE (somebody does), -EEXIST (it is no socket), or another -errno; then nothing was removed.
 */
int socket_file_remove_stale(const struct sockaddr_un *address, socklen_t length, int type);

#endif
