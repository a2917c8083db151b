// SPDX-License-Identifier: Apache-2.0
// What is the longest unused goes, and all stays within the limit.
#include "unwind_programs.h"

#include "../../modules/unwind/unwind.c"

// Room for twelve windows; the longest unused goes first.
static void the_longest_unused_goes(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
	fake.tables.pages_max[PAGE_ROWS] = 12 * PAGES_OF_30000;
	for (uint32_t id = 1; id <= 16; id++)
		program(id, id, 1, 30000);
	uint32_t loaded = 0;
	for (uint32_t id = 1; id <= 16; id++) {
		sample(id, AT);
		fake_steps();
		loaded += fake_walk(id, 1, AT, &rule) == WINDOW_ROWS;
	}
	assert_int_equal(loaded, 12);
	// All were loaded just now: nothing may go.
	assert_int_equal(figures().evicted, 0);
	assert_int_equal(figures().refused, 16 - loaded);
	assert_int_equal(fake_walk(16, 1, AT, &rule), WINDOW_FULL);
	fake_steps();
	assert_int_equal(world.jobs, 12); // nothing is built without hope of room
	// In two seconds only those that are used stay.
	for (int i = 0; i < 4; i++) {
		for (uint32_t id = 3; id <= loaded; id++)
			assert_int_equal(sample(id, AT), WINDOW_ROWS);
		fake_pass(NS_PER_S);
	}
	// The others go when there is need, and one more finds room at once.
	uint32_t jobs = world.jobs;
	assert_int_equal(figures().evicted, 0);
	assert_int_equal(fake_walk(1, 1, AT, &rule), WINDOW_ROWS);
	fake_pass(3 * NS_PER_S);
	for (uint32_t id = 2; id <= loaded; id++)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	assert_int_equal(sample(16, AT), WINDOW_FULL);
	fake_steps();
	assert_int_equal(sample(16, AT), WINDOW_ROWS);
	assert_int_equal(rule.cfa, 16);
	assert_int_equal(world.jobs, jobs + 1);
	assert_int_equal(figures().evicted, 1); // nothing that is in use
	assert_int_equal(fake_walk(1, 1, AT, &rule), WINDOW_ASK);
	for (uint32_t id = 3; id <= loaded; id++)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	// All in use, one more wants in: it costs nothing to ask again and again.
	for (int i = 0; i < 1000; i++) {
		for (uint32_t id = 3; id <= loaded; id++)
			assert_int_equal(sample(id, AT), WINDOW_ROWS);
		assert_int_equal(sample(16, AT), WINDOW_ROWS);
		sample(15, AT);
		sample(14, AT);
		fake_pass(10 * NS_PER_MS);
	}
	assert_int_equal(world.jobs, jobs + 2); // the second's window went
	fake_end();
}

// What ended makes room before what runs, and need not be unused for long.
static void what_ended_goes_first(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
	fake.tables.pages_max[PAGE_ROWS] = 12 * PAGES_OF_30000;
	for (uint32_t id = 1; id <= 10; id++) {
		program(id, id, 1, 30000);
		sample(id, AT);
		fake_steps();
	}
	fake_pass(NS_PER_S);
	for (uint32_t id = 1; id <= 10; id++)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	unwind_gone(fake.u, &world.process[9]);
	unwind_gone(fake.u, &world.process[10]);
	for (uint32_t id = 11; id <= 13; id++)
		program(id, id, 1, 30000);
	for (int i = 0; i < 13; i++) {
		for (uint32_t id = 11; id <= 13; id++)
			sample(id, AT);
		fake_pass(100 * NS_PER_MS);
	}
	for (uint32_t id = 11; id <= 13; id++)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	for (uint32_t id = 1; id <= 8; id++)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	fake_end();
}

// What was loaded for a process that found no room yet did not end.
static void not_published_yet(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
	fake.tables.pages_max[PAGE_ROWS] = 2 * PAGES_OF_30000;
	fake.tables.pages_max[PAGE_MAPPINGS] = 2;
	program(1, 1, 1, 30000);
	program(3, 3, 1, 30000);
	world_file(2, 0x400000, 0, 1)->rows = 30000;
	world_map(2, 0, 2, AT, true);
	sample(1, AT);
	fake_need(2, 1, NEED_WINDOW, AT);
	fake_steps();
	assert_int_equal(figures().windows, 2);
	assert_int_equal(figures().processes, 2);
	fake_pass(NS_PER_S);
	assert_int_equal(sample(1, AT), WINDOW_ROWS);
	sample(3, AT);
	fake_steps();
	assert_int_equal(figures().evicted, 0);
	assert_int_equal(fake_walk(3, 1, AT, &rule), WINDOW_FULL);
	fake_end();
}

// A window denser than what rows leave free: those that nobody uses go for it.
static void dense_when_full(void **state)
{
	(void)state;
	fake_unwind(2 << 20);
	program(30, 30, 1, 90000);
	for (uint32_t id = 1; id <= 20; id++) {
		program(id, id, 1, 30000);
		sample(id, AT);
		fake_steps();
	}
	assert_true(figures().pages >= 256);
	fake_pass(3 * NS_PER_S);
	for (int i = 0; i < 100; i++) {
		sample(30, AT);
		fake_pass(10 * NS_PER_MS);
	}
	assert_int_equal(sample(30, AT), WINDOW_ROWS);
	assert_true(fake.most <= 2 << 20);
	fake_end();
}

// A window whose rows are too many for what memory there is.
static void dense(void **state)
{
	(void)state;
	fake_unwind(1 << 20);
	program(1, 1, 1, 100000);
	program(2, 2, 1, 3000);
	for (int i = 0; i < 600; i++) {
		sample(1, AT);
		sample(2, AT);
		fake_pass(100 * NS_PER_MS);
	}
	// It is not built again and again: how much it takes is known.
	assert_int_equal(world.jobs, 2);
	assert_int_equal(fake_walk(1, 1, AT, &rule), WINDOW_FULL);
	assert_int_equal(fake_walk(2, 1, AT, &rule), WINDOW_ROWS);
	assert_true(fake.most <= 1 << 20);
	fake_end();
}

// All that rows may take is in use. What more is wanted waits at no cost, and has its rows when the
// others rest.
static void in_use(void **state)
{
	(void)state;
	enum { PROGRAMS = 60, LATE = 61 };
	fake_unwind(2 << 20);
	for (uint32_t id = 1; id <= LATE; id++)
		program(id, id, 1, 20000);
	for (int i = 0; i < 300; i++) {
		for (uint32_t id = 1; id <= PROGRAMS; id++)
			sample(id, AT);
		fake_pass(10 * NS_PER_MS);
	}
	// The most of the memory holds rows.
	assert_true(figures().row_bytes > (2 << 20) * 6 / 10);
	assert_in_range(figures().windows, 20, PROGRAMS - 20);
	uint64_t built = figures().built_rows, evicted = figures().evicted;
	uint32_t jobs = world.jobs;
	for (int i = 0; i < 6000; i++) {
		for (uint32_t id = 1; id <= LATE; id++)
			sample(id, AT);
		fake_pass(10 * NS_PER_MS);
	}
	assert_int_equal(fake_walk(LATE, 1, AT, &rule), WINDOW_FULL);
	assert_int_equal(figures().evicted, evicted);
	assert_true(figures().built_rows <= built + 20000); // of which nobody knew what it takes
	assert_true(world.jobs <= jobs + 1);
	uint32_t waited = 0;
	for (; waited < 100 && sample(LATE, AT) != WINDOW_ROWS; waited++)
		fake_pass(100 * NS_PER_MS);
	assert_in_range(waited, 1, 45);
	assert_true(fake.most <= 2 << 20);
	fake_end();
}

// One program has it all, and all is in use: another that is hot gets its part, and there it stays.
static void one_has_it_all(void **state)
{
	(void)state;
	enum { WINDOWS = 60 };
	uint32_t loads = 0, hot = 0;
	fake_unwind(2 << 20);
	program(1, 1, WINDOWS, 20000);
	program(2, 2, 4, 20000);
	program(3, 3, 1, 20000);
	for (int i = 0; i < 3000; i++) {
		for (uint32_t n = 0; n < WINDOWS; n++)
			sample(1, AT + n * MIB);
		for (uint32_t n = 0; n < 4 && i > 500; n++)
			hot += sample(2, AT + n * MIB) == WINDOW_ROWS && i >= 1000;
		if (i > 500 && i % 100 == 0) // once a second
			assert_int_not_equal(sample(3, AT), WINDOW_ROWS);
		if (i == 1000)
			loads = (uint32_t)figures().loads;
		fake_pass(10 * NS_PER_MS);
	}
	assert_int_equal(hot, 4 * 2000);
	assert_int_equal(figures().loads, loads);
	assert_true(figures().windows > 25);
	assert_true(fake.most <= 2 << 20);
	fake_end();
}

// Three hundred programs of several MiB each want more than there is; five are always in use.
static void three_hundred(void **state)
{
	(void)state;
	uint32_t before = descriptors(), complete = 0, all = 0, some = 0, waited = 0;
	fake_unwind(2 << 20);
	for (uint32_t id = 1; id <= 300; id++)
		program(id, id, 4, 2000 + draw(30000));
	for (int i = 0; i < 4000; i++) {
		for (uint32_t id = 1; id <= 5; id++) {
			int found = sample(id, AT + 100);
			complete += i > 100 && found == WINDOW_ROWS;
			all += i > 100;
			assert_true(found != WINDOW_ROWS || (rule.cfa == (int)id && rule.fp == 0));
		}
		// One that becomes hot does not wait behind all that were hit once.
		int late = i >= 2000 && sample(299, AT + MIB) != WINDOW_ROWS;
		waited += late;
		assert_true(!late || i < 2500);
		uint32_t id = 6 + draw(293), window = draw(4);
		int found = sample(id, AT + window * MIB + draw(1 << 20));
		assert_true(
		    found != WINDOW_ROWS || (rule.cfa == (int)id && rule.fp == (int)window));
		some += found == WINDOW_ROWS;
		fake_pass(10 * NS_PER_MS);
	}
	struct unwind_figures f = figures();
	print_message(
	    "hot %u of %u, others %u of 4000; loads %lu evicted %lu refused %lu failed %lu "
	    "pages %lu, %lu KiB, most %lu KiB, newly hot after %u0 ms\n",
	    complete, all, some, f.loads, f.evicted, f.refused, f.failed, f.pages, f.bytes / 1024,
	    fake.most / 1024, waited);
	assert_int_equal(complete, all);
	assert_true(f.evicted > 30 && f.loads > 50);
	assert_int_equal(f.failed, 0);
	assert_true(fake.most <= 2 << 20);
	// They end: what they had is let go after a while, and nothing stays open.
	for (uint32_t id = 1; id <= 300; id++) {
		unwind_gone(fake.u, &world.process[id]);
		world.process[id].pid = 0;
	}
	for (int i = 0; i < STAY_S + 10; i++)
		fake_pass(NS_PER_S);
	f = figures();
	assert_int_equal(f.pages + f.windows + f.processes + f.rows + f.row_bytes, 0);
	assert_int_equal(fake.u->files.count, 0);
	assert_int_equal(descriptors(), before + 300);
	fake_end();
}

static void windows_run_out(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
	for (uint32_t id = 1; id <= 60; id++) {
		world_file(id, 0x400000, 0, 100)->rows = 10;
		world_map(id, 0, id, AT, false);
		sample(id, AT);
		fake_steps();
		sample(id, AT);
		fake_steps();
	}
	// 40 times 100 are 4,096; none was unused for long.
	assert_int_equal(fake.u->files.count, 40);
	assert_int_equal(figures().loads, 40);
	fake_pass(3 * NS_PER_S);
	for (uint32_t id = 11; id <= 40; id++)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	for (int i = 0; i < 5; i++) {
		for (uint32_t id = 11; id <= 40; id++)
			assert_int_equal(sample(id, AT), WINDOW_ROWS);
		sample(60, AT);
		fake_pass(NS_PER_S);
	}
	assert_int_equal(sample(60, AT), WINDOW_ROWS);
	assert_int_equal(rule.cfa, 60);
	// The processes of the one that went ask again.
	uint32_t gone = 0;
	for (uint32_t id = 1; id <= 10; id++)
		gone += sample(id, AT) == NO_PROCESS;
	assert_int_equal(gone, 1);
	// A file of more than there is.
	world_file(70, 0x400000, 0, 1010);
	world_map(70, 0, 70, AT, false);
	for (int i = 0; i < 20; i++) {
		for (uint32_t id = 11; id <= 40; id++)
			assert_int_equal(sample(id, AT), WINDOW_ROWS);
		int found = sample(70, AT);
		assert_true(found == NO_PROCESS || found == UNKNOWN);
		fake_pass(NS_PER_S);
	}
	fake_end();
}

static void shrinks(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
	for (uint32_t id = 1; id <= 30; id++) {
		program(id, id, 1, 30000);
		sample(id, AT);
		fake_steps();
	}
	uint64_t windows = figures().windows;
	assert_int_equal(windows, 30);
	assert_int_equal(unwind_shrink(fake.u, 1), 0); // all were used just now
	fake_pass(3 * NS_PER_S);
	for (uint32_t id = 1; id <= 4; id++)
		sample(id, AT);
	uint64_t maps = mem_used(ACCOUNT_MAPS);
	uint64_t freed = unwind_shrink(fake.u, 1);
	assert_int_equal(figures().windows, windows - 1);
	assert_true(freed >= maps - mem_used(ACCOUNT_MAPS) && freed > 60 << 10);
	fake.u->busy++; // inside an allocation of our own
	assert_int_equal(unwind_shrink(fake.u, 1 << 30), 0);
	fake.u->busy--;
	freed = unwind_shrink(fake.u, 1 << 30);
	// The processes were published just now, too.
	assert_int_equal(figures().windows, 4);
	assert_int_equal(figures().processes, 30);
	for (uint32_t id = 1; id <= 4; id++)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	fake_end();
}

// Where all pages are there from the start: as many as there are, and letting go frees no memory.
static void fixed_pages(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
	fake.tables.pages_max[PAGE_ROWS] = 7 * PAGES_OF_30000;
	fake.tables.pages_max[PAGE_MAPPINGS] = 20;
	fake.tables.fixed_bytes += 7 * PAGES_OF_30000 * 4096 + 20 * 512;
	memset(fake.tables.page_bytes, 0, sizeof(fake.tables.page_bytes));
	for (uint32_t id = 1; id <= 20; id++)
		program(id, id, 1, 30000);
	for (int i = 0; i < 100; i++) {
		for (uint32_t id = 1; id <= 2; id++)
			sample(id, AT);
		sample(3 + (uint32_t)i % 16, AT);
		fake_pass(NS_PER_S);
	}
	for (uint32_t id = 1; id <= 2; id++)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	assert_int_equal(figures().windows, 7);
	assert_int_equal(figures().failed + figures().refused, 0);
	fake_pass(60 * NS_PER_S);
	assert_int_equal(unwind_shrink(fake.u, 1), 0);
	assert_int_equal(figures().windows, 7);
	// A process beyond those that there is room for: the longest published goes.
	program(21, 21, 1, 30000);
	assert_true(fake_walk(21, 1, AT, &rule) != NO_PROCESS);
	assert_int_equal(figures().processes, 20);
	fake_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_longest_unused_goes),
	    cmocka_unit_test(what_ended_goes_first),
	    cmocka_unit_test(not_published_yet),
	    cmocka_unit_test(dense_when_full),
	    cmocka_unit_test(dense),
	    cmocka_unit_test(in_use),
	    cmocka_unit_test(one_has_it_all),
	    cmocka_unit_test(three_hundred),
	    cmocka_unit_test(windows_run_out),
	    cmocka_unit_test(shrinks),
	    cmocka_unit_test(fixed_pages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
