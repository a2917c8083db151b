// SPDX-License-Identifier: Apache-2.0
// .eh_frame_hdr is the index of .eh_frame (Linux Standard Base, Core, "Exception Frames"). Every
// linker writes it in one form; all offsets are from its own start:
//
//   version 1 | encodings, a byte each: pointer, count, table | pointer | count u32 |
//   { start of a function i32 | its entry in .eh_frame i32 }...  by start
//
// An entry (FDE) of .eh_frame, whose CIE says how wide its last two fields are; here the width is
// taken that gives the start which the index says:
//
//   length u32 | offset to the CIE u32 | start | size of the function
#include "frames.h"

#include <string.h>

#define HEADER_SIZE 12
#define U32 0x03       // DW_EH_PE_udata4
#define I32 0x0b       // DW_EH_PE_sdata4
#define TABLE_I32 0x3b // DW_EH_PE_datarel | DW_EH_PE_sdata4

struct entry {
	int32_t start, fde;
};

// Number of entries, 0 where there is no index in that form.
static uint64_t entry_count(const struct elf_file *f)
{
	uint8_t h[HEADER_SIZE];
	uint32_t count;
	if (f->frames.size < sizeof(h) || view_read(&f->view, f->frames.offset, h, sizeof(h)) < 0)
		return 0;
	unsigned width = h[1] & 0x0f;
	if (h[0] != 1 || (width != U32 && width != I32) || h[2] != U32 || h[3] != TABLE_I32)
		return 0;
	memcpy(&count, h + 8, sizeof(count));
	uint64_t room = (f->frames.size - sizeof(h)) / sizeof(struct entry);
	return count < room ? count : room;
}

static bool read_entry(const struct elf_file *f, uint64_t i, struct entry *e)
{
	uint64_t at = f->frames.offset + HEADER_SIZE + i * sizeof(*e);
	return view_read(&f->view, at, e, sizeof(*e)) == 0;
}

// Size of the function at START by its entry at address FDE, 0 where that makes no sense.
static uint64_t size_of(const struct elf_file *f, uint64_t fde, uint64_t start)
{
	uint8_t b[24] = {};
	uint64_t in = fde - f->eh_frame.vaddr, wide, size;
	uint32_t narrow, size32;
	uint64_t left = in < f->eh_frame.size ? f->eh_frame.size - in : 0;
	size_t n = left < sizeof(b) ? left : sizeof(b);
	if (n < 16 || view_read(&f->view, f->eh_frame.offset + in, b, n) < 0)
		return 0;
	memcpy(&narrow, b + 8, sizeof(narrow));
	memcpy(&size32, b + 12, sizeof(size32));
	// Relative to its own place; a size with the top bit is the upper half of a wide start.
	if (fde + 8 + (uint64_t)(int64_t)(int32_t)narrow == start && size32 && size32 <= INT32_MAX)
		return size32;
	memcpy(&wide, b + 8, sizeof(wide));
	memcpy(&size, b + 16, sizeof(size));
	return wide == start || fde + 8 + wide == start ? size : 0;
}

bool frames_end(const struct elf_file *f, uint64_t address, uint64_t *end)
{
	uint64_t low = 0, high = entry_count(f), base = f->frames.vaddr;
	struct entry e;
	*end = UINT64_MAX;
	// The first function that begins behind ADDRESS; the one before it may hold it.
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		if (!read_entry(f, mid, &e))
			return false;
		uint64_t start = base + (uint64_t)(int64_t)e.start;
		if (start > address) {
			high = mid;
			*end = start;
		} else {
			low = mid + 1;
		}
	}
	if (!low || !read_entry(f, low - 1, &e))
		return false;
	uint64_t start = base + (uint64_t)(int64_t)e.start;
	uint64_t size = size_of(f, base + (uint64_t)(int64_t)e.fde, start);
	if (start > address || address - start >= size)
		return false;
	if (size < *end - start)
		*end = start + size;
	return true;
}
