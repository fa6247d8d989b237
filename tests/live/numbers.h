/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of the numbers [first, first + count) were seen, and how often: whether frames numbered by
 * traffic_send() arrived exactly once. A bit for each number.
 */
#ifndef TESTS_LIVE_NUMBERS_H
#define TESTS_LIVE_NUMBERS_H

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct numbers {
	uint64_t first, count;
	uint64_t seen;	    /* different ones */
	uint64_t again;	    /* seen before */
	uint64_t strange;   /* outside the range */
	uint64_t backwards; /* lower than the one before */
	uint64_t last;
	uint64_t *bits;
};

static inline int numbers_open(struct numbers *ret, uint64_t first, uint64_t count)
{
	uint64_t *bits = calloc(count / 64 + 1, sizeof(*bits));

	if (!bits)
		return -ENOMEM;
	*ret = (struct numbers){.first = first, .count = count, .last = first, .bits = bits};
	return 0;
}

static inline void numbers_see(struct numbers *numbers, uint64_t number)
{
	uint64_t i = number - numbers->first;

	if (i >= numbers->count) {
		numbers->strange++;
		return;
	}
	if (numbers->bits[i / 64] & 1ULL << i % 64)
		numbers->again++;
	else
		numbers->seen++;
	numbers->bits[i / 64] |= 1ULL << i % 64;
	if (number < numbers->last)
		numbers->backwards++;
	numbers->last = number;
}

/* The number that the frame carries at `number_at`. */
static inline void numbers_see_frame(struct numbers *numbers, const void *frame, uint32_t number_at)
{
	uint64_t number;

	memcpy(&number, (const char *)frame + number_at, sizeof(number));
	numbers_see(numbers, be64toh(number));
}

static inline void numbers_close(struct numbers *numbers)
{
	free(numbers->bits);
	numbers->bits = NULL;
}

#define cleanup_numbers __attribute__((cleanup(numbers_close)))

#endif
