// SPDX-License-Identifier: Apache-2.0
// What is answered at once: the flame page, the index of /debug/pprof, the list of windows,
// metrics.
#include "private.h"

#include <inttypes.h>
#include <string.h>

static void answer_text(struct http_request *r, const char *type, struct text *t)
{
	if (t->error)
		serve_say(r, 503, "Retry-After: 1\r\n",
		    "not enough memory under memory_limit for this answer");
	else
		http_answer(r, 200, type, SAFE_HEADERS, t->at, t->len);
	text_free(t);
}

// The page is one file with its script and style inside: nothing else is let in, and it talks to
// nobody else.
void pages_flame(struct serve *s, struct http_request *r)
{
	size_t size;
	const char *page = flame_page(&size);
	(void)s;
	http_answer(r, 200, "text/html; charset=utf-8",
	    SAFE_HEADERS
	    "Referrer-Policy: no-referrer\r\n"
	    "Content-Security-Policy: default-src 'none'; script-src 'unsafe-inline'; "
	    "style-src 'unsafe-inline'; img-src data:; connect-src 'self'; base-uri 'none'; "
	    "form-action 'none'; frame-ancestors 'none'\r\n",
	    page, size);
}

bool pages_has_type(const struct serve *s, const char *type)
{
	for (uint32_t i = 0; i < history_count(s->options.history); i++)
		if (!strcmp(history_entry(s->options.history, i)->type, type))
			return true;
	return false;
}

// What /debug/pprof has. `option` turns it on. `own`: it is only there where a program keeps it of
// itself.
static const struct page {
	const char *name, *type, *option, *what;
	const char *own;
} profiles[] = {
    {"profile", "cpu", "cpu.enabled", "CPU time: what ran on the CPUs of the whole node."},
    {"offcpu", "offcpu", "off_cpu.enabled",
	"Off-CPU time: where threads did not run, and why (reason=): they slept, waited, were "
	"blocked, or others ran."},
    {"wall", "wall", "wall.enabled", "Wall clock time: of every thread, running or not (reason=)."},
    {"mutex", "mutex", "mutex.enabled", "Locks: where threads waited for one, and how long."},
    {"block", "offcpu", "off_cpu.enabled",
	"Blocked time in the form of Go's block profile: off-CPU time without that of threads that "
	"could have run."},
    {"memory", "memory", "memory.enabled",
	"Memory: where processes grew, by the pages that became resident."},
    {"allocs", "allocs", "memory.enabled", "Allocations: where memory was asked for.",
	"Go programs do that import runtime/pprof or net/http/pprof"},
    {"heap", "heap", "memory.enabled", "Heap: where the memory that is in use was asked for.",
	"Go programs do that import runtime/pprof or net/http/pprof"},
    {"goblock", "goblock", "mutex.enabled", "Go's own block profiles: where goroutines waited.",
	"Go programs do that call runtime.SetBlockProfileRate"},
    {"mapped", "mapped", "memory.mapped",
	"Mapped memory: what let a process write more of it than ever, touched or not."},
};
#define ROWS (sizeof(profiles) / sizeof(*profiles))

static const struct page *page_of(const char *name)
{
	for (size_t i = 0; i < ROWS; i++)
		if (!strcmp(profiles[i].name, name))
			return &profiles[i];
	return NULL;
}

const char *pages_windows_of(const char *name)
{
	const struct page *page = page_of(name);
	return page ? page->type : name;
}

// What programs keep of themselves is known by its windows, which come together with all others:
// before the first it cannot be known, and the request waits for it. Of other types all may have
// been let go.
static bool may_come(const struct serve *s, const struct page *page)
{
	const struct serve_options *o = &s->options;
	return pages_has_type(s, page->type) || !history_count(o->history) ||
	       (!page->own && o->profiled && o->profiled(o->arg, page->type));
}

bool pages_check_profile(const struct serve *s, struct http_request *r, const char *name)
{
	const struct page *page = page_of(name);
	if (!page || page == profiles || may_come(s, page))
		return true;
	if (page->own)
		serve_say(r, 404, NULL,
		    "%s: no program keeps one (%s), or profiling.%s is off: see telegen "
		    "check",
		    name, page->own, page->option);
	else
		serve_say(r, 404, NULL,
		    "%s: not profiled: profiling.%s is off, or this machine does not "
		    "permit "
		    "it (see telegen check)",
		    name, page->option);
	return false;
}

void pages_index(struct serve *s, struct http_request *r)
{
	struct text t = TEXT(ACCOUNT_SERVE);
	text_puts(&t,
	    "<!doctype html><html lang=en><meta charset=utf-8><title>telegen: pprof</title>"
	    "<link rel=icon href=\"data:,\"><h1>/debug/pprof/</h1><p><a href=\"/\">flame page</a> "
	    "&middot; <a "
	    "href=\"/metrics\">metrics</a>"
	    "<table>");
	for (size_t i = 0; i < ROWS; i++) {
		bool there = i == 0 || may_come(s, &profiles[i]);
		text_printf(&t, "<tr><td>%s%s%s%s%s<td>%s%s", there ? "<a href=\"" : "",
		    there ? profiles[i].name : "", there ? "?seconds=30\">" : "", profiles[i].name,
		    there ? "</a>" : "", profiles[i].what,
		    there	      ? ""
		    : profiles[i].own ? " (no program keeps one)"
				      : " (not profiled)");
	}
	text_printf(&t,
	    "</table><p>Each takes seconds= (1 to %u; 30 where it is 0 or not there), and pid= "
	    "comm= container= namespace= pod= service= to narrow it, and gives gzipped pprof."
	    "<p>allocs, block, goblock and mutex without seconds= give, at once, what there was "
	    "since they were first asked for so, as scrapers of Go programs ask."
	    "<p>offcpu, wall and block also take reason=, one or several with commas between "
	    "them: ",
	    s->options.seconds_max);
	wish_list_reasons(&t, "offcpu");
	text_puts(&t, "; wall also running.</html>\n");
	answer_text(r, "text/html; charset=utf-8", &t);
}

void pages_windows(struct serve *s, struct http_request *r)
{
	struct text t = TEXT(ACCOUNT_SERVE);
	text_puts(&t, "{\"v\":1,\"title\":");
	json_string(&t, s->node, strlen(s->node));
	text_puts(&t, ",\"banner\":");
	if (s->options.banner)
		json_string(&t, s->options.banner, strlen(s->options.banner));
	else
		text_puts(&t, "null");
	text_puts(&t, ",\"windows\":[");
	for (uint32_t i = 0; i < history_count(s->options.history); i++) {
		const struct history_entry *e = history_entry(s->options.history, i);
		const struct profile_type *type = profile_type_find(e->type);
		text_printf(&t, "%s\n{\"id\":%" PRIu64 ",\"type\":", i ? "," : "", e->id);
		json_string(&t, e->type, strlen(e->type));
		text_printf(&t,
		    ",\"time_ns\":\"%" PRIu64 "\",\"duration_ns\":\"%" PRIu64
		    "\",\"bytes\":%" PRIu64 ",\"total\":%" PRId64 ",\"unit\":\"%s\"}",
		    e->time_ns, e->duration_ns, e->bytes, e->total,
		    type ? type->values[type->default_value].unit : "count");
	}
	text_puts(&t, "\n]}\n");
	answer_text(r, "application/json", &t);
}

static void family(struct text *t, const char *name, size_t n, const char *kind, const char *help)
{
	text_printf(t, "# HELP %.*s ", (int)n, name);
	for (; *help; help++)
		text_puts(t, *help == '\n' ? "\\n" : *help == '\\' ? "\\\\" : (char[]){*help, 0});
	text_printf(t, "\n# TYPE %.*s %s\n", (int)n, name, kind);
}

static void gauge(struct text *t, const char *name, const char *help, uint64_t value)
{
	family(t, name, strlen(name), "gauge", help);
	text_printf(t, "%s %" PRIu64 "\n", name, value);
}

// Prometheus' text format 0.0.4. Names may carry labels; rows of one name stand together in COUNTS.
void pages_metrics(struct serve *s, struct http_request *r)
{
	struct text t = TEXT(ACCOUNT_SERVE);
	const char *before = "";
	for (enum count c = 0; c < COUNT_COUNT; c++) {
		const char *name = count_name(c);
		size_t n = strcspn(name, "{");
		if (strncmp(before, name, n) || strcspn(before, "{") != n)
			family(&t, name, n,
			    count_kind(c) == COUNT_KIND_COUNTER ? "counter" : "gauge",
			    count_help(c));
		text_printf(&t, "%s %" PRIu64 "\n", name, count_get(c));
		before = name;
	}
	static const char by_account[] = "telegen_memory_bytes";
	family(&t, by_account, sizeof(by_account) - 1, "gauge",
	    "memory held, by who holds it (BPF maps included)");
	for (enum account a = 0; a < ACCOUNT_COUNT; a++)
		text_printf(&t, "%s{account=\"%s\"} %" PRIu64 "\n", by_account, mem_account_name(a),
		    mem_used(a));
	gauge(&t, "telegen_memory_total_bytes", "memory held by all accounts", mem_total());
	gauge(&t, "telegen_memory_peak_bytes", "the most that was ever held", mem_peak());
	gauge(&t, "telegen_memory_limit_bytes", "memory_limit in force (0: none)", mem_limit_get());
	gauge(&t, "telegen_history_windows", "windows kept in memory",
	    history_count(s->options.history));
	if (s->options.metrics)
		s->options.metrics(s->options.arg, &t);
	answer_text(r, "text/plain; version=0.0.4; charset=utf-8", &t);
}
