// SPDX-License-Identifier: BSD-2-Clause
/*
 * The sleep of xdpd_wait(): by poll() of what announces frames and of a set that has all else in it.
 *
 *     poll() <-- wait_fd
 *            <-- an epoll set <-- the connection
 *                             <-- a timer
 *
 * A receiver that sleeps does so thousands of times a second, and most of its CPU time is the kernel's for that. A timeout
 * of poll()'s is a timer that is set and cancelled each time. The one in the set goes on over many sleeps: one that was set
 * for an earlier deadline ends a sleep too early once, and is then set for the one that holds.
 *
 * It is not epoll_wait() that sleeps: that ends with EINTR after a stop and SIGCONT, also where no handler has run, and a
 * program would take it for a signal of its own.
 *
 * A program with rings of its own relies on poll() to drive the kernel with each call, and has it; who can't be given two
 * more fds has poll()'s timeout.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "client/client.h"
#include "daemon/cleanup.h"

#define NSEC_PER_SEC 1000000000ull

/* From here on the lasting timer is worth it: not more than a hundred sleeps a second that end too early. */
#define LONG_MS 10

enum { DAEMON, ALARM, N_WATCHED };

void xdpd_await_none(struct xdpd_client *client)
{
	client->await = (struct xdpd_await){.set_fd = -1, .timer_fd = -1, .alarm = XDPD_NEVER};
}

void xdpd_await_end(struct xdpd_client *client)
{
	close_fd(client->await.set_fd);
	close_fd(client->await.timer_fd);
	xdpd_await_none(client);
}

static bool watch(int set_fd, int fd, uint32_t events, uint32_t which)
{
	struct epoll_event event = {.events = events, .data.u32 = which};

	return epoll_ctl(set_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool make_set(struct xdpd_client *client)
{
	cleanup_fd int set_fd = epoll_create1(EPOLL_CLOEXEC);
	cleanup_fd int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (set_fd < 0 || timer_fd < 0 || !watch(set_fd, client->connection.fd, EPOLLIN, DAEMON) ||
	    !watch(set_fd, timer_fd, EPOLLIN | EPOLLET, ALARM))
		return false;
	client->await.set_fd = TAKE_FD(set_fd);
	client->await.timer_fd = TAKE_FD(timer_fd);
	return true;
}

/* Not before the first real sleep: who never sleeps has no need of it. */
static bool has_set(struct xdpd_client *client)
{
	struct xdpd_await *await = &client->await;

	if (await->set_fd < 0 && !await->refused)
		await->refused = !make_set(client);
	return !await->refused;
}

/* At `when`, or before. */
static bool set_alarm(struct xdpd_await *await, uint64_t when)
{
	const struct itimerspec time = {
		.it_value = {.tv_sec = (time_t)(when / NSEC_PER_SEC),
			     .tv_nsec = (long)(when % NSEC_PER_SEC)},
	};

	if (await->alarm <= when)
		return true;
	if (timerfd_settime(await->timer_fd, TFD_TIMER_ABSTIME, &time, NULL) < 0)
		return false;
	await->alarm = when;
	return true;
}

/* XDPD_AWAITED_DAEMON if the connection has something, or -errno. */
static int ask_set(struct xdpd_await *await)
{
	struct epoll_event events[N_WATCHED];
	int found = 0, n = epoll_wait(await->set_fd, events, N_WATCHED, 0);

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		if (events[i].data.u32 == DAEMON)
			found = XDPD_AWAITED_DAEMON;
		else
			await->alarm = XDPD_NEVER;
	}
	return found;
}

int xdpd_await(struct xdpd_client *client, int timeout_ms, uint64_t deadline)
{
	const bool in_set =
		timeout_ms != 0 && client->wait_fd >= 0 && !client->raw && has_set(client);
	struct pollfd fds[] = {
		{.fd = client->wait_fd, .events = POLLIN},
		{.fd = in_set ? client->await.set_fd : client->connection.fd, .events = POLLIN},
	};
	int found;

	if (in_set && timeout_ms >= LONG_MS && deadline != XDPD_NEVER &&
	    set_alarm(&client->await, deadline))
		timeout_ms = -1;
	if (poll(fds, 2, timeout_ms) < 0)
		return -errno;
	found = (fds[0].revents ? XDPD_AWAITED_FRAMES : 0) |
		(fds[0].revents & POLLERR ? XDPD_AWAITED_ERROR : 0);
	if (fds[1].revents) {
		const int more = in_set ? ask_set(&client->await) : XDPD_AWAITED_DAEMON;

		return more < 0 ? more : found | more;
	}
	return found;
}
