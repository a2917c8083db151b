// SPDX-License-Identifier: Apache-2.0
// What programs tell of themselves: a round over the processes that are wanted, before a window
// closes, reads the profiles that Go's runtime keeps in each.
//
//   window is to close -> processes, one after the other, in slices -> it closes
//
// So what is in use is so as of the window's end, and no sample waits for it meanwhile. The first
// round, when it is known who runs, tells nothing: it marks where the first window begins.
#include "private.h"
#include "recording.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define PIDS_MAX 16384u
#define ROUND_NS NS_PER_S // what was not read by then is left for the next
#define TOLD_MAX 32768u	  // places in one round; the rest is one
#define ANCESTORS_MAX 64
#define REST 50 // times as long as a round took there is none: it takes 2 % of a CPU at most
#define TICK_NS (NS_PER_S / 100)
#define LISTS(types)                                                                               \
	(((types) & (1u << PATH_ALLOCS | 1u << PATH_HEAP) ? 1u << GOPROF_HEAP : 0) |               \
	    ((types)&1u << PATH_MUTEX ? 1u << GOPROF_MUTEX : 0) |                                  \
	    ((types)&1u << PATH_GO_BLOCK ? 1u << GOPROF_BLOCK : 0))

int round_open(struct path *p)
{
	struct round *r = &p->round;
	struct timespec now = {0};
	struct goprof_options go = {.lists = LISTS(p->options.types)};
	if (!go.lists || p->options.offline || r->goprof)
		return 0;
	clock_gettime(CLOCK_BOOTTIME, &now);
	r->started_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
	r->goprof = goprof_new(&go);
	return r->goprof ? 0 : -ENOMEM;
}

void round_free(struct path *p)
{
	struct round *r = &p->round;
	slice_free(r->slice);
	goprof_free(r->goprof);
	mem_free(r->pids);
	*r = (struct round){0};
}

// Made when the first program tells something. NULL: not wanted, or no memory.
static struct filling *filling_of(struct path *p, enum path_type type)
{
	struct filling *f = &p->current[type];
	if (f->profile)
		return f;
	if (!(p->options.types & 1u << type) || p->over)
		return NULL;
	f->profile = profile_new(ACCOUNT_PROFILE, profile_type_find(path_type_name(type)));
	if (!f->profile) {
		log_seldom(LOG_LEVEL_WARN, "memory_limit: no memory for a profile of type %s",
		    path_type_name(type));
		return NULL;
	}
	profile_header(f->profile)->period = type == PATH_GO_BLOCK ? 1 : GO_PERIOD;
	p->told_types |= 1u << type;
	return f;
}

static void add(struct path *p, const struct tape_bucket *b, const struct place *places)
{
	const struct process *process = process_by_id(p->processes, b->process);
	struct filling *f = process ? filling_of(p, b->type) : NULL;
	if (!f)
		return;
	struct facts who = {.pid = process->pid,
	    .tid = process->pid,
	    .comm = process->comm,
	    .process_comm = process->comm,
	    .process = process,
	    .lock_class = b->type == PATH_MUTEX ? "go mutex" : NULL};
	int64_t values[PROFILE_VALUES_MAX] = {b->values[0], b->values[1]};
	p->totals.told++;
	*p->stack = (struct blocked_stack){.count = b->count};
	memcpy(p->stack->places, places, b->count * sizeof(*places));
	take_add(p, b->type, &who, p->stack, b->count ? NULL : "[rest: too many places]", values);
}

void round_taped(struct path *p, const struct tape_bucket *b, const struct place *places)
{
	add(p, b, places);
}

static void put(struct path *p, enum path_type type, int64_t count, int64_t value,
    const struct place *places, uint32_t n)
{
	struct tape_bucket b = {
	    .process = p->round.process, .type = type, .count = n, .values = {count, value}};
	if ((!count && !value) || !(p->options.types & 1u << type) || p->over)
		return;
	add(p, &b, places);
	tape_put_bucket(p, &b, places);
}

static void on_sample(void *arg, const struct goprof_sample *s)
{
	static const enum path_type types[] = {[GOPROF_HEAP] = PATH_ALLOCS,
	    [GOPROF_MUTEX] = PATH_MUTEX,
	    [GOPROF_BLOCK] = PATH_GO_BLOCK};
	struct path *p = arg;
	struct round *r = &p->round;
	struct place places[GOPROF_DEPTH_MAX];
	uint32_t n = 0;
	if (r->marks)
		return;
	if (++r->told <= TOLD_MAX)
		for (; n < s->depth; n++) {
			// A return address lies behind its call; the instruction before it is the
			// call.
			uint64_t at = s->stack[n] - 1;
			bool own = at >= r->start && at < r->end;
			places[n] = (struct place){.kind = own ? PLACE_FILE : PLACE_NONE,
			    .owner = own ? r->binary : 0,
			    .address = own ? at - r->bias : 0};
		}
	put(p, types[s->list], s->count, s->value, places, n);
	put(p, PATH_HEAP, s->held, s->held_value, places, n);
}

// Selected by its pid, or begun by one that is?
static bool is_selected(struct path *p, const struct process *process)
{
	if (!process->wanted)
		return false;
	for (int n = 0; p->options.pid_count && n < ANCESTORS_MAX && process; n++) {
		for (uint32_t i = 0; i < p->options.pid_count; i++)
			if (p->options.pids[i] == process->pid)
				return true;
		process = process->ppid ? process_by_pid(p->processes, process->ppid) : NULL;
	}
	return !p->options.pid_count;
}

// The process PID becomes the one at hand, where its program may be Go's.
static bool begin_process(struct path *p, uint32_t pid)
{
	struct round *r = &p->round;
	struct process *process = process_by_pid(p->processes, pid);
	if (process && !process->start_ticks)
		process = process_learn(p->processes, pid);
	if (!process || !is_selected(p, process))
		return false;
	struct process_mapping m;
	struct goprof_target target;
	int error = target_of(p->processes, p->options.proc, r->goprof, process, &target, &m);
	if (error == -EPERM || error == -EACCES)
		kept_who(r->kept.refused, process);
	if (error)
		return false;
	target.whole = process->exec_seen || process->start_ticks * TICK_NS > r->started_ns;
	r->process = target.process;
	r->binary = target.binary;
	r->start = m.start;
	r->end = m.end;
	r->bias = target.bias;
	tape_put_mapping(p, process, &m);
	return goprof_begin(r->goprof, &target) == 0;
}

static void end_process(struct path *p, int result)
{
	struct round *r = &p->round;
	const struct process *process = process_by_id(p->processes, r->process);
	r->reading = false;
	goprof_end(r->goprof);
	if (goprof_kind(r->goprof, r->binary) == GOPROF_NONE)
		return;
	if (!result) {
		count_add(COUNT_GO_READS, 1);
		if (process)
			kept_read(r, process);
	} else if (result == -ENOENT) {
		if (process)
			kept_who(r->kept.hidden, process);
		log_seldom(LOG_LEVEL_INFO,
		    "%.16s: a Go program without symbols (built with -ldflags=-s) in which the "
		    "profiles that it keeps of itself are not found",
		    process ? process->comm : "?");
	} else {
		count_add(COUNT_GO_BAD, 1);
		log_seldom(LOG_LEVEL_DEBUG, "%.16s: the profiles that it keeps of itself: %s",
		    process ? process->comm : "?", strerror(-result));
	}
}

static bool is_alive(void *arg, uint32_t process)
{
	struct path *p = arg;
	const struct process *found = process_by_id(p->processes, process);
	return found && !found->exit_ns;
}

static void begin(struct path *p)
{
	struct round *r = &p->round;
	if (!r->pids)
		r->pids = mem_alloc(ACCOUNT_PATH, PIDS_MAX * sizeof(*r->pids));
	r->window = r->marks ? 0 : p->window_number;
	r->count = r->pids ? processes_list(p->processes, r->pids, PIDS_MAX) : 0;
	r->next = r->told = 0;
	if (r->first >= r->count)
		r->first = 0;
	r->began_ns = clock_now();
	r->cost_ns = 0;
	r->runs = true;
}

// A piece of the round: false where there is no more.
static bool go_on(struct path *p, uint64_t budget_ns)
{
	struct round *r = &p->round;
	if (r->reading) {
		int more = goprof_step(r->goprof, budget_ns, on_sample, p);
		if (more <= 0)
			end_process(p, more);
	} else if (r->next < r->count) {
		uint32_t at = (r->first + r->next++) % r->count;
		r->reading = begin_process(p, r->pids[at]);
	} else {
		r->first = 0;
		return false;
	}
	return true;
}

static void end_round(struct path *p)
{
	struct round *r = &p->round;
	goprof_end(r->goprof);
	goprof_sweep(r->goprof, is_alive, p);
	mem_free(r->pids);
	r->pids = NULL;
	r->runs = r->reading = false;
	// The first, that looks at every program of the machine, comes once.
	r->rest_ns = r->marks ? 0 : clock_now() + REST * r->cost_ns;
}

// 1 more, 0 the round is through.
static int step(struct path *p, uint64_t budget_ns)
{
	struct round *r = &p->round;
	uint64_t now = clock_now(), end = now + budget_ns;
	bool more;
	do {
		more = go_on(p, end - now);
		now = clock_now();
	} while (more && now < end);
	r->cost_ns += now - (end - budget_ns);
	if (more && now - r->began_ns > ROUND_NS) {
		count_add(COUNT_GO_LATE, 1);
		r->first = (r->first + r->next) % (r->count + 1);
		more = false;
	}
	if (!more)
		end_round(p);
	return more;
}

static int slice_step(void *arg, uint64_t budget_ns)
{
	return step(arg, budget_ns);
}

static void slice_done(void *arg, int result)
{
	struct path *p = arg;
	(void)result;
	bool closes = !p->round.marks || p->round.close_wanted;
	p->round.slice = NULL;
	p->round.marks = p->round.close_wanted = false;
	if (closes)
		ship_close(p);
}

void round_mark(struct path *p)
{
	struct round *r = &p->round;
	if (!r->goprof || r->slice || p->finishing || p->over)
		return;
	r->marks = true;
	begin(p);
	r->slice = loop_slice(p->options.loop, slice_step, slice_done, p);
	r->marks = r->slice;
}

bool round_close(struct path *p)
{
	struct round *r = &p->round;
	if (!r->goprof || p->finishing || p->over || r->slice || r->window == p->window_number) {
		r->close_wanted = true;
		return r->slice;
	}
	if (clock_now() < r->rest_ns) {
		count_add(COUNT_GO_LATE, 1);
		return false;
	}
	begin(p);
	r->slice = loop_slice(p->options.loop, slice_step, slice_done, p);
	return r->slice; // without memory for it there is no round for this window
}

bool round_last(struct path *p, uint64_t budget_ns)
{
	struct round *r = &p->round;
	if (!r->goprof)
		return false;
	if (r->marks) { // what it marked so far is all there is
		goprof_end(r->goprof);
		r->marks = r->runs = r->reading = false;
	}
	if (!r->runs && r->window != p->window_number)
		begin(p);
	return r->runs && step(p, budget_ns);
}
