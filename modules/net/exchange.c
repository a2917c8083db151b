// SPDX-License-Identifier: Apache-2.0
// One request and its answer over an open connection.
#include "client.h"
#include "grpc.h"

#include "../loop/loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SEND_MAX (256u << 10) // bytes a turn
#define HEAR_MAX (256u << 10)
#define PART_NS (300 * NS_PER_US) // of a turn, for sending and for hearing each

static int open_grpc(struct http_client *c)
{
	if (!c->grpc)
		c->grpc = grpc_new(c->to.authority, c->to.path, c->to.tls ? "https" : "http",
		    (const char *const *)c->lines, c->user_agent);
	return c->grpc ? grpc_start(c->grpc, &c->post) : -errno;
}

int client_begin(struct http_client *c)
{
	if (!c->buffer)
		c->buffer = mem_alloc(ACCOUNT_NET, CLIENT_PIECE);
	if (!c->buffer)
		return -ENOMEM;
	c->begun = true;
	c->heard = c->stopped = c->headed_out = false;
	c->taken = 0;
	answer_reset(&c->answer);
	return c->grpc_wanted ? open_grpc(c) : client_head(c);
}

static int64_t read_body(struct http_client *c)
{
	const struct http_post *p = &c->post;
	uint64_t rest = p->size - c->taken;
	size_t n = rest < CLIENT_PIECE ? (size_t)rest : CLIENT_PIECE;
	if (!n)
		return 0;
	int64_t got = p->read(p->arg, c->taken, c->buffer, n);
	if (got == 0 || got > (int64_t)n)
		return -EIO;
	c->taken += got > 0 ? (uint64_t)got : 0;
	return got;
}

// Puts into `piece` what goes out next: 0: there is nothing for now; < 0: the body cannot be read.
// It lies still until it is sent: TLS wants the same bytes again after -EAGAIN.
static int64_t next_piece(struct http_client *c)
{
	int64_t n;
	const void *bytes = c->buffer;
	if (c->grpc) {
		n = grpc_output(c->grpc, &bytes);
		n = n > CLIENT_PIECE ? CLIENT_PIECE : n;
		if (n > 0) {
			memcpy(c->buffer, bytes, (size_t)n);
			grpc_sent(c->grpc, (size_t)n);
		}
		bytes = c->buffer;
	} else if (!c->busy) {
		n = 0;
	} else if (!c->headed_out) {
		c->headed_out = true;
		bytes = c->head.at;
		n = (int64_t)c->head.len;
	} else {
		n = read_body(c);
	}
	c->piece = bytes;
	c->left = n > 0 ? (size_t)n : 0;
	return n;
}

enum sent { SENT_ALL, SENT_SOME, SENT_BROKEN, SENT_NO_BODY };

// Sends what the connection takes.
static enum sent send_some(struct http_client *c, int *error, bool *again)
{
	uint64_t start = clock_now();
	for (size_t sent = 0;;) {
		int64_t n = c->left ? 1 : next_piece(c);
		if (n < 0) {
			*error = (int)n;
			return SENT_NO_BODY;
		}
		if (n == 0)
			return SENT_ALL;
		if (sent >= SEND_MAX || (sent && clock_now() - start > PART_NS)) {
			*again = true;
			return SENT_SOME;
		}
		n = transport_write(c->transport, c->piece, c->left);
		if (n == -EAGAIN)
			return SENT_SOME;
		if (n < 0) {
			*error = (int)n;
			return SENT_BROKEN;
		}
		c->reached |= c->busy;
		c->piece += n;
		c->left -= (size_t)n;
		sent += (size_t)n;
	}
}

// 0: goes on; 1: the answer is whole, and *KEEP; < 0: the connection is at its end (-ENOTCONN:
// closed in order).
static int take(struct http_client *c, const char *bytes, int64_t n, bool *keep)
{
	c->heard = true;
	if (c->grpc) {
		struct http_result ignored = {0};
		int error = grpc_feed(c->grpc, bytes, (size_t)n);
		// After an error the call has ended as well, and says why.
		return grpc_done(c->grpc, &ignored) ? 1 : error;
	}
	int64_t used = answer_feed(&c->answer, bytes, (size_t)n);
	if (used < 0)
		return (int)used;
	*keep = used == n;
	return c->answer.done;
}

static int hear_some(struct http_client *c, bool *keep, bool *again)
{
	char bytes[CLIENT_PIECE];
	uint64_t start = clock_now();
	for (size_t heard = 0; heard < HEAR_MAX && (!heard || clock_now() - start <= PART_NS);) {
		int64_t n = transport_read(c->transport, bytes, sizeof(bytes));
		if (n == -EAGAIN)
			return 0;
		if (n <= 0)
			return n ? (int)n : -ENOTCONN;
		int result = take(c, bytes, n, keep);
		if (result)
			return result;
		heard += (size_t)n;
	}
	*again = true;
	return 0;
}

static const char *reason(const struct http_client *c, int error)
{
	if (error == -ENOTCONN || error == -ECONNRESET || error == -EPIPE)
		return c->heard ? "it closed the connection in the middle of its answer"
				: "it closed the connection without an answer";
	return c->answer.why ? c->answer.why : strerror(-error);
}

// The connection ended, in order or not, or speaks something else.
static void ended(struct http_client *c, int error)
{
	struct transport *t = c->transport;
	bool closed = error == -ENOTCONN || error == -ECONNRESET || error == -EPIPE;
	char why[sizeof(t->why)];
	if (!c->grpc && error == -ENOTCONN)
		answer_end(&c->answer);
	if (c->answer.headed) {
		client_answered(c, false);
		return;
	}
	if (closed && c->kept && (!c->heard || c->grpc)) {
		client_again(c);
		return;
	}
	if (t->error && !closed)
		text_copy(why, sizeof(why), t->why);
	else
		snprintf(why, sizeof(why), "send to %s: %s", c->to.where, reason(c, error));
	client_fail(c, closed ? -ECONNRESET : error, why);
}

static void no_body(struct http_client *c, int error)
{
	char why[sizeof(c->transport->why)];
	snprintf(why, sizeof(why), "send to %s: the request's body cannot be read: %s", c->to.where,
	    strerror(-error));
	client_fail(c, error, why);
}

// A kept session that was going away when the call came.
static bool untaken(const struct http_client *c)
{
	struct http_result result = {.reached = true};
	grpc_done(c->grpc, &result);
	return result.error && !result.reached && c->kept;
}

void client_exchange(struct http_client *c)
{
	int error = 0;
	bool again = false, keep = true;
	enum sent sent = SENT_ALL;
	if (!c->stopped)
		sent = send_some(c, &error, &again);
	if (sent == SENT_NO_BODY) {
		no_body(c, error);
		return;
	}
	// A peer that stopped reading may have said why before: that answer counts.
	int heard = hear_some(c, &keep, &again);
	bool whole = c->grpc || (c->headed_out && c->taken == c->post.size && !c->left);
	if (heard == 1 && c->grpc && untaken(c)) {
		c->reached = false;
		client_again(c);
		return;
	}
	if (heard == 1) {
		client_answered(c, keep && whole && sent < SENT_BROKEN);
		return;
	}
	if (heard < 0 || (sent == SENT_BROKEN && !again)) {
		ended(c, heard < 0 ? heard : error);
		return;
	}
	c->stopped |= sent == SENT_BROKEN;
	if (c->answer.headed && c->answer.status >= 300 && !whole)
		c->stopped = true;
	// What came in may have given gRPC something to say.
	int64_t next = !c->stopped && sent == SENT_ALL && c->grpc ? next_piece(c) : 0;
	if (next < 0) {
		no_body(c, (int)next);
		return;
	}
	bool more = !c->stopped && (sent == SENT_SOME || next);
	transport_wait(c->transport, LOOP_READ | (more ? LOOP_WRITE : 0), again);
}

static bool idle_grpc(struct http_client *c)
{
	int error;
	bool again = false, keep;
	if (hear_some(c, &keep, &again) < 0 || !grpc_usable(c->grpc))
		return false;
	enum sent sent = send_some(c, &error, &again); // to PING, and what else a session asks
	transport_wait(c->transport, LOOP_READ | (sent == SENT_SOME ? LOOP_WRITE : 0), again);
	return sent <= SENT_SOME;
}

bool client_idle(struct http_client *c)
{
	char byte;
	if (c->grpc)
		return idle_grpc(c);
	bool open = transport_read(c->transport, &byte, 1) == -EAGAIN;
	transport_wait(c->transport, LOOP_READ, false);
	return open;
}
