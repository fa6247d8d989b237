// SPDX-License-Identifier: BSD-2-Clause
/* The out-of-line parts of the per-frame path: waking the kernel, and frames that wait for room. */
#include <errno.h>
#include <sys/socket.h>

#include "client/client.h"

#ifndef SOL_XDP
#define SOL_XDP 283
#endif

/* What a wake says when there is just nothing more to do now [net/xdp/xsk.c]. */
static bool is_normal(int error)
{
	return error == EAGAIN || error == EBUSY || error == ENOBUFS || error == EINTR;
}

int xdpd_wake_rx(struct xdpd *x)
{
	struct xdpd_client *client = xdpd_client_of(x);

	if (!client->exclusive)
		return xdpd_shared_wake_rx(client);
	if (recvfrom(client->wait_fd, NULL, 0, MSG_DONTWAIT, NULL, NULL) < 0 && !is_normal(errno))
		return -errno;
	return 0;
}

/*
 * In copy mode a call transmits about 32 frames, and stops at a full completion ring: again while it makes
 * progress. A driver that transmits by itself clears the flag, and one call is all.
 */
int xdpd_wake_tx(struct xdpd *x)
{
	struct xdpd_client *client = xdpd_client_of(x);
	uint32_t before;

	if (!client->exclusive)
		return xdpd_shared_wake_tx(client);
	if (!xdpd_may_transmit(x))
		return 0;
	do {
		before = x->tx.peer;
		if (sendto(client->wait_fd, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0) < 0 &&
		    !is_normal(errno))
			return -errno;
		(void)xdpd_take_completions(x);
		xdpd_ring_refresh(&x->tx);
	} while (x->tx.peer != before && x->tx.peer != x->tx.own && xdpd_ring_needs_wakeup(&x->tx));
	return 0;
}

void xdpd_release_slowly(struct xdpd *x, const struct xdp_desc *frames, uint32_t count)
{
	uint32_t before = x->spares;

	if (x->lent) {
		xdpd_shared_release(xdpd_client_of(x), frames, count);
		return;
	}
	/* No more than there can be, so neither is what the fill ring lacks. */
	xdpd_tx_free(x, frames, count);
	x->owed += x->spares - before;
	xdpd_refill(x);
}

void xdpd_refill(struct xdpd *x)
{
	uint32_t count;

	/* Shared: nothing is lent out in the place of something else. */
	if (x->lent)
		return;
	if (x->spares < x->owed)
		(void)xdpd_take_completions(x);
	count = xdpd_ring_room(&x->fill, x->owed < x->spares ? x->owed : x->spares);
	if (!count)
		return;
	for (uint32_t i = 0; i < count; i++)
		*xdpd_ring_address(&x->fill, x->fill.own + i) = x->spare[--x->spares];
	x->owed -= count;
	xdpd_ring_advance(&x->fill, count);
	if (xdpd_ring_needs_wakeup(&x->fill))
		(void)xdpd_wake_rx(x);
}

uint32_t xdpd_rx_starved(struct xdpd *x, uint32_t max)
{
	if (!xdpd_client_of(x)->exclusive) {
		xdpd_shared_starved(xdpd_client_of(x));
		return xdpd_ring_available(&x->rx, max);
	}
	if (x->owed)
		xdpd_refill(x);
	if (xdpd_ring_needs_wakeup(&x->fill))
		(void)xdpd_wake_rx(x);
	return 0;
}

int xdpd_client_statistics(const struct xdpd_client *client, struct xdp_statistics *ret)
{
	/* Before 5.9 the struct was shorter: what such a kernel does not count is 0. */
	struct xdp_statistics statistics = {};
	socklen_t length = sizeof(statistics);

	if (client->exclusive &&
	    getsockopt(client->wait_fd, SOL_XDP, XDP_STATISTICS, &statistics, &length) < 0)
		return -errno;
	*ret = statistics;
	return 0;
}
