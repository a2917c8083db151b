// SPDX-License-Identifier: Apache-2.0
// Truth: 70 % of the CPU time in work70, 20 % in work20, 10 % in work10, each called by turn,
// called by main. split [SECONDS]: so long, else until it is ended. A turn is about 0.2 ms, so no
// sampling rate keeps step with it.
#include <stdlib.h>
#include <time.h>

#define UNIT                                                                                       \
	13000 // iterations; one waits for the one before, so where the loop lies in memory costs
	      // nothing

static volatile unsigned long result;

// The counts stand in the functions, or compilers would make one of three that are equal.
#define WORK(name, units)                                                                          \
	__attribute__((noinline)) void name(void);                                                 \
	void name(void)                                                                            \
	{                                                                                          \
		unsigned long x = result;                                                          \
		for (int i = 0; i < (units)*UNIT; i++)                                             \
			x = x * 6364136223846793005ul + 1442695040888963407ul;                     \
		result = x;                                                                        \
	}
WORK(work70, 7)
WORK(work20, 2)
WORK(work10, 1)

int main(int argc, char **argv)
{
	struct timespec now, end;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += argc > 1 ? atoi(argv[1]) : 1000000000;
	do {
		work70();
		work20();
		work10();
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (
	    now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
	return 0;
}
