/* SPDX-License-Identifier: BSD-2-Clause */
/* What a `struct xdpd` is inside the library. */
#ifndef XDPD_CLIENT_H
#define XDPD_CLIENT_H

#include "client/connection.h"
#include "client/xdpd.h"

/* UMEM, account and four rings. */
#define XDPD_MAPPINGS_MAX 6

struct xdpd_mapping {
	void *address;
	size_t length;
};

struct xdpd_client {
	struct xdpd x; /* first, so that a pointer to it is a pointer to this */

	struct xdpd_connection connection;
	struct sockaddr_un address;
	char name[XDPD_NAME_MAX];
	int epoll_fd; /* of what xdpd_wait() looks at; `wait_fd` from the first xdpd_fd() on */
	bool fd_wanted;

	int wait_fd; /* -1: not attached */
	bool exclusive;
	bool raw; /* the rings are the program's own business */
	uint32_t headroom;
	uint32_t filled;
	uint32_t rx_start; /* the RX ring's index at the attach */
	uint64_t umem_size;
	struct xdp_statistics before; /* the socket's counters at the attach */
	struct xdpd_mapping mappings[XDPD_MAPPINGS_MAX];
	uint32_t n_mappings;

	/* where the rings' shared words and the account are while there are none: always 0 */
	uint32_t no_word;
	struct xdpd_account no_account;
};

static inline struct xdpd_client *xdpd_client_of(const struct xdpd *x)
{
	return (struct xdpd_client *)x;
}

/* Of a ring, by what both sides see: also right when the program moves the indices itself. */
static inline uint32_t xdpd_entries_produced_by_peer(const struct xdpd_ring *ring)
{
	uint32_t own = __atomic_load_n(ring->shared_own, __ATOMIC_RELAXED);

	return __atomic_load_n(ring->shared_peer, __ATOMIC_ACQUIRE) - own;
}

static inline uint32_t xdpd_entries_produced_by_us(const struct xdpd_ring *ring)
{
	uint32_t peer = __atomic_load_n(ring->shared_peer, __ATOMIC_ACQUIRE);

	return __atomic_load_n(ring->shared_own, __ATOMIC_RELAXED) - peer;
}

/* [wake.c] The kernel's counters; all 0 where the rings are not the kernel's. Returns 0 or -errno. */
int xdpd_client_statistics(const struct xdpd_client *client, struct xdp_statistics *ret);

/* No rings, no frames: what the inline functions can be called with. */
void xdpd_grant_none(struct xdpd_client *client);

/*
 * Maps what a GRANT describes, after checking every place in it against its region, and the regions against
 * their files, so that no grant makes the program touch what is not there. The fds stay the message's, but
 * for `wait_fd`, which becomes the client's. Returns 0, or -errno and nothing has changed: -EPROTO (the grant
 * makes no sense), -ENOMEM, and what mmap() says.
 */
int xdpd_grant_map(struct xdpd_client *client, struct xdpd_received *received);

/* Unmaps all and closes `wait_fd`. */
void xdpd_grant_unmap(struct xdpd_client *client);

#endif
