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

static int others = -1; // another file that has the names, -1: none

static int search(void)
{
	image_table(&m, SHT_SYMTAB);
	image_end(&m);
	int fd = image_fd(&m, m.size), more;
	struct allocator_search *s = allocator_search_new(fd, others < 0 ? fd : others, &a);
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

#define IN_TLAB "_ZN11AllocTracer27send_allocation_in_new_tlabE"
#define OUTSIDE "_ZN11AllocTracer28send_allocation_outside_tlabE"

// As libjvm.so has them.
static void put_machine(const char *tlab, const char *outside)
{
	begin();
	put("JNI_CreateJavaVM", PUSH);
	put(tlab, SUB); // dear, but seldom
	put(outside, PUSH);
	put("je_free", SUB); // no allocator
	put("_ZN10JavaThread4exitEbNS_8ExitTypeE", ENDBR);
	image_symbol(&m, "gHotSpotVMStructs", 0x55550, 8, STB_GLOBAL, STT_OBJECT);
}

static void java_machines_are_probed(void **state)
{
	static const struct {
		const char *tlab, *outside;
	} versions[] = {
	    {IN_TLAB "P5KlassPP12HeapWordImplmmP10JavaThread",
		OUTSIDE "P5KlassPP12HeapWordImplmP10JavaThread"},
	    {IN_TLAB "P5KlassPP12HeapWordImplmmP6Thread",
		OUTSIDE "P5KlassPP12HeapWordImplmP6Thread"},
	    {IN_TLAB "P5KlassP8HeapWordmmP6Thread", OUTSIDE "P5KlassP8HeapWordmP6Thread"},
	    {"_ZN11AllocTracer33send_allocation_in_new_tlab_"
	     "eventE11KlassHandleP8HeapWordmmP6Thread",
		"_ZN11AllocTracer34send_allocation_outside_tlab_eventE11KlassHandleP8HeapWordmP6"
		"Thread"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
		put_machine(versions[i].tlab, versions[i].outside);
		size_t last = at;
		assert_int_equal(search(), 0);
		assert_true(a.jvm && a.names && !a.has);
		assert_int_equal(a.count, 3);
		assert_int_equal(a.probes[0].kind + a.probes[1].kind + a.probes[2].kind,
		    ALLOC_JAVA_TLAB + ALLOC_JAVA_OUTSIDE + ALLOC_JAVA_END);
		assert_int_equal(kind_at(last + 4), ALLOC_JAVA_END);
		assert_int_equal(a.tables, 0x55550);
		assert_string_equal(a.why, "");
	}
}

static void names_may_lie_in_another_file(void **state)
{
	(void)state;
	put_machine(IN_TLAB "P5KlassP8HeapWordmmP6Thread", OUTSIDE "P5KlassP8HeapWordmP6Thread");
	size_t last = at;
	m.segment_count = 0;
	image_table(&m, SHT_SYMTAB);
	image_end(&m);
	others = image_fd(&m, m.size);
	begin();
	put("JNI_CreateJavaVM", PUSH);
	put("", SUB);
	put("", PUSH);
	put("", SUB);
	put("", ENDBR);
	int result = search();
	close(others);
	others = -1;
	assert_int_equal(result, 0);
	assert_true(a.jvm && a.names);
	assert_int_equal(a.count, 3);
	assert_int_equal(kind_at(last + 4), ALLOC_JAVA_END);
	assert_int_equal(a.tables, 0x55550);
}

static void a_machine_without_names_is_known(void **state)
{
	(void)state;
	begin();
	put("JNI_CreateJavaVM", PUSH);
	put("_ZN11AllocTracer28send_allocation_outside_tlabEP5KlassP8HeapWordmP6Thread", PUSH);
	assert_int_equal(search(), 0);
	assert_true(a.jvm && !a.names);
	assert_int_equal(a.count, 0);
}

static void memory_may_end_anywhere(void **state)
{
	bool over = false;
	(void)state;
	for (uint64_t n = 1; !over; n++) {
		put_machine(
		    IN_TLAB "P5KlassP8HeapWordmmP6Thread", OUTSIDE "P5KlassP8HeapWordmP6Thread");
		mem_fail_at(n);
		int result = search();
		over = mem_fail_seen() < n;
		mem_fail_at(0);
		assert_true(over ? result == 0 && a.count == 3 : result == -ENOMEM);
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
	    cmocka_unit_test(java_machines_are_probed),
	    cmocka_unit_test(names_may_lie_in_another_file),
	    cmocka_unit_test(a_machine_without_names_is_known),
	    cmocka_unit_test(memory_may_end_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
