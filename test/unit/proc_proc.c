// SPDX-License-Identifier: Apache-2.0
// The files of one process, faked: as the kernel writes them, and as nobody should.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/proc/proc.c"
#include "proc_fake.h"

#define STAT_TAIL                                                                                  \
	" S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 10 18446744073709551615\n"

static void stat_is_split_at_the_last_parenthesis(void **state)
{
	(void)state;
	static const struct {
		const char *text, *comm;
	} cases[] = {
	    {"42 (bash)" STAT_TAIL, "bash"},
	    {"42 (a b)" STAT_TAIL, "a b"},
	    {"42 (a) R 1 2)" STAT_TAIL, "a) R 1 2"},
	    {"42 ((("
	     ")" STAT_TAIL,
		"(("},
	    {"42 ())))" STAT_TAIL, ")))"},
	    {"42 ()" STAT_TAIL, ""},
	    {"42 (kworker/u8:1-events_unbound)" STAT_TAIL, "kworker/u8:1-ev"},
	};
	struct proc *p = proc_new(fake_root);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct proc_stat stat;
		fake_puts("42/stat", cases[i].text);
		assert_int_equal(proc_stat(p, 42, &stat), 0);
		assert_string_equal(stat.comm, cases[i].comm);
		assert_int_equal(stat.ppid, 7);
		assert_int_equal(stat.start_ticks, 98765);
		assert_false(stat.kernel_thread);
	}
	struct proc_stat stat;
	fake_puts("42/stat", "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0\n");
	assert_int_equal(proc_stat(p, 42, &stat), 0);
	assert_true(stat.kernel_thread);
	assert_false(stat.exiting);
	fake_puts("42/stat", "42 (a) Z 1 0 0 0 -1 4194564 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0\n");
	assert_int_equal(proc_stat(p, 42, &stat), 0);
	assert_true(stat.exiting);
	proc_free(p);
}

static void stat_that_makes_no_sense_is_refused(void **state)
{
	(void)state;
	static const char *const cases[] = {"", "42", "42 (bash", "42 bash) S 1", ")(", "42 (bash)",
	    "42 (bash) ", "42 (bash) S", "42 (bash) S ", "42 (bash) S 1 2 3",
	    "42 (a) S 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9 x", "42 (a) S 99999999999999999999999 1"};
	struct proc *p = proc_new(fake_root);
	struct proc_stat stat;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_puts("42/stat", cases[i]);
		assert_int_equal(proc_stat(p, 42, &stat), -EBADMSG);
	}
	char noise[9000];
	memset(noise, '(', sizeof(noise));
	fake_write("42/stat", noise, sizeof(noise));
	assert_int_equal(proc_stat(p, 42, &stat), -EBADMSG);
	memset(noise, 0, sizeof(noise));
	fake_write("42/stat", noise, sizeof(noise));
	assert_int_equal(proc_stat(p, 42, &stat), -EBADMSG);
	assert_int_equal(proc_stat(p, 43, &stat), -ENOENT);
	proc_free(p);
}

static void status_gives_the_innermost_pid_and_the_effective_user(void **state)
{
	(void)state;
	struct proc *p = proc_new(fake_root);
	uint32_t inside = 0, user = 0;
	fake_puts("42/status",
	    "Name:\tx\\nUid:\t0\t0\nUid:\t1000\t1001\t1002\t1003\nNStgid:\t42\t9\t1\n"
	    "NSpid:\t42\t9\t1\n");
	assert_int_equal(proc_status(p, 42, &inside, &user), 0);
	assert_int_equal(inside, 1);
	assert_int_equal(user, 1001);
	fake_puts("42/status", "Uid:\t5\t6\t7\t8\n"); // a kernel without NSpid
	assert_int_equal(proc_status(p, 42, &inside, &user), 0);
	assert_int_equal(inside, 42);
	assert_int_equal(user, 6);
	// No user is not user 0.
	static const char *const bad[] = {"", "Uid:\n", "Uid:\t0\n", "Uid:\tx\ty\n",
	    "Uid:\t1\t-1\n", "Uid:\t1\t4294967296\n", "uid:\t1\t1\n", "Uid:\t0\t0\t0\t0"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake_puts("42/status", bad[i]);
		assert_int_equal(proc_status(p, 42, &inside, &user), -EBADMSG);
	}
	proc_free(p);
}

static void status_behind_many_groups_is_found(void **state)
{
	(void)state;
	struct proc *p = proc_new(fake_root);
	size_t n = 0, size = 65536 * 6 + 100;
	char *text = malloc(size);
	n += (size_t)sprintf(text, "Uid:\t1\t2\t3\t4\nGroups:\t");
	for (int i = 0; i < 65536; i++)
		n += (size_t)sprintf(text + n, "%d ", 10000 + i % 90000);
	n += (size_t)sprintf(text + n, "\nNSpid:\t42\t7\n");
	fake_write("42/status", text, n);
	free(text);
	uint32_t inside = 0, user = 0;
	assert_int_equal(proc_status(p, 42, &inside, &user), 0);
	assert_int_equal(inside, 7);
	assert_int_equal(user, 2);
	proc_free(p);
}

static void the_cgroup_that_tells_most_is_taken(void **state)
{
	(void)state;
	static const struct {
		const char *text, *path; // NULL: none
	} cases[] = {
	    {"0::/a/b\n", "/a/b"},
	    {"0::/\n", "/"},
	    {"0::/../../x\n", "/../../x"},
	    {"0::/a:b:c\n", "/a:b:c"},
	    {"0::/gone (deleted)\n", "/gone"},
	    {"12:pids:/p/longer/than\n5:cpuacct,memory:/m\n1:name=systemd:/s\n", "/m"},
	    {"12:pids:/p/longer/than\n1:name=systemd:/s\n", "/s"},
	    {"12:pids:/p\n11:cpu,cpuacct:/pp\n10:freezer:/f\n", "/pp"},
	    {"4:memory:/docker/1\n1:name=systemd:/s\n0::/\n", "/docker/1"},
	    {"4:memory:/docker/1\n0::/system.slice\n", "/docker/1"},
	    {"4:memory:/\n0::/user.slice\n", "/user.slice"},
	    {"4:memorystat:/no\n1:name=systemd:/s\n", "/s"},
	    {"", NULL},
	    {"0:\n0::\n::x\nnoise\n", NULL},
	    {"0::/torn", NULL},
	};
	struct proc *p = proc_new(fake_root);
	char path[64];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_puts("42/cgroup", cases[i].text);
		assert_int_equal(
		    proc_cgroup(p, 42, path, sizeof(path)), cases[i].path ? 0 : -EBADMSG);
		if (cases[i].path)
			assert_string_equal(path, cases[i].path);
	}
	// One that does not fit is none, a cut one would be another's.
	fake_puts("42/cgroup", "0::/123456\n");
	assert_int_equal(proc_cgroup(p, 42, path, 7), -EBADMSG);
	assert_int_equal(proc_cgroup(p, 42, path, 8), 0);
	proc_free(p);
}

static void links_are_read(void **state)
{
	(void)state;
	struct proc *p = proc_new(fake_root);
	char path[64];
	uint32_t inode;
	fake_link("42/exe", "/usr/bin/thing (deleted)");
	assert_int_equal(proc_exe(p, 42, path, sizeof(path)), 0);
	assert_string_equal(path, "/usr/bin/thing");
	assert_int_equal(proc_exe(p, 42, path, 5), -ENAMETOOLONG);
	assert_int_equal(proc_exe(p, 43, path, sizeof(path)), -ENOENT);
	fake_link("42/ns/mnt", "mnt:[4026531832]");
	assert_int_equal(proc_mount_ns(p, 42, &inode), 0);
	assert_int_equal(inode, 4026531832);
	static const char *const bad[] = {
	    "mnt:[]", "mnt:[99999999999]", "mnt:[12", "net:[12]", "m", "mnt:[-1]"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake_link("42/ns/mnt", bad[i]);
		assert_int_equal(proc_mount_ns(p, 42, &inode), -EBADMSG);
	}
	proc_free(p);
}

static void a_name_that_really_ends_in_deleted_is_kept(void **state)
{
	(void)state;
	struct proc *p = proc_new(fake_root);
	fake_link("42/root", "/");
	fake_puts("thing (deleted)", "x");
	char target[64], path[64];
	snprintf(target, sizeof(target), "%s/thing (deleted)", fake_root);
	fake_link("42/exe", target);
	assert_int_equal(proc_exe(p, 42, path, sizeof(path)), 0);
	assert_string_equal(path, target);
	proc_free(p);
}

static void arguments_are_joined(void **state)
{
	(void)state;
	struct proc *p = proc_new(fake_root);
	char line[12];
	fake_write("42/cmdline", "ls\0-l\0\0x\0", 9);
	assert_int_equal(proc_cmdline(p, 42, line, sizeof(line)), 0);
	assert_string_equal(line, "ls -l  x");
	fake_write("42/cmdline", "0123456789abcdef\0", 17);
	assert_int_equal(proc_cmdline(p, 42, line, sizeof(line)), 0);
	assert_string_equal(line, "0123456789a");
	fake_write("42/cmdline", "", 0);
	assert_int_equal(proc_cmdline(p, 42, line, sizeof(line)), 0);
	assert_string_equal(line, "");
	proc_free(p);
}

static void only_regular_files_are_opened(void **state)
{
	(void)state;
	struct proc *p = proc_new(fake_root);
	int before = fake_open_descriptors();
	char target[64];
	snprintf(target, sizeof(target), "%s/file", fake_root);
	fake_puts("file", "content");
	fake_link("42/map_files/1000-7fff0000", target);
	fake_link("42/exe", target);
	int fd = proc_map_file_open(p, 42, 0x1000, 0x7fff0000);
	char content[8] = "";
	assert_int_equal(pread(fd, content, 7, 0), 7);
	assert_string_equal(content, "content");
	close(fd);
	close(proc_exe_open(p, 42));
	close(proc_file_open(p, "file"));
	assert_int_equal(proc_file_open(p, "none"), -ENOENT);
	assert_int_equal(mkfifo(fake_path("fifo"), 0600), 0);
	snprintf(target, sizeof(target), "%s/fifo", fake_root);
	fake_link("42/map_files/1000-2000", target);
	assert_int_equal(proc_map_file_open(p, 42, 0x1000, 0x2000), -EINVAL);
	fake_link("42/exe", "/dev/zero");
	assert_int_equal(proc_exe_open(p, 42), -EINVAL);
	fake_link("42/exe", "/");
	assert_int_equal(proc_exe_open(p, 42), -EINVAL);
	assert_int_equal(proc_file_open(p, "fifo"), -EINVAL);
	assert_int_equal(fake_open_descriptors(), before);
	proc_free(p);
}

static void every_pid_is_seen_once(void **state)
{
	(void)state;
	struct proc *p = proc_new(fake_root);
	char name[300];
	for (int i = 1; i <= 700; i++) {
		snprintf(name, sizeof(name), "%d/stat", i);
		fake_puts(name, "");
	}
	static const char *const others[] = {
	    "self", "0", "4294967296", "12a", "-3", " 5", "99999999999999999999999"};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		fake_puts(others[i], "");
	bool seen[701] = {0};
	uint32_t pid;
	int n = 0;
	struct proc_scan *s = proc_scan_new(p);
	for (; proc_scan_next(s, &pid) == 1; n++) {
		assert_in_range(pid, 1, 700);
		assert_false(seen[pid]);
		seen[pid] = true;
	}
	assert_int_equal(n, 700);
	assert_int_equal(proc_scan_next(s, &pid), 0);
	proc_scan_free(s);
	proc_scan_free(NULL);
	proc_free(p);
}

static void failures_leave_nothing(void **state)
{
	(void)state;
	int before = fake_open_descriptors();
	assert_null(proc_new("/nowhere"));
	assert_int_equal(errno, ENOENT);
	mem_fail_at(1);
	assert_null(proc_new(fake_root));
	assert_int_equal(errno, ENOMEM);
	mem_fail_at(0);
	struct proc *p = proc_new(fake_root);
	mem_fail_at(1);
	assert_null(proc_scan_new(p));
	assert_int_equal(errno, ENOMEM);
	mem_fail_at(0);
	proc_free(p);
	proc_free(NULL);
	assert_int_equal(fake_open_descriptors(), before);
	assert_int_equal(mem_used(ACCOUNT_PROC), 0);
}

static void this_very_process_is_read(void **state)
{
	(void)state;
	struct proc *p = proc_new("/proc");
	uint32_t pid = (uint32_t)getpid(), inside = 0, user = 1, inode = 0;
	struct proc_stat stat;
	assert_int_equal(proc_stat(p, pid, &stat), 0);
	assert_int_equal(stat.ppid, getppid());
	assert_string_equal(stat.comm, "proc_proc");
	assert_int_equal(proc_status(p, pid, &inside, &user), 0);
	assert_int_equal(inside, pid);
	assert_int_equal(user, geteuid());
	assert_int_equal(proc_mount_ns(p, pid, &inode), 0);
	char path[4096], real[4096] = "";
	assert_true(readlink("/proc/self/exe", real, sizeof(real) - 1) > 0);
	assert_int_equal(proc_exe(p, pid, path, sizeof(path)), 0);
	assert_string_equal(path, real);
	int fd = proc_exe_open(p, pid);
	assert_true(fd >= 0);
	close(fd);
	fd = proc_file_open(p, "kallsyms");
	assert_true(fd >= 0);
	assert_true(pread(fd, path, 16, 0) > 0);
	close(fd);
	proc_free(p);
}

#define FAKED(test) cmocka_unit_test_setup_teardown(test, fake_begin, fake_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    FAKED(stat_is_split_at_the_last_parenthesis),
	    FAKED(stat_that_makes_no_sense_is_refused),
	    FAKED(status_gives_the_innermost_pid_and_the_effective_user),
	    FAKED(status_behind_many_groups_is_found),
	    FAKED(the_cgroup_that_tells_most_is_taken),
	    FAKED(links_are_read),
	    FAKED(a_name_that_really_ends_in_deleted_is_kept),
	    FAKED(arguments_are_joined),
	    FAKED(only_regular_files_are_opened),
	    FAKED(every_pid_is_seen_once),
	    FAKED(failures_leave_nothing),
	    cmocka_unit_test(this_very_process_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
