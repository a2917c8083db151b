// SPDX-License-Identifier: Apache-2.0
// Mappings read from /proc: at once where they are few, in slices where they are many.
#include "private.h"
#include "../proc/proc.h"

#include <errno.h>
#include <string.h>

#define READ_NOW_NS 300000u	      // spent on the spot on reading a process's mappings
#define RETRY_NS (10 * NS_PER_MS)     // the shortest time between two readings of one process
#define TROUBLE_NS NS_PER_S	      // after one that failed
#define ELSEWHERE_NS (50 * NS_PER_MS) // another process is being read

// Is the process still there, and still the program that we know?
enum alive entry_alive(struct processes *t, const struct entry *e)
{
	struct proc_stat st;
	int error = proc_stat(t->options.proc, e->p.pid, &st);
	if (error == -ENOENT || error == -ESRCH)
		return GONE;
	if (error)
		return UNSURE;
	if (st.start_ticks != e->p.start_ticks)
		return GONE;
	return strncmp(st.comm, e->p.comm, sizeof(st.comm)) ? RENAMED : ALIVE;
}

struct read_state {
	struct processes *t;
	struct mappings *into;
};

static int on_map(void *arg, const struct proc_map *pm)
{
	struct read_state *s = arg;
	if (!pm->executable || pm->end <= pm->start)
		return 0;
	struct process_mapping m = {
	    .start = pm->start,
	    .end = pm->end,
	    .offset = pm->offset,
	    .inode = pm->inode,
	    .kind = mapping_kind_of(pm->path, false),
	    .deleted = pm->deleted,
	};
	if (path_of_mapping(s->t, &m, pm->path, strlen(pm->path)) < 0)
		s->into->stale = true; // found nowhere it is read again
	else
		mapping_put(s->into, &m);
	return 0;
}

// Keeps what earlier reads found out about files: the same range of the same file is the same.
static void carry_over(struct mappings *to, const struct mappings *from)
{
	const struct process_mapping *old = from->at, *end = old + from->count;
	for (uint32_t i = 0; i < to->count; i++) {
		struct process_mapping *m = &to->at[i];
		while (old < end && old->start < m->start)
			old++;
		if (old < end && old->start == m->start && old->offset == m->offset &&
		    old->kind == m->kind && old->path == m->path &&
		    (!old->inode || old->inode == m->inode)) {
			m->binary = old->binary;
			m->build_id = old->build_id;
			m->told = old->told;
		}
	}
}

// What was read takes the place of what was known.
static void take_over(struct entry *e, struct mappings *fresh)
{
	carry_over(fresh, &e->now);
	mappings_free(&e->now);
	e->now = *fresh;
	*fresh = (struct mappings){0};
}

// What was read in part joins what was known.
static void merge(struct entry *e, struct mappings *fresh)
{
	carry_over(fresh, &e->now);
	e->now.stale = fresh->stale;
	e->now.full |= fresh->full;
	for (uint32_t i = 0; i < fresh->count; i++)
		mapping_put(&e->now, &fresh->at[i]);
	mappings_free(fresh);
}

// A process whose mappings cost much to read is read again so late that it costs 1 % of a CPU, not
// more, and all processes that are read again together 5 %.
static void note_cost(struct processes *t, struct entry *e, uint64_t cost)
{
	uint64_t now = clock_now();
	e->maps_read = true;
	e->losses = count_get(COUNT_MMAP_LOST);
	e->next_read_ns = now + 100 * cost + (e->now.stale ? TROUBLE_NS : RETRY_NS);
	t->next_reread_ns = now + 20 * cost;
}

void reading_end(struct processes *t)
{
	proc_maps_free(t->reading.job);
	mappings_free(&t->reading.fresh);
	t->reading = (struct reading){0};
}

static int read_slice(struct processes *t, uint64_t budget_ns)
{
	struct reading *r = &t->reading;
	struct entry *e = entry_by_id(t, r->id);
	struct read_state s = {.t = t, .into = &r->fresh};
	if (!r->job)
		return 0;
	uint64_t began = clock_now();
	int more = e ? proc_maps_step(r->job, budget_ns, on_map, &s) : 0;
	r->cost_ns += clock_now() - began;
	if (more > 0)
		return 1;
	if (e) {
		// Memory that went away while it was read ends early, without a word.
		if (!more && r->fresh.count && entry_alive(t, e) == ALIVE)
			take_over(e, &r->fresh);
		else
			merge(e, &r->fresh);
		note_cost(t, e, r->cost_ns);
	}
	reading_end(t);
	return 0;
}

int processes_read(struct processes *t, uint64_t budget_ns)
{
	t->busy++;
	int more = read_slice(t, budget_ns);
	t->busy--;
	return more;
}

static void tell_busy(struct processes *t)
{
	if (t->options.on_busy)
		t->options.on_busy(t->options.arg);
}

// A process of which JOB read some into FRESH has too many mappings for one turn.
static void read_on(struct processes *t, struct entry *e, struct proc_maps_job *job,
    struct mappings *fresh, uint64_t began)
{
	t->reading = (struct reading){
	    .job = job, .fresh = *fresh, .id = e->p.id, .cost_ns = clock_now() - began};
	*fresh = (struct mappings){0};
	tell_busy(t);
}

// Under the id of the first thread there is no memory to see once that has ended: it is looked for
// under the thread that was sampled last, if that is still one of the same process.
static bool try_thread(struct processes *t, struct entry *e)
{
	struct proc_stat st;
	if (e->by_tid || !e->tid || e->tid == e->p.pid)
		return false;
	e->by_tid = proc_stat(t->options.proc, e->tid, &st) == 0 && st.ppid == e->p.ppid &&
		    st.start_ticks >= e->p.start_ticks;
	return e->by_tid;
}

// One try: ALIVE where it is settled (or goes on in slices), else what is in the way. Looks at the
// process after its maps were opened: so they are its own and not those of a later one with this
// pid.
static enum alive read_once(struct processes *t, struct entry *e, uint64_t began)
{
	struct mappings fresh = {0};
	struct read_state s = {.t = t, .into = &fresh};
	struct proc_maps_job *job = proc_maps_new(t->options.proc, entry_reader(e));
	int more = job ? proc_maps_step(job, READ_NOW_NS, on_map, &s) : -errno;
	enum alive alive = entry_alive(t, e);
	if (alive == ALIVE && more > 0 && !t->reading.job) {
		read_on(t, e, job, &fresh, began);
		return ALIVE;
	}
	if (alive == ALIVE && more > 0) { // another one is being read: later
		e->next_read_ns = clock_now() + ELSEWHERE_NS;
		tell_busy(t);
	} else if (alive == ALIVE && !more && fresh.count) {
		take_over(e, &fresh);
		note_cost(t, e, clock_now() - began);
	} else if (alive == ALIVE) { // nothing to see: hidden, or no memory (any more)
		alive = UNSURE;
	}
	mappings_free(&fresh);
	proc_maps_free(job);
	return alive;
}

// What is known has to do, for a while.
static void give_up(struct entry *e, enum alive alive, uint64_t now)
{
	e->maps_read = true;
	e->by_tid = false;
	e->losses = count_get(COUNT_MMAP_LOST);
	e->now.stale = alive == UNSURE;
	e->next_read_ns = now + TROUBLE_NS;
}

// Reads the mappings of a process that was never sampled itself.
void read_parent(struct processes *t, struct entry *parent)
{
	uint64_t now = clock_now();
	bool settled = parent->maps_read && !parent->now.stale;
	if (parent->now.count || settled || !parent->known || parent->p.exit_ns ||
	    t->reading.id == parent->p.id || now < parent->next_read_ns)
		return;
	parent->next_read_ns = now + RETRY_NS;
	enum alive alive = read_once(t, parent, now);
	if (alive == GONE || alive == UNSURE)
		give_up(parent, alive, now);
}

// A child that never ran exec shares its parent's program.
static void inherit(struct processes *t, struct entry *e)
{
	struct entry *parent = entry_parent(t, e);
	if (!parent || strncmp(parent->p.comm, e->p.comm, sizeof(e->p.comm)))
		return;
	read_parent(t, parent);
	mappings_copy(&e->now, &parent->now);
}

void read_maps(struct processes *t, struct entry *e)
{
	uint64_t began = clock_now();
	if (t->reading.id == e->p.id)
		tell_busy(t);
	if (began < e->next_read_ns || t->reading.id == e->p.id ||
	    (e->now.count && began < t->next_reread_ns))
		return;
	e->next_read_ns = began + RETRY_NS;
	enum alive alive = e->p.exit_ns ? GONE : read_once(t, e, began);
	if (alive == UNSURE && try_thread(t, e))
		alive = read_once(t, e, began);
	if (alive == ALIVE)
		return;
	// With another name it may be another program by now: the next sample or event tells.
	// One without memory has perhaps ended, or its memory is hidden.
	bool sure = alive != UNSURE || entry_began_since(t, e->p.start_ticks * TICK_NS);
	if (!e->now.count && !e->exec_ns && sure)
		inherit(t, e);
	if (alive == RENAMED)
		return;
	give_up(e, alive, began);
}
