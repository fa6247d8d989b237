/* SPDX-License-Identifier: BSD-2-Clause */
/* What the examples have in common: their options, their beginning and their end. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "xdpd.h"

#define BURST_MAX 64
#define NSEC	  1000000000ull

enum exit_status {
	EXIT_DONE = 0,
	EXIT_USAGE = 1,
	EXIT_REFUSED = 2,   /* xdpd said no, or ended the attachment */
	EXIT_NO_DAEMON = 3, /* nobody listens, or xdpd has gone */
	EXIT_TOO_FEW = 4,   /* the time was over before the count was reached */
};

/* Options without a letter; those of one example begin at OPTION_OWN. */
enum { OPTION_HOLD = 256, OPTION_TAP, OPTION_COALESCE, OPTION_REATTACH, OPTION_OWN };

#define COMMON_LETTERS "s:n:c:t:g:qvh"
#define COMMON_OPTIONS                                                                        \
	{"socket", required_argument, NULL, 's'}, {"name", required_argument, NULL, 'n'},     \
		{"count", required_argument, NULL, 'c'},                                      \
		{"seconds", required_argument, NULL, 't'}, {"quiet", no_argument, NULL, 'q'}, \
		{"verbose", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'},        \
		{"group", required_argument, NULL, 'g'},                                      \
		{"hold", no_argument, NULL, OPTION_HOLD},                                     \
		{"tap", no_argument, NULL, OPTION_TAP},                                       \
		{"coalesce", required_argument, NULL, OPTION_COALESCE},                       \
		{"reattach", no_argument, NULL, OPTION_REATTACH},                             \
	{                                                                                     \
	}
#define COMMON_HELP                                                                               \
	"  -c, --count N        end after N frames\n"                                             \
	"  -t, --seconds N      end after N seconds\n"                                            \
	"  -s, --socket PATH    xdpd's socket (default: $XDPD_SOCKET, " XDPD_DEFAULT_SOCKET ")\n" \
	"  -n, --name NAME      the name that xdpd shows for this program\n"                      \
	"  -g, --group NAME     on a shared queue: the group to join (default: one of this name)\n" \
	"      --hold           on a shared queue: hold frames that are lent, ...\n"              \
	"      --tap            ... or look on (default: as the group is configured)\n"           \
	"      --coalesce USECS let frames gather for so long: less CPU time, more latency\n"      \
	"      --reattach       when xdpd or the interface goes away, wait until it is back\n"    \
	"  -q, --quiet          no line each second\n"                                            \
	"  -v, --verbose        say who runs this, with which privileges, and xdpd's events\n"    \
	"  -h, --help           this text\n"                                                      \
	"\n"                                                                                      \
	"Exit status: 0 done (count or time reached, or a signal), 1 usage, 2 refused or ended "  \
	"by xdpd,\n"                                                                              \
	"3 no xdpd there, 4 the time was over before the count was reached.\n"

struct example {
	const char *program;
	const char *help;
	const char *socket, *name, *device, *group;
	uint32_t queue;
	uint32_t flags;	      /* enum xdpd_attach_flags */
	uint32_t snap_length; /* of a tap */
	uint32_t coalesce_usecs;
	uint64_t count;	  /* UINT64_MAX: no limit */
	uint64_t seconds; /* 0: no limit */
	bool quiet, verbose, reattach;
	struct xdpd *x;
	uint64_t frames, bytes; /* received, reflected or sent */
};

static volatile sig_atomic_t stopped;

static void on_signal(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC + (uint64_t)now.tv_nsec;
}

static inline void usage_error(const struct example *example, const char *what, const char *found)
{
	fprintf(stderr, "%s: %s, not `%s`; see --help\n", example->program, what, found);
	exit(EXIT_USAGE);
}

/* A number of [min, max] in decimal, or the program ends. */
static inline uint64_t parse_number(const struct example *example, const char *name,
				    const char *text, uint64_t min, uint64_t max)
{
	char *end = NULL;
	char what[128];
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && !errno && !*end && value >= min && value <= max)
		return value;
	snprintf(what, sizeof(what), "%s is a number from %llu to %llu", name,
		 (unsigned long long)min, (unsigned long long)max);
	usage_error(example, what, text);
	return 0;
}

/* An option that all have; what is none of them ends the program. */
static inline void take_option(struct example *example, int option)
{
	switch (option) {
	case 's':
		example->socket = optarg;
		break;
	case 'n':
		example->name = optarg;
		break;
	case 'c':
		example->count = parse_number(example, "--count", optarg, 1, UINT64_MAX - 1);
		break;
	case 't':
		example->seconds = parse_number(example, "--seconds", optarg, 1, UINT32_MAX);
		break;
	case 'g':
		example->group = optarg;
		break;
	case OPTION_HOLD:
		example->flags |= XDPD_ATTACH_HOLD;
		break;
	case OPTION_TAP:
		example->flags |= XDPD_ATTACH_TAP;
		break;
	case OPTION_COALESCE:
		example->coalesce_usecs = (uint32_t)parse_number(example, "--coalesce", optarg, 1, 1000000);
		break;
	case OPTION_REATTACH:
		example->reattach = true;
		break;
	case 'q':
		example->quiet = true;
		break;
	case 'v':
		example->verbose = true;
		break;
	case 'h':
		printf("usage: %s [options] DEVICE QUEUE\n%s" COMMON_HELP, example->program,
		       example->help);
		exit(EXIT_DONE);
	default:
		fprintf(stderr, "usage: %s [options] DEVICE QUEUE; see --help\n", example->program);
		exit(EXIT_USAGE);
	}
}

static inline void take_arguments(struct example *example, int argc, char **argv)
{
	if (argc - optind != 2)
		take_option(example, '?');
	if ((example->flags & XDPD_ATTACH_HOLD) && (example->flags & XDPD_ATTACH_TAP))
		usage_error(example, "one of --hold and --tap is wanted", "both");
	example->device = argv[optind];
	example->queue = (uint32_t)parse_number(example, "QUEUE", argv[optind + 1], 0, UINT32_MAX);
}

static inline void print_privileges(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];

	fprintf(stderr, "uid %u, pid %d", getuid(), getpid());
	while (status && fgets(line, sizeof(line), status))
		if (!strncmp(line, "CapEff:", 7))
			fprintf(stderr, ", effective capabilities %.*s",
				(int)strcspn(line + 8, "\n"), line + 8);
	fputc('\n', stderr);
	if (status)
		fclose(status);
}

static inline int status_of_error(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED || r == -ECONNRESET ? EXIT_NO_DAEMON
								      : EXIT_REFUSED;
}

/* Connects and attaches, or ends the program with the reason. From here on signals set `stopped`. */
static inline void begin(struct example *example, uint32_t flags)
{
	const struct xdpd_attach_options options = {
		.size = sizeof(options),
		.flags = example->flags | flags,
		.group = example->group,
		.snap_length = example->snap_length,
		.reattach_ms = example->reattach ? -1 : 0,
		.coalesce_usecs = example->coalesce_usecs,
	};
	struct sigaction action = {.sa_handler = on_signal};
	int r = xdpd_connect(&example->x, example->socket, example->name);

	if (r < 0) {
		fprintf(stderr, "%s: can't connect to xdpd: %s\n", example->program, strerror(-r));
		exit(status_of_error(r));
	}
	r = xdpd_attach(example->x, example->device, example->queue, &options);
	if (r < 0) {
		const char *reason = xdpd_reason(example->x);

		fprintf(stderr, "%s: can't attach to %s queue %u: %s\n", example->program,
			example->device, example->queue, *reason ? reason : strerror(-r));
		xdpd_close(example->x);
		exit(r == -ECONNRESET ? EXIT_NO_DAEMON : EXIT_REFUSED);
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (example->verbose) {
		print_privileges();
		fprintf(stderr, "attached to %s queue %u: %u frames of %u bytes\n", example->device,
			example->queue, xdpd_frames(example->x), xdpd_frame_size(example->x));
		if (*xdpd_group(example->x))
			fprintf(stderr, "in group %s, %s\n", xdpd_group(example->x),
				xdpd_is_tap(example->x) ? "as a tap" : "holding frames");
	}
}

/* Zeroes if they can't be had, which the totals then show. */
static inline struct xdpd_stats read_stats(struct example *example)
{
	struct xdpd_stats stats = {.size = sizeof(stats)};

	(void)xdpd_stats(example->x, &stats);
	return stats;
}

/* No example holds frames while it waits, so that to say it is all there is to do. */
static inline void say_what_happened(struct example *example, int ready)
{
	if (ready & XDPD_WAIT_DETACHED)
		fprintf(stderr, "%s: %s queue %u: detached, and trying to attach again: %s\n",
			example->program, example->device, example->queue, xdpd_reason(example->x));
	if (ready & XDPD_WAIT_REATTACHED)
		fprintf(stderr,
			"%s: %s queue %u: attached again: %u frames of %u bytes; %llu ms without "
			"an attachment so far\n",
			example->program, example->device, example->queue, xdpd_frames(example->x),
			xdpd_frame_size(example->x),
			(unsigned long long)read_stats(example).gap_ms);
}

/* Waits as xdpd_wait() does; a signal is no error, and events are shown to who wants them. */
static inline int wait_for_frames(struct example *example, int timeout_ms)
{
	struct xdpd_event event;
	int r = xdpd_wait(example->x, timeout_ms);

	while (xdpd_next_event(example->x, &event))
		if (example->verbose)
			fprintf(stderr, "event: %s\n", event.text);
	if (r > 0)
		say_what_happened(example, r);
	return r == -EINTR ? 0 : r;
}

/* A line each second. */
struct meter {
	const char *what;
	uint64_t next, last_frames, last_time;
};

static inline void meter_start(struct meter *meter, const char *what, uint64_t now)
{
	*meter = (struct meter){.what = what, .last_time = now, .next = now + NSEC};
}

static inline void meter_show(struct meter *meter, const struct example *example, uint64_t now)
{
	double seconds = (double)(now - meter->last_time) / (double)NSEC;

	if (example->quiet || now < meter->next)
		return;
	printf("%s %.0f frames/s, %llu in all\n", meter->what,
	       (double)(example->frames - meter->last_frames) / seconds,
	       (unsigned long long)example->frames);
	meter->last_frames = example->frames;
	meter->last_time = now;
	meter->next = now + NSEC;
}

static inline uint64_t end_of_time(const struct example *example, uint64_t now)
{
	return example->seconds ? now + example->seconds * NSEC : UINT64_MAX;
}

/*
 * Calls `burst`, which takes in up to BURST_MAX frames and returns how many, until the count or the time is
 * reached, a signal came, or the attachment has ended (then -errno). What has arrived by then is taken in,
 * too; but under traffic that does not end, this does.
 */
static inline int receive_until_done(struct example *example, const char *what,
				     uint32_t (*burst)(struct example *example))
{
	uint64_t now = now_ns();
	uint64_t end = end_of_time(example, now);
	struct meter meter;
	int r = 0;

	meter_start(&meter, what, now);
	while (!stopped && r >= 0 && now < end && example->frames < example->count) {
		/* The clock is looked at only between runs of bursts. */
		for (int i = 0; i < 256 && burst(example) > 0; i++)
			;
		now = now_ns();
		meter_show(&meter, example, now);
		if (example->frames < example->count)
			r = wait_for_frames(example, 100);
	}
	for (uint32_t i = 0; i <= xdpd_frames(example->x) / BURST_MAX && burst(example) > 0; i++)
		;
	return r;
}

/* How many frames may still be taken in at once. */
static inline uint32_t burst_size(const struct example *example)
{
	uint64_t wanted = example->count - example->frames;

	return wanted < BURST_MAX ? (uint32_t)wanted : BURST_MAX;
}

/* Gives the kernel up to a second to take what is queued; returns how many frames it has not taken. */
static inline uint32_t flush(struct example *example)
{
	uint64_t end = now_ns() + NSEC;
	uint32_t pending = xdpd_tx_pending(example->x);

	while (pending && now_ns() < end) {
		usleep(1000);
		pending = xdpd_tx_pending(example->x);
	}
	return pending;
}

/* Ends the attachment; returns the exit status for how the loop ended (`r` < 0: by an error). */
static inline int finish(struct example *example, int r)
{
	const char *reason = xdpd_reason(example->x);
	const struct xdpd_stats stats = read_stats(example);
	int status = EXIT_DONE;

	if (stats.reattached || stats.gap_ms)
		fprintf(stderr,
			"%s: attached again %llu times, %llu ms without an attachment, %llu frames "
			"not received and %llu not sent by then\n",
			example->program, (unsigned long long)stats.reattached,
			(unsigned long long)stats.gap_ms, (unsigned long long)stats.abandoned,
			(unsigned long long)stats.unsent);
	if (r < 0) {
		fprintf(stderr, "%s: %s queue %u: can't go on: %s\n", example->program,
			example->device, example->queue, *reason ? reason : strerror(-r));
		status = status_of_error(r);
	} else if (example->count != UINT64_MAX && example->frames < example->count && !stopped) {
		status = EXIT_TOO_FEW;
	}
	example->x = xdpd_close(example->x);
	return status;
}

#endif
