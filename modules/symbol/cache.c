// SPDX-License-Identifier: Apache-2.0
#include "cache.h"

#include "../base/base.h"

#include <errno.h>
#include <string.h>

#define BYTES_PER_FUNCTION 192

struct cache {
	struct map owners; // key -> struct owner *
	struct owner *newest, *oldest, *pinned;
	uint32_t functions;
	uint32_t total; // ranges and owners
	uint64_t bytes; // of all owners' blocks
	uint32_t tick;
	bool keep;
	bool busy; // inside a change: memory_limit's squeeze must not come in from behind
};

struct cache *cache_new(uint32_t functions, bool keep)
{
	struct cache *c = mem_alloc(ACCOUNT_SYMBOL, sizeof(*c));
	if (!c)
		return NULL;
	c->owners = MAP(ACCOUNT_SYMBOL);
	c->functions = functions < 16 ? 16 : functions;
	c->keep = keep;
	return c;
}

static void unlink_owner(struct cache *c, struct owner *o)
{
	*(o->newer ? &o->newer->older : &c->newest) = o->older;
	*(o->older ? &o->older->newer : &c->oldest) = o->newer;
}

static void link_newest(struct cache *c, struct owner *o)
{
	o->newer = NULL;
	o->older = c->newest;
	*(c->newest ? &c->newest->newer : &c->oldest) = o;
	c->newest = o;
}

static uint64_t block_bytes(const struct owner *o)
{
	return sizeof(*o) + o->cap * sizeof(*o->ranges) + o->room;
}

static uint32_t named_count(const struct owner *o)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < o->count; i++)
		n += o->ranges[i].name != 0;
	return n;
}

static uint64_t drop(struct cache *c, struct owner *o)
{
	uint64_t bytes = block_bytes(o);
	unlink_owner(c, o);
	map_remove(&c->owners, o->key);
	c->total -= o->count + 1;
	c->bytes -= bytes;
	mem_free(o->ranges);
	mem_free(o->bytes);
	mem_free(o);
	count_set(COUNT_SYMBOL_CACHE, c->total - c->owners.count);
	return bytes;
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	while (c->oldest)
		drop(c, c->oldest);
	map_clear(&c->owners);
	mem_free(c);
}

void cache_tick(struct cache *c)
{
	c->tick++;
}

void cache_pin(struct cache *c, struct owner *o)
{
	c->pinned = o;
}

// Drops the owner that was not used for longest, but neither SPARE nor the pinned one. Bytes freed.
static uint64_t evict(struct cache *c, const struct owner *spare)
{
	struct owner *o = c->oldest;
	while (o && (o == spare || o == c->pinned))
		o = o->newer;
	if (!o || c->keep)
		return 0;
	count_add(COUNT_SYMBOL_EVICTED, named_count(o));
	return drop(c, o);
}

static uint32_t copy_name(char *bytes, uint32_t *used, const char *name)
{
	size_t n = strlen(name) + 1;
	uint32_t at = *used;
	memcpy(bytes + at, name, n);
	*used += (uint32_t)n;
	return at;
}

// Copies the names that live into a new block with room for MORE bytes and half as much again.
static int rebuild_names(struct cache *c, struct owner *o, size_t more)
{
	uint64_t live = 1 + more;
	for (uint32_t i = 0; i < o->count; i++) {
		const struct range *r = &o->ranges[i];
		live += r->name ? strlen(o->bytes + r->name) + 1 : 0;
		live += r->system ? strlen(o->bytes + r->system) + 1 : 0;
	}
	live += live / 2;
	char *bytes = live < UINT32_MAX ? mem_alloc(ACCOUNT_SYMBOL, live) : NULL;
	if (!bytes)
		return -ENOMEM;
	uint32_t used = 1, old_name = 0;
	for (uint32_t i = 0; i < o->count; i++) {
		struct range *r = &o->ranges[i];
		uint32_t name = r->name;
		if (name && name == old_name) // shared by neighbours
			r->name = r[-1].name;
		else
			r->name = name ? copy_name(bytes, &used, o->bytes + name) : 0;
		r->system = r->system ? copy_name(bytes, &used, o->bytes + r->system) : 0;
		old_name = name;
	}
	c->bytes += live - o->room;
	mem_free(o->bytes);
	o->bytes = bytes;
	o->used = used;
	o->room = (uint32_t)live;
	return 0;
}

// Makes room for MORE bytes of names. Names of ranges that are gone stay behind until the block is
// full.
static int name_room(struct cache *c, struct owner *o, size_t more)
{
	return o->used + more <= o->room ? 0 : rebuild_names(c, o, more);
}

// One owner fills the cache by itself: what this job did not use goes, and if that is not a
// quarter, every second range.
static void trim(struct cache *c, struct owner *o)
{
	uint32_t kept = 0, stale = 0, before = named_count(o);
	for (uint32_t i = 0; i < o->count; i++)
		stale += o->ranges[i].stamp != c->tick;
	for (uint32_t i = 0; i < o->count; i++)
		if ((stale && stale >= o->count / 4) ? o->ranges[i].stamp == c->tick : i % 2 == 0)
			o->ranges[kept++] = o->ranges[i];
	c->total -= o->count - kept;
	o->count = kept;
	if (rebuild_names(c, o, 0) < 0) {
		c->total -= o->count;
		o->count = 0;
	}
	count_add(COUNT_SYMBOL_EVICTED, before - named_count(o));
}

static void make_room(struct cache *c, struct owner *o)
{
	if (c->keep)
		return;
	while (c->total >= c->functions || c->bytes > (uint64_t)c->functions * BYTES_PER_FUNCTION) {
		bool alone = o && o->count > c->functions / 2;
		if ((alone && c->total >= c->functions) || !evict(c, o)) {
			if (!o || o->count < 2)
				return;
			trim(c, o);
		}
	}
}

struct owner *cache_owner(struct cache *c, uint32_t kind, uint32_t id, bool make)
{
	uint64_t key = (uint64_t)kind << 32 | id, value;
	struct owner *o;
	if (map_get(&c->owners, key, &value)) {
		o = (struct owner *)(uintptr_t)value;
		unlink_owner(c, o);
		link_newest(c, o);
		return o;
	}
	if (!make)
		return NULL;
	make_room(c, NULL);
	c->busy = true;
	o = mem_alloc(ACCOUNT_SYMBOL, sizeof(*o));
	if (o && map_put(&c->owners, key, (uintptr_t)o) < 0) {
		mem_free(o);
		o = NULL;
	}
	c->busy = false;
	if (!o)
		return NULL;
	o->key = key;
	link_newest(c, o);
	c->total++;
	c->bytes += block_bytes(o);
	return o;
}

// The first range that ends after ADDRESS.
static uint32_t first_after(const struct owner *o, uint64_t address)
{
	uint32_t low = 0, high = o->count;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (o->ranges[mid].start + o->ranges[mid].len > address)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

const struct range *cache_find(struct cache *c, struct owner *o, uint64_t address)
{
	uint32_t i = first_after(o, address);
	if (i == o->count || o->ranges[i].start > address)
		return NULL;
	o->ranges[i].stamp = c->tick;
	return &o->ranges[i];
}

static int insert(struct cache *c, struct owner *o, uint32_t at, const struct range *r)
{
	if (o->count == o->cap) {
		uint32_t cap = o->cap ? o->cap + o->cap / 2 : 4;
		struct range *more = mem_resize(ACCOUNT_SYMBOL, o->ranges, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		c->bytes += (cap - o->cap) * sizeof(*more);
		o->ranges = more;
		o->cap = cap;
	}
	memmove(o->ranges + at + 1, o->ranges + at, (o->count - at) * sizeof(*r));
	o->ranges[at] = *r;
	o->count++;
	c->total++;
	return 0;
}

void cache_cut(struct cache *c, struct owner *o, uint64_t start, uint64_t end)
{
	uint32_t i = first_after(o, start), last = i;
	if (start >= end || i == o->count || o->ranges[i].start >= end)
		return;
	struct range *r = &o->ranges[i];
	uint64_t r_end = r->start + r->len;
	if (r->start < start) {
		struct range rest = *r;
		r->len = (uint32_t)(start - r->start);
		i++;
		if (r_end > end) {
			rest.start = end;
			rest.len = (uint32_t)(r_end - end);
			bool busy = c->busy;
			c->busy = true;
			insert(c, o, i, &rest); // without memory the rest is forgotten
			c->busy = busy;
			return;
		}
	}
	for (last = i; last < o->count && o->ranges[last].start < end; last++) {
		r = &o->ranges[last];
		r_end = r->start + r->len;
		if (r_end > end) {
			r->start = end;
			r->len = (uint32_t)(r_end - end);
			break;
		}
	}
	memmove(o->ranges + i, o->ranges + last, (o->count - last) * sizeof(*r));
	o->count -= last - i;
	c->total -= last - i;
}

void cache_forget(struct cache *c, struct owner *o, bool (*gone)(const char *name))
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < o->count; i++)
		if (!o->ranges[i].name || !gone(o->bytes + o->ranges[i].name))
			o->ranges[kept++] = o->ranges[i];
	c->total -= o->count - kept;
	o->count = kept;
}

// A neighbour's copy of the same name is used again.
static uint32_t add_name(struct owner *o, uint32_t at, const char *name)
{
	for (uint32_t i = at ? at - 1 : 0; i < o->count && i < at + 1; i++)
		if (o->ranges[i].name && !strcmp(o->bytes + o->ranges[i].name, name))
			return o->ranges[i].name;
	return copy_name(o->bytes, &o->used, name);
}

static int put(
    struct cache *c, struct owner *o, struct range r, const char *name, const char *system)
{
	size_t more = (name ? strlen(name) + 1 : 0) + (system ? strlen(system) + 1 : 0);
	if (more && name_room(c, o, more) < 0)
		return -ENOMEM;
	cache_cut(c, o, r.start, r.start + r.len);
	uint32_t at = first_after(o, r.start);
	if (name)
		r.name = add_name(o, at, name);
	if (system)
		r.system = copy_name(o->bytes, &o->used, system);
	return insert(c, o, at, &r);
}

int cache_put(struct cache *c, struct owner *o, uint64_t address, uint64_t start, uint64_t end,
    const char *name, const char *system)
{
	if (address < start || address >= end)
		return -EINVAL;
	if (address - start >= UINT32_MAX / 2)
		start = address - UINT32_MAX / 2;
	if (end - address >= UINT32_MAX / 2)
		end = address + UINT32_MAX / 2;
	struct range r = {.start = start, .len = (uint32_t)(end - start), .stamp = c->tick};
	c->busy = true;
	make_room(c, o);
	int error = put(c, o, r, name, system);
	if (error && evict(c, o))
		error = put(c, o, r, name, system);
	c->busy = false;
	count_set(COUNT_SYMBOL_CACHE, c->total - c->owners.count);
	return error;
}

uint64_t cache_shrink(struct cache *c, uint64_t need)
{
	uint64_t freed = 0, bytes;
	while (!c->busy && freed < need && (bytes = evict(c, NULL)))
		freed += bytes;
	return freed;
}
