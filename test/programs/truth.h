/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A subject measures itself and says so on its standard output, which test/system/truth.py reads:
 *
 *   thread TID NAME ELAPSED CPU            a thread, from its first instruction to its last; ns
 *   path TID NAME OFF RUNNABLE TIMES       in function NAME so long off the CPU, so much of it
 *                                          waiting for one; ns
 *   grow PID NAME BYTES                    function NAME made so much memory resident, or mapped it
 *
 * Time off the CPU is the time that passed less the time that the scheduler says it ran, so what it
 * measures is right on a loaded machine too.
 */
#pragma once
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define TRUTHS_MAX 8

struct moment {
	uint64_t now, cpu, runnable;
};
struct truth {
	const char *name;
	uint64_t off, runnable, times;
};

static __thread struct truth truths[TRUTHS_MAX];
static __thread struct moment truth_began;
static __thread const char *truth_name;
static __thread int truth_fd;

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* How long this thread has waited for a CPU so far. */
static uint64_t truth_runnable(void)
{
	char text[96] = ""; /* time on a CPU, time waiting for one, how often */
	char *end = text;
	if (pread(truth_fd, text, sizeof(text) - 1, 0) > 0)
		strtoull(text, &end, 10);
	return strtoull(end, NULL, 10);
}

/*
 * A thread is often preempted where a system call returns, as those do that measure: such time is
 * neither a path's before nor a path's behind it. So the clock is read last where a path begins,
 * again if the thread had to wait meanwhile, and first where it ends.
 */
static struct moment truth_begins(void)
{
	struct moment m;
	uint64_t runnable;
	do {
		m.runnable = truth_runnable();
		m.cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		m.now = clock_ns(CLOCK_MONOTONIC);
		runnable = truth_runnable();
	} while (runnable != m.runnable);
	return m;
}

static struct moment truth_ends(void)
{
	struct moment m;
	m.now = clock_ns(CLOCK_MONOTONIC);
	m.runnable = truth_runnable();
	m.cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	return m;
}

/* NAME stays where it is. */
static inline void truth_begin(const char *name)
{
	char path[64];
	prctl(PR_SET_NAME, name);
	truth_name = name;
	snprintf(path, sizeof(path), "/proc/self/task/%ld/schedstat", syscall(SYS_gettid));
	truth_fd = open(path, O_RDONLY | O_CLOEXEC);
	truth_began = truth_begins();
}

static inline void truth_add(const char *name, const struct moment *from)
{
	struct moment to = truth_ends();
	for (int i = 0; i < TRUTHS_MAX; i++) {
		struct truth *t = &truths[i];
		if (t->name && t->name != name)
			continue;
		t->name = name;
		uint64_t now = to.now - from->now, cpu = to.cpu - from->cpu;
		t->off += now > cpu ? now - cpu : 0;
		t->runnable += to.runnable - from->runnable;
		t->times++;
		return;
	}
	abort();
}

/* What is written in one call does not mix with what others write. */
static inline struct moment truth_end(void)
{
	char text[1024];
	struct moment m = truth_ends();
	long tid = syscall(SYS_gettid);
	int n = 0;
	for (int i = 0; i < TRUTHS_MAX && truths[i].name; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "path %ld %s %lu %lu %lu\n", tid,
		    truths[i].name, truths[i].off, truths[i].runnable, truths[i].times);
	n += snprintf(text + n, sizeof(text) - (size_t)n, "thread %ld %s %lu %lu\n", tid,
	    truth_name, m.now - truth_began.now, m.cpu - truth_began.cpu);
	if (write(1, text, (size_t)n) != n)
		abort();
	close(truth_fd);
	return m;
}

/* Function FUNCTION is called, and measured under its name. */
#define MEASURE(function, ...)                                                                     \
	do {                                                                                       \
		struct moment from_ = truth_begins();                                              \
		function(__VA_ARGS__);                                                             \
		truth_add(#function, &from_);                                                      \
	} while (0)

static inline void sleep_ns(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
	nanosleep(&t, NULL);
}
