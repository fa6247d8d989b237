// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/shared.h"

#include "tests/live/harness.h"
#include "tests/live/instance.h"
#include "tests/live/protocol.h"
#include "tests/live/traffic.h"

#define PATIENCE    60000
#define RECORDS_MAX 256

void shared_config(char *ret, size_t size, const char *queue, const char *more)
{
	int length = snprintf(ret, size,
			      "access: { attach: { users: [nobody] } }\n"
			      "interfaces:\n"
			      "  - name: near\n"
			      "    queues: [{ id: 0, delivery: shared%s%s }]\n"
			      "%s",
			      queue[0] ? ", " : "", queue, more);

	assert_true(length >= 0 && (size_t)length < size);
}

struct instance *shared_start(const char *queue, const char *more)
{
	char config[4096];

	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far"}));
	shared_config(config, sizeof(config), queue, more);
	return instance_start(config);
}

void shared_reload(struct instance *daemon, const char *queue, const char *more)
{
	char config[4096];

	shared_config(config, sizeof(config), queue, more);
	instance_write_config(daemon, config);
	instance_reload(daemon);
}

/* ---- listings ---- */

static size_t record_size(enum xdpd_list kind)
{
	switch (kind) {
	case XDPD_LIST_CONSUMERS:
		return sizeof(struct xdpd_consumer_record);
	case XDPD_LIST_GROUPS:
		return sizeof(struct xdpd_group_record);
	case XDPD_LIST_RULES:
		return sizeof(struct xdpd_rule_record);
	case XDPD_LIST_WORKERS:
		return sizeof(struct xdpd_worker_record);
	default:
		fail_msg("no list of kind %d here", (int)kind);
		return 0;
	}
}

/* Copies up to `max` records; returns how many there are. */
static size_t list(const struct instance *daemon, enum xdpd_list kind, void *ret, size_t max)
{
	const struct protocol_target target =
		protocol_target(instance_socket(daemon), "", 0, "looker");
	struct xdpd_list_request request = {.kind = kind};
	cleanup_protocol struct protocol protocol;
	const size_t size = record_size(kind);
	struct protocol_message message;
	size_t n = 0;
	long type;

	protocol_init(&protocol, &target);
	assert_ok(protocol_go(&protocol, PROTOCOL_WELCOMED));
	assert_ok(protocol_send(&protocol, XDPD_LIST, &request, sizeof(request)));
	for (;;) {
		type = assert_ok(protocol_receive(&protocol, &message, PROTOCOL_PATIENCE));
		if (type == XDPD_DONE)
			return n;
		assert_int_equal(type, XDPD_RECORD);
		if (n < max)
			memcpy((char *)ret + n * size, &message.queue, size);
		n++;
	}
}

struct xdpd_worker_record shared_worker(const struct instance *daemon)
{
	struct xdpd_worker_record record = {};

	assert_int_equal(list(daemon, XDPD_LIST_WORKERS, &record, 1), 1);
	return record;
}

struct xdpd_queue_record shared_queue(const struct instance *daemon)
{
	struct xdpd_queue_record record = {};

	assert_ok(protocol_find_queue(instance_socket(daemon), "near", 0, &record));
	return record;
}

struct xdpd_consumer_record shared_consumer(const struct instance *daemon, const char *name)
{
	static struct xdpd_consumer_record records[RECORDS_MAX];
	size_t n = list(daemon, XDPD_LIST_CONSUMERS, records, RECORDS_MAX);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(records[i].name, name))
			return records[i];
	fail_msg("there is no consumer `%s`", name);
	return records[0];
}

struct xdpd_group_record shared_group(const struct instance *daemon, const char *name)
{
	static struct xdpd_group_record records[RECORDS_MAX];
	size_t n = list(daemon, XDPD_LIST_GROUPS, records, RECORDS_MAX);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(records[i].name, name))
			return records[i];
	fail_msg("there is no group `%s`", name);
	return records[0];
}

struct xdpd_rule_record shared_rule(const struct instance *daemon, uint32_t rule)
{
	static struct xdpd_rule_record records[RECORDS_MAX];
	size_t n = list(daemon, XDPD_LIST_RULES, records, RECORDS_MAX);

	for (size_t i = 0; i < n; i++)
		if (records[i].rule == rule)
			return records[i];
	fail_msg("there is no rule %u", rule);
	return records[0];
}

size_t shared_rules(const struct instance *daemon)
{
	return list(daemon, XDPD_LIST_RULES, NULL, 0);
}

size_t shared_consumers(const struct instance *daemon)
{
	return list(daemon, XDPD_LIST_CONSUMERS, NULL, 0);
}

/* ---- what shall hold ---- */

static uint32_t lent(const struct instance *daemon)
{
	const struct xdpd_worker_record worker = shared_worker(daemon);
	uint32_t sum = 0;

	for (int i = 0; i < XDPD_PLACE_COUNT; i++)
		sum += worker.frames[i];
	assert_int_equal(sum, shared_queue(daemon).frames);
	return worker.frames[XDPD_PLACE_LENT];
}

void shared_lends_nothing(const struct instance *daemon)
{
	if (!wait_until(lent(daemon) == 0, PATIENCE))
		fail_msg("%u frames are still lent", lent(daemon));
}

struct traffic_result shared_sent_all(struct traffic *traffic, uint64_t count)
{
	struct traffic_result result;

	assert_ok(traffic_finish(traffic, PATIENCE, &result));
	assert_int_equal(result.attempted, count);
	assert_int_equal(result.lost, 0);
	return result;
}

void shared_kernel_lost_nothing(const struct instance *daemon)
{
	const struct xdpd_queue_record queue = shared_queue(daemon);

	assert_int_equal(queue.receive_dropped, 0);
	assert_int_equal(queue.receive_ring_full, 0);
	assert_int_equal(queue.passed_packets, 0);
}
