// SPDX-License-Identifier: Apache-2.0
// Small ELF files made by hand, for the tests of the elf room.
//
//   0 header | 64 program headers | 0x400 contents, in the order they are put | section headers
#pragma once
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../modules/base/base.h"
#include "../../modules/elf/elf.h"

#define TEXT_ADDRESS 0x10000 // .text: two pages in the file's first segment
#define TEXT_SIZE 0x2000
#define CONTENTS 0x400

struct image {
	_Alignas(8) uint8_t at[1 << 17];
	size_t size;
	Elf64_Phdr segments[16];
	Elf64_Shdr sections[32];
	unsigned segment_count, section_count;
	char section_names[1024];
	size_t section_names_size;
	Elf64_Sym symbols[512];
	unsigned symbol_count;
	char strings[16384];
	size_t strings_size;
};

static inline size_t image_put(struct image *m, const void *bytes, size_t n)
{
	size_t at = (m->size + 7) & ~(size_t)7;
	if (n)
		memcpy(m->at + at, bytes, n);
	m->size = at + n;
	return at;
}

static inline unsigned image_section(
    struct image *m, const char *name, Elf64_Shdr h, const void *bytes, size_t n)
{
	h.sh_name = (Elf64_Word)m->section_names_size;
	memcpy(m->section_names + m->section_names_size, name, strlen(name) + 1);
	m->section_names_size += strlen(name) + 1;
	if (bytes) {
		h.sh_offset = image_put(m, bytes, n);
		h.sh_size = n;
	}
	m->sections[m->section_count] = h;
	return m->section_count++;
}

// A section of code, without bytes of its own.
static inline void image_code_section(
    struct image *m, const char *name, uint64_t address, uint64_t size)
{
	image_section(m, name,
	    (Elf64_Shdr){.sh_type = SHT_PROGBITS,
		.sh_flags = SHF_ALLOC | SHF_EXECINSTR,
		.sh_addr = address,
		.sh_size = size},
	    NULL, 0);
}

// A section of N bytes of data that is loaded at ADDRESS. Where they are in the file.
static inline size_t image_data_section(
    struct image *m, const char *name, uint64_t address, const void *bytes, size_t n)
{
	unsigned i = image_section(m, name,
	    (Elf64_Shdr){.sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC, .sh_addr = address}, bytes,
	    n);
	return m->sections[i].sh_offset;
}

static inline void image_load(
    struct image *m, uint64_t offset, uint64_t size, uint64_t vaddr, uint32_t flags)
{
	m->segments[m->segment_count++] = (Elf64_Phdr){.p_type = PT_LOAD,
	    .p_flags = flags,
	    .p_offset = offset,
	    .p_filesz = size,
	    .p_memsz = size,
	    .p_vaddr = vaddr,
	    .p_align = 4096};
}

static inline void image_begin(struct image *m)
{
	memset(m, 0, sizeof(*m));
	m->size = CONTENTS;
	m->section_count = 1; // the null section
	m->section_names_size = m->strings_size = m->symbol_count = 1;
	image_load(m, 0, TEXT_SIZE, TEXT_ADDRESS, PF_R | PF_X);
	image_code_section(m, ".text", TEXT_ADDRESS, TEXT_SIZE);
}

static inline void image_symbol(
    struct image *m, const char *name, uint64_t value, uint64_t size, unsigned bind, unsigned type)
{
	m->symbols[m->symbol_count++] = (Elf64_Sym){.st_name = (Elf64_Word)m->strings_size,
	    .st_info = ELF64_ST_INFO(bind, type),
	    .st_shndx = 1,
	    .st_value = value,
	    .st_size = size};
	memcpy(m->strings + m->strings_size, name, strlen(name) + 1);
	m->strings_size += strlen(name) + 1;
}

static inline void image_function(struct image *m, const char *name, uint64_t value, uint64_t size)
{
	image_symbol(m, name, value, size, STB_GLOBAL, STT_FUNC);
}

// Writes the symbols so far as a table of TYPE (SHT_SYMTAB, SHT_DYNSYM) and begins a new list.
static inline void image_table(struct image *m, unsigned type)
{
	unsigned strings = image_section(m, type == SHT_SYMTAB ? ".strtab" : ".dynstr",
	    (Elf64_Shdr){.sh_type = SHT_STRTAB}, m->strings, m->strings_size);
	image_section(m, type == SHT_SYMTAB ? ".symtab" : ".dynsym",
	    (Elf64_Shdr){.sh_type = type, .sh_link = strings, .sh_entsize = sizeof(Elf64_Sym)},
	    m->symbols, m->symbol_count * sizeof(Elf64_Sym));
	m->symbol_count = 1;
	m->strings_size = 1;
}

static inline Elf64_Ehdr *image_header(struct image *m)
{
	return (Elf64_Ehdr *)m->at;
}

static inline void image_end(struct image *m)
{
	Elf64_Ehdr e = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
	    .e_type = ET_DYN,
	    .e_machine = EM_X86_64,
	    .e_version = EV_CURRENT,
	    .e_phoff = sizeof(e),
	    .e_ehsize = sizeof(e),
	    .e_phentsize = sizeof(Elf64_Phdr),
	    .e_phnum = (Elf64_Half)m->segment_count,
	    .e_shentsize = sizeof(Elf64_Shdr)};
	e.e_shstrndx = (Elf64_Half)m->section_count;
	image_section(m, ".shstrtab", (Elf64_Shdr){.sh_type = SHT_STRTAB}, m->section_names,
	    sizeof(m->section_names));
	e.e_shnum = (Elf64_Half)m->section_count;
	e.e_shoff = image_put(m, m->sections, m->section_count * sizeof(Elf64_Shdr));
	memcpy(m->at, &e, sizeof(e));
	memcpy(m->at + sizeof(e), m->segments, m->segment_count * sizeof(Elf64_Phdr));
	if (m->size < TEXT_SIZE)
		m->size = TEXT_SIZE;
}

static inline Elf64_Shdr *image_header_of(struct image *m, unsigned section)
{
	return (Elf64_Shdr *)(m->at + image_header(m)->e_shoff) + section;
}

static inline int image_fd(const struct image *m, size_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	if (fd < 0 || write(fd, m->at, size) != (ssize_t)size)
		return -1;
	return fd;
}

// A Go function table of VERSION (0xfb 1.2, 0xfa 1.16, 0xf0 1.18, 0xf1 1.20): COUNT functions at
// TEXT + at[i], the code ending at TEXT + at[COUNT]; textStart in the header is STATED. Into TO,
// its size.
struct go_functions {
	unsigned count;
	uint32_t at[300];
	char names[300][32];
};

static inline void put64(uint8_t *to, uint64_t value)
{
	memcpy(to, &value, 8);
}
static inline void put32(uint8_t *to, uint32_t value)
{
	memcpy(to, &value, 4);
}

static inline size_t image_pclntab(
    uint8_t *to, uint8_t version, const struct go_functions *g, uint64_t text, uint64_t stated)
{
	bool narrow = version >= 0xf0 && version <= 0xf1, old = version == 0xfb;
	size_t entry = narrow ? 8 : 16, names = 80, at = names + 1;
	uint32_t offsets[300];
	memset(to, 0, 80);
	put32(to, 0xffffff00u | version);
	to[6] = 1, to[7] = 8;
	put64(to + 8, g->count);
	// The 1.2 table has its functab right behind the count, and offsets from the table's start.
	size_t functab = old ? 16 : 0, size = g->count * entry + entry / 2;
	if (old)
		at = (functab + size + 15) & ~(size_t)7, names = 0;
	for (unsigned i = 0; i < g->count; i++) {
		offsets[i] = (uint32_t)(at - names);
		memcpy(to + at, g->names[i], strlen(g->names[i]) + 1);
		at += strlen(g->names[i]) + 1;
	}
	at = (at + 7) & ~(size_t)7;
	if (!old) {
		functab = at;
		at = (at + size + 7) & ~(size_t)7;
	}
	size_t base = old ? 0 : functab;
	for (unsigned i = 0; i <= g->count; i++) {
		uint8_t *e = to + functab + i * entry;
		narrow ? put32(e, g->at[i]) : put64(e, text + g->at[i]);
		if (i == g->count)
			break;
		narrow ? put32(e + 4, (uint32_t)(at - base)) : put64(e + 8, at - base);
		narrow ? put32(to + at, g->at[i]) : put64(to + at, text + g->at[i]);
		put32(to + at + (narrow ? 4 : 8), offsets[i]);
		at += 48;
	}
	if (version == 0xfa) {
		put64(to + 24, names), put64(to + 56, functab);
	} else if (!old) {
		put64(to + 24, stated), put64(to + 32, names), put64(to + 64, functab);
	}
	return at;
}
