/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/walk.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/suggest.h"

/* Far more than a config for the largest machine has; aliases of aliases get there with few bytes. */
#define VISITS_MAX 100000

#define KEYS_MAX 32

/* Of more words than these a sentence names only the first. */
#define LISTED_MAX 12
#define LIST_SIZE  (LISTED_MAX * 36 + 32)

/* ---- sentences ---- */

struct shown show_text(const char *text)
{
	struct shown shown;
	size_t used = 0;

	shown.text[used++] = '`';
	for (; *text && used < sizeof(shown.text) - 5; text++)
		shown.text[used++] = (char)(iscntrl((unsigned char)*text) ? '?' : *text);
	/* No half of a character. */
	while (*text && ((unsigned char)*text & 0xc0) == 0x80 && used > 1) {
		text--;
		used--;
	}
	strcpy(shown.text + used, *text ? "...`" : "`");
	return shown;
}

struct shown show(const yaml_node_t *node)
{
	struct shown shown;

	if (node->type == YAML_SCALAR_NODE && !yaml_node_is_null(node))
		return show_text(yaml_node_text(node));
	strcpy(shown.text, yaml_node_kind(node));
	return shown;
}

static const char *list_words(const char *const *words, size_t n, char *buffer, size_t size)
{
	const size_t listed = n > LISTED_MAX ? LISTED_MAX : n;
	size_t used = 0;

	for (size_t i = 0; i < listed && used < size; i++)
		used += (size_t)snprintf(buffer + used, size - used, "%s`%s`",
					 i == 0	      ? ""
					 : i + 1 == n ? " or "
						      : ", ",
					 words[i]);
	if (listed < n && used < size)
		(void)snprintf(buffer + used, size - used, " or one of %zu more", n - listed);
	return buffer;
}

/* ---- nodes ---- */

static bool visit(struct walk *walk, const yaml_node_t *node)
{
	if (++walk->visits == VISITS_MAX)
		report_add(walk->report, yaml_node_place(node),
			   "more than %d values, with what aliases expand to; expected fewer",
			   VISITS_MAX);
	if (walk->visits >= VISITS_MAX)
		return false;
	if (node->type == YAML_SCALAR_NODE &&
	    strlen(yaml_node_text(node)) != node->data.scalar.length)
		report_add(walk->report, yaml_node_place(node),
			   "%s is followed by a NUL character, expected text", show(node).text);
	return true;
}

static void report_unknown(struct walk *walk, const yaml_node_t *key, const char *const *keys,
			   size_t n_keys)
{
	const char *near = suggest_word(yaml_node_text(key), keys, n_keys);
	struct place place = yaml_node_place(key);
	char list[LIST_SIZE];

	if (key->type != YAML_SCALAR_NODE)
		report_add(walk->report, place, "a key is %s, expected %s", yaml_node_kind(key),
			   list_words(keys, n_keys, list, sizeof(list)));
	else if (strcmp(yaml_node_text(key), "<<") == 0)
		report_add(walk->report, place,
			   "merge keys are not supported, expected the keys themselves");
	else if (near)
		report_add(walk->report, place, "unknown key %s, did you mean `%s`?",
			   show(key).text, near);
	else
		report_add(walk->report, place, "unknown key %s, expected %s", show(key).text,
			   list_words(keys, n_keys, list, sizeof(list)));
}

static size_t find_key(const char *text, const char *const *keys, size_t n_keys)
{
	size_t i = 0;

	while (i < n_keys && strcmp(text, keys[i]) != 0)
		i++;
	return i;
}

bool walk_mapping(struct walk *walk, const char *what, const yaml_node_t *node,
		  const char *const *keys, size_t n_keys, struct field *fields)
{
	memset(fields, 0, n_keys * sizeof(*fields));
	if (yaml_node_is_null(node))
		return true;
	if (node->type != YAML_MAPPING_NODE) {
		char list[LIST_SIZE];

		report_add(walk->report, yaml_node_place(node),
			   "%s is %s, expected a mapping with %s", what, show(node).text,
			   list_words(keys, n_keys, list, sizeof(list)));
		return false;
	}
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_tree_node(walk->tree, pair->key);
		const yaml_node_t *value = yaml_tree_node(walk->tree, pair->value);
		size_t i = find_key(yaml_node_text(key), keys, n_keys);

		if (!visit(walk, key) || !visit(walk, value))
			return false;
		if (key->type != YAML_SCALAR_NODE || i == n_keys) {
			report_unknown(walk, key, keys, n_keys);
		} else if (fields[i].key) {
			struct place first = yaml_node_place(fields[i].key);

			report_add(
				walk->report, yaml_node_place(key),
				"`%s` is given twice, expected once; first at line %zu, column %zu",
				keys[i], first.line, first.column);
		} else {
			fields[i] = (struct field){key, value};
		}
	}
	return true;
}

size_t walk_list(struct walk *walk, const char *what, const yaml_node_t *node, const char *expected)
{
	if (yaml_node_is_null(node))
		return 0;
	if (node->type != YAML_SEQUENCE_NODE) {
		report_add(walk->report, yaml_node_place(node), "%s is %s, expected a list%s", what,
			   show(node).text, expected);
		return 0;
	}
	return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
}

const yaml_node_t *walk_item(struct walk *walk, const yaml_node_t *list, size_t i)
{
	const yaml_node_t *item = yaml_tree_node(walk->tree, list->data.sequence.items.start[i]);

	return visit(walk, item) ? item : NULL;
}

bool walk_values(struct walk *walk, const char *what, const yaml_node_t *node, size_t max,
		 bool (*read)(struct walk *walk, const char *what, const yaml_node_t *value,
			      void *context),
		 void *context)
{
	bool good = true;
	size_t n;

	if (node->type != YAML_SEQUENCE_NODE)
		return read(walk, what, node, context);
	n = walk_list(walk, what, node, "");
	if (n == 0)
		report_add(walk->report, yaml_node_place(node),
			   "%s is an empty list, expected one value or more", what);
	if (n > max)
		report_add(walk->report, yaml_node_place(node),
			   "%s has %zu values, expected at most %zu", what, n, max);
	if (n == 0 || n > max)
		return false;
	for (size_t i = 0; i < n; i++) {
		const yaml_node_t *value = walk_item(walk, node, i);

		if (!value)
			return false;
		good &= read(walk, what, value, context);
	}
	return good;
}

/* ---- scalars ---- */

bool walk_word(struct walk *walk, const char *what, const yaml_node_t *node,
	       const struct word *words, size_t n_words, int *ret)
{
	const char *texts[KEYS_MAX], *near;
	char list[LIST_SIZE];

	if (!node)
		return false;
	for (size_t i = 0; i < n_words; i++) {
		if (strcmp(yaml_node_text(node), words[i].text) == 0) {
			*ret = words[i].value;
			return true;
		}
		texts[i] = words[i].text;
	}
	near = suggest_word(yaml_node_text(node), texts, n_words);
	if (near)
		report_add(walk->report, yaml_node_place(node), "%s is %s, did you mean `%s`?",
			   what, show(node).text, near);
	else
		report_add(walk->report, yaml_node_place(node), "%s is %s, expected %s", what,
			   show(node).text, list_words(texts, n_words, list, sizeof(list)));
	return false;
}

bool walk_bool(struct walk *walk, const char *what, const yaml_node_t *node, bool *ret)
{
	static const struct word words[] = {{"true", true}, {"false", false}};
	int value;

	if (!walk_word(walk, what, node, words, 2, &value))
		return false;
	*ret = value;
	return true;
}

/* Decimal digits without leading zeros, which YAML 1.1 takes for octal. */
static bool parse_decimal(const char *text, unsigned long long *ret)
{
	size_t digits = strspn(text, "0123456789");

	if (!digits || text[digits] || (digits > 1 && *text == '0'))
		return false;
	*ret = strtoull(text, NULL, 10); /* ULLONG_MAX when it is even more */
	return true;
}

bool walk_number(struct walk *walk, const char *what, const yaml_node_t *node, uint32_t min,
		 uint32_t max, uint32_t *ret)
{
	unsigned long long number;

	if (!node)
		return false;
	if (!parse_decimal(yaml_node_text(node), &number) || number < min || number > max) {
		report_add(walk->report, yaml_node_place(node),
			   "%s is %s, expected a decimal number from %u to %u", what,
			   show(node).text, min, max);
		return false;
	}
	*ret = (uint32_t)number;
	return true;
}

bool walk_power_of_two(struct walk *walk, const char *what, const yaml_node_t *node, uint32_t max,
		       uint32_t *ret)
{
	unsigned long long number, below;

	if (!node)
		return false;
	if (!parse_decimal(yaml_node_text(node), &number) || number < 1 || number > max) {
		report_add(walk->report, yaml_node_place(node),
			   "%s is %s, expected a power of two from 1 to %u", what, show(node).text,
			   max);
		return false;
	}
	if (number & (number - 1)) {
		below = 1ULL << (63 - __builtin_clzll(number));
		report_add(walk->report, yaml_node_place(node),
			   "%s is %s, expected a power of two; the nearest are %llu and %llu", what,
			   show(node).text, below, below * 2);
		return false;
	}
	*ret = (uint32_t)number;
	return true;
}
