// SPDX-License-Identifier: Apache-2.0
// Chunks and the runs of blocks in them. Nothing that the walker may be reading changes: it is
// replaced, and what it took up rests before it is used again.
//
//   free --take--> taken (published) --rest--> fresh --turn--> resting --turn--> free
//
// A turn comes after TURN_NS and a step at least, so that rest is one to two turns; a walk takes
// microseconds. Blocks, windows and process slots all rest like this.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "../../bpf/table.h"

struct kernel_tables;

// Bits, one for each thing; three rows of words: taken (fresh and resting are), resting, fresh.
struct pool {
	uint32_t bits, free, rest; // of all, how many are free, how many will be once they rested
	uint64_t words[];
};
#define POOL_NONE UINT32_MAX
struct pool *pool_new(uint32_t bits); // a multiple of 64
// COUNT free ones in a row, the lowest or (TOP) the highest; LATER: as it will be when everything
// has rested. POOL_NONE: none.
uint32_t pool_find(const struct pool *p, uint32_t count, bool top, bool later);
void pool_take(struct pool *p, uint32_t first, uint32_t count);
void pool_rest(struct pool *p, uint32_t first, uint32_t count);
void pool_drop(struct pool *p, uint32_t first, uint32_t count); // nobody ever saw it: free at once
void pool_turn(struct pool *p);
bool pool_is_free(const struct pool *p, uint32_t i);
bool pool_is_taken(const struct pool *p, uint32_t i); // and not at rest

// The lowest chunk with room is filled, so that the highest empty; rows from the bottom, mappings
// from the top, so that the small and lasting do not lie between the large.
struct region {
	uint16_t chunk, first;
	uint16_t count; // 0: none
};
struct store {
	const struct kernel_tables *tables;
	uint64_t memory;
	struct pool **chunks; // NULL: not open
	uint32_t open;
	uint32_t taken; // blocks, without those at rest
	uint16_t generation;
};
int store_init(struct store *s, const struct kernel_tables *tables, uint64_t memory);
void store_clear(struct store *s);
// 0, -ENOSPC (no room, none allowed) or what opening a chunk gave.
int store_take(struct store *s, uint32_t count, bool top, struct region *r);
// Will there be room for COUNT in the open chunks when everything has rested?
bool store_fits(const struct store *s, uint32_t count);
int store_write(struct store *s, const struct region *r, const struct block *blocks);
void store_rest(struct store *s, struct region *r); // *R is none then
void store_drop(struct store *s, struct region *r);
void store_turn(struct store *s);
bool store_tidy(struct store *s); // closes one empty chunk; false: there is none
void store_close(struct store *s, uint32_t chunk);
bool store_may_open(const struct store *s);
bool store_is_low(const struct store *s);    // so full that it is time to let something go
uint32_t store_share(const struct store *s); // blocks that one process may take
uint64_t store_bytes(const struct store *s);
// Bytes that this room's own memory may still take; beyond the limit 0.
uint64_t store_left(const struct store *s);
