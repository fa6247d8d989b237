/* SPDX-License-Identifier: BSD-2-Clause */
/* xdpctl watch: the daemon's events as they come. */
#include "ctl/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/connection.h"
#include "ctl/records.h"
#include "ctl/table.h"
#include "daemon/cleanup.h"

static void print_line(const struct xdpd_event *event, const json_t *object)
{
	cleanup_free char *kind = cell_text(json_object_get(object, "kind"));
	cleanup_free char *device = cell_text(json_object_get(object, "device"));
	cleanup_free char *queue = cell_text(json_object_get(object, "queue"));
	const json_t *words = json_object_get(object, "text");
	cleanup_free char *text = json_is_null(words) ? text_of("%s", "") : cell_text(words);
	time_t seconds = (time_t)(event->time / 1000000000);
	char moment[32] = "-";
	struct tm local;

	if (localtime_r(&seconds, &local))
		strftime(moment, sizeof(moment), "%FT%T", &local);
	printf("%s.%03" PRIu64 "  %-18s  %s %s%s%s\n", moment, event->time / 1000000 % 1000, kind,
	       device, queue, *text ? "  " : "", text);
	fflush(stdout);
}

int command_watch(const struct invocation *invocation)
{
	cleanup_connection struct connection connection = CONNECTION_CLOSED;
	struct xdpd_header request;
	struct failure why;
	struct answer answer;
	int r;

	r = connection_open(&connection, invocation->socket, &why);
	if (r < 0)
		return connection_give_up(&connection, &why);
	r = connection_request(&connection, XDPD_SUBSCRIBE, &request, sizeof(request), &why);
	/* DONE answers the subscription; events follow it, and until the daemon ends nothing else does */
	while (r >= 0 && (r = connection_answer(&connection, &answer, &why)) >= 0) {
		if (r == 0)
			continue;
		if (answer.type != XDPD_EVENT) {
			r = connection_lose(
				&connection, &why, EPROTO,
				"protocol error: a message of type %#x instead of an event",
				answer.type);
			break;
		}
		cleanup_json json_t *event = event_object(answer.body);

		if (invocation->json)
			print_json(event, true);
		else
			print_line(answer.body, event);
		if (ferror(stdout))
			return EXIT_REFUSED;
	}
	return connection_give_up(&connection, &why);
}
