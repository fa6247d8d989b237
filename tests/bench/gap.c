// SPDX-License-Identifier: BSD-2-Clause
/*
 * gap FILE COMMAND...: runs a command that disturbs a receiver, when frames come, waits until they come again, and tells
 * of what the receiver has written down meanwhile (arrivals.h) the longest time without a frame: its begin and end, in
 * microseconds of CLOCK_MONOTONIC, and how many frames are missing among the numbers of all that came.
 *
 *     without BEGIN END missing N
 *
 * gap FILE after MICROSECONDS: when the first burst after that was in hand.
 */
#include <inttypes.h>
#include <spawn.h>
#include <sys/wait.h>

#include "tests/bench/arrivals.h"

#define SETTLE	300000000 /* nanoseconds that are looked at after the command has ended, */
#define STEADY	100000000 /* or more, as the last frame shall not be older then */
#define GIVE_UP 10000000000

extern char **environ;

static void run(char **command)
{
	int status;
	pid_t pid;
	int r = posix_spawnp(&pid, command[0], NULL, NULL, command, environ);

	if (r)
		receiver_die(command[0], r);
	if (waitpid(pid, &status, 0) != pid || status)
		receiver_die(command[0], ECHILD);
}

static int frames_come(const struct arrivals *arrivals)
{
	const uint64_t n = arrivals_count(arrivals);

	return n && (int64_t)(clock_now() - arrivals->burst[n - 1].at) < STEADY;
}

/* For so long at the least. */
static void wait_for_frames(const struct arrivals *arrivals, uint64_t nanoseconds)
{
	const uint64_t begun = clock_now();
	uint64_t waited = 0;

	while (waited < nanoseconds || !frames_come(arrivals)) {
		if (waited > GIVE_UP)
			receiver_die("no frame comes", ETIMEDOUT);
		(void)usleep(10000);
		waited = clock_now() - begun;
	}
}

/* Of the bursts from `first` on. */
static void tell(const struct arrivals *arrivals, uint64_t first)
{
	const uint64_t n = arrivals_count(arrivals);
	const struct arrival *burst = arrivals->burst, *before = &burst[first];

	for (uint64_t i = first + 1; i + 1 < n; i++)
		if (burst[i + 1].at - burst[i].at > before[1].at - before[0].at)
			before = &burst[i];
	(void)printf("without %" PRIu64 " %" PRIu64 " missing %" PRIi64 "\n", before[0].at / 1000,
		     before[1].at / 1000,
		     (int64_t)((burst[n - 1].number - burst[first].number) -
			       (burst[n - 1].frames - burst[first].frames)));
}

static uint64_t first_after(const struct arrivals *arrivals, uint64_t nanoseconds)
{
	uint64_t i = arrivals_count(arrivals);

	while (i > 0 && arrivals->burst[i - 1].at >= nanoseconds)
		i--;
	return arrivals->burst[i].at;
}

int main(int argc, char **argv)
{
	const struct arrivals *arrivals;
	uint64_t n;

	if (argc < 3)
		return 1;
	arrivals = arrivals_open(argv[1]);
	if (argc == 4 && !strcmp(argv[2], "after")) {
		(void)printf("%" PRIu64 "\n",
			     first_after(arrivals, strtoull(argv[3], NULL, 10) * 1000) / 1000);
		return 0;
	}
	wait_for_frames(arrivals, 0);
	n = arrivals_count(arrivals);
	run(argv + 2);
	wait_for_frames(arrivals, SETTLE);
	tell(arrivals, n - 1);
	return 0;
}
