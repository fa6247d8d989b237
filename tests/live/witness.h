/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An honest member of a queue with shared delivery, in a process of its own without rights, that checks what it gets
 * byte for byte and flow by flow while others misbehave:
 *
 *     struct traffic *traffic = witness_traffic("far", 4000);
 *     struct witness *witness = witness_start(&(struct witness_options){.instance = daemon, .group = "split"});
 *     witness_judge(witness);
 *     ...
 *     struct witness_report report = witness_stop(witness);
 *
 * The frames of a flow are every WITNESS_FLOWS'th of all, so one that is missing shows in the next. A member of a
 * group with others loses flows to whoever joins: it is judged when that is over.
 */
#ifndef TESTS_LIVE_WITNESS_H
#define TESTS_LIVE_WITNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/xdpd_protocol.h"

#define WITNESS_FLOWS  64
#define WITNESS_LENGTH 300 /* of each frame */

struct instance;
struct traffic;
struct witness;

struct witness_options {
	const struct instance *instance;
	const char *device; /* NULL: "near" */
	const char *group;
	bool tap;
};

struct witness_report {
	uint64_t packets;
	uint64_t missed;  /* of flows that it got more of, while it was judged */
	uint64_t strange; /* twice, backwards, or of another flow than its number tells */
	uint64_t damaged; /* bytes that are not as sent */
	uint64_t overrun; /* of a tap */
	uint64_t last;	  /* the highest number */
	int ended;	  /* why it ended by itself, -errno; 0: it was told to */
	char reason[XDPD_REASON_MAX];
};

/* Starts sending what witnesses know, numbered from 0 on: until stopped, at `rate` frames a second. */
struct traffic *witness_traffic(const char *device, uint64_t rate);
struct traffic *witness_traffic_from(int cpu, const char *device, uint64_t rate);

/* Returns when it is attached. */
struct witness *witness_start(const struct witness_options *options);

/* From here on no frame of a flow that it gets may be missing; before a join that may take flows away: not. */
void witness_judge(struct witness *witness);
void witness_pardon(struct witness *witness);

struct witness_report witness_report(const struct witness *witness);

/*
 * The longest time without a frame, of those that ended after `since_us`, up to the first frame that comes now. Times
 * are of CLOCK_MONOTONIC.
 */
struct witness_silence {
	uint64_t from_us, until_us;
};

struct witness_silence witness_silence(const struct witness *witness, uint64_t since_us);

/* It detaches and ends; it must not have ended before. */
struct witness_report witness_stop(struct witness *witness);

#endif
