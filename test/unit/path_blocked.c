// SPDX-License-Identifier: Apache-2.0
// Threads off the CPU: what is known of them, what they share, who goes first, and how much it
// takes.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../modules/base/base.h"

static uint64_t hash_for_test(const void *bytes, size_t n, uint64_t seed);
#define hash_bytes hash_for_test
#include "../../modules/path/blocked.c"
#undef hash_bytes

static uint64_t same_hash; // not 0: of whatever
static uint64_t hash_for_test(const void *bytes, size_t n, uint64_t seed)
{
	return same_hash ? same_hash : hash_bytes(bytes, n, seed);
}

#define LARGE (64ull << 20)
static struct blocked *blocked;

static struct record_sample sample_of(uint32_t pid, uint32_t tid, uint32_t block)
{
	return (struct record_sample){.pid = pid,
	    .tid = tid,
	    .block = block,
	    .object = 0x1000 + tid,
	    .reason = OFF_MUTEX,
	    .comm = "worker-15-bytes", // no NUL: it has all 16 bytes
	    .process_comm = "server"};
}

// COUNT places that WHERE tells apart from others.
static struct blocked_thread *put(
    uint32_t pid, uint32_t tid, uint32_t block, uint32_t where, uint32_t count)
{
	static struct place places[PROFILE_STACK_MAX + 1];
	struct record_sample sample = sample_of(pid, tid, block);
	struct blocked_stack head = {.count = count};
	for (uint32_t i = 0; i < count && i <= PROFILE_STACK_MAX; i++)
		places[i] = (struct place){.address = 0x400000 + where * 64ull * (i == 0) + i,
		    .owner = 7,
		    .kind = PLACE_FILE};
	struct blocked_thread *t = blocked_put(blocked, &sample, pid * 10, &head, places);
	if (t)
		assert_true(blocked_bytes(blocked) == mem_used(ACCOUNT_PATH));
	return t;
}

static int begin(void **state)
{
	(void)state;
	same_hash = 0;
	blocked = blocked_new(LARGE);
	return !blocked;
}

static void limit_to(uint64_t bytes)
{
	blocked_free(blocked);
	blocked = blocked_new(bytes);
	assert_non_null(blocked);
}

static int end(void **state)
{
	(void)state;
	mem_fail_at(0);
	mem_limit(0);
	mem_on_squeeze(NULL, NULL);
	blocked_free(blocked);
	blocked_free(NULL);
	return mem_used(ACCOUNT_PATH) != 0;
}

static void what_was_put_is_found(void **state)
{
	(void)state;
	struct record_sample sample = sample_of(10, 11, 5);
	struct place places[] = {{.address = 1, .owner = 2, .kind = PLACE_FILE}, {.address = 3}};
	struct blocked_stack head = {
	    .count = 2, .window = 99, .stack_id = 98, .marks = {4, 5}, .mark_at = {1, 2}};
	memcpy(sample.comm, "0123456789abcdef", COMM_LEN);
	assert_non_null(blocked_put(blocked, &sample, 77, &head, places));
	memset(places, 0xee, sizeof(places)); // it was copied
	struct blocked_thread *t = blocked_find(blocked, 10, 11, 5);
	assert_non_null(t);
	assert_true(t->pid == 10 && t->tid == 11 && t->block == 5 && t->process == 77);
	assert_true(t->object == 0x1000 + 11 && t->reason == OFF_MUTEX);
	assert_memory_equal(t->comm, "0123456789abcdef", COMM_LEN);
	assert_string_equal(t->process_comm, "server");
	assert_true(!t->window && !t->subject_id && !t->stack->window && !t->stack->stack_id);
	assert_int_equal(t->stack->count, 2);
	assert_true(t->stack->marks[0] == 4 && t->stack->marks[1] == 5);
	assert_true(t->stack->mark_at[0] == 1 && t->stack->mark_at[1] == 2);
	assert_true(t->stack->places[0].address == 1 && t->stack->places[0].owner == 2);
	assert_true(t->stack->places[0].kind == PLACE_FILE && t->stack->places[1].address == 3);
	assert_null(blocked_find(blocked, 10, 11, 4));
	assert_null(blocked_find(blocked, 10, 12, 5));
	// Another process has got the number of the thread.
	assert_null(blocked_find(blocked, 20, 11, 5));
	assert_non_null(put(20, 11, 5, 1, 1));
	assert_null(blocked_find(blocked, 10, 11, 5));
	assert_int_equal(blocked_find(blocked, 20, 11, 5)->process, 200);
	assert_int_equal(blocked_count(blocked), 1);
	blocked_forget(blocked, 11, 0);
	blocked_forget(blocked, 11, 0);
	assert_null(blocked_find(blocked, 20, 11, 5));
	assert_int_equal(blocked_bytes(blocked), sizeof(struct blocked) + BLOCK_HEAD);
}

// What a look took stands beside what came in order, and each is known until its block is over.
static void looks_stand_beside(void **state)
{
	(void)state;
	struct place place = {.address = 5};
	struct blocked_stack head = {.count = 1};
	struct record_sample sample = sample_of(1, 2, 7);
	sample.looked = 1;
	assert_non_null(blocked_put(blocked, &sample, 10, &head, &place));
	assert_non_null(put(1, 2, 6, 1, 3)); // was in the ring meanwhile
	sample.block = 9;
	assert_non_null(blocked_put(blocked, &sample, 10, &head, &place));
	assert_int_equal(blocked_count(blocked), 3);
	assert_int_equal(blocked_find(blocked, 1, 2, 6)->stack->count, 3);
	blocked_forget(blocked, 2, 6);
	assert_null(blocked_find(blocked, 1, 2, 6));
	assert_non_null(put(1, 2, 7, 1, 3)); // the same block: what the look saw counts
	assert_int_equal(blocked_find(blocked, 1, 2, 7)->stack->count, 1);
	blocked_forget(blocked, 2, 7);
	assert_null(blocked_find(blocked, 1, 2, 7));
	assert_null(blocked_find(blocked, 2, 2, 9)); // another process
	assert_non_null(blocked_find(blocked, 1, 2, 9));
	blocked_forget(blocked, 2, 9);
	assert_int_equal(blocked_bytes(blocked), sizeof(struct blocked) + BLOCK_HEAD);
	// No key is the map's own mark.
	sample.tid = sample.block = UINT32_MAX;
	assert_null(blocked_put(blocked, &sample, 10, &head, &place));
	assert_int_equal(errno, EINVAL);
}

static void held_stacks_stay(void **state)
{
	(void)state;
	limit_to(8000);
	struct blocked_stack *stack = put(1, 1, 1, 1, 100)->stack;
	assert_true(blocked_hold(blocked, stack));
	assert_true(blocked_hold(blocked, stack));
	blocked_forget(blocked, 1, 1);
	assert_int_equal(stack->places[0].address, 0x400000 + 64);
	assert_ptr_equal(put(1, 2, 1, 1, 100)->stack, stack);
	struct blocked_stack *second = put(1, 3, 1, 2, 100)->stack;
	assert_true(blocked_hold(blocked, second));
	// They are never more than half of the room, so that there is always some for threads.
	assert_false(blocked_hold(blocked, put(1, 4, 1, 3, 100)->stack));
	assert_true(blocked_hold(blocked, second));
	for (uint32_t tid = 10; tid < 100; tid++)
		assert_non_null(put(1, tid, 1, tid, 50));
	assert_true(blocked_bytes(blocked) <= 8000);
	assert_int_equal(second->places[0].address, 0x400000 + 2 * 64);
	blocked_release(blocked, second);
	blocked_release(blocked, second);
	blocked_release(blocked, stack);
	assert_true(blocked_hold(blocked, stack));
	blocked_release(blocked, stack);
	blocked_release(blocked, stack);
	while (blocked_shrink(blocked, UINT64_MAX))
		;
	assert_int_equal(blocked_count(blocked), 1);
}

static void equal_stacks_are_one(void **state)
{
	(void)state;
	struct blocked_stack *one = put(1, 1, 1, 0, 20)->stack;
	one->window = 3;
	one->stack_id = 33;
	assert_ptr_equal(put(1, 2, 1, 0, 20)->stack, one);
	assert_ptr_equal(put(2, 3, 9, 0, 20)->stack, one); // places tell all, whosever they are
	assert_int_equal(one->stack_id, 33);		   // what it is known by is for all
	struct blocked_stack *other = put(1, 4, 1, 1, 20)->stack;
	assert_ptr_not_equal(other, one);
	assert_ptr_not_equal(put(1, 5, 1, 0, 19)->stack, one);
	assert_int_equal(blocked_stacks(blocked), 3);
	// The marks are part of it.
	struct record_sample sample = sample_of(1, 6, 1);
	struct place place = {.address = 1};
	for (uint32_t i = 0; i < 6; i++, sample.tid++) {
		struct blocked_stack head = {
		    .count = 1, .marks = {i == 1 || i > 2, i == 2}, .mark_at = {i == 4, i == 5}};
		assert_non_null(blocked_put(blocked, &sample, 1, &head, &place));
		assert_int_equal(blocked_stacks(blocked), 4 + i - (i > 2));
	}
	// A thread goes from one to another; the last that leaves frees it.
	uint64_t before = blocked_bytes(blocked);
	put(1, 4, 2, 0, 20);
	assert_int_equal(before - blocked_bytes(blocked), stack_bytes(20));
	blocked_forget(blocked, 1, 0);
	blocked_forget(blocked, 2, 0);
	blocked_forget(blocked, 3, 0);
	assert_ptr_equal(blocked_find(blocked, 1, 4, 2)->stack, one);
	assert_int_equal(one->places[19].address, 0x400000 + 19);
	put(1, 4, 3, 0, 20)->subject_id = 5;
	assert_ptr_equal(blocked_find(blocked, 1, 4, 3)->stack, one); // alone, and back again
	assert_int_equal(blocked_find(blocked, 1, 4, 3)->subject_id, 5);
	assert_int_equal(put(1, 4, 4, 0, 20)->subject_id, 0);
	assert_ptr_not_equal(put(1, 4, 5, 2, 20), one);
}

static void stacks_of_one_hash_stay_apart(void **state)
{
	(void)state;
	for (int round = 0; round < 2; round++) {
		same_hash = round ? MAP_NONE : 42;
		struct blocked_stack *one = put(1, 1, 1, 1, 5)->stack,
				     *other = put(1, 2, 1, 2, 5)->stack;
		assert_ptr_not_equal(one, other);
		assert_int_equal(other->places[0].address, 0x400000 + 2 * 64);
		assert_ptr_equal(put(1, 3, 1, 1, 5)->stack, one);
		assert_ptr_not_equal(put(1, 4, 1, 2, 5)->stack, other); // it cannot be found
		blocked_forget(blocked, 2, 0); // frees its own, not the one in the table
		assert_ptr_equal(put(1, 5, 1, 1, 5)->stack, one);
		blocked_forget(blocked, 1, 0);
		blocked_forget(blocked, 3, 0);
		blocked_forget(blocked, 5, 0);
		assert_ptr_equal(put(1, 6, 1, 2, 5)->stack, put(1, 7, 1, 2, 5)->stack);
		// Content is compared: marks, and how many places.
		struct record_sample sample = sample_of(1, 8, 1);
		struct place place = {.address = 1};
		struct blocked_stack heads[] = {{.count = 1}, {.count = 1, .marks = {1}},
		    {.count = 1, .marks = {0, 1}}, {.count = 1, .mark_at = {1}},
		    {.count = 1, .mark_at = {0, 1}}, {.count = 0}};
		for (uint32_t tid = 1; tid < 8; tid++)
			blocked_forget(blocked, tid, 0);
		assert_non_null(blocked_put(blocked, &sample, 1, &heads[0], &place));
		for (uint32_t i = 1; i < sizeof(heads) / sizeof(*heads); i++) {
			sample.tid++;
			struct blocked_thread *t =
			    blocked_put(blocked, &sample, 1, &heads[i], &place);
			assert_ptr_not_equal(t->stack, blocked_find(blocked, 1, 8, 1)->stack);
		}
		for (uint32_t tid = 8; tid < 14; tid++)
			blocked_forget(blocked, tid, 0);
		assert_int_equal(blocked_bytes(blocked), sizeof(struct blocked) + BLOCK_HEAD);
	}
}

// Who wakes becomes a part of the stack, above what the thread stood at.
static void who_wakes_is_a_part_of_the_stack(void **state)
{
	(void)state;
	struct record_sample sample = sample_of(1, 1, 7);
	struct place own[] = {{.address = 1}, {.address = 2}},
		     at[5] = {{.address = 8}, {.address = 9}};
	struct blocked_stack head = {.count = 2, .marks = {4, 5}, .mark_at = {1, 2}};
	struct blocked_stack waker = {.count = 2,
	    .marks = {0, 6},
	    .mark_at = {0, 2},
	    .waker_kind = WAKER_THREAD,
	    .waker_comm = "feeder"};
	assert_non_null(blocked_put(blocked, &sample, 1, &head, own));
	sample.tid = 2;
	assert_non_null(blocked_put(blocked, &sample, 1, &head, own));
	assert_true(blocked_wake(blocked, blocked_find(blocked, 1, 1, 7), &waker, at, 4));
	const struct blocked_stack *s = blocked_find(blocked, 1, 1, 7)->stack;
	assert_true(s->count == 4 && s->waker_count == 2 && s->waker_kind == WAKER_THREAD);
	assert_true(s->places[0].address == 8 && s->places[1].address == 9);
	assert_true(s->places[2].address == 1 && s->places[3].address == 2);
	assert_true(!s->marks[0] && s->marks[1] == 6 && s->marks[2] == 4 && s->marks[3] == 5);
	assert_true(s->mark_at[1] == 2 && s->mark_at[2] == 3 && s->mark_at[3] == 4);
	assert_string_equal(s->waker_comm, "feeder");
	assert_int_equal(blocked_find(blocked, 1, 2, 7)->stack->count, 2); // nobody woke it
	// Once; by somebody; with room for both; with marks where places are.
	assert_false(blocked_wake(blocked, blocked_find(blocked, 1, 1, 7), &waker, at, 4));
	struct blocked_stack none = {.count = 2}, wrong = waker;
	wrong.mark_at[1] = 3;
	assert_false(blocked_wake(blocked, blocked_find(blocked, 1, 2, 7), &none, at, 4));
	assert_false(blocked_wake(blocked, blocked_find(blocked, 1, 2, 7), &waker, at, 3));
	assert_false(blocked_wake(blocked, blocked_find(blocked, 1, 2, 7), &wrong, at, 4));
	// Equal ones are one, and all that is different makes another.
	assert_true(blocked_wake(blocked, blocked_find(blocked, 1, 2, 7), &waker, at, 4));
	assert_ptr_equal(blocked_find(blocked, 1, 2, 7)->stack, s);
	assert_int_equal(blocked_stacks(blocked), 1);
	for (uint32_t tid = 3; tid < 6; tid++) {
		struct blocked_stack other = waker;
		other.waker_kind = tid == 3 ? WAKER_INTERRUPT : WAKER_THREAD;
		other.waker_comm[0] = tid == 4 ? 'x' : 'f';
		other.count -= tid == 5;
		other.mark_at[1] = (uint16_t)other.count;
		sample.tid = tid;
		assert_non_null(blocked_put(blocked, &sample, 1, &head, own));
		at[1].address = 9;
		assert_true(blocked_wake(blocked, blocked_find(blocked, 1, tid, 7), &other, at, 4));
		assert_int_equal(blocked_stacks(blocked), tid - 1);
	}
	assert_true(blocked_bytes(blocked) == mem_used(ACCOUNT_PATH));
	// The one that wakes needs room for both: if need be its own, and then nothing is known.
	struct place many[PROFILE_STACK_MAX] = {0};
	for (uint64_t limit = 600; limit < 3000; limit += 8) {
		limit_to(limit);
		if (!put(1, 1, 7, 1, 10))
			continue;
		waker.count = 30;
		waker.mark_at[1] = 30;
		bool woken = blocked_wake(
		    blocked, blocked_find(blocked, 1, 1, 7), &waker, many, PROFILE_STACK_MAX);
		struct blocked_thread *t = blocked_find(blocked, 1, 1, 7);
		assert_true(!woken || (t && t->stack->count == 40));
		assert_true(blocked_bytes(blocked) == mem_used(ACCOUNT_PATH));
		assert_true(blocked_bytes(blocked) <= limit);
		if (t)
			assert_int_equal(blocked_count(blocked), 1);
	}
}

static void longest_unheard_goes_first(void **state)
{
	(void)state;
	uint32_t room = 0;
	limit_to(8000);
	while (!blocked_evicted(blocked))
		assert_non_null(put(1, ++room, 1, 0, 10));
	assert_int_equal(blocked_evicted(blocked), 1);
	assert_null(blocked_find(blocked, 1, 1, 1));
	assert_non_null(blocked_find(blocked, 1, 2, 1)); // heard of: now 3 is next, then 4
	assert_non_null(put(1, 4, 2, 0, 10));
	assert_int_equal(blocked_evicted(blocked), 1); // replaced in its place
	for (uint32_t i = 1; i < 3; i++)
		assert_non_null(put(1, room + i, 1, 0, 10));
	assert_int_equal(blocked_evicted(blocked), 3);
	assert_null(blocked_find(blocked, 1, 3, 1));
	assert_null(blocked_find(blocked, 1, 5, 1));
	assert_non_null(blocked_find(blocked, 1, 2, 1));
	assert_non_null(blocked_find(blocked, 1, 4, 2));
	assert_non_null(blocked_find(blocked, 1, 6, 1));
	assert_int_equal(blocked_count(blocked), room - 1);
	assert_true(blocked_bytes(blocked) <= 8000);
	assert_true(
	    blocked_bytes(blocked) + sizeof(struct node) + map_growth(&blocked->threads) > 8000);
	// One that needs the room of many.
	assert_non_null(put(2, 1000, 1, 9, 300));
	assert_true(blocked_bytes(blocked) <= 8000);
	assert_int_equal(blocked_evicted(blocked) + blocked_count(blocked), room + 3);
	assert_non_null(blocked_find(blocked, 1, room + 2, 1));
}

static void own_past_makes_room_first(void **state)
{
	(void)state;
	limit_to(2000);
	assert_non_null(put(1, 1, 1, 0, 1));
	assert_non_null(put(1, 2, 1, 1, 50));
	for (uint32_t block = 2; block < 50; block++)
		assert_non_null(put(1, 2, block, block, 50));
	assert_int_equal(blocked_evicted(blocked), 0);
	assert_non_null(blocked_find(blocked, 1, 1, 1));
}

static void hostile_samples_are_refused(void **state)
{
	(void)state;
	assert_non_null(put(1, 1, 1, 0, PROFILE_STACK_MAX));
	assert_non_null(put(1, 2, 1, 0, 0));
	assert_int_equal(blocked_find(blocked, 1, 2, 1)->stack->count, 0);
	errno = 0;
	assert_null(put(1, 3, 1, 0, PROFILE_STACK_MAX + 1));
	assert_int_equal(errno, EINVAL);
	assert_null(put(1, 3, 1, 0, UINT32_MAX));
	assert_null(put(1, 3, 0, 0, 1));
	struct place place = {.address = 1};
	struct record_sample sample = sample_of(1, 3, 1);
	struct blocked_stack head = {.count = 1, .marks = {1}, .mark_at = {2}};
	assert_null(blocked_put(blocked, &sample, 1, &head, &place));
	head = (struct blocked_stack){.count = 1, .mark_at = {0, 2}};
	assert_null(blocked_put(blocked, &sample, 1, &head, &place));
	head.mark_at[1] = 1;
	sample.reason = OFF_WITH_STACK;
	assert_null(blocked_put(blocked, &sample, 1, &head, &place));
	sample.reason = OFF_WITH_STACK - 1;
	sample.tid = UINT32_MAX;
	assert_non_null(blocked_put(blocked, &sample, 1, &head, &place));
	head.count = 0;
	head.mark_at[1] = 0;
	assert_non_null(blocked_put(blocked, &sample, 1, &head, NULL));
	assert_int_equal(blocked_count(blocked), 3);
	// Room for nothing at all, for nothing but itself, and for not enough.
	assert_null(blocked_new(sizeof(struct blocked)));
	assert_int_equal(errno, EINVAL);
	limit_to(sizeof(struct blocked) + BLOCK_HEAD);
	assert_null(put(1, 1, 1, 0, 0));
	assert_int_equal(errno, ENOMEM);
	limit_to(1500);
	assert_non_null(put(1, 1, 1, 0, 1));
	assert_null(put(1, 2, 1, 1, 100));
	assert_int_equal(errno, ENOMEM);
	assert_non_null(put(1, 2, 1, 1, 1));
}

// Against a plain array of what each thread was put with last, at a limit that evicts.
static void same_as_an_array(void **state)
{
	(void)state;
	static struct {
		uint32_t pid, block, where, count;
	} truth[500];
	uint64_t seed = 1, found = 0;
	limit_to(40000);
	for (int i = 0; i < 100000; i++) {
		seed = hash_mix(seed + 1);
		uint32_t tid = seed % 500, what = seed >> 60;
		if (what < 8) {
			truth[tid].pid = seed >> 20 & 1;
			truth[tid].block++;
			truth[tid].where = seed >> 32 & 63;
			truth[tid].count = truth[tid].where == 5 ? 200 : seed >> 40 & 7;
			assert_non_null(put(truth[tid].pid, tid, truth[tid].block, truth[tid].where,
			    truth[tid].count));
		} else if (what < 9) {
			blocked_forget(blocked, tid, 0);
			truth[tid].pid = 9;
		} else {
			struct blocked_thread *t =
			    blocked_find(blocked, truth[tid].pid, tid, truth[tid].block);
			assert_true(!t || truth[tid].pid != 9);
			found += t != NULL;
			assert_true(!t || t->stack->count == truth[tid].count);
			assert_true(
			    !t || !t->stack->count ||
			    t->stack->places[0].address == 0x400000 + truth[tid].where * 64ull);
		}
		assert_true(blocked_bytes(blocked) <= 40000);
		assert_true(blocked_bytes(blocked) == mem_used(ACCOUNT_PATH));
	}
	assert_true(found > 10000 && blocked_evicted(blocked) > 1000);
	uint32_t listed = 0, bound = 0;
	for (struct node *n = blocked->oldest; n; n = n->newer, listed++)
		assert_true(n->newer ? n->newer->older == n : n == blocked->newest);
	assert_int_equal(listed, blocked_count(blocked));
	struct map_slot slot;
	for (uint32_t i = 0; map_next(&blocked->stacks, &i, &slot);)
		bound += ((struct shared *)(uintptr_t)slot.value)->threads;
	assert_int_equal(bound, listed);
}

// The limit holds while a table grows, too, when it has both its old memory and the new.
static void limit_holds_at_every_moment(void **state)
{
	(void)state;
	uint64_t limit = 300000, before = mem_total() - mem_used(ACCOUNT_PATH);
	char *ballast =
	    mem_alloc(ACCOUNT_BASE, 1 << 20); // whatever the peak was, above it from here
	while (mem_peak() > mem_total())
		ballast = mem_resize(ACCOUNT_BASE, ballast, (1 << 20) + mem_peak() - mem_total());
	before = mem_total() - mem_used(ACCOUNT_PATH);
	limit_to(limit);
	for (uint32_t tid = 0; tid < 10000; tid++)
		assert_non_null(put(1, tid, 1, tid, tid % 3));
	assert_true(mem_peak() - before <= limit);
	assert_true(mem_peak() - before > limit * 9 / 10);
	mem_free(ballast);
}

static void room_is_given_back(void **state)
{
	(void)state;
	for (uint32_t tid = 1; tid <= 1000; tid++)
		assert_non_null(put(1, tid, 1, tid / 2, 10));
	struct blocked_thread *held = blocked_find(blocked, 1, 1, 1);
	uint64_t before = mem_used(ACCOUNT_PATH), freed = blocked_shrink(blocked, 10000);
	assert_int_equal(before - mem_used(ACCOUNT_PATH), freed);
	assert_true(freed >= 10000 && freed < 10000 + 1000);
	assert_true(blocked_evicted(blocked) > 10 && blocked_evicted(blocked) < 100);
	assert_null(blocked_find(blocked, 1, 2, 1));
	// All but the one that is in somebody's hands.
	held = blocked_find(blocked, 1, 500, 1);
	assert_true(blocked_shrink(blocked, UINT64_MAX) > 0);
	assert_int_equal(blocked_count(blocked), 1);
	assert_true(held->tid == 500 && held->stack->places[0].address == 0x400000 + 250 * 64);
	assert_int_equal(blocked_shrink(blocked, 1), 0);
	blocked_forget(blocked, 500, 0);
	assert_int_equal(blocked_shrink(blocked, 1), 0);
}

// Whatever an allocation of its own squeezes out of it, it stays whole.
static void it_may_be_squeezed_at_any_time(void **state)
{
	(void)state;
	for (uint32_t tid = 1; tid <= 200; tid++)
		assert_non_null(put(1, tid, 1, tid, 10));
	mem_on_squeeze(blocked_shrink, blocked);
	mem_limit(mem_total());
	uint32_t refused = 0;
	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t tid = 1 + i % 700;
		struct blocked_thread *t = put(1, tid, i, i % 200, i % 40);
		refused += i && !t;
		struct blocked_thread *f = blocked_find(blocked, 1, tid, i);
		assert_true(t == f);
		assert_true(!t || t->stack->count == i % 40);
	}
	assert_true(blocked_evicted(blocked) > 100);
	// Only where a table was to grow: out of that one nothing can be taken meanwhile.
	assert_true(refused < 300);
	struct map_slot slot;
	uint32_t n = 0;
	for (uint32_t i = 0; map_next(&blocked->threads, &i, &slot); n++)
		assert_true(((struct node *)(uintptr_t)slot.value)->key == slot.key);
	assert_int_equal(n, blocked_count(blocked));
}

// A table that grows copies what is in it: nothing may be taken out meanwhile.
static void a_growing_table_is_left_alone(void **state)
{
	(void)state;
	for (uint32_t tid = 1; tid <= 12; tid++)
		assert_non_null(put(1, tid, 1, 0, 3));
	uint64_t growth = map_growth(&blocked->threads);
	assert_true(growth > sizeof(struct node) + BLOCK_HEAD);
	mem_on_squeeze(blocked_shrink, blocked);
	mem_limit(mem_total() + growth);
	assert_null(put(1, 13, 1, 0, 3)); // the node fits, and then the table does not
	assert_int_equal(blocked_count(blocked), 12);
	assert_int_equal(blocked_evicted(blocked), 0);
	assert_int_equal(blocked_shrink(blocked, 1), sizeof(struct node) + BLOCK_HEAD);
	mem_limit(mem_total() + growth + 2 * (sizeof(struct node) + BLOCK_HEAD));
	assert_non_null(put(1, 13, 1, 0, 3));
	assert_non_null(put(1, 14, 1, 0, 3));
}

static void each_allocation_fails_in_turn(void **state)
{
	(void)state;
	mem_fail_at(1);
	assert_null(blocked_new(LARGE));
	// 12 fill the tables' first 16 slots: the 13th needs a block and a larger table, each
	// twice.
	for (uint64_t n = 1, refused = 1; refused; n++) {
		limit_to(LARGE);
		for (uint32_t tid = 1; tid <= 12; tid++)
			assert_non_null(put(1, tid, 1, tid, 3));
		uint64_t before = mem_used(ACCOUNT_PATH);
		mem_fail_at(n);
		refused = !put(1, 14, 1, 14, 3);
		mem_fail_at(0);
		assert_int_equal(blocked_count(blocked), 13 - refused);
		assert_int_equal(refused, n <= 4);
		assert_true(blocked_bytes(blocked) == mem_used(ACCOUNT_PATH));
		assert_true(!refused || n > 2 || mem_used(ACCOUNT_PATH) == before);
		assert_int_equal(blocked_stacks(blocked), 13 - refused);
		for (uint32_t tid = 1; tid <= 12; tid++)
			assert_non_null(blocked_find(blocked, 1, tid, 1));
		assert_non_null(put(1, 14, 2, 14, 3));
	}
	// Of a thread that was known nothing is left: its block is over.
	mem_fail_at(1);
	assert_null(put(1, 5, 2, 99, 3));
	mem_fail_at(0);
	assert_null(blocked_find(blocked, 1, 5, 1));
	assert_null(blocked_find(blocked, 1, 5, 2));
	assert_int_equal(blocked_evicted(blocked), 0);
}

// Not a test of speed, but of memory: 20,000 threads in 100 places.
static void many_threads_take_little(void **state)
{
	(void)state;
	enum { THREADS = 20000, ROUNDS = 20 };
	const char *bench = getenv("BENCH");
	uint64_t times[4] = {clock_now()};
	for (uint32_t tid = 1; tid <= THREADS; tid++)
		assert_non_null(put(tid / 100, tid, 1, tid % 100, 20));
	times[1] = clock_now();
	for (uint32_t i = 0; bench && i < ROUNDS * THREADS; i++)
		put(i % THREADS / 100, 1 + i % THREADS, i + 2, i % 97, 20);
	times[2] = clock_now();
	for (uint32_t i = 0; bench && i < ROUNDS * THREADS; i++)
		blocked_find(blocked, 0, 1 + i * 7919ull % THREADS, i);
	times[3] = clock_now();
	assert_int_equal(blocked_count(blocked), THREADS);
	assert_true(blocked_bytes(blocked) / THREADS < 160);
	if (bench)
		print_message("%.1f bytes a thread; ns: first put %.0f, put %.0f, find %.0f\n",
		    (double)blocked_bytes(blocked) / THREADS,
		    (double)(times[1] - times[0]) / THREADS,
		    (double)(times[2] - times[1]) / THREADS / ROUNDS,
		    (double)(times[3] - times[2]) / THREADS / ROUNDS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(what_was_put_is_found),
	    TEST(looks_stand_beside),
	    TEST(held_stacks_stay),
	    TEST(equal_stacks_are_one),
	    TEST(stacks_of_one_hash_stay_apart),
	    TEST(who_wakes_is_a_part_of_the_stack),
	    TEST(longest_unheard_goes_first),
	    TEST(own_past_makes_room_first),
	    TEST(hostile_samples_are_refused),
	    TEST(same_as_an_array),
	    TEST(limit_holds_at_every_moment),
	    TEST(room_is_given_back),
	    TEST(it_may_be_squeezed_at_any_time),
	    TEST(a_growing_table_is_left_alone),
	    TEST(each_allocation_fails_in_turn),
	    TEST(many_threads_take_little),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
