// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/scrape.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/cleanup.h"

#define TIMEOUT_S 5

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval timeout = {.tv_sec = TIMEOUT_S};

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Reads until the other side closes. */
static int read_all(int fd, char **ret)
{
	cleanup_free char *text = NULL;
	size_t length = 0, size = 0;
	ssize_t n;

	do {
		if (size - length < 4096) {
			char *larger = realloc(text, size += 65536);

			if (!larger)
				return -ENOMEM;
			text = larger;
		}
		n = read(fd, text + length, size - length - 1);
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		length += (size_t)n;
	} while (n > 0);
	text[length] = '\0';
	*ret = TAKE_PTR(text);
	return 0;
}

int scrape_get(struct scrape *ret, const char *socket_path, const char *target, const char *accept)
{
	cleanup_fd int fd = connect_to(socket_path);
	cleanup_free char *answer = NULL;
	struct scrape scrape = {0};
	char *body;
	int r;

	if (fd < 0)
		return fd;
	if (dprintf(fd,
		    "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: %s\r\n\r\n",
		    target, accept ? accept : "*/*") < 0)
		return -errno;
	r = read_all(fd, &answer);
	if (r < 0)
		return r;
	body = strstr(answer, "\r\n\r\n");
	if (!body || sscanf(answer, "HTTP/1.%*d %d", &scrape.status) != 1)
		return -EPROTO;
	scrape.body = strdup(body + 4);
	*body = '\0';
	scrape.head = TAKE_PTR(answer);
	if (!scrape.body) {
		scrape_clear(&scrape);
		return -ENOMEM;
	}
	*ret = scrape;
	return 0;
}

void scrape_clear(struct scrape *scrape)
{
	free(scrape->head);
	free(scrape->body);
	*scrape = (struct scrape){0};
}

/* `labels` starts after the brace and ends with one. Values are compared as they are escaped in the text. */
static bool has_label(const char *labels, const char *name, const char *value)
{
	char wanted[256];
	int length = snprintf(wanted, sizeof(wanted), "%s=\"%s\"", name, value);
	bool quoted = false;

	/* A label starts the list or follows a comma that is not within a value. */
	for (const char *at = labels; *at && *at != '\n' && (quoted || *at != '}'); at++) {
		if (!quoted && (at == labels || at[-1] == ',') &&
		    strncmp(at, wanted, (size_t)length) == 0)
			return true;
		if (quoted && *at == '\\' && at[1])
			at++;
		else if (*at == '"')
			quoted = !quoted;
	}
	return false;
}

static const char *end_of_labels(const char *labels)
{
	bool quoted = false;

	for (; *labels && (quoted || *labels != '}'); labels++) {
		if (quoted && *labels == '\\' && labels[1])
			labels++;
		else if (*labels == '"')
			quoted = !quoted;
	}
	return *labels ? labels + 1 : labels;
}

double metric_sum(const char *text, const char *const *name_and_labels)
{
	size_t length = strlen(name_and_labels[0]);
	double sum = NAN;

	for (const char *line = text; line && *line;
	     line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		const char *rest = line + length;
		bool matches = strncmp(line, name_and_labels[0], length) == 0 &&
			       (*rest == '{' || *rest == ' ');
		double value;

		for (const char *const *label = name_and_labels + 1;
		     matches && label[0] && label[1]; label += 2)
			matches = *rest == '{' && has_label(rest + 1, label[0], label[1]);
		if (!matches)
			continue;
		value = strtod(*rest == '{' ? end_of_labels(rest + 1) : rest, NULL);
		sum = isnan(sum) ? value : sum + value;
	}
	return sum;
}
