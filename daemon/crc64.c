// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/crc64.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL UINT64_C(0xc96c5795d7870f42) /* its bits from the lowest on */

/* tables[n][byte]: what a byte does to the remainder when n more have followed it. */
static uint64_t tables[8][256];

static void make_tables(void)
{
	static bool made;

	if (made)
		return;
	for (unsigned byte = 0; byte < 256; byte++) {
		uint64_t rest = byte;

		for (int bit = 0; bit < 8; bit++)
			rest = rest >> 1 ^ (rest & 1 ? POLYNOMIAL : 0);
		tables[0][byte] = rest;
	}
	for (int n = 1; n < 8; n++)
		for (unsigned byte = 0; byte < 256; byte++)
			tables[n][byte] =
				tables[n - 1][byte] >> 8 ^ tables[0][tables[n - 1][byte] & 0xff];
	made = true;
}

static uint64_t take_eight(uint64_t rest, const unsigned char *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	word = le64toh(word) ^ rest;
	return tables[7][word & 0xff] ^ tables[6][word >> 8 & 0xff] ^ tables[5][word >> 16 & 0xff] ^
	       tables[4][word >> 24 & 0xff] ^ tables[3][word >> 32 & 0xff] ^
	       tables[2][word >> 40 & 0xff] ^ tables[1][word >> 48 & 0xff] ^ tables[0][word >> 56];
}

uint64_t crc64(const void *bytes, size_t length)
{
	const unsigned char *at = bytes;
	uint64_t rest = UINT64_MAX;

	make_tables();
	for (; length >= 8; length -= 8, at += 8)
		rest = take_eight(rest, at);
	for (; length; length--)
		rest = rest >> 8 ^ tables[0][(rest ^ *at++) & 0xff];
	return ~rest;
}
