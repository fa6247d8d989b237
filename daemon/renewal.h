/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When a queue's last consumer has left, its socket and UMEM are closed and others are made, for which the kernel takes
 * its time: some 10 ms until no CPU uses the socket any more, some 10 for 4096 fresh pages. Meanwhile the main thread has
 * other consumers to serve, so this is done on a thread of its own, which is there as long as there is something to do:
 *
 *     main thread        renewal_begin() ............................... done(): takes what was made, and binds it
 *     renewal thread                    closes the old, makes the new --^
 *
 * All functions are the main thread's.
 */
#ifndef DAEMON_RENEWAL_H
#define DAEMON_RENEWAL_H

#include <net/if.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "config/config.h"
#include "daemon/umem.h"
#include "daemon/xsk.h"

struct renewal_wish {
	/* what is closed first */
	struct umem old_umem;
	struct xsk old_xsk;
	/* what is made: as umem_create(), xsk_open() and xsk_confine() take it */
	uint32_t frames, frame_size, headroom;
	bool shared, transmit;
	struct ring_sizes rings;
	char device[IF_NAMESIZE];
};

/* Owns `umem` and `xsk`, not bound yet; `r` < 0: why there are none. */
typedef void (*renewal_done)(void *context, struct umem umem, struct xsk xsk, int r);

struct renewer;
struct renewal;

int renewer_new(struct renewer **ret, sd_event *event);

/* Waits for what is being done. What nobody abandoned is closed. NULL is fine. Returns NULL. */
struct renewer *renewer_free(struct renewer *renewer);

/* Takes over the old ones, except when it fails. Calls `done` once, from the event loop, unless it is abandoned. */
int renewal_begin(struct renewal **ret, struct renewer *renewer, const struct renewal_wish *wish,
		  renewal_done done, void *context);

/* What is made is closed, if anything is. NULL is fine. Returns NULL. */
struct renewal *renewal_abandon(struct renewal *renewal);

#endif
