// SPDX-License-Identifier: Apache-2.0
// Runs of blocks: against a naive model, at rest, and in chunks that come and go.
#include "unwind_fake.h"

#include "../../modules/unwind/store.c"

static uint64_t seed = 3;

static uint32_t draw(uint32_t below)
{
	seed = hash_mix(seed + 1);
	return (uint32_t)(seed % below);
}

// The lowest or highest run of free places, looked for one by one.
static uint32_t naive(const uint8_t *age, uint32_t count, bool top, bool later)
{
	for (uint32_t i = 0; i + count <= CHUNK_BLOCKS; i++) {
		uint32_t at = top ? CHUNK_BLOCKS - count - i : i, n = 0;
		while (n < count && (later ? age[at + n] != 1 : !age[at + n]))
			n++;
		if (n == count)
			return at;
	}
	return POOL_NONE;
}

static void as_a_naive_one(void **state)
{
	(void)state;
	static uint8_t age[CHUNK_BLOCKS]; // 0 free, 1 taken, 2 at rest, 3 for a turn
	struct pool *p = pool_new(CHUNK_BLOCKS);
	struct region live[600];
	uint32_t count = 0;
	for (int i = 0; i < 30000; i++) {
		uint32_t n = draw(10) ? 1 + draw(20) : 1 + draw(draw(20) ? 500 : CHUNK_BLOCKS);
		bool top = draw(2);
		if (i % 16 == 0)
			assert_int_equal(pool_find(p, n, top, true), naive(age, n, top, true));
		uint32_t first = pool_find(p, n, top, false);
		assert_int_equal(first, naive(age, n, top, false));
		if (first != POOL_NONE && count < 600 && draw(2)) {
			pool_take(p, first, n);
			memset(age + first, 1, n);
			live[count++] = (struct region){0, (uint16_t)first, (uint16_t)n};
		} else if (count && draw(4)) {
			uint32_t k = draw(count);
			bool seen = draw(8);
			(seen ? pool_rest : pool_drop)(p, live[k].first, live[k].count);
			memset(age + live[k].first, seen ? 2 : 0, live[k].count);
			live[k] = live[--count];
		} else if (!draw(6)) {
			pool_turn(p);
			for (uint32_t k = 0; k < CHUNK_BLOCKS; k++)
				age[k] = age[k] == 3 ? 0 : age[k] == 2 ? 3 : age[k];
		}
		uint32_t free = 0, rest = 0;
		for (uint32_t k = 0; k < CHUNK_BLOCKS; k++) {
			free += !age[k];
			rest += age[k] > 1;
		}
		assert_int_equal(p->free, free);
		assert_int_equal(p->rest, rest);
		uint32_t k = draw(CHUNK_BLOCKS);
		assert_int_equal(pool_is_free(p, k), !age[k]);
		assert_int_equal(pool_is_taken(p, k), age[k] == 1);
	}
	mem_free(p);
	assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
}

static struct store store;

static void start(uint32_t chunks, uint64_t memory)
{
	fake_reset(chunks);
	assert_int_equal(store_init(&store, &fake.tables, memory), 0);
}

static void end(void)
{
	store_clear(&store);
	assert_int_equal(fake.opened, fake.closed);
	assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
	assert_int_equal(mem_used(ACCOUNT_MAPS), 0);
}

static void chunks_come_and_go(void **state)
{
	(void)state;
	struct region a, b, c, d;
	start(64, 8 << 20);
	assert_int_equal(store_take(&store, 4000, false, &a), 0);
	assert_int_equal(store_take(&store, 200, false, &b), 0);
	assert_int_equal(store_take(&store, 50, false, &c), 0);
	assert_int_equal(store_take(&store, 7, true, &d), 0);
	assert_int_equal(fake.opened, 2);
	assert_int_equal(a.chunk, 0);
	assert_int_equal(b.chunk, 1);
	// The lowest chunk with room, rows from the bottom, mappings from the top.
	assert_int_equal(c.chunk * 10000 + c.first, 4000);
	assert_int_equal(d.chunk * 10000 + d.first, 4089);
	store_rest(&store, &b);
	assert_int_equal(b.count, 0);
	assert_false(store_tidy(&store)); // it still rests
	store_turn(&store);
	assert_false(store_tidy(&store));
	store_turn(&store);
	assert_true(store_tidy(&store));
	assert_false(store_tidy(&store));
	assert_int_equal(fake.closed, 1);
	assert_int_equal(store.open, 1);
	assert_int_equal(store.taken, 4057);
	// What nobody saw is free at once.
	store_drop(&store, &a);
	assert_int_equal(store_take(&store, 4000, false, &a), 0);
	assert_int_equal(fake.opened, 2);
	assert_int_equal(store_take(&store, CHUNK_BLOCKS + 1, false, &b), -ENOSPC);
	assert_int_equal(store_take(&store, CHUNK_BLOCKS, false, &b), 0);
	end();
}

static void never_above_memory(void **state)
{
	(void)state;
	struct region r;
	static const uint64_t sizes[] = {0, 1, 300 << 10, 1 << 20, 2 << 20, 8 << 20, 1ull << 34};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		start(64, sizes[i]);
		uint32_t n = 0;
		while (store_take(&store, CHUNK_BLOCKS, false, &r) == 0) {
			n++;
			assert_true(store_bytes(&store) + mem_used(ACCOUNT_UNWIND) <= sizes[i]);
		}
		// The rest is for what is being built.
		uint64_t left = store_left(&store), third = sizes[i] / 8 * 3, most = 768 << 10;
		assert_true(!n || n == 64 || left + 8192 >= (third < most ? third : most));
		assert_int_equal(n, sizes[i] == 1 << 20	  ? 1
				    : sizes[i] == 2 << 20 ? 4
				    : sizes[i] == 8 << 20 ? 28
				    : sizes[i] >> 34	  ? 64
							  : 0);
		assert_true(!n || store_share(&store) > 0);
		end();
	}
	// What is built takes the room of chunks that are not open yet.
	start(64, 8 << 20);
	void *built = mem_alloc(ACCOUNT_UNWIND, 6 << 20);
	uint32_t n = 0;
	while (store_take(&store, CHUNK_BLOCKS, false, &r) == 0)
		n++;
	assert_int_equal(n, 7);
	assert_true(store_left(&store) < 300 << 10);
	mem_free(built);
	end();
}

static void a_chunk_that_cannot_be_had(void **state)
{
	(void)state;
	struct region r;
	start(64, 8 << 20);
	fake.open_error = -EPERM;
	assert_int_equal(store_take(&store, 1, false, &r), -EPERM);
	fake.open_error = 0;
	for (uint64_t n = 1; n <= 2; n++) { // the pool, the chunk
		mem_fail_at(n);
		assert_int_equal(store_take(&store, 1, false, &r), -ENOMEM);
		mem_fail_at(0);
		assert_int_equal(store.open, 0);
	}
	assert_int_equal(store_take(&store, 1, false, &r), 0);
	end();
	fake_reset(64);
	mem_fail_at(1);
	assert_int_equal(store_init(&store, &fake.tables, 1 << 20), -ENOMEM);
	mem_fail_at(0);
	store_clear(&store);
}

static void full_and_low(void **state)
{
	(void)state;
	struct region r[40] = {};
	uint32_t n = 0;
	start(2, 8 << 20);
	while (store_take(&store, 500, n % 3 == 0, &r[n]) == 0)
		n++;
	assert_int_equal(n, 16);
	assert_true(store_is_low(&store));
	assert_false(store_fits(&store, 500));
	store_rest(&store, &r[1]);
	store_rest(&store, &r[2]);
	assert_false(store_is_low(&store));
	assert_int_equal(store_take(&store, 500, false, &r[16]), -ENOSPC); // it rests
	assert_true(store_fits(&store, 1000));
	store_turn(&store);
	store_turn(&store);
	assert_int_equal(store_take(&store, 1000, false, &r[16]), 0); // both in one
	end();
	// Of many chunks no more than one is kept free ahead of need.
	start(24, 8 << 20);
	for (n = 0; n < 23; n++)
		assert_int_equal(store_take(&store, CHUNK_BLOCKS, false, &r[n]), 0);
	assert_int_equal(store_take(&store, 1, false, &r[23]), 0);
	assert_true(store_is_low(&store));
	store_rest(&store, &r[23]);
	assert_false(store_is_low(&store));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(as_a_naive_one),
	    cmocka_unit_test(chunks_come_and_go),
	    cmocka_unit_test(never_above_memory),
	    cmocka_unit_test(a_chunk_that_cannot_be_had),
	    cmocka_unit_test(full_and_low),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
