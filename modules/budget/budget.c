// SPDX-License-Identifier: Apache-2.0
// One limit over all that is accounted, and where a cgroup limits us, over what that really holds:
//
//   |-- accounted --|-- nobody's --|-- room --|   15/16 of the cgroup's limit
//
//   nobody's: what malloc keeps of freed memory, the kernel's share, other processes
//   limit in force = accounted + room, at most what was asked for
#include "budget.h"
#include "cgroup.h"
#include "../base/base.h"

#include <errno.h>
#include <string.h>

#define SHRINKS_MAX 64
#define HELD_BACK 16 // of the group's limit, for what comes between two looks
#define LOOK_NS NS_PER_S
#define LOOK_SOON_NS (100 * NS_PER_MS)

struct shrink {
	int rank;
	const char *name;
	uint64_t (*fn)(void *arg, uint64_t need);
	void *arg;
	uint64_t freed;
};

struct budget {
	struct cgroup group;
	uint64_t limit;
	struct shrink *shrinks; // by rank
	uint32_t count;
};

static uint64_t squeeze(void *arg, uint64_t need)
{
	struct budget *b = arg;
	uint64_t freed = 0;
	for (struct shrink *s = b->shrinks; s < b->shrinks + b->count && freed < need; s++) {
		uint64_t some = s->fn(s->arg, need - freed);
		s->freed += some;
		freed += some;
	}
	return freed;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return !a ? b : !b ? a : a < b ? a : b;
}

struct budget *budget_new(uint64_t limit, const char *cgroup_root, const char *self_cgroup_file)
{
	struct budget *b = mem_alloc(ACCOUNT_BASE, sizeof(*b));
	if (!b)
		return NULL;
	b->shrinks = mem_alloc(ACCOUNT_BASE, SHRINKS_MAX * sizeof(*b->shrinks));
	b->group.usage = b->group.stat = -1;
	if (!b->shrinks || cgroup_find(&b->group, cgroup_root, self_cgroup_file)) {
		budget_free(b);
		return errno = ENOMEM, NULL;
	}
	b->limit = smaller(limit, b->group.limit / 4 * 3);
	mem_limit(b->limit);
	mem_on_squeeze(squeeze, b);
	return b;
}

void budget_free(struct budget *b)
{
	if (!b)
		return;
	mem_on_squeeze(NULL, NULL);
	mem_limit(0);
	cgroup_close(&b->group);
	mem_free(b->shrinks);
	mem_free(b);
}

// What is left of the group; 0 where it holds more than it should.
static uint64_t room(const struct budget *b, uint64_t *held)
{
	uint64_t most = b->group.limit - b->group.limit / HELD_BACK;
	*held = cgroup_held(&b->group);
	return *held < most ? most - *held : 0;
}

uint64_t budget_look(struct budget *b)
{
	uint64_t held, left;
	if (b->group.usage < 0 || b->group.stat < 0)
		return 0;
	left = room(b, &held);
	if (!held)
		return LOOK_NS;
	if (left < b->limit / 8) {
		mem_trim();
		left = room(b, &held);
	}
	uint64_t most = mem_total() + left, least = b->limit / 4;
	if (!left) {
		uint64_t over = held + b->group.limit / HELD_BACK - b->group.limit;
		most = most > over ? most - over : 0;
	}
	mem_limit(most < least ? least : most < b->limit ? most : b->limit);
	if (!left) {
		log_seldom(LOG_LEVEL_WARN,
		    "memory: its cgroup holds %lu of %lu MB: caches and windows are given up: "
		    "raise "
		    "its limit",
		    (unsigned long)(held >> 20), (unsigned long)(b->group.limit >> 20));
		mem_squeeze();
		mem_trim();
	}
	return left < b->limit / 2 ? LOOK_SOON_NS : LOOK_NS;
}

uint64_t budget_limit(const struct budget *b)
{
	return b->limit;
}

uint64_t budget_cgroup_limit(const struct budget *b)
{
	return b->group.limit;
}

int budget_add(struct budget *b, int rank, const char *name,
    uint64_t (*shrink)(void *arg, uint64_t need), void *arg)
{
	if (b->count == SHRINKS_MAX)
		return -ENOSPC;
	uint32_t at = b->count;
	for (; at && b->shrinks[at - 1].rank > rank; at--)
		b->shrinks[at] = b->shrinks[at - 1];
	b->shrinks[at] = (struct shrink){.rank = rank, .name = name, .fn = shrink, .arg = arg};
	b->count++;
	return 0;
}

void budget_remove(struct budget *b, void *arg)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < b->count; i++)
		if (b->shrinks[i].arg != arg)
			b->shrinks[kept++] = b->shrinks[i];
	b->count = kept;
}

bool budget_next(const struct budget *b, uint32_t *i, const char **name, uint64_t *freed)
{
	if (*i >= b->count)
		return false;
	*name = b->shrinks[*i].name;
	*freed = b->shrinks[*i].freed;
	(*i)++;
	return true;
}
