// SPDX-License-Identifier: Apache-2.0
// What is let go, when, and that nothing that is needed goes with it.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/process/sweep.c"
#include "process_fake.h"

static uint64_t now;

static int setup_clock(void **state)
{
	int error = setup(state);
	now = 1000 * NS_PER_S;
	clock_fake(&now, NULL);
	return error;
}

static const char maps[] = "1000-2000 r-xp 00000000 08:01 11 /gone/app\n";

static struct process *run(uint32_t pid)
{
	struct process *p = sampled(pid, 1, 700, "app", now);
	if (p)
		assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_OFFSET);
	return p;
}

static void thousands_that_ended_go_in_one_go(void **state)
{
	(void)state;
	for (uint32_t pid = 1; pid <= 5000; pid++) {
		sampled(pid, 1, 700, "storm", now);
		if (pid % 5)
			exited(pid, 700, now);
	}
	now += NS_PER_S / 2;
	processes_sweep(table, now);
	assert_int_equal(table->by_id.count, 5000); // the grace time
	now += NS_PER_S;
	processes_sweep(table, now);
	assert_int_equal(table->by_id.count, 1000);
	assert_int_equal(table->by_pid.count, 1000);
	for (uint32_t pid = 5; pid <= 5000; pid += 5)
		assert_non_null(process_by_pid(table, pid));
}

static void a_sweep_is_bounded_in_time_and_goes_on(void **state)
{
	(void)state;
	clock_fake(NULL, NULL);
	uint64_t at = clock_now();
	for (uint32_t pid = 1; pid <= 16000; pid++) {
		sampled(pid, 1, 700, "storm", at);
		exited(pid, 700, at);
	}
	int sweeps = 0;
	for (; table->by_id.count && sweeps < 1000; sweeps++) {
		uint64_t began = clock_cpu();
		processes_sweep(table, at + 2 * NS_PER_S);
		assert_true(clock_cpu() - began < 10 * NS_PER_MS);
	}
	assert_int_equal(table->by_id.count, 0);
}

static void what_events_told_of_the_never_sampled(void **state)
{
	(void)state;
	execed(10, "daemon", now);
	mapped(10, 0x1000, 0x1000, 0, "/gone/daemon", NULL, 5, now);
	fakeproc_add(11, 1, "known", 700, maps);
	assert_int_equal(processes_scan(table, NS_PER_S), 0);
	mapped(11, 0x9000, 0x1000, 0, "/gone/lib", NULL, 5, now); // nothing is known to add to
	uint32_t before = table->by_id.count;
	assert_int_equal(entry_by_pid(table, 11)->now.count, 0);
	now += 10 * NS_PER_S;
	processes_sweep(table, now);
	assert_int_equal(table->by_id.count, before);
	now += 11 * NS_PER_S;
	processes_sweep(table, now);
	assert_null(process_by_pid(table, 10)); // it may have ended long ago
	assert_non_null(process_by_pid(table, 11));
}

static void who_ended_unsampled_goes_with_the_next_sweep(void **state)
{
	(void)state;
	table->options.grace_ns = 30 * NS_PER_S;
	execed(12, "short", now);
	exited(12, 700, now);
	processes_sweep(table, now);
	assert_int_equal(table->by_id.count, 1);
	processes_sweep(table, now + 2 * LEFT_NS);
	assert_int_equal(table->by_id.count, 0);
}

static void who_is_evicted_takes_what_was_known_of_others(void **state)
{
	(void)state;
	uint64_t since = now + 1;
	for (uint32_t pid = 1; pid <= table->options.processes_max; pid++)
		execed(pid, "e", ++now);
	assert_int_equal(table->since_ns, since);
	execed(4000000, "e", ++now);
	assert_int_equal(table->since_ns, now);
}

static void the_idle_are_asked_whether_they_run(void **state)
{
	(void)state;
	fakeproc_add(20, 1, "app", 700, maps);
	fakeproc_add(21, 1, "app", 700, maps);
	fakeproc_add(22, 1, "app", 700, maps);
	run(20), run(21), run(22);
	fakeproc_remove(20);			 // its exit was lost
	fakeproc_add(21, 1, "other", 999, maps); // so was this one's
	now += 301 * NS_PER_S;
	processes_sweep(table, now);
	assert_null(process_by_pid(table, 20));
	assert_null(process_by_pid(table, 21));
	struct process *p = process_by_pid(table, 22);
	assert_non_null(p);
	assert_int_equal(
	    ((struct entry *)p)->now.cap, 0); // its mappings are read again when needed
	uint64_t reads = count_get(COUNT_MAPS_READS);
	assert_ptr_equal(run(22), p);
	assert_int_equal(count_get(COUNT_MAPS_READS), reads + 1);
	// Not all in one sweep.
	for (uint32_t pid = 30; pid < 130; pid++)
		sampled(pid, 1, 700, "gone", now);
	now += 301 * NS_PER_S;
	processes_sweep(table, now);
	uint32_t left = table->by_id.count;
	assert_true(left > 101 - 30 && left < 101);
	for (int i = 0; i < 10; i++)
		processes_sweep(table, now);
	assert_int_equal(table->by_id.count, 1);
}

static void pins_and_roots_of_the_idle_are_closed(void **state)
{
	(void)state;
	char text[200];
	struct stat st;
	assert_int_equal(stat("/proc/self/exe", &st), 0);
	char exe[100] = "";
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	snprintf(text, sizeof(text), "1000-2000 r-xp 00000000 08:01 %lu %s\n", st.st_ino, exe);
	fakeproc_add(40, 1, "app", 700, text);
	fake_mount_ns(40, 1);
	int before = descriptors();
	struct process *p = sampled(40, 1, 700, "app", now);
	process_place(table, p, 0x1010);
	assert_int_equal(descriptors() - before, 2);
	now += 200 * NS_PER_S;
	processes_sweep(table, now);
	assert_int_equal(descriptors() - before, 2);
	now += 200 * NS_PER_S;
	processes_sweep(table, now);
	assert_int_equal(descriptors(), before);
	assert_int_equal(count_get(COUNT_PINNED), 0);
}

static void pressure_takes_the_mappings_of_the_unused(void **state)
{
	(void)state;
	for (uint32_t pid = 50; pid < 60; pid++)
		fakeproc_add(pid, 1, "app", 700, maps);
	for (uint32_t pid = 50; pid < 55; pid++)
		run(pid);
	now += 3 * NS_PER_S;
	for (uint32_t pid = 55; pid < 60; pid++)
		run(pid);
	uint64_t one = 16 * sizeof(struct process_mapping);
	uint64_t used = mem_used(ACCOUNT_PROCESS), freed = processes_shrink(table, one + 1);
	assert_int_equal(used - mem_used(ACCOUNT_PROCESS), freed);
	assert_true(freed > one && freed < 3 * one + 100); // as much as asked for
	freed += processes_shrink(table, 1 << 30);
	assert_true(freed >= 5 * one && freed < 6 * one); // nothing of what is in use
	assert_int_equal(processes_shrink(table, 1 << 30), 0);
	assert_int_equal(table->by_id.count, 10);
	uint64_t reads = count_get(COUNT_MAPS_READS);
	for (uint32_t pid = 50; pid < 60; pid++)
		run(pid);
	assert_int_equal(count_get(COUNT_MAPS_READS), reads + 5);
}

// As the budget does it: in the middle of an allocation of the room itself.
static uint64_t squeeze(void *arg, uint64_t need)
{
	return processes_shrink(arg, need);
}

static void pressure_in_the_middle_of_its_own_work(void **state)
{
	(void)state;
	char text[40 * 64], *at = text;
	for (int i = 0; i < 40; i++)
		at += sprintf(
		    at, "%x000-%x000 r-xp 00000000 08:01 11 /gone/lib%d\n", i + 1, i + 2, i);
	for (uint32_t pid = 60; pid < 90; pid++)
		fakeproc_add(pid, 1, "sh", 700, text);
	mem_on_squeeze(squeeze, table);
	for (int round = 0; round < 400; round++) {
		uint32_t pid = 60 + (uint32_t)round * 7 % 30;
		now += NS_PER_S;
		mem_limit(mem_total() + (uint64_t)(round % 40) * 100 + 1);
		struct process *p = sampled(pid, 1, 700, "sh", now);
		for (uint64_t a = 0x1010; p && a < 0x29000; a += 0x1000)
			process_place(table, p, a);
		// A child that inherits from a parent whose mappings are idle.
		p = sampled(100 + pid, pid == 60 ? 61 : 60, 800, "sh", now);
		if (p)
			process_place(table, p, 0x1010);
		execed(pid, "sh", now);
		for (uint64_t i = 0; i < 40; i++)
			mapped(pid, 0x1000 * (i + 1), 0x1000, 0, "/gone/again", NULL, 3, now);
		processes_sweep(table, now);
	}
	mem_limit(0);
	mem_on_squeeze(NULL, NULL);
	assert_int_equal(
	    process_place(table, sampled(60, 1, 700, "sh", now), 0x1010).kind, PLACE_OFFSET);
}

static void pressure_leaves_what_is_in_hand(void **state)
{
	(void)state;
	fakeproc_add(98, 1, "app", 700, maps);
	run(98);
	now += 5 * NS_PER_S;
	struct process *child =
	    sampled(99, 98, 800, "app", now); // gone: it takes its parent's mappings
	mem_on_squeeze(squeeze, table);
	mem_limit(mem_total() + 10);
	assert_int_equal(process_place(table, child, 0x1010).kind, PLACE_UNMAPPED); // no memory
	mem_limit(0);
	mem_on_squeeze(NULL, NULL);
	assert_int_equal(entry_by_pid(table, 98)->now.count, 1);
	assert_true(processes_shrink(table, 1) > 0); // now nobody holds them
}

static void paths_of_the_gone_are_forgotten_and_those_in_use_kept(void **state)
{
	(void)state;
	char path[200];
	fakeproc_add(90, 1, "app", 700, maps);
	struct process *p = run(90);
	uint32_t owner = process_place(table, p, 0x1010).owner;
	execed(92, "liar", now);
	for (uint32_t i = 0; i < 100; i++) { // so that the ids of what follows change
		snprintf(path, sizeof(path), "/tmp/first%u", i);
		mapped(92, 0x1000, 0x1000, 0, path, NULL, 3, now);
	}
	// One whose mappings are being read in slices meanwhile.
	char *text = malloc(40000 * 60), *at = text;
	for (uint32_t i = 0; i < 40000; i++)
		at += sprintf(
		    at, "%x000-%x000 r-xp 00000000 08:01 11 /gone/big%u\n", i + 1, i + 2, i % 3);
	clock_fake(NULL, NULL);
	fakeproc_add(91, 1, "big", 700, text);
	free(text);
	struct process *big = sampled(91, 1, 700, "big", clock_now());
	assert_int_equal(process_place(table, big, 0x1010).kind, PLACE_PENDING);
	assert_int_equal(processes_read(table, 100000), 1);
	execed(92, "liar", clock_now());
	for (int round = 0; round < 5; round++) {
		for (uint32_t i = 0; i < 8000; i++) { // in its own place each time: one is live
			snprintf(path, sizeof(path), "/tmp/%0100u", i + 8000 * (uint32_t)round);
			mapped(92, 0x1000, 0x1000, 0, path, NULL, 3, clock_now());
		}
		size_t before = names_bytes(table->paths);
		processes_sweep(table, clock_now());
		assert_true(names_bytes(table->paths) < before / 10);
	}
	assert_string_equal(binary_by_id(table, owner)->path, "/gone/app");
	struct place place = process_place(table, sampled(92, 1, 700, "liar", clock_now()), 0x1010);
	assert_string_equal(binary_by_id(table, place.owner)->path, path);
	while (processes_read(table, 1000000))
		;
	for (uint32_t i = 0; i < 30; i++) {
		snprintf(path, sizeof(path), "/gone/big%u", i % 3);
		place = process_place(table, big, 0x1000 * (i + 1) + 5);
		assert_string_equal(binary_by_id(table, place.owner)->path, path);
	}
}

static void paths_have_a_bound_between_sweeps(void **state)
{
	(void)state;
	char path[250];
	execed(93, "liar", now);
	for (uint32_t i = 0; i < 60000; i++) {
		snprintf(path, sizeof(path), "/tmp/%0200u", i);
		mapped(93, 0x1000, 0x1000, 0, path, NULL, 3, now);
	}
	assert_true(mem_used(ACCOUNT_PROCESS) < 16u << 20);
	processes_sweep(table, now);
	assert_true(mem_used(ACCOUNT_PROCESS) < 1u << 20);
	mapped(93, 0x1000, 0x1000, 0, "/tmp/again", NULL, 3, now);
	struct place place = process_place(table, sampled(93, 1, 700, "liar", now), 0x1010);
	assert_string_equal(binary_by_id(table, place.owner)->path, "/tmp/again");
}

static void compaction_without_memory_changes_nothing(void **state)
{
	(void)state;
	char path[200];
	fakeproc_add(94, 1, "app", 700, maps);
	uint32_t owner = process_place(table, run(94), 0x1010).owner;
	execed(95, "liar", now);
	for (uint32_t i = 0; i < 8000; i++) {
		snprintf(path, sizeof(path), "/tmp/%0100u", i);
		mapped(95, 0x1000 * (i % 200 + 1), 0x1000, 0, path, NULL, 3, now);
	}
	for (uint64_t nth = 1; nth < 100; nth++) {
		mem_fail_at(nth);
		table->paths_bytes = 0;
		processes_sweep(table, now);
		bool over = mem_fail_seen() < nth;
		mem_fail_at(0);
		assert_string_equal(binary_by_id(table, owner)->path, "/gone/app");
		struct entry *e = entry_by_pid(table, 95);
		for (uint32_t i = 7800; i < 8000; i++) {
			const struct process_mapping *m =
			    mapping_at(&e->now, 0x1000 * (i % 200 + 1));
			snprintf(path, sizeof(path), "/tmp/%0100u", i);
			assert_string_equal(names_get(table->paths, m->path), path);
		}
		if (over)
			return;
	}
	fail();
}

static void a_full_table_lets_go_of_what_is_missed_least(void **state)
{
	(void)state;
	table->options.processes_max = 40;
	for (uint32_t pid = 1; pid <= 40; pid++) {
		now += NS_PER_MS;
		if (pid > 20)
			sampled(pid, 1, 700, "busy", now);
		else
			execed(pid, "quiet", now);
	}
	exited(40, 700, now);
	for (uint32_t pid = 101; pid <= 120; pid++)
		sampled(pid, 1, 700, "new", now += NS_PER_MS);
	assert_int_equal(table->by_id.count, 40);
	assert_null(entry_by_pid(table, 40)); // the ended first
	for (uint32_t pid = 1; pid < 20;
	     pid++) // then those that no sample was taken of, oldest first
		assert_null(process_by_pid(table, pid));
	for (uint32_t pid = 20; pid < 40; pid++)
		assert_non_null(process_by_pid(table, pid));
}

int main(void)
{
	options_now =
	    (struct process_options){.processes_max = 16384, .binaries_max = 200, .pinned_max = 8};
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		who_ended_unsampled_goes_with_the_next_sweep, setup_clock, teardown),
	    cmocka_unit_test_setup_teardown(
		who_is_evicted_takes_what_was_known_of_others, setup_clock, teardown),
	    cmocka_unit_test_setup_teardown(
		thousands_that_ended_go_in_one_go, setup_clock, teardown),
	    cmocka_unit_test_setup_teardown(
		a_sweep_is_bounded_in_time_and_goes_on, setup_clock, teardown),
	    cmocka_unit_test_setup_teardown(
		what_events_told_of_the_never_sampled, setup_clock, teardown),
	    cmocka_unit_test_setup_teardown(
		the_idle_are_asked_whether_they_run, setup_clock, teardown),
	    cmocka_unit_test_setup_teardown(
		pins_and_roots_of_the_idle_are_closed, setup_clock, teardown),
	    cmocka_unit_test_setup_teardown(
		pressure_takes_the_mappings_of_the_unused, setup_clock, teardown),
	    cmocka_unit_test_setup_teardown(
		pressure_in_the_middle_of_its_own_work, setup_clock, teardown),
	    cmocka_unit_test_setup_teardown(pressure_leaves_what_is_in_hand, setup_clock, teardown),
	    cmocka_unit_test_setup_teardown(
		paths_of_the_gone_are_forgotten_and_those_in_use_kept, setup_clock, teardown),
	    cmocka_unit_test_setup_teardown(
		paths_have_a_bound_between_sweeps, setup_clock, teardown),
	    cmocka_unit_test_setup_teardown(
		compaction_without_memory_changes_nothing, setup_clock, teardown),
	    cmocka_unit_test_setup_teardown(
		a_full_table_lets_go_of_what_is_missed_least, setup_clock, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
