// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/xsk.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "client/xdpd_ring.h"
#include "daemon/cleanup.h"
#include "daemon/release.h"
#include "daemon/uapi.h"

/* What the kernel calls each ring: its size's option, its place for mmap(), the bytes of an entry. */
static const struct {
	int option;
	uint64_t page_offset;
	size_t entry;
} ring_kinds[XSK_RING_COUNT] = {
	[XSK_RX] = {XDP_RX_RING, XDP_PGOFF_RX_RING, sizeof(struct xdp_desc)},
	[XSK_TX] = {XDP_TX_RING, XDP_PGOFF_TX_RING, sizeof(struct xdp_desc)},
	[XSK_FILL] = {XDP_UMEM_FILL_RING, XDP_UMEM_PGOFF_FILL_RING, sizeof(uint64_t)},
	[XSK_COMPLETION] = {XDP_UMEM_COMPLETION_RING, XDP_UMEM_PGOFF_COMPLETION_RING,
			    sizeof(uint64_t)},
};

bool xsk_takes_fragments(void)
{
	/* XDP_USE_SG came with it. A flag that the kernel knows gets as far as the interface, which is none. */
	const struct sockaddr_xdp nowhere = {.sxdp_family = AF_XDP, .sxdp_flags = UAPI_XDP_USE_SG};
	cleanup_fd int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	return fd >= 0 && bind(fd, (const struct sockaddr *)&nowhere, sizeof(nowhere)) < 0 &&
	       errno == ENODEV;
}

static void take_sizes(struct xsk *xsk, const struct ring_sizes *sizes, bool transmit)
{
	xsk->rings[XSK_RX].size = sizes->rx;
	xsk->rings[XSK_TX].size = transmit ? sizes->tx : 0;
	xsk->rings[XSK_FILL].size = sizes->fill;
	xsk->rings[XSK_COMPLETION].size = sizes->completion;
}

static int set_sizes(const struct xsk *xsk)
{
	for (int i = 0; i < XSK_RING_COUNT; i++) {
		const uint32_t size = xsk->rings[i].size;

		if (size &&
		    setsockopt(xsk->fd, SOL_XDP, ring_kinds[i].option, &size, sizeof(size)) < 0)
			return -errno;
	}
	return 0;
}

static int map_rings(struct xsk *xsk)
{
	struct xdp_mmap_offsets offsets;
	socklen_t length = sizeof(offsets);

	if (getsockopt(xsk->fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) < 0)
		return -errno;
	/* Before 5.4 the struct was shorter, and there was no need_wakeup flag to honour. */
	if (length < sizeof(offsets))
		return -EOPNOTSUPP;

	const struct xdp_ring_offset *const of[XSK_RING_COUNT] = {
		[XSK_RX] = &offsets.rx,
		[XSK_TX] = &offsets.tx,
		[XSK_FILL] = &offsets.fr,
		[XSK_COMPLETION] = &offsets.cr,
	};

	for (int i = 0; i < XSK_RING_COUNT; i++) {
		struct xsk_ring_map *ring = &xsk->rings[i];
		void *address;

		if (!ring->size)
			continue;
		ring->offset = *of[i];
		ring->page_offset = ring_kinds[i].page_offset;
		ring->length = ring->offset.desc + (size_t)ring->size * ring_kinds[i].entry;
		address = mmap(NULL, ring->length, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_POPULATE, xsk->fd, (off_t)ring->page_offset);
		if (address == MAP_FAILED)
			return -errno;
		ring->address = address;
	}
	return 0;
}

int xsk_open(struct xsk *ret, const struct umem *umem, const struct ring_sizes *sizes,
	     bool transmit)
{
	struct xsk xsk = XSK_NONE;
	int r;

	xsk.fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (xsk.fd < 0)
		return -errno;
	take_sizes(&xsk, sizes, transmit);
	r = umem_register(umem, xsk.fd);
	if (r == 0)
		r = set_sizes(&xsk);
	if (r == 0)
		r = map_rings(&xsk);
	if (r < 0) {
		xsk_close(&xsk);
		return r;
	}
	*ret = xsk;
	return 0;
}

/* XDP_OPTIONS is the truth: a bind without flags falls back to copy in silence. */
static int bound_mode(int fd, enum xdpd_bind_mode *ret)
{
	struct xdp_options options = {};
	socklen_t length = sizeof(options);

	if (getsockopt(fd, SOL_XDP, XDP_OPTIONS, &options, &length) < 0)
		return -errno;
	*ret = options.flags & XDP_OPTIONS_ZEROCOPY ? XDPD_BIND_ZERO_COPY : XDPD_BIND_COPY;
	return 0;
}

static void unmap_rings(struct xsk *xsk)
{
	for (int i = 0; i < XSK_RING_COUNT; i++) {
		if (xsk->rings[i].address)
			munmap(xsk->rings[i].address, xsk->rings[i].length);
		xsk->rings[i].address = NULL;
	}
}

static bool is_xsk(int fd)
{
	int domain = 0;
	socklen_t length = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_XDP;
}

int xsk_adopt(struct xsk *ret, int fd, const struct ring_sizes *sizes, bool transmit)
{
	struct xsk xsk = {.fd = fd};
	int r = is_xsk(fd) ? bound_mode(fd, &xsk.bound) : -EBADMSG;

	if (r < 0) {
		xsk_close(&xsk);
		return r;
	}
	take_sizes(&xsk, sizes, transmit);
	if (map_rings(&xsk) < 0)
		unmap_rings(&xsk);
	*ret = xsk;
	return 0;
}

bool xsk_has_rings(const struct xsk *xsk)
{
	return xsk->rings[XSK_RX].address != NULL;
}

static uint32_t *shared_word(const struct xsk_ring_map *ring, uint64_t offset)
{
	return (uint32_t *)((char *)ring->address + offset);
}

void xsk_fill(struct xsk *xsk, const struct umem *umem, uint32_t count)
{
	const struct xsk_ring_map *map = &xsk->rings[XSK_FILL];
	struct xdpd_ring fill;

	xdpd_ring_join(&fill, (char *)map->address + map->offset.desc, map->size,
		       shared_word(map, map->offset.producer),
		       shared_word(map, map->offset.consumer), shared_word(map, map->offset.flags));
	count = xdpd_ring_room(&fill, count);
	for (uint32_t i = 0; i < count; i++)
		*xdpd_ring_address(&fill, fill.own + i) = (uint64_t)i * umem->frame_size;
	xdpd_ring_advance(&fill, count);
}

int xsk_confine(const struct xsk *xsk, const char *device)
{
	if (setsockopt(xsk->fd, SOL_SOCKET, SO_BINDTODEVICE, device,
		       (socklen_t)strlen(device) + 1) < 0)
		return -errno;
	return 0;
}

bool xsk_confinement_holds(const char *device)
{
	/* Of an interface that is not there: EINVAL from who heeds it, ENODEV from who goes on and looks for it. */
	const struct sockaddr_xdp elsewhere = {.sxdp_family = AF_XDP, .sxdp_ifindex = INT32_MAX};
	struct xsk xsk = XSK_NONE;
	bool holds;

	xsk.fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	holds = xsk.fd >= 0 && xsk_confine(&xsk, device) == 0 &&
		bind(xsk.fd, (const struct sockaddr *)&elsewhere, sizeof(elsewhere)) < 0 &&
		errno == EINVAL;
	xsk_close(&xsk);
	return holds;
}

int xsk_bind(struct xsk *xsk, int ifindex, uint32_t queue, enum xdpd_bind_mode mode, bool native)
{
	struct sockaddr_xdp address = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = XDP_USE_NEED_WAKEUP,
		.sxdp_ifindex = (uint32_t)ifindex,
		.sxdp_queue_id = queue,
	};

	/* The kernel would give a zero-copy pool to a driver whose program runs in generic mode. */
	if (mode == XDPD_BIND_COPY || (mode == XDPD_BIND_AUTO && !native))
		address.sxdp_flags |= XDP_COPY;
	else if (mode == XDPD_BIND_ZERO_COPY)
		address.sxdp_flags |= XDP_ZEROCOPY;
	if (bind(xsk->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return bound_mode(xsk->fd, &xsk->bound);
}

bool xsk_can_be_mapped(const struct xsk *xsk)
{
	const struct xsk_ring_map *rx = &xsk->rings[XSK_RX];
	void *address =
		mmap(NULL, rx->length, PROT_READ, MAP_SHARED, xsk->fd, (off_t)rx->page_offset);

	if (address == MAP_FAILED)
		return false;
	munmap(address, rx->length);
	return true;
}

/* A look that takes nothing and does not wait: its first word is about the bind [xsk_check_common()]. */
bool xsk_is_bound(const struct xsk *xsk)
{
	return recv(xsk->fd, NULL, 0, MSG_DONTWAIT) >= 0 || errno != ENXIO;
}

int xsk_statistics(const struct xsk *xsk, struct xdp_statistics *ret)
{
	struct xdp_statistics statistics = {};
	socklen_t length = sizeof(statistics);

	if (getsockopt(xsk->fd, SOL_XDP, XDP_STATISTICS, &statistics, &length) < 0)
		return -errno;
	*ret = statistics;
	return 0;
}

uint32_t xsk_producer(const struct xsk *xsk, enum xsk_ring ring)
{
	const struct xsk_ring_map *map = &xsk->rings[ring];

	return map->address
		       ? __atomic_load_n(shared_word(map, map->offset.producer), __ATOMIC_ACQUIRE)
		       : 0;
}

uint32_t xsk_consumer(const struct xsk *xsk, enum xsk_ring ring)
{
	const struct xsk_ring_map *map = &xsk->rings[ring];

	return map->address
		       ? __atomic_load_n(shared_word(map, map->offset.consumer), __ATOMIC_ACQUIRE)
		       : 0;
}

uint32_t xsk_entries(const struct xsk *xsk, enum xsk_ring ring)
{
	/* The consumer first: it never passes the producer, so the difference of honest sides is not negative. */
	uint32_t consumer = xsk_consumer(xsk, ring);
	uint32_t entries = xsk_producer(xsk, ring) - consumer;
	uint32_t size = xsk->rings[ring].size;

	return entries < size ? entries : size;
}

void xsk_close(struct xsk *xsk)
{
	unmap_rings(xsk);
	if (xsk->bound != XDPD_BIND_NONE)
		release_fd(xsk->fd);
	else
		close_fd(xsk->fd);
	*xsk = XSK_NONE;
}
