// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/spread.h"

#include <stdio.h>
#include <stdlib.h>

void spread_add(struct spread *spread, uint64_t us)
{
	if (spread->n < SPREAD_MAX)
		spread->us[spread->n++] = us;
}

static int compare(const void *one, const void *other)
{
	const uint64_t *a = one, *b = other;

	return (*a > *b) - (*a < *b);
}

static double quartile(const struct spread *spread, size_t number)
{
	return (double)spread->us[(spread->n - 1) * number / 4] / 1000;
}

void spread_print(struct spread *spread, const char *what)
{
	if (!spread->n)
		return;
	qsort(spread->us, spread->n, sizeof(spread->us[0]), compare);
	printf("# ms %s: median %.1f, quartiles %.1f and %.1f, at most %.1f (%zu)\n", what,
	       quartile(spread, 2), quartile(spread, 1), quartile(spread, 3), quartile(spread, 4),
	       spread->n);
}
