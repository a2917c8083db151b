// SPDX-License-Identifier: Apache-2.0
// Runs PROGRAM again and again, N at a time; without arguments it ends at once. Linked to a fixed
// address, two such programs have different code in the same place.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char memory[1 << 18];

__attribute__((noinline)) void touch_memory(void)
{
	for (unsigned i = 0; i < sizeof(memory); i += 4096)
		((volatile char *)memory)[i] = 1;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		touch_memory();
		return 0;
	}
	for (int left = atoi(argv[2]);; left--) {
		if (left <= 0)
			wait(NULL);
		if (!fork()) {
			execl(argv[1], argv[1], (char *)NULL);
			_exit(1);
		}
	}
}
