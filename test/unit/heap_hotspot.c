// SPDX-License-Identifier: Apache-2.0
// HotSpot's tables of itself, which here lie in the memory of this process.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "elf_image.h"
#include "../../modules/heap/hotspot.c"

#define TABLES 0x123450 // link-time address

static struct entry table[100], many[1000];
static uint64_t pointer;
static struct allocator a;
static struct proc *proc;
static uint32_t entries;

static void put(const char *type, const char *field, uint64_t offset, uint32_t is_static)
{
	table[entries++] = (struct entry){
	    (uintptr_t)type, (uintptr_t)field, (uintptr_t) "jlong", is_static, 0, offset, 0};
}

static void begin(void)
{
	memset(table, 0, sizeof(table));
	entries = 0;
	pointer = (uintptr_t)table;
	a = (struct allocator){.count = 3,
	    .tables = TABLES,
	    .probes = {{1, ALLOC_JAVA_TLAB}, {2, ALLOC_JAVA_END}, {3, ALLOC_JAVA_OUTSIDE}}};
	for (int i = 0; i < 40; i++) // a piece of the table ends in between
		put("Klass", "_name", 24, 0);
	put("ThreadLocalAllocBuffer", "_start", 8, 0);
	put("ThreadLocalAllocBuffer", "_top", 16, 0);
	put("ThreadLocalAllocBuffer", "_topmost", 999, 0);
	put("Thread", "_allocated_bytes", 400, 1);
}

static bool fits_now(void)
{
	static struct image m;
	image_begin(&m);
	image_end(&m);
	int fd = image_fd(&m, m.size);
	struct mapped at = {.start = (uintptr_t)&pointer - TABLES + TEXT_ADDRESS};
	at.end = at.start + TEXT_SIZE;
	bool result = hotspot_fit(&a, proc, (uint32_t)getpid(), fd, &at);
	close(fd);
	return result;
}

static void fields_are_found(void **state)
{
	(void)state;
	const char *owner[] = {"Thread", "JavaThread"};
	for (int i = 0; i < 2; i++) {
		begin();
		put(owner[i], "_tlab", 200, 0);
		put(owner[i], "_allocated_bytes", 480, 0);
		put("ConstantPool", "_allocated_bytes", 8, 0);
		assert_true(fits_now());
		assert_int_equal(a.count, 3);
		assert_int_equal(a.probes[0].kind, ALLOC_JAVA_KIND(ALLOC_JAVA_TLAB, 480, 208, 216));
		assert_int_equal(a.probes[1].kind, ALLOC_JAVA_KIND(ALLOC_JAVA_END, 480, 208, 216));
		assert_int_equal(ALLOC_JAVA_ALLOCATED(a.probes[2].kind), 480);
		assert_int_equal(ALLOC_JAVA_START(a.probes[2].kind), 208);
		assert_int_equal(ALLOC_JAVA_TOP(a.probes[2].kind), 216);
	}
}

static void what_is_not_there_is_left_out(void **state)
{
	(void)state;
	begin();
	put("Thread", "_allocated_bytes", 480, 0);
	assert_true(fits_now()); // no TLAB
	assert_int_equal(a.count, 2);
	assert_int_equal(a.probes[0].kind, ALLOC_JAVA_KIND(ALLOC_JAVA_TLAB, 480, 0, 0));
	assert_int_equal(a.probes[1].kind, ALLOC_JAVA_KIND(ALLOC_JAVA_OUTSIDE, 480, 0, 0));
	begin();
	put("Thread", "_tlab", 200, 0); // the count is static: nonsense
	assert_false(fits_now());
	assert_int_equal(a.count, 2);
	assert_int_equal(a.probes[0].kind, ALLOC_JAVA_TLAB);
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	static const uint64_t offsets[] = {0, 7, 2048, UINT64_MAX - 7, 1ull << 40};
	for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++) {
		begin();
		put("Thread", "_tlab", offsets[i], 0);
		put("Thread", "_allocated_bytes", offsets[i], 0);
		assert_false(fits_now());
		assert_int_equal(a.probes[0].kind, ALLOC_JAVA_TLAB);
	}
	begin();
	for (int i = 0; i < 30; i++) // so many reads are not made
		for (int k = 0; k < 32; k++)
			many[i * 32 + k] = (struct entry){.type = 8 + (uint64_t)k, .field = 8};
	many[900] = (struct entry){
	    .type = (uintptr_t) "Thread", .field = (uintptr_t) "_allocated_bytes", .offset = 480};
	pointer = (uintptr_t)many;
	assert_false(fits_now());
	memmove(many, many + 200, sizeof(many) - 200 * sizeof(*many));
	assert_true(fits_now());
	begin();
	put((const char *)8, "_tlab", 200, 0); // not to be read: the rest is
	put("Thread", (const char *)UINT64_MAX, 200, 0);
	put("Thread", "_allocated_bytes", 480, 0);
	assert_true(fits_now());
	const uint64_t wild[] = {0, 8, UINT64_MAX, (uint64_t)INT64_MAX - 100};
	for (size_t i = 0; i < sizeof(wild) / sizeof(*wild); i++) {
		begin();
		put("Thread", "_allocated_bytes", 480, 0);
		pointer = wild[i];
		assert_false(fits_now());
	}
	begin();
	put("Thread", "_allocated_bytes", 480, 0);
	a.tables = 0;
	assert_false(fits_now());
	a.tables = UINT64_MAX - 64;
	assert_false(fits_now());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fields_are_found),
	    cmocka_unit_test(what_is_not_there_is_left_out),
	    cmocka_unit_test(nonsense_is_refused),
	};
	proc = proc_new("/proc");
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	proc_free(proc);
	return failed;
}
