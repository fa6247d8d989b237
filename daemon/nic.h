/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel says about network interfaces: by rtnetlink (links and their changes), ethtool netlink
 * (channels), the ethtool ioctl (driver) and the netdev family (XDP features). Reads only; needs no
 * capability. Speaks of the network namespace that it was opened in.
 */
#ifndef DAEMON_NIC_H
#define DAEMON_NIC_H

#include <stdbool.h>
#include <stdint.h>

#include "client/xdpd_protocol.h"

struct nic_link {
	int ifindex; /* 0: there is no such interface */
	char name[XDPD_DEVICE_MAX];
	bool up;      /* administratively */
	bool carrier; /* and with a link */
	uint32_t mtu;
	uint32_t rx_queues_max; /* the most that it was created for: channels stay within */
	uint32_t program_id;	/* of the XDP program that is attached, anybody's; 0: none */
};

struct nic_details {
	char driver[32];
	uint32_t channels;	     /* receive queues in use, at least 1 */
	uint64_t xdp_features;	     /* NETDEV_XDP_ACT_*; 0: the kernel can't tell (before 6.3) */
	uint32_t zero_copy_segments; /* 0: not told */
};

struct nic; /* netlink sockets */

/* Owned by the caller, ends with nic_close(). Returns 0 or -errno. */
int nic_open(struct nic **ret);

/* NULL is fine. Returns NULL. */
struct nic *nic_close(struct nic *nic);

/*
 * Readable when an interface came, went or changed, its channels included where the kernel tells of them
 * (ethtool netlink, 5.7); then call nic_drain(). For poll and epoll.
 */
int nic_fd(const struct nic *nic);

/*
 * Takes in what nic_fd() has to say: true if something happened to an interface that `concerns` says yes to,
 * or some news were lost (ENOBUFS), so that anything may have. What it was is then asked for anew.
 */
bool nic_drain(struct nic *nic, bool (*concerns)(void *context, int ifindex, const char *name),
	       void *context);

/*
 * The interface of this name as it is now; `ret->ifindex` is 0 if there is none. Returns 0 or -errno:
 * -ETIMEDOUT if the kernel does not answer within 2 s. A question that failed does not spoil the next.
 */
int nic_find(struct nic *nic, const char *name, struct nic_link *ret);

/* What takes more system calls to find out. Never fails: what can't be told is empty. */
void nic_inspect(struct nic *nic, const struct nic_link *link, struct nic_details *ret);

#endif
