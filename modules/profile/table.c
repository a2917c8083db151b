// SPDX-License-Identifier: Apache-2.0
#include "table.h"

#include <errno.h>

int chunks_reserve(struct chunks *c, uint32_t n)
{
	uint32_t size = 1u << c->shift, left = (c->count << c->shift) - c->used;
	if (n <= left)
		return 0;
	if (n > size || c->count >= (UINT32_MAX >> c->shift) - 1)
		return -ENOMEM;
	if (c->count == c->cap) {
		uint32_t cap = c->cap ? c->cap * 2 : 4;
		char **at = mem_resize(c->account, c->at, cap * sizeof(*at));
		if (!at)
			return -ENOMEM;
		c->at = at;
		c->cap = cap;
	}
	char *chunk = mem_alloc(c->account, (size_t)size * c->item_size);
	if (!chunk)
		return -ENOMEM;
	// What is left of the last chunk stays empty where a run of items does not fit into it.
	c->used = c->count << c->shift;
	c->at[c->count++] = chunk;
	return 0;
}

uint32_t chunks_push(struct chunks *c, uint32_t n)
{
	uint32_t position = c->used;
	c->used += n;
	return position;
}

void chunks_free(struct chunks *c)
{
	for (uint32_t i = 0; i < c->count; i++)
		mem_free(c->at[i]);
	mem_free(c->at);
	c->at = NULL;
	c->count = c->cap = c->used = 0;
}

size_t chunks_bytes(const struct chunks *c)
{
	return ((size_t)c->count << c->shift) * c->item_size + c->cap * sizeof(*c->at);
}

static int index_reserve(struct index *x, enum account account)
{
	if (x->slots && (x->count + 1) * 4ull <= (x->mask + 1ull) * 3)
		return 0;
	uint64_t capacity = x->slots ? (x->mask + 1ull) * 2 : 64;
	struct index_slot *slots =
	    capacity <= UINT32_MAX ? mem_alloc(account, capacity * sizeof(*slots)) : NULL;
	if (!slots)
		return -ENOMEM;
	uint32_t mask = (uint32_t)capacity - 1;
	for (uint32_t i = 0; x->slots && i <= x->mask; i++) {
		if (!x->slots[i].id)
			continue;
		uint32_t at = x->slots[i].hash & mask;
		while (slots[at].id)
			at = (at + 1) & mask;
		slots[at] = x->slots[i];
	}
	mem_free(x->slots);
	x->slots = slots;
	x->mask = mask;
	return 0;
}

void table_init(struct table *t, enum account account, size_t item_size, uint32_t shift)
{
	*t = (struct table){
	    .items = {.account = account, .item_size = (uint32_t)item_size, .shift = shift}};
}

void table_free(struct table *t)
{
	chunks_free(&t->items);
	table_free_index(t);
}

void table_free_index(struct table *t)
{
	mem_free(t->index.slots);
	t->index = (struct index){0};
}

size_t table_bytes(const struct table *t)
{
	return chunks_bytes(&t->items) +
	       (t->index.slots ? (t->index.mask + 1ull) * sizeof(*t->index.slots) : 0);
}

uint32_t table_find(const struct table *t, uint32_t hash,
    bool (*same)(const void *item, const void *key), const void *key)
{
	const struct index *x = &t->index;
	if (!x->slots)
		return 0;
	for (uint32_t i = hash & x->mask; x->slots[i].id; i = (i + 1) & x->mask)
		if (x->slots[i].hash == hash && same(table_item(t, x->slots[i].id), key))
			return x->slots[i].id;
	return 0;
}

int table_reserve(struct table *t)
{
	int error = index_reserve(&t->index, t->items.account);
	return error ? error : chunks_reserve(&t->items, 1);
}

uint32_t table_push(struct table *t, uint32_t hash)
{
	struct index *x = &t->index;
	uint32_t id = chunks_push(&t->items, 1) + 1;
	uint32_t i = hash & x->mask;
	while (x->slots[i].id)
		i = (i + 1) & x->mask;
	x->slots[i] = (struct index_slot){hash, id};
	x->count++;
	return id;
}
