// SPDX-License-Identifier: Apache-2.0
// A job: sort the places, then group by group answer from the cache and ask one source for the
// rest.
#include "private.h"

#include <errno.h>
#include <string.h>

struct symbol *symbol_new(const struct symbol_options *options)
{
	struct symbol *s = mem_alloc(ACCOUNT_SYMBOL, sizeof(*s));
	if (!s)
		return NULL;
	s->options = *options;
	if (!s->options.perf_map_bytes_max)
		s->options.perf_map_bytes_max = 32u << 20;
	s->debug_files = MAP(ACCOUNT_SYMBOL);
	// A replay keeps all that the recording says: nowhere else could it be looked up again.
	s->cache = cache_new(options->cache_size, options->offline);
	if (!s->cache) {
		mem_free(s);
		return errno = ENOMEM, NULL;
	}
	log_info("created shared symbol resolver for all profilers");
	return s;
}

void symbol_free(struct symbol *s)
{
	if (!s)
		return;
	cache_free(s->cache);
	map_clear(&s->debug_files);
	mem_free(s);
}

uint64_t symbol_shrink(void *s, uint64_t need)
{
	return cache_shrink(((struct symbol *)s)->cache, need);
}

struct symbol_job *symbol_ask(struct symbol *s, const struct place *places, uint32_t count,
    void (*found)(void *arg, uint32_t index, const struct symbol_answer *answer), void *arg)
{
	if (count >= 1u << 28)
		return errno = EINVAL, NULL;
	struct symbol_job *job = mem_alloc(ACCOUNT_SYMBOL, sizeof(*job));
	if (!job)
		return NULL;
	job->items = mem_alloc(ACCOUNT_SYMBOL, count * sizeof(*job->items));
	if (!job->items) {
		mem_free(job);
		return errno = ENOMEM, NULL;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t kind = places[i].kind < ITEM_ANSWERED ? places[i].kind : PLACE_NONE;
		bool shared = kind == PLACE_KERNEL || kind == PLACE_VDSO;
		job->items[i] = (struct item){places[i].address, shared ? 0 : places[i].owner,
		    i & ((1u << 28) - 1), kind & 15};
	}
	job->s = s;
	job->found = found;
	job->arg = arg;
	job->count = count;
	job->heap = count / 2;
	job->end = count;
	job->source.fd = job->source.debug_fd = -1;
	count_add(COUNT_FRAMES_ASKED, count);
	cache_tick(s->cache);
	return job;
}

void symbol_job_free(struct symbol_job *job)
{
	if (!job)
		return;
	source_free(job);
	mem_free(job->items);
	mem_free(job);
}

static bool before(const struct item *a, const struct item *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind;
	return a->owner != b->owner ? a->owner < b->owner : a->address < b->address;
}

// Heap sort, because it stands still between any two steps and needs no memory: sinks AT into the
// heap of the first END items.
static void sink(struct item *items, uint32_t at, uint32_t end)
{
	struct item moving = items[at];
	for (uint32_t child; (child = at * 2 + 1) < end; at = child) {
		if (child + 1 < end && before(&items[child], &items[child + 1]))
			child++;
		if (!before(&moving, &items[child]))
			break;
		items[at] = items[child];
	}
	items[at] = moving;
}

// False when the deadline passed before all was sorted.
static bool sort(struct symbol_job *job, uint64_t deadline)
{
	for (uint32_t n = 1; job->heap || job->end > 1; n++) {
		if (job->heap) {
			sink(job->items, --job->heap, job->count);
		} else {
			struct item top = job->items[0];
			job->items[0] = job->items[--job->end];
			job->items[job->end] = top;
			sink(job->items, 0, job->end);
		}
		if (n % 256 == 0 && clock_now() >= deadline)
			return false;
	}
	return true;
}

static void next_group(struct symbol_job *job)
{
	const struct item *first = &job->items[job->to];
	job->from = job->at = job->to;
	while (job->to < job->count && job->items[job->to].kind == first->kind &&
	       job->items[job->to].owner == first->owner)
		job->to++;
	job->kind = first->kind;
	job->owner = first->owner;
	job->misses = 0;
	job->fresh = false;
}

static bool has_source(uint32_t kind)
{
	return kind == PLACE_KERNEL || kind == PLACE_FILE || kind == PLACE_VDSO ||
	       kind == PLACE_ANON;
}

// Answers one item of the group from the cache, or moves it to the misses.
static void look_up(struct symbol_job *job, struct item item)
{
	uint32_t kind = item.kind;
	struct owner *o = cache_owner(job->s->cache, kind, item.owner, false);
	const struct range *r = o ? cache_find(job->s->cache, o, item.address) : NULL;
	bool retry = o && retry_after(kind) && clock_now() >= o->retry_ns;
	if (r && (r->name || !retry || !changes(kind))) {
		count_add(COUNT_FRAMES_CACHED, 1);
		answer_cached(job, &item, o, r);
	} else if (o && o->absent && !retry) {
		count_add(COUNT_FRAMES_CACHED, 1);
		answer_unnamed(job, &item);
	} else if (!has_source(kind) || job->s->options.offline) {
		answer_unnamed(job, &item);
	} else {
		job->fresh |= !r;
		job->items[job->from + job->misses++] = item;
	}
}

static bool look_up_some(struct symbol_job *job, uint64_t deadline)
{
	while (job->at < job->to) {
		look_up(job, job->items[job->at]);
		if (++job->at % 64 == 0 && clock_now() >= deadline)
			return false;
	}
	return true;
}

int symbol_step(struct symbol_job *job, uint64_t budget_ns)
{
	uint64_t deadline = clock_now() + budget_ns, now;
	do {
		switch (job->phase) {
		case JOB_SORT:
			if (sort(job, deadline))
				job->phase = JOB_GROUP;
			break;
		case JOB_GROUP:
			if (job->to == job->count)
				return 0;
			next_group(job);
			source_freshen(job);
			job->phase = JOB_LOOK;
			if (source_grows(job))
				job->phase = source_open(job) ? JOB_SOURCE : JOB_LEFT;
			break;
		case JOB_LOOK:
			if (!look_up_some(job, deadline))
				break;
			job->phase = JOB_GROUP;
			if (job->misses)
				job->phase = source_open(job) ? JOB_SOURCE : JOB_LEFT;
			break;
		case JOB_SOURCE:
			now = clock_now();
			int result = job->source.step(
			    job->source.state, deadline > now ? deadline - now : 0);
			if (result > 0)
				break;
			source_done(job, result);
			job->phase = JOB_LEFT;
			break;
		case JOB_LEFT:
			if (!source_left(job, deadline))
				break;
			source_free(job);
			job->phase = job->at < job->to ? JOB_LOOK : JOB_GROUP;
			break;
		}
	} while (clock_now() < deadline || (job->phase == JOB_GROUP && job->to == job->count));
	return 1;
}

int symbol_teach(struct symbol *s, const struct place *place, const struct symbol_answer *answer)
{
	bool shared = place->kind == PLACE_KERNEL || place->kind == PLACE_VDSO;
	struct owner *o = cache_owner(s->cache, place->kind, shared ? 0 : place->owner, true);
	if (!o)
		return -ENOMEM;
	if (retry_after(place->kind))
		o->retry_ns = UINT64_MAX;
	const char *name = answer->named ? answer->name : NULL;
	return cache_put(s->cache, o, place->address, answer->start, answer->end, name,
	    name ? answer->system_name : NULL);
}
