// SPDX-License-Identifier: Apache-2.0
// Numbers in a row: against a naive model, at rest. Pages: within the limit, all or none.
#include "unwind_fake.h"

#include "../../modules/unwind/store.c"

static uint64_t seed = 3;

static uint32_t draw(uint32_t below)
{
	seed = hash_mix(seed + 1);
	return (uint32_t)(seed % below);
}

#define BITS 4096

// The lowest run of free places, looked for one by one.
static uint32_t naive(const uint8_t *age, uint32_t count, bool later)
{
	for (uint32_t at = 0; at + count <= BITS; at++) {
		uint32_t n = 0;
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
	static uint8_t age[BITS]; // 0 free, 1 taken, 2 at rest, 3 for a turn
	struct pool *p = pool_new(BITS);
	struct {
		uint32_t first, count;
	} live[600];
	uint32_t count = 0;
	for (int i = 0; i < 30000; i++) {
		uint32_t n = draw(10) ? 1 + draw(20) : 1 + draw(draw(20) ? 500 : BITS);
		if (i % 16 == 0)
			assert_int_equal(pool_find(p, n, true), naive(age, n, true));
		uint32_t first = pool_find(p, n, false);
		assert_int_equal(first, naive(age, n, false));
		if (first != POOL_NONE && count < 600 && draw(2)) {
			pool_take(p, first, n);
			memset(age + first, 1, n);
			live[count].first = first;
			live[count++].count = n;
		} else if (count && draw(4)) {
			uint32_t k = draw(count);
			pool_rest(p, live[k].first, live[k].count);
			memset(age + live[k].first, 2, live[k].count);
			live[k] = live[--count];
		} else if (!draw(6)) {
			pool_turn(p);
			for (uint32_t k = 0; k < BITS; k++)
				age[k] = age[k] == 3 ? 0 : age[k] == 2 ? 3 : age[k];
		}
		uint32_t free = 0, rest = 0;
		for (uint32_t k = 0; k < BITS; k++) {
			free += !age[k];
			rest += age[k] > 1;
		}
		assert_int_equal(p->free, free);
		assert_int_equal(p->rest, rest);
		uint32_t k = draw(BITS);
		assert_int_equal(pool_is_free(p, k), !age[k]);
		assert_int_equal(pool_is_taken(p, k), age[k] == 1);
	}
	mem_free(p);
	assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
}

static struct store store;

static void start(uint64_t memory)
{
	fake_reset(memory);
	store = store_new(&fake.tables, memory);
}

static void end(void)
{
	assert_int_equal(fake.puts, fake.drops);
	assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
	assert_int_equal(mem_used(ACCOUNT_MAPS), 0);
}

static struct block blocks[REGION_BLOCKS];

static void fill(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		blocks[i].words[0] = (uint64_t)draw(1000) << 32 | (i + 1);
}

#define RULES 70 // blocks of the dictionary, where there are so many

static int put_kind(enum page_kind kind, uint32_t count, struct region *r)
{
	return kind == PAGE_MAPPINGS ? store_put_mappings(&store, blocks, count, r)
				     : store_put_rows(&store, blocks, RULES, count, r);
}

static int put_rows(uint32_t count, struct region *r)
{
	return put_kind(PAGE_ROWS, count, r);
}

// The blocks, and before rows where each page but the first begins.
static void is_there(const struct region *r)
{
	uint32_t index = r->kind == PAGE_ROWS ? index_blocks(r->count) : 0;
	for (uint32_t i = 0; i < r->count; i++)
		assert_memory_equal(
		    fake_block(r->kind, r->page, index + i), &blocks[i], sizeof(*blocks));
	for (uint32_t n = 1; index && n * 31 < index + r->count; n++) {
		uint32_t first = n * 31 - index, at = (n - 1) / 16;
		assert_true(at < index);
		assert_int_equal(fake_block(PAGE_ROWS, r->page, at)->bases[(n - 1) % 16],
		    first < RULES ? 0 : (uint32_t)blocks[first].words[0]);
	}
}

static void written_whole(void **state)
{
	(void)state;
	static const uint32_t counts[] = {
	    1, 2, 6, 7, 8, 14, 15, 30, 31, 32, 60, 61, 62, 63, 510, 511, 512, 1000, 4094, 4095};
	struct region r = {}, other;
	start(64 << 20);
	assert_int_equal(store_put_mappings(&store, blocks, 1, &other), 0);
	for (enum page_kind kind = 0; kind < PAGE_KINDS; kind++)
		for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
			uint32_t n = counts[i], size = kind == PAGE_ROWS ? 31 : 7;
			uint32_t pages = n / size + (n % size > 0);
			fill(n);
			assert_int_equal(put_kind(kind, n, &r), 0);
			assert_int_equal(r.count, n);
			is_there(&r);
			// An index takes a sixteenth of a block for each page.
			assert_in_range(store_pages(kind, n), pages, pages + pages / 496 + 1);
			assert_int_equal(
			    store.pages[kind], store_pages(kind, n) + (kind == PAGE_MAPPINGS));
			assert_int_equal(
			    store_bytes(&store), fake.tables.fixed_bytes + mem_used(ACCOUNT_MAPS));
			store_drop(&store, &r);
			assert_int_equal(r.count, 0);
		}
	assert_int_equal(put_rows(0, &r), -ENOSPC);
	assert_int_equal(put_rows(REGION_BLOCKS + 1, &r), -ENOSPC);
	store_drop(&store, &other);
	end();
}

// No number is used again while it is in use, though they come round.
static void numbers_come_round(void **state)
{
	(void)state;
	struct region r[3], more;
	start(8 << 20);
	fill(200);
	for (int i = 0; i < 3; i++)
		assert_int_equal(put_rows(200, &r[i]), 0);
	assert_true(r[0].page != r[1].page);
	store.next[PAGE_ROWS] = UINT32_MAX - 1; // over the end, and on to what is there
	assert_int_equal(put_rows(200, &more), 0);
	assert_int_equal(store.pages[PAGE_ROWS], 4 * 7);
	is_there(&more);
	for (int i = 0; i < 3; i++) {
		is_there(&r[i]);
		store_drop(&store, &r[i]);
	}
	store_drop(&store, &more);
	end();
}

static void never_above_memory(void **state)
{
	(void)state;
	static const uint64_t sizes[] = {0, 1, 300 << 10, 1 << 20, 2 << 20, 8 << 20};
	static const uint32_t rows[] = {0, 0, 22, 313, 723, 3616};
	static struct region r[8000];
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		start(sizes[i]);
		uint32_t n = 0, room = store_room(&store, PAGE_ROWS), all;
		while (put_rows(ROW_PAGE_BLOCKS, &r[n]) == 0) {
			n++;
			assert_true(store_bytes(&store) + mem_used(ACCOUNT_UNWIND) <= sizes[i]);
		}
		assert_int_equal(n, room);
		assert_int_equal(store_room(&store, PAGE_ROWS), 0);
		// The rest is for what is being built, and for mappings.
		uint64_t left = store_left(&store), fifth = sizes[i] / 5, most = 768 << 10;
		assert_true(!n || left >= (fifth < most ? fifth : most));
		assert_int_equal(n, rows[i]);
		assert_true(!n || store_share(&store) > 0);
		for (all = n; all < 8000; all++)
			if (store_put_mappings(&store, blocks, 1, &r[all]))
				break;
		assert_true(!n || (all > n + 100 && store_bytes(&store) <= sizes[i]));
		while (all > 0)
			store_drop(&store, &r[--all]);
		end();
	}
	// So much as was built last, within bounds; less by and by.
	start(8 << 20);
	uint32_t room = store_room(&store, PAGE_ROWS);
	for (int i = 0; i < 40; i++)
		store_rests(&store, 100 << 10);
	assert_int_equal(store.build, 100 << 10);
	assert_in_range(store_room(&store, PAGE_ROWS), room + 333, room + 335);
	store_rests(&store, 64 << 20);
	assert_int_equal(store_room(&store, PAGE_ROWS), room);
	for (int i = 0; i < 40; i++)
		store_rests(&store, 0);
	assert_int_equal(store.build, 64 << 10);
	end();
	// What is built takes the room of pages that are not there yet.
	start(8 << 20);
	void *built = mem_alloc(ACCOUNT_UNWIND, 6 << 20);
	assert_in_range(store_room(&store, PAGE_ROWS), 920, 928);
	mem_free(built);
	end();
}

// What is there is dropped, and nothing is published.
static void a_page_that_cannot_be_had(void **state)
{
	(void)state;
	struct region r = {};
	start(8 << 20);
	fake.put_error = -EBUSY;
	assert_int_equal(put_rows(200, &r), -EBUSY);
	fake.put_error = 0;
	for (int64_t n = 0; n < 7; n++) {
		mem_limit(mem_total() + (uint64_t)n * 2048 + 2047);
		assert_int_equal(put_rows(200, &r), -ENOMEM);
		mem_limit(0);
		assert_int_equal(store.pages[PAGE_ROWS], 0);
		assert_int_equal(fake.pages[PAGE_ROWS], 0);
		assert_int_equal(fake.puts, fake.drops);
	}
	assert_int_equal(r.count, 0);
	assert_int_equal(put_rows(200, &r), 0);
	store_drop(&store, &r);
	// As many as are told, whatever the memory.
	fake.tables.pages_max[PAGE_ROWS] = 3;
	assert_int_equal(store_room(&store, PAGE_ROWS), 3);
	assert_int_equal(put_rows(200, &r), -ENOSPC);
	memset(fake.tables.page_bytes, 0, sizeof(fake.tables.page_bytes));
	store.memory = 0;
	assert_int_equal(put_rows(92, &r), 0);
	assert_int_equal(store_room(&store, PAGE_ROWS), 0);
	store_drop(&store, &r);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(as_a_naive_one),
	    cmocka_unit_test(written_whole),
	    cmocka_unit_test(numbers_come_round),
	    cmocka_unit_test(never_above_memory),
	    cmocka_unit_test(a_page_that_cannot_be_had),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
