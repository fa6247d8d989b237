// SPDX-License-Identifier: BSD-2-Clause
/*
 * An attachment that is had again by itself after it has ended.
 *
 *     attached -> draining -> void -> backed off -> greeting -> asking -> starting -> attached
 *                                     ^                |          |          |
 *                                     +--- later ------+----------+----------+
 *
 * All of it happens inside xdpd_wait(), one step for each call of which none waits for the daemon: the answers make
 * the connection readable, and the timer is for the rest. Both are in the epoll set of xdpd_fd().
 *
 * The program is told of two of these: XDPD_WAIT_DETACHED when the attachment becomes void, so that it is through
 * with its frames before they are unmapped, and XDPD_WAIT_REATTACHED when there are others. In between there are
 * no rings, so that nothing that the program does with the old descriptors can reach the new ones.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "client/client.h"
#include "daemon/cleanup.h"

#define NSEC_PER_SEC  1000000000ull
#define NSEC_PER_MSEC 1000000ull

/* Between attempts: it doubles from the first to the last. */
#define DELAY_MIN_MS 10
#define DELAY_MAX_MS 1000

/* A program may take out what has arrived, as long as it does, but not for ever: more may be arriving. */
#define DRAIN_MS 100

/* When the epoll set becomes readable by itself. */
static void set_alarm(struct xdpd_client *client, uint64_t next)
{
	struct itimerspec when = {};

	client->reattach.next = next;
	if (client->reattach.timer_fd < 0)
		return;
	/* All 0 would be never. */
	if (next != XDPD_NEVER) {
		when.it_value.tv_sec = (time_t)(next / NSEC_PER_SEC);
		when.it_value.tv_nsec = (long)(next % NSEC_PER_SEC);
		if (next == 0)
			when.it_value.tv_nsec = 1;
	}
	(void)timerfd_settime(client->reattach.timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static uint64_t later(uint64_t from, int ms)
{
	return ms < 0 ? XDPD_NEVER : from + (uint64_t)ms * NSEC_PER_MSEC;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When to stop trying. */
static uint64_t give_up_at(const struct xdpd_client *client)
{
	return later(client->reattach.ended, client->reattach.limit_ms);
}

void xdpd_reattach_prepare(struct xdpd_client *client, const struct xdpd_attach_request *request,
			   const struct xdpd_attach_options *options)
{
	struct xdpd_reattach *reattach = &client->reattach;

	reattach->request = *request;
	reattach->snap_length = options->snap_length;
	reattach->limit_ms = options->reattach_ms;
	reattach->patience_ms = options->timeout_ms ? options->timeout_ms : XDPD_DEFAULT_TIMEOUT_MS;
	reattach->began = xdpd_now();
}

void xdpd_reattach_forget(struct xdpd_client *client)
{
	const int timer_fd = client->reattach.timer_fd;

	if (client->reattach.phase == XDPD_STARTING)
		client->x = client->reattach.granted;
	client->reattach = (struct xdpd_reattach){.timer_fd = timer_fd};
	set_alarm(client, XDPD_NEVER);
}

/* It is the world that may change (who was there first may leave), not what was asked for. */
static bool time_mends(int error)
{
	switch (-error) {
	case ENOENT:
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
	case ESHUTDOWN:
	case ETIMEDOUT:
	case EBUSY:
	case EUSERS:
	case ENODEV:
	case ENETDOWN:
	case ENXIO:
		return true;
	default:
		return false;
	}
}

bool xdpd_reattach_helps(const struct xdpd_client *client, int error)
{
	if (!client->reattach.limit_ms || error >= 0)
		return false;
	/* To the program every REVOKE is ECANCELED. */
	if (error == -ECANCELED && client->connection.code)
		error = -client->connection.code;
	return time_mends(error);
}

uint64_t xdpd_reattach_gap(const struct xdpd_client *client)
{
	const struct xdpd_reattach *reattach = &client->reattach;

	return reattach->gap + (reattach->phase == XDPD_SETTLED ? 0 : xdpd_now() - reattach->ended);
}

/* ---- the end of one ---- */

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* What the attachment has counted, and what is lost with it. */
static void keep_counters(struct xdpd_client *client)
{
	struct xdpd_stats *past = &client->reattach.past;
	struct xdpd_stats stats = {};

	if (xdpd_client_count(client, &stats) < 0)
		return;
	past->dropped += stats.dropped;
	past->ring_full += stats.ring_full;
	past->fill_empty += stats.fill_empty;
	past->rx_invalid += stats.rx_invalid;
	past->tx_invalid += stats.tx_invalid;
	past->tx_empty += stats.tx_empty;
	past->overrun += stats.overrun;
	/* A daemon that dies may leave anything in its rings. A tap's has no end, and is bounded already. */
	past->abandoned +=
		client->tap ? stats.rx_entries : smaller(stats.rx_entries, client->x.rx.size);
	past->unsent += smaller(stats.tx_entries, client->x.tx.size);
}

static void become_void(struct xdpd_client *client)
{
	keep_counters(client);
	/* An AF_XDP socket does not leave the set by being closed here, as the daemon has it open, too. */
	(void)epoll_ctl(client->epoll_fd, EPOLL_CTL_DEL, client->wait_fd, NULL);
	xdpd_sleep_forget(client);
	xdpd_connection_close(&client->connection, -ECONNRESET);
	xdpd_grant_void(client);
	client->reattach.phase = XDPD_VOID;
}

int xdpd_reattach_begin(struct xdpd_client *client, int error)
{
	struct xdpd_reattach *reattach = &client->reattach;

	reattach->phase = XDPD_DRAINING;
	reattach->error = error;
	reattach->ended = xdpd_now();
	reattach->received = client->x.rx.own - 1;
	/* One that did not last is no reason to hurry. */
	if (reattach->ended > later(reattach->began, DELAY_MAX_MS))
		reattach->delay_ms = 0;
	/* The program is called until it has seen the end of this. */
	set_alarm(client, 0);
	return xdpd_reattach_drain(client);
}

int xdpd_reattach_drain(struct xdpd_client *client)
{
	struct xdpd_reattach *reattach = &client->reattach;
	const bool goes_on = client->x.rx.own != reattach->received &&
			     xdpd_now() < later(reattach->ended, DRAIN_MS);

	reattach->received = client->x.rx.own;
	if (goes_on && xdpd_is_receivable(client))
		return XDPD_WAIT_RX | (client->connection.n_events ? XDPD_WAIT_EVENT : 0);
	become_void(client);
	return XDPD_WAIT_DETACHED | (client->connection.n_events ? XDPD_WAIT_EVENT : 0);
}

/* ---- an attempt ---- */

static int ask(struct xdpd_client *client)
{
	struct xdpd_attach_request *request = &client->reattach.request;

	client->reattach.phase = XDPD_ASKING;
	return xdpd_connection_request(&client->connection, XDPD_ATTACH, request, sizeof(*request),
				       0);
}

/* A refusal leaves the connection as it is, and the next attempt goes on with it. */
static int attempt(struct xdpd_client *client)
{
	struct xdpd_connection *connection = &client->connection;
	int r;

	set_alarm(client,
		  earlier(later(xdpd_now(), client->reattach.patience_ms), give_up_at(client)));
	if (connection->fd >= 0)
		return ask(client);
	r = xdpd_connection_begin(connection, &client->address, client->name);
	if (r == 0)
		r = xdpd_client_watch(client, connection->fd);
	client->reattach.phase = XDPD_GREETING;
	return r;
}

/* The frames of a new attachment come into sight with xdpd_wait()'s word that there is one. */
static int take_grant(struct xdpd_client *client, struct xdpd_received *received)
{
	struct xdpd_header ready;
	int r = xdpd_client_take_grant(client, received, client->reattach.snap_length);

	if (r < 0)
		return r;
	client->reattach.granted = client->x;
	client->x = xdpd_grant_nothing(client);
	client->reattach.phase = XDPD_STARTING;
	return xdpd_connection_request(&client->connection, XDPD_READY, &ready, sizeof(ready), 0);
}

static int succeed(struct xdpd_client *client)
{
	struct xdpd_reattach *reattach = &client->reattach;
	const uint64_t gap = xdpd_now() - reattach->ended;
	int r;

	client->x = reattach->granted;
	/* Where it fails, nothing is mapped. */
	reattach->phase = XDPD_BACKED_OFF;
	r = xdpd_client_start(client);
	if (r < 0)
		return r;
	reattach->phase = XDPD_SETTLED;
	reattach->gap += gap;
	reattach->began = reattach->ended + gap;
	reattach->past.reattached++;
	client->connection.reason[0] = '\0';
	set_alarm(client, XDPD_NEVER);
	return 1;
}

/* Takes the answer that the phase is for: 1 if it came, 0, or -errno. */
static int take_answer(struct xdpd_client *client)
{
	struct xdpd_connection *connection = &client->connection;
	cleanup_received struct xdpd_received received;
	int r;

	received.n_fds = 0;
	switch (client->reattach.phase) {
	case XDPD_GREETING:
		r = xdpd_connection_greeted(connection);
		return r > 0 && (r = ask(client)) == 0 ? 1 : r;
	case XDPD_ASKING:
		r = xdpd_connection_answered(connection, XDPD_GRANT, XDPD_GRANT_V1, &received);
		return r > 0 && (r = take_grant(client, &received)) == 0 ? 1 : r;
	default:
		r = xdpd_connection_answered(connection, XDPD_STARTED, sizeof(received.header),
					     &received);
		return r > 0 ? succeed(client) : r;
	}
}

static int give_up(struct xdpd_client *client, int error)
{
	struct xdpd_reattach *reattach = &client->reattach;

	xdpd_connection_close(&client->connection, error);
	client->connection.ended = error;
	reattach->gap = xdpd_reattach_gap(client);
	reattach->phase = XDPD_SETTLED;
	reattach->limit_ms = 0;
	set_alarm(client, 0);
	return error;
}

/* What came to nothing: the next attempt is later, or there is none, and `error` is what xdpd_wait() says then. */
static int fail(struct xdpd_client *client, int error)
{
	struct xdpd_reattach *reattach = &client->reattach;
	struct xdpd_connection *connection = &client->connection;
	const uint64_t now = xdpd_now();

	if (reattach->phase == XDPD_STARTING)
		client->x = reattach->granted;
	/* Who refuses the queue alone can be asked again. */
	if (connection->ended || reattach->phase != XDPD_ASKING)
		xdpd_connection_close(connection, error);
	xdpd_client_unmap(client);
	reattach->phase = XDPD_BACKED_OFF;
	if (!xdpd_reattach_helps(client, error) || now >= give_up_at(client))
		return give_up(client, error);
	reattach->error = error;
	reattach->delay_ms =
		reattach->delay_ms ? smaller(reattach->delay_ms * 2, DELAY_MAX_MS) : DELAY_MIN_MS;
	set_alarm(client, earlier(later(now, (int)reattach->delay_ms), give_up_at(client)));
	return 0;
}

/* As far as it goes without waiting: 1 if attached, 0, or -errno and nothing more is tried. */
static int step(struct xdpd_client *client)
{
	struct xdpd_connection *connection = &client->connection;
	const bool is_due = xdpd_now() >= client->reattach.next;
	int r = 0;

	if (client->reattach.phase == XDPD_BACKED_OFF) {
		/* A connection that is kept for the next attempt may end before it. */
		xdpd_connection_listen(connection);
		if (connection->ended)
			xdpd_connection_close(connection, connection->ended);
		if (!is_due)
			return 0;
		if (xdpd_now() >= give_up_at(client))
			return give_up(client, client->reattach.error);
		r = attempt(client);
	}
	while (r >= 0 && client->reattach.phase != XDPD_SETTLED) {
		r = take_answer(client);
		if (r == 0)
			break;
	}
	if (r == 0 && xdpd_now() >= client->reattach.next) {
		connection->ended = r = -ETIMEDOUT;
		(void)snprintf(connection->reason, sizeof(connection->reason),
			       "xdpd did not answer in time (ETIMEDOUT)");
	}
	return r < 0 ? fail(client, r) : r;
}

/* The program has seen that its frames are void. */
static void begin_trying(struct xdpd_client *client)
{
	struct xdpd_reattach *reattach = &client->reattach;

	xdpd_client_unmap(client);
	reattach->phase = XDPD_BACKED_OFF;
	set_alarm(client,
		  earlier(later(reattach->ended, (int)reattach->delay_ms), give_up_at(client)));
}

static int ready_set(struct xdpd_client *client)
{
	return XDPD_WAIT_REATTACHED | (xdpd_is_receivable(client) ? XDPD_WAIT_RX : 0) |
	       (client->connection.n_events ? XDPD_WAIT_EVENT : 0);
}

int xdpd_reattach_wait(struct xdpd_client *client, uint64_t deadline)
{
	if (client->reattach.phase == XDPD_VOID)
		begin_trying(client);
	for (;;) {
		struct pollfd fd = {.events = POLLIN};
		int r = step(client);

		if (r)
			return r < 0 ? r : ready_set(client);
		if (client->connection.n_events)
			return XDPD_WAIT_EVENT;
		if (xdpd_milliseconds_until(deadline) == 0)
			return 0;
		fd.fd = client->connection.fd;
		if (poll(&fd, 1,
			 xdpd_milliseconds_until(earlier(deadline, client->reattach.next))) < 0)
			return -errno;
	}
}
