/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/group.h"

#include <stdlib.h>
#include <string.h>

#include "config/access_read.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static bool is_name(const char *text)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-";

	return *text && strlen(text) < XDPD_NAME_MAX && !text[strspn(text, allowed)];
}

static void read_name(struct walk *walk, const yaml_node_t *group_node, const yaml_node_t *node,
		      struct config_group *group)
{
	if (!node)
		report_add(walk->report, yaml_node_place(group_node),
			   "a group without `name`, expected one as in `name: ids`");
	else if (yaml_node_is_null(node) || !is_name(yaml_node_text(node)))
		report_add(walk->report, yaml_node_place(node),
			   "`name` is %s, expected a group's name: 1 to %d letters, digits, `_`, "
			   "`.`, `:` or `-`",
			   show(node).text, XDPD_NAME_MAX - 1);
	else
		strcpy(group->name, yaml_node_text(node));
}

static void read_mode(struct walk *walk, const yaml_node_t *node, enum xdpd_hold_mode *ret)
{
	static const struct word words[] = {{"hold", XDPD_HOLD}, {"tap", XDPD_TAP}};
	int mode;

	if (walk_word(walk, "`mode`", node, words, COUNT(words), &mode))
		*ret = (enum xdpd_hold_mode)mode;
}

static void read_quota(struct walk *walk, const struct field *field, struct config_group *group)
{
	if (field->key && group->mode == XDPD_TAP)
		report_add(walk->report, yaml_node_place(field->key),
			   "`quota` is given and `mode` is `tap`, which holds no frames; expected "
			   "`hold`, or no `quota`");
	else
		(void)walk_number(walk, "`quota`", field->value, 1, UINT32_MAX, &group->quota);
}

/* Who may join is left to the queue unless it is given. */
static void read_attach(struct walk *walk, enum names names, const yaml_node_t *node,
			struct config_group *group)
{
	struct attach_given given = access_read_attach(walk, names, node, &group->attach);

	group->restricted = given.who;
	group->transmit_given = given.transmit;
}

/* Returns where its name is, nowhere if it has none. */
static struct place read_group(struct walk *walk, enum names names, const yaml_node_t *node,
			       struct config_group *group)
{
	static const char *const keys[] = {"name", "mode", "quota", "attach"};
	struct field fields[COUNT(keys)];

	if (!walk_mapping(walk, "a group", node, keys, COUNT(keys), fields))
		return (struct place){};
	read_name(walk, node, fields[0].value, group);
	read_mode(walk, fields[1].value, &group->mode);
	read_quota(walk, &fields[2], group);
	read_attach(walk, names, fields[3].value, group);
	return group->name[0] ? yaml_node_place(fields[0].value) : (struct place){};
}

/* `places` has those of the names before it. */
static void check_name(struct walk *walk, const struct config_group *groups,
		       const struct place *places, size_t i)
{
	for (size_t first = 0; first < i; first++) {
		if (!places[first].line || strcmp(groups[first].name, groups[i].name) != 0)
			continue;
		report_add(walk->report, places[i],
			   "group `%s` is listed twice, expected once; first at line %zu, column "
			   "%zu",
			   groups[i].name, places[first].line, places[first].column);
		return;
	}
}

void groups_read(struct walk *walk, enum names names, const struct attach_access *inherited,
		 const yaml_node_t *node, struct config_interface *interface)
{
	struct place places[CONFIG_GROUPS_MAX] = {};
	size_t n = walk_list(walk, "`groups`", node, " as in `[{ name: ids }]`");

	if (n > CONFIG_GROUPS_MAX) {
		report_add(walk->report, yaml_node_place(node),
			   "`groups` has %zu items, expected at most %d", n, CONFIG_GROUPS_MAX);
		n = CONFIG_GROUPS_MAX;
	}
	interface->groups = calloc(n + 1, sizeof(*interface->groups));
	if (!interface->groups) {
		walk->report->out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct config_group *group = &interface->groups[i];
		const yaml_node_t *item = walk_item(walk, node, i);

		if (!item)
			return;
		*group = (struct config_group){.mode = XDPD_HOLD,
					       .attach.transmit = inherited->transmit};
		interface->n_groups++;
		places[i] = read_group(walk, names, item, group);
		if (places[i].line)
			check_name(walk, interface->groups, places, i);
	}
}

void groups_clear(struct config_interface *interface)
{
	for (size_t i = 0; i < interface->n_groups; i++)
		access_clear(&interface->groups[i].attach.who);
	free(interface->groups);
	interface->groups = NULL;
	interface->n_groups = 0;
}
