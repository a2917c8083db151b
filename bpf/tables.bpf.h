/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * The maps that table.h draws, and how the walker looks into them.
 *
 * Everything found may be replaced meanwhile: what is read of it counts only if the place says the
 * same before and after. Nothing is used again within a second of being replaced, so that a walk,
 * which takes microseconds, never reads half of one thing and half of another.
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

/* What modules/kernel/table.c makes must have the same type, sizes and flags. */
struct chunk {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CHUNK_BLOCKS);
	__uint(key_size, 4);
	__uint(value_size, BLOCK_BYTES);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, CHUNKS_MAX); /* as many as unwind.memory allows, set before loading */
	__type(key, u32);
	__array(values, struct chunk);
} chunks SEC(".maps");

/* A place as it is now: read once, not guessed twice by the compiler. */
#define PLACE_NOW(x) (*(volatile const u64 *)&(x)->place)

static __always_inline struct window *table_window(u32 index)
{
	return bpf_map_lookup_elem(&windows, &index);
}

/* NULL: not open (any more). */
static __always_inline void *table_chunk(u32 chunk)
{
	return bpf_map_lookup_elem(&chunks, &chunk);
}

/* BLOCK of a chunk that table_chunk gave. */
static __always_inline struct block *table_block(void *chunk, u32 block)
{
	return bpf_map_lookup_elem(chunk, &block);
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
