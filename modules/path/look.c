// SPDX-License-Identifier: Apache-2.0
// Looks at all threads, in slices: five times a second for the stacks of those that are blocked,
// and when a window closes for the time that they have been.
//
//   window closes at T -> look until T -> drain what was sampled until T -> seal
//
// What begins to run has rows that nobody has loaded yet: its first stacks are cut. Where it waits
// long enough they are taken again as soon as the rows are there, by a look for these alone.
//
// While a look until T runs nothing else is drained, so that what happened later stays out.
#include "private.h"

#include <errno.h>
#include <string.h>

#define LOOK_NS (150 * NS_PER_MS) // and up to JITTER_NS more, so that nothing runs in step with it
#define JITTER_NS (100 * NS_PER_MS)

// Looks for those that lacked rows rest so many times as long as they take: 0.25 % of a CPU. They
// may be ahead of that, for where many programs start at once.
#define REST 400
#define CREDIT_NS (4 * NS_PER_S)

static void begin(struct path *p, uint64_t until, bool again);

static bool wanting(const struct path *p)
{
	return p->rows_lacked || p->stacks_lost;
}

static int look_step(void *arg, uint64_t budget_ns)
{
	struct path *p = arg;
	int more = p->look_again ? kernel_look_again(p->kernel, p->look_lost, budget_ns)
				 : kernel_look(p->kernel, p->look_until, budget_ns);
	if (more < 0)
		log_seldom(LOG_LEVEL_WARN,
		    "looking at blocked threads: %s: their time is told later", strerror(-more));
	return more > 0;
}

static void timer_until(struct path *p, uint64_t at)
{
	uint64_t now = clock_now();
	timer_set(p->look_timer, at > now ? at - now : 1, 0);
}

static void pay(struct path *p, uint64_t now, uint64_t ns)
{
	uint64_t least = now > CREDIT_NS ? now - CREDIT_NS : 0;
	p->look_rested = (p->look_rested > least ? p->look_rested : least) + ns;
}

static void look_done(void *arg, int result)
{
	struct path *p = arg;
	(void)result; // told
	uint64_t now = clock_now(), took = clock_cpu() - p->look_began,
		 every = p->govern.timer ? p->govern.every : 1;
	p->look_slice = NULL;
	if (p->look_again)
		pay(p, now, every * REST * took);
	else
		p->look_due = now + every * (LOOK_NS + now % JITTER_NS);
	if (p->look_until) {
		p->look_until = 0;
		p->look_wanted = false;
		timer_set(p->drain_timer, SETTLE_NS, 0);
	} else if (p->look_wanted) {
		begin(p, p->close_at, false);
	}
	timer_until(p, p->look_due);
	if (p->rows_came || p->stacks_lost)
		look_loaded(p);
}

static void begin(struct path *p, uint64_t until, bool again)
{
	p->look_until = until;
	p->look_again = again;
	p->look_began = clock_cpu();
	p->rows_lacked = p->rows_came = false;
	p->look_lost = again && p->stacks_lost;
	if (again)
		p->stacks_lost = false;
	p->look_slice = loop_slice(p->options.loop, look_step, look_done, p);
	if (p->look_slice)
		return;
	while (look_step(p, LOOP_SLICE_NS)) // no memory for a slice: at once, however long it takes
		;
	look_done(p, 0);
}

static void on_look(void *arg)
{
	struct path *p = arg;
	bool again = clock_now() < p->look_due;
	if (p->look_slice)
		return;
	// What is found after a window's end would close it before all of it is there.
	if (again && (!wanting(p) || p->close_at))
		timer_until(p, p->look_due);
	else
		begin(p, 0, again);
}

void look_loaded(struct path *p)
{
	p->rows_came = true;
	if (p->look_timer && !p->look_slice && wanting(p) && p->look_rested < p->look_due)
		timer_until(p, p->look_rested);
}

int look_open(struct path *p)
{
	if (!p->blocked || !p->kernel || kernel_off_cpu_why(p->kernel))
		return 0;
	p->look_timer = loop_timer(p->options.loop, LOOK_NS, 0, on_look, p);
	p->looks = true;
	p->look_due = clock_now() + LOOK_NS;
	return p->look_timer ? 0 : -ENOMEM;
}

bool look_close(struct path *p)
{
	if (!p->look_timer)
		return false;
	p->look_wanted = true;
	if (!p->look_slice)
		begin(p, p->close_at, false);
	return true;
}

bool look_last(struct path *p, uint64_t until, uint64_t budget_ns)
{
	if (!p->looks)
		return false;
	p->look_until = until;
	p->look_again = false;
	p->looks = look_step(p, budget_ns);
	return p->looks;
}

void look_free(struct path *p)
{
	slice_free(p->look_slice);
	timer_free(p->look_timer);
	p->look_slice = NULL;
	p->look_timer = NULL;
	p->look_wanted = false;
}
