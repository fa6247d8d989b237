// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/keep.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/attachment.h"
#include "daemon/cleanup.h"
#include "daemon/daemon.h"
#include "daemon/interface.h"
#include "daemon/keep_capture.h"
#include "daemon/log.h"
#include "daemon/member.h"
#include "daemon/share.h"
#include "daemon/state.h"
#include "daemon/store.h"

/* How long counters may be unsaved that nobody has seen. */
#define SOON_USEC (20 * 1000)

struct keep {
	struct daemon *daemon;
	struct state_file file;
	struct capture capture; /* memory that is kept from one save to the next */
	sd_event_source *soon;
	bool changed;
	bool ended;		     /* an attachment that the state may still have in it */
	bool failed;		     /* the last save did, and it was said */
	struct store_name *removals; /* what the state has to be without first */
	size_t n_removals, capacity;
};

int keep_new(struct keep **ret, struct daemon *daemon, struct state_file *file)
{
	struct keep *keep;
	int r = 0;

	*ret = NULL;
	if (!store_is_granted())
		return 0;
	keep = calloc(1, sizeof(*keep));
	if (!keep)
		return -ENOMEM;
	keep->daemon = daemon;
	keep->file = STATE_FILE_NONE;
	if (file) {
		keep->file = *file;
		*file = STATE_FILE_NONE;
		/* It has those in it that this process may not go on with. */
		keep->ended = true;
	} else {
		r = state_file_create(&keep->file);
		if (r == 0)
			r = store_put("state", keep->file.fd, false);
	}
	if (r < 0) {
		keep_free(keep);
		return r;
	}
	*ret = keep;
	return 0;
}

struct keep *keep_free(struct keep *keep)
{
	if (!keep)
		return NULL;
	sd_event_source_disable_unref(keep->soon);
	capture_clear(&keep->capture);
	state_file_close(&keep->file);
	free(keep->removals);
	free(keep);
	return NULL;
}

uint64_t keep_next_key(struct keep *keep)
{
	return ++keep->daemon->last_key;
}

/* ---- saving ---- */

static void remove_what_ended(struct keep *keep)
{
	for (size_t i = 0; i < keep->n_removals; i++)
		store_remove(keep->removals[i].text);
	keep->n_removals = 0;
}

int keep_now(struct keep *keep)
{
	const struct state *state;
	int r;

	if (!keep || !keep->changed)
		return 0;
	r = capture_take(&keep->capture, keep->daemon, &state);
	if (r == 0)
		r = state_write(&keep->file, state);
	if (r < 0) {
		if (!keep->failed)
			log_error("can't save the state for the next start (%s): a restart now "
				  "would end the consumers that came since",
				  strerrorname_np(-r));
		keep->failed = true;
		return r;
	}
	keep->failed = keep->changed = keep->ended = false;
	remove_what_ended(keep);
	return 0;
}

int keep_ends_now(struct keep *keep)
{
	return keep && keep->ended ? keep_now(keep) : 0;
}

static int on_soon(sd_event_source *source, uint64_t now, void *context)
{
	struct keep *keep = context;

	(void)source;
	(void)now;
	keep->soon = sd_event_source_disable_unref(keep->soon);
	(void)keep_now(keep);
	return 0;
}

void keep_soon(struct keep *keep)
{
	if (!keep)
		return;
	keep->changed = true;
	if (!keep->soon)
		(void)sd_event_add_time_relative(keep->daemon->event, &keep->soon, CLOCK_MONOTONIC,
						 SOON_USEC, SOON_USEC, on_soon, keep);
}

/* One that can't be remembered is left over, and the next process removes it. */
static void remove_later(struct keep *keep, struct store_name name)
{
	if (keep->n_removals == keep->capacity) {
		size_t capacity = keep->capacity ? keep->capacity * 2 : 16;
		struct store_name *grown = reallocarray(keep->removals, capacity, sizeof(*grown));

		if (!grown)
			return;
		keep->removals = grown;
		keep->capacity = capacity;
	}
	keep->removals[keep->n_removals++] = name;
}

static void put(char kind, uint64_t key, const char *part, int fd, bool poll)
{
	const struct store_name name = store_name(kind, key, part);

	if (fd >= 0)
		(void)store_put(name.text, fd, poll);
}

/* ---- attachments ---- */

static void keep_queue(struct keep *keep, struct queue *queue)
{
	if (queue->key)
		return;
	queue->key = keep_next_key(keep);
	put('q', queue->key, "xsk", queue->xsk.fd, false);
	put('q', queue->key, "umem", queue->umem.fd, false);
	if (queue->share)
		put('q', queue->key, "ledg", share_ledger_fd(queue->share), false);
}

void keep_no_queue(struct keep *keep, struct queue *queue)
{
	if (!keep || !queue->key)
		return;
	remove_later(keep, store_name('q', queue->key, "xsk"));
	remove_later(keep, store_name('q', queue->key, "umem"));
	remove_later(keep, store_name('q', queue->key, "ledg"));
	queue->key = 0;
	keep_soon(keep);
}

void keep_attachment(struct keep *keep, struct attachment *attachment)
{
	const struct attachment_owner *owner = &attachment->owner;
	const struct member *member = attachment->member;

	if (!keep)
		return;
	keep_queue(keep, attachment->queue);
	attachment->key = keep_next_key(keep);
	put('c', attachment->key, "conn", owner->connection(owner->context), true);
	if (member) {
		put('c', attachment->key, "mem", member->fd, false);
		put('c', attachment->key, "tap", member->tap_fd, false);
		put('c', attachment->key, "bell", member->handoff->socket_fd, false);
	}
	keep->changed = true;
	(void)keep_now(keep);
}

void keep_no_attachment(struct keep *keep, struct attachment *attachment)
{
	static const char *const parts[] = {"conn", "mem", "tap", "bell"};

	if (!keep)
		return;
	for (size_t i = 0; attachment->key && i < sizeof(parts) / sizeof(parts[0]); i++)
		remove_later(keep, store_name('c', attachment->key, parts[i]));
	keep->ended = true;
	keep_soon(keep);
}

/* ---- programs ---- */

void keep_program(struct keep *keep, struct interface *interface)
{
	if (!keep || !interface->redirect)
		return;
	interface->key = keep_next_key(keep);
	for (int i = 0; i < REDIRECT_PARTS; i++)
		put('i', interface->key, redirect_part_names[i],
		    redirect_part(interface->redirect, i), false);
	keep->changed = true;
	(void)keep_now(keep);
}

void keep_no_program(struct keep *keep, struct interface *interface)
{
	if (!keep || !interface->key)
		return;
	for (int i = 0; i < REDIRECT_PARTS; i++)
		remove_later(keep, store_name('i', interface->key, redirect_part_names[i]));
	interface->key = 0;
	keep_soon(keep);
}

void keep_listening(struct keep *keep, int fd)
{
	if (keep)
		(void)store_put(STORE_LISTENING, fd, false);
}

void keep_nothing(struct keep *keep)
{
	if (!keep)
		return;
	keep->changed = true;
	(void)keep_now(keep);
	remove_what_ended(keep);
	store_remove("state");
	store_remove(STORE_LISTENING);
}
