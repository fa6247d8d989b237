/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory to be shared with those who are not trusted: memfds of a size that nobody can change, so that a mapping is
 * never cut off (no SIGBUS for anyone). Not F_SEAL_WRITE, as consumers write, and not F_SEAL_FUTURE_WRITE, which would
 * also keep a restarted daemon from mapping them for writing.
 */
#ifndef DAEMON_SEALED_H
#define DAEMON_SEALED_H

#include <stddef.h>

#include <systemd/sd-event.h>

/* All zero. `*ret` is the caller's, who ends it with sealed_close(). Returns 0 or -errno: -ENOMEM, -EMFILE. */
int sealed_create(const char *name, size_t length, int *ret);

/*
 * A second description that can only be read, and none can be made of it that can be written: its owner is the
 * daemon's user and its mode 0400, so that a consumer of another uid can't open it anew through /proc/self/fd.
 * `*ret` is the caller's. Returns 0 or -errno.
 */
int sealed_open_for_reading(int fd, int *ret);

/* For reading and writing; ends with munmap(). Returns 0 or -errno. */
int sealed_map(int fd, size_t length, void **ret);

/*
 * Gives the memory back even if somebody else keeps the memfd: what that one touches from then on is its own. A negative
 * fd is fine, and so is a length of 0.
 */
void sealed_close(int fd, size_t length);

/*
 * The same in two seconds, or at the event loop's end: for whom others may be reading still, who would find zeros. At once
 * when SEALED_LATER_MAX bytes are waiting already, as one who comes and goes would take ever more. Main thread only.
 */
#define SEALED_LATER_MAX ((size_t)256 << 20)

void sealed_close_later(int fd, size_t length, sd_event *event);

#endif
