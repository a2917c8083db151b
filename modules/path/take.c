// SPDX-License-Identifier: Apache-2.0
// Take: a record came up from the kernel. Whose is it, what does each address mean, add it.
#include "private.h"
#include "../../bpf/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VALUE_MAX (1000 * NS_PER_S) // of one tick; a thousand times the longest period
#define OFF_MAX (1ull << 50)	    // of time off the CPU, and bytes: 13 days, 1 PiB
#define NOTED_MAX 8192		    // stacks, and subjects, of a window: the last that were new

static const char *const type_names[] = {
#define X(id, name) name,
    PATH_TYPES(X)
#undef X
};

const char *path_type_name(enum path_type type)
{
	return type_names[type];
}

#define HEAP_TYPES (1u << PATH_ALLOCS | 1u << PATH_HEAP)

uint32_t path_types_beside(uint32_t types)
{
	if (types & 1u << PATH_MEMORY)
		types |= 1u << PATH_ALLOCS | 1u << PATH_HEAP;
	if (types & 1u << PATH_MUTEX)
		types |= 1u << PATH_GO_BLOCK;
	return types;
}

void filling_maps(struct filling *f)
{
	struct map *maps[] = {&f->mappings, &f->resources, &f->stacks, &f->subjects};
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++) {
		map_clear(maps[i]);
		*maps[i] = MAP(ACCOUNT_PATH);
	}
}

void filling_note(struct map *m, uint64_t key, uint32_t id)
{
	if (m->count >= NOTED_MAX)
		map_clear(m);
	if (id)
		map_put(m, key, id);
}

uint64_t filling_hash(const char *text, uint64_t seed)
{
	return text ? hash_bytes(text, strlen(text), seed) : hash_mix(seed);
}

static void filling_free(struct filling f[PATH_TYPE_COUNT])
{
	for (int t = 0; t < PATH_TYPE_COUNT; t++) {
		profile_free(f[t].profile);
		f[t].profile = NULL;
		filling_maps(&f[t]);
	}
}

int take_window_new(struct path *p, uint64_t began_ns)
{
	struct filling fresh[PATH_TYPE_COUNT];
	bool failed = false;
	uint32_t made = ~PATH_TOLD_TYPES | p->told_types | (p->live ? HEAP_TYPES : 0);
	for (int t = 0; t < PATH_TYPE_COUNT; t++) {
		fresh[t] = (struct filling){0};
		filling_maps(&fresh[t]);
		// Those that programs tell themselves are made when one does, and from then on.
		if (!(p->options.types & made & 1u << t) || failed)
			continue;
		fresh[t].profile = profile_new(ACCOUNT_PROFILE, profile_type_find(type_names[t]));
		failed = !fresh[t].profile;
		if (!failed)
			profile_header(fresh[t].profile)->period =
			    t == PATH_CPU      ? (int64_t)p->options.period_ns
			    : t == PATH_MEMORY ? (int64_t)p->options.memory_period
			    : 1u << t & HEAP_TYPES
				? (int64_t)(p->live ? p->options.alloc_period : GO_PERIOD)
				: 1;
	}
	if (failed) {
		filling_free(fresh);
		return -ENOMEM;
	}
	for (int t = 0; t < PATH_TYPE_COUNT; t++)
		filling_maps(&p->current[t]);
	memcpy(p->current, fresh, sizeof(fresh));
	p->live_told = false;
	if (p->shares)
		shares_clear(p->shares);
	p->window_number++;
	p->window_began = began_ns;
	p->window_wall = clock_wall() - (clock_now() - began_ns);
	return 0;
}

void take_window_free(struct path *p)
{
	filling_free(p->current);
}

// The label set of resource R, 0 where there is none, or no memory for it: then its samples tell
// what the subject tells.
static uint32_t resource_set(struct filling *f, const struct process_resource *r)
{
	struct profile_label labels[PROCESS_RESOURCE_FACTS];
	uint64_t have;
	if (!r || !r->count)
		return 0;
	if (map_get(&f->resources, r->id, &have))
		return (uint32_t)have;
	for (uint32_t i = 0; i < r->count; i++) {
		labels[i] =
		    (struct profile_label){.key = profile_add_name(f->profile, r->facts[i].key),
			.str = profile_add_name(f->profile, r->facts[i].value)};
		if (!labels[i].key || !labels[i].str)
			return 0;
	}
	uint32_t set = profile_add_labels(f->profile, labels, r->count);
	if (set)
		map_put(
		    &f->resources, r->id, set); // only a shortcut: interned again where it fails
	return set;
}

static uint64_t subject_key(
    const struct path *p, const struct facts *who, const struct process_resource *r)
{
	const uint64_t numbers[] = {
	    (uint64_t)who->pid << 32 | who->tid, who->lock, r && r->count ? r->id : 0};
	uint64_t key = hash_bytes(numbers, sizeof(numbers), p->seed);
	key = hash_bytes(who->comm, strnlen(who->comm, COMM_LEN), key);
	key = hash_bytes(who->process_comm, strnlen(who->process_comm, COMM_LEN), key);
	key = filling_hash(who->process ? who->process->container : NULL, key);
	key = filling_hash(who->reason, key);
	key = filling_hash(who->allocation, key);
	key = filling_hash(who->age, key);
	return filling_hash(who->lock_class, key);
}

static uint32_t subject_add(
    struct filling *f, const struct facts *who, const struct process_resource *r)
{
	char comm[COMM_LEN + 1] = "", leader[COMM_LEN + 1] = "", lock[24];
	struct profile_label labels[5];
	uint32_t n = 0;
	memcpy(comm, who->comm, COMM_LEN);
	memcpy(leader, who->process_comm, COMM_LEN);
	struct profile_subject s = {
	    .pid = who->pid,
	    .tid = who->tid,
	    .comm = profile_add_name(f->profile, comm),
	    .process = profile_add_name(f->profile, leader),
	    .container = who->process ? profile_add_name(f->profile, who->process->container) : 0,
	    .resource = resource_set(f, r),
	};
	if (who->reason)
		labels[n++] = (struct profile_label){.key = profile_add_name(f->profile, "reason"),
		    .str = profile_add_name(f->profile, who->reason)};
	if (who->lock) {
		snprintf(lock, sizeof(lock), "0x%lx", who->lock);
		labels[n++] =
		    (struct profile_label){.key = profile_add_name(f->profile, "lockAddress"),
			.str = profile_add_name(f->profile, lock)};
	}
	if (who->allocation)
		labels[n++] =
		    (struct profile_label){.key = profile_add_name(f->profile, "allocationType"),
			.str = profile_add_name(f->profile, who->allocation)};
	if (who->age)
		labels[n++] = (struct profile_label){.key = profile_add_name(f->profile, "age"),
		    .str = profile_add_name(f->profile, who->age)};
	if (who->lock_class)
		labels[n++] =
		    (struct profile_label){.key = profile_add_name(f->profile, "lockClass"),
			.str = profile_add_name(f->profile, who->lock_class)};
	for (uint32_t i = 0; i < n; i++)
		if (!labels[i].key || !labels[i].str)
			return 0;
	if (n && !(s.labels = profile_add_labels(f->profile, labels, n)))
		return 0;
	return profile_add_subject(f->profile, &s);
}

static uint32_t take_subject(struct path *p, struct filling *f, const struct facts *who)
{
	const struct process_resource *r = NULL;
	uint64_t have;
	if (who->process && p->options.resources)
		r = process_resource(p->processes, who->process);
	uint64_t key = subject_key(p, who, r);
	if (map_get(&f->subjects, key, &have))
		return (uint32_t)have;
	uint32_t id = subject_add(f, who, r);
	const struct profile_subject *s = profile_subject(f->profile, id);
	if (s && (s->resource || !r || !r->count)) // else there may be memory for it next time
		filling_note(&f->subjects, key, id);
	return id;
}

int take_add(struct path *p, enum path_type type, const struct facts *who,
    const struct blocked_stack *stack, const char *leaf, const int64_t *values)
{
	struct filling *f = &p->current[type];
	if (!f->profile)
		return 0;
	const char *done = !(p->options.wakers & 1u << type) ? NULL
			   : type == PATH_MUTEX		     ? "held"
							     : "woken";
	uint32_t id = frames_add(p, f, who->process, stack, leaf, done);
	return profile_add(f->profile, id, take_subject(p, f, who), values);
}

void take_lost(
    struct path *p, enum path_type type, const char *mark, uint64_t count, uint64_t value)
{
	int64_t values[PROFILE_VALUES_MAX] = {(int64_t)count, (int64_t)value};
	if (p->current[type].profile)
		profile_add_lost(p->current[type].profile, mark, values);
	if ((type == PATH_CPU || type == PATH_OFF_CPU) && p->current[PATH_WALL].profile)
		profile_add_lost(p->current[PATH_WALL].profile, mark, values + 1);
	if (type == PATH_CPU)
		p->totals.lost += count;
	tape_put_lost(p, type, mark, count, value);
}

uint64_t take_ticks(const struct path *p, const struct record_sample *r)
{
	bool many = r->source == SOURCE_CPU && p->options.period_ns && r->value <= VALUE_MAX;
	uint64_t n = many ? r->value / p->options.period_ns : 1;
	return n ? n : 1;
}

// A sample that has no place of its own stays in the totals under MARK.
static void lose(struct path *p, const struct record_sample *r, const char *mark)
{
	if (r->source == SOURCE_MEMORY)
		take_lost(p, PATH_MEMORY, mark, 1, r->value);
	else if (r->source == SOURCE_MAPPED)
		take_lost(p, PATH_MAPPED, mark, r->object, r->value);
	else if (r->source == SOURCE_LOCK)
		take_lost(p, PATH_MUTEX, mark, 1, r->value);
	else if (r->source == SOURCE_ALLOC)
		alloc_lose(p, r, mark);
	else if (r->source != SOURCE_OFF_CPU)
		take_lost(p, PATH_CPU, mark, take_ticks(p, r), r->value);
	else if (!r->block)
		take_lost(p, PATH_OFF_CPU, mark, r->object, r->value);
	// The time of a block comes with its record_block, which finds no stack.
}

static bool is_sound(const struct record_sample *r)
{
	bool off = r->source == SOURCE_OFF_CPU, bare = off && !r->block;
	return r->head.size >= sizeof(*r) && r->kernel_frames <= KERNEL_FRAMES_MAX &&
	       r->user_frames <= FRAMES_MAX &&
	       r->head.size >= sizeof(*r) + 8ull * (r->kernel_frames + r->user_frames) &&
	       r->source < SOURCE_COUNT && r->walk_end < WALK_END_COUNT &&
	       (!r->need || r->need_at <= r->user_frames) &&
	       r->value <= (r->source == SOURCE_CPU ? VALUE_MAX : OFF_MAX) &&
	       (!off || r->reason < OFF_COUNT) &&
	       (r->source != SOURCE_LOCK || r->reason < KERNEL_LOCK_COUNT) &&
	       (r->source != SOURCE_MEMORY || r->reason < MEMORY_KINDS) &&
	       (r->source != SOURCE_MAPPED || (r->reason < MAPPED_KINDS && r->object <= OFF_MAX)) &&
	       (r->source != SOURCE_ALLOC ||
		   (r->reason < ALLOC_KINDS && r->reason != ALLOC_FREE)) &&
	       (r->source != SOURCE_WAKER || r->reason == WAKER_THREAD ||
		   r->reason == WAKER_INTERRUPT) &&
	       (!bare || r->object <= OFF_MAX) && (!off || bare == (r->reason >= OFF_WITH_STACK));
}

static const char *const kernel_locks[] = {
#define X(id, name) "[" name "]",
    KERNEL_LOCKS(X)
#undef X
};

// A tick of the CPU's clock, memory that became resident or was mapped, or a wait for a lock of the
// kernel.
static void take_here(struct path *p, const struct process *process, const struct record_sample *r)
{
	struct facts who = {.pid = r->pid,
	    .tid = r->tid,
	    .comm = r->comm,
	    .process_comm = r->process_comm,
	    .process = process};
	int64_t values[PROFILE_VALUES_MAX] = {(int64_t)take_ticks(p, r), (int64_t)r->value};
	if (r->source == SOURCE_LOCK) {
		who.lock = r->object;
		take_add(p, PATH_MUTEX, &who, p->stack, kernel_locks[r->reason], values);
		return;
	}
	if (r->source == SOURCE_MEMORY) {
		take_add(p, PATH_MEMORY, &who, p->stack,
		    r->reason == MEMORY_BEFORE ? "[pages of files, mapped before]" : NULL, values);
		p->totals.memory_bytes += r->value;
		return;
	}
	if (r->source == SOURCE_MAPPED) {
		values[0] = (int64_t)r->object;
		take_add(p, PATH_MAPPED, &who, p->stack,
		    r->reason == MAPPED_REST ? MAPPED_SMALL : NULL, values);
		p->totals.mapped_bytes += r->value;
		return;
	}
	int error = take_add(p, PATH_CPU, &who, p->stack, NULL, values);
	int on_wall = take_add(p, PATH_WALL, &who, p->stack, NULL, values + 1);
	if (error < 0 || on_wall < 0)
		p->totals.lost += take_ticks(p, r);
	else
		p->totals.delivered += take_ticks(p, r);
}

// Takes a sample: true where it belongs onto a tape.
static bool take_sample(struct path *p, const struct record_sample *r)
{
	count_add(COUNT_SAMPLES, 1);
	if (r->head.size < sizeof(*r) || !is_sound(r)) {
		count_add(COUNT_RECORDS_BAD, 1);
		take_lost(p, PATH_CPU, "[lost: bad record]", 1, p->options.period_ns);
		return false;
	}
	if (r->source == SOURCE_WAKER)
		return off_waker(p, r);
	struct process *process = process_of(p->processes, r);
	if (!process) {
		lose(p, r, "[lost: process table full]");
		return false;
	}
	if (!process->wanted) {
		count_add(COUNT_SAMPLES_FILTERED, 1);
		p->totals.filtered += r->source == SOURCE_CPU ? take_ticks(p, r) : 0;
		return false;
	}
	frames_of(p, process, r);
	if (p->unwind && r->need && !process->in_exec)
		unwind_need(p->unwind, process, r);
	if (r->source == SOURCE_OFF_CPU)
		off_sample(p, process, r);
	else if (r->source == SOURCE_ALLOC)
		alloc_sample(p, process, r);
	else
		take_here(p, process, r);
	return true;
}

// A record of another kind: false where it makes no sense.
static bool learn_record(struct path *p, const struct record *r)
{
	const struct record_mmap *m = (const struct record_mmap *)r;
	switch (r->kind) {
	case RECORD_EXEC:
		if (r->size < sizeof(struct record_task))
			return false;
		process_execed(p->processes, (const struct record_task *)r);
		learn_unwind(p, r);
		alloc_changed(p, r);
		return true;
	case RECORD_EXIT:
		if (r->size < sizeof(struct record_task))
			return false;
		learn_unwind(p, r);
		alloc_changed(p, r);
		process_exited(p->processes, (const struct record_task *)r);
		return true;
	case RECORD_MMAP:
		if (r->size < sizeof(*m) || sizeof(*m) + m->path_len >= r->size ||
		    m->path[m->path_len] || m->build_id_len > BUILD_ID_MAX)
			return false;
		process_mapped(p->processes, m);
		learn_unwind(p, r);
		alloc_changed(p, r);
		return true;
	default:
		return false;
	}
}

void path_record(void *arg, const struct record *r)
{
	struct path *p = arg;
	bool taped;
	count_add(COUNT_RECORDS, 1);
	p->drained_bytes += r->size;
	if (p->close_at && r->time_ns > p->close_at)
		ship_drained(p);
	if (r->kind == RECORD_SAMPLE) {
		taped = take_sample(p, (const struct record_sample *)r);
	} else if (r->kind == RECORD_BLOCK && r->size >= sizeof(struct record_block)) {
		taped = off_block(p, (const struct record_block *)r);
	} else if (r->kind == RECORD_FREE && r->size >= sizeof(struct record_free)) {
		taped = alloc_free(p, (const struct record_free *)r);
	} else {
		taped = learn_record(p, r);
		if (!taped)
			count_add(COUNT_RECORDS_BAD, 1);
	}
	if (taped)
		tape_put_record(p, r);
}
