// SPDX-License-Identifier: Apache-2.0
// The independent unwinder: elfutils' libdwfl.
#pragma once
#include "target.h"

struct theirs;
struct theirs *theirs_new(struct target *t); // borrowed
void theirs_free(struct theirs *u);
// The target's mappings changed.
int theirs_maps(struct theirs *u);
void theirs_walk(struct theirs *u, struct stack *s);

// Where the file at PC is entered; 0: not known.
uint64_t theirs_entry(struct theirs *u, uint64_t pc);

// Address of the symbol NAME of the file that has PC; 0: none.
uint64_t theirs_symbol(struct theirs *u, uint64_t pc, const char *name);

// Where PC is: the file's name without its folders and a symbol, "?" where none.
struct place {
	const char *file, *symbol;
	uint64_t offset;     // from the symbol
	uint64_t symbol_at;  // address in the process
	uint64_t symbol_end; // 0: not known
};
// True when a file describes how to come from PC to its caller.
bool theirs_describes(struct theirs *u, uint64_t pc);
// True when a file says of PC that nobody called it: a thread's first function.
bool theirs_starts(struct theirs *u, uint64_t pc);
void theirs_name(struct theirs *u, uint64_t pc, struct place *place);
