/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/* A tick of the CPU clock (or of the cycle counter) on each CPU. */
#pragma once
#include "take.bpf.h"

const volatile u64 cpu_period_ns = 10101010;

SEC("perf_event")
int cpu_tick(void *ctx)
{
	take(ctx, SOURCE_CPU, cpu_period_ns);
	return 0;
}
