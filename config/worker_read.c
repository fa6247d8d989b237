/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/worker_read.h"

#include <sched.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define CPU_MAX 8191 /* the most that a kernel can be built for, less one */
#define SPIN_USECS_MAX \
	1000000 /* who wants it to look for longer than a second wants it not to sleep */

/* The kernel takes 65535, which would keep the driver from everybody else; its own share for a NIC is 64. */
#define BUSY_POLL_MAX 1024

/* The kernel's own limits for both real-time classes [sched(7)]. */
#define PRIORITY_MIN 1
#define PRIORITY_MAX 99

const struct config_worker worker_defaults = {
	.cpu = -1,
	.spin_usecs = 50,
	.scheduler = SCHED_OTHER,
};

static bool is_real_time(int scheduler)
{
	return scheduler == SCHED_FIFO || scheduler == SCHED_RR;
}

static void read_scheduler(struct walk *walk, const struct field *scheduler,
			   const struct field *priority, struct config_worker *worker)
{
	static const struct word words[] = {
		{"other", SCHED_OTHER},
		{"batch", SCHED_BATCH},
		{"fifo", SCHED_FIFO},
		{"rr", SCHED_RR},
	};
	uint32_t number;

	if (scheduler->value && !walk_word(walk, "`scheduler`", scheduler->value, words,
					   COUNT(words), &worker->scheduler))
		return;
	if (is_real_time(worker->scheduler)) {
		worker->priority = PRIORITY_MIN;
		if (walk_number(walk, "`priority`", priority->value, PRIORITY_MIN, PRIORITY_MAX,
				&number))
			worker->priority = (int)number;
	} else if (priority->key) {
		report_add(
			walk->report, yaml_node_place(priority->key),
			"`priority` is given and `scheduler` is %s, expected `fifo` or `rr`, or no "
			"`priority`",
			scheduler->value ? show(scheduler->value).text : "`other`");
	}
}

void worker_read(struct walk *walk, const yaml_node_t *node, struct config_worker *worker)
{
	static const char *const keys[] = {"cpu", "spin_usecs", "busy_poll", "scheduler",
					   "priority"};
	struct field fields[COUNT(keys)];
	uint32_t cpu;

	if (!node || !walk_mapping(walk, "`worker`", node, keys, COUNT(keys), fields))
		return;
	if (walk_number(walk, "`cpu`", fields[0].value, 0, CPU_MAX, &cpu))
		worker->cpu = (int)cpu;
	(void)walk_number(walk, "`spin_usecs`", fields[1].value, 0, SPIN_USECS_MAX,
			  &worker->spin_usecs);
	(void)walk_number(walk, "`busy_poll`", fields[2].value, 0, BUSY_POLL_MAX,
			  &worker->busy_poll);
	read_scheduler(walk, &fields[3], &fields[4], worker);
}
