// SPDX-License-Identifier: BSD-2-Clause
/* Receives a queue's frames and counts or shows them. */
#include "example.h"

#include <ctype.h>

static const char help[] = "\n"
			   "Receives a queue's frames through xdpd and counts them.\n"
			   "\n"
			   "  -x, --hexdump        show every frame\n";

static bool dump;

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

static uint32_t receive(struct example *example)
{
	struct xdpd *x = example->x;
	struct xdp_desc frames[BURST_MAX];
	uint32_t n = xdpd_rx(x, frames, burst_size(example));

	for (uint32_t i = 0; i < n; i++) {
		example->bytes += frames[i].len;
		if (dump) {
			printf("frame %llu, %u bytes\n",
			       (unsigned long long)(example->frames + i + 1), frames[i].len);
			hexdump(xdpd_frame(x, frames[i].addr), frames[i].len);
		}
	}
	xdpd_release(x, frames, n);
	example->frames += n;
	return n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"hexdump", no_argument, NULL, 'x'},
						COMMON_OPTIONS};
	struct example example = {.program = "xdpd-rx", .help = help, .count = UINT64_MAX};
	struct xdpd_stats stats;
	int option, r;
	bool tap;

	while ((option = getopt_long(argc, argv, "x" COMMON_LETTERS, options, NULL)) >= 0)
		if (option == 'x')
			dump = true;
		else
			take_option(&example, option);
	take_arguments(&example, argc, argv);
	begin(&example, 0);
	r = receive_until_done(&example, "receiving", receive);
	stats = read_stats(&example);
	tap = xdpd_is_tap(example.x);
	r = finish(&example, r);
	printf("received %llu frames %llu bytes, dropped %llu, ring full %llu",
	       (unsigned long long)example.frames, (unsigned long long)example.bytes,
	       (unsigned long long)stats.dropped, (unsigned long long)stats.ring_full);
	if (tap)
		printf(", overrun %llu", (unsigned long long)stats.overrun);
	putchar('\n');
	return r;
}
