// SPDX-License-Identifier: BSD-2-Clause
/*
 * Rules in the XDP program: what it finds out about a frame, against the oracle; and what happens to frames while
 * rules are replaced.
 */
#include "tests/live/harness.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "client/xdpd_ring.h"
#include "daemon/redirect.h"
#include "daemon/steering.h"
#include "daemon/umem.h"
#include "daemon/xsk.h"
#include "tests/live/child.h"
#include "tests/live/oracle.h"
#include "tests/live/packet.h"
#include "tests/live/traffic.h"

#define QUEUES	   4
#define QUEUE	   1 /* that has a consumer */
#define FRAMES	   4096
#define FRAME_SIZE 2048

#define EPOCH 0xabcd0001u

struct fixture {
	struct redirect *redirect;
	int ifindex;
	struct umem umem;
	struct xsk xsk;
	struct xdpd_bpf_queue record;
};

/* ---- an interface with the program, and a consumer on one of its queues ---- */

static int attach(struct fixture *fixture, bool multi_buffer)
{
	cleanup_free char *log = NULL;
	struct failure why;
	int r = redirect_attach(&fixture->redirect, "near", fixture->ifindex, QUEUES,
				XDPD_MODE_NATIVE, multi_buffer, &why, &log);

	if (r < 0)
		fprintf(stderr, "%s\n%s\n", why.text, log ? log : "");
	return r;
}

static int open_socket(struct fixture *fixture)
{
	const struct ring_sizes sizes = {.rx = FRAMES, .tx = 64, .fill = FRAMES, .completion = 64};
	int r = umem_create(&fixture->umem, FRAMES, FRAME_SIZE, 0, false);

	if (r == 0)
		r = xsk_open(&fixture->xsk, &fixture->umem, &sizes, false);
	if (r < 0)
		return r;
	xsk_fill(&fixture->xsk, &fixture->umem, FRAMES);
	return xsk_bind(&fixture->xsk, fixture->ifindex, QUEUE, XDPD_BIND_COPY, true);
}

static int begin_with(void **state, bool multi_buffer)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	int r = fixture ? live_begin(state) : -ENOMEM;

	*state = fixture;
	if (r < 0)
		return r;
	fixture->umem = UMEM_NONE;
	fixture->xsk = XSK_NONE;
	r = veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = QUEUES});
	if (r < 0)
		return r;
	fixture->ifindex = (int)if_nametoindex("near");
	r = attach(fixture, multi_buffer);
	if (r == 0)
		r = open_socket(fixture);
	fixture->record = (struct xdpd_bpf_queue){.capacity = umem_capacity(&fixture->umem),
						  .groups = UINT32_MAX};
	if (r == 0)
		r = redirect_set(fixture->redirect, QUEUE, fixture->xsk.fd, &fixture->record);
	return r;
}

static int begin(void **state)
{
	return begin_with(state, true);
}

static int begin_linear(void **state)
{
	return begin_with(state, false);
}

static int end(void **state)
{
	struct fixture *fixture = *state;

	redirect_detach(fixture->redirect);
	xsk_close(&fixture->xsk);
	umem_close(&fixture->umem);
	free(fixture);
	return live_end(state);
}

#define fixture_test(function) cmocka_unit_test_setup_teardown(function, begin, end)
#define without_frags(function)                                          \
	{                                                                \
#function " (linear)", function, begin_linear, end, NULL \
	}

static void set_record(struct fixture *fixture, uint32_t groups, uint32_t epoch)
{
	fixture->record.groups = groups;
	fixture->record.epoch = epoch;
	assert_ok(redirect_update(fixture->redirect, QUEUE, &fixture->record));
}

/* Group i has bit i + 8. */
static uint32_t bits_of(uint32_t groups)
{
	return groups << 8;
}

static void steer(struct fixture *fixture, const struct config_interface *config,
		  struct xdpd_bpf_counter before[XDPD_RULES_MAX + 1])
{
	static struct xdpd_bpf_counter unused[XDPD_RULES_MAX + 1];
	static struct xdpd_bpf_steering compiled;
	uint8_t slots[CONFIG_GROUPS_MAX];
	struct failure why;

	for (size_t i = 0; i < CONFIG_GROUPS_MAX; i++)
		slots[i] = (uint8_t)((i + 8) % XDPD_GROUPS_MAX);
	if (steering_compile(config, slots, &compiled, &why) < 0)
		fail_msg("%s", why.text);
	assert_ok(redirect_steer(fixture->redirect, &compiled, before ? before : unused));
}

static struct redirect_trace trace(const struct fixture *fixture, uint32_t queue, const void *frame,
				   size_t length)
{
	struct redirect_trace traced;

	assert_ok(redirect_trace(fixture->redirect, queue, frame, (uint32_t)length, &traced));
	return traced;
}

/* Gives the frame to the attached program; what it writes into the metadata is in `metadata`, if anything. */
static int show(const struct fixture *fixture, uint32_t queue, const void *frame, size_t length,
		struct xdpd_metadata *metadata)
{
	uint8_t out[ORACLE_FRAME_MAX + FRAME_SIZE];
	struct xdp_md where = {.data_end = (uint32_t)length,
			       .ingress_ifindex = (uint32_t)fixture->ifindex,
			       .rx_queue_index = queue};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = (uint32_t)length,
		    .data_out = out, .data_size_out = sizeof(out), .ctx_in = &where,
		    .ctx_size_in = sizeof(where), .repeat = 1);

	assert_ok(bpf_prog_test_run_opts(fixture->redirect->program_fd, &run));
	if (!metadata)
		return (int)run.retval;
	memset(metadata, 0, sizeof(*metadata));
	if (run.data_size_out == length + sizeof(*metadata)) {
		memcpy(metadata, out, sizeof(*metadata));
		assert_memory_equal(out + sizeof(*metadata), frame, length);
	} else {
		assert_int_equal(run.data_size_out, length);
	}
	return (int)run.retval;
}

/* ---- a rule set, built by hand ---- */

static struct config_rule to_group(unsigned int group)
{
	return (struct config_rule){
		.match.fragment = -1, .action = XDPD_ACTION_REDIRECT, .groups = 1u << group};
}

static struct config_rule with_action(enum xdpd_action action)
{
	return (struct config_rule){.match.fragment = -1, .action = action, .all_groups = true};
}

static struct config_interface rules_of(struct config_rule *rules, size_t n,
					struct config_rule otherwise)
{
	return (struct config_interface){
		.name = "near", .rules = rules, .n_rules = n, .otherwise = otherwise};
}

#define ONE(number)                                                  \
	{                                                            \
		.of = &(struct config_range){number, number}, .n = 1 \
	}

/* ---- against the oracle ---- */

struct tally {
	struct xdpd_bpf_counter rules[XDPD_RULES_MAX + 1];
	uint64_t verdicts[XDPD_VERDICT_COUNT];
};

static enum xdpd_verdict verdict_of(const struct config_rule *rule, uint32_t groups)
{
	if (rule->action == XDPD_ACTION_DROP)
		return XDPD_VERDICT_DROP_RULE;
	if (rule->action == XDPD_ACTION_PASS)
		return XDPD_VERDICT_PASS_RULE;
	return groups ? XDPD_VERDICT_REDIRECT : XDPD_VERDICT_PASS;
}

static int action_of(enum xdpd_verdict verdict)
{
	return verdict == XDPD_VERDICT_REDIRECT	   ? XDP_REDIRECT
	       : verdict == XDPD_VERDICT_DROP_RULE ? XDP_DROP
						   : XDP_PASS;
}

static void fail_frame(const char *what, const uint8_t *frame, size_t length)
{
	for (size_t i = 0; i < length; i++)
		fprintf(stderr, "%02x", frame[i]);
	fail_msg("\n%s", what);
}

static void check_frame(const struct fixture *fixture, const struct config_interface *config,
			struct oracle_chance *chance, struct tally *tally)
{
	uint8_t frame[ORACLE_FRAME_MAX];
	size_t length = oracle_frame(chance, frame);
	struct xdpd_metadata metadata;
	struct oracle_fields fields;
	const struct config_rule *rule;
	struct redirect_trace traced;
	enum xdpd_verdict verdict;
	uint32_t groups = 0;
	size_t place;
	char what[200];

	oracle_read(&fields, frame, length);
	place = oracle_match(config, &fields);
	rule = place < config->n_rules ? &config->rules[place] : &config->otherwise;
	if (place == config->n_rules)
		place = XDPD_RULES_MAX;
	if (rule->action == XDPD_ACTION_REDIRECT)
		groups = (rule->all_groups ? UINT32_MAX : bits_of(rule->groups)) &
			 fixture->record.groups;
	verdict = verdict_of(rule, groups);
	traced = trace(fixture, QUEUE, frame, length);
	if (traced.rule != place || traced.action != rule->action || traced.verdict != verdict ||
	    traced.groups != groups || !traced.hash != !fields.family) {
		(void)snprintf(what, sizeof(what),
			       "rule %u instead of %zu, action %d (%d), verdict %d (%d), groups "
			       "%x (%x), hash %x",
			       traced.rule, place, (int)traced.action, (int)rule->action,
			       (int)traced.verdict, (int)verdict, traced.groups, groups,
			       traced.hash);
		fail_frame(what, frame, length);
	}
	if (show(fixture, QUEUE, frame, length, &metadata) != action_of(verdict))
		fail_frame("the attached program does something else", frame, length);
	if (verdict == XDPD_VERDICT_REDIRECT &&
	    (metadata.epoch != EPOCH || metadata.groups != groups || metadata.rule != place ||
	     metadata.hash != traced.hash))
		fail_frame("the metadata is wrong", frame, length);
	if (verdict != XDPD_VERDICT_REDIRECT && metadata.epoch)
		fail_frame("there is metadata", frame, length);
	tally->rules[place].packets++;
	tally->rules[place].bytes += length;
	tally->verdicts[verdict]++;
}

static void check_counters(const struct fixture *fixture, const struct tally *tally,
			   const struct xdpd_bpf_counters *before)
{
	struct xdpd_bpf_counters counters;

	for (uint32_t rule = 0; rule <= XDPD_RULES_MAX; rule++) {
		struct xdpd_bpf_counter counter;

		assert_ok(redirect_rule_counter(fixture->redirect, rule, &counter));
		assert_int_equal(counter.packets, tally->rules[rule].packets);
		assert_int_equal(counter.bytes, tally->rules[rule].bytes);
	}
	assert_ok(redirect_counters(fixture->redirect, QUEUE, &counters));
	for (int i = 0; i < XDPD_VERDICT_COUNT; i++)
		assert_int_equal(counters.verdict[i].packets - before->verdict[i].packets,
				 tally->verdicts[i]);
}

static void the_first_rule_that_matches_decides_whatever_frames_and_rules_are(void **state)
{
	static const size_t sizes[] = {1, 2, 5, 17, 40, 64};
	struct fixture *fixture = *state;
	struct oracle_chance chance = {.state = 20240101};
	struct oracle_rules *rules = malloc(sizeof(*rules));

	assert_non_null(rules);
	set_record(fixture, bits_of(0x5a), EPOCH);
	for (size_t set = 0; set < 120; set++) {
		struct tally tally = {};
		struct xdpd_bpf_counters before;

		oracle_rules(&chance, rules, sizes[set % 6]);
		steer(fixture, &rules->config, NULL);
		assert_ok(redirect_counters(fixture->redirect, QUEUE, &before));
		for (int i = 0; i < 150; i++)
			check_frame(fixture, &rules->config, &chance, &tally);
		check_counters(fixture, &tally, &before);
	}
	free(rules);
}

static int compare_hashes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(uint32_t));
}

/* ---- the flow's hash ---- */

static uint32_t hash_of(const struct fixture *fixture, const uint8_t *frame, size_t length)
{
	return trace(fixture, QUEUE, frame, length).hash;
}

static void swap(uint8_t *a, uint8_t *b, size_t length)
{
	while (length--) {
		uint8_t kept = a[length];

		a[length] = b[length];
		b[length] = kept;
	}
}

static void put_ipv6_udp(uint8_t frame[66])
{
	packet_udp(frame, 66, NULL);
	memset(frame + 14, 0, 52);
	frame[12] = 0x86;
	frame[13] = 0xdd;
	frame[14] = 0x60;
	frame[20] = IPPROTO_UDP;
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", frame + 22), 1);
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::ff:2", frame + 38), 1);
	memcpy(frame + 54, "\x12\x34\x00\x35", 4);
}

static void both_directions_of_a_flow_have_one_hash(void **state)
{
	const struct fixture *fixture = *state;
	struct oracle_chance chance = {.state = 7};
	uint8_t frame[66];

	for (int i = 0; i < 500; i++) {
		uint32_t there, back;

		packet_udp(frame, sizeof(frame), NULL);
		for (size_t at = 26; at < 38; at++)
			frame[at] = (uint8_t)oracle_below(&chance, 256);
		there = hash_of(fixture, frame, sizeof(frame));
		swap(frame + 26, frame + 30, 4);
		swap(frame + 34, frame + 36, 2);
		back = hash_of(fixture, frame, sizeof(frame));
		assert_int_equal(there, back);

		put_ipv6_udp(frame);
		for (size_t at = 22; at < 58; at++)
			frame[at] = (uint8_t)oracle_below(&chance, 256);
		there = hash_of(fixture, frame, sizeof(frame));
		swap(frame + 22, frame + 38, 16);
		swap(frame + 54, frame + 56, 2);
		back = hash_of(fixture, frame, sizeof(frame));
		assert_int_equal(there, back);
	}
}

/* A port that moves from one end to the other makes another flow, and so does any bit of any end. */
static void each_part_of_a_flow_makes_another_hash(void **state)
{
	const struct fixture *fixture = *state;
	static uint32_t hashes[1000];
	uint8_t frame[66];
	size_t n = 0;

	packet_udp(frame, sizeof(frame), NULL);
	hashes[n++] = hash_of(fixture, frame, sizeof(frame));
	for (size_t bit = 26 * 8; bit < 38 * 8; bit++) {
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
		hashes[n++] = hash_of(fixture, frame, sizeof(frame));
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	frame[23] = IPPROTO_TCP;
	hashes[n++] = hash_of(fixture, frame, sizeof(frame));
	put_ipv6_udp(frame);
	hashes[n++] = hash_of(fixture, frame, sizeof(frame));
	for (size_t bit = 22 * 8; bit < 58 * 8; bit++) {
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
		hashes[n++] = hash_of(fixture, frame, sizeof(frame));
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	swap(frame + 54, frame + 56, 2);
	hashes[n++] = hash_of(fixture, frame, sizeof(frame));
	qsort(hashes, n, sizeof(hashes[0]), compare_hashes);
	for (size_t i = 1; i < n; i++)
		assert_int_not_equal(hashes[i], hashes[i - 1]);
}

static void a_tag_does_not_change_the_flow_and_arp_has_none(void **state)
{
	const struct fixture *fixture = *state;
	uint8_t frame[66], tagged[74];
	uint32_t hash;

	packet_udp(frame, sizeof(frame), NULL);
	hash = hash_of(fixture, frame, sizeof(frame));
	assert_int_not_equal(hash, 0);
	memcpy(tagged, frame, 12);
	memcpy(tagged + 12, "\x88\xa8\x00\x05\x81\x00\x00\x07", 8);
	memcpy(tagged + 20, frame + 12, sizeof(frame) - 12);
	assert_int_equal(hash_of(fixture, tagged, sizeof(tagged)), hash);
	frame[13] = 6;
	assert_int_equal(hash_of(fixture, frame, sizeof(frame)), 0);
}

static void all_fragments_of_a_datagram_have_one_hash(void **state)
{
	static const uint8_t offsets[][2] = {{0x20, 0}, {0x20, 185}, {0x01, 0x72}};
	const struct fixture *fixture = *state;
	uint32_t first, whole;
	uint8_t frame[74];

	packet_udp(frame, 66, NULL);
	whole = hash_of(fixture, frame, 66);
	for (size_t i = 0; i < 3; i++) {
		memcpy(frame + 20, offsets[i], 2);
		memset(frame + 34, (int)(0x11 * i), 8);
		if (i == 0)
			first = hash_of(fixture, frame, 66);
		assert_int_equal(hash_of(fixture, frame, 66), first);
	}
	assert_int_not_equal(first, whole);

	put_ipv6_udp(frame);
	frame[20] = IPPROTO_FRAGMENT;
	for (size_t i = 0; i < 3; i++) {
		memcpy(frame + 54, "\x11\x00\x00\x01\x00\x00\x00\x2a", 8);
		frame[57] = (uint8_t)(i < 2);
		frame[56] = (uint8_t)(4 * i);
		memset(frame + 62, (int)(0x11 * i), 8);
		if (i == 0)
			first = hash_of(fixture, frame, sizeof(frame));
		assert_int_equal(hash_of(fixture, frame, sizeof(frame)), first);
	}
}

#define BUCKETS 1024
#define FLOWS	(32 * BUCKETS)

/* Chi-square with 1023 degrees of freedom: above 1250 once in some millions of times, if the hash is even. */
static void assert_even(const uint32_t buckets[BUCKETS], const char *what)
{
	double sum = 0;

	for (size_t i = 0; i < BUCKETS; i++) {
		double off = buckets[i] - (double)FLOWS / BUCKETS;

		sum += off * off / ((double)FLOWS / BUCKETS);
	}
	if (sum > 1250)
		fail_msg("%s: chi-square %.0f", what, sum);
}

static void put_count(uint8_t *at, uint32_t count)
{
	at[0] = (uint8_t)(count >> 8);
	at[1] = (uint8_t)count;
}

static void flows_that_are_counted_up_are_spread_evenly(void **state)
{
	static const struct {
		const char *what;
		bool ipv6;
		size_t at, also_at; /* two bytes each */
	} ways[] = {
		{"IPv4, source port", false, 34, 34},
		{"IPv4, destination address", false, 32, 32},
		{"IPv4, source address and destination port", false, 28, 36},
		{"IPv6, source port", true, 54, 54},
		{"IPv6, destination network", true, 44, 44},
		{"IPv6, source host and its port", true, 36, 54},
	};
	const struct fixture *fixture = *state;

	for (size_t way = 0; way < sizeof(ways) / sizeof(ways[0]); way++) {
		uint32_t buckets[BUCKETS] = {};
		uint8_t frame[66];

		if (ways[way].ipv6)
			put_ipv6_udp(frame);
		else
			packet_udp(frame, sizeof(frame), NULL);
		for (uint32_t i = 0; i < FLOWS; i++) {
			put_count(frame + ways[way].at, i);
			put_count(frame + ways[way].also_at, i);
			buckets[hash_of(fixture, frame, sizeof(frame)) % BUCKETS]++;
		}
		assert_even(buckets, ways[way].what);
	}
}

/* ---- what is done ---- */

static void a_rule_drops_and_passes_also_where_no_consumer_is_attached(void **state)
{
	struct fixture *fixture = *state;
	struct config_rule rules[] = {with_action(XDPD_ACTION_DROP), with_action(XDPD_ACTION_PASS)};
	struct config_interface config = rules_of(rules, 2, to_group(0));
	struct xdpd_bpf_counters counters;
	uint8_t frame[66];

	rules[0].match.dport = (struct config_ranges)ONE(9);
	rules[1].match.dport = (struct config_ranges)ONE(53);
	steer(fixture, &config, NULL);
	packet_udp(frame, sizeof(frame), NULL);
	assert_int_equal(show(fixture, 3, frame, sizeof(frame), NULL), XDP_DROP);
	frame[37] = 53;
	assert_int_equal(show(fixture, 3, frame, sizeof(frame), NULL), XDP_PASS);
	frame[37] = 54;
	assert_int_equal(show(fixture, 3, frame, sizeof(frame), NULL), XDP_PASS);
	assert_ok(redirect_counters(fixture->redirect, 3, &counters));
	assert_int_equal(counters.verdict[XDPD_VERDICT_DROP_RULE].packets, 1);
	assert_int_equal(counters.verdict[XDPD_VERDICT_PASS_RULE].packets, 1);
	assert_int_equal(counters.verdict[XDPD_VERDICT_PASS].packets, 1);
}

static void a_frame_for_groups_without_a_member_passes(void **state)
{
	struct fixture *fixture = *state;
	struct config_interface config = rules_of(NULL, 0, to_group(3));
	uint8_t frame[FRAME_SIZE] = {};
	struct redirect_trace traced;

	packet_udp(frame, sizeof(frame), NULL);
	set_record(fixture, bits_of(1 << 2), 0);
	steer(fixture, &config, NULL);
	assert_int_equal(show(fixture, QUEUE, frame, 66, NULL), XDP_PASS);
	assert_int_equal(trace(fixture, QUEUE, frame, 66).verdict, XDPD_VERDICT_PASS);
	set_record(fixture, bits_of(1 << 2 | 1 << 3), 0);
	assert_int_equal(show(fixture, QUEUE, frame, 66, NULL), XDP_REDIRECT);
	traced = trace(fixture, QUEUE, frame, fixture->record.capacity + 1);
	assert_int_equal(traced.verdict, XDPD_VERDICT_PASS_OVERSIZE);
	assert_int_equal(traced.groups, bits_of(1 << 3));
	redirect_clear(fixture->redirect, QUEUE);
	assert_int_equal(show(fixture, QUEUE, frame, 66, NULL), XDP_PASS);
	assert_int_equal(trace(fixture, QUEUE, frame, 66).verdict, XDPD_VERDICT_PASS);
}

static void without_rules_all_groups_get_a_frame_and_its_hash(void **state)
{
	struct fixture *fixture = *state;
	struct xdpd_metadata metadata;
	uint8_t frame[66];

	packet_udp(frame, sizeof(frame), NULL);
	assert_int_equal(show(fixture, QUEUE, frame, sizeof(frame), &metadata), XDP_REDIRECT);
	assert_int_equal(metadata.epoch, 0);
	set_record(fixture, 0xf0, EPOCH);
	assert_int_equal(show(fixture, QUEUE, frame, sizeof(frame), &metadata), XDP_REDIRECT);
	assert_int_equal(metadata.epoch, EPOCH);
	assert_int_equal(metadata.groups, 0xf0);
	assert_int_equal(metadata.rule, XDPD_RULES_MAX);
	assert_int_equal(metadata.hash, hash_of(fixture, frame, sizeof(frame)));
}

static void what_can_not_be_traced_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	struct redirect_trace traced;
	uint8_t frame[66];

	packet_udp(frame, sizeof(frame), NULL);
	assert_error(redirect_trace(fixture->redirect, QUEUE, frame, 13, &traced), EINVAL);
	assert_error(redirect_trace(fixture->redirect, QUEUES, frame, 66, &traced), EIO);
}

static void what_rules_counted_is_told_when_they_are_replaced(void **state)
{
	struct fixture *fixture = *state;
	struct xdpd_bpf_counter before[XDPD_RULES_MAX + 1], counter;
	struct config_rule rules[] = {to_group(0), to_group(1)};
	struct config_interface config = rules_of(rules, 2, to_group(2));
	struct config_interface plain = rules_of(NULL, 0, with_action(XDPD_ACTION_REDIRECT));
	uint8_t frame[66];

	packet_udp(frame, sizeof(frame), NULL);
	rules[0].match.proto = (struct config_ranges)ONE(IPPROTO_TCP);
	steer(fixture, &config, before);
	assert_int_equal(before[1].packets, 0);
	for (int i = 0; i < 3; i++)
		(void)show(fixture, QUEUE, frame, sizeof(frame), NULL);
	steer(fixture, &config, before);
	assert_int_equal(before[1].packets, 3);
	assert_int_equal(before[1].bytes, 3 * sizeof(frame));
	assert_ok(redirect_rule_counter(fixture->redirect, 1, &counter));
	assert_int_equal(counter.packets, 0);
	(void)show(fixture, QUEUE, frame, sizeof(frame), NULL);
	steer(fixture, &plain, before);
	assert_int_equal(before[1].packets, 1);
	(void)show(fixture, QUEUE, frame, sizeof(frame), NULL);
	steer(fixture, &plain, before);
	assert_int_equal(before[1].packets, 0);
	assert_int_equal(before[XDPD_RULES_MAX].packets, 0);
}

static int steer_and_trace(void *argument)
{
	struct fixture *fixture = argument;
	struct xdpd_bpf_counter before[XDPD_RULES_MAX + 1];
	struct config_rule rule = to_group(0);
	struct config_interface config = rules_of(&rule, 1, with_action(XDPD_ACTION_DROP));
	const uint8_t slots[CONFIG_GROUPS_MAX] = {5};
	struct xdpd_bpf_steering *compiled = malloc(sizeof(*compiled));
	struct redirect_trace traced = {};
	struct failure why;
	uint8_t frame[66];
	int r;

	packet_udp(frame, sizeof(frame), NULL);
	r = attach(fixture, true);
	if (r == 0)
		r = compiled ? steering_compile(&config, slots, compiled, &why) : -ENOMEM;
	if (r == 0)
		r = redirect_steer(fixture->redirect, compiled, before);
	if (r == 0)
		r = redirect_trace(fixture->redirect, 0, frame, sizeof(frame), &traced);
	free(compiled);
	if (r < 0)
		fprintf(stderr, "%s\n", strerror(-r));
	return r < 0 || traced.rule != 0 || traced.verdict != XDPD_VERDICT_PASS;
}

static void an_ordinary_user_with_the_daemons_capabilities_can_steer_and_trace(void **state)
{
	struct fixture *fixture = *state;
	cleanup_ran struct ran ran = {};

	fixture->redirect = redirect_detach(fixture->redirect);
	assert_ok(child_run(&ran,
			    &(struct child_options){.call = steer_and_trace,
						    .argument = fixture,
						    .uid = CHILD_NOBODY,
						    .capabilities = 1ull << CAP_BPF |
								    1ull << CAP_NET_ADMIN |
								    1ull << CAP_NET_RAW},
			    10000));
	if (ran.status)
		fail_msg("status %d: %s", ran.status, ran.errors);
}

/* ---- rules that are replaced under traffic ---- */

struct receiver {
	const struct fixture *fixture;
	const uint8_t *umem;
	struct xdpd_ring rx, fill;
	uint64_t frames, by_group[2];
};

static void join(struct xdpd_ring *ring, const struct xsk_ring_map *map, bool consumes)
{
	uint8_t *base = map->address;
	uint32_t *producer = (uint32_t *)(base + map->offset.producer);
	uint32_t *consumer = (uint32_t *)(base + map->offset.consumer);

	xdpd_ring_join(ring, base + map->offset.desc, map->size, consumes ? consumer : producer,
		       consumes ? producer : consumer, (uint32_t *)(base + map->offset.flags));
}

static void receiver_begin(struct receiver *receiver, const struct fixture *fixture)
{
	*receiver = (struct receiver){.fixture = fixture};
	receiver->umem = mmap(NULL, fixture->umem.size, PROT_READ, MAP_SHARED, fixture->umem.fd, 0);
	assert_ptr_not_equal(receiver->umem, MAP_FAILED);
	join(&receiver->rx, &fixture->xsk.rings[XSK_RX], true);
	join(&receiver->fill, &fixture->xsk.rings[XSK_FILL], false);
}

/* The two sets of rules: the first rule for group 0, or the second for group 1. */
static void check_metadata(struct receiver *receiver, const struct xdpd_metadata *metadata,
			   uint32_t hash)
{
	unsigned int group = metadata->rule;

	if (metadata->epoch != EPOCH || group > 1 || metadata->groups != bits_of(1u << group) ||
	    metadata->hash != hash)
		fail_msg("a mix: epoch %x, groups %x, rule %u, hash %x", metadata->epoch,
			 metadata->groups, metadata->rule, metadata->hash);
	receiver->frames++;
	receiver->by_group[group]++;
}

static uint32_t receive(struct receiver *receiver, uint32_t hash)
{
	uint32_t n = xdpd_ring_available(&receiver->rx, 256);

	n = xdpd_ring_room(&receiver->fill, n);
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *desc = xdpd_ring_desc(&receiver->rx, receiver->rx.own + i);
		struct xdpd_metadata metadata;

		memcpy(&metadata, receiver->umem + desc->addr - sizeof(metadata), sizeof(metadata));
		check_metadata(receiver, &metadata, hash);
		*xdpd_ring_address(&receiver->fill, receiver->fill.own + i) =
			desc->addr / FRAME_SIZE * FRAME_SIZE;
	}
	xdpd_ring_advance(&receiver->rx, n);
	xdpd_ring_advance(&receiver->fill, n);
	return n;
}

static void add(struct xdpd_bpf_counter *sum, const struct xdpd_bpf_counter *counters)
{
	for (uint32_t rule = 0; rule <= XDPD_RULES_MAX; rule++) {
		sum[rule].packets += counters[rule].packets;
		sum[rule].bytes += counters[rule].bytes;
	}
}

static void no_frame_sees_half_of_the_rules_when_they_are_replaced(void **state)
{
	struct fixture *fixture = *state;
	struct config_rule first[] = {to_group(0), to_group(0)};
	struct config_rule second[] = {to_group(1), to_group(1)};
	struct config_interface sets[] = {rules_of(first, 1, with_action(XDPD_ACTION_DROP)),
					  rules_of(second, 2, with_action(XDPD_ACTION_DROP))};
	struct xdpd_bpf_counter sum[XDPD_RULES_MAX + 1] = {}, before[XDPD_RULES_MAX + 1];
	struct xdpd_bpf_counters counters;
	struct traffic_result sent;
	struct receiver receiver;
	struct traffic *traffic;
	uint8_t frame[66];
	uint32_t hash;

	require_live_frames();
	require_cpus(2);
	second[0].match.proto = (struct config_ranges)ONE(IPPROTO_TCP);
	packet_udp(frame, sizeof(frame), NULL);
	hash = hash_of(fixture, frame, sizeof(frame));
	set_record(fixture, bits_of(3), EPOCH);
	steer(fixture, &sets[0], NULL);
	receiver_begin(&receiver, fixture);
	/* Which CPU's frames arrive on that queue. */
	assert_ok(traffic_start(&traffic, &(struct traffic_options){.device = "far",
								    .cpu = QUEUE,
								    .frame = frame,
								    .length = sizeof(frame),
								    .rate = 200000}));
	for (uint64_t until = live_now_ms() + 2500, swap_at = 0, i = 0; live_now_ms() < until;) {
		receive(&receiver, hash);
		if (receiver.frames < swap_at + 200)
			continue;
		i++;
		steer(fixture, &sets[i & 1], before);
		add(sum, before);
		swap_at = receiver.frames;
	}
	assert_int_equal(traffic_stop(traffic, &sent), 0);
	while (receive(&receiver, hash))
		;
	steer(fixture, &sets[0], before);
	add(sum, before);
	assert_ok(redirect_counters(fixture->redirect, QUEUE, &counters));
	assert_int_equal(counters.verdict[XDPD_VERDICT_REDIRECT].packets, sent.sent);
	assert_int_equal(sum[0].packets + sum[1].packets, sent.sent);
	assert_int_equal(sum[XDPD_RULES_MAX].packets, 0);
	assert_true(receiver.by_group[0] > 1000 && receiver.by_group[1] > 1000);
	assert_int_equal(receiver.by_group[0] + receiver.by_group[1], receiver.frames);
	assert_true(receiver.frames <= sent.sent);
	(void)munmap((void *)receiver.umem, fixture->umem.size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(the_first_rule_that_matches_decides_whatever_frames_and_rules_are),
		without_frags(the_first_rule_that_matches_decides_whatever_frames_and_rules_are),
		fixture_test(both_directions_of_a_flow_have_one_hash),
		fixture_test(each_part_of_a_flow_makes_another_hash),
		fixture_test(a_tag_does_not_change_the_flow_and_arp_has_none),
		fixture_test(all_fragments_of_a_datagram_have_one_hash),
		fixture_test(flows_that_are_counted_up_are_spread_evenly),
		fixture_test(a_rule_drops_and_passes_also_where_no_consumer_is_attached),
		fixture_test(a_frame_for_groups_without_a_member_passes),
		fixture_test(without_rules_all_groups_get_a_frame_and_its_hash),
		fixture_test(what_can_not_be_traced_is_refused),
		fixture_test(what_rules_counted_is_told_when_they_are_replaced),
		fixture_test(an_ordinary_user_with_the_daemons_capabilities_can_steer_and_trace),
		fixture_test(no_frame_sees_half_of_the_rules_when_they_are_replaced),
	};

	return live_run("steering", tests, 120);
}
