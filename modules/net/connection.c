// SPDX-License-Identifier: Apache-2.0
// Nothing is sent from inside the functions that handlers call: they only queue, and the loop's
// next turn sends. So no handler is called back while it is at work, and none finds its request
// freed.
#include "connection.h"

#include "../loop/loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_HIGH (64u << 10) // http_write says -EAGAIN above
#define QUEUE_MAX (1u << 20)   // and -ENOMEM above
#define LINGER_NS NS_PER_S     // for the peer to read an answer before the socket goes
#define LINGER_BYTES (256u << 10)
#define PATIENCE_NS NS_PER_S // an answer of which so long nothing was taken may make room

static size_t pending(const struct http_request *c)
{
	return c->out.len - c->sent;
}

static void interest(struct http_request *c)
{
	bool listens =
	    c->state != HANDLING || (!c->peer_ended && c->rest.len < c->request.bytes_max);
	bool speaks = (pending(c) && !c->failed) || c->ended;
	int events = (listens ? LOOP_READ : 0) | (speaks ? LOOP_WRITE : 0);
	if (events != c->events)
		watch_set(c->watch, events);
	c->events = events;
}

void connection_free(struct http_request *c)
{
	if (c->state == HANDLING && !c->ended && c->on_gone)
		c->on_gone(c->arg);
	if (c->failed) // a reset shows the peer that the answer was cut, even where it has no
		       // length
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
		    sizeof(struct linger));
	watch_free(c->watch);
	close(c->fd);
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	c->server->count--;
	request_reset(&c->request);
	text_free(&c->rest);
	text_free(&c->out);
	mem_free(c);
}

static void linger(struct http_request *c)
{
	shutdown(c->fd, SHUT_WR);
	c->state = LINGERING;
	c->ended = false;
	c->deadline = clock_now() + LINGER_NS;
	interest(c);
}

static void handle(struct http_request *c)
{
	struct request *r = &c->request;
	c->state = HANDLING;
	c->deadline = 0;
	c->keep = r->status == 200 && http_should_keep_alive(&r->parser);
	if (r->status == 200) {
		count_add(COUNT_HTTP_REQUESTS, 1);
		c->server->options.handle(c->server->options.arg, c);
	} else {
		count_add(COUNT_HTTP_REFUSED, 1);
		char line[160];
		int n = snprintf(line, sizeof(line), "%s\n", r->why);
		http_answer(c, r->status, "text/plain; charset=utf-8",
		    r->status == 405 ? "Allow: GET, HEAD\r\n" : NULL, line, (size_t)n);
	}
	interest(c);
}

// False where the connection is gone.
static bool take(struct http_request *c, const char *bytes, size_t n)
{
	size_t used = request_feed(&c->request, bytes, n);
	if (!c->request.status)
		return true;
	if (text_add(&c->rest, bytes + used, n - used)) {
		connection_free(c);
		return false;
	}
	handle(c);
	return true;
}

static bool readable(struct http_request *c)
{
	char bytes[4096];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n == 0 && c->state == HANDLING && c->begun) {
		// It may have shut down only its own direction, and still wait for the answer.
		c->peer_ended = true;
		return true;
	}
	if (n > 0 && c->state == READING)
		return take(c, bytes, (size_t)n);
	if (n > 0 && c->state == HANDLING && text_add(&c->rest, bytes, (size_t)n) == 0)
		return true;
	if (n > 0 && c->state == LINGERING && (c->drained += (size_t)n) < LINGER_BYTES)
		return true;
	connection_free(c);
	return false;
}

// The answer is out: the next request, which may be here already, or the end.
static bool finish(struct http_request *c)
{
	if (c->failed || c->peer_ended) {
		connection_free(c);
		return false;
	}
	if (!c->keep) {
		linger(c);
		return true;
	}
	struct text rest = c->rest;
	c->rest = TEXT(ACCOUNT_NET);
	request_reset(&c->request);
	c->state = READING;
	c->begun = c->ended = c->chunked = c->want_drain = false;
	c->on_drain = c->on_gone = NULL;
	c->deadline = clock_now() + c->server->options.request_ns_max;
	bool alive = !rest.len || take(c, rest.at, rest.len);
	text_free(&rest);
	return alive;
}

static bool writable(struct http_request *c)
{
	if (pending(c) && !c->failed) {
		ssize_t n = send(c->fd, c->out.at + c->sent, pending(c), MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			connection_free(c);
			return false;
		}
		if (n > 0) {
			c->sent += (size_t)n;
			c->deadline = clock_now() + c->server->options.stall_ns_max;
		}
	}
	if (!pending(c)) {
		text_free(&c->out);
		c->sent = 0;
		c->deadline = 0;
	}
	if (c->ended && (!pending(c) || c->failed))
		return finish(c);
	if (c->want_drain && !c->ended && pending(c) < QUEUE_HIGH / 2) {
		c->want_drain = false;
		if (c->on_drain)
			c->on_drain(c->arg);
	}
	return true;
}

static void on_event(void *arg, int events)
{
	struct http_request *c = arg;
	if (events & LOOP_READ && !readable(c))
		return;
	if (events & LOOP_WRITE && c->state == HANDLING && !writable(c))
		return;
	interest(c);
}

struct http_request *connection_new(struct http_server *s, int fd, bool local)
{
	struct http_request *c = mem_alloc(ACCOUNT_NET, sizeof(*c));
	if (!c)
		goto fail;
	*c = (struct http_request){
	    .server = s,
	    .fd = fd,
	    .local = local,
	    .events = LOOP_READ,
	    .rest = TEXT(ACCOUNT_NET),
	    .out = TEXT(ACCOUNT_NET),
	    .deadline = clock_now() + s->options.request_ns_max,
	    .next = s->connections,
	    .link = &s->connections,
	};
	request_init(&c->request, s->options.header_bytes_max);
	c->watch = loop_watch(s->loop, fd, LOOP_READ, on_event, c);
	if (!c->watch)
		goto fail;
	if (c->next)
		c->next->link = &c->next;
	s->connections = c;
	s->count++;
	return c;
fail:
	close(fd);
	mem_free(c);
	errno = ENOMEM;
	return NULL;
}

void connection_expired(struct http_request *c)
{
	if (c->state == READING && c->request.bytes) {
		c->request.status = 408;
		c->request.why = "the request took too long";
		handle(c);
		return;
	}
	if (c->state == HANDLING)
		count_add(COUNT_HTTP_REFUSED, 1);
	c->failed |= c->state == HANDLING;
	connection_free(c);
}

unsigned connection_spare(const struct http_request *c)
{
	if (c->state == READING)
		return c->request.bytes ? SPARE_ASKING : SPARE_IDLE;
	if (c->state == LINGERING)
		return SPARE_ANSWERED;
	// Its deadline is the stall time behind what was last taken of the answer.
	uint64_t stalled = clock_now() + c->server->options.stall_ns_max - c->deadline;
	return pending(c) && c->deadline && stalled >= PATIENCE_NS ? SPARE_STALLED : 0;
}

void http_on(
    struct http_request *c, void (*on_drain)(void *arg), void (*on_gone)(void *arg), void *arg)
{
	c->on_drain = on_drain;
	c->on_gone = on_gone;
	c->arg = arg;
}

// What goes out waits at most the stall time from now on.
static void queued(struct http_request *c)
{
	if (!c->deadline)
		c->deadline = clock_now() + c->server->options.stall_ns_max;
	interest(c);
}

static void head(
    struct http_request *c, int status, const char *type, const char *headers, const char *framing)
{
	const struct request *r = &c->request;
	char date[40];
	struct tm tm;
	time_t now = (time_t)(clock_wall() / NS_PER_S);
	c->begun = true;
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	text_printf(&c->out, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\n%s%s%s\r\n", status,
	    http_status_str((enum http_status)status), date, type, headers ? headers : "", framing,
	    !c->keep			? "Connection: close\r\n"
	    : r->parser.http_minor == 0 ? "Connection: keep-alive\r\n"
					: "");
}

void http_begin(struct http_request *c, int status, const char *content_type, const char *headers)
{
	c->chunked = c->request.parser.http_minor == 1;
	if (!c->chunked)
		c->keep =
		    false; // HTTP/1.0 knows the end of such an answer by the end of the connection
	head(c, status, content_type, headers, c->chunked ? "Transfer-Encoding: chunked\r\n" : "");
	c->failed |= c->out.error != 0;
	queued(c);
}

// All of BYTES goes to the queue, or nothing.
static int put(struct http_request *c, const void *bytes, size_t n)
{
	size_t before = c->out.len;
	if (c->failed || n > QUEUE_MAX || pending(c) + n > QUEUE_MAX)
		return -ENOMEM;
	if (c->chunked)
		text_printf(&c->out, "%zx\r\n", n);
	text_add(&c->out, bytes, n);
	if (c->chunked)
		text_add(&c->out, "\r\n", 2);
	if (!c->out.error)
		return 0;
	c->out.error = 0;
	c->out.len = before;
	return -ENOMEM;
}

int http_write(struct http_request *c, const void *bytes, size_t n)
{
	if (request_is_head(&c->request) || !n)
		return 0;
	if (c->sent && pending(c) + n + 32 > c->out.cap - c->sent) {
		memmove(c->out.at, c->out.at + c->sent, pending(c));
		c->out.len -= c->sent;
		c->sent = 0;
	}
	int error = put(c, bytes, n);
	if (error)
		return error;
	queued(c);
	c->want_drain = pending(c) > QUEUE_HIGH;
	return c->want_drain ? -EAGAIN : 0;
}

void http_end(struct http_request *c)
{
	if (c->chunked && !request_is_head(&c->request)) {
		text_puts(&c->out, "0\r\n\r\n");
		c->failed |= c->out.error != 0;
	}
	c->ended = true;
	queued(c);
}

void http_abort(struct http_request *c)
{
	c->failed = c->ended = true;
	queued(c);
}

void http_answer(struct http_request *c, int status, const char *content_type, const char *headers,
    const void *body, size_t size)
{
	char length[48];
	snprintf(length, sizeof(length), "Content-Length: %zu\r\n", size);
	head(c, status, content_type, headers, length);
	if (!request_is_head(&c->request))
		text_add(&c->out, body, size);
	c->failed |= c->out.error != 0;
	c->ended = true;
	queued(c);
}

const char *http_method(const struct http_request *c)
{
	return request_is_head(&c->request) ? "HEAD" : "GET";
}

const char *http_path(const struct http_request *c)
{
	return c->request.decoded.at;
}

const char *http_query(const struct http_request *c, const char *key)
{
	return request_parameter(&c->request, key);
}

const char *http_query_key(const struct http_request *c, uint32_t index)
{
	return request_parameter_key(&c->request, index);
}

const char *http_header(const struct http_request *c, const char *name)
{
	return request_header(&c->request, name);
}

bool http_peer_is_local(const struct http_request *c)
{
	return c->local;
}
