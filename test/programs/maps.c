// SPDX-License-Identifier: Apache-2.0
// Who makes a process able to write more memory: maps SECONDS. Three paths keep what they get:
// map_once maps it, large_mallocs and small_mallocs are glibc's, by mmap and by brk. thread_maps
// does so in a thread, begins_thread by that thread's stack. In processes of their own: what a
// program maps after an exec (exec_maps) and after a fork (fork_maps); reserves, a gigabyte that
// nobody may touch; churns, which maps and lets go again; break_churns likewise by brk. Nothing is
// touched.
#define _GNU_SOURCE
#include "truth.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define MB (1u << 20)
#define PIECE 1008 // and 16 that malloc takes
#define CHURNS 200

static char *map(size_t size, int protection)
{
	char *at = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		abort();
	return at;
}

static uint64_t bytes[5];
static char *volatile kept;

NOINLINE void map_once(void);
NOINLINE void map_once(void)
{
	map(MB, PROT_READ | PROT_WRITE);
	bytes[0] += MB;
}

NOINLINE void large_mallocs(void);
NOINLINE void large_mallocs(void)
{
	kept = malloc(2 * MB - 8192);
	bytes[1] += 2 * MB - 8192;
}

NOINLINE void small_mallocs(void);
NOINLINE void small_mallocs(void)
{
	for (int i = 0; i < 1024; i++)
		kept = malloc(PIECE);
	bytes[2] += MB;
}

NOINLINE void *thread_maps(void *arg);
NOINLINE void *thread_maps(void *arg)
{
	map(MB, PROT_READ | PROT_WRITE);
	bytes[3] += MB;
	return arg;
}

// None of these stacks is used again while the thread is there.
NOINLINE void begins_thread(pthread_t *t);
NOINLINE void begins_thread(pthread_t *t)
{
	pthread_attr_t a;
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 4 * MB);
	if (pthread_create(t, &a, thread_maps, NULL))
		abort();
	bytes[4] += 4 * MB;
}

static void said(const char *name, uint64_t n)
{
	printf("grow %d %s %lu\n", getpid(), name, n);
	fflush(stdout);
}

static void *waits(void *arg)
{
	sleep_ns(100000000);
	return arg;
}

// What a program does first is seen with less of a stack. Of other sizes, for stacks of threads are
// used again.
static NOINLINE void begins(void)
{
	for (size_t i = 1; i <= 3; i++) {
		pthread_attr_t a;
		pthread_t t;
		map(MB / 4, PROT_READ | PROT_WRITE);
		kept = malloc(2 * MB);
		pthread_attr_init(&a);
		pthread_attr_setstacksize(&a, i * MB);
		if (pthread_create(&t, &a, waits, NULL))
			abort();
		pthread_join(t, NULL);
	}
}

NOINLINE void exec_maps(void);
NOINLINE void exec_maps(void)
{
	for (int i = 0; i < 24; i++)
		map(MB / 8, PROT_READ | PROT_WRITE);
	said("exec_maps", 3 * MB);
}

NOINLINE void fork_maps(void);
NOINLINE void fork_maps(void)
{
	for (int i = 0; i < 20; i++)
		map(MB / 4, PROT_READ | PROT_WRITE);
	said("fork_maps", 5 * MB);
}

NOINLINE void reserves(void);
NOINLINE void reserves(void)
{
	map(1024 * MB, PROT_NONE);
	said("reserves", 0);
}

NOINLINE void churns(void);
NOINLINE void churns(void)
{
	for (int i = 0; i < CHURNS; i++)
		munmap(map(16 * MB, PROT_READ | PROT_WRITE), 16 * MB);
	said("churns", 16 * MB);
}

NOINLINE void break_churns(void);
NOINLINE void break_churns(void)
{
	for (int i = 0; i < CHURNS; i++) {
		if (sbrk(7 * MB) == (void *)-1)
			abort();
		sbrk(-7 * (int)MB);
	}
	said("break_churns", 7 * MB);
}

static void in_a_process(void (*work)(void), const char *self)
{
	pid_t pid = fork();
	if (!pid) {
		if (work)
			work();
		else
			execl(self, self, "exec", (char *)NULL);
		_exit(!work);
	}
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	static const char *const names[] = {
	    "map_once", "large_mallocs", "small_mallocs", "thread_maps", "begins_thread"};
	static void (*const others[])(void) = {fork_maps, reserves, churns, break_churns, NULL};
	double seconds = argc > 1 ? atof(argv[1]) : 1;
	uint64_t began = clock_ns(CLOCK_MONOTONIC);
	pthread_t threads[32];
	int count = 0;
	prctl(PR_SET_NAME, "maps");
	if (!seconds) { // "exec"
		begins();
		exec_maps();
		return 0;
	}
	mallopt(M_MMAP_THRESHOLD, MB); // it would rise
	begins();
	for (int i = 0; clock_ns(CLOCK_MONOTONIC) - began < (uint64_t)(seconds * 1e9); i++) {
		map_once();
		large_mallocs();
		small_mallocs();
		if (count < 32)
			begins_thread(&threads[count++]);
		if (i < 10)
			in_a_process(others[i % 5], argv[0]);
		sleep_ns(50000000);
	}
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 5; i++)
		said(names[i], bytes[i]);
	return 0;
}
