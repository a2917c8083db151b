// SPDX-License-Identifier: Apache-2.0
// What heap profiles must find: a leaker of 1 MB/s, or a churner of blocks from 16 B to 1 MB; each
// counts for itself.
//
//   allocs leak SECONDS    a third each by malloc, calloc and realloc, behind functions of their
//   own allocs churn SECONDS RATE_KB
// waits for a byte on standard input, then works; at the end prints what is so, waits for another:
//
//   FUNCTION objects bytes live_objects live_bytes
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct tally {
	const char *name;
	unsigned long objects, bytes, live_objects, live_bytes;
} tallies[8];
enum { BY_MALLOC, BY_CALLOC, BY_REALLOC, CHURN_SMALL, CHURN_LARGE, CHURN_ALIGNED, BY_NEW };

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void tally(int who, const char *name, long objects, long bytes)
{
	struct tally *t = &tallies[who];
	t->name = name;
	if (objects > 0) {
		t->objects += (unsigned long)objects;
		t->bytes += (unsigned long)bytes;
	}
	t->live_objects += (unsigned long)objects;
	t->live_bytes += (unsigned long)bytes;
}

#define NOINLINE __attribute__((noinline))
static NOINLINE void *leak_by_malloc(size_t n)
{
	void *p = malloc(n);
	memset(p, 1, n);
	tally(BY_MALLOC, __func__, 1, (long)n);
	return p;
}

static NOINLINE void *leak_by_calloc(size_t n)
{
	void *p = calloc(4, n / 4);
	memset(p, 1, n);
	tally(BY_CALLOC, __func__, 1, (long)n);
	return p;
}

static NOINLINE void *leak_by_realloc(size_t n)
{
	void *p = malloc(n / 2);
	tally(BY_REALLOC, __func__, 1, (long)n / 2);
	p = realloc(p, n);
	tally(BY_REALLOC, __func__, -1, -(long)n / 2);
	tally(BY_REALLOC, __func__, 1, (long)n);
	memset(p, 1, n);
	return p;
}

#ifdef __cplusplus
static NOINLINE char *leak_by_new(size_t n)
{
	char *p = new char[n];
	memset(p, 1, n);
	tally(BY_NEW, __func__, 1, (long)n);
	return p;
}
#endif

static void *volatile kept; // so that no compiler leaves a call out

static void leak(double seconds)
{
	double began = now();
	for (unsigned long done = 0; now() - began < seconds; done += 3 * 4096) {
		kept = leak_by_malloc(4096);
		kept = leak_by_calloc(4096);
		kept = leak_by_realloc(4096);
#ifdef __cplusplus
		kept = leak_by_new(4096);
		done += 4096;
#endif
		while (now() - began < (double)done / 1e6)
			usleep(1000);
	}
}

static uint64_t seed = 88172645463325252ull;
static uint64_t any(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static NOINLINE void *churn_small(size_t n)
{
	void *p = malloc(n);
	tally(CHURN_SMALL, __func__, 1, (long)n);
	return p;
}

static NOINLINE void *churn_large(size_t n)
{
	void *p = malloc(n);
	tally(CHURN_LARGE, __func__, 1, (long)n);
	return p;
}

static NOINLINE void *churn_aligned(size_t n)
{
	void *p = NULL;
	if (posix_memalign(&p, 64, n))
		abort();
	tally(CHURN_ALIGNED, __func__, 1, (long)n);
	return p;
}

// Sizes are 2^4 to 2^20, each power as much in bytes as any other.
#define SLOTS 4096
static struct {
	void *p;
	size_t n;
	int who;
} slots[SLOTS];

static void churn(double seconds, double rate)
{
	double began = now(), done = 0;
	while (now() - began < seconds) {
		unsigned power = 4 + any() % 16;
		for (size_t bytes = 0; bytes < 1ul << 14;) {
			size_t i = any() % SLOTS, n = (1ul << power) + any() % (1ul << power);
			if (power > 14) // few large ones are kept
				i %= 64;
			if (slots[i].p) {
				free(slots[i].p);
				tally(slots[i].who, tallies[slots[i].who].name, -1,
				    -(long)slots[i].n);
			}
			int who = power > 12  ? CHURN_LARGE
				  : any() % 2 ? CHURN_SMALL
					      : CHURN_ALIGNED;
			slots[i].n = n;
			slots[i].who = who;
			slots[i].p = who == CHURN_LARGE	  ? churn_large(n)
				     : who == CHURN_SMALL ? churn_small(n)
							  : churn_aligned(n);
			bytes += n;
			done += (double)n;
		}
		while (now() - began < done / rate)
			usleep(1000);
	}
}

int main(int argc, char **argv)
{
	char c;
	double seconds = argc > 2 ? atof(argv[2]) : 1, rate = argc > 3 ? atof(argv[3]) * 1024 : 1e7;
	if (argc < 3 || read(0, &c, 1) < 0)
		return 2;
	if (argv[1][0] == 'l')
		leak(seconds);
	else
		churn(seconds, rate);
	for (int i = 0; i < 8; i++)
		if (tallies[i].name)
			printf("%s %lu %lu %lu %lu\n", tallies[i].name, tallies[i].objects,
			    tallies[i].bytes, tallies[i].live_objects, tallies[i].live_bytes);
	fflush(stdout);
	return read(0, &c, 1) < 0;
}
