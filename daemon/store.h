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
 * Where there is no store (no $NOTIFY_SOCKET, or none was granted: $FDSTORE or the unit's limit), all is as without:
 * putting does nothing, and nothing comes back.
 */
#ifndef DAEMON_STORE_H
#define DAEMON_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_NAME_MAX 40

struct store; /* fds that came back and were not taken yet */

/*
 * Takes in $LISTEN_FDS by their names: those of the store, and the listening socket (any other name: `*ret_listen`,
 * -1 if there is none). Owned by the caller, ends with store_free(). Returns 0 or -errno: -EINVAL with more than one fd
 * of other names.
 */
int store_open(struct store **ret, int *ret_listen);

/* Closes what was not taken and has it removed from the manager's store. NULL is fine. Returns NULL. */
struct store *store_free(struct store *store);

/* The fd of that name, now the caller's; -1: none. */
int store_take(struct store *store, const char *name);

/* Something came back: there was a daemon before. */
bool store_has_fds(const struct store *store);

/*
 * Has the manager keep a duplicate under the name. `poll`: removed by the manager when its other end hangs up. Returns
 * 0, also where there is no store, or -errno.
 */
int store_put(const char *name, int fd, bool poll);

void store_remove(const char *name);

/* "q17.xsk" of ('q', 17, "xsk"). */
struct store_name {
	char text[STORE_NAME_MAX];
};

struct store_name store_name(char kind, uint64_t key, const char *part);

#endif
