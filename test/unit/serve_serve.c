// SPDX-License-Identifier: Apache-2.0
// The endpoint with real sockets, the real loop and a real history; the clock is the test's own.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/net/connection.h"
#include "../../modules/serve/access.c"
#include "../../modules/serve/block.c"
#include "../../modules/serve/pages.c"
#include "../../modules/serve/query.c"
#include "../../modules/serve/serve.c"
#include "../../modules/serve/total.c"
#include "../../modules/serve/wish.c"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <time.h>

#define WALL 1795428000000000000ull

static struct {
	struct loop *loop;
	struct history *history;
	struct serve *serve;
	uint64_t now, wall;
	// LATE_NS: how long a flushed window takes to come; BUSY_NS: by how much the next one ends
	// later than asked, because the one before is still being shipped
	uint64_t window_began, late_ns, busy_ns;
	uint64_t coming, coming_began, coming_end;
	int state;
	unsigned flushes, remote;
} t;

// A window with one function named after its start, in one process per PIDS.
static void add_window(
    const char *type, uint64_t start, uint64_t end, unsigned pids, unsigned functions)
{
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find(type));
	assert_non_null(p);
	for (unsigned i = 0; i < pids * functions; i++) {
		char name[64], container[65];
		unsigned pid = 100 + i % pids;
		snprintf(name, sizeof(name), "at_%lu_%u",
		    (unsigned long)((start - WALL) / NS_PER_S), i / pids);
		snprintf(container, sizeof(container), "%064u", pid);
		struct profile_frame f = {
		    .name = profile_add_name(p, name), .kind = FRAME_NATIVE, .address = i};
		uint32_t frame = profile_add_frame(p, &f);
		// 100: a pod without a name; 101: a service in a pod; others: a namespace alone.
		const char *facts[][2] = {{"k8s.namespace.name", pid % 2 ? "odd" : "even"},
		    {pid == 100 ? "k8s.pod.uid" : "k8s.pod.name", pid == 100 ? "u-100" : "cart-1"},
		    {"service.name", "cart"}, {"k8s.container.name", "db"}};
		struct profile_label labels[4];
		for (int k = 0; k < 4; k++)
			labels[k] = (struct profile_label){.key = profile_add_name(p, facts[k][0]),
			    .str = profile_add_name(p, facts[k][1])};
		uint32_t known = pid == 100 ? 2 : pid == 101 ? 4 : 1;
		struct profile_subject s = {.pid = pid,
		    .tid = pid,
		    .comm = profile_add_name(p, pid % 2 ? "left" : "right"),
		    .process = profile_add_name(p, "prog"),
		    .container = profile_add_name(p, container),
		    .resource = profile_add_labels(p, labels, known)};
		int64_t values[PROFILE_VALUES_MAX] = {1, 1000};
		assert_int_equal(profile_add(p, profile_add_stack(p, &frame, 1),
				     profile_add_subject(p, &s), values),
		    0);
	}
	profile_header(p)->time_ns = start;
	profile_header(p)->duration_ns = end - start;
	profile_seal(p);
	assert_int_equal(history_put(t.history, p), 0);
	while (history_step(t.history, UINT64_MAX / 4) > 0)
		;
	profile_free(p);
}

// As the path does: what was sampled so far becomes a window, which is there a little later.
static void close_window(void *arg)
{
	(void)arg;
	t.flushes++;
	t.coming = t.now + t.busy_ns + t.late_ns;
	t.coming_began = t.window_began;
	t.coming_end = t.window_began = t.wall + t.busy_ns;
	t.busy_ns = 0;
}

static int health_state(void *arg, char *why, size_t size)
{
	(void)arg;
	if (t.state)
		snprintf(why, size, "memory_limit: full");
	return t.state;
}

static void more_metrics(void *arg, struct text *to)
{
	(void)arg;
	text_puts(to, "# HELP telegen_more x\n# TYPE telegen_more gauge\ntelegen_more 1\n");
}

static void start(const struct serve_options *o)
{
	char why[200] = "";
	memset(&t, 0, sizeof(t));
	t.now = 1000 * NS_PER_S;
	t.wall = t.window_began = WALL;
	clock_fake(&t.now, &t.wall);
	t.loop = loop_new();
	t.history = history_new(8 << 20);
	struct serve_options options = *o;
	options.loop = t.loop;
	options.listen = "127.0.0.1:0";
	options.history = t.history;
	options.health = options.ready = health_state;
	options.metrics = more_metrics;
	options.flush = close_window;
	t.serve = serve_new(&options, why, sizeof(why));
	if (!t.serve)
		fail_msg("%s", why);
}

static void stop(void)
{
	serve_free(t.serve);
	history_free(t.history);
	loop_free(t.loop);
	clock_fake(NULL, NULL);
	assert_int_equal(mem_used(ACCOUNT_SERVE), 0);
	assert_int_equal(mem_used(ACCOUNT_NET), 0);
	assert_int_equal(mem_used(ACCOUNT_EXPORT), 0);
	assert_int_equal(mem_used(ACCOUNT_PROFILE), 0);
}

static void turn(uint64_t ns)
{
	t.now += ns;
	t.wall += ns;
	if (t.coming && t.now >= t.coming) {
		t.coming = 0;
		add_window("cpu", t.coming_began, t.coming_end, 1, 1);
		serve_window_added(t.serve);
	}
	loop_turn(t.loop);
}

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(serve_port(t.serve))};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	struct http_request *before = t.serve->http->connections;
	for (int i = 0; t.serve->http->connections == before; i++) {
		assert_true(i < 10000);
		loop_turn(t.loop);
	}
	if (t.remote)
		t.serve->http->connections->local = false;
	return fd;
}

static void say_to(int fd, const char *path, const char *headers)
{
	char request[1024];
	int n = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n%s\r\n", path, headers);
	assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
}

static char answer[8 << 20];
static size_t answer_size;
static const char *body(void)
{
	return strstr(answer, "\r\n\r\n") + 4;
}

// Everything until the server closes. TURN_NS passes with each turn of the loop.
static int hear(int fd, uint64_t turn_ns)
{
	struct timespec began, now;
	answer_size = 0;
	clock_gettime(CLOCK_MONOTONIC, &began);
	for (;;) {
		turn(turn_ns);
		ssize_t n =
		    recv(fd, answer + answer_size, sizeof(answer) - 1 - answer_size, MSG_DONTWAIT);
		if (n > 0)
			answer_size += (size_t)n;
		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > began.tv_sec + 20)
			fail_msg("no answer, have %.100s", answer);
	}
	answer[answer_size] = 0;
	close(fd);
	return answer_size > 12 ? atoi(answer + 9) : 0;
}

static int get(const char *path, const char *headers)
{
	int fd = dial();
	say_to(fd, path, headers);
	return hear(fd, 0);
}

#define HAS(s) assert_non_null(strstr(answer, s))
#define HAS_NOT(s) assert_null(strstr(answer, s))

static void health_and_metrics(void **state)
{
	(void)state;
	start(&(struct serve_options){0});
	for (t.remote = 0; t.remote < 2; t.remote++) { // open to everybody, by any name
		t.state = 0;
		assert_int_equal(get("/healthz", "Host: any.name\r\n"), 200);
		assert_string_equal(body(), "ok\n");
		assert_int_equal(get("/readyz", ""), 200);
		t.state = -1;
		assert_int_equal(get("/healthz", ""), 503);
		assert_string_equal(body(), "memory_limit: full\n");
		assert_int_equal(get("/readyz", ""), 503);
		assert_int_equal(get("/metrics", "Host: any.name\r\n"), 200);
	}
	HAS("Content-Type: text/plain; version=0.0.4");
	HAS("\ntelegen_memory_bytes{account=\"bpf_maps\"} ");
	HAS("\ntelegen_memory_limit_bytes ");
	HAS("\ntelegen_more 1\n");
	for (enum count c = 0; c < COUNT_COUNT; c++)
		HAS(count_name(c));
	// Every sample's family was declared right before, with help and type.
	char family_name[128] = "", line[512];
	const char *s = body();
	for (const char *end; *s; s = end + 1) {
		end = strchr(s, '\n');
		assert_non_null(end);
		snprintf(line, sizeof(line), "%.*s", (int)(end - s), s);
		if (strncmp(line, "# TYPE ", 7) == 0)
			assert_memory_equal(line + 7, family_name, strlen(family_name));
		else if (strncmp(line, "# HELP ", 7) == 0)
			sscanf(line + 7, "%127s", family_name);
		else
			assert_int_equal(strcspn(line, "{ "), strlen(family_name));
	}
	stop();
}

static void page_and_errors(void **state)
{
	(void)state;
	static const struct {
		const char *path, *says;
	} bad[] = {
	    {"/nothing", "/nothing: not here"},
	    {"/api/flame?type=none", "type: none: no window of it is kept"},
	    {"/api/flame?from=x", "from: x: not a number"},
	    {"/api/flame?from=5&to=5", "from, to: 5, 5: the time must end after it begins"},
	    {"/api/flame?from=99999999999999999999", "not a number"},
	    {"/api/flame?base_from=3&base_to=2", "base_from, base_to: 3, 2"},
	    {"/api/flame?format=svg", "format: svg: not one of flame html pprof folded speedscope"},
	    {"/api/flame?container=12", "container: 12: write at least 12 digits"},
	    {"/api/flame?container=0a1b2c3d4e5", "write at least 12 digits"},
	    {"/api/"
	     "flame?namespace=0123456789012345678901234567890123456789012345678901234567890123",
		"longer than 63"},
	    {"/api/flame?service=a&service=b", "service: given twice"},
	    {"/debug/pprof/profile?pods=x", "container namespace pod service\n"},
	    {"/api/flame?pid=-1", "pid: -1: not a number"},
	    {"/api/flame?comm=01234567890123456789012345678901234567890123456789012345678901234",
		"longer than 63"},
	    {"/api/flame?from=1&to=2", "no window of type cpu in that time"},
	    {"/debug/pprof/profile?seconds=301", "seconds: 301: not a number from 0 to 300"},
	    {"/debug/pprof/profile?seconds=-1", "seconds: -1: not a number from 0 to 300"},
	    {"/debug/pprof/profile?seconds=", "seconds: : not a number from 0 to 300"},
	    {"/debug/pprof/profile?second=5",
		"second: no such key here: seconds debug pid comm container namespace pod"},
	    {"/debug/pprof/profile?seconds=5&com=x", "com: no such key"},
	    {"/debug/pprof/profile?seconds=5&pi=x", "pi: no such key"}, // the beginning of one
	    {"/debug/pprof/profile?seconds=5&id=x", "id: no such key"}, // the end of one
	    {"/debug/pprof/profile?=5", ": no such key"},
	    {"/debug/pprof/profile?seconds%20debug=5", "seconds debug: no such key"},
	    {"/debug/pprof/profile?seconds=5&pid=1&pid=2", "pid: given twice"},
	    {"/debug/pprof/profile?debug=1", "debug: 1: not a number from 0 to 0"},
	    {"/debug/pprof/wall?frac=5", "frac: no such key here: seconds"},
	    {"/api/flame?typ=cpu",
		"typ: no such key here: type from to base_from base_to format pid"},
	    {"/api/windows?type=cpu", "type: no such key here: none is taken"},
	    {"/debug/pprof/?a", "a: no such key here"},
	    {"/debug/pprof/heap", "heap: no program keeps one (Go programs do that import"},
	    {"/debug/pprof/allocs", "allocs: no program keeps one"},
	    {"/debug/pprof/goblock", "goblock: no program keeps one (Go programs do that call"},
	    {"/debug/pprof/block", "block: not profiled: profiling.off_cpu.enabled is off"},
	    {"/debug/pprof/memory", "memory: not profiled: profiling.memory.enabled is off"},
	    {"/debug/pprof/mapped", "mapped: not profiled: profiling.memory.mapped is off"},
	    {"/debug/pprof/mutex?reason=io", "reason: no such key here"},
	    {"/debug/pprof/wall?reason=lunch",
		"reason: lunch: not one of unknown, sleep, io, mutex, channel"},
	    {"/debug/pprof/wall?reason=io,", "reason: : not one of"},
	    {"/api/flame?reason=io", "reason: a profile of type cpu tells none"},
	};
	start(&(struct serve_options){.banner = "A <recording>"});
	assert_int_equal(get("/", "Host: localhost:1\r\n"), 200);
	HAS("Content-Security-Policy: default-src 'none';");
	HAS("X-Content-Type-Options: nosniff\r\n");
	HAS("Cache-Control: no-store\r\n");
	HAS("/*telegen:data*/null/*:telegen*/");
	assert_string_equal(answer + answer_size - 8, "</html>\n");
	assert_int_equal(get("/debug/pprof", ""), 200);
	HAS("<a href=\"profile?seconds=30\">");
	HAS("\"heap?seconds=30\">heap</a><td>Heap: where the memory that is in use was asked for.");
	assert_int_equal(get("/api/windows", ""), 200);
	HAS("\"windows\":[\n]");
	HAS("\"banner\":\"A \\u003crecording>\"");
	add_window("cpu", WALL, WALL + 10 * NS_PER_S, 2, 1);
	add_window("wall", WALL, WALL + 10 * NS_PER_S, 2, 1);
	assert_int_equal(get("/api/windows", ""), 200);
	HAS("\"type\":\"cpu\",\"time_ns\":\"1795428000000000000\",\"duration_ns\":\"10000000000\"");
	HAS("\"total\":2000,\"unit\":\"nanoseconds\"}");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int status = get(bad[i].path, "");
		if (status < 400 || status > 499 || !strstr(body(), bad[i].says) ||
		    strchr(body(), '\n')[1])
			fail_msg("%s gave %s", bad[i].path, answer);
	}
	assert_int_equal(get("/debug/pprof/wall?seconds=5", ""), 200); // of a recording: at once
	assert_int_equal(get("/debug/pprof/wall?debug=0&seconds=5&comm=left", ""), 200);
	// What is not about profiles is asked with all sorts of things.
	assert_int_equal(get("/healthz?verbose", ""), 200);
	assert_int_equal(get("/metrics?name[]=x&name[]=y", ""), 200);
	assert_int_equal(get("/?utm=1", ""), 200);
	stop();
}

static void names_and_sites(void **state)
{
	(void)state;
	static const struct {
		int status;
		const char *headers;
	} rows[] = {
	    {200, ""},
	    {200, "Host: localhost\r\n"},
	    {200, "Host: LocalHost:19090\r\n"},
	    {200, "Host: 127.0.0.1:19090\r\n"},
	    {200, "Host: [::1]:19090\r\n"},
	    {200, "Host: 10.1.2.3\r\n"},
	    {403, "Host: evil.example\r\n"},
	    {403, "Host: localhost.evil.example:19090\r\n"},
	    {403, "Host: 127.0.0.1.evil.example\r\n"},
	    {403, "Host: [evil]\r\n"},
	    {403, "Host:\r\n"},
	    {403, "Host: 1\r\n"},
	    {200, "Host: localhost\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n"},
	    {200, "Host: localhost\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n"},
	    {200, "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"},
	    {403, "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n"},
	    {403, "Host: localhost\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\n"},
	};
	start(&(struct serve_options){0});
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (get("/api/windows", rows[i].headers) != rows[i].status)
			fail_msg("%s gave %s", rows[i].headers, answer);
	assert_int_equal(get("http://evil.example/api/windows", "Host: localhost\r\n"), 403);
	stop();
}

static void write_token(const char *path, const char *content)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(content, f);
	fclose(f);
}

static char said[1024]; // on stderr
static void start_listening_to_it(const char *token_file)
{
	int saved = dup(2), to = memfd_create("stderr", MFD_CLOEXEC);
	dup2(to, 2);
	log_set_level(LOG_LEVEL_WARN);
	start(&(struct serve_options){.token_file = token_file});
	log_set_level(LOG_LEVEL_ERROR);
	dup2(saved, 2);
	ssize_t n = pread(to, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = 0;
	close(saved);
	close(to);
}

static void a_bad_token_file_is_told_at_the_start(void **state)
{
	(void)state;
	char path[] = "/tmp/serve_token_XXXXXX";
	close(mkstemp(path));
	const struct {
		const char *path, *content, *says;
	} rows[] = {
	    {"/nonexistent/token", NULL, "/nonexistent/token: No such file"},
	    {"/dev/null", NULL, "/dev/null: is not a regular file"},
	    {path, " \n", "is empty"},
	    {path, "secret\n", NULL},
	    {"", NULL, NULL},
	    {NULL, NULL, NULL},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (rows[i].content)
			write_token(path, rows[i].content);
		start_listening_to_it(rows[i].path);
		if (rows[i].says &&
		    (!strstr(said, rows[i].says) || !strstr(said, "listen_token_file: ")))
			fail_msg("%s: said %s", rows[i].path, said);
		if (!rows[i].says)
			assert_string_equal(said, "");
		stop();
	}
	unlink(path);
}

static void tokens(void **state)
{
	(void)state;
	static const char right[] = "Authorization: Bearer s3cret\r\n";
	char path[] = "/tmp/telegen-token-XXXXXX";
	close(mkstemp(path));
	start(&(struct serve_options){0});
	t.remote = 1;
	assert_int_equal(get("/api/windows", right), 403);
	HAS("set listen_token_file");
	assert_int_equal(get("/", ""), 403);
	stop();
	start(&(struct serve_options){.token_file = path});
	assert_int_equal(get("/api/windows", ""), 200); // from here nothing is asked
	t.remote = 1;
	assert_int_equal(get("/api/windows", right), 403); // an empty file is no token
	assert_int_equal(get("/api/windows", "Authorization: Bearer \r\n"), 403);
	write_token(path, "s3cret\n");
	assert_int_equal(get("/api/windows", right), 200);
	assert_int_equal(get("/debug/pprof/", right), 200);
	assert_int_equal(get("/", ""), 200); // no profile in it; it asks for the token
	static const char *const wrong[] = {"", "Authorization: s3cret\r\n",
	    "Authorization: Bearer s3cre\r\n", "Authorization: Bearer s3crett\r\n",
	    "Authorization: Bearer s3crets3cret\r\n", "Authorization: Bearer\r\n",
	    "Authorization: Basic s3cret\r\n", "Authorization: Bearer S3cret\r\n"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(get("/api/flame", wrong[i]), 401);
		HAS("WWW-Authenticate: Bearer\r\n");
	}
	write_token(path, "new");
	assert_int_equal(get("/api/windows", right), 401);
	char *large = malloc(TOKEN_MAX + 2);
	memset(large, 'x', TOKEN_MAX + 1);
	large[TOKEN_MAX + 1] = 0;
	write_token(path, large);
	free(large);
	assert_int_equal(get("/api/windows", right), 403);
	unlink(path);
	assert_int_equal(get("/api/windows", right), 403);
	stop();
}

// The sum of the numbers that end the lines of folded stacks.
static long folded(void)
{
	long sum = 0;
	for (const char *s = body(), *end; *s; s = end + 1) {
		end = strchr(s, '\n');
		const char *number = end;
		while (number > s && number[-1] != ' ')
			number--;
		sum += atol(number);
	}
	return sum;
}

static void flames(void **state)
{
	(void)state;
	start(&(struct serve_options){0});
	for (unsigned i = 0; i < 3; i++)
		add_window("cpu", WALL + i * 10 * NS_PER_S, WALL + (i + 1) * 10 * NS_PER_S, 4, 5);
	static const struct {
		const char *query;
		long sum;
	} rows[] = {
	    {"", 60},
	    {"&from=1795428010001000000&to=1795428019999000000", 20},
	    {"&from=1795428009999000000&to=1795428019999000000", 40},
	    {"&pid=101", 15},
	    {"&pid=101&from=1795428020000000000", 5},
	    {"&comm=left", 30},
	    {"&comm=prog", 60},
	    {"&container=0000000000000000000000000000000000000000000000000000000000000102", 15},
	    {"&container=000000000000", 60},
	    {"&namespace=odd", 30},
	    {"&namespace=odd&pid=100", 0},
	    {"&pod=p", 0},
	    {"&pod=cart-1", 15},
	    {"&pod=cart", 0},
	    {"&pod=u-100", 15},
	    {"&service=cart", 15},
	    {"&service=cart&namespace=odd&pod=cart-1&container=db", 15},
	    {"&service=cart&namespace=even", 0},
	    {"&container=db", 15},
	    {"&container=no-such", 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char path[256];
		snprintf(path, sizeof(path), "/api/flame?format=folded%s", rows[i].query);
		assert_int_equal(get(path, ""), 200);
		if (folded() != rows[i].sum)
			fail_msg("%s gave %ld: %.500s", path, folded(), answer);
	}
	assert_int_equal(get("/api/flame", ""), 200);
	HAS("Content-Type: application/json\r\n");
	HAS("\"v\":1");
	HAS("at_20_4");
	HAS_NOT("\"base\":true");
	assert_int_equal(get("/api/"
			     "flame?from=1795428020001000000&base_from=1795428000000000000&base_to="
			     "1795428009999000000",
			     ""),
	    200);
	HAS("\"base\":true");
	HAS("at_0_1");
	HAS_NOT("at_10_1");
	assert_int_equal(get("/api/flame?format=html", ""), 200);
	HAS("Content-Disposition: attachment; filename=\"telegen-cpu.html\"");
	HAS_NOT("/*telegen:data*/null");
	assert_int_equal(get("/api/flame?format=speedscope", ""), 200);
	assert_int_equal(get("/api/flame?format=pprof", ""), 200);
	assert_memory_equal(body(), "\x1f\x8b", 2);
	int fd = dial();
	assert_int_equal(send(fd, "HEAD /api/flame HTTP/1.0\r\n\r\n", 28, 0), 28);
	assert_int_equal(hear(fd, 0), 200);
	assert_string_equal(body(), "");
	stop();
}

// The profile that came as pprof: its functions, as one string.
static struct profile *import_answer(void)
{
	struct import_job *job = import_new(ACCOUNT_PROFILE, 1 << 20);
	size_t head_size = (size_t)(body() - answer);
	assert_int_equal(import_feed(job, body(), answer_size - head_size), 0);
	while (import_step(job, UINT64_MAX / 4) > 0)
		;
	struct profile *p = import_take(job);
	if (!p)
		fail_msg("%s", import_why(job));
	import_free(job);
	return p;
}

// An off-CPU or wall window: 1 contention and 1000 ns of thread 100 for each reason, of one that a
// later version may tell, of none, and of no process.
static void add_reasons(const char *type)
{
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find(type));
	int64_t values[PROFILE_VALUES_MAX] = {1, 1000};
	if (profile_header_of(p)->value_count == 1)
		values[0] = 1000;
	for (uint32_t i = 0; i < OFF_COUNT + 2; i++) {
		const char *reason = i < OFF_COUNT ? reasons[i] : "of a later version";
		struct profile_label label = {
		    .key = profile_add_name(p, "reason"), .str = profile_add_name(p, reason)};
		struct profile_subject s = {.pid = 100, .tid = 100};
		if (i <= OFF_COUNT)
			s.labels = profile_add_labels(p, &label, 1);
		uint32_t frame = profile_add_mark(p, i <= OFF_COUNT ? reason : "running");
		assert_int_equal(profile_add(p, profile_add_stack(p, &frame, 1),
				     profile_add_subject(p, &s), values),
		    0);
	}
	assert_int_equal(profile_add_lost(p, "[lost: ring full]", values), 0);
	profile_header(p)->time_ns = WALL;
	profile_header(p)->duration_ns = 10 * NS_PER_S;
	profile_header(p)->period = 1;
	profile_seal(p);
	assert_int_equal(history_put(t.history, p), 0);
	while (history_step(t.history, UINT64_MAX / 4) > 0)
		;
	profile_free(p);
}

static void reasons_narrow(void **state)
{
	(void)state;
	start(&(struct serve_options){.banner = "A recording"});
	add_reasons("offcpu");
	add_reasons("wall");
	static const struct {
		const char *path;
		long sum;
	} rows[] = {
	    {"offcpu", (OFF_COUNT + 3) * 1000},
	    {"offcpu?reason=sleep", 1000},
	    {"offcpu?reason=sleep,io,sleep", 2000},
	    {"offcpu?reason=short%20blocks", 1000},
	    {"offcpu?reason=preempted,scheduler,cgroup_limit", 3000},
	    {"offcpu?reason=io&pid=100", 1000},
	    {"wall", (OFF_COUNT + 3) * 1000},
	    {"wall?reason=running", 1000},
	    {"wall?reason=running,blocks%20not%20sampled", 2000},
	    {"block",
		OFF_COUNT * 1000}, // three less; a later version's, nobody's and the untold stay
	    {"block?reason=mutex,channel", 2000},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char path[128];
		int64_t totals[PROFILE_VALUES_MAX];
		snprintf(path, sizeof(path), "/debug/pprof/%s", rows[i].path);
		assert_int_equal(get(path, ""), 200);
		struct profile *p = import_answer();
		profile_totals(p, totals);
		if (totals[profile_header_of(p)->default_value] != rows[i].sum)
			fail_msg("%s gave %ld", path, totals[profile_header_of(p)->default_value]);
		profile_free(p);
	}
	assert_int_equal(get("/api/flame?type=offcpu&format=folded&reason=io,network", ""), 200);
	assert_int_equal(folded(), 2000);
	static const struct {
		const char *path, *says;
	} bad[] = {
	    {"/debug/pprof/offcpu?reason=running", "reason: running: not one of unknown, sleep,"},
	    {"/debug/pprof/offcpu?reason=sleep,Io", "reason: Io: not one of"},
	    {"/debug/pprof/offcpu?reason=sleepy", "reason: sleepy: not one of"},
	    {"/debug/pprof/offcpu?reason=", "reason: : not one of"},
	    {"/debug/pprof/offcpu?reason=io&reason=sleep", "reason: given twice"},
	    {"/debug/pprof/wall?reason=x", "not yet started, running\n"},
	    {"/debug/pprof/block?reason=preempted", "reason: preempted: not one of unknown,"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (get(bad[i].path, "") != 400 || !strstr(body(), bad[i].says))
			fail_msg("%s gave %s", bad[i].path, answer);
	stop();
}

// What api/windows says of a window is what its flame graph sums up to, and a class is in the data
// for each reason.
static void flames_hold_the_windows_total(void **state)
{
	(void)state;
	static const char *const types[] = {"offcpu", "wall"};
	start(&(struct serve_options){.banner = "A recording"});
	for (int i = 0; i < 2; i++) {
		char path[64], *number;
		long sum = 0, count = 0;
		add_reasons(types[i]);
		assert_int_equal(get("/api/windows", ""), 200);
		number = strstr(strstr(answer, types[i]), "\"total\":") + 8;
		long total = strtol(number, NULL, 10);
		snprintf(path, sizeof(path), "/api/flame?type=%s", types[i]);
		assert_int_equal(get(path, ""), 200);
		// [parent,frame,process,value...(,1)]
		for (char *s = strstr(answer, "\"nodes\":[") + 9; (s = strchr(s, '[')); s++) {
			long count_or_time, time;
			int n = sscanf(s, "[%*d,%*d,%*d,%ld,%ld", &count_or_time, &time);
			sum += i || n == 1 ? count_or_time : time;
		}
		for (char *s = strstr(answer, "\"frames\":["); (s = strstr(s, ",4,0]")); s++)
			count++;
		assert_int_equal(sum, total);
		assert_int_equal(total, (OFF_COUNT + 3) * 1000);
		assert_int_equal(count, OFF_COUNT + 1); // and that of a later version
		HAS("\"[blocks not sampled]\"");
	}
	stop();
}

static void block_is_as_gos(void **state)
{
	(void)state;
	start(&(struct serve_options){.banner = "A recording"});
	add_reasons("offcpu");
	assert_int_equal(get("/debug/pprof/block", ""), 200);
	HAS("filename=\"telegen-block.pb.gz\"");
	struct profile *p = import_answer();
	const struct profile_header *h = profile_header_of(p);
	assert_int_equal(h->value_count, 2);
	assert_string_equal(profile_name(p, h->value_types[0]), "contentions");
	assert_string_equal(profile_name(p, h->value_units[0]), "count");
	assert_string_equal(profile_name(p, h->value_types[1]), "delay");
	assert_string_equal(profile_name(p, h->value_units[1]), "nanoseconds");
	assert_string_equal(profile_name(p, h->period_type), "contentions");
	assert_string_equal(profile_name(p, h->period_unit), "count");
	assert_int_equal(h->period, 1);
	assert_int_equal(h->default_value, 1);
	assert_int_equal(h->duration_ns, 10 * NS_PER_S);
	profile_free(p);
	assert_int_equal(get("/debug/pprof/", ""), 200);
	HAS("<a href=\"block?seconds=30\">block</a>");
	HAS("mutex<td>Locks: where threads waited for one, and how long. (not profiled)");
	HAS("sleep, io, mutex");
	stop();
}

static bool has_function(const struct profile *p, const char *name)
{
	for (uint32_t i = 1; i <= profile_frame_count(p); i++)
		if (!strcmp(profile_name(p, profile_frame(p, i)->name), name))
			return true;
	return false;
}

static bool only_walls(void *arg, const char *type)
{
	(void)arg;
	return !strcmp(type, "wall");
}

// Its windows have all been let go, for want of memory.
static void what_is_profiled_may_have_no_windows(void **state)
{
	(void)state;
	start(&(struct serve_options){.profiled = only_walls});
	add_window("cpu", WALL, WALL + NS_PER_S, 1, 1);
	assert_int_equal(get("/debug/pprof/memory?seconds=1", ""), 404);
	HAS("memory: not profiled");
	int fd = dial();
	say_to(fd, "/debug/pprof/wall?seconds=1", "");
	for (int i = 0; i < 5; i++)
		turn(20 * NS_PER_MS);
	serve_leave(t.serve, "it waits");
	assert_int_equal(hear(fd, 5 * NS_PER_MS), 503);
	stop();
}

static void profiles_to_come(void **state)
{
	(void)state;
	for (int late = 0; late < 2; late++) {
		start(&(struct serve_options){0});
		t.late_ns = late ? 700 * NS_PER_MS : 0;
		for (int i = 0; i < 7 * 50; i++) // seven seconds into the first window
			turn(20 * NS_PER_MS);
		int fd = dial();
		say_to(fd, "/debug/pprof/profile?seconds=5", "");
		uint64_t asked = t.now;
		assert_int_equal(hear(fd, 5 * NS_PER_MS), 200);
		assert_in_range(t.now - asked, 5 * NS_PER_S, 6 * NS_PER_S);
		assert_int_equal(t.flushes, 2);
		HAS("Content-Type: application/octet-stream\r\n");
		struct profile *p = import_answer();
		int64_t totals[PROFILE_VALUES_MAX];
		profile_totals(p, totals);
		assert_int_equal(totals[0], 1); // not the window of before
		assert_true(has_function(p, "at_7_0"));
		assert_in_range(
		    profile_header_of(p)->duration_ns, 4990 * NS_PER_MS, 5100 * NS_PER_MS);
		profile_free(p);
		stop();
	}
	start(&(struct serve_options){.seconds_max = 60}); // none comes at all
	t.late_ns = 1000 * NS_PER_S;
	int fd = dial();
	say_to(fd, "/debug/pprof/profile", "");
	uint64_t asked = t.now;
	assert_int_equal(hear(fd, 10 * NS_PER_MS), 404);
	assert_in_range(t.now - asked, 45 * NS_PER_S, 46 * NS_PER_S);
	stop();
	start(&(struct serve_options){.banner = "A recording"});
	for (unsigned i = 0; i < 5; i++)
		add_window("cpu", WALL + i * NS_PER_S, WALL + (i + 1) * NS_PER_S, 1, 1);
	assert_int_equal(get("/debug/pprof/profile?seconds=2", ""), 200);
	struct profile *p = import_answer();
	assert_true(
	    has_function(p, "at_3_0") && has_function(p, "at_4_0") && !has_function(p, "at_2_0"));
	profile_free(p);
	stop();
}

static void window_at(const char *type, unsigned second, unsigned pids)
{
	add_window(type, WALL + second * NS_PER_S, WALL + (second + 10) * NS_PER_S, pids, 1);
	serve_window_added(t.serve);
}

// Who waits when we end is told why, and who comes then; what is there is given still.
static void who_waits_for_what_will_not_come(void **state)
{
	(void)state;
	start(&(struct serve_options){0});
	window_at("cpu", 0, 1);
	int fds[] = {dial(), dial()};
	say_to(fds[0], "/debug/pprof/profile?seconds=5", "");
	say_to(fds[1], "/debug/pprof/profile?seconds=7", "");
	for (int i = 0; i < 50; i++)
		turn(20 * NS_PER_MS);
	serve_leave(t.serve, "here it ends");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(hear(fds[i], 5 * NS_PER_MS), 503);
		HAS("Retry-After: 1\r\n");
		HAS("\r\n\r\nhere it ends\n");
	}
	assert_int_equal(get("/debug/pprof/profile?seconds=1", ""), 503);
	HAS("here it ends\n");
	assert_int_equal(get("/api/flame?type=cpu&format=pprof", ""), 200);
	stop();
}

static int64_t total_of_answer(void)
{
	struct profile *p = import_answer();
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(p, totals);
	assert_int_equal(profile_header_of(p)->duration_ns, 0);
	profile_free(p);
	return totals[0];
}

// Who asks for no seconds gets, at once, what there was since it first asked; windows count once,
// and still when the history has forgotten them.
static void totals_only_grow(void **state)
{
	(void)state;
	start(&(struct serve_options){0});
	assert_int_equal(get("/debug/pprof/mutex", ""), 404); // no window yet
	HAS("X-Go-Pprof: 1\r\n");
	HAS("Content-Type: text/plain");
	window_at("mutex", 0, 3);
	window_at("offcpu", 0, 5);
	assert_int_equal(get("/debug/pprof/mutex", ""), 200);
	assert_int_equal(total_of_answer(), 3);
	assert_int_equal(get("/debug/pprof/mutex?seconds=0", ""), 200);
	assert_int_equal(total_of_answer(), 3); // nothing came
	window_at("mutex", 10, 4);
	window_at("mutex", 20, 1);
	history_shrink(t.history, 1); // the first two go
	history_shrink(t.history, 1);
	assert_int_equal(get("/debug/pprof/mutex", ""), 200);
	assert_int_equal(total_of_answer(), 8);
	history_shrink(t.history, UINT64_MAX);
	assert_int_equal(get("/debug/pprof/mutex", ""), 200);
	assert_int_equal(total_of_answer(), 8);
	window_at("mutex", 30, 2);
	assert_int_equal(get("/debug/pprof/mutex?pid=101", ""), 200);
	assert_int_equal(total_of_answer(), 3);
	assert_int_equal(get("/debug/pprof/mutex", ""), 200);
	assert_int_equal(total_of_answer(), 10);
	HAS("Content-Type: application/octet-stream\r\n");
	// block is made of the same windows as others are.
	window_at("offcpu", 40, 5);
	assert_int_equal(get("/debug/pprof/block", ""), 200);
	assert_int_equal(total_of_answer(), 5);
	struct profile *p = import_answer();
	assert_string_equal(profile_name(p, profile_header_of(p)->value_types[1]), "delay");
	profile_free(p);
	// What is in use: as of the last window.
	assert_int_equal(get("/debug/pprof/heap?gc=1", ""), 404);
	window_at("heap", 30, 5);
	window_at("heap", 40, 6);
	assert_int_equal(get("/debug/pprof/heap?gc=1", ""), 200);
	p = import_answer();
	assert_int_equal(profile_sample_count(p), 7);
	profile_free(p);
	add_window("heap", WALL + 55 * NS_PER_S, WALL + 55 * NS_PER_S, 2, 1); // of a moment
	assert_int_equal(get("/debug/pprof/heap", ""), 200);
	p = import_answer();
	assert_int_equal(profile_sample_count(p), 3);
	profile_free(p);
	assert_int_equal(t.flushes, 0);
	// Two at once.
	window_at("mutex", 50, 1);
	int fds[3];
	for (int i = 0; i < 3; i++) {
		fds[i] = dial();
		say_to(fds[i], "/debug/pprof/mutex", "");
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(hear(fds[i], 0), 200);
		assert_int_equal(total_of_answer(), 11);
	}
	// The clock of the wall was set back.
	add_window("mutex", WALL - 30 * NS_PER_S, WALL - 20 * NS_PER_S, 2, 1);
	assert_int_equal(get("/debug/pprof/mutex", ""), 200);
	assert_int_equal(total_of_answer(), 13);
	// Nobody asks for it any more.
	assert_true(mem_used(ACCOUNT_SERVE) > 10000);
	t.now += 11 * 60 * NS_PER_S;
	serve_window_added(t.serve);
	assert_true(mem_used(ACCOUNT_SERVE) < 10000);
	stop();
}

// A window may begin a little before the last one ended, for two clocks make its times, and may
// come at any moment of an answer: it is in that total or in the next one, and never in both.
static void a_window_that_comes_meanwhile_counts_once(void **state)
{
	(void)state;
	bool waited = false;
	for (int turns = 0; turns < 12; turns++) {
		start(&(struct serve_options){0});
		window_at("mutex", 0, 3);
		int fd = dial();
		say_to(fd, "/debug/pprof/mutex", "");
		for (int i = 0; i < turns; i++)
			turn(0);
		waited |= t.serve->queries && t.serve->queries->search;
		add_window("mutex", WALL + 10 * NS_PER_S - 1000, WALL + 20 * NS_PER_S, 2, 1);
		serve_window_added(t.serve);
		assert_int_equal(hear(fd, 0), 200);
		assert_in_range(total_of_answer(), 3, 5);
		assert_int_equal(get("/debug/pprof/mutex", ""), 200);
		assert_int_equal(total_of_answer(), 5);
		stop();
	}
	assert_true(waited);
}

// What is in use in the next second is read out after that is over.
static void heap_comes_late(void **state)
{
	(void)state;
	start(&(struct serve_options){0});
	add_window("heap", WALL, WALL, 2, 1);
	int fd = dial();
	say_to(fd, "/debug/pprof/heap?seconds=1", "");
	for (int i = 0; i < 120; i++)
		turn(10 * NS_PER_MS);
	add_window("heap", t.wall, t.wall, 4, 1);
	serve_window_added(t.serve);
	assert_int_equal(hear(fd, 10 * NS_PER_MS), 200);
	struct profile *p = import_answer();
	assert_int_equal(profile_sample_count(p), 5);
	profile_free(p);
	stop();
}

// One that grew too large begins anew; so does one that has a window in part, for its peer has
// left.
static void totals_begin_anew(void **state)
{
	(void)state;
	start(&(struct serve_options){0});
	add_window("mutex", WALL, WALL + 10 * NS_PER_S, 10, 4000);
	assert_int_equal(get("/debug/pprof/mutex", ""), 200);
	assert_true(answer_size > 100000);
	assert_int_equal(get("/debug/pprof/mutex", ""), 200); // it was over 4 MiB
	assert_int_equal(total_of_answer(), 0);
	add_window("mutex", WALL + 10 * NS_PER_S, WALL + 20 * NS_PER_S, 20, 100);
	assert_int_equal(get("/debug/pprof/mutex", ""), 200);
	struct profile *p = import_answer();
	assert_int_equal(total_of_answer(), 2000);
	struct total total = {.last = 5, .used = true};
	struct profile_merge *merge = NULL;
	assert_int_equal(total_add(&total, &merge, p, 9, 0), 1);
	profile_merge_free(merge);
	total_release(&total);
	assert_true(!total.sum && !total.used && !total.half && total.last == 5);
	profile_free(p);
	stop();
}

// The seconds begin when the window of before has ended, and are then as many as were asked for.
static void a_late_beginning(void **state)
{
	(void)state;
	start(&(struct serve_options){0});
	turn(7 * NS_PER_S);
	t.late_ns = 200 * NS_PER_MS;
	t.busy_ns = 600 * NS_PER_MS;
	int fd = dial();
	say_to(fd, "/debug/pprof/profile?seconds=1", "");
	uint64_t asked = t.now;
	assert_int_equal(hear(fd, 5 * NS_PER_MS), 200);
	assert_in_range(t.now - asked, 1800 * NS_PER_MS, 1900 * NS_PER_MS);
	struct profile *p = import_answer();
	assert_in_range(
	    profile_header_of(p)->time_ns, WALL + 7600 * NS_PER_MS, WALL + 7620 * NS_PER_MS);
	assert_in_range(profile_header_of(p)->duration_ns, 1000 * NS_PER_MS, 1010 * NS_PER_MS);
	profile_free(p);
	stop();
}

static void many_wait(void **state)
{
	(void)state;
	int fds[QUERIES_MAX];
	start(&(struct serve_options){0});
	for (int i = 0; i < QUERIES_MAX; i++) {
		fds[i] = dial();
		say_to(fds[i], "/debug/pprof/profile?seconds=3", "");
		for (int turns = 0; turns < 20; turns++)
			turn(0);
	}
	assert_int_equal(get("/debug/pprof/profile?seconds=3", ""), 503);
	HAS("Retry-After: 1\r\n");
	close(fds[0]); // one leaves: there is room again
	for (int i = 0; i < 100; i++)
		turn(0);
	assert_int_equal(get("/debug/pprof/profile?seconds=301", ""), 400);
	fds[0] = dial();
	say_to(fds[0], "/debug/pprof/profile?seconds=3", "");
	for (int i = 0; i < QUERIES_MAX; i++)
		assert_int_equal(hear(fds[i], NS_PER_MS), 200);
	assert_null(t.serve->queries);
	fds[0] = dial(); // the agent ends while somebody waits
	say_to(fds[0], "/debug/pprof/profile?seconds=3", "");
	for (int i = 0; i < 20; i++)
		turn(0);
	assert_non_null(t.serve->queries);
	stop();
	close(fds[0]);
}

// So that the kernel does not take the whole answer by itself: the sender's buffer alone, a small
// receiver's would make TCP crawl.
static void small_buffers(void)
{
	setsockopt(
	    t.serve->http->connections->fd, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int));
}

static void slow_reader(void **state)
{
	(void)state;
	start(&(struct serve_options){0});
	add_window("cpu", WALL, WALL + 10 * NS_PER_S, 1, 60000);
	clock_fake(NULL, NULL); // steps are cut by time
	for (int reads = 1; reads >= 0; reads--) {
		int fd = dial();
		small_buffers();
		say_to(fd, "/api/flame?format=folded", "");
		bool blocked = false;
		for (int i = 0; i < 200000 && !blocked; i++) {
			turn(0);
			blocked =
			    t.serve->queries && t.serve->queries->full && !t.serve->queries->slice;
		}
		assert_true(blocked); // it rests, with a bounded queue
		assert_true(mem_used(ACCOUNT_NET) < 1 << 20);
		if (reads) {
			assert_int_equal(hear(fd, 0), 200);
			assert_int_equal(folded(), 60000);
			continue;
		}
		t.serve->http->sweep_ns = 50 * NS_PER_MS;
		t.serve->http->options.stall_ns_max = 300 * NS_PER_MS;
		t.serve->http->connections->deadline = clock_now() + 300 * NS_PER_MS;
		for (uint64_t end = clock_now() + 5 * NS_PER_S;
		     t.serve->queries && clock_now() < end;)
			turn(0);
		assert_null(t.serve->queries); // one that stops reading is given up
		close(fd);
	}
	stop();
}

// Whichever allocation fails, the peer gets an answer, an error or a cut, and nothing stays behind.
static void no_memory(void **state)
{
	(void)state;
	static const char *const paths[] = {"/api/flame?pid=100",
	    "/api/flame?format=pprof&base_from=0&base_to=1795428019999000000", "/metrics",
	    "/api/windows", "/debug/pprof/mutex", "/debug/pprof/", "/"};
	char why[200];
	bool failed = true;
	struct loop *loop = loop_new();
	for (uint64_t n = 1; failed; n++) {
		mem_fail_at(n);
		struct serve_options o = {.loop = loop, .listen = "127.0.0.1:0", .banner = "b"};
		struct serve *s = serve_new(&o, why, sizeof(why));
		failed = mem_fail_seen() >= n;
		mem_fail_at(0);
		serve_free(s);
		assert_int_equal(mem_used(ACCOUNT_SERVE), 0);
	}
	loop_free(loop);
	start(&(struct serve_options){0});
	add_window("cpu", WALL, WALL + 10 * NS_PER_S, 2, 3);
	add_window("cpu", WALL + 10 * NS_PER_S, WALL + 20 * NS_PER_S, 2, 3);
	add_window("mutex", WALL, WALL + 10 * NS_PER_S, 2, 3);
	unsigned good = 0;
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		failed = true;
		for (uint64_t n = 1; failed; n++) {
			int fd = dial();
			say_to(fd, paths[i], "");
			mem_fail_at(n);
			int status = hear(fd, 0);
			failed = mem_fail_seen() >= n;
			mem_fail_at(0);
			assert_true(status == 200 || status == 503 || status == 0);
			assert_null(t.serve->queries);
			good += !failed && status == 200;
		}
	}
	assert_int_equal(good, sizeof(paths) / sizeof(*paths));
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(health_and_metrics),
	    cmocka_unit_test(page_and_errors),
	    cmocka_unit_test(names_and_sites),
	    cmocka_unit_test(a_bad_token_file_is_told_at_the_start),
	    cmocka_unit_test(tokens),
	    cmocka_unit_test(flames),
	    cmocka_unit_test(reasons_narrow),
	    cmocka_unit_test(flames_hold_the_windows_total),
	    cmocka_unit_test(block_is_as_gos),
	    cmocka_unit_test(what_is_profiled_may_have_no_windows),
	    cmocka_unit_test(profiles_to_come),
	    cmocka_unit_test(who_waits_for_what_will_not_come),
	    cmocka_unit_test(totals_only_grow),
	    cmocka_unit_test(a_window_that_comes_meanwhile_counts_once),
	    cmocka_unit_test(heap_comes_late),
	    cmocka_unit_test(totals_begin_anew),
	    cmocka_unit_test(a_late_beginning),
	    cmocka_unit_test(many_wait),
	    cmocka_unit_test(slow_reader),
	    cmocka_unit_test(no_memory),
	};
	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
