// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/traffic.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "daemon/cleanup.h"
#include "tests/live/child.h"
#include "tests/live/instructions.h"
#include "tests/live/netns.h"

#define SECOND	     1000000000ULL
#define HEADER_BYTES 64 /* written anew each time: a receiver may have changed the recycled frame */
#define BURST_MAX    65536 /* at full speed: how often `stop` is looked at */
#define PACE	     (SECOND / 1000)
#define SINGLY_PACE  (SECOND / 20)
#define SINGLY_MIN \
	20000 /* frames a second: what SINGLY_LOOKS at the clock, of 7 ns and more, are enough for */
#define SINGLY_LOOKS \
	8000 /* the verifier follows no more than 8192 [BPF_COMPLEXITY_LIMIT_JMP_SEQ] */

/* The only element of the program's map, in memory that both sides see. */
struct state {
	uint64_t number;
	uint64_t due, gap; /* singly: when the next may be sent, and how long after it one more */
	uint8_t header[HEADER_BYTES];
};

struct source {
	int map;
	int program;
	int aside; /* a namespace, see attach_aside() */
	int link;
	struct state *state;
	char counter[32]; /* ethtool's name for the frames that enter the peer's ring */
	cpu_set_t affinity;
};

/* ---- the program ---- */

struct assembler {
	struct bpf_insn insns[128];
	size_t count;
};

static void emit(struct assembler *out, const struct bpf_insn *insns, size_t count)
{
	for (size_t i = 0; i < count; i++)
		out->insns[out->count++] = insns[i];
}

#define EMIT(out, ...)                                    \
	emit(out, (const struct bpf_insn[]){__VA_ARGS__}, \
	     sizeof((const struct bpf_insn[]){__VA_ARGS__}) / sizeof(struct bpf_insn))

/* r2 = frame, r7 = state */
static void emit_header(struct assembler *out, size_t length)
{
	static const struct {
		int bytes, size;
	} steps[] = {{8, BPF_DW}, {4, BPF_W}, {2, BPF_H}, {1, BPF_B}};
	int at = 0;

	for (size_t i = 0; i < 4; i++) {
		for (; at + steps[i].bytes <= (int)length; at += steps[i].bytes)
			EMIT(out,
			     LOAD(steps[i].size, 0, 7, (int)offsetof(struct state, header) + at),
			     STORE(steps[i].size, 2, 0, at));
	}
}

/*
 * r7 = state. Waits until the frame is due. Who is late by less than a gap is on time; time lost to others is not made
 * up for.
 */
static void emit_wait(struct assembler *out)
{
	EMIT(out, LOAD(BPF_DW, 9, 7, offsetof(struct state, due)), MOVE_IMM(8, SINGLY_LOOKS),
	     CALL(BPF_FUNC_ktime_get_ns), JUMP(BPF_JGE, 0, 9, 2), ALU_IMM(BPF_SUB, 8, 1),
	     JUMP_IMM(BPF_JNE, 8, 0, -4));
	EMIT(out, LOAD(BPF_DW, 1, 7, offsetof(struct state, gap)), ALU(BPF_ADD, 9, 1),
	     JUMP(BPF_JGT, 9, 0, 1), MOVE(9, 0), STORE(BPF_DW, 7, 9, offsetof(struct state, due)));
}

/* Where the source port lies; 0 if the frame has none. */
static uint32_t source_port_at(const uint8_t *frame, size_t length)
{
	uint32_t at = 0;

	if (length < ETH_HLEN + 20)
		return 0;
	if (frame[12] == 0x08 && frame[13] == 0x00)
		at = ETH_HLEN + 4 * (frame[ETH_HLEN] & 15);
	else if (frame[12] == 0x86 && frame[13] == 0xdd)
		at = ETH_HLEN + 40;
	return at && at + 2 <= length ? at : 0;
}

static bool waits_in_program(const struct traffic_options *options)
{
	return options->singly && options->rate >= SINGLY_MIN;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static int load(const struct traffic_options *options, int map, unsigned int ifindex)
{
	const uint8_t *frame = options->frame;
	uint32_t port_at = options->flows > 1 ? source_port_at(frame, options->length) : 0;
	uint32_t number_end = options->number_at ? options->number_at + 8 : 0;
	uint32_t time_end = options->time_at ? options->time_at + 8 : 0;
	size_t header = options->length < HEADER_BYTES ? options->length : HEADER_BYTES;
	uint32_t touched = larger(larger((uint32_t)header, number_end), time_end);
	struct assembler out = {0};

	EMIT(&out, MOVE(6, 1), LOAD_MAP_VALUE(7, map));
	if (waits_in_program(options))
		emit_wait(&out);
	if (options->time_at)
		EMIT(&out, CALL(BPF_FUNC_ktime_get_ns), MOVE(8, 0), TO_BIG_ENDIAN(8, 64));
	EMIT(&out, LOAD(BPF_W, 2, 6, offsetof(struct xdp_md, data)),
	     LOAD(BPF_W, 3, 6, offsetof(struct xdp_md, data_end)), MOVE(4, 2),
	     ALU_IMM(BPF_ADD, 4, (int)touched), JUMP(BPF_JLE, 4, 3, 2), MOVE_IMM(0, XDP_ABORTED),
	     EXIT());
	emit_header(&out, header);
	/* One program runs on one CPU: a plain increment does. r1 = this frame's number */
	EMIT(&out, LOAD(BPF_DW, 1, 7, offsetof(struct state, number)), MOVE(5, 1),
	     ALU_IMM(BPF_ADD, 5, 1), STORE(BPF_DW, 7, 5, offsetof(struct state, number)));
	if (options->number_at)
		EMIT(&out, MOVE(5, 1), TO_BIG_ENDIAN(5, 64),
		     STORE(BPF_DW, 2, 5, (int)options->number_at));
	if (options->time_at)
		EMIT(&out, STORE(BPF_DW, 2, 8, (int)options->time_at));
	if (port_at)
		EMIT(&out, MOVE(5, 1), ALU_IMM(BPF_MOD, 5, (int)options->flows),
		     ALU_IMM(BPF_ADD, 5, frame[port_at] << 8 | frame[port_at + 1]),
		     TO_BIG_ENDIAN(5, 16), STORE(BPF_H, 2, 5, (int)port_at));
	EMIT(&out, MOVE_IMM(1, (int)ifindex), MOVE_IMM(2, 0), CALL(BPF_FUNC_redirect), EXIT());
	return bpf_prog_load(BPF_PROG_TYPE_XDP, "traffic", "GPL", out.insns, out.count, NULL);
}

/* ---- the source ---- */

static void source_close(struct source *source)
{
	if (CPU_COUNT(&source->affinity))
		(void)sched_setaffinity(0, sizeof(source->affinity), &source->affinity);
	if (source->state)
		(void)munmap(source->state, sizeof(*source->state));
	source->link = close_fd(source->link);
	source->aside = close_fd(source->aside);
	source->program = close_fd(source->program);
	source->map = close_fd(source->map);
}

static int pin(struct source *source, int cpu)
{
	cpu_set_t before, only;

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return -EINVAL;
	CPU_ZERO(&only);
	CPU_SET(cpu, &only);
	if (sched_getaffinity(0, sizeof(before), &before) < 0 ||
	    sched_setaffinity(0, sizeof(only), &only) < 0)
		return -errno;
	source->affinity = before;
	return 0;
}

/* The veth's queue that redirected frames of this CPU are counted for. */
static int find_counter(struct source *source, const char *device, int cpu)
{
	unsigned int queues = 0;
	uint64_t value;
	int r;

	for (;; queues++) {
		(void)snprintf(source->counter, sizeof(source->counter), "tx_queue_%u_xdp_xmit",
			       queues);
		r = device_statistic(device, source->counter, &value);
		if (r < 0)
			break;
	}
	if (r != -ENOENT)
		return r;
	if (queues == 0)
		return -EOPNOTSUPP;
	(void)snprintf(source->counter, sizeof(source->counter), "tx_queue_%u_xdp_xmit",
		       (unsigned int)cpu % queues);
	return 0;
}

/*
 * Each BPF_PROG_TEST_RUN of a program that is attached nowhere changes the kernel's XDP dispatcher twice,
 * and waits some 30 ms for it [kernel/bpf/dispatcher.c]. So it is attached, where no frame ever comes by: to
 * lo of a namespace in which nobody is.
 */
static int attach_aside(struct source *source)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_SKB_MODE);
	cleanup_fd int here = netns_current();
	int r;

	if (here < 0)
		return here;
	source->aside = netns_new();
	if (source->aside < 0)
		return source->aside;
	r = netns_enter(source->aside);
	if (r < 0)
		return r;
	source->link =
		bpf_link_create(source->program, (int)if_nametoindex("lo"), BPF_XDP, &options);
	r = source->link < 0 ? -errno : 0;
	if (netns_enter(here) < 0)
		abort();
	return r;
}

static int check(const struct traffic_options *options)
{
	if (!options->frame || options->length < ETH_HLEN || options->flows > 65536)
		return -EINVAL;
	if (options->number_at &&
	    (options->number_at < ETH_HLEN || options->number_at + 8 > options->length))
		return -EINVAL;
	if (options->time_at &&
	    (options->time_at < ETH_HLEN || options->time_at + 8 > options->length))
		return -EINVAL;
	if (options->flows > 1 && !source_port_at(options->frame, options->length))
		return -EINVAL;
	return 0;
}

static int source_open(struct source *source, const struct traffic_options *options)
{
	LIBBPF_OPTS(bpf_map_create_opts, map_options, .map_flags = BPF_F_MMAPABLE);
	unsigned int ifindex = if_nametoindex(options->device);
	void *memory;
	int r;

	if (!ifindex)
		return -errno;
	r = find_counter(source, options->device, options->cpu);
	if (r < 0)
		return r;
	source->map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "traffic", sizeof(uint32_t),
				     sizeof(struct state), 1, &map_options);
	if (source->map < 0)
		return -errno;
	memory = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, source->map,
		      0);
	if (memory == MAP_FAILED)
		return -errno;
	source->state = memory;
	source->state->number = options->first_number;
	source->state->gap = waits_in_program(options) ? SECOND / options->rate : 0;
	memcpy(source->state->header, options->frame,
	       options->length < HEADER_BYTES ? options->length : HEADER_BYTES);
	source->program = load(options, source->map, ifindex);
	if (source->program < 0)
		return -errno;
	r = attach_aside(source);
	return r < 0 ? r : pin(source, options->cpu);
}

static uint64_t now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static void sleep_until(uint64_t when)
{
	const struct timespec time = {.tv_sec = (time_t)(when / SECOND),
				      .tv_nsec = (long)(when % SECOND)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
		;
}

static uint64_t attempted(const struct source *source, const struct traffic_options *options)
{
	return __atomic_load_n(&source->state->number, __ATOMIC_RELAXED) - options->first_number;
}

/*
 * One system call: the kernel runs the program `count` times in batches of 64, or of 1, and lets the receiver's NAPI
 * run after each, so the peer's ring does not fill up by the size of a burst alone.
 */
static int burst(const struct source *source, const struct traffic_options *options, uint32_t count)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = options->frame,
		    .data_size_in = (uint32_t)options->length, .repeat = (int)count,
		    .batch_size = options->singly, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

	if (bpf_prog_test_run_opts(source->program, &run) == 0 || errno == EINTR)
		return 0;
	return errno == EINVAL && options->length > 3000 ? -EMSGSIZE : -errno;
}

/* Each system call makes its frames anew, which takes time in which none is sent: of those that wait there are few. */
static uint64_t frames_per_burst(const struct traffic_options *options)
{
	const uint64_t pace = waits_in_program(options) ? SINGLY_PACE : PACE;
	const uint64_t frames =
		options->rate ? (options->rate * pace + SECOND - 1) / SECOND : BURST_MAX;

	if (options->singly && options->rate && !waits_in_program(options))
		return 1;
	return frames < BURST_MAX ? frames : BURST_MAX;
}

/* `seen`, if any, is kept up to date with the frames attempted. */
static int transmit(const struct source *source, const struct traffic_options *options,
		    uint64_t *seen)
{
	const uint64_t per_burst = frames_per_burst(options);
	uint64_t next = now();

	for (;;) {
		uint64_t done = attempted(source, options);
		uint64_t count = per_burst;
		int r;

		if (seen)
			__atomic_store_n(seen, done, __ATOMIC_RELAXED);
		if (options->count && done >= options->count)
			return 0;
		if (options->stop && __atomic_load_n(options->stop, __ATOMIC_RELAXED))
			return 0;
		if (options->count && count > options->count - done)
			count = options->count - done;
		if (options->rate && !waits_in_program(options)) {
			uint64_t time = now();

			/* Time lost to others is not made up for: that would be faster than the rate. */
			if (next < time)
				next = time;
			sleep_until(next);
			next += count * SECOND / options->rate;
		}
		r = burst(source, options, (uint32_t)count);
		if (r < 0)
			return r;
	}
}

static int send_counting(const struct traffic_options *options, struct traffic_result *ret,
			 uint64_t *seen)
{
	__attribute__((cleanup(source_close))) struct source source = {
		.map = -1, .program = -1, .aside = -1, .link = -1};
	uint64_t before, after, start;
	int r = check(options);

	if (r < 0)
		return r;
	CPU_ZERO(&source.affinity);
	r = source_open(&source, options);
	if (r < 0)
		return r;
	r = device_statistic(options->device, source.counter, &before);
	if (r < 0)
		return r;
	start = now();
	r = transmit(&source, options, seen);
	if (r < 0)
		return r;
	*ret = (struct traffic_result){
		.attempted = attempted(&source, options),
		.nanoseconds = now() - start,
	};
	r = device_statistic(options->device, source.counter, &after);
	if (r < 0)
		return r;
	ret->sent = after - before;
	ret->lost = ret->attempted - ret->sent;
	return 0;
}

int traffic_send(const struct traffic_options *options, struct traffic_result *ret)
{
	struct traffic_result result;
	int r = send_counting(options, &result, NULL);

	if (r == 0)
		*ret = result;
	return r;
}

/* ---- in the background ---- */

/* Shared with the child. */
struct traffic {
	struct child *child;
	struct traffic_options options;
	struct traffic_result result;
	bool stop;
	int r;
	uint8_t frame[4096];
	char device[IFNAMSIZ];
};

static int send_in_child(void *argument)
{
	struct traffic *traffic = argument;

	traffic->r = send_counting(&traffic->options, &traffic->result, &traffic->result.attempted);
	return 0;
}

int traffic_start(struct traffic **ret, const struct traffic_options *options)
{
	struct traffic *traffic;
	int r = check(options);

	if (r < 0)
		return r;
	if (options->length > sizeof(traffic->frame))
		return -EMSGSIZE;
	traffic = mmap(NULL, sizeof(*traffic), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (traffic == MAP_FAILED)
		return -errno;
	memcpy(traffic->frame, options->frame, options->length);
	(void)snprintf(traffic->device, sizeof(traffic->device), "%s", options->device);
	traffic->options = *options;
	traffic->options.frame = traffic->frame;
	traffic->options.device = traffic->device;
	traffic->options.stop = &traffic->stop;
	traffic->r = -ECHILD; /* until it says otherwise */
	r = child_start(&traffic->child,
			&(struct child_options){.call = send_in_child, .argument = traffic});
	if (r < 0)
		(void)munmap(traffic, sizeof(*traffic));
	else
		*ret = traffic;
	return r;
}

void traffic_so_far(const struct traffic *traffic, struct traffic_result *ret)
{
	*ret = (struct traffic_result){
		.attempted = __atomic_load_n(&traffic->result.attempted, __ATOMIC_RELAXED)};
}

bool traffic_is_sending(const struct traffic *traffic)
{
	return child_is_alive(traffic->child);
}

int traffic_finish(struct traffic *traffic, int timeout_ms, struct traffic_result *ret)
{
	int ended = child_wait(traffic->child, timeout_ms);
	int r = traffic_stop(traffic, ret);

	return r == 0 && ended < 0 ? ended : r;
}

int traffic_stop(struct traffic *traffic, struct traffic_result *ret)
{
	int r;

	__atomic_store_n(&traffic->stop, true, __ATOMIC_RELAXED);
	(void)child_wait(traffic->child, 5000);
	(void)child_end(traffic->child);
	r = traffic->r;
	if (r == 0 && ret)
		*ret = traffic->result;
	(void)munmap(traffic, sizeof(*traffic));
	return r;
}

int traffic_probe(void)
{
	const struct bpf_insn program[] = {MOVE_IMM(0, XDP_DROP), EXIT()};
	uint8_t frame[ETH_ZLEN] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = 1, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
	cleanup_fd int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "probe", "GPL", program, 2, NULL);

	if (fd < 0 || bpf_prog_test_run_opts(fd, &run) < 0)
		return -errno;
	return 0;
}
