// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/session.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "daemon/cleanup.h"
#include "daemon/server_internal.h"

void session_doom(struct session *session, enum detach_reason reason)
{
	if (session->doomed)
		return;
	session->doomed = true;
	session->end = reason;
	(void)sd_event_source_set_enabled(session->io, SD_EVENT_OFF);
	server_bury_later(session->server);
}

static void watch(struct session *session)
{
	(void)sd_event_source_set_io_events(session->io, EPOLLIN | (session->first ? EPOLLOUT : 0));
}

static void enqueue(struct session *session, const void *body, size_t length)
{
	struct session_message *message = malloc(sizeof(*message) + length);

	if (!message || quota_queue(session->user, length) < 0) {
		free(message);
		session_doom(session, DETACH_VIOLATION);
		return;
	}
	message->next = NULL;
	message->length = length;
	memcpy(message->bytes, body, length);
	*session->last = message;
	session->last = &message->next;
	watch(session);
}

static void fill_header(void *body, size_t length, enum xdpd_message type, uint32_t id)
{
	*(struct xdpd_header *)body = (struct xdpd_header){
		.magic = XDPD_PROTOCOL_MAGIC,
		.version = XDPD_PROTOCOL_VERSION,
		.type = type,
		.length = (uint32_t)length,
		.id = id,
	};
}

void session_send(struct session *session, enum xdpd_message type, uint32_t id, void *body,
		  size_t length)
{
	if (session->doomed)
		return;
	fill_header(body, length, type, id);
	if (!session->first && send(session->fd, body, length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return;
	if (session->first || errno == EAGAIN || errno == ENOBUFS)
		enqueue(session, body, length);
	else
		session_doom(session, DETACH_DIED);
}

int session_send_fds(struct session *session, enum xdpd_message type, uint32_t id, void *body,
		     size_t length, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control = {};
	struct iovec io = {.iov_base = body, .iov_len = length};
	struct msghdr message = {
		.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(n_fds * sizeof(int)),
	};
	struct cmsghdr *attached = CMSG_FIRSTHDR(&message);

	if (session->first)
		return -EAGAIN;
	fill_header(body, length, type, id);
	attached->cmsg_level = SOL_SOCKET;
	attached->cmsg_type = SCM_RIGHTS;
	attached->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
	memcpy(CMSG_DATA(attached), fds, n_fds * sizeof(int));
	return sendmsg(session->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void session_answer(struct session *session, const struct failure *why)
{
	struct xdpd_error error = {};
	struct xdpd_header done;

	if (!why) {
		session_send(session, XDPD_DONE, session->request, &done, sizeof(done));
	} else {
		error.code = (uint32_t)why->code;
		(void)snprintf(error.reason, sizeof(error.reason), "%s", why->text);
		session_send(session, XDPD_ERROR, session->request, &error, sizeof(error));
		server_count_failure(session->server, session->request_type);
	}
	session->request = 0;
}

void session_flush(struct session *session)
{
	while (session->first) {
		struct session_message *message = session->first;

		if (send(session->fd, message->bytes, message->length,
			 MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
			if (errno != EAGAIN && errno != ENOBUFS)
				session_doom(session, DETACH_DIED);
			return;
		}
		session->first = message->next;
		if (!session->first)
			session->last = &session->first;
		quota_unqueue(session->user, message->length);
		free(message);
	}
	watch(session);
}
