/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/cleanup.h"

static void add(struct report *report, struct place place, const char *format, va_list args)
{
	cleanup_free char *sentence = NULL;
	struct fault *grown = report->faults;

	if (vasprintf(&sentence, format, args) < 0) {
		sentence = NULL;
		report->out_of_memory = true;
		return;
	}
	if (!(report->n_faults & (report->n_faults - 1))) /* 0, 1, 2, 4, ...: full */
		grown = reallocarray(grown, report->n_faults ? report->n_faults * 2 : 1,
				     sizeof(*grown));
	if (!grown) {
		report->out_of_memory = true;
		return;
	}
	report->faults = grown;
	if (place.line == 1)
		place.column -= place.column > report->indent ? report->indent : place.column - 1;
	grown[report->n_faults++] = (struct fault){place, TAKE_PTR(sentence)};
}

void report_add(struct report *report, struct place place, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(report, place, format, args);
	va_end(args);
}

static int compare_faults(const void *left, const void *right)
{
	const struct fault *a = left, *b = right;

	if (a->place.line != b->place.line)
		return a->place.line < b->place.line ? -1 : 1;
	if (a->place.column != b->place.column)
		return a->place.column < b->place.column ? -1 : 1;
	return 0;
}

static int append_lines(const struct report *report, struct config_errors *errors)
{
	char **grown =
		reallocarray(errors->lines, errors->n_lines + report->n_faults, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	errors->lines = grown;
	for (size_t i = 0; i < report->n_faults; i++) {
		const struct fault *fault = &report->faults[i];
		char *line;
		int length;

		if (fault->place.line)
			length = asprintf(&line, "%s:%zu:%zu: %s", report->name, fault->place.line,
					  fault->place.column, fault->sentence);
		else
			length = asprintf(&line, "%s: %s", report->name, fault->sentence);
		if (length < 0)
			return -ENOMEM;
		errors->lines[errors->n_lines++] = line;
	}
	return -EINVAL;
}

int report_close(struct report *report, struct config_errors *errors)
{
	int r = 0;

	if (report->out_of_memory) {
		r = -ENOMEM;
	} else if (report->n_faults) {
		qsort(report->faults, report->n_faults, sizeof(*report->faults), compare_faults);
		r = append_lines(report, errors);
	}
	for (size_t i = 0; i < report->n_faults; i++)
		free(report->faults[i].sentence);
	free(report->faults);
	report->faults = NULL;
	report->n_faults = 0;
	return r;
}

int report_one(struct config_errors *errors, int code, const char *name, struct place place,
	       const char *format, ...)
{
	struct report report = {.name = name};
	va_list args;
	int r;

	va_start(args, format);
	add(&report, place, format, args);
	va_end(args);
	r = report_close(&report, errors);
	return r == -EINVAL ? -code : r;
}

void config_errors_clear(struct config_errors *errors)
{
	for (size_t i = 0; i < errors->n_lines; i++)
		free(errors->lines[i]);
	free(errors->lines);
	*errors = (struct config_errors){};
}
