/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared delivery on one queue, on the main thread: its groups and members, the worker that serves them, and what the
 * XDP program is told of them.
 *
 *     share_admit()             share_join()               adopted                 share_leave()
 *     --------------> GRANTED ---------------> JOINING ---------------> RUNNING ----------------> leaving, until the
 *                                                                                                 worker lets go
 *
 * Two sides have to agree on who is there: the program marks frames for groups, the worker hands them on. What keeps
 * any frame from going astray is the order of their changes. The worker knows a member before the program redirects
 * to its group, and the program has forgotten a group before the worker has; the worker looks for marks before the
 * program writes any (those without are known by the epoch, and go to who was there before); it stops looking before
 * the program stops. share_settle() takes one step of that each time that it is called.
 */
#ifndef DAEMON_SHARE_H
#define DAEMON_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/xdpd_bpf.h"
#include "client/xdpd_protocol.h"
#include "config/config.h"
#include "daemon/failure.h"
#include "daemon/member.h"
#include "daemon/worker.h"

struct attachment;
struct queue;
struct share;

/* Owned by its queue, ends with share_free(). NULL: no memory. */
struct share *share_new(struct queue *queue);

/* Nobody is attached. NULL is fine. Returns NULL. */
struct share *share_free(struct share *share);

/* The group that has this bit here and is in use, whether a config names it or not; "": none. */
const char *share_group(const struct share *share, uint32_t bit);

/* The config's groups and worker have changed. Whoever has no place any more is revoked. */
void share_reconfigure(struct share *share);

/* The queue is ready, and somebody may attach to it soon. */
void share_expect(const struct share *share);

/*
 * Takes the attachment into a group, which is made if need be; its memory is made and waits to be handed over.
 * Returns 0 or -errno with a sentence: -EACCES (the group may only tap), -EUSERS (the queue has no slot or no group
 * left, for anybody or for this uid), -ENOMEM, -EMFILE.
 */
int share_admit(struct share *share, struct attachment *attachment, const char *group,
		uint32_t flags, bool transmit, struct member **ret, struct failure *why);

/* False if the config lets its group only tap now, and it holds. */
bool share_may_stay(const struct share *share, const struct member *member);

/*
 * The first one is mapping its memory now: starts the worker meanwhile, which serves nobody yet. If it goes before it is
 * READY, that was for nothing: a thread, three fds and a mapping of the UMEM, with each attempt. That this can't be done
 * is said by share_join().
 */
void share_prepare(struct share *share);

/*
 * It has mapped its memory: has the worker serve it, which is started if that was not done. attachment_joined() is
 * called when frames flow. Returns 0 or -errno with a sentence.
 */
int share_join(struct share *share, struct member *member, struct failure *why);

/*
 * Takes it out, whatever its state. The worker ends with the last; then no slot of the program's is in use. `reads_on`: it
 * may look at what has arrived for a while.
 */
void share_leave(struct share *share, struct member *member, bool reads_on);

/* The same where no member is: of what another process left there may be the rest, and none could go on. */
void share_close(struct share *share);

/*
 * Goes on until worker and program agree on who is there. `names_groups`: the rules send some frames to some groups
 * only, or are about to. Returns true if nothing is left to be waited for; else it is called again when there are news.
 */
bool share_settle(struct share *share, bool names_groups);

/* ---- what outlives the process [share_saved.c] ---- */

struct saved_queue;
struct saved_group;
struct saved_consumer;

/* Of a queue that somebody is attached to. Returns how many groups there are: at most XDPD_GROUPS_MAX + 1. */
void share_save(const struct share *share, struct saved_queue *ret);
size_t share_save_groups(const struct share *share, struct saved_group *ret);
void share_save_member(struct member *member, struct saved_consumer *ret);

/* The ledger, to be put into the store; -1: there is none. */
int share_ledger_fd(const struct share *share);

/*
 * Takes up what another process left: first the whole, with the ledger (closed if this fails), then its members, then
 * the worker goes on. Return 0 or -errno, and the queue can't be gone on with: -EBADMSG, -EPROTONOSUPPORT, -ENOMEM.
 */
int share_adopt(struct share *share, const struct saved_queue *saved,
		const struct saved_group *groups, size_t n_groups, int ledger_fd);
int share_adopt_member(struct share *share, struct attachment *attachment,
		       const struct saved_consumer *saved, const struct member_remains *remains,
		       struct member **ret);

/*
 * Before its members are taken up, where the kernel does not map a bound socket's rings again (Linux 6.1): the queue goes
 * on with another socket. What lay in the old one's rings is lost; share_resume() counts it as dropped by the kernel.
 */
int share_renew_socket(struct share *share, struct failure *why);

int share_resume(struct share *share, struct failure *why);

/* Packets and bytes that were given to the kernel for transmission, ever. */
struct worker_transmitted share_transmitted(const struct share *share);

/* Whether frames are marked now. */
bool share_is_classified(const struct share *share);

void share_describe_worker(const struct share *share, struct xdpd_worker_record *ret);
void share_describe_member(struct member *member, struct xdpd_consumer_record *ret);

/* The groups that are configured or have members: at most XDPD_GROUPS_MAX. Returns how many. */
size_t share_describe_groups(struct share *share, struct xdpd_group_record *ret);

/* One record for each group of `groups` that has a name here. Returns how many: at most XDPD_GROUPS_MAX. */
size_t share_trace(const struct share *share, uint32_t groups, uint32_t hash,
		   struct xdpd_trace_record *ret);

#endif
