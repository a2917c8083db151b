// SPDX-License-Identifier: Apache-2.0
// What the files of this room share.
#pragma once
#include "loop.h"
#include "../base/base.h"

#include <ev.h>

#define NEVER UINT64_MAX

struct loop {
	struct ev_loop *ev;
	ev_prepare prepare;
	ev_check begin, work;
	ev_timer alarm;
	uint64_t alarm_ns;   // what the alarm is set to, clock_now() time; NEVER: it is not
	uint64_t turn_ns;    // our CPU time when the turn began; 0 between turns
	uint64_t began_ns;   // clock_now() just before that
	uint64_t turn;	     // counts turns
	uint64_t ran_ns;     // of this turn, when the last callback had returned
	struct watch *ready; // descriptors with events, the first to be told first
	struct watch *ready_last;
	struct timer *timers;	// armed, the first due first
	struct slice *slices;	// the next to step first
	struct slice *last;	// of slices
	struct slice *stepping; // inside its own step or done
	uint32_t alive;		// watches, timers and slices not yet freed
	bool passed_over;	// the last turn had no time for a slice
	bool stop;
};

uint64_t loop_ran(struct loop *loop); // a callback has returned: how long the turn is so far

// A watch that is not begun yet: watch_free is fine with it, and nothing can fail any more.
struct watch *watch_new(struct loop *loop, void *arg); // NULL + errno
void watch_begin(struct watch *w, int fd, int events, void (*fn)(void *arg, int events));

// timer.c
uint64_t timers_due(const struct loop *loop); // clock_now() time; NEVER: none is armed
void timers_run(struct loop *loop);
