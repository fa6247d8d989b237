/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "ctl/say.h"
#include "daemon/cleanup.h"

#define PATIENCE_S 5

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int connection_lose(struct connection *connection, struct failure *why, int code,
		    const char *format, ...)
{
	va_list args;

	connection->lost = true;
	why->code = code;
	va_start(args, format);
	(void)vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	return -code;
}

void connection_close(struct connection *connection)
{
	connection->fd = close_fd(connection->fd);
}

static int wait_readable(struct connection *connection, struct failure *why)
{
	struct pollfd fd = {.fd = connection->fd, .events = POLLIN};

	for (;;) {
		int64_t left = connection->deadline ? connection->deadline - now_ms() : -1;
		/* also for a daemon that sends without an end: then it is never poll() that finds the time up */
		int r = connection->deadline && left <= 0 ? 0 : poll(&fd, 1, (int)left);

		if (r > 0)
			return 0;
		if (r == 0)
			return connection_lose(connection, why, ETIMEDOUT,
					       "xdpd did not answer within %d seconds", PATIENCE_S);
		if (errno != EINTR)
			return connection_lose(connection, why, errno, "can't wait for xdpd: %s",
					       strerror(errno));
	}
}

/*
 * Receives one message and checks its header. fds that come with it are closed by the kernel: there is no
 * room for them.
 */
static int receive(struct connection *connection, struct failure *why)
{
	const struct xdpd_header *header = (const void *)connection->buffer;
	ssize_t n;
	int r = wait_readable(connection, why);

	if (r < 0)
		return r;
	/* A peer that closes before it read all leaves ECONNRESET ahead of its last words. */
	n = recv(connection->fd, connection->buffer, sizeof(connection->buffer), MSG_TRUNC);
	if (n < 0 && errno == ECONNRESET)
		n = recv(connection->fd, connection->buffer, sizeof(connection->buffer), MSG_TRUNC);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return connection_lose(connection, why, ECONNRESET, "xdpd closed the connection");
	if (n < 0)
		return connection_lose(connection, why, errno, "can't receive from xdpd: %s",
				       strerror(errno));
	if ((size_t)n < sizeof(*header))
		return connection_lose(connection, why, EPROTO,
				       "protocol error: a message of %zd bytes is too short", n);
	if ((size_t)n > sizeof(connection->buffer))
		return connection_lose(connection, why, EPROTO,
				       "protocol error: a message of %zd bytes is too long", n);
	if (header->magic != XDPD_PROTOCOL_MAGIC)
		return connection_lose(connection, why, EPROTO,
				       "what listens there does not speak xdpd's protocol");
	if (header->version != XDPD_PROTOCOL_VERSION)
		return connection_lose(connection, why, EPROTO,
				       "protocol error: a message of version %u, not %d",
				       header->version, XDPD_PROTOCOL_VERSION);
	if (header->length != (size_t)n)
		return connection_lose(connection, why, EPROTO,
				       "protocol error: a message of %zd bytes says that it has %u",
				       n, header->length);
	return 0;
}

static int check_length(struct connection *connection, const struct xdpd_header *header,
			size_t least, struct failure *why)
{
	if (header->length >= least)
		return 0;
	return connection_lose(
		connection, why, EPROTO,
		"protocol error: a message of type %#x has %u bytes, expected %zu or more",
		header->type, header->length, least);
}

/* ERROR and REVOKE: the daemon's own words become the failure. */
static int refused(struct connection *connection, const struct xdpd_header *header,
		   struct failure *why)
{
	const struct xdpd_error *error = (const void *)header;
	int r = check_length(connection, header, sizeof(*error), why);

	if (r < 0)
		return r;

	int code = error->code > 0 && error->code < 4096 ? (int)error->code : EPROTO;

	if (!error->reason[0])
		return failure(why, code, "refused: %s", strerror(code));
	return failure(why, code, "%.*s", (int)strnlen(error->reason, sizeof(error->reason)),
		       error->reason);
}

int connection_request(struct connection *connection, enum xdpd_message type,
		       struct xdpd_header *message, size_t length, struct failure *why)
{
	if (length > XDPD_MESSAGE_MAX)
		return failure(why, EMSGSIZE, "the request has %zu bytes, more than a message's %d",
			       length, XDPD_MESSAGE_MAX);
	*message = (struct xdpd_header){
		.magic = XDPD_PROTOCOL_MAGIC,
		.version = XDPD_PROTOCOL_VERSION,
		.type = (uint16_t)type,
		.length = (uint32_t)length,
		.id = ++connection->id,
	};
	connection->deadline = now_ms() + PATIENCE_S * 1000;
	if (send(connection->fd, message, length, MSG_NOSIGNAL) >= 0)
		return 0;
	/* A daemon that refuses a connection says why and closes: the sentence waits to be read. */
	if (errno == EPIPE)
		return 0;
	if (errno == EAGAIN)
		return connection_lose(connection, why, ETIMEDOUT,
				       "xdpd took no request for %d seconds", PATIENCE_S);
	return connection_lose(connection, why, errno, "can't send to xdpd: %s", strerror(errno));
}

int connection_answer(struct connection *connection, struct answer *ret, struct failure *why)
{
	const struct xdpd_header *header = (const void *)connection->buffer;
	const uint32_t *kind;
	int r = receive(connection, why);

	if (r < 0)
		return r;
	if (header->type == XDPD_REVOKE)
		return refused(connection, header, why);
	if (header->type == XDPD_EVENT) {
		r = check_length(connection, header, sizeof(struct xdpd_event), why);
		if (r < 0)
			return r;
		*ret = (struct answer){XDPD_EVENT, header, header->length, 0};
		return 1;
	}
	/* id 0: a refusal of the connection itself, before any request was read */
	if (header->id != connection->id && !(header->type == XDPD_ERROR && !header->id))
		return connection_lose(connection, why, EPROTO,
				       "protocol error: an answer to request %u, not to %u",
				       header->id, connection->id);
	switch (header->type) {
	case XDPD_ERROR:
		return refused(connection, header, why);
	case XDPD_DONE:
		connection->deadline = 0;
		return 0;
	case XDPD_TEXT:
	case XDPD_WELCOME:
		*ret = (struct answer){header->type, header + 1, header->length - sizeof(*header),
				       0};
		return 1;
	case XDPD_RECORD:
		r = check_length(connection, header, sizeof(*header) + 2 * sizeof(*kind), why);
		if (r < 0)
			return r;
		kind = (const void *)(header + 1);
		*ret = (struct answer){XDPD_RECORD, kind + 2,
				       header->length - sizeof(*header) - 2 * sizeof(*kind), *kind};
		return 1;
	default:
		return connection_lose(connection, why, EPROTO,
				       "protocol error: a message of type %#x answers a request",
				       header->type);
	}
}

int connection_call(struct connection *connection, enum xdpd_message type,
		    struct xdpd_header *message, size_t length, char **ret_text,
		    struct failure *why)
{
	cleanup_free char *text = allocate(1);
	size_t used = 0;
	struct answer answer;
	int r = connection_request(connection, type, message, length, why);

	while (r >= 0 && (r = connection_answer(connection, &answer, why)) > 0) {
		if (answer.type != XDPD_TEXT)
			return connection_lose(
				connection, why, EPROTO,
				"protocol error: a message of type %#x instead of text",
				answer.type);
		text = reallocate(text, used + answer.length + 1);
		memcpy(text + used, answer.body, answer.length);
		used += answer.length;
	}
	text[used] = '\0';
	if (ret_text)
		*ret_text = TAKE_PTR(text);
	return r;
}

static int hello(struct connection *connection, struct failure *why)
{
	struct xdpd_hello message = {
		.version_min = XDPD_PROTOCOL_VERSION,
		.version_max = XDPD_PROTOCOL_VERSION,
		.name = "xdpctl",
	};
	const size_t least = sizeof(struct xdpd_welcome) - sizeof(struct xdpd_header);
	struct answer answer;
	int r = connection_request(connection, XDPD_HELLO, &message.header, sizeof(message), why);

	if (r < 0)
		return r;
	r = connection_answer(connection, &answer, why);
	if (r < 0)
		return r;
	if (r == 0 || answer.type != XDPD_WELCOME || answer.length < least)
		return connection_lose(connection, why, EPROTO,
				       "protocol error: xdpd did not welcome this client");

	const struct xdpd_welcome *welcome = (const void *)connection->buffer;

	memcpy(connection->release, welcome->release, sizeof(connection->release));
	connection->release[sizeof(connection->release) - 1] = '\0';
	return 0;
}

static int connect_to(struct connection *connection, int fd, const char *path, struct failure *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = PATIENCE_S};

	if (strlen(path) >= sizeof(address.sun_path))
		return failure(why, ENAMETOOLONG, "the socket's path is longer than %zu bytes: %s",
			       sizeof(address.sun_path) - 1, path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	/* also bounds connect(), which waits while the listener's backlog is full */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return failure(why, errno, "can't limit the time to connect: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	switch (errno) {
	case EACCES:
	case EPERM:
		return failure(why, errno, "not allowed to connect to %s: %s", path,
			       strerror(errno));
	case ENOENT:
	case ECONNREFUSED:
		return connection_lose(connection, why, errno,
				       "no daemon at %s (%s): is xdpd running?", path,
				       strerror(errno));
	case EAGAIN:
		return connection_lose(
			connection, why, ETIMEDOUT,
			"xdpd at %s took no connection for %d seconds: does it hang?", path,
			PATIENCE_S);
	case EPROTOTYPE:
		return connection_lose(connection, why, EPROTOTYPE,
				       "%s is not a socket of xdpd's kind", path);
	default:
		return connection_lose(connection, why, errno, "can't connect to %s: %s", path,
				       strerror(errno));
	}
}

int connection_open(struct connection *connection, const char *path, struct failure *why)
{
	struct failure detail;
	cleanup_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return failure(why, errno, "can't make a socket: %s", strerror(errno));
	r = connect_to(connection, fd, path, why);
	if (r < 0)
		return r;
	connection->fd = fd;
	r = hello(connection, &detail);
	if (r < 0) {
		connection->fd = -1;
		return failure(why, -r, "%s: %s", path, detail.text);
	}
	TAKE_FD(fd);
	return 0;
}

int connection_give_up(const struct connection *connection, const struct failure *why)
{
	say("%s", why->text);
	return connection->lost ? EXIT_NO_DAEMON : EXIT_REFUSED;
}
