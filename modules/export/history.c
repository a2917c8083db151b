// SPDX-License-Identifier: Apache-2.0
#include "history.h"

#include <errno.h>
#include <string.h>

struct history *history_new(uint64_t max_bytes)
{
	struct history *h = mem_alloc(ACCOUNT_EXPORT, sizeof(*h));
	if (h)
		h->max = max_bytes;
	return h;
}

void window_free(struct window *w)
{
	if (!w)
		return;
	text_free(&w->bytes);
	mem_free(w);
}

// Memory that a window holds.
static uint64_t weight(const struct window *w)
{
	return sizeof(*w) + w->bytes.cap;
}

static uint64_t drop_oldest(struct history *h)
{
	struct window *w = h->windows[0];
	uint64_t freed = weight(w);
	memmove(h->windows, h->windows + 1, --h->count * sizeof(struct window *));
	h->used -= freed;
	w->gone = true;
	if (w->readers)
		return 0; // it is freed when the last reader leaves
	window_free(w);
	return freed;
}

static void give_up(struct history *h)
{
	export_job_free(h->job);
	window_free(h->open);
	h->job = NULL;
	h->open = NULL;
}

void history_free(struct history *h)
{
	if (!h)
		return;
	give_up(h);
	while (h->count)
		drop_oldest(h);
	mem_free(h->windows);
	mem_free(h);
}

uint64_t history_shrink(void *arg, uint64_t need)
{
	struct history *h = arg;
	uint64_t freed = 0;
	while (h->count && freed < need)
		freed += drop_oldest(h);
	return freed;
}

static int take(void *arg, const void *bytes, size_t n)
{
	return text_add(&((struct window *)arg)->bytes, bytes, n);
}

int history_put(struct history *h, const struct profile *p)
{
	const struct profile_header *header = profile_header_of(p);
	if (h->job)
		return -EBUSY;
	struct window *w = h->open = mem_alloc(ACCOUNT_EXPORT, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->bytes = TEXT(ACCOUNT_EXPORT);
	w->entry = (struct history_entry){
	    .time_ns = header->time_ns, .duration_ns = header->duration_ns, .type = w->type};
	text_copy(w->type, sizeof(w->type),
	    header->type ? header->type->name : profile_name(p, header->value_types[0]));
	h->p = p;
	h->job = export_new(p, NULL, EXPORT_PPROF, "", &(struct wire_sink){take, w});
	if (!h->job) {
		give_up(h);
		return -ENOMEM;
	}
	return 0;
}

// Room for one more window, in the list and under the limit.
static int make_room(struct history *h, uint64_t bytes)
{
	if (bytes > h->max)
		return -EFBIG;
	while (h->count && h->used + bytes > h->max)
		drop_oldest(h);
	if (h->count < h->cap)
		return 0;
	uint32_t cap = h->cap ? h->cap * 2 : 64;
	// Asking for memory may drop windows (history_shrink); the list stays where it is
	// meanwhile.
	struct window **windows =
	    mem_resize(ACCOUNT_EXPORT, h->windows, cap * sizeof(struct window *));
	if (!windows)
		return -ENOMEM;
	h->windows = windows;
	h->cap = cap;
	return 0;
}

static int finish(struct history *h)
{
	struct window *w = h->open;
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(h->p, totals);
	w->entry.total = totals[profile_header_of(h->p)->default_value % PROFILE_VALUES_MAX];
	w->entry.bytes = w->bytes.len;
	char *tight = mem_resize(ACCOUNT_EXPORT, w->bytes.at, w->bytes.len + 1);
	if (tight) {
		w->bytes.at = tight;
		w->bytes.cap = w->bytes.len + 1;
	}
	int error = make_room(h, weight(w));
	if (error)
		return error;
	w->entry.id = ++h->next_id;
	h->windows[h->count++] = w;
	h->used += weight(w);
	h->open = NULL;
	return 0;
}

int history_step(struct history *h, uint64_t budget_ns)
{
	if (!h->job)
		return 0;
	int more = export_step(h->job, budget_ns);
	if (more > 0)
		return 1;
	if (!more)
		more = finish(h);
	give_up(h);
	return more;
}

uint32_t history_count(const struct history *h)
{
	return h->count;
}

const struct history_entry *history_entry(const struct history *h, uint32_t index)
{
	return index < h->count ? &h->windows[index]->entry : NULL;
}
