// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/oracle.h"

#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>

#define DCCP	 33
#define UDP_LITE 136

/* ---- what a frame has ---- */

struct reader {
	const uint8_t *frame;
	size_t length, at;
};

static bool left(const struct reader *reader, size_t bytes)
{
	return reader->at + bytes <= reader->length;
}

static uint32_t two_bytes(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static bool is_one_of(uint32_t value, const uint8_t *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i] == value)
			return true;
	}
	return false;
}

static const uint8_t with_ports[] = {IPPROTO_TCP, IPPROTO_UDP, UDP_LITE, IPPROTO_SCTP, DCCP};
static const uint8_t extensions[] = {IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS, IPPROTO_AH,
				     IPPROTO_FRAGMENT};

static void read_transport(struct oracle_fields *ret, const struct reader *reader)
{
	if (ret->fragment || !is_one_of(ret->proto, with_ports, sizeof(with_ports)) ||
	    !left(reader, 4))
		return;
	ret->has_ports = true;
	ret->source_port = two_bytes(reader->frame + reader->at);
	ret->destination_port = two_bytes(reader->frame + reader->at + 2);
}

static void read_ipv4(struct oracle_fields *ret, struct reader *reader)
{
	const uint8_t *header = reader->frame + reader->at;
	uint32_t offset_and_flags;

	if (!left(reader, 20) || header[0] >> 4 != 4 || (header[0] & 15) < 5)
		return;
	ret->family = AF_INET;
	memcpy(ret->source, header + 12, 4);
	memcpy(ret->destination, header + 16, 4);
	ret->has_proto = true;
	ret->proto = header[9];
	offset_and_flags = two_bytes(header + 6);
	ret->fragment = (offset_and_flags & 0x2000) || (offset_and_flags & 0x1fff);
	reader->at += (header[0] & 15) * 4u;
	read_transport(ret, reader);
}

static void read_ipv6(struct oracle_fields *ret, struct reader *reader)
{
	const uint8_t *header = reader->frame + reader->at;
	uint32_t next;

	if (!left(reader, 40) || header[0] >> 4 != 6)
		return;
	ret->family = AF_INET6;
	memcpy(ret->source, header + 8, 16);
	memcpy(ret->destination, header + 24, 16);
	next = header[6];
	reader->at += 40;
	for (int skipped = 0; is_one_of(next, extensions, sizeof(extensions)); skipped++) {
		if (skipped == 6)
			return;
		header = reader->frame + reader->at;
		ret->fragment = next == IPPROTO_FRAGMENT;
		if (!left(reader, 2))
			return;
		if (ret->fragment) {
			next = header[0];
			break;
		}
		reader->at += next == IPPROTO_AH ? 8 + header[1] * 4u : 8 + header[1] * 8u;
		next = header[0];
	}
	ret->has_proto = true;
	ret->proto = next;
	read_transport(ret, reader);
}

void oracle_read(struct oracle_fields *ret, const uint8_t *frame, size_t length)
{
	struct reader reader = {.frame = frame, .length = length, .at = 12};
	uint32_t type;

	memset(ret, 0, sizeof(*ret));
	if (!left(&reader, 2))
		return;
	type = two_bytes(frame + reader.at);
	reader.at += 2;
	for (int tags = 0; tags < 2 && (type == 0x8100 || type == 0x88a8); tags++) {
		if (!left(&reader, 4))
			return;
		if (tags == 0) {
			ret->has_vlan = true;
			ret->vlan = two_bytes(frame + reader.at) & 0xfff;
		}
		type = two_bytes(frame + reader.at + 2);
		reader.at += 4;
	}
	ret->has_ethertype = true;
	ret->ethertype = type;
	if (type == ETHERTYPE_IP)
		read_ipv4(ret, &reader);
	else if (type == ETHERTYPE_IPV6)
		read_ipv6(ret, &reader);
}

/* ---- whether a rule matches ---- */

static bool within(const struct config_ranges *ranges, uint32_t value)
{
	for (size_t i = 0; i < ranges->n; i++) {
		if (ranges->of[i].first <= value && value <= ranges->of[i].last)
			return true;
	}
	return false;
}

/* Given or not, and if it is given the frame has to have it. */
static bool fits(const struct config_ranges *ranges, bool has, uint32_t value)
{
	return ranges->n == 0 || (has && within(ranges, value));
}

static bool begins_with(const uint8_t *address, const struct config_prefix *prefix)
{
	for (unsigned int bit = 0; bit < prefix->length; bit++) {
		uint8_t mask = (uint8_t)(0x80 >> bit % 8);

		if ((address[bit / 8] & mask) != (prefix->address[bit / 8] & mask))
			return false;
	}
	return true;
}

static bool lies_in(const struct config_prefixes *prefixes, int family, const uint8_t *address)
{
	if (prefixes->n == 0)
		return true;
	for (size_t i = 0; i < prefixes->n; i++) {
		if (prefixes->of[i].family == family && begins_with(address, &prefixes->of[i]))
			return true;
	}
	return false;
}

static bool matches(const struct config_match *match, const struct oracle_fields *fields)
{
	return fits(&match->ethertype, fields->has_ethertype, fields->ethertype) &&
	       fits(&match->vlan, fields->has_vlan, fields->vlan) &&
	       fits(&match->proto, fields->has_proto, fields->proto) &&
	       fits(&match->sport, fields->has_ports, fields->source_port) &&
	       fits(&match->dport, fields->has_ports, fields->destination_port) &&
	       (fits(&match->port, fields->has_ports, fields->source_port) ||
		fits(&match->port, fields->has_ports, fields->destination_port)) &&
	       lies_in(&match->src, fields->family, fields->source) &&
	       lies_in(&match->dst, fields->family, fields->destination) &&
	       (match->fragment < 0 || match->fragment == fields->fragment);
}

size_t oracle_match(const struct config_interface *config, const struct oracle_fields *fields)
{
	size_t i = 0;

	while (i < config->n_rules && !matches(&config->rules[i].match, fields))
		i++;
	return i;
}

/* ---- by chance ---- */

/* xorshift64* */
uint32_t oracle_below(struct oracle_chance *chance, uint32_t limit)
{
	chance->state ^= chance->state >> 12;
	chance->state ^= chance->state << 25;
	chance->state ^= chance->state >> 27;
	return (uint32_t)((chance->state * 0x2545f4914f6cdd1dull) >> 32) % limit;
}

static bool one_in(struct oracle_chance *chance, uint32_t n)
{
	return oracle_below(chance, n) == 0;
}

#define PICK(chance, list) ((list)[oracle_below(chance, sizeof(list) / sizeof((list)[0]))])

static const uint16_t ports[] = {0, 1, 22, 53, 80, 255, 256, 257, 443, 1023, 1024, 4242, 65535};
static const uint16_t vlans[] = {0, 1, 5, 100, 255, 256, 4095};
static const uint16_t types[] = {0x0800, 0x0800, 0x0800, 0x86dd, 0x86dd, 0x86dd,
				 0x0806, 0x88cc, 0x0026, 0xffff, 0x8100};
static const uint8_t protos[] = {IPPROTO_TCP,	 IPPROTO_TCP,  IPPROTO_UDP,  IPPROTO_UDP,
				 UDP_LITE,	 IPPROTO_SCTP, DCCP,	     IPPROTO_ICMP,
				 IPPROTO_ICMPV6, IPPROTO_ESP,  IPPROTO_NONE, 255};

/* Few networks and few hosts, so that prefixes of every length have something in them. */
static void chance_address(struct oracle_chance *chance, int family, uint8_t address[16])
{
	static const uint8_t networks[][16] = {
		{10, 0, 0}, {10, 1, 0}, {192, 0, 2}, {0}, {255, 255, 255, 255},
	};
	static const uint8_t networks6[][16] = {
		{0x20, 0x01, 0x0d, 0xb8},
		{0x20, 0x01, 0x0d, 0xb8, 0, 1},
		{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 7},
		{0xfe, 0x80},
		{0},
		{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
	};
	size_t length = family == AF_INET6 ? 16 : 4;

	memset(address, 0, 16);
	memcpy(address, family == AF_INET6 ? PICK(chance, networks6) : PICK(chance, networks),
	       length);
	if (one_in(chance, 4))
		return;
	if (one_in(chance, 8))
		address[oracle_below(chance, (uint32_t)length)] ^= 1 << oracle_below(chance, 8);
	address[length - 1] ^= (uint8_t)oracle_below(chance, 4);
}

static uint16_t chance_number(struct oracle_chance *chance, uint16_t from_list)
{
	if (one_in(chance, 8))
		return (uint16_t)oracle_below(chance, 65536);
	return (uint16_t)(from_list + oracle_below(chance, 3) - 1);
}

static size_t put_number(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
	return 2;
}

static size_t put_transport(struct oracle_chance *chance, uint8_t *at)
{
	put_number(at, chance_number(chance, PICK(chance, ports)));
	put_number(at + 2, chance_number(chance, PICK(chance, ports)));
	return 8;
}

static size_t put_ipv4(struct oracle_chance *chance, uint8_t *at)
{
	size_t length = one_in(chance, 4) ? oracle_below(chance, 16) * 4u : 20;
	uint8_t address[16];

	memset(at, 0, 60);
	at[0] = (uint8_t)((one_in(chance, 50) ? 0x50 : 0x40) | length / 4);
	if (one_in(chance, 4))
		put_number(at + 6, one_in(chance, 2) ? 0x2000 : oracle_below(chance, 65536));
	at[9] = PICK(chance, protos);
	chance_address(chance, AF_INET, address);
	memcpy(at + 12, address, 4);
	chance_address(chance, AF_INET, address);
	memcpy(at + 16, address, 4);
	return length + put_transport(chance, at + length);
}

static size_t put_ipv6(struct oracle_chance *chance, uint8_t *at)
{
	uint32_t n = one_in(chance, 2) ? 0 : oracle_below(chance, 9);
	uint8_t *next = at + 6;
	size_t length = 40;

	memset(at, 0, 40);
	at[0] = one_in(chance, 50) ? 0x40 : 0x60;
	chance_address(chance, AF_INET6, at + 8);
	chance_address(chance, AF_INET6, at + 24);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t units = (uint8_t)oracle_below(chance, 3);
		bool is_fragment = one_in(chance, 6);

		*next = is_fragment ? IPPROTO_FRAGMENT : extensions[oracle_below(chance, 4)];
		memset(at + length, 0, 40);
		at[length + 1] = units;
		next = at + length;
		length += is_fragment ? 8 : 8 + units * (*next == IPPROTO_AH ? 4u : 8u);
	}
	*next = PICK(chance, protos);
	return length + put_transport(chance, at + length);
}

size_t oracle_frame(struct oracle_chance *chance, uint8_t frame[ORACLE_FRAME_MAX])
{
	static const uint8_t tags[] = {0, 0, 0, 0, 1, 1, 2, 3};
	uint16_t type = PICK(chance, types);
	size_t length = 12;

	memset(frame, 0, ORACLE_FRAME_MAX);
	for (int i = PICK(chance, tags); i > 0; i--) {
		length += put_number(frame + length, one_in(chance, 3) ? 0x88a8 : 0x8100);
		length += put_number(frame + length,
				     oracle_below(chance, 16) << 12 | PICK(chance, vlans));
	}
	length += put_number(frame + length, type);
	if (type == ETHERTYPE_IP)
		length += put_ipv4(chance, frame + length);
	else if (type == ETHERTYPE_IPV6)
		length += put_ipv6(chance, frame + length);
	else
		length += 28;
	if (one_in(chance, 6))
		length = 14 + oracle_below(chance, (uint32_t)length - 13);
	return length;
}

static bool chance_ranges(struct oracle_chance *chance, struct config_ranges *ret,
			  struct config_range of[4], uint32_t value, uint32_t greatest)
{
	ret->of = of;
	ret->n = 0;
	while (ret->n < 4) {
		uint32_t width = one_in(chance, 2) ? 0 : oracle_below(chance, 300);

		if (value > greatest)
			break;
		of[ret->n].first = value;
		of[ret->n].last = value + width > greatest ? greatest : value + width;
		value = of[ret->n++].last + 2 + oracle_below(chance, 50);
		if (one_in(chance, 2))
			break;
	}
	return ret->n > 0;
}

static void chance_prefixes(struct oracle_chance *chance, struct config_prefixes *ret,
			    struct config_prefix of[4])
{
	ret->of = of;
	ret->n = 1 + oracle_below(chance, 4);
	for (size_t i = 0; i < ret->n; i++) {
		int family = one_in(chance, 2) ? AF_INET6 : AF_INET;
		uint32_t bits = family == AF_INET6 ? 128 : 32;
		uint32_t length = one_in(chance, 4) ? oracle_below(chance, bits + 1)
						    : bits / 4 * (1 + oracle_below(chance, 4));

		of[i].family = (uint8_t)family;
		of[i].length = (uint8_t)length;
		chance_address(chance, family, of[i].address);
		for (uint32_t bit = length; bit < 128; bit++)
			of[i].address[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	}
}

static void chance_match(struct oracle_chance *chance, struct config_match *ret,
			 struct config_range ranges[6][4], struct config_prefix prefixes[2][4])
{
	ret->fragment = one_in(chance, 8) ? (int)oracle_below(chance, 2) : -1;
	if (one_in(chance, 5))
		chance_ranges(chance, &ret->ethertype, ranges[0], PICK(chance, types), 65535);
	if (one_in(chance, 6))
		chance_ranges(chance, &ret->vlan, ranges[1], PICK(chance, vlans), 4095);
	if (one_in(chance, 3))
		chance_ranges(chance, &ret->proto, ranges[2], PICK(chance, protos), 255);
	if (one_in(chance, 5))
		chance_ranges(chance, &ret->sport, ranges[3], PICK(chance, ports), 65535);
	if (one_in(chance, 5))
		chance_ranges(chance, &ret->dport, ranges[4], PICK(chance, ports), 65535);
	if (one_in(chance, 5))
		chance_ranges(chance, &ret->port, ranges[5], PICK(chance, ports), 65535);
	if (one_in(chance, 4))
		chance_prefixes(chance, &ret->src, prefixes[0]);
	if (one_in(chance, 4))
		chance_prefixes(chance, &ret->dst, prefixes[1]);
}

static void chance_action(struct oracle_chance *chance, struct config_rule *ret)
{
	ret->action = (enum xdpd_action)(XDPD_ACTION_REDIRECT + oracle_below(chance, 3));
	if (ret->action != XDPD_ACTION_REDIRECT)
		return;
	ret->all_groups = one_in(chance, 4);
	ret->groups = ret->all_groups ? 0 : 1 + oracle_below(chance, 255);
}

void oracle_rules(struct oracle_chance *chance, struct oracle_rules *ret, size_t n)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < n; i++) {
		struct config_match *match = &ret->rules[i].match;

		/* One that looks at nothing leaves nothing to those after it. */
		do {
			memset(match, 0, sizeof(*match));
			chance_match(chance, match, ret->ranges[i], ret->prefixes[i]);
		} while (!match->ethertype.n && !match->vlan.n && !match->proto.n &&
			 !match->sport.n && !match->dport.n && !match->port.n && !match->src.n &&
			 !match->dst.n);
		chance_action(chance, &ret->rules[i]);
	}
	ret->config.rules = ret->rules;
	ret->config.n_rules = n;
	ret->config.otherwise.match.fragment = -1;
	chance_action(chance, &ret->config.otherwise);
}
