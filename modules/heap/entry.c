// SPDX-License-Identifier: Apache-2.0
// x86-64 instructions as they stand at the start of functions, no more of them than are needed: the
// rest is refused. Encodings: Intel's Software Developer's Manual, volume 2, appendix A.
#include "entry.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 };

// One instruction: its length, 0 where it is none that is known, and the registers it writes.
struct instruction {
	size_t length;
	uint32_t writes; // bit per register, by the numbers above
	bool cheap;	 // the kernel emulates it
	bool leaves;	 // what stands behind it is not always reached
};

struct reader {
	const uint8_t *code;
	size_t n, at;
};

static uint8_t byte(struct reader *r)
{
	return r->at < r->n ? r->code[r->at++] : (r->at++, 0);
}

// The operands that ModRM tells; REG gets its register, WRITES the one in r/m where that is one.
static void modrm(struct reader *r, uint8_t rex, unsigned *reg, int *rm)
{
	uint8_t m = byte(r), mode = m >> 6, low = m & 7;
	*reg = (m >> 3 & 7) | (rex & 4 ? 8 : 0);
	*rm = mode == 3 ? low | (rex & 1 ? 8 : 0) : -1;
	if (mode == 3)
		return;
	uint8_t base = low == 4 ? byte(r) & 7 : low;
	if (mode == 1)
		r->at += 1;
	else if (mode == 2 || base == 5) // mode 0 with base 5: an address of 32 bits
		r->at += 4;
}

#define BIT(register) ((register) >= 0 ? 1u << (register) : 0)

// Two-byte instructions: 0f and OPCODE.
static struct instruction wide(struct reader *r, uint8_t opcode, uint8_t rex, bool prefixed)
{
	struct instruction i = {0};
	unsigned reg;
	int rm;
	if (opcode >= 0x80 && opcode <= 0x8f) { // jcc rel32
		r->at += 4;
		i.cheap = !prefixed;
		i.leaves = true;
	} else if (opcode == 0x1f || opcode == 0x1e) { // nop; endbr64 is one too
		modrm(r, rex, &reg, &rm);
	} else if (opcode == 0xb6 || opcode == 0xb7 || opcode == 0xbe || opcode == 0xbf ||
		   (opcode & 0xf0) == 0x40) { // movzx, movsx, cmovcc
		modrm(r, rex, &reg, &rm);
		i.writes = 1u << reg;
	} else if ((opcode & 0xf0) == 0x90) { // setcc
		modrm(r, rex, &reg, &rm);
		i.writes = BIT(rm);
	} else {
		return i;
	}
	i.length = r->at;
	return i;
}

// Arithmetic and moves with a ModRM byte.
static struct instruction plain(struct reader *r, uint8_t opcode, uint8_t rex, bool narrow)
{
	struct instruction i = {0};
	unsigned reg;
	int rm;
	bool arithmetic = opcode < 0x40 && (opcode & 7) < 4, compare = (opcode & 0x38) == 0x38;
	modrm(r, rex, &reg, &rm);
	if (arithmetic) {
		i.writes = compare ? 0 : opcode & 2 ? 1u << reg : BIT(rm);
	} else if (opcode == 0x84 || opcode == 0x85) { // test
		;
	} else if (opcode == 0x88 || opcode == 0x89) {
		i.writes = BIT(rm);
	} else if (opcode == 0x8a || opcode == 0x8b || opcode == 0x8d || opcode == 0x63) {
		i.writes = 1u << reg; // mov, lea, movsxd
	} else if (opcode == 0x80 || opcode == 0x83 || opcode == 0xc0 || opcode == 0xc1) {
		r->at += 1;
		i.writes = opcode < 0x90 && (reg & 7) == 7 ? 0 : BIT(rm);
	} else if (opcode == 0x81 || opcode == 0xc7) {
		r->at += narrow ? 2 : 4;
		i.writes = opcode == 0x81 && (reg & 7) == 7 ? 0 : BIT(rm);
	} else if (opcode == 0xc6) {
		r->at += 1;
		i.writes = BIT(rm);
	} else if (opcode >= 0xd0 && opcode <= 0xd3) { // shifts
		i.writes = BIT(rm);
	} else if ((opcode == 0xf6 || opcode == 0xf7) && (reg & 7) < 4) { // test, not, neg
		r->at += (reg & 7) > 1 ? 0 : opcode == 0xf6 ? 1 : narrow ? 2 : 4;
		i.writes = (reg & 7) > 1 ? BIT(rm) : 0;
	} else {
		return i;
	}
	i.length = r->at;
	return i;
}

static struct instruction decode(const uint8_t *code, size_t n)
{
	struct reader r = {.code = code, .n = n};
	struct instruction i = {0};
	uint8_t rex = 0, opcode = byte(&r);
	bool prefixed = false, narrow = false;
	while (opcode == 0x66 || opcode == 0x64 || opcode == 0x2e || opcode == 0xf3) {
		prefixed = true;
		narrow = narrow || opcode == 0x66;
		opcode = byte(&r);
	}
	if ((opcode & 0xf0) == 0x40) {
		rex = opcode;
		opcode = byte(&r);
	}
	if (opcode == 0x0f) {
		i = wide(&r, byte(&r), rex, prefixed);
	} else if (opcode >= 0x50 && opcode <= 0x57) { // push
		i.cheap = !prefixed && (!rex || rex == 0x41);
		i.writes = 1u << RSP;
		i.length = r.at;
	} else if (opcode >= 0x70 && opcode <= 0x7f) { // jcc rel8
		i = (struct instruction){.length = r.at + 1, .cheap = !prefixed, .leaves = true};
	} else if (opcode == 0xe8 || opcode == 0xe9) { // call, jmp rel32
		i = (struct instruction){.length = r.at + 4, .cheap = !prefixed, .leaves = true};
	} else if (opcode == 0xeb) {
		i = (struct instruction){.length = r.at + 1, .cheap = !prefixed, .leaves = true};
	} else if (opcode == 0x90 && !rex) {
		i = (struct instruction){.length = r.at, .cheap = true};
	} else if (opcode >= 0xb8 && opcode <= 0xbf) { // mov imm
		i.writes = 1u << ((opcode & 7) | (rex & 1 ? 8 : 0));
		i.length = r.at + (rex & 8 ? 8 : narrow ? 2 : 4);
	} else if (opcode < 0x40 && (opcode & 7) == 5) { // al-register with imm32
		i.writes = (opcode & 0x38) == 0x38 ? 0 : 1u << RAX;
		i.length = r.at + (narrow ? 2 : 4);
	} else if (opcode == 0xa8 || opcode == 0xa9) { // test al, imm
		i.length = r.at + (opcode == 0xa8 ? 1 : narrow ? 2 : 4);
	} else {
		i = plain(&r, opcode, rex, narrow);
	}
	if (i.length > n)
		i.length = 0;
	return i;
}

int entry_offset(
    uint16_t machine, const uint8_t *code, size_t n, unsigned arguments, char *why, size_t size)
{
	static const uint8_t registers[] = {RDI, RSI, RDX, RCX, R8};
	uint32_t kept = 1u << RSP;
	if (machine != EM_X86_64) // elsewhere no instruction is that dear
		return 0;
	for (unsigned a = 0; a < arguments && a < sizeof(registers); a++)
		kept |= 1u << registers[a];
	for (size_t at = 0; at < n;) {
		struct instruction i = decode(code + at, n - at);
		if (i.length && i.cheap)
			return (int)at;
		if (!i.length || i.leaves || i.writes & kept) {
			size_t k = 0;
			for (size_t b = at; b < n && b < at + 8 && k + 3 < size; b++)
				k += (size_t)snprintf(
				    why + k, size - k, "%s%02x", b > at ? " " : "", code[b]);
			return -ENOTSUP;
		}
		at += i.length;
	}
	snprintf(why, size, "nothing in its first bytes");
	return -ENOTSUP;
}
