// SPDX-License-Identifier: Apache-2.0
// The section table through libelf, after its size was found bearable: libelf takes memory for
// every section that the header claims. Section contents are never read through libelf, which would
// load them whole.
#include "file.h"

#include "../base/base.h"

#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENTS_READ_MAX 512

static bool inside(const struct view *v, uint64_t offset, uint64_t size)
{
	return offset <= v->size && size <= v->size - offset;
}

static int read_header(const struct view *v, Elf64_Ehdr *e)
{
	int err = view_read(v, 0, e, sizeof(*e));
	if (err)
		return err;
	if (memcmp(e->e_ident, ELFMAG, SELFMAG) || e->e_ident[EI_DATA] != ELFDATA2LSB ||
	    (e->e_type != ET_EXEC && e->e_type != ET_DYN))
		return -EBADMSG;
	if (e->e_ident[EI_CLASS] == ELFCLASS32)
		return -ENOTSUP;
	return e->e_ident[EI_CLASS] == ELFCLASS64 ? 0 : -EBADMSG;
}

static int read_segments(struct elf_file *f, const Elf64_Ehdr *e)
{
	if (!e->e_phnum)
		return 0; // a separate debug file may have lost them
	if (e->e_phentsize != sizeof(Elf64_Phdr) || e->e_phnum > SEGMENTS_READ_MAX)
		return -EBADMSG;
	for (unsigned i = 0; i < e->e_phnum && f->segment_count < FILE_SEGMENTS_MAX; i++) {
		Elf64_Phdr p;
		if (e->e_phoff > f->view.size)
			return -EBADMSG;
		int err = view_read(&f->view, e->e_phoff + i * sizeof(p), &p, sizeof(p));
		if (err)
			return err;
		if (p.p_type == PT_NOTE && p.p_filesz >= 16) {
			uint8_t note[16]; // namesz, descsz, type, "Go\0\0"
			f->go |= !view_read(&f->view, p.p_offset, note, sizeof(note)) &&
				 !memcmp(note + 8, "\x04\0\0\0Go\0", 8);
		}
		// In a separate debug file the segments are there without their bytes.
		if (p.p_type != PT_LOAD || p.p_vaddr > UINT64_MAX - p.p_filesz ||
		    !inside(&f->view, p.p_offset, p.p_filesz))
			continue;
		f->segments[f->segment_count++] = (struct segment){.offset = p.p_offset,
		    .size = p.p_filesz,
		    .vaddr = p.p_vaddr,
		    .flags = p.p_flags};
	}
	return 0;
}

// How many sections the header claims, from the file itself: section 0 says it where the number
// does not fit into the header.
static int count_sections(const struct view *v, const Elf64_Ehdr *e, uint64_t *count)
{
	*count = 0;
	if (!e->e_shoff)
		return 0;
	Elf64_Shdr first;
	if (e->e_shentsize != sizeof(first) || e->e_shoff > v->size)
		return -EBADMSG;
	int err = view_read(v, e->e_shoff, &first, sizeof(first));
	if (err)
		return err;
	*count = e->e_shnum ? e->e_shnum : first.sh_size;
	if (*count > FILE_SECTIONS_MAX || !inside(v, e->e_shoff, *count * sizeof(first)))
		return -EBADMSG;
	return 0;
}

static struct section section(const struct view *v, const GElf_Shdr *h)
{
	if (h->sh_type == SHT_NOBITS || (h->sh_flags & SHF_COMPRESSED) ||
	    !inside(v, h->sh_offset, h->sh_size))
		return (struct section){};
	return (struct section){.offset = h->sh_offset, .size = h->sh_size, .vaddr = h->sh_addr};
}

static void keep_by_name(struct elf_file *f, const char *name, const GElf_Shdr *h)
{
	const struct {
		const char *name;
		struct section *to;
	} wanted[] = {
	    {".gnu_debugdata", &f->debugdata},
	    {".gnu_debuglink", &f->debuglink},
	    {".note.gnu.build-id", &f->build_id},
	    {".gopclntab", &f->pclntab},
	    {".data.rel.ro.gopclntab", &f->pclntab},
	    {".go.module", &f->go_module},
	    {".data.rel.ro", &f->relro},
	    {".rela.dyn", &f->rela},
	    {".rela", &f->rela},
	    {".eh_frame", &f->eh_frame},
	    {".eh_frame_hdr", &f->frames},
	};
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		if (!strcmp(name, wanted[i].name) && !wanted[i].to->size)
			*wanted[i].to = section(&f->view, h);
	f->go |= !strcmp(name, ".go.buildinfo") || !strcmp(name, ".note.go.buildid");
}

static void keep_symbols(struct elf_file *f, Elf *elf, const GElf_Shdr *h, struct section *symbols,
    struct section *names)
{
	GElf_Shdr strings;
	Elf_Scn *scn = elf_getscn(elf, h->sh_link);
	if (symbols->size || h->sh_entsize != sizeof(Elf64_Sym) || !scn ||
	    !gelf_getshdr(scn, &strings) || strings.sh_type != SHT_STRTAB)
		return;
	*symbols = section(&f->view, h);
	*names = section(&f->view, &strings);
	if (!names->size)
		*symbols = (struct section){};
}

static void keep_section(
    struct elf_file *f, Elf *elf, const GElf_Shdr *h, const struct section *names)
{
	char name[32] = "";
	if (h->sh_name < names->size && view_string(&f->view, names->offset + h->sh_name,
					    names->offset + names->size, name, sizeof(name)) < 0)
		name[0] = 0; // only its name is bad
	if (h->sh_type == SHT_SYMTAB)
		keep_symbols(f, elf, h, &f->symtab, &f->symtab_names);
	else if (h->sh_type == SHT_DYNSYM)
		keep_symbols(f, elf, h, &f->dynsym, &f->dynsym_names);
	else
		keep_by_name(f, name, h);
	if ((h->sh_flags & (SHF_ALLOC | SHF_EXECINSTR)) == (SHF_ALLOC | SHF_EXECINSTR) &&
	    h->sh_size && h->sh_addr <= UINT64_MAX - h->sh_size)
		f->code[f->code_count++] = (struct code){.start = h->sh_addr,
		    .end = h->sh_addr + h->sh_size,
		    .plt = !strncmp(name, ".plt", 4) || !strncmp(name, ".iplt", 5)};
}

static int read_sections(struct elf_file *f, uint64_t count)
{
	if (elf_version(EV_CURRENT) == EV_NONE)
		return -ENOTSUP;
	int err = -EBADMSG;
	struct section names = {};
	size_t names_index, shnum;
	GElf_Shdr h;
	// libelf reads what it is given; its prototype only forgot to say const.
	Elf *elf = f->view.image ? elf_memory((char *)(uintptr_t)f->view.image, f->view.size)
				 : elf_begin(f->view.fd, ELF_C_READ, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF || elf_getshdrnum(elf, &shnum) || shnum > count)
		goto fail;
	f->code = mem_alloc(ACCOUNT_ELF, shnum * sizeof(*f->code));
	err = -ENOMEM;
	if (!f->code)
		goto fail;
	// Without their names sections of code and symbols still say what they are by their type.
	if (!elf_getshdrstrndx(elf, &names_index) &&
	    gelf_getshdr(elf_getscn(elf, names_index), &h) && h.sh_type == SHT_STRTAB)
		names = section(&f->view, &h);
	err = -EBADMSG;
	for (size_t i = 1; i < shnum; i++) {
		if (!gelf_getshdr(elf_getscn(elf, i), &h))
			goto fail;
		keep_section(f, elf, &h, &names);
	}
	f->has_sections = true;
	err = 0;
fail:
	elf_end(elf);
	return err;
}

static int by_start(const void *a, const void *b)
{
	const struct code *x = a, *y = b;
	return x->start != y->start ? (x->start > y->start) - (x->start < y->start)
				    : (x->end > y->end) - (x->end < y->end);
}

// Sorted, and where a lying file lets ranges overlap, the later one cut.
static void settle_code(struct elf_file *f)
{
	qsort(f->code, f->code_count, sizeof(*f->code), by_start);
	uint32_t kept = 0;
	for (uint32_t i = 0; i < f->code_count; i++) {
		struct code c = f->code[i];
		if (kept && c.start < f->code[kept - 1].end)
			c.start = f->code[kept - 1].end;
		if (c.start < c.end)
			f->code[kept++] = c;
	}
	f->code_count = kept;
}

static int code_from_segments(struct elf_file *f)
{
	f->code = mem_alloc(ACCOUNT_ELF, FILE_SEGMENTS_MAX * sizeof(*f->code));
	if (!f->code)
		return -ENOMEM;
	for (uint32_t i = 0; i < f->segment_count; i++) {
		const struct segment *s = &f->segments[i];
		if ((s->flags & PF_X) && s->size)
			f->code[f->code_count++] =
			    (struct code){.start = s->vaddr, .end = s->vaddr + s->size};
	}
	return 0;
}

int file_open(struct elf_file *f, const struct view *view)
{
	*f = (struct elf_file){.view = *view};
	Elf64_Ehdr e;
	uint64_t count;
	int err = read_header(view, &e);
	if (!err)
		err = read_segments(f, &e);
	if (!err)
		err = count_sections(view, &e, &count);
	if (!err)
		err = count ? read_sections(f, count) : code_from_segments(f);
	if (err) {
		file_close(f);
		return err;
	}
	settle_code(f);
	return 0;
}

void file_close(struct elf_file *f)
{
	mem_free(f->code);
	*f = (struct elf_file){};
}

// The first range that ends beyond ADDRESS.
static uint32_t code_index(const struct elf_file *f, uint64_t address)
{
	uint32_t lo = 0, hi = f->code_count;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (f->code[mid].end <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct code *file_code(const struct elf_file *f, uint64_t address)
{
	uint32_t i = code_index(f, address);
	return i < f->code_count && f->code[i].start <= address ? &f->code[i] : NULL;
}

void file_clip(const struct elf_file *f, uint64_t address, uint64_t *start, uint64_t *end)
{
	uint32_t i = code_index(f, address);
	uint64_t from = i ? f->code[i - 1].end : 0;
	uint64_t to = i < f->code_count ? f->code[i].start : UINT64_MAX;
	if (i < f->code_count && f->code[i].start <= address) {
		from = f->code[i].start;
		to = f->code[i].end;
	}
	if (*start < from)
		*start = from;
	if (*end > to)
		*end = to;
}

bool file_executable(const struct elf_file *f, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < f->segment_count; i++) {
		const struct segment *s = &f->segments[i];
		if ((s->flags & PF_X) && start < end && start >= s->vaddr &&
		    end - s->vaddr <= s->size)
			return true;
	}
	return false;
}
