// SPDX-License-Identifier: BSD-2-Clause
/*
 * restart SOCKET PID: kills the daemon that PID is and prints the milliseconds from its end until the next one, which
 * whoever keeps the listening socket has started, answers there.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "client/xdpd.h"

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	struct pollfd end = {.events = POLLIN};
	struct xdpd *x;
	double killed;
	int r;

	if (argc != 3)
		return 2;
	end.fd = (int)syscall(SYS_pidfd_open, atoi(argv[2]), 0);
	if (end.fd < 0 || syscall(SYS_pidfd_send_signal, end.fd, SIGKILL, NULL, 0) < 0) {
		perror("restart: can't kill the daemon");
		return 1;
	}
	killed = milliseconds();
	(void)poll(&end, 1, -1);
	while ((r = xdpd_connect(&x, argv[1], "restart")) < 0 && milliseconds() - killed < 30e3)
		usleep(200);
	if (r < 0) {
		fprintf(stderr, "restart: nobody answers: %s\n", strerror(-r));
		return 1;
	}
	printf("%.3f\n", milliseconds() - killed);
	(void)xdpd_close(x);
	return 0;
}
