// SPDX-License-Identifier: BSD-2-Clause
/* Sends every frame back to where it came from, without a copy where that can be. */
#include "example.h"

#include <net/ethernet.h>

static const char help[] =
	"\n"
	"Receives a queue's frames through xdpd, swaps the MAC addresses and sends them\n"
	"back out of the same queue, without a copy (on a shared queue: with one, unless\n"
	"it has `umem: writable`).\n"
	"\n";

static uint64_t
	unsent; /* too short for a header, or no room in the TX ring, or no frame for the copy */

static void swap_addresses(struct ether_header *header)
{
	uint8_t destination[ETH_ALEN];

	memcpy(destination, header->ether_dhost, ETH_ALEN);
	memcpy(header->ether_dhost, header->ether_shost, ETH_ALEN);
	memcpy(header->ether_shost, destination, ETH_ALEN);
}

static uint32_t reflect(struct example *example)
{
	struct xdpd *x = example->x;
	struct xdp_desc frames[BURST_MAX];
	uint32_t n = xdpd_rx(x, frames, burst_size(example));
	uint32_t fit = 0, sent;

	/* Frames without an Ethernet header go to the end, to be given back. */
	for (uint32_t i = 0; i < n; i++) {
		struct xdp_desc frame = frames[i];

		if (frame.len < sizeof(struct ether_header))
			continue;
		frames[i] = frames[fit];
		frames[fit++] = frame;
	}
	fit = xdpd_make_writable(x, frames, fit);
	for (uint32_t i = 0; i < fit; i++)
		swap_addresses(xdpd_frame(x, frames[i].addr));
	sent = xdpd_forward(x, frames, fit);
	xdpd_release(x, frames + sent, n - sent);
	for (uint32_t i = 0; i < sent; i++)
		example->bytes += frames[i].len;
	example->frames += sent;
	unsent += n - sent;
	return n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {COMMON_OPTIONS};
	struct example example = {.program = "xdpd-reflect", .help = help, .count = UINT64_MAX};
	struct xdpd_stats stats;
	int option, r;

	while ((option = getopt_long(argc, argv, COMMON_LETTERS, options, NULL)) >= 0)
		take_option(&example, option);
	take_arguments(&example, argc, argv);
	begin(&example, XDPD_ATTACH_TRANSMIT);
	r = receive_until_done(&example, "reflecting", reflect);
	flush(&example);
	stats = read_stats(&example);
	r = finish(&example, r);
	printf("reflected %llu frames %llu bytes, not sent %llu, dropped %llu, ring full %llu\n",
	       (unsigned long long)example.frames, (unsigned long long)example.bytes,
	       (unsigned long long)unsent, (unsigned long long)stats.dropped,
	       (unsigned long long)stats.ring_full);
	return r;
}
