// SPDX-License-Identifier: Apache-2.0
// What the files of this room share.
#pragma once
#include "deliver.h"
#include "../base/base.h"
#include "../budget/budget.h"
#include "../config/config.h"
#include "../export/export.h"
#include "../loop/loop.h"
#include "../net/net.h"
#include "../spool/spool.h"
#include "receiver.h"

// Why samples were dropped: id, label, help.
#define CAUSES(X)                                                                                  \
	X(SPOOL_FULL, "spool_full", "the oldest went to make room")                                \
	X(TOO_LARGE, "too_large", "no request, or not the receiver, had room for them")            \
	X(UNTOLD, "untold", "the receiver's format has nothing to say of them")                    \
	X(REFUSED, "refused", "the receiver refused them for good")                                \
	X(UNANSWERED, "unanswered", "the receiver broke off at them each time, and took others")   \
	X(MEMORY, "memory", "there was no memory for them")                                        \
	X(DISK, "disk", "they could not be written or read")                                       \
	X(DAMAGED, "damaged", "the file was not as it was written")                                \
	X(ENCODING, "encoding", "they could not be encoded")                                       \
	X(SHUTDOWN, "shutdown", "the agent ended before they were sent")
enum cause {
#define X(id, label, help) CAUSE_##id,
	CAUSES(X)
#undef X
	    CAUSE_COUNT
};

// answer.c: what an answer means.
enum verdict { VERDICT_SENT, VERDICT_AGAIN, VERDICT_TOO_LARGE, VERDICT_REFUSED };
enum verdict answer_judge(enum requests_kind kind, bool grpc, const struct http_result *r);
bool answer_is_page(const struct http_result *r); // HTML, of who is no receiver
// What the receiver says in it, one printable line.
void answer_text(enum requests_kind kind, const struct http_result *r, char *text, size_t size);
// Of SAMPLES that were taken, those in a request of which it says it rejected some; TEXT gets why ("": all is
// well).
uint64_t answer_rejected(enum requests_kind kind, const struct http_result *r, uint64_t samples,
    char *text, size_t size);
// How long to wait before try N (from 1), RANDOM is any number.
uint64_t answer_backoff(uint32_t n, uint64_t retry_after_ns, uint64_t random);

// destination.c: one receiver, its spool, and what became of it all.
struct figures { // samples: taken = sent + rejected + all dropped + what waits in the spool
	uint64_t taken, sent, rejected, dropped[CAUSE_COUNT];
	uint64_t requests, retries, sent_bytes;
};
struct destination {
	struct deliver *deliver;
	struct receiver receiver;
	struct requests *requests;
	double *seconds, *bytes; // bounds of histograms
	struct spool *spool;
	uint64_t spool_max;
	bool in_files;
	struct figures figures;
	// Encoding: of the profile at hand
	bool encoding, lost; // the body that is open finds no place
	enum cause lost_by;
	uint64_t samples, placed; // in it; in bodies so far
	// Sending
	struct http_client *client, *fresh; // fresh: takes its place, with another token
	struct timer *timer;		    // the next try
	bool sending, armed, gave_up, left;
	int read_error;
	uint64_t due_ns;    // of the timer
	uint32_t tries;	    // of the oldest that have failed
	uint32_t broken;    // of these the last ones, which reached the receiver and had no answer
	uint64_t delivered; // requests
	struct log_site full, lost_site, refused, again, partial;
};
struct deliver {
	struct deliver_options options;
	char agent[128]; // User-Agent
	struct node node;
	struct destination *destinations;
	uint32_t count, at; // at: which encodes
	const struct profile *p;
	uint64_t samples; // of P
	bool finishing, resting; // resting: no request begins
	uint64_t deadline;
	struct timer *end;
	void (*done)(void *arg);
	void *arg;
};
// Tells once a minute and site.
#define TELL(d, site, level, ...)                                                                  \
	do {                                                                                       \
		if (log_site_open(&(d)->site, level))                                              \
			log_line(level, __VA_ARGS__);                                              \
	} while (0)
static inline void drop(struct destination *d, enum cause cause, uint64_t samples)
{
	d->figures.dropped[cause] += samples;
}
// All of it that touches nothing: 0 or -errno; RECEIVER is open. Then destination_close.
int destination_check(struct destination *d, char *why, size_t why_size);
int destination_open(
    struct destination *d, char *why, size_t why_size); // 0 or -errno; RECEIVER is open
void destination_close(struct destination *d);
void destination_finish(struct destination *d); // no more comes: what waits is tried now
// Until the next try of what failed, else 0.
uint64_t destination_retry_seconds(const struct destination *d);
bool destination_is_over(const struct destination *d);
void destination_leave(struct destination *d); // tells what is left; once
void destination_retire(struct destination *d);
void destination_go_on(struct destination *d, struct destination *before); // BEFORE is retired
void destination_send(struct destination *d);  // the oldest that waits, unless one is under way
// options.c
int destination_requests(
    struct destination *d, char *why, size_t why_size); // makes its encoder; 0 or -errno
// encode.c
int destination_encode(
    struct destination *d, const struct profile *p, uint64_t budget_ns); // 1 more, 0 done
struct requests_out destination_out(struct destination *d);
enum cause cause_of(int error);	      // of the spool
void deliver_look(struct deliver *d); // a destination may be over
