// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/server.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "daemon/cleanup.h"
#include "daemon/log.h"
#include "daemon/server_internal.h"
#include "daemon/session.h"
#include "daemon/socket_file.h"

#define HELLO_LIMIT_USEC (10 * 1000000ull) /* from connect to HELLO */
#define BACKLOG		 128

/* More than anybody needs; what is left of the thread's time is for the others. */
#define MESSAGES	     200
#define MESSAGES_PERIOD_USEC (100 * 1000ull)
#define TURNED_AWAY_LOG_USEC (60 * 1000000ull)

struct server {
	struct daemon *daemon;
	int fd;
	char *path; /* that it made and removes; NULL: from socket activation */
	sd_event_source *io;
	sd_event_source *bury;	/* doomed sessions wait to be freed */
	sd_event_source *retry; /* sessions wait for a queue that may be had now */
	sd_event_source *pause; /* no fds are left: the listening socket rests */
	struct session *sessions;
	uint32_t n_sessions;
	struct quota quota;
	uint64_t turned_away_logged; /* CLOCK_MONOTONIC, in us; 0: never */
	uint64_t requests[REQUEST_COUNT];
	uint64_t failures[REQUEST_COUNT];
};

void server_count_request(struct server *server, uint16_t type)
{
	if (type >= XDPD_HELLO && type <= REQUEST_COUNT)
		server->requests[type - 1]++;
}

void server_count_failure(struct server *server, uint16_t type)
{
	if (type >= XDPD_HELLO && type <= REQUEST_COUNT)
		server->failures[type - 1]++;
}

void server_adopt_counts(struct server *server, const uint64_t requests[REQUEST_COUNT],
			 const uint64_t failures[REQUEST_COUNT])
{
	memcpy(server->requests, requests, sizeof(server->requests));
	memcpy(server->failures, failures, sizeof(server->failures));
}

void server_count(const struct server *server, uint64_t requests[REQUEST_COUNT],
		  uint64_t failures[REQUEST_COUNT], uint32_t *sessions)
{
	memcpy(requests, server->requests, sizeof(server->requests));
	memcpy(failures, server->failures, sizeof(server->failures));
	*sessions = server->n_sessions;
}

/* ---- the end of sessions ---- */

static void session_free(struct session *session)
{
	if (session->attachment)
		attachment_end(session->attachment, session->end);
	/* The last word may say why it ends. */
	if (session->first)
		session_flush(session);
	while (session->first) {
		struct session_message *message = session->first;

		session->first = message->next;
		quota_unqueue(session->user, message->length);
		free(message);
	}
	sd_event_source_disable_unref(session->io);
	sd_event_source_disable_unref(session->timer);
	close_fd(session->fd);
	free(session->waiting);
	if (session->subscribed)
		quota_unsubscribe(session->user);
	if (session->user)
		quota_disconnect(&session->server->quota, session->user);
	peer_clear(&session->peer);
	session->server->n_sessions--;
	free(session);
}

static int on_bury(sd_event_source *source, void *context)
{
	struct server *server = context;
	struct session **at = &server->sessions;

	(void)source;
	/* First off the list, as the end of an attachment speaks to those on it. */
	while (*at) {
		struct session *session = *at;

		if (!session->doomed) {
			at = &session->next;
			continue;
		}
		*at = session->next;
		session_free(session);
	}
	return 0;
}

void server_bury_later(struct server *server)
{
	(void)sd_event_source_set_enabled(server->bury, SD_EVENT_ONESHOT);
}

/* ---- messages from peers ---- */

static void close_received_fds(struct msghdr *message, bool *any)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
	     control = CMSG_NXTHDR(message, control)) {
		size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(fd));
			close_fd(fd);
			*any = true;
		}
	}
}

static void refuse(struct session *session, const char *what)
{
	struct xdpd_error error = {.code = EPROTO};

	(void)snprintf(error.reason, sizeof(error.reason), "protocol error: %s (EPROTO)", what);
	session_send(session, XDPD_ERROR, 0, &error, sizeof(error));
	session_doom(session, DETACH_VIOLATION);
}

/* The version counts once it is agreed: HELLO is the same in all of them. */
static bool good_header(const struct session *session, const struct xdpd_header *header,
			size_t length)
{
	return length >= sizeof(*header) && header->magic == XDPD_PROTOCOL_MAGIC &&
	       header->length == length &&
	       (!session->greeted || header->version == XDPD_PROTOCOL_VERSION);
}

static void receive(struct session *session)
{
	union {
		struct xdpd_header header;
		char bytes[XDPD_MESSAGE_MAX];
	} body;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec io = {.iov_base = &body, .iov_len = sizeof(body)};
	struct msghdr message = {
		.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	bool fds = false;
	ssize_t length = recvmsg(session->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (length < 0) {
		if (errno != EAGAIN && errno != EINTR)
			session_doom(session, DETACH_DIED);
		return;
	}
	close_received_fds(&message, &fds);
	/* Members that the peer does not know yet are 0. */
	memset(body.bytes + length, 0, sizeof(body) - (size_t)length);
	if (length == 0)
		session_doom(session, DETACH_DIED);
	else if (fds || message.msg_flags & MSG_CTRUNC)
		refuse(session, "fds that nobody asked for");
	else if (message.msg_flags & MSG_TRUNC)
		refuse(session, "a message that is too long");
	else if (!good_header(session, &body.header, (size_t)length))
		refuse(session,
		       "not a message of this protocol, or its version or length is wrong");
	else
		session_handle(session, &body, (size_t)length);
}

static int on_session(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct session *session = context;

	(void)source;
	(void)fd;
	if (events & EPOLLOUT)
		session_flush(session);
	if (!session->doomed && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(session);
	return 0;
}

static int on_hello_limit(sd_event_source *source, uint64_t now, void *context)
{
	(void)source;
	(void)now;
	session_doom(context, DETACH_TIMEOUT);
	return 0;
}

/* ---- new sessions ---- */

static size_t count_queues(const struct daemon *daemon)
{
	size_t count = 0;

	for (size_t i = 0; i < daemon->n_interfaces; i++)
		count += daemon->interfaces[i]->n_queues;
	return count;
}

/* Who is turned away tends to come again. */
static void log_turned_away(struct server *server, const struct failure *why)
{
	uint64_t now;

	(void)sd_event_now(server->daemon->event, CLOCK_MONOTONIC, &now);
	if (server->turned_away_logged && now - server->turned_away_logged < TURNED_AWAY_LOG_USEC)
		return;
	server->turned_away_logged = now;
	log_warning("turned a connection away (said once a minute at most): %s", why->text);
}

/* To one that has no session. */
static void turn_away(int fd, enum xdpd_message type, int code, const char *why)
{
	struct xdpd_error error = {
		.header = {.magic = XDPD_PROTOCOL_MAGIC,
			   .version = XDPD_PROTOCOL_VERSION,
			   .type = type,
			   .length = sizeof(error)},
		.code = (uint32_t)code,
	};

	(void)snprintf(error.reason, sizeof(error.reason), "%s", why);
	(void)!send(fd, &error, sizeof(error), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void server_dismiss(int fd, const char *why)
{
	turn_away(fd, XDPD_REVOKE, ESHUTDOWN, why);
	close_fd(fd);
}

/* Takes the fd over. On failure `why` says who is turned away; its code is 0 if it is no fault of the peer's. */
static int session_make(struct server *server, int fd, struct session **ret, struct failure *why)
{
	struct session *session = calloc(1, sizeof(*session));
	sd_event *event = server->daemon->event;
	int r;

	why->code = 0;
	if (!session) {
		close_fd(fd);
		return -ENOMEM;
	}
	session->server = server;
	session->daemon = server->daemon;
	session->fd = fd;
	session->last = &session->first;
	server->n_sessions++;
	r = peer_of_socket(&session->peer, fd);
	if (r == 0) {
		r = quota_connect(&server->quota, session->peer.uid, count_queues(server->daemon),
				  &session->user, why);
		if (r < 0)
			turn_away(fd, XDPD_ERROR, why->code, why->text);
	}
	if (r == 0)
		r = sd_event_add_io(event, &session->io, fd, EPOLLIN, on_session, session);
	if (r >= 0)
		r = sd_event_source_set_ratelimit(session->io, MESSAGES_PERIOD_USEC, MESSAGES);
	if (r < 0) {
		session_free(session);
		return r;
	}
	session->next = server->sessions;
	server->sessions = session;
	*ret = session;
	return 0;
}

static int session_new(struct server *server, int fd)
{
	struct session *session;
	struct failure why;
	int r = session_make(server, fd, &session, &why);

	if (r < 0) {
		if (why.code)
			log_turned_away(server, &why);
		return r;
	}
	r = sd_event_add_time_relative(server->daemon->event, &session->timer, CLOCK_MONOTONIC,
				       HELLO_LIMIT_USEC, 0, on_hello_limit, session);
	if (r < 0)
		session_doom(session, DETACH_FAILED);
	return r;
}

int server_adopt(struct server *server, int fd, const char *name, struct session **ret)
{
	struct session *session;
	struct failure why;
	int r = session_make(server, fd, &session, &why);

	if (r < 0)
		return r;
	(void)snprintf(session->name, sizeof(session->name), "%s", name);
	session->greeted = true;
	*ret = session;
	return 0;
}

static int on_pause_end(sd_event_source *source, uint64_t now, void *context)
{
	struct server *server = context;

	(void)source;
	(void)now;
	server->pause = sd_event_source_disable_unref(server->pause);
	(void)sd_event_source_set_enabled(server->io, SD_EVENT_ON);
	return 0;
}

/* Without fds accept() fails at once, for ever: rest a second instead of spinning. */
static void pause_listening(struct server *server)
{
	log_warning("no fds left for new connections; raise LimitNOFILE=");
	(void)sd_event_source_set_enabled(server->io, SD_EVENT_OFF);
	(void)sd_event_add_time_relative(server->daemon->event, &server->pause, CLOCK_MONOTONIC,
					 1000000, 0, on_pause_end, server);
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct server *server = context;
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)source;
	(void)events;
	if (peer >= 0)
		(void)session_new(server, peer);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
		pause_listening(server);
	return 0;
}

/* ---- events ---- */

static bool concerns(const struct session *session, const struct xdpd_event *event)
{
	const struct attachment *attachment = session->attachment;

	if (session->subscribed)
		return true;
	if (!attachment || !attachment->running ||
	    strcmp(event->device, attachment->queue->interface->name))
		return false;
	/*
	 * It has its own answer; who else comes and goes at a shared queue is not its matter. Nobody shall be able to
	 * wake others, or to fill what they have not read, by coming and going.
	 */
	if (event->kind == XDPD_EVENT_ATTACHED || event->kind == XDPD_EVENT_DETACHED)
		return false;
	return event->queue == UINT32_MAX || event->queue == attachment->queue->id;
}

void server_broadcast(struct server *server, const struct xdpd_event *event)
{
	struct xdpd_event message = *event;

	for (struct session *session = server->sessions; session; session = session->next)
		if (!session->doomed && concerns(session, event))
			session_send(session, XDPD_EVENT, 0, &message, sizeof(message));
	if (event->kind == XDPD_EVENT_QUEUE_STATE)
		(void)sd_event_source_set_enabled(server->retry, SD_EVENT_ONESHOT);
}

static int on_retry(sd_event_source *source, void *context)
{
	struct server *server = context;

	(void)source;
	for (struct session *session = server->sessions; session; session = session->next)
		session_retry(session);
	return 0;
}

/* ---- listening ---- */

static int fail_to_make_way(const char *path, int code, struct failure *why)
{
	switch (code) {
	case EEXIST:
		return failure(
			why, code,
			"%s exists and is no socket (EEXIST); set another `socket: { path: ... }`",
			path);
	case EADDRINUSE:
		return failure(why, code,
			       "%s: another xdpd, or another program, listens there (EADDRINUSE); "
			       "stop it, or set another "
			       "`socket: { path: ... }`",
			       path);
	default:
		return failure(
			why, code,
			"%s: can't tell whether somebody listens there, or remove it (%s); set "
			"another `socket: { path: ... }`",
			path, strerrorname_np(code));
	}
}

static int listen_on_path(int *ret, const char *path, mode_t mode, struct failure *why)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int r;

	if (fd < 0)
		return failure(why, errno, "can't make a UNIX socket (%s)", strerrorname_np(errno));
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	r = socket_file_remove_stale(&address, sizeof(address), SOCK_SEQPACKET);
	if (r < 0)
		return fail_to_make_way(path, -r, why);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return failure(
			why, errno,
			"%s: can't make the control socket (%s); its folder has to exist and to be "
			"writable",
			path, strerrorname_np(errno));
	/* Nobody can connect before the mode is set, as it does not listen yet. */
	if (chmod(path, mode) < 0 || listen(fd, BACKLOG) < 0)
		return failure(why, errno, "%s: can't listen (%s)", path, strerrorname_np(errno));
	*ret = TAKE_FD(fd);
	return 0;
}

/* Who is gone before the accept() must not leave the daemon waiting for the next. */
static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int add_sources(struct server *server)
{
	sd_event *event = server->daemon->event;
	int r = sd_event_add_io(event, &server->io, server->fd, EPOLLIN, on_connection, server);

	if (r >= 0)
		r = sd_event_add_defer(event, &server->bury, on_bury, server);
	if (r >= 0)
		r = sd_event_add_defer(event, &server->retry, on_retry, server);
	if (r < 0)
		return r;
	(void)sd_event_source_set_enabled(server->bury, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(server->retry, SD_EVENT_OFF);
	/* Ends are seen before new requests, so that who reconnects finds the queue on its way to be free. */
	(void)sd_event_source_set_priority(server->bury, SD_EVENT_PRIORITY_IMPORTANT);
	(void)sd_event_source_set_priority(server->retry, SD_EVENT_PRIORITY_IMPORTANT + 1);
	return 0;
}

int server_start(struct server **ret, struct daemon *daemon, int listen_fd, bool owns_path,
		 struct failure *why)
{
	struct server *server = calloc(1, sizeof(*server));
	const char *path = daemon->config->socket_path;
	int r = 0;

	if (!server) {
		close_fd(listen_fd);
		return failure(why, ENOMEM, "no memory for the control socket");
	}
	server->daemon = daemon;
	server->fd = listen_fd;
	quota_init(&server->quota);
	if (listen_fd < 0) {
		r = listen_on_path(&server->fd, path, daemon->config->socket_mode, why);
	} else if (set_nonblocking(listen_fd) < 0) {
		r = failure(why, errno, "can't make the service manager's socket non-blocking (%s)",
			    strerrorname_np(errno));
	}
	if (r == 0) {
		/* Not before it is there: what somebody else has there is not ours to remove. */
		if (owns_path)
			server->path = strdup(path);
		r = add_sources(server);
		if (r < 0)
			failure(why, -r, "can't watch the control socket (%s)",
				strerrorname_np(-r));
	}
	if (r < 0) {
		server_stop(server);
		return r;
	}
	*ret = server;
	return 0;
}

struct server *server_stop(struct server *server)
{
	if (!server)
		return NULL;
	for (struct session *session = server->sessions; session; session = session->next)
		session_doom(session, DETACH_SHUTDOWN);
	if (server->bury)
		on_bury(server->bury, server);
	sd_event_source_disable_unref(server->io);
	sd_event_source_disable_unref(server->bury);
	sd_event_source_disable_unref(server->retry);
	sd_event_source_disable_unref(server->pause);
	if (server->path)
		(void)unlink(server->path);
	free(server->path);
	close_fd(server->fd);
	quota_clear(&server->quota);
	free(server);
	return NULL;
}

int server_fd(const struct server *server)
{
	return server->fd;
}

bool server_owns_path(const struct server *server)
{
	return server->path != NULL;
}
