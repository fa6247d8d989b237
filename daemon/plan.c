// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/plan.h"

#include <errno.h>
#include <stdlib.h>

const char *const plan_kind_names[] = {
	[PLAN_CLOSE_QUEUE] = "close queue",	    [PLAN_REMOVE_QUEUE] = "remove queue",
	[PLAN_DETACH_PROGRAM] = "detach program",   [PLAN_REMOVE_INTERFACE] = "remove interface",
	[PLAN_ADD_INTERFACE] = "add interface",	    [PLAN_ATTACH_PROGRAM] = "attach program",
	[PLAN_RESTORE_PROGRAM] = "restore program", [PLAN_ADD_QUEUE] = "add queue",
	[PLAN_OPEN_QUEUE] = "open queue",
};

/* The comparison of one interface: the wanted side, the actual side, and what follows for all its queues. */
struct comparison {
	const struct config_interface *wanted; /* NULL: not wanted */
	const struct plan_interface *actual;
	bool program_stays; /* it runs, or can't, where and as it is wanted */
};

static int append(struct plan *plan, struct plan_action action)
{
	/* Grows at the powers of two, which are the counts with a single bit. */
	if ((plan->n_actions & (plan->n_actions - 1)) == 0) {
		size_t capacity = plan->n_actions ? plan->n_actions * 2 : 1;
		struct plan_action *grown = reallocarray(plan->actions, capacity, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		plan->actions = grown;
	}
	plan->actions[plan->n_actions++] = action;
	return 0;
}

static int append_interface(struct plan *plan, enum plan_kind kind, const struct comparison *of)
{
	return append(plan, (struct plan_action){.kind = kind,
						 .device = of->actual->name,
						 .interface = of->wanted});
}

static int append_queue(struct plan *plan, enum plan_kind kind, const struct comparison *of,
			uint32_t id, const struct config_queue *settings)
{
	return append(plan, (struct plan_action){.kind = kind,
						 .device = of->actual->name,
						 .queue = id,
						 .interface = of->wanted,
						 .settings = settings});
}

static const struct plan_queue *find_kept(const struct plan_interface *actual, uint32_t id)
{
	for (size_t i = 0; i < actual->n_queues; i++)
		if (actual->queues[i].id == id)
			return &actual->queues[i];
	return NULL;
}

/* `all` means the channels that there are. While the interface is absent, those that were. */
static const struct config_queue *find_wanted(const struct comparison *of, uint32_t id)
{
	if (!of->wanted)
		return NULL;
	if (of->wanted->all && of->actual->ifindex && id >= of->actual->channels)
		return NULL;
	return config_find_queue(of->wanted, id);
}

static int end_queue(struct plan *plan, const struct comparison *of, const struct plan_queue *kept)
{
	const struct config_queue *wanted = find_wanted(of, kept->id);
	bool exists = of->actual->ifindex && kept->id < of->actual->channels;

	if (!wanted)
		return append_queue(plan, PLAN_REMOVE_QUEUE, of, kept->id, NULL);
	if (!kept->waiting && (!of->program_stays || !exists || kept->dead ||
			       !config_queue_same_socket(kept->settings, wanted)))
		return append_queue(plan, PLAN_CLOSE_QUEUE, of, kept->id, wanted);
	return 0;
}

static int end_things(struct plan *plan, const struct comparison *of)
{
	int r = 0;

	for (size_t i = 0; i < of->actual->n_queues && r == 0; i++)
		r = end_queue(plan, of, &of->actual->queues[i]);
	if (r == 0 && of->actual->program_ifindex && !of->program_stays)
		r = append_interface(plan, PLAN_DETACH_PROGRAM, of);
	if (r == 0 && of->actual->config && !of->wanted)
		r = append_interface(plan, PLAN_REMOVE_INTERFACE, of);
	return r;
}

static int begin_queue(struct plan *plan, const struct comparison *of, uint32_t id)
{
	const struct config_queue *wanted = find_wanted(of, id);
	const struct plan_queue *kept = find_kept(of->actual, id);
	bool exists = of->actual->ifindex && id < of->actual->channels;
	bool stays = kept && !kept->waiting && !kept->again && !kept->dead && of->program_stays &&
		     config_queue_same_socket(kept->settings, wanted);
	int r = 0;

	if (!kept)
		r = append_queue(plan, PLAN_ADD_QUEUE, of, id, wanted);
	if (r == 0 && exists && !stays)
		r = append_queue(plan, PLAN_OPEN_QUEUE, of, id, wanted);
	return r;
}

static int begin_queues(struct plan *plan, const struct comparison *of)
{
	int r = 0;

	if (of->wanted->all)
		for (uint32_t id = 0; id < of->actual->channels && r == 0; id++)
			r = begin_queue(plan, of, id);
	for (size_t i = 0; i < of->wanted->n_queues && r == 0; i++)
		r = begin_queue(plan, of, of->wanted->queues[i].id);
	return r;
}

static int begin_things(struct plan *plan, const struct comparison *of)
{
	int r = 0;

	if (!of->wanted)
		return 0;
	if (!of->actual->config)
		r = append_interface(plan, PLAN_ADD_INTERFACE, of);
	if (r == 0 && of->actual->ifindex && !of->program_stays)
		r = append_interface(plan, PLAN_ATTACH_PROGRAM, of);
	if (r == 0 && of->program_stays && of->actual->program_lost)
		r = append_interface(plan, PLAN_RESTORE_PROGRAM, of);
	return r < 0 ? r : begin_queues(plan, of);
}

static struct comparison compare(const struct config *wanted, const struct plan_interface *actual)
{
	const struct config_interface *config = config_find_interface(wanted, actual->name);

	return (struct comparison){
		.wanted = config,
		.actual = actual,
		.program_stays = config && actual->config && actual->ifindex &&
				 actual->program_ifindex == actual->ifindex &&
				 actual->config->mode == config->mode,
	};
}

int plan_diff(struct plan *ret, const struct config *wanted,
	      const struct plan_interface *interfaces, size_t n_interfaces)
{
	struct plan plan = {};
	int r = 0;

	for (size_t i = 0; i < n_interfaces && r == 0; i++) {
		struct comparison of = compare(wanted, &interfaces[i]);

		r = end_things(&plan, &of);
	}
	for (size_t i = 0; i < n_interfaces && r == 0; i++) {
		struct comparison of = compare(wanted, &interfaces[i]);

		r = begin_things(&plan, &of);
	}
	if (r < 0) {
		plan_clear(&plan);
		return r;
	}
	*ret = plan;
	return 0;
}

void plan_clear(struct plan *plan)
{
	free(plan->actions);
	*plan = (struct plan){};
}
