// SPDX-License-Identifier: Apache-2.0
// /proc/PID/maps of any content: bounded, in slices the same as at once, and what is given is a
// mapping.
#include "../../modules/proc/maps.c"

#include <stdlib.h>
#include <sys/mman.h>

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

struct seen {
	uint64_t maps, sum;
};

static int each (void *arg, const struct proc_map *map)
{
	struct seen *seen = arg;
	size_t len = strlen(map->path);
	MUST(map->start < map->end && len <= LINES_LINE_MAX && map->path[0] != ' ');
	seen->maps++;
	seen->sum = hash_bytes(map->path, len, seen->sum + map->start + map->deleted);
	return 0;
}

static struct seen pass(struct proc *p, int fd, uint64_t budget_ns)
{
	// Pid 0 has no root, so every " (deleted)" is the kernel's.
	struct proc_maps_job *job = mem_alloc(ACCOUNT_PROC, sizeof(*job));
	struct seen seen = {0};
	int error;
	job->proc = p;
	lines_start(&job->lines, fd, MAPS_LIMIT);
	while ((error = proc_maps_step(job, budget_ns, each, &seen)) == 1)
		;
	MUST(!error && (uint64_t)job->lines_given == seen.maps);
	mem_free(job);
	return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc *p = proc_new("/proc");
	int fd = memfd_create("maps", MFD_CLOEXEC);
	MUST(p && fd >= 0 && write(fd, data, size) == (ssize_t)size);
	uint64_t bad = count_get(COUNT_MAPS_BAD);
	struct seen at_once = pass(p, fd, UINT64_MAX);
	bad = count_get(COUNT_MAPS_BAD) - bad;
	struct seen in_slices = pass(p, fd, 0);
	MUST(at_once.maps == in_slices.maps && at_once.sum == in_slices.sum);
	uint64_t newlines = 0;
	for (size_t i = 0; i < size; i++)
		newlines += data[i] == '\n';
	MUST(at_once.maps + bad == newlines + (size && data[size - 1] != '\n'));
	close(fd);
	proc_free(p);
	return 0;
}
