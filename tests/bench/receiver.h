/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the receivers that are compared have in common, which is all but their rings: arguments, the end by
 * a signal, and busy polling. Each says `ready` when frames can arrive, and `received N` at its end.
 */
#ifndef TESTS_BENCH_RECEIVER_H
#define TESTS_BENCH_RECEIVER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BURST 64

#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#define SO_BUSY_POLL_BUDGET 70
#endif

struct receiver {
	const char *device;
	const char *socket; /* the daemon's */
	bool busy_poll;
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

/* [-b] [-s SOCKET] DEVICE */
static inline struct receiver receiver_begin(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = receiver_stop};
	struct receiver receiver = {0};
	int option;

	while ((option = getopt(argc, argv, "bs:")) != -1) {
		if (option == '?')
			exit(1);
		if (option == 'b')
			receiver.busy_poll = true;
		else
			receiver.socket = optarg;
	}
	if (optind != argc - 1) {
		(void)fprintf(stderr, "usage: %s [-b] [-s SOCKET] DEVICE\n", argv[0]);
		exit(1);
	}
	receiver.device = argv[optind];
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	return receiver;
}

/* With -b the queue's NAPI runs in the receiver's own system calls, so all of receiving is on its CPU. */
static inline void receiver_ready(const struct receiver *receiver, int fd)
{
	static const struct {
		int name, value;
	} options[] = {{SO_PREFER_BUSY_POLL, 1}, {SO_BUSY_POLL, 20}, {SO_BUSY_POLL_BUDGET, BURST}};

	for (size_t i = 0; receiver->busy_poll && i < sizeof(options) / sizeof(*options); i++)
		if (setsockopt(fd, SOL_SOCKET, options[i].name, &options[i].value, sizeof(int)) < 0) {
			perror("can't busy poll");
			exit(2);
		}
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
