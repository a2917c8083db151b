/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * The maps that table.h draws, and how the walker looks into them.
 *
 * Everything found may be replaced meanwhile: what is read of it counts only if the place says the
 * same before and after. A page that is let go may at once become another one under the eyes of
 * whoever reads it; but between the place's being changed and that lie two system calls.
 */
#pragma once
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

#include "table.h"

/* Set before loading; false: there are no tables (the maps have one element), frame pointers only. */
const volatile bool use_tables = false;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, WINDOWS_MAX);
	__type(key, u32);
	__type(value, struct window);
} windows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PROCESS_SLOTS);
	__type(key, u32);
	__type(value, struct process_slot);
} process_slots SEC(".maps");

/*
 * Set before loading: how many, as unwind.memory allows, and BPF_F_NO_PREALLOC where the kernel lets
 * a perf event's program have such (6.1).
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__uint(value_size, ROW_PAGE_BLOCKS * BLOCK_BYTES);
} row_pages SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__uint(value_size, MAPPING_PAGE_BLOCKS * BLOCK_BYTES);
} mapping_pages SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RECENT_ROWS);
	__type(key, u32);
	__type(value, struct recent_row);
} recent_rows SEC(".maps");

/* A place as it is now: read once, not guessed twice by the compiler. */
#define PLACE_NOW(x) (*(volatile const u64 *)&(x)->place)

static __always_inline struct window *table_window(u32 index)
{
	return bpf_map_lookup_elem(&windows, &index);
}

static __always_inline struct recent_row *table_recent(u32 slot)
{
	return bpf_map_lookup_elem(&recent_rows, &slot);
}

/* NULL: it is not there (any more). */
static __always_inline struct block *table_page(enum page_kind kind, u32 page)
{
	return kind == PAGE_ROWS ? bpf_map_lookup_elem(&row_pages, &page)
				 : bpf_map_lookup_elem(&mapping_pages, &page);
}

/*
 * The slot of a program, and its place into *PLACE; NULL: it is in none. A free slot ends nothing:
 * one that lay before has been freed.
 */
static __always_inline struct process_slot *table_process(u32 pid, u32 mm_id, u64 *place)
{
	u32 first = process_hash(pid, mm_id);
	for (u32 i = 0; i < PROCESS_PROBES; i++) {
		u32 at = (first + i) & (PROCESS_SLOTS - 1);
		struct process_slot *slot = bpf_map_lookup_elem(&process_slots, &at);
		if (!slot)
			return 0;
		u64 now = PLACE_NOW(slot);
		if (now && slot->pid == pid && slot->mm_id == mm_id) {
			*place = now;
			return slot;
		}
	}
	return 0;
}
