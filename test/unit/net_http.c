// SPDX-License-Identifier: Apache-2.0
// The server with real sockets on the loopback and the real loop, driven turn by turn.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/net/listen.c"
#undef BACKLOG
#include "../../modules/net/request.c"
#define refuse refuse_connection
#include "../../modules/net/http.c"
#undef refuse
#define head answer_head
#define add add_
#include "../../modules/net/connection.c"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/un.h>

static struct {
	struct loop *loop;
	struct http_server *server;
	struct http_request *held; // a request that the handler keeps
	unsigned handled, drained, gone;
	size_t streaming; // bytes still to stream
	bool endless;
	char last[256];
} t;

static void on_gone(void *arg)
{
	(void)arg;
	t.gone++;
	t.held = NULL;
}

static void stream(void *arg)
{
	static const char block[10000] = {'x'};
	(void)arg;
	t.drained++;
	while (t.streaming) {
		t.streaming -= sizeof(block);
		int error = http_write(t.held, block, sizeof(block));
		if (error == -EAGAIN)
			return;
		if (error) {
			assert_int_equal(error, -ENOMEM);
			break;
		}
	}
	struct http_request *r = t.held;
	t.held = NULL;
	if (t.streaming)
		http_abort(r);
	else
		http_end(r);
}

static void handler(void *arg, struct http_request *r)
{
	(void)arg;
	t.handled++;
	const char *path = http_path(r), *a = http_query(r, "a");
	snprintf(t.last, sizeof(t.last), "%s %s a=%s local=%d", http_method(r), path, a ? a : "-",
	    http_peer_is_local(r));
	if (strcmp(path, "/hold") == 0) {
		t.held = r;
		http_on(r, NULL, on_gone, NULL);
	} else if (strcmp(path, "/stream") == 0 || strcmp(path, "/cut") == 0) {
		t.held = r;
		t.streaming = t.endless ? 2000000000 : 2000000;
		http_on(r, stream, on_gone, NULL);
		http_begin(r, 200, "text/plain", NULL);
		if (path[1] == 's') {
			stream(NULL);
		} else {
			t.held = NULL;
			http_abort(r);
		}
	} else {
		http_answer(r, 200, "text/plain", "X-Test: yes\r\n", t.last, strlen(t.last));
	}
}

static void start(const struct http_options *o)
{
	char why[200] = "";
	memset(&t, 0, sizeof(t));
	t.loop = loop_new();
	assert_non_null(t.loop);
	struct http_options options = *o;
	options.handle = handler;
	options.listen = o->listen ? o->listen : "127.0.0.1:0";
	t.server = http_server_new(t.loop, &options, why, sizeof(why));
	if (!t.server)
		fail_msg("%s", why);
}

static void stop(void)
{
	http_server_free(t.server);
	loop_free(t.loop);
	assert_int_equal(mem_used(ACCOUNT_NET), 0);
}

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_port = htons(http_server_port(t.server))};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void say_to(int fd, const char *s)
{
	assert_int_equal(send(fd, s, strlen(s), MSG_NOSIGNAL), strlen(s));
}

static void turns(unsigned ms)
{
	for (uint64_t end = clock_now() + ms * NS_PER_MS; clock_now() < end; usleep(200))
		loop_turn(t.loop);
}

#define UNTIL(condition)                                                                           \
	for (uint64_t end_ = clock_now() + 5 * NS_PER_S; !(condition); usleep(100)) {              \
		loop_turn(t.loop);                                                                 \
		if (clock_now() > end_)                                                            \
			fail_msg("waited in vain for %s", #condition);                             \
	}

// What comes until the peer closes (then true) or until SIZE-1 bytes or MS without anything new.
static char answer[3000000];
static bool hear(int fd, unsigned ms)
{
	size_t n = 0;
	uint64_t quiet = clock_now();
	while (clock_now() - quiet < ms * NS_PER_MS) {
		loop_turn(t.loop);
		ssize_t got = recv(fd, answer + n, sizeof(answer) - 1 - n, MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno != EAGAIN)) {
			answer[n] = 0;
			return true;
		}
		if (got > 0) {
			n += (size_t)got;
			quiet = clock_now();
		}
	}
	answer[n] = 0;
	return false;
}

// Sends TEXT over a connection of its own; true where the server closed it in the end.
static bool ask(const char *s)
{
	int fd = dial();
	say_to(fd, s);
	bool closed = hear(fd, 60);
	close(fd);
	turns(3);
	return closed;
}

#define STARTS(status)                                                                             \
	assert_memory_equal(answer, "HTTP/1.1 " status " ", sizeof("HTTP/1.1 " status " ") - 1)
#define HAS(s) assert_non_null(strstr(answer, s))

static void answers(void **state)
{
	(void)state;
	start(&(struct http_options){0});
	assert_false(ask("GET /x//y/../z/?b=1&a=%41+%2b HTTP/1.1\r\nHost: h\r\n\r\n"));
	STARTS("200");
	HAS("Content-Length: 23\r\n");
	HAS("X-Test: yes\r\n");
	HAS("Date: ");
	HAS("\r\n\r\nGET /x/z/ a=A + local=1");
	assert_true(ask("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
	HAS("Content-Length: 18\r\n");
	HAS("Connection: close\r\n");
	assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
	assert_true(ask("GET / HTTP/1.0\r\n\r\n"));
	HAS("Connection: close\r\n");
	assert_false(ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
	HAS("Connection: keep-alive\r\n");
	stop();
}

static void refusals(void **state)
{
	(void)state;
	static const struct {
		const char *status, *request;
	} rows[] = {
	    {"405", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"},
	    {"405", "CONNECT a:1 HTTP/1.1\r\nHost: h\r\n\r\n"},
	    {"413", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"},
	    {"413", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	    {"400", "GET / HTTP/1.1\r\n\r\n"},
	    {"400", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
	    {"400", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n"},
	    {"400", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"},
	    {"400", "GET /a/../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n"},
	    {"400", "GET /%2e%2e/etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n"},
	    {"400", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"},
	    {"400", "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
	    {"400", "\x16\x03\x01\x02\x00\x01garbage"},
	    {"505", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
	};
	start(&(struct http_options){0});
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t before = count_get(COUNT_HTTP_REFUSED);
		assert_true(ask(rows[i].request));
		if (strncmp(answer + 9, rows[i].status, 3))
			fail_msg("%s answered with %.60s", rows[i].request, answer);
		assert_int_equal(count_get(COUNT_HTTP_REFUSED), before + 1);
	}
	assert_int_equal(t.handled, 0);
	char *large = malloc(20000);
	memset(large, 'y', 20000);
	memcpy(large, "GET / HTTP/1.1\r\nHost: h\r\nX: ", 28);
	large[19999] = 0;
	assert_true(ask(large));
	STARTS("431");
	memcpy(large, "GET /", 5);
	memset(large + 5, 'u', 9000);
	assert_true(ask(large));
	STARTS("431");
	free(large);
	stop();
}

static void requests(void **state)
{
	(void)state;
	struct request r;
	static const char bytes[] =
	    "GET http://evil.example:80/p HTTP/1.1\r\nHost: localhost\r\nE:\r\n\r\n";
	request_init(&r, 8192);
	assert_int_equal(request_feed(&r, bytes, sizeof(bytes) - 1), sizeof(bytes) - 1);
	assert_int_equal(r.status, 200);
	assert_string_equal(request_header(&r, "HOST"), "evil.example");
	assert_string_equal(request_header(&r, "e"), ""); // with a name before and nothing behind
	assert_null(request_header(&r, "none"));
	request_reset(&r);
	static const char nul[] = "GET / HTTP/1.1\r\nHost: localhost\r\nE: \0Host\r\n\r\n";
	request_feed(&r, nul, sizeof(nul) - 1);
	assert_int_equal(r.status, 400);
	request_reset(&r);
	request_feed(&r, "GET /?x HTTP/1.0\r\n\r\n", 21);
	assert_int_equal(r.status, 200);
	assert_null(request_parameter(&r, "none"));
	request_reset(&r);
}

// One after the other, each answered whole, in order, byte by byte or all at once.
static void pipelined_and_dribbled(void **state)
{
	(void)state;
	start(&(struct http_options){0});
	assert_true(ask("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
			"GET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /4 "
			"HTTP/1.1\r\nHost: h\r\n\r\n"));
	assert_int_equal(t.handled, 3);
	char *one = strstr(answer, "GET /1"), *two = strstr(answer, "GET /2"),
	     *three = strstr(answer, "GET /3");
	assert_true(one && two && three && one < two && two < three);
	int fd = dial();
	for (const char *s = "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n"; *s; s++) {
		assert_int_equal(send(fd, s, 1, 0), 1);
		loop_turn(t.loop);
	}
	assert_false(hear(fd, 30));
	HAS("GET /slow");
	// A held request keeps those behind it waiting, and only so many bytes of them.
	say_to(fd, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\nGET /after HTTP/1.1\r\nHost: h\r\n\r\n");
	UNTIL(t.held);
	turns(5);
	assert_string_equal(t.last, "GET /hold a=- local=1");
	struct http_request *held = t.held;
	http_answer(held, 200, "text/plain", NULL, "held", 4);
	assert_false(hear(fd, 30));
	HAS("\r\n\r\nheldHTTP/1.1 200 OK");
	HAS("GET /after");
	close(fd);
	stop();
}

static size_t dechunk(const char *from)
{
	size_t n = 0, chunk;
	while ((chunk = strtoul(from, (char **)&from, 16))) {
		n += chunk;
		from += chunk + 4;
	}
	assert_string_equal(from, "\r\n\r\n");
	return n;
}

static void too_late(void *arg)
{
	(void)arg;
	fail_msg("the answer has ended, and who gave it may be gone");
}

static void streams(void **state)
{
	(void)state;
	start(&(struct http_options){0});
	assert_false(ask("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n"));
	HAS("Transfer-Encoding: chunked\r\n");
	assert_int_equal(dechunk(strstr(answer, "\r\n\r\n") + 4), 2000000);
	assert_true(t.drained > 5); // not all at once
	assert_true(ask("GET /stream HTTP/1.0\r\n\r\n"));
	assert_null(strstr(answer, "chunked"));
	assert_int_equal(strlen(strstr(answer, "\r\n\r\n") + 5), 0); // 'x' and then NULs
	assert_false(ask("HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n"));
	assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
	assert_true(ask("GET /cut HTTP/1.1\r\nHost: h\r\n\r\n"));
	assert_null(strstr(answer, "0\r\n\r\n"));
	assert_int_equal(t.gone, 0);
	// The queue is bounded whatever a handler does.
	int fd = dial();
	say_to(fd, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	UNTIL(t.held);
	http_begin(t.held, 200, "text/plain", NULL);
	static char block[100000];
	int error = 0, writes = 0;
	while ((error = http_write(t.held, block, sizeof(block))) != -ENOMEM)
		assert_true(++writes < 20);
	http_on(t.held, too_late, on_gone, NULL);
	int small = 8192; // so that the rest of it goes little by little
	assert_int_equal(
	    setsockopt(t.held->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	http_end(t.held);
	hear(fd, 300);
	assert_int_equal(dechunk(strstr(answer, "\r\n\r\n") + 4), writes * sizeof(block));
	close(fd);
	stop();
}

static void slow_peers(void **state)
{
	(void)state;
	start(&(struct http_options){
	    .request_ns_max = 80 * NS_PER_MS, .stall_ns_max = 80 * NS_PER_MS});
	t.endless = true;
	int half = dial(), idle = dial(), stalled = dial();
	say_to(half, "GET / HTTP/1.1\r\nHo");
	say_to(stalled, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
	UNTIL(t.gone == 1); // nobody reads it
	UNTIL(t.server->count == 0);
	assert_true(hear(half, 30));
	STARTS("408");
	assert_true(hear(idle, 30));
	assert_string_equal(answer, "");
	close(half), close(idle), close(stalled);
	stop();
}

static void peers_that_leave(void **state)
{
	(void)state;
	start(&(struct http_options){0});
	int fd = dial();
	say_to(fd, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	UNTIL(t.held);
	close(fd);
	UNTIL(t.gone == 1);
	t.endless = true;
	fd = dial(); // closed with bytes unread: a reset, in mid-answer
	say_to(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
	UNTIL(t.drained > 0);
	close(fd);
	UNTIL(t.gone == 2);
	fd = dial(); // only done with speaking: it still gets its answer
	say_to(fd, "GET /half HTTP/1.1\r\nHost: h\r\n\r\n");
	shutdown(fd, SHUT_WR);
	assert_true(hear(fd, 100));
	HAS("GET /half");
	close(fd);
	fd = dial(); // the server goes first
	say_to(fd, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	UNTIL(t.held);
	unsigned gone = t.gone;
	stop();
	assert_int_equal(t.gone, gone + 1);
	close(fd);
}

static void too_many(void **state)
{
	(void)state;
	start(&(struct http_options){.connections_max = 2});
	int a = dial(), b = dial();
	say_to(a, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	UNTIL(t.held && t.server->count == 2);
	ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"); // takes the idle one's place
	STARTS("200");
	assert_true(hear(b, 30));
	int c = dial();
	say_to(c, "GET / HT");
	UNTIL(t.server->count == 2 && connection_spare(t.server->connections) == SPARE_ASKING);
	uint64_t refused = count_get(COUNT_HTTP_REFUSED);
	ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"); // and that of one that is slow to ask
	STARTS("200");
	assert_true(hear(c, 30));
	assert_string_equal(answer, "");
	assert_int_equal(count_get(COUNT_HTTP_REFUSED), refused + 1);
	int d = dial();
	say_to(d, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	UNTIL(t.handled == 4);
	assert_true(ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n")); // who waits for an answer stays
	STARTS("503");
	HAS("too many connections\n");
	close(a), close(b), close(c), close(d);
	stop();
}

// Whoever holds all places, in whatever way, does not keep others from being heard.
static void places_are_not_held_for_ever(void **state)
{
	(void)state;
	enum { HALF_OPEN = 20 };
	static const char *const ways[] = {"", "G", "GET / HTTP/1.1\r\nHost: h\r\nX: "};
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		int fds[HALF_OPEN];
		start(&(struct http_options){.connections_max = 4});
		for (int k = 0; k < HALF_OPEN; k++) {
			fds[k] = dial();
			say_to(fds[k], ways[i]);
		}
		turns(5);
		assert_int_equal(t.server->count, 4);
		ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
		STARTS("200");
		for (int k = 0; k < HALF_OPEN; k++)
			close(fds[k]);
		stop();
	}
	// One that does not take its answer is given a second, then the place goes to another.
	start(&(struct http_options){.connections_max = 1});
	t.endless = true;
	int fd = dial();
	say_to(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
	UNTIL(t.held);
	ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	STARTS("503");
	UNTIL(connection_spare(t.server->connections) == SPARE_STALLED);
	assert_int_equal(t.gone, 0);
	ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	STARTS("200");
	assert_int_equal(t.gone, 1);
	close(fd);
	stop();
}

static void out_of_descriptors(void **state)
{
	(void)state;
	start(&(struct http_options){0});
	int fd = dial();
	struct rlimit old, none;
	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	int lowest = dup(0);
	close(lowest);
	none.rlim_cur = (rlim_t)lowest;
	setrlimit(RLIMIT_NOFILE, &none);
	say_to(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	UNTIL(t.server->paused);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(t.server->count, 0);
	UNTIL(t.handled == 1); // after its pause
	close(fd);
	stop();
}

static void addresses(void **state)
{
	(void)state;
	static const struct {
		const char *listen, *why;
	} bad[] = {
	    {"localhost", "not an address: write 127.0.0.1:19090"},
	    {"127.0.0.1:65536", "not an address"},
	    {"127.0.0.1:", "not an address"},
	    {"127.0.0.1:-1", "not an address"},
	    {"[::1:1", "not an address"},
	    {"example.org:80", "not an address"},
	    {"unix:relative", "not an address"},
	    {"unix:/nowhere/at/all.sock", "No such file"},
	    {"192.0.2.1:0", "this machine has no such address"},
	};
	struct loop *loop = loop_new();
	char why[256];
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct http_options o = {.listen = bad[i].listen, .handle = handler};
		assert_null(http_server_new(loop, &o, why, sizeof(why)));
		if (!strstr(why, bad[i].why) || strncmp(why, "listen: ", 8))
			fail_msg("%s gave %s", bad[i].listen, why);
		bool written_well = !strstr(bad[i].why, "not an address");
		*why = 0;
		if (http_address_check(bad[i].listen, why, sizeof(why)) !=
		    (written_well ? 0 : -EINVAL))
			fail_msg("%s was checked otherwise", bad[i].listen);
		assert_true(written_well == !*why);
	}
	loop_free(loop);
	start(&(struct http_options){0});
	char same[32], expected[200];
	snprintf(same, sizeof(same), "127.0.0.1:%u", http_server_port(t.server));
	struct http_options o = {.listen = same, .handle = handler};
	assert_null(http_server_new(t.loop, &o, why, sizeof(why)));
	snprintf(expected, sizeof(expected),
	    "listen: %s: address in use: another telegen runs? stop it or set listen", same);
	assert_string_equal(why, expected);
	stop();
	static const struct {
		const char *listen, *url;
	} urls[] = {
	    {"127.0.0.1:0", "http://127.0.0.1:%u/"},
	    {"localhost:0", "http://localhost:%u/"},
	    {":0", "http://localhost:%u/"},
	    {"0.0.0.0:0", "http://localhost:%u/"},
	    {"127.0.0.2:0", "http://127.0.0.2:%u/"},
	};
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		char url[64], wanted[64];
		start(&(struct http_options){.listen = urls[i].listen});
		http_server_url(t.server, url, sizeof(url));
		snprintf(wanted, sizeof(wanted), urls[i].url, http_server_port(t.server));
		assert_string_equal(url, wanted);
		assert_true(http_server_port(t.server) > 0);
		stop();
	}
	start(&(struct http_options){.listen = ":0"}); // dual: reached by IPv4, still local
	ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	HAS("local=1");
	stop();
}

static void unix_sockets(void **state)
{
	(void)state;
	char folder[] = "/tmp/telegen-net-XXXXXX", address[64];
	assert_non_null(mkdtemp(folder));
	snprintf(address, sizeof(address), "unix:%s/s", folder);
	for (int round = 0; round < 2; round++) {
		start(&(struct http_options){.listen = address});
		struct sockaddr_un un = {.sun_family = AF_UNIX};
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", address + 5);
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
		say_to(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
		hear(fd, 30);
		HAS("local=1");
		close(fd);
		struct http_options o = {.listen = address, .handle = handler};
		char why[200];
		assert_null(http_server_new(t.loop, &o, why, sizeof(why))); // in use: not stolen
		HAS("200");
		stop();
		assert_int_equal(access(address + 5, F_OK), -1);
		// What a killed agent leaves behind is no hindrance.
		int stale = socket(AF_UNIX, SOCK_STREAM, 0);
		assert_int_equal(bind(stale, (struct sockaddr *)&un, sizeof(un)), 0);
		close(stale);
	}
	unlink(address + 5);
	FILE *file = fopen(address + 5, "w"); // but a file that is not a socket stays
	fclose(file);
	struct loop *loop = loop_new();
	struct http_options o = {.listen = address, .handle = handler};
	char why[200];
	assert_null(http_server_new(loop, &o, why, sizeof(why)));
	assert_int_equal(unlink(address + 5), 0);
	loop_free(loop);
	rmdir(folder);
}

// Whichever allocation fails: no crash, nothing leaked, and the next request is answered.
static void no_memory(void **state)
{
	(void)state;
	char why[200];
	bool failed = true;
	struct loop *loop = loop_new();
	for (uint64_t n = 1; failed; n++) {
		mem_fail_at(n);
		struct http_options o = {.listen = "127.0.0.1:0", .handle = handler};
		struct http_server *s = http_server_new(loop, &o, why, sizeof(why));
		failed = mem_fail_seen() >= n;
		mem_fail_at(0);
		if (!s)
			assert_int_equal(errno, ENOMEM);
		http_server_free(s);
		assert_int_equal(mem_used(ACCOUNT_NET), 0);
	}
	loop_free(loop);
	start(&(struct http_options){0});
	failed = true;
	for (uint64_t n = 1; failed; n++) {
		t.server->paused = false;
		watch_set(t.server->watch, LOOP_READ);
		int fd = dial();
		say_to(fd, "GET /a?x=1 HTTP/1.1\r\nHost: h\r\n\r\nGET /stream?x HTTP/1.1\r\nHost: "
			   "h\r\n\r\n");
		mem_fail_at(n);
		hear(fd, 15);
		failed = mem_fail_seen() >= n;
		mem_fail_at(0);
		close(fd);
		turns(3);
		assert_true(n < 1000);
	}
	t.server->paused = false;
	watch_set(t.server->watch, LOOP_READ);
	ask("GET /fine HTTP/1.1\r\nHost: h\r\n\r\n");
	HAS("GET /fine");
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answers),
	    cmocka_unit_test(refusals),
	    cmocka_unit_test(requests),
	    cmocka_unit_test(pipelined_and_dribbled),
	    cmocka_unit_test(streams),
	    cmocka_unit_test(slow_peers),
	    cmocka_unit_test(peers_that_leave),
	    cmocka_unit_test(too_many),
	    cmocka_unit_test(places_are_not_held_for_ever),
	    cmocka_unit_test(out_of_descriptors),
	    cmocka_unit_test(addresses),
	    cmocka_unit_test(unix_sockets),
	    cmocka_unit_test(no_memory),
	};
	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
