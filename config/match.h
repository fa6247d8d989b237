/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `match:` of a rule.
 */
#ifndef CONFIG_MATCH_H
#define CONFIG_MATCH_H

#include "config/config.h"
#include "config/walk.h"

/*
 * Returns true and sets `*ret`, to be ended with match_clear(), if each field is as expected and a frame can have
 * all of them.
 */
bool match_read(struct walk *walk, const yaml_node_t *node, struct config_match *ret);

void match_clear(struct config_match *match);

/*
 * The fields in the order of the schema, so that equal matches have equal text, and `{ text }` in a config is the
 * match again. To be freed; NULL: no memory.
 */
char *match_format(const struct config_match *match);

#endif
