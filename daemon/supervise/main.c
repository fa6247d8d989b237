/* SPDX-License-Identifier: BSD-2-Clause */
/* xdpd-supervise: what systemd does for xdpd, where there is no systemd: in a container, or in a test. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/supervise/say.h"
#include "daemon/supervise/supervisor.h"

#define MAX_DEFAULT	     16384
#define MAX_MAX		     1000000
#define STOP_SECONDS_DEFAULT 15

/* fds besides those that are kept: its own, and those of a message that is being read. */
#define SPARE_FDS 320

static void print_help(void)
{
	printf("Usage: xdpd-supervise [OPTION ...] -- PROGRAM [ARGUMENT ...]\n"
	       "\n"
	       "Runs a program that keeps fds with its service manager, and starts it again with "
	       "them when it\n"
	       "dies: for containers and tests, where systemd does not. For example:\n"
	       "\n"
	       "    xdpd-supervise -- xdpd --config /etc/xdpd/xdpd.yaml\n"
	       "\n"
	       "  --max N               fds that it keeps at most (default: %d)\n"
	       "  --watchdog SECONDS    SIGABRT if the program, once ready, is silent for as long\n"
	       "  --stop-seconds N      SIGKILL if it has not ended so long after it was told to "
	       "(default: %d)\n"
	       "  --status-file FILE    keep a file that says what is: lines of `state:` "
	       "(starting, "
	       "ready, waiting,\n"
	       "                        restarting, stopping or ended), `pid:`, `restarts:`, "
	       "`fds:` that it keeps,\n"
	       "                        `refused:` that it could not keep, and the program's own "
	       "`status:`\n"
	       "  --version             print the version and end\n"
	       "  -h, --help            print this and end\n"
	       "\n"
	       "It ends when the program ends with status 0 or 78 (the config is not valid), or "
	       "when told to. After\n"
	       "any other end the program is started again: at once, or a little later if it "
	       "keeps dying before it is ready.\n"
	       "Signals:\n"
	       "\n"
	       "  SIGTERM, SIGINT  SIGTERM to the program; ends when that has ended, and closes "
	       "what it keeps\n"
	       "  SIGUSR1          restart: SIGUSR1 to the program, which is started again however "
	       "it ends\n"
	       "  SIGHUP           to the program\n"
	       "\n"
	       "Messages: READY=1, STATUS=, WATCHDOG=1, FDSTORE=1, FDSTOREREMOVE=1, FDNAME=, "
	       "FDPOLL= "
	       "[sd_notify(3)],\n"
	       "of the program's own process only. As PID 1 it reaps what others leave behind.\n"
	       "\n"
	       "Exit status: the program's, 128 + N if signal N killed it; 1 could not start; 127 "
	       "no such program.\n",
	       MAX_DEFAULT, STOP_SECONDS_DEFAULT);
}

/* Decimals are fine. false: it makes no sense. */
static bool parse_seconds(const char *text, uint64_t *ret_usec)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !isfinite(seconds) || seconds < 0.001 || seconds > 1e6)
		return false;
	*ret_usec = (uint64_t)(seconds * 1e6);
	return true;
}

static bool parse_max(const char *text, size_t *ret)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || text[0] == '-' || n > MAX_MAX)
		return false;
	*ret = n;
	return true;
}

/* Returns -1 to go on, else the exit status. */
static int parse_options(struct supervisor_options *options, int argc, char **argv)
{
	enum { MAX = 256, WATCHDOG, STOP, STATUS, VERSION };
	static const struct option known[] = {
		{"max", required_argument, NULL, MAX},
		{"watchdog", required_argument, NULL, WATCHDOG},
		{"stop-seconds", required_argument, NULL, STOP},
		{"status-file", required_argument, NULL, STATUS},
		{"version", no_argument, NULL, VERSION},
		{"help", no_argument, NULL, 'h'},
		{},
	};
	bool valid = true;
	int option;

	while (valid && (option = getopt_long(argc, argv, "+h", known, NULL)) >= 0) {
		switch (option) {
		case MAX:
			valid = parse_max(optarg, &options->max);
			break;
		case WATCHDOG:
			valid = parse_seconds(optarg, &options->watchdog_usec);
			break;
		case STOP:
			valid = parse_seconds(optarg, &options->stop_usec);
			break;
		case STATUS:
			options->status_file = optarg;
			break;
		case VERSION:
			puts("xdpd-supervise " XDPD_RELEASE);
			return 0;
		case 'h':
			print_help();
			return 0;
		default:
			return 1;
		}
	}
	if (!valid) {
		say("`%s` is not a number that this option takes; see xdpd-supervise --help",
		    optarg);
		return 1;
	}
	if (optind == argc) {
		say("no program is named; see xdpd-supervise --help");
		return 1;
	}
	options->argv = argv + optind;
	return -1;
}

/* The kept fds have to be able to arrive and to be passed on: the program gets the same limit. */
static int raise_limit(struct supervisor_options *options)
{
	const rlim_t need = options->max + SPARE_FDS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= need)
		return 0;
	limit.rlim_cur = need;
	if (limit.rlim_max < need)
		limit.rlim_max = need;
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return 0;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max <= SPARE_FDS) {
		say("the limit of open files is %llu; raise it to %llu (ulimit -n)",
		    (unsigned long long)limit.rlim_max, (unsigned long long)need);
		return -EMFILE;
	}
	options->max = limit.rlim_max - SPARE_FDS;
	say("keeps only %zu fds at most, as the limit of open files is %llu (ulimit -n)",
	    options->max, (unsigned long long)limit.rlim_max);
	return 0;
}

/* 0 to 2 are open, whatever they are, and nothing else that the program would inherit. */
static void tidy_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	(void)close_range(STDERR_FILENO + 1, ~0u, 0);
}

int main(int argc, char **argv)
{
	struct supervisor_options options = {
		.max = MAX_DEFAULT,
		.stop_usec = STOP_SECONDS_DEFAULT * UINT64_C(1000000),
	};
	int status = parse_options(&options, argc, argv);

	if (status >= 0)
		return status;
	tidy_fds();
	if (raise_limit(&options) < 0)
		return 1;
	return supervise(&options);
}
