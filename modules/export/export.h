// SPDX-License-Identifier: Apache-2.0
// Sealed profile -> bytes -> somewhere, and back. Formats: pprof (gzip, every convention of
// google/pprof), folded stacks, speedscope JSON, the self-contained flame page.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../profile/profile.h"
#include "../wire/wire.h"

enum export_format { EXPORT_PPROF, EXPORT_FOLDED, EXPORT_SPEEDSCOPE, EXPORT_HTML, EXPORT_FLAME };
// By the suffix of a file name: .pb.gz .pprof .folded .collapsed .txt .json .speedscope.json .html; -EINVAL.
int export_format_of(const char *path, enum export_format *format);
const char *export_suffix(enum export_format format); // "pb.gz"
const char *export_content_type(enum export_format format);

// Encoding in slices. The profile must be sealed and stay until export_job_free. BASE (may be NULL): a profile of
// the same values to compare with, for folded (two columns), HTML and FLAME (a differential flame graph). TITLE is
// copied; the header's comment is the page's banner.
struct export_job;
struct export_job *export_new(const struct profile *p, const struct profile *base, enum export_format format,
    const char *title, const struct wire_sink *sink); // NULL + errno
int export_step(struct export_job *job, uint64_t budget_ns); // 1 more, 0 done, -errno (the sink's)
void export_job_free(struct export_job *job);
// All of it at once, for commands.
int export_all(const struct profile *p, const struct profile *base, enum export_format format, const char *title,
    const struct wire_sink *sink);

// Reads pprof, gzip or plain, also what other profilers write. A feed of n bytes may unpack a thousand times as
// many at once: who is in the loop feeds little. In slices after the last feed. WHY: one clear line on failure.
struct import_job;
struct import_job *import_new(enum account account, uint64_t bytes_max);
int import_feed(struct import_job *job, const void *bytes, size_t n); // 0, -EFBIG, -EBADMSG, -ENOMEM
int import_step(struct import_job *job, uint64_t budget_ns);	       // after the last feed: 1 more, 0 done, -errno
struct profile *import_take(struct import_job *job);		       // sealed; the caller's
const char *import_why(const struct import_job *job);
void import_free(struct import_job *job);

// How much memory a pprof file takes, to be said where there was not enough: found from its bytes as they go by, in
// little memory, some per cent off and rather too much. BASED: it is compared with another, or the other.
struct export_need {
	uint64_t unpacked; // bytes of the file
	uint64_t reading, held, writing; // bytes of memory: at most while it is read; then; beside that while written
};
struct export_need_job;
struct export_need_job *export_need_new(uint64_t bytes_max); // NULL + errno
int export_need_feed(struct export_need_job *job, const void *bytes, size_t n); // as import_feed
// After the last feed: 0 or -errno, then nothing is known.
int export_need(const struct export_need_job *job, enum export_format format, bool based, struct export_need *need);
void export_need_free(struct export_need_job *job);

// A sealed profile -> bodies of requests to a receiver, one after the other, in slices; each has its own tables
// and stays under BYTES_MAX before compression. One of these for each destination: what goes over many windows
// (sums of metrics) is kept in it.
enum requests_kind {
	REQUESTS_OTLP,	    // ExportProfilesServiceRequest
	REQUESTS_LOGS,	    // ExportLogsServiceRequest: a record for each sample
	REQUESTS_METRICS,   // ExportMetricsServiceRequest: sums and histograms
	REQUESTS_PYROSCOPE, // push.v1.PushRequest
	REQUESTS_PARCA,	    // parca.profilestore.v1alpha1.WriteRawRequest
};
struct requests_options { // borrowed
	enum requests_kind kind;
	bool gzip;	    // bodies are compressed as a whole
	uint32_t bytes_max; // of a body before that; 0: 3.75 MiB
	bool previous;	    // OTLP: the field numbers of protocol 1.9 (Collectors 0.140 to 0.147)
	bool go;	    // LOGS, METRICS: as the Go agent, where that differs
	uint32_t records;   // LOGS: most records of a body; 0: 100
	bool stack_traces;  // LOGS: with the whole stack
	bool process_attributes, stack_attributes; // METRICS
	const double *seconds, *bytes;		   // METRICS: bounds of histograms
	uint32_t seconds_count, bytes_count;
	// Who we are, each may be "": the name and version of the agent, and of the node.
	const char *service, *version, *host;
	// More attributes of every resource: "key", "value", ..., NULL; or NULL.
	const char *const *resource;
};
struct requests_facts {
	uint64_t samples; // taken that the body holds: the sum of the first value that is a count; without one: entries
	uint64_t time_ns; // of the profile
	const char *type; // of the profile
};
struct requests_out { // each 0 or -errno, which ends the profile
	int (*begin)(void *arg);
	int (*write)(void *arg, const void *bytes, size_t n);
	int (*end)(void *arg, const struct requests_facts *f); // 1: call it again in the next slice
	void *arg;
};
struct requests;
struct requests *requests_new(const struct requests_options *options, const struct requests_out *out); // NULL + errno
void requests_free(struct requests *r);
const char *requests_content_type(enum requests_kind kind);
// Starts with P, which must stay until requests_step gave 0 or -errno. LEFT_OUT samples, counted as those of bodies,
// found no place in one (too large, or untold), or the job failed before theirs ended: with those of all bodies that ended they
// are all of the profile. The caller counts them.
int requests_put(struct requests *r, const struct profile *p);
int requests_step(struct requests *r, uint64_t budget_ns); // 1 more, 0 done, -errno
uint64_t requests_left_out(const struct requests *r);	   // of the profile that was put last
// Of these, those of whose values the format tells none: OTLP has no count of waits that took no time. 0 where it failed.
uint64_t requests_untold(const struct requests *r);

// A bounded directory of windows: DIRECTORY/cpu-20261123T101500Z-60s.pb.gz, written under a temporary name
// (".tmp-...", removed at start), synchronised, then renamed; the oldest go when MAX_SIZE (0: none) would be passed.
// Only files that are named so are ever removed. A failure is logged and counted, and leaves no file.
struct directory;
struct directory *directory_new(const char *path, uint64_t max_size, enum export_format format, char *why,
    size_t why_size);
// Starts writing P (must stay until done); directory_step as export_step. One file at a time: -EBUSY.
int directory_put(struct directory *d, const struct profile *p);
int directory_step(struct directory *d, uint64_t budget_ns);
void directory_free(struct directory *d);

// The last windows, compressed in memory (pprof), at most MAX bytes; the oldest go first. Entries are valid until
// the next call that allocates anything. history_step: -EFBIG where a window alone passes MAX.
struct history;
struct history_entry {
	uint64_t id, time_ns, duration_ns, bytes;
	const char *type;
	int64_t total; // of the default value
};
struct history *history_new(uint64_t max_bytes);
void history_free(struct history *h);
uint64_t history_shrink(void *h, uint64_t need); // for budget
int history_put(struct history *h, const struct profile *p); // starts; -EBUSY while one is being put
int history_step(struct history *h, uint64_t budget_ns);
uint32_t history_count(const struct history *h);
const struct history_entry *history_entry(const struct history *h, uint32_t index); // oldest first
// Decodes and merges every window of TYPE that overlaps [from, to) of wall time and that WANTED (NULL: all)
// takes, in slices; of those that are there now. history_query_take: sealed, the caller's; NULL where no window
// matched (errno ENOENT). The history must outlive its queries.
struct history_query;
struct history_query *history_query_new(struct history *h, const char *type, uint64_t from_ns, uint64_t to_ns,
    bool (*wanted)(void *arg, const struct profile *from, const struct profile_subject *s), void *arg);
// Before the first step: only windows whose ids are above ID. Gives the newest id that it looks at.
uint64_t history_query_after(struct history_query *q, uint64_t id);
int history_query_step(struct history_query *q, uint64_t budget_ns);
struct profile *history_query_take(struct history_query *q);
void history_query_free(struct history_query *q);

// The flame page (one HTML file with no outside reference). Where DATA is NULL it asks the endpoint it came from.
const char *flame_page(size_t *size);
