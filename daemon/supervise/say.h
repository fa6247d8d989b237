/* SPDX-License-Identifier: BSD-2-Clause */
/* A sentence on stderr, under the program's name. */
#ifndef SUPERVISE_SAY_H
#define SUPERVISE_SAY_H

#include <stdarg.h>
#include <stdio.h>

/* In one write, so that it does not mix with what the program says. */
__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "xdpd-supervise: %s\n", text);
}

#endif
