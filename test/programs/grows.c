// SPDX-License-Identifier: Apache-2.0
// Who makes memory resident: grows SECONDS [MB]. page_touches writes so many MB a second (1) into
// one large mapping, page by page; three paths to grow() map 1, 2 and 3 times as much and fill it,
// break_grows does so with brk, small_mallocs by malloc. These pages are small; huge_touches has
// huge ones where there are, file_reads reads as much of a file that is in memory. All are let go
// again soon.
#define _GNU_SOURCE
#include "truth.h"

#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define STEP (1u << 18) // bytes at a time
#define HUGE (2u << 20)
#define PIECE 1008

static char *small_pages(size_t size)
{
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		abort();
	madvise(at, size, MADV_NOHUGEPAGE);
	return at;
}

static uint64_t bytes[8];

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

// Only the kernel knows how many pages of its heap malloc had given back.
NOINLINE void small_mallocs(void);
NOINLINE void small_mallocs(void)
{
	static char *pieces[STEP / PIECE];
	struct rusage before, after;
	getrusage(RUSAGE_SELF, &before);
	for (size_t i = 0; i < STEP / PIECE; i++) {
		pieces[i] = malloc(PIECE);
		if (!pieces[i])
			abort();
		memset(pieces[i], 1, PIECE);
	}
	getrusage(RUSAGE_SELF, &after);
	bytes[5] += (uint64_t)(after.ru_minflt - before.ru_minflt) * 4096;
	for (size_t i = STEP / PIECE; i--;)
		free(pieces[i]);
	malloc_trim(0);
}

NOINLINE void huge_touches(char *at);
NOINLINE void huge_touches(char *at)
{
	for (size_t i = 0; i < HUGE; i += 4096)
		*(volatile char *)(at + i) = 1;
	bytes[6] += HUGE;
	madvise(at, HUGE, MADV_DONTNEED);
}

NOINLINE void file_reads(char *at);
NOINLINE void file_reads(char *at)
{
	for (size_t i = 0; i < STEP; i += 4096)
		(void)*(volatile char *)(at + i);
	bytes[7] += STEP;
	madvise(at, STEP, MADV_DONTNEED);
}

static char *huge_pages(void)
{
	char *at = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		abort();
	at = (char *)(((uintptr_t)at + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
	madvise(at, HUGE, MADV_HUGEPAGE);
	return at;
}

static char *file_pages(size_t size)
{
	int fd = memfd_create("grows", MFD_CLOEXEC);
	char *text = calloc(1, size);
	if (fd < 0 || !text || write(fd, text, size) != (ssize_t)size)
		abort();
	free(text);
	char *at = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		abort();
	return at;
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"page_touches", "map_once", "map_twice", "map_thrice",
	    "break_grows", "small_mallocs", "huge_touches", "file_reads"};
	double seconds = argc > 1 ? atof(argv[1]) : 1, rate = argc > 2 ? atof(argv[2]) : 1;
	uint64_t began = clock_ns(CLOCK_MONOTONIC);
	char *at = small_pages(64 * STEP), *huge = huge_pages(), *file = file_pages(64 * STEP);
	prctl(PR_SET_NAME, "grows");
	for (size_t i = 0; clock_ns(CLOCK_MONOTONIC) - began < (uint64_t)(seconds * 1e9); i++) {
		page_touches(at + i % 64 * STEP);
		map_once();
		map_twice();
		map_thrice();
		break_grows();
		small_mallocs();
		file_reads(file + i % 64 * STEP);
		if (i % (HUGE / STEP) == 0)
			huge_touches(huge);
		sleep_ns((uint64_t)(250e6 / rate));
	}
	for (int i = 0; i < 8; i++)
		printf("grow %d %s %lu\n", getpid(), names[i], bytes[i]);
	return 0;
}
