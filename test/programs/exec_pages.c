// SPDX-License-Identifier: Apache-2.0
// Code of its own making: `many N` maps a page of it N times, each apart from the next, and runs in
// the last; `memfd NAME` runs it in a memfd of that name.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// Position-independent, and a leaf: a copy of it runs anywhere.
__attribute__((noinline, aligned(64))) static uint64_t spin(uint64_t n)
{
	uint64_t x = n;
	while (n--)
		x = x * 6364136223846793005u + 1442695040888963407u;
	return x;
}

int main(int argc, char **argv)
{
	long page = sysconf(_SC_PAGESIZE);
	int count = argc > 2 && !strcmp(argv[1], "many") ? atoi(argv[2]) : 1;
	int fd = memfd_create(count > 1 ? "page" : argv[2], 0);
	char *all = mmap(
	    NULL, (size_t)count * 2 * (size_t)page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fd < 0 || ftruncate(fd, page) || all == MAP_FAILED ||
	    pwrite(fd, (void *)spin, 256, 0) != 256)
		return perror("memfd"), 1;
	char *code = all;
	for (int i = 0; i < count; i++) {
		code = all + (size_t)i * 2 * (size_t)page;
		if (mmap(code, (size_t)page, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd,
			0) == MAP_FAILED)
			return perror("mmap"), 1;
	}
	puts("ready");
	fflush(stdout);
	volatile uint64_t sum = 0;
	for (;;)
		sum += ((uint64_t(*)(uint64_t))(void *)code)(1000000);
}
