/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/supervise/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/cleanup.h"

#define SOCKET_NAME "/notify"

static int bind_socket(int fd, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int on = 1;

	memcpy(address.sun_path, path, strlen(path) + 1);
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return 0;
}

int notify_open(struct notify *ret)
{
	const char *temporary = getenv("TMPDIR");
	struct notify made = NOTIFY_NONE;
	size_t length;
	int r;

	r = snprintf(made.path, sizeof(made.path), "%s/xdpd-supervise-XXXXXX",
		     temporary && *temporary ? temporary : "/tmp");
	length = (size_t)r;
	if (length >= sizeof(made.path) - strlen(SOCKET_NAME))
		return -ENAMETOOLONG;
	/* mkdtemp() makes it 0700, so nobody else can fill the socket's queue. */
	if (!mkdtemp(made.path))
		return -errno;
	memcpy(made.path + length, SOCKET_NAME, sizeof(SOCKET_NAME));
	made.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = made.fd < 0 ? -errno : bind_socket(made.fd, made.path);
	if (r < 0) {
		notify_close(&made);
		return r;
	}
	*ret = made;
	return 0;
}

void notify_close(struct notify *notify)
{
	if (notify->path[0]) {
		(void)unlink(notify->path);
		notify->path[strlen(notify->path) - strlen(SOCKET_NAME)] = '\0';
		(void)rmdir(notify->path);
	}
	close_fd(notify->fd);
	*notify = NOTIFY_NONE;
}

void notice_clear(struct notice *notice)
{
	for (size_t i = 0; i < notice->n_fds; i++)
		close_fd(notice->fds[i]);
	notice->n_fds = 0;
}

/* As systemd has it: printable ASCII without the colon that separates names. */
static bool is_name(const char *text)
{
	size_t length = strlen(text);

	for (const char *c = text; *c; c++) {
		if (*c < ' ' || *c > '~' || *c == ':')
			return false;
	}
	return length > 0 && length < NOTIFY_NAME_MAX;
}

static bool is_no(const char *text)
{
	static const char *const noes[] = {"0", "no", "n", "false", "f", "off"};

	for (size_t i = 0; i < sizeof(noes) / sizeof(*noes); i++) {
		if (strcasecmp(text, noes[i]) == 0)
			return true;
	}
	return false;
}

static const char *value_of(const char *line, const char *key)
{
	size_t length = strlen(key);

	return strncmp(line, key, length) == 0 ? line + length : NULL;
}

static void parse(struct notice *notice, char *text)
{
	const char *value;

	notice->poll = true;
	(void)snprintf(notice->name, sizeof(notice->name), "stored");
	for (char *next = text, *line = strsep(&next, "\n"); line; line = strsep(&next, "\n")) {
		if (strcmp(line, "FDSTORE=1") == 0)
			notice->store = true;
		else if (strcmp(line, "FDSTOREREMOVE=1") == 0)
			notice->remove = true;
		else if (strcmp(line, "READY=1") == 0)
			notice->ready = true;
		else if (strcmp(line, "WATCHDOG=1") == 0)
			notice->alive = true;
		else if ((value = value_of(line, "FDPOLL=")))
			notice->poll = !is_no(value);
		else if ((value = value_of(line, "FDNAME=")) && is_name(value))
			(void)snprintf(notice->name, sizeof(notice->name), "%s", value);
		else if ((value = value_of(line, "STATUS=")))
			(void)snprintf(notice->status, sizeof(notice->status), "%s", value);
	}
}

static void take_control(struct notice *notice, struct msghdr *message)
{
	struct ucred sender;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len == CMSG_LEN(sizeof(sender))) {
			memcpy(&sender, CMSG_DATA(c), sizeof(sender));
			notice->pid = sender.pid;
		} else if (c->cmsg_type == SCM_RIGHTS) {
			notice->n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(notice->fds, CMSG_DATA(c), notice->n_fds * sizeof(int));
		}
	}
}

int notify_receive(struct notify *notify, struct notice *ret)
{
	char text[4096 + 1];
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct ucred)) +
			   CMSG_SPACE(sizeof(int) * NOTIFY_FDS_MAX)];
	} control;
	struct iovec part = {text, sizeof(text) - 1};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct notice notice = {};
	ssize_t length;

	do
		length = recvmsg(notify->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (length < 0 && errno == EINTR);
	if (length < 0)
		return errno == EAGAIN ? 0 : -errno;
	take_control(&notice, &message);
	if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		notice_clear(&notice);
		return -EMSGSIZE;
	}
	text[length] = '\0';
	parse(&notice, text);
	*ret = notice;
	return 1;
}
