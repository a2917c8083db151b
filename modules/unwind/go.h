// SPDX-License-Identifier: Apache-2.0
// The rows of Go's functions, out of the pclntab's depths of the stack and, where they do not say
// enough, of the first instructions of a function.
#pragma once
#include "source.h"

struct go;
struct go *go_new(const struct source *s); // borrowed; NULL + errno
void go_free(struct go *g);
// 1 more to do; 0 it can be told, of code in [*START, *END); -ENOENT there is nothing; -errno.
int go_find(struct go *g, uint64_t budget_ns, uint64_t *start, uint64_t *end);
// Adds rows from *AT on, at most up to END, to ROWS of the window at START, and moves *AT up to
// where they are told: some functions. Addresses are link-time. 0 or -errno.
int go_add(struct go *g, struct rows *rows, uint64_t start, uint64_t *at, uint64_t end);
