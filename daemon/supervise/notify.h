/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket that the program tells its supervisor on [sd_notify(3)]. */
#ifndef SUPERVISE_NOTIFY_H
#define SUPERVISE_NOTIFY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/un.h>

#define NOTIFY_NAME_MAX	  256
#define NOTIFY_STATUS_MAX 256
#define NOTIFY_FDS_MAX	  253 /* in one message: SCM_MAX_FD of the kernel */

struct notify {
	int fd;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
};

#define NOTIFY_NONE ((struct notify){.fd = -1})

/* A message: what it says of what matters here. */
struct notice {
	pid_t pid; /* that sent it: the kernel says so */
	bool store, remove;
	bool poll; /* with `store` */
	bool ready, alive;
	char name[NOTIFY_NAME_MAX];	/* "stored" without FDNAME= */
	char status[NOTIFY_STATUS_MAX]; /* "": it says none */
	int fds[NOTIFY_FDS_MAX];	/* the receiver's; not all need be taken [notice_clear()] */
	size_t n_fds;
};

/* In a new folder of its own under $TMPDIR, or /tmp, that only this user can enter. Returns 0 or -errno. */
int notify_open(struct notify *ret);

/* Removes its folder too. */
void notify_close(struct notify *notify);

/*
 * Does not wait. Returns 1 with a notice, which ends with notice_clear(); 0: there is none; -EMSGSIZE: one was cut off,
 * as it was too long or its fds did not fit, and is dropped; another -errno.
 */
int notify_receive(struct notify *notify, struct notice *ret);

void notice_clear(struct notice *notice);

#endif
