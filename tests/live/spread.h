/* SPDX-License-Identifier: BSD-2-Clause */
/* How long something took, over many times: for a report. Links without cmocka. */
#ifndef TESTS_LIVE_SPREAD_H
#define TESTS_LIVE_SPREAD_H

#include <stddef.h>
#include <stdint.h>

#define SPREAD_MAX 4096 /* further ones are left out */

struct spread {
	size_t n;
	uint64_t us[SPREAD_MAX];
};

void spread_add(struct spread *spread, uint64_t us);

/* A line with median, quartiles and maximum in milliseconds; none of an empty one. Sorts it. */
void spread_print(struct spread *spread, const char *what);

#endif
