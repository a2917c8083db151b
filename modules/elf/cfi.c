// SPDX-License-Identifier: Apache-2.0
// Call frame information is found the way that a running program's own unwinder finds it, by
// PT_GNU_EH_FRAME, and by the names of sections where there are any: a few preads.
// Layouts: System V ABI (gABI); .eh_frame_hdr: LSB Core, 10.6.2.
#include "elf.h"
#include "view.h"

#include "../base/base.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define SEGMENTS_MAX 512
#define SECTIONS_MAX 4096
#define BATCH 32

struct reading {
	struct view view;
	Elf64_Ehdr e;
	Elf64_Phdr loads[16];
	unsigned load_count;
	struct elf_frames *to;
};

static bool inside(const struct view *v, uint64_t offset, uint64_t size)
{
	return offset <= v->size && size <= v->size - offset;
}

static void keep_load(struct reading *r, const Elf64_Phdr *p)
{
	struct elf_frames *f = r->to;
	if (r->load_count < sizeof(r->loads) / sizeof(*r->loads))
		r->loads[r->load_count++] = *p;
	if (!(p->p_flags & PF_X) || !p->p_filesz || f->exec_count == ELF_EXEC_MAX)
		return;
	if (!f->exec_count || p->p_vaddr < f->low)
		f->low = p->p_vaddr;
	if (p->p_vaddr + p->p_filesz > f->high)
		f->high = p->p_vaddr + p->p_filesz;
	f->exec[f->exec_count++] = (struct elf_part){p->p_offset, p->p_filesz, p->p_vaddr};
}

static void keep_segment(struct reading *r, const Elf64_Phdr *p)
{
	uint8_t note[16]; // namesz, descsz, type, "Go\0\0"
	// In a separate debug file the segments are there without their bytes.
	if (!inside(&r->view, p->p_offset, p->p_filesz) || p->p_vaddr > UINT64_MAX - p->p_filesz)
		return;
	if (p->p_type == PT_LOAD)
		keep_load(r, p);
	else if (p->p_type == PT_GNU_EH_FRAME)
		r->to->eh_frame_hdr = (struct elf_part){p->p_offset, p->p_filesz, p->p_vaddr};
	else if (p->p_type == PT_NOTE && p->p_filesz >= sizeof(note))
		r->to->go |= !view_read(&r->view, p->p_offset, note, sizeof(note)) &&
			     !memcmp(note + 8, "\x04\0\0\0Go\0", 8);
}

static int read_segments(struct reading *r)
{
	Elf64_Phdr batch[BATCH];
	const Elf64_Ehdr *e = &r->e;
	if (!e->e_phnum)
		return 0; // a separate debug file may have lost them
	if (e->e_phentsize != sizeof(*batch) || e->e_phnum > SEGMENTS_MAX ||
	    !inside(&r->view, e->e_phoff, e->e_phnum * sizeof(*batch)))
		return -EBADMSG;
	for (unsigned i = 0; i < e->e_phnum; i++) {
		if (i % BATCH == 0) {
			unsigned n = e->e_phnum - i < BATCH ? e->e_phnum - i : BATCH;
			int err = view_read(
			    &r->view, e->e_phoff + i * sizeof(*batch), batch, n * sizeof(*batch));
			if (err)
				return err;
		}
		keep_segment(r, &batch[i % BATCH]);
	}
	return 0;
}

static void keep_section(struct reading *r, const char *name, const Elf64_Shdr *h)
{
	struct elf_frames *f = r->to;
	struct elf_part part = {h->sh_offset, h->sh_size, h->sh_addr};
	f->go |= !strcmp(name, ".go.buildinfo") || !strcmp(name, ".note.go.buildid");
	if (h->sh_type == SHT_NOBITS || !inside(&r->view, h->sh_offset, h->sh_size))
		return;
	if (!strcmp(name, ".eh_frame") && !(h->sh_flags & SHF_COMPRESSED))
		f->eh_frame = part;
	if (!strcmp(name, ".debug_frame")) {
		f->debug_frame = part;
		f->debug_frame_zipped = h->sh_flags & SHF_COMPRESSED;
	}
}

// How many sections there are, and where their names lie. 0 of them where the table is not sound:
// segments do without it.
static int count_sections(struct reading *r, uint64_t *count, Elf64_Shdr *names)
{
	const Elf64_Ehdr *e = &r->e;
	Elf64_Shdr first;
	*count = 0;
	if (!e->e_shoff || e->e_shentsize != sizeof(first) ||
	    !inside(&r->view, e->e_shoff, sizeof(first)))
		return 0;
	int err = view_read(&r->view, e->e_shoff, &first, sizeof(first));
	if (err)
		return err;
	// Section 0 says what does not fit into the header.
	uint64_t n = e->e_shnum ? e->e_shnum : first.sh_size;
	uint64_t index = e->e_shstrndx == SHN_XINDEX ? first.sh_link : e->e_shstrndx;
	if (n > SECTIONS_MAX || index >= n || !inside(&r->view, e->e_shoff, n * sizeof(first)))
		return 0;
	err = view_read(&r->view, e->e_shoff + index * sizeof(*names), names, sizeof(*names));
	if (!err && inside(&r->view, names->sh_offset, names->sh_size))
		*count = n;
	return err;
}

static int read_sections(struct reading *r)
{
	Elf64_Shdr batch[BATCH], names;
	uint64_t count;
	int err = count_sections(r, &count, &names);
	for (uint64_t i = 0; i < count && !err; i++) {
		char name[24] = "";
		if (i % BATCH == 0) {
			uint64_t n = count - i < BATCH ? count - i : BATCH;
			err = view_read(
			    &r->view, r->e.e_shoff + i * sizeof(*batch), batch, n * sizeof(*batch));
			if (err)
				break;
		}
		const Elf64_Shdr *h = &batch[i % BATCH];
		if (h->sh_name < names.sh_size &&
		    view_string(&r->view, names.sh_offset + h->sh_name,
			names.sh_offset + names.sh_size, name, sizeof(name)) > 0)
			keep_section(r, name, h);
	}
	return err;
}

// .eh_frame_hdr: version 1, encodings (of the pointer, the count, the table), pointer to .eh_frame.
static int find_by_header(struct reading *r)
{
	enum { PCREL_SDATA4 = 0x1b }; // as every linker writes it
	struct elf_frames *f = r->to;
	uint8_t hdr[8];
	int32_t distance;
	if (f->eh_frame.size || f->eh_frame_hdr.size < sizeof(hdr))
		return 0;
	int err = view_read(&r->view, f->eh_frame_hdr.offset, hdr, sizeof(hdr));
	if (err || hdr[0] != 1 || hdr[1] != PCREL_SDATA4)
		return err;
	memcpy(&distance, hdr + 4, sizeof(distance));
	uint64_t vaddr = f->eh_frame_hdr.vaddr + 4 + (uint64_t)(int64_t)distance;
	for (unsigned i = 0; i < r->load_count; i++) {
		const Elf64_Phdr *p = &r->loads[i];
		if (vaddr >= p->p_vaddr && vaddr - p->p_vaddr < p->p_filesz) {
			uint64_t before = vaddr - p->p_vaddr;
			f->eh_frame =
			    (struct elf_part){p->p_offset + before, p->p_filesz - before, vaddr};
			break;
		}
	}
	return 0;
}

int elf_frames(int fd, const void *image, size_t size, struct elf_frames *frames)
{
	struct reading r = {.to = frames};
	Elf64_Ehdr *e = &r.e;
	*frames = (struct elf_frames){};
	int err = 0;
	if (fd < 0)
		view_memory(&r.view, image, size);
	else
		err = view_file(&r.view, fd);
	if (err)
		return err;
	int64_t got = view_some(&r.view, 0, e, sizeof(*e));
	if (got < 0)
		return (int)got;
	err = -EBADMSG;
	if (got < (int64_t)sizeof(Elf32_Ehdr) || memcmp(e->e_ident, ELFMAG, SELFMAG) ||
	    e->e_ident[EI_DATA] != ELFDATA2LSB || (e->e_type != ET_EXEC && e->e_type != ET_DYN))
		goto fail;
	frames->machine = e->e_machine; // at the same place in both classes
	if (e->e_ident[EI_CLASS] == ELFCLASS32)
		return 0;
	if (e->e_ident[EI_CLASS] != ELFCLASS64 || got < (int64_t)sizeof(*e))
		goto fail;
	frames->is_64 = true;
	err = read_segments(&r);
	if (!err)
		err = read_sections(&r);
	if (!err)
		err = find_by_header(&r);
	if (!err)
		return 0;
fail:
	if (err == -EBADMSG)
		count_add(COUNT_ELF_BAD, 1);
	*frames = (struct elf_frames){};
	return err;
}
