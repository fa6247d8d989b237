/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/prefixes.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define EXPECTED                                                                                 \
	"expected an IPv4 or IPv6 prefix as in 192.0.2.0/24 or 2001:db8::/32, an address, or a " \
	"list of them"

static unsigned int address_bits(int family)
{
	return family == AF_INET ? 32 : 128;
}

/* ---- the bits of an address ---- */

static bool get_bit(const uint8_t *address, unsigned int bit)
{
	return address[bit / 8] >> (7 - bit % 8) & 1;
}

static void clear_bit(uint8_t *address, unsigned int bit)
{
	address[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

/* Returns true if one was set. */
static bool clear_host_bits(struct config_prefix *prefix)
{
	bool any = false;

	for (unsigned int bit = prefix->length; bit < address_bits(prefix->family); bit++) {
		any |= get_bit(prefix->address, bit);
		clear_bit(prefix->address, bit);
	}
	return any;
}

static bool is_within(const struct config_prefix *inner, const struct config_prefix *outer)
{
	struct config_prefix cut = *inner;

	if (inner->family != outer->family || inner->length < outer->length)
		return false;
	cut.length = outer->length;
	(void)clear_host_bits(&cut);
	return memcmp(cut.address, outer->address, sizeof(cut.address)) == 0;
}

/* The two of the same length that differ in its last bit: together they are one that is a bit shorter. */
static bool are_halves(const struct config_prefix *a, const struct config_prefix *b)
{
	struct config_prefix whole = *a;

	if (a->length == 0 || a->length != b->length)
		return false;
	whole.length--;
	(void)clear_host_bits(&whole);
	return is_within(b, &whole);
}

/* ---- text -> prefix ---- */

/* Digits after the slash, without leading zeros. */
static bool scan_length(const char *text, unsigned int max, uint8_t *ret)
{
	size_t digits = strspn(text, "0123456789");

	if (!digits || digits > 3 || text[digits] || (digits > 1 && *text == '0') ||
	    strtoul(text, NULL, 10) > max)
		return false;
	*ret = (uint8_t)strtoul(text, NULL, 10);
	return true;
}

static bool scan_address(const char *text, size_t length, struct config_prefix *ret)
{
	char address[INET6_ADDRSTRLEN];

	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	*ret = (struct config_prefix){.family = strchr(address, ':') ? AF_INET6 : AF_INET};
	ret->length = (uint8_t)address_bits(ret->family);
	return inet_pton(ret->family, address, ret->address) == 1;
}

static void report_host_bits(struct walk *walk, const char *what, const yaml_node_t *node,
			     const struct config_prefix *cut)
{
	const char *text = yaml_node_text(node);
	char address[INET6_ADDRSTRLEN];

	report_add(
		walk->report, yaml_node_place(node),
		"%s is %s, which has bits set beyond its length; expected `%s/%u`, or `%.*s` for "
		"that address alone",
		what, show(node).text,
		inet_ntop(cut->family, cut->address, address, sizeof(address)), cut->length,
		(int)strcspn(text, "/"), text);
}

static bool scan_prefix(struct walk *walk, const char *what, const yaml_node_t *node,
			struct config_prefix *ret)
{
	const char *text = yaml_node_text(node);
	const char *slash = strchr(text, '/');

	if (!scan_address(text, slash ? (size_t)(slash - text) : strlen(text), ret)) {
		report_add(walk->report, yaml_node_place(node), "%s is %s, " EXPECTED, what,
			   show(node).text);
		return false;
	}
	if (slash && !scan_length(slash + 1, address_bits(ret->family), &ret->length)) {
		report_add(walk->report, yaml_node_place(node),
			   "%s is %s, expected a length from 0 to %u after the `/`", what,
			   show(node).text, address_bits(ret->family));
		return false;
	}
	if (clear_host_bits(ret)) {
		report_host_bits(walk, what, node, ret);
		return false;
	}
	return true;
}

/* ---- lists ---- */

static bool read_prefix(struct walk *walk, const char *what, const yaml_node_t *node, void *context)
{
	struct config_prefixes *prefixes = context;
	struct config_prefix prefix, *grown;

	if (!scan_prefix(walk, what, node, &prefix))
		return false;
	grown = reallocarray(prefixes->of, prefixes->n + 1, sizeof(*grown));
	if (!grown) {
		walk->report->out_of_memory = true;
		return false;
	}
	prefixes->of = grown;
	grown[prefixes->n++] = prefix;
	return true;
}

/* IPv4 first; one that contains others comes before them. */
static int compare_prefixes(const void *left, const void *right)
{
	const struct config_prefix *a = left, *b = right;
	int order;

	if (a->family != b->family)
		return a->family == AF_INET ? -1 : 1;
	order = memcmp(a->address, b->address, sizeof(a->address));
	return order ? order : (int)a->length - (int)b->length;
}

static void merge(struct config_prefixes *prefixes)
{
	struct config_prefix *of = prefixes->of;
	size_t n = 0;

	qsort(of, prefixes->n, sizeof(*of), compare_prefixes);
	for (size_t i = 0; i < prefixes->n; i++) {
		if (n && is_within(&of[i], &of[n - 1]))
			continue;
		of[n++] = of[i];
		for (; n > 1 && are_halves(&of[n - 2], &of[n - 1]); n--)
			of[n - 2].length--;
	}
	prefixes->n = n;
}

bool prefixes_read(struct walk *walk, const char *what, const yaml_node_t *node,
		   struct config_prefixes *ret)
{
	struct config_prefixes prefixes = {};

	if (!walk_values(walk, what, node, CONFIG_LIST_MAX, read_prefix, &prefixes)) {
		prefixes_clear(&prefixes);
		return false;
	}
	merge(&prefixes);
	*ret = prefixes;
	return true;
}

void prefixes_clear(struct config_prefixes *prefixes)
{
	free(prefixes->of);
	*prefixes = (struct config_prefixes){};
}

/* ---- prefixes -> text ---- */

/* One of the whole address is that address. YAML would take a colon at either end for its own. */
static void write_prefix(FILE *out, const struct config_prefix *prefix)
{
	const bool whole = prefix->length == address_bits(prefix->family);
	char address[INET6_ADDRSTRLEN];
	const char *quote = "";

	(void)inet_ntop(prefix->family, prefix->address, address, sizeof(address));
	if (address[0] == ':' || (whole && address[strlen(address) - 1] == ':'))
		quote = "\"";
	fprintf(out, "%s%s", quote, address);
	if (!whole)
		fprintf(out, "/%u", prefix->length);
	fputs(quote, out);
}

void prefixes_write(FILE *out, const struct config_prefixes *prefixes)
{
	if (prefixes->n != 1)
		fputc('[', out);
	for (size_t i = 0; i < prefixes->n; i++) {
		fputs(i ? ", " : "", out);
		write_prefix(out, &prefixes->of[i]);
	}
	if (prefixes->n != 1)
		fputc(']', out);
}
