// SPDX-License-Identifier: Apache-2.0
// The parts of one ELF file that naming needs, found through its section table.
#pragma once
#include <stdbool.h>
#include "view.h"

#define FILE_SEGMENTS_MAX 16 // PT_LOADs kept
// libelf holds some 300 bytes a section while the table is read; linked programs have about forty.
#define FILE_SECTIONS_MAX 4096

struct section {
	uint64_t offset, size, vaddr; // size 0: not there. Always inside the file
};
struct segment {
	uint64_t offset, size, vaddr; // size in the file
	uint32_t flags;		      // PF_*
};
// Executable sections by address, not overlapping; a file without section table has its executable
// segments here instead.
struct code {
	uint64_t start, end;
	bool plt;
};

struct elf_file {
	struct view view;
	struct segment segments[FILE_SEGMENTS_MAX];
	uint32_t segment_count;
	uint32_t code_count;
	struct code *code;
	struct section symtab, symtab_names, dynsym, dynsym_names;
	struct section debugdata, debuglink, build_id; // build_id: the note's section
	struct section pclntab, go_module, relro, rela;
	struct section eh_frame, frames; // .eh_frame and its index .eh_frame_hdr
	bool has_sections;
	bool go; // carries a mark of Go's linker
};

// VIEW's bytes as a 64-bit little-endian program or library. 0, -EBADMSG, -ENOTSUP (32-bit),
// -ENOMEM or -errno. VIEW is copied; what it looks at is borrowed until file_close.
int file_open(struct elf_file *f, const struct view *view);
void file_close(struct elf_file *f);
// The executable range that holds ADDRESS, or NULL.
const struct code *file_code(const struct elf_file *f, uint64_t address);
// Narrows [*start, *end) around ADDRESS to what lies between the executable ranges next to it.
void file_clip(const struct elf_file *f, uint64_t address, uint64_t *start, uint64_t *end);
// True if [start, end) lies in one executable segment.
bool file_executable(const struct elf_file *f, uint64_t start, uint64_t end);
