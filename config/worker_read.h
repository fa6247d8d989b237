/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `worker:` of a queue with shared delivery.
 */
#ifndef CONFIG_WORKER_READ_H
#define CONFIG_WORKER_READ_H

#include "config/config.h"
#include "config/walk.h"

extern const struct config_worker worker_defaults;

/* `worker` has the defaults, `node` may be NULL. */
void worker_read(struct walk *walk, const yaml_node_t *node, struct config_worker *worker);

#endif
