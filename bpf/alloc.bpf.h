/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Probes on the functions of an allocator, where the user asked for them: one of so many bytes is
 * sampled, by a Poisson process, so that a block of s bytes is with probability 1 - exp(-s/period);
 * user space counts each that comes up as one over that.
 *
 *   entry    countdown of bytes; most calls end here
 *   return   of what was sampled: the stack, and the block into alloc_live
 *   free     looks the block up in alloc_live: most are not there
 *
 * A function that may call another one (calloc, realloc) is followed to its return, so that what it
 * calls is not counted once more.
 */
#pragma once
#include "take.bpf.h"
#include "alloc.h"

/* Set before loading. */
const volatile u64 alloc_period_ln2 = 363408;		 /* bytes between two samples, times ln 2 */
const volatile u32 alloc_log[(1 << ALLOC_LOG_BITS) + 1]; /* log2(1 + i/256) << ALLOC_LOG_SHIFT */

const volatile u32 alloc_spares = 1; /* the first of the spare alloc_scratches */

/* The kernel asks the entry whether the return is wanted (6.13); else it always comes. */
const volatile bool alloc_session = false;

#define ALLOC_WAKE_BYTES (64 << 10)
#define ALLOC_CALLS 1024 /* calls that go on at a time and are followed */

struct alloc_call {
	u64 function, sp; /* where it was called */
	u64 size;
	u64 out; /* ALLOC_POSIX: where the block's address goes */
	u32 pid;
	u16 sampled;
	u16 kind;
};

struct alloc_taken { /* what was sampled */
	u64 object, size; /* of a record_sample: object, value */
	u32 kind;
};

struct alloc_block {
	u64 address;
	u32 pid;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ALLOC_CALLS);
	__type(key, u32); /* thread */
	__type(value, struct alloc_call);
} alloc_calls SEC(".maps");

/* Sampled blocks that were not freed yet. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct alloc_block);
	__type(value, u32);
} alloc_live SEC(".maps");

/* Bytes until the next sample, of each CPU: a Poisson process does not remember who took part. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* present CPUs */
	__type(key, u32);
	__type(value, s64);
} alloc_left SEC(".maps");

/*
 * Of their own, for a probe may be interrupted by a tick; and several, for one may lose its CPU to
 * another thread before it is through, and does where many threads wait for it.
 *
 *   cpu 0 | cpu 1 | .. | ALLOC_SPARE for all of them
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* present CPUs, and ALLOC_SPARE */
	__uint(key_size, 4);
	__uint(value_size, SCRATCH_SIZE(FRAMES_MAX)); /* of user_frames_max, set before loading */
} alloc_scratches SEC(".maps");

#if defined(__TARGET_ARCH_arm64)
#define ALLOC_ARGUMENT(ctx, i) OF_SAMPLE(ctx, i)
#define ALLOC_RESULT(ctx) OF_SAMPLE(ctx, 0)
#define ALLOC_SP(ctx) OF_SAMPLE(ctx, 31)
#define ALLOC_PC(ctx) OF_SAMPLE(ctx, 32)
#else
#define ALLOC_ARGUMENT(ctx, i) OF_SAMPLE(ctx, (i) == 4 ? 9 : (i) == 0 ? 14 : 14 - (i))
#define ALLOC_RESULT(ctx) OF_SAMPLE(ctx, 10)
#define ALLOC_SP(ctx) OF_SAMPLE(ctx, 19)
#define ALLOC_PC(ctx) OF_SAMPLE(ctx, 16)
#endif

static __always_inline u32 leading_zeros(u32 n)
{
	u32 zeros = 0;
	for (u32 half = 16; half; half /= 2)
		if (!(n >> (32 - half))) {
			zeros += half;
			n <<= half;
		}
	return zeros;
}

/* Exponentially distributed, alloc_period on average: -ln of a number from (0, 1] times it. */
static __always_inline s64 alloc_draw(void)
{
	u32 random = bpf_get_prandom_u32() | 1, zeros = leading_zeros(random);
	u32 top = random << zeros; /* 1.xxx */
	u32 i = top >> (31 - ALLOC_LOG_BITS) & ((1 << ALLOC_LOG_BITS) - 1);
	u64 rest = top & ((1u << (31 - ALLOC_LOG_BITS)) - 1);
	u64 log =
	    alloc_log[i] + ((alloc_log[i + 1] - alloc_log[i]) * rest >> (31 - ALLOC_LOG_BITS));
	u64 negative = ((u64)(zeros + 1) << ALLOC_LOG_SHIFT) - log;
	return (s64)(negative * alloc_period_ln2 >> ALLOC_LOG_SHIFT) + 1;
}

/* Does the countdown end within SIZE bytes? */
static __always_inline bool alloc_due(u64 size)
{
	u32 cpu = bpf_get_smp_processor_id();
	s64 *left = bpf_map_lookup_elem(&alloc_left, &cpu);
	if (!left)
		return false;
	if (size > 1ull << 48)
		size = 1ull << 48;
	if (__sync_fetch_and_add(left, -(s64)size) > (s64)size)
		return false;
	*left = alloc_draw();
	return true;
}

static __always_inline void alloc_freed(u64 address, u32 pid)
{
	struct alloc_block block = {.address = address, .pid = pid};
	struct record_free *r;
	if (!address || bpf_map_delete_elem(&alloc_live, &block))
		return;
	r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);
	if (!r) { /* user space finds out when it next looks */
		count(KERNEL_ALLOC_FREE_RING, 1);
		return;
	}
	r->head.kind = RECORD_FREE;
	r->head.pad = 0;
	r->head.size = sizeof(*r);
	r->head.time_ns = bpf_ktime_get_ns();
	r->address = address;
	r->pid = pid;
	r->pad = 0;
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

static __always_inline void alloc_lost(u64 size)
{
	count(KERNEL_ALLOC_LOST, 1);
	count(KERNEL_ALLOC_LOST_BYTES, size);
}

static __always_inline void alloc_too_many(u64 size)
{
	count(KERNEL_ALLOC_MANY, 1);
	count(KERNEL_ALLOC_MANY_BYTES, size);
}

/* A free one, taken: this CPU's, or a spare one. */
static __always_inline struct scratch *alloc_scratch(void)
{
	u32 cpu = bpf_get_smp_processor_id();
	for (u32 i = 0; i <= ALLOC_SPARE; i++) {
		u32 at = i ? alloc_spares + (cpu + i) % ALLOC_SPARE : cpu;
		struct scratch *x = bpf_map_lookup_elem(&alloc_scratches, &at);
		if (x && !x->busy && !__sync_val_compare_and_swap(&x->busy, 0, 1))
			return x;
	}
	return 0;
}

/* The stack of a block that was just handed out. */
static __always_inline void alloc_take(
    void *ctx, const struct alloc_taken *taken, u32 pid, u32 tid)
{
	struct alloc_block block = {.address = taken->object, .pid = pid};
	u64 size = taken->size;
	u32 kind = taken->kind;
	struct scratch *x = alloc_scratch();
	if (!x) {
		alloc_too_many(size);
		return;
	}
	struct record_sample *s = (struct record_sample *)x->words;
	struct task_struct *task = current_task();
	take_head(s, SOURCE_ALLOC, size);
	s->object = taken->object;
	s->in_user = 1;
	s->reason = (u8)kind;
	take_user(x, ctx, true, task);
	if (x->walking)
		bpf_loop(user_frames_max + 1, walk_one, &x, 0);
	u32 size_of = take_finish(x);
	bool ends = !ALLOC_IS_JAVA(kind);
	bool followed = ends && !bpf_map_update_elem(&alloc_live, &block, &tid, BPF_ANY);
	s->block = followed;
	if (ends && !followed)
		count(KERNEL_ALLOC_FULL, 1);
	/* They come in bursts, which the next look at the ring would be too late for. */
	bool full = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= ALLOC_WAKE_BYTES;
	u64 wake = wants_wake(x, s->head.time_ns) || full ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
	if (bpf_ringbuf_output(&ring, s, size_of, wake)) {
		alloc_lost(size);
		if (followed)
			bpf_map_delete_elem(&alloc_live, &block);
	} else {
		count(KERNEL_ALLOC_STACKS, 1);
	}
	__sync_lock_test_and_set(&x->busy, 0);
}

/* How many bytes the call asks for; false: more than there can be. */
static __always_inline bool alloc_size(const u64 *ctx, u32 kind, u64 *size)
{
	u64 first = ALLOC_ARGUMENT(ctx, 0), second = ALLOC_ARGUMENT(ctx, 1);
	switch (kind) {
	case ALLOC_CALLOC:
		*size = first * second;
		asm volatile("" : "+r"(*size)); /* or it becomes a product of 128 bits */
		return !first || *size / first == second;
	case ALLOC_REALLOC:
	case ALLOC_ALIGNED:
		*size = second;
		return true;
	case ALLOC_POSIX:
		*size = ALLOC_ARGUMENT(ctx, 2);
		return true;
	default:
		*size = first;
		return true;
	}
}

/* True: the return is wanted. */
static __always_inline bool alloc_enter(const u64 *ctx, u64 function, u32 kind, u32 pid, u32 tid)
{
	u64 first = ALLOC_ARGUMENT(ctx, 0), sp = ALLOC_SP(ctx);
	struct alloc_call *outer = bpf_map_lookup_elem(&alloc_calls, &tid);
	/* Where a return was missed, the thread is above it by now, or comes by again. */
	if (outer && sp <= outer->sp && outer->function != function)
		return false;
	if (kind == ALLOC_FREE) {
		alloc_freed(first, pid);
		return false;
	}
	struct alloc_call call = {.function = function, .sp = sp, .out = first, .pid = pid, .kind = (u16)kind};
	if (!alloc_size(ctx, kind, &call.size))
		return false;
	count(KERNEL_ALLOC_CALLS, 1);
	count(KERNEL_ALLOC_BYTES, call.size);
	/* Before it is done: then another thread may have the address already. */
	if (kind == ALLOC_REALLOC)
		alloc_freed(first, pid);
	call.sampled = alloc_due(call.size ? call.size : 1);
	if (!call.sampled && kind == ALLOC_MALLOC && !outer)
		return false;
	if (!bpf_map_update_elem(&alloc_calls, &tid, &call, BPF_ANY))
		return true;
	if (call.sampled)
		alloc_too_many(call.size);
	return false;
}

static __always_inline void alloc_leave(
    const u64 *ctx, u64 function, u32 tid, struct alloc_taken *taken)
{
	struct alloc_call call, *found = bpf_map_lookup_elem(&alloc_calls, &tid);
	u64 address = ALLOC_RESULT(ctx);
	if (!found || found->function != function)
		return;
	call = *found;
	bpf_map_delete_elem(&alloc_calls, &tid);
	if (!call.sampled)
		return;
	if (call.kind == ALLOC_POSIX &&
	    ((u32)address || bpf_probe_read_user(&address, sizeof(address), (void *)call.out)))
		return;
	if (!address)
		return;
	taken->object = address;
	taken->size = call.size ? call.size : 1;
	taken->kind = call.kind;
}

#include "java.bpf.h"

SEC("uprobe")
int alloc_probe(u64 *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx), function = bpf_get_func_ip(ctx);
	u64 id = bpf_get_current_pid_tgid();
	u32 pid = (u32)(id >> 32), tid = (u32)id;
	bool wanted = false;
	struct alloc_taken taken = {0};
	if (pid == (u32)(cookie >> 32)) {
		if (ALLOC_IS_JAVA((u8)cookie))
			java_enter(ctx, cookie, pid, &taken);
		else if (ALLOC_PC(ctx) == function)
			wanted = alloc_enter(ctx, function, (u8)cookie, pid, tid);
		else
			alloc_leave(ctx, function, tid, &taken);
	}
	if (taken.size)
		alloc_take(ctx, &taken, pid, tid);
	return alloc_session && !wanted;
}
