/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The schema, for the parts of config/ that need more of a text than its settings.
 */
#ifndef CONFIG_PARSE_H
#define CONFIG_PARSE_H

#include "config/access.h"
#include "config/config.h"
#include "config/ids.h"
#include "config/yaml_tree.h"

/* No config is longer, and whatever is has been mistaken for one. */
#define CONFIG_TEXT_MAX (1024 * 1024)

/* What the queues of a file come to, as a queue that is added has to fit in. */
struct queue_totals {
	uint64_t memory; /* bytes of frames */
	size_t queues;
};

struct parsed {
	struct yaml_tree tree;
	struct config *config;
	struct attach_access attach; /* access.attach: what queues inherit */
	struct queue_totals totals;
};

/* As config_parse(); `*ret` ends with parsed_clear(). */
int parse_text(const char *name, const char *text, size_t length, enum names names,
	       struct parsed *ret, struct config_errors *errors);

void parsed_clear(struct parsed *parsed);

/* One item of `queues:`. */
struct queue_item {
	struct id_set ids;
	struct config_queue settings;
};

/*
 * Reads a tree that is a queue item by itself as one of `interface` in the file. Returns 0 and sets `*ret`, to
 * be ended with config_queue_clear(&ret->settings); or -EINVAL with what is wrong in `report`.
 */
int parse_queue(const struct yaml_tree *tree, const struct parsed *file,
		const struct config_interface *interface, struct queue_item *ret,
		struct report *report);

/* The same for its `id` alone. */
int parse_queue_ids(const struct yaml_tree *tree, const yaml_node_t *node, struct id_set *ret,
		    struct report *report);

/* What is wrong with an interface's name, NULL if the kernel would take it [dev_valid_name()]. */
const char *device_name_fault(const char *name);

int config_queue_copy(const struct config_queue *from, struct config_queue *ret);
void config_queue_clear(struct config_queue *queue);

#endif
