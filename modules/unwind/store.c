// SPDX-License-Identifier: Apache-2.0
#include "store.h"

#include "../base/base.h"
#include "../kernel/kernel.h"

#include <errno.h>
#include <string.h>

// What rows leave free: what building the next is likely to take. A fifth of all until that is
// known; within it a window of 60,000 rows can be built. For denser ones rows go that nobody used
// lately.
#define BUILD_PART 5
#define BUILD_MIN (64u << 10)
#define BUILD_MAX (768u << 10)
#define BUILD_FADES 8 // by so much of it a time
#define SHARE_PART 2  // of the mappings' pages, for one process

static uint32_t words_of(const struct pool *p)
{
	return p->bits / 64;
}

struct pool *pool_new(uint32_t bits)
{
	struct pool *p = mem_alloc(ACCOUNT_UNWIND, sizeof(*p) + 3 * (bits / 8));
	if (p)
		p->bits = p->free = bits;
	return p;
}

// Which of 64 may not be had.
static uint64_t closed_word(const struct pool *p, uint32_t i, bool later)
{
	uint32_t n = words_of(p);
	return p->words[i] & ~(later ? p->words[n + i] | p->words[2 * n + i] : 0);
}

uint32_t pool_find(const struct pool *p, uint32_t count, bool later)
{
	uint32_t run = 0, n = words_of(p);
	if (!count || count > p->free + (later ? p->rest : 0))
		return POOL_NONE;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t word = closed_word(p, i, later);
		if (word == UINT64_MAX) {
			run = 0;
			continue;
		}
		if (!word && run + 64 < count) {
			run += 64;
			continue;
		}
		for (uint32_t bit = 0; bit < 64; bit++) {
			run = word >> bit & 1 ? 0 : run + 1;
			if (run == count)
				return i * 64 + bit - (count - 1);
		}
	}
	return POOL_NONE;
}

// Sets or clears COUNT bits of a row of words.
static void set_bits(uint64_t *words, uint32_t first, uint32_t count, bool on)
{
	for (uint32_t i = first; i < first + count; i++)
		words[i / 64] =
		    on ? words[i / 64] | 1ull << i % 64 : words[i / 64] & ~(1ull << i % 64);
}

void pool_take(struct pool *p, uint32_t first, uint32_t count)
{
	set_bits(p->words, first, count, true);
	p->free -= count;
}

void pool_rest(struct pool *p, uint32_t first, uint32_t count)
{
	set_bits(p->words + 2 * words_of(p), first, count, true);
	p->rest += count;
}

void pool_turn(struct pool *p)
{
	uint32_t n = words_of(p), rested = 0;
	if (!p->rest)
		return;
	for (uint32_t i = 0; i < n; i++) {
		rested += (uint32_t)__builtin_popcountll(p->words[n + i]);
		p->words[i] &= ~p->words[n + i];
		p->words[n + i] = p->words[2 * n + i];
		p->words[2 * n + i] = 0;
	}
	p->rest -= rested;
	p->free += rested;
}

bool pool_is_free(const struct pool *p, uint32_t i)
{
	return !(closed_word(p, i / 64, false) >> i % 64 & 1);
}

bool pool_is_taken(const struct pool *p, uint32_t i)
{
	return closed_word(p, i / 64, true) >> i % 64 & 1;
}

static uint64_t build_of(const struct store *s, uint64_t bytes)
{
	uint64_t most = s->memory / 8 * 3 < BUILD_MAX ? s->memory / 8 * 3 : BUILD_MAX;
	bytes = bytes > BUILD_MIN ? bytes : BUILD_MIN;
	return bytes < most ? bytes : most;
}

struct store store_new(const struct kernel_tables *tables, uint64_t memory)
{
	struct store s = {.tables = tables, .memory = memory, .base = mem_used(ACCOUNT_UNWIND)};
	s.build = build_of(&s, memory / BUILD_PART);
	return s;
}

void store_rests(struct store *s, uint64_t peak)
{
	uint64_t least = s->build - s->build / BUILD_FADES;
	s->base = mem_used(ACCOUNT_UNWIND);
	s->build = build_of(s, peak > least ? peak : least);
}

uint64_t store_bytes(const struct store *s)
{
	uint64_t bytes = s->tables->fixed_bytes;
	for (enum page_kind i = 0; i < PAGE_KINDS; i++)
		bytes += s->pages[i] * s->tables->page_bytes[i];
	return bytes;
}

uint64_t store_left(const struct store *s)
{
	uint64_t used = store_bytes(s) + mem_used(ACCOUNT_UNWIND);
	return used < s->memory ? s->memory - used : 0;
}

uint32_t store_pages(enum page_kind kind, uint32_t count)
{
	if (kind == PAGE_ROWS && count)
		count += index_blocks(count);
	return (count + PAGE_BLOCKS(kind) - 1) / PAGE_BLOCKS(kind);
}

uint32_t store_room(const struct store *s, enum page_kind kind)
{
	const struct kernel_tables *t = s->tables;
	uint64_t used = store_bytes(s), own = mem_used(ACCOUNT_UNWIND);
	uint64_t pages = t->pages_max[kind] - s->pages[kind], least = s->base + s->build;
	used += kind == PAGE_ROWS && own < least ? least : own;
	uint64_t left = used < s->memory ? s->memory - used : 0;
	if (t->page_bytes[kind] && left / t->page_bytes[kind] < pages)
		pages = left / t->page_bytes[kind];
	return (uint32_t)pages;
}

static void drop_pages(struct store *s, enum page_kind kind, uint32_t page, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		s->tables->drop(s->tables->arg, kind, page + i);
	s->pages[kind] -= count;
}

// What is to be written: an index, and the blocks.
struct content {
	enum page_kind kind;
	const struct block *blocks;
	uint32_t index, rules, count;
};

static void make_index(const struct content *c, struct block *index)
{
	for (uint32_t i = ROW_PAGE_BLOCKS - c->index, n = 0; i < c->count; i += ROW_PAGE_BLOCKS) {
		uint32_t base = i < c->rules ? 0 : c->blocks[i].bases[0];
		index[n / BASES_PER_BLOCK].bases[n % BASES_PER_BLOCK] = base;
		n++;
	}
}

static int put_page(struct store *s, const struct content *c, uint32_t number, uint32_t i)
{
	const struct kernel_tables *t = s->tables;
	uint32_t size = PAGE_BLOCKS(c->kind), left = c->index + c->count - i * size;
	uint32_t n = left < size ? left : size;
	if (i || !c->index)
		return t->put(t->arg, c->kind, number, c->blocks + i * size - c->index, n);
	struct block first[ROW_PAGE_BLOCKS] = {};
	make_index(c, first);
	memcpy(first + c->index, c->blocks, (n - c->index) * sizeof(*first));
	return t->put(t->arg, c->kind, number, first, n);
}

// All of them or none.
static int put_pages(struct store *s, const struct content *c, uint32_t page, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		int error = put_page(s, c, page + i, i);
		if (error) {
			drop_pages(s, c->kind, page, i);
			return error;
		}
		s->pages[c->kind]++;
	}
	return 0;
}

static int put(struct store *s, const struct content *c, struct region *r)
{
	uint32_t pages = store_pages(c->kind, c->count), page;
	int error;
	if (!c->count || c->count > REGION_BLOCKS || pages > store_room(s, c->kind))
		return -ENOSPC;
	// Where the numbers came round, some are those of what was there all the time.
	do {
		page = s->next[c->kind];
		s->next[c->kind] += pages;
		error = put_pages(s, c, page, pages);
	} while (error == -EEXIST);
	if (!error)
		*r = (struct region){page, (uint16_t)c->count, (uint16_t)c->kind};
	return error;
}

int store_put_rows(
    struct store *s, const struct block *blocks, uint32_t rules, uint32_t count, struct region *r)
{
	uint32_t index = count ? index_blocks(count) : 0;
	return put(s, &(struct content){PAGE_ROWS, blocks, index, rules, count}, r);
}

int store_put_mappings(
    struct store *s, const struct block *blocks, uint32_t count, struct region *r)
{
	return put(s, &(struct content){PAGE_MAPPINGS, blocks, 0, 0, count}, r);
}

void store_drop(struct store *s, struct region *r)
{
	drop_pages(s, r->kind, r->page, store_pages(r->kind, r->count));
	*r = (struct region){};
}

uint32_t store_share(const struct store *s)
{
	uint64_t all = s->tables->pages_max[PAGE_MAPPINGS];
	all = all * MAPPING_PAGE_BLOCKS / SHARE_PART;
	return all < REGION_BLOCKS ? (uint32_t)all : REGION_BLOCKS;
}
