/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/supervise/fdstore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kcmp.h>

#include "daemon/cleanup.h"

/* One string of a program's environment, its NUL included: MAX_ARG_STRLEN of the kernel, 32 pages of 4 KiB. */
#define ENVIRONMENT_STRING_MAX (32u * 4096)
#define NAMES_MAX	       (ENVIRONMENT_STRING_MAX - sizeof("LISTEN_FDNAMES="))

void fdstore_init(struct fdstore *store, size_t max, int epoll)
{
	*store = (struct fdstore){.max = max, .next_id = FDSTORE_FIRST_ID, .epoll = epoll};
}

static void end_entry(struct fdstore *store, struct fdstore_entry *entry)
{
	/* epoll would go on with the open file, of which the program may have a duplicate. */
	if (entry->polled)
		(void)epoll_ctl(store->epoll, EPOLL_CTL_DEL, entry->fd, NULL);
	close(entry->fd);
	store->names -= strlen(entry->name) + 1;
	free(entry->name);
}

void fdstore_clear(struct fdstore *store)
{
	for (size_t i = 0; i < store->n; i++)
		end_entry(store, &store->entries[i]);
	free(store->entries);
	fdstore_init(store, store->max, store->epoll);
}

/* Where kcmp() is not to be had (a container's seccomp), the same name for the same inode has to do. */
static bool is_same_file(const struct fdstore_entry *one, const struct fdstore_entry *other)
{
	pid_t self;
	long r;

	if (one->inode != other->inode || one->device != other->device)
		return false;
	self = getpid();
	r = syscall(SYS_kcmp, self, self, KCMP_FILE, one->fd, other->fd);
	return r < 0 ? strcmp(one->name, other->name) == 0 : r == 0;
}

static int make_room(struct fdstore *store)
{
	size_t room = store->room ? store->room * 2 : 64;
	struct fdstore_entry *entries;

	if (store->n < store->room)
		return 0;
	entries = reallocarray(store->entries, room, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	store->entries = entries;
	store->room = room;
	return 0;
}

/* Returns 0 and a whole entry, or -errno. */
static int admit(struct fdstore *store, struct fdstore_entry *entry, bool poll)
{
	struct epoll_event hang_up = {.data.u64 = entry->id}; /* EPOLLHUP, EPOLLERR: unasked */

	if (store->n >= store->max)
		return -ENOSPC;
	if (store->names + strlen(entry->name) + 1 > NAMES_MAX)
		return -E2BIG;
	if (make_room(store) < 0)
		return -ENOMEM;
	entry->polled = poll && epoll_ctl(store->epoll, EPOLL_CTL_ADD, entry->fd, &hang_up) == 0;
	/* EPERM: such a file has no end to poll for */
	return poll && !entry->polled && errno != EPERM ? -errno : 0;
}

int fdstore_add(struct fdstore *store, const char *name, int fd, bool poll)
{
	cleanup_fd int owned = fd;
	cleanup_free char *owned_name = strdup(name);
	struct fdstore_entry entry = {.name = owned_name, .fd = fd, .id = store->next_id};
	struct stat file;
	int r;

	if (!owned_name || fstat(fd, &file) < 0)
		return -errno;
	entry.device = file.st_dev;
	entry.inode = file.st_ino;
	for (size_t i = 0; i < store->n; i++) {
		if (is_same_file(&store->entries[i], &entry))
			return 0;
	}
	r = admit(store, &entry, poll);
	if (r < 0)
		return r;
	store->names += strlen(name) + 1;
	store->next_id++;
	store->entries[store->n++] = entry;
	(void)TAKE_FD(owned);
	(void)TAKE_PTR(owned_name);
	return 0;
}

void fdstore_remove(struct fdstore *store, const char *name)
{
	size_t left = 0;

	for (size_t i = 0; i < store->n; i++) {
		if (strcmp(store->entries[i].name, name) == 0)
			end_entry(store, &store->entries[i]);
		else
			store->entries[left++] = store->entries[i];
	}
	store->n = left;
}

void fdstore_remove_id(struct fdstore *store, uint64_t id)
{
	for (size_t i = 0; i < store->n; i++) {
		if (store->entries[i].id != id)
			continue;
		end_entry(store, &store->entries[i]);
		store->n--;
		memmove(store->entries + i, store->entries + i + 1,
			(store->n - i) * sizeof(*store->entries));
		return;
	}
}

char *fdstore_names(const struct fdstore *store)
{
	char *names = malloc(store->names + 1), *end = names;

	if (!names)
		return NULL;
	*names = '\0';
	for (size_t i = 0; i < store->n; i++) {
		if (i)
			*end++ = ':';
		end = stpcpy(end, store->entries[i].name);
	}
	return names;
}
