// SPDX-License-Identifier: Apache-2.0
// What the walker is told of a process: its executable mappings, in pages of their own.
#include "private.h"

#include <errno.h>
#include <string.h>

#define PAGE_SHIFT 12
#define PAGE (1ull << PAGE_SHIFT)
#define RETRY_NS NS_PER_S
// What changed is told at once, for until then walks go by what was there before. Only a process
// whose mappings change all the time is published anew this often at most, once it did so for a
// second: the more mappings, the less often, for each time they are all written and the old rest.
#define AGAIN_NS (50 * NS_PER_MS)
#define AGAIN_MAPPING_NS (100 * NS_PER_US)
#define AGAIN_CREDIT_NS NS_PER_S
#define EVICT_AT_ONCE 16

struct publication *publication_of(const struct unwind *u, uint32_t pid)
{
	uint64_t v;
	return map_get(&u->publications, pid, &v) ? (struct publication *)(uintptr_t)v : NULL;
}

bool publication_has(const struct publication *p, const struct file *f)
{
	for (uint32_t i = 0; i < p->file_count; i++)
		if (p->files[i] == f->first)
			return true;
	return false;
}

static void drop_files(struct unwind *u, struct publication *p)
{
	for (uint32_t i = 0; i < p->file_count; i++) {
		struct file *f = u->owner[p->files[i]];
		f->ended = !--f->refs;
	}
	mem_free(p->files);
	p->files = NULL;
	p->file_count = 0;
}

// Nothing of P is published any more.
static void withdraw(struct unwind *u, struct publication *p)
{
	if (p->slot == POOL_NONE)
		return;
	__atomic_store_n(&u->options.tables->processes[p->slot].place, 0, __ATOMIC_RELEASE);
	pool_rest(u->slots, p->slot, 1);
	store_drop(&u->store, &p->region);
	drop_files(u, p);
	p->slot = POOL_NONE;
	p->hash = 0;
	p->again_ns = 0;
	u->figures.processes--;
}

static void unchange(struct unwind *u, struct publication *p)
{
	struct publication **at = &u->changed;
	if (!p->changed)
		return;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	if (u->changed_last == &p->next)
		u->changed_last = at;
	p->changed = false;
	u->changed_count--;
}

void publication_free(struct unwind *u, struct publication *p)
{
	withdraw(u, p);
	unchange(u, p);
	map_remove(&u->publications, p->pid);
	mem_free(p);
}

static void append(struct unwind *u, struct publication *p)
{
	p->changed = true;
	p->next = NULL;
	*u->changed_last = p;
	u->changed_last = &p->next;
	u->changed_count++;
}

void publication_changed(struct unwind *u, struct publication *p, uint64_t delay_ns)
{
	if (p->changed)
		return;
	p->due_ns = clock_now() + delay_ns;
	if (p->due_ns < p->again_ns)
		p->due_ns = p->again_ns;
	append(u, p);
}

static struct publication *publication_new(
    struct unwind *u, const struct process *process, uint32_t mm_id)
{
	struct publication *p = NULL;
	if (unwind_room(u, &u->publications, sizeof(*p)))
		p = mem_alloc(ACCOUNT_UNWIND, sizeof(*p));
	if (!p)
		return NULL;
	*p = (struct publication){
	    .pid = process->pid, .process = process->id, .mm_id = mm_id, .slot = POOL_NONE};
	if (map_put(&u->publications, p->pid, (uintptr_t)p) < 0) {
		mem_free(p);
		return NULL;
	}
	return p;
}

// Of PROCESS, made if need be; NULL: no memory.
static struct publication *publication_make(
    struct unwind *u, const struct process *process, uint32_t mm_id)
{
	struct publication *p = publication_of(u, process->pid);
	if (p && p->process != process->id) {
		publication_free(u, p);
		p = NULL;
	}
	return p ? p : publication_new(u, process, mm_id);
}

static bool is_ahead(const struct publication *p)
{
	return p->mm_id <= MM_EXECS && p->slot != POOL_NONE;
}

void publication_want(struct unwind *u, struct process *process, const struct record_sample *r)
{
	if (process->exit_ns)
		return; // nobody will look
	struct publication *p = publication_make(u, process, r->mm_id);
	if (!p)
		return;
	if (r->head.time_ns < p->sample_ns)
		return; // perhaps of the program before this one
	if (is_ahead(p) && r->head.time_ns < p->published_ns)
		return; // the walker finds it by now
	p->sample_ns = r->head.time_ns;
	if (p->mm_id != r->mm_id)
		withdraw(u, p);
	p->mm_id = r->mm_id;
	if (p->slot == POOL_NONE)
		publication_changed(u, p, 0);
}

void publication_execed(struct unwind *u, const struct process *process, uint64_t now)
{
	struct publication *p = publication_make(u, process, 0);
	if (!p || now < p->sample_ns)
		return;
	withdraw(u, p);
	p->execs++;
	p->mm_id = p->execs;
	p->sample_ns = now;
}

void publications_sweep(struct unwind *u)
{
	struct map_slot s;
	for (uint32_t i = 0; map_next(&u->publications, &i, &s);) {
		struct publication *p = (struct publication *)(uintptr_t)s.value;
		const struct process *process = process_by_pid(u->options.processes, p->pid);
		if (process && process->id == p->process)
			continue;
		publication_free(u, p);
		i--; // another may lie in its place now
	}
}

// Mappings as they are written, and the files that they lie in.
struct draft {
	struct mapping *out;
	uint16_t *files;
	uint32_t count, cap, file_count, file_cap;
	bool files_only; // there are too many
};

static void put(struct draft *d, uint64_t start, uint64_t end, uint32_t kind, uint32_t window,
    uint64_t file_page)
{
	uint64_t page = start >> PAGE_SHIFT, pages = (end >> PAGE_SHIFT) - page;
	struct mapping *last = d->count ? &d->out[d->count - 1] : NULL;
	if (end <= start || !pages || pages > UINT32_MAX || file_page > UINT32_MAX ||
	    (kind == MAPPING_ANON && d->files_only))
		return;
	if (last && kind != MAPPING_FILE && MAPPING_KIND(last) == kind &&
	    MAPPING_PAGE(last) + last->pages == page && last->pages + pages <= UINT32_MAX) {
		last->pages += (uint32_t)pages;
		return;
	}
	if (d->count < d->cap)
		d->out[d->count++] = (struct mapping){.start = MAPPING_START(page, kind, window),
		    .pages = (uint32_t)pages,
		    .file_page = (uint32_t)file_page};
}

static void note_file(struct unwind *u, struct draft *d, struct file *f)
{
	if (f->mark == u->mark || d->file_count == d->file_cap)
		return;
	f->mark = u->mark;
	d->files[d->file_count++] = f->first;
}

static uint64_t page_floor(const struct unwind *u, uint64_t at)
{
	return at & ~(u->page - 1);
}

static uint64_t page_end(const struct unwind *u, const struct elf_exec *x)
{
	return page_floor(u, x->offset + x->size + u->page - 1);
}

bool mapping_link(const struct unwind *u, const struct process_mapping *m,
    const struct elf_facts *facts, uint64_t address, uint64_t *link)
{
	uint64_t at = address - m->start + m->offset;
	const struct elf_exec *found = NULL;
	for (uint32_t i = 0; i < facts->exec_count; i++) {
		const struct elf_exec *x = &facts->exec[i];
		uint64_t from = page_floor(u, x->offset);
		if (at < from || at >= page_end(u, x))
			continue;
		if (!found || (from == m->offset && page_floor(u, found->offset) != from))
			found = x;
	}
	*link = found ? found->vaddr - found->offset + at : 0;
	return found;
}

// The part of mapping M that segment X fills, from file offset *AT on, which goes on behind it.
static void put_segment(const struct unwind *u, struct draft *d, const struct process_mapping *m,
    const struct file *f, const struct elf_exec *x, uint64_t *at)
{
	uint64_t from = page_floor(u, x->offset), to = page_end(u, x);
	uint64_t end = m->offset + (m->end - m->start);
	from = from > *at ? from : *at;
	to = to < end ? to : end;
	uint64_t link = x->vaddr - x->offset + from - f->low;
	if (from >= to || link > (uint64_t)f->count * WINDOW_BYTES)
		return;
	uint64_t room = (uint64_t)f->count * WINDOW_BYTES - link;
	to = to - from < room ? to : from + room;
	put(d, m->start + (from - m->offset), m->start + (to - m->offset), MAPPING_FILE, f->first,
	    link >> PAGE_SHIFT);
	*at = to;
}

static void put_file(const struct unwind *u, struct draft *d, const struct process_mapping *m,
    const struct file *f, const struct elf_facts *facts)
{
	uint64_t at = m->offset;
	for (uint32_t i = 0; i < facts->exec_count; i++)
		if (page_floor(u, facts->exec[i].offset) == m->offset) {
			put_segment(u, d, m, f, &facts->exec[i], &at);
			break;
		}
	for (uint32_t i = 0; i < facts->exec_count; i++)
		put_segment(u, d, m, f, &facts->exec[i], &at);
}

// Allocates nothing: under pressure that could take the mappings away.
static void put_mapping(struct unwind *u, struct draft *d, const struct process_mapping *m)
{
	const struct binary *b = NULL;
	struct file *f = NULL;
	uint32_t kind = m->kind == PLACE_ANON ? MAPPING_ANON : MAPPING_PLAIN;
	uint32_t id = process_mapping_guess(u->options.processes, m);
	if (m->kind == PLACE_FILE && id)
		b = binary_by_id(u->options.processes, id);
	bool may_have_rows = b ? facts_usable(&b->facts) : m->kind == PLACE_FILE;
	if (vdso_is_ours(m)) {
		may_have_rows = true;
		f = file_of(u, FILE_VDSO);
	} else if (b && may_have_rows) {
		f = file_of(u, b->id);
	}
	if (f)
		note_file(u, d, f);
	if (f && b)
		put_file(u, d, m, f, &b->facts);
	else if (f)
		put(d, m->start, m->end, MAPPING_FILE, f->first,
		    (m->offset + u->vdso_delta - f->low) >> PAGE_SHIFT);
	else if (may_have_rows)
		put(d, m->start, m->end, MAPPING_FILE, WINDOW_UNKNOWN, 0);
	else
		put(d, m->start, m->end, kind, 0, 0);
}

// Files that are known get their windows ahead of need while those are plenty.
static void make_files(struct unwind *u, struct process *process)
{
	uint32_t count = 1;
	for (uint32_t i = 0; i < count && u->windows->free > WINDOWS_MAX / 4; i++) {
		const struct process_mapping *m =
		    process_mappings(u->options.processes, process, &count);
		uint32_t id = i < count ? process_mapping_guess(u->options.processes, &m[i]) : 0;
		if (!id || m[i].kind != PLACE_FILE)
			continue;
		const struct binary *b = binary_by_id(u->options.processes, id);
		if (b && facts_usable(&b->facts))
			file_make(u, b, false);
	}
}

static int draft_new(struct unwind *u, struct draft *d, uint32_t mappings)
{
	// A mapping may hold several segments; few do.
	uint32_t cap = mappings + 16, most = store_share(&u->store) * MAPPINGS_PER_BLOCK;
	d->files_only = mappings > most;
	cap = cap < most ? cap : most;
	d->cap = cap;
	d->file_cap = mappings < u->files.count ? mappings : u->files.count;
	size_t bytes = (cap + MAPPINGS_PER_BLOCK - 1) / MAPPINGS_PER_BLOCK * sizeof(struct block);
	if (!unwind_room(u, NULL, bytes + d->file_cap * sizeof(*d->files)))
		return -ENOMEM;
	d->out = mem_alloc(ACCOUNT_UNWIND, bytes);
	d->files = mem_alloc(ACCOUNT_UNWIND, d->file_cap * sizeof(*d->files));
	return d->out && d->files ? 0 : -ENOMEM;
}

static void draft_free(struct draft *d)
{
	mem_free(d->out);
	mem_free(d->files);
}

// A free slot. Where there is none the longest published of them goes, for the next time.
static uint32_t find_slot(struct unwind *u, const struct publication *p)
{
	uint32_t first = process_hash(p->pid, p->mm_id);
	const struct process_slot *slots = u->options.tables->processes;
	struct publication *oldest = NULL;
	bool soon = false;
	for (uint32_t i = 0; i < PROCESS_PROBES; i++) {
		uint32_t at = (first + i) & (PROCESS_SLOTS - 1);
		if (pool_is_free(u->slots, at))
			return at;
		struct publication *other = publication_of(u, slots[at].pid);
		soon = soon || !pool_is_taken(u->slots, at);
		if (other && other->slot == at &&
		    (!oldest || other->published_ns < oldest->published_ns))
			oldest = other;
	}
	if (!soon && oldest && oldest->published_ns + RECENT_S * NS_PER_S < clock_now())
		publication_free(u, oldest);
	return POOL_NONE;
}

// Where there is no page for another process the longest published one goes.
static int put_region(
    struct unwind *u, const struct block *blocks, uint32_t count, struct region *r)
{
	struct store *s = &u->store;
	int error = store_put_mappings(s, blocks, count, r);
	for (int i = 0; error == -ENOSPC && i < EVICT_AT_ONCE; i++) {
		bool full = s->pages[PAGE_MAPPINGS] + store_pages(PAGE_MAPPINGS, count) >
			    s->tables->pages_max[PAGE_MAPPINGS];
		if (!(full ? unwind_evict(u, PAGE_MAPPINGS) : unwind_evict_any(u)))
			break;
		error = store_put_mappings(s, blocks, count, r);
	}
	return error;
}

// D becomes what is published of P.
static int replace(struct unwind *u, struct publication *p, struct draft *d)
{
	struct region region;
	uint32_t slot = p->slot == POOL_NONE ? find_slot(u, p) : p->slot;
	uint32_t blocks = (d->count + MAPPINGS_PER_BLOCK - 1) / MAPPINGS_PER_BLOCK;
	if (slot == POOL_NONE)
		return -ENOSPC;
	int error = put_region(u, (const struct block *)d->out, blocks, &region);
	if (error)
		return error;
	for (uint32_t i = 0; i < d->file_count; i++)
		u->owner[d->files[i]]->refs++;
	drop_files(u, p);
	p->files = d->files;
	p->file_count = (uint16_t)d->file_count;
	d->files = NULL;
	struct process_slot *to = &u->options.tables->processes[slot];
	if (p->slot == POOL_NONE) {
		pool_take(u->slots, slot, 1);
		to->pid = p->pid;
		to->mm_id = p->mm_id;
		u->figures.processes++;
	}
	__atomic_store_n(&to->place, PLACE_OF_PROCESS(region.page, d->count), __ATOMIC_RELEASE);
	store_drop(&u->store, &p->region);
	p->region = region;
	p->slot = slot;
	return 0;
}

static int draft(struct unwind *u, struct draft *d, struct process *process)
{
	uint32_t count;
	process_mappings(u->options.processes, process, &count);
	int error = count ? draft_new(u, d, count) : -EAGAIN;
	u->mark++;
	for (uint32_t i = 0; !error && i < count; i++) {
		// Asked for each time: any call into the process room may move them.
		const struct process_mapping *m =
		    process_mappings(u->options.processes, process, &count);
		if (i >= count)
			break;
		struct process_mapping one = m[i];
		put_mapping(u, d, &one);
	}
	return error;
}

// The next is due a gap after this one, but what was not used of the last second counts.
static void pay(struct publication *p)
{
	uint64_t gap = AGAIN_NS + (uint64_t)p->region.count * MAPPINGS_PER_BLOCK * AGAIN_MAPPING_NS;
	uint64_t least = p->published_ns - AGAIN_CREDIT_NS;
	p->again_ns = (p->again_ns > least ? p->again_ns : least) + gap;
}

static int publish(struct unwind *u, struct publication *p, struct process *process)
{
	struct draft d = {};
	make_files(u, process);
	int error = draft(u, &d, process);
	if (error) {
		draft_free(&d);
		return error == -EAGAIN ? 0 : error; // what is published may still be right
	}
	uint64_t hash = hash_bytes(d.out, d.count * sizeof(*d.out), 0);
	if (!d.count)
		withdraw(u, p);
	else if (p->slot == POOL_NONE || hash != p->hash)
		error = replace(u, p, &d);
	if (!error) {
		p->hash = hash;
		p->published_ns = clock_now();
		pay(p);
	}
	draft_free(&d);
	return error;
}

// What is published of P and no longer right is tried again. Nothing is: when a sample asks for it,
// for those that nobody samples would take the room that there is.
static void refused(struct unwind *u, struct publication *p)
{
	u->figures.refused++;
	p->again_ns = clock_now() + RETRY_NS;
	if (p->slot != POOL_NONE)
		publication_changed(u, p, RETRY_NS);
}

bool publish_step(struct unwind *u, uint64_t end_ns)
{
	for (uint32_t n = u->changed_count; n > 0 && u->changed; n--) {
		struct publication *p = u->changed;
		uint64_t now = clock_now();
		if (now >= end_ns)
			return true;
		unchange(u, p);
		if (p->due_ns > now) {
			append(u, p);
			continue;
		}
		struct process *process = process_by_pid(u->options.processes, p->pid);
		if (!process || process->id != p->process) {
			publication_free(u, p);
			continue;
		}
		u->publishing = p;
		int error = publish(u, p, process);
		u->publishing = NULL;
		if (error)
			refused(u, p);
	}
	return false;
}
