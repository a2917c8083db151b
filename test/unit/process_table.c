// SPDX-License-Identifier: Apache-2.0
// The process table on a fake /proc (plain files): who is who when pids are reused, programs replaced, processes gone.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "fakeproc.h"
#include "../../modules/process/table.c"

#define TICK 10000000ull

static struct processes *table;
static struct proc *proc;
static int announced;

static void on_new(void *arg, struct process *p)
{
	(void)arg;
	announced++;
	p->wanted = true;
}

static int setup(void **state)
{
	(void)state;
	fakeproc_open();
	proc = proc_new(fakeproc_root);
	struct process_options o = {.proc = proc, .processes_max = 100, .binaries_max = 8, .pinned_max = 4,
	    .grace_ns = NS_PER_S, .on_new = on_new};
	table = processes_new(&o);
	announced = 0;
	return !table;
}

static int teardown(void **state)
{
	(void)state;
	processes_free(table);
	proc_free(proc);
	fakeproc_close();
	return mem_used(ACCOUNT_PROCESS) != 0;
}

static struct record_sample sample(uint32_t pid, uint32_t ppid, uint64_t ticks, const char *comm, uint64_t now)
{
	struct record_sample r = {.head = {.kind = RECORD_SAMPLE, .time_ns = now}, .pid = pid, .tid = pid, .ppid = ppid,
	    .start_ns = ticks * TICK + 5, .exec_pages = 3, .mnt_ns = 1, .user_frames = 1};
	strcpy(r.comm, comm);
	strcpy(r.process_comm, comm);
	return r;
}

static const char maps[] = "1000-2000 r--p 00000000 08:01 11 /bin/true\n"
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

static void a_reused_pid_is_another_process(void **state)
{
	(void)state;
	fakeproc_add(51, 1, "new", 900, maps);
	struct record_sample old = sample(51, 1, 800, "old", 100), fresh = sample(51, 1, 900, "new", 200);
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
	struct record_task exec = {.head = {.kind = RECORD_EXEC, .time_ns = 10}, .pid = 60, .tid = 60, .comm = "short"};
	process_execed(table, &exec);
	struct {
		struct record_mmap m;
		char path[32];
	} m = {.m = {.head = {.kind = RECORD_MMAP, .time_ns = 11}, .pid = 60, .start = 0x4000, .length = 0x1000,
		   .offset = 0x2000, .path_len = 10, .inode = 77}};
	strcpy(m.m.path, "/gone/prog");
	process_mapped(table, &m.m);
	struct record_sample r = sample(60, 1, 950, "short", 12);
	struct process *p = process_of(table, &r);
	struct place f = process_place(table, p, 0x4010);
	assert_int_equal(f.kind, PLACE_OFFSET);
	assert_int_equal(f.address, 0x2010);
	assert_string_equal(binary_by_id(table, f.owner)->path, "/gone/prog");
	// A child without exec, dead as well, runs its parent's program.
	struct record_sample child = sample(61, 60, 951, "short", 13);
	struct process *c = process_of(table, &child);
	assert_int_equal(process_place(table, c, 0x4020).kind, PLACE_OFFSET);
	// exec throws the old mappings away.
	exec.head.time_ns = 20;
	process_execed(table, &exec);
	assert_int_equal(process_place(table, process_of(table, &r), 0x4010).kind, PLACE_UNMAPPED);
}

static void exits_have_a_grace_time_and_the_table_a_bound(void **state)
{
	(void)state;
	struct record_sample r = sample(70, 1, 100, "x", 1000);
	uint32_t id = process_of(table, &r)->id;
	struct record_task exited = {.head = {.kind = RECORD_EXIT, .time_ns = 2000}, .pid = 70, .start_ns = 100 * TICK};
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
		struct record_task exec = {.head = {.time_ns = pid}, .pid = pid, .tid = pid, .comm = "e"};
		process_execed(table, &exec);
		struct record_task gone = {.head = {.time_ns = pid}, .pid = pid, .start_ns = 5};
		process_exited(table, &gone);
	}
	assert_int_equal(count_get(COUNT_PROCESSES), 0);
}

static void any_allocation_may_fail(void **state)
{
	fakeproc_add(80, 1, "oom", 700, maps);
	for (uint64_t nth = 1; nth < 100; nth++) {
		teardown(state);
		fakeproc_open();
		fakeproc_add(80, 1, "oom", 700, maps);
		proc = proc_new(fakeproc_root);
		struct process_options o = {.proc = proc, .processes_max = 100, .on_new = on_new};
		mem_fail_at(nth);
		table = processes_new(&o);
		struct record_sample r = sample(80, 1, 700, "oom", 100);
		struct process *p = table ? process_of(table, &r) : NULL;
		if (p) {
			process_place(table, p, 0x2010);
			process_place(table, p, 0x7010);
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
	    cmocka_unit_test_setup_teardown(a_reused_pid_is_another_process, setup, teardown),
	    cmocka_unit_test_setup_teardown(events_bring_the_mappings_of_a_program_that_is_gone, setup, teardown),
	    cmocka_unit_test_setup_teardown(exits_have_a_grace_time_and_the_table_a_bound, setup, teardown),
	    cmocka_unit_test_setup_teardown(never_sampled_programs_leave_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(any_allocation_may_fail, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
