// SPDX-License-Identifier: Apache-2.0
// Allocations through the whole path: what was handed out, what is in use at the end of each
// window, how old it is. All of it goes onto a tape too, and the replay must say the same.
#include "path_sim.h"
#include "../../modules/path/alloc.c"

#include <sys/mman.h>

#define LIBC 0x7f0000002010ull
#define HUGE (1ull << 40) // stands for itself: it is sampled surely

static void feed(
    uint32_t pid, uint64_t address, uint64_t bytes, enum alloc_kind kind, uint64_t leaf)
{
	struct {
		struct record_sample r;
		uint64_t frames[2];
	} s = {.r = {.head = {.kind = RECORD_SAMPLE, .size = sizeof(s), .time_ns = now},
		   .start_ns = pid == 42 ? 700 * TICK : 800 * TICK,
		   .value = bytes,
		   .object = address,
		   .pid = pid,
		   .tid = pid + 1,
		   .ppid = 1,
		   .exec_pages = 1,
		   .mnt_ns = 1,
		   .source = SOURCE_ALLOC,
		   .block = address != 0x999,
		   .reason = (u8)kind,
		   .in_user = 1,
		   .user_frames = 2,
		   .walk_end = WALK_END_COMPLETE,
		   .comm = "worker",
		   .process_comm = "app"},
	    .frames = {leaf, LIBC + 0x100}};
	path_record(sim.path, &s.r.head);
}

static void feed_free(uint32_t pid, uint64_t address)
{
	struct record_free r = {.head = {.kind = RECORD_FREE, .size = sizeof(r), .time_ns = now},
	    .address = address,
	    .pid = pid};
	path_record(sim.path, &r.head);
}

static void begin(int fd)
{
	sim.dumps = true;
	sim.options.types = 1u << PATH_CPU | path_types_beside(1u << PATH_MEMORY);
	sim.options.alloc_period = 1000;
	sim.options.alloc_live = 1000;
	sim.options.leak_age_ns = 15 * NS_PER_S;
	fakeproc_add(
	    42, 1, "app", 700, "7f0000002000-7f0000003000 r-xp 00000000 08:01 5 /gone/libc\n");
	fakeproc_add(
	    43, 1, "app", 800, "7f0000002000-7f0000003000 r-xp 00000000 08:01 5 /gone/libc\n");
	assert_true(sim_make());
	assert_int_equal(sim_start(fd), 0);
	sim_turns();
}

static void ship(void)
{
	now += WINDOW;
	wall += WINDOW;
	loop_turn(sim.loop); // its timer closes the window
	sim_turns();
}

static void replayed_is_the_same(int fd)
{
	sim.options = (struct path_options){0}; // the tape says
	sim_replays_the_same(fd);
}

// The Nth window of type NAME, from its head to the next head.
static char *window(int n, const char *name)
{
	char head[32];
	snprintf(head, sizeof(head), "window %s ", name);
	for (char *at = strstr(sim.dump.at, head); at; at = strstr(at + 1, head))
		if (!n--) {
			char *end = strstr(at + 1, "window ");
			return strndup(at, end ? (size_t)(end - at) : strlen(at));
		}
	return strdup("");
}

static bool holds(int n, const char *name, const char *what)
{
	char *w = window(n, name);
	bool found = strstr(w, what);
	free(w);
	return found;
}

static void what_is_live_is_told_by_window(void **state)
{
	(void)state;
	int fd = memfd_create("tape", MFD_CLOEXEC);
	begin(fd);
	feed(42, 0x1000, HUGE, ALLOC_MALLOC, LIBC);
	feed(42, 0x2000, 2 * HUGE, ALLOC_CALLOC, LIBC);
	feed(43, 0x1000, 4 * HUGE, ALLOC_MALLOC, LIBC); // of another process
	feed_free(42, 0x2000);
	feed_free(42, 0x7777); // nobody told of it
	ship();
	feed_free(43, 0x1000);
	feed_sample(42, 1, 700, "app", LIBC);
	ship();
	ship();
	assert_int_equal(sim.totals[PATH_ALLOCS][0], 3);
	assert_int_equal(sim.totals[PATH_ALLOCS][1], 7 * HUGE);
	assert_true(holds(0, "allocs", "allocationType=calloc"));
	assert_true(holds(0, "allocs", "2199023255552"));
	assert_false(holds(0, "heap", "2199023255552"));
	assert_true(holds(0, "heap", "4398046511104"));
	assert_false(holds(1, "heap", "4398046511104"));
	assert_true(holds(1, "heap", "1099511627776"));
	assert_true(holds(0, "heap", "age=<15s"));
	assert_true(holds(2, "heap", "age=>=15s"));
	assert_true(holds(2, "heap", "1099511627776"));
	// Of a state there is no duration.
	assert_true(holds(0, "heap", " 0 period 1000\n"));
	assert_true(holds(0, "allocs", " 10000000000 period 1000\n"));
	replayed_is_the_same(fd);
	close(fd);
}

static void what_a_process_had_goes_with_it(void **state)
{
	(void)state;
	begin(-1);
	feed(42, 0x1000, HUGE, ALLOC_MALLOC, LIBC);
	feed(43, 0x1000, 2 * HUGE, ALLOC_MALLOC, LIBC);
	feed_exit(42, 700);
	feed_exec(43, "other");
	feed(43, 0x2000, 8 * HUGE, ALLOC_MALLOC, LIBC);
	path_heap_over(sim.path, 43); // and with its probes
	ship();
	assert_true(holds(0, "heap", "1099511627776")); // what it had at its end
	assert_true(holds(0, "heap", "8796093022208"));
	assert_false(holds(0, "heap", "2199023255552"));
	ship();
	assert_false(holds(1, "heap", "1099511627776"));
	assert_int_equal(live_count(sim.path->live), 0);
	sim_close();
}

// Small blocks stand for many, and whole numbers add up to what they stand for.
static void weights_add_up(void **state)
{
	double objects = 0, bytes = 0;
	(void)state;
	begin(-1);
	for (int i = 0; i < 300; i++) {
		double size = 1 + i * 7 % 4000, chance = 1 - exp(-size / 1000);
		feed(42, 0x10000 + (uint64_t)i * 16, (uint64_t)size, ALLOC_MALLOC, LIBC);
		objects += 1 / chance;
		bytes += size / chance;
	}
	ship();
	assert_true(fabs((double)sim.totals[PATH_ALLOCS][0] - objects) < 2);
	assert_true(fabs((double)sim.totals[PATH_ALLOCS][1] - bytes) < 2);
	assert_int_equal(sim.totals[PATH_HEAP][0], sim.totals[PATH_ALLOCS][0]);
	assert_int_equal(sim.totals[PATH_HEAP][1], sim.totals[PATH_ALLOCS][1]);
	for (int i = 0; i < 300; i++)
		feed_free(42, 0x10000 + (uint64_t)i * 16);
	int64_t before = sim.totals[PATH_HEAP][0];
	ship();
	assert_int_equal(sim.totals[PATH_HEAP][0], before); // nothing is left
	sim_close();
}

// Java's stand for objects of one size; the garbage collector tells no end.
static void java_has_no_heap(void **state)
{
	(void)state;
	int fd = memfd_create("tape", MFD_CLOEXEC);
	begin(fd);
	feed(42, 1024, HUGE, ALLOC_JAVA_TLAB, LIBC);
	feed(42, 1ull << 30, HUGE, ALLOC_JAVA_OUTSIDE, LIBC + 1);
	feed(42, 0, HUGE, ALLOC_JAVA_END, LIBC + 2);
	feed(42, 0x999, 16, ALLOC_JAVA_TLAB, LIBC); // of an object of 0x999 bytes
	ship();
	assert_int_equal(sim.totals[PATH_ALLOCS][0], (1 << 30) + 1024);
	assert_int_equal(sim.totals[PATH_ALLOCS][1], 3 * HUGE + 1008);
	assert_true(holds(0, "allocs", "allocationType=java"));
	assert_int_equal(sim.totals[PATH_HEAP][1], 0);
	assert_int_equal(live_count(sim.path->live), 0);
	replayed_is_the_same(fd);
	close(fd);
}

static void what_is_not_followed_is_told(void **state)
{
	(void)state;
	begin(-1);
	feed(42, 0x999, HUGE, ALLOC_MALLOC, LIBC); // the kernel's table was full
	feed(42, 0x1000, 2 * HUGE, ALLOC_MALLOC, LIBC);
	ship();
	assert_int_equal(sim.totals[PATH_ALLOCS][1], 3 * HUGE);
	assert_true(holds(0, "heap", LOST_FREE));
	assert_int_equal(sim.totals[PATH_HEAP][1], 3 * HUGE);
	feed_exit(42, 700);
	ship();
	assert_int_equal(sim.totals[PATH_HEAP][1], 6 * HUGE); // once more, as what is followed
	ship();
	assert_int_equal(sim.totals[PATH_HEAP][1], 6 * HUGE); // nobody is left to have it
	sim_close();

	begin(-1);
	feed(42, 0x999, HUGE, ALLOC_MALLOC, LIBC);
	feed(43, 0x999, 4 * HUGE, ALLOC_MALLOC, LIBC);
	feed(42, 0x1000, 2 * HUGE, ALLOC_MALLOC, LIBC);
	feed_free(42, 0x1000); // what is followed is gone: that does not end what is not
	ship();
	ship();
	assert_int_equal(sim.totals[PATH_HEAP][1], 2 * 5 * HUGE);
	feed_exit(42, 700);
	ship();
	assert_int_equal(sim.totals[PATH_HEAP][1], 3 * 5 * HUGE);
	ship();
	assert_int_equal(sim.totals[PATH_HEAP][1], (3 * 5 + 4) * HUGE); // the other one's
	for (uint32_t i = 0; i < 2 * LIVE_LOSERS; i++) // more than there are places for
		not_followed(sim.path, 1000 + i, (int64_t[]){1, HUGE});
	ship();
	assert_int_equal(sim.totals[PATH_HEAP][1], (3 * 5 + 2 * 4 + 2 * LIVE_LOSERS) * HUGE);
	path_heap_over(sim.path, 43);
	lost_gone(sim.path, 1000, false); // it executed another program
	ship();
	ship();
	assert_int_equal(sim.totals[PATH_HEAP][1],
	    (3 * 5 + 3 * 4 + 2 * LIVE_LOSERS + 2 * (2 * LIVE_LOSERS - 1)) * HUGE);
	sim_close();
}

// What found no room stood for as much as what did: of a block of a tenth of the period, ten times.
static void what_is_lost_has_its_weight(void **state)
{
	uint64_t counters[KERNEL_COUNTER_COUNT] = {0};
	(void)state;
	begin(-1);
	counters[KERNEL_ALLOC_LOST] = 200;
	counters[KERNEL_ALLOC_LOST_BYTES] = 200 * 100;
	alloc_losses(sim.path, counters);
	memcpy(sim.path->counters, counters, sizeof(counters));
	counters[KERNEL_ALLOC_LOST_BYTES] += HUGE;
	counters[KERNEL_ALLOC_LOST]++;
	alloc_losses(sim.path, counters);
	memcpy(sim.path->counters, counters, sizeof(counters));
	counters[KERNEL_ALLOC_MANY_BYTES] += HUGE;
	counters[KERNEL_ALLOC_MANY]++;
	alloc_losses(sim.path, counters);
	struct path_totals t;
	path_totals(sim.path, &t);
	ship();
	assert_in_range(sim.totals[PATH_ALLOCS][0], 2102, 2105); // 1/(1 - exp(-0.1)) is 10.508
	assert_in_range(sim.totals[PATH_ALLOCS][1] - 2 * HUGE, 210100, 210300);
	assert_int_equal(t.alloc_bytes, sim.totals[PATH_ALLOCS][1]);
	assert_true(holds(0, "allocs", "[lost: ring full]"));
	assert_true(holds(0, "allocs", "[lost: too many at a time]"));
	sim_close();
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	begin(-1);
	uint64_t bad = count_get(COUNT_RECORDS_BAD);
	feed(42, 0x1000, HUGE, ALLOC_FREE, LIBC);
	feed(42, 0x1000, UINT64_MAX, ALLOC_MALLOC, LIBC);
	feed(42, 0x1000, HUGE, ALLOC_KINDS, LIBC);
	assert_int_equal(count_get(COUNT_RECORDS_BAD), bad + 3);
	struct record r = {.kind = RECORD_FREE, .size = sizeof(r)};
	path_record(sim.path, &r);
	assert_int_equal(count_get(COUNT_RECORDS_BAD), bad + 4);
	feed(42, 0x1000, 0, ALLOC_MALLOC, LIBC);
	assert_int_equal(live_count(sim.path->live), 0);
	sim_close();
}

static bool job(void)
{
	if (!sim_open()) {
		sim_close();
		return false;
	}
	sim_turns();
	for (uint64_t i = 0; i < 20; i++)
		feed(42, 0x1000 + i * 16, HUGE, ALLOC_MALLOC, LIBC + i);
	feed_free(42, 0x1000);
	ship();
	feed_exit(42, 700);
	ship();
	sim_close();
	return true;
}

static void memory_may_end_anywhere(void **state)
{
	(void)state;
	begin(-1);
	sim_close();
	sim.dumps = false;
	text_free(&sim.dump);
	for (uint64_t n = 1;; n += 1 + n / 50) {
		mem_fail_at(n);
		bool ok = job();
		bool over = mem_fail_seen() < n;
		mem_fail_at(0);
		if (mem_used(ACCOUNT_PATH))
			fail_msg("allocation %lu: %lu bytes left", n, mem_used(ACCOUNT_PATH));
		assert_int_equal(mem_used(ACCOUNT_PROFILE), 0);
		if (over) {
			assert_true(ok);
			return;
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sim_setup, sim_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(what_is_live_is_told_by_window),
	    TEST(what_a_process_had_goes_with_it),
	    TEST(weights_add_up),
	    TEST(java_has_no_heap),
	    TEST(what_is_not_followed_is_told),
	    TEST(what_is_lost_has_its_weight),
	    TEST(nonsense_is_refused),
	    TEST(memory_may_end_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
