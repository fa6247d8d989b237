/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Child processes of a test: a program, or a function of the test itself, as root or as an ordinary user,
 * with its output captured. They are killed by the kernel when the process that started them ends, however
 * it ends, and by children_end(); what they start in turn is theirs to end. The captured output lies in
 * memory files: a child never blocks on it, and it can be read while the child runs.
 */
#ifndef TESTS_LIVE_CHILD_H
#define TESTS_LIVE_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CHILD_NOBODY 65534

struct child_options {
	/* Either a program with its arguments, NULL at the end ... */
	const char *const *argv;
	/* ... or a function, whose result is the exit status. It must not use cmocka's asserts. */
	int (*call)(void *argument);
	void *argument;

	/* Not 0: this uid and gid, no other groups, no new privileges, and no capabilities ... */
	uid_t uid;
	/* ... but these, as a mask of 1 << CAP_*: what a systemd unit's AmbientCapabilities= gives. */
	uint64_t capabilities;

	const char *const *environment; /* NAME=value to add, NULL at the end; NULL: none */
};

struct child;

/* Returns 0 and sets `*ret`, or -errno. A program that can't be run exits with 127 and says why. */
int child_start(struct child **ret, const struct child_options *options);

pid_t child_pid(const struct child *child);

bool child_is_alive(struct child *child);

/*
 * Waits for the end, at most `timeout_ms` (-1: for ever). Returns the exit status, 128 + the signal that
 * killed it, or -ETIMEDOUT. May be called again after the end.
 */
int child_wait(struct child *child, int timeout_ms);

/* 0 or -ESRCH. */
int child_signal(struct child *child, int signal);

/* SIGKILL and the wait for its effect. */
void child_kill(struct child *child);

/* What it has written so far to stdout and stderr, to be freed; never NULL. */
char *child_output(const struct child *child);
char *child_errors(const struct child *child);

/* Waits until `text` is in its output or errors: 0, -ETIMEDOUT, or -ECHILD if it ended without. */
int child_wait_output(struct child *child, const char *text, int timeout_ms);

/* Kills it if it lives, reaps and frees it. NULL is fine. Returns NULL. */
struct child *child_end(struct child *child);

/* Ends all children that are left, as after a failed test, and shows what they wrote to stderr. */
void children_end(void);

/* A program from start to end. */
struct ran {
	int status; /* as child_wait() */
	char *output;
	char *errors;
};

/* Returns 0 and sets `*ret`, to be ended with ran_clear(), or -errno. -ETIMEDOUT after a kill. */
int child_run(struct ran *ret, const struct child_options *options, int timeout_ms);

void ran_clear(struct ran *ran);

#define cleanup_ran __attribute__((cleanup(ran_clear)))

#endif
