// SPDX-License-Identifier: Apache-2.0
// mallocs SECONDS: allocates and frees without pause; what a pair costs, in ns of CPU time,
// every half a second.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 1;
	for (int half = 0; half < (int)(2 * seconds); half++) {
		double began = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
		long pairs = 0;
		while (now(CLOCK_MONOTONIC) - began < 5e8)
			for (int i = 0; i < 1000; i++, pairs++)
				free(*(void *volatile *)&(void *){malloc(16 + (size_t)i)});
		printf("%.0f\n", (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)pairs);
		fflush(stdout);
	}
	return 0;
}
