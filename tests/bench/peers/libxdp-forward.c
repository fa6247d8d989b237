// SPDX-License-Identifier: BSD-2-Clause
/* libxdp-forward: sends what arrives on queue 0 of a device back out of it by libxdp, with its addresses swapped. */
#include "tests/bench/peers/socket.h"

int main(int argc, char **argv)
{
	struct receiver receiver = receiver_begin(argc, argv);
	struct libxdp libxdp;

	libxdp_open(&libxdp, &receiver, 1);
	receiver_ready();
	while (!receiver_stopped)
		if (!libxdp_forward_burst(&receiver, &libxdp.rings) && receiver.waits)
			libxdp_wait(&libxdp);
	libxdp_close(&libxdp);
	return receiver_end(&receiver);
}
