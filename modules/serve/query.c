// SPDX-License-Identifier: Apache-2.0
// A request for profiles: windows out of the history, merged, encoded, sent; all in slices of the
// loop.
//
//   WAITING --windows cover its time--> QUEUED --its turn--> RUNNING: search [base], search, export
//   --> ended
//
// Of a total: search (what came since), add, copy, export; one query of it at a time.
//
// At most QUERIES_RUNNING hold merged profiles at a time; the others wait for them. When the peer
// is slower than the encoder the slice ends, and on_drain starts another.
#include "query.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define QUERIES_MAX 8
#define QUERIES_RUNNING 2
#define DEFAULT_SECONDS 30 // where none or 0 are asked for, as Go's net/http/pprof

static void start_next(struct serve *s);

static void leave_total(struct query *q)
{
	profile_merge_free(q->merge);
	q->merge = NULL;
	if (q->total && q->state == RUNNING)
		total_release(q->total);
	q->total = NULL;
}

static void query_free(struct query *q)
{
	struct query **link = &q->serve->queries;
	while (*link != q)
		link = &(*link)->next;
	*link = q->next;
	timer_free(q->timer);
	slice_free(q->slice);
	history_query_free(q->search);
	export_job_free(q->job);
	leave_total(q);
	profile_free(q->profile);
	profile_free(q->base);
	mem_free(q);
}

// The query is over, its request is answered or its peer gone.
void query_over(struct query *q)
{
	struct serve *s = q->serve;
	query_free(q);
	start_next(s);
}

static void on_gone(void *arg)
{
	query_over(arg);
}

void query_give_up(struct query *q, int error)
{
	struct http_request *r = q->request;
	if (q->begun)
		http_abort(r); // a cut answer must not look like a short one
	else if (error == -ENOENT)
		serve_say(
		    r, 404, NULL, "no window of type %s in that time: see /api/windows", q->type);
	else if (error == -ENOMEM)
		serve_say(r, 503, "Retry-After: 5\r\n",
		    "not enough memory under memory_limit: ask for a shorter time or fewer "
		    "processes");
	else
		serve_say(r, 500, NULL, "%s: %s", q->type, strerror(-error));
	query_over(q);
}

static void begin(struct query *q)
{
	char headers[384];
	snprintf(headers, sizeof(headers),
	    "%sContent-Disposition: %s; filename=\"telegen-%s.%s\"\r\n", SAFE_HEADERS,
	    q->format == EXPORT_FLAME ? "inline" : "attachment", q->name, export_suffix(q->format));
	http_begin(q->request, 200, export_content_type(q->format), headers);
	q->begun = true;
}

static int send_bytes(void *arg, const void *bytes, size_t n)
{
	struct query *q = arg;
	if (!q->begun)
		begin(q);
	int error = http_write(q->request, bytes, n);
	q->full |= error == -EAGAIN;
	return error == -EAGAIN ? 0 : error;
}

// Of a total: what is there now and is not in it, so that what comes meanwhile is the next one's.
static void begin_search(struct query *q, const struct span *span)
{
	bool all = q->total || wish_takes_all(&q->wish);
	q->search = history_query_new(q->serve->options.history, q->type, span->from, span->to,
	    all ? NULL : wish_takes, &q->wish);
	if (q->search && q->total)
		q->last = history_query_after(q->search, q->total->last);
}

static int step_search(
    struct query *q, const struct span *span, struct profile **found, uint64_t budget_ns)
{
	if (!q->search)
		begin_search(q, span);
	if (!q->search)
		return -errno;
	int more = history_query_step(q->search, budget_ns);
	if (more)
		return more;
	*found = history_query_take(q->search);
	int error = *found ? 0 : -errno;
	if (!error && !q->total && !strcmp(q->name, "block"))
		error = block_make(*found);
	history_query_free(q->search);
	q->search = NULL;
	q->phase = q->phase == SEARCH_BASE ? SEARCH : q->total ? ADD : EXPORT;
	if (error == -ENOENT && q->total && q->total->sum)
		error = 0; // no window came since
	return error ? error : 1;
}

static int step_add(struct query *q, uint64_t budget_ns)
{
	int more = q->profile ? total_add(q->total, &q->merge, q->profile, q->last, budget_ns) : 0;
	if (more)
		return more;
	profile_free(q->profile);
	q->profile = NULL;
	q->phase = COPY;
	return 1;
}

static int step_copy(struct query *q, uint64_t budget_ns)
{
	int more = total_copy(q->total, &q->merge, &q->profile, &q->wish, budget_ns);
	if (!more && !strcmp(q->name, "block"))
		more = block_make(q->profile);
	if (more)
		return more;
	leave_total(q);
	q->phase = EXPORT;
	return 1;
}

static int step_export(struct query *q, uint64_t budget_ns)
{
	struct wire_sink sink = {send_bytes, q};
	if (!q->job)
		q->job = export_new(q->profile, q->base, q->format, q->title, &sink);
	return q->job ? export_step(q->job, budget_ns) : -errno;
}

// 0: done, or (`full`) to be gone on with when the peer has drained.
static int step(void *arg, uint64_t budget_ns)
{
	struct query *q = arg;
	int more = q->phase == SEARCH_BASE ? step_search(q, &q->base_span, &q->base, budget_ns)
		   : q->phase == SEARCH	   ? step_search(q, &q->span, &q->profile, budget_ns)
		   : q->phase == ADD	   ? step_add(q, budget_ns)
		   : q->phase == COPY	   ? step_copy(q, budget_ns)
					   : step_export(q, budget_ns);
	if (more != 1)
		q->full = false;
	return more == 1 && q->full ? 0 : more;
}

static void done(void *arg, int result)
{
	struct query *q = arg;
	q->slice = NULL;
	if (result < 0) {
		query_give_up(q, result);
	} else if (!q->full) {
		if (!q->begun)
			begin(q); // nothing matched: an empty body
		http_end(q->request);
		query_over(q);
	}
}

static void run(struct query *q)
{
	q->state = RUNNING;
	q->full = false;
	q->slice = loop_slice(q->serve->options.loop, step, done, q);
	if (!q->slice)
		query_give_up(q, -ENOMEM);
}

static void on_drain(void *arg)
{
	struct query *q = arg;
	if (q->full && !q->slice)
		run(q);
}

static void start_next(struct serve *s)
{
	unsigned running = 0;
	struct query *first = NULL;
	for (struct query *q = s->queries; q; q = q->next) {
		running += q->state == RUNNING;
		if (!first && q->state == QUEUED && !(q->total && q->total->used))
			first = q;
	}
	if (!first || running >= QUERIES_RUNNING)
		return;
	if (first->total)
		first->total->used = true;
	run(first);
}

void query_queue(struct query *q)
{
	timer_free(q->timer);
	q->timer = NULL;
	q->state = QUEUED;
	start_next(q->serve);
}

void query_free_all(struct serve *s)
{
	while (s->queries)
		query_free(s->queries);
}

// A new query at the queue's end, or NULL and R was answered.
static struct query *query_new(struct serve *s, struct http_request *r, const char *type)
{
	unsigned count = 0;
	struct query **link = &s->queries;
	for (; *link; link = &(*link)->next)
		count++;
	if (count >= QUERIES_MAX) {
		count_add(COUNT_HTTP_REFUSED, 1);
		serve_say(r, 503, "Retry-After: 1\r\n",
		    "%u requests for profiles are at work: ask again later", count);
		return NULL;
	}
	struct wish wish = {0};
	if (wish_read(r, type, &wish))
		return NULL;
	struct query *q = mem_alloc(ACCOUNT_SERVE, sizeof(*q));
	if (!q) {
		serve_say(r, 503, "Retry-After: 1\r\n", "not enough memory under memory_limit");
		return NULL;
	}
	*q = (struct query){.serve = s, .request = r, .phase = SEARCH, .wish = wish};
	text_copy(q->name, sizeof(q->name), type);
	text_copy(q->type, sizeof(q->type), pages_windows_of(type));
	snprintf(q->title, sizeof(q->title), "%s on %s", q->name, s->node);
	*link = q;
	http_on(r, on_drain, on_gone, q);
	return q;
}

static const struct {
	const char *name;
	enum export_format format;
} formats[] = {
    {"flame", EXPORT_FLAME},
    {"html", EXPORT_HTML},
    {"pprof", EXPORT_PPROF},
    {"folded", EXPORT_FOLDED},
    {"speedscope", EXPORT_SPEEDSCOPE},
};

static int read_format(struct http_request *r, enum export_format *format)
{
	const char *name = http_query(r, "format");
	*format = EXPORT_FLAME;
	for (size_t i = 0; name && i < sizeof(formats) / sizeof(*formats); i++)
		if (!strcmp(name, formats[i].name)) {
			*format = formats[i].format;
			return 0;
		}
	if (name)
		serve_say(r, 400, NULL,
		    "format: %.40s: not one of flame html pprof folded speedscope", name);
	return name ? -EINVAL : 0;
}

static int read_span(struct http_request *r, const char *from, const char *to, struct span *span)
{
	if (serve_number(r, from, UINT64_MAX, &span->from) ||
	    serve_number(r, to, UINT64_MAX, &span->to))
		return -EINVAL;
	if (span->from < span->to)
		return 0;
	serve_say(r, 400, NULL,
	    "%s, %s: %" PRIu64 ", %" PRIu64 ": the time must end after it begins", from, to,
	    span->from, span->to);
	return -EINVAL;
}

void query_flame(struct serve *s, struct http_request *r)
{
	struct span span = {0, UINT64_MAX}, base = {0};
	enum export_format format;
	const char *type = http_query(r, "type");
	bool compares = http_query(r, "base_from") || http_query(r, "base_to");
	if (read_span(r, "from", "to", &span) || read_format(r, &format) ||
	    (compares && read_span(r, "base_from", "base_to", &base)))
		return;
	type = type ? type : "cpu";
	if (!pages_has_type(s, type)) {
		serve_say(
		    r, 404, NULL, "type: %.31s: no window of it is kept: see /api/windows", type);
		return;
	}
	struct query *q = query_new(s, r, type);
	if (!q)
		return;
	q->format = format;
	q->span = span;
	q->base_span = base;
	q->phase = compares ? SEARCH_BASE : SEARCH;
	query_queue(q);
}

// A recording stands still: its last seconds are all that "from now on" can mean. And what is in
// use is known as of the last window.
static void answer_still(struct query *q, uint64_t ns)
{
	uint64_t end = query_newest(q);
	q->span.to = end + 1; // a window may be of a moment alone
	q->span.from = end > ns ? end - ns : 0;
	query_queue(q);
}

void query_pprof(struct serve *s, struct http_request *r, const char *type)
{
	uint64_t seconds = 0, debug = 0;
	if (serve_number(r, "seconds", s->options.seconds_max, &seconds) ||
	    serve_number(r, "debug", 0, &debug))
		return;
	// What is in use is in use now.
	const struct profile_type *known = profile_type_find(type);
	bool asked = seconds > 0, still = s->options.banner || !s->options.flush;
	struct total *total = seconds || still ? NULL : total_of(s, type);
	if (!seconds)
		seconds = known && known->state ? 1 : DEFAULT_SECONDS;
	struct query *q = query_new(s, r, type);
	if (!q)
		return;
	q->format = EXPORT_PPROF;
	if (total) {
		q->total = total;
		q->span.to = UINT64_MAX;
		total->asked = clock_now();
		query_queue(q);
		return;
	}
	if (!asked && known && known->state && pages_has_type(s, type)) {
		answer_still(q, 1); // as of the last window
		return;
	}
	if (still) {
		answer_still(q, seconds * NS_PER_S);
		return;
	}
	query_wait(q, seconds * NS_PER_S);
}
