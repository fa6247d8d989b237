/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/match.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "config/numbers.h"
#include "config/prefixes.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const char *const match_keys[] = {"ethertype", "vlan",  "proto", "src",	   "dst",
					 "sport",     "dport", "port",	"fragment"};
enum { ETHERTYPE, VLAN, PROTO, SRC, DST, SPORT, DPORT, PORT, FRAGMENT };

static const uint32_t protos_with_ports[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_DCCP, IPPROTO_SCTP,
					     IPPROTO_UDPLITE};

/* Fields that are numbers or prefixes, by their keys; NULL for the others. */
static struct config_ranges *ranges_of(struct config_match *match, size_t key)
{
	switch (key) {
	case ETHERTYPE:
		return &match->ethertype;
	case VLAN:
		return &match->vlan;
	case PROTO:
		return &match->proto;
	case SPORT:
		return &match->sport;
	case DPORT:
		return &match->dport;
	case PORT:
		return &match->port;
	default:
		return NULL;
	}
}

static struct config_prefixes *prefixes_of(struct config_match *match, size_t key)
{
	return key == SRC ? &match->src : key == DST ? &match->dst : NULL;
}

static const struct number_kind *kind_of(size_t key)
{
	return key == ETHERTYPE ? &number_ethertype
	       : key == VLAN	? &number_vlan
	       : key == PROTO	? &number_proto
				: &number_port;
}

static void write_field(FILE *out, const struct config_match *match, size_t key)
{
	const struct config_ranges *ranges = ranges_of((struct config_match *)match, key);

	if (ranges)
		numbers_write(out, kind_of(key), ranges);
	else if (key == FRAGMENT)
		fputs(match->fragment ? "true" : "false", out);
	else
		prefixes_write(out, prefixes_of((struct config_match *)match, key));
}

static bool has_field(const struct config_match *match, size_t key)
{
	const struct config_ranges *ranges = ranges_of((struct config_match *)match, key);

	if (ranges)
		return ranges->n;
	if (key == FRAGMENT)
		return match->fragment >= 0;
	return prefixes_of((struct config_match *)match, key)->n;
}

/* ---- what no frame has ---- */

/* What a field is, for sentences: canonical, so that a list has a text too. */
static struct shown show_field(const struct config_match *match, size_t key)
{
	struct shown shown = {};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return shown;
	write_field(out, match, key);
	if (fclose(out) == 0)
		shown = show_text(text);
	free(text);
	return shown;
}

/* A tag's own ether type: what is looked at is what stands behind the tags. */
static bool check_tags(struct walk *walk, const struct field *fields,
		       const struct config_match *match)
{
	static const uint32_t tags[] = {ETH_P_8021Q, ETH_P_8021AD, ETH_P_QINQ1};

	for (size_t i = 0; i < match->ethertype.n; i++) {
		const struct config_range *range = &match->ethertype.of[i];

		for (size_t j = 0; j < COUNT(tags); j++) {
			if (range->first != tags[j] || range->last != tags[j])
				continue;
			report_add(walk->report, yaml_node_place(fields[ETHERTYPE].value),
				   "`ethertype` is `0x%04x`, a VLAN tag's; expected what stands "
				   "behind the tag, and `vlan` for tagged frames",
				   tags[j]);
			return false;
		}
	}
	return true;
}

static bool may_have_ports(const struct config_match *match)
{
	if (!match->proto.n)
		return true;
	for (size_t i = 0; i < COUNT(protos_with_ports); i++)
		if (numbers_have(&match->proto, protos_with_ports[i]))
			return true;
	return false;
}

static bool check_ports(struct walk *walk, const struct field *fields,
			const struct config_match *match)
{
	for (size_t key = SPORT; key <= PORT; key++) {
		if (!has_field(match, key))
			continue;
		if (!may_have_ports(match)) {
			report_add(walk->report, yaml_node_place(fields[key].key),
				   "`%s` is given and `proto` is %s, which has no ports; expected "
				   "`tcp`, `udp`, `udplite`, `sctp` or `dccp`",
				   match_keys[key], show_field(match, PROTO).text);
			return false;
		}
		if (match->fragment == 1) {
			report_add(
				walk->report, yaml_node_place(fields[key].key),
				"`%s` is given and `fragment` is `true`, but ports of a fragment "
				"are not looked at; expected either",
				match_keys[key]);
			return false;
		}
	}
	return true;
}

/* Versions of IP that a frame can still have, a bit each. */
enum { IPV4 = 1, IPV6 = 2, BOTH = IPV4 | IPV6 };

static unsigned int versions_of_prefixes(const struct config_prefixes *prefixes)
{
	unsigned int versions = 0;

	for (size_t i = 0; i < prefixes->n; i++)
		versions |= prefixes->of[i].family == AF_INET ? IPV4 : IPV6;
	return versions;
}

static unsigned int versions_of_ethertype(const struct config_ranges *ethertype)
{
	return (numbers_have(ethertype, ETH_P_IP) ? IPV4 : 0) |
	       (numbers_have(ethertype, ETH_P_IPV6) ? IPV6 : 0);
}

/* ICMP is the one protocol that each version has its own of. */
static unsigned int versions_of_proto(const struct config_ranges *proto)
{
	if (proto->n != 1 || proto->of[0].first != proto->of[0].last)
		return BOTH;
	return proto->of[0].first == IPPROTO_ICMP     ? IPV4
	       : proto->of[0].first == IPPROTO_ICMPV6 ? IPV6
						      : BOTH;
}

static unsigned int versions_of(const struct config_match *match, size_t key)
{
	switch (key) {
	case ETHERTYPE:
		return versions_of_ethertype(&match->ethertype);
	case PROTO:
		return versions_of_proto(&match->proto);
	case SRC:
		return versions_of_prefixes(&match->src);
	case DST:
		return versions_of_prefixes(&match->dst);
	default:
		return BOTH;
	}
}

/* Any but `fragment: false`, which holds for other frames as well. */
static bool is_about_ip(const struct config_match *match, size_t key)
{
	return key != ETHERTYPE && key != VLAN && has_field(match, key) &&
	       (key != FRAGMENT || match->fragment == 1);
}

static bool check_is_ip(struct walk *walk, const struct field *fields,
			const struct config_match *match)
{
	if (!match->ethertype.n || versions_of(match, ETHERTYPE))
		return true;
	for (size_t key = 0; key < COUNT(match_keys); key++) {
		if (!is_about_ip(match, key))
			continue;
		report_add(walk->report, yaml_node_place(fields[key].key),
			   "`%s` is given and `ethertype` is %s, expected `ipv4`, `ipv6` or no "
			   "`ethertype`",
			   match_keys[key], show_field(match, ETHERTYPE).text);
		return false;
	}
	return true;
}

static bool check_versions(struct walk *walk, const struct field *fields,
			   const struct config_match *match)
{
	unsigned int left = BOTH;
	size_t narrowed = 0; /* the field that left one of them */

	for (size_t key = 0; key < COUNT(match_keys); key++) {
		unsigned int versions = has_field(match, key) ? versions_of(match, key) : BOTH;

		if (!(left & versions)) {
			report_add(walk->report, yaml_node_place(fields[key].key),
				   "`%s` is %s, which is IPv%d, and `%s` is %s, which is IPv%d; "
				   "expected both of one version",
				   match_keys[key], show_field(match, key).text,
				   versions == IPV4 ? 4 : 6, match_keys[narrowed],
				   show_field(match, narrowed).text, left == IPV4 ? 4 : 6);
			return false;
		}
		if ((left & versions) != left)
			narrowed = key;
		left &= versions;
	}
	return true;
}

static bool check_match(struct walk *walk, const struct field *fields,
			const struct config_match *match)
{
	if (!check_tags(walk, fields, match) || !check_ports(walk, fields, match) ||
	    !check_is_ip(walk, fields, match))
		return false;
	/* What is no IP has no field left to compare. */
	if (match->ethertype.n && !versions_of(match, ETHERTYPE))
		return true;
	return check_versions(walk, fields, match);
}

/* ---- */

static bool read_fragment(struct walk *walk, const yaml_node_t *node, int *ret)
{
	bool fragment;

	if (!walk_bool(walk, "`fragment`", node, &fragment))
		return false;
	*ret = fragment;
	return true;
}

static bool read_field(struct walk *walk, const yaml_node_t *node, size_t key,
		       struct config_match *match)
{
	static const char *const names[] = {"`ethertype`", "`vlan`", "`proto`",
					    "`src`",	   "`dst`",  "`sport`",
					    "`dport`",	   "`port`", "`fragment`"};
	struct config_ranges *ranges = ranges_of(match, key);

	if (!node)
		return true;
	if (ranges)
		return numbers_read(walk, names[key], node, kind_of(key), ranges);
	if (key == FRAGMENT)
		return read_fragment(walk, node, &match->fragment);
	return prefixes_read(walk, names[key], node, prefixes_of(match, key));
}

static bool is_empty(const yaml_node_t *node)
{
	return yaml_node_is_null(node) ||
	       (node->type == YAML_MAPPING_NODE &&
		node->data.mapping.pairs.start == node->data.mapping.pairs.top);
}

bool match_read(struct walk *walk, const yaml_node_t *node, struct config_match *ret)
{
	struct field fields[COUNT(match_keys)];
	struct config_match match = {.fragment = -1};
	bool good = true;

	if (is_empty(node)) {
		report_add(walk->report, yaml_node_place(node),
			   "`match` is empty, expected one key or more as in `proto: tcp`; what "
			   "holds for all other frames is `default`");
		return false;
	}
	if (!walk_mapping(walk, "`match`", node, match_keys, COUNT(match_keys), fields))
		return false;
	for (size_t key = 0; key < COUNT(match_keys); key++)
		good &= read_field(walk, fields[key].value, key, &match);
	if (!good || !check_match(walk, fields, &match)) {
		match_clear(&match);
		return false;
	}
	*ret = match;
	return true;
}

void match_clear(struct config_match *match)
{
	for (size_t key = 0; key < COUNT(match_keys); key++) {
		if (ranges_of(match, key))
			numbers_clear(ranges_of(match, key));
		else if (key != FRAGMENT)
			prefixes_clear(prefixes_of(match, key));
	}
}

char *match_format(const struct config_match *match)
{
	char *text = NULL;
	size_t size, fields = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (size_t key = 0; key < COUNT(match_keys); key++) {
		if (!has_field(match, key))
			continue;
		fprintf(out, "%s%s: ", fields++ ? ", " : "", match_keys[key]);
		write_field(out, match, key);
	}
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}
