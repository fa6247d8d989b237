// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/interface.h"

#include <net/ethernet.h>
#include <string.h>

#include "daemon/cleanup.h"
#include "daemon/daemon.h"
#include "daemon/keep.h"
#include "daemon/log.h"
#include "daemon/share.h"
#include "daemon/state.h"
#include "daemon/uapi.h"
#include "daemon/xsk.h"

/* Microseconds; one's own program is looked at together with whatever else wakes the daemon about then. */
#define LOOK_AT_OTHER (1000 * 1000)
#define LOOK_AT_OURS  (1500 * 1000)
#define LOOK_ACCURACY (1000 * 1000)

const char *const interface_change_names[INTERFACE_CHANGE_COUNT] = {
#define X(constant, name) [constant] = (name),
	INTERFACE_CHANGES(X)
#undef X
};

struct interface *interface_new(struct daemon *daemon, const struct config_interface *config)
{
	struct interface *interface = calloc(1, sizeof(*interface));

	if (!interface)
		return NULL;
	interface->daemon = daemon;
	interface->generation = 1;
	(void)snprintf(interface->name, sizeof(interface->name), "%s", config->name);
	interface_adopt_config(interface, config);
	return interface;
}

struct interface *interface_free(struct interface *interface, enum detach_reason reason)
{
	if (!interface)
		return NULL;
	while (interface->n_queues)
		interface_remove_queue(interface, interface->queues[interface->n_queues - 1]->id,
				       reason);
	interface_detach_program(interface);
	sd_event_source_disable_unref(interface->look);
	rules_clear(&interface->rules);
	free(interface->queues);
	free(interface);
	return NULL;
}

static const enum xdpd_event_kind change_events[INTERFACE_CHANGE_COUNT] = {
	[CHANGE_APPEARED] = XDPD_EVENT_INTERFACE_APPEARED,
	[CHANGE_GONE] = XDPD_EVENT_INTERFACE_GONE,
	[CHANGE_LINK_UP] = XDPD_EVENT_LINK_UP,
	[CHANGE_LINK_DOWN] = XDPD_EVENT_LINK_DOWN,
	[CHANGE_QUEUES] = XDPD_EVENT_INTERFACE_CHANGED,
	[CHANGE_MTU] = XDPD_EVENT_INTERFACE_CHANGED,
	[CHANGE_PROGRAM_LOST] = XDPD_EVENT_INTERFACE_CHANGED,
	[CHANGE_PROGRAM_RESTORED] = XDPD_EVENT_INTERFACE_CHANGED,
	[CHANGE_PROGRAM_REPLACED] = XDPD_EVENT_INTERFACE_CHANGED,
};

__attribute__((format(printf, 3, 4))) static void tell(struct interface *interface,
						       enum interface_change change,
						       const char *format, ...)
{
	const struct log_context about = {.device = interface->name, .queue = UINT32_MAX};
	char text[XDPD_REASON_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (interface->seen)
		interface->changes[change]++;
	daemon_tell(interface->daemon, change_events[change], about, "%s", text);
}

static bool is_up(const struct nic_link *link)
{
	return link->up && link->carrier;
}

/* Not the carrier, which comes and goes with a driver's reset, and not our own program. */
static bool differs(const struct interface *interface, const struct nic_link *link,
		    uint32_t channels)
{
	const struct nic_link *now = &interface->link;
	const struct redirect *redirect = interface->redirect;
	bool foreign_program =
		now->program_id && !(redirect && redirect->program_id == now->program_id);

	return now->ifindex != link->ifindex || now->up != link->up || now->mtu != link->mtu ||
	       now->rx_queues_max != link->rx_queues_max ||
	       interface->details.channels != channels ||
	       (interface->why.code == EBUSY && !foreign_program);
}

bool interface_is_hopeless(const struct interface *interface)
{
	return interface->failed_generation == interface->generation;
}

bool interface_may_restore(const struct interface *interface)
{
	return interface->lost && !interface_is_hopeless(interface);
}

bool interface_killed(const struct queue *queue)
{
	return queue->xsk.fd >= 0 && queue->xsk.bound != XDPD_BIND_NONE &&
	       !xsk_is_bound(&queue->xsk);
}

static bool has_been_away(const struct interface *interface)
{
	for (size_t i = 0; i < interface->n_queues; i++)
		if (interface_killed(interface->queues[i]))
			return true;
	return false;
}

/* An administrator can detach a bpf_link, or put another program into it. */
static void look_at_program(struct interface *interface)
{
	const struct redirect *redirect = interface->redirect;
	const bool lost = redirect && redirect->ifindex == interface->link.ifindex &&
			  !redirect_is_attached(redirect);

	if (lost && !interface->lost) {
		interface->generation++;
		failure(&interface->why, ENOENT,
			"%s: somebody took xdpd's XDP program off, or replaced it",
			interface->name);
		tell(interface, CHANGE_PROGRAM_LOST, "somebody took xdpd's XDP program, id %u, off",
		     redirect->program_id);
	}
	if (!lost && interface->lost)
		interface->why = (struct failure){};
	interface->lost = lost;
}

static void tell_changes(struct interface *interface, const struct nic_link *before,
			 uint32_t channels)
{
	const struct nic_link *now = &interface->link;

	if (now->ifindex != before->ifindex || !now->ifindex)
		return;
	if (interface->details.channels != channels)
		tell(interface, CHANGE_QUEUES, "%u receive queues, %u before",
		     interface->details.channels, channels);
	if (now->mtu != before->mtu)
		tell(interface, CHANGE_MTU, "MTU %u, %u before", now->mtu, before->mtu);
}

static void tell_presence(struct interface *interface, const struct nic_link *before)
{
	struct nic_link link = *before;
	const struct nic_link *now = &interface->link;
	const bool another = before->ifindex != now->ifindex || has_been_away(interface);

	if (before->ifindex && another)
		tell(interface, CHANGE_GONE, "the interface is gone");
	if (now->ifindex && another) {
		tell(interface, CHANGE_APPEARED, "the interface is there");
		link = (struct nic_link){};
	}
	if (now->ifindex && is_up(now) != is_up(&link))
		tell(interface, is_up(now) ? CHANGE_LINK_UP : CHANGE_LINK_DOWN, "%s",
		     is_up(now) ? "link up"
		     : now->up	? "no carrier"
				: "link down");
}

void interface_refresh(struct interface *interface)
{
	struct nic *nic = interface->daemon->nic;
	struct nic_link before = interface->link;
	uint32_t channels_before = interface->details.channels;
	struct nic_link *now = &interface->link;
	int r = nic_find(nic, interface->name, now);

	if (r < 0) {
		log_write(LOG_WARNING,
			  (struct log_context){.device = interface->name, .queue = UINT32_MAX},
			  "can't ask the kernel about the interface: %s", strerror(-r));
		return;
	}
	if (now->ifindex)
		nic_inspect(nic, now, &interface->details);
	else
		interface->details = (struct nic_details){};
	if (differs(interface, &before, channels_before))
		interface->generation++;

	tell_presence(interface, &before);
	tell_changes(interface, &before, channels_before);
	look_at_program(interface);
	interface->seen = true;
}

static void log_lines(const struct interface *interface, const char *lines)
{
	const struct log_context about = {.device = interface->name, .queue = UINT32_MAX};

	while (*lines) {
		size_t length = strcspn(lines, "\n");

		log_write(LOG_ERR, about, "verifier: %.*s", (int)length, lines);
		lines += length + (lines[length] == '\n');
	}
}

static void keep_looking(struct interface *interface);

static int on_look(sd_event_source *source, uint64_t now, void *context)
{
	struct interface *interface = context;
	const struct redirect *redirect = interface->redirect;

	(void)source;
	(void)now;
	keep_looking(interface);
	if (!redirect || interface->lost || !redirect_is_attached(redirect))
		(void)daemon_reconcile(interface->daemon);
	return 0;
}

/* Netlink does not tell of the end of a bpf_link, another's or one's own, nor of another program in it. */
static void keep_looking(struct interface *interface)
{
	const bool occupied = interface->why.code == EBUSY;

	interface->look = sd_event_source_disable_unref(interface->look);
	if (!interface->redirect && !occupied)
		return;
	(void)sd_event_add_time_relative(interface->daemon->event, &interface->look,
					 CLOCK_MONOTONIC, occupied ? LOOK_AT_OTHER : LOOK_AT_OURS,
					 occupied ? 0 : LOOK_ACCURACY, on_look, interface);
}

/* ---- groups and rules ---- */

static uint32_t find_bit(const struct interface *interface, const char *name)
{
	uint32_t bit = 0;

	while (bit < XDPD_GROUPS_MAX && strcmp(interface->groups[bit], name))
		bit++;
	return bit;
}

uint32_t interface_group_bit(const struct interface *interface, const char *name)
{
	return find_bit(interface, name);
}

/* Some queue has a group there that is in use: of this name, or of another. */
static bool is_used(const struct interface *interface, uint32_t bit, const char *name, bool same)
{
	for (size_t i = 0; i < interface->n_queues; i++) {
		const struct share *share = interface->queues[i]->share;
		const char *used = share ? share_group(share, bit) : "";

		if (used[0] && !strcmp(used, name) == same)
			return true;
	}
	return false;
}

/*
 * Where its members are already, as frames pass to the kernel's stack while a group moves; or where nobody has to make
 * room for it. There are fewer groups in a config than bits.
 */
static uint32_t choose_bit(const struct interface *interface, const char *name)
{
	uint32_t empty = XDPD_GROUPS_MAX, unused = XDPD_GROUPS_MAX;

	for (uint32_t bit = XDPD_GROUPS_MAX; bit-- > 0;) {
		if (interface->groups[bit][0])
			continue;
		empty = bit;
		if (is_used(interface, bit, name, false))
			continue;
		unused = bit;
		if (is_used(interface, bit, name, true))
			return bit;
	}
	return unused < XDPD_GROUPS_MAX ? unused : empty;
}

static void place_groups(struct interface *interface, const struct config_interface *config)
{
	for (uint32_t bit = 0; bit < XDPD_GROUPS_MAX; bit++)
		if (!config_find_group(config, interface->groups[bit]))
			interface->groups[bit][0] = '\0';
	for (size_t i = 0; i < config->n_groups; i++) {
		const char *name = config->groups[i].name;

		if (find_bit(interface, name) == XDPD_GROUPS_MAX)
			(void)snprintf(interface->groups[choose_bit(interface, name)],
				       XDPD_NAME_MAX, "%s", name);
	}
}

static void log_failure(const struct interface *interface, const struct failure *why)
{
	const struct log_context about = {.device = interface->name, .queue = UINT32_MAX};

	log_write(LOG_ERR, about, "%s", why->text);
}

void interface_adopt_config(struct interface *interface, const struct config_interface *config)
{
	uint8_t slots[CONFIG_GROUPS_MAX] = {};
	struct failure why;

	/* Whoever changes the config or loads it anew has been told. */
	if (interface->config != config)
		interface->displaced[0] = '\0';
	interface->config = config;
	place_groups(interface, config);
	for (size_t i = 0; i < config->n_groups; i++)
		slots[i] = (uint8_t)find_bit(interface, config->groups[i].name);
	/* The rules in force stay so. */
	if (rules_want(&interface->rules, config, slots, &why) < 0)
		log_failure(interface, &why);
}

static bool settle_queues(struct interface *interface)
{
	const bool names_groups = rules_name_groups(&interface->rules);
	bool settled = true;

	for (size_t i = 0; i < interface->n_queues; i++)
		if (interface->queues[i]->share)
			settled &= share_settle(interface->queues[i]->share, names_groups);
	return settled;
}

static bool put_rules_in_force(struct interface *interface)
{
	struct failure why;
	int r = rules_put_in_force(&interface->rules, interface->redirect);

	if (r < 0) {
		failure(&why, -r, "%s: can't put its rules in force (%s); the ones before stay",
			interface->name, strerrorname_np(-r));
		log_failure(interface, &why);
	}
	return r == 0;
}

/*
 * Rules that send frames to some groups only come when the workers look for marks, and those that do not need marks
 * before the workers stop to. Who is told on the way may end, and that is something to settle in turn.
 */
void interface_settle(struct interface *interface)
{
	bool more = true;

	interface->unsettled = true;
	if (interface->settling)
		return;
	interface->settling = true;
	while (interface->unsettled || more) {
		interface->unsettled = false;
		more = settle_queues(interface) && interface->redirect &&
		       rules_are_pending(&interface->rules) && put_rules_in_force(interface);
	}
	interface->settling = false;
}

/* ---- the program ---- */

/* Makes room for the program where the config says so. Returns 0, or -errno with a sentence. */
static int displace_other(struct interface *interface, struct failure *why)
{
	struct redirect_displaced other;
	int r = redirect_displace(&other, interface->name, interface->link.ifindex, why);

	if (r < 0 || !other.program_id)
		return r;
	(void)snprintf(interface->displaced, sizeof(interface->displaced),
		       "%s: another XDP program%s%s%s, id %u, was attached and was taken off "
		       "(`replace: true`)",
		       interface->name, other.name[0] ? ", `" : "", other.name,
		       other.name[0] ? "`" : "", other.program_id);
	tell(interface, CHANGE_PROGRAM_REPLACED, "%s", interface->displaced);
	return 0;
}

/* Notes how an attempt to attach the program ended, and says it if it is news. */
static void conclude(struct interface *interface, int result, const struct failure *why,
		     const char *verifier_log)
{
	const bool news = strcmp(interface->why.text, why->text) != 0;

	interface->why = *why;
	interface->failed_generation = result < 0 ? interface->generation : 0;
	keep_looking(interface);
	if (result == 0 || !news)
		return;
	log_failure(interface, why);
	if (verifier_log)
		log_lines(interface, verifier_log);
}

static int attach(struct interface *interface, struct failure *why, char **verifier_log)
{
	uint32_t slots = interface->details.channels;

	/* Channels can be raised up to what the interface was created for, without a new program. */
	if (interface->link.rx_queues_max > slots)
		slots = interface->link.rx_queues_max;
	return redirect_attach(&interface->redirect, interface->name, interface->link.ifindex,
			       slots, interface->config->mode, interface->daemon->multi_buffer, why,
			       verifier_log);
}

int interface_attach_program(struct interface *interface)
{
	const struct log_context about = {.device = interface->name, .queue = UINT32_MAX};
	cleanup_free char *verifier_log = NULL;
	struct failure why = {};
	int r = attach(interface, &why, &verifier_log);

	if (r == -EBUSY && interface->config->replace) {
		r = displace_other(interface, &why);
		if (r == 0)
			r = attach(interface, &why, &verifier_log);
	}
	if (r == 0)
		why = (struct failure){};
	conclude(interface, r, &why, verifier_log);
	if (r < 0)
		return r;
	/* Before any queue is redirected. */
	(void)put_rules_in_force(interface);
	keep_program(interface->daemon->keep, interface);
	log_write(LOG_INFO, about, "XDP program attached (%s mode, id %u)",
		  interface->redirect->mode == XDPD_MODE_NATIVE ? "native" : "generic",
		  interface->redirect->program_id);
	return 0;
}

int interface_restore_program(struct interface *interface)
{
	struct redirect *redirect = interface->redirect;
	struct failure why = {};
	int r = redirect_reattach(redirect, interface->name, &why);

	if (r == -EBUSY && interface->config->replace) {
		r = displace_other(interface, &why);
		if (r == 0)
			r = redirect_reattach(redirect, interface->name, &why);
	}
	if (r == 0)
		why = (struct failure){};
	conclude(interface, r, &why, NULL);
	if (r < 0)
		return r;
	interface->lost = false;
	/* It has another link. The rest is removed first as well: a store does not take the same file by another name. */
	keep_no_program(interface->daemon->keep, interface);
	(void)keep_now(interface->daemon->keep);
	keep_program(interface->daemon->keep, interface);
	tell(interface, CHANGE_PROGRAM_RESTORED, "xdpd's XDP program, id %u, is attached again",
	     redirect->program_id);
	return 0;
}

void interface_detach_program(struct interface *interface)
{
	struct redirect *redirect = interface->redirect;

	if (!redirect)
		return;
	(void)redirect_read_counters(redirect);
	for (uint32_t queue = 0; queue < redirect->queues; queue++) {
		struct totals *totals =
			totals_get(&interface->daemon->totals, interface->name, queue);

		if (totals)
			verdicts_add(&totals->verdicts, &redirect->seen[queue]);
	}
	rules_suspend(&interface->rules, redirect);
	interface->redirect = NULL;
	interface->lost = false;
	interface->displaced[0] = '\0';
	keep_no_program(interface->daemon->keep, interface);
	/* What it counted is saved before it goes. */
	(void)keep_now(interface->daemon->keep);
	redirect_detach(redirect);
}

/* ---- between processes ---- */

void interface_save(const struct interface *interface, struct saved_interface *ret)
{
	const struct redirect *redirect = interface->redirect;
	const struct rules *rules = &interface->rules;

	*ret = (struct saved_interface){
		.key = interface->key,
		.counting = rules->counting,
		.retired = {rules->retired.packets, rules->retired.bytes},
		.plain = {rules->plain.packets, rules->plain.bytes},
	};
	(void)snprintf(ret->device, sizeof(ret->device), "%s", interface->name);
	memcpy(ret->groups, interface->groups, sizeof(ret->groups));
	memcpy(ret->changes, interface->changes, sizeof(ret->changes));
	if (!redirect)
		return;
	ret->ifindex = (uint32_t)redirect->ifindex;
	ret->slots = redirect->queues;
	ret->mode = redirect->mode;
	ret->multi_buffer = redirect->multi_buffer;
	ret->program_id = redirect->program_id;
	ret->bank = redirect->bank;
	ret->steered = redirect->steered;
}

static void close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fds[i] = close_fd(fds[i]);
}

int interface_adopt(struct interface *interface, const struct saved_interface *saved,
		    const struct saved_rule *rules, size_t n_rules, int fds[REDIRECT_PARTS])
{
	const struct redirect_remains remains = {
		.ifindex = (int)saved->ifindex,
		.queues = saved->slots,
		.mode = saved->mode,
		.multi_buffer = saved->multi_buffer,
		.steered = saved->steered,
		.bank = saved->bank,
	};
	struct saved_interface without = *saved;
	int r = -ENODEV;

	/* The config's names get the bits that they had. */
	memcpy(interface->groups, saved->groups, sizeof(interface->groups));
	interface_adopt_config(interface, interface->config);
	memcpy(interface->changes, saved->changes, sizeof(interface->changes));
	if (saved->slots && saved->ifindex == (uint32_t)interface->link.ifindex)
		r = redirect_adopt(&interface->redirect, fds, &remains);
	else
		close_all(fds, REDIRECT_PARTS);
	if (r == 0)
		interface->key = saved->key;
	else
		without.counting = false;
	rules_adopt(&interface->rules, &without, rules, n_rules);
	keep_looking(interface);
	return r;
}

/* ---- queues ---- */

/* Where the queue is, or would have to be inserted. */
static size_t position_of(const struct interface *interface, uint32_t id)
{
	size_t at = 0;

	while (at < interface->n_queues && interface->queues[at]->id < id)
		at++;
	return at;
}

struct queue *interface_find_queue(const struct interface *interface, uint32_t id)
{
	size_t at = position_of(interface, id);

	return at < interface->n_queues && interface->queues[at]->id == id ? interface->queues[at]
									   : NULL;
}

void interface_explain_waiting(const struct interface *interface, struct queue *queue)
{
	const uint32_t channels = interface->details.channels;

	if (queue->state != XDPD_QUEUE_WAITING)
		return;
	if (!interface->link.ifindex)
		failure(&queue->why, ENETDOWN,
			"%s queue %u: there is no such interface now (ENETDOWN)", interface->name,
			queue->id);
	else if (queue->id >= channels)
		failure(&queue->why, ENOENT,
			"%s queue %u: the interface has only queues 0 to %u (ENOENT); see "
			"`ethtool -l %s`",
			interface->name, queue->id, channels - 1, interface->name);
}

int interface_add_queue(struct interface *interface, uint32_t id,
			const struct config_queue *settings)
{
	size_t at = position_of(interface, id);
	struct queue **grown =
		reallocarray(interface->queues, interface->n_queues + 1, sizeof(*grown));
	struct queue *queue;

	if (!grown)
		return -ENOMEM;
	interface->queues = grown;
	queue = queue_new(interface, id, settings);
	if (!queue)
		return -ENOMEM;
	interface_explain_waiting(interface, queue);
	memmove(grown + at + 1, grown + at, (interface->n_queues - at) * sizeof(*grown));
	grown[at] = queue;
	interface->n_queues++;
	return 0;
}

void interface_remove_queue(struct interface *interface, uint32_t id, enum detach_reason reason)
{
	size_t at = position_of(interface, id);

	if (at == interface->n_queues || interface->queues[at]->id != id)
		return;
	/* Off the list only when it is closed, so that whoever hears of its end finds it consistent. */
	queue_close(interface->queues[at], reason,
		    reason == DETACH_SHUTDOWN ? "xdpd is stopping" : "the queue was removed");
	queue_free(interface->queues[at]);
	interface->n_queues--;
	memmove(interface->queues + at, interface->queues + at + 1,
		(interface->n_queues - at) * sizeof(*interface->queues));
}

struct xdpd_bpf_counter interface_frames_seen(const struct interface *interface)
{
	struct xdpd_bpf_counters sum = {};
	struct xdpd_bpf_counter all = {};

	totals_sum_verdicts(&interface->daemon->totals, interface->name, &sum);
	for (uint32_t queue = 0; interface->redirect && queue < interface->redirect->queues;
	     queue++)
		verdicts_add(&sum, &interface->redirect->seen[queue]);
	for (int i = 0; i < XDPD_VERDICT_COUNT; i++) {
		all.packets += sum.verdict[i].packets;
		all.bytes += sum.verdict[i].bytes;
	}
	return all;
}

/* Frames that a queue's are too short for go to the kernel's stack. */
static void describe_oversize(const struct interface *interface, char *ret, size_t size)
{
	const uint32_t longest = interface->link.mtu + ETH_HLEN;

	for (size_t i = 0; i < interface->n_queues; i++) {
		const struct config_queue *settings = interface->queues[i]->settings;
		const uint32_t room =
			settings->frame_size - UAPI_XDP_PACKET_HEADROOM - settings->headroom;

		if (longest <= room)
			continue;
		(void)snprintf(ret, size,
			       "%s: with its MTU of %u frames can be longer than the %u bytes that "
			       "queue %u has room for; those go to the kernel's stack, counted as "
			       "pass_oversize; %s or lower the MTU to %u",
			       interface->name, interface->link.mtu, room, interface->queues[i]->id,
			       settings->frame_size < 4096 ? "set `frame_size: 4096`"
							   : "lower `headroom`",
			       room - ETH_HLEN);
		return;
	}
}

void interface_describe(const struct interface *interface, struct xdpd_interface_record *ret)
{
	const struct redirect *redirect = interface->redirect;

	*ret = (struct xdpd_interface_record){
		.ifindex = (uint32_t)interface->link.ifindex,
		.up = is_up(&interface->link),
		.mtu = interface->link.mtu,
		.channels = interface->details.channels,
		.wanted_mode = interface->config->mode,
		.mode = redirect ? redirect->mode : XDPD_MODE_NONE,
		.wanted_bind = interface->config->bind,
		.program_id = redirect ? redirect->program_id : 0,
		.xdp_features = interface->details.xdp_features,
		.zero_copy_segments = interface->details.zero_copy_segments,
		.multi_buffer = redirect && redirect->multi_buffer,
		.queues = (uint32_t)interface->n_queues,
	};
	(void)snprintf(ret->device, sizeof(ret->device), "%s", interface->name);
	(void)snprintf(ret->driver, sizeof(ret->driver), "%s", interface->details.driver);
	if (!interface->link.ifindex)
		(void)snprintf(ret->reason, sizeof(ret->reason),
			       "%s: there is no such interface yet", interface->name);
	else
		(void)snprintf(ret->reason, sizeof(ret->reason), "%s", interface->why.text);
	if (interface->displaced[0])
		(void)snprintf(ret->note, sizeof(ret->note), "%s", interface->displaced);
	else
		describe_oversize(interface, ret->note, sizeof(ret->note));
	for (size_t i = 0; i < interface->n_queues; i++)
		ret->queues_ready += interface->queues[i]->state == XDPD_QUEUE_READY ||
				     interface->queues[i]->state == XDPD_QUEUE_ATTACHED;
}
