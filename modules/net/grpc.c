// SPDX-License-Identifier: Apache-2.0
#include "grpc.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../base/base.h"
#include "grpc_status.h"
#include "net.h"

// A message on the stream, ours and the peer's:
//   compressed 1 | length 4, big-endian | message
#define PREFIX 5
#define HEADERS_MAX 64
#define HEADER_LIST_MAX (16u << 10) // of an answer

struct grpc_call {
	nghttp2_session *session;
	char *authority, *path, *scheme, *user_agent;
	struct text custom; // name \0 value \0 name \0 value \0 ...
	uint32_t customs;
	bool broken, goaway;
	const uint8_t *out; // of the library: what it wants sent next
	size_t out_len;
	// The call:
	const struct http_post *post; // while its body may still be read
	int32_t stream;		      // 0: there was none yet
	uint64_t at;		      // bytes sent of prefix and body
	uint8_t prefix[PREFIX];
	bool running;
	bool untaken; // the peer said so
	int error, read_error;
	int status, grpc_status;
	bool grpc_answer; // its content type
	uint64_t retry_ns;
	struct text answer; // prefix and message, at most HTTP_ANSWER_MAX of it
	char message[256], why[320];
};

static void *give(size_t n, void *arg)
{
	(void)arg;
	return mem_alloc(ACCOUNT_NET, n);
}

static void *give_zeroed(size_t count, size_t n, void *arg)
{
	(void)arg;
	return n && count > SIZE_MAX / n ? NULL : mem_alloc(ACCOUNT_NET, count * n);
}

static void *give_more(void *p, size_t n, void *arg)
{
	(void)arg;
	return mem_resize(ACCOUNT_NET, p, n);
}

static void take_back(void *p, void *arg)
{
	(void)arg;
	mem_free(p);
}

// The call ends: with an answer (ERROR 0), or without.
static void end(struct grpc_call *g, int error, const char *why)
{
	if (!g->running)
		return;
	g->running = false;
	g->post = NULL;
	g->error = error;
	if (error) {
		g->grpc_status = -1;
		text_copy(g->why, sizeof(g->why), why);
	} else if (g->grpc_status != GRPC_OK) {
		int n = snprintf(g->why, sizeof(g->why), "%s", grpc_status_name(g->grpc_status));
		if (g->grpc_status > GRPC_UNAUTHENTICATED)
			n +=
			    snprintf(g->why + n, sizeof(g->why) - (size_t)n, " %d", g->grpc_status);
		if (g->message[0])
			snprintf(g->why + n, sizeof(g->why) - (size_t)n, ": %s", g->message);
	}
}

// The peer has said all. What it did not want to hear is not sent any more. Without gRPC's status
// the one of HTTP says it ("HTTP to gRPC Status Code Mapping"): 200 alone is UNKNOWN.
static void end_of_stream(struct grpc_call *g)
{
	if (g->grpc_status < 0) {
		g->grpc_status = grpc_status_of_http(g->status);
		if (g->status == 200)
			snprintf(g->message, sizeof(g->message), "%s",
			    g->grpc_answer
				? "it ended its answer without grpc-status"
				: "it answered without grpc-status: it is no gRPC server");
		else
			snprintf(g->message, sizeof(g->message),
			    "HTTP status %d without one of gRPC", g->status);
	}
	end(g, 0, "");
	if (nghttp2_session_get_stream_local_close(g->session, g->stream) == 0)
		nghttp2_submit_rst_stream(g->session, NGHTTP2_FLAG_NONE, g->stream, NGHTTP2_CANCEL);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct grpc_call *g = arg;
	(void)session;
	bool ends = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
	if (frame->hd.type == NGHTTP2_GOAWAY)
		g->goaway = true;
	else if (ends && frame->hd.stream_id == g->stream && g->running &&
		 (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		end_of_stream(g);
	return 0;
}

static bool named(const char *wanted, const uint8_t *name, size_t n)
{
	return strlen(wanted) == n && memcmp(wanted, name, n) == 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_len, const uint8_t *value, size_t len, uint8_t flags, void *arg)
{
	struct grpc_call *g = arg;
	const char *v = (const char *)value;
	uint64_t number;
	(void)session;
	(void)flags;
	if (frame->hd.stream_id != g->stream || !g->running)
		return 0;
	if (named(":status", name, name_len)) {
		if (text_number(v, len, 10, &number) == 0 && number >= 200 && number < 1000)
			g->status = (int)number;
	} else if (named("content-type", name, name_len)) {
		g->grpc_answer = len >= 16 && memcmp(v, "application/grpc", 16) == 0;
	} else if (named("grpc-status", name, name_len)) {
		g->grpc_status = grpc_status_number(v, len);
	} else if (named("grpc-message", name, name_len)) {
		grpc_message_text(v, len, g->message, sizeof(g->message));
	} else if (named("grpc-status-details-bin", name, name_len)) {
		uint64_t delay = grpc_retry_delay(v, len);
		if (delay)
			g->retry_ns = delay;
	} else if (named("retry-after", name, name_len)) { // seconds; a date is not understood
		if (!g->retry_ns && text_number(v, len, 10, &number) == 0)
			g->retry_ns = (number < 86400 ? number : 86400) * NS_PER_S;
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *bytes,
    size_t n, void *arg)
{
	struct grpc_call *g = arg;
	(void)session;
	(void)flags;
	size_t room = PREFIX + HTTP_ANSWER_MAX - g->answer.len;
	if (stream == g->stream && g->running && room) // without memory: without the answer's body
		text_add(&g->answer, bytes, n < room ? n : room);
	return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *arg)
{
	struct grpc_call *g = arg;
	char why[96];
	(void)session;
	if (stream != g->stream || !g->running)
		return 0;
	g->untaken = code == NGHTTP2_REFUSED_STREAM;
	snprintf(why, sizeof(why), "%s (HTTP/2 %s)",
	    g->goaway && g->untaken ? "it is going away and did not take the call"
				    : "it reset the call",
	    nghttp2_http2_strerror(code));
	end(g, -ECONNRESET, why);
	return 0;
}

static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int code, void *arg)
{
	struct grpc_call *g = arg;
	(void)session;
	if (frame->hd.type != NGHTTP2_HEADERS || frame->hd.stream_id != g->stream || !g->running)
		return 0;
	g->untaken = true;
	end(g, code == NGHTTP2_ERR_NOMEM ? -ENOMEM : -ECONNRESET, nghttp2_strerror(code));
	return 0;
}

// Fills a DATA frame.
static ssize_t fill(nghttp2_session *session, int32_t stream, uint8_t *to, size_t size,
    uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct grpc_call *g = arg;
	size_t n = 0;
	(void)session;
	(void)source;
	if (stream != g->stream || !g->post)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; // an older call that has ended
	uint64_t all = PREFIX + g->post->size;
	while (n < size && g->at < all) {
		if (g->at < PREFIX) {
			to[n++] = g->prefix[g->at++];
			continue;
		}
		size_t want = size - n < all - g->at ? size - n : (size_t)(all - g->at);
		int64_t got = g->post->read(g->post->arg, g->at - PREFIX, to + n, want);
		if (got <= 0 || (uint64_t)got > want) {
			g->read_error = got < 0 ? (int)got : -EIO;
			end(g, g->read_error, strerror(-g->read_error));
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		}
		n += (size_t)got;
		g->at += (uint64_t)got;
	}
	if (g->at == all)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static int session_new(struct grpc_call *g)
{
	static const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
	    {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_LIST_MAX}};
	nghttp2_mem memory = {NULL, give, take_back, give_zeroed, give_more};
	nghttp2_session_callbacks *callbacks;
	if (nghttp2_session_callbacks_new(&callbacks))
		return -ENOMEM;
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_not_sent);
	int error = nghttp2_session_client_new3(&g->session, callbacks, g, NULL, &memory);
	nghttp2_session_callbacks_del(callbacks);
	if (!error)
		error = nghttp2_submit_settings(g->session, NGHTTP2_FLAG_NONE, settings,
		    sizeof(settings) / sizeof(settings[0]));
	return error ? -ENOMEM : 0;
}

// What HTTP/2 forbids, and what is set here: a user's headers serve every protocol.
static bool passed_over(const char *name)
{
	static const char *const names[] = {"connection", "host", "keep-alive", "proxy-connection",
	    "transfer-encoding", "upgrade", "te", "content-type", "content-length",
	    "content-encoding", "user-agent", "grpc-encoding", "grpc-timeout"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

// "Name: value" into CUSTOM, the name in lower case as HTTP/2 wants it.
static int add_custom(struct grpc_call *g, const char *header)
{
	char name[128];
	size_t n = strcspn(header, ":");
	if (!n || n >= sizeof(name) || !header[n] || g->customs == HEADERS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		name[i] =
		    header[i] >= 'A' && header[i] <= 'Z' ? (char)(header[i] | 0x20) : header[i];
	name[n] = '\0';
	const char *value = header + n + 1 + strspn(header + n + 1, " \t");
	size_t len = strlen(value);
	while (len && strchr(" \t", value[len - 1]))
		len--;
	if (!nghttp2_check_header_name((const uint8_t *)name, n) ||
	    !nghttp2_check_header_value((const uint8_t *)value, len))
		return -EINVAL;
	if (passed_over(name))
		return 0;
	g->customs++;
	text_add(&g->custom, name, n + 1);
	text_add(&g->custom, value, len);
	return text_add(&g->custom, "", 1);
}

struct grpc_call *grpc_new(const char *authority, const char *path, const char *scheme,
    const char *const *headers, const char *user_agent)
{
	int error = -ENOMEM;
	struct grpc_call *g = mem_alloc(ACCOUNT_NET, sizeof(*g));
	if (!g)
		return errno = ENOMEM, NULL;
	g->custom = TEXT(ACCOUNT_NET);
	g->answer = TEXT(ACCOUNT_NET);
	g->authority = mem_strdup(ACCOUNT_NET, authority);
	g->path = mem_strdup(ACCOUNT_NET, path);
	g->scheme = mem_strdup(ACCOUNT_NET, scheme);
	g->user_agent = mem_strdup(ACCOUNT_NET, user_agent ? user_agent : "");
	if (!g->authority || !g->path || !g->scheme || !g->user_agent)
		goto fail;
	for (; headers && *headers; headers++)
		if ((error = add_custom(g, *headers)))
			goto fail;
	error = session_new(g);
	if (!error)
		return g;
fail:
	grpc_free(g);
	return errno = -error, NULL;
}

void grpc_free(struct grpc_call *g)
{
	if (!g)
		return;
	g->running = false; // the session closes its streams with it
	g->post = NULL;
	nghttp2_session_del(g->session);
	if (g->custom.at)
		explicit_bzero(g->custom.at, g->custom.len);
	text_free(&g->custom);
	text_free(&g->answer);
	mem_free(g->authority);
	mem_free(g->path);
	mem_free(g->scheme);
	mem_free(g->user_agent);
	mem_free(g);
}

static nghttp2_nv nv(const char *name, const char *value, uint8_t flags)
{
	return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), flags};
}

static int submit(struct grpc_call *g, const struct http_post *post, bool gzip)
{
	nghttp2_nv list[8 + HEADERS_MAX];
	nghttp2_data_provider body = {.read_callback = fill};
	const char *at = g->custom.at;
	size_t n = 0;
	list[n++] = nv(":method", "POST", 0);
	list[n++] = nv(":scheme", g->scheme, 0);
	list[n++] = nv(":path", g->path, 0);
	list[n++] = nv(":authority", g->authority, 0);
	list[n++] = nv("te", "trailers", 0);
	list[n++] = nv("content-type",
	    post->content_type && strncmp(post->content_type, "application/grpc", 16) == 0
		? post->content_type
		: "application/grpc",
	    0);
	if (gzip)
		list[n++] = nv("grpc-encoding", "gzip", 0);
	if (g->user_agent[0])
		list[n++] = nv("user-agent", g->user_agent, 0);
	for (uint32_t i = 0; i < g->customs; i++) {
		const char *value = at + strlen(at) + 1;
		list[n++] = nv(at, value, NGHTTP2_NV_FLAG_NO_INDEX);
		at = value + strlen(value) + 1;
	}
	return nghttp2_submit_request(g->session, NULL, list, n, &body, NULL);
}

int grpc_start(struct grpc_call *g, const struct http_post *post)
{
	if (g->running)
		return -EBUSY;
	if (!grpc_usable(g))
		return -ENOTCONN;
	if (post->size > UINT32_MAX)
		return -EFBIG;
	bool gzip = post->content_encoding && strcmp(post->content_encoding, "gzip") == 0;
	int32_t stream = submit(g, post, gzip);
	if (stream < 0)
		return stream == NGHTTP2_ERR_NOMEM ? -ENOMEM : -ENOTCONN;
	g->post = post;
	g->stream = stream;
	g->running = true;
	g->untaken = g->grpc_answer = false;
	g->at = g->retry_ns = 0;
	g->error = g->read_error = g->status = 0;
	g->grpc_status = -1;
	g->message[0] = g->why[0] = '\0';
	text_reset(&g->answer);
	g->prefix[0] = gzip;
	for (int i = 1; i < PREFIX; i++)
		g->prefix[i] = (uint8_t)(post->size >> 8 * (PREFIX - 1 - i));
	return 0;
}

static int broken(struct grpc_call *g, int code)
{
	int error = code == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
	g->broken = true;
	end(g, error,
	    error == -ENOMEM ? "out of memory" : "it does not speak HTTP/2, or not by its rules");
	return error;
}

int grpc_feed(struct grpc_call *g, const void *bytes, size_t n)
{
	if (g->broken)
		return -EPROTO;
	ssize_t took = nghttp2_session_mem_recv(g->session, bytes, n);
	if (took < 0)
		return broken(g, (int)took);
	// The library, when a peer breaks the rules, says so to the peer alone and takes no more
	// requests.
	if (!g->goaway && !nghttp2_session_check_request_allowed(g->session))
		return broken(g, NGHTTP2_ERR_PROTO);
	return 0;
}

int64_t grpc_output(struct grpc_call *g, const void **bytes)
{
	if (!g->out_len && !g->broken) {
		ssize_t n = nghttp2_session_mem_send(g->session, &g->out);
		if (n < 0)
			return broken(g, (int)n);
		g->out_len = (size_t)n;
	}
	int error = g->read_error;
	g->read_error = 0;
	*bytes = g->out;
	return error ? error : (int64_t)g->out_len;
}

void grpc_sent(struct grpc_call *g, size_t n)
{
	g->out += n;
	g->out_len -= n;
}

bool grpc_done(const struct grpc_call *g, struct http_result *result)
{
	if (g->running || !g->stream || !result)
		return !g->running && g->stream;
	result->error = g->error;
	if (g->untaken)
		result->reached = false;
	result->status = g->status;
	result->grpc_status = g->grpc_status;
	result->retry_after_ns = g->retry_ns;
	result->body = NULL;
	result->size = 0;
	result->why = g->why;
	const uint8_t *a = (const uint8_t *)g->answer.at;
	if (g->grpc_answer && !g->answer.error && g->answer.len > PREFIX && !a[0]) {
		uint32_t n =
		    (uint32_t)a[1] << 24 | (uint32_t)a[2] << 16 | (uint32_t)a[3] << 8 | a[4];
		size_t kept = g->answer.len - PREFIX;
		result->body = a + PREFIX;
		result->size = n < kept ? n : kept;
	}
	return true;
}

bool grpc_usable(const struct grpc_call *g)
{
	return !g->broken && !g->goaway && nghttp2_session_check_request_allowed(g->session);
}
