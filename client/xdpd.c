// SPDX-License-Identifier: BSD-2-Clause
/* Connecting, attaching and closing; the figures. */
#include "client/xdpd.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "client/client.h"
#include "daemon/cleanup.h"

static_assert(offsetof(struct xdpd_stats, zero) + sizeof(uint32_t) == XDPD_STATS_SIZE_V1 &&
		      XDPD_ATTACH_OPTIONS_SIZE_V1 ==
			      offsetof(struct xdpd_attach_options, snap_length),
	      "the first version's size never changes");

#define COALESCE_USECS_MAX 1000000

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool is_name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("_.:-", c));
}

static int take_name(char ret[XDPD_NAME_MAX], const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length >= XDPD_NAME_MAX)
		return -EINVAL;
	for (size_t i = 0; i < length; i++)
		if (!is_name_character(name[i]))
			return -EINVAL;
	memcpy(ret, name, length + 1);
	return 0;
}

/* What the program is called may be anything; as a name it has to be made fit. */
static void take_program_name(char ret[XDPD_NAME_MAX])
{
	const char *program = program_invocation_short_name;
	size_t length = strnlen(program, XDPD_NAME_MAX - 1);

	for (size_t i = 0; i < length; i++)
		ret[i] = is_name_character(program[i]) ? program[i] : '_';
	ret[length] = '\0';
	if (length == 0)
		(void)snprintf(ret, XDPD_NAME_MAX, "unnamed");
}

static int take_address(struct sockaddr_un *ret, const char *path)
{
	if (!path)
		path = secure_getenv("XDPD_SOCKET");
	if (!path)
		path = XDPD_DEFAULT_SOCKET;
	if (strlen(path) >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret->sun_path, path, strlen(path) + 1);
	return 0;
}

int xdpd_client_watch(struct xdpd_client *client, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/*
 * The connection leaves the epoll set by itself when it is closed. Not so an AF_XDP socket, as the daemon has
 * it open, too.
 */
void xdpd_client_unmap(struct xdpd_client *client)
{
	(void)epoll_ctl(client->epoll_fd, EPOLL_CTL_DEL, client->wait_fd, NULL);
	xdpd_sleep_forget(client);
	xdpd_grant_unmap(client);
}

/* Not watched before somebody asks: the kernel would tell the epoll set of each burst that arrives. */
int xdpd_fd(const struct xdpd *x)
{
	struct xdpd_client *client = xdpd_client_of(x);
	int r;

	if (!client->fd_wanted && xdpd_client_is_attached(client)) {
		r = xdpd_client_watch(client, client->wait_fd);
		if (r < 0)
			return r;
		client->fd_wanted = true;
		xdpd_sleep_prepare(client);
	}
	client->fd_wanted = true;
	return client->epoll_fd;
}

static int open_connection(struct xdpd_client *client, uint64_t deadline)
{
	int r = xdpd_connection_open(&client->connection, &client->address, client->name, deadline);

	if (r < 0)
		return r;
	r = xdpd_client_watch(client, client->connection.fd);
	if (r < 0)
		xdpd_connection_close(&client->connection, r);
	return r;
}

static void cleanup_client(struct xdpd_client **client)
{
	if (*client)
		xdpd_close(&(*client)->x);
}

int xdpd_connect(struct xdpd **ret, const char *path, const char *name)
{
	__attribute__((cleanup(cleanup_client))) struct xdpd_client *client =
		calloc(1, sizeof(*client));
	int r;

	if (!client)
		return -ENOMEM;
	client->connection.fd = -1;
	client->connection.signal_fd = -1;
	client->epoll_fd = -1;
	client->reattach.timer_fd = -1;
	xdpd_grant_none(client);
	r = take_address(&client->address, path);
	if (r == 0 && name)
		r = take_name(client->name, name);
	else if (r == 0)
		take_program_name(client->name);
	if (r < 0)
		return r;
	client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (client->epoll_fd < 0)
		return -errno;
	client->connection.signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (client->connection.signal_fd < 0)
		return -errno;
	r = xdpd_client_watch(client, client->connection.signal_fd);
	if (r == 0)
		r = open_connection(client, xdpd_deadline(XDPD_DEFAULT_TIMEOUT_MS));
	if (r < 0)
		return r;
	*ret = &TAKE_PTR(client)->x;
	return 0;
}

/* The program's options, which may be shorter or longer than ours. */
static int take_options(struct xdpd_attach_options *ret, const struct xdpd_attach_options *options)
{
	const char *bytes = (const char *)options;

	*ret = (struct xdpd_attach_options){};
	if (!options)
		return 0;
	if (options->size < XDPD_ATTACH_OPTIONS_SIZE_V1)
		return -EINVAL;
	for (size_t i = sizeof(*ret); i < options->size; i++)
		if (bytes[i])
			return -E2BIG;
	memcpy(ret, options, smaller(options->size, sizeof(*ret)));
	return ret->coalesce_usecs > COALESCE_USECS_MAX ? -EINVAL : 0;
}

static int take_request(struct xdpd_attach_request *ret, const char *device, uint32_t queue,
			const struct xdpd_attach_options *options)
{
	size_t length = strlen(device);

	*ret = (struct xdpd_attach_request){.queue = queue};
	if (length == 0 || length >= sizeof(ret->device))
		return -ENODEV;
	memcpy(ret->device, device, length + 1);
	ret->flags = options->flags;
	if ((ret->flags & XDPD_ATTACH_HOLD) && (ret->flags & XDPD_ATTACH_TAP))
		return -EINVAL;
	return options->group ? take_name(ret->group, options->group) : 0;
}

int xdpd_client_take_grant(struct xdpd_client *client, struct xdpd_received *received,
			   uint32_t snap_length)
{
	struct xdpd_connection *connection = &client->connection;
	int r;

	/* What an older daemon does not know is 0. */
	if (received->length < sizeof(received->grant))
		memset(received->bytes + received->length, 0,
		       sizeof(received->grant) - received->length);
	r = xdpd_grant_map(client, received, snap_length);
	if (r < 0) {
		/* The daemon believes us attached: only the end of the connection ends that. */
		xdpd_connection_close(connection, r);
		(void)snprintf(connection->reason, sizeof(connection->reason),
			       "what xdpd granted can't be mapped (%s)", strerrorname_np(-r));
	}
	return r;
}

int xdpd_client_start(struct xdpd_client *client)
{
	int r = xdpd_client_statistics(client, &client->before);

	if (r == 0 && client->fd_wanted)
		r = xdpd_client_watch(client, client->wait_fd);
	if (r < 0) {
		xdpd_connection_close(&client->connection, r);
		xdpd_client_unmap(client);
	} else if (client->fd_wanted) {
		xdpd_sleep_prepare(client);
	}
	return r;
}

/* From ATTACH to STARTED. On failure nothing is mapped. */
static int attach(struct xdpd_client *client, struct xdpd_attach_request *request,
		  uint32_t snap_length, uint64_t deadline)
{
	struct xdpd_connection *connection = &client->connection;
	struct xdpd_header ready;
	cleanup_received struct xdpd_received received;
	int r;

	received.n_fds = 0;
	r = xdpd_connection_ask(connection, XDPD_ATTACH, request, sizeof(*request), XDPD_GRANT,
				XDPD_GRANT_V1, &received, deadline);
	if (r == 0)
		r = xdpd_client_take_grant(client, &received, snap_length);
	if (r < 0)
		return r;
	xdpd_received_close_fds(&received);
	r = xdpd_connection_ask(connection, XDPD_READY, &ready, sizeof(ready), XDPD_STARTED,
				sizeof(received.header), &received, deadline);
	if (r == 0)
		return xdpd_client_start(client);
	xdpd_client_unmap(client);
	return r;
}

/* Before attaching, so that nothing can fail afterwards. */
static int need_timer(struct xdpd_client *client)
{
	cleanup_fd int fd = -1;
	int r;

	if (client->reattach.timer_fd >= 0)
		return 0;
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = xdpd_client_watch(client, fd);
	if (r == 0)
		client->reattach.timer_fd = TAKE_FD(fd);
	return r;
}

int xdpd_attach(struct xdpd *x, const char *device, uint32_t queue,
		const struct xdpd_attach_options *options)
{
	struct xdpd_client *client = xdpd_client_of(x);
	struct xdpd_attach_options taken;
	struct xdpd_attach_request request;
	uint64_t deadline;
	int r;

	if (client->wait_fd >= 0 || client->reattach.phase != XDPD_SETTLED)
		return -EISCONN;
	r = take_options(&taken, options);
	if (r == 0)
		r = take_request(&request, device, queue, &taken);
	if (r == 0 && taken.reattach_ms)
		r = need_timer(client);
	if (r < 0)
		return r;
	xdpd_reattach_forget(client);
	deadline = xdpd_deadline(taken.timeout_ms ? taken.timeout_ms : XDPD_DEFAULT_TIMEOUT_MS);
	/* A daemon that was restarted, or an attempt that was given up: begin anew. */
	xdpd_connection_listen(&client->connection);
	if (client->connection.ended) {
		xdpd_connection_close(&client->connection, client->connection.ended);
		r = open_connection(client, deadline);
	}
	if (r == 0)
		r = attach(client, &request, taken.snap_length, deadline);
	/* An answer that comes too late would lease a queue to nobody. */
	if (client->connection.ended)
		xdpd_connection_close(&client->connection, client->connection.ended);
	if (r == 0) {
		client->coalesce_usecs = taken.coalesce_usecs;
		xdpd_reattach_prepare(client, &request, &taken);
	}
	return r;
}

struct xdpd *xdpd_close(struct xdpd *x)
{
	struct xdpd_client *client = xdpd_client_of(x);

	if (!x)
		return NULL;
	xdpd_connection_close(&client->connection, -ENOTCONN);
	xdpd_reattach_forget(client);
	xdpd_client_unmap(client);
	close_fd(client->reattach.timer_fd);
	close_fd(client->connection.signal_fd);
	close_fd(client->epoll_fd);
	free(client);
	return NULL;
}

const char *xdpd_reason(const struct xdpd *x)
{
	return xdpd_client_of(x)->connection.reason;
}

const char *xdpd_group(const struct xdpd *x)
{
	return xdpd_client_of(x)->group;
}

bool xdpd_is_tap(const struct xdpd *x)
{
	return xdpd_client_of(x)->tap != NULL;
}

uint32_t xdpd_full_length(const struct xdpd *x, const struct xdp_desc *frame)
{
	const struct xdpd_client *client = xdpd_client_of(x);

	return client->tap ? xdpd_tap_full_length(client->tap, x, frame) : frame->len;
}

int xdpd_client_count(const struct xdpd_client *client, struct xdpd_stats *ret)
{
	const struct xdp_statistics *before = &client->before;
	struct xdp_statistics now;
	int r = xdpd_client_statistics(client, &now);

	if (r < 0)
		return r;
	*ret = (struct xdpd_stats){
		.dropped = now.rx_dropped - before->rx_dropped,
		.ring_full = now.rx_ring_full - before->rx_ring_full,
		.fill_empty = now.rx_fill_ring_empty_descs - before->rx_fill_ring_empty_descs,
		.rx_invalid = now.rx_invalid_descs - before->rx_invalid_descs,
		.tx_invalid = now.tx_invalid_descs - before->tx_invalid_descs,
		.tx_empty = now.tx_ring_empty_descs - before->tx_ring_empty_descs,
		.rx_entries = xdpd_entries_produced_by_peer(&client->x.rx),
		.tx_entries = xdpd_entries_produced_by_us(&client->x.tx),
		.fill_entries = xdpd_entries_produced_by_us(&client->x.fill),
		.completion_entries = xdpd_entries_produced_by_peer(&client->x.completion),
		.spare = client->x.spares,
		.held = client->exclusive ? 0 : xdpd_frames_held(client),
		.quota = client->quota,
	};
	if (client->tap) {
		ret->rx_entries += xdpd_tap_waiting(client->tap);
		ret->fill_entries = 0;
		ret->overrun = xdpd_tap_overrun(client->tap);
	}
	return 0;
}

static void add_past(struct xdpd_stats *stats, const struct xdpd_client *client)
{
	const struct xdpd_stats *past = &client->reattach.past;

	stats->dropped += past->dropped;
	stats->ring_full += past->ring_full;
	stats->fill_empty += past->fill_empty;
	stats->rx_invalid += past->rx_invalid;
	stats->tx_invalid += past->tx_invalid;
	stats->tx_empty += past->tx_empty;
	stats->overrun += past->overrun;
	stats->reattached = past->reattached;
	stats->abandoned = past->abandoned;
	stats->unsent = past->unsent;
	stats->gap_ms = xdpd_reattach_gap(client) / 1000000;
}

int xdpd_stats(struct xdpd *x, struct xdpd_stats *ret)
{
	const struct xdpd_client *client = xdpd_client_of(x);
	const size_t size = ret->size;
	struct xdpd_stats stats = {};
	int r = 0;

	if (size < XDPD_STATS_SIZE_V1)
		return -EINVAL;
	if (xdpd_client_is_attached(client))
		r = xdpd_client_count(client, &stats);
	else if (!client->reattach.ended)
		return -ENOTCONN;
	if (r < 0)
		return r;
	add_past(&stats, client);
	stats.size = size;
	memcpy(ret, &stats, smaller(size, sizeof(stats)));
	if (size > sizeof(stats))
		memset((char *)ret + sizeof(stats), 0, size - sizeof(stats));
	return 0;
}
