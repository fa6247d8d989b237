/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A scrape of metrics: HTTP over a UNIX socket, and the text format's values. Links without cmocka.
 */
#ifndef TESTS_LIVE_SCRAPE_H
#define TESTS_LIVE_SCRAPE_H

struct scrape {
	int status; /* 200, 404, ... */
	char *head; /* status line and headers */
	char *body;
};

/* GETs `target` ("/metrics"); `accept` may be NULL. 0 or -errno; -EPROTO if that was no HTTP. */
int scrape_get(struct scrape *ret, const char *socket_path, const char *target, const char *accept);

void scrape_clear(struct scrape *scrape);

#define cleanup_scrape __attribute__((cleanup(scrape_clear)))

/*
 * The sum of the series of a name that carry all the labels, in any order, given as name, value, name,
 * value ...; NAN if there is no such series.
 *
 *     metric_value(text, "xdpd_queue_receive_packets_total", "device", "eth0", "queue", "3")
 */
#define metric_value(text, ...) metric_sum(text, (const char *const[]){__VA_ARGS__, NULL})

double metric_sum(const char *text, const char *const *name_and_labels);

#endif
