// SPDX-License-Identifier: Apache-2.0
// Ship: a window closed. Seal it, name it, keep it, merge it into the upload, write that.
#include "private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// What the kernel lost since the last window becomes frames of this one.
static void add_losses(struct path *p)
{
	uint64_t now[KERNEL_COUNTER_COUNT];
	if (!p->kernel)
		return;
	int error = kernel_counters(p->kernel, now);
	if (error) {
		log_seldom(LOG_LEVEL_WARN, "kernel counters: %s: losses appear later", strerror(-error));
		return;
	}
	for (int i = KERNEL_LOST_FIRST; i <= KERNEL_LOST_LAST; i++) {
		uint64_t n = now[i] - p->counters[i];
		char mark[64];
		if (!n)
			continue;
		snprintf(mark, sizeof(mark), "[lost: %s]", kernel_counter_label((enum kernel_counter)i));
		int64_t values[PROFILE_VALUES_MAX] = {(int64_t)n, (int64_t)(n * p->options.period_ns)};
		profile_add_lost(p->current, mark, values);
		p->totals.lost += n;
		tape_put_lost(p, mark, n);
	}
	memcpy(p->counters, now, sizeof(now));
	p->totals.taken = now[KERNEL_TAKEN];
}

static void on_name(void *arg, uint32_t index, const struct symbol_answer *a)
{
	struct path *p = arg;
	uint32_t frame = p->name_frames[index];
	const struct profile_frame *f = profile_frame(p->sealed, frame);
	struct place place = {.kind = f->place, .owner = f->owner, .address = f->address};
	// No memory: the frame then says so by itself.
	profile_set_frame_name(p->sealed, frame, a->name, a->system_name);
	tape_put_name(p, &place, a);
}

// The job that names the sealed window; NULL where nothing wants a name or there is no memory for it.
static void start_naming(struct path *p)
{
	uint32_t count = profile_frame_count(p->sealed), n = 0;
	struct place *places = mem_alloc(ACCOUNT_PATH, (count + 1) * sizeof(*places));
	p->name_frames = mem_alloc(ACCOUNT_PATH, (count + 1) * sizeof(*p->name_frames));
	if (places && p->name_frames) {
		for (uint32_t id = 1; id <= count; id++) {
			const struct profile_frame *f = profile_frame(p->sealed, id);
			if (f->name || f->place == PLACE_NONE)
				continue;
			places[n] = (struct place){.kind = f->place, .owner = f->owner, .address = f->address};
			p->name_frames[n++] = id;
		}
		if (n)
			p->names = symbol_ask(p->symbol, places, n, on_name, p);
	}
	if (!places || !p->name_frames || (n && !p->names)) {
		log_seldom(LOG_LEVEL_WARN, "memory_limit: no memory to name %u frames of this window", count);
		for (uint32_t id = 1; id <= count; id++)
			if (!profile_frame(p->sealed, id)->name)
				profile_set_frame_name(p->sealed, id, "[unnamed: memory]", NULL);
	}
	mem_free(places);
}

static void tell(struct path *p)
{
	if (p->options.on_window)
		p->options.on_window(p->options.arg, p->sealed);
}

static int step_name(struct path *p, uint64_t budget_ns)
{
	if (p->names_wait)
		return 0;
	if (!p->names && !p->name_frames)
		start_naming(p);
	if (p->names && symbol_step(p->names, budget_ns) > 0)
		return 1;
	symbol_job_free(p->names);
	mem_free(p->name_frames);
	p->names = NULL;
	p->name_frames = NULL;
	tape_put_named(p);
	p->phase = SHIP_KEEP;
	if (p->options.history) {
		int error = history_put(p->options.history, p->sealed);
		if (error) {
			count_add(COUNT_WINDOWS_DROPPED, 1);
			log_seldom(LOG_LEVEL_WARN, "window not kept in memory: %s", strerror(-error));
			p->phase = SHIP_MERGE;
			tell(p);
		}
	}
	return 1;
}

static int step_keep(struct path *p, uint64_t budget_ns)
{
	int more = p->options.history ? history_step(p->options.history, budget_ns) : 0;
	if (more > 0)
		return 1;
	if (more < 0) {
		count_add(COUNT_WINDOWS_DROPPED, 1);
		log_seldom(LOG_LEVEL_WARN, "window not kept in memory: %s", strerror(-more));
	}
	tell(p);
	p->phase = SHIP_MERGE;
	return 1;
}

// Without memory to merge, the window is written by itself rather than not at all.
static int step_merge(struct path *p, uint64_t budget_ns)
{
	if (!p->options.directory)
		return 0;
	if (!p->upload) {
		p->upload = p->sealed;
		p->sealed = NULL;
	} else {
		if (!p->merge)
			p->merge = profile_merge_new(p->upload, p->sealed, 1, NULL, NULL);
		int more = p->merge ? profile_merge_step(p->merge, budget_ns) : -ENOMEM;
		if (more > 0)
			return 1;
		profile_merge_free(p->merge);
		p->merge = NULL;
		if (more < 0) {
			count_add(COUNT_WINDOWS_DROPPED, 1);
			log_seldom(LOG_LEVEL_WARN, "memory_limit: a window could not join the upload");
		}
		struct profile_header *into = profile_header(p->upload);
		const struct profile_header *from = profile_header_of(p->sealed);
		into->duration_ns = from->time_ns + from->duration_ns - into->time_ns;
	}
	if (clock_now() + NS_PER_MS < p->upload_due && !p->upload_wanted)
		return 0;
	p->upload_wanted = false;
	p->upload_due = clock_now() + p->options.upload_ns;
	p->phase = SHIP_WRITE;
	int error = directory_put(p->options.directory, p->upload);
	if (error)
		log_seldom(LOG_LEVEL_ERROR, "output.directory: %s", strerror(-error));
	return !error;
}

static int step_write(struct path *p, uint64_t budget_ns)
{
	int more = directory_step(p->options.directory, budget_ns);
	if (more > 0)
		return 1;
	profile_free(p->upload); // directory_step has told and counted a failure
	p->upload = NULL;
	return 0;
}

static int ship_step(void *arg, uint64_t budget_ns)
{
	struct path *p = arg;
	return p->phase == SHIP_NAME ? step_name(p, budget_ns)
	       : p->phase == SHIP_KEEP ? step_keep(p, budget_ns)
	       : p->phase == SHIP_MERGE ? step_merge(p, budget_ns)
					 : step_write(p, budget_ns);
}

static void finish_if_over(struct path *p)
{
	if (!p->finishing || p->current || p->sealed || p->ship_slice)
		return;
	p->finishing = false;
	if (p->finished)
		p->finished(p->finished_arg);
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
	if (p->close_wanted)
		ship_close(p);
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

void ship_seal(struct path *p, uint64_t wall_ns, uint64_t duration_ns)
{
	struct profile *old = p->current;
	p->close_wanted = false;
	add_losses(p);
	if (p->finishing) {
		p->current = NULL; // the last one
	} else if (take_window_new(p) < 0) {
		// The window goes on; what finds no memory in it is counted there.
		log_seldom(LOG_LEVEL_WARN, "memory_limit: no memory for a new window: this one goes on");
		return;
	}
	profile_header(old)->time_ns = wall_ns;
	profile_header(old)->duration_ns = duration_ns;
	profile_seal(old);
	count_add(COUNT_WINDOWS, 1);
	tape_put_window(p, wall_ns, duration_ns);
	p->sealed = old;
	p->phase = SHIP_NAME;
	ship_begin(p);
}

void ship_close(struct path *p)
{
	if (p->sealed || p->ship_slice) {
		if (!p->close_wanted)
			count_add(COUNT_WINDOWS_LATE, 1);
		p->close_wanted = true;
		return;
	}
	ship_seal(p, p->window_wall, clock_now() - p->window_began);
	processes_sweep(p->processes, clock_now());
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
	ship_close(p);
}

static int finish_step(void *arg, uint64_t budget_ns)
{
	struct path *p = arg;
	(void)budget_ns;
	return p->kernel && kernel_drain(p->kernel, 64) == 64;
}

static void finish_drained(void *arg, int result)
{
	struct path *p = arg;
	(void)result;
	p->finish_slice = NULL;
	p->finishing = true;
	p->upload_wanted = true;
	ship_close(p);
}

void path_finish(struct path *p, void (*done)(void *arg), void *arg)
{
	p->finished = done;
	p->finished_arg = arg;
	if (p->kernel)
		kernel_stop(p->kernel);
	timer_free(p->drain_timer);
	timer_free(p->window_timer);
	timer_free(p->cpu_timer);
	p->drain_timer = p->window_timer = p->cpu_timer = NULL;
	p->finish_slice = loop_slice(p->options.loop, finish_step, finish_drained, p);
	if (!p->finish_slice) {
		while (finish_step(p, 0))
			;
		finish_drained(p, 0);
	}
}

uint64_t path_shrink(void *arg, uint64_t need)
{
	// What a window holds goes when it is shipped; that is asked for here and cannot happen here.
	struct path *p = arg;
	(void)need;
	p->close_wanted = true;
	return 0;
}
