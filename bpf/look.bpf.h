/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * The look at all threads: stacks of those that have been off the CPU for long and have none, and
 * on request all times so far. Started from user space some times a second; records come by read().
 */
#pragma once
#include "copy.bpf.h"
#include "off.bpf.h"

static __always_inline struct look_area *look_area(void)
{
	u32 zero = 0;
	return bpf_map_lookup_elem(&look_areas, &zero);
}

/*
 * Room for a thread that has none: it has been off its CPU since before the first look, or came
 * since the last one. NULL: there is none, or it has run meanwhile, and has it by itself now.
 */
static __always_inline struct off *look_new(
    struct task_struct *task, const struct look_control *control)
{
	u64 switches = task->nvcsw + task->nivcsw, since = 0;
	u32 state = task->__state;
	if (task->on_cpu || !state)
		return 0;
	struct off *o = off_new(task);
	if (!o)
		return 0;
	if (!o->block) {
		since = off_since(o, task, control);
		o->state = (u8)state;
		__sync_val_compare_and_swap(&o->told_ns, 0, since);
	}
	if (NOW_OF(task->on_cpu) || NOW_OF(task->nvcsw) + NOW_OF(task->nivcsw) != switches) {
		__sync_val_compare_and_swap(&o->told_ns, since, 0);
		return 0;
	}
	return o;
}

/* The stack of TASK's block, where it has none (with all rows) and is over off_min_ns long. */
static __always_inline void look_stack(struct seq_file *seq, struct off *o,
    struct task_struct *task, u64 now, const struct look_control *control)
{
	struct look_area *l = look_area();
	u32 block = NOW_OF(o->block);
	bool again = NOW_OF(o->stack_block) == block;
	bool lost = control->again == LOOK_WHATEVER;
	if (!l || (again && ((!o->again && !lost) || o->out_ns >= control->drained_ns)) ||
	    (!again && control->again) || now < o->out_ns + off_min_ns || !NOW_OF(o->told_ns))
		return;
	struct looking it = {l, &l->scratch, task};
	struct scratch *x = &l->scratch;
	struct record_sample *s = (struct record_sample *)x->words;
	struct walk *w = &x->walk;
	l->copies = 0;
	w->copy = (u64)l->copy;
	w->copy_at = w->copy_bytes = w->missed_at = w->code_at = w->missed_code = 0;
	take_head_of(s, task, SOURCE_OFF_CPU, 0);
	s->head.time_ns = now;
	s->block = block;
	s->reason = reason_of(task, o->runnable, o->state, w->raw, &s->object);
	s->looked = 1;
	if (off_kernel) {
		s64 bytes = bpf_get_task_stack(task, s->frames, KERNEL_FRAMES_MAX * 8, 0);
		u32 n = bytes > 0 ? (u32)bytes / 8 : 0;
		if (n > KERNEL_FRAMES_MAX)
			n = KERNEL_FRAMES_MAX;
		s->kernel_cut = n == KERNEL_FRAMES_MAX || n >= kernel_stack_max;
		s->kernel_frames = (u16)n;
	}
	take_user(x, 0, false, task);
	if (x->walking)
		bpf_loop(user_frames_max + 1 + LOOK_COPIES, look_step, &it, 0);
	u32 size = take_finish(x);
	/* It ran: what was read may be of two blocks. */
	if (NOW_OF(o->block) != block || !NOW_OF(o->told_ns)) {
		count(KERNEL_LOOK_GONE, 1);
	} else if (bpf_seq_write(seq, s, size)) {
		count(KERNEL_LOOK_FULL, 1);
	} else {
		o->reason = s->reason;
		if (w->end != WALK_END_LOADING)
			o->again = 0;
		else
			o->again = again && o->again ? o->again - 1 : LOADING_LOOKS;
		NOW_OF(o->stack_block) = block;
		count(KERNEL_LOOK_STACKS, 1);
	}
}

/* The time so far of a block that goes on and whose stack is known above. */
static __always_inline void look_block(struct seq_file *seq, struct off *o,
    struct task_struct *task, u64 now, const struct look_control *control, bool taken)
{
	u64 told = NOW_OF(o->told_ns), ns = now - told, out = NOW_OF(o->out_ns);
	u32 block = NOW_OF(o->block);
	if (!told || told >= now || NOW_OF(o->stack_block) != block ||
	    (!taken && out >= control->drained_ns))
		return;
	bool runnable = o->runnable;
	u8 reason = o->reason;
	if (__sync_val_compare_and_swap(&o->told_ns, told, now) != told)
		return;
	struct record_block r = {
	    .head = {.kind = RECORD_BLOCK, .size = sizeof(r), .time_ns = now},
	    .blocked_ns = runnable ? 0 : ns,
	    .runnable_ns = runnable ? ns : 0,
	    .pid = (u32)task->tgid,
	    .tid = (u32)task->pid,
	    .block = block,
	    .count = told == out,
	    .reason = reason,
	};
	/* A look's buffer is empty when it comes to a thread, and larger than all that it writes.
	 */
	if (bpf_seq_write(seq, &r, sizeof(r)))
		count(KERNEL_LOOK_FULL, 1);
}

static __always_inline void look_bears(
    struct seq_file *seq, struct record_sample *s, u8 reason, u64 ns, u32 blocks)
{
	bears(s, reason, ns, blocks);
	if (bpf_seq_write(seq, s, sizeof(*s)))
		count(KERNEL_LOOK_FULL, 1);
}

/* What no stack bears. */
static __always_inline void look_rest(
    struct seq_file *seq, struct off *o, struct task_struct *task, u64 now)
{
	u64 shorts = some(NOW_OF(o->short_ns), o->short_told_ns);
	u64 owed = some(NOW_OF(o->owed_ns), o->owed_told_ns);
	u64 run = some(NOW_OF(o->owed_run_ns), o->owed_run_told_ns);
	if (!shorts && !owed && !run)
		return;
	struct record_sample s = {};
	take_head_of(&s, task, SOURCE_OFF_CPU, 0);
	s.head.time_ns = now;
	if (shorts) {
		u32 blocks = NOW_OF(o->short_count) - o->short_count_told;
		o->short_told_ns += shorts;
		o->short_count_told += blocks;
		look_bears(seq, &s, OFF_SHORT, shorts, blocks);
	}
	if (owed || run) {
		u32 blocks = NOW_OF(o->owed_count) - o->owed_count_told;
		o->owed_told_ns += owed;
		o->owed_run_told_ns += run;
		o->owed_count_told += blocks;
		look_bears(seq, &s, OFF_UNSAMPLED, owed + run, blocks);
	}
}

static __always_inline void look(struct bpf_iter__task *ctx, bool stacks)
{
	struct task_struct *task = ctx->task;
	struct seq_file *seq = ctx->meta->seq;
	struct look_control *control = look_control();
	if (!task || !control || task->flags & (PF_KTHREAD | PF_EXITING) || !task->pid)
		return;
	u64 now = bpf_ktime_get_ns(), until = NOW_OF(control->until_ns);
	if (now >= NOW_OF(control->pause_ns)) {
		struct record pause = {.size = sizeof(pause), .time_ns = now};
		bpf_seq_write(seq, &pause, sizeof(pause));
	}
	struct off *o = bpf_task_storage_get(&offs, task, 0, 0);
	if (!o)
		o = look_new(task, control);
	if (!o)
		return;
	if (!wanted((u32)task->tgid)) {
		if (!bpf_task_storage_delete(&offs, task))
			count(KERNEL_STORAGES_ENDED, 1);
		return;
	}
	u32 before = NOW_OF(o->stack_block);
	if (until)
		now = until;
	if (stacks)
		look_stack(seq, o, task, now, control);
	if (until) {
		look_block(seq, o, task, now, control, NOW_OF(o->stack_block) != before);
		look_rest(seq, o, task, now);
	}
}

SEC("iter.s/task")
int look_whole(struct bpf_iter__task *ctx)
{
	look(ctx, true);
	return 0;
}

/* For kernels where an iterator may not copy a stack. */
SEC("iter/task")
int look_times(struct bpf_iter__task *ctx)
{
	look(ctx, false);
	return 0;
}
