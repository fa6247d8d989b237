/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs that are compared have in common, which is all but their rings: arguments and the end
 * by a signal. Each says `ready` when frames can arrive, and at its end `received N`, what became of them else, and
 * `transmitted N`.
 */
#ifndef TESTS_BENCH_RECEIVER_H
#define TESTS_BENCH_RECEIVER_H

#include <net/ethernet.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BURST	64
#define WAIT_MS 100 /* a signal may come right before the sleep */
#define HEADER	64  /* bytes of each transmitted frame that are written anew */

struct receiver {
	const char *device;
	const char *socket; /* the daemon's */
	const char *group;  /* of shared delivery; NULL: its own */
	int waits;	    /* it sleeps when there is nothing: for receivers that share a CPU */
	int taps;	    /* it looks on */
	int unread;	    /* it looks at no frame */
	uint32_t coalesce_usecs; /* what arrives gathers for so long while it sleeps */
	int fanout;	    /* the number of an AF_PACKET fanout group; 0: none */
	uint32_t length;    /* of the frames that it transmits */
	uint64_t frames;
	uint64_t seen; /* the sum of the frames' first bytes: each was looked at */
	uint64_t transmitted;
};

static volatile sig_atomic_t receiver_stopped;

static inline void receiver_stop(int signal_number)
{
	(void)signal_number;
	receiver_stopped = 1;
}

__attribute__((noreturn)) static inline void receiver_die(const char *what, int r)
{
	(void)fprintf(stderr, "%s: %s\n", what, strerror(r < 0 ? -r : r));
	exit(2);
}

static const char receiver_usage[] = "usage: %s [OPTIONS] DEVICE\n"
				     "\n"
				     "  -s SOCKET  xdpd's\n"
				     "  -g GROUP   of shared delivery\n"
				     "  -t         as a tap\n"
				     "  -u         look at no frame\n"
				     "  -f GROUP   an AF_PACKET fanout group's number\n"
				     "  -l LENGTH  of frames to transmit (64)\n"
				     "  -c USECS   let frames gather when it sleeps\n"
				     "  -w         sleep when there is nothing to receive\n";

static inline struct receiver receiver_begin(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = receiver_stop};
	struct receiver receiver = {.length = 64};
	int option;

	while ((option = getopt(argc, argv, "s:g:tuf:l:c:w")) != -1) {
		switch (option) {
		case 's':
			receiver.socket = optarg;
			break;
		case 'g':
			receiver.group = optarg;
			break;
		case 't':
			receiver.taps = 1;
			break;
		case 'u':
			receiver.unread = 1;
			break;
		case 'f':
			receiver.fanout = atoi(optarg);
			break;
		case 'l':
			receiver.length = (uint32_t)atoi(optarg);
			break;
		case 'c':
			receiver.coalesce_usecs = (uint32_t)atoi(optarg);
			break;
		case 'w':
			receiver.waits = 1;
			break;
		default:
			(void)fprintf(stderr, receiver_usage, argv[0]);
			exit(1);
		}
	}
	if (optind != argc - 1 || receiver.length < ETH_ZLEN || receiver.length > ETH_FRAME_LEN) {
		(void)fprintf(stderr, receiver_usage, argv[0]);
		exit(1);
	}
	receiver.device = argv[optind];
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	return receiver;
}

static inline void receiver_ready(void)
{
	(void)puts("ready");
	(void)fflush(stdout);
}

static inline int receiver_end(const struct receiver *receiver)
{
	(void)printf("received %llu, seen %llu\n", (unsigned long long)receiver->frames,
		     (unsigned long long)receiver->seen);
	(void)printf("transmitted %llu\n", (unsigned long long)receiver->transmitted);
	return 0;
}

/* ---- what is done with a frame ---- */

static inline void swap_macs(void *frame)
{
	struct ether_header *header = frame;
	const struct ether_header before = *header;

	memcpy(header->ether_dhost, before.ether_shost, ETH_ALEN);
	memcpy(header->ether_shost, before.ether_dhost, ETH_ALEN);
}

/* An ethertype for experiments: no stack answers. */
static inline void write_header(void *frame)
{
	static const uint8_t header[HEADER] = {0x02, 0, 0, 0, 0, 2,    0x02,
					       0,    0, 0, 0, 1, 0x88, 0xb5};

	memcpy(frame, header, sizeof(header));
}

#endif
