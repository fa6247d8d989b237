// SPDX-License-Identifier: BSD-2-Clause
/* afpacket-rx: receives a device's frames by an AF_PACKET socket with a ring of blocks (TPACKET_V3), flat out. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "tests/bench/receiver.h"

/* As much memory as the UMEM that it is compared with. */
#define BLOCK_SIZE (1u << 18)
#define BLOCKS	   64u
#define RETIRE_MS  8 /* a block that is not full is handed over after so long */

struct ring {
	int fd;
	uint8_t *blocks;
	uint32_t next;
};

static void ring_open(struct ring *ret, const char *device)
{
	const struct tpacket_req3 request = {
		.tp_block_size = BLOCK_SIZE,
		.tp_block_nr = BLOCKS,
		.tp_frame_size = TPACKET_ALIGNMENT << 7,
		.tp_frame_nr = BLOCK_SIZE / (TPACKET_ALIGNMENT << 7) * BLOCKS,
		.tp_retire_blk_tov = RETIRE_MS,
	};
	const struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(device),
	};
	const int version = TPACKET_V3;
	struct ring ring = {.fd = socket(AF_PACKET, SOCK_RAW, 0)};

	if (ring.fd < 0)
		receiver_die("can't make the socket", errno);
	if (setsockopt(ring.fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
	    setsockopt(ring.fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) < 0)
		receiver_die("can't make the ring", errno);
	ring.blocks = mmap(NULL, (size_t)BLOCK_SIZE * BLOCKS, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_POPULATE, ring.fd, 0);
	if (ring.blocks == MAP_FAILED)
		receiver_die("can't map the ring", errno);
	/* With its protocol, so that nothing of other devices comes in before. */
	if (bind(ring.fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		receiver_die("can't bind the socket", errno);
	*ret = ring;
}

/* The members of a fanout group split the frames by flow. */
static void ring_join(const struct ring *ring, int group)
{
	const int fanout = group | PACKET_FANOUT_HASH << 16;

	if (setsockopt(ring->fd, SOL_PACKET, PACKET_FANOUT, &fanout, sizeof(fanout)) < 0)
		receiver_die("can't join the fanout group", errno);
}

/* A block's frames, each one's first byte, and the block back. Returns how many. */
static uint32_t ring_burst(struct receiver *receiver, struct ring *ring)
{
	struct tpacket_block_desc *block = (void *)(ring->blocks + (size_t)ring->next * BLOCK_SIZE);
	const struct tpacket3_hdr *frame;
	uint64_t seen = 0;
	uint32_t n;

	if (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
		return 0;
	n = block->hdr.bh1.num_pkts;
	frame = (const void *)((const uint8_t *)block + block->hdr.bh1.offset_to_first_pkt);
	for (uint32_t i = 0; i < n; i++) {
		seen += *((const uint8_t *)frame + frame->tp_mac);
		frame = (const void *)((const uint8_t *)frame + frame->tp_next_offset);
	}
	__atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	ring->next = (ring->next + 1) % BLOCKS;
	receiver->seen += seen;
	receiver->frames += n;
	return n;
}

int main(int argc, char **argv)
{
	struct receiver receiver = receiver_begin(argc, argv);
	struct tpacket_stats_v3 statistics = {0};
	socklen_t length = sizeof(statistics);
	struct ring ring;

	ring_open(&ring, receiver.device);
	if (receiver.fanout)
		ring_join(&ring, receiver.fanout);
	receiver_ready();
	while (!receiver_stopped) {
		struct pollfd readable = {.fd = ring.fd, .events = POLLIN};

		if (!ring_burst(&receiver, &ring) && receiver.waits)
			(void)poll(&readable, 1, WAIT_MS);
	}
	if (getsockopt(ring.fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length) < 0)
		receiver_die("can't tell what was dropped", errno);
	(void)printf("dropped %u\n", statistics.tp_drops);
	return receiver_end(&receiver);
}
