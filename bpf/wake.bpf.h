/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Who wakes: loaded only where that is asked for. At the moment that ends a block which has a stack
 * and is long enough to be told with it, the stack of the thread that ends it is taken too, and
 * goes to the ring before the block's end does:
 *
 *   blocked    --- off_switch: sample of block 7 ---|                    |--- record_block 7, last
 *   waker                                      off_waking: sample of SOURCE_WAKER for block 7
 *
 * An interrupt wakes in place of whatever thread its CPU happened to run, which is not to be named:
 * the kernel's frames, which modules/kernel looks at, tell. On an idle CPU nothing else wakes.
 */
#pragma once
#include "off.bpf.h"

/* Set before loading. */
const volatile u32 wake_stacks = GATE_STACKS; /* of a CPU in GATE_NS, at most */
const volatile bool wake_locks_only = false;  /* only of threads that wait for a futex */

/* The rest of this CPU's stacks for now: is there one more? */
static __always_inline bool may_take_waker(struct scratch *x, u64 now)
{
	if (now >= x->wakers_until_ns) {
		x->wakers_until_ns = now + GATE_NS;
		x->wakers = 0;
	}
	return x->wakers++ < (governed ? wake_stacks / rates_every() : wake_stacks);
}

/* Of whom it is, in a record of its waker. */
static __always_inline void wakes(struct record_sample *s, struct task_struct *task, u32 block)
{
	s->object = (u64)(u32)task->tgid << 32 | (u32)task->pid;
	s->block = block;
}

static __always_inline bool interrupt_wakes(struct task_struct *task, u32 block, u64 now)
{
	struct record_sample s = {
	    .head = {.kind = RECORD_SAMPLE, .size = sizeof(s), .time_ns = now},
	    .source = SOURCE_WAKER,
	    .reason = WAKER_INTERRUPT,
	};
	wakes(&s, task, block);
	return !bpf_ringbuf_output(&ring, &s, sizeof(s), BPF_RB_NO_WAKEUP);
}

static __always_inline bool thread_wakes(
    void *ctx, struct scratch *x, struct task_struct *task, u32 block)
{
	if (x->busy)
		return false;
	x->busy = 1;
	struct record_sample *s = (struct record_sample *)x->words;
	take_head(s, SOURCE_WAKER, 0);
	wakes(s, task, block);
	s->reason = WAKER_UNTOLD;
	walk_kernel(ctx, s);
	take_user(x, 0, false, current_task());
	if (x->walking)
		bpf_loop(user_frames_max + 1, walk_one, &x, 0);
	return take_end(x);
}

SEC("tp_btf/sched_waking")
int BPF_PROG(off_waking, struct task_struct *task)
{
	struct off *o = is_followed(task) ? bpf_task_storage_get(&offs, task, 0, 0) : 0;
	if (!o)
		return 0;
	u32 block = NOW_OF(o->block);
	if (NOW_OF(o->stack_block) != block || !NOW_OF(o->told_ns) || o->runnable ||
	    (wake_locks_only && o->reason != OFF_MUTEX))
		return 0;
	u64 now = bpf_ktime_get_ns();
	if (now < o->out_ns + off_min_ns)
		return 0;
	struct scratch *x = scratch_of_cpu();
	bool idle = !(u32)bpf_get_current_pid_tgid();
	if (!x || !may_take_waker(x, now))
		count(KERNEL_WAKERS_LEFT, 1);
	else if (idle ? interrupt_wakes(task, block, now) : thread_wakes(ctx, x, task, block))
		count(KERNEL_WAKERS, 1);
	else
		count(KERNEL_WAKERS_LOST, 1);
	return 0;
}
