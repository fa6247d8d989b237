// SPDX-License-Identifier: BSD-2-Clause
/* xdpd-arrivals FILE SOCKET DEVICE: receives its queue 0 through xdpd, and writes down when (arrivals.h). */
#include "client/xdpd.h"
#include "tests/bench/arrivals.h"

static uint32_t take_burst(struct xdpd *x, struct arrivals *arrivals)
{
	const struct xdp_desc *frames;
	uint32_t n = xdpd_rx_peek(x, &frames, BURST);

	if (n)
		arrivals_add(arrivals, n, xdpd_frame(x, frames[n - 1].addr));
	xdpd_rx_done(x, n);
	return n;
}

int main(int argc, char **argv)
{
	struct arrivals *arrivals;
	struct xdpd *x = NULL;
	int r;

	if (argc != 4)
		return 1;
	arrivals = arrivals_open(argv[1]);
	r = xdpd_connect(&x, argv[2], "arrivals");
	if (r < 0)
		receiver_die("can't connect to xdpd", r);
	r = xdpd_attach(x, argv[3], 0, NULL);
	if (r < 0)
		receiver_die(xdpd_reason(x), r);
	receiver_ready();
	for (;;) {
		if (take_burst(x, arrivals))
			continue;
		r = xdpd_wait(x, WAIT_MS);
		if (r < 0 && r != -EINTR)
			receiver_die(xdpd_reason(x), r);
	}
}
