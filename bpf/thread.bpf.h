/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/* What is known of a thread while its time off the CPU is followed (off.bpf.h, look.bpf.h): it hangs at its task. */
#pragma once
#include "take.bpf.h"
#include "look.h"

/* Set before loading. */
const volatile u64 off_min_ns = 1000000;
const volatile bool off_kernel = false;			     /* with kernel frames */
const volatile u64 off_look_ns = LOOK_NS; /* between two looks; 0: there are none */

#define LOADING_LOOKS 10   /* so many looks at one stack whose rows are being loaded */
#define EXPECT_FIRST 5000  /* of a thread that is new: most of those that soon end wait no longer */

/*
 * A thread. Only the scheduler's own order (off, on, off ...) changes what follows, but for what is
 * marked: that the look changes. `told_ns` both do: the look by compare and exchange.
 */
struct off {
	u64 told_ns;	 /* the current block is told up to here; 0: it is on a CPU */
	u64 out_ns;	 /* the current or last block began */
	u64 delay_ns;	 /* how long it had waited for a CPU in all its life then */
	u64 owed_ns;	 /* blocked in blocks that no stack bears; sums that only grow */
	u64 owed_run_ns; /* likewise runnable */
	u64 short_ns;	 /* of blocks shorter than off_min_ns */
	u64 owed_told_ns, owed_run_told_ns, short_told_ns; /* look: of these */
	u32 owed_count, short_count, owed_count_told, short_count_told;
	u32 block;	 /* counts up as each begins; never 0 */
	u32 stack_block; /* look: the block that a stack was taken of last */
	u32 gate;	 /* how likely the gate took its stack, in 1/2^32; GATE_SURE: it did */
	u32 turn;	 /* where in its turn the gate is, see gate_draws */
	u32 expect_us;	 /* how much its next block will matter, see expect */
	u8 runnable;	 /* the current block is no wait but for a CPU */
	u8 reason;	 /* of the block that has a stack */
	u8 again;	 /* the stack wants rows that were not there: a look takes it again */
	u8 state;	 /* of the task as it went off; that of one that is woken tells nothing */
};
#define GATE_SURE ((u32)-1)
/* With what the kernel puts before it, just what its allocator has a size for (192). */
_Static_assert(sizeof(struct off) == 112, "memory of each thread");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct off);
} offs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct look_control);
} look_controls SEC(".maps");

#define NOW_OF(x) (*(volatile typeof(x) *)&(x))

static __always_inline struct look_control *look_control(void)
{
	u32 zero = 0;
	return bpf_map_lookup_elem(&look_controls, &zero);
}

/* NULL: none is wanted, or there is no room for it. */
static __always_inline struct off *off_new(struct task_struct *task)
{
	struct look_control *control = look_control();
	if (task->flags & PF_EXITING || !wanted((u32)task->tgid))
		return 0;
	struct off *o = 0;
	if (control && !control->full)
		o = bpf_task_storage_get(&offs, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	count(o ? KERNEL_STORAGES : KERNEL_STORAGES_FAILED, 1);
	if (o)
		o->expect_us = EXPECT_FIRST;
	return o;
}

static __always_inline bool off_may_create(void)
{
	return bpf_core_field_exists(((struct bpf_local_storage_map *)0)->selem_ma);
}
