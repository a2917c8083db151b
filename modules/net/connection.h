// SPDX-License-Identifier: Apache-2.0
// One connection of the server. It carries one request at a time, so what handlers hold as their
// request is the connection itself.
//
//   READING --whole request--> HANDLING --answer sent--> READING (kept alive)
//      |                          |                          or LINGERING --peer closed or 1 s-->
//      freed
//      '--peer left, too slow-----'--peer left, stalled (ON_GONE)--> freed
#pragma once
#include "../base/base.h"
#include "net.h"
#include "request.h"

struct watch;
enum connection_state { READING, HANDLING, LINGERING };

struct http_request {
	struct http_request *next, **link; // in the server's list
	struct http_server *server;
	struct watch *watch;
	int fd, events; // what the watch waits for
	enum connection_state state;
	uint64_t deadline; // of clock_now; 0: none
	struct request request;
	struct text rest; // came in behind the request that is being handled
	struct text out;
	size_t sent;	// of out
	size_t drained; // bytes thrown away while lingering
	bool local, keep, chunked, begun, ended, failed, peer_ended, want_drain;
	void (*on_drain)(void *arg);
	void (*on_gone)(void *arg);
	void *arg;
};

// What connections need of their server.
struct http_server {
	struct loop *loop;
	struct http_options options;
	char *listen;
	int fd;
	struct watch *watch;
	struct timer *timer; // deadlines, and the pause after EMFILE
	uint64_t sweep_ns;
	bool paused, timing;
	uint32_t count;
	struct http_request *connections; // newest first
};

// Takes FD (closed on failure). NULL + errno.
struct http_request *connection_new(struct http_server *s, int fd, bool local);
// Closes it; a request that is not answered is told to ON_GONE.
void connection_free(struct http_request *c);
// Its deadline passed: answers 408, or gives it up.
void connection_expired(struct http_request *c);
// How well it can be spared when there is no room for another; 0: not at all.
enum { SPARE_STALLED = 1, SPARE_ASKING, SPARE_ANSWERED, SPARE_IDLE };
unsigned connection_spare(const struct http_request *c);
