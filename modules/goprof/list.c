// SPDX-License-Identifier: Apache-2.0
// One list of buckets. Layout: Go's runtime/mprof.go, the same from 1.15 to 1.26:
//
//   bucket: next | allnext | typ | hash | size | nstk     6 words
//   stack:  nstk return addresses
//   heap:   {allocs, frees, alloc bytes, free bytes} x 4: published, and three that are to be
//   others: count (float64, until 1.16 int64) | cycles
#include "private.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define HEAD_BYTES 48u
#define TRIES_MAX 3
#define NOT_READ UINT64_MAX // in a mark: its bucket was there before it could be told of
#define FIGURE_MAX (1ull << 50)
#define MUTEX_SCALED 20 // since 1.20 Go scales the mutex profile up itself

// What pads a stack whose frames were skipped already (since 1.23): no address.
#define SENTINEL UINT64_MAX

struct head {
	uint64_t next, allnext, typ, hash, size, depth;
};
struct cycle {
	uint64_t allocs, frees, alloc_bytes, free_bytes;
};
union record {
	struct cycle heap[4];
	struct {
		uint64_t count, cycles;
	} wait;
};

void list_begin(struct goprof *g, enum goprof_list list)
{
	static const enum variable heads[] = {VARIABLE_HEAP, VARIABLE_MUTEX, VARIABLE_BLOCK};
	struct walk *w = &g->walk;
	*w = (struct walk){.list = list, .counting = true, .collected = list != GOPROF_HEAP};
	if (list == GOPROF_LISTS)
		return;
	memory_forget(&g->memory); // the newest
	uint64_t at = g->program.at[heads[list]];
	if (list == GOPROF_MUTEX && g->minor < MUTEX_SCALED && !g->program.at[VARIABLE_MUTEX_RATE])
		at = 0; // nobody can tell what it stands for
	if (at && memory_read(&g->memory, at + g->target.bias, &w->head, NULL, sizeof(w->head)))
		w->head = 0;
	w->next = w->head;
}

static struct marked *marked_of(struct goprof *g)
{
	struct process_marks *p = goprof_marks(g);
	return p ? &p->lists[g->walk.list] : NULL;
}

// All buckets get marks before any is told of, so that a reading may end anywhere: what it did not
// come to, the next one tells.
static void mark_new(struct goprof *g, struct marked *m, bool cut)
{
	struct walk *w = &g->walk;
	w->left = w->fresh;
	if (!m) {
		count_add(COUNT_GO_UNMARKED, 1);
		return;
	}
	// Of what was there before the first reading only the future is told. Nothing is known of a
	// list whose old part is out of reach; one that ends without it is another program's.
	bool news = (m->read || g->target.whole) && !m->lost && !(cut && !w->known && m->count);
	if (!w->known)
		m->count = 0;
	w->left += m->count;
	m->collected = w->collected;
	m->lost = goprof_grow(g, &m->marks, &m->cap, w->left);
	if (m->lost) {
		count_add(COUNT_GO_UNMARKED, 1);
		return;
	}
	while (m->count < w->left)
		m->marks[m->count++] = news ? (struct mark){0} : (struct mark){.count = NOT_READ};
	m->head = w->head;
	m->read = true;
}

// 1 the bucket's record is in *R; 0 it is changing; -EFAULT, -EBADMSG.
static int read_bucket(struct goprof *g, uint64_t at, struct head *h, union record *r)
{
	static const uint8_t types[] = {[GOPROF_HEAP] = 1, [GOPROF_BLOCK] = 2, [GOPROF_MUTEX] = 3};
	union record again;
	size_t size = g->walk.list == GOPROF_HEAP ? sizeof(r->heap) : sizeof(r->wait);
	if (memory_read(&g->memory, at, h, NULL, HEAD_BYTES))
		return -EFAULT;
	if (h->typ != types[g->walk.list] || h->depth > GOPROF_DEPTH_MAX || at % 8 ||
	    h->allnext % 8)
		return -EBADMSG;
	memset(r, 0, sizeof(*r));
	memset(&again, 0, sizeof(again));
	if (memory_read(&g->memory, at + HEAD_BYTES + 8 * h->depth, r, &again, size))
		return -EFAULT;
	if (!memcmp(r, &again, size))
		return 1;
	memory_forget(&g->memory);
	return 0;
}

static int64_t bounded(double value)
{
	return value > 0 ? value < (double)FIGURE_MAX ? (int64_t)(value + 0.5) : (int64_t)FIGURE_MAX
			 : 0;
}

// As runtime/pprof scales: an object of SIZE is sampled with the probability 1 - exp(-SIZE/rate).
static double scale_of(const struct goprof *g, uint64_t size)
{
	if (g->rates.heap <= 1)
		return 1;
	return size ? 1 / -expm1(-(double)size / (double)g->rates.heap) : 0;
}

struct figures {
	struct mark now; // since the program began, unscaled
	int64_t held, held_value;
	double scale, value_scale;
};

static struct figures figures_of_heap(
    const struct goprof *g, const struct head *h, const union record *r)
{
	const struct cycle *c = r->heap;
	struct cycle all = {0};
	for (int i = 0; i < 4; i++) {
		all.allocs += c[i].allocs;
		all.frees += c[i].frees;
		all.alloc_bytes += c[i].alloc_bytes;
		all.free_bytes += c[i].free_bytes;
	}
	// What is not published yet would show as in use what nobody has looked at.
	const struct cycle *in_use = g->walk.collected ? c : &all;
	double scale = scale_of(g, h->size);
	struct figures f = {
	    .now = {all.allocs, all.alloc_bytes}, .scale = scale, .value_scale = scale};
	if (in_use->allocs > in_use->frees && in_use->alloc_bytes > in_use->free_bytes) {
		f.held = bounded((double)(in_use->allocs - in_use->frees) * scale);
		f.held_value = bounded((double)(in_use->alloc_bytes - in_use->free_bytes) * scale);
	}
	return f;
}

// Since 1.17 the count is a float64: of 1 and more it begins with bits that no count that is an
// integer has.
static struct figures figures_of_wait(const struct goprof *g, const union record *r)
{
	double count,
	    rate = g->walk.list == GOPROF_MUTEX && g->minor < MUTEX_SCALED && g->rates.mutex
		       ? (double)g->rates.mutex
		       : 1;
	if (r->wait.count < 1ull << 52)
		count = (double)r->wait.count;
	else
		memcpy(&count, &r->wait.count, sizeof(count));
	if (!(count >= 0 && count < (double)FIGURE_MAX))
		count = 0;
	return (struct figures){
	    .now = {(uint64_t)count, r->wait.cycles < INT64_MAX ? r->wait.cycles : 0},
	    .scale = rate,
	    .value_scale = rate * goprof_ns_per_tick(g)};
}

// What happened since the mark OLD, which becomes F->now.
static void since(struct figures *f, const struct mark *old, struct mark *happened)
{
	struct mark base = old->count == NOT_READ ? f->now : *old;
	happened->count = f->now.count > base.count ? f->now.count - base.count : 0;
	happened->value = f->now.value > base.value ? f->now.value - base.value : 0;
	// A figure that was caught halfway is made good by the next.
	f->now.count = base.count + happened->count;
	f->now.value = base.value + happened->value;
}

static int tell(struct goprof *g, uint64_t at, const struct head *h, const struct figures *f,
    const struct mark *happened, void (*told)(void *arg, const struct goprof_sample *sample),
    void *arg)
{
	struct goprof_sample s = {.list = g->walk.list,
	    .stack = g->stack,
	    .count = bounded((double)happened->count * f->scale),
	    .value = bounded((double)happened->value * f->value_scale),
	    .held = f->held,
	    .held_value = f->held_value};
	if (!s.count && !s.value && !s.held_value)
		return 0;
	if (memory_read(&g->memory, at + HEAD_BYTES, g->stack, NULL, 8 * h->depth))
		return -EFAULT;
	uint32_t n = (uint32_t)h->depth;
	if (n && g->stack[0] == SENTINEL) {
		s.stack++;
		n--;
	}
	while (s.depth < n && s.stack[s.depth])
		s.depth++;
	told(arg, &s);
	return 0;
}

static int take_bucket(struct goprof *g, uint64_t at, const struct head *h, const union record *r,
    void (*told)(void *arg, const struct goprof_sample *sample), void *arg)
{
	struct marked *m = marked_of(g);
	struct mark unmarked = {.count = NOT_READ}, happened = {0};
	struct mark *mark = m && g->walk.left <= m->count ? &m->marks[g->walk.left - 1] : &unmarked;
	struct figures f =
	    g->walk.list == GOPROF_HEAP ? figures_of_heap(g, h, r) : figures_of_wait(g, r);
	since(&f, mark, &happened);
	*mark = f.now;
	return tell(g, at, h, &f, &happened, told, arg);
}

// Where do the old ones begin? And has the program published anything yet? Its own pprof shows all
// there is where it has not.
static int count_step(struct goprof *g)
{
	struct walk *w = &g->walk;
	struct marked *m = marked_of(g);
	struct head h;
	union record r;
	if (m && m->count && w->next == m->head && !w->known) {
		w->known = true;
		w->collected |= m->collected;
	}
	bool cut = w->next && w->seen == GOPROF_BUCKETS_MAX;
	if (!w->next || cut || (w->known && w->collected)) {
		if (cut)
			count_add(COUNT_GO_CUT, 1);
		mark_new(g, m, cut);
		w->counting = false;
		w->next = w->head;
		w->seen = 0;
		return 1;
	}
	int got = read_bucket(g, w->next, &h, &r);
	if (got < 0)
		return got;
	w->collected |= r.heap[0].allocs || r.heap[0].frees;
	w->next = h.allnext;
	w->fresh += !w->known;
	w->seen++;
	return 1;
}

static int tell_step(
    struct goprof *g, void (*told)(void *arg, const struct goprof_sample *sample), void *arg)
{
	struct walk *w = &g->walk;
	struct head h;
	union record r;
	if (!w->next || !w->left || w->seen == GOPROF_BUCKETS_MAX)
		return 0;
	int got = read_bucket(g, w->next, &h, &r);
	if (got < 0 || (!got && ++w->tries < TRIES_MAX))
		return got < 0 ? got : 1;
	if (got)
		got = take_bucket(g, w->next, &h, &r, told, arg);
	if (got < 0)
		return got;
	w->tries = 0;
	w->seen++;
	w->left--;
	w->next = h.allnext;
	return 1;
}

int list_step(struct goprof *g, uint64_t deadline,
    void (*told)(void *arg, const struct goprof_sample *sample), void *arg)
{
	int more;
	do {
		more = g->walk.counting ? count_step(g) : tell_step(g, told, arg);
	} while (more > 0 && clock_now() < deadline);
	return more;
}
