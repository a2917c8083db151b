/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Every so many page faults of a CPU: who makes memory resident. A fault counts as one page; one
 * that brings a huge page, or pages of a file around the one that was touched, brings more.
 */
#pragma once
#include "take.bpf.h"

const volatile u64 memory_sample_bytes = 1 << 20; /* set before loading: what a sample stands for */

/* struct bpf_perf_event_data: registers, period, address. */
#define SAMPLE_ADDRESS(ctx) OF_SAMPLE(ctx, REGS_WORDS + 1)

SEC("perf_event")
int memory_tick(void *ctx)
{
	struct scratch *x =
	    take_begin(ctx, ctx, SOURCE_MEMORY, memory_sample_bytes, !no_kernel_frames);
	if (!x)
		return 0;
	((struct record_sample *)x->words)->object = SAMPLE_ADDRESS(ctx);
	if (x->walking)
		bpf_loop(user_frames_max + 1, walk_one, &x, 0);
	take_end(x);
	return 0;
}
