/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/names.h"

#include <sched.h>

#include "daemon/status.h"

#define NAMES(...)                                                                      \
	{                                                                               \
		.of = (const char *const[]){__VA_ARGS__},                               \
		.n = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *), \
	}

const struct names xdp_mode_names =
	NAMES([XDPD_MODE_NONE] = "none", [XDPD_MODE_AUTO] = "auto", [XDPD_MODE_NATIVE] = "native",
	      [XDPD_MODE_GENERIC] = "generic");

const struct names bind_mode_names =
	NAMES([XDPD_BIND_NONE] = "none", [XDPD_BIND_AUTO] = "auto",
	      [XDPD_BIND_ZERO_COPY] = "zero-copy", [XDPD_BIND_COPY] = "copy");

const struct names delivery_names = NAMES([XDPD_EXCLUSIVE] = "exclusive", [XDPD_SHARED] = "shared");

const struct names queue_state_names =
	NAMES([XDPD_QUEUE_WAITING] = "waiting", [XDPD_QUEUE_READY] = "ready",
	      [XDPD_QUEUE_ATTACHED] = "attached", [XDPD_QUEUE_RELEASING] = "releasing",
	      [XDPD_QUEUE_BUSY] = "busy", [XDPD_QUEUE_FAILED] = "failed");

const struct names verdict_names = NAMES(
	[XDPD_VERDICT_REDIRECT] = "redirect", [XDPD_VERDICT_PASS] = "pass",
	[XDPD_VERDICT_PASS_OVERSIZE] = "pass_oversize", [XDPD_VERDICT_PASS_RULE] = "pass_rule",
	[XDPD_VERDICT_DROP_RULE] = "drop_rule", [XDPD_VERDICT_PASS_UNMARKED] = "pass_unmarked");

_Static_assert(XDPD_VERDICT_COUNT == 6, "a verdict needs its name here");

const struct names ring_names = NAMES("rx", "tx", "fill", "completion");

const struct names hold_mode_names = NAMES([XDPD_HOLD] = "hold", [XDPD_TAP] = "tap");

const struct names action_names = NAMES([XDPD_ACTION_REDIRECT] = "redirect",
					[XDPD_ACTION_PASS] = "pass", [XDPD_ACTION_DROP] = "drop");

const struct names frame_place_names =
	NAMES([XDPD_PLACE_KERNEL] = "kernel", [XDPD_PLACE_TRANSMIT] = "transmit",
	      [XDPD_PLACE_FREE] = "free", [XDPD_PLACE_LENT] = "lent");

_Static_assert(XDPD_PLACE_COUNT == 4, "a place needs its name here");

const struct names scheduler_names = NAMES([SCHED_OTHER] = "other", [SCHED_FIFO] = "fifo",
					   [SCHED_RR] = "rr", [SCHED_BATCH] = "batch");

const struct names drop_cause_names = NAMES("ring_full", "quota", "overrun");

const struct names truth_names = NAMES("no", "yes");

const char *const violation_names[VIOLATION_COUNT] = {
#define X(constant, name, text) [constant] = (name),
	VIOLATIONS(X)
#undef X
};

const char *const violation_texts[VIOLATION_COUNT] = {
#define X(constant, name, text) [constant] = (text),
	VIOLATIONS(X)
#undef X
};
