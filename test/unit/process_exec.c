// SPDX-License-Identifier: Apache-2.0
// Samples around an exec: whose frames they are, and when nobody can tell.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/process/exec.c"
#include "process_fake.h"

#define HIGH 0x7f0000000000ull // where programs that may lie anywhere lie
#define SHELL (HIGH + 0x2010)  // called execve
#define FRESH (HIGH + 0x902010)
#define FIXED 0x402010ull

static uint64_t now;

static const char shell_maps[] =
    "402000-403000 r-xp 00002000 08:01 11 /gone/sh\n"
    "7f0000002000-7f0000003000 r-xp 00001000 08:01 12 /gone/libc\n"
    "7f0000007000-7f0000008000 r-xp 00000000 00:00 0 \n"
    "7f0000009000-7f000000a000 r-xp 00000000 00:00 0                          [vdso]\n";

static int begin(void **state)
{
	now = 1000 * NS_PER_S;
	clock_fake(&now, NULL);
	if (setup(state))
		return 1;
	loading = -ENOSYS;
	fakeproc_add(10, 1, "sh", 700, shell_maps);
	sampled(10, 1, 700, "sh", now); // the shell runs since long
	now += NS_PER_S;
	return 0;
}

// A sample of PID, a child of the shell that began 2 ms ago, in the kernel.
static struct record_sample child_sample(uint32_t pid, const char *comm, uint32_t exec_pages)
{
	struct record_sample r = sample(pid, 10, 0, comm, now);
	r.start_ns = now - 2 * NS_PER_MS;
	r.kernel_frames = 5;
	r.exec_pages = exec_pages;
	return r;
}

static struct process *child(uint32_t pid, const char *comm, uint32_t exec_pages)
{
	struct record_sample r = child_sample(pid, comm, exec_pages);
	return process_of(table, &r);
}

static void program(uint32_t pid)
{
	mapped(pid, HIGH + 0x902000, 0x1000, 0x1000, "/gone/new", NULL, 77, now);
	mapped(pid, FIXED & ~0xfffull, 0x1000, 0x1000, "/gone/new", NULL, 77, now);
}

static void is_of(struct process *p, uint64_t address, const char *path)
{
	struct place place = process_place(table, p, address);
	assert_int_equal(place.kind, PLACE_OFFSET);
	assert_string_equal(binary_by_id(table, place.owner)->path, path);
}

static void is_nobodys(struct process *p, uint64_t address)
{
	assert_int_equal(process_place(table, p, address).kind, PLACE_UNMAPPED);
}

static void a_program_replaced_by_itself(void **state)
{
	(void)state;
	struct process *p = sampled(10, 1, 700, "sh", now);
	is_of(p, SHELL, "/gone/libc");
	assert_false(p->in_exec);
	execed(10, "new", now);
	// Before its first mapping and after: the old registers.
	struct record_sample r = sample(10, 1, 700, "new", ++now);
	r.kernel_frames = 5;
	is_of(process_of(table, &r), SHELL, "/gone/libc");
	assert_true(p->in_exec);
	assert_int_equal(mapped_last.kind, PLACE_FILE | MAPPING_BEFORE); // for the tape
	program(10);
	r.head.time_ns = ++now;
	is_of(process_of(table, &r), SHELL, "/gone/libc");
	// Each sample is told: the tape keeps them for one sample only.
	int calls = mapped_calls;
	is_of(process_of(table, &r), SHELL, "/gone/libc");
	assert_int_equal(mapped_calls, calls + 1);
	// The old vdso is a 32-bit program's way into the kernel; JIT code calls no execve.
	p = process_of(table, &r);
	assert_int_equal(process_place(table, p, HIGH + 0x9010).kind, PLACE_VDSO);
	is_nobodys(process_of(table, &r), HIGH + 0x7010);
	assert_true(p->in_exec);
	assert_int_equal(mapped_last.kind, PLACE_UNMAPPED | MAPPING_BEFORE);
	// The first of the new program: from now on nothing of the old one is known.
	is_of(process_of(table, &r), FRESH, "/gone/new");
	assert_false(p->in_exec);
	assert_int_equal(mapped_last.kind, PLACE_FILE);
	is_nobodys(process_of(table, &r), SHELL);
	assert_false(p->in_exec);
}

static void the_first_exec_of_a_child(void **state)
{
	(void)state;
	loading = 0; // whatever it says: there is no new code yet
	execed(20, "new", now);
	struct process *p = child(20, "new", 0);
	is_of(p, SHELL, "/gone/libc"); // of its parent, read now
	assert_true(p->in_exec);
	loading = -ENOSYS;
	program(20);
	is_of(child(20, "new", 3), SHELL, "/gone/libc");
	is_of(child(20, "new", 3), FRESH, "/gone/new");
	is_nobodys(child(20, "new", 3), SHELL);
	// With its new memory, but before the event.
	p = child(21, "new", 0);
	is_of(p, SHELL, "/gone/libc");
	assert_true(p->in_exec);
	// The same in the next exec: what is known is of the program that had just begun.
	execed(24, "first", now);
	program(24);
	is_of(child(24, "first", 0), SHELL, "/gone/libc"); // not yet counted
	is_of(child(24, "first", 0), FIXED, "/gone/sh");
	mapped(24, HIGH + 0xa09000, 0x2000, 0, "[vdso]", NULL, 0, now);
	is_of(child(24, "first", 0), FRESH, "/gone/new");
	is_of(child(24, "first", 0), FIXED, "/gone/new");
	is_nobodys(child(24, "first", 0), SHELL);
	// It had another program before: the one of the parent it was not.
	execed(22, "first", now);
	mapped(22, HIGH + 0x802000, 0x1000, 0, "/gone/first", NULL, 78, now);
	execed(22, "new", ++now);
	is_nobodys(child(22, "new", 3), SHELL);
	is_of(child(22, "new", 3), HIGH + 0x802010, "/gone/first");
	execed(23, "first", now);
	execed(23, "new", ++now);
	is_nobodys(child(23, "new", 3), SHELL);
}

static void a_parent_that_may_be_another_one(void **state)
{
	(void)state;
	// The child is older than what is known of all.
	execed(31, "new", now);
	struct record_sample r = child_sample(31, "new", 3);
	r.start_ns = 1000 * NS_PER_S;
	is_nobodys(process_of(table, &r), SHELL);
	// Or so old that it may have been forgotten meanwhile.
	now += 3 * FORKED_NS;
	execed(32, "new", now);
	r = child_sample(32, "new", 3);
	r.start_ns = now - 2 * FORKED_NS;
	is_nobodys(process_of(table, &r), SHELL);
	// It was never heard of.
	execed(33, "new", now);
	r = child_sample(33, "new", 3);
	r.ppid = 4711;
	is_nobodys(process_of(table, &r), SHELL);
	// All is well with this one.
	execed(35, "new", now);
	is_of(child(35, "new", 3), SHELL, "/gone/libc");
	// It ran exec itself since it forked.
	execed(10, "other", now);
	mapped(10, HIGH + 0x2000, 0x1000, 0, "/gone/other", NULL, 78, now);
	execed(30, "new", ++now);
	struct process *p = child(30, "new", 3);
	is_nobodys(p, SHELL);
	assert_true(p->in_exec); // by now no mapping of the new program is known, so it has none
	// It has ended.
	fakeproc_add(11, 1, "sh", 700, shell_maps);
	is_of(sampled(11, 1, 700, "sh", now), SHELL, "/gone/libc");
	exited(11, 700, now);
	execed(34, "new", now);
	r = child_sample(34, "new", 3);
	r.ppid = 11;
	is_nobodys(process_of(table, &r), SHELL);
}

static void a_parent_that_was_never_heard_of(void **state)
{
	(void)state;
	fakeproc_add(12, 10, "sh", 100000, shell_maps); // forked since, without exec
	execed(36, "new", now);
	struct record_sample r = child_sample(36, "new", 3);
	r.ppid = 12;
	struct process *p = process_of(table, &r);
	is_of(p, SHELL, "/gone/libc");
	assert_non_null(process_by_pid(table, 12));
	// A younger one has its pid by now.
	fakeproc_add(13, 10, "sh", 200000, shell_maps);
	execed(37, "new", now);
	r = child_sample(37, "new", 3);
	r.ppid = 13;
	is_nobodys(process_of(table, &r), SHELL);
	// In a full table it does not take the place of the one in hand.
	now += NS_PER_S;
	sampled(12, 10, 100000, "sh", now), sampled(13, 10, 200000, "sh", now);
	fakeproc_add(14, 10, "sh", 100000, shell_maps);
	execed(39, "new", now);
	table->options.processes_max = 20;
	for (uint32_t pid = 1000; table->by_id.count < 20; pid++)
		sampled(pid, 1, 100, "busy", now);
	r = child_sample(39, "new", 3);
	r.ppid = 14;
	p = process_of(table, &r);
	assert_ptr_equal(process_by_pid(table, 39), p);
	assert_non_null(process_by_pid(table, 14));
	is_of(p, SHELL, "/gone/libc");
}

static void lost_events_leave_nothing_to_go_by(void **state)
{
	(void)state;
	is_of(sampled(10, 1, 700, "sh", now), SHELL, "/gone/libc");
	count_add(COUNT_MMAP_LOST, 1);
	execed(10, "new", now);
	fakeproc_add(10, 1, "new", 700, "");
	struct record_sample r = sample(10, 1, 700, "new", ++now);
	r.kernel_frames = 5;
	is_nobodys(process_of(table, &r), SHELL);
	// Lost after it: the new mappings are not all known, so that nothing is known by what is
	// not.
	fakeproc_add(40, 1, "sh", 800, shell_maps);
	struct process *p = sampled(40, 1, 800, "sh", now);
	is_of(p, SHELL, "/gone/libc");
	execed(40, "new", now);
	count_add(COUNT_MMAP_LOST, 1);
	fakeproc_remove(40);
	r = sample(40, 1, 800, "new", ++now);
	r.kernel_frames = 5;
	is_nobodys(process_of(table, &r), SHELL);
	assert_false(p->in_exec);
	// Of the parent as well.
	fakeproc_add(11, 1, "sh", 700, shell_maps);
	is_of(sampled(11, 1, 700, "sh", now), SHELL, "/gone/libc");
	count_add(COUNT_MMAP_LOST, 1);
	execed(41, "new", now);
	r = child_sample(41, "new", 3);
	r.ppid = 11;
	is_nobodys(process_of(table, &r), SHELL);
	// One of the new mappings found no memory.
	execed(42, "new", now);
	mem_fail_at(1);
	mapped(42, HIGH + 0x902000, 0x1000, 0x1000, "/gone/new", NULL, 77, now);
	mem_fail_at(0);
	p = child(42, "new", 3);
	process_place(table, p, FRESH);
	assert_false(p->in_exec);
}

static void a_sample_handed_over_late(void **state)
{
	(void)state;
	is_of(sampled(10, 1, 700, "sh", now), SHELL, "/gone/libc");
	execed(10, "new", now + 10);
	program(10);
	struct process *p = sampled(10, 1, 700, "sh", now + 5);
	is_of(p, SHELL, "/gone/libc");
	is_of(p, FIXED, "/gone/sh"); // a caller
	assert_int_equal(mapped_last.kind, PLACE_FILE | MAPPING_BEFORE);
	is_nobodys(p, FRESH);
	assert_false(p->in_exec);
	// Nothing is known of what it was before, nor who its parent is.
	execed(43, "new", now + 10);
	struct record_sample r = child_sample(43, "sh", 3);
	r.ppid = 4711;
	is_nobodys(process_of(table, &r), SHELL);
	is_nobodys(child(43, "sh", 3), SHELL);
	execed(10, "newer", now + 20);
	is_of(sampled(10, 1, 700, "new", now + 15), FIXED, "/gone/new");
	is_nobodys(sampled(10, 1, 700, "sh", now + 6), FIXED); // of two programs ago
}

// Where both programs have code at an address, the kernel part tells, or nobody.
static void two_programs_in_one_place(void **state)
{
	(void)state;
	execed(50, "new", now);
	program(50);
	struct process *p = child(50, "new", 3);
	is_nobodys(p, FIXED);
	assert_true(p->in_exec);
	loading = 1;
	is_of(child(50, "new", 3), FIXED, "/gone/sh");
	assert_true(p->in_exec);
	loading = 0;
	is_of(child(50, "new", 3), FIXED, "/gone/new");
	loading = 1; // it has settled: by now it is loading its next one
	is_of(child(50, "new", 3), FIXED, "/gone/new");
	assert_false(p->in_exec);
	// The last of a new program is its vdso: what is loaded after it is perhaps the next.
	loading = 1;
	execed(54, "new", now);
	program(54);
	is_of(child(54, "new", 3), FIXED, "/gone/sh");
	mapped(54, HIGH + 0xa09000, 0x2000, 0, "[vdso]", NULL, 0, now);
	is_nobodys(child(54, "new", 3), FIXED);
	is_of(child(54, "new", 3), SHELL, "/gone/libc");
	is_of(child(54, "new", 3), FRESH, "/gone/new");
	// A sample without a kernel part was taken in user code, where others have one.
	loading = -ENOSYS;
	execed(51, "new", now);
	program(51);
	is_nobodys(child(51, "new", 3), FIXED);
	struct record_sample r = child_sample(51, "new", 3);
	r.in_user = 1;
	is_of(process_of(table, &r), FIXED, "/gone/new");
	is_of(child(51, "new", 3), FIXED, "/gone/new");
	// So was one that waits for what no loader waits for.
	execed(55, "new", now);
	program(55);
	r = child_sample(55, "new", 3);
	r.kernel_frames = 0;
	r.source = SOURCE_OFF_CPU;
	r.reason = OFF_PREEMPTED;
	is_nobodys(process_of(table, &r), FIXED);
	r.reason = OFF_IO;
	is_nobodys(process_of(table, &r), FIXED);
	r.reason = OFF_SYSCALL;
	is_nobodys(process_of(table, &r), FIXED);
	r.reason = OFF_MUTEX;
	is_of(process_of(table, &r), FIXED, "/gone/new");
	r.reason = OFF_IO;
	is_of(process_of(table, &r), FIXED, "/gone/new");
	// What the old program had there is not known.
	execed(52, "new", now);
	program(52);
	r = child_sample(52, "new", 3);
	r.ppid = 4711;
	is_nobodys(process_of(table, &r), FIXED);
	is_of(process_of(table, &r), FRESH, "/gone/new");
	is_of(process_of(table, &r), FIXED, "/gone/new");
	// The same file in the same place is the same code.
	execed(53, "sh", now);
	mapped(53, 0x402000, 0x1000, 0x2000, "/gone/sh", NULL, 11, now);
	p = child(53, "sh", 3);
	is_of(p, FIXED, "/gone/sh");
	assert_false(p->in_exec);
}

static void no_program_is_old_for_ever(void **state)
{
	(void)state;
	is_of(sampled(10, 1, 700, "sh", now), SHELL, "/gone/libc");
	execed(10, "new", now);
	assert_int_equal(entry_by_pid(table, 10)->before.count, 4);
	struct record_sample r = sample(10, 1, 700, "new", now + EXEC_NS + 1);
	r.kernel_frames = 5;
	is_nobodys(process_of(table, &r), SHELL);
	assert_null(entry_by_pid(table, 10)->before.at);
	// Never sampled again: the sweep.
	fakeproc_add(60, 1, "sh", 800, shell_maps);
	is_of(sampled(60, 1, 800, "sh", now), SHELL, "/gone/libc");
	execed(60, "new", now);
	processes_sweep(table, now + NS_PER_S);
	assert_non_null(entry_by_pid(table, 60)->before.at);
	processes_sweep(table, now + 60 * NS_PER_S);
	assert_null(entry_by_pid(table, 60)->before.at);
}

static void paths_that_move_stay_those_of_the_old_program(void **state)
{
	(void)state;
	char path[200];
	execed(70, "liar", now);
	for (uint32_t i = 0; i < 8000; i++) {
		snprintf(path, sizeof(path), "/tmp/%0100u", i);
		mapped(70, 0x1000, 0x1000, 0, path, NULL, 3, now);
	}
	struct record_sample r = sample(10, 1, 700, "sh", now);
	is_of(process_of(table, &r), SHELL, "/gone/libc");
	execed(10, "new", ++now);
	size_t before = names_bytes(table->paths);
	processes_sweep(table, now);
	assert_true(names_bytes(table->paths) < before / 10);
	r = sample(10, 1, 700, "new", ++now);
	r.kernel_frames = 5;
	is_of(process_of(table, &r), SHELL, "/gone/libc");
	is_of(process_of(table, &r), FIXED, "/gone/sh");
}

// As on a tape: what is taught with MAPPING_BEFORE holds for the next sample.
static void a_recording_tells_each(void **state)
{
	table->options.offline = true;
	(void)state;
	struct process taught = {.id = 5, .pid = 80, .start_ticks = 700, .wanted = true};
	assert_int_equal(process_teach(table, &taught), 0);
	struct binary b = {.id = 9, .fd = -1, .path = "/gone/libc"};
	struct process_mapping m = {.start = SHELL & ~0xfffull,
	    .end = (SHELL & ~0xfffull) + 0x1000,
	    .kind = PLACE_FILE | MAPPING_BEFORE};
	struct binary other = {.id = 8, .fd = -1, .path = "/gone/new"};
	struct process_mapping new = {.start = m.start, .end = m.end, .kind = PLACE_FILE};
	assert_int_equal(process_teach_mapping(table, 80, 700, &new, &other), 0);
	assert_int_equal(process_teach_mapping(table, 80, 700, &m, &b), 0);
	struct process *p = sampled(80, 1, 700, "new", now);
	is_of(p, SHELL, "/gone/libc");
	assert_true(p->in_exec);
	p = sampled(80, 1, 700, "new", now);
	is_of(p, SHELL, "/gone/new");
	assert_false(p->in_exec);
	m.kind = PLACE_UNMAPPED | MAPPING_BEFORE;
	b = (struct binary){.fd = -1, .path = ""};
	assert_int_equal(process_teach_mapping(table, 80, 700, &m, &b), 0);
	p = sampled(80, 1, 700, "new", now);
	is_nobodys(p, SHELL);
	assert_true(p->in_exec);
	static const uint32_t nonsense[] = {PLACE_ANON | MAPPING_BEFORE, PLACE_UNMAPPED,
	    PLACE_TOO_MANY | MAPPING_BEFORE, PLACE_KERNEL, PLACE_PENDING, MAPPING_BEFORE};
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(*nonsense); i++) {
		m.kind = nonsense[i];
		assert_int_equal(process_teach_mapping(table, 80, 700, &m, &b), -EINVAL);
	}
}

static void any_allocation_may_fail(void **state)
{
	for (uint64_t nth = 1; nth < 100; nth++) {
		teardown(state);
		assert_int_equal(begin(state), 0);
		mem_fail_at(nth);
		for (uint32_t round = 0; round < 3; round++) {
			uint32_t pid = 90 + round;
			execed(pid, "new", now);
			struct process *p = child(pid, "new", 0);
			struct place place = {.kind = PLACE_UNMAPPED};
			if (p)
				place = process_place(table, p, SHELL);
			assert_true(place.kind == PLACE_UNMAPPED || place.kind == PLACE_OFFSET);
			program(pid);
			p = child(pid, "new", 3);
			if (p) // not of the old one, wherever memory ended
				process_place(table, p, FRESH);
			p = child(pid, "new", 3);
			if (p)
				assert_int_not_equal(
				    process_place(table, p, SHELL).kind, PLACE_ANON);
		}
		bool over = mem_fail_seen() < nth;
		mem_fail_at(0);
		now += 2 * NS_PER_S;
		execed(99, "new", now);
		is_of(child(99, "new", 0), SHELL, "/gone/libc");
		if (over)
			return;
	}
	fail();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_program_replaced_by_itself, begin, teardown),
	    cmocka_unit_test_setup_teardown(the_first_exec_of_a_child, begin, teardown),
	    cmocka_unit_test_setup_teardown(a_parent_that_may_be_another_one, begin, teardown),
	    cmocka_unit_test_setup_teardown(a_parent_that_was_never_heard_of, begin, teardown),
	    cmocka_unit_test_setup_teardown(lost_events_leave_nothing_to_go_by, begin, teardown),
	    cmocka_unit_test_setup_teardown(a_sample_handed_over_late, begin, teardown),
	    cmocka_unit_test_setup_teardown(two_programs_in_one_place, begin, teardown),
	    cmocka_unit_test_setup_teardown(no_program_is_old_for_ever, begin, teardown),
	    cmocka_unit_test_setup_teardown(
		paths_that_move_stay_those_of_the_old_program, begin, teardown),
	    cmocka_unit_test_setup_teardown(a_recording_tells_each, begin, teardown),
	    cmocka_unit_test_setup_teardown(any_allocation_may_fail, begin, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
