// SPDX-License-Identifier: Apache-2.0
// DWARF expressions are not evaluated but recognised. There are three kinds of them in the code of
// today's compilers and libraries:
//
//   CFA: sp + 8 + ((pc & 15) >= 11) << 3     .plt, written by the linker
//   CFA: *(fp - 8), *(sp + 152) + 8          realigned stacks
//   fp:  *(fp + 0)                           the same
#include "state.h"

#include <elf.h>
#include <stddef.h>

// DW_OP_* (DWARF 5, 7.7.1)
enum {
	OP_DEREF = 0x06,
	OP_CONST1U = 0x08,
	OP_CONST1S = 0x09,
	OP_MINUS = 0x1c,
	OP_PLUS = 0x22,
	OP_PLUS_UCONST = 0x23,
	OP_LIT0 = 0x30,
	OP_LIT31 = 0x4f,
	OP_BREG0 = 0x70,
	OP_BREG31 = 0x8f,
};

#define CFA_BITS 31 // of rule.cfa, and of a number beside another one there
#define CFA_HIGH_BITS 23

const struct machine *machine_find(uint16_t elf)
{
	static const struct machine machines[] = {
	    {.elf = EM_X86_64,
		.sp = 7,
		.fp = 6,
		.ra = 16,
		.last = 15,
		.ra_on_stack = true,
		.landmark_count = 5,
		.landmark =
		    {// glibc's __start_context: mov %rbx, %rsp; mov (%rsp), %rdi; test %rdi, %rdi
			{RULE_STOP, 10, 26, true,
			    {0x48, 0x89, 0xdc, 0x48, 0x8b, 0x3c, 0x24, 0x48, 0x85, 0xff}},
			// The same behind an endbr64, where it is built with that
			{RULE_STOP, 10, 30, true,
			    {0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x89, 0xdc, 0x48, 0x8b, 0x3c}},
			// Only sigreturn: mov $15, %rax; syscall
			{RULE_SIGNAL, 9, 9, true, {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05}},
			// musl's _start: xor %rbp, %rbp; mov %rsp, %rdi; lea ...(%rip), %rsi; and
			// $-16, %rsp; call
			{RULE_STOP, 9, 22, false,
			    {0x48, 0x31, 0xed, 0x48, 0x89, 0xe7, 0x48, 0x8d, 0x35}},
			// musl's clone in the child: xor %ebp, %ebp; pop %rdi; call *%r9
			{RULE_STOP, 6, 6, false, {0x31, 0xed, 0x5f, 0x41, 0xff, 0xd1}}},
		.entered_count = 3,
		// mov %rsp, %rdi (glibc's dynamic linker); xor %ebp, %ebp; xor %rbp, %rbp (musl)
		.entered = {{RULE_STOP, 3, 64, false, {0x48, 0x89, 0xe7}},
		    {RULE_STOP, 2, 64, false, {0x31, 0xed}},
		    {RULE_STOP, 3, 64, false, {0x48, 0x31, 0xed}}}},
	    {.elf = EM_AARCH64,
		.sp = 31,
		.fp = 29,
		.ra = 30,
		.last = 30,
		.landmark_count = 2,
		.landmark =
		    {// glibc's __startcontext: nop; mov x0, x19
			{RULE_STOP, 8, 16, true, {0x1f, 0x20, 0x03, 0xd5, 0xe0, 0x03, 0x13, 0xaa}},
			// Only sigreturn: mov x8, #139; svc #0
			{RULE_SIGNAL, 8, 8, true, {0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4}}},
		.entered_count = 2,
		// mov x0, sp; mov x29, #0
		.entered = {{RULE_STOP, 4, 64, false, {0xe0, 0x03, 0x00, 0x91}},
		    {RULE_STOP, 4, 64, false, {0x1d, 0x00, 0x80, 0xd2}}}},
	};
	for (size_t i = 0; i < sizeof(machines) / sizeof(*machines); i++)
		if (machines[i].elf == elf)
			return &machines[i];
	return NULL;
}

// True where VALUE is a number of BITS bits and a sign.
static bool fits(int64_t value, unsigned bits)
{
	return value >= -((int64_t)1 << bits) && value < (int64_t)1 << bits;
}

static bool take_base(struct cursor *e, uint32_t *reg, int64_t *offset)
{
	uint8_t op = (uint8_t)cursor_fixed(e, 1);
	*reg = op - OP_BREG0;
	*offset = cursor_sleb(e);
	return op >= OP_BREG0 && op <= OP_BREG31 && !e->bad;
}

// What is added to the value on the stack.
static bool take_addend(struct cursor *e, int64_t *addend)
{
	uint8_t op = (uint8_t)cursor_fixed(e, 1);
	uint64_t n;
	if (op == OP_PLUS_UCONST) {
		n = cursor_uleb(e);
		*addend = (int64_t)n;
		return !e->bad && n <= INT32_MAX;
	}
	if (op >= OP_LIT0 && op <= OP_LIT31)
		n = op - OP_LIT0;
	else if (op == OP_CONST1U || op == OP_CONST1S)
		n = cursor_fixed(e, 1);
	else
		return false;
	*addend = op == OP_CONST1S ? (int8_t)n : (int64_t)n;
	op = (uint8_t)cursor_fixed(e, 1);
	if (op == OP_MINUS)
		*addend = -*addend;
	return !e->bad && (op == OP_MINUS || op == OP_PLUS);
}

// rsp + 8 + (((rip & 15) >= N) << 3): 77 08 80 00 3f 1a N 2a 33 24 22
static bool is_plt(const struct machine *m, struct cursor e, int32_t *threshold)
{
	static const uint8_t plt[] = {
	    0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a, 0, 0x2a, 0x33, 0x24, 0x22};
	if (m->elf != EM_X86_64 || e.end - e.at != sizeof(plt) || memcmp(e.at, plt, 6) ||
	    memcmp(e.at + 7, plt + 7, sizeof(plt) - 7) || e.at[6] < OP_LIT0 ||
	    e.at[6] > OP_LIT0 + 15)
		return false;
	*threshold = e.at[6] - OP_LIT0;
	return true;
}

void state_cfa_expression(struct state *s, const struct machine *m, struct cursor e)
{
	uint32_t reg;
	int64_t offset, addend = 0;
	s->kind = RULE_UNSUPPORTED;
	if (is_plt(m, e, &s->value)) {
		s->kind = RULE_PLT;
		return;
	}
	if (!take_base(&e, &reg, &offset))
		return;
	if (e.at == e.end) {
		s->kind = RULE_REGISTER;
		s->reg = reg;
		s->offset = offset;
		return;
	}
	if (cursor_fixed(&e, 1) != OP_DEREF || (e.at < e.end && !take_addend(&e, &addend)) ||
	    e.at < e.end || (reg != m->sp && reg != m->fp) || !fits(offset, CFA_HIGH_BITS) ||
	    addend % 8 || !fits(addend / 8, 7))
		return;
	s->kind = reg == m->sp ? RULE_SP_DEREF : RULE_FP_DEREF;
	s->value = (int32_t)(offset * 256) | (uint8_t)(addend / 8);
}

struct saved saved_expression(const struct machine *m, struct cursor e)
{
	uint32_t reg;
	int64_t offset;
	if (take_base(&e, &reg, &offset) && e.at == e.end && reg == m->fp)
		return (struct saved){.where = WHERE_FP, .offset = offset};
	return (struct saved){.where = WHERE_OTHER};
}

static bool cfa_rule(const struct state *s, const struct machine *m, struct rule *r)
{
	r->kind = (uint8_t)s->kind;
	r->cfa = s->value;
	if (s->kind != RULE_REGISTER)
		return s->kind != RULE_UNSUPPORTED;
	if (!fits(s->offset, CFA_BITS))
		return false;
	r->cfa = (int32_t)s->offset;
	if (s->reg == m->sp) {
		r->kind = RULE_SP;
	} else if (s->reg == m->fp) {
		r->kind = RULE_FP;
	} else {
		r->cfa = (int32_t)(s->offset * 256 | s->reg);
		return s->reg <= m->last && fits(s->offset, CFA_HIGH_BITS);
	}
	return true;
}

static bool in_words(int64_t offset)
{
	return offset % 8 == 0 && fits(offset / 8, 15);
}

static void fp_rule(const struct state *s, struct rule *r)
{
	enum where where = s->fp.where;
	r->how = HOW_FP_LOST;
	if (where == WHERE_SAME) {
		r->how = HOW_FP_SAME;
	} else if ((where == WHERE_CFA || where == WHERE_FP) && in_words(s->fp.offset)) {
		r->how = where == WHERE_CFA ? HOW_FP_AT_CFA : HOW_FP_AT_FP;
		r->fp = (int16_t)(s->fp.offset / 8);
	}
}

static bool ra_rule(const struct state *s, const struct machine *m, struct rule *r)
{
	const struct saved *ra = &s->ra, *fp = &s->fp;
	// vfork. In longjmp, which has the CFA in its buffer, the caller's stack pointer is
	// another.
	if (m->ra_on_stack && ra->where == WHERE_REGISTER && r->kind == RULE_SP && ra->offset > 0 &&
	    ra->offset <= m->last) {
		r->how |= (uint8_t)(ra->offset << 4);
		return true;
	}
	if (m->ra_on_stack)
		return ra->where == WHERE_CFA && ra->offset == -8;
	if (ra->where == WHERE_SAME) {
		r->how |= HOW_RA_IN_LR;
		return true;
	}
	bool saved = r->how == HOW_FP_AT_CFA || r->how == HOW_FP_AT_FP;
	if (saved && ra->where == fp->where && ra->offset == fp->offset + 8) {
		r->how |= HOW_RA_PAIR;
		return true;
	}
	// Apart from the frame pointer there is a place for one of the two only: the caller is
	// worth more than what its frame pointer is.
	if (ra->where != WHERE_CFA || !in_words(ra->offset))
		return false;
	r->how = (saved ? HOW_FP_LOST : r->how) | HOW_RA_ALONE;
	r->fp = (int16_t)(ra->offset / 8);
	return true;
}

struct rule state_rule(const struct state *s, const struct machine *m, bool signal)
{
	struct rule r = {};
	if (s->ra.where == WHERE_UNDEFINED)
		return (struct rule){.kind = RULE_STOP};
	// Few say that they are a signal frame and have an ordinary one: arm64's kernel, which made
	// it, has it lead to where the signal came, but not to the registers there.
	bool called = m->ra_on_stack && s->ra.where == WHERE_CFA;
	if (signal && !called)
		return (struct rule){.kind = RULE_SIGNAL};
	bool cfa = cfa_rule(s, m, &r);
	fp_rule(s, &r);
	return cfa && ra_rule(s, m, &r) ? r : (struct rule){.kind = RULE_UNSUPPORTED};
}
