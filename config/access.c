/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/access.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cleanup.h"

_Static_assert(sizeof(uid_t) == sizeof(uint32_t) && sizeof(gid_t) == sizeof(uint32_t),
	       "users and groups share the code below");

static int add_number(uint32_t **numbers, size_t *n, uint32_t number)
{
	uint32_t *grown;
	size_t at = 0;

	while (at < *n && (*numbers)[at] < number)
		at++;
	if (at < *n && (*numbers)[at] == number)
		return 0;
	grown = reallocarray(*numbers, *n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memmove(grown + at + 1, grown + at, (*n - at) * sizeof(*grown));
	grown[at] = number;
	*numbers = grown;
	(*n)++;
	return 0;
}

static int copy_numbers(uint32_t **numbers, size_t *n, const uint32_t *from, size_t n_from)
{
	uint32_t *copy = NULL;

	if (n_from) {
		copy = calloc(n_from, sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, from, n_from * sizeof(*copy));
	}
	free(*numbers);
	*numbers = copy;
	*n = n_from;
	return 0;
}

static bool same_numbers(const uint32_t *a, size_t n_a, const uint32_t *b, size_t n_b)
{
	return n_a == n_b && (n_a == 0 || memcmp(a, b, n_a * sizeof(*a)) == 0);
}

int access_add_user(struct access_list *list, uid_t uid)
{
	return add_number(&list->uids, &list->n_uids, uid);
}

int access_add_group(struct access_list *list, gid_t gid)
{
	return add_number(&list->gids, &list->n_gids, gid);
}

int access_copy_users(struct access_list *list, const struct access_list *from)
{
	int r = copy_numbers(&list->uids, &list->n_uids, from->uids, from->n_uids);

	if (r == 0)
		list->anyone = from->anyone;
	return r;
}

int access_copy_groups(struct access_list *list, const struct access_list *from)
{
	return copy_numbers(&list->gids, &list->n_gids, from->gids, from->n_gids);
}

bool access_equal(const struct access_list *a, const struct access_list *b)
{
	return a->anyone == b->anyone && same_numbers(a->uids, a->n_uids, b->uids, b->n_uids) &&
	       same_numbers(a->gids, a->n_gids, b->gids, b->n_gids);
}

void access_clear(struct access_list *list)
{
	free(list->uids);
	free(list->gids);
	*list = (struct access_list){};
}

bool access_allows(const struct access_list *list, uid_t uid, const gid_t *gids, size_t n_gids)
{
	if (list->anyone)
		return true;
	for (size_t i = 0; i < list->n_uids; i++)
		if (list->uids[i] == uid)
			return true;
	for (size_t i = 0; i < list->n_gids; i++)
		for (size_t j = 0; j < n_gids; j++)
			if (list->gids[i] == gids[j])
				return true;
	return false;
}

/* Digits alone are a number. The last one means "no change" to chown(2) and is nobody's. */
static int parse_number(const char *text, uint32_t *ret)
{
	unsigned long long number;

	errno = 0;
	number = strtoull(text, NULL, 10);
	if (errno || number >= UINT32_MAX)
		return -ENOENT;
	*ret = (uint32_t)number;
	return 0;
}

static bool is_number(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == '\0';
}

/* What a look-up without a result left in errno: most values mean that the name is not there [getpwnam(3)]. */
static int missing(int code)
{
	return code == EIO || code == EINTR || code == EMFILE || code == ENFILE || code == ENOMEM
		       ? -code
		       : -ENOENT;
}

static int look_up_user(const char *name, uint32_t *ret)
{
	const struct passwd *entry;

	errno = 0;
	entry = getpwnam(name);
	if (!entry)
		return missing(errno);
	*ret = entry->pw_uid;
	return 0;
}

static int look_up_group(const char *name, uint32_t *ret)
{
	const struct group *entry;

	errno = 0;
	entry = getgrnam(name);
	if (!entry)
		return missing(errno);
	*ret = entry->gr_gid;
	return 0;
}

struct known_name {
	char *name;
	uint32_t id;
};

static int compare_names(const void *left, const void *right)
{
	const struct known_name *a = left, *b = right;

	return strcmp(a->name, b->name);
}

/* `known` is a tree of tsearch(3). */
static int remember(void **known, const char *name, uint32_t id)
{
	cleanup_free struct known_name *added = malloc(sizeof(*added));
	cleanup_free char *copy = strdup(name);
	struct known_name **node;

	if (!added || !copy)
		return -ENOMEM;
	*added = (struct known_name){copy, id};
	node = tsearch(added, known, compare_names);
	if (!node)
		return -ENOMEM;
	(*node)->id = id;
	if (*node == added) {
		(void)TAKE_PTR(added);
		(void)TAKE_PTR(copy);
	}
	return 0;
}

static int find(const char *text, enum names names, void **known,
		int (*look_up)(const char *name, uint32_t *ret), uint32_t *ret)
{
	struct known_name **node;
	uint32_t id;
	int r;

	if (is_number(text))
		return parse_number(text, ret);
	node = tfind(&(struct known_name){.name = (char *)text}, known, compare_names);
	if (node && names == NAMES_KNOWN) {
		*ret = (*node)->id;
		return 0;
	}
	r = look_up(text, &id);
	if (r == 0)
		r = remember(known, text, id);
	if (r == 0)
		*ret = id;
	return r;
}

int access_find_user(const char *text, enum names names, uid_t *ret)
{
	static void *known;

	return find(text, names, &known, look_up_user, ret);
}

int access_find_group(const char *text, enum names names, gid_t *ret)
{
	static void *known;

	return find(text, names, &known, look_up_group, ret);
}
