// SPDX-License-Identifier: BSD-2-Clause
/*
 * Being woken by xdpd, in shared delivery. Who is about to sleep says so in its flags, and then looks once more:
 *
 *     consumer                          worker
 *        flags = NEED_WAKEUP               producer = ... (entries)
 *        full barrier                      full barrier
 *        producer? frames: do not sleep    flags? NEED_WAKEUP: send a byte
 *        poll()
 *
 * Of the two looks at least one sees what the other side has stored, so that frames are either found or announced.
 *
 * xdpd_wait() sleeps like this, withdraws the flag when it wakes, and reads the bytes. A program that sleeps on
 * xdpd_fd() does so behind the library's back. From the first xdpd_fd() on, whenever the program is on its own,
 * therefore:
 *
 *   - nothing can be received: the flag is set, and the bytes were read before the last look; or
 *   - frames may be there, and the epoll set is readable: by a byte that was not read yet, or by a kick.
 *
 * So the bytes are read only when nothing is there to receive. The kick costs no further fd: the eventfd of the
 * events, which is in the set, can always be written to, and asking for that makes the set readable.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "client/client.h"

bool xdpd_is_receivable(struct xdpd_client *client)
{
	return client->tap ? xdpd_tap_take(client)
			   : xdpd_entries_produced_by_peer(&client->x.rx) != 0;
}

static void arm(struct xdpd_client *client, bool armed)
{
	client->armed = armed;
	__atomic_store_n(client->sleep_flags, armed ? XDP_RING_NEED_WAKEUP : 0, __ATOMIC_RELAXED);
}

/* For who has no room, being woken for each burst would be no use. */
static bool can_receive(struct xdpd_client *client)
{
	return !client->tap || xdpd_tap_has_room(client);
}

static bool arm_and_look(struct xdpd_client *client)
{
	arm(client, can_receive(client));
	/* The flag is stored before the ring is looked at: the worker has the other order. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return xdpd_is_receivable(client);
}

/* Bytes have no meaning but that they came. Their end is the attachment's. */
static void read_bytes(struct xdpd_client *client)
{
	char bytes[256];
	ssize_t n;

	do
		n = recv(client->wait_fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	while (n == (ssize_t)sizeof(bytes) || (n < 0 && errno == EINTR));
	client->hung_up = n == 0 || (n < 0 && errno != EAGAIN);
}

static void kick(struct xdpd_client *client, bool kicked)
{
	struct epoll_event event = {
		.events = EPOLLIN | (kicked ? EPOLLOUT : 0),
		.data.fd = client->connection.signal_fd,
	};

	if (client->kicked == kicked)
		return;
	client->kicked = kicked;
	/* What is in the set already can't fail to be changed. */
	(void)epoll_ctl(client->epoll_fd, EPOLL_CTL_MOD, client->connection.signal_fd, &event);
}

void xdpd_sleep_forget(struct xdpd_client *client)
{
	kick(client, false);
}

void xdpd_sleep_not(struct xdpd_client *client)
{
	if (!client->armed)
		return;
	arm(client, false);
	/* Whether a byte is on its way is not known. */
	if (client->fd_wanted)
		kick(client, true);
}

/* Nothing can be received, it seems: reads the bytes, asks to be woken, and looks. */
static void settle_down(struct xdpd_client *client)
{
	read_bytes(client);
	kick(client, false);
	if (arm_and_look(client))
		xdpd_sleep_not(client);
}

bool xdpd_sleep_begin(struct xdpd_client *client)
{
	if (!client->sleep_flags)
		return true;
	return !arm_and_look(client);
}

void xdpd_sleep_end(struct xdpd_client *client, bool woken)
{
	if (!client->sleep_flags)
		return;
	if (!client->fd_wanted) {
		if (client->armed)
			arm(client, false);
		if (woken)
			read_bytes(client);
	} else if (xdpd_is_receivable(client)) {
		if (client->armed)
			arm(client, false);
		/* The byte stays where it is, and keeps the set readable. */
		if (!woken)
			kick(client, true);
	} else if (woken || client->kicked) {
		settle_down(client);
	}
}

void xdpd_sleep_elsewhere(struct xdpd_client *client)
{
	if (client->sleep_flags && !client->armed && !xdpd_is_receivable(client) &&
	    can_receive(client))
		settle_down(client);
}

void xdpd_sleep_prepare(struct xdpd_client *client)
{
	if (!client->sleep_flags)
		return;
	if (xdpd_is_receivable(client))
		kick(client, true);
	else
		settle_down(client);
}
