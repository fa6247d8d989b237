// SPDX-License-Identifier: BSD-2-Clause
/*
 * handoff: the daemon's per-frame loop alone, on one CPU, between a kernel that always has frames and consumers in
 * other processes, which read each frame's first cache line and give it back.
 *
 *     CPU 0: kernel's rings, in plain memory <--> daemon/handoff.h        CPU 1, 2, ...: a consumer each
 *
 * The kernel's part runs on CPU 0 as well and is counted in: what is put into the fill ring is in the RX ring at once.
 */
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "bpf/xdpd_bpf.h"
#include "daemon/cleanup.h"
#include "daemon/handoff.h"
#include "tests/bench/loop.h"

/* As a queue has them that sets nothing, but for the kernel's RX ring: here all frames fit. */
#define FRAMES	   4096
#define FRAME_SIZE 4096
#define HEADROOM   256 /* XDP_PACKET_HEADROOM: where a frame begins */
#define RING	   2048
#define QUOTA	   1536 /* half of what can be lent */
#define LENGTH	   64

#define CONSUMERS_MAX 4
#define EPOCH	      7
#define ROUNDS	      64 /* of the loop, between two looks at the clock */

#define NSEC_PER_SEC 1000000000ull

struct index {
	uint32_t at;
} __attribute__((aligned(64)));

/* A member's two rings, and what it says of itself. */
struct shared_member {
	struct index rx_producer, rx_consumer, rx_flags;
	struct index fill_producer, fill_consumer, fill_flags;
	uint64_t frames __attribute__((aligned(64)));
	uint64_t seen; /* the sum of a tap's frames' first bytes: each was looked at */
	struct xdp_desc rx[RING] __attribute__((aligned(64)));
	uint64_t fill[FRAMES];
};

/* Mapped by all processes. */
struct shared {
	struct index stopped, ready;
	struct shared_member members[CONSUMERS_MAX];
	uint8_t umem[(size_t)FRAMES * FRAME_SIZE] __attribute__((aligned(4096)));
};

/* The kernel's side of its rings. */
struct kernel {
	struct xdp_desc rx[FRAMES];
	uint64_t fill[FRAMES];
	uint32_t rx_producer, rx_consumer, fill_producer, fill_consumer, flags;
	uint32_t sequences[FRAMES];
};

struct mode {
	const char *name, *meaning;
	uint32_t consumers, groups; /* as many members each, if there are more consumers */
	bool marked; /* groups and hash are read from the metadata before each frame */
	bool tap;    /* the last one is a tap */
	bool kept;   /* frames are taken out of the ring, and given back by their addresses */
};

struct figures {
	uint64_t taken, delivered, ring_full, quota;
	uint64_t nanoseconds;
};

static const struct mode modes[] = {
	{"one", "one group of one member", .consumers = 1, .groups = 1},
	{"kept", "likewise, frames given back by address", .consumers = 1, .groups = 1,
	 .kept = true},
	{"two", "two such groups", .consumers = 2, .groups = 2},
	{"three", "three", .consumers = 3, .groups = 3},
	{"four", "four", .consumers = 4, .groups = 4},
	{"tap", "one group, and a tap beside it", .consumers = 2, .groups = 2, .tap = true},
	{"marked", "one group, told by the metadata before each frame", 1, 1, .marked = true},
	{"members-2", "one group of two members, told likewise", 2, 1, .marked = true},
	{"members-4", "one group of four", 4, 1, .marked = true},
};

static struct kernel kernel;
static struct roster roster;
static const struct roster nobody;
static struct handoff_member members[CONSUMERS_MAX];
static uint32_t received[CONSUMERS_MAX][FRAMES] __attribute__((aligned(64)));

__attribute__((noreturn)) static void misused(void)
{
	(void)fprintf(stderr, "usage: handoff MODE SECONDS\n");
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		(void)fprintf(stderr, "  %-10s %s\n", modes[i].name, modes[i].meaning);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

/* ---- CPUs ---- */

struct cpus {
	int ids[1 + CONSUMERS_MAX];
	uint32_t n; /* that there are, and are needed */
};

static struct cpus find_cpus(uint32_t wanted)
{
	struct cpus cpus = {.n = 0};
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		receiver_die("can't tell the CPUs", errno);
	for (int cpu = 0; cpu < CPU_SETSIZE && cpus.n < wanted; cpu++)
		if (CPU_ISSET(cpu, &set))
			cpus.ids[cpus.n++] = cpu;
	if (cpus.n < 2)
		receiver_die("it needs 2 CPUs", EINVAL);
	return cpus;
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		receiver_die("can't stay on a CPU", errno);
}

/* ---- a consumer ---- */

/* Gives way to the others on its CPU when it has nothing to do. */
static void consume(struct shared *shared, struct shared_member *member, bool alone, bool keeps)
{
	struct receiver receiver = {0};
	struct xdpd x = {
		.umem = shared->umem,
		.frames = FRAMES,
		.frame_size = FRAME_SIZE,
		.frame_mask = ~(uint64_t)(FRAME_SIZE - 1),
		.takes_runs = true,
	};

	xdpd_ring_join(&x.rx, member->rx, RING, &member->rx_consumer.at, &member->rx_producer.at,
		       &member->rx_flags.at);
	xdpd_ring_join(&x.fill, member->fill, FRAMES, &member->fill_producer.at,
		       &member->fill_consumer.at, &member->fill_flags.at);
	(void)__atomic_fetch_add(&shared->ready.at, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&shared->stopped.at, __ATOMIC_RELAXED)) {
		if (xdpd_ring_available(&x.rx, 1)) {
			(void)(keeps ? xdpd_burst(&receiver, &x) : xdpd_peek_burst(&receiver, &x));
			__atomic_store_n(&member->frames, receiver.frames, __ATOMIC_RELAXED);
		} else if (!alone) {
			(void)sched_yield();
		}
	}
}

/*
 * A tap gives nothing back. It looks at the frames where they lie; the library's copies them, which is no matter of the
 * loop's. What it is too late for it passes over.
 */
static void look_on(struct shared *shared, struct shared_member *member, bool alone)
{
	struct xdpd_ring rx;
	uint64_t frames = 0, seen = 0;

	xdpd_ring_join(&rx, member->rx, RING, &member->rx_consumer.at, &member->rx_producer.at,
		       &member->rx_flags.at);
	(void)__atomic_fetch_add(&shared->ready.at, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&shared->stopped.at, __ATOMIC_RELAXED)) {
		uint32_t count = xdpd_ring_available(&rx, BURST);

		if (!count && !alone)
			(void)sched_yield();
		if (!xdpd_consumer_peer_is_sane(&rx)) {
			rx.own = rx.peer - BURST;
			continue;
		}
		for (uint32_t i = 0; i < count; i++)
			seen += shared->umem[__atomic_load_n(&xdpd_ring_desc(&rx, rx.own + i)->addr,
							     __ATOMIC_RELAXED)];
		rx.own += count;
		frames += count;
		__atomic_store_n(&member->frames, frames, __ATOMIC_RELAXED);
	}
	member->seen = seen;
}

/* Consumer i runs on CPU 1 + i, or, where there are fewer, on one of the others in turn. */
static void start_consumers(struct shared *shared, const struct cpus *cpus, const struct mode *mode)
{
	const uint32_t count = mode->consumers;
	const bool alone = cpus->n > count;

	for (uint32_t i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid < 0)
			receiver_die("can't start a consumer", errno);
		if (pid == 0) {
			run_on(cpus->ids[1 + i % (cpus->n - 1)]);
			if (mode->tap && i == count - 1)
				look_on(shared, &shared->members[i], alone);
			else
				consume(shared, &shared->members[i], alone, mode->kept);
			_exit(0);
		}
	}
	while (__atomic_load_n(&shared->ready.at, __ATOMIC_ACQUIRE) != count)
		(void)sched_yield();
}

static void stop_consumers(struct shared *shared)
{
	int status;

	__atomic_store_n(&shared->stopped.at, 1, __ATOMIC_RELAXED);
	while (wait(&status) > 0)
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			receiver_die("a consumer died", ECHILD);
}

/* ---- the kernel ---- */

/*
 * Each frame that it was given holds the next packet: of the entry only the address changes. Both rings have as many
 * entries and are at the same index.
 */
static inline void kernel_receive(void)
{
	uint32_t at = kernel.fill_consumer;

	while (at != kernel.fill_producer) {
		const uint32_t first = at % FRAMES, count = kernel.fill_producer - at;
		const uint32_t end = first + count < FRAMES ? first + count : FRAMES;

		for (uint32_t i = first; i < end; i++)
			kernel.rx[i].addr = kernel.fill[i] + HEADROOM;
		at += end - first;
	}
	kernel.fill_consumer = at;
	__atomic_store_n(&kernel.rx_producer, at, __ATOMIC_RELEASE);
}

/* What its part costs, per frame. */
static double kernel_cost(void)
{
	const uint32_t rounds = 100000;
	uint64_t start = now_ns();
	double cost;

	for (uint32_t i = 0; i < rounds; i++) {
		__atomic_store_n(&kernel.fill_producer, kernel.fill_producer + HANDOFF_BURST,
				 __ATOMIC_RELEASE);
		kernel_receive();
	}
	cost = (double)(now_ns() - start) / rounds / HANDOFF_BURST;
	kernel.rx_producer = kernel.fill_producer = kernel.fill_consumer = 0;
	return cost;
}

static void kernel_begin(struct handoff *ret, struct shared *shared)
{
	const struct handoff_memory memory = {
		.umem = shared->umem,
		.sequences = kernel.sequences,
		.frames = FRAMES,
		.receive_frames = FRAMES,
		.frame_size = FRAME_SIZE,
		.filled = FRAMES,
	};
	struct xdpd_ring rx, fill, none = {0};
	int r;

	for (uint32_t i = 0; i < FRAMES; i++) {
		const struct xdpd_metadata metadata = {
			.epoch = EPOCH,
			.groups = 1,
			.hash = i * 0x9e3779b1u,
		};
		uint8_t *frame = shared->umem + (size_t)i * FRAME_SIZE + HEADROOM;

		memcpy(frame - sizeof(metadata), &metadata, sizeof(metadata));
		memset(frame, (int)(i & 0xff), LENGTH);
		kernel.rx[i].len = LENGTH;
		kernel.fill[i] = (uint64_t)i * FRAME_SIZE;
	}
	kernel.fill_producer = FRAMES;
	xdpd_ring_join(&rx, kernel.rx, FRAMES, &kernel.rx_consumer, &kernel.rx_producer,
		       &kernel.flags);
	xdpd_ring_join(&fill, kernel.fill, FRAMES, &kernel.fill_producer, &kernel.fill_consumer,
		       &kernel.flags);
	r = handoff_init(ret, &memory, &rx, &fill, &none, &none);
	if (r < 0)
		receiver_die("can't begin", r);
}

/* ---- the daemon ---- */

/* Groups of one member each, or one group whose members have every n-th bucket. */
static void make_roster(const struct mode *mode)
{
	roster.generation = 1;
	roster.members = (UINT64_C(1) << mode->consumers) - 1;
	roster.unmarked = (UINT64_C(1) << mode->groups) - 1;
	roster.groups = (uint32_t)roster.unmarked;
	roster.taps = mode->tap ? UINT64_C(1) << (mode->consumers - 1) : 0;
	roster.classified = mode->marked;
	roster.epoch = EPOCH;
	for (uint32_t group = 0; group < mode->groups; group++)
		for (uint32_t i = 0; i < ROSTER_BUCKETS; i++)
			roster.choice[group][i] =
				(uint8_t)(mode->groups > 1 ? group : i % mode->consumers);
}

static void join_members(struct handoff *handoff, struct shared *shared, const struct mode *mode)
{
	make_roster(mode);
	for (uint32_t i = 0; i < mode->consumers; i++) {
		struct shared_member *theirs = &shared->members[i];

		xdpd_ring_join(&members[i].rx, theirs->rx, RING, &theirs->rx_producer.at,
			       &theirs->rx_consumer.at, &theirs->rx_flags.at);
		if (!(roster.taps >> i & 1))
			xdpd_ring_join(&members[i].fill, theirs->fill, FRAMES,
				       &theirs->fill_consumer.at, &theirs->fill_producer.at,
				       &theirs->fill_flags.at);
		members[i].received = received[i];
		members[i].quota = QUOTA;
		members[i].socket_fd = -1;
		roster.member[i] = &members[i];
	}
	handoff_adopt(handoff, &roster);
}

static struct figures count(const struct handoff *handoff, const struct shared *shared)
{
	struct figures figures = {.taken = handoff->counters.packets};

	for (uint32_t i = 0; i < CONSUMERS_MAX; i++) {
		figures.delivered += __atomic_load_n(&shared->members[i].frames, __ATOMIC_RELAXED);
		figures.ring_full += members[i].counters.dropped_ring_full;
		figures.quota += members[i].counters.dropped_quota;
	}
	figures.nanoseconds = now_ns();
	return figures;
}

static void run_for(struct handoff *handoff, double seconds)
{
	const uint64_t end = now_ns() + (uint64_t)(seconds * (double)NSEC_PER_SEC);

	do {
		for (int i = 0; i < ROUNDS; i++) {
			kernel_receive();
			(void)handoff_run(handoff);
		}
	} while (now_ns() < end);
}

/* No consumer broke a rule, and when they have gone no frame is missing. */
static void check_ledger(struct handoff *handoff)
{
	uint32_t places[XDPD_PLACE_COUNT];

	if (handoff->violated)
		receiver_die("a consumer was ejected", EPROTO);
	handoff_adopt(handoff, &nobody);
	handoff_places(handoff, places);
	if (places[XDPD_PLACE_KERNEL] + places[XDPD_PLACE_FREE] != FRAMES)
		receiver_die("frames are missing", EPROTO);
}

static void print(const struct mode *mode, const struct cpus *cpus, const struct figures *from,
		  const struct figures *to)
{
	const uint64_t drops = to->ring_full - from->ring_full + to->quota - from->quota;

	(void)printf("taken     %llu\ndelivered %llu\ndropped   %llu\nseconds   %.6f\n",
		     (unsigned long long)(to->taken - from->taken),
		     (unsigned long long)(to->delivered - from->delivered),
		     (unsigned long long)drops,
		     (double)(to->nanoseconds - from->nanoseconds) / (double)NSEC_PER_SEC);
	(void)printf("consumers %u on %u CPU%s\n", mode->consumers, cpus->n - 1,
		     cpus->n > 2 ? "s" : "");
}

int main(int argc, char **argv)
{
	const struct mode *mode = NULL;
	struct figures from, to;
	struct shared *shared;
	struct handoff handoff;
	double seconds = argc == 3 ? strtod(argv[2], NULL) : 0;
	struct cpus cpus;

	for (size_t i = 0; argc == 3 && i < sizeof(modes) / sizeof(*modes); i++)
		if (!strcmp(argv[1], modes[i].name))
			mode = &modes[i];
	if (!mode || !(seconds > 0))
		misused();
	cpus = find_cpus(1 + mode->consumers);
	run_on(cpus.ids[0]);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (shared == MAP_FAILED)
		receiver_die("no memory", errno);
	(void)printf("kernel_ns %.2f\n", kernel_cost());
	(void)fflush(stdout);
	start_consumers(shared, &cpus, mode);
	kernel_begin(&handoff, shared);
	join_members(&handoff, shared, mode);
	run_for(&handoff, 0.05);
	from = count(&handoff, shared);
	run_for(&handoff, seconds);
	to = count(&handoff, shared);
	stop_consumers(shared);
	check_ledger(&handoff);
	print(mode, &cpus, &from, &to);
	handoff_clear(&handoff);
	return 0;
}
