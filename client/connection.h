/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client's end of the control socket: requests and their answers, and what the daemon says unasked.
 *
 * Deadlines are of CLOCK_MONOTONIC in nanoseconds; XDPD_NEVER does not end, 0 has passed.
 */
#ifndef XDPD_CONNECTION_H
#define XDPD_CONNECTION_H

#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "client/xdpd_protocol.h"

#define XDPD_NEVER	UINT64_MAX
#define XDPD_EVENTS_MAX 16
#define XDPD_FDS_MAX	8

#define XDPD_DEFAULT_TIMEOUT_MS 5000

struct xdpd_connection {
	int fd;		  /* -1: closed */
	int ended;	  /* 0, or -errno: why nothing more will be said on it */
	int code;	  /* what a REVOKE gave as the cause; 0: none came */
	uint32_t id;	  /* of the last request */
	uint32_t started; /* of the last READY that was answered */
	char reason[XDPD_REASON_MAX];
	struct xdpd_event events[XDPD_EVENTS_MAX]; /* a ring */
	uint32_t first_event, n_events;
	int signal_fd; /* an eventfd, readable while events are kept */
};

/* A message from the daemon: complete, with a valid header. Its fds are the holder's. */
struct xdpd_received {
	union {
		struct xdpd_header header;
		struct xdpd_welcome welcome;
		struct xdpd_error error;
		struct xdpd_grant grant;
		struct xdpd_event event;
		unsigned char bytes[XDPD_MESSAGE_MAX];
	};
	size_t length;
	int fds[XDPD_FDS_MAX];
	uint32_t n_fds;
};

uint64_t xdpd_now(void);

/* `timeout_ms` from now; negative: never. */
uint64_t xdpd_deadline(int timeout_ms);

/* For poll(): what is left, rounded up; -1 for never. */
int xdpd_milliseconds_until(uint64_t deadline);

void xdpd_received_close_fds(struct xdpd_received *received);

#define cleanup_received __attribute__((cleanup(xdpd_received_close_fds)))

/*
 * Connects and says hello. Returns 0 or -errno, then it is closed: as xdpd_connect(). The reason and
 * events of an earlier connection are forgotten.
 */
int xdpd_connection_open(struct xdpd_connection *connection, const struct sockaddr_un *address,
			 const char *name, uint64_t deadline);

/*
 * The same without waiting: connects and sends the hello. The events stay, and so does the reason until there is
 * another one. Returns 0 or -errno, then it is closed.
 */
int xdpd_connection_begin(struct xdpd_connection *connection, const struct sockaddr_un *address,
			  const char *name);

/* Whether the hello was answered: 1, 0 (not yet), or -errno: as xdpd_connection_ask(). */
int xdpd_connection_greeted(struct xdpd_connection *connection);

/*
 * Sends a request, whose header is filled in here, and waits for its answer of type `answer`. Returns 0, or
 * -errno: the daemon's refusal, and the connection goes on; or -ETIMEDOUT, -EPROTO, -ECONNRESET, -ECANCELED,
 * and it has ended.
 */
int xdpd_connection_ask(struct xdpd_connection *connection, enum xdpd_message type, void *request,
			size_t length, enum xdpd_message answer, size_t answer_length,
			struct xdpd_received *ret, uint64_t deadline);

/* The halves of it: sends, and takes an answer that is there: 1, 0 (not yet), or -errno as above. */
int xdpd_connection_request(struct xdpd_connection *connection, enum xdpd_message type,
			    void *request, size_t length, uint64_t deadline);
int xdpd_connection_answered(struct xdpd_connection *connection, enum xdpd_message answer,
			     size_t answer_length, struct xdpd_received *ret);

/* Takes in all that the daemon has said, without waiting. `ended` says whether it is over. */
void xdpd_connection_listen(struct xdpd_connection *connection);

/* Takes the oldest event: 1, or 0 if there is none. */
int xdpd_connection_next_event(struct xdpd_connection *connection, struct xdpd_event *ret);

/* Gives up the lease, and closes. The reason stays. `why` is `ended` from then on, unless it has one. */
void xdpd_connection_close(struct xdpd_connection *connection, int why);

#endif
