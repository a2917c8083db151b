// SPDX-License-Identifier: Apache-2.0
// The FDEs that touch a window, by the address at which they begin.
//
//   .eh_frame_hdr's table: found by bisection, then one after the other
//   where there is no table, it is not sound, or .debug_frame tells more: a walk over all entries
//   of a part (or by the table), the window's own into a heap, out of which they come sorted
#pragma once
#include "source.h"

#define FDES_MAX (128u << 10)	// looked at in a window, or kept in the heap
#define WALK_MAX (256ull << 20) // bytes of a part that is walked
#define CIES 8

struct found {
	uint32_t at; // offset in the window; 0 of what begins before it
	uint32_t part;
	uint64_t offset;
};
struct frames {
	const struct source *source;
	uint64_t start, end; // of the window, link-time addresses
	struct part part[SOURCE_PARTS];
	struct bytes table;
	bool use_table;
	uint32_t next, looked; // in the table
	uint64_t last;	       // function of the entry before
	uint64_t offset;       // in part 0, of the FDE that the table gave last
	unsigned walked;       // parts walked
	uint64_t at;	       // where the walk is
	struct found *heap;
	uint32_t count, cap;
	struct cie cies[CIES];
	uint32_t cie_part[CIES]; // 0: the place is empty, else the part's number and 1
};

// UNZIPPED: the bytes of a compressed part, or NULL. 0 or -errno; frames_close in any case.
int frames_open(struct frames *f, const struct source *s, uint64_t start, uint64_t end,
    const uint8_t *unzipped);
void frames_close(struct frames *f);
// 1: the next one; it is told only if it touches the window. 0: there is none any more. -EAGAIN: a
// piece of the walk was done, ask again. -errno. FDE and CIE: valid until the next call.
int frames_next(struct frames *f, struct fde *fde, const struct cie **cie);
