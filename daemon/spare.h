/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for the next consumer, made while nobody waits for it. A memfd, its seals, its mapping and its first pages are a
 * tenth of a millisecond on a CPU that has slept, and who attaches would wait for them.
 *
 * There is one of each kind, as long as the last one that was asked for, which is what the next one asks for where queues
 * are alike. Whoever asks for another length, or comes before it is made anew, waits as if there were none. All on the
 * main thread.
 */
#ifndef DAEMON_SPARE_H
#define DAEMON_SPARE_H

#include <stddef.h>

#include <systemd/sd-event.h>

enum spare_kind {
	SPARE_MEMBER, /* a consumer's rings */
	SPARE_LEDGER, /* for the first consumer of a queue */
	SPARE_KINDS,
};

/* Pages behind the first ones, which are what a grant's rings take, are not made beforehand. */
#define SPARE_PAGES_MAX ((size_t)256 << 10)

/* How long after one is asked for the next is made: when who asked has what it wanted. */
#define SPARE_DELAY_USEC (5 * 1000)

/* From now on they are made by this loop, which outlives them; before, and after spare_end(), there are none. */
void spare_begin(sd_event *event);
void spare_end(void);

/* One of this kind is likely to be asked for. */
void spare_expect(enum spare_kind kind, size_t length);

/*
 * All zero, sealed and mapped [sealed.h]; what of it has its pages yet is not told. Both are the caller's, who ends them with
 * munmap() and sealed_close(). The next one is expected to be as long. Returns 0 or -errno: -ENOMEM, -EMFILE.
 */
int spare_take(enum spare_kind kind, size_t length, int *ret_fd, void **ret_memory);

#endif
