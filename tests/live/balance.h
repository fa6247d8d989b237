/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What became of all frames that arrived at `near` queue 0, as xdpd counts them: each is in one figure, over any number
 * of restarts. All functions fail the test when something is not as it should be.
 */
#ifndef TESTS_LIVE_BALANCE_H
#define TESTS_LIVE_BALANCE_H

#include <stdint.h>

#include "client/xdpd_protocol.h"

struct instance;
struct traffic_result;

struct balance {
	struct xdpd_queue_record queue;
	struct xdpd_worker_record worker; /* of shared delivery; else 0 */
	uint64_t redirected, passed, dropped; /* by the program */
};

struct balance balance_take(const struct instance *daemon);

/* The same of another queue; the program's figures are the whole interface's. */
struct balance balance_take_of(const struct instance *daemon, const char *device, uint32_t queue);

/* That the kernel dropped on their way from the program to the socket's RX ring. */
uint64_t balance_kernel_drops(const struct balance *balance);

/*
 * Shared delivery, with nothing under way: all that was `sent` between the two arrived, and what was redirected was
 * taken by the worker or dropped by the kernel.
 */
void balance_holds(const struct balance *before, const struct balance *after,
		   const struct traffic_result *sent);

/* All frames of the UMEM are somewhere. */
void balance_of_places(const struct balance *balance);

#endif
