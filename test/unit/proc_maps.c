// SPDX-License-Identifier: Apache-2.0
// maps: lines as the kernel writes them, torn, huge and senseless ones, deleted files, and in
// slices.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/proc/maps.c"
#include "proc_fake.h"
#include <inttypes.h>

#define KEPT 16
struct got {
	struct proc_map maps[KEPT];
	char paths[KEPT][128];
	int count, stop_at;
};

static int keep(void *arg, const struct proc_map *map)
{
	struct got *g = arg;
	if (g->count < KEPT) {
		g->maps[g->count] = *map;
		text_copy(g->paths[g->count], sizeof(g->paths[0]), map->path);
	}
	return ++g->count == g->stop_at;
}

static struct proc *p;

static int begin(void **state)
{
	int error = fake_begin(state);
	p = proc_new(fake_root);
	return error || !p;
}

static int end(void **state)
{
	proc_free(p);
	return fake_end(state) || mem_used(ACCOUNT_PROC);
}

static int read_maps(const char *text, struct got *g)
{
	*g = (struct got){0};
	fake_puts("7/maps", text);
	return proc_maps(p, 7, keep, g);
}

static void fields_are_read(void **state)
{
	(void)state;
	struct got g;
	uint64_t reads = count_get(COUNT_MAPS_READS);
	assert_int_equal(
	    read_maps(
		"00400000-00452000 r-xp 00001000 08:02 173521      /usr/bin/db us\n"
		"7f00-7f10 rw-p 00000000 00:00 0 \n"
		"7f10-7f20 ---p 00000000 00:00 0\n"
		"7fff0000-7fff1000 r-xp 00000000 00:00 0                          [vdso]\n"
		"7fff2000-7fff3000 r--s 00000000 fff:fffff 18446744073709551615 "
		"/a\\012b\\012\\0123\n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0          [vsyscall]\n",
		&g),
	    6);
	assert_int_equal(count_get(COUNT_MAPS_READS), reads + 1);
	assert_int_equal(g.maps[0].start, 0x400000);
	assert_int_equal(g.maps[0].end, 0x452000);
	assert_int_equal(g.maps[0].offset, 0x1000);
	assert_int_equal(g.maps[0].inode, 173521);
	assert_int_equal(g.maps[0].dev_major, 8);
	assert_int_equal(g.maps[0].dev_minor, 2);
	assert_true(g.maps[0].executable);
	assert_string_equal(g.paths[0], "/usr/bin/db us");
	assert_false(g.maps[1].executable);
	assert_string_equal(g.paths[1], "");
	assert_string_equal(g.paths[2], "");
	assert_string_equal(g.paths[3], "[vdso]");
	assert_string_equal(g.paths[4], "/a\nb\n\n3");
	assert_int_equal(g.maps[4].inode, UINT64_MAX);
	assert_int_equal(g.maps[4].dev_minor, 0xfffff);
	assert_true(g.maps[5].executable);
	assert_int_equal(g.maps[5].start, 0xffffffffff600000);
}

static void bad_lines_are_counted_and_skipped(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "x", "1-", "1-2", "1-2 r-xp", "2-1 r-xp 0 0:0 0 /a",
	    "1-1 r-xp 0 0:0 0", "1-2 rxp 0 0:0 0", "1-2 r-xpp 0 0:0 0", "1-2 r-xp  0 0:0 0",
	    "1-2 r-xp 0 0 0 0", "1-2 r-xp 0 0:0", "1-2 r-xp 0 0:0 ", "1-2 r-xp 0 0:0 -1 /a",
	    "1-2 r-xp 0 0:100000000 1 /a", "1-11111111111111111 r-xp 0 0:0 0",
	    "-1-2 r-xp 0 0:0 0 /a", "1-2 r-xp 0 0:0 0x1 /a", "1-2\tr-xp 0 0:0 0", "\xff\xfe\x01",
	    "0x1-0x2 r-xp 0 0:0 0"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[256];
		snprintf(text, sizeof(text),
		    "1-2 r-xp 0 0:0 1 /first\n%s\n3-4 r-xp 0 0:0 1 /last\n", bad[i]);
		uint64_t before = count_get(COUNT_MAPS_BAD);
		struct got g;
		assert_int_equal(read_maps(text, &g), 2);
		assert_string_equal(g.paths[0], "/first");
		assert_string_equal(g.paths[1], "/last");
		assert_int_equal(count_get(COUNT_MAPS_BAD), before + 1);
	}
}

static void a_torn_line_gives_no_path(void **state)
{
	(void)state;
	struct got g;
	const char *text = "1-2 r-xp 0 0:0 1 /usr/lib/libfoo.so.1\n";
	char cut[64];
	for (size_t n = 1; n < strlen(text); n++) {
		text_copy(cut, n + 1, text);
		assert_int_equal(read_maps(cut, &g), 0);
	}
	assert_int_equal(read_maps(text, &g), 1);
}

static void long_paths(void **state)
{
	(void)state;
	for (int len = 4090; len < 9000; len += len == 4096 ? 500 : 1) {
		char text[9400], path[9001];
		memset(path, 'p', (size_t)len);
		path[0] = '/';
		path[len] = 0;
		snprintf(text, sizeof(text),
		    "7f12a4000000-7f12a4021000 r-xp 00002000 fe:01 18446744073709551615 %s\n3-4 "
		    "r-xp 0 0:0 1 /z\n",
		    path);
		struct got g;
		bool fits = len <= 4096;
		assert_int_equal(read_maps(text, &g), fits ? 2 : 1);
		assert_string_equal(g.paths[fits], "/z");
	}
}

static void deleted_is_told_from_a_name(void **state)
{
	(void)state;
	struct got g;
	fake_link("7/root", fake_root);
	fake_puts("tree/kept (deleted)", "");
	fake_puts("tree/gone", "");
	struct stat st;
	assert_int_equal(stat(fake_path("tree/kept (deleted)"), &st), 0);
	char text[512];
	snprintf(text, sizeof(text),
	    "1-2 r-xp 0 0:0 %llu /tree/kept (deleted)\n"
	    "2-3 r-xp 0 0:0 %llu /tree/kept (deleted)\n"
	    "3-4 r-xp 0 0:0 5 /tree/gone (deleted)\n"
	    "4-5 r-xp 0 0:0 5 /memfd:jit (deleted)\n"
	    "5-6 r-xp 0 0:0 5 /tree/gone(deleted)\n"
	    "6-7 r-xp 0 0:0 0 [x] (deleted)\n"
	    "7-8 r-xp 0 0:0 5 /tree/kept (deleted) (deleted)\n",
	    (unsigned long long)st.st_ino, (unsigned long long)st.st_ino + 1);
	int before = fake_open_descriptors();
	assert_int_equal(read_maps(text, &g), 7);
	static const struct {
		const char *path;
		bool deleted;
	} truth[] = {
	    {"/tree/kept (deleted)", false},
	    {"/tree/kept", true},
	    {"/tree/gone", true},
	    {"/memfd:jit", true},
	    {"/tree/gone(deleted)", false},
	    {"[x]", true},
	    {"/tree/kept (deleted)", true},
	};
	for (int i = 0; i < 7; i++) {
		assert_string_equal(g.paths[i], truth[i].path);
		assert_int_equal(g.maps[i].deleted, truth[i].deleted);
	}
	assert_int_equal(fake_open_descriptors(), before);
}

static void each_may_end_it(void **state)
{
	(void)state;
	struct got g = {.stop_at = 2};
	fake_puts("7/maps", "1-2 r-xp 0 0:0 1 /a\n2-3 r-xp 0 0:0 1 /b\n3-4 r-xp 0 0:0 1 /c\n");
	assert_int_equal(proc_maps(p, 7, keep, &g), 2);
	assert_int_equal(g.count, 2);
	assert_int_equal(proc_maps(p, 8, keep, &g), -ENOENT);
	assert_int_equal(mkdir(fake_path("9/maps/"), 0755), -1); // made by fake_path itself
	assert_int_equal(proc_maps(p, 9, keep, &g), -EISDIR);
	assert_int_equal(mkfifo(fake_path("10/maps"), 0600), 0);
	assert_int_equal(proc_maps(p, 10, keep, &g), -ESPIPE);
	fake_link("11/maps", "/dev/zero");
	assert_int_equal(proc_maps(p, 11, keep, &g), -ELOOP);
}

static int in_order(void *arg, const struct proc_map *map)
{
	uint64_t *next = arg;
	assert_int_equal(map->start, *next * 0x1000 + 0x1000);
	++*next;
	return 0;
}

static void huge_maps_come_in_slices(void **state)
{
	(void)state;
	enum { LINES = 70000 };
	FILE *f = fopen(fake_path("7/maps"), "w");
	for (int i = 0; i < LINES; i++)
		fprintf(f, "%08x-%08x rw-p 00000000 00:00 0 \n", 0x1000 + i * 0x1000,
		    0x2000 + i * 0x1000);
	fclose(f);
	uint64_t seen = 0;
	assert_int_equal(proc_maps(p, 7, in_order, &seen), LINES);
	assert_int_equal(seen, LINES);
	seen = 0;
	struct proc_maps_job *job = proc_maps_new(p, 7);
	int error, slices = 0;
	for (uint64_t last = 0; (error = proc_maps_step(job, 0, in_order, &seen)) == 1; slices++) {
		assert_in_range(seen - last, 1, LINES_BETWEEN_CLOCKS);
		last = seen;
	}
	assert_int_equal(error, 0);
	assert_int_equal(seen, LINES);
	assert_true(slices >= LINES / LINES_BETWEEN_CLOCKS - 1);
	assert_int_equal(proc_maps_step(job, 0, in_order, &seen), 0);
	proc_maps_free(job);
	proc_maps_free(NULL);
	mem_fail_at(1);
	assert_null(proc_maps_new(p, 7));
	assert_int_equal(errno, ENOMEM);
	mem_fail_at(0);
	assert_null(proc_maps_new(p, 8));
	assert_int_equal(errno, ENOENT);
}

static void noise_is_harmless(void **state)
{
	(void)state;
	static char noise[100000];
	uint64_t seed = 7;
	static const char letters[] = "0123456789abcdef-: rxp/\n\n\\012 (deleted)";
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < sizeof(noise); i++) {
			seed = hash_mix(seed + 1);
			noise[i] = round & 1 ? (char)seed : letters[seed % (sizeof(letters) - 1)];
		}
		fake_write("7/maps", noise, sizeof(noise));
		struct got g = {0};
		assert_true(proc_maps(p, 7, keep, &g) >= 0);
	}
}

struct self {
	uint64_t code;
	bool found;
};

static int find_code(void *arg, const struct proc_map *map)
{
	struct self *self = arg;
	if (self->code < map->start || self->code >= map->end)
		return 0;
	assert_true(map->executable);
	assert_string_equal(strrchr(map->path, '/') + 1, "proc_maps");
	self->found = true;
	return 1;
}

static void own_maps_hold_own_code(void **state)
{
	(void)state;
	struct proc *real = proc_new("/proc");
	struct self self = {.code = (uintptr_t)find_code};
	assert_true(proc_maps(real, (uint32_t)getpid(), find_code, &self) > 0);
	assert_true(self.found);
	proc_free(real);
}

#define FAKED(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    FAKED(fields_are_read),
	    FAKED(bad_lines_are_counted_and_skipped),
	    FAKED(a_torn_line_gives_no_path),
	    FAKED(long_paths),
	    FAKED(deleted_is_told_from_a_name),
	    FAKED(each_may_end_it),
	    FAKED(huge_maps_come_in_slices),
	    FAKED(noise_is_harmless),
	    cmocka_unit_test(own_maps_hold_own_code),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
