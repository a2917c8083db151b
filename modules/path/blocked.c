// SPDX-License-Identifier: Apache-2.0
#include "blocked.h"
#include "../base/base.h"
#include "../profile/profile.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#define BLOCK_HEAD 16 // what base/mem.h adds to each block

// A stack, found by the hash of its content as long as a thread stands there.
struct shared {
	uint64_t hash;
	uint32_t threads, held; // the latter are among the former
	bool hidden; // another stack of the same hash is in the table: this one is not shared
	struct blocked_stack stack;
};
_Static_assert(sizeof(struct place) == 16, "places are compared by their bytes");

//   threads   tid, block
//                  -> node     oldest <-> node <-> node <-> newest
//                                          |        |
//   stacks    hash -> shared <-------------+--------+
struct node {
	struct node *older, *newer;
	uint64_t key;
	struct blocked_thread thread;
};
struct blocked {
	struct map threads, stacks; // to pointers
	struct node *oldest, *newest;
	uint64_t limit, blocks; // bytes: at most, and those of this struct, of nodes and stacks
	uint64_t held;		// bytes of stacks that were asked to stay
	uint64_t evicted;
	uint64_t seed;	// stacks come from outside: nobody may choose them to collide
	bool inserting; // a map is at work: nothing may be taken out of it
};

static uint64_t map_bytes(const struct map *m)
{
	return m->slots ? (m->mask + 1ull) * sizeof(*m->slots) + BLOCK_HEAD : 0;
}

// What the map asks for at the next put, while it still holds what it has.
static uint64_t map_growth(const struct map *m)
{
	if (!m->slots)
		return 16 * sizeof(*m->slots) + BLOCK_HEAD;
	bool full = (m->count + 1) * 4ull > (m->mask + 1ull) * 3ull;
	return full ? (m->mask + 1ull) * 2 * sizeof(*m->slots) + BLOCK_HEAD : 0;
}

struct blocked *blocked_new(uint64_t bytes)
{
	if (bytes < sizeof(struct blocked) + BLOCK_HEAD)
		return errno = EINVAL, NULL;
	struct blocked *b = mem_alloc(ACCOUNT_PATH, sizeof(*b));
	if (!b)
		return NULL;
	b->threads = b->stacks = MAP(ACCOUNT_PATH);
	b->limit = bytes;
	b->blocks = sizeof(*b) + BLOCK_HEAD;
	const void *random = (const void *)getauxval(AT_RANDOM); // 16 bytes from the kernel
	if (random)
		memcpy(&b->seed, random, sizeof(b->seed));
	return b;
}

static uint64_t stack_bytes(uint32_t count)
{
	return sizeof(struct shared) + count * sizeof(struct place) + BLOCK_HEAD;
}

static struct shared *shared_of(struct blocked_stack *stack)
{
	return (struct shared *)((char *)stack - offsetof(struct shared, stack));
}

static void stack_leave(struct blocked *b, struct blocked_stack *stack)
{
	struct shared *s = shared_of(stack);
	if (--s->threads)
		return;
	if (!s->hidden)
		map_remove(&b->stacks, s->hash);
	if (!b->stacks.count)
		map_clear(&b->stacks);
	b->blocks -= stack_bytes(s->stack.count);
	mem_free(s);
}

static void list_append(struct blocked *b, struct node *n)
{
	n->newer = NULL;
	n->older = b->newest;
	*(b->newest ? &b->newest->newer : &b->oldest) = n;
	b->newest = n;
}

static void list_remove(struct blocked *b, struct node *n)
{
	*(n->older ? &n->older->newer : &b->oldest) = n->newer;
	*(n->newer ? &n->newer->older : &b->newest) = n->older;
}

static void drop(struct blocked *b, struct node *n)
{
	list_remove(b, n);
	map_remove(&b->threads, n->key);
	if (!b->threads.count)
		map_clear(&b->threads);
	stack_leave(b, n->thread.stack);
	b->blocks -= sizeof(*n) + BLOCK_HEAD;
	mem_free(n);
}

void blocked_free(struct blocked *b)
{
	if (!b)
		return;
	while (b->oldest)
		drop(b, b->oldest);
	mem_free(b);
}

// A block of SIZE bytes that INDEX can take up next; threads go until it fits. NULL + ENOMEM.
static void *block_new(struct blocked *b, uint64_t size, const struct map *index)
{
	while (blocked_bytes(b) + size + BLOCK_HEAD + map_growth(index) > b->limit) {
		if (!b->oldest)
			return errno = ENOMEM, NULL;
		drop(b, b->oldest);
		b->evicted++;
	}
	void *block = mem_alloc(ACCOUNT_PATH, size);
	if (block)
		b->blocks += size + BLOCK_HEAD;
	return block;
}

static int insert(struct blocked *b, struct map *index, uint64_t key, void *block)
{
	b->inserting = true;
	int error = map_put(index, key, (uintptr_t)block);
	b->inserting = false;
	return error;
}

static bool is_same(
    const struct blocked_stack *a, const struct blocked_stack *head, const struct place *places)
{
	return a->count == head->count && !memcmp(a->marks, head->marks, sizeof(a->marks)) &&
	       !memcmp(a->mark_at, head->mark_at, sizeof(a->mark_at)) &&
	       a->waker_kind == head->waker_kind && a->waker_count == head->waker_count &&
	       !memcmp(a->waker_comm, head->waker_comm, COMM_LEN) &&
	       (!a->count || !memcmp(a->places, places, a->count * sizeof(*places)));
}

static uint64_t hash_of(
    const struct blocked *b, const struct blocked_stack *head, const struct place *places)
{
	uint64_t marks = hash_bytes(head->marks, sizeof(head->marks), b->seed);
	marks = hash_bytes(head->mark_at, sizeof(head->mark_at), marks);
	if (head->waker_kind)
		marks = hash_bytes(
		    head->waker_comm, COMM_LEN, marks + head->waker_count * 4u + head->waker_kind);
	uint64_t hash =
	    head->count ? hash_bytes(places, head->count * sizeof(*places), marks) : marks;
	return hash == MAP_NONE ? 0 : hash;
}

// The stack of that content, NULL where no thread stands there.
static struct shared *stack_find(const struct blocked *b, uint64_t hash,
    const struct blocked_stack *head, const struct place *places)
{
	uint64_t have;
	if (!map_get(&b->stacks, hash, &have))
		return NULL;
	struct shared *s = (struct shared *)(uintptr_t)have;
	return is_same(&s->stack, head, places) ? s : NULL;
}

// A new one where no thread stands yet. NULL + ENOMEM.
static struct shared *stack_new(
    struct blocked *b, uint64_t hash, const struct blocked_stack *head, const struct place *places)
{
	uint64_t bytes = stack_bytes(head->count), have;
	struct shared *s = block_new(b, bytes - BLOCK_HEAD, &b->stacks);
	if (!s)
		return NULL;
	s->hash = hash;
	s->stack = *head;
	s->stack.window = s->stack.stack_id = 0; // the caller's
	if (head->count)
		memcpy(s->stack.places, places, head->count * sizeof(*places));
	s->hidden = map_get(&b->stacks, hash, &have);
	if (s->hidden || !insert(b, &b->stacks, hash, s))
		return s;
	b->blocks -= bytes;
	mem_free(s);
	return errno = ENOMEM, NULL;
}

// Of what came in order (BLOCK 0) there is one for each thread, of what looks took one for each
// block. MAP_NONE is no key: is_sound() refuses what would have it.
static uint64_t key_of(uint32_t tid, uint32_t block)
{
	return (uint64_t)tid << 32 | block;
}

static struct node *node_of(const struct blocked *b, uint64_t key)
{
	uint64_t have;
	return map_get(&b->threads, key, &have) ? (struct node *)(uintptr_t)have : NULL;
}

// The node of KEY in no list and without a stack, new where there was none. NULL + ENOMEM.
static struct node *node_take(struct blocked *b, uint64_t key)
{
	struct node *n = node_of(b, key);
	if (n) {
		list_remove(b, n);
		stack_leave(b, n->thread.stack);
		return n;
	}
	n = block_new(b, sizeof(*n), &b->threads);
	if (!n)
		return NULL;
	n->key = key;
	if (!insert(b, &b->threads, key, n))
		return n;
	b->blocks -= sizeof(*n) + BLOCK_HEAD;
	mem_free(n);
	return errno = ENOMEM, NULL;
}

static void forget(struct blocked *b, uint64_t key)
{
	struct node *n = node_of(b, key);
	if (n)
		drop(b, n);
}

static bool is_sound(const struct record_sample *sample, const struct blocked_stack *head)
{
	for (int i = 0; i < BLOCKED_MARKS; i++)
		if (head->mark_at[i] > head->count)
			return false;
	return sample->block && key_of(sample->tid, sample->block) != MAP_NONE &&
	       sample->reason < OFF_WITH_STACK && head->count <= PROFILE_STACK_MAX;
}

struct blocked_thread *blocked_put(struct blocked *b, const struct record_sample *sample,
    uint32_t process, const struct blocked_stack *head, const struct place *places)
{
	if (!is_sound(sample, head))
		return errno = EINVAL, NULL;
	uint64_t key = key_of(sample->tid, sample->looked ? sample->block : 0);
	uint64_t hash = hash_of(b, head, places);
	struct shared *s = stack_find(b, hash, head, places);
	if (!s) { // what is known is of a block that is over: the first to make room
		forget(b, key);
		s = stack_new(b, hash, head, places);
		if (!s)
			return NULL;
	}
	s->threads++; // now, for making room for a node may let go of all others that stand there
	struct node *n = node_take(b, key);
	if (!n) {
		stack_leave(b, &s->stack);
		return errno = ENOMEM, NULL;
	}
	n->thread = (struct blocked_thread){.pid = sample->pid,
	    .tid = sample->tid,
	    .block = sample->block,
	    .process = process,
	    .object = sample->object,
	    .stack = &s->stack,
	    .reason = sample->reason};
	memcpy(n->thread.comm, sample->comm, COMM_LEN);
	memcpy(n->thread.process_comm, sample->process_comm, COMM_LEN);
	list_append(b, n);
	return &n->thread;
}

bool blocked_wake(struct blocked *b, struct blocked_thread *t, const struct blocked_stack *waker,
    struct place *places, uint32_t places_max)
{
	struct node *n = (struct node *)((char *)t - offsetof(struct node, thread));
	struct blocked_stack head = *waker, *own = t->stack;
	uint64_t key = n->key;
	if (own->waker_kind || !head.waker_kind || head.count > PROFILE_STACK_MAX - own->count ||
	    head.count + own->count > places_max || head.mark_at[0] > head.count ||
	    head.mark_at[1] > head.count)
		return errno = EINVAL, false;
	head.waker_count = (uint16_t)head.count;
	for (int i = 0; i < BLOCKED_MARKS / 2; i++) {
		head.marks[i + 2] = own->marks[i];
		head.mark_at[i + 2] = (uint16_t)(own->mark_at[i] + head.count);
	}
	if (own->count)
		memcpy(places + head.count, own->places, own->count * sizeof(*places));
	head.count += own->count;
	uint64_t hash = hash_of(b, &head, places);
	struct shared *s = stack_find(b, hash, &head, places);
	if (!s)
		s = stack_new(b, hash, &head, places);
	if (!s)
		return false;
	s->threads++;
	if (node_of(b, key) != n) { // it had to make room itself, as the last one
		stack_leave(b, &s->stack);
		return errno = ENOMEM, false;
	}
	stack_leave(b, n->thread.stack);
	n->thread.stack = &s->stack;
	return true;
}

struct blocked_thread *blocked_find(struct blocked *b, uint32_t pid, uint32_t tid, uint32_t block)
{
	struct node *n = node_of(b, key_of(tid, block));
	if (!n)
		n = node_of(b, key_of(tid, 0));
	if (!n || n->thread.pid != pid || n->thread.block != block)
		return NULL;
	list_remove(b, n);
	list_append(b, n);
	return &n->thread;
}

void blocked_forget(struct blocked *b, uint32_t tid, uint32_t block)
{
	forget(b, key_of(tid, block));
	struct node *n = node_of(b, key_of(tid, 0));
	if (n && (!block || n->thread.block == block))
		drop(b, n);
}

bool blocked_hold(struct blocked *b, struct blocked_stack *stack)
{
	struct shared *s = shared_of(stack);
	uint64_t more = s->held ? 0 : stack_bytes(stack->count);
	if (b->held + more > b->limit / 2)
		return false;
	b->held += more;
	s->held++;
	s->threads++;
	return true;
}

void blocked_release(struct blocked *b, struct blocked_stack *stack)
{
	struct shared *s = shared_of(stack);
	if (!--s->held)
		b->held -= stack_bytes(stack->count);
	stack_leave(b, stack);
}

uint32_t blocked_count(const struct blocked *b)
{
	return b->threads.count;
}

uint32_t blocked_stacks(const struct blocked *b)
{
	return b->stacks.count;
}

uint64_t blocked_bytes(const struct blocked *b)
{
	return b->blocks + map_bytes(&b->threads) + map_bytes(&b->stacks);
}

uint64_t blocked_evicted(const struct blocked *b)
{
	return b->evicted;
}

uint64_t blocked_shrink(void *arg, uint64_t need)
{
	struct blocked *b = arg;
	uint64_t before = blocked_bytes(b);
	while (!b->inserting && b->oldest != b->newest && before - blocked_bytes(b) < need) {
		drop(b, b->oldest);
		b->evicted++;
	}
	return before - blocked_bytes(b);
}
