// SPDX-License-Identifier: Apache-2.0
// Go's table of functions, which every Go program carries even when stripped: searched where it
// lies in the file, never loaded.
#pragma once
#include "file.h"

enum pclntab_version { PCLNTAB_12, PCLNTAB_116, PCLNTAB_118, PCLNTAB_120 };

//   header | names | ... | functab: count x {entry, function}, end | function records
struct pclntab {
	const struct view *view;
	uint64_t offset, size, vaddr; // of the whole table
	uint64_t names, pctab;	      // offsets in the table; pctab: tables of values by address
	uint64_t functab, functions;  // offsets in the table; records are relative to `functions`
	uint64_t text;		      // added to entries from 1.18 on; 0: not yet known
	uint64_t start, end;	      // code covered; set by pclntab_check
	uint32_t count;
	enum pclntab_version version;
	uint8_t quantum; // bytes that an instruction has at least
};

// Reads the header at OFFSET (VADDR in memory), at most SIZE bytes long: 0 or -EBADMSG or -errno.
int pclntab_open(
    struct pclntab *t, const struct view *view, uint64_t offset, uint64_t size, uint64_t vaddr);
// True if the table needs `text` and does not say it.
bool pclntab_needs_text(const struct pclntab *t);
// Samples the table and finds the range of code it covers, that must be executable in F: 0 or
// -EBADMSG.
int pclntab_check(struct pclntab *t, const struct elf_file *f);
#define PCLNTAB_ENTRIES 128
// Entries FIRST .. FIRST + N of functab (N at most PCLNTAB_ENTRIES + 1): where a function begins,
// and its record, from `functions` on; behind the last function stands the end of the code.
int pclntab_entries(
    const struct pclntab *t, uint32_t first, uint32_t n, uint64_t *address, uint64_t *function);
// The function around ADDRESS, its name unescaped in NAME[0..size): 0, -ENOENT (the table does not
// cover it), -EBADMSG or -errno.
int pclntab_find(const struct pclntab *t, uint64_t address, uint64_t *start, uint64_t *end,
    char *name, size_t size);
