/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * take: wanted? -> walk the stack -> fill the record -> emit. The one way of every sample.
 *
 *   take_begin   wanted? this CPU's scratch
 *   take_fill    the record's head, the kernel part, where the user part begins
 *   walk_step    frame by frame, see walk.bpf.h
 *   take_end     to the ring
 *
 * hand.bpf.h: a program takes stacks for several others.
 *
 * All is built in scratch[cpu], for 512 bytes of stack are too few. A per-CPU map would cost a slot
 * for every possible CPU (often 128 or 240), this array has one for every present one.
 */
#pragma once
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "counter.h"
#include "kernel_types.h"
#include "look.h"
#include "rates.h"
#include "record.h"
#include "tables.bpf.h"
#include "walk.h"

/* Set before loading; the verifier sees constants. */
const volatile u32 user_frames_max = 127;  /* at most FRAMES_MAX */
const volatile u32 kernel_stack_max = 127; /* kernel.perf_event_max_stack: of the kernel part */
const volatile bool no_kernel_frames = false, no_user_frames = false;
const volatile bool only_listed = false;   /* take only processes that `listed` holds as LISTED */
const volatile bool use_listed = false;	   /* false: `listed` is never asked */
const volatile u32 address_bits = 48;	   /* of user space; arm64 signs return addresses above */
const volatile u64 wake_gap_ns = 20000000; /* between two samples of a CPU that wake user space */

#define WAKE_BURST 16
#define WAKE_PRICE 4

/* Set before loading: the rates may be lowered, and what the programs cost is counted. */
const volatile bool governed = false;
const volatile u64 cpu_period_ns = 10101010;

/* User memory: the current task's, or a copy of another's (copy.bpf.h). */
static __always_inline bool walk_read(struct walk *w, void *to, u32 size, u64 from)
{
	if (!w->copy)
		return !bpf_probe_read_user(to, size, (const void *)from);
	u64 at = from - w->copy_at;
	if (at < w->copy_bytes && at + size <= w->copy_bytes)
		return !bpf_probe_read_kernel(to, size, (const void *)(w->copy + at));
	w->missed_at = from;
	return false;
}
/* Likewise of code: of another task's, what lies behind the copy of its stack. */
static __always_inline bool walk_code(struct walk *w, void *to, u64 from)
{
	if (!w->copy)
		return !bpf_probe_read_user(to, 8, (const void *)from);
	u64 at = from - w->code_at;
	if (w->code_at && at <= LOOK_CODE - 8)
		return !bpf_probe_read_kernel(to, 8, (const void *)(w->copy + LOOK_COPY + at));
	if (!w->missed_code)
		w->missed_code = from;
	return false;
}
#define walk_process(w, at) table_process((w)->pid, (w)->mm_id, at)
#define walk_window(w, index) table_window(index)
#define walk_page(w, kind, page) table_page(kind, page)
#define walk_recent(w, slot) table_recent(slot)
#define WALK_ADDRESS_BITS address_bits

/* Whoever calls the step puts it into the record: put_frame. */
static __always_inline bool walk_put(struct walk *w, u32 n, u64 frame)
{
	(void)n;
	w->frame = frame;
	return true;
}

#include "walk.bpf.h"
#include "regs.bpf.h"
#include "head.bpf.h"

/* The last frame found, of the user part. */
static __always_inline void put_frame(struct scratch *x)
{
	struct record_sample *s = (struct record_sample *)x->words;
	u32 at = s->kernel_frames + x->walk.n - 1;
	if (x->walk.n && at < KERNEL_FRAMES_MAX + user_frames_max)
		s->frames[at] = x->walk.frame;
}

/*
 * A step as a function that the verifier checks by itself, once for each program, knowing nothing of W: inlined it
 * would follow it again for whatever the program knew before it (Linux 5.12).
 */
__attribute__((noinline)) int walk_frame(struct walk *w)
{
	return !w || walk_step(w, true);
}

/* True: the walk has ended. */
static __always_inline bool walk_on(struct scratch *x)
{
	int over = walk_frame(&x->walk);
	put_frame(x);
	/* The compiler knows what it can be, the verifier does not. */
	asm volatile("" : "+r"(over));
	return over & 1;
}

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64[KERNEL_COUNTER_COUNT]);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rates);
} rates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} listed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* present CPUs */
	__uint(key_size, 4);
	__uint(value_size, SCRATCH_SIZE(FRAMES_MAX)); /* of user_frames_max, set before loading */
} scratches SEC(".maps");

static __always_inline void count(u32 which, u64 n)
{
	u32 zero = 0;
	u64 *c = bpf_map_lookup_elem(&counters, &zero);
	if (c && which < KERNEL_COUNTER_COUNT)
		c[which] += n;
}

static __always_inline bool wanted(u32 pid)
{
	if (!use_listed)
		return true;
	u32 *v = bpf_map_lookup_elem(&listed, &pid);
	return only_listed ? v && *v == LISTED : !v || *v != UNWANTED;
}

static __always_inline void walk_kernel(void *ctx, struct record_sample *s)
{
	u32 n = 0;
	s64 bytes = bpf_get_stack(ctx, s->frames, KERNEL_FRAMES_MAX * 8, 0);
	if (bytes > 0)
		n = (u32)bytes / 8;
	if (n > KERNEL_FRAMES_MAX)
		n = KERNEL_FRAMES_MAX;
	s->kernel_cut = n == KERNEL_FRAMES_MAX || n >= kernel_stack_max;
	s->kernel_frames = (u16)n;
}

/*
 * Are the mappings of the program that the process of LEADER runs, whose memory is MM, published?
 * Then W walks by them. Where no sample of it came up yet, nobody in user space knows MM_ID.
 */
static __always_inline bool walk_by(struct walk *w, struct task_struct *leader, u32 pid, u32 mm_id)
{
	u64 place;
	u32 execs = BPF_CORE_READ(leader, self_exec_id) - BPF_CORE_READ(leader, parent_exec_id);
	if (!table_process(pid, mm_id, &place)) {
		if (!execs || execs > MM_EXECS || !table_process(pid, execs, &place))
			return false;
		mm_id = execs;
	}
	w->pid = pid;
	w->mm_id = mm_id;
	return true;
}

/*
 * A child that was forked and has run no exec has its parent's mappings, until one of them maps
 * something. The same random place of the stack and as many executable pages say that they still
 * are. So a process that lives for one sample has a whole stack.
 */
static __always_inline void walk_by_published(struct walk *w)
{
	struct task_struct *task = (void *)w->task;
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct mm_struct *mm = BPF_CORE_READ(task, mm), *its;
	if (walk_by(w, leader, w->pid, w->mm_id) || !(BPF_CORE_READ(leader, flags) & PF_FORKNOEXEC))
		return;
	struct task_struct *parent = BPF_CORE_READ(leader, real_parent);
	its = BPF_CORE_READ(parent, mm);
	if (!its || BPF_CORE_READ(its, start_stack) != BPF_CORE_READ(mm, start_stack) ||
	    BPF_CORE_READ(its, exec_vm) != BPF_CORE_READ(mm, exec_vm))
		return;
	walk_by(w, BPF_CORE_READ(parent, group_leader), (u32)BPF_CORE_READ(parent, tgid),
	    fold((u64)its));
}

static __always_inline int walk_begins(struct walk *w, u64 tables)
{
	if (tables)
		walk_by_published(w);
	walk_begin(w, tables);
	return 0;
}

APART(walk_begins)

/* Where the walk over the user stack begins; false: there is nothing to be walked. */
static __always_inline bool begin_user(
    struct walk *w, const u64 *regs, bool in_user, struct task_struct *task, bool apart)
{
	enum user_mode mode = user_registers(w, regs, in_user, task);
	if (mode == MODE_KERNEL)
		return false;
	w->frames_max = user_frames_max;
	w->task = (u64)task;
	PART(walk_begins, w, use_tables && mode == MODE_USER, apart);
	if (mode == MODE_USER)
		return true;
	w->frame = w->pc;
	w->n = 1;
	w->end = WALK_END_COMPAT;
	return false;
}

static __always_inline struct scratch *scratch_of_cpu(void)
{
	u32 cpu = bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&scratches, &cpu);
}

/* 1/n of the full rates: n. */
static __always_inline u64 rates_every(void)
{
	u32 zero = 0;
	struct rates *r = governed ? bpf_map_lookup_elem(&rates, &zero) : 0;
	return r && r->every && r->every <= RATES_LEAST ? r->every : 1;
}

/* What a sample bears that comes with VALUE, 0: it is none that is taken. */
static __always_inline u64 rates_draw(u64 value)
{
	u64 every = rates_every();
	if (every == 1)
		return value;
	return bpf_get_prandom_u32() % (u32)every ? 0 : value * every;
}

/* Of how many samples of SOURCE one that bears VALUE stands: of ticks of the CPU's clock. */
static __always_inline u64 stands_for(u8 source, u64 value)
{
	return governed && source == SOURCE_CPU ? value / cpu_period_ns : 1;
}

/*
 * A sample of SOURCE that bears VALUE is dropped. A stack of a block bears none: its time stays; and
 * who takes a waker's counts it.
 */
static __always_inline void lose(u8 source, u64 value, u32 cause)
{
	if (source == SOURCE_CPU) {
		count(cause, stands_for(source, value));
	} else if (source == SOURCE_MEMORY) {
		count(KERNEL_MEMORY_LOST, 1);
		count(KERNEL_MEMORY_LOST_BYTES, value);
	} else if (source == SOURCE_MAPPED) {
		count(KERNEL_MAPPED_LOST, 1);
		count(KERNEL_MAPPED_LOST_BYTES, value);
	} else if (source == SOURCE_LOCK) {
		count(KERNEL_LOCKS_LOST, 1);
		count(KERNEL_LOCKS_LOST_NS, value);
	} else if (source == SOURCE_OFF_CPU) {
		count(KERNEL_GATE_LOST, 1);
	}
}

/* This CPU's, taken: not NULL where a sample is to be taken. */
static __always_inline struct scratch *scratch_take(u32 pid, u8 source, u64 value)
{
	if (!pid) {
		count(KERNEL_IDLE, stands_for(source, value));
		return 0;
	}
	if (!wanted(pid)) {
		count(KERNEL_UNWANTED, stands_for(source, value));
		return 0;
	}
	if (source == SOURCE_CPU)
		count(KERNEL_TAKEN, stands_for(source, value));
	struct scratch *x = scratch_of_cpu();
	if (!x) {
		lose(source, value, KERNEL_LOST_CPU);
		return 0;
	}
	if (x->busy) {
		lose(source, value, KERNEL_LOST_NESTED);
		return 0;
	}
	x->busy = 1;
	return x;
}

/* The head is there. REGS: as below. */
static __always_inline void take_user_so(struct scratch *x, const u64 *regs, bool in_user,
    struct task_struct *task, bool apart)
{
	struct record_sample *s = (struct record_sample *)x->words;
	struct walk *w = &x->walk;
	u32 flags = OF_TASK(task, flags, flags);
	w->pid = s->pid;
	w->mm_id = s->mm_id;
	w->seconds = (u32)(s->head.time_ns / 1000000000);
	w->n = w->by_fp = 0;
	w->end = WALK_END_NONE;
	w->need = w->loading = 0;
	w->need_at = 0;
	/* One that is ending has let go of its memory, and its user stack with it. */
	x->walking = !no_user_frames && s->mm_id && !(flags & (PF_KTHREAD | PF_IO_WORKER)) &&
		     begin_user(w, regs, in_user, task, apart);
	put_frame(x);
}

static __always_inline void take_user(
    struct scratch *x, const u64 *regs, bool in_user, struct task_struct *task)
{
	take_user_so(x, regs, in_user, task, true);
}

/*
 * The head, the kernel part where KERNEL, and where the user part begins, of a sample of SOURCE that
 * bears VALUE: X is the caller's. REGS: of the sample, as in the user ABI; NULL: the source has none.
 * APART: functions that are checked by themselves may be called.
 */
static __always_inline void take_fill(void *ctx, struct scratch *x, const u64 *regs, u8 source,
    u64 value, bool kernel, bool apart)
{
	struct record_sample *s = (struct record_sample *)x->words;
	struct task_struct *task = current_task();
	bool in_user = regs && mode_of(OF_SAMPLE(regs, REGS_MODE)) != MODE_KERNEL;
	if (apart)
		take_head(s, source, value);
	else
		put_head(s, source, value, true);
	s->in_user = in_user;
	if (kernel && !in_user)
		walk_kernel(ctx, s);
	take_user_so(x, regs, in_user, task, apart);
}

/*
 * VALUE is the weight in the unit of SOURCE. The result is NULL, or to be filled, and given to
 * take_end after the walk where `walking`.
 */
static __always_inline struct scratch *take_begin(u8 source, u64 value)
{
	return scratch_take((u32)(bpf_get_current_pid_tgid() >> 32), source, value);
}

static long walk_one(u32 index, struct scratch **x)
{
	(void)index;
	return walk_on(*x);
}

/*
 * The sooner rows are there, the fewer stacks want them; and of one stack each walk misses only the
 * next part. So the first few samples may wake user space at once, then one in each wake_gap_ns.
 */
static __always_inline bool may_wake(struct scratch *x, u64 now, u64 reserve, u64 price)
{
	u64 burst = WAKE_BURST * wake_gap_ns, least = now > burst ? now - burst : 0;
	if (x->wake_ns < least)
		x->wake_ns = least;
	if (x->wake_ns + reserve * wake_gap_ns > now)
		return false;
	x->wake_ns += price * wake_gap_ns;
	return true;
}

/*
 * A walk that lost its way may have gone by a mapping that was replaced, as where a library was
 * opened at the address of one that was closed; the event that tells so waits in perf's ring. But
 * code that no walk comes through is there for good: it wakes seldom, and never in place of others.
 */
static __always_inline bool wants_wake(struct scratch *x, u64 now)
{
	switch (x->walk.end) {
	case WALK_END_LOADING:
		return may_wake(x, now, 0, 1);
	case WALK_END_NOT_CODE:
	case WALK_END_NO_CALLER:
	case WALK_END_UNMAPPED:
	case WALK_END_NO_PROGRESS:
	case WALK_END_UNREADABLE:
	case WALK_END_FP_LOST:
	case WALK_END_REPLACED:
		return may_wake(x, now, WAKE_BURST / 2, WAKE_PRICE);
	default:
		return false;
	}
}

/* The walk's results into the record; its size. */
static __always_inline u32 take_finish(struct scratch *x)
{
	struct record_sample *s = (struct record_sample *)x->words;
	const struct walk *w = &x->walk;
	s->user_frames = (u16)w->n;
	s->need = w->need;
	s->need_at = w->need_at;
	s->walk_end = w->end;
	count(KERNEL_FRAMES, w->n);
	count(KERNEL_FRAMES_FP, w->by_fp);
	if (w->end != WALK_END_NONE)
		count(KERNEL_WALK(w->end), 1);
	u32 size = sizeof(*s) + 8 * ((u32)s->kernel_frames + s->user_frames);
	s->head.size = size;
	if (size > sizeof(*s) + 8 * (KERNEL_FRAMES_MAX + user_frames_max))
		size = sizeof(*s); /* cannot be; for the verifier */
	return size;
}

/* False: the ring was full. */
static __always_inline bool take_end(struct scratch *x)
{
	struct record_sample *s = (struct record_sample *)x->words;
	u64 wake = BPF_RB_NO_WAKEUP;
	u32 size = take_finish(x);
	if (wants_wake(x, s->head.time_ns))
		wake = BPF_RB_FORCE_WAKEUP;
	bool out = !bpf_ringbuf_output(&ring, s, size, wake);
	if (!out)
		lose(s->source, s->value, KERNEL_LOST_RING);
	else if (s->source == SOURCE_CPU)
		count(KERNEL_EMITTED, stands_for(s->source, s->value));
	if (governed)
		count(KERNEL_STACKS_NS, bpf_ktime_get_ns() - s->head.time_ns);
	x->busy = 0;
	return out;
}
