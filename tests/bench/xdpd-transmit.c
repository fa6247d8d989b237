// SPDX-License-Identifier: BSD-2-Clause
/* xdpd-transmit: sends frames out of queue 0 of a device through xdpd, flat out. */
#include <sched.h>

#include "tests/bench/attach.h"
#include "tests/bench/loop.h"

int main(int argc, char **argv)
{
	struct receiver receiver = receiver_begin(argc, argv);
	struct xdpd *x = receiver_attach(&receiver, XDPD_ATTACH_TRANSMIT);

	receiver_ready();
	while (!receiver_stopped) {
		if (xdpd_transmit_burst(&receiver, x))
			continue;
		/* A worker that shares the CPU is to have it now. */
		(void)xdpd_tx_pending(x);
		if (receiver.waits)
			(void)sched_yield();
	}
	xdpd_drain(x);
	(void)xdpd_close(x);
	return receiver_end(&receiver);
}
