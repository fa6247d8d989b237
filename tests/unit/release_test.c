// SPDX-License-Identifier: BSD-2-Clause
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/release.h"

#define PIPES 200

static void open_pipes(int ends[PIPES][2])
{
	for (int i = 0; i < PIPES; i++)
		assert_int_equal(pipe2(ends[i], O_CLOEXEC | O_NONBLOCK), 0);
}

/* Nobody holds the other end any more. */
static void assert_released(int ends[PIPES][2])
{
	char byte;

	for (int i = 0; i < PIPES; i++) {
		assert_int_equal(read(ends[i][0], &byte, 1), 0);
		close(ends[i][0]);
	}
}

static void all_that_was_given_is_closed_when_it_has_settled(void **state)
{
	int ends[PIPES][2];

	(void)state;
	for (int round = 0; round < 3; round++) {
		open_pipes(ends);
		for (int i = 0; i < PIPES; i++)
			release_fd(ends[i][1]);
		release_settle();
		assert_released(ends);
	}
}

static void nothing_to_close_has_settled(void **state)
{
	(void)state;
	release_settle();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_was_given_is_closed_when_it_has_settled),
		cmocka_unit_test(nothing_to_close_has_settled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
