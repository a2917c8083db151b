// SPDX-License-Identifier: Apache-2.0
// Sampled blocks of memory that were not freed yet, and where they were asked for.
//
//   (pid, address) -> block: what it stands for, when it was asked for
//                       -> place: process, function, stack; shared by all blocks from there
//
// Bounded in blocks; a place goes with its last block.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "blocked.h"

#define LIVE_MAX (1u << 20) // blocks at most

struct live;
struct live_block {
	uint64_t address, born_ns;
	int64_t objects, bytes; // that it stands for
	uint32_t pid;
};
struct live_place {
	uint32_t pid, process; // process.id
	uint32_t kind;	       // enum alloc_kind
	char process_comm[COMM_LEN];
	int64_t young[2], old[2]; // objects and bytes, by live_tell
	const struct blocked_stack *stack;
};

struct live *live_new(uint32_t blocks_max); // of ACCOUNT_PATH; NULL + ENOMEM
void live_free(struct live *l);
// Replaces what was known of a block there. 0; -ENOSPC: there are as many as there can be; -ENOMEM.
// STACK is copied with its places.
int live_put(struct live *l, const struct live_block *b, const struct live_place *at);
bool live_remove(struct live *l, uint32_t pid, uint64_t address); // false: not known
bool live_has(const struct live *l, uint32_t pid);		  // any block
// Calls WANTED for each block: those that it refuses are removed, and those of a process that has
// ended (LIVE_ENDED) are there until they were told once more.
enum live_wish { LIVE_REFUSED, LIVE_WANTED, LIVE_ENDED };
void live_check(
    struct live *l, enum live_wish (*wanted)(void *arg, uint32_t pid, uint64_t address), void *arg);
// Calls EACH for every place with blocks: those born before OLD_NS apart. Then ended ones go.
void live_tell(struct live *l, uint64_t old_ns,
    void (*each)(void *arg, const struct live_place *at), void *arg);
uint32_t live_count(const struct live *l);  // blocks
uint32_t live_places(const struct live *l); // places
