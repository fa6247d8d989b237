// SPDX-License-Identifier: BSD-2-Clause
/*
 * Preloaded into a program, counts what it asks malloc() and its like for, into the file $ALLOCATIONS: how often and how
 * many bytes, two u64. glibc has the functions under second names, so that nothing has to be looked up.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

struct counts {
	uint64_t calls, bytes;
};

static struct counts before_main;
static struct counts *counts = &before_main;

static void count(size_t bytes)
{
	__atomic_add_fetch(&counts->calls, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&counts->bytes, bytes, __ATOMIC_RELAXED);
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("ALLOCATIONS");
	int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644) : -1;
	struct counts *shared;

	if (fd < 0 || ftruncate(fd, sizeof(*shared)) < 0)
		_exit(127);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		_exit(127);
	close(fd);
	*shared = *counts;
	counts = shared;
}

EXPORT void *malloc(size_t size)
{
	count(size);
	return __libc_malloc(size);
}

EXPORT void *calloc(size_t n, size_t size)
{
	count(n * size);
	return __libc_calloc(n, size);
}

EXPORT void *realloc(void *old, size_t size)
{
	count(size);
	return __libc_realloc(old, size);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
	count(size);
	return __libc_memalign(alignment, size);
}

EXPORT int posix_memalign(void **ret, size_t alignment, size_t size)
{
	void *memory;

	count(size);
	memory = __libc_memalign(alignment, size);
	if (!memory)
		return ENOMEM;
	*ret = memory;
	return 0;
}
