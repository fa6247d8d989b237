/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/text_edit.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/access.h"
#include "config/walk.h"
#include "daemon/cleanup.h"

struct report text_edit_report(const struct text_edit *edit)
{
	return (struct report){.name = edit->fragment_name, .indent = edit->fragment_indent};
}

/* Braces are added where there are none. A line of its own for the last, as a comment may come before it. */
static int load_fragment(struct text_edit *edit, const char *fragment)
{
	cleanup_free char *text = NULL;
	struct report report;

	while (isspace((unsigned char)*fragment))
		fragment++;
	edit->fragment_indent = *fragment == '{' ? 0 : 1;
	if (asprintf(&text, edit->fragment_indent ? "{%s\n}" : "%s", fragment) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	report = text_edit_report(edit);
	(void)yaml_tree_load(&edit->fragment, text, strlen(text), &report);
	return report_close(&report, edit->errors);
}

int text_edit_start(struct text_edit *edit, const char *name, const char *text, const char *device,
		    const char *fragment, struct config_errors *errors)
{
	const char *fault = device_name_fault(device);
	int r;

	*edit = (struct text_edit){.name = name, .device = device, .errors = errors};
	if (fault)
		return report_one(errors, EINVAL, "interface", (struct place){},
				  "%s %s, expected an interface's name as in eth0",
				  show_text(device).text, fault);
	if (asprintf(&edit->fragment_name, "%s queue", device) < 0) {
		edit->fragment_name = NULL;
		return -ENOMEM;
	}
	r = parse_text(name, text, strlen(text), NAMES_KNOWN, &edit->file, errors);
	if (r == 0)
		r = layout_init(&edit->layout, text, &edit->file.tree);
	if (r == 0)
		r = load_fragment(edit, fragment);
	if (r == 0)
		edit->interface = config_find_interface(edit->file.config, device);
	return r;
}

void text_edit_clear(struct text_edit *edit)
{
	layout_clear(&edit->layout);
	parsed_clear(&edit->file);
	yaml_tree_clear(&edit->fragment);
	free(edit->fragment_name);
	*edit = (struct text_edit){};
}

struct place text_edit_ids_place(const struct text_edit *edit)
{
	const yaml_node_t *root = yaml_tree_root(&edit->fragment);
	const yaml_node_pair_t *id = yaml_tree_find(&edit->fragment, root, "id");

	return yaml_node_place(id ? yaml_tree_node(&edit->fragment, id->value) : root);
}

const yaml_node_t *text_edit_interface(const struct text_edit *edit)
{
	const struct yaml_tree *tree = &edit->file.tree;
	const yaml_node_pair_t *pair = yaml_tree_find(tree, yaml_tree_root(tree), "interfaces");
	const yaml_node_t *list = yaml_tree_node(tree, pair->value);

	/* The list's items are the config's, one for one. */
	return yaml_tree_node(
		tree,
		list->data.sequence.items.start[edit->interface - edit->file.config->interfaces]);
}

int text_edit_item_ids(const struct text_edit *edit, const yaml_node_t *queues, size_t i,
		       struct id_set *ret)
{
	const struct yaml_tree *tree = &edit->file.tree;
	const yaml_node_t *item = yaml_tree_node(tree, queues->data.sequence.items.start[i]);
	const yaml_node_pair_t *id = yaml_tree_find(tree, item, "id");
	struct report report = {.name = edit->name};

	if (parse_queue_ids(tree, yaml_tree_node(tree, id->value), ret, &report) < 0)
		return report_close(&report, edit->errors);
	return 0;
}

int text_edit_refuse(const struct text_edit *edit, const yaml_node_t *node)
{
	struct place place = node ? yaml_node_place(node) : (struct place){1, 1};

	return report_one(
		edit->errors, EINVAL, edit->name, place,
		"the queues of %s can't be changed here without changing more (an alias, or "
		"an unusual layout); edit the file by hand",
		edit->device);
}

/* ---- the check ---- */

static bool same_interface(const struct config_interface *a, const struct config_interface *b)
{
	if (strcmp(a->name, b->name) != 0 || a->mode != b->mode || a->bind != b->bind ||
	    a->replace != b->replace || a->all != b->all || a->n_queues != b->n_queues ||
	    !config_groups_equal(a, b) || !config_steering_equal(a, b))
		return false;
	if (a->all && !config_queue_equal(&a->all_queues, &b->all_queues))
		return false;
	for (size_t i = 0; i < a->n_queues; i++)
		if (a->queues[i].id != b->queues[i].id ||
		    !config_queue_equal(&a->queues[i], &b->queues[i]))
			return false;
	return true;
}

static bool same_interfaces_but(const struct config *a, const struct config *b, const char *device)
{
	size_t i = 0, j = 0;

	for (;; i++, j++) {
		if (i < a->n_interfaces && strcmp(a->interfaces[i].name, device) == 0)
			i++;
		if (j < b->n_interfaces && strcmp(b->interfaces[j].name, device) == 0)
			j++;
		if (i == a->n_interfaces || j == b->n_interfaces)
			return i == a->n_interfaces && j == b->n_interfaces;
		if (!same_interface(&a->interfaces[i], &b->interfaces[j]))
			return false;
	}
}

static bool same_but(const struct parsed *a, const struct parsed *b, const char *device)
{
	const struct config *left = a->config, *right = b->config;

	return strcmp(left->socket_path, right->socket_path) == 0 &&
	       left->socket_mode == right->socket_mode &&
	       strcmp(left->metrics.text, right->metrics.text) == 0 &&
	       access_equal(&left->admin, &right->admin) &&
	       access_equal(&a->attach.who, &b->attach.who) &&
	       a->attach.transmit == b->attach.transmit && same_interfaces_but(left, right, device);
}

/* An interface that was added has the defaults. */
static bool same_but_queues(const struct config_interface *before,
			    const struct config_interface *after)
{
	if (!before)
		return after->mode == XDPD_MODE_AUTO && after->bind == XDPD_BIND_AUTO &&
		       !after->replace && !after->n_groups && !after->n_rules;
	return after->mode == before->mode && after->bind == before->bind &&
	       after->replace == before->replace && config_groups_equal(before, after) &&
	       config_steering_equal(before, after);
}

int text_edit_finish(struct text_edit *edit, const yaml_node_t *at,
		     bool (*wanted)(const struct config_interface *result, const void *context),
		     const void *context, char **ret)
{
	cleanup_free char *text = splice_apply(&edit->layout);
	const struct config_interface *interface;
	struct config_errors ignored = {};
	struct parsed result;
	bool good;
	int r;

	if (!text)
		return -ENOMEM;
	r = parse_text(edit->name, text, strlen(text), NAMES_KNOWN, &result, &ignored);
	config_errors_clear(&ignored);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return text_edit_refuse(edit, at);
	interface = config_find_interface(result.config, edit->device);
	good = interface && same_but_queues(edit->interface, interface) &&
	       same_but(&edit->file, &result, edit->device) && wanted(interface, context);
	parsed_clear(&result);
	if (!good)
		return text_edit_refuse(edit, at);
	*ret = TAKE_PTR(text);
	return 0;
}
