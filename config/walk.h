/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a YAML tree by a schema: mappings of known keys, lists, and scalars with their expected forms. All
 * functions report what is not as expected and go on, so that one run finds everything. `what` names the
 * value in sentences: "`frames`", "a queue".
 */
#ifndef CONFIG_WALK_H
#define CONFIG_WALK_H

#include <stdint.h>

#include "config/yaml_tree.h"

struct walk {
	const struct yaml_tree *tree;
	struct report *report;
	size_t visits;
};

struct field {
	const yaml_node_t *key; /* NULL: absent */
	const yaml_node_t *value;
};

/* What stands there, for "... is %s, expected ...": `value` in backticks, cut and printable, or its kind. */
struct shown {
	char text[64];
};

struct shown show(const yaml_node_t *node);
struct shown show_text(const char *text);

/* Sets fields[i] for keys[i] and returns true if it is a mapping. Null is one without keys. */
bool walk_mapping(struct walk *walk, const char *what, const yaml_node_t *node,
		  const char *const *keys, size_t n_keys, struct field *fields);

/* How many items the list has; 0 for null, and for anything that is no list and reported. */
size_t walk_list(struct walk *walk, const char *what, const yaml_node_t *node,
		 const char *expected);

/* NULL when the walk has to end, as the file, or what its aliases expand to, has too many values. */
const yaml_node_t *walk_item(struct walk *walk, const yaml_node_t *list, size_t i);

/*
 * One value, or a list of at most `max` and at least one: reads each. Returns true if all of them are good. What
 * stands in a list within the list is up to `read`.
 */
bool walk_values(struct walk *walk, const char *what, const yaml_node_t *node, size_t max,
		 bool (*read)(struct walk *walk, const char *what, const yaml_node_t *value,
			      void *context),
		 void *context);

/*
 * The functions below return true and set `*ret` if `node` is as expected. An absent node (NULL) is not
 * reported and sets nothing.
 */

struct word {
	const char *text;
	int value;
};

bool walk_word(struct walk *walk, const char *what, const yaml_node_t *node,
	       const struct word *words, size_t n_words, int *ret);

bool walk_bool(struct walk *walk, const char *what, const yaml_node_t *node, bool *ret);

bool walk_number(struct walk *walk, const char *what, const yaml_node_t *node, uint32_t min,
		 uint32_t max, uint32_t *ret);

bool walk_power_of_two(struct walk *walk, const char *what, const yaml_node_t *node, uint32_t max,
		       uint32_t *ret);

#endif
