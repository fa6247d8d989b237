// SPDX-License-Identifier: BSD-2-Clause
/* xdpd-latency: how old frames of queue 0 of a device are that come through xdpd. -w: sleeps by xdpd_wait(). */
#include "client/xdpd.h"
#include "tests/bench/latency.h"

static uint32_t take_burst(struct latency *latency, struct xdpd *x)
{
	const struct xdp_desc *frames;
	uint32_t n = xdpd_rx_peek(x, &frames, BURST);

	for (uint32_t i = 0; i < n; i++)
		latency_take(latency, xdpd_frame(x, frames[i].addr), frames[i].len);
	xdpd_rx_done(x, n);
	return n;
}

int main(int argc, char **argv)
{
	struct xdpd_attach_options options = {.size = sizeof(options)};
	static struct latency latency;
	struct xdpd *x = NULL;
	int r;

	latency_begin(&latency, argc, argv);
	options.group = latency.receiver.group;
	r = xdpd_connect(&x, latency.receiver.socket, "bench");
	if (r < 0)
		receiver_die("can't connect to xdpd", r);
	r = xdpd_attach(x, latency.receiver.device, 0, &options);
	if (r < 0)
		receiver_die(xdpd_reason(x), r);
	receiver_ready();
	while (!receiver_stopped) {
		latency_tell_if_asked(&latency);
		if (!take_burst(&latency, x) && latency.receiver.waits)
			(void)xdpd_wait(x, WAIT_MS);
	}
	(void)xdpd_close(x);
	return receiver_end(&latency.receiver);
}
