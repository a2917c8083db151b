// SPDX-License-Identifier: Apache-2.0
// Mappings of one process against a byte map of the same address space; kinds by path.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/process/mapping.c"

#define SPACE 512

static void puts_cut_and_split_like_a_byte_map(void **state)
{
	(void)state;
	struct entry e = {.count = 0};
	uint64_t path_at[SPACE] = {0}, offset_at[SPACE] = {0}, seed = 7;
	for (int round = 0; round < 4000; round++) {
		seed = hash_mix(seed + 1);
		uint64_t start = seed % (SPACE - 1), end = start + 1 + (seed >> 20) % 40;
		if (end > SPACE)
			end = SPACE;
		struct process_mapping m = {.start = start,
		    .end = end,
		    .offset = (seed >> 40) & 0xffff,
		    .path = (uint32_t)round + 1,
		    .kind = PLACE_FILE};
		mapping_put(&e, &m);
		for (uint64_t a = start; a < end; a++) {
			path_at[a] = m.path;
			offset_at[a] = m.offset + a - start;
		}
		for (uint64_t a = 0; a < SPACE; a++) {
			struct process_mapping *at = mapping_at(&e, a);
			assert_int_equal(at ? at->path : 0, path_at[a]);
			if (at)
				assert_int_equal(at->offset + a - at->start, offset_at[a]);
		}
		for (uint32_t i = 1; i < e.count; i++)
			assert_true(e.mappings[i - 1].end <= e.mappings[i].start);
	}
	mem_free(e.mappings);
}

static void no_memory_leaves_a_gap_only(void **state)
{
	(void)state;
	struct entry e = {.count = 0};
	struct process_mapping m = {.start = 10, .end = 20, .path = 1};
	mem_fail_at(1);
	mapping_put(&e, &m);
	mem_fail_at(0);
	assert_null(mapping_at(&e, 15));
	mapping_put(&e, &m);
	assert_non_null(mapping_at(&e, 15));
	mem_free(e.mappings);
	assert_int_equal(mem_used(ACCOUNT_PROCESS), 0);
}

static void a_full_table_has_gaps_but_nothing_wrong(void **state)
{
	(void)state;
	struct entry e = {.count = 0};
	uint32_t refused = 0;
	for (uint64_t i = 1; i <= 20000; i++) {
		struct process_mapping m = {
		    .start = i * 0x2000, .end = i * 0x2000 + 0x1000, .path = (uint32_t)i};
		refused += mapping_put(&e, &m) < 0;
	}
	assert_true(e.count <= MAPPINGS_MAX && e.count + 2 >= MAPPINGS_MAX);
	assert_int_equal(refused, 20000 - e.count);
	uint32_t known = 0;
	for (uint64_t i = 1; i <= 20000; i++) {
		const struct process_mapping *m = mapping_at(&e, i * 0x2000 + 0x800);
		known += m != NULL;
		assert_true(!m || m->path == i);
	}
	assert_int_equal(known, e.count);
	// What is put over known ones takes their place, or at least takes them away.
	struct process_mapping all = {.start = 0x2000 * 5, .end = 0x2000 * 9, .path = 1 << 20};
	mapping_put(&e, &all);
	for (uint64_t a = all.start; a < all.end; a += 0x800) {
		const struct process_mapping *m = mapping_at(&e, a);
		assert_true(!m || m->path == 1 << 20);
	}
	// One in the middle of another, without room for its tail.
	while (e.count < e.cap) {
		struct process_mapping m = {.start = (1ull << 40) + 0x2000 * e.count};
		m.end = m.start + 0x1000;
		e.mappings[e.count++] = m;
	}
	struct process_mapping inner = {
	    .start = 0x2000 * 20 + 0x400, .end = 0x2000 * 20 + 0x800, .path = 7};
	assert_int_equal(mapping_put(&e, &inner), -ENOMEM);
	assert_int_equal(mapping_at(&e, 0x2000 * 20 + 0x300)->path, 20);
	assert_null(mapping_at(&e, 0x2000 * 20 + 0x500));
	for (uint32_t i = 1; i < e.count; i++)
		assert_true(e.mappings[i - 1].end <= e.mappings[i].start);
	mem_free(e.mappings);
}

static void kinds_by_path(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		uint32_t kind;
	} rows[] = {
	    {"/usr/lib/libc.so.6", PLACE_FILE},
	    {"", PLACE_ANON},
	    {"[vdso]", PLACE_VDSO},
	    {"//anon", PLACE_ANON},
	    {"[heap]", PLACE_ANON},
	    {"[anon:v8]", PLACE_ANON},
	    {"/memfd:doublemapper", PLACE_ANON},
	    {"/dev/zero", PLACE_ANON},
	    {"/SYSV00000000", PLACE_ANON},
	    {"/tmp/jit-12.dump", PLACE_ANON},
	    {"/tmp/jit-x", PLACE_FILE},
	    {"/opt/jit-app/bin", PLACE_FILE},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(mapping_kind_of(rows[i].path, false), rows[i].kind);
	assert_int_equal(mapping_kind_of("/dev/shm/real.so", true), PLACE_FILE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(puts_cut_and_split_like_a_byte_map),
	    cmocka_unit_test(no_memory_leaves_a_gap_only),
	    cmocka_unit_test(a_full_table_has_gaps_but_nothing_wrong),
	    cmocka_unit_test(kinds_by_path),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
