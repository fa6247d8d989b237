/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/access_read.h"

#include <errno.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define NAMES_MAX 1024 /* of one list of users or groups */

static void read_user(struct walk *walk, enum names names, const yaml_node_t *node,
		      struct access_list *list)
{
	struct report *report = walk->report;
	uid_t uid;
	int r;

	if (node->type != YAML_SCALAR_NODE || yaml_node_is_null(node)) {
		report_add(report, yaml_node_place(node),
			   "a user is %s, expected a name, a number or \"*\"",
			   yaml_node_kind(node));
		return;
	}
	if (strcmp(yaml_node_text(node), "*") == 0) {
		list->anyone = true;
		return;
	}
	r = access_find_user(yaml_node_text(node), names, &uid);
	if (r == -ENOENT)
		report_add(report, yaml_node_place(node),
			   "there is no user %s, expected an existing name, a number or \"*\"",
			   show(node).text);
	else if (r < 0)
		report_add(report, yaml_node_place(node), "user %s can't be looked up (%s)",
			   show(node).text, strerror(-r));
	else if (access_add_user(list, uid) < 0)
		report->out_of_memory = true;
}

static void read_group(struct walk *walk, enum names names, const yaml_node_t *node,
		       struct access_list *list)
{
	struct report *report = walk->report;
	gid_t gid;
	int r;

	if (node->type != YAML_SCALAR_NODE || yaml_node_is_null(node)) {
		report_add(report, yaml_node_place(node),
			   "a group is %s, expected a name or a number", yaml_node_kind(node));
		return;
	}
	if (strcmp(yaml_node_text(node), "*") == 0) {
		report_add(
			report, yaml_node_place(node),
			"a group is `*`, expected a name or a number; anyone is `users: [\"*\"]`");
		return;
	}
	r = access_find_group(yaml_node_text(node), names, &gid);
	if (r == -ENOENT)
		report_add(report, yaml_node_place(node),
			   "there is no group %s, expected an existing name or a number",
			   show(node).text);
	else if (r < 0)
		report_add(report, yaml_node_place(node), "group %s can't be looked up (%s)",
			   show(node).text, strerror(-r));
	else if (access_add_group(list, gid) < 0)
		report->out_of_memory = true;
}

static void read_names(struct walk *walk, enum names names, const char *what,
		       const yaml_node_t *node, struct access_list *list,
		       void (*read)(struct walk *, enum names, const yaml_node_t *,
				    struct access_list *))
{
	size_t n = walk_list(walk, what, node, " as in `[root, 1000]`");

	if (n > NAMES_MAX) {
		report_add(walk->report, yaml_node_place(node),
			   "%s has %zu items, expected at most %d", what, n, NAMES_MAX);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const yaml_node_t *item = walk_item(walk, node, i);

		if (!item)
			return;
		read(walk, names, item, list);
	}
}

void access_read_list(struct walk *walk, enum names names, const struct field *users,
		      const struct field *groups, struct access_list *list)
{
	static const struct access_list nobody;

	if (users->value) {
		(void)access_copy_users(list, &nobody);
		read_names(walk, names, "`users`", users->value, list, read_user);
	}
	if (groups->value) {
		(void)access_copy_groups(list, &nobody);
		read_names(walk, names, "`groups`", groups->value, list, read_group);
	}
}

struct attach_given access_read_attach(struct walk *walk, enum names names, const yaml_node_t *node,
				       struct attach_access *attach)
{
	static const char *const keys[] = {"users", "groups", "transmit"};
	struct field fields[COUNT(keys)];
	struct attach_given given = {};

	if (!node || !walk_mapping(walk, "`attach`", node, keys, COUNT(keys), fields))
		return given;
	given.who = fields[0].value || fields[1].value;
	if (given.who)
		access_clear(&attach->who);
	access_read_list(walk, names, &fields[0], &fields[1], &attach->who);
	given.transmit = walk_bool(walk, "`transmit`", fields[2].value, &attach->transmit);
	return given;
}
