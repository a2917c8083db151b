// SPDX-License-Identifier: Apache-2.0
// The processes that -p names, watched until the last of them has ended. What they started does not
// count, as with `perf record -p`.
#pragma once
#include "arguments.h"

struct loop;
struct watch;

struct targets {
	struct target {
		struct targets *all;
		struct watch *watch;
		int fd; // pidfd
	} at[SELECTED_MAX];
	const char *verb;
	const uint32_t *pids;
	uint32_t count, left;
	void (*ended)(void *arg);
	void *arg;
};

// Takes hold of COUNT processes (PIDS is borrowed), so that a pid that is used again is not taken
// for one of them. 0; or an exit status after one line on stderr, where one has ended already or
// cannot be watched.
int targets_open(struct targets *t, const char *verb, const uint32_t *pids, uint32_t count);
// ENDED is called once when the last has ended, after a line on stderr; never where there are none.
// 0 or -ENOMEM.
int targets_watch(struct targets *t, struct loop *loop, void (*ended)(void *arg), void *arg);
void targets_close(struct targets *t); // fine for zeros
