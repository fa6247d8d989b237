// SPDX-License-Identifier: BSD-2-Clause
/* The benchmarks' histogram. */
#include "tests/bench/histogram.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void small_values_are_told_apart(void **state)
{
	(void)state;
	for (uint64_t value = 0; value < 128; value++)
		assert_true(histogram_value(histogram_class(value)) == (double)value);
}

static void a_class_is_within_two_percent_of_its_values(void **state)
{
	uint32_t last = 0;

	(void)state;
	for (uint64_t value = 1; value < UINT64_MAX / 3; value += 1 + value / 1000) {
		const uint32_t class = histogram_class(value);
		const double told = histogram_value(class);

		assert_in_range(class, last, HISTOGRAM_CLASSES - 1);
		assert_true(fabs(told - (double)value) <= 0.008 * (double)value);
		last = class;
	}
	assert_in_range(histogram_class(UINT64_MAX), last, HISTOGRAM_CLASSES - 1);
}

static void quantiles_are_of_all_values(void **state)
{
	static struct histogram histogram;

	(void)state;
	assert_true(histogram_quantile(&histogram, 0.99) == 0);
	for (uint64_t value = 0; value < 100; value++)
		histogram_add(&histogram, value);
	assert_true(histogram_quantile(&histogram, 0.5) == 49);
	assert_true(histogram_quantile(&histogram, 0.99) == 98);
	assert_true(histogram_quantile(&histogram, 1) == 99);
	assert_int_equal(histogram.max, 99);
	histogram_clear(&histogram);
	assert_int_equal(histogram.values, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_values_are_told_apart),
		cmocka_unit_test(a_class_is_within_two_percent_of_its_values),
		cmocka_unit_test(quantiles_are_of_all_values),
	};

	return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
