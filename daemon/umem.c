// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/umem.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/cleanup.h"
#include "daemon/sealed.h"
#include "daemon/uapi.h"

static struct umem describe(uint32_t frames, uint32_t frame_size, uint32_t headroom, bool shared)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const size_t tail = shared ? frames * sizeof(uint32_t) : sizeof(struct xdpd_account);

	return (struct umem){
		.fd = -1,
		.read_only_fd = -1,
		.frames = frames,
		.frame_size = frame_size,
		.headroom = headroom,
		.size = (size_t)frames * frame_size,
		.tail_length = (tail + page - 1) / page * page,
	};
}

int umem_create(struct umem *ret, uint32_t frames, uint32_t frame_size, uint32_t headroom,
		bool shared)
{
	struct umem umem = describe(frames, frame_size, headroom, shared);
	int r = sealed_create("xdpd-umem", umem.size + umem.tail_length, &umem.fd);

	if (r == 0 && shared)
		r = sealed_open_for_reading(umem.fd, &umem.read_only_fd);
	if (r < 0) {
		umem_close(&umem);
		return r;
	}
	*ret = umem;
	return 0;
}

int umem_adopt(struct umem *ret, int fd, uint32_t frames, uint32_t frame_size, uint32_t headroom,
	       bool shared)
{
	struct umem umem = describe(frames, frame_size, headroom, shared);
	struct stat status;
	int r = 0;

	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
	    (size_t)status.st_size != umem.size + umem.tail_length)
		r = -EBADMSG;
	if (r == 0 && shared)
		r = sealed_open_for_reading(fd, &umem.read_only_fd);
	if (r < 0) {
		close_fd(fd);
		return r;
	}
	umem.fd = fd;
	*ret = umem;
	return 0;
}

int umem_register(const struct umem *umem, int socket_fd)
{
	void *frames = mmap(NULL, umem->size, PROT_READ | PROT_WRITE, MAP_SHARED, umem->fd, 0);
	struct xdp_umem_reg reg;
	int result = 0;

	if (frames == MAP_FAILED)
		return -errno;
	reg = (struct xdp_umem_reg){
		.addr = (uintptr_t)frames,
		.len = umem->size,
		.chunk_size = umem->frame_size,
		.headroom = umem->headroom,
	};
	if (setsockopt(socket_fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) < 0)
		result = -errno;
	munmap(frames, umem->size);
	return result;
}

uint32_t umem_capacity(const struct umem *umem)
{
	return umem->frame_size - UAPI_XDP_PACKET_HEADROOM - umem->headroom;
}

uint64_t umem_transmit_bytes(const struct umem *umem)
{
	struct xdpd_account account = {};

	if (pread(umem->fd, &account, sizeof(account), (off_t)umem->size) < 0)
		return 0;
	return account.transmit_bytes;
}

void umem_close(struct umem *umem)
{
	sealed_close(umem->fd, umem->size + umem->tail_length);
	close_fd(umem->read_only_fd);
	*umem = UMEM_NONE;
}

void umem_close_later(struct umem *umem, sd_event *event)
{
	sealed_close_later(umem->fd, umem->size + umem->tail_length, event);
	close_fd(umem->read_only_fd);
	*umem = UMEM_NONE;
}
