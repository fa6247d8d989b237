/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/http.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include <microhttpd.h>

#include "daemon/cleanup.h"
#include "daemon/http_socket.h"
#include "daemon/metrics.h"
#include "daemon/page.h"
#include "daemon/process.h"

#define CONNECTIONS_MAX		32
#define CONNECTIONS_PER_ADDRESS 16
#define CONNECTION_MEMORY	((size_t)16384) /* bounds a request's head */
#define CONNECTION_MICROSECONDS (15 * UINT64_C(1000000))

/* An accept() that goes on failing, as no fd is left, must not become a busy loop. */
#define ACCEPTS_PER_SECOND 500

/* What a response is sent from: it must stay as it is until a slow client has it all. */
struct body {
	struct http *http;
	struct text text;
};

struct client {
	int fd;		   /* -1: free */
	uint64_t deadline; /* CLOCK_MONOTONIC, in us; UINT64_MAX: it has been cut */
};

struct http {
	struct http_sources sources;
	struct http_socket socket;
	struct MHD_Daemon *mhd;
	sd_event *event;
	sd_event_source *listen_source, *mhd_source, *timer;
	struct client clients[CONNECTIONS_MAX];
	size_t n_clients;
	struct body *spare; /* the memory of the last response, for the next */
};

/* ---- bodies ---- */

static struct body *body_free(struct body *body)
{
	if (body) {
		text_free(&body->text);
		free(body);
	}
	return NULL;
}

static struct body *body_take(struct http *http)
{
	struct body *body = TAKE_PTR(http->spare);

	if (!body)
		body = calloc(1, sizeof(*body));
	if (!body)
		return NULL;
	body->http = http;
	text_clear(&body->text);
	return body;
}

/* Called by libmicrohttpd when the response has been sent, or can't be. */
static void body_give_back(void *argument)
{
	struct body *body = argument;

	if (!body->http->spare)
		body->http->spare = body;
	else
		body_free(body);
}

/* ---- what is served ---- */

/* A `qvalue` in thousandths: `0.5` is 500 [RFC 9110, 12.4.2]. */
static unsigned thousandths(const char *at)
{
	unsigned value = 0;

	if (at[0] != '0')
		return 1000;
	if (at[1] != '.')
		return 0;
	at += 2;
	for (unsigned place = 100; *at >= '0' && *at <= '9'; at++, place /= 10)
		value += (unsigned)(*at - '0') * place;
	return value;
}

/* What the parameters of a media range say of its weight; 1000 when they do not. */
static unsigned weight(const char *at, const char *end)
{
	while ((at = memchr(at, ';', (size_t)(end - at)))) {
		at += strspn(at, "; \t");
		if ((*at == 'q' || *at == 'Q') && at[1] == '=')
			return thousandths(at + 2);
	}
	return 1000;
}

/* How much an Accept header likes a media type that it names, in thousandths; 0: not at all. */
static unsigned quality(const char *accept, const char *type)
{
	size_t length = strlen(type);

	while (accept && *accept) {
		const char *end;

		accept += strspn(accept, ", \t");
		end = accept + strcspn(accept, ",");
		/* strchr() finds the string's end, too */
		if (strncasecmp(accept, type, length) == 0 && strchr("; \t,", accept[length]))
			return weight(accept + length, end);
		accept = end;
	}
	return 0;
}

static enum metrics_format metrics_format(struct MHD_Connection *connection)
{
	const char *accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");
	unsigned openmetrics = quality(accept, "application/openmetrics-text");

	return openmetrics > 0 && openmetrics >= quality(accept, "text/plain") ? METRICS_OPENMETRICS
									       : METRICS_TEXT;
}

struct reply {
	unsigned status;
	const char *type;
	struct text *text;
};

static const char plain[] = "text/plain; charset=utf-8";

static void say(struct reply *reply, unsigned status, const char *sentence)
{
	reply->status = status;
	reply->type = plain;
	text_clear(reply->text);
	text_format(reply->text, "%s\n", sentence);
}

/* Returns NULL after it said why there is no snapshot. */
static const struct status *snapshot(struct http *http, struct reply *reply)
{
	const struct status *status;
	int r = http->sources.collect(http->sources.context, &status);

	if (r < 0) {
		say(reply, MHD_HTTP_SERVICE_UNAVAILABLE, strerror(-r));
		return NULL;
	}
	return status;
}

static void serve_metrics(struct http *http, struct MHD_Connection *connection, struct reply *reply)
{
	const struct status *status = snapshot(http, reply);
	enum metrics_format format = metrics_format(connection);
	struct process_usage usage;

	if (!status)
		return;
	process_usage_read(&usage);
	reply->type = metrics_content_type[format];
	(void)metrics_render(reply->text, status, &usage, format);
}

static void serve_page(struct http *http, struct MHD_Connection *connection, struct reply *reply)
{
	const struct status *status = snapshot(http, reply);

	(void)connection;
	if (!status)
		return;
	reply->type = "text/html; charset=utf-8";
	(void)page_render(reply->text, status, (uint64_t)time(NULL));
}

static void serve_health(struct http *http, struct MHD_Connection *connection, struct reply *reply)
{
	(void)http;
	(void)connection;
	say(reply, MHD_HTTP_OK, "ok");
}

static void serve_readiness(struct http *http, struct MHD_Connection *connection,
			    struct reply *reply)
{
	(void)connection;
	if (http->sources.ready(http->sources.context))
		say(reply, MHD_HTTP_OK, "ready");
	else
		say(reply, MHD_HTTP_SERVICE_UNAVAILABLE, "not ready");
}

static const struct route {
	const char *path;
	void (*serve)(struct http *http, struct MHD_Connection *connection, struct reply *reply);
} routes[] = {
	{"/metrics", serve_metrics},
	{"/", serve_page},
	{"/healthz", serve_health},
	{"/readyz", serve_readiness},
};

static void serve(struct http *http, struct MHD_Connection *connection, const char *path,
		  struct reply *reply)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (strcmp(path, routes[i].path) == 0) {
			routes[i].serve(http, connection, reply);
			return;
		}
	}
	say(reply, MHD_HTTP_NOT_FOUND, "There are /metrics, /healthz, /readyz and /.");
}

/* ---- libmicrohttpd's side ---- */

static const struct {
	const char *name, *value;
} headers[] = {
	{"Cache-Control", "no-store"},
	{"Connection", "close"},
	{"X-Content-Type-Options", "nosniff"},
	{"Content-Security-Policy",
	 "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
	 "form-action 'none'; frame-ancestors 'none'"},
};

static enum MHD_Result add_headers(struct MHD_Response *response, const struct reply *reply)
{
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		if (MHD_add_response_header(response, headers[i].name, headers[i].value) != MHD_YES)
			return MHD_NO;
	}
	if (reply->status == MHD_HTTP_METHOD_NOT_ALLOWED &&
	    MHD_add_response_header(response, "Allow", "GET, HEAD") != MHD_YES)
		return MHD_NO;
	return MHD_add_response_header(response, "Content-Type", reply->type);
}

/* MHD_NO closes the connection; it is the answer when memory is short. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
				  const char *path, const char *method, const char *version,
				  const char *upload, size_t *upload_size, void **request)
{
	struct http *http = context;
	struct body *body = body_take(http);
	struct MHD_Response *response;
	struct reply reply;
	enum MHD_Result r;

	(void)version;
	(void)upload;
	(void)upload_size;
	(void)request;
	if (!body)
		return MHD_NO;
	reply = (struct reply){.status = MHD_HTTP_OK, .text = &body->text};
	if (strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0)
		serve(http, connection, path, &reply);
	else
		say(&reply, MHD_HTTP_METHOD_NOT_ALLOWED, "Only GET and HEAD are served.");

	response = body->text.error
			   ? NULL
			   : MHD_create_response_from_buffer_with_free_callback_cls(
				     body->text.length, body->text.data, body_give_back, body);
	if (!response) {
		body_give_back(body);
		return MHD_NO;
	}
	r = add_headers(response, &reply);
	if (r == MHD_YES)
		r = MHD_queue_response(connection, reply.status, response);
	MHD_destroy_response(response); /* the queue has its own reference */
	return r;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **slot,
			  enum MHD_ConnectionNotificationCode what)
{
	struct http *http = context;
	struct client *client = http->clients;
	uint64_t now;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		client = *slot;
		client->fd = -1;
		http->n_clients--;
		return;
	}
	while (client->fd >= 0) /* there is one: libmicrohttpd has the same limit */
		client++;
	(void)sd_event_now(http->event, CLOCK_MONOTONIC, &now);
	client->fd =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	client->deadline = now + CONNECTION_MICROSECONDS;
	http->n_clients++;
	*slot = client;
}

/* ---- the event loop's side ---- */

static void arm_timer(struct http *http)
{
	uint64_t now, due = UINT64_MAX;
	MHD_UNSIGNED_LONG_LONG milliseconds;

	(void)sd_event_now(http->event, CLOCK_MONOTONIC, &now);
	/* 0: its epoll fd is edge-triggered inside, and it has read or written less than it could. */
	if (MHD_get_timeout(http->mhd, &milliseconds) == MHD_YES)
		due = now + (uint64_t)milliseconds * 1000;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		if (http->clients[i].fd >= 0 && http->clients[i].deadline < due)
			due = http->clients[i].deadline;
	}
	if (due != UINT64_MAX)
		(void)sd_event_source_set_time(http->timer, due);
	(void)sd_event_source_set_enabled(http->timer,
					  due == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static void run(struct http *http)
{
	(void)MHD_run(http->mhd);
	/* Those beyond the limit wait in the backlog. */
	(void)sd_event_source_set_enabled(http->listen_source, http->n_clients < CONNECTIONS_MAX
								       ? SD_EVENT_ON
								       : SD_EVENT_OFF);
	arm_timer(http);
}

static int on_listen(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct http *http = context;

	(void)source;
	(void)events;
	while (http->n_clients < CONNECTIONS_MAX) {
		struct sockaddr_storage address = {};
		socklen_t length = sizeof(address);
		int client = accept4(fd, (struct sockaddr *)&address, &length,
				     SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client < 0)
			break;
		/* takes the fd, also when it refuses: the address has too many */
		(void)MHD_add_connection(http->mhd, client, (struct sockaddr *)&address, length);
	}
	run(http);
	return 0;
}

static int on_mhd(sd_event_source *source, int fd, uint32_t events, void *context)
{
	(void)source;
	(void)fd;
	(void)events;
	run(context);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t due, void *context)
{
	struct http *http = context;
	uint64_t now;

	(void)source;
	(void)due;
	(void)sd_event_now(http->event, CLOCK_MONOTONIC, &now);
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		struct client *client = &http->clients[i];

		if (client->fd >= 0 && client->deadline <= now) {
			(void)shutdown(client->fd,
				       SHUT_RDWR); /* libmicrohttpd notices, and closes */
			client->deadline = UINT64_MAX;
		}
	}
	run(http);
	return 0;
}

static int add_sources(struct http *http, int epoll_fd)
{
	int r;

	if ((r = sd_event_add_io(http->event, &http->listen_source, http->socket.fd, EPOLLIN,
				 on_listen, http)) < 0 ||
	    (r = sd_event_add_io(http->event, &http->mhd_source, epoll_fd, EPOLLIN, on_mhd, http)) <
		    0 ||
	    (r = sd_event_add_time(http->event, &http->timer, CLOCK_MONOTONIC, UINT64_MAX, 0,
				   on_timer, http)) < 0 ||
	    (r = sd_event_source_set_enabled(http->timer, SD_EVENT_OFF)) < 0 ||
	    (r = sd_event_source_set_ratelimit(http->listen_source, 1000000, ACCEPTS_PER_SECOND)) <
		    0)
		return r;
	return 0;
}

static void cleanup_http(struct http **http)
{
	http_stop(*http);
}

int http_start(struct http **ret, sd_event *event, const struct config_metrics *where,
	       const struct http_sources *sources, struct failure *why)
{
	__attribute__((cleanup(cleanup_http))) struct http *http = calloc(1, sizeof(*http));
	const union MHD_DaemonInfo *info;
	int r;

	if (!http)
		return failure(why, ENOMEM, "metrics: out of memory");
	http->sources = *sources;
	http->socket = HTTP_SOCKET_NONE;
	http->event = sd_event_ref(event);
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		http->clients[i].fd = -1;

	r = http_socket_open(&http->socket, where, why);
	if (r < 0)
		return r;
	http->mhd = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, http,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_PER_ADDRESS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_NOTIFY_CONNECTION,
		on_connection, http, MHD_OPTION_END);
	if (!http->mhd)
		return failure(why, ENOMEM, "metrics: libmicrohttpd does not start");
	info = MHD_get_daemon_info(http->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return failure(why, ENOTSUP, "metrics: this libmicrohttpd is built without epoll");
	r = add_sources(http, info->epoll_fd);
	if (r < 0)
		return failure(why, -r, "metrics: the event loop takes no more sources: %s",
			       strerror(-r));

	*ret = TAKE_PTR(http);
	return 0;
}

struct http *http_stop(struct http *http)
{
	if (!http)
		return NULL;
	sd_event_source_disable_unref(http->listen_source);
	sd_event_source_disable_unref(http->mhd_source);
	sd_event_source_disable_unref(http->timer);
	if (http->mhd)
		MHD_stop_daemon(http->mhd);
	http_socket_close(&http->socket);
	sd_event_unref(http->event);
	body_free(http->spare);
	free(http);
	return NULL;
}
