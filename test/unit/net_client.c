// SPDX-License-Identifier: Apache-2.0
// Requests and answers over a real loopback socket: what is sent, what is made of what comes back.
#include "net_scene.h"

#include "../../modules/net/client.c"

static void ends_with(const char *why, const char *tail)
{
	if (strlen(why) < strlen(tail) || strcmp(why + strlen(why) - strlen(tail), tail) != 0)
		fail_msg("\"%s\" does not end with \"%s\"", why, tail);
}

static void holds(const char *why, const char *part)
{
	if (!strstr(why, part))
		fail_msg("\"%s\" does not hold \"%s\"", why, part);
}

static void a_request_is_as_it_should_be(void **state)
{
	(void)state;
	scene();
	const char *headers[] = {"X-Scope-OrgID: tenant-1", "x-token:" SECRET, NULL};
	client_of("http://us%%65r:" SECRET "@127.0.0.1:%u/v1/logs?a=b",
	    &(struct http_client_options){.headers = headers});
	ask();
	assert_int_equal(s.result.error, 0);
	assert_int_equal(s.result.status, 200);
	assert_int_equal(s.result.grpc_status, -1);
	assert_true(s.result.reached);
	assert_string_equal(s.body, "{}");
	assert_string_equal(s.why, "");
	char head[600];
	snprintf(head, sizeof(head),
	    "POST /v1/logs?a=b HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nX-Scope-OrgID: "
	    "tenant-1\r\nx-token: " SECRET
	    "\r\nAuthorization: Basic dXNlcjpzM2NyM3Q=\r\nUser-Agent: test/1\r\n"
	    "Content-Type: application/x-protobuf\r\nContent-Encoding: gzip\r\nContent-Length: "
	    "20\r\n\r\n"
	    "abcdefghijklmnopqrst",
	    s.port);
	assert_string_equal(s.request.at, head);
	strike();
}

static void a_connection_is_kept(void **state)
{
	(void)state;
	scene();
	client_of("http://127.0.0.1:%u/", NULL);
	for (int i = 0; i < 3; i++)
		ask();
	assert_int_equal(s.accepted, 1);
	assert_int_equal(post_now(), 0);
	assert_int_equal(post_now(), -EBUSY);
	UNTIL(s.done == 4);
	// The peer closes while nothing is under way: seen at once, and another one is opened.
	hang_up_(&s.peers[0], false);
	steps(20);
	assert_int_equal(s.client->transport->stage, CLOSED);
	ask();
	assert_int_equal(s.result.status, 200);
	assert_int_equal(s.accepted, 2);
	// What it sends without being asked ends the connection, and is no answer to the next
	// request.
	assert_int_equal(send(s.peers[0].fd, "HTTP/1.1 500 X\r\n\r\n", 18, 0), 18);
	ask();
	assert_int_equal(s.result.status, 200);
	assert_int_equal(s.accepted, 3);
	strike();
}

static void a_kept_connection_that_closes_is_tried_once_more(void **state)
{
	(void)state;
	scene();
	s.script.drops_second = true;
	client_of("http://127.0.0.1:%u/", NULL);
	ask();
	ask();
	assert_int_equal(s.result.error, 0);
	assert_int_equal(s.result.status, 200);
	assert_int_equal(s.accepted, 2);
	assert_int_equal(s.requests, 3);
	// But not again and again: a new connection that fails is a failure.
	s.script = (struct script){.reset_in = 10};
	for (unsigned i = 0; i < PEERS; i++)
		if (s.peers[i].fd >= 0)
			s.peers[i].read = 0;
	ask();
	assert_int_equal(s.result.error, -ECONNRESET);
	assert_int_equal(s.accepted, 3);
	holds(s.why, "send to 127.0.0.1:");
	ends_with(s.why, "it closed the connection without an answer");
	strike();
}

static void a_reset_after_each_byte_of_the_request(void **state)
{
	(void)state;
	size_t whole = 1;
	for (size_t n = 0; n <= whole; n++) {
		scene();
		s.script.reset_in = n + 1;
		client_of("http://127.0.0.1:%u/", NULL);
		ask();
		s.script.reset_in = 0;
		if (n == whole) {
			// All of it is there, and the answer comes before the reset.
			assert_true(s.result.status == 200 || s.result.error == -ECONNRESET);
		} else {
			assert_int_equal(s.result.error, -ECONNRESET);
			assert_true(s.result.reached || !n);
			assert_int_equal(s.result.status, 0);
		}
		// The next one is as good as any.
		ask();
		assert_int_equal(s.result.status, 200);
		whole = s.request.len;
		strike();
	}
	assert_true(whole > 100);
}

static void a_reset_after_each_byte_of_the_answer(void **state)
{
	(void)state;
	static const char answer[] =
	    "HTTP/1.1 503 X\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbody";
	size_t head = sizeof(answer) - 1 - 4;
	for (size_t n = 0; n < sizeof(answer); n++) {
		scene();
		s.script = (struct script){.answer = answer, .reset_out = n + 1};
		client_of("http://127.0.0.1:%u/", NULL);
		ask();
		assert_true(s.result.reached);
		assert_int_equal(s.accepted, 1);
		assert_int_equal(s.result.error, n < head ? -ECONNRESET : 0);
		assert_int_equal(s.result.status, n < head ? 0 : 503);
		assert_int_equal(s.result.retry_after_ns, n < head ? 0 : 7 * NS_PER_S);
		assert_string_equal(s.body, n == sizeof(answer) - 1 ? "body" : "");
		if (n < head)
			ends_with(s.why, n ? "it closed the connection in the middle of its answer"
					   : "it closed the connection without an answer");
		s.script = (struct script){0};
		ask();
		assert_int_equal(s.result.status, 200);
		strike();
	}
}

static const struct {
	const char *answer;
	int error, status;
	uint64_t retry_s;
	const char *body, *why;
	bool kept;
	size_t size; // 0: up to the NUL
} answers_[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, 200, 0, "", "", true},
    {"HTTP/1.1 204 No Content\r\n\r\n", 0, 204, 0, "", "", true},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 0, 204, 0, "", "", true},
    {"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n", 0, 304,
	0, "", "it leads elsewhere, which is not followed: give the URL that it leads to", false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	-EPROTO, 0, 0, "", "its answer is no HTTP/1.1", false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\nT: "
     "t\r\n\r\n",
	0, 200, 0, "abc", "", true},
    {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", 0, 200, 0, "x", "",
	false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 0, 200, 0, "x", "", false},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nRetry-After: 9\r\n\r\nHTTP/1.1 200 "
     "OK\r\nContent-Length: 0\r\n\r\n",
	0, 200, 0, "", "", true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200", 0, 200, 0, "x", "", false},
    {"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 30 \r\nContent-Length: 0\r\n\r\n", 0, 429, 30,
	"", "it answered 429 Too Many Requests", true},
    {"HTTP/1.1 503 X\r\nRETRY-AFTER:\tThu, 01 Jan 2026 00:00:10 GMT\r\nContent-Length: "
     "0\r\n\r\n",
	0, 503, 10, "", "it answered 503 Service Unavailable", true},
    {"HTTP/1.1 400 Bad\r\nContent-Length: 3\r\n\r\nbad", 0, 400, 0, "bad",
	"it answered 400 Bad Request", true},
    {"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n", 0, 404, 0, "",
	"404 Not Found: is the path of its URL right?", true},
    {"HTTP/1.1 307 X\r\nLocation: http://other/?" SECRET "\r\nContent-Length: 0\r\n\r\n", 0, 307, 0,
	"",
	"307 Temporary Redirect: it leads elsewhere, which is not followed: give the URL "
	"that it leads to",
	true},
    {"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", 0, 999, 0, "", "it answered 999", true},
    {"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", -EPROTO, 0, 0, "",
	"it changes to another protocol (101)", false},
    {"HTTP/2.0 200 OK\r\n\r\n", -EPROTO, 0, 0, "", "it speaks another version of HTTP than 1.1",
	false},
    {"HTTP/1.1 503 X\r\nRetry-After:\0 7\r\nContent-Length: 0\r\n\r\n", -EPROTO, 0, 0, "",
	"NUL in a header of its answer", false, 54},
    {"SSH-2.0-OpenSSH_9.2\r\n", -EPROTO, 0, 0, "", "its answer is no HTTP/1.1", false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", -EPROTO, 0, 0, "",
	"its answer is no HTTP/1.1", false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 0, 200, 0, "", "", false},
};

static void what_answers_mean(void **state)
{
	(void)state;
	const uint64_t wall = 1767225600 * NS_PER_S; // 2026-01-01
	clock_fake(NULL, &wall);
	for (size_t i = 0; i < sizeof(answers_) / sizeof(*answers_); i++) {
		scene();
		s.script.answer = answers_[i].answer;
		s.script.answer_size = answers_[i].size;
		client_of("http://127.0.0.1:%u/", NULL);
		ask();
		assert_int_equal(s.result.error, answers_[i].error);
		assert_int_equal(s.result.status, answers_[i].status);
		assert_int_equal(s.result.retry_after_ns, answers_[i].retry_s * NS_PER_S);
		assert_string_equal(s.body, answers_[i].body);
		ends_with(s.why, answers_[i].why);
		assert_int_equal(s.client->transport->stage == OPEN, answers_[i].kept);
		strike();
	}
	clock_fake(NULL, NULL);
}

static void retry_after_in_all_forms(void **state)
{
	(void)state;
	const uint64_t now = 784111777 * NS_PER_S - 5; // of RFC 9110's example
	assert_int_equal(answer_retry_after("Sun, 06 Nov 1994 08:49:38 GMT", now), NS_PER_S + 5);
	assert_int_equal(answer_retry_after("Sunday, 06-Nov-94 08:49:38 GMT", now), NS_PER_S + 5);
	assert_int_equal(answer_retry_after("Sun Nov  6 08:49:38 1994", now), NS_PER_S + 5);
	assert_int_equal(answer_retry_after("Sun, 06 Nov 1994 08:49:36 GMT", now), 0);
	assert_int_equal(
	    answer_retry_after("Sun, 06 Nov 2994 08:49:36 GMT", now), 86400 * NS_PER_S);
	assert_int_equal(answer_retry_after("99999999999999999999999", now), 86400 * NS_PER_S);
	assert_int_equal(answer_retry_after("0", now), 0);
	const char *bad[] = {"", "-1", "1.5", "soon", "Sun, 06 Nov 1994 08:49:38 GMT+1",
	    "Sun, 99 Nov 1994 08:49:38 GMT"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(answer_retry_after(bad[i], now), 0);
}

// SIZE bytes behind HEAD.
static char *long_answer(const char *head, char fill, size_t size)
{
	char *answer = malloc(strlen(head) + size + 1);
	memcpy(answer, head, strlen(head));
	memset(answer + strlen(head), fill, size);
	answer[strlen(head) + size] = 0;
	return answer;
}

static void answers_without_end_have_one(void **state)
{
	(void)state;
	static const struct {
		const char *head;
		size_t size;
		int error, status;
		size_t kept;
	} rows[] = {
	    {"HTTP/1.1 200 OK\r\nX: ", 100000, -EPROTO, 0, 0},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n", 70000, 0, 200, HTTP_ANSWER_MAX},
	    {"HTTP/1.1 200 OK\r\n\r\n", 70000, 0, 200, HTTP_ANSWER_MAX}, // ends with the connection
	    {"HTTP/1.1 200 OK\r\nContent-Length: 99000000\r\n\r\n", 9000000, 0, 200,
		HTTP_ANSWER_MAX},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		scene();
		char *answer = long_answer(rows[i].head, 'x', rows[i].size);
		s.script.answer = answer;
		s.script.hangs_up = true;
		client_of("http://127.0.0.1:%u/", NULL);
		ask();
		assert_int_equal(s.result.error, rows[i].error);
		assert_int_equal(s.result.status, rows[i].status);
		assert_int_equal(s.result.size, rows[i].kept);
		if (rows[i].error)
			ends_with(s.why, "the head of its answer does not end within 32 KiB");
		strike();
		free(answer);
	}
	// 1xx answers for ever.
	scene();
	struct text many = TEXT(ACCOUNT_WIRE);
	for (int i = 0; i < 2000; i++)
		text_puts(&many, "HTTP/1.1 102 Processing\r\n\r\n");
	s.script.answer = many.at;
	client_of("http://127.0.0.1:%u/", NULL);
	ask();
	assert_int_equal(s.result.error, -EPROTO);
	strike();
	text_free(&many);
}

static void a_long_upload_is_streamed_to_a_slow_reader(void **state)
{
	(void)state;
	scene();
	s.size = 3000000;
	s.script.sip = 40000;
	setsockopt(s.listener, SOL_SOCKET, SO_RCVBUF, &(int){8192}, sizeof(int));
	uint64_t before = mem_used(ACCOUNT_NET);
	client_of("http://127.0.0.1:%u/", NULL);
	assert_int_equal(post_now(), 0);
	while (!s.done) {
		uint64_t had = s.most;
		step();
		assert_true(s.most - had <= 300000);
		assert_true(mem_used(ACCOUNT_NET) - before < 40000);
	}
	assert_int_equal(s.result.status, 200);
	const char *body = strstr(s.request.at, "\r\n\r\n") + 4;
	assert_int_equal(s.request.len - (size_t)(body - s.request.at), s.size);
	for (uint64_t i = 0; i < s.size; i++)
		if (body[i] != letter(i))
			fail_msg("byte %lu", (unsigned long)i);
	strike();
}

static void an_answer_in_the_middle_of_the_upload_counts(void **state)
{
	(void)state;
	for (int hangs_up = 0; hangs_up < 2; hangs_up++) {
		scene();
		s.size = 100000000;
		s.script = (struct script){.early = true,
		    .hangs_up = hangs_up,
		    .answer = "HTTP/1.1 413 X\r\nContent-Length: 3\r\n\r\nbig"};
		client_of("http://127.0.0.1:%u/", NULL);
		ask();
		assert_int_equal(s.result.error, 0);
		assert_int_equal(s.result.status, 413);
		assert_true(s.most < s.size);
		ends_with(s.why, "it does not take requests of this size");
		assert_int_equal(s.client->transport->stage, CLOSED);
		strike();
	}
	// The head of a refusal is enough to send no more.
	scene();
	s.size = 100000000;
	s.script = (struct script){
	    .early = true, .answer = "HTTP/1.1 413 X\r\nContent-Length: 9\r\n\r\nbig"};
	client_of(
	    "http://127.0.0.1:%u/", &(struct http_client_options){.timeout_ns = 150 * NS_PER_MS});
	assert_int_equal(post_now(), 0);
	UNTIL(s.client->answer.headed);
	uint64_t most = s.most;
	UNTIL(s.done);
	assert_int_equal(s.result.status, 413);
	assert_int_equal(s.most, most);
	strike();
}

static void a_body_that_cannot_be_read_ends_the_request(void **state)
{
	(void)state;
	scene();
	client_of("http://127.0.0.1:%u/", NULL);
	s.size = 100000;
	s.read_error = -EBADMSG;
	ask();
	assert_int_equal(s.result.error, -EBADMSG);
	holds(s.why, "the request's body cannot be read");
	s.read_error = 0;
	ask();
	assert_int_equal(s.result.status, 200);
	assert_int_equal(s.accepted, 2); // half a request is never followed by another
	strike();
}

static void silence_ends_with_the_timeout(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		scene();
		struct http_client_options o = {.timeout_ns = 30 * NS_PER_MS};
		s.script.mute = i == 0;
		s.script.stands = i == 1; // the kernel takes the connection, nobody reads
		if (i == 2)
			s.script = (struct script){
			    .answer =
				"HTTP/1.1 503 X\r\nRetry-After: 3\r\nContent-Length: 9\r\n\r\nbo"};
		s.size = i == 1 ? 50000000 : 20;
		client_of("http://127.0.0.1:%u/", &o);
		uint64_t start = clock_now();
		ask();
		assert_true(clock_now() - start >= 30 * NS_PER_MS);
		assert_int_equal(s.result.error, i == 2 ? 0 : -ETIMEDOUT);
		assert_int_equal(s.result.status, i == 2 ? 503 : 0);
		assert_true(s.result.reached);
		if (i < 2)
			holds(s.why, "no answer in time");
		s.script = (struct script){0};
		s.size = 20;
		ask();
		assert_int_equal(s.result.status, 200);
		strike();
	}
}

static void it_may_be_freed_at_any_time(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 12; n++) {
		scene();
		client_of("http://127.0.0.1:%u/", NULL);
		assert_int_equal(post_now(), 0);
		steps(n);
		strike();
	}
	for (int i = 0; i < 3;
	     i++) { // inside DONE: after an answer, a closed connection, a timeout
		scene();
		s.frees = true;
		s.script =
		    (struct script){.hangs_up = i == 1, .mute = i == 2, .reset_in = i == 1 ? 5 : 0};
		client_of("http://127.0.0.1:%u/",
		    &(struct http_client_options){.timeout_ns = 20 * NS_PER_MS});
		ask();
		assert_null(s.client);
		strike();
	}
	scene();
	s.posts = true; // the next request from inside DONE
	client_of("http://127.0.0.1:%u/", NULL);
	ask();
	assert_string_equal(s.body, "{}");
	UNTIL(s.done == 2);
	assert_int_equal(s.result.status, 200);
	assert_int_equal(s.accepted, 1);
	strike();
}

static void options_that_are_wrong_say_so(void **state)
{
	(void)state;
	static const struct {
		const char *url, *header, *proxy, *why;
	} rows[] = {
	    {"collector:4318", NULL, NULL,
		"url (not shown): it must begin with http:// or https://"},
	    {"ftp://x/", NULL, NULL, "url (not shown): it must begin with http:// or https://"},
	    {"http:///path", NULL, NULL, "url http://: it names no host"},
	    {"http://u:" SECRET "@/", NULL, NULL, "url http://: it names no host"},
	    {"http://u:" SECRET "@h:0/", NULL, NULL,
		"url http://h:0: its port is not a number from 1 to 65535"},
	    {"http://u:" SECRET "@h:/", NULL, NULL,
		"url http://h:: its port is not a number from 1 to 65535"},
	    {"http://u:" SECRET "@h:65536/", NULL, NULL,
		"url http://h:65536: its port is not a number from 1 to 65535"},
	    {"http://::1/", NULL, NULL, "url http://::1: it names no host"},
	    {"http://[::1/", NULL, NULL, "an IPv6 address stands in brackets: http://[::1]:4318/"},
	    {"http://[collector]/", NULL, NULL, "that is no IPv6 address"},
	    {"http://a..b/", NULL, NULL,
		"its host is neither a name (punycode beyond ASCII) nor an IP address"},
	    {"http://u:a/" SECRET "@h/", NULL, NULL, "are written %2F, %3F and %40"},
	    {"http://" SECRET "/x@h/", NULL, NULL, "are written %2F, %3F and %40"},
	    {"http://u:%zz" SECRET "@h/", NULL, NULL,
		"url http://h: its user and password are too long, or a \"%\" in them is not %25"},
	    {"http://h/a b", NULL, NULL, "control or non-ASCII character in it: write it as %XX"},
	    {"http://h/", "X-Token: " SECRET "\r\nX-Other: 1", NULL,
		"header 1 (X-Token): its value has a line break in it: is there one at the end of "
		"its file?"},
	    {"http://h/", SECRET, NULL, "header 1: it is not written \"Name: value\""},
	    {"http://h/", "X " SECRET ": x", NULL, "header 1: it is not written \"Name: value\""},
	    {"http://h/", "A: b\001", NULL,
		"header 1 (A): its value has a control character in it"},
	    {"http://h/", "content-Length: 3", NULL,
		"header 1 (content-Length): it is made from the request itself: leave it out"},
	    {"http://h/", NULL, "https://u:" SECRET "@p:3128",
		"proxy https://p:3128: a proxy is spoken to over http:// alone (CONNECT): name "
		"such a one, or leave it empty for none"},
	    {"http://h/", NULL, "socks5://u:" SECRET "@p:3128",
		"proxy socks5://p:3128: a proxy is spoken to over http:// alone (CONNECT): name "
		"such a one, or leave it empty for none"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char why[300] = "";
		const char *headers[] = {rows[i].header, NULL};
		struct http_client_options o = {.url = rows[i].url,
		    .headers = headers,
		    .proxy = rows[i].proxy ? rows[i].proxy : ""};
		errno = 0;
		assert_null(http_client_new(NULL, &o, why, sizeof(why)));
		assert_int_equal(errno, EINVAL);
		assert_null(strstr(why, SECRET));
		ends_with(why, rows[i].why);
	}
	assert_int_equal(mem_used(ACCOUNT_NET), 0);
	http_client_free(NULL);
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	unsigned failed = 0;
	for (uint64_t n = 1;; n++) {
		scene();
		const char *headers[] = {"A: b", NULL};
		struct http_client_options o = {.headers = headers, .timeout_ns = 5 * NS_PER_S};
		s.script.answer =
		    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
		mem_fail_at(n);
		client_of("http://u:p@localhost:%u/", &o);
		int error = s.client ? post_now() : -ENOMEM;
		for (unsigned i = 0; !error && !s.done && i < 20000; i++)
			steps(1);
		bool more = mem_fail_seen() >= n;
		mem_fail_at(0);
		assert_true(!s.client || error || s.done);
		failed += !s.client || error || s.result.error;
		if (s.client && !error && !s.result.error)
			assert_int_equal(s.result.status, 200);
		if (s.client) { // and afterwards it is as if nothing had been
			ask();
			assert_int_equal(s.result.status, 200);
			assert_string_equal(s.body, "ab");
		}
		strike();
		if (!more)
			break;
	}
	assert_true(failed > 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_request_is_as_it_should_be),
	    cmocka_unit_test(a_connection_is_kept),
	    cmocka_unit_test(a_kept_connection_that_closes_is_tried_once_more),
	    cmocka_unit_test(a_reset_after_each_byte_of_the_request),
	    cmocka_unit_test(a_reset_after_each_byte_of_the_answer),
	    cmocka_unit_test(what_answers_mean),
	    cmocka_unit_test(retry_after_in_all_forms),
	    cmocka_unit_test(answers_without_end_have_one),
	    cmocka_unit_test(a_long_upload_is_streamed_to_a_slow_reader),
	    cmocka_unit_test(an_answer_in_the_middle_of_the_upload_counts),
	    cmocka_unit_test(a_body_that_cannot_be_read_ends_the_request),
	    cmocka_unit_test(silence_ends_with_the_timeout),
	    cmocka_unit_test(it_may_be_freed_at_any_time),
	    cmocka_unit_test(options_that_are_wrong_say_so),
	    cmocka_unit_test(every_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
