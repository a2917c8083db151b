// SPDX-License-Identifier: Apache-2.0
// Symbol tables: one streaming pass over .symtab or .dynsym, that keeps for every asked address the
// best symbol seen so far. Nothing is sorted or kept of the table itself.
#pragma once
#include "file.h"

// Where names are read when the passes are over: up to two tables may be joined.
#define STRINGS_MAX 2
struct strings {
	const struct view *view;
	uint64_t offset, limit;
};

struct symbol_candidate {
	uint64_t start, end; // end 0: none
	uint32_t name;	     // offset into strings[table]
	uint8_t table;
	uint8_t rank;
};

// One asked address with what is known around it:
//
//      floor              last       address         next
//   ...sized] . . . . . . [label . . . . x . . . . . .[symbol...
//
struct place {
	uint64_t address;
	uint64_t floor;		       // greatest end of a sized symbol at or below the address
	uint64_t last;		       // greatest start at or below it
	uint64_t next;		       // smallest start above it
	struct symbol_candidate sized; // innermost sized symbol around the address
	struct symbol_candidate label; // nearest symbol without size at or below it
	uint32_t index;
};

struct symtab_pass;
struct symtab_options {
	const struct elf_file *file;
	const struct section *symbols;
	bool dynamic;	      // .dynsym: a symbol without size holds for its very address only
	struct place *places; // sorted by address
	uint32_t count;
	struct strings *strings;
	uint8_t table; // strings[table] belongs to this table, for equal starts the others are read
};
struct symtab_pass *symtab_pass_new(const struct symtab_options *options);
void symtab_pass_free(struct symtab_pass *p);
// Until clock_now() reaches DEADLINE: 1 more to do, 0 the table was read, -errno.
int symtab_pass_step(struct symtab_pass *p, uint64_t deadline);
uint64_t symtab_pass_seen(const struct symtab_pass *p); // functions seen in the table

void places_reset(struct place *places, uint32_t count);
// After the passes: hands on what is known from place to place.
void places_settle(struct place *places, uint32_t count);
// The end of what a symbol without size at LABEL may cover, if no other symbol begins before. Who
// decides over a place whose label.end is LABEL_OPEN sets it to this first.
#define LABEL_OPEN UINT64_MAX
uint64_t label_end(const struct elf_file *f, uint64_t label);
// The symbol for the settled place P, or NULL, and the range that the answer holds for.
const struct symbol_candidate *place_decide(
    const struct place *p, const struct elf_file *f, uint64_t *start, uint64_t *end);
// Name of C, its version (@...) cut, into TO: its length or -errno.
int symbol_name(
    const struct strings *strings, const struct symbol_candidate *c, char *to, size_t size);
