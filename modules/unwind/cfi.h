// SPDX-License-Identifier: Apache-2.0
// Call frame information (DWARF 5, 6.4; for .eh_frame LSB Core, 10.6): entries, of two kinds, one
// behind the other. An FDE has the program of one function, a CIE what many FDEs have in common.
//
//   CIE  length | 0 | version augmentation aligns ra | augmentation data | program
//   FDE  length | back to its CIE | begin, size | augmentation data | program
//
// .debug_frame: a CIE's mark is all ones, and an FDE has the offset of its CIE in the section.
#pragma once
#include "state.h"

#define CIE_MAX 1024 // bytes of one; it is read whole

// Where entries lie: .eh_frame or .debug_frame, and where that is in memory once it is loaded.
struct part {
	struct bytes bytes;
	uint64_t vaddr;
	bool debug; // .debug_frame
};

// The next address, in ENCODING (DW_EH_PE_*); its field lies at VADDR.
uint64_t cursor_pointer(struct cursor *c, uint8_t encoding, uint64_t vaddr);

struct entry {
	uint64_t offset, size; // in the part, all of it
	uint64_t cie;	       // offset of an FDE's CIE
	uint32_t head;	       // length and mark, bytes
	bool is_cie, wide;     // wide: DWARF's 64-bit format
};
// 1: E is the one at OFFSET; 0: there is none any more; -EBADMSG or -errno.
int entry_read(struct part *p, uint64_t offset, struct entry *e);

struct cie {
	uint64_t offset;
	uint64_t code_align;
	int64_t data_align;
	uint8_t encoding; // of addresses (DW_EH_PE_*)
	bool signal, augmented;
	bool strange; // the return address is in another column than the machine's
	struct state initial;
};
// 0, -EBADMSG (also what is not understood), -errno.
int cie_read(struct part *p, const struct machine *m, const struct entry *e, struct cie *cie);

// Link-time addresses [begin, end). Its program is NULL where it is longer than BYTES_MAX.
struct fde {
	uint64_t begin, end;
	struct cursor program; // in the part's buffer
	uint64_t program_vaddr;
};
int fde_read(struct part *p, const struct entry *e, const struct cie *cie, struct fde *fde);

#define STATES_MAX 16 // remembered at once

// A program being run: the rows of one FDE, in order and without gaps. What lies behind an
// instruction that makes no sense is RULE_UNSUPPORTED.
struct run {
	const struct machine *machine;
	struct cie cie;
	struct fde fde;
	const uint8_t *program;
	uint64_t at;
	struct state state, states[STATES_MAX];
	uint32_t depth;
	bool bad, done;
};
void run_begin(
    struct run *r, const struct machine *m, const struct cie *cie, const struct fde *fde);
// The next row, [*FROM, *TO), never empty; false: there is none.
bool run_next(struct run *r, uint64_t *from, uint64_t *to, struct rule *rule);
