// SPDX-License-Identifier: Apache-2.0
// What a file has that rows can be made of.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/unwind/source.c"
#include "unwind_image.h"

static struct image m;
static struct entries e;

static int errno_of(void)
{
	struct source *s = rows_source_new(-1, m.at, m.size, -1);
	int err = s ? 0 : errno;
	int fd = image_fd(&m, m.size);
	struct source *f = rows_source_new(fd, NULL, 0, -1);
	assert_int_equal(f ? 0 : errno, err);
	rows_source_free(s);
	rows_source_free(f);
	close(fd);
	assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
	return err;
}

static void with_frames(int table)
{
	image_begin(&m);
	memset(&e, 0, sizeof(e));
	size_t cie = put_cie(&e, "zR", 16, amd64_cie, sizeof(amd64_cie));
	put_fde(&e, cie, TEXT_ADDRESS, 0x100, NULL, 0);
	image_frames(&m, &e, table);
	image_end(&m);
}

static void what_is_no_use(void **state)
{
	(void)state;
	with_frames(1);
	assert_int_equal(errno_of(), 0);
	image_header(&m)->e_machine = EM_RISCV;
	assert_int_equal(errno_of(), ENOTSUP);
	image_header(&m)->e_machine = EM_AARCH64;
	assert_int_equal(errno_of(), 0);
	image_header(&m)->e_ident[EI_CLASS] = ELFCLASS32;
	assert_int_equal(errno_of(), ENOTSUP);
	image_header(&m)->e_ident[EI_CLASS] = 7;
	assert_int_equal(errno_of(), EBADMSG);
	errno = 0;
	assert_null(rows_source_new(-1, NULL, 0, -1));
	assert_int_equal(errno, EINVAL);
	assert_null(rows_source_new(9999, NULL, 0, -1));
	assert_int_equal(errno, EBADF);
	rows_source_free(NULL);
}

static void nothing_described(void **state)
{
	(void)state;
	image_begin(&m);
	image_end(&m);
	assert_int_equal(errno_of(), ENODATA);
	// An .eh_frame that has its end only, as every program without functions of its own.
	image_begin(&m);
	image_section(&m, ".eh_frame", (Elf64_Shdr){.sh_type = SHT_PROGBITS}, "\0\0\0\0", 4);
	image_end(&m);
	assert_int_equal(errno_of(), ENODATA);
	// Go says it elsewhere.
	image_begin(&m);
	image_section(&m, ".go.buildinfo", (Elf64_Shdr){.sh_type = SHT_PROGBITS}, "x", 1);
	image_end(&m);
	assert_int_equal(errno_of(), 0);
	// Where musl begins a program, alone and where next to nothing else is described.
	image_begin(&m);
	memcpy(m.at + 0x1000, "\x48\x31\xed\x48\x89\xe7\x48\x8d\x35", 9);
	m.size = TEXT_SIZE;
	image_end(&m);
	assert_int_equal(errno_of(), 0);
	struct source *s = rows_source_new(-1, m.at, m.size, -1);
	assert_int_equal(s->gap, RULE_NONE);
	rows_source_free(s);
	// Where others begin one: that alone tells where stacks end.
	for (unsigned i = 0; i < 2; i++) {
		image_begin(&m);
		memcpy(m.at + 0x1000, i ? "\x90\x90\x90" : "\x31\xed\x90", 3);
		m.size = TEXT_SIZE;
		image_end(&m);
		image_header(&m)->e_entry = TEXT_ADDRESS + 0x1000;
		assert_int_equal(errno_of(), i ? ENODATA : 0);
	}
	// A restorer of arm64.
	image_begin(&m);
	memcpy(m.at + 0x1000, "\x68\x11\x80\xd2\x01\0\0\xd4", 8);
	m.size = TEXT_SIZE;
	image_end(&m);
	assert_int_equal(errno_of(), ENODATA);
	image_header(&m)->e_machine = EM_AARCH64;
	assert_int_equal(errno_of(), 0);
}

static void the_table(void **state)
{
	(void)state;
	static const struct {
		size_t at;
		uint8_t value;
		bool used;
	} cases[] = {{1, 0x1b, true}, {1, 0x03, true}, {0, 2, false}, {1, 0x0c, false},
	    {2, 0x01, false}, {2, 0xff, false}, {3, 0x1b, false}, {8, 2, false}, {11, 1, false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		with_frames(1);
		size_t hdr = 0;
		for (unsigned k = 0; k < m.segment_count; k++)
			if (m.segments[k].p_type == PT_GNU_EH_FRAME)
				hdr = m.segments[k].p_offset;
		m.at[hdr + cases[i].at] = cases[i].value;
		struct source *s = rows_source_new(-1, m.at, m.size, -1);
		assert_non_null(s);
		assert_int_equal(s->table_count, cases[i].used);
		assert_int_equal(s->gap, RULE_NONE);
		// Used or not, the rows are there.
		struct rows_job *job;
		const struct rows *rows;
		assert_int_equal(make_rows(s, TEXT_ADDRESS, NS_PER_MS, &job, &rows), 0);
		assert_true(rows->count == 2 && rule_at(rows, 0xff).kind == RULE_SP);
		rows_job_free(job);
		rows_source_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_no_use),
	    cmocka_unit_test(nothing_described),
	    cmocka_unit_test(the_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
