/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection to the control socket: its peer, what is queued for it, what it is attached to.
 *
 * A session ends in two steps, as it may be found wanting in the middle of something else: session_doom() marks
 * it, and the server frees it from the event loop, where nobody else has it in hand.
 */
#ifndef DAEMON_SESSION_H
#define DAEMON_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "client/xdpd_protocol.h"
#include "daemon/attachment.h"
#include "daemon/daemon.h"
#include "daemon/peer.h"
#include "daemon/quota.h"

struct server;

struct session_message {
	struct session_message *next;
	size_t length;
	unsigned char bytes[];
};

struct session {
	struct server *server;
	struct daemon *daemon;
	struct session *next;
	int fd;
	sd_event_source *io;
	sd_event_source *timer; /* until it has said hello */
	struct peer peer;
	struct quota_user *user;
	char name[XDPD_NAME_MAX];
	bool greeted;
	bool subscribed;
	bool doomed;
	enum detach_reason end; /* why, once doomed */

	uint32_t request; /* id of the request under way; 0: none */
	uint16_t request_type;
	struct attachment *attachment;
	struct xdpd_attach_request *waiting; /* for a queue that is being released */

	struct session_message *first, **last; /* what the peer has not taken yet */
};

/* Marks the session for its end; its attachment ends with `reason`. The first reason stands. */
void session_doom(struct session *session, enum detach_reason reason);

/*
 * Sends a message, or queues it while the peer's buffer is full; a peer over its quota is doomed. `body` begins
 * with a struct xdpd_header, which is filled in here.
 */
void session_send(struct session *session, enum xdpd_message type, uint32_t id, void *body,
		  size_t length);

/* The same with fds, which is not queued: returns 0 or -errno. */
int session_send_fds(struct session *session, enum xdpd_message type, uint32_t id, void *body,
		     size_t length, const int *fds, size_t n_fds);

/* Answers the request under way, which is then over: DONE (`why` NULL) or ERROR. */
void session_answer(struct session *session, const struct failure *why);

/* Sends as much of the queue as the peer takes. */
void session_flush(struct session *session);

/* As whom an attachment knows the session that holds it. [requests.c] */
struct attachment_owner session_as_owner(struct session *session);

/* A message from the peer, complete and with a valid header: carries out what it asks. [requests.c] */
void session_handle(struct session *session, void *message, size_t length);

/* The queue that it waits for may be had now. [requests.c] */
void session_retry(struct session *session);

#endif
