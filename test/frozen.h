// SPDX-License-Identifier: Apache-2.0
// A stopped process as text (test/frozen/*.txt): all that a walk over its stack needs, and what it
// gave. Addresses are hexadecimal, other numbers decimal.
//
//   # where it comes from
//   machine x86-64|arm64
//   register NUMBER VALUE                        DWARF's numbers, arm64's pc is 32; others are 0
//   map START PAGES file|anon|plain WINDOW FILE-PAGE
//   window NUMBER frame                          a window of a file that describes nothing
//   symbol START END FILE!NAME                   code in the process
//   row WINDOW AT KIND CFA FP HOW                as bpf/table.h has them; none elsewhere
//   stack ADDRESS WORD...                        8 bytes each; other memory cannot be read
//   end LABEL                                    expected from here on
//   frame FILE!NAME+OFFSET | ADDRESS             leaf to root
#pragma once
#include <stdio.h>
#include <string.h>

#include "../bpf/table.h"

static const char *const frozen_kinds[] = {"NONE", "STOP", "SP", "FP", "PLT", "SP_DEREF",
    "FP_DEREF", "REGISTER", "SIGNAL", "FRAME", "UNSUPPORTED"};
#define FROZEN_KINDS (sizeof(frozen_kinds) / sizeof(*frozen_kinds))

static inline void frozen_put_row(FILE *to, uint32_t window, uint32_t at, const struct rule *r)
{
	fprintf(to, "row %u %x %s %d %d %d\n", window, at, frozen_kinds[r->kind], r->cfa, r->fp,
	    r->how);
}
