/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * A program that walks costs the verifier some 15 ms at the start. So those that want the stack of the
 * thread that runs only say what the sample is, and hand it over to the one of their kind that walks:
 *
 *   cpu_tick, memory_tick                      perf events         --> take_tick
 *   memory_huge, memory_around, memory_mapped, lock_ends
 *                                              raw tracepoints     --> take_raw
 *
 * From take_begin on the scratch is theirs: nothing that interrupts one of them on its way takes it.
 */
#pragma once
#include "take.bpf.h"

struct takers {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
};
struct takers tick_takers SEC(".maps"), raw_takers SEC(".maps");

/* A sample of SOURCE for which a taker of the same kind as the caller sees to the rest. */
static __always_inline void hand_over(
    void *ctx, struct takers *takers, u8 source, u64 value, u64 object, u8 reason)
{
	struct scratch *x = take_begin(source, value);
	if (!x)
		return;
	struct record_sample *s = (struct record_sample *)x->words;
	s->source = source;
	s->value = value;
	s->object = object;
	s->reason = reason;
	bpf_tail_call(ctx, takers, 0);
	lose(source, value, KERNEL_LOST_CPU); /* cannot be: it was put there before we were attached */
	x->busy = 0;
}

/* REGS: as take_fill has them. */
static __always_inline void take_handed(
    void *ctx, struct scratch *x, const u64 *regs, bool kernel)
{
	struct record_sample *s = (struct record_sample *)x->words;
	u64 object = s->object;
	u8 reason = s->reason;
	take_fill(ctx, x, regs, s->source, s->value, kernel, true);
	s->object = object;
	s->reason = reason;
	if (x->walking)
		bpf_loop(user_frames_max + 1, walk_one, &x, 0);
	if (take_end(x) && s->source == SOURCE_MAPPED)
		count(KERNEL_MAPPED_TOLD_BYTES, s->value);
}

SEC("perf_event")
int take_tick(void *ctx)
{
	struct scratch *x = scratch_of_cpu();
	if (x)
		take_handed(ctx, x, ctx, !no_kernel_frames);
	return 0;
}

#if defined(__TARGET_ARCH_arm64)
#define CALL_OF(regs) BPF_CORE_READ(regs, syscallno)
#else
#define CALL_OF(regs) ((int)BPF_CORE_READ(regs, orig_ax))
#endif

SEC("raw_tp")
int take_raw(void *ctx)
{
	struct scratch *x = scratch_of_cpu();
	if (!x)
		return 0;
	/* Of memory as a sampled fault has it: the kernel's own frames where a call touched it. */
	const struct record_sample *s = (const struct record_sample *)x->words;
	bool kernel = s->source == SOURCE_LOCK;
	if (!kernel && !no_kernel_frames) {
		const struct pt_regs *regs = task_regs(current_task());
		kernel = CALL_OF(regs) >= 0;
	}
	take_handed(ctx, x, 0, kernel);
	return 0;
}
