/* SPDX-License-Identifier: BSD-2-Clause */
/* xdpctl reload: the daemon reads its file again. */
#include "ctl/command.h"

#include <stdio.h>
#include <string.h>

#include "ctl/connection.h"
#include "ctl/records.h"
#include "ctl/table.h"
#include "daemon/cleanup.h"

static json_t *lines_of(char *text)
{
	json_t *lines = json_array();
	char *rest;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		json_array_append_new(lines, text_value(line, SIZE_MAX));
	return lines;
}

int command_reload(const struct invocation *invocation)
{
	cleanup_connection struct connection connection = CONNECTION_CLOSED;
	cleanup_json json_t *document = NULL;
	cleanup_free char *text = NULL;
	struct xdpd_header request;
	struct failure why;
	int r = connection_open(&connection, invocation->socket, &why);

	if (r >= 0)
		r = connection_call(&connection, XDPD_RELOAD, &request, sizeof(request), &text,
				    &why);
	if (connection.lost)
		return connection_give_up(&connection, &why);
	if (!text)
		text = text_of("%s", "");
	if (invocation->json) {
		document = json_pack("{s:b, s:o}", "reloaded", r >= 0, "lines", lines_of(text));
		print_json(document, false);
	} else {
		print_lines(r < 0 ? stderr : stdout, text);
	}
	return r < 0 ? connection_give_up(&connection, &why) : EXIT_DONE;
}
