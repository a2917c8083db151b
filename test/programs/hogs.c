// SPDX-License-Identifier: Apache-2.0
// Two threads that want one CPU all the time, and one that sleeps there and then has to wait for
// it: hogs SECONDS [CPU].
#define _GNU_SOURCE
#include "truth.h"

#include <pthread.h>
#include <sched.h>

static uint64_t until;

NOINLINE void hog_burns(void);
NOINLINE void hog_burns(void)
{
	volatile unsigned long x = 0;
	while (clock_ns(CLOCK_MONOTONIC) < until)
		x++;
}

NOINLINE void nap_sleeps(void);
NOINLINE void nap_sleeps(void)
{
	sleep_ns(10000000);
	__asm__ volatile("");
}

static void *hog(void *arg)
{
	truth_begin("hog");
	MEASURE(hog_burns);
	truth_end();
	return arg;
}

static void *nap(void *arg)
{
	truth_begin("nap");
	while (clock_ns(CLOCK_MONOTONIC) < until)
		MEASURE(nap_sleeps);
	truth_end();
	return arg;
}

int main(int argc, char **argv)
{
	void *(*const all[])(void *) = {hog, hog, nap};
	pthread_t t[3];
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	CPU_SET(argc > 2 ? atoi(argv[2]) : sched_getcpu(), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	until = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(argc > 1 ? atof(argv[1]) * 1e9 : 1e9);
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, all[i], NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	return 0;
}
