// SPDX-License-Identifier: BSD-2-Clause
/*
 * libxdp-connect: from before a socket of libxdp's is made to the first frame in hand, again and again, while traffic
 * flows. With pauses of 0 by a program that is killed and started again at once, also when it finds the queue taken yet:
 * from the kill to the next one's first frame.
 */
#include <spawn.h>
#include <sys/wait.h>

#include "tests/bench/connect.h"
#include "tests/bench/peers/socket.h"

extern char **environ;

static void wait_for_frame(struct libxdp *libxdp)
{
	struct receiver receiver = {0};

	while (!libxdp_burst(&receiver, &libxdp->rings))
		libxdp_wait(libxdp);
}

/* Nanoseconds. */
struct times {
	uint64_t opening, first;
};

/* In a process of its own, as it ends when the queue is taken yet. */
static struct times open_once(const char *device)
{
	const struct receiver receiver = {.device = device};
	const uint64_t begun = clock_now();
	struct times times;
	struct libxdp libxdp;

	if (libxdp_try_open(&libxdp, &receiver, 0) < 0)
		receiver_die("the queue is taken", EBUSY);
	times.opening = clock_now() - begun;
	wait_for_frame(&libxdp);
	times.first = clock_now() - begun;
	libxdp_close(&libxdp);
	return times;
}

/* Returns 1 if it could be opened. */
static int open_in_child(const char *device, struct times *ret)
{
	int pipe_fds[2], opened;
	pid_t pid;

	if (pipe(pipe_fds) < 0)
		receiver_die("no pipe", errno);
	pid = fork();
	if (pid == 0) {
		const struct times times = open_once(device);

		_exit(write(pipe_fds[1], &times, sizeof(times)) != sizeof(times));
	}
	(void)close(pipe_fds[1]);
	opened = read(pipe_fds[0], ret, sizeof(*ret)) == sizeof(*ret);
	(void)close(pipe_fds[0]);
	(void)waitpid(pid, NULL, 0);
	return opened;
}

static void open_again_and_again(const struct connect_options *options)
{
	static struct histogram opening, first;
	unsigned int failures = 0;

	while (first.values < options->times) {
		struct times times;

		connect_pause(options->pause_ms);
		if (open_in_child(options->device, &times)) {
			histogram_add(&opening, times.opening);
			histogram_add(&first, times.first);
		} else if (++failures > options->times) {
			receiver_die("can't open a socket", EBUSY);
		}
	}
	histogram_print(&opening, "attach");
	histogram_print(&first, "first");
}

/* A process of its own: tells the first frame, and receives until it is killed. */
static void receive(const struct connect_options *options)
{
	const struct receiver receiver = {.device = options->device};
	struct libxdp libxdp;

	if (libxdp_try_open(&libxdp, &receiver, 0) < 0)
		receiver_die("the queue is taken", EBUSY);
	wait_for_frame(&libxdp);
	(void)puts("first");
	(void)fflush(stdout);
	for (;;)
		wait_for_frame(&libxdp);
}

struct process {
	pid_t pid;
	int output;
};

/* As another program would be: by its file. */
static struct process launch(char **argv)
{
	char *again[] = {argv[0], "-n", "0", argv[1], NULL};
	posix_spawn_file_actions_t actions;
	struct process process;
	int pipe_fds[2], r;

	if (pipe(pipe_fds) < 0)
		receiver_die("no pipe", errno);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
	(void)posix_spawn_file_actions_addclose(&actions, pipe_fds[0]);
	(void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 1, 0);
	r = posix_spawn(&process.pid, "/proc/self/exe", &actions, NULL, again, environ);
	if (r)
		receiver_die("can't start", r);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(pipe_fds[1]);
	process.output = pipe_fds[0];
	return process;
}

/* Until one has its first frame. */
static struct process launch_until_it_receives(char **argv)
{
	for (;;) {
		struct process process = launch(argv);
		char byte;

		if (read(process.output, &byte, 1) == 1)
			return process;
		(void)close(process.output);
		(void)waitpid(process.pid, NULL, 0);
	}
}

static void kill_again_and_again(const struct connect_options *options, char **argv)
{
	char *const arguments[] = {argv[0], (char *)options->device};
	struct process process = launch_until_it_receives((char **)arguments);
	static struct histogram gap;

	for (unsigned int i = 0; i < options->times; i++) {
		uint64_t killed;

		connect_pause(200);
		killed = clock_now();
		(void)kill(process.pid, SIGKILL);
		(void)waitpid(process.pid, NULL, 0);
		(void)close(process.output);
		process = launch_until_it_receives((char **)arguments);
		histogram_add(&gap, clock_now() - killed);
	}
	(void)kill(process.pid, SIGKILL);
	(void)waitpid(process.pid, NULL, 0);
	histogram_print(&gap, "gap");
}

int main(int argc, char **argv)
{
	const struct connect_options options = connect_options(argc, argv);

	if (!options.times)
		receive(&options);
	else if (options.pause_ms)
		open_again_and_again(&options);
	else
		kill_again_and_again(&options, argv);
	return 0;
}
