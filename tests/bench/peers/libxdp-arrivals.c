// SPDX-License-Identifier: BSD-2-Clause
/* libxdp-arrivals FILE DEVICE: receives its queue 0 by libxdp, and writes down when (arrivals.h). SIGTERM ends it. */
#include "tests/bench/arrivals.h"
#include "tests/bench/peers/socket.h"

/* As libxdp_burst(), but for what it does with a frame. */
static uint32_t take_burst(struct arrivals *arrivals, struct libxdp_rings *rings)
{
	uint32_t from = 0, to = 0;
	uint32_t n = xsk_ring_cons__peek(&rings->rx, BURST, &from);

	if (!n) {
		if (xsk_ring_prod__needs_wakeup(&rings->fill))
			libxdp_wake(rings);
		return 0;
	}
	arrivals_add(arrivals, n,
		     xsk_umem__get_data(rings->umem,
					xsk_ring_cons__rx_desc(&rings->rx, from + n - 1)->addr));
	while (xsk_ring_prod__reserve(&rings->fill, n, &to) != n)
		if (xsk_ring_prod__needs_wakeup(&rings->fill))
			libxdp_wake(rings);
	for (uint32_t i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&rings->fill, to + i) =
			xsk_ring_cons__rx_desc(&rings->rx, from + i)->addr;
	xsk_ring_prod__submit(&rings->fill, n);
	xsk_ring_cons__release(&rings->rx, n);
	return n;
}

int main(int argc, char **argv)
{
	struct arrivals *arrivals;
	struct receiver receiver;
	struct libxdp libxdp;

	if (argc != 3)
		return 1;
	arrivals = arrivals_open(argv[1]);
	receiver = receiver_begin(argc - 1, argv + 1);
	libxdp_open(&libxdp, &receiver, 0);
	while (!receiver_stopped)
		if (!take_burst(arrivals, &libxdp.rings))
			libxdp_wait(&libxdp);
	libxdp_close(&libxdp);
	return 0;
}
