// SPDX-License-Identifier: Apache-2.0
// Truth: all the CPU time of its own code in burn_short_work, called by main; then it ends.
// burn_short [MILLISECONDS]: of CPU time, 3 unless told.
#include <stdlib.h>
#include <time.h>

static volatile unsigned long result;

__attribute__((noinline)) void burn_short_work(long milliseconds);
void burn_short_work(long milliseconds)
{
	struct timespec used;
	do {
		for (int i = 0; i < 20000; i++)
			result = result * 6364136223846793005ul + 1;
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	} while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < milliseconds);
}

int main(int argc, char **argv)
{
	burn_short_work(argc > 1 ? atol(argv[1]) : 3);
	return (int)(result & 0);
}
