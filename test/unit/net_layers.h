// SPDX-License-Identifier: Apache-2.0
// Stands in for TLS and gRPC, so that what the client does with them is seen alone. A test that
// includes it is linked without the real ones.
#include "net_scene.h"

#include "../../modules/net/grpc.h"

// TLS in name only: "H" and "h", then bytes as they are; but it takes few at once, refuses every
// other time and then wants the same bytes again, and keeps back some that it has read.
static struct {
	unsigned contexts, sessions;
	bool refuses, wrong_certificate;
	char host[80];
} tls_;
struct tls_context {
	bool h2;
};
struct tls {
	int fd, wants;
	bool said, refused;
	const void *bytes;
	size_t size;
	char kept[64];
	size_t at, len;
};

struct tls_context *tls_context_new(const struct http_tls *o, bool h2, char *why, size_t why_size)
{
	struct tls_context *c = tls_.refuses ? NULL : mem_alloc(ACCOUNT_NET, sizeof(*c));
	assert_string_equal(o->ca_file ? o->ca_file : "", "/ca.pem");
	if (!c) {
		snprintf(why, why_size, "tls_ca_file /ca.pem: no such thing");
		return errno = tls_.refuses ? ENOENT : ENOMEM, NULL;
	}
	c->h2 = h2;
	tls_.contexts++;
	return c;
}

void tls_context_free(struct tls_context *c)
{
	tls_.contexts -= c != NULL;
	mem_free(c);
}

struct tls *tls_new(struct tls_context *c, int fd, const char *host, char *why, size_t why_size)
{
	struct tls *t = c ? mem_alloc(ACCOUNT_NET, sizeof(*t)) : NULL;
	if (!t) {
		snprintf(why, why_size, "no memory for TLS");
		return errno = ENOMEM, NULL;
	}
	text_copy(tls_.host, sizeof(tls_.host), host);
	t->fd = fd;
	tls_.sessions++;
	return t;
}

void tls_free(struct tls *t)
{
	tls_.sessions -= t != NULL;
	mem_free(t);
}

int tls_handshake(struct tls *t)
{
	char byte = 'H';
	if (!t->said) {
		t->wants = LOOP_WRITE;
		t->said = t->refused && send(t->fd, &byte, 1, MSG_NOSIGNAL) == 1;
		t->refused = true;
		return -EAGAIN;
	}
	t->wants = LOOP_READ;
	if (recv(t->fd, &byte, 1, 0) != 1)
		return errno == EAGAIN ? -EAGAIN : -ECONNRESET;
	return tls_.wrong_certificate || byte != 'h' ? -EPROTO : 0;
}

int64_t tls_read(struct tls *t, void *bytes, size_t n)
{
	t->wants = LOOP_READ;
	if (t->at == t->len) {
		ssize_t got = recv(t->fd, t->kept, sizeof(t->kept), 0);
		if (got <= 0)
			return got ? -errno : 0;
		t->at = 0;
		t->len = (size_t)got;
	}
	n = n < 5 ? n : 5;
	n = n < t->len - t->at ? n : t->len - t->at;
	memcpy(bytes, t->kept + t->at, n);
	t->at += n;
	return (int64_t)n;
}

int64_t tls_write(struct tls *t, const void *bytes, size_t n)
{
	t->wants = LOOP_WRITE;
	t->refused = !t->refused;
	if (t->refused) {
		t->bytes = bytes;
		t->size = n;
		return -EAGAIN;
	}
	assert_true(!t->bytes || (t->bytes == bytes && t->size == n));
	t->bytes = NULL;
	ssize_t sent = send(t->fd, bytes, n < 1000 ? n : 1000, MSG_NOSIGNAL);
	return sent < 0 ? -errno : sent;
}

int tls_wants(const struct tls *t)
{
	return t->wants;
}

const char *tls_why(const struct tls *t)
{
	(void)t;
	return tls_.wrong_certificate ? "its certificate is for other.example, not collector.test"
				      : "";
}

// gRPC in name only: a head and the body; the answer is "DONE", "PING" is answered with "PONG". Where there is a
// window, no more than that is sent before the peer says "MORE".
static uint64_t grpc_window;
struct grpc_call {
	struct text out, in;
	size_t sent;
	const struct http_post *post;
	uint64_t taken;
	bool done, broken, untaken, more;
	char piece[500];
};
static char grpc_head[200];

struct grpc_call *grpc_new(const char *authority, const char *path, const char *scheme,
    const char *const *headers, const char *user_agent)
{
	struct grpc_call *g = mem_alloc(ACCOUNT_NET, sizeof(*g));
	if (g)
		*g = (struct grpc_call){.out = TEXT(ACCOUNT_NET), .in = TEXT(ACCOUNT_NET)};
	snprintf(grpc_head, sizeof(grpc_head), "%s://%s%s %s", scheme, authority, path, user_agent);
	for (; *headers; headers++)
		snprintf(grpc_head + strlen(grpc_head), sizeof(grpc_head) - strlen(grpc_head),
		    " [%s]", *headers);
	return g;
}

void grpc_free(struct grpc_call *g)
{
	if (g) {
		text_free(&g->out);
		text_free(&g->in);
	}
	mem_free(g);
}

int grpc_start(struct grpc_call *g, const struct http_post *post)
{
	g->done = false;
	g->post = post;
	g->taken = 0;
	text_reset(&g->in);
	return text_printf(
	    &g->out, "gRPC\r\nContent-Length: %lu\r\n\r\n", (unsigned long)post->size);
}

int grpc_feed(struct grpc_call *g, const void *bytes, size_t n)
{
	if (text_add(&g->in, bytes, n))
		return -ENOMEM;
	g->broken = g->in.at[0] == 'X';
	g->untaken = strncmp(g->in.at, "UNTAKEN", 7) == 0;
	g->done |= g->broken || g->untaken;
	if (g->broken)
		return -EPROTO;
	char *ping = strstr(g->in.at, "PING");
	if (ping) {
		*ping = '-';
		text_puts(&g->out, "PONG\r\n\r\n");
	}
	g->more = strstr(g->in.at, "MORE") != NULL;
	g->done |= strstr(g->in.at, "DONE") != NULL;
	return g->out.error;
}

int64_t grpc_output(struct grpc_call *g, const void **bytes)
{
	uint64_t open = grpc_window && !g->more ? grpc_window : UINT64_MAX;
	if (g->sent == g->out.len && g->post && g->taken < g->post->size && g->taken < open) {
		uint64_t rest = g->post->size - g->taken;
		int64_t n =
		    g->post->read(g->post->arg, g->taken, g->piece, rest < 500 ? rest : 500);
		if (n < 0) { // told once
			g->post = NULL;
			return n;
		}
		if (text_add(&g->out, g->piece, (size_t)n))
			return -ENOMEM;
		g->taken += (uint64_t)n;
	}
	*bytes = g->out.at + g->sent;
	return (int64_t)(g->out.len - g->sent);
}

void grpc_sent(struct grpc_call *g, size_t n)
{
	g->sent += n;
}

bool grpc_done(const struct grpc_call *g, struct http_result *result)
{
	if (g->done)
		*result = (struct http_result){.status = 200,
		    .error = g->broken	  ? -EPROTO
			     : g->untaken ? -ECONNRESET
					  : 0,
		    .reached = result->reached && !g->untaken,
		    .grpc_status = strstr(g->in.at, "BUSY") ? 14 : 0,
		    .body = g->in.at,
		    .size = g->in.len,
		    .why = g->broken		      ? "it does not speak HTTP/2"
			   : g->untaken		      ? "it goes away"
			   : strstr(g->in.at, "BUSY") ? "UNAVAILABLE"
						      : ""};
	return g->done;
}

bool grpc_usable(const struct grpc_call *g)
{
	return !g->broken && !g->untaken && (!g->in.at || !strstr(g->in.at, "GOAWAY"));
}

__attribute__((unused)) static void why_is(const char *format)
{
	char why[400];
	snprintf(why, sizeof(why), format, s.port);
	assert_string_equal(s.why, why);
}

static const char *proxy_url(void)
{
	static char url[80];
	snprintf(url, sizeof(url), "http://pu:" SECRET "@127.0.0.1:%u", s.port);
	return url;
}

static const struct http_client_options secure_ = {
    .tls = {.ca_file = "/ca.pem"}, .timeout_ns = 2 * NS_PER_S};
