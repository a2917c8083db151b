// SPDX-License-Identifier: Apache-2.0
// PID/maps, one line a mapping (proc(5)):
//
//   7f12a4000000-7f12a4021000 r-xp 00002000 fe:01 1234    /usr/lib/libfoo.so.1 (deleted)
//   start        end          perm offset   dev   inode   path, a newline in it written \012
#include "local.h"
#include "../base/base.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

// A hundred million lines would be a kernel's own limit raised a thousand times.
#define MAPS_LIMIT (1ull << 30)
// Looks whether a path's " (deleted)" is its own are a few system calls each; beyond these it is
// taken as the kernel's.
#define DELETED_LOOKS 64
#define LINES_BETWEEN_CLOCKS 32

struct proc_maps_job {
	struct proc *proc;
	uint32_t pid;
	int lines_given, looks;
	struct lines lines;
};

// The number up to END, which must be there; *S is moved behind it.
static bool number_until(char **s, char end, int base, uint64_t *value)
{
	char *at = strchr(*s, end);
	if (!at || text_number(*s, (size_t)(at - *s), base, value))
		return false;
	*s = at + 1;
	return true;
}

static void unescape(char *path)
{
	char *to = strstr(path, "\\012");
	if (!to)
		return;
	for (const char *from = to; *from;) {
		bool newline = !strncmp(from, "\\012", 4);
		*to++ = newline ? '\n' : *from;
		from += newline ? 4 : 1;
	}
	*to = 0;
}

// Splits LINE; `path` points into it. False where it is not a mapping.
static bool parse(char *line, struct proc_map *map)
{
	uint64_t major, minor;
	char *s = line;
	*map = (struct proc_map){0};
	if (!number_until(&s, '-', 16, &map->start) || !number_until(&s, ' ', 16, &map->end) ||
	    map->start >= map->end)
		return false;
	if (strspn(s, "rwxsp-") != 4 || s[4] != ' ')
		return false;
	map->executable = s[2] == 'x';
	s += 5;
	if (!number_until(&s, ' ', 16, &map->offset) || !number_until(&s, ':', 16, &major) ||
	    !number_until(&s, ' ', 16, &minor) || major > UINT32_MAX || minor > UINT32_MAX)
		return false;
	map->dev_major = (uint32_t)major;
	map->dev_minor = (uint32_t)minor;
	size_t digits = strcspn(s, " ");
	if (text_number(s, digits, 10, &map->inode))
		return false;
	s += digits;
	map->path = s + strspn(s, " ");
	return true;
}

// One line to EACH; what EACH returned.
static int give(
    struct proc_maps_job *job, char *line, int (*each)(void *, const struct proc_map *), void *arg)
{
	struct proc_map map;
	if (!parse(line, &map)) {
		count_add(COUNT_MAPS_BAD, 1);
		return 0;
	}
	char *path = line + (map.path - line);
	unescape(path);
	size_t len = strlen(path);
	if (local_says_deleted(path, len)) {
		uint64_t inode = job->looks++ < DELETED_LOOKS ? map.inode : 0;
		map.deleted = local_cut_deleted(job->proc, job->pid, path, len, inode);
	}
	job->lines_given++;
	return each (arg, &map);
}

static int start(struct proc_maps_job *job, struct proc *p, uint32_t pid)
{
	int fd = local_open(p, pid, "maps");
	if (fd < 0)
		return fd;
	job->proc = p;
	job->pid = pid;
	job->lines_given = job->looks = 0;
	lines_start(&job->lines, fd, MAPS_LIMIT);
	count_add(COUNT_MAPS_READS, 1);
	return 0;
}

struct proc_maps_job *proc_maps_new(struct proc *p, uint32_t pid)
{
	struct proc_maps_job *job = mem_alloc(ACCOUNT_PROC, sizeof(*job));
	int error = job ? start(job, p, pid) : -ENOMEM;
	if (!error)
		return job;
	mem_free(job);
	errno = -error;
	return NULL;
}

int proc_maps_step(struct proc_maps_job *job, uint64_t budget_ns,
    int (*each)(void *arg, const struct proc_map *map), void *arg)
{
	uint64_t from = clock_now();
	char *line;
	size_t len;
	for (int n = 1;; n++) {
		int error = lines_next(&job->lines, &line, &len);
		if (error == -EBADMSG)
			count_add(COUNT_MAPS_BAD, 1);
		else if (error <= 0)
			return error;
		else if (give(job, line, each, arg))
			return 0;
		if (n % LINES_BETWEEN_CLOCKS == 0 && clock_now() - from >= budget_ns)
			return 1;
	}
}

void proc_maps_free(struct proc_maps_job *job)
{
	if (!job)
		return;
	close(job->lines.fd);
	mem_free(job);
}

int proc_maps(
    struct proc *p, uint32_t pid, int (*each)(void *arg, const struct proc_map *map), void *arg)
{
	struct proc_maps_job job;
	int error = start(&job, p, pid);
	if (error)
		return error;
	error = proc_maps_step(&job, UINT64_MAX, each, arg);
	close(job.lines.fd);
	return error ? error : job.lines_given;
}
