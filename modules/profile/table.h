// SPDX-License-Identifier: Apache-2.0
// The profile's tables: items of one size in chunks that never move, and an index that finds equal
// ones.
//
//   chunks  at -> [2^shift items] [2^shift items] ...   position P is at[P >> shift][P & mask]
//   index   {hash, id} x power of two, at most 3/4 full; id 0 marks a free slot
//   table   chunks of single items whose id is position + 1, with an index over them
//
// The index keeps the hash so that growing it never touches the items: a store of 60,000 stacks
// grows in a fraction of a millisecond.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/base.h"

struct chunks {
	enum account account;
	uint32_t item_size, shift;
	uint32_t used;	     // the next free position
	uint32_t count, cap; // chunks there, pointers in `at`
	char **at;
};
struct index_slot {
	uint32_t hash, id;
};
struct index {
	struct index_slot *slots;
	uint32_t mask, count;
};
struct table {
	struct chunks items;
	struct index index;
};

// Room for N (at most 2^shift) items side by side: 0 or -ENOMEM. The next push of as many cannot
// fail.
int chunks_reserve(struct chunks *c, uint32_t n);
uint32_t chunks_push(struct chunks *c, uint32_t n); // position of N zeroed items
static inline void *chunks_at(const struct chunks *c, uint32_t position)
{
	return c->at[position >> c->shift] +
	       (size_t)(position & ((1u << c->shift) - 1)) * c->item_size;
}
void chunks_free(struct chunks *c);
size_t chunks_bytes(const struct chunks *c);

void table_init(struct table *t, enum account account, size_t item_size, uint32_t shift);
void table_free(struct table *t);
void table_free_index(struct table *t); // nothing will be added any more
size_t table_bytes(const struct table *t);
static inline uint32_t table_count(const struct table *t)
{
	return t->items.used;
}
static inline void *table_item(const struct table *t, uint32_t id)
{
	return chunks_at(&t->items, id - 1);
}
// The id of the item that SAME calls equal to KEY, or 0.
uint32_t table_find(const struct table *t, uint32_t hash,
    bool (*same)(const void *item, const void *key), const void *key);
int table_reserve(struct table *t);		     // room for one more, in items and index
uint32_t table_push(struct table *t, uint32_t hash); // after table_reserve: the id of a zeroed item
