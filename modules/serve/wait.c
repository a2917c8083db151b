// SPDX-License-Identifier: Apache-2.0
// Requests for windows to come: the window of now is closed, so that they begin with one, and when
// their time is over once more.
#include "query.h"

#include <errno.h>
#include <string.h>

#define EDGE_NS (10 * NS_PER_MS)  // how far a window's ends may be off: two clocks make them
#define LOOK_NS (100 * NS_PER_MS) // between looks for windows that should be there soon
#define LATE_NS (15 * NS_PER_S)	  // they are not: answer with what there is

// The newest moment that windows of the type reach.
uint64_t query_newest(const struct query *q)
{
	uint64_t end = 0;
	for (uint32_t i = 0; i < history_count(q->serve->options.history); i++) {
		const struct history_entry *e = history_entry(q->serve->options.history, i);
		if (!strcmp(e->type, q->type) && e->time_ns + e->duration_ns > end)
			end = e->time_ns + e->duration_ns;
	}
	return end;
}

// Closes the window now, once for all who want that at the same time. Returns when it was closed.
static uint64_t flush(struct serve *s)
{
	if (!s->flushed || clock_now() - s->flushed > EDGE_NS) {
		s->flushed = clock_now();
		s->flushed_wall = clock_wall();
		s->options.flush(s->options.arg);
	}
	return s->flushed_wall;
}

// What was sampled before the request is another window's. That one may end a little after the
// request, when the one before it was still being shipped; the time that was asked for begins where
// it ended.
static void look_for_cut(struct query *q)
{
	uint64_t end = query_newest(q), wall = clock_wall();
	if (q->cut || q->flushed || end + 2 * EDGE_NS < q->span.from)
		return;
	q->cut = true;
	uint64_t gone = wall > end ? wall - end : 0;
	q->span.from = end + EDGE_NS; // the edge: it may seem to end a little late
	timer_set(q->timer, q->wait_ns > gone ? q->wait_ns - gone : 1, 0);
}

static bool is_covered(const struct query *q)
{
	return query_newest(q) + EDGE_NS >= q->span.to || clock_now() >= q->late;
}

// What is in use is read out a little after the window that it is of was closed.
static void queue_covered(struct query *q)
{
	const struct profile_type *known = profile_type_find(q->type);
	uint64_t end = query_newest(q);
	if (known && known->state && end >= q->span.to)
		q->span.to = end + 1;
	query_queue(q);
}

// First its time is over: the window is closed now rather than at its own end. Then it is looked
// for.
static void on_timer(void *arg)
{
	struct query *q = arg;
	if (!q->flushed) {
		q->flushed = true;
		q->late = clock_now() + LATE_NS;
		timer_set(q->timer, LOOK_NS, LOOK_NS);
		q->span.to = flush(q->serve);
	} else if (is_covered(q)) {
		queue_covered(q);
	}
}

void query_look(struct serve *s)
{
	// One that finds no memory ends at once and may end others: the list is begun anew.
	for (struct query *q = s->queries; q;) {
		if (q->state == WAITING)
			look_for_cut(q);
		bool ripe = q->state == WAITING && q->flushed && is_covered(q);
		if (ripe)
			queue_covered(q);
		q = ripe ? s->queries : q->next;
	}
}

static void leave(struct query *q)
{
	serve_say(q->request, 503, "Retry-After: 1\r\n", "%s", q->serve->leaves);
	query_over(q);
}

void query_wait(struct query *q, uint64_t ns)
{
	struct serve *s = q->serve;
	q->wait_ns = ns;
	if (*s->leaves) {
		leave(q);
		return;
	}
	q->timer = loop_timer(s->options.loop, ns, 0, on_timer, q);
	if (!q->timer) {
		query_give_up(q, -ENOMEM);
		return;
	}
	q->span.from = flush(s) + EDGE_NS;
}

void serve_leave(struct serve *s, const char *why)
{
	text_copy(s->leaves, sizeof(s->leaves), why);
	for (struct query *q = s->queries; q;) {
		bool waits = q->state == WAITING;
		if (waits)
			leave(q);
		q = waits ? s->queries : q->next;
	}
}
