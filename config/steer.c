/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/steer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/match.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- the groups of a redirect ---- */

struct group_reading {
	const struct config_interface *interface;
	uint32_t groups;
	struct place places[CONFIG_GROUPS_MAX];
};

static bool read_group(struct walk *walk, const char *what, const yaml_node_t *node, void *context)
{
	struct group_reading *reading = context;
	const struct config_interface *interface = reading->interface;
	struct word words[CONFIG_GROUPS_MAX];
	size_t n = 0;
	int group;

	for (size_t i = 0; i < interface->n_groups; i++)
		if (interface->groups[i].name[0])
			words[n++] = (struct word){interface->groups[i].name, (int)i};
	(void)what;
	if (!walk_word(walk, "a group", node, words, n, &group))
		return false;
	if (reading->groups & UINT32_C(1) << group) {
		report_add(walk->report, yaml_node_place(node),
			   "group `%s` is listed twice, expected once; first at line %zu, column "
			   "%zu",
			   interface->groups[group].name, reading->places[group].line,
			   reading->places[group].column);
		return false;
	}
	reading->groups |= UINT32_C(1) << group;
	reading->places[group] = yaml_node_place(node);
	return true;
}

static bool is_list_of_some(const yaml_node_t *node)
{
	return node->type == YAML_SEQUENCE_NODE &&
	       node->data.sequence.items.start < node->data.sequence.items.top;
}

static void read_groups(struct walk *walk, const struct field *field,
			const struct config_interface *interface, struct config_rule *rule)
{
	struct group_reading reading = {.interface = interface};

	rule->all_groups = !field->key;
	if (!field->key)
		return;
	if (!interface->n_groups) {
		report_add(walk->report, yaml_node_place(field->key),
			   "`groups` is given and the interface has none, expected no `groups` for "
			   "all, or the interface's own `groups` as in `[{ name: ids }]`");
		return;
	}
	if (!is_list_of_some(field->value)) {
		report_add(
			walk->report, yaml_node_place(field->value),
			"`groups` is %s, expected a list of some of the interface's `groups`, or "
			"no `groups` for all",
			field->value->type == YAML_SEQUENCE_NODE ? "an empty list"
								 : show(field->value).text);
		return;
	}
	(void)walk_values(walk, "`groups`", field->value, CONFIG_GROUPS_MAX, read_group, &reading);
	rule->groups = reading.groups;
}

/* ---- rules ---- */

static const struct word action_words[] = {
	{"redirect", XDPD_ACTION_REDIRECT},
	{"pass", XDPD_ACTION_PASS},
	{"drop", XDPD_ACTION_DROP},
};

/* `what` is "a rule" or "`default`". */
static void read_action(struct walk *walk, const char *what, const yaml_node_t *node,
			const struct field *action, const struct field *groups,
			const struct config_interface *interface, struct config_rule *rule)
{
	int read;

	if (!action->value) {
		report_add(walk->report, yaml_node_place(node),
			   "%s without `action`, expected `redirect`, `pass` or `drop`", what);
		return;
	}
	if (!walk_word(walk, "`action`", action->value, action_words, COUNT(action_words), &read))
		return;
	rule->action = (enum xdpd_action)read;
	if (rule->action == XDPD_ACTION_REDIRECT)
		read_groups(walk, groups, interface, rule);
	else if (groups->key)
		report_add(walk->report, yaml_node_place(groups->key),
			   "`groups` is given and `action` is `%s`, expected `redirect`, or no "
			   "`groups`",
			   action_words[read - XDPD_ACTION_REDIRECT].text);
}

static void read_match(struct walk *walk, const yaml_node_t *rule_node, const yaml_node_t *node,
		       struct config_rule *rule)
{
	if (!node) {
		report_add(
			walk->report, yaml_node_place(rule_node),
			"a rule without `match`, expected one as in `match: { proto: tcp }`; what "
			"holds for all other frames is `default`");
		return;
	}
	if (!match_read(walk, node, &rule->match))
		return;
	rule->text = match_format(&rule->match);
	if (!rule->text)
		walk->report->out_of_memory = true;
}

/* Returns where its match is, nowhere if it has none. */
static struct place read_rule(struct walk *walk, const yaml_node_t *node,
			      const struct config_interface *interface, struct config_rule *rule)
{
	static const char *const keys[] = {"match", "action", "groups"};
	struct field fields[COUNT(keys)];

	if (!walk_mapping(walk, "a rule", node, keys, COUNT(keys), fields))
		return (struct place){};
	read_match(walk, node, fields[0].value, rule);
	read_action(walk, "a rule", node, &fields[1], &fields[2], interface, rule);
	return rule->text ? yaml_node_place(fields[0].value) : (struct place){};
}

/* The first rule that matches counts, so that no frame ever gets to the second of two alike. */
static void check_match(struct walk *walk, const struct config_rule *rules,
			const struct place *places, size_t i)
{
	for (size_t first = 0; first < i; first++) {
		if (!places[first].line || strcmp(rules[first].text, rules[i].text) != 0)
			continue;
		report_add(walk->report, places[i],
			   "`match` is the same as an earlier rule's, which takes all of these "
			   "frames; expected once; first at line %zu, column %zu",
			   places[first].line, places[first].column);
		return;
	}
}

static void read_rules(struct walk *walk, const yaml_node_t *node,
		       struct config_interface *interface)
{
	struct place places[CONFIG_RULES_MAX] = {};
	size_t n = walk_list(walk, "`steer`", node,
			     " of rules as in `- { match: { proto: tcp }, action: pass }`");

	if (n > CONFIG_RULES_MAX) {
		report_add(walk->report, yaml_node_place(node),
			   "`steer` has %zu rules, expected at most %d", n, CONFIG_RULES_MAX);
		return;
	}
	interface->rules = calloc(n + 1, sizeof(*interface->rules));
	if (!interface->rules) {
		walk->report->out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct config_rule *rule = &interface->rules[i];
		const yaml_node_t *item = walk_item(walk, node, i);

		if (!item)
			return;
		interface->n_rules++;
		places[i] = read_rule(walk, item, interface, rule);
		if (places[i].line)
			check_match(walk, interface->rules, places, i);
	}
}

static void read_default(struct walk *walk, const yaml_node_t *node,
			 struct config_interface *interface)
{
	static const char *const keys[] = {"action", "groups"};
	struct config_rule *rule = &interface->otherwise;
	struct field fields[COUNT(keys)];

	if (yaml_node_is_null(node) ||
	    !walk_mapping(walk, "`default`", node, keys, COUNT(keys), fields))
		return;
	rule->all_groups = false;
	read_action(walk, "`default`", node, &fields[0], &fields[1], interface, rule);
}

int steer_init(struct config_interface *interface)
{
	interface->otherwise = (struct config_rule){
		.match.fragment = -1,
		.action = XDPD_ACTION_REDIRECT,
		.all_groups = true,
		.text = strdup(""),
	};
	return interface->otherwise.text ? 0 : -ENOMEM;
}

void steer_read(struct walk *walk, const yaml_node_t *steer, const yaml_node_t *otherwise,
		struct config_interface *interface)
{
	if (steer)
		read_rules(walk, steer, interface);
	if (otherwise)
		read_default(walk, otherwise, interface);
}

static void rule_clear(struct config_rule *rule)
{
	match_clear(&rule->match);
	free(rule->text);
}

void steer_clear(struct config_interface *interface)
{
	for (size_t i = 0; i < interface->n_rules; i++)
		rule_clear(&interface->rules[i]);
	free(interface->rules);
	interface->rules = NULL;
	interface->n_rules = 0;
	rule_clear(&interface->otherwise);
}
