// SPDX-License-Identifier: BSD-2-Clause
/* libxdp-rx: receives queue 0 of a device by libxdp, flat out. */
#include "tests/bench/peers/socket.h"

int main(int argc, char **argv)
{
	struct receiver receiver = receiver_begin(argc, argv);
	struct libxdp libxdp;

	libxdp_open(&libxdp, &receiver, 0);
	receiver_ready();
	while (!receiver_stopped)
		if (!libxdp_burst(&receiver, &libxdp.rings) && receiver.waits)
			libxdp_wait(&libxdp);
	libxdp_close(&libxdp);
	return receiver_end(&receiver);
}
