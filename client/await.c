// SPDX-License-Identifier: BSD-2-Clause
/*
 * The sleep of xdpd_wait(): in an epoll set that lasts as long as the attachment.
 *
 * A receiver that sleeps does so thousands of times a second, and most of its CPU time is the kernel's for that. By
 * poll() of both fds it enters and leaves two wait queues and sets and cancels a timer each time, and asks both fds before
 * and after. Here it sleeps on one queue, only what had something is asked, and the timer goes on over many sleeps: one
 * that was set for an earlier deadline ends a sleep too early once, and is then set for the one that holds.
 *
 * The set itself is polled: epoll_wait() would also end after a stop and SIGCONT, of which the program knows nothing, and
 * is called only where no frames have come, to hear what has.
 *
 * An AF_XDP socket is watched for what arrives, not for what is there [EPOLLET]: the ring is looked at before each
 * sleep anyhow. So the kernel is not asked to transmit or to fill, as it is by poll() of the socket: that is done before,
 * too. A program with rings of its own relies on that, and has it. So has who can't be given two more fds.
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

enum { FRAMES, DAEMON, ALARM, N_WATCHED };

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

	if (set_fd < 0 || timer_fd < 0 ||
	    !watch(set_fd, client->wait_fd, EPOLLIN | (client->exclusive ? EPOLLET : 0), FRAMES) ||
	    !watch(set_fd, client->connection.fd, EPOLLIN, DAEMON) ||
	    !watch(set_fd, timer_fd, EPOLLIN | EPOLLET, ALARM))
		return false;
	client->await.set_fd = TAKE_FD(set_fd);
	client->await.timer_fd = TAKE_FD(timer_fd);
	return true;
}

/* Not before the first real sleep: the kernel tells a set of each burst, also while nobody sleeps. */
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

/* What has something: a set of enum xdpd_awaited, or -errno. */
static int ask_set(struct xdpd_await *await)
{
	struct epoll_event events[N_WATCHED];
	int found = 0, n = epoll_wait(await->set_fd, events, N_WATCHED, 0);

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		switch (events[i].data.u32) {
		case FRAMES:
			found |= XDPD_AWAITED_FRAMES;
			if (events[i].events & EPOLLERR)
				found |= XDPD_AWAITED_ERROR;
			break;
		case DAEMON:
			found |= XDPD_AWAITED_DAEMON;
			break;
		default:
			await->alarm = XDPD_NEVER;
		}
	}
	return found;
}

/* What else there is, where frames are, is heard when there are none. */
static int await_in_set(struct xdpd_client *client, int timeout_ms, uint64_t deadline)
{
	struct pollfd set = {.fd = client->await.set_fd, .events = POLLIN};
	int n;

	if (timeout_ms >= LONG_MS && deadline != XDPD_NEVER && set_alarm(&client->await, deadline))
		timeout_ms = -1;
	n = poll(&set, 1, timeout_ms);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	return xdpd_is_receivable(client) ? XDPD_AWAITED_FRAMES : ask_set(&client->await);
}

static int await_by_poll(struct xdpd_client *client, int timeout_ms)
{
	struct pollfd fds[] = {
		[FRAMES] = {.fd = client->wait_fd, .events = POLLIN},
		[DAEMON] = {.fd = client->connection.fd, .events = POLLIN},
	};

	if (poll(fds, 2, timeout_ms) < 0)
		return -errno;
	return (fds[FRAMES].revents ? XDPD_AWAITED_FRAMES : 0) |
	       (fds[FRAMES].revents & POLLERR ? XDPD_AWAITED_ERROR : 0) |
	       (fds[DAEMON].revents ? XDPD_AWAITED_DAEMON : 0);
}

int xdpd_await(struct xdpd_client *client, int timeout_ms, uint64_t deadline)
{
	const bool sleeps = timeout_ms != 0 && client->wait_fd >= 0 && !client->raw;

	return sleeps && has_set(client) ? await_in_set(client, timeout_ms, deadline)
					 : await_by_poll(client, timeout_ms);
}
