/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who is at the other end of a UNIX socket, by the kernel's word. The credentials are those of the moment of
 * connect(), so a program that gives up its privilege later keeps what it had then.
 */
#ifndef DAEMON_PEER_H
#define DAEMON_PEER_H

#include <stdbool.h>
#include <sys/types.h>

#include "config/config.h"

struct peer {
	pid_t pid;
	uid_t uid;
	gid_t *gids; /* its primary group and the supplementary ones */
	size_t n_gids;
};

/* Ends with peer_clear(). Returns 0 or -errno. */
int peer_of_socket(struct peer *ret, int fd);

void peer_clear(struct peer *peer);

bool peer_is_on(const struct peer *peer, const struct access_list *list);

/* Polls readable when the process ends; -1 where it is gone already or the kernel has no pidfds. */
int peer_open_pidfd(pid_t pid);

#endif
