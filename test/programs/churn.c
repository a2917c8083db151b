// SPDX-License-Identifier: Apache-2.0
// Threads that come and go: churn SECONDS THREADS_A_SECOND. Each sleeps 3 ms in churn_sleeps; said
// is for all of them together, as if of one thread.
#define _GNU_SOURCE
#include "truth.h"

#include <pthread.h>

static uint64_t off, runnable, times;

NOINLINE void churn_sleeps(void);
NOINLINE void churn_sleeps(void)
{
	sleep_ns(3000000);
	__asm__ volatile("");
}

static void *run(void *arg)
{
	uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), now = clock_ns(CLOCK_MONOTONIC);
	churn_sleeps();
	now = clock_ns(CLOCK_MONOTONIC) - now;
	cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	__atomic_fetch_add(&off, now - cpu, __ATOMIC_RELAXED);
	__atomic_fetch_add(&times, 1, __ATOMIC_RELAXED);
	return arg;
}

int main(int argc, char **argv)
{
	uint64_t began = clock_ns(CLOCK_MONOTONIC), now, begun = 0;
	double seconds = argc > 1 ? atof(argv[1]) : 1, rate = argc > 2 ? atof(argv[2]) : 5000;
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, 65536);
	while ((now = clock_ns(CLOCK_MONOTONIC)) - began < (uint64_t)(seconds * 1e9)) {
		pthread_t t;
		double due = (double)(now - began) / 1e9 * rate;
		// Where the machine cannot keep up it is not driven into the ground.
		while (
		    (double)begun < due && begun - __atomic_load_n(&times, __ATOMIC_RELAXED) < 500)
			if (pthread_create(&t, &attributes, run, NULL))
				break;
			else
				begun++;
		sleep_ns(1000000);
	}
	while (__atomic_load_n(&times, __ATOMIC_RELAXED) < begun)
		sleep_ns(1000000);
	printf("churn %d churn_sleeps %lu %lu %lu\n", getpid(), off, runnable, times);
	return 0;
}
