/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text that grows as it is written and keeps its memory when cleared, so that what is rendered again and
 * again (a scrape) allocates nothing after the first time.
 *
 * Writers need no error checks: after the first -ENOMEM nothing more is added, and `error` says so at the
 * end. Starts as {}; ends with text_free().
 *
 * Names come from the kernel and from clients in fixed arrays. `max` bounds how far they are read, so that a
 * missing terminator does no harm; bytes that are not UTF-8, which Prometheus refuses a whole scrape for,
 * become U+FFFD.
 */
#ifndef DAEMON_TEXT_H
#define DAEMON_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
	char *data; /* not terminated */
	size_t length;
	size_t capacity;
	int error; /* 0 or -ENOMEM */
};

/* Forgets the text and the error, keeps the memory. */
void text_clear(struct text *text);

void text_free(struct text *text);

/* Room for `n` more bytes behind the text, or NULL. */
char *text_reserve(struct text *text, size_t n);

/* Here, as most are a few bytes that fit: a scrape of a thousand queues has some hundred thousand of them. */
static inline void text_bytes(struct text *text, const char *bytes, size_t n)
{
	char *room = n < text->capacity - text->length && !text->error ? text->data + text->length
								       : text_reserve(text, n);

	if (!room)
		return;
	memcpy(room, bytes, n);
	text->length += n;
}

/* Again the `n` bytes at `from` of the text. */
void text_repeat(struct text *text, size_t from, size_t n);

static inline void text_string(struct text *text, const char *string)
{
	text_bytes(text, string, strlen(string));
}

__attribute__((format(printf, 2, 3))) void text_format(struct text *text, const char *format, ...);

/* value / 10^decimals, in decimal: (1250, 3) is `1.250`. */
void text_decimal(struct text *text, uint64_t value, unsigned decimals);

static inline void text_number(struct text *text, uint64_t value)
{
	text_decimal(text, value, 0);
}

/* Inside the double quotes of a Prometheus label. */
void text_label(struct text *text, const char *string, size_t max);

/* HTML, also inside the double quotes of an attribute. */
void text_html(struct text *text, const char *string, size_t max);

#endif
