/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/fragment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "ctl/say.h"
#include "daemon/cleanup.h"

int queue_ids_parse(const char *text, struct queue_ids *ret, struct failure *why)
{
	struct queue_ids ids = {0};

	if (config_parse_ids(text, &ids.ids, &ids.n, &ids.all) < 0)
		return failure(why, EINVAL,
			       "`%s` names no queues: expected 3, 0-3, 0,2,4-7 or all, below %d",
			       text, CONFIG_QUEUE_MAX);
	*ret = ids;
	return 0;
}

int queue_id_parse(const char *text, uint32_t *ret, struct failure *why)
{
	struct queue_ids ids;
	bool one;

	if (queue_ids_parse(text, &ids, NULL) < 0)
		return failure(why, EINVAL, "`%s` is no queue: expected a number below %d", text,
			       CONFIG_QUEUE_MAX);
	one = ids.n == 1 && !ids.all;
	if (one)
		*ret = ids.ids[0];
	free(ids.ids);
	return one ? 0
		   : failure(why, EINVAL, "`%s` is not one queue: expected a number below %d", text,
			     CONFIG_QUEUE_MAX);
}

bool queue_ids_has(const struct queue_ids *ids, uint32_t id)
{
	if (ids->all)
		return true;
	for (size_t i = 0; i < ids->n; i++)
		if (ids->ids[i] == id)
			return true;
	return false;
}

/* Lower-case words with a dot between them. */
static bool is_path(const char *text, size_t length)
{
	char before = '.';

	for (size_t i = 0; i < length; before = text[i++]) {
		bool letter = (text[i] >= 'a' && text[i] <= 'z') || text[i] == '_';

		if (!letter && !(text[i] == '.' && before != '.'))
			return false;
	}
	return before != '.';
}

/* A value must not end its own place in the flow style that it is put into. */
static int check_value(const char *option, const char *value, struct failure *why)
{
	int depth = 0;

	if (!*value)
		return failure(why, EINVAL, "`%s` has no value", option);
	for (; *value; value++) {
		if ((unsigned char)*value < ' ' || *value == '#')
			return failure(why, EINVAL, "`%s` has a character that a value can't have",
				       option);
		if (*value == '[' || *value == '{')
			depth++;
		if (*value == ']' || *value == '}')
			depth--;
		if (depth < 0)
			return failure(why, EINVAL, "`%s` closes a bracket that it did not open",
				       option);
		if (*value == ',' && depth == 0)
			return failure(why, EINVAL,
				       "`%s`: a list is written in brackets: %.*s=[...]", option,
				       (int)strcspn(option, "="), option);
	}
	if (depth)
		return failure(why, EINVAL, "`%s` leaves a bracket open", option);
	return 0;
}

static int check_option(const char *option, struct failure *why)
{
	size_t length = strcspn(option, "=");

	if (!option[length] || !is_path(option, length))
		return failure(why, EINVAL,
			       "`%s` is not an option: expected key=value, such as frames=8192 or "
			       "rings.rx=1024",
			       option);
	if (length == 2 && !strncmp(option, "id", 2))
		return failure(why, EINVAL, "`%s`: the queues are named before the options",
			       option);
	return check_value(option, option + length + 1, why);
}

/* One path being the other, or the start of it. */
static bool in_conflict(const char *a, const char *b)
{
	size_t i = 0;

	while (a[i] == b[i] && a[i] != '=')
		i++;
	return (a[i] == '=' && (b[i] == '=' || b[i] == '.')) || (b[i] == '=' && a[i] == '.');
}

static int check_options(char *const *options, size_t n, struct failure *why)
{
	for (size_t i = 0; i < n; i++) {
		int r = check_option(options[i], why);

		if (r < 0)
			return r;
		for (size_t j = 0; j < i; j++)
			if (in_conflict(options[i], options[j]))
				return failure(why, EINVAL, "`%s` and `%s` set the same",
					       options[j], options[i]);
	}
	return 0;
}

/* Writes the options that begin with `prefix`, each key of this level once, where it first comes up. */
static void write_level(FILE *out, char *const *options, size_t n, const char *prefix,
			size_t prefix_length, const char *separator)
{
	for (size_t i = 0; i < n; i++) {
		size_t length;

		if (strncmp(options[i], prefix, prefix_length))
			continue;
		length = prefix_length + strcspn(options[i] + prefix_length, ".=");
		if (options[i][length] == '=') {
			fprintf(out, "%s%.*s: %s", separator, (int)(length - prefix_length),
				options[i] + prefix_length, options[i] + length + 1);
		} else {
			bool written = false;

			for (size_t j = 0; j < i; j++)
				written |= !strncmp(options[j], options[i], length + 1);
			if (written)
				continue;
			fprintf(out, "%s%.*s: { ", separator, (int)(length - prefix_length),
				options[i] + prefix_length);
			write_level(out, options, n, options[i], length + 1, "");
			fputs(" }", out);
		}
		separator = ", ";
	}
}

static void write_ids(FILE *out, const struct queue_ids *ids)
{
	if (ids->all)
		fputs("all", out);
	else if (ids->n == 1)
		fprintf(out, "%u", ids->ids[0]);
	else if (ids->ids[ids->n - 1] - ids->ids[0] == ids->n - 1)
		fprintf(out, "%u-%u", ids->ids[0], ids->ids[ids->n - 1]);
	else
		for (size_t i = 0; i < ids->n; i++)
			fprintf(out, "%s%u%s", i ? ", " : "[", ids->ids[i],
				i == ids->n - 1 ? "]" : "");
}

int fragment_make(const struct queue_ids *ids, char *const *options, size_t n, char **ret,
		  struct failure *why)
{
	cleanup_free char *text = NULL;
	size_t size;
	FILE *out;
	int r = check_options(options, n, why);

	if (r < 0)
		return r;
	out = open_memstream(&text, &size);
	if (!out)
		return failure(why, errno, "can't compose the request: %s", strerror(errno));
	fputs("{ id: ", out);
	write_ids(out, ids);
	write_level(out, options, n, "", 0, ", ");
	fputs(" }", out);
	if (fclose(out))
		return failure(why, ENOMEM, "can't compose the request: out of memory");
	*ret = TAKE_PTR(text);
	return 0;
}
