// SPDX-License-Identifier: BSD-2-Clause
/* libxdp-rx: receives queue 0 of a device by libxdp, its own XDP program and default sizes, flat out. */
#include <errno.h>
#include <linux/if_link.h>
#include <sys/mman.h>

#include "tests/bench/peers/loop.h"

#define FRAMES	   4096 /* as many as an xdpd queue has by default */
#define FRAME_SIZE XSK_UMEM__DEFAULT_FRAME_SIZE
#define FILL_SIZE  XSK_RING_PROD__DEFAULT_NUM_DESCS

static void fill_all(struct xsk_ring_prod *fill)
{
	uint32_t at = 0;

	if (xsk_ring_prod__reserve(fill, FILL_SIZE, &at) != FILL_SIZE)
		receiver_die("the fill ring is too small", ENOSPC);
	for (uint32_t i = 0; i < FILL_SIZE; i++)
		*xsk_ring_prod__fill_addr(fill, at + i) = (uint64_t)i * FRAME_SIZE;
	xsk_ring_prod__submit(fill, FILL_SIZE);
}

int main(int argc, char **argv)
{
	static const struct xsk_socket_config config = {
		.rx_size = XSK_RING_CONS__DEFAULT_NUM_DESCS,
		.xdp_flags = XDP_FLAGS_DRV_MODE | XDP_FLAGS_UPDATE_IF_NOEXIST,
		.bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP,
	};
	const size_t size = (size_t)FRAMES * FRAME_SIZE;
	struct receiver receiver = receiver_begin(argc, argv);
	struct libxdp_rings rings = {0};
	struct xsk_ring_cons completion;
	struct xsk_socket *socket = NULL;
	struct xsk_umem *umem = NULL;
	int r;

	rings.umem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (rings.umem == MAP_FAILED)
		receiver_die("no memory", errno);
	r = xsk_umem__create(&umem, rings.umem, size, &rings.fill, &completion, NULL);
	if (r < 0)
		receiver_die("can't make the UMEM", r);
	fill_all(&rings.fill);
	r = xsk_socket__create(&socket, receiver.device, 0, umem, &rings.rx, NULL, &config);
	if (r < 0)
		receiver_die("can't make the socket", r);
	rings.fd = xsk_socket__fd(socket);
	receiver_ready();
	while (!receiver_stopped)
		(void)libxdp_burst(&receiver, &rings);
	xsk_socket__delete(socket);
	(void)xsk_umem__delete(umem);
	return receiver_end(&receiver);
}
