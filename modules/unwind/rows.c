// SPDX-License-Identifier: Apache-2.0
#include "rows.h"

#include "../base/base.h"

#include <errno.h>
#include <string.h>

#define ROWS_FIRST 256
#define ROWS_MORE 8192 // at once, at most
#define RULES_FIRST 32

static uint32_t slot_of(const struct rows *r, const struct rule *rule)
{
	uint64_t key;
	_Static_assert(sizeof(key) == sizeof(*rule), "a rule is its own key");
	memcpy(&key, rule, sizeof(key));
	uint32_t i = (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32) & (r->slot_count - 1);
	while (r->slots[i] && memcmp(&r->rules[r->slots[i] - 1], rule, sizeof(*rule)))
		i = (i + 1) & (r->slot_count - 1);
	return i;
}

static int more_rules(struct rows *r)
{
	uint32_t cap = r->rule_cap ? r->rule_cap * 2 : RULES_FIRST;
	uint16_t *slots = mem_alloc(ACCOUNT_UNWIND, 2 * cap * sizeof(*slots));
	struct rule *rules = mem_resize(ACCOUNT_UNWIND, r->rules, cap * sizeof(*rules));
	if (rules)
		r->rules = rules;
	if (!slots || !rules) {
		mem_free(slots);
		return -ENOMEM;
	}
	mem_free(r->slots);
	r->slots = slots;
	r->slot_count = 2 * cap;
	r->rule_cap = cap;
	for (uint32_t i = 0; i < r->rule_count; i++)
		r->slots[slot_of(r, &r->rules[i])] = (uint16_t)(i + 1);
	return 0;
}

static int rule_index(struct rows *r, const struct rule *rule, uint32_t *index)
{
	if (r->rule_count == r->rule_cap) {
		int err = more_rules(r);
		if (err)
			return err;
	}
	uint32_t slot = slot_of(r, rule);
	if (!r->slots[slot]) {
		if (r->rule_count == RULES_MAX)
			return -E2BIG;
		r->rules[r->rule_count++] = *rule;
		r->slots[slot] = (uint16_t)r->rule_count;
	}
	*index = r->slots[slot] - 1u;
	return 0;
}

int rows_add(struct rows *r, uint32_t at, const struct rule *rule)
{
	uint32_t index;
	if (r->count && at < r->row[r->count - 1].at)
		return -EINVAL;
	int err = rule_index(r, rule, &index);
	if (err)
		return err;
	if (r->count && at == r->row[r->count - 1].at)
		r->count--;
	if (r->count && r->row[r->count - 1].rule == index)
		return 0;
	if (r->count == ROWS_MAX)
		return -E2BIG;
	if (r->count == r->cap) {
		uint32_t cap = r->cap < ROWS_MORE ? r->cap * 2 : r->cap + ROWS_MORE;
		if (!cap)
			cap = ROWS_FIRST;
		struct row *more = mem_resize(ACCOUNT_UNWIND, r->row, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		r->row = more;
		r->cap = cap;
	}
	r->row[r->count++] = (struct row){.at = at, .rule = index};
	return 0;
}

void rows_clear(struct rows *r)
{
	mem_free(r->row);
	mem_free(r->rules);
	mem_free(r->slots);
	*r = (struct rows){};
}
