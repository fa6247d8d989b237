/* SPDX-License-Identifier: BSD-2-Clause */
/* A start of the program, with what the supervisor keeps for it. */
#ifndef SUPERVISE_PROGRAM_H
#define SUPERVISE_PROGRAM_H

#include <stdint.h>
#include <sys/types.h>

#include "daemon/supervise/fdstore.h"

struct program {
	char **argv;		 /* [0]: searched for in $PATH */
	const char *notify_path; /* $NOTIFY_SOCKET */
	uint64_t watchdog_usec;	 /* $WATCHDOG_USEC; 0: none */
};

/*
 * Forks. The child has the kept fds from 3 on, in the store's order, as sd_listen_fds(3) takes them, no signal blocked,
 * and gets SIGTERM when the supervisor dies: what is kept is gone then. `*ret_failure` reads an errno once the child
 * could not execute the program, and nothing at all if it could; it does not block. Returns the pid or -errno.
 */
pid_t program_start(const struct program *program, const struct fdstore *store, int *ret_failure);

/* The errno, 0: the program was executed. Once the child has ended; closes the fd. */
int program_failure(int failure);

#endif
