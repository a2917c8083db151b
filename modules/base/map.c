// SPDX-License-Identifier: Apache-2.0
#include "map.h"

#include <errno.h>
#include <string.h>

// The finaliser of MurmurHash3 (public domain, Austin Appleby): every input bit reaches every
// output bit.
uint64_t hash_mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

uint64_t hash_bytes(const void *bytes, size_t n, uint64_t seed)
{
	const unsigned char *p = bytes;
	uint64_t h = seed ^ (n * 0x9e3779b97f4a7c15ull);
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t w;
		memcpy(&w, p, 8);
		h = hash_mix(h ^ w);
	}
	uint64_t w = 0;
	memcpy(&w, p, n);
	return hash_mix(h ^ w);
}

static uint32_t home(const struct map *m, uint64_t key)
{
	return (uint32_t)hash_mix(key) & m->mask;
}

static struct map_slot *find(const struct map *m, uint64_t key)
{
	uint32_t i = home(m, key);
	while (m->slots[i].key != key && m->slots[i].key != MAP_NONE)
		i = (i + 1) & m->mask;
	return &m->slots[i];
}

static int grow(struct map *m)
{
	uint32_t capacity = m->slots ? (m->mask + 1) * 2 : 16;
	struct map bigger = {.mask = capacity - 1, .account = m->account};
	bigger.slots = mem_alloc(m->account, capacity * sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	memset(bigger.slots, 0xff, capacity * sizeof(*bigger.slots));
	for (uint32_t i = 0; m->slots && i <= m->mask; i++)
		if (m->slots[i].key != MAP_NONE)
			*find(&bigger, m->slots[i].key) = m->slots[i];
	bigger.count = m->count; // now: whoever made room for the new slots may have taken from M
	mem_free(m->slots);
	*m = bigger;
	return 0;
}

int map_put(struct map *m, uint64_t key, uint64_t value)
{
	if (key == MAP_NONE)
		return -EINVAL;
	if (!m->slots || (m->count + 1) * 4ull > (m->mask + 1ull) * 3ull) {
		int error = grow(m);
		if (error)
			return error;
	}
	struct map_slot *s = find(m, key);
	m->count += s->key == MAP_NONE;
	*s = (struct map_slot){key, value};
	return 0;
}

bool map_get(const struct map *m, uint64_t key, uint64_t *value)
{
	if (!m->slots || key == MAP_NONE)
		return false;
	struct map_slot *s = find(m, key);
	if (s->key != key)
		return false;
	*value = s->value;
	return true;
}

bool map_remove(struct map *m, uint64_t key)
{
	if (!m->slots || key == MAP_NONE)
		return false;
	struct map_slot *s = find(m, key);
	if (s->key != key)
		return false;
	m->count--;
	// Close the hole: move back each follower that may not stay behind it.
	uint32_t hole = (uint32_t)(s - m->slots);
	for (uint32_t i = (hole + 1) & m->mask; m->slots[i].key != MAP_NONE;
	     i = (i + 1) & m->mask) {
		uint32_t h = home(m, m->slots[i].key);
		if (((i - h) & m->mask) >= ((i - hole) & m->mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole].key = MAP_NONE;
	return true;
}

void map_clear(struct map *m)
{
	mem_free(m->slots);
	*m = MAP(m->account);
}

bool map_next(const struct map *m, uint32_t *i, struct map_slot *slot)
{
	for (; m->slots && *i <= m->mask; (*i)++)
		if (m->slots[*i].key != MAP_NONE) {
			*slot = m->slots[(*i)++];
			return true;
		}
	return false;
}
