// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/share.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "daemon/attachment.h"
#include "daemon/cleanup.h"
#include "daemon/daemon.h"
#include "daemon/interface.h"
#include "daemon/keep.h"
#include "daemon/log.h"
#include "daemon/queue.h"
#include "daemon/quota.h"
#include "daemon/sealed.h"
#include "daemon/share_internal.h"

struct share *share_new(struct queue *queue)
{
	struct share *share = calloc(1, sizeof(*share));

	if (!share)
		return NULL;
	share->queue = queue;
	share->ledger = LEDGER_NONE;
	share_reconfigure(share);
	return share;
}

struct share *share_free(struct share *share)
{
	free(share);
	return NULL;
}

/* ---- groups ---- */

uint32_t share_find_group(const struct share *share, const char *name)
{
	uint32_t bit = 0;

	while (bit < XDPD_GROUPS_MAX && strcmp(share->groups[bit].name, name))
		bit++;
	return bit;
}

/* From the top, as the config's names take theirs from the bottom [interface.h]. */
static uint32_t find_free_bit(const struct group groups[XDPD_GROUPS_MAX])
{
	uint32_t bit = XDPD_GROUPS_MAX;

	while (bit-- > 0)
		if (!groups[bit].name[0])
			return bit;
	return XDPD_GROUPS_MAX;
}

const char *share_group(const struct share *share, uint32_t bit)
{
	return share->groups[bit].references ? share->groups[bit].name : "";
}

/* One name has one bit on all queues where that can be, so that a config which names it moves none. */
static uint32_t find_bit_elsewhere(const struct share *share, const char *name)
{
	const struct interface *interface = share->queue->interface;

	for (size_t i = 0; i < interface->n_queues; i++) {
		const struct share *other = interface->queues[i]->share;
		uint32_t bit = other ? share_find_group(other, name) : XDPD_GROUPS_MAX;

		if (bit < XDPD_GROUPS_MAX && !share->groups[bit].name[0])
			return bit;
	}
	return XDPD_GROUPS_MAX;
}

static void forget_if_unused(struct group *group)
{
	if (!group->references && !group->config)
		*group = (struct group){};
}

/* ---- what the config says ---- */

static void place_configured(struct share *share, struct group groups[LIMBO + 1])
{
	const struct interface *interface = share->queue->interface;

	for (size_t i = 0; i < interface->config->n_groups; i++) {
		const struct config_group *config = &interface->config->groups[i];
		uint32_t bit = interface_group_bit(interface, config->name);
		uint32_t before = share_find_group(share, config->name);

		if (before < XDPD_GROUPS_MAX)
			groups[bit] = share->groups[before];
		(void)snprintf(groups[bit].name, sizeof(groups[bit].name), "%s", config->name);
		groups[bit].config = config;
	}
}

/* True if somebody's bit is another now. */
static bool move_members(struct share *share, const uint8_t to[LIMBO + 1])
{
	bool moved = false;

	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++) {
		struct member *member = share->members[slot];

		if (!member)
			continue;
		moved |= to[member->group] != member->group;
		member->group = to[member->group];
	}
	for (struct member *member = share->leaving; member; member = member->next)
		member->group = to[member->group];
	return moved;
}

/* As configured, or as large as the kernel's needs leave: half of what can be lent. */
uint32_t share_quota_of(const struct share *share, const struct group *group)
{
	const uint32_t lendable = queue_lendable(share->queue);
	const uint32_t quota =
		group->config && group->config->quota ? group->config->quota : lendable / 2;

	return quota < lendable ? quota : lendable;
}

static void apply_quotas(struct share *share)
{
	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++) {
		struct member *member = share->members[slot];

		if (member && !member->tap)
			__atomic_store_n(&member->handoff->quota,
					 share_quota_of(share, &share->groups[member->group]),
					 __ATOMIC_RELAXED);
	}
}

static void report_denied(const struct share *share, const struct worker_denied *denied)
{
	const struct log_context about = {.device = device_of(share), .queue = share->queue->id};

	if (denied->text[0])
		log_write(LOG_WARNING, about, "%s queue %u: %s", device_of(share), share->queue->id,
			  denied->text);
}

/* Groups that no config names keep their bits where they can. `to` says where each went. */
static void place_others(struct share *share, struct group groups[LIMBO + 1], uint8_t to[LIMBO + 1])
{
	const struct interface *interface = share->queue->interface;

	for (uint32_t bit = 0; bit <= LIMBO; bit++) {
		const struct group *group = &share->groups[bit];
		uint32_t place = bit;

		if (config_find_group(interface->config, group->name)) {
			to[bit] = (uint8_t)interface_group_bit(interface, group->name);
			continue;
		}
		if (!group->references)
			continue;
		if (groups[place].name[0])
			place = find_free_bit(groups);
		to[bit] = (uint8_t)place;
		if (place == LIMBO && groups[LIMBO].name[0]) {
			groups[LIMBO].members += group->members;
			groups[LIMBO].references += group->references;
			continue;
		}
		groups[place] = *group;
		groups[place].config = NULL;
	}
}

static void revoke_limbo(struct share *share)
{
	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++) {
		const struct member *member = share->members[slot];
		char why[XDPD_REASON_MAX];

		if (!member || member->group != LIMBO)
			continue;
		(void)snprintf(
			why, sizeof(why),
			"%s queue %u: the config has so many groups now that none is left for "
			"`%s` (EUSERS)",
			device_of(share), share->queue->id, member->places.group);
		attachment_revoke(member->attachment, DETACH_REMOVED, EUSERS, why);
	}
}

void share_reconfigure(struct share *share)
{
	const struct config_worker *settings = &share->queue->settings->worker;
	struct group groups[LIMBO + 1] = {};
	uint8_t to[LIMBO + 1] = {};
	struct worker_denied denied;
	bool moved;

	place_configured(share, groups);
	place_others(share, groups, to);
	moved = move_members(share, to);
	memcpy(share->groups, groups, sizeof(groups));
	apply_quotas(share);
	share->stale |= moved;
	share->moved |= moved;
	revoke_limbo(share);
	if (share->worker && memcmp(&share->settings, settings, sizeof(*settings))) {
		share->settings = *settings;
		worker_configure(share->worker, settings, &denied);
		report_denied(share, &denied);
	}
}

/* ---- members ---- */

/* One uid shall not be able to keep all others out. */
struct uses {
	uint32_t members, groups;
};

static struct uses count_uses(const struct share *share, uid_t uid)
{
	struct uses uses = {};
	uint64_t seen = 0;

	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++) {
		const struct member *member = share->members[slot];

		if (!member || member->attachment->uid != uid)
			continue;
		uses.members++;
		if (!(seen & UINT64_C(1) << member->group) && !share->groups[member->group].config)
			uses.groups++;
		seen |= UINT64_C(1) << member->group;
	}
	return uses;
}

static int find_slot(const struct share *share, uid_t uid, uint32_t *ret, struct failure *why)
{
	const struct uses uses = count_uses(share, uid);

	if (uid != 0 && uses.members >= QUOTA_MEMBERS)
		return failure(
			why, EUSERS,
			"%s queue %u: uid %u has %u consumers there, which is as many as one user "
			"may (EUSERS)",
			device_of(share), share->queue->id, uid, uses.members);
	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++) {
		if (!share->members[slot]) {
			*ret = slot;
			return 0;
		}
	}
	return failure(why, EUSERS, "%s queue %u: has %d consumers, which is the most (EUSERS)",
		       device_of(share), share->queue->id, ROSTER_MEMBERS);
}

/* The group's bit, made if it is not there. */
static int find_or_make_group(struct share *share, const char *name, uid_t uid, uint32_t *ret,
			      struct failure *why)
{
	uint32_t bit = share_find_group(share, name);

	if (bit < XDPD_GROUPS_MAX) {
		*ret = bit;
		return 0;
	}
	if (uid != 0 && count_uses(share, uid).groups >= QUOTA_GROUPS)
		return failure(
			why, EUSERS,
			"%s queue %u: uid %u has made %d groups there, which is as many as one "
			"user may (EUSERS); join one of them, or name the group in the config",
			device_of(share), share->queue->id, uid, QUOTA_GROUPS);
	bit = find_bit_elsewhere(share, name);
	if (bit == XDPD_GROUPS_MAX)
		bit = find_free_bit(share->groups);
	if (bit == XDPD_GROUPS_MAX)
		return failure(
			why, EUSERS,
			"%s queue %u: has %d groups, which is the most (EUSERS); join one of them, "
			"see `xdpctl show groups`",
			device_of(share), share->queue->id, XDPD_GROUPS_MAX);
	(void)snprintf(share->groups[bit].name, sizeof(share->groups[bit].name), "%s", name);
	*ret = bit;
	return 0;
}

static int choose_mode(const struct share *share, const struct group *group, uint32_t flags,
		       bool *ret_tap, struct failure *why)
{
	const bool only_tap = group->config && group->config->mode == XDPD_TAP;

	if (flags & XDPD_ATTACH_HOLD && only_tap)
		return failure(
			why, EACCES,
			"%s queue %u: group `%s` may only tap (EACCES); attach as a tap, or set "
			"`mode: hold` for the group",
			device_of(share), share->queue->id, group->name);
	*ret_tap = flags & XDPD_ATTACH_TAP || only_tap;
	return 0;
}

static struct handoff_memory describe_memory(const struct queue *queue)
{
	return (struct handoff_memory){
		.frames = queue->umem.frames,
		.receive_frames = queue->receive_frames,
		.frame_size = queue->umem.frame_size,
	};
}

static struct member_options describe_member(const struct queue *queue, bool transmit)
{
	return (struct member_options){
		.transmit = transmit,
		.rings = &queue->settings->rings,
		.frames = queue->umem.frames,
		.frame_size = queue->umem.frame_size,
	};
}

void share_expect(const struct share *share)
{
	const struct handoff_memory memory = describe_memory(share->queue);
	const struct member_options options = describe_member(share->queue, false);

	ledger_expect(&memory);
	member_expect(&options);
}

/* Made when the first is attached. */
static int make_ledger(struct share *share)
{
	const struct handoff_memory memory = describe_memory(share->queue);

	return share->ledger.content ? 0 : ledger_create(&share->ledger, &memory);
}

static int fail_create(const struct share *share, int code, struct failure *why)
{
	return failure(why, code, "%s queue %u: no memory for a consumer's rings (%s)%s",
		       device_of(share), share->queue->id, strerrorname_np(code),
		       code == EMFILE ? "; raise LimitNOFILE=" : "");
}

int share_admit(struct share *share, struct attachment *attachment, const char *group_name,
		uint32_t flags, bool transmit, struct member **ret, struct failure *why)
{
	struct queue *queue = share->queue;
	struct member_options options = describe_member(queue, transmit);
	struct member *member;
	struct group *group;
	uint32_t slot = 0, bit = 0;
	int r;

	/*
	 * Slot and place in the ledger may be those of one that has left. As long as the state has that one in them, a
	 * next process would take this one's ledger for it.
	 */
	(void)keep_ends_now(queue->interface->daemon->keep);
	r = find_slot(share, attachment->uid, &slot, why);
	if (r == 0)
		r = find_or_make_group(share, group_name, attachment->uid, &bit, why);
	if (r < 0)
		return r;
	group = &share->groups[bit];
	r = choose_mode(share, group, flags, &options.tap, why);
	options.quota = share_quota_of(share, group);
	if (r == 0) {
		r = make_ledger(share);
		options.ledger = &share->ledger;
		if (r == 0)
			r = member_create(&member, &options);
		if (r < 0)
			fail_create(share, -r, why);
	}
	if (r < 0) {
		if (!share->n_members)
			ledger_close(&share->ledger);
		forget_if_unused(group);
		return r;
	}
	member->attachment = attachment;
	member->slot = slot;
	member->group = bit;
	group->members++;
	group->references++;
	share->members[slot] = member;
	share->n_members++;
	(void)snprintf(member->places.group, sizeof(member->places.group), "%s", group->name);
	*ret = member;
	return 0;
}

bool share_may_stay(const struct share *share, const struct member *member)
{
	const struct config_group *config =
		config_find_group(share->queue->interface->config, member->places.group);

	return member->tap || !config || config->mode == XDPD_HOLD;
}

/* The worker touches it no more: what it counted is the group's from here on. */
static void retire(struct share *share, struct member *member)
{
	struct group *group = &share->groups[member->group];
	const struct member_counters *counters = &member->handoff->counters;
	struct group_totals *totals = &group->totals;

	totals->receive_packets += counters->receive_packets;
	totals->receive_bytes += counters->receive_bytes;
	totals->dropped_ring_full += counters->dropped_ring_full;
	totals->dropped_quota += counters->dropped_quota;
	totals->overrun += member_overrun(member);
	totals->transmit_packets += counters->transmit_packets;
	totals->transmit_bytes += counters->transmit_bytes;
	keep_soon(share->queue->interface->daemon->keep);
	group->references--;
	forget_if_unused(group);
	if (share->worker && member->state != MEMBER_GRANTED)
		worker_unhear(share->worker, member->handoff->socket_fd);
	member_free(member, member->reads_on ? share->queue->interface->daemon->event : NULL);
}

/* ---- rosters ---- */

struct audience {
	struct roster_candidate of[ROSTER_MEMBERS];
	uint32_t n;
};

static bool has_joined(const struct member *member)
{
	return member && member->state != MEMBER_GRANTED;
}

static void gather(const struct share *share, uint32_t group, struct audience *ret)
{
	ret->n = 0;
	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++) {
		const struct member *member = share->members[slot];

		if (has_joined(member) && member->group == group)
			ret->of[ret->n++] = (struct roster_candidate){.slot = (uint8_t)slot,
								      .key = member->key};
	}
}

/* Frames have to be told apart if a group has several members, or some frames are not for all groups that are here. */
static bool needs_marks(const struct share *share, bool names_groups)
{
	uint32_t counts[LIMBO + 1] = {}, groups = 0;
	bool several = false;

	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++) {
		if (!has_joined(share->members[slot]))
			continue;
		if (counts[share->members[slot]->group]++)
			several = true;
		else
			groups++;
	}
	return several || (names_groups && groups > 1);
}

/*
 * Slots whose member is the same in both: a slot goes to the next at once. Members of `before`, the last roster, are
 * there until the worker has adopted a later one, so no other can have the address of one of them.
 */
static uint64_t find_stayers(const struct roster *before, const struct roster *now)
{
	uint64_t stayers = 0;

	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++)
		if (now->member[slot] && now->member[slot] == before->member[slot])
			stayers |= UINT64_C(1) << slot;
	return stayers;
}

static struct roster *make_roster(struct share *share, bool marks)
{
	const struct roster *before = share->roster;
	/* The first one after another process goes on where the program is. */
	const bool marked_before = before ? before->classified : share->record.epoch != 0;
	struct roster *roster = calloc(1, sizeof(*roster));
	struct audience audience;

	if (!roster)
		return NULL;
	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++) {
		struct member *member = share->members[slot];

		if (!has_joined(member))
			continue;
		roster->members |= UINT64_C(1) << slot;
		roster->taps |= (uint64_t)member->tap << slot;
		roster->member[slot] = member->handoff;
	}
	for (uint32_t group = 0; group < XDPD_GROUPS_MAX; group++) {
		gather(share, group, &audience);
		if (!audience.n)
			continue;
		roster->groups |= 1u << group;
		roster_choose(roster->choice[group], audience.of, audience.n);
		if (!marks || !(before || marked_before))
			roster->unmarked |= UINT64_C(1) << roster->choice[group][0];
	}
	/* Frames without a mark that were not taken before a crash are for those whom the worker would have given them. */
	if (marks && !before && marked_before)
		roster->unmarked = share->ledger.content->handoff.unmarked & roster->members;
	/* Who gets marks has them from now on. What comes without was redirected for those who were there before. */
	if (marks && before && !share->moved)
		roster->unmarked = before->unmarked & find_stayers(before, roster);
	if (marks && (share->moved || !marked_before))
		share->epoch++;
	share->moved = false;
	roster->classified = marks;
	roster->epoch = share->epoch;
	roster->generation = ++share->generation;
	return roster;
}

static void publish(struct share *share, struct roster *roster)
{
	if (share->roster) {
		share->roster->older = share->older;
		share->older = share->roster;
	}
	share->roster = roster;
	share->stale = false;
	worker_publish(share->worker, roster);
}

static void free_older(struct share *share)
{
	while (share->older) {
		struct roster *roster = share->older;

		share->older = roster->older;
		free(roster);
	}
}

static void free_leaving(struct share *share, uint64_t adopted)
{
	struct member **at = &share->leaving;

	while (*at) {
		struct member *member = *at;

		if (member->until > adopted) {
			at = &member->next;
			continue;
		}
		*at = member->next;
		retire(share, member);
	}
}

/* ---- what the program is told ---- */

static int tell_program(struct share *share, const struct xdpd_bpf_queue *record)
{
	struct queue *queue = share->queue;
	struct redirect *redirect = queue->interface->redirect;
	int r;

	if (!redirect)
		return -ENETDOWN;
	if (share->redirected && !memcmp(record, &share->record, sizeof(*record)))
		return 0;
	if (!share->redirected)
		queue_start_counting(queue);
	r = share->redirected ? redirect_update(redirect, queue->id, record)
			      : redirect_set(redirect, queue->id, queue->xsk.fd, record);
	if (r < 0)
		return r;
	share->redirected = true;
	share->record = *record;
	return 0;
}

/* Groups that the worker is about to forget are not redirected to any more. */
static void narrow_program(struct share *share)
{
	struct xdpd_bpf_queue record = share->record;

	record.groups &= share->roster->groups;
	if (share->redirected)
		(void)tell_program(share, &record);
}

static int widen_program(struct share *share)
{
	const struct roster *roster = share->roster;
	const struct xdpd_bpf_queue record = {
		.capacity = umem_capacity(&share->queue->umem),
		.groups = roster->groups,
		.epoch = roster->classified ? roster->epoch : 0,
	};

	return tell_program(share, &record);
}

static void tell_joined(struct share *share, int code)
{
	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++) {
		struct member *member = share->members[slot];
		struct failure why;

		if (!member || member->state != MEMBER_JOINING)
			continue;
		member->state = MEMBER_RUNNING;
		if (code)
			failure(&why, code, "%s queue %u: can't redirect to the socket (%s)",
				device_of(share), share->queue->id, strerrorname_np(code));
		attachment_joined(member->attachment, code ? &why : NULL);
	}
}

/* The worker has been started for members of which none has joined yet. */
static bool is_early(const struct share *share)
{
	if (share->roster)
		return false;
	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++)
		if (has_joined(share->members[slot]))
			return false;
	return true;
}

bool share_settle(struct share *share, bool names_groups)
{
	uint64_t adopted;
	bool marks;

	if (!share->worker || is_early(share))
		return true;
	marks = needs_marks(share, names_groups);
	if (share->stale || !share->roster || share->roster->classified != marks) {
		struct roster *roster = make_roster(share, marks);

		/* What is there goes on; the next news try again. */
		if (!roster)
			return false;
		publish(share, roster);
	}
	adopted = worker_adopted(share->worker);
	/* A worker looks at no frame before its first roster, so nothing can go astray that is redirected before. */
	if (!adopted && !share->older) {
		tell_joined(share, -widen_program(share));
		return false;
	}
	if (adopted != share->generation) {
		narrow_program(share);
		return false;
	}
	free_older(share);
	free_leaving(share, adopted);
	tell_joined(share, -widen_program(share));
	return true;
}

/* ---- the worker's life ---- */

static void eject_violators(struct share *share, uint64_t slots)
{
	for (; slots; slots &= slots - 1) {
		struct member *member = share->members[__builtin_ctzll(slots)];
		char why[XDPD_REASON_MAX];
		enum violation violation;

		/* It may have left meanwhile, and another be in its place, which the worker is serving. */
		if (!has_joined(member))
			continue;
		violation = __atomic_load_n(&member->handoff->violation, __ATOMIC_RELAXED);
		if (violation == VIOLATION_NONE)
			continue;
		share->violations++;
		share->queue->interface->daemon->violations[violation]++;
		(void)snprintf(why, sizeof(why), "%s queue %u: %s (%s, EPROTO)", device_of(share),
			       share->queue->id, violation_texts[violation],
			       violation_names[violation]);
		attachment_revoke(member->attachment, DETACH_VIOLATION, EPROTO, why);
	}
}

static int on_news(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct share *share = context;
	struct interface *interface = share->queue->interface;

	(void)source;
	(void)fd;
	(void)events;
	eject_violators(share, worker_take_news(share->worker));
	interface_settle(interface);
	return 0;
}

static int fail_start(const struct share *share, int code, struct failure *why)
{
	return failure(why, code, "%s queue %u: can't start its worker (%s)%s", device_of(share),
		       share->queue->id, strerrorname_np(code),
		       code == EMFILE	? "; raise LimitNOFILE="
		       : code == EAGAIN ? "; raise TasksMax="
					: "");
}

/* Its memory is nobody's after it. */
static void end_worker(struct share *share)
{
	share->worker = worker_stop(share->worker);
	munmap(share->umem, share->umem_length);
	share->umem = NULL;
}

/* Where each member that is there lies, for a worker that goes on with them. */
static uint64_t list_places(const struct share *share, struct handoff_member *ret[ROSTER_MEMBERS])
{
	uint64_t stay = 0;

	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++) {
		ret[slot] = share->members[slot] ? share->members[slot]->handoff : NULL;
		if (ret[slot])
			stay |= UINT64_C(1) << slot;
	}
	return stay;
}

int share_start_worker(struct share *share, bool recover, struct failure *why)
{
	struct queue *queue = share->queue;
	const size_t length = queue->umem.size + queue->umem.tail_length;
	struct handoff_member *places[ROSTER_MEMBERS];
	struct worker_options options = {
		.device = device_of(share),
		.queue = queue->id,
		.xsk = &queue->xsk,
		.settings = &queue->settings->worker,
		.memory = {.frames = queue->umem.frames,
			   .receive_frames = queue->receive_frames,
			   .frame_size = queue->umem.frame_size,
			   .filled = queue->filled,
			   .writable = queue->settings->writable},
		.ledger = &share->ledger,
		.recover = recover,
		.fresh = share->renewed,
		.members = places,
		.stay = list_places(share, places),
	};
	struct worker_denied denied;
	void *umem;
	int r = sealed_map(queue->umem.fd, length, &umem);

	if (r < 0)
		return fail_start(share, -r, why);
	options.memory.umem = umem;
	options.memory.sequences = (uint32_t *)((char *)umem + queue->umem.size);
	r = worker_start(&share->worker, &options, &denied);
	if (r < 0) {
		munmap(umem, length);
		return fail_start(share, -r, why);
	}
	share->umem = umem;
	share->umem_length = length;
	share->settings = *options.settings;
	report_denied(share, &denied);
	r = sd_event_add_io(queue->interface->daemon->event, &share->news,
			    worker_news_fd(share->worker), EPOLLIN, on_news, share);
	/* One that nobody hears of would keep all who join after this waiting. */
	if (r < 0)
		end_worker(share);
	return r < 0 ? fail_start(share, -r, why) : 0;
}

/* A slot that this process has not filled, another may have. */
void share_stop_redirecting(struct share *share)
{
	if (share->queue->interface->redirect)
		redirect_clear(share->queue->interface->redirect, share->queue->id);
	if (share->worker)
		queue_sample(share->queue);
	share->redirected = false;
	share->record = (struct xdpd_bpf_queue){};
}

static void stop_worker(struct share *share)
{
	struct xdpd_worker_record last = {};
	struct worker_transmitted transmitted;

	if (!share->worker)
		return;
	share->news = sd_event_source_disable_unref(share->news);
	worker_halt(share->worker);
	worker_describe(share->worker, &last);
	transmitted = worker_transmitted(share->worker);
	end_worker(share);
	share->past.bursts += last.bursts;
	share->past.packets += last.packets;
	share->past.busy_ns += last.busy_ns;
	share->past.idle_ns += last.idle_ns;
	share->past.sleeps += last.sleeps;
	share->past.unclaimed += last.unclaimed;
	share->transmitted.packets += transmitted.packets;
	share->transmitted.bytes += transmitted.bytes;
}

void share_prepare(struct share *share)
{
	struct failure why;

	if (!share->worker)
		(void)share_start_worker(share, false, &why);
}

int share_join(struct share *share, struct member *member, struct failure *why)
{
	int r = share->worker ? 0 : share_start_worker(share, false, why);

	if (r == 0) {
		r = worker_hear(share->worker, member->slot, member->handoff->socket_fd);
		if (r < 0)
			fail_start(share, -r, why);
	}
	if (r < 0)
		return r;
	member->state = MEMBER_JOINING;
	share->stale = true;
	interface_settle(share->queue->interface);
	return 0;
}

void share_close(struct share *share)
{
	share_stop_redirecting(share);
	stop_worker(share);
	free_leaving(share, UINT64_MAX);
	free_older(share);
	free(share->roster);
	share->roster = NULL;
	ledger_close(&share->ledger);
}

void share_leave(struct share *share, struct member *member, bool reads_on)
{
	member->reads_on = reads_on;
	share->members[member->slot] = NULL;
	share->n_members--;
	share->groups[member->group].members--;
	member->attachment = NULL;
	if (member->state == MEMBER_GRANTED) {
		retire(share, member);
	} else {
		member->until = share->generation + 1;
		member->next = share->leaving;
		share->leaving = member;
		share->stale = true;
	}
	if (share->n_members) {
		interface_settle(share->queue->interface);
		return;
	}
	share_close(share);
}
