// SPDX-License-Identifier: Apache-2.0
// The local endpoint: flame page, /debug/pprof, /metrics, health. Profiles are open to the loopback; on
// any other address they need the token (Authorization: Bearer), health and metrics do not.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../export/export.h"
#include "../net/net.h"

struct serve;
struct text;

struct serve_options {
	struct loop *loop;
	const char *listen;
	const char *token_file; // NULL or "": none; one that cannot be read is warned of at the start
	struct history *history;
	const char *banner; // shown on the page, e.g. that this is a recording; NULL: none
	// The profile that the window being filled would give if it were closed now is not served: pprof's
	// "seconds=N" waits for windows that cover the next N seconds, at most SECONDS_MAX.
	uint32_t seconds_max; // 0: 300
	uint64_t collection_ns;
	// 0 ready; else WHY gets a line. For /healthz and /readyz.
	int (*health)(void *arg, char *why, size_t size);
	int (*ready)(void *arg, char *why, size_t size);
	// Is TYPE being profiled, also where no window of it is kept? NULL: what there are windows of is.
	bool (*profiled)(void *arg, const char *type);
	// Adds lines of further metrics (BPF counters, limits).
	void (*metrics)(void *arg, struct text *t);
	// Closes the current window early, so that a waiting request is answered in time.
	void (*flush)(void *arg);
	void *arg;
};
struct serve *serve_new(const struct serve_options *options, char *why, size_t why_size);
void serve_free(struct serve *s);
// No windows are to come: who waits for such, or asks for them from now on, is told WHY in a line.
void serve_leave(struct serve *s, const char *why);
void serve_window_added(struct serve *s); // a window came into the history: answers who waits for it
uint16_t serve_port(const struct serve *s);
void serve_url(const struct serve *s, char *url, size_t size); // as http_server_url
