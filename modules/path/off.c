// SPDX-License-Identifier: Apache-2.0
// Off the CPU: a stack comes first, the time that it bears later, see bpf/record.h.
#include "private.h"

#include <errno.h>
#include <string.h>

#define OFF_MAX (1ull << 50) // ns of one record: 13 days

static const char *const reasons[] = {
#define X(id, name) name,
    OFF_REASONS(X)
#undef X
};

static const char *const *leaves(void)
{
	// What stands above the leaf: nothing of the program says why it does not run.
	static const char *const marks[] = {
#define X(id, name) "[" name "]",
	    OFF_REASONS(X)
#undef X
	};
	return marks;
}

#define OFF_TYPES (1u << PATH_OFF_CPU | 1u << PATH_WALL | 1u << PATH_MUTEX)
#define BLOCKED_BYTES (4u << 20)

int off_open(struct path *p)
{
	if (!(p->options.types & OFF_TYPES) || p->blocked)
		return 0;
	p->blocked =
	    blocked_new(p->options.blocked_bytes ? p->options.blocked_bytes : BLOCKED_BYTES);
	p->shares = p->blocked ? shares_new(p->blocked) : NULL;
	return p->shares ? 0 : -ENOMEM;
}

static void add(struct path *p, const struct facts *who, const struct blocked_stack *stack,
    enum off_reason reason, uint32_t count, uint64_t ns)
{
	int64_t values[PROFILE_VALUES_MAX] = {count, (int64_t)ns};
	struct facts f = *who;
	f.reason = reasons[reason];
	f.lock = 0;
	take_add(p, PATH_OFF_CPU, &f, stack, leaves()[reason], values);
	take_add(p, PATH_WALL, &f, stack, leaves()[reason], values + 1);
	p->totals.off_cpu_ns += ns;
	if (reason != OFF_MUTEX || !who->lock)
		return;
	f.reason = NULL;
	f.lock = who->lock;
	take_add(p, PATH_MUTEX, &f, stack, NULL, values);
}

// Whoever it is, wanted or not: the thread that it wakes is.
bool off_waker(struct path *p, const struct record_sample *r)
{
	uint32_t pid = (uint32_t)(r->object >> 32), tid = (uint32_t)r->object;
	struct blocked_thread *t =
	    p->blocked && p->options.wakers ? blocked_find(p->blocked, pid, tid, r->block) : NULL;
	if (!t)
		return false;
	struct process *process = r->reason == WAKER_THREAD ? process_of(p->processes, r) : NULL;
	*p->stack = (struct blocked_stack){0};
	if (process) {
		frames_of(p, process, r);
		if (p->unwind && r->need && !process->in_exec)
			unwind_need(p->unwind, process, r);
	}
	p->stack->waker_kind = r->reason;
	memcpy(p->stack->waker_comm, r->comm, COMM_LEN);
	if (!blocked_wake(p->blocked, t, p->stack, p->stack->places, p->stack_room) &&
	    errno == ENOMEM)
		log_seldom(LOG_LEVEL_WARN, "memory_limit: no memory for who wakes blocked threads: "
					   "not all of it is there");
	return true;
}

struct dealing {
	struct path *path;
	struct facts who;
};

static void on_share(void *arg, const struct share *share, uint32_t count, uint64_t ns)
{
	struct dealing *d = arg;
	d->who.lock = share->lock;
	if (ns || count)
		add(d->path, &d->who, share->stack, share->reason, count, ns);
}

// Time of R's thread that no stack bears.
static void add_bare(struct path *p, const struct process *process, const struct record_sample *r)
{
	static const struct blocked_stack none;
	uint64_t ns = r->value;
	uint32_t count = (uint32_t)r->object;
	struct facts who = {.pid = r->pid,
	    .tid = r->tid,
	    .comm = r->comm,
	    .process_comm = r->process_comm,
	    .process = process};
	struct dealing d = {p, who};
	if (r->reason == OFF_UNSAMPLED && p->shares)
		shares_deal(p->shares, r, &ns, &count, on_share, &d);
	if (ns || count)
		add(p, &who, &none, r->reason, count, ns);
}

void off_sample(struct path *p, const struct process *process, const struct record_sample *r)
{
	if (r->block && r->walk_end == WALK_END_LOADING)
		p->rows_lacked = true;
	if (!r->block)
		add_bare(p, process, r);
	else if (p->blocked && !blocked_put(p->blocked, r, process->id, p->stack, p->stack->places))
		log_seldom(LOG_LEVEL_WARN,
		    "memory_limit: no memory for the stacks of blocked threads: "
		    "their time is [blocks whose stack was lost]");
}

bool off_block(struct path *p, const struct record_block *r)
{
	if (r->reason >= OFF_WITH_STACK || !r->block || r->blocked_ns > OFF_MAX ||
	    r->runnable_ns > OFF_MAX || r->whole_ns > OFF_MAX ||
	    (r->last && (!r->chance || r->chance > BLOCK_CHANCE_ONE))) {
		count_add(COUNT_RECORDS_BAD, 1);
		return false;
	}
	if (!p->blocked)
		return false;
	struct blocked_thread *t = blocked_find(p->blocked, r->pid, r->tid, r->block);
	const struct process *process =
	    t ? process_by_id(p->processes, t->process) : process_by_pid(p->processes, r->pid);
	if (process && !process->wanted)
		return true;
	if (!t) {
		p->stacks_lost |= !r->last;
		take_lost(p, PATH_OFF_CPU, leaves()[OFF_UNSEEN], r->count,
		    r->blocked_ns + r->runnable_ns);
		return false; // it is on the tape as a loss
	}
	struct facts who = {.pid = t->pid,
	    .tid = t->tid,
	    .comm = t->comm,
	    .process_comm = t->process_comm,
	    .process = process,
	    .lock = t->object};
	if (r->last && r->blocked_ns < r->count * p->options.lock_min_ns)
		who.lock = 0;
	bool runnable = off_is_runnable(r->reason);
	if (r->blocked_ns || !runnable)
		add(p, &who, t->stack, r->reason, r->count, r->blocked_ns);
	if (r->runnable_ns)
		add(p, &who, t->stack, runnable ? r->reason : OFF_SCHEDULER,
		    runnable ? r->count : 0, r->runnable_ns);
	if (!r->last)
		return true;
	shares_add(p->shares, t, r, who.lock);
	blocked_forget(p->blocked, r->tid, r->block);
	return true;
}
