// SPDX-License-Identifier: BSD-2-Clause
/*
 * xdpd-connect: from before xdpd_connect() to the first frame in hand, again and again, while traffic flows. Pauses of 0
 * are for a consumer that comes as soon as the one before has left.
 */
#include "client/xdpd.h"
#include "tests/bench/connect.h"

static struct histogram connecting, attaching, first;

static void wait_for_frame(struct xdpd *x)
{
	struct xdp_desc frame;
	int r = 0;

	while (r >= 0 && !xdpd_rx(x, &frame, 1))
		r = xdpd_wait(x, 1000);
	if (r < 0)
		receiver_die(xdpd_reason(x), r);
	xdpd_release(x, &frame, 1);
}

static void connect_once(const struct connect_options *options)
{
	const uint64_t begun = clock_now();
	uint64_t connected, attached;
	struct xdpd *x = NULL;
	int r = xdpd_connect(&x, options->socket, "bench");

	if (r < 0)
		receiver_die("can't connect to xdpd", r);
	connected = clock_now();
	r = xdpd_attach(x, options->device, 0, NULL);
	if (r < 0)
		receiver_die(xdpd_reason(x), r);
	attached = clock_now();
	wait_for_frame(x);
	histogram_add(&first, clock_now() - begun);
	histogram_add(&connecting, connected - begun);
	histogram_add(&attaching, attached - connected);
	(void)xdpd_close(x);
}

int main(int argc, char **argv)
{
	const struct connect_options options = connect_options(argc, argv);

	for (unsigned int i = 0; i < options.times; i++) {
		connect_pause(options.pause_ms);
		connect_once(&options);
	}
	histogram_print(&connecting, "connect");
	histogram_print(&attaching, "attach");
	histogram_print(&first, "first");
	return 0;
}
