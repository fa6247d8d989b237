/* SPDX-License-Identifier: BSD-2-Clause */
/* The same bursts by libxdp's inline functions, in as few of them as it can be done. */
#ifndef TESTS_BENCH_PEERS_LOOP_H
#define TESTS_BENCH_PEERS_LOOP_H

#include <sys/socket.h>
#include <xdp/xsk.h>

#include "tests/bench/receiver.h"

struct libxdp_rings {
	struct xsk_ring_cons rx;
	struct xsk_ring_prod fill;
	struct xsk_ring_prod tx;
	struct xsk_ring_cons completion;
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

/* As libxdpd does it: in copy mode a call sends some 32 frames, so again while it makes progress. */
static inline void libxdp_kick(const struct libxdp_rings *rings)
{
	const struct xsk_ring_prod *tx = &rings->tx;
	uint32_t before, now = __atomic_load_n(tx->consumer, __ATOMIC_ACQUIRE);

	do {
		before = now;
		if (!xsk_ring_prod__needs_wakeup(tx))
			return;
		(void)sendto(rings->fd, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
		now = __atomic_load_n(tx->consumer, __ATOMIC_ACQUIRE);
	} while (now != before && now != tx->cached_prod);
}

/* The frames that were transmitted are for the kernel to fill again. */
static inline void libxdp_refill(struct libxdp_rings *rings)
{
	uint32_t from = 0, to = 0;
	uint32_t n = xsk_ring_cons__peek(&rings->completion, BURST, &from);

	if (!n)
		return;
	if (xsk_ring_prod__reserve(&rings->fill, n, &to) != n) {
		xsk_ring_cons__cancel(&rings->completion, n);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&rings->fill, to + i) =
			*xsk_ring_cons__comp_addr(&rings->completion, from + i);
	xsk_ring_prod__submit(&rings->fill, n);
	xsk_ring_cons__release(&rings->completion, n);
}

static inline uint32_t libxdp_forward_burst(struct receiver *receiver, struct libxdp_rings *rings)
{
	uint32_t from = 0, to = 0;
	uint32_t n = xsk_ring_cons__peek(&rings->rx, BURST, &from);

	if (!n) {
		libxdp_refill(rings);
		if (xsk_ring_prod__needs_wakeup(&rings->fill))
			libxdp_wake(rings);
		return 0;
	}
	while (xsk_ring_prod__reserve(&rings->tx, n, &to) != n) {
		libxdp_kick(rings);
		libxdp_refill(rings);
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *received = xsk_ring_cons__rx_desc(&rings->rx, from + i);

		swap_macs(xsk_umem__get_data(rings->umem, received->addr));
		*xsk_ring_prod__tx_desc(&rings->tx, to + i) = *received;
	}
	xsk_ring_prod__submit(&rings->tx, n);
	xsk_ring_cons__release(&rings->rx, n);
	libxdp_kick(rings);
	libxdp_refill(rings);
	receiver->frames += n;
	receiver->transmitted += n;
	return n;
}

/* The frames to transmit with that are in no ring. */
struct libxdp_spare {
	uint64_t *frames;
	uint32_t count;
};

static inline uint32_t libxdp_transmit_burst(struct receiver *receiver, struct libxdp_rings *rings,
					     struct libxdp_spare *spare)
{
	uint32_t from = 0, to = 0;
	uint32_t n = xsk_ring_cons__peek(&rings->completion, BURST, &from);

	for (uint32_t i = 0; i < n; i++)
		spare->frames[spare->count++] =
			*xsk_ring_cons__comp_addr(&rings->completion, from + i);
	xsk_ring_cons__release(&rings->completion, n);

	n = spare->count < BURST ? spare->count : BURST;
	if (!n || xsk_ring_prod__reserve(&rings->tx, n, &to) != n) {
		libxdp_kick(rings);
		return 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct xdp_desc *frame = xsk_ring_prod__tx_desc(&rings->tx, to + i);

		*frame = (struct xdp_desc){.addr = spare->frames[--spare->count],
					   .len = receiver->length};
		write_header(xsk_umem__get_data(rings->umem, frame->addr));
	}
	xsk_ring_prod__submit(&rings->tx, n);
	libxdp_kick(rings);
	receiver->transmitted += n;
	return n;
}

#endif
