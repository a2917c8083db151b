// SPDX-License-Identifier: Apache-2.0
// A perf map, read once and again after it grew; byte 0 says how much of it is there at first.
#include <assert.h>
#include <sys/mman.h>

#include "../../modules/symbol/perfmap.c"

static int file = -1;

// In place of the file below the process's root.
int perfmap_open(const struct process *p, const char *const *paths, char *path, size_t size,
    struct map_seen *seen, uint64_t *bytes)
{
	text_copy(path, size, p && !paths ? "/tmp/perf-1.map" : "");
	*seen = (struct map_seen){.dev = 1, .ino = 1};
	*bytes = (uint64_t)lseek(file, 0, SEEK_END);
	return dup(file);
}

uint64_t perfmap_tail(int fd, uint64_t offset)
{
	char c = 0;
	return offset && pread(fd, &c, 1, (off_t)offset - 1) == 1 ? (uint64_t)c : 0;
}

bool perfmap_continues(
    int fd, const struct map_seen *before, const struct map_seen *now, uint64_t bytes)
{
	return before->ino == now->ino && bytes >= before->offset &&
	       perfmap_tail(fd, before->offset) == before->tail;
}

static const uint64_t addresses[] = {0, 1, 0x1000, 0x1001, 0x7f0000000010, UINT64_MAX};
enum { COUNT = sizeof(addresses) / sizeof(*addresses) };
static int answered[COUNT];

static void found(void *arg, uint32_t index, const struct elf_symbol *symbol)
{
	assert(!arg && index < COUNT && !answered[index]++);
	assert(
	    !symbol->name || (symbol->start <= addresses[index] && addresses[index] < symbol->end));
}

static void changed(void *arg, uint64_t start, uint64_t end)
{
	assert(!arg && start < end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct perfmap_options options = {&(struct process){.pid = 1}, NULL, 1 << 20, {0}, true,
	    addresses, COUNT, found, changed, NULL};
	log_set_level(LOG_LEVEL_ERROR);
	file = memfd_create("map", MFD_CLOEXEC);
	for (int pass = 0; size && pass < 2; pass++) {
		size_t have = pass ? size : data[0] * size / 256;
		assert(pwrite(file, data, have, 0) == (ssize_t)have);
		memset(answered, 0, sizeof(answered));
		struct perfmap *m = perfmap_new(&options);
		while (perfmap_step(m, 0) == 1)
			;
		for (size_t i = 0; i < COUNT; i++)
			assert(answered[i] == 1);
		options.seen = perfmap_seen(m);
		options.fresh = data[0] & 1;
		perfmap_free(m);
	}
	close(file);
	return 0;
}
