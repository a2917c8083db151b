// SPDX-License-Identifier: Apache-2.0
// Files that claim to be one by build-id, size and layout: whether they are is told by their
// content.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/process/private.h"

// The sample of a file's content, which a test may let fail.
static int sample_error;
static unsigned samples;
static int sample_file(int fd, uint64_t size, const struct elf_secret *secret, uint64_t *sum)
{
	samples++;
	return sample_error ? sample_error : elf_sample(fd, size, secret, sum);
}
#define elf_sample sample_file

#include "../../modules/process/binary.c"
#include "process_files.h"

// Equal in build-id, size and where the code lies: only what is in them differs.
static void two_that_claim_to_be_one(const char *first, const char *second)
{
	uint64_t unlike = count_get(COUNT_BINARIES_UNLIKE);
	add_process(24, first, "", 0, 1);
	add_process(25, second, "", 0, 2);
	struct place a = place_in(24, 1), b = place_in(25, 2);
	assert_int_equal(a.kind, PLACE_FILE);
	assert_int_equal(b.kind, PLACE_FILE);
	assert_int_not_equal(a.owner, b.owner);
	assert_int_equal(count_get(COUNT_BINARIES_UNLIKE), unlike + 1);
	assert_string_equal(binary_by_id(table, a.owner)->path, file(first));
	assert_string_equal(binary_by_id(table, b.owner)->path, file(second));
	// Each time, and each with its own bytes.
	assert_int_equal(place_in(24, 1).owner, a.owner);
	char byte[2];
	for (int i = 0; i < 2; i++) {
		int fd = binary_fd(table, binary_by_id(table, i ? b.owner : a.owner));
		assert_int_equal(pread(fd, &byte[i], 1, 4000), 1);
	}
	assert_int_not_equal(byte[0], byte[1]);
	// A copy of either is the same as that one.
	write_elf("copy of genuine", 7, 5000, VADDR);
	write_forged("copy of forged", 7, 5000, 4000);
	add_process(26, "copy of genuine", "", 0, 3);
	add_process(27, "copy of forged", "", 0, 4);
	bool genuine_first = strcmp(first, "genuine") == 0;
	assert_int_equal(place_in(26, 3).owner, genuine_first ? a.owner : b.owner);
	assert_int_equal(place_in(27, 4).owner, genuine_first ? b.owner : a.owner);
	assert_int_equal(count_get(COUNT_BINARIES_UNLIKE), unlike + 1);
	assert_int_equal(table->binaries.count, 2);
}

static void a_forged_copy_is_another_file(void **state)
{
	for (int turn = 0; turn < 2; turn++) {
		teardown(state);
		assert_int_equal(setup_files(state), 0);
		write_elf("genuine", 7, 5000, VADDR);
		write_forged("forged", 7, 5000, 4000);
		two_that_claim_to_be_one(turn ? "forged" : "genuine", turn ? "genuine" : "forged");
	}
}

static void a_file_is_sampled_once_while_it_is_as_it_was(void **state)
{
	(void)state;
	write_elf("app", 7, 5000, VADDR);
	samples = 0;
	for (uint32_t pid = 300; pid < 350; pid++) {
		add_process(pid, "app", "", 0, 1);
		place_in(pid, 1);
	}
	assert_int_equal(samples, 1);
	// What was written to, whatever its times say, is another file. The kernel's clock for them
	// ticks every few milliseconds.
	usleep(20000);
	struct stat st;
	assert_int_equal(stat(file("app"), &st), 0);
	write_forged("app", 7, 5000, 4500);
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	assert_int_equal(utimensat(AT_FDCWD, file("app"), times, 0), 0);
	add_process(350, "app", "", 0, 1);
	assert_int_not_equal(place_in(350, 1).owner, place_in(300, 1).owner);
	assert_int_equal(samples, 2);
}

static void a_copy_that_is_forged_after_it_was_seen_names_nothing(void **state)
{
	(void)state;
	write_elf("copy", 7, 5000, VADDR);
	write_elf("genuine", 7, 5000, VADDR);
	add_process(24, "copy", "", 0, 1);
	add_process(25, "genuine", "", 0, 2);
	struct binary *b = binary_by_id(table, place_in(24, 1).owner);
	assert_int_equal(place_in(25, 2).owner, b->id);
	struct stat st;
	assert_int_equal(fstat(binary_fd(table, b), &st), 0);
	write_forged("copy", 7, 5000, 4500);
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	assert_int_equal(utimensat(AT_FDCWD, file("copy"), times, 0), 0);
	assert_int_equal(binary_fd(table, b), -ESTALE);
	// The next process that maps the genuine file brings it back.
	add_process(26, "genuine", "", 0, 2);
	assert_int_equal(place_in(26, 2).owner, b->id);
	struct stat now;
	assert_int_equal(fstat(binary_fd(table, b), &now), 0);
	assert_int_equal(now.st_ino, inode_of("genuine"));
	// Renamed, linked, with other rights: still the same.
	assert_int_equal(chmod(file("genuine"), 0700), 0);
	assert_int_equal(unlink(file("genuine")), 0);
	assert_true(binary_fd(table, b) >= 0);
}

static void what_cannot_be_sampled_is_one_with_itself(void **state)
{
	(void)state;
	write_elf("a", 7, 5000, VADDR);
	write_elf("b", 7, 5000, VADDR);
	for (uint32_t i = 0; i < 4; i++)
		add_process(400 + i, i < 2 ? "a" : "b", "", 0, 1);
	sample_error = -EIO;
	struct place a = place_in(400, 1), b = place_in(402, 1);
	assert_int_equal(a.kind, PLACE_FILE);
	assert_int_not_equal(a.owner, b.owner);
	assert_int_equal(place_in(401, 1).owner, a.owner);
	assert_int_equal(place_in(403, 1).owner, b.owner);
	struct binary *binary = binary_by_id(table, a.owner);
	assert_true(binary_fd(table, binary) >= 0);
	binary_unpin(table, (struct binary_entry *)binary);
	assert_true(binary_fd(table, binary) >= 0);
	sample_error = 0; // it can be again: no second file for that
	assert_true(binary_fd(table, binary) >= 0);
	add_process(404, "a", "", 0, 1);
	assert_int_equal(place_in(404, 1).owner, a.owner);
	// One that could be at first is not taken for the same while it cannot.
	write_elf("c", 9, 5000, VADDR);
	add_process(405, "c", "", 0, 1);
	binary = binary_in(405, 1);
	sample_error = -EBADMSG;
	assert_int_equal(binary_fd(table, binary), -ESTALE);
	sample_error = 0;
	assert_true(binary_fd(table, binary) >= 0);
}

// By its build-id a file is known enough to unwind by, as long as there is one with it.
static void guesses(void **state)
{
	(void)state;
	uint8_t id[20];
	memset(id, 7, sizeof(id));
	write_elf("genuine", 7, 5000, VADDR);
	begins_anew(500, file("genuine"), id, 0);
	mapped(500, 0x30000, 0x10000, 0, file("genuine"), NULL, 0, clock_now());
	mapped(500, 0x50000, 0x10000, 0, "//anon", NULL, 0, clock_now());
	struct record_sample r = sample(500, 1, 700, "app", clock_now());
	struct process *p = process_of(table, &r);
	uint32_t count;
	const struct process_mapping *m = process_mappings(table, p, &count);
	assert_int_equal(count, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(process_mapping_guess(table, &m[i]), 0); // nobody has it yet
	add_process(501, "genuine", "", 0, 1);
	struct place place = place_in(501, 1);
	unsigned before = samples;
	m = process_mappings(table, p, &count);
	assert_int_equal(process_mapping_guess(table, &m[0]), place.owner);
	assert_int_equal(process_mapping_guess(table, &m[1]), 0);
	assert_int_equal(process_mapping_guess(table, &m[2]), 0);
	assert_int_equal(samples, before); // without a look into any file
	assert_int_equal(m[0].binary, 0);
	// Two have it: no guess. What was opened needs none.
	write_forged("forged", 7, 5000, 4000);
	add_process(502, "forged", "", 0, 1);
	struct place forged = place_in(502, 1);
	assert_int_equal(process_mapping_guess(table, &m[0]), 0);
	assert_int_equal(process_mapping_binary(table, p, 0x10040), place.owner);
	assert_int_equal(process_mapping_binary(table, p, 0x50040), 0);
	assert_int_equal(process_mapping_binary(table, p, 0x70040), 0);
	m = process_mappings(table, p, &count);
	assert_int_equal(process_mapping_guess(table, &m[0]), place.owner);
	struct process_mapping other = m[0];
	other.binary = forged.owner;
	assert_int_equal(process_mapping_guess(table, &other), forged.owner);
}

// A debug file that lies in a container says nothing about the same program in another.
static void what_lies_beside_a_file_is_of_its_container(void **state)
{
	(void)state;
	write_elf("app", 7, 5000, VADDR);
	write_elf("app.debug", 7, 7000, VADDR);
	uint64_t unlike = count_get(COUNT_BINARIES_UNLIKE);
	for (uint32_t i = 0; i < 8; i++)
		add_process(600 + i, "app", "", 0, i < 4 ? 5 : 6);
	// Found in one before anybody else has the program: then it is that one's for ever.
	struct binary *b = binary_in(600, 5);
	assert_int_equal(binary_open_beside(table, b, file("none")), -ENOENT);
	int fd = binary_open_beside(table, b, file("app.debug"));
	assert_true(fd >= 0);
	close(fd);
	uint32_t five = b->id, six = place_in(604, 6).owner;
	assert_int_not_equal(five, six);
	assert_int_equal(place_in(601, 5).owner, five);
	assert_int_equal(place_in(605, 6).owner, six);
	assert_true(binary_fd(table, binary_by_id(table, five)) >= 0);
	binary_unpin(table, (struct binary_entry *)binary_by_id(table, five));
	assert_int_equal(place_in(602, 5).owner, five);
	assert_true(binary_by_id(table, five)->fd >= 0);
	assert_int_equal(count_get(COUNT_BINARIES_UNLIKE), unlike);
	// What is gone, known by its build-id only, is not that one's.
	uint8_t id[20];
	memset(id, 7, sizeof(id));
	begins_anew(610, "/not/there", id, 0);
	assert_int_equal(place_in(610, 7).owner, six);
	// So the other is of two now: only the host may say more about it.
	b = binary_by_id(table, six);
	assert_int_equal(binary_open_beside(table, b, file("app.debug")), -ENOENT);
	fakeproc_add(1, 0, "init", 1, "");
	fake_mount_ns(1, 1);
	fd = binary_open_beside(table, b, file("app.debug"));
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(place_in(606, 6).owner, six);
	// What the host itself runs stays everybody's.
	write_elf("of host", 8, 5000, VADDR);
	add_process(620, "of host", "", 0, 1);
	add_process(621, "of host", "", 0, 6);
	b = binary_in(620, 1);
	fd = binary_open_beside(table, b, file("app.debug"));
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(place_in(621, 6).owner, b->id);
	// Nothing is left of one that is dropped.
	uint32_t keys = table->by_key.count;
	binary_drop(table, (struct binary_entry *)binary_by_id(table, five));
	assert_int_equal(table->by_key.count, keys - 1);
	assert_int_not_equal(place_in(603, 5).owner, five);
}

static void any_allocation_may_fail(void **state)
{
	for (uint64_t nth = 1; nth < 100; nth++) {
		teardown(state);
		assert_int_equal(setup_files(state), 0);
		write_elf("genuine", 7, 5000, VADDR);
		write_elf("copy", 7, 5000, VADDR);
		write_forged("forged", 7, 5000, 4000);
		add_process(230, "genuine", "", 0, 1);
		add_process(231, "forged", "", 0, 1);
		add_process(232, "copy", "", 0, 1);
		uint32_t owner[3] = {0};
		mem_fail_at(nth);
		for (uint32_t i = 0; i < 3; i++) {
			struct place place = place_if_any(230 + i);
			owner[i] = place.kind == PLACE_FILE ? place.owner : 0;
		}
		bool over = mem_fail_seen() < nth;
		mem_fail_at(0);
		assert_true(!owner[1] || (owner[1] != owner[0] && owner[1] != owner[2]));
		assert_true(!owner[0] || !owner[2] || owner[0] == owner[2]);
		if (over) {
			assert_true(owner[0] && owner[1] && owner[2]);
			return;
		}
	}
	fail();
}

int main(void)
{
	options_now =
	    (struct process_options){.processes_max = 100, .binaries_max = 30, .pinned_max = 8};
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_forged_copy_is_another_file, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(
		a_file_is_sampled_once_while_it_is_as_it_was, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(
		a_copy_that_is_forged_after_it_was_seen_names_nothing, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(
		what_cannot_be_sampled_is_one_with_itself, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(guesses, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(
		what_lies_beside_a_file_is_of_its_container, setup_files, teardown),
	    cmocka_unit_test_setup_teardown(any_allocation_may_fail, setup_files, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
