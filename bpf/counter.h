/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Every tick and every loss in the kernel, declared once: id, label, sentence. Kept per CPU, summed
 * by modules/kernel. The ids from LOST_FIRST on are losses: they also appear in the profile as a
 * frame `[lost: label]`. At rest, TAKEN = EMITTED + the sum of all losses.
 */
#pragma once

#define KERNEL_COUNTERS(X)                                                                         \
	X(IDLE, "idle", "ticks on an idle CPU")                                                    \
	X(UNWANTED, "unwanted", "ticks in a process that no profile was asked for")                \
	X(TAKEN, "taken", "samples begun")                                                         \
	X(EMITTED, "emitted", "samples handed to user space")                                      \
	X(TRUNCATED, "truncated", "samples whose user stack was deeper than max_stack_depth")      \
	X(UNREADABLE, "unreadable", "samples whose user stack could not be read")                  \
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
/* Losses of samples (LOST_TASK_RING loses an event, not a sample). */
#define KERNEL_LOST_FIRST KERNEL_LOST_RING
#define KERNEL_LOST_LAST KERNEL_LOST_CPU
