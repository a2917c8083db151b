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
#include "cgroup.h"
#include "../base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SELF_MAX 16384 // bytes of /proc/self/cgroup that are read
#define PATH_BYTES 4096
#define V1_NONE (1ull << 60)

struct search {
	struct cgroup *group;
	char self[SELF_MAX];
	char directory[PATH_BYTES]; // of the smallest limit
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

// Takes the smallest limit from ROOT/BELOW up to ROOT, if it is smaller than what was found.
static void look_upwards(struct search *s, const char *root, const char *below, bool v1)
{
	const char *file = v1 ? "memory.limit_in_bytes" : "memory.max";
	struct cgroup *g = s->group;
	char path[PATH_BYTES];
	size_t top = strlen(root);
	// A group outside of what the namespace shows ("/../x") has no place below ROOT.
	if (strstr(below, "/.."))
		below = "";
	int n = snprintf(path, sizeof(path), "%s%s", root, below);
	if (n < 0 || (size_t)n >= sizeof(path)) {
		path[top < sizeof(path) ? top : sizeof(path) - 1] = 0;
		n = (int)strlen(path);
	}
	for (size_t end = (size_t)n;;) {
		uint64_t limit = limit_of(path, file);
		if (limit && (!g->limit || limit < g->limit)) {
			g->limit = limit;
			g->v1 = v1;
			text_copy(s->directory, sizeof(s->directory), path);
		}
		if (end <= top)
			return;
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
static void look_at_line(struct search *s, const char *root, char *line)
{
	char *controllers = strchr(line, ':');
	char *path = controllers ? strchr(controllers + 1, ':') : NULL;
	char memory[PATH_BYTES];
	if (!path || path[1] != '/')
		return;
	*path++ = 0;
	int n = snprintf(memory, sizeof(memory), "%s/memory", root);
	if (!*++controllers)
		look_upwards(s, root, path, false);
	else if (n > 0 && (size_t)n < sizeof(memory) && lists_memory(controllers))
		look_upwards(s, memory, path, true);
}

static int open_in(const char *directory, const char *file)
{
	char path[PATH_BYTES + 64];
	snprintf(path, sizeof(path), "%s/%s", directory, file);
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

int cgroup_find(struct cgroup *g, const char *root, const char *self_file)
{
	*g = (struct cgroup){.usage = -1, .stat = -1};
	struct search *s = mem_alloc(ACCOUNT_BASE, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->group = g;
	ssize_t n = read_small(self_file, s->self, SELF_MAX);
	char *save = NULL;
	for (char *line = n > 0 ? strtok_r(s->self, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save))
		look_at_line(s, root, line);
	if (g->limit) {
		g->usage =
		    open_in(s->directory, g->v1 ? "memory.usage_in_bytes" : "memory.current");
		g->stat = open_in(s->directory, "memory.stat");
	}
	mem_free(s);
	return 0;
}

void cgroup_close(struct cgroup *g)
{
	if (g->usage >= 0)
		close(g->usage);
	if (g->stat >= 0)
		close(g->stat);
	g->usage = g->stat = -1;
}

// "KEY number" in a line of TEXT; 0 where there is none.
static uint64_t line_of(const char *text, const char *key)
{
	size_t n = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		uint64_t value;
		const char *number = line + n + 1;
		if (!strncmp(line, key, n) && line[n] == ' ' &&
		    !text_number(number, strcspn(number, "\n"), 10, &value))
			return value;
	}
	return 0;
}

static bool read_again(int fd, char *to, size_t size)
{
	ssize_t n = fd >= 0 ? pread(fd, to, size - 1, 0) : -1;
	to[n > 0 ? n : 0] = 0;
	return n > 0;
}

uint64_t cgroup_held(const struct cgroup *g)
{
	char usage[64], stat[8192];
	uint64_t all;
	if (!read_again(g->usage, usage, sizeof(usage)) ||
	    !read_again(g->stat, stat, sizeof(stat)) ||
	    text_number(usage, strcspn(usage, "\n"), 10, &all))
		return 0;
	uint64_t files = line_of(stat, g->v1 ? "total_cache" : "file"),
		 stays = line_of(stat, g->v1 ? "total_shmem" : "shmem");
	files -= files < stays ? files : stays;
	return all > files ? all - files : 0;
}
