// SPDX-License-Identifier: Apache-2.0
// A byte stream to a receiver:
//
//   CLOSED -> RESOLVING -> CONNECTING (each address in turn) -> TUNNELLING (CONNECT) -> SHAKING
//   (TLS) -> OPEN
//     ^------------ ERROR and WHY --------'-----------------------'-----------------------' |
//     '----------------------------------------- transport_close
//     ----------------------------------------'
#pragma once
#include "../base/base.h"
#include "answer.h"
#include "resolve.h"
#include "tls.h"
#include "url.h"

struct transport_options { // all of it is borrowed
	struct loop *loop;
	const struct url *to;
	const struct url *proxy; // or NULL
	bool tunnel; // through the proxy with CONNECT; else the proxy is spoken to as if it were TO
	struct tls_context *tls; // or NULL
	const char *tls_host;
	const char *user_agent; // for CONNECT
	const char *servers;	// of DNS, for tests; NULL: the system's
	void (*event)(
	    void *arg); // it is OPEN, or CLOSED with an error, or what is waited for has come
	void *arg;
};

enum stage { CLOSED, RESOLVING, CONNECTING, TUNNELLING, SHAKING, OPEN };
struct transport {
	struct transport_options options;
	enum stage stage;
	int error;	// -errno, of the last transport_open or of the stream
	char why[1024]; // the line for it: two names of 264 and a reason
	uint64_t deadline;
	struct timer *timer; // an address' share of the time; OPEN: bytes are left that no
			     // descriptor tells of
	struct resolve *resolve;
	struct address addresses[ADDRESSES_MAX];
	unsigned count, next;
	int fd, events;
	struct watch *watch;
	struct tls *tls;
	int read_wants, write_wants; // what of LOOP_READ, LOOP_WRITE reading and writing wait for
	struct text hello;	     // CONNECT
	size_t said;
	struct answer answer;
};

struct transport *transport_new(const struct transport_options *options); // NULL + errno
void transport_free(struct transport *t);
// From CLOSED. 0: EVENT comes, never from inside; -errno with WHY.
int transport_open(struct transport *t, uint64_t timeout_ns);
void transport_close(struct transport *t);
// Says in WHY what took too long.
void transport_late(struct transport *t);
// OPEN: > 0; reading: 0 at the end; -EAGAIN; -errno with WHY. Bytes that -EAGAIN refused are to be
// given again.
int64_t transport_read(struct transport *t, void *bytes, size_t n);
int64_t transport_write(struct transport *t, const void *bytes, size_t n);
// OPEN: what EVENT is called for. AGAIN: in the next turn in any case.
void transport_wait(struct transport *t, int events, bool again);
