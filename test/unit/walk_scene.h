// SPDX-License-Identifier: Apache-2.0
// What the tests of the walker share: its eyes, and rows, mappings and a stack made by hand.
//
//   0x400000  a file, window 3: function K at 0x400000 + K * 0x100 has the rule RULES[K]
//   0x700000  code made at run time      0x800000  a mapping without rows
//   0x900000  a file that describes nothing, 0xa00000 one not loaded, 0xb00000 one without room,
//   0xc00000  one that nobody looked at
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../bpf/walk.h"
#include "../../modules/base/base.h"
#include "../tables.h"

#define PID 4711
#define MM_ID 0xabcdef
#define STACK 0x7f0000000000ull
#define WORDS 4096
#define DEPTH 64

static bool arm64;
static struct tables *store;
static struct walk it;
static uint64_t words[WORDS], frames[FRAMES_MAX];
static uint64_t gap; // what cannot be read
// Code at which a caller is guessed: bytes before and behind; 0: a call lies before it.
static uint64_t text[2];
static uint32_t replace_in,
    replace_process_in; // reads of pages until what they belong to is replaced
static unsigned page_reads, stack_reads;

static inline bool walk_read(struct walk *walk, void *to, uint32_t size, uint64_t from)
{
	if (gap >= from && gap < from + size)
		return false;
	if (size == 8 && (from == walk->pc || from == walk->pc - 8)) {
		memcpy(to, &text[from == walk->pc], 8);
		if (from != walk->pc && !text[0])
			memcpy(to, arm64 ? "\0\0\0\0\0\0\0\x94" : "\0\0\0\xe8\0\0\0", 8);
		return true;
	}
	if (from < STACK || from - STACK > sizeof(words) - size)
		return false;
	memcpy(to, (const char *)words + (from - STACK), size);
	stack_reads++;
	return true;
}

static inline bool walk_code(struct walk *walk, void *to, uint64_t from)
{
	return walk_read(walk, to, 8, from);
}
static inline bool walk_put(struct walk *walk, uint32_t n, uint64_t frame)
{
	(void)walk;
	assert_true(n < FRAMES_MAX);
	frames[n] = frame;
	return true;
}
#define walk_process(w, place) tables_slot(store, (w)->pid, (w)->mm_id, place)
#define walk_window(w, index) tables_window(store, index)
static inline struct block *walk_page(struct walk *walk, enum page_kind kind, uint32_t page)
{
	uint64_t other = 1ull << 60; // bits that mean nothing
	u64 place;
	page_reads++;
	if (replace_in && !--replace_in)
		store->windows[3].place += other;
	if (replace_process_in && !--replace_process_in)
		walk_process(walk, &place)->place += other;
	return tables_page(store, kind, page);
}
static bool remembers; // the rules found last
static inline struct recent_row *walk_recent(struct walk *walk, uint32_t slot)
{
	(void)walk;
	if (!remembers)
		store->recent[slot] = (struct recent_row){0};
	return &store->recent[slot];
}
#define WALK_ARM64 arm64
#include "../../bpf/walk.bpf.h"

enum {
	SP16,
	SP16_FP,
	FP16,
	PLT11,
	SP_DEREF,
	FP_DEREF,
	REG_R10,
	SIGNAL,
	FRAME,
	STOP,
	NONE,
	UNSUPPORTED,
	LOST,
	AT_FP,
	FP_FAR,
	SP32,
	IN_RDI,
	IN_RDX, // x86-64
	LEAF,
	LEAF0,
	PAIR,
	ALONE,
	PAIR_FP,
	REG_X9, // arm64
	RULES
};
static const struct rule rules[RULES] = {
    [SP16] = {16, 0, RULE_SP, 0},
    [SP16_FP] = {16, -2, RULE_SP, HOW_FP_AT_CFA},
    [FP16] = {16, -2, RULE_FP, HOW_FP_AT_CFA},
    [PLT11] = {11, 0, RULE_PLT, 0},
    [SP_DEREF] = {24 << 8 | 2, 0, RULE_SP_DEREF, 0},
    [FP_DEREF] = {(int32_t)(0xfffffff0u << 8 | 0xff), -3, RULE_FP_DEREF,
	HOW_FP_AT_CFA}, // *(fp - 16) - 8
    [REG_R10] = {8 << 8 | 10, 0, RULE_REGISTER, 0},
    [SIGNAL] = {0, 0, RULE_SIGNAL, 0},
    [FRAME] = {0, 0, RULE_FRAME, 0},
    [STOP] = {0, 0, RULE_STOP, 0},
    [UNSUPPORTED] = {0, 0, RULE_UNSUPPORTED, 0},
    [LOST] = {16, 0, RULE_SP, HOW_FP_LOST},
    [AT_FP] = {8 << 8 | 10, -1, RULE_REGISTER, HOW_FP_AT_FP},
    [FP_FAR] = {48, -5, RULE_SP, HOW_FP_AT_CFA},
    [SP32] = {32, -4, RULE_SP, HOW_FP_AT_CFA},
    [IN_RDI] = {0, 0, RULE_SP, 5 << 4},
    [IN_RDX] = {32, -2, RULE_SP, HOW_FP_AT_CFA | 1 << 4},
    [LEAF] = {32, 0, RULE_SP, HOW_RA_IN_LR},
    [LEAF0] = {0, 0, RULE_SP, HOW_RA_IN_LR},
    [PAIR] = {48, -6, RULE_SP, HOW_FP_AT_CFA | HOW_RA_PAIR},
    [ALONE] = {32, -3, RULE_SP, HOW_RA_ALONE},
    [PAIR_FP] = {64, -8, RULE_FP, HOW_FP_AT_CFA | HOW_RA_PAIR},
    [REG_X9] = {0 << 8 | 9, -2, RULE_REGISTER, HOW_FP_AT_CFA | HOW_RA_PAIR},
};

#define CODE(k) (0x400000ull + (k)*0x100 + 0x20)
#define FILE_MAPPING(at, pages, window)                                                            \
	{                                                                                          \
		MAPPING_START((at) >> 12, MAPPING_FILE, window), pages, 0                          \
	}
static const struct mapping mappings[] = {
    FILE_MAPPING(0x400000, 16, 3),
    FILE_MAPPING(0x500000, 16, 3),
    {MAPPING_START(0x700, MAPPING_ANON, 0), 16, 0},
    {MAPPING_START(0x800, MAPPING_PLAIN, 0), 16, 0},
    FILE_MAPPING(0x900000, 16, 9),
    FILE_MAPPING(0xa00000, 16, 10),
    FILE_MAPPING(0xb00000, 16, 11),
    FILE_MAPPING(0xc00000, 16, WINDOW_UNKNOWN),
};

static inline int setup(void **state)
{
	(void)state;
	struct rows rows = {0};
	store = calloc(1, sizeof(*store));
	assert_non_null(store);
	for (uint32_t k = 0; k < RULES; k++)
		assert_int_equal(rows_add(&rows, k * 0x100, rules + k), 0);
	assert_int_equal(tables_rows(store, 3, &rows), 0);
	rows_clear(&rows);
	tables_state(store, 9, WINDOW_FRAME);
	tables_state(store, 11, WINDOW_FULL);
	assert_int_equal(
	    tables_process(store, PID, MM_ID, mappings, sizeof(mappings) / sizeof(*mappings)), 0);
	memset(words, 0, sizeof(words));
	memset(&it, 0xa5, sizeof(it)); // as a walk before it left it
	memset(it.reg, 0, sizeof(it.reg));
	it.copy = 0;
	it.pid = PID;
	it.mm_id = MM_ID;
	it.frames_max = DEPTH;
	it.seconds = 1000;
	it.known = WALK_KNOWN;
	text[0] = text[1] = gap = replace_in = replace_process_in = 0;
	remembers = false;
	return 0;
}
static inline int setup_x86(void **state)
{
	arm64 = false;
	return setup(state);
}
static inline int setup_arm64(void **state)
{
	arm64 = true;
	return setup(state);
}
static inline int teardown(void **state)
{
	(void)state;
	tables_free(store);
	return mem_used(ACCOUNT_UNWIND) != 0;
}

static inline void put(uint64_t at, uint64_t value)
{
	words[(at - STACK) / 8] = value;
}
static inline void registers(uint64_t pc, uint64_t sp, uint64_t fp)
{
	it.reg[arm64 ? ARM64_PC : X86_PC] = pc;
	it.reg[arm64 ? ARM64_SP : X86_SP] = sp;
	it.reg[arm64 ? ARM64_FP : X86_FP] = fp;
}
// The registers stay for the next walk, though a signal gives other ones.
static inline void walk(void)
{
	unsigned steps = 0;
	uint64_t reg[WALK_REGISTERS], known = it.known;
	memcpy(reg, it.reg, sizeof(reg));
	walk_begin(&it, true);
	while (!walk_step(&it, false))
		assert_true(++steps <= it.frames_max);
	memcpy(it.reg, reg, sizeof(reg));
	it.known = known;
}
// The walk ends with END and these COUNT frames.
static inline void expect(enum walk_end end, uint32_t count, const uint64_t *want)
{
	walk();
	if (it.end != end || it.n != count)
		print_error("end %u, %u frames: %lx %lx %lx %lx\n", it.end, it.n, frames[0],
		    frames[1], frames[2], frames[3]);
	assert_int_equal(it.end, end);
	assert_int_equal(it.n, count);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(frames[i], want[i]);
}
#define EXPECT(end, ...)                                                                           \
	expect(WALK_END_##end, sizeof((uint64_t[]){__VA_ARGS__}) / 8,                              \
	    (const uint64_t[]){__VA_ARGS__})
static inline void needs(uint8_t need, uint32_t at)
{
	assert_int_equal(it.need, need);
	assert_int_equal(it.need_at, at);
}
static inline void by_fp(uint32_t count)
{
	assert_int_equal(it.by_fp, count);
}
#define EXACT ((uint64_t)FRAME_EXACT << FRAME_PAYLOAD_BITS)
#define S(n) (STACK + 8ull * (n))

#define X86(f) cmocka_unit_test_setup_teardown(f, setup_x86, teardown)
#define ARM64(f) cmocka_unit_test_setup_teardown(f, setup_arm64, teardown)
