// SPDX-License-Identifier: Apache-2.0
// The walker of bpf/walk.bpf.h over stacks of arm64 made by hand.
#include "walk_scene.h"

static void leaf(void **state)
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
	EXPECT(COMPLETE, CODE(LEAF), CODE(PAIR), CODE(ALONE), CODE(PAIR_FP));
	registers(CODE(REG_X9), S(6), 0);
	it.reg[9] = S(63);
	put(S(62), CODE(STOP));
	EXPECT(COMPLETE, CODE(REG_X9), CODE(STOP));
}

// A frame pointer says where a frame is, not where it ends: the next one is found by it too.
static void frame_pointers(void **state)
{
	(void)state;
	registers(CODE(FRAME), S(10), S(20));
	put(S(20), S(40));
	put(S(21), CODE(PAIR)); // its rule wants sp
	put(S(40), S(60));
	put(S(41), CODE(PAIR_FP));
	put(S(60), 0);
	put(S(61), CODE(FRAME));
	EXPECT(COMPLETE, CODE(FRAME), CODE(PAIR), CODE(PAIR_FP), CODE(FRAME));
	by_fp(1);
}

static void signals(void **state)
{
	(void)state;
	uint64_t frame = S(2000), at = frame + 312;
	registers(CODE(LEAF0), frame, 0);
	it.reg[ARM64_LR] = CODE(SIGNAL);
	put(at + ARM64_LR * 8, CODE(PAIR));
	put(at + ARM64_SP * 8, S(10));
	put(at + ARM64_PC * 8, CODE(LEAF0));
	put(S(11), CODE(STOP));
	EXPECT(COMPLETE, CODE(LEAF0), CODE(SIGNAL), EXACT | CODE(LEAF0), CODE(PAIR), CODE(STOP));
	put(at + ARM64_SP * 8, 3);
	EXPECT(UNREADABLE, CODE(LEAF0), CODE(SIGNAL), EXACT | CODE(LEAF0), CODE(PAIR));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ARM64(leaf),
	    ARM64(frame_pointers),
	    ARM64(signals),
	    ARM64(made_at_run_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
