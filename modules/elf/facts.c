// SPDX-License-Identifier: Apache-2.0
// What is asked of every mapped file: a few preads of the header, the program headers and the
// notes. Layouts: System V ABI (gABI), chapters "ELF header" and "Program loading".
#include "facts.h"

#include "../base/base.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SEGMENTS_MAX 512  // program headers looked at; programs have about a dozen
#define SEGMENTS_BATCH 32 // read at once
#define NOTES_MAX 8	  // PT_NOTE segments looked at
#define NOTE_BYTES 4096	  // of each

// Notes are {namesz, descsz, type}, name, desc; name and desc padded to 4 bytes, or in segments of
// alignment 8 to 8 (.note.gnu.property).
static void note_build_id(const uint8_t *notes, size_t n, size_t align, struct elf_facts *facts)
{
	size_t at = 0;
	while (n - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr h;
		memcpy(&h, notes + at, sizeof(h));
		if (h.n_namesz > n || h.n_descsz > n)
			return;
		size_t name = at + sizeof(h);
		size_t desc = (name + h.n_namesz + align - 1) & ~(align - 1);
		size_t end = (desc + h.n_descsz + align - 1) & ~(align - 1);
		if (desc > n || h.n_descsz > n - desc)
			return;
		if (h.n_type == NT_GNU_BUILD_ID && h.n_namesz == 4 &&
		    !memcmp(notes + name, "GNU", 4)) {
			static const uint8_t zero[ELF_BUILD_ID_MAX];
			// An id that is too long to keep whole, or all zero (a tool that never
			// filled it in), would make different files equal.
			if (h.n_descsz && h.n_descsz <= ELF_BUILD_ID_MAX &&
			    memcmp(notes + desc, zero, h.n_descsz)) {
				memcpy(facts->build_id, notes + desc, h.n_descsz);
				facts->build_id_len = (uint8_t)h.n_descsz;
			}
			return;
		}
		if (end > n)
			return;
		at = end;
	}
}

int facts_notes(
    const struct view *v, uint64_t offset, uint64_t size, uint64_t align, struct elf_facts *facts)
{
	uint8_t notes[NOTE_BYTES];
	int64_t got = view_some(v, offset, notes, size < sizeof(notes) ? size : sizeof(notes));
	if (got < 0)
		return (int)got;
	note_build_id(notes, (size_t)got, align == 8 ? 8 : 4, facts);
	return 0;
}

static int read_segments(const struct view *v, const Elf64_Ehdr *e, struct elf_facts *facts)
{
	Elf64_Phdr batch[SEGMENTS_BATCH];
	unsigned notes = 0;
	for (unsigned i = 0; i < e->e_phnum; i++) {
		unsigned k = i % SEGMENTS_BATCH;
		if (k == 0) {
			unsigned n =
			    e->e_phnum - i < SEGMENTS_BATCH ? e->e_phnum - i : SEGMENTS_BATCH;
			if (e->e_phoff > INT64_MAX - sizeof(batch) * SEGMENTS_MAX)
				return -EBADMSG;
			int err = view_read(
			    v, e->e_phoff + i * sizeof(*batch), batch, n * sizeof(*batch));
			if (err)
				return err;
		}
		const Elf64_Phdr *p = &batch[k];
		if (p->p_offset > INT64_MAX - p->p_filesz || p->p_filesz > INT64_MAX)
			continue;
		if (p->p_type == PT_LOAD && (p->p_flags & PF_X) &&
		    facts->exec_count < ELF_EXEC_MAX && p->p_vaddr <= UINT64_MAX - p->p_filesz)
			facts->exec[facts->exec_count++] = (struct elf_exec){
			    .offset = p->p_offset, .size = p->p_filesz, .vaddr = p->p_vaddr};
		if (p->p_type == PT_NOTE && !facts->build_id_len && notes++ < NOTES_MAX) {
			int err = facts_notes(v, p->p_offset, p->p_filesz, p->p_align, facts);
			if (err)
				return err;
		}
	}
	return 0;
}

int elf_facts(int fd, struct elf_facts *facts)
{
	*facts = (struct elf_facts){};
	// No fstat: a read beyond the end is seen by pread itself.
	struct view v = {.fd = fd, .size = INT64_MAX};
	Elf64_Ehdr e = {};
	int64_t got = view_some(&v, 0, &e, sizeof(e));
	int err = got < 0 ? (int)got : 0;
	if (err)
		return err;
	if (got < (int64_t)sizeof(Elf32_Ehdr) || memcmp(e.e_ident, ELFMAG, SELFMAG) ||
	    e.e_ident[EI_DATA] != ELFDATA2LSB || (e.e_type != ET_EXEC && e.e_type != ET_DYN))
		goto bad;
	facts->machine = e.e_machine; // at the same place in both classes, as is e_type
	if (e.e_ident[EI_CLASS] == ELFCLASS32)
		return 0; // recognised; its code is not unwound and not named
	if (e.e_ident[EI_CLASS] != ELFCLASS64 || got < (int64_t)sizeof(e) ||
	    e.e_phentsize != sizeof(Elf64_Phdr) || e.e_phnum > SEGMENTS_MAX)
		goto bad;
	facts->is_64 = true;
	err = read_segments(&v, &e, facts);
	if (!err)
		return 0;
	if (err != -EBADMSG) {
		*facts = (struct elf_facts){};
		return err;
	}
bad:
	count_add(COUNT_ELF_BAD, 1);
	*facts = (struct elf_facts){};
	return -EBADMSG;
}

int elf_vaddr(const struct elf_facts *facts, uint64_t file_offset, uint64_t *vaddr)
{
	for (unsigned i = 0; i < facts->exec_count; i++) {
		const struct elf_exec *x = &facts->exec[i];
		if (file_offset >= x->offset && file_offset - x->offset < x->size) {
			*vaddr = x->vaddr + (file_offset - x->offset);
			return 0;
		}
	}
	// A segment that begins inside a page is mapped with the whole page: what lies before it
	// there has an address too. Only where no segment holds the offset itself, for two may
	// share a page.
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	for (unsigned i = 0; i < facts->exec_count; i++) {
		const struct elf_exec *x = &facts->exec[i];
		if (file_offset < x->offset && file_offset >= (x->offset & ~(page - 1)) &&
		    x->size) {
			*vaddr = x->vaddr - (x->offset - file_offset);
			return 0;
		}
	}
	return -ENOENT;
}
