/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/suggest.h"

#include <ctype.h>
#include <string.h>

#define WORD_MAX 31 /* no word of the config and no name of a group is longer */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many characters to insert, delete, replace or swap with their neighbour; `-` and `_` are the same. */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 2];
	size_t *two_back = rows[0], *back = rows[1], *row = rows[2];
	size_t length = strlen(b);

	for (size_t j = 0; j <= length; j++)
		back[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t *oldest = two_back;

		row[0] = i;
		for (size_t j = 1; j <= length; j++) {
			char x = a[i - 1] == '-' ? '_' : (char)tolower((unsigned char)a[i - 1]);
			char y = b[j - 1] == '-' ? '_' : b[j - 1];

			row[j] = least(least(back[j], row[j - 1]) + 1, back[j - 1] + (x != y));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], two_back[j - 2] + 1);
		}
		two_back = back;
		back = row;
		row = oldest;
	}
	return back[length];
}

const char *suggest_word(const char *wrong, const char *const *words, size_t n)
{
	const char *nearest = NULL;
	size_t least_distance = 3;

	if (strlen(wrong) > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t far = distance(wrong, words[i]);

		/* Of a short word little is left after two changes: who wrote `http` did not mean `sctp`. */
		if (far < least_distance && far * far < strlen(words[i])) {
			least_distance = far;
			nearest = words[i];
		}
	}
	return nearest;
}
