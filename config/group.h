/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `groups:` of an interface.
 */
#ifndef CONFIG_GROUP_H
#define CONFIG_GROUP_H

#include "config/access.h"
#include "config/walk.h"

/* Sets the interface's groups. `inherited` is `access.attach`. */
void groups_read(struct walk *walk, enum names names, const struct attach_access *inherited,
		 const yaml_node_t *node, struct config_interface *interface);

void groups_clear(struct config_interface *interface);

#endif
