// SPDX-License-Identifier: Apache-2.0
#include "names.h"
#include "map.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

struct names {
	enum account account;
	char *bytes;
	uint32_t *at; // start of each string in bytes
	uint32_t *table;
	uint32_t count, at_cap, mask;
	size_t len, cap;
	uint64_t seed; // strings come from outside: nobody may choose them to collide
};

struct names *names_new(enum account account)
{
	struct names *n = mem_alloc(account, sizeof(*n));
	if (!n)
		return NULL;
	n->account = account;
	const void *random = (const void *)getauxval(AT_RANDOM); // 16 bytes from the kernel
	if (random)
		memcpy(&n->seed, random, sizeof(n->seed));
	n->mask = 63;
	n->at_cap = 32;
	n->cap = 1024;
	n->bytes = mem_alloc(account, n->cap);
	n->at = mem_alloc(account, n->at_cap * sizeof(*n->at));
	n->table = mem_alloc(account, (n->mask + 1) * sizeof(*n->table));
	if (!n->bytes || !n->at || !n->table) {
		names_free(n);
		return errno = ENOMEM, NULL;
	}
	n->len = 1; // the empty string
	n->count = 1;
	return n;
}

void names_free(struct names *n)
{
	if (!n)
		return;
	mem_free(n->bytes);
	mem_free(n->at);
	mem_free(n->table);
	mem_free(n);
}

// The slot that holds S, or the free one where it belongs.
static uint32_t slot_of(const struct names *n, const char *s, size_t len)
{
	uint32_t i = (uint32_t)hash_bytes(s, len, n->seed) & n->mask;
	for (;; i = (i + 1) & n->mask) {
		uint32_t id = n->table[i];
		if (!id)
			return i;
		const char *have = n->bytes + n->at[id];
		if (!strncmp(have, s, len) && !have[len])
			return i;
	}
}

static int grow_table(struct names *n)
{
	uint32_t mask = n->mask * 2 + 1;
	uint32_t *table = mem_alloc(n->account, (mask + 1ull) * sizeof(*table));
	if (!table)
		return -ENOMEM;
	mem_free(n->table);
	n->table = table;
	n->mask = mask;
	for (uint32_t id = 1; id < n->count; id++) {
		const char *s = n->bytes + n->at[id];
		uint32_t i = (uint32_t)hash_bytes(s, strlen(s), n->seed) & mask;
		while (table[i])
			i = (i + 1) & mask;
		table[i] = id;
	}
	return 0;
}

static int grow_bytes(struct names *n, size_t need)
{
	size_t cap = n->cap * 2;
	while (cap < need && cap < UINT32_MAX)
		cap *= 2;
	char *bytes =
	    cap < UINT32_MAX ? mem_resize(n->account, n->bytes, cap) : NULL; // `at` has 32 bits
	if (!bytes)
		return -ENOMEM;
	n->bytes = bytes;
	n->cap = cap;
	return 0;
}

uint32_t names_find(const struct names *n, const char *s, size_t len)
{
	len = strnlen(s, len);
	return !len ? 0 : n->table[slot_of(n, s, len)];
}

uint32_t names_add(struct names *n, const char *s, size_t len)
{
	len = strnlen(s, len);
	if (!len)
		return 0;
	uint32_t slot = slot_of(n, s, len);
	if (n->table[slot])
		return n->table[slot];
	if (n->len + len + 1 > n->cap && grow_bytes(n, n->len + len + 1) < 0)
		return errno = ENOMEM, 0;
	if (n->count == n->at_cap) {
		uint32_t *at = mem_resize(n->account, n->at, n->at_cap * 2 * sizeof(*at));
		if (!at)
			return errno = ENOMEM, 0;
		n->at = at;
		n->at_cap *= 2;
	}
	if (n->count * 4ull > n->mask * 3ull) {
		if (grow_table(n) < 0)
			return errno = ENOMEM, 0;
		slot = slot_of(n, s, len);
	}
	uint32_t id = n->count++;
	n->at[id] = (uint32_t)n->len;
	memcpy(n->bytes + n->len, s, len);
	n->bytes[n->len + len] = 0;
	n->len += len + 1;
	n->table[slot] = id;
	return id;
}

const char *names_get(const struct names *n, uint32_t id)
{
	return id < n->count ? n->bytes + n->at[id] : "";
}

uint32_t names_count(const struct names *n)
{
	return n->count;
}

size_t names_bytes(const struct names *n)
{
	return n->cap + n->at_cap * sizeof(*n->at) + (n->mask + 1ull) * sizeof(*n->table) +
	       sizeof(*n);
}
