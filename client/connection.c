// SPDX-License-Identifier: BSD-2-Clause
#include "client/connection.h"

#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "daemon/cleanup.h"

#define NSEC_PER_SEC  1000000000ull
#define NSEC_PER_MSEC 1000000ull

uint64_t xdpd_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

uint64_t xdpd_deadline(int timeout_ms)
{
	return timeout_ms < 0 ? XDPD_NEVER : xdpd_now() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
}

int xdpd_milliseconds_until(uint64_t deadline)
{
	uint64_t now, left;

	if (deadline == XDPD_NEVER)
		return -1;
	now = xdpd_now();
	if (now >= deadline)
		return 0;
	left = (deadline - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
	return left < INT32_MAX ? (int)left : INT32_MAX;
}

void xdpd_received_close_fds(struct xdpd_received *received)
{
	for (uint32_t i = 0; i < received->n_fds; i++)
		close_fd(received->fds[i]);
	received->n_fds = 0;
}

/* ---- what the daemon says unasked ---- */

static void keep_reason(struct xdpd_connection *connection, const char *reason)
{
	memcpy(connection->reason, reason, sizeof(connection->reason));
	connection->reason[sizeof(connection->reason) - 1] = '\0';
}

static void signal_events(struct xdpd_connection *connection, bool any)
{
	uint64_t count = 1;

	if (any)
		(void)!write(connection->signal_fd, &count, sizeof(count));
	else
		(void)!read(connection->signal_fd, &count, sizeof(count));
}

static void keep_event(struct xdpd_connection *connection, const struct xdpd_event *event)
{
	struct xdpd_event *kept;

	if (connection->n_events == XDPD_EVENTS_MAX) {
		connection->first_event = (connection->first_event + 1) % XDPD_EVENTS_MAX;
		connection->n_events--;
	}
	kept = &connection->events[(connection->first_event + connection->n_events++) %
				   XDPD_EVENTS_MAX];
	*kept = *event;
	kept->device[sizeof(kept->device) - 1] = '\0';
	kept->text[sizeof(kept->text) - 1] = '\0';
	if (connection->n_events == 1)
		signal_events(connection, true);
}

int xdpd_connection_next_event(struct xdpd_connection *connection, struct xdpd_event *ret)
{
	if (!connection->n_events)
		return 0;
	*ret = connection->events[connection->first_event];
	connection->first_event = (connection->first_event + 1) % XDPD_EVENTS_MAX;
	if (--connection->n_events == 0)
		signal_events(connection, false);
	return 1;
}

static int end(struct xdpd_connection *connection, int why, const char *reason)
{
	connection->ended = why;
	if (reason)
		(void)snprintf(connection->reason, sizeof(connection->reason), "%s", reason);
	return why;
}

static int end_of_protocol(struct xdpd_connection *connection)
{
	return end(connection, -EPROTO, "xdpd said something that is not in the protocol (EPROTO)");
}

/* Events and the revocation: 0; -EPROTO for what may not come unasked. */
static int take_unasked(struct xdpd_connection *connection, const struct xdpd_received *received)
{
	switch (received->header.type) {
	case XDPD_EVENT:
		if (received->length < sizeof(received->event) || received->n_fds)
			return end_of_protocol(connection);
		keep_event(connection, &received->event);
		return 0;
	case XDPD_REVOKE:
		if (received->length < sizeof(received->error) || received->n_fds)
			return end_of_protocol(connection);
		keep_reason(connection, received->error.reason);
		connection->code = (int)(received->error.code & 4095);
		return end(connection, -ECANCELED, NULL);
	default:
		return end_of_protocol(connection);
	}
}

/* ---- messages ---- */

static void take_fds(struct xdpd_received *received, struct msghdr *message)
{
	struct cmsghdr *control;

	received->n_fds = 0;
	for (control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
		size_t bytes = control->cmsg_len - CMSG_LEN(0);

		if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(received->fds + received->n_fds, CMSG_DATA(control), bytes);
		received->n_fds += (uint32_t)(bytes / sizeof(int));
	}
}

static bool has_good_header(const struct xdpd_received *received)
{
	const struct xdpd_header *header = &received->header;

	return received->length >= sizeof(*header) && header->magic == XDPD_PROTOCOL_MAGIC &&
	       header->version == XDPD_PROTOCOL_VERSION && header->length == received->length;
}

/* Without waiting: 0 with a message, whose fds the caller closes; -EAGAIN; or why the connection has ended. */
static int receive(struct xdpd_connection *connection, struct xdpd_received *ret)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(XDPD_FDS_MAX * sizeof(int))];
	} control;
	struct iovec io = {.iov_base = ret->bytes, .iov_len = sizeof(ret->bytes)};
	struct msghdr message = {
		.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	const int flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
	ssize_t length = recvmsg(connection->fd, &message, flags);

	/*
	 * A peer that closed without reading all that we sent is first reported as an error, once; what it
	 * said before it closed, such as why it turned us away, comes after that.
	 */
	if (length < 0 && errno == ECONNRESET)
		length = recvmsg(connection->fd, &message, flags);
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	if (length <= 0)
		return end(connection, -ECONNRESET,
			   "xdpd has ended or closed the connection (ECONNRESET)");
	ret->length = (size_t)length;
	take_fds(ret, &message);
	if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || !has_good_header(ret)) {
		xdpd_received_close_fds(ret);
		return end_of_protocol(connection);
	}
	return 0;
}

static int wait_until(struct xdpd_connection *connection, short what, uint64_t deadline)
{
	struct pollfd poll_fd = {.fd = connection->fd, .events = what};
	int r;

	do
		r = poll(&poll_fd, 1, xdpd_milliseconds_until(deadline));
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return r ? 0 : end(connection, -ETIMEDOUT, "xdpd did not answer in time (ETIMEDOUT)");
}

static int send_message(struct xdpd_connection *connection, const void *message, size_t length,
			uint64_t deadline)
{
	while (send(connection->fd, message, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		int r = 0;

		/* It has closed; what it had to say is still to be read. */
		if (errno == EPIPE || errno == ECONNRESET)
			return 0;
		if (errno == EAGAIN)
			r = wait_until(connection, POLLOUT, deadline);
		else if (errno != EINTR)
			r = end(connection, -errno, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The header of the next request. */
static struct xdpd_header make_header(struct xdpd_connection *connection, enum xdpd_message type,
				      size_t length)
{
	if (++connection->id == 0)
		connection->id = 1;
	return (struct xdpd_header){
		.magic = XDPD_PROTOCOL_MAGIC,
		.version = XDPD_PROTOCOL_VERSION,
		.type = (uint16_t)type,
		.length = (uint32_t)length,
		.id = connection->id,
	};
}

/* An errno of the daemon's choice, as a result; a daemon that sends none gets the blame. */
static int refusal(struct xdpd_connection *connection, const struct xdpd_received *received)
{
	const struct xdpd_error *error = &received->error;

	if (received->length < sizeof(*error) || received->n_fds || error->code == 0 ||
	    error->code > 4095)
		return end_of_protocol(connection);
	keep_reason(connection, error->reason);
	return -(int)error->code;
}

/*
 * An xdpd that comes after another does not know whether that has answered a READY just before its end, and answers it
 * once more.
 */
static bool is_started_again(const struct xdpd_connection *connection,
			     const struct xdpd_received *received)
{
	return received->header.type == XDPD_STARTED && !received->n_fds && connection->started &&
	       received->header.id == connection->started;
}

int xdpd_connection_request(struct xdpd_connection *connection, enum xdpd_message type,
			    void *request, size_t length, uint64_t deadline)
{
	*(struct xdpd_header *)request = make_header(connection, type, length);
	return send_message(connection, request, length, deadline);
}

int xdpd_connection_answered(struct xdpd_connection *connection, enum xdpd_message answer,
			     size_t answer_length, struct xdpd_received *ret)
{
	int r = 0;

	while (r == 0) {
		cleanup_received struct xdpd_received received;

		received.n_fds = 0;
		r = receive(connection, &received);
		if (r < 0)
			break;
		/* Who is turned away at the door gets an ERROR that answers nothing. */
		if (received.header.type == XDPD_ERROR &&
		    (received.header.id == connection->id || received.header.id == 0))
			return refusal(connection, &received);
		if (received.header.id == 0) {
			r = take_unasked(connection, &received);
			continue;
		}
		if (is_started_again(connection, &received))
			continue;
		if (received.header.id != connection->id || received.header.type != answer ||
		    received.length < answer_length || (received.n_fds && answer != XDPD_GRANT))
			return end_of_protocol(connection);
		if (answer == XDPD_STARTED)
			connection->started = connection->id;
		memcpy(ret, &received, sizeof(received));
		received.n_fds = 0;
		return 1;
	}
	return r < 0 && r != -EAGAIN ? r : 0;
}

int xdpd_connection_ask(struct xdpd_connection *connection, enum xdpd_message type, void *request,
			size_t length, enum xdpd_message answer, size_t answer_length,
			struct xdpd_received *ret, uint64_t deadline)
{
	int r;

	connection->reason[0] = '\0';
	r = xdpd_connection_request(connection, type, request, length, deadline);
	while (r >= 0) {
		r = xdpd_connection_answered(connection, answer, answer_length, ret);
		if (r > 0)
			return 0;
		if (r == 0)
			r = wait_until(connection, POLLIN, deadline);
	}
	return r;
}

void xdpd_connection_listen(struct xdpd_connection *connection)
{
	while (!connection->ended) {
		cleanup_received struct xdpd_received received;

		received.n_fds = 0;
		if (receive(connection, &received) < 0)
			return;
		if (is_started_again(connection, &received))
			continue;
		if (received.header.id != 0)
			end_of_protocol(connection);
		else
			take_unasked(connection, &received);
	}
}

/* ---- beginning and end ---- */

/* connect() to a UNIX socket waits only while the backlog is full, and then for the send timeout. */
static int connect_until(const struct sockaddr_un *address, uint64_t deadline)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int left = xdpd_milliseconds_until(deadline);
	struct timeval timeout = {}; /* for ever */

	if (left >= 0)
		timeout = (struct timeval){left / 1000, left % 1000 * 1000 + 1};
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
		return -errno;
	while (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		if (errno != EINTR)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return TAKE_FD(fd);
}

static struct xdpd_hello make_hello(const char *name)
{
	struct xdpd_hello hello = {
		.version_min = XDPD_PROTOCOL_VERSION,
		.version_max = XDPD_PROTOCOL_VERSION,
	};

	(void)snprintf(hello.name, sizeof(hello.name), "%s", name);
	return hello;
}

static int check_welcome(struct xdpd_connection *connection, const struct xdpd_welcome *welcome)
{
	if (welcome->version != XDPD_PROTOCOL_VERSION)
		return end(connection, -EPROTONOSUPPORT,
			   "xdpd speaks another version of the protocol (EPROTONOSUPPORT)");
	return 0;
}

static int greet(struct xdpd_connection *connection, const char *name, uint64_t deadline)
{
	struct xdpd_hello hello = make_hello(name);
	cleanup_received struct xdpd_received received;
	int r;

	received.n_fds = 0;
	r = xdpd_connection_ask(connection, XDPD_HELLO, &hello, sizeof(hello), XDPD_WELCOME,
				sizeof(received.welcome), &received, deadline);
	return r < 0 ? r : check_welcome(connection, &received.welcome);
}

static int dial(struct xdpd_connection *connection, const struct sockaddr_un *address,
		uint64_t deadline)
{
	int r = connect_until(address, deadline);

	if (r < 0)
		return r;
	connection->fd = r;
	connection->ended = connection->code = 0;
	connection->started = 0;
	return 0;
}

int xdpd_connection_open(struct xdpd_connection *connection, const struct sockaddr_un *address,
			 const char *name, uint64_t deadline)
{
	int r = dial(connection, address, deadline);

	if (r < 0)
		return r;
	while (connection->n_events) {
		struct xdpd_event old;

		xdpd_connection_next_event(connection, &old);
	}
	r = greet(connection, name, deadline);
	if (r < 0)
		xdpd_connection_close(connection, r);
	return r;
}

int xdpd_connection_begin(struct xdpd_connection *connection, const struct sockaddr_un *address,
			  const char *name)
{
	struct xdpd_hello hello = make_hello(name);
	int r = dial(connection, address, 0);

	if (r < 0) {
		(void)snprintf(connection->reason, sizeof(connection->reason),
			       "can't connect to xdpd again (%s)", strerrorname_np(-r));
		return r;
	}
	r = xdpd_connection_request(connection, XDPD_HELLO, &hello, sizeof(hello), 0);
	if (r < 0)
		xdpd_connection_close(connection, r);
	return r;
}

int xdpd_connection_greeted(struct xdpd_connection *connection)
{
	cleanup_received struct xdpd_received received;
	int r;

	received.n_fds = 0;
	r = xdpd_connection_answered(connection, XDPD_WELCOME, sizeof(received.welcome), &received);
	if (r <= 0)
		return r;
	r = check_welcome(connection, &received.welcome);
	return r < 0 ? r : 1;
}

void xdpd_connection_close(struct xdpd_connection *connection, int why)
{
	struct xdpd_header detach;

	if (connection->fd < 0)
		return;
	detach = make_header(connection, XDPD_DETACH, sizeof(detach));
	(void)!send(connection->fd, &detach, sizeof(detach), MSG_DONTWAIT | MSG_NOSIGNAL);
	connection->fd = close_fd(connection->fd);
	if (!connection->ended)
		connection->ended = why;
}
