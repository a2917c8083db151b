// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdio.h>

#include "ours.h"
#include "theirs.h"

// Writes what our walker needs of T's stop, and what it gave, as text: test/frozen.h draws it.
// 0 or -1.
int freeze(FILE *to, const char *comment, struct ours *o, struct theirs *u, struct target *t);
