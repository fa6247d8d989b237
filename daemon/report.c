// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/report.h"

#include <string.h>

void report_errors(FILE *report, const struct config_errors *errors)
{
	for (size_t i = 0; i < errors->n_lines; i++)
		fprintf(report, "%s\n", errors->lines[i]);
}

static void report_gone(FILE *report, const struct config_interface *before,
			const struct config_interface *after)
{
	if (!after)
		fprintf(report, "%s: removed\n", before->name);
	for (size_t i = 0; after && i < before->n_queues; i++)
		if (!config_find_queue(after, before->queues[i].id))
			fprintf(report, "%s queue %u: removed\n", before->name,
				before->queues[i].id);
	if (after && before->all && !after->all)
		fprintf(report, "%s: not all queues any more\n", before->name);
}

static void report_interface(FILE *report, const struct config_interface *before,
			     const struct config_interface *after)
{
	if (before->mode != after->mode)
		fprintf(report, "%s: XDP mode changed\n", after->name);
	if (before->replace != after->replace)
		fprintf(report, "%s: another XDP program is %s now\n", after->name,
			after->replace ? "replaced" : "left in place");
	if (!config_groups_equal(before, after))
		fprintf(report, "%s: groups changed\n", after->name);
	if (!config_steering_equal(before, after))
		fprintf(report, "%s: steering changed, %zu rule%s now\n", after->name,
			after->n_rules, after->n_rules == 1 ? "" : "s");
}

static void report_come(FILE *report, const struct config_interface *before,
			const struct config_interface *after)
{
	if (!before)
		fprintf(report, "%s: added, with %zu queues%s\n", after->name, after->n_queues,
			after->all ? " and all that there are" : "");
	else
		report_interface(report, before, after);
	for (size_t i = 0; before && i < after->n_queues; i++) {
		const struct config_queue *old = config_find_queue(before, after->queues[i].id);

		if (!old)
			fprintf(report, "%s queue %u: added\n", after->name, after->queues[i].id);
		else if (!config_queue_same_socket(old, &after->queues[i]))
			fprintf(report, "%s queue %u: settings changed\n", after->name,
				after->queues[i].id);
		else if (!config_queue_equal(old, &after->queues[i]))
			fprintf(report, "%s queue %u: access or worker changed\n", after->name,
				after->queues[i].id);
	}
	if (before && after->all && !before->all)
		fprintf(report, "%s: all queues now\n", after->name);
}

void report_difference(FILE *report, const struct config *before, const struct config *after)
{
	for (size_t i = 0; i < before->n_interfaces; i++)
		report_gone(report, &before->interfaces[i],
			    config_find_interface(after, before->interfaces[i].name));
	for (size_t i = 0; i < after->n_interfaces; i++)
		report_come(report, config_find_interface(before, after->interfaces[i].name),
			    &after->interfaces[i]);
	if (strcmp(before->socket_path, after->socket_path) ||
	    before->socket_mode != after->socket_mode ||
	    strcmp(before->metrics.text, after->metrics.text))
		fprintf(report,
			"the addresses of socket and metrics changed: that takes a restart\n");
	if (ftell(report) == 0)
		fputs("nothing changed\n", report);
}
