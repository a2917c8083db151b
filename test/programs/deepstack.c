// SPDX-License-Identifier: Apache-2.0
// Truth: all the CPU time in burn_deep, below main and 200 calls of dive (and what comes before
// main): main, dive x 200, burn_deep. deepstack [SECONDS [DEPTH]]: so long, else until it is ended;
// so many calls of dive instead of 200.
#include <stdlib.h>
#include <time.h>

static volatile unsigned long result;

__attribute__((noinline)) void burn_deep(int seconds);
void burn_deep(int seconds)
{
	struct timespec now, end;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += seconds;
	do {
		for (int i = 0; i < 1000000; i++)
			result = result * 6364136223846793005ul + 1;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (
	    now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
}

// The write after the call keeps compilers from making a loop or a jump of it.
__attribute__((noinline)) void dive(int depth, int seconds);
void dive(int depth, int seconds)
{
	if (depth > 1)
		dive(depth - 1, seconds);
	else
		burn_deep(seconds);
	result += (unsigned long)depth;
}

int main(int argc, char **argv)
{
	dive(argc > 2 ? atoi(argv[2]) : 200, argc > 1 ? atoi(argv[1]) : 1000000000);
	return (int)(result & 0);
}
