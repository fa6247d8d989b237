/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What has to be done: a pure function from what is wanted and what there is to a list of actions. Boot,
 * reload, `add-queue`, an interface that comes or goes and a change of channels are all this; whoever acts
 * on the list needs to know nothing of why. What did not change is in no action, so its consumers don't notice.
 */
#ifndef DAEMON_PLAN_H
#define DAEMON_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

/* A queue that the daemon keeps. */
struct plan_queue {
	uint32_t id;
	bool waiting; /* nothing of it is open, and nothing was tried */
	bool again;   /* what was tried failed, and things have changed since */
	bool dead;    /* its socket was: the interface has been away */
	const struct config_queue *settings; /* that it was opened, or tried, with */
};

/* An interface that the daemon keeps. Those that are wanted and not kept yet are listed too, without config. */
struct plan_interface {
	const char *name;
	const struct config_interface *config; /* that it is kept with; NULL: not kept yet */
	int ifindex;			       /* as the kernel has it now; 0: absent */
	uint32_t channels;		       /* receive queues now; 0: absent */
	int program_ifindex; /* where xdpd's program is attached, or was refused as things are; 0: nowhere */
	bool program_lost; /* somebody took it off, or replaced it, and things have changed since it was last tried */
	const struct plan_queue *queues; /* sorted by id */
	size_t n_queues;
};

/* In the order in which they are carried out: first all that ends, then all that begins. */
enum plan_kind {
	PLAN_CLOSE_QUEUE,  /* end its socket and consumer; it stays, waiting */
	PLAN_REMOVE_QUEUE, /* end and forget it */
	PLAN_DETACH_PROGRAM,
	PLAN_REMOVE_INTERFACE, /* forget it */
	PLAN_ADD_INTERFACE,    /* keep it */
	PLAN_ATTACH_PROGRAM,
	PLAN_RESTORE_PROGRAM, /* attach the same again; its queues and consumers stay */
	PLAN_ADD_QUEUE, /* keep it, waiting */
	PLAN_OPEN_QUEUE,
};

extern const char *const plan_kind_names[];

struct plan_action {
	enum plan_kind kind;
	const char *device;
	uint32_t queue; /* of the queue actions */
	const struct config_interface
		*interface; /* wanted settings; NULL where it is not wanted any more */
	const struct config_queue *settings; /* likewise, of the queue actions */
};

struct plan {
	struct plan_action *actions;
	size_t n_actions;
};

/*
 * `interfaces` are those that the daemon keeps and those that `wanted` names, each once. Strings and settings
 * in the plan are those of `wanted` and `interfaces` and live as long as they. Returns 0 and sets `*ret`, to
 * be ended with plan_clear(), or -ENOMEM. Any thread; touches nothing else.
 */
int plan_diff(struct plan *ret, const struct config *wanted,
	      const struct plan_interface *interfaces, size_t n_interfaces);

void plan_clear(struct plan *plan);

#endif
