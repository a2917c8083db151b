/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * take(ctx, source, value): wanted? -> walk the stack -> fill the record -> emit. The one exit of
 * every source of samples.
 *
 *   scratch[cpu] = { busy, record_sample, frames }   built there, copied to the ring
 *
 * A per-CPU map would cost a slot for every possible CPU (often 128 or 240), this array has one for
 * every present one. `busy` guards against a sample that interrupts another on the same CPU.
 */
#pragma once
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "counter.h"
#include "kernel_types.h"
#include "record.h"

/* Set before loading; the verifier sees constants. */
const volatile u32 user_frames_max = 127;  /* at most FRAMES_MAX */
const volatile u32 kernel_stack_max = 127; /* kernel.perf_event_max_stack: no walk is longer */
const volatile bool no_kernel_frames = false, no_user_frames = false;
const volatile bool only_listed = false; /* take only processes that `listed` holds as LISTED */
const volatile bool use_listed = false;	 /* false: `listed` is never asked */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64[KERNEL_COUNTER_COUNT]);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} listed SEC(".maps");

struct scratch {
	u64 busy;
	u64 words[]; /* a record_sample with its frames */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* present CPUs */
	__uint(key_size, 4);
	__uint(value_size, SCRATCH_SIZE(FRAMES_MAX)); /* of user_frames_max, set before loading */
} scratches SEC(".maps");

static __always_inline void count(u32 which)
{
	u32 zero = 0;
	u64 *c = bpf_map_lookup_elem(&counters, &zero);
	if (c && which < KERNEL_COUNTER_COUNT)
		c[which]++;
}

static __always_inline bool wanted(u32 pid)
{
	if (!use_listed)
		return true;
	u32 *v = bpf_map_lookup_elem(&listed, &pid);
	return only_listed ? v && *v == LISTED : !v || *v != UNWANTED;
}

static __always_inline u64 start_of(struct task_struct *leader)
{
	if (bpf_core_field_exists(leader->start_boottime))
		return BPF_CORE_READ(leader, start_boottime);
	return BPF_CORE_READ((struct task_struct___old *)leader, real_start_time);
}

static __always_inline void fill_task(struct record_sample *s, struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	s->start_ns = start_of(leader);
	s->ppid = BPF_CORE_READ(leader, real_parent, tgid);
	s->mnt_ns = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
	s->exec_pages = (u32)BPF_CORE_READ(task, mm, exec_vm);
	s->cgroup = bpf_get_current_cgroup_id();
	bpf_get_current_comm(s->comm, sizeof(s->comm));
	bpf_probe_read_kernel(s->process_comm, sizeof(s->process_comm), leader->comm);
}

/*
 * The user part, by frame pointers. One more than wanted is asked for, to tell "exactly that deep"
 * from "deeper".
 */
static __always_inline void walk_user(void *ctx, struct record_sample *s, u64 *frames)
{
	s64 bytes = bpf_get_stack(ctx, frames, (user_frames_max + 1) * 8, BPF_F_USER_STACK);
	if (bytes <= 0) {
		s->walk_end = WALK_END_UNREADABLE;
		count(KERNEL_UNREADABLE);
		return;
	}
	u32 n = (u32)bytes / 8;
	s->walk_end = WALK_END_COMPLETE;
	if (n > user_frames_max || n >= kernel_stack_max) {
		n = n > user_frames_max ? user_frames_max : n;
		s->walk_end = WALK_END_TRUNCATED;
		count(KERNEL_TRUNCATED);
	}
	s->user_frames = (u16)n;
}

static __always_inline void walk(void *ctx, struct record_sample *s, u64 *frames, bool kernel_only)
{
	u32 n = 0;
	s->kernel_frames = s->user_frames = 0;
	s->kernel_cut = 0;
	s->walk_end = WALK_END_NONE;
	if (!no_kernel_frames) {
		s64 bytes = bpf_get_stack(ctx, frames, KERNEL_FRAMES_MAX * 8, 0);
		if (bytes > 0)
			n = (u32)bytes / 8;
		if (n > KERNEL_FRAMES_MAX)
			n = KERNEL_FRAMES_MAX;
		s->kernel_cut = n == KERNEL_FRAMES_MAX || n >= kernel_stack_max;
		s->kernel_frames = (u16)n;
	}
	if (!no_user_frames && !kernel_only)
		walk_user(ctx, s, frames + n);
}

/* VALUE is the weight in the unit of SOURCE. */
static __always_inline void take(void *ctx, u8 source, u64 value)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 pid = (u32)(id >> 32), cpu = bpf_get_smp_processor_id();
	if (!pid) {
		count(KERNEL_IDLE);
		return;
	}
	if (!wanted(pid)) {
		count(KERNEL_UNWANTED);
		return;
	}
	count(KERNEL_TAKEN);
	struct scratch *x = bpf_map_lookup_elem(&scratches, &cpu);
	if (!x) {
		count(KERNEL_LOST_CPU);
		return;
	}
	if (x->busy) {
		count(KERNEL_LOST_NESTED);
		return;
	}
	x->busy = 1;
	struct record_sample *s = (struct record_sample *)x->words;
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	s->head.kind = RECORD_SAMPLE;
	s->head.time_ns = bpf_ktime_get_ns();
	s->value = value;
	s->source = source;
	s->cpu = cpu;
	s->pid = pid;
	s->tid = (u32)id;
	fill_task(s, task);
	u32 flags = BPF_CORE_READ(task, flags);
	s->kernel_thread = !!(flags & PF_KTHREAD);
	/* One that is ending has let go of its memory, and its user stack with it. */
	walk(ctx, s, s->frames, (flags & (PF_KTHREAD | PF_IO_WORKER)) || !BPF_CORE_READ(task, mm));
	u32 size = sizeof(*s) + 8 * ((u32)s->kernel_frames + s->user_frames);
	s->head.size = size;
	if (size > sizeof(*s) + 8 * (KERNEL_FRAMES_MAX + user_frames_max))
		size = sizeof(*s); /* cannot be; for the verifier */
	if (bpf_ringbuf_output(&ring, s, size, BPF_RB_NO_WAKEUP))
		count(KERNEL_LOST_RING);
	else
		count(KERNEL_EMITTED);
	x->busy = 0;
}
