/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/say.h"
#include "daemon/cleanup.h"

json_int_t record_number(const json_t *record, const char *key)
{
	return json_integer_value(json_object_get(record, key));
}

bool record_flag(const json_t *record, const char *key)
{
	return json_is_true(json_object_get(record, key));
}

const char *record_word(const json_t *record, const char *key)
{
	const char *word = json_string_value(json_object_get(record, key));

	return word ? word : "";
}

static char *joined(const json_t *array)
{
	char *text = text_of("%s", "");

	for (size_t i = 0; i < json_array_size(array); i++) {
		cleanup_free char *before = text;
		cleanup_free char *cell = cell_text(json_array_get(array, i));

		text = text_of("%s%s%s", before, i ? "," : "", cell);
	}
	return text;
}

char *cell_text(const json_t *value)
{
	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		return clean_text(json_string_value(value), false);
	case JSON_INTEGER:
		return text_of("%" JSON_INTEGER_FORMAT, json_integer_value(value));
	case JSON_REAL:
		return text_of("%.6f", json_real_value(value));
	case JSON_TRUE:
		return text_of("yes");
	case JSON_FALSE:
		return text_of("no");
	case JSON_ARRAY:
		return joined(value);
	default:
		return text_of("-");
	}
}

static char *column_text(const struct column *column, const json_t *record)
{
	return column->text ? column->text(record)
			    : cell_text(json_object_get(record, column->key));
}

/* Characters, not bytes: what is no continuation byte of UTF-8. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}

static void print_row(const struct column *columns, char *const *cells, const size_t *widths,
		      size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int padding = (int)(widths[i] - width_of(cells[i]));
		bool last = i == n - 1;

		printf("%s%*s%s%*s", i ? "  " : "", columns[i].right ? padding : 0, "", cells[i],
		       columns[i].right || last ? 0 : padding, "");
	}
	putchar('\n');
}

static void print_below(const json_t *record, const char *key)
{
	const json_t *text = json_object_get(record, key);

	if (json_is_string(text)) {
		cleanup_free char *line = cell_text(text);

		printf("    %s\n", line);
	}
}

void print_table(const struct column *columns, size_t n, const json_t *records,
		 const char *const *below)
{
	size_t rows = json_array_size(records) + 1;
	cleanup_free char **cells = allocate(rows * n * sizeof(*cells));
	cleanup_free size_t *widths = allocate(n * sizeof(*widths));

	for (size_t i = 0; i < n; i++) {
		cells[i] = text_of("%s", columns[i].heading);
		for (size_t row = 1; row < rows; row++)
			cells[row * n + i] =
				column_text(&columns[i], json_array_get(records, row - 1));
		widths[i] = 0;
		for (size_t row = 0; row < rows; row++)
			if (width_of(cells[row * n + i]) > widths[i])
				widths[i] = width_of(cells[row * n + i]);
	}
	for (size_t row = 0; row < rows; row++) {
		const json_t *record = row ? json_array_get(records, row - 1) : NULL;

		print_row(columns, cells + row * n, widths, n);
		for (size_t i = 0; below && below[i]; i++)
			print_below(record, below[i]);
	}
	for (size_t i = 0; i < rows * n; i++)
		free(cells[i]);
}

static void print_block(const struct column *columns, size_t n, int width, const json_t *record)
{
	for (size_t i = 0; i < n; i++) {
		const struct column *column = &columns[i];
		cleanup_free char *text = column_text(column, record);
		bool absent =
			column->optional && json_is_null(json_object_get(record, column->key));

		if (text && !absent)
			printf("    %-*s  %s\n", width, columns[i].heading, text);
	}
}

void print_blocks(char *(*title)(const json_t *record), const struct column *columns, size_t n,
		  const json_t *records)
{
	size_t width = 0;

	for (size_t i = 0; i < n; i++)
		if (strlen(columns[i].heading) > width)
			width = strlen(columns[i].heading);
	for (size_t row = 0; row < json_array_size(records); row++) {
		const json_t *record = json_array_get(records, row);
		cleanup_free char *head = title(record);

		printf("%s%s\n", row ? "\n" : "", head);
		print_block(columns, n, (int)width, record);
	}
}

void print_json(const json_t *document, bool line)
{
	/* Escapes spare the terminal what is not ASCII; 16 digits are the time to the microsecond. */
	const size_t flags = JSON_ENSURE_ASCII | JSON_REAL_PRECISION(16);

	json_dumpf(document, stdout, flags | (line ? JSON_COMPACT : JSON_INDENT(2)));
	putchar('\n');
	fflush(stdout);
}
