/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <pwd.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "config/config.h"
#include "daemon/cleanup.h"

/* ---- helpers ---- */

static struct config_errors errors;

static int clear_errors(void **state)
{
	(void)state;
	config_errors_clear(&errors);
	return 0;
}

/* Stands for the machine's: `suricata` is there, and nobody else. */
struct passwd *getpwnam(const char *name)
{
	static struct passwd entry = {.pw_uid = 123};

	return strcmp(name, "suricata") == 0 ? &entry : NULL;
}

static struct config *parse(const char *text)
{
	struct config *config = NULL;

	if (config_parse("test", text, strlen(text), &config, &errors) < 0)
		fail_msg("%s\n%s", errors.n_lines ? errors.lines[0] : "no memory", text);
	return config;
}

static void assert_refused(const char *text, const char *line)
{
	struct config *config = NULL;

	config_errors_clear(&errors);
	assert_int_equal(config_parse("test", text, strlen(text), &config, &errors), -EINVAL);
	assert_null(config);
	assert_int_equal(errors.n_lines, 1);
	assert_string_equal(errors.lines[0], line);
}

/* One interface of its own, with a rule that passes what matches. */
static struct config *parse_match(const char *match)
{
	cleanup_free char *text = NULL;

	assert_true(asprintf(&text,
			     "interfaces: [{ name: eth0, steer: [{ match: { %s }, action: pass }] "
			     "}]",
			     match) > 0);
	return parse(text);
}

/* The canonical text, which is a match itself and has itself for its text. */
static void assert_text(const char *match, const char *expected)
{
	struct config *config = parse_match(match), *again;

	assert_string_equal(config->interfaces[0].rules[0].text, expected);
	again = parse_match(expected);
	assert_string_equal(again->interfaces[0].rules[0].text, expected);
	assert_true(config_steering_equal(&config->interfaces[0], &again->interfaces[0]));
	config_free(config);
	config_free(again);
}

static void assert_range(const struct config_ranges *ranges, size_t i, uint32_t first,
			 uint32_t last)
{
	assert_true(i < ranges->n);
	assert_int_equal(ranges->of[i].first, first);
	assert_int_equal(ranges->of[i].last, last);
}

static void assert_prefix(const struct config_prefixes *prefixes, size_t i, int family,
			  unsigned int length, uint8_t first, uint8_t second)
{
	assert_true(i < prefixes->n);
	assert_int_equal(prefixes->of[i].family, family);
	assert_int_equal(prefixes->of[i].length, length);
	assert_int_equal(prefixes->of[i].address[0], first);
	assert_int_equal(prefixes->of[i].address[1], second);
}

/* ---- what is parsed ---- */

static void an_interface_with_groups_and_rules_is_taken_over(void **state)
{
	struct config *config =
		parse("interfaces:\n"
		      "  - name: eth0\n"
		      "    queues: [ { id: all, delivery: shared, worker: { cpu: 2, spin_usecs: 50 "
		      "} } ]\n"
		      "    groups:\n"
		      "      - { name: ids, mode: hold, quota: 1024, attach: { users: [suricata] } "
		      "}\n"
		      "      - { name: dns, mode: hold }\n"
		      "    steer:\n"
		      "      - { match: { proto: tcp, port: 22 }, action: pass }\n"
		      "      - { match: { proto: udp, dport: 53, dst: 192.0.2.0/24 }, action: "
		      "redirect, groups: [ids, dns] }\n"
		      "      - { match: { ethertype: arp }, action: pass }\n"
		      "    default: { action: redirect, groups: [ids] }\n");
	const struct config_interface *eth0 = &config->interfaces[0];

	(void)state;
	assert_int_equal(eth0->all_queues.delivery, XDPD_SHARED);
	assert_int_equal(eth0->all_queues.worker.cpu, 2);
	assert_int_equal(eth0->all_queues.worker.spin_usecs, 50);

	assert_int_equal(eth0->n_groups, 2);
	assert_string_equal(eth0->groups[0].name, "ids");
	assert_int_equal(eth0->groups[0].mode, XDPD_HOLD);
	assert_int_equal(eth0->groups[0].quota, 1024);
	assert_true(eth0->groups[0].restricted);
	assert_int_equal(eth0->groups[0].attach.who.n_uids, 1);
	assert_int_equal(eth0->groups[0].attach.who.uids[0], 123);
	assert_ptr_equal(config_find_group(eth0, "dns"), &eth0->groups[1]);
	assert_int_equal(eth0->groups[1].quota, 0);
	assert_false(eth0->groups[1].restricted);
	assert_null(config_find_group(eth0, "web"));

	assert_int_equal(eth0->n_rules, 3);
	assert_string_equal(eth0->rules[0].text, "proto: tcp, port: 22");
	assert_int_equal(eth0->rules[0].action, XDPD_ACTION_PASS);
	assert_int_equal(eth0->rules[0].groups, 0);
	assert_false(eth0->rules[0].all_groups);
	assert_string_equal(eth0->rules[1].text, "proto: udp, dst: 192.0.2.0/24, dport: 53");
	assert_int_equal(eth0->rules[1].action, XDPD_ACTION_REDIRECT);
	assert_int_equal(eth0->rules[1].groups, 3);
	assert_false(eth0->rules[1].all_groups);
	assert_range(&eth0->rules[1].match.proto, 0, 17, 17);
	assert_range(&eth0->rules[1].match.dport, 0, 53, 53);
	assert_prefix(&eth0->rules[1].match.dst, 0, AF_INET, 24, 192, 0);
	assert_int_equal(eth0->rules[1].match.src.n, 0);
	assert_int_equal(eth0->rules[1].match.fragment, -1);
	assert_string_equal(eth0->rules[2].text, "ethertype: arp");
	assert_range(&eth0->rules[2].match.ethertype, 0, 0x0806, 0x0806);
	assert_int_equal(eth0->otherwise.action, XDPD_ACTION_REDIRECT);
	assert_int_equal(eth0->otherwise.groups, 1);
	assert_false(eth0->otherwise.all_groups);
	assert_string_equal(eth0->otherwise.text, "");
	config_free(config);
}

static void without_rules_all_groups_get_all(void **state)
{
	struct config *config = parse("interfaces: [{ name: eth0 }]");
	const struct config_interface *eth0 = &config->interfaces[0];

	(void)state;
	assert_int_equal(eth0->n_groups, 0);
	assert_int_equal(eth0->n_rules, 0);
	assert_int_equal(eth0->otherwise.action, XDPD_ACTION_REDIRECT);
	assert_true(eth0->otherwise.all_groups);
	assert_string_equal(eth0->otherwise.text, "");
	assert_int_equal(eth0->otherwise.match.fragment, -1);
	config_free(config);
}

static void a_redirect_without_groups_is_for_all(void **state)
{
	struct config *config = parse("interfaces:\n"
				      "- name: eth0\n"
				      "  steer: [{ match: { vlan: 5 }, action: redirect }]\n"
				      "  default: { action: drop }\n");
	const struct config_interface *eth0 = &config->interfaces[0];

	(void)state;
	assert_true(eth0->rules[0].all_groups);
	assert_int_equal(eth0->rules[0].groups, 0);
	assert_int_equal(eth0->otherwise.action, XDPD_ACTION_DROP);
	assert_false(eth0->otherwise.all_groups);
	config_free(config);
}

static void a_groups_attach_is_its_own_and_transmit_that_of_all_queues(void **state)
{
	struct config *config = parse("access: { attach: { users: ['*'], transmit: false } }\n"
				      "interfaces:\n"
				      "- name: eth0\n"
				      "  groups:\n"
				      "  - { name: a }\n"
				      "  - { name: b, attach: { transmit: true } }\n"
				      "  - { name: c, attach: { groups: [7] } }\n"
				      "  - { name: d, attach: { users: [] }, mode: tap }\n");
	const struct config_group *groups = config->interfaces[0].groups;

	(void)state;
	assert_false(groups[0].restricted);
	assert_false(groups[0].attach.transmit);
	assert_false(groups[0].transmit_given);
	assert_false(groups[0].attach.who.anyone);
	assert_false(groups[1].restricted);
	assert_true(groups[1].attach.transmit);
	assert_true(groups[1].transmit_given);
	assert_true(groups[2].restricted);
	assert_false(groups[2].attach.who.anyone);
	assert_int_equal(groups[2].attach.who.gids[0], 7);
	assert_false(groups[2].attach.transmit);
	assert_true(groups[3].restricted);
	assert_int_equal(groups[3].attach.who.n_uids, 0);
	assert_int_equal(groups[3].mode, XDPD_TAP);
	config_free(config);
}

static void a_worker_has_the_defaults_for_what_is_not_given(void **state)
{
	struct config *config =
		parse("interfaces:\n"
		      "- name: eth0\n"
		      "  queues:\n"
		      "  - { id: 0, delivery: shared }\n"
		      "  - { id: 1, delivery: shared, worker: { scheduler: rr } }\n"
		      "  - { id: 2, worker: { priority: 7, scheduler: fifo, busy_poll: 8, "
		      "spin_usecs: 0, cpu: 0 }, umem: writable, delivery: shared }\n"
		      "  - { id: 3 }\n");
	const struct config_queue *queues = config->interfaces[0].queues;

	(void)state;
	assert_int_equal(queues[0].worker.cpu, -1);
	assert_int_equal(queues[0].worker.spin_usecs, 50);
	assert_int_equal(queues[0].worker.busy_poll, 0);
	assert_int_equal(queues[0].worker.scheduler, SCHED_OTHER);
	assert_int_equal(queues[0].worker.priority, 0);
	assert_false(queues[0].writable);
	assert_int_equal(queues[1].worker.scheduler, SCHED_RR);
	assert_int_equal(queues[1].worker.priority, 1);
	assert_int_equal(queues[2].worker.cpu, 0);
	assert_int_equal(queues[2].worker.spin_usecs, 0);
	assert_int_equal(queues[2].worker.busy_poll, 8);
	assert_int_equal(queues[2].worker.scheduler, SCHED_FIFO);
	assert_int_equal(queues[2].worker.priority, 7);
	assert_true(queues[2].writable);
	assert_int_equal(queues[3].worker.cpu, -1);
	config_free(config);
}

/* ---- matches ---- */

static void ranges_are_sorted_and_merged(void **state)
{
	struct config *config =
		parse_match("dport: [5353, 53, 1024-2047, 2048, 1500-1600, 54, 53, 65535, 0]");
	const struct config_ranges *dport = &config->interfaces[0].rules[0].match.dport;

	(void)state;
	assert_int_equal(dport->n, 5);
	assert_range(dport, 0, 0, 0);
	assert_range(dport, 1, 53, 54);
	assert_range(dport, 2, 1024, 2048);
	assert_range(dport, 3, 5353, 5353);
	assert_range(dport, 4, 65535, 65535);
	config_free(config);
}

static void prefixes_are_sorted_and_merged(void **state)
{
	struct config *config = parse_match(
		"src: [2001:db8::/32, 10.0.0.0/9, 192.0.2.0/24, 10.128.0.0/10, 192.0.2.7, "
		"10.192.0.0/10, 2001:db8:5::1, 11.0.0.0/8, 2001:db9::/32]");
	const struct config_prefixes *src = &config->interfaces[0].rules[0].match.src;

	(void)state;
	assert_int_equal(src->n, 3);
	assert_prefix(src, 0, AF_INET, 7, 10, 0);
	assert_prefix(src, 1, AF_INET, 24, 192, 0);
	assert_prefix(src, 2, AF_INET6, 31, 0x20, 0x01);
	config_free(config);
}

static void halves_of_everything_are_everything(void **state)
{
	(void)state;
	assert_text("src: [0.0.0.0/1, 128.0.0.0/1]", "src: 0.0.0.0/0");
	assert_text("src: ['8000::/1', '::/1']", "src: \"::/0\"");
	assert_text("dst: [255.255.255.255, 255.255.255.254]", "dst: 255.255.255.254/31");
	assert_text("dst: [10.0.0.1, 10.0.0.2]", "dst: [10.0.0.1, 10.0.0.2]");
}

static void an_address_is_a_prefix_of_all_its_bits(void **state)
{
	struct config *config = parse_match("src: [192.0.2.1, 2001:db8::1]");
	const struct config_prefixes *src = &config->interfaces[0].rules[0].match.src;

	(void)state;
	assert_prefix(src, 0, AF_INET, 32, 192, 0);
	assert_prefix(src, 1, AF_INET6, 128, 0x20, 0x01);
	assert_int_equal(src->of[1].address[15], 1);
	config_free(config);
}

static void equal_matches_have_equal_text(void **state)
{
	(void)state;
	assert_text("port: 22, proto: 6", "proto: tcp, port: 22");
	assert_text("dport: [5353, 53]", "dport: [53, 5353]");
	assert_text("dport: [53]", "dport: 53");
	assert_text("dport: 53-53", "dport: 53");
	assert_text("sport: 1024-2047", "sport: 1024-2047");
	assert_text("sport: [1024-1500, 1501-2047]", "sport: 1024-2047");
	assert_text("proto: [udp, 6]", "proto: [tcp, udp]");
	assert_text("proto: [16-17, 18]", "proto: 16-18");
	assert_text("proto: [253, icmp, icmpv6]", "proto: [icmp, icmpv6, 253]");
	assert_text("ethertype: 0x806", "ethertype: arp");
	assert_text("ethertype: 2054", "ethertype: arp");
	assert_text("ethertype: 0x86DD", "ethertype: ipv6");
	assert_text("ethertype: [0xabcd, 36864-36865]", "ethertype: [0x9000-0x9001, 0xabcd]");
	assert_text("ethertype: [lldp, pppoe-session, ipv4]",
		    "ethertype: [ipv4, pppoe-session, lldp]");
	assert_text("vlan: [7, 0, 4090-4095]", "vlan: [0, 7, 4090-4095]");
	assert_text("src: 192.0.2.1/32", "src: 192.0.2.1");
	assert_text("src: 2001:0DB8:0::/32", "src: 2001:db8::/32");
	assert_text("src: '::1/128'", "src: \"::1\"");
	assert_text("src: 'fe80::'", "src: \"fe80::\"");
	assert_text("dst: ['ff02::fb', 224.0.0.251]", "dst: [224.0.0.251, ff02::fb]");
	assert_text("fragment: true", "fragment: true");
	assert_text(
		"fragment: false, port: 9, dport: 8, sport: 7, dst: 10.0.0.0/8, src: 0.0.0.0/0, "
		"proto: tcp, vlan: 5, ethertype: ipv4",
		"ethertype: ipv4, vlan: 5, proto: tcp, src: 0.0.0.0/0, dst: 10.0.0.0/8, sport: "
		"7, dport: 8, port: 9, fragment: false");
}

static void what_differs_has_another_text(void **state)
{
	static const char *const matches[] = {
		"sport: 53",	   "dport: 53",	       "port: 53",	  "proto: 53",
		"vlan: 53",	   "ethertype: 53248", "fragment: true",  "fragment: false",
		"src: 10.0.0.0/8", "dst: 10.0.0.0/8",  "src: 10.0.0.0/9", "src: 10.0.0.0",
		"src: '::/0'",	   "src: '::'",	       "src: 0.0.0.0/0",  "src: 0.0.0.0",
		"sport: [53, 55]", "sport: 53-55",     "proto: 0-255",	  "vlan: 0-4095",
		"proto: [53, 55]", "port: 0-65535",    "dport: 0-65535",
	};
	struct config *configs[sizeof(matches) / sizeof(*matches)];
	const size_t n = sizeof(matches) / sizeof(*matches);

	(void)state;
	for (size_t i = 0; i < n; i++)
		configs[i] = parse_match(matches[i]);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			assert_int_equal(config_steering_equal(&configs[i]->interfaces[0],
							       &configs[j]->interfaces[0]),
					 i == j);
	for (size_t i = 0; i < n; i++)
		config_free(configs[i]);
}

/* ---- limits ---- */

/* `before`, then `n` times `item` with its number, then `after`. */
static char *repeat(const char *before, const char *item, int n, const char *after)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	fputs(before, out);
	for (int i = 0; i < n; i++)
		fprintf(out, item, i);
	fputs(after, out);
	fclose(out);
	return text;
}

static void assert_limit(const char *before, const char *item, int max, const char *after,
			 const char *line)
{
	cleanup_free char *most = repeat(before, item, max, after);
	cleanup_free char *more = repeat(before, item, max + 1, after);

	config_free(parse(most));
	assert_refused(more, line);
}

static void there_are_as_many_groups_as_a_word_has_bits_but_one(void **state)
{
	(void)state;
	assert_limit("interfaces: [{ name: eth0, groups: [", "{ name: g%d }, ", CONFIG_GROUPS_MAX,
		     "], default: { action: redirect, groups: [g0, g30] } }]",
		     "test:1:36: `groups` has 32 items, expected at most 31");
}

static void the_last_of_all_groups_can_be_redirected_to(void **state)
{
	cleanup_free char *text =
		repeat("interfaces: [{ name: eth0, groups: [", "{ name: g%d }, ", CONFIG_GROUPS_MAX,
		       "], default: { action: redirect, groups: [g30] } }]");
	struct config *config = parse(text);

	(void)state;
	assert_int_equal(config->interfaces[0].otherwise.groups, UINT32_C(1) << 30);
	config_free(config);
}

static void a_group_that_is_not_among_many_is_refused_in_a_line(void **state)
{
	cleanup_free char *text =
		repeat("interfaces: [{ name: eth0, groups: [", "{ name: g%d }, ", 20,
		       "], default: { action: redirect, groups: [other] } }]");

	(void)state;
	assert_refused(text, "test:1:368: a group is `other`, expected `g0`, `g1`, `g2`, `g3`, "
			     "`g4`, `g5`, `g6`, `g7`, `g8`, `g9`, `g10`, `g11` or one of 8 more");
}

static void there_are_so_many_rules(void **state)
{
	(void)state;
	assert_limit("interfaces: [{ name: eth0, steer: [",
		     "{ match: { vlan: %d }, action: pass }, ", CONFIG_RULES_MAX, "] }]",
		     "test:1:35: `steer` has 65 rules, expected at most 64");
}

static void a_list_in_a_match_is_so_long(void **state)
{
	(void)state;
	assert_limit("interfaces: [{ name: eth0, steer: [{ match: { dport: [", "1%03d, ",
		     CONFIG_LIST_MAX, "] }, action: pass }] }]",
		     "test:1:54: `dport` has 257 values, expected at most 256");
	assert_limit("interfaces: [{ name: eth0, steer: [{ match: { src: [", "'2001:%d::/32', ",
		     CONFIG_LIST_MAX, "] }, action: pass }] }]",
		     "test:1:52: `src` has 257 values, expected at most 256");
}

/* ---- comparing ---- */

#define GROUPS "groups: [{ name: a }, { name: b }]"

static void steering_is_equal_whatever_the_order_of_the_groups(void **state)
{
	struct config *config = parse(
		"interfaces:\n"
		"- { name: e0, groups: [{ name: a }, { name: b }, { name: c }],\n"
		"    steer: [{ match: { vlan: 1 }, action: redirect, groups: [a, c] }] }\n"
		"- { name: e1, groups: [{ name: c }, { name: x }, { name: a }],\n"
		"    steer: [{ match: { vlan: [1, 1] }, action: redirect, groups: [c, a] }] }\n"
		"- { name: e2, groups: [{ name: a }, { name: b }, { name: c }],\n"
		"    steer: [{ match: { vlan: 1 }, action: redirect, groups: [a, b] }] }\n");
	const struct config_interface *interfaces = config->interfaces;

	(void)state;
	assert_true(config_steering_equal(&interfaces[0], &interfaces[1]));
	assert_false(config_steering_equal(&interfaces[0], &interfaces[2]));
	config_free(config);
}

static void steering_differs_in_rules_their_order_and_the_default(void **state)
{
	static const char *const steering[] = {
		"steer: []",
		"steer: [{ match: { vlan: 1 }, action: pass }]",
		"steer: [{ match: { vlan: 1 }, action: drop }]",
		"steer: [{ match: { vlan: 1 }, action: redirect }]",
		"steer: [{ match: { vlan: 1 }, action: redirect, groups: [a, b] }]",
		"steer: [{ match: { vlan: 1 }, action: redirect, groups: [a] }]",
		"steer: [{ match: { vlan: 2 }, action: pass }]",
		"steer: [{ match: { vlan: 1 }, action: pass }, { match: { vlan: 2 }, action: pass "
		"}]",
		"steer: [{ match: { vlan: 2 }, action: pass }, { match: { vlan: 1 }, action: pass "
		"}]",
		"default: { action: pass }",
		"default: { action: drop }",
		"default: { action: redirect, groups: [b] }",
	};
	const size_t n = sizeof(steering) / sizeof(*steering);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct config *config;

	(void)state;
	fprintf(out, "interfaces:\n");
	for (size_t i = 0; i < n; i++)
		fprintf(out, "- { name: e%zu, " GROUPS ", %s }\n", i, steering[i]);
	fclose(out);
	config = parse(text);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			assert_int_equal(config_steering_equal(&config->interfaces[i],
							       &config->interfaces[j]),
					 i == j);
	config_free(config);
	free(text);
}

static void the_default_that_is_written_out_is_the_default(void **state)
{
	struct config *config =
		parse("interfaces:\n"
		      "- { name: e0, " GROUPS " }\n"
		      "- { name: e1, " GROUPS ", steer: , default: { action: redirect } }\n");

	(void)state;
	assert_true(config_steering_equal(&config->interfaces[0], &config->interfaces[1]));
	config_free(config);
}

static void groups_are_equal_when_all_settings_are(void **state)
{
	struct config *config = parse(
		"interfaces:\n"
		"- { name: e0, groups: [{ name: a }, { name: b }] }\n"
		"- { name: e1, groups: [{ name: b }, { name: a, mode: hold }] }\n"
		"- { name: e2, groups: [{ name: a }] }\n"
		"- { name: e3, groups: [{ name: a }, { name: c }] }\n"
		"- { name: e4, groups: [{ name: a, mode: tap }, { name: b }] }\n"
		"- { name: e5, groups: [{ name: a, quota: 5 }, { name: b }] }\n"
		"- { name: e6, groups: [{ name: a, attach: { users: [] } }, { name: b }] }\n"
		"- { name: e7, groups: [{ name: a, attach: { users: [5] } }, { name: b }] }\n"
		"- { name: e8, groups: [{ name: a, attach: { transmit: true } }, { name: b }] "
		"}\n");
	const struct config_interface *interfaces = config->interfaces;

	(void)state;
	assert_true(config_groups_equal(&interfaces[0], &interfaces[1]));
	for (size_t i = 2; i < config->n_interfaces; i++) {
		assert_false(config_groups_equal(&interfaces[0], &interfaces[i]));
		assert_false(config_groups_equal(&interfaces[i], &interfaces[0]));
	}
	config_free(config);
}

static void a_worker_changes_without_the_socket_but_not_who_may_write(void **state)
{
	struct config *config =
		parse("interfaces:\n"
		      "- name: eth0\n"
		      "  queues:\n"
		      "  - { id: 0, delivery: shared }\n"
		      "  - { id: 1, delivery: shared, worker: { spin_usecs: 50 }, umem: read-only "
		      "}\n"
		      "  - { id: 2, delivery: shared, worker: { cpu: 0 } }\n"
		      "  - { id: 3, delivery: shared, worker: { spin_usecs: 51 } }\n"
		      "  - { id: 4, delivery: shared, worker: { busy_poll: 1 } }\n"
		      "  - { id: 5, delivery: shared, worker: { scheduler: batch } }\n"
		      "  - { id: 6, delivery: shared, worker: { scheduler: rr } }\n"
		      "  - { id: 7, delivery: shared, umem: writable }\n"
		      "  - { id: 8 }\n");
	const struct config_queue *queues = config->interfaces[0].queues;

	(void)state;
	assert_true(config_queue_equal(&queues[0], &queues[1]));
	for (size_t i = 2; i < 7; i++) {
		assert_true(config_queue_same_socket(&queues[0], &queues[i]));
		assert_false(config_queue_equal(&queues[0], &queues[i]));
	}
	assert_false(config_queue_same_socket(&queues[0], &queues[7]));
	assert_false(config_queue_same_socket(&queues[0], &queues[8]));
	config_free(config);
}

#define TEST(name) cmocka_unit_test_teardown(name, clear_errors)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_interface_with_groups_and_rules_is_taken_over),
		TEST(without_rules_all_groups_get_all),
		TEST(a_redirect_without_groups_is_for_all),
		TEST(a_groups_attach_is_its_own_and_transmit_that_of_all_queues),
		TEST(a_worker_has_the_defaults_for_what_is_not_given),
		TEST(ranges_are_sorted_and_merged),
		TEST(prefixes_are_sorted_and_merged),
		TEST(halves_of_everything_are_everything),
		TEST(an_address_is_a_prefix_of_all_its_bits),
		TEST(equal_matches_have_equal_text),
		TEST(what_differs_has_another_text),
		TEST(there_are_as_many_groups_as_a_word_has_bits_but_one),
		TEST(the_last_of_all_groups_can_be_redirected_to),
		TEST(a_group_that_is_not_among_many_is_refused_in_a_line),
		TEST(there_are_so_many_rules),
		TEST(a_list_in_a_match_is_so_long),
		TEST(steering_is_equal_whatever_the_order_of_the_groups),
		TEST(steering_differs_in_rules_their_order_and_the_default),
		TEST(the_default_that_is_written_out_is_the_default),
		TEST(groups_are_equal_when_all_settings_are),
		TEST(a_worker_changes_without_the_socket_but_not_who_may_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
