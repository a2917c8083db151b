// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/base/clock.c"

static void real_clocks_go_on(void **state)
{
	(void)state;
	uint64_t now = clock_now(), wall = clock_wall(), boot = clock_boot(), cpu = clock_cpu();
	volatile uint64_t x = 0;
	for (int i = 0; i < 2000000; i++)
		x += (uint64_t)i;
	assert_true(clock_now() > now);
	assert_true(clock_boot() > boot);
	assert_true(clock_wall() >= wall);
	assert_true(clock_cpu() > cpu);
	assert_true(boot >= now || now - boot < NS_PER_MS);
	assert_true(wall > 1600000000ull * NS_PER_S); // nanoseconds since 1970, not something else
	assert_true(cpu < 3600 * NS_PER_S);
}

static void fake_clocks_stand_where_they_are_put(void **state)
{
	(void)state;
	uint64_t now = 5, wall = 7;
	clock_fake(&now, &wall);
	assert_int_equal(clock_now(), 5);
	assert_int_equal(clock_wall(), 7);
	assert_int_equal(clock_boot(), 5);
	assert_int_equal(clock_cpu(), 5);
	now = 6;
	assert_int_equal(clock_now(), 6);
	clock_fake(&now, NULL);
	assert_true(clock_wall() > 1600000000ull * NS_PER_S);
	clock_fake(NULL, NULL);
	assert_true(clock_now() > 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(real_clocks_go_on),
	    cmocka_unit_test(fake_clocks_stand_where_they_are_put),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
