// SPDX-License-Identifier: Apache-2.0
// gRPC calls against a server session of the same HTTP/2 library, all in memory.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/net/grpc_status.c"
#include "../../modules/net/grpc.c"

#include <stdlib.h>

// What the server is to do with a call.
static struct plan {
	const char *status, *type; // of HTTP; NULL: 200, application/grpc
	const char *grpc, *message, *details, *retry;
	const void *answer; // with its prefix
	size_t answer_len;
	bool early;	// answers before the body is there
	bool no_window; // takes no more than the first window
	uint32_t reset; // RST_STREAM with this code
	bool goaway_before, goaway_after;
} plan;

static struct {
	nghttp2_session *session;
	struct grpc_call *call;
	struct text body, headers;
	size_t piece; // bytes fed at once
	uint64_t answered;
	unsigned calls, resets, reset_code, pings;
	int client_error;
	int64_t output_error;
} t;

static ssize_t answer_data(nghttp2_session *s, int32_t stream, uint8_t *to, size_t size,
    uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	(void)source;
	(void)arg;
	size_t left = plan.answer_len - t.answered, n = left < size ? left : size;
	memcpy(to, (const char *)plan.answer + t.answered, n);
	t.answered += n;
	if (t.answered < plan.answer_len)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	nghttp2_nv trailer[4];
	size_t count = 0;
	if (plan.grpc)
		trailer[count++] = nv("grpc-status", plan.grpc, 0);
	if (plan.message)
		trailer[count++] = nv("grpc-message", plan.message, 0);
	if (plan.details)
		trailer[count++] = nv("grpc-status-details-bin", plan.details, 0);
	if (count) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		nghttp2_submit_trailer(s, stream, trailer, count);
	}
	return (ssize_t)n;
}

static void answer(nghttp2_session *s, int32_t stream)
{
	nghttp2_nv head[6];
	size_t n = 0;
	nghttp2_data_provider data = {.read_callback = answer_data};
	t.calls++;
	t.answered = 0;
	if (plan.goaway_before) {
		nghttp2_submit_goaway(
		    s, 0, stream - 2 < 0 ? 0 : stream - 2, NGHTTP2_NO_ERROR, NULL, 0);
		return;
	}
	if (plan.reset) {
		nghttp2_submit_rst_stream(s, 0, stream, plan.reset);
		return;
	}
	head[n++] = nv(":status", plan.status ? plan.status : "200", 0);
	head[n++] = nv("content-type", plan.type ? plan.type : "application/grpc+proto", 0);
	if (plan.retry)
		head[n++] = nv("retry-after", plan.retry, 0);
	if (!plan.answer) { // trailers only
		if (plan.grpc)
			head[n++] = nv("grpc-status", plan.grpc, 0);
		if (plan.message)
			head[n++] = nv("grpc-message", plan.message, 0);
		if (plan.details)
			head[n++] = nv("grpc-status-details-bin", plan.details, 0);
	}
	nghttp2_submit_response(s, stream, head, n, plan.answer ? &data : NULL);
	if (plan.goaway_after)
		nghttp2_submit_goaway(s, 0, stream, NGHTTP2_NO_ERROR, NULL, 0);
}

static int server_frame(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
	(void)arg;
	if (f->hd.type == NGHTTP2_RST_STREAM) {
		t.resets++;
		t.reset_code = f->rst_stream.error_code;
	}
	t.pings += f->hd.type == NGHTTP2_PING && (f->hd.flags & NGHTTP2_FLAG_ACK);
	bool end_ = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
	if (f->hd.type == NGHTTP2_HEADERS ? plan.early || end_
					  : f->hd.type == NGHTTP2_DATA && end_ && !plan.early)
		answer(s, f->hd.stream_id);
	return 0;
}

static int server_data(
    nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *bytes, size_t n, void *arg)
{
	(void)flags;
	(void)arg;
	text_add(&t.body, bytes, n);
	if (!plan.no_window)
		nghttp2_session_consume(s, stream, n);
	return 0;
}

static int server_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_len, const uint8_t *value, size_t len, uint8_t flags, void *arg)
{
	(void)s;
	(void)frame;
	(void)arg;
	text_printf(&t.headers, "%.*s: %.*s%s\n", (int)name_len, (const char *)name, (int)len,
	    (const char *)value, flags & NGHTTP2_NV_FLAG_NO_INDEX ? " (not kept)" : "");
	return 0;
}

static void server_open(void)
{
	nghttp2_session_callbacks *c;
	nghttp2_option *o;
	assert_int_equal(nghttp2_session_callbacks_new(&c), 0);
	assert_int_equal(nghttp2_option_new(&o), 0);
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, server_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, server_data);
	nghttp2_session_callbacks_set_on_header_callback(c, server_header);
	assert_int_equal(nghttp2_session_server_new2(&t.session, c, NULL, o), 0);
	nghttp2_session_callbacks_del(c);
	nghttp2_option_del(o);
	nghttp2_submit_settings(t.session, 0, NULL, 0);
	t.body = TEXT(ACCOUNT_PATH);
	t.headers = TEXT(ACCOUNT_PATH);
	t.calls = t.resets = t.pings = 0;
	t.client_error = 0;
	t.output_error = 0;
}

static void start_up(void)
{
	static const char *const headers[] = {"X-Scope-OrgID: tenant 1 ",
	    "Authorization:Bearer abc", "Host: elsewhere", "TE: gzip", NULL};
	server_open();
	t.piece = 1 << 20;
	t.call = grpc_new("collector.example:4317", "/a.B/Export", "https", headers, "telegen/1");
	assert_non_null(t.call);
}

static void tear_down(void)
{
	grpc_free(t.call);
	nghttp2_session_del(t.session);
	text_free(&t.body);
	text_free(&t.headers);
	t.call = NULL;
	assert_int_equal(mem_used(ACCOUNT_NET), 0);
}

// Bytes go both ways until nothing moves.
static void run(void)
{
	for (bool moved = true; moved;) {
		const void *bytes;
		const uint8_t *from;
		int64_t n;
		ssize_t m;
		moved = false;
		while ((n = grpc_output(t.call, &bytes)) != 0) {
			if (n < 0) {
				t.output_error = n;
				break;
			}
			size_t some = (size_t)n < t.piece ? (size_t)n : t.piece;
			if (nghttp2_session_mem_recv(t.session, bytes, some) < 0)
				return;
			grpc_sent(t.call, some);
			moved = true;
		}
		while ((m = nghttp2_session_mem_send(t.session, &from)) > 0)
			for (moved = true; m > 0;) {
				size_t some = (size_t)m < t.piece ? (size_t)m : t.piece;
				uint8_t *copy = malloc(some); // so that a sanitizer sees its end
				memcpy(copy, from, some);
				int error = grpc_feed(t.call, copy, some);
				free(copy);
				if (error) {
					t.client_error = error;
					return;
				}
				from += some;
				m -= (ssize_t)some;
			}
	}
}

static uint64_t body_error_at;
static int64_t read_body(void *arg, uint64_t at, void *bytes, size_t size)
{
	(void)arg;
	if (body_error_at && at >= body_error_at)
		return -EIO;
	size_t n = size < 1000 ? size : 1000;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)bytes)[i] = (uint8_t)((at + i) * 31 >> 3);
	return (int64_t)n;
}

static struct http_result r;
static bool call(uint64_t size, const char *encoding)
{
	struct http_post post = {.content_type = "application/x-protobuf",
	    .content_encoding = encoding,
	    .size = size,
	    .read = read_body};
	memset(&r, 0x5a, sizeof(r));
	r.reached = true;
	t.body.len = 0;
	if (t.body.at)
		text_reset(&t.body);
	assert_int_equal(grpc_start(t.call, &post), 0);
	assert_false(grpc_done(t.call, NULL));
	assert_int_equal(grpc_start(t.call, &post), -EBUSY);
	run();
	return grpc_done(t.call, &r);
}

static void test_success(void **state)
{
	(void)state;
	static const size_t pieces[] = {1 << 20, 1, 7};
	for (size_t i = 0; i < 3; i++) {
		start_up();
		t.piece = pieces[i];
		plan = (struct plan){.grpc = "0", .answer = "\0\0\0\0\3abc", .answer_len = 8};
		for (int turn = 0; turn < 3; turn++) {
			assert_true(call(turn * 100, turn ? "gzip" : NULL));
			assert_int_equal(r.error, 0);
			assert_true(r.reached);
			assert_int_equal(r.status, 200);
			assert_int_equal(r.grpc_status, 0);
			assert_int_equal(r.retry_after_ns, 0);
			assert_int_equal(r.size, 3);
			assert_memory_equal(r.body, "abc", 3);
			assert_string_equal(r.why, "");
			assert_int_equal(t.body.len, 5 + turn * 100);
			const uint8_t prefix[] = {turn > 0, 0, 0, 0, (uint8_t)(turn * 100)};
			assert_memory_equal(t.body.at, prefix, 5);
			assert_true(grpc_usable(t.call));
		}
		assert_int_equal(t.resets, 0);
		static const char *const wanted[] = {":method: POST\n", ":scheme: https\n",
		    ":path: /a.B/Export\n", ":authority: collector.example:4317\n",
		    "te: trailers\n", "content-type: application/grpc\n", "grpc-encoding: gzip\n",
		    "user-agent: telegen/1\n", "x-scope-orgid: tenant 1 (not kept)\n",
		    "authorization: Bearer abc (not kept)\n"};
		for (size_t w = 0; w < sizeof(wanted) / sizeof(wanted[0]); w++)
			if (!strstr(t.headers.at, wanted[w]))
				fail_msg("no %s in %s", wanted[w], t.headers.at);
		assert_null(strstr(t.headers.at, "elsewhere"));
		assert_null(strstr(t.headers.at, "te: gzip"));
		tear_down();
	}
}

// A message of many windows, which is read as the peer takes it.
static void test_big(void **state)
{
	(void)state;
	start_up();
	plan = (struct plan){.grpc = "0", .answer = "\0\0\0\0\0", .answer_len = 5};
	assert_true(call(1 << 20, NULL));
	assert_int_equal(r.grpc_status, 0);
	assert_int_equal(r.size, 0);
	assert_int_equal(t.body.len, 5 + (1 << 20));
	for (size_t i = 0; i < 1 << 20; i++)
		if ((uint8_t)t.body.at[5 + i] != (uint8_t)(i * 31 >> 3))
			fail_msg("byte %zu", i);
	plan.no_window = true;
	assert_false(call(1 << 20, NULL));
	assert_true(t.body.len <= 65535);
	assert_true(t.call->at <= 65535);
	const void *bytes;
	assert_int_equal(grpc_output(t.call, &bytes), 0);
	tear_down();
}

static size_t add(uint8_t *to, uint8_t tag, const void *bytes, size_t n)
{
	to[0] = tag;
	to[1] = (uint8_t)n;
	memcpy(to + 2, bytes, n);
	return n + 2;
}

// google.rpc.Status with a detail of TYPE that holds the bytes of a Duration, in base64.
static const char *details(const char *type, const void *duration_, size_t n)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static char out[300];
	uint8_t info[64], any[128], status[200] = {8, 8, 0x12, 4, 's', 'l', 'o', 'w'};
	size_t len = add(info, 0x0a, duration_, n), all = add(any, 0x0a, type, strlen(type)), o = 0;
	all += add(any + all, 0x12, info, len);
	all = 8 + add(status + 8, 0x1a, any, all);
	for (size_t i = 0; i < all; i += 3) {
		uint32_t v = (uint32_t)status[i] << 16 | (i + 1 < all ? status[i + 1] << 8 : 0) |
			     (i + 2 < all ? status[i + 2] : 0);
		for (size_t k = 0; k < 4; k++)
			out[o++] = i + k <= all ? digits[v >> (18 - 6 * k) & 63] : '=';
	}
	out[o] = '\0';
	return out;
}

#define RETRY_TYPE "type.googleapis.com/google.rpc.RetryInfo"

static void test_errors(void **state)
{
	(void)state;
	const uint8_t delay[] = {8, 7, 0x10, 0x80, 0xca, 0xb5, 0xee, 1};
	static const struct {
		struct plan plan;
		int error, status, grpc;
		uint64_t retry_ms;
		const char *why;
		bool untaken, details;
	} cases[] = {
	    {{.grpc = "14", .message = "try%20later%0A%25 %zz%"}, 0, 200, 14, 0,
		"UNAVAILABLE: try later % %zz%"},
	    {{.grpc = "8", .message = "slow", .answer = "", .answer_len = 0}, 0, 200, 8, 7500,
		"RESOURCE_EXHAUSTED: slow", false, true},
	    {{.grpc = "8"}, 0, 200, 8, 7500, "RESOURCE_EXHAUSTED", false, true},
	    {{.grpc = "99", .message = "%ff%C3%A9"}, 0, 200, 99, 0, "status 99: ???"},
	    {{.grpc = "x", .message = "%C3%A9t%C3%A9"}, 0, 200, 2, 0, "UNKNOWN: \xc3\xa9t\xc3\xa9"},
	    {{.status = "503", .type = "text/html", .retry = "3"}, 0, 503, 14, 3000,
		"UNAVAILABLE: HTTP status 503"},
	    {{.status = "401", .type = "text/plain", .answer = "no", .answer_len = 2}, 0, 401, 16,
		0, "UNAUTHENTICATED: HTTP status 401"},
	    {{.status = "429", .grpc = "8", .message = "m"}, 0, 429, 8, 0, "RESOURCE_EXHAUSTED: m"},
	    {{.type = "text/html", .answer = "<html>", .answer_len = 6}, 0, 200, 2, 0,
		"UNKNOWN: it answered without grpc-status: it is no gRPC server"},
	    {{.answer = "\0\0\0\0\1x", .answer_len = 6}, 0, 200, 2, 0,
		"UNKNOWN: it ended its answer without grpc-status"},
	    {{.reset = NGHTTP2_INTERNAL_ERROR}, -ECONNRESET, 0, -1, 0,
		"it reset the call (HTTP/2 INTERNAL_ERROR)"},
	    {{.reset = NGHTTP2_REFUSED_STREAM}, -ECONNRESET, 0, -1, 0, "REFUSED_STREAM", true},
	    {{.goaway_before = true}, -ECONNRESET, 0, -1, 0,
		"it is going away and did not take the call", true},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t piece = 1; piece < 2000; piece *= 40) {
			start_up();
			t.piece = piece;
			plan = cases[i].plan;
			if (cases[i].details)
				plan.details = details(RETRY_TYPE, delay, sizeof(delay));
			assert_true(call(300, NULL));
			if (!strstr(r.why, cases[i].why))
				fail_msg(
				    "case %zu: \"%s\" is not in \"%s\"", i, cases[i].why, r.why);
			assert_int_equal(r.error, cases[i].error);
			assert_int_equal(r.status, cases[i].status);
			assert_int_equal(r.grpc_status, cases[i].grpc);
			assert_int_equal(r.retry_after_ns, cases[i].retry_ms * NS_PER_MS);
			assert_int_equal(r.reached, !cases[i].untaken);
			assert_int_equal(grpc_usable(t.call), !cases[i].plan.goaway_before);
			if (grpc_usable(t.call)) { // and the next call is none the worse
				plan = (struct plan){
				    .grpc = "0", .answer = "\0\0\0\0\1y", .answer_len = 6};
				assert_true(call(10, NULL));
				assert_int_equal(r.error, 0);
				assert_int_equal(r.size, 1);
				assert_string_equal(r.why, "");
				assert_int_equal(r.retry_after_ns, 0);
			}
			tear_down();
		}
}

// The answer comes while the body is still on its way: the rest of it is not sent.
static void test_early(void **state)
{
	(void)state;
	start_up();
	plan = (struct plan){.early = true, .grpc = "16", .message = "who"};
	assert_true(call(1 << 20, NULL));
	assert_int_equal(r.grpc_status, 16);
	run();
	assert_true(t.body.len < 200000);
	assert_int_equal(t.resets, 1);
	assert_int_equal(t.reset_code, NGHTTP2_CANCEL);
	plan = (struct plan){.grpc = "0", .answer = "\0\0\0\0\0", .answer_len = 5};
	assert_true(call(100, NULL));
	assert_int_equal(r.grpc_status, 0);
	assert_int_equal(t.body.len, 105);
	tear_down();
}

static void test_body_fails(void **state)
{
	(void)state;
	start_up();
	plan = (struct plan){.grpc = "0", .answer = "\0\0\0\0\0", .answer_len = 5};
	body_error_at = 50000;
	assert_true(call(100000, NULL));
	body_error_at = 0;
	assert_int_equal(t.output_error, -EIO);
	assert_int_equal(r.error, -EIO);
	run();
	assert_int_equal(t.resets, 1);
	assert_int_equal(t.calls, 0);
	assert_true(call(100, NULL));
	assert_int_equal(r.grpc_status, 0);
	struct http_post post = {.size = 1ull << 32, .read = read_body};
	assert_int_equal(grpc_start(t.call, &post), -EFBIG);
	tear_down();
}

// GOAWAY after a call, PING between calls, an answer that is too big, one that is compressed.
static void test_connection(void **state)
{
	(void)state;
	static uint8_t big[HTTP_ANSWER_MAX + 50000];
	start_up();
	big[1] = (uint8_t)((sizeof(big) - 5) >> 24);
	big[2] = (uint8_t)((sizeof(big) - 5) >> 16);
	big[3] = (uint8_t)((sizeof(big) - 5) >> 8);
	big[4] = (uint8_t)(sizeof(big) - 5);
	plan = (struct plan){.grpc = "0", .answer = big, .answer_len = sizeof(big)};
	assert_true(call(1, NULL));
	assert_int_equal(r.grpc_status, 0);
	assert_int_equal(r.size, HTTP_ANSWER_MAX);
	nghttp2_submit_ping(t.session, 0, NULL);
	run();
	assert_int_equal(t.pings, 1);
	plan = (struct plan){.grpc = "0", .answer = "\1\0\0\0\2zz", .answer_len = 7};
	assert_true(call(1, NULL));
	assert_null(r.body);
	plan.goaway_after = true;
	assert_true(call(1, NULL));
	assert_int_equal(r.grpc_status, 0);
	assert_false(grpc_usable(t.call));
	struct http_post post = {.size = 1, .read = read_body};
	assert_int_equal(grpc_start(t.call, &post), -ENOTCONN);
	tear_down();
}

static void test_garbage(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t n;
	} said[] = {{"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", 47},
	    {"\0\0\4\0\0\0\0\0\1abcd", 13}, {"\x15\x03\x03\0\2\2\x28\0\0", 9},
	    {"\0\0\0\4\0\0\0\0\0\0\0\4\3\0\0\0\0\3abcd", 22}};
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		struct http_post post = {.size = 100, .read = read_body};
		start_up();
		assert_int_equal(grpc_start(t.call, &post), 0);
		const void *bytes;
		int64_t n;
		while ((n = grpc_output(t.call, &bytes)) > 0)
			grpc_sent(t.call, (size_t)n);
		int error = 0;
		for (size_t k = 0; k < said[i].n && !error; k++)
			error = grpc_feed(t.call, said[i].bytes + k, 1);
		assert_int_equal(error, -EPROTO);
		assert_true(grpc_done(t.call, &r));
		assert_int_equal(r.error, -EPROTO);
		assert_non_null(strstr(r.why, "HTTP/2"));
		assert_false(grpc_usable(t.call));
		assert_int_equal(grpc_feed(t.call, "x", 1), -EPROTO);
		tear_down();
	}
	static const char *const bad[] = {
	    "no colon", ": empty", "na me: x", "name: a\rb", "n\xc3: x"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *const headers[] = {bad[i], NULL};
		assert_null(grpc_new("a", "/", "http", headers, NULL));
		assert_int_equal(errno, EINVAL);
	}
	assert_int_equal(mem_used(ACCOUNT_NET), 0);
}

static void test_details(void **state)
{
	(void)state;
	const uint8_t delay[] = {8, 7, 0x10, 0x80, 0xca, 0xb5, 0xee, 1};
	const uint8_t less[] = {8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
	const uint8_t ages[] = {8, 0xff, 0xff, 0xff, 0xff, 0x7f};
	const char *good = details(RETRY_TYPE, delay, sizeof(delay));
	assert_int_equal(grpc_retry_delay(good, strlen(good)), 7500 * NS_PER_MS);
	for (size_t n = 0; n + 4 < strlen(good); n++) // cut anywhere
		grpc_retry_delay(good, n);
	const char *other =
	    details("type.googleapis.com/google.rpc.DebugInfo", delay, sizeof(delay));
	assert_int_equal(grpc_retry_delay(other, strlen(other)), 0);
	const char *odd = details(RETRY_TYPE, less, sizeof(less));
	assert_int_equal(grpc_retry_delay(odd, strlen(odd)), 0);
	odd = details(RETRY_TYPE, ages, sizeof(ages));
	assert_int_equal(grpc_retry_delay(odd, strlen(odd)), 86400 * NS_PER_S);
	assert_int_equal(grpc_retry_delay("!!!!", 4), 0);
	char small[6];
	grpc_message_text(
	    "abc%C3%A9xyz", 12, small, 5); // the second half of the letter has no room
	assert_string_equal(small, "abc");
}

static void test_memory(void **state)
{
	(void)state;
	unsigned failures = 0;
	for (uint64_t n = 1;; n++) {
		struct http_post post = {.size = 40000, .read = read_body};
		int error = -ENOMEM;
		server_open();
		t.piece = 1 << 20;
		plan = (struct plan){
		    .grpc = "0", .message = "m", .answer = "\0\0\0\0\3abc", .answer_len = 8};
		mem_fail_at(n);
		t.call = grpc_new("a", "/b", "http", (const char *const[]){"c: d", NULL}, "e");
		if (t.call && !(error = grpc_start(t.call, &post))) {
			run();
			assert_true(grpc_done(t.call, &r)); // no call hangs
			error = r.error;
			assert_true(error != 0 || r.grpc_status == 0);
		}
		bool all = mem_fail_seen() < n;
		mem_fail_at(0);
		failures += error != 0;
		tear_down();
		if (all) {
			assert_int_equal(error, 0);
			break;
		}
	}
	assert_true(failures > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_success),
	    cmocka_unit_test(test_big),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_early),
	    cmocka_unit_test(test_body_fails),
	    cmocka_unit_test(test_connection),
	    cmocka_unit_test(test_garbage),
	    cmocka_unit_test(test_details),
	    cmocka_unit_test(test_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
