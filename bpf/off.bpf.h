/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Time off the CPU, exact for each thread: from the switch that takes it off to the one that brings
 * it back. All that is known of a thread hangs at its task.
 *
 *   off_switch   prev: the block begins; its stack may be taken (the gate)
 *                next: the block ends; its time goes to its stack, or to what no stack bears
 *   off_exit     what no stack bore of a thread that ends
 *   off_fork     room for a new thread, where a switch may not make it
 *
 * The gate takes a stack with a probability that the block remembers and tells. How long no stack
 * was taken is known exactly and told for itself, so all times of a thread always add up to the
 * time that it was off the CPU.
 */
#pragma once
#include "block.bpf.h"
#include "reason.bpf.h"

/* O is new: TASK has been off its CPU since the last look, or since it began. */
static __always_inline u64 off_since(
    struct off *o, struct task_struct *task, const struct look_control *control)
{
	u64 since = control->since_ns;
	if (since < task->start_time)
		since = task->start_time;
	o->out_ns = since;
	o->delay_ns = delay_of(task);
	o->gate = 0;
	o->block = 1;
	return since;
}

/* A sample without a stack that bears NS of COUNT blocks itself. */
static __always_inline void bears(struct record_sample *s, u8 reason, u64 ns, u32 blocks)
{
	s->reason = reason;
	s->value = ns;
	s->object = blocks;
}

/* O is new: TASK comes to a CPU for the first time since we look, or in its life. */
static __always_inline void off_comes(struct off *o, struct task_struct *task, u64 now)
{
	struct look_control *control = look_control();
	if (!control)
		return;
	u64 since = off_since(o, task, control);
	/* It never was on one: looks leave alone what only waits for a CPU. */
	o->runnable = !(task->nvcsw + task->nivcsw);
	if (o->runnable) {
		since = control->first_ns > task->start_time ? control->first_ns : task->start_time;
		o->out_ns = since;
	}
	if (o->runnable && now >= since + off_min_ns) {
		struct record_sample s = {};
		take_head_of(&s, task, SOURCE_OFF_CPU, 0);
		bears(&s, OFF_START, now - since, 1);
		if (!bpf_ringbuf_output(&ring, &s, sizeof(s), BPF_RB_NO_WAKEUP))
			return;
	}
	NOW_OF(o->told_ns) = since;
}

static __always_inline void off_arrives(struct task_struct *next, struct moment at)
{
	struct off *o = bpf_task_storage_get(&offs, next, 0, 0);
	if (!o && off_may_create())
		o = off_new(next);
	if (!o)
		return;
	if (!o->block)
		off_comes(o, next, at.now);
	off_ends(o, next, at, true);
}

static __always_inline void off_stack(void *ctx, struct off *o, struct task_struct *task)
{
	struct scratch *x = take_begin(SOURCE_OFF_CPU, 0);
	if (!x)
		return;
	take_fill(ctx, x, 0, SOURCE_OFF_CPU, 0, off_kernel, true);
	struct record_sample *s = (struct record_sample *)x->words;
	s->block = o->block;
	s->reason = o->reason = reason_of(task, o->runnable, o->state, x->walk.raw, &s->object);
	if (x->walking)
		bpf_loop(user_frames_max + 1, walk_one, &x, 0);
	bool loading = x->walk.end == WALK_END_LOADING;
	if (take_end(x)) {
		count(KERNEL_GATE_STACKS, 1);
		o->again = loading ? LOADING_LOOKS : 0;
		NOW_OF(o->stack_block) = o->block;
	}
}

static __always_inline bool off_begins(
    void *ctx, struct scratch *x, bool preempt, struct task_struct *prev, struct moment at)
{
	u64 now = at.now;
	struct off *o = bpf_task_storage_get(&offs, prev, 0, 0);
	if (!o && off_may_create())
		o = off_new(prev);
	if (!o)
		return false;
	if (o->told_ns) {
		u64 ran = since_arrival(prev, at);
		off_ends(o, prev, (struct moment){now - ran, at.clock}, false);
	}
	o->block = o->block == (u32)-1 ? 1 : o->block + 1;
	o->out_ns = now;
	o->delay_ns = delay_of(prev);
	u32 state = prev->__state;
	o->state = (u8)state;
	o->runnable = preempt || !state;
	NOW_OF(o->told_ns) = now;
	if (!x) {
		o->gate = 0;
		return false;
	}
	bool taken = gate(x, o, now);
	if (taken)
		off_stack(ctx, o, prev);
	return taken;
}

/* The scheduler's clock of TASK's CPU; 0: it is not to be had. */
static __always_inline u64 switch_clock_of(struct task_struct *task)
{
	return bpf_core_field_exists(task->se.cfs_rq->rq) ? task->se.cfs_rq->rq->clock : 0;
}

/* When a switch is, mostly without the helper. */
static __always_inline struct moment switch_moment(struct scratch *x, u64 clock)
{
	if (!clock || !x)
		return (struct moment){bpf_ktime_get_ns(), clock};
	if (clock_is_due(&x->clock, clock))
		clock_found(&x->clock, clock, bpf_ktime_get_ns());
	return (struct moment){clock + x->clock.apart_ns, clock};
}

/* One run in so many is timed, for all of them. */
#define TIMED 64

static __always_inline u64 run_begins(struct scratch *x)
{
	return governed && x && !(x->runs++ % TIMED) ? bpf_ktime_get_ns() : 0;
}

static __always_inline bool is_followed(struct task_struct *task)
{
	return !(task->flags & PF_KTHREAD) && task->pid;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(off_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	/* First: each path to a pointer that leads out of a task costs the verifier half a millisecond. */
	u64 clock = switch_clock_of(prev);
	bool comes = is_followed(next), goes = is_followed(prev);
	if (!comes && !goes)
		return 0;
	struct scratch *x = scratch_of_cpu();
	u64 began = run_begins(x);
	struct moment at = switch_moment(x, clock);
	bool stack = false;
	if (comes)
		off_arrives(next, at);
	if (goes)
		stack = off_begins(ctx, x, preempt, prev, at);
	/* A stack's time is counted with it. */
	if (began && !stack)
		count(KERNEL_SWITCHES_NS, (bpf_ktime_get_ns() - began) * TIMED);
	return 0;
}

/* Asked by user space: may a switch make room for a thread? */
SEC("syscall")
int off_creates(void *ctx)
{
	return off_may_create();
}

/*
 * Attached only where a switch may not allocate, behind task_fork, which says whether a new
 * process is wanted. Threads that were there before get theirs from a look.
 */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(off_fork, struct task_struct *parent, struct task_struct *child)
{
	if (is_followed(child))
		off_new(child);
	return 0;
}

static __always_inline void off_last(struct record_sample *s, u8 reason, u64 ns, u32 blocks)
{
	if (!ns)
		return;
	bears(s, reason, ns, blocks);
	if (bpf_ringbuf_output(&ring, s, sizeof(*s), BPF_RB_NO_WAKEUP)) {
		count(KERNEL_OFF_LOST, blocks);
		count(KERNEL_OFF_LOST_NS, ns);
	}
}

/* Attached before task_exit: the process is told to be over after its last thread's time. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(off_exit, struct task_struct *task)
{
	struct off *o = bpf_task_storage_get(&offs, task, 0, 0);
	if (!o)
		return 0;
	if (wanted((u32)task->tgid)) {
		struct record_sample s = {};
		take_head(&s, SOURCE_OFF_CPU, 0);
		off_last(&s, OFF_SHORT, some(o->short_ns, o->short_told_ns),
		    o->short_count - o->short_count_told);
		off_last(&s, OFF_UNSAMPLED,
		    some(o->owed_ns, o->owed_told_ns) + some(o->owed_run_ns, o->owed_run_told_ns),
		    o->owed_count - o->owed_count_told);
	}
	if (!bpf_task_storage_delete(&offs, task))
		count(KERNEL_STORAGES_ENDED, 1);
	return 0;
}
