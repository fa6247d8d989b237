/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service manager's fd store: fds that outlive the process, under names, and come back to the next one
 * [sd_pid_notify_with_fds(3), FDSTORE=1; FileDescriptorStoreMax=]. The same protocol is spoken by `xdpd-supervise`.
 *
 *     state            the state memfd [state.h]
 *     iKEY.link, iKEY.prog, iKEY.MAP ...        an interface's
 *     qKEY.xsk, qKEY.umem, qKEY.ledger          a queue's
 *     cKEY.conn, cKEY.mem, cKEY.bell, cKEY.tap  a consumer's
 *
 * An fd is put before the state names it, and removed after the state has forgotten it. So each fd that a state names is
 * there, unless the store was full; and one that no state names is left over, and removed by whoever finds it.
 *
 * BPF maps and links are put with FDPOLL=0: they poll as errors, which the manager would take for an end.
 *
 * What the manager does [src/core/service.c of systemd 252, the same since]:
 * - It never answers. What a full store (FileDescriptorStoreMax=) turned away is missing at the next start, and only
 *   then is it known.
 * - An open file that it has already is not kept a second time, also not under another name: an fd that came back
 *   needs no putting, and a duplicate of one that is there has no name of its own.
 * - It keeps a stored fd, and its name, over any number of restarts until it is removed; whoever took it has a duplicate.
 * - All the names together come back as one environment string, which the kernel bounds at 128 KiB (MAX_ARG_STRLEN):
 *   beyond, the service can not be started at all (E2BIG). So the store's limit times the length of a name, its colon
 *   included, has to stay below: STORE_FDS_MAX fds of 15 characters.
 *
 * Where there is no store, all is as without: putting does nothing, and nothing comes back. That there is one is told by
 * $NOTIFY_SOCKET and $FDSTORE, how many fds it takes; before systemd 254 the unit says it itself (Environment=). One who
 * sends fds to a manager that keeps none would keep them alive until it reads.
 *
 * Main thread only.
 */
#ifndef DAEMON_STORE_H
#define DAEMON_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_NAME_MAX 40

/* For the unit's FileDescriptorStoreMax=. */
#define STORE_FDS_MAX 8192

#define STORE_WAIT_SECONDS 1

/* The listening socket, where the daemon made it itself. */
#define STORE_LISTENING "l0.sock"

struct store; /* fds that came back and were not taken yet */

/*
 * Takes in $LISTEN_FDS by their names: those of the store (`state`, and a letter, a key, a dot and a part, also of kinds
 * that only a newer version knows), and the listening socket, which has any other name or none: `*ret_listen`, -1 if
 * there is none. All are close-on-exec, and the variables are gone afterwards. Owned by the caller, ends with
 * store_free(). Returns 0 or -errno: -EINVAL with more than one fd of other names, or variables that make no sense;
 * then none of the fds is left open, as far as they could be told, and all are still in the store.
 */
int store_open(struct store **ret, int *ret_listen);

/*
 * Closes what was not taken and has it removed from the manager's store: for a daemon that has found out what is its
 * own. (One that can't start leaves all to the next.) Before it makes anything anew: sockets and programs
 * that are left over are in the way of others, and their names may be given again. NULL is fine. Returns NULL.
 */
struct store *store_free(struct store *store);

/* Closes what was not taken, which stays in the manager's store. NULL is fine. Returns NULL. */
struct store *store_leave(struct store *store);

/* The fd of that name, now the caller's; -1: none. Of several of one name, each call gives another. */
int store_take(struct store *store, const char *name);

/* The next one of a kind and part, `cKEY.conn` of 'c' and "conn", now the caller's, and its key; -1: none. */
int store_take_any(struct store *store, char kind, const char *part, uint64_t *ret_key);

/* There is a service manager, and it keeps fds. */
bool store_is_granted(void);

/* Something came back: there was a daemon before. Stays so when all is taken. */
bool store_has_fds(const struct store *store);

/*
 * Has the manager keep a duplicate under the name. `poll`: removed by the manager when its other end hangs up. Returns
 * 0, also where there is no store or it is full, or -errno: -ETIMEDOUT (the manager does not read; it was waited for
 * once, for STORE_WAIT_SECONDS, and not again until it does), -ETOOMANYREFS (too many fds are under way to it).
 *
 * Nothing is waited for otherwise: that the manager has it is sure in the order of the calls only. What was sent before
 * the daemon died, also by SIGKILL, still counts.
 */
int store_put(const char *name, int fd, bool poll);

/* All of that name. If the manager can't be told, they are left over for the next daemon. */
void store_remove(const char *name);

/*
 * Waits until the manager has done all that it was told before, at most STORE_WAIT_SECONDS: what it was to remove, and
 * nobody else has, is closed then.
 */
void store_settle(void);

/* "q17.xsk" of ('q', 17, "xsk"). */
struct store_name {
	char text[STORE_NAME_MAX];
};

struct store_name store_name(char kind, uint64_t key, const char *part);

#endif
