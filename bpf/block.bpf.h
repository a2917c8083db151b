/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/* A block of time off the CPU that ends: whole to its stack, or to what no stack bears. */
#pragma once
#include "gate.bpf.h"

static __always_inline u64 delay_of(struct task_struct *task)
{
	return bpf_core_field_exists(task->sched_info) ? task->sched_info.run_delay : 0;
}

/* A switch: on CLOCK_MONOTONIC, and on the scheduler's clock (0: it is not to be had). */
struct moment {
	u64 now, clock;
};

/* How long TASK, which is being put on its CPU AT, has waited for one since DELAY_NS. */
static __always_inline u64 waited(struct task_struct *task, struct moment at, u64 delay_ns)
{
	if (!bpf_core_field_exists(task->sched_info) || !at.clock)
		return 0;
	u64 queued = task->sched_info.last_queued;
	return task->sched_info.run_delay - delay_ns +
	       (queued && at.clock > queued ? at.clock - queued : 0);
}

/*
 * How long TASK, which is leaving its CPU AT, was on it. The switch that put it there is not seen
 * where the kernel did not run the program, as it may (it never nests one on a CPU, and a guard may
 * keep BPF from some tasks).
 */
static __always_inline u64 since_arrival(struct task_struct *task, struct moment at)
{
	if (!bpf_core_field_exists(task->sched_info))
		return 0;
	u64 arrived = task->sched_info.last_arrival;
	return at.clock > arrived ? at.clock - arrived : 0;
}

static __always_inline u64 some(u64 sum, u64 told)
{
	return (s64)(sum - told) > 0 ? sum - told : 0;
}

#define ONE BLOCK_CHANCE_ONE

/* 1/ONE: how likely a stack was taken of a block that was WHOLE_NS long. */
static __always_inline u64 likelihood(const struct off *o, u64 whole_ns)
{
	u64 gate = o->gate == GATE_SURE ? ONE : o->gate / (GATE_SURE / ONE + 1);
	u64 look = 0, look_ns = off_look_ns * rates_every();
	if (off_look_ns)
		look = whole_ns >= look_ns ? ONE : whole_ns * ONE / look_ns;
	u64 p = gate + (ONE - gate) * look / ONE;
	return p ? p : 1;
}

/* A block that ends, and was not short. */
struct block_end {
	u64 now;
	u64 off_ns, whole_ns; /* of these not told yet, and all */
	u64 waited_ns;	      /* for a CPU, of a block that was more than that */
	u32 pid, tid;
	u64 seen; /* by the switch that ends it; else its stack stays without its rest, to verify less twice */
};

/* A block of WHOLE_NS has ended, of which OFF_NS were not told, RUN_NS of these runnable. */
static __always_inline void off_tell(
    struct off *o, const struct block_end *e, u64 off_ns, u64 run_ns, u64 whole_ns)
{
	u64 rest = off_ns - run_ns;
	struct record_block r = {
	    .head = {.kind = RECORD_BLOCK, .size = sizeof(r), .time_ns = e->now},
	    .blocked_ns = rest,
	    .runnable_ns = run_ns,
	    .whole_ns = whole_ns,
	    .pid = e->pid,
	    .tid = e->tid,
	    .block = o->block,
	    .count = off_ns == whole_ns,
	    .chance = (u32)likelihood(o, whole_ns),
	    .reason = o->reason,
	    .last = 1,
	};
	if (bpf_ringbuf_output(&ring, &r, sizeof(r), BPF_RB_NO_WAKEUP)) {
		count(KERNEL_BLOCK_RING, 1);
		o->owed_ns += rest;
		o->owed_run_ns += run_ns;
		o->owed_count++;
	}
}

/* Checked by itself (see walk_frame). */
__attribute__((noinline)) int off_over(struct off *o, const struct block_end *e)
{
	if (!o || !e)
		return 0;
	u64 us = e->whole_ns / 1024, off = e->off_ns;
	o->expect_us = expect(o->expect_us, us < EXPECT_MOST ? (u32)us : EXPECT_MOST);
	count(KERNEL_BLOCKS, 1);
	u64 run = o->runnable ? off : e->waited_ns;
	if (run > off)
		run = off;
	if (e->seen && NOW_OF(o->stack_block) == o->block) {
		off_tell(o, e, off, run, e->whole_ns);
	} else {
		o->owed_ns += off - run;
		o->owed_run_ns += run;
		o->owed_count++;
	}
	return 0;
}

/* Most blocks of who switches much are short: these cost no call. */
static __always_inline void off_ends(
    struct off *o, struct task_struct *task, struct moment at, bool seen)
{
	u64 now = at.now, told = __sync_lock_test_and_set(&o->told_ns, 0);
	if (!told)
		return;
	u64 off = now > told ? now - told : 0, whole = now > o->out_ns ? now - o->out_ns : 0;
	if (whole < off_min_ns) {
		o->expect_us = expect(o->expect_us, 0);
		o->short_ns += off;
		o->short_count++;
		return;
	}
	const struct block_end e = {
	    .now = now,
	    .off_ns = off,
	    .whole_ns = whole,
	    .waited_ns = waited(task, at, o->delay_ns),
	    .pid = (u32)task->tgid,
	    .tid = (u32)task->pid,
	    .seen = seen,
	};
	off_over(o, &e);
}
