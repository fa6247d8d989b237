/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words for the protocol's enumerations: label values in the metrics, text on the page. What is out of
 * range reads "unknown".
 */
#ifndef DAEMON_NAMES_H
#define DAEMON_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/xdpd_bpf.h"
#include "client/xdpd_protocol.h"

struct names {
	const char *const *of; /* NULL where a number has no name */
	size_t n;
};

extern const struct names xdp_mode_names, bind_mode_names, delivery_names;
extern const struct names queue_state_names; /* [0] is nobody's: the states start at 1 */
extern const struct names verdict_names;
extern const struct names ring_names; /* in the order of struct xdpd_queue_record */
extern const struct names hold_mode_names, action_names, frame_place_names;
extern const struct names scheduler_names;  /* SCHED_* [sched.h] */
extern const struct names drop_cause_names; /* in the order of struct xdpd_group_record */
extern const struct names truth_names;	    /* of what is 0 or 1 */

static inline const char *name_of(const struct names *names, uint32_t value)
{
	return value < names->n && names->of[value] ? names->of[value] : "unknown";
}

#endif
