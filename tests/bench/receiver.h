/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the receivers that are compared have in common, which is all but their rings: arguments and the end
 * by a signal. Each says `ready` when frames can arrive, and `received N` at its end.
 */
#ifndef TESTS_BENCH_RECEIVER_H
#define TESTS_BENCH_RECEIVER_H

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BURST	64
#define WAIT_MS 100 /* a signal may come right before the sleep */

struct receiver {
	const char *device;
	const char *socket; /* the daemon's */
	const char *group;  /* of shared delivery; NULL: its own */
	int waits;	    /* it sleeps when there is nothing: for receivers that share a CPU */
	uint64_t frames;
	uint64_t seen; /* the sum of the frames' first bytes: each was looked at */
};

static volatile sig_atomic_t receiver_stopped;

static inline void receiver_stop(int signal_number)
{
	(void)signal_number;
	receiver_stopped = 1;
}

__attribute__((noreturn)) static inline void receiver_die(const char *what, int r)
{
	(void)fprintf(stderr, "%s: %s\n", what, strerror(r < 0 ? -r : r));
	exit(2);
}

/* [-s SOCKET] [-g GROUP] [-w] DEVICE */
static inline struct receiver receiver_begin(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = receiver_stop};
	struct receiver receiver = {0};
	int option;

	while ((option = getopt(argc, argv, "s:g:w")) != -1) {
		switch (option) {
		case 's':
			receiver.socket = optarg;
			break;
		case 'g':
			receiver.group = optarg;
			break;
		case 'w':
			receiver.waits = 1;
			break;
		default:
			exit(1);
		}
	}
	if (optind != argc - 1) {
		(void)fprintf(stderr, "usage: %s [-s SOCKET] [-g GROUP] [-w] DEVICE\n", argv[0]);
		exit(1);
	}
	receiver.device = argv[optind];
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	return receiver;
}

static inline void receiver_ready(void)
{
	(void)puts("ready");
	(void)fflush(stdout);
}

static inline int receiver_end(const struct receiver *receiver)
{
	(void)printf("received %llu, seen %llu\n", (unsigned long long)receiver->frames,
		     (unsigned long long)receiver->seen);
	return 0;
}

#endif
