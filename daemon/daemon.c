// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/daemon.h"

#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "daemon/attachment.h"
#include "daemon/cleanup.h"
#include "daemon/keep.h"
#include "daemon/log.h"
#include "daemon/plan.h"
#include "daemon/renewal.h"
#include "daemon/report.h"
#include "daemon/server.h"
#include "daemon/share.h"
#include "daemon/spare.h"
#include "daemon/xsk.h"

struct interface *daemon_find_interface(const struct daemon *daemon, const char *name)
{
	for (size_t i = 0; i < daemon->n_interfaces; i++)
		if (!strcmp(daemon->interfaces[i]->name, name))
			return daemon->interfaces[i];
	return NULL;
}

/* ---- telling ---- */

static int priority_of(enum xdpd_event_kind kind, const char *text)
{
	switch (kind) {
	case XDPD_EVENT_QUEUE_STATE:
		if (!strncmp(text, "failed", 6) || !strncmp(text, "busy", 4))
			return LOG_WARNING;
		return LOG_DEBUG;
	case XDPD_EVENT_RELOAD_FAILED:
		return LOG_ERR;
	case XDPD_EVENT_INTERFACE_GONE:
	case XDPD_EVENT_LINK_DOWN:
	case XDPD_EVENT_INTERFACE_CHANGED:
		return LOG_NOTICE;
	default:
		return LOG_INFO;
	}
}

void daemon_tell(struct daemon *daemon, enum xdpd_event_kind kind, struct log_context about,
		 const char *format, ...)
{
	struct timespec now;
	struct xdpd_event event = {.kind = kind, .queue = about.queue};
	va_list args;

	va_start(args, format);
	(void)vsnprintf(event.text, sizeof(event.text), format, args);
	va_end(args);
	clock_gettime(CLOCK_REALTIME, &now);
	event.time = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
	if (about.device)
		(void)snprintf(event.device, sizeof(event.device), "%s", about.device);
	log_write(priority_of(kind, event.text), about, "%s", event.text);
	if (daemon->server)
		server_broadcast(daemon->server, &event);
}

/* ---- from wanted to actual ---- */

/* What the plan looks at: interfaces that are kept, then those that are wanted and not kept yet. */
struct view {
	struct plan_interface *interfaces;
	size_t n_interfaces;
	struct plan_queue *queues; /* of all interfaces, one behind the other */
};

static void view_clear(struct view *view)
{
	free(view->interfaces);
	free(view->queues);
}

static void view_kept(struct view *view, const struct interface *interface,
		      struct plan_queue *queues)
{
	for (size_t i = 0; i < interface->n_queues; i++)
		queues[i] = (struct plan_queue){
			.id = interface->queues[i]->id,
			.waiting = interface->queues[i]->state == XDPD_QUEUE_WAITING,
			.again = queue_may_succeed_now(interface->queues[i]),
			.dead = interface_killed(interface->queues[i]),
			.settings = interface->queues[i]->settings};
	view->interfaces[view->n_interfaces++] = (struct plan_interface){
		.name = interface->name,
		.config = interface->config,
		.ifindex = interface->link.ifindex,
		.channels = interface->details.channels,
		.program_ifindex = interface->redirect		      ? interface->redirect->ifindex
				   : interface_is_hopeless(interface) ? interface->link.ifindex
								      : 0,
		.program_lost = interface_may_restore(interface),
		.queues = queues,
		.n_queues = interface->n_queues,
	};
}

static void view_wanted(struct view *view, struct daemon *daemon,
			const struct config_interface *config)
{
	struct nic_link link = {};
	struct nic_details details = {};

	if (nic_find(daemon->nic, config->name, &link) == 0 && link.ifindex)
		nic_inspect(daemon->nic, &link, &details);
	view->interfaces[view->n_interfaces++] = (struct plan_interface){
		.name = config->name,
		.ifindex = link.ifindex,
		.channels = details.channels,
	};
}

static int view_take(struct view *ret, struct daemon *daemon)
{
	struct view view = {};
	size_t n_queues = 0, queue = 0;

	for (size_t i = 0; i < daemon->n_interfaces; i++)
		n_queues += daemon->interfaces[i]->n_queues;
	view.interfaces = calloc(daemon->n_interfaces + daemon->config->n_interfaces + 1,
				 sizeof(*view.interfaces));
	view.queues = calloc(n_queues + 1, sizeof(*view.queues));
	if (!view.interfaces || !view.queues) {
		view_clear(&view);
		return -ENOMEM;
	}
	for (size_t i = 0; i < daemon->n_interfaces; i++) {
		view_kept(&view, daemon->interfaces[i], view.queues + queue);
		queue += daemon->interfaces[i]->n_queues;
	}
	for (size_t i = 0; i < daemon->config->n_interfaces; i++)
		if (!daemon_find_interface(daemon, daemon->config->interfaces[i].name))
			view_wanted(&view, daemon, &daemon->config->interfaces[i]);
	*ret = view;
	return 0;
}

void daemon_keep_interface(struct daemon *daemon, const struct config_interface *config)
{
	struct interface **grown =
		reallocarray(daemon->interfaces, daemon->n_interfaces + 1, sizeof(*grown));
	struct interface *interface;

	if (!grown)
		return;
	daemon->interfaces = grown;
	interface = interface_new(daemon, config);
	if (!interface)
		return;
	grown[daemon->n_interfaces++] = interface;
	interface_refresh(interface);
}

static void forget_interface(struct daemon *daemon, struct interface *interface)
{
	size_t at = 0;

	while (daemon->interfaces[at] != interface)
		at++;
	interface_free(interface, DETACH_REMOVED);
	daemon->n_interfaces--;
	memmove(daemon->interfaces + at, daemon->interfaces + at + 1,
		(daemon->n_interfaces - at) * sizeof(*daemon->interfaces));
}

static void close_one(struct interface *interface, struct queue *queue)
{
	if (!interface->link.ifindex)
		queue_close(queue, DETACH_INTERFACE_GONE, "the interface is gone");
	else if (interface->redirect && interface->redirect->ifindex != interface->link.ifindex)
		queue_close(queue, DETACH_INTERFACE_GONE,
			    "another interface has taken this one's name");
	else if (interface_killed(queue))
		queue_close(queue, DETACH_INTERFACE_GONE,
			    "the interface was taken away, and is back");
	else if (queue->id >= interface->details.channels)
		queue_close(queue, DETACH_INTERFACE_GONE,
			    "the interface has fewer receive queues now");
	else
		queue_close(queue, DETACH_REMOVED, "the queue's or interface's settings changed");
}

static void act_on_queue(struct interface *interface, const struct plan_action *action)
{
	struct queue *queue = interface_find_queue(interface, action->queue);

	switch (action->kind) {
	case PLAN_REMOVE_QUEUE:
		interface_remove_queue(interface, action->queue, DETACH_REMOVED);
		break;
	case PLAN_ADD_QUEUE:
		if (interface_add_queue(interface, action->queue, action->settings) < 0)
			log_error("%s queue %u: no memory", interface->name, action->queue);
		break;
	case PLAN_CLOSE_QUEUE:
		if (queue)
			close_one(interface, queue);
		break;
	case PLAN_OPEN_QUEUE:
		if (!queue)
			break;
		queue->settings = action->settings;
		queue_open(queue);
		break;
	default:
		break;
	}
}

static void act(struct daemon *daemon, const struct plan_action *action)
{
	struct interface *interface = daemon_find_interface(daemon, action->device);

	if (action->kind == PLAN_ADD_INTERFACE) {
		daemon_keep_interface(daemon, action->interface);
		return;
	}
	if (!interface)
		return;
	switch (action->kind) {
	case PLAN_DETACH_PROGRAM:
		interface_detach_program(interface);
		break;
	case PLAN_REMOVE_INTERFACE:
		forget_interface(daemon, interface);
		break;
	case PLAN_ATTACH_PROGRAM:
		interface_adopt_config(interface, action->interface);
		(void)interface_attach_program(interface);
		break;
	case PLAN_RESTORE_PROGRAM:
		interface_adopt_config(interface, action->interface);
		(void)interface_restore_program(interface);
		break;
	default:
		act_on_queue(interface, action);
	}
}

/* The list may change under it: who is revoked is taken off, and perhaps others with it. */
static void recheck(struct queue *queue)
{
	struct attachment *attachment = queue->attachments;

	while (attachment) {
		struct attachment *next = attachment->next;

		if (attachment_recheck(attachment))
			attachment = next;
		else
			attachment = queue->attachments;
	}
}

static void adopt_queue_settings(struct interface *interface, struct queue *queue)
{
	queue->settings = config_find_queue(interface->config, queue->id);
	interface_explain_waiting(interface, queue);
	recheck(queue);
	if (queue->share)
		share_reconfigure(queue->share);
}

/* Whoever stays is kept with the settings of the running config from here on, and the old one can go. */
static void adopt_settings(struct daemon *daemon)
{
	for (size_t i = 0; i < daemon->n_interfaces; i++) {
		struct interface *interface = daemon->interfaces[i];

		interface_adopt_config(interface,
				       config_find_interface(daemon->config, interface->name));
		for (size_t j = 0; j < interface->n_queues; j++)
			adopt_queue_settings(interface, interface->queues[j]);
		interface_settle(interface);
	}
}

int daemon_reconcile(struct daemon *daemon)
{
	struct view view;
	struct plan plan;
	int r;

	/* Nothing begins any more. */
	if (daemon->stopping)
		return 0;
	for (size_t i = 0; i < daemon->n_interfaces; i++)
		interface_refresh(daemon->interfaces[i]);
	r = view_take(&view, daemon);
	if (r == 0) {
		r = plan_diff(&plan, daemon->config, view.interfaces, view.n_interfaces);
		if (r == 0) {
			for (size_t i = 0; i < plan.n_actions; i++)
				act(daemon, &plan.actions[i]);
			adopt_settings(daemon);
			plan_clear(&plan);
		}
		view_clear(&view);
	}
	if (r < 0)
		log_error("no memory to compare what is wanted with what there is");
	return r;
}

/* ---- the config changes ---- */

/* Takes a config over; the one before goes, unless it is the file's. On failure it is the one before that stays. */
int daemon_run_config(struct daemon *daemon, struct config *config, struct config *file)
{
	struct config *config_before = daemon->config, *file_before = daemon->file;
	int r;

	daemon->config = config;
	daemon->file = file;
	r = daemon_reconcile(daemon);
	if (r < 0) {
		daemon->config = config_before;
		daemon->file = file_before;
		config_free(config);
		return r;
	}
	/* Nothing points at the old settings any more. */
	if (config_before != file)
		config_free(config_before);
	if (file_before != file && file_before != config_before)
		config_free(file_before);
	return 0;
}

/* Rules that the program's tables can't hold are as wrong as those that can't be read. */
static int check_steering(const struct config *config, struct failure *why)
{
	int r = 0;

	for (size_t i = 0; i < config->n_interfaces && r == 0; i++)
		r = rules_check(&config->interfaces[i], why);
	return r;
}

int daemon_load_config(const char *path, struct config **ret, FILE *report, struct failure *why)
{
	struct config_errors errors = {};
	struct config *config = NULL;
	int r = config_load(path, &config, &errors);

	failure(why, -r, "%s", errors.n_lines ? errors.lines[0] : strerror(-r));
	report_errors(report, &errors);
	config_errors_clear(&errors);
	if (r < 0)
		return r;
	r = check_steering(config, why);
	if (r < 0) {
		fprintf(report, "%s\n", why->text);
		config_free(config);
		return r;
	}
	*ret = config;
	return 0;
}

int daemon_reload(struct daemon *daemon, FILE *report)
{
	struct config *config = NULL;
	struct failure why;
	int r = daemon_load_config(daemon->config_path, &config, report, &why);

	if (r == 0) {
		report_difference(report, daemon->config, config);
		/* Whoever reloads expects that what failed is tried again. */
		for (size_t i = 0; i < daemon->n_interfaces; i++)
			daemon->interfaces[i]->generation++;
		r = daemon_run_config(daemon, config, config);
		if (r < 0)
			failure(&why, -r, "no memory to change the queues");
	}
	daemon->last_reload_ok = r == 0;
	if (r < 0) {
		daemon_tell(daemon, XDPD_EVENT_RELOAD_FAILED, LOG_NOTHING,
			    "reload failed, nothing changed: %s", why.text);
		return r;
	}
	daemon->last_reload = (uint64_t)time(NULL);
	daemon_tell(daemon, XDPD_EVENT_RELOADED, LOG_NOTHING, "reloaded %s", daemon->config_path);
	return 0;
}

/* The fragment's lines are about the request, so the first is the sentence; the others are few and follow. */
static int fail_errors(struct failure *why, int code, struct config_errors *errors)
{
	failure(why, code, "%s", errors->n_lines ? errors->lines[0] : strerror(code));
	for (size_t i = 1; i < errors->n_lines; i++) {
		size_t length = strlen(why->text);

		(void)snprintf(why->text + length, sizeof(why->text) - length, "\n%s",
			       errors->lines[i]);
	}
	config_errors_clear(errors);
	return -code;
}

/* Runs the text that an edit of the running config made; takes it over. */
static int run_text(struct daemon *daemon, char *text, struct failure *why)
{
	cleanup_free char *owned = text;
	struct config_errors errors = {};
	struct config *config;
	int r = config_parse(daemon->config_path, owned, strlen(owned), &config, &errors);

	if (r < 0)
		return fail_errors(why, -r, &errors);
	r = daemon_run_config(daemon, config, daemon->file);
	return r < 0 ? failure(why, -r, "no memory to change the queues") : 0;
}

int daemon_add_queue(struct daemon *daemon, const char *device, const char *fragment,
		     struct failure *why)
{
	struct config_errors errors = {};
	char *text;
	int r = config_text_add_queue(daemon->config_path, daemon->config->source, device, fragment,
				      &text, &errors);

	return r < 0 ? fail_errors(why, -r, &errors) : run_text(daemon, text, why);
}

int daemon_remove_queue(struct daemon *daemon, const char *device, const char *fragment,
			struct failure *why)
{
	const struct interface *interface = daemon_find_interface(daemon, device);
	struct config_errors errors = {};
	char *text;
	int r = config_text_remove_queue(daemon->config_path, daemon->config->source, device,
					 fragment, interface ? interface->details.channels : 0,
					 &text, &errors);

	return r < 0 ? fail_errors(why, -r, &errors) : run_text(daemon, text, why);
}

static const struct config_queue *find_settings(const struct config *config, const char *device,
						uint32_t queue)
{
	const struct config_interface *interface = config_find_interface(config, device);

	return interface ? config_find_queue(interface, queue) : NULL;
}

bool daemon_is_runtime(const struct daemon *daemon, const char *device, uint32_t queue)
{
	const struct config_queue *running, *file;

	if (daemon->file == daemon->config)
		return false;
	running = find_settings(daemon->config, device, queue);
	file = find_settings(daemon->file, device, queue);
	return !running || !file || !config_queue_equal(running, file);
}

/* ---- life ---- */

/* By name, as it may have just appeared, or by index, as it may have just been renamed. */
static bool is_ours(void *context, int ifindex, const char *name)
{
	const struct daemon *daemon = context;

	for (size_t i = 0; i < daemon->n_interfaces; i++)
		if (daemon->interfaces[i]->link.ifindex == ifindex ||
		    !strcmp(daemon->interfaces[i]->name, name))
			return true;
	return false;
}

static int on_link_change(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct daemon *daemon = context;

	(void)source;
	(void)fd;
	(void)events;
	if (nic_drain(daemon->nic, is_ours, daemon))
		(void)daemon_reconcile(daemon);
	return 0;
}

int daemon_init(struct daemon *daemon, sd_event *event, const char *config_path,
		struct config *config, struct failure *why)
{
	int r;

	*daemon = (struct daemon){
		.event = sd_event_ref(event),
		.config_path = config_path,
		.config = config,
		.file = config,
		.started = (uint64_t)time(NULL),
		.last_reload = (uint64_t)time(NULL),
		.last_reload_ok = true,
		.multi_buffer = xsk_takes_fragments(),
	};
	spare_begin(event);
	r = nic_open(&daemon->nic);
	if (r < 0)
		return failure(why, -r, "can't open netlink sockets (%s)", strerrorname_np(-r));
	r = sd_event_add_io(event, &daemon->nic_source, nic_fd(daemon->nic), EPOLLIN,
			    on_link_change, daemon);
	if (r < 0)
		return failure(why, -r, "can't watch for changes of interfaces (%s)",
			       strerrorname_np(-r));
	r = renewer_new(&daemon->renewer, event);
	if (r < 0)
		return failure(why, -r, "can't prepare to renew sockets (%s)", strerrorname_np(-r));
	return 0;
}

static void begin_stop_of_queue(struct queue *queue)
{
	if (queue->interface->redirect)
		redirect_clear(queue->interface->redirect, queue->id);
	for (struct attachment *at = queue->attachments; at; at = at->next)
		at->owner.stopping(at->owner.context, "xdpd is stopping");
}

void daemon_begin_stop(struct daemon *daemon)
{
	daemon_tell(daemon, XDPD_EVENT_STOPPING, LOG_NOTHING, "xdpd is stopping");
	daemon->stopping = true;
	for (size_t i = 0; i < daemon->n_interfaces; i++)
		for (size_t j = 0; j < daemon->interfaces[i]->n_queues; j++)
			begin_stop_of_queue(daemon->interfaces[i]->queues[j]);
}

bool daemon_is_idle(const struct daemon *daemon)
{
	for (size_t i = 0; i < daemon->n_interfaces; i++)
		for (size_t j = 0; j < daemon->interfaces[i]->n_queues; j++)
			if (daemon->interfaces[i]->queues[j]->attachments)
				return false;
	return true;
}

void daemon_stop(struct daemon *daemon)
{
	if (!daemon->stopping)
		daemon_begin_stop(daemon);
	while (daemon->n_interfaces) {
		interface_free(daemon->interfaces[daemon->n_interfaces - 1], DETACH_SHUTDOWN);
		daemon->n_interfaces--;
	}
}

void daemon_free(struct daemon *daemon)
{
	daemon->keep = keep_free(daemon->keep);
	free(daemon->interfaces);
	daemon->nic_source = sd_event_source_disable_unref(daemon->nic_source);
	daemon->nic = nic_close(daemon->nic);
	daemon->renewer = renewer_free(daemon->renewer);
	if (daemon->file != daemon->config)
		config_free(daemon->file);
	daemon->config = config_free(daemon->config);
	totals_clear(&daemon->totals);
	free(daemon->status.interfaces);
	free(daemon->status.changes);
	free(daemon->status.queues);
	free(daemon->status.consumers);
	free(daemon->status.verdicts);
	free(daemon->status.groups);
	free(daemon->status.rules);
	free(daemon->status.workers);
	spare_end();
	daemon->event = sd_event_unref(daemon->event);
}
