// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/sealed.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "daemon/cleanup.h"

int sealed_create(const char *name, size_t length, int *ret)
{
	cleanup_fd int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)length) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	*ret = TAKE_FD(fd);
	return 0;
}

int sealed_open_for_reading(int fd, int *ret)
{
	char path[32];
	int opened;

	if (fchmod(fd, 0400) < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	opened = open(path, O_RDONLY | O_CLOEXEC);
	if (opened < 0)
		return -errno;
	*ret = opened;
	return 0;
}

int sealed_map(int fd, size_t length, void **ret)
{
	void *address = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (address == MAP_FAILED)
		return -errno;
	*ret = address;
	return 0;
}

void sealed_close(int fd, size_t offset, size_t length)
{
	if (fd >= 0 && length)
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
				(off_t)length);
	close_fd(fd);
}
