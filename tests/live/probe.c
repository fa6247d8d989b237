// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/probe.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "client/xdpd.h"
#include "tests/live/harness.h"
#include "tests/live/instance.h"
#include "tests/live/numbers.h"
#include "tests/live/packet.h"
#include "tests/live/protocol.h"

#define PROBE_PORT     7777 /* by which its frames are known */
#define PROBE_LENGTH   60
#define PASSING	       5
#define DELIVERED      24 /* what the smallest rings hold, if the consumer is kept waiting */
#define ATTACH_LIMIT   10000
#define RECEIVE_LIMIT  10000
#define SOURCE_PORT_AT 34

struct probe probe_open(const struct instance *instance, const char *near, const char *far,
			uint32_t queue)
{
	struct probe probe = {
		.socket = instance_socket(instance), .near = near, .queue = queue, .next = 1};

	probe.far_fd = (int)assert_ok(packet_open(far));
	probe.near_fd = (int)assert_ok(packet_open(near));
	assert_ok(packet_choose_queue(probe.far_fd, far, queue));
	return probe;
}

void probe_close(struct probe *probe)
{
	probe->far_fd = close_fd(probe->far_fd);
	probe->near_fd = close_fd(probe->near_fd);
}

static bool is_probe(const void *frame, size_t length)
{
	const uint8_t *bytes = frame;

	return length == PROBE_LENGTH &&
	       (bytes[SOURCE_PORT_AT] << 8 | bytes[SOURCE_PORT_AT + 1]) == PROBE_PORT;
}

void probe_send(struct probe *probe, uint64_t count)
{
	uint8_t frame[PROBE_LENGTH];

	packet_udp(frame, sizeof(frame), &(struct packet_udp){.source_port = PROBE_PORT});
	for (uint64_t i = 0; i < count; i++) {
		uint64_t number = htobe64(probe->next++);

		memcpy(frame + PACKET_UDP_PAYLOAD, &number, sizeof(number));
		assert_ok(packet_send(probe->far_fd, frame, sizeof(frame)));
	}
}

/* ---- without a consumer ---- */

void probe_becomes(const struct probe *probe, enum xdpd_queue_state state, int timeout_ms)
{
	struct xdpd_queue_record record = {};

	if (!wait_until(protocol_find_queue(probe->socket, probe->near, probe->queue, &record) ==
					0 &&
				record.state == state,
			timeout_ms))
		fail_msg("%s queue %u is not in state %d after %d ms but in %u: %s", probe->near,
			 probe->queue, state, timeout_ms, record.state, record.reason);
}

void probe_passes(struct probe *probe)
{
	cleanup_numbers struct numbers numbers = {};

	probe_becomes(probe, XDPD_QUEUE_READY, ATTACH_LIMIT);
	assert_ok(numbers_open(&numbers, probe->next, PASSING));
	probe_send(probe, PASSING);
	while (numbers.seen < PASSING) {
		uint8_t frame[PROBE_LENGTH];
		ssize_t length =
			assert_ok(packet_receive(probe->near_fd, frame, sizeof(frame), 5000));

		if (is_probe(frame, (size_t)length))
			numbers_see_frame(&numbers, frame, PACKET_UDP_PAYLOAD);
	}
	assert_int_equal(numbers.again, 0);
}

/* ---- with a consumer ---- */

/* Shared with the child, which ends its life. */
struct order {
	struct protocol_target target;
	uint64_t first, count;
	int attached; /* 0: not yet; 1; or -errno */
};

static int attach(struct xdpd **ret, struct order *order)
{
	const struct xdpd_attach_options options = {
		.size = sizeof(options),
		.flags = order->target.transmit ? XDPD_ATTACH_TRANSMIT : 0,
	};
	int r = xdpd_connect(ret, order->target.socket, order->target.name);

	if (r == 0)
		r = xdpd_attach(*ret, order->target.device, order->target.queue, &options);
	if (r < 0)
		(void)fprintf(stderr, "can't attach: %s: %s\n", strerror(-r),
			      *ret ? xdpd_reason(*ret) : "");
	stepper_write(&order->attached, r < 0 ? r : 1);
	return r;
}

static void see(struct xdpd *x, struct numbers *numbers)
{
	struct xdp_desc frames[64];
	uint32_t count;

	while ((count = xdpd_rx(x, frames, 64))) {
		for (uint32_t i = 0; numbers && i < count; i++) {
			const void *frame = xdpd_frame(x, frames[i].addr);

			if (is_probe(frame, frames[i].len))
				numbers_see_frame(numbers, frame, PACKET_UDP_PAYLOAD);
		}
		xdpd_release(x, frames, count);
	}
}

static int receive_all(void *argument)
{
	struct order *order = argument;
	cleanup_numbers struct numbers numbers = {};
	struct xdpd *x = NULL;
	int r = attach(&x, order);

	if (r == 0)
		r = numbers_open(&numbers, order->first, order->count);
	while (r >= 0 && numbers.seen < order->count) {
		struct xdpd_event event;

		r = xdpd_wait(x, RECEIVE_LIMIT);
		while (xdpd_next_event(x, &event))
			;
		if (r == 0)
			r = -ETIMEDOUT;
		see(x, &numbers);
	}
	if (numbers.seen < order->count || numbers.again || numbers.strange)
		(void)fprintf(stderr,
			      "%lu of %lu frames came, %lu more than once, %lu unasked; %s: %s\n",
			      numbers.seen, order->count, numbers.again, numbers.strange,
			      r < 0 ? strerror(-r) : "", x ? xdpd_reason(x) : "");
	else
		r = 0;
	xdpd_close(x);
	return r < 0;
}

static int receive_until_ended(void *argument)
{
	struct order *order = argument;
	struct xdpd *x = NULL;
	int r = attach(&x, order);

	while (r >= 0) {
		struct xdpd_event event;

		see(x, NULL);
		while (xdpd_next_event(x, &event))
			(void)dprintf(1, "event: %s\n", event.text);
		r = xdpd_wait(x, -1);
	}
	(void)dprintf(1, "%s\n", x ? xdpd_reason(x) : "");
	xdpd_close(x);
	return -r;
}

static struct child *start(const struct probe *probe, int (*call)(void *), bool transmit,
			   uint64_t count)
{
	struct order *order = live_shared(sizeof(*order));
	struct child *child;

	order->target = protocol_target(probe->socket, probe->near, probe->queue, "probe");
	order->target.transmit = transmit;
	order->first = probe->next;
	order->count = count;
	assert_ok(child_start(
		&child,
		&(struct child_options){.call = call, .argument = order, .uid = CHILD_NOBODY}));
	if (!wait_until(stepper_read(&order->attached), ATTACH_LIMIT) || order->attached < 0) {
		cleanup_free char *errors = child_errors(child);

		fail_msg("no consumer at %s queue %u: %s", probe->near, probe->queue, errors);
	}
	(void)munmap(order, sizeof(*order));
	return child;
}

struct child *probe_attach(struct probe *probe, uint64_t count)
{
	return start(probe, receive_all, false, count);
}

void probe_finish(struct child *consumer)
{
	int status = child_wait(consumer, 2 * RECEIVE_LIMIT);

	if (status != 0) {
		cleanup_free char *errors = child_errors(consumer);

		fail_msg("the consumer ended with %d: %s", status, errors);
	}
	(void)child_end(consumer);
}

void probe_delivers(struct probe *probe)
{
	struct child *consumer = probe_attach(probe, DELIVERED);

	probe_send(probe, DELIVERED);
	probe_finish(consumer);
}

struct child *probe_stay(const struct probe *probe, bool transmit)
{
	return start(probe, receive_until_ended, transmit, 0);
}

void probe_ended(struct child *consumer, int code, const char *reason, int timeout_ms)
{
	int status = child_wait(consumer, timeout_ms);
	cleanup_free char *output = child_output(consumer);

	if ((code ? status != code : status <= 0) || !strstr(output, reason))
		fail_msg("the consumer ended with %d (%s) instead of %d and `%s`, it was told: %s",
			 status,
			 status > 0 && status < 128 ? strerrorname_np(status)
						    : "a signal or timeout",
			 code, reason, output);
	(void)child_end(consumer);
}
