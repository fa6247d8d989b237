/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CRC-64/XZ: polynomial 0x42f0e1eba9ea3693 (ECMA-182), reflected, all ones before and after. Tells what was torn, or
 * altered by chance; not what somebody made up.
 */
#ifndef DAEMON_CRC64_H
#define DAEMON_CRC64_H

#include <stddef.h>
#include <stdint.h>

/* Makes its tables at the first call: from one thread. */
uint64_t crc64(const void *bytes, size_t length);

#endif
