/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Closes sockets beside the main thread. The kernel lets the last close() of a bound AF_XDP socket wait until no CPU
 * can be at work with it, 10 to 20 ms [xsk_unbind_dev()]: a thousand queues one after the other would be 12 s in which
 * nobody is served. So threads do it, which wait together for the same moment; they are there only as long as there is
 * something to close.
 */
#ifndef DAEMON_RELEASE_H
#define DAEMON_RELEASE_H

/* Takes the fd. Without memory or threads it is closed when this returns; else soon. From any thread. */
void release_fd(int fd);

/* All that were given before are closed when this returns. */
void release_settle(void);

#endif
