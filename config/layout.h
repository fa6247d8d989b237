/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the nodes of a YAML tree lie in their text, in bytes and lines, and changes to the text that leave all
 * else as it is.
 */
#ifndef CONFIG_LAYOUT_H
#define CONFIG_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/yaml_tree.h"

/* Cut `remove` bytes at `at`, put `insert` there. */
struct splice {
	size_t at;
	size_t remove;
	char *insert;
};

struct layout {
	const char *text;
	size_t length;
	const struct yaml_tree *tree;
	const char *eol;   /* as the text's first line ends */
	uint32_t *offsets; /* of characters: libyaml counts these */
	size_t n_characters;
	struct splice *splices;
	size_t n_splices;
};

/* Keeps `text` and `tree`, which outlive it. Ends with layout_clear(). Returns 0 or -ENOMEM. */
int layout_init(struct layout *ret, const char *text, const struct yaml_tree *tree);
void layout_clear(struct layout *layout);

/* Byte offsets of a node. A block collection's end is where the next token begins. */
size_t node_start(const struct layout *layout, const yaml_node_t *node);
size_t node_end(const struct layout *layout, const yaml_node_t *node);

size_t line_start(const struct layout *layout, size_t at);
size_t line_end(const struct layout *layout, size_t at);  /* before the line break */
size_t next_line(const struct layout *layout, size_t at); /* after it */

/* How far into its line, in bytes. */
size_t column_of(const struct layout *layout, size_t at);

/* Nothing but blanks from `from` to `to`. */
bool is_blank(const struct layout *layout, size_t from, size_t to);

/* Nothing but blanks and perhaps a comment from `at` to the end of its line. */
bool rest_is_comment(const struct layout *layout, size_t at);

/* After blanks, line breaks and comments; at most `limit`. */
size_t skip_space(const struct layout *layout, size_t at, size_t limit);

/* The start of the line after a node's last one. Comments and empty lines after it are not the node's. */
size_t node_next_line(const struct layout *layout, const yaml_node_t *node);

/* Whether a value or item that has to begin at or after `least` is an alias of a node elsewhere. */
bool is_alias(const struct layout *layout, const yaml_node_t *node, size_t least);

/* Splices may come in any order and do not overlap. `insert` is taken over; NULL is -ENOMEM. */
int splice(struct layout *layout, size_t at, size_t remove, char *insert);

/* Whole lines, each with its line break, before the line that begins at `at`. Takes `lines` over. */
int splice_lines(struct layout *layout, size_t at, char *lines);

/* To be freed; NULL: no memory. */
char *splice_apply(struct layout *layout);

#endif
