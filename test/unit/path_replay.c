// SPDX-License-Identifier: Apache-2.0
// What a path recorded comes out of another path the same: windows, stacks, names, losses. A tape
// that was cut gives what came before; one that lies ends there.
#include "path_sim.h"
#include "../../modules/path/replay.c"

#include <sys/mman.h>

#define APP 0x400000ull
#define MADE 0x7f0000000000ull // code made at run time

static char exe_maps[512]; // this program's own code, as /proc says it
static uint64_t exe_address;

__attribute__((noinline)) static int a_function_with_a_name(void)
{
	return (int)now;
}

static void find_exe(void)
{
	unsigned long start, end;
	FILE *f = fopen("/proc/self/maps", "r");
	exe_address = (uint64_t)(uintptr_t)a_function_with_a_name + 4;
	while (fgets(exe_maps, sizeof(exe_maps), f))
		if (sscanf(exe_maps, "%lx-%lx", &start, &end) == 2 && start <= exe_address &&
		    exe_address < end)
			break;
	fclose(f);
}

static int tape_fd(void)
{
	int fd = memfd_create("tape", MFD_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void feed_bad_sample(void)
{
	struct record_sample r = {
	    .head = {.kind = RECORD_SAMPLE, .size = sizeof(r), .time_ns = now},
	    .user_frames = 60000};
	sim.fed++;
	path_record(sim.path, &r.head);
}

static void feed_window(int round)
{
	const uint64_t own[] = {exe_address, exe_address, APP + 0x30};
	now += NS_PER_MS;
	feed_sample(42, 1, 700, "app", APP + 0x10);
	feed_stack(44, 1, 720, "own", own, 2);
	const uint64_t made[] = {MADE + 0x10, MADE + 0x20, APP + 0x70};
	feed_stack(44, 1, 720, "own", made, 3);
	feed_sample(50, 1, 900, "unknown", APP + 0x99);
	now += NS_PER_MS;
	if (round == 0) { // 42 becomes another program, in place
		feed_exec(42, "next");
		feed_sample(42, 1, 700, "next", APP + 0x20);
		feed_bad_sample();
	} else if (round == 1) { // its pid becomes another process
		feed_exit(42, 700);
		feed_sample(42, 1, 999, "reused", APP + 0x40);
		feed_exec(60, "short");
		feed_sample(60, 42, 1000, "short", APP + 0x50);
		feed_exit(60, 1000);
	}
}

// Records three windows onto FD; what they hold stays in sim.dump.
static void record_three(int fd)
{
	fakeproc_add(42, 1, "app", 700, "00400000-00500000 r-xp 00000000 08:01 5 /gone/app\n");
	char maps[1024];
	snprintf(maps, sizeof(maps),
	    "00400000-00500000 r-xp 00001000 08:01 6 /gone/lib.so\n%s"
	    "7f0000000000-7f0000100000 rwxp 00000000 00:00 0 \n",
	    exe_maps);
	fakeproc_add(44, 1, "own", 720, maps);
	fakeproc_write(44, "cgroup",
	    "0::/docker/0123456789012345678901234567890123456789012345678901234567890123\n");
	sim.dumps = true;
	assert_true(sim_make());
	assert_int_equal(sim_start(fd), 0);
	for (int round = 0; round < 3; round++) {
		feed_window(round);
		now += WINDOW;
		wall += WINDOW;
		path_flush(sim.path);
		feed_sample(
		    42, 1, round ? 999 : 700, "app", APP + 0x60); // between WINDOW and its names
		sim_turns();
	}
	sim_ship();
	if (!sim.options.filter)
		totals_match();
	assert_int_equal(tape_writer_close(sim.tape), 0);
}

static int replayed; // result, 1: not yet
static uint64_t replayed_to;

static void on_replayed(void *arg, int result)
{
	(void)arg;
	assert_int_equal(replayed, 1);
	replayed = result;
}

// Replays the first SIZE bytes of FD: the result of path_replay, or why it did not begin. sim is
// what came out.
static int replay(int fd, size_t size)
{
	char bytes[4096];
	int copy = tape_fd();
	for (size_t at = 0; at < size;) {
		ssize_t n = pread(
		    fd, bytes, size - at < sizeof(bytes) ? size - at : sizeof(bytes), (off_t)at);
		assert_int_equal(write(copy, bytes, (size_t)n), n);
		at += (size_t)n;
	}
	lseek(copy, 0, SEEK_SET);
	text_free(&sim.dump);
	sim.options.offline = true;
	replayed = 1;
	bool made = sim_make();
	struct tape_reader *r = tape_reader_new(copy);
	int error = r ? 0 : -errno;
	if (made && r)
		error = path_replay(sim.path, r, on_replayed, NULL);
	for (int i = 0; made && r && !error && replayed == 1 && i < 20000; i++)
		loop_turn(sim.loop);
	if (made && r && !error) {
		assert_int_not_equal(replayed, 1);
		assert_true(sim.path->over);
		error = replayed;
		replayed_to = path_replayed_to(sim.path);
	}
	sim_close();
	tape_reader_free(r);
	return made ? error : -ENOMEM;
}

static size_t tape_size(int fd)
{
	return (size_t)lseek(fd, 0, SEEK_END);
}

static void a_tape_gives_the_same_windows(void **state)
{
	(void)state;
	int fd = tape_fd();
	record_three(fd);
	struct text dump = sim.dump;
	uint64_t fed = sim.fed;
	sim.dump = TEXT(ACCOUNT_BASE);
	sim_close();
	assert_non_null(strstr(dump.at, "a_function_with_a_name"));
	assert_non_null(strstr(dump.at, "[lost: bad record]"));
	assert_non_null(strstr(dump.at, "[anon]  2 7f0000000010"));
	assert_non_null(
	    strstr(dump.at, "0123456789012345678901234567890123456789012345678901234567890123"));
	assert_int_equal(replay(fd, tape_size(fd)), 0);
	assert_string_equal(sim.dump.at, dump.at);
	assert_int_equal(sim.samples, fed);
	assert_int_equal(sim.nanoseconds, fed * PERIOD);
	assert_int_equal(replayed_to, wall);
	text_free(&dump);
	close(fd);
	sim_nothing_left();
}

// Frames of the tape in FD: offset of each, and what had passed before it.
struct passed {
	size_t at;
	int windows; // named ones
	uint64_t samples;
};

static uint32_t frames_in(int fd, struct passed *f, uint32_t most)
{
	struct tape_reader *r = tape_reader_new(dup(fd));
	uint32_t n = 0;
	uint16_t kind;
	const uint8_t *payload;
	size_t size;
	struct passed now_at = {.at = 12};
	for (f[n++] = now_at; tape_read(r, &kind, &payload, &size) == 1; f[n++] = now_at) {
		assert_true(n < most);
		struct record head;
		struct tape_lost lost;
		now_at.at += 12 + size;
		now_at.windows += kind == TAPE_NAMED;
		if (kind == TAPE_RECORD) {
			memcpy(&head, payload, sizeof(head));
			now_at.samples += head.kind == RECORD_SAMPLE;
		} else if (kind == TAPE_LOST) {
			memcpy(&lost, payload, sizeof(lost));
			now_at.samples += lost.count;
		}
	}
	tape_reader_free(r);
	return n;
}

// Bytes of the first N windows of a dump.
static size_t windows_of(const char *dump, int n)
{
	const char *at = dump;
	for (; n >= 0 && (at = strstr(at, "window ")); n--)
		at += n > 0;
	return at ? (size_t)(at - dump) : strlen(dump);
}

static void a_cut_tape_gives_what_came_before(void **state)
{
	(void)state;
	static struct passed frames[1000];
	int fd = tape_fd();
	record_three(fd);
	struct text dump = sim.dump;
	sim.dump = TEXT(ACCOUNT_BASE);
	sim_close();
	lseek(fd, 0, SEEK_SET);
	uint32_t count = frames_in(fd, frames, 1000);
	log_set_level(LOG_LEVEL_ERROR);
	for (uint32_t i = 0; i + 1 < count; i++) {
		const struct passed *f = &frames[i];
		size_t cuts[] = {f->at, f->at + 1, f->at + 11, f->at + 12, f[1].at - 1};
		for (int k = 0; k < 5; k++) {
			assert_int_equal(replay(fd, cuts[k]), -ENODATA);
			size_t same =
			    windows_of(dump.at, cuts[k] >= f[1].at ? f[1].windows : f->windows);
			assert_true(
			    !same || (sim.dump.len >= same && !memcmp(sim.dump.at, dump.at, same)));
			assert_int_equal(
			    sim.samples, cuts[k] >= f[1].at ? f[1].samples : f->samples);
		}
	}
	for (size_t size = 0; size < 12; size++)
		assert_int_equal(replay(fd, size), -EBADMSG);
	text_free(&dump);
	close(fd);
}

// A bit that fell over is found by the checksum: nothing after it is believed.
static void a_damaged_tape_ends_there(void **state)
{
	(void)state;
	int fd = tape_fd();
	record_three(fd);
	sim_close();
	size_t size = tape_size(fd);
	for (size_t at = 12; at < size; at += 97) {
		uint8_t byte, bad;
		assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
		bad = byte ^ 4;
		assert_int_equal(pwrite(fd, &bad, 1, (off_t)at), 1);
		int result = replay(fd, size); // a size may point beyond the file
		assert_true(result == -EBADMSG || result == -ENODATA);
		assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	}
	assert_int_equal(replay(fd, size), 0);
	close(fd);
}

struct fact {
	uint16_t kind;
	const void *at;
	size_t size;
	const char *text; // with its NUL, where there is one
};

// The result of a tape of a good META and then FACTS.
static int tell(const struct fact *facts, int count, bool meta)
{
	int fd = tape_fd();
	struct tape_writer *w = tape_writer_new(dup(fd));
	struct tape_meta m = {.version = TAPE_VERSION, .types = 1, .period_ns = PERIOD};
	if (meta)
		tape_write(w, TAPE_META, &m, sizeof(m), NULL, 0);
	for (int i = 0; i < count; i++)
		tape_write(w, facts[i].kind, facts[i].at, facts[i].size, facts[i].text,
		    facts[i].text ? strlen(facts[i].text) + 1 : 0);
	tape_writer_close(w);
	int result = replay(fd, tape_size(fd));
	close(fd);
	return result;
}

#define TELL(...)                                                                                  \
	tell((struct fact[]){__VA_ARGS__},                                                         \
	    sizeof((struct fact[]){__VA_ARGS__}) / sizeof(struct fact), true)
#define FACT(kind, ...)                                                                            \
	(struct fact)                                                                              \
	{                                                                                          \
		kind, __VA_ARGS__                                                                  \
	}

static void it_tells_how_far_it_went(void **state)
{
	(void)state;
	struct tape_meta m = {.version = TAPE_VERSION,
	    .types = 1,
	    .period_ns = PERIOD,
	    .wall_ns = 1700 * NS_PER_S,
	    .clock_ns = 50 * NS_PER_S};
	struct record r = {.kind = RECORD_EXIT, .size = sizeof(r), .time_ns = 53 * NS_PER_S},
		      before = r;
	struct tape_window window = {1700 * NS_PER_S, 10 * NS_PER_S};
	before.time_ns -= NS_PER_S; // of another CPU
	tell((struct fact[]){FACT(TAPE_META, &m, sizeof(m))}, 1, false);
	assert_int_equal(replayed_to, 0);
	struct fact facts[] = {FACT(TAPE_META, &m, sizeof(m)), FACT(TAPE_RECORD, &r, sizeof(r)),
	    FACT(TAPE_RECORD, &before, sizeof(r)), FACT(TAPE_WINDOW, &window, sizeof(window))};
	tell(facts, 3, false);
	assert_int_equal(replayed_to, 1703 * NS_PER_S);
	tell(facts, 4, false);
	assert_int_equal(replayed_to, 1710 * NS_PER_S);
}

static void facts_that_lie_end_it(void **state)
{
	(void)state;
	struct tape_meta other = {.version = TAPE_VERSION + 1, .types = 1, .period_ns = PERIOD},
			 idle = {.version = TAPE_VERSION, .types = 1},
			 typeless = {.version = TAPE_VERSION, .period_ns = PERIOD},
			 typeful = {.version = TAPE_VERSION,
			     .types = 1u << PATH_TYPE_COUNT,
			     .period_ns = PERIOD};
	struct tape_process one = {.id = 7, .pid = 42, .wanted = 1, .comm = "one"}, none = one,
			    high = one;
	none.id = 0;
	high.id = 0x80000000;
	struct tape_mapping map = {
	    .pid = 42, .kind = PLACE_FILE, .start = 0x1000, .end = 0x2000, .binary = 3};
	struct tape_mapping empty = map, wild = map, sections = map, id = map;
	empty.end = empty.start;
	wild.kind = 99;
	sections.facts.exec_count = ELF_EXEC_MAX + 1;
	id.facts.build_id_len = ELF_BUILD_ID_MAX + 1;
	struct tape_name name = {.address = 5,
			     .start = 0,
			     .end = 9,
			     .kind = PLACE_KERNEL,
			     .name_len = 3},
			 beside = name, longer = name, strange = name;
	beside.end = 5;
	longer.name_len = 4;
	strange.kind = 50;
	struct tape_lost lost = {.count = 5, .value = 5 * PERIOD},
			 huge = {.count = (1ull << 50) + 1},
			 long_time = {.value = (1ull << 50) + 1},
			 of_what = {.type = PATH_TYPE_COUNT};
	struct record r = {.kind = RECORD_EXIT, .size = 24};
	assert_int_equal(tell(&FACT(TAPE_META, &other, sizeof(other)), 1, false), -EPROTONOSUPPORT);
	assert_int_equal(tell(&FACT(TAPE_META, &idle, sizeof(idle)), 1, false), -EBADMSG);
	assert_int_equal(tell(&FACT(TAPE_META, &typeless, sizeof(idle)), 1, false), -EBADMSG);
	assert_int_equal(tell(&FACT(TAPE_META, &typeful, sizeof(idle)), 1, false), -EBADMSG);
	assert_int_equal(
	    tell(&FACT(TAPE_LOST, &lost, sizeof(lost), "[lost: x]"), 1, false), -EBADMSG);
	const struct fact bad[] = {
	    FACT(TAPE_META, &idle, sizeof(idle)),
	    FACT(TAPE_PROCESS, &none, sizeof(none)),
	    FACT(TAPE_PROCESS, &high, sizeof(high)),
	    FACT(TAPE_PROCESS, &one, sizeof(one) - 1),
	    FACT(TAPE_MAPPING, &empty, sizeof(map), "/x"),
	    FACT(TAPE_MAPPING, &wild, sizeof(map), "/x"),
	    FACT(TAPE_MAPPING, &sections, sizeof(map), "/x"),
	    FACT(TAPE_MAPPING, &id, sizeof(map), "/x"),
	    FACT(TAPE_MAPPING, &map, sizeof(map)),
	    FACT(TAPE_NAME, &beside, sizeof(name), "one\0"),
	    FACT(TAPE_NAME, &longer, sizeof(name), "one"),
	    FACT(TAPE_NAME, &strange, sizeof(name), "one"),
	    FACT(TAPE_NAME, &name, sizeof(name), "one"),
	    FACT(TAPE_LOST, &huge, sizeof(huge), "[lost: x]"),
	    FACT(TAPE_LOST, &long_time, sizeof(huge), "[lost: x]"),
	    FACT(TAPE_LOST, &of_what, sizeof(huge), "[lost: x]"),
	    FACT(TAPE_LOST, &lost, sizeof(lost), "main"),
	    FACT(TAPE_RECORD, &r, sizeof(r)),
	    FACT(0, NULL, 0),
	    FACT(99, NULL, 0),
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(tell(&bad[i], 1, true), -EBADMSG);
}

static void facts_that_contradict_end_it(void **state)
{
	(void)state;
	struct tape_process one = {.id = 7, .pid = 42, .wanted = 1, .comm = "one"}, moved = one;
	moved.pid = 43;
	struct tape_mapping map = {
	    .pid = 42, .kind = PLACE_FILE, .start = 0x1000, .end = 0x2000, .binary = 3};
	struct tape_lost lost = {.count = 5, .value = 5 * PERIOD};
	struct tape_window window = {1, 2};
	assert_int_equal(
	    TELL(FACT(TAPE_PROCESS, &one, sizeof(one)), FACT(TAPE_PROCESS, &moved, sizeof(moved))),
	    -EBADMSG);
	assert_int_equal(TELL(FACT(TAPE_WINDOW, &window, sizeof(window)),
			     FACT(TAPE_WINDOW, &window, sizeof(window))),
	    -EBADMSG);
	assert_int_equal(
	    TELL(FACT(TAPE_PROCESS, &one, sizeof(one)), FACT(TAPE_MAPPING, &map, sizeof(map), "/x"),
		FACT(TAPE_LOST, &lost, sizeof(lost), "[lost: x]"),
		FACT(TAPE_WINDOW, &window, sizeof(window)), FACT(TAPE_NAMED, NULL, 0)),
	    0);
	assert_int_equal(sim.samples, 5);
	assert_int_equal(sim.windows, 1);
}

static void what_was_not_wanted_is_not_on_the_tape(void **state)
{
	(void)state;
	char why[100];
	const char *names[] = {"app", NULL};
	struct filter *filter =
	    filter_new(&(struct filter_options){.names = names}, why, sizeof(why));
	int fd = tape_fd();
	sim.options.filter = filter;
	record_three(fd);
	struct path_totals t;
	path_totals(sim.path, &t);
	sim_close();
	assert_true(t.filtered > 0 && t.delivered > 0);
	sim.options.filter = NULL;
	assert_int_equal(replay(fd, tape_size(fd)), 0);
	assert_int_equal(sim.samples, t.delivered + t.lost);
	assert_null(strstr(sim.dump.at, "unknown"));
	filter_free(filter);
	close(fd);
}

static void it_can_be_left_in_the_middle(void **state)
{
	(void)state;
	int fd = tape_fd();
	record_three(fd);
	int64_t all = sim.samples;
	sim_close();
	text_free(&sim.dump);
	sim.options.offline = true;
	for (int turns = 0; turns < 12; turns++) {
		lseek(fd, 0, SEEK_SET);
		assert_true(sim_make());
		struct tape_reader *r = tape_reader_new(dup(fd));
		assert_int_equal(path_replay(sim.path, r, NULL, NULL), 0);
		for (int i = 0; i < turns; i++)
			loop_turn(sim.loop);
		path_flush(sim.path); // and none of these closes a window of the tape
		path_shrink(sim.path, 1);
		sim_finish(1000);
		assert_true(sim.samples <= all);
		path_flush(sim.path);
		sim_turns();
		text_free(&sim.dump);
		sim_close();
		tape_reader_free(r);
	}
	close(fd);
}

static void any_allocation_of_a_replay_may_fail(void **state)
{
	(void)state;
	int fd = tape_fd();
	record_three(fd);
	int64_t all = sim.samples;
	sim_close();
	size_t size = tape_size(fd);
	sim.dumps = false;
	bool over = false;
	for (uint64_t nth = 1; nth < 5000 && !over; nth++) {
		mem_fail_at(nth);
		int result = replay(fd, size);
		over = mem_fail_seen() < nth;
		mem_fail_at(0);
		assert_true(result == 0 || result == -ENOMEM);
		assert_int_equal(sim.samples, result ? 0 : all);
	}
	assert_true(over);
	sim_nothing_left();
	close(fd);
}

int main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	find_exe();
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_tape_gives_the_same_windows, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(
		a_cut_tape_gives_what_came_before, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(a_damaged_tape_ends_there, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(it_tells_how_far_it_went, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(facts_that_lie_end_it, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(facts_that_contradict_end_it, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(
		what_was_not_wanted_is_not_on_the_tape, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(it_can_be_left_in_the_middle, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(
		any_allocation_of_a_replay_may_fail, sim_setup, sim_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
