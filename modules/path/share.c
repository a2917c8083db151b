// SPDX-License-Identifier: Apache-2.0
#include "share.h"
#include "../base/base.h"

#define SHARES_MAX 8192
#define LIST_MAX 256 // of these in one list, so that a search is short
#define MOST 2	     // times of what was estimated
#define YOUNG 4	     // blocks

struct shares {
	struct blocked *blocked;
	struct map lists; // key -> its first share
	uint32_t count;
};

// Lists: of a thread, its tid; of the first blocks of all that have this name in a process.
static uint64_t key_of_young(uint32_t pid, const char comm[COMM_LEN])
{
	return (1ull << 63 | hash_bytes(comm, COMM_LEN, pid)) & ~1ull; // never MAP_NONE
}

struct shares *shares_new(struct blocked *b)
{
	struct shares *s = mem_alloc(ACCOUNT_PATH, sizeof(*s));
	if (s)
		*s = (struct shares){.blocked = b, .lists = MAP(ACCOUNT_PATH)};
	return s;
}

static struct share *first_of(const struct shares *s, uint64_t key)
{
	uint64_t have;
	return map_get(&s->lists, key, &have) ? (struct share *)(uintptr_t)have : NULL;
}

static void let_go(struct shares *s, struct share *first)
{
	while (first) {
		struct share *next = first->next;
		blocked_release(s->blocked, first->stack);
		mem_free(first);
		s->count--;
		first = next;
	}
}

void shares_clear(struct shares *s)
{
	struct map_slot slot;
	for (uint32_t i = 0; map_next(&s->lists, &i, &slot);)
		let_go(s, (struct share *)(uintptr_t)slot.value);
	map_clear(&s->lists);
}

void shares_free(struct shares *s)
{
	if (!s)
		return;
	shares_clear(s);
	mem_free(s);
}

// The one of the list of KEY for REASON and LOCK at T's stack; a new one where there is none.
static struct share *share_of(
    struct shares *s, uint64_t key, const struct blocked_thread *t, uint8_t reason, uint64_t lock)
{
	struct share *first = first_of(s, key);
	if (first && first->pid != t->pid) { // of one that has ended, with the same number
		map_remove(&s->lists, key);
		let_go(s, first);
		first = NULL;
	}
	uint32_t length = 0;
	for (struct share *a = first; a; a = a->next, length++)
		if (a->stack == t->stack && a->reason == reason && a->lock == lock)
			return a;
	bool room = s->count < SHARES_MAX && length < LIST_MAX;
	struct share *new = room ? mem_alloc(ACCOUNT_PATH, sizeof(*new)) : NULL;
	if (!new || !blocked_hold(s->blocked, t->stack)) {
		mem_free(new);
		return NULL;
	}
	*new = (struct share){.stack = t->stack, .lock = lock, .pid = t->pid, .reason = reason};
	s->count++;
	if (first) {
		new->next = first->next;
		first->next = new;
	} else if (map_put(&s->lists, key, (uintptr_t) new)) {
		let_go(s, new);
		return NULL;
	}
	return new;
}

static void add(struct shares *s, const struct blocked_thread *t, uint8_t reason, uint64_t lock,
    double ns, double count)
{
	const uint64_t keys[] = {t->tid, key_of_young(t->pid, t->comm)};
	for (int i = 0; i <= (t->block <= YOUNG); i++) {
		struct share *share = share_of(s, keys[i], t, reason, lock);
		if (!share)
			continue;
		share->ns += ns;
		share->count += count;
	}
}

void shares_add(
    struct shares *s, const struct blocked_thread *t, const struct record_block *r, uint64_t lock)
{
	bool runnable = off_is_runnable(r->reason);
	uint64_t run = runnable ? r->whole_ns : r->runnable_ns;
	double others = (double)(BLOCK_CHANCE_ONE - r->chance) / r->chance;
	if (others <= 0 || !r->whole_ns || run > r->whole_ns)
		return;
	if (!runnable)
		add(s, t, r->reason, lock, others * (double)(r->whole_ns - run), others);
	if (run)
		add(s, t, runnable ? r->reason : OFF_SCHEDULER, 0, others * (double)run,
		    runnable ? others : 0);
}

void shares_deal(struct shares *s, const struct record_sample *r, uint64_t *ns, uint32_t *count,
    void (*to)(void *arg, const struct share *share, uint32_t count, uint64_t ns), void *arg)
{
	struct share *own = first_of(s, r->tid), *first = own;
	double like = 0, blocks = 0;
	if (own && own->pid != r->pid)
		first = own = NULL;
	if (!own && *count <= YOUNG)
		first = first_of(s, key_of_young(r->pid, r->comm));
	for (struct share *a = first; a; a = a->next) {
		like += a->ns;
		blocks += a->count;
	}
	if (like <= 0)
		return;
	// Part by part out of what is left, so that all of it is dealt out in whole numbers.
	double part = own && (double)*ns > MOST * like ? MOST * like / (double)*ns : 1;
	uint64_t all = (uint64_t)((double)*ns * part), left = all;
	uint32_t all_blocks = (uint32_t)((double)*count * part), left_blocks = all_blocks;
	for (struct share *a = first; a; a = a->next) {
		uint64_t its = (uint64_t)((double)all * a->ns / like);
		uint32_t its_blocks =
		    blocks > 0 ? (uint32_t)((double)all_blocks * a->count / blocks) : 0;
		if (!a->next || its > left)
			its = left;
		if (!a->next || its_blocks > left_blocks)
			its_blocks = left_blocks;
		left -= its;
		left_blocks -= its_blocks;
		to(arg, a, its_blocks, its);
	}
	*ns -= all;
	*count -= all_blocks;
	if (own)
		map_remove(&s->lists, r->tid);
	let_go(s, own);
}
