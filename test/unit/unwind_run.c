// SPDX-License-Identifier: Apache-2.0
// Programs of call frame instructions, run one by one, and the rules that they come to.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <stdio.h>

#include "../../modules/base/base.h"
#include "../../modules/unwind/run.c"
#include "../../modules/unwind/state.c"

#define BEGIN 0x1000
#define END 0x1100

static struct cie cie;
static const struct machine *machine;

// x86-64: CFA = rsp + 8, ra at CFA - 8. arm64: CFA = sp, data alignment -8, code alignment 4.
static void use(uint16_t elf)
{
	machine = machine_find(elf);
	bool arm = elf == EM_AARCH64;
	cie = (struct cie){.code_align = arm ? 4 : 1, .data_align = -8};
	cie.initial = (struct state){.kind = RULE_REGISTER,
	    .reg = machine->sp,
	    .offset = arm ? 0 : 8,
	    .ra = {.where = arm ? WHERE_SAME : WHERE_CFA, .offset = arm ? 0 : -8}};
}

struct expected {
	uint32_t at; // from BEGIN
	struct rule rule;
};

static void expect(const uint8_t *program, size_t n, const struct expected *rows, unsigned count)
{
	struct run r;
	struct fde fde = {BEGIN, END, {.at = program, .end = program + n}, 0x5000};
	uint64_t from, to, next = BEGIN;
	struct rule rule;
	unsigned i = 0;
	run_begin(&r, machine, &cie, &fde);
	for (; run_next(&r, &from, &to, &rule); i++, next = to) {
		assert_true(i < count && from == next && from < to && to <= END);
		assert_int_equal(from - BEGIN, rows[i].at);
		if (memcmp(&rule, &rows[i].rule, sizeof(rule)))
			fail_msg("row %u: kind %u cfa %d fp %d how %x", i, rule.kind, rule.cfa,
			    rule.fp, rule.how);
	}
	assert_int_equal(i, count);
	assert_int_equal(next, END);
}

#define PROGRAM(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})
#define ROWS(...)                                                                                  \
	((const struct expected[]){__VA_ARGS__}),                                                  \
	    sizeof((const struct expected[]){__VA_ARGS__}) / sizeof(struct expected)
#define ROW(at, k, c, f, h)                                                                        \
	{                                                                                          \
		at,                                                                                \
		{                                                                                  \
			.kind = RULE_##k, .cfa = c, .fp = f, .how = h                              \
		}                                                                                  \
	}
#define SAME HOW_FP_SAME
#define CFA HOW_FP_AT_CFA
#define LOST HOW_FP_LOST

static void a_frame_made_and_left(void **state)
{
	(void)state;
	use(EM_X86_64);
	expect(PROGRAM(0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x0a, 0x02, 16, 0x0c, 7, 8, 0xc6,
		   0x41, 0x0b),
	    ROWS(ROW(0, SP, 8, 0, SAME), ROW(1, SP, 16, -2, CFA), ROW(4, FP, 16, -2, CFA),
		ROW(20, SP, 8, 0, SAME), ROW(21, FP, 16, -2, CFA)));
}

static void every_way_to_go_on(void **state)
{
	(void)state;
	use(EM_X86_64);
	cie.encoding = 0x1b; // set_loc: 4 bytes, relative to itself, which is at 0x5011
	expect(PROGRAM(0x02, 2, 0x0e, 16, 0x03, 3, 0, 0x0e, 24, 0x04, 4, 0, 0, 0, 0x0e, 32, 0x01,
		   0x17, 0xc0, 0xff, 0xff, 0x0e, 40),
	    ROWS(ROW(0, SP, 8, 0, SAME), ROW(2, SP, 16, 0, SAME), ROW(5, SP, 24, 0, SAME),
		ROW(9, SP, 32, 0, SAME), ROW(40, SP, 40, 0, SAME)));
	// Back, or beyond the end of the function.
	expect(PROGRAM(0x41, 0x01, 0, 0xb0, 0xff, 0xff, 0x0e, 16),
	    ROWS(ROW(0, SP, 8, 0, SAME), ROW(1, UNSUPPORTED, 0, 0, 0)));
	expect(PROGRAM(0x41, 0x04, 0xff, 0xff, 0xff, 0xff, 0x0e, 16),
	    ROWS(ROW(0, SP, 8, 0, SAME), ROW(1, SP, 8, 0, SAME)));
	cie.code_align = UINT64_MAX;
	expect(PROGRAM(0x42, 0x0e, 16), ROWS(ROW(0, SP, 8, 0, SAME)));
}

static void every_way_to_say_where_a_register_is(void **state)
{
	(void)state;
	use(EM_X86_64);
	static const struct {
		uint8_t program[10], n;
		int16_t fp;
		uint8_t how;
	} cases[] = {
	    {{0x86, 2}, 2, -2, CFA},			 // offset
	    {{0x05, 6, 3}, 3, -3, CFA},			 // offset_extended
	    {{0x11, 6, 0x7e}, 3, 2, CFA},		 // offset_extended_sf
	    {{0x2f, 6, 4}, 3, 4, CFA},			 // GNU_negative_offset_extended
	    {{0x07, 6}, 2, 0, LOST},			 // undefined
	    {{0x08, 6}, 2, 0, SAME},			 // same_value
	    {{0x09, 6, 9}, 3, 0, LOST},			 // register
	    {{0x14, 6, 2}, 3, 0, LOST},			 // val_offset
	    {{0x15, 6, 0x7e}, 3, 0, LOST},		 // val_offset_sf
	    {{0x16, 6, 2, 0x76, 0}, 5, 0, LOST},	 // val_expression
	    {{0x10, 6, 2, 0x76, 0}, 5, 0, HOW_FP_AT_FP}, // expression: *(rbp + 0)
	    {{0x10, 6, 2, 0x76, 0x68}, 5, -3, HOW_FP_AT_FP},
	    {{0x10, 6, 2, 0x77, 0}, 5, 0, LOST},	   // *(rsp + 0)
	    {{0x10, 6, 3, 0x76, 0, 0x06}, 6, 0, LOST},	   // **(rbp + 0)
	    {{0x10, 6, 2, 0x76, 4}, 5, 0, LOST},	   // not in words
	    {{0x86, 2, 0xc6}, 3, 0, SAME},		   // restore
	    {{0x86, 2, 0x06, 6}, 4, 0, SAME},		   // restore_extended
	    {{0x86, 0x80, 0x80, 0x04}, 4, 0, LOST},	   // beyond 16 bits of words
	    {{0x83, 9, 0x8c, 3, 0x05, 40, 1}, 7, 0, SAME}, // others are not of interest
	    {{0x2e, 16, 0x00, 0x2d, 0x2c}, 5, 0, SAME},	   // neither are these
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		expect(
		    cases[i].program, cases[i].n, ROWS(ROW(0, SP, 8, cases[i].fp, cases[i].how)));
	cie.data_align = -4;
	expect(PROGRAM(0x86, 3), ROWS(ROW(0, SP, 8, 0, LOST)));
}

static void every_way_to_say_what_the_cfa_is(void **state)
{
	(void)state;
	use(EM_X86_64);
	static const struct {
		uint8_t program[16], n;
		struct rule rule;
	} cases[] = {
	    {{0x0c, 10, 0}, 3, {.kind = RULE_REGISTER, .cfa = 10}},
	    {{0x12, 10, 1}, 3, {.kind = RULE_REGISTER, .cfa = -8 * 256 + 10}},
	    {{0x13, 0x7e}, 2, {.kind = RULE_SP, .cfa = 16}},
	    {{0x0d, 16}, 2, {.kind = RULE_UNSUPPORTED}},
	    {{0x0c, 7, 0xff, 0xff, 0xff, 0xff, 7}, 7, {.kind = RULE_SP, .cfa = INT32_MAX}},
	    {{0x0c, 7, 0x80, 0x80, 0x80, 0x80, 8}, 7, {.kind = RULE_UNSUPPORTED}},
	    {{0x0c, 1, 0xff, 0xff, 0xff, 3}, 6, {.kind = RULE_REGISTER, .cfa = INT32_MAX - 254}},
	    {{0x0c, 1, 0x80, 0x80, 0x80, 4}, 6, {.kind = RULE_UNSUPPORTED}},
	    // .plt, both kinds; and with another threshold than there is
	    {{0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22}, 13,
		{.kind = RULE_PLT, .cfa = 11}},
	    {{0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3a, 0x2a, 0x33, 0x24, 0x22}, 13,
		{.kind = RULE_PLT, .cfa = 10}},
	    {{0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x40, 0x2a, 0x33, 0x24, 0x22}, 13,
		{.kind = RULE_UNSUPPORTED}},
	    // *(rbp - 8); *(rsp + 152) + 8; *(rsp + 8) + 8 in other words; with what does not fit
	    {{0x0f, 3, 0x76, 0x78, 0x06}, 5, {.kind = RULE_FP_DEREF, .cfa = -8 * 256}},
	    {{0x0f, 6, 0x77, 0x98, 1, 0x06, 0x23, 8}, 8,
		{.kind = RULE_SP_DEREF, .cfa = 152 * 256 + 1}},
	    {{0x0f, 5, 0x77, 8, 0x06, 0x38, 0x22}, 7, {.kind = RULE_SP_DEREF, .cfa = 8 * 256 + 1}},
	    {{0x0f, 6, 0x77, 8, 0x06, 0x08, 16, 0x1c}, 8,
		{.kind = RULE_SP_DEREF, .cfa = 8 * 256 + 0xfe}},
	    {{0x0f, 5, 0x77, 8, 0x06, 0x23, 4}, 7, {.kind = RULE_UNSUPPORTED}},
	    {{0x0f, 6, 0x77, 8, 0x06, 0x23, 0x80, 8}, 8, {.kind = RULE_UNSUPPORTED}},
	    {{0x0f, 3, 0x71, 8, 0x06}, 5, {.kind = RULE_UNSUPPORTED}},
	    {{0x0f, 2, 0x77, 24}, 4, {.kind = RULE_SP, .cfa = 24}},
	    {{0x0f, 0}, 2, {.kind = RULE_UNSUPPORTED}},
	    // a register again behind an expression: with the offset from before
	    {{0x0f, 3, 0x76, 0x78, 0x06, 0x0d, 6}, 7, {.kind = RULE_FP, .cfa = 8}},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		expect(cases[i].program, cases[i].n, &(struct expected){0, cases[i].rule}, 1);
}

static void the_return_address(void **state)
{
	(void)state;
	use(EM_X86_64);
	expect(PROGRAM(0x07, 16), ROWS(ROW(0, STOP, 0, 0, 0)));
	expect(PROGRAM(0x0c, 1, 8, 0x07, 16), ROWS(ROW(0, STOP, 0, 0, 0)));
	// In a register: vfork's is where its child cannot overwrite it.
	expect(PROGRAM(0x0e, 0, 0x09, 16, 5), ROWS(ROW(0, SP, 0, 0, SAME | 5 << 4)));
	expect(PROGRAM(0x86, 2, 0x09, 16, 15), ROWS(ROW(0, SP, 8, -2, CFA | 15 << 4)));
	expect(PROGRAM(0x0c, 5, 0, 0x09, 16, 1), ROWS(ROW(0, UNSUPPORTED, 0, 0, 0)));
	expect(PROGRAM(0x09, 16, 0), ROWS(ROW(0, UNSUPPORTED, 0, 0, 0)));
	expect(PROGRAM(0x09, 16, 16), ROWS(ROW(0, UNSUPPORTED, 0, 0, 0)));
	expect(PROGRAM(0x09, 16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
	    ROWS(ROW(0, UNSUPPORTED, 0, 0, 0)));
	expect(PROGRAM(0x90, 2), ROWS(ROW(0, UNSUPPORTED, 0, 0, 0)));
	expect(PROGRAM(0x08, 16), ROWS(ROW(0, UNSUPPORTED, 0, 0, 0)));
	cie.signal = true;
	static const uint8_t restorer[] = {
	    0x0f, 4, 0x77, 0xa0, 1, 0x06, 0x10, 16, 3, 0x77, 0xa8, 1};
	expect(restorer, sizeof(restorer), ROWS(ROW(0, SIGNAL, 0, 0, 0)));
	expect(PROGRAM(0), ROWS(ROW(0, SP, 8, 0, SAME))); // says so, but is an ordinary frame

	use(EM_AARCH64);
	expect(PROGRAM(
		   0x41, 0x0e, 32, 0x9d, 4, 0x9e, 3, 0x41, 0x0d, 29, 0x42, 0x0c, 31, 0, 0xdd, 0xde),
	    ROWS(ROW(0, SP, 0, 0, SAME | HOW_RA_IN_LR), ROW(4, SP, 32, -4, CFA | HOW_RA_PAIR),
		ROW(8, FP, 32, -4, CFA | HOW_RA_PAIR), ROW(16, SP, 0, 0, SAME | HOW_RA_IN_LR)));
	expect(PROGRAM(0x9e, 2), ROWS(ROW(0, SP, 0, -2, SAME | HOW_RA_ALONE)));
	expect(PROGRAM(0x9d, 2), ROWS(ROW(0, SP, 0, -2, CFA | HOW_RA_IN_LR)));
	expect(PROGRAM(0x9d, 4, 0x9e, 1), ROWS(ROW(0, SP, 0, -1, LOST | HOW_RA_ALONE)));
	expect(PROGRAM(0x07, 29, 0x9e, 1), ROWS(ROW(0, SP, 0, -1, LOST | HOW_RA_ALONE)));
	expect(PROGRAM(0x07, 30), ROWS(ROW(0, STOP, 0, 0, 0)));
	expect(PROGRAM(0x09, 30, 9), ROWS(ROW(0, UNSUPPORTED, 0, 0, 0)));
	expect(PROGRAM(0x0c, 9, 16), ROWS(ROW(0, REGISTER, 16 * 256 + 9, 0, SAME)));
	cie.signal = true;
	expect(PROGRAM(0x0c, 29, 0, 0x9d, 0, 0x11, 30, 0x7f), ROWS(ROW(0, SIGNAL, 0, 0, 0)));
}

static void programs_that_lie(void **state)
{
	(void)state;
	use(EM_X86_64);
	static const uint8_t bad[][12] = {
	    {2, 0x3f, 0}, // no such instruction
	    {1, 0x0b},	  // nothing remembered
	    {1, 0x0e},	  // cut
	    {2, 0x0f, 5}, // cut
	    {3, 0x10, 6, 9},
	    {11, 0x0e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, // 70 bits
	    {11, 0x86, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0},    // * -8
	    {11, 0x0f, 3, 0x76, 0, 0x06, 0x0e, 8}, // an offset without a register
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		uint8_t program[14] = {0x42};
		memcpy(program + 1, bad[i] + 1, bad[i][0]);
		expect(program, 1u + bad[i][0],
		    ROWS(ROW(0, SP, 8, 0, SAME), ROW(2, UNSUPPORTED, 0, 0, 0)));
	}
	uint8_t deep[STATES_MAX + 1];
	memset(deep, 0x0a, sizeof(deep));
	expect(deep, STATES_MAX, ROWS(ROW(0, SP, 8, 0, SAME)));
	expect(deep, sizeof(deep), ROWS(ROW(0, UNSUPPORTED, 0, 0, 0)));
	expect(NULL, 0, ROWS(ROW(0, UNSUPPORTED, 0, 0, 0))); // too long to be read
	cie.strange = true;
	expect(PROGRAM(0), ROWS(ROW(0, UNSUPPORTED, 0, 0, 0)));
	assert_null(machine_find(EM_386));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_frame_made_and_left),
	    cmocka_unit_test(every_way_to_go_on),
	    cmocka_unit_test(every_way_to_say_where_a_register_is),
	    cmocka_unit_test(every_way_to_say_what_the_cfa_is),
	    cmocka_unit_test(the_return_address),
	    cmocka_unit_test(programs_that_lie),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
