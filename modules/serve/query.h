// SPDX-License-Identifier: Apache-2.0
// A request for profiles, as query.c answers it and wait.c waits with it.
#pragma once
#include "private.h"

enum state { WAITING, QUEUED, RUNNING };
enum phase { SEARCH_BASE, SEARCH, ADD, COPY, EXPORT };

struct span {
	uint64_t from, to; // wall clock, ns
};

struct query {
	struct query *next;
	struct serve *serve;
	struct http_request *request;
	enum state state;
	enum phase phase;
	struct timer *timer; // while waiting
	struct slice *slice; // while running, unless the peer is to drain first
	struct history_query *search;
	struct profile *profile, *base;
	struct total *total; // NULL: it is of an interval
	uint64_t last;	     // id of the newest window that goes into it
	struct profile_merge *merge;
	struct export_job *job;
	enum export_format format;
	struct span span, base_span; // base_span.to 0: no base
	struct wish wish;
	uint64_t late;	  // of clock_now: no longer waits then
	uint64_t wait_ns; // how long it is to be sampled
	bool cut;	  // a window has ended where the query begins
	bool flushed, begun, full;
	char name[32], type[32]; // what was asked for, and the windows' type that gives it
	char title[128];
};

void query_queue(struct query *q); // it waits for its turn, no longer for windows
// Answers with what ERROR means; Q is no more.
void query_give_up(struct query *q, int error);
void query_over(struct query *q); // its request is answered or its peer gone; Q is no more
// wait.c
// Queues Q when there are windows of NS from now on.
void query_wait(struct query *q, uint64_t ns);
uint64_t query_newest(const struct query *q); // moment that windows of its type reach, wall clock
