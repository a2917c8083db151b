// SPDX-License-Identifier: Apache-2.0
// Which functions of a file are an allocator's, and which of them are probed.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "elf_image.h"
#include "../../modules/heap/allocator.c"

static struct image m;
static struct allocator a;
static size_t at; // of the function that was put last, in the file

static void begin(void)
{
	image_begin(&m);
}

// A function NAME that begins with N BYTES.
static void put(const char *name, const char *bytes, size_t n)
{
	uint8_t code[64] = {0xc3};
	memcpy(code, bytes, n);
	at = image_put(&m, code, sizeof(code));
	image_function(&m, name, TEXT_ADDRESS + at, sizeof(code));
}
#define PUSH "\x55", 1
#define ENDBR "\xf3\x0f\x1e\xfa\x55", 5
#define SUB "\xf3\x0f\x1e\xfa\x48\x83\xec\x18", 8

static int search(void)
{
	image_table(&m, SHT_SYMTAB);
	image_end(&m);
	int fd = image_fd(&m, m.size), more;
	struct allocator_search *s = allocator_search_new(fd, &a);
	if (!s) {
		more = -errno;
	} else {
		while ((more = allocator_search_step(s, 0)) > 0)
			;
		allocator_search_free(s);
	}
	close(fd);
	return more;
}

// The kind of the probe at OFFSET, -1: there is none.
static int kind_at(size_t offset)
{
	for (uint32_t i = 0; i < a.count; i++)
		if (a.probes[i].offset == offset)
			return (int)a.probes[i].kind;
	return -1;
}

static void functions_are_probed_where_it_is_cheap(void **state)
{
	(void)state;
	begin();
	put("malloc", PUSH);
	size_t malloc_at = at;
	image_function(&m, "tc_malloc", TEXT_ADDRESS + at, 64); // another name of it
	put("calloc", ENDBR);
	size_t calloc_at = at;
	put("free", PUSH);
	put("_Znwm", PUSH); // it calls malloc
	assert_int_equal(search(), 0);
	assert_true(a.has);
	assert_int_equal(a.count, 3);
	assert_int_equal(kind_at(malloc_at), ALLOC_MALLOC);
	assert_int_equal(kind_at(calloc_at + 4), ALLOC_CALLOC);
	assert_string_equal(a.why, "");
	assert_string_equal(a.without, "");
}

static void operators_of_an_allocator_are_its_own(void **state)
{
	(void)state;
	begin();
	put("malloc", PUSH);
	put("free", PUSH);
	put("mallctl", PUSH);
	put("_Znwm", PUSH);
	assert_int_equal(search(), 0);
	assert_int_equal(a.count, 3);
	assert_int_equal(kind_at(at), ALLOC_NEW);
}

static void dear_functions_are_refused(void **state)
{
	(void)state;
	begin();
	put("malloc", PUSH);
	put("free", SUB);
	assert_int_equal(search(), 0);
	assert_true(a.has);
	assert_int_equal(a.count, 0);
	assert_non_null(
	    strstr(a.why, "free begins with instructions that a probe would cost 13 us"));
	assert_non_null(strstr(a.why, "48 83 ec 18"));
	begin();
	put("je_malloc", PUSH);
	put("je_free", PUSH);
	put("je_valloc", SUB); // few programs call it
	assert_int_equal(search(), 0);
	assert_int_equal(a.count, 2);
	assert_string_equal(a.why, "");
	assert_non_null(strstr(a.without, "je_valloc"));
}

static void half_an_allocator_is_none(void **state)
{
	(void)state;
	begin();
	put("free", PUSH);
	put("malloc_hook", PUSH);
	assert_int_equal(search(), 0);
	assert_false(a.has);
	assert_int_equal(a.count, 0);
}

static void memory_may_end_anywhere(void **state)
{
	bool over = false;
	(void)state;
	for (uint64_t n = 1; !over; n++) {
		begin();
		put("malloc", PUSH);
		put("free", PUSH);
		mem_fail_at(n);
		int result = search();
		over = mem_fail_seen() < n;
		mem_fail_at(0);
		assert_true(over ? result == 0 && a.count == 2 : result == -ENOMEM);
		assert_int_equal(mem_used(ACCOUNT_HEAP) + mem_used(ACCOUNT_ELF), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(functions_are_probed_where_it_is_cheap),
	    cmocka_unit_test(operators_of_an_allocator_are_its_own),
	    cmocka_unit_test(dear_functions_are_refused),
	    cmocka_unit_test(half_an_allocator_is_none),
	    cmocka_unit_test(memory_may_end_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
