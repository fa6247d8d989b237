// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/steering.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/cleanup.h"

_Static_assert((int)XDPD_BPF_REDIRECT == (int)XDPD_ACTION_REDIRECT,
	       "the program's own name for it");
_Static_assert((int)XDPD_BPF_PASS == (int)XDPD_ACTION_PASS, "the program's own name for it");
_Static_assert((int)XDPD_BPF_DROP == (int)XDPD_ACTION_DROP, "the program's own name for it");
_Static_assert(CONFIG_RULES_MAX <= XDPD_RULES_MAX, "a bit for each rule");

#define ALL_GROUPS UINT32_MAX

enum side { SOURCE, DESTINATION, EITHER, SIDES };

/* A value of a field: a number, or an address of IPv6 with its first byte on top. */
typedef unsigned __int128 value;

/* From `at` on, a rule is satisfied by one range more on a side, or by one less. */
struct edge {
	value at;
	uint8_t rule;
	uint8_t side;
	int8_t step;
};

struct edges {
	struct edge *of;
	size_t n, room;
};

static void edges_clear(struct edges *edges)
{
	free(edges->of);
}

#define cleanup_edges __attribute__((cleanup(edges_clear)))

/* From `at` to the next interval's, all values are of one class. */
struct interval {
	value at;
	uint16_t class;
};

struct compiler {
	const struct config_interface *config;
	const uint8_t *slots;
	struct failure *why;
	struct xdpd_bpf_steering *to;
	size_t classes, pages, nodes, leaves; /* so far */
};

/* ---- what there is room for ---- */

static int fail_memory(const struct compiler *compiler)
{
	return failure(compiler->why, ENOMEM, "%s: no memory for its rules",
		       compiler->config->name);
}

static int fail_room(const struct compiler *compiler, const char *what, const char *remedy)
{
	return failure(compiler->why, ENOSPC,
		       "%s: its rules tell more %s apart than the XDP program has room for "
		       "(ENOSPC); %s",
		       compiler->config->name, what, remedy);
}

/* The index of a class with these sets of rules, one that there is already if possible. */
static int class_index(struct compiler *compiler, const uint64_t sets[SIDES])
{
	const struct xdpd_bpf_class wanted = {
		.source = sets[SOURCE], .destination = sets[DESTINATION], .either = sets[EITHER]};
	struct xdpd_bpf_class *classes = compiler->to->classes;

	for (size_t i = 0; i < compiler->classes; i++) {
		if (!memcmp(&classes[i], &wanted, sizeof(wanted)))
			return (int)i;
	}
	if (compiler->classes == XDPD_CLASSES_MAX)
		return fail_room(compiler, "ports and addresses",
				 "give several rules the same ranges and prefixes, or use fewer");
	classes[compiler->classes] = wanted;
	return (int)compiler->classes++;
}

/* ---- from ranges to intervals ---- */

static int add_edge(struct compiler *compiler, struct edges *edges, struct edge edge)
{
	if (edges->n == edges->room) {
		size_t room = edges->room ? 2 * edges->room : 256;
		struct edge *of = reallocarray(edges->of, room, sizeof(*of));

		if (!of)
			return fail_memory(compiler);
		edges->of = of;
		edges->room = room;
	}
	edges->of[edges->n++] = edge;
	return 0;
}

static int add_range(struct compiler *compiler, struct edges *edges, uint8_t rule, enum side side,
		     value first, value last, value greatest)
{
	int r = add_edge(compiler, edges, (struct edge){first, rule, (uint8_t)side, 1});

	if (r == 0 && last < greatest)
		r = add_edge(compiler, edges, (struct edge){last + 1, rule, (uint8_t)side, -1});
	return r;
}

static int add_ranges(struct compiler *compiler, struct edges *edges, size_t rule, enum side side,
		      const struct config_ranges *ranges)
{
	for (size_t i = 0; i < ranges->n; i++) {
		int r = add_range(compiler, edges, (uint8_t)rule, side, ranges->of[i].first,
				  ranges->of[i].last, UINT16_MAX);

		if (r < 0)
			return r;
	}
	return 0;
}

static int compare_edges(const void *left, const void *right)
{
	const struct edge *a = left, *b = right;

	return a->at < b->at ? -1 : a->at > b->at;
}

/*
 * Goes along the field's values. `without` are the rules that do not look at the field, on each side: they are
 * satisfied everywhere. Prefixes of one list may lie within each other, hence the depths.
 */
static int find_intervals(struct compiler *compiler, const struct edges *edges,
			  const uint64_t without[SIDES], struct interval **ret, size_t *ret_n)
{
	cleanup_free struct interval *intervals = calloc(edges->n + 1, sizeof(*intervals));
	uint32_t depth[SIDES][XDPD_RULES_MAX] = {};
	uint64_t sets[SIDES];
	size_t n = 0, i = 0;
	value at = 0;

	if (!intervals)
		return fail_memory(compiler);
	if (edges->n)
		qsort(edges->of, edges->n, sizeof(*edges->of), compare_edges);
	memcpy(sets, without, sizeof(sets));
	for (;;) {
		int class;

		for (; i < edges->n && edges->of[i].at == at; i++) {
			const struct edge *edge = &edges->of[i];
			uint32_t *of = &depth[edge->side][edge->rule];
			uint64_t bit = 1ull << edge->rule;

			*of += (uint32_t)edge->step;
			sets[edge->side] = *of ? sets[edge->side] | bit : sets[edge->side] & ~bit;
		}
		class = class_index(compiler, sets);
		if (class < 0)
			return class;
		if (n == 0 || intervals[n - 1].class != class)
			intervals[n++] = (struct interval){at, (uint16_t) class};
		if (i == edges->n)
			break;
		at = edges->of[i].at;
	}
	*ret = TAKE_PTR(intervals);
	*ret_n = n;
	return 0;
}

/* ---- fields of 16 bits ---- */

static int page_index(struct compiler *compiler, const uint16_t page[256])
{
	uint16_t(*pages)[256] = compiler->to->pages;

	for (size_t i = 0; i < compiler->pages; i++) {
		if (!memcmp(pages[i], page, sizeof(pages[i])))
			return (int)i;
	}
	if (compiler->pages == XDPD_PAGES_MAX)
		return fail_room(compiler, "ports, VLANs and ether types",
				 "use fewer ranges or wider ones");
	memcpy(pages[compiler->pages], page, sizeof(pages[0]));
	return (int)compiler->pages++;
}

static int compile_field(struct compiler *compiler, enum xdpd_bpf_field field,
			 const struct edges *edges, const uint64_t without[SIDES])
{
	cleanup_free struct interval *intervals = NULL;
	size_t n, i = 0;
	int r = find_intervals(compiler, edges, without, &intervals, &n);

	if (r < 0)
		return r;
	for (uint32_t high = 0; high < 256; high++) {
		uint16_t page[256];

		for (uint32_t low = 0; low < 256; low++) {
			if (i + 1 < n && intervals[i + 1].at == (high << 8 | low))
				i++;
			page[low] = intervals[i].class;
		}
		r = page_index(compiler, page);
		if (r < 0)
			return r;
		compiler->to->high[field][high] = (uint8_t)r;
	}
	return 0;
}

/* A field that there is one of: all on one side. */
static int compile_numbers(struct compiler *compiler, enum xdpd_bpf_field field, size_t offset,
			   enum xdpd_bpf_part part, __u64 *without)
{
	const struct config_interface *config = compiler->config;
	uint64_t sets[SIDES] = {};
	cleanup_edges struct edges edges = {};

	for (size_t i = 0; i < config->n_rules; i++) {
		const struct config_ranges *ranges =
			(const void *)((const char *)&config->rules[i].match + offset);
		int r = add_ranges(compiler, &edges, i, SOURCE, ranges);

		if (r < 0)
			return r;
		if (ranges->n)
			compiler->to->uses |= part;
		else
			sets[SOURCE] |= 1ull << i;
	}
	*without = sets[SOURCE];
	return compile_field(compiler, field, &edges, sets);
}

static int compile_ports(struct compiler *compiler)
{
	static const uint32_t parts[] = {
		[SOURCE] = XDPD_PART_SOURCE_PORT,
		[DESTINATION] = XDPD_PART_DESTINATION_PORT,
		[EITHER] = XDPD_PART_EITHER_PORT,
	};
	const struct config_interface *config = compiler->config;
	uint64_t sets[SIDES] = {};
	cleanup_edges struct edges edges = {};

	for (size_t i = 0; i < config->n_rules; i++) {
		const struct config_match *match = &config->rules[i].match;
		const struct config_ranges *sides[] = {
			[SOURCE] = &match->sport,
			[DESTINATION] = &match->dport,
			[EITHER] = &match->port,
		};

		for (enum side side = SOURCE; side < SIDES; side++) {
			int r = add_ranges(compiler, &edges, i, side, sides[side]);

			if (r < 0)
				return r;
			if (sides[side]->n)
				compiler->to->uses |= parts[side];
			else
				sets[side] |= 1ull << i;
		}
	}
	compiler->to->without_ports = sets[SOURCE] & sets[DESTINATION] & sets[EITHER];
	return compile_field(compiler, XDPD_FIELD_PORT, &edges, sets);
}

/* ---- protocol and fragments ---- */

static void compile_proto(struct compiler *compiler)
{
	struct xdpd_bpf_steering *to = compiler->to;

	for (size_t i = 0; i < compiler->config->n_rules; i++) {
		const struct config_ranges *ranges = &compiler->config->rules[i].match.proto;

		if (!ranges->n)
			to->without_proto |= 1ull << i;
		else
			to->uses |= XDPD_PART_PROTO;
		for (size_t j = 0; j < ranges->n; j++) {
			for (uint32_t v = ranges->of[j].first; v <= ranges->of[j].last && v < 256;
			     v++)
				to->proto[v] |= 1ull << i;
		}
	}
	for (uint32_t v = 0; v < 256; v++)
		to->proto[v] |= to->without_proto;
}

static void compile_fragment(struct compiler *compiler)
{
	for (size_t i = 0; i < compiler->config->n_rules; i++) {
		int wanted = compiler->config->rules[i].match.fragment;

		for (int is = 0; is <= 1; is++) {
			if (wanted < 0 || wanted == is)
				compiler->to->fragment[is] |= 1ull << i;
		}
	}
}

/* ---- addresses ---- */

/* The word of an address that begins `shift` bits above its end. */
static uint32_t word_at(value address, unsigned int shift)
{
	return (uint32_t)(address >> shift);
}

/* From `at` on, the values of a word have this leaf. */
struct branch {
	uint32_t at;
	uint16_t leaf;
};

static int new_nodes(struct compiler *compiler, size_t n)
{
	size_t first = compiler->nodes;

	if (first + n > XDPD_NODES_MAX)
		return fail_room(compiler, "addresses", "use fewer prefixes or wider ones");
	compiler->nodes += n;
	return (int)first;
}

static int new_leaves(struct compiler *compiler, size_t n)
{
	size_t first = compiler->leaves;

	if (first + n > XDPD_LEAVES_MAX)
		return fail_room(compiler, "addresses", "use fewer prefixes or wider ones");
	compiler->leaves += n;
	return (int)first;
}

/* Writes node `index` and those below it for n branches; each of its children gets `each` of them. */
static int write_node(struct compiler *compiler, size_t index, const struct branch *branches,
		      size_t n)
{
	struct xdpd_bpf_node node;
	size_t each = 1, children;
	int first;

	while (each * (XDPD_NODE_LASTS + 1) < n)
		each *= XDPD_NODE_LASTS + 1;
	children = (n + each - 1) / each;
	first = each == 1 ? new_leaves(compiler, children) : new_nodes(compiler, children);
	if (first < 0)
		return first;
	for (size_t i = 0; i < XDPD_NODE_LASTS; i++)
		node.last[i] = i + 1 < children ? branches[(i + 1) * each].at - 1 : UINT32_MAX;
	node.next = (uint32_t)first | (each == 1 ? XDPD_NEXT_LEAVES : 0);
	compiler->to->nodes[index] = node;
	for (size_t i = 0; i < children; i++) {
		size_t from = i * each, to = from + each < n ? from + each : n;
		int r = 0;

		if (each == 1)
			compiler->to->leaves[(size_t)first + i] = branches[i].leaf;
		else
			r = write_node(compiler, (size_t)first + i, branches + from, to - from);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * The tree for one word: n intervals that are the same in all words before it, the first of them beginning at or
 * below all of its values. Returns its root. A value at whose end or in whose midst an interval begins has a tree of
 * its own for the next word.
 */
static int compile_word(struct compiler *compiler, const struct interval *intervals, size_t n,
			unsigned int shift)
{
	cleanup_free struct branch *branches = calloc(2 * n + 1, sizeof(*branches));
	value rest = ((value)1 << shift) - 1;
	int root = new_nodes(compiler, 1), r;
	size_t m = 0;

	if (!branches)
		return fail_memory(compiler);
	if (root < 0)
		return root;
	branches[m++] = (struct branch){0, intervals[0].class};
	for (size_t i = 1; i < n;) {
		uint32_t word = word_at(intervals[i].at, shift);
		size_t first = i, leaf;

		while (i < n && word_at(intervals[i].at, shift) == word)
			i++;
		if (branches[m - 1].at == word)
			m--;
		leaf = intervals[first].class;
		if (i - first > 1 || (intervals[first].at & rest)) {
			/* At its start, the value is of the interval before, unless one begins right there. */
			size_t before = intervals[first].at & rest ? first - 1 : first;

			r = compile_word(compiler, &intervals[before], i - before, shift - 32);
			if (r < 0)
				return r;
			leaf = (size_t)r | XDPD_LEAF_NODE;
		}
		branches[m++] = (struct branch){word, (uint16_t)leaf};
		if (leaf & XDPD_LEAF_NODE && word < UINT32_MAX)
			branches[m++] = (struct branch){word + 1, intervals[i - 1].class};
	}
	r = write_node(compiler, (size_t)root, branches, m);
	return r < 0 ? r : root;
}

static value prefix_first(const struct config_prefix *prefix)
{
	value address = 0;

	for (size_t i = 0; i < (prefix->family == AF_INET6 ? 16 : 4); i++)
		address = address << 8 | prefix->address[i];
	return address;
}

static int add_prefixes(struct compiler *compiler, struct edges *edges, size_t rule, enum side side,
			const struct config_prefixes *prefixes, int family)
{
	unsigned int bits = family == AF_INET6 ? 128 : 32;
	value greatest = family == AF_INET6 ? ~(value)0 : UINT32_MAX;

	for (size_t i = 0; i < prefixes->n; i++) {
		const struct config_prefix *prefix = &prefixes->of[i];
		value first, rest;
		int r;

		if (prefix->family != family)
			continue;
		first = prefix_first(prefix);
		rest = prefix->length ? ((value)1 << (bits - prefix->length)) - 1 : greatest;
		r = add_range(compiler, edges, (uint8_t)rule, side, first, first | rest, greatest);
		if (r < 0)
			return r;
	}
	return 0;
}

static int compile_family(struct compiler *compiler, int family)
{
	static const uint32_t parts[2][2] = {
		{XDPD_PART_SOURCE_IPV4, XDPD_PART_DESTINATION_IPV4},
		{XDPD_PART_SOURCE_IPV6, XDPD_PART_DESTINATION_IPV6},
	};
	const struct config_interface *config = compiler->config;
	const uint64_t without[SIDES] = {compiler->to->without_source,
					 compiler->to->without_destination, 0};
	cleanup_free struct interval *intervals = NULL;
	cleanup_edges struct edges edges = {};
	int is_ipv6 = family == AF_INET6;
	size_t n;
	int r = 0;

	for (size_t i = 0; i < config->n_rules; i++) {
		const struct config_match *match = &config->rules[i].match;
		const struct config_prefixes *sides[] = {&match->src, &match->dst};

		for (enum side side = SOURCE; side < EITHER; side++) {
			size_t before = edges.n;

			r = add_prefixes(compiler, &edges, i, side, sides[side], family);
			if (r < 0)
				return r;
			if (edges.n > before)
				compiler->to->uses |= parts[is_ipv6][side];
		}
	}
	r = find_intervals(compiler, &edges, without, &intervals, &n);
	if (r < 0)
		return r;
	r = compile_word(compiler, intervals, n, is_ipv6 ? 96 : 0);
	if (r < 0)
		return r;
	compiler->to->roots[is_ipv6] = (uint32_t)r;
	return 0;
}

static int compile_addresses(struct compiler *compiler)
{
	int r;

	for (size_t i = 0; i < compiler->config->n_rules; i++) {
		const struct config_match *match = &compiler->config->rules[i].match;

		if (!match->src.n)
			compiler->to->without_source |= 1ull << i;
		if (!match->dst.n)
			compiler->to->without_destination |= 1ull << i;
	}
	r = compile_family(compiler, AF_INET);
	return r < 0 ? r : compile_family(compiler, AF_INET6);
}

/* ---- kinds of frames ---- */

static bool allows(const struct config_ranges *ranges, uint32_t number)
{
	for (size_t i = 0; i < ranges->n; i++) {
		if (ranges->of[i].first <= number && number <= ranges->of[i].last)
			return true;
	}
	return ranges->n == 0;
}

static bool has_family(const struct config_prefixes *prefixes, int family)
{
	for (size_t i = 0; i < prefixes->n; i++) {
		if (prefixes->of[i].family == family)
			return true;
	}
	return false;
}

/* The parts of addresses and ports that a rule looks at, of frames that have both addresses and ports. */
static uint32_t asks_of(const struct config_match *match, int family)
{
	bool ipv6 = family == AF_INET6;
	uint32_t asks = 0;

	if (match->sport.n)
		asks |= XDPD_PART_SOURCE_PORT;
	if (match->dport.n)
		asks |= XDPD_PART_DESTINATION_PORT;
	if (match->port.n)
		asks |= XDPD_PART_EITHER_PORT;
	if (match->src.n)
		asks |= ipv6 ? XDPD_PART_SOURCE_IPV6 : XDPD_PART_SOURCE_IPV4;
	if (match->dst.n)
		asks |= ipv6 ? XDPD_PART_DESTINATION_IPV6 : XDPD_PART_DESTINATION_IPV4;
	return asks;
}

/* Whether a frame of this kind can satisfy the rule. */
static bool may_match(const struct config_match *match, int family, uint32_t proto)
{
	return match->fragment <= 0 && !match->vlan.n && allows(&match->proto, proto) &&
	       allows(&match->ethertype, family == AF_INET6 ? ETH_P_IPV6 : ETH_P_IP) &&
	       (!match->src.n || has_family(&match->src, family)) &&
	       (!match->dst.n || has_family(&match->dst, family)) &&
	       (XDPD_HAS_PORTS(proto) || !(asks_of(match, family) & XDPD_PARTS_PORTS));
}

static struct xdpd_bpf_kind compile_kind(const struct config_interface *config, int family,
					 uint32_t proto)
{
	struct xdpd_bpf_kind kind = {};

	for (size_t i = 0; i < config->n_rules; i++) {
		const struct config_match *match = &config->rules[i].match;

		if (!may_match(match, family, proto))
			continue;
		kind.rules |= 1ull << i;
		kind.asks |= asks_of(match, family);
	}
	return kind;
}

static void compile_kinds(struct compiler *compiler)
{
	struct xdpd_bpf_kind *kinds = compiler->to->kinds;

	for (uint32_t proto = 0; proto < 256; proto++) {
		kinds[XDPD_KIND(0, proto)] = compile_kind(compiler->config, AF_INET, proto);
		kinds[XDPD_KIND(1, proto)] = compile_kind(compiler->config, AF_INET6, proto);
	}
}

/* ---- what is done ---- */

static struct xdpd_bpf_rule compile_rule(const struct compiler *compiler,
					 const struct config_rule *rule, size_t place)
{
	struct xdpd_bpf_rule compiled = {.action = rule->action, .rule = (uint32_t)place};

	if (rule->action != XDPD_ACTION_REDIRECT)
		return compiled;
	if (rule->all_groups)
		compiled.groups = ALL_GROUPS;
	for (size_t i = 0; i < CONFIG_GROUPS_MAX && !rule->all_groups; i++) {
		if (rule->groups & 1u << i)
			compiled.groups |= 1u << compiler->slots[i];
	}
	return compiled;
}

static void compile_rules(struct compiler *compiler)
{
	const struct config_interface *config = compiler->config;

	for (size_t i = 0; i < config->n_rules; i++)
		compiler->to->rules[XDPD_RULE_SLOT(1ull << i)] =
			compile_rule(compiler, &config->rules[i], i);
	compiler->to->otherwise = compile_rule(compiler, &config->otherwise, XDPD_RULES_MAX);
}

int steering_compile(const struct config_interface *config, const uint8_t slots[CONFIG_GROUPS_MAX],
		     struct xdpd_bpf_steering *ret, struct failure *why)
{
	cleanup_free struct xdpd_bpf_steering *to = calloc(1, sizeof(*to));
	struct compiler compiler = {.config = config, .slots = slots, .why = why, .to = to};
	int r;

	if (!to)
		return fail_memory(&compiler);
	compile_rules(&compiler);
	compile_proto(&compiler);
	compile_fragment(&compiler);
	compile_kinds(&compiler);
	r = compile_numbers(&compiler, XDPD_FIELD_ETHERTYPE,
			    offsetof(struct config_match, ethertype), XDPD_PART_ETHERTYPE,
			    &to->without_ethertype);
	if (r == 0)
		r = compile_numbers(&compiler, XDPD_FIELD_VLAN, offsetof(struct config_match, vlan),
				    XDPD_PART_VLAN, &to->without_vlan);
	if (r == 0)
		r = compile_ports(&compiler);
	if (r == 0)
		r = compile_addresses(&compiler);
	if (r < 0)
		return r;
	*ret = *to;
	return 0;
}

/* ---- what is asked ---- */

static bool names_groups(const struct config_rule *rule)
{
	return rule->action == XDPD_ACTION_REDIRECT && !rule->all_groups;
}

bool steering_names_groups(const struct config_interface *config)
{
	for (size_t i = 0; i < config->n_rules; i++) {
		if (names_groups(&config->rules[i]))
			return true;
	}
	return names_groups(&config->otherwise);
}

bool steering_is_plain(const struct xdpd_bpf_steering *steering)
{
	return !(steering->fragment[0] | steering->fragment[1]) &&
	       steering->otherwise.action == XDPD_BPF_REDIRECT &&
	       steering->otherwise.groups == ALL_GROUPS;
}
