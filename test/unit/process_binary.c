// SPDX-License-Identifier: Apache-2.0
// Which files are one, which are not, and which may not be taken for the mapped one.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/proc/proc.h"

static int opened; // files, to be read
static int open_counted(int place)
{
	opened++;
	return proc_reopen(place);
}
#define proc_reopen open_counted
#include "../../modules/process/binary.c"
#include "process_files.h"

#include <sys/time.h>

static void one_file_in_two_processes_is_one(void **state)
{
	(void)state;
	write_elf("app", 7, 5000, VADDR);
	add_process(10, "app", "", 0, 1);
	add_process(11, "app", "", 0, 1);
	struct place a = place_in(10, 1), b = place_in(11, 1);
	assert_int_equal(a.kind, PLACE_FILE);
	assert_int_equal(a.address, VADDR + 0x40);
	assert_int_equal(a.owner, b.owner);
	assert_int_equal(table->binaries.count, 1);
	assert_int_equal(table->pinned, 1);
	// A copy in another container is the same too.
	write_elf("copy", 7, 5000, VADDR);
	add_process(12, "copy", "", 0, 2);
	assert_int_equal(place_in(12, 2).owner, a.owner);
	assert_int_equal(table->pinned, 1);
}

// What programs map that start all the time is not read all the time.
static void a_file_that_is_as_it_was_is_not_read_again(void **state)
{
	(void)state;
	write_elf("app", 7, 5000, VADDR);
	add_process(10, "app", "", 0, 1);
	uint32_t owner = place_in(10, 1).owner;
	opened = 0;
	for (uint32_t pid = 11; pid < 20; pid++) {
		add_process(pid, "app", "", 0, 1);
		assert_int_equal(place_in(pid, 1).owner, owner);
		assert_int_equal(place_in(pid, 1).address, VADDR + 0x40);
	}
	assert_int_equal(opened, 0);
	// Another file is, and this one where it may have changed, or was let go.
	write_elf("other", 8, 5000, VADDR);
	add_process(20, "other", "", 0, 1);
	assert_int_not_equal(place_in(20, 1).owner, owner);
	assert_int_equal(opened, 1);
	struct timeval times[2] = {{1000000, 0}, {1000000, 0}};
	assert_int_equal(utimes(file("app"), times), 0);
	add_process(21, "app", "", 0, 1);
	assert_int_equal(place_in(21, 1).owner, owner);
	assert_int_equal(opened, 2);
	binary_unpin(table, (struct binary_entry *)binary_by_id(table, owner));
	add_process(22, "app", "", 0, 1);
	assert_int_equal(place_in(22, 1).owner, owner);
	assert_int_equal(opened, 3);
	assert_true(binary_by_id(table, owner)->fd >= 0);
}

static void the_same_build_id_is_not_enough(void **state)
{
	(void)state;
	write_elf("app", 7, 5000, VADDR);
	write_elf("longer", 7, 6000, VADDR);
	write_elf("elsewhere", 7, 5000, VADDR + 0x1000);
	write_elf("other", 8, 5000, VADDR);
	write_elf("padded", 7, 5000, VADDR);
	assert_int_equal(truncate(file("padded"), 5001), 0);
	static const char *const names[] = {"app", "longer", "elsewhere", "other", "padded"};
	uint32_t owners[5];
	for (uint32_t i = 0; i < 5; i++) {
		add_process(20 + i, names[i], "", 0, 1);
		owners[i] = place_in(20 + i, 1).owner;
		for (uint32_t k = 0; k < i; k++)
			assert_int_not_equal(owners[i], owners[k]);
	}
	assert_int_equal(place_in(22, 1).address, VADDR + 0x1040);
}

static void without_a_build_id_the_inode_decides(void **state)
{
	(void)state;
	write_elf("a", 0, 5000, VADDR);
	write_elf("b", 0, 5000, VADDR);
	add_process(30, "a", "", 0, 1);
	add_process(31, "b", "", 0, 1);
	add_process(32, "a", "", 0, 1);
	uint32_t a = place_in(30, 1).owner;
	assert_int_not_equal(place_in(31, 1).owner, a);
	assert_int_equal(place_in(32, 1).owner, a);
	// Written anew in place: another file.
	struct timeval times[2] = {{1000000, 0}, {1000000, 0}};
	utimes(file("a"), times);
	add_process(33, "a", "", 0, 1);
	assert_int_not_equal(place_in(33, 1).owner, a);
}

static void a_file_replaced_after_it_was_mapped_is_not_taken(void **state)
{
	(void)state;
	write_elf("app", 7, 5000, VADDR);
	add_process(40, "app", "", 0, 1);
	write_elf("next", 9, 5000, 0x700000);
	assert_int_equal(rename(file("next"), file("app")), 0);
	int before = descriptors();
	struct place place = place_in(40, 1);
	assert_int_equal(descriptors() - before, 1); // a root
	assert_int_equal(place.kind, PLACE_OFFSET);  // by what is known: path and offset, no name
	assert_int_equal(place.address, 0x40);
	assert_int_equal(binary_by_id(table, place.owner)->fd, -1);
	// An event told the build-id: then that decides.
	uint8_t id[20];
	memset(id, 7, sizeof(id));
	fakeproc_add(41, 1, "app", 700, "");
	fake_mount_ns(41, 1);
	begins_anew(41, file("app"), id, 0);
	assert_int_equal(place_in(41, 1).kind, PLACE_OFFSET);
	memset(id, 9, sizeof(id));
	begins_anew(41, file("app"), id, 0);
	place = place_in(41, 1);
	assert_int_equal(place.kind, PLACE_FILE);
	assert_int_equal(place.address, 0x700040);
	// Neither inode nor build-id known: nothing says that it is the one.
	begins_anew(41, file("app"), NULL, 0);
	assert_int_equal(place_in(41, 1).kind, PLACE_OFFSET);
}

static void a_deleted_file_is_opened_by_its_mapping(void **state)
{
	(void)state;
	write_elf("kept", 7, 5000, VADDR);
	add_process(50, "kept", "", inode_of("kept"), 1);
	char maps[600];
	snprintf(maps, sizeof(maps), "10000-20000 r-xp 00000000 08:01 %lu %s (deleted)\n",
	    inode_of("kept"), file("gone"));
	fakeproc_write(50, "maps", maps);
	fake_link(50, "map_files/10000-20000", file("kept"));
	struct place place = place_in(50, 1);
	assert_int_equal(place.kind, PLACE_FILE);
	assert_string_equal(binary_by_id(table, place.owner)->path, file("gone"));
	// The same, but the range holds another file by now.
	write_elf("else", 8, 5000, VADDR);
	add_process(51, "kept", "", inode_of("kept"), 1);
	fakeproc_write(51, "maps", maps);
	fake_link(51, "map_files/10000-20000", file("else"));
	assert_int_equal(place_in(51, 1).kind, PLACE_OFFSET);
	// As the kernel's event writes the path of a deleted file: its own path may be another's by
	// now.
	write_elf("gone", 9, 5000, VADDR);
	char path[500];
	snprintf(path, sizeof(path), "%s (deleted)", file("gone"));
	begins_anew(50, path, NULL, inode_of("gone"));
	place = place_in(50, 1);
	assert_int_equal(place.kind, PLACE_OFFSET);
	assert_string_equal(binary_by_id(table, place.owner)->path, file("gone"));
}

static void what_is_no_program_has_offsets(void **state)
{
	(void)state;
	FILE *f = fopen(file("text"), "w");
	fputs("no program at all, but mapped", f);
	fclose(f);
	add_process(60, "text", "", 0, 1);
	assert_int_equal(place_in(60, 1).kind, PLACE_OFFSET);
	// A FIFO where a file was: not opened, nobody waits.
	mkfifo(file("fifo"), 0600);
	add_process(61, "fifo", "", 0, 1);
	assert_int_equal(place_in(61, 1).kind, PLACE_OFFSET);
	add_process(62, "text", "", 0, 1);
	unlink(file("text"));
	assert_int_equal(symlink("/dev/zero", file("text")), 0);
	assert_int_equal(place_in(62, 1).kind, PLACE_OFFSET);
}

static void pinned_descriptors_have_a_bound_and_come_back(void **state)
{
	(void)state;
	char name[16];
	uint32_t owner[20];
	for (uint32_t i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "lib%u", i);
		write_elf(name, (uint8_t)(i + 1), 5000 + i, VADDR);
		add_process(100 + i, name, "", 0, 1);
	}
	fakeproc_add(1, 0, "init", 1, "");
	fake_mount_ns(1, 1);
	int before = descriptors();
	for (uint32_t i = 0; i < 20; i++) {
		owner[i] = place_in(100 + i, 1).owner;
		assert_true(table->pinned <= 6); // of 8, two are for roots
	}
	assert_true(descriptors() - before <= 6 + 1); // one mount namespace
	for (uint32_t i = 0; i < 20; i++) {
		table->now_ns++; // later
		struct binary *b = binary_by_id(table, owner[i]);
		int fd = binary_fd(table, b);
		assert_true(fd >= 0);
		assert_int_equal(b->fd, fd);
		struct stat st;
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, 5000 + i);
		assert_int_equal(binary_fd(table, b), fd); // kept
		assert_true(table->pinned <= 6);
	}
	assert_true(descriptors() - before <= 6 + 1);
	// Of 0 the descriptor was closed; another file lies there now.
	struct binary *b = binary_by_id(table, owner[0]);
	assert_int_equal(b->fd, -1);
	write_elf("next", 1, 5001, VADDR);
	assert_int_equal(rename(file("next"), file("lib0")), 0);
	assert_int_equal(binary_fd(table, b), -ESTALE);
	write_elf("next", 99, 5000, VADDR);
	assert_int_equal(rename(file("next"), file("lib0")), 0);
	assert_int_equal(binary_fd(table, b), -ESTALE);
	unlink(file("lib0"));
	assert_int_equal(binary_fd(table, b), -ENOENT);
	// Of 19 it is open; the file is overwritten in place.
	b = binary_by_id(table, owner[19]);
	assert_true(b->fd >= 0);
	write_elf("lib19", 77, 5019, VADDR);
	struct timeval times[2] = {{1000000, 0}, {1000000, 0}};
	utimes(file("lib19"), times);
	assert_int_equal(binary_fd(table, b), -ESTALE);
	assert_int_equal(b->fd, -1);
}

static void a_forgotten_binary_is_found_again(void **state)
{
	(void)state;
	char name[16];
	for (uint32_t i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "lib%u", i);
		write_elf(name, (uint8_t)(i + 1), 5000 + i, VADDR);
		add_process(100 + i, name, "", 0, 1);
	}
	for (int round = 0; round < 3; round++)
		for (uint32_t i = 0; i < 40; i++) {
			struct place place = place_in(100 + i, 1);
			assert_int_equal(place.kind, PLACE_FILE);
			assert_string_equal(binary_by_id(table, place.owner)->path,
			    (snprintf(name, sizeof(name), "lib%u", i), file(name)));
			assert_true(table->binaries.count <= 30);
			assert_true(table->by_key.count <= 30 && table->by_build_id.count <= 61);
			assert_true(table->sampled.count <= 61);
		}
	assert_int_equal(count_get(COUNT_BINARIES), table->binaries.count);
}

static void a_file_that_is_gone_is_known_by_its_build_id(void **state)
{
	(void)state;
	uint8_t id[20];
	memset(id, 7, sizeof(id));
	write_elf("app", 7, 5000, VADDR);
	add_process(200, "app", "", 0, 1);
	struct place first = place_in(200, 1);
	begins_anew(201, "/not/there", id, 0);
	struct place place = place_in(201, 3);
	assert_int_equal(place.kind, PLACE_FILE);
	assert_int_equal(place.owner, first.owner);
	// Two files with that build-id: then it says nothing any more.
	write_elf("forged", 7, 5001, 0x666000);
	add_process(202, "forged", "", 0, 1);
	assert_int_not_equal(place_in(202, 1).owner, first.owner);
	begins_anew(201, "/not/there", id, 0);
	place = place_in(201, 3);
	assert_int_equal(place.kind, PLACE_OFFSET);
	assert_int_equal(place_in(200, 1).owner, first.owner);
}

static void a_recording_is_told_once(void **state)
{
	(void)state;
	write_elf("app", 7, 5000, VADDR);
	add_process(210, "app", "", 0, 1);
	struct place place = place_in(210, 1);
	place_in(210, 1);
	assert_int_equal(mapped_calls, 1);
	assert_int_equal(mapped_binary, place.owner);
	// The table forgot the binary meanwhile: the next one is told again.
	uint64_t v;
	assert_true(map_get(&table->binaries, place.owner, &v));
	binary_drop(table, (struct binary_entry *)(uintptr_t)v);
	struct place again = place_in(210, 1);
	assert_int_equal(again.kind, PLACE_FILE);
	assert_int_equal(mapped_calls, 2);
	assert_int_equal(mapped_binary, again.owner);
	// Code of no file is told too, and the vdso.
	fakeproc_write(211, "stat", "");
	fakeproc_add(211, 1, "jit", 700,
	    "10000-20000 r-xp 00000000 00:00 0 \n7f0000000000-7f0000002000 r-xp 00000000 00:00 0 "
	    "[vdso]\n");
	struct record_sample r = sample(211, 1, 700, "jit", clock_now());
	for (int i = 0; i < 3; i++) {
		process_place(table, process_of(table, &r), 0x10000);
		process_place(table, process_of(table, &r), 0x7f0000000000);
	}
	assert_int_equal(mapped_calls, 4);
	assert_int_equal(mapped_binary, 0);
}

static void files_beside(void **state)
{
	(void)state;
	write_elf("app", 7, 5000, VADDR);
	write_elf("app.debug", 7, 7000, VADDR);
	add_process(220, "app", "", 0, 1);
	struct binary *b = binary_in(220, 1);
	int fd = binary_open_beside(table, b, file("app.debug"));
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 7000);
	close(fd);
	assert_int_equal(binary_open_beside(table, b, file("none")), -ENOENT);
	assert_int_equal(binary_open_beside(table, b, files), -EINVAL);
}

static void any_allocation_may_fail(void **state)
{
	for (uint64_t nth = 1; nth < 100; nth++) {
		teardown(state);
		assert_int_equal(setup_files(state), 0);
		write_elf("app", 7, 5000, VADDR);
		write_elf("lib", 8, 5000, VADDR);
		add_process(230, "app", "", 0, 1);
		add_process(231, "lib", "", 0, 1);
		int before = descriptors();
		mem_fail_at(nth);
		for (uint32_t pid = 230; pid < 232; pid++) {
			struct place place = place_if_any(pid);
			assert_true(place.kind != PLACE_FILE || binary_by_id(table, place.owner));
		}
		bool over = mem_fail_seen() < nth;
		mem_fail_at(0);
		assert_true(descriptors() - before <= 2 + 1);
		if (over)
			return;
	}
	fail();
}

int main(void)
{
	options_now =
	    (struct process_options){.processes_max = 100, .binaries_max = 30, .pinned_max = 8};
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		one_file_in_two_processes_is_one, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(
		a_file_that_is_as_it_was_is_not_read_again, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(the_same_build_id_is_not_enough, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(
		without_a_build_id_the_inode_decides, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(
		a_file_replaced_after_it_was_mapped_is_not_taken, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(
		a_deleted_file_is_opened_by_its_mapping, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(what_is_no_program_has_offsets, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(
		pinned_descriptors_have_a_bound_and_come_back, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(
		a_forgotten_binary_is_found_again, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(
		a_file_that_is_gone_is_known_by_its_build_id, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(a_recording_is_told_once, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(files_beside, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(any_allocation_may_fail, setup_files, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
