// SPDX-License-Identifier: BSD-2-Clause
/*
 * Frames of shared delivery: those that were lent go back on the fill ring, those of the attachment's own to
 * transmit with onto the stack of spare ones, never the other way round. An address tells which it is:
 *
 *     x->umem
 *     | the UMEM, or a tap's copies            | its own to transmit with    |
 *     0                                        x->lent                       + spare_size frames
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "client/client.h"

#define BURST 64

void xdpd_shared_spare(struct xdpd *x, uint64_t address)
{
	if (address - x->lent < (uint64_t)x->spare_size * x->frame_size &&
	    x->spares < x->spare_size)
		x->spare[x->spares++] = address & x->frame_mask;
}

/*
 * The fill ring has an entry for each frame of the UMEM. Only a program that gives back more than it holds can
 * find it full, and what it gives back then is nothing.
 */
void xdpd_shared_release(struct xdpd_client *client, const struct xdp_desc *frames, uint32_t count)
{
	struct xdpd *x = &client->x;
	uint32_t room, lent = 0;

	if (client->tap)
		xdpd_tap_collect(client);
	room = xdpd_ring_room(&x->fill, count);
	for (uint32_t i = 0; i < count; i++) {
		if (frames[i].addr >= x->lent)
			xdpd_shared_spare(x, frames[i].addr);
		else if (lent < room)
			*xdpd_ring_address(&x->fill, x->fill.own + lent++) = frames[i].addr;
	}
	if (lent)
		xdpd_ring_advance(&x->fill, lent);
}

uint32_t xdpd_sort_completions(struct xdpd *x)
{
	struct xdpd_client *client = xdpd_client_of(x);
	uint32_t count = xdpd_ring_available(&x->completion, x->completion.size);
	uint32_t room = xdpd_ring_room(&x->fill, count);
	uint32_t lent = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t address = *xdpd_ring_address(&x->completion, x->completion.own + i);

		if (address >= x->lent)
			xdpd_shared_spare(x, address);
		else if (lent < room && !client->tap)
			*xdpd_ring_address(&x->fill, x->fill.own + lent++) = address;
	}
	if (lent)
		xdpd_ring_advance(&x->fill, lent);
	client->forwarded -= lent < client->forwarded ? lent : client->forwarded;
	xdpd_ring_advance(&x->completion, count);
	return count;
}

uint32_t xdpd_forward_lent(struct xdpd *x, const struct xdp_desc *frames, uint32_t count)
{
	struct xdpd_client *client = xdpd_client_of(x);

	if (client->tap)
		return xdpd_tap_forward(client, frames, count);
	count = xdpd_tx_queue(x, frames, count);
	for (uint32_t i = 0; i < count; i++)
		client->forwarded += frames[i].addr < x->lent;
	xdpd_tx_wake_sleeper(x);
	return count;
}

/* False if no spare frame is left. A packet that is ours already stays where it is. */
static bool replace(struct xdpd *x, struct xdp_desc *frame)
{
	uint64_t offset = frame->addr & ~x->frame_mask;
	struct xdp_desc own;

	if (frame->addr >= x->lent)
		return true;
	if (frame->len > x->frame_size - offset || !xdpd_tx_alloc(x, &own, 1))
		return false;
	memcpy(xdpd_frame(x, own.addr + offset), xdpd_frame(x, frame->addr), frame->len);
	frame->addr = own.addr + offset;
	return true;
}

uint32_t xdpd_replace_lent(struct xdpd *x, struct xdp_desc *frames, uint32_t count)
{
	struct xdp_desc replaced[BURST];
	uint32_t done = 0, n;
	bool more = true;

	while (more && done < count) {
		for (n = 0; n < BURST && done < count; done++) {
			const struct xdp_desc received = frames[done];

			more = replace(x, &frames[done]);
			if (!more)
				break;
			if (received.addr < x->lent)
				replaced[n++] = received;
		}
		xdpd_release(x, replaced, n);
	}
	return done;
}

/* ---- waking xdpd ---- */

/*
 * One byte, whatever is in the stream by then: it stays readable until the worker has read it. Once for each
 * index, as a worker that has left entries where they are does not want them yet. EPIPE: xdpd has ended the
 * attachment, and the control connection says why.
 */
static int knock(struct xdpd_client *client, const struct xdpd_ring *ring, uint32_t *rung)
{
	const char byte = 0;

	if (ring->own == *rung || !xdpd_ring_needs_wakeup(ring))
		return 0;
	if (send(client->wait_fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		return errno == EPIPE || errno == ECONNRESET || errno == EINTR || errno == ENOBUFS
			       ? 0
			       : -errno;
	*rung = ring->own;
	return 0;
}

int xdpd_shared_wake_rx(struct xdpd_client *client)
{
	/* A tap's fill ring is its own. */
	return client->tap ? 0 : knock(client, &client->x.fill, &client->fill_rung);
}

int xdpd_shared_wake_tx(struct xdpd_client *client)
{
	return xdpd_may_transmit(&client->x) ? knock(client, &client->x.tx, &client->tx_rung) : 0;
}

void xdpd_shared_starved(struct xdpd_client *client)
{
	if (client->wait_fd < 0)
		return;
	/* What was forwarded is held until it is given back. */
	if (client->forwarded)
		(void)xdpd_take_completions(&client->x);
	(void)xdpd_shared_wake_rx(client);
	if (client->tap)
		(void)xdpd_tap_take(client);
	if (client->fd_wanted)
		xdpd_sleep_elsewhere(client);
}
