// SPDX-License-Identifier: Apache-2.0
// What Go's programs serve as totals since they began (allocs, block, mutex): who scrapes these
// asks for no seconds, waits no longer than 10 s, and takes the difference to the scrape before. So
// the windows that came between two scrapes are added up, from the first scrape on; a total that
// nobody asks for, or that grew too large, is forgotten and begins anew, as if the program had.
#include "private.h"

#include <errno.h>
#include <string.h>

#define TOTAL_BYTES_MAX (4u << 20) // and a sixteenth of memory_limit
#define TOTAL_IDLE_NS (10 * 60 * NS_PER_S)

static const char *const names[TOTALS] = {"allocs", "block", "goblock", "mutex"};

struct total *total_of(struct serve *s, const char *name)
{
	for (unsigned i = 0; i < TOTALS; i++)
		if (!strcmp(names[i], name))
			return &s->totals[i];
	return NULL;
}

static void forget(struct total *t)
{
	profile_free(t->sum);
	t->sum = NULL;
	t->half = false;
}

int total_add(struct total *t, struct profile_merge **merge, const struct profile *found,
    uint64_t last, uint64_t budget_ns)
{
	if (!t->sum && !(t->sum = profile_new_like(ACCOUNT_SERVE, found)))
		return -errno;
	if (!*merge && !(*merge = profile_merge_new(t->sum, found, 1, NULL, NULL)))
		return -errno;
	t->half = true;
	if (profile_merge_step(*merge, budget_ns))
		return 1;
	profile_merge_free(*merge);
	*merge = NULL;
	t->half = false;
	t->last = last;
	const struct profile_header *h = profile_header_of(found);
	t->until = h->time_ns + h->duration_ns;
	return 0;
}

int total_copy(struct total *t, struct profile_merge **merge, struct profile **copy, struct wish *w,
    uint64_t budget_ns)
{
	if (!*copy && !(*copy = profile_new_like(ACCOUNT_SERVE, t->sum)))
		return -errno;
	if (!*merge && !(*merge = profile_merge_new(
			     *copy, t->sum, 1, wish_takes_all(w) ? NULL : wish_takes, w)))
		return -errno;
	if (profile_merge_step(*merge, budget_ns))
		return 1;
	profile_merge_free(*merge);
	*merge = NULL;
	// It is what there was by then, and of no length: one with a length is taken for a
	// difference.
	profile_header(*copy)->time_ns = t->until;
	profile_header(*copy)->duration_ns = 0;
	profile_seal(*copy);
	return 0;
}

void total_release(struct total *t)
{
	uint64_t limit = mem_limit_get() / 16, max = TOTAL_BYTES_MAX;
	if (limit && limit < max)
		max = limit;
	t->used = false;
	bool large = t->sum && profile_bytes(t->sum) > max;
	struct profile *none = large && !t->half ? profile_new_like(ACCOUNT_SERVE, t->sum) : NULL;
	if (large || t->half)
		forget(t);
	if (none)
		t->sum = none;
}

void total_look(struct serve *s)
{
	for (unsigned i = 0; i < TOTALS; i++)
		if (!s->totals[i].used && clock_now() - s->totals[i].asked > TOTAL_IDLE_NS)
			forget(&s->totals[i]);
}

void total_free_all(struct serve *s)
{
	for (unsigned i = 0; i < TOTALS; i++)
		forget(&s->totals[i]);
}
