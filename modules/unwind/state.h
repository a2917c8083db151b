// SPDX-License-Identifier: Apache-2.0
// What call frame information says of the registers that a walk needs, and that as a rule
// (bpf/table.h).
#pragma once
#include "bytes.h"

#include "../../bpf/table.h"

// Code that is known by its bytes: of those who wrote it nobody described it, or not all of it.
#define LANDMARK_MAX 10
struct landmark {
	uint8_t kind;  // enum rule_kind: RULE_SIGNAL, RULE_STOP
	uint8_t size;  // of `bytes`
	uint8_t span;  // bytes of code that its row is for
	bool returned; // somebody returns to its first byte, before which no call lies
	uint8_t bytes[LANDMARK_MAX];
};

// The machines that are known, with DWARF's numbers for their registers (the System V ABIs).
struct machine {
	uint16_t elf;		  // e_machine
	uint8_t sp, fp, ra, last; // last: general register
	bool ra_on_stack;	  // a call puts it at CFA-8
	uint8_t landmark_count, entered_count;
	struct landmark landmark[5];
	struct landmark entered[3]; // where a file is entered, if it has no rows there
};
const struct machine *machine_find(uint16_t elf); // NULL: not known

// Where the caller's value of a register is.
enum where {
	WHERE_SAME,	 // in the register itself
	WHERE_UNDEFINED, // nowhere
	WHERE_CFA,	 // in memory at CFA + offset
	WHERE_FP,	 // in memory at fp + offset
	WHERE_REGISTER,	 // in the register of number `offset`
	WHERE_OTHER,	 // told in a way that no rule has
};
struct saved {
	int64_t offset;
	enum where where;
};
struct state {
	// RULE_REGISTER: CFA = reg + offset. Or the rule that an expression was found to be, with
	// its number in `value`; RULE_UNSUPPORTED.
	enum rule_kind kind;
	uint32_t reg;
	int64_t offset;
	int32_t value;
	struct saved fp, ra;
};

void state_cfa_expression(struct state *s, const struct machine *m, struct cursor expression);
// Of DW_CFA_expression: the register's value is in memory at what EXPRESSION tells.
struct saved saved_expression(const struct machine *m, struct cursor expression);
// SIGNAL: it is told to be a signal frame's.
struct rule state_rule(const struct state *s, const struct machine *m, bool signal);
