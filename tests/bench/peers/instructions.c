// SPDX-License-Identifier: BSD-2-Clause
/*
 * instructions: drives a receiver's burst over rings in plain memory, to count its instructions exactly:
 *
 *     valgrind --tool=callgrind --collect-atstart=no --toggle-collect=peek instructions peek 64 65536
 *
 * counts what that burst takes for 65536 frames that arrive 64 at a time, and nothing else. The rings begin a
 * few entries before their end, so that bursts also go across it.
 */
#include <errno.h>

#include "tests/bench/loop.h"
#include "tests/bench/peers/loop.h"

#define RING	   2048
#define FRAME_SIZE 4096
#define START	   (RING - 5)

/* The kernel's side: an RX ring of frames, and a fill ring that is emptied at once. */
static struct {
	struct xdp_desc rx[RING];
	uint64_t fill[RING];
	uint32_t rx_producer, rx_consumer, fill_producer, fill_consumer, flags;
	uint8_t umem[RING * FRAME_SIZE];
} kernel;

static struct receiver receiver;
static struct xdpd attachment;
static struct libxdp_rings rings;

__attribute__((noinline)) static void rx(void)
{
	(void)xdpd_burst(&receiver, &attachment);
}

__attribute__((noinline)) static void peek(void)
{
	(void)xdpd_peek_burst(&receiver, &attachment);
}

/* The same for shared delivery, whose fill ring takes runs. */
__attribute__((noinline)) static void shared(void)
{
	(void)xdpd_peek_burst(&receiver, &attachment);
}

__attribute__((noinline)) static void libxdp(void)
{
	(void)libxdp_burst(&receiver, &rings);
}

static void kernel_begin(void)
{
	kernel.rx_producer = kernel.rx_consumer = START;
	kernel.fill_producer = kernel.fill_consumer = START;
	for (uint32_t i = 0; i < RING; i++)
		kernel.rx[i] = (struct xdp_desc){.addr = (uint64_t)i * FRAME_SIZE, .len = 64};

	attachment.umem = kernel.umem;
	attachment.frames = RING;
	attachment.frame_size = FRAME_SIZE;
	attachment.frame_mask = ~(uint64_t)(FRAME_SIZE - 1);
	xdpd_ring_join(&attachment.rx, kernel.rx, RING, &kernel.rx_consumer, &kernel.rx_producer,
		       &kernel.flags);
	xdpd_ring_join(&attachment.fill, kernel.fill, RING, &kernel.fill_producer,
		       &kernel.fill_consumer, &kernel.flags);

	rings.umem = kernel.umem;
	rings.fd = -1;
	rings.rx = (struct xsk_ring_cons){.cached_prod = START,
					  .cached_cons = START,
					  .mask = RING - 1,
					  .size = RING,
					  .producer = &kernel.rx_producer,
					  .consumer = &kernel.rx_consumer,
					  .ring = kernel.rx,
					  .flags = &kernel.flags};
	rings.fill = (struct xsk_ring_prod){.cached_prod = START,
					    .cached_cons = START + RING,
					    .mask = RING - 1,
					    .size = RING,
					    .producer = &kernel.fill_producer,
					    .consumer = &kernel.fill_consumer,
					    .ring = kernel.fill,
					    .flags = &kernel.flags};
}

static void (*burst_named(const char *name))(void)
{
	static const struct {
		const char *name;
		void (*burst)(void);
	} bursts[] = {{"rx", rx}, {"peek", peek}, {"shared", shared}, {"libxdp", libxdp}};

	for (size_t i = 0; i < sizeof(bursts) / sizeof(*bursts); i++)
		if (!strcmp(bursts[i].name, name))
			return bursts[i].burst;
	return NULL;
}

/* Frames in the fill ring. */
static uint32_t given_back(void)
{
	uint32_t frames = 0;

	for (uint32_t i = kernel.fill_consumer; i != kernel.fill_producer; i++) {
		const uint64_t entry = kernel.fill[i % RING];

		frames += xdpd_is_run(entry) ? xdpd_run_count(entry) : 1;
	}
	return frames;
}

int main(int argc, char **argv)
{
	void (*burst)(void) = argc == 4 ? burst_named(argv[1]) : NULL;
	uint32_t at_once = burst ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
	uint64_t frames = burst ? strtoull(argv[3], NULL, 10) : 0;

	if (!at_once || at_once > RING) {
		(void)fprintf(stderr, "usage: instructions rx|peek|shared|libxdp AT-ONCE FRAMES\n");
		return 1;
	}
	kernel_begin();
	attachment.takes_runs = burst == shared;
	while (receiver.frames < frames) {
		kernel.rx_producer += at_once;
		while (kernel.rx_consumer != kernel.rx_producer)
			burst();
		if (given_back() != at_once)
			receiver_die("frames were not given back", EPROTO);
		kernel.fill_consumer = kernel.fill_producer;
	}
	return 0;
}
