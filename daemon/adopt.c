// SPDX-License-Identifier: BSD-2-Clause
/*
 * The first thing that a daemon does which comes after another: it takes up what that left. Each part that can't be gone
 * on with ends by itself, as it would have ended in the process before: its consumers are told, and what is wanted is
 * made anew by the plan.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/attachment.h"
#include "daemon/cleanup.h"
#include "daemon/daemon.h"
#include "daemon/interface.h"
#include "daemon/log.h"
#include "daemon/queue.h"
#include "daemon/server.h"
#include "daemon/session.h"
#include "daemon/share.h"
#include "daemon/state.h"
#include "daemon/store.h"

/* What is being adopted, and how far. */
struct adoption {
	struct daemon *daemon;
	struct store *store;
	const struct state *state;
	size_t rule, group,
		consumer; /* the next of what belongs to the interface or queue at hand */
	size_t consumers, ended;
};

static int take(const struct adoption *adoption, char kind, uint64_t key, const char *part)
{
	const struct store_name name = store_name(kind, key, part);

	return store_take(adoption->store, name.text);
}

/* What was taken and is not gone on with: the manager would keep it until the next start, and a program or socket alive. */
static void forget(char kind, uint64_t key, const char *const *parts, size_t n)
{
	for (size_t i = 0; key && i < n; i++) {
		const struct store_name name = store_name(kind, key, parts[i]);

		store_remove(name.text);
	}
}

/* ---- consumers ---- */

static void forget_consumer(uint64_t key)
{
	static const char *const parts[] = {"conn", "mem", "tap", "bell"};

	forget('c', key, parts, sizeof(parts) / sizeof(parts[0]));
}

/* Its connection is there, and that is all that can be gone on with. */
static void dismiss(struct session *session, const char *why)
{
	struct xdpd_error revoke = {.code = ESHUTDOWN};

	(void)snprintf(revoke.reason, sizeof(revoke.reason), "%s", why);
	session_send(session, XDPD_REVOKE, 0, &revoke, sizeof(revoke));
	session_doom(session, DETACH_FAILED);
}

static int adopt_attachment(const struct adoption *adoption, struct queue *queue,
			    const struct saved_consumer *saved, struct session *session)
{
	const struct member_remains remains = {
		.fd = take(adoption, 'c', saved->key, "mem"),
		.tap_fd = take(adoption, 'c', saved->key, "tap"),
		.socket_fd = take(adoption, 'c', saved->key, "bell"),
		.place = saved->place,
		.key = saved->member_key,
		.overrun = saved->overrun,
	};
	const bool shared = queue->settings->delivery == XDPD_SHARED;

	if (!shared)
		member_close_remains(&remains);
	return attachment_adopt(&session->attachment, queue, &session->peer,
				session_as_owner(session), saved, shared ? &remains : NULL);
}

/* `queue` is NULL if there is nothing that it could be attached to. */
static void adopt_consumer(struct adoption *adoption, struct queue *queue,
			   const struct saved_consumer *saved)
{
	int fd = take(adoption, 'c', saved->key, "conn");
	struct session *session;

	/* Gone meanwhile: the service manager saw the other end close. */
	if (fd < 0 || server_adopt(adoption->daemon->server, fd, saved->name, &session) < 0) {
		forget_consumer(saved->key);
		adoption->ended++;
		return;
	}
	if (!queue || adopt_attachment(adoption, queue, saved, session) < 0) {
		dismiss(session,
			"xdpd was restarted, and could not go on with this queue; attach again");
		forget_consumer(saved->key);
		adoption->ended++;
		return;
	}
	/* Whether it was told so before the end can't be known: it is told again, and passes that over. */
	if (saved->starting) {
		struct xdpd_header started;

		session_send(session, XDPD_STARTED, saved->starting, &started, sizeof(started));
	}
	adoption->consumers++;
}

/* ---- queues ---- */

static struct queue *make_queue(const struct adoption *adoption, const struct saved_queue *saved)
{
	struct interface *interface = daemon_find_interface(adoption->daemon, saved->device);
	const struct config_queue *settings =
		interface ? config_find_queue(interface->config, saved->queue) : NULL;

	/* Without the program that redirects to it, its socket is as good as none. */
	if (!settings || !interface->redirect ||
	    interface_add_queue(interface, saved->queue, settings) < 0)
		return NULL;
	return interface_find_queue(interface, saved->queue);
}

static int adopt_share(const struct adoption *adoption, struct queue *queue,
		       const struct saved_queue *saved, size_t n_groups, struct failure *why)
{
	int fd = take(adoption, 'q', saved->key, "ledg");
	int r;

	if (fd < 0)
		return -EBADMSG;
	queue->share = share_new(queue);
	if (!queue->share) {
		close_fd(fd);
		return -ENOMEM;
	}
	r = share_adopt(queue->share, saved, &adoption->state->groups[adoption->group], n_groups,
			fd);
	/* The hand-off has to have the kernel's rings. */
	if (r == 0 && !xsk_has_rings(&queue->xsk))
		r = share_renew_socket(queue->share, why);
	return r;
}

static void forget_queue(uint64_t key)
{
	static const char *const parts[] = {"xsk", "umem", "ledg"};

	forget('q', key, parts, sizeof(parts) / sizeof(parts[0]));
}

/*
 * Whoever is attached is told by the one that ends it. Where nobody is, the socket is in its slot still, and has
 * received since the process before last looked.
 */
static void give_up(struct queue *queue)
{
	if (!queue->attachments && queue->share) {
		share_close(queue->share);
	} else if (!queue->attachments) {
		redirect_clear(queue->interface->redirect, queue->id);
		queue_sample(queue);
	}
	queue_close(queue, DETACH_FAILED,
		    "xdpd was restarted, and could not go on with it; attach again");
}

static void log_queue(const struct saved_queue *saved, int code, const struct failure *why)
{
	const struct log_context about = {.device = saved->device, .queue = saved->queue};

	log_write(LOG_WARNING, about, "%s queue %u: can't go on with what was left of it (%s)%s%s",
		  saved->device, saved->queue, strerrorname_np(-code), why->text[0] ? ": " : "",
		  why->text);
}

static void adopt_queue(struct adoption *adoption, size_t index)
{
	const struct state *state = adoption->state;
	const struct saved_queue *saved = &state->queues[index];
	struct queue *queue = make_queue(adoption, saved);
	struct failure why = {};
	size_t n_groups = 0;
	int r = queue ? queue_adopt(queue, saved, take(adoption, 'q', saved->key, "xsk"),
				    take(adoption, 'q', saved->key, "umem"))
		      : -ENODEV;

	if (r < 0)
		forget_queue(saved->key);
	while (adoption->group + n_groups < state->n_groups &&
	       state->group_parents[adoption->group + n_groups] == index)
		n_groups++;
	if (r == 0 && saved->delivery == XDPD_SHARED)
		r = adopt_share(adoption, queue, saved, n_groups, &why);
	adoption->group += n_groups;
	for (; adoption->consumer < state->n_consumers &&
	       state->consumer_parents[adoption->consumer] == index;
	     adoption->consumer++)
		adopt_consumer(adoption, r == 0 ? queue : NULL,
			       &state->consumers[adoption->consumer]);
	if (r == 0 && saved->delivery == XDPD_SHARED && queue->attachments)
		r = share_resume(queue->share, &why);
	if (r < 0)
		log_queue(saved, r, &why);
	if (queue && (r < 0 || !queue->attachments))
		give_up(queue);
}

/* ---- interfaces ---- */

static void adopt_interface(struct adoption *adoption, size_t index)
{
	const struct state *state = adoption->state;
	const struct saved_interface *saved = &state->interfaces[index];
	struct interface *interface = daemon_find_interface(adoption->daemon, saved->device);
	int fds[REDIRECT_PARTS];
	size_t n_rules = 0;
	int r = -ENODEV;

	for (int i = 0; i < REDIRECT_PARTS; i++)
		fds[i] = take(adoption, 'i', saved->key, redirect_part_names[i]);
	while (adoption->rule + n_rules < state->n_rules &&
	       state->rule_parents[adoption->rule + n_rules] == index)
		n_rules++;
	if (interface)
		r = interface_adopt(interface, saved, &state->rules[adoption->rule], n_rules, fds);
	else
		for (int i = 0; i < REDIRECT_PARTS; i++)
			close_fd(fds[i]);
	if (r < 0)
		forget('i', saved->key, redirect_part_names, REDIRECT_PARTS);
	if (r == -EPROTONOSUPPORT)
		log_write(LOG_WARNING, (struct log_context){.device = saved->device},
			  "%s: the XDP program that was left is another version's; it is attached "
			  "anew, "
			  "and its queues' consumers end",
			  saved->device);
	adoption->rule += n_rules;
}

/* ---- figures ---- */

static void adopt_totals(struct daemon *daemon, const struct saved_totals *saved)
{
	struct totals *totals = totals_get(&daemon->totals, saved->device, saved->queue);

	if (!totals)
		return;
	totals->receive_packets = saved->receive_packets;
	totals->transmit_packets = saved->transmit_packets;
	totals->transmit_bytes = saved->transmit_bytes;
	totals->statistics = saved->statistics;
	for (int i = 0; i < XDPD_VERDICT_COUNT; i++)
		totals->verdicts.verdict[i] = (struct xdpd_bpf_counter){saved->verdicts[i].packets,
									saved->verdicts[i].bytes};
}

static void adopt_figures(struct daemon *daemon, const struct state *state)
{
	daemon->started = state->daemon.started;
	daemon->restarts = state->daemon.restarts + 1;
	daemon->last_reload = state->daemon.last_reload;
	daemon->last_reload_ok = state->daemon.last_reload_ok;
	daemon->last_key = state->daemon.last_key;
	memcpy(daemon->disconnects, state->daemon.disconnects, sizeof(daemon->disconnects));
	memcpy(daemon->violations, state->daemon.violations, sizeof(daemon->violations));
	server_adopt_counts(daemon->server, state->daemon.requests, state->daemon.request_failures);
	for (size_t i = 0; i < state->n_totals; i++)
		adopt_totals(daemon, &state->totals[i]);
}

/* ---- all of it ---- */

static struct config *parse_left(const struct daemon *daemon, const char *text)
{
	struct config_errors errors = {};
	struct config *config = NULL;

	if (text)
		(void)config_parse(daemon->config_path, text, strlen(text), &config, &errors);
	config_errors_clear(&errors);
	return config;
}

int daemon_adopt(struct daemon *daemon, struct store *store, const struct state *state)
{
	struct adoption adoption = {.daemon = daemon, .store = store, .state = state};
	struct config *running = parse_left(daemon, state->running);
	struct config *file = daemon->config;
	const char *file_before = state->file ? state->file : state->running;

	if (!running)
		return -EINVAL;
	/* Runtime changes stay as long as the file does. */
	const bool file_changed = strcmp(file->source, file_before) != 0;

	daemon->config = running;
	adopt_figures(daemon, state);
	for (size_t i = 0; i < running->n_interfaces; i++)
		daemon_keep_interface(daemon, &running->interfaces[i]);
	for (size_t i = 0; i < state->n_interfaces; i++)
		adopt_interface(&adoption, i);
	for (size_t i = 0; i < state->n_queues; i++)
		adopt_queue(&adoption, i);
	log_notice("took up what the process before left: %zu consumers go on, %zu have ended",
		   adoption.consumers, adoption.ended);
	if (!file_changed)
		return 0;
	daemon->last_reload = (uint64_t)time(NULL);
	daemon->file = running;
	/* Without memory for the other it goes on as it is. */
	(void)daemon_run_config(daemon, file, file);
	return 0;
}

/* Nothing names them: what they were attached to is not known, or they were still attaching. */
void daemon_dismiss(struct store *store, const char *why)
{
	uint64_t key;
	int fd;

	while ((fd = store_take_any(store, 'c', "conn", &key)) >= 0) {
		server_dismiss(fd, why);
		forget_consumer(key);
	}
}
