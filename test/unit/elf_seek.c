// SPDX-License-Identifier: Apache-2.0
// Functions looked for by name.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "elf_image.h"
#include "../../modules/elf/seek.c"

static const char *const wanted[] = {"malloc", "free", "je_malloc", NULL};
static struct image m;
static struct {
	uint64_t vaddr, offset;
	unsigned times;
} got[3];

static void on_found(void *arg, uint32_t name, uint64_t vaddr, uint64_t offset)
{
	(void)arg;
	assert_true(name < 3);
	got[name].vaddr = vaddr;
	got[name].offset = offset;
	got[name].times++;
}

// What a search of FD ends with.
static int search(int fd, uint64_t *functions)
{
	memset(got, 0, sizeof(got));
	struct elf_seek *s = elf_seek_new(fd, wanted, on_found, NULL);
	if (!s)
		return -errno;
	int more;
	while ((more = elf_seek_step(s, 0)) > 0)
		;
	*functions = elf_seek_functions(s);
	elf_seek_free(s);
	return more;
}

static int make(size_t cut)
{
	image_begin(&m);
	image_function(&m, "malloc@@GLIBC_2.2.5", TEXT_ADDRESS + 0x800, 16);
	image_function(&m, "malloc_usable_size", TEXT_ADDRESS + 0x900, 16);
	image_table(&m, SHT_DYNSYM);
	for (int i = 0; i < 300; i++) {
		char name[16];
		snprintf(name, sizeof(name), "f%d", i);
		image_function(&m, name, TEXT_ADDRESS + 0x1000, 1);
	}
	image_function(&m, "free", TEXT_ADDRESS + 0xa00, 16);
	image_symbol(&m, "je_malloc", TEXT_ADDRESS + 0xb00, 8, STB_GLOBAL, STT_OBJECT);
	image_function(
	    &m, "je_malloc", 0x99999999, 16); // in no segment, as in a separate debug file
	image_function(&m, "malloc", TEXT_ADDRESS + 0x800, 16);
	m.symbols[m.symbol_count - 1].st_shndx = SHN_UNDEF;
	image_table(&m, SHT_SYMTAB);
	image_end(&m);
	return image_fd(&m, cut ? cut : m.size);
}

static void both_tables_are_read(void **state)
{
	uint64_t functions = 0;
	(void)state;
	int fd = make(0);
	assert_int_equal(search(fd, &functions), 0);
	assert_int_equal(got[0].vaddr, TEXT_ADDRESS + 0x800);
	assert_int_equal(got[0].offset, 0x800);
	assert_int_equal(got[0].times, 1);
	assert_int_equal(got[1].offset, 0xa00);
	assert_int_equal(got[2].times, 1);
	assert_int_equal(got[2].vaddr, 0x99999999);
	assert_int_equal(got[2].offset, 0); // it lies in another file
	assert_int_equal(functions, 304);
	close(fd);
	assert_int_equal(mem_used(ACCOUNT_ELF), 0);
}

static void a_file_without_names_has_no_functions(void **state)
{
	uint64_t functions = 1;
	(void)state;
	image_begin(&m);
	image_end(&m);
	int fd = image_fd(&m, m.size);
	assert_int_equal(search(fd, &functions), 0);
	assert_int_equal(functions, 0);
	close(fd);
}

static void files_that_lie(void **state)
{
	uint64_t functions;
	(void)state;
	for (size_t cut = 1; cut < m.size; cut += 97) {
		int fd = make(cut);
		search(fd, &functions); // whatever it says, it comes to an end
		close(fd);
		assert_int_equal(mem_used(ACCOUNT_ELF), 0);
	}
	int fd = memfd_create("text", MFD_CLOEXEC);
	assert_int_equal(write(fd, "#!/bin/sh\n", 10), 10);
	assert_int_equal(search(fd, &functions), -EBADMSG);
	close(fd);
	assert_true(search(-1, &functions) < 0);
}

static void memory_may_end_anywhere(void **state)
{
	uint64_t functions;
	bool over = false;
	(void)state;
	int fd = make(0);
	for (uint64_t n = 1; !over; n++) {
		mem_fail_at(n);
		int result = search(fd, &functions);
		over = mem_fail_seen() < n;
		mem_fail_at(0);
		assert_true(over ? result == 0 : result == -ENOMEM);
		assert_int_equal(mem_used(ACCOUNT_ELF), 0);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(both_tables_are_read),
	    cmocka_unit_test(a_file_without_names_has_no_functions),
	    cmocka_unit_test(files_that_lie),
	    cmocka_unit_test(memory_may_end_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
