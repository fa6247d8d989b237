// SPDX-License-Identifier: BSD-2-Clause
/* Sleeping until there is something to do. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "client/client.h"

/*
 * Frames that wait for what no poll() announces (room in the fill ring, a completion, the device's queue) are
 * tried again after this many milliseconds, which double up to the limit while nothing changes.
 */
#define RETRY_MIN 1
#define RETRY_MAX 64

/* When xdpd has ended a shared attachment it says why at the same time. */
#define PATIENCE_MS 100

static void hear_why(struct xdpd_client *client)
{
	struct xdpd_connection *connection = &client->connection;
	uint64_t deadline = xdpd_deadline(PATIENCE_MS);
	int left;

	xdpd_connection_listen(connection);
	while (!connection->ended && (left = xdpd_milliseconds_until(deadline))) {
		struct pollfd fd = {.fd = connection->fd, .events = POLLIN};

		(void)poll(&fd, 1, left);
		xdpd_connection_listen(connection);
	}
	if (!connection->ended) {
		connection->ended = -ECONNRESET;
		(void)snprintf(connection->reason, sizeof(connection->reason),
			       "xdpd has ended the attachment and did not say why (ECONNRESET)");
	}
}

/* What xdpd_wait() returns for what is known now. */
static int look(struct xdpd_client *client)
{
	int ready = 0;

	if (client->hung_up && !client->connection.ended)
		hear_why(client);
	if (client->connection.ended)
		return client->connection.ended;
	if (xdpd_is_receivable(client))
		ready |= XDPD_WAIT_RX;
	if (client->connection.n_events)
		ready |= XDPD_WAIT_EVENT;
	return ready;
}

/* What was forwarded is held until it is given back, and that it has been transmitted wakes nobody. */
static int settle_shared(struct xdpd_client *client)
{
	int r;

	if (client->forwarded)
		(void)xdpd_take_completions(&client->x);
	r = xdpd_shared_wake_rx(client);
	if (r == 0)
		r = xdpd_shared_wake_tx(client);
	return r < 0 ? r : client->forwarded != 0;
}

/*
 * Before sleeping: wakes the kernel where it asks for it. Returns 1 if something has to be tried again later,
 * 0, or -errno (-ENETDOWN, -ENXIO).
 */
static int settle(struct xdpd_client *client)
{
	struct xdpd *x = &client->x;
	bool stuck = false;
	int r;

	/* A program with rings of its own moves their indices, too. */
	if (client->raw)
		return 0;
	if (!client->exclusive)
		return settle_shared(client);
	if (x->owed)
		xdpd_refill(x);
	if (xdpd_ring_needs_wakeup(&x->fill)) {
		r = xdpd_wake_rx(x);
		if (r < 0)
			return r;
	}
	if (xdpd_entries_produced_by_us(&x->tx) && xdpd_ring_needs_wakeup(&x->tx)) {
		r = xdpd_wake_tx(x);
		if (r < 0)
			return r;
		stuck = xdpd_entries_produced_by_us(&x->tx) && xdpd_ring_needs_wakeup(&x->tx);
	}
	return stuck || x->owed;
}

/* The kernel tells in SO_ERROR alone that the interface was removed; no poll() returns for it. */
static void notice_removal(struct xdpd_client *client)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (client->exclusive && !client->connection.ended &&
	    getsockopt(client->wait_fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error) {
		client->connection.ended = -error;
		(void)snprintf(client->connection.reason, sizeof(client->connection.reason),
			       "the interface is gone (%s)", strerrorname_np(error));
	}
}

static int shorter(int timeout_ms, int limit)
{
	return timeout_ms < 0 || timeout_ms > limit ? limit : timeout_ms;
}

/* What settle() could not do for the link; 1 if that is to be tried again. */
static int put_up_with(struct xdpd_client *client, int error)
{
	/* The daemon may have said why. */
	xdpd_connection_listen(&client->connection);
	if (client->connection.ended)
		return client->connection.ended;
	/* The link is down, which is no end for who waits out more than that. */
	return error == -ENETDOWN && client->reattach.limit_ms ? 1 : error;
}

/*
 * Whether to let frames gather: it received some since it last slept, so more are likely to come, and its ring has room
 * for them.
 */
static bool may_gather(struct xdpd_client *client, int ready, int timeout_ms)
{
	const struct xdpd_ring *rx = &client->x.rx;
	const bool received = rx->own != client->waited_at;

	client->waited_at = rx->own;
	return client->coalesce_usecs && received && !client->raw && !client->fd_wanted &&
	       timeout_ms != 0 && (ready == 0 || ready == XDPD_WAIT_RX) &&
	       xdpd_entries_produced_by_peer(rx) < rx->size / 2;
}

/*
 * Not to be woken by frames is just not to ask for it: only what the daemon says cuts this short, and a signal, of which
 * the program is to hear. Returns 0 or -errno.
 */
static int gather(struct xdpd_client *client, uint64_t deadline)
{
	struct pollfd fd = {.fd = client->connection.fd, .events = POLLIN};
	const int left = xdpd_milliseconds_until(deadline);
	uint64_t usecs = client->coalesce_usecs;
	struct timespec time;
	int n;

	if (left >= 0 && usecs > (uint64_t)left * 1000)
		usecs = (uint64_t)left * 1000;
	time = (struct timespec){.tv_sec = (time_t)(usecs / 1000000),
				 .tv_nsec = (long)(usecs % 1000000) * 1000};
	n = ppoll(&fd, 1, &time, NULL);
	if (n < 0)
		return -errno;
	if (n > 0)
		xdpd_connection_listen(&client->connection);
	return 0;
}

static int wait_attached(struct xdpd_client *client, int timeout_ms, uint64_t deadline)
{
	int retry = RETRY_MIN;
	int left = timeout_ms; /* the clock is looked at only when the first sleep did not do */
	int r = look(client);

	/* What has to be tried again soon keeps it awake. */
	if (may_gather(client, r, timeout_ms) && settle(client) == 0) {
		r = gather(client, deadline);
		if (r < 0)
			return r;
		left = xdpd_milliseconds_until(deadline);
		r = look(client);
	}

	/* A program that takes no events still hears the end, and lets the daemon send on. */
	if (r > 0 && r & XDPD_WAIT_EVENT) {
		xdpd_connection_listen(&client->connection);
		r = look(client);
	}
	/* With a timeout of 0 the caller wants to know what the daemon said, too. */
	if (r < 0 || (r > 0 && timeout_ms != 0)) {
		if (r & XDPD_WAIT_RX)
			xdpd_sleep_not(client);
		return r;
	}
	for (;;) {
		int found;

		r = settle(client);
		if (r < 0)
			r = put_up_with(client, r);
		if (r < 0)
			return r;
		/* Who only looks need not be woken, unless it goes on to sleep by itself. */
		if ((left != 0 || client->fd_wanted) && !xdpd_sleep_begin(client))
			left = 0;
		if (r > 0) {
			found = xdpd_await(client, shorter(left, retry), XDPD_NEVER);
			retry = retry < RETRY_MAX ? retry * 2 : RETRY_MAX;
		} else {
			found = xdpd_await(client, left, deadline);
		}
		xdpd_sleep_end(client, found > 0 && found & XDPD_AWAITED_FRAMES);
		if (found < 0)
			return found;
		if (found & XDPD_AWAITED_DAEMON)
			xdpd_connection_listen(&client->connection);
		if (found & (XDPD_AWAITED_ERROR | XDPD_AWAITED_DAEMON))
			notice_removal(client);
		r = look(client);
		if (r)
			return r;
		left = xdpd_milliseconds_until(deadline);
		if (left == 0)
			return 0;
	}
}

int xdpd_wait(struct xdpd *x, int timeout_ms)
{
	struct xdpd_client *client = xdpd_client_of(x);
	uint64_t deadline = xdpd_deadline(timeout_ms);
	int r;

	if (client->reattach.phase == XDPD_SETTLED) {
		r = wait_attached(client, timeout_ms, deadline);
		return xdpd_reattach_helps(client, r) ? xdpd_reattach_begin(client, r) : r;
	}
	return client->reattach.phase == XDPD_DRAINING ? xdpd_reattach_drain(client)
						       : xdpd_reattach_wait(client, deadline);
}

int xdpd_next_event(struct xdpd *x, struct xdpd_event *ret)
{
	return xdpd_connection_next_event(&xdpd_client_of(x)->connection, ret);
}
