// SPDX-License-Identifier: Apache-2.0
// The cache against a plain array of addresses; its bounds; an allocation that fails.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "../../modules/symbol/cache.c"

#define SPACE 512

static const char *name_at(struct cache *c, struct owner *o, uint64_t address, bool *known)
{
	const struct range *r = cache_find(c, o, address);
	*known = r != NULL;
	return r && r->name ? o->bytes + r->name : NULL;
}

static void same_as_an_array(void **state)
{
	(void)state;
	struct cache *c = cache_new(100000, false);
	struct owner *o = cache_owner(c, 1, 7, true);
	static int truth[SPACE]; // 0 unknown, 1 no symbol, else name
	uint64_t seed = 1;
	for (int i = 0; i < 20000; i++) {
		seed = hash_mix(seed + 1);
		uint64_t start = seed % SPACE, end = start + 1 + (seed >> 20) % 40;
		int what = (int)((seed >> 32) % 12);
		char name[16], system[16];
		end = end < SPACE ? end : SPACE;
		snprintf(name, sizeof(name), "f%d", what);
		snprintf(system, sizeof(system), "_Z%d", i % 7);
		if (!what)
			cache_cut(c, o, start, end);
		else
			assert_int_equal(cache_put(c, o, start, start, end, what == 1 ? NULL : name,
					     what == 1 ? NULL : system),
			    0);
		for (uint64_t a = start; a < end; a++)
			truth[a] = what;
		for (uint64_t a = 0; a < SPACE && i % 16 == 0; a++) {
			bool known;
			const char *have = name_at(c, o, a, &known);
			snprintf(name, sizeof(name), "f%d", truth[a]);
			assert_int_equal(known, truth[a] != 0);
			if (truth[a] < 2)
				assert_null(have);
			else
				assert_string_equal(have, name);
		}
		for (uint32_t r = 1; r < o->count; r++)
			assert_true(
			    o->ranges[r - 1].start + o->ranges[r - 1].len <= o->ranges[r].start);
		assert_true(o->used <= 64 * 1024);
	}
	assert_int_equal(c->total, o->count + 1);
	cache_free(c);
	assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
}

static bool of_third(const char *name)
{
	return name[1] == '3';
}

static void what_is_gone_is_forgotten(void **state)
{
	(void)state;
	struct cache *c = cache_new(1000, false);
	struct owner *o = cache_owner(c, 1, 1, true);
	char name[8];
	for (uint64_t i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "f%u", (unsigned)i % 5);
		cache_put(c, o, i * 16, i * 16, i * 16 + 16, i % 7 ? name : NULL, NULL);
	}
	cache_forget(c, o, of_third);
	for (uint64_t i = 0; i < 100; i++) {
		bool known;
		const char *have = name_at(c, o, i * 16 + 5, &known);
		snprintf(name, sizeof(name), "f%u", (unsigned)i % 5);
		assert_int_equal(known, !(i % 5 == 3 && i % 7));
		if (known && i % 7)
			assert_string_equal(have, name);
	}
	assert_int_equal(c->total, o->count + 1);
	cache_free(c);
	assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
}

static void the_system_name_stays_with_its_range(void **state)
{
	(void)state;
	struct cache *c = cache_new(1000, false);
	struct owner *o = cache_owner(c, 1, 1, true);
	char name[24], system[24];
	for (uint64_t i = 0; i < 200; i++) { // neighbours share a name, never a system name
		snprintf(name, sizeof(name), "shared%u", (unsigned)i / 8);
		snprintf(system, sizeof(system), "own%u", (unsigned)i);
		assert_int_equal(cache_put(c, o, i * 16, i * 16, i * 16 + 16, name, system), 0);
	}
	for (uint64_t i = 0; i < 200; i++) {
		const struct range *r = cache_find(c, o, i * 16 + 3);
		snprintf(name, sizeof(name), "shared%u", (unsigned)i / 8);
		snprintf(system, sizeof(system), "own%u", (unsigned)i);
		assert_string_equal(o->bytes + r->name, name);
		assert_string_equal(o->bytes + r->system, system);
	}
	cache_free(c);
}

static void the_longest_unused_owner_goes_first(void **state)
{
	(void)state;
	struct cache *c = cache_new(100, false);
	for (uint32_t id = 1; id <= 40; id++) {
		struct owner *o = cache_owner(c, 2, id, true);
		for (uint64_t i = 0; i < 4; i++)
			assert_int_equal(cache_put(c, o, i, i, i + 1, "f", NULL), 0);
		assert_non_null(cache_owner(c, 2, 1, false)); // used all the time
		assert_true(c->total <= 100);
	}
	assert_non_null(cache_owner(c, 2, 1, false));
	assert_null(cache_owner(c, 2, 2, false));
	assert_non_null(cache_owner(c, 2, 40, false));
	cache_free(c);
}

static void one_owner_cannot_outgrow_the_cache(void **state)
{
	(void)state;
	struct cache *c = cache_new(200, false);
	struct owner *o = cache_owner(c, 1, 0, true);
	uint64_t evicted = count_get(COUNT_SYMBOL_EVICTED);
	for (uint64_t i = 0; i < 5000; i++) {
		if (i % 50 == 0)
			cache_tick(c);
		assert_int_equal(cache_put(c, o, i * 8, i * 8, i * 8 + 8, "name", NULL), 0);
		assert_true(c->total <= 200);
		assert_non_null(cache_find(c, o, i * 8 + 7));
	}
	assert_true(count_get(COUNT_SYMBOL_EVICTED) - evicted >= 4700);
	assert_true(mem_used(ACCOUNT_SYMBOL) < 200 * BYTES_PER_FUNCTION);
	cache_free(c);
}

static void long_names_are_bounded_too(void **state)
{
	(void)state;
	struct cache *c = cache_new(1000, false);
	char name[500];
	for (uint64_t i = 0; i < 20000; i++) {
		struct owner *o = cache_owner(c, 1, (uint32_t)(i / 2000), true);
		memset(name, 'a' + (char)(i % 26), sizeof(name) - 1);
		snprintf(name + 480, 20, "%u", (unsigned)i);
		assert_int_equal(cache_put(c, o, i, i, i + 1, name, name + 1), 0);
		assert_true(mem_used(ACCOUNT_SYMBOL) < 1000 * BYTES_PER_FUNCTION * 2);
	}
	cache_free(c);
}

static void shrink_spares_the_pinned_and_keep_spares_all(void **state)
{
	(void)state;
	struct cache *c = cache_new(1000, false);
	for (uint32_t id = 0; id < 10; id++)
		cache_put(c, cache_owner(c, 1, id, true), 5, 5, 6, "f", NULL);
	cache_pin(c, cache_owner(c, 1, 3, false));
	uint64_t before = mem_used(ACCOUNT_SYMBOL);
	assert_true(cache_shrink(c, 200) >= 200);
	assert_true(mem_used(ACCOUNT_SYMBOL) < before);
	cache_shrink(c, UINT64_MAX);
	assert_int_equal(c->owners.count, 1);
	assert_non_null(cache_owner(c, 1, 3, false));
	cache_free(c);
	c = cache_new(16, true);
	struct owner *o = cache_owner(c, 1, 1, true);
	for (uint64_t i = 0; i < 500; i++)
		assert_int_equal(cache_put(c, o, i, i, i + 1, "f", NULL), 0);
	assert_int_equal(cache_shrink(c, UINT64_MAX), 0);
	assert_non_null(cache_find(c, o, 0));
	cache_free(c);
}

static void ranges_at_the_ends_of_memory(void **state)
{
	(void)state;
	struct cache *c = cache_new(100, false);
	struct owner *o = cache_owner(c, 1, 1, true);
	assert_int_equal(cache_put(c, o, 1ull << 40, 0, UINT64_MAX, NULL, NULL), 0);
	assert_non_null(cache_find(c, o, (1ull << 40) + 1000));
	assert_null(cache_find(c, o, 1ull << 41));
	assert_int_equal(
	    cache_put(c, o, UINT64_MAX - 1, UINT64_MAX - 9, UINT64_MAX, "top", NULL), 0);
	assert_non_null(cache_find(c, o, UINT64_MAX - 9));
	assert_int_equal(cache_put(c, o, 0, 0, 1, "bottom", NULL), 0);
	assert_non_null(cache_find(c, o, 0));
	assert_int_equal(cache_put(c, o, 10, 20, 30, "beside", NULL), -EINVAL);
	cache_free(c);
}

// Under memory_limit an allocation inside the cache asks the cache itself to shrink.
static struct cache *squeezed;
static uint64_t squeeze(void *arg, uint64_t need)
{
	(void)arg;
	return cache_shrink(squeezed, need);
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	for (uint64_t n = 1;; n++) {
		mem_fail_at(n);
		struct cache *c = cache_new(50, false);
		for (uint64_t i = 0; c && i < 120; i++) {
			struct owner *o = cache_owner(c, 1, (uint32_t)(i % 3), true);
			if (o)
				cache_put(c, o, i * 8, i * 8, i * 8 + 8, "some name", "system");
			if (o)
				cache_cut(c, o, i * 8 + 2, i * 8 + 3);
		}
		bool all_asked = mem_fail_seen() < n;
		mem_fail_at(0);
		cache_free(c);
		assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
		if (all_asked)
			break;
	}
	squeezed = cache_new(10000, false);
	mem_limit(mem_total() + 20000);
	mem_on_squeeze(squeeze, NULL);
	for (uint64_t i = 0; i < 5000; i++) {
		struct owner *o = cache_owner(squeezed, 1, (uint32_t)(i / 10), true);
		if (o)
			cache_put(squeezed, o, i, i, i + 1, "name under a limit", NULL);
	}
	mem_limit(0);
	mem_on_squeeze(NULL, NULL);
	assert_true(squeezed->total > 10);
	cache_free(squeezed);
	assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(same_as_an_array),
	    cmocka_unit_test(what_is_gone_is_forgotten),
	    cmocka_unit_test(the_system_name_stays_with_its_range),
	    cmocka_unit_test(the_longest_unused_owner_goes_first),
	    cmocka_unit_test(one_owner_cannot_outgrow_the_cache),
	    cmocka_unit_test(long_names_are_bounded_too),
	    cmocka_unit_test(shrink_spares_the_pinned_and_keep_spares_all),
	    cmocka_unit_test(ranges_at_the_ends_of_memory),
	    cmocka_unit_test(every_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
