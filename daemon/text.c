/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CAPACITY_MIN 16384

void text_clear(struct text *text)
{
	text->length = 0;
	text->error = 0;
}

void text_free(struct text *text)
{
	free(text->data);
	*text = (struct text){};
}

char *text_reserve(struct text *text, size_t n)
{
	size_t capacity = text->capacity ? text->capacity : CAPACITY_MIN;
	char *data;

	if (text->error)
		return NULL;
	if (n <= text->capacity - text->length)
		return text->data + text->length;

	while (capacity - text->length < n)
		capacity *= 2;
	data = realloc(text->data, capacity);
	if (!data) {
		text->error = -ENOMEM;
		return NULL;
	}
	text->data = data;
	text->capacity = capacity;
	return data + text->length;
}

void text_repeat(struct text *text, size_t from, size_t n)
{
	char *room = text_reserve(text, n);

	if (!room)
		return;
	memcpy(room, text->data + from, n);
	text->length += n;
}

void text_format(struct text *text, const char *format, ...)
{
	va_list args;
	char *room;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);

	room = text_reserve(text, (size_t)n + 1);
	if (!room)
		return;
	va_start(args, format);
	(void)vsnprintf(room, (size_t)n + 1, format, args);
	va_end(args);
	text->length += (size_t)n;
}

void text_decimal(struct text *text, uint64_t value, unsigned decimals)
{
	char digits[24];
	char *end = digits + sizeof(digits), *at = end;

	for (unsigned place = 0; value || place <= decimals; place++) {
		if (decimals && place == decimals)
			*--at = '.';
		*--at = (char)('0' + value % 10);
		value /= 10;
	}
	text_bytes(text, at, (size_t)(end - at));
}

/* Bytes of the UTF-8 character at `s`, of which `n` may be read; 0 if it is none [RFC 3629, section 4]. */
static size_t utf8_character(const unsigned char *s, size_t n)
{
	size_t length;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	length = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (length > n)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	/* too long for what it says, a surrogate, or past U+10FFFF */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return length;
}

static const char *label_escape(char c)
{
	switch (c) {
	case '\\':
		return "\\\\";
	case '"':
		return "\\\"";
	case '\n':
		return "\\n";
	default:
		return NULL;
	}
}

static const char *html_escape(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

static inline __attribute__((always_inline)) void escaped(struct text *text, const char *string,
							  size_t max, const char *(*escape)(char))
{
	size_t n = strnlen(string, max), plain = 0, at = 0;

	while (at < n) {
		size_t length = utf8_character((const unsigned char *)string + at, n - at);
		const char *instead = length ? escape(string[at]) : "\xef\xbf\xbd";

		if (instead) {
			text_bytes(text, string + plain, at - plain);
			text_string(text, instead);
			at += length ? length : 1;
			plain = at;
		} else {
			at += length;
		}
	}
	text_bytes(text, string + plain, n - plain);
}

void text_label(struct text *text, const char *string, size_t max)
{
	escaped(text, string, max, label_escape);
}

void text_html(struct text *text, const char *string, size_t max)
{
	escaped(text, string, max, html_escape);
}
