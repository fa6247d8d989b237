// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/balance.h"

#include <inttypes.h>
#include <stdlib.h>

#include "tests/live/harness.h"
#include "tests/live/instance.h"
#include "tests/live/protocol.h"
#include "tests/live/traffic.h"

static uint64_t verdicts(const char *metrics, const char *device, const char *action)
{
	const double value = metric_value(metrics, "xdpd_xdp_verdicts_total", "device", device,
					  "action", action);

	return value > 0 ? (uint64_t)value : 0; /* NAN: there is no such series */
}

struct balance balance_take_of(const struct instance *daemon, const char *device, uint32_t queue)
{
	cleanup_free char *metrics = instance_metrics(daemon);
	const char *socket = instance_socket(daemon);
	struct balance balance = {};

	assert_ok(protocol_find_queue(socket, device, queue, &balance.queue));
	(void)protocol_find_worker(socket, device, queue, &balance.worker);
	balance.redirected = verdicts(metrics, device, "redirect");
	balance.passed =
		verdicts(metrics, device, "pass") + verdicts(metrics, device, "pass_oversize") +
		verdicts(metrics, device, "pass_rule") + verdicts(metrics, device, "pass_unmarked");
	balance.dropped = verdicts(metrics, device, "drop_rule");
	return balance;
}

struct balance balance_take(const struct instance *daemon)
{
	return balance_take_of(daemon, "near", 0);
}

uint64_t balance_kernel_drops(const struct balance *balance)
{
	return balance->queue.receive_dropped + balance->queue.receive_ring_full;
}

void balance_of_places(const struct balance *balance)
{
	uint32_t sum = 0;

	for (int place = 0; place < XDPD_PLACE_COUNT; place++)
		sum += balance->worker.frames[place];
	assert_int_equal(sum, balance->queue.frames);
}

void balance_holds(const struct balance *before, const struct balance *after,
		   const struct traffic_result *sent)
{
	const uint64_t redirected = after->redirected - before->redirected;
	const uint64_t passed = after->passed - before->passed;
	const uint64_t dropped = after->dropped - before->dropped;
	const uint64_t taken = after->worker.packets - before->worker.packets;
	const uint64_t in_kernel = balance_kernel_drops(after) - balance_kernel_drops(before);

	print_message("# %" PRIu64 " frames, %" PRIu64 " lost before xdpd, %" PRIu64
		      " redirected, %" PRIu64 " passed, %" PRIu64 " dropped by rules; %" PRIu64
		      " taken, %" PRIu64 " dropped by the kernel, %" PRIu64 " unclaimed\n",
		      sent->attempted, sent->lost, redirected, passed, dropped, taken, in_kernel,
		      after->worker.unclaimed - before->worker.unclaimed);
	assert_int_equal(sent->attempted, sent->sent + sent->lost);
	assert_int_equal(sent->sent, redirected + passed + dropped);
	assert_int_equal(redirected, taken + in_kernel);
	balance_of_places(after);
}
