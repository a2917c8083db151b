// SPDX-License-Identifier: Apache-2.0
// The map against a plain array, with collisions, removals and an allocation that fails.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/base/map.c"

static void same_as_an_array(void **state)
{
	(void)state;
	struct map m = MAP(ACCOUNT_BASE);
	static uint64_t truth[1000];
	uint64_t seed = 42;
	for (int i = 0; i < 200000; i++) {
		seed = hash_mix(seed + 1);
		uint64_t key = seed % 1000;
		if (seed >> 60 < 6) {
			assert_int_equal(map_remove(&m, key), truth[key] != 0);
			truth[key] = 0;
		} else {
			assert_int_equal(map_put(&m, key, seed | 1), 0);
			truth[key] = seed | 1;
		}
	}
	uint32_t live = 0;
	for (uint64_t key = 0; key < 1000; key++) {
		uint64_t value = 0;
		assert_int_equal(map_get(&m, key, &value), truth[key] != 0);
		assert_int_equal(value, truth[key]);
		live += truth[key] != 0;
	}
	assert_int_equal(m.count, live);
	struct map_slot slot;
	uint32_t seen = 0;
	for (uint32_t i = 0; map_next(&m, &i, &slot); seen++)
		assert_int_equal(slot.value, truth[slot.key]);
	assert_int_equal(seen, live);
	map_clear(&m);
	assert_int_equal(mem_used(ACCOUNT_BASE), 0);
}

static void a_failed_put_changes_nothing(void **state)
{
	(void)state;
	struct map m = MAP(ACCOUNT_BASE);
	for (uint64_t key = 0; key < 12; key++)
		assert_int_equal(map_put(&m, key, key), 0);
	mem_fail_at(1);
	assert_int_equal(map_put(&m, 12, 12), -ENOMEM);
	mem_fail_at(0);
	uint64_t value;
	assert_false(map_get(&m, 12, &value));
	for (uint64_t key = 0; key < 12; key++)
		assert_true(map_get(&m, key, &value) && value == key);
	map_clear(&m);
}

// Whoever makes room for the map's new slots may do so by taking from it.
static uint64_t take_two(void *arg, uint64_t need)
{
	(void)need;
	map_remove(arg, 3);
	map_remove(arg, 7);
	mem_limit(0);
	return 1;
}

static void it_may_shrink_while_it_grows(void **state)
{
	(void)state;
	struct map m = MAP(ACCOUNT_BASE);
	for (uint64_t key = 0; key < 12; key++)
		assert_int_equal(map_put(&m, key, key), 0);
	mem_on_squeeze(take_two, &m);
	mem_limit(32 * sizeof(*m.slots) + 64); // enough for the new ones alone
	assert_int_equal(map_put(&m, 12, 12), 0);
	mem_on_squeeze(NULL, NULL);
	mem_limit(0);
	uint64_t value;
	uint32_t there = 0;
	for (uint64_t key = 0; key <= 12; key++)
		there += map_get(&m, key, &value);
	assert_int_equal(there, 11);
	assert_int_equal(m.count, 11);
	map_clear(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(same_as_an_array),
	    cmocka_unit_test(a_failed_put_changes_nothing),
	    cmocka_unit_test(it_may_shrink_while_it_grows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
