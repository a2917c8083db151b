// SPDX-License-Identifier: Apache-2.0
// What the walker is told of processes, and when.
#include "unwind_programs.h"

#include "../../modules/unwind/publish.c"

#include <stdlib.h>
#include <sys/auxv.h>

static void step_by_step(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
	world_file(5, 0x401000, 0x1000, 3);
	world_map(7, 0, 5, AT, false);
	assert_int_equal(sample(7, AT + 0x10), NO_PROCESS);
	assert_int_equal(fake.told, 1);
	assert_int_equal(sample(7, AT + 0x10), NO_PROCESS);
	assert_int_equal(fake.told, 1); // once, until it was stepped
	fake_steps();
	assert_int_equal(fake.writes, 1);
	assert_int_equal(sample(7, AT + 0x10), UNKNOWN);
	assert_int_equal(fake.told, 2);
	fake_pass(NS_PER_S);
	// It is looked at by now, and loaded; 0x401000 lies a page behind where a window starts.
	assert_int_equal(sample(7, AT + 0x10), WINDOW_ROWS);
	assert_int_equal(rule.cfa, 5);
	assert_int_equal(rule.fp, 0);
	assert_int_equal(sample(7, AT + MIB - 0x1001), WINDOW_ROWS);
	assert_int_equal(sample(7, AT + MIB - 0x1000), WINDOW_ASK);
	fake_steps();
	assert_int_equal(sample(7, AT + MIB - 0x1000), WINDOW_ROWS);
	assert_int_equal(rule.fp, 1);
	assert_int_equal(sample(7, AT + 3 * MIB - 1), WINDOW_ASK);
	fake_steps();
	assert_int_equal(sample(7, AT + 3 * MIB - 1), WINDOW_ROWS);
	assert_int_equal(rule.fp, 3);
	assert_int_equal(sample(7, AT + 3 * MIB), NO_MAPPING);
	assert_int_equal(sample(7, AT - 1), NO_MAPPING);
	// A second process finds all of it there.
	world_map(8, 0, 5, AT + 0x5000000, true);
	assert_int_equal(sample(8, AT + 0x5000000), NO_PROCESS);
	fake_steps();
	assert_int_equal(sample(8, AT + 0x5000000), WINDOW_ROWS);
	struct unwind_figures f = figures();
	assert_int_equal(f.processes, 2);
	assert_int_equal(f.windows, 4); // the third one's neighbour too
	assert_int_equal(f.loads, 4);
	assert_int_equal(f.rows, 4000);
	assert_int_equal(f.pages, 4 * 3 + 2);
	assert_int_equal(f.refused + f.failed + f.evicted, 0);
	assert_int_equal(world.sources, 3); // each was alone in the queue
	fake_end();
}

static void exec_and_exit(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
	world_file(5, 0x1000, 0x1000, 1);
	world_map(7, 0, 5, AT, true);
	fake_need(7, 1, NEED_PROCESS, AT);
	fake_steps();
	assert_true(fake_walk(7, 1, AT, &rule) != NO_PROCESS);
	// Another program: the same id, other memory.
	fake_now += 1000;
	fake_need(7, 2, NEED_PROCESS, AT);
	assert_int_equal(fake_walk(7, 1, AT, &rule), NO_PROCESS);
	fake_steps();
	assert_true(fake_walk(7, 2, AT, &rule) != NO_PROCESS);
	// A sample of the one before, come late.
	fake_now -= 500;
	fake_need(7, 1, NEED_PROCESS, AT);
	fake_now += 500;
	fake_steps();
	assert_true(fake_walk(7, 2, AT, &rule) != NO_PROCESS);
	assert_int_equal(fake_walk(7, 1, AT, &rule), NO_PROCESS);
	// Another process with the id, of which no exit was told.
	world.process[7].id = 4711;
	fake_now += 1000;
	fake_need(7, 3, NEED_PROCESS, AT);
	fake_steps();
	assert_int_equal(fake_walk(7, 2, AT, &rule), NO_PROCESS);
	assert_true(fake_walk(7, 3, AT, &rule) != NO_PROCESS);
	struct process other = world.process[7];
	other.id--;
	unwind_gone(fake.u, &other);
	unwind_changed(fake.u, &other);
	assert_true(fake_walk(7, 3, AT, &rule) != NO_PROCESS);
	unwind_gone(fake.u, &world.process[7]);
	assert_int_equal(fake_walk(7, 3, AT, &rule), NO_PROCESS);
	unwind_gone(fake.u, &world.process[7]);
	unwind_changed(fake.u, &world.process[7]);
	// One whose end nobody told is found by the turn.
	fake_need(7, 4, NEED_PROCESS, AT);
	fake_steps();
	world.process[7].pid = 0;
	fake_pass(NS_PER_S);
	assert_int_equal(fake_walk(7, 4, AT, &rule), NO_PROCESS);
	// Nothing of it is left.
	assert_int_equal(fake.pages[PAGE_MAPPINGS], 0);
	fake_end();
}

// Programs are published by the number of the exec, before a sample tells of their memory.
static void ahead_of_samples(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
	world_file(5, 0x1000, 0x1000, 1);
	world_map(7, 0, 5, AT, true);
	world.count[7] = 0;
	unwind_execed(fake.u, &world.process[7], fake_now);
	fake_steps();
	assert_int_equal(fake_walk(7, 1, AT, &rule), NO_PROCESS); // nothing is mapped yet
	world.count[7] = 1;
	unwind_changed(fake.u, &world.process[7]);
	fake_steps();
	assert_true(fake_walk(7, 1, AT, &rule) != NO_PROCESS);
	assert_int_equal(fake.writes, 1);
	// A sample from before that was told, and one of the program before: there is nothing to
	// do.
	fake_now -= 1;
	fake_need(7, 4711, NEED_PROCESS, AT);
	fake_now -= NS_PER_S;
	fake_need(7, 4710, NEED_PROCESS, AT);
	fake_now += NS_PER_S + 1;
	fake_steps();
	assert_int_equal(fake.writes, 1);
	assert_true(fake_walk(7, 1, AT, &rule) != NO_PROCESS);
	// The next program is the second.
	fake_now += 1000;
	unwind_execed(fake.u, &world.process[7], fake_now);
	assert_int_equal(fake_walk(7, 1, AT, &rule), NO_PROCESS);
	unwind_changed(fake.u, &world.process[7]);
	fake_steps();
	assert_true(fake_walk(7, 2, AT, &rule) != NO_PROCESS);
	// It was not: execs were lost. Its sample tells the memory that the walker looks for.
	fake_now += 1000;
	fake_need(7, 4712, NEED_PROCESS, AT);
	fake_steps();
	assert_int_equal(fake_walk(7, 2, AT, &rule), NO_PROCESS);
	assert_true(fake_walk(7, 4712, AT, &rule) != NO_PROCESS);
	// More of them than the walker looks for.
	for (uint32_t i = 3; i <= MM_EXECS + 1; i++)
		unwind_execed(fake.u, &world.process[7], ++fake_now);
	unwind_changed(fake.u, &world.process[7]);
	fake_steps();
	fake_now += 1000;
	fake_need(7, 4713, NEED_PROCESS, AT);
	fake_steps();
	assert_true(fake_walk(7, 4713, AT, &rule) != NO_PROCESS);
	// One that ended before it was its turn, and another with its id.
	unwind_gone(fake.u, &world.process[7]);
	unwind_execed(fake.u, &world.process[7], fake_now);
	world.process[7].id++;
	unwind_execed(fake.u, &world.process[7], fake_now);
	unwind_changed(fake.u, &world.process[7]);
	fake_steps();
	assert_true(fake_walk(7, 1, AT, &rule) != NO_PROCESS);
	fake_end();
}

// A forked child walks by what its parent's mappings were; what it maps itself makes it one of its
// own.
static void a_child_that_maps(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
	world_file(5, 0x1000, 0x1000, 2);
	world_file(6, 0x1000, 0x1000, 1);
	world_map(7, 0, 5, AT, true);
	world_map(8, 0, 5, AT, true);
	world_map(8, 1, 6, AT + 0x10000000, true);
	world.process[8].ppid = 7;
	fake_need(7, 1, NEED_PROCESS, AT);
	fake_steps();
	// Rows that its parent misses too are all it needs.
	fake_need(8, 2, NEED_WINDOW, AT);
	fake_steps();
	assert_int_equal(fake_walk(7, 1, AT, &rule), WINDOW_ROWS);
	assert_int_equal(fake_walk(8, 2, AT, &rule), NO_PROCESS);
	fake_need(8, 2, NEED_MAPPING, AT + 0x10000000);
	fake_steps();
	assert_int_equal(fake_walk(8, 2, AT, &rule), WINDOW_ROWS);
	assert_int_equal(fake_sample(8, 2, AT + 0x10000000, &rule), WINDOW_ASK);
	assert_int_equal(fake_walk(7, 1, AT + 0x10000000, &rule), NO_MAPPING);
	fake_end();
}

static void only_what_changed(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
	world_file(5, 0x1000, 0x1000, 1);
	world_file(6, 0x1000, 0x1000, 1);
	world_map(7, 0, 5, AT, true);
	fake_need(7, 1, NEED_PROCESS, AT);
	fake_steps();
	assert_int_equal(fake.writes, 1);
	uint64_t place = fake.slots[process_hash(7, 1)].place;
	// The same again is not written again.
	fake_pass(NS_PER_S);
	unwind_changed(fake.u, &world.process[7]);
	fake_steps();
	assert_int_equal(fake.writes, 1);
	assert_int_equal(fake.slots[process_hash(7, 1)].place, place);
	// A new one is told at once.
	fake_now += NS_PER_S;
	world_map(7, 1, 6, AT + 0x10000000, true);
	unwind_changed(fake.u, &world.process[7]);
	fake_steps();
	assert_int_equal(fake.writes, 2);
	assert_true(fake.slots[process_hash(7, 1)].place != place);
	// A library after the other, six hundredths of a second apart: each is told at once.
	for (int i = 0; i < 100; i++) {
		world.mapping[7][1].start = AT + 0x10000000 + (uint64_t)(i + 1) * 0x1000;
		unwind_changed(fake.u, &world.process[7]);
		fake_steps();
		assert_int_equal(fake.writes, 3 + i);
		fake_pass(60 * NS_PER_MS);
	}
	fake_pass(NS_PER_S);
	fake.writes = 2;
	// 10,000 changes in two seconds are twenty a second, and at first some more.
	for (int i = 0; i < 10000; i++) {
		world.mapping[7][1].start = AT + 0x10000000 + (uint64_t)i * 0x1000;
		unwind_changed(fake.u, &world.process[7]);
		fake_pass(NS_PER_MS / 5);
	}
	assert_in_range(fake.writes, 2 + 50, 2 + 62);
	fake_pass(NS_PER_S);
	assert_int_equal(fake.u->changed_count, 0);
	uint32_t writes = fake.writes;
	// A mapping that the walker misses, known or not.
	fake_pass(NS_PER_S);
	assert_int_equal(sample(7, 0x5000), NO_MAPPING);
	fake_steps();
	assert_int_equal(fake.u->changed_count, 0);
	world_map(7, 2, 6, AT + 0x20000000, true);
	assert_int_equal(sample(7, AT + 0x20000000), NO_MAPPING);
	fake_steps();
	assert_int_equal(fake.writes, writes + 1);
	assert_int_equal(sample(7, AT + 0x20000000), WINDOW_ASK);
	// Mappings that are not known for now leave what is published as it is.
	fake_pass(NS_PER_S);
	world.count[7] = 0;
	unwind_changed(fake.u, &world.process[7]);
	fake_steps();
	assert_int_equal(fake_walk(7, 1, AT + 0x20000000, &rule), WINDOW_ROWS);
	fake_end();
}

// pids whose first slot is SLOT, by the choice of their mm_id.
static uint32_t mm_for(uint32_t pid, uint32_t slot)
{
	for (uint32_t mm = 1;; mm++)
		if (process_hash(pid, mm) == slot)
			return mm;
}

static void full_hash(void **state)
{
	(void)state;
	uint32_t mm[12];
	fake_unwind(8 << 20);
	world_file(5, 0x1000, 0x1000, 1);
	for (uint32_t pid = 1; pid <= 10; pid++) {
		mm[pid] = mm_for(pid, PROCESS_SLOTS - 3); // over the end of the table
		world_map(pid, 0, 5, AT + pid * 0x10000, true);
		fake_now += 1000;
		fake_need(pid, mm[pid], NEED_PROCESS, AT);
		fake_steps();
	}
	for (uint32_t pid = 1; pid <= 10; pid++)
		assert_int_equal(fake_walk(pid, mm[pid], AT + pid * 0x10000, &rule),
		    pid <= PROCESS_PROBES ? WINDOW_ASK : NO_PROCESS);
	// Nobody goes who was published just now; then the longest published, whose slot rests.
	fake_pass(1500 * NS_PER_MS);
	fake_need(9, mm[9], NEED_PROCESS, AT);
	fake_steps();
	assert_int_equal(figures().processes, 8);
	fake_pass(1500 * NS_PER_MS);
	fake_need(9, mm[9], NEED_PROCESS, AT);
	fake_steps();
	assert_int_equal(figures().processes, 7);
	assert_int_equal(fake_walk(1, mm[1], AT + 0x10000, &rule), NO_PROCESS);
	for (int i = 0; i < 12; i++) {
		for (uint32_t pid = 9; pid <= 10; pid++)
			if (fake_walk(pid, mm[pid], AT + pid * 0x10000, &rule) == NO_PROCESS)
				fake_need(pid, mm[pid], NEED_PROCESS, AT);
		fake_pass(NS_PER_S);
	}
	for (uint32_t pid = 1; pid <= 10; pid++)
		assert_int_equal(fake_walk(pid, mm[pid], AT + pid * 0x10000, &rule),
		    pid > 2 ? WINDOW_ASK : NO_PROCESS);
	fake_end();
}

static void without_room(void **state)
{
	(void)state;
	fake_unwind(1 << 20);
	world_file(5, 0x1000, 0x1000, 1);
	// Each takes a page; there are 512, and more processes than that.
	for (uint32_t pid = 1; pid <= 6000; pid++) {
		world_map(pid, 0, 5, AT, true);
		fake_need(pid, 1, NEED_PROCESS, AT);
		if (pid % 100 == 0)
			fake_pass(20 * NS_PER_MS);
	}
	fake_steps();
	struct unwind_figures f = figures();
	assert_true(f.processes <= 512 && f.processes > 250);
	assert_true(fake.most <= 1 << 20);
	// After a minute the first are taken to be unused, and the last find room.
	for (int i = 0; i < 80; i++) {
		fake_need(6000, 1, NEED_PROCESS, AT);
		fake_pass(NS_PER_S);
	}
	assert_int_equal(fake_walk(6000, 1, AT, &rule), WINDOW_ASK);
	assert_true(fake.most <= 1 << 20);
	fake_end();
}

static void every_allocation_fails(void **state)
{
	(void)state;
	for (uint64_t n = 1;; n++) {
		fake_reset(8 << 20);
		struct unwind_options options = {
		    .tables = &fake.tables, .memory = 8 << 20, .on_busy = fake_busy};
		fake.u = NULL;
		world_file(5, 0x1000, 0x1000, 2);
		world_map(7, 0, 5, AT, true);
		world_map(8, 0, 5, AT, false);
		mem_fail_at(n);
		fake.u = unwind_new(&options);
		for (int i = 0; fake.u && i < 4; i++) {
			sample(7, AT);
			sample(8, AT + MIB);
			fake_pass(300 * NS_PER_MS);
		}
		bool last = mem_fail_seen() < n;
		mem_fail_at(0);
		// Whatever failed, it goes on afterwards.
		for (int i = 0; fake.u && i < 4; i++) {
			sample(7, AT);
			sample(8, AT + MIB);
			fake_pass(NS_PER_S);
		}
		if (fake.u) {
			assert_int_equal(sample(7, AT), WINDOW_ROWS);
			assert_int_equal(sample(8, AT + MIB), WINDOW_ROWS);
			assert_int_equal(rule.fp, 1);
		}
		fake_end();
		if (last)
			break;
		assert_true(n < 1000);
	}
}

static void a_write_that_fails(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
	world_file(5, 0x1000, 0x1000, 2);
	world_map(7, 0, 5, AT, true);
	fake.put_error = -ENOMEM;
	sample(7, AT);
	fake_steps();
	assert_int_equal(fake_walk(7, 1, AT, &rule), NO_PROCESS);
	fake_pass(500 * NS_PER_MS);
	assert_int_equal(fake.u->figures.refused, 1); // not tried all the time
	fake.put_error = 0;
	// Nobody asks: nothing is tried. Asked for all the time, once a second.
	fake_pass(10 * NS_PER_S);
	assert_int_equal(fake.writes, 0);
	fake.put_error = -ENOMEM;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(sample(7, AT), NO_PROCESS);
		fake_pass(40 * NS_PER_MS);
	}
	assert_int_equal(fake.u->figures.refused, 2);
	fake.put_error = 0;
	assert_int_equal(sample(7, AT), NO_PROCESS);
	fake_pass(NS_PER_S);
	assert_int_equal(sample(7, AT), WINDOW_ASK);
	fake.put_error = -ENOMEM;
	fake_steps();
	assert_int_equal(sample(7, AT), WINDOW_FULL);
	fake.put_error = 0;
	fake_pass(2 * NS_PER_S);
	assert_int_equal(sample(7, AT), WINDOW_FULL);
	fake_steps();
	assert_int_equal(sample(7, AT), WINDOW_ROWS);
	fake_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(step_by_step),
	    cmocka_unit_test(exec_and_exit),
	    cmocka_unit_test(ahead_of_samples),
	    cmocka_unit_test(a_child_that_maps),
	    cmocka_unit_test(only_what_changed),
	    cmocka_unit_test(full_hash),
	    cmocka_unit_test(without_room),
	    cmocka_unit_test(every_allocation_fails),
	    cmocka_unit_test(a_write_that_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
