// SPDX-License-Identifier: Apache-2.0
// Ship: a window closed. Seal it, name it, keep it; upload.c merges, writes and delivers it.
#include "private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// What the other profiles lose or sum, and how much that bears, as another counter says; of what
// was not seen nobody can say.
#define NOT_KNOWN KERNEL_COUNTER_COUNT
static const struct {
	enum path_type type;
	const char *mark;
	int count, value;
} others[] = {
    {PATH_OFF_CPU, "[lost: ring full]", KERNEL_OFF_LOST, KERNEL_OFF_LOST_NS},
    {PATH_MEMORY, "[lost: ring full, or nested]", KERNEL_MEMORY_LOST, KERNEL_MEMORY_LOST_BYTES},
    {PATH_MAPPED, "[lost: ring full, or nested]", KERNEL_MAPPED_LOST, KERNEL_MAPPED_LOST_BYTES},
    {PATH_MAPPED, "[lost: growths unseen]", KERNEL_MAPPED_UNSEEN, NOT_KNOWN},
    {PATH_MUTEX, "[lost: ring full, or nested]", KERNEL_LOCKS_LOST, KERNEL_LOCKS_LOST_NS},
    {PATH_MUTEX, "[short waits for kernel locks]", KERNEL_LOCKS_SHORT, KERNEL_LOCKS_SHORT_NS},
    {PATH_MUTEX, "[lost: lock waits unseen]", KERNEL_LOCKS_UNSEEN, NOT_KNOWN},
};

// What the kernel lost since the last window becomes frames of this one.
static void add_losses(struct path *p)
{
	uint64_t now[KERNEL_COUNTER_COUNT];
	if (!p->kernel)
		return;
	int error = kernel_counters(p->kernel, now);
	if (error) {
		log_seldom(
		    LOG_LEVEL_WARN, "kernel counters: %s: losses appear later", strerror(-error));
		return;
	}
	for (int i = KERNEL_LOST_FIRST; i <= KERNEL_LOST_LAST; i++) {
		uint64_t n = now[i] - p->counters[i];
		char mark[64];
		if (!n)
			continue;
		snprintf(
		    mark, sizeof(mark), "[lost: %s]", kernel_counter_label((enum kernel_counter)i));
		take_lost(p, PATH_CPU, mark, n, n * p->options.period_ns);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		uint64_t n = now[others[i].count] - p->counters[others[i].count];
		uint64_t value = 0;
		if (others[i].value < KERNEL_COUNTER_COUNT)
			value = now[others[i].value] - p->counters[others[i].value];
		if (n)
			take_lost(p, others[i].type, others[i].mark, n, value);
	}
	// At the end, what waits to make a sample.
	uint64_t rest = now[KERNEL_MAPPED_BYTES] - now[KERNEL_MAPPED_TOLD_BYTES] -
			now[KERNEL_MAPPED_LOST_BYTES];
	if (p->finishing && rest) {
		take_lost(p, PATH_MAPPED, MAPPED_SMALL, 0, rest);
		p->totals.mapped_bytes += rest;
	}
	uint64_t bytes, pages = kernel_huge_unseen(p->kernel, &bytes);
	if (pages > p->huge_unseen)
		take_lost(p, PATH_MEMORY, "[lost: huge pages, unseen]", pages - p->huge_unseen,
		    bytes - p->huge_unseen_bytes);
	p->huge_unseen = pages;
	p->huge_unseen_bytes = bytes;
	alloc_losses(p, now);
	memcpy(p->counters, now, sizeof(now));
	p->totals.taken = now[KERNEL_TAKEN];
}

static void on_name(void *arg, uint32_t index, const struct symbol_answer *a)
{
	struct path *p = arg;
	uint32_t frame = p->naming.frames[index];
	// No memory: the frame then says so by itself.
	profile_set_frame_name(p->sealed, frame, a->name, a->system_name);
	tape_put_name(p, profile_frame(p->sealed, frame), a);
}

void naming_free(struct naming *n)
{
	symbol_job_free(n->job);
	mem_free(n->places);
	mem_free(n->frames);
	*n = (struct naming){.job = NULL};
}

static bool any_waiting(const struct path *p)
{
	for (int t = 0; t < PATH_TYPE_COUNT; t++)
		if (p->waiting[t])
			return true;
	return false;
}

// Looks for the frames that want a name: 1 more, 0 through.
static int collect_places(struct path *p, uint64_t deadline)
{
	struct naming *n = &p->naming;
	uint32_t count = profile_frame_count(p->sealed);
	while (n->next < count) {
		uint32_t id = ++n->next;
		const struct profile_frame *f = profile_frame(p->sealed, id);
		if (f->name) {
			;
		} else if (n->refused) {
			profile_set_frame_name(p->sealed, id, "[unnamed: memory]", NULL);
		} else {
			n->places[n->count] = (struct place){
			    .kind = f->place, .owner = f->owner, .address = f->address};
			n->frames[n->count++] = id;
		}
		if (id % 256 == 0 && clock_now() >= deadline)
			return 1;
	}
	return 0;
}

// Without memory for the job every frame that has no name is told so.
static void refuse(struct path *p)
{
	log_seldom(LOG_LEVEL_WARN, "memory_limit: no memory to name the frames of this window");
	naming_free(&p->naming);
	p->naming.refused = true;
}

static int step_name(struct path *p, uint64_t budget_ns)
{
	struct naming *n = &p->naming;
	uint64_t deadline = clock_now() + budget_ns;
	if (p->names_wait)
		return 0;
	if (!n->places && !n->job && !n->refused) {
		uint64_t most = profile_frame_count(p->sealed) + 1ull;
		n->places = mem_alloc(ACCOUNT_PATH, most * sizeof(*n->places));
		n->frames = mem_alloc(ACCOUNT_PATH, most * sizeof(*n->frames));
		if (!n->places || !n->frames)
			refuse(p);
	}
	if (!n->job) {
		if (collect_places(p, deadline))
			return 1;
		if (n->count) {
			n->job = symbol_ask(p->symbol, n->places, n->count, on_name, p);
			mem_free(n->places);
			n->places = NULL;
			if (!n->job)
				refuse(p);
			return 1;
		}
	} else if (symbol_step(n->job, budget_ns) > 0) {
		return 1;
	}
	naming_free(n);
	if (!any_waiting(p))
		tape_put_named(p);
	p->phase = p->shipping == PATH_MUTEX ? SHIP_LOCKS : SHIP_KEEP;
	return 1;
}

// The window is named: into the history, and then to who waits for it.
static int step_keep(struct path *p, uint64_t budget_ns)
{
	int more = 0;
	if (p->options.history && !p->keeping)
		more = history_put(p->options.history, p->sealed);
	p->keeping = true;
	if (p->options.history && more == 0)
		more = history_step(p->options.history, budget_ns);
	if (more > 0)
		return 1;
	if (more < 0) {
		count_add(COUNT_WINDOWS_DROPPED, 1);
		log_seldom(LOG_LEVEL_WARN, "window not kept in memory: %s", strerror(-more));
	}
	p->keeping = false;
	p->phase = SHIP_MERGE;
	if (p->options.on_window)
		p->options.on_window(p->options.arg, p->shipping, p->sealed);
	return 1;
}

static int ship_step(void *arg, uint64_t budget_ns)
{
	struct path *p = arg;
	switch (p->phase) {
	case SHIP_NAME:
		return step_name(p, budget_ns);
	case SHIP_LOCKS:
		if (locks_step(p, budget_ns) == 0)
			p->phase = SHIP_KEEP;
		return 1;
	case SHIP_KEEP:
		return step_keep(p, budget_ns);
	case SHIP_MERGE:
		return upload_merge(p, budget_ns);
	case SHIP_WRITE:
		return upload_write(p, budget_ns);
	default:
		return upload_deliver(p, budget_ns);
	}
}

static void finish_if_over(struct path *p)
{
	if (!p->finishing || !p->over || p->sealed || p->ship_slice)
		return;
	p->finishing = false;
	if (p->finished)
		p->finished(p->finished_arg);
}

static void ship_begin(struct path *p);

// The next profile of the window that is being shipped: false where there is none.
static bool ship_next(struct path *p)
{
	for (int t = 0; t < PATH_TYPE_COUNT; t++) {
		if (!p->waiting[t])
			continue;
		p->sealed = p->waiting[t];
		p->waiting[t] = NULL;
		p->shipping = (enum path_type)t;
		p->phase = p->nothing ? SHIP_MERGE : SHIP_NAME;
		return true;
	}
	return false;
}

static void ship_done(void *arg, int result)
{
	struct path *p = arg;
	(void)result; // each step told its own trouble
	p->ship_slice = NULL;
	if (p->names_wait)
		return; // ship_named goes on
	profile_free(p->sealed);
	p->sealed = NULL;
	if (ship_next(p)) {
		ship_begin(p);
		return;
	}
	upload_over(p);
	ship_close_if_wanted(p);
	finish_if_over(p);
}

static void ship_begin(struct path *p)
{
	p->ship_slice = loop_slice(p->options.loop, ship_step, ship_done, p);
	if (!p->ship_slice) { // no memory for a slice: at once, however long it takes
		while (ship_step(p, LOOP_SLICE_NS) > 0)
			;
		ship_done(p, 0);
	}
}

// A recording ends with a window of nothing, unless it was cut: that one is nobody's.
static bool is_nothing(const struct path *p)
{
	int64_t totals[PROFILE_VALUES_MAX];
	if (!p->options.offline || !p->finishing)
		return false;
	for (int t = 0; t < PATH_TYPE_COUNT; t++) {
		if (!p->current[t].profile)
			continue;
		profile_totals(p->current[t].profile, totals);
		if (totals[0])
			return false;
	}
	return true;
}

void ship_seal(struct path *p, uint64_t wall_ns, uint64_t duration_ns)
{
	struct profile *old[PATH_TYPE_COUNT];
	uint64_t end = p->close_at ? p->close_at : clock_now();
	p->close_at = 0;
	p->nothing = is_nothing(p);
	if (!p->nothing)
		alloc_tell(p, p->options.offline ? wall_ns + duration_ns - p->tape_offset : end);
	for (int t = 0; t < PATH_TYPE_COUNT; t++)
		old[t] = p->current[t].profile;
	if (p->finishing) { // the last one
		for (int t = 0; t < PATH_TYPE_COUNT; t++)
			p->current[t].profile = NULL;
		p->over = true;
	} else if (take_window_new(p, end) < 0) {
		// The window goes on; what finds no memory in it is counted there.
		log_seldom(
		    LOG_LEVEL_WARN, "memory_limit: no memory for a new window: this one goes on");
		return;
	}
	for (int t = 0; t < PATH_TYPE_COUNT; t++) {
		if (!old[t])
			continue;
		profile_header(old[t])->time_ns = wall_ns;
		// What was live at its end has none: with one, readers take it for a sum.
		profile_header(old[t])->duration_ns = t == PATH_HEAP ? 0 : duration_ns;
		profile_seal(old[t]);
		p->waiting[t] = old[t];
	}
	if (!p->nothing)
		count_add(COUNT_WINDOWS, 1);
	tape_put_window(p, wall_ns, duration_ns);
	p->closed_ns = end;
	if (ship_next(p))
		ship_begin(p);
}

void ship_drained(struct path *p)
{
	ship_seal(p, p->window_wall, p->close_at - p->window_began);
	processes_sweep(p->processes, clock_now());
}

// What was sampled until now belongs to this window and what comes after to the next, however late
// the ring is drained. A sample that was on its way longer than SETTLE_NS is the next window's: of
// each CPU at most one, as it takes no other meanwhile. Losses are counted now.
void ship_close(struct path *p)
{
	if (p->over)
		return; // all is shipped
	if (p->sealed || p->ship_slice || (p->close_at && !p->finishing)) {
		if (!p->close_wanted)
			count_add(COUNT_WINDOWS_LATE, 1);
		p->close_wanted = true;
		return;
	}
	if (round_close(p))
		return; // it comes back here
	p->close_wanted = false;
	// A block whose stack still lies in the ring when the look comes to it is left to the next
	// window: so the ring is emptied first.
	if (p->look_timer && !p->finishing && !p->close_soon) {
		p->close_soon = clock_now();
		timer_set(p->drain_timer, 1, 0);
		return;
	}
	p->close_soon = 0;
	if (p->options.offline) { // the end of a tape that was cut
		uint64_t first = p->tape_first_ns, last = p->tape_last_ns;
		ship_seal(p, p->tape_wall, last > first ? last - first : 0);
		return;
	}
	add_losses(p);
	p->close_at = clock_now();
	if (p->finishing) // all is drained
		p->close_at = p->stopped_ns > p->window_began ? p->stopped_ns : p->window_began;
	if (p->finishing || !p->kernel)
		ship_drained(p);
	else if (!look_close(p) && p->drain_timer)
		timer_set(p->drain_timer, SETTLE_NS, 0);
}

void ship_close_if_wanted(struct path *p)
{
	if (p->close_wanted && !p->sealed && !p->ship_slice)
		ship_close(p);
}

void ship_named(struct path *p)
{
	if (!p->names_wait)
		return;
	p->names_wait = false;
	if (p->sealed && !p->ship_slice)
		ship_begin(p);
}

void path_flush(struct path *p)
{
	if (!p->options.offline) // there the tape says when a window closes
		ship_close(p);
}

uint64_t path_shrink(void *arg, uint64_t need)
{
	// What a window and an upload hold goes when they are shipped; that is asked for here and
	// cannot happen here. Windows are not made ever shorter by it.
	struct path *p = arg;
	if (need > p->squeeze)
		p->squeeze = need; // of blocked threads, one of which may be in hand now
	if (!p->options.offline && clock_now() - p->window_began > p->options.collection_ns / 10)
		p->close_wanted = p->upload_wanted = true;
	return 0;
}

static int finish_step(void *arg, uint64_t budget_ns)
{
	struct path *p = arg;
	// Before the look, so that it knows which stacks have come up, and after it.
	if (p->kernel && (path_drain(p) || look_last(p, p->stopped_ns, budget_ns)))
		return 1;
	return round_last(p, budget_ns);
}

static void finish_drained(void *arg, int result)
{
	struct path *p = arg;
	(void)result;
	p->finish_slice = NULL;
	p->finishing = true;
	ship_named(p); // a tape that ends or is left: the last window is named with what was taught
	ship_close(p);
	finish_if_over(p);
}

void path_finish(struct path *p, void (*done)(void *arg), void *arg)
{
	p->finished = done;
	p->finished_arg = arg;
	if (p->heap)
		heap_stop(p->heap);
	if (p->kernel)
		kernel_stop(p->kernel);
	p->stopped_ns = clock_now();
	timer_free(p->drain_timer);
	timer_free(p->window_timer);
	timer_free(p->cpu_timer);
	watch_free(p->wake);
	path_rest(p, false);
	p->wake = NULL;
	look_free(p);
	slice_free(p->round.slice);
	p->round.slice = NULL;
	slice_free(p->replay_slice);
	p->drain_timer = p->window_timer = p->cpu_timer = NULL;
	p->replay_slice = NULL;
	p->finish_slice = loop_slice(p->options.loop, finish_step, finish_drained, p);
	if (!p->finish_slice) {
		while (finish_step(p, 0))
			;
		finish_drained(p, 0);
	}
}
