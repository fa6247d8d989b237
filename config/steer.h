/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `steer:` and `default:` of an interface: what becomes of which frames.
 */
#ifndef CONFIG_STEER_H
#define CONFIG_STEER_H

#include "config/config.h"
#include "config/walk.h"

/* Without rules, and all frames for all groups. Returns 0 or -ENOMEM. */
int steer_init(struct config_interface *interface);

/* Sets the rules and the default, which name the interface's groups. Both nodes may be NULL. */
void steer_read(struct walk *walk, const yaml_node_t *steer, const yaml_node_t *otherwise,
		struct config_interface *interface);

void steer_clear(struct config_interface *interface);

#endif
