/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/text_edit.h"
#include "daemon/cleanup.h"

/* What becomes of an item of `queues:`. */
struct change {
	const yaml_node_t *node;
	enum { KEEP, NARROW, REMOVE } what;
	struct id_set rest; /* NARROW */
};

struct removal {
	struct text_edit edit;
	struct id_set ids;
	uint32_t channels;
	const yaml_node_t *interface;
	const yaml_node_pair_t *queues_pair;
	const yaml_node_t *queues;
	struct change *changes;
	size_t n;
	size_t first_of_tail; /* from this item on none is left */
};

#define cleanup_removal __attribute__((cleanup(removal_clear)))

static void removal_clear(struct removal *removal)
{
	free(removal->changes);
	text_edit_clear(&removal->edit);
}

/* ---- what is to be removed ---- */

static int read_ids(struct removal *removal)
{
	const struct text_edit *edit = &removal->edit;
	const struct yaml_tree *tree = &edit->fragment;
	const yaml_node_pair_t *id = yaml_tree_find(tree, yaml_tree_root(tree), "id");
	struct report report = text_edit_report(edit);

	if (id)
		(void)parse_queue_ids(tree, yaml_tree_node(tree, id->value), &removal->ids,
				      &report);
	else
		report_add(
			&report, text_edit_ids_place(edit),
			"a queue without `id`, expected a number, a range as in 0-3, a list as in "
			"[0, 2], or all");
	return report_close(&report, edit->errors);
}

static int fail_missing(const struct removal *removal, const struct id_set *missing)
{
	const struct text_edit *edit = &removal->edit;
	cleanup_free char *ids = id_set_format(missing);

	if (!ids)
		return -ENOMEM;
	if (!edit->interface)
		return report_one(edit->errors, ENOENT, edit->name, (struct place){},
				  "interface %s is not there", edit->device);
	if (missing->all)
		return report_one(edit->errors, ENOENT, edit->name, (struct place){},
				  "%s has no queues", edit->device);
	return report_one(edit->errors, ENOENT, edit->name, (struct place){},
			  "queue %s of %s is not there", ids, edit->device);
}

static int fail_channels(const struct removal *removal, const yaml_node_t *item)
{
	const struct text_edit *edit = &removal->edit;

	return report_one(edit->errors, EINVAL, edit->name, yaml_node_place(item),
			  "%s has `id: all`, and which queues remain can't be told while the "
			  "interface is not there; edit the file by hand",
			  edit->device);
}

/* The ids that item `i` stands for. */
static int item_ids(const struct removal *removal, size_t i, struct id_set *ret)
{
	struct id_set ids;
	int r = text_edit_item_ids(&removal->edit, removal->queues, i, &ids);

	if (r < 0)
		return r;
	if (ids.all && !removal->ids.all) {
		if (!removal->channels)
			return fail_channels(removal, removal->changes[i].node);
		for (uint32_t id = 0; id < removal->channels && id < CONFIG_QUEUE_MAX; id++)
			id_set_add(&ids, id);
	}
	*ret = ids;
	return 0;
}

static int decide(struct removal *removal)
{
	struct id_set missing = removal->ids;
	int r;

	removal->n = (size_t)(removal->queues->data.sequence.items.top -
			      removal->queues->data.sequence.items.start);
	removal->changes = calloc(removal->n + 1, sizeof(*removal->changes));
	if (!removal->changes)
		return -ENOMEM;
	if (removal->ids.all && !removal->n)
		return fail_missing(removal, &missing);
	for (size_t i = 0; i < removal->n; i++) {
		struct change *change = &removal->changes[i];
		struct id_set ids, common;

		change->node = yaml_tree_node(&removal->edit.file.tree,
					      removal->queues->data.sequence.items.start[i]);
		r = item_ids(removal, i, &ids);
		if (r < 0)
			return r;
		common = id_set_common(&ids, &removal->ids);
		change->rest = id_set_without(&ids, &removal->ids);
		missing = id_set_without(&missing, &common);
		if (removal->ids.all || !id_set_count(&change->rest))
			change->what = REMOVE;
		else if (id_set_count(&common))
			change->what = NARROW;
		if (change->what != REMOVE)
			removal->first_of_tail = i + 1;
	}
	return id_set_count(&missing) ? fail_missing(removal, &missing) : 0;
}

/* ---- the `id` of an item that keeps some ---- */

/* A list of dashes under `id:` goes, and its successor stands behind the colon. */
static int replace_block_ids(struct removal *removal, const yaml_node_t *key,
			     const yaml_node_t *value, const char *ids)
{
	struct layout *layout = &removal->edit.layout;
	size_t colon = node_end(layout, key), start = node_start(layout, value);
	size_t line = line_start(layout, start), end = node_next_line(layout, value);
	char *insert;
	int r;

	if (layout->text[colon] != ':' || !is_blank(layout, line, start))
		return text_edit_refuse(&removal->edit, key);
	if (asprintf(&insert, " %s", ids) < 0)
		return -ENOMEM;
	r = splice(layout, colon + 1, 0, insert);
	return r < 0 ? r : splice(layout, line, end - line, strdup(""));
}

static int narrow(struct removal *removal, const struct change *change)
{
	struct layout *layout = &removal->edit.layout;
	const yaml_node_pair_t *pair = yaml_tree_find(layout->tree, change->node, "id");
	const yaml_node_t *key = yaml_tree_node(layout->tree, pair->key);
	const yaml_node_t *value = yaml_tree_node(layout->tree, pair->value);
	cleanup_free char *ids = id_set_format(&change->rest);
	size_t start = node_start(layout, value), end = node_end(layout, value);

	if (!ids)
		return -ENOMEM;
	if (is_alias(layout, value, node_end(layout, key)))
		return text_edit_refuse(&removal->edit, key);
	if (value->type == YAML_SEQUENCE_NODE &&
	    value->data.sequence.style != YAML_FLOW_SEQUENCE_STYLE)
		return replace_block_ids(removal, key, value, ids);
	return splice(layout, start, end - start, TAKE_PTR(ids));
}

/* ---- an item that goes ---- */

/* The dash before an item of a block list; SIZE_MAX if something else is there. */
static size_t find_dash(const struct layout *layout, size_t at)
{
	while (at > 0 && (layout->text[at - 1] == ' ' || layout->text[at - 1] == '\t'))
		at--;
	return at > 0 && layout->text[at - 1] == '-' ? at - 1 : SIZE_MAX;
}

static int remove_lines(struct removal *removal, const struct change *change)
{
	struct layout *layout = &removal->edit.layout;
	size_t dash = find_dash(layout, node_start(layout, change->node));
	size_t line;

	if (dash == SIZE_MAX)
		return text_edit_refuse(&removal->edit, change->node);
	line = line_start(layout, dash);
	if (!is_blank(layout, line, dash))
		return text_edit_refuse(&removal->edit, change->node);
	return splice(layout, line, node_next_line(layout, change->node) - line, strdup(""));
}

/* The list's last item went: `queues:` alone would do, but `queues: []` says that it is meant. */
static int leave_empty_list(struct removal *removal)
{
	struct layout *layout = &removal->edit.layout;
	const yaml_node_t *key = yaml_tree_node(layout->tree, removal->queues_pair->key);
	size_t colon = node_end(layout, key);

	if (layout->text[colon] != ':')
		return text_edit_refuse(&removal->edit, key);
	return splice(layout, colon + 1, 0, strdup(" []"));
}

/*
 * From a flow list an item goes with the comma after it, and those at the end with the comma before them, so
 * that the list does not end in one that was not there.
 */
static int remove_flow(struct removal *removal, size_t i)
{
	struct layout *layout = &removal->edit.layout;
	const struct change *change = &removal->changes[i];
	size_t list_end = node_end(layout, removal->queues) - 1;
	size_t start = node_start(layout, change->node), end = node_end(layout, change->node);
	size_t comma, line;
	int r = 0;

	if (start < node_start(layout, removal->queues) || end > list_end)
		return text_edit_refuse(&removal->edit, change->node);
	if (i >= removal->first_of_tail && removal->first_of_tail > 0) {
		comma = skip_space(layout, node_end(layout, removal->changes[i - 1].node), start);
		if (layout->text[comma] != ',')
			return text_edit_refuse(&removal->edit, change->node);
		if (is_blank(layout, comma + 1, start) &&
		    line_start(layout, comma) == line_start(layout, start))
			start = comma;
		else
			r = splice(layout, comma, 1, strdup(""));
	} else {
		comma = skip_space(layout, end, list_end);
		if (layout->text[comma] == ',')
			end = comma + 1;
		while (end < list_end && layout->text[end] == ' ')
			end++;
	}
	if (r < 0)
		return r;
	/* Alone on its lines: they go, with a comment. */
	line = line_start(layout, start);
	if (line > node_start(layout, removal->queues) && is_blank(layout, line, start) &&
	    rest_is_comment(layout, end) && next_line(layout, end) <= list_end) {
		start = line;
		end = next_line(layout, end);
	}
	return splice(layout, start, end - start, strdup(""));
}

static int change_list(struct removal *removal)
{
	const bool flow = removal->queues->data.sequence.style == YAML_FLOW_SEQUENCE_STYLE;
	int r = 0;

	for (size_t i = 0; i < removal->n && r == 0; i++) {
		const struct change *change = &removal->changes[i];

		if (change->what == NARROW)
			r = narrow(removal, change);
		else if (change->what == REMOVE)
			r = flow ? remove_flow(removal, i) : remove_lines(removal, change);
	}
	if (r == 0 && !flow && removal->first_of_tail == 0)
		r = leave_empty_list(removal);
	return r;
}

/* ---- */

static bool is_removed(const struct config_interface *result, const void *context)
{
	const struct removal *removal = context;
	const struct config_interface *before = removal->edit.interface;
	size_t left = 0;

	for (size_t i = 0; i < removal->n; i++)
		if (removal->changes[i].what != REMOVE)
			left += id_set_count(&removal->changes[i].rest);
	if (result->all || result->n_queues != left)
		return false;
	for (size_t i = 0; i < result->n_queues; i++) {
		const struct config_queue *queue = &result->queues[i];
		const struct config_queue *wanted = config_find_queue(before, queue->id);

		if (!wanted || id_set_has(&removal->ids, queue->id) ||
		    !config_queue_equal(queue, wanted))
			return false;
	}
	return true;
}

/* Sets the nodes; -ENOENT if there is no list to take anything from. */
static int find_queues(struct removal *removal)
{
	const struct yaml_tree *tree = &removal->edit.file.tree;

	if (!removal->edit.interface)
		return fail_missing(removal, &removal->ids);
	removal->interface = text_edit_interface(&removal->edit);
	removal->queues_pair = yaml_tree_find(tree, removal->interface, "queues");
	if (removal->queues_pair)
		removal->queues = yaml_tree_node(tree, removal->queues_pair->value);
	if (!removal->queues || removal->queues->type != YAML_SEQUENCE_NODE)
		return fail_missing(removal, &removal->ids);
	return 0;
}

int config_text_remove_queue(const char *name, const char *text, const char *device,
			     const char *fragment, uint32_t channels, char **ret,
			     struct config_errors *errors)
{
	cleanup_removal struct removal removal = {.channels = channels};
	const struct yaml_tree *tree = &removal.edit.file.tree;
	const yaml_node_t *key;
	int r = text_edit_start(&removal.edit, name, text, device, fragment, errors);

	if (r == 0)
		r = read_ids(&removal);
	if (r == 0)
		r = find_queues(&removal);
	if (r == 0)
		r = decide(&removal);
	if (r < 0)
		return r;
	key = yaml_tree_node(tree, removal.queues_pair->key);
	if (is_alias(&removal.edit.layout, removal.queues, node_end(&removal.edit.layout, key)))
		return text_edit_refuse(&removal.edit, key);
	r = change_list(&removal);
	if (r < 0)
		return r;
	return text_edit_finish(&removal.edit, removal.interface, is_removed, &removal, ret);
}
