// SPDX-License-Identifier: Apache-2.0
// What is the longest unused goes, and all stays within the limit.
#include "unwind_programs.h"

#include "../../modules/unwind/unwind.c"

// Windows of a quarter of a chunk in three chunks; the longest unused goes first.
static void the_longest_unused_goes(void **state)
{
	(void)state;
	fake_unwind(3, 8 << 20);
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
	// The others went ahead of need, for they must rest: one more finds room at once.
	uint32_t jobs = world.jobs;
	assert_int_equal(figures().evicted, 2);
	assert_int_equal(fake_walk(1, 1, AT, &rule), WINDOW_ASK);
	fake_pass(TURN_NS);
	fake_pass(TURN_NS);
	assert_int_equal(sample(16, AT), WINDOW_FULL);
	fake_steps();
	assert_int_equal(sample(16, AT), WINDOW_ROWS);
	assert_int_equal(rule.cfa, 16);
	assert_int_equal(world.jobs, jobs + 1);
	assert_int_equal(figures().evicted, 2); // nothing that is in use
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
	assert_true(world.jobs < jobs + 30);
	fake_end();
}

// What ended makes room before what runs, and need not be unused for long.
static void what_ended_goes_first(void **state)
{
	(void)state;
	fake_unwind(3, 8 << 20);
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

// A window denser than what chunks leave free: those that nobody uses are closed for it.
static void dense_when_full(void **state)
{
	(void)state;
	fake_unwind(64, 2 << 20);
	program(30, 30, 1, 90000);
	for (uint32_t id = 1; id <= 20; id++) {
		program(id, id, 1, 30000);
		sample(id, AT);
		fake_steps();
	}
	assert_true(figures().chunks >= 4);
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
	fake_unwind(64, 1 << 20);
	program(1, 1, 1, 100000);
	program(2, 2, 1, 3000);
	for (int i = 0; i < 95; i++) {
		sample(1, AT);
		sample(2, AT);
		fake_pass(100 * NS_PER_MS);
	}
	assert_int_equal(world.jobs, 2);
	assert_int_equal(fake_walk(1, 1, AT, &rule), WINDOW_FULL);
	assert_int_equal(fake_walk(2, 1, AT, &rule), WINDOW_ROWS);
	fake_pass(NS_PER_S);
	sample(1, AT);
	fake_steps();
	assert_int_equal(world.jobs, 3);
	assert_true(fake.most <= 1 << 20);
	fake_end();
}

// Three hundred programs of several MiB each want more than there is; five are always in use.
static void three_hundred(void **state)
{
	(void)state;
	uint32_t before = descriptors(), complete = 0, all = 0, some = 0, waited = 0;
	fake_unwind(64, 2 << 20);
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
	    "chunks %lu of %lu KiB, most %lu KiB, newly hot after %u0 ms\n",
	    complete, all, some, f.loads, f.evicted, f.refused, f.failed, f.chunks, f.bytes / 1024,
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
	assert_int_equal(f.chunks + f.windows + f.processes + f.rows + f.row_bytes, 0);
	assert_int_equal(fake.u->files.count, 0);
	assert_int_equal(descriptors(), before + 300);
	fake_end();
}

static void windows_run_out(void **state)
{
	(void)state;
	fake_unwind(64, 8 << 20);
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
	fake_unwind(64, 8 << 20);
	for (uint32_t id = 1; id <= 30; id++) {
		program(id, id, 1, 30000);
		sample(id, AT);
		fake_steps();
	}
	uint64_t chunks = figures().chunks;
	assert_true(chunks >= 7);
	assert_int_equal(unwind_shrink(fake.u, 1), 0); // all were used just now
	fake_pass(3 * NS_PER_S);
	for (uint32_t id = 1; id <= 4; id++)
		sample(id, AT);
	uint64_t maps = mem_used(ACCOUNT_MAPS);
	uint64_t freed = unwind_shrink(fake.u, 1);
	assert_int_equal(figures().chunks, chunks - 1);
	assert_true(freed >= maps - mem_used(ACCOUNT_MAPS) && freed > 256 << 10);
	fake.u->busy++; // inside an allocation of our own
	assert_int_equal(unwind_shrink(fake.u, 1 << 30), 0);
	fake.u->busy--;
	freed = unwind_shrink(fake.u, 1 << 30);
	// The processes were published just now, too: only their chunk stays.
	assert_true(figures().chunks >= 1 && figures().chunks <= 3);
	for (uint32_t id = 1; id <= 4; id++)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	fake_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_longest_unused_goes),
	    cmocka_unit_test(what_ended_goes_first),
	    cmocka_unit_test(dense_when_full),
	    cmocka_unit_test(dense),
	    cmocka_unit_test(three_hundred),
	    cmocka_unit_test(windows_run_out),
	    cmocka_unit_test(shrinks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
