// SPDX-License-Identifier: BSD-2-Clause
/* libxdp-transmit: sends frames out of queue 0 of a device by libxdp, flat out. */
#include "tests/bench/peers/socket.h"

int main(int argc, char **argv)
{
	static uint64_t frames[FRAMES];
	struct libxdp_spare spare = {.frames = frames};
	struct receiver receiver = receiver_begin(argc, argv);
	struct libxdp libxdp;

	for (uint32_t i = FILL_SIZE; i < FRAMES; i++)
		spare.frames[spare.count++] = (uint64_t)i * FRAME_SIZE;
	libxdp_open(&libxdp, &receiver, 1);
	receiver_ready();
	while (!receiver_stopped)
		(void)libxdp_transmit_burst(&receiver, &libxdp.rings, &spare);
	libxdp_close(&libxdp);
	return receiver_end(&receiver);
}
