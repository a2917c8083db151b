// SPDX-License-Identifier: Apache-2.0
// Windows that close, are named, kept, merged and written: slow, without memory, without a disk,
// ended in the middle. Whatever happens the totals hold.
#include "../../modules/path/ship.c"
#include "../../modules/path/upload.c"
#include "path_sim.h"

#include <dirent.h>

static char directory[64];
static char why[200];

static struct directory *directory_open(void)
{
	struct directory *d = directory_new(directory, 0, EXPORT_PPROF, why, sizeof(why));
	assert_non_null(d);
	return d;
}

// Receivers: what they were given, taken in several steps.
struct deliver {
	const struct profile *p;
	int steps, profiles;
	int64_t samples;
};
static struct deliver receivers;

void deliver_put(struct deliver *d, const struct profile *p)
{
	assert_null(d->p);
	d->p = p;
	d->steps = 3;
}

int deliver_step(struct deliver *d, uint64_t budget_ns)
{
	int64_t totals[PROFILE_VALUES_MAX];
	(void)budget_ns;
	profile_totals(d->p, totals); // it is still there
	if (--d->steps)
		return 1;
	d->samples += totals[0];
	d->profiles++;
	d->p = NULL;
	return 0;
}

struct written {
	int files;
	int64_t samples, nanoseconds;
	uint64_t durations;
};

// What all files of the directory add up to.
static struct written written(void)
{
	struct written w = {0};
	DIR *stream = opendir(directory);
	for (struct dirent *d; (d = readdir(stream));) {
		char path[512], reason[200];
		static char bytes[1 << 20];
		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, d->d_name);
		FILE *f = fopen(path, "r");
		size_t n = fread(bytes, 1, sizeof(bytes), f);
		fclose(f);
		struct profile *p = profiles_import(bytes, n, reason);
		assert_non_null(p);
		int64_t totals[PROFILE_VALUES_MAX];
		profile_totals(p, totals);
		w.files++;
		w.samples += totals[0];
		w.nanoseconds += totals[1];
		w.durations += profile_header_of(p)->duration_ns;
		profile_free(p);
	}
	closedir(stream);
	return w;
}

static int setup(void **state)
{
	receivers = (struct deliver){.p = NULL};
	strcpy(directory, "/tmp/telegen-out-XXXXXX");
	assert_non_null(mkdtemp(directory));
	return sim_setup(state);
}

static int teardown(void **state)
{
	nftw(directory, fakeproc_rm, 16, FTW_DEPTH | FTW_PHYS);
	return sim_teardown(state);
}

static void feed(int n)
{
	for (int i = 0; i < n; i++)
		feed_sample(
		    100 + (uint32_t)i % 7, 1, 5, "feeder", 0x400000 + 16ull * (uint64_t)(i % 50));
}

static void finish(void)
{
	sim_finish(20000);
	assert_true(sim.path->over);
	path_flush(sim.path); // there is nothing left to close
	path_shrink(sim.path, 1);
	sim_turns();
}

static void close_all(struct directory *d)
{
	path_free_jobs(sim.path);
	directory_free(d);
	sim_close();
	sim_nothing_left();
}

static void windows_of_an_interval_become_one_file(void **state)
{
	(void)state;
	struct directory *d = sim.options.directory = directory_open();
	sim.options.upload_ns = 3 * WINDOW;
	assert_true(sim_open());
	for (int window = 1; window <= 10; window++) {
		feed(20 + window);
		// Windows close late and early; the interval stays.
		now += window % 2 ? 3 * NS_PER_MS : 0;
		sim_ship();
		assert_int_equal(written().files, window / 3);
	}
	feed(5);
	finish();
	struct written w = written();
	assert_int_equal(w.files, 4);
	assert_int_equal(w.samples, sim.fed);
	assert_int_equal(w.nanoseconds, sim.fed * PERIOD);
	assert_true(w.durations >= 10 * WINDOW && w.durations < 10 * WINDOW + NS_PER_S);
	totals_match();
	close_all(d);
}

static void receivers_get_what_the_directory_gets(void **state)
{
	(void)state;
	for (int both = 0; both < 2; both++) {
		struct directory *d = sim.options.directory = both ? directory_open() : NULL;
		receivers = (struct deliver){.p = NULL};
		sim.options.deliver = &receivers;
		sim.options.upload_ns = 3 * WINDOW;
		assert_true(sim_open());
		for (int window = 1; window <= 10; window++) {
			feed(20 + window);
			sim_ship();
			assert_int_equal(receivers.profiles, window / 3);
			assert_null(receivers.p);
		}
		feed(5);
		finish();
		assert_int_equal(receivers.profiles, 4);
		assert_int_equal(receivers.samples, sim.fed);
		if (both)
			assert_int_equal(written().samples, sim.fed);
		totals_match();
		close_all(d);
	}
}

static void a_clock_set_back_changes_no_duration(void **state)
{
	(void)state;
	struct directory *d = sim.options.directory = directory_open();
	assert_true(sim_open());
	feed(10);
	sim_ship();
	wall -= 3600 * NS_PER_S;
	feed(10);
	sim_ship();
	wall += 7200 * NS_PER_S;
	feed(10);
	finish();
	struct written w = written();
	assert_int_equal(w.files, 1);
	assert_int_equal(w.samples, 30);
	assert_int_equal(w.durations, 2 * WINDOW);
	close_all(d);
}

static void a_late_window_goes_on(void **state)
{
	(void)state;
	assert_true(sim_open());
	sim_turns();
	uint64_t late = count_get(COUNT_WINDOWS_LATE);
	feed(30);
	path_flush(sim.path);
	assert_non_null(sim.path->sealed);
	for (int i = 0; i < 5; i++) { // shipping stands still
		feed(30);
		now += WINDOW;
		path_flush(sim.path);
	}
	assert_int_equal(count_get(COUNT_WINDOWS_LATE), late + 1);
	sim_turns();
	assert_int_equal(sim.windows, 2); // the second as soon as the first was shipped
	totals_match();
	finish();
	totals_match();
	close_all(NULL);
}

static void a_full_history_or_directory_loses_no_window(void **state)
{
	(void)state;
	struct directory *d = sim.options.directory = directory_open();
	struct history *small = sim.options.history = history_new(100); // nothing fits
	uint64_t dropped = count_get(COUNT_WINDOWS_DROPPED), failed = count_get(COUNT_FILES_FAILED);
	sim.options.upload_ns = WINDOW;
	assert_true(sim_open());
	feed(30);
	sim_ship();
	assert_true(count_get(COUNT_WINDOWS_DROPPED) > dropped);
	assert_int_equal(written().samples, 30); // the file has it all the same
	assert_int_equal(rmdir(directory), -1);
	nftw(directory, fakeproc_rm, 16, FTW_DEPTH | FTW_PHYS); // the disk goes
	feed(30);
	sim_ship();
	assert_true(count_get(COUNT_FILES_FAILED) > failed);
	assert_int_equal(sim.samples, 60);
	feed(1);
	finish();
	totals_match();
	assert_int_equal(mkdir(directory, 0755), 0);
	path_free_jobs(sim.path);
	history_free(small);
	close_all(d);
}

static void memory_asked_back_ships_early(void **state)
{
	(void)state;
	struct directory *d = sim.options.directory = directory_open();
	assert_true(sim_open());
	feed(30);
	assert_int_equal(path_shrink(sim.path, 1000), 0);
	ship_close_if_wanted(sim.path);
	sim_turns();
	assert_int_equal(sim.windows, 0); // not ever shorter windows
	now += 2 * NS_PER_S;
	path_shrink(sim.path, 1000);
	ship_close_if_wanted(sim.path);
	sim_turns();
	assert_int_equal(sim.windows, 1);
	assert_int_equal(written().samples, 30);
	assert_null(sim.path->upload[PATH_CPU]);
	finish();
	close_all(d);
}

// With the fake clock a slice is done in one turn; here every reading of it takes a while.
static void every_phase_can_be_the_last(void **state)
{
	(void)state;
	for (int turns = 0; turns < 16; turns++) {
		for (int way = 0; way < 2; way++) {
			struct directory *d = sim.options.directory = directory_open();
			struct history *h = sim.options.history = history_new(1 << 20);
			receivers = (struct deliver){.p = NULL};
			sim.options.deliver = &receivers;
			sim.options.upload_ns = WINDOW;
			assert_true(sim_open());
			for (int round = 0; round < 2; round++) {
				feed(40);
				now += WINDOW;
				path_flush(sim.path);
				for (int i = 0; i < turns; i++)
					loop_turn(sim.loop);
			}
			feed(3);
			if (way == 0) {
				finish();
				totals_match();
				assert_int_equal(written().samples, sim.fed);
				assert_int_equal(receivers.samples, sim.fed);
			}
			path_free_jobs(sim.path);
			int64_t kept = 0;
			for (uint32_t i = 0; i < history_count(h); i++)
				kept += history_entry(h, i)->total;
			assert_true(way == 0 ? kept == (int64_t)(sim.fed * PERIOD)
					     : kept >= sim.nanoseconds);
			history_free(h);
			close_all(d);
			nftw(directory, fakeproc_rm, 16, FTW_DEPTH | FTW_PHYS);
			assert_int_equal(mkdir(directory, 0755), 0);
		}
	}
}

// A history outlives the path that was filling it (SIGHUP): what it was given is whole.
static void a_history_is_handed_on_whole(void **state)
{
	(void)state;
	struct history *h = sim.options.history = history_new(1 << 20);
	for (int life = 1; life <= 3; life++) {
		assert_true(sim_open());
		feed(40);
		path_flush(sim.path);
		while (!sim.path->keeping)
			assert_true(ship_step(sim.path, 0) == 1);
		close_all(NULL);
		assert_int_equal(history_count(h), life);
	}
	history_free(h);
	assert_int_equal(mem_used(ACCOUNT_EXPORT), 0);
}

static void any_allocation_may_fail(void **state)
{
	(void)state;
	bool over = false;
	for (uint64_t nth = 1; nth < 5000 && !over; nth++) {
		struct directory *d = sim.options.directory = directory_open();
		struct history *h = sim.options.history = history_new(1 << 20);
		receivers = (struct deliver){.p = NULL};
		sim.options.deliver = &receivers;
		sim.options.upload_ns = 2 * WINDOW;
		uint64_t failed = count_get(COUNT_FILES_FAILED);
		mem_fail_at(nth);
		bool opened = sim_open();
		for (int window = 0; opened && window < 3; window++) {
			feed(10);
			sim_ship();
		}
		if (opened) {
			feed(1);
			sim_finish(5000);
		}
		over = mem_fail_seen() < nth;
		mem_fail_at(0);
		if (opened) {
			totals_match();
			assert_int_equal(receivers.samples, sim.fed);
			if (count_get(COUNT_FILES_FAILED) == failed)
				assert_int_equal(written().samples, sim.fed);
		}
		path_free_jobs(sim.path);
		history_free(h);
		close_all(d);
		nftw(directory, fakeproc_rm, 16, FTW_DEPTH | FTW_PHYS);
		assert_int_equal(mkdir(directory, 0755), 0);
	}
	assert_true(over);
}

int main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		windows_of_an_interval_become_one_file, setup, teardown),
	    cmocka_unit_test_setup_teardown(receivers_get_what_the_directory_gets, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_clock_set_back_changes_no_duration, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_late_window_goes_on, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_full_history_or_directory_loses_no_window, setup, teardown),
	    cmocka_unit_test_setup_teardown(memory_asked_back_ships_early, setup, teardown),
	    cmocka_unit_test_setup_teardown(every_phase_can_be_the_last, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_history_is_handed_on_whole, setup, teardown),
	    cmocka_unit_test_setup_teardown(any_allocation_may_fail, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
