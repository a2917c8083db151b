// SPDX-License-Identifier: Apache-2.0
// The walker of bpf/walk.bpf.h over stacks made by hand: every kind of rule, every end.
#include "walk_scene.h"

static void stack_pointer_rules(void **state)
{
	(void)state;
	registers(CODE(SP16), S(10), 0x1234);
	put(S(11), CODE(SP16_FP)); // CFA S(12)
	put(S(12), S(100));
	put(S(13), CODE(FP_FAR)); // CFA S(14)
	put(S(15), S(77));
	put(S(19), CODE(FP16)); // CFA S(20), fp from S(15)
	put(S(77), 1);
	put(S(78), CODE(STOP));
	EXPECT(COMPLETE, CODE(SP16), CODE(SP16_FP), CODE(FP_FAR), CODE(FP16), CODE(STOP));
	needs(0, 0);
	by_fp(0);
	assert_int_equal(store->windows[3].used, 1000);
}

// The row of a caller is that of its call: a return address at a function's end belongs to it.
static void return_addresses(void **state)
{
	(void)state;
	registers(0x400000 + STOP * 0x100, S(10), 0); // the first byte of what STOP describes
	EXPECT(COMPLETE, 0x400000 + STOP * 0x100);
	registers(CODE(SP16), S(10), S(60));
	put(S(11), 0x400000 + LOST * 0x100); // behind the last byte of UNSUPPORTED
	EXPECT(UNSUPPORTED, CODE(SP16), 0x400000 + LOST * 0x100);
	put(S(11), 0x400000 + NONE * 0x100); // behind the last byte of STOP
	put(S(61), CODE(STOP));
	EXPECT(COMPLETE, CODE(SP16), 0x400000 + NONE * 0x100);
	put(S(11), 0); // no return address, of code that does not say so
	EXPECT(NO_CALLER, CODE(SP16));
}

static void plt(void **state)
{
	(void)state;
	uint64_t stub = 0x400000 + PLT11 * 0x100 + 0x10;
	put(S(10), CODE(STOP));
	put(S(11), CODE(NONE));
	registers(stub + 10, S(10), 0);
	EXPECT(COMPLETE, stub + 10, CODE(STOP));
	registers(stub + 11, S(9), 0);
	EXPECT(COMPLETE, stub + 11, CODE(STOP));
}

static void dereferenced(void **state)
{
	(void)state;
	registers(CODE(SP_DEREF), S(10), S(60));
	put(S(13), S(20)); // CFA = that and 16
	put(S(21), CODE(FP_DEREF));
	put(S(58), S(40)); // CFA = that less 8
	put(S(36), S(90)); // fp at CFA - 24
	put(S(38), CODE(FP16));
	put(S(90), 0);
	put(S(91), CODE(STOP));
	EXPECT(COMPLETE, CODE(SP_DEREF), CODE(FP_DEREF), CODE(FP16), CODE(STOP));
	gap = S(58);
	EXPECT(UNREADABLE, CODE(SP_DEREF), CODE(FP_DEREF));
}

static void other_registers(void **state)
{
	(void)state;
	registers(CODE(AT_FP), S(10), S(30));
	it.reg[10] = S(40);
	put(S(29), S(50)); // the caller's, realigned
	put(S(40), CODE(FP16));
	put(S(51), CODE(STOP));
	EXPECT(COMPLETE, CODE(AT_FP), CODE(FP16), CODE(STOP));
	it.known = WALK_KNOWN & ~(1ull << 10);
	EXPECT(REGISTER, CODE(AT_FP));
	it.known = WALK_KNOWN;
	put(S(40), CODE(REG_R10)); // a caller: nobody knows its r10
	EXPECT(REGISTER, CODE(AT_FP), CODE(REG_R10));
}

// As in vfork, whose child would overwrite what lies on the stack.
static void return_address_in_a_register(void **state)
{
	(void)state;
	registers(CODE(IN_RDI), S(10), 0x1234);
	it.reg[5] = CODE(SP16);
	put(S(9), CODE(UNSUPPORTED));
	put(S(11), CODE(STOP));
	EXPECT(COMPLETE, CODE(IN_RDI), CODE(SP16), CODE(STOP));
	it.known = WALK_KNOWN & ~(1ull << 5);
	EXPECT(REGISTER, CODE(IN_RDI));
	it.known = WALK_KNOWN;
	put(S(11), CODE(IN_RDI)); // a caller: nobody knows its rdi
	EXPECT(REGISTER, CODE(IN_RDI), CODE(SP16), CODE(IN_RDI));
	// With a frame pointer on the stack beside what no return address is any more.
	registers(CODE(IN_RDX), S(10), 0x1234);
	it.reg[1] = CODE(FP16);
	put(S(12), S(30));
	put(S(13), CODE(UNSUPPORTED));
	put(S(31), CODE(STOP));
	EXPECT(COMPLETE, CODE(IN_RDX), CODE(FP16), CODE(STOP));
	it.reg[1] = 0;
	EXPECT(NO_CALLER, CODE(IN_RDX));
}

static void lost_frame_pointer(void **state)
{
	(void)state;
	registers(CODE(LOST), S(10), S(30));
	put(S(11), CODE(FP16));
	EXPECT(FP_LOST, CODE(LOST), CODE(FP16));
	put(S(11), CODE(FRAME));
	EXPECT(FP_LOST, CODE(LOST), CODE(FRAME));
	put(S(11), CODE(SP16_FP)); // it has the next one's on the stack
	put(S(12), S(30));
	put(S(13), CODE(FP16));
	put(S(31), CODE(STOP));
	EXPECT(COMPLETE, CODE(LOST), CODE(SP16_FP), CODE(FP16), CODE(STOP));
}

static void signals(void **state)
{
	(void)state;
	uint64_t frame = S(2000), at = frame + 40;
	registers(CODE(SP16), frame - 16, 0);
	put(frame - 8, CODE(SIGNAL)); // the handler ran on another stack, above
	put(at + 2 * 8, S(40));	      // r10
	put(at + 10 * 8, S(20));      // rbp
	put(at + 15 * 8, S(10));      // rsp
	put(at + 16 * 8, 0x400000 + FP16 * 0x100);
	put(S(20), S(60));
	put(S(21), CODE(FP16));
	put(S(61), CODE(STOP));
	// The first byte of a function: no call came before.
	EXPECT(COMPLETE, CODE(SP16), EXACT | CODE(SIGNAL), EXACT | (0x400000 + FP16 * 0x100),
	    CODE(FP16), CODE(STOP));
	put(at + 16 * 8, CODE(REG_R10)); // what was interrupted has all its registers
	put(S(40), CODE(STOP));
	EXPECT(COMPLETE, CODE(SP16), EXACT | CODE(SIGNAL), EXACT | CODE(REG_R10), CODE(STOP));
	put(at + 16 * 8, 0); // a jump to nowhere
	EXPECT(NOT_CODE, CODE(SP16), EXACT | CODE(SIGNAL), EXACT | 0);
	needs(NEED_MAPPING, 2);
	gap = at + 16 * 8;
	EXPECT(UNREADABLE, CODE(SP16), EXACT | CODE(SIGNAL));
	gap = 0;
	put(at + 16 * 8, 0xffffffffff600000);
	EXPECT(NOT_CODE, CODE(SP16), EXACT | CODE(SIGNAL));
	// One that returns into itself for ever.
	put(at + 16 * 8, CODE(SP16));
	put(at + 15 * 8, frame - 16);
	walk();
	assert_int_equal(it.end, WALK_END_TRUNCATED);
	assert_int_equal(it.n, DEPTH);
}

// A mapping has its first byte returned to, before which it has none: that byte's row it is.
static void start_of_a_mapping(void **state)
{
	(void)state;
	const uint64_t frame = S(2000), at = frame + 40;
	static const struct mapping both[] = {
	    FILE_MAPPING(0x400000, 16, 3), FILE_MAPPING(0x800000, 1, 12)};
	struct rows rows = {0};
	assert_int_equal(rows_add(&rows, 0, rules + SIGNAL), 0);
	assert_int_equal(rows_add(&rows, 0x20, rules + SP16), 0);
	assert_int_equal(tables_rows(store, 12, &rows), 0);
	rows_clear(&rows);
	assert_int_equal(tables_process(store, PID, MM_ID, both, 2), 0);
	registers(CODE(SP16), frame - 16, 0);
	put(frame - 8, 0x800000);
	put(at + 15 * 8, S(10));
	put(at + 16 * 8, CODE(STOP));
	EXPECT(COMPLETE, CODE(SP16), EXACT | 0x800000, EXACT | CODE(STOP));
	// A call at the end of one that nothing follows.
	put(frame - 8, 0x801000);
	put(frame + 8, CODE(STOP));
	EXPECT(COMPLETE, CODE(SP16), 0x801000, CODE(STOP));
	put(frame - 8, 0x801001);
	EXPECT(NOT_CODE, CODE(SP16), 0x801001);
	put(frame - 8, 0x7ff000);
	EXPECT(NOT_CODE, CODE(SP16), 0x7ff000);
}

static void frames_of_files(void **state)
{
	(void)state;
	registers(CODE(FRAME), S(10), S(20));
	put(S(20), S(30));
	put(S(21), 0x900010); // a file that describes nothing
	put(S(30), S(40));
	put(S(31), 0x800010); // no file
	put(S(40), 0);
	put(S(41), CODE(STOP));
	EXPECT(COMPLETE, CODE(FRAME), 0x900010, 0x800010, CODE(STOP));
	by_fp(2);
	needs(0, 0);
	put(S(41), CODE(FRAME)); // where the chain ends is no start that anybody told of
	EXPECT(NO_ROWS, CODE(FRAME), 0x900010, 0x800010, CODE(FRAME));
	put(S(41), 0x900020);
	EXPECT(NO_ROWS, CODE(FRAME), 0x900010, 0x800010, 0x900020);
	put(S(41), 0x800020);
	EXPECT(NO_ROWS, CODE(FRAME), 0x900010, 0x800010, 0x800020);
	put(S(20), 0);
	put(S(21), CODE(FRAME));
	EXPECT(NO_CALLER, CODE(FRAME), CODE(FRAME));
	put(S(20), S(30));
	put(S(21), 0x900010);
	put(S(31), 0x12345678); // what lies there was no frame
	EXPECT(NO_ROWS, CODE(FRAME), 0x900010);
	needs(0, 0);
}

// Frame pointers of rows may lead to a stack below, but not for ever.
static void other_stacks(void **state)
{
	(void)state;
	registers(CODE(FRAME), S(900), S(910));
	put(S(910), S(20));
	put(S(911), CODE(FRAME));
	put(S(20), S(30));
	put(S(21), CODE(FRAME));
	put(S(30), S(40));
	put(S(31), CODE(STOP));
	EXPECT(COMPLETE, CODE(FRAME), CODE(FRAME), CODE(FRAME), CODE(STOP));
	put(S(30), S(20));
	put(S(31), CODE(FRAME));
	walk();
	assert_int_equal(it.end, WALK_END_NO_PROGRESS);
	assert_true(it.n < 3 * WALK_SWITCHES);
	registers(CODE(FP16), S(900), S(20)); // a rule that says where the frame ends
	EXPECT(NO_PROGRESS, CODE(FP16));
}

static void no_rows(void **state)
{
	(void)state;
	registers(CODE(NONE), S(10), S(20));
	put(S(20), S(30));
	put(S(21), CODE(SP16));
	put(S(23), CODE(NONE)); // CFA S(22) and 16
	put(S(30), 0);
	put(S(31), CODE(NONE)); // its frame pointer may be used for something else, and be 0
	EXPECT(NO_ROWS, CODE(NONE), CODE(SP16), CODE(NONE), CODE(NONE));
	by_fp(3);
	put(S(31), CODE(STOP));
	EXPECT(COMPLETE, CODE(NONE), CODE(SP16), CODE(NONE), CODE(STOP));
	put(S(31), STACK); // no code: the frame pointer was none
	EXPECT(NO_ROWS, CODE(NONE), CODE(SP16), CODE(NONE));
	needs(0, 0);
	put(S(31), CODE(SP16)); // where the guess led to makes no sense
	put(S(33), 0x12345678);
	EXPECT(NO_ROWS, CODE(NONE), CODE(SP16), CODE(NONE), CODE(SP16), 0x12345678);
	gap = S(33);
	EXPECT(NO_ROWS, CODE(NONE), CODE(SP16), CODE(NONE), CODE(SP16));
	gap = 0;
	put(S(21), 0);
	EXPECT(NO_ROWS, CODE(NONE));
	registers(CODE(NONE), S(10), 0); // innermost, it may well be used for something else
	EXPECT(NO_ROWS, CODE(NONE));
	registers(CODE(NONE), S(10), S(20) + 4); // no frame pointer, whatever lies there
	memcpy((char *)words + (S(20) + 12 - STACK), &(uint64_t){CODE(STOP)}, 8);
	EXPECT(NO_ROWS, CODE(NONE));
	registers(CODE(NONE), S(10), S(8)); // below
	EXPECT(NO_ROWS, CODE(NONE));
	registers(CODE(NONE), S(10), 0xdead0000); // no stack
	EXPECT(NO_ROWS, CODE(NONE));
	registers(CODE(UNSUPPORTED), S(10), S(20));
	EXPECT(UNSUPPORTED, CODE(UNSUPPORTED));
}

static void unreadable(void **state)
{
	(void)state;
	// Without the saved frame pointer it goes on, up to where that is needed.
	registers(CODE(SP16_FP), S(10), S(20));
	gap = S(10);
	put(S(11), CODE(SP16)); // CFA S(14)
	put(S(13), CODE(FP16));
	put(S(21), CODE(STOP)); // by the frame pointer of the innermost, which is not the caller's
	EXPECT(FP_LOST, CODE(SP16_FP), CODE(SP16), CODE(FP16));
	put(S(13), CODE(STOP));
	EXPECT(COMPLETE, CODE(SP16_FP), CODE(SP16), CODE(STOP));
	gap = S(11);
	EXPECT(UNREADABLE, CODE(SP16_FP));
	registers(CODE(AT_FP), S(10), 0xdead0000); // as where gcc leaves a realigned stack
	it.reg[10] = S(40);
	put(S(40), CODE(STOP));
	EXPECT(COMPLETE, CODE(AT_FP), CODE(STOP));
	registers(CODE(FP_FAR), S(10), 0);
	gap = S(15);
	EXPECT(UNREADABLE, CODE(FP_FAR));
	gap = S(11);
	registers(CODE(SP16), S(10), 0);
	EXPECT(UNREADABLE, CODE(SP16));
	// What lies between the two that are wanted is nobody's business.
	registers(CODE(FP_FAR), S(10), 0);
	gap = S(13);
	put(S(11), S(20));
	put(S(15), CODE(FP16));
	put(S(21), CODE(STOP));
	EXPECT(COMPLETE, CODE(FP_FAR), CODE(FP16), CODE(STOP));
	registers(CODE(SP16), ~0ull - 15, 0); // wraps
	EXPECT(NO_PROGRESS, CODE(SP16));
}

static void deep(void **state)
{
	(void)state;
	registers(CODE(SP16), S(10), 0);
	for (uint32_t i = 0; i < 2 * DEPTH; i++)
		put(S(11 + 2 * i), CODE(SP16));
	walk();
	assert_int_equal(it.end, WALK_END_TRUNCATED);
	assert_int_equal(it.n, DEPTH);
	put(S(11 + 2 * (DEPTH - 2)), CODE(STOP)); // exactly as deep
	walk();
	assert_int_equal(it.end, WALK_END_COMPLETE);
	assert_int_equal(it.n, DEPTH);
	put(S(11 + 2 * (DEPTH - 2)), CODE(SP16));
	put(S(11 + 2 * (DEPTH - 1)), CODE(STOP)); // one more
	walk();
	assert_int_equal(it.end, WALK_END_TRUNCATED);
}

static void arm64_leaf(void **state)
{
	(void)state;
	uint64_t signature = 0x5aull << 48;
	registers(CODE(LEAF0), S(10), S(50));
	it.reg[ARM64_LR] = CODE(LEAF) | signature;
	EXPECT(REGISTER, CODE(LEAF0), CODE(LEAF)); // only the innermost has it in a register
	it.reg[ARM64_LR] = CODE(PAIR) | signature;
	put(S(10), S(60)); // CFA S(16), pair at its start
	put(S(11), CODE(ALONE) | signature);
	put(S(17), CODE(PAIR_FP)); // CFA S(20), at CFA - 24
	put(S(60), S(70));
	put(S(61), CODE(STOP));
	EXPECT(COMPLETE, CODE(LEAF0), CODE(PAIR), CODE(ALONE), CODE(PAIR_FP), CODE(STOP));
	by_fp(0);
	registers(CODE(LEAF), S(6), S(50));
	EXPECT(COMPLETE, CODE(LEAF), CODE(PAIR), CODE(ALONE), CODE(PAIR_FP), CODE(STOP));
	put(S(61), 0 | signature);
	EXPECT(NO_CALLER, CODE(LEAF), CODE(PAIR), CODE(ALONE), CODE(PAIR_FP));
	registers(CODE(REG_X9), S(6), 0);
	it.reg[9] = S(63);
	put(S(62), CODE(STOP));
	EXPECT(COMPLETE, CODE(REG_X9), CODE(STOP));
}

// A frame pointer says where a frame is, not where it ends: the next one is found by it too.
static void arm64_frame_pointers(void **state)
{
	(void)state;
	registers(CODE(FRAME), S(10), S(20));
	put(S(20), S(40));
	put(S(21), CODE(PAIR)); // its rule wants sp
	put(S(40), S(60));
	put(S(41), CODE(PAIR_FP));
	put(S(60), 0);
	put(S(61), CODE(STOP));
	EXPECT(COMPLETE, CODE(FRAME), CODE(PAIR), CODE(PAIR_FP), CODE(STOP));
	by_fp(1);
}

static void arm64_signals(void **state)
{
	(void)state;
	uint64_t frame = S(2000), at = frame + 312;
	registers(CODE(LEAF0), frame, 0);
	it.reg[ARM64_LR] = CODE(SIGNAL);
	put(at + ARM64_LR * 8, CODE(PAIR));
	put(at + ARM64_SP * 8, S(10));
	put(at + ARM64_PC * 8, CODE(LEAF0));
	put(S(11), CODE(STOP));
	EXPECT(COMPLETE, CODE(LEAF0), EXACT | CODE(SIGNAL), EXACT | CODE(LEAF0), CODE(PAIR),
	    CODE(STOP));
	put(at + ARM64_SP * 8, 3);
	EXPECT(UNREADABLE, CODE(LEAF0), EXACT | CODE(SIGNAL), EXACT | CODE(LEAF0), CODE(PAIR));
}

// The same on both machines.
static void made_at_run_time(void **state)
{
	(void)state;
	registers(0x700010, S(10), S(20));
	put(S(20), S(30));
	put(S(21), 0x700020);
	put(S(30), 0);
	put(S(31), CODE(STOP));
	EXPECT(COMPLETE, 0x700010, 0x700020, CODE(STOP));
	by_fp(2);
	put(S(31), 0x99999999);
	EXPECT(JIT, 0x700010, 0x700020);
	put(S(31), 0);
	EXPECT(JIT, 0x700010, 0x700020);
	put(S(31), CODE(STOP));
	put(S(20), 0);
	EXPECT(JIT, 0x700010, 0x700020);
	needs(0, 0);
}

// The stack is read in pieces that end with a page; a frame never has what lies elsewhere.
static void pieces(void **state)
{
	uint64_t want[DEPTH];
	(void)state;
	for (uint32_t i = 0; i < 40; i++) {
		want[i] = CODE(SP16) + i; // no two alike
		put(S(1 + 2 * i), i < 39 ? want[i] + 1 : CODE(STOP));
	}
	want[40] = CODE(STOP);
	registers(want[0], S(0), 0);
	stack_reads = 0;
	expect(WALK_END_COMPLETE, 41, want);
	assert_int_equal(stack_reads, 2); // words 1 to 64, and from 65 on
	// Across the end of a page, from a word that is its last.
	for (uint32_t first = 505; first < 513; first++) {
		memset(words, 0, sizeof(words));
		for (uint32_t i = 0; i < 40; i++)
			put(S(first + 1 + 2 * i), want[i + 1]);
		registers(want[0], S(first), 0);
		stack_reads = 0;
		expect(WALK_END_COMPLETE, 41, want);
		assert_in_range(stack_reads, 2, 3);
	}
	// What cannot be read is in a piece of which words can.
	gap = S(600);
	registers(CODE(SP16), S(512), 0);
	for (uint32_t i = 0; i < 44; i++)
		put(S(513 + 2 * i), CODE(SP16));
	for (uint32_t i = 0; i < 45; i++)
		want[i] = CODE(SP16);
	put(S(599), CODE(SP16_FP));
	want[44] = CODE(SP16_FP);
	gap = S(601);
	expect(WALK_END_UNREADABLE, 45, want);
	gap = 0;
	// A stack pointer that no compiler leaves.
	uint64_t odd[2] = {CODE(SP16), CODE(STOP)};
	memcpy((char *)words + 8 * 8 + 3 + 8, &odd[1], 8);
	registers(CODE(SP16), S(8) + 3, 0);
	expect(WALK_END_COMPLETE, 2, odd);
	// Of another walk nothing is left.
	put(S(9), CODE(STOP));
	registers(CODE(SP16), S(8), 0);
	EXPECT(COMPLETE, CODE(SP16), CODE(STOP));
	put(S(9), CODE(SP16_FP));
	put(S(10), 7);
	put(S(11), CODE(STOP));
	EXPECT(COMPLETE, CODE(SP16), CODE(SP16_FP), CODE(STOP));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    X86(stack_pointer_rules),
	    X86(return_addresses),
	    X86(plt),
	    X86(dereferenced),
	    X86(other_registers),
	    X86(return_address_in_a_register),
	    X86(lost_frame_pointer),
	    X86(signals),
	    X86(start_of_a_mapping),
	    X86(frames_of_files),
	    X86(other_stacks),
	    X86(no_rows),
	    X86(made_at_run_time),
	    X86(unreadable),
	    X86(pieces),
	    X86(deep),
	    ARM64(arm64_leaf),
	    ARM64(arm64_frame_pointers),
	    ARM64(arm64_signals),
	    ARM64(made_at_run_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
