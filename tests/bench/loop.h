/* SPDX-License-Identifier: BSD-2-Clause */
/* A receiver's burst by libxdpd: take frames, look at each one's first byte, give them back. */
#ifndef TESTS_BENCH_LOOP_H
#define TESTS_BENCH_LOOP_H

#include "client/xdpd.h"
#include "tests/bench/receiver.h"

/* By the lean pair, which reads descriptors where they lie, as libxdp's functions do. */
static inline uint32_t xdpd_peek_burst(struct receiver *receiver, struct xdpd *x)
{
	const struct xdp_desc *frames;
	uint64_t seen = 0;
	uint32_t n = xdpd_rx_peek(x, &frames, BURST);

	for (uint32_t i = 0; i < n; i++)
		seen += *(const uint8_t *)xdpd_frame(x, frames[i].addr);
	xdpd_rx_done(x, n);
	receiver->seen += seen;
	receiver->frames += n;
	return n;
}

/* By the pair that copies them, so that frames can be kept and given back in any order. */
static inline uint32_t xdpd_burst(struct receiver *receiver, struct xdpd *x)
{
	struct xdp_desc frames[BURST];
	uint64_t seen = 0;
	uint32_t n = xdpd_rx(x, frames, BURST);

	for (uint32_t i = 0; i < n; i++)
		seen += *(const uint8_t *)xdpd_frame(x, frames[i].addr);
	xdpd_release(x, frames, n);
	receiver->seen += seen;
	receiver->frames += n;
	return n;
}

#endif
