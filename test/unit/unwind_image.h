// SPDX-License-Identifier: Apache-2.0
// Call frame information made by hand, in an image of elf_image.h, for the tests of the unwind
// room.
#pragma once
#include "elf_image.h"

#include <errno.h>

#include "../../modules/unwind/rows.h"

#define FRAMES_ADDRESS 0x40000
#define TABLE_ADDRESS 0x60000

// Entries so far; those with a begin of their own go into the table.
struct entries {
	uint8_t at[1 << 16];
	size_t size;
	bool debug, wide;
	uint8_t encoding; // 0 absolute, 0x1b relative to itself, 4 bytes
	struct {
		uint64_t begin;
		size_t at;
	} fde[256];
	unsigned fde_count;
};

static inline void put_bytes(struct entries *e, const void *bytes, size_t n)
{
	if (n)
		memcpy(e->at + e->size, bytes, n);
	e->size += n;
}

static inline void put_number(struct entries *e, uint64_t value, size_t n)
{
	put_bytes(e, &value, n);
}

static inline void put_address(struct entries *e, uint64_t value, bool size)
{
	if (!e->encoding)
		put_number(e, value, 8);
	else
		put_number(e, size ? value : value - (FRAMES_ADDRESS + e->size), 4);
}

static inline size_t entry_begin(struct entries *e)
{
	size_t at = e->size;
	if (e->wide)
		put_number(e, 0xffffffff, 4);
	put_number(e, 0, e->wide ? 8 : 4);
	return at;
}

static inline void entry_end(struct entries *e, size_t at)
{
	while (e->size % 8)
		put_number(e, 0, 1); // DW_CFA_nop
	size_t length = e->wide ? 12 : 4;
	uint64_t size = e->size - at - length;
	memcpy(e->at + at + length - (e->wide ? 8 : 4), &size, e->wide ? 8 : 4);
}

// A CIE with AUGMENTATION ("zR", "zRS", "" ...), RA the return address's column. Its offset.
static inline size_t put_cie(
    struct entries *e, const char *augmentation, uint8_t ra, const void *program, size_t n)
{
	size_t at = entry_begin(e);
	size_t mark = e->wide && e->debug ? 8 : 4;
	put_number(e, e->debug ? UINT64_MAX : 0, mark);
	put_number(e, 1, 1); // version
	put_bytes(e, augmentation, strlen(augmentation) + 1);
	put_number(e, 1, 1);	// code alignment
	put_number(e, 0x78, 1); // data alignment -8
	put_number(e, ra, 1);
	if (augmentation[0] == 'z') {
		put_number(e, 1, 1);
		put_number(e, e->encoding, 1);
	}
	put_bytes(e, program, n);
	entry_end(e, at);
	return at;
}

static inline size_t put_fde(
    struct entries *e, size_t cie, uint64_t begin, uint64_t size, const void *program, size_t n)
{
	size_t at = entry_begin(e), mark = e->size;
	put_number(e, e->debug ? cie : mark - cie, e->wide && e->debug ? 8 : 4);
	put_address(e, begin, false);
	put_address(e, size, true);
	if (!e->debug)
		put_number(e, 0, 1); // augmentation data
	put_bytes(e, program, n);
	entry_end(e, at);
	if (e->fde_count < 256) {
		e->fde[e->fde_count].begin = begin;
		e->fde[e->fde_count++].at = at;
	}
	return at;
}

// x86-64: CFA = rsp + 8, return address at CFA - 8.
static const uint8_t amd64_cie[] = {0x0c, 7, 8, 0x90, 1};
// push rbp; mov rsp, rbp; ... ; ret: rows at +0, +1, +4, END
static const uint8_t push_rbp[] = {
    0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x02, 16, 0x0c, 7, 8, 0xc6};

// .eh_frame (or .debug_frame) at FRAMES_ADDRESS, with a table of TABLE entries or none (-1).
static inline void image_frames(struct image *m, const struct entries *e, int table)
{
	size_t at = image_put(m, e->at, e->size);
	image_section(m, e->debug ? ".debug_frame" : ".eh_frame",
	    (Elf64_Shdr){.sh_type = SHT_PROGBITS,
		.sh_addr = e->debug ? 0 : FRAMES_ADDRESS,
		.sh_offset = at,
		.sh_size = e->size},
	    NULL, 0);
	if (!e->debug)
		image_load(m, at, e->size, FRAMES_ADDRESS, PF_R);
	if (table < 0)
		return;
	uint8_t hdr[12 + 256 * 8] = {1, 0x1b, 0x03, 0x3b};
	put32(hdr + 4, FRAMES_ADDRESS - (TABLE_ADDRESS + 4));
	put32(hdr + 8, (uint32_t)table);
	for (int i = 0; i < table; i++) {
		put32(hdr + 12 + i * 8, (uint32_t)(e->fde[i].begin - TABLE_ADDRESS));
		put32(hdr + 16 + i * 8, (uint32_t)(FRAMES_ADDRESS + e->fde[i].at - TABLE_ADDRESS));
	}
	size_t size = 12 + (size_t)table * 8;
	at = image_put(m, hdr, size);
	image_load(m, at, size, TABLE_ADDRESS, PF_R);
	m->segments[m->segment_count - 1].p_type = PT_GNU_EH_FRAME;
}

static inline struct rule rule_at(const struct rows *r, uint32_t at)
{
	struct rule found = {};
	for (uint32_t i = 0; i < r->count && r->row[i].at <= at; i++)
		found = r->rules[r->row[i].rule];
	return found;
}

// All rows of the window at START, by steps of BUDGET ns, into *ROWS, to be freed with *JOB.
static inline int make_rows(struct source *source, uint64_t start, uint64_t budget,
    struct rows_job **job, const struct rows **rows)
{
	int r = -ENOMEM;
	*job = rows_job_new(source, start);
	if (*job)
		while ((r = rows_job_step(*job, budget)) == 1)
			;
	*rows = *job ? rows_job_rows(*job) : NULL;
	return r;
}
