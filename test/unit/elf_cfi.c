// SPDX-License-Identifier: Apache-2.0
// Where call frame information lies: by segment, by section, and in files that lie.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/elf/cfi.c"
#include "elf_image.h"

static struct image m;

static int frames_of(struct elf_frames *f)
{
	struct elf_frames memory;
	int fd = image_fd(&m, m.size);
	int r = elf_frames(fd, NULL, 0, f), same = elf_frames(-1, m.at, m.size, &memory);
	close(fd);
	assert_int_equal(r, same);
	assert_memory_equal(f, &memory, sizeof(memory));
	return r;
}

static unsigned put(const char *name, uint64_t vaddr, uint64_t flags, size_t size)
{
	static const uint8_t zeros[4096];
	return image_section(&m, name,
	    (Elf64_Shdr){.sh_type = SHT_PROGBITS, .sh_addr = vaddr, .sh_flags = flags}, zeros,
	    size);
}

static void by_section(void **state)
{
	(void)state;
	struct elf_frames f;
	image_begin(&m);
	image_load(&m, 0x800, 0x100, 0x30000, PF_R | PF_X);
	image_load(&m, 0x900, 0x100, 0x5000, PF_R);
	unsigned eh = put(".eh_frame", 0x40000, SHF_ALLOC, 200);
	unsigned debug = put(".debug_frame", 0, SHF_COMPRESSED, 300);
	image_end(&m);
	assert_int_equal(frames_of(&f), 0);
	assert_true(f.is_64 && !f.go && f.machine == EM_X86_64);
	assert_true(f.eh_frame.offset == m.sections[eh].sh_offset && f.eh_frame.size == 200 &&
		    f.eh_frame.vaddr == 0x40000);
	assert_true(f.debug_frame.offset == m.sections[debug].sh_offset &&
		    f.debug_frame.size == 300 && f.debug_frame_zipped);
	assert_int_equal(f.eh_frame_hdr.size, 0);
	assert_true(f.low == TEXT_ADDRESS && f.high == 0x30100 && f.exec_count == 2);
	assert_true(
	    f.exec[1].offset == 0x800 && f.exec[1].size == 0x100 && f.exec[1].vaddr == 0x30000);
	// Of a separate debug file: the section is there without its bytes.
	image_header_of(&m, eh)->sh_type = SHT_NOBITS;
	assert_int_equal(frames_of(&f), 0);
	assert_int_equal(f.eh_frame.size, 0);
	image_header_of(&m, eh)->sh_type = SHT_PROGBITS;
	image_header_of(&m, eh)->sh_size = m.size;
	image_header_of(&m, debug)->sh_offset = UINT64_MAX;
	assert_int_equal(frames_of(&f), 0);
	assert_true(!f.eh_frame.size && !f.debug_frame.size);
}

static void by_segment(void **state)
{
	(void)state;
	struct elf_frames f;
	image_begin(&m);
	uint8_t hdr[12] = {1, 0x1b, 3, 0x3b};
	put32(hdr + 4, 0x40010 - 0x50004);
	size_t at = image_put(&m, hdr, sizeof(hdr)), entries = image_put(&m, m.strings, 0x100);
	image_load(&m, at, sizeof(hdr), 0x50000, PF_R);
	m.segments[1].p_type = PT_GNU_EH_FRAME;
	image_load(&m, entries, 0x100, 0x40000, PF_R);
	image_end(&m);
	image_header(&m)->e_shoff = 0;
	assert_int_equal(frames_of(&f), 0);
	assert_true(f.eh_frame_hdr.offset == at && f.eh_frame_hdr.vaddr == 0x50000);
	// Up to the end of what the segment has in the file.
	assert_true(f.eh_frame.offset == entries + 0x10 && f.eh_frame.size == 0xf0 &&
		    f.eh_frame.vaddr == 0x40010);
	static const struct {
		size_t at;
		uint8_t value;
	} lies[] = {{0, 2}, {1, 0xff}, {1, 0x9b}, {7, 0x7f}};
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		uint8_t truth = m.at[at + lies[i].at];
		m.at[at + lies[i].at] = lies[i].value;
		assert_int_equal(frames_of(&f), 0);
		assert_int_equal(f.eh_frame.size, 0);
		m.at[at + lies[i].at] = truth;
	}
}

static void marks_of_go(void **state)
{
	(void)state;
	struct elf_frames f;
	static const uint8_t note[] = {4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 'G', 'o', 0, 0, 'x'};
	for (unsigned i = 0; i < 4; i++) {
		image_begin(&m);
		if (i == 1)
			put(".go.buildinfo", 0x40000, SHF_ALLOC, 16);
		if (i == 2)
			put(".note.go.buildid", 0x40000, SHF_ALLOC, 16);
		size_t at = image_put(&m, note, sizeof(note));
		if (i == 3) {
			image_load(&m, at, sizeof(note), 0x40000, PF_R);
			m.segments[1].p_type = PT_NOTE;
		}
		image_end(&m);
		assert_int_equal(frames_of(&f), 0);
		assert_int_equal(f.go, i != 0);
	}
}

static void files_that_lie(void **state)
{
	(void)state;
	struct elf_frames f;
	image_begin(&m);
	put(".eh_frame", 0x40000, SHF_ALLOC, 200);
	image_end(&m);
	Elf64_Ehdr truth = *image_header(&m), *e = image_header(&m);
	assert_int_equal(frames_of(&f), 0);
	// A section table that is not sound is not used; segments must be.
	for (unsigned i = 0; i < 5; i++) {
		*e = truth;
		if (i == 0)
			e->e_shoff = UINT64_MAX;
		if (i == 1)
			e->e_shentsize = 1;
		if (i == 2)
			e->e_shstrndx = 200;
		if (i == 3)
			e->e_shnum = 65000;
		if (i == 4)
			e->e_shnum = 0; // then section 0 has the number: none
		assert_int_equal(frames_of(&f), 0);
		assert_true(!f.eh_frame.size && f.high == TEXT_ADDRESS + TEXT_SIZE);
	}
	for (unsigned i = 0; i < 6; i++) {
		*e = truth;
		if (i == 0)
			e->e_phoff = UINT64_MAX - 100;
		if (i == 1)
			e->e_phentsize = 8;
		if (i == 2)
			e->e_phnum = 60000;
		if (i == 3)
			e->e_ident[EI_DATA] = ELFDATA2MSB;
		if (i == 4)
			e->e_ident[0] = 0;
		if (i == 5)
			e->e_type = ET_CORE;
		assert_int_equal(frames_of(&f), -EBADMSG);
		assert_int_equal(f.exec_count, 0);
	}
	*e = truth;
	e->e_ident[EI_CLASS] = ELFCLASS32;
	assert_int_equal(frames_of(&f), 0);
	assert_true(!f.is_64 && f.machine == EM_X86_64 && !f.high);
	*e = truth;
	Elf64_Phdr *p = (Elf64_Phdr *)(m.at + sizeof(*e));
	p->p_filesz = UINT64_MAX - 10;
	assert_int_equal(frames_of(&f), 0);
	assert_int_equal(f.exec_count, 0);
	for (size_t size = 0; size < m.size; size += size < 200 ? 1 : 97)
		elf_frames(-1, m.at, size, &f);
	assert_int_equal(elf_frames(9999, NULL, 0, &f), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(by_section),
	    cmocka_unit_test(by_segment),
	    cmocka_unit_test(marks_of_go),
	    cmocka_unit_test(files_that_lie),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
