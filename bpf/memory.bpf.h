/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Who makes memory resident. A fault counts as one page, and every so many of them one is sampled.
 * What a fault brings beyond that page is counted where it happens, in bytes:
 *
 *   memory_tick     page faults of a CPU (perf)         1 page each, one in memory_sample_bytes
 *   memory_huge     mm_page_alloc, larger than a page   huge pages for a process
 *   memory_around   mm_filemap_map_pages (6.11)         pages of a file around the one that was touched
 *        '--- enough for a sample: it is taken
 *
 * memory_huge runs at every allocation of a page, for nothing where no huge page is asked for: user space
 * attaches it while some are (modules/kernel/memory.c).
 */
#pragma once
#include "hand.bpf.h"

/* Set before loading. */
const volatile u64 memory_sample_bytes = 1 << 20; /* what a sample stands for */
const volatile u64 memory_page = 4096;
const volatile s64 memory_unsure = 128; /* pages that a counter of a process may be off */

/* struct bpf_perf_event_data: registers, period, address. */
#define SAMPLE_ADDRESS(ctx) OF_SAMPLE(ctx, REGS_WORDS + 1)

SEC("perf_event")
int memory_tick(void *ctx)
{
	u64 bytes = rates_draw(memory_sample_bytes);
	if (bytes)
		hand_over(ctx, &tick_takers, SOURCE_MEMORY, bytes, SAMPLE_ADDRESS(ctx), 0);
	return 0;
}

/*
 * The current process got PAGES beyond those that faults count. Few of them wait until they make a sample with what
 * others got on this CPU; many are a sample of their own.
 */
static __always_inline int memory_grew(void *ctx, u64 pages, enum memory_kind kind)
{
	struct scratch *x = scratch_of_cpu();
	u64 bytes = pages * memory_page;
	if (!x)
		return 0;
	if (bytes < memory_sample_bytes) {
		bytes += x->memory_bytes;
		x->memory_bytes = bytes;
		if (bytes < memory_sample_bytes)
			return 0;
		x->memory_bytes = bytes - memory_sample_bytes;
		bytes = memory_sample_bytes;
	}
	bytes = rates_draw(bytes);
	if (bytes)
		hand_over(ctx, &raw_takers, SOURCE_MEMORY, bytes, 0, (u8)kind);
	return 0;
}

/*
 * The tracepoint tells of a window around the page: some of it may not be mapped, and from 6.18 on more is where the
 * file's cache has large pieces. Of a process with one thread its counters (mm->rss_stat) tell better what came since
 * the last time; what of it faults count as a page each goes off. What other faults brought, as huge pages of
 * a file, is told at the next one that passes here, under a name that says so.
 *
 *   of files:  then |-- faults that gave no anonymous page --|-- beyond these: owed --| now
 */
struct around {
	u64 mm;
	u64 faults;
	s64 files, anon; /* pages of the process that were told of */
};

#define AROUNDS 256 /* processes, by a hash: two in one place begin anew by turns */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, AROUNDS);
	__type(key, u32);
	__type(value, struct around);
} arounds SEC(".maps");

static __always_inline struct around *around_of(u64 mm)
{
	u32 slot = fold(mm) % AROUNDS;
	return bpf_map_lookup_elem(&arounds, &slot);
}

/*
 * The kernel's include/linux/gfp_types.h (linux/gfp.h), numbers that no type information tells. A huge page for a
 * process (vma_thp_gfp_mask) may be moved, is one piece, and touches no reserve, which pages of a file's cache may.
 * A page that takes the place of one on another node has to come from there; a first one is not tried hard for there.
 */
enum {
	GFP_MOVABLE = 0x8,
	GFP_NORETRY = 0x10000,
	GFP_COMP = 0x40000,
	GFP_NOMEMALLOC = 0x80000,
	GFP_THISNODE = 0x200000,
};

SEC("raw_tp/mm_page_alloc")
int BPF_PROG(memory_huge, void *page, u32 order, u32 gfp)
{
	const u32 all = GFP_MOVABLE | GFP_COMP | GFP_NOMEMALLOC;
	if (!order || (gfp & all) != all || !page)
		return 0;
	if ((gfp & (GFP_THISNODE | GFP_NORETRY)) == GFP_THISNODE)
		return 0;
	/* khugepaged puts pages together that were there before. */
	if (OF_TASK(current_task(), flags, flags) & PF_KTHREAD ||
	    !wanted((u32)(bpf_get_current_pid_tgid() >> 32)))
		return 0;
	u64 pages = (1ull << (order & 31)) - 1, mm = (u64)BPF_CORE_READ(current_task(), mm);
	struct around *a = around_of(mm);
	if (a && a->mm == mm)
		a->anon += (s64)pages;
	return memory_grew(ctx, pages, MEMORY_BEYOND);
}

/* How many pages came beside those of faults; WINDOW where nothing says better. */
static __always_inline u64 around_owed(struct task_struct *task, u64 window)
{
	struct mm_struct___counted *mm = (void *)BPF_CORE_READ(task, mm);
	struct around *a = around_of((u64)mm);
	if (!a || !mm || !bpf_core_field_exists(mm->rss_stat))
		return window;
	if (BPF_CORE_READ(task, signal, nr_threads) != 1) {
		if (a->mm == (u64)mm)
			a->mm = 0; /* when it has one again, all this is told */
		return window;
	}
	/* MM_FILEPAGES, MM_SHMEMPAGES, MM_ANONPAGES */
	s64 files = BPF_CORE_READ(mm, rss_stat[0].count) + BPF_CORE_READ(mm, rss_stat[3].count);
	s64 anon = BPF_CORE_READ(mm, rss_stat[1].count);
	u64 faults = BPF_CORE_READ(task, min_flt) + BPF_CORE_READ(task, maj_flt);
	s64 passed = (s64)(faults - a->faults), of_files = passed - (anon - a->anon);
	bool known = a->mm == (u64)mm && passed >= 0;
	a->mm = (u64)mm;
	a->faults = faults;
	a->anon = anon;
	if (of_files > passed)
		of_files = passed; /* anonymous pages were let go */
	/* What this fault brought is there, but it does not count among them yet. */
	s64 owed = files - 1 - (a->files + of_files);
	if (!known || owed < -memory_unsure) {
		a->files = files - 1;
		return known ? 0 : window;
	}
	a->files += of_files;
	if (owed <= 0)
		return 0;
	a->files += owed;
	return (u64)owed;
}

SEC("raw_tp/mm_filemap_map_pages")
int BPF_PROG(memory_around, void *mapping, u64 first, u64 last)
{
	u64 window = last - first, huge = memory_page / 8; /* pages */
	if (!mapping || window >= huge || !wanted((u32)(bpf_get_current_pid_tgid() >> 32)))
		return 0;
	u64 pages = around_owed((void *)bpf_get_current_task(), window);
	return memory_grew(ctx, pages, pages < huge ? MEMORY_BEYOND : MEMORY_BEFORE);
}
