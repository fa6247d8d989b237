// SPDX-License-Identifier: BSD-2-Clause
/* Receives a queue's frames and counts or shows them. */
#include "example.h"

#include <ctype.h>

static const char help[] = "\n"
			   "Receives a queue's frames through xdpd and counts them.\n"
			   "\n"
			   "  -x, --hexdump        show every frame\n";

struct receiver {
	struct example example;
	bool hexdump;
	uint64_t frames, bytes;
};

static void hexdump(const unsigned char *frame, uint32_t length)
{
	for (uint32_t at = 0; at < length; at += 16) {
		uint32_t n = length - at < 16 ? length - at : 16;

		printf("  %04x ", at);
		for (uint32_t i = 0; i < 16; i++)
			if (i < n)
				printf(" %02x", frame[at + i]);
			else
				printf("   ");
		printf("  ");
		for (uint32_t i = 0; i < n; i++)
			putchar(isprint(frame[at + i]) ? frame[at + i] : '.');
		putchar('\n');
	}
}

/* Takes in one burst, at most as many frames as are still wanted. */
static uint32_t receive(struct receiver *receiver)
{
	struct xdpd *x = receiver->example.x;
	uint64_t wanted = receiver->example.count - receiver->frames;
	struct xdp_desc frames[BURST_MAX];
	uint32_t n = xdpd_rx(x, frames, wanted < BURST_MAX ? (uint32_t)wanted : BURST_MAX);

	for (uint32_t i = 0; i < n; i++) {
		receiver->bytes += frames[i].len;
		if (receiver->hexdump) {
			printf("frame %llu, %u bytes\n",
			       (unsigned long long)(receiver->frames + i + 1), frames[i].len);
			hexdump(xdpd_frame(x, frames[i].addr), frames[i].len);
		}
	}
	xdpd_release(x, frames, n);
	receiver->frames += n;
	return n;
}

/* What has arrived already is received, too; but under traffic that does not end, this does. */
static void drain(struct receiver *receiver)
{
	uint64_t limit = receiver->frames + xdpd_frames(receiver->example.x);

	while (receiver->frames < limit && receive(receiver) > 0)
		;
}

static int run(struct receiver *receiver)
{
	struct example *example = &receiver->example;
	uint64_t end = example->seconds ? now_ns() + example->seconds * NSEC : UINT64_MAX;
	struct meter meter;
	uint64_t now;
	int r = 0;

	meter_start(&meter);
	while (!stopped && r >= 0 && receiver->frames < example->count) {
		/* The clock is looked at only between runs of bursts. */
		for (int i = 0; i < 256 && receive(receiver) > 0; i++)
			;
		now = now_ns();
		if (now >= end)
			break;
		if (!example->quiet && now >= meter.next)
			meter_show(&meter, "receiving", receiver->frames, now);
		if (receiver->frames < example->count)
			r = wait_for_frames(example, 100);
	}
	drain(receiver);
	return r;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"hexdump", no_argument, NULL, 'x'},
						COMMON_OPTIONS};
	struct receiver receiver = {
		.example = {.program = "xdpd-rx", .help = help, .count = UINT64_MAX},
	};
	struct example *example = &receiver.example;
	struct xdpd_stats stats;
	int option, r;

	while ((option = getopt_long(argc, argv, "x" COMMON_LETTERS, options, NULL)) >= 0)
		if (option == 'x')
			receiver.hexdump = true;
		else
			take_option(example, option);
	take_arguments(example, argc, argv);
	begin(example, 0);
	r = run(&receiver);
	stats = read_stats(example);
	r = finish(example, r, receiver.frames);
	printf("received %llu frames %llu bytes, dropped %llu, ring full %llu\n",
	       (unsigned long long)receiver.frames, (unsigned long long)receiver.bytes,
	       (unsigned long long)stats.dropped, (unsigned long long)stats.ring_full);
	return r;
}
