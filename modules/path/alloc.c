// SPDX-License-Identifier: Apache-2.0
// Allocations: samples of probed allocators become what was handed out (allocs) and, until their
// end is told, what is in use (heap).
//
// A block of s bytes is sampled with probability p = 1 - exp(-s/period), and stands for 1/p blocks
// and s/p bytes. Values are whole numbers: what rounding leaves out goes to the next sample.
#include "private.h"

#include "../../bpf/alloc.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ALLOC_TYPES (1u << PATH_ALLOCS | 1u << PATH_HEAP)
#define LOST_FREE "[not followed: live blocks full]"

// As the agent before this one called them.
static const char *const kinds[] = {[ALLOC_MALLOC] = "malloc",
    [ALLOC_NEW] = "new",
    [ALLOC_CALLOC] = "calloc",
    [ALLOC_REALLOC] = "realloc",
    [ALLOC_ALIGNED] = "memalign",
    [ALLOC_POSIX] = "posix_memalign",
    [ALLOC_JAVA_TLAB] = "java",
    [ALLOC_JAVA_OUTSIDE] = "java",
    [ALLOC_JAVA_END] = "java"};

int alloc_open(struct path *p)
{
	if (!p->options.alloc_period || !p->options.alloc_live || p->live ||
	    !(p->options.types & ALLOC_TYPES))
		return 0;
	p->live = live_new(p->options.alloc_live);
	return p->live ? 0 : -ENOMEM;
}

static int64_t whole(double *rest, double value)
{
	*rest += value;
	double n = floor(*rest);
	*rest -= n;
	return (int64_t)n;
}

static double chance_of(const struct path *p, double bytes)
{
	return bytes > 0 ? -expm1(-bytes / (double)p->options.alloc_period) : 1;
}

// What a sample stands for: objects and bytes. Java's stand for objects of the size that was seen;
// how many a thread had in its last buffer nobody knows.
static void weigh(struct path *p, const struct record_sample *r, int64_t values[2])
{
	double bytes = (double)r->value, objects = 1;
	double chance = chance_of(p, bytes);
	if (ALLOC_IS_JAVA(r->reason) && r->object)
		objects = bytes / (double)r->object;
	else if (ALLOC_IS_JAVA(r->reason))
		objects = 0;
	values[0] = whole(&p->alloc_rest[0], objects / chance);
	values[1] = whole(&p->alloc_rest[1], bytes / chance);
}

static void add_up(int64_t to[2], const int64_t values[2])
{
	for (int i = 0; i < 2; i++)
		if (__builtin_add_overflow(to[i], values[i], &to[i]))
			to[i] = INT64_MAX;
}

static void not_followed(struct path *p, uint32_t pid, const int64_t values[2])
{
	struct live_loss *l = p->live_lost, *last = l + LIVE_LOSERS - 1;
	while (l < last && l->pid && l->pid != pid)
		l++;
	l->pid = pid;
	add_up(l->values, values);
}

// Blocks of a process that is over are told once more, as those that are followed; those of a
// program that executed another are not.
static void lost_gone(struct path *p, uint32_t pid, bool ended)
{
	struct live_loss *l = p->live_lost, *end = l + LIVE_LOSERS, *to = l;
	for (; l < end && l->pid; l++) {
		bool its = l->pid == pid;
		l->ended |= its && ended;
		if (!its || ended)
			*to++ = *l;
	}
	for (; to < l; to++)
		*to = (struct live_loss){0};
}

// What all of them have; who has ended has no more.
static void tell_lost(struct path *p, struct profile *heap)
{
	struct live_loss *l = p->live_lost, *end = l + LIVE_LOSERS, *to = l;
	int64_t values[PROFILE_VALUES_MAX] = {0};
	for (; l < end && l->pid; l++) {
		add_up(values, l->values);
		if (!l->ended)
			*to++ = *l;
	}
	for (; to < l; to++)
		*to = (struct live_loss){0};
	if (values[0])
		profile_add_lost(heap, LOST_FREE, values);
}

void alloc_sample(struct path *p, const struct process *process, const struct record_sample *r)
{
	int64_t values[PROFILE_VALUES_MAX];
	struct facts who = {.pid = r->pid,
	    .tid = r->tid,
	    .comm = r->comm,
	    .process_comm = r->process_comm,
	    .process = process,
	    .allocation = kinds[r->reason]};
	if (!p->live || !r->value)
		return;
	weigh(p, r, values);
	take_add(p, PATH_ALLOCS, &who, p->stack, NULL, values);
	p->totals.alloc_bytes += (uint64_t)values[1];
	if (ALLOC_IS_JAVA(r->reason)) // the garbage collector tells no end of it
		return;
	struct live_block block = {.address = r->object,
	    .born_ns = r->head.time_ns,
	    .objects = values[0],
	    .bytes = values[1],
	    .pid = r->pid};
	struct live_place at = {
	    .pid = r->pid, .process = process->id, .kind = r->reason, .stack = p->stack};
	memcpy(at.process_comm, r->process_comm, sizeof(at.process_comm));
	int error = r->block ? live_put(p->live, &block, &at) : -ENOSPC;
	if (!error)
		return;
	not_followed(p, r->pid, values);
	if (p->kernel)
		kernel_block_forget(p->kernel, r->pid, r->object);
	if (error == -ENOSPC)
		log_seldom(LOG_LEVEL_WARN,
		    "profiling.alloc.live_max: %u sampled blocks are live: the end of more is not "
		    "told: raise it, or sample_bytes",
		    p->options.alloc_live);
	else
		log_seldom(LOG_LEVEL_WARN, "memory_limit: no memory for live blocks");
}

void alloc_lose(struct path *p, const struct record_sample *r, const char *mark)
{
	int64_t values[2];
	if (!p->live || !r->value)
		return;
	weigh(p, r, values);
	take_lost(p, PATH_ALLOCS, mark, (uint64_t)values[0], (uint64_t)values[1]);
}

bool alloc_free(struct path *p, const struct record_free *r)
{
	return p->live && live_remove(p->live, r->pid, r->address);
}

// A process that nothing is left of: its memory went with its program, or with itself, and then
// what was live until its end is told once.
struct gone {
	struct path *path;
	uint32_t pid;
	bool ended;
};

static enum live_wish is_gone(void *arg, uint32_t pid, uint64_t address)
{
	const struct gone *g = arg;
	if (pid != g->pid)
		return LIVE_WANTED;
	if (g->path->kernel)
		kernel_block_forget(g->path->kernel, pid, address);
	return g->ended ? LIVE_ENDED : LIVE_REFUSED;
}

static void gone(struct path *p, uint32_t pid, bool ended)
{
	struct gone g = {.path = p, .pid = pid, .ended = ended};
	lost_gone(p, pid, ended);
	if (p->live && live_has(p->live, pid))
		live_check(p->live, is_gone, &g);
}

void path_heap_over(void *p, uint32_t pid)
{
	gone(p, pid, true);
}

void alloc_changed(struct path *p, const struct record *r)
{
	uint32_t pid = r->kind == RECORD_MMAP ? ((const struct record_mmap *)r)->pid
					      : ((const struct record_task *)r)->pid;
	bool mapped = r->kind == RECORD_MMAP, ended = r->kind == RECORD_EXIT;
	if (!mapped)
		gone(p, pid, ended);
	if (p->heap && p->kernel && ended && heap_has(p->heap, pid))
		kernel_calls_forget(p->kernel, pid);
	if (p->heap && ended)
		heap_ended(p->heap, pid);
	else if (p->heap)
		heap_changed(p->heap, pid, !mapped);
}

// The end of one whose record found the ring full.
static enum live_wish lives(void *arg, uint32_t pid, uint64_t address)
{
	struct path *p = arg;
	struct record_free r = {
	    .head = {.kind = RECORD_FREE, .size = sizeof(r)}, .address = address, .pid = pid};
	if (kernel_block_lives(p->kernel, pid, address))
		return LIVE_WANTED;
	r.head.time_ns = clock_now();
	tape_put_record(p, &r.head);
	return LIVE_REFUSED;
}

// Each stood for more than itself, about as one of their mean size does.
static void lose_some(struct path *p, uint64_t lost, uint64_t bytes, const char *mark)
{
	if (!lost)
		return;
	double chance = chance_of(p, (double)bytes / (double)lost);
	uint64_t stood_for = (uint64_t)((double)bytes / chance);
	take_lost(p, PATH_ALLOCS, mark, (uint64_t)((double)lost / chance), stood_for);
	p->totals.alloc_bytes += stood_for;
}

void alloc_losses(struct path *p, const uint64_t counters[KERNEL_COUNTER_COUNT])
{
	const uint64_t *old = p->counters;
	if (!p->live)
		return;
	lose_some(p, counters[KERNEL_ALLOC_LOST] - old[KERNEL_ALLOC_LOST],
	    counters[KERNEL_ALLOC_LOST_BYTES] - old[KERNEL_ALLOC_LOST_BYTES], "[lost: ring full]");
	lose_some(p, counters[KERNEL_ALLOC_MANY] - old[KERNEL_ALLOC_MANY],
	    counters[KERNEL_ALLOC_MANY_BYTES] - old[KERNEL_ALLOC_MANY_BYTES],
	    "[lost: too many at a time]");
	if (counters[KERNEL_ALLOC_FREE_RING] != old[KERNEL_ALLOC_FREE_RING])
		live_check(p->live, lives, p);
}

static void tell(void *arg, const struct live_place *at)
{
	struct path *p = arg;
	char young[32], old[32];
	double age = (double)p->options.leak_age_ns / 1e9;
	snprintf(young, sizeof(young), "<%gs", age);
	snprintf(old, sizeof(old), ">=%gs", age);
	struct facts who = {.pid = at->pid,
	    .tid = at->pid,
	    .comm = at->process_comm,
	    .process_comm = at->process_comm,
	    .process = process_by_id(p->processes, at->process),
	    .allocation = kinds[at->kind],
	    .age = young};
	int64_t values[PROFILE_VALUES_MAX] = {at->young[0], at->young[1]};
	if (values[1])
		take_add(p, PATH_HEAP, &who, at->stack, NULL, values);
	who.age = old;
	values[0] = at->old[0];
	values[1] = at->old[1];
	if (values[1])
		take_add(p, PATH_HEAP, &who, at->stack, NULL, values);
}

void alloc_tell(struct path *p, uint64_t end_ns)
{
	uint64_t age = p->options.leak_age_ns;
	struct profile *heap = p->current[PATH_HEAP].profile;
	if (!p->live || p->live_told || !heap)
		return;
	p->live_told = true;
	live_tell(p->live, end_ns > age ? end_ns - age : 0, tell, p);
	tell_lost(p, heap);
}
