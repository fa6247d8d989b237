/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/supervise/supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "daemon/cleanup.h"
#include "daemon/supervise/fdstore.h"
#include "daemon/supervise/notify.h"
#include "daemon/supervise/program.h"
#include "daemon/supervise/say.h"

#define NEVER		UINT64_MAX
#define USEC_PER_SECOND UINT64_C(1000000)

/*
 * A life that was shorter than this and never got ready ended in a quick death; from the second in a row on, the next
 * start waits: 0.1, 0.2, 0.4 ... 5 s.
 */
#define QUICK_USEC	 USEC_PER_SECOND
#define BACKOFF_USEC	 (USEC_PER_SECOND / 10)
#define BACKOFF_USEC_MAX (5 * USEC_PER_SECOND)

/* Messages read between two looks at everything else. */
#define NOTICES_AT_ONCE 256

enum { SIGNALS, NOTICES }; /* epoll's data; from FDSTORE_FIRST_ID on: a kept fd that hung up */

struct supervisor {
	const struct supervisor_options *options;
	struct program program;
	struct fdstore store;
	struct notify notify;
	int epoll, signals;

	pid_t pid;     /* 0: it does not run */
	int failure;   /* of its exec [program_failure()] */
	bool executed; /* ever */
	bool ready, stopping, restarting;
	uint64_t started;
	/* When to do what, unless something comes first. */
	uint64_t kill_at, start_at, silent_at;
	unsigned quick; /* deaths in a row */

	uint64_t restarts, refused;
	char status[NOTIFY_STATUS_MAX]; /* as the program has it */
	bool changed;			/* what the status file shows */
	bool ended;
	int result; /* the program's last */
};

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * USEC_PER_SECOND + (uint64_t)time.tv_nsec / 1000;
}

/* ---- the status file ---- */

static const char *state_name(const struct supervisor *s)
{
	if (s->ended)
		return "ended";
	if (s->stopping)
		return "stopping";
	if (s->restarting)
		return "restarting";
	if (!s->pid)
		return "waiting";
	return s->ready ? "ready" : "starting";
}

static int write_status_to(const struct supervisor *s, const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return -errno;
	fprintf(file,
		"state: %s\npid: %d\nrestarts: %" PRIu64 "\nfds: %zu\nrefused: %" PRIu64
		"\nstatus: %s\n",
		state_name(s), (int)s->pid, s->restarts, s->store.n, s->refused, s->status);
	return fclose(file) ? -errno : 0;
}

/* Whoever reads the file sees one state or the next. */
static void write_status(struct supervisor *s)
{
	const char *path = s->options->status_file;
	char fresh[PATH_MAX];
	int r;

	s->changed = false;
	if (!path)
		return;
	(void)snprintf(fresh, sizeof(fresh), "%s.new", path);
	r = write_status_to(s, fresh);
	if (r == 0 && rename(fresh, path) < 0)
		r = -errno;
	if (r < 0)
		say("can't write the status file %s: %s", path, strerror(-r));
}

/* ---- the program's life ---- */

static void start(struct supervisor *s)
{
	pid_t pid = program_start(&s->program, &s->store, &s->failure);

	s->changed = true;
	if (pid < 0) {
		say("can't start %s: %s; tries again in 1 s", s->program.argv[0], strerror(-pid));
		s->start_at = now() + USEC_PER_SECOND;
		return;
	}
	s->pid = pid;
	s->started = now();
	s->start_at = NEVER;
}

/* Asks it to end, and sees to it that it does. */
static void end_program(struct supervisor *s, int signal_number)
{
	kill(s->pid, signal_number);
	s->silent_at = NEVER;
	s->kill_at = now() + s->options->stop_usec;
	s->changed = true;
}

static uint64_t backoff(struct supervisor *s)
{
	uint64_t wait = BACKOFF_USEC;

	s->quick = !s->ready && now() - s->started < QUICK_USEC ? s->quick + 1 : 0;
	if (s->quick <= 1)
		return 0;
	for (unsigned i = 2; i < s->quick && wait < BACKOFF_USEC_MAX; i++)
		wait *= 2;
	return wait < BACKOFF_USEC_MAX ? wait : BACKOFF_USEC_MAX;
}

static void say_death(const struct supervisor *s, int status, uint64_t wait)
{
	char how[64];

	if (WIFSIGNALED(status))
		(void)snprintf(how, sizeof(how), "was killed by SIG%s",
			       sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status))
							      : "?");
	else
		(void)snprintf(how, sizeof(how), "ended with status %d", WEXITSTATUS(status));
	say("%s %s; it is started again in %" PRIu64 " ms, with %zu fds", s->program.argv[0], how,
	    wait / 1000, s->store.n);
}

/* The program has ended, and is not started again. */
static bool is_last(const struct supervisor *s)
{
	if (s->stopping || !s->executed)
		return true;
	return !s->restarting && (s->result == 0 || s->result == EX_CONFIG);
}

static void on_program_end(struct supervisor *s, int status)
{
	int failure = program_failure(s->failure);
	uint64_t wait = 0;

	s->pid = 0;
	s->kill_at = s->silent_at = NEVER;
	s->changed = true;
	s->result = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	s->executed = s->executed || !failure;
	if (failure)
		say("can't execute %s: %s", s->program.argv[0], strerror(failure));
	/* It may be about to be replaced by a newer one, but not if it never was. */
	if (is_last(s)) {
		s->ended = true;
		return;
	}
	if (!s->restarting || failure) {
		wait = backoff(s);
		say_death(s, status, wait);
	}
	s->ready = s->restarting = false;
	s->restarts++;
	s->start_at = now() + wait;
}

/* ---- what comes in ---- */

static void keep(struct supervisor *s, struct notice *notice)
{
	for (size_t i = 0; i < notice->n_fds; i++) {
		int fd = TAKE_FD(notice->fds[i]);
		int r = fdstore_add(&s->store, notice->name, fd, notice->poll);

		if (r == 0)
			continue;
		s->refused++;
		if (r == -ENOSPC)
			say("%s is not kept: there are %zu fds already; raise --max", notice->name,
			    s->store.n);
		else if (r == -E2BIG)
			say("%s is not kept: the names of %zu fds fill an environment variable; "
			    "use fewer fds or shorter names",
			    notice->name, s->store.n);
		else
			say("%s is not kept: %s", notice->name, strerror(-r));
	}
}

static void on_notice(struct supervisor *s, struct notice *notice)
{
	if (!s->pid || notice->pid != s->pid)
		return;
	if (notice->remove)
		fdstore_remove(&s->store, notice->name);
	else if (notice->store)
		keep(s, notice);
	if (notice->ready)
		s->ready = true;
	if (notice->status[0])
		memcpy(s->status, notice->status, sizeof(s->status));
	if (s->ready && s->kill_at == NEVER && s->options->watchdog_usec &&
	    (notice->ready || notice->alive))
		s->silent_at = now() + s->options->watchdog_usec;
	if (notice->remove || notice->store || notice->ready || notice->status[0])
		s->changed = true;
}

static void read_notices(struct supervisor *s, size_t most)
{
	struct notice notice;
	int r = 1;

	for (size_t i = 0; i < most && r != 0; i++) {
		r = notify_receive(&s->notify, &notice);
		if (r > 0) {
			on_notice(s, &notice);
			notice_clear(&notice);
		} else if (r == -EMSGSIZE) {
			s->refused++;
			say("a message of %s was cut off and is dropped: it was too long, or its "
			    "fds are beyond the limit of open files",
			    s->program.argv[0]);
		} else if (r < 0) {
			say("can't read what %s says: %s", s->program.argv[0], strerror(-r));
			return;
		}
	}
}

/*
 * All that ended, also what others have left to a supervisor that is PID 1. What the program said before it died
 * counts: so that is read while its pid is still its own.
 */
static void reap(struct supervisor *s)
{
	siginfo_t ended = {};
	int status;

	while (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid) {
		bool is_program = ended.si_pid == s->pid;

		if (is_program)
			read_notices(s, SIZE_MAX);
		if (waitpid(ended.si_pid, &status, 0) == ended.si_pid && is_program)
			on_program_end(s, status);
		ended.si_pid = 0;
	}
}

static void on_signal(struct supervisor *s, int number)
{
	switch (number) {
	case SIGCHLD:
		reap(s);
		break;
	case SIGHUP:
		if (s->pid)
			kill(s->pid, SIGHUP);
		break;
	case SIGUSR1:
		if (s->stopping || s->restarting)
			break;
		if (!s->pid) {
			s->start_at = now();
			break;
		}
		s->restarting = true;
		end_program(s, SIGUSR1);
		break;
	default: /* SIGTERM, SIGINT */
		s->stopping = true;
		if (s->pid)
			end_program(s, SIGTERM);
		else
			s->ended = true;
	}
}

static void read_signals(struct supervisor *s)
{
	struct signalfd_siginfo info;

	while (!s->ended && read(s->signals, &info, sizeof(info)) == sizeof(info))
		on_signal(s, (int)info.ssi_signo);
}

static void on_time(struct supervisor *s)
{
	uint64_t time = now();

	if (s->pid && s->silent_at <= time) {
		say("%s has said nothing for %" PRIu64 " ms: it gets SIGABRT", s->program.argv[0],
		    s->options->watchdog_usec / 1000);
		end_program(s, SIGABRT);
	}
	if (s->pid && s->kill_at <= time) {
		say("%s has not ended within %" PRIu64 " ms: it gets SIGKILL", s->program.argv[0],
		    s->options->stop_usec / 1000);
		kill(s->pid, SIGKILL);
		s->kill_at = NEVER;
	}
	if (!s->pid && !s->ended && s->start_at <= time)
		start(s);
}

/* Milliseconds, -1: nothing is due. */
static int time_left(const struct supervisor *s)
{
	uint64_t next = s->kill_at < s->start_at ? s->kill_at : s->start_at, time = now();

	if (s->silent_at < next)
		next = s->silent_at;
	if (next == NEVER)
		return -1;
	if (next <= time)
		return 0;
	next = (next - time + 999) / 1000;
	return next < INT_MAX ? (int)next : INT_MAX;
}

static int loop(struct supervisor *s)
{
	struct epoll_event events[64];

	while (!s->ended) {
		int n;

		on_time(s);
		if (s->changed)
			write_status(s);
		n = epoll_wait(s->epoll, events, sizeof(events) / sizeof(*events), time_left(s));
		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++) {
			if (events[i].data.u64 == SIGNALS) {
				read_signals(s);
			} else if (events[i].data.u64 == NOTICES) {
				read_notices(s, NOTICES_AT_ONCE);
			} else {
				fdstore_remove_id(&s->store, events[i].data.u64);
				s->changed = true;
			}
		}
	}
	write_status(s);
	return 0;
}

/* ---- life ---- */

static int watch(int epoll, int fd, uint64_t what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = what};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_signals(void)
{
	static const int ours[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1};
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++) {
		/* One that was ignored when it was started never came. */
		signal(ours[i], SIG_DFL);
		sigaddset(&set, ours[i]);
	}
	signal(SIGPIPE, SIG_IGN); /* of whoever reads stderr */
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int open_all(struct supervisor *s)
{
	int r = notify_open(&s->notify);

	if (r < 0) {
		say("can't make a socket for %s to talk to (%s); set TMPDIR to a folder that can "
		    "be "
		    "written",
		    s->program.argv[0], strerror(-r));
		return r;
	}
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		r = -errno;
	if (r == 0)
		r = s->signals = open_signals();
	if (r >= 0)
		r = watch(s->epoll, s->signals, SIGNALS);
	if (r >= 0)
		r = watch(s->epoll, s->notify.fd, NOTICES);
	if (r < 0)
		say("can't set up its event loop: %s", strerror(-r));
	return r;
}

int supervise(const struct supervisor_options *options)
{
	struct supervisor s = {
		.options = options,
		.notify = NOTIFY_NONE,
		.epoll = -1,
		.signals = -1,
		.kill_at = NEVER,
		.silent_at = NEVER,
		.result = 1,
	};
	int r;

	s.program.argv = options->argv;
	s.program.watchdog_usec = options->watchdog_usec;
	r = open_all(&s);
	if (r >= 0) {
		s.program.notify_path = s.notify.path;
		fdstore_init(&s.store, options->max, s.epoll);
		r = loop(&s);
		if (r < 0)
			say("can't wait for events: %s", strerror(-r));
		fdstore_clear(&s.store);
	}
	notify_close(&s.notify);
	close_fd(s.signals);
	close_fd(s.epoll);
	return r < 0 ? 1 : s.result;
}
