// SPDX-License-Identifier: Apache-2.0
#include "private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

void serve_say(struct http_request *r, int status, const char *headers, const char *format, ...)
{
	char line[512], all[512];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	strcat(line, "\n");
	// go tool pprof shows the lines of those errors that are marked as Go's are.
	bool pprof = !strncmp(http_path(r), "/debug/pprof/", 13);
	snprintf(all, sizeof(all), "%s%s%s", SAFE_HEADERS, pprof ? "X-Go-Pprof: 1\r\n" : "",
	    headers ? headers : "");
	if (status == 401 || status == 403)
		count_add(COUNT_HTTP_REFUSED, 1);
	http_answer(r, status, "text/plain; charset=utf-8", all, line, strlen(line));
}

static void say_state(
    struct serve *s, struct http_request *r, int (*ask)(void *arg, char *why, size_t size))
{
	char why[256] = "not ready";
	int error = ask ? ask(s->options.arg, why, sizeof(why)) : 0;
	serve_say(r, error ? 503 : 200, NULL, "%s", error ? why : "ok");
}

static void health(struct serve *s, struct http_request *r)
{
	say_state(s, r, s->options.health);
}

static void ready(struct serve *s, struct http_request *r)
{
	say_state(s, r, s->options.ready);
}

enum access { ANYBODY, PAGE, PROFILES };

// What narrows a profile, behind what a route takes beside it.
#define NARROW "pid comm container namespace pod service"
#define PPROF "seconds debug " NARROW // debug: 0 is the only form of pprof that there is
#define REASON " reason"
#define GC " gc" // of Go's heap; there is nothing to collect here

static const struct route {
	const char *path;
	enum access access;
	void (*answer)(struct serve *s, struct http_request *r);
	const char *keys; // that a query may have, parted by blanks; NULL: any, they mean nothing
	const char *type; // of profile, for pprof
} routes[] = {
    {"/", PAGE, pages_flame},
    {"/api/windows", PROFILES, pages_windows, ""},
    {"/api/flame", PROFILES, query_flame, "type from to base_from base_to format " NARROW REASON},
    {"/debug/pprof/", PROFILES, pages_index, ""},
    {"/debug/pprof", PROFILES, pages_index, ""},
    {"/debug/pprof/profile", PROFILES, NULL, PPROF, "cpu"},
    {"/debug/pprof/offcpu", PROFILES, NULL, PPROF REASON, "offcpu"},
    {"/debug/pprof/wall", PROFILES, NULL, PPROF REASON, "wall"},
    {"/debug/pprof/mutex", PROFILES, NULL, PPROF, "mutex"},
    {"/debug/pprof/block", PROFILES, NULL, PPROF REASON, "block"},
    {"/debug/pprof/memory", PROFILES, NULL, PPROF, "memory"},
    {"/debug/pprof/allocs", PROFILES, NULL, PPROF GC, "allocs"},
    {"/debug/pprof/heap", PROFILES, NULL, PPROF GC, "heap"},
    {"/debug/pprof/goblock", PROFILES, NULL, PPROF, "goblock"},
    {"/debug/pprof/mapped", PROFILES, NULL, PPROF, "mapped"},
    {"/metrics", ANYBODY, pages_metrics},
    {"/healthz", ANYBODY, health},
    {"/readyz", ANYBODY, ready},
};

static bool is_one_of(const char *keys, const char *key)
{
	for (size_t n; (n = strcspn(keys, " ")); keys += n + (keys[n] == ' '))
		if (strlen(key) == n && !memcmp(keys, key, n))
			return true;
	return false;
}

// A key that is misspelt must not give the profile of everything. False where R was answered.
static bool keys_are_known(struct http_request *r, const char *keys)
{
	const char *key;
	for (uint32_t i = 0; (key = http_query_key(r, i)); i++) {
		if (!is_one_of(keys, key)) {
			serve_say(r, 400, NULL, "%.40s: no such key here: %s", key,
			    *keys ? keys : "none is taken");
			return false;
		}
		for (uint32_t before = 0; before < i; before++)
			if (!strcmp(http_query_key(r, before), key)) {
				serve_say(r, 400, NULL, "%s: given twice: leave one out", key);
				return false;
			}
	}
	return true;
}

static void answer_route(struct serve *s, struct http_request *r, const struct route *route)
{
	if (route->access != ANYBODY && !access_check(s, r, route->access == PAGE))
		return;
	if (route->keys && !keys_are_known(r, route->keys))
		return;
	if (route->answer)
		route->answer(s, r);
	else if (pages_check_profile(s, r, route->type))
		query_pprof(s, r, route->type);
}

static void handle(void *arg, struct http_request *r)
{
	struct serve *s = arg;
	const char *path = http_path(r);
	for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++)
		if (!strcmp(path, routes[i].path)) {
			answer_route(s, r, &routes[i]);
			return;
		}
	serve_say(
	    r, 404, NULL, "%.200s: not here: see / /debug/pprof/ /metrics /healthz /readyz", path);
}

static char *copy(const char *s)
{
	return mem_strdup(ACCOUNT_SERVE, s ? s : "");
}

struct serve *serve_new(const struct serve_options *options, char *why, size_t why_size)
{
	struct serve *s = mem_alloc(ACCOUNT_SERVE, sizeof(*s));
	struct utsname node;
	int error = ENOMEM;
	snprintf(why, why_size, "listen: %s: not enough memory", options->listen);
	if (!s)
		return errno = ENOMEM, NULL;
	s->options = *options;
	s->options.seconds_max = options->seconds_max ? options->seconds_max : 300;
	s->options.listen = copy(options->listen);
	s->options.token_file = copy(options->token_file);
	s->options.banner = options->banner ? copy(options->banner) : NULL;
	if (!s->options.listen || !s->options.token_file || (options->banner && !s->options.banner))
		goto fail;
	text_copy(s->node, sizeof(s->node), uname(&node) ? "this node" : node.nodename);
	struct http_options http = {.listen = s->options.listen, .handle = handle, .arg = s};
	s->http = http_server_new(options->loop, &http, why, why_size);
	if (s->http) {
		access_check_token(s);
		return s;
	}
	error = errno;
fail:
	serve_free(s);
	errno = error;
	return NULL;
}

void serve_free(struct serve *s)
{
	if (!s)
		return;
	http_server_free(s->http); // tells the queries that their peers are gone
	query_free_all(s);
	total_free_all(s);
	mem_free((char *)s->options.listen);
	mem_free((char *)s->options.token_file);
	mem_free((char *)s->options.banner);
	mem_free(s);
}

void serve_window_added(struct serve *s)
{
	query_look(s);
	total_look(s);
}

uint16_t serve_port(const struct serve *s)
{
	return http_server_port(s->http);
}

void serve_url(const struct serve *s, char *url, size_t size)
{
	http_server_url(s->http, url, size);
}
