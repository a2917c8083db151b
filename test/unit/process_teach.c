// SPDX-License-Identifier: Apache-2.0
// Facts of a recording in place of /proc, and what a forged one may try.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/process/teach.c"
#include "process_fake.h"

static int setup_offline(void **state)
{
	options_now = (struct process_options){
	    .processes_max = 100, .binaries_max = 50, .pinned_max = 8, .offline = true};
	return setup(state);
}

static int teach(uint32_t id, uint32_t pid, uint64_t ticks, const char *comm)
{
	struct process p = {
	    .id = id, .pid = pid, .start_ticks = ticks, .wanted = true, .root_fd = 12345};
	strcpy(p.comm, comm);
	return process_teach(table, &p);
}

static int teach_map(uint32_t pid, uint64_t ticks, uint64_t start, uint32_t kind, uint32_t binary)
{
	struct process_mapping m = {.start = start,
	    .end = start + 0x1000,
	    .offset = 0x100,
	    .kind = kind,
	    .build_id = 99,
	    .inode = 99,
	    .path = 0x7fffffff};
	struct binary b = {.id = binary, .fd = 12345, .path = "/app", .size = 777};
	b.facts.exec_count = 1;
	b.facts.exec[0] = (struct elf_exec){.offset = 0, .size = 0x10000, .vaddr = 0x400000};
	return process_teach_mapping(table, pid, ticks, &m, &b);
}

static void too_many_are_too_many_again(void **state)
{
	(void)state;
	assert_int_equal(teach(7, 50, 700, "app"), 0);
	for (uint64_t i = 1; i <= 17000; i++)
		assert_int_equal(teach_map(50, 700, i * 0x2000, PLACE_FILE, 33), 0);
	struct process *p = sampled(50, 1, 700, "app", 10);
	uint64_t full = count_get(COUNT_MAPPINGS_FULL);
	assert_int_equal(process_place(table, p, 1000 * 0x2000).kind, PLACE_FILE);
	assert_int_equal(process_place(table, p, 17000 * 0x2000).kind, PLACE_TOO_MANY);
	assert_int_equal(count_get(COUNT_MAPPINGS_FULL), full + 1);
	// So it is where only that was recorded.
	assert_int_equal(teach(8, 51, 700, "app"), 0);
	assert_int_equal(teach_map(51, 700, 0x2000, PLACE_TOO_MANY, 0), 0);
	p = sampled(51, 1, 700, "app", 10);
	assert_int_equal(process_place(table, p, 0x2010).kind, PLACE_TOO_MANY);
	assert_int_equal(process_place(table, p, 0x4010).kind, PLACE_UNMAPPED);
}

static void places_are_those_of_the_recording(void **state)
{
	(void)state;
	assert_int_equal(teach(7, 50, 700, "app"), 0);
	assert_int_equal(teach_map(50, 700, 0x1000, PLACE_FILE, 33), 0);
	assert_int_equal(teach_map(50, 700, 0x5000, PLACE_ANON, 0), 0);
	assert_int_equal(teach_map(50, 700, 0x7f0000000000, PLACE_VDSO, 0), 0);
	struct process *p = sampled(50, 1, 700, "app", 10);
	assert_int_equal(p->id, 7);
	struct place place = process_place(table, p, 0x1010);
	assert_int_equal(place.kind, PLACE_FILE);
	assert_int_equal(place.owner, 33);
	assert_int_equal(place.address, 0x400110);
	place = process_place(table, p, 0x5010);
	assert_int_equal(place.kind, PLACE_ANON);
	assert_int_equal(place.owner, 7);
	assert_int_equal(process_place(table, p, 0x7f0000000010).kind, PLACE_VDSO);
	assert_int_equal(process_place(table, p, 0x9000).kind, PLACE_UNMAPPED);
	assert_int_equal(mapped_calls, 0); // they come from there
	struct binary *b = binary_by_id(table, 33);
	assert_string_equal(b->path, "/app");
	assert_int_equal(binary_fd(table, b), -ENOENT); // a path of another machine
	assert_int_equal(binary_open_beside(table, b, "/etc/passwd"), -ENOENT);
	// Nothing of it is let go under pressure: it could not be had again.
	table->now_ns = 1000 * NS_PER_S;
	assert_int_equal(processes_shrink(table, 1 << 20), 0);
}

static void a_pid_that_is_reused(void **state)
{
	(void)state;
	assert_int_equal(teach(7, 50, 700, "app"), 0);
	assert_int_equal(teach_map(50, 700, 0x1000, PLACE_FILE, 33), 0);
	sampled(50, 1, 700, "app", 10);
	assert_int_equal(teach(8, 50, 900, "next"), 0);
	assert_int_equal(teach_map(50, 700, 0x3000, PLACE_FILE, 34), 0); // of the one that is over
	struct process *p = sampled(50, 1, 900, "next", 20);
	assert_int_equal(p->id, 8);
	assert_int_equal(process_place(table, p, 0x3010).kind, PLACE_UNMAPPED);
	assert_int_equal(process_by_id(table, 7)->exit_ns, 10);
	// A sample that no fact came for: an id that no recording gives.
	p = sampled(50, 1, 950, "lost", 30);
	assert_true(p->id >= UNTAUGHT_FIRST);
	assert_int_equal(teach(8, 50, 900, "next"), 0); // told again: it is the one now
	assert_int_equal(sampled(50, 1, 900, "next", 40)->id, 8);
	assert_int_equal(teach_map(60, 1, 0x1000, PLACE_FILE, 33), 0); // of nobody
}

static void forged_facts(void **state)
{
	(void)state;
	assert_int_equal(teach(0, 50, 700, "app"), -EINVAL);
	assert_int_equal(teach(UNTAUGHT_FIRST, 50, 700, "app"), -EINVAL);
	assert_int_equal(teach(UINT32_MAX, 50, 700, "app"), -EINVAL);
	assert_int_equal(teach(7, 50, 700, "app"), 0);
	assert_int_equal(teach(7, 51, 700, "app"), -EINVAL); // one id, two pids
	assert_non_null(process_by_pid(table, 50));
	struct process p = {.id = 9, .pid = 52};
	memset(p.comm, 'x', sizeof(p.comm));
	memset(p.container, 'y', sizeof(p.container));
	assert_int_equal(process_teach(table, &p), 0);
	assert_int_equal(strlen(process_by_id(table, 9)->comm), 15);
	assert_int_equal(strlen(process_by_id(table, 9)->container), 64);
	assert_int_equal(process_by_id(table, 9)->root_fd, -1);
	// Mappings.
	assert_int_equal(teach_map(50, 700, UINT64_MAX - 0xfff, PLACE_FILE, 33), -EINVAL);
	assert_int_equal(teach_map(50, 700, 0x1000, PLACE_KERNEL, 33), -EINVAL);
	assert_int_equal(teach_map(50, 700, 0x1000, 99, 33), -EINVAL);
	assert_int_equal(teach_map(50, 700, 0x1000, PLACE_FILE, UNTAUGHT_FIRST), -EINVAL);
	struct process_mapping m = {.start = 1, .end = 2, .kind = PLACE_FILE};
	struct binary b = {.id = 3, .path = ""};
	b.facts.exec_count = 200;
	assert_int_equal(process_teach_mapping(table, 50, 700, &m, &b), -EINVAL);
	b.facts.exec_count = 0;
	b.facts.build_id_len = 200;
	assert_int_equal(process_teach_mapping(table, 50, 700, &m, &b), -EINVAL);
	assert_int_equal(process_place(table, process_by_id(table, 7), 1).kind, PLACE_UNMAPPED);
}

// Whatever is said in whatever order: nothing is lost, doubled or freed twice.
static void any_order(void **state)
{
	(void)state;
	uint64_t seed = 5;
	for (int i = 0; i < 200000; i++) {
		seed = hash_mix(seed + 1);
		uint32_t id = seed >> 8 & 127, pid = seed >> 16 & 63;
		uint64_t ticks = seed >> 24 & 3;
		switch (seed & 7) {
		case 0:
			teach(id, seed >> 40 & 1 ? pid : id & 63, ticks, "app");
			break;
		case 1:
			teach_map(
			    pid, ticks, (seed >> 32 & 15) << 12, PLACE_FILE + (seed >> 40 & 3), id);
			break;
		case 2:
			execed(pid, "app", (uint64_t)i);
			break;
		case 3:
			exited(pid, ticks, (uint64_t)i);
			break;
		case 4:
			mapped(
			    pid, (seed >> 32 & 15) << 12, 0x2000, 0, "/app", NULL, 3, (uint64_t)i);
			break;
		case 5:
			processes_sweep(table, (uint64_t)i * (seed >> 56 ? 1 : NS_PER_MS));
			break;
		default:
			process_place(table, sampled(pid, pid ^ 1, ticks, "app", (uint64_t)i),
			    (seed >> 32 & 15) << 12);
		}
		assert_true(table->by_pid.count <= table->by_id.count && table->by_id.count <= 100);
		assert_true(table->binaries.count <= 50);
	}
	struct map_slot s;
	for (uint32_t i = 0; map_next(&table->by_pid, &i, &s);) {
		struct entry *e = (struct entry *)(uintptr_t)s.value;
		assert_int_equal(e->p.pid, s.key);
		assert_ptr_equal(entry_by_id(table, e->p.id), e);
	}
}

static void any_allocation_may_fail(void **state)
{
	for (uint64_t nth = 1; nth < 100; nth++) {
		teardown(state);
		assert_int_equal(setup_offline(state), 0);
		mem_fail_at(nth);
		int error = teach(7, 50, 700, "app");
		assert_true(!error || error == -ENOMEM);
		for (uint32_t i = 0; i < 40 && !error; i++) {
			error = teach_map(50, 700, i << 12, PLACE_FILE, i + 1);
			assert_true(!error || error == -ENOMEM);
		}
		bool over = mem_fail_seen() < nth;
		mem_fail_at(0);
		assert_int_equal(!error, over);
		if (over)
			return;
	}
	fail();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(too_many_are_too_many_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		places_are_those_of_the_recording, setup_offline, teardown),
	    cmocka_unit_test_setup_teardown(a_pid_that_is_reused, setup_offline, teardown),
	    cmocka_unit_test_setup_teardown(forged_facts, setup_offline, teardown),
	    cmocka_unit_test_setup_teardown(any_order, setup_offline, teardown),
	    cmocka_unit_test_setup_teardown(any_allocation_may_fail, setup_offline, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
