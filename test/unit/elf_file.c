// SPDX-License-Identifier: Apache-2.0
// Section tables: the ways to count them, the ways to lie, and what overlaps.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/elf/file.c"
#include "../../modules/elf/view.c"
#include "elf_image.h"

static struct image m;

static void make(void)
{
	image_begin(&m);
	image_function(&m, "f", TEXT_ADDRESS, 16);
	image_table(&m, SHT_SYMTAB);
	image_end(&m);
}

// M from memory and from a file: the same. Returns file_open's result.
static int open_both(struct elf_file *f, size_t size)
{
	static int fd = -1;
	if (fd >= 0)
		close(fd);
	struct view memory, file;
	struct elf_file g;
	fd = image_fd(&m, size);
	assert_int_equal(view_file(&file, fd), 0);
	view_memory(&memory, m.at, size);
	int r = file_open(&g, &file);
	assert_int_equal(file_open(f, &memory), r);
	assert_int_equal(f->symtab.size, g.symtab.size);
	assert_int_equal(f->symtab_names.offset, g.symtab_names.offset);
	assert_int_equal(f->code_count, g.code_count);
	if (f->code_count)
		assert_memory_equal(f->code, g.code, f->code_count * sizeof(*f->code));
	file_close(&g);
	if (r)
		assert_int_equal(mem_used(ACCOUNT_ELF), 0);
	return r;
}

static int open_result(void)
{
	struct elf_file f;
	int r = open_both(&f, m.size);
	file_close(&f);
	assert_int_equal(mem_used(ACCOUNT_ELF), 0);
	return r;
}

static void numbers_that_do_not_fit_the_header(void **state)
{
	(void)state;
	struct elf_file f;
	make();
	Elf64_Ehdr *e = image_header(&m);
	image_header_of(&m, 0)->sh_size = e->e_shnum;
	image_header_of(&m, 0)->sh_link = e->e_shstrndx;
	e->e_shnum = 0;
	e->e_shstrndx = SHN_XINDEX;
	assert_int_equal(open_both(&f, m.size), 0);
	assert_true(f.has_sections && f.code_count == 1 && f.symtab.size == 2 * sizeof(Elf64_Sym));
	file_close(&f);
	// The same for a number that is too large to be borne, and for no number at all.
	static const uint64_t counts[] = {
	    FILE_SECTIONS_MAX + 1, 65536, UINT32_MAX, UINT64_MAX, UINT64_MAX / 64};
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		image_header_of(&m, 0)->sh_size = counts[i];
		assert_int_equal(open_result(), -EBADMSG);
	}
	image_header_of(&m, 0)->sh_size = 0;
	assert_int_equal(open_both(&f, m.size), 0);
	assert_true(!f.has_sections && f.code_count == 1);
	file_close(&f);
	// A string table that is not there leaves what is known by type.
	make();
	static const uint16_t indexes[] = {0, 4, 1, 200, SHN_LORESERVE, SHN_XINDEX};
	for (size_t i = 0; i < sizeof(indexes) / sizeof(*indexes); i++) {
		image_header(&m)->e_shstrndx = indexes[i];
		assert_int_equal(open_both(&f, m.size), 0);
		assert_int_equal(f.symtab.size, 2 * sizeof(Elf64_Sym));
		file_close(&f);
	}
}

// As many sections as are borne, and one more, in a file that really has them.
static void too_many_sections(void **state)
{
	(void)state;
	for (unsigned more = 0; more < 2; more++) {
		struct elf_file f;
		struct view v;
		make();
		image_header(&m)->e_shoff = m.size;
		image_header(&m)->e_shnum = FILE_SECTIONS_MAX + more;
		int fd = image_fd(&m, m.size);
		assert_int_equal(ftruncate(fd, 1 << 20), 0);
		assert_int_equal(view_file(&v, fd), 0);
		assert_int_equal(file_open(&f, &v), more ? -EBADMSG : 0);
		file_close(&f);
		close(fd);
	}
}

static void links_that_lie(void **state)
{
	(void)state;
	struct elf_file f;
	make();
	static const uint32_t links[] = {0, 1, 3 /* itself */, 99, UINT32_MAX};
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		image_header_of(&m, 3)->sh_link = links[i];
		assert_int_equal(open_both(&f, m.size), 0);
		assert_int_equal(f.symtab.size, 0);
		file_close(&f);
	}
	make();
	image_header_of(&m, 3)->sh_entsize = 16;
	assert_int_equal(open_both(&f, m.size), 0);
	assert_int_equal(f.symtab.size, 0);
	file_close(&f);
}

static void contents_that_are_not_there(void **state)
{
	(void)state;
	static const struct {
		uint64_t offset, size, flags;
		uint32_t type;
	} lies[] = {
	    {UINT64_MAX, 48, 0, SHT_SYMTAB},
	    {0, UINT64_MAX, 0, SHT_SYMTAB},
	    {8, UINT64_MAX - 4, 0, SHT_SYMTAB},
	    {0, 48, SHF_COMPRESSED, SHT_SYMTAB},
	    {0, 48, 0, SHT_NOBITS},
	    {1 << 17, 48, 0, SHT_SYMTAB},
	};
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		struct elf_file f;
		make();
		Elf64_Shdr *h = image_header_of(&m, 3);
		h->sh_offset = lies[i].offset;
		h->sh_size = lies[i].size;
		h->sh_flags = lies[i].flags;
		h->sh_type = lies[i].type;
		assert_int_equal(open_both(&f, m.size), 0);
		assert_int_equal(f.symtab.size, 0);
		file_close(&f);
	}
}

static void headers_that_lie(void **state)
{
	(void)state;
	make();
	Elf64_Ehdr good = *image_header(&m), *e = image_header(&m);
	e->e_shoff = UINT64_MAX - 10;
	assert_int_equal(open_result(), -EBADMSG);
	*e = good, e->e_shoff = m.size - 8;
	assert_int_equal(open_result(), -EBADMSG);
	*e = good, e->e_shnum = 4000;
	assert_int_equal(open_result(), -EBADMSG);
	*e = good, e->e_shentsize = 63;
	assert_int_equal(open_result(), -EBADMSG);
	*e = good, e->e_phoff = UINT64_MAX;
	assert_int_equal(open_result(), -EBADMSG);
	*e = good, e->e_phnum = 0xffff;
	assert_int_equal(open_result(), -EBADMSG);
	*e = good, e->e_ident[EI_CLASS] = 7;
	assert_int_equal(open_result(), -EBADMSG);
	*e = good, e->e_ident[EI_CLASS] = ELFCLASS32;
	assert_int_equal(open_result(), -ENOTSUP);
	*e = good;
	assert_int_equal(open_result(), 0);
	struct elf_file f;
	struct view v;
	view_memory(&v, m.at, m.size);
	mem_fail_at(1);
	assert_int_equal(file_open(&f, &v), -ENOMEM);
	mem_fail_at(0);
}

static void code_that_overlaps(void **state)
{
	(void)state;
	struct elf_file f;
	image_begin(&m);
	static const uint64_t ranges[][2] = {{0x1000, 0x100}, {0x1080, 0x100}, {0x1000, 0x40},
	    {0x500, 0x10}, {UINT64_MAX - 8, 0x100}, {0x1100, 0}};
	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
		image_code_section(&m, ".c", ranges[i][0], ranges[i][1]);
	image_end(&m);
	assert_int_equal(open_both(&f, m.size), 0);
	for (uint32_t i = 1; i < f.code_count; i++)
		assert_true(
		    f.code[i].start >= f.code[i - 1].end && f.code[i].start < f.code[i].end);
	assert_null(file_code(&f, 0xfff));
	assert_non_null(file_code(&f, 0x1000));
	assert_non_null(file_code(&f, 0x117f));
	assert_null(file_code(&f, 0x1180));
	assert_non_null(file_code(&f, 0x500));
	uint64_t start = 0, end = UINT64_MAX;
	file_clip(&f, 0x800, &start, &end);
	assert_true(start == 0x510 && end == 0x1000);
	assert_true(file_executable(&f, TEXT_ADDRESS, TEXT_ADDRESS + TEXT_SIZE));
	assert_false(file_executable(&f, TEXT_ADDRESS, TEXT_ADDRESS + TEXT_SIZE + 1));
	assert_false(file_executable(&f, TEXT_ADDRESS - 1, TEXT_ADDRESS + 1));
	assert_false(file_executable(&f, TEXT_ADDRESS + 8, TEXT_ADDRESS + 8));
	file_close(&f);
}

static void strings_and_their_ends(void **state)
{
	(void)state;
	static const char bytes[300] = {[0] = 'a', [1] = 'b', [3] = 'c', [4] = 'd', [5] = 'e'};
	struct view v;
	char s[200];
	view_memory(&v, bytes, 6);
	assert_int_equal(view_string(&v, 0, 6, s, sizeof(s)), 2);
	assert_string_equal(s, "ab");
	assert_int_equal(view_string(&v, 3, 6, s, sizeof(s)), -EBADMSG); // no end before the limit
	assert_int_equal(
	    view_string(&v, 3, 300, s, sizeof(s)), -EBADMSG); // nor before the file's end
	assert_int_equal(view_string(&v, 6, 6, s, sizeof(s)), -EBADMSG);
	assert_int_equal(view_string(&v, 2, 6, s, sizeof(s)), 0);
	char longer[400];
	memset(longer, 'x', sizeof(longer));
	view_memory(&v, longer, sizeof(longer));
	assert_int_equal(view_string(&v, 0, 400, s, sizeof(s)), 199); // cut, terminated
	assert_int_equal(strlen(s), 199);
	longer[150] = 0;
	assert_int_equal(view_string(&v, 0, 400, s, sizeof(s)), 150); // in the second read
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_that_do_not_fit_the_header),
	    cmocka_unit_test(too_many_sections),
	    cmocka_unit_test(links_that_lie),
	    cmocka_unit_test(contents_that_are_not_there),
	    cmocka_unit_test(headers_that_lie),
	    cmocka_unit_test(code_that_overlaps),
	    cmocka_unit_test(strings_and_their_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
