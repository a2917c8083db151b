// SPDX-License-Identifier: Apache-2.0
// Looks at all threads, in slices: five times a second for the stacks of those that are blocked,
// and when a window closes for the time that they have been.
//
//   window closes at T -> look until T -> drain what was sampled until T -> seal
//
// While a look until T runs nothing else is drained, so that what happened later stays out.
#include "private.h"

#include <errno.h>
#include <string.h>

#define LOOK_NS (150 * NS_PER_MS) // and up to JITTER_NS more, so that nothing runs in step with it
#define JITTER_NS (100 * NS_PER_MS)

static void begin(struct path *p, uint64_t until);

static int look_step(void *arg, uint64_t budget_ns)
{
	struct path *p = arg;
	int more = kernel_look(p->kernel, p->look_until, budget_ns);
	if (more < 0)
		log_seldom(LOG_LEVEL_WARN,
		    "looking at blocked threads: %s: their time is told later", strerror(-more));
	return more > 0;
}

static void look_done(void *arg, int result)
{
	struct path *p = arg;
	(void)result; // told
	p->look_slice = NULL;
	if (p->look_until) {
		p->look_until = 0;
		p->look_wanted = false;
		timer_set(p->drain_timer, SETTLE_NS, 0);
	} else if (p->look_wanted) {
		begin(p, p->close_at);
	}
	uint64_t every = p->govern.timer ? p->govern.every : 1;
	timer_set(p->look_timer, every * (LOOK_NS + clock_now() % JITTER_NS), 0);
}

static void begin(struct path *p, uint64_t until)
{
	p->look_until = until;
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
	if (!p->look_slice)
		begin(p, 0);
}

int look_open(struct path *p)
{
	if (!p->blocked || !p->kernel || kernel_off_cpu_why(p->kernel))
		return 0;
	p->look_timer = loop_timer(p->options.loop, LOOK_NS, 0, on_look, p);
	p->looks = true;
	return p->look_timer ? 0 : -ENOMEM;
}

bool look_close(struct path *p)
{
	if (!p->look_timer)
		return false;
	p->look_wanted = true;
	if (!p->look_slice)
		begin(p, p->close_at);
	return true;
}

bool look_last(struct path *p, uint64_t until, uint64_t budget_ns)
{
	if (!p->looks)
		return false;
	p->look_until = until;
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
