// SPDX-License-Identifier: Apache-2.0
// forks PROGRAM RATE SECONDS [ARGUMENT]: starts PROGRAM RATE times a second, evenly, and waits for
// all. Truth: prints how many were started. On a machine that cannot keep up it starts them later,
// but never fewer.
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define RUNNING_MAX 200

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	long rate = atol(argv[2]), total = rate * atol(argv[3]), started = 0;
	int running = 0;
	char *arguments[] = {argv[1], argc > 4 ? argv[4] : NULL, NULL};
	char *environment[] = {NULL};
	struct timespec due;
	clock_gettime(CLOCK_MONOTONIC, &due);
	for (; started < total; started++) {
		pid_t pid;
		int error = posix_spawn(&pid, argv[1], NULL, NULL, arguments, environment);
		if (error) {
			fprintf(stderr, "forks: %s: %s\n", argv[1], strerror(error));
			return 1;
		}
		running++;
		while (running && waitpid(-1, NULL, running < RUNNING_MAX ? WNOHANG : 0) > 0)
			running--;
		due.tv_nsec += 1000000000 / rate;
		due.tv_sec += due.tv_nsec / 1000000000;
		due.tv_nsec %= 1000000000;
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
			;
	}
	while (wait(NULL) > 0)
		;
	printf("%ld\n", started);
	return 0;
}
