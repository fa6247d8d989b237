/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A set of queue ids, as `id:` names it.
 */
#ifndef CONFIG_IDS_H
#define CONFIG_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct id_set {
	bool all; /* then the bits say nothing */
	uint64_t bits[CONFIG_QUEUE_MAX / 64];
};

static inline bool id_set_has(const struct id_set *set, uint32_t id)
{
	return id < CONFIG_QUEUE_MAX && (set->bits[id / 64] >> (id % 64) & 1);
}

static inline void id_set_add(struct id_set *set, uint32_t id)
{
	set->bits[id / 64] |= UINT64_C(1) << (id % 64);
}

/* The least id of the set that is `from` or more; CONFIG_QUEUE_MAX: none. */
uint32_t id_set_next(const struct id_set *set, uint32_t from);

size_t id_set_count(const struct id_set *set);

/* The ids of both; `all` is not looked at. */
struct id_set id_set_common(const struct id_set *a, const struct id_set *b);

struct id_set id_set_without(const struct id_set *set, const struct id_set *removed);

/*
 * Reads `3`, `0-3`, `0, 2, 4-7` or `all` and sets `*ret`; ids that are named more than once are in `twice`.
 * Returns 0, -EINVAL (no such text) or -ERANGE (an id is not below CONFIG_QUEUE_MAX).
 */
int id_set_parse(const char *text, struct id_set *ret, struct id_set *twice);

/* As YAML: `3`, `0-6` or `[0, 1, 4-7]`. To be freed; NULL: no memory. */
char *id_set_format(const struct id_set *set);

#endif
