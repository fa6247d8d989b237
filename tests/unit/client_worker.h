/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of shared delivery: on top of the fakes of client_fakes.h, what a worker of xdpd grants and does. The
 * rings are the same; the UMEM can be had for reading only, and account, frames to transmit with and sequence
 * numbers are in a memfd of the attachment's own.
 */
#ifndef TESTS_UNIT_CLIENT_WORKER_H
#define TESTS_UNIT_CLIENT_WORKER_H

#include "client_fakes.h"

#define FRAMES	     64u
#define LENT_END     ((uint64_t)FRAMES * FRAME_SIZE)
#define OWN_FRAMES   16u
#define TRANSMIT_AT  PAGE
#define SEQUENCES_AT (TRANSMIT_AT + OWN_FRAMES * FRAME_SIZE)
#define OWN_SIZE     (SEQUENCES_AT + PAGE)
#define TAP_SIZE     256u
#define TAP_WINDOW   (TAP_SIZE - XDPD_TAP_BURST)

enum { UMEM_FD, RINGS_FD, WAIT_FD, OWN_FD, RINGS_READ_FD, WORKER_FDS };

static struct worker {
	int own_fd, umem_read_fd, rings_read_fd;
	unsigned char *umem, *own;
	struct xdpd_account *account;
	uint32_t *sequences;
	bool is_lent[FRAMES]; /* the ledger */
	uint32_t given[FRAMES]; /* by RX index, the frames of the last entries */
	uint32_t n_lent;
	size_t grant_length;
	int next_frame; /* of a tap's UMEM, which is filled round and round */
	uint32_t next_sequence;
} worker;

static inline int open_for_reading(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static inline struct xdpd_grant make_worker(uint32_t flags, bool transmits, uint32_t index)
{
	const bool tap = flags & XDPD_GRANT_TAP;
	const uint32_t sizes[RINGS] = {[RX] = tap ? TAP_SIZE : 64,
				       [TX] = transmits ? 32 : 0,
				       [FILL] = tap ? 0 : FRAMES,
				       [COMPLETION] = transmits ? 128 : 0};
	struct xdpd_grant grant = make_kernel(FRAMES, 0, sizes, index);

	memset(&worker, 0, sizeof(worker));
	close(kernel.sockets[0]);
	close(kernel.sockets[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, kernel.sockets), 0);
	*word_of(TX, 128) = 0;
	for (uint32_t i = 0; i < FRAMES && !tap; i++)
		kernel.held[kernel.n_held++] = (uint64_t)i * FRAME_SIZE;

	worker.own_fd = memfd_create("own", MFD_CLOEXEC);
	assert_int_equal(ftruncate(worker.own_fd, OWN_SIZE), 0);
	worker.own =
		mmap(NULL, OWN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, worker.own_fd, 0);
	worker.umem = mmap(NULL, LENT_END, PROT_READ | PROT_WRITE, MAP_SHARED, kernel.umem_fd, 0);
	assert_true(worker.own != MAP_FAILED && worker.umem != MAP_FAILED);
	worker.account = (struct xdpd_account *)worker.own;
	worker.sequences = (uint32_t *)(worker.own + SEQUENCES_AT);
	worker.umem_read_fd = open_for_reading(kernel.umem_fd);
	worker.rings_read_fd = open_for_reading(kernel.rings_fd);
	worker.grant_length = sizeof(grant);

	grant.flags = flags;
	grant.n_fds = WORKER_FDS;
	grant.filled = FRAMES;
	grant.account = (struct xdpd_region){.fd = OWN_FD, .length = PAGE};
	grant.umem.flags = flags & XDPD_GRANT_WRITABLE ? 0 : XDPD_REGION_READ_ONLY;
	if (transmits) {
		grant.transmit = (struct xdpd_region){
			.fd = OWN_FD, .offset = TRANSMIT_AT, .length = OWN_FRAMES * FRAME_SIZE};
		grant.transmit_frames = OWN_FRAMES;
	}
	if (tap) {
		grant.rx.region.fd = RINGS_READ_FD;
		grant.rx.region.flags = XDPD_REGION_READ_ONLY;
		grant.rx.consumer = grant.rx.flags = UINT64_MAX;
		grant.sequences = (struct xdpd_region){.fd = OWN_FD,
						       .flags = XDPD_REGION_READ_ONLY,
						       .offset = SEQUENCES_AT,
						       .length = FRAMES * sizeof(uint32_t)};
	} else {
		grant.quota = 48;
	}
	memcpy(grant.group, "ids", 4);
	return grant;
}

static inline void script_shared(struct fake *it)
{
	const int fds[WORKER_FDS] = {it->grant.flags & XDPD_GRANT_WRITABLE ? kernel.umem_fd
									   : worker.umem_read_fd,
				     kernel.rings_fd, kernel.sockets[0], worker.own_fd,
				     worker.rings_read_fd};

	if (!welcome() || !expect(XDPD_ATTACH))
		return;
	say_with_fds(XDPD_GRANT, fake.in.header.id, &it->grant, worker.grant_length, fds,
		     WORKER_FDS);
	if (!start())
		return;
	post(&it->said);
	until_it_goes();
}

static inline void begin_shared_with(void (*script)(struct fake *), uint32_t flags, bool transmits,
				     uint32_t index)
{
	fds_before = count_fds();
	start_daemon(script, 0);
	fake.grant = make_worker(flags, transmits, index);
	run_daemon();
}

static inline void begin_shared(uint32_t flags, bool transmits)
{
	begin_shared_with(script_shared, flags, transmits, UINT32_MAX - 40);
}

static inline void end_shared(struct xdpd *x)
{
	xdpd_close(x);
	stop_daemon();
	munmap(worker.own, OWN_SIZE);
	munmap(worker.umem, LENT_END);
	close(worker.own_fd);
	close(worker.umem_read_fd);
	close(worker.rings_read_fd);
	remove_kernel();
	assert_int_equal(count_fds(), fds_before);
}

/* ---- what the worker does ---- */

static inline void take_return(uint64_t frame)
{
	if (frame >= FRAMES || !worker.is_lent[frame])
		fail_msg("frame %llu was given back and is not lent", (unsigned long long)frame);
	worker.is_lent[frame] = false;
	worker.n_lent--;
	kernel.held[kernel.n_held++] = frame * FRAME_SIZE;
}

/* Takes what came back; each has to be lent. Returns how many frames. */
static inline uint32_t take_returns(void)
{
	struct xdpd_ring *fill = &kernel.ring[FILL];
	const uint32_t entries = xdpd_ring_available(fill, fill->size), held = kernel.n_held;

	assert_true(xdpd_consumer_peer_is_sane(fill));
	for (uint32_t i = 0; i < entries; i++) {
		const uint64_t entry = *xdpd_ring_address(fill, fill->own + i);

		if (!(fake.grant.flags & XDPD_GRANT_RUNS) || !xdpd_is_run(entry)) {
			take_return(entry / FRAME_SIZE);
			continue;
		}
		assert_in_range(xdpd_run_count(entry), 1, XDPD_RUN_MAX);
		for (uint32_t k = 0; k < xdpd_run_count(entry); k++)
			take_return(worker.given[(xdpd_run_first(entry) + k) % FRAMES]);
	}
	xdpd_ring_advance(fill, entries);
	return kernel.n_held - held;
}

/* Lends up to `want` frames, whose first word is the number of the loan. */
static inline uint32_t lend(uint32_t want)
{
	struct xdpd_ring *rx = &kernel.ring[RX];
	uint32_t count = xdpd_ring_room(rx, want < kernel.n_held ? want : kernel.n_held);

	for (uint32_t i = 0; i < count; i++) {
		uint64_t frame = kernel.held[--kernel.n_held];
		uint32_t number = rx->own + i;

		worker.is_lent[frame / FRAME_SIZE] = true;
		worker.given[number % FRAMES] = (uint32_t)(frame / FRAME_SIZE);
		worker.n_lent++;
		memcpy(worker.umem + frame + 320, &number, sizeof(number));
		*xdpd_ring_desc(rx, rx->own + i) =
			(struct xdp_desc){.addr = frame + 320, .len = 60 + number % 64};
	}
	xdpd_ring_advance(rx, count);
	return count;
}

/* Bytes that woke the worker since the last time. */
static inline uint32_t take_knocks(void)
{
	char bytes[4096];
	ssize_t n = recv(kernel.sockets[1], bytes, sizeof(bytes), MSG_DONTWAIT);

	return n > 0 ? (uint32_t)n : 0;
}

/* As the worker does after it has published entries; `flags` is where the consumer says that it sleeps. */
static inline bool wake_sleeper(const uint32_t *flags)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(__atomic_load_n(flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP))
		return false;
	(void)!send(kernel.sockets[1], "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	return true;
}

static inline const uint32_t *sleep_flags(void)
{
	return fake.grant.flags & XDPD_GRANT_TAP ? &worker.account->flags : word_of(RX, 128);
}

/* ---- a tap's ring ---- */

static inline uint64_t word_of_number(uint32_t number)
{
	return (uint64_t)~number << 32 | number;
}

/* Fills a frame: the number before the bytes, all words alike, as the other side looks on. */
static inline void overwrite(uint32_t frame, uint32_t number, uint32_t offset, uint32_t length)
{
	uint64_t *words = (uint64_t *)(worker.umem + (size_t)frame * FRAME_SIZE + offset);

	__atomic_store_n(&worker.sequences[frame], number, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (uint32_t i = 0; i < (length + 7) / 8; i++)
		__atomic_store_n(&words[i], word_of_number(number), __ATOMIC_RELAXED);
}

static inline void put_entry(struct xdp_desc entry)
{
	struct xdpd_ring *rx = &kernel.ring[RX];
	struct xdp_desc *to = xdpd_ring_desc(rx, rx->own);

	__atomic_store_n(&to->addr, entry.addr, __ATOMIC_RELAXED);
	__atomic_store_n(&to->len, entry.len, __ATOMIC_RELAXED);
	__atomic_store_n(&to->options, entry.options, __ATOMIC_RELAXED);
	rx->own++;
}

static inline void publish_entries(void)
{
	xdpd_ring_advance(&kernel.ring[RX], 0);
	/* Before the next ones are written, which readers would take for these. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

#define TAP_OFFSET 320

/* Frames arrive in one burst, at most XDPD_TAP_BURST, each in the next frame of the UMEM. */
static inline void show(uint32_t count, uint32_t length)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t frame = (uint32_t)worker.next_frame;
		uint32_t number = ++worker.next_sequence;

		overwrite(frame, number, TAP_OFFSET, length);
		put_entry((struct xdp_desc){.addr = (uint64_t)frame * FRAME_SIZE + TAP_OFFSET,
					    .len = length,
					    .options = number});
		worker.next_frame = (worker.next_frame + 1) % (int)FRAMES;
	}
	publish_entries();
}

/* The number of a frame that was shown; 0 if not all of its bytes are of one. */
static inline uint32_t number_of(const struct xdpd *x, const struct xdp_desc *frame)
{
	const uint64_t *words = xdpd_frame(x, frame->addr);
	uint32_t number = (uint32_t)words[0];

	for (uint32_t i = 0; i < frame->len / 8; i++)
		if (words[i] != word_of_number(number))
			return 0;
	return number;
}

#endif
