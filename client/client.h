/* SPDX-License-Identifier: BSD-2-Clause */
/* What a `struct xdpd` is inside the library. */
#ifndef XDPD_CLIENT_H
#define XDPD_CLIENT_H

#include "client/connection.h"
#include "client/xdpd.h"

/* UMEM, account and four rings; of a tap, what it copies from, too, and the sequence numbers. */
#define XDPD_MAPPINGS_MAX 8

struct xdpd_tap;

struct xdpd_mapping {
	void *address;
	size_t length;
};

/* Of an attachment that is had again by itself [reattach.c]. */
enum xdpd_phase {
	XDPD_SETTLED,	/* attached, or nothing is tried (any more) */
	XDPD_DRAINING,	/* the attachment has ended; what has arrived can still be received */
	XDPD_VOID,	/* it was given up; its frames can be looked at until the next xdpd_wait() */
	XDPD_BACKED_OFF, /* nothing is done until `next` */
	XDPD_GREETING,	/* these wait for WELCOME, ... */
	XDPD_ASKING,	/* ... for GRANT ... */
	XDPD_STARTING,	/* ... and for STARTED; what was granted is mapped, and not to be seen yet */
};

struct xdpd_reattach {
	struct xdpd_attach_request request;
	uint32_t snap_length;
	int limit_ms;	 /* how long to try; negative: for ever, 0: not at all */
	int patience_ms; /* with one attempt */
	enum xdpd_phase phase;
	int timer_fd;	/* in the epoll set, for `next`; -1: none */
	uint64_t next;	/* when there is something to do by itself: an attempt, or to give one up */
	uint64_t began; /* when the attachment that is, or was, began, ... */
	uint64_t ended; /* ... and when it was noticed to have ended */
	uint64_t gap;	/* nanoseconds in all earlier gaps */
	uint32_t delay_ms;
	int error; /* what has ended it, or the last attempt */
	uint32_t received; /* RX index at the last xdpd_wait(), while draining */
	struct xdpd granted; /* while starting */
	struct xdpd_stats past; /* what earlier attachments have counted */
};

/* What xdpd_wait() sleeps in [await.c]. */
struct xdpd_await {
	int set_fd; /* -1: it has not slept yet */
	int timer_fd;
	uint64_t alarm; /* when `timer_fd` ends a sleep; XDPD_NEVER: it does not */
	bool refused;	/* the set could not be had */
};

struct xdpd_client {
	struct xdpd x; /* first, so that a pointer to it is a pointer to this */

	struct xdpd_connection connection;
	struct sockaddr_un address;
	char name[XDPD_NAME_MAX];
	int epoll_fd; /* of what xdpd_wait() looks at; `wait_fd` from the first xdpd_fd() on */
	bool fd_wanted;

	int wait_fd; /* -1: not attached */
	bool exclusive;
	struct xdpd_tap *tap; /* NULL: it is none */
	char group[XDPD_NAME_MAX];
	uint32_t quota;
	bool raw; /* the rings are the program's own business */
	uint32_t headroom;
	uint32_t filled;
	uint32_t rx_start, fill_start; /* the rings' indices at the attach */
	uint32_t coalesce_usecs;
	uint32_t waited_at; /* RX index at the last xdpd_wait() */
	struct xdpd_await await;
	uint64_t umem_size;
	struct xdp_statistics before; /* the socket's counters at the attach */
	struct xdpd_mapping mappings[XDPD_MAPPINGS_MAX];
	uint32_t n_mappings;

	/* of shared delivery */
	uint32_t forwarded;	     /* frames that were lent and are being transmitted */
	uint32_t fill_rung, tx_rung; /* the rings' indices when xdpd was last woken for them */
	uint32_t *sleep_flags;	     /* where it says that it sleeps; NULL: nowhere, it is exclusive or not attached */
	bool armed;		     /* it says so now */
	bool kicked;   /* the epoll set is readable because frames are there, not because somebody woke it */
	bool hung_up;  /* xdpd has closed its end of `wait_fd` */

	struct xdpd_reattach reattach;

	/* where the rings' shared words, entries and the account are while there are none: always 0 */
	uint32_t no_word;
	struct xdp_desc no_entry;
	struct xdpd_account no_account;
};

static inline struct xdpd_client *xdpd_client_of(const struct xdpd *x)
{
	return (struct xdpd_client *)x;
}

/* Of a ring, by what both sides see: also right when the program moves the indices itself. */
static inline uint32_t xdpd_entries_produced_by_peer(const struct xdpd_ring *ring)
{
	uint32_t own = __atomic_load_n(ring->shared_own, __ATOMIC_RELAXED);

	return __atomic_load_n(ring->shared_peer, __ATOMIC_ACQUIRE) - own;
}

static inline uint32_t xdpd_entries_produced_by_us(const struct xdpd_ring *ring)
{
	uint32_t peer = __atomic_load_n(ring->shared_peer, __ATOMIC_ACQUIRE);

	return __atomic_load_n(ring->shared_own, __ATOMIC_RELAXED) - peer;
}

/* Frames that are with the program, transmitted ones that have not come back included. */
static inline uint32_t xdpd_frames_held(const struct xdpd_client *client)
{
	const struct xdpd *x = &client->x;

	return (x->rx.own - client->rx_start) - (x->fill.own - client->fill_start) - x->in_runs;
}

/* [wake.c] The kernel's counters; all 0 where the rings are not the kernel's. Returns 0 or -errno. */
int xdpd_client_statistics(const struct xdpd_client *client, struct xdp_statistics *ret);

/* Of this attachment, by now. Returns 0 or -errno. */
int xdpd_client_count(const struct xdpd_client *client, struct xdpd_stats *ret);

/* ---- [xdpd.c] steps of attaching ---- */

int xdpd_client_watch(struct xdpd_client *client, int fd);

/* Maps what was granted. On failure the connection has ended, too, and its reason is set. */
int xdpd_client_take_grant(struct xdpd_client *client, struct xdpd_received *received,
			   uint32_t snap_length);

/* The daemon has said STARTED. On failure all is unmapped. */
int xdpd_client_start(struct xdpd_client *client);

/* Unmaps, and takes it out of the epoll set. */
void xdpd_client_unmap(struct xdpd_client *client);

/* `wait_fd` and the rings are what the program uses. */
static inline bool xdpd_client_is_attached(const struct xdpd_client *client)
{
	return client->wait_fd >= 0 && client->reattach.phase <= XDPD_DRAINING;
}

/* No rings, no frames: what the inline functions can be called with. */
struct xdpd xdpd_grant_nothing(struct xdpd_client *client);
void xdpd_grant_none(struct xdpd_client *client);

/*
 * Maps what a GRANT describes, after checking every place in it against its region, and the regions against
 * their files, so that no grant makes the program touch what is not there. The fds stay the message's, but
 * for `wait_fd`, which becomes the client's. `snap_length` is for a tap. Returns 0, or -errno and nothing has
 * changed: -EPROTO (the grant makes no sense), -ENOMEM, and what mmap() says.
 */
int xdpd_grant_map(struct xdpd_client *client, struct xdpd_received *received,
		   uint32_t snap_length);

/*
 * Unmaps all but the frames and closes `wait_fd`. No ring is there any more, and the frames can still be looked at:
 * whatever the program does with their descriptors has no effect.
 */
void xdpd_grant_void(struct xdpd_client *client);

/* Unmaps all and closes `wait_fd`. */
void xdpd_grant_unmap(struct xdpd_client *client);

/* ---- [reattach.c] ---- */

/* After xdpd_attach(), with what it was asked for. */
void xdpd_reattach_prepare(struct xdpd_client *client, const struct xdpd_attach_request *request,
			   const struct xdpd_attach_options *options);

/* Time may mend what has ended the attachment with `error`, and that is wanted. */
bool xdpd_reattach_helps(const struct xdpd_client *client, int error);

/* xdpd_wait() when the attachment has ended with `error`, and from then on until there is none. */
int xdpd_reattach_begin(struct xdpd_client *client, int error);
int xdpd_reattach_drain(struct xdpd_client *client);

/* xdpd_wait() without an attachment. */
int xdpd_reattach_wait(struct xdpd_client *client, uint64_t deadline);

/* Lets go of all that is kept for it. */
void xdpd_reattach_forget(struct xdpd_client *client);

/* Nanoseconds without an attachment. */
uint64_t xdpd_reattach_gap(const struct xdpd_client *client);

/* ---- [shared.c] frames of shared delivery, on their two ways back ---- */

/* Puts a frame of its own to transmit with back onto the stack; what is none, or one too many, is let go. */
void xdpd_shared_spare(struct xdpd *x, uint64_t address);

/* xdpd_release_slowly() */
void xdpd_shared_release(struct xdpd_client *client, const struct xdp_desc *frames, uint32_t count);

/* Rings with new entries whose reader sleeps: wakes it. Returns 0 or -errno. */
int xdpd_shared_wake_rx(struct xdpd_client *client);
int xdpd_shared_wake_tx(struct xdpd_client *client);

/* xdpd_rx_starved() */
void xdpd_shared_starved(struct xdpd_client *client);

/* ---- [sleep.c] being woken by xdpd ---- */

/* Frames that xdpd_rx() would return now, at least one. */
bool xdpd_is_receivable(struct xdpd_client *client);

/* Before a poll(): asks to be woken. False: frames have arrived meanwhile, there is nothing to sleep for. */
bool xdpd_sleep_begin(struct xdpd_client *client);

/* After it; `woken` says whether `wait_fd` had something. */
void xdpd_sleep_end(struct xdpd_client *client, bool woken);

/* The program will sleep on xdpd_fd(), from now on. */
void xdpd_sleep_prepare(struct xdpd_client *client);

/* It found nothing to receive, and may sleep there next. */
void xdpd_sleep_elsewhere(struct xdpd_client *client);

/* Frames were found without a sleep: they need not be announced. */
void xdpd_sleep_not(struct xdpd_client *client);

/* The epoll set stops being readable for frames. */
void xdpd_sleep_forget(struct xdpd_client *client);

/* ---- [await.c] the sleep in xdpd_wait() ---- */

enum xdpd_awaited {
	XDPD_AWAITED_FRAMES = 1 << 0, /* `wait_fd` had something */
	XDPD_AWAITED_ERROR = 1 << 1,  /* an error of it, too */
	XDPD_AWAITED_DAEMON = 1 << 2, /* the connection has something */
};

/*
 * Sleeps for `timeout_ms` (-1: for ever, 0: only looks) at most. `deadline` is the same time, where there is one that
 * many sleeps have in common, or else XDPD_NEVER. Returns a set of enum xdpd_awaited, 0 after the time, or before it
 * now and then, or -errno.
 */
int xdpd_await(struct xdpd_client *client, int timeout_ms, uint64_t deadline);

/* What it has kept ends with the attachment. */
void xdpd_await_none(struct xdpd_client *client);
void xdpd_await_end(struct xdpd_client *client);

/* ---- [tap.c] ---- */

/* What a grant brings that is a tap's. */
struct xdpd_tap_source {
	const unsigned char *umem;
	const uint32_t *sequences;
	const struct xdp_desc *entries;
	const uint32_t *producer;
	uint32_t size; /* of the ring */
	uint32_t frames, frame_size;
};

/* Frames that a tap copies into, for a UMEM of so many frames. */
uint32_t xdpd_tap_frames(uint32_t umem_frames);

/* NULL: no memory. Its private rings take the place of those in `x`. It ends by free(). */
struct xdpd_tap *xdpd_tap_new(const struct xdpd_tap_source *source, uint32_t snap_length,
			      struct xdpd *x);

/* Copies what has arrived, as much as there is room for; false if nothing can be received after that. */
bool xdpd_tap_take(struct xdpd_client *client);

/* Takes in what was released, so that the fill ring is empty. */
void xdpd_tap_collect(struct xdpd_client *client);

/* Memory is left to copy into. */
bool xdpd_tap_has_room(struct xdpd_client *client);

/* Entries that were not looked at yet. */
uint32_t xdpd_tap_waiting(const struct xdpd_tap *tap);

uint64_t xdpd_tap_overrun(const struct xdpd_tap *tap);

uint32_t xdpd_tap_full_length(const struct xdpd_tap *tap, const struct xdpd *x,
			      const struct xdp_desc *frame);

uint32_t xdpd_tap_forward(struct xdpd_client *client, const struct xdp_desc *frames,
			  uint32_t count);

#endif
