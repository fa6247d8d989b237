/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/difference.h"

#include <string.h>

#include "config/access.h"
#include "ctl/say.h"

static bool same_interface(const struct config_interface *a, const struct config_interface *b)
{
	return a->mode == b->mode && a->bind == b->bind && a->all == b->all &&
	       config_groups_equal(a, b) && config_steering_equal(a, b) &&
	       (!a->all || config_queue_equal(&a->all_queues, &b->all_queues));
}

static bool same_rest(const struct config *a, const struct config *b)
{
	return !strcmp(a->socket_path, b->socket_path) && a->socket_mode == b->socket_mode &&
	       !strcmp(a->metrics.text, b->metrics.text) && access_equal(&a->admin, &b->admin);
}

/* The first thing in `a` that `b` has not or has differently, as text; NULL if there is none. */
static char *difference(const struct config *a, const struct config *b)
{
	for (size_t i = 0; i < a->n_interfaces; i++) {
		const struct config_interface *interface = &a->interfaces[i];
		const struct config_interface *other = config_find_interface(b, interface->name);

		if (!other || !same_interface(interface, other))
			return text_of("%s", interface->name);
		for (size_t j = 0; j < interface->n_queues; j++) {
			const struct config_queue *queue = &interface->queues[j];
			const struct config_queue *found = config_find_queue(other, queue->id);

			if (!found || !config_queue_equal(queue, found))
				return text_of("%s queue %u", interface->name, queue->id);
		}
	}
	return same_rest(a, b) ? NULL : text_of("the settings beside the interfaces");
}

char *config_difference(const struct config *a, const struct config *b)
{
	char *place = difference(a, b);

	return place ? place : difference(b, a);
}
