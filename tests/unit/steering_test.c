// SPDX-License-Identifier: BSD-2-Clause
/*
 * Compiled rules, read the way that bpf/steering.h describes; how the XDP program reads them is a live test's. Here are
 * more values than it has rules for, and more than there is room for.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/steering.h"

static struct xdpd_bpf_steering compiled;
static struct config_rule rules[CONFIG_RULES_MAX];
static struct config_interface config;
static uint8_t slots[CONFIG_GROUPS_MAX];

static int begin(void **state)
{
	(void)state;
	memset(rules, 0, sizeof(rules));
	for (size_t i = 0; i < CONFIG_RULES_MAX; i++)
		rules[i] = (struct config_rule){
			.match.fragment = -1, .action = XDPD_ACTION_REDIRECT, .all_groups = true};
	config = (struct config_interface){
		.name = "eth0", .rules = rules, .n_rules = 1, .otherwise = rules[0]};
	for (size_t i = 0; i < CONFIG_GROUPS_MAX; i++)
		slots[i] = (uint8_t)i;
	return 0;
}

static void compile(void)
{
	struct failure why;

	if (steering_compile(&config, slots, &compiled, &why) < 0)
		fail_msg("%s", why.text);
}

static const struct xdpd_bpf_class *class_of_port(uint16_t port)
{
	uint8_t page = compiled.high[XDPD_FIELD_PORT][port >> 8];

	return &compiled.classes[compiled.pages[page][port & 255]];
}

static const struct xdpd_bpf_class *class_of_address(uint32_t at, const uint32_t *words)
{
	for (int visits = 0; visits < XDPD_NODE_VISITS; visits++) {
		const struct xdpd_bpf_node *node = &compiled.nodes[at];
		uint32_t child = 0;

		while (child < XDPD_NODE_LASTS && node->last[child] < *words)
			child++;
		at = (node->next & ~XDPD_NEXT_LEAVES) + child;
		if (!(node->next & XDPD_NEXT_LEAVES))
			continue;
		at = compiled.leaves[at];
		if (!(at & XDPD_LEAF_NODE))
			return &compiled.classes[at];
		at &= ~XDPD_LEAF_NODE;
		words++;
	}
	fail_msg("the way is too long");
	return NULL;
}

/* ---- what is done with a match ---- */

static void groups_are_told_by_their_slots(void **state)
{
	(void)state;
	slots[0] = 31;
	slots[2] = 7;
	config.n_rules = 2;
	rules[0].all_groups = false;
	rules[0].groups = 1 << 0 | 1 << 2;
	rules[1].action = XDPD_ACTION_DROP;
	rules[1].groups = 1;
	compile();
	assert_int_equal(compiled.rules[XDPD_RULE_SLOT(1ull)].groups, 1u << 31 | 1u << 7);
	assert_int_equal(compiled.rules[XDPD_RULE_SLOT(2ull)].action, XDPD_BPF_DROP);
	assert_int_equal(compiled.rules[XDPD_RULE_SLOT(2ull)].rule, 1);
	assert_int_equal(compiled.rules[XDPD_RULE_SLOT(2ull)].groups, 0);
	assert_int_equal(compiled.otherwise.groups, UINT32_MAX);
	assert_int_equal(compiled.otherwise.rule, XDPD_RULES_MAX);
}

static void each_of_64_rules_has_a_slot_of_its_own(void **state)
{
	(void)state;
	config.n_rules = CONFIG_RULES_MAX;
	compile();
	for (unsigned int i = 0; i < CONFIG_RULES_MAX; i++)
		assert_int_equal(compiled.rules[XDPD_RULE_SLOT(1ull << i)].rule, i);
}

static void only_no_rules_with_a_redirect_to_all_are_plain(void **state)
{
	(void)state;
	compile();
	assert_false(steering_is_plain(&compiled));
	config.n_rules = 0;
	compile();
	assert_true(steering_is_plain(&compiled));
	config.otherwise.action = XDPD_ACTION_PASS;
	compile();
	assert_false(steering_is_plain(&compiled));
}

static void groups_are_named_by_a_redirect_only(void **state)
{
	(void)state;
	assert_false(steering_names_groups(&config));
	rules[0].all_groups = false;
	assert_true(steering_names_groups(&config));
	rules[0].action = XDPD_ACTION_PASS;
	assert_false(steering_names_groups(&config));
	config.otherwise.all_groups = false;
	assert_true(steering_names_groups(&config));
}

/* ---- kinds of frames ---- */

static const struct xdpd_bpf_kind *kind_of(uint32_t family, uint32_t proto)
{
	return &compiled.kinds[XDPD_KIND(family, proto)];
}

static void a_kind_has_the_rules_that_it_can_satisfy_and_what_they_look_at(void **state)
{
	struct config_range tcp = {IPPROTO_TCP, IPPROTO_TCP}, port = {53, 53}, tag = {7, 7};
	struct config_prefix prefix = {.family = AF_INET6, .length = 32};

	(void)state;
	rules[0].match.proto = (struct config_ranges){&tcp, 1};
	rules[0].match.dport = (struct config_ranges){&port, 1};
	rules[1].match.src = (struct config_prefixes){&prefix, 1};
	rules[2].match.port = (struct config_ranges){&port, 1};
	rules[3].match.vlan = (struct config_ranges){&tag, 1};
	rules[4].match.fragment = 1;
	rules[5].match.fragment = 0;
	config.n_rules = 6;
	compile();
	assert_int_equal(kind_of(0, IPPROTO_TCP)->rules, 1 << 0 | 1 << 2 | 1 << 5);
	assert_int_equal(kind_of(0, IPPROTO_TCP)->asks,
			 XDPD_PART_DESTINATION_PORT | XDPD_PART_EITHER_PORT);
	assert_int_equal(kind_of(1, IPPROTO_UDP)->rules, 1 << 1 | 1 << 2 | 1 << 5);
	assert_int_equal(kind_of(1, IPPROTO_UDP)->asks,
			 XDPD_PART_EITHER_PORT | XDPD_PART_SOURCE_IPV6);
	assert_int_equal(kind_of(0, IPPROTO_ICMP)->rules, 1 << 5);
	assert_int_equal(kind_of(0, IPPROTO_ICMP)->asks, 0);
}

static void an_ether_type_leaves_one_family(void **state)
{
	struct config_range type = {0x86dd, 0x86dd};

	(void)state;
	rules[0].match.ethertype = (struct config_ranges){&type, 1};
	compile();
	assert_int_equal(kind_of(0, IPPROTO_UDP)->rules, 0);
	assert_int_equal(kind_of(1, IPPROTO_UDP)->rules, 1);
}

/* ---- more than the live test has ---- */

static void every_port_of_a_long_list_is_found(void **state)
{
	struct config_range *ranges = calloc(20000, sizeof(*ranges));

	(void)state;
	for (uint32_t i = 0; i < 20000; i++)
		ranges[i] = (struct config_range){3 * i, 3 * i + (i & 1)};
	rules[0].match.port = (struct config_ranges){ranges, 20000};
	rules[1].match.dport = (struct config_ranges){(struct config_range[]){{100, 60000}}, 1};
	config.n_rules = 2;
	compile();
	for (uint32_t port = 0; port <= UINT16_MAX; port++) {
		const struct xdpd_bpf_class *class = class_of_port((uint16_t)port);
		bool listed = port < 60000 && port % 3 <= (port / 3 & 1);

		assert_int_equal(class->either, listed ? 3 : 2);
		assert_int_equal(class->destination, port >= 100 && port <= 60000 ? 3 : 1);
		assert_int_equal(class->source, 3);
	}
	free(ranges);
}

#define PREFIXES 1500

/* All /32 or /128, apart from each other by 8, which go four levels deep. */
static struct config_prefix *long_list(int family)
{
	struct config_prefix *prefixes = calloc(PREFIXES, sizeof(*prefixes));

	for (uint32_t i = 0; i < PREFIXES; i++) {
		uint8_t *end = prefixes[i].address + (family == AF_INET6 ? 14 : 2);

		prefixes[i].family = (uint8_t)family;
		prefixes[i].length = family == AF_INET6 ? 128 : 32;
		prefixes[i].address[0] = 10;
		end[0] = (uint8_t)(8 * i >> 8);
		end[1] = (uint8_t)(8 * i);
	}
	return prefixes;
}

static void every_address_of_a_long_list_is_found(void **state)
{
	(void)state;
	for (int ipv6 = 0; ipv6 <= 1; ipv6++) {
		struct config_prefix *prefixes = long_list(ipv6 ? AF_INET6 : AF_INET);

		rules[0].match.src = (struct config_prefixes){prefixes, PREFIXES};
		compile();
		for (uint32_t i = 0; i < 8 * PREFIXES + 100; i++) {
			const uint32_t words[] = {ipv6 ? 10u << 24 : 10u << 24 | i, 0, 0, i};
			bool listed = i % 8 == 0 && i < 8 * PREFIXES;

			assert_int_equal(class_of_address(compiled.roots[ipv6], words)->source,
					 listed);
		}
		free(prefixes);
	}
}

static void prefixes_may_lie_within_each_other(void **state)
{
	static struct config_prefix prefixes[] = {
		{AF_INET, 8, {10}},
		{AF_INET, 16, {10, 1}},
		{AF_INET, 16, {10, 1}},
		{AF_INET, 32, {10, 255, 255, 255}},
	};
	static const struct {
		uint32_t address;
		uint64_t source;
	} expected[] = {{0x09ffffff, 0}, {0x0a000000, 1}, {0x0a01ffff, 1},
			{0x0a020000, 1}, {0x0affffff, 1}, {0x0b000000, 0}};

	(void)state;
	rules[0].match.src = (struct config_prefixes){prefixes, 4};
	compile();
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_int_equal(class_of_address(compiled.roots[0], &expected[i].address)->source,
				 expected[i].source);
}

/* ---- more than there is room for ---- */

static void assert_refused(const char *sentence)
{
	static struct xdpd_bpf_steering before;
	struct failure why;

	before = compiled;
	assert_int_equal(steering_compile(&config, slots, &compiled, &why), -ENOSPC);
	assert_string_equal(why.text, sentence);
	assert_memory_equal(&before, &compiled, sizeof(compiled));
}

static void too_many_addresses_are_refused_with_a_remedy(void **state)
{
	struct config_prefix *prefixes = calloc(4000, sizeof(*prefixes));

	(void)state;
	for (uint32_t i = 0; i < 4000; i++)
		prefixes[i] = (struct config_prefix){
			AF_INET, 32, {10, 0, (uint8_t)(2 * i >> 8), (uint8_t)(2 * i)}};
	rules[0].match.dst = (struct config_prefixes){prefixes, 4000};
	assert_refused(
		"eth0: its rules tell more addresses apart than the XDP program has room for "
		"(ENOSPC); use fewer prefixes or wider ones");
	free(prefixes);
}

/* Each of 64 rules has its own ranges, so that no two of them make the same class. */
static void too_many_ports_of_different_rules_are_refused_with_a_remedy(void **state)
{
	static struct config_range ranges[CONFIG_RULES_MAX][32];

	(void)state;
	config.n_rules = CONFIG_RULES_MAX;
	for (uint32_t i = 0; i < CONFIG_RULES_MAX; i++) {
		for (uint32_t j = 0; j < 32; j++)
			ranges[i][j] = (struct config_range){1000 * j + 7 * i,
							     1000 * j + 7 * i + 100 + 13 * j};
		rules[i].match.port = (struct config_ranges){ranges[i], 32};
	}
	assert_refused("eth0: its rules tell more ports and addresses apart than the XDP program "
		       "has room for (ENOSPC); give several rules the same ranges and prefixes, or "
		       "use fewer");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(groups_are_told_by_their_slots, begin),
		cmocka_unit_test_setup(each_of_64_rules_has_a_slot_of_its_own, begin),
		cmocka_unit_test_setup(only_no_rules_with_a_redirect_to_all_are_plain, begin),
		cmocka_unit_test_setup(groups_are_named_by_a_redirect_only, begin),
		cmocka_unit_test_setup(
			a_kind_has_the_rules_that_it_can_satisfy_and_what_they_look_at, begin),
		cmocka_unit_test_setup(an_ether_type_leaves_one_family, begin),
		cmocka_unit_test_setup(every_port_of_a_long_list_is_found, begin),
		cmocka_unit_test_setup(every_address_of_a_long_list_is_found, begin),
		cmocka_unit_test_setup(prefixes_may_lie_within_each_other, begin),
		cmocka_unit_test_setup(too_many_addresses_are_refused_with_a_remedy, begin),
		cmocka_unit_test_setup(too_many_ports_of_different_rules_are_refused_with_a_remedy,
				       begin),
	};

	return cmocka_run_group_tests_name("steering", tests, NULL, NULL);
}
