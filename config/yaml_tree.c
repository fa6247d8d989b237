/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/yaml_tree.h"

#include <errno.h>
#include <string.h>

#define DEPTH_MAX 64

static const char byte_order_mark[] = "\xef\xbb\xbf";

/* A second document, be it empty, is an error: whoever wrote it thinks that it counts. */
static int expect_end(yaml_parser_t *parser, const char *text, size_t length, struct report *report)
{
	yaml_document_t next;
	const yaml_node_t *root;

	if (!yaml_parser_load(parser, &next)) {
		yaml_report_syntax(parser, text, length, report);
		return -EINVAL;
	}
	root = yaml_document_get_root_node(&next);
	if (root)
		report_add(report, yaml_place(next.start_mark),
			   "a second YAML document begins here, expected one document in the file");
	yaml_document_delete(&next);
	return root ? -EINVAL : 0;
}

static void set_input(yaml_parser_t *parser, const char *text, size_t length)
{
	/* Left to itself, libyaml would take UTF-16 too, which nothing else here does. */
	yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(parser, (const unsigned char *)text, length);
}

/*
 * libyaml's time grows with the square of the depth, so that some 100,000 brackets would keep it busy for
 * minutes: looked for event by event, before the tree is loaded. Syntax errors are left to that.
 */
static int check_depth(const char *text, size_t length, struct report *report)
{
	yaml_parser_t parser;
	yaml_event_t event;
	size_t depth = 0;
	bool end = false;

	if (!yaml_parser_initialize(&parser)) {
		report->out_of_memory = true;
		return -EINVAL;
	}
	set_input(&parser, text, length);
	while (!end && depth <= DEPTH_MAX && yaml_parser_parse(&parser, &event)) {
		if (event.type == YAML_SEQUENCE_START_EVENT ||
		    event.type == YAML_MAPPING_START_EVENT)
			depth++;
		else if (event.type == YAML_SEQUENCE_END_EVENT ||
			 event.type == YAML_MAPPING_END_EVENT)
			depth--;
		if (depth > DEPTH_MAX)
			report_add(report, yaml_place(event.start_mark),
				   "lists and mappings in each other over %d deep, expected a few",
				   DEPTH_MAX);
		end = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return depth > DEPTH_MAX ? -EINVAL : 0;
}

int yaml_tree_load(struct yaml_tree *ret, const char *text, size_t length, struct report *report)
{
	const size_t mark = sizeof(byte_order_mark) - 1;
	struct yaml_tree tree = {};
	yaml_parser_t parser;
	int r = -EINVAL;

	/* libyaml would count the mark as a column. */
	if (length >= mark && memcmp(text, byte_order_mark, mark) == 0)
		tree.skipped = mark;
	text += tree.skipped;
	length -= tree.skipped;
	if (check_depth(text, length, report) < 0)
		return -EINVAL;
	if (!yaml_parser_initialize(&parser)) {
		report->out_of_memory = true;
		return -EINVAL;
	}
	set_input(&parser, text, length);

	if (!yaml_parser_load(&parser, &tree.document)) {
		yaml_report_syntax(&parser, text, length, report);
	} else {
		tree.loaded = true;
		/* After the end of the stream libyaml does not load again. */
		if (yaml_document_get_root_node(&tree.document))
			r = expect_end(&parser, text, length, report);
		else
			r = 0;
	}
	yaml_parser_delete(&parser);
	if (r < 0) {
		yaml_tree_clear(&tree);
		return r;
	}
	*ret = tree;
	return 0;
}

void yaml_tree_clear(struct yaml_tree *tree)
{
	if (tree->loaded)
		yaml_document_delete(&tree->document);
	*tree = (struct yaml_tree){};
}

/* libyaml's getters want a document that they could change. */
const yaml_node_t *yaml_tree_root(const struct yaml_tree *tree)
{
	return yaml_document_get_root_node((yaml_document_t *)&tree->document);
}

const yaml_node_t *yaml_tree_node(const struct yaml_tree *tree, int index)
{
	return yaml_document_get_node((yaml_document_t *)&tree->document, index);
}

struct place yaml_place(yaml_mark_t mark)
{
	return (struct place){mark.line + 1, mark.column + 1};
}

struct place yaml_node_place(const yaml_node_t *node)
{
	return yaml_place(node->start_mark);
}

const char *yaml_node_kind(const yaml_node_t *node)
{
	switch (node->type) {
	case YAML_SEQUENCE_NODE:
		return "a list";
	case YAML_MAPPING_NODE:
		return "a mapping";
	default:
		return yaml_node_is_null(node) ? "empty" : "a word";
	}
}

bool yaml_node_is_null(const yaml_node_t *node)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};

	if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (size_t i = 0; i < sizeof(nulls) / sizeof(*nulls); i++)
		if (strcmp(yaml_node_text(node), nulls[i]) == 0)
			return true;
	return false;
}

const char *yaml_node_text(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : "";
}

const yaml_node_pair_t *yaml_tree_find(const struct yaml_tree *tree, const yaml_node_t *mapping,
				       const char *key)
{
	if (mapping->type != YAML_MAPPING_NODE)
		return NULL;
	for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
	     pair < mapping->data.mapping.pairs.top; pair++)
		if (strcmp(yaml_node_text(yaml_tree_node(tree, pair->key)), key) == 0)
			return pair;
	return NULL;
}
