/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a receiver of numbered frames (traffic -N) leaves in a file of what came when, which outlives it: another
 * process, also one that was started in its place, goes on with it, and `gap` looks at it meanwhile.
 *
 *     n, frames | burst 0 | burst 1 | ... | burst n - 1 |
 */
#ifndef TESTS_BENCH_ARRIVALS_H
#define TESTS_BENCH_ARRIVALS_H

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/cleanup.h"
#include "tests/bench/clock.h"
#include "tests/bench/receiver.h"
#include "tests/live/packet.h"

#define ARRIVALS_MAX (UINT64_C(1) << 20)

struct arrival {
	uint64_t at;	 /* when the burst was in hand, by clock_now() */
	uint64_t number; /* of its last frame */
	uint64_t frames; /* that have come so far, with these */
};

struct arrivals {
	uint64_t n; /* stored with release, when the burst is there */
	uint64_t frames;
	struct arrival burst[ARRIVALS_MAX];
};

static inline struct arrivals *arrivals_open(const char *path)
{
	cleanup_fd int fd = open(path, O_RDWR | O_CLOEXEC);
	struct arrivals *arrivals;

	if (fd < 0 || ftruncate(fd, sizeof(*arrivals)) < 0)
		receiver_die(path, errno);
	arrivals = mmap(NULL, sizeof(*arrivals), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (arrivals == MAP_FAILED)
		receiver_die(path, errno);
	return arrivals;
}

static inline uint64_t arrivals_count(const struct arrivals *arrivals)
{
	return __atomic_load_n(&arrivals->n, __ATOMIC_ACQUIRE);
}

/* A burst, with its last frame. */
static inline void arrivals_add(struct arrivals *arrivals, uint32_t frames, const void *last)
{
	const uint64_t n = arrivals->n;
	uint64_t number;

	if (n == ARRIVALS_MAX)
		receiver_die("the file of arrivals is full", ENOSPC);
	memcpy(&number, (const uint8_t *)last + PACKET_UDP_PAYLOAD, sizeof(number));
	arrivals->frames += frames;
	arrivals->burst[n] = (struct arrival){
		.at = clock_now(), .number = be64toh(number), .frames = arrivals->frames};
	__atomic_store_n(&arrivals->n, n + 1, __ATOMIC_RELEASE);
}

#endif
