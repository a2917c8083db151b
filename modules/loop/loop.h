// SPDX-License-Identifier: Apache-2.0
// The one event loop (libev; this room is the only one that knows it). One thread runs it; nothing
// called from it may take longer than about 1 ms: longer jobs are slices. Every turn is timed in CPU time
// (COUNT_TURN_MAX_NS, COUNT_TURNS_LONG); what has no place in it any more waits in its order for the next.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct loop;
struct watch;
struct timer;
struct slice;
struct errand;

struct loop *loop_new(void); // NULL + errno
void loop_free(struct loop *loop); // NULL is fine; watchers must be gone
void loop_run(struct loop *loop);  // until loop_stop
void loop_stop(struct loop *loop);
// From now on events of descriptors that come while the loop sleeps are told together NS after it
// began to, or when a timer is due: many that follow each other wake it once. 0: at once, again.
void loop_rest(struct loop *loop, uint64_t ns);
// One turn without waiting longer than what is pending: for tests.
void loop_turn(struct loop *loop);

// The descriptor must stay open until watch_free. Everything may be freed inside its own callback.
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
struct watch *loop_watch(struct loop *loop, int fd, int events, void (*fn)(void *arg, int events),
    void *arg);
void watch_set(struct watch *w, int events); // 0 pauses
void watch_free(struct watch *w);	     // does not close the fd; NULL is fine

// Runs FN after FIRST ns and then each PERIOD ns (0: once; the timer stays until timer_free).
struct timer *loop_timer(struct loop *loop, uint64_t first_ns, uint64_t period_ns, void (*fn)(void *arg),
    void *arg);
void timer_set(struct timer *t, uint64_t first_ns, uint64_t period_ns); // starts it anew
void timer_free(struct timer *t);

// FN runs in the loop, not in signal context.
struct watch *loop_signal(struct loop *loop, int signo, void (*fn)(void *arg, int signo), void *arg);

// A job in slices: STEP is called once a turn with at most BUDGET ns to spend, until it returns 0
// (done) or <0 (given up); then the slice is freed and DONE (may be NULL) gets that value. Events
// of file descriptors and timers go between the steps.
struct slice *loop_slice(struct loop *loop, int (*step)(void *arg, uint64_t budget_ns),
    void (*done)(void *arg, int result), void *arg);
void slice_free(struct slice *s); // gives the job up without calling DONE; NULL is fine
#define LOOP_SLICE_NS 500000ull

// What blocks in the kernel: WORK runs beside us, in a process of its own that shares our memory and
// descriptors, and DONE in the loop when it has ended, which frees the errand. WORK does system calls on
// what ARG points to, and what that takes: no memory is taken, no lock, nothing is logged, what both of us
// know is left alone. It may be killed: whether it came to its end is written into ARG. NULL + errno: it was not begun.
struct errand *loop_errand(struct loop *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg);
void errand_free(struct errand *e); // waits for its end, without calling DONE; NULL is fine
