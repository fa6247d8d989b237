/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A histogram of nanoseconds, log-linear: each power of two has 64 classes of equal width. So up to 127 all values are
 * told apart, and beyond that a class is at most 1/64 of its values wide. What is told of a class is its middle, which
 * is within 0.8 percent of each value in it. 30 KB, no division, nothing that grows.
 *
 *     value          127 | 128  130  132 ... 254 | 256  260 ... 508 | 512 ...
 *     class          127 | 128  129  130 ... 191 | 192  193 ... 255 | 256 ...
 */
#ifndef TESTS_BENCH_HISTOGRAM_H
#define TESTS_BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define HISTOGRAM_BITS	  6
#define HISTOGRAM_CLASSES ((64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS)

struct histogram {
	uint64_t count[HISTOGRAM_CLASSES];
	uint64_t values, max;
};

static inline uint32_t histogram_class(uint64_t value)
{
	const uint32_t log = 63 - (uint32_t)__builtin_clzll(value | 1);
	const uint32_t shift = log > HISTOGRAM_BITS ? log - HISTOGRAM_BITS : 0;

	return (shift << HISTOGRAM_BITS) + (uint32_t)(value >> shift);
}

/* The middle of a class. */
static inline double histogram_value(uint32_t class)
{
	const uint32_t shift = class >> (HISTOGRAM_BITS + 1) ? (class >> HISTOGRAM_BITS) - 1 : 0;
	const uint64_t first = (uint64_t)(class - (shift << HISTOGRAM_BITS)) << shift;

	return (double)first + (double)((UINT64_C(1) << shift) - 1) / 2;
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->count[histogram_class(value)]++;
	histogram->values++;
	if (histogram->max < value)
		histogram->max = value;
}

/* The least value that so great a part of all, above 0 and up to 1, is not above; 0 if there are none. */
static inline double histogram_quantile(const struct histogram *histogram, double part)
{
	double left = part * (double)histogram->values;

	for (uint32_t i = 0; i < HISTOGRAM_CLASSES; i++) {
		left -= (double)histogram->count[i];
		if (left <= 0 && histogram->count[i])
			return histogram_value(i);
	}
	return (double)histogram->max;
}

/* One line, in microseconds: `WHAT values N p50 N p99 N p99.9 N max N`. */
static inline void histogram_print(const struct histogram *histogram, const char *what)
{
	(void)printf("%s values %llu p50 %.3f p99 %.3f p99.9 %.3f max %.3f\n", what,
		     (unsigned long long)histogram->values,
		     histogram_quantile(histogram, 0.5) / 1e3,
		     histogram_quantile(histogram, 0.99) / 1e3,
		     histogram_quantile(histogram, 0.999) / 1e3, (double)histogram->max / 1e3);
	(void)fflush(stdout);
}

static inline void histogram_clear(struct histogram *histogram)
{
	memset(histogram, 0, sizeof(*histogram));
}

#endif
