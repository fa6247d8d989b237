/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The thread of a queue with shared delivery: it runs the hand-off [handoff.h] while there is something to do, looks
 * for more for `spin_usecs`, and then sleeps until the kernel or a member wakes it.
 *
 *     main thread                               worker
 *        | -- roster (a pointer) + kick -------> |  adopts it between two bursts, lets go of who has left
 *        | <------ generation + news ----------- |  what the roster before named is not touched any more
 *        | <------ violations + news ----------- |
 *
 * Nothing else passes between the two but figures, which are read as they are. The worker allocates nothing, takes
 * no lock and says nothing.
 *
 * Members ring by a stream socket each (the other end is theirs). No fd of theirs is ever waited on in a call that
 * could block: a file description that is shared with a stranger has flags that the stranger can change, but
 * MSG_DONTWAIT is the caller's own. A member that rings without end is drained by a bounded read each time.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include <stdint.h>

#include "client/xdpd_protocol.h"
#include "config/config.h"
#include "daemon/handoff.h"
#include "daemon/xsk.h"

struct ledger;
struct worker;

struct worker_options {
	const char *device; /* with the queue it names the thread */
	uint32_t queue;
	struct handoff_memory memory; /* mapped for as long as the worker runs */
	const struct xsk *xsk;	      /* open, mapped and bound for as long, and nobody else's */
	const struct config_worker *settings;
	struct ledger *
		ledger; /* that the hand-off lives in, and outlives the worker; NULL: in memory of its own */

	/* For one that goes on with what another process left in the ledger [handoff_recover()]. */
	bool recover, fresh;
	struct handoff_member *const *members; /* by slot */
	uint64_t stay;
};

/* What could not be had of the settings is in `denied`: "" or what to say. */
struct worker_denied {
	char text[XDPD_REASON_MAX];
};

/*
 * Starts the thread, without members. Owned by the caller, ends with worker_stop(). Returns 0 or -errno: -ENOMEM,
 * -EAGAIN (no more threads), -EMFILE; -EBADMSG (what was left can't be gone on with).
 */
int worker_start(struct worker **ret, const struct worker_options *options,
		 struct worker_denied *denied);

/*
 * Ends the thread, at once or after the burst under way. What is left in the RX ring is counted as unclaimed; from then
 * on all figures are final. May be called again.
 */
void worker_halt(struct worker *worker);

/* Does that if need be, and frees it. NULL is fine. Returns NULL. */
struct worker *worker_stop(struct worker *worker);

/* CPU, scheduling and spinning from now on. */
void worker_configure(struct worker *worker, const struct config_worker *settings,
		      struct worker_denied *denied);

/* Has the roster adopted. It lives until worker_adopted() is its generation or a later one's. */
void worker_publish(struct worker *worker, const struct roster *roster);

/* The generation of the roster that is in use; 0: none yet. All before it may be freed. */
uint64_t worker_adopted(const struct worker *worker);

/* Listens to a member's bell while it is in a roster. Returns 0 or -errno. */
int worker_hear(struct worker *worker, uint32_t slot, int socket_fd);
void worker_unhear(struct worker *worker, int socket_fd);

/* Readable when a roster was adopted or a member broke the rules, until worker_take_news(). */
int worker_news_fd(const struct worker *worker);

/* The slots of members that broke the rules, each once: what they did is in their `violation`. */
uint64_t worker_take_news(struct worker *worker);

/* Fills in what the worker knows: not device, queue and violations. Any time. */
void worker_describe(const struct worker *worker, struct xdpd_worker_record *ret);

/* Bytes and packets given to the kernel for transmission, so far. */
struct worker_transmitted {
	uint64_t packets, bytes;
};

struct worker_transmitted worker_transmitted(const struct worker *worker);

#endif
