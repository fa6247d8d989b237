/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A queue item as YAML, by itself or within a new interface, to be written into somebody's file.
 */
#ifndef CONFIG_RENDER_H
#define CONFIG_RENDER_H

#include "config/yaml_tree.h"

struct rendering {
	const struct yaml_tree *tree;
	const yaml_node_t *queue; /* a mapping */
	const char *device;	  /* NULL: the queue item alone; else an interface that has it */
	const char *eol;
	bool flow; /* block style: whether the item itself is in flow style, as in `- { id: 3 }` */
	size_t indent; /* block style: columns from a key to the dashes of its list */
};

/* All to be freed; NULL: no memory. */

/* `{ id: 3 }` or `{ name: eth0, queues: [{ id: 3 }] }`. */
char *render_flow(const struct rendering *what);

/* `key: [...]` with the item in flow style. */
char *render_flow_pair(const struct rendering *what, const char *key);

/* Lines that begin with a dash at `column`. */
char *render_block(const struct rendering *what, size_t column);

/* `key:` at `column` and then the lines of render_block(). */
char *render_block_pair(const struct rendering *what, size_t column, const char *key);

#endif
