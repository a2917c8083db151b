// SPDX-License-Identifier: Apache-2.0
// The process table on a fake /proc (plain files): who is who when pids are reused, programs
// replaced, processes gone.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/process/table.c"
#include "process_fake.h"

static const char maps[] =
    "1000-2000 r--p 00000000 08:01 11 /bin/true\n"
    "2000-3000 r-xp 00001000 08:01 11 /no/such/file\n"
    "7000-8000 r-xp 00000000 00:00 0 \n"
    "7f0000009000-7f000000a000 r-xp 00000000 00:00 0                          [vdso]\n";

static void places_by_kind_and_maps_read_once(void **state)
{
	(void)state;
	fakeproc_add(50, 1, "app", 700, maps);
	struct record_sample r = sample(50, 1, 700, "app", 100);
	struct process *p = process_of(table, &r);
	assert_non_null(p);
	assert_int_equal(announced, 1);
	uint64_t reads = count_get(COUNT_MAPS_READS);
	struct place f = process_place(table, p, 0x2010);
	assert_int_equal(f.kind, PLACE_OFFSET);
	assert_int_equal(f.address, 0x1010);
	assert_string_equal(binary_by_id(table, f.owner)->path, "/no/such/file");
	assert_int_equal(process_place(table, p, 0x7004).kind, PLACE_ANON);
	struct place v = process_place(table, p, 0x7f0000009010);
	assert_int_equal(v.kind, PLACE_VDSO);
	assert_int_equal(v.address, 0x10);
	assert_int_equal(process_place(table, p, 0x1500).kind, PLACE_UNMAPPED); // not executable
	assert_int_equal(count_get(COUNT_MAPS_READS), reads + 1);
	assert_ptr_equal(process_of(table, &r), p);
	assert_int_equal(announced, 1);
}

static void the_vdso_of_a_32_bit_process_is_another(void **state)
{
	(void)state;
	fakeproc_add(52, 1, "old", 700,
	    "f7f00000-f7f02000 r-xp 00000000 00:00 0                          [vdso]\n");
	struct process *p = sampled(52, 1, 700, "old", 100);
	struct place v = process_place(table, p, 0xf7f00010);
	assert_int_equal(v.kind, PLACE_VDSO);
	assert_true(v.address > UINT32_MAX); // where ours has nothing
}

static void a_reused_pid_is_another_process(void **state)
{
	(void)state;
	fakeproc_add(51, 1, "new", 900, maps);
	struct record_sample old = sample(51, 1, 800, "old", 100),
			     fresh = sample(51, 1, 900, "new", 200);
	struct process *a = process_of(table, &old);
	// /proc shows the new one: nothing of it may be taken for the old one.
	assert_int_equal(process_place(table, a, 0x2010).kind, PLACE_UNMAPPED);
	uint32_t a_id = a->id;
	struct process *b = process_of(table, &fresh);
	assert_int_not_equal(b->id, a_id);
	assert_int_equal(process_place(table, b, 0x2010).kind, PLACE_OFFSET);
	assert_non_null(process_by_id(table, a_id)); // its samples are still to be named
}

static void events_bring_the_mappings_of_a_program_that_is_gone(void **state)
{
	(void)state;
	uint64_t now = 10 * NS_PER_S;
	clock_fake(&now, NULL);
	execed(60, "short", now);
	mapped(60, 0x4000, 0x1000, 0x2000, "/gone/prog", NULL, 77, now + 1);
	struct process *p = sampled(60, 1, 950, "short", now + 2);
	struct place f = process_place(table, p, 0x4010);
	assert_int_equal(f.kind, PLACE_OFFSET);
	assert_int_equal(f.address, 0x2010);
	assert_string_equal(binary_by_id(table, f.owner)->path, "/gone/prog");
	// A child without exec, dead as well, runs its parent's program.
	struct process *c = sampled(61, 60, 951, "short", now + 3);
	assert_int_equal(process_place(table, c, 0x4020).kind, PLACE_OFFSET);
	// exec throws the old mappings away.
	execed(60, "short", now + 20);
	p = sampled(60, 1, 950, "short", now + 21);
	assert_int_equal(process_place(table, p, 0x4010).kind, PLACE_UNMAPPED);
}

static void exits_have_a_grace_time_and_the_table_a_bound(void **state)
{
	(void)state;
	struct record_sample r = sample(70, 1, 100, "x", 1000);
	uint32_t id = process_of(table, &r)->id;
	struct record_task exited = {
	    .head = {.kind = RECORD_EXIT, .time_ns = 2000}, .pid = 70, .start_ns = 100 * TICK};
	process_exited(table, &exited);
	assert_null(process_by_pid(table, 70));
	processes_sweep(table, 2000 + NS_PER_S / 2);
	assert_non_null(process_by_id(table, id));
	processes_sweep(table, 2001 + NS_PER_S);
	assert_null(process_by_id(table, id));
	uint64_t full = count_get(COUNT_PROCESSES_FULL);
	for (uint32_t pid = 1000; pid < 1500; pid++) {
		struct record_sample s = sample(pid, 1, pid, "storm", 3000000000 + pid);
		assert_non_null(process_of(table, &s));
	}
	assert_int_equal(count_get(COUNT_PROCESSES), 100);
	assert_int_equal(count_get(COUNT_PROCESSES_FULL) - full, 400);
}

static void never_sampled_programs_leave_nothing(void **state)
{
	(void)state;
	for (uint32_t pid = 1; pid <= 50; pid++) {
		execed(pid, "e", pid);
		mapped(pid, 0x1000, 0x1000, 0, "/bin/e", NULL, 5, pid);
		exited(pid, 0, pid);
	}
	processes_sweep(table, 60 + NS_PER_S);
	assert_int_equal(count_get(COUNT_PROCESSES), 0);
	// A storm between two sweeps: the newest are enough.
	uint64_t full = count_get(COUNT_PROCESSES_FULL);
	for (uint32_t pid = 1; pid <= 1000; pid++) {
		execed(pid, "e", pid);
		exited(pid, 0, pid);
	}
	assert_int_equal(count_get(COUNT_PROCESSES), LEAVING_MAX);
	assert_int_equal(count_get(COUNT_PROCESSES_FULL), full);
}

static void the_first_sample_may_come_after_the_exit(void **state)
{
	(void)state;
	uint64_t now = 1000 * NS_PER_S;
	clock_fake(&now, NULL);
	execed(40, "short", now);
	mapped(40, 0x7f0000002000, 0x1000, 0x2000, "/gone/short", NULL, 77, now + 1);
	exited(40, 99990, now + 10);
	struct process *p = sampled(40, 1, 99990, "short", now + 12);
	uint32_t id = p->id;
	assert_int_equal(p->exit_ns, now + 10);
	assert_int_equal(announced, 1);
	sampled(40, 1, 99990, "renamed", now + 13);
	assert_int_equal(announced, 1); // nobody is there to be asked
	assert_int_equal(process_place(table, p, 0x7f0000002010).kind, PLACE_OFFSET);
	// It is kept for its names as any other; the storm after it takes only who had no sample.
	for (uint32_t pid = 1; pid <= 80; pid++) {
		execed(pid, "e", now + 20);
		exited(pid, 0, now + 20);
	}
	assert_non_null(process_by_id(table, id));
	// The next one with its pid has nothing of it.
	exited(40, 100050, now);
	p = sampled(40, 1, 100050, "next", now + NS_PER_S);
	assert_int_equal(process_place(table, p, 0x7f0000002010).kind, PLACE_UNMAPPED);
}

static void an_exec_before_the_process_began_was_anothers(void **state)
{
	(void)state;
	uint64_t now = 10 * NS_PER_S;
	clock_fake(&now, NULL);
	execed(62, "old", now); // its exit is lost
	mapped(62, 0x4000, 0x1000, 0, "/bin/old", NULL, 77, now);
	// The pid's next process began 50 ms later and never ran exec.
	struct process *p = sampled(62, 1, 1005, "new", now + 60 * NS_PER_MS);
	assert_int_equal(process_place(table, p, 0x4010).kind, PLACE_UNMAPPED);
	// One that began 20 ms before its exec did run it.
	execed(63, "prog", now);
	mapped(63, 0x4000, 0x1000, 0, "/bin/prog", NULL, 77, now);
	p = sampled(63, 1, 998, "prog", now + 60 * NS_PER_MS);
	assert_int_equal(process_place(table, p, 0x4010).kind, PLACE_OFFSET);
}

static void a_sample_from_before_the_exec_is_not_of_the_new_program(void **state)
{
	(void)state;
	uint64_t now = 10 * NS_PER_S;
	clock_fake(&now, NULL);
	fakeproc_add(64, 1, "sh", 700, maps);
	struct process *p = sampled(64, 1, 700, "sh", now);
	assert_int_equal(process_place(table, p, 0x2010).kind, PLACE_OFFSET);
	execed(64, "ls", now + 10);
	mapped(64, 0x2000, 0x1000, 0, "/bin/ls", NULL, 77, now + 11);
	announced = 0;
	// It was taken on a CPU that was slow to hand it over.
	p = sampled(64, 1, 700, "sh", now + 5);
	struct place place = process_place(table, p, 0x2010);
	assert_string_equal(binary_by_id(table, place.owner)->path, "/no/such/file");
	assert_int_equal(process_place(table, p, 0x2020).owner, place.owner); // and its callers
	assert_false(p->in_exec);
	assert_string_equal(p->comm, "ls");
	assert_int_equal(announced, 0);
	p = sampled(64, 1, 700, "ls", now + 12);
	place = process_place(table, p, 0x2010);
	assert_string_equal(binary_by_id(table, place.owner)->path, "/bin/ls");
	// Of two programs ago nothing is kept.
	execed(64, "cat", now + 20);
	p = sampled(64, 1, 700, "sh", now + 6);
	assert_int_equal(process_place(table, p, 0x2010).kind, PLACE_UNMAPPED);
}

static void the_last_work_of_an_exit_is_the_same_process(void **state)
{
	(void)state;
	struct record_sample r = sample(65, 1, 700, "app", 1000);
	uint32_t id = process_of(table, &r)->id;
	exited(65, 700, 2000);
	r.head.time_ns = 2001;
	r.exec_pages = r.mnt_ns = 0; // its memory and namespaces are gone
	struct process *p = process_of(table, &r);
	assert_int_equal(p->id, id);
	assert_int_equal(p->exit_ns, 2000);
	assert_int_equal(p->mnt_ns, 1);
	assert_null(process_by_pid(table, 65));
	// Sampled for the first time then: it goes with the ended.
	execed(66, "app", 2500);
	exited(66, 800, 3000);
	r = sample(66, 1, 800, "app", 3001);
	p = process_of(table, &r);
	assert_int_equal(p->exit_ns, 3001);
	processes_sweep(table, 3002 + NS_PER_S);
	assert_int_equal(count_get(COUNT_PROCESSES), 0);
	// The same pid again, started later.
	p = sampled(66, 1, 900, "app", 5000);
	assert_int_equal(p->exit_ns, 0);
	exited(66, 800, 6000); // told twice, as when two threads end at once
	assert_int_equal(p->exit_ns, 0);
}

static void exec_after_an_exit_is_the_next_process(void **state)
{
	(void)state;
	uint64_t now = 10 * NS_PER_S;
	clock_fake(&now, NULL);
	uint32_t id = sampled(67, 1, 700, "app", now)->id;
	exited(67, 700, now + 10);
	execed(67, "next", now + 20);
	mapped(67, 0x1000, 0x1000, 0, "/bin/next", NULL, 5, now + 21);
	assert_string_equal(process_by_id(table, id)->comm, "app");
	struct process *p = sampled(67, 1, 990, "next", now + 30);
	assert_int_not_equal(p->id, id);
	assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_OFFSET);
}

static void what_makes_a_process_known_anew(void **state)
{
	(void)state;
	struct record_sample r = sample(68, 1, 0, "early", 100); // started with the machine: tick 0
	for (int i = 0; i < 5; i++)
		process_of(table, &r);
	assert_int_equal(announced, 1);
	strcpy(r.process_comm, "renamed");
	process_of(table, &r);
	assert_int_equal(announced, 2);
	r.cgroup = 9; // moved to another container
	process_of(table, &r);
	process_of(table, &r);
	assert_int_equal(announced, 3);
	execed(68, "other", 200);
	assert_int_equal(announced, 4);
}

static void threads_of_the_kernel(void **state)
{
	(void)state;
	fakeproc_add(69, 2, "ksoftirqd/0", 24, "");
	uint64_t reads = count_get(COUNT_MAPS_READS);
	struct record_sample r = sample(69, 2, 24, "ksoftirqd/0", 100);
	r.exec_pages = r.user_frames = 0;
	r.kernel_thread = 1;
	assert_true(process_of(table, &r)->kernel_thread);
	// A thread on its way out has no memory either, and is of a process that goes on.
	fakeproc_add(70, 1, "app", 700, maps);
	r = sample(70, 1, 700, "app", 100);
	r.exec_pages = r.user_frames = 0;
	assert_false(process_of(table, &r)->kernel_thread);
	assert_int_equal(
	    process_place(table, sampled(70, 1, 700, "app", 101), 0x2010).kind, PLACE_OFFSET);
	assert_int_equal(count_get(COUNT_MAPS_READS), reads + 1);
	// A helper of the kernel that becomes a program.
	r = sample(71, 2, 24, "kworker/u8:0", 100);
	r.kernel_thread = 1;
	process_of(table, &r);
	execed(71, "modprobe", 200);
	assert_false(process_by_pid(table, 71)->kernel_thread);
}

static void callers_that_are_no_code_cost_no_reading(void **state)
{
	(void)state;
	fakeproc_add(72, 1, "app", 700, maps);
	uint64_t now = 10 * NS_PER_S;
	clock_fake(&now, NULL);
	uint64_t reads = count_get(COUNT_MAPS_READS);
	for (int i = 0; i < 10; i++) {
		struct process *p = sampled(72, 1, 700, "app", now += NS_PER_S);
		assert_int_equal(process_place(table, p, 0x2010).kind, PLACE_OFFSET);
		for (uint64_t a = 0xdead0000; a < 0xdead0020; a++)
			assert_int_equal(process_place(table, p, a).kind, PLACE_UNMAPPED);
	}
	assert_int_equal(count_get(COUNT_MAPS_READS), reads + 1);
	// Where the CPU was there is code: what is known of it is not all.
	fakeproc_write(72, "maps",
	    "2000-3000 r-xp 00001000 08:01 11 /no/such/file\n"
	    "b000-c000 r-xp 00000000 08:01 12 /no/other\n");
	struct process *p = sampled(72, 1, 700, "app", now += NS_PER_S);
	assert_int_equal(process_place(table, p, 0xb010).kind, PLACE_OFFSET);
	assert_int_equal(count_get(COUNT_MAPS_READS), reads + 2);
}

static void ids_go_round_and_are_never_two_processes(void **state)
{
	(void)state;
	uint32_t first = sampled(80, 1, 700, "a", 100)->id;
	table->next_id = UINT32_MAX;
	assert_int_equal(sampled(81, 1, 700, "b", 100)->id, UINT32_MAX);
	uint32_t third = sampled(82, 1, 700, "c", 100)->id;
	assert_true(third && third != first && third != UINT32_MAX);
}

static void a_scan_adds_to_what_events_told(void **state)
{
	(void)state;
	uint64_t now = 10 * NS_PER_S;
	clock_fake(&now, NULL);
	execed(90, "app", now);
	mapped(90, 0x4000, 0x1000, 0, "/bin/app", NULL, 5, now);
	fakeproc_add(90, 7, "app", 990, "");
	fakeproc_add(91, 7, "other", 500, "");
	execed(92, "old", now);
	fakeproc_add(92, 7, "new", 1005, ""); // another process than the one that ran exec
	while (processes_scan(table, NS_PER_MS) > 0)
		;
	struct process *p = process_by_pid(table, 90);
	assert_int_equal(p->start_ticks, 990);
	assert_int_equal(p->ppid, 7);
	assert_ptr_equal(sampled(90, 7, 990, "app", now + 1), p);
	assert_int_equal(process_place(table, p, 0x4010).kind, PLACE_OFFSET);
	assert_int_equal(process_by_pid(table, 91)->start_ticks, 500);
	assert_string_equal(process_by_pid(table, 92)->comm, "new");
	assert_int_equal(count_get(COUNT_PROCESSES), 3);
	assert_int_equal(announced, 3);
}

static void any_allocation_may_fail(void **state)
{
	for (uint64_t nth = 1; nth < 100; nth++) {
		teardown(state);
		mem_fail_at(nth);
		bool made = setup(state) == 0 && proc;
		struct process *p = NULL;
		if (made) {
			fakeproc_add(80, 1, "oom", 700, maps);
			p = sampled(80, 1, 700, "oom", 100);
		}
		if (p) {
			process_place(table, p, 0x2010);
			process_place(table, p, 0x7010);
			execed(81, "next", 150);
			mapped(81, 0x1000, 0x1000, 0, "/bin/next", NULL, 5, 151);
			processes_scan(table, NS_PER_S);
			exited(80, 700, 160);
			processes_sweep(table, 200);
		}
		bool over = mem_fail_seen() < nth;
		mem_fail_at(0);
		if (over)
			return;
	}
	fail();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(places_by_kind_and_maps_read_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		the_vdso_of_a_32_bit_process_is_another, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_reused_pid_is_another_process, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		events_bring_the_mappings_of_a_program_that_is_gone, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		exits_have_a_grace_time_and_the_table_a_bound, setup, teardown),
	    cmocka_unit_test_setup_teardown(never_sampled_programs_leave_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		the_first_sample_may_come_after_the_exit, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		an_exec_before_the_process_began_was_anothers, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_sample_from_before_the_exec_is_not_of_the_new_program, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		the_last_work_of_an_exit_is_the_same_process, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		exec_after_an_exit_is_the_next_process, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_makes_a_process_known_anew, setup, teardown),
	    cmocka_unit_test_setup_teardown(threads_of_the_kernel, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		callers_that_are_no_code_cost_no_reading, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		ids_go_round_and_are_never_two_processes, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_scan_adds_to_what_events_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(any_allocation_may_fail, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
