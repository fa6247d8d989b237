// SPDX-License-Identifier: BSD-2-Clause
/*
 * traffic: sends UDP frames by one end of a veth pair at millions a second and tells exactly how many
 * entered the other end's receive rings. How: tests/live/traffic.h.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "daemon/cleanup.h"
#include "tests/live/netns.h"
#include "tests/live/packet.h"
#include "tests/live/traffic.h"

#define CPUS_MAX   64
#define LENGTH_MAX 3000

static const char usage[] =
	"usage: traffic [OPTIONS] DEVICE\n"
	"Sends UDP frames by DEVICE, a veth whose other end has an XDP program or GRO on.\n"
	"\n"
	"  -n COUNT    frames from each CPU (0: until the time is over or a signal comes)\n"
	"  -t SECONDS  at most so long\n"
	"  -r RATE     frames a second from each CPU (0: as fast as can be)\n"
	"  -c CPUS     0 or 0,1: where to send from; frames arrive on queue CPU modulo the queues\n"
	"  -l LENGTH   bytes of a frame, 60 to 3000 (60)\n"
	"  -f FLOWS    so many UDP source ports, from 1024 on (1)\n"
	"  -d MAC      destination\n"
	"  -N          number the payload's first 8 bytes, from 0 on for each CPU\n"
	"  -T          tell the time in them: when it was sent, CLOCK_MONOTONIC\n"
	"  -1          one by one, evenly: each is received before the next is sent\n"
	"\n"
	"Prints how many frames were attempted, sent and lost, and the time.\n";

struct arguments {
	struct traffic_options options;
	struct packet_udp addresses;
	int cpus[CPUS_MAX];
	size_t n_cpus;
	double seconds;
};

__attribute__((noreturn)) static void misused(void)
{
	(void)fputs(usage, stderr);
	exit(1);
}

static uint64_t number(const char *text, uint64_t max)
{
	uint64_t value;
	char *rest;

	errno = 0;
	value = strtoull(text, &rest, 10);
	if (errno || rest == text || *rest || *text == '-' || value > max)
		misused();
	return value;
}

static void parse_cpus(struct arguments *arguments, char *text)
{
	arguments->n_cpus = 0;
	for (char *word; (word = strsep(&text, ","));) {
		if (arguments->n_cpus == CPUS_MAX)
			misused();
		arguments->cpus[arguments->n_cpus++] = (int)number(word, INT32_MAX);
	}
}

static void parse_seconds(struct arguments *arguments, const char *text)
{
	char *rest;

	arguments->seconds = strtod(text, &rest);
	if (rest == text || *rest || !(arguments->seconds > 0))
		misused();
}

static void parse(struct arguments *arguments, int argc, char **argv)
{
	int option;

	*arguments = (struct arguments){.options.length = ETH_ZLEN, .n_cpus = 1};
	while ((option = getopt(argc, argv, "n:t:r:c:l:f:d:NT1h")) != -1) {
		switch (option) {
		case 'n':
			arguments->options.count = number(optarg, INT64_MAX);
			break;
		case 't':
			parse_seconds(arguments, optarg);
			break;
		case 'r':
			arguments->options.rate = number(optarg, 1000 * 1000 * 1000);
			break;
		case 'c':
			parse_cpus(arguments, optarg);
			break;
		case 'l':
			arguments->options.length = number(optarg, LENGTH_MAX);
			break;
		case 'f':
			arguments->options.flows = (uint32_t)number(optarg, 65536 - 1024);
			break;
		case 'd':
			if (!ether_aton_r(optarg, &arguments->addresses.to))
				misused();
			break;
		case 'N':
			arguments->options.number_at = PACKET_UDP_PAYLOAD;
			break;
		case 'T':
			arguments->options.time_at = PACKET_UDP_PAYLOAD;
			break;
		case '1':
			arguments->options.singly = true;
			break;
		case 'h':
			(void)fputs(usage, stdout);
			exit(0);
		default:
			misused();
		}
	}
	if (optind != argc - 1 || arguments->options.length < ETH_ZLEN ||
	    (arguments->options.number_at && arguments->options.time_at))
		misused();
	arguments->options.device = argv[optind];
}

/* Ends all senders when the time is over or a signal comes; those with a count end by themselves. */
static void wait_for_end(const struct arguments *arguments, struct traffic *const *senders)
{
	int64_t left = arguments->seconds > 0 ? (int64_t)(arguments->seconds * 1000) : INT64_MAX;
	cleanup_fd int signals = -1;
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	for (; left > 0; left -= 10) {
		struct pollfd readable = {.fd = signals, .events = POLLIN};
		bool sending = false;

		for (size_t i = 0; i < arguments->n_cpus; i++)
			sending = sending || traffic_is_sending(senders[i]);
		if (!sending || poll(&readable, 1, left < 10 ? (int)left : 10) == 1)
			return;
	}
}

int main(int argc, char **argv)
{
	struct traffic *senders[CPUS_MAX];
	struct traffic_result sum = {0};
	struct arguments arguments;
	uint8_t frame[LENGTH_MAX];
	size_t started = 0;
	sigset_t set;
	int r = 0;

	parse(&arguments, argc, argv);
	(void)device_mac(arguments.options.device, &arguments.addresses.from);
	packet_udp(frame, arguments.options.length, &arguments.addresses);
	arguments.options.frame = frame;

	/* The senders live on when the terminal interrupts, so that what they sent is told. */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	for (; r == 0 && started < arguments.n_cpus; started += r == 0) {
		arguments.options.cpu = arguments.cpus[started];
		r = traffic_start(&senders[started], &arguments.options);
	}
	if (r == 0)
		wait_for_end(&arguments, senders);
	for (size_t i = 0; i < started; i++) {
		struct traffic_result result;
		int ended = traffic_stop(senders[i], &result);

		if (ended < 0) {
			r = ended;
			continue;
		}
		sum.attempted += result.attempted;
		sum.sent += result.sent;
		sum.lost += result.lost;
		if (sum.nanoseconds < result.nanoseconds)
			sum.nanoseconds = result.nanoseconds;
	}
	if (r < 0) {
		(void)fprintf(stderr, "traffic: can't send by %s: %s\n", arguments.options.device,
			      strerror(-r));
		return 2;
	}
	printf("attempted %" PRIu64 "\nsent      %" PRIu64 "\nlost      %" PRIu64
	       "\nseconds   %.3f\n",
	       sum.attempted, sum.sent, sum.lost, (double)sum.nanoseconds / 1e9);
	return 0;
}
