// SPDX-License-Identifier: BSD-2-Clause
/* daemon/spare.h: memory that is made beforehand is like any other, and there is only so much of it. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "daemon/cleanup.h"
#include "daemon/sealed.h"
#include "daemon/spare.h"

#define LENGTH ((size_t)12288)

static unsigned int open_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	(void)closedir(folder);
	return count;
}

/* For longer than it takes until spares are made. */
static void let_pass(sd_event *event)
{
	for (int i = 0; i < 5; i++)
		assert_true(sd_event_run(event, (uint64_t)2 * SPARE_DELAY_USEC) >= 0);
}

static int on_nothing(sd_event_source *source, uint64_t now, void *context)
{
	(void)source;
	(void)now;
	(void)context;
	return 0;
}

/* A loop opens its timer's fd with the first timer that it has. */
static int begin(void **state)
{
	sd_event *event = NULL;

	if (sd_event_new(&event) < 0 ||
	    sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 0, 0, on_nothing, NULL) < 0 ||
	    sd_event_run(event, 0) < 0)
		return -1;
	spare_begin(event);
	*state = event;
	return 0;
}

static int end(void **state)
{
	spare_end();
	sd_event_unref(*state);
	return 0;
}

struct taken {
	int fd;
	unsigned char *memory;
};

static struct taken take(enum spare_kind kind, size_t length)
{
	struct taken taken = {.fd = -1};

	assert_return_code(spare_take(kind, length, &taken.fd, (void **)&taken.memory), 0);
	return taken;
}

static void give_back(struct taken taken, size_t length)
{
	munmap(taken.memory, length);
	sealed_close(taken.fd, length);
}

/* Of that length for good, all zero, and the mapping is the memfd's. */
static void assert_good(struct taken taken, size_t length)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct stat status;
	char byte = 0;

	assert_return_code(fstat(taken.fd, &status), errno);
	assert_int_equal(status.st_size, length);
	assert_int_equal(fcntl(taken.fd, F_GET_SEALS), seals);
	assert_true(fcntl(taken.fd, F_GETFD) & FD_CLOEXEC);
	for (size_t i = 0; i < length; i++)
		assert_int_equal(taken.memory[i], 0);
	taken.memory[length - 1] = 42;
	assert_int_equal(pread(taken.fd, &byte, 1, (off_t)length - 1), 1);
	assert_int_equal(byte, 42);
}

static void one_that_was_made_beforehand_is_like_any_other(void **state)
{
	struct taken first = take(SPARE_MEMBER, LENGTH), second;

	let_pass(*state);
	second = take(SPARE_MEMBER, LENGTH);
	assert_good(first, LENGTH);
	assert_good(second, LENGTH);
	give_back(first, LENGTH);
	give_back(second, LENGTH);
}

static void the_next_one_is_there_when_nobody_has_asked_for_a_while(void **state)
{
	const unsigned int before = open_fds();
	unsigned char there[LENGTH / 4096];
	struct taken taken;

	spare_expect(SPARE_LEDGER, LENGTH);
	assert_int_equal(open_fds(), before);
	let_pass(*state);
	assert_int_equal(open_fds(), before + 1);
	taken = take(SPARE_LEDGER, LENGTH);
	assert_int_equal(open_fds(), before + 1);
	assert_return_code(mincore(taken.memory, LENGTH, there), errno);
	for (size_t i = 0; i < sizeof(there); i++)
		assert_true(there[i] & 1);
	give_back(taken, LENGTH);
	let_pass(*state);
	assert_int_equal(open_fds(), before + 1);
}

static void another_length_is_made_at_once_and_expected_from_then_on(void **state)
{
	const unsigned int before = open_fds();
	struct taken longer;

	spare_expect(SPARE_MEMBER, LENGTH);
	let_pass(*state);
	longer = take(SPARE_MEMBER, 2 * LENGTH);
	assert_good(longer, 2 * LENGTH);
	give_back(longer, 2 * LENGTH);
	let_pass(*state);
	assert_int_equal(open_fds(), before + 1);
	longer = take(SPARE_MEMBER, 2 * LENGTH);
	assert_int_equal(open_fds(), before + 1);
	assert_good(longer, 2 * LENGTH);
	give_back(longer, 2 * LENGTH);
}

static void of_a_long_one_only_the_first_pages_are_made(void **state)
{
	const size_t length = 64 * SPARE_PAGES_MAX;
	unsigned char *there = calloc(length / 4096, 1);
	struct taken taken;

	spare_expect(SPARE_MEMBER, length);
	let_pass(*state);
	taken = take(SPARE_MEMBER, length);
	assert_return_code(mincore(taken.memory, length, there), errno);
	assert_true(there[SPARE_PAGES_MAX / 4096 - 1] & 1);
	assert_false(there[SPARE_PAGES_MAX / 4096] & 1);
	give_back(taken, length);
	free(there);
}

static void without_a_loop_there_are_none(void **state)
{
	const unsigned int before = open_fds();
	struct taken taken;

	spare_expect(SPARE_MEMBER, LENGTH);
	let_pass(*state);
	spare_end();
	assert_int_equal(open_fds(), before);
	taken = take(SPARE_MEMBER, LENGTH);
	assert_good(taken, LENGTH);
	give_back(taken, LENGTH);
	let_pass(*state);
	assert_int_equal(open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_that_was_made_beforehand_is_like_any_other,
						begin, end),
		cmocka_unit_test_setup_teardown(
			the_next_one_is_there_when_nobody_has_asked_for_a_while, begin, end),
		cmocka_unit_test_setup_teardown(
			another_length_is_made_at_once_and_expected_from_then_on, begin, end),
		cmocka_unit_test_setup_teardown(of_a_long_one_only_the_first_pages_are_made, begin,
						end),
		cmocka_unit_test_setup_teardown(without_a_loop_there_are_none, begin, end),
	};

	return cmocka_run_group_tests_name("spare", tests, NULL, NULL);
}
