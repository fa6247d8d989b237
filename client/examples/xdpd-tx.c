// SPDX-License-Identifier: BSD-2-Clause
/* Transmits UDP packets that carry a sequence number, at a rate. */
#include "example.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

static const char help[] =
	"\n"
	"Transmits UDP packets through xdpd. The payload begins with a sequence number of 64 bits\n"
	"(big-endian, from 0), the rest is zero. What the queue receives meanwhile is thrown "
	"away.\n"
	"\n"
	"  -d, --destination MAC  required\n"
	"  -S, --source MAC       default 02:00:00:00:00:01\n"
	"  -r, --rate N           packets per second, or `max` (default 1000)\n"
	"  -z, --size N           bytes of a frame, without its checksum: 60 (the default) or "
	"more\n"
	"  -b, --burst N          packets queued at once, 1 to 64 (default 32)\n"
	"      --from IP:PORT     default 192.0.2.1:9\n"
	"      --to IP:PORT       default 192.0.2.2:9\n";

#define SIZE_MIN 60

/* All that comes before the zeroes. */
struct packet {
	struct ether_header ethernet;
	struct iphdr ip;
	struct udphdr udp;
	uint64_t sequence;
} __attribute__((packed));

struct transmitter {
	struct example example;
	struct packet packet; /* with sequence number 0 */
	uint32_t sum;	      /* of its UDP part, not folded */
	uint32_t size, burst;
	uint64_t rate; /* packets per second; 0: no limit */
	uint64_t sequence;
};

/* ---- the packet ---- */

/* Of the Internet checksum [RFC 1071]: the sum of 16-bit words as they lie in memory. */
static uint32_t sum_words(const void *data, size_t bytes, uint32_t sum)
{
	for (size_t i = 0; i + 1 < bytes; i += 2) {
		uint16_t word;

		memcpy(&word, (const char *)data + i, sizeof(word));
		sum += word;
	}
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Zeroes of the payload add nothing to a checksum, so that of the headers is enough. */
static void complete_packet(struct transmitter *transmitter)
{
	struct packet *packet = &transmitter->packet;
	uint16_t ip_length = (uint16_t)(transmitter->size - sizeof(packet->ethernet));
	uint16_t udp_length = (uint16_t)(ip_length - sizeof(packet->ip));
	uint32_t sum;

	packet->ethernet.ether_type = htons(ETHERTYPE_IP);
	packet->ip.version = 4;
	packet->ip.ihl = sizeof(packet->ip) / 4;
	packet->ip.ttl = 64;
	packet->ip.protocol = IPPROTO_UDP;
	packet->ip.tot_len = htons(ip_length);
	packet->ip.check = fold(sum_words(&packet->ip, sizeof(packet->ip), 0));
	packet->udp.len = htons(udp_length);
	/* The pseudo header: addresses, protocol, length [RFC 768]. */
	sum = sum_words(&packet->ip.saddr, 2 * sizeof(packet->ip.saddr), 0);
	sum += htons(IPPROTO_UDP) + packet->udp.len;
	transmitter->sum = sum_words(&packet->udp, sizeof(packet->udp), sum);
}

static void write_packet(struct transmitter *transmitter, void *frame)
{
	struct packet packet = transmitter->packet;
	uint16_t check;

	packet.sequence = htobe64(transmitter->sequence++);
	check = fold(sum_words(&packet.sequence, sizeof(packet.sequence), transmitter->sum));
	/* 0 would mean that there is none. */
	packet.udp.check = check ? check : 0xffff;
	memcpy(frame, &packet, sizeof(packet));
	memset((char *)frame + sizeof(packet), 0, transmitter->size - sizeof(packet));
}

/* ---- sending ---- */

/* Queues up to `count` packets; returns how many. */
static uint32_t transmit(struct transmitter *transmitter, uint32_t count)
{
	struct xdpd *x = transmitter->example.x;
	struct xdp_desc frames[BURST_MAX];
	uint32_t n = xdpd_tx_alloc(x, frames, count);
	uint32_t sent;

	for (uint32_t i = 0; i < n; i++) {
		frames[i].len = transmitter->size;
		write_packet(transmitter, xdpd_frame(x, frames[i].addr));
	}
	sent = xdpd_tx(x, frames, n);
	xdpd_tx_free(x, frames + sent, n - sent);
	/* The numbers of those that did not fit come again. */
	transmitter->sequence -= n - sent;
	transmitter->example.frames += sent;
	transmitter->example.bytes += (uint64_t)sent * transmitter->size;
	return sent;
}

/* The queue's frames come to whoever is attached; they must not fill the rings. */
static void throw_away_received(struct xdpd *x)
{
	struct xdp_desc frames[BURST_MAX];
	uint32_t n;

	do {
		n = xdpd_rx(x, frames, BURST_MAX);
		xdpd_release(x, frames, n);
	} while (n == BURST_MAX);
}

/* Packets at a steady rate: how many are due by now. */
struct pace {
	uint64_t rate, start, sent;
};

static uint64_t pace_due(struct pace *pace, uint64_t now)
{
	uint64_t due;

	if (!pace->rate)
		return UINT64_MAX;
	/* Anew each second, so that nothing overflows; what was not sent in it is not made up for. */
	if (now - pace->start >= NSEC) {
		pace->start += (now - pace->start) / NSEC * NSEC;
		pace->sent = 0;
	}
	due = (uint64_t)((unsigned __int128)(now - pace->start) * pace->rate / NSEC) + 1;
	return due > pace->sent ? due - pace->sent : 0;
}

/* Until the next packet is due; 0 if it is so soon that sleeping would be too long. */
static void pace_sleep(const struct pace *pace, uint64_t now)
{
	uint64_t next = pace->start + (uint64_t)((unsigned __int128)pace->sent * NSEC / pace->rate);
	struct timespec left;

	if (next < now + 100000)
		return;
	/* Signals are looked at several times a second. */
	left.tv_sec = 0;
	left.tv_nsec = next - now < NSEC / 10 ? (long)(next - now) : (long)NSEC / 10;
	nanosleep(&left, NULL);
}

static uint32_t least(uint64_t a, uint64_t b, uint32_t c)
{
	uint64_t least = a < b ? a : b;

	return least < c ? (uint32_t)least : c;
}

static bool packets_fit(const struct transmitter *transmitter)
{
	const uint32_t frame_size = xdpd_frame_size(transmitter->example.x);

	if (transmitter->size <= frame_size)
		return true;
	fprintf(stderr, "xdpd-tx: --size %u does not fit into this queue's frames of %u\n",
		transmitter->size, frame_size);
	return false;
}

static int run(struct transmitter *transmitter)
{
	struct example *example = &transmitter->example;
	uint64_t now = now_ns();
	uint64_t end = end_of_time(example, now);
	uint64_t listen = 0; /* when to hear next whether xdpd has ended this */
	struct pace pace = {.rate = transmitter->rate, .start = now};
	struct meter meter;
	int r = 0;

	meter_start(&meter, "sending", now);
	while (!stopped && r >= 0 && now < end && example->frames < example->count) {
		uint32_t due = least(pace_due(&pace, now), example->count - example->frames,
				     transmitter->burst);
		uint32_t sent = due ? transmit(transmitter, due) : 0;

		pace.sent += sent;
		throw_away_received(example->x);
		if (!due)
			pace_sleep(&pace, now);
		/* When all frames are under way: sleep a little, which also wakes the kernel. */
		if ((due && !sent) || now >= listen) {
			r = wait_for_frames(example, due && !sent ? 1 : 0);
			listen = now + NSEC / 100;
			/* The daemon may have come back with another config. */
			if (r > 0 && r & XDPD_WAIT_REATTACHED && !packets_fit(transmitter))
				r = -EMSGSIZE;
		}
		now = now_ns();
		meter_show(&meter, example, now);
	}
	return r;
}

/* ---- options ---- */

static void parse_mac(const struct example *example, const char *name, const char *text,
		      uint8_t ret[ETH_ALEN])
{
	struct ether_addr address;
	char what[64];

	snprintf(what, sizeof(what), "%s is a MAC address like 02:00:00:00:00:01", name);
	if (!ether_aton_r(text, &address))
		usage_error(example, what, text);
	memcpy(ret, &address, ETH_ALEN);
}

static void parse_endpoint(const struct example *example, const char *name, const char *text,
			   uint32_t *address, uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	char host[INET_ADDRSTRLEN] = "";
	struct in_addr parsed;
	char what[64];

	if (colon && (size_t)(colon - text) < sizeof(host))
		memcpy(host, text, (size_t)(colon - text));
	snprintf(what, sizeof(what), "%s is an IPv4 address and port like 192.0.2.1:9", name);
	if (inet_pton(AF_INET, host, &parsed) != 1)
		usage_error(example, what, text);
	*address = parsed.s_addr;
	*port = htons((uint16_t)parse_number(example, "a port", colon + 1, 0, UINT16_MAX));
}

enum { OPTION_FROM = OPTION_OWN, OPTION_TO };

static void take_options(struct transmitter *transmitter, int argc, char **argv)
{
	static const struct option options[] = {{"destination", required_argument, NULL, 'd'},
						{"source", required_argument, NULL, 'S'},
						{"rate", required_argument, NULL, 'r'},
						{"size", required_argument, NULL, 'z'},
						{"burst", required_argument, NULL, 'b'},
						{"from", required_argument, NULL, OPTION_FROM},
						{"to", required_argument, NULL, OPTION_TO},
						COMMON_OPTIONS};
	struct example *example = &transmitter->example;
	struct packet *packet = &transmitter->packet;
	bool has_destination = false;
	uint32_t address;
	uint16_t port;
	int option;

	while ((option = getopt_long(argc, argv, "d:S:r:z:b:" COMMON_LETTERS, options, NULL)) >=
	       0) {
		switch (option) {
		case 'd':
			parse_mac(example, "--destination", optarg, packet->ethernet.ether_dhost);
			has_destination = true;
			break;
		case 'S':
			parse_mac(example, "--source", optarg, packet->ethernet.ether_shost);
			break;
		case 'r':
			transmitter->rate =
				!strcmp(optarg, "max")
					? 0
					: parse_number(example, "--rate", optarg, 1, 1000000000);
			break;
		case 'z':
			transmitter->size =
				(uint32_t)parse_number(example, "--size", optarg, SIZE_MIN, 65535);
			break;
		case 'b':
			transmitter->burst =
				(uint32_t)parse_number(example, "--burst", optarg, 1, BURST_MAX);
			break;
		case OPTION_FROM:
			parse_endpoint(example, "--from", optarg, &address, &port);
			packet->ip.saddr = address;
			packet->udp.source = port;
			break;
		case OPTION_TO:
			parse_endpoint(example, "--to", optarg, &address, &port);
			packet->ip.daddr = address;
			packet->udp.dest = port;
			break;
		default:
			take_option(example, option);
		}
	}
	take_arguments(example, argc, argv);
	if (!has_destination) {
		fprintf(stderr, "xdpd-tx: --destination MAC is missing; see --help\n");
		exit(EXIT_USAGE);
	}
}

int main(int argc, char **argv)
{
	struct transmitter transmitter = {
		.example = {.program = "xdpd-tx", .help = help, .count = UINT64_MAX},
		.packet = {.ethernet.ether_shost = {0x02, 0, 0, 0, 0, 0x01},
			   .ip = {.saddr = htonl(0xc0000201), .daddr = htonl(0xc0000202)},
			   .udp = {.source = htons(9), .dest = htons(9)}},
		.size = SIZE_MIN,
		.burst = 32,
		.rate = 1000,
	};
	struct example *example = &transmitter.example;
	struct xdpd_stats stats;
	uint32_t pending;
	int r;

	take_options(&transmitter, argc, argv);
	complete_packet(&transmitter);
	begin(example, XDPD_ATTACH_TRANSMIT);
	if (!packets_fit(&transmitter)) {
		xdpd_close(example->x);
		return EXIT_USAGE;
	}
	r = run(&transmitter);
	pending = flush(example);
	stats = read_stats(example);
	pending += (uint32_t)stats.unsent;
	example->frames -= pending;
	example->bytes -= (uint64_t)pending * transmitter.size;
	r = finish(example, r);
	printf("sent %llu frames %llu bytes, not sent %u, invalid %llu\n",
	       (unsigned long long)example->frames, (unsigned long long)example->bytes, pending,
	       (unsigned long long)stats.tx_invalid);
	return r;
}
