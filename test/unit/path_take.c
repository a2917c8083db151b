// SPDX-License-Identifier: Apache-2.0
// Whose profile it is: a subject's resource, asked once a window, another one after exec. And what memory bears.
#include "path_sim.h"

static unsigned asked, added;
static const struct process_resource *asked_resource(struct processes *t, const struct process *p)
{
	asked++;
	return process_resource(t, p);
}
static uint32_t added_labels(struct profile *p, const struct profile_label *labels, uint32_t count)
{
	added++;
	return profile_add_labels(p, labels, count);
}
#define process_resource(t, p) asked_resource(t, p) // not the struct
#define profile_add_labels added_labels
#include "../../modules/path/take.c"
#undef process_resource
#undef profile_add_labels

static void add(unsigned pid, const char *comm, const char *exe)
{
	char path[256];
	fakeproc_add(pid, 1, comm, 700, "00400000-00500000 r-xp 00000000 08:01 5 /gone/app\n");
	snprintf(path, sizeof(path), "%s/%u/exe", fakeproc_root, pid);
	unlink(path);
	assert_int_equal(symlink(exe, path), 0);
}

// KEY of the resource of PID's newest subject, NULL: it has none.
static const char *told(const struct profile *p, uint32_t pid, const char *key)
{
	for (uint32_t id = profile_subject_count(p); id; id--) {
		const struct profile_subject *s = profile_subject(p, id);
		uint32_t n = 0;
		if (s->pid != pid)
			continue;
		assert_int_equal(s->labels, 0); // labels of samples are others
		const struct profile_label *l =
		    s->resource ? profile_labels(p, s->resource, &n) : NULL;
		for (uint32_t i = 0; i < n; i++)
			if (!strcmp(profile_name(p, l[i].key), key))
				return profile_name(p, l[i].str);
		return NULL;
	}
	return NULL;
}

static void subjects_tell_whose_they_are(void **state)
{
	(void)state;
	sim.options.resources = 1;
	assert_true(sim_open());
	add(50, "first", "/opt/first");
	add(51, "first", "/opt/first");
	asked = added = 0;
	for (int i = 0; i < 10; i++) {
		feed_sample(50, 1, 700, "first", 0x400010);
		feed_sample(51, 1, 700, "first", 0x400010);
	}
	struct profile *p = sim.path->current[PATH_CPU].profile;
	assert_int_equal(asked, 20);
	assert_int_equal(added, 1); // once for all that have the same
	assert_string_equal(told(p, 50, "process.executable.path"), "/opt/first");
	assert_string_equal(told(p, 51, "service.name"), "first");
	// The next window has its own.
	sim_ship();
	feed_sample(50, 1, 700, "first", 0x400010);
	p = sim.path->current[PATH_CPU].profile;
	assert_int_equal(added, 2);
	assert_string_equal(told(p, 50, "app.name"), "first");
	// So has the next program.
	now += NS_PER_MS;
	feed_exec(50, "second");
	add(50, "second", "/opt/second");
	now += NS_PER_MS;
	feed_sample(50, 1, 700, "second", 0x400010);
	assert_string_equal(told(p, 50, "app.name"), "second");
	sim_ship();
	totals_match();
	sim_close();
}

static void without_the_option_there_is_none(void **state)
{
	(void)state;
	sim.options.resources = 0;
	assert_true(sim_open());
	add(50, "first", "/opt/first");
	asked = 0;
	feed_sample(50, 1, 700, "first", 0x400010);
	assert_int_equal(asked, 0);
	assert_null(told(sim.path->current[PATH_CPU].profile, 50, "app.name"));
	sim_ship();
	totals_match();
	sim_close();
}

// A tick that bears those that were left out counts as all of them, wherever it goes.
static void a_tick_may_bear_others(void **state)
{
	(void)state;
	static const char *const names[] = {"first", NULL};
	char why[100];
	struct filter *filter =
	    filter_new(&(struct filter_options){.names = names}, why, sizeof(why));
	sim.options.filter = filter;
	assert_true(sim_open());
	add(50, "first", "/opt/first");
	feed_sample(50, 1, 700, "first", 0x400010);
	sim.every = 8;
	feed_sample(50, 1, 700, "first", 0x400010);
	sim_ship();
	totals_match();
	assert_int_equal(sim.samples, 9);
	feed_sample(51, 1, 700, "other", 0x400010);
	sim.fed -= 8; // in no profile
	struct path_totals t;
	path_totals(sim.path, &t);
	assert_int_equal(t.filtered, 8);
	assert_int_equal(t.delivered, 9);
	sim_close();
	sim.options.filter = NULL;
	filter_free(filter);
}

static void feed_bytes(enum sample_source source, uint64_t bytes, uint64_t object, uint8_t kind)
{
	struct {
		struct record_sample r;
		uint64_t frames[2];
	} s = {.r = {.head = {.kind = RECORD_SAMPLE, .size = sizeof(s), .time_ns = now},
		   .start_ns = 700 * TICK,
		   .value = bytes,
		   .object = object,
		   .pid = 50,
		   .tid = 50,
		   .exec_pages = 1,
		   .mnt_ns = 1,
		   .user_frames = source == SOURCE_MAPPED && kind == MAPPED_REST ? 0 : 2,
		   .source = source,
		   .reason = kind,
		   .walk_end = WALK_END_COMPLETE},
	    .frames = {0x400010, 0x400110}};
	path_record(sim.path, &s.r.head);
}

static void feed_memory(uint64_t bytes, uint8_t kind)
{
	feed_bytes(SOURCE_MEMORY, bytes, 0, kind);
}

// What was mapped before is not of the leaf, which a mark says; another kind makes no sense.
static void memory_counts_in_bytes(void **state)
{
	(void)state;
	sim.options.types = 1u << PATH_CPU | 1u << PATH_MEMORY;
	sim.dumps = true;
	assert_true(sim_open());
	add(50, "first", "/opt/first");
	uint64_t bad = count_get(COUNT_RECORDS_BAD);
	feed_memory(1 << 20, MEMORY_FAULT);
	feed_memory(2 << 20, MEMORY_BEYOND);
	feed_memory(64 << 20, MEMORY_BEFORE);
	feed_memory(8 << 20, MEMORY_KINDS);
	assert_int_equal(count_get(COUNT_RECORDS_BAD), bad + 1);
	sim_ship();
	assert_int_equal(sim.totals[PATH_MEMORY][0], 3);
	assert_int_equal(sim.totals[PATH_MEMORY][1], 67 << 20);
	const char *mark = strstr(sim.dump.at, "[pages of files, mapped before]");
	assert_non_null(mark);
	assert_null(strstr(mark + 1, "[pages of files, mapped before]"));
	assert_non_null(strstr(mark, "67108864"));
	sim_close();
}

// With how often it grew; what was too little for a sample has no stack, which a mark says.
static void mapped_counts_growths_and_bytes(void **state)
{
	(void)state;
	sim.options.types = 1u << PATH_MEMORY | 1u << PATH_MAPPED;
	sim.dumps = true;
	assert_true(sim_open());
	add(50, "first", "/opt/first");
	uint64_t bad = count_get(COUNT_RECORDS_BAD);
	feed_bytes(SOURCE_MAPPED, 64 << 20, 1, MAPPED_GROWTH);
	feed_bytes(SOURCE_MAPPED, 17 * 4096, 9, MAPPED_GROWTH);
	feed_bytes(SOURCE_MAPPED, 5 * 4096, 2, MAPPED_REST);
	feed_bytes(SOURCE_MAPPED, 4096, 1, MAPPED_KINDS);
	feed_bytes(SOURCE_MAPPED, 4096, UINT64_MAX, MAPPED_GROWTH);
	assert_int_equal(count_get(COUNT_RECORDS_BAD), bad + 2);
	struct path_totals t;
	path_totals(sim.path, &t);
	assert_int_equal(t.mapped_bytes, (64 << 20) + 22 * 4096);
	assert_int_equal(t.memory_bytes, 0);
	sim_ship();
	assert_int_equal(sim.totals[PATH_MEMORY][1], 0);
	assert_int_equal(sim.totals[PATH_MAPPED][0], 12);
	assert_int_equal(sim.totals[PATH_MAPPED][1], (64 << 20) + 22 * 4096);
	const char *mark = strstr(sim.dump.at, "[small growth, not sampled]");
	assert_non_null(mark);
	assert_non_null(strstr(mark, "20480"));
	sim_close();
}

// Where memory ends there is a sample all the same.
static void any_allocation_may_fail(void **state)
{
	(void)state;
	sim.options.resources = 1;
	for (uint64_t nth = 1; nth < 400; nth++) {
		assert_true(sim_open());
		add(50, "first", "/opt/first");
		mem_fail_at(nth);
		feed_sample(50, 1, 700, "first", 0x400010);
		bool over = mem_fail_seen() < nth;
		mem_fail_at(0);
		sim_ship();
		totals_match();
		sim_close();
		assert_int_equal(mem_used(ACCOUNT_PROCESS), 0);
		assert_int_equal(mem_used(ACCOUNT_PATH), 0);
		if (over)
			return;
	}
	fail();
}

int main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(subjects_tell_whose_they_are, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(
		without_the_option_there_is_none, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(a_tick_may_bear_others, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(memory_counts_in_bytes, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(
		mapped_counts_growths_and_bytes, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(any_allocation_may_fail, sim_setup, sim_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
