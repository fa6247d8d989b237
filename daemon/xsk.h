/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An AF_XDP socket and its four rings, by system calls.
 *
 * Life: xsk_open() -> xsk_fill() -> xsk_bind() -> frames arrive once the socket is in the XSKMAP -> xsk_close().
 * Needs CAP_NET_RAW to open; binding needs no capability, so an unbound socket in a consumer's hands is
 * confined to its interface by SO_BINDTODEVICE.
 *
 * The daemon does not run per frame here: it fills the fill ring once, and reads the indices for its figures.
 * A consumer can write every word of the rings, so what is read there is shown, never acted on.
 */
#ifndef DAEMON_XSK_H
#define DAEMON_XSK_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/if_xdp.h>

#include "client/xdpd_protocol.h"
#include "config/config.h"
#include "daemon/umem.h"

enum xsk_ring { XSK_RX, XSK_TX, XSK_FILL, XSK_COMPLETION, XSK_RING_COUNT };

struct xsk_ring_map {
	void *address; /* NULL: no such ring */
	size_t length;
	uint64_t page_offset; /* XDP_PGOFF_RX_RING ...: where mmap() finds it */
	uint32_t size;	      /* entries */
	struct xdp_ring_offset offset;
};

struct xsk {
	int fd; /* -1: none */
	struct xsk_ring_map rings[XSK_RING_COUNT];
	enum xdpd_bind_mode bound; /* NONE until bound, then ZERO_COPY or COPY: the kernel's word */
};

#define XSK_NONE ((struct xsk){.fd = -1})

/*
 * Whether this kernel redirects frames of several buffers to AF_XDP sockets (Linux 6.6); an older one loses them.
 * Needs CAP_NET_RAW, and says no without.
 */
bool xsk_takes_fragments(void);

/*
 * Opens a socket on the UMEM with rings of these sizes, mapped; without a TX ring unless `transmit`, which
 * nobody can add after the bind. Owned by the caller. Returns 0 or -errno, then nothing is left: -EPERM
 * (CAP_NET_RAW), -EAFNOSUPPORT (no AF_XDP in this kernel), -ENOBUFS (locked memory), -ENOMEM,
 * -EOPNOTSUPP (a kernel before 5.4, whose rings have no flags).
 */
int xsk_open(struct xsk *ret, const struct umem *umem, const struct ring_sizes *sizes,
	     bool transmit);

/*
 * One that another process opened and bound, whose fd it left: takes the fd over (it is closed if this fails). Where the
 * kernel can't map the rings of a bound socket, it has none here, and all figures of them are 0: see xsk_has_rings().
 * Returns 0 or -errno: -EBADMSG (no AF_XDP socket).
 */
int xsk_adopt(struct xsk *ret, int fd, const struct ring_sizes *sizes, bool transmit);

bool xsk_has_rings(const struct xsk *xsk);

/* Gives frames [0, count) to the kernel. Before the bind: some drivers lose track otherwise. */
void xsk_fill(struct xsk *xsk, const struct umem *umem, uint32_t count);

/* Keeps whoever holds the unbound socket from binding it to another interface. Returns 0 or -errno. */
int xsk_confine(const struct xsk *xsk, const char *device);

/* Whether this kernel's bind heeds that (Linux 6.5, and older ones that were mended). Needs CAP_NET_RAW. */
bool xsk_confinement_holds(const char *device);

/*
 * Binds to a queue. AUTO takes zero-copy where driver and mode have it, else copy; `native` is false where
 * the XDP program runs in generic mode, which has no zero-copy. On success `bound` is set. Returns 0 or
 * -errno: -EBUSY (another socket has the queue, or the kernel is still releasing it), -EOPNOTSUPP (no
 * zero-copy), -ENETDOWN, -ENODEV, -EINVAL (no such queue; bound already, by a consumer that holds it).
 */
int xsk_bind(struct xsk *xsk, int ifindex, uint32_t queue, enum xdpd_bind_mode mode, bool native);

/*
 * Whether the socket's rings can be mapped now. Of a socket that xdpd has bound: whether this kernel can hand it
 * over after the bind (not Linux 6.1, where mmap() says EBUSY from then on). Where it can't, of a socket that was
 * handed over unbound: whether it is so still.
 */
bool xsk_can_be_mapped(const struct xsk *xsk);

/*
 * Whether a socket that was bound is so still: it is not once its interface has gone, or was moved to another namespace,
 * also if it is back.
 */
bool xsk_is_bound(const struct xsk *xsk);

/* The kernel's counters; those that an older kernel lacks are 0. Returns 0 or -errno. */
int xsk_statistics(const struct xsk *xsk, struct xdp_statistics *ret);

/* The shared indices as they are now: anything, if the consumer is hostile. 0 where there is no ring. */
uint32_t xsk_producer(const struct xsk *xsk, enum xsk_ring ring);
uint32_t xsk_consumer(const struct xsk *xsk, enum xsk_ring ring);

/* Entries in the ring now, never more than its size. */
uint32_t xsk_entries(const struct xsk *xsk, enum xsk_ring ring);

/*
 * For an XSK_NONE too; leaves XSK_NONE. The kernel releases the queue later, and only when no holder is left; a bound
 * socket's fd may be open for some milliseconds more (release.h).
 */
void xsk_close(struct xsk *xsk);

#endif
