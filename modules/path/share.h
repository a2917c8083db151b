// SPDX-License-Identifier: Apache-2.0
// Of many short blocks only some have a stack; how long a thread was off the CPU without one is
// known exactly, but not where. So what each stack is likely to stand for is collected over a
// window (Horvitz and Thompson 1952: as much as (1 - p) / p of its block, where p is how likely it
// was to be taken), and the thread's exact rest is dealt out as those are to each other.
//
// A thread that ended before a stack of it was taken gets what the first blocks of others were that
// have its name in its process.
//
//   tid, or process and name -> share: stack, reason, lock; weight -> share ...
#pragma once
#include "blocked.h"

struct shares;
struct share {
	struct share *next;
	struct blocked_stack *stack; // held
	uint64_t lock;
	double ns, count; // what is like it
	uint32_t pid;
	uint8_t reason; // enum off_reason
};

// Of stacks in B, which outlives it. NULL + ENOMEM.
struct shares *shares_new(struct blocked *b);
void shares_free(struct shares *s);
void shares_clear(struct shares *s);
// Thread T has a stack in B; R ends its block. Where there is no memory it has no share. LOCK as in
// struct facts.
void shares_add(
    struct shares *s, const struct blocked_thread *t, const struct record_block *r, uint64_t lock);
// Deals *NS of *COUNT blocks of R's thread out to TO; what is left stays in them: all, where no
// stack is known, and what is more than twice of what was estimated. Then the thread has no share
// any more.
void shares_deal(struct shares *s, const struct record_sample *r, uint64_t *ns, uint32_t *count,
    void (*to)(void *arg, const struct share *share, uint32_t count, uint64_t ns), void *arg);
