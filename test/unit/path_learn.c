// SPDX-License-Identifier: Apache-2.0
// What is asked about a process when it becomes known, and what of one that has ended already.
#include "path_sim.h"

#define kernel_want want_of_fake
static int want_of_fake(struct kernel *k, uint32_t pid, int want);
#define kernel_unlist unlist_of_fake
static void unlist_of_fake(struct kernel *k, uint32_t pid);
#define unwind_changed changed_fake
#define unwind_execed execed_fake
#define unwind_gone gone_fake
static void changed_fake(struct unwind *u, const struct process *p);
static void execed_fake(struct unwind *u, const struct process *p, uint64_t when);
static void gone_fake(struct unwind *u, const struct process *p);
#include "../../modules/path/learn.c"

#define NEXT "0123456789012345678901234567890123456789012345678901234567890123"

static uint32_t want_pid;
static int want, wants, unlisted;

static int want_of_fake(struct kernel *k, uint32_t pid, int w)
{
	(void)k;
	want_pid = pid;
	want = w;
	wants++;
	return 0;
}

static void unlist_of_fake(struct kernel *k, uint32_t pid)
{
	(void)k;
	unlisted++;
	assert_int_equal(pid, want_pid);
}

static struct {
	uint32_t changed, execed, gone; // of process 50
} told;

static void changed_fake(struct unwind *u, const struct process *p)
{
	(void)u;
	told.changed += p->pid == 50;
}

static void execed_fake(struct unwind *u, const struct process *p, uint64_t when)
{
	(void)u;
	told.execed += p->pid == 50 && when == now;
}

static void gone_fake(struct unwind *u, const struct process *p)
{
	(void)u;
	told.gone += p->pid == 50;
}

static void feed(uint32_t pid, uint32_t ppid, uint64_t ticks, const char *comm)
{
	sim.path->kernel = (struct kernel *)1;
	feed_sample(pid, ppid, ticks, comm, 0x400010);
	sim.path->kernel = NULL;
}

static const struct process *find(uint32_t id)
{
	const struct process *p = process_by_id(sim.path->processes, id);
	assert_non_null(p);
	return p;
}

static void who_is_wanted_is_told_to_the_kernel(void **state)
{
	(void)state;
	static const char *const names[] = {"good", NULL};
	char why[100];
	struct filter *filter =
	    filter_new(&(struct filter_options){.names = names}, why, sizeof(why));
	sim.options.filter = filter;
	assert_true(sim_open());
	wants = unlisted = 0;
	fakeproc_add(50, 1, "bad", 700, "00400000-00500000 r-xp 00000000 08:01 5 /gone/app\n");
	feed(50, 1, 700, "bad");
	assert_int_equal(wants, 1);
	assert_int_equal(want_pid, 50);
	assert_int_equal(want, 0);
	assert_int_equal(unlisted, 0);
	feed(51, 1, 700, "good");
	assert_int_equal(wants, 2);
	assert_int_equal(want, 1);
	assert_int_equal(unlisted, 0);
	// It has ended: the mark would be the next one's that gets its pid.
	feed_exit(52, 700);
	feed(52, 1, 700, "bad");
	assert_int_equal(wants, 2);
	assert_int_equal(sim.path->totals.filtered, 2);
	// It changes its name while it ends: what was decided stands.
	feed(53, 1, 800, "good");
	feed_exit(53, 800);
	feed(53, 1, 800, "bad");
	assert_int_equal(wants, 3);
	assert_int_equal(sim.path->totals.filtered, 2);
	// It is gone, another has its pid, or it is ending: the kernel may have been past its end.
	feed(54, 1, 700, "bad");
	assert_int_equal(unlisted, 1);
	fakeproc_add(55, 1, "bad", 900, "");
	feed(55, 1, 700, "bad");
	assert_int_equal(unlisted, 2);
	fakeproc_add(56, 1, "bad", 700, "");
	fakeproc_write(56, "stat", "56 (bad) R 1 0 0 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 700 0 0\n");
	feed(56, 1, 700, "bad");
	assert_int_equal(unlisted, 3);
	sim_ship();
	sim_close();
	sim.options.filter = NULL;
	filter_free(filter);
}

static void the_next_one_with_its_pid_says_nothing_of_it(void **state)
{
	(void)state;
	static const char *const executables[] = {"next", NULL};
	char why[100];
	struct filter *filter =
	    filter_new(&(struct filter_options){.executables = executables}, why, sizeof(why));
	sim.options.filter = filter;
	assert_true(sim_open());
	char path[256];
	for (unsigned pid = 60; pid <= 61; pid++) {
		fakeproc_add(pid, 1, "next", 900, "");
		fakeproc_write(pid, "cgroup", "0::/docker/" NEXT "\n");
		snprintf(path, sizeof(path), "%s/%u/exe", fakeproc_root, pid);
		assert_int_equal(symlink("/usr/bin/next", path), 0);
	}
	feed_exit(60, 700);
	feed(60, 1, 700, "last");
	assert_int_equal(sim.path->totals.filtered, 1);
	assert_string_equal(find(1)->container, "");
	// The one that runs is asked.
	feed(61, 1, 900, "next");
	assert_int_equal(sim.path->totals.filtered, 1);
	assert_string_equal(find(2)->container, NEXT);
	// A child that has ended ran where its parent runs.
	feed_exit(62, 950);
	feed(62, 61, 950, "next");
	assert_string_equal(find(3)->container, NEXT);
	sim_ship();
	sim_close();
	sim.options.filter = NULL;
	filter_free(filter);
}

static void map(uint32_t pid)
{
	struct record_mmap r = {
	    .head = {.kind = RECORD_MMAP, .size = sizeof(r) + 8, .time_ns = now}, .pid = pid};
	union {
		struct record_mmap r;
		char bytes[sizeof(r) + 8];
	} padded = {.r = r};
	path_record(sim.path, &padded.r.head);
}

static void the_walker_is_told(void **state)
{
	(void)state;
	static const char *const names[] = {"good", NULL};
	char why[100];
	struct filter *filter =
	    filter_new(&(struct filter_options){.names = names}, why, sizeof(why));
	assert_true(sim_open());
	memset(&told, 0, sizeof(told));
	// Which file lies behind a mapping is known only when it is opened, at its first sample:
	// until then the walker has the rows of any with that build-id.
	fakeproc_add(50, 1, "good", 700, "00400000-00500000 r-xp 00000000 08:01 5 /gone/app\n");
	sim.path->unwind = (struct unwind *)1;
	feed_sample(50, 1, 700, "good", 0x400010);
	assert_int_equal(told.changed, 1);
	feed_sample(50, 1, 700, "good", 0x400010);
	assert_int_equal(told.changed, 1);
	map(50);
	assert_int_equal(told.changed, 2);
	now += NS_PER_S;
	feed_exec(50, "good");
	assert_int_equal(told.execed, 1);
	// Where a filter chooses, a program waits for its first sample.
	sim.path->options.filter = filter;
	feed_exec(50, "good");
	assert_int_equal(told.execed, 1);
	assert_int_equal(told.gone, 1);
	feed_exit(50, 700);
	assert_int_equal(told.gone, 2);
	sim.path->unwind = NULL;
	feed_exec(50, "good");
	sim_ship();
	sim_close();
	filter_free(filter);
}

int main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		who_is_wanted_is_told_to_the_kernel, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(
		the_next_one_with_its_pid_says_nothing_of_it, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(the_walker_is_told, sim_setup, sim_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
