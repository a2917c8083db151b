// SPDX-License-Identifier: Apache-2.0
// Eight threads that want one mutex all the time: convoy SECONDS. Each holds it about 3 ms, asleep.
#define _GNU_SOURCE
#include "truth.h"

#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t until;

NOINLINE void convoy_locks(void);
NOINLINE void convoy_locks(void)
{
	pthread_mutex_lock(&mutex);
	__asm__ volatile("");
}

NOINLINE void convoy_holds(void);
NOINLINE void convoy_holds(void)
{
	sleep_ns(3000000);
	__asm__ volatile("");
}

static void *run(void *arg)
{
	truth_begin("convoy");
	while (clock_ns(CLOCK_MONOTONIC) < until) {
		MEASURE(convoy_locks);
		MEASURE(convoy_holds);
		pthread_mutex_unlock(&mutex);
		sleep_ns(2000000); // so that another gets it
	}
	truth_end();
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t[8];
	until = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(argc > 1 ? atof(argv[1]) * 1e9 : 1e9);
	for (int i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, run, NULL);
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	return 0;
}
