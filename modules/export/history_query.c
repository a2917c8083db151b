// SPDX-License-Identifier: Apache-2.0
// Reading windows back: one after the other is unpacked, decoded and merged into the answer.
#include "history.h"

#include <errno.h>
#include <string.h>

#define PIECE 256		// gzip can unpack it to a thousand times as much
#define WINDOW_MAX (256u << 20) // unpacked; memory_limit will say no before

struct history_query {
	struct history *history;
	char type[32];
	uint64_t from, to;
	bool (*wanted)(void *arg, const struct profile *from, const struct profile_subject *s);
	void *arg;
	bool state;    // the newest window that matches is the answer, see profile_type
	uint64_t last; // id of the last window looked at
	uint64_t most; // and of the newest that there was when it was asked
	struct window *window;
	size_t fed;
	struct import_job *import;
	struct profile *decoded;
	struct profile_merge *merge;
	struct profile *answer;
};

struct history_query *history_query_new(struct history *h, const char *type, uint64_t from_ns,
    uint64_t to_ns,
    bool (*wanted)(void *arg, const struct profile *from, const struct profile_subject *s),
    void *arg)
{
	struct history_query *q = mem_alloc(ACCOUNT_EXPORT, sizeof(*q));
	if (!q)
		return NULL;
	*q = (struct history_query){
	    .history = h, .from = from_ns, .to = to_ns, .wanted = wanted, .arg = arg};
	text_copy(q->type, sizeof(q->type), type);
	q->most = h->count ? h->windows[h->count - 1]->entry.id : 0;
	const struct profile_type *known = profile_type_find(type);
	q->state = known && known->state;
	return q;
}

static void leave_window(struct history_query *q)
{
	profile_merge_free(q->merge);
	profile_free(q->decoded);
	import_free(q->import);
	if (q->window && !--q->window->readers && q->window->gone)
		window_free(q->window);
	q->merge = NULL;
	q->decoded = NULL;
	q->import = NULL;
	q->window = NULL;
	q->fed = 0;
}

void history_query_free(struct history_query *q)
{
	if (!q)
		return;
	leave_window(q);
	profile_free(q->answer);
	mem_free(q);
}

static bool matches(const struct history_query *q, const struct history_entry *e)
{
	uint64_t end;
	if (__builtin_add_overflow(e->time_ns, e->duration_ns ? e->duration_ns : 1, &end))
		end = UINT64_MAX;
	return e->time_ns < q->to && end > q->from && !strcmp(e->type, q->type);
}

// The next window that matches is held; false: there is none.
static bool next_window(struct history_query *q)
{
	struct history *h = q->history;
	uint32_t low = 0, high = h->count; // ids rise
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (h->windows[middle]->entry.id <= q->last)
			low = middle + 1;
		else
			high = middle;
	}
	struct window *found = NULL;
	for (; low < h->count && (!found || q->state); low++) {
		struct window *w = h->windows[low];
		if (w->entry.id > q->most)
			break;
		q->last = w->entry.id;
		found = matches(q, &w->entry) ? w : found;
	}
	if (found)
		found->readers++;
	q->window = found;
	return found;
}

static int feed(struct history_query *q, struct slice *slice)
{
	const struct text *bytes = &q->window->bytes;
	while (q->fed < bytes->len) {
		size_t left = bytes->len - q->fed, n = left < PIECE ? left : PIECE;
		int error = import_feed(q->import, bytes->at + q->fed, n);
		if (error)
			return error;
		q->fed += n;
		if (slice_over(slice, 128))
			return 1;
	}
	return 0;
}

static int decode(struct history_query *q, struct slice *slice)
{
	if (!q->import)
		q->import = import_new(ACCOUNT_EXPORT, WINDOW_MAX);
	if (!q->import)
		return -ENOMEM;
	if (q->fed < q->window->bytes.len) {
		int error = feed(q, slice);
		return error < 0 ? error : 1;
	}
	int more = import_step(q->import, slice->budget);
	if (more)
		return more;
	q->decoded = import_take(q->import);
	import_free(q->import);
	q->import = NULL;
	if (!q->answer)
		q->answer = profile_new_like(ACCOUNT_EXPORT, q->decoded);
	if (q->answer)
		q->merge = profile_merge_new(q->answer, q->decoded, 1, q->wanted, q->arg);
	return q->merge ? 1 : -errno;
}

uint64_t history_query_after(struct history_query *q, uint64_t id)
{
	q->last = id;
	return q->most;
}

int history_query_step(struct history_query *q, uint64_t budget_ns)
{
	struct slice slice = slice_begin(budget_ns);
	if (!q->window && !next_window(q))
		return 0;
	int more = q->merge ? profile_merge_step(q->merge, budget_ns) : decode(q, &slice);
	if (!more)
		leave_window(q);
	return more < 0 ? more : 1;
}

struct profile *history_query_take(struct history_query *q)
{
	struct profile *answer = q->answer;
	if (!answer)
		return errno = ENOENT, NULL;
	q->answer = NULL;
	profile_seal(answer);
	return answer;
}
