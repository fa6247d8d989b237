/* SPDX-License-Identifier: BSD-2-Clause */
/* What `status` and `show` know, for the commands that change it. */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include "ctl/connection.h"
#include "ctl/records.h"

/* The queues' records, each with the modes of its interface. */
int fetch_queues(struct connection *connection, const json_t *interfaces, json_t **ret,
		 struct failure *why);

/* The running config's YAML, to be freed. */
int fetch_config_text(struct connection *connection, char **ret, struct failure *why);

/* A row each, and the reason below those that are not as wanted. */
void print_queue_rows(const json_t *queues);

#endif
