// SPDX-License-Identifier: Apache-2.0
// Rows of .debug_frame: in both formats, compressed, beside an .eh_frame, in a separate file.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <zlib.h>

#include "../../modules/unwind/job.c"
#include "unwind_scene.h"

static void put_debug_functions(void)
{
	e.debug = true;
	size_t cie = put_cie(&e, "", 16, amd64_cie, sizeof(amd64_cie));
	put_fde(&e, cie, TEXT_ADDRESS, 0x40, push_rbp, sizeof(push_rbp));
	put_fde(&e, cie, 0, 0x20000, NULL, 0);
	put_fde(&e, cie, TEXT_ADDRESS + 0x40, 0x40, NULL, 0);
}

static void debug_frame_in_both_formats(void **state)
{
	(void)state;
	for (unsigned wide = 0; wide < 2; wide++) {
		begin();
		e.wide = wide;
		put_debug_functions();
		image_frames(&m, &e, -1);
		image_end(&m);
		take_source();
		assert_int_equal(make_rows(source, TEXT_ADDRESS, NS_PER_MS, &job, &rows), 0);
		// Of the rest nothing is known.
		assert_int_equal(rule_at(rows, 0x80).kind, RULE_NONE);
		assert_int_equal(rule_at(rows, TEXT_SIZE).kind, RULE_NONE);
		assert_int_equal(rows->count, 5);
		assert_int_equal(rule_at(rows, 4).kind, RULE_FP);
		done();
	}
}

// .debug_frame as SHF_COMPRESSED; PART of its bytes, said to be SIZE when unpacked.
static void zip_debug_frame(size_t part, uint64_t size)
{
	uint8_t zipped[4096];
	uLongf n = sizeof(zipped);
	Elf64_Chdr head = {.ch_type = ELFCOMPRESS_ZLIB, .ch_size = size};
	assert_int_equal(compress(zipped + sizeof(head), &n, e.at, e.size), Z_OK);
	memcpy(zipped, &head, sizeof(head));
	image_section(&m, ".debug_frame",
	    (Elf64_Shdr){.sh_type = SHT_PROGBITS, .sh_flags = SHF_COMPRESSED}, zipped,
	    sizeof(head) + n - part);
	image_end(&m);
}

static void compressed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		begin();
		put_debug_functions();
		zip_debug_frame(i == 1 ? 5 : 0, e.size + (i == 2 ? 1 : i == 3 ? -1 : 0));
		if (i == 4) // garbage
			m.at[m.sections[2].sh_offset + sizeof(Elf64_Chdr) + 10] ^= 0x55;
		take_source();
		int r = make_rows(source, TEXT_ADDRESS, 1, &job, &rows);
		if (i == 0) {
			assert_int_equal(r, 0);
			assert_int_equal(rule_at(rows, 4).kind, RULE_FP);
		} else {
			assert_true(r == -EBADMSG || r == -EFBIG);
		}
		done();
		assert_int_equal(mem_used(ACCOUNT_WIRE), 0);
	}
}

// As objcopy leaves it in the program, and in its debug file, where only the section counts.
static void put_build_id(void)
{
	static const uint8_t note[24] = {
	    4, 0, 0, 0, 8, 0, 0, 0, NT_GNU_BUILD_ID, 0, 0, 0, 'G', 'N', 'U', 0, 0xab, 1, 2, 3};
	unsigned i = image_section(
	    &m, ".note.gnu.build-id", (Elf64_Shdr){.sh_type = SHT_NOTE}, note, sizeof(note));
	m.segments[m.segment_count++] = (Elf64_Phdr){.p_type = PT_NOTE,
	    .p_offset = m.sections[i].sh_offset,
	    .p_filesz = sizeof(note),
	    .p_align = 4};
}

// As the C library's start files bring it to any program: the .eh_frame of a few bytes of code.
static void put_start_files(uint64_t at)
{
	e = (struct entries){0};
	size_t cie = put_cie(&e, "zR", 16, amd64_cie, sizeof(amd64_cie));
	put_fde(&e, cie, TEXT_ADDRESS + at, 0x20,
	    (const uint8_t[]){0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22},
	    13);
	image_frames(&m, &e, 1);
}

// The rest of the program in .debug_frame, with the one described twice.
static void debug_frame_beside_eh_frame(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		begin();
		put_debug_functions();
		if (i < 2)
			image_frames(&m, &e, -1);
		else
			zip_debug_frame(0, e.size);
		put_start_files(i ? 0x100 : 0x40);
		image_end(&m);
		take_source();
		assert_int_equal(source->table_count, 1);
		assert_int_equal(make_rows(source, TEXT_ADDRESS, NS_PER_MS, &job, &rows), 0);
		assert_int_equal(rule_at(rows, 4).kind, RULE_FP);
		assert_int_equal(rule_at(rows, i ? 0x100 : 0x40).kind, RULE_PLT);
		assert_int_equal(rule_at(rows, i ? 0x11f : 0x5f).kind, RULE_PLT);
		assert_int_equal(rule_at(rows, i ? 0x40 : 0x60).kind, RULE_SP);
		assert_int_equal(rule_at(rows, 0x90).kind, RULE_NONE);
		done();
	}
}

// That .debug_frame is of no use takes nothing away.
static void garbage_beside_eh_frame(void **state)
{
	(void)state;
	begin();
	put_debug_functions();
	zip_debug_frame(5, e.size);
	put_start_files(0x100);
	image_end(&m);
	take_source();
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(make_rows(source, TEXT_ADDRESS, NS_PER_MS, &job, &rows), 0);
		assert_int_equal(rule_at(rows, 4).kind, RULE_NONE);
		assert_int_equal(rule_at(rows, 0x100).kind, RULE_PLT);
		if (!i)
			rows_job_free(job);
	}
	done();
}

// Without build-ids it is the check sum that tells.
static void debug_file_by_its_check_sum(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		uint8_t link[16] = "x.debug";
		begin();
		put_debug_functions();
		image_frames(&m, &e, -1);
		image_end(&m);
		uLong crc = crc32(0, m.at, (uInt)m.size) ^ (i == 1);
		int debug_fd = image_fd(&m, m.size);
		begin();
		memcpy(link + 8, &crc, 4);
		image_section(
		    &m, ".gnu_debuglink", (Elf64_Shdr){.sh_type = SHT_PROGBITS}, link, 12);
		put_start_files(0x100);
		image_end(&m);
		int fd = image_fd(&m, m.size);
		if (i == 2) // it is gone by now
			assert_int_equal(ftruncate(debug_fd, 0x3000), 0);
		source = rows_source_new(fd, NULL, 0, debug_fd);
		assert_non_null(source);
		assert_int_equal(
		    make_rows(source, TEXT_ADDRESS, i ? NS_PER_MS : 1, &job, &rows), 0);
		assert_int_equal(rule_at(rows, 4).kind, i ? RULE_NONE : RULE_FP);
		assert_int_equal(rule_at(rows, 0x100).kind, RULE_PLT);
		done();
		close(fd);
		close(debug_fd);
	}
}

static void separate_debug_file(void **state)
{
	(void)state;
	static struct image debug;
	begin();
	put_build_id();
	put_debug_functions();
	image_frames(&m, &e, -1);
	image_end(&m);
	int debug_fd = image_fd(&m, m.size);
	debug = m;
	image_header(&debug)->e_machine = EM_AARCH64;
	int other_fd = image_fd(&debug, debug.size);
	// The file itself has a PLT only, as musl's libc.
	begin();
	put_build_id();
	put_start_files(0x100);
	image_end(&m);
	int fd = image_fd(&m, m.size);
	source = rows_source_new(fd, NULL, 0, debug_fd);
	assert_non_null(source);
	assert_int_equal(make_rows(source, TEXT_ADDRESS, NS_PER_MS, &job, &rows), 0);
	assert_int_equal(rule_at(rows, 4).kind, RULE_FP);
	assert_int_equal(rule_at(rows, 0x90).kind, RULE_NONE);
	assert_int_equal(rule_at(rows, 0x100).kind, RULE_PLT);
	assert_int_equal(rule_at(rows, 0x120).kind, RULE_NONE);
	done();
	// Another machine's, or none at all: only the PLT is there.
	for (unsigned i = 0; i < 2; i++) {
		source = rows_source_new(fd, NULL, 0, i ? other_fd : -1);
		assert_int_equal(make_rows(source, TEXT_ADDRESS, NS_PER_MS, &job, &rows), 0);
		assert_int_equal(rule_at(rows, 4).kind, RULE_NONE);
		assert_int_equal(rule_at(rows, 0x100).kind, RULE_PLT);
		done();
	}
	close(fd);
	close(debug_fd);
	close(other_fd);
}

static void memory_that_is_refused(void **state)
{
	(void)state;
	begin();
	put_debug_functions();
	zip_debug_frame(0, e.size);
	put_start_files(0x100);
	image_end(&m);
	rows_without_memory();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(debug_frame_in_both_formats),
	    cmocka_unit_test(compressed),
	    cmocka_unit_test(debug_frame_beside_eh_frame),
	    cmocka_unit_test(garbage_beside_eh_frame),
	    cmocka_unit_test(debug_file_by_its_check_sum),
	    cmocka_unit_test(separate_debug_file),
	    cmocka_unit_test(memory_that_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
