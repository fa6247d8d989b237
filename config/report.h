/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is wrong with a text, as it is found: faults come in any order and leave in the text's, as lines.
 */
#ifndef CONFIG_REPORT_H
#define CONFIG_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

/* Counted from 1, columns in characters. Line 0: the file as a whole. */
struct place {
	size_t line;
	size_t column;
};

struct fault {
	struct place place;
	char *sentence;
};

struct report {
	const char *name; /* stands for FILE */
	size_t indent;	  /* columns of line 1 that the person who wrote the text did not write */
	struct fault *faults;
	size_t n_faults;
	bool out_of_memory;
};

__attribute__((format(printf, 3, 4))) void report_add(struct report *report, struct place place,
						      const char *format, ...);

/*
 * Ends the report: 0 if there was nothing to say, -EINVAL after its faults were appended to `errors` as
 * lines, or -ENOMEM.
 */
int report_close(struct report *report, struct config_errors *errors);

/* For one line alone: adds it and returns -code. */
__attribute__((format(printf, 5, 6))) int report_one(struct config_errors *errors, int code,
						     const char *name, struct place place,
						     const char *format, ...);

#endif
