/* SPDX-License-Identifier: BSD-2-Clause */
/* The same burst by libxdp's inline functions, in as few of them as it can be done. */
#ifndef TESTS_BENCH_PEERS_LOOP_H
#define TESTS_BENCH_PEERS_LOOP_H

#include <sys/socket.h>
#include <xdp/xsk.h>

#include "tests/bench/receiver.h"

struct libxdp_rings {
	struct xsk_ring_cons rx;
	struct xsk_ring_prod fill;
	void *umem;
	int fd;
};

static inline void libxdp_wake(const struct libxdp_rings *rings)
{
	(void)recvfrom(rings->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static inline uint32_t libxdp_burst(struct receiver *receiver, struct libxdp_rings *rings)
{
	uint32_t from = 0, to = 0;
	uint64_t seen = 0;
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
		uint64_t address = xsk_ring_cons__rx_desc(&rings->rx, from + i)->addr;

		seen += *(const uint8_t *)xsk_umem__get_data(rings->umem, address);
		*xsk_ring_prod__fill_addr(&rings->fill, to + i) = address;
	}
	xsk_ring_prod__submit(&rings->fill, n);
	xsk_ring_cons__release(&rings->rx, n);
	receiver->seen += seen;
	receiver->frames += n;
	return n;
}

#endif
