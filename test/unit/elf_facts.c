// SPDX-License-Identifier: Apache-2.0
// The facts of real files and of files that lie.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <link.h>

#include "../../modules/elf/facts.c"
#include "elf_image.h"

static struct image m;

static int facts_of(size_t size, struct elf_facts *facts)
{
	int fd = image_fd(&m, size);
	assert_true(fd >= 0);
	int r = elf_facts(fd, facts);
	close(fd);
	return r;
}

static void put_note(uint32_t type, const char *owner, const void *desc, uint32_t n, unsigned align)
{
	uint8_t note[256] = {};
	uint32_t head[3] = {(uint32_t)strlen(owner) + 1, n, type};
	memcpy(note, head, 12);
	memcpy(note + 12, owner, head[0]);
	size_t at = (12 + head[0] + align - 1) & ~(size_t)(align - 1);
	memcpy(note + at, desc, n);
	size_t size = (at + n + align - 1) & ~(size_t)(align - 1);
	size_t offset = image_put(&m, note, size);
	m.segments[m.segment_count++] =
	    (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = offset, .p_filesz = size, .p_align = align};
}

static int own_phdrs(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	struct elf_facts *truth = arg;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		if (p->p_type == PT_LOAD && (p->p_flags & PF_X))
			truth->exec[truth->exec_count++] =
			    (struct elf_exec){p->p_offset, p->p_filesz, p->p_vaddr};
		if (p->p_type == PT_NOTE)
			note_build_id((const uint8_t *)info->dlpi_addr + p->p_vaddr, p->p_filesz,
			    p->p_align == 8 ? 8 : 4, truth);
	}
	return 1; // the program itself comes first
}

static void the_program_itself(void **state)
{
	(void)state;
	struct elf_facts facts, truth = {};
	int fd = open("/proc/self/exe", O_RDONLY);
	assert_int_equal(elf_facts(fd, &facts), 0);
	close(fd);
	dl_iterate_phdr(own_phdrs, &truth);
	assert_true(facts.is_64 && facts.exec_count == 1 && truth.exec_count == 1);
	assert_memory_equal(facts.exec, truth.exec, sizeof(*facts.exec));
	assert_int_equal(facts.build_id_len, truth.build_id_len);
	assert_memory_equal(facts.build_id, truth.build_id, sizeof(truth.build_id));
	uint64_t vaddr;
	assert_int_equal(elf_vaddr(&facts, facts.exec[0].offset + 7, &vaddr), 0);
	assert_int_equal(vaddr, facts.exec[0].vaddr + 7);
}

static void addresses(void **state)
{
	(void)state;
	// Two segments share the page at 0x2000; the first does not begin at 0.
	struct elf_facts facts = {.exec_count = 2,
	    .exec = {{.offset = 0x1040, .size = 0x1100, .vaddr = 0x401040},
		{.offset = 0x2800, .size = 0x100, .vaddr = 0x503800}}};
	const struct {
		uint64_t offset, vaddr; // vaddr 0: -ENOENT
	} truth[] = {
	    {0x1040, 0x401040},
	    {0x1000, 0x401000},
	    {0xfff, 0},
	    {0x2000, 0x402000},
	    {0x213f, 0x40213f},
	    {0x2140, 0x503140},
	    {0x2800, 0x503800},
	    {0x28ff, 0x5038ff},
	    {0x2900, 0},
	    {UINT64_MAX, 0},
	};
	for (size_t i = 0; i < sizeof(truth) / sizeof(*truth); i++) {
		uint64_t vaddr = 0;
		int r = elf_vaddr(&facts, truth[i].offset, &vaddr);
		assert_int_equal(r, truth[i].vaddr ? 0 : -ENOENT);
		assert_int_equal(vaddr, truth[i].vaddr);
	}
}

static void build_ids(void **state)
{
	(void)state;
	const uint8_t id[40] = {
	    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
	const uint8_t zero[20] = {};
	struct elf_facts facts;
	const struct {
		const char *owner;
		const void *id;
		uint32_t type, n;
		unsigned align;
		uint8_t len;
	} truth[] = {
	    {"GNU", id, NT_GNU_BUILD_ID, 20, 4, 20},
	    {"GNU", id, NT_GNU_BUILD_ID, 8, 8, 8},
	    {"GNU", id, NT_GNU_BUILD_ID, 32, 4, 32},
	    {"GNU", id, NT_GNU_BUILD_ID, 33, 4, 0},
	    {"GNU", zero, NT_GNU_BUILD_ID, 20, 4, 0},
	    {"GNU", id, NT_GNU_BUILD_ID, 0, 4, 0},
	    {"XYZ", id, NT_GNU_BUILD_ID, 20, 4, 0},
	    {"GNU", id, NT_GNU_ABI_TAG, 16, 4, 0},
	};
	for (size_t i = 0; i < sizeof(truth) / sizeof(*truth); i++) {
		image_begin(&m);
		put_note(5, "GNU", id, 12, truth[i].align); // another note before it
		put_note(truth[i].type, truth[i].owner, truth[i].id, truth[i].n, truth[i].align);
		image_end(&m);
		assert_int_equal(facts_of(m.size, &facts), 0);
		assert_int_equal(facts.build_id_len, truth[i].len);
		assert_memory_equal(facts.build_id, id, truth[i].len);
	}
	// Lengths that lie.
	image_begin(&m);
	put_note(NT_GNU_BUILD_ID, "GNU", id, 20, 4);
	uint32_t huge = UINT32_MAX;
	for (unsigned field = 0; field < 2; field++) {
		memcpy(m.at + m.segments[1].p_offset + 4 * field, &huge, 4);
		image_end(&m);
		assert_int_equal(facts_of(m.size, &facts), 0);
		assert_int_equal(facts.build_id_len, 0);
	}
}

static void what_is_not_a_program(void **state)
{
	(void)state;
	struct elf_facts facts;
	image_begin(&m);
	image_end(&m);
	uint64_t bad = count_get(COUNT_ELF_BAD);
	for (size_t size = 0; size < sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr); size++)
		assert_int_equal(facts_of(size, &facts), -EBADMSG);
	assert_int_equal(count_get(COUNT_ELF_BAD), bad + sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr));
	assert_int_equal(facts_of(sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr), &facts), 0);

	Elf64_Ehdr good = *image_header(&m), *e = image_header(&m);
	e->e_phnum = SEGMENTS_MAX + 1;
	assert_int_equal(facts_of(m.size, &facts), -EBADMSG);
	*e = good, e->e_phoff = UINT64_MAX - 8;
	assert_int_equal(facts_of(m.size, &facts), -EBADMSG);
	*e = good, e->e_phentsize = 32;
	assert_int_equal(facts_of(m.size, &facts), -EBADMSG);
	*e = good, e->e_type = ET_REL;
	assert_int_equal(facts_of(m.size, &facts), -EBADMSG);
	*e = good, e->e_ident[EI_DATA] = ELFDATA2MSB;
	assert_int_equal(facts_of(m.size, &facts), -EBADMSG);
	*e = good, e->e_ident[EI_CLASS] = ELFCLASS32, e->e_machine = EM_386;
	assert_int_equal(facts_of(m.size, &facts), 0);
	assert_true(!facts.is_64 && facts.machine == EM_386 && !facts.exec_count);
	assert_int_equal(elf_facts(-1, &facts), -EBADF);
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(elf_facts(pipes[0], &facts), -ESPIPE);
	close(pipes[0]), close(pipes[1]);
}

static void many_segments(void **state)
{
	(void)state;
	struct elf_facts facts;
	image_begin(&m);
	for (unsigned i = 1; i < 12; i++)
		image_load(&m, 0, 16, TEXT_ADDRESS + i * 0x10000, PF_R | PF_X);
	image_load(&m, UINT64_MAX - 4, 16, 0, PF_X); // offset beyond all
	image_end(&m);
	assert_int_equal(facts_of(m.size, &facts), 0);
	assert_int_equal(facts.exec_count, ELF_EXEC_MAX);
	assert_int_equal(facts.exec[7].vaddr, TEXT_ADDRESS + 7 * 0x10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_program_itself),
	    cmocka_unit_test(addresses),
	    cmocka_unit_test(build_ids),
	    cmocka_unit_test(what_is_not_a_program),
	    cmocka_unit_test(many_segments),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
