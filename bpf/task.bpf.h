/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/* Processes that end, and children of processes that a capture asked for. */
#pragma once
#include "take.bpf.h"

SEC("tp_btf/sched_process_exit")
int BPF_PROG(task_exit, struct task_struct *task)
{
	/* Each thread comes by; the last one finds no other alive. */
	if (BPF_CORE_READ(task, signal, live.counter))
		return 0;
	u32 pid = (u32)BPF_CORE_READ(task, tgid);
	bool told = wanted(pid);
	if (use_listed)
		bpf_map_delete_elem(&listed, &pid); /* the next process with this id is another */
	if (!told)
		return 0;
	struct record_task r = {
	    .head = {.kind = RECORD_EXIT, .size = sizeof(r), .time_ns = bpf_ktime_get_ns()},
	    .start_ns = start_of(BPF_CORE_READ(task, group_leader)),
	    .pid = pid,
	    .tid = (u32)BPF_CORE_READ(task, pid),
	};
	bpf_probe_read_kernel(r.comm, sizeof(r.comm), task->comm);
	if (bpf_ringbuf_output(&ring, &r, sizeof(r), BPF_RB_NO_WAKEUP))
		count(KERNEL_LOST_TASK_RING, 1);
	return 0;
}

/* Loaded only for a capture of listed processes: what they fork is listed too. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(task_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 from = (u32)BPF_CORE_READ(parent, tgid), to = (u32)BPF_CORE_READ(child, tgid);
	u32 *v = from == to ? 0 : bpf_map_lookup_elem(&listed, &from);
	if (v && *v == LISTED) {
		u32 yes = LISTED;
		if (bpf_map_update_elem(&listed, &to, &yes, BPF_ANY))
			count(KERNEL_LOST_CHILD, 1);
	}
	return 0;
}
