/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of the worker: a kernel in the same process. Its thread fills frames and puts them into the RX ring, as a
 * driver does that is woken when it found the fill ring empty; it transmits in the calls of whoever asks for it
 * (sendto(), poll()), as copy mode does, and completes a while after. The rings are plain memory in the layout of
 * struct xsk, and the socket is an eventfd: readable while there are received frames, by what poll() does here.
 *
 * Sanitizers know memory by its address, and daemon and consumers map the same memfd each at another. So that they
 * see both sides, the second mapping of a memfd is the first one, here [mmap()].
 */
#ifndef TESTS_UNIT_WORKER_KERNEL_H
#define TESTS_UNIT_WORKER_KERNEL_H

/* glibc's fortified poll() and recvfrom() are inline functions, which can't be replaced. */
#undef _FORTIFY_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "bpf/xdpd_bpf.h"
#include "client/xdpd.h"
#include "daemon/sealed.h"
#include "daemon/umem.h"
#include "daemon/xsk.h"

#define FRAME_SIZE	2048u
#define RECEIVE_FRAMES	1024u
#define FRAMES		(RECEIVE_FRAMES + 64u)
#define HEADROOM	64u
#define KERNEL_RING	512u
#define BURST_MAX	48u
#define TRANSMIT_BUDGET 32u
#define GROUPS		8u
#define SENDERS		16u
#define FLOWS		97u

/*
 * Frames that are on their way to groups that are not to lose one: so few that no quota ends [handoff_receive.c], with those
 * that others may keep and a burst that is received before what was given back is looked at.
 */
#define WINDOW 128u

/* ---- what goes wrong on any thread; told by the test's ---- */

static char blame_text[256];
static uint32_t blames, blamed;

__attribute__((format(printf, 1, 2))) static inline void blame(const char *format, ...)
{
	va_list args;

	if (__atomic_fetch_add(&blames, 1, __ATOMIC_RELAXED))
		return;
	va_start(args, format);
	vsnprintf(blame_text, sizeof(blame_text), format, args);
	va_end(args);
	__atomic_store_n(&blamed, 1, __ATOMIC_RELEASE);
}

static inline void assert_no_blame(void)
{
	if (__atomic_load_n(&blamed, __ATOMIC_ACQUIRE))
		fail_msg("%s", blame_text);
}

static inline uint64_t nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t milliseconds(void)
{
	return nanoseconds() / 1000000;
}

static inline void nap(long usecs)
{
	nanosleep(&(struct timespec){.tv_nsec = usecs * 1000}, NULL);
}

/* What nobody has to wait for longer than this, however slow the machine, does not come. */
#define PATIENCE_MS 20000

#define await(condition, ...)                                       \
	do {                                                        \
		const uint64_t end_ = milliseconds() + PATIENCE_MS; \
		while (!(condition) && !blamed_or_late(end_))       \
			nap(200);                                   \
		assert_no_blame();                                  \
		if (!(condition))                                   \
			fail_msg(__VA_ARGS__);                      \
	} while (0)

static inline bool blamed_or_late(uint64_t end)
{
	return __atomic_load_n(&blamed, __ATOMIC_ACQUIRE) || milliseconds() > end;
}

/* Without a sleep, whose end is not so exact. */
static inline void dally(uint64_t ns)
{
	const uint64_t end = nanoseconds() + ns;

	while (nanoseconds() < end)
		;
}

static inline uint32_t below(uint64_t *state, uint32_t limit)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)((*state >> 20) % limit);
}

/* ---- one mapping of a memfd in the process ---- */

struct shared_mapping {
	dev_t device;
	ino_t inode;
	char *address;
	size_t length;
	uint32_t users; /* 0: unused */
};

static struct shared_mapping shared_mappings[128];
static pthread_mutex_t shared_mappings_lock = PTHREAD_MUTEX_INITIALIZER;

/* The sanitizers' own, which forgets what it knew of the memory that was there before. */
void *__interceptor_mmap(void *, size_t, int, int, int, off_t) __attribute__((weak));
int __interceptor_munmap(void *, size_t) __attribute__((weak));

static inline void *map_truly(void *address, size_t length, int prot, int flags, int fd,
			      off_t offset)
{
	void *(*next)(void *, size_t, int, int, int, off_t) = __interceptor_mmap;

	if (!next)
		next = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
	return next(address, length, prot, flags, fd, offset);
}

static inline int unmap_truly(void *address, size_t length)
{
	int (*next)(void *, size_t) = __interceptor_munmap;

	if (!next)
		next = (int (*)(void *, size_t))dlsym(RTLD_NEXT, "munmap");
	return next(address, length);
}

static inline struct shared_mapping *find_mapping(const struct stat *status)
{
	for (size_t i = 0; i < sizeof(shared_mappings) / sizeof(shared_mappings[0]); i++)
		if (shared_mappings[i].users && shared_mappings[i].device == status->st_dev &&
		    shared_mappings[i].inode == status->st_ino)
			return &shared_mappings[i];
	return NULL;
}

static inline void keep_shared_mapping(const struct stat *status, void *address, size_t length)
{
	struct shared_mapping *free = shared_mappings;

	while (free->users)
		free++;
	*free = (struct shared_mapping){status->st_dev, status->st_ino, address, length, 1};
}

/* glibc's name of it, seen by the tests' own code and by what they are linked with. */
void *mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset)
{
	struct shared_mapping *known;
	struct stat status;
	void *mapped;

	if (fd < 0 || address || !(flags & MAP_SHARED) || fstat(fd, &status) < 0)
		return map_truly(address, length, prot, flags, fd, offset);
	pthread_mutex_lock(&shared_mappings_lock);
	known = find_mapping(&status);
	if (known && (size_t)offset + length <= known->length) {
		mapped = known->address + offset;
		known->users++;
	} else {
		mapped = map_truly(address, length, prot, flags, fd, offset);
		if (mapped != MAP_FAILED)
			keep_shared_mapping(&status, mapped, length);
	}
	pthread_mutex_unlock(&shared_mappings_lock);
	return mapped;
}

int munmap(void *address, size_t length)
{
	const char *at = address;
	int r = 0;

	pthread_mutex_lock(&shared_mappings_lock);
	for (size_t i = 0; i < sizeof(shared_mappings) / sizeof(shared_mappings[0]); i++) {
		struct shared_mapping *mapping = &shared_mappings[i];

		if (!mapping->users || at < mapping->address ||
		    at >= mapping->address + mapping->length)
			continue;
		if (--mapping->users == 0)
			r = unmap_truly(mapping->address, mapping->length);
		pthread_mutex_unlock(&shared_mappings_lock);
		return r;
	}
	pthread_mutex_unlock(&shared_mappings_lock);
	return unmap_truly(address, length);
}

/* ---- packets ---- */

/* All words of a packet follow from its number, so that one which is not whole is known. */
static inline uint64_t packet_word(uint64_t number, uint32_t i)
{
	return number + i * 0x9e3779b97f4a7c15ull;
}

static inline uint32_t packet_length(uint64_t number)
{
	return 64 + 8 * (uint32_t)(number % 24);
}

static inline uint32_t packet_flow(uint64_t number)
{
	return (uint32_t)(number * 0x9e3779b97f4a7c15ull >> 40) % FLOWS;
}

/* The number of a packet that lies there; false if it is not whole. */
static inline bool read_packet(const void *at, uint32_t length, uint64_t *ret)
{
	const uint64_t *words = at;
	const uint64_t number = words[0];

	if (length != packet_length(number))
		return false;
	for (uint32_t i = 1; i < length / 8; i++)
		if (words[i] != packet_word(number, i))
			return false;
	*ret = number;
	return true;
}

/* A packet that a sender has made: the received ones are nobody's. */
static inline uint64_t sent_number(uint32_t sender, uint64_t count)
{
	return (uint64_t)sender << 48 | count;
}

/* ---- the kernel ---- */

static struct kernel {
	struct umem umem;
	unsigned char *memory; /* as the worker has it */
	size_t length;
	struct xsk xsk;
	struct xdpd_ring rx, fill, tx, completion; /* its sides */

	/* of its thread */
	pthread_t thread;
	bool running;
	uint64_t random;
	uint64_t held[FRAMES];
	uint32_t n_held;

	/* of whoever asks it to transmit: one thread at a time */
	uint64_t in_transmission[TRANSMIT_BUDGET];
	uint32_t n_in_transmission;
	uint64_t transmitted[SENDERS]; /* the first: packets that were received */

	/* of any */
	bool stop;
	bool pauses;   /* as long as others need to fall asleep */
	bool dribbles; /* one packet at a time, a moment apart */
	bool raised;
	bool prompt;		/* completes at once */
	uint32_t epoch, groups; /* that it marks frames with */
	uint32_t strict;	/* groups that it does not run ahead of */
	uint32_t window;	/* by more than so many packets */
	uint32_t appetite;	/* frames to fill that it keeps at hand: see want_frames() */
	uint64_t limit, received, received_sum;
	uint64_t acked[GROUPS], acked_sum[GROUPS]; /* by who received them */
	uint32_t receive_wakes, transmit_wakes;
} kernel;

static inline void raise_readable(void)
{
	const uint64_t one = 1;

	if (!__atomic_exchange_n(&kernel.raised, true, __ATOMIC_ACQ_REL))
		(void)!write(kernel.xsk.fd, &one, sizeof(one));
}

static inline void complete_transmission(void)
{
	uint32_t n = xdpd_ring_room(&kernel.completion, kernel.n_in_transmission);

	for (uint32_t i = 0; i < n; i++)
		*xdpd_ring_address(&kernel.completion, kernel.completion.own + i) =
			kernel.in_transmission[i];
	kernel.n_in_transmission -= n;
	memmove(kernel.in_transmission, kernel.in_transmission + n,
		kernel.n_in_transmission * sizeof(kernel.in_transmission[0]));
	xdpd_ring_advance(&kernel.completion, n);
}

static inline void take_packet(const struct xdp_desc *desc)
{
	uint64_t number = 0;
	uint32_t sender;

	if (!read_packet(kernel.memory + desc->addr, desc->len, &number)) {
		blame("a packet that is not whole was transmitted from %#llx",
		      (unsigned long long)desc->addr);
		return;
	}
	sender = (uint32_t)(number >> 48);
	if (sender >= SENDERS || (sender && (uint32_t)number != kernel.transmitted[sender]))
		blame("sender %u's packet %u was transmitted after %llu others", sender,
		      (uint32_t)number, (unsigned long long)kernel.transmitted[sender]);
	else
		__atomic_store_n(&kernel.transmitted[sender], kernel.transmitted[sender] + 1,
				 __ATOMIC_RELEASE);
}

static inline void transmit(void)
{
	uint32_t n;

	complete_transmission();
	n = xdpd_ring_available(&kernel.tx, TRANSMIT_BUDGET - kernel.n_in_transmission);
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc desc = *xdpd_ring_desc(&kernel.tx, kernel.tx.own + i);

		take_packet(&desc);
		kernel.in_transmission[kernel.n_in_transmission++] = desc.addr;
	}
	xdpd_ring_advance(&kernel.tx, n);
	if (__atomic_load_n(&kernel.prompt, __ATOMIC_RELAXED))
		complete_transmission();
}

ssize_t sendto(int fd, const void *buffer, size_t length, int flags, const struct sockaddr *address,
	       socklen_t address_length)
{
	if (buffer)
		return syscall(SYS_sendto, fd, buffer, length, flags, address, address_length);
	__atomic_fetch_add(&kernel.transmit_wakes, 1, __ATOMIC_RELAXED);
	transmit();
	return 0;
}

ssize_t recvfrom(int fd, void *buffer, size_t length, int flags, struct sockaddr *address,
		 socklen_t *address_length)
{
	if (buffer)
		return syscall(SYS_recvfrom, fd, buffer, length, flags, address, address_length);
	__atomic_fetch_add(&kernel.receive_wakes, 1, __ATOMIC_RELAXED);
	__atomic_store_n(kernel.fill.flags, 0, __ATOMIC_RELEASE);
	errno = EAGAIN;
	return -1;
}

/* Of the socket alone: it is readable as long as there is something in its RX ring. */
static inline void poll_socket(void)
{
	uint64_t count;

	transmit();
	(void)!read(kernel.xsk.fd, &count, sizeof(count));
	(void)__atomic_exchange_n(&kernel.raised, false, __ATOMIC_ACQ_REL);
	if (__atomic_load_n(kernel.rx.shared_own, __ATOMIC_ACQUIRE) !=
	    __atomic_load_n(kernel.rx.shared_peer, __ATOMIC_RELAXED))
		raise_readable();
}

int poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	const struct timespec timeout = {.tv_sec = timeout_ms / 1000,
					 .tv_nsec = timeout_ms % 1000 * 1000000l};
	const struct pollfd *first = fds;

	/* glibc declares that poll() does not read what it is given. */
	XDPD_OPAQUE(first);
	if (n && first->fd == kernel.xsk.fd)
		poll_socket();
	return ppoll(fds, n, timeout_ms < 0 ? NULL : &timeout, NULL);
}

static inline void fetch_frames(uint32_t want)
{
	uint32_t n = xdpd_ring_available(&kernel.fill, want);

	if (!xdpd_consumer_peer_is_sane(&kernel.fill)) {
		blame("the fill ring's producer is out of bounds");
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint64_t address = *xdpd_ring_address(&kernel.fill, kernel.fill.own + i);

		if (address % FRAME_SIZE || address / FRAME_SIZE >= RECEIVE_FRAMES)
			blame("%#llx was given to be filled", (unsigned long long)address);
		else
			kernel.held[kernel.n_held++] = address;
	}
	xdpd_ring_advance(&kernel.fill, n);
}

/* As a driver does whose own ring could not be filled: it looks no more until it is woken. */
static inline void want_frames(void)
{
	uint32_t had;

	if (kernel.n_held >= kernel.appetite ||
	    __atomic_load_n(kernel.fill.flags, __ATOMIC_ACQUIRE))
		return;
	fetch_frames(kernel.appetite - kernel.n_held);
	if (kernel.n_held >= kernel.appetite)
		return;
	__atomic_store_n(kernel.fill.flags, XDP_RING_NEED_WAKEUP, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	had = kernel.n_held;
	fetch_frames(kernel.appetite - kernel.n_held);
	if (kernel.n_held > had)
		__atomic_store_n(kernel.fill.flags, 0, __ATOMIC_RELAXED);
}

/* Packets that may be received now: not more than so many ahead of any of the strict groups. */
static inline uint32_t left_to_receive(void)
{
	const uint64_t limit = __atomic_load_n(&kernel.limit, __ATOMIC_ACQUIRE);
	uint64_t least = limit > kernel.received ? limit - kernel.received : 0;

	for (uint32_t group = 0; group < GROUPS; group++) {
		uint64_t acked = __atomic_load_n(&kernel.acked[group], __ATOMIC_ACQUIRE);

		if (kernel.strict & 1u << group &&
		    kernel.window - (kernel.received - acked) < least)
			least = kernel.window - (kernel.received - acked);
	}
	return least < kernel.window ? (uint32_t)least : kernel.window;
}

/* Taps may be reading what was there before. */
static inline struct xdp_desc fill_frame(uint64_t frame, uint64_t number)
{
	const uint64_t address = frame + 256 + HEADROOM;
	const uint32_t length = packet_length(number);
	uint64_t *words = (uint64_t *)(kernel.memory + address);
	const struct xdpd_metadata metadata = {
		.epoch = kernel.epoch,
		.groups = __atomic_load_n(&kernel.groups, __ATOMIC_RELAXED),
		.hash = packet_flow(number) * 0x85ebca6bu + 1,
	};

	memcpy(kernel.memory + address - sizeof(metadata), &metadata, sizeof(metadata));
	/* The worker has changed the frame's sequence number before: it is seen before any of these. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (uint32_t i = 0; i < length / 8; i++)
		__atomic_store_n(&words[i], packet_word(number, i), __ATOMIC_RELAXED);
	return (struct xdp_desc){.addr = address, .len = length};
}

static inline uint32_t receive_burst(void)
{
	uint32_t n = left_to_receive();

	want_frames();
	if (!n || !kernel.n_held)
		return 0;
	if (kernel.dribbles) {
		dally(below(&kernel.random, 20000));
		n = 1;
	} else if (n > 1) {
		n = 1 + below(&kernel.random, n < BURST_MAX ? n : BURST_MAX);
	}
	n = xdpd_ring_room(&kernel.rx, n < kernel.n_held ? n : kernel.n_held);
	for (uint32_t i = 0; i < n; i++) {
		const uint64_t number = kernel.received + 1 + i;

		*xdpd_ring_desc(&kernel.rx, kernel.rx.own + i) =
			fill_frame(kernel.held[--kernel.n_held], number);
		kernel.received_sum += number;
	}
	__atomic_store_n(&kernel.received, kernel.received + n, __ATOMIC_RELEASE);
	xdpd_ring_advance(&kernel.rx, n);
	if (n)
		raise_readable();
	return n;
}

static inline void *run_kernel(void *context)
{
	(void)context;
	while (!__atomic_load_n(&kernel.stop, __ATOMIC_ACQUIRE)) {
		if (!receive_burst())
			sched_yield();
		else if (__atomic_load_n(&kernel.pauses, __ATOMIC_RELAXED) &&
			 !below(&kernel.random, 64))
			nap(below(&kernel.random, 1500));
	}
	return NULL;
}

/* Both sides of a ring begin at the same index, a little before the wrap. */
static inline void make_ring(enum xsk_ring which, size_t entry, bool producer,
			     struct xdpd_ring *ret)
{
	struct xsk_ring_map *map = &kernel.xsk.rings[which];
	char *base = aligned_alloc(64, 192 + KERNEL_RING * entry);
	uint32_t *made = (uint32_t *)base, *taken = (uint32_t *)(base + 64);

	memset(base, 0, 192 + KERNEL_RING * entry);
	*made = *taken = UINT32_MAX - 300;
	*map = (struct xsk_ring_map){
		.address = base,
		.length = 192 + KERNEL_RING * entry,
		.size = KERNEL_RING,
		.offset = {.producer = 0, .consumer = 64, .flags = 128, .desc = 192},
	};
	xdpd_ring_join(ret, base + 192, KERNEL_RING, producer ? made : taken,
		       producer ? taken : made, (uint32_t *)(base + 128));
}

static inline void make_kernel(void)
{
	void *memory;

	kernel = (struct kernel){.random = 88172645463325252ull,
				 .epoch = 1,
				 .window = WINDOW,
				 .appetite = KERNEL_RING / 2};
	blames = blamed = 0;
	assert_return_code(umem_create(&kernel.umem, FRAMES, FRAME_SIZE, HEADROOM, true), 0);
	kernel.length = kernel.umem.size + kernel.umem.tail_length;
	assert_return_code(sealed_map(kernel.umem.fd, kernel.length, &memory), 0);
	kernel.memory = memory;
	kernel.xsk.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_return_code(kernel.xsk.fd, errno);
	make_ring(XSK_RX, sizeof(struct xdp_desc), true, &kernel.rx);
	make_ring(XSK_FILL, sizeof(uint64_t), false, &kernel.fill);
	make_ring(XSK_TX, sizeof(struct xdp_desc), false, &kernel.tx);
	make_ring(XSK_COMPLETION, sizeof(uint64_t), true, &kernel.completion);
	*kernel.tx.flags = XDP_RING_NEED_WAKEUP;
}

static inline void start_kernel(void)
{
	kernel.running = true;
	assert_int_equal(pthread_create(&kernel.thread, NULL, run_kernel, NULL), 0);
}

static inline void stop_kernel(void)
{
	if (!kernel.running)
		return;
	__atomic_store_n(&kernel.stop, true, __ATOMIC_RELEASE);
	pthread_join(kernel.thread, NULL);
	kernel.running = false;
}

static inline void remove_kernel(void)
{
	stop_kernel();
	for (int i = 0; i < XSK_RING_COUNT; i++)
		free(kernel.xsk.rings[i].address);
	close(kernel.xsk.fd);
	kernel.xsk.fd = -1;
	munmap(kernel.memory, kernel.length);
	umem_close(&kernel.umem);
}

#endif
