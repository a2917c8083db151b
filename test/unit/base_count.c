// SPDX-License-Identifier: Apache-2.0
// The figures, and that their names are ones that Prometheus takes.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdbool.h>
#include <string.h>
#include <cmocka.h>

#include "../../modules/base/count.c"

static void add_set_and_max(void **state)
{
	(void)state;
	count_add(COUNT_SAMPLES, 3);
	count_add(COUNT_SAMPLES, 4);
	assert_int_equal(count_get(COUNT_SAMPLES), 7);
	assert_int_equal(count_get(COUNT_RECORDS), 0);
	count_set(COUNT_PROCESSES, 9);
	count_set(COUNT_PROCESSES, 2);
	assert_int_equal(count_get(COUNT_PROCESSES), 2);
	count_max(COUNT_TURN_MAX_NS, 5);
	count_max(COUNT_TURN_MAX_NS, 3);
	assert_int_equal(count_get(COUNT_TURN_MAX_NS), 5);
}

static void names_are_sound_and_different(void **state)
{
	(void)state;
	for (int i = 0; i < COUNT_COUNT; i++) {
		const char *name = count_name((enum count)i);
		size_t n = strlen(name);
		assert_int_equal(strncmp(name, "telegen_", 8), 0);
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), n);
		assert_true(strlen(count_help((enum count)i)) > 10);
		assert_null(strchr(count_help((enum count)i), '\n'));
		// Counters end in _total by convention, gauges do not.
		bool total = n > 6 && !strcmp(name + n - 6, "_total");
		assert_int_equal(total, count_kind((enum count)i) == COUNT_KIND_COUNTER);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(name, count_name((enum count)k));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(add_set_and_max),
	    cmocka_unit_test(names_are_sound_and_different),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
