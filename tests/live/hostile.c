// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/cleanup.h"

/* Places of the grant's fds: the UMEM's, its own memory's, and a tap's ring. */
enum { UMEM_FD, OWN_FD, TAP_RING_FD = 3 };

#define LENGTH	  60
#define AT_ONCE	  512  /* things done between two looks at the time and the connection */
#define HELD_MAX  1024 /* frames that it keeps to lie about */
#define FORK_LIFE 1000 /* milliseconds that a child left behind writes */

const char *const hostile_deed_names[HOSTILE_DEEDS] = {
	[HOSTILE_LIE] = "one lie",
	[HOSTILE_RANDOM_WORDS] = "random words",
	[HOSTILE_PLAUSIBLE_WORDS] = "plausible words",
	[HOSTILE_CHANGES] = "changes",
	[HOSTILE_HOLES] = "holes",
	[HOSTILE_GREED] = "greed",
	[HOSTILE_BELL] = "bell",
	[HOSTILE_FLOOD] = "flood",
	[HOSTILE_MUTE] = "mute",
	[HOSTILE_CLOSES] = "closes",
	[HOSTILE_HOARD] = "hoard",
	[HOSTILE_STUCK] = "stuck",
	[HOSTILE_VANISH] = "vanish",
	[HOSTILE_FORK] = "fork",
	[HOSTILE_GHOST] = "ghost",
	[HOSTILE_TAP] = "tap",
	[HOSTILE_FRAMES] = "frames",
};

/* ---- one at work ---- */

struct act {
	struct hostile *hostile;
	struct protocol *protocol;
	uint64_t random;
	uint64_t deadline;
	uint32_t *words; /* all of its own memory */
	size_t n_words;
	uint64_t held[HELD_MAX];
	uint32_t n_held;
	bool done; /* for the second thread */
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline uint64_t any(struct act *act)
{
	return next_random(&act->random);
}

static inline uint32_t below(struct act *act, uint32_t limit)
{
	return (uint32_t)(any(act) >> 16) % limit;
}

/* Takes in what the daemon says. True when there is no more to come. */
static bool has_ended(struct protocol *protocol)
{
	struct protocol_message message;
	int got;

	do
		got = protocol_receive(protocol, &message, 0);
	while (got >= 0 && got != XDPD_REVOKE);
	return got != -ETIMEDOUT && got != -EAGAIN;
}

static bool is_over(struct act *act)
{
	act->hostile->done += AT_ONCE;
	return has_ended(act->protocol) || now_ms() >= act->deadline;
}

static void map_own_memory(struct act *act)
{
	struct stat memory;
	void *address;

	if (fstat(act->protocol->fds[OWN_FD], &memory) < 0)
		return;
	address = mmap(NULL, (size_t)memory.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       act->protocol->fds[OWN_FD], 0);
	if (address == MAP_FAILED)
		return;
	act->words = address;
	act->n_words = (size_t)memory.st_size / sizeof(uint32_t);
}

static void put_word(uint32_t *at, uint32_t value)
{
	__atomic_store_n(at, value, __ATOMIC_RELAXED);
}

/* It takes what it is lent, and keeps some of it. */
static void borrow(struct act *act)
{
	struct xdp_desc frames[32];
	uint32_t count = protocol_take(act->protocol, frames, 32, 1);

	for (uint32_t i = 0; i < count; i++) {
		if (act->n_held == HELD_MAX) {
			protocol_give_back(act->protocol, frames + i, count - i);
			return;
		}
		act->held[act->n_held++] = frames[i].addr;
	}
}

/* ---- words ---- */

static void write_random_words(struct act *act)
{
	/* Of a page each, where the indices and flags are. */
	const struct xdpd_ring *rings[] = {&act->protocol->rx, &act->protocol->fill,
					   &act->protocol->tx, &act->protocol->completion};

	do {
		for (int i = 0; i < AT_ONCE / 2; i++) {
			const struct xdpd_ring *ring = rings[below(act, 4)];

			put_word(&act->words[any(act) % act->n_words], (uint32_t)any(act));
			if (ring->size && !protocol_is_tap(act->protocol))
				put_word(below(act, 2) ? ring->shared_own : ring->flags,
					 (uint32_t)any(act));
		}
		protocol_ring(act->protocol);
	} while (!is_over(act));
}

static uint64_t plausible_address(struct act *act)
{
	const struct xdpd_grant *grant = &act->protocol->grant;
	const uint64_t frame = (uint64_t)below(act, grant->frames + grant->transmit_frames + 2) *
			       grant->frame_size;

	switch (below(act, 8)) {
	case 0:
		return frame;
	case 1:
		return frame - 1;
	case 2:
		return UINT64_MAX - below(act, 4096);
	case 3:
		return grant->umem.length - below(act, 2 * grant->frame_size);
	case 4:
		return grant->umem.length + grant->transmit.length - below(act, grant->frame_size);
	default:
		return act->n_held ? act->held[below(act, act->n_held)] : frame;
	}
}

static uint32_t plausible_length(struct act *act)
{
	static const uint32_t lengths[] = {0, 1, LENGTH, 1500, 2047, 2048, 2049, UINT32_MAX};

	return below(act, 8) ? LENGTH : lengths[below(act, 8)];
}

static uint32_t plausible_index(struct act *act, const struct xdpd_ring *ring)
{
	const uint32_t own = __atomic_load_n(ring->shared_own, __ATOMIC_RELAXED);
	const uint32_t peer = __atomic_load_n(ring->shared_peer, __ATOMIC_RELAXED);

	switch (below(act, 16)) {
	case 0:
		return own + ring->size + 1;
	case 1:
		return own - 1;
	case 2:
		return peer + ring->size;
	case 3:
		return peer;
	default:
		return own + below(act, 3);
	}
}

static void write_plausible_words(struct act *act)
{
	struct protocol *protocol = act->protocol;
	struct xdpd_ring *rings[] = {&protocol->rx, &protocol->fill, &protocol->tx,
				     &protocol->completion};

	do {
		borrow(act);
		for (int i = 0; i < 64; i++) {
			*xdpd_ring_address(&protocol->fill, (uint32_t)any(act)) =
				plausible_address(act);
			*xdpd_ring_desc(&protocol->tx, (uint32_t)any(act)) = (struct xdp_desc){
				.addr = plausible_address(act),
				.len = plausible_length(act),
				.options = below(act, 64) ? 0 : below(act, 4),
			};
		}
		for (int i = 0; i < 2; i++) {
			struct xdpd_ring *ring = rings[below(act, 4)];

			put_word(ring->shared_own, plausible_index(act, ring));
			put_word(ring->flags, below(act, 4));
		}
		protocol_ring(protocol);
	} while (!is_over(act));
}

/* ---- changes while the worker reads ---- */

/* Turns every entry and the packets to and fro: what was judged may be another thing when it is used. */
static void *turn_over(void *context)
{
	struct act *act = context;
	struct protocol *protocol = act->protocol;
	const uint64_t own = protocol->grant.umem.length;
	uint64_t random = act->random + 1;

	while (!__atomic_load_n(&act->done, __ATOMIC_ACQUIRE)) {
		for (uint32_t i = 0; i < protocol->tx.size; i++) {
			struct xdp_desc *desc = xdpd_ring_desc(&protocol->tx, i);
			const uint64_t good = own + (uint64_t)i * protocol->grant.frame_size;

			/* Wrong for an instant, and mostly right again when it is looked at. */
			__atomic_store_n(&desc->len, UINT32_MAX, __ATOMIC_RELAXED);
			__atomic_store_n(&desc->len, LENGTH, __ATOMIC_RELAXED);
			__atomic_store_n(&desc->addr, next_random(&random), __ATOMIC_RELAXED);
			__atomic_store_n(&desc->addr, good, __ATOMIC_RELAXED);
			protocol->transmit[(size_t)i * protocol->grant.frame_size] =
				(unsigned char)random;
		}
		for (uint32_t i = 0; i < 256; i++) {
			uint64_t *entry = xdpd_ring_address(&protocol->fill, i);
			uint64_t before = __atomic_load_n(entry, __ATOMIC_RELAXED);

			__atomic_store_n(entry, next_random(&random), __ATOMIC_RELAXED);
			__atomic_store_n(entry, before, __ATOMIC_RELAXED);
		}
	}
	return NULL;
}

static void change_while_read(struct act *act)
{
	struct protocol *protocol = act->protocol;
	pthread_t thread;

	for (uint32_t i = 0; i < protocol->tx.size; i++)
		*xdpd_ring_desc(&protocol->tx, i) = (struct xdp_desc){
			.addr = protocol->grant.umem.length +
				(uint64_t)i * protocol->grant.frame_size,
			.len = LENGTH,
		};
	if (pthread_create(&thread, NULL, turn_over, act))
		return;
	do {
		struct xdp_desc frames[32];
		uint32_t count = protocol_take(protocol, frames, 32, 0);

		protocol_give_back(protocol, frames, count);
		xdpd_ring_advance(&protocol->tx, xdpd_ring_room(&protocol->tx, 64));
		xdpd_ring_advance(&protocol->completion,
				  xdpd_ring_available(&protocol->completion, 64));
		protocol_ring(protocol);
	} while (!is_over(act));
	__atomic_store_n(&act->done, true, __ATOMIC_RELEASE);
	(void)pthread_join(thread, NULL);
}

/* ---- its memory ---- */

static void make_holes(struct act *act)
{
	struct protocol *protocol = act->protocol;
	const off_t length = (off_t)(act->n_words * sizeof(uint32_t));

	do {
		borrow(act);
		(void)protocol_transmit(protocol);
		(void)fallocate(protocol->fds[OWN_FD], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				0, length);
		(void)madvise(act->words, (size_t)length, MADV_REMOVE);
		(void)madvise(act->words, (size_t)length, MADV_DONTNEED);
		protocol_ring(protocol);
	} while (!is_over(act));
}

static void gain(struct act *act, bool gained, const char *what)
{
	if (gained && !act->hostile->gained[0])
		(void)snprintf(act->hostile->gained, sizeof(act->hostile->gained), "%s", what);
}

static bool opens_for_writing(int fd)
{
	cleanup_fd int opened = -1;
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	opened = open(path, O_RDWR | O_CLOEXEC);
	return opened >= 0;
}

/* What it may only read must not become writable. */
static void grab_readable(struct act *act, int fd, void *mapped, size_t length, const char *what)
{
	const char byte = 0;

	gain(act, mprotect(mapped, length, PROT_READ | PROT_WRITE) == 0, what);
	gain(act, mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED,
	     what);
	gain(act, pwrite(fd, &byte, 1, 0) >= 0, what);
	gain(act, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)length) == 0,
	     what);
	gain(act, madvise(mapped, length, MADV_REMOVE) == 0, what);
	gain(act, fchmod(fd, 0666) == 0, what);
	gain(act, opens_for_writing(fd), what);
	gain(act, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0, what);
}

/* No side's memory changes its size, nor its rules. */
static void resize(struct act *act, int fd, const char *what)
{
	struct stat memory;

	if (fstat(fd, &memory) < 0)
		return;
	gain(act, ftruncate(fd, 0) == 0, what);
	gain(act, ftruncate(fd, memory.st_size / 2) == 0, what);
	gain(act, ftruncate(fd, memory.st_size * 2) == 0, what);
	gain(act, fallocate(fd, 0, memory.st_size, 4096) == 0, what);
	gain(act, fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096) == 0, what);
	gain(act, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0, what);
	gain(act, fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0, what);
}

static void be_greedy(struct act *act)
{
	struct protocol *protocol = act->protocol;

	resize(act, protocol->fds[UMEM_FD], "the UMEM's size");
	resize(act, protocol->fds[OWN_FD], "its memory's size");
	grab_readable(act, protocol->fds[UMEM_FD], protocol->umem, protocol->grant.umem.length,
		      "writing to the UMEM");
	if (!protocol_is_tap(protocol))
		return;
	resize(act, protocol->fds[TAP_RING_FD], "its ring's size");
	grab_readable(act, protocol->fds[TAP_RING_FD], protocol->maps[2].address,
		      protocol->maps[2].length, "writing to a tap's ring");
}

/* ---- its bell ---- */

static void abuse_bell(struct act *act)
{
	const int bell = act->protocol->fds[act->protocol->grant.wait_fd];
	const int flags = fcntl(bell, F_GETFL);
	const int tiny = 1, huge = 1 << 20;
	static char bytes[65536];

	do {
		(void)setsockopt(bell, SOL_SOCKET, SO_SNDBUF, &huge, sizeof(huge));
		(void)setsockopt(bell, SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny));
		(void)fcntl(bell, F_SETFL,
			    below(act, 2) ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
		while (send(bell, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
			;
		/* It asks for as many wake-ups as there are bursts, and reads none. */
		put_word(act->protocol->rx.flags, XDP_RING_NEED_WAKEUP);
		borrow(act);
		act->n_held = 0;
	} while (!is_over(act) && act->deadline - now_ms() > act->hostile->ms / 2);
	(void)shutdown(bell, SHUT_RDWR);
	while (!is_over(act))
		put_word(act->protocol->rx.flags, XDP_RING_NEED_WAKEUP);
}

static void flood(struct act *act)
{
	do {
		for (int i = 0; i < AT_ONCE; i++)
			protocol_ring(act->protocol);
	} while (!is_over(act));
}

/* ---- its connection ---- */

static void be_mute(struct act *act)
{
	(void)protocol_say(act->protocol, XDPD_SUBSCRIBE);
	while (now_ms() < act->deadline) {
		struct xdpd_list_request request = {.kind = XDPD_LIST_CONSUMERS};
		struct xdpd_header header = {
			XDPD_PROTOCOL_MAGIC, XDPD_PROTOCOL_VERSION, XDPD_LIST, sizeof(request), 77,
		};

		request.header = header;
		if (send(act->protocol->fd, &request, sizeof(request),
			 MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			usleep(1000);
	}
}

static void close_all(struct act *act)
{
	struct protocol *protocol = act->protocol;

	(void)munmap(act->words, act->n_words * sizeof(uint32_t));
	while (protocol->n_maps) {
		protocol->n_maps--;
		(void)munmap(protocol->maps[protocol->n_maps].address,
			     protocol->maps[protocol->n_maps].length);
	}
	for (int i = 0; i < PROTOCOL_FDS_MAX; i++)
		protocol->fds[i] = close_fd(protocol->fds[i]);
	while (!is_over(act))
		usleep(1000);
}

/* ---- what it has ---- */

static void hoard(struct act *act)
{
	do {
		borrow(act);
		act->n_held = 0;
		(void)protocol_transmit(act->protocol);
	} while (!is_over(act));
}

/* No completion is ever taken, so there is an end to it. */
static void get_stuck(struct act *act)
{
	struct protocol *protocol = act->protocol;
	const uint32_t all = protocol->completion.size + protocol->tx.size;
	uint32_t sent = 0;

	while (sent < all && !is_over(act)) {
		struct xdp_desc frames[32];
		uint32_t count = protocol_take(protocol, frames, 32, 0);
		uint32_t room = xdpd_ring_room(&protocol->tx, 64);

		protocol_give_back(protocol, frames, count);
		for (uint32_t i = 0; i < room; i++)
			*xdpd_ring_desc(&protocol->tx, protocol->tx.own + i) = (struct xdp_desc){
				.addr = protocol->grant.umem.length, .len = LENGTH};
		xdpd_ring_advance(&protocol->tx, room);
		protocol_ring(protocol);
		sent += room;
	}
	stepper_write(&act->hostile->stepper.word, 2);
	while (!is_over(act))
		usleep(10000);
}

static void write_on(struct act *act)
{
	act->deadline = now_ms() + act->hostile->ms;
	do {
		for (int i = 0; i < AT_ONCE; i++)
			put_word(&act->words[any(act) % act->n_words], (uint32_t)any(act));
		protocol_ring(act->protocol);
		act->hostile->done += AT_ONCE;
	} while (now_ms() < act->deadline);
}

/* Its memory lives on in a child, which ends by itself. */
static void leave_a_child(struct act *act)
{
	pid_t child = fork();

	if (child != 0)
		return;
	protocol_hang_up(act->protocol);
	act->hostile->ms = FORK_LIFE;
	write_on(act);
	_exit(0);
}

static void haunt(struct act *act)
{
	(void)protocol_say(act->protocol, XDPD_DETACH);
	(void)protocol_await_end(act->protocol);
	protocol_hang_up(act->protocol);
	write_on(act);
}

/* Sends what it holds as it is, and gives it back when that has been sent. */
static void pass_frames_on(struct act *act)
{
	struct protocol *protocol = act->protocol;
	uint32_t room = xdpd_ring_room(&protocol->tx, act->n_held);
	uint32_t sent = xdpd_ring_available(&protocol->completion, 64);

	for (uint32_t i = 0; i < sent; i++) {
		const struct xdp_desc frame = {
			.addr = *xdpd_ring_address(&protocol->completion,
						   protocol->completion.own + i)};

		protocol_give_back(protocol, &frame, 1);
	}
	xdpd_ring_advance(&protocol->completion, sent);
	for (uint32_t i = 0; i < room; i++)
		*xdpd_ring_desc(&protocol->tx, protocol->tx.own + i) =
			(struct xdp_desc){.addr = act->held[--act->n_held], .len = LENGTH};
	xdpd_ring_advance(&protocol->tx, room);
	protocol_ring(protocol);
}

static void write_to_frames(struct act *act)
{
	uint32_t *words = (uint32_t *)act->protocol->umem;
	const size_t n_words = act->protocol->grant.umem.length / sizeof(uint32_t);

	if (!(act->protocol->grant.flags & XDPD_GRANT_WRITABLE))
		return;
	do {
		borrow(act);
		for (int i = 0; i < AT_ONCE; i++)
			put_word(&words[any(act) % n_words], (uint32_t)any(act));
		/* What the program found out lies before each frame: also that is only memory. */
		for (uint32_t i = 0; i < act->n_held; i++)
			put_word((uint32_t *)(act->protocol->umem + act->held[i] -
					      4 * (1 + below(act, 4))),
				 (uint32_t)any(act));
		pass_frames_on(act);
	} while (!is_over(act));
}

static void tell_a_lie(struct act *act)
{
	hostile_lies[act->hostile->lie].tell(act->protocol);
	if (!act->protocol->reason[0])
		(void)protocol_await_end(act->protocol);
}

static void vanish(struct act *act)
{
	(void)act;
	_exit(0);
}

static void (*const deeds[HOSTILE_DEEDS])(struct act *act) = {
	[HOSTILE_LIE] = tell_a_lie,
	[HOSTILE_RANDOM_WORDS] = write_random_words,
	[HOSTILE_PLAUSIBLE_WORDS] = write_plausible_words,
	[HOSTILE_CHANGES] = change_while_read,
	[HOSTILE_HOLES] = make_holes,
	[HOSTILE_GREED] = be_greedy,
	[HOSTILE_BELL] = abuse_bell,
	[HOSTILE_FLOOD] = flood,
	[HOSTILE_MUTE] = be_mute,
	[HOSTILE_CLOSES] = close_all,
	[HOSTILE_HOARD] = hoard,
	[HOSTILE_STUCK] = get_stuck,
	[HOSTILE_VANISH] = vanish,
	[HOSTILE_FORK] = leave_a_child,
	[HOSTILE_GHOST] = haunt,
	[HOSTILE_TAP] = write_random_words,
	[HOSTILE_FRAMES] = write_to_frames,
};

static int commit(struct stepper *stepper, struct protocol *protocol)
{
	static struct act act;
	struct hostile *hostile = (struct hostile *)stepper;

	while (!stepper_read(&stepper->word))
		usleep(1000);
	act = (struct act){
		.hostile = hostile,
		.protocol = protocol,
		.random = hostile->seed * 0x9e3779b97f4a7c15ull + 1,
		.deadline = now_ms() + hostile->ms,
	};
	map_own_memory(&act);
	if (!act.words)
		return 2;
	deeds[hostile->deed](&act);
	memcpy(hostile->reason, protocol->reason, sizeof(hostile->reason));
	return 0;
}

void hostile_init(struct hostile *ret, const struct protocol_target *target, enum hostile_deed deed)
{
	*ret = (struct hostile){
		.stepper = {.target = *target, .step = PROTOCOL_STARTED, .then = commit},
		.deed = deed,
		.seed = 1,
		.ms = 500,
	};
	ret->stepper.target.flags = deed == HOSTILE_TAP ? XDPD_ATTACH_TAP : XDPD_ATTACH_HOLD;
	ret->stepper.target.transmit = true;
}

int hostile_run(void *hostile)
{
	return stepper_run(hostile);
}
