// SPDX-License-Identifier: BSD-2-Clause
/* Sends every frame back to where it came from, without a copy. */
#include "example.h"

#include <net/ethernet.h>

static const char help[] = "\n"
			   "Receives a queue's frames through xdpd, swaps the MAC addresses and sends them\n"
			   "back out of the same queue, without a copy.\n"
			   "\n";

struct reflector {
	struct example example;
	uint64_t frames, bytes;
	uint64_t unsent; /* too short for a header, or no room in the TX ring */
};

static void swap_addresses(struct ether_header *header)
{
	uint8_t destination[ETH_ALEN];

	memcpy(destination, header->ether_dhost, ETH_ALEN);
	memcpy(header->ether_dhost, header->ether_shost, ETH_ALEN);
	memcpy(header->ether_shost, destination, ETH_ALEN);
}

static uint32_t reflect(struct reflector *reflector)
{
	struct xdpd *x = reflector->example.x;
	uint64_t wanted = reflector->example.count - reflector->frames;
	struct xdp_desc frames[BURST_MAX];
	uint32_t n = xdpd_rx(x, frames, wanted < BURST_MAX ? (uint32_t)wanted : BURST_MAX);
	uint32_t fit = 0, sent;

	/* Frames without an Ethernet header go to the end, to be given back. */
	for (uint32_t i = 0; i < n; i++) {
		struct xdp_desc frame = frames[i];

		if (frame.len < sizeof(struct ether_header))
			continue;
		swap_addresses(xdpd_frame(x, frame.addr));
		frames[i] = frames[fit];
		frames[fit++] = frame;
	}
	sent = xdpd_forward(x, frames, fit);
	xdpd_release(x, frames + sent, n - sent);
	for (uint32_t i = 0; i < sent; i++)
		reflector->bytes += frames[i].len;
	reflector->frames += sent;
	reflector->unsent += n - sent;
	return n;
}

static void drain(struct reflector *reflector)
{
	uint64_t end = now_ns() + NSEC;

	for (uint32_t left = xdpd_frames(reflector->example.x) / BURST_MAX + 1; left; left--)
		if (reflect(reflector) == 0)
			break;
	while (xdpd_tx_pending(reflector->example.x) && now_ns() < end)
		usleep(1000);
}

static int run(struct reflector *reflector)
{
	struct example *example = &reflector->example;
	uint64_t end = example->seconds ? now_ns() + example->seconds * NSEC : UINT64_MAX;
	struct meter meter;
	uint64_t now;
	int r = 0;

	meter_start(&meter);
	while (!stopped && r >= 0 && reflector->frames < example->count) {
		for (int i = 0; i < 256 && reflect(reflector) > 0; i++)
			;
		now = now_ns();
		if (now >= end)
			break;
		if (!example->quiet && now >= meter.next)
			meter_show(&meter, "reflecting", reflector->frames, now);
		if (reflector->frames < example->count)
			r = wait_for_frames(example, 100);
	}
	drain(reflector);
	return r;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {COMMON_OPTIONS};
	struct reflector reflector = {
		.example = {.program = "xdpd-reflect", .help = help, .count = UINT64_MAX},
	};
	struct example *example = &reflector.example;
	struct xdpd_stats stats;
	int option, r;

	while ((option = getopt_long(argc, argv, COMMON_LETTERS, options, NULL)) >= 0)
		take_option(example, option);
	take_arguments(example, argc, argv);
	begin(example, XDPD_ATTACH_TRANSMIT);
	r = run(&reflector);
	stats = read_stats(example);
	r = finish(example, r, reflector.frames);
	printf("reflected %llu frames %llu bytes, not sent %llu, dropped %llu, ring full %llu\n",
	       (unsigned long long)reflector.frames, (unsigned long long)reflector.bytes,
	       (unsigned long long)reflector.unsent, (unsigned long long)stats.dropped,
	       (unsigned long long)stats.ring_full);
	return r;
}
