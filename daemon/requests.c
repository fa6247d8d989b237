// SPDX-License-Identifier: BSD-2-Clause
/* What a peer can ask for: one function a request, and the table that says what each needs. */
#include <assert.h>
#include <net/ethernet.h>
#include <poll.h>
#include <string.h>

#include "daemon/cleanup.h"
#include "daemon/interface.h"
#include "daemon/log.h"
#include "daemon/queue.h"
#include "daemon/server_internal.h"
#include "daemon/session.h"
#include "daemon/status.h"

const char *const request_names[REQUEST_COUNT] = {
	"hello",     "attach",	     "ready", "detach", "subscribe", "list",
	"add_queue", "remove_queue", "eject", "reload", "trace",
};

/* A handler answers the request itself, now or later, or returns the refusal as -errno and `why`. */
typedef int (*request_handler)(struct session *session, void *body, size_t length,
			       struct failure *why);

static bool terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static bool good_name(const char *name)
{
	return name[0] && terminated(name, XDPD_NAME_MAX) &&
	       !name[strspn(name,
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-")];
}

/* Broken messages are no refusals: EPROTO ends the session. */
static int violate(struct failure *why, const char *what)
{
	return failure(why, EPROTO, "protocol error: %s (EPROTO)", what);
}

/* Root can do to the daemon what it likes anyhow; a config that leaves it out shall not lock out `systemctl reload`. */
static bool is_admin(const struct session *session)
{
	return session->peer.uid == 0 ||
	       peer_is_on(&session->peer, &session->daemon->config->admin);
}

/* ---- hello ---- */

static int handle_hello(struct session *session, void *body, size_t length, struct failure *why)
{
	const struct xdpd_hello *hello = body;
	struct xdpd_welcome welcome = {.version = XDPD_PROTOCOL_VERSION};

	(void)length;
	if (!good_name(hello->name))
		return violate(why, "a name has 1 to 31 letters, digits and `_.:-`");
	if (hello->version_min > XDPD_PROTOCOL_VERSION ||
	    hello->version_max < XDPD_PROTOCOL_VERSION)
		return failure(why, EPROTONOSUPPORT,
			       "xdpd %s speaks version %d of the protocol, the client %u to %u "
			       "(EPROTONOSUPPORT)",
			       XDPD_RELEASE, XDPD_PROTOCOL_VERSION, hello->version_min,
			       hello->version_max);
	(void)snprintf(session->name, sizeof(session->name), "%s", hello->name);
	(void)snprintf(welcome.release, sizeof(welcome.release), "%s", XDPD_RELEASE);
	session->timer = sd_event_source_disable_unref(session->timer);
	session->greeted = true;
	session_send(session, XDPD_WELCOME, session->request, &welcome, sizeof(welcome));
	session->request = 0;
	return 0;
}

/* ---- attaching ---- */

static void on_started(void *context, const struct failure *why)
{
	struct session *session = context;
	struct xdpd_header started;

	if (why) {
		session->attachment = NULL;
		session_answer(session, why);
		if (why->code == EPROTO)
			session_doom(session, DETACH_VIOLATION);
		return;
	}
	session_send(session, XDPD_STARTED, session->request, &started, sizeof(started));
	session->request = 0;
}

static bool may_attach(void *context, const struct access_list *who)
{
	const struct session *session = context;

	return is_admin(session) || peer_is_on(&session->peer, who);
}

static void send_revoke(struct session *session, int code, const char *why)
{
	struct xdpd_error revoke = {.code = (uint32_t)code};

	(void)snprintf(revoke.reason, sizeof(revoke.reason), "%s", why);
	session_send(session, XDPD_REVOKE, 0, &revoke, sizeof(revoke));
}

static void on_stopping(void *context, const char *why)
{
	send_revoke(context, ESHUTDOWN, why);
}

static void on_revoked(void *context, int code, const char *why)
{
	struct session *session = context;

	session->attachment = NULL;
	/* One that was told that xdpd stops has heard it. */
	if (!session->daemon->stopping)
		send_revoke(session, code, why);
	session_doom(session, DETACH_LEFT);
}

static int connection_of(void *context)
{
	return ((struct session *)context)->fd;
}

struct attachment_owner session_as_owner(struct session *session)
{
	return (struct attachment_owner){session,    on_started,  may_attach,
					 on_revoked, on_stopping, connection_of};
}

static int fail_no_interface(const struct session *session, const char *device, struct failure *why)
{
	const struct daemon *daemon = session->daemon;
	char list[XDPD_REASON_MAX / 2] = "none";
	size_t length = 0;

	for (size_t i = 0; i < daemon->n_interfaces && length < sizeof(list); i++)
		length += (size_t)snprintf(list + length, sizeof(list) - length, "%s%s",
					   i ? ", " : "", daemon->interfaces[i]->name);
	return failure(why, ENODEV, "%s: not an interface of xdpd's (ENODEV); it has: %s", device,
		       list);
}

static int fail_taken(const struct queue *queue, struct failure *why)
{
	const struct attachment *holder = queue->attachments;

	return failure(why, EBUSY, "%s queue %u: taken by consumer `%s`, uid %u, pid %d (EBUSY)",
		       queue->interface->name, queue->id, holder->name, holder->uid, holder->pid);
}

/* Of those who name none each is a group of its own. */
static const char *group_of(const struct session *session,
			    const struct xdpd_attach_request *request)
{
	return request->group[0] ? request->group : session->name;
}

/* The queue that a request names, if the peer may attach to it. */
static int find_queue(struct session *session, const struct xdpd_attach_request *request,
		      struct queue **ret, struct failure *why)
{
	struct interface *interface = daemon_find_interface(session->daemon, request->device);
	struct queue *queue;

	if (!interface)
		return fail_no_interface(session, request->device, why);
	queue = interface_find_queue(interface, request->queue);
	if (!queue)
		return failure(
			why, ENOENT,
			"%s queue %u: not a queue of xdpd's (ENOENT); `xdpctl show queues` lists "
			"them, `xdpctl add-queue %s %u` adds it",
			request->device, request->queue, request->device, request->queue);
	if (!may_attach(session, queue_attach_list(queue, group_of(session, request))))
		return failure(why, EACCES,
			       "%s queue %u: uid %u may not attach (EACCES); add it to the queue's "
			       "or the group's `attach: { users: [...] }`",
			       request->device, request->queue, session->peer.uid);
	*ret = queue;
	return 0;
}

static int grant(struct session *session, struct queue *queue,
		 const struct xdpd_attach_request *request, struct failure *why)
{
	const struct attachment_wish wish = {session->name, group_of(session, request),
					     request->flags};
	struct xdpd_grant message = {};
	struct attachment *attachment;
	int fds[ATTACHMENT_FDS];
	int r = attachment_grant(&attachment, queue, &session->peer, &wish,
				 session_as_owner(session), &message, fds, why);

	if (r < 0)
		return r;
	r = session_send_fds(session, XDPD_GRANT, session->request, &message, sizeof(message), fds,
			     message.n_fds);
	if (r < 0) {
		/* If the peer is gone, the answer or the next event finds out. */
		attachment_end(attachment, DETACH_FAILED);
		return failure(why, -r, "%s queue %u: can't send the grant (%s)%s",
			       queue->interface->name, queue->id, strerrorname_np(-r),
			       r == -EAGAIN ? "; read what was sent before" : "");
	}
	attachment_handed_over(attachment);
	session->attachment = attachment;
	session->request = 0;
	return 0;
}

/* Its connection has closed, but the event loop has not come to it: ends and requests come in any order. */
static bool holder_is_leaving(const struct queue *queue)
{
	const struct session *holder = queue->attachments->owner.context;
	struct pollfd connection = {.fd = holder->fd};

	return holder->doomed || (poll(&connection, 1, 0) == 1 && connection.revents & POLLHUP);
}

/* Returns 0 (granted), -EINPROGRESS (worth waiting: the queue is about to be free), or the refusal. */
static int try_attach(struct session *session, const struct xdpd_attach_request *request,
		      struct failure *why)
{
	struct queue *queue = NULL;
	int r = find_queue(session, request, &queue, why);

	if (r < 0)
		return r;
	switch (queue->state) {
	case XDPD_QUEUE_READY:
		return grant(session, queue, request, why);
	case XDPD_QUEUE_ATTACHED:
		if (queue->settings->delivery == XDPD_SHARED)
			return grant(session, queue, request, why);
		return holder_is_leaving(queue) ? -EINPROGRESS : fail_taken(queue, why);
	case XDPD_QUEUE_RELEASING:
		return -EINPROGRESS;
	default:
		*why = queue->why;
		return -why->code;
	}
}

#define HOLD_OR_TAP (XDPD_ATTACH_HOLD | XDPD_ATTACH_TAP)

static int handle_attach(struct session *session, void *body, size_t length, struct failure *why)
{
	const struct xdpd_attach_request *request = body;
	int r;

	(void)length;
	if (!terminated(request->device, sizeof(request->device)) ||
	    !terminated(request->group, sizeof(request->group)))
		return violate(why, "an unterminated string");
	if (request->group[0] && !good_name(request->group))
		return violate(why, "a group's name has 1 to 31 letters, digits and `_.:-`");
	if ((request->flags & HOLD_OR_TAP) == HOLD_OR_TAP)
		return failure(why, EINVAL, "attach: either hold or tap, not both (EINVAL)");
	if (request->flags & ~(uint32_t)(XDPD_ATTACH_TRANSMIT | HOLD_OR_TAP))
		return failure(why, EOPNOTSUPP,
			       "attach: flags 0x%x are unknown to xdpd %s (EOPNOTSUPP)",
			       request->flags, XDPD_RELEASE);
	if (session->daemon->stopping)
		return failure(why, ESHUTDOWN, "xdpd is stopping (ESHUTDOWN); try again later");
	if (session->attachment)
		return failure(why, EISCONN,
			       "%s queue %u: this connection is attached already (EISCONN); one "
			       "connection holds one queue",
			       session->attachment->queue->interface->name,
			       session->attachment->queue->id);
	r = try_attach(session, request, why);
	if (r != -EINPROGRESS)
		return r;
	session->waiting = malloc(sizeof(*request));
	if (!session->waiting)
		return failure(why, ENOMEM, "no memory for the request");
	*session->waiting = *request;
	return 0;
}

void session_retry(struct session *session)
{
	struct failure why;
	int r;

	if (!session->waiting || session->doomed)
		return;
	r = try_attach(session, session->waiting, &why);
	if (r == -EINPROGRESS)
		return;
	free(TAKE_PTR(session->waiting));
	if (r < 0)
		session_answer(session, &why);
}

static int handle_ready(struct session *session, void *body, size_t length, struct failure *why)
{
	(void)body;
	(void)length;
	if (!session->attachment || session->attachment->running)
		return violate(why, "READY without a grant");
	session->attachment->starting = session->request;
	attachment_start(session->attachment);
	return 0;
}

static int handle_detach(struct session *session, void *body, size_t length, struct failure *why)
{
	(void)body;
	(void)length;
	(void)why;
	session_doom(session, DETACH_LEFT);
	return 0;
}

/* ---- looking ---- */

static int handle_subscribe(struct session *session, void *body, size_t length, struct failure *why)
{
	int r = session->subscribed ? 0 : quota_subscribe(session->user, why);

	(void)body;
	(void)length;
	if (r < 0)
		return r;
	session->subscribed = true;
	session_answer(session, NULL);
	return 0;
}

static void send_record(struct session *session, enum xdpd_list kind, const void *record,
			size_t size)
{
	struct {
		struct xdpd_header header;
		uint32_t kind;
		uint32_t zero;
		unsigned char record[1024];
	} message = {.kind = kind};

	static_assert(sizeof(struct xdpd_queue_record) <= sizeof(message.record),
		      "the longest record fits");
	memcpy(message.record, record, size);
	session_send(session, XDPD_RECORD, session->request, &message,
		     offsetof(typeof(message), record) + size);
}

static void send_text(struct session *session, const char *text, size_t length)
{
	struct {
		struct xdpd_header header;
		char text[XDPD_MESSAGE_MAX - sizeof(struct xdpd_header)];
	} message;

	while (length) {
		size_t piece = length < sizeof(message.text) ? length : sizeof(message.text);

		memcpy(message.text, text, piece);
		session_send(session, XDPD_TEXT, session->request, &message,
			     sizeof(message.header) + piece);
		text += piece;
		length -= piece;
	}
}

static void send_records(struct session *session, enum xdpd_list kind, const void *records,
			 size_t count, size_t size)
{
	const unsigned char *record = records;

	for (size_t i = 0; i < count; i++, record += size)
		send_record(session, kind, record, size);
}

static int send_list(struct session *session, enum xdpd_list kind)
{
	static const unsigned int parts[] = {
		[XDPD_LIST_DAEMON] = 0,
		[XDPD_LIST_INTERFACES] = STATUS_INTERFACES,
		[XDPD_LIST_QUEUES] = STATUS_QUEUES,
		[XDPD_LIST_CONSUMERS] = STATUS_CONSUMERS,
		[XDPD_LIST_GROUPS] = STATUS_GROUPS,
		[XDPD_LIST_RULES] = STATUS_RULES,
		[XDPD_LIST_WORKERS] = STATUS_WORKERS,
	};
	const struct status *status;
	int r = status_take(session->daemon, parts[kind], &status);

	if (r < 0)
		return r;
	/* Only the one that was asked for has any. */
	if (kind == XDPD_LIST_DAEMON)
		send_record(session, kind, &status->daemon, sizeof(status->daemon));
	send_records(session, kind, status->interfaces, status->n_interfaces,
		     sizeof(*status->interfaces));
	send_records(session, kind, status->queues, status->n_queues, sizeof(*status->queues));
	send_records(session, kind, status->consumers, status->n_consumers,
		     sizeof(*status->consumers));
	send_records(session, kind, status->groups, status->n_groups, sizeof(*status->groups));
	send_records(session, kind, status->rules, status->n_rules, sizeof(*status->rules));
	send_records(session, kind, status->workers, status->n_workers, sizeof(*status->workers));
	return 0;
}

static int handle_list(struct session *session, void *body, size_t length, struct failure *why)
{
	const struct xdpd_list_request *request = body;

	(void)length;
	if (request->kind < XDPD_LIST_DAEMON || request->kind > XDPD_LIST_WORKERS)
		return failure(why, EOPNOTSUPP, "list: kind %u is unknown to xdpd %s (EOPNOTSUPP)",
			       request->kind, XDPD_RELEASE);
	if (request->kind == XDPD_LIST_CONFIG) {
		const char *source = session->daemon->config->source;

		if (!is_admin(session))
			return failure(
				why, EACCES,
				"only administrators may read the config (EACCES); uid %u is not "
				"in `access: { admin: ... }`",
				session->peer.uid);
		send_text(session, source, strlen(source));
	} else if (send_list(session, request->kind) < 0) {
		return failure(why, ENOMEM, "no memory for the list");
	}
	session_answer(session, NULL);
	return 0;
}

/* ---- administration ---- */

typedef int (*queue_change)(struct daemon *daemon, const char *device, const char *fragment,
			    struct failure *why);

/* ADD_QUEUE and REMOVE_QUEUE differ in what is done with the device and the fragment, and what it is called. */
static int change_queues(struct session *session, const struct xdpd_queue_request *request,
			 size_t length, queue_change change, const char *done, struct failure *why)
{
	size_t size = length - sizeof(*request);
	cleanup_free char *fragment = NULL;
	int r;

	if (!terminated(request->device, sizeof(request->device)) ||
	    memchr(request->fragment, '\0', size))
		return violate(why, "a string is not terminated as it should be");
	fragment = strndup(request->fragment, size);
	if (!fragment)
		return failure(why, ENOMEM, "no memory for the request");
	r = change(session->daemon, request->device, fragment, why);
	if (r < 0)
		return r;
	log_notice("%s, by uid %u: %s %s", done, session->peer.uid, request->device, fragment);
	session_answer(session, NULL);
	return 0;
}

static int handle_add_queue(struct session *session, void *body, size_t length, struct failure *why)
{
	return change_queues(session, body, length, daemon_add_queue, "queues added", why);
}

static int handle_remove_queue(struct session *session, void *body, size_t length,
			       struct failure *why)
{
	return change_queues(session, body, length, daemon_remove_queue, "queues removed", why);
}

static bool is_meant(const struct attachment *attachment, const struct xdpd_eject_request *request)
{
	return !request->consumer[0] || !strcmp(request->consumer, attachment->name);
}

/* Who is to be ejected: by name all who have it; without, the only one. */
static int check_eject(const struct queue *queue, const struct xdpd_eject_request *request,
		       struct failure *why)
{
	const struct attachment *first = queue->attachments;

	if (!first)
		return failure(why, ENOENT, "%s queue %u: no consumer is attached (ENOENT)",
			       request->device, request->queue);
	if (!request->consumer[0] && first->next)
		return failure(
			why, EINVAL,
			"%s queue %u: several consumers are attached, say which (EINVAL); `xdpctl "
			"show consumers` lists them",
			request->device, request->queue);
	for (const struct attachment *at = first; at; at = at->next)
		if (is_meant(at, request))
			return 0;
	return failure(why, ENOENT, "%s queue %u: %s `%s`, not `%s` (ENOENT)", request->device,
		       request->queue,
		       first->next ? "none of several consumers is called so; the first is"
				   : "the consumer is",
		       first->name, request->consumer);
}

static int handle_eject(struct session *session, void *body, size_t length, struct failure *why)
{
	const struct xdpd_eject_request *request = body;
	struct interface *interface;
	struct attachment *at, *next;
	struct queue *queue;
	char reason[XDPD_REASON_MAX];
	int r;

	(void)length;
	if (!terminated(request->device, sizeof(request->device)) ||
	    !terminated(request->consumer, sizeof(request->consumer)) ||
	    !terminated(request->reason, sizeof(request->reason)))
		return violate(why, "an unterminated string");
	interface = daemon_find_interface(session->daemon, request->device);
	if (!interface)
		return fail_no_interface(session, request->device, why);
	queue = interface_find_queue(interface, request->queue);
	if (!queue)
		return failure(why, ENOENT, "%s queue %u: not a queue of xdpd's (ENOENT)",
			       request->device, request->queue);
	r = check_eject(queue, request, why);
	if (r < 0)
		return r;
	(void)snprintf(reason, sizeof(reason), "%s queue %u: ejected by an administrator%s%.128s",
		       request->device, request->queue, request->reason[0] ? ": " : "",
		       request->reason);
	for (at = queue->attachments; at; at = next) {
		next = at->next;
		if (is_meant(at, request))
			attachment_revoke(at, DETACH_EJECTED, ECANCELED, reason);
	}
	session_answer(session, NULL);
	return 0;
}

static int handle_reload(struct session *session, void *body, size_t length, struct failure *why)
{
	cleanup_free char *text = NULL;
	size_t size;
	FILE *report = open_memstream(&text, &size);
	int r;

	(void)body;
	(void)length;
	if (!report)
		return failure(why, ENOMEM, "no memory to reload");
	r = daemon_reload(session->daemon, report);
	fclose(report);
	send_text(session, text, size);
	if (r < 0)
		return failure(why, -r, "%s is not valid, nothing changed (%s)",
			       session->daemon->config_path, strerrorname_np(-r));
	session_answer(session, NULL);
	return 0;
}

/* ---- tracing ---- */

static int handle_trace(struct session *session, void *body, size_t length, struct failure *why)
{
	const struct xdpd_trace_request *request = body;
	struct interface *interface;
	struct xdpd_trace_record records[XDPD_GROUPS_MAX];
	bool any = false;

	if (!terminated(request->device, sizeof(request->device)))
		return violate(why, "an unterminated string");
	if (length < sizeof(*request) + ETH_HLEN)
		return failure(why, EINVAL, "trace: a frame has at least 14 bytes (EINVAL)");
	interface = daemon_find_interface(session->daemon, request->device);
	if (!interface)
		return fail_no_interface(session, request->device, why);
	for (size_t i = 0; i < interface->n_queues; i++) {
		struct queue *queue = interface->queues[i];
		size_t n;
		int r;

		if (request->queue != UINT32_MAX && request->queue != queue->id)
			continue;
		r = queue_trace(queue, request->frame, length - sizeof(*request), records, &n, why);
		if (r < 0)
			return r;
		send_records(session, XDPD_LIST_TRACE, records, n, sizeof(*records));
		any = true;
	}
	if (!any)
		return failure(why, ENOENT, "%s: has no such queue of xdpd's (ENOENT)",
			       request->device);
	session_answer(session, NULL);
	return 0;
}

/* ---- dispatch ---- */

static const struct {
	request_handler handler;
	size_t size; /* of version 1's message; a longer one is cut */
	bool admin;
	const char *what; /* that only administrators may do */
} requests[REQUEST_COUNT] = {
	[XDPD_HELLO - 1] = {handle_hello, XDPD_HELLO_V1, false, NULL},
	[XDPD_ATTACH - 1] = {handle_attach, XDPD_ATTACH_REQUEST_V1, false, NULL},
	[XDPD_READY - 1] = {handle_ready, XDPD_HEADER_V1, false, NULL},
	[XDPD_DETACH - 1] = {handle_detach, XDPD_HEADER_V1, false, NULL},
	[XDPD_SUBSCRIBE - 1] = {handle_subscribe, XDPD_HEADER_V1, false, NULL},
	[XDPD_LIST - 1] = {handle_list, XDPD_LIST_REQUEST_V1, false, NULL},
	[XDPD_ADD_QUEUE - 1] = {handle_add_queue, XDPD_QUEUE_REQUEST_V1, true, "add queues"},
	[XDPD_REMOVE_QUEUE - 1] = {handle_remove_queue, XDPD_QUEUE_REQUEST_V1, true,
				   "remove queues"},
	[XDPD_EJECT - 1] = {handle_eject, XDPD_EJECT_REQUEST_V1, true, "eject consumers"},
	[XDPD_RELOAD - 1] = {handle_reload, XDPD_HEADER_V1, true, "reload the config"},
	[XDPD_TRACE - 1] = {handle_trace, XDPD_TRACE_REQUEST_V1, true, "trace frames"},
};

static int check(const struct session *session, const struct xdpd_header *header, size_t length,
		 struct failure *why)
{
	if (header->type < XDPD_HELLO || header->type > REQUEST_COUNT)
		return violate(why, "an unknown request");
	if (length < requests[header->type - 1].size)
		return violate(why, "a message too short for its type");
	if (session->greeted == (header->type == XDPD_HELLO))
		return violate(why, "HELLO comes first, and once");
	/* Nothing answers DETACH, so it needs no id, and it may come while something else is under way. */
	if (header->type == XDPD_DETACH)
		return 0;
	if (header->id == 0)
		return violate(why, "a request without an id");
	if (session->request)
		return violate(why, "a request while another is under way");
	if (requests[header->type - 1].admin && !is_admin(session))
		return failure(why, EACCES,
			       "only administrators may %s (EACCES); uid %u is not in "
			       "`access: { admin: ... }`",
			       requests[header->type - 1].what, session->peer.uid);
	return 0;
}

void session_handle(struct session *session, void *message, size_t length)
{
	const struct xdpd_header *header = message;
	struct failure why = {};
	int r;

	r = check(session, header, length, &why);
	session->request = header->id;
	session->request_type = header->type;
	server_count_request(session->server, header->type);
	if (r == 0)
		r = requests[header->type - 1].handler(session, message, length, &why);
	if (r == 0)
		return;
	session_answer(session, &why);
	if (r == -EPROTO || r == -EPROTONOSUPPORT)
		session_doom(session, DETACH_VIOLATION);
}
