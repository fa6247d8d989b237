// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/sink.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "daemon/cleanup.h"
#include "tests/live/instructions.h"

#define QUEUES 64 /* those above share the last slot */

struct tally {
	uint64_t frames, bytes;
};

struct sink {
	int link;
	const struct tally *queues; /* the map's memory */
};

static int load(int map, enum xdp_action verdict)
{
	const struct bpf_insn program[] = {
		LOAD(BPF_W, 2, 1, offsetof(struct xdp_md, data)),
		LOAD(BPF_W, 3, 1, offsetof(struct xdp_md, data_end)),
		ALU(BPF_SUB, 3, 2), /* r3 = bytes */
		LOAD(BPF_W, 2, 1, offsetof(struct xdp_md, rx_queue_index)),
		JUMP_IMM(BPF_JLT, 2, QUEUES, 1),
		MOVE_IMM(2, QUEUES - 1),
		ALU_IMM(BPF_MUL, 2, sizeof(struct tally)),
		LOAD_MAP_VALUE(1, map),
		ALU(BPF_ADD, 1, 2), /* r1 = the queue's tally */
		MOVE_IMM(2, 1),
		ATOMIC_ADD(1, 2, offsetof(struct tally, frames)),
		ATOMIC_ADD(1, 3, offsetof(struct tally, bytes)),
		MOVE_IMM(0, verdict),
		EXIT(),
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "sink", "GPL", program,
			     sizeof(program) / sizeof(program[0]), NULL);
}

int sink_attach(struct sink **ret, const char *device, enum xdp_action verdict)
{
	LIBBPF_OPTS(bpf_map_create_opts, map_options, .map_flags = BPF_F_MMAPABLE);
	LIBBPF_OPTS(bpf_link_create_opts, link_options, .flags = XDP_FLAGS_DRV_MODE);
	unsigned int ifindex = if_nametoindex(device);
	cleanup_free struct sink *sink = NULL;
	cleanup_fd int map = -1, program = -1, link = -1;
	void *memory;

	if (!ifindex)
		return -errno;
	sink = calloc(1, sizeof(*sink));
	if (!sink)
		return -ENOMEM;
	map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "sink", sizeof(uint32_t),
			     QUEUES * sizeof(struct tally), 1, &map_options);
	if (map < 0)
		return -errno;
	program = load(map, verdict);
	if (program < 0)
		return -errno;
	link = bpf_link_create(program, ifindex, BPF_XDP, &link_options);
	if (link < 0)
		return -errno;
	memory = mmap(NULL, QUEUES * sizeof(struct tally), PROT_READ, MAP_SHARED, map, 0);
	if (memory == MAP_FAILED)
		return -errno;

	sink->queues = memory;
	sink->link = TAKE_FD(link);
	*ret = TAKE_PTR(sink);
	return 0;
}

static struct tally total(const struct sink *sink, uint32_t queue)
{
	struct tally sum = {0};

	for (uint32_t i = 0; i < QUEUES; i++) {
		if (queue != UINT32_MAX && queue != i)
			continue;
		sum.frames += __atomic_load_n(&sink->queues[i].frames, __ATOMIC_RELAXED);
		sum.bytes += __atomic_load_n(&sink->queues[i].bytes, __ATOMIC_RELAXED);
	}
	return sum;
}

uint64_t sink_frames(const struct sink *sink, uint32_t queue)
{
	return total(sink, queue).frames;
}

uint64_t sink_bytes(const struct sink *sink, uint32_t queue)
{
	return total(sink, queue).bytes;
}

struct sink *sink_detach(struct sink *sink)
{
	if (sink) {
		(void)close_fd(sink->link);
		(void)munmap((void *)sink->queues, QUEUES * sizeof(struct tally));
		free(sink);
	}
	return NULL;
}
