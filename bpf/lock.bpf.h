/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Waits for the kernel's own locks. Nothing runs here where a lock is free. One that waits is in a
 * table, by its thread: at most LOCK_WAITS at once, the rest is counted.
 *
 *   contention_begin   (mutex: once more when it stops spinning and sleeps)
 *   contention_end     long enough: a sample with the stack that waited; else summed
 *
 * An interrupt that waits while the thread that it interrupted does has no place of its own: the
 * table holds one wait a thread. That is counted too.
 */
#pragma once
#include "hand.bpf.h"

#define LOCK_WAITS 512
#define LOCK_STALE_NS 1000000000ull

const volatile u64 lock_min_ns = 1000000; /* set before loading: shorter ones are summed */

struct lock_wait {
	u64 lock, since_ns;
	u32 flags;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LOCK_WAITS);
	__type(key, u32);
	__type(value, struct lock_wait);
} lock_waits SEC(".maps");

/* As the kernel's trace/events/lock.h numbers them. */
enum {
	WAIT_SPIN = 1,
	WAIT_READ = 2,
	WAIT_WRITE = 4,
	WAIT_RT = 8,
	WAIT_PERCPU = 16,
	WAIT_MUTEX = 32
};

static __always_inline u8 kernel_lock_of(u32 flags)
{
	return flags & WAIT_MUTEX    ? KERNEL_LOCK_MUTEX
	       : flags & WAIT_RT     ? KERNEL_LOCK_RT
	       : flags & WAIT_PERCPU ? KERNEL_LOCK_PERCPU
	       : flags & (WAIT_READ | WAIT_WRITE)
		   ? (flags & WAIT_SPIN ? KERNEL_LOCK_RWLOCK : KERNEL_LOCK_RWSEM)
	       : flags & WAIT_SPIN ? KERNEL_LOCK_SPIN
				   : KERNEL_LOCK_OTHER;
}

#define RING_HEAD 4096 /* the kernel's part of a ring, which holds its lock, begins it */

/*
 * Our own ring's lock: who writes a record as that wait ends has it already, and would wait for
 * itself for ever (before Linux 6.15). The verifier compares such addresses, but subtracts none.
 */
static __always_inline bool is_of_ring(u64 lock)
{
	u64 from = (u64)((struct bpf_ringbuf_map *)&ring)->rb, to = from + RING_HEAD;
	asm volatile("" : "+r"(from), "+r"(to));
	return lock >= from && lock < to;
}

SEC("tp_btf/contention_begin")
int BPF_PROG(lock_begins, void *lock, u32 flags)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tid = (u32)id;
	if (!tid || is_of_ring((u64)lock) || !wanted((u32)(id >> 32)))
		return 0;
	struct lock_wait *w = bpf_map_lookup_elem(&lock_waits, &tid);
	if (w && w->lock == (u64)lock) {
		w->flags = flags;
		return 0;
	}
	struct lock_wait wait = {.lock = (u64)lock, .since_ns = bpf_ktime_get_ns(), .flags = flags};
	/* A thread that runs spins no such time: the end of that wait was not seen. */
	if (w && wait.since_ns - w->since_ns > LOCK_STALE_NS) {
		count(KERNEL_LOCKS_UNSEEN, 1);
		*w = wait;
		return 0;
	}
	if (w || bpf_map_update_elem(&lock_waits, &tid, &wait, BPF_NOEXIST))
		count(KERNEL_LOCKS_UNSEEN, 1);
	return 0;
}

/* Of one that ends while it waits, as far as was seen. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(lock_leaves)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	if (!bpf_map_delete_elem(&lock_waits, &tid))
		count(KERNEL_LOCKS_UNSEEN, 1);
	return 0;
}

SEC("raw_tp/contention_end")
int BPF_PROG(lock_ends, void *lock)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct lock_wait *w = tid ? bpf_map_lookup_elem(&lock_waits, &tid) : 0;
	if (!w || w->lock != (u64)lock)
		return 0;
	u64 ns = bpf_ktime_get_ns() - w->since_ns;
	u8 reason = kernel_lock_of(w->flags);
	bpf_map_delete_elem(&lock_waits, &tid);
	if (ns < lock_min_ns) {
		count(KERNEL_LOCKS_SHORT, 1);
		count(KERNEL_LOCKS_SHORT_NS, ns);
		return 0;
	}
	hand_over(ctx, &raw_takers, SOURCE_LOCK, ns, (u64)lock, reason);
	return 0;
}
