// SPDX-License-Identifier: Apache-2.0
// Live blocks: what is known of them, what they share, how they go.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../modules/base/base.h"

static uint64_t mix_for_test(uint64_t x);
#define hash_mix mix_for_test
#include "../../modules/path/live.c"
#undef hash_mix

static bool same_hash;
static uint64_t mix_for_test(uint64_t x)
{
	return same_hash ? 7 : hash_mix(x);
}

static struct live *live;
static int64_t young[2], old[2];
static unsigned places;

static int put(uint32_t pid, uint64_t address, uint64_t born, int64_t bytes, uint64_t where)
{
	union {
		struct blocked_stack s;
		uint8_t bytes[sizeof(struct blocked_stack) + 3 * sizeof(struct place)];
	} u;
	memset(&u, 0, sizeof(u));
	u.s.count = 3;
	for (uint64_t i = 0; i < 3; i++)
		u.s.places[i] = (struct place){.address = where * 16 + i, .kind = PLACE_FILE};
	struct live_block b = {
	    .address = address, .born_ns = born, .objects = 1, .bytes = bytes, .pid = pid};
	struct live_place at = {.pid = pid, .process = pid, .kind = 1, .stack = &u.s};
	return live_put(live, &b, &at);
}

static void each (void *arg, const struct live_place *at)
{
	(void)arg;
	assert_int_equal(at->stack->count, 3);
	for (int i = 0; i < 2; i++) {
		young[i] += at->young[i];
		old[i] += at->old[i];
	}
	places++;
}

static void tell(uint64_t since)
{
	memset(young, 0, sizeof(young));
	memset(old, 0, sizeof(old));
	places = 0;
	live_tell(live, since, each, NULL);
}

static void blocks_come_and_go(void **state)
{
	(void)state;
	for (int round = 0; round < 2; round++) {
		same_hash = round;
		live = live_new(100);
		assert_int_equal(put(1, 0x1000, 10, 100, 1), 0);
		assert_int_equal(put(1, 0x2000, 20, 200, 1), 0);
		assert_int_equal(put(1, 0x3000, 30, 400, 2), 0);
		assert_int_equal(put(2, 0x1000, 40, 800, 1), 0); // of another process
		tell(25);
		assert_int_equal(places, 3);
		assert_int_equal(old[1], 300);
		assert_int_equal(young[1], 1200);
		assert_int_equal(old[0], 2);
		tell(25); // sums begin anew
		assert_int_equal(old[1], 300);
		assert_true(live_remove(live, 1, 0x3000));
		assert_false(live_remove(live, 1, 0x3000));
		assert_false(live_remove(live, 3, 0x1000));
		assert_int_equal(live_places(live), 2);
		assert_int_equal(put(1, 0x1000, 50, 1600, 3), 0); // its end was missed
		assert_int_equal(live_count(live), 3);
		tell(25);
		assert_int_equal(old[1], 200);
		assert_int_equal(young[1], 2400);
		live_free(live);
		assert_int_equal(mem_used(ACCOUNT_PATH), 0);
	}
	same_hash = false;
}

static enum live_wish wish(void *arg, uint32_t pid, uint64_t address)
{
	const enum live_wish *of = arg;
	return pid == 1 ? of[address / 0x1000] : LIVE_WANTED;
}

static void processes_end(void **state)
{
	enum live_wish of[] = {LIVE_WANTED, LIVE_WANTED, LIVE_REFUSED, LIVE_ENDED};
	(void)state;
	live = live_new(100);
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(put(1, i * 0x1000, i, 1ll << i, i), 0);
	put(2, 0x3000, 1, 16, 1);
	assert_true(live_has(live, 1));
	live_check(live, wish, of);
	tell(0); // what has ended is told once more
	assert_int_equal(young[1], 2 + 8 + 16);
	tell(0);
	assert_int_equal(young[1], 2 + 16);
	of[1] = LIVE_REFUSED;
	live_check(live, wish, of);
	assert_false(live_has(live, 1));
	assert_true(live_has(live, 2));
	live_free(live);
	assert_int_equal(mem_used(ACCOUNT_PATH), 0);
}

static void it_is_bounded(void **state)
{
	(void)state;
	live = live_new(64);
	for (uint64_t i = 0; i < 64; i++)
		assert_int_equal(put(1, i * 16, 1, 1, i), 0);
	assert_int_equal(put(1, 64 * 16, 1, 1, 1), -ENOSPC);
	assert_int_equal(put(1, 0, 1, 1, 1), 0); // takes its own place
	assert_true(live_remove(live, 1, 16));
	assert_int_equal(put(1, 64 * 16, 1, 1, 1), 0);
	assert_int_equal(live_count(live), 64);
	live_free(live);
	assert_int_equal(mem_used(ACCOUNT_PATH), 0);
}

static void sums_have_an_end(void **state)
{
	(void)state;
	live = live_new(100);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(put(1, i * 16, 1, INT64_MAX / 2, 1), 0);
	tell(0);
	assert_int_equal(young[1], INT64_MAX);
	live_free(live);
}

static void as_a_plain_table(void **state)
{
	static int64_t model[3][512];
	int64_t sum = 0;
	(void)state;
	srand(7);
	live = live_new(400);
	for (int i = 0; i < 200000; i++) {
		uint32_t pid = 1 + (uint32_t)rand() % 2, a = (uint32_t)rand() % 512;
		if (rand() % 2) {
			assert_int_equal(live_remove(live, pid, a * 16), model[pid][a] != 0);
			model[pid][a] = 0;
		} else {
			int64_t bytes = 1 + rand() % 100;
			int error = put(pid, a * 16, 1, bytes, (uint64_t)rand() % 50);
			model[pid][a] = error ? 0 : bytes;
		}
	}
	for (int p = 1; p < 3; p++)
		for (int a = 0; a < 512; a++)
			sum += model[p][a];
	tell(0);
	assert_int_equal(young[1], sum);
	live_free(live);
	assert_int_equal(mem_used(ACCOUNT_PATH), 0);
}

static bool job(void)
{
	bool ok = (live = live_new(100)) != NULL;
	for (uint64_t i = 0; ok && i < 100; i++)
		ok = put((uint32_t)i, i * 16, 1, 1, i % 7) == 0;
	live_free(live);
	return ok;
}

static void memory_may_end_anywhere(void **state)
{
	(void)state;
	for (uint64_t n = 1;; n++) {
		mem_fail_at(n);
		bool ok = job();
		bool over = mem_fail_seen() < n;
		mem_fail_at(0);
		assert_int_equal(mem_used(ACCOUNT_PATH), 0);
		if (over) {
			assert_true(ok);
			return;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(blocks_come_and_go),
	    cmocka_unit_test(processes_end),
	    cmocka_unit_test(it_is_bounded),
	    cmocka_unit_test(sums_have_an_end),
	    cmocka_unit_test(as_a_plain_table),
	    cmocka_unit_test(memory_may_end_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
