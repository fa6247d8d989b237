/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A YAML text as libyaml's tree of nodes, each of which knows its place. Aliases are resolved by libyaml: an
 * aliased node has several parents and may even be its own descendant, so a walk has to bound itself.
 */
#ifndef CONFIG_YAML_TREE_H
#define CONFIG_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include <yaml.h>

#include "config/report.h"

struct yaml_tree {
	bool loaded;
	yaml_document_t document;
	size_t skipped; /* bytes before libyaml's character 0: a byte order mark */
};

/*
 * Parses one document. Returns 0 and sets `*ret`, to be ended with yaml_tree_clear(); or -EINVAL with the
 * syntax error in `report`.
 */
int yaml_tree_load(struct yaml_tree *ret, const char *text, size_t length, struct report *report);

void yaml_tree_clear(struct yaml_tree *tree);

/* NULL: the text is empty. */
const yaml_node_t *yaml_tree_root(const struct yaml_tree *tree);

const yaml_node_t *yaml_tree_node(const struct yaml_tree *tree, int index);

struct place yaml_place(yaml_mark_t mark);
struct place yaml_node_place(const yaml_node_t *node);

/* "a word", "a list", "a mapping": for sentences. */
const char *yaml_node_kind(const yaml_node_t *node);

/* Nothing after the colon, `~` or `null`. */
bool yaml_node_is_null(const yaml_node_t *node);

/* A scalar's text, "" for other nodes. It can't hold a NUL that YAML did not spell as an escape. */
const char *yaml_node_text(const yaml_node_t *node);

/* The pair of a mapping with this key, NULL if there is none or the node is no mapping. */
const yaml_node_pair_t *yaml_tree_find(const struct yaml_tree *tree, const yaml_node_t *mapping,
				       const char *key);

/* Says what a failed libyaml parser found; part of yaml_tree_load(). */
void yaml_report_syntax(const yaml_parser_t *parser, const char *text, size_t length,
			struct report *report);

#endif
