// SPDX-License-Identifier: Apache-2.0
// What rows must be, whatever they were made from: sorted, each different from the one before, and of
// the window.
#pragma once
#include "../../modules/unwind/rows.h"

#include <stdlib.h>

static inline void check(const struct rows *r)
{
	if (!r->count || r->count > ROWS_MAX || r->rule_count > RULES_MAX)
		abort();
	for (uint32_t i = 0; i < r->count; i++)
		if (r->row[i].at >= WINDOW_BYTES || r->row[i].rule >= r->rule_count ||
		    (i &&
			(r->row[i].at <= r->row[i - 1].at || r->row[i].rule == r->row[i - 1].rule)))
			abort();
}
