// SPDX-License-Identifier: Apache-2.0
// u64 -> u64 hash map, open addressing with linear probing and backward-shift deletion.
//
//   slots: {key, value} x capacity (power of two), at most 3/4 full; key MAP_NONE marks a free slot
#pragma once
#include "mem.h"
#include <stdbool.h>

#define MAP_NONE UINT64_MAX // not usable as a key

struct map {
	struct map_slot *slots;
	uint32_t count, mask;
	enum account account;
};
struct map_slot {
	uint64_t key, value;
};

#define MAP(acct) ((struct map){.account = (acct)})

// 0, -ENOMEM or -EINVAL (MAP_NONE): the map is unchanged.
int map_put(struct map *m, uint64_t key, uint64_t value);
bool map_get(const struct map *m, uint64_t key, uint64_t *value);
bool map_remove(struct map *m, uint64_t key);
void map_clear(struct map *m); // frees the memory; the map stays usable
// Walk: for (uint32_t i = 0; map_next(m, &i, &slot);) ...; no changes to M meanwhile, but the slot
// just given may be removed: then I goes back by one, for another may lie in its place now.
bool map_next(const struct map *m, uint32_t *i, struct map_slot *slot);

uint64_t hash_bytes(const void *bytes, size_t n, uint64_t seed);
uint64_t hash_mix(uint64_t x);
