// SPDX-License-Identifier: Apache-2.0
// Encoding goes over the rows twice, the first time without output: then it is known how many
// blocks they take, and the one block of memory is as large as it must be.
#include "block.h"

#include "../base/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct stream {
	struct block *blocks; // NULL: only counts
	uint32_t count;	      // begun
	uint32_t used;	      // bytes of the newest one
};

static uint32_t number_size(uint32_t n)
{
	return n < ESCAPE ? 1 : 3;
}

static void put_number(struct stream *s, uint32_t n)
{
	uint8_t *to = s->blocks ? s->blocks[s->count - 1].bytes + s->used : NULL;
	s->used += number_size(n);
	if (!to)
		return;
	to[0] = n < ESCAPE ? (uint8_t)n : ESCAPE;
	if (n >= ESCAPE) {
		to[1] = (uint8_t)n;
		to[2] = (uint8_t)(n >> 8);
	}
}

// A row at AT, DELTA behind the one before it.
static void put_row(struct stream *s, uint32_t at, uint32_t delta, uint32_t rule)
{
	uint32_t size = number_size(delta) + number_size(rule);
	if (s->count && delta <= UINT16_MAX && s->used + size <= BLOCK_BYTES) {
		put_number(s, delta);
	} else {
		s->count++;
		s->used = ROWS_STREAM;
		if (s->blocks)
			memcpy(s->blocks[s->count - 1].bytes, &at, sizeof(at));
	}
	put_number(s, rule);
}

// RANK: where in the dictionary a rule stands.
static void put_rows(struct stream *s, const struct rows *rows, const uint16_t *rank)
{
	for (uint32_t i = 0; i < rows->count; i++) {
		const struct row *r = &rows->row[i];
		put_row(s, r->at, i ? r->at - r[-1].at : 0, rank[r->rule]);
	}
}

static int by_number_downwards(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? 1 : x > y ? -1 : 0;
}

// RANK of each rule by how often it is used; of those used equally often the earlier goes first.
static int rank_rules(const struct rows *rows, uint16_t *rank)
{
	uint64_t *uses = mem_alloc(ACCOUNT_UNWIND, rows->rule_count * sizeof(*uses));
	if (!uses)
		return -ENOMEM;
	for (uint32_t i = 0; i < rows->rule_count; i++)
		uses[i] = UINT32_MAX - i;
	for (uint32_t i = 0; i < rows->count; i++)
		uses[rows->row[i].rule] += 1ull << 32;
	qsort(uses, rows->rule_count, sizeof(*uses), by_number_downwards);
	for (uint32_t i = 0; i < rows->rule_count; i++)
		rank[UINT32_MAX - (uint32_t)uses[i]] = (uint16_t)i;
	mem_free(uses);
	return 0;
}

static int encode(const struct rows *rows, const uint16_t *rank, struct block **blocks,
    uint32_t *dictionary, uint32_t *count)
{
	struct stream s = {};
	uint32_t rules = (rows->rule_count + RULES_PER_BLOCK - 1) / RULES_PER_BLOCK;
	put_rows(&s, rows, rank);
	if (rules + s.count > REGION_BLOCKS)
		return -E2BIG;
	struct block *out = mem_alloc(ACCOUNT_UNWIND, (rules + s.count) * sizeof(*out));
	if (!out)
		return -ENOMEM;
	for (uint32_t i = 0; i < rows->rule_count; i++)
		memcpy(&out[rank[i] / RULES_PER_BLOCK].words[rank[i] % RULES_PER_BLOCK],
		    &rows->rules[i], sizeof(*rows->rules));
	*dictionary = rules;
	*count = s.count;
	s = (struct stream){.blocks = out + rules};
	put_rows(&s, rows, rank);
	*blocks = out;
	return 0;
}

int blocks_encode(
    const struct rows *rows, struct block **blocks, uint32_t *dictionary, uint32_t *count)
{
	// The walker never meets a window without rows: one says that there is nothing.
	struct row nothing = {};
	struct rule none = {.kind = RULE_NONE};
	const struct rows empty = {.row = &nothing, .rules = &none, .count = 1, .rule_count = 1};
	if (!rows->count)
		rows = &empty;
	if (rows->rule_count > RULES_MAX)
		return -E2BIG;
	uint16_t *rank = mem_alloc(ACCOUNT_UNWIND, rows->rule_count * sizeof(*rank));
	if (!rank)
		return -ENOMEM;
	int error = rank_rules(rows, rank);
	if (!error)
		error = encode(rows, rank, blocks, dictionary, count);
	mem_free(rank);
	return error;
}

// A number of the stream at *AT; 0 where the block ends.
static uint32_t take_number(const struct block *b, uint32_t *at)
{
	if (*at >= BLOCK_BYTES)
		return 0;
	uint32_t n = b->bytes[(*at)++];
	if (n != ESCAPE)
		return n;
	if (*at + 2 > BLOCK_BYTES)
		return 0;
	n = b->bytes[*at] | (uint32_t)b->bytes[*at + 1] << 8;
	*at += 2;
	return n;
}

static uint32_t base_of(const struct block *b)
{
	uint32_t base;
	memcpy(&base, b->bytes, sizeof(base));
	return base;
}

struct rule blocks_find(
    const struct block *blocks, uint32_t dictionary, uint32_t count, uint32_t at)
{
	struct rule found = {.kind = RULE_NONE};
	uint32_t lo = 0, hi = count; // the last block with base <= AT lies in [lo - 1, hi)
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (base_of(&blocks[dictionary + mid]) <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return found;
	const struct block *b = &blocks[dictionary + lo - 1];
	uint32_t offset = base_of(b), i = ROWS_STREAM, rule = take_number(b, &i), delta;
	while ((delta = take_number(b, &i)) && offset + delta <= at) {
		offset += delta;
		rule = take_number(b, &i);
	}
	if (rule < dictionary * RULES_PER_BLOCK)
		memcpy(&found, &blocks[rule / RULES_PER_BLOCK].words[rule % RULES_PER_BLOCK],
		    sizeof(found));
	return found;
}
