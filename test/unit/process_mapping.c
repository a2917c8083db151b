// SPDX-License-Identifier: Apache-2.0
// Mappings of one process against a byte map of the same address space; kinds by path.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/process/mapping.c"
#include "process_fake.h"

#define SPACE 512

static void puts_cut_and_split_like_a_byte_map(void **state)
{
	(void)state;
	struct mappings all = {0};
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
		mapping_put(&all, &m);
		for (uint64_t a = start; a < end; a++) {
			path_at[a] = m.path;
			offset_at[a] = m.offset + a - start;
		}
		for (uint64_t a = 0; a < SPACE; a++) {
			struct process_mapping *at = mapping_at(&all, a);
			assert_int_equal(at ? at->path : 0, path_at[a]);
			if (at)
				assert_int_equal(at->offset + a - at->start, offset_at[a]);
		}
		for (uint32_t i = 1; i < all.count; i++)
			assert_true(all.at[i - 1].end <= all.at[i].start);
	}
	mappings_free(&all);
}

static void no_memory_leaves_a_gap_only(void **state)
{
	(void)state;
	struct mappings all = {0};
	struct process_mapping m = {.start = 10, .end = 20, .path = 1};
	mem_fail_at(1);
	mapping_put(&all, &m);
	mem_fail_at(0);
	assert_null(mapping_at(&all, 15));
	assert_true(all.stale && !all.full);
	mapping_put(&all, &m);
	assert_non_null(mapping_at(&all, 15));
	mappings_free(&all);
	assert_int_equal(mem_used(ACCOUNT_PROCESS), 0);
}

static void a_full_table_has_gaps_but_nothing_wrong(void **state)
{
	(void)state;
	struct mappings all = {0};
	uint32_t refused = 0;
	for (uint64_t i = 1; i <= 20000; i++) {
		struct process_mapping m = {
		    .start = i * 0x2000, .end = i * 0x2000 + 0x1000, .path = (uint32_t)i};
		refused += mapping_put(&all, &m) < 0;
	}
	assert_true(all.full && !all.stale);
	assert_true(all.count <= MAPPINGS_MAX && all.count + 2 >= MAPPINGS_MAX);
	assert_int_equal(refused, 20000 - all.count);
	uint32_t known = 0;
	for (uint64_t i = 1; i <= 20000; i++) {
		const struct process_mapping *m = mapping_at(&all, i * 0x2000 + 0x800);
		known += m != NULL;
		assert_true(!m || m->path == i);
	}
	assert_int_equal(known, all.count);
	// What is put over known ones takes their place, or at least takes them away.
	struct process_mapping over = {.start = 0x2000 * 5, .end = 0x2000 * 9, .path = 1 << 20};
	mapping_put(&all, &over);
	for (uint64_t a = over.start; a < over.end; a += 0x800) {
		const struct process_mapping *m = mapping_at(&all, a);
		assert_true(!m || m->path == 1 << 20);
	}
	// One in the middle of another, without room for its tail.
	while (all.count < all.cap) {
		struct process_mapping m = {.start = (1ull << 40) + 0x2000 * all.count};
		m.end = m.start + 0x1000;
		all.at[all.count++] = m;
	}
	struct process_mapping inner = {
	    .start = 0x2000 * 20 + 0x400, .end = 0x2000 * 20 + 0x800, .path = 7};
	assert_int_equal(mapping_put(&all, &inner), -ENOSPC);
	assert_int_equal(mapping_at(&all, 0x2000 * 20 + 0x300)->path, 20);
	assert_null(mapping_at(&all, 0x2000 * 20 + 0x500));
	for (uint32_t i = 1; i < all.count; i++)
		assert_true(all.at[i - 1].end <= all.at[i].start);
	mappings_free(&all);
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

static void names_of_memfds(void **state)
{
	(void)state;
	static const struct {
		const char *path, *name;
	} rows[] = {
	    {"/memfd:jit", "[memfd:jit]"},
	    {"/memfd:", "[memfd:]"},
	    {"/memfd:a b;c", "[memfd:a b;c]"},
	    {"/memfd:\001\n\177x", "[memfd:???x]"},
	    {"/memfd:\xc3\xa9", "[memfd:\xc3\xa9]"},
	    {"/memfd:\xc3x", "[memfd:?x]"},
	    {"//anon", ""},
	    {"", ""},
	    {"/dev/zero", ""},
	};
	struct processes t = {.paths = names_new(ACCOUNT_PROCESS)};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct process_mapping m = {.kind = mapping_kind_of(rows[i].path, false)};
		assert_int_equal(m.kind, PLACE_ANON);
		assert_int_equal(path_of_mapping(&t, &m, rows[i].path, strlen(rows[i].path)), 0);
		assert_string_equal(names_get(t.paths, m.path), rows[i].name);
	}
	char path[600], *end = stpcpy(path, "/memfd:");
	memset(end, 'x', 500);
	end[500] = 0;
	struct process_mapping m = {.kind = PLACE_ANON};
	assert_int_equal(path_of_mapping(&t, &m, path, strlen(path)), 0);
	assert_int_equal(strlen(names_get(t.paths, m.path)), MEMFD_MAX + 1);
	names_free(t.paths);
}

#define MAPS                                                                                       \
	"10000-20000 r-xp 00000000 08:01 7 /gone/app\n20000-30000 r--p 00010000 08:01 7 "          \
	"/gone/app\n"                                                                              \
	"30000-50000 r-xp 00000000 00:00 0 \n7f0000000000-7f0000002000 r-xp 00000000 00:00 0 "     \
	"[vdso]\n"

// What is known of the process whose sample was taken last, in order and not overlapping.
static const struct process_mapping *known(struct process *p, uint32_t count)
{
	uint32_t got = 99;
	const struct process_mapping *m = process_mappings(table, p, &got);
	assert_int_equal(got, count);
	for (uint32_t i = 0; i < got; i++)
		assert_true(m[i].start < m[i].end && (!i || m[i - 1].end <= m[i].start));
	return m;
}

static void mappings_are_told_once_they_are_read(void **state)
{
	(void)state;
	fakeproc_add(10, 1, "app", 700, MAPS);
	struct process *p = sampled(10, 1, 700, "app", clock_now());
	known(p, 0); // nobody asked for an address yet
	assert_int_equal(process_place(table, p, 0x10010).kind, PLACE_OFFSET);
	const struct process_mapping *m = known(p, 3);
	assert_int_equal(m[0].start, 0x10000);
	assert_int_equal(m[0].end, 0x20000);
	assert_int_equal(m[0].kind, PLACE_FILE);
	assert_int_equal(m[1].start, 0x30000);
	assert_int_equal(m[1].kind, PLACE_ANON);
	assert_int_equal(m[2].kind, PLACE_VDSO);
	// Asking reads nothing, and opens nothing.
	uint64_t reads = count_get(COUNT_MAPS_READS);
	fakeproc_add(11, 1, "app", 700, MAPS);
	p = sampled(11, 1, 700, "app", clock_now());
	known(p, 0);
	assert_int_equal(count_get(COUNT_MAPS_READS), reads);
	// Of one whose memory cannot be seen there is nothing, but that is known.
	fakeproc_add(12, 1, "app", 700, "");
	p = sampled(12, 1, 700, "app", clock_now());
	process_place(table, p, 0x10010);
	known(p, 0);
	assert_true(((struct entry *)p)->maps_read);
}

static void mappings_follow_the_events(void **state)
{
	(void)state;
	uint64_t now = clock_now();
	execed(20, "app", now);
	mapped(20, 0x30000, 0x1000, 0, "/gone/b", NULL, 3, now);
	mapped(20, 0x10000, 0x2000, 0, "/gone/a", NULL, 2, now);
	struct process *p = sampled(20, 1, 700, "app", now + 1);
	const struct process_mapping *m = known(p, 2);
	assert_string_equal(names_get(table->paths, m[0].path), "/gone/a");
	assert_string_equal(names_get(table->paths, m[1].path), "/gone/b");
	// Over the middle of the first: its ends stay.
	mapped(20, 0x10800, 0x400, 0x5000, "/gone/c", NULL, 4, now + 2);
	m = known(p, 4);
	assert_int_equal(m[0].end, 0x10800);
	assert_int_equal(m[1].offset, 0x5000);
	assert_int_equal(m[2].start, 0x10c00);
	assert_int_equal(m[2].offset, 0xc00);
	// Another program: what was is no more.
	execed(20, "next", now + 3);
	known(p, 0);
	mapped(20, 0x50000, 0x1000, 0, "/gone/d", NULL, 5, now + 4);
	assert_int_equal(known(p, 1)[0].start, 0x50000);
}

// The mappings of now are not those that a sample was taken under.
static void mappings_of_another_time_are_not_told(void **state)
{
	(void)state;
	uint64_t now = clock_now();
	execed(30, "app", now);
	mapped(30, 0x10000, 0x2000, 0, "/gone/a", NULL, 2, now);
	struct process *p = sampled(30, 1, 700, "app", now - NS_PER_MS); // handed over late
	known(p, 0);
	p = sampled(30, 1, 700, "app", now + 1);
	known(p, 1);
	struct record_sample bare = sample(30, 1, 700, "app", now + 2); // inside execve
	bare.exec_pages = 0;
	known(process_of(table, &bare), 0);
	known(sampled(30, 1, 700, "app", now + 3), 1);

	execed(31, "kthread", now);
	mapped(31, 0x10000, 0x2000, 0, "/gone/a", NULL, 2, now);
	struct record_sample kernel = sample(31, 2, 700, "kthread", now + 1);
	kernel.kernel_thread = 1;
	known(process_of(table, &kernel), 0);
}

static void mappings_of_which_some_are_read_are_not_told(void **state)
{
	(void)state;
	char *text = malloc(60000 * 80), *at = text;
	for (uint32_t i = 0; i < 60000; i++)
		at += sprintf(at, "%x-%x r-%cp 0 08:01 7 /gone/lib\n", 0x100000 + i * 0x1000,
		    0x101000 + i * 0x1000, i % 8 ? '-' : 'x');
	fakeproc_add(40, 1, "big", 700, text);
	free(text);
	struct process *p = sampled(40, 1, 700, "big", clock_now());
	assert_int_equal(process_place(table, p, 0x100010).kind, PLACE_PENDING);
	// What events tell meanwhile is some of it, too.
	mapped(40, 0x1000, 0x1000, 0, "/gone/new", NULL, 8, clock_now());
	do
		known(p, 0);
	while (processes_read(table, 500000));
	known(p, 7501);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(puts_cut_and_split_like_a_byte_map),
	    cmocka_unit_test(no_memory_leaves_a_gap_only),
	    cmocka_unit_test(a_full_table_has_gaps_but_nothing_wrong),
	    cmocka_unit_test(kinds_by_path),
	    cmocka_unit_test(names_of_memfds),
	    cmocka_unit_test_setup_teardown(mappings_are_told_once_they_are_read, setup, teardown),
	    cmocka_unit_test_setup_teardown(mappings_follow_the_events, setup, teardown),
	    cmocka_unit_test_setup_teardown(mappings_of_another_time_are_not_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		mappings_of_which_some_are_read_are_not_told, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
