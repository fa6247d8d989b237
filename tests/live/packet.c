// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/packet.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/cleanup.h"
#include "tests/live/instructions.h"

int packet_open(const char *device)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(device),
	};
	/* Protocol 0 until it is bound: nothing from other devices gets in. */
	cleanup_fd int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	const int yes = 1, size = 64 << 20;

	if (!address.sll_ifindex)
		return -ENODEV;
	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int packet_send(int fd, const void *frame, size_t length)
{
	return send(fd, frame, length, 0) < 0 ? -errno : 0;
}

/* A socket's priority becomes the frame's, and its "receive queue" is what the stack picks its queue by. */
static int load_queue_chooser(void)
{
	const struct bpf_insn program[] = {
		LOAD(BPF_W, 2, 1, offsetof(struct __sk_buff, priority)),
		JUMP_IMM(BPF_JEQ, 2, 0, 1),
		STORE(BPF_W, 1, 2, offsetof(struct __sk_buff, queue_mapping)),
		MOVE_IMM(0, TC_ACT_OK),
		EXIT(),
	};

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "choose_queue", "GPL", program,
			     sizeof(program) / sizeof(program[0]), NULL);
}

int packet_choose_queue(int fd, const char *device, uint32_t queue)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)if_nametoindex(device),
		    .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, filter, .handle = 1, .priority = 1, .flags = BPF_TC_F_REPLACE);
	const int priority = (int)queue + 1; /* 0 stands for none, in both */
	cleanup_fd int program = load_queue_chooser();
	libbpf_print_fn_t print;
	int r;

	if (program < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority)) < 0)
		return -errno;
	print = libbpf_set_print(NULL); /* that the hook is there already is no news */
	r = bpf_tc_hook_create(&hook);
	(void)libbpf_set_print(print);
	if (r < 0 && r != -EEXIST)
		return r;
	filter.prog_fd = program;
	return bpf_tc_attach(&hook, &filter);
}

ssize_t packet_receive(int fd, void *frame, size_t size, int timeout_ms)
{
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	ssize_t length;

	if (poll(&readable, 1, timeout_ms) != 1)
		return -ETIMEDOUT;
	length = recv(fd, frame, size, MSG_TRUNC | MSG_DONTWAIT);
	return length < 0 ? -errno : length;
}

uint32_t packet_missed(int fd)
{
	struct tpacket_stats stats = {0};
	socklen_t length = sizeof(stats);

	(void)getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length);
	return stats.tp_drops;
}

static uint16_t ip_checksum(const struct iphdr *header)
{
	const uint8_t *bytes = (const uint8_t *)header;
	uint32_t sum = 0;

	for (size_t i = 0; i < sizeof(*header); i += 2)
		sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

void packet_udp(void *frame, size_t length, const struct packet_udp *options)
{
	static const struct packet_udp none;
	const struct packet_udp *o = options ? options : &none;
	struct ether_header ethernet = {.ether_type = htons(ETHERTYPE_IP)};
	struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};
	struct udphdr udp = {
		.source = htons(o->source_port ? o->source_port : 1024),
		.dest = htons(o->destination_port ? o->destination_port : 9),
	};
	uint8_t *out = frame;

	memcpy(ethernet.ether_dhost, &o->to, ETH_ALEN);
	memcpy(ethernet.ether_shost, &o->from, ETH_ALEN);
	ip.tot_len = htons((uint16_t)(length - ETH_HLEN));
	ip.saddr = inet_addr(o->source ? o->source : "192.0.2.1");
	ip.daddr = inet_addr(o->destination ? o->destination : "192.0.2.2");
	ip.check = ip_checksum(&ip);
	udp.len = htons((uint16_t)(length - ETH_HLEN - sizeof(ip)));

	memset(frame, 0, length);
	memcpy(out, &ethernet, sizeof(ethernet));
	memcpy(out + ETH_HLEN, &ip, sizeof(ip));
	memcpy(out + ETH_HLEN + sizeof(ip), &udp, sizeof(udp));
}
