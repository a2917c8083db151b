// SPDX-License-Identifier: Apache-2.0
// Rows as blocks, the way that bpf/table.h draws them.
#pragma once
#include <stdint.h>

#include "rows.h"

// Encodes ROWS (of one window) into *BLOCKS (mem_alloc'd, the caller's): first *DICTIONARY blocks
// of rules, most frequent first, then *COUNT blocks of rows; without rows, one that says so.
// -ENOMEM, -E2BIG (over RULES_MAX rules, or blocks than a region may have): no rule is ever dropped or
// replaced, for one that is rare in the file may be where a program spends its time.
int blocks_encode(
    const struct rows *rows, struct block **blocks, uint32_t *dictionary, uint32_t *count);
// The rule that the encoding has for offset AT, as the walker finds it (for tests): RULE_NONE where
// none.
struct rule blocks_find(
    const struct block *blocks, uint32_t dictionary, uint32_t count, uint32_t at);
