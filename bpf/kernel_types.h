/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * The few kernel structures that we read, with the few fields; CO-RE finds where they really are.
 * From the kernel's own type information (BTF) come offsets only, no definition is copied.
 */
#pragma once
#include <stdbool.h>
#include "types.h"

#define PF_KTHREAD 0x00200000
#define PF_FORKNOEXEC 0x00000040 /* its first thread has run no exec since it was forked */
#define PF_IO_WORKER 0x00000010	 /* a thread of a process that never runs its code */
#define PF_EXITING 0x00000004

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};
struct mnt_namespace {
	struct ns_common ns;
};
struct nsproxy {
	struct mnt_namespace *mnt_ns;
};
typedef struct {
	int counter;
} atomic_t;
struct mm_struct {
	atomic_t mm_users;
	unsigned long data_vm, exec_vm, start_stack;
};
struct percpu_counter {
	s64 count; /* without what CPUs have not added to it yet */
};
/* From 6.2 on; before, a structure of one field. */
struct mm_struct___counted {
	struct percpu_counter rss_stat[4];
};
struct super_block {
	unsigned long s_magic;
	struct block_device *s_bdev;
};
struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
};
struct file {
	struct inode *f_inode;
};
struct vm_area_struct {
	unsigned long vm_end;
	struct file *vm_file;
};
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};
struct files_struct {
	struct fdtable *fdt;
};
struct kernfs_node {
	u64 id;
};
struct cgroup {
	struct kernfs_node *kn;
};
struct css_set {
	struct cgroup *dfl_cgrp;
};
struct sched_info {
	unsigned long long run_delay, last_arrival, last_queued;
};
struct rq {
	u64 clock;
};
struct cfs_rq {
	struct rq *rq;
	int throttle_count;
};
struct sched_entity {
	struct cfs_rq *cfs_rq;
};
struct signal_struct {
	atomic_t live;
	int nr_threads;
};
struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	struct mm_struct *mm;
	void *stack;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	u64 start_time; /* CLOCK_MONOTONIC, of the thread */
	u64 start_boottime;
	u32 parent_exec_id, self_exec_id; /* the low half: 64 bits since 5.7 */
	char comm[16];
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	unsigned int __state;
	int on_cpu;
	unsigned int in_iowait : 1;
	unsigned long nvcsw, nivcsw; /* times that it was switched out */
	unsigned long min_flt, maj_flt;
	struct sched_info sched_info;
	struct sched_entity se;
	struct files_struct *files;
	struct css_set *cgroups;
};
/* From 6.18 on a thread is taken off the run queue when its cgroup has used up its share. */
struct task_struct___throttled {
	bool throttled;
};
struct pt_regs {
#if defined(__TARGET_ARCH_arm64)
	u64 regs[31];
	u64 orig_x0;
	int syscallno;
#else
	unsigned long di, orig_ax;
#endif
};
/* From 6.4 on it allocates wherever a program may run. */
struct bpf_mem_alloc {
	int percpu; /* no field is asked for */
};
struct bpf_local_storage_map {
	struct bpf_mem_alloc selem_ma;
};
/* What the tracepoint mmap_lock_released writes; under the second name before 6.0. */
struct trace_event_raw_mmap_lock {
	u32 __data_loc_memcg_path;
};
struct trace_event_raw_mmap_lock_released {
	u32 __data_loc_memcg_path;
};
struct bpf_ringbuf;
struct bpf_ringbuf_map {
	struct bpf_ringbuf *rb;
};
struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};
/* Before 5.5 the start time had another name. */
struct task_struct___old {
	u64 real_start_time;
};

#pragma clang attribute pop
