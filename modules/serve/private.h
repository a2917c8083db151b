// SPDX-License-Identifier: Apache-2.0
// What the files of this room share.
//
//   serve.c    opens, routes, waits        access.c   who may see profiles
//   query.c    windows -> answer, sliced   wait.c     windows to come
//   pages.c    index, list of windows, metrics, health
//   wish.c     which samples are meant     block.c    off-CPU time as Go's block profile has it
//   total.c    totals since the first scrape
#pragma once
#include "../base/base.h"
#include "../loop/loop.h"
#include "serve.h"

#include <stdbool.h>

// Nothing is kept by who asked, nothing is guessed, nothing of it is another site's business.
#define SAFE_HEADERS                                                                               \
	"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"                           \
	"Cross-Origin-Resource-Policy: same-origin\r\n"

// Of one profile, over all windows from the first scrape on.
struct total {
	struct profile *sum; // NULL: nothing yet; never sealed
	uint64_t until;	     // of wall time: when the last of its windows ended
	uint64_t last;	     // id of the newest window that is in it, or was before it began
	uint64_t asked;	     // of clock_now
	bool used;	     // a query is at work with it
	bool half;	     // and a window is in it in part
};
enum { TOTALS = 4 };

struct serve {
	struct serve_options options; // its strings are copies
	struct http_server *http;
	struct query *queries;		// in the order they came
	uint64_t flushed, flushed_wall; // when the window was last closed for a query
	struct total totals[TOTALS];
	char node[65];
	char leaves[96]; // why there are no windows to come, "": there are
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
// The type of the windows that profile NAME of /debug/pprof is made of; where it is not another's: NAME.
const char *pages_windows_of(const char *name);
// True where /debug/pprof/NAME can be given, or perhaps soon; else R was answered with the reason.
bool pages_check_profile(const struct serve *s, struct http_request *r, const char *name);

// Which samples a query means.
struct wish {
	bool by_pid;
	uint32_t pid;
	char comm[64], container[65], namespace[64], pod[254], service[513]; // "": any
	uint32_t reasons; // 1 << enum off_reason and the likes of wish.c, 0: any
};
// The wish of R for a profile of TYPE. 0, or -EINVAL and R was answered.
int wish_read(struct http_request *r, const char *type, struct wish *w);
bool wish_takes_all(const struct wish *w);
bool wish_takes(void *wish, const struct profile *from, const struct profile_subject *s);
void wish_list_reasons(struct text *t, const char *type); // that it may ask TYPE for: "sleep, io"
// A number from 0 to MAX in the parameter KEY; *VALUE stays where there is none. 0, or -EINVAL and R was answered.
int serve_number(struct http_request *r, const char *key, uint64_t max, uint64_t *value);

// The total of profile NAME, NULL where it is one of an interval.
struct total *total_of(struct serve *s, const char *name);
// In slices, with a *MERGE that is NULL at first and the caller's to free: 1 more, 0 done, -errno. ADD: FOUND, the
// windows after `last` up to LAST, into the total. COPY: what W takes of it, sealed.
int total_add(struct total *t, struct profile_merge **merge, const struct profile *found, uint64_t last,
    uint64_t budget_ns);
int total_copy(struct total *t, struct profile_merge **merge, struct profile **copy, struct wish *w,
    uint64_t budget_ns);
void total_release(struct total *t); // after MERGE is freed
void total_look(struct serve *s);
void total_free_all(struct serve *s);

int block_make(struct profile *p); // of a sealed off-CPU profile: 0 or -ENOMEM

// Answers R with the merged windows as its parameters say: api/flame, and pprof of windows to come.
void query_flame(struct serve *s, struct http_request *r);
void query_pprof(struct serve *s, struct http_request *r, const char *type);
void query_free_all(struct serve *s);
void query_look(struct serve *s); // windows came: is somebody waiting for them?
