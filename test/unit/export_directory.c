// SPDX-License-Identifier: Apache-2.0
// The directory of windows: names, the bound, what is never removed, leftovers, a full disk.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profiles.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "../../modules/export/directory.c"

static char place[64];

static int make_place(void **state)
{
	(void)state;
	strcpy(place, "/tmp/telegen-directory-XXXXXX");
	return mkdtemp(place) ? 0 : -1;
}

static int remove_place(void **state)
{
	(void)state;
	char command[100];
	snprintf(command, sizeof(command), "rm -rf %s", place);
	return system(command);
}

static void put_file(const char *name, size_t size)
{
	char path[200];
	snprintf(path, sizeof(path), "%s/%s", place, name);
	FILE *f = fopen(path, "w");
	for (size_t i = 0; i < size; i++)
		fputc('x', f);
	fclose(f);
}

static bool has(const char *name)
{
	char path[200];
	snprintf(path, sizeof(path), "%s/%s", place, name);
	return access(path, F_OK) == 0;
}

static uint32_t files(void)
{
	uint32_t n = 0;
	DIR *d = opendir(place);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
	closedir(d);
	return n;
}

static struct directory *open_place(uint64_t max)
{
	char why[200] = "";
	struct directory *d = directory_new(place, max, EXPORT_PPROF, why, sizeof(why));
	assert_string_equal(why, "");
	return d;
}

static int write_one(struct directory *d, const struct profile *p)
{
	assert_int_equal(directory_put(d, p), 0);
	assert_int_equal(directory_put(d, p), -EBUSY);
	int more;
	while ((more = directory_step(d, 100000)) == 1)
		;
	return more;
}

static void a_window_becomes_a_file(void **state)
{
	(void)state;
	struct profile *p = profiles_node(500, 1);
	put_file(".tmp-cpu-20231114T221320Z-60s.pb.gz", 10);
	put_file(".tmp-other", 10);
	struct directory *d = open_place(0);
	assert_false(has(".tmp-cpu-20231114T221320Z-60s.pb.gz"));
	assert_true(has(".tmp-other"));
	uint64_t written = count_get(COUNT_FILES_WRITTEN);
	assert_int_equal(write_one(d, p), 0);
	assert_true(has("cpu-20231114T221320Z-60s.pb.gz"));
	assert_int_equal(write_one(d, p), 0); // the same second again
	assert_true(has("cpu-20231114T221320Z-60s-2.pb.gz"));
	assert_int_equal(count_get(COUNT_FILES_WRITTEN) - written, 2);
	assert_int_equal(files(), 3);
	char path[200], why[200], bytes[100000];
	snprintf(path, sizeof(path), "%s/cpu-20231114T221320Z-60s-2.pb.gz", place);
	FILE *f = fopen(path, "r");
	size_t n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	struct profile *q = profiles_import(bytes, n, why);
	char *a = profiles_dump(p), *b = profiles_dump(q);
	assert_string_equal(a, b);
	free(a);
	free(b);
	profile_free(q);
	// Given up half-way: nothing is left.
	assert_int_equal(directory_put(d, p), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(directory_step(d, 0), 1);
	assert_int_equal(files(), 4);
	directory_free(d);
	assert_int_equal(files(), 3);
	profile_free(p);
	assert_int_equal(mem_used(ACCOUNT_EXPORT), 0);
}

static void the_oldest_go_first(void **state)
{
	(void)state;
	struct profile *p = profiles_node(50, 1);
	char name[100];
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "%s-20221114T2213%02dZ-60s.pb.gz",
		    i % 2 ? "wall" : "cpu", i);
		put_file(name, 1000);
	}
	put_file("cpu-20211114T221320Z-60s.pb.gz.bak", 100000); // none of ours
	put_file("cpu-2021-11-14-60s.pb.gz", 100000);
	put_file("notes.txt", 100000);
	struct directory *d = open_place(20000);
	uint64_t removed = count_get(COUNT_FILES_REMOVED);
	assert_int_equal(write_one(d, p), 0);
	uint64_t gone = count_get(COUNT_FILES_REMOVED) - removed;
	assert_true(gone >= 21 && gone < 40); // more than one look takes
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "%s-20221114T2213%02dZ-60s.pb.gz",
		    i % 2 ? "wall" : "cpu", i);
		assert_int_equal(has(name), (uint64_t)i >= gone);
	}
	assert_int_equal(files(), 40 - gone + 1 + 3);
	directory_free(d);
	// One that is larger than everything allowed takes nothing else with it.
	d = open_place(100);
	uint64_t failed = count_get(COUNT_FILES_FAILED);
	uint32_t before = files();
	assert_int_equal(write_one(d, p), -EFBIG);
	assert_int_equal(files(), before);
	assert_int_equal(count_get(COUNT_FILES_FAILED) - failed, 1);
	directory_free(d);
	profile_free(p);
}

static void names_are_ours_or_not(void **state)
{
	(void)state;
	static const char *const ours[] = {"cpu-20261123T101500Z-60s.pb.gz",
	    "off_cpu-20261123T101500Z-1s-2.folded", "a-00000000T000000Z-0s.speedscope.json",
	    "a-20261123T101500Z-60s.html"};
	static const char *const others[] = {"", "cpu", "cpu-", "-20261123T101500Z-60s.pb.gz",
	    "cpu-20261123T101500Z", "cpu-20261123T101500Z-60s", "cpu-20261123T101500Z-60s.pb",
	    "cpu-20261123T101500Z-60s.pb.gz~", "cpu-20261123T101500Z-s.pb.gz",
	    "cpu-20261123t101500Z-60s.pb.gz", "CPU-20261123T101500Z-60s.pb.gz",
	    "cpu-20261123T10150Z-60s.pb.gz", "../cpu-20261123T101500Z-60s.pb.gz",
	    "cpu-20261123T101500Z-60s-.pb.gz"};
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		assert_non_null(file_name_time(ours[i]));
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_null(file_name_time(others[i]));
	static const struct profile_type odd = {"../X y", 1, {{"a", "b"}}, {"a", "b"}, 0};
	struct profile *p = profile_new(ACCOUNT_PROFILE, &odd);
	profile_header(p)->time_ns = UINT64_MAX;
	profile_header(p)->duration_ns = 60 * NS_PER_S + 300;
	char name[FILE_NAME_MAX];
	file_name_make(name, p, EXPORT_FOLDED, 1);
	assert_non_null(file_name_time(name));
	assert_non_null(strstr(name, "-60s.folded"));
	profile_free(p);
}

// What log_line writes while DO_IT runs.
static void said(
    char *to, size_t size, void (*do_it)(const struct profile *p), const struct profile *p)
{
	int log = memfd_create("log", 0), had = dup(2);
	dup2(log, 2);
	do_it(p);
	dup2(had, 2);
	ssize_t n = pread(log, to, size - 1, 0);
	to[n > 0 ? n : 0] = 0;
	close(log);
	close(had);
}

static void write_past_the_limit(const struct profile *p)
{
	struct rlimit had, small;
	getrlimit(RLIMIT_FSIZE, &had);
	small = (struct rlimit){4096, had.rlim_max};
	struct directory *d = open_place(0);
	setrlimit(RLIMIT_FSIZE, &small);
	assert_int_equal(write_one(d, p), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &had);
	assert_int_equal(files(), 0);
	directory_free(d);
}

static void write_more_than_allowed(const struct profile *p)
{
	struct directory *d = open_place(100);
	assert_int_equal(write_one(d, p), -EFBIG);
	directory_free(d);
}

// Two limits that fail alike are not told alike.
static void a_limit_is_called_by_its_name(void **state)
{
	(void)state;
	char line[500];
	struct profile *p = profiles_node(2000, 1);
	uint64_t later = clock_now() + 1000 * NS_PER_S, wall = clock_wall();
	signal(SIGXFSZ, SIG_IGN); // as main does
	clock_fake(&later, &wall);
	said(line, sizeof(line), write_past_the_limit, p);
	assert_non_null(strstr(line, "60s.pb.gz was not kept: File too large"));
	later += 1000 * NS_PER_S;
	said(line, sizeof(line), write_more_than_allowed, p);
	clock_fake(NULL, NULL);
	assert_non_null(strstr(line, "60s.pb.gz was not kept: it is larger than output.max_size"));
	profile_free(p);
}

static void trouble_is_told(void **state)
{
	(void)state;
	char why[200];
	assert_null(directory_new("/dev/null", 0, EXPORT_PPROF, why, sizeof(why)));
	assert_non_null(strstr(why, "output.directory: /dev/null: Not a directory"));
	assert_null(directory_new("/no/such/place", 0, EXPORT_PPROF, why, sizeof(why)));
	assert_non_null(strstr(why, "No such file"));
	// There root may do everything, and yet nobody can make a file.
	assert_null(directory_new("/proc", 0, EXPORT_PPROF, why, sizeof(why)));
	assert_non_null(strstr(why, "output.directory: /proc: "));
	assert_non_null(strstr(why, "; name a directory that can be written to"));
	assert_int_equal(files(), 0);
	struct profile *p = profiles_node(2000, 1);
	struct directory *d = open_place(0);
	assert_int_equal(files(), 0);
	uint64_t n = 1, asked;
	do { // each allocation of a file in turn
		mem_fail_at(n);
		int error = write_one(d, p);
		asked = mem_fail_seen();
		mem_fail_at(0);
		assert_int_equal(error, asked >= n ? -ENOMEM : 0);
		assert_int_equal(files(), asked >= n ? 0 : 1);
	} while (asked >= n++);
	directory_free(d);
	if (mount("none", place, "tmpfs", 0, "size=16k") < 0) {
		profile_free(p);
		print_message("not permitted to mount a small tmpfs: the full disk is not tried\n");
		skip();
	}
	d = open_place(0);
	uint64_t failed = count_get(COUNT_FILES_FAILED);
	assert_int_equal(write_one(d, p), -ENOSPC);
	assert_int_equal(files(), 0);
	assert_int_equal(count_get(COUNT_FILES_FAILED) - failed, 1);
	directory_free(d);
	assert_int_equal(umount(place), 0);
	profile_free(p);
	assert_int_equal(mem_used(ACCOUNT_EXPORT), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_window_becomes_a_file, make_place, remove_place),
	    cmocka_unit_test_setup_teardown(the_oldest_go_first, make_place, remove_place),
	    cmocka_unit_test(names_are_ours_or_not),
	    cmocka_unit_test_setup_teardown(
		a_limit_is_called_by_its_name, make_place, remove_place),
	    cmocka_unit_test_setup_teardown(trouble_is_told, make_place, remove_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
