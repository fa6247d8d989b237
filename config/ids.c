/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/ids.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cleanup.h"

#define ID_WORDS (CONFIG_QUEUE_MAX / 64)

/* A run of fewer ids is clearer as single ones: [0, 1, 2]. */
#define SHORTEST_RANGE 4

uint32_t id_set_next(const struct id_set *set, uint32_t from)
{
	while (from < CONFIG_QUEUE_MAX) {
		uint64_t bits = set->bits[from / 64] >> (from % 64);

		if (bits)
			return from + (uint32_t)__builtin_ctzll(bits);
		from = (from / 64 + 1) * 64;
	}
	return CONFIG_QUEUE_MAX;
}

size_t id_set_count(const struct id_set *set)
{
	size_t count = 0;

	for (size_t i = 0; i < ID_WORDS; i++)
		count += (size_t)__builtin_popcountll(set->bits[i]);
	return count;
}

struct id_set id_set_common(const struct id_set *a, const struct id_set *b)
{
	struct id_set common = {};

	for (size_t i = 0; i < ID_WORDS; i++)
		common.bits[i] = a->bits[i] & b->bits[i];
	return common;
}

struct id_set id_set_without(const struct id_set *set, const struct id_set *removed)
{
	struct id_set rest = {};

	for (size_t i = 0; i < ID_WORDS; i++)
		rest.bits[i] = set->bits[i] & ~removed->bits[i];
	return rest;
}

static const char *skip_blanks(const char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

/* Ids too large stay CONFIG_QUEUE_MAX, so that no number of digits overflows. */
static int parse_id(const char **text, uint32_t *ret)
{
	uint32_t id = 0;

	*text = skip_blanks(*text);
	if (!isdigit((unsigned char)**text))
		return -EINVAL;
	for (; isdigit((unsigned char)**text); (*text)++)
		if (id < CONFIG_QUEUE_MAX)
			id = id * 10 + (uint32_t)(**text - '0');
	*text = skip_blanks(*text);
	*ret = id;
	return 0;
}

static int parse_range(const char **text, uint32_t *ret_first, uint32_t *ret_last)
{
	int r = parse_id(text, ret_first);

	if (r < 0)
		return r;
	*ret_last = *ret_first;
	if (**text != '-')
		return 0;
	(*text)++;
	r = parse_id(text, ret_last);
	if (r < 0)
		return r;
	return *ret_last < *ret_first ? -EINVAL : 0;
}

static bool is_all(const char *text)
{
	text = skip_blanks(text);
	return strncmp(text, "all", 3) == 0 && !*skip_blanks(text + 3);
}

int id_set_parse(const char *text, struct id_set *ret, struct id_set *twice)
{
	struct id_set set = {}, again = {};
	bool too_large = false;

	if (is_all(text)) {
		*ret = (struct id_set){.all = true};
		*twice = again;
		return 0;
	}
	for (;; text++) {
		uint32_t first, last;
		int r = parse_range(&text, &first, &last);

		if (r < 0)
			return r;
		too_large |= last >= CONFIG_QUEUE_MAX;
		for (uint32_t id = first; id <= last && id < CONFIG_QUEUE_MAX; id++)
			id_set_add(id_set_has(&set, id) ? &again : &set, id);
		if (!*text)
			break;
		if (*text != ',')
			return -EINVAL;
	}
	if (too_large)
		return -ERANGE;
	*ret = set;
	*twice = again;
	return 0;
}

/* The last id of the run that begins with `first`. */
static uint32_t run_end(const struct id_set *set, uint32_t first)
{
	while (id_set_has(set, first + 1))
		first++;
	return first;
}

char *id_set_format(const struct id_set *set)
{
	size_t parts = 0, size = 0;
	char *text = NULL;
	FILE *out;

	if (set->all)
		return strdup("all");
	out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	fputc('[', out);
	for (uint32_t id = id_set_next(set, 0); id < CONFIG_QUEUE_MAX;) {
		uint32_t last = run_end(set, id);

		if (last - id + 1 < SHORTEST_RANGE)
			last = id;
		fprintf(out, "%s%u", parts++ ? ", " : "", id);
		if (last > id)
			fprintf(out, "-%u", last);
		id = id_set_next(set, last + 1);
	}
	fputc(']', out);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	if (parts == 1) {
		text[size - 1] = '\0';
		memmove(text, text + 1, size - 1);
	}
	return text;
}

/* The text without blanks around it and without one pair of brackets. */
static char *inside_brackets(const char *text)
{
	size_t length;

	text = skip_blanks(text);
	length = strlen(text);
	while (length && isspace((unsigned char)text[length - 1]))
		length--;
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']')
		return strndup(text + 1, length - 2);
	return strndup(text, length);
}

int config_parse_ids(const char *text, uint32_t **ret_ids, size_t *ret_n, bool *ret_all)
{
	cleanup_free char *inside = inside_brackets(text);
	cleanup_free uint32_t *ids = NULL;
	struct id_set set, twice;
	size_t n = 0;
	int r;

	if (!inside)
		return -ENOMEM;
	r = id_set_parse(inside, &set, &twice);
	if (r < 0)
		return r;
	ids = calloc(id_set_count(&set) + 1, sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	for (uint32_t id = id_set_next(&set, 0); id < CONFIG_QUEUE_MAX;
	     id = id_set_next(&set, id + 1))
		ids[n++] = id;
	*ret_ids = TAKE_PTR(ids);
	*ret_n = n;
	*ret_all = set.all;
	return 0;
}
