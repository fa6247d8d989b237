/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static int parse_port(const char *text, in_port_t *ret)
{
	unsigned long port;

	if (!*text || strlen(text) > 5 || text[strspn(text, "0123456789")])
		return -EINVAL;
	port = strtoul(text, NULL, 10);
	if (port < 1 || port > 65535)
		return -EINVAL;
	*ret = htons((in_port_t)port);
	return 0;
}

static int parse_unix(const char *path, struct config_metrics *metrics)
{
	struct sockaddr_un *address = (struct sockaddr_un *)&metrics->address;

	if (*path != '/' || strlen(path) >= sizeof(address->sun_path))
		return -EINVAL;
	address->sun_family = AF_UNIX;
	strcpy(address->sun_path, path);
	metrics->address_length = sizeof(*address);
	return 0;
}

/* `host` is the address alone, without port and brackets. */
static int parse_ip(const char *host, in_port_t port, bool v6, struct config_metrics *metrics)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&metrics->address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&metrics->address;

	if (v6) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = port;
		metrics->address_length = sizeof(*in6);
		return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1 ? 0 : -EINVAL;
	}
	in->sin_family = AF_INET;
	in->sin_port = port;
	metrics->address_length = sizeof(*in);
	return inet_pton(AF_INET, host, &in->sin_addr) == 1 ? 0 : -EINVAL;
}

int listen_parse(const char *text, struct config_metrics *ret)
{
	struct config_metrics metrics = {.on = true};
	char host[INET6_ADDRSTRLEN + 2], *address = host, *colon;
	size_t length;
	in_port_t port;
	int r;

	if (strlen(text) >= sizeof(metrics.text))
		return -EINVAL;
	strcpy(metrics.text, text);
	if (strcmp(text, "off") == 0) {
		metrics.on = false;
		*ret = metrics;
		return 0;
	}
	if (strncmp(text, "unix:", 5) == 0) {
		r = parse_unix(text + 5, &metrics);
	} else {
		colon = strrchr(text, ':');
		length = colon ? (size_t)(colon - text) : 0;
		if (!length || length >= sizeof(host) || parse_port(colon + 1, &port) < 0)
			return -EINVAL;
		memcpy(host, text, length);
		host[length] = '\0';
		if (*host == '[' && host[length - 1] == ']') {
			host[length - 1] = '\0';
			address++;
		}
		r = parse_ip(address, port, address > host, &metrics);
	}
	if (r == 0)
		*ret = metrics;
	return r;
}
