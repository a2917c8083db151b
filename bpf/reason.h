/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
#pragma once

/*
 * Why a thread is not on a CPU: id, name. The names are those of the Go agent's block reasons; the
 * last four are of time that no stack bears.
 */
/* clang-format off */
#define OFF_REASONS(X)                                                                             \
	X(UNKNOWN, "unknown")	  /* neither a system call nor a fault: stopped, traced */         \
	X(SLEEP, "sleep")	  /* it asked for so much time */                                  \
	X(IO, "io")		  /* a file, a disk, a page that is not in memory */               \
	X(MUTEX, "mutex")	  /* a futex: locks, condition variables, parked threads */        \
	X(CHANNEL, "channel")	  /* a pipe */                                                     \
	X(NETWORK, "network")	  /* a socket */                                                   \
	X(SYNC, "sync")		  /* a child's end, a signal, a System V semaphore */              \
	X(SYSCALL, "syscall")	  /* any other system call */                                      \
	X(PREEMPTED, "preempted") /* runnable: others were chosen */                               \
	X(WAITING, "waiting")	  /* poll, select, epoll: for whatever comes */                    \
	X(SCHEDULER, "scheduler") /* runnable: woken, not yet on a CPU */                          \
	X(CGROUP, "cgroup_limit") /* runnable: its cgroup has used up its share */                 \
	X(SHORT, "short blocks")  /* each shorter than min_block_time_ns */                        \
	X(UNSAMPLED, "blocks not sampled")                                                         \
	X(UNSEEN, "blocks whose stack was lost")                                                   \
	X(START, "not yet started") /* a new thread waits for its first CPU */
/* clang-format on */

enum off_reason {
#define X(id, name) OFF_##id,
	OFF_REASONS(X)
#undef X
	    OFF_COUNT
};
#define OFF_WITH_STACK OFF_SHORT /* reasons below it */

/* All of the block, then, was a wait for a CPU. */
static inline int off_is_runnable(int reason)
{
	return reason == OFF_PREEMPTED || reason == OFF_CGROUP;
}

/* Locks of the kernel: id, class. */
/* clang-format off */
#define KERNEL_LOCKS(X)                                                                            \
	X(OTHER, "kernel lock")                                                                    \
	X(SPIN, "kernel spinlock")                                                                 \
	X(RWLOCK, "kernel rwlock")                                                                 \
	X(MUTEX, "kernel mutex")                                                                   \
	X(RWSEM, "kernel rwsem")                                                                   \
	X(RT, "kernel rtmutex")                                                                    \
	X(PERCPU, "kernel percpu rwsem")
/* clang-format on */

enum kernel_lock {
#define X(id, name) KERNEL_LOCK_##id,
	KERNEL_LOCKS(X)
#undef X
	    KERNEL_LOCK_COUNT
};
