// SPDX-License-Identifier: Apache-2.0
// What the files of this room share.
//
//   serve.c    opens, routes, waits        access.c   who may see profiles
//   query.c    windows -> answer, sliced   pages.c    index, list of windows, metrics, health
#pragma once
#include "../base/base.h"
#include "../loop/loop.h"
#include "serve.h"

#include <stdbool.h>

// Nothing is kept by who asked, nothing is guessed, nothing of it is another site's business.
#define SAFE_HEADERS                                                                               \
	"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"                           \
	"Cross-Origin-Resource-Policy: same-origin\r\n"

struct serve {
	struct serve_options options; // its strings are copies
	struct http_server *http;
	struct query *queries;		// in the order they came
	uint64_t flushed, flushed_wall; // when the window was last closed for a query
	char node[65];
};

// One line of plain text, ended with a newline. HEADERS may be NULL.
void serve_say(struct http_request *r, int status, const char *headers, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// True where the peer of R may see profiles; else R was answered with the reason.
bool access_check(const struct serve *s, struct http_request *r, bool page);
void access_check_token(const struct serve *s); // warns where the token cannot be read

// Answers of pages.c.
void pages_index(struct serve *s, struct http_request *r);
void pages_flame(struct serve *s, struct http_request *r);
void pages_windows(struct serve *s, struct http_request *r);
void pages_metrics(struct serve *s, struct http_request *r);
bool pages_has_type(const struct serve *s, const char *type);

// Answers R with the merged windows as its parameters say: api/flame, and pprof of windows to come.
void query_flame(struct serve *s, struct http_request *r);
void query_pprof(struct serve *s, struct http_request *r, const char *type);
void query_free_all(struct serve *s);
void query_look(struct serve *s); // windows came: is somebody waiting for them?
