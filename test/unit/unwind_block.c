// SPDX-License-Identifier: Apache-2.0
// Rows to blocks and back: every offset of every window reads as the rows say.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../modules/unwind/block.c"

static uint64_t seed = 7;

static uint32_t draw(uint32_t below)
{
	seed = hash_mix(seed + 1);
	return (uint32_t)(seed % below);
}

static struct rows rows;

// Rules that differ in every field; the number is in `cfa`.
static void make_rules(uint32_t count)
{
	rows.rules = mem_resize(ACCOUNT_UNWIND, rows.rules, count * sizeof(*rows.rules));
	for (uint32_t i = 0; i < count; i++)
		rows.rules[i] = (struct rule){.cfa = (int32_t)i - 700,
		    .fp = (int16_t)-i,
		    .kind = (uint8_t)(i % 11),
		    .how = (uint8_t)i};
	rows.rule_count = count;
}

static void add(uint32_t at, uint32_t rule)
{
	rows.row = mem_resize(ACCOUNT_UNWIND, rows.row, (rows.count + 1) * sizeof(*rows.row));
	rows.row[rows.count++] = (struct row){at, rule};
}

static void clear(void)
{
	mem_free(rows.row);
	mem_free(rows.rules);
	rows = (struct rows){};
}

static struct rule rule_at(uint32_t at, uint32_t *hint)
{
	struct rule none = {.kind = RULE_NONE};
	while (*hint < rows.count && rows.row[*hint].at <= at)
		(*hint)++;
	return *hint ? rows.rules[rows.row[*hint - 1].rule] : none;
}

// Encodes, compares every offset; returns the blocks of rows.
static uint32_t same_everywhere(void)
{
	struct block *blocks;
	uint32_t dictionary, count, hint = 0;
	assert_int_equal(blocks_encode(&rows, &blocks, &dictionary, &count), 0);
	assert_true(count > 0 && dictionary + count <= REGION_BLOCKS && dictionary <= 255);
	for (uint32_t at = 0; at < WINDOW_BYTES; at++) {
		struct rule want = rule_at(at, &hint),
			    got = blocks_find(blocks, dictionary, count, at);
		if (memcmp(&want, &got, sizeof(got)))
			fail_msg("at %#x: rule %d, not %d", at, got.cfa, want.cfa);
	}
	mem_free(blocks);
	return count;
}

static void random_rows(void **state)
{
	(void)state;
	static const uint32_t gaps[] = {
	    2, 3, 20, 254, 255, 256, 257, 3000, 65535, 65536, 65537, 200000};
	for (int round = 0; round < 40; round++) {
		uint32_t rules = 1 + draw(round % 3 ? 12 : RULES_MAX), common = 1 + draw(rules);
		uint32_t at = round % 2 ? 0 : draw(70000), most = 1 + draw(30000);
		make_rules(rules);
		while (rows.count < most && at < WINDOW_BYTES) {
			add(at, draw(8) ? draw(common) : draw(rules));
			uint32_t gap = gaps[draw(draw(20) ? 4 : sizeof(gaps) / sizeof(*gaps))];
			at += draw(3) ? 1 + draw(gap) : gap;
		}
		if (!rows.count)
			add(0, 0);
		same_everywhere();
		clear();
	}
	assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
}

// The numbers at which a byte is no longer enough, and a u16.
static void escapes(void **state)
{
	(void)state;
	static const uint32_t deltas[] = {
	    1, 254, 255, 256, 510, 65534, 65535, 65536, 65537, 300000};
	make_rules(RULES_MAX);
	uint32_t at = 5, rule = 0;
	for (size_t i = 0; i < sizeof(deltas) / sizeof(*deltas); i++) {
		add(at, rule);
		at += deltas[i];
		rule = (uint32_t)i % 2 ? RULES_MAX - 1 - (uint32_t)i : 253 + (uint32_t)i;
	}
	add(at, 3);
	// Three gaps over 65,535 begin blocks of their own.
	assert_int_equal(same_everywhere(), 4);
	clear();
	// At every place in the block once: what does not fit begins the next.
	for (uint32_t before = 0; before < 40; before++) {
		make_rules(600);
		at = 0;
		for (uint32_t i = 0; i < 1000; i++)
			add(at++, i % 2); // the most frequent
		for (uint32_t i = 0; i < 400; i++)
			add(at++, 2 + i); // by ranks over 254, too
		for (uint32_t i = 0; i < before; i++)
			add(at++, i % 2);
		for (uint32_t i = 0; i < 300; i++, at += i % 3 ? 1 : 300)
			add(at, 100 + i);
		same_everywhere();
		clear();
	}
}

static void a_rare_rule_stays(void **state)
{
	(void)state;
	struct block *blocks;
	uint32_t dictionary, count;
	make_rules(RULES_MAX);
	for (uint32_t i = 0; i < 20000; i++)
		add(i * 3, i == 12345 ? RULES_MAX - 1 : i % 2 ? i % 300 : 77);
	assert_int_equal(blocks_encode(&rows, &blocks, &dictionary, &count), 0);
	assert_int_equal(dictionary, 255);
	struct rule found = blocks_find(blocks, dictionary, count, 12345 * 3 + 2);
	assert_memory_equal(&found, &rows.rules[RULES_MAX - 1], sizeof(found));
	// The most frequent has the lowest number.
	assert_memory_equal(&blocks[0].words[0], &rows.rules[77], sizeof(found));
	mem_free(blocks);
	clear();
}

static void without_rows(void **state)
{
	(void)state;
	struct block *blocks;
	uint32_t dictionary, count;
	assert_int_equal(blocks_encode(&rows, &blocks, &dictionary, &count), 0);
	assert_int_equal(dictionary, 1);
	assert_int_equal(count, 1);
	assert_int_equal(blocks_find(blocks, 1, 1, 0).kind, RULE_NONE);
	assert_int_equal(blocks_find(blocks, 1, 1, WINDOW_BYTES - 1).kind, RULE_NONE);
	mem_free(blocks);
}

static void too_much(void **state)
{
	(void)state;
	struct block *blocks;
	uint32_t dictionary, count;
	make_rules(RULES_MAX + 1);
	for (uint32_t i = 0; i <= RULES_MAX; i++)
		add(i, i);
	assert_int_equal(blocks_encode(&rows, &blocks, &dictionary, &count), -E2BIG);
	clear();
	// Each row wants three bytes for its gap: 15 to a block.
	make_rules(2);
	for (uint32_t i = 0; i < 65536; i++)
		add(i * 300, i % 2);
	assert_int_equal(blocks_encode(&rows, &blocks, &dictionary, &count), -E2BIG);
	rows.count = 61410; // 4,094 blocks and a dictionary of one
	assert_int_equal(blocks_encode(&rows, &blocks, &dictionary, &count), 0);
	assert_int_equal(dictionary + count, REGION_BLOCKS);
	mem_free(blocks);
	clear();
}

static void no_memory(void **state)
{
	(void)state;
	struct block *blocks;
	uint32_t dictionary, count, failed = 0;
	make_rules(20);
	for (uint32_t i = 0; i < 1000; i++)
		add(i * 4, i % 20);
	uint64_t before = mem_used(ACCOUNT_UNWIND);
	for (uint64_t n = 1;; n++) {
		mem_fail_at(n);
		int error = blocks_encode(&rows, &blocks, &dictionary, &count);
		bool last = mem_fail_seen() < n;
		mem_fail_at(0);
		if (!error)
			mem_free(blocks);
		failed += error == -ENOMEM;
		assert_int_equal(mem_used(ACCOUNT_UNWIND), before);
		if (last)
			break;
		assert_int_equal(error, -ENOMEM);
	}
	assert_int_equal(failed, 3);
	clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_rows),
	    cmocka_unit_test(escapes),
	    cmocka_unit_test(a_rare_rule_stays),
	    cmocka_unit_test(without_rows),
	    cmocka_unit_test(too_much),
	    cmocka_unit_test(no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
