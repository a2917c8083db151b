// SPDX-License-Identifier: Apache-2.0
// What is let go: the ended after a grace time, the long unused, and under pressure more.
#include "private.h"

#include <string.h>

#define SWEEP_NS (500 * NS_PER_US)   // of one sweep; it goes on where the one before stopped
#define UNSAMPLED_NS (20 * NS_PER_S) // what events told of a process that was never sampled
#define IDLE_NS (300 * NS_PER_S)     // mappings, pins and roots that nobody used for so long
#define RECENT_NS (2 * NS_PER_S)     // what was sampled since stays even where memory is short
#define LEFT_NS (100 * NS_PER_MS)    // the last work of an exit takes less
#define CHECKS 16		     // processes asked in one sweep whether they still run
#define EVICT_LOOKS 64
#define SHRINK_LOOKS 1024
#define PATHS_BYTES_MANY (512u << 10)

void entry_forget(struct processes *t, struct entry *e)
{
	if (t->reading.id == e->p.id)
		reading_end(t);
	mappings_free(&e->now);
	mappings_free(&e->before);
	e->maps_read = false;
	e->next_read_ns = 0;
}

// The next entry of a walk that goes round; false where there is none at all.
static bool next_entry(struct processes *t, uint32_t *at, struct entry **e)
{
	struct map_slot s;
	if (!map_next(&t->by_id, at, &s)) {
		*at = 0;
		if (!map_next(&t->by_id, at, &s))
			return false;
	}
	*e = (struct entry *)(uintptr_t)s.value;
	return true;
}

static bool goes_before(const struct entry *a, const struct entry *b)
{
	int rank_a = a->p.exit_ns ? 2 : !a->sampled, rank_b = b->p.exit_ns ? 2 : !b->sampled;
	return rank_a != rank_b ? rank_a > rank_b : a->seen_ns < b->seen_ns;
}

// The table is full: of some entries the one that is missed least goes.
bool entry_evict(struct processes *t)
{
	struct entry *worst = NULL, *e;
	for (uint32_t n = 0; n < EVICT_LOOKS && n < t->by_id.count; n++)
		if (next_entry(t, &t->look_at, &e) && e != t->at_hand &&
		    (!worst || goes_before(e, worst)))
			worst = e;
	if (!worst)
		return false;
	count_add(COUNT_PROCESSES_FULL, 1);
	t->since_ns = t->now_ns; // its execs are forgotten too
	entry_free(t, worst);
	return true;
}

// Interns the paths of live mappings anew in FRESH; IDS: old id -> new. False without memory.
static bool add_live(struct processes *t, struct names *fresh, uint32_t *ids)
{
	struct map_slot s;
	bool ok = true;
#define ADD(id)                                                                                    \
	do {                                                                                       \
		const char *path_ = names_get(t->paths, id);                                       \
		if (*path_ && !ids[id])                                                            \
			ok = (ids[id] = names_add(fresh, path_, strlen(path_))) && ok;             \
	} while (0)
#define ADD_ALL(mappings)                                                                          \
	for (uint32_t k = 0; k < (mappings).count; k++)                                            \
	ADD((mappings).at[k].path)
	for (uint32_t i = 0; map_next(&t->by_id, &i, &s);) {
		const struct entry *e = (struct entry *)(uintptr_t)s.value;
		ADD_ALL(e->now);
		ADD_ALL(e->before);
	}
	ADD_ALL(t->reading.fresh);
	for (uint32_t i = 0; map_next(&t->binaries, &i, &s);)
		ADD(((struct binary_entry *)(uintptr_t)s.value)->path);
#undef ADD_ALL
#undef ADD
	return ok;
}

static void move_paths(struct mappings *m, const uint32_t *ids)
{
	for (uint32_t k = 0; k < m->count; k++)
		m->at[k].path = ids[m->at[k].path];
}

// Paths that nobody maps any more are let go by interning the live ones anew.
static void compact_paths(struct processes *t)
{
	struct map_slot s;
	struct names *fresh = names_new(ACCOUNT_PROCESS);
	uint32_t *ids = mem_alloc(ACCOUNT_PROCESS, names_count(t->paths) * sizeof(*ids));
	if (fresh && ids && add_live(t, fresh, ids)) {
		for (uint32_t i = 0; map_next(&t->by_id, &i, &s);) {
			struct entry *e = (struct entry *)(uintptr_t)s.value;
			move_paths(&e->now, ids);
			move_paths(&e->before, ids);
		}
		move_paths(&t->reading.fresh, ids);
		for (uint32_t i = 0; map_next(&t->binaries, &i, &s);) {
			struct binary_entry *b = (struct binary_entry *)(uintptr_t)s.value;
			b->path = ids[b->path];
		}
		struct names *old = t->paths;
		t->paths = fresh;
		fresh = old;
	}
	t->paths_bytes = names_bytes(t->paths);
	names_free(fresh);
	mem_free(ids);
}

// False where E is no more.
static bool sweep_one(struct processes *t, struct entry *e, uint64_t now, int *checks)
{
	uint64_t used = e->checked_ns > e->seen_ns ? e->checked_ns : e->seen_ns;
	uint64_t grace = e->sampled ? t->options.grace_ns : LEFT_NS;
	bool over = e->p.exit_ns ? now > e->p.exit_ns + grace
				 : !e->known && now > e->seen_ns + UNSAMPLED_NS;
	bool lives = !over && !t->options.offline && !e->p.exit_ns;
	if (lives && now > used + IDLE_NS && *checks > 0) {
		(*checks)--;
		e->checked_ns = now;
		over = entry_alive(t, e) == GONE; // its exit event was lost
	}
	if (!over && e->execing && now > e->exec_ns + UNSAMPLED_NS)
		exec_settle(e);
	if (over)
		entry_free(t, e);
	else if (lives && e->now.cap && now > e->seen_ns + (e->sampled ? IDLE_NS : UNSAMPLED_NS))
		entry_forget(t, e);
	return !over;
}

static void sweep_entries(struct processes *t, uint64_t now)
{
	struct map_slot s;
	uint64_t end = clock_now() + SWEEP_NS;
	int checks = CHECKS;
	for (uint32_t n = 1; map_next(&t->by_id, &t->sweep_at, &s); n++) {
		if (!sweep_one(t, (struct entry *)(uintptr_t)s.value, now, &checks))
			t->sweep_at--; // another may lie in its place now
		if (n % 64 == 0 && clock_now() >= end)
			return;
	}
	t->sweep_at = 0;
}

static void sweep_pins(struct processes *t, uint64_t unused_since)
{
	struct map_slot s;
	for (uint32_t i = 0; map_next(&t->binaries, &i, &s);) {
		struct binary_entry *b = (struct binary_entry *)(uintptr_t)s.value;
		if (b->used_ns < unused_since)
			binary_unpin(t, b);
	}
	roots_close(t, unused_since);
}

void processes_sweep(struct processes *t, uint64_t now)
{
	t->now_ns = now;
	t->busy++;
	sweep_entries(t, now);
	// A descriptor that is held keeps its file's space, and a container's root from being
	// removed.
	sweep_pins(t, now > IDLE_NS ? now - IDLE_NS : 0);
	size_t many = 2 * t->paths_bytes;
	if (names_bytes(t->paths) > (many > PATHS_BYTES_MANY ? many : PATHS_BYTES_MANY))
		compact_paths(t);
	t->busy--;
	count_set(COUNT_PINNED, t->pinned + t->jit_count);
}

uint64_t processes_shrink(void *arg, uint64_t need)
{
	struct processes *t = arg;
	uint64_t before = mem_used(ACCOUNT_PROCESS);
	struct entry *e;
	// A recording's mappings could not be read again.
	if (t->busy || t->options.offline)
		return 0;
	for (uint32_t n = 0; n < SHRINK_LOOKS && n < t->by_id.count; n++) {
		if (before - mem_used(ACCOUNT_PROCESS) >= need)
			break;
		if (next_entry(t, &t->look_at, &e) && e->now.cap &&
		    t->now_ns > e->seen_ns + RECENT_NS)
			entry_forget(t, e);
	}
	return before - mem_used(ACCOUNT_PROCESS);
}
