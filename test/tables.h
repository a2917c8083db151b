// SPDX-License-Identifier: Apache-2.0
// The tables of bpf/table.h in plain memory, for the walker compiled in user space.
#pragma once
#include <stdlib.h>
#include <string.h>

#include "../bpf/table.h"
#include "../modules/base/mem.h"
#include "../modules/unwind/block.h"

#define TABLES_PAGES 65536

struct tables {
	struct window windows[WINDOWS_MAX];
	struct process_slot processes[PROCESS_SLOTS];
	struct block *page[PAGE_KINDS][TABLES_PAGES]; // by number
	uint32_t next[PAGE_KINDS];
	struct recent_row recent[RECENT_ROWS];
};

// COUNT BLOCKS into pages of their own, the number of the first into *PAGE. 0 or -1.
static inline int tables_put(
    struct tables *t, enum page_kind kind, const void *blocks, uint32_t count, uint32_t *page)
{
	const struct block *from = blocks;
	uint32_t size = PAGE_BLOCKS(kind);
	*page = t->next[kind];
	for (uint32_t at = 0; at < count; at += size) {
		struct block *to = calloc(size, sizeof(*to));
		if (t->next[kind] == TABLES_PAGES || !to)
			return free(to), -1;
		memcpy(to, from + at, (count - at < size ? count - at : size) * sizeof(*to));
		t->page[kind][t->next[kind]++] = to;
	}
	return 0;
}

// ROWS become those of WINDOW, with their index. 0 or -1.
static inline int tables_rows(struct tables *t, uint32_t window, const struct rows *rows)
{
	struct block *blocks, *all;
	uint32_t dictionary, count, page;
	if (blocks_encode(rows, &blocks, &dictionary, &count))
		return -1;
	uint32_t index = index_blocks(dictionary + count), total = index + dictionary + count;
	all = calloc(total, sizeof(*all));
	if (all)
		memcpy(all + index, blocks, (dictionary + count) * sizeof(*blocks));
	for (uint32_t i = 1; all && i * ROW_PAGE_BLOCKS < total; i++)
		if (i * ROW_PAGE_BLOCKS >= index + dictionary)
			all[(i - 1) / 16].bases[(i - 1) % 16] = all[i * ROW_PAGE_BLOCKS].bases[0];
	int rc = all ? tables_put(t, PAGE_ROWS, all, total, &page) : -1;
	if (!rc) {
		t->windows[window].place = PLACE_OF_WINDOW(page, dictionary, count, WINDOW_ROWS);
		t->windows[window].generation++;
	}
	mem_free(blocks);
	free(all);
	return rc;
}

static inline void tables_state(struct tables *t, uint32_t window, enum window_state state)
{
	t->windows[window].place = PLACE_OF_WINDOW(0, 0, 0, state);
	t->windows[window].generation++;
}

// MAPPINGS (sorted) become those of the process; COUNT 0 takes it out. 0 or -1.
static inline int tables_process(
    struct tables *t, uint32_t pid, uint32_t mm_id, const struct mapping *mappings, uint32_t count)
{
	struct block blocks[REGION_BLOCKS] = {};
	uint32_t page, at = process_hash(pid, mm_id), slot = PROCESS_SLOTS;
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
	if (count > MAPPINGS_PER_PROCESS)
		return -1;
	memcpy(blocks, mappings, count * sizeof(*mappings));
	if (tables_put(t, PAGE_MAPPINGS, blocks,
		(count + MAPPINGS_PER_BLOCK - 1) / MAPPINGS_PER_BLOCK, &page))
		return -1;
	s->place = PLACE_OF_PROCESS(page, count);
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

static inline struct block *tables_page(const struct tables *t, enum page_kind kind, uint32_t page)
{
	return page < t->next[kind] ? t->page[kind][page] : NULL;
}

static inline void tables_free(struct tables *t)
{
	for (enum page_kind i = 0; i < PAGE_KINDS; i++)
		while (t->next[i])
			free(t->page[i][--t->next[i]]);
	free(t);
}
