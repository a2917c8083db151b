// SPDX-License-Identifier: Apache-2.0
// What was missed, what is let go, and the steps.
#include "private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

uint32_t now_s(void)
{
	return (uint32_t)(clock_now() / NS_PER_S);
}

struct unwind *unwind_new(const struct unwind_options *options)
{
	struct unwind *u = mem_alloc(ACCOUNT_UNWIND, sizeof(*u));
	if (!u)
		return NULL;
	u->options = *options;
	u->files = u->publications = MAP(ACCOUNT_UNWIND);
	u->changed_last = &u->changed;
	u->load.fd = u->load.debug_fd = -1;
	u->page = (uint64_t)sysconf(_SC_PAGESIZE);
	u->windows = pool_new(WINDOWS_MAX);
	u->slots = pool_new(PROCESS_SLOTS);
	u->store = store_new(options->tables, options->memory);
	if (!u->windows || !u->slots) {
		unwind_free(u);
		return errno = ENOMEM, NULL;
	}
	return u;
}

void unwind_free(struct unwind *u)
{
	struct map_slot s;
	if (!u)
		return;
	load_stop(u);
	for (uint32_t i = 0; map_next(&u->publications, &i, &s); i--)
		publication_free(u, (struct publication *)(uintptr_t)s.value);
	for (uint32_t i = 0; map_next(&u->files, &i, &s); i--)
		file_free(u, (struct file *)(uintptr_t)s.value);
	map_clear(&u->publications);
	map_clear(&u->files);
	mem_free(u->windows);
	mem_free(u->slots);
	mem_free(u);
}

void unwind_tell(struct unwind *u)
{
	if (u->told)
		return;
	u->told = true;
	u->options.on_busy(u->options.arg);
}

static void window_store(struct unwind *u, uint32_t window, uint64_t place)
{
	struct window *w = &u->options.tables->windows[window];
	// A walk that reads the new generation finds the new place, or that it has changed.
	__atomic_store_n(&w->place, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&w->generation, w->generation + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&w->place, place, __ATOMIC_RELEASE);
}

void window_set(struct unwind *u, uint32_t window, enum window_state state)
{
	window_store(u, window, PLACE_OF_WINDOW(0, 0, 0, state));
}

static uint64_t place_of(const struct unwind *u, uint32_t window)
{
	return u->options.tables->windows[window].place;
}

static bool is_loaded(const struct unwind *u, uint32_t window)
{
	return PLACE_STATE(place_of(u, window)) == WINDOW_ROWS;
}

void window_load(struct unwind *u, uint32_t window, const struct region *r, uint32_t dictionary)
{
	// Not the next to go, before any walker had a chance to use it.
	u->options.tables->windows[window].used = now_s();
	window_store(
	    u, window, PLACE_OF_WINDOW(r->page, dictionary, r->count - dictionary, WINDOW_ROWS));
	u->owner[window]->pages += store_pages(PAGE_ROWS, r->count);
	u->figures.windows++;
	u->figures.row_bytes += (uint64_t)r->count * BLOCK_BYTES;
}

static struct region region_of(uint64_t place)
{
	return (struct region){
	    PLACE_PAGE(place), (uint16_t)(PLACE_RULES(place) + PLACE_ROWS(place)), PAGE_ROWS};
}

void window_unload(struct unwind *u, uint32_t window)
{
	struct file *f = u->owner[window];
	uint64_t place = place_of(u, window);
	struct region r = region_of(place);
	if (PLACE_STATE(place) != WINDOW_ROWS)
		return;
	window_set(u, window, WINDOW_ASK);
	u->figures.windows--;
	u->figures.row_bytes -= (uint64_t)r.count * BLOCK_BYTES;
	u->figures.rows -= f->windows[window - f->first].rows;
	f->windows[window - f->first].rows = 0;
	f->loaded--;
	f->pages -= store_pages(PAGE_ROWS, r.count);
	store_drop(&u->store, &r);
}

static bool is_recent(uint32_t used, uint32_t now)
{
	return used > now || now - used <= RECENT_S;
}

// Seconds when WINDOW was last used; of a file that no process has any more sooner, so that what
// ended makes room before what runs. One that is being asked for may have none yet.
static uint32_t window_used(const struct unwind *u, uint32_t window)
{
	const struct file *f = u->owner[window];
	uint32_t used = u->options.tables->windows[window].used;
	uint32_t less = f->refs || !f->ended ? 0 : RECENT_S;
	return used > less ? used - less : 0;
}

// When a process is taken to have been used last: nobody tells when it is.
static uint32_t used_of(const struct publication *p)
{
	return (uint32_t)(p->published_ns / NS_PER_S) + PUBLISHED_S;
}

static bool evict_window(struct unwind *u)
{
	uint32_t now = now_s(), window = POOL_NONE, oldest = UINT32_MAX;
	for (uint32_t i = 0; i < WINDOWS_MAX; i++) {
		uint32_t used = is_loaded(u, i) ? window_used(u, i) : UINT32_MAX;
		if (used < oldest && !is_recent(used, now)) {
			oldest = used;
			window = i;
		}
	}
	if (window == POOL_NONE)
		return false;
	window_unload(u, window);
	u->figures.evicted++;
	return true;
}

static bool evict_process(struct unwind *u)
{
	uint32_t now = now_s(), oldest = UINT32_MAX;
	struct publication *process = NULL;
	struct map_slot s;
	for (uint32_t i = 0; map_next(&u->publications, &i, &s);) {
		struct publication *p = (struct publication *)(uintptr_t)s.value;
		if (p != u->publishing && p->slot != POOL_NONE && !is_recent(used_of(p), now) &&
		    used_of(p) < oldest) {
			oldest = used_of(p);
			process = p;
		}
	}
	if (process)
		publication_free(u, process);
	return process;
}

bool unwind_evict(struct unwind *u, enum page_kind kind)
{
	return kind == PAGE_ROWS ? evict_window(u) : evict_process(u);
}

bool unwind_evict_any(struct unwind *u)
{
	return evict_window(u) || evict_process(u);
}

uint32_t unwind_idle_pages(const struct unwind *u)
{
	uint32_t now = now_s(), pages = 0;
	for (uint32_t i = 0; i < WINDOWS_MAX; i++)
		if (is_loaded(u, i) && !is_recent(window_used(u, i), now))
			pages += store_pages(PAGE_ROWS, region_of(place_of(u, i)).count);
	return pages;
}

static struct file *largest_file(const struct unwind *u)
{
	struct file *found = NULL;
	struct map_slot s;
	for (uint32_t i = 0; map_next(&u->files, &i, &s);) {
		struct file *f = (struct file *)(uintptr_t)s.value;
		if (!found || f->pages > found->pages)
			found = f;
	}
	return found;
}

uint32_t unwind_spare_pages(const struct unwind *u, const struct file *f)
{
	const struct file *largest = largest_file(u);
	return largest->pages > f->pages ? (largest->pages - f->pages) / 2 : 0;
}

bool unwind_take(struct unwind *u, const struct file *f, uint32_t pages)
{
	const struct file *largest = largest_file(u);
	uint32_t window = POOL_NONE, oldest = UINT32_MAX;
	if (largest->pages <= f->pages + pages)
		return false;
	for (uint32_t i = largest->first; i < largest->first + (uint32_t)largest->count; i++)
		if (is_loaded(u, i) && u->options.tables->windows[i].used < oldest) {
			oldest = u->options.tables->windows[i].used;
			window = i;
		}
	window_unload(u, window);
	u->figures.evicted++;
	return true;
}

bool unwind_room(struct unwind *u, const struct map *m, uint64_t bytes)
{
	// A map that is full doubles, and for a moment has both.
	if (m && (!m->slots || (m->count + 1) * 4ull > (m->mask + 1ull) * 3))
		bytes += (m->slots ? m->mask + 1ull : 8) * 2 * sizeof(*m->slots) + 64;
	if (store_left(&u->store) >= bytes + 64)
		return true;
	unwind_evict_any(u);
	return false;
}

static const struct process_mapping *mapping_at(
    struct unwind *u, struct process *p, uint64_t address)
{
	uint32_t count, lo = 0;
	const struct process_mapping *m = process_mappings(u->options.processes, p, &count);
	for (uint32_t hi = count; lo < hi;) {
		uint32_t mid = (lo + hi) / 2;
		if (m[mid].end > address)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo < count && m[lo].start <= address ? &m[lo] : NULL;
}

// The file behind mapping M of P, made if need be, and the link-time address of ADDRESS into *LINK.
// NULL: there is none that has rows, or no room for it.
static struct file *file_at(struct unwind *u, struct process *p, const struct process_mapping *m,
    uint64_t address, uint64_t *link)
{
	if (vdso_is_ours(m)) {
		struct file *f = file_make_vdso(u);
		*link = address - m->start + m->offset + u->vdso_delta;
		return f;
	}
	if (m->kind != PLACE_FILE)
		return NULL;
	uint32_t id = process_mapping_binary(u->options.processes, p, address);
	const struct binary *b = id ? binary_by_id(u->options.processes, id) : NULL;
	if (!b || !facts_usable(&b->facts) || !mapping_link(u, m, &b->facts, address, link))
		return NULL;
	return file_make(u, b, true);
}

static void need_code(struct unwind *u, struct process *p, const struct record_sample *r)
{
	uint64_t frame = r->frames[r->kernel_frames + r->need_at], link = 0;
	bool is_return = r->need_at > 0 && frame >> FRAME_PAYLOAD_BITS != FRAME_EXACT;
	uint64_t address = (frame & ((1ull << FRAME_PAYLOAD_BITS) - 1)) - is_return;
	const struct process_mapping *known = mapping_at(u, p, address);
	if (!known)
		return;			   // what nobody knows cannot be published
	struct process_mapping m = *known; // which moves when it is asked for its file
	struct file *f = r->need & NEED_WINDOW ? file_at(u, p, &m, address, &link) : NULL;
	struct publication *pub = publication_of(u, p->pid);
	bool own = pub && pub->process == p->id && pub->slot != POOL_NONE;
	// A child that was forked walks by its parent's mappings, while it has none of its own.
	pub = own ? pub : publication_of(u, p->ppid);
	bool told = pub && f && publication_has(pub, f);
	// The walker missed what is known here: a mapping, a file behind one, or that it is none.
	if (!told && own)
		publication_changed(u, pub, 0);
	else if (!told)
		publication_want(u, p, r);
	if (f)
		load_want(u, f, link);
}

void unwind_need(struct unwind *u, struct process *p, const struct record_sample *r)
{
	u->busy++;
	if (r->need & NEED_PROCESS)
		publication_want(u, p, r);
	if (r->need & (NEED_WINDOW | NEED_MAPPING) && r->need_at < r->user_frames)
		need_code(u, p, r);
	u->busy--;
	if (u->changed || u->queued || u->load.file)
		unwind_tell(u);
}

void unwind_execed(struct unwind *u, const struct process *p, uint64_t now)
{
	u->busy++;
	publication_execed(u, p, now);
	u->busy--;
}

void unwind_changed(struct unwind *u, const struct process *p)
{
	struct publication *pub = publication_of(u, p->pid);
	if (!pub || pub->process != p->id)
		return;
	publication_changed(u, pub, 0);
	unwind_tell(u);
}

void unwind_gone(struct unwind *u, const struct process *p)
{
	struct publication *pub = publication_of(u, p->pid);
	if (pub && pub->process == p->id)
		publication_free(u, pub);
}

static void turn(struct unwind *u)
{
	u->turn_ns = clock_now() + TURN_NS;
	pool_turn(u->windows);
	pool_turn(u->slots);
	if (clock_now() < u->sweep_ns)
		return;
	u->sweep_ns = clock_now() + SWEEP_NS;
	publications_sweep(u);
	files_sweep(u);
}

int unwind_step(struct unwind *u, uint64_t budget_ns)
{
	uint64_t start = clock_now(), end = start + budget_ns;
	u->busy++;
	if (start >= u->turn_ns)
		turn(u);
	bool more = publish_step(u, end);
	more = load_step(u, end) || more;
	u->busy--;
	if (!more)
		u->told = false;
	return more;
}

uint64_t unwind_shrink(void *arg, uint64_t need)
{
	struct unwind *u = arg;
	uint64_t before = mem_used(ACCOUNT_UNWIND) + mem_used(ACCOUNT_MAPS), freed = 0;
	bool can = u->options.tables->page_bytes[PAGE_ROWS]; // else pages are there all the time
	while (can && !u->busy && freed < need) {
		if (!unwind_evict_any(u))
			break;
		freed = before - mem_used(ACCOUNT_UNWIND) - mem_used(ACCOUNT_MAPS);
	}
	return freed;
}

void unwind_figures(const struct unwind *u, struct unwind_figures *f)
{
	*f = u->figures;
	f->bytes = store_bytes(&u->store);
	f->pages = u->store.pages[PAGE_ROWS] + u->store.pages[PAGE_MAPPINGS];
}
