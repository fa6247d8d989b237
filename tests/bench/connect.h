/* SPDX-License-Identifier: BSD-2-Clause */
/* What the programs have in common that attach again and again: arguments and pauses. */
#ifndef TESTS_BENCH_CONNECT_H
#define TESTS_BENCH_CONNECT_H

#include <time.h>

#include "tests/bench/clock.h"
#include "tests/bench/histogram.h"
#include "tests/bench/receiver.h"

struct connect_options {
	const char *device;
	const char *socket; /* the daemon's */
	const char *status; /* the supervisor's file */
	unsigned int times;
	unsigned int pause_ms; /* before each time */
};

/* [-s SOCKET] [-f STATUS_FILE] [-n TIMES] [-p PAUSE_MS] DEVICE */
static inline struct connect_options connect_options(int argc, char **argv)
{
	struct connect_options options = {.times = 100, .pause_ms = 50};
	int option;

	while ((option = getopt(argc, argv, "s:f:n:p:")) != -1) {
		switch (option) {
		case 's':
			options.socket = optarg;
			break;
		case 'f':
			options.status = optarg;
			break;
		case 'n':
			options.times = (unsigned int)atoi(optarg);
			break;
		case 'p':
			options.pause_ms = (unsigned int)atoi(optarg);
			break;
		default:
			exit(1);
		}
	}
	if (optind != argc - 1) {
		(void)fprintf(
			stderr,
			"usage: %s [-s SOCKET] [-f STATUS_FILE] [-n TIMES] [-p PAUSE_MS] DEVICE\n",
			argv[0]);
		exit(1);
	}
	options.device = argv[optind];
	return options;
}

static inline void connect_pause(unsigned int ms)
{
	const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	(void)nanosleep(&time, NULL);
}

#endif
