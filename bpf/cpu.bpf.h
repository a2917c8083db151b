/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * A tick of the CPU clock (or of the cycle counter) on each CPU. The walk is a loop that the
 * verifier need not follow to its end where the kernel has such loops (5.17):
 *
 *   cpu_tick --tail call--> take_tick   bpf_loop(walk_step)
 *
 * and elsewhere as many steps as it follows, in program after program, and no function that is checked by itself
 * (with a pointer for an argument: 5.12):
 *
 *   cpu_tick_steps   8 steps --tail call--> cpu_more_steps   8 steps --tail call--> ... 32 times
 */
#pragma once
#include "hand.bpf.h"

/*
 * What this tick bears, 0: it is none that is taken. Which of so many is left to chance: always the
 * last would keep step with whoever has the CPU by turns.
 */
static __always_inline u64 tick_value(void)
{
	struct scratch *x = governed ? scratch_of_cpu() : 0;
	u64 every = x ? rates_every() : 1;
	if (every == 1 || !x)
		return cpu_period_ns;
	u32 at = x->ticks;
	if (!at)
		x->pick = bpf_get_prandom_u32() % (u32)every;
	x->ticks = at + 1 < every ? at + 1 : 0;
	return at == x->pick ? cpu_period_ns * every : 0;
}

SEC("perf_event")
int cpu_tick(void *ctx)
{
	u64 value = tick_value();
	if (value)
		hand_over(ctx, &tick_takers, SOURCE_CPU, value, 0, 0);
	return 0;
}

#define STEPS 8

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} more SEC(".maps");

static __always_inline void cpu_steps(void *ctx, struct scratch *x)
{
	bool walking = x->walking;
	int i = 0;
	while (walking) {
		walking = !walk_step(&x->walk, false);
		put_frame(x);
		if (++i >= STEPS)
			break;
	}
	if (walking) {
		bpf_tail_call(ctx, &more, 0);
		/* As deep as this kernel lets us go. */
		ended(&x->walk, WALK_END_TRUNCATED);
	}
	take_end(x);
}

SEC("perf_event")
int cpu_tick_steps(void *ctx)
{
	u64 value = tick_value();
	struct scratch *x = value ? take_begin(SOURCE_CPU, value) : 0;
	if (!x)
		return 0;
	take_fill(ctx, x, ctx, SOURCE_CPU, value, !no_kernel_frames, false);
	cpu_steps(ctx, x);
	return 0;
}

SEC("perf_event")
int cpu_more_steps(void *ctx)
{
	struct scratch *x = scratch_of_cpu();
	if (x)
		cpu_steps(ctx, x);
	return 0;
}
