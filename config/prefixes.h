/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a match compares with an address: IPv4 and IPv6 prefixes, one or a list of them.
 */
#ifndef CONFIG_PREFIXES_H
#define CONFIG_PREFIXES_H

#include <stdio.h>

#include "config/config.h"
#include "config/walk.h"

/*
 * Returns true and sets `*ret`, to be freed by prefixes_clear(), if all is as expected: sorted, none within
 * another, and two halves of one are that one.
 */
bool prefixes_read(struct walk *walk, const char *what, const yaml_node_t *node,
		   struct config_prefixes *ret);

void prefixes_clear(struct config_prefixes *prefixes);

/* In one way for equal prefixes, and so that prefixes_read() takes it: `192.0.2.0/24`. */
void prefixes_write(FILE *out, const struct config_prefixes *prefixes);

#endif
