/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An administrator's end of the control protocol [client/xdpd_protocol.h]: one request at a time, each with
 * 5 seconds to be answered in full.
 *
 *     struct connection c = CONNECTION_CLOSED;
 *     r = connection_open(&c, path, &why);
 *     r = connection_request(&c, XDPD_LIST, &request.header, sizeof(request), &why);
 *     while ((r = connection_answer(&c, &answer, &why)) > 0)
 *             look_at(&answer);
 *
 * The daemon is trusted but not to be without bugs: what is not the protocol ends in -EPROTO and a sentence.
 * All functions return 0 (or what they say) or -errno with the sentence in `why`.
 */
#ifndef CTL_CONNECTION_H
#define CTL_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/xdpd_protocol.h"
#include "daemon/failure.h"

struct connection {
	int fd;
	uint32_t id;	  /* of the last request */
	int64_t deadline; /* of the request under way, CLOCK_MONOTONIC in ms; 0: none */
	bool lost; /* there is no daemon to talk to: none, none that answers, none that speaks the protocol */
	char release[sizeof(((struct xdpd_welcome *)0)->release)]; /* the daemon's version */
	_Alignas(8) unsigned char buffer[XDPD_MESSAGE_MAX];
};

#define CONNECTION_CLOSED ((struct connection){.fd = -1})

void connection_close(struct connection *connection);
#define cleanup_connection __attribute__((cleanup(connection_close)))

/* Connects and says hello. */
int connection_open(struct connection *connection, const char *path, struct failure *why);

/* Fills in the header and sends. `length` is the whole message's. */
int connection_request(struct connection *connection, enum xdpd_message type,
		       struct xdpd_header *message, size_t length, struct failure *why);

struct answer {
	enum xdpd_message type; /* RECORD, TEXT or EVENT */
	const void
		*body; /* valid until the next call; a record's or event's is aligned to 8 bytes */
	size_t length;
	uint32_t kind; /* of a RECORD; `body` is then the record alone */
};

/*
 * The next piece of the answer: 1 and `*ret`; 0 when DONE came; the daemon's errno after ERROR. After DONE
 * it may be called again for events, and waits for them without limit.
 */
int connection_answer(struct connection *connection, struct answer *ret, struct failure *why);

/*
 * Asks for what is answered by text or nothing. `*ret_text` (NULL: not wanted), to be freed, may also be set on
 * failure: the text that comes before an ERROR says what is wrong.
 */
int connection_call(struct connection *connection, enum xdpd_message type,
		    struct xdpd_header *message, size_t length, char **ret_text,
		    struct failure *why);

/* Fails because of what the daemon sent or did not send. Returns -code. */
__attribute__((format(printf, 4, 5))) int connection_lose(struct connection *connection,
							  struct failure *why, int code,
							  const char *format, ...);

/* Says the sentence. Returns EXIT_NO_DAEMON if the connection is lost, else EXIT_REFUSED. */
int connection_give_up(const struct connection *connection, const struct failure *why);

#endif
