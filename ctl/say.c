/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cleanup.h"

static _Noreturn void out_of_memory(void)
{
	fputs("xdpctl: out of memory\n", stderr);
	exit(EXIT_REFUSED);
}

void *reallocate(void *memory, size_t size)
{
	memory = realloc(memory, size ? size : 1);
	if (!memory)
		out_of_memory();
	return memory;
}

void *allocate(size_t size)
{
	return reallocate(NULL, size);
}

static char *text_of_list(const char *format, va_list args)
{
	char *text;

	if (vasprintf(&text, format, args) < 0)
		out_of_memory();
	return text;
}

char *text_of(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = text_of_list(format, args);
	va_end(args);
	return text;
}

static size_t utf8_length(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* The length of the UTF-8 character that starts here, 0 if none that may be shown does. */
static size_t printable(const unsigned char *c)
{
	size_t length = utf8_length(c[0]);

	if (c[0] < 0x20 || c[0] == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0))
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

char *clean_text(const char *text, bool keep_layout)
{
	const unsigned char *from = (const unsigned char *)text;
	char *clean = allocate(4 * strlen(text) + 1);
	char *to = clean;

	while (*from) {
		size_t length = printable(from);

		if (!length && keep_layout && (*from == '\n' || *from == '\t'))
			length = 1;
		if (length) {
			to = mempcpy(to, from, length);
			from += length;
		} else {
			to += sprintf(to, "\\x%02x", *from++);
		}
	}
	*to = '\0';
	return clean;
}

static void say_list(const char *format, va_list args)
{
	cleanup_free char *text = text_of_list(format, args);
	cleanup_free char *clean = clean_text(text, false);

	fprintf(stderr, "xdpctl: %s\n", clean);
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_list(format, args);
	va_end(args);
}

int say_usage(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_list(format, args);
	va_end(args);
	fputs("`xdpctl help` lists the commands, `xdpctl help COMMAND` explains one.\n", stderr);
	return EXIT_USAGE;
}

void print_lines(FILE *out, const char *text)
{
	cleanup_free char *clean = clean_text(text, true);
	size_t length = strlen(clean);

	fputs(clean, out);
	if (length && clean[length - 1] != '\n')
		fputc('\n', out);
}

void say_config_errors(const struct config_errors *errors)
{
	for (size_t i = 0; i < errors->n_lines; i++)
		print_lines(stderr, errors->lines[i]);
}
