/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Time off the CPU, exact for each thread: from the switch that takes it off to the one that brings
 * it back. All that is known of a thread hangs at its task.
 *
 *   off_switch   prev: the block begins; its stack may be taken (the gate)
 *                next: the block ends; its time goes to its stack, or to what no stack bears
 *   off_exit     what no stack bore of a thread that ends
 *
 * The gate takes a stack with a probability that the block remembers and tells. How long no stack
 * was taken is known exactly and told for itself, so all times of a thread always add up to the
 * time that it was off the CPU.
 */
#pragma once
#include "take.bpf.h"
#include "look.h"
#include "reason.bpf.h"

/* Set before loading. */
const volatile u64 off_min_ns = 1000000;
const volatile u32 gate_least_us = 245; /* a fourth of it: see gate_turn */
const volatile bool off_kernel = false;			     /* with kernel frames */
const volatile u64 off_look_ns = LOOK_NS; /* between two looks; 0: there are none */
const volatile u32 gate_stacks = GATE_STACKS;
const volatile u32 off_every = 0; /* tests: the gate takes one of so many; 0: as it fits */

#define LOADING_LOOKS 10   /* so many looks at one stack whose rows are being loaded */
#define EXPECT_MOST 200000 /* us: then a look sees the block surely */
#define EXPECT_FIRST 5000  /* of a thread that is new: most of those that soon end wait no longer */

/*
 * A thread. Only the scheduler's own order (off, on, off ...) changes what follows, but for what is
 * marked: that the look changes. `told_ns` both do: the look by compare and exchange.
 */
struct off {
	u64 told_ns;	 /* the current block is told up to here; 0: it is on a CPU */
	u64 out_ns;	 /* the current or last block began */
	u64 delay_ns;	 /* how long it had waited for a CPU in all its life then */
	u64 owed_ns;	 /* blocked in blocks that no stack bears; sums that only grow */
	u64 owed_run_ns; /* likewise runnable */
	u64 short_ns;	 /* of blocks shorter than off_min_ns */
	u64 owed_told_ns, owed_run_told_ns, short_told_ns; /* look: of these */
	u32 owed_count, short_count, owed_count_told, short_count_told;
	u32 block;	 /* counts up as each begins; never 0 */
	u32 stack_block; /* look: the block that a stack was taken of last */
	u32 gate;	 /* how likely the gate took its stack, in 1/2^32; GATE_SURE: it did */
	u32 expect_us;	 /* how much its next block will matter, see expect */
	u8 runnable;	 /* the current block is no wait but for a CPU */
	u8 reason;	 /* of the block that has a stack */
	u8 again;	 /* the stack wants rows that were not there: a look takes it again */
	u8 state;	 /* of the task as it went off; that of one that is woken tells nothing */
};
#define GATE_SURE ((u32)-1)
/* With what the kernel puts before it, just what its allocator has a size for (192). */
_Static_assert(sizeof(struct off) == 112, "memory of each thread");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct off);
} offs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct look_control);
} look_controls SEC(".maps");

#define NOW_OF(x) (*(volatile typeof(x) *)&(x))

static __always_inline struct look_control *look_control(void)
{
	u32 zero = 0;
	return bpf_map_lookup_elem(&look_controls, &zero);
}

/* NULL: none is wanted, or there is no room for it. */
static __always_inline struct off *off_new(struct task_struct *task)
{
	struct look_control *control = look_control();
	if (task->flags & PF_EXITING || !wanted((u32)task->tgid))
		return 0;
	struct off *o = 0;
	if (control && !control->full)
		o = bpf_task_storage_get(&offs, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	count(o ? KERNEL_STORAGES : KERNEL_STORAGES_FAILED, 1);
	if (o)
		o->expect_us = EXPECT_FIRST;
	return o;
}

static __always_inline bool off_may_create(void)
{
	return bpf_core_field_exists(((struct bpf_local_storage_map *)0)->selem_ma);
}

static __always_inline u64 delay_of(struct task_struct *task)
{
	return bpf_core_field_exists(task->sched_info) ? task->sched_info.run_delay : 0;
}

/* A switch: on CLOCK_MONOTONIC, and on the scheduler's clock (0: it is not to be had). */
struct moment {
	u64 now, clock;
};

/* How long TASK, which is being put on its CPU AT, has waited for one since DELAY_NS. */
static __always_inline u64 waited(struct task_struct *task, struct moment at, u64 delay_ns)
{
	if (!bpf_core_field_exists(task->sched_info) || !at.clock)
		return 0;
	u64 queued = task->sched_info.last_queued;
	return task->sched_info.run_delay - delay_ns +
	       (queued && at.clock > queued ? at.clock - queued : 0);
}

/*
 * How long TASK, which is leaving its CPU AT, was on it. The switch that put it there is not seen
 * where the kernel did not run the program, as it may (it never nests one on a CPU, and a guard may
 * keep BPF from some tasks).
 */
static __always_inline u64 since_arrival(struct task_struct *task, struct moment at)
{
	if (!bpf_core_field_exists(task->sched_info))
		return 0;
	u64 arrived = task->sched_info.last_arrival;
	return at.clock > arrived ? at.clock - arrived : 0;
}

static __always_inline u64 some(u64 sum, u64 told)
{
	return (s64)(sum - told) > 0 ? sum - told : 0;
}

#define ONE BLOCK_CHANCE_ONE

/* 1/ONE: how likely a stack was taken of a block that was WHOLE_NS long. */
static __always_inline u64 likelihood(const struct off *o, u64 whole_ns)
{
	u64 gate = o->gate == GATE_SURE ? ONE : o->gate / (GATE_SURE / ONE + 1);
	u64 look = 0, look_ns = off_look_ns * rates_every();
	if (off_look_ns)
		look = whole_ns >= look_ns ? ONE : whole_ns * ONE / look_ns;
	u64 p = gate + (ONE - gate) * look / ONE;
	return p ? p : 1;
}

/* A block that ends. */
struct block_end {
	u64 now;
	u64 waited_ns; /* for a CPU, of a block that was more than that */
	u32 pid, tid;
	u64 seen; /* by the switch that ends it; else its stack stays without its rest, to verify less twice */
};

/* A block of WHOLE_NS has ended, of which OFF_NS were not told, RUN_NS of these runnable. */
static __always_inline void off_tell(
    struct off *o, const struct block_end *e, u64 off_ns, u64 run_ns, u64 whole_ns)
{
	u64 rest = off_ns - run_ns;
	struct record_block r = {
	    .head = {.kind = RECORD_BLOCK, .size = sizeof(r), .time_ns = e->now},
	    .blocked_ns = rest,
	    .runnable_ns = run_ns,
	    .whole_ns = whole_ns,
	    .pid = e->pid,
	    .tid = e->tid,
	    .block = o->block,
	    .count = off_ns == whole_ns,
	    .chance = (u32)likelihood(o, whole_ns),
	    .reason = o->reason,
	    .last = 1,
	};
	if (bpf_ringbuf_output(&ring, &r, sizeof(r), BPF_RB_NO_WAKEUP)) {
		count(KERNEL_BLOCK_RING, 1);
		o->owed_ns += rest;
		o->owed_run_ns += run_ns;
		o->owed_count++;
	}
}

/*
 * The root of the mean square of what the last blocks were, those that are too short none of it,
 * and this one US: to take stacks as likely makes the least error with so many of them (Neyman
 * 1934), also where a few long waits are among many short ones.
 *
 *   sqrt(15/16 * EXPECT^2 + 1/16 * US^2), as the larger one or 7/8 of it and half the other
 */
static __always_inline u32 expect(u32 expect_us, u32 us)
{
	u32 old = (u32)((u64)expect_us * 31 / 32), new = us / 4;
	u32 large = old > new ? old : new, both = large - large / 8 + (old ^ new ^ large) / 2;
	return both > large ? both : large;
}

/* Checked by itself (see walk_frame). */
__attribute__((noinline)) int off_over(struct off *o, const struct block_end *e)
{
	if (!o || !e)
		return 0;
	u64 now = e->now;
	u64 told = __sync_lock_test_and_set(&o->told_ns, 0);
	if (!told)
		return 0;
	u64 off = now > told ? now - told : 0, whole = now > o->out_ns ? now - o->out_ns : 0;
	u64 us = whole < off_min_ns ? 0 : whole / 1024;
	o->expect_us = expect(o->expect_us, us < EXPECT_MOST ? (u32)us : EXPECT_MOST);
	if (whole < off_min_ns) {
		o->short_ns += off;
		o->short_count++;
		return 0;
	}
	count(KERNEL_BLOCKS, 1);
	u64 run = o->runnable ? off : e->waited_ns;
	if (run > off)
		run = off;
	if (e->seen && NOW_OF(o->stack_block) == o->block) {
		off_tell(o, e, off, run, whole);
	} else {
		o->owed_ns += off - run;
		o->owed_run_ns += run;
		o->owed_count++;
	}
	return 0;
}

static __always_inline void off_ends(
    struct off *o, struct task_struct *task, struct moment at, bool seen)
{
	const struct block_end e = {
	    .now = at.now,
	    .waited_ns = waited(task, at, o->delay_ns),
	    .pid = (u32)task->tgid,
	    .tid = (u32)task->pid,
	    .seen = seen,
	};
	off_over(o, &e);
}

/* O is new: TASK has been off its CPU since the last look, or since it began. */
static __always_inline u64 off_since(
    struct off *o, struct task_struct *task, const struct look_control *control)
{
	u64 since = control->since_ns;
	if (since < task->start_time)
		since = task->start_time;
	o->out_ns = since;
	o->delay_ns = delay_of(task);
	o->gate = 0;
	o->block = 1;
	return since;
}

/* A sample without a stack that bears NS of COUNT blocks itself. */
static __always_inline void bears(struct record_sample *s, u8 reason, u64 ns, u32 blocks)
{
	s->reason = reason;
	s->value = ns;
	s->object = blocks;
}

/* O is new: TASK comes to a CPU for the first time since we look, or in its life. */
static __always_inline void off_comes(struct off *o, struct task_struct *task, u64 now)
{
	struct look_control *control = look_control();
	if (!control || o->block)
		return;
	u64 since = off_since(o, task, control);
	/* It never was on one: looks leave alone what only waits for a CPU. */
	o->runnable = !(task->nvcsw + task->nivcsw);
	if (o->runnable) {
		since = control->first_ns > task->start_time ? control->first_ns : task->start_time;
		o->out_ns = since;
	}
	if (o->runnable && now >= since + off_min_ns) {
		struct record_sample s = {};
		take_head_of(&s, task, SOURCE_OFF_CPU, 0);
		bears(&s, OFF_START, now - since, 1);
		if (!bpf_ringbuf_output(&ring, &s, sizeof(s), BPF_RB_NO_WAKEUP))
			return;
	}
	NOW_OF(o->told_ns) = since;
}

static __always_inline void off_arrives(struct task_struct *next, struct moment at)
{
	struct off *o = bpf_task_storage_get(&offs, next, 0, 0);
	if (!o && off_may_create()) {
		o = off_new(next);
		if (o)
			off_comes(o, next, at.now);
	}
	if (o)
		off_ends(o, next, at, true);
}

/* The gate takes a stack of one in US blocks that are expected to matter 1 us; US is not 0. */
static __always_inline void gate_set(struct scratch *x, u32 us)
{
	x->gate_us = us;
	x->gate_likely = (1ull << 32) / us;
}

/* So many stacks in GATE_NS. */
static __always_inline u64 gate_aim(void)
{
	u64 n = governed ? gate_stacks / rates_every() : gate_stacks;
	return n ? n : 1;
}

/*
 * The gate begins to count anew: as if what comes is what was. Blocks that are taken surely count
 * as one, however long they are, so that all others get what these leave. But what is hardly
 * expected to matter is not taken for want of better.
 */
static __always_inline void gate_turn(struct scratch *x, u64 now)
{
	u64 us = x->gate_sum / gate_aim();
	/* After a pause what was before says nothing. */
	bool fits = now >= x->gate_ns + GATE_NS || us < gate_least_us;
	gate_set(x, fits ? gate_least_us : (u32)us);
	x->gate_ns = now + GATE_NS;
	x->gate_sum = 0;
	count(KERNEL_SWITCHES, x->switches);
	x->switches = 0;
}

/*
 * Does the gate take this block's stack? The more the block is expected to matter, the likelier, so
 * that all stacks stand for about as much, and that all together keep within the gate's aim.
 */
static __always_inline bool gate(struct scratch *x, struct off *o, u64 now)
{
	u32 us = o->expect_us + 1;
	x->switches++;
	if (now >= x->gate_ns)
		gate_turn(x, now);
	x->gate_sum += us < x->gate_us ? us : x->gate_us;
	if (x->gate_sum > 2 * gate_aim() * x->gate_us)
		gate_set(x, x->gate_us * 2);
	u64 likely = off_every ? GATE_SURE / off_every : us * x->gate_likely;
	o->gate = likely < GATE_SURE ? (u32)likely : GATE_SURE;
	/* Knuth's MMIX; a helper would cost more than all of this. */
	x->random = (x->random ^ now) * 6364136223846793005ull + 1442695040888963407ull;
	if (o->gate != GATE_SURE && x->random >> 32 >= o->gate)
		return false;
	/* Half of the ring is left to times: a stack that is missing costs less than one of these. */
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) <=
	    bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE) / 2)
		return true;
	o->gate = 0;
	count(KERNEL_GATE_LOST, 1);
	return false;
}

static __always_inline void off_stack(void *ctx, struct off *o, struct task_struct *task)
{
	struct scratch *x = take_begin(SOURCE_OFF_CPU, 0);
	if (!x)
		return;
	take_fill(ctx, x, 0, SOURCE_OFF_CPU, 0, off_kernel, true);
	struct record_sample *s = (struct record_sample *)x->words;
	s->block = o->block;
	s->reason = o->reason = reason_of(task, o->runnable, o->state, x->walk.raw, &s->object);
	if (x->walking)
		bpf_loop(user_frames_max + 1, walk_one, &x, 0);
	bool loading = x->walk.end == WALK_END_LOADING;
	if (take_end(x)) {
		count(KERNEL_GATE_STACKS, 1);
		o->again = loading ? LOADING_LOOKS : 0;
		NOW_OF(o->stack_block) = o->block;
	}
}

static __always_inline bool off_begins(
    void *ctx, struct scratch *x, bool preempt, struct task_struct *prev, struct moment at)
{
	u64 now = at.now;
	struct off *o = bpf_task_storage_get(&offs, prev, 0, 0);
	if (!o && off_may_create())
		o = off_new(prev);
	if (!o)
		return false;
	if (o->told_ns) {
		u64 ran = since_arrival(prev, at);
		off_ends(o, prev, (struct moment){now - ran, at.clock}, false);
	}
	o->block = o->block == (u32)-1 ? 1 : o->block + 1;
	o->out_ns = now;
	o->delay_ns = delay_of(prev);
	u32 state = prev->__state;
	o->state = (u8)state;
	o->runnable = preempt || !state;
	NOW_OF(o->told_ns) = now;
	if (!x) {
		o->gate = 0;
		return false;
	}
	bool taken = gate(x, o, now);
	if (taken)
		off_stack(ctx, o, prev);
	return taken;
}

/* The scheduler's clock of TASK's CPU; 0: it is not to be had. */
static __always_inline u64 switch_clock_of(struct task_struct *task)
{
	return bpf_core_field_exists(task->se.cfs_rq->rq) ? task->se.cfs_rq->rq->clock : 0;
}

/* When a switch is, mostly without the helper. */
static __always_inline struct moment switch_moment(struct scratch *x, u64 clock)
{
	if (!clock || !x)
		return (struct moment){bpf_ktime_get_ns(), clock};
	if (clock_is_due(&x->clock, clock))
		clock_found(&x->clock, clock, bpf_ktime_get_ns());
	return (struct moment){clock + x->clock.apart_ns, clock};
}

/* One run in so many is timed, for all of them. */
#define TIMED 64

static __always_inline u64 run_begins(struct scratch *x)
{
	return governed && x && !(x->runs++ % TIMED) ? bpf_ktime_get_ns() : 0;
}

static __always_inline bool is_followed(struct task_struct *task)
{
	return !(task->flags & PF_KTHREAD) && task->pid;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(off_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	/* First: each path to a pointer that leads out of a task costs the verifier half a millisecond. */
	u64 clock = switch_clock_of(prev);
	bool comes = is_followed(next), goes = is_followed(prev);
	if (!comes && !goes)
		return 0;
	struct scratch *x = scratch_of_cpu();
	u64 began = run_begins(x);
	struct moment at = switch_moment(x, clock);
	bool stack = false;
	if (comes)
		off_arrives(next, at);
	if (goes)
		stack = off_begins(ctx, x, preempt, prev, at);
	/* A stack's time is counted with it. */
	if (began && !stack)
		count(KERNEL_SWITCHES_NS, (bpf_ktime_get_ns() - began) * TIMED);
	return 0;
}

static __always_inline void off_last(struct record_sample *s, u8 reason, u64 ns, u32 blocks)
{
	if (!ns)
		return;
	bears(s, reason, ns, blocks);
	if (bpf_ringbuf_output(&ring, s, sizeof(*s), BPF_RB_NO_WAKEUP)) {
		count(KERNEL_OFF_LOST, blocks);
		count(KERNEL_OFF_LOST_NS, ns);
	}
}

/* Attached before task_exit: the process is told to be over after its last thread's time. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(off_exit, struct task_struct *task)
{
	struct off *o = bpf_task_storage_get(&offs, task, 0, 0);
	if (!o)
		return 0;
	if (wanted((u32)task->tgid)) {
		struct record_sample s = {};
		take_head(&s, SOURCE_OFF_CPU, 0);
		off_last(&s, OFF_SHORT, some(o->short_ns, o->short_told_ns),
		    o->short_count - o->short_count_told);
		off_last(&s, OFF_UNSAMPLED,
		    some(o->owed_ns, o->owed_told_ns) + some(o->owed_run_ns, o->owed_run_told_ns),
		    o->owed_count - o->owed_count_told);
	}
	if (!bpf_task_storage_delete(&offs, task))
		count(KERNEL_STORAGES_ENDED, 1);
	return 0;
}
