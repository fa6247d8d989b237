// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/cleanup.h"

struct child {
	char *name;
	pid_t pid;
	int pidfd;
	int output;
	int errors;
	int status; /* of waitpid(), once `reaped` */
	bool reaped;
	struct child *next;
};

static struct child *children;

/* ---- in the child ---- */

__attribute__((noreturn, format(printf, 1, 2))) static void give_up(const char *format, ...)
{
	int saved = errno;
	va_list args;

	va_start(args, format);
	(void)vdprintf(STDERR_FILENO, format, args);
	va_end(args);
	dprintf(STDERR_FILENO, ": %s\n", strerror(saved));
	_exit(127);
}

static int set_capabilities(uint64_t mask)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		uint32_t word = (uint32_t)(mask >> (32 * i));

		data[i] = (struct __user_cap_data_struct){word, word, word};
	}
	return (int)syscall(SYS_capset, &header, data);
}

static void become(uid_t uid, uint64_t capabilities)
{
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
	    prctl(PR_SET_KEEPCAPS, capabilities != 0) < 0 || setresuid(uid, uid, uid) < 0)
		give_up("can't become uid %u", uid);
	if (set_capabilities(capabilities) < 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		give_up("can't drop the capabilities");
	for (unsigned long i = 0; i <= CAP_LAST_CAP; i++) {
		if (capabilities & 1ULL << i &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
			give_up("can't keep capability %lu", i);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		give_up("can't give up new privileges");
	if (setresuid(0, 0, 0) == 0) {
		errno = ENOTRECOVERABLE;
		give_up("uid %u can become root again", uid);
	}
}

/* A build folder may lie where only root can go: the program is then run by the fd that root opened. */
static void execute(const struct child_options *options, int program)
{
	char *const *argv = (char *const *)options->argv;
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	for (const char *const *entry = options->environment; entry && *entry; entry++)
		(void)putenv((char *)*entry);
	(void)execvp(argv[0], argv);
	if (errno == EACCES && program >= 0)
		(void)syscall(SYS_execveat, program, "", argv, environ, AT_EMPTY_PATH);
	give_up("can't run %s", argv[0]);
}

__attribute__((noreturn)) static void run(const struct child_options *options,
					  const struct child *child, pid_t parent)
{
	int program = options->argv ? open(options->argv[0], O_PATH | O_CLOEXEC) : -1;

	children = NULL; /* its parent's */
	(void)dup2(child->output, STDOUT_FILENO);
	(void)dup2(child->errors, STDERR_FILENO);
	if (options->uid)
		become(options->uid, options->capabilities);

	/* After the change of credentials, which clears it; and the parent may be gone already. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);

	if (options->argv) {
		execute(options, program);
	} else {
		int status = options->call(options->argument);

		(void)fflush(NULL);
		_exit(status);
	}
	_exit(127);
}

/* ---- in the test ---- */

int child_start(struct child **ret, const struct child_options *options)
{
	cleanup_fd int output = memfd_create("stdout", MFD_CLOEXEC);
	cleanup_fd int errors = memfd_create("stderr", MFD_CLOEXEC);
	struct child *child;
	pid_t parent = getpid();

	if (output < 0 || errors < 0)
		return -errno;
	/* Appending, as the children of a child share the file but perhaps not its offset. */
	(void)fcntl(output, F_SETFL, O_APPEND);
	(void)fcntl(errors, F_SETFL, O_APPEND);
	child = calloc(1, sizeof(*child));
	if (!child)
		return -ENOMEM;
	child->output = output;
	child->errors = errors;

	(void)fflush(NULL);
	child->pid = fork();
	if (child->pid == 0)
		run(options, child, parent);
	if (child->pid < 0) {
		free(child);
		return -errno;
	}
	child->name = options->argv ? strdup(options->argv[0]) : strdup("a function of the test");
	child->pidfd = pidfd_open(child->pid, 0);
	child->output = TAKE_FD(output);
	child->errors = TAKE_FD(errors);
	child->next = children;
	children = child;
	*ret = child;
	return 0;
}

pid_t child_pid(const struct child *child)
{
	return child->pid;
}

bool child_is_alive(struct child *child)
{
	return child_wait(child, 0) == -ETIMEDOUT;
}

int child_wait(struct child *child, int timeout_ms)
{
	struct pollfd ended = {.fd = child->pidfd, .events = POLLIN};

	if (!child->reaped) {
		if (poll(&ended, 1, timeout_ms) != 1)
			return -ETIMEDOUT;
		if (waitpid(child->pid, &child->status, 0) != child->pid)
			return -errno;
		child->reaped = true;
	}
	return WIFSIGNALED(child->status) ? 128 + WTERMSIG(child->status)
					  : WEXITSTATUS(child->status);
}

int child_signal(struct child *child, int signal)
{
	if (child->reaped)
		return -ESRCH;
	return kill(child->pid, signal) < 0 ? -errno : 0;
}

void child_kill(struct child *child)
{
	(void)child_signal(child, SIGKILL);
	(void)child_wait(child, -1);
}

static char *written(int fd)
{
	struct stat file;
	ssize_t length = 0;
	char *text;

	if (fstat(fd, &file) < 0)
		abort();
	text = malloc((size_t)file.st_size + 1);
	if (!text)
		abort();
	length = pread(fd, text, (size_t)file.st_size, 0);
	text[length > 0 ? length : 0] = '\0';
	return text;
}

char *child_output(const struct child *child)
{
	return written(child->output);
}

char *child_errors(const struct child *child)
{
	return written(child->errors);
}

static bool has_written(const struct child *child, const char *text)
{
	cleanup_free char *output = child_output(child);
	cleanup_free char *errors = child_errors(child);

	return strstr(output, text) || strstr(errors, text);
}

int child_wait_output(struct child *child, const char *text, int timeout_ms)
{
	for (int waited = 0;; waited++) {
		/* Asked before the look at the output: what it wrote last is then seen. */
		bool alive = child_is_alive(child);

		if (has_written(child, text))
			return 0;
		if (!alive)
			return -ECHILD;
		if (waited >= timeout_ms)
			return -ETIMEDOUT;
		(void)child_wait(child, 1);
	}
}

struct child *child_end(struct child *child)
{
	struct child **link = &children;

	if (!child)
		return NULL;
	child_kill(child);
	while (*link && *link != child)
		link = &(*link)->next;
	if (*link)
		*link = child->next;
	(void)close_fd(child->pidfd);
	(void)close_fd(child->output);
	(void)close_fd(child->errors);
	free(child->name);
	free(child);
	return NULL;
}

void children_end(void)
{
	while (children) {
		cleanup_free char *errors = child_errors(children);

		if (*errors)
			(void)fprintf(stderr, "---- stderr of %s ----\n%s", children->name, errors);
		(void)child_end(children);
	}
}

int child_run(struct ran *ret, const struct child_options *options, int timeout_ms)
{
	struct child *child;
	int r = child_start(&child, options);

	if (r < 0)
		return r;
	r = child_wait(child, timeout_ms);
	if (r >= 0) {
		*ret = (struct ran){r, child_output(child), child_errors(child)};
		r = 0;
	}
	(void)child_end(child);
	return r;
}

void ran_clear(struct ran *ran)
{
	free(ran->output);
	free(ran->errors);
	*ran = (struct ran){0};
}
