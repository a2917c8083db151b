// SPDX-License-Identifier: Apache-2.0
#include "clock.h"

#include <time.h>

static const uint64_t *fake_monotonic, *fake_wall;

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t clock_now(void)
{
	return fake_monotonic ? *fake_monotonic : read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_boot(void)
{
	return fake_monotonic ? *fake_monotonic : read_clock(CLOCK_BOOTTIME);
}

uint64_t clock_wall(void)
{
	return fake_wall ? *fake_wall : read_clock(CLOCK_REALTIME);
}

uint64_t clock_cpu(void)
{
	return fake_monotonic ? *fake_monotonic : read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void clock_fake(const uint64_t *monotonic, const uint64_t *wall)
{
	fake_monotonic = monotonic;
	fake_wall = wall;
}
