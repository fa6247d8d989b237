/* SPDX-License-Identifier: BSD-2-Clause */
/* A program's attachment to queue 0 of its device, as its arguments say. */
#ifndef TESTS_BENCH_ATTACH_H
#define TESTS_BENCH_ATTACH_H

#include "client/xdpd.h"
#include "tests/bench/receiver.h"

/* `flags` of enum xdpd_attach_flags, next to those of the arguments. */
static inline struct xdpd *receiver_attach(const struct receiver *receiver, uint32_t flags)
{
	struct xdpd_attach_options options = {
		.size = sizeof(options),
		.flags = flags | (receiver->taps ? XDPD_ATTACH_TAP : 0),
		.group = receiver->group,
		.coalesce_usecs = receiver->coalesce_usecs,
	};
	struct xdpd *x = NULL;
	int r = xdpd_connect(&x, receiver->socket, "bench");

	if (r < 0)
		receiver_die("can't connect to xdpd", r);
	r = xdpd_attach(x, receiver->device, 0, &options);
	if (r < 0)
		receiver_die(xdpd_reason(x), r);
	return x;
}

#endif
