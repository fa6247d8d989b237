/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/store.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <systemd/sd-daemon.h>

#include "daemon/cleanup.h"

struct kept {
	char *name;
	int fd; /* -1: taken */
};

struct store {
	size_t n;
	struct kept kept[]; /* by name; those of one name in the order that they came in */
};

/* ---- to the manager ---- */

/*
 * The manager's queue was full for the whole wait, so it is not waited for again until it reads: an attach puts several
 * fds, and each would wait.
 */
static bool manager_is_deaf;

bool store_is_granted(void)
{
	const char *path = getenv("NOTIFY_SOCKET"), *most = getenv("FDSTORE");

	return path && *path && most && strtoul(most, NULL, 10) > 0;
}

/* false: there is none that takes fds (of vsock ones, that is) [sd_notify(3), $NOTIFY_SOCKET]. */
static bool manager_address(struct sockaddr_un *address, socklen_t *length)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t size = path ? strlen(path) : 0;

	if (!store_is_granted() || size < 2 || size >= sizeof(address->sun_path) ||
	    !strchr("/@", path[0]))
		return false;
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, path, size);
	*length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
	if (path[0] == '@')
		address->sun_path[0] = '\0';
	else
		++*length;
	return true;
}

/*
 * Not sd_pid_notify_with_fds(), which waits without an end while the manager's queue is full: 10 messages long by
 * default (net.unix.max_dgram_qlen), 512 where systemd has set it. A socket for each message, as there, so that no
 * send buffer fills up.
 */
static int tell_manager(const char *text, int fd)
{
	const struct timeval wait = {.tv_sec = STORE_WAIT_SECONDS};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct sockaddr_un address;
	struct iovec part = {(char *)text, strlen(text)};
	struct msghdr message = {.msg_name = &address, .msg_iov = &part, .msg_iovlen = 1};
	cleanup_fd int out = -1;
	ssize_t sent;

	if (!manager_address(&address, &message.msg_namelen))
		return 0;
	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	}
	out = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (out < 0 || setsockopt(out, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0)
		return -errno;
	do
		sent = sendmsg(out, &message, MSG_NOSIGNAL | (manager_is_deaf ? MSG_DONTWAIT : 0));
	while (sent < 0 && errno == EINTR);
	manager_is_deaf = sent < 0 && errno == EAGAIN;
	if (sent < 0)
		return manager_is_deaf ? -ETIMEDOUT : -errno;
	return 0;
}

int store_put(const char *name, int fd, bool poll)
{
	char text[64 + STORE_NAME_MAX];

	(void)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%.*s%s", STORE_NAME_MAX - 1, name,
		       poll ? "" : "\nFDPOLL=0");
	return tell_manager(text, fd);
}

void store_remove(const char *name)
{
	char text[64 + STORE_NAME_MAX];

	(void)snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%.*s", STORE_NAME_MAX - 1,
		       name);
	(void)tell_manager(text, -1);
}

void store_settle(void)
{
	(void)sd_notify_barrier(0, STORE_WAIT_SECONDS * UINT64_C(1000000));
}

struct store_name store_name(char kind, uint64_t key, const char *part)
{
	struct store_name name;

	(void)snprintf(name.text, sizeof(name.text), "%c%" PRIu64 ".%s", kind, key, part);
	return name;
}

/* ---- from the manager ---- */

static bool is_of_store(const char *name)
{
	size_t digits;

	if (strcmp(name, "state") == 0)
		return true;
	if (strlen(name) >= STORE_NAME_MAX || !islower((unsigned char)name[0]))
		return false;
	digits = strspn(name + 1, "0123456789");
	return digits > 0 && name[1 + digits] == '.' && name[2 + digits] != '\0';
}

static int compare(const void *a, const void *b)
{
	const struct kept *one = a, *other = b;
	int order = strcmp(one->name, other->name);

	/* Of those of one name, the lower fd came first. */
	return order ? order : (one->fd > other->fd) - (one->fd < other->fd);
}

/* Moves the fds in, and out of the names those that are used. */
static int sort_out(struct store *store, char **names, int count, int *ret_listen)
{
	int listen_fd = -1;

	for (int i = 0; i < count; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		if (is_of_store(names[i]))
			store->kept[store->n++] = (struct kept){TAKE_PTR(names[i]), fd};
		else if (listen_fd < 0)
			listen_fd = fd;
		else
			return -EINVAL;
	}
	qsort(store->kept, store->n, sizeof(*store->kept), compare);
	*ret_listen = listen_fd;
	return 0;
}

static void free_names_of(struct store *store)
{
	for (size_t i = 0; i < store->n; i++)
		free(store->kept[i].name);
	free(store);
}

int store_open(struct store **ret, int *ret_listen)
{
	char **names = NULL;
	struct store *store = NULL;
	int count = sd_listen_fds(0);
	int named = sd_listen_fds_with_names(1, &names);
	int r = count < 0 ? count : named < 0 ? named : 0;

	if (r == 0) {
		store = calloc(1, sizeof(*store) + (size_t)count * sizeof(struct kept));
		r = store ? sort_out(store, names, count, ret_listen) : -ENOMEM;
	}
	/* The names that were moved out are NULL, which would end the list. */
	for (int i = 0; names && i < named; i++)
		free(names[i]);
	free(names);
	if (r < 0) {
		for (int i = 0; i < count; i++)
			close(SD_LISTEN_FDS_START + i);
		if (store)
			free_names_of(store);
		return r;
	}
	*ret = store;
	return 0;
}

static struct kept *first_of(struct store *store, const char *name)
{
	size_t low = 0, high = store->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(store->kept[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return store->kept + low;
}

int store_take(struct store *store, const char *name)
{
	const struct kept *end = store->kept + store->n;

	for (struct kept *kept = first_of(store, name); kept < end && !strcmp(kept->name, name);
	     kept++) {
		if (kept->fd >= 0)
			return TAKE_FD(kept->fd);
	}
	return -1;
}

int store_take_any(struct store *store, char kind, const char *part, uint64_t *ret_key)
{
	for (size_t i = 0; i < store->n; i++) {
		struct kept *kept = &store->kept[i];
		char *rest;
		uint64_t key;

		if (kept->fd < 0 || kept->name[0] != kind)
			continue;
		key = strtoull(kept->name + 1, &rest, 10);
		if (*rest != '.' || strcmp(rest + 1, part) != 0)
			continue;
		*ret_key = key;
		return TAKE_FD(kept->fd);
	}
	return -1;
}

bool store_has_fds(const struct store *store)
{
	return store->n > 0;
}

struct store *store_leave(struct store *store)
{
	for (size_t i = 0; store && i < store->n; i++)
		close_fd(store->kept[i].fd);
	if (store)
		free_names_of(store);
	return NULL;
}

/*
 * Removing is by name, so a second one of a name that was taken stays in the manager's store for as long as the taken
 * one does.
 */
struct store *store_free(struct store *store)
{
	size_t end;

	for (size_t i = 0; store && i < store->n; i = end) {
		bool taken = false;

		for (end = i; end < store->n && !strcmp(store->kept[end].name, store->kept[i].name);
		     end++) {
			taken = taken || store->kept[end].fd < 0;
			close_fd(store->kept[end].fd);
		}
		if (!taken)
			store_remove(store->kept[i].name);
	}
	if (store)
		free_names_of(store);
	return NULL;
}
