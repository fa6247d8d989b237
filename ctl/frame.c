/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/frame.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define EXAMPLE "`udp 10.0.0.1:53 > 10.0.0.2:4242`"

#define WORD_MAX     64 /* the longest is an IPv6 address in brackets with a port */
#define SHORTEST     60 /* on the wire, without the check sequence */
#define VLANS_MAX    2
#define PROTO_NUMBER (-1) /* a protocol that has no word: its number follows */

struct endpoint {
	int family;
	uint8_t address[16];
	int port; /* -1: not given */
};

/* What the sentence says. */
struct wanted {
	uint16_t vlans[VLANS_MAX];
	size_t n_vlans;
	bool fragment;
	size_t length; /* 0: as short as can be */
	enum { NOTHING, IP, ARP, ETHERTYPE } kind;
	uint16_t ethertype;
	uint8_t proto;
	bool icmp; /* of the family of the addresses */
	struct endpoint from, to;
};

/* ---- words ---- */

struct words {
	const char *rest;
	char word[WORD_MAX]; /* the current one; empty: there are no more */
};

/* `>` is a word of its own, also where no space is around it. A word that is too long is cut, and then is none. */
static void next_word(struct words *words)
{
	const char *at = words->rest + strspn(words->rest, " \t\n");
	size_t length = *at == '>' ? 1 : strcspn(at, " \t\n>");
	size_t kept = length < WORD_MAX ? length : WORD_MAX - 1;

	memcpy(words->word, at, kept);
	words->word[kept] = '\0';
	words->rest = at + length;
}

static bool is(const struct words *words, const char *word)
{
	return !strcmp(words->word, word);
}

static int parse_number(const char *text, unsigned long least, unsigned long most,
			unsigned long *ret)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*ret = strtoul(text, &end, strncmp(text, "0x", 2) ? 10 : 16);
	return *end || errno || *ret < least || *ret > most ? -EINVAL : 0;
}

/* The number behind the current word, which becomes the current one. */
static int take_number(struct words *words, const char *what, unsigned long least,
		       unsigned long most, unsigned long *ret, struct failure *why)
{
	next_word(words);
	if (!*words->word)
		return failure(why, EINVAL, "%s is missing: expected a number from %lu to %lu",
			       what, least, most);
	if (parse_number(words->word, least, most, ret) < 0)
		return failure(why, EINVAL, "`%s` is not %s: expected a number from %lu to %lu",
			       words->word, what, least, most);
	return 0;
}

/* `10.0.0.1:53`, `[2001:db8::1]:443`, and either without its port. */
static int parse_endpoint(const char *word, struct endpoint *ret, struct failure *why)
{
	struct endpoint endpoint = {.family = AF_INET6, .port = -1};
	char address[WORD_MAX];
	const char *port = NULL;
	unsigned long number;
	size_t length = strlen(word);

	if (*word == '[') {
		const char *end = strchr(word, ']');

		if (!end || (end[1] && end[1] != ':'))
			return failure(why, EINVAL,
				       "`%s` is not an address: expected [2001:db8::1]:443", word);
		port = end[1] ? end + 2 : NULL;
		word++;
		length = (size_t)(end - word);
	} else if (strchr(word, ':') && strchr(word, ':') == strrchr(word, ':')) {
		port = strchr(word, ':') + 1;
		length = (size_t)(port - word) - 1;
	}
	memcpy(address, word, length);
	address[length] = '\0';
	if (inet_pton(AF_INET, address, endpoint.address) == 1)
		endpoint.family = AF_INET;
	else if (inet_pton(AF_INET6, address, endpoint.address) != 1)
		return failure(why, EINVAL,
			       "`%s` is not an address: expected one of IPv4, or of IPv6, which is "
			       "in brackets where a port follows",
			       address);
	if (port && parse_number(port, 0, UINT16_MAX, &number) < 0)
		return failure(why, EINVAL, "`%s` is not a port: expected a number up to %d", port,
			       UINT16_MAX);
	if (port)
		endpoint.port = (int)number;
	*ret = endpoint;
	return 0;
}

/* `FROM > TO`, the last of which becomes the current word. */
static int take_endpoints(struct words *words, struct wanted *wanted, struct failure *why)
{
	int r;

	next_word(words);
	if (!*words->word || is(words, ">"))
		return failure(why, EINVAL, "the address that it comes from is missing");
	r = parse_endpoint(words->word, &wanted->from, why);
	if (r < 0)
		return r;
	next_word(words);
	if (!is(words, ">"))
		return failure(why, EINVAL,
			       "expected `>` and where it goes, all in quotes, after the first "
			       "address%s%s%s",
			       *words->word ? ", not `" : "", words->word, *words->word ? "`" : "");
	next_word(words);
	if (!*words->word)
		return failure(why, EINVAL, "the address that it goes to is missing");
	r = parse_endpoint(words->word, &wanted->to, why);
	if (r < 0)
		return r;
	if (wanted->from.family != wanted->to.family)
		return failure(why, EINVAL, "the addresses are one of IPv4 and one of IPv6");
	return 0;
}

/* ---- the sentence ---- */

static const struct protocol {
	const char *word;
	int number;
	uint8_t header; /* bytes of the shortest header, the ports first; 0: it has no ports */
} protocols[] = {
	{"tcp", IPPROTO_TCP, 20},   {"udp", IPPROTO_UDP, 8},	{"udplite", IPPROTO_UDPLITE, 8},
	{"sctp", IPPROTO_SCTP, 12}, {"dccp", IPPROTO_DCCP, 16}, {"icmp", IPPROTO_ICMP, 0},
	{"proto", PROTO_NUMBER, 0},
};

#define N_PROTOCOLS (sizeof(protocols) / sizeof(protocols[0]))

static const struct protocol *find_protocol(const char *word)
{
	for (size_t i = 0; i < N_PROTOCOLS; i++)
		if (!strcmp(protocols[i].word, word))
			return &protocols[i];
	return NULL;
}

/* Bytes of the header with the ports; 0: it has none. */
static size_t ports_header(uint8_t proto)
{
	for (size_t i = 0; i < N_PROTOCOLS; i++)
		if (protocols[i].number == proto)
			return protocols[i].header;
	return 0;
}

static int check_ports(const struct wanted *wanted, struct failure *why)
{
	bool from = wanted->from.port >= 0, to = wanted->to.port >= 0;
	bool has = wanted->kind == IP && ports_header(wanted->proto);

	if (!has && (from || to))
		return failure(why, EINVAL, "there is a port, and such a packet has none");
	if (from != to)
		return failure(why, EINVAL, "only one of the addresses has a port");
	if (has && !from && !wanted->fragment)
		return failure(why, EINVAL,
			       "the ports are missing, without which only a later "
			       "`fragment` goes");
	return 0;
}

static int take_protocol(struct words *words, const struct protocol *protocol,
			 struct wanted *wanted, struct failure *why)
{
	unsigned long number = (unsigned long)protocol->number;
	int r = 0;

	wanted->kind = IP;
	if (protocol->number == PROTO_NUMBER)
		r = take_number(words, "an IP protocol", 0, UINT8_MAX, &number, why);
	if (r < 0)
		return r;
	wanted->proto = (uint8_t)number;
	wanted->icmp = protocol->number == IPPROTO_ICMP;
	r = take_endpoints(words, wanted, why);
	if (r >= 0 && wanted->icmp && wanted->from.family == AF_INET6)
		wanted->proto = IPPROTO_ICMPV6;
	return r;
}

static int take_arp(struct words *words, struct wanted *wanted, struct failure *why)
{
	int r = take_endpoints(words, wanted, why);

	wanted->kind = ARP;
	if (r >= 0 && wanted->from.family != AF_INET)
		return failure(why, EINVAL, "ARP is of IPv4 alone");
	return r;
}

static int take_vlan(struct words *words, struct wanted *wanted, struct failure *why)
{
	unsigned long id;
	int r = take_number(words, "a VLAN", 0, 4094, &id, why);

	if (r < 0)
		return r;
	if (wanted->n_vlans == VLANS_MAX)
		return failure(why, EINVAL, "a frame has %d VLAN tags at most", VLANS_MAX);
	wanted->vlans[wanted->n_vlans++] = (uint16_t)id;
	return 0;
}

static int take_length(struct words *words, struct wanted *wanted, struct failure *why)
{
	unsigned long length;
	int r = take_number(words, "a frame's length", ETHER_HDR_LEN, FRAME_MAX, &length, why);

	if (r < 0)
		return r;
	wanted->length = length;
	return 0;
}

static int take_ethertype(struct words *words, struct wanted *wanted, struct failure *why)
{
	unsigned long type;
	int r;

	next_word(words);
	r = parse_number(words->word, 0x600, UINT16_MAX, &type);
	if (r < 0)
		return failure(why, EINVAL,
			       "`%s` is not an ethertype: expected a number from 0x600 to 0xffff",
			       words->word);
	wanted->kind = ETHERTYPE;
	wanted->ethertype = (uint16_t)type;
	return 0;
}

/* From the current word on. */
static int take_part(struct words *words, struct wanted *wanted, struct failure *why)
{
	const struct protocol *protocol = find_protocol(words->word);
	bool packet = protocol || is(words, "arp") || is(words, "ethertype");

	if (packet && wanted->kind != NOTHING)
		return failure(why, EINVAL, "`%s` begins a second packet", words->word);
	if (protocol)
		return take_protocol(words, protocol, wanted, why);
	if (is(words, "arp"))
		return take_arp(words, wanted, why);
	if (is(words, "ethertype"))
		return take_ethertype(words, wanted, why);
	if (is(words, "vlan"))
		return take_vlan(words, wanted, why);
	if (is(words, "length"))
		return take_length(words, wanted, why);
	if (is(words, "fragment")) {
		wanted->fragment = true;
		return 0;
	}
	return failure(why, EINVAL,
		       "`%s`: expected a packet (udp, tcp, icmp, udplite, sctp, dccp, proto, arp, "
		       "ethertype), vlan, fragment or length",
		       words->word);
}

static int parse_sentence(const char *sentence, struct wanted *wanted, struct failure *why)
{
	struct words words = {.rest = sentence};

	for (next_word(&words); *words.word; next_word(&words)) {
		int r = take_part(&words, wanted, why);

		if (r < 0)
			return r;
	}
	if (wanted->kind == NOTHING)
		return failure(why, EINVAL, "the frame has no packet");
	if (wanted->fragment && wanted->kind != IP)
		return failure(why, EINVAL, "only IP has fragments");
	return check_ports(wanted, why);
}

/* ---- the frame ---- */

static uint8_t *put(uint8_t *at, const void *bytes, size_t n)
{
	memcpy(at, bytes, n);
	return at + n;
}

static uint8_t *put8(uint8_t *at, unsigned value)
{
	*at = (uint8_t)value;
	return at + 1;
}

static uint8_t *put16(uint8_t *at, unsigned value)
{
	return put8(put8(at, value >> 8), value & 0xff);
}

/* The Internet checksum's sum, to go on with; `n` is even, or these are the last bytes. */
static uint32_t sum_of(uint32_t sum, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i += 2)
		sum += (uint32_t)bytes[i] << 8 | (i + 1 < n ? bytes[i + 1] : 0);
	return sum;
}

static uint16_t checksum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* CRC32c, as SCTP has it [RFC 9260, appendix A]. */
static uint32_t crc32c(const uint8_t *bytes, size_t n)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static size_t address_size(const struct wanted *wanted)
{
	return wanted->from.family == AF_INET ? 4 : 16;
}

/* Of the transport's pseudo header. */
static uint32_t pseudo_sum(const struct wanted *wanted, size_t length)
{
	uint32_t sum = wanted->proto + (uint32_t)length;

	sum = sum_of(sum, wanted->from.address, address_size(wanted));
	return sum_of(sum, wanted->to.address, address_size(wanted));
}

/* An echo request; IPv4's ICMP has no pseudo header. */
static void write_icmp(const struct wanted *wanted, uint8_t *at, size_t length)
{
	bool v6 = wanted->proto == IPPROTO_ICMPV6;

	put8(at, v6 ? 128 : 8);
	put16(at + 2, checksum(sum_of(v6 ? pseudo_sum(wanted, length) : 0, at, length)));
}

/*
 * What `length` bytes of payload begin with; the ports are written, all else is 0 so far. The checksum of a first
 * fragment is as if it were all of the datagram.
 */
static void write_transport(const struct wanted *wanted, uint8_t *at, size_t length)
{
	uint32_t crc;

	switch (wanted->proto) {
	case IPPROTO_TCP:
		put8(at + 12, 5 << 4); /* words of header */
		put8(at + 13, 0x02);   /* SYN */
		put16(at + 14, UINT16_MAX);
		put16(at + 16, checksum(sum_of(pseudo_sum(wanted, length), at, length)));
		break;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE: /* whose checksum covers all where it says 0 */
		if (wanted->proto == IPPROTO_UDP)
			put16(at + 4, (unsigned)length);
		put16(at + 6, checksum(sum_of(pseudo_sum(wanted, length), at, length)));
		if (!at[6] && !at[7])
			put16(at + 6, UINT16_MAX); /* 0 would say that there is none */
		break;
	case IPPROTO_DCCP:
		put8(at + 4, 4);	  /* words of header, with the long sequence number */
		put8(at + 8, 2 << 1 | 1); /* a data packet, X */
		put16(at + 6, checksum(sum_of(pseudo_sum(wanted, length), at, length)));
		break;
	case IPPROTO_SCTP:
		crc = crc32c(at, length);
		for (int i = 0; i < 4; i++)
			at[8 + i] = (uint8_t)(crc >> 8 * i);
		break;
	}
}

static size_t ip_header(const struct wanted *wanted)
{
	if (wanted->from.family == AF_INET)
		return 20;
	return wanted->fragment ? 48 : 40;
}

static size_t transport_header(const struct wanted *wanted)
{
	if (wanted->from.port >= 0)
		return ports_header(wanted->proto);
	return wanted->icmp && !wanted->fragment ? 8 : 0;
}

/* In units of 8 bytes: where a datagram of 1500 bytes is cut. */
static unsigned fragment_offset(const struct wanted *wanted)
{
	return wanted->fragment && wanted->from.port < 0 ? 185 : 0;
}

static bool first_fragment(const struct wanted *wanted)
{
	return wanted->fragment && wanted->from.port >= 0;
}

static uint8_t *write_ipv4(const struct wanted *wanted, uint8_t *at, size_t payload)
{
	uint8_t *header = at;

	at = put8(at, 0x45);
	at = put8(at, 0);
	at = put16(at, (unsigned)(20 + payload));
	at = put16(at, wanted->fragment ? 1 : 0); /* identification */
	at = put16(at, fragment_offset(wanted) | (first_fragment(wanted) ? IP_MF : 0));
	at = put8(at, 64);
	at = put8(at, wanted->proto);
	at = put16(at, 0);
	at = put(at, wanted->from.address, 4);
	at = put(at, wanted->to.address, 4);
	put16(header + 10, checksum(sum_of(0, header, 20)));
	return at;
}

static uint8_t *write_ipv6(const struct wanted *wanted, uint8_t *at, size_t payload)
{
	at = put16(at, 0x6000);
	at = put16(at, 0);
	at = put16(at, (unsigned)(ip_header(wanted) - 40 + payload));
	at = put8(at, wanted->fragment ? IPPROTO_FRAGMENT : wanted->proto);
	at = put8(at, 64);
	at = put(at, wanted->from.address, 16);
	at = put(at, wanted->to.address, 16);
	if (!wanted->fragment)
		return at;
	at = put8(at, wanted->proto);
	at = put8(at, 0);
	at = put16(at, fragment_offset(wanted) << 3 | first_fragment(wanted));
	return put16(put16(at, 0), 1); /* identification */
}

static void write_ip(const struct wanted *wanted, uint8_t *at, size_t room)
{
	size_t payload = room - ip_header(wanted);

	if (first_fragment(wanted))
		payload &= ~(size_t)7; /* as all fragments but the last; what is left is padding */
	at = wanted->from.family == AF_INET ? write_ipv4(wanted, at, payload)
					    : write_ipv6(wanted, at, payload);
	if (wanted->from.port >= 0) {
		put16(put16(at, (unsigned)wanted->from.port), (unsigned)wanted->to.port);
		write_transport(wanted, at, payload);
	} else if (wanted->icmp && !wanted->fragment) {
		write_icmp(wanted, at, payload);
	}
}

/* From and to stations that nobody has: the second bit says that they were not assigned. */
static const uint8_t source[ETHER_ADDR_LEN] = {2, 0, 0, 0, 0, 1};
static const uint8_t destination[ETHER_ADDR_LEN] = {2, 0, 0, 0, 0, 2};
static const uint8_t broadcast[ETHER_ADDR_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void write_arp(const struct wanted *wanted, uint8_t *at)
{
	at = put16(put16(at, ARPHRD_ETHER), ETHERTYPE_IP);
	at = put8(put8(at, ETHER_ADDR_LEN), 4);
	at = put16(at, ARPOP_REQUEST);
	at = put(at, source, sizeof(source));
	at = put(at, wanted->from.address, 4);
	put(at + ETHER_ADDR_LEN, wanted->to.address, 4);
}

static unsigned ethertype(const struct wanted *wanted)
{
	switch (wanted->kind) {
	case ARP:
		return ETHERTYPE_ARP;
	case IP:
		return wanted->from.family == AF_INET ? ETHERTYPE_IP : ETHERTYPE_IPV6;
	default:
		return wanted->ethertype;
	}
}

static size_t headers(const struct wanted *wanted)
{
	size_t length = ETHER_HDR_LEN + 4 * wanted->n_vlans;

	if (wanted->kind == ARP)
		return length + 28;
	if (wanted->kind == ETHERTYPE)
		return length;
	length += ip_header(wanted) + transport_header(wanted);
	/* of a first fragment the transport's header is whole */
	return length + (first_fragment(wanted) ? -transport_header(wanted) & 7 : 0);
}

static uint8_t *write_ethernet(const struct wanted *wanted, uint8_t *at)
{
	at = put(at, wanted->kind == ARP ? broadcast : destination, ETHER_ADDR_LEN);
	at = put(at, source, ETHER_ADDR_LEN);
	for (size_t i = 0; i < wanted->n_vlans; i++) {
		/* the outer of two is a service tag [802.1ad] */
		at = put16(at, i + 1 < wanted->n_vlans ? 0x88a8 : ETHERTYPE_VLAN);
		at = put16(at, wanted->vlans[i]);
	}
	return put16(at, ethertype(wanted));
}

static int write_frame(const struct wanted *wanted, struct frame *frame, struct failure *why)
{
	size_t least = headers(wanted);
	uint8_t *at;

	frame->length = wanted->length ? wanted->length : least > SHORTEST ? least : SHORTEST;
	if (frame->length < least)
		return failure(why, EINVAL, "`length %zu` is too short: its headers have %zu bytes",
			       frame->length, least);
	memset(frame->bytes, 0, frame->length);
	at = write_ethernet(wanted, frame->bytes);
	if (wanted->kind == IP)
		write_ip(wanted, at, frame->length - (size_t)(at - frame->bytes));
	else if (wanted->kind == ARP)
		write_arp(wanted, at);
	return 0;
}

int frame_parse(const char *sentence, struct frame *ret, struct failure *why)
{
	struct wanted wanted = {.from.port = -1, .to.port = -1};
	struct failure detail;
	int r = parse_sentence(sentence, &wanted, &detail);

	if (r >= 0)
		r = write_frame(&wanted, ret, &detail);
	return r < 0 ? failure(why, -r, "%s; an example: " EXAMPLE, detail.text) : 0;
}
