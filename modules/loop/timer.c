// SPDX-License-Identifier: Apache-2.0
// Timers stand in one list by due time and follow clock_now(), so that a test's fake clock moves
// them too and a period never drifts.
#include "private.h"

#define TIMERS_NS (400 * NS_PER_US) // of a turn, as loop.c draws it

struct timer {
	struct loop *loop;
	struct timer *next, *prev;
	bool armed;
	uint64_t due_ns, period_ns;
	uint64_t turn; // in which it was armed: it does not run in that one
	void (*fn)(void *arg);
	void *arg;
};

static void timer_unlink(struct timer *t)
{
	if (!t->armed)
		return;
	*(t->prev ? &t->prev->next : &t->loop->timers) = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->armed = false;
}

// A walk over the list: there are a few dozen timers (at most one per connection), most of them
// armed again and again.
static void timer_link(struct timer *t, uint64_t due_ns)
{
	struct loop *loop = t->loop;
	struct timer *before = NULL, *after = loop->timers;
	for (; after && after->due_ns <= due_ns; before = after, after = after->next)
		;
	t->due_ns = due_ns;
	t->turn = loop->turn;
	t->prev = before;
	t->next = after;
	*(before ? &before->next : &loop->timers) = t;
	if (after)
		after->prev = t;
	t->armed = true;
}

void timers_run(struct loop *loop)
{
	uint64_t now = clock_now(), so_far = 0; // one in any case
	for (struct timer *t; (t = loop->timers) && t->due_ns <= now && t->turn != loop->turn &&
			      so_far < TIMERS_NS;) {
		timer_unlink(t);
		// Armed before it runs, so that it may free or set itself. Periods that were missed
		// are left out, the rhythm stays.
		if (t->period_ns)
			timer_link(
			    t, t->due_ns + ((now - t->due_ns) / t->period_ns + 1) * t->period_ns);
		t->fn(t->arg);
		so_far = loop_ran(loop);
	}
}

uint64_t timers_due(const struct loop *loop)
{
	return loop->timers ? loop->timers->due_ns : NEVER;
}

struct timer *loop_timer(
    struct loop *loop, uint64_t first_ns, uint64_t period_ns, void (*fn)(void *arg), void *arg)
{
	struct timer *t = mem_alloc(ACCOUNT_LOOP, sizeof(*t));
	if (!t)
		return NULL;
	t->loop = loop;
	t->fn = fn;
	t->arg = arg;
	loop->alive++;
	timer_set(t, first_ns, period_ns);
	return t;
}

void timer_set(struct timer *t, uint64_t first_ns, uint64_t period_ns)
{
	uint64_t now = clock_now();
	timer_unlink(t);
	t->period_ns = period_ns;
	timer_link(t, first_ns < NEVER - 1 - now ? now + first_ns : NEVER - 1);
}

void timer_free(struct timer *t)
{
	if (!t)
		return;
	timer_unlink(t);
	t->loop->alive--;
	mem_free(t);
}
