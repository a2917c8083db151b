// SPDX-License-Identifier: Apache-2.0
// The queue of requests, in memory and in files: order, the bound, a full disk, memory that ends,
// damage, and a kill at each step.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../modules/base/base.h"

// Each call that changes the directory or a file is a step at which we can be killed, before it or
// in its middle.
static int steps, die_at;
static void step(void)
{
	if (++steps == die_at)
		_exit(9);
}
static ssize_t pwrite_in_two(int fd, const void *bytes, size_t n, off_t at)
{
	step();
	if (n > 1 && pwrite(fd, bytes, n / 2, at) < 0)
		return -1;
	step();
	return pwrite(fd, bytes, n, at);
}
#define openat(...) (step(), openat(__VA_ARGS__))
#define pwrite pwrite_in_two
#define renameat(...) (step(), renameat(__VA_ARGS__))
#define unlinkat(...) (step(), unlinkat(__VA_ARGS__))
#define sync_start(...) (step(), sync_start(__VA_ARGS__))
static int named_syncs, aside_fd; // of directories
#define sync_start_aside(s, fd) (step(), named_syncs++, aside_fd = (fd), sync_start_aside(s, fd))
#include "../../modules/spool/files.c"
#undef openat
#undef pwrite
#undef renameat
#undef unlinkat
#undef sync_start
#undef sync_start_aside
#undef HEAD
#include "../../modules/spool/memory.c"
#include "../../modules/spool/spool.c"

static char place[64], folder[100];
static bool files; // where the tests keep bodies
static uint64_t dropped, drops;
static char why[300];

static void on_drop(void *arg, const struct spool_facts *f)
{
	(void)arg;
	dropped += f->samples;
	drops++;
}

static int setup(void **state)
{
	(void)state;
	strcpy(place, "/tmp/telegen-spool-XXXXXX");
	dropped = drops = 0;
	steps = die_at = 0;
	snprintf(folder, sizeof(folder), "%s/spool-otlp", mkdtemp(place));
	return 0;
}

static int teardown(void **state)
{
	char command[200];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", place);
	assert_int_equal(mem_used(ACCOUNT_SPOOL), 0);
	return system(command);
}

static struct spool *open_spool(uint64_t max)
{
	struct spool_options o = {
	    .directory = files ? folder : NULL, .bytes_max = max, .on_drop = on_drop};
	*why = 0;
	return spool_new(&o, why, sizeof(why));
}

// Body N: its bytes are known by N alone.
static uint8_t byte_of(uint64_t n, uint64_t at)
{
	return (uint8_t)hash_mix(n * 1000003 + at / 8);
}

static int add(struct spool *s, uint64_t n, size_t size)
{
	uint8_t bytes[777];
	int error = spool_begin(s);
	for (size_t at = 0; at < size && !error;) {
		size_t some = size - at < sizeof(bytes) ? size - at : sizeof(bytes);
		for (size_t i = 0; i < some; i++)
			bytes[i] = byte_of(n, at + i);
		error = spool_write(s, bytes, some);
		at += some;
	}
	struct spool_facts f = {.samples = n, .time_ns = n + 5, .type = "cpu"};
	while (!error && (error = spool_end(s, &f)) == 1)
		error = 0;
	if (error)
		spool_abort(s);
	return error;
}

static void is_body(struct spool *s, uint64_t n, size_t size)
{
	uint8_t bytes[1000];
	const struct spool_entry *e = spool_oldest(s);
	assert_non_null(e);
	assert_int_equal(e->facts.samples, n);
	assert_int_equal(e->facts.time_ns, n + 5);
	assert_string_equal(e->facts.type, "cpu");
	assert_int_equal(e->size, size);
	for (uint64_t at = 0; at < size;) {
		int64_t got = spool_read(s, at, bytes, sizeof(bytes));
		assert_true(got > 0);
		for (int64_t i = 0; i < got; i++)
			assert_int_equal(bytes[i], byte_of(n, at + (uint64_t)i));
		at += (uint64_t)got;
	}
	assert_int_equal(spool_read(s, size, bytes, sizeof(bytes)), 0);
}

static void bodies_come_out_as_they_went_in(void **state)
{
	(void)state;
	for (files = false;; files = true) {
		struct spool *s = open_spool(10 << 20);
		assert_non_null(s);
		assert_null(spool_oldest(s));
		const size_t sizes[] = {0, 1, 1000, 16384, 16385, 300000, 2000000};
		for (size_t i = 0; i < 7; i++)
			assert_int_equal(add(s, i + 1, sizes[i]), 0);
		assert_int_equal(spool_count(s), 7);
		assert_int_equal(spool_samples(s), 28);
		uint64_t last = 0;
		for (size_t i = 0; i < 7; i++) {
			is_body(s, i + 1, sizes[i]);
			assert_true(spool_oldest(s)->id > last);
			last = spool_oldest(s)->id;
			is_body(s, i + 1, sizes[i]); // and again
			spool_remove(s);
		}
		assert_int_equal(spool_count(s) + spool_bytes(s) + spool_samples(s) + drops, 0);
		assert_int_equal(spool_begin(s), 0); // given up in its middle
		assert_int_equal(spool_write(s, "abc", 3), 0);
		spool_free(s);
		if (files)
			break;
	}
}

static uint64_t sizes_on_disk(uint32_t *count)
{
	uint64_t total = 0;
	DIR *d = opendir(folder);
	*count = 0;
	for (struct dirent *e; (e = readdir(d));) {
		struct stat st;
		if (e->d_name[0] == '.' && strlen(e->d_name) < 3)
			continue;
		assert_int_equal(fstatat(dirfd(d), e->d_name, &st, 0), 0);
		total += (uint64_t)st.st_blocks * 512;
		++*count;
	}
	closedir(d);
	return total;
}

static void the_oldest_make_room(void **state)
{
	(void)state;
	for (files = false;; files = true) {
		struct spool *s = open_spool(100000);
		uint64_t taken = 0;
		dropped = drops = 0;
		for (uint64_t n = 1; n <= 50; n++, taken += n - 1) {
			assert_int_equal(add(s, n, 9000), 0);
			assert_true(spool_bytes(s) <= 100000);
			assert_int_equal(taken + n, spool_samples(s) + dropped);
		}
		assert_true(spool_count(s) >= 7);
		is_body(s, 51 - spool_count(s), 9000);
		// That one is held now: others go.
		uint64_t held = spool_oldest(s)->id;
		for (uint64_t n = 51; n < 70; n++)
			assert_int_equal(add(s, n, 9000), 0);
		assert_int_equal(spool_oldest(s)->id, held);
		assert_int_equal(add(s, 70, 92000), -ENOSPC); // as long as it is
		assert_int_equal(spool_count(s), 1);
		spool_let_go(s);
		assert_int_equal(add(s, 70, 90000), 0);
		assert_int_equal(spool_count(s), 1);
		is_body(s, 70, 90000);
		spool_let_go(s);
		assert_int_equal(add(s, 71, 100001), -EFBIG);
		assert_int_equal(spool_count(s), 0);
		assert_int_equal(add(s, 70, 90000), 0);
		is_body(s, 70, 90000);
		if (files) {
			uint32_t count;
			assert_true(sizes_on_disk(&count) <= 100000);
			assert_int_equal(count, 1);
		} else {
			assert_true(spool_shrink(s, 1) == 0); // held
			spool_let_go(s);
			assert_true(spool_shrink(s, 1) >= 90000);
			assert_int_equal(spool_count(s), 0);
			assert_int_equal(spool_shrink(s, 1), 0);
		}
		spool_free(s);
		if (files)
			break;
	}
}

static void files_are_taken_over_in_their_order(void **state)
{
	(void)state;
	files = true;
	struct spool *s = open_spool(10 << 20);
	for (uint64_t n = 1; n <= 30; n++)
		assert_int_equal(add(s, n, n * 1000), 0);
	is_body(s, 1, 1000);
	spool_remove(s);
	spool_free(s);
	char other[200];
	snprintf(other, sizeof(other), "%s/notes.spool", folder);
	assert_int_equal(symlink("/etc/passwd", other), 0);
	snprintf(other, sizeof(other), "%s/00000000000000000099.spool", folder);
	assert_int_equal(
	    symlink("/etc/passwd", other), 0); // no file of ours, whatever it is called
	s = open_spool(10 << 20);
	assert_int_equal(spool_count(s), 29);
	assert_int_equal(spool_damaged(s), 0);
	assert_int_equal(add(s, 31, 5), 0);
	assert_null(open_spool(10 << 20)); // one at a time
	assert_non_null(strstr(why, "another telegen"));
	for (uint64_t n = 2; n <= 30; n++) {
		is_body(s, n, n * 1000);
		spool_remove(s);
	}
	is_body(s, 31, 5);
	spool_free(s);
	s = open_spool(4096); // less room than before: all but one are dropped
	assert_int_equal(spool_count(s), 1);
	spool_free(s);
	uint32_t count;
	sizes_on_disk(&count);
	assert_int_equal(count, 3);
}

static void one_may_go_behind_the_others(void **state)
{
	(void)state;
	uint32_t bodies;
	for (int k = 0; k < 2; k++) {
		files = k;
		struct spool *s = open_spool(1 << 20);
		spool_put_behind(s, 7); // there is none
		assert_int_equal(add(s, 1, 5000), 0);
		is_body(s, 1, 5000);
		assert_int_equal(spool_oldest(s)->note, 0);
		spool_put_behind(s, 7); // alone
		is_body(s, 1, 5000);
		assert_int_equal(spool_oldest(s)->note, 7);
		for (uint64_t n = 2; n <= 3; n++)
			assert_int_equal(add(s, n, 5000), 0);
		spool_put_behind(s, 8);
		assert_int_equal(spool_samples(s), 6);
		for (uint64_t n = 2; n <= 3; n++) {
			is_body(s, n, 5000);
			spool_remove(s);
		}
		is_body(s, 1, 5000);
		assert_int_equal(spool_oldest(s)->note, 8);
		assert_int_equal(spool_count(s), 1);
		assert_int_equal(add(s, 4, 5000), 0);
		spool_put_behind(s, 9);
		assert_true(spool_drop(s)); // who is the next to be sent is the next to go
		is_body(s, 1, 5000);
		spool_free(s);
		assert_int_equal(spool_left(folder, &bodies), files ? 8192 : 0);
		assert_int_equal(bodies, files);
	}
}

// A body is in the queue when its name is on the disk too; what is aborted before has no name.
static void a_name_is_synchronised(void **state)
{
	(void)state;
	files = true;
	struct spool *s = open_spool(1 << 20);
	const struct spool_facts f = {.samples = 1};
	uint32_t count;
	struct stat directory, synchronised;
	named_syncs = 0;
	assert_int_equal(add(s, 1, 5000), 0);
	assert_int_equal(named_syncs, 1);
	assert_int_equal(fstat(aside_fd, &synchronised), 0);
	assert_int_equal(stat(folder, &directory), 0);
	assert_int_equal(directory.st_ino, synchronised.st_ino);
	assert_int_equal(spool_begin(s), 0);
	assert_int_equal(spool_write(s, "x", 1), 0);
	while (named_syncs < 2)
		assert_int_equal(spool_end(s, &f), 1);
	sizes_on_disk(&count);
	assert_int_equal(count, 2);
	assert_int_equal(spool_count(s), 1);
	spool_abort(s);
	sizes_on_disk(&count);
	assert_int_equal(count, 1);
	spool_free(s);
}

static void damage_is_seen(void **state)
{
	(void)state;
	files = true;
	struct spool *s = open_spool(10 << 20);
	char path[200], bytes[2000];
	for (uint64_t n = 1; n <= 6; n++)
		assert_int_equal(add(s, n, 2000), 0);
	spool_free(s);
	const struct {
		int n;
		long at; // of the byte that changes; -1: it is cut
	} changes[] = {{1, -1}, {2, 0}, {3, 20}, {4, 30}, {5, 1500}};
	for (size_t i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s/%020d.spool", folder, changes[i].n);
		int fd = open(path, O_RDWR);
		assert_true(fd >= 0);
		if (changes[i].at < 0)
			assert_int_equal(ftruncate(fd, 100), 0);
		else
			assert_int_equal(pwrite(fd, "\xa5", 1, changes[i].at), 1);
		close(fd);
	}
	s = open_spool(10 << 20);
	assert_int_equal(spool_damaged(s), 4);
	assert_int_equal(spool_count(s), 2);
	assert_int_equal(spool_oldest(s)->facts.samples, 5);
	// Only the end of what is damaged is not given out.
	assert_int_equal(spool_read(s, 0, bytes, 1000), 1000);
	assert_int_equal(spool_read(s, 1000, bytes, 999), 999);
	assert_int_equal(spool_read(s, 1999, bytes, 1000), -EBADMSG);
	spool_remove(s);
	is_body(s, 6, 2000);
	snprintf(path, sizeof(path), "%s/%020d.spool", folder, 6);
	assert_int_equal(truncate(path, 64 + 500), 0); // while we read
	assert_int_equal(spool_read(s, 0, bytes, 1000), 500);
	assert_int_equal(spool_read(s, 500, bytes, 1000), -EBADMSG);
	spool_free(s);
}

// One body is there, another one is written; then the first is removed.
static void life(void)
{
	struct spool *s = open_spool(1 << 20);
	if (!s || add(s, 2, 40000))
		_exit(1);
	while (spool_oldest(s)->facts.samples == 1)
		spool_remove(s);
	_exit(0);
}

static void a_kill_at_each_step_tears_nothing(void **state)
{
	(void)state;
	files = true;
	int killed = 0;
	for (int at = 1;; at++) {
		struct spool *s = open_spool(1 << 20);
		assert_int_equal(add(s, 1, 5000), 0);
		spool_free(s);
		steps = 0;
		pid_t child = fork();
		if (!child) {
			die_at = at;
			life();
		}
		int status;
		waitpid(child, &status, 0);
		assert_true(
		    WIFEXITED(status) && (WEXITSTATUS(status) == 9 || !WEXITSTATUS(status)));
		s = open_spool(1 << 20);
		assert_non_null(s);
		assert_int_equal(spool_damaged(s), 0);
		uint64_t seen = 0;
		for (const struct spool_entry *e; (e = spool_oldest(s)); spool_remove(s)) {
			uint64_t n = e->facts.samples;
			assert_true(n == 1 || n == 2);
			assert_false(seen & n); // none twice
			seen |= n;
			is_body(s, n, n == 1 ? 5000 : 40000);
		}
		assert_true(seen); // the first went only when the second was there
		spool_free(s);
		uint32_t count;
		sizes_on_disk(&count);
		assert_int_equal(count, 0);
		if (!WEXITSTATUS(status))
			break;
		killed++;
	}
	assert_true(killed > 12);
}

static void a_full_disk_drops_the_oldest(void **state)
{
	(void)state;
	files = true;
	if (mount("none", place, "tmpfs", 0, "size=400k") < 0)
		skip();
	struct spool *s = open_spool(100 << 20);
	uint64_t taken = 0;
	for (uint64_t n = 1; n <= 40; n++) {
		assert_int_equal(add(s, n, 30000), 0);
		taken += n;
		assert_int_equal(spool_samples(s) + dropped, taken);
	}
	assert_true(drops > 20);
	is_body(s, 41 - spool_count(s), 30000);
	assert_int_equal(add(s, 41, 500000), -ENOSPC); // more than the disk has
	assert_int_equal(spool_count(s), 1);
	spool_let_go(s);
	assert_int_equal(add(s, 41, 300000), 0);
	spool_remove(s);
	is_body(s, 41, 300000);
	spool_free(s);
	assert_int_equal(umount(place), 0);
}

static void each_allocation_may_fail(void **state)
{
	(void)state;
	for (files = false;; files = true) {
		bool failed = true;
		for (uint64_t n = 1; failed; n++) {
			mem_fail_at(n);
			struct spool *s = open_spool(1 << 20);
			int error = s ? add(s, 1, 40000) : -errno;
			failed = mem_fail_seen() >= n;
			mem_fail_at(0);
			if (error) {
				assert_int_equal(error, -ENOMEM);
				if (s)
					assert_int_equal(spool_count(s), 0);
			}
			while (s && spool_oldest(s))
				spool_remove(s);
			spool_free(s);
			assert_int_equal(mem_used(ACCOUNT_SPOOL), 0);
		}
		if (files)
			break;
	}
}

static void where_no_directory_can_be_it_is_said(void **state)
{
	(void)state;
	files = true;
	strcpy(folder, "/proc/spool");
	assert_null(open_spool(1 << 20));
	assert_non_null(strstr(why, "/proc/spool: "));
	snprintf(folder, sizeof(folder), "%s/file", place);
	FILE *f = fopen(folder, "w");
	fclose(f);
	assert_null(open_spool(1 << 20));
	assert_int_equal(errno, ENOTDIR);
	assert_non_null(strstr(why, "name an output.directory"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(bodies_come_out_as_they_went_in),
	    TEST(the_oldest_make_room),
	    TEST(files_are_taken_over_in_their_order),
	    TEST(damage_is_seen),
	    TEST(one_may_go_behind_the_others),
	    TEST(a_name_is_synchronised),
	    TEST(a_kill_at_each_step_tears_nothing),
	    TEST(a_full_disk_drops_the_oldest),
	    TEST(each_allocation_may_fail),
	    TEST(where_no_directory_can_be_it_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
