/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network namespaces and veth pairs for tests, by system calls and rtnetlink.
 *
 * A namespace made here has no name: it lives as long as a process is in it or an fd holds it, and its
 * devices go with it, so that nothing is left behind even after SIGKILL. It has lo up and IPv6 off, as
 * a kernel's own router solicitations would spoil exact counts.
 *
 * Devices are named within the caller's namespace. All functions return 0 (or what they
 * say) or -errno; they need CAP_NET_ADMIN and CAP_SYS_ADMIN. Namespaces belong to threads: meant for
 * processes with one.
 */
#ifndef TESTS_LIVE_NETNS_H
#define TESTS_LIVE_NETNS_H

#include <net/ethernet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

/* Puts the calling thread into a fresh namespace. */
int netns_enter_new(void);

/* Makes a fresh namespace and returns an fd that holds it; the caller stays where it is. */
int netns_new(void);

/* The caller's namespace, as an fd that holds it. */
int netns_current(void);

/* Moves the calling thread into a namespace. */
int netns_enter(int netns);

struct veth_options {
	const char *name;
	const char *peer;
	uint32_t queues;       /* receive and transmit queues of both ends; 0: 1 */
	uint32_t mtu;	       /* of both ends; 0: 1500 */
	struct ether_addr mac; /* all zero: the kernel's choice */
	struct ether_addr peer_mac;
	int peer_netns; /* where the peer goes; 0: beside the first */
	bool down;	/* leave both ends down */
};

/* Makes a pair, sets both ends up and waits until they carry frames. */
int veth_add(const struct veth_options *options);

/* Deletes a device, of a pair both ends. */
int device_delete(const char *name);

/* Up waits until the device carries frames, if its peer is up. */
int device_up(const char *name);
int device_down(const char *name);

/* Before Linux 6.2 the device has to be down. */
int device_rename(const char *name, const char *to);

int device_set_mtu(const char *name, uint32_t mtu);

/* Moves a device into another namespace, where it is down. */
int device_move(const char *name, int netns);

/* As `ethtool -L NAME rx N tx N`. A veth has at most the queues that it was made with. */
int device_set_channels(const char *name, uint32_t queues);

/* As `ethtool -K NAME gro on`: lets the device receive XDP frames (a veth's NAPI) without a program. */
int device_set_gro(const char *name, bool on);

int device_mac(const char *name, struct ether_addr *ret);

/*
 * Reads a counter of `ethtool -S`, e.g. `rx_queue_0_xdp_redirect`; -ENOENT if there is none of that name.
 * A `*` in the name stands for any number, and the sum is returned: `rx_queue_*_drops`.
 */
int device_statistic(const char *name, const char *counter, uint64_t *ret);

#endif
