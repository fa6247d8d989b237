/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One queue of an interface that the config wants: a UMEM and a bound socket that wait for a consumer.
 *
 *              queue_open()                 attachment             it ends
 *     WAITING --------------> READY ----------------> ATTACHED --------------> RELEASING --> READY
 *        ^  queue_close()       |                                                 |
 *        `---- from any --------'        BUSY, FAILED: somebody or something is   `--> BUSY
 *                                        in the way, see `why`; tried again
 *
 * The socket is made and bound before anybody asks for it: so a queue that can't be had is seen at once,
 * and an attach takes no longer than passing fds. Each consumer gets a fresh UMEM. The kernel releases a closed
 * socket's queue some time after its last holder is gone; until then a bind says EBUSY and is tried again.
 *
 * With shared delivery the socket stays the daemon's and any number of consumers are attached at once [share.h]; the
 * queue is ATTACHED while there is one. When the last has left, UMEM and socket are made anew, as no mapping of the
 * old ones can be taken back.
 *
 * Where the kernel can't map the rings of a bound socket (Linux 6.1), the socket stays unbound until a consumer
 * has mapped them. A first one, bound and given up, shows that the queue can be had.
 */
#ifndef DAEMON_QUEUE_H
#define DAEMON_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-event.h>

#include "client/xdpd_protocol.h"
#include "config/config.h"
#include "daemon/failure.h"
#include "daemon/status.h"
#include "daemon/totals.h"
#include "daemon/umem.h"
#include "daemon/xsk.h"

struct attachment;
struct interface;
struct renewal;
struct share;

/* A consumer that is gone from here but may still hold its socket: a process can't be made to close an fd. */
struct former_consumer {
	char name[XDPD_NAME_MAX]; /* empty: there was none */
	uid_t uid;
	pid_t pid;
	sd_event_source *exit; /* its end: then the bind is tried at once */
};

struct queue {
	struct interface *interface;
	uint32_t id;
	uint64_t key; /* in the store, while somebody is attached; 0: it is not there */
	const struct config_queue *settings; /* of the running config */
	enum xdpd_queue_state state;
	struct failure why;	    /* for every state but READY and ATTACHED */
	uint64_t failed_generation; /* of the interface, when it became FAILED */

	struct umem umem;
	struct xsk xsk;
	uint32_t filled;	       /* frames [0, filled) were put into the fill ring */
	enum xdpd_bind_mode bind_mode; /* of the last bind; NONE: never bound */

	uint32_t
		receive_frames; /* shared: frames below it are received into, the others transmitted from */
	struct attachment *attachments; /* a list, the oldest first; exclusive: at most one */
	struct share *share;		/* NULL: it never had shared delivery */
	struct former_consumer former;
	struct renewal *renewal; /* its next socket and UMEM are being made; NULL: none are */
	sd_event_source *retry;
	unsigned int tries;

	struct totals *totals;
	bool counting;		/* the socket is in its slot, and what follows is up to date */
	uint32_t seen_received; /* RX producer and TX consumer at the last sample */
	uint32_t seen_transmitted;
	uint64_t seen_bytes;
	uint64_t
		unclaimed_packets; /* redirected by the program, as counted when the socket was put in place */
	uint64_t socket_packets; /* received through this socket */
};

/* Owned by the interface, ends with queue_free(). NULL: no memory. */
struct queue *queue_new(struct interface *interface, uint32_t id,
			const struct config_queue *settings);

struct saved_queue;

/* What the next process has to know of a queue that somebody is attached to. */
void queue_save(const struct queue *queue, struct saved_queue *ret);

/*
 * Takes up what another process left, of a queue that was just made: ATTACHED from then on, to whoever is added next. The
 * fds are taken over (closed if this fails). Returns 0 or -errno: -EBADMSG (they are not what they should be, or not as
 * the settings want).
 */
int queue_adopt(struct queue *queue, const struct saved_queue *saved, int xsk_fd, int umem_fd);

/*
 * Replaces an adopted socket, which is in no slot any more, by another one on the same UMEM, with empty rings; waits
 * until the kernel has released the queue, at most two seconds. Sets `*ret_arrived` to how many frames the program sent to
 * the old one and the kernel did not drop. Returns 0 or -errno with a sentence: -EBUSY (not released in time), or as
 * xsk_open() and xsk_bind().
 */
int queue_renew_socket(struct queue *queue, uint64_t *ret_arrived, struct failure *why);

/* It is closed. NULL is fine. Returns NULL. */
struct queue *queue_free(struct queue *queue);

/* Makes it READY if it can be had; else the state and `why` say what is in the way, and it is tried again. */
void queue_open(struct queue *queue);

/* Ends consumer, socket and UMEM; WAITING from then on, for the reason in `why`. */
void queue_close(struct queue *queue, enum detach_reason reason, const char *why);

/* A consumer's attachment has ended and is forgotten: gets the queue ready for the next. */
void queue_recycle(struct queue *queue, const char *name, uid_t uid, pid_t pid);

/*
 * Binds the socket of a consumer that was granted it unbound. Returns 0 or -errno with a sentence: -EBUSY is
 * worth another try a little later, -EPROTO means that the consumer bound or changed it.
 */
int queue_bind_late(struct queue *queue, struct failure *why);

/* The socket is in its slot: what the program counts from here on is for it. */
void queue_start_counting(struct queue *queue);

/* Takes the rings' progress into the totals. At least once per 2^32 frames, and before figures are shown. */
void queue_sample(struct queue *queue);

/* It is FAILED, and the interface has changed since. */
bool queue_may_succeed_now(const struct queue *queue);

/* Shared: how many frames consumers can hold together, at most. */
uint32_t queue_lendable(const struct queue *queue);

/* The list of those who may attach to the group (shared delivery; "" or any else), and whether they may transmit. */
const struct access_list *queue_attach_list(const struct queue *queue, const char *group);
bool queue_may_transmit(const struct queue *queue, const char *group);

/*
 * What would become of a frame on it: at most XDPD_GROUPS_MAX records, at least one. Returns 0 or -errno with a
 * sentence.
 */
int queue_trace(struct queue *queue, const void *frame, size_t length,
		struct xdpd_trace_record *ret, size_t *ret_n, struct failure *why);

/* The figures and the state for whoever shows them, as of the last queue_sample() and redirect_read_counters(). */
void queue_describe(struct queue *queue, struct xdpd_queue_record *ret);

/* What the XDP program redirected to the queue's sockets, since the daemon's start. */
struct xdpd_bpf_counter queue_redirected(const struct queue *queue);

/* What it decided on the queue's frames until the last redirect_read_counters(). */
struct xdpd_bpf_counters queue_verdicts_seen(const struct queue *queue);

#endif
