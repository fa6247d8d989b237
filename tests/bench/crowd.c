// SPDX-License-Identifier: BSD-2-Clause
/*
 * crowd SOCKET DEVICE QUEUES [GROUPS [MEMBERS]]: that many consumers on each of the queues, which receive nothing and
 * wait. Prints `ready MILLISECONDS`, how long one attach took on average, and stays until it is told to end.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/xdpd.h"

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void attach(const char *socket, const char *device, uint32_t queue, uint32_t group)
{
	char name[XDPD_NAME_MAX];
	struct xdpd_attach_options options = {
		.size = sizeof(options), .group = name, .timeout_ms = 30000};
	struct xdpd *x = NULL;
	int r;

	(void)snprintf(name, sizeof(name), "group-%u", group);
	r = xdpd_connect(&x, socket, "crowd");
	if (r == 0)
		r = xdpd_attach(x, device, queue, &options);
	if (r < 0) {
		fprintf(stderr, "crowd: queue %u: %s\n", queue, x ? xdpd_reason(x) : strerror(-r));
		exit(1);
	}
}

static uint32_t number(int argc, char **argv, int at)
{
	return argc > at ? (uint32_t)strtoul(argv[at], NULL, 10) : 1;
}

int main(int argc, char **argv)
{
	const uint32_t queues = number(argc, argv, 3), groups = number(argc, argv, 4);
	const uint32_t members = number(argc, argv, 5);
	const double start = milliseconds();

	if (argc < 4)
		return 2;
	for (uint32_t queue = 0; queue < queues; queue++)
		for (uint32_t group = 0; group < groups; group++)
			for (uint32_t member = 0; member < members; member++)
				attach(argv[1], argv[2], queue, group);
	printf("ready %.3f\n", (milliseconds() - start) / (queues * groups * members));
	fflush(stdout);
	pause();
	return 0;
}
