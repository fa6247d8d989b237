// SPDX-License-Identifier: BSD-2-Clause
/* xdpd-forward: sends what arrives on queue 0 of a device back out of it through xdpd, with its addresses swapped. */
#include "tests/bench/attach.h"
#include "tests/bench/loop.h"

int main(int argc, char **argv)
{
	struct receiver receiver = receiver_begin(argc, argv);
	struct xdpd *x = receiver_attach(&receiver, XDPD_ATTACH_TRANSMIT);

	receiver_ready();
	while (!receiver_stopped) {
		if (xdpd_forward_burst(&receiver, x))
			continue;
		/* Nothing says when a shared queue has transmitted what is to be given back. */
		(void)xdpd_reap(x);
		if (receiver.waits)
			(void)xdpd_wait(x, WAIT_MS);
	}
	xdpd_drain(x);
	(void)xdpd_close(x);
	return receiver_end(&receiver);
}
