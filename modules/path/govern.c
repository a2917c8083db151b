// SPDX-License-Identifier: Apache-2.0
// The CPU that the agent may use (cpu_limit): its thread, which the looks at blocked threads are
// part of, its errands, and its BPF programs, which count what they cost. Above the limit all rates
// are halved, and doubled again when that long costs so little that it is no risk. What is taken
// less often bears more (bpf/rates.h), so profiles keep their totals.
#include "private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define EVERY_MAX 64u
#define JUDGED_NS (10 * NS_PER_S) // a window of the default collection_interval, with its work
#define LEFT_PARTS 4		  // of the limit one part is left to what goes by rates in any case
#define QUIET_PARTS 5		  // far below: 2/5 of the limit
#define QUIET_MAX 6		  // so often: an upload of the default upload_interval too

// What all has cost so far, ns.
static int costs(struct path *p, uint64_t used[USED_KINDS])
{
	uint64_t counters[KERNEL_COUNTER_COUNT];
	int error = kernel_counters(p->kernel, counters);
	if (error)
		return error;
	used[USED_THREAD] = clock_cpu() + count_get(COUNT_ERRANDS_NS);
	used[USED_SWITCHES] = counters[KERNEL_SWITCHES_NS];
	used[USED_STACKS] = counters[KERNEL_STACKS_NS];
	return 0;
}

static uint64_t millionths(uint64_t used, uint64_t ns)
{
	return used / (ns / 1000000 + 1);
}

#define PERCENT(millionths) ((double)(millionths) / 1e4)

static void tell(const struct path *p, const uint64_t used[USED_KINDS], uint64_t ns, uint32_t was)
{
	const struct govern *g = &p->govern;
	char why[160];
	snprintf(why, sizeof(why),
	    "%.2f%% of a core in %lu s (thread %.2f, stacks %.2f, switches %.2f)", PERCENT(g->use),
	    (unsigned long)(ns / NS_PER_S), 100.0 * (double)used[USED_THREAD] / (double)ns,
	    100.0 * (double)used[USED_STACKS] / (double)ns,
	    100.0 * (double)used[USED_SWITCHES] / (double)ns);
	if (g->every > was)
		log_warn("cpu_limit: %g%%: telegen used %s: rates are 1/%u from now on",
		    PERCENT(p->options.cpu_limit), why, g->every);
	else if (g->every < was)
		log_info("cpu_limit: %g%%: telegen used %s: rates are 1/%u again",
		    PERCENT(p->options.cpu_limit), why, g->every);
	else if (g->use > p->options.cpu_limit)
		log_seldom(LOG_LEVEL_WARN,
		    "cpu_limit: %g%%: telegen used %s, and rates of 1/%u are as low as "
		    "helps: raise it, or turn off profiling.off_cpu, wall and mutex, which "
		    "follow every switch",
		    PERCENT(p->options.cpu_limit), why, g->every);
}

// USED in NS: the rates from now on. They are not lowered for what following the switches costs,
// which goes by no rate.
static uint32_t judge(
    struct govern *g, uint32_t limit, const uint64_t used[USED_KINDS], uint64_t ns)
{
	uint64_t by_rates = millionths(used[USED_THREAD] + used[USED_STACKS], ns),
		 use = by_rates + millionths(used[USED_SWITCHES], ns);
	g->use = use < UINT32_MAX ? (uint32_t)use : UINT32_MAX;
	g->quiet = use * QUIET_PARTS < 2ull * limit ? g->quiet + 1 : 0;
	if (use > limit)
		return g->every < EVERY_MAX && by_rates > limit / LEFT_PARTS ? g->every * 2
									     : g->every;
	if (g->quiet < QUIET_MAX || g->every == 1)
		return g->every;
	g->quiet = 0;
	return g->every / 2;
}

static void on_judge(void *arg)
{
	struct path *p = arg;
	struct govern *g = &p->govern;
	uint64_t now[USED_KINDS], used[USED_KINDS], ns = clock_now() - g->judged_ns;
	int error = costs(p, now);
	if (error) {
		log_seldom(LOG_LEVEL_WARN, "kernel counters: %s: cpu_limit is not looked after",
		    strerror(-error));
		return;
	}
	for (int i = 0; i < USED_KINDS; i++)
		used[i] = now[i] - g->last[i];
	memcpy(g->last, now, sizeof(now));
	g->judged_ns += ns;
	if (!g->begun) {
		g->begun = true;
		return;
	}
	uint32_t was = g->every;
	g->every = judge(g, p->options.cpu_limit, used, ns);
	kernel_set_rates(p->kernel, g->every);
	tell(p, used, ns, was);
}

int govern_open(struct path *p)
{
	struct govern *g = &p->govern;
	*g = (struct govern){.every = 1, .judged_ns = clock_now()};
	if (!p->options.cpu_limit)
		return 0;
	g->timer = loop_timer(p->options.loop, JUDGED_NS, JUDGED_NS, on_judge, p);
	return g->timer ? 0 : -ENOMEM;
}

void govern_free(struct path *p)
{
	timer_free(p->govern.timer);
	p->govern.timer = NULL;
}

bool path_rates(const struct path *p, struct path_rates *rates)
{
	*rates = (struct path_rates){p->options.cpu_limit, p->govern.use, p->govern.every};
	return p->govern.timer;
}
