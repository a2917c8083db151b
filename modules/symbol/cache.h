// SPDX-License-Identifier: Apache-2.0
// Function ranges that were hit, by owner. Everything of one owner lives in its own two blocks, so
// that dropping an owner gives back all that it held.
//
//   owner (kind, id) -> ranges [0] 0x1000+0x80 "main"  [1] 0x1080+0x40 (no symbol)  ... by start
//                       bytes  [\0 m a i n \0 ...]        names are offsets into it, 0 is none
//                       retry_ns, absent, seen            what is known of the owner as a whole
//   owners in a list, last used first; the last goes first
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache;

struct range {
	uint64_t start;
	uint32_t len;
	uint32_t name;	 // 0: no symbol covers the range
	uint32_t system; // 0: as name
	uint32_t stamp;	 // tick of the last use
};

// How far a perf map was read.
struct map_seen {
	uint64_t dev, ino; // ino 0: none was read
	uint64_t offset;   // end of the last whole line
	uint64_t tail;	   // hash of the bytes before it: a file written anew differs there
};

struct owner {
	uint64_t key;
	struct owner *newer, *older;
	struct range *ranges;
	char *bytes;
	uint32_t count, cap, used, room;
	uint64_t retry_ns; // CLOCK_MONOTONIC: "no symbol" of what can change holds until then
	bool absent;	   // nothing of it can be named until retry_ns
	struct map_seen seen;
};

// At most FUNCTIONS ranges and owners, at most about 192 bytes for each. KEEP: nothing is ever
// dropped, what does not fit is refused by memory_limit alone. NULL + errno.
struct cache *cache_new(uint32_t functions, bool keep);
void cache_free(struct cache *c);
// A new job begins: ranges used from now on are younger than all before.
void cache_tick(struct cache *c);
// The owner, now the last used; MAKE: created where missing. NULL where missing or without memory.
// Valid until the next call that may allocate anywhere, unless pinned.
struct owner *cache_owner(struct cache *c, uint32_t kind, uint32_t id, bool make);
// The one owner that nothing drops, or NULL.
void cache_pin(struct cache *c, struct owner *o);
// The range that holds ADDRESS, or NULL.
const struct range *cache_find(struct cache *c, struct owner *o, uint64_t address);
// Puts [start, end), which holds ADDRESS, in place of whatever it overlaps (cut to 4 GiB around the
// address). NAME NULL: no symbol. SYSTEM NULL: as NAME. 0 or -ENOMEM. O stays valid.
int cache_put(struct cache *c, struct owner *o, uint64_t address, uint64_t start, uint64_t end,
    const char *name, const char *system);
// Forgets what lies in [start, end).
void cache_cut(struct cache *c, struct owner *o, uint64_t start, uint64_t end);
// Forgets the ranges whose names GONE says are.
void cache_forget(struct cache *c, struct owner *o, bool (*gone)(const char *name));
// Drops owners, the longest unused first, until NEED bytes are free; returns the bytes freed.
uint64_t cache_shrink(struct cache *c, uint64_t need);
