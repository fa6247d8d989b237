// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/consumer.h"

#include <endian.h>
#include <errno.h>
#include <linux/bpf.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/xdpd.h"
#include "tests/live/child.h"
#include "tests/live/flow.h"
#include "tests/live/harness.h"
#include "tests/live/instance.h"
#include "tests/live/numbers.h"
#include "tests/live/packet.h"
#include "tests/live/traffic.h"

#define BURST	   64
#define LENGTH_MAX 4096
#define PATIENCE   15000 /* milliseconds for what shall come */
#define GLANCE	   5	 /* milliseconds after which a sleeping consumer looks for new orders */

#define NUMBER_END (PACKET_UDP_PAYLOAD + sizeof(uint64_t))
#define PORT	   7
#define PORT_AT	   (PACKET_UDP_PAYLOAD - 8)

/* What test and consumer share. */
struct desk {
	struct consumer_options options;
	char socket[108];
	int attached; /* 0: not yet; 1; or -errno */
	int stop;
	int task, task_begun; /* enum consumer_task, plus 1 */
	struct consumer_report report;
	uint64_t flows[CONSUMER_FLOWS_MAX]; /* frames received of each */
};

struct consumer {
	struct child *child;
	struct desk *desk;
};

/* ---- frames ---- */

void consumer_frame(void *frame, size_t length, uint64_t number)
{
	uint8_t *bytes = frame;

	packet_udp(frame, length, &(struct packet_udp){.source_port = PORT});
	for (size_t i = NUMBER_END; i < length; i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 8));
	number = htobe64(number);
	memcpy(bytes + PACKET_UDP_PAYLOAD, &number, sizeof(number));
}

bool consumer_frame_is_whole(const void *frame, size_t length)
{
	static uint8_t whole[LENGTH_MAX];
	static size_t made;
	const uint8_t *bytes = frame;

	if (length < NUMBER_END || length > LENGTH_MAX)
		return false;
	if (made != length)
		consumer_frame(whole, made = length, 0);
	return memcmp(bytes, whole, PACKET_UDP_PAYLOAD) == 0 &&
	       memcmp(bytes + NUMBER_END, whole + NUMBER_END, length - NUMBER_END) == 0;
}

void consumer_frames_arrive(int far, size_t length, uint64_t first, uint64_t count)
{
	cleanup_numbers struct numbers numbers = {};
	uint8_t frame[LENGTH_MAX];

	assert_ok(numbers_open(&numbers, first, count));
	while (numbers.seen < count) {
		ssize_t got = packet_receive(far, frame, sizeof(frame), PATIENCE);

		if (got < 0)
			fail_msg("%lu of %lu frames arrived; %u missed by the test", numbers.seen,
				 count, packet_missed(far));
		assert_int_equal(got, length);
		assert_true(consumer_frame_is_whole(frame, length));
		numbers_see_frame(&numbers, frame, PACKET_UDP_PAYLOAD);
	}
	assert_int_equal(numbers.again + numbers.strange + numbers.backwards, 0);
	assert_error(packet_receive(far, frame, sizeof(frame), 0), ETIMEDOUT);
}

struct traffic *consumer_flows(const char *device, int cpu, size_t length, uint32_t flows,
			       uint64_t first, uint64_t count, uint64_t rate)
{
	uint8_t frame[LENGTH_MAX];
	struct traffic *traffic = NULL;

	consumer_frame(frame, length, 0);
	assert_ok(traffic_start(&traffic, &(struct traffic_options){.device = device,
								    .cpu = cpu,
								    .frame = frame,
								    .length = length,
								    .count = count,
								    .rate = rate,
								    .number_at = PACKET_UDP_PAYLOAD,
								    .first_number = first,
								    .flows = flows}));
	return traffic;
}

struct traffic *consumer_traffic(const char *device, int cpu, size_t length, uint64_t first,
				 uint64_t count, uint64_t rate)
{
	return consumer_flows(device, cpu, length, 1, first, count, rate);
}

/* ---- in the consumer's process ---- */

struct work {
	struct desk *desk;
	const struct consumer_options *options;
	struct xdpd *x;
	struct xdpd_raw raw;
	int epoll;
	struct numbers numbers;
	struct consumer_report report;
	struct xdp_desc *held;
	uint32_t n_held;
	uint64_t next; /* the number of the next frame to send */
};

static void publish(struct work *work)
{
	struct consumer_report *to = &work->desk->report;
	const uint64_t packets = to->packets, sent = to->sent;

	work->report.seen = work->numbers.seen;
	work->report.again = work->numbers.again;
	work->report.strange = work->numbers.strange;
	work->report.backwards = work->numbers.backwards;
	*to = work->report;
	to->packets = packets;
	to->sent = sent;
	__atomic_store_n(&to->packets, work->report.packets, __ATOMIC_RELEASE);
	__atomic_store_n(&to->sent, work->report.sent, __ATOMIC_RELEASE);
}

/* Uid and capabilities as the kernel has them. */
static void see_oneself(struct consumer_report *report)
{
	cleanup_file FILE *file = fopen("/proc/self/status", "re");
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		(void)sscanf(line, "Uid: %*u %u", &report->uid);
		(void)sscanf(line, "CapEff: %lx", &report->capabilities);
	}
}

/* A frame of consumer_flows(): whole, and of the flow that its number belongs to. */
static bool see_flow(struct work *work, const uint8_t *frame, size_t length)
{
	const uint32_t flows = work->options->flows;
	uint8_t copy[LENGTH_MAX];
	uint64_t number;
	uint16_t port;
	uint32_t flow;

	memcpy(copy, frame, length);
	memcpy(&number, copy + PACKET_UDP_PAYLOAD, sizeof(number));
	memcpy(&port, copy + PORT_AT, sizeof(port));
	flow = (uint32_t)(be64toh(number) % flows);
	if (be16toh(port) != PORT + flow)
		return false;
	port = htobe16(PORT);
	memcpy(copy + PORT_AT, &port, sizeof(port));
	work->desk->flows[flow % CONSUMER_FLOWS_MAX]++;
	return consumer_frame_is_whole(copy, length);
}

static void see_label(struct work *work, const uint8_t *frame, size_t length)
{
	uint32_t label;

	if (flow_label(frame, length, &label) && label < CONSUMER_FLOWS_MAX)
		work->desk->flows[label]++;
	else
		work->report.damaged++;
}

static bool is_whole(struct work *work, const void *frame, size_t length)
{
	return work->options->flows ? see_flow(work, frame, length)
				    : consumer_frame_is_whole(frame, length);
}

static void look_at(struct work *work, const void *frame, const struct xdp_desc *descriptor)
{
	const size_t length = work->options->length;
	const uint64_t place = descriptor->addr % xdpd_frame_size(work->x);

	work->report.packets++;
	work->report.bytes += descriptor->len;
	if (work->options->labels)
		see_label(work, frame, descriptor->len);
	if (!length)
		return;
	if (place < XDP_PACKET_HEADROOM + work->options->headroom || descriptor->len != length ||
	    !is_whole(work, frame, length))
		work->report.damaged++;
	else
		numbers_see_frame(&work->numbers, frame, PACKET_UDP_PAYLOAD);
}

static void reflect(struct work *work, const struct xdp_desc *frames, uint32_t count)
{
	uint32_t done = 0;

	for (;;) {
		uint32_t queued = xdpd_forward(work->x, frames + done, count - done);

		for (uint32_t i = done; i < done + queued; i++)
			work->report.sent_bytes += frames[i].len;
		work->report.sent += queued;
		done += queued;
		if (done == count)
			return;
		if (__atomic_load_n(&work->desk->stop, __ATOMIC_ACQUIRE)) {
			xdpd_release(work->x, frames + done, count - done);
			return;
		}
		(void)xdpd_tx_pending(work->x);
	}
}

static uint32_t receive(struct work *work, enum consumer_task task)
{
	struct xdp_desc frames[BURST];
	uint32_t count = xdpd_rx(work->x, frames, BURST);

	for (uint32_t i = 0; i < count; i++)
		look_at(work, xdpd_frame(work->x, frames[i].addr), &frames[i]);
	if (task == CONSUMER_HOLDS) {
		memcpy(work->held + work->n_held, frames, count * sizeof(*frames));
		work->n_held += count;
	} else if (task == CONSUMER_REFLECTS) {
		reflect(work, frames, count);
	} else {
		xdpd_release(work->x, frames, count);
	}
	return count;
}

static void release_held(struct work *work)
{
	xdpd_release(work->x, work->held, work->n_held);
	work->n_held = 0;
}

/* Where the frames are when nothing is under way: none may be missing. */
static void take_stock(struct work *work)
{
	struct xdpd_stats stats = {.size = sizeof(stats)};

	(void)xdpd_reap(work->x);
	if (xdpd_stats(work->x, &stats) < 0)
		return;
	work->report.overrun = stats.overrun;
	work->report.settled = stats.spare + stats.fill_entries + stats.rx_entries + work->n_held;
}

/* Sends what is left to send, at most a burst; false if there is nothing, or no room. */
static bool send_some(struct work *work)
{
	const struct consumer_options *options = work->options;
	const uint64_t left = options->to_send - work->next;
	const uint32_t burst = options->burst ? options->burst : BURST;
	cleanup_free struct xdp_desc *frames = calloc(burst, sizeof(*frames));
	uint32_t count, queued;

	if (!left || !frames)
		return false;
	count = xdpd_tx_alloc(work->x, frames, left < burst ? (uint32_t)left : burst);
	for (uint32_t i = 0; i < count; i++) {
		frames[i].len = (uint32_t)options->length;
		consumer_frame(xdpd_frame(work->x, frames[i].addr), options->length,
			       work->next + i);
	}
	queued = xdpd_tx(work->x, frames, count);
	xdpd_tx_free(work->x, frames + queued, count - queued);
	work->next += queued;
	work->report.sent += queued;
	work->report.sent_bytes += queued * options->length;
	return queued;
}

/* ---- with ring code of its own ---- */

static uint32_t receive_raw(struct work *work)
{
	struct xdpd_raw_ring *rx = &work->raw.rx, *fill = &work->raw.fill;
	uint32_t produced = __atomic_load_n(rx->producer, __ATOMIC_ACQUIRE);
	uint32_t count = produced - rx->cached_cons;

	for (uint32_t i = 0; i < count; i++) {
		const struct xdp_desc *from =
			(struct xdp_desc *)rx->ring + ((rx->cached_cons + i) & rx->mask);

		look_at(work, (char *)work->raw.umem + from->addr, from);
		((uint64_t *)fill->ring)[(fill->cached_prod + i) & fill->mask] =
			from->addr / work->raw.frame_size * work->raw.frame_size;
	}
	rx->cached_cons += count;
	fill->cached_prod += count;
	__atomic_store_n(rx->consumer, rx->cached_cons, __ATOMIC_RELEASE);
	__atomic_store_n(fill->producer, fill->cached_prod, __ATOMIC_RELEASE);
	return count;
}

static int wait_raw(struct work *work)
{
	struct pollfd readable = {.fd = work->raw.fd, .events = POLLIN};

	(void)poll(&readable, 1, GLANCE);
	return xdpd_wait(work->x, 0);
}

/* ---- the loop ---- */

static int rest(struct work *work)
{
	struct epoll_event event;
	int r;

	switch (work->options->way) {
	case CONSUMER_BY_RAW:
		return wait_raw(work);
	case CONSUMER_BY_EPOLL:
		r = epoll_wait(work->epoll, &event, 1, GLANCE);
		return r < 0 ? -errno : r == 0 ? 0 : xdpd_wait(work->x, 0);
	default:
		return xdpd_wait(work->x, GLANCE);
	}
}

static void take_events(struct work *work)
{
	struct xdpd_event event;

	while (xdpd_next_event(work->x, &event))
		work->report.events |= 1U << event.kind;
}

static enum consumer_task take_orders(struct work *work)
{
	int task = __atomic_load_n(&work->desk->task, __ATOMIC_ACQUIRE);

	if (work->desk->task_begun != task) {
		if (task - 1 != CONSUMER_SLEEPS)
			release_held(work);
		__atomic_store_n(&work->desk->task_begun, task, __ATOMIC_RELEASE);
	}
	return (enum consumer_task)(task - 1);
}

static int run(struct work *work)
{
	while (!__atomic_load_n(&work->desk->stop, __ATOMIC_ACQUIRE)) {
		enum consumer_task task = take_orders(work);
		bool busy = task == CONSUMER_SENDS && send_some(work);
		int r;

		if (task == CONSUMER_SLEEPS)
			(void)usleep(GLANCE * 1000);
		else if (work->options->way == CONSUMER_BY_RAW)
			busy = receive_raw(work);
		else
			busy |= receive(work, task) != 0;
		publish(work);
		if (task == CONSUMER_DAWDLES)
			(void)usleep(1000);
		if (busy || task == CONSUMER_SLEEPS)
			continue;
		if (work->options->way != CONSUMER_BY_RAW)
			take_stock(work);
		r = rest(work);
		take_events(work);
		if (r == -ENETDOWN && task == CONSUMER_SENDS) {
			work->report.transmit_error = r;
			(void)usleep(GLANCE * 1000);
		} else if (r < 0) {
			return r;
		} else if (r & XDPD_WAIT_REATTACHED) {
			work->report.reattached++;
		}
		publish(work);
	}
	return 0;
}

static int attach(struct work *work)
{
	const struct consumer_options *options = work->options;
	const struct xdpd_attach_options how = {
		.size = sizeof(how),
		.flags = options->flags | (options->transmit ? XDPD_ATTACH_TRANSMIT : 0),
		.group = options->group,
		.snap_length = options->snap_length,
		.reattach_ms = options->reattach_ms,
	};
	struct epoll_event event = {.events = EPOLLIN};
	int r = xdpd_connect(&work->x, work->desk->socket,
			     options->name ? options->name : "consumer");

	if (r == 0)
		r = xdpd_attach(work->x, options->device, options->queue, &how);
	if (r == 0 && options->way == CONSUMER_BY_RAW)
		r = xdpd_raw(work->x, &work->raw);
	if (r < 0)
		return r;
	work->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (work->epoll < 0 || epoll_ctl(work->epoll, EPOLL_CTL_ADD, xdpd_fd(work->x), &event) < 0)
		return -errno;
	work->report.frames = xdpd_frames(work->x);
	work->report.may_transmit = xdpd_may_transmit(work->x);
	work->held = calloc(work->report.frames + BURST, sizeof(*work->held));
	return work->held ? 0 : -ENOMEM;
}

static int consume(void *argument)
{
	struct desk *desk = argument;
	struct work work = {.desk = desk, .options = &desk->options, .epoll = -1};
	int r = numbers_open(&work.numbers, desk->options.first, desk->options.count);

	see_oneself(&work.report);
	if (r == 0)
		r = attach(&work);
	publish(&work);
	if (r < 0 && work.x)
		(void)snprintf(desk->report.reason, sizeof(desk->report.reason), "%s",
			       xdpd_reason(work.x));
	__atomic_store_n(&desk->attached, r < 0 ? r : 1, __ATOMIC_RELEASE);
	if (r == 0) {
		work.report.ended = run(&work);
		if (desk->options.way != CONSUMER_BY_RAW)
			take_stock(&work);
		(void)snprintf(work.report.reason, sizeof(work.report.reason), "%s",
			       xdpd_reason(work.x));
		publish(&work);
	}
	numbers_close(&work.numbers);
	free(work.held);
	(void)close_fd(work.epoll);
	xdpd_close(work.x);
	return 0;
}

/* ---- in the test ---- */

static struct consumer launch(const struct consumer_options *options)
{
	struct desk *desk = live_shared(sizeof(*desk));
	struct consumer consumer = {.desk = desk};

	desk->options = *options;
	desk->task = (int)options->task + 1;
	(void)snprintf(desk->socket, sizeof(desk->socket), "%s",
		       instance_socket(options->instance));
	assert_ok(child_start(
		&consumer.child,
		&(struct child_options){.call = consume,
					.argument = desk,
					.uid = options->uid ? options->uid : CHILD_NOBODY}));
	assert_becomes(__atomic_load_n(&desk->attached, __ATOMIC_ACQUIRE) ||
			       !child_is_alive(consumer.child),
		       PATIENCE);
	return consumer;
}

struct consumer *consumer_start(const struct consumer_options *options)
{
	struct consumer *consumer = calloc(1, sizeof(*consumer));

	assert_non_null(consumer);
	*consumer = launch(options);
	if (consumer->desk->attached != 1)
		fail_msg("no consumer at %s queue %u: %s: %s", options->device, options->queue,
			 strerror(-consumer->desk->attached), consumer->desk->report.reason);
	assert_int_not_equal(consumer->desk->report.uid, 0);
	assert_int_equal(consumer->desk->report.capabilities, 0);
	return consumer;
}

void consumer_is_refused(const struct consumer_options *options, int code, const char *text)
{
	struct consumer consumer = launch(options);

	if (consumer.desk->attached != -code || !strstr(consumer.desk->report.reason, text))
		fail_msg("%s queue %u: %s: `%s` instead of %s: `... %s ...`", options->device,
			 options->queue,
			 consumer.desk->attached < 0 ? strerror(-consumer.desk->attached)
						     : "no error",
			 consumer.desk->report.reason, strerror(code), text);
	(void)child_end(consumer.child);
	(void)munmap(consumer.desk, sizeof(*consumer.desk));
}

pid_t consumer_pid(const struct consumer *consumer)
{
	return child_pid(consumer->child);
}

struct consumer_report consumer_report(const struct consumer *consumer)
{
	const struct consumer_report *from = &consumer->desk->report;
	uint64_t packets = __atomic_load_n(&from->packets, __ATOMIC_ACQUIRE);
	uint64_t sent = __atomic_load_n(&from->sent, __ATOMIC_ACQUIRE);
	struct consumer_report report = *from;

	report.packets = packets;
	report.sent = sent;
	return report;
}

uint64_t consumer_flow(const struct consumer *consumer, uint32_t flow)
{
	return __atomic_load_n(&consumer->desk->flows[flow], __ATOMIC_RELAXED);
}

void consumer_signal(const struct consumer *consumer, int signal)
{
	assert_ok(child_signal(consumer->child, signal));
}

void consumer_kill(struct consumer *consumer)
{
	child_kill(consumer->child);
	(void)child_end(consumer->child);
	(void)munmap(consumer->desk, sizeof(*consumer->desk));
	free(consumer);
}

static void awaits(const struct consumer *consumer, const uint64_t *count, uint64_t wanted,
		   const char *what)
{
	if (!wait_until(__atomic_load_n(count, __ATOMIC_ACQUIRE) >= wanted ||
				!child_is_alive(consumer->child),
			PATIENCE) ||
	    *count < wanted)
		fail_msg("the consumer has %s %lu frames instead of %lu%s%s", what, *count, wanted,
			 child_is_alive(consumer->child) ? "" : ", and ended: ",
			 consumer->desk->report.reason);
}

void consumer_awaits(const struct consumer *consumer, uint64_t packets)
{
	awaits(consumer, &consumer->desk->report.packets, packets, "received");
}

void consumer_awaits_sent(const struct consumer *consumer, uint64_t packets)
{
	awaits(consumer, &consumer->desk->report.sent, packets, "sent");
}

void consumer_awaits_event(const struct consumer *consumer, enum xdpd_event_kind kind)
{
	if (!wait_until(consumer_report(consumer).events & 1U << kind, PATIENCE))
		fail_msg("no event of kind %d within %d ms", (int)kind, PATIENCE);
}

void consumer_turns_to(struct consumer *consumer, enum consumer_task task)
{
	__atomic_store_n(&consumer->desk->task, (int)task + 1, __ATOMIC_RELEASE);
	assert_becomes(__atomic_load_n(&consumer->desk->task_begun, __ATOMIC_ACQUIRE) ==
			       (int)task + 1,
		       PATIENCE);
}

static struct consumer_report finish(struct consumer *consumer)
{
	int status = child_wait(consumer->child, PATIENCE);
	struct consumer_report report = consumer_report(consumer);

	if (status != 0)
		fail_msg("the consumer ended with status %d", status);
	(void)child_end(consumer->child);
	(void)munmap(consumer->desk, sizeof(*consumer->desk));
	free(consumer);
	return report;
}

struct consumer_report consumer_stop(struct consumer *consumer)
{
	struct consumer_report report;

	__atomic_store_n(&consumer->desk->stop, 1, __ATOMIC_RELEASE);
	report = finish(consumer);
	if (report.ended)
		fail_msg("the consumer ended by itself: %s: %s", strerror(-report.ended),
			 report.reason);
	return report;
}

struct consumer_report consumer_ends(struct consumer *consumer, const char *text)
{
	struct consumer_report report = finish(consumer);

	if (!report.ended || !strstr(report.reason, text))
		fail_msg("the consumer ended with `%s` and `%s` instead of `... %s ...`",
			 strerror(-report.ended), report.reason, text);
	return report;
}

void consumer_got_all(const struct consumer_report *report, uint64_t count)
{
	if (report->packets != count || report->seen != count || report->again || report->strange ||
	    report->damaged)
		fail_msg("of %lu frames %lu arrived: %lu different ones, %lu again, %lu strange, "
			 "%lu damaged",
			 count, report->packets, report->seen, report->again, report->strange,
			 report->damaged);
}

bool receive_only_is_refused(const struct instance *daemon)
{
	cleanup_ran struct ran ran = {};

	instance_ctl(daemon, &ran, "show", "queues");
	return strstr(ran.output, "does not keep to `transmit: false`") != NULL;
}
