// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/nic.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>

#include "daemon/cleanup.h"
#include "daemon/uapi.h"

/* The kernel answers at once, unless it has no memory for that. */
static const struct timeval patience = {.tv_sec = 2};

struct family {
	uint16_t id;		/* 0: not in this kernel */
	uint32_t monitor_group; /* multicasts of changes; 0: none */
};

struct nic {
	int news_fd;		    /* epoll of the next two */
	struct mnl_socket *links;   /* RTNLGRP_LINK */
	struct mnl_socket *monitor; /* ethtool's changes; NULL: not in this kernel */
	struct mnl_socket *route;   /* questions about links */
	struct mnl_socket *generic; /* questions to ethtool and netdev */
	int ioctl_fd;
	struct family ethtool;
	struct family netdev;
	uint32_t sequence;
	char buffer[32768];
};

/* What a failed question left behind: besides not being wanted, a full socket takes no answers. */
static void drop_leftovers(struct mnl_socket *socket)
{
	ssize_t length;

	do
		length = recv(mnl_socket_get_fd(socket), NULL, 0, MSG_DONTWAIT);
	while (length >= 0 || errno == ENOBUFS || errno == EINTR);
}

/*
 * Sends the request in `nic->buffer` and gives each answer to `callback`. Returns 0 or -errno; -ETIMEDOUT
 * if there is no answer.
 */
static int ask(struct nic *nic, struct mnl_socket *socket, struct nlmsghdr *request,
	       mnl_cb_t callback, void *context)
{
	const uint32_t sequence = ++nic->sequence;
	const uint32_t port = mnl_socket_get_portid(socket);
	const struct nlmsghdr *answer = (const struct nlmsghdr *)nic->buffer;
	int r = MNL_CB_OK;

	request->nlmsg_seq = sequence;
	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	drop_leftovers(socket);
	if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		return -errno;
	do {
		ssize_t length = mnl_socket_recvfrom(socket, nic->buffer, sizeof(nic->buffer));

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		/* An answer that was given up may come late. */
		if (answer->nlmsg_seq == sequence)
			r = mnl_cb_run(nic->buffer, (size_t)length, sequence, port, callback,
				       context);
	} while (r > MNL_CB_STOP);
	return r < 0 ? -errno : 0;
}

static struct nlmsghdr *generic_request(struct nic *nic, uint16_t family, uint8_t command)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(nic->buffer);
	struct genlmsghdr *generic = mnl_nlmsg_put_extra_header(message, sizeof(*generic));

	message->nlmsg_type = family;
	generic->cmd = command;
	generic->version = 1;
	return message;
}

/* The group's id if it is the monitor, else 0. */
static uint32_t read_monitor_group(const struct nlattr *group)
{
	const struct nlattr *attribute;
	const char *name = "";
	uint32_t id = 0;

	mnl_attr_for_each_nested(attribute, group) {
		switch (mnl_attr_get_type(attribute)) {
		case CTRL_ATTR_MCAST_GRP_NAME:
			name = mnl_attr_get_str(attribute);
			break;
		case CTRL_ATTR_MCAST_GRP_ID:
			id = mnl_attr_get_u32(attribute);
			break;
		}
	}
	return strcmp(name, ETHTOOL_MCGRP_MONITOR_NAME) == 0 ? id : 0;
}

static int read_family(const struct nlmsghdr *message, void *context)
{
	struct family *family = context;
	const struct nlattr *attribute, *group;

	mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr)) {
		switch (mnl_attr_get_type(attribute)) {
		case CTRL_ATTR_FAMILY_ID:
			family->id = mnl_attr_get_u16(attribute);
			break;
		case CTRL_ATTR_MCAST_GROUPS:
			mnl_attr_for_each_nested(group, attribute)
				family->monitor_group |= read_monitor_group(group);
			break;
		}
	}
	return MNL_CB_OK;
}

static struct family find_family(struct nic *nic, const char *name)
{
	struct nlmsghdr *request = generic_request(nic, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	struct family family = {};

	mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, name);
	return ask(nic, nic->generic, request, read_family, &family) == 0 ? family
									  : (struct family){};
}

static int open_netlink(struct mnl_socket **ret, int bus)
{
	struct mnl_socket *socket = mnl_socket_open2(bus, SOCK_CLOEXEC);

	if (!socket)
		return -errno;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) < 0) {
		int saved = errno;

		mnl_socket_close(socket);
		return -saved;
	}
	*ret = socket;
	return 0;
}

/* `*ret` is the caller's also on failure. */
static int open_news(struct nic *nic, struct mnl_socket **ret, int bus, uint32_t group)
{
	struct epoll_event event = {.events = EPOLLIN};
	int r = open_netlink(ret, bus);

	if (r < 0)
		return r;
	if (mnl_socket_setsockopt(*ret, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ||
	    epoll_ctl(nic->news_fd, EPOLL_CTL_ADD, mnl_socket_get_fd(*ret), &event) < 0)
		return -errno;
	return 0;
}

int nic_open(struct nic **ret)
{
	struct nic *nic = calloc(1, sizeof(*nic));
	int r;

	if (!nic)
		return -ENOMEM;
	nic->ioctl_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	nic->news_fd = nic->ioctl_fd < 0 ? -1 : epoll_create1(EPOLL_CLOEXEC);
	nic->sequence = (uint32_t)time(NULL);
	r = nic->news_fd < 0 ? -errno : 0;
	if (r == 0)
		r = open_news(nic, &nic->links, NETLINK_ROUTE, RTNLGRP_LINK);
	if (r == 0)
		r = open_netlink(&nic->route, NETLINK_ROUTE);
	if (r == 0)
		r = open_netlink(&nic->generic, NETLINK_GENERIC);
	if (r == 0) {
		nic->ethtool = find_family(nic, ETHTOOL_GENL_NAME);
		nic->netdev = find_family(nic, UAPI_NETDEV_FAMILY);
	}
	if (r == 0 && nic->ethtool.monitor_group)
		r = open_news(nic, &nic->monitor, NETLINK_GENERIC, nic->ethtool.monitor_group);
	if (r < 0) {
		nic_close(nic);
		return r;
	}
	*ret = nic;
	return 0;
}

struct nic *nic_close(struct nic *nic)
{
	if (!nic)
		return NULL;
	if (nic->links)
		mnl_socket_close(nic->links);
	if (nic->monitor)
		mnl_socket_close(nic->monitor);
	if (nic->route)
		mnl_socket_close(nic->route);
	if (nic->generic)
		mnl_socket_close(nic->generic);
	close_fd(nic->news_fd);
	close_fd(nic->ioctl_fd);
	free(nic);
	return NULL;
}

int nic_fd(const struct nic *nic)
{
	return nic->news_fd;
}

static uint32_t read_program_id(const struct nlattr *xdp)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, xdp)
		if (mnl_attr_get_type(attribute) == IFLA_XDP_PROG_ID)
			return mnl_attr_get_u32(attribute);
	return 0;
}

static int read_link(const struct nlmsghdr *message, void *context)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	struct nic_link *link = context;
	struct nlattr *attribute;

	link->ifindex = info->ifi_index;
	link->up = info->ifi_flags & IFF_UP;
	link->carrier = info->ifi_flags & IFF_LOWER_UP;
	link->rx_queues_max = 1;
	mnl_attr_for_each(attribute, message, sizeof(*info)) {
		switch (mnl_attr_get_type(attribute)) {
		case IFLA_IFNAME:
			(void)snprintf(link->name, sizeof(link->name), "%s",
				       mnl_attr_get_str(attribute));
			break;
		case IFLA_MTU:
			link->mtu = mnl_attr_get_u32(attribute);
			break;
		case IFLA_NUM_RX_QUEUES:
			link->rx_queues_max = mnl_attr_get_u32(attribute);
			break;
		case IFLA_XDP:
			link->program_id = read_program_id(attribute);
			break;
		}
	}
	return MNL_CB_OK;
}

struct watcher {
	bool (*concerns)(void *context, int ifindex, const char *name);
	void *context;
	uint16_t ethtool_id;
	bool any;
};

static int look_at_link(const struct nlmsghdr *message, void *context)
{
	struct watcher *watcher = context;
	struct nic_link link = {};

	if (message->nlmsg_type == RTM_NEWLINK || message->nlmsg_type == RTM_DELLINK) {
		(void)read_link(message, &link);
		watcher->any = watcher->any ||
			       watcher->concerns(watcher->context, link.ifindex, link.name);
	}
	return MNL_CB_OK;
}

static void look_at_header(const struct nlattr *header, struct watcher *watcher)
{
	const struct nlattr *attribute;
	const char *name = "";
	int ifindex = 0;

	mnl_attr_for_each_nested(attribute, header) {
		switch (mnl_attr_get_type(attribute)) {
		case ETHTOOL_A_HEADER_DEV_INDEX:
			ifindex = (int)mnl_attr_get_u32(attribute);
			break;
		case ETHTOOL_A_HEADER_DEV_NAME:
			name = mnl_attr_get_str(attribute);
			break;
		}
	}
	watcher->any = watcher->any || watcher->concerns(watcher->context, ifindex, name);
}

static int look_at_channels(const struct nlmsghdr *message, void *context)
{
	const struct genlmsghdr *generic = mnl_nlmsg_get_payload(message);
	struct watcher *watcher = context;
	const struct nlattr *attribute;

	if (message->nlmsg_type != watcher->ethtool_id || generic->cmd != ETHTOOL_MSG_CHANNELS_NTF)
		return MNL_CB_OK;
	mnl_attr_for_each(attribute, message, sizeof(*generic))
		if (mnl_attr_get_type(attribute) == ETHTOOL_A_CHANNELS_HEADER)
			look_at_header(attribute, watcher);
	return MNL_CB_OK;
}

static void drain(struct nic *nic, struct mnl_socket *socket, mnl_cb_t look,
		  struct watcher *watcher)
{
	for (;;) {
		ssize_t length = recv(mnl_socket_get_fd(socket), nic->buffer, sizeof(nic->buffer),
				      MSG_DONTWAIT);

		if (length >= 0)
			(void)mnl_cb_run(nic->buffer, (size_t)length, 0, 0, look, watcher);
		else if (errno == ENOBUFS)
			watcher->any = true;
		else if (errno != EINTR)
			return;
	}
}

bool nic_drain(struct nic *nic, bool (*concerns)(void *context, int ifindex, const char *name),
	       void *context)
{
	struct watcher watcher = {concerns, context, nic->ethtool.id, false};

	drain(nic, nic->links, look_at_link, &watcher);
	if (nic->monitor)
		drain(nic, nic->monitor, look_at_channels, &watcher);
	return watcher.any;
}

int nic_find(struct nic *nic, const char *name, struct nic_link *ret)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(nic->buffer);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(request, sizeof(*info));
	struct nic_link link = {};
	int r;

	request->nlmsg_type = RTM_GETLINK;
	info->ifi_family = AF_UNSPEC;
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	r = ask(nic, nic->route, request, read_link, &link);
	if (r < 0 && r != -ENODEV)
		return r;
	*ret = link;
	return 0;
}

static int read_channels(const struct nlmsghdr *message, void *context)
{
	uint32_t *channels = context;
	struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr)) {
		uint16_t type = mnl_attr_get_type(attribute);

		if (type == ETHTOOL_A_CHANNELS_RX_COUNT ||
		    type == ETHTOOL_A_CHANNELS_COMBINED_COUNT)
			*channels += mnl_attr_get_u32(attribute);
	}
	return MNL_CB_OK;
}

/* Drivers without the ethtool call have as many as they were created with: software devices, mostly one. */
static uint32_t count_channels(struct nic *nic, const struct nic_link *link)
{
	uint32_t channels = 0;

	if (nic->ethtool.id) {
		struct nlmsghdr *request =
			generic_request(nic, nic->ethtool.id, ETHTOOL_MSG_CHANNELS_GET);
		struct nlattr *header = mnl_attr_nest_start(request, ETHTOOL_A_CHANNELS_HEADER);

		mnl_attr_put_u32(request, ETHTOOL_A_HEADER_DEV_INDEX, (uint32_t)link->ifindex);
		mnl_attr_nest_end(request, header);
		if (ask(nic, nic->generic, request, read_channels, &channels) == 0 && channels)
			return channels;
	}
	return link->rx_queues_max ? link->rx_queues_max : 1;
}

static int read_features(const struct nlmsghdr *message, void *context)
{
	struct nic_details *details = context;
	struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr)) {
		switch (mnl_attr_get_type(attribute)) {
		case UAPI_NETDEV_A_DEV_XDP_FEATURES:
			details->xdp_features = mnl_attr_get_u64(attribute);
			break;
		case UAPI_NETDEV_A_DEV_XDP_ZC_MAX_SEGS:
			details->zero_copy_segments = mnl_attr_get_u32(attribute);
			break;
		}
	}
	return MNL_CB_OK;
}

static void find_features(struct nic *nic, const struct nic_link *link, struct nic_details *details)
{
	struct nlmsghdr *request;

	if (!nic->netdev.id)
		return;
	request = generic_request(nic, nic->netdev.id, UAPI_NETDEV_CMD_DEV_GET);
	mnl_attr_put_u32(request, UAPI_NETDEV_A_DEV_IFINDEX, (uint32_t)link->ifindex);
	(void)ask(nic, nic->generic, request, read_features, details);
}

static void find_driver(struct nic *nic, const struct nic_link *link, struct nic_details *details)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq request = {.ifr_data = (void *)&info};

	memcpy(request.ifr_name, link->name, sizeof(request.ifr_name));
	if (ioctl(nic->ioctl_fd, SIOCETHTOOL, &request) < 0)
		return;
	info.driver[sizeof(info.driver) - 1] = '\0';
	(void)snprintf(details->driver, sizeof(details->driver), "%s", info.driver);
}

void nic_inspect(struct nic *nic, const struct nic_link *link, struct nic_details *ret)
{
	*ret = (struct nic_details){};
	ret->channels = count_channels(nic, link);
	find_features(nic, link, ret);
	find_driver(nic, link, ret);
}
