// SPDX-License-Identifier: Apache-2.0
// The group's own limit, by Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst:
//
//   /proc/self/cgroup   0::/system.slice/telegen.service     v2
//                       7:cpu,memory:/docker/4f1e            v1: the line that lists memory
//   v2  ROOT/system.slice/telegen.service/memory.max         "max" or bytes
//   v1  ROOT/memory/docker/4f1e/memory.limit_in_bytes        bytes, about 2^63: none
//
// The smallest limit on the way up to ROOT counts. In a container the path may be the host's, and
// ROOT the container's own group: levels that are not there are passed over, ROOT itself is read.
#include "budget.h"
#include "../base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SELF_MAX 16384 // bytes of /proc/self/cgroup that are read
#define V1_NONE (1ull << 60)
#define SHRINKS_MAX 64

struct shrink {
	int rank;
	const char *name;
	uint64_t (*fn)(void *arg, uint64_t need);
	void *arg;
	uint64_t freed;
};

struct budget {
	uint64_t limit, cgroup_limit;
	struct shrink *shrinks; // by rank
	uint32_t count;
};

// At most SIZE-1 bytes of PATH, terminated. -errno, or the bytes read.
static ssize_t read_small(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	size_t have = 0;
	ssize_t n = 0;
	while (have < size - 1 && (n = pread(fd, to + have, size - 1 - have, (off_t)have)) > 0)
		have += (size_t)n;
	int error = n < 0 ? -errno : 0;
	close(fd);
	to[have] = 0;
	return error ? error : (ssize_t)have;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return !a ? b : !b ? a : a < b ? a : b;
}

static uint64_t limit_of(const char *directory, const char *file)
{
	char path[4096 + 64], value[64];
	uint64_t bytes;
	int n = snprintf(path, sizeof(path), "%s/%s", directory, file);
	if (n < 0 || (size_t)n >= sizeof(path) || read_small(path, value, sizeof(value)) <= 0)
		return 0;
	if (text_number(value, strcspn(value, "\n"), 10, &bytes) || bytes >= V1_NONE)
		return 0;
	return bytes;
}

// The smallest limit from ROOT/BELOW up to ROOT; 0: none.
static uint64_t limit_upwards(const char *root, const char *below, const char *file)
{
	char path[4096];
	size_t top = strlen(root);
	// A group outside of what the namespace shows ("/../x") has no place below ROOT.
	if (strstr(below, "/.."))
		below = "";
	int n = snprintf(path, sizeof(path), "%s%s", root, below);
	if (n < 0 || (size_t)n >= sizeof(path)) {
		path[top < sizeof(path) ? top : sizeof(path) - 1] = 0;
		n = (int)strlen(path);
	}
	uint64_t least = 0;
	for (size_t end = (size_t)n;;) {
		least = smaller(least, limit_of(path, file));
		if (end <= top)
			return least;
		while (end > top && path[end - 1] != '/')
			end--;
		while (end > top && path[end - 1] == '/')
			end--;
		path[end] = 0;
	}
}

static bool lists_memory(const char *controllers)
{
	for (size_t n; *controllers; controllers += n + (controllers[n] == ',')) {
		n = strcspn(controllers, ",");
		if (n == strlen("memory") && !strncmp(controllers, "memory", n))
			return true;
	}
	return false;
}

// A line of /proc/self/cgroup, "7:cpu,memory:/docker/4f1e".
static uint64_t limit_of_line(const char *root, char *line)
{
	char *controllers = strchr(line, ':');
	char *path = controllers ? strchr(controllers + 1, ':') : NULL;
	char memory[4096];
	if (!path || path[1] != '/')
		return 0;
	*path++ = 0;
	if (!*++controllers)
		return limit_upwards(root, path, "memory.max");
	int n = snprintf(memory, sizeof(memory), "%s/memory", root);
	if (n < 0 || (size_t)n >= sizeof(memory) || !lists_memory(controllers))
		return 0;
	return limit_upwards(memory, path, "memory.limit_in_bytes");
}

static int find_cgroup_limit(const char *root, const char *self_file, uint64_t *limit)
{
	char *self = mem_alloc(ACCOUNT_BASE, SELF_MAX);
	if (!self)
		return -ENOMEM;
	ssize_t n = read_small(self_file, self, SELF_MAX);
	*limit = 0;
	char *save = NULL;
	for (char *line = n > 0 ? strtok_r(self, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save))
		*limit = smaller(*limit, limit_of_line(root, line));
	mem_free(self);
	return 0;
}

static uint64_t squeeze(void *arg, uint64_t need)
{
	struct budget *b = arg;
	uint64_t freed = 0;
	for (struct shrink *s = b->shrinks; s < b->shrinks + b->count && freed < need; s++) {
		uint64_t some = s->fn(s->arg, need - freed);
		s->freed += some;
		freed += some;
	}
	return freed;
}

struct budget *budget_new(uint64_t limit, const char *cgroup_root, const char *self_cgroup_file)
{
	struct budget *b = mem_alloc(ACCOUNT_BASE, sizeof(*b));
	if (!b)
		return NULL;
	b->shrinks = mem_alloc(ACCOUNT_BASE, SHRINKS_MAX * sizeof(*b->shrinks));
	if (!b->shrinks || find_cgroup_limit(cgroup_root, self_cgroup_file, &b->cgroup_limit)) {
		budget_free(b);
		return errno = ENOMEM, NULL;
	}
	b->limit = smaller(limit, b->cgroup_limit / 4 * 3);
	mem_limit(b->limit);
	mem_on_squeeze(squeeze, b);
	return b;
}

void budget_free(struct budget *b)
{
	if (!b)
		return;
	mem_on_squeeze(NULL, NULL);
	mem_limit(0);
	mem_free(b->shrinks);
	mem_free(b);
}

uint64_t budget_limit(const struct budget *b)
{
	return b->limit;
}

uint64_t budget_cgroup_limit(const struct budget *b)
{
	return b->cgroup_limit;
}

int budget_add(struct budget *b, int rank, const char *name,
    uint64_t (*shrink)(void *arg, uint64_t need), void *arg)
{
	if (b->count == SHRINKS_MAX)
		return -ENOSPC;
	uint32_t at = b->count;
	for (; at && b->shrinks[at - 1].rank > rank; at--)
		b->shrinks[at] = b->shrinks[at - 1];
	b->shrinks[at] = (struct shrink){.rank = rank, .name = name, .fn = shrink, .arg = arg};
	b->count++;
	return 0;
}

void budget_remove(struct budget *b, void *arg)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < b->count; i++)
		if (b->shrinks[i].arg != arg)
			b->shrinks[kept++] = b->shrinks[i];
	b->count = kept;
}

bool budget_next(const struct budget *b, uint32_t *i, const char **name, uint64_t *freed)
{
	if (*i >= b->count)
		return false;
	*name = b->shrinks[*i].name;
	*freed = b->shrinks[*i].freed;
	(*i)++;
	return true;
}
