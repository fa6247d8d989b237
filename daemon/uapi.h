/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel interfaces that are newer than the headers of the oldest system that xdpd builds on (Debian 12,
 * Linux 6.1). The values are ABI; each line names the release that introduced it.
 */
#ifndef DAEMON_UAPI_H
#define DAEMON_UAPI_H

#include <linux/bpf.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <sys/socket.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

#ifndef BPF_F_XDP_HAS_FRAGS
#define BPF_F_XDP_HAS_FRAGS (1U << 5) /* 5.18 */
#endif

#define UAPI_XDP_USE_SG		 (1 << 4) /* 6.6 [linux/if_xdp.h] */
#define UAPI_XDP_PACKET_HEADROOM 256	  /* [include/uapi/linux/bpf.h: XDP_PACKET_HEADROOM] */

#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69 /* 5.11 [asm-generic/socket.h] */
#define SO_BUSY_POLL_BUDGET 70
#endif

/* The generic netlink family "netdev" [Documentation/netlink/specs/netdev.yaml], 6.3. */
#define UAPI_NETDEV_FAMILY		  "netdev"
#define UAPI_NETDEV_CMD_DEV_GET		  1
#define UAPI_NETDEV_A_DEV_IFINDEX	  1
#define UAPI_NETDEV_A_DEV_XDP_FEATURES	  3
#define UAPI_NETDEV_A_DEV_XDP_ZC_MAX_SEGS 4 /* 6.6 */

#endif
