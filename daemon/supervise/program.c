/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/supervise/program.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "daemon/cleanup.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

/* ---- in the child ---- */

/* Of the fds from `i` on, the one that is this number moves away. */
static int vacate(int *fds, size_t n, size_t i, int number)
{
	while (i < n && fds[i] != number)
		i++;
	if (i == n)
		return 0;
	fds[i] = fcntl(number, F_DUPFD_CLOEXEC, FIRST_FD);
	return fds[i] < 0 ? -errno : 0;
}

/*
 * fds[i] becomes FIRST_FD + i, open across exec. Whatever else has the number is the supervisor's own, and is closed. At
 * no time are there more fds than at first, but one: the limit may be just enough for them.
 */
static int move_fds(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int target = FIRST_FD + (int)i;

		if (fds[i] == target) {
			if (fcntl(target, F_SETFD, 0) < 0)
				return -errno;
			continue;
		}
		if (vacate(fds, n, i + 1, target) < 0 || dup2(fds[i], target) < 0)
			return -errno;
		close(fds[i]);
		fds[i] = target;
	}
	return 0;
}

static int set_number(const char *variable, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, value);
	return setenv(variable, text, 1) < 0 ? -errno : 0;
}

static int set_environment(const struct program *program, const struct fdstore *store)
{
	cleanup_free char *names = fdstore_names(store);
	const uint64_t self = (uint64_t)getpid();
	static const char *const managers[] = {"LISTEN_PID",	 "LISTEN_PIDFDID", "LISTEN_FDS",
					       "LISTEN_FDNAMES", "WATCHDOG_PID",   "WATCHDOG_USEC"};

	/* Those of a manager that the supervisor itself runs under. */
	for (size_t i = 0; i < sizeof(managers) / sizeof(*managers); i++)
		unsetenv(managers[i]);
	if (!names || setenv("NOTIFY_SOCKET", program->notify_path, 1) < 0 ||
	    set_number("FDSTORE", store->max) < 0)
		return -ENOMEM;
	if (program->watchdog_usec && (set_number("WATCHDOG_PID", self) < 0 ||
				       set_number("WATCHDOG_USEC", program->watchdog_usec) < 0))
		return -ENOMEM;
	if (store->n &&
	    (set_number("LISTEN_PID", self) < 0 || set_number("LISTEN_FDS", store->n) < 0 ||
	     setenv("LISTEN_FDNAMES", names, 1) < 0))
		return -ENOMEM;
	return 0;
}

static int become(const struct program *program, const struct fdstore *store, pid_t supervisor)
{
	cleanup_free int *fds = calloc(store->n + 1, sizeof(*fds));
	sigset_t none;
	int r;

	if (!fds)
		return -ENOMEM;
	for (size_t i = 0; i < store->n; i++)
		fds[i] = store->entries[i].fd;
	r = set_environment(program, store);
	if (r == 0)
		r = move_fds(fds, store->n);
	if (r < 0)
		return r;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != supervisor) /* it died before that */
		return -ESRCH;
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(program->argv[0], program->argv);
	return -errno;
}

/* ---- in the supervisor ---- */

pid_t program_start(const struct program *program, const struct fdstore *store, int *ret_failure)
{
	const pid_t supervisor = getpid();
	int ends[2], out, r;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		/* Out of the way of the kept fds. */
		out = fcntl(ends[1], F_DUPFD_CLOEXEC, FIRST_FD + (int)store->n);
		r = out < 0 ? -errno : become(program, store, supervisor);
		if (write(out < 0 ? ends[1] : out, &r, sizeof(r)) < 0)
			_exit(126);
		_exit(127);
	}
	r = -errno;
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return r;
	}
	*ret_failure = ends[0];
	return pid;
}

int program_failure(int failure)
{
	cleanup_fd int owned = failure;
	int r;

	return read(owned, &r, sizeof(r)) == sizeof(r) ? -r : 0;
}
