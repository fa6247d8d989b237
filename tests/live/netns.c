// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "daemon/cleanup.h"

#define CARRIER_TIMEOUT_MS 2000

/* ---- rtnetlink ---- */

struct request {
	struct nlmsghdr *message;
	char buffer[2048];
};

static struct ifinfomsg *request_start(struct request *request, uint16_t type, uint16_t flags)
{
	request->message = mnl_nlmsg_put_header(request->buffer);
	request->message->nlmsg_type = type;
	request->message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	return mnl_nlmsg_put_extra_header(request->message, sizeof(struct ifinfomsg));
}

static void cleanup_close_netlink(struct mnl_socket **socket)
{
	if (*socket)
		mnl_socket_close(*socket);
}

static int request_send(struct request *request)
{
	__attribute__((cleanup(cleanup_close_netlink))) struct mnl_socket *socket = NULL;
	char answer[8192];
	ssize_t n;

	socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(socket, request->message, request->message->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(socket, answer, sizeof(answer));
	if (n < 0 || mnl_cb_run(answer, n, 0, mnl_socket_get_portid(socket), NULL, NULL) < 0)
		return -errno;
	return 0;
}

/* Starts a change of the device `name`. */
static int change_start(struct request *request, const char *name, struct ifinfomsg **ret)
{
	unsigned int ifindex = if_nametoindex(name);

	if (!ifindex)
		return -errno;
	*ret = request_start(request, RTM_NEWLINK, 0);
	(*ret)->ifi_index = ifindex;
	return 0;
}

/* ---- ioctls ---- */

static int device_ioctl(const char *name, unsigned long command, struct ifreq *request)
{
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (strlen(name) >= sizeof(request->ifr_name))
		return -ENAMETOOLONG;
	strcpy(request->ifr_name, name);
	return ioctl(fd, command, request) < 0 ? -errno : 0;
}

static int device_ethtool(const char *name, void *command)
{
	struct ifreq request = {.ifr_data = command};

	return device_ioctl(name, SIOCETHTOOL, &request);
}

/* ---- namespaces ---- */

int netns_current(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int netns_enter(int netns)
{
	return setns(netns, CLONE_NEWNET) < 0 ? -errno : 0;
}

static int set_no_ipv6(const char *path)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return write(fd, "1", 1) < 0 ? -errno : 0;
}

int netns_enter_new(void)
{
	int r;

	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	r = set_no_ipv6("/proc/sys/net/ipv6/conf/all/disable_ipv6");
	if (r == 0)
		r = set_no_ipv6("/proc/sys/net/ipv6/conf/default/disable_ipv6");
	return r < 0 ? r : device_up("lo");
}

int netns_new(void)
{
	cleanup_fd int before = netns_current();
	cleanup_fd int made = -1;
	int r;

	if (before < 0)
		return before;
	r = netns_enter_new();
	made = netns_current();
	if (netns_enter(before) < 0)
		abort(); /* the caller would go on in the wrong place */
	if (r < 0 || made < 0)
		return r < 0 ? r : made;
	return TAKE_FD(made);
}

/* ---- devices ---- */

static bool carries_frames(const char *name)
{
	struct ifreq request = {0};

	return device_ioctl(name, SIOCGIFFLAGS, &request) == 0 && request.ifr_flags & IFF_RUNNING;
}

/* The queueing discipline starts with the carrier, from a work queue; until then frames sent are dropped. */
static int wait_for_carrier(const char *name)
{
	for (int waited = 0; waited < CARRIER_TIMEOUT_MS; waited++) {
		if (carries_frames(name))
			return 0;
		nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
	}
	return -ETIMEDOUT;
}

static int set_flags(const char *name, unsigned int flags)
{
	struct request request;
	struct ifinfomsg *link;
	int r = change_start(&request, name, &link);

	if (r < 0)
		return r;
	link->ifi_flags = flags;
	link->ifi_change = IFF_UP;
	return request_send(&request);
}

int device_up(const char *name)
{
	struct ethtool_value link = {.cmd = ETHTOOL_GLINK};
	int r = set_flags(name, IFF_UP);

	if (r < 0 || device_ethtool(name, &link) < 0 || !link.data)
		return r;
	return wait_for_carrier(name);
}

int device_down(const char *name)
{
	return set_flags(name, 0);
}

static void put_end(struct nlmsghdr *message, const char *name, const struct veth_options *options,
		    const struct ether_addr *mac)
{
	uint32_t queues = options->queues ? options->queues : 1;

	mnl_attr_put_strz(message, IFLA_IFNAME, name);
	mnl_attr_put_u32(message, IFLA_NUM_RX_QUEUES, queues);
	mnl_attr_put_u32(message, IFLA_NUM_TX_QUEUES, queues);
	if (options->mtu)
		mnl_attr_put_u32(message, IFLA_MTU, options->mtu);
	if (memcmp(mac, &(struct ether_addr){0}, sizeof(*mac)) != 0)
		mnl_attr_put(message, IFLA_ADDRESS, sizeof(*mac), mac);
}

/* Runs set_flags() and the wait in the namespace of the peer. */
static int peer_up(const struct veth_options *options)
{
	cleanup_fd int here = netns_current();
	int r;

	if (!options->peer_netns)
		return set_flags(options->peer, IFF_UP);
	if (here < 0)
		return here;
	r = netns_enter(options->peer_netns);
	if (r < 0)
		return r;
	r = set_flags(options->peer, IFF_UP);
	if (r == 0)
		r = wait_for_carrier(options->peer);
	if (netns_enter(here) < 0)
		abort();
	return r;
}

int veth_add(const struct veth_options *options)
{
	struct nlattr *info, *data, *peer;
	struct request request;
	int r;

	(void)request_start(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	put_end(request.message, options->name, options, &options->mac);
	info = mnl_attr_nest_start(request.message, IFLA_LINKINFO);
	mnl_attr_put_strz(request.message, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(request.message, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(request.message, VETH_INFO_PEER);
	(void)mnl_nlmsg_put_extra_header(request.message, sizeof(struct ifinfomsg));
	put_end(request.message, options->peer, options, &options->peer_mac);
	if (options->peer_netns)
		mnl_attr_put_u32(request.message, IFLA_NET_NS_FD, options->peer_netns);
	mnl_attr_nest_end(request.message, peer);
	mnl_attr_nest_end(request.message, data);
	mnl_attr_nest_end(request.message, info);
	r = request_send(&request);
	if (r < 0 || options->down)
		return r;

	r = set_flags(options->name, IFF_UP);
	if (r == 0)
		r = peer_up(options);
	if (r == 0)
		r = wait_for_carrier(options->name);
	if (r == 0 && !options->peer_netns)
		r = wait_for_carrier(options->peer);
	if (r < 0)
		(void)device_delete(options->name);
	return r;
}

int device_delete(const char *name)
{
	unsigned int ifindex = if_nametoindex(name);
	struct request request;

	if (!ifindex)
		return -errno;
	request_start(&request, RTM_DELLINK, 0)->ifi_index = ifindex;
	return request_send(&request);
}

int device_rename(const char *name, const char *to)
{
	struct request request;
	struct ifinfomsg *link;
	int r = change_start(&request, name, &link);

	if (r < 0)
		return r;
	mnl_attr_put_strz(request.message, IFLA_IFNAME, to);
	return request_send(&request);
}

int device_set_mtu(const char *name, uint32_t mtu)
{
	struct request request;
	struct ifinfomsg *link;
	int r = change_start(&request, name, &link);

	if (r < 0)
		return r;
	mnl_attr_put_u32(request.message, IFLA_MTU, mtu);
	return request_send(&request);
}

int device_move(const char *name, int netns)
{
	struct request request;
	struct ifinfomsg *link;
	int r = change_start(&request, name, &link);

	if (r < 0)
		return r;
	mnl_attr_put_u32(request.message, IFLA_NET_NS_FD, netns);
	return request_send(&request);
}

int device_set_channels(const char *name, uint32_t queues)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	int r = device_ethtool(name, &channels);

	if (r < 0)
		return r;
	channels.cmd = ETHTOOL_SCHANNELS;
	channels.rx_count = queues;
	channels.tx_count = queues;
	return device_ethtool(name, &channels);
}

int device_set_gro(const char *name, bool on)
{
	struct ethtool_value value = {.cmd = ETHTOOL_SGRO, .data = on};

	return device_ethtool(name, &value);
}

int device_mac(const char *name, struct ether_addr *ret)
{
	struct ifreq request = {0};
	int r = device_ioctl(name, SIOCGIFHWADDR, &request);

	if (r == 0)
		memcpy(ret, request.ifr_hwaddr.sa_data, sizeof(*ret));
	return r;
}

int device_statistic(const char *name, const char *counter, uint64_t *ret)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	cleanup_free struct ethtool_gstrings *names = NULL;
	cleanup_free struct ethtool_stats *values = NULL;
	uint64_t sum = 0;
	bool found = false;
	int r = device_ethtool(name, &info);

	if (r < 0)
		return r;
	names = calloc(1, sizeof(*names) + (size_t)info.n_stats * ETH_GSTRING_LEN);
	values = calloc(1, sizeof(*values) + info.n_stats * sizeof(values->data[0]));
	if (!names || !values)
		return -ENOMEM;
	*names = (struct ethtool_gstrings){
		.cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_STATS, .len = info.n_stats};
	*values = (struct ethtool_stats){.cmd = ETHTOOL_GSTATS, .n_stats = info.n_stats};
	r = device_ethtool(name, names);
	if (r == 0)
		r = device_ethtool(name, values);
	if (r < 0)
		return r;

	for (uint32_t i = 0; i < info.n_stats; i++) {
		if (fnmatch(counter, (const char *)names->data + (size_t)i * ETH_GSTRING_LEN, 0) ==
		    0) {
			sum += values->data[i];
			found = true;
		}
	}
	if (!found)
		return -ENOENT;
	*ret = sum;
	return 0;
}
