/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UMEM: the frames of a queue, in a memfd that the daemon makes, sizes and seals, so that nobody can truncate
 * it under a mapping (no SIGBUS for anyone). A UMEM is a trust domain: all who map it see all its frames, and
 * no mapping can be taken back, so one that an exclusive consumer had is never given to the next.
 *
 *     0                                             size                size + tail_length
 *     | frame 0 | frame 1 | ...        | frame n-1  | tail              |
 *     `------------ registered with the kernel -----'                   `- end of the memfd
 *
 * The tail is the consumer's struct xdpd_account with exclusive delivery, and with shared delivery a sequence number
 * (u32) for each frame. There consumers get a description that can only be read, so they can neither change frames
 * nor make holes in them, which would read as zeros.
 *
 * Needs no capability.
 */
#ifndef DAEMON_UMEM_H
#define DAEMON_UMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "client/xdpd_protocol.h"

struct umem {
	int fd;		  /* -1: none */
	int read_only_fd; /* -1: none */
	uint32_t frames;
	uint32_t frame_size;
	uint32_t headroom;
	size_t size;	    /* bytes of all frames: frames * frame_size */
	size_t tail_length; /* bytes, whole pages */
};

#define UMEM_NONE ((struct umem){.fd = -1, .read_only_fd = -1})

/*
 * `shared`: with sequence numbers and a description to be read. Owned by the caller, ends with umem_close(). Returns 0
 * or -errno (-ENOMEM, -EMFILE).
 */
int umem_create(struct umem *ret, uint32_t frames, uint32_t frame_size, uint32_t headroom,
		bool shared);

/*
 * One that another process made, of these sizes: takes the fd over (it is closed if this fails). Returns 0 or -errno:
 * -EBADMSG (not a memfd of that size).
 */
int umem_adopt(struct umem *ret, int fd, uint32_t frames, uint32_t frame_size, uint32_t headroom,
	       bool shared);

/*
 * Registers the frames with an AF_XDP socket [XDP_UMEM_REG]: the kernel pins the pages, so the mapping that
 * the call needs is gone when it returns. Returns 0 or -errno: -ENOBUFS when the locked memory limit of the
 * user is spent, -ENOMEM.
 */
int umem_register(const struct umem *umem, int socket_fd);

/* Bytes that a received frame can have: the kernel keeps XDP_PACKET_HEADROOM and `headroom` free before it. */
uint32_t umem_capacity(const struct umem *umem);

/*
 * What the consumer says in its account, for show only. Read, not mapped: in a mapping, a hole that the consumer
 * punches would have to be filled at our cost, or with SIGBUS.
 */
uint64_t umem_transmit_bytes(const struct umem *umem);

/*
 * For a UMEM_NONE too; leaves UMEM_NONE. Gives the memory back even if a former consumer keeps the memfd: what it
 * touches from then on is its own. What the kernel has pinned goes when the socket's last holder is gone.
 */
void umem_close(struct umem *umem);

/* The same, but later [sealed.h]: for consumers that did not leave by themselves, and may look at what has arrived. */
void umem_close_later(struct umem *umem, sd_event *event);

#endif
