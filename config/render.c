/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/render.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cleanup.h"

#define DASH_WIDTH 2 /* of "- " */

static bool is_plain(const char *text)
{
	static const char safe[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/-.@";

	return *text && !strchr("-.@", *text) && !text[strspn(text, safe)] &&
	       strcasecmp(text, "null") != 0;
}

static void write_scalar(FILE *out, const char *text)
{
	if (is_plain(text)) {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else if ((unsigned char)*text < ' ' || *text == '\x7f')
			fprintf(out, "\\x%02x", (unsigned char)*text);
		else
			fputc(*text, out);
	}
	fputc('"', out);
}

static void write_flow(FILE *out, const struct yaml_tree *tree, const yaml_node_t *node);

static void write_pair(FILE *out, const struct yaml_tree *tree, const yaml_node_pair_t *pair)
{
	write_scalar(out, yaml_node_text(yaml_tree_node(tree, pair->key)));
	fputs(": ", out);
	write_flow(out, tree, yaml_tree_node(tree, pair->value));
}

/* The queue has passed the schema: no node is its own descendant. */
static void write_flow(FILE *out, const struct yaml_tree *tree, const yaml_node_t *node)
{
	if (yaml_node_is_null(node)) {
		fputs("null", out);
	} else if (node->type == YAML_SCALAR_NODE) {
		write_scalar(out, yaml_node_text(node));
	} else if (node->type == YAML_SEQUENCE_NODE) {
		const yaml_node_item_t *first = node->data.sequence.items.start, *item;

		fputc('[', out);
		for (item = first; item < node->data.sequence.items.top; item++) {
			fputs(item > first ? ", " : "", out);
			write_flow(out, tree, yaml_tree_node(tree, *item));
		}
		fputc(']', out);
	} else {
		const yaml_node_pair_t *first = node->data.mapping.pairs.start, *pair;

		fputs("{ ", out);
		for (pair = first; pair < node->data.mapping.pairs.top; pair++) {
			fputs(pair > first ? ", " : "", out);
			write_pair(out, tree, pair);
		}
		fputs(" }", out);
	}
}

static void write_flow_item(FILE *out, const struct rendering *what)
{
	if (what->device) {
		fputs("{ name: ", out);
		write_scalar(out, what->device);
		fputs(", queues: [", out);
	}
	write_flow(out, what->tree, what->queue);
	if (what->device)
		fputs("] }", out);
}

static void write_indent(FILE *out, size_t columns)
{
	while (columns--)
		fputc(' ', out);
}

static void write_block_queue(FILE *out, const struct rendering *what, size_t column)
{
	const yaml_node_pair_t *first = what->queue->data.mapping.pairs.start, *pair;

	write_indent(out, column);
	fputs("- ", out);
	if (what->flow) {
		write_flow(out, what->tree, what->queue);
		fputs(what->eol, out);
		return;
	}
	for (pair = first; pair < what->queue->data.mapping.pairs.top; pair++) {
		write_indent(out, pair > first ? column + DASH_WIDTH : 0);
		write_pair(out, what->tree, pair);
		fputs(what->eol, out);
	}
}

static void write_block_item(FILE *out, const struct rendering *what, size_t column)
{
	if (!what->device) {
		write_block_queue(out, what, column);
		return;
	}
	write_indent(out, column);
	fputs("- name: ", out);
	write_scalar(out, what->device);
	fputs(what->eol, out);
	column += DASH_WIDTH;
	write_indent(out, column);
	fprintf(out, "queues:%s", what->eol);
	write_block_queue(out, what, column + what->indent);
}

static char *finish(FILE *out, char **text)
{
	if (fclose(out) == 0)
		return *text;
	free(*text);
	return NULL;
}

char *render_flow(const struct rendering *what)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	write_flow_item(out, what);
	return finish(out, &text);
}

char *render_flow_pair(const struct rendering *what, const char *key)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fprintf(out, "%s: [", key);
	write_flow_item(out, what);
	fputc(']', out);
	return finish(out, &text);
}

char *render_block(const struct rendering *what, size_t column)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	write_block_item(out, what, column);
	return finish(out, &text);
}

char *render_block_pair(const struct rendering *what, size_t column, const char *key)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	write_indent(out, column);
	fprintf(out, "%s:%s", key, what->eol);
	write_block_item(out, what, column + what->indent);
	return finish(out, &text);
}
