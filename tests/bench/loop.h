/* SPDX-License-Identifier: BSD-2-Clause */
/* Bursts by libxdpd. A receiver's: take frames, look at each one's first byte, give them back. */
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

/* The same without the look, as DPDK's rxonly does it: no frame's memory comes into this CPU's cache. */
static inline uint32_t xdpd_unread_burst(struct receiver *receiver, struct xdpd *x)
{
	const struct xdp_desc *frames;
	uint32_t n = xdpd_rx_peek(x, &frames, BURST);

	xdpd_rx_done(x, n);
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

/* Swaps each frame's addresses and sends it back. What there is no room for is given back unsent. */
static inline uint32_t xdpd_forward_burst(struct receiver *receiver, struct xdpd *x)
{
	struct xdp_desc frames[BURST];
	uint32_t n = xdpd_rx(x, frames, BURST);
	uint32_t writable = xdpd_make_writable(x, frames, n), queued;

	for (uint32_t i = 0; i < writable; i++)
		swap_macs(xdpd_frame(x, frames[i].addr));
	queued = writable ? xdpd_forward(x, frames, writable) : 0;
	xdpd_release(x, frames + queued, n - queued);
	receiver->frames += n;
	receiver->transmitted += queued;
	return n;
}

static inline uint32_t xdpd_transmit_burst(struct receiver *receiver, struct xdpd *x)
{
	struct xdp_desc frames[BURST];
	uint32_t n = xdpd_tx_alloc(x, frames, BURST), queued;

	for (uint32_t i = 0; i < n; i++) {
		write_header(xdpd_frame(x, frames[i].addr));
		frames[i].len = receiver->length;
	}
	queued = xdpd_tx(x, frames, n);
	xdpd_tx_free(x, frames + queued, n - queued);
	receiver->transmitted += queued;
	return queued;
}

/* What has been queued has left, or does so no more. */
static inline void xdpd_drain(struct xdpd *x)
{
	for (int i = 0; i < 100 && xdpd_tx_pending(x); i++)
		(void)usleep(1000);
}

#endif
