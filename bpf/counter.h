/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Every tick and every loss in the kernel, declared once: id, label, sentence. Kept per CPU, summed
 * by modules/kernel. The ids from LOST_FIRST on are losses: they also appear in the profile as a
 * frame `[lost: label]`. At rest, TAKEN = EMITTED + the sum of all losses: ticks of the CPU's clock.
 * What the other profiles lose has counters of its own, for it bears other values.
 */
#pragma once

/*
 * Why the walk over a user stack ended: also the label of the frame `[truncated: label]` at its root
 * (COMPLETE has none).
 */
#define WALK_ENDS(X)                                                                               \
	X(COMPLETE, "complete", "user stacks walked to the start of their thread")                 \
	X(TRUNCATED, "max_stack_depth", "user stacks deeper than max_stack_depth")                 \
	X(UNREADABLE, "unreadable stack", "user stacks with a part that is not in memory")         \
	X(LOADING, "unwind rows being loaded",                                                     \
	    "user stacks walked by frame pointers while rows for them were not there yet")         \
	X(FULL, "unwind.memory full",                                                              \
	    "user stacks walked by frame pointers because unwind.memory had no room for rows")     \
	X(JIT, "jit", "user stacks that end in code made at run time without a frame pointer")     \
	X(NO_ROWS, "no unwind info",                                                               \
	    "user stacks through code without unwind rows: by frame pointer, where that finds a call") \
	X(NOT_CODE, "caller is no code", \
	    "user stacks with a return address that is no code, or is in a mapping not told yet")      \
	X(NO_CALLER, "no caller",                                                                  \
	    "user stacks that end in code which is not known to be a start, with nothing behind it")   \
	X(UNMAPPED, "code in no mapping",                                                          \
	    "user stacks, by frame pointers, of what runs where no mapping is known")                  \
	X(UNSUPPORTED, "unsupported unwind rule", "user stacks that end at a rule of an unknown kind") \
	X(REGISTER, "register of a caller",                                                        \
	    "user stacks that want a register which only the innermost frame still has")           \
	X(FP_LOST, "frame pointer lost", "user stacks that want a frame pointer which is not known") \
	X(NO_PROGRESS, "stack does not grow", "user stacks whose next frame lies below")           \
	X(REPLACED, "unwind rows replaced", "user stacks whose rows were replaced during the walk") \
	X(COMPAT, "32-bit", "user stacks of 32-bit programs")

#define KERNEL_COUNTERS(X)                                                                         \
	X(IDLE, "idle", "ticks on an idle CPU")                                                    \
	X(UNWANTED, "unwanted", "ticks in a process that no profile was asked for")                \
	X(TAKEN, "taken", "samples of the CPU begun")                                                         \
	X(EMITTED, "emitted", "samples handed to user space")                                      \
	X(FRAMES, "frames", "user frames walked")                                                  \
	X(FRAMES_FP, "frames by frame pointer", "user frames walked by frame pointer for want of rows") \
	WALK_ENDS(X)                                                                               \
	X(SWITCHES, "switches", "times that a thread was taken off a CPU")                         \
	X(SWITCHES_NS, "nanoseconds at switches", "with a cpu_limit: time of following switches, without stacks, by samples of it") \
	X(STACKS_NS, "nanoseconds for stacks", "with a cpu_limit: time of taking stacks of what ran or left its CPU") \
	X(BLOCKS, "blocks", "times off the CPU of min_block_time_ns or longer")                    \
	X(GATE_STACKS, "stacks at switches", "stacks taken as a thread left its CPU")              \
	X(LOOK_STACKS, "stacks by looks", "stacks taken of threads that had left their CPU")       \
	X(LOOK_GONE, "gone", "stacks dropped because the thread ran again meanwhile")              \
	X(LOOK_FULL, "look full", "threads that a look had no room to tell of: the next one does") \
	X(BLOCK_RING, "block ring full", "blocks that found the ring full, and were told later")   \
	X(STORAGES, "threads followed", "threads that got room to be followed off the CPU")        \
	X(STORAGES_ENDED, "threads let go", "of these, those that have ended")                     \
	X(STORAGES_FAILED, "threads without room", "times that such room could not be had")        \
	X(LOCKS_SHORT, "short lock waits", "waits for kernel locks below contention_threshold_ns") \
	X(LOCKS_SHORT_NS, "short lock wait nanoseconds", "how long these were")                    \
	X(LOCKS_UNSEEN, "lock waits unseen", "waits for kernel locks that found no place or no end") \
	X(GATE_LOST, "stacks at switches lost", "of these, dropped: the time waits for another")  \
	X(WAKERS, "wakers", "blocks whose waker was taken, where that is asked for")              \
	X(WAKERS_LEFT, "wakers left", "wakers not taken because of too many at a time")            \
	X(WAKERS_LOST, "wakers lost", "wakers that found no room: ring or scratch")                \
	X(OFF_LOST, "blocks lost", "blocks of threads that ended whose time found the ring full")  \
	X(OFF_LOST_NS, "block nanoseconds lost", "their time")                                     \
	X(MEMORY_LOST, "memory samples lost", "samples of memory that were dropped")               \
	X(MEMORY_LOST_BYTES, "memory bytes lost", "what these stood for")                          \
	X(MAPPED, "growths of mapped memory", "times that what processes may write grew, where that is asked for") \
	X(MAPPED_BYTES, "mapped bytes", "bytes by which it grew")                                  \
	X(MAPPED_TOLD_BYTES, "mapped bytes sampled", "of these, those in samples; the rest waits to make one") \
	X(MAPPED_UNSEEN, "growths unseen", "times that a process found no place to be followed: too many") \
	X(MAPPED_LOST, "mapped samples lost", "samples of mapped memory that were dropped")        \
	X(MAPPED_LOST_BYTES, "mapped bytes lost", "what these stood for")                          \
	X(LOCKS_LOST, "lock samples lost", "waits for kernel locks that were dropped")             \
	X(LOCKS_LOST_NS, "lock nanoseconds lost", "their time")                                    \
	X(ALLOC_CALLS, "allocations", "blocks asked for in processes with probed allocators")      \
	X(ALLOC_BYTES, "allocated bytes", "bytes that were asked for there")                       \
	X(ALLOC_STACKS, "allocations sampled", "of these blocks, those whose stack was taken")     \
	X(ALLOC_LOST, "allocations lost", "sampled blocks that found the ring full")               \
	X(ALLOC_LOST_BYTES, "allocation bytes lost", "bytes of these")                             \
	X(ALLOC_MANY, "allocations at a time lost", "sampled blocks of too many threads at a time: no place to take the stack in, or to follow the call") \
	X(ALLOC_MANY_BYTES, "allocation bytes at a time lost", "bytes of these")                   \
	X(ALLOC_FULL, "live blocks full", "sampled blocks whose end is not told: the table is full") \
	X(ALLOC_FREE_RING, "free ring full", "ends of blocks that found the ring full: looked up later") \
	X(LOST_RING, "ring full", "samples dropped because the ring was full")                     \
	X(LOST_NESTED, "nested", "samples dropped because another was being taken on the same CPU") \
	X(LOST_CPU, "cpu not known", "samples dropped on a CPU that has no scratch memory")       \
	X(LOST_TASK_RING, "task ring full", "exit events dropped, ring full")  \
	X(LOST_CHILD, "child not followed", "children of a captured process that found no place")

enum kernel_counter {
#define X(id, label, text) KERNEL_##id,
	KERNEL_COUNTERS(X)
#undef X
	KERNEL_COUNTER_COUNT
};
enum walk_end {
	WALK_END_NONE, /* no user stack was asked for, or there is none (a kernel thread) */
#define X(id, label, text) WALK_END_##id,
	WALK_ENDS(X)
#undef X
	WALK_END_COUNT
};
/* The counter of a WALK_END that is not NONE. */
#define KERNEL_WALK(end) (KERNEL_COMPLETE + (end)-WALK_END_COMPLETE)
/* Losses of samples (LOST_TASK_RING loses an event, not a sample). */
#define KERNEL_LOST_FIRST KERNEL_LOST_RING
#define KERNEL_LOST_LAST KERNEL_LOST_CPU
