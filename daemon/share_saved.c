// SPDX-License-Identifier: BSD-2-Clause
/* What a shared queue leaves to the next process, and how that takes it up: see ledger.h for what moves meanwhile. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/attachment.h"
#include "daemon/log.h"
#include "daemon/share_internal.h"
#include "daemon/state.h"

/* ---- saving ---- */

void share_save(const struct share *share, struct saved_queue *ret)
{
	struct xdpd_worker_record now = {};

	/* What the worker counts of frames is in the ledger; of its time only it knows. */
	if (share->worker)
		worker_describe(share->worker, &now);
	ret->generation = share->generation;
	ret->epoch = share->epoch;
	ret->capacity = share->redirected ? share->record.capacity : 0;
	ret->groups = share->record.groups;
	ret->marks = share->record.epoch;
	ret->bursts = share->past.bursts;
	ret->packets = share->past.packets;
	ret->unclaimed = share->past.unclaimed;
	ret->busy_ns = share->past.busy_ns + now.busy_ns;
	ret->idle_ns = share->past.idle_ns + now.idle_ns;
	ret->sleeps = share->past.sleeps + now.sleeps;
	ret->transmitted_packets = share->transmitted.packets;
	ret->transmitted_bytes = share->transmitted.bytes;
	ret->violations = share->violations;
}

static void save_group(const struct group *group, uint32_t bit, struct saved_group *ret)
{
	*ret = (struct saved_group){
		.bit = bit,
		.receive_packets = group->totals.receive_packets,
		.receive_bytes = group->totals.receive_bytes,
		.dropped_ring_full = group->totals.dropped_ring_full,
		.dropped_quota = group->totals.dropped_quota,
		.overrun = group->totals.overrun,
		.transmit_packets = group->totals.transmit_packets,
		.transmit_bytes = group->totals.transmit_bytes,
	};
	(void)snprintf(ret->name, sizeof(ret->name), "%s", group->name);
}

/* Those who are leaving will not be there: what they have counted is their group's already. */
static void add_leaver(struct member *member, struct saved_group *ret)
{
	struct xdpd_consumer_record record = {};

	share_describe_member(member, &record);
	ret->receive_packets += record.receive_packets;
	ret->receive_bytes += record.receive_bytes;
	ret->dropped_ring_full += record.dropped_ring_full;
	ret->dropped_quota += record.dropped_quota;
	ret->overrun += record.overrun;
	ret->transmit_packets += record.transmit_packets;
	ret->transmit_bytes += record.transmit_bytes;
}

size_t share_save_groups(const struct share *share, struct saved_group *ret)
{
	size_t n = 0;

	for (uint32_t bit = 0; bit <= LIMBO; bit++) {
		if (!share->groups[bit].name[0])
			continue;
		save_group(&share->groups[bit], bit, &ret[n]);
		for (struct member *member = share->leaving; member; member = member->next)
			if (member->group == bit)
				add_leaver(member, &ret[n]);
		n++;
	}
	return n;
}

void share_save_member(struct member *member, struct saved_consumer *ret)
{
	(void)snprintf(ret->group, sizeof(ret->group), "%s", member->places.group);
	ret->slot = member->slot;
	ret->tap = member->tap;
	ret->member_key = member->key;
	ret->overrun = member_overrun(member);
	ret->place = ledger_place(member->ledger, member->handoff);
}

int share_ledger_fd(const struct share *share)
{
	return share->ledger.fd;
}

/* ---- taking up ---- */

static void adopt_groups(struct share *share, const struct saved_group *groups, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct group *group = &share->groups[groups[i].bit];

		(void)snprintf(group->name, sizeof(group->name), "%s", groups[i].name);
		group->config = config_find_group(share->queue->interface->config, group->name);
		group->totals = (struct group_totals){
			.receive_packets = groups[i].receive_packets,
			.receive_bytes = groups[i].receive_bytes,
			.dropped_ring_full = groups[i].dropped_ring_full,
			.dropped_quota = groups[i].dropped_quota,
			.overrun = groups[i].overrun,
			.transmit_packets = groups[i].transmit_packets,
			.transmit_bytes = groups[i].transmit_bytes,
		};
	}
}

static void adopt_past(struct share *share, const struct saved_queue *saved)
{
	share->generation = saved->generation;
	share->epoch = saved->epoch;
	share->redirected = saved->capacity != 0;
	share->record = (struct xdpd_bpf_queue){
		.capacity = saved->capacity,
		.groups = saved->groups,
		.epoch = saved->marks,
	};
	share->past.bursts = saved->bursts;
	share->past.packets = saved->packets;
	share->past.unclaimed = saved->unclaimed;
	share->past.busy_ns = saved->busy_ns;
	share->past.idle_ns = saved->idle_ns;
	share->past.sleeps = saved->sleeps;
	share->transmitted.packets = saved->transmitted_packets;
	share->transmitted.bytes = saved->transmitted_bytes;
	share->violations = saved->violations;
}

/*
 * The state may be a little older than the program's map, and frames come marked, or not, as that says. An epoch that was
 * given is not given again.
 */
static void adopt_record(struct share *share)
{
	const struct queue *queue = share->queue;
	struct xdpd_bpf_queue record;

	if (redirect_record(queue->interface->redirect, queue->id, &record) < 0)
		return;
	share->redirected = record.capacity != 0;
	share->record = record;
	if (record.epoch > share->epoch)
		share->epoch = record.epoch;
}

int share_adopt(struct share *share, const struct saved_queue *saved,
		const struct saved_group *groups, size_t n_groups, int ledger_fd)
{
	const struct handoff_memory memory = {
		.frames = saved->frames,
		.receive_frames = saved->receive_frames,
		.frame_size = saved->frame_size,
	};
	int r = ledger_open(&share->ledger, ledger_fd, &memory);

	if (r < 0)
		return r;
	memset(share->groups, 0, sizeof(share->groups));
	adopt_groups(share, groups, n_groups);
	adopt_past(share, saved);
	adopt_record(share);
	return 0;
}

int share_adopt_member(struct share *share, struct attachment *attachment,
		       const struct saved_consumer *saved, const struct member_remains *remains,
		       struct member **ret)
{
	struct queue *queue = share->queue;
	const uint32_t bit = share_find_group(share, saved->group);
	const struct member_options options = {
		.tap = saved->tap,
		.transmit = saved->transmit,
		.rings = &queue->settings->rings,
		.frames = queue->umem.frames,
		.frame_size = queue->umem.frame_size,
		.ledger = &share->ledger,
	};
	struct member *member;
	int r = bit < XDPD_GROUPS_MAX && !share->members[saved->slot] ? 0 : -EBADMSG;

	if (r < 0) {
		member_close_remains(remains);
		return r;
	}
	r = member_adopt(&member, &options, remains);
	if (r < 0)
		return r;
	member->attachment = attachment;
	member->state = MEMBER_RUNNING;
	member->slot = saved->slot;
	member->group = bit;
	member->handoff->quota = share_quota_of(share, &share->groups[bit]);
	(void)snprintf(member->places.group, sizeof(member->places.group), "%s", saved->group);
	share->members[saved->slot] = member;
	share->n_members++;
	share->groups[bit].members++;
	share->groups[bit].references++;
	*ret = member;
	return 0;
}

int share_renew_socket(struct share *share, struct failure *why)
{
	share_stop_redirecting(share);
	share->renewed = true;
	return queue_renew_socket(share->queue, &share->arrived, why);
}

/* What arrived on the old socket, was not dropped and was not handed on, lay in its RX ring. */
static void count_lost(struct share *share)
{
	struct handoff *handoff = &share->ledger.content->handoff;
	const uint64_t received = handoff->counters.packets - handoff->before_socket;
	const uint64_t lost = share->arrived > received ? share->arrived - received : 0;
	const struct log_context about = {.device = device_of(share), .queue = share->queue->id};

	share->queue->totals->statistics.rx_dropped += lost;
	log_write(LOG_NOTICE, about,
		  "%s queue %u: goes on with another socket, as this kernel does not map a bound "
		  "one's rings "
		  "again; %" PRIu64 " frames that waited there are lost",
		  device_of(share), share->queue->id, lost);
	handoff->before_socket = handoff->counters.packets;
	share->renewed = false;
}

int share_resume(struct share *share, struct failure *why)
{
	int r = share_start_worker(share, true, why);

	/* Nothing is received before the first roster. */
	if (r == 0 && share->renewed)
		count_lost(share);
	for (uint32_t slot = 0; slot < ROSTER_MEMBERS && r == 0; slot++)
		if (share->members[slot])
			r = worker_hear(share->worker, slot,
					share->members[slot]->handoff->socket_fd);
	share->stale = true;
	return r;
}
