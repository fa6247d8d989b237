/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a program, keeps the fds that it asks to have kept, and starts it again with them when it dies.
 *
 *                 .---- died, quickly and again: waits a little ----.
 *                 v                                                 |
 *     start --> runs -- SIGUSR1 --> restarts: SIGUSR1 to it, ends --+
 *                 |
 *                 '-- SIGTERM, SIGINT --> stops: SIGTERM to it, ends --> ended
 */
#ifndef SUPERVISE_SUPERVISOR_H
#define SUPERVISE_SUPERVISOR_H

#include <stddef.h>
#include <stdint.h>

struct supervisor_options {
	char **argv; /* of the program */
	size_t max;  /* fds kept */
	uint64_t watchdog_usec; /* 0: none */
	uint64_t stop_usec;	/* from a signal that is to end the program to SIGKILL */
	const char *status_file; /* NULL: none */
};

/* Until the program ends for good. Returns the exit status: the program's, 128 + N for a signal N; 1 with a sentence said. */
int supervise(const struct supervisor_options *options);

#endif
