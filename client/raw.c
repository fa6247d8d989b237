// SPDX-License-Identifier: BSD-2-Clause
/* Rings in the shape of programs that have AF_XDP ring code of their own. */
#include <errno.h>

#include "client/client.h"

static struct xdpd_raw_ring raw_ring(const struct xdpd_ring *ring)
{
	if (!ring->size)
		return (struct xdpd_raw_ring){};
	return (struct xdpd_raw_ring){
		.mask = ring->mask,
		.size = ring->size,
		.ring = ring->entries,
		.flags = ring->flags,
	};
}

static struct xdpd_raw_ring raw_producer(const struct xdpd_ring *ring)
{
	struct xdpd_raw_ring raw = raw_ring(ring);

	if (raw.size) {
		raw.cached_prod = ring->own;
		raw.cached_cons = ring->peer + ring->size;
		raw.producer = ring->shared_own;
		raw.consumer = ring->shared_peer;
	}
	return raw;
}

static struct xdpd_raw_ring raw_consumer(const struct xdpd_ring *ring)
{
	struct xdpd_raw_ring raw = raw_ring(ring);

	if (raw.size) {
		raw.cached_prod = ring->peer;
		raw.cached_cons = ring->own;
		raw.producer = ring->shared_peer;
		raw.consumer = ring->shared_own;
	}
	return raw;
}

int xdpd_raw(struct xdpd *x, struct xdpd_raw *ret)
{
	struct xdpd_client *client = xdpd_client_of(x);

	if (client->wait_fd < 0)
		return -ENOTCONN;
	if (!client->exclusive || client->reattach.limit_ms)
		return -EOPNOTSUPP;
	/* Unused: nothing received yet, and every frame beyond the filled ones is spare. */
	if (client->raw || x->rx.own != client->rx_start || x->spares != x->frames - client->filled)
		return -EBUSY;
	client->raw = true;
	*ret = (struct xdpd_raw){
		.rx = raw_consumer(&x->rx),
		.tx = raw_producer(&x->tx),
		.fill = raw_producer(&x->fill),
		.completion = raw_consumer(&x->completion),
		.umem = x->umem,
		.umem_size = client->umem_size,
		.frames = x->frames,
		.frame_size = x->frame_size,
		.headroom = client->headroom,
		.filled = client->filled,
		.fd = client->wait_fd,
	};
	return 0;
}
