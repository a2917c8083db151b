// SPDX-License-Identifier: Apache-2.0
#include "store.h"

#include "../base/base.h"
#include "../kernel/kernel.h"

#include <errno.h>

// The most that stays free of chunks: a window of 60,000 rows can be built in it. For denser ones
// chunks are closed.
#define RESERVE_MAX (768u << 10)
#define READY_MAX CHUNK_BLOCKS // of blocks, the most that are kept free ahead of need

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

// The first COUNT blocks side by side, seen from the bottom or from the TOP.
static uint32_t find(const struct pool *p, uint32_t count, bool top, bool later)
{
	uint32_t run = 0, n = words_of(p);
	for (uint32_t k = 0; k < n; k++) {
		uint32_t i = top ? n - 1 - k : k;
		uint64_t word = closed_word(p, i, later);
		if (word == UINT64_MAX) {
			run = 0;
			continue;
		}
		if (!word && run + 64 < count) {
			run += 64;
			continue;
		}
		for (uint32_t b = 0; b < 64; b++) {
			uint32_t bit = top ? 63 - b : b;
			run = word >> bit & 1 ? 0 : run + 1;
			if (run == count)
				return i * 64 + bit - (top ? 0 : count - 1);
		}
	}
	return POOL_NONE;
}

uint32_t pool_find(const struct pool *p, uint32_t count, bool top, bool later)
{
	if (!count || count > p->free + (later ? p->rest : 0))
		return POOL_NONE;
	return find(p, count, top, later);
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

void pool_drop(struct pool *p, uint32_t first, uint32_t count)
{
	set_bits(p->words, first, count, false);
	p->free += count;
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

int store_init(struct store *s, const struct kernel_tables *tables, uint64_t memory)
{
	*s = (struct store){.tables = tables, .memory = memory};
	s->chunks = mem_alloc(ACCOUNT_UNWIND, tables->chunks_max * sizeof(*s->chunks));
	return s->chunks ? 0 : -ENOMEM;
}

void store_close(struct store *s, uint32_t chunk)
{
	s->tables->close(s->tables->arg, chunk);
	mem_free(s->chunks[chunk]);
	s->chunks[chunk] = NULL;
	s->open--;
}

void store_clear(struct store *s)
{
	for (uint32_t i = 0; s->chunks && i < s->tables->chunks_max; i++)
		if (s->chunks[i])
			store_close(s, i);
	mem_free(s->chunks);
	s->chunks = NULL;
}

uint64_t store_bytes(const struct store *s)
{
	return s->tables->fixed_bytes + s->open * s->tables->chunk_bytes;
}

uint64_t store_left(const struct store *s)
{
	uint64_t used = store_bytes(s) + mem_used(ACCOUNT_UNWIND);
	return used < s->memory ? s->memory - used : 0;
}

// Chunks leave something for what is being built: without it nothing could ever be loaded.
static uint64_t reserve_of(const struct store *s)
{
	uint64_t part = s->memory / 8 * 3;
	return part < RESERVE_MAX ? part : RESERVE_MAX;
}

bool store_may_open(const struct store *s)
{
	uint64_t own = mem_used(ACCOUNT_UNWIND) + 2 * CHUNK_BLOCKS, reserve = reserve_of(s);
	uint64_t after = store_bytes(s) + s->tables->chunk_bytes;
	return s->open < s->tables->chunks_max &&
	       after + (own > reserve ? own : reserve) <= s->memory;
}

static int open_lowest(struct store *s, uint32_t *chunk)
{
	uint32_t i = 0;
	if (!store_may_open(s))
		return -ENOSPC;
	while (s->chunks[i])
		i++;
	struct pool *p = pool_new(CHUNK_BLOCKS);
	int error = p ? s->tables->open(s->tables->arg, i) : -ENOMEM;
	if (error) {
		mem_free(p);
		return error;
	}
	s->chunks[i] = p;
	s->open++;
	*chunk = i;
	return 0;
}

// The lowest open chunk with room: its number, and the first block into *FIRST.
static uint32_t find_chunk(
    const struct store *s, uint32_t count, bool top, bool later, uint32_t *first)
{
	for (uint32_t i = 0, seen = 0; seen < s->open; i++) {
		if (!s->chunks[i])
			continue;
		seen++;
		*first = pool_find(s->chunks[i], count, top, later);
		if (*first != POOL_NONE)
			return i;
	}
	return POOL_NONE;
}

int store_take(struct store *s, uint32_t count, bool top, struct region *r)
{
	uint32_t first, chunk = find_chunk(s, count, top, false, &first);
	if (count > CHUNK_BLOCKS)
		return -ENOSPC;
	if (chunk == POOL_NONE) {
		int error = open_lowest(s, &chunk);
		if (error)
			return error;
		first = pool_find(s->chunks[chunk], count, top, false);
	}
	pool_take(s->chunks[chunk], first, count);
	s->taken += count;
	*r = (struct region){(uint16_t)chunk, (uint16_t)first, (uint16_t)count};
	return 0;
}

bool store_fits(const struct store *s, uint32_t count)
{
	uint32_t first;
	return find_chunk(s, count, false, true, &first) != POOL_NONE;
}

int store_write(struct store *s, const struct region *r, const struct block *blocks)
{
	return s->tables->write(s->tables->arg, r->chunk, r->first, blocks, r->count);
}

void store_rest(struct store *s, struct region *r)
{
	if (r->count)
		pool_rest(s->chunks[r->chunk], r->first, r->count);
	s->taken -= r->count;
	*r = (struct region){};
}

void store_drop(struct store *s, struct region *r)
{
	pool_drop(s->chunks[r->chunk], r->first, r->count);
	s->taken -= r->count;
	*r = (struct region){};
}

void store_turn(struct store *s)
{
	for (uint32_t i = 0; i < s->tables->chunks_max; i++)
		if (s->chunks[i])
			pool_turn(s->chunks[i]);
}

bool store_tidy(struct store *s)
{
	for (uint32_t i = s->tables->chunks_max; i-- > 0;)
		if (s->chunks[i] && s->chunks[i]->free == CHUNK_BLOCKS) {
			store_close(s, i);
			return true;
		}
	return false;
}

uint32_t store_share(const struct store *s)
{
	uint64_t rest = s->tables->fixed_bytes + reserve_of(s);
	uint64_t all = s->memory > rest ? (s->memory - rest) / s->tables->chunk_bytes : 0;
	all = all * CHUNK_BLOCKS / 8;
	return all < CHUNK_BLOCKS ? (uint32_t)all : CHUNK_BLOCKS;
}

bool store_is_low(const struct store *s)
{
	uint64_t all = (uint64_t)s->open * CHUNK_BLOCKS;
	uint64_t ready = all / 8 < READY_MAX ? all / 8 : READY_MAX;
	return !store_may_open(s) && s->taken > all - ready;
}
