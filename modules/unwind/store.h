// SPDX-License-Identifier: Apache-2.0
// Pages of the walker's tables, and the numbers of windows and process slots.
//
//   free --take--> taken (published) --rest--> fresh --turn--> resting --turn--> free
//
// Windows and slots rest before another has them, since a walk knows them by these numbers. A turn
// comes after TURN_NS and a step at least, so that rest is one to two turns; a walk takes
// microseconds. Pages go at once: their numbers are not used again.
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
// The lowest COUNT free ones in a row; LATER: as it will be when everything has rested. POOL_NONE:
// none.
uint32_t pool_find(const struct pool *p, uint32_t count, bool later);
void pool_take(struct pool *p, uint32_t first, uint32_t count);
void pool_rest(struct pool *p, uint32_t first, uint32_t count);
void pool_turn(struct pool *p);
bool pool_is_free(const struct pool *p, uint32_t i);
bool pool_is_taken(const struct pool *p, uint32_t i); // and not at rest

// Blocks of a window or process, in pages of their own.
struct region {
	uint32_t page;	// number of the first
	uint16_t count; // blocks, without those of an index; 0: none
	uint16_t kind;	// enum page_kind
};
struct store {
	const struct kernel_tables *tables;
	uint64_t memory;
	uint32_t next[PAGE_KINDS]; // number of a page that was not used yet
	uint32_t pages[PAGE_KINDS];
	uint64_t base, build; // own memory while nothing is built, and what building takes more
};
struct store store_new(const struct kernel_tables *tables, uint64_t memory);
// Writes COUNT BLOCKS (1 to REGION_BLOCKS), rows with an index before their dictionary of RULES
// blocks. 0, -ENOSPC (no room, none allowed) or what making a page gave; then *R is as it was.
int store_put_rows(
    struct store *s, const struct block *blocks, uint32_t rules, uint32_t count, struct region *r);
int store_put_mappings(
    struct store *s, const struct block *blocks, uint32_t count, struct region *r);
void store_drop(struct store *s, struct region *r);	   // nothing points to it; *R is none then
uint32_t store_pages(enum page_kind kind, uint32_t count); // that COUNT blocks take, with an index
uint32_t store_room(const struct store *s, enum page_kind kind); // pages that may be made now
uint32_t store_share(const struct store *s);			 // blocks that one process may take
uint64_t store_bytes(const struct store *s);
// Bytes that this room's own memory may still take; beyond the limit 0.
uint64_t store_left(const struct store *s);
// Nothing is being built; what was last took at most PEAK bytes. So much rows leave free from now
// on, within bounds, and less by and by.
void store_rests(struct store *s, uint64_t peak);
