// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/rules.h"

#include <string.h>

#include "daemon/cleanup.h"
#include "daemon/redirect.h"
#include "daemon/state.h"
#include "daemon/steering.h"

/* The default is the last. */
#define ENTRIES (XDPD_RULES_MAX + 1)

struct entry {
	char *match;
	enum xdpd_action action;
	char groups[XDPD_REASON_MAX];
	struct xdpd_bpf_counter sum; /* of programs and places that it had before */
};

struct rule_set {
	struct xdpd_bpf_steering steering;
	bool names_groups;
	size_t n; /* rules, without the default */
	struct entry entries[ENTRIES];
};

static struct rule_set *set_free(struct rule_set *set)
{
	for (size_t i = 0; set && i < ENTRIES; i++)
		free(set->entries[i].match);
	free(set);
	return NULL;
}

static void cleanup_set(struct rule_set **set)
{
	set_free(*set);
}

void rules_clear(struct rules *rules)
{
	set_free(rules->in_force);
	set_free(rules->next);
	*rules = (struct rules){};
}

/* ---- what is wanted ---- */

static void list_groups(const struct config_interface *config, const struct config_rule *rule,
			char *ret, size_t size)
{
	size_t length = 0;

	if (rule->action != XDPD_ACTION_REDIRECT || rule->all_groups)
		return;
	for (size_t i = 0; i < config->n_groups && length < size; i++)
		if (rule->groups & 1u << i)
			length += (size_t)snprintf(ret + length, size - length, "%s%s",
						   length ? ", " : "", config->groups[i].name);
}

static int make_entry(const struct config_interface *config, const struct config_rule *rule,
		      struct entry *ret)
{
	ret->match = strdup(rule->text ? rule->text : "");
	if (!ret->match)
		return -ENOMEM;
	ret->action = rule->action;
	list_groups(config, rule, ret->groups, sizeof(ret->groups));
	return 0;
}

static int make_set(struct rule_set **ret, const struct config_interface *config,
		    const uint8_t slots[CONFIG_GROUPS_MAX], struct failure *why)
{
	__attribute__((cleanup(cleanup_set))) struct rule_set *set = calloc(1, sizeof(*set));
	int r;

	if (!set)
		return failure(why, ENOMEM, "%s: no memory for its rules", config->name);
	r = steering_compile(config, slots, &set->steering, why);
	if (r < 0)
		return r;
	set->names_groups = steering_names_groups(config);
	set->n = config->n_rules;
	for (size_t i = 0; i < set->n && r == 0; i++)
		r = make_entry(config, &config->rules[i], &set->entries[i]);
	if (r == 0)
		r = make_entry(config, &config->otherwise, &set->entries[XDPD_RULES_MAX]);
	if (r < 0)
		return failure(why, -r, "%s: no memory for its rules", config->name);
	*ret = TAKE_PTR(set);
	return 0;
}

static bool same_entry(const struct entry *a, const struct entry *b)
{
	if (!a->match || !b->match)
		return !a->match && !b->match;
	return a->action == b->action && !strcmp(a->match, b->match) &&
	       !strcmp(a->groups, b->groups);
}

static bool same_set(const struct rule_set *a, const struct rule_set *b)
{
	for (size_t i = 0; i < ENTRIES; i++)
		if (!same_entry(&a->entries[i], &b->entries[i]))
			return false;
	return !memcmp(&a->steering, &b->steering, sizeof(a->steering));
}

int rules_want(struct rules *rules, const struct config_interface *config,
	       const uint8_t slots[CONFIG_GROUPS_MAX], struct failure *why)
{
	struct rule_set *set = NULL;
	int r = make_set(&set, config, slots, why);

	if (r < 0)
		return r;
	rules->next = set_free(rules->next);
	if (rules->in_force && same_set(rules->in_force, set))
		set_free(set);
	else
		rules->next = set;
	return 0;
}

int rules_check(const struct config_interface *config, struct failure *why)
{
	uint8_t slots[CONFIG_GROUPS_MAX];
	struct rule_set *set = NULL;
	int r;

	for (uint8_t i = 0; i < CONFIG_GROUPS_MAX; i++)
		slots[i] = i;
	r = make_set(&set, config, slots, why);
	set_free(set);
	return r;
}

bool rules_are_pending(const struct rules *rules)
{
	return rules->next || (rules->in_force && !rules->counting);
}

bool rules_name_groups(const struct rules *rules)
{
	return (rules->in_force && rules->in_force->names_groups) ||
	       (rules->next && rules->next->names_groups);
}

/* ---- what is in force ---- */

static void add_counter(struct xdpd_bpf_counter *sum, const struct xdpd_bpf_counter *other)
{
	sum->packets += other->packets;
	sum->bytes += other->bytes;
}

/* What the old rules counted is that of the new ones that read the same; each is taken over once. */
static void hand_on_counters(struct rule_set *from, struct rule_set *to)
{
	for (size_t i = 0; i < ENTRIES; i++) {
		for (size_t j = 0; to->entries[i].match && j < ENTRIES; j++) {
			if (!from->entries[j].match ||
			    !same_entry(&from->entries[j], &to->entries[i]))
				continue;
			add_counter(&to->entries[i].sum, &from->entries[j].sum);
			free(TAKE_PTR(from->entries[j].match));
			break;
		}
	}
}

int rules_put_in_force(struct rules *rules, struct redirect *redirect)
{
	struct rule_set *set = rules->next ? rules->next : rules->in_force;
	struct xdpd_bpf_counter before[ENTRIES] = {};
	int r;

	if (!set)
		return 0;
	r = redirect_steer(redirect, &set->steering, before);
	if (r < 0)
		return r;
	for (size_t i = 0; rules->counting && i < ENTRIES; i++)
		add_counter(&rules->in_force->entries[i].sum, &before[i]);
	rules->counting = true;
	if (!rules->next)
		return 0;
	if (rules->in_force) {
		hand_on_counters(rules->in_force, set);
		for (size_t i = 0; i < ENTRIES; i++)
			if (rules->in_force->entries[i].match)
				add_counter(&rules->retired, &rules->in_force->entries[i].sum);
	}
	set_free(rules->in_force);
	rules->in_force = TAKE_PTR(rules->next);
	return 0;
}

static struct xdpd_bpf_counter counted(const struct rules *rules, const struct redirect *redirect,
				       size_t i)
{
	struct xdpd_bpf_counter counter = {};

	if (rules->counting && redirect)
		(void)redirect_rule_counter(redirect, (uint32_t)i, &counter);
	add_counter(&counter, &rules->in_force->entries[i].sum);
	return counter;
}

void rules_suspend(struct rules *rules, struct redirect *redirect)
{
	for (size_t i = 0; rules->counting && i < ENTRIES; i++)
		rules->in_force->entries[i].sum = counted(rules, redirect, i);
	rules->counting = false;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t less(uint64_t from, uint64_t what)
{
	return from > what ? from - what : 0;
}

/* `seen` was read before what the rules counted, so while they count the difference comes out too small, if anything. */
static void update_plain(struct rules *rules, const struct redirect *redirect,
			 const struct xdpd_bpf_counter *seen)
{
	struct xdpd_bpf_counter sum = rules->retired;

	for (size_t i = 0; i < ENTRIES; i++) {
		const struct xdpd_bpf_counter counter = counted(rules, redirect, i);

		add_counter(&sum, &counter);
	}
	rules->plain.packets = greater(rules->plain.packets, less(seen->packets, sum.packets));
	rules->plain.bytes = greater(rules->plain.bytes, less(seen->bytes, sum.bytes));
}

static bool is_plain_default(const struct entry *entry)
{
	return !entry->match[0] && entry->action == XDPD_ACTION_REDIRECT && !entry->groups[0];
}

static void describe(const struct rules *rules, struct redirect *redirect, size_t i,
		     struct xdpd_rule_record *ret)
{
	const struct entry *entry = &rules->in_force->entries[i];
	struct xdpd_bpf_counter counter = counted(rules, redirect, i);

	if (i == XDPD_RULES_MAX && is_plain_default(entry))
		add_counter(&counter, &rules->plain);
	*ret = (struct xdpd_rule_record){
		.rule = i == XDPD_RULES_MAX ? UINT32_MAX : (uint32_t)i,
		.action = entry->action,
		.packets = counter.packets,
		.bytes = counter.bytes,
	};
	(void)snprintf(ret->match, sizeof(ret->match), "%s", entry->match);
	(void)snprintf(ret->groups, sizeof(ret->groups), "%s", entry->groups);
}

size_t rules_describe(struct rules *rules, struct redirect *redirect,
		      const struct xdpd_bpf_counter *seen, struct xdpd_rule_record *ret)
{
	size_t n = 0;

	if (!rules->in_force)
		return 0;
	update_plain(rules, redirect, seen);
	for (size_t i = 0; i < rules->in_force->n; i++)
		describe(rules, redirect, i, &ret[n++]);
	describe(rules, redirect, XDPD_RULES_MAX, &ret[n++]);
	return n;
}

/* ---- between processes ---- */

static void save_entry(const struct entry *entry, size_t i, struct saved_rule *ret)
{
	*ret = (struct saved_rule){
		.rule = (uint32_t)i,
		.action = entry->action,
		.sum = {entry->sum.packets, entry->sum.bytes},
	};
	(void)snprintf(ret->match, sizeof(ret->match), "%s", entry->match);
	(void)snprintf(ret->groups, sizeof(ret->groups), "%s", entry->groups);
}

size_t rules_save(const struct rules *rules, struct saved_rule *ret)
{
	size_t n = 0;

	for (size_t i = 0; rules->in_force && i < ENTRIES; i++)
		if (rules->in_force->entries[i].match)
			save_entry(&rules->in_force->entries[i], i, &ret[n++]);
	return n;
}

/* A match of a thousand bytes was cut, and counts as another. */
static bool is_saved_entry(const struct entry *entry, const struct saved_rule *saved)
{
	return entry->match && entry->action == saved->action &&
	       !strcmp(entry->match, saved->match) && !strcmp(entry->groups, saved->groups);
}

static bool is_saved_set(const struct rule_set *set, const struct saved_rule *entries, size_t n)
{
	size_t found = 0, wanted = 0;

	for (size_t i = 0; i < ENTRIES; i++)
		wanted += set->entries[i].match != NULL;
	for (size_t i = 0; i < n; i++)
		found += is_saved_entry(&set->entries[entries[i].rule], &entries[i]);
	return found == wanted && n == wanted;
}

void rules_adopt(struct rules *rules, const struct saved_interface *saved,
		 const struct saved_rule *entries, size_t n)
{
	struct rule_set *set = rules->next;

	rules->retired = (struct xdpd_bpf_counter){saved->retired.packets, saved->retired.bytes};
	rules->plain = (struct xdpd_bpf_counter){saved->plain.packets, saved->plain.bytes};
	if (!set || rules->in_force)
		return;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < ENTRIES; j++)
			if (is_saved_entry(&set->entries[j], &entries[i])) {
				set->entries[j].sum.packets += entries[i].sum.packets;
				set->entries[j].sum.bytes += entries[i].sum.bytes;
			}
	if (!saved->counting || !is_saved_set(set, entries, n))
		return;
	rules->in_force = TAKE_PTR(rules->next);
	rules->counting = true;
}
