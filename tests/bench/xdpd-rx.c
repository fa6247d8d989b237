// SPDX-License-Identifier: BSD-2-Clause
/* xdpd-rx: receives queue 0 of a device through xdpd, exclusive or shared, flat out. */
#include "tests/bench/loop.h"

int main(int argc, char **argv)
{
	struct receiver receiver = receiver_begin(argc, argv);
	struct xdpd_attach_options options = {.size = sizeof(options), .group = receiver.group};
	struct xdpd *x = NULL;
	int r;

	r = xdpd_connect(&x, receiver.socket, "bench");
	if (r < 0)
		receiver_die("can't connect to xdpd", r);
	r = xdpd_attach(x, receiver.device, 0, &options);
	if (r < 0)
		receiver_die(xdpd_reason(x), r);
	receiver_ready();
	while (!receiver_stopped)
		if (!xdpd_peek_burst(&receiver, x) && receiver.waits)
			(void)xdpd_wait(x, WAIT_MS);
	(void)xdpd_close(x);
	return receiver_end(&receiver);
}
