// SPDX-License-Identifier: Apache-2.0
// Roots that are held open: how many, whose, and that none is another's.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/process/root.c"
#include "process_fake.h"

static void one_a_namespace_and_never_more_than_the_table_holds(void **state)
{
	(void)state;
	int before = descriptors();
	for (uint32_t pid = 100; pid < 300; pid++) {
		fakeproc_add(pid, 1, "app", 700, "");
		fake_mount_ns(pid, 5000 + pid / 2); // two processes each
	}
	for (uint32_t pid = 100; pid < 300; pid++) {
		table->now_ns++;
		int fd = root_of(table, pid, 5000 + pid / 2);
		assert_true(fd >= 0);
		assert_int_equal(root_of(table, 1, 5000 + pid / 2), fd); // whoever asks
		assert_true(descriptors() - before <= ROOTS_MAX);
	}
	assert_int_equal(descriptors() - before, ROOTS_MAX);
	// The newest are there, though their processes are gone.
	for (uint32_t pid = 100; pid < 300; pid++)
		fakeproc_remove(pid);
	assert_true(root_of(table, 299, 5000 + 149) >= 0);
	assert_int_equal(root_of(table, 100, 5000 + 50), -ENOENT);
	roots_close(table, table->now_ns - 3); // what was used since stays
	assert_true(root_of(table, 299, 5000 + 149) >= 0);
	assert_int_equal(root_of(table, 290, 5000 + 145), -ENOENT);
	roots_close(table, UINT64_MAX);
	assert_int_equal(descriptors(), before);
}

static void a_process_that_moved_or_is_another_has_no_such_root(void **state)
{
	(void)state;
	int before = descriptors();
	fakeproc_add(10, 1, "app", 700, "");
	assert_true(root_of(table, 10, 77) < 0); // nothing tells its namespace
	fake_mount_ns(10, 78);
	assert_int_equal(root_of(table, 10, 77), -ESTALE);
	assert_int_equal(root_of(table, 10, 0), -ENOENT);
	assert_int_equal(descriptors(), before);
	assert_true(root_of(table, 10, 78) >= 0);
}

static void the_first_process_stands_for_its_namespace(void **state)
{
	(void)state;
	fakeproc_add(1, 0, "init", 1, "");
	fake_mount_ns(1, 50);
	fakeproc_add(20, 1, "jailed", 700, "");
	fake_mount_ns(20, 50);
	fake_link(20, "root", "/proc"); // chroot
	int fd = root_of(table, 20, 50);
	struct stat root, here;
	assert_int_equal(fstat(fd, &here), 0);
	assert_int_equal(stat("/", &root), 0);
	assert_int_equal(here.st_ino, root.st_ino);
	fakeproc_remove(1); // not permitted to look: then whose we may
	roots_close(table, UINT64_MAX);
	assert_true(root_of(table, 20, 50) >= 0);
}

static const char jit[] = "1000-2000 r-xp 00000000 00:00 0 \n";
static const char status[] = "Name:\tapp\nUid:\t5\t6\t7\t8\nNSpid:\t900\t3\n";

static struct process *run_jit(uint32_t pid, uint64_t now)
{
	struct process *p = sampled(pid, 1, 700, "app", now);
	assert_int_equal(process_place(table, p, 0x1010).kind, PLACE_ANON);
	return p;
}

static void roots_of_jits_are_pinned_in_turn(void **state)
{
	(void)state;
	int before = descriptors();
	struct process *p[10];
	for (uint32_t i = 0; i < 10; i++) {
		fakeproc_add(30 + i, 1, "app", 700, jit);
		fakeproc_write(30 + i, "status", status);
	}
	for (uint32_t i = 0; i < 10; i++) {
		p[i] = run_jit(30 + i, 1000 + i);
		assert_true(p[i]->root_fd >= 0);
		assert_int_equal(p[i]->ns_pid, 3);
		assert_int_equal(p[i]->euid, 6);
		assert_true(descriptors() - before <= 2); // a fourth of pinned_max
	}
	assert_int_equal(p[0]->root_fd, -1);
	assert_true(p[8]->root_fd >= 0 && p[9]->root_fd >= 0);
	// When its names are asked for it is pinned again; of an ended one the root would be lost.
	exited(39, 700, 2000);
	assert_ptr_equal(process_by_id(table, p[0]->id), p[0]);
	assert_true(p[0]->root_fd >= 0);
	assert_int_equal(p[8]->root_fd, -1);
	assert_true(p[9]->root_fd >= 0);
	assert_int_equal(descriptors() - before, 2);
	// Another program has another map.
	execed(30, "other", 3000);
	assert_int_equal(p[0]->root_fd, -1);
	process_by_id(table, p[0]->id);
	assert_int_equal(p[0]->root_fd, -1);
}

static void the_root_of_another_process_is_not_pinned(void **state)
{
	(void)state;
	int before = descriptors();
	execed(40, "app", 1000 * NS_PER_S);
	mapped(40, 0x1000, 0x1000, 0, "//anon", NULL, 0, 1000 * NS_PER_S);
	uint64_t now = 1000 * NS_PER_S;
	clock_fake(&now, NULL);
	fakeproc_add(40, 1, "app", 999, jit); // the pid was given to another
	fakeproc_write(40, "status", status);
	struct process *p = run_jit(40, now);
	assert_int_equal(p->root_fd, -1);
	assert_int_equal(descriptors(), before);
	uint64_t seen = table->jit_count;
	run_jit(40, now + 1);
	assert_int_equal(table->jit_count, seen);
	// One that is gone.
	execed(41, "app", now);
	mapped(41, 0x1000, 0x1000, 0, "//anon", NULL, 0, now);
	assert_int_equal(run_jit(41, now)->root_fd, -1);
	assert_int_equal(descriptors(), before);
}

int main(void)
{
	options_now =
	    (struct process_options){.processes_max = 100, .binaries_max = 8, .pinned_max = 8};
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		one_a_namespace_and_never_more_than_the_table_holds, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_process_that_moved_or_is_another_has_no_such_root, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		the_first_process_stands_for_its_namespace, setup, teardown),
	    cmocka_unit_test_setup_teardown(roots_of_jits_are_pinned_in_turn, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		the_root_of_another_process_is_not_pinned, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
