// SPDX-License-Identifier: Apache-2.0
// The whole path on a fake clock, a fake /proc (plain files) and made-up kernel records: no kernel, no root.
// Whatever happens - thousands of processes, fork storms, reused pids, no memory - every sample fed in comes
// out in some window, under its stack or under a mark that says why not.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "fakeproc.h"
#include "../../modules/path/take.c"

#define TICK 10000000ull
#define PERIOD 10101010ull

static uint64_t now = 1000 * NS_PER_S, wall = 1700000000 * NS_PER_S;

static struct sim {
	struct loop *loop;
	struct proc *proc;
	struct symbol *symbol;
	struct path *path;
	int64_t samples, nanoseconds; // in all windows
	int windows;
	uint64_t fed;
	char wanted_name[64]; // counted by name of the leaf
	int64_t named;
} sim;

static void on_window_of_sim(void *arg, const struct profile *p)
{
	int64_t totals[PROFILE_VALUES_MAX];
	(void)arg;
	profile_totals(p, totals);
	sim.samples += totals[0];
	sim.nanoseconds += totals[1];
	sim.windows++;
	for (uint32_t i = 0; i < profile_sample_count(p); i++) {
		const struct profile_sample *s = profile_sample(p, i);
		uint32_t n;
		const uint32_t *frames = profile_stack(p, s->stack, &n);
		assert_true(n > 0);
		if (!strcmp(profile_name(p, profile_frame(p, frames[0])->name), sim.wanted_name))
			sim.named += s->values[0];
	}
}

// False where memory ended before there was a path.
static bool sim_open(void)
{
	struct sim fresh = {.windows = 0};
	memcpy(fresh.wanted_name, sim.wanted_name, sizeof(fresh.wanted_name));
	sim = fresh;
	clock_fake(&now, &wall);
	sim.loop = loop_new();
	sim.proc = proc_new(fakeproc_root);
	struct path_options po = {.loop = sim.loop, .proc = sim.proc, .collection_ns = 10 * NS_PER_S,
	    .upload_ns = 60 * NS_PER_S, .period_ns = PERIOD, .on_window = on_window_of_sim};
	sim.path = sim.loop && sim.proc ? path_new(&po) : NULL;
	struct symbol_options so = {.processes = sim.path ? path_processes(sim.path) : NULL, .proc = sim.proc,
	    .cache_size = 1000, .demangle = true, .kernel = true, .go = true};
	sim.symbol = sim.path ? symbol_new(&so) : NULL;
	if (!sim.symbol)
		return false;
	path_set_symbol(sim.path, sim.symbol);
	return path_start(sim.path, NULL) == 0;
}

static void sim_turns(void)
{
	for (int i = 0; i < 2000 && (sim.path->sealed || sim.path->ship_slice || sim.path->scan_slice); i++)
		loop_turn(sim.loop);
}

static void sim_ship(void)
{
	now += 10 * NS_PER_S;
	wall += 10 * NS_PER_S;
	for (int i = 0; i < 50; i++) {
		path_flush(sim.path);
		sim_turns();
		int64_t left[PROFILE_VALUES_MAX];
		profile_totals(sim.path->current, left);
		if (!left[0])
			return;
	}
}

static void sim_close(void)
{
	path_free_jobs(sim.path);
	symbol_free(sim.symbol);
	path_free(sim.path);
	proc_free(sim.proc);
	loop_free(sim.loop);
	clock_fake(NULL, NULL);
}

static void feed_sample(uint32_t pid, uint32_t ppid, uint64_t ticks, const char *comm, uint64_t leaf)
{
	struct {
		struct record_sample r;
		uint64_t frames[4];
	} s = {.r = {.head = {.kind = RECORD_SAMPLE, .size = sizeof(s), .time_ns = now},
		   .start_ns = ticks * TICK, .value = PERIOD, .pid = pid, .tid = pid, .ppid = ppid,
		   .exec_pages = 1, .mnt_ns = 1, .user_frames = 3, .kernel_frames = 1,
		   .walk_end = WALK_END_COMPLETE}};
	text_copy(s.r.comm, COMM_LEN, comm);
	text_copy(s.r.process_comm, COMM_LEN, comm);
	s.frames[0] = 0xffffffff81000010;
	s.frames[1] = leaf;
	s.frames[2] = leaf + 0x100;
	s.frames[3] = leaf + 0x200;
	sim.fed++;
	path_record(sim.path, &s.r.head);
}

static void feed_exec(uint32_t pid, const char *comm)
{
	struct record_task r = {.head = {.kind = RECORD_EXEC, .size = sizeof(r), .time_ns = now}, .pid = pid, .tid = pid};
	text_copy(r.comm, COMM_LEN, comm);
	path_record(sim.path, &r.head);
	struct {
		struct record_mmap m;
		char path[40];
	} m = {.m = {.head = {.kind = RECORD_MMAP, .size = sizeof(m), .time_ns = now}, .start = 0x400000,
		   .length = 0x100000, .pid = pid, .inode = 5}};
	m.m.path_len = (uint16_t)snprintf(m.m.path, sizeof(m.path), "/gone/%s", comm);
	path_record(sim.path, &m.m.head);
}

static void feed_exit(uint32_t pid, uint64_t ticks)
{
	struct record_task r = {.head = {.kind = RECORD_EXIT, .size = sizeof(r), .time_ns = now}, .pid = pid, .tid = pid,
	    .start_ns = ticks * TICK};
	path_record(sim.path, &r.head);
}

static void totals_match(void)
{
	struct path_totals t;
	path_totals(sim.path, &t);
	assert_int_equal(sim.samples, sim.fed);
	assert_int_equal(sim.nanoseconds, sim.fed * PERIOD);
	assert_int_equal(t.delivered + t.lost + t.filtered, sim.fed);
}

static int setup(void **state)
{
	(void)state;
	fakeproc_open();
	char path[128];
	snprintf(path, sizeof(path), "%s/kallsyms", fakeproc_root);
	FILE *f = fopen(path, "w");
	fputs("ffffffff81000000 T _stext\nffffffff81000000 T do_work\nffffffff81000100 T other\n"
	      "ffffffff82000000 T _etext\n", f);
	fclose(f);
	strcpy(sim.wanted_name, "do_work");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fakeproc_close();
	return 0;
}

static void ten_thousand_processes(void **state)
{
	(void)state;
	for (unsigned pid = 1; pid <= 10000; pid++)
		fakeproc_add(pid, 1, "many", pid, "00400000-00500000 r-xp 00000000 08:01 5 /gone/many\n");
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
			feed_sample(pid, 1, ticks, seed & 1 ? "storm" : "wind", 0x400000 + seed % 1000);
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
	uint64_t full = count_get(COUNT_SAMPLES_STORE_FULL), failed = count_get(COUNT_PROCESSES_FULL);
	for (uint32_t i = 0; i < 20000; i++)
		feed_sample(10 + i, 1, 5 + i, "greedy", 0x400000 + 4096ull * i);
	assert_true(count_get(COUNT_SAMPLES_STORE_FULL) > full || count_get(COUNT_PROCESSES_FULL) > failed ||
		    sim.path->totals.lost > 0);
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
	struct record_sample r = {.head = {.kind = RECORD_SAMPLE, .size = sizeof(r)}, .user_frames = 60000};
	path_record(sim.path, &r.head);
	struct record short_one = {.kind = RECORD_MMAP, .size = sizeof(short_one)}, unknown = {.kind = 99, .size = 16};
	path_record(sim.path, &short_one);
	path_record(sim.path, &unknown);
	assert_int_equal(count_get(COUNT_RECORDS_BAD), bad + 3);
	sim.fed = 1;
	sim_ship();
	assert_int_equal(sim.samples, 1); // a sample it was, whatever was in it
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
	    cmocka_unit_test_setup_teardown(ten_thousand_processes, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_fork_storm_with_reused_pids, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_memory_limit_degrades_and_says_so, setup, teardown),
	    cmocka_unit_test_setup_teardown(bad_records_are_counted, setup, teardown),
	    cmocka_unit_test_setup_teardown(any_allocation_may_fail, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
