// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/queue.h"

#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "daemon/attachment.h"
#include "daemon/cleanup.h"
#include "daemon/daemon.h"
#include "daemon/interface.h"
#include "daemon/keep.h"
#include "daemon/names.h"
#include "daemon/peer.h"
#include "daemon/renewal.h"
#include "daemon/share.h"
#include "daemon/state.h"
#include "daemon/store.h"

/*
 * A bind that is refused with EBUSY is tried again each 3 ms for as long as the kernel most often needs to release a
 * socket, then each 20 ms, and when it seems that somebody holds the socket, each second. What failed for another reason,
 * and makes its UMEM anew, is tried again after 1, 2, 4 ... 64 s.
 */
#define SOON_MS		3
#define SOON_TRIES	10
#define RELEASING_MS	20
#define RELEASING_TRIES 130 /* about 2.4 s */
#define BUSY_MS		1000
#define FAILED_MS	1000
#define FAILED_DOUBLED	6 /* times */

#define RENEW_MS 2000 /* that a start waits for it, with consumers in place */

struct queue *queue_new(struct interface *interface, uint32_t id,
			const struct config_queue *settings)
{
	struct queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return NULL;
	queue->interface = interface;
	queue->id = id;
	queue->settings = settings;
	queue->state = XDPD_QUEUE_WAITING;
	queue->umem = UMEM_NONE;
	queue->xsk = XSK_NONE;
	queue->totals = totals_get(&interface->daemon->totals, interface->name, id);
	if (!queue->totals) {
		free(queue);
		return NULL;
	}
	return queue;
}

bool queue_may_succeed_now(const struct queue *queue)
{
	return queue->state == XDPD_QUEUE_FAILED &&
	       queue->failed_generation != queue->interface->generation;
}

/* Sets `why` beforehand, where the state has one. */
static void enter(struct queue *queue, enum xdpd_queue_state state)
{
	bool news = queue->state != state;
	bool has_reason = state != XDPD_QUEUE_READY && state != XDPD_QUEUE_ATTACHED;
	const struct log_context about = {.device = queue->interface->name, .queue = queue->id};

	queue->state = state;
	queue->failed_generation = queue->interface->generation;
	if (!has_reason)
		queue->why = (struct failure){};
	if (news)
		daemon_tell(queue->interface->daemon, XDPD_EVENT_QUEUE_STATE, about, "%s%s%s",
			    name_of(&queue_state_names, state), has_reason ? ": " : "",
			    has_reason ? queue->why.text : "");
}

/* ---- figures ---- */

struct xdpd_bpf_counter queue_redirected(const struct queue *queue)
{
	const struct redirect *redirect = queue->interface->redirect;
	const struct xdpd_bpf_counter *before =
		&queue->totals->verdicts.verdict[XDPD_VERDICT_REDIRECT];
	struct xdpd_bpf_counter sum = {};

	if (redirect)
		(void)redirect_counter(redirect, queue->id, XDPD_VERDICT_REDIRECT, &sum);
	sum.packets += before->packets;
	sum.bytes += before->bytes;
	return sum;
}

struct xdpd_bpf_counters queue_verdicts_seen(const struct queue *queue)
{
	const struct redirect *redirect = queue->interface->redirect;
	struct xdpd_bpf_counters sum = queue->totals->verdicts;

	if (redirect && queue->id < redirect->queues)
		verdicts_add(&sum, &redirect->seen[queue->id]);
	return sum;
}

static bool is_shared(const struct queue *queue)
{
	return queue->settings->delivery == XDPD_SHARED;
}

void queue_start_counting(struct queue *queue)
{
	queue->seen_received = xsk_producer(&queue->xsk, XSK_RX);
	queue->seen_transmitted = xsk_consumer(&queue->xsk, XSK_TX);
	queue->seen_bytes = is_shared(queue) ? share_transmitted(queue->share).bytes
					     : umem_transmit_bytes(&queue->umem);
	queue->unclaimed_packets = queue_redirected(queue).packets;
	queue->socket_packets = 0;
	queue->counting = true;
}

/*
 * The ring's indices lie in memory that the consumer can write. What it makes of them is bounded by what the
 * program counted, so that it can't talk up more than was redirected to it.
 */
static void sample_received(struct queue *queue)
{
	uint32_t producer = xsk_producer(&queue->xsk, XSK_RX);
	uint64_t packets = producer - queue->seen_received;
	uint64_t redirected;

	if (!packets) /* most queues, most times: no system call for them */
		return;
	redirected = queue_redirected(queue).packets - queue->unclaimed_packets;
	if (packets > redirected - queue->socket_packets)
		packets = redirected - queue->socket_packets;
	queue->seen_received = producer;
	queue->socket_packets += packets;
	queue->totals->receive_packets += packets;
}

/* The consumer alone knows the bytes; they are bounded by frames that the kernel took or that wait in the ring. */
static void sample_transmitted(struct queue *queue)
{
	uint32_t consumer = xsk_consumer(&queue->xsk, XSK_TX);
	uint64_t bytes = is_shared(queue) ? share_transmitted(queue->share).bytes
					  : umem_transmit_bytes(&queue->umem);
	uint64_t packets = consumer - queue->seen_transmitted;
	uint64_t limit = (packets + queue->xsk.rings[XSK_TX].size) * queue->umem.frame_size;
	uint64_t more = bytes - queue->seen_bytes;

	queue->seen_transmitted = consumer;
	queue->seen_bytes = bytes;
	queue->totals->transmit_packets += packets;
	queue->totals->transmit_bytes += more < limit ? more : limit;
}

void queue_sample(struct queue *queue)
{
	if (queue->xsk.fd < 0 || !queue->counting)
		return;
	sample_received(queue);
	sample_transmitted(queue);
}

/* The verdicts that let a frame go to the kernel's stack. */
static const enum xdpd_verdict passing[] = {
	XDPD_VERDICT_PASS,
	XDPD_VERDICT_PASS_OVERSIZE,
	XDPD_VERDICT_PASS_RULE,
	XDPD_VERDICT_PASS_UNMARKED,
};

void queue_describe(struct queue *queue, struct xdpd_queue_record *ret)
{
	const struct config_queue *settings = queue->settings;
	const struct xsk *xsk = &queue->xsk;
	struct xdp_statistics statistics = {};
	const struct xdpd_bpf_counters verdicts = queue_verdicts_seen(queue);

	if (xsk->fd >= 0)
		(void)xsk_statistics(xsk, &statistics);
	statistics_add(&statistics, &queue->totals->statistics);
	*ret = (struct xdpd_queue_record){
		.queue = queue->id,
		.state = queue->state,
		.delivery = settings->delivery,
		.wanted_bind = settings->bind,
		.bind = queue->bind_mode,
		.runtime = daemon_is_runtime(queue->interface->daemon, queue->interface->name,
					     queue->id),
		.frames = settings->frames,
		.frame_size = settings->frame_size,
		.headroom = settings->headroom,
		.rx = {settings->rings.rx, xsk_entries(xsk, XSK_RX)},
		.tx = {settings->attach.transmit ? settings->rings.tx : 0,
		       xsk_entries(xsk, XSK_TX)},
		.fill = {settings->rings.fill, xsk_entries(xsk, XSK_FILL)},
		.completion = {settings->rings.completion, xsk_entries(xsk, XSK_COMPLETION)},
		.receive_packets = queue->totals->receive_packets,
		.receive_bytes = verdicts.verdict[XDPD_VERDICT_REDIRECT].bytes,
		.transmit_packets = queue->totals->transmit_packets,
		.transmit_bytes = queue->totals->transmit_bytes,
		.receive_dropped = statistics.rx_dropped,
		.receive_ring_full = statistics.rx_ring_full,
		.fill_ring_empty = statistics.rx_fill_ring_empty_descs,
		.receive_invalid_descriptors = statistics.rx_invalid_descs,
		.transmit_invalid_descriptors = statistics.tx_invalid_descs,
		.transmit_ring_empty = statistics.tx_ring_empty_descs,
		.dropped_by_rule = verdicts.verdict[XDPD_VERDICT_DROP_RULE].packets,
	};
	for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
		ret->passed_packets += verdicts.verdict[passing[i]].packets;
		ret->passed_bytes += verdicts.verdict[passing[i]].bytes;
	}
	(void)snprintf(ret->device, sizeof(ret->device), "%s", queue->interface->name);
	(void)snprintf(ret->reason, sizeof(ret->reason), "%s", queue->why.text);
	if (queue->attachments)
		(void)snprintf(ret->consumer, sizeof(ret->consumer), "%s",
			       queue->attachments->name);
	for (const struct attachment *at = queue->attachments; at; at = at->next)
		ret->consumers++;
	ret->classified = queue->share && share_is_classified(queue->share);
}

/* ---- tracing ---- */

static const char *explain_verdict(enum xdpd_verdict verdict)
{
	switch (verdict) {
	case XDPD_VERDICT_PASS:
		return "no consumer is there to take it: it goes to the kernel's stack";
	case XDPD_VERDICT_PASS_OVERSIZE:
		return "it is longer than a frame of the UMEM: it goes to the kernel's stack";
	case XDPD_VERDICT_PASS_UNMARKED:
		return "the driver has no room for metadata: it goes to the kernel's stack";
	default:
		return "";
	}
}

static enum xdpd_action action_of(const struct redirect_trace *trace)
{
	switch (trace->verdict) {
	case XDPD_VERDICT_REDIRECT:
		return XDPD_ACTION_REDIRECT;
	case XDPD_VERDICT_DROP_RULE:
		return XDPD_ACTION_DROP;
	default:
		return XDPD_ACTION_PASS;
	}
}

/* Where the program sends it, and with shared delivery the worker after it. */
static size_t find_takers(const struct queue *queue, const struct redirect_trace *trace,
			  struct xdpd_trace_record *ret)
{
	if (trace->verdict != XDPD_VERDICT_REDIRECT)
		return 0;
	if (is_shared(queue))
		return share_trace(queue->share, trace->groups, trace->hash, ret);
	ret[0] = (struct xdpd_trace_record){};
	if (queue->attachments)
		(void)snprintf(ret[0].consumer, sizeof(ret[0].consumer), "%s",
			       queue->attachments->name);
	return 1;
}

int queue_trace(struct queue *queue, const void *frame, size_t length,
		struct xdpd_trace_record *ret, size_t *ret_n, struct failure *why)
{
	const struct interface *interface = queue->interface;
	struct redirect_trace trace;
	size_t n;
	int r;

	if (!interface->redirect)
		return failure(
			why, ENETDOWN,
			"%s queue %u: no XDP program is attached, so there is nothing to ask "
			"(ENETDOWN)%s%s",
			interface->name, queue->id, interface->why.text[0] ? ": " : "",
			interface->why.text);
	r = redirect_trace(interface->redirect, queue->id, frame, length, &trace);
	if (r < 0)
		return failure(why, -r,
			       "%s queue %u: the kernel does not run the program for it (%s)",
			       interface->name, queue->id, strerrorname_np(-r));
	n = find_takers(queue, &trace, ret);
	if (!n)
		ret[n++] = (struct xdpd_trace_record){};
	for (size_t i = 0; i < n; i++) {
		ret[i].queue = queue->id;
		ret[i].action = action_of(&trace);
		ret[i].rule = trace.rule == XDPD_RULES_MAX ? UINT32_MAX : trace.rule;
		ret[i].hash = trace.hash;
		(void)snprintf(ret[i].device, sizeof(ret[i].device), "%s", interface->name);
		(void)snprintf(ret[i].text, sizeof(ret[i].text), "%s",
			       explain_verdict(trace.verdict));
	}
	*ret_n = n;
	return 0;
}

/* ---- the socket ---- */

/* What was counted is kept, and nothing is for the next process. */
static void leave_socket(struct queue *queue)
{
	struct xdp_statistics statistics;

	if (queue->xsk.fd >= 0 && xsk_statistics(&queue->xsk, &statistics) == 0)
		statistics_add(&queue->totals->statistics, &statistics);
	queue->counting = false;
	keep_no_queue(queue->interface->daemon->keep, queue);
}

static void release_socket(struct queue *queue)
{
	xsk_close(&queue->xsk);
	umem_close(&queue->umem);
}

static void close_socket(struct queue *queue)
{
	leave_socket(queue);
	release_socket(queue);
}

static int fail_prepare(struct queue *queue, int code)
{
	const char *device = queue->interface->name;

	switch (code) {
	case EPERM:
		return failure(&queue->why, code,
			       "%s queue %u: may not open an AF_XDP socket (EPERM); xdpd needs "
			       "CAP_NET_RAW",
			       device, queue->id);
	case EAFNOSUPPORT:
		return failure(&queue->why, code,
			       "%s queue %u: this kernel has no AF_XDP (EAFNOSUPPORT); it needs "
			       "CONFIG_XDP_SOCKETS",
			       device, queue->id);
	case ENOBUFS:
		return failure(&queue->why, code,
			       "%s queue %u: %u frames of %u bytes exceed the locked-memory limit "
			       "(ENOBUFS); raise LimitMEMLOCK= or lower `frames`",
			       device, queue->id, queue->settings->frames,
			       queue->settings->frame_size);
	case ENOMEM:
		return failure(&queue->why, code,
			       "%s queue %u: no memory for %u frames of %u bytes (ENOMEM); lower "
			       "`frames`",
			       device, queue->id, queue->settings->frames,
			       queue->settings->frame_size);
	default:
		return failure(&queue->why, code, "%s queue %u: can't open the AF_XDP socket (%s)",
			       device, queue->id, strerrorname_np(code));
	}
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* With shared delivery some group may transmit where the queue's others may not. */
static bool somebody_may_transmit(const struct queue *queue)
{
	const struct interface *interface = queue->interface;
	/* The one that is being adopted, whose settings the queue has already. */
	const struct config_interface *config =
		config_find_interface(interface->daemon->config, interface->name);

	if (queue->settings->attach.transmit)
		return true;
	for (size_t i = 0; is_shared(queue) && config && i < config->n_groups; i++)
		if (config->groups[i].transmit_given && config->groups[i].attach.transmit)
			return true;
	return false;
}

/* How many frames are in the fill ring from the start, and with shared delivery how many are received into at all. */
static void divide_frames(struct queue *queue, bool transmit)
{
	const struct config_queue *settings = queue->settings;
	/* A transmitter needs frames of its own from the start: its TX ring's worth, at most half or a quarter. */
	const uint32_t most = settings->frames / (is_shared(queue) ? 4 : 2);
	const uint32_t for_transmission = transmit ? smaller(settings->rings.tx, most) : 0;

	queue->receive_frames = settings->frames - for_transmission;
	queue->filled = smaller(queue->receive_frames, settings->rings.fill);
}

static void fill(struct queue *queue, bool transmit)
{
	divide_frames(queue, transmit);
	xsk_fill(&queue->xsk, &queue->umem, queue->filled);
}

/* UMEM and socket with a filled fill ring, not bound. Returns 0 or -errno with the sentence in queue->why. */
static int prepare(struct queue *queue)
{
	const struct config_queue *settings = queue->settings;
	const bool transmit = somebody_may_transmit(queue);
	int r;

	if (is_shared(queue) && !queue->share) {
		queue->share = share_new(queue);
		if (!queue->share)
			return fail_prepare(queue, ENOMEM);
	}
	r = umem_create(&queue->umem, settings->frames, settings->frame_size, settings->headroom,
			is_shared(queue));
	if (r < 0)
		return fail_prepare(queue, -r);
	r = xsk_open(&queue->xsk, &queue->umem, &settings->rings, transmit);
	if (r == 0)
		r = xsk_confine(&queue->xsk, queue->interface->name);
	if (r < 0) {
		close_socket(queue);
		return fail_prepare(queue, -r);
	}
	fill(queue, transmit);
	return 0;
}

uint32_t queue_lendable(const struct queue *queue)
{
	return queue->receive_frames - queue->receive_frames / 4;
}

static const struct config_group *group_of(const struct queue *queue, const char *name)
{
	return is_shared(queue) ? config_find_group(queue->interface->config, name) : NULL;
}

const struct access_list *queue_attach_list(const struct queue *queue, const char *group_name)
{
	const struct config_group *group = group_of(queue, group_name);

	return group && group->restricted ? &group->attach.who : &queue->settings->attach.who;
}

bool queue_may_transmit(const struct queue *queue, const char *group_name)
{
	const struct config_group *group = group_of(queue, group_name);

	/* The ring is made with the socket. */
	if (is_shared(queue) && !queue->xsk.rings[XSK_TX].size)
		return false;
	return group && group->transmit_given ? group->attach.transmit
					      : queue->settings->attach.transmit;
}

static int bind_socket(struct queue *queue)
{
	const struct interface *interface = queue->interface;
	int r = xsk_bind(&queue->xsk, interface->link.ifindex, queue->id, queue->settings->bind,
			 interface->redirect && interface->redirect->mode == XDPD_MODE_NATIVE);

	if (r == 0)
		queue->bind_mode = queue->xsk.bound;
	return r;
}

static int fail_held(struct queue *queue, struct failure *why)
{
	const struct former_consumer *former = &queue->former;
	const char *device = queue->interface->name;

	if (!former->name[0] && queue->tries < RELEASING_TRIES)
		return failure(why, EBUSY,
			       "%s queue %u: waits for an AF_XDP socket to be released (EBUSY)",
			       device, queue->id);
	if (!former->name[0])
		return failure(
			why, EBUSY,
			"%s queue %u: another program's AF_XDP socket has the queue (EBUSY); end "
			"that program, `ss --xdp -p` lists them",
			device, queue->id);
	return failure(why, EBUSY,
		       "%s queue %u: former consumer `%s` (uid %u, pid %d) still holds its socket "
		       "(EBUSY); the queue is free as soon as it closes it or ends",
		       device, queue->id, former->name, former->uid, former->pid);
}

static int fail_bind(struct queue *queue, int code, struct failure *why)
{
	const char *device = queue->interface->name;

	switch (code) {
	case EBUSY:
		return fail_held(queue, why);
	case EOPNOTSUPP:
		return failure(
			why, code,
			"%s queue %u: %s has no zero-copy (EOPNOTSUPP); set `bind: copy` or `auto`",
			device, queue->id,
			queue->interface->redirect &&
					queue->interface->redirect->mode == XDPD_MODE_GENERIC
				? "generic mode"
				: "the driver");
	case ENETDOWN:
		return failure(why, code,
			       "%s queue %u: the link is down (ENETDOWN); `ip link set %s up`",
			       device, queue->id, device);
	case ENODEV:
		return failure(why, code, "%s queue %u: the interface is gone (ENODEV)", device,
			       queue->id);
	case EINVAL:
		return failure(
			why, code,
			"%s queue %u: the kernel refuses the bind (EINVAL); the driver may "
			"not take frames of %u bytes with its MTU, or have no such queue for "
			"AF_XDP",
			device, queue->id, queue->settings->frame_size);
	default:
		return failure(why, code, "%s queue %u: can't bind the AF_XDP socket (%s)", device,
			       queue->id, strerrorname_np(code));
	}
}

static void try_bind(struct queue *queue);

static int on_retry(sd_event_source *source, uint64_t now, void *context)
{
	struct queue *queue = context;

	(void)source;
	(void)now;
	queue->retry = sd_event_source_disable_unref(queue->retry);
	if (queue->xsk.fd < 0)
		queue_open(queue);
	else
		try_bind(queue);
	return 0;
}

static uint64_t busy_delay(unsigned int tries)
{
	if (tries < SOON_TRIES)
		return SOON_MS;
	return tries < RELEASING_TRIES ? RELEASING_MS : BUSY_MS;
}

static uint64_t failed_delay(unsigned int tries)
{
	return (uint64_t)FAILED_MS << smaller(tries, FAILED_DOUBLED);
}

static void retry_later(struct queue *queue, uint64_t delay)
{
	queue->tries++;
	queue->retry = sd_event_source_disable_unref(queue->retry);
	(void)sd_event_add_time_relative(queue->interface->daemon->event, &queue->retry,
					 CLOCK_MONOTONIC, delay * 1000, 1000, on_retry, queue);
}

static void forget_former(struct queue *queue)
{
	queue->former.exit = sd_event_source_disable_unref(queue->former.exit);
	queue->former = (struct former_consumer){};
}

static void become_ready(struct queue *queue)
{
	queue->retry = sd_event_source_disable_unref(queue->retry);
	queue->tries = 0;
	forget_former(queue);
	enter(queue, XDPD_QUEUE_READY);
	if (is_shared(queue))
		share_expect(queue->share);
}

static void fail_open(struct queue *queue, bool again)
{
	close_socket(queue);
	/* Until now something else was tried again. */
	if (queue->state != XDPD_QUEUE_FAILED)
		queue->tries = 0;
	enter(queue, XDPD_QUEUE_FAILED);
	if (again)
		retry_later(queue, failed_delay(queue->tries));
}

/* Whoever is handed an unbound socket can give it a TX ring and bind it, and need never say READY. */
static int refuse_unbound(struct queue *queue)
{
	const char *device = queue->interface->name;

	if (queue->settings->handover == CONFIG_HANDOVER_BOUND)
		return failure(
			&queue->why, EOPNOTSUPP,
			"%s queue %u: this kernel can't map a bound socket's rings, and `handover: "
			"bound` rules out the other way; use a newer kernel or set `handover: "
			"auto`",
			device, queue->id);
	if (!queue->settings->attach.transmit)
		return failure(
			&queue->why, EOPNOTSUPP,
			"%s queue %u: this kernel can't map a bound socket's rings, and an unbound "
			"one does not keep to `transmit: false`; use a newer kernel or allow it to "
			"transmit",
			device, queue->id);
	if (!xsk_confinement_holds(device))
		return failure(&queue->why, EOPNOTSUPP,
			       "%s queue %u: this kernel can't map a bound socket's rings, nor "
			       "keep an unbound one to its interface; use a newer kernel",
			       device, queue->id);
	return 0;
}

/*
 * The first bound socket tells what this kernel can. Where it can't be handed over any more it has shown at least
 * that the queue can be had, and is given up for an unbound one; a consumer's bind may find it being released yet.
 */
static void arrange_handover(struct queue *queue)
{
	struct daemon *daemon = queue->interface->daemon;

	/* Shared: nobody gets the socket. */
	if (is_shared(queue)) {
		become_ready(queue);
		return;
	}
	if (daemon->handover == HANDOVER_UNKNOWN)
		daemon->handover =
			xsk_can_be_mapped(&queue->xsk) ? HANDOVER_BOUND : HANDOVER_UNBOUND;
	if (daemon->handover == HANDOVER_BOUND) {
		become_ready(queue);
		return;
	}
	close_socket(queue);
	if (refuse_unbound(queue) < 0) {
		fail_open(queue, false);
	} else if (prepare(queue) < 0) {
		fail_open(queue, true);
	} else {
		become_ready(queue);
	}
}

static void try_bind(struct queue *queue)
{
	int r = bind_socket(queue);

	if (r == 0) {
		arrange_handover(queue);
	} else if (r == -EBUSY) {
		/* Most often a socket that was closed here just now, a consumer's or one of other settings. */
		fail_bind(queue, -r, &queue->why);
		enter(queue,
		      queue->tries < RELEASING_TRIES ? XDPD_QUEUE_RELEASING : XDPD_QUEUE_BUSY);
		retry_later(queue, busy_delay(queue->tries));
	} else {
		/* What the link's news or another config have to change is not tried again before. */
		fail_bind(queue, -r, &queue->why);
		fail_open(queue,
			  r != -EOPNOTSUPP && r != -EINVAL && r != -ENETDOWN && r != -ENODEV);
	}
}

static void forget_renewal(struct queue *queue)
{
	queue->renewal = renewal_abandon(queue->renewal);
}

void queue_open(struct queue *queue)
{
	const struct interface *interface = queue->interface;

	forget_renewal(queue);
	queue->retry = sd_event_source_disable_unref(queue->retry);
	if (!interface->redirect) {
		queue->why = interface->why;
		enter(queue, XDPD_QUEUE_FAILED);
	} else if (prepare(queue) < 0) {
		fail_open(queue, true);
	} else {
		try_bind(queue);
	}
}

void queue_close(struct queue *queue, enum detach_reason reason, const char *why)
{
	forget_renewal(queue);
	queue->retry = sd_event_source_disable_unref(queue->retry);
	queue->tries = 0;
	failure(&queue->why, ENETDOWN, "%s queue %u: %s", queue->interface->name, queue->id, why);
	enter(queue, XDPD_QUEUE_WAITING);
	while (queue->attachments)
		attachment_revoke(queue->attachments, reason, ENETDOWN, queue->why.text);
	close_socket(queue);
	queue->bind_mode = XDPD_BIND_NONE;
}

struct queue *queue_free(struct queue *queue)
{
	forget_former(queue);
	share_free(queue->share);
	free(queue);
	return NULL;
}

/* ---- between processes ---- */

void queue_save(const struct queue *queue, struct saved_queue *ret)
{
	const struct config_queue *settings = queue->settings;

	*ret = (struct saved_queue){
		.key = queue->key,
		.queue = queue->id,
		.delivery = settings->delivery,
		.frames = queue->umem.frames,
		.frame_size = queue->umem.frame_size,
		.headroom = queue->umem.headroom,
		.rx = queue->xsk.rings[XSK_RX].size,
		.tx = queue->xsk.rings[XSK_TX].size,
		.fill = queue->xsk.rings[XSK_FILL].size,
		.completion = queue->xsk.rings[XSK_COMPLETION].size,
		.receive_frames = queue->receive_frames,
		.filled = queue->filled,
		.bind_mode = queue->bind_mode,
		.counting = queue->counting,
		.seen_received = queue->seen_received,
		.seen_transmitted = queue->seen_transmitted,
		.writable = settings->writable,
		.seen_bytes = queue->seen_bytes,
		.unclaimed_packets = queue->unclaimed_packets,
		.socket_packets = queue->socket_packets,
	};
	(void)snprintf(ret->device, sizeof(ret->device), "%s", queue->interface->name);
	if (queue->share)
		share_save(queue->share, ret);
}

static bool is_as_wanted(const struct queue *queue, const struct saved_queue *saved)
{
	const struct config_queue *settings = queue->settings;

	return saved->delivery == settings->delivery && saved->frames == settings->frames &&
	       saved->frame_size == settings->frame_size && saved->headroom == settings->headroom &&
	       saved->rx == settings->rings.rx && saved->fill == settings->rings.fill &&
	       saved->completion == settings->rings.completion &&
	       (!saved->tx || saved->tx == settings->rings.tx) &&
	       saved->writable == settings->writable;
}

int queue_adopt(struct queue *queue, const struct saved_queue *saved, int xsk_fd, int umem_fd)
{
	const struct config_queue *settings = queue->settings;
	int r = xsk_fd >= 0 && umem_fd >= 0 && is_as_wanted(queue, saved) ? 0 : -EBADMSG;

	if (r < 0) {
		close_fd(xsk_fd);
		close_fd(umem_fd);
		return r;
	}
	r = umem_adopt(&queue->umem, umem_fd, saved->frames, saved->frame_size, saved->headroom,
		       is_shared(queue));
	if (r < 0) {
		close_fd(xsk_fd);
		return r;
	}
	r = xsk_adopt(&queue->xsk, xsk_fd, &settings->rings, saved->tx != 0);
	if (r < 0) {
		umem_close(&queue->umem);
		return r;
	}
	queue->key = saved->key;
	queue->state = XDPD_QUEUE_ATTACHED;
	queue->receive_frames = saved->receive_frames;
	queue->filled = saved->filled;
	queue->bind_mode = saved->bind_mode;
	queue->counting = saved->counting && xsk_has_rings(&queue->xsk);
	queue->seen_received = saved->seen_received;
	queue->seen_transmitted = saved->seen_transmitted;
	queue->seen_bytes = saved->seen_bytes;
	queue->unclaimed_packets = saved->unclaimed_packets;
	queue->socket_packets = saved->socket_packets;
	return 0;
}

static int bind_when_released(struct queue *queue)
{
	const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
	int r;

	for (int waited_ms = 0; (r = bind_socket(queue)) == -EBUSY && waited_ms < RENEW_MS;
	     waited_ms += 2)
		nanosleep(&pause, NULL);
	return r;
}

int queue_renew_socket(struct queue *queue, uint64_t *ret_arrived, struct failure *why)
{
	const struct store_name name = store_name('q', queue->key, "xsk");
	const bool transmit = queue->xsk.rings[XSK_TX].size != 0;
	struct xdp_statistics last = {};
	const uint64_t redirected = queue_redirected(queue).packets - queue->unclaimed_packets;
	uint64_t dropped;
	int r;

	(void)xsk_statistics(&queue->xsk, &last);
	statistics_add(&queue->totals->statistics, &last);
	dropped = last.rx_dropped + last.rx_ring_full;
	/* The two are read one after the other, and other programs may redirect to the socket, too. */
	*ret_arrived = redirected > dropped ? redirected - dropped : 0;
	xsk_close(&queue->xsk);
	/* The kernel releases the queue when the service manager has closed its duplicate, too. */
	store_remove(name.text);
	store_settle();
	r = xsk_open(&queue->xsk, &queue->umem, &queue->settings->rings, transmit);
	if (r < 0) {
		fail_prepare(queue, -r);
		*why = queue->why;
		return r;
	}
	r = bind_when_released(queue);
	if (r < 0)
		return fail_bind(queue, -r, why);
	return store_put(name.text, queue->xsk.fd, false);
}

/* ---- between consumers ---- */

static int on_former_exit(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct queue *queue = context;

	(void)source;
	(void)fd;
	(void)events;
	queue->former.exit = sd_event_source_disable_unref(queue->former.exit);
	if (queue->retry) {
		queue->tries = 0;
		retry_later(queue, busy_delay(queue->tries));
	}
	return 0;
}

static void remember_former(struct queue *queue, const char *name, uid_t uid, pid_t pid)
{
	struct former_consumer *former = &queue->former;
	int pidfd = peer_open_pidfd(pid);

	forget_former(queue);
	(void)snprintf(former->name, sizeof(former->name), "%s", name);
	former->uid = uid;
	former->pid = pid;
	if (pidfd < 0)
		return;
	if (sd_event_add_io(queue->interface->daemon->event, &former->exit, pidfd, EPOLLIN,
			    on_former_exit, queue) < 0)
		close_fd(pidfd);
	else
		(void)sd_event_source_set_io_fd_own(former->exit, true);
}

static void on_renewed(void *context, struct umem umem, struct xsk xsk, int r)
{
	struct queue *queue = context;

	queue->renewal = NULL;
	if (r < 0) {
		fail_prepare(queue, -r);
		fail_open(queue, true);
		return;
	}
	queue->umem = umem;
	queue->xsk = xsk;
	fill(queue, xsk.rings[XSK_TX].size != 0);
	try_bind(queue);
}

/* Closes what the queue has and makes it anew, while others are served. */
static int renew(struct queue *queue)
{
	const struct config_queue *settings = queue->settings;
	struct renewal_wish wish = {
		.old_umem = queue->umem,
		.old_xsk = queue->xsk,
		.frames = settings->frames,
		.frame_size = settings->frame_size,
		.headroom = settings->headroom,
		.shared = is_shared(queue),
		.transmit = somebody_may_transmit(queue),
		.rings = settings->rings,
	};
	int r;

	(void)snprintf(wish.device, sizeof(wish.device), "%s", queue->interface->name);
	r = renewal_begin(&queue->renewal, queue->interface->daemon->renewer, &wish, on_renewed,
			  queue);
	if (r < 0)
		return r;
	queue->umem = UMEM_NONE;
	queue->xsk = XSK_NONE;
	return 0;
}

void queue_recycle(struct queue *queue, const char *name, uid_t uid, pid_t pid)
{
	/* A socket that is still unbound, as when its bind found the queue taken, keeps no other out. */
	const bool was_theirs = !is_shared(queue) && (queue->xsk.bound != XDPD_BIND_NONE ||
						      !xsk_can_be_mapped(&queue->xsk));
	/* Closing, not recycling: whoever set the state goes on from here. */
	const bool goes_on = queue->state == XDPD_QUEUE_ATTACHED;

	leave_socket(queue);
	if (was_theirs)
		remember_former(queue, name, uid, pid);
	else
		forget_former(queue);
	queue->tries = 0;
	if (goes_on && queue->interface->daemon->stopping) {
		failure(&queue->why, ESHUTDOWN, "%s queue %u: xdpd is stopping",
			queue->interface->name, queue->id);
		enter(queue, XDPD_QUEUE_WAITING);
		release_socket(queue);
		return;
	}
	if (goes_on && queue->interface->redirect && renew(queue) == 0) {
		fail_held(queue, &queue->why);
		enter(queue, XDPD_QUEUE_RELEASING);
		return;
	}
	if (!goes_on) {
		/* It was closed under its consumers, who may look at what has arrived. */
		xsk_close(&queue->xsk);
		umem_close_later(&queue->umem, queue->interface->daemon->event);
		return;
	}
	release_socket(queue);
	queue_open(queue);
}

int queue_bind_late(struct queue *queue, struct failure *why)
{
	int r = bind_socket(queue);

	/* Bound already: EBUSY too. */
	if (r == -EINVAL || (r == -EBUSY && !xsk_can_be_mapped(&queue->xsk)))
		return failure(why, EPROTO,
			       "%s queue %u: the consumer bound or changed the socket that it was "
			       "handed (%s)",
			       queue->interface->name, queue->id, strerrorname_np(-r));
	return r < 0 ? fail_bind(queue, -r, why) : 0;
}
