/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/numbers.h"

#include <stdlib.h>
#include <string.h>

#include "config/suggest.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- kinds of numbers ---- */

/* IEEE's registry, under the names that tcpdump and others have for them. */
static const struct word ethertypes[] = {
	{"ipv4", 0x0800},
	{"arp", 0x0806},
	{"wake-on-lan", 0x0842},
	{"rarp", 0x8035},
	{"ipv6", 0x86dd},
	{"lacp", 0x8809},
	{"mpls", 0x8847},
	{"mpls-multicast", 0x8848},
	{"pppoe-discovery", 0x8863},
	{"pppoe-session", 0x8864},
	{"eapol", 0x888e},
	{"profinet", 0x8892},
	{"ethercat", 0x88a4},
	{"lldp", 0x88cc},
	{"macsec", 0x88e5},
	{"ptp", 0x88f7},
	{"cfm", 0x8902},
};

/* IANA's registry; those for which a packet arrives, not IPv6's extension headers. `icmp6` is nearest to the first. */
static const struct word protos[] = {
	{"icmpv6", 58}, {"icmp", 1},  {"igmp", 2},  {"ipip", 4},   {"tcp", 6},	  {"udp", 17},
	{"dccp", 33},	{"ipv6", 41}, {"rsvp", 46}, {"gre", 47},   {"esp", 50},	  {"ah", 51},
	{"eigrp", 88},	{"ospf", 89}, {"pim", 103}, {"vrrp", 112}, {"sctp", 132}, {"udplite", 136},
};

/* Below 0x0600 it is a length [IEEE 802.3]. */
const struct number_kind number_ethertype = {
	.min = 0x0600,
	.max = 0xffff,
	.names = ethertypes,
	.n_names = COUNT(ethertypes),
	.hexadecimal = true,
	.expected = "a name as in arp, a number from 0x0600 to 0xffff, a range of them, or a list",
};

const struct number_kind number_vlan = {
	.max = 4095,
	.expected = "an id from 0 to 4095, a range as in 100-199, or a list as in [5, 7]",
};

const struct number_kind number_proto = {
	.max = 255,
	.names = protos,
	.n_names = COUNT(protos),
	.expected = "a name as in tcp, a number from 0 to 255, a range as in 6-17, or a list as in "
		    "[tcp, udp]",
};

const struct number_kind number_port = {
	.max = 65535,
	.expected = "a port from 0 to 65535, a range as in 1024-2047, or a list as in [53, 5353]",
};

static const char *name_of(const struct number_kind *kind, uint32_t number)
{
	for (size_t i = 0; i < kind->n_names; i++)
		if ((uint32_t)kind->names[i].value == number)
			return kind->names[i].text;
	return NULL;
}

/* ---- text -> range ---- */

static bool find_name(const struct number_kind *kind, const char *text, struct config_range *ret)
{
	for (size_t i = 0; i < kind->n_names; i++) {
		uint32_t number = (uint32_t)kind->names[i].value;

		if (strcmp(kind->names[i].text, text) != 0)
			continue;
		*ret = (struct config_range){number, number};
		return true;
	}
	return false;
}

/* Decimal numbers have no leading zeros, which YAML 1.1 takes for octal. */
static bool scan_number(const char **text, const struct number_kind *kind, uint32_t *ret)
{
	const bool hexadecimal = kind->hexadecimal && strncmp(*text, "0x", 2) == 0;
	const char *digits = *text + (hexadecimal ? 2 : 0);
	size_t n = strspn(digits, hexadecimal ? "0123456789abcdefABCDEF" : "0123456789");
	unsigned long number;

	if (!n || (!hexadecimal && n > 1 && *digits == '0'))
		return false;
	number = strtoul(digits, NULL, hexadecimal ? 16 : 10); /* ULONG_MAX when it is even more */
	if (number < kind->min || number > kind->max)
		return false;
	*text = digits + n;
	*ret = (uint32_t)number;
	return true;
}

static bool scan_range(const char *text, const struct number_kind *kind, struct config_range *ret)
{
	if (find_name(kind, text, ret))
		return true;
	if (!scan_number(&text, kind, &ret->first))
		return false;
	ret->last = ret->first;
	if (*text == '-') {
		text++;
		if (!scan_number(&text, kind, &ret->last))
			return false;
	}
	return !*text;
}

static const char *suggest_name(const struct number_kind *kind, const char *text)
{
	const char *names[COUNT(ethertypes) + COUNT(protos)];

	for (size_t i = 0; i < kind->n_names; i++)
		names[i] = kind->names[i].text;
	return suggest_word(text, names, kind->n_names);
}

static void report_number(struct walk *walk, const char *what, const yaml_node_t *node,
			  const struct number_kind *kind)
{
	const char *near = suggest_name(kind, yaml_node_text(node));

	if (near)
		report_add(walk->report, yaml_node_place(node), "%s is %s, did you mean `%s`?",
			   what, show(node).text, near);
	else
		report_add(walk->report, yaml_node_place(node), "%s is %s, expected %s", what,
			   show(node).text, kind->expected);
}

/* ---- lists ---- */

struct reading {
	const struct number_kind *kind;
	struct config_ranges *ranges;
};

static bool read_range(struct walk *walk, const char *what, const yaml_node_t *node, void *context)
{
	const struct reading *reading = context;
	struct config_ranges *ranges = reading->ranges;
	struct config_range range, *grown;

	if (!scan_range(yaml_node_text(node), reading->kind, &range)) {
		report_number(walk, what, node, reading->kind);
		return false;
	}
	if (range.first > range.last) {
		report_add(walk->report, yaml_node_place(node),
			   reading->kind->hexadecimal
				   ? "%s is %s, expected the lower end first: `0x%04x-0x%04x`"
				   : "%s is %s, expected the lower end first: `%u-%u`",
			   what, show(node).text, range.last, range.first);
		return false;
	}
	grown = reallocarray(ranges->of, ranges->n + 1, sizeof(*grown));
	if (!grown) {
		walk->report->out_of_memory = true;
		return false;
	}
	ranges->of = grown;
	grown[ranges->n++] = range;
	return true;
}

static int compare_ranges(const void *left, const void *right)
{
	const struct config_range *a = left, *b = right;

	return a->first < b->first ? -1 : a->first > b->first;
}

/* Those that overlap or touch become one. */
static void merge(struct config_ranges *ranges)
{
	size_t n = 0;

	qsort(ranges->of, ranges->n, sizeof(*ranges->of), compare_ranges);
	for (size_t i = 0; i < ranges->n; i++) {
		struct config_range next = ranges->of[i], *last = &ranges->of[n ? n - 1 : 0];

		if (n == 0 || next.first > last->last + 1)
			ranges->of[n++] = next;
		else if (next.last > last->last)
			last->last = next.last;
	}
	ranges->n = n;
}

bool numbers_read(struct walk *walk, const char *what, const yaml_node_t *node,
		  const struct number_kind *kind, struct config_ranges *ret)
{
	struct config_ranges ranges = {};
	struct reading reading = {kind, &ranges};

	if (!walk_values(walk, what, node, CONFIG_LIST_MAX, read_range, &reading)) {
		numbers_clear(&ranges);
		return false;
	}
	merge(&ranges);
	*ret = ranges;
	return true;
}

void numbers_clear(struct config_ranges *ranges)
{
	free(ranges->of);
	*ranges = (struct config_ranges){};
}

/* ---- ranges -> text ---- */

static void write_number(FILE *out, const struct number_kind *kind, uint32_t number)
{
	if (kind->hexadecimal)
		fprintf(out, "0x%04x", number);
	else
		fprintf(out, "%u", number);
}

static void write_range(FILE *out, const struct number_kind *kind, struct config_range range)
{
	const char *name = range.first == range.last ? name_of(kind, range.first) : NULL;

	if (name) {
		fputs(name, out);
		return;
	}
	write_number(out, kind, range.first);
	if (range.first == range.last)
		return;
	fputc('-', out);
	write_number(out, kind, range.last);
}

void numbers_write(FILE *out, const struct number_kind *kind, const struct config_ranges *ranges)
{
	if (ranges->n != 1)
		fputc('[', out);
	for (size_t i = 0; i < ranges->n; i++) {
		fputs(i ? ", " : "", out);
		write_range(out, kind, ranges->of[i]);
	}
	if (ranges->n != 1)
		fputc(']', out);
}

bool numbers_have(const struct config_ranges *ranges, uint32_t number)
{
	for (size_t i = 0; i < ranges->n; i++)
		if (ranges->of[i].first <= number && number <= ranges->of[i].last)
			return true;
	return false;
}
