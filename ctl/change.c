/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdpctl add-queue and remove-queue. With --save the file is edited too, in an order that leaves nothing half
 * done: the edited text is made and checked, then the daemon changes, then the file, and then the daemon reads
 * it, so that the change no longer counts as a runtime one. That last step is left out where it would change
 * more than what was asked for, because the file or the daemon has other changes that the other does not.
 */
#include "ctl/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/connection.h"
#include "ctl/difference.h"
#include "ctl/fragment.h"
#include "ctl/show.h"
#include "ctl/table.h"
#include "daemon/cleanup.h"

struct change {
	enum xdpd_message type; /* ADD_QUEUE or REMOVE_QUEUE */
	const char *device;
	struct queue_ids ids;
	char *fragment;
};

/* What --save writes. */
struct edit {
	char *path; /* the config file that the daemon names */
	char *text; /* what it shall hold; NULL: it is so already */
};

static void clear_ids(struct queue_ids *ids)
{
	free(ids->ids);
}

static void clear_change(struct change *change)
{
	clear_ids(&change->ids);
	free(change->fragment);
}

static void clear_edit(struct edit *edit)
{
	free(edit->path);
	free(edit->text);
}

static void free_config(struct config **config)
{
	config_free(*config);
}

#define cleanup_ids    __attribute__((cleanup(clear_ids)))
#define cleanup_change __attribute__((cleanup(clear_change)))
#define cleanup_edit   __attribute__((cleanup(clear_edit)))
#define cleanup_config __attribute__((cleanup(free_config)))
#define cleanup_errors __attribute__((cleanup(config_errors_clear)))

static int parse_change(const struct invocation *invocation, struct change *change)
{
	struct failure why;
	int r;

	change->device = invocation->words[0];
	if (!*change->device || strlen(change->device) >= XDPD_DEVICE_MAX)
		return say_usage("`%s` can't be an interface's name", change->device);
	r = queue_ids_parse(invocation->words[1], &change->ids, &why);
	if (r >= 0)
		r = fragment_make(&change->ids, invocation->words + 2,
				  (size_t)invocation->n_words - 2, &change->fragment, &why);
	return r < 0 ? say_usage("%s", why.text) : EXIT_DONE;
}

static int send_change(struct connection *connection, const struct change *change,
		       struct failure *why)
{
	size_t length = strlen(change->fragment);
	cleanup_free struct xdpd_queue_request *request = allocate(sizeof(*request) + length);

	memset(request, 0, sizeof(*request));
	memcpy(request->device, change->device, strlen(change->device));
	memcpy(request->fragment, change->fragment, length);
	return connection_call(connection, change->type, &request->header,
			       sizeof(*request) + length, NULL, why);
}

/* ---- the file ---- */

/* The ids of the change that the file has. */
static struct queue_ids ids_in_file(const struct change *change, const struct config *file)
{
	const struct config_interface *interface = config_find_interface(file, change->device);
	struct queue_ids found = {.ids = allocate(change->ids.n * sizeof(*found.ids))};

	if (!interface)
		return found;
	found.all = change->ids.all && (interface->all || interface->n_queues);
	for (size_t i = 0; i < change->ids.n; i++)
		if (config_find_queue(interface, change->ids.ids[i]))
			found.ids[found.n++] = change->ids.ids[i];
	return found;
}

static int fetch_channels(struct connection *connection, const char *device, uint32_t *ret,
			  struct failure *why)
{
	cleanup_json json_t *interfaces = NULL;
	int r = fetch_records(connection, XDPD_LIST_INTERFACES, &interfaces, why);

	if (r < 0)
		return r;
	*ret = 0;
	for (size_t i = 0; i < json_array_size(interfaces); i++) {
		const json_t *interface = json_array_get(interfaces, i);

		if (!strcmp(record_word(interface, "device"), device))
			*ret = (uint32_t)record_number(interface, "channels");
	}
	return 0;
}

/* The text without the queues, NULL if it has none of them. */
static int text_without(const struct change *change, const struct config *file, const char *path,
			uint32_t channels, char **ret, struct config_errors *errors)
{
	cleanup_ids struct queue_ids found = ids_in_file(change, file);
	cleanup_free char *fragment = NULL;
	struct failure why;

	if (!found.n && !found.all) {
		*ret = NULL;
		return 0;
	}
	if (fragment_make(&found, NULL, 0, &fragment, &why) < 0)
		return -ENOMEM;
	return config_text_remove_queue(path, file->source, change->device, fragment, channels, ret,
					errors);
}

static int edited_text(struct connection *connection, const struct change *change, const char *path,
		       char **ret, struct failure *why)
{
	cleanup_errors struct config_errors errors = {0};
	cleanup_config struct config *file = NULL;
	uint32_t channels = 0;
	int r = 0;

	if (change->type == XDPD_REMOVE_QUEUE)
		r = fetch_channels(connection, change->device, &channels, why);
	if (r < 0)
		return r;
	r = config_load(path, &file, &errors);
	if (r >= 0 && change->type == XDPD_ADD_QUEUE)
		r = config_text_add_queue(path, file->source, change->device, change->fragment, ret,
					  &errors);
	else if (r >= 0)
		r = text_without(change, file, path, channels, ret, &errors);
	say_config_errors(&errors);
	if (r < 0 && errors.n_lines)
		return failure(why, -r, "nothing was changed");
	return r < 0 ? failure(why, -r, "nothing was changed: %s", strerror(-r)) : 0;
}

/* Makes and checks what --save will write. */
static int prepare_edit(struct connection *connection, const struct change *change,
			struct edit *edit, struct failure *why)
{
	cleanup_json json_t *daemon = NULL;
	const char *path;
	int r = fetch_daemon(connection, &daemon, why);

	if (r < 0)
		return r;
	path = record_word(daemon, "config");
	if (path[0] != '/')
		return failure(
			why, ENOENT,
			"nothing was changed: the daemon names no config file by a full path");
	edit->path = text_of("%s", path);
	return edited_text(connection, change, edit->path, &edit->text, why);
}

/* What a reload would change, NULL if nothing. */
static int reload_would_change(struct connection *connection, const struct edit *edit, char **ret,
			       struct failure *why)
{
	cleanup_errors struct config_errors errors = {0};
	cleanup_config struct config *running = NULL;
	cleanup_config struct config *file = NULL;
	cleanup_free char *text = NULL;
	int r = fetch_config_text(connection, &text, why);

	if (r < 0)
		return r;
	if (config_parse("running", text, strlen(text), &running, &errors) < 0 ||
	    config_parse(edit->path, edit->text, strlen(edit->text), &file, &errors) < 0) {
		say_config_errors(&errors);
		return failure(
			why, EINVAL,
			"saved in %s, not reloaded: can't compare it with the running config",
			edit->path);
	}
	*ret = config_difference(running, file);
	return 0;
}

/* ---- the commands ---- */

struct outcome {
	bool saved;
	bool reloaded;
	char *note; /* NULL: there is nothing to say */
};

static void clear_outcome(struct outcome *outcome)
{
	free(outcome->note);
}

static int save_edit(struct connection *connection, const struct edit *edit, const char *done,
		     struct outcome *outcome, struct failure *why)
{
	cleanup_free char *more = NULL;
	cleanup_free char *lines = NULL;
	struct xdpd_header request;
	int r;

	if (!edit->text) {
		outcome->note = text_of("%s has no such queue: nothing to save", edit->path);
		return 0;
	}
	r = config_save(edit->path, edit->text);
	if (r < 0)
		return failure(why, -r, "%s, but not saved: can't write %s: %s", done, edit->path,
			       strerror(-r));
	outcome->saved = true;
	r = reload_would_change(connection, edit, &more, why);
	if (r < 0)
		return r;
	if (more) {
		outcome->note = text_of(
			"saved in %s; not reloaded, as that would also change %s, which the file "
			"and the daemon have differently",
			edit->path, more);
		return 0;
	}
	r = connection_call(connection, XDPD_RELOAD, &request, sizeof(request), &lines, why);
	if (r < 0)
		print_lines(stderr, lines ? lines : "");
	outcome->reloaded = r >= 0;
	return r;
}

/* The change's queues as they are now. */
static int fetch_changed(struct connection *connection, const struct change *change, json_t **ret,
			 struct failure *why)
{
	cleanup_json json_t *interfaces = NULL;
	cleanup_json json_t *queues = NULL;
	json_t *changed;
	int r = fetch_records(connection, XDPD_LIST_INTERFACES, &interfaces, why);

	if (r >= 0)
		r = fetch_queues(connection, interfaces, &queues, why);
	if (r < 0)
		return r;
	changed = json_array();
	for (size_t i = 0; i < json_array_size(queues); i++) {
		json_t *queue = json_array_get(queues, i);

		if (!strcmp(record_word(queue, "device"), change->device) &&
		    queue_ids_has(&change->ids, (uint32_t)record_number(queue, "queue")))
			json_array_append(changed, queue);
	}
	*ret = changed;
	return 0;
}

/* Those that nobody can attach to now. */
static json_t *amiss(const json_t *queues)
{
	json_t *found = json_array();

	for (size_t i = 0; i < json_array_size(queues); i++) {
		json_t *queue = json_array_get(queues, i);
		const char *state = record_word(queue, "state");

		if (strcmp(state, "ready") && strcmp(state, "attached"))
			json_array_append(found, queue);
	}
	return found;
}

static void print_outcome(const struct invocation *invocation, const struct change *change,
			  const struct outcome *outcome, const json_t *queues)
{
	cleanup_json json_t *document = NULL;
	cleanup_json json_t *bad = NULL;

	if (invocation->json) {
		document =
			json_pack("{s:s, s:O, s:b, s:b, s:o}", "device", change->device, "queues",
				  queues, "saved", outcome->saved, "reloaded", outcome->reloaded,
				  "note", text_value(outcome->note ? outcome->note : "", SIZE_MAX));
		print_json(document, false);
		return;
	}
	if (outcome->note) {
		cleanup_free char *note = clean_text(outcome->note, false);

		printf("%s\n", note);
	}
	bad = amiss(queues);
	if (json_array_size(bad) && change->type == XDPD_ADD_QUEUE)
		print_queue_rows(bad);
}

static int change_queues(const struct invocation *invocation, enum xdpd_message type)
{
	const char *done = type == XDPD_ADD_QUEUE ? "added" : "removed";
	const int already = type == XDPD_ADD_QUEUE ? -EEXIST : -ENOENT;
	cleanup_connection struct connection connection = CONNECTION_CLOSED;
	cleanup_change struct change change = {.type = type};
	cleanup_edit struct edit edit = {0};
	__attribute__((cleanup(clear_outcome))) struct outcome outcome = {0};
	cleanup_json json_t *queues = NULL;
	struct failure why;
	int r = parse_change(invocation, &change);

	if (r != EXIT_DONE)
		return r;
	r = connection_open(&connection, invocation->socket, &why);
	if (r >= 0 && invocation->save)
		r = prepare_edit(&connection, &change, &edit, &why);
	if (r >= 0)
		r = send_change(&connection, &change, &why);
	/* a runtime change of before that is now to be kept */
	if (r == already && !connection.lost && edit.text)
		r = 0;
	if (r >= 0 && invocation->save)
		r = save_edit(&connection, &edit, done, &outcome, &why);
	if (r >= 0)
		r = fetch_changed(&connection, &change, &queues, &why);
	if (r < 0)
		return connection_give_up(&connection, &why);
	print_outcome(invocation, &change, &outcome, queues);
	return EXIT_DONE;
}

int command_add_queue(const struct invocation *invocation)
{
	return change_queues(invocation, XDPD_ADD_QUEUE);
}

int command_remove_queue(const struct invocation *invocation)
{
	return change_queues(invocation, XDPD_REMOVE_QUEUE);
}
