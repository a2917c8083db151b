// SPDX-License-Identifier: Apache-2.0
// Call frame instructions (DWARF 5, 6.4.2 and 7.24). Only three columns of the table that they make
// are kept: CFA, frame pointer, return address.
#include "cfi.h"

// DW_CFA_*: the first three have their operand in the low six bits.
enum {
	CFA_ADVANCE_LOC = 0x40,
	CFA_OFFSET = 0x80,
	CFA_RESTORE = 0xc0,
	CFA_NOP = 0x00,
	CFA_SET_LOC = 0x01,
	CFA_ADVANCE_LOC1 = 0x02,
	CFA_ADVANCE_LOC2 = 0x03,
	CFA_ADVANCE_LOC4 = 0x04,
	CFA_OFFSET_EXTENDED = 0x05,
	CFA_RESTORE_EXTENDED = 0x06,
	CFA_UNDEFINED = 0x07,
	CFA_SAME_VALUE = 0x08,
	CFA_REGISTER = 0x09,
	CFA_REMEMBER_STATE = 0x0a,
	CFA_RESTORE_STATE = 0x0b,
	CFA_DEF_CFA = 0x0c,
	CFA_DEF_CFA_REGISTER = 0x0d,
	CFA_DEF_CFA_OFFSET = 0x0e,
	CFA_DEF_CFA_EXPRESSION = 0x0f,
	CFA_EXPRESSION = 0x10,
	CFA_OFFSET_EXTENDED_SF = 0x11,
	CFA_DEF_CFA_SF = 0x12,
	CFA_DEF_CFA_OFFSET_SF = 0x13,
	CFA_VAL_OFFSET = 0x14,
	CFA_VAL_OFFSET_SF = 0x15,
	CFA_VAL_EXPRESSION = 0x16,
	CFA_AARCH64_NEGATE_RA_STATE_WITH_PC = 0x2c,
	CFA_GNU_WINDOW_SAVE = 0x2d, // arm64: negate_ra_state
	CFA_GNU_ARGS_SIZE = 0x2e,
	CFA_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,
};

void run_begin(struct run *r, const struct machine *m, const struct cie *cie, const struct fde *fde)
{
	r->machine = m;
	r->cie = *cie;
	r->fde = *fde;
	r->program = fde->program.at;
	r->at = fde->begin;
	r->state = cie->initial;
	r->depth = 0;
	r->bad = !fde->program.at || cie->strange;
	r->done = false;
}

static struct saved *column(struct run *r, struct state *s, uint64_t reg)
{
	if (reg == r->machine->fp)
		return &s->fp;
	return reg == r->machine->ra ? &s->ra : NULL;
}

static void set(struct run *r, uint64_t reg, enum where where, int64_t offset)
{
	struct saved *s = column(r, &r->state, reg);
	if (s)
		*s = (struct saved){.where = where, .offset = offset};
}

static void restore(struct run *r, uint64_t reg)
{
	struct saved *s = column(r, &r->state, reg);
	if (s)
		*s = *column(r, &r->cie.initial, reg);
}

static int64_t factored(struct run *r, int64_t n)
{
	int64_t offset;
	if (!__builtin_mul_overflow(n, r->cie.data_align, &offset))
		return offset;
	r->bad = true;
	return 0;
}

static int64_t take_factored(struct run *r)
{
	return factored(r, (int64_t)cursor_uleb(&r->fde.program));
}

static int64_t take_factored_sf(struct run *r)
{
	return factored(r, cursor_sleb(&r->fde.program));
}

static struct cursor take_block(struct run *r)
{
	return cursor_cut(&r->fde.program, cursor_uleb(&r->fde.program));
}

static void advance(struct run *r, uint64_t delta)
{
	uint64_t bytes;
	if (__builtin_mul_overflow(delta, r->cie.code_align, &bytes) || bytes > r->fde.end - r->at)
		bytes = r->fde.end - r->at; // what follows is not of this function
	r->at += bytes;
}

static void set_loc(struct run *r)
{
	struct cursor *c = &r->fde.program;
	uint64_t vaddr = r->fde.program_vaddr + (uint64_t)(c->at - r->program);
	uint64_t to = cursor_pointer(c, r->cie.encoding, vaddr);
	if (to < r->at)
		r->bad = true;
	else
		r->at = to < r->fde.end ? to : r->fde.end;
}

static void remember(struct run *r)
{
	if (r->depth == STATES_MAX)
		r->bad = true;
	else
		r->states[r->depth++] = r->state;
}

static void restore_state(struct run *r)
{
	if (!r->depth)
		r->bad = true;
	else
		r->state = r->states[--r->depth];
}

static void set_cfa_register(struct run *r, uint64_t reg)
{
	r->state.kind = RULE_REGISTER;
	r->state.reg = reg < UINT32_MAX ? (uint32_t)reg : UINT32_MAX;
}

static void set_cfa_offset(struct run *r, int64_t offset)
{
	r->bad |= r->state.kind != RULE_REGISTER;
	r->state.offset = offset;
}

// Instructions that define the CFA; false: it is none of them.
static bool define_cfa(struct run *r, uint8_t op)
{
	struct cursor *c = &r->fde.program;
	switch (op) {
	case CFA_DEF_CFA:
		set_cfa_register(r, cursor_uleb(c));
		r->state.offset = (int64_t)cursor_uleb(c);
		return true;
	case CFA_DEF_CFA_SF:
		set_cfa_register(r, cursor_uleb(c));
		r->state.offset = take_factored_sf(r);
		return true;
	case CFA_DEF_CFA_REGISTER:
		// Behind an expression: with the offset from before it, as the libraries that throw
		// have it.
		set_cfa_register(r, cursor_uleb(c));
		return true;
	case CFA_DEF_CFA_OFFSET:
		set_cfa_offset(r, (int64_t)cursor_uleb(c));
		return true;
	case CFA_DEF_CFA_OFFSET_SF:
		set_cfa_offset(r, take_factored_sf(r));
		return true;
	case CFA_DEF_CFA_EXPRESSION:
		state_cfa_expression(&r->state, r->machine, take_block(r));
		return true;
	default:
		return false;
	}
}

// Instructions that say where a register is; false: it is none of them.
static bool define_register(struct run *r, uint8_t op)
{
	struct cursor *c = &r->fde.program;
	if (op < CFA_OFFSET_EXTENDED || (op > CFA_REGISTER && op < CFA_EXPRESSION) ||
	    (op > CFA_VAL_EXPRESSION && op != CFA_GNU_NEGATIVE_OFFSET_EXTENDED) ||
	    op == CFA_DEF_CFA_SF || op == CFA_DEF_CFA_OFFSET_SF)
		return false;
	uint64_t reg = cursor_uleb(c);
	int64_t offset;
	switch (op) {
	case CFA_OFFSET_EXTENDED:
		set(r, reg, WHERE_CFA, take_factored(r));
		break;
	case CFA_OFFSET_EXTENDED_SF:
		set(r, reg, WHERE_CFA, take_factored_sf(r));
		break;
	case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
		offset = take_factored(r);
		r->bad |= offset == INT64_MIN;
		set(r, reg, WHERE_CFA, r->bad ? 0 : -offset);
		break;
	case CFA_RESTORE_EXTENDED:
		restore(r, reg);
		break;
	case CFA_UNDEFINED:
		set(r, reg, WHERE_UNDEFINED, 0);
		break;
	case CFA_SAME_VALUE:
		set(r, reg, WHERE_SAME, 0);
		break;
	case CFA_EXPRESSION: {
		struct saved s = saved_expression(r->machine, take_block(r));
		set(r, reg, s.where, s.offset);
		break;
	}
	case CFA_REGISTER: {
		uint64_t other = cursor_uleb(c);
		set(r, reg, WHERE_REGISTER, other < UINT32_MAX ? (int64_t)other : UINT32_MAX);
		break;
	}
	default: // a value that no rule has: val_offset, val_offset_sf
		if (op == CFA_VAL_EXPRESSION)
			take_block(r);
		else
			cursor_uleb(c);
		set(r, reg, WHERE_OTHER, 0);
	}
	return true;
}

static void other(struct run *r, uint8_t op)
{
	struct cursor *c = &r->fde.program;
	switch (op) {
	case CFA_NOP:
	case CFA_AARCH64_NEGATE_RA_STATE_WITH_PC:
	case CFA_GNU_WINDOW_SAVE:
		break; // a signed return address is stripped in any case
	case CFA_SET_LOC:
		set_loc(r);
		break;
	case CFA_ADVANCE_LOC1:
		advance(r, cursor_fixed(c, 1));
		break;
	case CFA_ADVANCE_LOC2:
		advance(r, cursor_fixed(c, 2));
		break;
	case CFA_ADVANCE_LOC4:
		advance(r, cursor_fixed(c, 4));
		break;
	case CFA_REMEMBER_STATE:
		remember(r);
		break;
	case CFA_RESTORE_STATE:
		restore_state(r);
		break;
	case CFA_GNU_ARGS_SIZE:
		cursor_uleb(c); // of use to those who throw
		break;
	default:
		r->bad = true;
	}
}

static void instruction(struct run *r)
{
	uint8_t op = *r->fde.program.at++, low = op & 0x3f;
	switch (op & 0xc0) {
	case CFA_ADVANCE_LOC:
		advance(r, low);
		break;
	case CFA_OFFSET:
		set(r, low, WHERE_CFA, take_factored(r));
		break;
	case CFA_RESTORE:
		restore(r, low);
		break;
	default:
		if (!define_cfa(r, op) && !define_register(r, op))
			other(r, op);
	}
	r->bad |= r->fde.program.bad;
}

bool run_next(struct run *r, uint64_t *from, uint64_t *to, struct rule *rule)
{
	if (r->done || r->at >= r->fde.end)
		return false;
	*from = r->at;
	while (!r->bad && r->at == *from && r->fde.program.at < r->fde.program.end)
		instruction(r);
	// The instruction that went on has changed nothing else.
	*rule = r->bad ? (struct rule){.kind = RULE_UNSUPPORTED}
		       : state_rule(&r->state, r->machine, r->cie.signal);
	r->done = r->bad || r->at == *from;
	*to = r->done ? r->fde.end : r->at;
	return true;
}
