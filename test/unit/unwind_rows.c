// SPDX-License-Identifier: Apache-2.0
// Rows one by one: merging, order, bounds, memory.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/base/base.h"
#include "../../modules/unwind/rows.c"

static struct rule sp(int32_t cfa)
{
	return (struct rule){.kind = RULE_SP, .cfa = cfa};
}

static int put(struct rows *r, uint32_t at, int32_t cfa)
{
	struct rule rule = sp(cfa);
	return rows_add(r, at, &rule);
}

static void equal_neighbours_are_one(void **state)
{
	(void)state;
	struct rows r = {};
	assert_int_equal(put(&r, 0, 8), 0);
	assert_int_equal(put(&r, 4, 8), 0);
	assert_int_equal(put(&r, 6, 16), 0);
	assert_int_equal(put(&r, 9, 8), 0);
	assert_int_equal(r.count, 3);
	assert_int_equal(r.rule_count, 2);
	assert_true(r.row[1].at == 6 && r.row[1].rule == 1 && r.row[2].rule == 0);
	assert_int_equal(put(&r, 8, 8), -EINVAL);
	assert_int_equal(put(&r, 9, 16), 0); // takes the last one's place, and so is the one before
	assert_int_equal(r.count, 2);
	rows_clear(&r);
	rows_clear(&r);
	assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
}

static void every_part_of_a_rule_counts(void **state)
{
	(void)state;
	static const struct rule rules[] = {{.cfa = 8, .kind = RULE_SP},
	    {.cfa = 8, .kind = RULE_FP}, {.cfa = 8, .kind = RULE_SP, .fp = -2},
	    {.cfa = 8, .kind = RULE_SP, .fp = -2, .how = HOW_FP_AT_CFA},
	    {.cfa = -8, .kind = RULE_SP}};
	struct rows r = {};
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(rows_add(&r, i, &rules[i % 5]), 0);
	assert_int_equal(r.rule_count, 5);
	for (uint32_t i = 0; i < 10; i++)
		assert_memory_equal(&r.rules[r.row[i].rule], &rules[i % 5], sizeof(*rules));
	rows_clear(&r);
}

static void bounds(void **state)
{
	(void)state;
	struct rows r = {};
	for (uint32_t i = 0; i < RULES_MAX; i++)
		assert_int_equal(put(&r, i, (int32_t)i), 0);
	assert_int_equal(put(&r, RULES_MAX, RULES_MAX), -E2BIG);
	for (uint32_t i = RULES_MAX; i < ROWS_MAX; i++)
		assert_int_equal(put(&r, i, (int32_t)(i * 7 % RULES_MAX)), 0);
	assert_int_equal(put(&r, ROWS_MAX, 0), -E2BIG);
	for (uint32_t i = RULES_MAX; i < ROWS_MAX; i++)
		assert_int_equal(r.rules[r.row[i].rule].cfa, i * 7 % RULES_MAX);
	rows_clear(&r);
	assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
}

static void memory_that_is_refused(void **state)
{
	(void)state;
	for (uint64_t n = 1;; n++) {
		struct rows r = {};
		uint32_t added = 0;
		int err = 0;
		mem_fail_at(n);
		for (; added < 1000 && !err; added += !err)
			err = put(&r, added, (int32_t)(added % 100));
		bool asked = mem_fail_seen() >= n;
		mem_fail_at(0);
		assert_int_equal(err, asked ? -ENOMEM : 0);
		assert_int_equal(r.count, added);
		if (err) // nothing is broken: it can be tried again
			assert_int_equal(put(&r, added, (int32_t)(added % 100)), 0);
		for (uint32_t i = 0; i < r.count; i++)
			assert_int_equal(r.rules[r.row[i].rule].cfa, i % 100);
		rows_clear(&r);
		assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
		if (!asked)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(equal_neighbours_are_one),
	    cmocka_unit_test(every_part_of_a_rule_counts),
	    cmocka_unit_test(bounds),
	    cmocka_unit_test(memory_that_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
