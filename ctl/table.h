/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One document, several renderers: a command collects what it shows in a JSON document, prints that for `-j`,
 * and otherwise lays parts of it out by a list of columns: as a table, a row a record, or as blocks, a line a
 * column. No command formats by hand, and the text never shows what JSON lacks.
 */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

struct column {
	const char *heading;
	const char *key; /* the member of the record to show, if `text` is NULL */
	char *(*text)(const json_t *record); /* to be freed; NULL in a block: no such line */
	bool right;			     /* aligned, in a table */
	bool optional; /* a block has no such line where the member is null */
};

/* null is `-`, true and false are `yes` and `no`, an array of words is joined by commas. */
char *cell_text(const json_t *value);

/* Those of the members `below` (a list with NULL behind it, or NULL) that a record has follow its row, each on an indented line. */
void print_table(const struct column *columns, size_t n, const json_t *records,
		 const char *const *below);

void print_blocks(char *(*title)(const json_t *record), const struct column *columns, size_t n,
		  const json_t *records);

/* The whole document, or with `line` one without a break in it, flushed. */
void print_json(const json_t *document, bool line);

/* Members of a record; absent ones read 0, false and "". */
json_int_t record_number(const json_t *record, const char *key);
bool record_flag(const json_t *record, const char *key);
const char *record_word(const json_t *record, const char *key);

#endif
