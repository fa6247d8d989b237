/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is said to a person, and the ends of a run: an exit code each.
 *
 * Text that comes from the daemon passes through clean_text() on its way to the terminal: names and reasons
 * can stem from any local process, and a terminal obeys control characters.
 */
#ifndef CTL_SAY_H
#define CTL_SAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "config/config.h"

enum exit_code {
	EXIT_DONE = 0,
	EXIT_USAGE = 1,
	EXIT_REFUSED =
		2, /* by the daemon, the config's checks or the system; stderr has the reason */
	EXIT_NO_DAEMON = 3, /* none there, or none that answers as xdpd does */
};

/* One line on stderr, cleaned, with the program's name before it. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* The same and where help is to be had. Returns EXIT_USAGE. */
__attribute__((format(printf, 1, 2))) int say_usage(const char *format, ...);

/* Text of any number of lines, as it is but cleaned. */
void print_lines(FILE *out, const char *text);

/* The config's errors on stderr, a line each, as an editor or a compiler's reader expects them. */
void say_config_errors(const struct config_errors *errors);

/* `out of memory` is the end of so small a program: what these return is never NULL. */
void *allocate(size_t size);
void *reallocate(void *memory, size_t size);
__attribute__((format(printf, 1, 2))) char *text_of(const char *format, ...);

/* A copy whose control characters, C1 ones included, and bytes that are not UTF-8 read `\x1b`. */
char *clean_text(const char *text, bool keep_layout); /* newlines and tabs stay */

#endif
