// SPDX-License-Identifier: Apache-2.0
// Who makes memory resident: grows SECONDS [MB]. page_touches writes so many MB a second (1) into
// one large mapping, page by page; three paths to grow() map 1, 2 and 3 times as much and fill it,
// break_grows does so with brk. Pages are small ones, and let go again soon.
#define _GNU_SOURCE
#include "truth.h"

#include <string.h>
#include <sys/mman.h>

#define STEP (1u << 18) // bytes at a time

static char *small_pages(size_t size)
{
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		abort();
	madvise(at, size, MADV_NOHUGEPAGE);
	return at;
}

static uint64_t bytes[5];

NOINLINE void page_touches(char *at);
NOINLINE void page_touches(char *at)
{
	for (size_t i = 0; i < STEP; i += 4096)
		*(volatile char *)(at + i) = 1;
	bytes[0] += STEP;
	madvise(at, STEP, MADV_DONTNEED);
}

static NOINLINE void grow(void)
{
	char *at = small_pages(STEP);
	for (size_t i = 0; i < STEP; i += 4096)
		*(volatile char *)(at + i) = 1;
	munmap(at, STEP);
}

#define PATH(name, n)                                                                              \
	NOINLINE void name(void);                                                                  \
	NOINLINE void name(void)                                                                   \
	{                                                                                          \
		for (int i = 0; i <= (n); i++)                                                     \
			grow();                                                                    \
		bytes[(n) + 1] += ((n) + 1) * STEP;                                                \
	}
PATH(map_once, 0)
PATH(map_twice, 1)
PATH(map_thrice, 2)

NOINLINE void break_grows(void);
NOINLINE void break_grows(void)
{
	char *at = sbrk(STEP);
	madvise((void *)(((uintptr_t)at + 4095) & ~4095ul), STEP, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < STEP; i += 4096)
		*(volatile char *)(at + i) = 1;
	bytes[4] += STEP;
	sbrk(-(intptr_t)STEP);
}

int main(int argc, char **argv)
{
	static const char *const names[] = {
	    "page_touches", "map_once", "map_twice", "map_thrice", "break_grows"};
	double seconds = argc > 1 ? atof(argv[1]) : 1, rate = argc > 2 ? atof(argv[2]) : 1;
	uint64_t began = clock_ns(CLOCK_MONOTONIC);
	char *at = small_pages(64 * STEP);
	prctl(PR_SET_NAME, "grows");
	for (size_t i = 0; clock_ns(CLOCK_MONOTONIC) - began < (uint64_t)(seconds * 1e9); i++) {
		page_touches(at + i % 64 * STEP);
		map_once();
		map_twice();
		map_thrice();
		break_grows();
		sleep_ns((uint64_t)(250e6 / rate));
	}
	for (int i = 0; i < 5; i++)
		printf("grow %d %s %lu\n", getpid(), names[i], bytes[i]);
	return 0;
}
