/* SPDX-License-Identifier: BSD-2-Clause */
/* xdpctl eject: ends an attachment. */
#include "ctl/command.h"

#include <string.h>

#include "ctl/connection.h"
#include "ctl/fragment.h"
#include "ctl/records.h"
#include "ctl/table.h"

/* Copies into a fixed array of the protocol, which has to hold the end, too. */
static int put_text(char *to, size_t size, const char *text, const char *what)
{
	if (strlen(text) >= size)
		return say_usage("%s is longer than %zu bytes: `%s`", what, size - 1, text);
	memcpy(to, text, strlen(text) + 1);
	return EXIT_DONE;
}

static int parse_request(const struct invocation *invocation, struct xdpd_eject_request *request)
{
	char *const *words = invocation->words;
	const char *reason = invocation->reason ? invocation->reason : "";
	struct failure why;
	int status = put_text(request->device, sizeof(request->device), words[0],
			      "the interface's name");

	if (status == EXIT_DONE && queue_id_parse(words[1], &request->queue, &why) < 0)
		status = say_usage("%s", why.text);
	if (status == EXIT_DONE && invocation->n_words > 2)
		status = put_text(request->consumer, sizeof(request->consumer), words[2],
				  "the consumer's name");
	if (status == EXIT_DONE)
		status = put_text(request->reason, sizeof(request->reason), reason, "the reason");
	return status;
}

int command_eject(const struct invocation *invocation)
{
	cleanup_connection struct connection connection = CONNECTION_CLOSED;
	struct xdpd_eject_request request = {0};
	cleanup_json json_t *document = NULL;
	struct failure why;
	int status = parse_request(invocation, &request);
	int r;

	if (status != EXIT_DONE)
		return status;
	r = connection_open(&connection, invocation->socket, &why);
	if (r >= 0)
		r = connection_call(&connection, XDPD_EJECT, &request.header, sizeof(request), NULL,
				    &why);
	if (r < 0)
		return connection_give_up(&connection, &why);
	if (invocation->json) {
		document = json_pack("{s:o, s:I, s:b}", "device",
				     text_value(request.device, sizeof(request.device)), "queue",
				     (json_int_t)request.queue, "ejected", 1);
		print_json(document, false);
	}
	return EXIT_DONE;
}
