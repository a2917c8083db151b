// SPDX-License-Identifier: Apache-2.0
// Fork and exec in between: becomes SECONDS. It waits in before_fork; its child in in_child, and
// then becomes another program, this one, that waits in after_exec.
#define _GNU_SOURCE
#include "truth.h"

#include <string.h>
#include <sys/wait.h>

static uint64_t part;

#define WAIT(name)                                                                                 \
	NOINLINE void name(void);                                                                  \
	NOINLINE void name(void)                                                                   \
	{                                                                                          \
		for (uint64_t end = clock_ns(CLOCK_MONOTONIC) + part;                              \
		     clock_ns(CLOCK_MONOTONIC) < end;)                                             \
			sleep_ns(20000000);                                                        \
	}
WAIT(before_fork)
WAIT(in_child)
WAIT(after_exec)

NOINLINE void waits_for_child(void);
NOINLINE void waits_for_child(void)
{
	wait(NULL);
	__asm__ volatile("");
}

int main(int argc, char **argv)
{
	part = (uint64_t)((argc > 1 ? atof(argv[1]) : 3) / 3 * 1e9);
	truth_begin(argc > 2 ? "became" : "becomes");
	if (argc > 3) { // what lies between both programs is of its life
		truth_began.now = strtoull(argv[2], NULL, 10);
		truth_began.cpu = strtoull(argv[3], NULL, 10);
		MEASURE(after_exec);
		truth_end();
		return 0;
	}
	MEASURE(before_fork);
	if (fork()) {
		MEASURE(waits_for_child);
		truth_end();
		return 0;
	}
	memset(truths, 0, sizeof(truths));
	truth_begin("child");
	MEASURE(in_child);
	char now[24], cpu[24];
	struct moment m = truth_end();
	snprintf(now, sizeof(now), "%lu", m.now);
	snprintf(cpu, sizeof(cpu), "%lu", m.cpu);
	execl("/proc/self/exe", "becomes", argv[1], now, cpu, NULL);
	return 1;
}
