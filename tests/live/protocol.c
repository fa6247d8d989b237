// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/protocol.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "daemon/cleanup.h"

#define BURST	  32
#define SOME	  8 /* frames that make a step */
#define TX_LENGTH 60

struct protocol_target protocol_target(const char *socket, const char *device, uint32_t queue,
				       const char *name)
{
	struct protocol_target target = {.queue = queue};

	(void)snprintf(target.socket, sizeof(target.socket), "%s", socket);
	(void)snprintf(target.device, sizeof(target.device), "%s", device);
	(void)snprintf(target.name, sizeof(target.name), "%s", name);
	return target;
}

void protocol_init(struct protocol *ret, const struct protocol_target *target)
{
	*ret = (struct protocol){.target = *target, .fd = -1};
	for (size_t i = 0; i < PROTOCOL_FDS_MAX; i++)
		ret->fds[i] = -1;
}

void protocol_hang_up(struct protocol *protocol)
{
	protocol->fd = close_fd(protocol->fd);
}

void protocol_close(struct protocol *protocol)
{
	while (protocol->n_maps) {
		protocol->n_maps--;
		(void)munmap(protocol->maps[protocol->n_maps].address,
			     protocol->maps[protocol->n_maps].length);
	}
	for (size_t i = 0; i < PROTOCOL_FDS_MAX; i++)
		protocol->fds[i] = close_fd(protocol->fds[i]);
	protocol_hang_up(protocol);
	protocol->step = PROTOCOL_CLOSED;
}

/* ---- messages ---- */

int protocol_send_raw(struct protocol *protocol, const void *bytes, size_t length, const int *fds,
		      size_t n_fds)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(253 * sizeof(int))]; /* SCM_MAX_FD */
	} control = {};
	struct iovec io = {.iov_base = (void *)bytes, .iov_len = length};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};

	if (n_fds) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
	}
	return sendmsg(protocol->fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int protocol_send(struct protocol *protocol, enum xdpd_message type, void *message, size_t length)
{
	*(struct xdpd_header *)message = (struct xdpd_header){
		.magic = XDPD_PROTOCOL_MAGIC,
		.version = XDPD_PROTOCOL_VERSION,
		.type = (uint16_t)type,
		.length = (uint32_t)length,
		.id = ++protocol->last_id,
	};
	return protocol_send_raw(protocol, message, length, NULL, 0);
}

int protocol_say(struct protocol *protocol, enum xdpd_message type)
{
	struct xdpd_header message;

	return protocol_send(protocol, type, &message, sizeof(message));
}

static void keep_fds(struct protocol *protocol, struct msghdr *message)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(message);
	size_t count;

	if (!control || control->cmsg_type != SCM_RIGHTS)
		return;
	count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(protocol->fds, CMSG_DATA(control),
	       (count < PROTOCOL_FDS_MAX ? count : PROTOCOL_FDS_MAX) * sizeof(int));
}

int protocol_receive(struct protocol *protocol, struct protocol_message *ret, int timeout_ms)
{
	struct pollfd readable = {.fd = protocol->fd, .events = POLLIN};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(PROTOCOL_FDS_MAX * sizeof(int))];
	} control;
	struct iovec io = {.iov_base = ret->bytes, .iov_len = sizeof(ret->bytes)};
	struct msghdr message = {
		.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t length;

	if (poll(&readable, 1, timeout_ms) != 1)
		return -ETIMEDOUT;
	length = recvmsg(protocol->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (length < 0)
		return -errno;
	if (length == 0)
		return -ECONNRESET;
	keep_fds(protocol, &message);
	ret->length = (size_t)length;
	if (ret->length < sizeof(ret->header) || ret->header.length != ret->length)
		return -EBADMSG;
	if (ret->header.type == XDPD_ERROR || ret->header.type == XDPD_REVOKE)
		memcpy(protocol->reason, ret->error.reason, sizeof(protocol->reason));
	return ret->header.type;
}

int protocol_await(struct protocol *protocol, enum xdpd_message type, struct protocol_message *ret)
{
	int got;

	do
		got = protocol_receive(protocol, ret, PROTOCOL_PATIENCE);
	while (got == XDPD_EVENT || (got == XDPD_STARTED && type != XDPD_STARTED));
	if (got < 0 || got == (int)type)
		return got < 0 ? got : 0;
	return got == XDPD_ERROR || got == XDPD_REVOKE ? -(int)ret->error.code : -EPROTO;
}

int protocol_await_end(struct protocol *protocol)
{
	struct protocol_message message;
	int got;

	do
		got = protocol_receive(protocol, &message, PROTOCOL_PATIENCE);
	while (got > 0);
	return got == -ECONNRESET ? 0 : got;
}

/* ---- the steps ---- */

static int dial(struct protocol *protocol)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", protocol->target.socket);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	protocol->fd = TAKE_FD(fd);
	return 0;
}

static int say_hello(struct protocol *protocol)
{
	struct xdpd_hello hello = {
		.version_min = XDPD_PROTOCOL_VERSION,
		.version_max = XDPD_PROTOCOL_VERSION,
	};

	memcpy(hello.name, protocol->target.name, sizeof(hello.name));
	return protocol_send(protocol, XDPD_HELLO, &hello, sizeof(hello));
}

static int ask_to_attach(struct protocol *protocol)
{
	struct xdpd_attach_request request = {
		.queue = protocol->target.queue,
		.flags = protocol->target.flags |
			 (protocol->target.transmit ? XDPD_ATTACH_TRANSMIT : 0),
	};

	memcpy(request.device, protocol->target.device, sizeof(request.device));
	memcpy(request.group, protocol->target.group, sizeof(request.group));
	return protocol_send(protocol, XDPD_ATTACH, &request, sizeof(request));
}

static int take_grant(struct protocol *protocol)
{
	struct protocol_message message;
	int r = protocol_await(protocol, XDPD_GRANT, &message);

	if (r == 0)
		protocol->grant = message.grant;
	return r;
}

static void *map_region(struct protocol *protocol, const struct xdpd_region *region)
{
	const int access =
		region->flags & XDPD_REGION_READ_ONLY ? PROT_READ : PROT_READ | PROT_WRITE;
	void *address;

	if (region->fd >= PROTOCOL_FDS_MAX || protocol->n_maps == PROTOCOL_MAPS_MAX)
		return NULL;
	address = mmap(NULL, region->length, access, MAP_SHARED, protocol->fds[region->fd],
		       (off_t)region->offset);
	if (address == MAP_FAILED)
		return NULL;
	protocol->maps[protocol->n_maps].address = address;
	protocol->maps[protocol->n_maps].length = region->length;
	protocol->n_maps++;
	return address;
}

static int map_ring(struct protocol *protocol, struct xdpd_ring *ret,
		    const struct xdpd_ring_place *place, bool producer)
{
	char *at;
	uint32_t *own, *peer;

	if (!place->size)
		return 0;
	at = map_region(protocol, &place->region);
	if (!at)
		return -ENOMEM;
	own = (uint32_t *)(at + (producer ? place->producer : place->consumer));
	peer = (uint32_t *)(at + (producer ? place->consumer : place->producer));
	xdpd_ring_join(ret, at + place->entries, place->size, own, peer,
		       (uint32_t *)(at + place->flags));
	return 0;
}

/* A region that the grant may lack. */
static int map_optional(struct protocol *protocol, const struct xdpd_region *region, void *ret)
{
	void **address = ret;

	if (!region->length)
		return 0;
	*address = map_region(protocol, region);
	return *address ? 0 : -ENOMEM;
}

/* A tap's index and flags are not in its ring, which it can't write to. */
static int map_receive_ring(struct protocol *protocol)
{
	struct xdpd_ring *rx = &protocol->rx;

	if (map_ring(protocol, rx, &protocol->grant.rx, false) < 0)
		return -ENOMEM;
	if (protocol_is_tap(protocol)) {
		rx->shared_own = &protocol->account->consumer;
		rx->flags = &protocol->account->flags;
		rx->own = rx->peer;
	}
	return 0;
}

static int map_all(struct protocol *protocol)
{
	const struct xdpd_grant *grant = &protocol->grant;

	protocol->umem = map_region(protocol, &grant->umem);
	protocol->account = map_region(protocol, &grant->account);
	if (!protocol->umem || !protocol->account || map_receive_ring(protocol) < 0 ||
	    map_ring(protocol, &protocol->fill, &grant->fill, true) < 0 ||
	    map_ring(protocol, &protocol->tx, &grant->tx, true) < 0 ||
	    map_ring(protocol, &protocol->completion, &grant->completion, false) < 0 ||
	    map_optional(protocol, &grant->transmit, &protocol->transmit) < 0 ||
	    map_optional(protocol, &grant->sequences, &protocol->sequences) < 0)
		return -ENOMEM;
	protocol->unsent = grant->filled;
	return 0;
}

static int take_some(struct protocol *protocol, bool give_back)
{
	struct xdp_desc frames[SOME];

	for (uint32_t taken = 0; taken < SOME;) {
		uint32_t count = protocol_take(protocol, frames, SOME - taken, PROTOCOL_PATIENCE);

		if (!count)
			return -ETIMEDOUT;
		if (give_back)
			protocol_give_back(protocol, frames, count);
		taken += count;
	}
	return 0;
}

static int take_step(struct protocol *protocol, enum protocol_step step)
{
	struct protocol_message message;

	switch (step) {
	case PROTOCOL_CONNECTED:
		return dial(protocol);
	case PROTOCOL_HELLO_SENT:
		return say_hello(protocol);
	case PROTOCOL_WELCOMED:
		return protocol_await(protocol, XDPD_WELCOME, &message);
	case PROTOCOL_ATTACH_SENT:
		return ask_to_attach(protocol);
	case PROTOCOL_GRANTED:
		return take_grant(protocol);
	case PROTOCOL_MAPPED:
		return map_all(protocol);
	case PROTOCOL_READY_SENT:
		return protocol_say(protocol, XDPD_READY);
	case PROTOCOL_STARTED:
		return protocol_await(protocol, XDPD_STARTED, &message);
	case PROTOCOL_RECEIVED:
		return take_some(protocol, true);
	case PROTOCOL_HOLDING:
		return take_some(protocol, false);
	case PROTOCOL_TRANSMITTING:
		return protocol_transmit(protocol) ? 0 : -ENOBUFS;
	default:
		return -EINVAL;
	}
}

int protocol_go(struct protocol *protocol, enum protocol_step step)
{
	while (protocol->step < step) {
		int r = take_step(protocol, protocol->step + 1);

		if (r < 0)
			return r;
		protocol->step++;
	}
	return 0;
}

/* ---- frames ---- */

static int bell_of(const struct protocol *protocol)
{
	return protocol->fds[protocol->grant.wait_fd];
}

/* What earlier bursts have sent is no news. */
static void drain_bell(const struct protocol *protocol)
{
	char bytes[256];

	while (recv(bell_of(protocol), bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

void protocol_ring(struct protocol *protocol)
{
	(void)send(bell_of(protocol), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The worker wakes whoever says that it sleeps; the kernel everybody. */
static bool ask_to_be_woken(struct protocol *protocol)
{
	if (!protocol_is_shared(protocol))
		return true;
	drain_bell(protocol);
	__atomic_store_n(protocol->rx.flags, XDP_RING_NEED_WAKEUP, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !xdpd_ring_available(&protocol->rx, 1);
}

uint32_t protocol_take(struct protocol *protocol, struct xdp_desc *frames, uint32_t max,
		       int timeout_ms)
{
	struct pollfd readable = {.fd = bell_of(protocol), .events = POLLIN};
	uint32_t count = xdpd_ring_available(&protocol->rx, max);

	if (!count && timeout_ms) {
		if (ask_to_be_woken(protocol))
			(void)poll(&readable, 1, timeout_ms);
		count = xdpd_ring_available(&protocol->rx, max);
	}
	for (uint32_t i = 0; i < count; i++)
		frames[i] = *xdpd_ring_desc(&protocol->rx, protocol->rx.own + i);
	xdpd_ring_advance(&protocol->rx, count);
	protocol->received += count;
	return count;
}

void protocol_give_back(struct protocol *protocol, const struct xdp_desc *frames, uint32_t count)
{
	if (protocol_is_tap(protocol))
		return;
	count = xdpd_ring_room(&protocol->fill, count);
	for (uint32_t i = 0; i < count; i++)
		*xdpd_ring_address(&protocol->fill, protocol->fill.own + i) = frames[i].addr;
	xdpd_ring_advance(&protocol->fill, count);
	if (!xdpd_ring_needs_wakeup(&protocol->fill))
		return;
	if (protocol_is_shared(protocol))
		protocol_ring(protocol);
	else
		(void)!recvfrom(bell_of(protocol), NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

/* A frame that nobody has: one that was sent, else one that never was. */
static bool find_spare(struct protocol *protocol, uint64_t *ret)
{
	if (xdpd_ring_available(&protocol->completion, 1)) {
		*ret = *xdpd_ring_address(&protocol->completion, protocol->completion.own);
		xdpd_ring_advance(&protocol->completion, 1);
		/* After the end of a shared attachment its memory is all 0. */
		return !protocol_is_shared(protocol) || *ret >= protocol->grant.umem.length;
	}
	if (protocol->unsent == protocol->grant.frames + protocol->grant.transmit_frames)
		return false;
	*ret = (uint64_t)protocol->unsent++ * protocol->grant.frame_size;
	return true;
}

/* Shared: what it sends lies in memory of its own, whose addresses follow those of the UMEM. */
static unsigned char *frame_at(const struct protocol *protocol, uint64_t address)
{
	const uint64_t end = protocol->grant.umem.length;

	return protocol_is_shared(protocol) ? protocol->transmit + (address - end)
					    : protocol->umem + address;
}

uint32_t protocol_transmit(struct protocol *protocol)
{
	uint32_t count = 0;
	uint64_t address;

	while (count < BURST && xdpd_ring_room(&protocol->tx, count + 1) > count &&
	       find_spare(protocol, &address)) {
		*xdpd_ring_desc(&protocol->tx, protocol->tx.own + count) =
			(struct xdp_desc){.addr = address, .len = TX_LENGTH};
		memset(frame_at(protocol, address), 0xff, TX_LENGTH);
		count++;
	}
	xdpd_ring_advance(&protocol->tx, count);
	if (protocol_is_shared(protocol))
		protocol_ring(protocol);
	else
		(void)!sendto(bell_of(protocol), NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
	return count;
}

/* ---- looking ---- */

/*
 * Gives each record of a kind to `is_it`; ends with the first that it says yes to. -ENOENT if there
 * is none.
 */
static int find_record(const char *socket, enum xdpd_list kind, struct protocol_message *ret,
		       bool (*is_it)(const struct protocol_message *message, const void *context),
		       const void *context)
{
	const struct protocol_target target = protocol_target(socket, "", 0, "looker");
	struct xdpd_list_request request = {.kind = kind};
	cleanup_protocol struct protocol protocol;
	int r;

	protocol_init(&protocol, &target);
	r = protocol_go(&protocol, PROTOCOL_WELCOMED);
	if (r == 0)
		r = protocol_send(&protocol, XDPD_LIST, &request, sizeof(request));
	while (r >= 0) {
		r = protocol_receive(&protocol, ret, PROTOCOL_PATIENCE);
		if (r == XDPD_DONE)
			return -ENOENT;
		if (r == XDPD_RECORD && is_it(ret, context))
			return 0;
	}
	return r;
}

struct wanted_queue {
	const char *device;
	uint32_t queue;
	const char *group;
};

static bool is_queue(const struct protocol_message *message, const void *context)
{
	const struct wanted_queue *wanted = context;

	return message->queue.queue == wanted->queue &&
	       !strcmp(message->queue.device, wanted->device);
}

int protocol_find_queue(const char *socket, const char *device, uint32_t queue,
			struct xdpd_queue_record *ret)
{
	const struct wanted_queue wanted = {device, queue, NULL};
	struct protocol_message message;
	int r = find_record(socket, XDPD_LIST_QUEUES, &message, is_queue, &wanted);

	if (r == 0)
		*ret = message.queue;
	return r;
}

int protocol_queue_state(const char *socket, const char *device, uint32_t queue)
{
	struct xdpd_queue_record record;
	int r = protocol_find_queue(socket, device, queue, &record);

	return r < 0 ? r : (int)record.state;
}

static bool is_worker(const struct protocol_message *message, const void *context)
{
	const struct wanted_queue *wanted = context;

	return message->worker.queue == wanted->queue &&
	       !strcmp(message->worker.device, wanted->device);
}

int protocol_find_worker(const char *socket, const char *device, uint32_t queue,
			 struct xdpd_worker_record *ret)
{
	const struct wanted_queue wanted = {device, queue, NULL};
	struct protocol_message message;
	int r = find_record(socket, XDPD_LIST_WORKERS, &message, is_worker, &wanted);

	if (r == 0)
		*ret = message.worker;
	return r;
}

static bool is_group(const struct protocol_message *message, const void *context)
{
	const struct wanted_queue *wanted = context;

	return message->group.queue == wanted->queue &&
	       !strcmp(message->group.device, wanted->device) &&
	       !strcmp(message->group.name, wanted->group);
}

int protocol_find_group(const char *socket, const char *device, uint32_t queue, const char *group,
			struct xdpd_group_record *ret)
{
	const struct wanted_queue wanted = {device, queue, group};
	struct protocol_message message;
	int r = find_record(socket, XDPD_LIST_GROUPS, &message, is_group, &wanted);

	if (r == 0)
		*ret = message.group;
	return r;
}

static bool is_interface(const struct protocol_message *message, const void *context)
{
	return !strcmp(message->interface.device, context);
}

int protocol_find_interface(const char *socket, const char *device,
			    struct xdpd_interface_record *ret)
{
	struct protocol_message message;
	int r = find_record(socket, XDPD_LIST_INTERFACES, &message, is_interface, device);

	if (r == 0)
		*ret = message.interface;
	return r;
}

int protocol_eject(const char *socket, const char *device, uint32_t queue, const char *reason)
{
	const struct protocol_target target = protocol_target(socket, device, queue, "admin");
	struct xdpd_eject_request request = {.queue = queue};
	cleanup_protocol struct protocol protocol;
	struct protocol_message message;
	int r;

	protocol_init(&protocol, &target);
	(void)snprintf(request.device, sizeof(request.device), "%s", device);
	(void)snprintf(request.reason, sizeof(request.reason), "%s", reason);
	r = protocol_go(&protocol, PROTOCOL_WELCOMED);
	if (r == 0)
		r = protocol_send(&protocol, XDPD_EJECT, &request, sizeof(request));
	return r < 0 ? r : protocol_await(&protocol, XDPD_DONE, &message);
}

/* ---- a stepper ---- */

int stepper_run(void *argument)
{
	struct stepper *stepper = argument;
	cleanup_protocol struct protocol protocol;
	int r;

	protocol_init(&protocol, &stepper->target);
	r = protocol_go(&protocol, stepper->step);
	memcpy(stepper->reason, protocol.reason, sizeof(stepper->reason));
	stepper_write(&stepper->arrived, r < 0 ? r : 1);
	if (r < 0)
		return 1;
	if (stepper->then)
		return stepper->then(stepper, &protocol);
	/* Whoever got as far as to receive or transmit goes on with it. */
	for (;;) {
		struct xdp_desc frames[BURST];

		if (stepper->step == PROTOCOL_RECEIVED)
			protocol_give_back(&protocol, frames,
					   protocol_take(&protocol, frames, BURST, -1));
		else if (stepper->step == PROTOCOL_TRANSMITTING)
			(void)protocol_transmit(&protocol);
		else
			pause();
	}
}
