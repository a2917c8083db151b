// SPDX-License-Identifier: Apache-2.0
// Two processes that hand one byte to and fro through pipes: nothing but switches. Prints how many times a second the
// byte came back. Argument: seconds. Both on the first CPU, or on a CPU each where a second argument is given.
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void on_cpu(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	int there[2], back[2];
	unsigned long n = 0;
	char c = 0;
	double length = argc > 1 ? atof(argv[1]) : 1, began, now;
	if (pipe(there) || pipe(back))
		return 1;
	on_cpu(0);
	pid_t child = fork();
	if (child < 0)
		return 1;
	if (!child) {
		on_cpu(argc > 2);
		close(there[1]);
		while (read(there[0], &c, 1) == 1 && write(back[1], &c, 1) == 1)
			;
		_exit(0);
	}
	close(there[0]);
	for (began = now = seconds(); now < began + length; now = seconds())
		for (int i = 0; i < 100; i++, n++)
			if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
				return 1;
	printf("%.0f\n", (double)n / (now - began));
	return 0;
}
