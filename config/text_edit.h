/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What adding and removing a queue in a config's text have in common: the text as it is, the fragment that
 * says which queue, and the check that nothing else came of it.
 */
#ifndef CONFIG_TEXT_EDIT_H
#define CONFIG_TEXT_EDIT_H

#include "config/layout.h"
#include "config/parse.h"

struct text_edit {
	const char *name;
	const char *device;
	struct config_errors *errors;
	struct parsed file;
	struct layout layout;
	const struct config_interface *interface; /* as it is now; NULL: not there */
	/* the fragment */
	char *fragment_name; /* "eth0 queue", for its errors */
	struct yaml_tree fragment;
	size_t fragment_indent;
};

#define cleanup_text_edit __attribute__((cleanup(text_edit_clear)))

/* Returns 0; or -EINVAL with what is wrong with text, device name or fragment; or -ENOMEM. */
int text_edit_start(struct text_edit *edit, const char *name, const char *text, const char *device,
		    const char *fragment, struct config_errors *errors);

void text_edit_clear(struct text_edit *edit);

/* An empty report on the fragment. */
struct report text_edit_report(const struct text_edit *edit);

/* Where the fragment's ids are. */
struct place text_edit_ids_place(const struct text_edit *edit);

/* The node of the interface; NULL if it is not there. */
const yaml_node_t *text_edit_interface(const struct text_edit *edit);

/* Sets the ids of item `i` of a `queues:` list. Returns 0 or -ENOMEM. */
int text_edit_item_ids(const struct text_edit *edit, const yaml_node_t *queues, size_t i,
		       struct id_set *ret);

/* -EINVAL, with a line that says that only a person can make the change at `node`. */
int text_edit_refuse(const struct text_edit *edit, const yaml_node_t *node);

/*
 * Applies the layout's splices and parses the result, and returns it in `*ret` if it differs from the file
 * only in the queues of the device, and these are as `wanted` says. `at` is where a person has to go else.
 */
int text_edit_finish(struct text_edit *edit, const yaml_node_t *at,
		     bool (*wanted)(const struct config_interface *result, const void *context),
		     const void *context, char **ret);

#endif
