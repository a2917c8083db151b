// SPDX-License-Identifier: Apache-2.0
// Accounts, the limit, what is squeezed before anything is refused, and the libraries' malloc.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/base/mem.c"

static void every_byte_is_in_its_account(void **state)
{
	(void)state;
	uint64_t total = mem_total(), used = mem_used(ACCOUNT_ELF);
	uint8_t *a = mem_alloc(ACCOUNT_ELF, 1000), *b = mem_alloc(ACCOUNT_WIRE, 50);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(a[i], 0);
	assert_int_equal(mem_used(ACCOUNT_ELF), used + 1016);
	assert_int_equal(mem_used(ACCOUNT_WIRE), 66);
	assert_int_equal(mem_total(), total + 1016 + 66);
	memset(a, 7, 1000);
	a = mem_resize(ACCOUNT_WIRE, a, 5000); // keeps the account it has
	assert_int_equal(mem_used(ACCOUNT_ELF), used + 5016);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(a[i], 7);
	assert_true(mem_peak() >= total + 5016 + 66);
	a = mem_resize(ACCOUNT_ELF, a, 10);
	assert_int_equal(mem_used(ACCOUNT_ELF), used + 26);
	char *s = mem_strdup(ACCOUNT_WIRE, "word");
	assert_string_equal(s, "word");
	mem_free(s);
	mem_free(a);
	mem_free(b);
	mem_free(NULL);
	assert_int_equal(mem_total(), total);
	assert_int_equal(mem_used(ACCOUNT_WIRE), 0);
	assert_string_equal(mem_account_name(ACCOUNT_MAPS), "bpf_maps");
	assert_string_equal(mem_account_name(ACCOUNT_COUNT), "unknown");
}

static void blocks_are_aligned_as_mallocs(void **state)
{
	(void)state;
	for (size_t size = 0; size < 200; size += 7) {
		void *p = mem_alloc(ACCOUNT_BASE, size);
		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		mem_free(p);
	}
}

static void absurd_sizes_are_refused(void **state)
{
	(void)state;
	uint64_t total = mem_total();
	static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX / 2 + 1, SIZE_MAX / 2};
	void *p = mem_alloc(ACCOUNT_BASE, 10);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		errno = 0;
		assert_null(mem_alloc(ACCOUNT_BASE, sizes[i]));
		assert_int_equal(errno, ENOMEM);
		assert_null(mem_resize(ACCOUNT_BASE, p, sizes[i]));
		mem_limit(total + 1000000);
		assert_null(mem_alloc(ACCOUNT_BASE, sizes[i]));
		mem_limit(0);
	}
	mem_free(p);
	assert_int_equal(mem_total(), total);
}

static struct {
	void *cache[8];
	uint64_t asked;
	int calls, nested;
} squeezed;

static uint64_t squeeze(void *arg, uint64_t need)
{
	uint64_t before = mem_total();
	assert_ptr_equal(arg, &squeezed);
	squeezed.calls++;
	squeezed.asked = need;
	// Somebody who allocates in here all the same is refused, and not asked again.
	void *p = mem_alloc(ACCOUNT_BASE, 5000);
	squeezed.nested += p != NULL;
	for (int i = 0; i < 8 && before - mem_total() < need; i++) {
		mem_free(squeezed.cache[i]);
		squeezed.cache[i] = NULL;
	}
	return before - mem_total();
}

static void the_limit_squeezes_first_and_refuses_then(void **state)
{
	(void)state;
	uint64_t refused = count_get(COUNT_MEM_REFUSED), gave = count_get(COUNT_MEM_SQUEEZED);
	for (int i = 0; i < 8; i++)
		squeezed.cache[i] = mem_alloc(ACCOUNT_BASE, 1000 - 16);
	uint64_t total = mem_total();
	mem_limit(total + 100);
	assert_int_equal(mem_limit_get(), total + 100);
	mem_on_squeeze(squeeze, &squeezed);
	void *fits = mem_alloc(ACCOUNT_BASE, 100 - 16);
	assert_non_null(fits);
	assert_int_equal(squeezed.calls, 0);
	void *more = mem_alloc(ACCOUNT_BASE, 1500 - 16);
	assert_non_null(more);
	assert_int_equal(squeezed.calls, 1);
	assert_int_equal(squeezed.asked, 1500);
	assert_int_equal(squeezed.nested, 0);
	assert_int_equal(count_get(COUNT_MEM_SQUEEZED) - gave, 2000);
	assert_true(mem_total() <= mem_limit_get());
	assert_null(mem_alloc(ACCOUNT_BASE, 20000));
	assert_int_equal(errno, ENOMEM);
	assert_true(count_get(COUNT_MEM_REFUSED) > refused);
	// A block that shrinks needs no room, whatever the limit.
	mem_limit(1);
	more = mem_resize(ACCOUNT_BASE, more, 100);
	assert_non_null(more);
	assert_null(mem_alloc(ACCOUNT_BASE, 1));
	mem_limit(0);
	mem_on_squeeze(NULL, NULL);
	mem_free(more);
	mem_free(fits);
	for (int i = 0; i < 8; i++)
		mem_free(squeezed.cache[i]);
	assert_int_equal(mem_used(ACCOUNT_BASE), 0);
}

static void a_refused_resize_leaves_the_block(void **state)
{
	(void)state;
	char *p = mem_strdup(ACCOUNT_BASE, "kept");
	mem_limit(mem_total() + 10);
	assert_null(mem_resize(ACCOUNT_BASE, p, 5000));
	mem_limit(0);
	mem_fail_at(1);
	assert_null(mem_resize(ACCOUNT_BASE, p, 5000));
	assert_int_equal(mem_fail_seen(), 1);
	mem_fail_at(0);
	assert_string_equal(p, "kept");
	mem_free(p);
}

static void charges_by_hand(void **state)
{
	(void)state;
	uint64_t total = mem_total();
	assert_int_equal(mem_charge(ACCOUNT_MAPS, 4096), 0);
	assert_int_equal(mem_used(ACCOUNT_MAPS), 4096);
	mem_limit(mem_total() + 10);
	assert_int_equal(mem_charge(ACCOUNT_MAPS, 11), -ENOMEM);
	assert_int_equal(mem_charge(ACCOUNT_MAPS, 10), 0);
	mem_limit(0);
	mem_fail_at(1);
	assert_int_equal(mem_charge(ACCOUNT_MAPS, 1), -ENOMEM);
	mem_fail_at(0);
	mem_charge(ACCOUNT_MAPS, -4106);
	assert_int_equal(mem_used(ACCOUNT_MAPS), 0);
	mem_charge(ACCOUNT_MAPS, -1); // more than there was: never below zero
	assert_int_equal(mem_used(ACCOUNT_MAPS), 0);
	assert_int_equal(mem_total(), total);
}

// By pointer: of a call by name gcc knows that it does not touch this file's variables.
static void *(*volatile lib_malloc)(size_t) = malloc;
static void *(*volatile lib_calloc)(size_t, size_t) = calloc;
static void *(*volatile lib_realloc)(void *, size_t) = realloc;
static void (*volatile lib_free)(void *) = free;

static void the_libraries_are_counted(void **state)
{
	(void)state;
	uint64_t used = mem_used(ACCOUNT_LIBRARY);
	char *a = lib_malloc(1000), *b = lib_calloc(10, 100);
	assert_true(mem_used(ACCOUNT_LIBRARY) >= used + 2000);
	a = lib_realloc(a, 4000);
	assert_true(mem_used(ACCOUNT_LIBRARY) >= used + 5000);
	lib_free(a);
	lib_free(b);
	lib_free(NULL);
	assert_int_equal(mem_used(ACCOUNT_LIBRARY), used);
	a = lib_realloc(NULL, 100);
	assert_true(mem_used(ACCOUNT_LIBRARY) >= used + 100);
	used = mem_used(ACCOUNT_LIBRARY);
	assert_null(lib_realloc(a, SIZE_MAX / 4)); // nothing was freed by that
	assert_int_equal(mem_used(ACCOUNT_LIBRARY), used);
	lib_free(a);
}

static void the_libraries_are_limited(void **state)
{
	(void)state;
	char *p = lib_malloc(100);
	uint64_t used = mem_used(ACCOUNT_LIBRARY);
	mem_limit(mem_total() + 1000);
	errno = 0;
	assert_null(lib_malloc(2000));
	assert_int_equal(errno, ENOMEM);
	assert_null(lib_calloc(2, 1000));
	assert_null(lib_realloc(p, 5000)); // and P is still there
	memset(p, 1, 100);
	assert_null(lib_calloc(SIZE_MAX / 4, 8));
	assert_null(lib_malloc(SIZE_MAX - 5));
	mem_limit(0);
	assert_int_equal(mem_used(ACCOUNT_LIBRARY), used);
	lib_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_byte_is_in_its_account),
	    cmocka_unit_test(blocks_are_aligned_as_mallocs),
	    cmocka_unit_test(absurd_sizes_are_refused),
	    cmocka_unit_test(the_limit_squeezes_first_and_refuses_then),
	    cmocka_unit_test(a_refused_resize_leaves_the_block),
	    cmocka_unit_test(charges_by_hand),
	    cmocka_unit_test(the_libraries_are_counted),
	    cmocka_unit_test(the_libraries_are_limited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
