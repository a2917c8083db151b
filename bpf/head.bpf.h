/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * The head of a sample: all but its stacks, see record.h. take.bpf.h includes this.
 *
 *   take_head      of the current task      take_head_of   of another one
 */
#pragma once

static __always_inline u64 start_of(struct task_struct *leader)
{
	if (bpf_core_field_exists(leader->start_boottime))
		return BPF_CORE_READ(leader, start_boottime);
	return BPF_CORE_READ((struct task_struct___old *)leader, real_start_time);
}

/* 0 only for none. */
static __always_inline u32 fold(u64 pointer)
{
	u32 n = (u32)(pointer >> 6) ^ (u32)(pointer >> 38);
	return n || !pointer ? n : 1;
}

/* Of the current task: by plain loads where the kernel knows the pointer's type, else by helpers.
 */
#define OF_TASK(task, plain, ...) (use_task_btf ? (task)->plain : BPF_CORE_READ(task, __VA_ARGS__))

static __always_inline struct task_struct *current_task(void)
{
	return use_task_btf ? bpf_get_current_task_btf() : (void *)bpf_get_current_task();
}

static __always_inline void fill_task(
    struct record_sample *s, struct task_struct *task, bool current)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	s->start_ns = start_of(leader);
	s->ppid = BPF_CORE_READ(leader, real_parent, tgid);
	s->mnt_ns = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
	s->exec_pages = (u32)BPF_CORE_READ(mm, exec_vm);
	s->mm_id = fold((u64)mm);
	if (current) {
		u64 id = bpf_get_current_pid_tgid();
		s->pid = (u32)(id >> 32);
		s->tid = (u32)id;
		s->kernel_thread = !!(OF_TASK(current_task(), flags, flags) & PF_KTHREAD);
		s->cgroup = bpf_get_current_cgroup_id();
		bpf_get_current_comm(s->comm, sizeof(s->comm));
	} else {
		s->pid = (u32)BPF_CORE_READ(task, tgid);
		s->tid = (u32)BPF_CORE_READ(task, pid);
		s->kernel_thread = !!(BPF_CORE_READ(task, flags) & PF_KTHREAD);
		s->cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
		bpf_probe_read_kernel(s->comm, sizeof(s->comm), task->comm);
	}
	if (s->pid == s->tid)
		__builtin_memcpy(s->process_comm, s->comm, sizeof(s->comm));
	else
		bpf_probe_read_kernel(s->process_comm, sizeof(s->process_comm), leader->comm);
}

/*
 * All is read by helpers: a pointer that a program follows out of a task costs the verifier a search through all
 * types of the kernel, 0.7 ms, on every path that leads there.
 */
static __always_inline void put_head(struct record_sample *s, u8 source, u64 value, bool current)
{
	struct task_struct *task = current ? (void *)bpf_get_current_task() : (void *)s->object;
	s->head.kind = RECORD_SAMPLE;
	s->head.size = sizeof(*s);
	s->head.time_ns = bpf_ktime_get_ns();
	s->value = value;
	s->object = 0;
	s->source = source;
	s->block = 0;
	s->reason = 0;
	s->looked = 0;
	s->cpu = bpf_get_smp_processor_id();
	fill_task(s, task, current);
	s->in_user = 0;
	s->kernel_frames = s->user_frames = 0;
	s->kernel_cut = 0;
	s->walk_end = WALK_END_NONE;
	s->need = 0;
	s->need_at = 0;
}

/* As walk_frame: checked by itself. */
__attribute__((noinline)) int fill_head(struct record_sample *s, u8 source, u64 value, bool current)
{
	if (s)
		put_head(s, source, value, current);
	return 0;
}

/* All of a sample but its stacks, of the current task. */
static __always_inline void take_head(struct record_sample *s, u8 source, u64 value)
{
	fill_head(s, source, value, true);
}

/* The same of another task, whose address goes by way of the record: it may not be an argument. */
static __always_inline void take_head_of(
    struct record_sample *s, struct task_struct *task, u8 source, u64 value)
{
	s->object = (u64)task;
	fill_head(s, source, value, false);
}
