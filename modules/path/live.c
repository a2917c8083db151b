// SPDX-License-Identifier: Apache-2.0
#include "live.h"

#include "../base/base.h"

#include <errno.h>
#include <string.h>

#define PLACE_HEADS 1024u
#define NONE UINT32_MAX

struct group { // a live_place, chained by hash
	struct live_place at;
	struct group *next;
	uint64_t hash;
	uint32_t blocks;
	struct blocked_stack stack;
};

struct slot { // a block, chained by hash; or free
	struct live_block block;
	struct group *group;
	uint32_t next;
	bool used, ended;
};

struct live {
	struct slot *slots;
	uint32_t *heads; // a power of two
	uint32_t mask, count, max, unused, places;
	struct map pids; // -> blocks
	uint32_t fresh;	 // slots from here on were never used
	struct group *groups[PLACE_HEADS];
};

struct live *live_new(uint32_t blocks_max)
{
	struct live *l = mem_alloc(ACCOUNT_PATH, sizeof(*l));
	uint32_t heads = 16;
	if (!l)
		return NULL;
	while (heads < blocks_max && heads < LIVE_MAX)
		heads *= 2;
	l->pids = MAP(ACCOUNT_PATH);
	l->slots = mem_alloc(ACCOUNT_PATH, blocks_max * sizeof(*l->slots));
	l->heads = mem_alloc(ACCOUNT_PATH, heads * sizeof(*l->heads));
	if (!l->slots || !l->heads) {
		live_free(l);
		return errno = ENOMEM, NULL;
	}
	memset(l->heads, 0xff, heads * sizeof(*l->heads));
	l->mask = heads - 1;
	l->max = blocks_max;
	l->unused = NONE;
	return l;
}

void live_free(struct live *l)
{
	if (!l)
		return;
	for (uint32_t i = 0; i < PLACE_HEADS; i++)
		for (struct group *g = l->groups[i], *next; g; g = next) {
			next = g->next;
			mem_free(g);
		}
	map_clear(&l->pids);
	mem_free(l->slots);
	mem_free(l->heads);
	mem_free(l);
}

static uint32_t *head_of(const struct live *l, uint32_t pid, uint64_t address)
{
	return &l->heads[hash_mix(address ^ (uint64_t)pid << 48) & l->mask];
}

static uint64_t hash_of(const struct live_place *p)
{
	const struct blocked_stack *s = p->stack;
	uint64_t h = hash_bytes(s->places, s->count * sizeof(*s->places), p->process);
	h = hash_bytes(s->marks, sizeof(s->marks), h);
	h = hash_bytes(s->mark_at, sizeof(s->mark_at), h);
	return hash_mix(h ^ (uint64_t)p->pid << 8 ^ p->kind);
}

static bool equal(const struct live_place *a, const struct live_place *b)
{
	const struct blocked_stack *s = a->stack, *t = b->stack;
	return a->pid == b->pid && a->process == b->process && a->kind == b->kind &&
	       s->count == t->count && !memcmp(s->marks, t->marks, sizeof(s->marks)) &&
	       !memcmp(s->mark_at, t->mark_at, sizeof(s->mark_at)) &&
	       !memcmp(s->places, t->places, s->count * sizeof(*s->places));
}

static struct group *group_of(struct live *l, const struct live_place *at)
{
	uint64_t hash = hash_of(at);
	struct group **head = &l->groups[hash % PLACE_HEADS], *g = *head;
	while (g && (g->hash != hash || !equal(&g->at, at)))
		g = g->next;
	if (g)
		return g;
	size_t places = at->stack->count * sizeof(*at->stack->places);
	g = mem_alloc(ACCOUNT_PATH, sizeof(*g) + places);
	if (!g)
		return NULL;
	g->at = *at;
	memcpy(&g->stack, at->stack, sizeof(g->stack) + places);
	g->at.stack = &g->stack;
	g->hash = hash;
	g->next = *head;
	*head = g;
	l->places++;
	return g;
}

static void leave(struct live *l, struct group *g)
{
	struct group **at = &l->groups[g->hash % PLACE_HEADS];
	if (--g->blocks)
		return;
	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	l->places--;
	mem_free(g);
}

// One block of process PID more, or less. 0 or -ENOMEM.
static int number(struct live *l, uint32_t pid, bool more)
{
	uint64_t blocks = 0;
	map_get(&l->pids, pid, &blocks);
	if (!more && blocks == 1)
		return map_remove(&l->pids, pid), 0;
	return map_put(&l->pids, pid, more ? blocks + 1 : blocks - 1);
}

// Takes the slot that *AT names out of its chain.
static void drop(struct live *l, uint32_t *at)
{
	uint32_t i = *at;
	struct slot *s = &l->slots[i];
	*at = s->next;
	struct group *g = s->group;
	number(l, s->block.pid, false);
	*s = (struct slot){.next = l->unused};
	l->unused = i;
	l->count--;
	leave(l, g);
}

static uint32_t *find(struct live *l, uint32_t pid, uint64_t address)
{
	uint32_t *at = head_of(l, pid, address);
	while (*at != NONE &&
	       (l->slots[*at].block.address != address || l->slots[*at].block.pid != pid))
		at = &l->slots[*at].next;
	return at;
}

int live_put(struct live *l, const struct live_block *b, const struct live_place *at)
{
	live_remove(l, b->pid, b->address);
	if (l->count == l->max)
		return -ENOSPC;
	struct group *g = group_of(l, at);
	if (!g)
		return -ENOMEM;
	g->blocks++;
	if (number(l, b->pid, true)) {
		leave(l, g);
		return -ENOMEM;
	}
	uint32_t i = l->unused;
	if (i == NONE)
		i = l->fresh++;
	else
		l->unused = l->slots[i].next;
	uint32_t *head = head_of(l, b->pid, b->address);
	l->slots[i] = (struct slot){.block = *b, .group = g, .next = *head, .used = true};
	*head = i;
	l->count++;
	return 0;
}

bool live_remove(struct live *l, uint32_t pid, uint64_t address)
{
	uint32_t *at = find(l, pid, address);
	if (*at == NONE)
		return false;
	drop(l, at);
	return true;
}

bool live_has(const struct live *l, uint32_t pid)
{
	uint64_t blocks;
	return map_get(&l->pids, pid, &blocks);
}

void live_check(
    struct live *l, enum live_wish (*wanted)(void *arg, uint32_t pid, uint64_t address), void *arg)
{
	for (uint32_t i = 0; i < l->fresh; i++) {
		struct slot *s = &l->slots[i];
		if (!s->used || s->ended)
			continue;
		enum live_wish wish = wanted(arg, s->block.pid, s->block.address);
		s->ended = wish == LIVE_ENDED;
		if (wish == LIVE_REFUSED)
			live_remove(l, s->block.pid, s->block.address);
	}
}

// A recording may say anything.
static void add(int64_t *sum, int64_t n)
{
	if (__builtin_add_overflow(*sum, n, sum))
		*sum = INT64_MAX;
}

void live_tell(struct live *l, uint64_t old_ns,
    void (*each)(void *arg, const struct live_place *at), void *arg)
{
	for (uint32_t i = 0; i < l->fresh; i++) {
		const struct slot *s = &l->slots[i];
		if (!s->used)
			continue;
		int64_t *sum = s->block.born_ns < old_ns ? s->group->at.old : s->group->at.young;
		add(&sum[0], s->block.objects);
		add(&sum[1], s->block.bytes);
	}
	for (uint32_t i = 0; i < PLACE_HEADS; i++)
		for (struct group *g = l->groups[i]; g; g = g->next) {
			each (arg, &g->at)
				;
			memset(g->at.old, 0, sizeof(g->at.old));
			memset(g->at.young, 0, sizeof(g->at.young));
		}
	for (uint32_t i = 0; i < l->fresh; i++)
		if (l->slots[i].ended)
			live_remove(l, l->slots[i].block.pid, l->slots[i].block.address);
}

uint32_t live_count(const struct live *l)
{
	return l->count;
}

uint32_t live_places(const struct live *l)
{
	return l->places;
}
