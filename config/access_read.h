/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who may, as a config says it: lists of users and groups, and `attach`.
 */
#ifndef CONFIG_ACCESS_READ_H
#define CONFIG_ACCESS_READ_H

#include "config/access.h"
#include "config/walk.h"

/* `list` has what holds where nothing is given. */
void access_read_list(struct walk *walk, enum names names, const struct field *users,
		      const struct field *groups, struct access_list *list);

/* What an `attach` says itself, and does not leave to what is inherited. */
struct attach_given {
	bool who;
	bool transmit;
};

/*
 * `attach` has what is inherited, and `node` may be NULL. One list that is given replaces both: as either lets
 * in, the other one inherited would undo a restriction.
 */
struct attach_given access_read_attach(struct walk *walk, enum names names, const yaml_node_t *node,
				       struct attach_access *attach);

#endif
