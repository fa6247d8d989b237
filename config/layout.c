/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/layout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cleanup.h"

int layout_init(struct layout *ret, const char *text, const struct yaml_tree *tree)
{
	const char *first_break = strchr(text, '\n');
	struct layout layout = {.text = text, .length = strlen(text), .tree = tree};

	layout.eol = first_break > text && first_break[-1] == '\r' ? "\r\n" : "\n";
	layout.offsets = calloc(layout.length + 1, sizeof(*layout.offsets));
	if (!layout.offsets)
		return -ENOMEM;
	for (size_t i = tree->skipped; i < layout.length; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			layout.offsets[layout.n_characters++] = (uint32_t)i;
	*ret = layout;
	return 0;
}

void layout_clear(struct layout *layout)
{
	for (size_t i = 0; i < layout->n_splices; i++)
		free(layout->splices[i].insert);
	free(layout->splices);
	free(layout->offsets);
	*layout = (struct layout){};
}

/* ---- places ---- */

static size_t offset(const struct layout *layout, yaml_mark_t mark)
{
	return mark.index < layout->n_characters ? layout->offsets[mark.index] : layout->length;
}

size_t node_start(const struct layout *layout, const yaml_node_t *node)
{
	return offset(layout, node->start_mark);
}

size_t node_end(const struct layout *layout, const yaml_node_t *node)
{
	return offset(layout, node->end_mark);
}

size_t line_start(const struct layout *layout, size_t at)
{
	while (at > layout->tree->skipped && layout->text[at - 1] != '\n')
		at--;
	return at;
}

size_t line_end(const struct layout *layout, size_t at)
{
	at += strcspn(layout->text + at, "\n");
	return layout->text[at] == '\n' && at && layout->text[at - 1] == '\r' ? at - 1 : at;
}

size_t next_line(const struct layout *layout, size_t at)
{
	at += strcspn(layout->text + at, "\n");
	return layout->text[at] == '\n' ? at + 1 : at;
}

size_t column_of(const struct layout *layout, size_t at)
{
	return at - line_start(layout, at);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool is_blank(const struct layout *layout, size_t from, size_t to)
{
	while (from < to && is_space(layout->text[from]))
		from++;
	return from >= to;
}

bool rest_is_comment(const struct layout *layout, size_t at)
{
	size_t end = line_end(layout, at);

	while (at < end && is_space(layout->text[at]))
		at++;
	return at == end || layout->text[at] == '#';
}

size_t skip_space(const struct layout *layout, size_t at, size_t limit)
{
	while (at < limit && (is_space(layout->text[at]) || layout->text[at] == '#'))
		at = layout->text[at] == '#' ? next_line(layout, at) : at + 1;
	return at < limit ? at : limit;
}

static bool is_block_collection(const yaml_node_t *node)
{
	return (node->type == YAML_SEQUENCE_NODE &&
		node->data.sequence.style != YAML_FLOW_SEQUENCE_STYLE) ||
	       (node->type == YAML_MAPPING_NODE &&
		node->data.mapping.style != YAML_FLOW_MAPPING_STYLE);
}

size_t node_next_line(const struct layout *layout, const yaml_node_t *node)
{
	const size_t start = node_start(layout, node);
	size_t at = node_end(layout, node), line;

	if (!is_block_collection(node))
		return at > start && layout->text[at - 1] == '\n' ? at : next_line(layout, at);
	/* Back from the next token over what is no content. */
	while (at > start) {
		line = line_start(layout, at);
		if (line == at)
			line = line_start(layout, at - 1);
		if (line <= start || skip_space(layout, line, at) < at)
			return at == line_start(layout, at) ? at : next_line(layout, at);
		at = line;
	}
	return next_line(layout, start);
}

bool is_alias(const struct layout *layout, const yaml_node_t *node, size_t least)
{
	return node_start(layout, node) < least;
}

/* ---- changes ---- */

int splice(struct layout *layout, size_t at, size_t remove, char *insert)
{
	struct splice *grown;

	if (!insert)
		return -ENOMEM;
	grown = reallocarray(layout->splices, layout->n_splices + 1, sizeof(*grown));
	if (!grown) {
		free(insert);
		return -ENOMEM;
	}
	grown[layout->n_splices++] = (struct splice){at, remove, insert};
	layout->splices = grown;
	return 0;
}

int splice_lines(struct layout *layout, size_t at, char *lines)
{
	cleanup_free char *owned = lines;
	char *moved;

	/* A last line without a break gets one, and the new last line has none in its place. */
	if (!owned || at < layout->length || at == layout->tree->skipped ||
	    layout->text[at - 1] == '\n')
		return splice(layout, at, 0, TAKE_PTR(owned));
	if (asprintf(&moved, "%s%.*s", layout->eol, (int)(strlen(lines) - strlen(layout->eol)),
		     lines) < 0)
		return -ENOMEM;
	return splice(layout, at, 0, moved);
}

static int compare_splices(const void *left, const void *right)
{
	const struct splice *a = left, *b = right;

	return a->at < b->at ? -1 : a->at > b->at;
}

char *splice_apply(struct layout *layout)
{
	size_t size = layout->length + 1, at = 0;
	char *text, *end;

	if (layout->n_splices)
		qsort(layout->splices, layout->n_splices, sizeof(*layout->splices),
		      compare_splices);
	for (size_t i = 0; i < layout->n_splices; i++)
		size += strlen(layout->splices[i].insert);
	text = end = malloc(size);
	if (!text)
		return NULL;
	for (size_t i = 0; i < layout->n_splices; i++) {
		const struct splice *change = &layout->splices[i];

		if (change->at < at) /* overlapping: what comes of it won't be what was wanted */
			continue;
		end = mempcpy(end, layout->text + at, change->at - at);
		end = stpcpy(end, change->insert);
		at = change->at + change->remove;
	}
	strcpy(end, layout->text + at);
	return text;
}
