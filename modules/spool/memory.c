// SPDX-License-Identifier: Apache-2.0
// Bodies in memory.
#include "private.h"

#include <errno.h>
#include <string.h>

#define CHUNK_MIN 1024u
#define CHUNK_MAX 16384u // with its head

static struct chunk *chunk_new(struct body *b)
{
	uint32_t whole = b->last ? CHUNK_MAX : CHUNK_MIN;
	struct chunk *c = mem_alloc(ACCOUNT_SPOOL, whole);
	if (!c)
		return NULL;
	c->room = whole - (uint32_t)sizeof(*c);
	*(b->last ? &b->last->next : &b->first) = c;
	b->last = c;
	b->room += whole;
	return c;
}

uint64_t spool_memory_room(const struct body *b, size_t n)
{
	uint64_t room = b->room, left = b->last ? b->last->room - b->last->used : 0;
	if (n > left && !b->last) {
		room += CHUNK_MIN;
		left = CHUNK_MIN - sizeof(struct chunk);
	}
	uint64_t each = CHUNK_MAX - sizeof(struct chunk);
	return n > left ? room + (n - left + each - 1) / each * CHUNK_MAX : room;
}

int spool_memory_write(struct spool *s, const void *bytes, size_t n)
{
	struct body *b = s->writing;
	for (const uint8_t *at = bytes; n;) {
		struct chunk *c = b->last;
		if (!c || c->used == c->room)
			c = chunk_new(b);
		if (!c)
			return -ENOMEM;
		size_t some = c->room - c->used < n ? c->room - c->used : n;
		memcpy(c->bytes + c->used, at, some);
		c->used += (uint32_t)some;
		b->entry.size += some;
		at += some;
		n -= some;
	}
	return 0;
}

void spool_memory_end(struct spool *s)
{
	struct body *b = s->writing;
	struct chunk *c = b->last, **link = &b->first;
	if (!c)
		return;
	while (*link != c)
		link = &(*link)->next;
	struct chunk *cut = mem_resize(ACCOUNT_SPOOL, c, sizeof(*c) + c->used);
	if (!cut)
		return; // it is as large as it was
	b->room -= cut->room - cut->used;
	cut->room = cut->used;
	*link = b->last = cut;
}

void spool_memory_free(struct body *b)
{
	for (struct chunk *c = b->first, *next; c; c = next) {
		next = c->next;
		mem_free(c);
	}
	b->first = b->last = NULL;
}

int64_t spool_memory_read(const struct body *b, uint64_t at, void *bytes, size_t size)
{
	const struct chunk *c = b->first;
	size_t have = 0;
	for (; c && at >= c->used; c = c->next)
		at -= c->used;
	for (; c && have < size; c = c->next, at = 0) {
		size_t some = c->used - at < size - have ? c->used - at : size - have;
		memcpy((uint8_t *)bytes + have, c->bytes + at, some);
		have += some;
	}
	return (int64_t)have;
}
