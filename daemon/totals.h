/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What sockets and programs that are gone had counted, by interface and queue, so that every counter goes on
 * from the daemon's start: the kernel's die with the socket or the program. Entries are never dropped; there
 * are as many as queues were ever configured or counted.
 */
#ifndef DAEMON_TOTALS_H
#define DAEMON_TOTALS_H

#include <stddef.h>
#include <stdint.h>

#include <linux/if_xdp.h>

#include "bpf/xdpd_bpf.h"
#include "client/xdpd_protocol.h"

struct totals {
	uint64_t receive_packets; /* of all sockets, up to the last sample */
	uint64_t transmit_packets;
	uint64_t transmit_bytes;
	struct xdp_statistics statistics;  /* of sockets that are closed */
	struct xdpd_bpf_counters verdicts; /* of programs that are unloaded */
};

/* Of one interface; `queues` has an entry for each id that was asked for, else NULL. */
struct totals_device {
	char name[XDPD_DEVICE_MAX];
	struct totals **queues;
	uint32_t n_queues;
};

struct totals_table {
	struct totals_device *devices;
	size_t n_devices;
};

/* The entry, made if need be; stays where it is until totals_clear(). NULL: no memory. */
struct totals *totals_get(struct totals_table *table, const char *device, uint32_t queue);

/* Adds up the verdicts of all its queues. */
void totals_sum_verdicts(const struct totals_table *table, const char *device,
			 struct xdpd_bpf_counters *sum);

void totals_clear(struct totals_table *table);

void statistics_add(struct xdp_statistics *sum, const struct xdp_statistics *other);

void verdicts_add(struct xdpd_bpf_counters *sum, const struct xdpd_bpf_counters *other);

#endif
