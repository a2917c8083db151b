// SPDX-License-Identifier: Apache-2.0
// The windows that a history keeps; private to this room. A window that a query reads may leave the
// history meanwhile: it goes when the query lets go of it.
#pragma once
#include "job.h"

struct window {
	struct history_entry entry; // its type is `type`
	char type[32];
	struct text bytes; // pprof
	uint32_t readers;
	bool gone; // left the history
};
struct history {
	uint64_t max, used; // bytes
	uint64_t next_id;
	struct window **windows; // oldest first
	uint32_t count, cap;
	struct window *open; // being written
	struct export_job *job;
	const struct profile *p;
};

void window_free(struct window *w);
