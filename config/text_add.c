/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/render.h"
#include "config/text_edit.h"
#include "daemon/cleanup.h"

#define USUAL_INDENT 2

struct addition {
	struct text_edit edit;
	struct queue_item item;
	struct rendering what;
};

#define cleanup_addition __attribute__((cleanup(addition_clear)))

static void addition_clear(struct addition *add)
{
	config_queue_clear(&add->item.settings);
	text_edit_clear(&add->edit);
}

static bool is_flow(const yaml_node_t *node)
{
	return node->type == YAML_SEQUENCE_NODE
		       ? node->data.sequence.style == YAML_FLOW_SEQUENCE_STYLE
		       : node->type == YAML_MAPPING_NODE &&
				 node->data.mapping.style == YAML_FLOW_MAPPING_STYLE;
}

/* ---- a list or mapping in flow style ---- */

/* Its last child; NULL if it is empty. */
static const yaml_node_t *last_child(const struct yaml_tree *tree, const yaml_node_t *collection,
				     const yaml_node_t **ret_first_part)
{
	const yaml_node_t *last;

	if (collection->type == YAML_SEQUENCE_NODE) {
		if (collection->data.sequence.items.top == collection->data.sequence.items.start)
			return NULL;
		last = yaml_tree_node(tree, collection->data.sequence.items.top[-1]);
		*ret_first_part = last;
		return last;
	}
	if (collection->data.mapping.pairs.top == collection->data.mapping.pairs.start)
		return NULL;
	*ret_first_part = yaml_tree_node(tree, collection->data.mapping.pairs.top[-1].key);
	return yaml_tree_node(tree, collection->data.mapping.pairs.top[-1].value);
}

/* On a line of its own, as the last child is. */
static int add_flow_line(struct layout *layout, size_t child, size_t end, size_t comma, char *text)
{
	cleanup_free char *owned = text;
	size_t indent = column_of(layout, child);
	char *line;
	int r = 0;

	if (!owned)
		return -ENOMEM;
	if (!comma)
		r = splice(layout, end, 0, strdup(","));
	if (r == 0 &&
	    asprintf(&line, "%*s%s%s%s", (int)indent, "", owned, comma ? "," : "", layout->eol) < 0)
		r = -ENOMEM;
	return r < 0 ? r : splice_lines(layout, next_line(layout, comma ? comma : end), line);
}

/* Takes `text` over, an item or a pair. */
static int add_to_flow(struct addition *add, const yaml_node_t *collection, char *text)
{
	struct layout *layout = &add->edit.layout;
	const yaml_node_t *child = NULL;
	const yaml_node_t *last = last_child(layout->tree, collection, &child);
	const size_t open = node_start(layout, collection),
		     close = node_end(layout, collection) - 1;
	size_t begin, end, comma, line;
	cleanup_free char *owned = text;
	char *insert;

	if (!owned)
		return -ENOMEM;
	if (!last) {
		const char *space = collection->type == YAML_MAPPING_NODE ? " " : "";
		size_t inside = is_blank(layout, open + 1, close) ? close - open - 1 : 0;

		if (asprintf(&insert, "%s%s%s", space, owned, space) < 0)
			return -ENOMEM;
		return splice(layout, open + 1, inside, insert);
	}
	begin = node_start(layout, child);
	end = node_end(layout, last);
	if (begin <= open || end < begin || end > close)
		return text_edit_refuse(&add->edit, collection);
	comma = skip_space(layout, end, close);
	if (layout->text[comma] != ',')
		comma = 0;
	line = line_start(layout, begin);
	if (is_blank(layout, line, begin) && line > open &&
	    is_blank(layout, line_start(layout, close), close))
		return add_flow_line(layout, begin, end, comma, TAKE_PTR(owned));
	if (asprintf(&insert, comma ? " %s" : ", %s", owned) < 0)
		return -ENOMEM;
	return splice(layout, comma ? comma + 1 : end, 0, insert);
}

/* ---- a list or mapping in block style ---- */

/* Comments right after it that are indented more are about its last line, not about what follows. */
static size_t skip_own_comments(const struct layout *layout, size_t at, size_t column)
{
	while (at < layout->length) {
		size_t first = at + strspn(layout->text + at, " ");

		if (layout->text[first] != '#' || first - at <= column)
			break;
		at = next_line(layout, at);
	}
	return at;
}

static int add_to_block_list(struct addition *add, const yaml_node_t *list)
{
	struct layout *layout = &add->edit.layout;
	const yaml_node_t *last = yaml_tree_node(layout->tree, list->data.sequence.items.top[-1]);
	size_t column = column_of(layout, node_start(layout, list));
	size_t at = skip_own_comments(layout, node_next_line(layout, list), column);

	add->what.flow = is_flow(last);
	return splice_lines(layout, at, render_block(&add->what, column));
}

/* `key:` has no value yet: its items go on the lines after it. */
static int begin_block_list(struct addition *add, const yaml_node_t *key)
{
	struct layout *layout = &add->edit.layout;
	size_t at = node_start(layout, key);

	return splice_lines(layout, next_line(layout, at),
			    render_block(&add->what, column_of(layout, at) + add->what.indent));
}

static int add_pair(struct addition *add, const yaml_node_t *mapping, const char *key)
{
	struct layout *layout = &add->edit.layout;
	const yaml_node_t *first;
	size_t column;

	if (is_flow(mapping))
		return add_to_flow(add, mapping, render_flow_pair(&add->what, key));
	first = yaml_tree_node(layout->tree, mapping->data.mapping.pairs.start->key);
	column = column_of(layout, node_start(layout, first));
	return splice_lines(layout,
			    skip_own_comments(layout, node_next_line(layout, mapping), column),
			    render_block_pair(&add->what, column, key));
}

/* ---- the value of `interfaces:` or `queues:` ---- */

/* `[]` at the end of a line, in block style. */
static bool is_empty_line_end(const struct layout *layout, const yaml_node_t *parent,
			      const yaml_node_t *list)
{
	size_t start = node_start(layout, list), end = node_end(layout, list);

	return !is_flow(parent) && is_blank(layout, start + 1, end - 1) &&
	       line_start(layout, start) == line_start(layout, end) && rest_is_comment(layout, end);
}

/* Without the blank before it, unless a comment needs that. */
static int cut_empty_list(struct layout *layout, const yaml_node_t *list)
{
	size_t start = node_start(layout, list), end = node_end(layout, list);

	if (start && layout->text[start - 1] == ' ')
		start--;
	return splice(layout, start, end - start, strdup(""));
}

static int replace_null(struct addition *add, const yaml_node_t *value)
{
	struct layout *layout = &add->edit.layout;
	size_t start = node_start(layout, value), end = node_end(layout, value);
	cleanup_free char *item = render_flow(&add->what);
	char *list;

	/* An empty value may be placed as late as the closing brace. */
	while (start == end && layout->text[start - 1] == ' ')
		end = --start;
	if (!item || asprintf(&list, "%s[%s]", layout->text[start - 1] == ':' ? " " : "", item) < 0)
		return -ENOMEM;
	return splice(layout, start, end - start, list);
}

static int add_to_value(struct addition *add, const yaml_node_t *parent,
			const yaml_node_pair_t *pair)
{
	struct layout *layout = &add->edit.layout;
	const yaml_node_t *key = yaml_tree_node(layout->tree, pair->key);
	const yaml_node_t *value = yaml_tree_node(layout->tree, pair->value);
	int r;

	if (is_alias(layout, value, node_end(layout, key)))
		return text_edit_refuse(&add->edit, key);
	if (value->type == YAML_SCALAR_NODE) {
		if (!is_flow(parent) && node_start(layout, value) == node_end(layout, value))
			return begin_block_list(add, key);
		return replace_null(add, value);
	}
	if (!is_flow(value))
		return add_to_block_list(add, value);
	if (!is_empty_line_end(layout, parent, value))
		return add_to_flow(add, value, render_flow(&add->what));
	r = cut_empty_list(layout, value);
	return r < 0 ? r : begin_block_list(add, key);
}

/* ---- where to ---- */

/* How far the dashes of the file's `queues:` are from the key, so that new ones look the same. */
static size_t usual_indent(const struct layout *layout, const yaml_node_t *interfaces)
{
	const struct yaml_tree *tree = layout->tree;

	if (interfaces->type != YAML_SEQUENCE_NODE)
		return USUAL_INDENT;
	for (const yaml_node_item_t *item = interfaces->data.sequence.items.start;
	     item < interfaces->data.sequence.items.top; item++) {
		const yaml_node_pair_t *pair =
			yaml_tree_find(tree, yaml_tree_node(tree, *item), "queues");
		const yaml_node_t *queues = pair ? yaml_tree_node(tree, pair->value) : NULL;
		size_t key, dash;

		if (!queues || queues->type != YAML_SEQUENCE_NODE || is_flow(queues))
			continue;
		key = column_of(layout, node_start(layout, yaml_tree_node(tree, pair->key)));
		dash = column_of(layout, node_start(layout, queues));
		if (dash >= key)
			return dash - key;
	}
	return USUAL_INDENT;
}

static int add_interface(struct addition *add, const yaml_node_t *root)
{
	struct layout *layout = &add->edit.layout;
	const yaml_node_pair_t *pair;

	add->what.device = add->edit.device;
	if (!root ||
	    (root->type == YAML_SCALAR_NODE && node_start(layout, root) == node_end(layout, root)))
		return splice_lines(layout, layout->length,
				    render_block_pair(&add->what, 0, "interfaces"));
	if (root->type == YAML_SCALAR_NODE)
		return text_edit_refuse(&add->edit, root);
	pair = yaml_tree_find(layout->tree, root, "interfaces");
	if (!pair)
		return add_pair(add, root, "interfaces");
	add->what.indent = usual_indent(layout, yaml_tree_node(layout->tree, pair->value));
	return add_to_value(add, root, pair);
}

static int add_queue(struct addition *add, const yaml_node_t *root)
{
	struct layout *layout = &add->edit.layout;
	const yaml_node_t *interface = text_edit_interface(&add->edit);
	const yaml_node_pair_t *pair = yaml_tree_find(layout->tree, root, "interfaces");

	add->what.indent = usual_indent(layout, yaml_tree_node(layout->tree, pair->value));
	pair = yaml_tree_find(layout->tree, interface, "queues");
	return pair ? add_to_value(add, interface, pair) : add_pair(add, interface, "queues");
}

/* ---- what is there already ---- */

static bool overlap(const struct id_set *a, const struct id_set *b)
{
	struct id_set common = id_set_common(a, b);

	return a->all || b->all || id_set_count(&common);
}

/* -EEXIST if one of the queues is there. */
static int check_new(struct addition *add)
{
	const struct text_edit *edit = &add->edit;
	const struct yaml_tree *tree = &edit->file.tree;
	const yaml_node_pair_t *pair = yaml_tree_find(tree, text_edit_interface(edit), "queues");
	const yaml_node_t *queues = pair ? yaml_tree_node(tree, pair->value) : NULL;

	if (!queues || queues->type != YAML_SEQUENCE_NODE)
		return 0;
	for (size_t i = 0; queues->data.sequence.items.start + i < queues->data.sequence.items.top;
	     i++) {
		struct place there =
			yaml_node_place(yaml_tree_node(tree, queues->data.sequence.items.start[i]));
		cleanup_free char *ids = NULL;
		struct id_set set, common;
		int r = text_edit_item_ids(edit, queues, i, &set);

		if (r < 0)
			return r;
		if (!overlap(&set, &add->item.ids))
			continue;
		common = set.all	     ? add->item.ids
			 : add->item.ids.all ? set
					     : id_set_common(&set, &add->item.ids);
		ids = id_set_format(&common);
		if (!ids)
			return -ENOMEM;
		return report_one(edit->errors, EEXIST, edit->name, there,
				  "queue %s of %s is here already, expected a new one", ids,
				  edit->device);
	}
	return 0;
}

static const struct config_queue *find_before(const struct addition *add, uint32_t id)
{
	const struct config_interface *before = add->edit.interface;

	return before ? config_find_queue(before, id) : NULL;
}

static bool is_added(const struct config_interface *result, const void *context)
{
	const struct addition *add = context;
	const struct config_interface *before = add->edit.interface;
	size_t n = (before ? before->n_queues : 0) + id_set_count(&add->item.ids);

	if (result->n_queues != n || result->all != add->item.ids.all)
		return false;
	if (result->all && !config_queue_equal(&result->all_queues, &add->item.settings))
		return false;
	for (size_t i = 0; i < result->n_queues; i++) {
		const struct config_queue *queue = &result->queues[i];
		const struct config_queue *wanted = id_set_has(&add->item.ids, queue->id)
							    ? &add->item.settings
							    : find_before(add, queue->id);

		if (!wanted || !config_queue_equal(queue, wanted))
			return false;
	}
	return true;
}

/* ---- */

static int read_item(struct addition *add)
{
	static const struct config_interface added = {.mode = XDPD_MODE_AUTO,
						      .bind = XDPD_BIND_AUTO};
	const struct text_edit *edit = &add->edit;
	struct report report = text_edit_report(edit);

	(void)parse_queue(&edit->fragment, &edit->file, edit->interface ? edit->interface : &added,
			  &add->item, &report);
	return report_close(&report, edit->errors);
}

int config_text_add_queue(const char *name, const char *text, const char *device,
			  const char *fragment, char **ret, struct config_errors *errors)
{
	cleanup_addition struct addition add = {};
	const yaml_node_t *root;
	int r = text_edit_start(&add.edit, name, text, device, fragment, errors);

	if (r == 0)
		r = read_item(&add);
	if (r == 0 && add.edit.interface)
		r = check_new(&add);
	if (r < 0)
		return r;
	root = yaml_tree_root(&add.edit.file.tree);
	add.what = (struct rendering){
		.tree = &add.edit.fragment,
		.queue = yaml_tree_root(&add.edit.fragment),
		.eol = add.edit.layout.eol,
		.indent = USUAL_INDENT,
	};
	r = add.edit.interface ? add_queue(&add, root) : add_interface(&add, root);
	if (r < 0)
		return r;
	return text_edit_finish(&add.edit,
				add.edit.interface ? text_edit_interface(&add.edit) : root,
				is_added, &add, ret);
}
