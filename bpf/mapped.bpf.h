/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Who makes a process able to write more memory than it ever could: mmap, brk, mremap, mprotect, whatever calls them.
 * Loaded only where that is asked for. All of them change mm->data_vm, the pages of private writable mappings, under
 * the write lock of the memory, and let go of that:
 *
 *   mmap_lock_released, for writing   data_vm above the mark? ---> the mark, and a sample of what lies between
 *
 *   data_vm   __/~~\__/~~~~\__/~~~        mapped again and again: nothing, up to the mark
 *   mark      __/~~~~~/~~~~~~~~~~   4 steps of it are told
 *
 * Little growth is gathered, for each process by itself, until it makes a sample; much is one sample with its bytes.
 *
 *   grew by:  | 3 | 9 | 8 |    40    | 2 |  ends       samples of 17 pages, or of more
 *                      17      40         5            the rest of them: 3 here, 2 there
 *
 * Where a CPU takes many samples, what is little is more, so that these become few.
 *
 * So all samples of a process add up to how far its mark rose. Where it begins: of a program that is executed at 0
 * (what its own files bring is told), of a child at what its parent had, of a process that was there before at what it
 * had then.
 *
 * New memory (of fork, of execve) is locked while it is not yet anybody's, and has one user; what is locked from outside
 * has one more (mmget). Memory that is let go of is locked for the last time when it has none. As one memory follows
 * another at its address, a mark that is left over does no harm.
 */
#pragma once
#include "memory.bpf.h"

#define MARKS 4096
#define GROWTHS_NS 100000000ull
#define GROWTHS 32 /* samples of a CPU in that time, before they become larger */

/* Set before loading. */
const volatile u64 mapped_sample = 17 * 4096; /* what gathered growth makes: a prime number of pages */

struct mark {
	u64 pages;   /* data_vm, the most that was seen */
	u64 rest;    /* bytes of it that are in no sample yet */
	u64 growths; /* how many they came in */
	u32 pid;     /* of who grew last */
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MARKS);
	__type(key, u64);
	__type(value, struct mark);
} marks SEC(".maps");

/* What is a sample now: of growth that comes in storms twice as much after each GROWTHS. As a power of two. */
static __always_inline u64 growth_shift(struct scratch *x)
{
	u64 now = bpf_ktime_get_ns();
	if (now >= x->growths_until_ns) {
		x->growths_until_ns = now + GROWTHS_NS;
		x->growths = 0;
	}
	u64 shift = x->growths / GROWTHS;
	return shift < 24 ? shift : 24;
}

static __always_inline void mark_begins(u64 mm, u64 pages, u64 flags)
{
	struct mark fresh = {.pages = pages};
	long error = bpf_map_update_elem(&marks, &mm, &fresh, flags);
	if (error && error != -17) /* EEXIST */
		count(KERNEL_MAPPED_UNSEEN, 1);
}

/* The rest of M, whose memory goes: nobody's stack. */
static __always_inline void mark_rest(struct mark *m, u32 pid)
{
	struct scratch *x = scratch_of_cpu();
	bool told = false;
	if (x && !x->busy && m->pid == pid) { /* else others held the memory for longer */
		x->busy = 1;
		struct record_sample *s = (struct record_sample *)x->words;
		take_head(s, SOURCE_MAPPED, m->rest);
		s->object = m->growths;
		s->reason = MAPPED_REST;
		told = !bpf_ringbuf_output(&ring, s, sizeof(*s), BPF_RB_NO_WAKEUP);
		x->busy = 0;
	}
	if (told)
		count(KERNEL_MAPPED_TOLD_BYTES, m->rest);
	else
		lose(SOURCE_MAPPED, m->rest, KERNEL_LOST_CPU);
}

/* MM is not the current task's. */
static __always_inline void mark_other(struct mm_struct *mm, bool has_own, u32 pid)
{
	u64 key = (u64)mm, pages = BPF_CORE_READ(mm, data_vm);
	int users = BPF_CORE_READ(mm, mm_users.counter);
	if (!users) {
		struct mark *m = bpf_map_lookup_elem(&marks, &key);
		if (!m)
			return;
		if (m->rest)
			mark_rest(m, pid);
		bpf_map_delete_elem(&marks, &key);
	} else if ((!pages || (users == 1 && has_own)) && (!only_listed || wanted(pid))) {
		mark_begins(key, pages, BPF_ANY);
	}
}

/* Where the cgroup's path is told, before `write`: its record has it too. The first was that of all three tracepoints. */
static __always_inline bool tells_path(void)
{
	struct trace_event_raw_mmap_lock *all = 0;
	struct trace_event_raw_mmap_lock_released *one = 0;
	return bpf_core_field_exists(all->__data_loc_memcg_path) ||
	       bpf_core_field_exists(one->__data_loc_memcg_path);
}

SEC("raw_tp/mmap_lock_released")
int memory_mapped(void *ctx)
{
	u64 write;
	/* As the verifier wants it: the compiler would make one load of both. */
	if (tells_path())
		asm volatile("%0 = *(u64 *)(%1 + 16)" : "=r"(write) : "r"(ctx));
	else
		asm volatile("%0 = *(u64 *)(%1 + 8)" : "=r"(write) : "r"(ctx));
	if (!(write & 0xff))
		return 0;
	struct mm_struct *mm = *(struct mm_struct **)ctx;
	struct task_struct *task = current_task();
	u64 key = (u64)mm, own = (u64)OF_TASK(task, mm, mm);
	u32 pid = (u32)(bpf_get_current_pid_tgid() >> 32);
	if (key != own) {
		mark_other(mm, own, pid);
		return 0;
	}
	u64 pages = OF_TASK(task, mm->data_vm, mm, data_vm); /* its own: here time counts */
	if (only_listed && !wanted(pid))
		return 0;
	struct mark *m = bpf_map_lookup_elem(&marks, &key);
	if (!m) {
		mark_begins(key, pages, BPF_NOEXIST);
		return 0;
	}
	if (pages <= m->pages)
		return 0;
	u64 bytes = (pages - m->pages) * memory_page, growths = 1;
	m->pages = pages;
	m->pid = pid;
	if (!wanted(pid))
		return 0;
	count(KERNEL_MAPPED, 1);
	count(KERNEL_MAPPED_BYTES, bytes);
	struct scratch *x = scratch_of_cpu();
	if (!x) {
		lose(SOURCE_MAPPED, bytes, KERNEL_LOST_CPU);
		return 0;
	}
	u64 shift = growth_shift(x);
	u64 large = bytes < mapped_sample << shift ? 0 : bytes;
	u64 gathered = ((m->rest + bytes - large) / mapped_sample >> shift << shift) * mapped_sample;
	m->rest += bytes;
	m->growths++;
	if (!(large + gathered))
		return 0;
	x->growths++;
	if (gathered)
		growths = m->growths;
	m->rest -= large + gathered;
	m->growths -= growths;
	hand_over(ctx, &raw_takers, SOURCE_MAPPED, large + gathered, growths, MAPPED_GROWTH);
	return 0;
}

/* Run once, when the hook is there: processes that were there before. */
SEC("iter/task")
int mapped_before(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	if (!task)
		return 0;
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	if (mm && (!only_listed || wanted((u32)BPF_CORE_READ(task, tgid))))
		mark_begins((u64)mm, BPF_CORE_READ(mm, data_vm), BPF_NOEXIST);
	return 0;
}
