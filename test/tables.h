// SPDX-License-Identifier: Apache-2.0
// The tables of bpf/table.h in plain memory, for the walker compiled in user space.
#pragma once
#include <stdlib.h>
#include <string.h>

#include "../bpf/table.h"
#include "../modules/base/mem.h"
#include "../modules/unwind/block.h"

struct tables {
	struct window windows[WINDOWS_MAX];
	struct process_slot processes[PROCESS_SLOTS];
	struct block *chunk[CHUNKS_MAX];
	uint32_t chunks, next; // the last one is filled up to block `next`
	uint16_t generation;
};

// Room for COUNT blocks: its chunk and first block.
static inline int tables_room(struct tables *t, uint32_t count, uint32_t *chunk, uint32_t *first)
{
	if (count > CHUNK_BLOCKS)
		return -1;
	if (!t->chunks || t->next + count > CHUNK_BLOCKS) {
		if (t->chunks == CHUNKS_MAX)
			return -1;
		t->chunk[t->chunks] = calloc(CHUNK_BLOCKS, sizeof(struct block));
		if (!t->chunk[t->chunks++])
			return -1;
		t->next = 0;
	}
	*chunk = t->chunks - 1;
	*first = t->next;
	t->next += count;
	return 0;
}

// ROWS become those of WINDOW. 0 or -1.
static inline int tables_rows(struct tables *t, uint32_t window, const struct rows *rows)
{
	struct block *blocks;
	uint32_t dictionary, count, chunk, first;
	if (blocks_encode(rows, &blocks, &dictionary, &count))
		return -1;
	int rc = tables_room(t, dictionary + count, &chunk, &first);
	if (!rc) {
		memcpy(t->chunk[chunk] + first, blocks, (dictionary + count) * sizeof(*blocks));
		t->windows[window].place =
		    PLACE_OF_WINDOW(chunk, first, dictionary, count, WINDOW_ROWS, ++t->generation);
	}
	mem_free(blocks);
	return rc;
}

static inline void tables_state(struct tables *t, uint32_t window, enum window_state state)
{
	t->windows[window].place = PLACE_OF_WINDOW(0, 0, 0, 0, state, ++t->generation);
}

// MAPPINGS (sorted) become those of the process; COUNT 0 takes it out. 0 or -1.
static inline int tables_process(
    struct tables *t, uint32_t pid, uint32_t mm_id, const struct mapping *mappings, uint32_t count)
{
	uint32_t chunk, first, at = process_hash(pid, mm_id), slot = PROCESS_SLOTS;
	for (uint32_t i = 0; i < PROCESS_PROBES; i++) {
		const struct process_slot *s = t->processes + (at + i) % PROCESS_SLOTS;
		if (s->place && s->pid == pid && s->mm_id == mm_id) {
			slot = (at + i) % PROCESS_SLOTS;
			break;
		}
		if (!s->place && slot == PROCESS_SLOTS)
			slot = (at + i) % PROCESS_SLOTS;
	}
	if (slot == PROCESS_SLOTS)
		return -1;
	struct process_slot *s = t->processes + slot;
	*s = (struct process_slot){.pid = pid, .mm_id = mm_id};
	if (!count)
		return 0;
	if (tables_room(t, (count + MAPPINGS_PER_BLOCK - 1) / MAPPINGS_PER_BLOCK, &chunk, &first))
		return -1;
	memcpy(t->chunk[chunk] + first, mappings, count * sizeof(*mappings));
	s->place = PLACE_OF_PROCESS(chunk, first, count, ++t->generation);
	return 0;
}

// What a walker compiled in user space sees of them: see bpf/walk.bpf.h.
static inline struct process_slot *tables_slot(
    struct tables *t, uint32_t pid, uint32_t mm_id, u64 *place)
{
	for (uint32_t i = 0; i < PROCESS_PROBES; i++) {
		struct process_slot *s =
		    t->processes + (process_hash(pid, mm_id) + i) % PROCESS_SLOTS;
		if (s->place && s->pid == pid && s->mm_id == mm_id) {
			*place = s->place;
			return s;
		}
	}
	return NULL;
}

static inline struct window *tables_window(struct tables *t, uint32_t index)
{
	return index < WINDOWS_MAX ? t->windows + index : NULL;
}

static inline void *tables_chunk(const struct tables *t, uint32_t chunk)
{
	return chunk < CHUNKS_MAX ? t->chunk[chunk] : NULL;
}

static inline struct block *tables_block(void *chunk, uint32_t index)
{
	return index < CHUNK_BLOCKS ? (struct block *)chunk + index : NULL;
}

static inline void tables_free(struct tables *t)
{
	while (t->chunks)
		free(t->chunk[--t->chunks]);
	free(t);
}
