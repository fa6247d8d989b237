/* SPDX-License-Identifier: BSD-2-Clause */
/* A socket of queue 0 by libxdp, with its own XDP program and default sizes. */
#ifndef TESTS_BENCH_PEERS_SOCKET_H
#define TESTS_BENCH_PEERS_SOCKET_H

#include <errno.h>
#include <linux/if_link.h>
#include <poll.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/bench/peers/loop.h"

#define FRAMES	   4096 /* as many as an xdpd queue has by default */
#define FRAME_SIZE XSK_UMEM__DEFAULT_FRAME_SIZE
#define FILL_SIZE  XSK_RING_PROD__DEFAULT_NUM_DESCS /* frames from 0 on */

struct libxdp {
	struct libxdp_rings rings;
	struct xsk_umem *umem;
	struct xsk_socket *socket;
};

static inline void fill_all(struct xsk_ring_prod *fill)
{
	uint32_t at = 0;

	if (xsk_ring_prod__reserve(fill, FILL_SIZE, &at) != FILL_SIZE)
		receiver_die("the fill ring is too small", ENOSPC);
	for (uint32_t i = 0; i < FILL_SIZE; i++)
		*xsk_ring_prod__fill_addr(fill, at + i) = (uint64_t)i * FRAME_SIZE;
	xsk_ring_prod__submit(fill, FILL_SIZE);
}

/* The kernel releases a queue some milliseconds after its last socket's end. */
#define BUSY_FIRST_MS 1
#define BUSY_LAST_MS  1024 /* doubled each time up to there: 2 s together */

/*
 * `ret` stays where it is: libxdp keeps the places of its rings. Returns 0, or -EBUSY (and nothing is open) if the queue is
 * taken.
 */
static inline int libxdp_try_open(struct libxdp *ret, const struct receiver *receiver,
				  int transmits)
{
	const struct xsk_socket_config config = {
		.rx_size = XSK_RING_CONS__DEFAULT_NUM_DESCS,
		.tx_size = XSK_RING_PROD__DEFAULT_NUM_DESCS,
		.xdp_flags = XDP_FLAGS_DRV_MODE | XDP_FLAGS_UPDATE_IF_NOEXIST,
		.bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP,
	};
	const size_t size = (size_t)FRAMES * FRAME_SIZE;
	struct libxdp_rings *rings = &ret->rings;
	int r;

	*ret = (struct libxdp){0};
	rings->umem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (rings->umem == MAP_FAILED)
		receiver_die("no memory", errno);
	r = xsk_umem__create(&ret->umem, rings->umem, size, &rings->fill, &rings->completion, NULL);
	if (r < 0)
		receiver_die("can't make the UMEM", r);
	fill_all(&rings->fill);
	r = xsk_socket__create(&ret->socket, receiver->device, 0, ret->umem, &rings->rx,
			       transmits ? &rings->tx : NULL, &config);
	if (r == -EBUSY) {
		(void)xsk_umem__delete(ret->umem);
		(void)munmap(rings->umem, size);
		return r;
	}
	if (r < 0)
		receiver_die("can't make the socket", r);
	rings->fd = xsk_socket__fd(ret->socket);
	return 0;
}

/* The same, with patience for the queue's last user. */
static inline void libxdp_open(struct libxdp *ret, const struct receiver *receiver, int transmits)
{
	unsigned int ms = BUSY_FIRST_MS;

	while (libxdp_try_open(ret, receiver, transmits) < 0) {
		const struct timespec pause = {.tv_sec = ms / 1000,
					       .tv_nsec = (long)(ms % 1000) * 1000000};

		if (ms > BUSY_LAST_MS)
			receiver_die("can't make the socket", EBUSY);
		(void)nanosleep(&pause, NULL);
		ms *= 2;
	}
}

static inline void libxdp_close(struct libxdp *libxdp)
{
	xsk_socket__delete(libxdp->socket);
	(void)xsk_umem__delete(libxdp->umem);
	(void)munmap(libxdp->rings.umem, (size_t)FRAMES * FRAME_SIZE);
}

static inline void libxdp_wait(const struct libxdp *libxdp)
{
	struct pollfd readable = {.fd = libxdp->rings.fd, .events = POLLIN};

	(void)poll(&readable, 1, WAIT_MS);
}

#endif
