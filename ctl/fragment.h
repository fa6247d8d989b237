/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the command line's words to one item of the config's `queues:` list:
 *
 *     0,2 frames=8192 rings.rx=1024 rings.tx=512   ->   { id: [0, 2], frames: 8192, rings: { rx: 1024, tx: 512 } }
 *
 * Only the shape is looked at here; which keys there are and what they may hold is the config's to say.
 */
#ifndef CTL_FRAGMENT_H
#define CTL_FRAGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/failure.h"

struct queue_ids {
	uint32_t *ids; /* sorted, no duplicates */
	size_t n;
	bool all;
};

/* `3`, `0-3`, `0,2,4-7` or `all`. Returns 0 or -EINVAL; `ret->ids` is then the caller's to free. */
int queue_ids_parse(const char *text, struct queue_ids *ret, struct failure *why);

/* One of them. Returns 0 or -EINVAL. */
int queue_id_parse(const char *text, uint32_t *ret, struct failure *why);

bool queue_ids_has(const struct queue_ids *ids, uint32_t id);

/* `options` are `key=value`, a dot in the key for each level. Returns 0 and `*ret`, to be freed, or -EINVAL. */
int fragment_make(const struct queue_ids *ids, char *const *options, size_t n, char **ret,
		  struct failure *why);

#endif
