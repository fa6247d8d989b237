// SPDX-License-Identifier: BSD-2-Clause
/*
 * launch COMMAND...: runs a service and tells how many milliseconds each took: `ready` (exec to READY=1), on SIGHUP
 * `reload` (SIGHUP to the next READY=1), on SIGTERM `stop` (SIGTERM to its end). Ends with it.
 */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t asked; /* the signal */

static void on_signal(int number)
{
	asked = number;
}

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void tell(const char *what, double since)
{
	printf("%s %.3f\n", what, milliseconds() - since);
	fflush(stdout);
}

/* A socket that the kernel names; its name goes into $NOTIFY_SOCKET. */
static int open_notify(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t length = sizeof(address);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[sizeof(address.sun_path) + 1];

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
		perror("launch: can't listen for what the service says");
		exit(1);
	}
	length -= (socklen_t)offsetof(struct sockaddr_un, sun_path);
	(void)snprintf(name, sizeof(name), "@%.*s", (int)length - 1, address.sun_path + 1);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static int status_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void install(sigset_t *between)
{
	const int signals[] = {SIGHUP, SIGTERM, SIGCHLD};
	sigset_t blocked;

	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaction(signals[i], &(struct sigaction){.sa_handler = on_signal}, NULL);
		sigaddset(&blocked, signals[i]);
	}
	sigprocmask(SIG_BLOCK, &blocked, between);
}

int main(int argc, char **argv)
{
	int notify = open_notify();
	const char *doing = "ready";
	double since;
	sigset_t before;
	pid_t service;

	if (argc < 2)
		return 2;
	install(&before);
	since = milliseconds();
	service = fork();
	if (service == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		execvp(argv[1], argv + 1);
		perror(argv[1]);
		_exit(127);
	}
	for (;;) {
		char message[4096];
		fd_set fds;
		int n, status;

		FD_ZERO(&fds);
		FD_SET(notify, &fds);
		n = pselect(notify + 1, &fds, NULL, NULL, NULL, &before);
		if (asked == SIGHUP || asked == SIGTERM) {
			doing = asked == SIGHUP ? "reload" : "stop";
			since = milliseconds();
			kill(service, asked);
		}
		asked = 0;
		if (waitpid(service, &status, WNOHANG) == service) {
			tell(doing, since);
			return status_of(status);
		}
		if (n <= 0)
			continue;
		n = (int)recv(notify, message, sizeof(message) - 1, 0);
		message[n < 0 ? 0 : n] = '\0';
		if (strstr(message, "READY=1"))
			tell(doing, since);
	}
}
