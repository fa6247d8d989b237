/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a match compares with a number: names, numbers and ranges, one or a list of them.
 */
#ifndef CONFIG_NUMBERS_H
#define CONFIG_NUMBERS_H

#include <stdio.h>

#include "config/config.h"
#include "config/walk.h"

struct number_kind {
	uint32_t min, max;
	const struct word *names; /* no two for one number */
	size_t n_names;
	bool hexadecimal;     /* as numbers are shown, and can be given */
	const char *expected; /* "a port from 0 to 65535, ..." */
};

extern const struct number_kind number_ethertype, number_vlan, number_proto, number_port;

/* Returns true and sets `*ret`, to be freed by numbers_clear(), if all is as expected. */
bool numbers_read(struct walk *walk, const char *what, const yaml_node_t *node,
		  const struct number_kind *kind, struct config_ranges *ret);

void numbers_clear(struct config_ranges *ranges);

/* In one way for equal ranges, and so that numbers_read() takes it: `tcp`, `[53, 1024-2047]`. */
void numbers_write(FILE *out, const struct number_kind *kind, const struct config_ranges *ranges);

bool numbers_have(const struct config_ranges *ranges, uint32_t number);

#endif
