// SPDX-License-Identifier: Apache-2.0
// Mappings read in slices, and what may happen to a process meanwhile.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/process/read.c"
#include "process_fake.h"

#define LINES 60000u
#define BASE 0x10000000ull
#define STEP 0x1000ull

// 60,000 mappings of a page each, every fourth with code, each piece of code of a file of its own
// among 50; from line FIRST on, SHIFT pages further.
static char *many_lines(void)
{
	char *text = malloc(LINES * 80), *at = text;
	for (uint32_t i = 0; i < LINES; i++)
		at += sprintf(at, "%llx-%llx r-%cp %08x 08:01 %u %s%u\n", BASE + i * STEP,
		    BASE + (i + 1) * STEP, i % 4 ? '-' : 'x', (i % 7) * 0x1000, i % 50 + 1,
		    "/gone/lib", i % 50);
	return text;
}

static void add_big(uint32_t pid, uint64_t ticks, const char *comm)
{
	char *text = many_lines();
	fakeproc_add(pid, 1, comm, ticks, text);
	free(text);
}

static void is_right(struct process *p, uint32_t line)
{
	char want[32];
	struct place place = process_place(table, p, BASE + line * STEP + 0x10);
	if (line % 4) {
		assert_int_equal(place.kind, PLACE_UNMAPPED);
		return;
	}
	assert_int_equal(place.kind, PLACE_OFFSET);
	assert_int_equal(place.address, (line % 7) * 0x1000 + 0x10);
	snprintf(want, sizeof(want), "/gone/lib%u", line % 50);
	assert_string_equal(binary_by_id(table, place.owner)->path, want);
}

// Each line in the middle of some that are not code.
static void all_right(struct process *p)
{
	for (uint32_t line = 0; line < LINES; line += 123)
		is_right(p, line);
	is_right(p, LINES - 4);
}

static struct process *begin_big(uint32_t pid)
{
	add_big(pid, 700, "big");
	struct process *p = sampled(pid, 1, 700, "big", clock_now());
	struct place place = process_place(table, p, BASE + 40000 * STEP);
	assert_int_equal(place.kind, PLACE_PENDING);
	assert_int_equal(place.owner, p->id);
	assert_true(busy_calls > 0);
	return p;
}

static int read_to_the_end(void)
{
	int slices = 1;
	while (processes_read(table, 500000))
		slices++;
	return slices;
}

static void sixty_thousand_lines(void **state)
{
	(void)state;
	uint64_t reads = count_get(COUNT_MAPS_READS);
	struct process *p = begin_big(50);
	int slices = 0, more = 1;
	while (more) {
		uint64_t began = clock_cpu();
		more = processes_read(table, 500000);
		assert_true(clock_cpu() - began < 5 * NS_PER_MS); // 0.5 ms, and a slow machine
		if (more) // other frames of other samples meanwhile
			assert_int_equal(
			    process_place(table, p, BASE + 59996 * STEP).kind, PLACE_PENDING);
		slices++;
	}
	assert_true(slices > 3);
	all_right(p);
	assert_int_equal(processes_read(table, 500000), 0);
	assert_int_equal(count_get(COUNT_MAPS_READS), reads + 1);
	assert_null(table->reading.job);
}

static void an_exec_in_the_middle(void **state)
{
	(void)state;
	struct process *p = begin_big(51);
	assert_int_equal(processes_read(table, 200000), 1);
	execed(51, "small", clock_now());
	assert_int_equal(processes_read(table, 200000), 0); // nobody wants the rest
	mapped(51, BASE, STEP, 0, "/gone/small", NULL, 9, clock_now());
	p = sampled(51, 1, 700, "small", clock_now());
	struct place place = process_place(table, p, BASE + 0x20);
	assert_string_equal(binary_by_id(table, place.owner)->path, "/gone/small");
	assert_int_equal(process_place(table, p, BASE + 4 * STEP).kind, PLACE_UNMAPPED);
}

static void the_process_vanishes_in_the_middle(void **state)
{
	(void)state;
	struct process *p = begin_big(52);
	assert_int_equal(processes_read(table, 200000), 1);
	char path[128];
	snprintf(path, sizeof(path), "%s/52/maps", fakeproc_root);
	assert_int_equal(truncate(path, 0), 0); // as the kernel answers when the memory is gone
	fakeproc_remove(52);
	exited(52, 700, clock_now());
	read_to_the_end();
	is_right(p, 0); // what was read is true
	is_right(p, 40);
	assert_int_equal(process_place(table, p, BASE + 59996 * STEP).kind, PLACE_UNMAPPED);
	// Forgotten altogether in the middle.
	p = begin_big(53);
	uint32_t id = p->id;
	assert_int_equal(processes_read(table, 200000), 1);
	exited(53, 700, clock_now());
	processes_sweep(table, clock_now() + 2 * NS_PER_S);
	assert_null(process_by_id(table, id));
	assert_int_equal(read_to_the_end(), 1);
}

static void memory_that_is_gone_does_not_hide_what_was_known(void **state)
{
	(void)state;
	add_big(54, 700, "big");
	execed(54, "big", clock_now());
	mapped(54, BASE + 50000 * STEP, STEP, 0x5000, "/gone/early", NULL, 9, clock_now());
	struct process *p = sampled(54, 1, 700, "big", clock_now());
	count_add(COUNT_MMAP_LOST, 1); // so that it is read
	process_place(table, p, BASE);
	assert_non_null(table->reading.job);
	assert_int_equal(processes_read(table, 200000), 1);
	char path[128];
	snprintf(path, sizeof(path), "%s/54/maps", fakeproc_root);
	assert_int_equal(truncate(path, 0), 0);
	fakeproc_remove(54);
	char *text = many_lines();
	fakeproc_add(54, 1, "next", 999, text); // the pid has another already
	free(text);
	read_to_the_end();
	struct place place = process_place(table, p, BASE + 50000 * STEP + 1);
	assert_true(place.kind == PLACE_OFFSET);
	is_right(p, 0);
}

static void events_meanwhile(void **state)
{
	(void)state;
	struct process *p = begin_big(55);
	// Over what was read already, and over what will be read as /proc showed it before: newer
	// both.
	mapped(55, BASE + 8 * STEP, STEP, 0x9000, "/gone/fresh", NULL, 9, clock_now());
	assert_int_equal(processes_read(table, 200000), 1);
	struct place place =
	    process_place(table, p, BASE + 8 * STEP + 1); // known from the event alone
	assert_string_equal(binary_by_id(table, place.owner)->path, "/gone/fresh");
	read_to_the_end();
	place = process_place(table, p, BASE + 8 * STEP + 1);
	assert_string_equal(binary_by_id(table, place.owner)->path, "/gone/fresh");
	assert_int_equal(place.address, 0x9001);
	is_right(p, 4);
	is_right(p, 12);
	is_right(p, 59996);
}

static void one_at_a_time(void **state)
{
	(void)state;
	begin_big(56);
	add_big(57, 700, "big");
	fakeproc_add(58, 1, "few", 700, "1000-2000 r-xp 00000000 08:01 5 /gone/few\n");
	struct process *b = sampled(57, 1, 700, "big", clock_now());
	busy_calls = 0;
	assert_int_equal(process_place(table, b, BASE).kind, PLACE_PENDING);
	assert_true(busy_calls > 0); // asked for again, in case the first call found no memory
	struct process *c = sampled(58, 1, 700, "few", clock_now());
	assert_int_equal(
	    process_place(table, c, 0x1010).kind, PLACE_OFFSET); // the small do not wait
	read_to_the_end();
	uint64_t until = clock_now() + NS_PER_S;
	do {
		b = sampled(57, 1, 700, "big", clock_now());
		process_place(table, b, BASE);
	} while (!table->reading.job && clock_now() < until);
	read_to_the_end();
	all_right(b);
}

static void a_renamed_process_is_read_when_its_name_is_known(void **state)
{
	(void)state;
	uint64_t now = 1000 * NS_PER_S;
	clock_fake(&now, NULL);
	fakeproc_add(60, 1, "after", 700, "1000-2000 r-xp 00000000 08:01 5 /gone/it\n");
	// What /proc shows may be another program than the one sampled: wait and see.
	struct process *p = sampled(60, 1, 700, "before", now);
	assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_PENDING);
	assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_PENDING);
	uint64_t reads = count_get(COUNT_MAPS_READS);
	p = sampled(60, 1, 700, "before", now += NS_PER_MS);
	assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_PENDING);
	assert_int_equal(count_get(COUNT_MAPS_READS), reads); // not each time
	now += 20 * NS_PER_MS;
	p = sampled(60, 1, 700, "after", now); // it was the same, renamed
	assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_OFFSET);
}

static void trouble_is_tried_again(void **state)
{
	(void)state;
	uint64_t now = 1000 * NS_PER_S;
	clock_fake(&now, NULL);
	fakeproc_add(61, 1, "hidden", 700, "");
	struct process *p = sampled(61, 1, 700, "hidden", now);
	assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_UNMAPPED);
	uint64_t reads = count_get(COUNT_MAPS_READS);
	fakeproc_add(61, 1, "hidden", 700, "1000-2000 r-xp 00000000 08:01 5 /gone/it\n");
	now += 100 * NS_PER_MS;
	p = sampled(61, 1, 700, "hidden", now);
	assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_UNMAPPED);
	assert_int_equal(count_get(COUNT_MAPS_READS), reads); // not each time
	now += NS_PER_S;
	p = sampled(61, 1, 700, "hidden", now);
	assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_OFFSET);
	assert_int_equal(count_get(COUNT_MAPS_READS), reads + 1);
	// What is known from events is not all, as long as the rest could not be read.
	execed(66, "hidden", now);
	mapped(66, 0x1000, 0x1000, 0, "/gone/it", NULL, 5, now);
	fakeproc_add(66, 1, "hidden", 700, "");
	count_add(COUNT_MMAP_LOST, 1);
	p = sampled(66, 1, 700, "hidden", now);
	assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_OFFSET);
	fakeproc_add(66, 1, "hidden", 700,
	    "1000-2000 r-xp 00000000 08:01 5 /gone/it\n"
	    "3000-4000 r-xp 00000000 08:01 6 /gone/lib\n");
	p = sampled(66, 1, 700, "hidden", now += 2 * NS_PER_S);
	assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_OFFSET);
	assert_int_equal(process_place(table, p, 0x3010).kind, PLACE_OFFSET);
	// No memory for it is trouble too.
	fakeproc_add(62, 1, "poor", 700, "1000-2000 r-xp 00000000 08:01 5 /gone/it\n");
	p = sampled(62, 1, 700, "poor", now);
	mem_fail_at(1);
	assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_UNMAPPED);
	mem_fail_at(0);
	now += 2 * NS_PER_S;
	p = sampled(62, 1, 700, "poor", now);
	assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_OFFSET);
}

static void a_process_whose_first_thread_has_ended(void **state)
{
	(void)state;
	static const char code[] = "1000-2000 r-xp 00000000 08:01 5 /gone/it\n";
	fakeproc_add(63, 1, "headless", 700, ""); // a zombie shows no memory
	fakeproc_add(64, 1, "worker", 800, code); // its thread 64
	struct record_sample r = sample(63, 1, 700, "headless", clock_now());
	r.tid = 64;
	assert_int_equal(process_place(table, process_of(table, &r), 0x1010).kind, PLACE_OFFSET);
	// A thread id that is another process's by now: of another parent, or older.
	fakeproc_add(65, 1, "headless", 700, "");
	fakeproc_add(66, 2, "other", 800, code);
	r = sample(65, 1, 700, "headless", clock_now());
	r.tid = 66;
	assert_int_equal(process_place(table, process_of(table, &r), 0x1010).kind, PLACE_UNMAPPED);
	fakeproc_add(67, 1, "headless", 700, "");
	fakeproc_add(68, 1, "other", 600, code);
	r = sample(67, 1, 700, "headless", clock_now());
	r.tid = 68;
	assert_int_equal(process_place(table, process_of(table, &r), 0x1010).kind, PLACE_UNMAPPED);
}

static void a_child_that_is_gone_has_its_parents_program(void **state)
{
	(void)state;
	fakeproc_add(70, 1, "sh", 700, "1000-2000 r-xp 00000000 08:01 5 /gone/sh\n");
	sampled(70, 1, 700, "sh", clock_now()); // its own mappings were never needed
	struct process *c = sampled(71, 70, 750, "sh", clock_now());
	assert_int_equal(process_place(table, c, 0x1010).kind, PLACE_OFFSET);
	struct process *other = sampled(72, 70, 751, "ls", clock_now()); // it ran exec
	assert_int_equal(process_place(table, other, 0x1010).kind, PLACE_UNMAPPED);
	// A child that has run exec since its sample was taken.
	fakeproc_add(75, 70, "ls", 751, "1000-2000 r-xp 00000000 08:01 6 /gone/ls\n");
	c = sampled(75, 70, 751, "sh", clock_now());
	struct place place = process_place(table, c, 0x1010);
	assert_string_equal(binary_by_id(table, place.owner)->path, "/gone/sh");
	// One that has run it before: the same name means nothing.
	execed(76, "sh", clock_now());
	fakeproc_add(76, 70, "ls", 751, "1000-2000 r-xp 00000000 08:01 6 /gone/ls\n");
	entry_forget(table, entry_by_pid(table, 76)); // idle for long
	c = sampled(76, 70, 751, "sh", clock_now());
	assert_int_not_equal(process_place(table, c, 0x1010).kind, PLACE_OFFSET);
	// A zombie shows no memory; what runs since long may hide it.
	table->since_ns = clock_now() - 10 * NS_PER_S;
	fakeproc_add(77, 70, "sh", clock_boot() / TICK, "");
	c = sampled(77, 70, clock_boot() / TICK, "sh", clock_now());
	assert_int_equal(process_place(table, c, 0x1010).kind, PLACE_OFFSET);
	fakeproc_add(78, 70, "sh", 750, "");
	c = sampled(78, 70, 750, "sh", clock_now());
	assert_int_equal(process_place(table, c, 0x1010).kind, PLACE_UNMAPPED);
	// A parent that was never sampled, but told of: if it has run its program since before.
	uint64_t now = clock_now();
	execed(87, "sh", now - NS_PER_S);
	mapped(87, 0x1000, 0x1000, 0, "/gone/sh", NULL, 5, now - NS_PER_S);
	c = sampled(88, 87, clock_boot() / TICK, "sh", now);
	assert_int_equal(process_place(table, c, 0x1010).kind, PLACE_OFFSET);
	c = sampled(89, 87, clock_boot() / TICK - 200, "sh", now);
	assert_int_equal(process_place(table, c, 0x1010).kind, PLACE_UNMAPPED);
	// Two that call each other parent.
	struct process *a = sampled(73, 74, 752, "loop", clock_now());
	struct process *b = sampled(74, 73, 752, "loop", clock_now());
	assert_int_equal(process_place(table, a, 0x1010).kind, PLACE_UNMAPPED);
	assert_int_equal(process_place(table, b, 0x1010).kind, PLACE_UNMAPPED);
}

static void events_that_were_lost_make_it_read_again(void **state)
{
	(void)state;
	uint64_t now = 1000 * NS_PER_S;
	clock_fake(&now, NULL);
	fakeproc_add(80, 1, "app", 700, "1000-2000 r-xp 00000000 08:01 5 /gone/old\n");
	struct process *p = sampled(80, 1, 700, "app", now);
	assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_OFFSET);
	fakeproc_add(80, 1, "app", 700, "1000-2000 r-xp 00003000 08:01 6 /gone/new\n");
	count_add(COUNT_MMAP_LOST, 1);
	now += NS_PER_S;
	p = sampled(80, 1, 700, "app", now);
	struct place place = process_place(table, p, 0x1010);
	assert_int_equal(place.address, 0x3010);
	assert_string_equal(binary_by_id(table, place.owner)->path, "/gone/new");
	// An exec was lost: nothing of the old program may name the new one, read or not.
	fakeproc_remove(80);
	count_add(COUNT_MMAP_LOST, 1);
	p = sampled(80, 1, 700, "other", now);
	assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_UNMAPPED);
}

static void any_allocation_may_fail(void **state)
{
	static char text[400 * 64], *at = text;
	for (uint32_t i = 0; i < 400; i++)
		at += sprintf(at, "%x-%x r-xp 00000000 08:01 5 /gone/lib%u\n", 0x1000 * (i + 1),
		    0x1000 * (i + 2), i);
	for (uint64_t nth = 1; nth < 200; nth++) {
		teardown(state);
		assert_int_equal(setup(state), 0);
		fakeproc_add(90, 1, "oom", 700, text);
		uint64_t now = 1000 * NS_PER_S;
		clock_fake(&now, NULL);
		mem_fail_at(nth);
		for (int round = 0; round < 2; round++) {
			struct process *p = sampled(90, 1, 700, "oom", now);
			for (uint32_t i = 0; p && i < 400; i += 50)
				process_place(table, p, 0x1000 * (i + 1) + 8);
			now += 2 * NS_PER_S;
		}
		bool over = mem_fail_seen() < nth;
		mem_fail_at(0);
		// With memory all is well again.
		struct process *p = sampled(90, 1, 700, "oom", now);
		assert_non_null(p);
		for (uint32_t i = 0; i < 400; i++) { // the CPU was where it is known
			char path[32];
			snprintf(path, sizeof(path), "/gone/lib%u", i);
			struct place place = process_place(table, p, 0x1000 * (i + 1) + 8);
			assert_int_equal(place.kind, PLACE_OFFSET);
			assert_string_equal(binary_by_id(table, place.owner)->path, path);
		}
		if (over)
			return;
	}
	fail();
}

int main(void)
{
	options_now =
	    (struct process_options){.processes_max = 100, .binaries_max = 600, .pinned_max = 8};
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(sixty_thousand_lines, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_exec_in_the_middle, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_process_vanishes_in_the_middle, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		memory_that_is_gone_does_not_hide_what_was_known, setup, teardown),
	    cmocka_unit_test_setup_teardown(events_meanwhile, setup, teardown),
	    cmocka_unit_test_setup_teardown(one_at_a_time, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_renamed_process_is_read_when_its_name_is_known, setup, teardown),
	    cmocka_unit_test_setup_teardown(trouble_is_tried_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_process_whose_first_thread_has_ended, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_child_that_is_gone_has_its_parents_program, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		events_that_were_lost_make_it_read_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(any_allocation_may_fail, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
