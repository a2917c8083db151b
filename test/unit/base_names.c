// SPDX-License-Identifier: Apache-2.0
// The interner: many strings, equal hashes, and an allocation that fails at every site in turn.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

// A hash that is as bad as a test wants.
#include "../../modules/base/map.h"
static int hash_bits = 64;
static uint64_t bad_hash(const void *bytes, size_t n, uint64_t seed)
{
	uint64_t h = hash_bytes(bytes, n, seed);
	return hash_bits == 64 ? h : h & ((1ull << hash_bits) - 1);
}
#define hash_bytes bad_hash
#include "../../modules/base/names.c"
#undef hash_bytes

static const char *word(uint32_t i)
{
	static char s[64];
	snprintf(s, sizeof(s), "%*sname_%u", (int)(i % 40), "", i);
	return s;
}

static void fill_and_look(uint32_t count)
{
	struct names *n = names_new(ACCOUNT_BASE);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(names_add(n, word(i), strlen(word(i))), i + 1);
	assert_int_equal(names_count(n), count + 1);
	for (uint32_t i = 0; i < count; i++) {
		assert_string_equal(names_get(n, i + 1), word(i));
		assert_int_equal(names_find(n, word(i), strlen(word(i))), i + 1);
		assert_int_equal(names_add(n, word(i), strlen(word(i))), i + 1);
	}
	assert_int_equal(names_find(n, "other", 5), 0);
	assert_int_equal(names_count(n), count + 1);
	assert_true(names_bytes(n) <= mem_used(ACCOUNT_BASE));
	assert_true(names_bytes(n) + 200 > mem_used(ACCOUNT_BASE));
	names_free(n);
	assert_int_equal(mem_used(ACCOUNT_BASE), 0);
}

static void many(void **state)
{
	(void)state;
	fill_and_look(100000);
}

static void collisions(void **state)
{
	(void)state;
	hash_bits = 0; // all the same
	fill_and_look(1000);
	hash_bits = 3;
	fill_and_look(2000);
	hash_bits = 64;
}

static void edges(void **state)
{
	(void)state;
	struct names *n = names_new(ACCOUNT_BASE);
	errno = 0;
	assert_int_equal(names_add(n, "", 0), 0);
	assert_int_equal(names_add(n, "\0x", 2), 0);
	assert_int_equal(errno, 0);
	assert_string_equal(names_get(n, 0), "");
	assert_string_equal(names_get(n, 99), "");
	uint32_t ab = names_add(n, "abc", 2), abc = names_add(n, "abc", 3);
	assert_int_not_equal(ab, abc);
	assert_int_equal(names_add(n, "ab\0ignored", 10), ab);
	assert_int_equal(names_find(n, "a", 1), 0);
	// Longer than all the space there is, more than once over.
	char *big = mem_alloc(ACCOUNT_WIRE, 100001);
	memset(big, 'b', 100000);
	uint32_t id = names_add(n, big, 100000);
	assert_string_equal(names_get(n, id), big);
	assert_int_equal(names_find(n, big, 99999), 0);
	mem_free(big);
	names_free(n);
	names_free(NULL);
}

static void what_is_there_needs_no_memory(void **state)
{
	(void)state;
	struct names *n = names_new(ACCOUNT_BASE);
	char s[16];
	uint32_t i = 0;
	for (; n->len + 10 < n->cap; i++) // until the next string does not fit
		names_add(n, s, (size_t)snprintf(s, sizeof(s), "n%07u", i));
	mem_fail_at(1);
	for (uint32_t k = 0; k < i; k++) {
		size_t len = (size_t)snprintf(s, sizeof(s), "n%07u", k);
		assert_int_equal(names_add(n, s, len), k + 1);
	}
	assert_int_equal(mem_fail_seen(), 0);
	mem_fail_at(0);
	names_free(n);
}

static void any_allocation_may_fail(void **state)
{
	(void)state;
	for (uint64_t nth = 1; nth < 1000; nth++) {
		mem_fail_at(nth);
		struct names *n = names_new(ACCOUNT_BASE);
		uint32_t failed = 0;
		for (uint32_t i = 0; n && i < 3000; i++) {
			errno = 0;
			uint32_t id = names_add(n, word(i), strlen(word(i)));
			failed += !id;
			if (!id)
				assert_int_equal(errno, ENOMEM);
			else
				assert_string_equal(names_get(n, id), word(i));
		}
		bool over = mem_fail_seen() < nth;
		mem_fail_at(0);
		assert_true(failed <= 1);
		for (uint32_t i = 0; n && i < 3000;
		     i++) // the one that failed is as good as any later
			assert_string_equal(
			    names_get(n, names_add(n, word(i), strlen(word(i)))), word(i));
		names_free(n);
		assert_int_equal(mem_used(ACCOUNT_BASE), 0);
		if (over)
			return;
	}
	fail();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(many),
	    cmocka_unit_test(collisions),
	    cmocka_unit_test(edges),
	    cmocka_unit_test(what_is_there_needs_no_memory),
	    cmocka_unit_test(any_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
