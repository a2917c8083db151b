// SPDX-License-Identifier: Apache-2.0
// The whole path on a fake clock, a fake /proc (plain files) and made-up kernel records: no kernel,
// no root. Whatever happens - thousands of processes, fork storms, reused pids, no memory - every
// sample fed in comes out in some window, under its stack or under a mark that says why not.
#include "path_sim.h"
#include "../../modules/path/take.c"

static void ten_thousand_processes(void **state)
{
	(void)state;
	for (unsigned pid = 1; pid <= 10000; pid++)
		fakeproc_add(
		    pid, 1, "many", pid, "00400000-00500000 r-xp 00000000 08:01 5 /gone/many\n");
	assert_true(sim_open());
	sim_turns();
	assert_int_equal(count_get(COUNT_PROCESSES), 10000);
	for (int round = 0; round < 3; round++) {
		for (unsigned pid = 1; pid <= 10000; pid++)
			feed_sample(pid, 1, pid, "many", 0x400000 + pid % 50);
		sim_ship();
	}
	totals_match();
	assert_int_equal(sim.named, sim.fed);
	// One file mapped by all is one binary.
	assert_int_equal(count_get(COUNT_BINARIES), 1);
	assert_true(mem_peak() < 32u << 20);
	sim_close();
}

static void a_fork_storm_with_reused_pids(void **state)
{
	(void)state;
	assert_true(sim_open());
	uint64_t seed = 3, before = 0;
	for (uint64_t i = 0; i < 60000; i++) {
		uint32_t pid = 100 + (uint32_t)(i % 700);
		uint64_t ticks = 1000 + i;
		seed = hash_mix(seed + i);
		now += NS_PER_MS;
		feed_exec(pid, seed & 1 ? "storm" : "wind");
		if (seed % 3 == 0)
			feed_sample(
			    pid, 1, ticks, seed & 1 ? "storm" : "wind", 0x400000 + seed % 1000);
		if (seed % 50)
			feed_exit(pid, ticks);
		if (i % 10000 == 9999)
			sim_ship();
		if (i == 20000)
			before = mem_total();
	}
	sim_ship();
	totals_match();
	assert_int_equal(sim.named, sim.fed);
	assert_true(mem_total() < before + (4u << 20)); // it does not grow with the storm
	sim_close();
}

static void a_memory_limit_degrades_and_says_so(void **state)
{
	(void)state;
	assert_true(sim_open());
	mem_limit(mem_total() + 300000);
	uint64_t full = count_get(COUNT_SAMPLES_STORE_FULL),
		 failed = count_get(COUNT_PROCESSES_FULL);
	for (uint32_t i = 0; i < 20000; i++)
		feed_sample(10 + i, 1, 5 + i, "greedy", 0x400000 + 4096ull * i);
	assert_true(count_get(COUNT_SAMPLES_STORE_FULL) > full ||
		    count_get(COUNT_PROCESSES_FULL) > failed || sim.path->totals.lost > 0);
	mem_limit(0);
	sim_ship();
	totals_match();
	assert_true(sim.path->totals.lost > 0);
	sim_close();
}

static void bad_records_are_counted(void **state)
{
	(void)state;
	assert_true(sim_open());
	uint64_t bad = count_get(COUNT_RECORDS_BAD);
	struct record_sample r = {
	    .head = {.kind = RECORD_SAMPLE, .size = sizeof(r)}, .user_frames = 60000};
	path_record(sim.path, &r.head);
	struct record short_one = {.kind = RECORD_MMAP, .size = sizeof(short_one)},
		      unknown = {.kind = 99, .size = 16};
	path_record(sim.path, &short_one);
	path_record(sim.path, &unknown);
	assert_int_equal(count_get(COUNT_RECORDS_BAD), bad + 3);
	struct record_sample heavy = {
	    .head = {.kind = RECORD_SAMPLE, .size = sizeof(heavy)}, .value = 1ull << 63};
	path_record(sim.path, &heavy.head);
	struct record cut = {.kind = RECORD_SAMPLE, .size = sizeof(cut)};
	path_record(sim.path, &cut);
	assert_int_equal(count_get(COUNT_RECORDS_BAD), bad + 5);
	sim.fed = 3;
	sim_ship();
	totals_match(); // samples they were, whatever was in them
	sim_close();
}

static void any_allocation_may_fail(void **state)
{
	(void)state;
	fakeproc_add(42, 1, "app", 700, "00400000-00500000 r-xp 00000000 08:01 5 /gone/app\n");
	bool over = false;
	for (uint64_t nth = 1; nth < 3000 && !over; nth++) {
		mem_fail_at(nth);
		bool opened = sim_open();
		if (opened) {
			sim_turns();
			feed_sample(42, 1, 700, "app", 0x400010);
			feed_exec(43, "next");
			feed_sample(43, 1, 800, "next", 0x400020);
			feed_exit(43, 800);
			sim_ship();
		}
		over = mem_fail_seen() < nth;
		mem_fail_at(0);
		if (opened) {
			sim_ship();
			totals_match();
		}
		sim_close();
	}
	assert_true(over);
}

int main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(ten_thousand_processes, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(a_fork_storm_with_reused_pids, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(
		a_memory_limit_degrades_and_says_so, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(bad_records_are_counted, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(any_allocation_may_fail, sim_setup, sim_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
