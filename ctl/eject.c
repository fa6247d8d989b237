/* SPDX-License-Identifier: BSD-2-Clause */
/* xdpctl eject: ends an attachment. */
#include "ctl/command.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/connection.h"
#include "ctl/fragment.h"
#include "ctl/records.h"
#include "ctl/table.h"

static int parse_queue(const char *text, uint32_t *ret)
{
	struct queue_ids ids;
	struct failure why;
	bool one;

	if (queue_ids_parse(text, &ids, &why) < 0)
		return say_usage("`%s` is no queue: expected a number below %d", text,
				 CONFIG_QUEUE_MAX);
	one = ids.n == 1 && !ids.all;
	if (one)
		*ret = ids.ids[0];
	free(ids.ids);
	return one ? EXIT_DONE
		   : say_usage("`%s`: consumers are ejected from one queue at a time", text);
}

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
	int status = put_text(request->device, sizeof(request->device), words[0],
			      "the interface's name");

	if (status == EXIT_DONE)
		status = parse_queue(words[1], &request->queue);
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
