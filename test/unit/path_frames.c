// SPDX-License-Identifier: Apache-2.0
// What a sample's user part becomes: frames, and marks where it is not whole. All of it goes onto a
// tape too, and the replay must say the same.
#include "path_sim.h"
#include "../../modules/path/frames.c"

#include <sys/mman.h>

#define LIBC 0x7f0000002010ull
#define NEW 0x7f0000902010ull
#define MANY 17000u
#define PAGES 0x10000000ul // of the many

static int tape_fd(void)
{
	int fd = memfd_create("tape", 0);
	assert_true(fd >= 0);
	return fd;
}

static void begin(int fd)
{
	sim.dumps = true;
	assert_true(sim_make());
	assert_int_equal(sim_start(fd), 0);
	sim_turns();
}

// Ships, and replays what was recorded: to be freed, what came out both times.
static struct text end(int fd)
{
	sim_ship();
	totals_match();
	sim_replays_the_same(fd);
	struct text dump = sim.dump;
	sim.dump = TEXT(ACCOUNT_BASE);
	return dump;
}

static void feed_map(uint32_t pid, uint64_t start, const char *name)
{
	struct {
		struct record_mmap m;
		char path[64];
	} m = {.m = {.head = {.kind = RECORD_MMAP, .size = sizeof(m), .time_ns = now},
		   .start = start,
		   .length = 0x1000,
		   .pid = pid}};
	m.m.path_len = (uint16_t)snprintf(m.m.path, sizeof(m.path), "%s", name);
	path_record(sim.path, &m.m.head);
}

static void one_inside_execve(void **state)
{
	(void)state;
	int fd = tape_fd();
	fakeproc_add(
	    42, 1, "sh", 700, "7f0000002000-7f0000003000 r-xp 00000000 08:01 5 /gone/libc\n");
	begin(fd);
	uint64_t old[] = {LIBC, LIBC + 0x20}, new[] = {NEW, NEW + 0x20};
	feed_stack(42, 1, 700, "sh", old, 2);
	now += NS_PER_MS;
	feed_exec(42, "new");
	feed_map(42, NEW & ~0xfffull, "/gone/new");
	feed_stack(42, 1, 700, "new", old, 2); // what lies where its stack was is none
	uint64_t nowhere[] = {0x7f0000555000, NEW};
	feed_stack(42, 1, 700, "new", nowhere, 2);
	feed_stack(42, 1, 700, "new", new, 2);
	feed_stack(42, 1, 700, "new", old, 2);
	struct text dump = end(fd);
	assert_non_null(strstr(dump.at, "sh sh |do_work  1 ffffffff81000010 [kernel.kallsyms] "
					"|[libc+0x10]  0 10 /gone/libc |[libc+0x2f]"));
	assert_non_null(
	    strstr(dump.at, "new new |do_work  1 ffffffff81000010 [kernel.kallsyms] "
			    "|[libc+0x10]  0 10 /gone/libc |[truncated: execve]  3 0   1 "));
	assert_non_null(strstr(dump.at, "new new |do_work  1 ffffffff81000010 [kernel.kallsyms] "
					"|[truncated: execve]  3 0   1 "));
	assert_non_null(strstr(dump.at, "|[new+0x10]  0 10 /gone/new |[new+0x2f]"));
	// Once the new program runs the old one is no more.
	assert_non_null(strstr(dump.at, "new new |do_work  1 ffffffff81000010 [kernel.kallsyms] "
					"|[unmapped]"));
	text_free(&dump);
	close(fd);
}

static void more_mappings_than_are_kept(void **state)
{
	(void)state;
	int fd = tape_fd();
	char *maps = malloc(MANY * 80), *at = maps;
	for (unsigned long i = 0; i < MANY; i++)
		at += sprintf(at, "%lx-%lx r-xp 00000000 08:01 5 /gone/jit\n", PAGES + i * 0x2000,
		    PAGES + i * 0x2000 + 0x1000);
	fakeproc_add(43, 1, "many", 700, maps);
	free(maps);
	uint64_t before = count_get(COUNT_MAPPINGS_FULL);
	begin(fd);
	uint64_t last = PAGES + (MANY - 1) * 0x2000ul + 0x10;
	uint64_t kept[] = {PAGES + 0x10, PAGES + 0x20, last}, leaf[] = {last, PAGES + 0x20};
	feed_stack(43, 1, 700, "many", kept, 3);
	feed_stack(43, 1, 700, "many", leaf, 2);
	assert_int_equal(count_get(COUNT_MAPPINGS_FULL), before + 2);
	uint64_t reads = count_get(COUNT_MAPS_READS);
	for (int i = 0; i < 100; i++) { // nor is it read again for them
		now += NS_PER_S;
		feed_stack(43, 1, 700, "many", leaf, 2);
	}
	assert_int_equal(count_get(COUNT_MAPS_READS), reads);
	struct text dump = end(fd);
	assert_non_null(strstr(dump.at, "|[jit+0x10]  0 10 /gone/jit |[jit+0x1f]  0 1f /gone/jit "
					"|[unmapped: too many mappings]  3 0   1 "));
	assert_non_null(strstr(dump.at, "[kernel.kallsyms] |[unmapped: too many mappings]  3 0  "
					"|[jit+0x1f]  0 1f /gone/jit  101 "));
	assert_null(strstr(dump.at, "[unmapped]"));
	text_free(&dump);
	close(fd);
}

static void code_in_a_memfd(void **state)
{
	(void)state;
	int fd = tape_fd();
	fakeproc_add(44, 1, "jit", 700,
	    "7f0000002000-7f0000003000 r-xp 00000000 00:01 5 /memfd:double mapper (deleted)\n"
	    "7f0000004000-7f0000005000 rwxp 00000000 00:00 0 \n");
	begin(fd);
	uint64_t frames[] = {LIBC, LIBC + 0x2000};
	feed_stack(44, 1, 700, "jit", frames, 2);
	feed_exec(45, "event");
	feed_map(45, LIBC & ~0xfffull, "/memfd:a\001\xff\n (deleted)");
	feed_map(45, 0x7f0000004000, "//anon");
	feed_stack(45, 1, 800, "event", frames, 2);
	struct text dump = end(fd);
	assert_non_null(strstr(dump.at, "|[anon]  2 7f0000002010 [memfd:double mapper] "
					"|[anon]  2 7f000000400f  "));
	assert_non_null(
	    strstr(dump.at, "|[anon]  2 7f0000002010 [memfd:a???] |[anon]  2 7f000000400f  "));
	text_free(&dump);
	close(fd);
}

static void walks_that_ended_early(void **state)
{
	(void)state;
	int fd = tape_fd();
	fakeproc_add(
	    48, 1, "walk", 700, "7f0000002000-7f0000003000 r-xp 00000000 08:01 5 /gone/libc\n");
	begin(fd);
	uint64_t untold = count_get(COUNT_STACKS_UNTOLD),
		 not_code = count_get(COUNT_STACKS_NOT_CODE);
	uint64_t code[] = {LIBC, LIBC + 0x20}, noise[] = {LIBC, 0x5555};
	// Where a signal came no call lies before.
	uint64_t exact[] = {LIBC, (LIBC + 0x30) | (uint64_t)FRAME_EXACT << FRAME_PAYLOAD_BITS};
	feed_stack(48, 1, 700, "walk", exact, 2);
	feed_walk(48, 1, 700, "walk", code, 1, WALK_END_JIT, 0);
	feed_walk(48, 1, 700, "walk", code, 2, WALK_END_LOADING, NEED_PROCESS);
	feed_walk(48, 1, 700, "walk", noise, 2, WALK_END_NOT_CODE, NEED_MAPPING);
	uint64_t fresh[] = {LIBC + 0x40, LIBC + 0x20};
	feed_walk(48, 1, 700, "walk", fresh, 2, WALK_END_NOT_CODE, NEED_MAPPING); // code by now
	assert_int_equal(count_get(COUNT_STACKS_UNTOLD), untold + 1);
	assert_int_equal(count_get(COUNT_STACKS_NOT_CODE), not_code);
	// The same of what was running: code by now, and a jump to nowhere.
	uint64_t nowhere[] = {0, LIBC + 0x70};
	feed_walk(48, 1, 700, "walk", fresh + 1, 1, WALK_END_UNMAPPED, NEED_MAPPING);
	assert_int_equal(count_get(COUNT_STACKS_UNTOLD), untold + 2);
	feed_walk(48, 1, 700, "walk", nowhere, 2, WALK_END_UNMAPPED, NEED_MAPPING);
	assert_int_equal(count_get(COUNT_STACKS_UNTOLD), untold + 2);
	feed_walk(48, 1, 700, "walk", noise, 2, WALK_END_COMPLETE, 0); // nobody had looked
	assert_int_equal(count_get(COUNT_STACKS_NOT_CODE), not_code + 1);
	uint64_t bad = count_get(COUNT_RECORDS_BAD);
	feed_walk(48, 1, 700, "walk", code, 1, WALK_END_COUNT, 0);
	assert_int_equal(count_get(COUNT_RECORDS_BAD), bad + 1);
	struct text dump = end(fd);
	assert_non_null(
	    strstr(dump.at, "|[libc+0x10]  0 10 /gone/libc |[libc+0x40]  0 40 /gone/libc  1"));
	assert_non_null(
	    strstr(dump.at, "|[libc+0x10]  0 10 /gone/libc |[truncated: jit]  3 0   1"));
	assert_non_null(strstr(
	    dump.at, "|[libc+0x2f]  0 2f /gone/libc |[truncated: unwind rows being loaded]"));
	assert_non_null(
	    strstr(dump.at, "|[libc+0x10]  0 10 /gone/libc |[truncated: caller is no code]"));
	assert_non_null(
	    strstr(dump.at, "|[libc+0x10]  0 10 /gone/libc |[truncated: caller in no mapping]"));
	assert_non_null(
	    strstr(dump.at, "|[libc+0x30]  0 30 /gone/libc |[truncated: mapping not told yet]"));
	assert_non_null(
	    strstr(dump.at, "|[libc+0x7f]  0 7f /gone/libc |[truncated: code in no mapping]"));
	assert_non_null(
	    strstr(dump.at, "|[libc+0x50]  0 50 /gone/libc |[libc+0x2f]  0 2f /gone/libc "
			    "|[truncated: mapping not told yet]"));
	text_free(&dump);
	close(fd);
}

// What `telegen check` lists are the marks, each once.
static void ends_have_words(void **state)
{
	(void)state;
	const char *label, *text, *other;
	uint32_t n = 0;
	for (; path_end(n, &label, &text); n++) {
		assert_true(*label && strlen(text) > 20);
		for (int end = WALK_END_COMPLETE; end < WALK_END_COUNT; end++)
			assert_string_not_equal(
			    label, kernel_counter_label((enum kernel_counter)KERNEL_WALK(end)));
		for (uint32_t i = 0; i < n; i++)
			if (path_end(i, &other, &text))
				assert_string_not_equal(label, other);
	}
	assert_int_equal(n, END_NOT_CODE);
}

static void a_child_that_was_gone_when_it_was_looked_for(void **state)
{
	(void)state;
	int fd = tape_fd();
	fakeproc_add(
	    46, 1, "sh", 700, "7f0000002000-7f0000003000 r-xp 00000000 08:01 5 /gone/libc\n");
	begin(fd);
	uint64_t frames[] = {LIBC};
	feed_stack(46, 1, 700, "sh", frames, 1);
	feed_stack(47, 46, 800, "sh", frames, 1);
	struct text dump = end(fd);
	assert_non_null(strstr(dump.at, "47 47 sh sh |do_work  1 ffffffff81000010 "
					"[kernel.kallsyms] |[libc+0x10]  0 10 /gone/libc"));
	text_free(&dump);
	close(fd);
}

int main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(one_inside_execve, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(more_mappings_than_are_kept, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(code_in_a_memfd, sim_setup, sim_teardown),
	    cmocka_unit_test(ends_have_words),
	    cmocka_unit_test_setup_teardown(walks_that_ended_early, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(
		a_child_that_was_gone_when_it_was_looked_for, sim_setup, sim_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
