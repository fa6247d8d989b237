/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of the client: a daemon, a thread that speaks the protocol by a script, and a kernel, rings in a
 * memfd laid out as its own, which the test moves. The calls by which the client wakes the kernel end here, too:
 * sendto() without a buffer transmits as copy mode does.
 */
#ifndef TESTS_UNIT_CLIENT_FAKES_H
#define TESTS_UNIT_CLIENT_FAKES_H

/* glibc's fortified recvfrom() is an inline function, which can't be replaced. */
#undef _FORTIFY_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/xdpd.h"

#define FRAMES_MAX 256
#define FRAME_SIZE 2048u
#define PAGE	   4096u
#define UMEM_SIZE  ((uint64_t)FRAMES_MAX * FRAME_SIZE)
#define RING_SPAN  (2 * PAGE) /* room for 256 descriptors */
#define ENTRIES_AT 192
#define BUDGET	   32 /* of a call that transmits, in copy mode */

static inline int count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static uint64_t random_state = 88172645463325252ull;

static inline uint32_t below(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return limit ? (uint32_t)((random_state >> 20) % limit) : 0;
}

/* ---- the kernel ---- */

enum { RX, TX, FILL, COMPLETION, RINGS };

static const size_t entry_sizes[RINGS] = {
	[RX] = sizeof(struct xdp_desc),
	[TX] = sizeof(struct xdp_desc),
	[FILL] = sizeof(uint64_t),
	[COMPLETION] = sizeof(uint64_t),
};

static struct kernel {
	int umem_fd, rings_fd;
	int sockets[2]; /* the consumer's, and the other end */
	char *rings;
	struct xdpd_ring ring[RINGS]; /* the kernel's side */
	uint64_t held[FRAMES_MAX];
	uint32_t n_held;
	bool link_down;
	bool lazy;   /* the fill ring's consumption is published only when it looks empty */
	int removed; /* SO_ERROR */
	uint32_t rx_wakes, tx_wakes;
	uint32_t to_fill; /* frames in the fill ring at the last of tx_wakes */
	struct xdp_statistics statistics;
} kernel;

static inline uint32_t *word_of(int ring, uint32_t offset)
{
	return (uint32_t *)(kernel.rings + (size_t)ring * RING_SPAN + offset);
}

static inline struct xdpd_ring_place place_of(int ring, uint32_t size)
{
	return (struct xdpd_ring_place){
		.region = {.fd = 1,
			   .offset = (uint64_t)ring * RING_SPAN,
			   .length = size ? ENTRIES_AT + size * entry_sizes[ring] : 0},
		.size = size,
		.producer = 0,
		.consumer = 64,
		.flags = 128,
		.entries = ENTRIES_AT,
	};
}

static inline struct xdpd_grant make_kernel(uint32_t frames, uint32_t filled,
					    const uint32_t sizes[RINGS], uint32_t index)
{
	struct xdpd_grant grant = {
		.flags = XDPD_GRANT_EXCLUSIVE,
		.n_fds = 3,
		.wait_fd = 2,
		.frames = frames,
		.frame_size = FRAME_SIZE,
		.headroom = 64,
		.filled = filled,
		.umem = {.fd = 0, .length = (uint64_t)frames * FRAME_SIZE},
		.account = {.fd = 0, .offset = UMEM_SIZE, .length = PAGE},
		.rx = place_of(RX, sizes[RX]),
		.tx = place_of(TX, sizes[TX]),
		.fill = place_of(FILL, sizes[FILL]),
		.completion = place_of(COMPLETION, sizes[COMPLETION]),
	};
	struct xdpd_ring fill;

	memset(&kernel, 0, sizeof(kernel));
	kernel.umem_fd = memfd_create("umem", MFD_CLOEXEC);
	kernel.rings_fd = memfd_create("rings", MFD_CLOEXEC);
	assert_int_equal(ftruncate(kernel.umem_fd, (off_t)(UMEM_SIZE + PAGE)), 0);
	assert_int_equal(ftruncate(kernel.rings_fd, RINGS * RING_SPAN), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, kernel.sockets), 0);
	kernel.rings = mmap(NULL, RINGS * RING_SPAN, PROT_READ | PROT_WRITE, MAP_SHARED,
			    kernel.rings_fd, 0);
	assert_ptr_not_equal(kernel.rings, MAP_FAILED);
	for (int i = 0; i < RINGS; i++) {
		bool consumer = i == TX || i == FILL;

		*word_of(i, 0) = *word_of(i, 64) = index;
		xdpd_ring_join(&kernel.ring[i], word_of(i, ENTRIES_AT), sizes[i],
			       word_of(i, consumer ? 64 : 0), word_of(i, consumer ? 0 : 64),
			       word_of(i, 128));
	}
	*word_of(TX, 128) = XDP_RING_NEED_WAKEUP;
	xdpd_ring_join(&fill, word_of(FILL, ENTRIES_AT), sizes[FILL], word_of(FILL, 0),
		       word_of(FILL, 64), word_of(FILL, 128));
	for (uint32_t i = 0; i < filled; i++)
		*xdpd_ring_address(&fill, fill.own + i) = (uint64_t)i * FRAME_SIZE;
	xdpd_ring_advance(&fill, filled);
	return grant;
}

static inline void remove_kernel(void)
{
	munmap(kernel.rings, RINGS * RING_SPAN);
	close(kernel.umem_fd);
	close(kernel.rings_fd);
	close(kernel.sockets[0]);
	close(kernel.sockets[1]);
}

/* Takes up to `want` frames from the fill ring. */
static inline void kernel_fetch(uint32_t want)
{
	struct xdpd_ring *fill = &kernel.ring[FILL];
	uint32_t count = xdpd_ring_available(fill, want);

	assert_true(xdpd_consumer_peer_is_sane(fill));
	for (uint32_t i = 0; i < count; i++) {
		assert_true(kernel.n_held < FRAMES_MAX);
		kernel.held[kernel.n_held++] =
			*xdpd_ring_address(fill, fill->own + i) & ~(uint64_t)(FRAME_SIZE - 1);
	}
	if (kernel.lazy && count)
		fill->own += count;
	else
		xdpd_ring_advance(fill, count);
}

/* Frames arrive, as many as there are buffers and room for. */
static inline uint32_t kernel_receive(uint32_t want)
{
	struct xdpd_ring *rx = &kernel.ring[RX];
	uint32_t count;

	if (kernel.n_held < want)
		kernel_fetch(want - kernel.n_held);
	count = xdpd_ring_room(rx, want < kernel.n_held ? want : kernel.n_held);
	for (uint32_t i = 0; i < count; i++)
		*xdpd_ring_desc(rx, rx->own + i) = (struct xdp_desc){
			.addr = kernel.held[--kernel.n_held] + 256 + 64,
			.len = 60 + below(64),
		};
	xdpd_ring_advance(rx, count);
	return count;
}

static inline uint32_t kernel_transmit(uint32_t want)
{
	struct xdpd_ring *tx = &kernel.ring[TX], *completion = &kernel.ring[COMPLETION];
	uint32_t count = xdpd_ring_available(tx, want);

	count = xdpd_ring_room(completion, count);
	for (uint32_t i = 0; i < count; i++)
		*xdpd_ring_address(completion, completion->own + i) =
			xdpd_ring_desc(tx, tx->own + i)->addr;
	xdpd_ring_advance(tx, count);
	xdpd_ring_advance(completion, count);
	return count;
}

ssize_t sendto(int fd, const void *buffer, size_t length, int flags, const struct sockaddr *address,
	       socklen_t address_length)
{
	if (buffer)
		return syscall(SYS_sendto, fd, buffer, length, flags, address, address_length);
	kernel.tx_wakes++;
	kernel.to_fill = *word_of(FILL, 0) - kernel.ring[FILL].own;
	if (kernel.link_down)
		errno = ENETDOWN;
	else if (kernel_transmit(BUDGET) == BUDGET)
		errno = EAGAIN;
	else
		return 0;
	return -1;
}

ssize_t recvfrom(int fd, void *buffer, size_t length, int flags, struct sockaddr *address,
		 socklen_t *address_length)
{
	if (buffer)
		return syscall(SYS_recvfrom, fd, buffer, length, flags, address, address_length);
	kernel.rx_wakes++;
	errno = kernel.link_down ? ENETDOWN : EAGAIN;
	return -1;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	if (level == 283 && name == XDP_STATISTICS) {
		memcpy(value, &kernel.statistics, sizeof(kernel.statistics));
		return 0;
	}
	if (level == SOL_SOCKET && name == SO_ERROR) {
		memcpy(value, &kernel.removed, sizeof(kernel.removed));
		return 0;
	}
	return (int)syscall(SYS_getsockopt, fd, level, name, value, length);
}

/* ---- the daemon ---- */

struct incoming {
	union {
		struct xdpd_header header;
		struct xdpd_hello hello;
		struct xdpd_attach_request attach;
		char bytes[XDPD_MESSAGE_MAX];
	};
};

static struct fake {
	char path[108];
	int listen_fd, fd; /* of the connection being served */
	int stop_pipe[2];
	pthread_t thread;
	void (*script)(struct fake *fake);
	struct xdpd_grant grant;
	int variant, connections;
	bool said_detach;
	sem_t said, go_on; /* where script and test await each other */
	struct incoming in;
} fake;

static inline void post(sem_t *semaphore)
{
	assert_int_equal(sem_post(semaphore), 0);
}

static inline void await(sem_t *semaphore)
{
	while (sem_wait(semaphore) < 0)
		assert_int_equal(errno, EINTR);
}

/* The next message of this type; false when the client has gone. */
static inline bool expect(uint16_t type)
{
	ssize_t length = recv(fake.fd, &fake.in, sizeof(fake.in), 0);

	if (length <= 0)
		return false;
	if (fake.in.header.type == XDPD_DETACH)
		fake.said_detach = true;
	return fake.in.header.magic == XDPD_PROTOCOL_MAGIC && fake.in.header.length == length &&
	       fake.in.header.type == type;
}

static inline void say_with_fds(uint16_t type, uint32_t id, void *body, size_t length,
				const int *fds, size_t n_fds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {};
	struct iovec io = {.iov_base = body, .iov_len = length};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};

	*(struct xdpd_header *)body = (struct xdpd_header){
		XDPD_PROTOCOL_MAGIC, XDPD_PROTOCOL_VERSION, type, (uint32_t)length, id};
	if (n_fds) {
		struct cmsghdr *header = (struct cmsghdr *)control;

		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		*header = (struct cmsghdr){CMSG_LEN(n_fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(header), fds, n_fds * sizeof(int));
	}
	(void)!sendmsg(fake.fd, &message, MSG_NOSIGNAL);
}

static inline void say(uint16_t type, uint32_t id, void *body, size_t length)
{
	say_with_fds(type, id, body, length, NULL, 0);
}

static inline void say_error(uint16_t type, uint32_t id, int code, const char *reason)
{
	struct xdpd_error error = {.code = (uint32_t)code};

	snprintf(error.reason, sizeof(error.reason), "%s", reason);
	say(type, id, &error, sizeof(error));
}

static inline void say_event(const char *text)
{
	struct xdpd_event event = {.kind = XDPD_EVENT_LINK_UP, .device = "eth0"};

	snprintf(event.text, sizeof(event.text), "%s", text);
	say(XDPD_EVENT, 0, &event, sizeof(event));
}

static inline bool welcome(void)
{
	struct xdpd_welcome message = {.version = XDPD_PROTOCOL_VERSION};

	if (!expect(XDPD_HELLO))
		return false;
	say(XDPD_WELCOME, fake.in.header.id, &message, sizeof(message));
	return true;
}

static inline void say_grant(void)
{
	const int fds[] = {kernel.umem_fd, kernel.rings_fd, kernel.sockets[0]};

	say_with_fds(XDPD_GRANT, fake.in.header.id, &fake.grant, sizeof(fake.grant), fds, 3);
}

static inline bool start(void)
{
	struct xdpd_header started;

	if (!expect(XDPD_READY))
		return false;
	say(XDPD_STARTED, fake.in.header.id, &started, sizeof(started));
	return true;
}

static inline void until_it_goes(void)
{
	while (!expect(0) && fake.in.header.type != XDPD_DETACH &&
	       recv(fake.fd, &fake.in, 1, MSG_PEEK) > 0)
		;
}

static inline void script_good(struct fake *it)
{
	(void)it;
	if (!welcome() || !expect(XDPD_ATTACH))
		return;
	say_grant();
	if (start())
		until_it_goes();
}

static inline void *serve(void *context)
{
	(void)context;
	for (;;) {
		struct pollfd fds[] = {{.fd = fake.listen_fd, .events = POLLIN},
				       {.fd = fake.stop_pipe[0], .events = POLLIN}};

		poll(fds, 2, -1);
		if (fds[1].revents)
			return NULL;
		fake.fd = accept4(fake.listen_fd, NULL, NULL, SOCK_CLOEXEC);
		fake.connections++;
		fake.script(&fake);
		close(fake.fd);
	}
}

static inline void start_daemon(void (*script)(struct fake *), int variant)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memset(&fake, 0, sizeof(fake));
	assert_int_equal(sem_init(&fake.said, 0, 0), 0);
	assert_int_equal(sem_init(&fake.go_on, 0, 0), 0);
	fake.script = script;
	fake.variant = variant;
	snprintf(fake.path, sizeof(fake.path), "/tmp/xdpd-client-test.%d", getpid());
	memcpy(address.sun_path, fake.path, sizeof(address.sun_path));
	unlink(fake.path);
	fake.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fake.listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fake.listen_fd, 8), 0);
	assert_int_equal(pipe2(fake.stop_pipe, O_CLOEXEC), 0);
}

static inline void run_daemon(void)
{
	assert_int_equal(pthread_create(&fake.thread, NULL, serve, NULL), 0);
}

static inline void stop_daemon(void)
{
	assert_int_equal(write(fake.stop_pipe[1], "", 1), 1);
	pthread_join(fake.thread, NULL);
	close(fake.stop_pipe[0]);
	close(fake.stop_pipe[1]);
	close(fake.listen_fd);
	sem_destroy(&fake.said);
	sem_destroy(&fake.go_on);
	unlink(fake.path);
}

/* ---- both, and a client ---- */

static const uint32_t usual_sizes[RINGS] = {[RX] = 64, [TX] = 64, [FILL] = 64, [COMPLETION] = 64};

static int fds_before;

static inline void begin(void (*script)(struct fake *), int variant)
{
	fds_before = count_fds();
	start_daemon(script, variant);
	fake.grant = make_kernel(96, 48, usual_sizes, UINT32_MAX - 40);
	run_daemon();
}

static inline void end(struct xdpd *x)
{
	xdpd_close(x);
	stop_daemon();
	remove_kernel();
	assert_int_equal(count_fds(), fds_before);
}

static inline struct xdpd *connected(void)
{
	struct xdpd *x = NULL;

	assert_int_equal(xdpd_connect(&x, fake.path, "test"), 0);
	return x;
}

static inline int attach_within(struct xdpd *x, int timeout_ms)
{
	const struct xdpd_attach_options options = {
		.size = sizeof(options), .flags = XDPD_ATTACH_TRANSMIT, .timeout_ms = timeout_ms};

	return xdpd_attach(x, "eth0", 3, &options);
}

static inline struct xdpd *attached(void)
{
	struct xdpd *x = connected();

	assert_int_equal(attach_within(x, 0), 0);
	return x;
}

/* A daemon that only says hello. */
static inline void script_idle(struct fake *it)
{
	(void)it;
	(void)welcome();
	until_it_goes();
}

#endif
