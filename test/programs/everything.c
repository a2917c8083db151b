// SPDX-License-Identifier: Apache-2.0
// Truth: a thread each that runs, sleeps, waits for a mutex and touches new memory, each so deep in
// calls of its own: run_dive x 60, run; sleep_dive x 45, nap; lock_dive x 30, wait; touch_dive x
// 20, touch. everything [SECONDS]. Linked statically it runs on a kernel without a root file
// system.
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long result;
static volatile bool over;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

// The write after the call keeps compilers from making a loop or a jump of it.
#define THREAD(name, leaf, deep, work)                                                             \
	__attribute__((noinline)) void leaf(void);                                                 \
	void leaf(void)                                                                            \
	{                                                                                          \
		while (!over)                                                                      \
			work;                                                                      \
		result += 1;                                                                       \
	}                                                                                          \
	__attribute__((noinline)) void name##_dive(int depth);                                     \
	void name##_dive(int depth)                                                                \
	{                                                                                          \
		if (depth > 1)                                                                     \
			name##_dive(depth - 1);                                                    \
		else                                                                               \
			leaf();                                                                    \
		result += (unsigned long)depth;                                                    \
	}                                                                                          \
	static void *name##_thread(void *arg)                                                      \
	{                                                                                          \
		(void)arg;                                                                         \
		name##_dive(deep);                                                                 \
		return NULL;                                                                       \
	}

static inline void touch_once(void)
{
	size_t size = 1 << 20;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		abort();
	for (size_t i = 0; i < size; i += 4096)
		((volatile char *)p)[i] = 1;
	munmap(p, size);
	usleep(10000);
}

static inline void hold(unsigned microseconds)
{
	pthread_mutex_lock(&mutex);
	usleep(microseconds);
	pthread_mutex_unlock(&mutex);
	usleep(1000);
}

THREAD(run, run, 60, result = result * 6364136223846793005ul + 1)
THREAD(sleep, nap, 45, usleep(20000))
THREAD(lock, wait, 30, hold(100))
THREAD(hold, keep, 10, hold(20000))
THREAD(touch, touch, 20, touch_once())

int main(int argc, char **argv)
{
	void *(*threads[])(void *) = {
	    run_thread, sleep_thread, lock_thread, hold_thread, touch_thread};
	enum { COUNT = sizeof(threads) / sizeof(*threads) };
	pthread_t ids[COUNT];
	for (int i = 0; i < COUNT; i++)
		if (pthread_create(&ids[i], NULL, threads[i], NULL))
			return 1;
	sleep(argc > 1 ? (unsigned)atoi(argv[1]) : 3);
	over = true;
	for (int i = 0; i < COUNT; i++)
		pthread_join(ids[i], NULL);
	return 0;
}
