// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/totals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct totals_device *get_device(struct totals_table *table, const char *name)
{
	struct totals_device *grown;

	for (size_t i = 0; i < table->n_devices; i++)
		if (!strcmp(table->devices[i].name, name))
			return &table->devices[i];

	grown = reallocarray(table->devices, table->n_devices + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	table->devices = grown;
	grown += table->n_devices++;
	*grown = (struct totals_device){};
	(void)snprintf(grown->name, sizeof(grown->name), "%s", name);
	return grown;
}

static int make_room(struct totals_device *device, uint32_t queue)
{
	struct totals **grown;

	if (queue < device->n_queues)
		return 0;
	grown = reallocarray(device->queues, queue + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memset(grown + device->n_queues, 0, (queue + 1 - device->n_queues) * sizeof(*grown));
	device->queues = grown;
	device->n_queues = queue + 1;
	return 0;
}

struct totals *totals_get(struct totals_table *table, const char *device_name, uint32_t queue)
{
	struct totals_device *device = get_device(table, device_name);

	if (!device || make_room(device, queue) < 0)
		return NULL;
	if (!device->queues[queue])
		device->queues[queue] = calloc(1, sizeof(struct totals));
	return device->queues[queue];
}

void totals_sum_verdicts(const struct totals_table *table, const char *device,
			 struct xdpd_bpf_counters *sum)
{
	for (size_t i = 0; i < table->n_devices; i++) {
		if (strcmp(table->devices[i].name, device))
			continue;
		for (uint32_t queue = 0; queue < table->devices[i].n_queues; queue++)
			if (table->devices[i].queues[queue])
				verdicts_add(sum, &table->devices[i].queues[queue]->verdicts);
	}
}

void totals_clear(struct totals_table *table)
{
	for (size_t i = 0; i < table->n_devices; i++) {
		for (uint32_t queue = 0; queue < table->devices[i].n_queues; queue++)
			free(table->devices[i].queues[queue]);
		free(table->devices[i].queues);
	}
	free(table->devices);
	*table = (struct totals_table){};
}

void statistics_add(struct xdp_statistics *sum, const struct xdp_statistics *other)
{
	sum->rx_dropped += other->rx_dropped;
	sum->rx_invalid_descs += other->rx_invalid_descs;
	sum->tx_invalid_descs += other->tx_invalid_descs;
	sum->rx_ring_full += other->rx_ring_full;
	sum->rx_fill_ring_empty_descs += other->rx_fill_ring_empty_descs;
	sum->tx_ring_empty_descs += other->tx_ring_empty_descs;
}

void verdicts_add(struct xdpd_bpf_counters *sum, const struct xdpd_bpf_counters *other)
{
	for (int i = 0; i < XDPD_VERDICT_COUNT; i++) {
		sum->verdict[i].packets += other->verdict[i].packets;
		sum->verdict[i].bytes += other->verdict[i].bytes;
	}
}
