// SPDX-License-Identifier: Apache-2.0
// One turn of the loop, all of it inside ev_run:
//
//   prepare (lowest priority)  how long may the poll sleep? ends the turn before
//   poll                       sleeps until a descriptor, a signal or the alarm
//   turn_begin (highest)       the turn's clock starts
//   descriptors, signals       libev's pending events: descriptors only line up
//   turn_work (lowest)         ready descriptors, due timers, then one step of one slice
//
// Many of them in one turn would make it long. So each of the three begins nothing more once its
// part of the turn is over; what is left keeps its place and is the first of the next turn.
//
//   0 ... WATCHES_NS ... TIMERS_NS ...... TURN_NS . TURN_LONG_NS
//   |descriptors        |timers     |slice     |
//
// libev has a single timer, the alarm, for the first of ours.
#include "private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#define TURN_LONG_NS NS_PER_MS
#define WATCHES_NS (250 * NS_PER_US)
#define TURN_NS (800 * NS_PER_US)
#define SLICE_LEAST_NS (100 * NS_PER_US)
#define RAN_ENOUGH_NS (100 * NS_PER_US) // as little matters to no part of a turn

struct watch {
	struct loop *loop;
	void (*on_fd)(void *arg, int events);
	void (*on_signal)(void *arg, int signo);
	void *arg;
	int ready; // events it is not yet told of; it is in the queue where there are any
	struct watch *next, *prev;
	union {
		ev_io io;
		ev_signal signal;
	};
};

struct slice {
	struct loop *loop;
	struct slice *next;
	int (*step)(void *arg, uint64_t budget_ns);
	void (*done)(void *arg, int result);
	void *arg;
};

// libev ends the process where its allocator fails, so its few small blocks (the loop, a row per
// descriptor, the epoll buffer) may pass the limit; they are counted all the same.
static void *allocate(void *p, long size) EV_NOEXCEPT
{
	if (size <= 0) {
		mem_free(p);
		return NULL;
	}
	uint64_t limit = mem_limit_get();
	mem_limit(0);
	void *q = mem_resize(ACCOUNT_LOOP, p, (size_t)size);
	if (!q) // a failure that a test asked for; when memory is truly gone this fails as well
		q = mem_resize(ACCOUNT_LOOP, p, (size_t)size);
	mem_limit(limit);
	return q;
}

// Our CPU time since the turn began, or, where no more than ENOUGH has gone by since, what has: it
// is never less. To ask for CPU time is a system call, for the other clock it is none.
static uint64_t turn_took(const struct loop *loop, uint64_t enough)
{
	uint64_t gone = clock_now() - loop->began_ns;
	return gone <= enough ? gone : clock_cpu() - loop->turn_ns;
}

static void turn_end(struct loop *loop)
{
	if (!loop->turn_ns)
		return;
	uint64_t most = count_get(COUNT_TURN_MAX_NS);
	uint64_t took = turn_took(loop, most < TURN_LONG_NS ? most : TURN_LONG_NS);
	count_max(COUNT_TURN_MAX_NS, took);
	if (took > TURN_LONG_NS)
		count_add(COUNT_TURNS_LONG, 1);
	loop->turn_ns = 0;
}

uint64_t loop_ran(struct loop *loop)
{
	return loop->ran_ns = turn_took(loop, RAN_ENOUGH_NS);
}

// libev's sleep before it polls; what is pending, due timers and slices go before it.
void loop_rest(struct loop *loop, uint64_t ns)
{
	ev_set_io_collect_interval(loop->ev, (double)ns / 1e9);
}

static void set_alarm(struct loop *loop, uint64_t due_ns)
{
	uint64_t now = clock_now();
	ev_timer_stop(loop->ev, &loop->alarm);
	// libev counts from its own idea of now, which is as old as the last poll.
	ev_now_update(loop->ev);
	ev_timer_set(&loop->alarm, due_ns > now ? (double)(due_ns - now) / 1e9 : 0., 0.);
	ev_timer_start(loop->ev, &loop->alarm);
	loop->alarm_ns = due_ns;
}

static void on_prepare(struct ev_loop *ev, ev_prepare *w, int events)
{
	struct loop *loop = w->data;
	(void)ev;
	(void)events;
	turn_end(loop);
	uint64_t due = loop->slices || loop->ready ? 0 : timers_due(loop);
	if (due == loop->alarm_ns)
		return;
	if (due != NEVER) {
		set_alarm(loop, due);
	} else {
		ev_timer_stop(loop->ev, &loop->alarm);
		loop->alarm_ns = NEVER;
	}
}

// The alarm only ends the poll; turn_work does what is due.
static void on_alarm(struct ev_loop *ev, ev_timer *w, int events)
{
	struct loop *loop = w->data;
	(void)ev;
	(void)events;
	loop->alarm_ns = NEVER;
}

static void turn_begin(struct ev_loop *ev, ev_check *w, int events)
{
	struct loop *loop = w->data;
	(void)ev;
	(void)events;
	loop->began_ns = clock_now();
	loop->turn_ns = clock_cpu();
	loop->ran_ns = 0;
	loop->turn++;
}

static void watch_unlink(struct watch *w)
{
	if (!w->ready)
		return;
	*(w->prev ? &w->prev->next : &w->loop->ready) = w->next;
	*(w->next ? &w->next->prev : &w->loop->ready_last) = w->prev;
	w->ready = 0;
}

static void watch_ready(struct watch *w, int events)
{
	struct loop *loop = w->loop;
	if (!w->ready) {
		w->next = NULL;
		w->prev = loop->ready_last;
		*(w->prev ? &w->prev->next : &loop->ready) = w;
		loop->ready_last = w;
	}
	w->ready |= events;
}

static void run_watches(struct loop *loop)
{
	uint64_t so_far = loop->ran_ns;
	for (struct watch *w; (w = loop->ready) && so_far < WATCHES_NS;) {
		int events = w->ready;
		watch_unlink(w);
		w->on_fd(w->arg, events);
		so_far = loop_ran(loop);
	}
}

static void slice_append(struct slice *s)
{
	struct loop *loop = s->loop;
	s->next = NULL;
	*(loop->last ? &loop->last->next : &loop->slices) = s;
	loop->last = s;
}

static void slice_unlink(struct slice *s)
{
	struct loop *loop = s->loop;
	struct slice *before = NULL;
	for (struct slice *i = loop->slices; i; before = i, i = i->next) {
		if (i != s)
			continue;
		*(before ? &before->next : &loop->slices) = s->next;
		if (loop->last == s)
			loop->last = before;
		return;
	}
}

static void run_slice(struct loop *loop)
{
	struct slice *s = loop->slices;
	uint64_t so_far = loop->ran_ns;
	uint64_t budget = so_far + SLICE_LEAST_NS < TURN_NS ? TURN_NS - so_far : SLICE_LEAST_NS;
	loop->passed_over = s && so_far >= TURN_NS && !loop->passed_over;
	if (!s || loop->passed_over)
		return;
	slice_unlink(s);
	slice_append(s);
	loop->stepping = s;
	int result = s->step(s->arg, budget < LOOP_SLICE_NS ? budget : LOOP_SLICE_NS);
	if (loop->stepping && result <= 0) {
		slice_unlink(s);
		if (s->done)
			s->done(s->arg, result);
		slice_free(loop->stepping);
	}
	loop->stepping = NULL;
}

static void turn_work(struct ev_loop *ev, ev_check *w, int events)
{
	struct loop *loop = w->data;
	(void)ev;
	(void)events;
	run_watches(loop);
	timers_run(loop);
	run_slice(loop);
}

// A new loop. NULL with errno: ENOMEM, or what epoll says.
struct loop *loop_new(void)
{
	ev_set_allocator(allocate);
	struct loop *loop = mem_alloc(ACCOUNT_LOOP, sizeof(*loop));
	if (!loop)
		return NULL;
	loop->ev = ev_loop_new(EVBACKEND_EPOLL | EVBACKEND_POLL | EVFLAG_NOENV | EVFLAG_NOINOTIFY);
	if (!loop->ev) {
		int error = errno ? errno : ENOSYS;
		mem_free(loop);
		return errno = error, NULL;
	}
	ev_prepare_init(&loop->prepare, on_prepare);
	ev_check_init(&loop->begin, turn_begin);
	ev_check_init(&loop->work, turn_work);
	ev_timer_init(&loop->alarm, on_alarm, 0., 0.);
	ev_set_priority(&loop->prepare, EV_MINPRI);
	ev_set_priority(&loop->begin, EV_MAXPRI);
	ev_set_priority(&loop->work, EV_MINPRI);
	loop->prepare.data = loop->begin.data = loop->work.data = loop->alarm.data = loop;
	loop->alarm_ns = NEVER;
	ev_prepare_start(loop->ev, &loop->prepare);
	ev_check_start(loop->ev, &loop->begin);
	ev_check_start(loop->ev, &loop->work);
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	assert(!loop->alive);
	ev_timer_stop(loop->ev, &loop->alarm);
	ev_prepare_stop(loop->ev, &loop->prepare);
	ev_check_stop(loop->ev, &loop->begin);
	ev_check_stop(loop->ev, &loop->work);
	ev_loop_destroy(loop->ev);
	mem_free(loop);
}

// Runs until loop_stop, also one that was called before.
void loop_run(struct loop *loop)
{
	if (!loop->stop)
		ev_run(loop->ev, 0);
	turn_end(loop);
	loop->stop = false;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
	ev_break(loop->ev, EVBREAK_ONE);
}

void loop_turn(struct loop *loop)
{
	ev_run(loop->ev, EVRUN_NOWAIT);
	turn_end(loop);
}

static void on_io(struct ev_loop *ev, ev_io *io, int events)
{
	struct watch *w = io->data;
	(void)ev;
	// The kernel refused the watch (max_user_watches): better to try and to read nothing than
	// to hang.
	int seen = events & EV_ERROR
		       ? LOOP_READ | LOOP_WRITE
		       : (events & EV_READ ? LOOP_READ : 0) | (events & EV_WRITE ? LOOP_WRITE : 0);
	watch_ready(w, seen);
}

static void on_signal(struct ev_loop *ev, ev_signal *signal, int events)
{
	struct watch *w = signal->data;
	(void)ev;
	(void)events;
	w->on_signal(w->arg, signal->signum);
}

struct watch *watch_new(struct loop *loop, void *arg)
{
	struct watch *w = mem_alloc(ACCOUNT_LOOP, sizeof(*w));
	if (!w)
		return NULL;
	ev_io_init(&w->io, on_io, -1, 0);
	w->loop = loop;
	w->arg = arg;
	loop->alive++;
	return w;
}

void watch_begin(struct watch *w, int fd, int events, void (*fn)(void *arg, int events))
{
	w->on_fd = fn;
	ev_io_init(&w->io, on_io, fd, 0);
	w->io.data = w;
	watch_set(w, events);
}

// Calls FN whenever FD is ready for EVENTS (LOOP_READ, LOOP_WRITE; 0: paused). NULL with errno:
// EBADF, ENOMEM.
struct watch *loop_watch(
    struct loop *loop, int fd, int events, void (*fn)(void *arg, int events), void *arg)
{
	if (fcntl(fd, F_GETFD) < 0) // libev ends the process on what is no descriptor
		return NULL;
	struct watch *w = watch_new(loop, arg);
	if (w)
		watch_begin(w, fd, events, fn);
	return w;
}

void watch_set(struct watch *w, int events)
{
	int wanted = (events & LOOP_READ ? EV_READ : 0) | (events & LOOP_WRITE ? EV_WRITE : 0);
	int ready = w->ready & events;
	if (!ready)
		watch_unlink(w);
	w->ready = ready;
	if (ev_is_active(&w->io) && (w->io.events & (EV_READ | EV_WRITE)) == wanted)
		return;
	ev_io_stop(w->loop->ev, &w->io);
	ev_io_set(&w->io, w->io.fd, wanted);
	if (wanted)
		ev_io_start(w->loop->ev, &w->io);
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	if (w->on_signal)
		ev_signal_stop(w->loop->ev, &w->signal);
	else
		ev_io_stop(w->loop->ev, &w->io);
	watch_unlink(w);
	w->loop->alive--;
	mem_free(w);
}

// NULL with errno: ENOMEM, or EINVAL for a signal that does not exist.
struct watch *loop_signal(struct loop *loop, int signo, void (*fn)(void *arg, int signo), void *arg)
{
	if (signo <= 0 || signo >= NSIG)
		return errno = EINVAL, NULL;
	struct watch *w = watch_new(loop, arg);
	if (!w)
		return NULL;
	w->on_signal = fn;
	ev_signal_init(&w->signal, on_signal, signo);
	w->signal.data = w;
	ev_signal_start(loop->ev, &w->signal);
	return w;
}

struct slice *loop_slice(struct loop *loop, int (*step)(void *arg, uint64_t budget_ns),
    void (*done)(void *arg, int result), void *arg)
{
	struct slice *s = mem_alloc(ACCOUNT_LOOP, sizeof(*s));
	if (!s)
		return NULL;
	*s = (struct slice){.loop = loop, .step = step, .done = done, .arg = arg};
	loop->alive++;
	slice_append(s);
	return s;
}

void slice_free(struct slice *s)
{
	if (!s)
		return;
	slice_unlink(s);
	if (s->loop->stepping == s)
		s->loop->stepping = NULL;
	s->loop->alive--;
	mem_free(s);
}
