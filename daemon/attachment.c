// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/attachment.h"

#include <string.h>
#include <time.h>

#include "daemon/cleanup.h"
#include "daemon/daemon.h"
#include "daemon/interface.h"
#include "daemon/keep.h"
#include "daemon/peer.h"
#include "daemon/queue.h"
#include "daemon/redirect.h"
#include "daemon/share.h"
#include "daemon/state.h"

#define USEC_PER_SEC 1000000ull

#define HANDSHAKE_LIMIT (10 * USEC_PER_SEC) /* from GRANT to READY */
#define BIND_LIMIT	(2 * USEC_PER_SEC)  /* for the kernel to release the socket before */
#define BIND_RETRY	(5 * 1000)

/* The rings' indices are u32: at 200 M frames/s they wrap after 21 s. */
#define SAMPLE_INTERVAL (20 * USEC_PER_SEC)

const char *const detach_reason_names[DETACH_REASON_COUNT] = {
#define X(constant, name, text) [constant] = name,
	DETACH_REASONS(X)
#undef X
};

static const char *const detach_reason_texts[DETACH_REASON_COUNT] = {
#define X(constant, name, text) [constant] = text,
	DETACH_REASONS(X)
#undef X
};

static struct log_context about(const struct attachment *attachment)
{
	return (struct log_context){.device = attachment->queue->interface->name,
				    .queue = attachment->queue->id,
				    .consumer = attachment->name};
}

static sd_event *event_of(const struct attachment *attachment)
{
	return attachment->queue->interface->daemon->event;
}

/* One timer at a time, as each step of an attachment's life replaces the one before. */
static int set_timer(struct attachment *attachment, uint64_t delay, sd_event_time_handler_t handler)
{
	attachment->timer = sd_event_source_disable_unref(attachment->timer);
	return sd_event_add_time_relative(event_of(attachment), &attachment->timer, CLOCK_MONOTONIC,
					  delay, delay / 20, handler, attachment);
}

static int on_handshake_limit(sd_event_source *source, uint64_t now, void *context)
{
	struct attachment *attachment = context;
	char why[XDPD_REASON_MAX];

	(void)source;
	(void)now;
	(void)snprintf(why, sizeof(why), "%s queue %u: no READY within 10 seconds of the grant",
		       attachment->queue->interface->name, attachment->queue->id);
	attachment_revoke(attachment, DETACH_TIMEOUT, ETIMEDOUT, why);
	return 0;
}

static void place_ring(struct xdpd_ring_place *ret, const struct xsk_ring_map *map)
{
	if (!map->address)
		return;
	*ret = (struct xdpd_ring_place){
		.region = {.fd = 1, .offset = map->page_offset, .length = map->length},
		.size = map->size,
		.producer = map->offset.producer,
		.consumer = map->offset.consumer,
		.flags = map->offset.flags,
		.entries = map->offset.desc,
	};
}

static void describe_grant(struct xdpd_grant *ret, const struct queue *queue, bool transmit)
{
	const struct umem *umem = &queue->umem;
	const struct xsk *xsk = &queue->xsk;

	ret->flags = XDPD_GRANT_EXCLUSIVE |
		     (xsk->bound == XDPD_BIND_ZERO_COPY ? XDPD_GRANT_ZERO_COPY : 0);
	ret->n_fds = 2;
	ret->wait_fd = 1;
	ret->frames = umem->frames;
	ret->frame_size = umem->frame_size;
	ret->headroom = umem->headroom;
	ret->filled = queue->filled;
	ret->umem = (struct xdpd_region){.fd = 0, .offset = 0, .length = umem->size};
	ret->account =
		(struct xdpd_region){.fd = 0, .offset = umem->size, .length = umem->tail_length};
	place_ring(&ret->rx, &xsk->rings[XSK_RX]);
	place_ring(&ret->fill, &xsk->rings[XSK_FILL]);
	place_ring(&ret->completion, &xsk->rings[XSK_COMPLETION]);
	if (transmit)
		place_ring(&ret->tx, &xsk->rings[XSK_TX]);
}

/* The queue's list is in the order of arrival. */
static void enlist(struct queue *queue, struct attachment *attachment)
{
	struct attachment **at = &queue->attachments;

	while (*at)
		at = &(*at)->next;
	*at = attachment;
	queue->state = XDPD_QUEUE_ATTACHED;
}

static void take_off(struct queue *queue, const struct attachment *attachment)
{
	struct attachment **at = &queue->attachments;

	while (*at != attachment)
		at = &(*at)->next;
	*at = attachment->next;
}

static int check_wish(const struct queue *queue, const struct attachment_wish *wish,
		      struct failure *why)
{
	const char *device = queue->interface->name;

	if (wish->flags & XDPD_ATTACH_TRANSMIT && !queue_may_transmit(queue, wish->group))
		return failure(why, EACCES,
			       "%s queue %u: transmitting is not allowed here (EACCES); attach to "
			       "receive only, or set `attach: { transmit: true }`",
			       device, queue->id);
	if (wish->flags & XDPD_ATTACH_TAP && queue->settings->delivery == XDPD_EXCLUSIVE)
		return failure(why, EOPNOTSUPP,
			       "%s queue %u: is exclusive and can't be tapped (EOPNOTSUPP); set "
			       "`delivery: shared`",
			       device, queue->id);
	return 0;
}

/* What the consumer is handed. */
static int prepare_grant(struct attachment *attachment, const struct attachment_wish *wish,
			 struct xdpd_grant *grant, int fds[ATTACHMENT_FDS], struct failure *why)
{
	struct queue *queue = attachment->queue;
	int r;

	if (queue->settings->delivery == XDPD_EXCLUSIVE) {
		describe_grant(grant, queue, attachment->transmit);
		fds[0] = queue->umem.fd;
		fds[1] = queue->xsk.fd;
		return 0;
	}
	r = share_admit(queue->share, attachment, wish->group, wish->flags, attachment->transmit,
			&attachment->member, why);
	if (r == 0)
		(void)member_describe_grant(attachment->member, &queue->umem,
					    queue->settings->writable, grant, fds);
	return r;
}

int attachment_grant(struct attachment **ret, struct queue *queue, const struct peer *peer,
		     const struct attachment_wish *wish, struct attachment_owner owner,
		     struct xdpd_grant *grant, int fds[ATTACHMENT_FDS], struct failure *why)
{
	const char *device = queue->interface->name;
	struct attachment *attachment;
	int r = check_wish(queue, wish, why);

	if (r < 0)
		return r;
	attachment = calloc(1, sizeof(*attachment));
	if (!attachment)
		return failure(why, ENOMEM, "%s queue %u: no memory for an attachment", device,
			       queue->id);
	*attachment = (struct attachment){
		.queue = queue,
		.owner = owner,
		.uid = peer->uid,
		.pid = peer->pid,
		.transmit = wish->flags & XDPD_ATTACH_TRANSMIT,
		.attached = (uint64_t)time(NULL),
		.transmit_packets_before = queue->totals->transmit_packets,
		.transmit_bytes_before = queue->totals->transmit_bytes,
		.receive_bytes_before = queue_redirected(queue).bytes,
	};
	(void)snprintf(attachment->name, sizeof(attachment->name), "%s", wish->name);
	if (set_timer(attachment, HANDSHAKE_LIMIT, on_handshake_limit) < 0)
		r = failure(why, ENOMEM, "%s queue %u: no memory for a timer", device, queue->id);
	if (r == 0)
		r = prepare_grant(attachment, wish, grant, fds, why);
	if (r < 0) {
		sd_event_source_disable_unref(attachment->timer);
		free(attachment);
		return r;
	}
	enlist(queue, attachment);
	*ret = attachment;
	return 0;
}

void attachment_handed_over(struct attachment *attachment)
{
	if (!attachment->member)
		return;
	member_handed_over(attachment->member);
	share_prepare(attachment->queue->share);
}

static int on_sample(sd_event_source *source, uint64_t now, void *context)
{
	struct attachment *attachment = context;

	(void)now;
	queue_sample(attachment->queue);
	(void)sd_event_source_set_time_relative(source, SAMPLE_INTERVAL);
	(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

static int on_bind_retry(sd_event_source *source, uint64_t now, void *context)
{
	(void)source;
	(void)now;
	attachment_start(context);
	return 0;
}

/* -EINPROGRESS: the kernel has not released the queue yet, and it will be tried again. */
static int bind_if_unbound(struct attachment *attachment, struct failure *why)
{
	uint64_t now;
	int r;

	if (attachment->queue->xsk.bound != XDPD_BIND_NONE)
		return 0;
	r = queue_bind_late(attachment->queue, why);
	if (r != -EBUSY)
		return r;
	(void)sd_event_now(event_of(attachment), CLOCK_MONOTONIC, &now);
	if (!attachment->give_up)
		attachment->give_up = now + BIND_LIMIT;
	if (now >= attachment->give_up || set_timer(attachment, BIND_RETRY, on_bind_retry) < 0)
		return r;
	return -EINPROGRESS;
}

static int let_frames_flow(const struct attachment *attachment, struct failure *why)
{
	const struct queue *queue = attachment->queue;
	struct redirect *redirect = queue->interface->redirect;
	/* It gets whatever is redirected, whichever groups a rule names. */
	const struct xdpd_bpf_queue record = {
		.capacity = umem_capacity(&queue->umem),
		.groups = UINT32_MAX,
	};
	int r = redirect ? redirect_set(redirect, queue->id, queue->xsk.fd, &record) : -ENETDOWN;

	if (r < 0)
		return failure(why, -r, "%s queue %u: can't redirect to the socket (%s)",
			       queue->interface->name, queue->id, strerrorname_np(-r));
	return 0;
}

/*
 * The next process has to know of it before the first frame arrives, as nobody else would count that; and before the
 * consumer hears of it: what it believes to have, it has also of the next process.
 */
static int begin_exclusive(struct attachment *attachment, struct failure *why)
{
	struct queue *queue = attachment->queue;
	int r;

	if (set_timer(attachment, SAMPLE_INTERVAL, on_sample) < 0)
		return failure(why, ENOMEM, "%s queue %u: no memory for a timer",
			       queue->interface->name, queue->id);
	queue_start_counting(queue);
	keep_attachment(queue->interface->daemon->keep, attachment);
	r = let_frames_flow(attachment, why);
	attachment->running = r == 0;
	return r;
}

static void fail_start(struct attachment *attachment, int code, const struct failure *why)
{
	struct attachment_owner owner = attachment->owner;

	attachment_end(attachment, code == -EPROTO ? DETACH_VIOLATION : DETACH_FAILED);
	owner.started(owner.context, why);
}

static void tell_started(struct attachment *attachment)
{
	const struct member *member = attachment->member;

	/* First the one that waits for it. */
	attachment->owner.started(attachment->owner.context, NULL);
	attachment->starting = 0;
	daemon_tell(attachment->queue->interface->daemon, XDPD_EVENT_ATTACHED, about(attachment),
		    "consumer `%s` attached (uid %u, pid %d, %s%s%s%s)", attachment->name,
		    attachment->uid, attachment->pid,
		    attachment->transmit ? "receives and transmits" : "receives",
		    member ? ", group `" : "", member ? member->places.group : "",
		    !member	  ? ""
		    : member->tap ? "`, a tap"
				  : "`");
	keep_soon(attachment->queue->interface->daemon->keep);
}

static void start_exclusive(struct attachment *attachment)
{
	struct failure why;
	int r = bind_if_unbound(attachment, &why);

	if (r == -EINPROGRESS)
		return;
	if (r == 0)
		r = begin_exclusive(attachment, &why);
	if (r < 0)
		fail_start(attachment, r, &why);
	else
		tell_started(attachment);
}

void attachment_start(struct attachment *attachment)
{
	struct failure why;
	int r;

	if (!attachment->member) {
		start_exclusive(attachment);
		return;
	}
	r = set_timer(attachment, SAMPLE_INTERVAL, on_sample);
	if (r < 0)
		failure(&why, ENOMEM, "%s queue %u: no memory for a timer",
			attachment->queue->interface->name, attachment->queue->id);
	else
		r = share_join(attachment->queue->share, attachment->member, &why);
	if (r < 0)
		fail_start(attachment, r, &why);
}

void attachment_joined(struct attachment *attachment, const struct failure *why)
{
	if (why) {
		fail_start(attachment, -why->code, why);
		return;
	}
	attachment->running = true;
	keep_attachment(attachment->queue->interface->daemon->keep, attachment);
	tell_started(attachment);
}

/* An honest one that did not leave by itself, and is told now. */
static bool may_read_on(enum detach_reason reason)
{
	switch (reason) {
	case DETACH_LEFT:
	case DETACH_DIED:
	case DETACH_VIOLATION:
	case DETACH_TIMEOUT:
		return false;
	default:
		return true;
	}
}

void attachment_end(struct attachment *attachment, enum detach_reason reason)
{
	struct queue *queue = attachment->queue;
	struct daemon *daemon = queue->interface->daemon;
	bool was_running = attachment->running;

	if (!attachment->member && queue->interface->redirect)
		redirect_clear(queue->interface->redirect, queue->id);
	queue_sample(queue);
	attachment->timer = sd_event_source_disable_unref(attachment->timer);
	take_off(queue, attachment);
	keep_no_attachment(daemon->keep, attachment);
	if (attachment->member)
		share_leave(queue->share, attachment->member, may_read_on(reason));
	daemon->disconnects[reason]++;
	if (was_running)
		daemon_tell(daemon, XDPD_EVENT_DETACHED, about(attachment),
			    "consumer `%s` detached: %s (uid %u, pid %d)", attachment->name,
			    detach_reason_texts[reason], attachment->uid, attachment->pid);
	if (!queue->attachments)
		queue_recycle(queue, attachment->name, attachment->uid, attachment->pid);
	free(attachment);
}

void attachment_revoke(struct attachment *attachment, enum detach_reason reason, int code,
		       const char *why)
{
	struct attachment_owner owner = attachment->owner;

	attachment_end(attachment, reason);
	owner.revoked(owner.context, code, why);
}

bool attachment_recheck(struct attachment *attachment)
{
	const struct queue *queue = attachment->queue;
	const char *group = attachment->member ? attachment->member->places.group : "";
	char why[XDPD_REASON_MAX];
	const char *lost;

	if (!attachment->owner.allowed(attachment->owner.context, queue_attach_list(queue, group)))
		lost = "attach";
	else if (attachment->member && !share_may_stay(queue->share, attachment->member))
		lost = "hold frames";
	else if (attachment->member && attachment->transmit && !queue_may_transmit(queue, group))
		lost = "transmit";
	else
		return true;
	(void)snprintf(why, sizeof(why),
		       "%s queue %u: uid %u may not %s any more (EACCES): the config was changed",
		       queue->interface->name, queue->id, attachment->uid, lost);
	attachment_revoke(attachment, DETACH_NOT_ALLOWED, EACCES, why);
	return false;
}

void attachment_save(const struct attachment *attachment, struct saved_consumer *ret)
{
	*ret = (struct saved_consumer){
		.key = attachment->key,
		.uid = attachment->uid,
		.pid = (uint32_t)attachment->pid,
		.transmit = attachment->transmit,
		.attached = attachment->attached,
		.receive_bytes_before = attachment->receive_bytes_before,
		.transmit_packets_before = attachment->transmit_packets_before,
		.transmit_bytes_before = attachment->transmit_bytes_before,
		.starting = attachment->starting,
	};
	(void)snprintf(ret->name, sizeof(ret->name), "%s", attachment->name);
	if (attachment->member)
		share_save_member(attachment->member, ret);
}

int attachment_adopt(struct attachment **ret, struct queue *queue, const struct peer *peer,
		     struct attachment_owner owner, const struct saved_consumer *saved,
		     const struct member_remains *remains)
{
	struct attachment *attachment = calloc(1, sizeof(*attachment));
	struct failure why;
	int r = attachment ? 0 : -ENOMEM;

	if (r == 0) {
		*attachment = (struct attachment){
			.queue = queue,
			.owner = owner,
			.uid = peer->uid,
			.pid = peer->pid,
			.transmit = saved->transmit,
			.running = true,
			.attached = saved->attached,
			.key = saved->key,
			.receive_bytes_before = saved->receive_bytes_before,
			.transmit_packets_before = saved->transmit_packets_before,
			.transmit_bytes_before = saved->transmit_bytes_before,
		};
		(void)snprintf(attachment->name, sizeof(attachment->name), "%s", saved->name);
		r = set_timer(attachment, SAMPLE_INTERVAL, on_sample);
	}
	if (remains) {
		if (r >= 0)
			r = share_adopt_member(queue->share, attachment, saved, remains,
					       &attachment->member);
		else
			member_close_remains(remains);
	} else if (r >= 0) {
		/* The process before may have ended right before it let the frames flow. */
		r = let_frames_flow(attachment, &why);
	}
	if (r < 0) {
		if (attachment)
			sd_event_source_disable_unref(attachment->timer);
		free(attachment);
		return r;
	}
	enlist(queue, attachment);
	*ret = attachment;
	return 0;
}

static void describe_exclusive(struct attachment *attachment, struct xdpd_consumer_record *ret)
{
	struct queue *queue = attachment->queue;
	const struct totals *totals = queue->totals;
	struct xdp_statistics statistics = {};

	(void)xsk_statistics(&queue->xsk, &statistics);
	ret->receive_packets = attachment->running ? queue->socket_packets : 0;
	ret->receive_bytes = queue_verdicts_seen(queue).verdict[XDPD_VERDICT_REDIRECT].bytes -
			     attachment->receive_bytes_before;
	ret->transmit_packets = totals->transmit_packets - attachment->transmit_packets_before;
	ret->transmit_bytes = totals->transmit_bytes - attachment->transmit_bytes_before;
	ret->dropped = statistics.rx_dropped + statistics.rx_ring_full;
}

void attachment_describe(struct attachment *attachment, struct xdpd_consumer_record *ret)
{
	const struct queue *queue = attachment->queue;

	*ret = (struct xdpd_consumer_record){
		.queue = queue->id,
		.uid = attachment->uid,
		.pid = (uint32_t)attachment->pid,
		.transmit = attachment->transmit,
		.attached = attachment->attached,
	};
	(void)snprintf(ret->name, sizeof(ret->name), "%s", attachment->name);
	(void)snprintf(ret->device, sizeof(ret->device), "%s", queue->interface->name);
	if (attachment->member)
		share_describe_member(attachment->member, ret);
	else
		describe_exclusive(attachment, ret);
}
