// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/umem.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "daemon/cleanup.h"
#include "daemon/uapi.h"

int umem_create(struct umem *ret, uint32_t frames, uint32_t frame_size, uint32_t headroom)
{
	const size_t size = (size_t)frames * frame_size;
	const size_t account_length = (size_t)sysconf(_SC_PAGESIZE);
	cleanup_fd int fd = memfd_create("xdpd-umem", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)(size + account_length)) < 0)
		return -errno;
	/*
	 * Not F_SEAL_WRITE, as the consumer writes, and not F_SEAL_FUTURE_WRITE, which would also keep a
	 * restarted daemon from registering it again.
	 */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	*ret = (struct umem){
		.fd = TAKE_FD(fd),
		.frames = frames,
		.frame_size = frame_size,
		.headroom = headroom,
		.size = size,
		.account_length = account_length,
	};
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
	if (umem->fd >= 0)
		(void)fallocate(umem->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				(off_t)(umem->size + umem->account_length));
	close_fd(umem->fd);
	*umem = UMEM_NONE;
}
