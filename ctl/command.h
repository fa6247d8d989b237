/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The commands of xdpctl, one function each. They get what the command line says, print, and return what the
 * program exits with.
 */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include <stdbool.h>

#include "ctl/say.h"

struct invocation {
	const char *socket;
	bool json;
	bool save;
	const char *reason; /* NULL: not given */
	const char *queue;  /* NULL: not given */
	char **words; /* after the command, within the number that its entry in the table allows */
	int n_words;
};

int command_status(const struct invocation *invocation);
int command_show(const struct invocation *invocation);
int command_add_queue(const struct invocation *invocation);
int command_remove_queue(const struct invocation *invocation);
int command_eject(const struct invocation *invocation);
int command_trace(const struct invocation *invocation);
int command_reload(const struct invocation *invocation);
int command_check(const struct invocation *invocation);
int command_watch(const struct invocation *invocation);
int command_version(const struct invocation *invocation);

#endif
