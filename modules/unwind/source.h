// SPDX-License-Identifier: Apache-2.0
// What is known of a file that rows are made of.
#pragma once
#include "cfi.h"
#include "rows.h"

#include "../elf/elf.h"

#define SOURCE_PARTS 2
#define UNZIPPED_MAX (2u << 20) // a compressed .debug_frame is used up to this size

struct source_part {
	int fd;
	const uint8_t *image;
	uint64_t offset, size, vaddr;
	uint64_t unzipped; // its size when it is, 0: it is not compressed
	bool debug;
};
struct source {
	int fd;
	const uint8_t *image;
	size_t image_size;
	struct elf_frames elf;
	const struct machine *machine;
	unsigned part_count;
	// .eh_frame, then .debug_frame, which tells what that does not: C libraries describe their
	// start files in the one, whatever a program is built with.
	struct source_part part[SOURCE_PARTS];
	int debug_fd;	// whose .debug_frame is the last part, if that is not the file's own; -1
	bool unchecked; // whether it is the right debug file
	struct elf_debug_check check;
	// Of .eh_frame_hdr: the sorted table of {function, FDE}, two s32 from `table_base`, for
	// part[0]. Partial: the file has room for more than it says there are.
	uint64_t table_offset, table_base;
	uint32_t table_count;
	bool table_partial;
	uint64_t entry;			// where the file is entered, and
	const struct landmark *entered; // what is there; NULL: no such code
	// Of code that nothing describes: RULE_FRAME of Go's, which keeps frame pointers.
	enum rule_kind gap;
	// Of Go's code in [go_start, go_end); NULL: not sought yet, or none.
	struct go *go;
	bool go_sought;
	uint64_t go_start, go_end;
};

// The part's bytes.
void rows_source_open(const struct source_part *s, struct part *part);
// What `gap` is in a Go program once it is known which code is Go's.
enum rule_kind rows_source_gap(const struct source *s);
// Is the separate debug file the right one? If not, it is not used. 1 more, 0 done, -errno.
int rows_source_check(struct source *s, uint64_t budget_ns);
// N bytes at OFFSET of the file. 0 or -errno.
int rows_source_read(const struct source *s, uint64_t offset, void *to, uint32_t n);
// The first landmark in [from, to) (link-time addresses), a window at most. 1 found, 0 not, -errno.
int rows_source_landmark(
    const struct source *s, uint64_t from, uint64_t to, uint64_t *at, const struct landmark **what);
// Is the code at ADDRESS landmark L? 1 yes, 0 no, -errno.
int rows_source_is(const struct source *s, uint64_t address, const struct landmark *l);
