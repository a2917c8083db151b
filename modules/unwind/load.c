// SPDX-License-Identifier: Apache-2.0
// The windows that walks went through, one after the other:
//
//   queue -> source of the file -> rows_job in slices -> blocks -> pages -> published
//
// A source stays open while its file has windows that are asked for as often as others.
#include "private.h"
#include "../proc/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define RETRY_S 1	    // a window that found no room, memory or descriptor
#define STALE_S 5	    // a request that nobody repeats
#define DEBUG_SMALL 1024    // bytes of .eh_frame that may be the C library's start files alone
#define DEBUG_BELOW 64	    // of the code's size; where there is any the rows are a tenth of it
#define ROWS_A_STEP 8192    // more than a step can find
#define STEP_BYTES 65536u   // what else it may take
#define MARGIN_BYTES 16384u // that building leaves for what is published
// A window asked for so often that it may take the room of what is in use. What was asked for
// counts half after each time it was refused: some ten times a second.
#define HOT_ASKED 20
#define AHEAD_MISSES 3 // windows missed of a file before neighbours are loaded
#define AHEAD_MAX 16u  // with one

static struct file_window *window_of(const struct file *f, uint32_t window)
{
	return (struct file_window *)&f->windows[window - f->first];
}

static enum window_state state_of(const struct unwind *u, uint32_t window)
{
	return PLACE_STATE(u->options.tables->windows[window].place);
}

static void queue_remove(struct unwind *u, uint32_t at)
{
	window_of(u->owner[u->queue[at]], u->queue[at])->queued = false;
	u->queued--;
	memmove(&u->queue[at], &u->queue[at + 1], (u->queued - at) * sizeof(*u->queue));
}

// That the rows of W take; as many as those of others where nobody knows.
static uint32_t pages_wanted(const struct unwind *u, const struct file_window *w)
{
	uint64_t blocks = w->wanted;
	if (!blocks && u->figures.windows)
		blocks = u->figures.row_bytes / BLOCK_BYTES / u->figures.windows;
	return store_pages(PAGE_ROWS, (uint32_t)blocks + !blocks);
}

// Nothing is built for which there is no hope of room: how much one takes that was refused is known
// from then on, so that it waits without costing anything.
static bool has_hope(const struct unwind *u, const struct file *f, const struct file_window *w)
{
	const struct store *s = &u->store;
	uint64_t idle = unwind_idle_pages(u), need = pages_wanted(u, w);
	if (w->asked >= HOT_ASKED)
		idle += unwind_spare_pages(u, f);
	return store_room(s, PAGE_ROWS) + idle >= need &&
	       store_left(s) + idle * s->tables->page_bytes[PAGE_ROWS] >= w->need;
}

// One window goes for the one in hand, false: none may.
static bool evict(struct unwind *u)
{
	const struct load *l = &u->load;
	const struct file_window *w = window_of(l->file, l->window);
	return unwind_evict(u, PAGE_ROWS) ||
	       (w->asked >= HOT_ASKED && unwind_take(u, l->file, pages_wanted(u, w)));
}

// Of those that were asked for but once the first; false: there is none.
static bool queue_weed(struct unwind *u)
{
	for (uint32_t i = 0; i < u->queued; i++)
		if (window_of(u->owner[u->queue[i]], u->queue[i])->asked == 1) {
			queue_remove(u, i);
			return true;
		}
	return false;
}

void load_want(struct unwind *u, struct file *f, uint64_t address)
{
	uint64_t i = (address - f->low) >> WINDOW_SHIFT;
	if (address < f->low || i >= f->count)
		return;
	uint32_t window = f->first + (uint32_t)i;
	struct file_window *w = window_of(f, window);
	enum window_state state = state_of(u, window);
	f->used = now_s();
	f->ended = false;
	w->asked += w->asked < UINT16_MAX;
	if (w->queued || (state != WINDOW_ASK && state != WINDOW_FULL) || f->used < w->retry ||
	    (u->queued == QUEUE_MAX && !queue_weed(u)))
		return;
	w->queued = true;
	u->queue[u->queued++] = (uint16_t)window;
}

// The next: asked for most often; of those the first, but one of the file whose source is open
// before others. A window in constant use does not wait for hundreds that were hit once.
static uint32_t queue_best(const struct unwind *u)
{
	uint32_t best = POOL_NONE, most = 0;
	for (uint32_t i = 0; i < u->queued; i++) {
		const struct file *f = u->owner[u->queue[i]];
		uint32_t weight = 2 * window_of(f, u->queue[i])->asked + (f == u->load.file);
		if (weight > most) {
			most = weight;
			best = i;
		}
	}
	return best;
}

static void note_peak(struct unwind *u)
{
	uint64_t own = mem_used(ACCOUNT_UNWIND), more = own - u->store.base;
	if (own > u->store.base && more > u->load.peak)
		u->load.peak = more;
}

static void job_end(struct unwind *u)
{
	struct load *l = &u->load;
	bool built = l->job || l->blocks;
	rows_job_free(l->job);
	mem_free(l->blocks);
	l->job = NULL;
	l->blocks = NULL;
	if (built)
		store_rests(&u->store, l->peak);
	l->peak = 0;
}

void load_stop(struct unwind *u)
{
	struct load *l = &u->load;
	if (l->job || l->blocks)
		window_of(l->file, l->window)->queued = false;
	job_end(u);
	rows_source_free(l->source);
	if (l->fd >= 0)
		close(l->fd);
	if (l->debug_fd >= 0)
		close(l->debug_fd);
	*l = (struct load){.fd = -1, .debug_fd = -1};
}

void load_forget(struct unwind *u, const struct file *f)
{
	if (u->load.file == f)
		load_stop(u);
	for (uint32_t i = u->queued; i-- > 0;)
		if (u->owner[u->queue[i]] == f)
			queue_remove(u, i);
}

// No rows of F are to be had, now or later: frame pointers are all there is.
static void give_up_file(struct unwind *u, const struct file *f)
{
	for (uint32_t i = f->first; i < f->first + (uint32_t)f->count; i++)
		if (state_of(u, i) == WINDOW_ASK || state_of(u, i) == WINDOW_FULL)
			window_set(u, i, WINDOW_FRAME);
	load_forget(u, f);
}

static bool will_pass(int error)
{
	return error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -ENOSPC;
}

// The window of the job at hand gets no rows. WANTED blocks would have done (0: not known).
static void give_up_window(struct unwind *u, int error, uint32_t wanted)
{
	struct load *l = &u->load;
	struct file_window *w = window_of(l->file, l->window);
	if (will_pass(error)) {
		window_set(u, l->window, WINDOW_FULL);
		w->wanted = (uint16_t)wanted;
		w->retry = now_s() + RETRY_S;
		w->asked /= 2;
		u->figures.refused++;
	} else {
		window_set(u, l->window, WINDOW_FRAME);
		u->figures.failed++;
	}
	w->queued = false;
	job_end(u);
}

struct search {
	struct processes *processes;
	uint32_t binary; // by id: an allocation may make the process room drop it
	int fd, host_root, found;
};

static bool take_debug(struct search *s, int fd)
{
	if (fd < 0)
		return false;
	if (elf_debug_matches(s->fd, fd)) {
		s->found = fd;
		return true;
	}
	close(fd);
	return false;
}

static int each_debug(void *arg, const char *path)
{
	struct search *s = arg;
	const struct binary *b = binary_by_id(s->processes, s->binary);
	return (b && take_debug(s, binary_open_beside(s->processes, b, path))) ||
	       (s->host_root >= 0 && take_debug(s, proc_open_beneath(s->host_root, path)));
}

// Could the separate debug file tell more? Not every file without .eh_frame has none at all: what
// the C library's start files bring is there, which a small program may not have more of.
static bool wants_debug(int fd)
{
	struct elf_frames frames;
	if (elf_frames(fd, NULL, 0, &frames) < 0 || frames.go || frames.debug_frame.size)
		return false;
	return frames.eh_frame.size < DEBUG_SMALL ||
	       frames.eh_frame.size < (frames.high - frames.low) / DEBUG_BELOW;
}

// The separate debug file of B, open as FD, where B itself describes next to nothing; -1: none.
static int open_debug(struct unwind *u, const struct binary *b, int fd)
{
	char path[4096];
	if (!wants_debug(fd))
		return -1;
	struct search s = {.processes = u->options.processes,
	    .binary = b->id,
	    .fd = fd,
	    .found = -1,
	    .host_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
	text_copy(path, sizeof(path), b->path);
	elf_debug_paths(fd, path, each_debug, &s);
	if (s.host_root >= 0)
		close(s.host_root);
	return s.found;
}

// Opens what describes F. A descriptor of our own: the process room may close its any time.
static int open_source(struct unwind *u, const struct file *f)
{
	struct load *l = &u->load;
	if (f->key == FILE_VDSO) {
		l->source = rows_source_new(-1, u->vdso, u->vdso_size, -1);
		return l->source ? 0 : -errno;
	}
	struct binary *b = binary_by_id(u->options.processes, (uint32_t)f->key);
	int fd = b ? binary_fd(u->options.processes, b) : -ENOENT;
	if (fd < 0)
		return fd;
	l->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (l->fd < 0)
		return -errno;
	l->debug_fd = open_debug(u, b, l->fd);
	l->source = rows_source_new(l->fd, NULL, 0, l->debug_fd);
	return l->source ? 0 : -errno;
}

static void start_job(struct unwind *u)
{
	struct load *l = &u->load;
	const struct file *f = l->file;
	l->job = rows_job_new(l->source, f->low + (uint64_t)(l->window - f->first) * WINDOW_BYTES);
	if (l->job)
		window_of(f, l->window)->queued = true; // until it is done
	else
		give_up_window(u, -errno, 0);
}

// A walk stops at the first window that it misses, so that a stack through many would need as many
// samples. Of a file in which walks missed several the neighbours are loaded with the next: 2, 4,
// 8...
static void note_miss(struct file *f)
{
	f->misses += f->misses < AHEAD_MISSES + 3;
	f->ahead = f->misses < AHEAD_MISSES ? 0 : (uint8_t)(2u << (f->misses - AHEAD_MISSES));
	_Static_assert(2u << 3 == AHEAD_MAX, "2, 4, 8, 16");
}

static bool may_come(const struct unwind *u, uint32_t window)
{
	const struct file *f = u->load.file;
	return window >= f->first && window < f->first + (uint32_t)f->count &&
	       state_of(u, window) == WINDOW_ASK;
}

// Begins the next neighbour, when nobody waits and half of the memory is free; false: there is
// none.
static bool begin_ahead(struct unwind *u)
{
	struct load *l = &u->load;
	if (!l->source || !l->file->ahead ||
	    u->store.pages[PAGE_ROWS] > u->options.tables->pages_max[PAGE_ROWS] / 2)
		return false;
	for (uint32_t d = 1; d < l->file->count; d++) {
		bool above = may_come(u, l->window + d);
		if (!above && !may_come(u, l->window - d))
			continue;
		l->window = above ? l->window + d : l->window - d;
		l->file->ahead--;
		start_job(u);
		return true;
	}
	return false;
}

// Begins the next window; false: the queue is empty.
static bool begin(struct unwind *u)
{
	struct load *l = &u->load;
	uint32_t at = queue_best(u), window = at == POOL_NONE ? 0 : u->queue[at];
	struct file *f = u->owner[window];
	if (at == POOL_NONE && begin_ahead(u))
		return true;
	if (at == POOL_NONE || f != l->file)
		load_stop(u);
	if (at == POOL_NONE)
		return false;
	queue_remove(u, at);
	if (f->used + STALE_S < now_s()) {
		window_of(f, window)->asked = 0;
		return true; // whoever wanted it would have asked again
	}
	l->file = f;
	l->window = window;
	int error = has_hope(u, f, window_of(f, window)) ? 0 : -ENOSPC;
	if (!error && !l->source)
		error = open_source(u, f);
	if (!error) {
		note_miss(f);
		start_job(u);
	} else if (will_pass(error)) {
		give_up_window(u, error, window_of(f, window)->wanted);
		load_stop(u);
	} else {
		u->figures.failed += error != -ENODATA;
		give_up_file(u, f);
	}
	return true;
}

// Sees to BYTES for what is being built: rows that nobody used lately make room. False: there is
// none; how much it would have taken is kept.
static bool make_room(struct unwind *u, uint64_t bytes)
{
	struct load *l = &u->load;
	bytes += MARGIN_BYTES;
	while (store_left(&u->store) < bytes)
		if (!u->options.tables->page_bytes[PAGE_ROWS] || !evict(u)) {
			bytes += rows_job_rows(l->job)->cap * sizeof(struct row);
			window_of(l->file, l->window)->need = (uint32_t)bytes;
			return false;
		}
	return true;
}

// May the next step take what it wants? Rows are kept in an array that grows.
static bool has_room(struct unwind *u)
{
	const struct rows *rows = rows_job_rows(u->load.job);
	uint64_t more =
	    rows->cap - rows->count < ROWS_A_STEP ? ROWS_A_STEP * sizeof(struct row) : 0;
	return make_room(u, more + STEP_BYTES);
}

static void encode(struct unwind *u)
{
	struct load *l = &u->load;
	const struct rows *rows = rows_job_rows(l->job);
	uint64_t most = 4ull * rows->count + STEP_BYTES; // of blocks, dictionary and what ranks it
	int error = make_room(u, most) ? 0 : -ENOSPC;
	if (!error)
		error = blocks_encode(rows, &l->blocks, &l->dictionary, &l->count);
	l->rows = rows->count;
	u->figures.built_rows += rows->count;
	note_peak(u);
	if (error)
		return give_up_window(u, error, 0);
	rows_job_free(l->job);
	l->job = NULL;
}

static void build(struct unwind *u, uint64_t budget_ns)
{
	struct load *l = &u->load;
	uint64_t before = clock_cpu();
	int result = has_room(u) ? rows_job_step(l->job, budget_ns) : -ENOSPC;
	note_peak(u);
	if (result == 0)
		encode(u);
	else if (result < 0)
		give_up_window(u, result, 0);
	u->figures.build_ns += clock_cpu() - before;
}

static void publish(struct unwind *u, const struct region *r)
{
	struct load *l = &u->load;
	window_load(u, l->window, r, l->dictionary);
	*window_of(l->file, l->window) = (struct file_window){.rows = l->rows};
	l->file->loaded++;
	u->figures.rows += l->rows;
	u->figures.loads++;
	job_end(u);
}

static void place(struct unwind *u)
{
	struct load *l = &u->load;
	uint32_t count = l->dictionary + l->count;
	struct region r;
	int error;
	do
		error = store_put_rows(&u->store, l->blocks, l->dictionary, count, &r);
	while (error == -ENOSPC && evict(u));
	if (!error)
		publish(u, &r);
	else
		give_up_window(u, will_pass(error) ? error : -ENOMEM, count);
}

bool load_step(struct unwind *u, uint64_t end_ns)
{
	struct load *l = &u->load;
	for (uint64_t now; (now = clock_now()) < end_ns;) {
		bool went_on = true;
		if (l->blocks)
			place(u);
		else if (l->job)
			build(u, end_ns - now);
		else
			went_on = begin(u);
		if (!went_on)
			return false;
	}
	return true;
}
