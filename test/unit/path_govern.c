// SPDX-License-Identifier: Apache-2.0
// What the agent's CPU is held to: when rates go down, when they come back, and what they cannot
// help.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/path/govern.c"

#define LIMIT 20000 // 2 %

// Judges 10 s of so many hundredths of a per cent.
static uint32_t after(struct govern *g, unsigned thread, unsigned switches, unsigned stacks)
{
	uint64_t used[] = {[USED_THREAD] = thread * NS_PER_MS,
	    [USED_SWITCHES] = switches * NS_PER_MS,
	    [USED_STACKS] = stacks * NS_PER_MS};
	return g->every = judge(g, LIMIT, used, 10 * NS_PER_S);
}

static void above_the_limit_rates_are_halved(void **state)
{
	(void)state;
	struct govern g = {.every = 1};
	assert_int_equal(after(&g, 100, 50, 49), 1);
	assert_in_range(g.use, 19900 - 5, 19900);
	assert_int_equal(after(&g, 100, 50, 60), 2);
	assert_int_equal(after(&g, 100, 50, 60), 4);
	assert_int_equal(after(&g, 90, 50, 50), 4);
	for (int i = 0; i < 10; i++)
		after(&g, 1000, 0, 0);
	assert_int_equal(g.every, EVERY_MAX);
	assert_int_equal(after(&g, 50000, 50000, 50000), EVERY_MAX); // more than one core
}

static void far_below_they_come_back(void **state)
{
	(void)state;
	struct govern g = {.every = 8};
	// Not so far that twice as much would still be below.
	for (int i = 0; i < 50; i++)
		assert_int_equal(after(&g, 40, 20, 21), 8);
	for (int i = 1; i < QUIET_MAX; i++)
		assert_int_equal(after(&g, 39, 20, 20), 8);
	assert_int_equal(after(&g, 60, 20, 21), 8); // not in a row
	for (int i = 1; i < QUIET_MAX; i++)
		assert_int_equal(after(&g, 39, 20, 20), 8);
	assert_int_equal(after(&g, 39, 20, 20), 4);
	for (int i = 0; i < 100; i++)
		after(&g, 0, 0, 0);
	assert_int_equal(g.every, 1);
}

// Switches are followed at any rate.
static void what_rates_cannot_help(void **state)
{
	(void)state;
	struct govern g = {.every = 1};
	assert_int_equal(after(&g, 30, 400, 19), 1);
	assert_true(g.use > LIMIT);
	assert_int_equal(after(&g, 30, 400, 25), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(above_the_limit_rates_are_halved),
	    cmocka_unit_test(far_below_they_come_back),
	    cmocka_unit_test(what_rates_cannot_help),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
