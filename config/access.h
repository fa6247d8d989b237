/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who may: lists of users and groups, kept sorted and without duplicates, so that equal ones compare equal.
 */
#ifndef CONFIG_ACCESS_H
#define CONFIG_ACCESS_H

#include "config/config.h"

/* Returns 0, or -ENOMEM with the list as it was. */
int access_add_user(struct access_list *list, uid_t uid);
int access_add_group(struct access_list *list, gid_t gid);

/* Replaces the users (and `anyone`) or the groups of `list` by those of `from`. Returns 0 or -ENOMEM. */
int access_copy_users(struct access_list *list, const struct access_list *from);
int access_copy_groups(struct access_list *list, const struct access_list *from);

bool access_equal(const struct access_list *a, const struct access_list *b);

void access_clear(struct access_list *list);

/*
 * A name that was found is kept with its id while the process lives, so that an edit at run time neither waits
 * for the user database (LDAP, say) nor fails because a name that it is not about is gone from there. A failed
 * look-up forgets nothing. Not thread-safe, as getpwnam(3) is not.
 */
enum names {
	NAMES_KNOWN, /* a name has the id that it was last found with; only new ones are looked up */
	NAMES_ANEW,  /* every name is looked up */
};

/*
 * The user or group that a name or number stands for. Returns 0; -ENOENT when there is none of that name, or
 * another -errno of the look-up. Numbers need no entry in the user database.
 */
int access_find_user(const char *text, enum names names, uid_t *ret);
int access_find_group(const char *text, enum names names, gid_t *ret);

#endif
