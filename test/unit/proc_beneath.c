// SPDX-License-Identifier: Apache-2.0
// Files beneath a root, by openat2 and by the walk that stands in for it: both must answer every
// path alike, and neither may ever come out of the root.
//
//   root/  etc/passwd  lib -> usr/lib  usr/lib/libfoo.so ...      beside it: outside (must never be
//   read)
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/proc/beneath.c"
#include "proc_fake.h"
#include <sys/mount.h>

static int root;

static int begin(void **state)
{
	int error = fake_begin(state);
	char path[128];
	fake_puts("outside", "OUTSIDE");
	fake_puts("root/etc/passwd", "inside");
	fake_puts("root/usr/lib/libfoo.so", "library");
	fake_puts("root/outside", "beneath");
	fake_link("root/lib", "usr/lib");
	fake_link("root/abs", "/usr/lib/libfoo.so");
	fake_link("root/abslib", "/usr/lib");
	fake_link("root/up", "../../../../outside");
	fake_link("root/usr/lib/up", "../../../outside");
	fake_link("root/usr/lib/deep", "../../abslib/../lib/./libfoo.so");
	fake_link("root/usr/lib/abs", "/etc/passwd");
	fake_link("root/dangling", "none");
	fake_link("root/self", "self");
	fake_link("root/loop1", "loop2");
	fake_link("root/loop2", "loop1");
	snprintf(path, sizeof(path), "%s/outside", fake_root);
	fake_link("root/escape", path);
	fake_link("root/escapedir", fake_root);
	fake_link("root/device", "/dev/zero");
	mkdir(fake_path("root/dev/"), 0755);
	mkfifo(fake_path("root/fifo"), 0600);
	fake_link("root/tofifo", "fifo");
	mknod(fake_path("root/dev/zero"), S_IFCHR | 0600, 1 << 8 | 5);
	mkdir(fake_path("root/proc/"), 0755);
	root = open(fake_path("root"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	openat2_missing = false;
	return error || root < 0;
}

static int end(void **state)
{
	close(root);
	openat2_missing = false;
	return fake_end(state);
}

// What proc_open_beneath says of PATH: the first bytes of the file, or the error.
static int look(const char *path, char content[16])
{
	memset(content, 0, 16);
	int fd = proc_open_beneath(root, path);
	if (fd < 0)
		return fd;
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(pread(fd, content, 15, 0) >= 0);
	close(fd);
	return 0;
}

static const struct {
	const char *path, *content;
	int error;
} cases[] = {
    {"etc/passwd", "inside", 0},
    {"/etc/passwd", "inside", 0},
    {"//etc/.//./passwd", "inside", 0},
    {"/lib/libfoo.so", "library", 0},
    {"/abs", "library", 0},
    {"/usr/lib/abs", "inside", 0},
    {"/abslib/libfoo.so", "library", 0},
    {"/usr/lib/deep", "library", 0},
    {"/lib/../lib/libfoo.so", "library", 0},
    {"../../../outside", "beneath", 0},
    {"/../outside", "beneath", 0},
    {"/usr/../../outside", "beneath", 0},
    {"/up", "beneath", 0},
    {"/lib/up", "beneath", 0},
    {"/lib/../../../../outside", "beneath", 0},
    {"/escape", "", -ENOENT},
    {"/escapedir/outside", "", -ENOENT},
    {"/dangling", "", -ENOENT},
    {"/none/none", "", -ENOENT},
    {"", "", -ENOENT},
    {"/etc/passwd/x", "", -ENOTDIR},
    {"/self", "", -ELOOP},
    {"/loop1", "", -ELOOP},
    {"/loop1/x", "", -ELOOP},
    {"/", "", -EINVAL},
    {".", "", -EINVAL},
    {"..", "", -EINVAL},
    {"/etc", "", -EINVAL},
    {"/fifo", "", -EINVAL},
    {"/tofifo", "", -EINVAL},
    {"/device", "", -EINVAL},
    {"/dev/zero", "", -EINVAL},
};

static void no_path_comes_out(void **state)
{
	(void)state;
	int before = fake_open_descriptors();
	for (int forced = 0; forced < 2; forced++) {
		openat2_missing = forced;
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			char content[16];
			int error = look(cases[i].path, content);
			if (error != cases[i].error || strcmp(content, cases[i].content))
				fail_msg("%s (%s): %d \"%s\"", cases[i].path,
				    forced ? "walk" : "openat2", error, content);
		}
	}
	assert_int_equal(fake_open_descriptors(), before);
}

static void the_walk_answers_as_openat2_does(void **state)
{
	(void)state;
	static const char *const names[] = {"..", ".", "", "usr", "lib", "abslib", "abs", "up",
	    "etc", "passwd", "libfoo.so", "escapedir", "loop1", "outside", "deep", "fifo",
	    "dangling", "none", "lib/.."};
	uint64_t seed = 5;
	int found = 0;
	for (int i = 0; i < 30000; i++) {
		char path[200] = "", content[2][16];
		seed = hash_mix(seed + 1);
		for (uint64_t n = seed % 6; n; n--) {
			seed = hash_mix(seed + 1);
			strcat(path, names[seed % (sizeof(names) / sizeof(names[0]))]);
			strcat(path, n > 1 || seed >> 62 == 0 ? "/" : "");
		}
		openat2_missing = false;
		int error = look(path, content[0]);
		openat2_missing = true;
		if (look(path, content[1]) != error || strcmp(content[0], content[1]))
			fail_msg("\"%s\": openat2 %d %s, walk %d %s", path, error, content[0],
			    look(path, content[1]), content[1]);
		found += !error;
	}
	assert_true(found > 300);
}

static void magic_links_are_refused(void **state)
{
	(void)state;
	char target[128], content[16];
	snprintf(target, sizeof(target), "%s", fake_path("root/proc"));
	if (mount("proc", target, "proc", 0, NULL))
		skip();
	int fd = open(fake_path("outside"), O_RDONLY), walked[2] = {0};
	for (int forced = 0; forced < 2; forced++) {
		openat2_missing = forced;
		char path[64];
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
		walked[forced] |= look(path, content) != -ELOOP;
		snprintf(path, sizeof(path), "/proc/%d/root/etc/hostname", getpid());
		walked[forced] |= look(path, content) != -ELOOP;
		snprintf(path, sizeof(path), "/proc/%d/cwd", getpid());
		walked[forced] |= look(path, content) != -ELOOP;
	}
	close(fd);
	umount(target);
	assert_false(walked[0]);
	assert_false(walked[1]);
}

static void long_and_deep_paths_end(void **state)
{
	(void)state;
	char content[16], path[6000] = "", name[300];
	for (int forced = 0; forced < 2; forced++) {
		openat2_missing = forced;
		memset(path, 'a', sizeof(path) - 1);
		assert_int_equal(look(path, content), -ENAMETOOLONG);
		memset(name, 'a', sizeof(name) - 1);
		name[299] = 0;
		assert_int_equal(look(name, content), -ENAMETOOLONG);
		// Links that each name the next one twice as deep.
		fake_link("root/chain0", "etc/passwd");
		for (int i = 1; i <= 45; i++) {
			char from[32], to[32];
			snprintf(from, sizeof(from), "root/chain%d", i);
			snprintf(to, sizeof(to), "./chain%d", i - 1);
			fake_link(from, to);
		}
		assert_int_equal(look("chain39", content), 0);
		assert_int_equal(look("chain40", content), -ELOOP);
	}
	openat2_missing = true;
	char deep[1000] = "root";
	for (int i = 0; i < 70; i++)
		strcat(deep, "/d");
	strcat(deep, "/file");
	fake_puts(deep, "deep");
	assert_int_equal(look(deep + 4, content), -ENAMETOOLONG);
	assert_int_equal(look(deep + 4 + 2 * 20, content), -ENOENT);
	openat2_missing = false;
	assert_int_equal(look(deep + 4, content), 0);
}

// A directory that is moved out of the root while a walk stands in it must not become a way out.
static void a_moved_directory_is_no_way_out(void **state)
{
	(void)state;
	struct walk w = {.at = {root}};
	assert_int_equal(descend(&w, "usr"), 0);
	assert_int_equal(descend(&w, "lib"), 0);
	char from[128], to[128];
	snprintf(from, sizeof(from), "%s", fake_path("root/usr/lib"));
	snprintf(to, sizeof(to), "%s", fake_path("stolen"));
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(descend(&w, ".."), 0);
	assert_int_equal(descend(&w, ".."), 0);
	assert_int_equal(descend(&w, ".."), 0);
	assert_int_equal(w.depth, 0);
	assert_int_equal(w.at[0], root);
}

static int count_listed(void *arg, const char *name)
{
	unsigned *counts = arg;
	counts[0]++;
	counts[1] += !strcmp(name, "libfoo.so");
	return counts[2] && counts[0] == counts[2];
}

static void a_directory_is_listed_within_bounds(void **state)
{
	(void)state;
	for (int missing = 0; missing < 2; missing++) {
		unsigned counts[3] = {0}, dots[3] = {0};
		openat2_missing = missing;
		assert_int_equal(proc_list_beneath(root, "/lib", count_listed, counts), 0);
		assert_int_equal(counts[1], 1);
		assert_int_equal(proc_list_beneath(root, "escapedir", count_listed, dots), -ENOENT);
		assert_int_equal(
		    proc_list_beneath(root, "/etc/passwd", count_listed, dots), -ENOTDIR);
		assert_int_equal(proc_list_beneath(root, "/fifo", count_listed, dots), -ENOTDIR);
		assert_int_equal(proc_list_beneath(root, "/none", count_listed, dots), -ENOENT);
		assert_int_equal(dots[0], 0);
		counts[0] = 0;
		counts[2] = 2;
		assert_int_equal(proc_list_beneath(root, "/lib", count_listed, counts), 0);
		assert_int_equal(counts[0], 2);
	}
	unsigned all[3] = {0};
	mkdir(fake_path("root/many/"), 0755);
	for (int i = 0; i < 5000; i++) {
		char name[64];
		snprintf(name, sizeof(name), "root/many/name-%04d-that-is-long", i);
		fake_link(name, "x");
	}
	assert_int_equal(proc_list_beneath(root, "many", count_listed, all), 0);
	assert_in_range(all[0], 1000, 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(no_path_comes_out, begin, end),
	    cmocka_unit_test_setup_teardown(the_walk_answers_as_openat2_does, begin, end),
	    cmocka_unit_test_setup_teardown(magic_links_are_refused, begin, end),
	    cmocka_unit_test_setup_teardown(a_directory_is_listed_within_bounds, begin, end),
	    cmocka_unit_test_setup_teardown(long_and_deep_paths_end, begin, end),
	    cmocka_unit_test_setup_teardown(a_moved_directory_is_no_way_out, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
