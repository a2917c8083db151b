// SPDX-License-Identifier: Apache-2.0
// Older kernels (5.10 is one) take loops only where a jump closes them: an instruction that
// merely falls through to one that was met before on the same path is refused ("back-edge",
// check_cfg in kernel/bpf/verifier.c). Which of the two a compiler makes of a loop is its own
// business, so it is looked at here, for the programs that old kernels get.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "../../bpf/record.h"
#include "telegen.skel.h"

enum { NEW, OPEN, DONE };

// The way that the verifier goes: depth first, falling through before jumping. Returns the first
// instruction that closes a loop without a jump, or -1.
static int bad_loop(const struct bpf_insn *insns, size_t count)
{
	uint8_t *state = calloc(count, 1), *turn = calloc(count, 1);
	size_t *path = calloc(count, sizeof(*path)), depth = 0;
	int bad = -1;
	assert_true(state && turn && path);
	path[depth++] = 0;
	state[0] = OPEN;
	while (depth && bad < 0) {
		size_t at = path[depth - 1], to = at + 1;
		const struct bpf_insn *i = &insns[at];
		int class = BPF_CLASS(i->code), op = BPF_OP(i->code);
		bool is_jump = class == BPF_JMP || class == BPF_JMP32;
		bool jumps = is_jump && op != BPF_CALL && op != BPF_EXIT;
		unsigned ways = !is_jump || op == BPF_CALL || op == BPF_JA ? 1
				: op == BPF_EXIT			   ? 0
									   : 2;
		if (turn[at] >= ways) {
			state[at] = DONE;
			depth--;
			continue;
		}
		if (jumps && (op == BPF_JA || turn[at] == 1))
			to = (size_t)((int64_t)at + 1 + i->off);
		turn[at]++;
		assert_true(to < count);
		if (state[to] == NEW) {
			state[to] = OPEN;
			path[depth++] = to;
		} else if (state[to] == OPEN && !jumps) {
			bad = (int)at;
		}
	}
	free(state);
	free(turn);
	free(path);
	return bad;
}

static void old_kernels_take_every_loop(void **unused)
{
	(void)unused;
	struct telegen_bpf *b = telegen_bpf__open();
	assert_non_null(b);
	const struct bpf_program *programs[] = {b->progs.cpu_tick_steps, b->progs.cpu_more_steps,
	    b->progs.task_exit, b->progs.task_fork};
	for (size_t k = 0; k < sizeof(programs) / sizeof(*programs); k++) {
		int bad =
		    bad_loop(bpf_program__insns(programs[k]), bpf_program__insn_cnt(programs[k]));
		if (bad >= 0)
			fail_msg("%s: instruction %d closes a loop without a jump",
			    bpf_program__name(programs[k]), bad);
	}
	telegen_bpf__destroy(b);
}

static void a_loop_without_a_jump_is_found(void **unused)
{
	(void)unused;
	const struct bpf_insn bad[] = {
	    {.code = BPF_JMP | BPF_JA, .off = 1},
	    {.code = BPF_ALU64 | BPF_ADD | BPF_K, .imm = 1}, // falls into the loop's head
	    {.code = BPF_JMP | BPF_JEQ | BPF_K, .off = -2},
	    {.code = BPF_JMP | BPF_EXIT},
	};
	const struct bpf_insn good[] = {
	    {.code = BPF_ALU64 | BPF_ADD | BPF_K, .imm = 1},
	    {.code = BPF_JMP | BPF_JEQ | BPF_K, .off = -2},
	    {.code = BPF_JMP | BPF_EXIT},
	};
	assert_int_equal(bad_loop(bad, 4), 1);
	assert_int_equal(bad_loop(good, 3), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(old_kernels_take_every_loop),
	    cmocka_unit_test(a_loop_without_a_jump_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
