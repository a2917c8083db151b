// SPDX-License-Identifier: Apache-2.0
#include "private.h"

static uint64_t waiting(const struct destination *d)
{
	return spool_samples(d->spool);
}

#define FIGURES(X)                                                                                 \
	X("taken_samples_total", "counter",                                                        \
	    "samples of profiles taken for a receiver: sent, "                                     \
	    "rejected, waiting and dropped are all of them",                                       \
	    d->figures.taken)                                                                      \
	X("sent_samples_total", "counter", "of these, taken by the receiver", d->figures.sent)     \
	X("rejected_samples_total", "counter",                                                     \
	    "of these, in requests that the receiver took only in part", d->figures.rejected)      \
	X("waiting_samples", "gauge", "of these, in the spool", waiting(d))                        \
	X("waiting_requests", "gauge", "requests in the spool", spool_count(d->spool))             \
	X("requests_total", "counter", "requests that ended, answered or not",                     \
	    d->figures.requests)                                                                   \
	X("retries_total", "counter", "of these, to be tried again", d->figures.retries)           \
	X("retry_seconds", "gauge", "seconds until the next try of what failed",                   \
	    destination_retry_seconds(d))                                                          \
	X("sent_bytes_total", "counter", "bytes of requests that the receiver took",               \
	    d->figures.sent_bytes)                                                                 \
	X("spool_bytes", "gauge", "bytes that the spool takes", spool_bytes(d->spool))             \
	X("spool_limit_bytes", "gauge", "most of them", d->spool_max)                              \
	X("spool_damaged_files_total", "counter",                                                  \
	    "files of earlier runs that were not whole, and removed", spool_damaged(d->spool))

static const struct {
	const char *name, *kind, *help;
} rows[] = {
#define X(name, kind, help, value) {name, kind, help},
    FIGURES(X)
#undef X
};

static uint64_t value_of(const struct destination *d, size_t row)
{
	const uint64_t values[] = {
#define X(name, kind, help, value) value,
	    FIGURES(X)
#undef X
	};
	return values[row];
}

static const char *const causes[] = {
#define X(id, label, help) label,
    CAUSES(X)
#undef X
};

static void head(struct text *t, const char *name, const char *kind, const char *help)
{
	text_printf(t, "# HELP telegen_export_%s %s\n# TYPE telegen_export_%s %s\n", name, help,
	    name, kind);
}

void deliver_metrics(const struct deliver *d, struct text *t)
{
	for (size_t row = 0; row < sizeof(rows) / sizeof(*rows); row++) {
		head(t, rows[row].name, rows[row].kind, rows[row].help);
		for (uint32_t i = 0; i < d->count; i++)
			text_printf(t, "telegen_export_%s{destination=\"%s\"} %lu\n",
			    rows[row].name, d->destinations[i].receiver.name,
			    value_of(&d->destinations[i], row));
	}
	head(t, "dropped_samples_total", "counter", "samples that were not sent, by cause");
	for (uint32_t i = 0; i < d->count; i++)
		for (int cause = 0; cause < CAUSE_COUNT; cause++)
			text_printf(t,
			    "telegen_export_dropped_samples_total{destination=\"%s\",cause=\"%s\"} "
			    "%lu\n",
			    d->destinations[i].receiver.name, causes[cause],
			    d->destinations[i].figures.dropped[cause]);
}
