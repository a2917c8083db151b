// SPDX-License-Identifier: Apache-2.0
#include "count.h"

static uint64_t counts[COUNT_COUNT];

static const struct {
	const char *name, *help;
	enum count_kind kind;
} rows[] = {
#define X(id, name, kind, help) {name, help, COUNT_KIND_##kind},
    COUNTS(X)
#undef X
};

void count_add(enum count c, uint64_t n)
{
	counts[c] += n;
}

void count_set(enum count c, uint64_t n)
{
	counts[c] = n;
}

void count_max(enum count c, uint64_t n)
{
	if (n > counts[c])
		counts[c] = n;
}

uint64_t count_get(enum count c)
{
	return counts[c];
}

const char *count_name(enum count c)
{
	return rows[c].name;
}

const char *count_help(enum count c)
{
	return rows[c].help;
}

enum count_kind count_kind(enum count c)
{
	return rows[c].kind;
}
