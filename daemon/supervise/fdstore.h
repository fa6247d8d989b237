/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fds that the program has had kept, as systemd keeps them: under names that need not be unique, oldest first; an
 * open file that is there already is not kept a second time; one that is polled leaves when it hangs up.
 */
#ifndef SUPERVISE_FDSTORE_H
#define SUPERVISE_FDSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Ids of kept fds in epoll's data start here; those below are for whoever owns the epoll fd. */
#define FDSTORE_FIRST_ID 16

struct fdstore_entry {
	char *name;
	uint64_t id;
	dev_t device; /* with the inode: which files can be the same at all */
	ino_t inode;
	int fd;
	bool polled;
};

struct fdstore {
	struct fdstore_entry *entries;
	size_t n, room, max;
	size_t names; /* characters in all names, each with its separator */
	uint64_t next_id;
	int epoll; /* not owned */
};

void fdstore_init(struct fdstore *store, size_t max, int epoll);

void fdstore_clear(struct fdstore *store);

/*
 * Takes the fd, also on failure. Returns 0, also where its open file is there already, or -errno: -ENOSPC (the store is
 * full), -E2BIG (the names would be longer than an environment variable can be), -ENOMEM.
 */
int fdstore_add(struct fdstore *store, const char *name, int fd, bool poll);

void fdstore_remove(struct fdstore *store, const char *name);

/* The one that epoll reported. None is fine: it may have been removed since. */
void fdstore_remove_id(struct fdstore *store, uint64_t id);

/* LISTEN_FDNAMES=: the names with colons between. To be freed; NULL: no memory. */
char *fdstore_names(const struct fdstore *store);

#endif
