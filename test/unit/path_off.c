// SPDX-License-Identifier: Apache-2.0
// Time off the CPU: a stack first, its time later, in this window or another; time without a stack.
// All of it goes onto a tape too, and the replay must say the same.
#include "path_sim.h"
#include "../../modules/path/off.c"

#include <sys/mman.h>

#define LIBC 0x7f0000002010ull
#define TYPES (1u << PATH_CPU | 1u << PATH_OFF_CPU | 1u << PATH_WALL | 1u << PATH_MUTEX)

static int64_t told; // to the path
static uint32_t chance;
static uint8_t looked;
static uint32_t of = 42;

static void feed_off(
    uint32_t tid, uint32_t block, enum off_reason reason, uint64_t ns, uint64_t object)
{
	struct {
		struct record_sample r;
		uint64_t frames[2];
	} s = {.r = {.head = {.kind = RECORD_SAMPLE, .size = sizeof(s), .time_ns = now},
		   .start_ns = 700 * TICK,
		   .value = ns,
		   .object = object,
		   .pid = of,
		   .tid = tid,
		   .ppid = 1,
		   .exec_pages = 1,
		   .mnt_ns = 1,
		   .source = SOURCE_OFF_CPU,
		   .block = block,
		   .reason = reason,
		   .looked = looked,
		   .user_frames = block ? 2 : 0,
		   .walk_end = WALK_END_COMPLETE,
		   .comm = "worker",
		   .process_comm = "app"},
	    .frames = {LIBC, LIBC + 0x100}};
	if (!block)
		s.r.head.size = sizeof(s.r);
	told += (int64_t)ns;
	path_record(sim.path, &s.r.head);
}

static void feed_block(uint32_t tid, uint32_t block, enum off_reason reason, uint64_t blocked,
    uint64_t runnable, bool last)
{
	struct record_block b = {.head = {.kind = RECORD_BLOCK, .size = sizeof(b), .time_ns = now},
	    .blocked_ns = blocked,
	    .runnable_ns = runnable,
	    .whole_ns = blocked + runnable,
	    .pid = of,
	    .tid = tid,
	    .block = block,
	    .count = 1,
	    .chance = chance,
	    .reason = reason,
	    .last = last};
	told += (int64_t)(blocked + runnable);
	path_record(sim.path, &b.head);
}

static void begin(int fd)
{
	told = 0;
	chance = BLOCK_CHANCE_ONE;
	looked = 0;
	sim.dumps = true;
	sim.options.types = TYPES;
	fakeproc_add(
	    42, 1, "app", 700, "7f0000002000-7f0000003000 r-xp 00000000 08:01 5 /gone/libc\n");
	assert_true(sim_make());
	assert_int_equal(sim_start(fd), 0);
	sim_turns();
}

static void replayed_is_the_same(int fd)
{
	sim.options.types = sim.options.wakers = 0; // the tape says
	sim_replays_the_same(fd);
	assert_int_equal(sim.totals[PATH_OFF_CPU][1], told);
}

// Does the Nth of the windows of type NAME that hold something hold WHAT?
static bool row(int n, const char *name, const char *what)
{
	char head[32];
	snprintf(head, sizeof(head), "window %s ", name);
	for (const char *at = strstr(sim.dump.at, head); at; at = strstr(at + 1, head)) {
		const char *rows = strchr(at, '\n') + 1, *end = strstr(rows, "window ");
		if (rows == end || !*rows || n--)
			continue;
		const char *found = strstr(rows, what);
		return found && (!end || found < end);
	}
	return false;
}

static void a_block_goes_on_over_windows(void **state)
{
	(void)state;
	int fd = memfd_create("tape", 0);
	begin(fd);
	feed_off(43, 7, OFF_SLEEP, 0, 0);
	feed_block(43, 7, OFF_SLEEP, 3 * NS_PER_S, 0, false);
	sim_ship();
	assert_int_equal(sim.totals[PATH_OFF_CPU][1], 3 * NS_PER_S);
	feed_block(43, 7, OFF_SLEEP, 10 * NS_PER_S, 0, false);
	sim_ship();
	feed_block(43, 7, OFF_SLEEP, NS_PER_S, 5 * NS_PER_MS, true);
	feed_block(43, 7, OFF_SLEEP, 2 * NS_PER_S, 0, true); // it is over: this is of no stack
	sim_ship();
	for (int window = 0; window < 3; window++)
		assert_true(row(window, "offcpu",
		    "[sleep]  3 0  |[libc+0x10]  0 10 /gone/libc |"
		    "[libc+0x10f]  0 10f /gone/libc"));
	assert_true(row(2, "offcpu", "[scheduler]  3 0  |[libc+0x10]"));
	assert_true(row(2, "offcpu", "[blocks whose stack was lost]"));
	assert_false(row(1, "offcpu", "[scheduler]"));
	assert_int_equal(sim.totals[PATH_OFF_CPU][1], told);
	assert_int_equal(sim.totals[PATH_WALL][0], told);
	assert_int_equal(sim.totals[PATH_OFF_CPU][0], 4);
	replayed_is_the_same(fd);
	close(fd);
}

static void time_that_no_stack_bears(void **state)
{
	(void)state;
	int fd = memfd_create("tape", 0);
	begin(fd);
	feed_off(43, 0, OFF_SHORT, 40 * NS_PER_MS, 2000);
	feed_off(44, 0, OFF_UNSAMPLED, 70 * NS_PER_MS, 3);
	feed_sample(42, 1, 700, "app", LIBC);
	sim_ship();
	assert_true(row(0, "offcpu", "[short blocks]"));
	assert_true(row(0, "offcpu", "[blocks not sampled]"));
	assert_int_equal(sim.totals[PATH_OFF_CPU][0], 2003);
	assert_int_equal(sim.totals[PATH_OFF_CPU][1], 110 * NS_PER_MS);
	assert_int_equal(sim.totals[PATH_WALL][0], 110 * NS_PER_MS + PERIOD);
	assert_int_equal(sim.totals[PATH_CPU][1], PERIOD);
	replayed_is_the_same(fd);
	close(fd);
}

static void locks_have_a_profile(void **state)
{
	(void)state;
	int fd = memfd_create("tape", 0);
	sim.options.lock_min_ns = 2 * NS_PER_MS;
	begin(fd);
	feed_off(45, 1, OFF_MUTEX, 0, 0x1234);
	feed_block(45, 1, OFF_MUTEX, NS_PER_MS, 0, true); // too short to count there
	feed_off(43, 1, OFF_MUTEX, 0, 0x1234);
	feed_block(43, 1, OFF_MUTEX, 20 * NS_PER_MS, NS_PER_MS, true);
	feed_off(44, 1, OFF_IO, 0, 0);
	feed_block(44, 1, OFF_IO, 20 * NS_PER_MS, 0, true);
	sim_ship();
	assert_int_equal(sim.totals[PATH_MUTEX][0], 1);
	assert_int_equal(sim.totals[PATH_MUTEX][1], 20 * NS_PER_MS);
	assert_true(row(0, "mutex", "lockAddress=0x1234"));
	assert_true(row(0, "mutex", "lockClass=futex")); // of frames without names
	assert_true(row(0, "offcpu", "reason=mutex"));
	assert_true(row(0, "offcpu", "reason=scheduler"));
	replayed_is_the_same(fd);
	close(fd);
}

// Nanoseconds of a thread for a reason in the first window of offcpu that holds something.
static int64_t ns_of(uint32_t tid, const char *reason)
{
	char what[64];
	int64_t sum = 0;
	snprintf(what, sizeof(what), "42 %u ", tid);
	const char *at = strstr(sim.dump.at, "window offcpu ");
	for (at = at ? strchr(at, '\n') : NULL; at && strncmp(at + 1, "window", 6);
	     at = strchr(at + 1, '\n')) {
		size_t n = strcspn(at + 1, "\n");
		char *line = strndup(at + 1, n);
		if (!strncmp(line, what, strlen(what)) && strstr(line, reason))
			sum += strtoll(strrchr(line, ' '), NULL, 10);
		free(line);
	}
	return sum;
}

// What no stack bears is dealt out as what the stacks stand for.
static void the_rest_is_dealt_out(void **state)
{
	(void)state;
	int fd = memfd_create("tape", 0);
	begin(fd);
	chance = BLOCK_CHANCE_ONE / 4; // each stands for three more
	feed_off(43, 1, OFF_SLEEP, 0, 0);
	feed_block(43, 1, OFF_SLEEP, 20 * NS_PER_MS, 0, true);
	feed_off(43, 5, OFF_MUTEX, 0, 0x1234);
	feed_block(43, 5, OFF_MUTEX, 10 * NS_PER_MS, 10 * NS_PER_MS, true);
	feed_off(43, 0, OFF_UNSAMPLED, 80 * NS_PER_MS, 8);
	// More than twice as much as is likely: the rest stays what it is.
	feed_off(44, 9, OFF_SLEEP, 0, 0);
	feed_block(44, 9, OFF_SLEEP, 10 * NS_PER_MS, 0, true);
	feed_off(44, 0, OFF_UNSAMPLED, 100 * NS_PER_MS, 10);
	// Dealt out once.
	feed_off(44, 0, OFF_UNSAMPLED, 7 * NS_PER_MS, 30);
	// The number of a thread that has ended: this one is another process's, which nobody knows.
	feed_off(47, 9, OFF_SLEEP, 0, 0);
	feed_block(47, 9, OFF_SLEEP, 10 * NS_PER_MS, 0, true);
	of = 48;
	feed_off(47, 0, OFF_UNSAMPLED, 5 * NS_PER_MS, 5);
	of = 42;
	// All of it a wait for a CPU, and nothing of it: no share.
	feed_off(49, 9, OFF_SLEEP, 0, 0);
	feed_block(49, 9, OFF_SLEEP, 0, 0, true);
	feed_off(49, 0, OFF_UNSAMPLED, 5 * NS_PER_MS, 5);
	// A thread without any: as the first blocks of its like.
	feed_off(45, 0, OFF_UNSAMPLED, 40 * NS_PER_MS, 1);
	feed_off(46, 0, OFF_UNSAMPLED, 40 * NS_PER_MS, 5); // it is no new one
	sim_ship();
	assert_int_equal(ns_of(43, "reason=sleep"), 60 * NS_PER_MS);
	assert_int_equal(ns_of(43, "reason=mutex"), 30 * NS_PER_MS);
	assert_int_equal(ns_of(43, "reason=scheduler"), 30 * NS_PER_MS);
	assert_int_equal(ns_of(43, "reason=blocks not sampled"), 0);
	assert_int_equal(ns_of(44, "reason=sleep"), 70 * NS_PER_MS);
	assert_int_equal(ns_of(44, "reason=blocks not sampled"), 47 * NS_PER_MS);
	assert_int_equal(ns_of(45, "reason=sleep"), 40 * NS_PER_MS);
	assert_int_equal(ns_of(46, "reason=blocks not sampled"), 40 * NS_PER_MS);
	assert_int_equal(ns_of(47, "reason=sleep"), 10 * NS_PER_MS);
	assert_non_null(strstr(sim.dump.at, "48 47 worker app  reason=blocks not sampled"));
	assert_int_equal(ns_of(49, "reason=blocks not sampled"), 5 * NS_PER_MS);
	assert_true(row(0, "mutex", "lockAddress=0x1234"));
	assert_int_equal(sim.totals[PATH_OFF_CPU][1], told);
	assert_int_equal(sim.totals[PATH_WALL][0], told);
	assert_int_equal(sim.totals[PATH_OFF_CPU][0], 5 + 8 + 10 + 30 + 5 + 5 + 1 + 5);
	// Nothing of it is left in the next window.
	feed_off(43, 0, OFF_UNSAMPLED, 9 * NS_PER_MS, 9);
	sim_ship();
	assert_true(row(1, "offcpu", "[blocks not sampled]"));
	replayed_is_the_same(fd);
	close(fd);
}

// A look's stack of block 7 comes while what was before waits in the ring.
static void looks_are_ahead_of_the_ring(void **state)
{
	(void)state;
	begin(-1);
	looked = 1;
	feed_off(43, 7, OFF_SLEEP, 0, 0);
	looked = 0;
	feed_off(43, 6, OFF_IO, 0, 0);
	feed_block(43, 6, OFF_IO, 3 * NS_PER_MS, 0, true);
	feed_block(43, 7, OFF_SLEEP, 5 * NS_PER_MS, 0, true);
	// Taken again, with rows that were missing; the gate had it, too.
	feed_off(43, 8, OFF_IO, 0, 0);
	looked = 1;
	feed_off(43, 8, OFF_IO, 0, 0);
	feed_off(43, 8, OFF_IO, 0, 0);
	feed_block(43, 8, OFF_IO, 4 * NS_PER_MS, 0, true);
	feed_block(43, 8, OFF_IO, 4 * NS_PER_MS, 0, true); // it is over
	sim_ship();
	assert_int_equal(ns_of(43, "reason=sleep"), 5 * NS_PER_MS);
	assert_int_equal(ns_of(43, "reason=io"), 7 * NS_PER_MS);
	assert_true(row(0, "offcpu", "[blocks whose stack was lost]"));
	assert_int_equal(sim.totals[PATH_OFF_CPU][1], told);
	sim_close();
}

// Who ends block BLOCK of thread TID, in another process than that.
static void feed_waker(uint32_t tid, uint32_t block, enum waker_kind kind)
{
	struct {
		struct record_sample r;
		uint64_t frames[2];
	} s = {.r = {.head = {.kind = RECORD_SAMPLE, .size = sizeof(s), .time_ns = now},
		   .start_ns = 710 * TICK,
		   .object = 42ull << 32 | tid,
		   .pid = 52,
		   .tid = 53,
		   .ppid = 1,
		   .exec_pages = 1,
		   .mnt_ns = 1,
		   .source = SOURCE_WAKER,
		   .block = block,
		   .reason = kind,
		   .user_frames = 2,
		   .walk_end = WALK_END_NO_CALLER,
		   .comm = "0123456789abcdef", // no NUL
		   .process_comm = "feeders"},
	    .frames = {LIBC + 0x200, LIBC + 0x300}};
	if (kind == WAKER_INTERRUPT)
		s.r = (struct record_sample){.head = s.r.head,
		    .object = s.r.object,
		    .source = SOURCE_WAKER,
		    .block = block,
		    .reason = kind};
	path_record(sim.path, &s.r.head);
}

#define OWN "[libc+0x10]  0 10 /gone/libc |[libc+0x10f]  0 10f /gone/libc"
#define WAKER                                                                                      \
	"[libc+0x210]  0 210 /gone/libc |[libc+0x30f]  0 30f /gone/libc |"                         \
	"[truncated: no caller]  3 0  |"

static void ends_of_waits(bool are_told)
{
	const struct {
		enum off_reason reason;
		enum waker_kind kind;
	} waits[] = {
	    {OFF_CHANNEL, WAKER_THREAD}, {OFF_MUTEX, WAKER_THREAD}, {OFF_SLEEP, WAKER_INTERRUPT}};
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t tid = 43 + i;
		feed_off(tid, 7, waits[i].reason, 0, 0x1234);
		feed_block(tid, 7, waits[i].reason, 2 * NS_PER_MS, 0, false); // not woken yet
		if (are_told) {
			feed_waker(tid, 6, waits[i].kind); // of a block that is over
			feed_waker(tid, 7, waits[i].kind);
			feed_waker(tid, 7, WAKER_INTERRUPT); // once is enough
		}
		feed_block(tid, 7, waits[i].reason, 20 * NS_PER_MS, NS_PER_MS, true);
		chance = BLOCK_CHANCE_ONE / 4;
		feed_off(tid, 8, waits[i].reason, 0, 0x1234);
		if (are_told)
			feed_waker(tid, 8, waits[i].kind);
		feed_block(tid, 8, waits[i].reason, 10 * NS_PER_MS, 0, true);
		feed_off(tid, 0, OFF_UNSAMPLED, 30 * NS_PER_MS, 3); // as block 8
		chance = BLOCK_CHANCE_ONE;
	}
	sim_ship();
}

static void begin_wakers(int fd, uint32_t types)
{
	fakeproc_add(
	    52, 1, "feeders", 710, "7f0000002000-7f0000003000 r-xp 00000000 08:01 5 /gone/libc\n");
	sim.options.wakers = types;
	begin(fd);
}

// Who ends a wait stands between its stack and its reason; of all else nothing changes.
static void wakers_are_told_where_they_are_asked_for(void **state)
{
	(void)state;
	int64_t totals[PATH_TYPE_COUNT][2];
	int fd = memfd_create("tape", 0);
	begin_wakers(-1, 0);
	ends_of_waits(false);
	memcpy(totals, sim.totals, sizeof(totals));
	assert_null(strstr(sim.dump.at, " by "));
	text_free(&sim.dump);
	sim_close();
	begin_wakers(fd, 1u << PATH_OFF_CPU | 1u << PATH_MUTEX);
	ends_of_waits(true);
	assert_memory_equal(totals, sim.totals, sizeof(totals));
	assert_int_equal(sim.totals[PATH_OFF_CPU][1], told);
	assert_true(
	    row(0, "offcpu", "[channel]  3 0  |" WAKER "[woken by 0123456789abcdef]  3 0  |" OWN));
	assert_true(row(0, "offcpu", "[channel]  3 0  |" OWN));
	assert_true(row(
	    0, "offcpu", "[scheduler]  3 0  |" WAKER "[woken by 0123456789abcdef]  3 0  |" OWN));
	assert_true(row(0, "offcpu", "[sleep]  3 0  |[woken by an interrupt]  3 0  |" OWN));
	assert_true(row(0, "mutex", WAKER "[held by 0123456789abcdef]  3 0  |" OWN));
	assert_false(row(0, "wall", "woken"));
	// What was dealt out went to who had ended what it is like.
	int64_t dealt = 0;
	for (const char *at = sim.dump.at; (at = strstr(at, "reason=channel"));) {
		size_t n = strcspn(at, "\n");
		char *line = strndup(at, n);
		if (strstr(line, "[woken by "))
			dealt += strtoll(strrchr(line, ' '), NULL, 10);
		free(line);
		at += n;
	}
	assert_int_equal(dealt, 60 * NS_PER_MS);
	replayed_is_the_same(fd);
	close(fd);
}

static void wakers_that_nobody_asked_for(void **state)
{
	(void)state;
	begin_wakers(-1, 0);
	ends_of_waits(true);
	assert_null(strstr(sim.dump.at, " by "));
	uint64_t bad = count_get(COUNT_RECORDS_BAD);
	feed_waker(43, 7, WAKER_NONE);
	feed_waker(43, 7, WAKER_UNTOLD);
	feed_waker(43, 7, 99);
	assert_int_equal(count_get(COUNT_RECORDS_BAD), bad + 3);
	sim_close();
}

// Sent by a kernel that nobody has, or found on a tape.
static void records_that_make_no_sense(void **state)
{
	(void)state;
	begin(-1);
	uint64_t bad = count_get(COUNT_RECORDS_BAD);
	feed_block(43, 0, OFF_SLEEP, 5, 0, true);
	feed_block(43, 1, OFF_SHORT, 5, 0, true);
	feed_block(43, 1, 200, 5, 0, true);
	feed_block(43, 1, OFF_SLEEP, 1ull << 60, 0, true);
	feed_block(43, 1, OFF_SLEEP, 0, 1ull << 60, true);
	chance = 0;
	feed_block(43, 1, OFF_SLEEP, 5, 0, true);
	chance = BLOCK_CHANCE_ONE + 1;
	feed_block(43, 1, OFF_SLEEP, 5, 0, true);
	feed_off(43, 0, OFF_SLEEP, 5, 0);
	feed_off(43, 1, OFF_SHORT, 5, 0);
	feed_off(43, 1, 200, 5, 0);
	feed_off(43, 0, OFF_SHORT, 1ull << 60, 0);
	feed_off(43, 0, OFF_SHORT, 5, 1ull << 60);
	assert_int_equal(count_get(COUNT_RECORDS_BAD), bad + 12);
	sim_ship();
	assert_int_equal(sim.totals[PATH_OFF_CPU][1], 0);
	sim_close();
}

static void a_type_is_left_out(void **state)
{
	(void)state;
	sim.options.types = TYPES;
	assert_true(sim_make());
	path_leave_out(sim.path, TYPES & ~(1u << PATH_CPU));
	assert_int_equal(path_start(sim.path, NULL), 0);
	sim_turns();
	sim_ship();
	assert_true(sim.windows > 0);
	sim_close();
}

static void any_allocation_may_fail(void **state)
{
	(void)state;
	bool over = false;
	for (uint64_t nth = 1; nth < 5000 && !over; nth++) {
		told = 0;
		chance = BLOCK_CHANCE_ONE / 2;
		sim.options.types = sim.options.wakers = TYPES;
		mem_fail_at(nth);
		bool opened = sim_open();
		if (opened) {
			sim_turns();
			feed_off(43, 1, OFF_MUTEX, 0, 0x1234);
			feed_block(43, 1, OFF_MUTEX, NS_PER_S, 0, false);
			sim_ship();
			feed_waker(43, 1, WAKER_THREAD);
			feed_block(43, 1, OFF_MUTEX, NS_PER_S, NS_PER_MS, true);
			feed_off(43, 0, OFF_UNSAMPLED, 2 * NS_PER_S, 3);
			sim_ship();
		}
		over = mem_fail_seen() < nth;
		mem_fail_at(0);
		if (opened) {
			sim_ship();
			assert_int_equal(sim.totals[PATH_OFF_CPU][1], told);
			assert_int_equal(sim.totals[PATH_WALL][0], told);
		}
		sim_close();
		assert_int_equal(mem_used(ACCOUNT_PATH) + mem_used(ACCOUNT_PROFILE), 0);
	}
	assert_true(over);
}

int main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_block_goes_on_over_windows, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(time_that_no_stack_bears, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(locks_have_a_profile, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(the_rest_is_dealt_out, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(looks_are_ahead_of_the_ring, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(
		wakers_are_told_where_they_are_asked_for, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(wakers_that_nobody_asked_for, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(records_that_make_no_sense, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(a_type_is_left_out, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(any_allocation_may_fail, sim_setup, sim_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
