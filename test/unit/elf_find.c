// SPDX-License-Identifier: Apache-2.0
// Variables by name, and where there are no names by the code that loads them.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/elf/find.c"
#include "go_image.h"

#define DATA 0x90000 // variables

static struct image m;
static uint8_t table[1 << 15];
static struct elf_variable got[3];

static int find(int fd)
{
	static const struct elf_variable wanted[] = {
	    {"runtime.list", {"runtime.flush", "runtime.old"}}, {"runtime.rate", {"runtime.cache"}},
	    {"runtime.version"}};
	memcpy(got, wanted, sizeof(got));
	struct elf_find *f = elf_find_new(fd, got, 3);
	int more = f ? 1 : -errno;
	while (more > 0)
		more = elf_find_step(f, 0);
	if (f)
		elf_find_free(f);
	return more;
}

static int find_in_image(void)
{
	int fd = image_fd(&m, m.size);
	int result = find(fd);
	close(fd);
	assert_int_equal(mem_used(ACCOUNT_ELF), 0);
	return result;
}

static void begin_data(void)
{
	image_load(&m, 0, 16, DATA, PF_R | PF_W);
}

static void by_their_names(void **state)
{
	(void)state;
	image_begin(&m);
	for (int i = 0; i < 200; i++)
		image_symbol(&m, "runtime.list.not", 1, 8, STB_LOCAL, STT_OBJECT);
	image_symbol(&m, "xruntime.list", 1, 8, STB_LOCAL, STT_OBJECT);
	image_symbol(&m, "runtime.rate", 2, 8, STB_LOCAL, STT_FUNC);
	image_symbol(&m, "runtime.list", DATA + 8, 8, STB_LOCAL, STT_OBJECT);
	image_table(&m, SHT_SYMTAB);
	image_end(&m);
	assert_int_equal(find_in_image(), 0);
	assert_int_equal(got[0].address, DATA + 8);
	assert_int_equal(got[1].address, 0);
	assert_int_equal(got[2].address, 0);
}

// REX.W mov reg, [rip + D] at OFFSET in the code, that loads ADDRESS.
static void put_load(char *hex, uint64_t at, uint64_t address, const char *opcode)
{
	int32_t distance = (int32_t)(address - (at + 7));
	uint8_t bytes[4];
	memcpy(bytes, &distance, 4);
	sprintf(hex, "%s %02x%02x%02x%02x c3", opcode, bytes[0], bytes[1], bytes[2], bytes[3]);
}

static void make_go(uint8_t version, const char *list_in)
{
	static char load[4][64], both[128];
	put_load(load[0], GO_TEXT + 16, DATA + 0x10, "488b0d");	    // mov rcx
	put_load(load[1], GO_TEXT + 32, DATA + 0x20, "4c8b3d");	    // mov r15
	put_load(load[2], GO_TEXT + 48, DATA + 0x30, "488b05");	    // rax, and
	put_load(load[3], GO_TEXT + 48 + 8, DATA + 0x38, "488b15"); // rdx: which is it?
	snprintf(both, sizeof(both), "%s%s", load[2], load[3]);
	struct go_code code[] = {
	    {"runtime.first", 0, {{16, 0}}, .bytes = "90"},
	    {list_in, 0, {{16, 0}}, .bytes = load[0]},
	    {"runtime.cache", 0, {{16, 0}}, .bytes = load[1]},
	    {"runtime.two", 0, {{16, 0}}, .bytes = both},
	};
	size_t size = go_table(table, version, code, 4, 1);
	go_image(&m, code, 4, table, size);
	begin_data();
	image_end(&m);
}

static void by_the_code_that_loads_them(void **state)
{
	(void)state;
	for (size_t v = 0; v < sizeof(go_versions); v++) {
		make_go(go_versions[v], v % 2 ? "runtime.flush" : "runtime.old");
		assert_int_equal(find_in_image(), 0);
		assert_int_equal(got[0].address, DATA + 0x10);
		assert_int_equal(got[1].address, DATA + 0x20);
		assert_int_equal(got[2].address, 0);
		make_go(go_versions[v], "runtime.another");
		assert_int_equal(find_in_image(), 0);
		assert_int_equal(got[0].address, 0);
	}
}

// What loads two variables says nothing of either.
static void of_two_none(void **state)
{
	(void)state;
	make_go(0xf1, "runtime.flush");
	static const struct elf_variable wanted = {"runtime.x", {"runtime.two"}};
	struct elf_variable one = wanted;
	int fd = image_fd(&m, m.size);
	struct elf_find *f = elf_find_new(fd, &one, 1);
	assert_non_null(f);
	while (elf_find_step(f, 0) == 1)
		;
	assert_int_equal(one.address, 0);
	assert_int_equal(elf_find_minor(f), 20);
	elf_find_free(f);
	close(fd);
}

static void what_is_no_program(void **state)
{
	(void)state;
	struct elf_variable long_name = {
	    "runtime.a_name_that_is_longer_than_any_that_there_is_and_longer_than_that"};
	image_begin(&m);
	image_end(&m);
	assert_int_equal(find_in_image(), -ENOENT); // no table of functions
	m.at[0] = 0;
	assert_int_equal(find_in_image(), -EBADMSG);
	assert_null(elf_find_new(-1, &long_name, 1));
	assert_int_equal(errno, EINVAL);
	assert_int_equal(find(-1), -EBADF);
	make_go(0xf1, "runtime.flush");
	for (size_t cut = CONTENTS; cut < m.size; cut += 41) { // a file that ends anywhere
		int fd = image_fd(&m, cut);
		find(fd);
		close(fd);
	}
	assert_int_equal(mem_used(ACCOUNT_ELF), 0);
}

static void any_allocation_may_fail(void **state)
{
	(void)state;
	make_go(0xf1, "runtime.flush");
	for (uint64_t n = 1;; n++) {
		mem_fail_at(n);
		int result = find_in_image();
		bool failed = mem_fail_seen() >= n;
		mem_fail_at(0);
		if (!failed) {
			assert_int_equal(result, 0);
			break;
		}
		assert_true(result < 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(by_their_names),
	    cmocka_unit_test(by_the_code_that_loads_them),
	    cmocka_unit_test(of_two_none),
	    cmocka_unit_test(what_is_no_program),
	    cmocka_unit_test(any_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
