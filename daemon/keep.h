/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the next process of this daemon is to find: fds in the store [store.h] and what they are in the state [state.h].
 *
 * An fd is put first, then the state names it, and only then anybody else hears that it is there; what ends is first
 * left out of the state and then removed. What only counts is saved a little later, and always before it is shown, so
 * that no counter that anybody has seen goes back.
 *
 * All of it does nothing for a `keep` that is NULL: there is no service manager to keep anything.
 */
#ifndef DAEMON_KEEP_H
#define DAEMON_KEEP_H

#include <stdint.h>

#include "daemon/failure.h"

struct attachment;
struct daemon;
struct interface;
struct keep;
struct queue;
struct state_file;

/*
 * `file`: the state that another process left, taken over; NULL: there is none. Owned by the daemon, ends with
 * keep_free(). NULL and 0 where there is no service manager. Returns 0 or -errno.
 */
int keep_new(struct keep **ret, struct daemon *daemon, struct state_file *file);

struct keep *keep_free(struct keep *keep);

/* It is running: its fds and its queue's. */
void keep_attachment(struct keep *keep, struct attachment *attachment);

/* It has ended. */
void keep_no_attachment(struct keep *keep, struct attachment *attachment);

/* Its socket and memory are about to end. */
void keep_no_queue(struct keep *keep, struct queue *queue);

/* The interface's program is attached, or is about to be detached. */
void keep_program(struct keep *keep, struct interface *interface);
void keep_no_program(struct keep *keep, struct interface *interface);

/* The listening socket, which the daemon made itself. */
void keep_listening(struct keep *keep, int fd);

/* Nothing of all this outlives the process: it stops for good. */
void keep_nothing(struct keep *keep);

/* Something has changed, and shall be saved soon. */
void keep_soon(struct keep *keep);

/* Saves what has changed. Returns 0 or -errno, and the state is as it was. */
int keep_now(struct keep *keep);

/*
 * Saves if the state may have an attachment in it that has ended: before what was its alone becomes another's. Where
 * nobody has ended it is no matter that something else waits to be saved, and who attaches need not wait for that.
 */
int keep_ends_now(struct keep *keep);

/* A key that no other interface, queue or consumer has had. */
uint64_t keep_next_key(struct keep *keep);

#endif
