// SPDX-License-Identifier: BSD-2-Clause
/*
 * rte-ring: DPDK's ring between two processes, each on a CPU of its own: one producer, one consumer, 32 entries at a
 * time. Nobody reads what they point to, and who finds no room waits for it.
 *
 *     one-way    bare pointers, and nothing comes back
 *     both-ways  as many bytes as a frame takes in AF_XDP's rings, and in xdpd's where it is kept: 16 out, 8 back
 *
 * Says what tests/bench/handoff.c says.
 */
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "tests/bench/receiver.h"

#define RING  4096 /* entries; one less can be used */
#define BULK  32
#define FRAME 4096
#define LOOPS 1024 /* of the consumer, between two looks at the clock */

#define NSEC_PER_SEC 1000000000ull

struct entry {
	uint64_t address, length;
};

/* A ring whose entries lie behind it. */
struct way {
	_Alignas(64) struct rte_ring ring;
	struct entry entries[RING];
};

struct shared {
	_Alignas(64) uint32_t stopped;
	struct way out, back;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

/* The n-th CPU of those in `may`. */
static void run_on(int n, const cpu_set_t *may)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, may) && n-- == 0)
			CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		receiver_die("can't stay on a CPU", errno);
}

static bool is_stopped(const struct shared *shared)
{
	return __atomic_load_n(&shared->stopped, __ATOMIC_RELAXED);
}

static void produce_one_way(struct shared *shared)
{
	void *pointers[BULK];

	for (uintptr_t i = 0; i < BULK; i++)
		pointers[i] = (void *)((i + 1) * FRAME);
	while (!is_stopped(shared))
		(void)rte_ring_sp_enqueue_bulk(&shared->out.ring, pointers, BULK, NULL);
}

static void produce_both_ways(struct shared *shared)
{
	struct entry entries[BULK];
	void *pointers[BULK];

	for (uint64_t i = 0; i < BULK; i++)
		entries[i] = (struct entry){.address = (i + 1) * FRAME, .length = 64};
	while (!is_stopped(shared)) {
		(void)rte_ring_sc_dequeue_bulk(&shared->back.ring, pointers, BULK, NULL);
		__asm__ volatile("" : : "r"(pointers) : "memory");
		(void)rte_ring_sp_enqueue_bulk_elem(&shared->out.ring, entries, sizeof(*entries),
						    BULK, NULL);
	}
}

static pid_t start_producer(struct shared *shared, bool both_ways, const cpu_set_t *may)
{
	pid_t pid = fork();

	if (pid < 0)
		receiver_die("can't start the producer", errno);
	if (pid == 0) {
		run_on(0, may);
		if (both_ways)
			produce_both_ways(shared);
		else
			produce_one_way(shared);
		_exit(0);
	}
	return pid;
}

static inline uint32_t consume_one_way(struct shared *shared)
{
	void *pointers[BULK];
	uint32_t n = rte_ring_sc_dequeue_bulk(&shared->out.ring, pointers, BULK, NULL);

	__asm__ volatile("" : : "r"(pointers) : "memory");
	return n;
}

static inline uint32_t consume_both_ways(struct shared *shared)
{
	struct entry entries[BULK];
	void *pointers[BULK];
	uint32_t n = rte_ring_sc_dequeue_bulk_elem(&shared->out.ring, entries, sizeof(*entries),
						   BULK, NULL);

	if (!n)
		return 0;
	for (uint32_t i = 0; i < BULK; i++)
		pointers[i] = (void *)(uintptr_t)entries[i].address;
	while (!rte_ring_sp_enqueue_bulk(&shared->back.ring, pointers, BULK, NULL))
		;
	return n;
}

static uint64_t consume_for(struct shared *shared, bool both_ways, double seconds)
{
	const uint64_t end = now_ns() + (uint64_t)(seconds * (double)NSEC_PER_SEC);
	uint64_t taken = 0;

	do {
		for (int i = 0; i < LOOPS; i++)
			taken += both_ways ? consume_both_ways(shared) : consume_one_way(shared);
	} while (now_ns() < end);
	return taken;
}

static struct shared *make_rings(void)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (shared == MAP_FAILED)
		receiver_die("no memory", errno);
	if (rte_ring_init(&shared->out.ring, "out", RING, RING_F_SP_ENQ | RING_F_SC_DEQ) < 0 ||
	    rte_ring_init(&shared->back.ring, "back", RING, RING_F_SP_ENQ | RING_F_SC_DEQ) < 0)
		receiver_die("no ring", EINVAL);
	return shared;
}

int main(int argc, char **argv)
{
	const double seconds = argc == 3 ? strtod(argv[2], NULL) : 0;
	const bool both_ways = argc == 3 && !strcmp(argv[1], "both-ways");
	struct shared *shared;
	uint64_t start, taken;
	pid_t producer;
	cpu_set_t may;

	if (!(seconds > 0) || (!both_ways && strcmp(argv[1], "one-way") != 0)) {
		(void)fprintf(stderr, "usage: rte-ring one-way|both-ways SECONDS\n");
		return 1;
	}
	if (sched_getaffinity(0, sizeof(may), &may) < 0 || CPU_COUNT(&may) < 2)
		receiver_die("it needs 2 CPUs", EINVAL);
	shared = make_rings();
	producer = start_producer(shared, both_ways, &may);
	run_on(1, &may);
	(void)consume_for(shared, both_ways, 0.05);
	start = now_ns();
	taken = consume_for(shared, both_ways, seconds);
	(void)printf("taken     %llu\ndelivered %llu\ndropped   0\nseconds   %.6f\n",
		     (unsigned long long)taken, (unsigned long long)taken,
		     (double)(now_ns() - start) / (double)NSEC_PER_SEC);
	__atomic_store_n(&shared->stopped, 1, __ATOMIC_RELAXED);
	(void)waitpid(producer, NULL, 0);
	return 0;
}
