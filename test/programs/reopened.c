// SPDX-License-Identifier: Apache-2.0
// A library for reopen.c. -DNAME=x names its functions x_work, x_deeper, x_burn; -DWORDS=n makes
// its frames n words large, so that the rules of one do not fit the other.
#include <time.h>

#ifndef NAME
#define NAME a
#define WORDS 10
#endif
#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#ifdef __clang__
#define FUNCTION __attribute__((noinline, used))
#else
#define FUNCTION __attribute__((noinline, noclone, used))
#endif

static volatile unsigned long result;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
FUNCTION void JOIN(NAME, _burn)(double seconds)
{
	double end = now() + seconds;
	do {
		for (int i = seconds > 0 ? 1000000 : 3; i; i--)
			result = result * 6364136223846793005ul + 1;
	} while (seconds > 0 && now() < end);
}
FUNCTION void JOIN(NAME, _deeper)(double seconds, int depth)
{
	volatile unsigned long local[WORDS];
	for (int i = 0; i < WORDS; i++)
		local[i] = result;
	if (depth)
		JOIN(NAME, _deeper)(seconds, depth - 1);
	else
		JOIN(NAME, _burn)(seconds);
	result += local[WORDS / 2];
}
void work(double seconds);
void work(double seconds)
{
	JOIN(NAME, _deeper)(seconds, WORDS / 3);
	result++;
}
