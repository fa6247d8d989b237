/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control protocol spoken by hand, step by step, so that a consumer can stop, die or misbehave
 * between any two of them, which libxdpd does not let it. Links without cmocka, so children may use
 * it. All functions return 0 (or what they say) or -errno.
 *
 * Forked children inherit the fds: a test that starts children while it holds an attachment of its
 * own gives them a share in it.
 */
#ifndef TESTS_LIVE_PROTOCOL_H
#define TESTS_LIVE_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/xdpd_protocol.h"
#include "client/xdpd_ring.h"

#define PROTOCOL_FDS_MAX  4
#define PROTOCOL_MAPS_MAX 8
#define PROTOCOL_PATIENCE 15000 /* milliseconds for an answer that shall come */

/* The way of a consumer, from one step to the next. */
enum protocol_step {
	PROTOCOL_CLOSED,
	PROTOCOL_CONNECTED,
	PROTOCOL_HELLO_SENT,
	PROTOCOL_WELCOMED,
	PROTOCOL_ATTACH_SENT,
	PROTOCOL_GRANTED, /* the fds are here */
	PROTOCOL_MAPPED,
	PROTOCOL_READY_SENT,
	PROTOCOL_STARTED,
	PROTOCOL_RECEIVED,     /* some frames came and were given back */
	PROTOCOL_HOLDING,      /* some came and were not */
	PROTOCOL_TRANSMITTING, /* some were handed to the kernel */
	PROTOCOL_STEPS,
};

struct protocol_target {
	char socket[108];
	char device[XDPD_DEVICE_MAX];
	uint32_t queue;
	char name[XDPD_NAME_MAX];
	bool transmit;
	/* of shared delivery */
	char group[XDPD_NAME_MAX];
	uint32_t flags; /* XDPD_ATTACH_HOLD, XDPD_ATTACH_TAP or neither */
};

struct protocol {
	struct protocol_target target;
	enum protocol_step step;
	int fd;
	uint32_t last_id;
	int fds[PROTOCOL_FDS_MAX]; /* of the grant */
	struct xdpd_grant grant;
	char reason[XDPD_REASON_MAX]; /* of the last ERROR or REVOKE */
	struct {
		void *address;
		size_t length;
	} maps[PROTOCOL_MAPS_MAX];
	size_t n_maps;
	unsigned char *umem;
	struct xdpd_account *account;
	unsigned char *transmit; /* of shared delivery; NULL: it may not transmit */
	uint32_t *sequences;	 /* of a tap; else NULL */
	struct xdpd_ring rx, fill, tx, completion;
	uint64_t received;
	uint32_t unsent; /* the next frame that was never sent */
};

struct protocol_message {
	union {
		struct xdpd_header header;
		struct xdpd_welcome welcome;
		struct xdpd_error error;
		struct xdpd_grant grant;
		struct xdpd_event event;
		struct {
			struct xdpd_header record_header;
			uint32_t record_kind, record_zero;
			union {
				struct xdpd_queue_record queue;
				struct xdpd_interface_record interface;
				struct xdpd_consumer_record consumer;
				struct xdpd_group_record group;
				struct xdpd_worker_record worker;
			};
		};
		unsigned char bytes[XDPD_MESSAGE_MAX];
	};
	size_t length;
};

struct protocol_target protocol_target(const char *socket, const char *device, uint32_t queue,
				       const char *name);

/* Nothing is open yet. */
void protocol_init(struct protocol *ret, const struct protocol_target *target);

/*
 * Unmaps and closes all that is open. The connection may have been closed before, see
 * protocol_hang_up().
 */
void protocol_close(struct protocol *protocol);

#define cleanup_protocol __attribute__((cleanup(protocol_close)))

/*
 * Closes the connection alone: the daemon then ends the attachment, but the fds and mappings
 * remain.
 */
void protocol_hang_up(struct protocol *protocol);

/*
 * Takes all steps up to `step`. A refusal is the -errno that the daemon told, with its sentence in
 * `reason`; -ECONNRESET: it closed the connection; -ETIMEDOUT.
 */
int protocol_go(struct protocol *protocol, enum protocol_step step);

/* Sends a request, whose header is filled in here; `length` is the whole message's. */
int protocol_send(struct protocol *protocol, enum xdpd_message type, void *message, size_t length);

/* A request without a body. */
int protocol_say(struct protocol *protocol, enum xdpd_message type);

/* Sends bytes as they are, with fds. */
int protocol_send_raw(struct protocol *protocol, const void *bytes, size_t length, const int *fds,
		      size_t n_fds);

/*
 * Receives one message and returns its type. A grant's fds are kept in `protocol`, a sentence in
 * `reason`. -ETIMEDOUT; -ECONNRESET: the daemon closed the connection.
 */
int protocol_receive(struct protocol *protocol, struct protocol_message *ret, int timeout_ms);

/*
 * The same for a message of this type, events aside. ERROR and REVOKE are the -errno that they
 * carry, other types -EPROTO.
 */
int protocol_await(struct protocol *protocol, enum xdpd_message type, struct protocol_message *ret);

/* Takes in what still comes: 0 when the daemon has closed the connection. */
int protocol_await_end(struct protocol *protocol);

static inline bool protocol_is_shared(const struct protocol *protocol)
{
	return !(protocol->grant.flags & XDPD_GRANT_EXCLUSIVE);
}

static inline bool protocol_is_tap(const struct protocol *protocol)
{
	return protocol->grant.flags & XDPD_GRANT_TAP;
}

/*
 * Takes up to `max` received frames, waiting for them. Returns how many; 0 after `timeout_ms`. A tap gets
 * descriptors as they lie in its ring, overwritten or not.
 */
uint32_t protocol_take(struct protocol *protocol, struct xdp_desc *frames, uint32_t max,
		       int timeout_ms);

void protocol_give_back(struct protocol *protocol, const struct xdp_desc *frames, uint32_t count);

/* Shared: wakes the worker, whether it sleeps or not. */
void protocol_ring(struct protocol *protocol);

/*
 * Queues frames of 60 bytes as far as there is room, and wakes the kernel; returns how many were
 * queued.
 */
uint32_t protocol_transmit(struct protocol *protocol);

/* ---- looking, by a connection of its own ---- */

/* -ENOENT: no such queue. */
int protocol_find_queue(const char *socket, const char *device, uint32_t queue,
			struct xdpd_queue_record *ret);

/* enum xdpd_queue_state, or -errno. */
int protocol_queue_state(const char *socket, const char *device, uint32_t queue);

int protocol_find_interface(const char *socket, const char *device,
			    struct xdpd_interface_record *ret);

/* Of shared delivery. */
int protocol_find_worker(const char *socket, const char *device, uint32_t queue,
			 struct xdpd_worker_record *ret);
int protocol_find_group(const char *socket, const char *device, uint32_t queue, const char *group,
			struct xdpd_group_record *ret);

int protocol_eject(const char *socket, const char *device, uint32_t queue, const char *reason);

/* ---- a process that goes so far and no further ---- */

/* In memory that test and child share (live_shared()). */
struct stepper {
	struct protocol_target target;
	enum protocol_step step;
	/* What it does there; its result is the exit status. NULL: it rests until it is killed. */
	int (*then)(struct stepper *stepper, struct protocol *protocol);
	int arrived; /* 0: on its way; 1: there; or -errno */
	int word;    /* for `then` to talk with the test */
	char reason[XDPD_REASON_MAX];
};

/* For struct child_options' `call`. */
int stepper_run(void *stepper);

/* Either side's reading and writing of `arrived` and `word`. */
static inline int stepper_read(const int *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void stepper_write(int *word, int value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

#endif
