// SPDX-License-Identifier: Apache-2.0
// elfname [-d DEBUGFILE] FILE < ADDRESSES: for every link-time address (hex, a line each) a line
// "ADDRESS START END NAME", NAME "?" where there is none. Figures of the lookup go to stderr.
#include "../../modules/base/base.h"
#include "../../modules/elf/elf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ADDRESSES_MAX 100000

struct answers {
	uint64_t address[ADDRESSES_MAX], start[ADDRESSES_MAX], end[ADDRESSES_MAX];
	char *name[ADDRESSES_MAX];
	uint32_t order[ADDRESSES_MAX];
};
static struct answers a;

static void found(void *arg, uint32_t index, const struct elf_symbol *symbol)
{
	(void)arg;
	a.start[index] = symbol->start;
	a.end[index] = symbol->end;
	a.name[index] = strdup(symbol->name ? symbol->name : "?");
}

static int by_address(const void *x, const void *y)
{
	const uint64_t *p = x, *q = y;
	return (*p > *q) - (*p < *q);
}

int main(int argc, char **argv)
{
	struct elf_lookup_options options = {.go = true, .debug_fd = -1};
	int opt;
	while ((opt = getopt(argc, argv, "d:")) != -1)
		if (opt == 'd') {
			options.separate = true;
			options.debug_fd = open(optarg, O_RDONLY);
		} else {
			return 2;
		}
	int fd = optind < argc ? open(argv[optind], O_RDONLY) : -1;
	if (fd < 0)
		return fprintf(stderr, "elfname: cannot open the file\n"), 2;
	uint32_t n = 0;
	while (n < ADDRESSES_MAX && scanf("%" SCNx64, &a.address[n]) == 1)
		n++;
	qsort(a.address, n, sizeof(*a.address), by_address);

	uint64_t before = mem_total(), begin = clock_now(), longest = 0, steps = 0;
	struct elf_lookup *l = elf_lookup_new(fd, a.address, n, &options, found, NULL);
	int r = l ? 1 : -errno;
	while (r == 1) {
		uint64_t t = clock_now();
		r = elf_lookup_step(l, 500 * NS_PER_US);
		t = clock_now() - t;
		longest = t > longest ? t : longest;
		steps++;
	}
	uint64_t peak = mem_peak() - before;
	elf_lookup_free(l);
	fprintf(stderr,
	    "elfname: %u addresses %.3f ms %" PRIu64 " steps longest %.0f us peak %" PRIu64
	    " bytes left %" PRId64 " result %d\n",
	    n, (double)(clock_now() - begin) / 1e6, steps, (double)longest / 1e3, peak,
	    (int64_t)(mem_used(ACCOUNT_ELF)), r);
	for (uint32_t i = 0; i < n; i++)
		printf("%" PRIx64 " %" PRIx64 " %" PRIx64 " %s\n", a.address[i], a.start[i],
		    a.end[i], a.name[i] ? a.name[i] : "unanswered");
	return r < 0;
}
