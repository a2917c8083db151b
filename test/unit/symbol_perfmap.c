// SPDX-License-Identifier: Apache-2.0
// Perf maps: every producer's lines, the latest line against a search through all of them, growth,
// rewriting, and files that are not what they should be.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "../../modules/symbol/perfmap.c"
#include "../../modules/symbol/perfmap_file.c"

static char root[] = "/tmp/telegen-perfmap-XXXXXX";
static char map_path[64];
static struct process process = {.pid = 4711, .ns_pid = 7};

static int set_up(void **state)
{
	(void)state;
	char tmp[64];
	if (!mkdtemp(root))
		return -1;
	snprintf(tmp, sizeof(tmp), "%s/tmp", root);
	snprintf(map_path, sizeof(map_path), "%s/tmp/perf-7.map", root);
	process.root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	process.euid = geteuid();
	return mkdir(tmp, 0755);
}

static int tear_down(void **state)
{
	(void)state;
	char tmp[64];
	snprintf(tmp, sizeof(tmp), "%s/tmp", root);
	unlink(map_path);
	close(process.root_fd);
	return rmdir(tmp) || rmdir(root);
}

static void write_map(const char *text, const char *mode)
{
	FILE *f = fopen(map_path, mode);
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

struct got {
	int times;
	uint64_t start, end;
	char name[512];
};
struct ask {
	struct got *got;
	struct map_seen seen;
	uint64_t bytes_max;
	uint64_t changed_start, changed_end;
	int changes;
	bool again, all_changed;
};

static void keep(void *arg, uint32_t index, const struct elf_symbol *symbol)
{
	struct got *g = ((struct ask *)arg)->got + index;
	g->times++;
	g->start = symbol->start;
	g->end = symbol->end;
	snprintf(g->name, sizeof(g->name), "%s", symbol->name ? symbol->name : "");
}

static void note_change(void *arg, uint64_t start, uint64_t end)
{
	struct ask *ask = arg;
	ask->changes++;
	ask->all_changed |= start == 0 && end == UINT64_MAX;
	ask->changed_start = start;
	ask->changed_end = end;
}

// Reads the map for ASK, whose answers so far are forgotten.
static struct perfmap *begin_map(struct ask *ask, const uint64_t *addresses, uint32_t count)
{
	struct perfmap_options options = {.process = &process,
	    .bytes_max = ask->bytes_max ? ask->bytes_max : 1 << 30,
	    .seen = ask->seen,
	    .fresh = !ask->again,
	    .addresses = addresses,
	    .count = count,
	    .found = keep,
	    .changed = note_change,
	    .arg = ask};
	memset(ask->got, 0, count * sizeof(*ask->got));
	ask->changes = 0;
	ask->all_changed = false;
	return perfmap_new(&options);
}

static int ask_map(struct ask *ask, const uint64_t *addresses, uint32_t count)
{
	struct perfmap *m = begin_map(ask, addresses, count);
	if (!m)
		return -errno;
	int steps = 0;
	while (perfmap_step(m, 0) == 1)
		assert_true(++steps < 1000000);
	ask->seen = perfmap_seen(m);
	perfmap_free(m);
	return 0;
}

static void every_producers_lines(void **state)
{
	(void)state;
	static const struct {
		const char *line, *name;
		uint64_t start, end;
	} good[] = {
	    {"00007F12A4C0B3F8 2A4 java/lang/String.hashCode()I_warm",
		"java/lang/String.hashCode()I", 0x7f12a4c0b3f8, 0x7f12a4c0b69c},
	    {"00007F12A4C0B3F8 2A4 a/B.c(Ljava/lang/Object;)V_very-hot_fsd",
		"a/B.c(Ljava/lang/Object;)V", 0x7f12a4c0b3f8, 0x7f12a4c0b69c},
	    {"00007F12A4C0B3F8 10 JIT virtual thunk", "JIT virtual thunk", 0x7f12a4c0b3f8,
		0x7f12a4c0b408},
	    {"0x00007f83ad1e5f80 0x0000000000000138 long Spin.fib(int)", "long Spin.fib(int)",
		0x7f83ad1e5f80, 0x7f83ad1e60b8},
	    {"0x00007f83ad1e5f80 0x0000000000000138 void Spin$$Lambda$1/0x00007fad94000c18.run()",
		"void Spin$$Lambda$1.run()", 0x7f83ad1e5f80, 0x7f83ad1e60b8},
	    {"0X1 0x2 a+0x00000000deadbeef.b", "a.b", 1, 3},
	    {"1 2 a/0x123.b", "a/0x123.b", 1, 3},
	    {"7fcde77c6180 180 JS:*fib /srv/app/s.js:1:13", "JS:*fib /srv/app/s.js:1:13",
		0x7fcde77c6180, 0x7fcde77c6300},
	    {"7ff1d2a557bc b py::fib:/srv/app/s.py\r", "py::fib:/srv/app/s.py", 0x7ff1d2a557bc,
		0x7ff1d2a557c7},
	    {"AbC    1\tname with  spaces ;$/ ", "name with  spaces ;$/", 0xabc, 0xabd},
	    {"10 0 stub", "stub", 0x10, 0x11},
	    {"10 1 lower_hot", "lower_hot", 0x10, 0x11},
	};
	static const char *const bad[] = {"", " ", "x", "10", "10 ", "10 20", "10 20 ", "10 20 \r",
	    " 10 20 a", "10 x a", "0x 1 a", "-1 2 a", "ffffffffffffffff 1 a",
	    "8000000000000000 8000000000000000 a", "11111111111111111 1 a", "1 11111111111111111 a",
	    "10,20,a", "10 0x a"};
	struct perfmap_entry e;
	char name[512];
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_true(perfmap_line(good[i].line, strlen(good[i].line), &e));
		assert_int_equal(e.start, good[i].start);
		assert_int_equal(e.end, good[i].end);
		assert_int_equal(e.openj9, i < 2);
		perfmap_name(&e, name, sizeof(name));
		assert_string_equal(name, good[i].name);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(perfmap_line(bad[i], strlen(bad[i]), &e));
	assert_true(perfmap_line("1 2 JS:~f", 9, &e) && e.interpreted);
	assert_true(perfmap_line("1 2 JS:*f", 9, &e) && !e.interpreted);
	assert_true(perfmap_line("1 2 a::~b", 9, &e) && !e.interpreted); // a destructor
	perfmap_line("1 2 abcdefghij", 14, &e);
	perfmap_name(&e, name, 5);
	assert_string_equal(name, "abcd");
}

// The name of the last line that covers each address, by looking through all lines.
static void the_latest_line_wins(void **state)
{
	(void)state;
	enum { LINES = 400, ADDRESSES = 80, SPACE = 4000 };
	static struct got got[ADDRESSES];
	static int truth[SPACE];
	for (uint64_t round = 0; round < 300; round++) {
		struct text t = TEXT(ACCOUNT_BASE);
		uint64_t seed = hash_mix(round + 1), addresses[ADDRESSES];
		int lines = (int)(seed % LINES);
		memset(truth, 0, sizeof(truth));
		for (int i = 1; i <= lines; i++) {
			seed = hash_mix(seed + 1);
			uint64_t start = seed % SPACE, size = (seed >> 20) % 60;
			if (seed >> 60 == 0) // now and then one that covers many others
				size *= 50;
			for (uint64_t a = start; a < start + (size ? size : 1) && a < SPACE; a++)
				truth[a] = i;
			text_printf(&t,
			    i % 3 ? "%llx %llx name %d\n" : "0x%016llX 0x%llX name %d\r\n",
			    (unsigned long long)(start + 0x10000), (unsigned long long)size, i);
		}
		text_puts(&t, "10000 ffff torn");
		write_map(t.at, "w");
		text_free(&t);
		for (uint64_t i = 0; i < ADDRESSES; i++)
			addresses[i] = 0x10000 + i * (SPACE / ADDRESSES) + seed % 50;
		struct ask ask = {.got = got};
		assert_int_equal(ask_map(&ask, addresses, ADDRESSES), 0);
		for (int i = 0; i < ADDRESSES; i++) {
			int line = truth[addresses[i] - 0x10000];
			char name[32];
			snprintf(name, sizeof(name), "name %d", line);
			assert_int_equal(got[i].times, 1);
			assert_string_equal(got[i].name, line ? name : "");
			assert_true(got[i].start <= addresses[i] && addresses[i] < got[i].end);
			// The answer holds for all of its range.
			for (uint64_t a = 0; a < SPACE; a++)
				if (a + 0x10000 >= got[i].start && a + 0x10000 < got[i].end)
					assert_int_equal(truth[a], line);
		}
	}
}

static void bytecode_names_only_what_nothing_else_does(void **state)
{
	(void)state;
	struct got got[2];
	struct ask ask = {.got = got};
	uint64_t addresses[] = {0x1010, 0x2010};
	write_map(
	    "1000 100 JS:*real s.js\n1000 100 JS:~bytecode s.js\n2000 100 JS:~native s.js\n", "w");
	assert_int_equal(ask_map(&ask, addresses, 2), 0);
	assert_string_equal(got[0].name, "JS:*real s.js");
	assert_string_equal(got[1].name, "JS:~native s.js");
	assert_int_equal(got[1].end, 0x2011); // machine code may lie beside it
}

// Of a map that is too long the last lines are read, and what was known of the others is no more.
static void only_so_much_is_read(void **state)
{
	(void)state;
	struct got got[2];
	struct ask ask = {.got = got, .bytes_max = 64};
	uint64_t addresses[] = {0x1010, 0x2010}, bad = count_get(COUNT_JIT_BAD);
	write_map("1000 100 first\n2000 100 second\n", "w");
	assert_int_equal(ask_map(&ask, addresses, 2), 0);
	assert_string_equal(got[0].name, "first");
	assert_int_equal(count_get(COUNT_JIT_BAD), bad);
	write_map("1000 100 later\n9000 10 aaaaaaaaaaaaaaaaaaaaaaaaaa\n"
		  "9000 10 bbbbbbbbbb\n2000 100 last\n",
	    "a");
	assert_int_equal(ask_map(&ask, addresses, 2), 0);
	assert_string_equal(got[0].name, ""); // not "first"
	assert_string_equal(got[1].name, "last");
	assert_int_equal(count_get(COUNT_JIT_BAD) - bad, 1);
	assert_true(ask.all_changed);
}

// Where too many addresses are covered again and again, no earlier line's name is given.
static void a_map_that_is_given_up_names_nothing(void **state)
{
	(void)state;
	struct got got[1];
	struct ask ask = {.got = got, .bytes_max = 1 << 20};
	uint64_t address = 0x1010;
	write_map("1000 100 early\n1000 100 late\n", "w");
	struct perfmap *m = begin_map(&ask, &address, 1);
	m->covered = COVER_MAX;
	while (perfmap_step(m, 0) == 1)
		;
	assert_int_equal(got[0].times, 1);
	assert_string_equal(got[0].name, "");
	assert_int_equal(got[0].end, 0);
	assert_int_equal(perfmap_seen(m).offset, strlen("1000 100 early\n"));
	perfmap_free(m);
}

static void only_the_tail_is_read_when_it_grew(void **state)
{
	(void)state;
	struct got got[1];
	struct ask ask = {.got = got};
	uint64_t old = 0x1010, late = 0x3010, symbols = count_get(COUNT_JIT_SYMBOLS);
	write_map("1000 100 old\n2000 10 other\n3000 1", "w"); // torn
	assert_int_equal(ask_map(&ask, &late, 1), 0);
	assert_string_equal(got[0].name, "");
	assert_int_equal(got[0].start, 0x2010);
	assert_int_equal(ask.changes, 2);
	assert_int_equal(ask.seen.offset, strlen("1000 100 old\n2000 10 other\n"));
	// The line ends now, and another came.
	write_map("00 late\n1000 80 newer\n", "a");
	ask.again = true;
	assert_int_equal(ask_map(&ask, &late, 1), 0);
	assert_string_equal(got[0].name, "late");
	assert_int_equal(ask.changes, 2); // of lines that were not known
	assert_int_equal(ask.changed_start, 0x1000);
	assert_int_equal(count_get(COUNT_JIT_SYMBOLS) - symbols, 4);
	// Nothing new: nothing is read, and nothing is said about the gaps.
	uint64_t nowhere = 0x9000;
	assert_int_equal(ask_map(&ask, &nowhere, 1), 0);
	assert_int_equal(got[0].times, 1);
	assert_int_equal(got[0].end, 0);
	assert_int_equal(ask.changes, 0);
	// An address that was never looked up needs it all, but known lines are no news.
	ask.again = false;
	assert_int_equal(ask_map(&ask, &old, 1), 0);
	assert_string_equal(got[0].name, "newer");
	assert_int_equal(ask.changes, 0);
	assert_int_equal(count_get(COUNT_JIT_SYMBOLS) - symbols, 4);
}

static void a_map_written_anew_is_read_anew(void **state)
{
	(void)state;
	struct got got[1];
	struct ask ask = {.got = got};
	uint64_t address = 0x1010;
	write_map("1000 100 before\n", "w");
	assert_int_equal(ask_map(&ask, &address, 1), 0);
	write_map("1000 100 afterwards\n2000 1 more\n", "w"); // same inode, longer
	ask.again = true;
	assert_int_equal(ask_map(&ask, &address, 1), 0);
	assert_string_equal(got[0].name, "afterwards");
	assert_int_equal(ask.changes, 2);
	write_map("1000 100 c\n", "w"); // shorter
	assert_int_equal(ask_map(&ask, &address, 1), 0);
	assert_string_equal(got[0].name, "c");
	unlink(map_path);
	write_map("5000 100 c\n1000 100 other file\n", "w");
	assert_int_equal(ask_map(&ask, &address, 1), 0);
	assert_string_equal(got[0].name, "other file");
}

static void a_map_that_changes_under_the_reading_gives_no_wrong_name(void **state)
{
	(void)state;
	struct got got[1];
	struct ask ask = {.got = got, .bytes_max = 1 << 20};
	uint64_t address = 0x1010;
	write_map("1000 100 right\n", "w");
	struct perfmap *m = begin_map(&ask, &address, 1);
	assert_int_equal(perfmap_step(m, 0), 1);
	while (!m->read_all)
		perfmap_step(m, 0);
	write_map("7000 100 wrong\n", "w");
	while (perfmap_step(m, 0) == 1)
		;
	assert_int_equal(got[0].times, 1);
	assert_string_equal(got[0].name, "");
	perfmap_free(m);
}

static void files_that_are_no_maps(void **state)
{
	(void)state;
	struct got got[1];
	struct ask ask = {.got = got};
	uint64_t address = 0x1010;
	struct process same = process;
	unlink(map_path);
	assert_int_equal(ask_map(&ask, &address, 1), -ENOENT);
	assert_int_equal(mkfifo(map_path, 0644), 0);
	assert_true(ask_map(&ask, &address, 1) < 0);
	unlink(map_path);
	assert_int_equal(symlink("/dev/zero", map_path), 0);
	assert_true(ask_map(&ask, &address, 1) < 0);
	unlink(map_path);
	assert_int_equal(mkdir(map_path, 0755), 0);
	assert_true(ask_map(&ask, &address, 1) < 0);
	rmdir(map_path);
	write_map("1000 100 of someone else\n", "w");
	if (geteuid() == 0) {
		process.euid = 1000; // root's maps are fine for everyone
		assert_int_equal(ask_map(&ask, &address, 1), 0);
		assert_int_equal(chown(map_path, 1001, 1001), 0);
		assert_int_equal(ask_map(&ask, &address, 1), -EPERM);
		assert_int_equal(chown(map_path, 1000, 1000), 0);
		assert_int_equal(ask_map(&ask, &address, 1), 0);
	}
	process = same;
	process.start_ticks = 1ull << 50; // it started after the map was written
	assert_true(ask_map(&ask, &address, 1) < 0);
	process = same;
	process.ns_pid = 0;
	assert_int_equal(ask_map(&ask, &address, 1), -ENOENT);
	process = same;
	process.root_fd = -1;
	assert_int_equal(ask_map(&ask, &address, 1), -ENOENT);
	process = same;
	static const char *const patterns[] = {
	    "/nowhere/{pid}-{pid}.map", "/{pid}{pid}{pid}{pid}/x", "/tmp/{pid}.map", NULL};
	char path[24], other[64];
	assert_int_equal(expand(patterns[0], 4711, path, 16), -ENAMETOOLONG);
	assert_int_equal(expand(patterns[2], 4711, path, sizeof(path)), 0);
	assert_string_equal(path, "/tmp/4711.map");
	assert_int_equal(expand("/tmp/<pid>.map", 4711, path, sizeof(path)), 0);
	assert_string_equal(path, "/tmp/4711.map");
	unlink(map_path);
	snprintf(other, sizeof(other), "%s/tmp/7.map", root);
	write_map("", "w");
	assert_int_equal(rename(map_path, other), 0);
	struct map_seen seen;
	uint64_t bytes;
	char found[64];
	int fd = perfmap_open(&process, patterns, found, sizeof(found), &seen, &bytes);
	assert_true(fd >= 0);
	assert_string_equal(found, "/tmp/7.map");
	close(fd);
	unlink(other);
}

static void what_is_no_map_is_called_by_its_name(void **state)
{
	(void)state;
	unlink(map_path);
	const char *path = "/tmp/perf-7.map";
	assert_null(reason(process.root_fd, path, -ENOENT));
	assert_int_equal(mkfifo(map_path, 0644), 0);
	assert_string_equal(reason(process.root_fd, path, -EINVAL), "a FIFO, not a file");
	unlink(map_path);
	assert_int_equal(mkdir(map_path, 0755), 0);
	assert_string_equal(reason(process.root_fd, path, -EINVAL), "a directory, not a file");
	rmdir(map_path);
	assert_int_equal(symlink("/nowhere", map_path), 0);
	assert_string_equal(
	    reason(process.root_fd, path, -ENOENT), "a symbolic link that leads nowhere");
	unlink(map_path);
	assert_int_equal(symlink("/tmp", map_path), 0);
	assert_string_equal(
	    reason(process.root_fd, path, -EINVAL), "a symbolic link to what is no file");
	unlink(map_path);
	assert_int_equal(symlink("perf-7.map", map_path), 0);
	assert_string_equal(
	    reason(process.root_fd, path, -ELOOP), "a symbolic link that goes round in a circle");
	unlink(map_path);
	assert_string_equal(reason(process.root_fd, path, -EPERM),
	    "it belongs neither to the process's user nor to root");
	assert_string_equal(reason(process.root_fd, path, -ESTALE), "it is older than the process");
	assert_string_equal(reason(process.root_fd, path, -EACCES), "Permission denied");
	assert_string_equal(reason(process.root_fd, path, -EINVAL), "not a file");
}

// The line itself, once: at most one a minute is written.
static void it_is_told(void **state)
{
	(void)state;
	struct got got[1];
	struct ask ask = {.got = got};
	uint64_t address = 0x1010;
	char said[512] = "";
	unlink(map_path);
	assert_int_equal(symlink("/nowhere", map_path), 0);
	int saved = dup(2), to = memfd_create("stderr", MFD_CLOEXEC);
	dup2(to, 2);
	log_set_level(LOG_LEVEL_INFO);
	int error = ask_map(&ask, &address, 1);
	log_set_level(LOG_LEVEL_ERROR);
	dup2(saved, 2);
	assert_true(pread(to, said, sizeof(said) - 1, 0) > 0);
	close(saved);
	close(to);
	unlink(map_path);
	assert_int_equal(error, -ENOENT);
	assert_string_equal(said,
	    "telegen: /tmp/perf-7.map of process 4711: a symbolic link that leads nowhere: its "
	    "JIT code stays unnamed\n");
}

static void garbage_is_counted_and_bounded(void **state)
{
	(void)state;
	static struct got got[300];
	struct ask ask = {.got = got};
	uint64_t addresses[300], bad = count_get(COUNT_JIT_BAD);
	struct text t = TEXT(ACCOUNT_BASE);
	text_puts(&t, "1000 100 a\nnonsense\n\n\r\n");
	for (int i = 0; i < 20000; i++)
		text_puts(&t, "3000 100 x");
	text_puts(&t, "\n2000 100 b\n");
	write_map(t.at, "w");
	for (uint64_t i = 0; i < 300; i++)
		addresses[i] = 0x1010 + i * 0x1000;
	assert_int_equal(ask_map(&ask, addresses, 2), 0);
	assert_string_equal(got[0].name, "a");
	assert_string_equal(got[1].name, "b");
	assert_int_equal(count_get(COUNT_JIT_BAD) - bad, 2);
	// Every line covers every address: it ends, and each address is answered once.
	text_reset(&t);
	for (int i = 0; i < 100000; i++)
		text_printf(&t, "0 ffffffff everything %d\n", i);
	write_map(t.at, "w");
	ask = (struct ask){.got = got};
	assert_int_equal(ask_map(&ask, addresses, 300), 0);
	for (int i = 0; i < 300; i++)
		assert_int_equal(got[i].times, 1);
	text_free(&t);
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	struct got got[1];
	uint64_t address = 0x1010;
	write_map("1000 100 a\n", "w");
	for (uint64_t n = 1;; n++) {
		struct ask ask = {.got = got};
		mem_fail_at(n);
		int result = ask_map(&ask, &address, 1);
		bool all_asked = mem_fail_seen() < n;
		mem_fail_at(0);
		assert_true(result == 0 || result == -ENOMEM);
		assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
		if (all_asked)
			break;
	}
}

int main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_is_told), // first: others have it said too
	    cmocka_unit_test(every_producers_lines),
	    cmocka_unit_test(the_latest_line_wins),
	    cmocka_unit_test(bytecode_names_only_what_nothing_else_does),
	    cmocka_unit_test(only_so_much_is_read),
	    cmocka_unit_test(a_map_that_is_given_up_names_nothing),
	    cmocka_unit_test(only_the_tail_is_read_when_it_grew),
	    cmocka_unit_test(a_map_written_anew_is_read_anew),
	    cmocka_unit_test(a_map_that_changes_under_the_reading_gives_no_wrong_name),
	    cmocka_unit_test(files_that_are_no_maps),
	    cmocka_unit_test(what_is_no_map_is_called_by_its_name),
	    cmocka_unit_test(garbage_is_counted_and_bounded),
	    cmocka_unit_test(every_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
