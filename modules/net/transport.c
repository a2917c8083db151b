// SPDX-License-Identifier: Apache-2.0
#include "transport.h"

#include "../loop/loop.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SHARE_NS (3 * NS_PER_S) // the most that an address gets that is not the last
#define PEEK 512		// bytes of a proxy's answer at once

static void interest(struct transport *t, int events)
{
	if (events != t->events)
		watch_set(t->watch, events);
	t->events = events;
}

static void hang_up(struct transport *t)
{
	tls_free(t->tls);
	watch_free(t->watch);
	if (t->fd >= 0)
		close(t->fd);
	t->tls = NULL;
	t->watch = NULL;
	t->fd = -1;
}

void transport_close(struct transport *t)
{
	hang_up(t);
	resolve_free(t->resolve);
	t->resolve = NULL;
	text_free(&t->hello);
	answer_reset(&t->answer);
	timer_set(t->timer, UINT64_MAX, 0);
	t->stage = CLOSED;
}

static void note(struct transport *t, int error, const char *reason)
{
	const struct transport_options *o = &t->options;
	bool before = o->proxy && t->stage <= TUNNELLING;
	t->error = error;
	if (before)
		snprintf(t->why, sizeof(t->why), "connect to %s through the proxy %s: %s",
		    o->to->where, o->proxy->where, reason);
	else
		snprintf(t->why, sizeof(t->why), "%s %s: %s",
		    t->stage == OPEN ? "send to" : "connect to", o->to->where, reason);
}

// EVENT may free the transport: nothing may follow.
static void failed(struct transport *t, int error, const char *reason)
{
	note(t, error, reason);
	transport_close(t);
	t->options.event(t->options.arg);
}

static void opened(struct transport *t)
{
	t->stage = OPEN;
	t->read_wants = LOOP_READ;
	t->write_wants = LOOP_WRITE;
	timer_set(t->timer, UINT64_MAX, 0);
	t->options.event(t->options.arg);
}

static const char *words(int error)
{
	switch (-error) {
	case ECONNREFUSED:
		return "connection refused: is it running there?";
	case ETIMEDOUT:
		return "no answer to the connection: is it reachable from here, is a firewall "
		       "between?";
	case ENETUNREACH:
	case EHOSTUNREACH:
	case EADDRNOTAVAIL:
		return "no route to it: is it reachable from here?";
	case ECONNRESET:
	case EPIPE:
		return "it reset the connection";
	case ENOMEM:
		return "no memory";
	default:
		return strerror(-error);
	}
}

static void shake(struct transport *t)
{
	int error = tls_handshake(t->tls);
	if (!error)
		opened(t);
	else if (error == -EAGAIN)
		interest(t, tls_wants(t->tls));
	else
		failed(t, error, *tls_why(t->tls) ? tls_why(t->tls) : words(error));
}

static void secure(struct transport *t)
{
	char why[160] = "";
	t->stage = SHAKING;
	t->tls = tls_new(t->options.tls, t->fd, t->options.tls_host, why, sizeof(why));
	if (!t->tls) {
		int error = errno ? -errno : -EIO;
		failed(t, error, *why ? why : words(error));
		return;
	}
	shake(t);
}

static void tunnelled(struct transport *t)
{
	int status = t->answer.status;
	text_free(&t->hello);
	if (status == 407) {
		failed(t, -EACCES,
		    "the proxy wants credentials (407): are user:password@ in the proxy's URL "
		    "right?");
	} else if (status >= 300 || status < 200) {
		char reason[120];
		snprintf(reason, sizeof(reason),
		    "the proxy does not let it through (%d): does it allow CONNECT to there?",
		    status);
		failed(t, -ECONNREFUSED, reason);
	} else if (t->options.tls) {
		secure(t);
	} else {
		opened(t);
	}
}

// Reads no byte beyond the proxy's answer: they are the receiver's.
static int hear_proxy(struct transport *t)
{
	char bytes[PEEK];
	ssize_t n = recv(t->fd, bytes, sizeof(bytes), MSG_PEEK);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	int64_t used = n ? answer_feed(&t->answer, bytes, (size_t)n) : -ECONNRESET;
	if (used < 0)
		return (int)used;
	if (recv(t->fd, bytes, (size_t)used, 0) < 0)
		return -errno;
	// Once the head says that it refuses, the rest of the answer does not matter.
	return t->answer.headed ? 0 : -EAGAIN;
}

static void tunnel(struct transport *t)
{
	int error = 0;
	if (t->said < t->hello.len) {
		ssize_t n =
		    send(t->fd, t->hello.at + t->said, t->hello.len - t->said, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			error = -errno;
		t->said += n > 0 ? (size_t)n : 0;
		interest(t, t->said < t->hello.len ? LOOP_WRITE : LOOP_READ);
		if (!error)
			return;
	} else {
		error = hear_proxy(t);
	}
	if (!error)
		tunnelled(t);
	else if (error == -EPROTO)
		failed(t, error, "the proxy's answer is no HTTP/1.1: is it a proxy for HTTP?");
	else if (error == -ECONNRESET)
		failed(t, error, "the proxy closed the connection without an answer");
	else if (error != -EAGAIN)
		failed(t, error, words(error));
}

static void ask_proxy(struct transport *t)
{
	const struct transport_options *o = &t->options;
	t->stage = TUNNELLING;
	t->said = 0;
	answer_init(&t->answer, true);
	text_printf(&t->hello, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", o->to->where, o->to->where);
	if (o->user_agent)
		text_printf(&t->hello, "User-Agent: %s\r\n", o->user_agent);
	if (o->proxy->basic)
		text_printf(&t->hello, "Proxy-Authorization: %s\r\n", o->proxy->basic);
	if (text_puts(&t->hello, "\r\n"))
		failed(t, -ENOMEM, words(-ENOMEM));
	else
		tunnel(t);
}

static void on_ready(void *arg, int events);

static int dial(struct transport *t, const struct address *a)
{
	t->fd = socket(a->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (t->fd < 0)
		return -errno;
	// A peer that vanished while the connection was idle is noticed by the kernel.
	setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	setsockopt(t->fd, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int));
	setsockopt(t->fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){30}, sizeof(int));
	if (connect(t->fd, (const struct sockaddr *)&a->at, a->size) && errno != EINPROGRESS)
		return -errno;
	t->watch = loop_watch(t->options.loop, t->fd, t->events = LOOP_WRITE, on_ready, t);
	return t->watch ? 0 : -ENOMEM;
}

// The line of the first address is told that says more than that its family has no route here.
static void note_address(struct transport *t, int error)
{
	if (!t->error || t->error == -ENETUNREACH || t->error == -EADDRNOTAVAIL)
		note(t, error, words(error));
}

static void connect_next(struct transport *t)
{
	t->stage = CONNECTING;
	while (t->next < t->count) {
		hang_up(t);
		int error = dial(t, &t->addresses[t->next++]);
		if (!error) {
			uint64_t now = clock_now(),
				 left = t->deadline > now ? t->deadline - now : 0;
			uint64_t share = left / (t->count - t->next + 2);
			if (t->next == t->count)
				share = UINT64_MAX; // what the request has
			else if (share > SHARE_NS)
				share = SHARE_NS;
			timer_set(t->timer, share, 0);
			return;
		}
		note_address(t, error);
	}
	transport_close(t);
	t->options.event(t->options.arg);
}

static void connected(struct transport *t)
{
	int error = 0;
	if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof(error)}))
		error = errno;
	if (error) {
		note_address(t, -error);
		connect_next(t);
		return;
	}
	timer_set(t->timer, UINT64_MAX, 0);
	t->error = 0;
	if (t->options.tunnel)
		ask_proxy(t);
	else if (t->options.tls)
		secure(t);
	else
		opened(t);
}

static void on_ready(void *arg, int events)
{
	struct transport *t = arg;
	(void)events;
	if (t->stage == CONNECTING)
		connected(t);
	else if (t->stage == TUNNELLING)
		tunnel(t);
	else if (t->stage == SHAKING)
		shake(t);
	else
		t->options.event(t->options.arg);
}

static void on_timer(void *arg)
{
	struct transport *t = arg;
	if (t->stage == CONNECTING) {
		note_address(t, -ETIMEDOUT);
		connect_next(t);
	} else if (t->stage == OPEN) {
		t->options.event(t->options.arg);
	}
}

static void on_resolved(void *arg, const struct address *addresses, unsigned count, const char *why)
{
	struct transport *t = arg;
	char reason[160];
	memcpy(t->addresses, addresses, count * sizeof(*addresses));
	t->count = count;
	t->next = 0;
	text_copy(reason, sizeof(reason), why);
	resolve_free(t->resolve);
	t->resolve = NULL;
	if (count)
		connect_next(t);
	else
		failed(t, -EHOSTUNREACH, reason);
}

struct transport *transport_new(const struct transport_options *options)
{
	struct transport *t = mem_alloc(ACCOUNT_NET, sizeof(*t));
	if (!t)
		return NULL;
	t->options = *options;
	t->fd = -1;
	t->hello = TEXT(ACCOUNT_NET);
	answer_init(&t->answer, true);
	t->timer = loop_timer(options->loop, UINT64_MAX, 0, on_timer, t);
	if (!t->timer) {
		mem_free(t);
		return errno = ENOMEM, NULL;
	}
	return t;
}

void transport_free(struct transport *t)
{
	if (!t)
		return;
	transport_close(t);
	timer_free(t->timer);
	mem_free(t);
}

int transport_open(struct transport *t, uint64_t timeout_ns)
{
	const struct url *first = t->options.proxy ? t->options.proxy : t->options.to;
	t->deadline = clock_now() + timeout_ns;
	t->stage = RESOLVING;
	t->error = 0;
	t->why[0] = 0;
	t->resolve = resolve_new(t->options.loop, first->host, first->port, timeout_ns,
	    t->options.servers, on_resolved, t);
	if (t->resolve)
		return 0;
	note(t, -errno, words(-errno));
	transport_close(t);
	return t->error;
}

void transport_late(struct transport *t)
{
	static const char *const reasons[] = {
	    [RESOLVING] = "no address of its name in time: does the DNS server answer?",
	    [CONNECTING] =
		"no connection in time: is it reachable from here, is a firewall between?",
	    [TUNNELLING] = "the proxy did not answer in time",
	    [SHAKING] = "the TLS handshake did not end in time: does it speak TLS on this port?",
	    [OPEN] = "no answer in time: is it overloaded, is timeout too short?",
	};
	note(t, -ETIMEDOUT, reasons[t->stage] ? reasons[t->stage] : "not done in time");
}

// After an error of the stream itself.
static int64_t broken(struct transport *t, int64_t error)
{
	const char *why = t->tls ? tls_why(t->tls) : "";
	note(t, (int)error, *why ? why : words((int)error));
	return error;
}

int64_t transport_read(struct transport *t, void *bytes, size_t n)
{
	int64_t got = t->tls ? tls_read(t->tls, bytes, n) : recv(t->fd, bytes, n, 0);
	if (!t->tls && got < 0)
		got = errno == EINTR ? -EAGAIN : -errno;
	t->read_wants = got == -EAGAIN && t->tls ? tls_wants(t->tls) : LOOP_READ;
	return got < 0 && got != -EAGAIN ? broken(t, got) : got;
}

int64_t transport_write(struct transport *t, const void *bytes, size_t n)
{
	int64_t put = t->tls ? tls_write(t->tls, bytes, n) : send(t->fd, bytes, n, MSG_NOSIGNAL);
	if (!t->tls && put < 0)
		put = errno == EINTR ? -EAGAIN : -errno;
	t->write_wants = put == -EAGAIN && t->tls ? tls_wants(t->tls) : LOOP_WRITE;
	return put < 0 && put != -EAGAIN ? broken(t, put) : put;
}

void transport_wait(struct transport *t, int events, bool again)
{
	interest(t,
	    (events & LOOP_READ ? t->read_wants : 0) | (events & LOOP_WRITE ? t->write_wants : 0));
	timer_set(t->timer, again ? 0 : UINT64_MAX, 0);
}
