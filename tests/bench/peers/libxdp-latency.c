// SPDX-License-Identifier: BSD-2-Clause
/* libxdp-latency: how old frames of queue 0 of a device are that come by libxdp. -w: sleeps by poll(). */
#include "tests/bench/latency.h"
#include "tests/bench/peers/socket.h"

/* As libxdp_burst(), but for what it does with a frame. */
static uint32_t take_burst(struct latency *latency, struct libxdp_rings *rings)
{
	uint32_t from = 0, to = 0;
	uint32_t n = xsk_ring_cons__peek(&rings->rx, BURST, &from);

	if (!n) {
		if (xsk_ring_prod__needs_wakeup(&rings->fill))
			libxdp_wake(rings);
		return 0;
	}
	while (xsk_ring_prod__reserve(&rings->fill, n, &to) != n)
		if (xsk_ring_prod__needs_wakeup(&rings->fill))
			libxdp_wake(rings);
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *frame = xsk_ring_cons__rx_desc(&rings->rx, from + i);

		latency_take(latency, xsk_umem__get_data(rings->umem, frame->addr), frame->len);
		*xsk_ring_prod__fill_addr(&rings->fill, to + i) = frame->addr;
	}
	xsk_ring_prod__submit(&rings->fill, n);
	xsk_ring_cons__release(&rings->rx, n);
	return n;
}

int main(int argc, char **argv)
{
	static struct latency latency;
	struct libxdp libxdp;

	latency_begin(&latency, argc, argv);
	libxdp_open(&libxdp, &latency.receiver, 0);
	receiver_ready();
	while (!receiver_stopped) {
		latency_tell_if_asked(&latency);
		if (!take_burst(&latency, &libxdp.rings) && latency.receiver.waits)
			libxdp_wait(&libxdp);
	}
	libxdp_close(&libxdp);
	return receiver_end(&latency.receiver);
}
