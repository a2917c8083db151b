/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * The few kernel structures that we read, with the few fields; CO-RE finds where they really are.
 * From the kernel's own type information (BTF) come offsets only, no definition is copied.
 */
#pragma once
#include "types.h"

#define PF_KTHREAD 0x00200000
#define PF_FORKNOEXEC 0x00000040 /* its first thread has run no exec since it was forked */
#define PF_IO_WORKER 0x00000010 /* a thread of a process that never runs its code */

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
struct mm_struct {
	unsigned long exec_vm, start_stack;
};
typedef struct {
	int counter;
} atomic_t;
struct signal_struct {
	atomic_t live;
};
struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	struct mm_struct *mm;
	void *stack;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	u64 start_boottime;
	u32 parent_exec_id, self_exec_id; /* the low half: 64 bits since 5.7 */
	char comm[16];
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
};
struct pt_regs {
	u64 words; /* only the size of the whole is asked for */
};
/* Before 5.5 the start time had another name. */
struct task_struct___old {
	u64 real_start_time;
};

#pragma clang attribute pop
