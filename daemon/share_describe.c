// SPDX-License-Identifier: BSD-2-Clause
/* What a shared queue's worker, groups and members have done, for whoever shows it. */
#include <stdio.h>

#include "daemon/attachment.h"
#include "daemon/share_internal.h"

struct worker_transmitted share_transmitted(const struct share *share)
{
	struct worker_transmitted sum = share->transmitted;

	if (share->worker) {
		struct worker_transmitted now = worker_transmitted(share->worker);

		sum.packets += now.packets;
		sum.bytes += now.bytes;
	}
	return sum;
}

bool share_is_classified(const struct share *share)
{
	return share->record.epoch != 0;
}

void share_describe_worker(const struct share *share, struct xdpd_worker_record *ret)
{
	const struct queue *queue = share->queue;
	const struct config_worker *settings = &queue->settings->worker;

	*ret = (struct xdpd_worker_record){
		.queue = queue->id,
		.cpu = settings->cpu >= 0 ? (uint32_t)settings->cpu : UINT32_MAX,
		.spin_usecs = settings->spin_usecs,
		.scheduler = (uint32_t)settings->scheduler,
		.priority = (uint32_t)settings->priority,
		.violations = share->violations,
	};
	(void)snprintf(ret->device, sizeof(ret->device), "%s", device_of(share));
	if (share->worker) {
		worker_describe(share->worker, ret);
	} else if (queue->xsk.fd >= 0) {
		ret->frames[XDPD_PLACE_KERNEL] = queue->filled;
		ret->frames[XDPD_PLACE_FREE] = queue->umem.frames - queue->filled;
	}
	ret->bursts += share->past.bursts;
	ret->packets += share->past.packets;
	ret->busy_ns += share->past.busy_ns;
	ret->idle_ns += share->past.idle_ns;
	ret->sleeps += share->past.sleeps;
	ret->unclaimed += share->past.unclaimed;
}

static uint64_t read_counter(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void share_describe_member(struct member *member, struct xdpd_consumer_record *ret)
{
	const struct member_counters *counters = &member->handoff->counters;

	ret->receive_packets = read_counter(&counters->receive_packets);
	ret->receive_bytes = read_counter(&counters->receive_bytes);
	ret->transmit_packets = read_counter(&counters->transmit_packets);
	ret->transmit_bytes = read_counter(&counters->transmit_bytes);
	(void)snprintf(ret->group, sizeof(ret->group), "%s", member->places.group);
	ret->mode = member->tap ? XDPD_TAP : XDPD_HOLD;
	ret->quota = member->tap ? 0 : member->handoff->quota;
	ret->held = __atomic_load_n(&member->handoff->held, __ATOMIC_RELAXED);
	ret->dropped_ring_full = read_counter(&counters->dropped_ring_full);
	ret->dropped_quota = read_counter(&counters->dropped_quota);
	ret->overrun = member_overrun(member);
	ret->returned = read_counter(&counters->returned);
	ret->invalid_returns = read_counter(&counters->invalid_returns);
	ret->transmit_invalid = read_counter(&counters->transmit_invalid);
	ret->wakeups = read_counter(&counters->wakeups);
	ret->doorbells = read_counter(&counters->doorbells);
	ret->dropped = ret->dropped_ring_full + ret->dropped_quota + ret->overrun;
}

static void add_member(struct xdpd_group_record *ret, struct member *member)
{
	struct xdpd_consumer_record record = {};

	share_describe_member(member, &record);
	ret->held += record.held;
	ret->receive_packets += record.receive_packets;
	ret->receive_bytes += record.receive_bytes;
	ret->dropped_ring_full += record.dropped_ring_full;
	ret->dropped_quota += record.dropped_quota;
	ret->overrun += record.overrun;
	ret->transmit_packets += record.transmit_packets;
	ret->transmit_bytes += record.transmit_bytes;
}

static void describe_group(const struct share *share, uint32_t bit, struct xdpd_group_record *ret)
{
	const struct group *group = &share->groups[bit];

	*ret = (struct xdpd_group_record){
		.queue = share->queue->id,
		.mode = group->config ? group->config->mode : XDPD_HOLD,
		.members = group->members,
		.configured = group->config != NULL,
		.quota = share_quota_of(share, group),
		.receive_packets = group->totals.receive_packets,
		.receive_bytes = group->totals.receive_bytes,
		.dropped_ring_full = group->totals.dropped_ring_full,
		.dropped_quota = group->totals.dropped_quota,
		.overrun = group->totals.overrun,
		.transmit_packets = group->totals.transmit_packets,
		.transmit_bytes = group->totals.transmit_bytes,
	};
	(void)snprintf(ret->name, sizeof(ret->name), "%s", group->name);
	(void)snprintf(ret->device, sizeof(ret->device), "%s", device_of(share));
	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++)
		if (share->members[slot] && share->members[slot]->group == bit)
			add_member(ret, share->members[slot]);
	for (struct member *member = share->leaving; member; member = member->next)
		if (member->group == bit)
			add_member(ret, member);
}

size_t share_describe_groups(struct share *share, struct xdpd_group_record *ret)
{
	size_t n = 0;

	for (uint32_t bit = 0; bit < XDPD_GROUPS_MAX; bit++)
		if (share->groups[bit].name[0])
			describe_group(share, bit, &ret[n++]);
	return n;
}

/* The worker's table tells; before it has one, nobody gets anything. */
static const struct member *find_taker(const struct share *share, uint32_t bit, uint32_t hash)
{
	if (!share->roster || !(share->roster->groups & 1u << bit))
		return NULL;
	return share->members[share->roster->choice[bit][hash & (ROSTER_BUCKETS - 1)]];
}

size_t share_trace(const struct share *share, uint32_t groups, uint32_t hash,
		   struct xdpd_trace_record *ret)
{
	size_t n = 0;

	for (uint32_t bit = 0; bit < XDPD_GROUPS_MAX; bit++) {
		const struct group *group = &share->groups[bit];
		const struct member *taker = find_taker(share, bit, hash);

		if (!(groups & 1u << bit) || !group->name[0])
			continue;
		ret[n] = (struct xdpd_trace_record){.queue = share->queue->id};
		(void)snprintf(ret[n].group, sizeof(ret[n].group), "%s", group->name);
		if (taker)
			(void)snprintf(ret[n].consumer, sizeof(ret[n].consumer), "%s",
				       taker->attachment->name);
		n++;
	}
	return n;
}
